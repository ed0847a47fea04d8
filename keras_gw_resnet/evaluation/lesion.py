"""What a trained network loses when one of its blocks is taken out or two change places (arXiv 1605.06431).

A network whose paths are an ensemble loses little; a chain of layers loses everything.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from keras import layers

from keras_gw_resnet.backend import jit_compile
from keras_gw_resnet.errors import InputError
from keras_gw_resnet.evaluation.windows import auc, detected_fraction
from keras_gw_resnet.models.graph_blocks import blocks_of, norms_behind
from keras_gw_resnet.progress import Bar

if TYPE_CHECKING:
    import keras

    from keras_gw_resnet.evaluation.window_data import WindowData

NORMS = (layers.BatchNormalization, layers.GroupNormalization)
# Windows are scored once for every lesion; so many show an efficiency at this false-alarm probability.
MOST_WINDOWS = 6000
FALSE_ALARM_PROBABILITY = 1e-2
# So negative a bias shuts a gate for good.
SHUT = -1e4


@dataclass(frozen=True)
class Unit:
    """A block with a way past it, or a convolution of a plain network that changes neither length nor channels.

    Attributes:
        name: Prefix of its layers.
        layers: Its layers, in the network's order.
        decisive: Those whose weights are changed to take it out.
        gated: Whether that is a gate, to be shut.
    """

    name: str
    layers: tuple
    decisive: tuple
    gated: bool = False


def units_of(model: keras.Model) -> list[Unit]:
    """List the Units of a network: its residual and highway blocks; dense ones where it has no others, plain layers where it has none at all.

    Raises:
        InputError: It has nothing of the kind.
    """
    blocks, norms = blocks_of(model, dense=True), norms_behind(model)
    if blocks:
        own = [block for block in blocks if block.kind != "dense"] or blocks
        return [Unit(block.name, block.layers, (block.decisive,), block.kind == "highway") for block in own]
    plain = []
    for layer in model.layers:
        norm = norms.get(layer.name)
        if norm is not None and layer.input.shape == layer.output.shape:
            plain.append(Unit(layer.name, (layer, norm), (layer, norm)))
    if not plain:
        raise InputError(f"{model.name} has neither blocks nor plain layers that could be taken out")
    return plain


def _take_out(unit):
    for layer in unit.decisive:
        weights = layer.get_weights()
        if len(unit.decisive) == 2:
            weights = _identity(layer, weights)
        elif unit.gated:
            weights = [np.zeros_like(weights[0]), np.full_like(weights[1], SHUT)]
        elif isinstance(layer, NORMS):
            weights = [np.zeros_like(w) for w in weights[:2]] + weights[2:]
        else:
            weights = [np.zeros_like(w) for w in weights]
        layer.set_weights(weights)


def _identity(layer, weights):
    """Return weights with which a convolution, or its batch norm, gives what it takes."""
    if isinstance(layer, layers.Conv1D):
        kernel = np.zeros_like(weights[0])
        kernel[(kernel.shape[0] - 1) // 2] = np.eye(kernel.shape[1])
        return [kernel, *(np.zeros_like(w) for w in weights[1:])]
    if not isinstance(layer, layers.BatchNormalization):
        raise InputError(f"{layer.name}: a plain layer with {type(layer).__name__} cannot be taken out")
    _, _, mean, variance = weights
    return [np.sqrt(variance + layer.epsilon), mean, mean, variance]


def _shapes(unit):
    return [w.shape for layer in unit.layers for w in layer.get_weights()]


def _swap(one, other):
    for a, b in zip(one.layers, other.layers, strict=True):
        mine, theirs = a.get_weights(), b.get_weights()
        a.set_weights(theirs)
        b.set_weights(mine)


@contextlib.contextmanager
def _lesioned(units, change):
    kept = [(layer, layer.get_weights()) for unit in units for layer in unit.layers]
    change()
    try:
        yield
    finally:
        for layer, weights in kept:
            layer.set_weights(weights)


def lesions(model: keras.Model, measure: Callable, progress: Callable = iter) -> list[dict]:
    """Measure a network with each of its units taken out, and with each pair of neighbours of one shape swapped.

    The weights are put back after each.

    Args:
        model: `keras.Model`.
        measure: Function without arguments that gives a dictionary of figures for the model as it is.
        progress: Wraps the list of what is to be done, for a progress bar.

    Returns:
        List of dictionaries: kind ("none", "dropped", "swapped"), units (names), and what `measure` gave.
    """
    units = units_of(model)
    todo = [("none", (), lambda: None)]
    todo += [("dropped", (unit,), lambda unit=unit: _take_out(unit)) for unit in units]
    todo += [
        ("swapped", (a, b), lambda a=a, b=b: _swap(a, b))
        for a, b in itertools.pairwise(units)
        if _shapes(a) == _shapes(b)
    ]
    found = []
    for kind, changed, change in progress(todo):
        with _lesioned(changed, change):
            found.append({"kind": kind, "units": [unit.name for unit in changed], **measure()})
    return found


def measure_lesions(model: keras.Model, name: str, given: WindowData) -> list[dict]:
    """Measure AUC and detected fraction of a network as it is, and with each of its lesions.

    Args:
        model: `keras.Model`.
        name: What the progress bar says.
        given: `window_data.WindowData`, best of at most `MOST_WINDOWS`.

    Returns:
        List of dictionaries: kind and units, see `lesions`, auc, and efficiency, the detected fraction at
        `FALSE_ALARM_PROBABILITY`.

    Raises:
        InputError: The network has nothing that could be taken out.
    """
    model.compile(jit_compile=jit_compile())
    made = [given.batches[i] for i in range(-(-given.number // given.batches.batch_size))]
    signal = np.concatenate([label[:, 0] for _, label in made]) == 1

    def measure():
        score = np.concatenate([model.predict_on_batch(strain)[:, 0] for strain, _ in made])
        noise, signals = score[~signal], score[signal]
        found, _ = detected_fraction(noise, signals, FALSE_ALARM_PROBABILITY)
        return {"auc": auc(noise, signals), "efficiency": found}

    def bar(todo):
        return Bar(todo, desc=name, unit="lesion")

    return lesions(model, measure, bar)
