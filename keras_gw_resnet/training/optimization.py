"""The network of a run, and how its weights move."""

import keras
from keras import layers, optimizers

from keras_gw_resnet.backend import jit_compile
from keras_gw_resnet.models.places import places_of
from keras_gw_resnet.models.registry import build_model, model_options
from keras_gw_resnet.models.templates import stem_layers
from keras_gw_resnet.training.location import (
    LocatedCrossentropy,
    ScoreAccuracy,
    ScoreAUC,
    is_located,
    located,
    without_places,
)

LOWEST_SHARE = 1e-2
MOMENTUM = 0.9


def new_network(config):
    """Build the network of a TrainingConfig, with weights that follow from its seed."""
    keras.utils.set_random_seed(config.seed)
    input_shape = (config.window_samples, len(config.detectors))
    options = dict(config.options)
    if options.get("weights") and "statistic_shortcut" in model_options(config.model):
        options.setdefault("statistic_shortcut", 0.0)  # the training adds it at its end
    return build_model(config.model, input_shape=input_shape, **options)


def learning_rate(config, steps):
    """Return the learning rate as a number or a schedule over so many steps."""
    warmup = config.warmup_epochs * config.steps_per_epoch
    if config.schedule == "constant" and not warmup:
        return config.learning_rate
    alpha = LOWEST_SHARE if config.schedule == "cosine" else 1.0
    if not warmup:
        return optimizers.schedules.CosineDecay(config.learning_rate, steps, alpha)
    return optimizers.schedules.CosineDecay(
        0.0, steps - warmup, alpha, warmup_target=config.learning_rate, warmup_steps=warmup
    )


def optimizer(config, steps):
    """Return the optimizer of a TrainingConfig for so many steps."""
    options = {
        "learning_rate": learning_rate(config, steps),
        "global_clipnorm": config.gradient_clip or None,
        "use_ema": config.weight_averaging > 0,
        "ema_momentum": config.weight_averaging or 0.99,
    }
    if config.optimizer == "adam":
        plain = optimizers.Adam(**options)
    elif config.optimizer == "adamw":
        plain = optimizers.AdamW(weight_decay=config.weight_decay, **options)
    else:
        plain = optimizers.SGD(momentum=MOMENTUM, nesterov=True, weight_decay=config.weight_decay or None, **options)
    # Small gradients would vanish in float16.
    return optimizers.LossScaleOptimizer(plain) if config.precision == "float16" else plain


def compile_for_training(network, config, steps):
    """Compile a network with loss, metrics and the optimizer of a TrainingConfig."""
    if is_located(network):
        loss, area, accuracy = LocatedCrossentropy(), ScoreAUC, ScoreAccuracy
    else:
        loss = keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=config.label_smoothing)
        area, accuracy = keras.metrics.AUC, keras.metrics.BinaryAccuracy
    network.compile(
        optimizer=optimizer(config, steps),
        loss=loss,
        metrics=[area(from_logits=True, name="auc"), accuracy(threshold=0.0, name="accuracy")],
        jit_compile=jit_compile(),
    )


def for_training(network, config, replicas):
    """Return the network as it trains: in the precision asked for, with batch norm over all replicas, located if asked for.

    The last layer stays in float32, since ranking needs its resolution, and so does a stem of templates.
    """
    mixed = config.precision != "float32"
    copy = _copy(network, f"mixed_{config.precision}" if mixed else keras.config.floatx(), replicas > 1)
    # While a training grows, the networks before the last have no places.
    return located(copy) if config.merger_tolerance and places_of(copy) else copy


def for_saving(network):
    """Return a trained network as it is saved: float32, for one device."""
    network = without_places(network) if is_located(network) else network
    return _copy(network, keras.config.floatx(), False)


def _copy(network, dtype, synchronized):
    precise = stem_layers(network) | {network.layers[-1].name}

    def changed(layer):
        config = layer.get_config()
        if "dtype" in config:
            config["dtype"] = keras.config.floatx() if layer.name in precise else dtype
        if isinstance(layer, layers.BatchNormalization):
            config["synchronized"] = synchronized
        return type(layer).from_config(config)

    copy = keras.models.clone_model(network, clone_function=changed, recursive=True)
    copy.set_weights(network.get_weights())
    return copy
