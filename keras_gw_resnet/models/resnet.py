"""Residual networks for strain (He et al. 2015, arXiv 1512.03385), one-dimensional: the family is the table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from keras import layers

from keras_gw_resnet.errors import InputError
from keras_gw_resnet.models.blocks import positions_of, require_counts, require_flags, stage_strides
from keras_gw_resnet.models.network import assemble, builder

if TYPE_CHECKING:
    import keras

    from keras_gw_resnet.models.blocks import Kernel, Style
    from keras_gw_resnet.models.front import Front
    from keras_gw_resnet.models.receptive import ReceptiveField

BLOCK_COUNTS = {
    16: ("basic", (2, 2, 2, 1)),
    18: ("basic", (2, 2, 2, 2)),
    34: ("basic", (3, 4, 6, 3)),
    50: ("bottleneck", (3, 4, 6, 3)),
    101: ("bottleneck", (3, 4, 23, 3)),
    152: ("bottleneck", (3, 8, 36, 3)),
}


def _kernels(block, filters, kernel_size, convs_per_block):
    """List (filters, kernel size) of the convolutions of a block; in a bottleneck the middle one has the stride."""
    if block == "bottleneck":
        return [(filters, 1), (filters, kernel_size), (4 * filters, 1)], 1
    return [(filters, kernel_size)] * convs_per_block, 0


def original_block(
    x: keras.KerasTensor,
    convs: Sequence,
    strided: int,
    *,
    strides: int,
    style: Style,
    zero_init: bool,
    position: float,
    name: str,
) -> keras.KerasTensor:
    """Add convolution, norm, ReLU sequences to the shortcut, and a ReLU behind the sum (arXiv 1512.03385)."""
    y = x
    for index, (filters, kernel_size) in enumerate(convs):
        last = index == len(convs) - 1
        y = style.conv_norm(
            y,
            filters,
            kernel_size,
            strides=strides if index == strided else 1,
            activation=None if last else "relu",
            gamma_initializer="zeros" if last and zero_init else "ones",
            name=f"{name}_conv{index + 1}",
        )
    y = style.drop_branch(y, position, name=name)
    y = layers.Add(name=f"{name}_add")([style.shortcut(x, convs[-1][0], strides, name=name), y])
    return layers.Activation("relu", name=f"{name}_out")(y)


def preactivation_block(
    x: keras.KerasTensor,
    convs: Sequence,
    strided: int,
    *,
    strides: int,
    style: Style,
    zero_init: bool,
    position: float,
    name: str,
) -> keras.KerasTensor:
    """Add norm, ReLU, convolution sequences to the shortcut, which stays bare (arXiv 1603.05027)."""
    y = x
    for index, (filters, kernel_size) in enumerate(convs):
        last = index == len(convs) - 1
        # A last norm of zero would silence the ReLU behind it for good: the last kernel starts at zero instead.
        options = {"kernel_initializer": "zeros"} if last and zero_init else {}
        y = style.norm_conv(
            y,
            filters,
            kernel_size,
            strides=strides if index == strided else 1,
            name=f"{name}_conv{index + 1}",
            **options,
        )
    y = style.drop_branch(y, position, name=name)
    return layers.Add(name=f"{name}_add")([style.shortcut(x, convs[-1][0], strides, name=name), y])


def residual_stage(
    x: keras.KerasTensor,
    count: int,
    filters: int,
    *,
    block: str = "basic",
    convs_per_block: int = 2,
    strides: int = 1,
    positions: Sequence[float],
    name: str,
    **options,
) -> keras.KerasTensor:
    """Stack residual blocks; the first of them carries the stride.

    Args:
        x: Tensor (batch, length, channels).
        count: Blocks.
        filters: Channels of the blocks (a bottleneck gives four times as many).
        block: "basic" or "bottleneck".
        convs_per_block: Convolutions of a basic block.
        strides: Of the first block.
        positions: For each block where it stands in the network, from 0 to 1 (for stochastic depth).
        name: Prefix of the layers' names.
        **options: style, kernel_size, preactivation, zero_init.
    """
    style, kernel_size = options["style"], options["kernel_size"]
    add = preactivation_block if options.get("preactivation") else original_block
    convs, strided = _kernels(block, filters, kernel_size, convs_per_block)
    for index in range(count):
        x = add(
            x,
            convs,
            strided,
            strides=strides if index == 0 else 1,
            style=style,
            zero_init=options.get("zero_init", False),
            position=positions[index],
            name=f"{name}_block{index}",
        )
    return x


def residual_reach(
    field: ReceptiveField,
    count: int,
    *,
    block: str = "basic",
    convs_per_block: int = 2,
    strides: int = 1,
    style: Style,
    kernel_size: int | Kernel,
) -> ReceptiveField:
    """Return the ReceptiveField behind `residual_stage`; the shortcuts see less than the branches."""
    convs, strided = _kernels(block, 1, kernel_size, convs_per_block)
    for index in range(count):
        for number, (_, size) in enumerate(convs):
            field = style.reach(field, size, strides=strides if index == 0 and number == strided else 1)
    return field


@builder
def ResNet(
    block_counts: Sequence[int],
    block: str = "basic",
    *,
    width: int = 64,
    convs_per_block: int = 2,
    preactivation: bool = False,
    zero_init: bool = False,
    stem_kernel_size: int = 15,
    style: Style,
    front: Front,
    name: str = "resnet",
    **network,
) -> keras.Model:
    """Build a residual network of any depth.

    The stages double the channels and halve the length, as in the source. What differs from it: one dimension, a
    longer first convolution for strain, the stride of a bottleneck on its middle convolution (so that no sample is
    skipped unseen), norms in the projection shortcuts, and `crop_edges`.

    Args:
        block_counts: Residual blocks of each stage.
        block: "basic" (convolutions of one width) or "bottleneck" (1, k, 1, ending in four times the channels).
        width: Channels of the first stage.
        convs_per_block: 2 or 3 convolutions in a basic block.
        preactivation: Norm and ReLU before each convolution (arXiv 1603.05027) instead of behind it.
        zero_init: Blocks start as the identity and fill as training goes on: the last norm of each begins at zero
            (arXiv 1706.02677), with `preactivation` the last convolution.
        stem_kernel_size: Of the first convolution.
        style, front: The options of `blocks.Style` and `front.Front`, each a keyword of its own.
        name: Name of the network.
        **network: Options of `network.assemble`.

    Returns:
        A `keras.Model` from `strain` (batch, samples, detectors) to `score` (batch, classes).

    Raises:
        InputError: An option out of range, or an input too short for the network.
    """
    if block not in ("basic", "bottleneck"):
        raise InputError(f"block={block!r}; expected one of 'basic', 'bottleneck'")
    if convs_per_block not in (2, 3):
        raise InputError(f"convs_per_block={convs_per_block}; expected 2 or 3")
    require_counts(width=width, block_counts=block_counts, stem_kernel_size=stem_kernel_size)
    require_flags(preactivation=preactivation, zero_init=zero_init)
    kernels, positions = style.kernels(len(block_counts)), positions_of(block_counts)
    strides = stage_strides(len(block_counts), front)

    def stack(x):
        x = style.stem(x, width, stem_kernel_size, front)
        for stage, count in enumerate(block_counts):
            x = residual_stage(
                x,
                count,
                width * 2**stage,
                block=block,
                convs_per_block=convs_per_block,
                strides=strides[stage],
                positions=positions[stage],
                style=style,
                kernel_size=kernels[stage],
                preactivation=preactivation,
                zero_init=zero_init,
                name=f"stage{stage + 1}",
            )
        return layers.Activation("relu", name="last_relu")(style.norm(x, name="last_norm")) if preactivation else x

    def reach(field):
        field = style.stem_reach(field, stem_kernel_size, front)
        for stage, count in enumerate(block_counts):
            given = {"strides": strides[stage], "style": style, "kernel_size": kernels[stage]}
            field = residual_reach(field, count, block=block, convs_per_block=convs_per_block, **given)
        return field

    return assemble(stack, reach=reach, front=front, name=name, **network)


def _of_depth(depth, **options):
    """Build a residual network of this depth. Options as for `ResNet`, keyword-only."""
    block, counts = BLOCK_COUNTS[depth]
    if options.get("convs_per_block", 2) != 2:
        raise InputError(
            f"convs_per_block={options['convs_per_block']}: resnet{depth} would not have {depth} layers; "
            f"use ResNet({counts}, {block!r}, convs_per_block=...)"
        )
    return ResNet(counts, block, **{"name": f"resnet{depth}", **options})


def ResNet16(**options) -> keras.Model:
    """Build the 16-layer residual network: 7 basic blocks. Options as for `ResNet`, keyword-only."""
    return _of_depth(16, **options)


def ResNet18(**options) -> keras.Model:
    """Build the 18-layer residual network: 8 basic blocks. Options as for `ResNet`, keyword-only."""
    return _of_depth(18, **options)


def ResNet34(**options) -> keras.Model:
    """Build the 34-layer residual network: 16 basic blocks. Options as for `ResNet`, keyword-only."""
    return _of_depth(34, **options)


def ResNet50(**options) -> keras.Model:
    """Build the 50-layer residual network: 16 bottleneck blocks. Options as for `ResNet`, keyword-only."""
    return _of_depth(50, **options)


def ResNet101(**options) -> keras.Model:
    """Build the 101-layer residual network: 33 bottleneck blocks. Options as for `ResNet`, keyword-only."""
    return _of_depth(101, **options)


def ResNet152(**options) -> keras.Model:
    """Build the 152-layer residual network: 50 bottleneck blocks. Options as for `ResNet`, keyword-only."""
    return _of_depth(152, **options)
