from dataclasses import replace

import numpy as np
import pytest

from keras_gw_resnet import build_model
from keras_gw_resnet.datasets.windows import write_windows
from keras_gw_resnet.models.matched_filter import BASIS_LAYER, STRIDE, TEMPLATE_LAYERS
from keras_gw_resnet.training.config import TrainingConfig
from keras_gw_resnet.training.data import load_batches
from keras_gw_resnet.training.templates import _at_all_shifts, _chosen, _refined, draw_signals, fill_templates
from tests.conftest import assert_refused, run_command, tiny_training

OPTIONS = {"width": 4, "templates": 8, "template_samples": 512, "pooling": "logsumexp", "head_kernel_size": 4}


def stem_of(model):
    basis = np.array(model.get_layer(BASIS_LAYER).get_weights()[0])[:, 0].T
    return basis, *(np.array(model.get_layer(name).get_weights()[0])[0].T for name in TEMPLATE_LAYERS)


def filled(batches, config, **options):
    model = build_model("resnet16", **OPTIONS, **options)
    fill_templates(model, batches, config)
    return stem_of(model)


@pytest.fixture(scope="module")
def training(small_data):
    """(batches, configuration) of a training."""
    few = {"validation_noise": 200, "validation_signals": 50, "false_alarm_probability": 0.05}
    found = {"data": str(small_data), "detectors": ("H1", "L1"), "window_samples": 2048}
    config = TrainingConfig.of(model="resnet16", options=OPTIONS, seed=3, **found, **few)
    return load_batches(config), config


@pytest.fixture(scope="module")
def stem(training):
    return filled(*training)


def test_templates_are_orthonormal(stem):
    basis, in_phase, in_quadrature = stem
    np.testing.assert_allclose(basis @ basis.T, np.eye(64), atol=1e-4)
    for own in (in_phase, in_quadrature):
        np.testing.assert_allclose(np.sum(own**2, axis=1), 1, rtol=1e-4)
    np.testing.assert_allclose(np.sum(in_phase * in_quadrature, axis=1), 0, atol=1e-4)


def matches(signals, stem):
    """Match of signals with the template and at the time of the stem's grid that match best."""
    basis, in_phase, in_quadrature = stem
    samples = basis.shape[1]
    starts = range(0, signals.shape[1] - samples + 1, STRIDE)
    seen = np.stack([signals[:, start : start + samples] @ basis.T for start in starts], axis=1)
    return np.hypot(seen @ in_phase.T, seen @ in_quadrature.T).max(axis=(1, 2))


def test_signals_match_the_templates(training, stem):
    batches, (basis, in_phase, in_quadrature) = training[0], stem
    signals = draw_signals(batches.training.signals.bank, batches.training.signals, batches.training.noise, 512, 99)
    assert np.mean(matches(signals, stem)) > 0.75
    # Nothing like a template matches noise: of 512 dimensions a template is two.
    noise = np.random.default_rng(1).standard_normal((len(signals), 512)).astype("float32")
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    assert np.mean(np.hypot(noise @ (in_phase @ basis).T, noise @ (in_quadrature @ basis).T)) < 0.1


def test_refined_templates_match_signals_that_they_have_not_seen_better(training, stem):
    batches, (basis, in_phase, _) = training[0], stem
    seen, others = (
        draw_signals(batches.training.signals.bank, batches.training.signals, batches.training.noise, 512, seed)
        for seed in (3, 99)
    )
    chosen = _chosen(seen, lambda strain, start: strain[:, start : start + 512] @ basis.T, len(in_phase))
    np.testing.assert_allclose(np.einsum("tij,tkj->tik", chosen, chosen), [np.eye(2)] * len(chosen), atol=1e-4)
    before = (basis, chosen[:, 0].copy(), chosen[:, 1].copy())
    assert np.mean(matches(others, stem)) > np.mean(matches(others, before)) + 0.005
    # A template that no two signals match best stays as it is.
    kept = _refined(chosen.copy(), np.stack([before[1][:1]] * 3, axis=1))
    np.testing.assert_allclose(kept, (before[1], before[2]), atol=1e-6)


def test_signals_match_templates_that_are_tried_more_often_better(training, stem):
    finer = filled(*training, template_stride=2)
    assert finer[1].shape == (32, 64)
    others = draw_signals(
        training[0].training.signals.bank, training[0].training.signals, training[0].training.noise, 512, 99
    )
    assert np.mean(matches(others, finer)) > np.mean(matches(others, stem)) + 0.005
    # Shifted by so little a template is a sum of the same kernels.
    assert np.linalg.norm(finer[1], axis=1).min() > 0.99


@pytest.mark.parametrize(
    ("stride", "shifts"),
    [(8, [0]), (4, [-2, 2]), (2, [-3, -1, 1, 3]), (1, [-3, -2, -1, 0, 1, 2, 3, 4])],
)
def test_every_template_is_there_at_every_shift(stride, shifts):
    basis, waves = np.eye(64), np.eye(64)[[20, 40]]
    found = _at_all_shifts(waves, basis, stride).reshape(-1, 2, 64).argmax(axis=2)
    np.testing.assert_array_equal(found, [[20 + shift, 40 + shift] for shift in shifts])


def test_templates_coalesce_before_their_last_sixteenth(stem):
    basis, in_phase, in_quadrature = stem
    envelope = np.hypot(in_phase @ basis, in_quadrature @ basis)
    early = 512 * 15 / 16 - np.argmax(envelope, axis=1)
    # That of a light or precessing system may peak before the end of its inspiral.
    assert np.median(np.abs(early)) < 8 and np.all((early > -8) & (early < 128))


def test_templates_follow_from_the_seed(training, stem):
    batches, config = training
    for own, again in zip(stem, filled(batches, config), strict=True):
        np.testing.assert_array_equal(own, again)
    assert not np.array_equal(stem[1], filled(batches, replace(config, seed=4))[1])


def test_labelled_windows_hold_no_waveforms(tmp_path):
    rng = np.random.default_rng(0)
    about = {"detectors": ["H1", "L1"], "sample_rate": 2048, "source": "a test"}
    write_windows(
        tmp_path / "windows.hdf", rng.normal(size=(400, 2048, 2)).astype("float32"), np.arange(400) % 2, **about
    )
    result = run_command(
        "train.py", *tiny_training(tmp_path / "windows.hdf", tmp_path / "run", **{"--options.templates": 8})
    )
    assert_refused(result, "windows.hdf", "--options.templates")
