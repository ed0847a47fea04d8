"""How far the features of a network see, read off its graph."""

from dataclasses import dataclass

import keras
from keras import layers

ELEMENTWISE = (layers.Activation, layers.ReLU, layers.BatchNormalization, layers.Dropout, layers.Normalization)
MERGING = (layers.Add, layers.Multiply, layers.Subtract, layers.Concatenate, layers.Average)


@dataclass(frozen=True)
class ReceptiveField:
    """Which input samples a feature depends on: feature i sees [i * stride - left, i * stride + right].

    Attributes:
        stride: Input samples from one feature to the next.
        left, right: Samples seen before and after sample i * stride.
    """

    stride: int = 1
    left: int = 0
    right: int = 0

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
        return ReceptiveField(
            self.stride * stride, self.left + before * self.stride, self.right + (reach - before) * self.stride
        )


def _after(layer, fields):
    first = fields[0]
    if isinstance(layer, ELEMENTWISE):
        return first
    if isinstance(layer, MERGING):
        if len({f.stride for f in fields}) != 1:
            raise ValueError(f"layer {layer.name} merges features of different strides")
        return ReceptiveField(first.stride, max(f.left for f in fields), max(f.right for f in fields))
    if isinstance(layer, layers.Conv1D):
        return first._through(layer.kernel_size[0], layer.strides[0], layer.padding, layer.dilation_rate[0])
    if isinstance(layer, layers.MaxPooling1D | layers.AveragePooling1D):
        return first._through(layer.pool_size[0], layer.strides[0], layer.padding)
    raise ValueError(f"the receptive field of a {type(layer).__name__} layer ({layer.name}) is not known")


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
    model = keras.Model(inputs, outputs)
    fields = {id(inputs): ReceptiveField()}
    for depth in sorted(model._nodes_by_depth, reverse=True):
        for node in model._nodes_by_depth[depth]:
            if not node.is_input:
                arriving = [fields[id(tensor)] for tensor in node.input_tensors]
                field = _after(node.operation, arriving)
                fields.update({id(tensor): field for tensor in node.output_tensors})
    return fields[id(outputs)]
