"""Pages that hold tables and pictures in one file, to be read on any screen without a network."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from keras_gw_resnet.evaluation.candidate_plots import draw_event
from keras_gw_resnet.files import written_aside

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from keras_gw_resnet.search.detector import Detector
    from keras_gw_resnet.search.results import Snapshot
    from keras_gw_resnet.strain.layouts import SegmentHeader

# So narrow, what is written in a picture can be read on a telephone.
TELEPHONE_INCHES = 5.0
STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 60rem; padding: 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.2rem; margin-top: 2rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem; }
th, td { padding: .25rem .75rem; text-align: right; white-space: nowrap; border-bottom: 1px solid #8884; }
th:first-child, td:first-child { text-align: left; }
img { max-width: min(100%, 45rem); height: auto; background: white; }
@media (max-width: 600px) { th, td { padding: .2rem .35rem; font-size: .75rem; } th { white-space: normal; } }
footer { margin-top: 2rem; font-size: .8rem; opacity: .7; }
"""


def table_html(header: Sequence[str], rows: Iterable) -> str:
    """Return a table of text as HTML."""
    cells = "".join(f"<th>{html.escape(str(title))}</th>" for title in header)
    lines = "".join("<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{cells}</tr></thead><tbody>{lines}</tbody></table></div>'


def facts_html(facts: Mapping) -> str:
    """Return what is known by name, a dictionary, as an HTML table."""
    return table_html(("what", ""), [(name.replace("_", " "), value) for name, value in facts.items()])


def figure_html(figure: Figure, text: str) -> str:
    """Return a matplotlib figure as an HTML picture; `text` says what it shows to those who cannot see it."""
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=150)
    data = base64.b64encode(drawn.getvalue()).decode()
    return f'<img alt="{html.escape(text, quote=True)}" src="data:image/png;base64,{data}">'


def text_html(*lines: str) -> str:
    """Return lines of text as a paragraph."""
    return f"<p>{'<br>'.join(html.escape(line) for line in lines)}</p>"


def write_page(path: Path | str, title: str, sections: Sequence) -> None:
    """Write a page.

    Args:
        path: HTML file.
        title: Its headline.
        sections: List of (heading, HTML), as from the functions above.
    """
    body = "".join(f"<section><h2>{html.escape(heading)}</h2>{content}</section>" for heading, content in sections)
    made = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    with written_aside(path) as aside:
        aside.write_text(
            '<!doctype html><html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{html.escape(title)}</title><style>{STYLE}</style></head>"
            f"<body><h1>{html.escape(title)}</h1>{body}<footer>keras_gw_resnet, {made}</footer></body></html>\n"
        )


def write_search_report(
    path: Path | str,
    network: Detector,
    events: tuple,
    snapshots: Sequence[Snapshot],
    attributes: dict,
    lines: Sequence[str] = (),
    tables: Sequence[tuple] = (),
    doubtful: Sequence[tuple] = (),
    headers: Sequence[SegmentHeader] = (),
) -> None:
    """Write the report of a search: what was searched, the events, further tables, and a picture of each of the loudest.

    Args:
        path: HTML file.
        network: `search.detector.Detector`.
        events: Tuple (header, rows) of text, loudest first.
        snapshots: List of `search.results.Snapshot`.
        attributes: What is known about the search, by name.
        lines: What is to be said of all of it.
        tables: List of (heading, header, rows).
        doubtful: Further ones, behind the pictures, see `distrusted.distrusted_tables`.
        headers: SegmentHeader list of the strain, whose flags and injections are marked.
    """
    where = ", ".join(attributes["files"][:4])
    header, rows = events
    sections = [("Events", text_html(*lines) + table_html(header, rows))]
    sections += [(heading, table_html(*own)) for heading, *own in tables]
    for rank, (snapshot, row) in enumerate(zip(snapshots, rows, strict=False), 1):
        marks = snapshot.marks(network.detectors, headers)
        figure = draw_event(snapshot, network.detectors, f"statistic {snapshot.stat:.1f} ({network.name})", marks)
        figure.set_figwidth(TELEPHONE_INCHES)
        picture = figure_html(
            figure,
            f"whitened strain, time-frequency maps, statistic and that of each detector alone around GPS {snapshot.time:.3f}",
        )
        remark = row[-1] if header[-1] == "remarks" else ""
        heading = f"{rank}. GPS {snapshot.time:.3f}, statistic {snapshot.stat:.2f}{f' ({remark})' if remark else ''}"
        sections.append((heading, _shares(header, row) + _marked(marks) + picture))
    sections += [(heading, table_html(*own)) for heading, *own in doubtful]
    sections.append(("The search", facts_html(attributes)))
    write_page(path, f"Events in {where}", sections)


def _shares(header, row):
    """Say of an event what each detector makes of it alone."""
    own = [f"{title} {value}" for title, value in zip(header, row, strict=True) if title.endswith(" alone")]
    return text_html(f"Statistic {row[header.index('statistic')]} of all detectors; {', '.join(own)}.") if own else ""


def _marked(marks):
    """List the intervals around an event that are shaded in its picture."""
    if not marks:
        return ""
    rows = [(what, detector or "", f"{start:.3f}", f"{stop:.3f}") for detector, start, stop, what in marks]
    return table_html(("marked", "detector", "from GPS (s)", "to GPS (s)"), rows)


def write_set_report(path: Path | str, title: str, tables: Mapping, figures: Mapping, data: dict) -> None:
    """Write the report of networks on a set with injections.

    Args:
        path: HTML file.
        title: Its headline.
        tables: Dictionary network -> list of (heading, header, rows).
        figures: Dictionary name -> matplotlib Figure.
        data: What is known about the set, by name.
    """
    sections = []
    for name, own in tables.items():
        content = "".join(f"<h3>{html.escape(heading)}</h3>{table_html(*rest)}" for heading, *rest in own)
        sections.append((name, content))
    names = {name: name.replace("-", " ").capitalize() for name in figures}
    sections += [(names[name], figure_html(figure, f"{names[name]}: {title}")) for name, figure in figures.items()]
    sections.append(("Data", facts_html(data)))
    write_page(path, title, sections)
