"""What a description tells of a network, worked out without building it, is what its graph has."""

import json

import keras
import pytest

from keras_gw_resnet import InputError, build_model
from keras_gw_resnet.models.front import Front
from keras_gw_resnet.models.graph import parts_of, read_parts
from keras_gw_resnet.models.parts import Parts, completed
from keras_gw_resnet.models.registry import describe_model, model_options
from keras_gw_resnet.zoo import load_model, save_model
from tests.models.test_every_model import LIGHTER_FIRST
from tests.test_zoo import CARD

FILTER = {"templates": 5, "template_samples": 300, "coincidence": True, "input_shape": (8192, 2)}
RANKED = {**FILTER, "pooling": "logsumexp", "head_kernel_size": 3, "statistic_shortcut": 0.5}
COHERENT = {**RANKED, "template_stride": 4, "statistic_templates": 3, "statistic_coherent": True}
CONSISTENT = {**COHERENT, "consistency": True}
THREE = {**CONSISTENT, "input_shape": (8192, 3)}


def variants(name):
    yield {}
    if "templates" in model_options(name):
        yield COHERENT if name == "resnet16" else RANKED
    if name in ("resnet16", "highway20"):
        yield from (THREE, {**THREE, "stack_detectors": 2, "statistic_light": 3}, {**FILTER, "stack_detectors": 1})
        yield from (FILTER, CONSISTENT, {"kernel_size": (7, 3, 5, 3), "dilation_rate": (1, 1, 2, 4)})
        yield from ({"normalization": "group"}, {"crop_edges": False}, {"pooling": "max"}, {"classes": 3})


@pytest.mark.parametrize("name", LIGHTER_FIRST)
def test_parts_are_those_of_the_graph(name):
    for options in variants(name):
        told, model = describe_model(name, width=4, **options), build_model(name, width=4, **options)
        assert model.parts == told == read_parts(model), options
        assert Parts.from_dict(json.loads(json.dumps(told.to_dict()))) == told


def test_what_follows_from_the_parts():
    parts = describe_model("resnet18", pooling="logsumexp", head_kernel_size=4)
    model = build_model("resnet18", width=4, pooling="logsumexp", head_kernel_size=4)
    assert parts.positions == model.get_layer("score").output.shape[1]
    assert parts.slides and parts.exact and parts.coalescence_offset is None
    assert describe_model("resnet18", templates=2, template_samples=512).coalescence_offset == 512 * 7 / 16
    assert not describe_model("gabbard2018").slides and not describe_model("aframe").exact


def test_a_description_builds_nothing(monkeypatch):
    monkeypatch.setattr(keras, "Input", None)
    assert describe_model("resnet152").field.samples == 1459
    with pytest.raises(InputError, match="no option nonsense"):
        describe_model("resnet152", nonsense=1)
    with pytest.raises(InputError, match="members"):
        describe_model("ensemble", members=["a", "b"])


def test_a_card_tells_the_parts_of_a_saved_network(tmp_path):
    model = build_model("resnet16", width=4)
    for name, card in (("named", {"model": "resnet16", "options": {"width": 4}}), ("own", {"model": "mine"})):
        save_model(model, {**CARD, "options": {}, **card}, tmp_path / name)
        loaded, _ = load_model(tmp_path / name)
        assert (loaded.parts is None) == (name == "own")
        assert parts_of(loaded) == model.parts
    # A card of another network is not believed.
    save_model(model, {**CARD, "model": "resnet152", "options": {}}, tmp_path / "other")
    assert parts_of(load_model(tmp_path / "other")[0]) == model.parts


def test_options_of_a_front_that_do_not_fit():
    assert Front().stride == 1 and Front(templates=3).stride == 8
    with pytest.raises(InputError, match="give statistic_shortcut too"):
        Front(templates=3, coincidence=True, statistic_templates=2)


def test_the_tolerance_of_tests_is_that_of_the_saved_graph_and_none_before_there_was_one():
    of_graph = {"front": {"consistency": True, "consistency_tolerance": 1.0}}
    assert completed({"options": {"consistency": True}, "parts": of_graph})["options"]["consistency_tolerance"] == 1.0
    before = completed({"options": {"consistency": True}, "parts": {"front": {"consistency": True}}})
    assert before["options"]["consistency_tolerance"] == before["parts"]["front"]["consistency_tolerance"] == 0.0
    assert "consistency_tolerance" not in completed({"options": {"width": 4}})["options"]
