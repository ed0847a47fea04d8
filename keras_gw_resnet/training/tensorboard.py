"""What TensorBoard shows of a run."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import TYPE_CHECKING

import keras
import numpy as np
import yaml
from scipy.special import expit

from keras_gw_resnet.evaluation.tensorboard_file import TensorBoardFile
from keras_gw_resnet.evaluation.window_plots import draw_examples, draw_training
from keras_gw_resnet.models.graph_blocks import blocks_of
from keras_gw_resnet.training.names import fields_of
from keras_gw_resnet.training.validation import best_row, local_weights

if TYPE_CHECKING:
    from keras_gw_resnet.training.config import TrainingConfig
    from keras_gw_resnet.training.data import Batches
    from keras_gw_resnet.training.validation import Validation

# Pictures, curves and histograms are drawn at the first and last epoch and every so often between.
PICTURES_EVERY = 5
EXAMPLES_SHOWN = 6
PROBE_WINDOWS = 64
SNR_BINS = 4


class TensorBoardLog(keras.callbacks.Callback):
    """Write scalars every epoch, and curves, pictures and histograms now and then.

    Args:
        folder: Of the run; it gets the folders train and validation.
        config: TrainingConfig.
        batches: `training.data.Batches`.
        validation: Validation callback, which runs before this one.
    """

    def __init__(self, folder: Path | str, config: TrainingConfig, batches: Batches, validation: Validation) -> None:
        super().__init__()
        self.folder, self.config, self.batches, self.validation = Path(folder), config, batches, validation
        self._train, self._held_out = (
            TensorBoardFile(self.folder / "train"),
            TensorBoardFile(self.folder / "validation"),
        )
        self._probe = None

    def set_model(self, model: keras.Model) -> None:
        """Take the model of the fit, and show its graph and the configuration."""
        super().set_model(model)
        blocks = blocks_of(model)
        if blocks:
            self._names = [b.name for b in blocks]
            self._probe = keras.Model(model.input, [t for b in blocks for t in (b.entry, b.branch)])
        self._train.graph(model)
        self._train.text("configuration", f"```yaml\n{yaml.safe_dump(self.config.to_dict(), sort_keys=False)}```")

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Write what is known of the epoch, unless the training has diverged."""
        if not np.isfinite(logs["loss"]):
            return
        for metric, value in logs.items():
            run = self._held_out if metric.startswith("val_") else self._train
            if np.isfinite(value):
                run.scalar(f"epoch_{metric.removeprefix('val_')}", value, epoch)
        steps = (epoch + 1) * self.config.optimisation.steps_per_epoch
        rate = self.model.optimizer.learning_rate
        self._train.scalar("learning_rate", float(keras.ops.convert_to_numpy(rate)), epoch)
        if self.batches.held_out_bank is not None:
            snr = self.config.signals.snr_range_at(steps - 1, self.config.optimisation.steps_per_epoch)
            for name, value in zip(("snr_low", "snr_high"), snr, strict=True):
                self._train.scalar(name, value, epoch)
        self._write_efficiency(epoch)
        if epoch % PICTURES_EVERY == 0 or epoch + 1 == self.config.epochs:
            self._write_pictures(epoch)

    def _write_efficiency(self, epoch):
        """Write the detected fraction in each part of the SNR range, at the metric's false-alarm probability."""
        score, snr = self.validation.scores, np.where(self.validation.label == 1, self.validation.snr, np.nan)
        if not np.isfinite(self.validation.threshold) or not np.any(np.isfinite(snr)):
            return
        edges = np.linspace(*self.config.signals.snr_range, SNR_BINS + 1)
        for low, high in itertools.pairwise(edges):
            inside = (snr >= low) & (snr <= high)
            if np.any(inside):
                detected = np.mean(score[inside] >= self.validation.threshold)
                self._held_out.scalar(f"efficiency_by_snr/{low:.1f}-{high:.1f}", detected, epoch)

    def _write_pictures(self, epoch):
        scores, signal, snr = self.validation.scores, self.validation.label == 1, self.validation.snr
        self._held_out.precision_recall("precision_recall", expit(scores.astype(float)), signal, epoch)
        self._held_out.picture("curves", draw_training(scores, signal, snr, self.validation.threshold), epoch)
        shown = slice(0, EXAMPLES_SHOWN)
        titles = [
            f"label {int(is_signal)}{'' if np.isnan(s) or not is_signal else f', SNR {s:.1f}'}\nscore {score:.1f}"
            for is_signal, s, score in zip(signal[shown], snr[shown], scores[shown], strict=True)
        ]
        rate, title = self.config.data.whitening.sample_rate, f"validation windows after epoch {epoch + 1}"
        figure = draw_examples(self.validation.strain[shown], titles, self.config.data.detectors, rate, title)  # ty: ignore[invalid-argument-type]
        self._held_out.picture("examples", figure, epoch)
        for variable in self.model.trainable_variables:
            self._train.histogram(variable.path, keras.ops.convert_to_numpy(variable.value), epoch)
        self._write_fill(epoch)

    def _write_fill(self, epoch):
        """Write how full each block is: the norm of its branch over the norm of its input, for noise and signals."""
        if self._probe is None:
            return
        found = iter(forward(self._probe, self.validation.strain[:PROBE_WINDOWS]))
        for name, entry, branch in zip(self._names, found, found, strict=True):
            fill = np.linalg.norm(np.asarray(branch, float)) / max(np.linalg.norm(np.asarray(entry, float)), 1e-12)
            self._train.scalar(f"block_fill/{name}", fill, epoch)

    def on_train_end(self, logs: dict | None = None) -> None:
        """Close the files."""
        self._train.close()
        self._held_out.close()

    def write_summary(self, history: list[dict]) -> None:
        """Let runs be compared in a table: the configuration beside the metrics of the best epoch."""
        from tensorboard.plugins.hparams import api, summary_v2

        best = best_row(history)
        run = TensorBoardFile(self.folder)
        flat = {
            name: v if isinstance(v, int | float | bool | str) else json.dumps(v)
            for name, v in fields_of(self.config.to_dict())
        }
        metrics = [api.Metric(f"best_{name}") for name in ("val_efficiency", "val_auc", "val_loss")]
        run.add(summary_v2.hparams_config_pb([api.HParam(name) for name in flat], metrics))
        run.add(summary_v2.hparams_pb(flat, trial_id=str(self.folder.absolute())))
        for name in ("val_efficiency", "val_auc", "val_loss"):
            if np.isfinite(best[name]):
                run.scalar(f"best_{name}", best[name], best["epoch"])
        run.close()


def forward(model: keras.Model, strain: np.ndarray) -> list[np.ndarray]:
    """Return the outputs of a model for a batch of strain as NumPy arrays, computed by this process alone."""
    if keras.backend.backend() != "jax":
        return [keras.ops.convert_to_numpy(t) for t in model(strain, training=False)]
    return [np.asarray(t) for t in model.stateless_call(*local_weights(model), strain, training=False)[0]]
