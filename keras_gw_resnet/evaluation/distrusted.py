"""What of the searched strain is to be distrusted, as tables of text for a report: gated, flagged, or of one detector alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_gw_resnet.strain.gating import gate_columns

if TYPE_CHECKING:
    from keras_gw_resnet.search.results import Found
    from keras_gw_resnet.strain.layouts import SegmentHeader

# Rows of a table of a report.
SHOWN = 100
PLACE = ("detector", "from GPS (s)", "to GPS (s)")


def distrusted_tables(
    found: Found, columns: dict, detectors: Sequence[str], headers: Sequence[SegmentHeader], events: Path | str
) -> list[tuple]:
    """List gated strain, what the files flag or mark as injected, and the events that one detector makes alone.

    Args:
        found: `search.results.Found`.
        columns: Of its events, see `results.describing_columns`.
        detectors: Names, in column order.
        headers: SegmentHeader list of the strain.
        events: File of the events, in which all is listed of which `SHOWN` rows are shown.

    Returns:
        List of (heading, header, rows) of text in order of time, without those that have no rows.
    """
    gates = zip(*gate_columns(found.gates, detectors).values(), strict=True)
    gated = [
        [name, *_times(start, stop), f"{seconds:.3f}", f"{peak:.1f}"] for name, start, stop, seconds, peak in gates
    ]
    remarks = {
        (start, stop, h.detector, what) for h in headers if h.detector in detectors for start, stop, what in h.remarks
    }
    flagged = [[name, *_times(start, stop), what] for start, stop, name, what in sorted(remarks)]
    tables = [
        ("Gated strain", f"all in {events}, gates", (*PLACE, "seconds", "peak (sigma)"), gated),
        ("Flagged by the files", "all in the files", (*PLACE, "what"), flagged),
        ("Glitch-like: one detector alone", f"all in {events}, one_detector", *_lone(found.events, columns)),
    ]
    return [(f"{name} ({_number(rows, where)})", header, rows[:SHOWN]) for name, where, header, rows in tables if rows]


def _times(start, stop):
    return f"{start:.3f}", f"{stop:.3f}"


def _number(rows, where):
    """Say how many rows there are, and of more than are shown where the others stand."""
    return (
        f"{len(rows)}" if len(rows) <= SHOWN else f"the first {SHOWN} of {len(rows)}, {len(rows) - SHOWN} more; {where}"
    )


def _lone(events, columns):
    """Return (header, rows) of the events of one detector alone, with their ranks."""
    header, names = ("detector", "GPS time (s)", "statistic", "rank"), columns.get("one_detector", np.zeros(0, str))
    ranks = np.empty(len(events), int)
    ranks[np.argsort(events.stat)[::-1]] = np.arange(1, len(events) + 1)
    lone = [i for i in np.argsort(events.time) if len(names) and names[i] and events.stat[i] > 0]
    return header, [[names[i], f"{events.time[i]:.3f}", f"{events.stat[i]:.2f}", str(ranks[i])] for i in lone]
