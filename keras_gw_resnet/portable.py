"""What a .keras file holds, made such that older versions of Keras read it, and small."""

import inspect
import io
import json
import zipfile
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from keras_gw_resnet.archives import WEIGHTS_MEMBER
from keras_gw_resnet.files import written_aside

# Versions of Keras that load what `make_portable` wrote; tried with 3.6, 3.10, 3.13 and 3.15.1.
KERAS_RANGE = ">=3.6,<4"
DIGITS = 12
# Smaller arrays are not worth a chunk of their own.
LARGE_BYTES = 2048
# Arguments that a layer cannot be read without, though they have defaults.
NEEDED = {"Rescaling": {"offset"}}


@cache
def _class_of(module, name):
    """Return a class of Keras by its module and name; None for anything else, which is left as it is."""
    if not module or module.split(".")[0] != "keras":
        return None
    return getattr(import_module(module), name, None)


@cache
def _defaults(kind):
    """Return {argument: default} of the constructors of a class and of those that it inherits from."""
    found = {}
    for each in reversed(kind.__mro__):
        if "__init__" in vars(each) and each is not object:
            given = inspect.signature(each.__init__).parameters.values()
            found.update({one.name: one.default for one in given if one.default is not one.empty})
    return found


def without_defaults(node: Any) -> Any:
    """Return a configuration of Keras without arguments that are defaults, and without optimizers, losses and metrics.

    Older versions of Keras refuse the names of arguments that came later. Operations that are no layers leave out their
    `name`, too, which some of them did not take; the one that connections refer to stays.
    """
    if isinstance(node, list):
        return [without_defaults(each) for each in node]
    if not isinstance(node, dict):
        return node
    plain = {key: without_defaults(value) for key, value in node.items() if key != "compile_config"}
    kind = _class_of(node.get("module"), node.get("class_name"))
    if kind is None or not isinstance(node.get("config"), dict):
        return plain
    needed = NEEDED.get(node["class_name"], set())
    defaults = {name: value for name, value in _defaults(kind).items() if name not in needed}
    import keras

    if issubclass(kind, keras.Operation) and not issubclass(kind, keras.Layer):
        defaults = {**defaults, "name": node["config"].get("name")}
    if node["class_name"] == "Logsumexp" and isinstance(plain["config"].get("axis"), int):
        plain["config"]["axis"] = [plain["config"]["axis"]]  # until 3.10 a single number was refused
    plain["config"] = {
        key: value
        for key, value in plain["config"].items()
        if not (key in defaults and type(value) is type(defaults[key]) and value == defaults[key])
    }
    return plain


def inputs_first(node: Any) -> Any:
    """Return a configuration of Keras in which each layer of a graph comes after all layers that it takes input from.

    Keras 3.6 cannot read a shared layer one of whose inputs comes later in the list. Layers keep their order otherwise.
    """
    if isinstance(node, list):
        return [inputs_first(each) for each in node]
    if not isinstance(node, dict):
        return node
    node = {key: inputs_first(value) for key, value in node.items()}
    layers = node.get("layers")
    if not (isinstance(layers, list) and all("inbound_nodes" in each for each in layers)):
        return node
    names = {each["name"] for each in layers}
    waiting = {each["name"]: set(_layers_in(each["inbound_nodes"])) & names - {each["name"]} for each in layers}
    ordered, rest = [], layers
    while rest:
        # Layers that call each other in a ring have no such order: the first stays where it is.
        following = next((each for each in rest if not waiting[each["name"]]), rest[0])
        ordered.append(following)
        rest = [each for each in rest if each is not following]
        for needs in waiting.values():
            needs.discard(following["name"])
    return {**node, "layers": ordered}


def _layers_in(node):
    """Yield the names of the layers whose outputs a call takes."""
    if isinstance(node, dict) and node.get("class_name") == "__keras_tensor__":
        yield node["config"]["keras_history"][0]
    elif isinstance(node, dict | list):
        for each in node.values() if isinstance(node, dict) else node:
            yield from _layers_in(each)


def round_filters(model: Any) -> None:
    """Round kernels and templates of a matched filter, which are not trained, to `DIGITS` binary digits: compressed, they are a third smaller.

    The errors of single samples average out: scores change by some thousandths.
    """
    from keras_gw_resnet.models.matched_filter import BASIS_LAYER, TEMPLATE_LAYERS
    from keras_gw_resnet.models.ranking import FILTER_LAYERS

    for name in {BASIS_LAYER, *TEMPLATE_LAYERS, *FILTER_LAYERS} & {layer.name for layer in model.layers}:
        parts, unit = [np.frexp(weights) for weights in model.get_layer(name).get_weights()], 2.0**DIGITS
        rounded = [np.ldexp(np.round(mantissa * unit) / unit, power).astype("float32") for mantissa, power in parts]
        model.get_layer(name).set_weights(rounded)


def make_portable(path: Path | str) -> None:
    """Rewrite a .keras file in place: the same layers and weights, for Keras from 3.6 on, and compressed.

    HDF5 leaves much of such a file empty, more than half in a deep network. First bytes of numbers are much alike; beside each other they
    take little.
    """
    with zipfile.ZipFile(path) as archive:
        members = {member.filename: archive.read(member) for member in archive.infolist()}
    config = inputs_first(without_defaults(json.loads(members["config.json"])))
    members["config.json"] = json.dumps(config).encode()
    members[WEIGHTS_MEMBER] = _shuffled(members[WEIGHTS_MEMBER])
    with written_aside(path) as aside, zipfile.ZipFile(aside, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def _shuffled(content):
    """Return an HDF5 file, bytes, with the first bytes of all numbers of an array before the second ones, and so on (HDF5's shuffle)."""
    memory = io.BytesIO()
    with h5py.File(io.BytesIO(content)) as source, h5py.File(memory, "w") as target:

        def copy(name, own):
            if isinstance(own, h5py.Dataset):
                large = own.ndim and own.nbytes >= LARGE_BYTES
                made = target.create_dataset(
                    name, data=own[()], chunks=own.shape if large else None, shuffle=large or None
                )
            else:
                made = target.require_group(name)
            made.attrs.update(own.attrs)

        target.attrs.update(source.attrs)
        source.visititems(copy)
    return memory.getvalue()
