"""The phases of a training: the whole network at once, or one residual block after the other.

Blockwise, as in arXiv 1706.04964: each block is trained with a small head of its own while all before it stay frozen;
the heads are dropped, the last block has the network's own. What differs from the source: the loss is that of the
classifier, not a boosting bound.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import keras
from keras import layers

from keras_gw_resnet.errors import InputError
from keras_gw_resnet.models.graph_blocks import blocks_of
from keras_gw_resnet.training.optimization import new_network

if TYPE_CHECKING:
    from keras_gw_resnet.training.config import TrainingConfig


@dataclass(frozen=True)
class Phase:
    """A part of a training with one set of trainable layers.

    Attributes:
        number: From 1; None where there is one.
        first, last: It runs from after epoch `first` to the end of epoch `last`.
        block: Index of the block that is trained; None: the whole network.
        final: Whether it is the last one, whose network is saved.
    """

    number: int | None
    first: int
    last: int
    block: int | None = None
    final: bool = False


def check_growth(network: keras.Model, config: TrainingConfig) -> None:
    """Raise InputError where a network cannot be trained block by block, or not in so few epochs."""
    blocks = len(blocks_of(network))
    if not blocks:
        raise InputError(f"--growth blockwise: {network.name} has no residual blocks; train it whole")
    if config.epochs - config.network.finetune_epochs < blocks:
        raise InputError(
            f"--growth blockwise: {config.epochs - config.network.finetune_epochs} epochs are too few for the {blocks} blocks of "
            f"{network.name}; expected at least one each"
        )


def phases_of(config: TrainingConfig) -> list[Phase]:
    """List the Phases of a training."""
    if config.network.growth == "whole":
        return [Phase(None, 0, config.epochs, final=True)]
    blocks, grown = len(blocks_of(new_network(config))), config.epochs - config.network.finetune_epochs
    ends = [round(grown * (i + 1) / blocks) for i in range(blocks)]
    phases = [Phase(i + 1, ends[i - 1] if i else 0, end, block=i) for i, end in enumerate(ends)]
    if config.network.finetune_epochs:
        phases.append(Phase(blocks + 1, grown, config.epochs))
    return [*phases[:-1], replace(phases[-1], final=True)]


def network_of(config: TrainingConfig, phase: Phase, before: keras.Model | None = None) -> keras.Model:
    """Build the network of a phase.

    Args:
        config: TrainingConfig.
        phase: Phase.
        before: Network of the phase before, whose weights are taken over by the names of the layers; None: none.

    Returns:
        `keras.Model`; what is not trained in this phase is frozen.
    """
    whole = new_network(config)
    if before is not None:
        _take(whole, before)
    if phase.block is None:
        return whole
    blocks = blocks_of(whole)
    if phase.block:
        for layer in keras.Model(whole.input, blocks[phase.block - 1].output).layers:
            layer.trainable = False
    if phase.block == len(blocks) - 1:
        return whole
    x = layers.GlobalAveragePooling1D(name="growth_pool")(blocks[phase.block].output)
    seed = keras.initializers.GlorotUniform(config.seed + phase.number)
    score = layers.Dense(1, kernel_initializer=seed, name="growth_score")(x)
    return keras.Model(whole.input, score, name=f"{whole.name}_to_{blocks[phase.block].name}")


def _take(whole, before):
    own = {layer.name: layer for layer in whole.layers}
    for layer in before.layers:
        if layer.name in own and layer.weights:
            own[layer.name].set_weights(layer.get_weights())
