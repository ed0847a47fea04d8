"""Weights of saved networks for networks built here."""

import hashlib
import json
import math
import os
import warnings
from pathlib import Path

from keras_gw_resnet.errors import InputError, first_line

# How the files end that `keras.Model.save_weights` writes.
WEIGHTS = ".weights.h5"
# Names for whichever saved network is the best of its kind.
ALIASES = {"flagship": "resnet18-w16-coherent"}


def saved_models_folder():
    """Return the folder of the networks that ship with the project."""
    return Path(os.environ.get("KERAS_GW_RESNET_SAVED_MODELS", Path(__file__).parents[2] / "saved_models"))


def list_saved():
    """List the names of the networks in `saved_models_folder()`."""
    return sorted(card.parent.name for card in saved_models_folder().glob("*/card.json"))


def find_model_file(name_or_path):
    """Return the model file of a saved network given its name, its folder, or the file itself.

    Raises:
        InputError: There is none.
    """
    path, name = Path(str(name_or_path)), ALIASES.get(str(name_or_path), str(name_or_path))
    for candidate in (path, path / "model.keras", saved_models_folder() / name / "model.keras"):
        if candidate.is_file() and candidate.suffix == ".keras":
            return candidate
    known = ", ".join(list_saved()) or "none"
    raise InputError(
        f"{name_or_path}: no saved network there (expected model.keras and card.json); by name there are: {known}"
    )


def find_weights(name_or_path):
    """Return the file that weights come from: a .weights.h5 file, or what `find_model_file` finds."""
    path = Path(str(name_or_path))
    return path if path.is_file() and path.name.endswith(WEIGHTS) else find_model_file(name_or_path)


def card_beside(path):
    """Return what the card beside a model file says, {} where there is none."""
    card = path.parent / "card.json"
    return json.loads(card.read_text()) if card.exists() else {}


def load_keras_file(path, expected_sha256=None):
    """Load a .keras file with safe_mode on, after checking its sha256.

    Args:
        path: pathlib.Path of the file.
        expected_sha256: None: that of the card beside the file, where there is one.

    Returns:
        `keras.Model`, not compiled.

    Raises:
        InputError: Another sha256, or a file that Keras cannot load.
    """
    import keras  # finding a network needs no Keras; loading does

    if expected_sha256 is None:
        expected_sha256 = card_beside(path).get("sha256")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if expected_sha256 is not None and found != expected_sha256:
        raise InputError(
            f"{path}: sha256 is {found[:12]}..., the card says {expected_sha256[:12]}...; "
            "the file was changed or damaged, fetch or train it again (if you trained it further: keras-gw-resnet adopt)"
        )
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except (ValueError, OSError, TypeError) as error:
        raise InputError(f"{path}: Keras cannot load it ({first_line(error)})") from error


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
    """List what the layers of a network do, as far as its weights depend on it; dropout leaves no trace in use."""
    own = []
    for layer in model.layers:
        kind, config = type(layer).__name__, layer.get_config()
        if kind in ("InputLayer", "Dropout") or (not top and layer.name in HEAD):
            continue
        activation = "" if layer.name == "score" else config.get("activation", "")
        decisive = {name: str(config[name]) for name in DECISIVE if name in config}
        own.append((layer.name, kind, activation, decisive, [tuple(w.shape) for w in layer.weights]))
    return own


def take_weights(model, weights):
    """Copy the weights of a saved network into one of the same architecture, and its input normalisation.

    A network without the last layer takes what is before it. One that pools logits of places by log-sum-exp also takes
    the weights of one that averages features: each place begins as the average over it. One that is deeper by whole
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
    # With Keras, which finding a network does not need.
    from keras_gw_resnet.models.shortcut import copy_head, without_shortcut

    path = find_weights(weights)
    if path.name.endswith(WEIGHTS):
        _load_weights(model, path)
        return
    saved, bare = load_keras_file(path), without_shortcut(model)
    _take(bare, without_shortcut(saved), path)
    if bare is not model:
        copy_head(bare, saved, model, path)


def _load_weights(model, path):
    """Load a .weights.h5 file into a network that is built as the one it is of.

    Keras passes over what it does not find, with a warning at most: what was not loaded stays NaN, and is refused here.
    """
    import keras

    for weight in model.weights:
        weight.assign(keras.ops.full_like(weight, math.nan))
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


def _take(model, saved, path):
    """Copy weights between networks without shortcuts."""
    from keras_gw_resnet.models.places import places_of
    from keras_gw_resnet.models.templates import TEMPLATE_LAYERS, has_templates, templates_of

    if has_templates(model) and has_templates(saved):
        (_, expected), (_, stride) = templates_of(model), templates_of(saved)
        if expected != stride:
            raise InputError(
                f"{path}: its templates are tried every {stride} samples, those of {model.name} every {expected}; "
                f"give template_stride={stride} (--options.template_stride {stride})"
            )
    top = any(layer.name == "score" for layer in model.layers)
    places = places_of(model) if top and places_of(saved) is None else None
    own, other = _signature(model, top and not places), _signature(saved, top and not places)
    times = _times_wider(own, other, TEMPLATE_LAYERS)
    blocks = _blocks_more(model, saved)
    more = {layer.name for block in blocks for layer in block}
    own = [entry for entry in own if entry[0] not in more]
    if more:  # a deeper network has a longer receptive field, and crops more features that saw padding
        own, other = ([entry for entry in side if entry[0] != "crop_edges"] for side in (own, other))
    copies = [1 if name in TEMPLATE_LAYERS else times for name, *_ in own]
    differing = next((a[0] for a, b, n in zip(own, other, copies, strict=False) if not _fits(a, b, n)), None)
    if differing or len(own) != len(other):
        raise InputError(
            f"{path}: weights of another architecture ({saved.name}, {saved.count_params()} parameters; expected "
            f"{model.name}, {model.count_params()}); they differ first at {differing or 'the end'}"
        )
    for number, layer in enumerate(model.layers):
        if layer.name in more or (places and layer.name == "score"):
            continue
        if layer.weights:
            layer.set_weights(_widened(saved.get_layer(layer.name), layer, number))
        if type(layer).__name__ == "Normalization":  # its mean and variance are no weights
            for name in ("input_mean", "input_variance", "mean", "variance"):
                setattr(layer, name, getattr(saved.get_layer(layer.name), name))
    if places:
        kernel, bias = saved.get_layer("score").get_weights()
        kernel = kernel.repeat(times, axis=0) / times
        length = places.kernel_size[0]
        places.set_weights([(kernel[None] / length).repeat(length, axis=0), bias - math.log(places.output.shape[1])])
    for block in blocks:
        _begin_as_identity(block, path)


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


def _widened(saved, layer, seed):
    """Return the weights of a saved layer with copies of every channel, so that the layer gives copies of what it gave.

    What comes in is copied, too: it shares its weight among the copies, unevenly, so that these learn different things.
    """
    import keras

    widened = []
    for known, own in zip(saved.get_weights(), layer.weights, strict=True):
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
    """List the residual blocks, as lists of layers, that a network has and a saved one has not.

    A highway block is none of them: with its branch at zero it still passes on a gated share of what came in.
    """
    from keras_gw_resnet.models.anatomy import blocks_of

    known, found = {layer.name for layer in saved.layers}, []
    for block in blocks_of(model):
        own = [layer for layer in model.layers if layer.name.startswith(f"{block.name}_")]
        gated = any(layer.name == f"{block.name}_carry" for layer in own)
        if not gated and block.entry.shape == block.output.shape and not any(layer.name in known for layer in own):
            found.append(own)
    return found


def _begin_as_identity(block, path):
    """Let the branch of a block give zeros: by its last norm, or by its last convolution where no norm follows it."""
    *_, last = [layer for layer in block if layer.weights]
    kind = type(last).__name__
    if kind not in ("BatchNormalization", "GroupNormalization", "Conv1D"):
        raise InputError(f"{path}: {last.name} cannot begin as the identity; expected a residual block")
    last.set_weights([0 * last.get_weights()[0], *last.get_weights()[1:]])
