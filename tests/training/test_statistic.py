from dataclasses import replace
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from keras_gw_resnet.errors import InputError
from keras_gw_resnet.models.matched_filter import BASIS_LAYER, STRIDE
from keras_gw_resnet.models.ranking import OWN_LAYERS, OWN_STRIDE
from keras_gw_resnet.models.transfer import copy_trained
from keras_gw_resnet.training import templates
from keras_gw_resnet.training.config import TrainingConfig
from keras_gw_resnet.training.data import load_batches
from keras_gw_resnet.training.fit import _with_statistic
from keras_gw_resnet.training.optimization import new_network, whole_network
from keras_gw_resnet.training.templates import bank_without_spins, fill_statistic, fill_templates
from keras_gw_resnet.training.validation import Validation, scorer


@pytest.fixture(scope="module")
def config(small_data):
    few = {"validation_noise": 200, "validation_signals": 50, "false_alarm_probability": 0.05, "validation_batches": 4}
    options = {"width": 4, "templates": 4, "template_samples": 256, "coincidence": True, "pooling": "logsumexp"}
    found = {"data": str(small_data), "detectors": ("H1", "L1"), "window_samples": 2048, "batch_size": 16}
    return TrainingConfig.of(model="resnet16", options=options, statistic_shortcut=0.5, **found, **few)


@pytest.fixture(scope="module")
def batches(config):
    return load_batches(config)


@pytest.fixture(scope="module")
def model(config, batches):
    model = new_network(config)
    fill_templates(model, batches, config)
    return model


def test_the_median_of_the_negatives_stays(model, batches, config):
    more, measured = _with_statistic(model, batches, config)
    validation = Validation(batches, config, [])
    negatives = validation.strain[validation.label == 0]
    before, after = (network.predict(negatives, verbose=0)[:, 0] for network in (model, more))
    assert np.median(after) == pytest.approx(np.median(before), abs=1e-4) and np.std(after - before) > 0.1
    assert measured == pytest.approx(validation.measure(scorer(more)))


def test_templates_of_the_shortcut_are_binaries_without_spins(model, batches, config, monkeypatch):
    """They match such binaries better than as many that were made of the bank do."""
    monkeypatch.setattr(templates, "PLAIN", 60)
    monkeypatch.setattr(templates, "DRAWN", 4000)
    plain, own = bank_without_spins(batches, config), batches.training.signals.bank
    spins = [plain.parameters[f"spin{body}{axis}"] for body in (1, 2) for axis in "xyz"]
    assert len(plain) == 60 and not np.any(spins) and plain.hplus.shape[1] == own.hplus.shape[1]
    assert np.quantile(own.parameters["mass2"], 0.01) < plain.parameters["mass2"].min()
    assert plain.parameters["mass1"].max() <= own.parameters["mass1"].max()
    basis = np.asarray(keras.ops.convert_to_numpy(model.get_layer(BASIS_LAYER).kernel))[:, 0]
    seen = (
        templates.draw_signals(plain, batches.training.signals, batches.training.noise, 256, 9)[:, STRIDE:-STRIDE]
        @ basis
    )
    match = {}
    for name, bank in (("plain", plain), ("own", own)):
        more = whole_network(config.changed(statistic_templates=3))
        copy_trained(more, model)
        fill_statistic(more, batches, config, bank)
        in_phase, in_quadrature = (more.get_layer(layer).get_weights()[0][0] for layer in OWN_LAYERS)
        match[name] = np.hypot(seen @ in_phase, seen @ in_quadrature).max(axis=1).mean()
        assert in_phase.shape == (64, 3 * STRIDE // OWN_STRIDE)
        waves = np.stack([basis @ in_phase, basis @ in_quadrature])
        np.testing.assert_allclose(np.linalg.norm(waves, axis=1), 1, atol=0.02)
        np.testing.assert_allclose(np.einsum("st,st->t", *waves), 0, atol=0.02)
        # The second half are the first, tried so many samples later.
        np.testing.assert_allclose(waves[:, OWN_STRIDE:, 3:], waves[:, :-OWN_STRIDE, :3], atol=0.05)
    assert match["own"] < match["plain"] < 1


def test_a_bank_that_does_not_know_its_masses_is_refused(batches, config):
    signals = batches.training.signals
    known = {name: values for name, values in signals.bank.parameters.items() if name != "mass1"}
    unknown = SimpleNamespace(bank=replace(signals.bank, parameters=known))
    with pytest.raises(InputError, match=r"does not say 'mass1'.*--statistic-templates"):
        bank_without_spins(SimpleNamespace(training=SimpleNamespace(signals=unknown)), config)
