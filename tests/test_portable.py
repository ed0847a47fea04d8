"""Saved networks list each layer after its inputs, which Keras 3.6 needs, and score as before."""

import json
import zipfile

import keras
import numpy as np
import pytest

from keras_gw_resnet.models.weights import list_saved, saved_models_folder
from keras_gw_resnet.portable import inputs_first, make_portable


def too_late(node):
    """Return the layers of a configuration that come before one of their inputs, as (layer, input) pairs."""
    if isinstance(node, list):
        return [pair for each in node for pair in too_late(each)]
    if not isinstance(node, dict):
        return []
    found = [pair for value in node.values() for pair in too_late(value)]
    layers = node.get("layers", [])
    if any("inbound_nodes" in each for each in layers):
        place = {each["name"]: number for number, each in enumerate(layers)}
        for each in layers:
            for name in inputs_of(each["inbound_nodes"]):
                if place[name] > place[each["name"]]:
                    found.append((each["name"], name))
    return found


def inputs_of(node):
    if isinstance(node, dict) and "keras_history" in node:
        return [node["keras_history"][0]]
    values = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    return [name for each in values for name in inputs_of(each)]


def config_of(path):
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read("config.json"))


@pytest.mark.parametrize("name", list_saved())
def test_layers_of_shipped_networks_come_after_their_inputs(name):
    assert too_late(config_of(saved_models_folder() / name / "model.keras")) == []


def shared_at_several_depths():
    """Return a network whose first layer takes a second input that Keras lists last."""
    strain = keras.Input((8, 2))
    shared = keras.layers.Conv1D(3, 3, name="shared")
    first = keras.layers.Conv1D(4, 3)(keras.layers.ReLU()(shared(strain[:, :, :1])))
    second = shared(strain[:, :, 1:])
    return keras.Model(strain, keras.layers.Concatenate(axis=1)([keras.layers.Conv1D(3, 1)(first), second]))


def test_a_shared_layer_comes_after_all_its_inputs(tmp_path):
    model = shared_at_several_depths()
    path = tmp_path / "model.keras"
    model.save(path)
    shuffled = config_of(path)
    shuffled["config"]["layers"].reverse()
    assert too_late(shuffled)
    assert too_late(inputs_first(shuffled)) == []
    make_portable(path)
    assert too_late(config_of(path)) == []
    strain = np.random.default_rng(0).normal(size=(3, 8, 2)).astype("float32")
    np.testing.assert_array_equal(keras.saving.load_model(path)(strain), model(strain))


def test_layers_that_call_each_other_in_a_ring_are_kept(tmp_path):
    values = keras.Input((4,))
    one, two = keras.layers.Dense(4, name="one"), keras.layers.Dense(4, name="two")
    model = keras.Model(values, one(two(one(values))))
    path = tmp_path / "ring.keras"
    model.save(path)
    make_portable(path)
    given = np.ones((2, 4), "float32")
    np.testing.assert_array_equal(keras.saving.load_model(path)(given), model(given))
