"""Nodes of Keras graphs: the only file that touches Keras's private attributes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    import keras


def layer_giving(tensor: keras.KerasTensor) -> keras.Operation:
    """Return the layer, network or operation that a symbolic tensor comes from."""
    return tensor._keras_history.operation  # ty: ignore[missing-attribute]


def nodes_in_order(model: keras.Model) -> Iterator:
    """Yield the nodes of a functional model's graph, inputs left out, each after those it depends on."""
    for depth in sorted(model._nodes_by_depth, reverse=True):
        yield from (node for node in model._nodes_by_depth[depth] if not node.is_input)


def output_shapes(model: keras.Model) -> list[tuple]:
    """List the shapes of all that the layers of a model give, the batch first; none of a model that is no graph."""
    nodes = [node for layer in getattr(model, "layers", ()) for node in getattr(layer, "_inbound_nodes", ())]
    return [tensor.shape for node in nodes for tensor in node.output_tensors]
