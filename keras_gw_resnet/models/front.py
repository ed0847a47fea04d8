"""The matched filter in front of a network, as its options describe it: what the stack sees, and what is ranked.

A new part of the front is a line in `CHANNELS`, for what the stack is to see, and one in `front_of`; what is ranked is in `ranking`.
"""

from __future__ import annotations

import math
import numbers
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

from keras_gw_resnet.backend import Later
from keras_gw_resnet.errors import InputError
from keras_gw_resnet.models.matched_filter import (
    BASIS_LAYER,
    COINCIDENT,
    ENERGY_LAYER,
    FIRST,
    FIRST_PENALTY,
    FIXED,
    FURTHER,
    PRECISION,
    SNR_LAYER,
    STRIDE,
    STRIDES,
    TEMPLATE_LAYERS,
    Filtered,
    Penalty,
    Seen,
    energy,
)
from keras_gw_resnet.models.nodes import nodes_in_order
from keras_gw_resnet.models.ranking import (
    DELAYS,
    EARLY_SAMPLES,
    LIGHT_LAYERS,
    LOW_PASS_TAPS,
    OWN_LAYERS,
    OWN_STRIDE,
    STATISTIC,
    pooled,
    ranked,
    steps_earlier,
)
from keras_gw_resnet.models.receptive import ReceptiveField

if TYPE_CHECKING:
    import keras
    from keras import layers, ops
else:
    keras, layers, ops = Later("keras"), Later("keras.layers"), Later("keras.ops")

# Orthonormal kernels: 64 hold 99 % of the power of binary black holes of 7 to 50 solar masses in 0.5 s.
BASIS = 64
# Share of a template that lies behind the coalescence.
RINGDOWN = 1 / 16
JOIN_LAYER = f"{STATISTIC}and_features"
# Layers of the head that take the statistic, too.
RANKING_LAYERS = ("crop_edges", "dropout", "score")
LEAST = {"template_samples": 1, "consistency_slope": 1}  # that an option may be, where it is not 0


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
            the log of the likelihood ratio where all templates are alike likely, but for their amplitudes. Detectors beyond the first two
            add what they say by themselves (`matched_filter.further`).
        stack_detectors: How many of the detectors, the first ones, the stack sees: the others are ranked alone, which takes
            `statistic_templates`. So a network for more detectors has the stack of one for fewer. 0: all.
        statistic_shortcut: Weight with which a ranking statistic, a natural logarithm, is added to the logit of each position; 0: none. It
            is the log-sum-exp over the templates of the detectors' half squared signal-to-noise ratios, each up to `LIMIT`, the largest
            within the middle feature of the position. Needs `coincidence` and a head of positions.
        statistic_templates: How many templates of its own the statistic has, sums of the same orthonormal kernels, tried every 4 samples;
            0: those that the stack sees.
        statistic_coherent: Whether its own templates join H1 and L1 as these see a signal: at a delay of up to 10 ms, alike loud, and with
            nearly opposite phases (arXiv 1705.01513). What is loud in one detector alone counts for half. They are the first two; others
            may follow.
        statistic_light: How many more templates the statistic has of light binaries, which see the 0.5 s before, too, and whose kernels are
            more; 0: none. All of them together count a quarter of `statistic_templates`.
        consistency: Whether half squared signal-to-noise ratios are divided where the strain does not look like the template, so that
            glitches count for little, in what the stack sees and in what is ranked; see `matched_filter.Filtered.consistent`.
        consistency_tolerance, consistency_slope: See `matched_filter.Penalty`.
    """

    templates: int = 0
    template_samples: int = 1024
    template_stride: int = STRIDE
    coincidence: bool = False
    stack_detectors: int = 0
    statistic_shortcut: float = 0.0
    statistic_templates: int = 0
    statistic_coherent: bool = False
    statistic_light: int = 0
    consistency: bool = False
    consistency_tolerance: float = Penalty().tolerance
    consistency_slope: float = Penalty().slope

    def __post_init__(self):
        for name in ("templates", "template_samples", "stack_detectors", "statistic_templates", "statistic_light"):
            value, least = getattr(self, name), LEAST.get(name, 0)
            if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < least:
                raise InputError(f"{name}={value!r}; expected a whole number from {least}")
        for name in ("coincidence", "statistic_coherent", "consistency"):
            if not isinstance(getattr(self, name), bool):
                raise InputError(f"{name}={getattr(self, name)!r}; expected True or False")
        if type(self.template_stride) is not int or self.template_stride not in STRIDES:
            raise InputError(
                f"template_stride={self.template_stride!r}; expected one of {', '.join(map(str, STRIDES))}"
            )
        for name in ("statistic_shortcut", "consistency_tolerance", "consistency_slope"):
            value, least = getattr(self, name), LEAST.get(name, 0)
            if isinstance(value, bool) or not isinstance(value, numbers.Real) or not least <= value < math.inf:
                raise InputError(f"{name}={value!r}; expected a finite number from {least}")
        flags = [f"{name}=True" for name in ("coincidence", "consistency") if getattr(self, name)]
        flags += [f"stack_detectors={self.stack_detectors}"] if self.stack_detectors else []
        if not self.templates and (flags or self.template_stride != STRIDE):
            given = flags[0] if flags else f"template_stride={self.template_stride}"
            raise InputError(f"{given}: is of templates; give templates too, for example 128")
        if not self.statistic_shortcut and (self.statistic_templates or self.statistic_coherent):
            number = self.statistic_templates
            given = f"statistic_templates={number}" if number else "statistic_coherent=True"
            raise InputError(f"{given}: is of a ranking statistic; give statistic_shortcut too, for example 1")
        if (self.statistic_coherent or self.statistic_light) and not self.statistic_templates:
            given = "statistic_coherent=True" if self.statistic_coherent else f"statistic_light={self.statistic_light}"
            raise InputError(f"{given}: is of templates of its own; give statistic_templates too, for example 40")

    def unranked(self) -> Front:
        """Return the same front without what is ranked."""
        return replace(self, **{option: type(getattr(self, option))(0) for option in RANKED_OPTIONS})

    def check(self, name: str, detectors: int, positions: bool) -> None:
        """Raise InputError where a network of so many detectors, with or without a head of positions, cannot have this front."""
        if self.statistic_shortcut and not (self.coincidence and positions):
            lacking = "no matched filter that joins the detectors" if positions else "no positions"
            raise InputError(
                f"statistic_shortcut={self.statistic_shortcut}: {name} has {lacking}; expected a network with templates, "
                "coincidence=True and pooling='logsumexp', or leave it out"
            )
        if self.statistic_coherent and detectors < FIRST:
            raise InputError(
                f"statistic_coherent=True: {name} takes one detector; expected two, H1 and L1, or more, or leave it out"
            )
        if self.stack_detectors > detectors:
            raise InputError(
                f"stack_detectors={self.stack_detectors}: {name} takes {detectors}; expected as many at most"
            )
        if 0 < self.stack_detectors < detectors and self.statistic_shortcut and not self.statistic_templates:
            raise InputError(
                f"stack_detectors={self.stack_detectors}: what {name} ranks of the others takes templates of its own; give "
                "statistic_templates too, for example 40"
            )

    @property
    def penalty(self) -> Penalty:
        """What its tests of consistency divide by."""
        return Penalty(self.consistency_tolerance, self.consistency_slope)

    @property
    def stride(self) -> int:
        """Samples from one value that the stack sees to the next."""
        return STRIDE if self.templates else 1

    @property
    def coalescence_offset(self) -> float | None:
        """Samples from the middle of a template to its coalescence; None without templates."""
        return self.template_samples * (0.5 - RINGDOWN) if self.templates else None

    def field_of(self, detectors: int) -> ReceptiveField:
        """Return the ReceptiveField of what the stack sees of so many detectors."""
        kernels = self._kernel_field
        if not self.coincidence:
            return kernels
        return _sooner_or_later(kernels, _steps_apart(self.stack_detectors or detectors))

    @property
    def _kernel_field(self):
        return ReceptiveField().through(self.template_samples, STRIDE) if self.templates else ReceptiveField()

    def statistic_field(self, stride: int, detectors: int) -> ReceptiveField:
        """Return the ReceptiveField of the statistic of so many detectors, at as many samples from one value to the next as the stack's features."""
        field, steps = self._kernel_field, _steps_apart(detectors)
        if self.statistic_light:
            early = ReceptiveField().through(LOW_PASS_TAPS, STRIDE).through(EARLY_SAMPLES // STRIDE)
            field = field.merged(early.later(-steps_earlier(self.template_samples)))
        if self.statistic_coherent:
            steps = max(steps, -(-DELAYS // (STRIDE // OWN_STRIDE)))
        return _sooner_or_later(field, steps).through(stride // STRIDE, stride // STRIDE)

    def __call__(self, strain: keras.KerasTensor, stride: int) -> tuple:
        """Filter strain.

        Args:
            strain: Whitened strain (batch, samples, detectors).
            stride: Samples from one feature of the stack to the next.

        Returns:
            Tuple of a tensor (batch, samples / 8, channels) for the stack, the strain itself without templates, and a list of some
            (batch, samples / stride, 1) of the ranking statistic: that of heavy binaries, of light ones.
        """
        if not self.templates:
            return strain, []
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
        energies = None
        if self.consistency:
            energies = [energy(column, self.template_samples, number) for number, column in enumerate(columns)]
        filtered = Filtered(kernels, self.template_samples, energies, penalty=self.penalty)
        seen = Seen(filtered, self.templates, self.template_stride, self.stack_detectors)
        channels = [channel for asked, give in CHANNELS if asked(self) for channel in give(seen)]
        joined = layers.Concatenate(dtype=PRECISION, name=SNR_LAYER)(channels)
        if not self.statistic_shortcut:
            return joined, []
        own = {name: getattr(self, STATISTIC + name) for name in ("templates", "light", "coherent")}
        classes = ranked(seen, filtered, columns, energies, samples=self.template_samples, **own)
        return joined, pooled(classes, stride // STRIDE)


def _steps_apart(detectors):
    """Return by how many values a detector may see a signal earlier or later than where it is said to be."""
    return FURTHER if detectors > FIRST else COINCIDENT // 2


def _sooner_or_later(field, steps):
    """Return the ReceptiveField of what sees so many values earlier and later."""
    return field.later(-steps).merged(field.later(steps))


# What is ranked, which is not trained.
RANKED_OPTIONS = tuple(option.name for option in fields(Front) if option.name.startswith(STATISTIC))


# (which options ask for it, Seen -> channels that the stack sees), in this order.
CHANNELS = ((lambda front: True, Seen.powers_and_roots), (lambda front: front.coincidence, Seen.coincident))


def front_of(model: keras.Model) -> Front:
    """Read the options of the front of a network off its layers, those of a saved one too: each by a layer that it alone brings."""
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
    if given["consistency"]:
        free = max(samples - own[BASIS_LAYER].filters, 1)
        scaled = own.get(f"{ENERGY_LAYER}_0_beyond")
        penalty = Penalty.of(1 / scaled.scale, scaled.offset, free) if scaled else FIRST_PENALTY
        given["consistency_tolerance"], given["consistency_slope"] = penalty
    # Templates are applied once to each detector that the stack sees.
    seen = sum(node.operation is own[TEMPLATE_LAYERS[0]] for node in nodes_in_order(model))
    given["stack_detectors"] = seen if seen < model.input_shape[-1] else 0
    if JOIN_LAYER in own:
        kernel = own["score"].get_weights()[0]
        given["statistic_shortcut"] = float(kernel[:, -1].max()) or 1.0
        if OWN_LAYERS[0] in own:
            given["statistic_templates"] = own[OWN_LAYERS[0]].filters * OWN_STRIDE // STRIDE
            given["statistic_coherent"] = f"{STATISTIC}0_padded" in own
            light = own.get(LIGHT_LAYERS[0])
            given["statistic_light"] = light.filters * OWN_STRIDE // STRIDE if light else 0
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
