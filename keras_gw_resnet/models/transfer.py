"""Hand weights from one network to another: of the same architecture, or one that is narrower or shallower."""

import math
import warnings
from pathlib import Path

import keras

from keras_gw_resnet.errors import InputError, first_line
from keras_gw_resnet.hdf5 import open_hdf5
from keras_gw_resnet.models.front import JOIN_LAYER, front_of, is_apart
from keras_gw_resnet.models.graph import positions_of
from keras_gw_resnet.models.graph_blocks import blocks_of, strides_before
from keras_gw_resnet.models.matched_filter import TEMPLATE_LAYERS
from keras_gw_resnet.models.ranking import RANKED_LAYERS
from keras_gw_resnet.models.weights import WEIGHTS, find_weights, load_keras_file

# Layers behind the features, which a network without its last layer may lack.
HEAD = ("crop_edges", "pool", "score")
# What of a layer's configuration decides what it does with its weights.
DECISIVE = (
    "kernel_size",
    "strides",
    "padding",
    "dilation_rate",
    "pool_size",
    "cropping",
    "groups",
    "scale",
)

# Layers that give copies of what they gave when they are given copies of what they took.
WIDENED = ("Conv1D", "Dense", "BatchNormalization", "GroupNormalization", "LayerNormalization")


def _signature(model, top):
    """List what the layers of a network do, as far as its weights depend on it; dropout leaves no trace in use, a ranking statistic is apart.

    A layer that takes every second sample counts as the stride of the convolution behind it.
    """
    own, before = [], strides_before(model)
    taking = {each.name for each in before.values()}
    for layer in model.layers:
        kind, config = type(layer).__name__, layer.get_config()
        if (
            kind in ("InputLayer", "Dropout")
            or layer.name in taking
            or (not top and layer.name in HEAD)
            or is_apart(layer.name)
        ):
            continue
        activation = "" if layer.name == "score" else config.get("activation", "")
        decisive = {name: str(config[name]) for name in DECISIVE if name in config}
        if layer.name in before:
            decisive["strides"] = str(before[layer.name].strides)
        own.append((layer.name, kind, activation, decisive, [w.shape for w in _weights(model, layer)]))
    return own


def _weights(model, layer):
    """Return the weights of a layer as arrays, without what the last one gives a ranking statistic."""
    own = layer.get_weights()
    if layer.name == "score" and any(each.name == JOIN_LAYER for each in model.layers):
        return [own[0][:, :-1], *own[1:]]
    return own


def take_weights(model: keras.Model, weights: Path | str) -> None:
    """Copy the weights of a saved network into one of the same architecture, and its input normalisation.

    A network without the last layer takes what is before it. One that pools logits of positions by log-sum-exp also takes
    the weights of one that averages features: each position begins as the average over it. One that is deeper by whole
    residual blocks takes the weights of the shallower one: the blocks it has more begin as the identity, so that it
    begins where the shallower one ended. So does one that is a whole number of times as wide, with as many copies of
    every channel (Net2DeeperNet and Net2WiderNet, arXiv 1511.05641). A `statistic_shortcut` keeps its own weight where the
    saved network has none, unless it has templates of its own, and is left out where this network has none.

    Args:
        model: `keras.Model`.
        weights: Path of a .keras file or its folder, the name of a saved network, or a .weights.h5 file, which is
            loaded into a network built alike.

    Raises:
        InputError: No such file or network, a damaged one, or another architecture.
    """
    path = find_weights(weights)
    if path.name.endswith(WEIGHTS):
        _load_weights(model, path)
        return
    saved = load_keras_file(path)
    _check_fronts(model, saved, path)
    copy_trained(model, saved, path)
    _take_statistic(model, saved)


def _load_weights(model, path):
    """Load a .weights.h5 file into a network that is built as the one it is of.

    Keras passes over what it does not find, with a warning at most: what was not loaded stays NaN, and is refused here.
    """
    with open_hdf5(path, f"weights, as keras.Model.save_weights writes them to a {WEIGHTS} file"):
        pass
    for weight in model.weights:
        weight.assign(keras.ops.full(weight.shape, math.nan, dtype=weight.dtype))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.load_weights(path)
        lacking = [weight.path for weight in model.weights if keras.ops.any(keras.ops.isnan(weight))]
        if lacking:
            raise ValueError(f"it holds nothing for {lacking[0]}")
    except Exception as error:  # whatever Keras and h5py find
        raise InputError(
            f"{path}: its weights do not fit {model.name} ({first_line(error)}); give the options of the network they are of"
        ) from error


def _check_fronts(model, saved, path):
    """Raise InputError where templates or a ranking statistic mean something else in a saved network."""
    own, known = front_of(model), front_of(saved)
    if own.templates and known.templates and own.template_stride != known.template_stride:
        raise InputError(
            f"{path}: its templates are tried every {known.template_stride} samples, those of {model.name} every "
            f"{own.template_stride}; give template_stride={known.template_stride} (--options.template_stride {known.template_stride})"
        )
    if own.statistic_shortcut and own.statistic_templates != known.statistic_templates:
        number = known.statistic_templates
        whose = (
            f"its ranking statistic has {number} templates of its own"
            if known.statistic_shortcut
            else "it has no statistic"
        )
        raise InputError(
            f"{path}: {whose}, that of {model.name} {own.statistic_templates}; expected weights of a network with as many, "
            f"or statistic_templates={number} (--options.statistic_templates {number})"
        )
    if own.statistic_shortcut and own.statistic_light != known.statistic_light:
        number = known.statistic_light
        raise InputError(
            f"{path}: its ranking statistic has {number} templates of light binaries, that of {model.name} {own.statistic_light}; "
            f"expected statistic_light={number} (--options.statistic_light {number})"
        )
    if own.statistic_templates and own.statistic_coherent != known.statistic_coherent:
        how, joins = ("powers", "phases"), known.statistic_coherent
        raise InputError(
            f"{path}: its ranking statistic adds up {how[joins]}, that of {model.name} {how[not joins]}; "
            f"expected statistic_coherent={joins} (--options.statistic_coherent {str(joins).lower()})"
        )


def _take_statistic(model, saved):
    """Copy the templates of its own that a ranking statistic has, and its weight."""
    names = [{layer.name for layer in network.layers} for network in (model, saved)]
    if not all(JOIN_LAYER in own for own in names):
        return
    for name in RANKED_LAYERS:
        if name in names[0]:
            model.get_layer(name).set_weights(saved.get_layer(name).get_weights())
    (kernel, bias), (known, _) = (network.get_layer("score").get_weights() for network in (model, saved))
    kernel[:, -1] = known[:, -1]
    model.get_layer("score").set_weights([kernel, bias])


def copy_trained(model: keras.Model, saved: keras.Model, path: Path | str = "weights") -> None:
    """Copy the weights that were trained, and the matched filter, from one network into another, which may be deeper or wider.

    Args:
        model: `keras.Model`.
        saved: Another.
        path: Where that is from, for messages.

    Raises:
        InputError: Another architecture.
    """
    top = any(layer.name == "score" for layer in model.layers)
    positions = positions_of(model) if top and positions_of(saved) is None else None
    own, other = _signature(model, top and not positions), _signature(saved, top and not positions)
    times = _times_wider(own, other, TEMPLATE_LAYERS)
    blocks = _blocks_more(model, saved)
    more = {layer.name for block in blocks for layer in block.layers}
    own = [entry for entry in own if entry[0] not in more]
    lights = [front_of(each).statistic_light for each in (model, saved)]
    if more or lights[0] != lights[1] or model.input_shape[-1] != saved.input_shape[-1]:
        # A deeper network, and one that ranks longer templates or more detectors, sees farther, and crops more features that saw padding.
        own, other = ([entry for entry in side if entry[0] != "crop_edges"] for side in (own, other))
    copies = [1 if name in TEMPLATE_LAYERS else times for name, *_ in own]
    differing = next((a[0] for a, b, n in zip(own, other, copies, strict=False) if not _fits(a, b, n)), None)
    if differing or len(own) != len(other):
        raise InputError(
            f"{path}: weights of another architecture ({saved.name}, {saved.count_params()} parameters; expected "
            f"{model.name}, {model.count_params()}); they differ first at {differing or 'the end'}"
        )
    for number, layer in enumerate(model.layers):
        if layer.name in more or is_apart(layer.name) or (positions and layer.name == "score"):
            continue
        if layer.weights:
            widened = _widened(_weights(saved, saved.get_layer(layer.name)), _weights(model, layer), number)
            layer.set_weights(_beside(layer, widened))
        if type(layer).__name__ == "Normalization":  # its mean and variance are no weights
            for name in ("input_mean", "input_variance", "mean", "variance"):
                setattr(layer, name, getattr(saved.get_layer(layer.name), name))
    if positions:
        kernel, bias = saved.get_layer("score").get_weights()
        kernel = kernel.repeat(times, axis=0) / times
        length = positions.kernel_size[0]
        kernel = (kernel[None] / length).repeat(length, axis=0)
        positions.set_weights(_beside(positions, [kernel, bias - math.log(positions.output.shape[1])]))
    for block in blocks:
        _begin_as_identity(block, path)


def _beside(layer, weights):
    """Return weights of a layer with its own for the channels that they lack: of a ranking statistic."""
    own = layer.get_weights()
    if own[0].shape == weights[0].shape:
        return weights
    own[0][:, : weights[0].shape[1]] = weights[0]
    return [own[0], *weights[1:]]


def _times_wider(own, other, fixed):
    """Say how many times as many features layers give as those of a saved network, at most; `fixed` layers do not count."""
    saved = {name: shapes for name, *_, shapes in other}
    pairs = [
        (shapes[0][-1], saved[name][0][-1])
        for name, *_, shapes in own
        if shapes and saved.get(name) and name not in fixed
    ]
    return max([1, *(wide // narrow for wide, narrow in pairs)])


def _fits(own, other, times):
    """Say whether a layer takes the weights of a saved one, with so many copies of every channel."""
    if own[1:-1] != other[1:-1] or len(own[-1]) != len(other[-1]):
        return False
    if own[-1] and own[0] != other[0]:  # layers without weights may be called anything
        return False
    if own[1] not in WIDENED:
        times = 1
    return all(
        len(a) == len(b) and all(length in (known, times * known) for length, known in zip(a, b, strict=True))
        for a, b in zip(own[-1], other[-1], strict=True)
    )


def _widened(saved, weights, seed):
    """Return weights of a saved layer with copies of every channel, as many as in `weights`, so that the layer gives copies of what it gave.

    What comes in is copied, too: it shares its weight among the copies, unevenly, so that these learn different things.
    """
    widened = []
    for known, own in zip(saved, weights, strict=True):
        array = known
        for axis, (length, wanted) in enumerate(zip(known.shape, own.shape, strict=True)):
            array = array.repeat(wanted // length, axis=axis)
        copies = own.shape[-2] // known.shape[-2] if known.ndim > 1 else 1
        if copies > 1:
            apart = keras.random.normal(array.shape, stddev=float(known.std()), dtype="float32", seed=seed)
            each = keras.ops.convert_to_numpy(apart).reshape(*array.shape[:-2], -1, copies, array.shape[-1])
            apart = (each - each.mean(axis=-2, keepdims=True)).reshape(array.shape)
            array = (array + apart) / copies
        widened.append(array)
    return widened


def _blocks_more(model, saved):
    """List the residual blocks that a network has and a saved one has not.

    A highway block is none of them: with its branch at zero it still passes on a gated share of what came in.
    """
    known = {layer.name for layer in saved.layers}
    return [
        block
        for block in blocks_of(model)
        if block.entry.shape == block.output.shape
        and block.kind == "residual"
        and not any(layer.name in known for layer in block.layers)
    ]


def _begin_as_identity(block, path):
    """Let the branch of a block give zeros: by its last norm, or by its last convolution where no norm follows it."""
    *_, last = [layer for layer in block.layers if layer.weights]
    kind = type(last).__name__
    if kind not in ("BatchNormalization", "GroupNormalization", "Conv1D"):
        raise InputError(f"{path}: {last.name} cannot begin as the identity; expected a residual block")
    last.set_weights([0 * last.get_weights()[0], *last.get_weights()[1:]])
