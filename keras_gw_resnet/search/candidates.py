"""Cluster the scores of a scan into events, and write them."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.signal

from keras_gw_resnet.files import new_hdf5, written_aside

if TYPE_CHECKING:
    from keras_gw_resnet.search.scan import Scan

CLUSTER_SECONDS = 1.0
# One detector alone speaks where the others add less than this share of what it adds itself.
OTHERS_SHARE = 0.5
# A detector speaks where muting it takes so much from the statistic, a log-odds.
SPEAKS = 5.0


@dataclass(frozen=True)
class Candidates:
    """Candidate events in order of time.

    Attributes:
        time: GPS seconds of the coalescence at the Earth's centre, float64 (n,).
        stat: Ranking statistic, larger is more signal-like, float64 (n,).
        var: Timing tolerance of each event in seconds, float64 (n,).
        alone: Statistic of each detector alone, see `Detector.alone`, (n, detectors); (n, 0): not worked out.
        gated: Whether strain of each detector was gated at the event, boolean (n, detectors); (n, 0): none was.
        light: 1 where a light binary is likelier than a heavy one, 0 where not, -1 where the network does not tell them apart, int8 (n,).
    """

    time: np.ndarray
    stat: np.ndarray
    var: np.ndarray
    alone: np.ndarray = None
    gated: np.ndarray = None
    light: np.ndarray = None

    def __post_init__(self):
        if self.light is None:
            object.__setattr__(self, "light", np.full(len(self.time), -1, np.int8))
        for name, kind in (("alone", np.float64), ("gated", bool)):
            if getattr(self, name) is None:
                object.__setattr__(self, name, np.zeros((len(self.time), 0), kind))

    def __len__(self) -> int:
        return len(self.time)

    def select(self, chosen: np.ndarray) -> Candidates:
        """Return the events that an index or a boolean array chooses."""
        return Candidates(*(getattr(self, field.name)[chosen] for field in fields(self)))

    def loudest(self, number: int) -> Candidates:
        """Return the loudest events, loudest first."""
        return self.select(np.argsort(self.stat)[::-1][:number])


def join(events: Sequence[Candidates]) -> Candidates:
    """Join Candidates into one, in order of time."""
    found = [e for e in events if len(e)] or list(events[:1]) or [Candidates(*np.empty((3, 0)))]
    every = Candidates(*(_stacked([getattr(e, field.name) for e in found]) for field in fields(Candidates)))
    return every.select(np.argsort(every.time, kind="stable"))


def _stacked(columns):
    """Concatenate arrays (n,) or (n, detectors); one without detectors, (n, 0), is filled: none gated, statistics not known."""
    shape = max(column.shape[1:] for column in columns)
    fill = False if columns[0].dtype == bool else np.nan
    return np.concatenate([c if c.shape[1:] == shape else np.full((len(c), *shape), fill, c.dtype) for c in columns])


def speaks_alone(stat: np.ndarray, alone: np.ndarray) -> np.ndarray:
    """Say which events one detector makes alone, as a glitch does: muting the others takes little from the statistic.

    The others add the statistic less that of the loudest detector alone. What this detector adds is what muting it takes
    away, down to the next loudest detector alone; in quiet noise, where that is little, none speaks.

    Args:
        stat: Statistics, array (n,).
        alone: Statistic of each detector alone, array (n, detectors).

    Returns:
        Integer array (n,): the detector's column; -1 where several speak or it is not known.
    """
    if alone.shape[1] < 2:
        return np.full(len(stat), -1)
    second, first = np.sort(alone, axis=1)[:, -2:].T
    lone = (stat - first < OTHERS_SHARE * (stat - second)) & (stat - second > SPEAKS)
    return np.where(lone, np.argmax(alone, axis=1), -1)


def detectors_alone(events: Candidates, detectors: Sequence[str]) -> np.ndarray:
    """Return the name of the detector that makes each event alone, empty where several do, text array (n,); see `speaks_alone`."""
    return np.array([*detectors, ""], str)[speaks_alone(events.stat, events.alone)]


def locate(scan: Scan, window: int) -> float:
    """Return where in a window the evidence for a signal is, as a fractional index into `scan.evidence`.

    Args:
        scan: `scan.Scan`.
        window: Index of the window, the highest of its cluster.

    Returns:
        The centre of weight of the evidence around its highest value, above half its height: in the window, or, where
        a window is one value of evidence, among the windows that overlap it by half and more.
    """
    first, last = (window, window + scan.reach) if scan.reach > 1 else (max(0, window - 8), window + 9)
    evidence = np.asarray(scan.evidence[first:last], np.float64)
    peak = int(np.argmax(evidence))
    level = (evidence[peak] + np.median(evidence)) / 2
    below = np.flatnonzero(evidence < level)
    left = below[below < peak].max(initial=-1) + 1
    right = below[below > peak].min(initial=len(evidence))
    weight = evidence[left:right] - level
    return first + (np.average(np.arange(left, right), weights=weight) if weight.sum() > 0 else peak)


def find_events(
    scan: Scan,
    gps_start: float,
    stride_seconds: float,
    *,
    merger_seconds: float,
    tolerance_seconds: float,
    threshold: float,
    alone: np.ndarray | None = None,
) -> Candidates:
    """Cluster the scores of one stretch: the highest score within `CLUSTER_SECONDS` either side is an event.

    Args:
        scan: `scan.Scan` of the stretch.
        gps_start: GPS time of its first sample.
        stride_seconds: From one window to the next.
        merger_seconds: Coalescence time after the sample to which the evidence for it is counted.
        tolerance_seconds: Timing tolerance to give the events.
        threshold: Lowest score of an event.
        alone: What each detector alone gives for each score, array (scores, detectors); None: not known.

    Returns:
        Candidates.
    """
    padded = np.concatenate([[-np.inf], scan.scores, [-np.inf]])
    distance = max(1, round(CLUSTER_SECONDS / stride_seconds))
    peaks = scipy.signal.find_peaks(padded, height=threshold, distance=distance)[0] - 1
    at = np.array([locate(scan, peak) for peak in peaks], np.float64)
    return Candidates(
        time=gps_start + at * stride_seconds + merger_seconds,
        stat=scan.scores[peaks].astype(np.float64),
        var=np.full(len(peaks), float(tolerance_seconds)),
        alone=None if alone is None else alone[peaks].astype(np.float64),  # ty: ignore[invalid-argument-type]
        light=None if scan.light is None else (scan.light[peaks] > 0).astype(np.int8),  # ty: ignore[invalid-argument-type]
    )


def write_events_hdf5(
    events: Candidates, path: Path | str, attributes: dict, more: dict | None = None, lists: Mapping | None = None
) -> None:
    """Write events to HDF5 as `write_events` does, and to nothing else."""
    columns = named_columns(events, more)
    columns |= {f"{group}/{name}": own for group, table in (lists or {}).items() for name, own in table.items()}
    with written_aside(path) as aside, new_hdf5(aside) as file:
        file.attrs.update(attributes)
        for name, column in columns.items():
            file[name] = np.char.encode(column) if column.dtype.kind == "U" else column


def detector_columns(events: Candidates, detectors: Sequence[str]) -> dict[str, np.ndarray]:
    """Return what is known of each detector and of templates, a dictionary of arrays (n,).

    `stat_H1`, ...: the statistic of this detector alone, the strain of the others replaced by zeros, where it is known;
    `templates`: "light" or "heavy", the class of binaries that is likelier, where the network tells them apart;
    `one_detector`: the detector that alone speaks, as a glitch does, empty where several do.
    """
    columns = {f"stat_{name}": own for name, own in zip(detectors, events.alone.T, strict=False)}
    if np.any(events.light >= 0):
        columns["templates"] = np.array(["heavy", "light", ""], str)[events.light]
    if events.alone.shape[1]:
        columns["one_detector"] = detectors_alone(events, detectors)
    return columns


def named_columns(events: Candidates, more: Mapping | None = None) -> dict[str, np.ndarray]:
    """Return time, stat and var of events by name, arrays (n,), and more columns."""
    return {name: getattr(events, name) for name in ("time", "stat", "var")} | dict(more or {})


def write_events(
    events: Candidates, path: Path, attributes: dict, more: dict | None = None, lists: Mapping | None = None
) -> list[Path]:
    """Write events to HDF5 (1-D `time`, `stat`, `var`, as in MLGWSC-1), and to CSV and JSON beside it.

    Args:
        events: Candidates.
        path: HDF5 file; the others take its name with the suffixes .csv and .json.
        attributes: Dictionary of root attributes: which network, which files, how much strain.
        more: Dictionary of further arrays (n,), such as false-alarm rates; text is UTF-8 in HDF5.
        lists: Of what is no event, such as gates: name -> dictionary of arrays (m,); a group in HDF5, a list of objects in JSON.

    Returns:
        Paths of all files.
    """
    columns = named_columns(events, more)
    tables = {**(lists or {}), "events": columns}
    rows = {name: list(zip(*(c.tolist() for c in own.values()), strict=True)) for name, own in tables.items()}
    with written_aside(path.with_suffix(".csv")) as table, written_aside(path.with_suffix(".json")) as text:
        write_events_hdf5(events, path, attributes, more, lists)
        with table.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            writer.writerows(rows["events"])
        every = {
            name: [dict(zip(tables[name], map(finite_or_none, row), strict=True)) for row in own]
            for name, own in rows.items()
        }
        text.write_text(json.dumps({**attributes, **every}, indent=1) + "\n")
    return event_files(path)


def finite_or_none(value: Any) -> Any:
    """Return a value, None (null in JSON) for numbers that are not finite: strict readers refuse NaN."""
    return None if isinstance(value, float) and not np.isfinite(value) else value


def event_files(path: Path) -> list[Path]:
    """Return the paths of all files that `write_events` writes for an HDF5 path."""
    return [path, path.with_suffix(".csv"), path.with_suffix(".json")]
