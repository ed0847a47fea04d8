"""Find the residual and highway blocks of a network."""

from dataclasses import dataclass

import keras
from keras import layers

from keras_gw_resnet.models.templates import stem_layers


@dataclass(frozen=True)
class Block:
    """A block that adds a branch to what goes past it.

    Attributes:
        name: Prefix of the names of its layers.
        entry: Tensor that goes in.
        branch: Tensor that is added: the residual, or the gated transform of a highway block.
        output: Tensor that comes out.
    """

    name: str
    entry: keras.KerasTensor
    branch: keras.KerasTensor
    output: keras.KerasTensor


def blocks_of(model):
    """List the Blocks of a network from input to output; none for families without sums."""
    by_name, stem, found = {layer.name: layer for layer in model.layers}, stem_layers(model), []
    for layer in model.layers:
        # A stem of templates adds detectors.
        if not isinstance(layer, layers.Add) or len(layer.input) != 2 or layer.name in stem:
            continue
        name = layer.name.rsplit("_", 1)[0]
        entry, branch = layer.input
        for before in ("shortcut", "carry"):
            if f"{name}_{before}" in by_name:
                given = by_name[f"{name}_{before}"].input
                entry = given[0] if isinstance(given, list) else given
        out = by_name.get(f"{name}_out", layer)
        found.append(Block(name, entry, branch, out.output))
    return found
