"""A small residual network: four scales, dropout everywhere, one max-pool."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from keras import layers

from keras_gw_resnet.errors import InputError
from keras_gw_resnet.models.blocks import Style, require_counts, require_share
from keras_gw_resnet.models.network import assemble, builder

if TYPE_CHECKING:
    import keras

SCALES = 4
MOST_BLOCKS = 100


@builder
def ResidualCNN(
    *,
    blocks: int = SCALES,
    width: int = 16,
    mean: Sequence[float] | None = None,
    variance: Sequence[float] | None = None,
    block_dropout: float = 0.1,
    dropout: float = 0.1,
    stem_kernel_size: int = 15,
    kernel_size: int | tuple = 3,
    normalization: str = "batch",
    stochastic_depth: float = 0.0,
    dilation_rate: int | tuple = 1,
    kernel_initializer: str = "he_normal",
    name: str = "residual-cnn",
    **network,
) -> keras.Model:
    """Build a small residual network whose four blocks each double the channels and halve the length.

    Input normalised by the mean and variance of the training set, one convolution with a max-pool (the only one),
    then residual blocks of two convolutions with dropout between them. More than four blocks are shared out over the
    four scales; the first block of each scale doubles and halves.

    Args:
        blocks: Residual blocks, 4 to 100.
        width: Channels before the first block.
        mean, variance: Of the training set for each detector, as `keras-gw-resnet statistics` measures them; None: 0
            and 1, which whitened strain has.
        block_dropout: Share of the features dropped inside each block in training.
        dropout: The same before the last layer.
        stem_kernel_size: Of the first convolution.
        kernel_size, normalization, stochastic_depth, dilation_rate: See `blocks.Style`.
        kernel_initializer: "he_normal" (arXiv 1502.01852) or "glorot_uniform" (Xavier).
        name: Name of the network.
        **network: Options of `network.assemble`.

    Returns:
        A `keras.Model` from `strain` (batch, samples, detectors) to `score` (batch, classes).

    Raises:
        InputError: An option out of range, or an input too short for the network.
    """
    require_counts(blocks=blocks, width=width, stem_kernel_size=stem_kernel_size)
    require_share(block_dropout=block_dropout)
    if not SCALES <= blocks <= MOST_BLOCKS:
        raise InputError(f"blocks={blocks}; expected {SCALES} to {MOST_BLOCKS}")
    if (mean is None) != (variance is None):
        raise InputError(f"mean={mean}, variance={variance}; expected both or neither")
    style = Style(kernel_size, normalization, kernel_initializer, stochastic_depth, dilation_rate)
    kernels = style.kernels(SCALES)

    def stack(inputs):
        x = _normalize_input(inputs, mean, variance)
        x = style.conv_norm(x, width, stem_kernel_size, name="stem_conv")
        x, done = layers.MaxPooling1D(2, padding="same", name="stem_pool")(x), 0
        for scale in range(SCALES):
            for index in range(blocks // SCALES + (scale < blocks % SCALES)):
                done += 1
                x = _block(
                    x,
                    width * 2 ** (scale + 1),
                    kernels[scale],
                    strides=1 if index else 2,
                    style=style,
                    block_dropout=block_dropout,
                    position=done / blocks,
                    name=f"stage{scale + 1}_block{index}",
                )
        return x

    def reach(field):
        field = style.reach(field, stem_kernel_size).through(2, 2)
        for scale, kernel in enumerate(kernels):
            for index in range(blocks // SCALES + (scale < blocks % SCALES)):
                field = style.reach(field, kernel, kernel, strides=1 if index else 2)
        return field

    return assemble(stack, reach=reach, name=name, dropout=dropout, **network)


def _normalize_input(inputs, mean, variance):
    detectors = inputs.shape[-1]
    mean = [0.0] * detectors if mean is None else [float(value) for value in mean]
    variance = [1.0] * detectors if variance is None else [float(value) for value in variance]
    finite = all(map(math.isfinite, (*mean, *variance)))
    if len(mean) != detectors or len(variance) != detectors or not finite or min(variance) <= 0:
        raise InputError(
            f"mean={mean}, variance={variance}; expected {detectors} values each, one a detector, variance > 0"
        )
    return layers.Normalization(axis=-1, mean=mean, variance=variance, name="input_norm")(inputs)


def _block(x, filters, kernel_size, *, strides, style, block_dropout, position, name):
    y = style.conv_norm(x, filters, kernel_size, strides=strides, name=f"{name}_conv1")
    if block_dropout:
        y = layers.Dropout(block_dropout, name=f"{name}_dropout")(y)
    y = style.conv_norm(y, filters, kernel_size, activation=None, name=f"{name}_conv2")
    y = style.drop_branch(y, position, name=name)
    y = layers.Add(name=f"{name}_add")([style.shortcut(x, filters, strides, name=name), y])
    return layers.Activation("relu", name=f"{name}_out")(y)
