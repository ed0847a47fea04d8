import keras
import numpy as np
import pytest

from keras_gw_resnet import build_model
from keras_gw_resnet.models.blocks import Style
from keras_gw_resnet.models.highway import highway_block
from tests.conftest import scores_of


def one_block(gate_bias, **style):
    inputs = keras.Input((64, 4))
    outputs = highway_block(
        inputs, kernel_size=3, gate_bias=gate_bias, style=Style(**style), position=1.0, name="block"
    )
    model = keras.Model(inputs, outputs)
    transformed = keras.Model(inputs, model.get_layer("block_transform_relu").output)
    strain = np.random.default_rng(0).normal(size=(3, 64, 4)).astype("float32")
    return model, scores_of(transformed, strain), strain


def test_gate_forced_shut_returns_the_input_to_the_bit():
    model, _, strain = one_block(-1e4)
    np.testing.assert_array_equal(scores_of(model, strain), strain)


def test_gate_forced_open_returns_the_transform_to_the_bit():
    model, transformed, strain = one_block(1e4)
    np.testing.assert_array_equal(scores_of(model, strain), transformed)


@pytest.mark.parametrize("style", [{}, {"stochastic_depth": 0.5}])
def test_output_lies_between_input_and_transform(style):
    model, transformed, strain = one_block(-1.0, **style)
    output = scores_of(model, strain)
    low, high = np.minimum(strain, transformed), np.maximum(strain, transformed)
    assert np.all((output >= low - 1e-5) & (output <= high + 1e-5))
    gate = (output - strain) / (transformed - strain)
    assert 0.05 < np.median(gate) < 0.5


def test_gates_begin_mostly_shut():
    model = build_model("highway20", width=4)
    gates = [layer for layer in model.layers if layer.name.endswith("_gate")]
    assert len(gates) == 15
    assert all(np.all(np.asarray(layer.bias) == -2.0) for layer in gates)
