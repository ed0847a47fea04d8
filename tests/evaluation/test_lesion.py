import json

import keras
import numpy as np
import pytest

from keras_gw_resnet import InputError, build_model
from keras_gw_resnet.evaluation.lesion import _lesioned, _swap, _take_out, lesions, units_of
from tests.conftest import run_command, settle_batch_norm

STRAIN = np.random.default_rng(0).standard_normal((4, 2048, 2), np.float32)


def outputs(model, *tensors):
    return [keras.ops.convert_to_numpy(t) for t in keras.Model(model.input, list(tensors))(STRAIN, training=False)]


@pytest.mark.parametrize(
    ("name", "options", "place"),
    [
        ("resnet18", {}, 1),
        ("resnet18", {"preactivation": True}, 1),
        ("resnet50", {"stochastic_depth": 0.2}, 2),
        ("highway20", {}, 5),
        ("plain18", {}, 2),
    ],
)
def test_what_is_taken_out_passes_its_input_on(name, options, place):
    model = build_model(name, width=4, **options)
    settle_batch_norm(model)
    unit = units_of(model)[place]
    entry = unit.layers[0].input
    last = unit.layers[-1].output if name != "plain18" else model.get_layer(f"{unit.name}_relu").output
    if options.get("preactivation"):
        entry, last = model.get_layer(f"{unit.name}_add").input[0], model.get_layer(f"{unit.name}_add").output
    before = outputs(model, last, model.output)
    with _lesioned([unit], lambda: _take_out(unit)):
        given, came, _ = outputs(model, entry, last, model.output)
        np.testing.assert_allclose(came, given, atol=1e-5)
    assert not np.allclose(before[0], given, atol=1e-3)
    for a, b in zip(before, outputs(model, last, model.output), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_dense_layer_that_is_taken_out_puts_zeros_beside_what_it_takes():
    model = build_model("densenet121", width=4)
    unit = units_of(model)[3]
    assert len(units_of(model)) == 58 and unit.name == "stage1_layer3"
    beside = unit.layers[-1].input[1]
    assert np.abs(outputs(model, beside)[0]).max() > 1e-3
    with _lesioned([unit], lambda: _take_out(unit)):
        assert not np.any(outputs(model, beside)[0])


def test_swapped_blocks_have_each_others_weights():
    model = build_model("resnet34", width=4)
    one, two = units_of(model)[4:6]
    mine = [w for layer in one.layers for w in layer.get_weights()]
    _swap(one, two)
    for a, b in zip(mine, [w for layer in two.layers for w in layer.get_weights()], strict=True):
        np.testing.assert_array_equal(a, b)


def test_every_block_is_left_out_and_every_equal_pair_swapped():
    found = lesions(build_model("resnet18", width=4), lambda: {"auc": 1.0})
    assert [row["kind"] for row in found] == ["none", *["dropped"] * 8, "swapped"]
    assert found[-1]["units"] == ["stage1_block0", "stage1_block1"]
    with pytest.raises(InputError, match="neither"):
        units_of(build_model("gabbard2018"))


def test_lesions_through_the_command_line(small_run, small_data, tmp_path):
    out = tmp_path / "lesions"
    command = ("evaluate.py", small_run, "--data", small_data, "--lesion", "--windows", 2000, "--output", out)
    result = run_command(*command)
    assert result.returncode == 0, result.stderr
    assert "stage4_block0" in result.stdout
    found = json.loads((out / "lesions.json").read_text())["tiny"]["lesions"]
    assert [row["kind"] for row in found] == ["none", *["dropped"] * 7, "swapped"]
    assert (out / "lesions.png").stat().st_size > 10000
