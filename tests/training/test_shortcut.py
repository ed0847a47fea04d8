import csv

import keras
import numpy as np
import pytest

from keras_gw_resnet import build_model, load_model
from keras_gw_resnet.models.places import places_of
from keras_gw_resnet.training.config import TrainingConfig
from keras_gw_resnet.training.data import load_batches
from keras_gw_resnet.training.fit import _with_shortcut
from keras_gw_resnet.training.optimization import new_network
from keras_gw_resnet.training.templates import fill_templates
from keras_gw_resnet.training.validation import Validation, scorer
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
    assert card["options"]["statistic_shortcut"] == 0.5
    with (tmp_path / "run" / "history.csv").open() as file:
        kept = list(csv.DictReader(file))[card["training"]["epoch_kept"] - 1]
    assert card["metrics"]["validation"]["loss"] != pytest.approx(float(kept["val_loss"]), rel=1e-6)
    strain = np.random.default_rng(1).normal(size=(3, 2048, 2)).astype("float32")
    built = build_model(card["model"], **card["options"], weights=str(tmp_path / "run"))
    np.testing.assert_allclose(built.predict(strain), model.predict(strain), rtol=1e-5)
    bare = keras.saving.load_model(tmp_path / "run" / "model.keras", safe_mode=True)
    np.testing.assert_allclose(bare.predict(strain), model.predict(strain), rtol=1e-5)


def test_the_median_of_the_negatives_stays(small_data):
    few = {"validation_noise": 200, "validation_signals": 50, "false_alarm_probability": 0.05, "validation_batches": 4}
    options = {"width": 4, "templates": 4, "template_samples": 256, "coincidence": True, "pooling": "logsumexp"}
    found = {"data": str(small_data), "detectors": ("H1", "L1"), "window_samples": 2048, "batch_size": 16}
    config = TrainingConfig(model="resnet16", options=options, statistic_shortcut=0.5, **found, **few)
    batches = load_batches(config)
    model = new_network(config)
    fill_templates(model, batches, config)
    more, measured = _with_shortcut(model, batches, config)
    validation = Validation(batches, config, [])
    negatives = validation.strain[validation.label == 0]
    before, after = (network.predict(negatives, verbose=0)[:, 0] for network in (model, more))
    assert np.median(after) == pytest.approx(np.median(before), abs=1e-4) and np.std(after - before) > 0.1
    assert measured == pytest.approx(validation.measure(scorer(more)))


def test_networks_that_cannot_have_it_are_refused(tmp_path):
    out = tmp_path / "run"
    result = run_command("train.py", *tiny_training("no-such-folder", out, **{"--statistic-shortcut": 0.5}))
    assert_refused(result, "statistic_shortcut=0.5", "no places", "leave it out")
    assert not out.exists()
