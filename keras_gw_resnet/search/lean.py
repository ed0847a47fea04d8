"""A network with a matched filter in NumPy, for scans: its kernels by FFT, all else in blocks that stay in the processor's cache.

What each detector gives alone is kept apart from what joins the detectors: slid against each other, or one of them silent, only the second
runs again. The formulas are those of `models.matched_filter` and `models.ranking`; what a feature makes of the ends of the strain, which an exact
network drops, is not kept. Half squared signal-to-noise ratios are sums of two squares here: templates are scaled by the root of a half.
"""

from __future__ import annotations

import math
from dataclasses import fields
from typing import TYPE_CHECKING

import numpy as np
import scipy.special

from keras_gw_resnet.models.front import SNR_LAYER, STATISTIC_POOL
from keras_gw_resnet.models.matched_filter import BASIS_LAYER, COINCIDENT, STRIDE, TEMPLATE_LAYERS
from keras_gw_resnet.models.ranking import (
    CONCENTRATION,
    DELAYS,
    EARLY_BASIS_LAYER,
    LIGHT_BASIS_LAYER,
    LIGHT_LAYERS,
    LIGHT_ODDS,
    LIMIT,
    LOW_PASS_LAYER,
    OWN_LAYERS,
    OWN_STRIDE,
    steps_earlier,
)
from keras_gw_resnet.search.cores import single_threaded_products
from keras_gw_resnet.search.fourier import Kernels
from keras_gw_resnet.search.stack import Stack, UnknownError, scale_and_shift

if TYPE_CHECKING:
    from collections.abc import Sequence

    from keras_gw_resnet.models.parts import Parts
    from keras_gw_resnet.search.plan import Plan

# Steps that are worked on at once, so that what they give stays in the cache of a core.
TILE = 256
# Options of the matched filter whose parts are here.
KNOWN = (
    "templates",
    "template_samples",
    "template_stride",
    "coincidence",
    "consistency",
    "statistic_shortcut",
    "statistic_templates",
    "statistic_coherent",
    "statistic_light",
)
HALF, ONE = np.float32(0.5), np.float32(1.0)


class Templates:
    """Templates that are sums of what kernels gave, in phase and in quadrature.

    Args:
        weights: Of the two layers, arrays (1, kernels, templates * times).
        times: At how many times within a step each is tried.
        beyond: How many of the kernels, the first ones, are taken out of the strain whose power says what is no binary.
        samples: That those kernels see.
        consistency: Whether powers are divided where the strain does not look like the template.
    """

    def __init__(self, weights: Sequence, times: int, beyond: int, samples: int, *, consistency: bool) -> None:
        self._coefficients = [np.ascontiguousarray(each[0] * np.sqrt(HALF)) for each in weights]
        self._kernels, self.width = self._coefficients[0].shape
        self.times, self.number = times, self.width // times
        self._consistency = consistency
        # What sums the squares of all its kernels, and of the first ones, over so many degrees of freedom.
        free = np.array([max(self._kernels - 2, 1), max(samples - beyond, 1)], np.float32)
        counted = np.arange(self._kernels)[:, None] < [self._kernels, beyond]
        self._sums, self._free, self._ones = counted / free, free, np.ones((TILE, self.width), np.float32)
        self._sums = self._sums.astype(np.float32)

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
        beyond = np.maximum(energy / self._free[1] - first, ONE)
        divisor = power * (-2 / self._free[0])
        divisor += within
        # With an array, which is faster than with a number.
        np.maximum(divisor, self._ones[: len(power)], out=divisor)
        divisor *= beyond
        return np.divide(power, divisor, out=divisor)

    def largest(self, values: np.ndarray) -> np.ndarray:
        """Return the largest of the times within each step, (steps, templates)."""
        if self.times == 1:
            return values
        first, *more = np.split(values, self.times, axis=1)
        found = np.maximum(first, more[0])
        for each in more[1:]:
            np.maximum(found, each, out=found)
        return found


class Lean:
    """A scan network in two parts: `own` for the strain of each detector, `join` for what that gave.

    Args:
        plan: Plan of the network.
        parts: Its Parts, of a network whose scan is exact.
        detectors: How many.

    Raises:
        ValueError: It has no matched filter, or an operation that is not known here.
    """

    def __init__(self, plan: Plan, parts: Parts, detectors: int) -> None:
        front = parts.front
        before, samples = parts.head_layer, parts.window_samples
        if not (parts.slides and parts.exact and front.templates and parts.classes == 1 and before and samples):
            raise UnknownError("the network has no matched filter that can be slid exactly")
        others = [
            each for each in fields(front) if each.name not in KNOWN and getattr(front, each.name) != each.default
        ]
        if others or detectors > 2:
            raise UnknownError("the matched filter has a part that is not here")
        self._front, self._parts, self._weights, self._samples = front, parts, plan.weights, front.template_samples
        self._kernels = self._kernels_by_fft()
        late = self._weights[BASIS_LAYER][0].shape[-1]
        self._seen = self._templates(TEMPLATE_LAYERS, front.template_stride, late)
        self._ranked = []
        if front.statistic_templates:
            self._ranked.append(self._templates(OWN_LAYERS, OWN_STRIDE, late))
        if front.statistic_light:
            late += self._weights[LIGHT_BASIS_LAYER][0].shape[-1]
            self._ranked.append(self._templates(LIGHT_LAYERS, OWN_STRIDE, late))
        self._take_apart(plan, detectors)
        after = {self._mixed} | ({STATISTIC_POOL} if front.statistic_shortcut else set())
        self._stack = Stack(plan.operations(after, before))
        # The mean and a linear layer may be swapped.
        kernel, *bias = self._weights[before if parts.head == "positions" else plan.layers[-1]["name"]]
        self._head, self._bias = kernel[..., 0].reshape(-1, kernel.shape[-2]), bias[0] if bias else np.float32(0)
        # What does not fit together is found here.
        silence = np.zeros((samples, detectors), np.float32)
        with single_threaded_products():
            if not math.isfinite(self.score(silence)):
                raise UnknownError("the score of silence is no number")

    @classmethod
    def of(cls, plan: Plan, parts: Parts, detectors: int) -> Lean | None:
        """Return a Lean; None of a network that it cannot stand for."""
        try:
            return cls(plan, parts, detectors)
        except (ValueError, KeyError, IndexError, TypeError, AttributeError):  # whatever a plan may lack
            return None

    def _templates(self, names, stride, beyond):
        weights = [self._weights[name][0] for name in names]
        return Templates(weights, STRIDE // stride, beyond, self._samples, consistency=self._front.consistency)

    def _kernels_by_fft(self):
        """Put all kernels beside each other: those of light binaries, too, the early ones with the low pass before them."""
        basis, before = self._weights[BASIS_LAYER][0][:, 0], (self._samples - STRIDE) // 2
        if not self._front.statistic_light:
            return Kernels(basis, before, STRIDE)
        low_pass, early = (self._weights[name][0] for name in (LOW_PASS_LAYER, EARLY_BASIS_LAYER))
        late = np.concatenate([basis, self._weights[LIGHT_BASIS_LAYER][0][:, 0]], axis=1)
        both = np.zeros((len(low_pass) + STRIDE * (len(early) - 1), early.shape[-1]))
        for tap, kernel in enumerate(early[:, 0]):
            both[STRIDE * tap :][: len(low_pass)] += low_pass[:, 0] * kernel
        earliest = STRIDE * (steps_earlier(self._samples) + (len(early) - 1) // 2) + (len(low_pass) - STRIDE) // 2
        taps = np.zeros((earliest - before + len(late), late.shape[1] + both.shape[1]))
        taps[: len(both), late.shape[1] :], taps[earliest - before :, : late.shape[1]] = both, late
        return Kernels(taps, earliest, STRIDE)

    def _take_apart(self, plan, detectors):
        """Take apart the first convolution, of kernel size 1, into what it makes of each detector and of all together."""
        norm = plan.reader(SNR_LAYER)
        mix = norm and plan.reader(norm.name)
        if not (mix and mix.kind == "Conv1D" and mix.weights[0].shape[0] == 1 and norm.kind == "BatchNormalization"):
            raise UnknownError("the stack begins otherwise")
        kernel, *bias = (each.astype(np.float64) for each in mix.weights)
        scale, shift = scale_and_shift(norm)
        self._mixed, self._added = mix.name, (shift @ kernel[0] + (bias[0] if bias else 0.0)).astype(np.float32)
        kernel, number = (kernel[0] * scale[:, None]).astype(np.float32), self._seen.number
        # Of each detector powers and roots; with coincidence the sum of all, its log-sum-exp, and that of each detector.
        own = np.split(kernel[: 2 * number * detectors], 2 * detectors)
        rest = kernel[2 * number * detectors :]
        self._joining = [rest[:number], rest[number]] if self._front.coincidence else None
        self._mixing = [
            [*own[2 * each : 2 * each + 2], rest[number + 1 + each] if self._front.coincidence else None]
            for each in range(detectors)
        ]

    def own(self, detector: int, strain: np.ndarray, *, fourier: bool = True) -> list[np.ndarray]:
        """Return what one detector gives alone.

        Args:
            detector: Number.
            strain: Float32 array (samples,), a whole number of `STRIDE`.
            fourier: Whether to filter it by FFT, and not one value after the other.

        Returns:
            List of arrays (samples / STRIDE, channels).
        """
        kernels = self._kernels(strain) if fourier else self._kernels.one_by_one(strain)
        energy = self._energy(strain)
        steps, widths = len(kernels), [len(self._added), self._seen.number]
        for templates in self._ranked:
            widths += [templates.width] * 3 if self._front.statistic_coherent else [templates.number]
        given = [np.empty((steps, width), np.float32) for width in widths]
        for first in range(0, steps, TILE):
            tile = slice(first, first + TILE)
            self._own_tile(detector, kernels[tile], energy[tile], [each[tile] for each in given])
        powers = slice(1, 2 if self._front.statistic_coherent else None)
        given[powers] = map(_near, given[powers])
        return given

    def silent(self, detector: int, steps: int) -> list[np.ndarray]:
        """Return what so many steps of a detector without strain give, all alike."""
        given = self.own(detector, np.zeros(STRIDE, np.float32))
        return [np.broadcast_to(each, (steps, each.shape[1])) for each in given]

    def score(self, window: np.ndarray) -> float:
        """Score one window, (samples, detectors), without FFT: the logit."""
        given = [self.own(each, column, fourier=False) for each, column in enumerate(window.T)]
        evidence = self.join(given)
        return float(np.mean(evidence) if self._parts.head == "average" else scipy.special.logsumexp(evidence))

    def _energy(self, strain):
        """Return the sum of the squares of the strain that the kernels see at each step, (steps, 1)."""
        before = (self._samples - STRIDE) // 2
        padded = np.zeros(len(strain) + self._samples)
        padded[before : before + len(strain)] = strain
        total = np.concatenate([[0.0], np.cumsum(padded * padded)])
        return (total[self._samples :: STRIDE] - total[: -self._samples : STRIDE])[
            : len(strain) // STRIDE, None
        ].astype(np.float32)

    def _own_tile(self, detector, kernels, energy, given):
        """Fill in what `own` gives, of a few steps."""
        squares, seen = kernels * kernels, self._seen
        mix, near, *ranked = given
        of_power, of_root, of_sum = self._mixing[detector]
        power = near[...] = seen.largest(seen.consistent(_power(*seen.phases(kernels)), squares, energy))
        np.matmul(power, of_power, out=mix)
        mix += np.sqrt(power + np.float32(1e-3)) @ of_root
        if of_sum is not None:
            mix += _logsumexp(power) * of_sum
        for templates in self._ranked:
            pair = templates.phases(kernels)
            power = _power(*pair)
            limited = templates.consistent(power, squares, energy)
            if not self._front.statistic_coherent:
                ranked.pop(0)[...] = templates.largest(limited)
                continue
            np.minimum(limited, LIMIT, out=ranked[0])
            power += np.float32(1e-6)
            scale = np.sqrt(np.divide(ranked[0], power, out=power), out=power)
            for phase, out in zip(pair, ranked[1:3], strict=True):
                np.multiply(phase, scale, out=out)
            ranked = ranked[3:]

    def join(self, given: Sequence[list[np.ndarray]]) -> np.ndarray:
        """Join what `own` gave for each detector, all of one length; return the evidence, float32 array (n,)."""
        steps = len(given[0][0])
        mixed = np.empty((steps, len(self._added)), np.float32)
        ranked = np.empty((steps, 1), np.float32)
        for first in range(0, steps, TILE):
            tile = slice(first, min(first + TILE, steps))
            mixes, near = zip(*((own[0][tile], own[1][tile]) for own in given), strict=True)
            total = np.add(sum(mixes[1:], start=mixes[0]), self._added, out=mixed[tile])
            if self._joining is not None:
                joined = sum(near[1:], start=near[0])
                total += joined @ self._joining[0]
                total += _logsumexp(joined) * self._joining[1]
            if self._front.statistic_shortcut:
                ranked[tile] = _logsumexp(self._rank(given, near, tile))
        known = {self._mixed: mixed}
        if self._front.statistic_shortcut:
            known[STATISTIC_POOL] = ranked.reshape(-1, self._parts.field.stride // STRIDE).max(axis=1, keepdims=True)
        features = self._stack(**known)
        found = features @ self._head.T
        count = len(features) - len(self._head) + 1
        return np.sum([found[tap : tap + count, tap] for tap in range(len(self._head))], axis=0) + self._bias

    def _rank(self, given, near, tile):
        """Return what is ranked of all templates, (steps, templates)."""
        if not self._ranked:
            return sum(np.minimum(own, np.float32(LIMIT)) for own in near)
        classes = []
        for number, templates in enumerate(self._ranked):
            if self._front.statistic_coherent:
                first, last = (own[2 + 3 * number :][:3] for own in given)
                classes.append(_coherent(last, first, tile, templates))
            else:
                classes.append(sum(np.minimum(own[2 + number][tile], np.float32(LIMIT)) for own in given))
        if self._front.statistic_light:
            heavy, light = (templates.number for templates in self._ranked)
            classes[1] -= np.float32(math.log(light / heavy / LIGHT_ODDS))
        return np.concatenate(classes, axis=1)


def _coherent(own, other, tile, templates):
    """Join the phases of two detectors, see `models.ranking.coherent_sum`; each `Templates` limited: power, in phase, in quadrature."""
    times, steps = templates.times, len(own[0])
    reach = -(-DELAYS // times)
    first, last = max(tile.start - reach, 0), min(tile.stop + reach, steps)
    # A time a row, so that a delay is a shift by rows; zeros beyond the ends.
    around = ((first - tile.start + reach) * times, (tile.stop + reach - last) * times)
    rows = [each[tile].reshape(-1, templates.number) for each in own]
    other = [each[first:last].reshape(-1, templates.number) for each in other]
    if any(around):
        other = [np.pad(each, (around, (0, 0))) for each in other]
    power, in_phase, in_quadrature = rows
    in_phase, in_quadrature = in_phase * np.float32(2 * CONCENTRATION), in_quadrature * np.float32(2 * CONCENTRATION)
    best, root, part = (np.empty_like(power) for _ in range(3))
    best.fill(-np.inf)
    halves, constant = other[0] * HALF, np.float32(CONCENTRATION**2 + 1e-3)
    for delay in range(-DELAYS, DELAYS + 1):
        start = reach * times + delay
        at = slice(start, start + len(power))
        np.multiply(power, other[0][at], out=root)
        root += constant
        root -= np.multiply(in_phase, other[1][at], out=part)
        root -= np.multiply(in_quadrature, other[2][at], out=part)
        np.sqrt(root, out=root)
        root += halves[at]
        np.maximum(best, root, out=best)
    best += power * HALF - np.float32(CONCENTRATION)
    return best.reshape(-1, times, templates.number).max(axis=1)


def _power(in_phase, in_quadrature):
    """Return half squared signal-to-noise ratios; what is given keeps its values."""
    power = in_phase * in_phase
    power += in_quadrature * in_quadrature
    return power


def _near(power):
    """Return the largest of each `COINCIDENT` neighbouring steps."""
    found, reach = power.copy(), COINCIDENT // 2
    for away in range(1, reach + 1):
        np.maximum(found[away:], power[:-away], out=found[away:])
        np.maximum(found[:-away], power[away:], out=found[:-away])
    return found


def _logsumexp(values):
    """Return the log-sum-exp over the channels, (steps, 1)."""
    largest = values.max(axis=1, keepdims=True)
    total = np.exp(values - largest).sum(axis=1, keepdims=True)
    return largest + np.log(total)
