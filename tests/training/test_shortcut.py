import keras
import numpy as np

from keras_gw_resnet import build_model, load_model
from keras_gw_resnet.models.places import places_of
from tests.conftest import assert_refused, run_command, tiny_training

STEM = {
    "--options.templates": 4,
    "--options.template_samples": 256,
    "--options.coincidence": "true",
    "--options.pooling": "logsumexp",
    "--options.head_kernel_size": 4,
    "--statistic-shortcut": 0.5,
    "--dropout": 0,
}


def test_a_training_ends_with_the_shortcut(small_data, tmp_path):
    result = run_command("train.py", *tiny_training(small_data, tmp_path / "run", **STEM))
    assert result.returncode == 0, result.stderr
    model, card = load_model(str(tmp_path / "run"))
    # It is not trained, and what is saved and measured has it.
    assert places_of(model).get_weights()[0][:, -1, 0].tolist() == [0, 0, 0.5, 0]
    assert card["options"]["statistic_shortcut"] == 0.5 and "auc" in card["metrics"]["validation"]
    strain = np.random.default_rng(1).normal(size=(3, 2048, 2)).astype("float32")
    built = build_model(card["model"], **card["options"], weights=str(tmp_path / "run"))
    np.testing.assert_allclose(built.predict(strain), model.predict(strain), rtol=1e-5)
    bare = keras.saving.load_model(tmp_path / "run" / "model.keras", safe_mode=True)
    np.testing.assert_allclose(bare.predict(strain), model.predict(strain), rtol=1e-5)


def test_networks_that_cannot_have_it_are_refused(tmp_path):
    out = tmp_path / "run"
    result = run_command("train.py", *tiny_training("no-such-folder", out, **{"--statistic-shortcut": 0.5}))
    assert_refused(result, "statistic_shortcut=0.5", "no places")
    assert not out.exists()
