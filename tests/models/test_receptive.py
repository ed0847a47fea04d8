import keras
import numpy as np
import pytest
from keras import layers

from keras_gw_resnet import build_model
from keras_gw_resnet.models.graph import receptive_field
from tests.conftest import scores_of, settle_batch_norm


@pytest.mark.parametrize(
    ("name", "dilation_rate"), [("resnet16", 1), ("resnet34", 1), ("resnet50", 1), ("resnet18", (1, 2, 1, 4))]
)
def test_field_is_what_the_features_answer_to(name, dilation_rate):
    keras.utils.set_random_seed(1)  # with some weights a ReLU hides the outermost samples
    model = build_model(name, width=4, crop_edges=False, input_shape=(4096, 1), dilation_rate=dilation_rate)
    features = keras.Model(model.input, model.get_layer("pool").input)
    settle_batch_norm(model)
    field = receptive_field(features.input, features.output)
    quiet = np.random.default_rng(0).normal(size=(1, 4096, 1)).astype("float32")
    index = 4096 // field.stride // 2
    reference = scores_of(features, quiet)[0, index]

    def answers(sample):
        changed = quiet.copy()
        changed[0, sample] += 1e3
        return np.abs(scores_of(features, changed)[0, index] - reference).max() > 0

    first, last = index * field.stride - field.left, index * field.stride + field.right
    assert not answers(first - 1)
    assert not answers(last + 1)
    # The outermost samples act through single weights, which a ReLU may hide: look at a few of them.
    assert any(answers(first + i) for i in range(8))
    assert any(answers(last - i) for i in range(8))


@pytest.mark.parametrize(("name", "dilation_rate"), [("resnet18", 1), ("resnet101", 1), ("residual-cnn", (1, 1, 3, 2))])
def test_features_away_from_the_padding_do_not_know_the_edge(name, dilation_rate):
    keras.utils.set_random_seed(1)
    model = build_model(name, width=4, crop_edges=False, input_shape=(None, 2), dilation_rate=dilation_rate)
    settle_batch_norm(model)
    features = keras.Model(model.input, model.get_layer("pool").input)
    field = receptive_field(features.input, features.output)
    left, right = field.padded_features
    strain = np.random.default_rng(0).normal(size=(1, 8192, 2)).astype("float32")
    whole = scores_of(features, strain)[0]
    part = scores_of(features, strain[:, 2048:6144])[0]
    offset = 2048 // field.stride
    inside = slice(left, len(part) - right)
    # Through a hundred layers processors round differently, by up to 1.5e-4 of the largest feature.
    rounding = 3e-4 * np.abs(whole).max()
    np.testing.assert_allclose(part[inside], whole[offset : offset + len(part)][inside], atol=rounding)
    assert np.abs(part[0] - whole[offset]).max() > 10 * rounding


def test_what_is_shifted_sees_later_samples_or_earlier_ones():
    inputs = keras.Input((64, 1))
    padded = layers.ZeroPadding1D((2, 2))(layers.Conv1D(1, 4, strides=4, use_bias=False)(inputs))
    field = receptive_field(
        inputs, layers.Add()([layers.Cropping1D((0, 4))(padded), layers.Cropping1D((3, 1))(padded)])
    )
    # The first is two features earlier, the second one later.
    assert (field.stride, field.left, field.right) == (4, 8, 7)


def test_layers_that_are_not_local_are_refused():
    inputs = keras.Input((64, 2))
    with pytest.raises(ValueError, match="not known"):
        receptive_field(inputs, layers.LSTM(3, return_sequences=True)(inputs))
