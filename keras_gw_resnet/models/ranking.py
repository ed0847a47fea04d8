"""What is ranked: the log of the likelihood ratio of a signal in all detectors, template by template, and its log-sum-exp over the templates.

A new statistic is a function (Filtered, templates, prefix of the names of its layers) that gives (batch, steps, templates), chosen in `ranked`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from keras_gw_resnet.backend import Later
from keras_gw_resnet.models.matched_filter import (
    FIRST,
    FIXED,
    PRECISION,
    STRIDE,
    TEMPLATE_LAYERS,
    Filtered,
    Seen,
    further,
    half_square,
    near,
    slices,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    import keras
    from keras import layers, ops
else:
    layers, ops = Later("keras.layers"), Later("keras.ops")

# Half the squared signal-to-noise ratio that a detector counts for at most, that of 8: a glitch is in one detector and may be far louder.
LIMIT = 32.0
# Samples from one time at which a template of the statistic's own is tried to the next.
OWN_STRIDE = 4
# Such times that a signal may be earlier or later in one detector than in the other, 10 ms: what light needs from H1 to L1.
DELAYS = 5
# How much the phases of a signal in H1 and L1 lie around opposite ones, concentration of a von Mises distribution: over all directions,
# inclinations and polarisations, weighted by the volume that they are seen in, 3.3 at delays of 8 to 10 ms and 17 at none.
CONCENTRATION = 6.0
STATISTIC = "statistic_"
OWN_LAYERS = tuple(STATISTIC + name for name in TEMPLATE_LAYERS)
# Light binaries: kernels beside those of the others, and kernels for what the strain held before, at a lower rate.
LIGHT = f"{STATISTIC}light_"
LIGHT_LAYERS = tuple(LIGHT + name for name in TEMPLATE_LAYERS)
LIGHT_BASIS_LAYER, EARLY_BASIS_LAYER, LOW_PASS_LAYER = f"{LIGHT}basis", f"{LIGHT}early_basis", f"{LIGHT}low_pass"
# What is ranked of each class, the largest within a feature of the stack, and what makes the evidence of light binaries.
RANKED_POOLS = STATISTIC_POOL, LIGHT_POOL = f"{STATISTIC}pool", f"{LIGHT}pool"
LIGHT_SCORE = f"{LIGHT}score"
# Layers whose weights are templates of the statistic's own, and what their evidence is made of.
FILTER_LAYERS = (*OWN_LAYERS, *LIGHT_LAYERS, LIGHT_BASIS_LAYER, LOW_PASS_LAYER, EARLY_BASIS_LAYER)
RANKED_LAYERS = (*FILTER_LAYERS, LIGHT_SCORE)
LIGHT_BASIS, EARLY_BASIS = 32, 64
# How likely a light binary is for each other one. In Gaussian noise both classes exceed a threshold alike often at 1; at 1/4 the threshold
# rises by 0.3 for the sake of light binaries, at 1 by 0.7.
LIGHT_ODDS = 0.25
# The strain that the early kernels see, and the taps of the low pass before them: 0.5 s at 2048 Hz, taken every `STRIDE` samples.
EARLY_SAMPLES, LOW_PASS_TAPS = 1024, 97
# Samples from where the late kernels begin back to the first that the low pass of the early ones takes.
BEFORE = EARLY_SAMPLES + (LOW_PASS_TAPS - STRIDE) // 2


def ranked(
    seen: Seen,
    filtered: Filtered,
    columns: Sequence,
    energies: Sequence | None,
    *,
    samples: int,
    templates: int,
    light: int,
    coherent: bool,
) -> list[keras.KerasTensor]:
    """Return the log-likelihood ratio of each template, (batch, steps, templates): of heavy binaries, and of light ones where they have their own.

    Args:
        seen, filtered, columns, energies: Templates that the stack sees, Filtered, the strain of each detector and its energy (`Filtered`).
        samples: Of a template.
        templates, light, coherent: See `Front`, as statistic_templates and so on.
    """
    if not templates:
        return [limited_sum(seen.near)]
    join = coherent_sum if coherent else own_sum
    heavy = join(filtered, templates, STATISTIC)
    if not light:
        return [heavy]
    lighter = join(light_filtered(columns, filtered, samples, energies), light, LIGHT)
    return [heavy, lighter - math.log(light / templates / LIGHT_ODDS)]


def limited_sum(powers: Sequence, prefix: str = STATISTIC) -> keras.KerasTensor:
    """Add up half squared signal-to-noise ratios (batch, steps, templates) of the first two detectors, each up to `LIMIT`, and what others add."""
    limited = [
        layers.ReLU(max_value=LIMIT, dtype=PRECISION, name=f"{prefix}limited_{detector}")(power)
        for detector, power in enumerate(powers[:FIRST])
    ]
    every = [*limited, *powers[FIRST:]]
    return layers.Add(dtype=PRECISION, name=f"{prefix}joined")(every) if len(every) > 1 else limited[0]


def own_sum(filtered: Filtered, templates: int, prefix: str) -> keras.KerasTensor:
    """Add up what templates of the statistic's own give in each detector, see `limited_sum`."""
    return limited_sum(near(filtered.powers(templates, OWN_STRIDE, prefix), prefix), prefix)


def coherent_sum(filtered: Filtered, templates: int, prefix: str) -> keras.KerasTensor:
    """Join the first two detectors by the phases of each template, the largest of all delays and of the times within a step of the front.

    A signal that is alike loud in both with phases that differ by d has a log-likelihood ratio of (a^2 + b^2) / 4 + a b cos(d - e) / 2, where a and b
    are the signal-to-noise ratios and e the difference of their phases. Over a von Mises distribution of d around pi this gives
    (a^2 + b^2) / 4 + log I0(r) - log I0(k), with r^2 = (a b / 2)^2 + k^2 - k a b cos(e); of log I0 the argument alone is taken, which
    differs by -1.8 (r = 0) to 0.9 (r = 38, the largest). Each further detector adds what `matched_filter.further` gives.
    """
    phases = filtered.phases(templates, OWN_STRIDE, prefix)
    first, last = (_limited(filtered, detector, *pair) for detector, pair in enumerate(phases[:FIRST]))
    shifted = zip(*(_at_all_delays(tensor, templates, f"{prefix}{n}") for n, tensor in enumerate(first)), strict=True)
    largest = layers.Maximum(dtype=PRECISION, name=f"{prefix}delays")([_coherent(last, other) for other in shifted])
    joined = layers.Maximum(dtype=PRECISION, name=f"{prefix}joined")(slices(largest, templates))
    return sum(further(filtered.largest(phases, templates, prefix), prefix), start=joined)


def _coherent(own, other):
    """Return the log-likelihood ratio of a signal in two detectors, see `coherent_sum`, of what `_limited` gives for each."""
    own_phase, own_quadrature, own_power = own
    in_phase, in_quadrature, power = other
    product = own_phase * in_phase + own_quadrature * in_quadrature
    # The root of a number that rounding made negative is none.
    root = ops.sqrt(own_power * power + CONCENTRATION**2 - CONCENTRATION * product + 1e-3)
    return 0.5 * (own_power + power) + root - CONCENTRATION


def _limited(filtered, detector, in_phase, in_quadrature):
    """Return in phase, in quadrature and half the square of a signal-to-noise ratio, limited; what is limited keeps its phase."""
    power = half_square(in_phase, in_quadrature)
    limited = ops.minimum(filtered.consistent(detector, power), LIMIT)
    scale = ops.sqrt(limited / (power + 1e-6))
    return in_phase * scale, in_quadrature * scale, limited


def _at_all_delays(tensor, templates, name):
    """Return a sequence `DELAYS` times earlier to as much later; beyond its ends there are zeros.

    A time is a part of a step. Whole steps are a shift of the sequence; for what is between, the parts of a step are taken from two.
    """
    times = STRIDE // OWN_STRIDE
    reach = -(-DELAYS // times)
    padded = layers.ZeroPadding1D(reach, dtype=PRECISION, name=f"{name}_padded")(tensor)
    parts = [padded]
    if times > 1:
        step, following = (
            layers.Cropping1D(crop, dtype=PRECISION, name=f"{name}_{which}")(padded)
            for which, crop in (("step", (0, 1)), ("following", (1, 0)))
        )
        parts += [
            layers.Concatenate(dtype=PRECISION, name=f"{name}_between_{part}")(
                [step[:, :, part * templates :], following[:, :, : part * templates]]
            )
            for part in range(1, times)
        ]
    found = []
    for delay in range(-DELAYS, DELAYS + 1):
        steps, part = divmod(delay, times)
        crop = (reach + steps, reach - steps - (part > 0))
        found.append(layers.Cropping1D(crop, dtype=PRECISION, name=f"{name}_delay_{delay + DELAYS}")(parts[part]))
    return found


def light_filtered(columns: Sequence, filtered: Filtered, samples: int, energies: Sequence | None) -> Filtered:
    """Filter strain for light binaries, which are longer than the kernels of the others and have less in common with them.

    Beside those kernels there are more of their length, orthonormal to them. What comes before is at low frequencies alone: kernels of their
    own see it at an eighth of the rate behind a low pass.

    Args:
        columns: Strain (batch, samples, 1) of each detector.
        filtered: Of the others.
        samples: That each of their kernels sees.
        energies: See `Filtered`.
    """
    basis = layers.Conv1D(LIGHT_BASIS, samples, strides=STRIDE, padding="same", **FIXED, name=LIGHT_BASIS_LAYER)
    low_pass = layers.Conv1D(1, LOW_PASS_TAPS, strides=STRIDE, padding="same", **FIXED, name=LOW_PASS_LAYER)
    early = layers.Conv1D(EARLY_BASIS, EARLY_SAMPLES // STRIDE, padding="same", **FIXED, name=EARLY_BASIS_LAYER)
    late, every, steps = [], [], steps_earlier(samples)
    for detector, (column, own) in enumerate(zip(columns, filtered.kernels, strict=True)):
        padded = layers.ZeroPadding1D((steps, 0), dtype=PRECISION, name=f"{LIGHT}early_{detector}_padded")
        cropped = layers.Cropping1D((0, steps), dtype=PRECISION, name=f"{LIGHT}early_{detector}")
        more, earlier = basis(column), cropped(padded(early(low_pass(column))))
        late.append(layers.Concatenate(dtype=PRECISION, name=f"{LIGHT}late_{detector}")([own, more]))
        every.append(layers.Concatenate(dtype=PRECISION, name=f"{LIGHT}kernels_{detector}")([own, more, earlier]))
    return Filtered(late, samples, energies, every, penalty=filtered.penalty, prefix=LIGHT)


def steps_earlier(samples: int) -> int:
    """Return by how many steps early kernels have to come later, so that they end where kernels of so many samples begin."""
    return (samples // 2 + EARLY_SAMPLES) // STRIDE - (EARLY_SAMPLES // STRIDE - 1) // 2


def pooled(classes: Sequence, steps: int) -> list[keras.KerasTensor]:
    """Return the log-sum-exp over the templates of each class, the largest of so many steps, (batch, features, 1)."""
    pools = [layers.MaxPooling1D(steps, padding="same", dtype=PRECISION, name=name) for name in RANKED_POOLS]
    return [pool(ops.logsumexp(own, axis=-1, keepdims=True)) for pool, own in zip(pools, classes, strict=False)]
