"""A shortcut around the whole residual stack: what a coincident search ranks, added to the logit of each place."""

import keras
import numpy as np
from keras import layers

from keras_gw_resnet.errors import InputError
from keras_gw_resnet.models.places import places_of
from keras_gw_resnet.models.receptive import before_cropping, receptive_field
from keras_gw_resnet.models.templates import (
    JOIN_LAYER,
    NEAR_LAYER,
    PRECISION,
    SHORTCUT_LAYERS,
    STRIDE,
    has_shortcut,
)

# Half the squared signal-to-noise ratio that a detector counts for at most, that of 8: a glitch is in one detector and may be far louder.
LIMIT = 32.0


def with_shortcut(model, weight):
    """Add the statistic of a stem that joins the detectors to the logit of each place.

    That is what a coincident search would rank (arXiv 1508.02357): the largest half squared signal-to-noise ratios of each detector
    nearby, up to `LIMIT`, added template by template, of which goes the log-sum-exp over the templates. Of its values that a place
    takes the largest of the feature in the middle counts. What it gains is in docs/flagship.md, "A shortcut around the stack".

    Args:
        model: `keras.Model` with a stem of templates with `coincidence`, and a head of places (`pooling="logsumexp"`).
        weight: What the statistic, a natural logarithm, is multiplied by.

    Returns:
        A `keras.Model` that shares the layers of `model` but for the last; the last convolution takes one channel more.

    Raises:
        InputError: No such stem or head, or a network that has the shortcut.
    """
    places, near = places_of(model), [layer for layer in model.layers if layer.name.startswith(NEAR_LAYER)]
    if places is None or not near or has_shortcut(model):
        raise InputError(
            f"statistic_shortcut={weight}: {model.name} has {_lacking(places, near)}; expected a network "
            "with templates, coincidence=True and pooling='logsumexp'"
        )
    features, _ = before_cropping(places.input)
    field = receptive_field(model.input, features)
    steps = field.stride // STRIDE
    pool = layers.MaxPooling1D(steps, padding="same", dtype=PRECISION, name=f"{SHORTCUT_LAYERS}pool")
    statistic = pool(_statistic([layer.output for layer in near]))
    tap = _middle_tap(field, receptive_field(model.input, statistic), places.kernel_size[0])
    joined = layers.Concatenate(dtype=PRECISION, name=JOIN_LAYER)([features, statistic])
    for layer in _between(features, places):
        joined = type(layer).from_config({**layer.get_config(), "dtype": PRECISION})(joined)
    score = layers.Conv1D.from_config(places.get_config())
    logit = score(joined)
    kernel, bias = places.get_weights()
    more = np.zeros_like(kernel[:, :1])
    more[tap, :, -1] = weight
    score.set_weights([np.concatenate([kernel, more], axis=1), bias])
    return keras.Model(model.input, _behind(model, places, logit), name=model.name)


def shift_logits(model, shift):
    """Add a number to the logit of every place of a network, and so to its score."""
    kernel, bias = places_of(model).get_weights()
    places_of(model).set_weights([kernel, bias + shift])


def _statistic(powers):
    """Return the log-sum-exp over the templates of the sum of the detectors' powers, each limited."""
    limited = [
        layers.ReLU(max_value=LIMIT, dtype=PRECISION, name=f"{SHORTCUT_LAYERS}limited_{detector}")(power)
        for detector, power in enumerate(powers)
    ]
    joined = layers.Add(dtype=PRECISION, name=f"{SHORTCUT_LAYERS}joined")(limited) if len(limited) > 1 else limited[0]
    return _named(keras.ops.logsumexp(joined, axis=-1, keepdims=True), f"{SHORTCUT_LAYERS}logsumexp")


def _named(tensor, name):
    """Name the operation that a tensor comes from: the names that Keras counts up may be taken in a network that was loaded."""
    tensor._keras_history.operation.name = name
    return tensor


def _lacking(places, near):
    if places is None:
        return "no places"
    return "one" if near else "no stem that joins the detectors"


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


def _behind(model, places, logit):
    """Apply to other logits what a network makes of those of its places."""
    following = [layer for layer in model.layers if layer is not places]
    if model.outputs[0] is places.output:
        return logit
    anywhere = _named(keras.ops.logsumexp(logit, axis=1), "anywhere")
    last = following[-1]
    return (
        layers.Activation.from_config(last.get_config())(anywhere) if isinstance(last, layers.Activation) else anywhere
    )
