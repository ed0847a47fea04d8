from dataclasses import replace
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from keras_gw_resnet.errors import InputError
from keras_gw_resnet.models.graph import parts_of
from keras_gw_resnet.models.matched_filter import BASIS_LAYER, STRIDE
from keras_gw_resnet.models.parts import Parts
from keras_gw_resnet.models.ranking import (
    EARLY_BASIS_LAYER,
    LIGHT,
    LIGHT_BASIS_LAYER,
    OWN_LAYERS,
    OWN_STRIDE,
    STATISTIC,
)
from keras_gw_resnet.models.transfer import copy_trained
from keras_gw_resnet.training import templates
from keras_gw_resnet.training.config import TrainingConfig
from keras_gw_resnet.training.data import load_batches
from keras_gw_resnet.training.fit import _with_ranking
from keras_gw_resnet.training.light import BEFORE, bank_of_light, fill_light
from keras_gw_resnet.training.optimization import new_network, whole_network
from keras_gw_resnet.training.templates import bank_without_spins, fill_statistic, fill_templates
from keras_gw_resnet.training.validation import Validation, scorer
from keras_gw_resnet.zoo import load_card


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
    more, measured = _with_ranking(model, batches, config)
    validation = Validation(batches, config, [])
    negatives = validation.strain[validation.label == 0]
    before, after = (network.predict(negatives, verbose=0)[:, 0] for network in (model, more))
    assert np.median(after) == pytest.approx(np.median(before), abs=1e-4) and np.std(after - before) > 0.1
    assert measured == pytest.approx(validation.measure(scorer(more)))


def test_consistency_comes_with_the_end_of_the_training(model, batches, config):
    """What was trained stays, a signal scores alike, and what resembles no binary in one detector scores less."""
    plain, _ = _with_ranking(model, batches, config)
    tested, _ = _with_ranking(model, batches, config.changed(ranking={"consistency": True}))
    assert parts_of(tested).front == replace(parts_of(plain).front, consistency=True)
    for name in (BASIS_LAYER, "score"):
        np.testing.assert_array_equal(tested.get_layer(name).get_weights()[0], plain.get_layer(name).get_weights()[0])
    noise = np.random.default_rng(0).normal(size=(8, 2048, 2)).astype("float32")
    noise[:, 1000:1010, 0] += 30
    before, after = (network.predict(noise, verbose=0) for network in (plain, tested))
    assert np.all(after < before)


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


def test_what_begins_with_a_saved_network_is_ranked_without_its_options_given_again(config):
    given = {
        "network": {"model": "resnet18", "options": {"weights": "flagship"}},
        "ranking": {"templates": 3, "light": 6},
    }
    beginning = config.changed(**given)
    trained, whole = new_network(beginning), whole_network(beginning)
    copy_trained(whole, trained)
    front = parts_of(trained).front
    assert front == Parts.from_dict(load_card("flagship")["parts"]).front.unranked() and front.consistency
    assert parts_of(whole).front == replace(front, statistic_shortcut=0.5, statistic_templates=3, statistic_light=6)


def test_a_bank_that_does_not_know_its_masses_is_refused(batches, config):
    signals = batches.training.signals
    known = {name: values for name, values in signals.bank.parameters.items() if name != "mass1"}
    unknown = SimpleNamespace(bank=replace(signals.bank, parameters=known))
    with pytest.raises(InputError, match=r"does not say 'mass1'.*--statistic-templates"):
        bank_without_spins(SimpleNamespace(training=SimpleNamespace(signals=unknown)), config)


def test_templates_of_light_binaries_see_them_from_half_a_second_before(model, batches, config, monkeypatch):
    for name, fewer in (("PLAIN", 60), ("DRAWN", 1200), ("MATCHED", 400), ("CANDIDATES", 300), ("ROUNDS", 2)):
        monkeypatch.setattr(templates, name, fewer)
    bank = bank_of_light(config)
    assert bank.parameters["mass2"].min() >= 5 and bank.parameters["mass1"].max() <= 16
    more = whole_network(config.changed(ranking={"templates": 3, "light": 6}))
    copy_trained(more, model)
    fill_statistic(more, batches, config, bank)
    fill_light(more, batches, config, bank)
    stem, late, early = (
        np.asarray(keras.ops.convert_to_numpy(more.get_layer(name).kernel))[:, 0]
        for name in (BASIS_LAYER, LIGHT_BASIS_LAYER, EARLY_BASIS_LAYER)
    )
    both = np.concatenate([stem, late], axis=1)
    np.testing.assert_allclose(both.T @ both, np.eye(both.shape[1]), atol=1e-4)
    np.testing.assert_allclose(early.T @ early, np.eye(early.shape[1]), atol=1e-4)
    # Signals of SNR 6 in each detector, others than the templates were made of, and no noise.
    signals = templates.draw_signals(
        bank, batches.training.signals, batches.training.noise, 256, 9, before=BEFORE, as_shown=True
    )[:40]
    strain = np.zeros((40, 2048, 2), "float32")
    strain[:, 300 : 300 + signals.shape[1]] = 6 * signals[:, :, None]
    outputs = [more.get_layer(f"{prefix}joined").output for prefix in (LIGHT, STATISTIC)]
    own, others = (
        np.asarray(found).max(axis=(1, 2)) for found in keras.Model(more.input, outputs).predict(strain, verbose=0)
    )
    # What lies between 0.6 and 0.1 s before the end, above the low pass, no kernel sees: templates of 256 samples are short.
    assert np.mean(own) > 0.5 * 36 and np.mean(own) > 1.2 * np.mean(others) and own.max() < 36
