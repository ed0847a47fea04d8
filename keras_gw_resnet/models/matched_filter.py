"""Matched filters: strain filtered with orthonormal kernels, and templates that are sums of what those give.

A convolution whose kernels are whitened waveforms is a matched filter (arXiv 1909.13442). As in arXiv 1005.0012 the strain is
filtered with a few orthonormal kernels, and the templates, each in phase and in quadrature, are sums of what those give. None of
it is trained: before the first epoch a training fills both from the waveforms of its bank (`training.templates`).
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, NamedTuple

from keras_gw_resnet.backend import Later

if TYPE_CHECKING:
    from collections.abc import Sequence

    import keras
    import numpy as np
    from keras import layers, ops
else:
    layers, ops = Later("keras.layers"), Later("keras.ops")

# Samples from one value of the signal-to-noise ratio to the next that the stack sees: finer than an autocorrelation is wide.
STRIDE = 8
# Samples from one time at which a template is tried to the next; the stack sees the largest of each `STRIDE`.
STRIDES = (8, 4, 2, 1)
# Values of the signal-to-noise ratio, each detector's own, that are joined as one: the middle and so many at both sides make up for
# the 10 ms that a signal needs from H1 to L1 at most, half of it before and half behind.
COINCIDENT = 3
# Detectors that are joined by what all of them see; each further one adds what it says by itself, see `further`.
FIRST = 2
# Values by which a further detector may see a signal earlier or later than the first two, 31 ms: light needs 27 ms from V1 to H1, and
# 32 ms from K1 to L1.
FURTHER = 8
# Variance of what a signal of network SNR 8 in H1 and L1 gives there, in phase and in quadrature, over that of noise: 3.4 in V1 of O3,
# over all directions, inclinations and polarisations weighted by the volume that they are seen in. Any from 2 to 6 does as well.
FURTHER_VARIANCE = 3.0
# Half the squared signal-to-noise ratio that a further detector counts for at most, that of 5.7: it adds 10.6 at most, whatever glitches it has.
FURTHER_LIMIT = 16.0
BASIS_LAYER, TEMPLATE_LAYERS = "template_basis", ("templates_in_phase", "templates_in_quadrature")
SNR_LAYER, ENERGY_LAYER = "snr", "strain_power"
# Squares of signal-to-noise ratios and their exponentials need more digits than half precision has.
PRECISION = "float32"
FIXED = {"use_bias": False, "trainable": False, "dtype": PRECISION}


class Penalty(NamedTuple):
    """What a reduced chi-squared divides by: 1 up to so many standard deviations of noise above 1, and beyond with a slope.

    Attributes:
        tolerance: Standard deviations. Without any, half of all noise and signals are divided: 0.898 of the validation's signals in place of
            0.920 are found by a resnet16, 0.916 with 1.1, 0.919 with 2.2; of glitches 0.08, 0.12 and 0.19.
        slope: At c times what it may be, it divides by 1 + slope * (c - 1).
    """

    tolerance: float = 1.0
    slope: float = 1.0

    def divisor(self, free: int) -> float:
        """Return what a reduced chi-squared of so many degrees of freedom is divided by before `offset` is added to it."""
        return (1 + self.tolerance * math.sqrt(2 / free)) / self.slope

    @property
    def offset(self) -> float:
        """What is added then; what comes to less than 1 is 1."""
        return 1 - self.slope

    @classmethod
    def of(cls, divisor: float, offset: float, free: int) -> Penalty:
        """Return the Penalty of this divisor and offset."""
        slope = round(1 - offset, 6)
        return cls(round((slope * divisor - 1) / math.sqrt(2 / free), 6), slope)


# As the first networks with these tests have it: by all that is above 1.
FIRST_PENALTY = Penalty(tolerance=0.0)


class Filtered:
    """What orthonormal kernels give of each detector, and templates that are sums of it.

    Args:
        kernels: What the kernels gave, a tensor (batch, steps, kernels) a detector.
        samples: That each kernel sees.
        energies: Sum of the squares of the strain that the kernels see, a tensor (batch, steps, 1) a detector; None: no consistency.
        more: The same with what other kernels gave beside it, for templates that are sums of all; None: there are no others.
        penalty: Of reduced chi-squared.
        prefix: Of the names of layers.
    """

    def __init__(
        self,
        kernels: Sequence,
        samples: int,
        energies: Sequence | None = None,
        more: Sequence | None = None,
        *,
        penalty: Penalty = FIRST_PENALTY,
        prefix: str = "",
    ) -> None:
        self._beyond, self.penalty = None, penalty
        if energies is not None:
            free = max(samples - kernels[0].shape[-1], 1)
            beyond = [(energy - _power(own)) / free for energy, own in zip(energies, kernels, strict=True)]
            if penalty != FIRST_PENALTY:  # by a layer, so that it can be read off a saved network
                given, name = (1 / penalty.divisor(free), penalty.offset), f"{prefix}{ENERGY_LAYER}_{{}}_beyond"
                beyond = [
                    layers.Rescaling(*given, dtype=PRECISION, name=name.format(number))(own)
                    for number, own in enumerate(beyond)
                ]
            self._beyond = [ops.maximum(own, 1.0) for own in beyond]
        self.kernels = kernels if more is None else more
        self._spans = energies and [_power(own) for own in self.kernels]

    def phases(self, templates: int, stride: int, prefix: str = "") -> list:
        """Return (in phase, in quadrature) of templates for each detector.

        Args:
            templates: How many.
            stride: Samples from one time at which each is tried to the next.
            prefix: Of the names of the two layers.

        Returns:
            List of pairs of tensors (batch, steps, templates * `STRIDE` / stride): all templates at the earliest time, then all at the next.
        """
        width = templates * (STRIDE // stride)
        both = [layers.Conv1D(width, 1, **FIXED, name=prefix + name) for name in TEMPLATE_LAYERS]
        return [tuple(phase(own) for phase in both) for own in self.kernels]

    def powers(self, templates: int, stride: int, prefix: str = "") -> list:
        """Return half the squared signal-to-noise ratio of templates, of the times within a step the largest.

        Args:
            templates, stride, prefix: See `phases`.

        Returns:
            List of tensors (batch, steps, templates).
        """
        return self.largest(self.phases(templates, stride, prefix), templates, prefix)

    def largest(self, phases: Sequence, templates: int, prefix: str = "") -> list:
        """Return what `powers` does of what `phases` gave."""
        powers = []
        for detector, pair in enumerate(phases):
            power = self.consistent(detector, half_square(*pair))
            if power.shape[-1] > templates:
                name = f"{prefix}snr_largest_{detector}"
                power = layers.Maximum(dtype=PRECISION, name=name)(slices(power, templates))
            powers.append(power)
        return powers

    def consistent(self, detector: int, power: keras.KerasTensor) -> keras.KerasTensor:
        """Divide half squared signal-to-noise ratios where the strain does not look like the template; without energies they stay.

        Two chi-squared tests with what the filter has already. The power in the span of the orthonormal kernels less that of the template
        has two degrees of freedom less than there are kernels, where the template is right: it is large where something else fills the span.
        The power of the strain less that in the span has one for each other sample: it is large where nothing of the kind is a binary. The
        square of a signal-to-noise ratio is divided by the `Penalty` of each reduced chi-squared (after arXiv gr-qc/0405045, 1208.3491).

        Args:
            detector: Number.
            power: Tensor (batch, steps, templates).
        """
        if self._beyond is None:
            return power
        free = max(self.kernels[detector].shape[-1] - 2, 1)
        within = (self._spans[detector] - 2.0 * power) / (free * self.penalty.divisor(free))
        if self.penalty.offset:
            within = within + self.penalty.offset
        return power / (ops.maximum(within, 1.0) * self._beyond[detector])


class Seen:
    """What the templates that the stack sees give, each quantity made once however many parts of the front take it.

    Args:
        filtered: Filtered.
        templates: How many.
        stride: Samples from one time at which each is tried to the next.
        detectors: How many of the detectors, the first ones; 0: all.

    Attributes:
        powers: Half the squared signal-to-noise ratio of each template, of its times within a step the largest, (batch, steps, templates)
            a detector.
    """

    def __init__(self, filtered: Filtered, templates: int, stride: int, detectors: int = 0) -> None:
        self.powers = filtered.powers(templates, stride)[: detectors or None]

    @functools.cached_property
    def near(self) -> list:
        """What of `powers` is near in time, see `matched_filter.near`."""
        return near(self.powers)

    def powers_and_roots(self) -> list:
        """Return the powers and their roots, tensors (batch, steps, templates), a detector after the other."""
        # The root of zero has no derivative.
        return [part for power in self.powers for part in (power, ops.sqrt(power + 1e-3))]

    def coincident(self) -> list:
        """Return what is near in time, added over the detectors, and the log-sum-exp over the templates of this and of each detector's powers."""
        near = self.near
        joined = layers.Add(dtype=PRECISION, name="snr_joined")(near) if len(near) > 1 else near[0]
        return [joined, *(ops.logsumexp(power, axis=-1, keepdims=True) for power in (joined, *self.powers))]


def energy(strain: keras.KerasTensor, samples: int, detector: int) -> keras.KerasTensor:
    """Return the sum of the squares of the strain (batch, samples, 1) of a detector that kernels of so many samples see."""
    mean = layers.AveragePooling1D(
        samples, strides=STRIDE, padding="same", dtype=PRECISION, name=f"{ENERGY_LAYER}_{detector}"
    )
    return samples * mean(strain * strain)


def half_square(in_phase: keras.KerasTensor, in_quadrature: keras.KerasTensor) -> keras.KerasTensor:
    """Return half the squared signal-to-noise ratio."""
    return 0.5 * (in_phase * in_phase + in_quadrature * in_quadrature)


def near(powers: Sequence, prefix: str = "") -> list:
    """Return of each detector's powers the largest of each `COINCIDENT` neighbours; of a third and further ones what they add, see `further`."""
    options = {"strides": 1, "padding": "same", "dtype": PRECISION}
    first = [
        layers.MaxPooling1D(COINCIDENT, **options, name=f"{prefix}snr_near_{detector}")(power)
        for detector, power in enumerate(powers[:FIRST])
    ]
    return first + further(powers, prefix)


def further(powers: Sequence, prefix: str = "") -> list:
    """Return what each detector beyond the first two adds to the log-likelihood ratio of a signal in those.

    Where it is and how loud the first two cannot say: phase and amplitude are taken as drawn from a normal distribution of variance
    `FURTHER_VARIANCE`, the time from all that light allows. Noise adds nothing in the mean of the likelihood, and little of its logarithm.

    Args:
        powers: Half squared signal-to-noise ratios of all detectors, tensors (batch, steps, templates).
        prefix: Of the names of the layers.
    """
    added = []
    for detector, power in enumerate(powers[FIRST:], FIRST):
        mean = layers.AveragePooling1D(
            2 * FURTHER + 1, strides=1, padding="same", dtype=PRECISION, name=f"{prefix}snr_further_{detector}"
        )
        gain = FURTHER_VARIANCE / (1 + FURTHER_VARIANCE)
        likelihood = mean(ops.exp(gain * ops.minimum(power, FURTHER_LIMIT)))
        added.append(ops.log(likelihood) - math.log(1 + FURTHER_VARIANCE))
    return added


def slices(tensor: keras.KerasTensor, width: int) -> list:
    """Cut the channels of a tensor into slices of so many."""
    return [tensor[:, :, start : start + width] for start in range(0, tensor.shape[-1], width)]


def _power(kernels):
    return ops.sum(kernels * kernels, axis=-1, keepdims=True)


def set_templates(model: keras.Model, basis: np.ndarray, in_phase: np.ndarray, in_quadrature: np.ndarray) -> None:
    """Fill the matched filter of a network.

    Args:
        model: `keras.Model` with templates.
        basis: Orthonormal kernels, array (kernels, samples), in the order of time.
        in_phase, in_quadrature: Templates, arrays (templates, kernels), coefficients of the basis; where they are tried more often than
            every 8 samples, all of them at one shift, then all at the next.
    """
    model.get_layer(BASIS_LAYER).set_weights([basis.T[:, None, :]])
    set_phases(model, TEMPLATE_LAYERS, in_phase, in_quadrature)


def set_phases(model: keras.Model, names: Sequence[str], in_phase: np.ndarray, in_quadrature: np.ndarray) -> None:
    """Fill the templates, arrays (templates, kernels), of the two layers of these names."""
    for name, coefficients in zip(names, (in_phase, in_quadrature), strict=True):
        model.get_layer(name).set_weights([coefficients.T[None]])
