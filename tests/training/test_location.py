import csv
import json

import keras
import numpy as np
import pytest

from keras_gw_resnet import build_model
from keras_gw_resnet.cli import main
from keras_gw_resnet.datasets.batches import InjectionBatches
from keras_gw_resnet.datasets.gaussian_noise import GaussianNoise
from keras_gw_resnet.errors import InputError
from keras_gw_resnet.models.front import front_of
from keras_gw_resnet.models.graph import positions_of
from keras_gw_resnet.models.matched_filter import TEMPLATE_LAYERS
from keras_gw_resnet.models.ranking import OWN_LAYERS
from keras_gw_resnet.strain.conditioning import Whitening
from keras_gw_resnet.training import templates
from keras_gw_resnet.training.config import TrainingConfig
from keras_gw_resnet.training.location import (
    PositionBatches,
    PositionCrossentropy,
    ScoreAccuracy,
    ScoreAUC,
    check_positions,
    coalescence_samples,
    gives_positions,
    mergers_for,
    score_alone,
    with_positions,
)
from keras_gw_resnet.zoo import save_model
from tests.conftest import assert_refused, run_commands, tiny_training
from tests.test_zoo import CARD

OPTIONS = {"width": 4, "pooling": "logsumexp", "head_kernel_size": 8}


@pytest.fixture(scope="module")
def network():
    return build_model("resnet16", **OPTIONS)


def test_a_located_network_gives_score_and_logits_of_its_places(network):
    strain = np.random.default_rng(1).standard_normal((3, 2048, 2)).astype("float32")
    both = with_positions(network)
    assert gives_positions(both) and not gives_positions(network)
    found = both.predict(strain, verbose=0)
    np.testing.assert_allclose(found[:, 0], np.log(np.exp(found[:, 1:].astype(float)).sum(axis=1)), rtol=1e-5)
    back = score_alone(both)
    assert back.name == network.name
    np.testing.assert_array_equal(back.predict(strain, verbose=0), network.predict(strain, verbose=0))


def test_loss_is_that_of_the_score_where_every_place_is_allowed():
    rng = np.random.default_rng(2)
    logits = rng.normal(size=(6, 5)).astype("float32")
    score = np.log(np.exp(logits).sum(axis=1, keepdims=True))
    label = np.array([0, 1, 1, 0, 1, 0], "float32")[:, None]
    allowed = np.concatenate([1 - label, np.repeat(label, 5, axis=1)], axis=1)
    expected = keras.losses.BinaryCrossentropy(from_logits=True)(label, score)
    found = PositionCrossentropy()(allowed, np.concatenate([score, logits], axis=1))
    assert float(found) == pytest.approx(float(expected), rel=1e-5)


def test_loss_is_the_probability_of_the_place_that_is_allowed():
    logits = np.array([[2.0, -1.0, 0.5]], "float32")
    chances = np.exp(np.concatenate([[0.0], logits[0]]))
    chances /= chances.sum()
    for case in range(4):
        allowed = np.eye(4, dtype="float32")[None, case]
        found = PositionCrossentropy()(allowed, np.concatenate([np.zeros((1, 1), "float32"), logits], axis=1))
        assert float(found) == pytest.approx(-np.log(chances[case]), rel=1e-5)


def test_metrics_are_those_of_the_score():
    rng = np.random.default_rng(3)
    label, score = rng.integers(2, size=(200, 1)).astype("float32"), rng.normal(size=(200, 1)).astype("float32")
    allowed = np.concatenate([1 - label, rng.random((200, 4)).astype("float32")], axis=1)
    given = np.concatenate([score, rng.normal(size=(200, 4)).astype("float32")], axis=1)
    for own, plain in (
        (ScoreAUC(from_logits=True), keras.metrics.AUC(from_logits=True)),
        (ScoreAccuracy(threshold=0.0), keras.metrics.BinaryAccuracy(threshold=0.0)),
    ):
        own.update_state(allowed, given)
        plain.update_state(label, score)
        assert float(own.result()) == pytest.approx(float(plain.result()))


def training_of(**changes):
    return TrainingConfig.of(**{"model": "resnet16", "data": "nowhere", "merger_range": (0.65, 0.85), **changes})


def test_places_tell_coalescences_that_lie_in_their_strain():
    for name in ("resnet16", "resnet34", "resnet152"):
        network = build_model(name, **OPTIONS)
        mergers = mergers_for(network, training_of())
        assert np.all(np.diff(mergers) > 0)
        assert mergers[-1] >= 0.85 - 1e-9, name
        assert mergers[-1] <= 1.0, name
    with pytest.raises(InputError, match="pooling logsumexp"):
        mergers_for(build_model("resnet16", width=4), training_of())


def test_labels_allow_the_places_near_the_coalescence(small_bank):
    whitening = Whitening()
    taps = np.zeros(whitening.filter_samples, np.float32)
    taps[len(taps) // 2] = 1e21
    noise = GaussianNoise([[taps], [taps]], ("H1", "L1"), 2048, whitening)
    batches = InjectionBatches(small_bank, noise, batch_size=32, seed=4)
    places = np.linspace(0.6, 0.9, 31)
    own = PositionBatches(batches, places, 0.02)
    strain, allowed = own[7]
    examples = batches.examples(7)
    np.testing.assert_array_equal(strain, examples.strain)
    np.testing.assert_array_equal(1 - allowed[:, :1], examples.label)
    assert allowed.dtype == np.float32
    signal = examples.label[:, 0] == 1
    assert not allowed[~signal, 1:].any()
    nearest = np.argmin(np.abs(examples.merger[signal, None] - places), axis=1)
    np.testing.assert_array_equal(np.argmax(allowed[signal, 1:], axis=1), nearest)
    assert allowed[signal, 1:].max(axis=1) == pytest.approx(1.0)
    far = np.abs(examples.merger[signal, None] - places) > 0.12
    assert far.any() and allowed[signal, 1:][far].max() < 1e-6
    np.testing.assert_array_equal(own.rows(7, 8, 16)[1], allowed[8:16])


@pytest.mark.slow
def test_trained_through_the_command_line(small_data, tmp_path, monkeypatch):
    for name, number in {"DRAWN": 2000, "CANDIDATES": 100, "MATCHED": 200, "PLAIN": 60}.items():
        monkeypatch.setattr(templates, name, number)  # which is enough for 8 templates
    out = tmp_path / "run"
    changes = {
        "--options.pooling": "logsumexp",
        "--options.head-kernel-size": 8,
        "--merger-tolerance": 0.02,
        "--epochs": 1,
    }
    filled = {"--options.templates": 8, "--options.template-samples": 512, "--options.coincidence": "true"}
    filled |= {"--statistic-shortcut": 0.5, "--statistic-templates": 4, "--statistic-coherent": "true"}
    # A network without positions has nothing to learn where a signal is with, and nothing to add a ranking statistic to.
    other = tmp_path / "other"
    unlocated, without_places = run_commands(
        [
            ("train", *tiny_training(small_data, other, **{"--merger-tolerance": 0.02})),
            ("train", *tiny_training("no-such-folder", other, **{"--statistic-shortcut": 0.5})),
        ]
    )
    assert_refused(unlocated, "--merger-tolerance", "logsumexp")
    assert_refused(without_places, "statistic_shortcut=0.5", "no positions", "leave it out")
    assert not other.exists()
    assert not main(["train", *tiny_training(small_data, out, **changes, **filled)])
    model = keras.saving.load_model(out / "model.keras", compile=False, safe_mode=True)
    assert model.output_shape == (None, 1)
    card = json.loads((out / "card.json").read_text())
    assert card["training"]["config"]["signals"]["merger_tolerance"] == 0.02
    # A sixteenth of a template lies behind the coalescence; the training has filled its basis, and left it orthonormal.
    assert card["training"]["coalescence_samples"] == 512 * 7 / 16
    basis = model.get_layer("template_basis").get_weights()[0][:, 0]
    np.testing.assert_allclose(basis.T @ basis, np.eye(64), atol=1e-4)
    phases = [model.get_layer(name).get_weights()[0][0] for name in TEMPLATE_LAYERS]
    # To the 12 binary digits that filters are saved with.
    np.testing.assert_allclose([np.linalg.norm(phase, axis=0) for phase in phases], 1, atol=3e-4)
    # The ranking statistic is not trained; what is saved and measured has it, and the builder makes the same network.
    assert positions_of(model).get_weights()[0][:, -1, 0].tolist() == [0, 0, 0, 0, 0.5, 0, 0, 0]
    assert card["options"]["statistic_shortcut"] == 0.5
    assert card["options"]["statistic_templates"] == front_of(model).statistic_templates == 4
    assert card["options"]["statistic_coherent"] and model.get_layer("statistic_0_padded")
    own = [model.get_layer(name).get_weights()[0][0] for name in OWN_LAYERS]
    np.testing.assert_allclose([np.linalg.norm(phase, axis=0) for phase in own], 1, atol=0.02)
    with (out / "history.csv").open() as file:
        kept = list(csv.DictReader(file))[card["training"]["epoch_kept"] - 1]
    assert card["metrics"]["validation"]["loss"] != pytest.approx(float(kept["val_loss"]), rel=1e-6)
    strain = np.random.default_rng(1).normal(size=(3, 2048, 2)).astype("float32")
    built = build_model(card["model"], **card["options"], weights=str(out))
    np.testing.assert_allclose(built.predict(strain), model.predict(strain), rtol=1e-5)


def test_a_network_goes_on_with_what_its_places_meant(tmp_path):
    """Deeper, in a longer window and with other times of coalescence, the same strain tells the same time; and so on."""
    shallow = build_model("resnet18", **OPTIONS)
    meant = coalescence_samples(shallow, training_of())
    # Both crop alike at both ends, so that the middle position looks at the middle of the window.
    middle = np.mean(mergers_for(shallow, training_of())) * 2048 - 1024
    later = {"merger_range": (0.4, 0.6), "window_samples": 2560}
    for name in ("resnet34", "resnet50"):
        save_model(shallow, {**CARD, "training": {"coalescence_samples": meant}}, tmp_path / name)
        deep = build_model(name, input_shape=(2560, 2), **OPTIONS)
        config = training_of(**later, options={"weights": str(tmp_path / name)})
        assert np.mean(mergers_for(deep, config)) * 2560 - 1280 == pytest.approx(middle, abs=16)
        meant = coalescence_samples(deep, config)
        assert meant != coalescence_samples(deep, training_of(**later))
    # Positions that go on with an early coalescence tell no late one.
    check_positions(deep, training_of(**later, merger_tolerance=0.02))
    with pytest.raises(InputError, match=r"--merger-range 0.8 0.99: the positions of resnet50 tell coalescences from"):
        check_positions(
            deep,
            training_of(
                **{**later, "merger_range": (0.8, 0.99)}, options=config.network.options, merger_tolerance=0.02
            ),
        )
    # Weights without a card mean what they are told.
    config = training_of(**later, options={"weights": str(tmp_path / "resnet34" / "model.keras")})
    (tmp_path / "resnet34" / "card.json").unlink()
    assert coalescence_samples(deep, config) == coalescence_samples(deep, training_of(**later))
