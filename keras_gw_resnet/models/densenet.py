"""Densely connected networks (Huang et al. 2016, arXiv 1608.06993), one-dimensional."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from keras import layers

from keras_gw_resnet.errors import InputError
from keras_gw_resnet.models.blocks import positions_of, require_counts, stage_strides
from keras_gw_resnet.models.network import assemble, builder

if TYPE_CHECKING:
    import keras

    from keras_gw_resnet.models.blocks import Kernel, Style
    from keras_gw_resnet.models.front import Front
    from keras_gw_resnet.models.receptive import ReceptiveField

BLOCK_COUNTS = {121: (6, 12, 24, 16), 169: (6, 12, 32, 32), 201: (6, 12, 48, 32)}


def dense_block(
    x: keras.KerasTensor,
    count: int,
    growth_rate: int,
    *,
    kernel_size: int | Kernel,
    style: Style,
    positions: Sequence[float],
    name: str,
) -> keras.KerasTensor:
    """Stack layers that each see the outputs of all before them (eq. 2), with bottlenecks (DenseNet-B).

    Each layer is norm, ReLU, 1x1 convolution of 4 * growth_rate channels, norm, ReLU, convolution of growth_rate.
    """
    for index in range(count):
        layer = f"{name}_layer{index}"
        y = style.norm_conv(x, 4 * growth_rate, 1, name=f"{layer}_conv1")
        y = style.norm_conv(y, growth_rate, kernel_size, name=f"{layer}_conv2")
        y = style.drop_branch(y, positions[index], name=layer)
        x = layers.Concatenate(name=f"{layer}_concat")([x, y])
    return x


def transition(x: keras.KerasTensor, compression: float, *, strides: int, style: Style, name: str) -> keras.KerasTensor:
    """Compress the channels by a 1x1 convolution (DenseNet-C) and halve the length by averaging, unless `strides` is 1."""
    x = style.norm_conv(x, max(1, int(x.shape[-1] * compression)), 1, name=f"{name}_transition")
    return layers.AveragePooling1D(strides, padding="same", name=f"{name}_pool")(x) if strides != 1 else x


def dense_reach(
    field: ReceptiveField, count: int, *, strides: int, kernel_size: int | Kernel, style: Style
) -> ReceptiveField:
    """Return the ReceptiveField behind a transition, of which the pooling alone sees farther, and a dense block."""
    return style.reach(field.through(strides, strides), *[kernel_size] * count)


@builder
def DenseNet(
    block_counts: Sequence[int],
    *,
    width: int = 64,
    growth_rate: int | None = None,
    compression: float = 0.5,
    stem_kernel_size: int = 15,
    style: Style,
    front: Front,
    name: str = "densenet",
    **network,
) -> keras.Model:
    """Build a densely connected network.

    As in the source for 2-D images, but for the dimension, the longer first convolution and `crop_edges`.

    Args:
        block_counts: Layers of each dense block.
        width: Channels of the stem.
        growth_rate: Channels that each layer adds; None: half of `width`, as in the source.
        compression: Share of the channels that a transition keeps.
        stem_kernel_size: Of the first convolution.
        style, front: The options of `blocks.Style` and `front.Front`, each a keyword of its own.
        name: Name of the network.
        **network: Options of `network.assemble`.

    Returns:
        A `keras.Model` from `strain` (batch, samples, detectors) to `score` (batch, classes).

    Raises:
        InputError: An option out of range, or an input too short for the network.
    """
    growth_rate = max(1, width // 2) if growth_rate is None else growth_rate
    require_counts(width=width, block_counts=block_counts, growth_rate=growth_rate, stem_kernel_size=stem_kernel_size)
    if not isinstance(compression, int | float) or not 0 < compression <= 1:
        raise InputError(f"compression={compression}; expected a share above 0 and up to 1")
    kernels, positions = style.kernels(len(block_counts)), positions_of(block_counts)
    strides = stage_strides(len(block_counts), front)

    def stack(x):
        x = style.stem(x, width, stem_kernel_size, front)
        for stage, count in enumerate(block_counts):
            if stage:
                x = transition(x, compression, strides=strides[stage], style=style, name=f"stage{stage}")
            options = {"kernel_size": kernels[stage], "style": style, "positions": positions[stage]}
            x = dense_block(x, count, growth_rate, name=f"stage{stage + 1}", **options)
        return layers.Activation("relu", name="last_relu")(style.norm(x, name="last_norm"))

    def reach(field):
        field = style.stem_reach(field, stem_kernel_size, front)
        for stage, count in enumerate(block_counts):
            field = dense_reach(field, count, strides=strides[stage], kernel_size=kernels[stage], style=style)
        return field

    return assemble(stack, reach=reach, front=front, name=name, **network)


def _of_depth(depth, **options):
    """Build a dense network of this depth. Options as for `DenseNet`, keyword-only."""
    return DenseNet(BLOCK_COUNTS[depth], **{"name": f"densenet{depth}", **options})


def DenseNet121(**options) -> keras.Model:
    """Build the 121-layer dense network. Options as for `DenseNet`, keyword-only."""
    return _of_depth(121, **options)


def DenseNet169(**options) -> keras.Model:
    """Build the 169-layer dense network. Options as for `DenseNet`, keyword-only."""
    return _of_depth(169, **options)


def DenseNet201(**options) -> keras.Model:
    """Build the 201-layer dense network. Options as for `DenseNet`, keyword-only."""
    return _of_depth(201, **options)
