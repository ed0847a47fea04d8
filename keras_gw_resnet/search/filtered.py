"""Parts of a matched filter in NumPy, as `models.matched_filter` and `models.ranking` have them, for `lean`.

Half squared signal-to-noise ratios are sums of two squares here: templates are scaled by the root of a half.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from keras_gw_resnet.models.matched_filter import (
    COINCIDENT,
    FIRST,
    FIRST_PENALTY,
    FURTHER,
    FURTHER_LIMIT,
    FURTHER_VARIANCE,
    Penalty,
)
from keras_gw_resnet.models.ranking import CONCENTRATION, DELAYS, LIMIT

if TYPE_CHECKING:
    from collections.abc import Sequence

# Steps that are worked on at once, so that what they give stays in the cache of a core.
TILE = 256
HALF, ONE = np.float32(0.5), np.float32(1.0)


class Templates:
    """Templates that are sums of what kernels gave, in phase and in quadrature.

    Args:
        weights: Of the two layers, arrays (1, kernels, templates * times).
        times: At how many times within a step each is tried.
        beyond: How many of the kernels, the first ones, are taken out of the strain whose power says what is no binary.
        samples: That those kernels see.
        penalty: Of tests of consistency, by which powers are divided where the strain does not look like the template; None: there are none.
    """

    def __init__(self, weights: Sequence, times: int, beyond: int, samples: int, *, penalty: Penalty | None) -> None:
        self._coefficients = [np.ascontiguousarray(each[0] * np.sqrt(HALF)) for each in weights]
        self._kernels, self.width = self._coefficients[0].shape
        self.times, self.number = times, self.width // times
        # Steps before and after that delays lead to.
        self.reach = -(-DELAYS // times)
        self._consistency = penalty is not None
        # What sums the squares of all its kernels, and of the first ones, over so many degrees of freedom.
        free = [max(self._kernels - 2, 1), max(samples - beyond, 1)]
        penalty = penalty or FIRST_PENALTY
        free = np.array([each * penalty.divisor(each) for each in free], np.float32)
        counted = np.arange(self._kernels)[:, None] < [self._kernels, beyond]
        self._sums, self._free, self._offset = (counted / free).astype(np.float32), free, np.float32(penalty.offset)
        self._ones = np.ones((TILE + 2 * self.reach, self.width), np.float32)

    def phases(self, kernels: np.ndarray) -> list[np.ndarray]:
        """Return signal-to-noise ratios over the root of two, in phase and in quadrature, each (steps, width)."""
        return [kernels[:, : self._kernels] @ each for each in self._coefficients]

    def consistent(self, power: np.ndarray, squares: np.ndarray, energy: np.ndarray) -> np.ndarray:
        """Divide powers where the strain does not look like the template, see `models.matched_filter.Filtered.consistent`.

        Args:
            power: Array (steps, width).
            squares: Those of what the kernels gave, (steps, kernels).
            energy: Sum of the squares of the strain that the kernels see, (steps, 1).
        """
        if not self._consistency:
            return power
        within, first = np.split(squares[:, : self._kernels] @ self._sums, 2, axis=1)
        within += self._offset
        beyond = np.maximum(energy / self._free[1] - first + self._offset, ONE)
        divisor = power * (-2 / self._free[0])
        divisor += within
        # With an array, which is faster than with a number.
        np.maximum(divisor, self._ones[: len(power)], out=divisor)
        divisor *= beyond
        return np.divide(power, divisor, out=divisor)

    def powers(self, kernels: np.ndarray, squares: np.ndarray, energy: np.ndarray) -> np.ndarray:
        """Return half squared signal-to-noise ratios, of the times within each step the largest, (steps, templates); see `consistent`."""
        return self.largest(self.consistent(_power(*self.phases(kernels)), squares, energy))

    def limited_powers(self, kernels: np.ndarray, squares: np.ndarray, energy: np.ndarray, out: np.ndarray) -> None:
        """Fill in powers, limited, of each time within a step, array (steps, width)."""
        np.minimum(self.consistent(_power(*self.phases(kernels)), squares, energy), LIMIT, out=out)

    def limited(self, kernels: np.ndarray, energy: np.ndarray, first: int, last: int) -> list[np.ndarray]:
        """Return powers, in phase and in quadrature, limited, see `models.ranking.coherent_sum`, of steps [first, last).

        Beyond the ends of what the kernels gave there are zeros. Arrays (times, templates), so that a delay is a shift by rows.
        """
        begin, end = max(first, 0), min(last, len(kernels))
        kernels, beyond = kernels[begin:end, : self._kernels], ((begin - first) * self.times, (last - end) * self.times)
        phases = self.phases(kernels)
        power = _power(*phases)
        limited = np.minimum(self.consistent(power, kernels * kernels, energy[begin:end]), LIMIT)
        power += np.float32(1e-6)
        scale = np.sqrt(np.divide(limited, power, out=power), out=power)
        for phase in phases:
            np.multiply(phase, scale, out=phase)
        every = [each.reshape(-1, self.number) for each in (limited, *phases)]
        return [np.pad(each, (beyond, (0, 0))) for each in every] if any(beyond) else every

    def largest(self, values: np.ndarray) -> np.ndarray:
        """Return the largest of the times within each step, (steps, templates)."""
        if self.times == 1:
            return values
        first, *more = np.split(values, self.times, axis=1)
        found = np.maximum(first, more[0])
        for each in more[1:]:
            np.maximum(found, each, out=found)
        return found


def coherent(own: Sequence, other: Sequence, tile: slice, templates: Templates) -> np.ndarray:
    """Join the phases of two detectors, see `models.ranking.coherent_sum`; of each what the kernels gave, and its energy."""
    power, in_phase, in_quadrature = templates.limited(*own, tile.start, tile.stop)
    other = templates.limited(*other, tile.start - templates.reach, tile.stop + templates.reach)
    in_phase *= np.float32(2 * CONCENTRATION)
    in_quadrature *= np.float32(2 * CONCENTRATION)
    best, root, part = (np.empty_like(power) for _ in range(3))
    best.fill(-np.inf)
    halves, constant = other[0] * HALF, np.float32(CONCENTRATION**2 + 1e-3)
    earliest = templates.reach * templates.times - DELAYS
    for delay in range(earliest, earliest + 2 * DELAYS + 1):
        at = slice(delay, delay + len(power))
        np.multiply(power, other[0][at], out=root)
        root += constant
        root -= np.multiply(in_phase, other[1][at], out=part)
        root -= np.multiply(in_quadrature, other[2][at], out=part)
        np.sqrt(root, out=root)
        root += halves[at]
        np.maximum(best, root, out=best)
    best += power * HALF - np.float32(CONCENTRATION)
    return best.reshape(-1, templates.times, templates.number).max(axis=1)


def best_of_phases(own: Sequence, other: Sequence, tile: slice, templates: Templates) -> np.ndarray:
    """Return at least what `coherent` does: as if phases were as a signal's would be, one root in place of one for each delay.

    Of each detector `Templates.limited_powers`, of all steps.
    """
    power, around = _times(own, tile, templates), _times(other, tile, templates, DELAYS)
    largest = around[: len(power)].copy()
    for delay in range(1, 2 * DELAYS + 1):
        np.maximum(largest, around[delay : delay + len(power)], out=largest)
    best = HALF * (power + largest) + np.sqrt(power * largest)
    # The number that keeps the root from being of less than nothing adds so much at most.
    best += np.float32(1e-3 / CONCENTRATION)
    return best.reshape(-1, templates.times, templates.number).max(axis=1)


def _times(values, tile, templates, more=0):
    """Return the times of a tile in rows, and so many before and after, so that a delay is a shift by rows; beyond the ends zeros."""
    times = templates.times
    first, last = tile.start * times - more, tile.stop * times + more
    reach = -(-more // times)
    begin, end = max(tile.start - reach, 0), min(tile.stop + reach, len(values))
    rows = values[begin:end].reshape(-1, templates.number)
    before, after = max(0, begin * times - first), max(0, last - end * times)
    kept = rows[max(0, first - begin * times) : len(rows) - max(0, end * times - last)]
    return np.pad(kept, ((before, after), (0, 0))) if before or after else kept


def _power(in_phase, in_quadrature):
    """Return half squared signal-to-noise ratios; what is given keeps its values."""
    power = in_phase * in_phase
    power += in_quadrature * in_quadrature
    return power


def near(power: np.ndarray) -> np.ndarray:
    """Return the largest of each `COINCIDENT` neighbouring steps."""
    found, reach = power.copy(), COINCIDENT // 2
    for away in range(1, reach + 1):
        np.maximum(found[away:], power[:-away], out=found[away:])
        np.maximum(found[:-away], power[away:], out=found[:-away])
    return found


def further(power: np.ndarray) -> np.ndarray:
    """Return what a detector beyond the first two adds, see `models.matched_filter.further`."""
    gain = FURTHER_VARIANCE / (1 + FURTHER_VARIANCE)
    likelihood = np.exp(np.float32(gain) * np.minimum(power, np.float32(FURTHER_LIMIT)))
    padded = np.pad(likelihood, ((FURTHER + 1, FURTHER), (0, 0)), mode="edge")
    total, width = np.cumsum(padded, axis=0, dtype=np.float64), 2 * FURTHER + 1
    mean = (total[width:] - total[:-width]) / (width * (1 + FURTHER_VARIANCE))
    return np.log(mean).astype(np.float32)


def limited_sum(powers: Sequence[np.ndarray]) -> np.ndarray:
    """Add up powers of the first two detectors, each up to `LIMIT`, and what others add."""
    found = np.minimum(powers[0], np.float32(LIMIT))
    for detector, power in enumerate(powers[1:], 1):
        found += np.minimum(power, np.float32(LIMIT)) if detector < FIRST else power
    return found


def logsumexp(values: np.ndarray) -> np.ndarray:
    """Return the log-sum-exp over the channels, (steps, 1)."""
    largest = values.max(axis=1, keepdims=True)
    total = np.exp(values - largest).sum(axis=1, keepdims=True)
    return largest + np.log(total)
