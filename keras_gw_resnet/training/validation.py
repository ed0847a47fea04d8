"""Measuring a network after every epoch, on a fixed validation set."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_gw_resnet.evaluation.windows import auc
from keras_gw_resnet.progress import Bar
from keras_gw_resnet.training.metric import CHUNK

if TYPE_CHECKING:
    from keras_gw_resnet.datasets.hard import HardNoise
    from keras_gw_resnet.training.config import TrainingConfig
    from keras_gw_resnet.training.data import Batches


def scorer(model: keras.Model) -> Callable:
    """Return a function from strain (n, samples, detectors) to scores (n,), computed by this process alone."""
    if keras.backend.backend() != "jax":
        return lambda strain: np.concatenate(
            [model.predict_on_batch(part)[:, 0] for part in _chunks(strain)], dtype=np.float32
        )[: len(strain)]
    import jax

    forward = jax.jit(lambda own, other, x: model.stateless_call(own, other, x, training=False)[0])

    def score(strain):
        own, other = local_weights(model)
        parts = [np.asarray(forward(own, other, part))[:, 0] for part in _chunks(strain)]
        return np.concatenate(parts, dtype=np.float32)[: len(strain)]

    return score


def local_weights(model: keras.Model) -> list:
    """Return NumPy copies of a model's weights for `stateless_call`: (trainable, not trainable).

    Its own arrays may be spread over processes, which would all have to take part.
    """
    return [[np.asarray(v) for v in own] for own in (model.trainable_variables, model.non_trainable_variables)]


def _chunks(strain):
    """Yield parts of one length, the last one filled up with zeros, so that one compiled graph serves them."""
    for first in range(0, len(strain), CHUNK):
        part = strain[first : first + CHUNK]
        missing = CHUNK - len(part)
        yield np.concatenate([part, np.zeros((missing, *part.shape[1:]), np.float32)]) if missing else part


@contextlib.contextmanager
def averaged_weights(model: keras.Model) -> Generator[None]:
    """Put the averaged weights into a model while the block runs, where its optimizer keeps an average."""
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    if not optimizer.use_ema:
        yield
        return
    swap = keras.callbacks.SwapEMAWeights()
    swap.set_model(model)
    swap.on_test_begin()
    try:
        yield
    finally:
        swap.on_test_end()


class Validation(keras.callbacks.Callback):
    """Measure loss, AUC and detected fraction after every epoch, and keep the best weights.

    Adds val_loss, val_auc, val_accuracy and val_efficiency to the logs.

    Args:
        batches: `training.data.Batches`.
        config: TrainingConfig.
        history: Rows of the epochs done.
        phase: Number of the phase, for the logs; None where there is one.
        save_best: Called with the model when it is the best so far; None: not at all.
    """

    def __init__(
        self,
        batches: Batches,
        config: TrainingConfig,
        history: list[dict],
        *,
        phase: Any = None,
        save_best: Callable | None = None,
    ) -> None:
        super().__init__()
        self.metric, self.history, self.phase, self.save_best = batches.metric, history, phase, save_best
        held_out = [batches.validation.examples(i) for i in range(config.metric.batches)]
        self.strain, self.snr = (np.concatenate([getattr(e, name) for e in held_out]) for name in ("strain", "snr"))
        self.label = np.concatenate([e.label[:, 0] for e in held_out])
        self._score = None

    def set_model(self, model: keras.Model) -> None:
        """Take the model of the fit."""
        super().set_model(model)
        self._score = scorer(model)

    def measure(self, score: Callable) -> dict | None:
        """Return val_loss, val_auc, val_accuracy and val_efficiency of the scores that a function gives; None where one is not finite."""
        metric = [] if self.metric is None else self.metric.strain
        with Bar(total=len(self.strain) + len(metric), desc="validation", unit="window", leave=False) as bar:
            self.scores = _in_parts(score, self.strain, bar)
            ranked = _in_parts(score, metric, bar) if self.metric is not None else None
        if not np.all(np.isfinite(self.scores)):
            return None
        signal = self.label == 1
        # Of logits: log(1 + exp(-z)) for signals, log(1 + exp(z)) for noise.
        loss = float(np.mean(np.logaddexp(0, np.where(signal, -1, 1) * self.scores)))
        found = {"val_loss": loss, "val_auc": auc(self.scores[~signal], self.scores[signal])}
        found["val_accuracy"] = float(np.mean((self.scores > 0) == signal))
        found["val_efficiency"], self.threshold = math.nan, math.nan
        if self.metric is not None:
            found["val_efficiency"], self.threshold = self.metric.efficiency(ranked)  # ty: ignore[invalid-argument-type]
        return found

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Measure, unless the training has diverged: the loss in the logs is not finite then."""
        if not math.isfinite(logs["loss"]):
            return
        with averaged_weights(self.model):
            found = self.measure(self._score)  # ty: ignore[invalid-argument-type]
            if found is None:
                logs["loss"] = math.nan
                return
            logs.update(found)
            if self.phase is not None:
                logs["phase"] = self.phase
            same = [row for row in self.history if row.get("phase") == self.phase]
            if self.save_best and all(merit(logs) > merit(row) for row in same):  # ty: ignore[invalid-argument-type]
                self.save_best(self.model)


def _in_parts(score, strain, bar):
    """Score windows some chunks at a time, so that the bar moves."""
    scores = []
    for first in range(0, len(strain), 8 * CHUNK):
        scores.append(score(strain[first : first + 8 * CHUNK]))
        bar.update(len(scores[-1]))
    return np.concatenate(scores)


class HardSearch(keras.callbacks.Callback):
    """Search noise for hard windows before every epoch but the first and the last, which has none after it.

    Adds search_seconds to the logs.

    Args:
        hard: `datasets.hard.HardNoise`.
        epochs: Of the whole training.
        path: Where to write down what was found; None: nowhere.
    """

    def __init__(self, hard: HardNoise, epochs: int, path: Path | None) -> None:
        super().__init__()
        self.hard, self.epochs, self.path, self._score = hard, epochs, path, None

    def set_model(self, model: keras.Model) -> None:
        """Take the model of the fit."""
        super().set_model(model)
        self._score = scorer(model)

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Search."""
        self._seconds = 0.0
        if not 0 < epoch < self.epochs - 1:
            return
        begun = time.perf_counter()
        with Bar(total=self.hard.windows, desc="hard noise", unit="window", leave=False) as bar:
            self.hard.search(epoch, self._score, bar.update)  # ty: ignore[invalid-argument-type]
        if self.path is not None:
            self.hard.save(self.path)
        self._seconds = time.perf_counter() - begun

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Add the time to the logs."""
        logs["search_seconds"] = self._seconds


def merit(row: dict) -> tuple[float, float]:
    """Return what epochs are compared by: the detected fraction where it is known, then the AUC."""
    efficiency = row.get("val_efficiency", math.nan)
    return (-1.0 if math.isnan(efficiency) else efficiency, row["val_auc"])


def best_row(history: list[dict]) -> dict | None:
    """Return the row of the best epoch of the last phase; the first of equals."""
    rows = [row for row in history if row.get("phase") == history[-1].get("phase")]
    return max(rows, key=merit)
