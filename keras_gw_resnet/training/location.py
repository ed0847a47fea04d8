"""Labels that say where in a window the coalescence is, for networks whose head gives a logit at each position.

Such a network tells apart P + 1 cases: noise alone, with logit zero, or a signal at one of P positions. A label that says only
whether there is a signal allows all the positions of a window alike, and the loss is that of its log-sum-exp. Here a label
allows the positions near the coalescence alone, and the loss is the same cross-entropy, -log of the probability of what is
allowed: more is learned from each example, and the network that is saved is the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import layers, ops

from keras_gw_resnet.errors import InputError
from keras_gw_resnet.models.graph import logits_of_positions, parts_of
from keras_gw_resnet.models.weights import card_beside, find_weights

if TYPE_CHECKING:
    from keras_gw_resnet.training.config import TrainingConfig

# Name of the last layer of a network in training that gives [score, logits of the positions].
WITH_POSITIONS = "score_and_positions"
# Where in the strain of its position a coalescence should lie, as a share: most of a signal comes before it.
COALESCENCE = 0.7
# Where the card of a trained network says what its positions mean.
MEANT = "coalescence_samples"
PACKAGE = "keras_gw_resnet"


# Checkpoints of before hold it under this name.
@keras.saving.register_keras_serializable(PACKAGE, "LocatedCrossentropy")
class PositionCrossentropy(keras.losses.Loss):
    """-log of the probability of the cases that a label allows.

    y_true: weights from 0 to 1 (batch, 1 + positions) of noise alone and of a signal at each position; y_pred: score and logits.
    """

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the loss of each example, (batch,)."""
        logits = ops.concatenate([ops.zeros_like(y_pred[:, :1]), y_pred[:, 1:]], axis=-1)
        allowed = logits + ops.log(ops.maximum(y_true, 1e-30))
        return ops.logsumexp(logits, axis=-1) - ops.logsumexp(allowed, axis=-1)


class _OfScore:
    """A metric of the score, from the labels of `PositionCrossentropy`."""

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Count a batch."""
        return super().update_state(1.0 - y_true[:, :1], y_pred[:, :1], sample_weight)  # ty: ignore[missing-attribute]


@keras.saving.register_keras_serializable(PACKAGE)
class ScoreAUC(_OfScore, keras.metrics.AUC):
    """AUC of the score."""


@keras.saving.register_keras_serializable(PACKAGE)
class ScoreAccuracy(_OfScore, keras.metrics.BinaryAccuracy):  # ty: ignore[incompatible-method-override]
    """Accuracy of the score."""


def with_positions(network: keras.Model) -> keras.Model:
    """Return a network that gives, of the same layers, the logits of its positions beside its score: (batch, 1 + positions)."""
    logits = layers.Flatten(name="positions")(logits_of_positions(network))
    both = layers.Concatenate(name=WITH_POSITIONS, dtype="float32")([network.output, logits])
    more = keras.Model(network.input, both, name=network.name)
    more.parts = parts_of(network)
    return more


def gives_positions(network: keras.Model) -> bool:
    """Say whether a network gives its positions beside its score."""
    return network.layers[-1].name in (WITH_POSITIONS, "score_and_places")


def score_alone(network: keras.Model) -> keras.Model:
    """Return a network made by `with_positions`, of the same layers, with its score alone."""
    alone = keras.Model(network.input, network.layers[-1].input[0], name=network.name)
    alone.parts = getattr(network, "parts", None)
    return alone


def coalescence_samples(network: keras.Model, config: TrainingConfig) -> float:
    """Say how far behind the middle of the strain that a position takes the coalescence lies that it tells, in samples.

    A network that begins with the weights of one trained with such labels goes on with what those meant, by its card. One with
    templates tells what those do.
    Otherwise a share of `COALESCENCE` of the strain that a position takes lies before the coalescence; more where the last position
    would otherwise end before the latest one.

    Args:
        network: `keras.Model` with a head of positions.
        config: TrainingConfig.

    Raises:
        InputError: The network has no positions, or none whose strain is known.
    """
    middle, length = _middles(network)
    weights = config.network.options.get("weights")
    meant = card_beside(find_weights(weights)).get("training", {}).get(MEANT) if weights else None  # ty: ignore[invalid-argument-type]
    if meant is None:
        meant = parts_of(network).coalescence_offset
    if meant is not None:
        return meant
    latest = config.signals.merger_range[1] * network.input_shape[1]
    share = min(1.0, max(COALESCENCE, (latest - middle[-1]) / length + 0.5))
    return float((share - 0.5) * length)


def mergers_for(network: keras.Model, config: TrainingConfig) -> np.ndarray:
    """Say which coalescence time each position of a network in training is to tell; see `coalescence_samples`.

    Returns:
        Array (positions,), shares of the window.
    """
    middle, _ = _middles(network)
    return (middle + coalescence_samples(network, config)) / network.input_shape[1]


def check_positions(network: keras.Model, config: TrainingConfig) -> None:
    """Raise InputError where signals would be shown whose coalescence no position of the network tells.

    Args:
        network: `keras.Model`.
        config: TrainingConfig with a merger_tolerance.
    """
    mergers = mergers_for(network, config)
    near = config.signals.merger_tolerance / (config.data.window_samples / config.data.whitening.sample_rate)
    earliest, latest = config.signals.merger_range
    if earliest < mergers[0] - near or latest > mergers[-1] + near:
        raise InputError(
            f"--merger-range {earliest:g} {latest:g}: the positions of {network.name} tell coalescences from "
            f"{mergers[0]:.2f} to {mergers[-1]:.2f} of the window; give a range within that, or longer --window-samples"
        )


def _middles(network):
    """Return the middle of the strain that each position of a network takes, and how long that is, in samples."""
    parts = parts_of(network)
    if parts.head != "positions" or parts.field is None:
        raise InputError(
            f"--merger-tolerance: {network.name} has no positions of its own; take a network with "
            "--options.pooling logsumexp, or --merger-tolerance 0"
        )
    return np.array(parts.middles()), parts.position_samples


class PositionBatches:
    """Training batches with the labels of `PositionCrossentropy`.

    Args:
        batches: InjectionBatches.
        mergers: For each position the coalescence time that it is to tell, as a share of the window.
        tolerance: Standard deviation about it within which a position is allowed, as a share of the window.
    """

    def __init__(self, batches: Any, mergers: np.ndarray, tolerance: float) -> None:
        self.batches, self.batch_size = batches, batches.batch_size
        self._mergers, self._tolerance = mergers, tolerance

    def rows(self, index: int, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
        """Return examples [first, last) of batch `index` as (strain, label (n, 1 + positions))."""
        examples = self.batches.examples(index, first, last)
        distance = (examples.merger[:, None] - self._mergers) / self._tolerance
        weight = np.exp(-0.5 * (distance**2 - np.min(distance**2, axis=1, keepdims=True)))
        noise = examples.label == 0
        return examples.strain, np.concatenate([noise, np.where(noise, 0.0, weight)], axis=1, dtype=np.float32)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return batch `index` as (strain, label)."""
        return self.rows(index, 0, self.batch_size)
