"""The measured noise of a set: which pieces of strain it holds, how often, and what that leaves uncertain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_gw_resnet.evaluation.sensitivity import MONTH_SECONDS, Matched
from keras_gw_resnet.hdf5 import attribute, open_hdf5, text
from keras_gw_resnet.strain.layouts import MEASURED

# Sets drawn with replacement of the pieces of noise.
REPLICATES, SEED = 400, 1_000_211
# So many times the background events that a rate allows are looked at for its threshold.
LOUDEST = 30


@dataclass(frozen=True)
class NoisePieces:
    """What the noise of a set with injections is made of.

    Attributes:
        start, stop: GPS seconds of the set's segments, float64 arrays (n,) in order of time.
        piece: Which piece of each detector's strain a segment holds, integer array (n, detectors).
        distinct: Dictionary detector -> distinct seconds of strain.
        most: Dictionary detector -> how often one second is used at most.
        sources: [GPS start, GPS stop, "measured"] of the strain of the first detector.
    """

    start: np.ndarray
    stop: np.ndarray
    piece: np.ndarray
    distinct: dict
    most: dict
    sources: list

    @property
    def seconds(self) -> float:
        """Length of the set."""
        return float(np.sum(self.stop - self.start))

    def lines(self) -> list[str]:
        """Say for each detector how much strain there is and how often it is used, a line each."""
        return [
            f"{d}: {own} s of strain in {self.piece[:, column].max() + 1} pieces, each used {self.seconds / own:.1f} times in "
            f"the mean and {self.most[d]} times at most"
            for column, (d, own) in enumerate(self.distinct.items())
        ]

    def to_dict(self) -> dict:
        """Return what cards and records keep."""
        pieces = (self.piece.max(axis=0) + 1).tolist()
        return {"distinct_seconds": self.distinct, "most_uses": self.most, "pieces": pieces}

    def segments_of(self, times: np.ndarray) -> np.ndarray:
        """Return the index of the segment in which each GPS time lies."""
        return np.clip(np.searchsorted(self.start, times, side="right") - 1, 0, len(self.start) - 1)

    def draw(self, rng: np.random.Generator, number: int) -> np.ndarray:
        """Draw the pieces of each detector with replacement, float64 array (number, n): how often that has each segment.

        Pieces of two detectors are drawn independently and multiplied, the pigeonhole bootstrap of crossed factors (Owen 2007,
        Annals of Applied Statistics 1, 386).
        """
        weight = np.ones((number, len(self.start)))
        for own in self.piece.T:
            pieces = own.max() + 1
            weight *= rng.multinomial(pieces, np.full(pieces, 1 / pieces), number)[:, own]
        return weight[weight.any(axis=1)]


def read_noise_pieces(path: Path | str, detectors: Sequence[str]) -> NoisePieces | None:
    """Read which measured noise a background file of 'simulate set --noise' holds; None: its noise is none such."""
    with open_hdf5(path) as file:
        if text(attribute(file, "noise", "")) != "measured":
            return None
        rows = []
        for name in file[detectors[0]]:
            own = [file[f"{detector}/{name}"] for detector in detectors]
            start = float(own[0].attrs["start_time"])
            length = own[0].attrs["source_stop"] - own[0].attrs["source_start"]
            rows.append((start, start + length, *(one.attrs["source_start"] for one in own)))
        known = {
            what: {d: int(attribute(file, f"noise_{what}_{d}")) for d in detectors} for what in ("seconds", "uses")
        }
        start, stop, *sources = np.array(sorted(rows), float).T
    piece = np.stack([np.unique(source, return_inverse=True)[1] for source in sources], axis=-1)
    own = [
        [at, float(np.max((at + stop - start)[sources[0] == at])), MEASURED] for at in np.unique(sources[0]).tolist()
    ]
    return NoisePieces(start, stop, piece, known["seconds"], known["uses"], own)


def bootstrapped(
    rows: Sequence[dict], found: Matched, stat: np.ndarray, time: np.ndarray, seconds: float, pieces: NoisePieces
) -> list[dict]:
    """Return rows of `sensitivity.sensitivity` with the errors that the choice of the noise leaves.

    Noise that is used several times is no new noise, and a glitch of it comes again: thresholds and distances are worked out for
    sets of pieces of strain that are drawn with replacement, and not of events.

    Args:
        rows: As from `sensitivity.sensitivity`.
        found: Matched.
        stat: Statistics of the background's events, array (n,).
        time: Their GPS times in the set, array (n,).
        seconds: How much background was searched.
        pieces: NoisePieces of the set.
    """
    weight = pieces.draw(np.random.default_rng(SEED), REPLICATES)
    share = weight @ (pieces.stop - pieces.start) / pieces.seconds
    of_injection = weight[:, pieces.segments_of(found.injections["tc"])]
    kept = [row for row in rows if row["distance"] is not None]
    allowed = np.array([row["rate"] for row in kept]) / MONTH_SECONDS * seconds
    order = np.argsort(-stat)[: LOUDEST * (int(allowed.max(initial=0)) + 1)]
    louder = np.cumsum(weight[:, pieces.segments_of(time[order])], axis=1)
    made = {}
    for row, own in zip(kept, allowed, strict=True):
        # The first event of which there are more than the rate allows; where there are fewer, all are found.
        first = np.sum(louder <= own * share[:, None], axis=1)
        threshold = np.append(stat[order], -np.inf)[first]
        made[row["rate"]] = {**row, **_errors(row, found, threshold, of_injection)}
    return [made.get(row["rate"], row) for row in rows]


def _errors(row, found, threshold, weight):
    """Return the standard errors of a row, by the thresholds and the weights of the injections of every replicate."""
    hit = (found.stat > threshold[:, None]) * weight
    total = np.maximum(weight.sum(axis=1), 1)
    fraction, volume = hit.sum(axis=1) / total, hit @ found.mchirp**2.5 / total
    unit = 4 / 3 * np.pi * found.distance.max() ** 3 / found.mchirp.max() ** 2.5
    distance = (3 * unit * volume / (4 * np.pi)) ** (1 / 3)
    finite = threshold[np.isfinite(threshold)]
    return {
        "threshold_error": float(finite.std()) if row["threshold"] is not None and len(finite) else None,
        "distance_error": float(distance.std()),
        "volume_error": float((unit * volume).std()) / 1e9,
        "found_error": float(fraction.std()),
    }
