"""Rewrite a trained network for inference alone: batch norm folded into convolutions, dropout left out."""

from typing import Any

import keras
import numpy as np
from keras import layers

from keras_gw_resnet.models.front import front_layers
from keras_gw_resnet.models.graph import is_linear
from keras_gw_resnet.models.graph_blocks import norms_behind


def _foldable(model):
    """Map the name of each convolution to the batch norm that alone reads it."""
    convolutions = {each.name: each for each in model.layers if isinstance(each, layers.Conv1D)}
    return {
        name: norm
        for name, norm in norms_behind(model).items()
        if isinstance(norm, layers.BatchNormalization) and norm.axis in (-1, 2) and is_linear(convolutions[name])
    }


def scale_and_shift(norm: keras.Layer) -> tuple[np.ndarray, np.ndarray]:
    """Return by what a batch norm multiplies, and what it then adds, in use."""
    weights = {v.name: np.asarray(w, np.float64) for v, w in zip(norm.weights, norm.get_weights(), strict=True)}
    scale = weights.get("gamma", 1.0) / np.sqrt(weights["moving_variance"] + norm.epsilon)
    return scale, weights.get("beta", 0.0) - weights["moving_mean"] * scale


def _folded(convolution, norm):
    """Return kernel and bias that do what convolution and batch norm do after each other."""
    kernel, *bias = (np.asarray(w, np.float64) for w in convolution.get_weights())
    scale, shift = scale_and_shift(norm)
    return [kernel * scale, (bias[0] * scale if bias else 0.0) + shift]


def for_inference(model: keras.Model, input_tensors: Any = None, precision: str = "float32") -> keras.Model:
    """Clone a functional network with batch norm folded into the convolutions before it, and without dropout.

    A batch norm that does not follow a convolution directly, as in pre-activation blocks, stays.

    Args:
        model: `keras.Model`.
        input_tensors: Inputs of another length; None: those of the model.
        precision: "float32", or "bfloat16" for the arithmetic of the layers, but for those of a matched filter and of what is ranked by it.

    Returns:
        `keras.Model` whose output is that of `model.predict` to rounding.
    """
    norms = _foldable(model)
    left_out = {norm.name for norm in norms.values()}
    precise = front_layers(model)

    def clone(layer):
        config = layer.get_config()
        if layer.name in norms:
            config["use_bias"] = True
        # Tensor arithmetic such as 1 - x is no layer, and takes the precision of what it is given.
        plain = isinstance(layer, layers.Layer) and not isinstance(layer, layers.InputLayer | keras.Model)
        if precision != "float32" and plain and layer.name not in precise:
            config["dtype"] = f"mixed_{precision}"
        return type(layer).from_config(config)

    def call(layer, *args, **kwargs):
        if layer.name in left_out or isinstance(layer, layers.Dropout):
            return args[0]
        return layer(*args, **kwargs)

    lean = keras.models.clone_model(model, input_tensors=input_tensors, clone_function=clone, call_function=call)
    for layer in lean.layers:
        if isinstance(layer, layers.InputLayer):
            continue
        source = model.get_layer(layer.name)
        norm = norms.get(layer.name)
        layer.set_weights(_folded(source, norm) if norm else source.get_weights())
    return lean
