"""Glitches that a table such as that of Gravity Spy lists, cut from strain files."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_gw_resnet.errors import InputError
from keras_gw_resnet.progress import Bar
from keras_gw_resnet.simulation.glitch_bank import GlitchBank
from keras_gw_resnet.simulation.glitch_import import CutOptions, Cutter, cut_from_stretch
from keras_gw_resnet.strain.catalogue import left_out_intervals
from keras_gw_resnet.strain.conditioning import Whitening
from keras_gw_resnet.strain.quality import inside
from keras_gw_resnet.strain.stretches import whitened_stretches

if TYPE_CHECKING:
    from keras_gw_resnet.strain.layouts import SegmentHeader

TABLE_COLUMNS = {
    "time": ("gpstime", "event_time", "gps_time", "gps"),
    "detector": ("ifo", "detector"),
    "label": ("label", "ml_label"),
    "snr": ("snr",),
    "confidence": ("confidence", "ml_confidence"),
}


def read_table(path: Path | str, confidence: float = 0.0) -> list[dict]:
    """Read a table of glitches as Gravity Spy publishes them (arXiv 2208.12849): CSV with GPS time, detector and label.

    Args:
        path: CSV with GPStime or event_time, ifo, label or ml_label, and perhaps snr and confidence or ml_confidence.
        confidence: Lowest confidence of the label; above 0 the table needs that column.

    Returns:
        List of dictionaries with time, detector, label, snr (NaN where not said), in order of time.

    Raises:
        InputError: The table cannot be read, or lacks a column.
    """
    try:
        with Path(path).open(newline="") as file:
            rows = list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as a table; expected CSV with a line of column names") from error
    titles = [title.strip().lower() for title in rows[0]] if rows else []
    columns = {key: next((titles.index(n) for n in names if n in titles), None) for key, names in TABLE_COLUMNS.items()}
    needed = ["time", "detector", "label", *(["confidence"] if confidence else [])]
    lacking = [" or ".join(TABLE_COLUMNS[key]) for key in needed if columns[key] is None]
    if lacking:
        raise InputError(f"{path}: lacks the column {', '.join(lacking)}; it has {', '.join(titles) or 'none'}")
    found = []
    for number, row in enumerate(rows[1:], 2):
        if not row:
            continue
        try:
            entry = {key: row[at].strip() for key, at in columns.items() if at is not None}
            one = {
                "time": float(entry["time"]),
                "detector": entry["detector"],
                "label": entry["label"],
                "snr": float(entry.get("snr") or "nan"),
            }
            sure = float(entry.get("confidence") or 1)
        except (IndexError, ValueError) as error:
            raise InputError(f"{path}: line {number} cannot be read ({error})") from error
        if sure >= confidence:
            found.append(one)
    if not found:
        raise InputError(f"{path}: lists no glitch of a confidence of {confidence:g} and more")
    return sorted(found, key=lambda one: one["time"])


def import_table(
    path: Path | str,
    headers: Sequence[SegmentHeader],
    options: CutOptions,
    *,
    confidence: float = 0.0,
    skip_outside: bool = False,
    settings: Whitening | None = None,
) -> tuple[GlitchBank, int]:
    """Cut the glitches of a table out of strain; what it lists within 4 s of a catalogue event is none.

    Args:
        path: Table, see `read_table`.
        headers: SegmentHeader list, as from `find_segments`.
        options: CutOptions.
        confidence: Lowest confidence of a label.
        skip_outside: Whether to leave out glitches outside the strain.
        settings: Whitening; None: the defaults.

    Returns:
        Tuple (GlitchBank, number left out because they do not stand out of their noise, are gated, lie around catalogue events, or
        are outside the strain).

    Raises:
        InputError: The table lacks a column, a glitch lies outside the strain, or none can be cut.
    """
    settings, listed = settings or Whitening(), read_table(path, confidence)
    signals = inside([row["time"] for row in listed], left_out_intervals())
    rows = [row for row, signal in zip(listed, signals, strict=True) if not signal]
    if not rows:
        raise InputError(f"{path}: lists nothing but what lies around catalogue events, which are no glitches")
    present = {h.detector for h in headers}
    cutter, done = Cutter(settings.sample_rate, options), [False] * len(rows)
    seconds, times = sum(h.samples / h.sample_rate for h in headers), [row["time"] for row in rows]
    with Bar(total=round(seconds), desc="strain", unit="s") as bar:
        for detector in sorted(present & {row["detector"] for row in rows}):
            for stretch in whitened_stretches(headers, (detector,), settings):
                begin, end = np.searchsorted(times, [stretch.gps_start, stretch.gps_stop])
                for number, row in enumerate(rows[begin:end], begin):
                    at = row["time"] - stretch.gps_start
                    if row["detector"] == detector and not done[number]:
                        done[number] = True
                        cut_from_stretch(cutter, stretch, 0, at, row["label"], Path(path).name, row["snr"])
                bar.update(round(stretch.seconds))
    outside = [row for row, cut in zip(rows, done, strict=True) if not cut]
    if outside and not skip_outside:
        one = outside[0]
        raise InputError(
            f"{path}: {len(outside)} of {len(rows)} glitches lie outside the strain given, the first of {one['detector']} "
            f"at GPS {one['time']:.3f}; give its file, or leave such out with --skip-outside"
        )
    return cutter.bank(path), cutter.left_out + cutter.gated + int(signals.sum()) + len(outside)
