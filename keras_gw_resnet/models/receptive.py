"""How far the features of a network see, read off its graph."""

from dataclasses import dataclass, replace

import keras
from keras import layers

CONVOLUTIONS = (layers.Conv1D, layers.SeparableConv1D, layers.DepthwiseConv1D)
POOLINGS = (layers.MaxPooling1D, layers.AveragePooling1D)
# What looks at the whole window, yet keeps the places of the samples.
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
    "Concatenate",
    "Sigmoid",
    "Relu",
    "Sqrt",
    "GetItem",
    "Logsumexp",
)


@dataclass(frozen=True)
class ReceptiveField:
    """Which input samples a feature depends on: feature i sees [i * stride - left, i * stride + right].

    Attributes:
        stride: Input samples from one feature to the next.
        left, right: Samples seen before and after sample i * stride.
        local: False where a norm over the whole window makes every feature depend on all of it a little.
    """

    stride: int = 1
    left: int = 0
    right: int = 0
    local: bool = True

    @property
    def samples(self):
        """Width in input samples."""
        return self.left + 1 + self.right

    @property
    def padded_features(self):
        """How many features at the left and at the right edge see beyond an input of a whole number of strides."""
        return -(-self.left // self.stride), -(-(self.right + 1) // self.stride) - 1

    def _through(self, kernel, stride, padding, dilation=1):
        reach = (kernel - 1) * dilation
        # 'same' padding of an input of a whole number of strides.
        before = max(reach + 1 - stride, 0) // 2 if padding == "same" else 0
        return replace(
            self,
            stride=self.stride * stride,
            left=self.left + before * self.stride,
            right=self.right + (reach - before) * self.stride,
        )

    def _later(self, features):
        """Those of a sequence that begins so many features later; earlier where negative."""
        samples = features * self.stride
        return replace(self, left=self.left - samples, right=self.right + samples)


def _merge(fields, name):
    if len({f.stride for f in fields}) != 1:
        raise ValueError(f"layer {name} merges features of different strides")
    return ReceptiveField(
        fields[0].stride, max(f.left for f in fields), max(f.right for f in fields), all(f.local for f in fields)
    )


def _after(operation, fields):
    first = fields[0]
    if isinstance(operation, POINTWISE) or type(operation).__name__ in POINTWISE_OPERATIONS:
        return _merge(fields, operation.name)
    if isinstance(operation, CONVOLUTIONS):
        return first._through(
            operation.kernel_size[0], operation.strides[0], operation.padding, operation.dilation_rate[0]
        )
    if isinstance(operation, POOLINGS):
        return first._through(operation.pool_size[0], operation.strides[0], operation.padding)
    if isinstance(operation, layers.ZeroPadding1D):
        return first._later(-operation.padding[0])
    if isinstance(operation, layers.Cropping1D):
        return first._later(operation.cropping[0])
    if isinstance(operation, GLOBAL_NORMS):
        return replace(first, local=False)
    raise ValueError(f"the receptive field of a {type(operation).__name__} layer ({operation.name}) is not known")


def receptive_field(inputs, outputs):
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


def before_cropping(features):
    """Return (features, cropping): those before their edges were dropped, and how many were, (0, 0) for none.

    Dropout, which is nothing in use, is passed over.
    """
    operation = features._keras_history.operation
    if isinstance(operation, layers.Dropout):
        features, operation = operation.input, operation.input._keras_history.operation
    if isinstance(operation, layers.Cropping1D):
        return operation.input, operation.cropping
    return features, (0, 0)


def nodes_in_order(model):
    """Yield the nodes of a functional model's graph, inputs left out, each after those it depends on."""
    for depth in sorted(model._nodes_by_depth, reverse=True):
        yield from (node for node in model._nodes_by_depth[depth] if not node.is_input)
