"""Train a network from a configuration."""

import time
from pathlib import Path

import keras

from keras_gw_resnet.backend import jit_compile
from keras_gw_resnet.errors import InputError
from keras_gw_resnet.models.registry import build_model
from keras_gw_resnet.training.checkpoint import EpochCheckpoint, last_checkpoint, load_checkpoint
from keras_gw_resnet.training.distribution import device_scope
from keras_gw_resnet.training.folder import claim_folder


def _compiled(config):
    keras.utils.set_random_seed(config.seed)
    input_shape = (config.window_samples, len(config.detectors))
    model = build_model(config.model, input_shape=input_shape, **config.options)
    schedule = keras.optimizers.schedules.CosineDecay(
        config.learning_rate, config.epochs * config.steps_per_epoch, 1e-2
    )
    model.compile(
        optimizer=keras.optimizers.Adam(schedule),
        loss=keras.losses.BinaryCrossentropy(from_logits=True),
        metrics=[
            keras.metrics.AUC(from_logits=True, name="auc"),
            keras.metrics.BinaryAccuracy(threshold=0.0, name="accuracy"),
        ],
        jit_compile=jit_compile(),
    )
    return model


def _feed(batches, first, count):
    """Wrap batches for Keras: tf.data under TensorFlow, a PyDataset under any other backend."""
    if keras.backend.backend() == "tensorflow":
        from keras_gw_resnet.datasets.tf_adapter import to_dataset

        return to_dataset(batches, first, count)
    from keras_gw_resnet.datasets.py_adapter import BatchSequence

    return BatchSequence(batches, first, count)


def fit(config, batches, out, *, devices, log_dir=None, overwrite=False, verbose=2):
    """Train, going on from the last epoch in `out` where there is one.

    Args:
        config: TrainingConfig.
        batches: Batches, from `load_batches`.
        out: Output folder, checked with `check_folder`.
        devices: Names from `prepare_devices`.
        log_dir: TensorBoard folder; None: `out`/logs.
        overwrite: Start afresh in a folder that holds a run.
        verbose: Of `keras.Model.fit`: 1 for progress bars, 2 for a line an epoch.

    Returns:
        Tuple (trained keras.Model, history as a list of dictionaries, seconds spent in this call).

    Raises:
        InputError: The loss diverged.
    """
    started, out = time.monotonic(), Path(out)
    checkpoints = out / "checkpoints"
    done, path = (0, None) if overwrite else last_checkpoint(checkpoints)
    with device_scope(devices):
        model, history = load_checkpoint(path) if path else (_compiled(config), [])
    claim_folder(config, out, overwrite)
    if done:
        print(f"going on after epoch {done} of {config.epochs}", flush=True)
    if done < config.epochs:
        steps = config.steps_per_epoch
        model.fit(
            _feed(batches.training, done * steps, (config.epochs - done) * steps),
            validation_data=_feed(batches.validation, 0, config.validation_batches),
            epochs=config.epochs,
            initial_epoch=done,
            steps_per_epoch=steps,
            shuffle=False,
            verbose=verbose,
            callbacks=[
                EpochCheckpoint(checkpoints, history),
                keras.callbacks.TensorBoard(log_dir or out / "logs", write_graph=False),
                keras.callbacks.TerminateOnNaN(),
            ],
        )
        if len(history) < config.epochs:
            raise InputError(
                f"{out}: the loss is no longer finite in epoch {len(history) + 1}; the checkpoint before it is kept; "
                f"start again with a --learning-rate below {config.learning_rate:g}"
            )
    return model, history, time.monotonic() - started
