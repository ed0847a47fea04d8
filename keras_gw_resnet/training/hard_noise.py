"""Noise that a finished network takes for signals, found to train others with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from keras_gw_resnet.datasets.hard import HARDEST, PIECE, find_hardest
from keras_gw_resnet.errors import InputError
from keras_gw_resnet.progress import Bar
from keras_gw_resnet.training.config import TrainingConfig
from keras_gw_resnet.training.sources.noise import open_noise
from keras_gw_resnet.training.validation import scorer

if TYPE_CHECKING:
    import keras

# Noise is drawn with seeds of its own.
AHEAD_SEED = 1_000_133


def find_hard_noise(
    model: keras.Model, config: TrainingConfig, *, windows: int, keep: int | None = None, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Search the noise of a training with a network for the windows that it ranks highest.

    Args:
        model: `keras.Model`.
        config: TrainingConfig that says which noise.
        windows: How many to search.
        keep: How many to keep; None: a hundredth.
        seed: Of the noise.

    Returns:
        Tuple (strain, statistic): float32 arrays (keep, window_samples, detectors) and (keep,).

    Raises:
        InputError: More to keep than are searched, or noise that is missing or does not fit.
    """
    keep = keep or max(1, round(HARDEST * windows))
    if keep > windows:
        raise InputError(f"--keep {keep}: more than the {windows} windows that are searched")
    noise, _ = open_noise(config).split(config.data.validation_share)

    def pieces():
        for number, first in enumerate(range(0, windows, PIECE)):
            rng = np.random.default_rng((AHEAD_SEED, seed, number))
            yield noise.draw(rng, min(PIECE, windows - first))[0]

    with Bar(total=windows, desc="hard noise", unit="window") as bar:
        _, strain, stat = find_hardest(pieces(), scorer(model), keep, bar.update)
    return strain, stat


def training_of(card: dict, **changes) -> TrainingConfig:
    """Return the TrainingConfig of a saved network.

    Args:
        card: Its card.
        changes: Fields to replace, where they are not None or empty.

    Raises:
        InputError: Its card does not say how it was trained.
    """
    try:
        config = TrainingConfig.of(**card["training"]["config"])
    except (KeyError, TypeError) as error:
        raise InputError(
            f"{card['name']}: its card does not say how it was trained ({error}); train it again"
        ) from error
    return config.changed(**{name: value for name, value in changes.items() if value})
