"""What a search finds, part by part and in all, and how it is written."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_gw_resnet.files import written_aside
from keras_gw_resnet.search.background import Background, join_backgrounds, write_background
from keras_gw_resnet.search.candidates import (
    CLUSTER_SECONDS,
    Candidates,
    detector_columns,
    event_files,
    join,
    speaks_alone,
    write_events,
)
from keras_gw_resnet.strain.catalogue import names_at
from keras_gw_resnet.strain.gating import gate_columns, join_gates
from keras_gw_resnet.strain.layouts import MEASURED
from keras_gw_resnet.strain.stretches import Coverage

if TYPE_CHECKING:
    from keras_gw_resnet.search.detector import Detector
    from keras_gw_resnet.strain.layouts import SegmentHeader


@dataclass(frozen=True)
class Snapshot:
    """Strain and scores around an event.

    Attributes:
        time, stat: Of the event.
        gps_start: GPS time of the first sample of the strain.
        sample_rate: Samples per second.
        strain: Whitened float32 array (samples, detectors).
        score_time: GPS time that each score tells of, see `Detector.times_of`.
        scores: The network's statistic.
        alone: Statistic of each detector alone, (scores, detectors); (scores, 0): not worked out.
        gates: Rows of detector column, GPS start and GPS stop of strain that was gated, (n, 3).
    """

    time: float
    stat: float
    gps_start: float
    sample_rate: int
    strain: np.ndarray
    score_time: np.ndarray
    scores: np.ndarray
    alone: np.ndarray = None
    gates: np.ndarray = None

    def __post_init__(self):
        for name, shape in (("alone", (len(self.scores), 0)), ("gates", (0, 3))):
            if getattr(self, name) is None:
                object.__setattr__(self, name, np.zeros(shape))

    def marks(self, detectors: Sequence[str], headers: Sequence[SegmentHeader] = ()) -> list[tuple]:
        """List what is to be said of the strain shown: (detector or None, GPS start, GPS stop, what).

        Gated strain, what the files flag or mark as injected, and glitch-like intervals, in which one detector alone makes the statistic.

        Args:
            detectors: Names, in column order.
            headers: SegmentHeader list of the strain.
        """
        marks = [(detectors[int(column)], start, stop, "gated") for column, start, stop in self.gates]
        marks += [(h.detector, *remark) for h in headers if h.detector in detectors for remark in h.remarks]
        lone = np.where(self.scores > 0, speaks_alone(self.scores, self.alone), -1)
        for column, name in enumerate(detectors):
            edges = np.flatnonzero(np.diff(lone == column, prepend=False, append=False)).reshape(-1, 2)
            marks += [
                (None, *self._around(a, b), f"{name} alone: glitch-like") for a, b in edges if self._is_highest(a, b)
            ]
        first, last = self.gps_start, self.gps_start + len(self.strain) / self.sample_rate
        return [mark for mark in marks if mark[1] < last and mark[2] > first]

    def _is_highest(self, first, last):
        """Say whether nothing within `CLUSTER_SECONDS` of some scores is higher than they are: a shoulder of an event is none of its own."""
        start, stop = self._around(first, last)
        near = (self.score_time > start - CLUSTER_SECONDS) & (self.score_time < stop + CLUSTER_SECONDS)
        return self.scores[first:last].max() >= self.scores[near].max()

    def _around(self, first, last):
        """Return the GPS start and stop of scores, half a step on either side."""
        step = np.median(np.diff(self.score_time)) if len(self.score_time) > 1 else 0.0
        return self.score_time[first] - step / 2, self.score_time[last - 1] + step / 2


# Names of strain files that are written into the events.
LISTED = 100
NUMBERS = ("searched_seconds", "vetoed_seconds", "difference")


@dataclass(frozen=True)
class Found:
    """What a network found in some strain.

    Attributes:
        events: Candidates in order of time.
        background: Background of the slides, without events where there were none.
        coverage: What became of the strain.
        searched_seconds: How much of it was scored and not vetoed.
        vetoed_seconds: How much of it was vetoed.
        snapshots: List of Snapshot, the loudest first.
        difference: Largest difference between the scan and prediction window by window where they were compared.
        intervals: GPS starts and stops of what was scored and not vetoed, array (n, 2).
        gates: Every gated place of the strain that was whitened, see `gating.join_gates`, array (n, 4).
    """

    events: Candidates
    background: Background
    coverage: Coverage
    searched_seconds: float
    vetoed_seconds: float
    snapshots: list
    difference: float
    intervals: np.ndarray = field(default_factory=lambda: np.empty((0, 2)))
    gates: np.ndarray = field(default_factory=lambda: np.empty((0, 4)))

    def to_arrays(self) -> dict:
        """Return all of it as a dictionary of NumPy arrays and numbers."""
        arrays = dict(vars(self.events))
        arrays |= {f"background_{name}": value for name, value in vars(self.background).items()}
        arrays |= {f"coverage_{name}": value for name, value in vars(self.coverage).items()}
        arrays |= {name: getattr(self, name) for name in (*NUMBERS, "intervals", "gates")}
        for number, one in enumerate(self.snapshots):
            arrays |= {f"snapshot{number}_{name}": value for name, value in vars(one).items()}
        return {**arrays, "snapshots": len(self.snapshots)}

    @classmethod
    def from_arrays(cls, arrays: Mapping, prefix: str = "") -> Found:
        """Read what `to_arrays` returned, from names that begin with `prefix`."""

        def read(kind, name):
            values = {own.name: arrays[f"{prefix}{name}{own.name}"] for own in fields(kind)}
            return kind(**{own: value if value.ndim else value.item() for own, value in values.items()})

        return cls(
            events=read(Candidates, ""),
            background=read(Background, "background_"),
            coverage=read(Coverage, "coverage_"),
            snapshots=[read(Snapshot, f"snapshot{number}_") for number in range(int(arrays[f"{prefix}snapshots"]))],
            **{name: float(arrays[f"{prefix}{name}"]) for name in NUMBERS},
            intervals=arrays[f"{prefix}intervals"],
            gates=arrays[f"{prefix}gates"],
        )


def join_found(parts: Sequence[Found], detectors: int, snapshots: int) -> Found:
    """Join what was found in parts of the strain.

    Args:
        parts: List of Found.
        detectors: How many there are.
        snapshots: How many to keep.

    Returns:
        Found.
    """
    coverage = Coverage()
    for part in parts:
        coverage.add(part.coverage)
    every = sorted((one for part in parts for one in part.snapshots), key=lambda one: -one.stat)
    return Found(
        join([part.events for part in parts]),
        join_backgrounds([part.background for part in parts], detectors),
        coverage,
        sum(part.searched_seconds for part in parts),
        sum(part.vetoed_seconds for part in parts),
        every[:snapshots],
        max((part.difference for part in parts), default=0.0),
        np.concatenate([np.empty((0, 2)), *(part.intervals for part in parts)]),
        join_gates([part.gates for part in parts]),
    )


def remarks_of(events: Candidates, detectors: Sequence[str], headers: Sequence[SegmentHeader]) -> np.ndarray:
    """Say of every event what the files and the conditioning say of its time.

    Args:
        events: Candidates.
        detectors: Names, in column order.
        headers: SegmentHeader list of the strain.

    Returns:
        Text array (n,): "H1: CBC hardware injection; L1: gated", empty where there is nothing to say.
    """
    found = [[] for _ in range(len(events))]
    for header in headers:
        for start, stop, what in header.remarks if header.detector in detectors else ():
            for number in np.flatnonzero((events.time >= start - events.var) & (events.time < stop + events.var)):
                found[number].append(f"{header.detector}: {what}")
    for name, gated in zip(detectors, events.gated.T, strict=False):
        for number in np.flatnonzero(gated):
            found[number].append(f"{name}: gated")
    return np.array(["; ".join(dict.fromkeys(own)) for own in found], str)


def describing_columns(
    events: Candidates, detectors: Sequence[str], headers: Sequence[SegmentHeader]
) -> dict[str, np.ndarray]:
    """Return what is known about each event beside its significance, a dictionary of arrays (n,).

    Those of `detector_columns`; `catalogue`: the name of the known event there, for the loudest within a second, or empty, as in simulated
    strain; `remarks`: see `remarks_of`.
    """
    known = names_at(events.time)
    for header in headers:
        if header.origin != MEASURED:
            known[(events.time >= header.gps_start) & (events.time < header.gps_stop)] = ""
    louder = np.argsort(-events.stat, kind="stable")
    fainter = np.delete(louder, np.unique(known[louder], return_index=True)[1])
    known[fainter] = ""  # another event beside it is not the known one
    return {
        **detector_columns(events, detectors),
        "catalogue": known,
        "remarks": remarks_of(events, detectors, headers),
    }


@dataclass(frozen=True)
class Output:
    """Files of one network's search: `events`, a path, and what stands beside it."""

    events: Path

    @property
    def background(self) -> Path:
        """Return the path of the background."""
        return self.events.with_name(f"{self.events.stem}-background{self.events.suffix}")

    def files(self, slides: int | None) -> list[Path]:
        """Return the paths of all files, with that of the background where there are slides."""
        return [*event_files(self.events), *([self.background] if slides else [])]


def attributes_of(network: Detector, found: Found, strain: Sequence[Path | str], **more) -> dict:
    """Return what is known about a search, by name: which network, which files, how much strain.

    Args:
        network: `search.detector.Detector`.
        found: Found.
        strain: Paths that were searched.
        **more: Further attributes.
    """
    names = [Path(path).name for path in strain]
    return {
        "model": network.name,
        "model_sha256": network.card["sha256"],
        "detectors": list(network.detectors),
        "files": names if len(names) <= LISTED else [*names[:LISTED], f"and {len(names) - LISTED} more"],
        "searched_seconds": found.searched_seconds,
        "invalid_seconds": found.coverage.invalid,
        "vetoed_seconds": found.vetoed_seconds,
        "gate": network.whitening.gate,
        "gated_seconds": found.coverage.gated,
        "stride_seconds": network.stride_seconds,
        "exact_scan": network.exact,
        "scan_difference": found.difference,
        "precision": network.precision,
        **more,
    }


@contextlib.contextmanager
def written(
    output: Output,
    events: Candidates,
    columns: dict,
    background: Background | None,
    detectors: Sequence[str],
    attributes: dict,
    gates: np.ndarray,
) -> Generator:
    """Write a search's events with its gates and, where it is not None, its background; all stands at its place when the block ends.

    What else belongs to the search is written within the block, with `written_aside` on the ExitStack that is given.

    Yields:
        contextlib.ExitStack.
    """
    with contextlib.ExitStack() as stack:
        yield stack
        if background is not None:
            aside = stack.enter_context(written_aside(output.background))
            write_background(background, aside, detectors, attributes)
        write_events(events, output.events, attributes, columns, {"gates": gate_columns(gates, detectors)})
