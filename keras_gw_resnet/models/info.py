"""What a network costs and how far it sees, read off its graph."""

from __future__ import annotations

from dataclasses import dataclass

import keras
from keras import layers

from keras_gw_resnet.models.graph import parts_of
from keras_gw_resnet.models.heads import USUAL_SAMPLES
from keras_gw_resnet.models.nodes import nodes_in_order

WEIGHTED = (layers.Conv1D, layers.Dense)


@dataclass(frozen=True)
class ModelInfo:
    """Size and reach of a network.

    Attributes:
        depth: Convolutions and dense layers on the longest way from input to output.
        parameters: Number of weights, batch statistics included.
        stride: Input samples from one feature to the next; None where the features know no time.
        receptive_samples: Input samples that one feature sees; None likewise.
        receptive_milliseconds: The same in time.
        multiply_adds: Per second of strain, each convolution computed once.
    """

    depth: int
    parameters: int
    stride: int | None
    receptive_samples: int | None
    receptive_milliseconds: float | None
    multiply_adds: float


def depth_of(model: keras.Model) -> int:
    """Return the number of convolutions and dense layers on the longest way from input to output."""
    deepest = {}
    for node in nodes_in_order(model):
        before = max((deepest.get(id(tensor), 0) for tensor in node.input_tensors), default=0)
        inner = node.operation
        own = depth_of(inner) if isinstance(inner, keras.Model) else int(isinstance(inner, WEIGHTED))
        deepest.update({id(tensor): before + own for tensor in node.output_tensors})
    return max(deepest[id(tensor)] for tensor in model.outputs)


def multiply_adds_of(model: keras.Model) -> int:
    """Return the multiply-adds for one window, those of convolutions and dense layers."""
    total = 0
    for node in nodes_in_order(model):
        operation, output = node.operation, node.output_tensors[0]
        if isinstance(operation, keras.Model):
            total += multiply_adds_of(operation)
        elif isinstance(operation, layers.Conv1D):
            total += output.shape[1] * operation.kernel_size[0] * node.input_tensors[0].shape[-1] * output.shape[-1]
        elif isinstance(operation, layers.Dense):
            positions = output.shape[1] if len(output.shape) == 3 else 1
            total += positions * node.input_tensors[0].shape[-1] * output.shape[-1]
    return total


def info_of(model: keras.Model, sample_rate: int = 2048) -> ModelInfo:
    """Describe a network.

    Args:
        model: `keras.Model` (batch, samples, detectors) -> (batch, classes).
        sample_rate: Samples per second of its strain.

    Returns:
        ModelInfo.
    """
    field, samples = parts_of(model).field, model.input_shape[1]
    if samples is None:  # the same layers for a window of the usual length
        fixed = keras.models.clone_model(model, input_tensors=keras.Input((USUAL_SAMPLES, model.input_shape[2])))
        return info_of(fixed, sample_rate)
    return ModelInfo(
        depth=depth_of(model),
        parameters=model.count_params(),
        stride=field.stride if field else None,
        receptive_samples=field.samples if field else None,
        receptive_milliseconds=1000 * field.samples / sample_rate if field else None,
        multiply_adds=multiply_adds_of(model) * sample_rate / samples,
    )
