"""From a configuration to training and validation batches: the sources are opened and split, here they are joined."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from keras_gw_resnet.datasets.batches import InjectionBatches
from keras_gw_resnet.datasets.negatives import open_negatives
from keras_gw_resnet.datasets.windows import LabelledWindows, open_windows
from keras_gw_resnet.errors import InputError
from keras_gw_resnet.simulation.bank import WaveformBank
from keras_gw_resnet.training.metric import Metric, labelled_metric, simulated_metric
from keras_gw_resnet.training.sources import Source
from keras_gw_resnet.training.sources.noise import open_noise
from keras_gw_resnet.training.sources.waveforms import Waveforms
from keras_gw_resnet.training.sources.windows import Windows

if TYPE_CHECKING:
    from keras_gw_resnet.training.config import TrainingConfig

# Batches of the validation set are drawn with a seed of their own.
VALIDATION_SEED = 1_000_003


@dataclass(frozen=True)
class Batches:
    """Training and validation batches, and what they are made of.

    Attributes:
        training, validation: InjectionBatches or LabelledWindows.
        held_out_bank: Waveforms held out; None where windows came with their labels.
        metric: What epochs are judged by; None where labelled windows are too few to show a false-alarm probability.
        provenance: For the card.
        description: For the user.
    """

    training: InjectionBatches | LabelledWindows
    validation: InjectionBatches | LabelledWindows
    held_out_bank: WaveformBank | None
    metric: Metric | None
    provenance: dict
    description: str


def load_batches(config: TrainingConfig) -> Batches:
    """Read the data of a training run, part of noise, bank or labelled windows held out for validation.

    Args:
        config: TrainingConfig.

    Returns:
        Batches.

    Raises:
        InputError: Data that are missing or do not fit.
    """
    if Path(config.data.path).is_file():
        return _labelled(config)
    share, size = config.data.validation_share, config.optimisation.batch_size
    sources = _opened(config)
    parts = {name: source.split(share) for name, source in sources.items()}
    provenance: dict = {"noise": config.data.noise}
    for name, source in sources.items():
        provenance.update(source.fingerprint(*parts[name]))
    (bank, held_out_bank), (noise, held_out) = parts.pop("bank"), parts.pop("noise")
    made: dict = {"batch_size": size, "negatives": config.negatives}
    events = len(provenance.get("left_out", ()))
    without = f" without {events} catalogue event{'s' * (events != 1)}" if events else ""
    return Batches(
        training=InjectionBatches(
            bank,
            noise,
            seed=config.seed,
            signals=config.signals,
            opened={name: kept for name, (kept, _) in parts.items()},
            steps_per_epoch=config.optimisation.steps_per_epoch,
            **made,
        ),
        validation=InjectionBatches(
            held_out_bank,
            held_out,
            seed=VALIDATION_SEED,
            signals=config.signals.settled(),
            opened={name: own for name, (_, own) in parts.items()},
            **made,
        ),
        held_out_bank=held_out_bank,
        metric=simulated_metric(held_out_bank, held_out, config),
        provenance=provenance,
        description=f"{config.data.noise} noise{without}{_glitches(provenance)} and {len(bank)} waveforms of {bank.population}",
    )


def _glitches(provenance):
    """Return the number of glitches of a bank that are shown, by detector, as part of a sentence."""
    if "glitches" not in provenance:
        return ""
    by_detector = ", ".join(f"{number} of {name}" for name, number in provenance["glitches"]["detectors"].items())
    return f", {provenance['glitches']['number']} glitches ({by_detector})"


def _opened(config: TrainingConfig) -> dict[str, Source]:
    return {"bank": Waveforms.open(config), "noise": open_noise(config), **open_negatives(config)}


def _labelled(config):
    windows, size = Windows.open(config), config.optimisation.batch_size
    _check_labelled(config)
    rows, held_out = windows.split(config.data.validation_share)
    validation = LabelledWindows(windows.header, held_out, batch_size=size, seed=None)
    return Batches(
        training=LabelledWindows(windows.header, rows, batch_size=size, seed=config.seed),
        validation=validation,
        held_out_bank=None,
        metric=labelled_metric(validation, config),
        provenance=windows.fingerprint(rows, held_out),
        description=f"{len(rows)} labelled windows",
    )


def _check_labelled(config):
    """Raise InputError where more is asked of labelled windows than to be shown."""
    path, own = config.data.path, config.data
    if own.noise != "files" or own.leave_out or own.recolour_share or config.negatives.more_than_usual():
        raise InputError(
            f"{path}: labelled windows are shown as they are; leave out --data.noise, --data.leave_out and the shares"
        )
    if config.signals.merger_tolerance:
        raise InputError(
            f"{path}: labelled windows do not say where a signal is; expected --signals.merger_tolerance 0"
        )
    if config.ranking.templates:
        raise InputError(
            f"{path}: labelled windows hold no waveforms; leave out --ranking.templates, or give 0 and --ranking.coherent false"
        )


def fitted_to_data(config: TrainingConfig) -> TrainingConfig:
    """Fill in detectors, window and sample rate where they are left open: those of labelled windows, or the usual."""
    own = config.data
    if not Path(own.path).is_file():
        return config.changed(detectors=own.detectors or ("H1", "L1"), window_samples=own.window_samples or 2048)
    header = open_windows(own.path)
    return config.changed(
        detectors=own.detectors or header.detectors,
        window_samples=own.window_samples or header.samples,
        whitening=replace(own.whitening, sample_rate=header.sample_rate),
    )
