"""Scan networks in Keras: those of networks that `lean` does not know, of other precisions, and on graphics cards."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras
import numpy as np
from keras import layers

from keras_gw_resnet.backend import jit_compile
from keras_gw_resnet.models.graph import head_of, logits_of_positions
from keras_gw_resnet.search.cutting import Cut
from keras_gw_resnet.search.folding import for_inference

if TYPE_CHECKING:
    from keras_gw_resnet.models.parts import Parts

# Operation by operation, Keras keeps all that a network works out until it is done: up to 0.1 GB a window.
SCORED_AT_ONCE = 8


def logits_of(model: keras.Model) -> keras.Model:
    """Return a network that gives the logit for a signal of each window: what goes into a last squashing activation."""
    return keras.Model(model.input, _linear(*_last_step(model), "logit"))


def score(logits: keras.Model, windows: np.ndarray) -> np.ndarray:
    """Score windows (n, samples, detectors) with what `logits_of` gave, in batches; return a float32 array (n,)."""
    batches = [
        keras.ops.convert_to_numpy(logits(windows[at : at + SCORED_AT_ONCE], training=False))
        for at in range(0, len(windows), SCORED_AT_ONCE)
    ]
    return np.concatenate(batches)[:, 0] if batches else np.empty(0, np.float32)


def _last_step(model):
    """Return (what goes into the last layer, kernel, bias): its linear part as a network's logit for a signal.

    A squashing activation saturates, so loud events are ranked by what goes into it. Of two outputs the second is the
    signal's, and the logit is their difference.
    """
    last = model.layers[-1]
    if isinstance(last, layers.Dense):
        arriving, (kernel, *bias) = last.input, last.get_weights()
        bias = bias[0] if bias else np.zeros(kernel.shape[-1], np.float32)
    else:
        arriving = last.input if isinstance(last, layers.Activation | layers.Softmax) else model.outputs[0]
        kernel = np.eye(model.output_shape[-1], dtype=np.float32)
        bias = np.zeros(len(kernel), np.float32)
    if kernel.shape[-1] == 2:
        return arriving, kernel[:, 1:] - kernel[:, :1], bias[1:] - bias[:1]
    return arriving, kernel, bias


def _linear(arriving, kernel, bias, name):
    dense = layers.Dense(1, name=name, dtype="float32")
    scores = dense(arriving)
    dense.set_weights([kernel, bias])
    return scores


def sliding(model: keras.Model, parts: Parts, precision: str) -> keras.Model:
    """Return a network of strain (batch, any length, detectors) that gives evidence, (batch, n, 1), of one that slides."""
    strain = keras.Input((None, model.input_shape[-1]), name="strain")
    if parts.front.statistic_light:
        found = for_inference(keras.Model(model.input, logits_of_positions(model)), strain, precision)
        return _compiled(found, found.outputs[0])
    head = head_of(model)
    found = for_inference(keras.Model(model.input, head.input), strain, precision)
    if parts.head == "average":
        # The mean and a linear layer may be swapped.
        return _compiled(found, _linear(found.outputs[0], *_last_step(model)[1:], "evidence"))
    logits = layers.Conv1D(1, parts.head_kernel, name="evidence", dtype="float32")
    evidence = logits(found.outputs[0])
    logits.set_weights(head.get_weights())
    return _compiled(found, evidence)


def by_windows(model: keras.Model, precision: str) -> keras.Model:
    """Return a network that gives the logit of each window, (batch, 1)."""
    arriving, kernel, bias = _last_step(model)
    lean = for_inference(keras.Model(model.input, arriving), precision=precision)
    return _compiled(lean, _linear(lean.outputs[0], kernel, bias, "evidence"))


def _compiled(found, evidence):
    network = keras.Model(found.inputs, evidence)
    network.compile(jit_compile=jit_compile())
    return network


def cut(network: keras.Model, *, fused: bool) -> Cut | None:
    """Cut a network that slides in two, see `cutting.Cut`; None: it does not look at each detector alone."""
    try:
        return Cut(network, fused=fused)
    except ValueError:
        return None
