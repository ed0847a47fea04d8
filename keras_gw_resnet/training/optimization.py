"""The network of a run, and how its weights move."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
from keras import layers, optimizers

from keras_gw_resnet.backend import jit_compile
from keras_gw_resnet.errors import InputError
from keras_gw_resnet.models.front import front_layers
from keras_gw_resnet.models.graph import parts_of
from keras_gw_resnet.models.network import as_saved
from keras_gw_resnet.models.registry import build_model, model_options
from keras_gw_resnet.training.location import (
    PositionCrossentropy,
    ScoreAccuracy,
    ScoreAUC,
    gives_positions,
    score_alone,
    with_positions,
)

if TYPE_CHECKING:
    from keras_gw_resnet.training.config import TrainingConfig

LOWEST_SHARE = 1e-2
MOMENTUM = 0.9


def new_network(config: TrainingConfig) -> keras.Model:
    """Build the network of a TrainingConfig that is trained, with weights that follow from its seed."""
    keras.utils.set_random_seed(config.seed)
    options = dict(config.network.options)
    if options.get("weights") and "statistic_shortcut" in model_options(config.network.model):
        options.setdefault("statistic_shortcut", 0.0)  # the training adds it at its end
    return _build(config, options)


def whole_network(config: TrainingConfig) -> keras.Model:
    """Build the network of a TrainingConfig that is saved: that which is trained, with what is ranked beside it.

    Raises:
        InputError: The network cannot have it, or has it already.
    """
    options, ranked = config.network.options, config.ranking.options()
    if not ranked:
        return _build(config, options)
    if options.get("statistic_shortcut"):
        raise InputError(
            f"statistic_shortcut={config.ranking.statistic}: {config.network.model} ranks that already; leave one out"
        )
    with as_saved(config.network.model, {**options, **ranked}) as given:
        # What it begins with has been trained on since.
        return _build(config, {**given, "weights": None})


def _build(config, options):
    shape = (config.data.window_samples, len(config.data.detectors))
    return build_model(config.network.model, **{**options, "input_shape": shape})


def learning_rate(config: TrainingConfig, steps: int) -> Any:
    """Return the learning rate as a number or a schedule over so many steps."""
    warmup = config.optimisation.warmup_epochs * config.optimisation.steps_per_epoch
    if config.optimisation.schedule == "constant" and not warmup:
        return config.optimisation.learning_rate
    alpha = LOWEST_SHARE if config.optimisation.schedule == "cosine" else 1.0
    if not warmup:
        return optimizers.schedules.CosineDecay(config.optimisation.learning_rate, steps, alpha)
    return optimizers.schedules.CosineDecay(
        0.0, steps - warmup, alpha, warmup_target=config.optimisation.learning_rate, warmup_steps=warmup
    )


def optimizer(config: TrainingConfig, steps: int) -> keras.optimizers.Optimizer:
    """Return the optimizer of a TrainingConfig for so many steps."""
    options = {
        "learning_rate": learning_rate(config, steps),
        "global_clipnorm": config.optimisation.gradient_clip or None,
        "use_ema": config.optimisation.weight_averaging > 0,
        "ema_momentum": config.optimisation.weight_averaging or 0.99,
    }
    if config.optimisation.optimizer == "adam":
        plain = optimizers.Adam(**options)
    elif config.optimisation.optimizer == "adamw":
        plain = optimizers.AdamW(weight_decay=config.optimisation.weight_decay, **options)
    else:
        plain = optimizers.SGD(
            momentum=MOMENTUM, nesterov=True, weight_decay=config.optimisation.weight_decay or None, **options
        )
    # Small gradients would vanish in float16.
    return optimizers.LossScaleOptimizer(plain) if config.devices.precision == "float16" else plain


def compile_for_training(network: keras.Model, config: TrainingConfig, steps: int) -> None:
    """Compile a network with loss, metrics and the optimizer of a TrainingConfig."""
    if gives_positions(network):
        loss, area, accuracy = PositionCrossentropy(), ScoreAUC, ScoreAccuracy
    else:
        loss = keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=config.optimisation.label_smoothing)
        area, accuracy = keras.metrics.AUC, keras.metrics.BinaryAccuracy
    network.compile(
        optimizer=optimizer(config, steps),
        loss=loss,
        metrics=[area(from_logits=True, name="auc"), accuracy(threshold=0.0, name="accuracy")],
        jit_compile=jit_compile(),
    )


def for_training(network: keras.Model, config: TrainingConfig, replicas: int) -> keras.Model:
    """Return the network as it trains: in the precision asked for, with batch norm over all replicas, with its positions if asked for.

    The last layer stays in float32, since ranking needs its resolution, and so does a matched filter.
    """
    mixed = config.devices.precision != "float32"
    copy = _copy(network, f"mixed_{config.devices.precision}" if mixed else keras.config.floatx(), replicas > 1)
    # While a training grows, the networks before the last have no positions.
    return with_positions(copy) if config.signals.merger_tolerance and parts_of(copy).head == "positions" else copy


def for_saving(network: keras.Model) -> keras.Model:
    """Return a trained network as it is saved: float32, for one device."""
    network = score_alone(network) if gives_positions(network) else network
    return _copy(network, keras.config.floatx(), False)


def _copy(network, dtype, synchronized):
    precise = front_layers(network) | {network.layers[-1].name}

    def changed(layer):
        config = layer.get_config()
        if "dtype" in config:
            config["dtype"] = keras.config.floatx() if layer.name in precise else dtype
        if isinstance(layer, layers.BatchNormalization):
            config["synchronized"] = synchronized
        return type(layer).from_config(config)

    copy = keras.models.clone_model(network, clone_function=changed, recursive=True)
    copy.set_weights(network.get_weights())
    copy.parts = parts_of(network)
    return copy
