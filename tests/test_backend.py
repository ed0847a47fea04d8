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


def test_channels_come_last_in_the_commands(channels_first, monkeypatch):
    # What a search asks of TensorFlow must not stay for the trainings of other tests in this process.
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    load_keras()
    assert keras.config.image_data_format() == "channels_last"
    assert keras.config.floatx() == "float32"


def test_channels_come_last_in_python(channels_first):
    formats = {layer.get_config().get("data_format") for layer in build_model("resnet16", width=4).layers}
    assert formats == {None, "channels_last"}
    assert keras.config.image_data_format() == "channels_first"
