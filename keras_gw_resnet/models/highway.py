"""Convolutional highway networks (Srivastava et al. 2015, arXiv 1505.00387)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from keras import initializers, layers

from keras_gw_resnet.errors import InputError
from keras_gw_resnet.models.blocks import positions_of, require_counts, stage_strides
from keras_gw_resnet.models.network import assemble, builder

if TYPE_CHECKING:
    import keras

    from keras_gw_resnet.models.blocks import Kernel, Style
    from keras_gw_resnet.models.front import Front
    from keras_gw_resnet.models.receptive import ReceptiveField

BLOCK_COUNTS = {20: (3, 4, 4, 4), 36: (7, 8, 8, 8)}


def highway_block(
    x: keras.KerasTensor, *, kernel_size: int | Kernel, gate_bias: float, style: Style, position: float, name: str
) -> keras.KerasTensor:
    """Mix a transformed and the carried input: y = H(x) * T(x) + x * C(x) with C = 1 - T (eq. 2 and 3).

    H is convolution, norm and ReLU; T is convolution and sigmoid, with a negative bias, so that at the start most of
    the input is carried through.
    """
    filters = x.shape[-1]
    transformed = style.conv_norm(x, filters, kernel_size, name=f"{name}_transform")
    gate = style.conv(
        x,
        filters,
        kernel_size,
        use_bias=True,
        bias_initializer=initializers.Constant(gate_bias),
        kernel_initializer="glorot_uniform",
        activation="sigmoid",
        name=f"{name}_gate",
    )
    if style.stochastic_depth:
        # Scaled back, so that a gate stays a share: dropped or not in training, its expectation in use.
        kept = 1 - style.stochastic_depth * position
        gate = layers.Rescaling(kept, name=f"{name}_kept")(style.drop_branch(gate, position, name=name))
    carried = layers.Multiply(name=f"{name}_carry")([x, 1.0 - gate])
    return layers.Add(name=f"{name}_out")([carried, layers.Multiply(name=f"{name}_pass")([transformed, gate])])


def highway_stage(
    x: keras.KerasTensor,
    count: int,
    filters: int,
    *,
    strides: int,
    kernel_size: int | Kernel,
    gate_bias: float,
    style: Style,
    positions: Sequence[float],
    name: str,
) -> keras.KerasTensor:
    """Stack highway blocks, with a convolution before them where channels or length change.

    A highway block gives what it takes, so that the change needs a layer of its own, which counts in the depth.
    """
    if x.shape[-1] != filters or strides != 1:
        x = style.conv_norm(x, filters, kernel_size, strides=strides, name=f"{name}_transition")
    for index in range(count):
        x = highway_block(
            x,
            kernel_size=kernel_size,
            gate_bias=gate_bias,
            style=style,
            position=positions[index],
            name=f"{name}_block{index}",
        )
    return x


def highway_reach(
    field: ReceptiveField, count: int, *, strides: int, changes: bool, kernel_size: int | Kernel, style: Style
) -> ReceptiveField:
    """Return the ReceptiveField behind `highway_stage`; `changes` says whether the number of channels does."""
    if changes or strides != 1:
        field = style.reach(field, kernel_size, strides=strides)
    return style.reach(field, *[kernel_size] * count)


@builder
def HighwayNet(
    block_counts: Sequence[int],
    *,
    width: int = 64,
    gate_bias: float = -2.0,
    stem_kernel_size: int = 15,
    style: Style,
    front: Front,
    name: str = "highway",
    **network,
) -> keras.Model:
    """Build a highway network: gates learn how much of its input each block carries on.

    From the source: the block and the negative gate bias. Not from it: stem, stages and norms, which are those of
    `ResNet`, so that the two compare; the source has no convolution that changes the length.

    Args:
        block_counts: Highway blocks of each stage.
        width: Channels of the first stage; each further stage has twice as many and half the length.
        gate_bias: Bias of the transform gates at the start, negative (the source takes -1 to -4).
        stem_kernel_size: Of the first convolution.
        style, front: The options of `blocks.Style` and `front.Front`, each a keyword of its own.
        name: Name of the network.
        **network: Options of `network.assemble`.

    Returns:
        A `keras.Model` from `strain` (batch, samples, detectors) to `score` (batch, classes).

    Raises:
        InputError: An option out of range, or an input too short for the network.
    """
    require_counts(width=width, block_counts=block_counts, stem_kernel_size=stem_kernel_size)
    if not isinstance(gate_bias, int | float) or not gate_bias < 0:
        raise InputError(f"gate_bias={gate_bias!r}; expected a negative number, so that a new network mostly carries")
    kernels, positions = style.kernels(len(block_counts)), positions_of(block_counts)
    strides = stage_strides(len(block_counts), front)

    def stack(x):
        x = style.stem(x, width, stem_kernel_size, front)
        for stage, count in enumerate(block_counts):
            x = highway_stage(
                x,
                count,
                width * 2**stage,
                strides=strides[stage],
                kernel_size=kernels[stage],
                gate_bias=gate_bias,
                style=style,
                positions=positions[stage],
                name=f"stage{stage + 1}",
            )
        return x

    def reach(field):
        field = style.stem_reach(field, stem_kernel_size, front)
        for stage, count in enumerate(block_counts):
            changes = stage > 0 or front.templates not in (0, width)
            given = {"kernel_size": kernels[stage], "style": style}
            field = highway_reach(field, count, strides=strides[stage], changes=changes, **given)
        return field

    return assemble(stack, reach=reach, front=front, name=name, **network)


def _of_depth(depth, **options):
    """Build a highway network of this depth: stem, blocks, three transitions, head. Options as for `HighwayNet`."""
    return HighwayNet(BLOCK_COUNTS[depth], **{"name": f"highway{depth}", **options})


def Highway20(**options) -> keras.Model:
    """Build the 20-layer highway network. Options as for `HighwayNet`, keyword-only."""
    return _of_depth(20, **options)


def Highway36(**options) -> keras.Model:
    """Build the 36-layer highway network. Options as for `HighwayNet`, keyword-only."""
    return _of_depth(36, **options)
