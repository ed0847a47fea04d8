"""What a saved network is made of, as plain values: read from its file without Keras, or from a Keras model."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from keras_gw_resnet.archives import WEIGHTS_MEMBER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import keras

    from keras_gw_resnet.models.parts import Parts
    from keras_gw_resnet.search.lean import Lean


@dataclass(frozen=True)
class Operation:
    """A layer or operation of a network, applied once.

    Attributes:
        kind: Its class in Keras.
        name: Its name.
        config: Its configuration, arguments that are defaults possibly left out.
        taken: Names of the operations whose outputs it takes; numbers stand for themselves.
        weights: Arrays, in the order of Keras.
    """

    kind: str
    name: str
    config: dict
    taken: tuple[str | float, ...]
    weights: list[np.ndarray]


@dataclass(frozen=True)
class Plan:
    """A functional network.

    Attributes:
        layers: Configuration of every layer, as Keras writes it, each after those it depends on.
        weights: Of each layer that has some, by name.
    """

    layers: list[dict]
    weights: dict[str, list[np.ndarray]]

    def operations(self, after: set[str], until: str) -> Iterator[Operation]:
        """Yield what leads from the outputs of some operations to the input of another, in order.

        Raises:
            ValueError: It depends on something else, or a layer on the way is applied twice.
        """
        given = {layer["name"]: layer for layer in self.layers}
        order, todo = set(), [*_taken(given[until])]
        while todo:
            name = todo.pop()
            if name in after or name in order or not isinstance(name, str):
                continue
            if name not in given or len(given[name]["inbound_nodes"]) != 1:
                raise ValueError(f"{name} is the input of the network, or is applied more than once")
            order.add(name)
            todo += _taken(given[name])
        for layer in self.layers:
            if layer["name"] in order:
                yield self._operation(layer)

    def reader(self, name: str) -> Operation | None:
        """Return the operation that takes the output of another; None where there are several, or none."""
        found = [layer for layer in self.layers if name in _taken(layer)]
        return self._operation(found[0]) if len(found) == 1 else None

    def _operation(self, layer):
        own = self.weights.get(layer["name"], [])
        return Operation(layer["class_name"], layer["name"], layer["config"], _taken(layer), own)


def _taken(layer):
    """List the names of the operations whose outputs a layer takes, and the numbers among its arguments, in order."""
    found, todo = [], [node["args"] for node in layer["inbound_nodes"]][::-1]
    while todo:
        value: Any = todo.pop(0)
        if isinstance(value, list | tuple):
            todo[:0] = value
        elif isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
            found.append(value["config"]["keras_history"][0])
        elif isinstance(value, float):
            found.append(value)
    return tuple(found)


def plan_in(path: Path | str) -> Plan | None:
    """Read the Plan of a network in a .keras file that was checked; None: it is no functional network, or its weights have no names."""
    with zipfile.ZipFile(path) as archive:
        config = json.loads(archive.read("config.json"))
        content = archive.read(WEIGHTS_MEMBER)
    if config.get("class_name") != "Functional":
        return None
    with h5py.File(io.BytesIO(content), "r") as file:
        weights = {}
        for group in file["layers"].values():
            own = group.get("vars")
            if own is not None and len(own) and "name" in own.attrs:
                weights[str(own.attrs["name"])] = [own[str(number)][...] for number in range(len(own))]
    return Plan(config["config"]["layers"], weights)


def plan_of(model: keras.Model) -> Plan | None:
    """Return the Plan of a Keras model; None: it is no functional network."""
    config = model.get_config()
    if "layers" not in config or "input_layers" not in config:
        return None
    plain = json.loads(json.dumps(config["layers"], default=list))
    return Plan(plain, {layer.name: layer.get_weights() for layer in model.layers})


@dataclass(frozen=True)
class SavedNetwork:
    """A saved network that is scanned without Keras.

    Attributes:
        name, input_shape, output_shape: As of the `keras.Model`.
        parts: Its Parts.
        lean: Lean.
        load: Returns the `keras.Model`.
    """

    name: str
    input_shape: tuple
    output_shape: tuple
    parts: Parts
    lean: Lean
    load: Callable
