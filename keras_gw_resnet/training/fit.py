"""Train a network from a configuration."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_gw_resnet.datasets.shard import Shard
from keras_gw_resnet.errors import InputError, LostProcessError, first_line
from keras_gw_resnet.files import written_aside
from keras_gw_resnet.models.heads import shift_logits
from keras_gw_resnet.models.transfer import copy_trained
from keras_gw_resnet.models.weights import load_archive
from keras_gw_resnet.training.checkpoint import EpochCheckpoint, last_checkpoint, load_checkpoint, out_of_patience
from keras_gw_resnet.training.distribution import leave, undistributed
from keras_gw_resnet.training.folder import CHECKPOINTS, claim_folder
from keras_gw_resnet.training.growth import network_of, phases_of
from keras_gw_resnet.training.light import bank_of_light, fill_light, weigh_light
from keras_gw_resnet.training.location import PositionBatches, gives_positions, mergers_for, score_alone
from keras_gw_resnet.training.optimization import compile_for_training, for_saving, for_training, whole_network
from keras_gw_resnet.training.progress import Progress, Timed
from keras_gw_resnet.training.templates import bank_without_spins, fill_statistic, fill_templates
from keras_gw_resnet.training.tensorboard import TensorBoardLog
from keras_gw_resnet.training.validation import HardSearch, Validation, averaged_weights, best_row, scorer

if TYPE_CHECKING:
    from keras_gw_resnet.training.config import TrainingConfig
    from keras_gw_resnet.training.data import Batches
    from keras_gw_resnet.training.distribution import Place

BEST, HARD = "best.keras", "hard.json"


def feed_of(batches: Any, first: int, count: int, ahead: int | None = None, *, fresh: bool = False) -> Any:
    """Wrap batches for Keras: tf.data under TensorFlow, a PyDataset under any other backend.

    At most `ahead` batches are made ahead, None: no matter. With `fresh` each epoch has the next `count` batches, and not the same again.
    """
    if keras.backend.backend() == "tensorflow":
        from keras_gw_resnet.datasets.tf_adapter import to_dataset

        return to_dataset(batches, first, count, ahead=ahead, fresh=fresh)
    from keras_gw_resnet.datasets.py_adapter import BatchSequence

    return BatchSequence(batches, first, count, ahead=ahead, fresh=fresh)


def fit(
    config: TrainingConfig,
    batches: Batches,
    out: Path | str,
    *,
    place: Place,
    log_dir: Path | str | None = None,
    overwrite: bool = False,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> tuple:
    """Train, going on from the last epoch in `out` where there is one.

    Args:
        config: TrainingConfig.
        batches: Batches, from `load_batches`.
        out: Output folder, checked with `check_folder`.
        place: Place, from `distribution.prepare`.
        log_dir: TensorBoard folder; None: `out`/logs.
        overwrite: Start afresh in a folder that holds a run.
        callbacks: More Keras callbacks.

    Returns:
        Tuple (keras.Model as it is to be saved, history as a list of dictionaries, the row of the epoch it is of).

    Raises:
        InputError: The loss diverged.
    """
    out = Path(out)
    checkpoints = out / CHECKPOINTS
    done, path = (0, None) if overwrite else last_checkpoint(checkpoints)
    model, history = None, []
    if path:
        with place.scope():
            model, history = load_checkpoint(path)
    # Whatever can fail does so before the first epoch.
    plain = bank_without_spins(batches, config) if config.ranking.templates and place.first else None
    light = bank_of_light(config) if config.ranking.light and place.first else None
    if done and config.negatives.hard_share and config.negatives.hard_windows:
        batches.training.hard.restore(checkpoints / HARD, done)
    if place.first:
        claim_folder(config, out, overwrite)
        if done:
            print(f"going on after epoch {done} of {config.epochs}", flush=True)
    for phase in phases_of(config):
        patience = config.metric.early_stopping if phase.final else 0
        if done >= phase.last or out_of_patience(history, patience):
            continue
        if model is None or done == phase.first:
            with place.scope():
                network = network_of(config, phase, model)
                if model is None and not config.network.options.get("weights"):
                    fill_templates(network, batches, config)
                model = for_training(network, config, place.replicas)
                compile_for_training(model, config, (phase.last - phase.first) * config.optimisation.steps_per_epoch)
        _fit_phase(model, config, batches, history, phase, patience, place, out, log_dir or out / "logs", callbacks)
        done = history[-1]["epoch"] if history else 0
    leave()
    if place.first and history:
        row = best_row(history) if config.metric.keep == "best" else history[-1]
        model = _result(model, config, checkpoints)
        if config.ranking.options():
            model, measured = _with_ranking(model, batches, config, plain, light)
            row = {**row, **measured}  # ty: ignore[invalid-argument-type]
        return model, history, row
    return model, history, history[-1] if history else {}


def _fit_phase(model, config, batches, history, phase, patience, place, out, log_dir, more):
    done, steps = len(history), config.optimisation.steps_per_epoch
    training = batches.training
    if gives_positions(model):
        mergers = mergers_for(score_alone(model), config)
        seconds = config.data.window_samples / config.data.whitening.sample_rate
        training = PositionBatches(training, mergers, config.signals.merger_tolerance / seconds)
    checkpoints, searches = out / CHECKPOINTS, []
    if config.negatives.hard_share and config.negatives.hard_windows:
        searches = [HardSearch(batches.training.hard, config.epochs, checkpoints / HARD if place.first else None)]
    timed = Timed(training if place.processes == 1 else Shard(training, place.process, place.processes))
    keeping = place.first and phase.final and config.metric.keep == "best"
    save_best = functools.partial(_save, checkpoints / BEST) if keeping else None
    validation = Validation(batches, config, history, phase=phase.number, save_best=save_best)
    progress = Progress(config, timed, history, place.first)
    callbacks = [*searches, progress, validation]
    if place.first:
        log = TensorBoardLog(log_dir, config, batches, validation)
        callbacks.append(log)
    try:
        model.fit(
            # Hard noise is found epoch by epoch: no batch is made before the search that it waits for.
            feed_of(timed, done * steps, (phase.last - done) * steps, ahead=steps if searches else None),
            epochs=phase.last,
            initial_epoch=done,
            steps_per_epoch=steps,
            shuffle=False,
            verbose=0,
            callbacks=[
                *callbacks,
                EpochCheckpoint(checkpoints if place.first else None, history, patience),
                keras.callbacks.LambdaCallback(on_epoch_end=progress.say),
                keras.callbacks.TerminateOnNaN(),
                *more,
            ],
        )
    except Exception as error:
        if timed.error is not None:  # what the backend made of it hides what was wrong with the data
            raise timed.error from None
        if place.processes > 1 and not isinstance(error, InputError | OSError):
            raise LostProcessError(
                f"{out}: another process is gone ({first_line(error)[:100]}); {len(history)} epochs are saved, "
                "start all processes again"
            ) from error
        raise
    if len(history) < phase.last and not out_of_patience(history, patience):
        raise InputError(
            f"{out}: the loss is no longer finite in epoch {len(history) + 1}; "
            f"{'the checkpoint before it is kept' if history else 'no epoch was finished'}; "
            f"start again in another --out with a --learning-rate below {config.optimisation.learning_rate:g}"
        )
    if place.first and phase.final:
        log.write_summary(history)


def _with_ranking(model, batches, config, plain=None, light=None):
    """Return the whole network, and how it does; the median score of the negatives stays what it was.

    `plain` is the bank for templates of the statistic's own, `light` that for those of light binaries.
    """
    validation = Validation(batches, config, [])
    more = whole_network(config)
    copy_trained(more, model)
    if plain is not None:
        fill_statistic(more, batches, config, plain)
    if light is not None:
        fill_light(more, batches, config, light)
    negatives, score = validation.strain[validation.label == 0], scorer(more)
    if light is not None:
        weigh_light(more, negatives)
    shift_logits(more, np.median(scorer(model)(negatives)) - np.median(score(negatives)))
    measured = validation.measure(score)
    if measured is None:
        raise InputError(
            f"--ranking.statistic {config.ranking.statistic}: the scores are no longer finite; leave it out"
        )
    return more, measured


def _save(path, model):
    with written_aside(path) as aside, undistributed():
        for_saving(model).save(aside)


def _result(model, config, checkpoints):
    if config.metric.keep == "best" and (checkpoints / BEST).exists():
        return load_archive(checkpoints / BEST)
    with averaged_weights(model):
        return for_saving(model)
