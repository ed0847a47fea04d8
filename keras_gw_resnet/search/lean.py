"""A network with a matched filter in NumPy, for scans: its kernels by FFT, all else in blocks that stay in the processor's cache.

What each detector gives alone is kept apart from what joins the detectors: slid against each other, or one of them silent, only the second
runs again. What a feature makes of the ends of the strain, which an exact network drops, is not kept.
"""

from __future__ import annotations

import math
from dataclasses import fields
from typing import TYPE_CHECKING

import numpy as np
import scipy.special

from keras_gw_resnet.models.front import SNR_LAYER
from keras_gw_resnet.models.matched_filter import BASIS_LAYER, FIRST, STRIDE, TEMPLATE_LAYERS
from keras_gw_resnet.models.ranking import (
    EARLY_BASIS_LAYER,
    LIGHT_BASIS_LAYER,
    LIGHT_LAYERS,
    LIGHT_ODDS,
    LIGHT_SCORE,
    LIMIT,
    LOW_PASS_LAYER,
    OWN_LAYERS,
    OWN_STRIDE,
    STATISTIC_POOL,
    steps_earlier,
)
from keras_gw_resnet.search.cores import single_threaded_products
from keras_gw_resnet.search.filtered import (
    TILE,
    Templates,
    best_of_phases,
    coherent,
    further,
    limited_sum,
    logsumexp,
    near,
)
from keras_gw_resnet.search.fourier import Kernels
from keras_gw_resnet.search.stack import Stack, UnknownError, scale_and_shift

if TYPE_CHECKING:
    from collections.abc import Sequence

    from keras_gw_resnet.models.parts import Parts
    from keras_gw_resnet.search.plan import Plan

# Options of the matched filter whose parts are here.
KNOWN = (
    "templates",
    "template_samples",
    "template_stride",
    "coincidence",
    "stack_detectors",
    "consistency",
    "consistency_tolerance",
    "consistency_slope",
    "statistic_shortcut",
    "statistic_templates",
    "statistic_coherent",
    "statistic_light",
)


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
        if any(each.name not in KNOWN and getattr(front, each.name) != each.default for each in fields(front)):
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
        # How many of the detectors, the first ones, the stack sees.
        self._stacked = front.stack_detectors or detectors
        self._take_apart(plan, self._stacked)
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
        penalty = self._front.penalty if self._front.consistency else None
        return Templates(weights, STRIDE // stride, beyond, self._samples, penalty=penalty)

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

    def own(
        self, detector: int, strain: np.ndarray, *, fourier: bool = True, bounded: bool = False
    ) -> list[np.ndarray]:
        """Return what one detector gives alone.

        Args:
            detector: Number.
            strain: Float32 array (samples,), a whole number of `STRIDE`.
            fourier: Whether to filter it by FFT, and not one value after the other.
            bounded: Whether `join` is to leave phases out where they make no event.

        Returns:
            List of arrays (samples / STRIDE, channels).
        """
        kernels = self._kernels(strain) if fourier else self._kernels.one_by_one(strain)
        energy = self._energy(strain)
        steps, stacked, phased = len(kernels), detector < self._stacked, self._phased(detector)
        widths = [len(self._added), self._seen.number] if stacked else []
        if not phased or bounded:
            widths += [templates.width if phased else templates.number for templates in self._ranked]
        given = [np.empty((steps, width), np.float32) for width in widths]
        for first in range(0, steps, TILE):
            tile = slice(first, first + TILE)
            self._own_tile(detector, kernels[tile], energy[tile], [each[tile] for each in given])
        powers = slice(1 if stacked else 0, (2 if stacked else 0) if phased else None)
        given[powers] = map(near if detector < FIRST else further, given[powers])
        # Where phases are joined, they are worked out anew: few are.
        return [*given, kernels, energy] if phased else given

    def _phased(self, detector):
        """Say whether the phases of a detector are joined with those of another."""
        return self._front.statistic_coherent and detector < FIRST

    def silent(self, detector: int, steps: int, *, bounded: bool = False) -> list[np.ndarray]:
        """Return what so many steps of a detector without strain give, all alike; see `own`."""
        given = self.own(detector, np.zeros(STRIDE, np.float32), bounded=bounded)
        return [np.broadcast_to(each, (steps, each.shape[1])) for each in given]

    def score(self, window: np.ndarray) -> float:
        """Score one window, (samples, detectors), without FFT: the logit."""
        given = [self.own(each, column, fourier=False) for each, column in enumerate(window.T)]
        evidence = self.join(given)[0]
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
        squares, ranked = kernels * kernels, list(given)
        if detector < self._stacked:
            mix, own, *ranked = given
            own[...] = self._seen.powers(kernels, squares, energy)
            self._see(detector, own, mix)
        for templates, out in zip(self._ranked, ranked, strict=False):
            if self._phased(detector):
                templates.limited_powers(kernels, squares, energy, out)
            else:
                out[...] = templates.powers(kernels, squares, energy)

    def _see(self, detector, power, mix):
        """Fill in what the first convolution makes of the powers of a detector."""
        of_power, of_root, of_sum = self._mixing[detector]
        np.matmul(power, of_power, out=mix)
        root = power + np.float32(1e-3)
        mix += np.sqrt(root, out=root) @ of_root
        if of_sum is not None:
            mix += logsumexp(power) * of_sum

    def join(self, given: Sequence[list[np.ndarray]], above: float | None = None) -> np.ndarray:
        """Join what `own` gave for each detector, all of one length.

        Args:
            given: Of each detector; with `above`, bounded.
            above: Where the phases of two detectors are joined, which is most of the work, and even the best of phases would leave all evidence
                nearby at or below this, they are taken to be that: such evidence comes out too high, yet at or below it. None: nowhere.

        Returns:
            Float32 array (1, n): the evidence; (2, n) where light binaries are ranked by templates of their own: then how much more likely
            one of them is than a heavy one, a natural logarithm, at the time of what is ranked.
        """
        seen = given[: self._stacked]
        steps = len(seen[0][0])
        tiles = [slice(first, min(first + TILE, steps)) for first in range(0, steps, TILE)]
        mixed = np.empty((steps, len(self._added)), np.float32)
        ranked, light = np.zeros((steps, 1), np.float32), np.zeros((steps, 1), np.float32)
        bounded = above is not None and self._front.statistic_coherent
        # Whether what is ranked is the log-sum-exp that the stack sees, but for the limit of a detector.
        alike = self._front.statistic_shortcut and not self._ranked and self._stacked == len(given)
        for tile in tiles:
            total = np.add(_sum(own[0][tile] for own in seen), self._added, out=mixed[tile])
            if self._joining is not None:
                joined = _sum(own[1][tile] for own in seen)
                likelihood = logsumexp(joined)
                total += joined @ self._joining[0]
                total += likelihood * self._joining[1]
                if alike and likelihood.max() <= LIMIT:  # then so is the power of each detector
                    ranked[tile] = likelihood
                    continue
            if self._front.statistic_shortcut:
                self._rank(given, tile, best_of_phases if bounded else coherent, ranked, light)
        known = {self._mixed: mixed}
        if self._front.statistic_shortcut:
            known[STATISTIC_POOL] = self._pooled(ranked)
        features, first = self._stack(**known), self._parts.cropping[0]
        evidence = self._evidence(features, light)
        if bounded and len(loud := np.flatnonzero(evidence[0] > above)):
            at = np.unique((loud + first) * self._parts.field.stride // STRIDE // TILE)
            for number in np.unique([at - 1, at, at + 1]):
                if 0 <= number < len(tiles):
                    self._rank(given, tiles[number], coherent, ranked, light)
            # What is ranked comes last among the features.
            features[:, -1:] = self._pooled(ranked)[first:][: len(features)]
            evidence = self._evidence(features, light)
        return evidence

    def _pooled(self, ranked):
        """Return the largest of what is ranked within each step of the features, (features, 1)."""
        return ranked.reshape(-1, self._parts.field.stride // STRIDE).max(axis=1, keepdims=True)

    def _evidence(self, features, light):
        """Return what `join` does."""
        found = features @ self._head.T
        count = len(features) - len(self._head) + 1
        evidence = np.sum([found[tap : tap + count, tap] for tap in range(len(self._head))], axis=0) + self._bias
        if not self._front.statistic_light:
            return evidence[None]
        # What is ranked is behind the crop, at one tap of the head.
        tap = int(np.argmax(np.abs(self._head[:, -1])))
        heavy, lighter = features[tap:, -1], self._pooled(light)[self._parts.cropping[0] + tap :, 0]
        kernel, bias = self._weights[LIGHT_SCORE]
        given = (evidence, heavy[:count], lighter[:count])
        other = sum(weight * own for weight, own in zip(kernel[0, :, 0], given, strict=True)) + bias[0]
        return np.stack([np.logaddexp(evidence, other), other - evidence])

    def _rank(self, given, tile, phases, ranked, light):
        """Fill in what is ranked of a tile, of heavy binaries and of light ones; `phases` joins those of two detectors."""
        for out, templates in zip((ranked, light), self._classes(given, tile, phases), strict=False):
            out[tile] = logsumexp(templates)

    def _classes(self, given, tile, phases):
        """Return what is ranked of all templates, (steps, templates): of heavy binaries, and of light ones where they have their own."""
        if not self._ranked:
            return [limited_sum([own[1][tile] for own in given])]
        # Behind what the stack sees.
        given = [own[2 if detector < self._stacked else 0 :] for detector, own in enumerate(given)]
        classes = []
        for number, templates in enumerate(self._ranked):
            if self._front.statistic_coherent:
                first, last = (own[-2:] if phases is coherent else own[number] for own in given[:FIRST])
                others = [own[number][tile] for own in given[FIRST:]]
                classes.append(_sum([phases(last, first, tile, templates), *others]))
            else:
                classes.append(limited_sum([own[number][tile] for own in given]))
        if self._front.statistic_light:
            heavy, light = (templates.number for templates in self._ranked)
            classes[1] -= np.float32(math.log(light / heavy / LIGHT_ODDS))
        return classes


def _sum(arrays):
    first, *more = arrays
    return sum(more, start=first)
