"""The events of a search as text, for the terminal and for the report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_gw_resnet.evaluation.sensitivity import FALSE_ALARMS_A_MONTH, MONTH_SECONDS, threshold_at_rate
from keras_gw_resnet.search.probability import LEAST
from keras_gw_resnet.search.ranks import SIGNAL_FALSE_ALARMS
from keras_gw_resnet.strain.catalogue import LEFT_OUT_SECONDS, catalogue_events
from keras_gw_resnet.strain.layouts import MEASURED

if TYPE_CHECKING:
    from keras_gw_resnet.search.background import Background
    from keras_gw_resnet.search.candidates import Candidates
    from keras_gw_resnet.search.detector import Detector
    from keras_gw_resnet.search.results import Found, Output
    from keras_gw_resnet.search.significance import Judged

# A background so many times as long as what was searched shows by counting that an event is a signal with 99 in 100.
COUNTED_SURE = 100


def lines_before(network: Detector, found: Found, judged: Judged, output: Output, slides: int | None) -> list[str]:
    """Say what is to be known before the table of events is read: what was searched, the background, what events may not be.

    Args:
        network: `search.detector.Detector`.
        found, judged: What it found.
        output: Files of the search, as they are to be named.
        slides: How many were asked for; None or 0: none.
    """
    lines = searched_lines(network, found, output.events)
    if slides and judged.background is not None:
        given = found.searched_seconds, len(judged.taken), output.background, slides
        lines += background_lines(judged.background, *given)
    if judged.unfitted:
        lines.append(
            f"NOTE: a tail is fitted to {LEAST} background events and more; there are fewer, and nothing is extrapolated"
        )
    return lines + event_lines(found.events, judged.columns)


def count_line(events: Candidates, threshold: float, path: Path | str, pictures: Sequence) -> str:
    """Say how many events there are above the threshold; without any, what of the file `path` and of the pictures came."""
    if len(events):
        return f"{len(events)} event{'s' * (len(events) != 1)} with a statistic above {threshold:g}; the loudest:"
    undrawn = f", {pictures[0]} is not drawn" if pictures else ""
    return f"no event with a statistic above {threshold:g}; {path} is written without events{undrawn}"


def searched_lines(network: Detector, found: Found, events: Path | str) -> list[str]:
    """Say how much was searched, and what is special about the scan; `events` is the file in which gates are listed."""
    coverage, vetoed = found.coverage, found.vetoed_seconds
    lines = [
        f"searched {found.searched_seconds:.1f} s of {'+'.join(network.detectors)} strain with {network.name} "
        f"(given {coverage.given:.1f} s; invalid and skipped {coverage.invalid:.1f} s; "
        f"too short and skipped {coverage.short:.1f} s; "
        f"{f'vetoed {vetoed:.1f} s; ' if vetoed else ''}{_gated(network, coverage, events)}the rest are edges of the whitening filter)"
    ]
    remark = network.remark(found.difference)
    return [*lines, f"NOTE: {remark}"] if remark else lines


def _gated(network, coverage, events):
    gate, seconds = network.whitening.gate, coverage.gated
    where = f", listed in {events}, gates"
    return f"gated {seconds:.1f} s of what was searched, beyond {gate:g} sigma{where}; " if seconds else ""


def background_lines(background: Background, searched: float, taken: int, where: Path | str, asked: int) -> list[str]:
    """Say how much background there is, what it can show and what it cannot.

    Args:
        background: Background of slides, signals taken out.
        searched: Seconds that were searched without slides.
        taken: How many events were taken out.
        where: Path of the background.
        asked: How many slides were asked for.
    """
    if not background.seconds:
        return [f"NOTE: the strain is too short to slide; no false-alarm rates, {where} is empty"]
    out = f", the strain of {taken} that stand out left out of it" if taken else ""
    lines = [
        f"background: {background.seconds / 3600:.2f} h from {background.slides} slides{out}; "
        f"it shows false-alarm rates down to {3600 / background.seconds:.3g} an hour"
    ]
    if background.slides < asked:
        lines.append(f"NOTE: of {asked} slides {background.slides} fit into the longest stretch; there are no more")
    times = background.seconds / searched if searched else np.inf
    if times * SIGNAL_FALSE_ALARMS < 1:
        lines.append(
            "NOTE: with less than ten times the strain searched no signal can be told from it; any are part of it"
        )
    if times < COUNTED_SURE:
        lines.append(
            f"NOTE: the slides count false alarms down to one in {times:.3g} searches like this; a p astro above "
            f"{max(0.0, 1 - 1 / times):.2g} rests on how the noise falls off beyond its loudest events"
        )
    return lines


def event_lines(events: Candidates, columns: dict) -> list[str]:
    """Say what is to be known about the events before their figures are believed."""
    order, lines = np.argsort(events.stat)[::-1], []
    down = columns["ranked_down"][order] if "ranked_down" in columns else ()
    if lone := [rank for rank, own in enumerate(down, 1) if own]:
        lines.append(
            f"NOTE: {_numbered(lone)}: one detector speaks alone, as a glitch does, or makes the same again in slides; the "
            "slides cannot show that to be rarer than once in the strain searched"
        )
    injected = [rank for rank, text in enumerate(columns["remarks"][order], 1) if "hardware injection" in text]
    if injected:
        lines.append(f"NOTE: {_numbered(injected)}: the file marks a hardware injection there, no astrophysical event")
    if np.any(columns.get("far_extrapolated", False)):
        lines.append("NOTE: false-alarm rates with ~ are extrapolated by an exponential tail fitted to the background")
    if "far" in columns and "p_astro" not in columns:
        lines.append("(p astro takes 100 background events and a card that knows its network's simulated signals)")
    return lines


def _numbered(ranks):
    listed = [str(rank) for rank in ranks[:10]] + (["..."] if len(ranks) > 10 else [])
    return f"event{'s' if len(ranks) > 1 else ''} {', '.join(listed)}"


def event_table(events: Candidates, columns: dict, detectors: Sequence[str]) -> tuple:
    """Return (header, rows) of events as text, loudest first."""
    own = [name for name in detectors if f"stat_{name}" in columns]
    header = ["rank", "GPS time (s)", "statistic", *(f"{name} alone" for name in own)]
    titles = {
        "far": "false alarms a year",
        "ifar": "one in (years)",
        "far_class": "a year, its class",
        "p_astro": "p astro",
    }
    header += [title for name, title in titles.items() if name in columns]
    rows = []
    for rank, i in enumerate(np.argsort(events.stat)[::-1], 1):
        row = [str(rank), f"{events.time[i]:.3f}", f"{events.stat[i]:.2f}"]
        row += [f"{columns[f'stat_{name}'][i]:.2f}" for name in own]
        if "far" in columns:
            row += _rate(columns, i)
        if "far_class" in columns:
            row.append("-" if np.isnan(columns["far_class"][i]) else _limited(columns, "far_class", i))
        if "p_astro" in columns:
            row.append(f"{columns['p_astro'][i]:.4f}")
        rows.append([*row, f"{events.var[i]:.3f}", _remark(events, columns, i)])
    header += ["timing +- (s)", "remarks"]
    if not any(row[-1] for row in rows):
        return header[:-1], [row[:-1] for row in rows]
    return header, rows


def joined_table(judged: Sequence[tuple], top: int) -> tuple[list, list]:
    """Return (header, rows) of the events of several networks as text, by false-alarm rate.

    Args:
        judged: For each network (Detector, Candidates, their columns, false-alarm rates among them).
        top: How many events.
    """
    found = []
    for network, events, columns in judged:
        own = [network.name, "+".join(network.detectors)]
        for i in range(len(events)):
            rate = _limited(columns, "far", i)
            sure = f"{columns['p_astro'][i]:.4f}" if "p_astro" in columns else "-"
            row = [f"{events.time[i]:.3f}", *own, f"{events.stat[i]:.2f}", rate, sure]
            found.append((columns["far"][i], -events.stat[i], row))
    header = ["rank", "GPS time (s)", "network", "detectors", "statistic", "false alarms a year", "p astro"]
    return header, [[str(rank), *row] for rank, (*_, row) in enumerate(sorted(found)[:top], 1)]


def _limited(columns, name, i):
    """Return a rate as text, an upper limit marked."""
    return f"{'< ' if columns[f'{name}_is_limit'][i] else ''}{columns[name][i]:.3g}"


def _rate(columns, i):
    rate, error, years = (columns[name][i] for name in ("far", "far_error", "ifar"))
    if columns["far_is_limit"][i]:
        return [_limited(columns, "far", i), f"> {years:.3g}"]
    sign = "~" if columns["far_extrapolated"][i] else ""
    return [f"{sign}{rate:.3g} +- {error:.2g}", f"{sign}{years:.3g}"]


def _remark(events, columns, i):
    lone = columns["one_detector"][i] if "one_detector" in columns and events.stat[i] > 0 else ""
    said = (columns["catalogue"][i], f"{lone} alone: glitch-like" if lone else "", columns["remarks"][i])
    return "; ".join(part for part in said if part)


def further_tables(
    found: Found, columns: dict, taken: Sequence[int], intervals: Sequence, threshold: float
) -> tuple[list, dict]:
    """Return what became of catalogue events in the searched strain, and which statistic noise exceeds in the slides.

    Args:
        found: `search.results.Found`.
        columns: Of its events: `catalogue`, and what `significance.judge` gives where there is a background.
        taken: Indices of the events whose strain left the background.
        intervals: Rows of GPS start, GPS stop and origin, which were searched; those of simulated strain hold no known events.
        threshold: Lowest statistic of the search.

    Returns:
        Tuple (tables, attributes): list of (heading, header, rows) of text; the thresholds of `FALSE_ALARMS_A_MONTH` as numbers.
    """
    measured = [(start, stop) for start, stop, origin in intervals if origin == MEASURED]
    known = [event for event in catalogue_events() if any(start <= event[0] < stop for start, stop in measured)]
    tables, attributes = [], {}
    if known:
        tables.append(("Catalogue events in the strain", *_catalogue_table(found.events, columns, known)))
    if found.background.seconds:
        header, rows, attributes = _threshold_table(found, taken, [time for time, _ in known], threshold)
        hours = attributes["threshold_background_seconds"] / 3600
        heading = f"What noise exceeds ({hours:.2f} h of slides without catalogue events and what else stands out)"
        tables.append((heading, header, rows))
    return tables, attributes


def _threshold_table(found, taken, known, lowest):
    """Return (header, rows, attributes), see `_threshold`."""
    times = found.events.time[taken]
    others = [time for time in times if not np.any(np.abs(np.subtract(known, time)) <= LEFT_OUT_SECONDS)]
    searched = found.searched_seconds
    quiet = found.background.without(known, searched, LEFT_OUT_SECONDS).without(others, searched)
    levels, limits, said = zip(*(_threshold(quiet, rate, lowest) for rate in FALSE_ALARMS_A_MONTH), strict=True)
    attributes = {
        "threshold_rates": list(FALSE_ALARMS_A_MONTH),
        "thresholds": list(levels),
        "threshold_is_limit": list(limits),
        "threshold_background_seconds": quiet.seconds,
    }
    rows = [[f"{rate:g}", text] for rate, text in zip(FALSE_ALARMS_A_MONTH, said, strict=True)]
    return ["false alarms a month", "statistic"], rows, attributes


def _threshold(background, rate, lowest):
    """Return (statistic, whether it is a limit, text) at a rate a month.

    Where the background is too short to show the rate, the threshold lies above its loudest; where it has fewer events than the rate
    allows, at the lowest statistic of the search or below.
    """
    level = threshold_at_rate(background.stat, background.seconds, rate / MONTH_SECONDS)
    loudest = float(background.stat.max(initial=lowest))
    if level is None and not len(background.stat):
        return lowest, True, f"not shown (nothing above {lowest:g} in the slides)"
    if level is None:
        return loudest, True, f"> {loudest:.2f} (not shown)"
    if level == -np.inf:
        return lowest, True, f"{lowest:g} or less (noise exceeds it less often)"
    return level, False, f"{level:.2f}"


def _catalogue_table(events, columns, known):
    """Return (header, rows) of known events, (GPS seconds, name), loudest first."""
    titles = {"far": "false alarms a year", "p_astro": "p astro"}
    header = ["catalogue event", "statistic", "rank", *(title for name, title in titles.items() if name in columns)]
    order, rows, lost = np.argsort(events.stat)[::-1], [], {name for _, name in known}
    for rank, i in enumerate(order, 1):
        name = columns["catalogue"][i]
        if name in lost:
            lost.remove(name)
            row = [name, f"{events.stat[i]:.2f}", str(rank), *(_rate(columns, i)[:1] if "far" in columns else [])]
            rows.append([*row, *([f"{columns['p_astro'][i]:.4f}"] if "p_astro" in columns else [])])
    return header, rows + [[name, "not found", *["-"] * (len(header) - 2)] for _, name in known if name in lost]
