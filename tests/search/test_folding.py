import keras
import numpy as np
import pytest
from keras import layers

from keras_gw_resnet import build_model
from keras_gw_resnet.search.folding import for_inference
from tests.conftest import settle_batch_norm


def norms(model):
    return sum(isinstance(layer, layers.BatchNormalization) for layer in model.layers)


@pytest.mark.parametrize(
    ("name", "options", "left"),
    [
        ("resnet18", {"dropout": 0.3}, 0),
        ("resnet50", {"stochastic_depth": 0.2}, 0),
        ("highway20", {}, 0),
        ("residual-cnn", {}, None),
        pytest.param("densenet121", {}, None, marks=pytest.mark.slow),
        ("stacked-mixed", {}, None),
    ],
)
def test_same_scores_with_fewer_layers(name, options, left):
    model = build_model(name, width=4, **options)
    settle_batch_norm(model)
    lean = for_inference(model)
    strain = np.random.default_rng(1).normal(size=(4, 2048, 2)).astype("float32")
    expected = model.predict(strain, verbose=0)
    assert expected.std() > 1e-3
    np.testing.assert_allclose(lean.predict(strain, verbose=0), expected, atol=2e-4 * max(1, np.abs(expected).max()))
    assert not any(isinstance(layer, layers.Dropout) for layer in lean.layers)
    # Pre-activation and dense blocks normalise before they convolve: those stay.
    assert norms(lean) == left if left is not None else norms(lean) <= norms(model)


def test_what_others_read_is_not_folded():
    inputs = keras.Input((64, 2))
    x = layers.Conv1D(3, 3, name="shared")(inputs)
    y = layers.Add()([layers.BatchNormalization()(x), x])
    squashed = layers.Conv1D(3, 3, activation="relu", name="squashed")(y)
    y = layers.BatchNormalization(center=False, scale=False)(squashed)
    y = layers.Conv1D(3, 3, use_bias=False, name="plain")(y)
    model = keras.Model(inputs, layers.BatchNormalization(scale=False, name="folded")(y))
    rng = np.random.default_rng(0)
    model.set_weights([rng.uniform(0.5, 1.5, w.shape) for w in model.get_weights()])
    lean = for_inference(model)
    assert norms(lean) == 2
    assert "folded" not in [layer.name for layer in lean.layers]
    strain = rng.normal(size=(2, 64, 2)).astype("float32")
    np.testing.assert_allclose(lean.predict(strain, verbose=0), model.predict(strain, verbose=0), rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "options"), [("resnet18", {}), ("highway20", {}), ("resnet16", {"templates": 4, "coincidence": True})]
)
def test_bfloat16_is_near(name, options):
    model = build_model(name, width=4, **options)
    settle_batch_norm(model)
    strain = np.random.default_rng(1).normal(size=(4, 2048, 2)).astype("float32")
    found = for_inference(model, precision="bfloat16").predict(strain, verbose=0)
    expected = model.predict(strain, verbose=0)
    assert 0 < np.abs(found.astype("float32") - expected).max() < 0.1 * np.abs(expected).max() + 0.05
