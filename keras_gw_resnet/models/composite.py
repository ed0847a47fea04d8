"""Stacked networks: stages of different families in one network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from keras_gw_resnet.errors import InputError
from keras_gw_resnet.models.blocks import positions_of, require_counts, stage_strides
from keras_gw_resnet.models.densenet import dense_block, dense_reach, transition
from keras_gw_resnet.models.highway import highway_reach, highway_stage
from keras_gw_resnet.models.network import assemble, builder
from keras_gw_resnet.models.resnet import residual_reach, residual_stage

if TYPE_CHECKING:
    import keras

    from keras_gw_resnet.models.blocks import Style
    from keras_gw_resnet.models.front import Front


def _residual(x, count, filters, *, strides, style, **options):
    return residual_stage(x, count, filters, strides=strides, style=style, **options)


def _highway(x, count, filters, *, strides, style, **options):
    return highway_stage(x, count, filters, strides=strides, gate_bias=-2.0, style=style, **options)


def _dense(x, count, filters, *, strides, style, kernel_size, positions, name):
    if strides != 1:
        x = transition(x, 0.5, strides=strides, style=style, name=name)
    options = {"kernel_size": kernel_size, "style": style, "positions": positions}
    x = dense_block(x, count, max(1, filters // 4), name=name, **options)
    # The channels that have piled up are brought to the stage's number, so that any family may follow.
    return style.norm_conv(x, filters, 1, name=f"{name}_close")


def _plain(x, count, filters, *, strides, style, kernel_size, positions, name):
    for index in range(len(positions)):
        x = style.conv_norm(x, filters, kernel_size, strides=strides if index == 0 else 1, name=f"{name}_conv{index}")
    return x


def _plain_reach(field, count, *, strides, style, kernel_size):
    return style.reach(field, *[kernel_size] * count, strides=strides)


# What a stage gives, and how far it sees.
FAMILIES = {
    "residual": (_residual, residual_reach),
    "highway": (_highway, highway_reach),
    "dense": (_dense, dense_reach),
    "plain": (_plain, _plain_reach),
}


@builder
def StackedNetwork(
    stages: Sequence,
    *,
    width: int = 64,
    stem_kernel_size: int = 15,
    style: Style,
    front: Front,
    name: str = "stacked",
    **network,
) -> keras.Model:
    """Stack stages of different families: what each does best, where in the network it does it.

    Args:
        stages: List of (family, blocks), for example [("residual", 2), ("highway", 3), ("dense", 4)]; families are
            "residual" (basic blocks), "highway", "dense" (layers of a dense block) and "plain" (convolutions without
            a shortcut). Each stage after the first halves the length and doubles the channels.
        width: Channels of the first stage.
        stem_kernel_size: Of the first convolution.
        style, front: The options of `blocks.Style` and `front.Front`, each a keyword of its own.
        name: Name of the network.
        **network: Options of `network.assemble`.

    Returns:
        A `keras.Model` from `strain` (batch, samples, detectors) to `score` (batch, classes).

    Raises:
        InputError: An unknown family, an option out of range, or an input too short for the network.
    """
    try:
        stages = [(str(family), count) for family, count in stages]
    except (TypeError, ValueError):
        raise InputError(f"stages={stages!r}; expected a list of (family, blocks)") from None
    for family, count in stages:
        if family not in FAMILIES:
            raise InputError(f"stages: unknown family {family!r}; expected one of {', '.join(FAMILIES)}")
        require_counts(**{f"{family} blocks": count})
    if style.stochastic_depth and all(family == "plain" for family, _ in stages):
        raise InputError(f"stochastic_depth={style.stochastic_depth}: plain stages have no branches to drop")
    require_counts(width=width, stages=[count for _, count in stages], stem_kernel_size=stem_kernel_size)
    kernels, positions = style.kernels(len(stages)), positions_of([count for _, count in stages])
    strides = stage_strides(len(stages), front)

    def stack(x):
        x = style.stem(x, width, stem_kernel_size, front)
        for stage, (family, count) in enumerate(stages):
            x = FAMILIES[family][0](
                x,
                count,
                width * 2**stage,
                strides=strides[stage],
                style=style,
                kernel_size=kernels[stage],
                positions=positions[stage],
                name=f"stage{stage + 1}_{family}",
            )
        return x

    def reach(field):
        field = style.stem_reach(field, stem_kernel_size, front)
        for stage, (family, count) in enumerate(stages):
            given: dict = {"strides": strides[stage], "style": style, "kernel_size": kernels[stage]}
            if family == "highway":
                given["changes"] = stage > 0 or front.templates not in (0, width)
            field = FAMILIES[family][1](field, count, **given)
        return field

    return assemble(stack, reach=reach, front=front, name=name, **network)


def StackedResidualHighway(**options) -> keras.Model:
    """Build residual stages over highway stages: 2, 2 residual and 3, 3 highway blocks. Options as `StackedNetwork`."""
    stages = [("residual", 2), ("residual", 2), ("highway", 3), ("highway", 3)]
    return StackedNetwork(stages, **{"name": "stacked-residual-highway", **options})


def StackedMixed(**options) -> keras.Model:
    """Build one stage of each family: plain, residual, highway, dense. Options as for `StackedNetwork`."""
    stages = [("plain", 2), ("residual", 3), ("highway", 4), ("dense", 6)]
    return StackedNetwork(stages, **{"name": "stacked-mixed", **options})


def Plain18(**options) -> keras.Model:
    """Build the 18-layer chain of convolutions without shortcuts, the plain counterpart of ResNet18 (arXiv 1512.03385)."""
    return StackedNetwork([("plain", 4)] * 4, **{"name": "plain18", **options})
