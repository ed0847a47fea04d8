"""The matched filter in front of a network, as its options describe it: orthonormal kernels, templates, what the stack sees, what is ranked.

A convolution whose kernels are whitened waveforms is a matched filter (arXiv 1909.13442). As in arXiv 1005.0012 the strain is
filtered with a few orthonormal kernels, and the templates, each in phase and in quadrature, are sums of what those give. None of
it is trained: before the first epoch a training fills both from the waveforms of its bank (`training.templates`).

A new part of the front is a line in `CHANNELS`, for what the stack is to see, or in `STATISTICS`, for what is ranked.
"""

from __future__ import annotations

import functools
import math
import numbers
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
from keras import layers, ops

from keras_gw_resnet.errors import InputError
from keras_gw_resnet.models.receptive import ReceptiveField

if TYPE_CHECKING:
    import numpy as np

# Samples from one value of the signal-to-noise ratio to the next that the stack sees: finer than an autocorrelation is wide.
STRIDE = 8
# Samples from one time at which a template is tried to the next; the stack sees the largest of each `STRIDE`.
STRIDES = (8, 4, 2, 1)
# Orthonormal kernels: 64 hold 99 % of the power of binary black holes of 7 to 50 solar masses in 0.5 s.
BASIS = 64
# Share of a template that lies behind the coalescence.
RINGDOWN = 1 / 16
# Values of the signal-to-noise ratio, each detector's own, that are joined as one: the middle and so many at both sides make up for
# the 10 ms that a signal needs from H1 to L1 at most, half of it before and half behind.
COINCIDENT = 3
# Half the squared signal-to-noise ratio that a detector counts for at most, that of 8: a glitch is in one detector and may be far louder.
LIMIT = 32.0
# Samples from one time at which a template of the statistic's own is tried to the next.
OWN_STRIDE = 4
# Such times that a signal may be earlier or later in one detector than in the other, 10 ms: what light needs from H1 to L1.
DELAYS = 5
# How much the phases of a signal in H1 and L1 lie around opposite ones, concentration of a von Mises distribution: over all directions,
# inclinations and polarisations, weighted by the volume that they are seen in, 3.3 at delays of 8 to 10 ms and 17 at none.
CONCENTRATION = 6.0
BASIS_LAYER, TEMPLATE_LAYERS = "template_basis", ("templates_in_phase", "templates_in_quadrature")
SNR_LAYER, STATISTIC, ENERGY_LAYER = "snr", "statistic_", "strain_power"
OWN_LAYERS = tuple(STATISTIC + name for name in TEMPLATE_LAYERS)
JOIN_LAYER = f"{STATISTIC}and_features"
# Layers of the head that take the statistic, too.
RANKING_LAYERS = ("crop_edges", "dropout", "score")
# Squares of signal-to-noise ratios and their exponentials need more digits than half precision has.
PRECISION = "float32"
FIXED = {"use_bias": False, "trainable": False, "dtype": PRECISION}


@dataclass(frozen=True)
class Front:
    """Options of the matched filter; without templates the stack sees the strain.

    Attributes:
        templates: Waveforms that the strain of each detector is filtered with; 0: none.
        template_samples: Their length.
        template_stride: Samples from one time at which each template is tried to the next, 8, 4, 2 or 1. Of those within 8 samples the
            largest half squared signal-to-noise ratio counts: the templates shifted by so little are sums of the same orthonormal kernels.
        coincidence: Whether the stack sees what a search for coincident triggers ranks, too (arXiv 1508.02357): template by template the
            largest half squared signal-to-noise ratios of each detector within 4 ms (5 with a finer `template_stride`) added, so that only
            the same template at nearly the same time adds up; and the log-sum-exp over the templates of this and of each detector's own,
            the log of the likelihood ratio where all templates are alike likely, but for their amplitudes.
        statistic_shortcut: Weight with which a ranking statistic, a natural logarithm, is added to the logit of each position; 0: none. It
            is the log-sum-exp over the templates of the detectors' half squared signal-to-noise ratios, each up to `LIMIT`, the largest
            within the middle feature of the position. Needs `coincidence` and a head of positions.
        statistic_templates: How many templates of its own the statistic has, sums of the same orthonormal kernels, tried every 4 samples;
            0: those that the stack sees.
        statistic_coherent: Whether its own templates join H1 and L1 as these see a signal: at a delay of up to 10 ms, alike loud, and with
            nearly opposite phases (arXiv 1705.01513). What is loud in one detector alone counts for half.
        consistency: Whether half squared signal-to-noise ratios are divided where the strain does not look like the template, so that
            glitches count for little, in what the stack sees and in what is ranked; see `consistency`.
    """

    templates: int = 0
    template_samples: int = 1024
    template_stride: int = STRIDE
    coincidence: bool = False
    statistic_shortcut: float = 0.0
    statistic_templates: int = 0
    statistic_coherent: bool = False
    consistency: bool = False

    def __post_init__(self):
        for name, least in (("templates", 0), ("template_samples", 1), ("statistic_templates", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < least:
                raise InputError(f"{name}={value!r}; expected a whole number from {least}")
        for name in ("coincidence", "statistic_coherent", "consistency"):
            if not isinstance(getattr(self, name), bool):
                raise InputError(f"{name}={getattr(self, name)!r}; expected True or False")
        if type(self.template_stride) is not int or self.template_stride not in STRIDES:
            raise InputError(
                f"template_stride={self.template_stride!r}; expected one of {', '.join(map(str, STRIDES))}"
            )
        weight = self.statistic_shortcut
        if isinstance(weight, bool) or not isinstance(weight, numbers.Real) or not 0 <= weight < math.inf:
            raise InputError(f"statistic_shortcut={weight!r}; expected a finite number from 0")
        flags = [name for name in ("coincidence", "consistency") if getattr(self, name)]
        if not self.templates and (flags or self.template_stride != STRIDE):
            given = f"{flags[0]}=True" if flags else f"template_stride={self.template_stride}"
            raise InputError(f"{given}: is of templates; give templates too, for example 128")
        if not weight and (self.statistic_templates or self.statistic_coherent):
            number = self.statistic_templates
            given = f"statistic_templates={number}" if number else "statistic_coherent=True"
            raise InputError(f"{given}: is of a shortcut; give statistic_shortcut too, for example 1")
        if self.statistic_coherent and not self.statistic_templates:
            raise InputError(
                "statistic_coherent=True: is of templates of its own; give statistic_templates too, for example 40"
            )

    def check(self, name: str, detectors: int, positions: bool) -> None:
        """Raise InputError where a network of so many detectors, with or without a head of positions, cannot have this front."""
        if self.statistic_shortcut and not (self.coincidence and positions):
            lacking = "no stem that joins the detectors" if positions else "no positions"
            raise InputError(
                f"statistic_shortcut={self.statistic_shortcut}: {name} has {lacking}; expected a network with templates, "
                "coincidence=True and pooling='logsumexp', or leave it out"
            )
        if self.statistic_coherent and detectors != 2:
            raise InputError(
                f"statistic_coherent=True: {name} takes {detectors} detectors; expected two, H1 and L1, or leave it out"
            )

    @property
    def stride(self) -> int:
        """Samples from one value that the stack sees to the next."""
        return STRIDE if self.templates else 1

    @property
    def coalescence_offset(self) -> float | None:
        """Samples from the middle of a template to its coalescence; None without templates."""
        return self.template_samples * (0.5 - RINGDOWN) if self.templates else None

    @property
    def field(self) -> ReceptiveField:
        """ReceptiveField of what the stack sees."""
        kernels = self._kernel_field
        return kernels.through(COINCIDENT) if self.coincidence else kernels

    @property
    def _kernel_field(self):
        return ReceptiveField().through(self.template_samples, STRIDE) if self.templates else ReceptiveField()

    def statistic_field(self, stride: int) -> ReceptiveField:
        """Return the ReceptiveField of the statistic, at as many samples from one value to the next as the stack's features."""
        field, steps = self._kernel_field, -(-DELAYS // (STRIDE // OWN_STRIDE))
        field = field.later(-steps).merged(field.later(steps)) if self.statistic_coherent else field.through(COINCIDENT)
        return field.through(stride // STRIDE, stride // STRIDE)

    def __call__(self, strain: keras.KerasTensor, stride: int) -> tuple:
        """Filter strain.

        Args:
            strain: Whitened strain (batch, samples, detectors).
            stride: Samples from one feature of the stack to the next.

        Returns:
            Tuple of a tensor (batch, samples / 8, channels) for the stack, the strain itself without templates, and one
            (batch, samples / stride, 1) of the ranking statistic; None: none is asked for.
        """
        if not self.templates:
            return strain, None
        basis = layers.Conv1D(
            min(BASIS, self.template_samples),
            self.template_samples,
            strides=STRIDE,
            padding="same",
            **FIXED,
            name=BASIS_LAYER,
        )
        columns = [strain[:, :, detector : detector + 1] for detector in range(strain.shape[-1])]
        kernels = [basis(column) for column in columns]
        energies = [_energy(column, self.template_samples, number) for number, column in enumerate(columns)]
        filtered = Filtered(self, kernels, energies if self.consistency else None)
        channels = [channel for asked, give in CHANNELS if asked(self) for channel in give(filtered)]
        seen = layers.Concatenate(dtype=PRECISION, name=SNR_LAYER)(channels)
        if not self.statistic_shortcut:
            return seen, None
        joined = next(join for asked, join in STATISTICS if asked(self))(filtered)
        steps = stride // STRIDE
        pool = layers.MaxPooling1D(steps, padding="same", dtype=PRECISION, name=f"{STATISTIC}pool")
        return seen, pool(ops.logsumexp(joined, axis=-1, keepdims=True))


class Filtered:
    """What the matched filter of a network gives, each quantity made once however many parts of the front take it.

    Args:
        front: Front.
        kernels: What the orthonormal kernels gave, a tensor (batch, steps, kernels) a detector.
        energies: Sum of the squares of the strain that the kernels see, a tensor (batch, steps, 1) a detector; None: no consistency.

    Attributes:
        powers: Half the squared signal-to-noise ratio of each template, of its times within a step the largest, (batch, steps, templates)
            a detector.
    """

    def __init__(self, front: Front, kernels: Any, energies: Any = None) -> None:
        self.front, self.kernels = front, kernels
        self._energies = energies
        self._spans = energies and [ops.sum(own * own, axis=-1, keepdims=True) for own in kernels]
        self.powers = _powers(self, front.templates, front.template_stride)

    def consistent(self, detector: int, power: keras.KerasTensor) -> keras.KerasTensor:
        """Divide half squared signal-to-noise ratios of a detector by `consistency`; without it they stay as they are."""
        if self._energies is None:
            return power
        number, samples = self.kernels[detector].shape[-1], self.front.template_samples
        return power / consistency(power, self._spans[detector], self._energies[detector], number, samples)

    @functools.cached_property
    def near(self) -> list:
        """The largest of each `COINCIDENT` neighbouring values of `powers`."""
        return _near(self.powers)


def _powers_and_roots(filtered):
    # The root of zero has no derivative.
    return [part for power in filtered.powers for part in (power, ops.sqrt(power + 1e-3))]


def _coincident(filtered):
    near = filtered.near
    joined = layers.Add(dtype=PRECISION, name="snr_joined")(near) if len(near) > 1 else near[0]
    return [joined, *(ops.logsumexp(power, axis=-1, keepdims=True) for power in (joined, *filtered.powers))]


def _stem_sum(filtered):
    return _limited_sum(filtered.near)


def _own_sum(filtered):
    return _limited_sum(_near(_powers(filtered, filtered.front.statistic_templates, OWN_STRIDE, STATISTIC), STATISTIC))


def _coherent_sum(filtered):
    """Join two detectors by the phases of each template, the largest of all delays and of the times within a step of the front.

    A signal that is alike loud in both with phases that differ by d has a log-likelihood ratio of (a^2 + b^2) / 4 + a b cos(d - e) / 2, where a and b
    are the signal-to-noise ratios and e the difference of their phases. Over a von Mises distribution of d around pi this gives
    (a^2 + b^2) / 4 + log I0(r) - log I0(k), with r^2 = (a b / 2)^2 + k^2 - k a b cos(e); of log I0 the argument alone is taken, which
    differs by -1.8 (r = 0) to 0.9 (r = 38, the largest).
    """
    templates = filtered.front.statistic_templates
    phases = _phases(filtered.kernels, templates, OWN_STRIDE, STATISTIC)
    first, last = (_limited(filtered, detector, *pair) for detector, pair in enumerate(phases))
    times = STRIDE // OWN_STRIDE
    steps = -(-DELAYS // times)
    delays = 2 * DELAYS + 1
    # Of the first detector what is `steps` earlier to as much later, all of it beside each other.
    around = [_at_all_steps(tensor, steps, f"{STATISTIC}{number}") for number, tensor in enumerate(first)]
    last = [_slices(tensor, templates) for tensor in last]
    found = []
    for time in range(times):
        start = (steps * times + time - DELAYS) * templates
        other = [tensor[:, :, start : start + delays * templates] for tensor in around]
        own = [
            layers.Concatenate(dtype=PRECISION, name=f"{STATISTIC}{number}_at_{time}")([parts[time]] * delays)
            for number, parts in enumerate(last)
        ]
        found += _slices(_coherent(own, other), templates)
    return layers.Maximum(dtype=PRECISION, name=f"{STATISTIC}joined")(found)


def _coherent(own, other):
    """Return the log-likelihood ratio of a signal in two detectors, see `_coherent_sum`, of what `_limited` gives for each."""
    own_phase, own_quadrature, own_power = own
    in_phase, in_quadrature, power = other
    product = own_phase * in_phase + own_quadrature * in_quadrature
    # The root of a number that rounding made negative is none.
    root = ops.sqrt(own_power * power + CONCENTRATION**2 - CONCENTRATION * product + 1e-3)
    return 0.5 * (own_power + power) + root - CONCENTRATION


def coherent_parts(model: keras.Model) -> tuple[list, list, keras.KerasTensor] | None:
    """Return the tensors with which `_coherent_sum` begins and ends in a network; None: it does not join detectors by phase.

    Returns:
        Tuple (what `_limited` gives for the first detector, copies of what it gives for the last, what is joined).
    """
    if f"{STATISTIC}0_padded" not in {layer.name for layer in model.layers}:
        return None
    first = [model.get_layer(f"{STATISTIC}{number}_padded").input for number in range(3)]
    last = [model.get_layer(f"{STATISTIC}{number}_at_0").input[0] for number in range(3)]
    return first, last, model.get_layer(f"{STATISTIC}joined").output


def joined_by_phase(first: list, last: list) -> keras.KerasTensor:
    """Do what `_coherent_sum` does, without copies: the first detector is shifted past the last.

    Args:
        first, last: What `_limited` gives for each detector.

    Returns:
        Tensor (batch, steps, templates).
    """
    times = STRIDE // OWN_STRIDE
    batch, steps, width = ops.shape(first[0])
    # Times within a step of the front follow each other, so that a delay is a shift.
    shape = (batch, steps * times, width // times)
    last = [ops.reshape(own, shape) for own in last]
    padded = [ops.pad(ops.reshape(own, shape), ((0, 0), (DELAYS, DELAYS), (0, 0))) for own in first]
    found = None
    for delay in range(2 * DELAYS + 1):
        joined = _coherent(last, [own[:, delay : delay + steps * times] for own in padded])
        found = joined if found is None else ops.maximum(found, joined)
    return ops.max(ops.reshape(found, (batch, steps, times, width // times)), axis=2)


# (which options ask for it, Filtered -> channels that the stack sees), in this order.
CHANNELS = ((lambda front: True, _powers_and_roots), (lambda front: front.coincidence, _coincident))
# (which options ask for it, Filtered -> what is ranked, (batch, steps, templates)); the first that is asked for.
STATISTICS = (
    (lambda front: front.statistic_coherent, _coherent_sum),
    (lambda front: front.statistic_templates, _own_sum),
    (lambda front: True, _stem_sum),
)


def _phases(kernels, templates, stride, prefix=""):
    """Return what each template gives in phase and in quadrature, all templates at the earliest time, then all at the next, a detector."""
    phases = [layers.Conv1D(templates * (STRIDE // stride), 1, **FIXED, name=prefix + name) for name in TEMPLATE_LAYERS]
    return [tuple(phase(own) for phase in phases) for own in kernels]


def _energy(strain, samples, detector):
    mean = layers.AveragePooling1D(
        samples, strides=STRIDE, padding="same", dtype=PRECISION, name=f"{ENERGY_LAYER}_{detector}"
    )
    return samples * mean(strain * strain)


def consistency(
    power: keras.KerasTensor, span: keras.KerasTensor, energy: keras.KerasTensor, kernels: int, samples: int
) -> keras.KerasTensor:
    """Say by how much the strain looks less like a template than noise and the template together would, 1 and more.

    Two chi-squared tests with what the filter has already. The power in the span of the orthonormal kernels less that of the template has
    `kernels` - 2 degrees of freedom where the template is right: it is large where something else fills the span. The power of the strain less
    that in the span has `samples` - `kernels`: it is large where nothing of the kind is a binary. Each reduced chi-squared c gives
    ((1 + c^3) / 2)^(1/3) where c is above 1, the square of what reweighted signal-to-noise ratios are divided by (arXiv gr-qc/0405045, 1208.3491).

    Args:
        power: Half squared signal-to-noise ratios, (batch, steps, templates).
        span: Sum of the squares that the kernels gave, (batch, steps, 1).
        energy: Sum of the squares of the whitened strain that the kernels see, (batch, steps, 1).
        kernels: How many there are.
        samples: That each kernel sees.

    Returns:
        Tensor (batch, steps, templates).
    """
    within = (span - 2.0 * power) / max(kernels - 2, 1)
    beyond = (energy - span) / max(samples - kernels, 1)
    return _penalty(within) * _penalty(beyond)


def _penalty(reduced):
    above = ops.maximum(reduced, 1.0)
    return ops.power(0.5 + 0.5 * above * above * above, 1 / 3)


def _half_square(in_phase, in_quadrature):
    return 0.5 * (in_phase * in_phase + in_quadrature * in_quadrature)


def _powers(filtered, templates, stride, prefix=""):
    powers = []
    for detector, phases in enumerate(_phases(filtered.kernels, templates, stride, prefix)):
        power = filtered.consistent(detector, _half_square(*phases))
        if stride < STRIDE:
            name = f"{prefix}snr_largest_{detector}"
            power = layers.Maximum(dtype=PRECISION, name=name)(_slices(power, templates))
        powers.append(power)
    return powers


def _near(powers, prefix=""):
    options = {"strides": 1, "padding": "same", "dtype": PRECISION}
    return [
        layers.MaxPooling1D(COINCIDENT, **options, name=f"{prefix}snr_near_{detector}")(power)
        for detector, power in enumerate(powers)
    ]


def _slices(tensor, width):
    return [tensor[:, :, start : start + width] for start in range(0, tensor.shape[-1], width)]


def _limited_sum(powers):
    limited = [
        layers.ReLU(max_value=LIMIT, dtype=PRECISION, name=f"{STATISTIC}limited_{detector}")(power)
        for detector, power in enumerate(powers)
    ]
    return layers.Add(dtype=PRECISION, name=f"{STATISTIC}joined")(limited) if len(limited) > 1 else limited[0]


def _limited(filtered, detector, in_phase, in_quadrature):
    """Return in phase, in quadrature and half the square of a signal-to-noise ratio, limited; what is limited keeps its phase."""
    power = _half_square(in_phase, in_quadrature)
    limited = ops.minimum(filtered.consistent(detector, power), LIMIT)
    scale = ops.sqrt(limited / (power + 1e-6))
    return in_phase * scale, in_quadrature * scale, limited


def _at_all_steps(tensor, steps, name):
    """Return a sequence so many steps earlier to as many later, side by side; beyond its ends there are zeros."""
    padded = layers.ZeroPadding1D(steps, dtype=PRECISION, name=f"{name}_padded")(tensor)
    shifted = [
        layers.Cropping1D((start, 2 * steps - start), dtype=PRECISION, name=f"{name}_from_{start}")(padded)
        for start in range(2 * steps + 1)
    ]
    return layers.Concatenate(dtype=PRECISION, name=f"{name}_at_all_steps")(shifted)


def front_of(model: keras.Model) -> Front:
    """Read the options of the front of a network off its layers, those of a saved one too."""
    own = {layer.name: layer for layer in model.layers}
    if BASIS_LAYER not in own:
        return Front()
    samples = own[BASIS_LAYER].kernel_size[0]
    filters, largest = own[TEMPLATE_LAYERS[0]].filters, own.get("snr_largest_0")
    templates = largest.output.shape[-1] if largest else filters
    given: dict = {
        "templates": templates,
        "template_samples": samples,
        "template_stride": STRIDE * templates // filters,
    }
    given["coincidence"], given["consistency"] = "snr_near_0" in own, f"{ENERGY_LAYER}_0" in own
    if JOIN_LAYER in own:
        kernel = own["score"].get_weights()[0]
        given["statistic_shortcut"] = float(kernel[:, -1].max()) or 1.0
        if OWN_LAYERS[0] in own:
            given["statistic_templates"] = own[OWN_LAYERS[0]].filters * OWN_STRIDE // STRIDE
            given["statistic_coherent"] = f"{STATISTIC}0_padded" in own
    return Front(**given)


def is_apart(name: str) -> bool:
    """Say whether a layer of this name belongs to the ranking statistic or to the tests of consistency, which no weight depends on."""
    return name.startswith((STATISTIC, ENERGY_LAYER))


def front_layers(model: keras.Model) -> set[str]:
    """Return the names of the layers of matched filters, of what is ranked and of the heads that take it, members of an ensemble included."""
    names = set().union(*(front_layers(layer) for layer in model.layers if isinstance(layer, keras.Model)))
    own = {layer.name for layer in model.layers}
    if BASIS_LAYER in own:
        names |= {layer.name for layer in keras.Model(model.input, model.get_layer(SNR_LAYER).output).layers}
    if JOIN_LAYER in own:
        names |= {*RANKING_LAYERS, *filter(is_apart, own)}
    return names


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
