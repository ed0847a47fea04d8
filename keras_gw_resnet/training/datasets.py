"""Datasets for plain `fit`, from the same folder that a training takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from keras_gw_resnet.errors import InputError
from keras_gw_resnet.training.config import TrainingConfig
from keras_gw_resnet.training.data import load_batches
from keras_gw_resnet.training.fit import feed_of
from keras_gw_resnet.training.names import recorded
from keras_gw_resnet.zoo import load_card

# What of the training of a saved network its further training takes over: where in the window its signals are, and how they are drawn.
TAKEN = ("signals.merger_range", "signals.snr_range", "signals.snr_power", "signals.mass_power")
# The threshold of a training's own metric is not asked for.
UNMEASURED = {"batches": 1, "signal_windows": 1, "noise_windows": 20, "false_alarm_probability": 0.9}


class Datasets(NamedTuple):
    """What `fit` takes: `network.fit(training, validation_data=validation, shuffle=False)`; each batch is drawn afresh, so there is no need to shuffle.

    Attributes:
        training: Batches (strain, label), other ones in every epoch.
        validation: Batches of noise and waveforms that are held out, always the same.
    """

    training: Any
    validation: Any


def datasets_from_folder(
    folder: Path | str,
    *,
    like: str = "flagship",
    batch_size: int = 32,
    steps_per_epoch: int = 100,
    validation_steps: int = 16,
    seed: int = 0,
    **options,
) -> Datasets:
    """Make datasets for a saved network that is trained further: examples as `train.py` shows them.

    Args:
        folder: Folder with strain files and one waveform bank, or a file of labelled windows.
        like: The saved network (name, folder or file): its detectors, window, whitening, and how its signals were drawn.
        batch_size: Examples a batch, half of them with a signal.
        steps_per_epoch, validation_steps: Batches.
        seed: Of the examples.
        **options: Further options of a training, by room and name (`**{"negatives.glitch_share": 0.2}`), see `TrainingConfig`.

    Returns:
        Datasets, of `tf.data` under TensorFlow, of `keras.utils.PyDataset` under any other backend: float32 strain (batch, samples, detectors) and
        labels (batch, 1), for a loss of the logit.

    Raises:
        InputError: Data that are missing or do not fit, or an option that there is not.
    """
    card = load_card(like)
    for name, value in (
        ("batch_size", batch_size),
        ("steps_per_epoch", steps_per_epoch),
        ("validation_steps", validation_steps),
    ):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise InputError(f"{name}={value!r}; expected a whole number from 1")
    known = recorded(card)
    config = TrainingConfig.of(
        model=card["model"],
        seed=seed,
        **{
            "data.path": str(folder),
            "data.detectors": tuple(card["detectors"]),
            "data.window_samples": card["window_samples"],
            "data.whitening": card["whitening"],
            "optimisation.batch_size": batch_size,
            "optimisation.steps_per_epoch": steps_per_epoch,
            **{f"metric.{name}": value for name, value in UNMEASURED.items()},
            **{name: known[name] for name in TAKEN if known.get(name) is not None and not Path(folder).is_file()},
            **options,
        },
    )
    batches = load_batches(config)
    return Datasets(
        feed_of(batches.training, 0, steps_per_epoch, fresh=True), feed_of(batches.validation, 0, validation_steps)
    )
