"""What can be said of a training before it begins: whether its network can be built, and what of its data is not shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keras_gw_resnet.errors import InputError
from keras_gw_resnet.files import require_memory
from keras_gw_resnet.strain.conditioning import Whitening
from keras_gw_resnet.training.growth import check_growth, phases_of
from keras_gw_resnet.training.location import check_positions
from keras_gw_resnet.training.optimization import new_network, whole_network

if TYPE_CHECKING:
    from keras_gw_resnet.training.config import TrainingConfig
    from keras_gw_resnet.training.data import Batches


def check_network(config: TrainingConfig) -> None:
    """Raise InputError where the network of a training cannot be built, or cannot be trained as is asked."""
    check_memory(config)
    network = new_network(config)
    if not network.trainable_weights:
        raise InputError(
            f"{config.network.model}: has no weights to train; an ensemble trains with --options.combine head"
        )
    if config.ranking.options():
        whole_network(config)
    if config.signals.merger_tolerance:
        check_positions(network, config)
    if config.network.growth == "blockwise":
        check_growth(network, config)
        shortest = min(phase.last - phase.first for phase in phases_of(config))
        if config.optimisation.warmup_epochs >= shortest:
            raise InputError(
                f"--optimisation.warmup_epochs {config.optimisation.warmup_epochs} leaves nothing of the {shortest} epochs that a "
                "block is trained for; take fewer, or more --epochs"
            )


def check_memory(config: TrainingConfig) -> None:
    """Raise InputError where the windows that every epoch is judged by would take more than half of this machine's memory."""
    own, size = config.metric, config.optimisation.batch_size
    windows = own.batches * size + own.noise_windows + own.signal_windows
    detectors, samples = len(config.data.detectors or ("H1", "L1")), config.data.window_samples or 2048
    asked = f"--metric.batches {own.batches}, --metric.noise_windows {own.noise_windows}, --metric.signal_windows {own.signal_windows}"
    require_memory(4 * windows * samples * detectors, asked)


def check_members(config: TrainingConfig, cards: dict[str, dict]) -> None:
    """Raise InputError where a network that joins saved ones would hand them strain they were not trained on.

    Args:
        config: TrainingConfig.
        cards: Card of each member.
    """
    own = {"detectors": list(config.data.detectors or ()), "whitening": config.data.whitening.to_dict()}
    for member, card in cards.items():
        theirs = {**card, "whitening": Whitening(**card["whitening"]).to_dict()}
        differing = [name for name, value in own.items() if theirs[name] != value]
        if differing:
            name = differing[0]
            raise InputError(f"{member}: was trained with {name} {theirs[name]}, not {own[name]}; leave it out")


def notes_on(config: TrainingConfig, batches: Batches) -> list[str]:
    """Say what is asked for and has nothing to show, and where windows are longer than waveforms."""
    bank, own, notes = batches.held_out_bank, config.negatives, []
    if bank is None:
        return notes
    if own.loud_share and not batches.training.shares["loud noise"]:
        notes.append("the noise has no loud places; --negatives.loud_share has nothing to show")
    if own.hard_share and not batches.training.hard.ever_ready(config.epochs):
        notes.append("hard noise is shown from the third epoch on; --negatives.hard_share has nothing to show")
    shown = batches.provenance.get("glitches", {}).get("detectors", {})
    if without := [name for name, number in shown.items() if not number]:
        notes.append(f"{own.glitch_bank} has no glitches of {' and '.join(without)}; none are shown there")
    if config.data.window_samples > bank.hplus.shape[1]:
        notes.append(
            f"windows of {config.data.window_samples / bank.sample_rate:g} s, but the bank keeps "
            f"{bank.hplus.shape[1] / bank.sample_rate:g} s of each waveform; simulate one with a longer --duration"
        )
    return notes
