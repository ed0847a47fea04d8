"""Matched filters: strain filtered with orthonormal kernels, and templates that are sums of what those give.

A convolution whose kernels are whitened waveforms is a matched filter (arXiv 1909.13442). As in arXiv 1005.0012 the strain is
filtered with a few orthonormal kernels, and the templates, each in phase and in quadrature, are sums of what those give. None of
it is trained: before the first epoch a training fills both from the waveforms of its bank (`training.templates`).
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from keras_gw_resnet.backend import Later

if TYPE_CHECKING:
    from collections.abc import Sequence

    import keras
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
BASIS_LAYER, TEMPLATE_LAYERS = "template_basis", ("templates_in_phase", "templates_in_quadrature")
SNR_LAYER, ENERGY_LAYER = "snr", "strain_power"
# Squares of signal-to-noise ratios and their exponentials need more digits than half precision has.
PRECISION = "float32"
FIXED = {"use_bias": False, "trainable": False, "dtype": PRECISION}


class Filtered:
    """What orthonormal kernels give of each detector, and templates that are sums of it.

    Args:
        kernels: What the kernels gave, a tensor (batch, steps, kernels) a detector.
        samples: That each kernel sees.
        energies: Sum of the squares of the strain that the kernels see, a tensor (batch, steps, 1) a detector; None: no consistency.
        more: The same with what other kernels gave beside it, for templates that are sums of all; None: there are no others.
    """

    def __init__(
        self, kernels: Sequence, samples: int, energies: Sequence | None = None, more: Sequence | None = None
    ) -> None:
        self._beyond = None
        if energies is not None:
            free = max(samples - kernels[0].shape[-1], 1)
            self._beyond = [
                _penalty((energy - _power(own)) / free) for energy, own in zip(energies, kernels, strict=True)
            ]
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
        powers = []
        for detector, pair in enumerate(self.phases(templates, stride, prefix)):
            power = self.consistent(detector, half_square(*pair))
            if stride < STRIDE:
                name = f"{prefix}snr_largest_{detector}"
                power = layers.Maximum(dtype=PRECISION, name=name)(slices(power, templates))
            powers.append(power)
        return powers

    def consistent(self, detector: int, power: keras.KerasTensor) -> keras.KerasTensor:
        """Divide half squared signal-to-noise ratios where the strain does not look like the template; without energies they stay.

        Two chi-squared tests with what the filter has already. The power in the span of the orthonormal kernels less that of the template
        has two degrees of freedom less than there are kernels, where the template is right: it is large where something else fills the span.
        The power of the strain less that in the span has one for each other sample: it is large where nothing of the kind is a binary. The
        square of a signal-to-noise ratio is divided by each reduced chi-squared that is above 1 (after arXiv gr-qc/0405045, 1208.3491).

        Args:
            detector: Number.
            power: Tensor (batch, steps, templates).
        """
        if self._beyond is None:
            return power
        within = (self._spans[detector] - 2.0 * power) / max(self.kernels[detector].shape[-1] - 2, 1)
        return power / (_penalty(within) * self._beyond[detector])


class Stem:
    """What the templates that the stack sees give, each quantity made once however many parts of the front take it.

    Args:
        filtered: Filtered.
        templates: How many.
        stride: Samples from one time at which each is tried to the next.

    Attributes:
        powers: Half the squared signal-to-noise ratio of each template, of its times within a step the largest, (batch, steps, templates)
            a detector.
    """

    def __init__(self, filtered: Filtered, templates: int, stride: int) -> None:
        self.powers = filtered.powers(templates, stride)

    @functools.cached_property
    def near(self) -> list:
        """The largest of each `COINCIDENT` neighbouring values of `powers`."""
        return near(self.powers)


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
    """Return of each detector's powers the largest of each `COINCIDENT` neighbours."""
    options = {"strides": 1, "padding": "same", "dtype": PRECISION}
    return [
        layers.MaxPooling1D(COINCIDENT, **options, name=f"{prefix}snr_near_{detector}")(power)
        for detector, power in enumerate(powers)
    ]


def slices(tensor: keras.KerasTensor, width: int) -> list:
    """Cut the channels of a tensor into slices of so many."""
    return [tensor[:, :, start : start + width] for start in range(0, tensor.shape[-1], width)]


def _power(kernels):
    return ops.sum(kernels * kernels, axis=-1, keepdims=True)


def _penalty(reduced):
    return ops.maximum(reduced, 1.0)
