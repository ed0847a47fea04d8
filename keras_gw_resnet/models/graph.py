"""Read networks that came without a description off their Keras graphs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import keras
from keras import layers

from keras_gw_resnet.models.front import JOIN_LAYER, front_of
from keras_gw_resnet.models.nodes import layer_giving, nodes_in_order
from keras_gw_resnet.models.parts import Parts
from keras_gw_resnet.models.ranking import LIGHT_POOL
from keras_gw_resnet.models.receptive import ReceptiveField

CONVOLUTIONS = (layers.Conv1D, layers.SeparableConv1D, layers.DepthwiseConv1D)
POOLINGS = (layers.MaxPooling1D, layers.AveragePooling1D)
# What looks at the whole window, yet keeps the order of the samples.
GLOBAL_NORMS = (layers.GroupNormalization, layers.LayerNormalization)
POINTWISE = (
    layers.Activation,
    layers.ReLU,
    layers.BatchNormalization,
    layers.Dropout,
    layers.Normalization,
    layers.Rescaling,
    layers.Add,
    layers.Multiply,
    layers.Subtract,
    layers.Concatenate,
    layers.Maximum,
    layers.Average,
)
# Tensor arithmetic such as 1 - x, as Keras records it in a graph; GetItem takes channels, Logsumexp goes over them.
POINTWISE_OPERATIONS = (
    "Add",
    "Subtract",
    "Multiply",
    "Negative",
    "Divide",
    "TrueDivide",
    "Minimum",
    "Maximum",
    "Power",
    "Sum",
    "Concatenate",
    "Sigmoid",
    "Relu",
    "Sqrt",
    "Exp",
    "Log",
    "GetItem",
    "Logsumexp",
)


def is_linear(layer: keras.Layer) -> bool:
    """Say whether a layer has no activation."""
    return keras.activations.serialize(layer.activation) == "linear"


def receptive_field(inputs: keras.KerasTensor, outputs: keras.KerasTensor) -> ReceptiveField:
    """Work out the receptive field of convolutional features.

    Args:
        inputs: Symbolic input (batch, samples, channels).
        outputs: Symbolic features (batch, features, channels).

    Returns:
        ReceptiveField.

    Raises:
        ValueError: A layer on the way is not local in time, or is not known here.
    """
    fields = {id(inputs): ReceptiveField()}
    for node in nodes_in_order(keras.Model(inputs, outputs)):
        arriving = [fields[id(tensor)] for tensor in node.input_tensors]
        field = _after(node.operation, arriving)
        fields.update({id(tensor): field for tensor in node.output_tensors})
    return fields[id(outputs)]


def _after(operation, fields):
    first = fields[0]
    if isinstance(operation, POINTWISE) or type(operation).__name__ in POINTWISE_OPERATIONS:
        return first.merged(*fields[1:])
    if isinstance(operation, CONVOLUTIONS):
        return first.through(
            operation.kernel_size[0], operation.strides[0], operation.padding, operation.dilation_rate[0]
        )
    if isinstance(operation, POOLINGS):
        return first.through(operation.pool_size[0], operation.strides[0], operation.padding)
    if isinstance(operation, layers.ZeroPadding1D):
        return first.later(-operation.padding[0])
    if isinstance(operation, layers.Cropping1D):
        return first.later(operation.cropping[0])
    if isinstance(operation, GLOBAL_NORMS):
        return replace(first, local=False)
    raise ValueError(f"the receptive field of a {type(operation).__name__} layer ({operation.name}) is not known")


def before_cropping(features: keras.KerasTensor) -> tuple:
    """Return (features, cropping): those before their edges were dropped, and how many were, (0, 0) for none.

    Dropout, which is nothing in use, is passed over.
    """
    operation = layer_giving(features)
    if isinstance(operation, layers.Dropout):
        features, operation = operation.input, layer_giving(operation.input)
    if isinstance(operation, layers.Cropping1D):
        return operation.input, operation.cropping
    return features, (0, 0)


def joins_positions(model: keras.Model) -> bool:
    """Say whether a network ends in the log-sum-exp of logits, an activation passed over."""
    last = _last(model)
    return type(last).__name__ == "Logsumexp" and not last.keepdims


def positions_of(model: keras.Model) -> Any:
    """Return the convolution that gives the logits whose log-sum-exp a network ends in, None for any other network.

    A network that ends in that convolution itself, as the members of an ensemble do, has one too.
    """
    operation = _last(model)
    if joins_positions(model):
        operation = layer_giving(operation.input)
    if type(operation).__name__ == "Logsumexp":  # the evidence of light binaries joins that of heavy ones
        operation = layer_giving(layer_giving(operation.input).input[0])
    own = isinstance(operation, layers.Conv1D) and operation.strides == (1,) and operation.padding == "valid"
    return operation if own else None


def logits_of_positions(model: keras.Model) -> Any:
    """Return the logits whose log-sum-exp a network ends in, or that it ends in itself, (batch, positions, 1)."""
    return _last(model).input if joins_positions(model) else model.outputs[0]


def _last(model):
    operation = layer_giving(model.outputs[0])
    return layer_giving(operation.input) if isinstance(operation, layers.Activation) else operation


def parts_of(model: keras.Model) -> Parts:
    """Return the Parts of a network: those that it was built with, or that its card gave it; of any other as its graph has them."""
    return getattr(model, "parts", None) or read_parts(model)


def head_of(model: keras.Model, parts: Parts | None = None) -> Any:
    """Return the layer with which the head of a network begins, as its Parts say; None of a head that is not known.

    What it takes are the features, `head_of(model).input`; what it gives are the logits of the positions, or what was pooled.

    Args:
        model: `keras.Model`.
        parts: Parts; None: its own.
    """
    name = (parts or parts_of(model)).head_layer
    return model.get_layer(name) if name else None


def read_parts(model: keras.Model) -> Parts:
    """Read the Parts of a network off its graph."""
    positions = positions_of(model)
    pools = [
        layer for layer in model.layers if isinstance(layer, layers.GlobalAveragePooling1D | layers.GlobalMaxPooling1D)
    ]
    head = positions or (pools[0] if len(pools) == 1 else None)
    known: dict = {"window_samples": model.input_shape[1], "front": front_of(model), "classes": model.output_shape[-1]}
    if head is None:
        return Parts(**known)
    kind = "positions"
    if positions is None:
        after = [
            type(layer)
            for layer in model.layers[model.layers.index(head) + 1 :]
            if not isinstance(layer, layers.Dropout)
        ]
        averages = isinstance(head, layers.GlobalAveragePooling1D) and after == [layers.Dense]
        kind = "average" if averages else "other"
    features, cropping = before_cropping(head.input)
    own = {layer.name: layer for layer in model.layers}
    try:
        field = receptive_field(model.input, features)
        if LIGHT_POOL in own:
            field = field.merged(receptive_field(model.input, own[LIGHT_POOL].output))
    except ValueError:
        field = None
    samples, length = model.input_shape[1], features.shape[1]
    if field and samples and length != field.features_of(samples):
        # Cropped on the way; or padded otherwise than 'same' does, which is not known here.
        field = replace(field, lost=samples - length * field.stride) if length * field.stride <= samples else None
    kernel = positions.kernel_size[0] if positions else 1
    earlier = 0
    if field and JOIN_LAYER in own:
        earlier = field.left - receptive_field(model.input, own[JOIN_LAYER].input[0]).left
    return Parts(
        **known,
        field=field,
        cropping=tuple(cropping),
        earlier=earlier,
        head=kind,
        head_layer=head.name,
        head_kernel=kernel,
    )


@dataclass(frozen=True)
class Joined:
    """Networks that an ensemble joins by a weighted sum.

    Attributes:
        networks: `keras.Model`s.
        weights: One each.
        bias: Of the sum.
        skipped: How many positions of each come before the first that all have.
        positions: Whether it is logits of positions that are joined.
    """

    networks: list
    weights: list
    bias: float
    skipped: list
    positions: bool


def joined_by(model: keras.Model) -> Joined | None:
    """Return what an ensemble joins; None of any other network."""
    own = (keras.Model, layers.InputLayer, layers.Dropout, layers.Cropping1D)
    joining = [layer for layer in model.layers if not isinstance(layer, own)]
    kinds = [type(layer) for layer in joining]
    if kinds == [layers.Average]:
        count = len(joining[0].input)
        weights, bias = [1 / count] * count, 0.0
    elif kinds in ([layers.Concatenate, layers.Dense], [layers.Concatenate, layers.Conv1D]):
        weights, *bias = joining[1].get_weights()
        weights, bias = weights.reshape(-1).tolist(), float(bias[0][0]) if bias else 0.0
    else:
        return None
    arriving = [before_cropping(tensor) for tensor in joining[0].input]
    networks = [layer_giving(tensor) for tensor, _ in arriving]
    if not all(isinstance(network, keras.Model) for network in networks):
        return None
    return Joined(networks, weights, bias, [cropping[0] for _, cropping in arriving], joins_positions(model))
