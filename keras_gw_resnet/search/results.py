"""What a search finds, part by part and in all."""

from dataclasses import dataclass, fields

import numpy as np

from keras_gw_resnet.search.background import Background, join_backgrounds
from keras_gw_resnet.search.candidates import Candidates, join
from keras_gw_resnet.strain.stretches import Coverage


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
    """

    time: float
    stat: float
    gps_start: float
    sample_rate: int
    strain: np.ndarray
    score_time: np.ndarray
    scores: np.ndarray


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
    """

    events: Candidates
    background: Background
    coverage: Coverage
    searched_seconds: float
    vetoed_seconds: float
    snapshots: list
    difference: float

    def to_arrays(self):
        """Return all of it as a dictionary of NumPy arrays and numbers."""
        arrays = {name: getattr(self.events, name) for name in ("time", "stat", "var")}
        arrays |= {f"background_{name}": value for name, value in vars(self.background).items()}
        arrays |= {f"coverage_{name}": value for name, value in vars(self.coverage).items()}
        arrays |= {name: getattr(self, name) for name in NUMBERS}
        for number, one in enumerate(self.snapshots):
            arrays |= {f"snapshot{number}_{name}": value for name, value in vars(one).items()}
        return {**arrays, "snapshots": len(self.snapshots)}

    @classmethod
    def from_arrays(cls, arrays, prefix=""):
        """Read what `to_arrays` returned, from names that begin with `prefix`."""

        def read(kind, name):
            values = {field.name: arrays[f"{prefix}{name}{field.name}"] for field in fields(kind)}
            return kind(**{field: value if value.ndim else value.item() for field, value in values.items()})

        return cls(
            events=read(Candidates, ""),
            background=read(Background, "background_"),
            coverage=read(Coverage, "coverage_"),
            snapshots=[read(Snapshot, f"snapshot{number}_") for number in range(int(arrays[f"{prefix}snapshots"]))],
            **{name: float(arrays[f"{prefix}{name}"]) for name in NUMBERS},
        )


def join_found(parts, detectors, snapshots):
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
    )
