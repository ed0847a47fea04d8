"""The blocks of a network, and what stands beside its convolutions, read off its graph: by what is joined to what, whatever layers are called."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property

import keras
from keras import layers

from keras_gw_resnet.models.front import front_layers
from keras_gw_resnet.models.nodes import layer_giving, nodes_in_order

NORMS = (layers.BatchNormalization, layers.GroupNormalization, layers.LayerNormalization)


@dataclass(frozen=True)
class Block:
    """A block that adds a branch to what goes past it, or puts it beside that.

    Attributes:
        name: A label, what the names of its layers begin with as the families give them.
        kind: "residual" (a sum), "highway" (a sum of shares, which a gate gives) or "dense" (side by side).
        entry: Tensor that goes in.
        branch: Tensor that is added: the residual, the gated transform of a highway block, what a dense block puts beside its entry.
        output: Tensor that comes out.
        layers: Its layers, in the network's order.
        around: Those of them on the way past the branch, a projection.
        decisive: The layer whose weights decide whether it adds anything: the last of the branch, or the gate of a highway block.
    """

    name: str
    kind: str
    entry: keras.KerasTensor
    branch: keras.KerasTensor
    output: keras.KerasTensor
    layers: tuple
    around: tuple
    decisive: layers.Layer


def blocks_of(model: keras.Model, *, dense: bool = False) -> list[Block]:
    """List the Blocks of a network from input to output; none for families without sums.

    Args:
        model: Functional `keras.Model`.
        dense: Whether to list dense blocks, too.
    """
    graph, front = _Graph(model), front_layers(model)
    joins = (layers.Add, layers.Concatenate) if dense else (layers.Add,)
    # A matched filter adds detectors.
    joining = [each for each in model.layers if isinstance(each, joins) and each.name not in front]
    return [block for each in joining if len(each.input) == 2 and (block := graph.block(each))]


class _Graph:
    def __init__(self, model):
        self._model, self._nodes = model, list(nodes_in_order(model))

    @cached_property
    def _made_by(self):
        return {id(tensor): node for node in self._nodes for tensor in node.output_tensors}

    @cached_property
    def readers(self):
        """How many operations read each tensor, what the network gives included."""
        read = Counter(id(tensor) for node in self._nodes for tensor in node.input_tensors)
        return read + Counter(id(tensor) for tensor in self._model.outputs)

    def block(self, join):
        """Return the Block that a layer closes which joins two tensors; None: they are not a branch and what goes past it."""
        past, branch = join.input
        gated = [layer_giving(tensor) for tensor in (past, branch)]
        kind = "dense" if isinstance(join, layers.Concatenate) else "residual"
        decisive = _passed_over(branch, layers.Dropout)
        if kind == "residual" and all(isinstance(each, layers.Multiply) for each in gated):
            (entry, _), (_, gate) = (each.input for each in gated)
            kind, decisive, around = "highway", _passed_over(gate, layers.Dropout | layers.Rescaling), ()
        else:
            entry, above = past, self._above(branch)
            while entry is not None and id(entry) not in above:
                node = self._made_by.get(id(entry))
                entry = node.input_tensors[0] if node and len(node.input_tensors) == 1 else None
            if entry is None or (kind == "dense" and entry is not past):
                return None
            around = self._layers_between(entry, past)
        output = join.output
        behind = [node.operation for node in self._nodes if any(tensor is output for tensor in node.input_tensors)]
        if kind == "residual" and len(behind) == 1 and isinstance(behind[0], layers.Activation | layers.ReLU):
            output = behind[0].output
        own = self._layers_between(entry, output)
        return Block(join.name.rsplit("_", 1)[0], kind, entry, branch, output, own, around, decisive)

    def _above(self, *tensors, until=None):
        """Return the ids of all that tensors are worked out from, themselves included, as far as one of them."""
        found, todo = set(), list(tensors)
        while todo:
            tensor = todo.pop()
            if id(tensor) not in found and tensor is not until:
                found.add(id(tensor))
                node = self._made_by.get(id(tensor))
                todo += node.input_tensors if node else ()
        return found

    def _layers_between(self, entry, output):
        inside = {self._made_by[tensor].operation.name for tensor in self._above(output, until=entry)}
        return tuple(each for each in self._model.layers if each.name in inside)


def _passed_over(tensor, kinds):
    """Return the layer that a tensor comes from, some kinds passed over."""
    layer = layer_giving(tensor)
    return _passed_over(layer.input, kinds) if isinstance(layer, kinds) else layer


def norms_behind(model: keras.Model) -> dict[str, layers.Layer]:
    """Map the name of each convolution to the norm that alone reads it, each of them called once."""
    graph, nodes = _Graph(model), list(nodes_in_order(model))
    calls = Counter(node.operation.name for node in nodes)
    found = {}
    for node in nodes:
        norm, source = node.operation, node.input_tensors[0]
        convolution = layer_giving(source)
        once = graph.readers[id(source)] == calls[norm.name] == calls[convolution.name] == 1
        if isinstance(norm, NORMS) and type(convolution) is layers.Conv1D and once:
            found[convolution.name] = norm
    return found


def strides_before(model: keras.Model) -> dict[str, layers.Layer]:
    """Map the name of each convolution to the layer before it that does no more than take every second sample; see `blocks.AT_ONCE`."""
    before = {each.name: layer_giving(each.input) for each in model.layers if isinstance(each, layers.Conv1D)}
    return {
        name: own for name, own in before.items() if isinstance(own, layers.AveragePooling1D) and own.pool_size == (1,)
    }
