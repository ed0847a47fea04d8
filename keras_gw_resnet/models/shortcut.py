"""A shortcut around the whole residual stack: what a coincident search ranks, added to the logit of each place."""

import math
import numbers

import keras
from keras import layers

from keras_gw_resnet.errors import InputError
from keras_gw_resnet.models.places import anywhere, named, places_of
from keras_gw_resnet.models.receptive import before_cropping, nodes_in_order, receptive_field
from keras_gw_resnet.models.templates import (
    BASIS_LAYER,
    JOIN_LAYER,
    NEAR_LAYER,
    PRECISION,
    SHORTCUT_LAYERS,
    STRIDE,
    TEMPLATE_LAYERS,
    half_square,
    has_shortcut,
    near_powers,
    slices,
    template_phases,
    template_powers,
)

# Half the squared signal-to-noise ratio that a detector counts for at most, that of 8: a glitch is in one detector and may be far louder.
LIMIT = 32.0
# Samples from one time at which a template of the shortcut's own is tried to the next.
OWN_STRIDE = 4
# Such times that a signal may be earlier or later in one detector than in the other, 10 ms: what light needs from H1 to L1.
DELAYS = 5
# How much the phases of a signal in H1 and L1 lie around opposite ones, concentration of a von Mises distribution: over all directions,
# inclinations and polarisations, weighted by the volume that they are seen in, 3.3 at delays of 8 to 10 ms and 17 at none.
CONCENTRATION = 6.0
OWN_LAYERS = tuple(SHORTCUT_LAYERS + name for name in TEMPLATE_LAYERS)


def with_shortcut(model, weight, templates=0, coherent=False):
    """Add the statistic of a stem that joins the detectors to the logit of each place.

    That is what a coincident search would rank (arXiv 1508.02357): the largest half squared signal-to-noise ratios of each detector
    nearby, up to `LIMIT`, added template by template, of which goes the log-sum-exp over the templates. To the logit of a place the largest
    value within its middle feature is added. What it gains is in docs/flagship.md, "A shortcut around the stack".

    The templates may be others than those that the residual stack sees: what is ranked may see farther with few of them, the stack is
    given many (docs/flagship.md, "Templates of the shortcut's own"). They are sums of the same orthonormal kernels, and yet to be filled.

    With `coherent` two detectors are joined as H1 and L1 see a signal: at a delay of up to 10 ms, alike loud, and with nearly opposite phases
    (consistency of phases, times and amplitudes, arXiv 1705.01513). What is loud in one detector alone counts for half.

    Args:
        model: `keras.Model` with a stem of templates with `coincidence`, and a head of places (`pooling="logsumexp"`).
        weight: What the statistic, a natural logarithm, is multiplied by; at least 0.
        templates: How many templates of its own the statistic has; 0: those of the stem.
        coherent: Whether to join the templates of its own by their phases: of H1 and L1 alone.

    Returns:
        A `keras.Model` that shares the layers of `model` up to its features; the last convolution takes one channel more.

    Raises:
        InputError: No such stem or head, a network that has the shortcut already, another weight or number.
    """
    if isinstance(weight, bool) or not isinstance(weight, numbers.Real) or not 0 <= weight < math.inf:
        raise InputError(f"statistic_shortcut={weight!r}; expected a finite number from 0")
    if isinstance(templates, bool) or not isinstance(templates, numbers.Integral) or templates < 0:
        raise InputError(f"statistic_templates={templates!r}; expected a whole number from 0")
    if not isinstance(coherent, bool):
        raise InputError(f"statistic_coherent={coherent!r}; expected True or False")
    if coherent and not templates:
        raise InputError(
            "statistic_coherent=True: is of templates of its own; give statistic_templates too, for example 40"
        )
    if coherent and model.input_shape[-1] != 2:
        raise InputError(
            f"statistic_coherent=True: {model.name} takes {model.input_shape[-1]} detectors; expected two, H1 and L1, or leave it out"
        )
    if has_shortcut(model):
        raise InputError(f"statistic_shortcut={weight}: {model.name} has this shortcut already; leave one out")
    places, near = places_of(model), [layer for layer in model.layers if layer.name.startswith(NEAR_LAYER)]
    if places is None or not near:
        lacking = "no stem that joins the detectors" if places else "no places"
        raise InputError(
            f"statistic_shortcut={weight}: {model.name} has {lacking}; expected a network with templates, coincidence=True "
            "and pooling='logsumexp', or leave it out"
        )
    features, _ = before_cropping(places.input)
    field = receptive_field(model.input, features)
    steps = field.stride // STRIDE
    pool = layers.MaxPooling1D(steps, padding="same", dtype=PRECISION, name=f"{SHORTCUT_LAYERS}pool")
    stem = [layer.output for layer in near]
    joined = _own_joined(model, templates, coherent) if templates else _sum_of(stem)
    statistic = pool(named(keras.ops.logsumexp(joined, axis=-1, keepdims=True), f"{SHORTCUT_LAYERS}logsumexp"))
    tap = _middle_tap(field, receptive_field(model.input, statistic), places.kernel_size[0])
    joined = layers.Concatenate(dtype=PRECISION, name=JOIN_LAYER)([features, statistic])
    kernel, bias = places.get_weights()
    more = 0 * kernel[:, :1]
    more[tap, :, -1] = weight
    return _with_head(model, features, joined, [_beside(kernel, more), bias])


def without_shortcut(model):
    """Return a network without its shortcut, sharing the layers up to its features; the network itself where it has none."""
    if not has_shortcut(model):
        return model
    joined = model.get_layer(JOIN_LAYER)
    kernel, bias = places_of(model).get_weights()
    return _with_head(model, joined.output, joined.input[0], [kernel[:, :-1], bias])


def _with_head(model, before, features, weights):
    """Return a network whose head is handed other features than before, with other weights of its last convolution."""
    places = places_of(model)
    for layer in _between(before, places):
        features = type(layer).from_config({**layer.get_config(), "dtype": PRECISION})(features)
    score = layers.Conv1D.from_config(places.get_config())
    output = score(features)
    score.set_weights(weights)
    if model.outputs[0] is not places.output:
        last = model.outputs[0]._keras_history.operation
        output = anywhere(output, last.activation if isinstance(last, layers.Activation) else None)
    return keras.Model(model.input, output, name=model.name)


def own_templates_of(model):
    """Return how many templates of its own the shortcut of a network has; 0: it has those of the stem, or there is none."""
    own = next((layer for layer in model.layers if layer.name == OWN_LAYERS[0]), None)
    return own.filters * OWN_STRIDE // STRIDE if own else 0


def is_coherent(model):
    """Say whether the shortcut of a network joins H1 and L1 by phase."""
    return any(layer.name == f"{SHORTCUT_LAYERS}0_padded" for layer in model.layers)


def copy_head(bare, saved, model, path):
    """Copy the last convolution of a network without shortcut into that with it, and its shortcut from a saved one that has one.

    Raises:
        InputError: The shortcut has templates of its own, and that of the saved network has not as many or joins them otherwise.
    """
    kernel, bias = places_of(bare).get_weights()
    templates, known = own_templates_of(model), own_templates_of(saved)
    if templates != known:
        whose = f"its shortcut has {known} templates of its own" if has_shortcut(saved) else "it has no shortcut"
        raise InputError(
            f"{path}: {whose}, that of {model.name} {templates}; expected weights of a network with as many, "
            f"or statistic_templates={known} (--options.statistic_templates {known})"
        )
    if templates and is_coherent(saved) != is_coherent(model):
        known = is_coherent(saved)
        how = ("powers", "phases")
        raise InputError(
            f"{path}: its shortcut adds up {how[known]}, that of {model.name} {how[not known]}; "
            f"expected statistic_coherent={known} (--options.statistic_coherent {str(known).lower()})"
        )
    if templates:
        for name in OWN_LAYERS:
            model.get_layer(name).set_weights(saved.get_layer(name).get_weights())
    own = places_of(saved if has_shortcut(saved) else model).get_weights()[0][:, -1:]
    places_of(model).set_weights([_beside(kernel, own), bias])


def shift_logits(model, shift):
    """Add a number to the logit of every place of a network, and so to its score."""
    kernel, bias = places_of(model).get_weights()
    places_of(model).set_weights([kernel, bias + shift])


def _beside(kernel, more):
    """Return the kernel of a convolution with more channels."""
    return keras.ops.convert_to_numpy(keras.ops.concatenate([kernel, more], axis=1))


def _own_joined(model, templates, coherent):
    """Join the detectors by templates of the shortcut's own, tensor (batch, steps, templates)."""
    basis = model.get_layer(BASIS_LAYER)
    calls = [node for node in nodes_in_order(model) if node.operation is basis]
    filtered = [node.output_tensors[0] for node in sorted(calls, key=_detector)]
    if coherent:
        joined = _coherent_sum(template_phases(filtered, templates, OWN_STRIDE, SHORTCUT_LAYERS), templates)
    else:
        joined = _sum_of(
            near_powers(template_powers(filtered, templates, OWN_STRIDE, SHORTCUT_LAYERS), SHORTCUT_LAYERS)
        )
    # The names that Keras counts up may be taken in a network that was loaded.
    for number, node in enumerate(nodes_in_order(keras.Model(filtered, joined))):
        if not isinstance(node.operation, layers.Layer):
            node.operation.name = f"{SHORTCUT_LAYERS}operation_{number}"
    return joined


def _detector(call):
    """Return the number of the detector whose strain a call of the stem's kernels takes: copies of a network may hold the calls in any order."""
    history = call.input_tensors[0]._keras_history
    _, (*_, channels) = history.operation._inbound_nodes[history.node_index].arguments.args
    return channels.start


def _sum_of(powers):
    """Add the detectors' half squared signal-to-noise ratios, each limited."""
    limited = [
        layers.ReLU(max_value=LIMIT, dtype=PRECISION, name=f"{SHORTCUT_LAYERS}limited_{detector}")(power)
        for detector, power in enumerate(powers)
    ]
    return layers.Add(dtype=PRECISION, name=f"{SHORTCUT_LAYERS}joined")(limited) if len(limited) > 1 else limited[0]


def _coherent_sum(phases, templates):
    """Join two detectors by the phases of each template, the largest of all delays and of the times within a step of the stem.

    A signal that is alike loud in both with phases that differ by d has a log-likelihood ratio of (a^2 + b^2) / 4 + a b cos(d - e) / 2, where a and b
    are the signal-to-noise ratios and e the difference of their phases. Over a von Mises distribution of d around pi this gives
    (a^2 + b^2) / 4 + log I0(r) - log I0(k), with r^2 = (a b / 2)^2 + k^2 - k a b cos(e); of log I0 the argument alone is taken, which
    differs by -1.8 (r = 0) to 0.9 (r = 38, the largest).

    Args:
        phases: As `template_phases` returns them, of two detectors.
        templates: How many.
    """
    first, last = (_limited(*pair) for pair in phases)
    times = STRIDE // OWN_STRIDE
    steps = -(-DELAYS // times)
    delays = 2 * DELAYS + 1
    # Of the first detector what is `steps` earlier to as much later, all of it beside each other.
    around = [_at_all_steps(tensor, steps, f"{SHORTCUT_LAYERS}{number}") for number, tensor in enumerate(first)]
    last = [slices(tensor, templates) for tensor in last]
    found = []
    for time in range(times):
        start = (steps * times + time - DELAYS) * templates
        in_phase, in_quadrature, power = (tensor[:, :, start : start + delays * templates] for tensor in around)
        own_phase, own_quadrature, own_power = (
            layers.Concatenate(dtype=PRECISION, name=f"{SHORTCUT_LAYERS}{number}_at_{time}")([parts[time]] * delays)
            for number, parts in enumerate(last)
        )
        product = own_phase * in_phase + own_quadrature * in_quadrature
        # The root of a number that rounding made negative is none.
        root = keras.ops.sqrt(own_power * power + CONCENTRATION**2 - CONCENTRATION * product + 1e-3)
        found += slices(0.5 * (own_power + power) + root - CONCENTRATION, templates)
    return layers.Maximum(dtype=PRECISION, name=f"{SHORTCUT_LAYERS}joined")(found)


def _limited(in_phase, in_quadrature):
    """Return in phase, in quadrature and half the square of a signal-to-noise ratio, limited."""
    power = half_square(in_phase, in_quadrature)
    limited = keras.ops.minimum(power, LIMIT)
    # What is limited keeps its phase.
    scale = keras.ops.sqrt(limited / (power + 1e-6))
    return in_phase * scale, in_quadrature * scale, limited


def _at_all_steps(tensor, steps, name):
    """Return a sequence so many steps earlier to as many later, side by side; beyond its ends there are zeros."""
    padded = layers.ZeroPadding1D(steps, dtype=PRECISION, name=f"{name}_padded")(tensor)
    shifted = [
        layers.Cropping1D((start, 2 * steps - start), dtype=PRECISION, name=f"{name}_from_{start}")(padded)
        for start in range(2 * steps + 1)
    ]
    return layers.Concatenate(dtype=PRECISION, name=f"{name}_at_all_steps")(shifted)


def _middle_tap(field, statistic, taps):
    """Say which of the features that a place takes has its middle in the middle of the place."""
    place = ((taps - 1) * field.stride + field.right - field.left) / 2
    tap = round((place - (statistic.right - statistic.left) / 2) / field.stride)
    return min(max(tap, 0), taps - 1)


def _between(features, places):
    """List the layers that crop features and drop some, in their order."""
    found, tensor = [], places.input
    while tensor is not features:
        found.insert(0, tensor._keras_history.operation)
        tensor = found[0].input
    return found
