"""What a training shows while it runs."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_gw_resnet.errors import InputError
from keras_gw_resnet.progress import Bar
from keras_gw_resnet.training.validation import best_row

if TYPE_CHECKING:
    from keras_gw_resnet.training.config import TrainingConfig


class Timed:
    """Batches that note when each was ready, so that waiting for input can be measured, and what went wrong with one.

    Args:
        batches: Anything with `batches[index] -> (strain, label)` and `batch_size`.
    """

    def __init__(self, batches: Any) -> None:
        self.batches, self.batch_size, self.ready, self.error = batches, batches.batch_size, {}, None

    def __getitem__(self, index: int) -> tuple:
        """Return batch `index`."""
        try:
            made = self.batches[index]
        except InputError as error:
            self.error = error
            raise
        self.ready[index] = time.perf_counter()
        return made


class Progress(keras.callbacks.Callback):
    """One line with rate, time left and metric; where stdout is no terminal, one line an epoch and every 20 s.

    Adds to the logs: seconds, examples_per_second and input_wait_share, the share of the epoch that passed waiting for
    batches. The first step, with its compilation, is left out of the waiting.

    Args:
        config: TrainingConfig.
        feed: The Timed batches of the training.
        history: Rows of the epochs done.
        shown: Whether this process talks.
    """

    def __init__(self, config: TrainingConfig, feed: Timed, history: list[dict], shown: bool = True) -> None:
        super().__init__()
        self.config, self.feed, self.history, self.shown = config, feed, history, shown
        self._bar = None

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Open the bar."""
        self._begun = time.perf_counter()
        self._done_before = len(self.history)
        if self.shown:
            total = self.config.epochs * self.config.optimisation.steps_per_epoch
            done = len(self.history) * self.config.optimisation.steps_per_epoch
            self._bar = Bar(total=total, initial=done, desc="training", unit="batch", file=sys.stdout)

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Start the clock."""
        self._started = self._step_ended = time.perf_counter()
        self._waited, self._index = 0.0, epoch * self.config.optimisation.steps_per_epoch
        if self._bar is not None:
            self._bar.set_description(f"epoch {epoch + 1}/{self.config.epochs}")

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Count the time between the end of the last step and when this step's batch was ready."""
        ready = self.feed.ready.pop(self._index, None)
        if ready is not None and self._index > self._done_before * self.config.optimisation.steps_per_epoch:
            self._waited += max(0.0, ready - self._step_ended)
        self._index += 1
        self._step_ended = time.perf_counter()
        if self._bar is not None:
            self._bar.update()
            if batch % 10 == 0:
                self._bar.set_postfix(_short(logs) | self._best())

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Add the times of the training steps to the logs."""
        seconds = self._step_ended - self._started
        logs["seconds"] = seconds
        logs["examples_per_second"] = (
            self.config.optimisation.steps_per_epoch * self.config.optimisation.batch_size / seconds
        )
        logs["input_wait_share"] = self._waited / seconds

    def _best(self):
        if not self.history:
            return {}
        best = best_row(self.history)
        return {"best": f"{best['val_efficiency']:.3f}"} if np.isfinite(best["val_efficiency"]) else {}

    def say(self, epoch: int, logs: dict | None = None) -> None:
        """Print the line of a finished epoch, once its row is in the history: what it says is saved."""
        if self.shown and self.history and self.history[-1]["epoch"] == epoch + 1:
            self._bar.write(self._line(self.history[-1]))

    def _line(self, row):
        done, total = row["epoch"], self.config.epochs
        spent = time.perf_counter() - self._begun
        left = spent / max(1, done - self._done_before) * (total - done)
        phase = f"block {row['phase']:.0f}  " if "phase" in row else ""
        efficiency = f"detected {100 * row['val_efficiency']:5.1f} %  " if np.isfinite(row["val_efficiency"]) else ""
        best = "  best so far" if row is best_row(self.history) else ""
        return (
            f"epoch {done:{len(str(total))}d}/{total}  {phase}loss {row['loss']:.4f}  AUC {row['val_auc']:.4f}  "
            f"{efficiency}{row['examples_per_second']:.0f} examples/s  {left / 60:.1f} min left{best}"
        )

    def on_train_end(self, logs: dict | None = None) -> None:
        """Close the bar."""
        if self._bar is not None:
            self._bar.close()


def _short(logs):
    return {name: f"{value:.4f}" for name, value in (logs or {}).items() if name in ("loss", "auc")}
