"""Keras is started whatever the user's own configuration of it says."""

import json

import keras
import pytest

from keras_gw_resnet import build_model
from keras_gw_resnet.backend import load_keras
from tests.conftest import assert_refused, run_command


def configured(folder, settings):
    """Return the environment of a user with this ~/.keras/keras.json."""
    path = folder / ".keras" / "keras.json"
    path.parent.mkdir()
    path.write_text(json.dumps(settings))
    return path, {"HOME": str(folder), "KERAS_BACKEND": ""}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"backend": "theano"}, "set KERAS_BACKEND=tensorflow"),
        ({"backend": "torch"}, "torch cannot be imported"),
        ({"floatx": 7}, "floatx"),
    ],
)
def test_a_configuration_that_cannot_be_is_named(tmp_path, settings, said):
    if settings.get("backend") == "torch":
        try:
            import torch  # noqa: F401
        except ImportError:
            pass
        else:
            pytest.skip("TORCH PRESENT: this check did not run")
    path, environment = configured(tmp_path, settings)
    result = run_command("-m", "keras_gw_resnet", "models", "resnet16", env=environment)
    assert_refused(result, path, said)


@pytest.fixture
def channels_first():
    before, policy = (keras.config.image_data_format(), keras.config.floatx()), keras.config.dtype_policy()
    keras.config.set_image_data_format("channels_first")
    keras.config.set_floatx("float16")
    yield
    keras.config.set_image_data_format(before[0])
    keras.config.set_floatx(before[1])
    keras.config.set_dtype_policy(policy)


def test_channels_come_last_in_the_commands(channels_first):
    load_keras()
    assert keras.config.image_data_format() == "channels_last"
    assert keras.config.floatx() == "float32"


def test_channels_come_last_in_python(channels_first):
    formats = {layer.get_config().get("data_format") for layer in build_model("resnet16", width=4).layers}
    assert formats == {None, "channels_last"}
    assert keras.config.image_data_format() == "channels_first"


NARROW = """
import numpy as np, keras, tensorflow as tf
from keras_gw_resnet.models.blocks import Style
strain = keras.Input((512, 4))
layer = keras.Model(strain, Style().conv(strain, 8, 1, strides=2, name="conv"))
x = np.random.default_rng(0).normal(size=(16, 512, 4)).astype("float32")
weight = layer.trainable_variables[0]

@tf.function
def gradient():
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(x) ** 2)
    return tape.gradient(loss, weight.value)

kept = x[:, ::2].reshape(-1, 4).astype(float)
expected = 2 * kept.T @ (kept @ weight.numpy()[0])
np.testing.assert_allclose(gradient()[0], expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
"""


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow's oneDNN")
def test_narrow_networks_learn_what_they_should_without_avx512():
    result = run_command("-c", NARROW, env={"TF_ENABLE_ONEDNN_OPTS": "1", "ONEDNN_MAX_CPU_ISA": "AVX2"})
    assert result.returncode == 0, result.stderr
