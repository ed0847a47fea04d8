"""A shortcut around the whole residual stack: what a coincident search ranks, added to the logit of each place."""

import keras
import numpy as np
from keras import layers

from keras_gw_resnet.errors import InputError
from keras_gw_resnet.models.places import places_of
from keras_gw_resnet.models.receptive import before_cropping, receptive_field
from keras_gw_resnet.models.templates import (
    JOIN_LAYER,
    POOL_LAYER,
    PRECISION,
    STRIDE,
    coincident_statistic,
    has_shortcut,
)


def with_shortcut(model, weight):
    """Add the statistic of a stem that joins the detectors to the logit of each place.

    The stack learns from examples, half of whose noise may be what networks find hard; the log of the likelihood ratio
    over the templates that its stem computes learns from none (docs/flagship.md, "A shortcut around the stack", says
    what their sum gains). Of the statistic's values that a place takes, the largest of the feature in its middle counts.

    Args:
        model: `keras.Model` with a stem of templates with `coincidence`, and a head of places (`pooling="logsumexp"`).
        weight: What the statistic, a natural logarithm, is multiplied by.

    Returns:
        A `keras.Model` that shares the layers of `model` but for the last; the last convolution takes one channel more.

    Raises:
        InputError: No such stem or head, or a network that has the shortcut.
    """
    places, statistic = places_of(model), coincident_statistic(model)
    if places is None or statistic is None or has_shortcut(model):
        raise InputError(
            f"statistic_shortcut={weight}: {model.name} has {_lacking(places, statistic)}; expected a network "
            "with templates, coincidence=True and pooling='logsumexp'"
        )
    features, _ = before_cropping(places.input)
    field = receptive_field(model.input, features)
    steps = field.stride // STRIDE
    statistic = layers.MaxPooling1D(steps, padding="same", dtype=PRECISION, name=POOL_LAYER)(statistic)
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


def _lacking(places, statistic):
    if places is None:
        return "no places"
    return "no stem that joins the detectors" if statistic is None else "one"


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
    anywhere = keras.ops.logsumexp(logit, axis=1)
    last = following[-1]
    return (
        layers.Activation.from_config(last.get_config())(anywhere) if isinstance(last, layers.Activation) else anywhere
    )
