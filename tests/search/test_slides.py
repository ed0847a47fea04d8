import numpy as np
import pytest

from keras_gw_resnet import Detector, Ensemble, build_model
from keras_gw_resnet.models.matched_filter import BASIS_LAYER, TEMPLATE_LAYERS
from keras_gw_resnet.models.ranking import OWN_LAYERS
from keras_gw_resnet.search import scan as module
from keras_gw_resnet.search.background import arranged, slid_background, slide_shifts
from keras_gw_resnet.search.cutting import Cut
from keras_gw_resnet.search.lean import Lean
from keras_gw_resnet.search.scan import Scanner
from keras_gw_resnet.strain.stretches import WhitenedStretch
from tests.conftest import settle_batch_norm

SMALL = {"width": 4, "templates": 3, "template_samples": 256, "coincidence": True, "head_kernel_size": 4}
RANKED = {**SMALL, "pooling": "logsumexp", "statistic_shortcut": 0.5}
COHERENT = {"statistic_templates": 2, "statistic_coherent": True, "template_stride": 4}


def with_templates(name, seed=3, **options):
    model = build_model(name, **options)
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.normal(size=(256, 64)))[0].astype("float32")
    model.get_layer(BASIS_LAYER).set_weights([basis[:, None]])
    for name in sorted({*TEMPLATE_LAYERS, *OWN_LAYERS} & {layer.name for layer in model.layers}):
        layer = model.get_layer(name)
        layer.set_weights([rng.normal(size=layer.kernel.shape) / 8])
    settle_batch_norm(model)
    return model


def loud_noise(seconds, detectors):
    # Not a whole number of strides of anything.
    strain = np.random.default_rng(0).normal(size=(round(seconds * 2048) + 13, detectors)).astype("float32")
    strain[5000:5040] *= 6
    return strain


def check(scanner, strain, arrangements):
    found = list(scanner.scan_arranged(strain, arrangements))
    assert len(found) == len(arrangements)
    for scan, shifts in zip(found, arrangements, strict=True):
        direct = scanner.scan(arranged(strain, shifts))
        np.testing.assert_allclose(scan.scores, direct.scores, atol=1e-3)
        np.testing.assert_allclose(scan.evidence, direct.evidence, atol=1e-3)
        assert direct.scores.std() > 1e-3


@pytest.fixture
def short_rows(monkeypatch):
    """Several pieces and several groups of slides in little strain: 4 s are joined at once."""
    monkeypatch.setattr(module, "ROW_SAMPLES", 2048)
    monkeypatch.setattr(module, "JOINED_SAMPLES", 2048)
    monkeypatch.setattr(module, "PIECE_SAMPLES", 8192)


@pytest.fixture
def in_keras(monkeypatch):
    """Scan in Keras, as on a graphics card."""
    monkeypatch.setattr(module, "has_graphics_card", lambda: True)


PAIRS = [(0, 0), (0, None), (None, 0), (0, 4096), (0, 8192), (0, 16384), (0, 20480), (16, 3), (0, 8)]


@pytest.mark.parametrize("name", ["flagship", "resnet18-w16", "residual-cnn-w16"])
def test_saved_networks_slid_at_once_score_as_one_by_one(name, short_rows):
    check(Detector.load(name).scanner, loud_noise(11, 2), PAIRS)


@pytest.mark.parametrize(
    ("name", "options", "detectors"),
    [
        ("resnet16", {**RANKED, **COHERENT, "consistency": True}, 2),
        ("resnet16", {**RANKED, **COHERENT, "consistency": True, "stack_detectors": 2}, 3),
        pytest.param("resnet16", {**RANKED, "statistic_templates": 2}, 3, marks=pytest.mark.slow),
        ("resnet16", {**SMALL, "pooling": "logsumexp", "coincidence": False}, 2),
        pytest.param(
            "resnet18", {k: v for k, v in SMALL.items() if k != "head_kernel_size"}, 2, marks=pytest.mark.slow
        ),
        pytest.param("densenet121", RANKED, 2, marks=pytest.mark.slow),
        pytest.param("highway20", {**RANKED, "normalization": "group"}, 2, marks=pytest.mark.slow),
        pytest.param("stacked-residual-highway", RANKED, 2, marks=pytest.mark.slow),
    ],
)
def test_networks_with_templates_slid_at_once_score_as_one_by_one(name, options, detectors, short_rows):
    model = with_templates(name, **options, input_shape=(2048, detectors))
    scanner = Scanner(model)
    assert scanner.exact == (scanner._cut is not None)
    assert scanner.in_pieces == scanner.exact
    arrangements = PAIRS if detectors == 2 else [(0, 0, 0), (None, 0, None), (0, 4096, 8192), (0, 8192, 16384)]
    check(scanner, loud_noise(9, detectors), arrangements)


def test_in_keras_slid_at_once_score_as_one_by_one(in_keras, short_rows):
    scanner = Scanner(with_templates("resnet16", **RANKED, **COHERENT, consistency=True))
    assert isinstance(scanner._cut, Cut) and not scanner.in_pieces
    check(scanner, loud_noise(9, 2), PAIRS)


@pytest.mark.slow
def test_members_of_an_ensemble_are_slid_at_once(short_rows):
    members = [with_templates("resnet16", seed, **RANKED) for seed in (1, 2)]
    scanner = Scanner(Ensemble(members, "mean"))
    assert scanner._members
    check(scanner, loud_noise(7, 2), PAIRS[:6])


@pytest.mark.slow
def test_bfloat16_is_slid_at_once(short_rows):
    scanner = Scanner(with_templates("resnet16", **RANKED), "bfloat16")
    strain = loud_noise(7, 2)
    for scan, shifts in zip(scanner.scan_arranged(strain, PAIRS[:5]), PAIRS[:5], strict=True):
        direct = scanner.scan(arranged(strain, shifts)).scores
        assert np.abs(scan.scores - direct).max() < 0.1 * np.abs(direct).max() + 0.05


def test_each_detector_is_filtered_once_for_all_slides(monkeypatch, short_rows):
    scanner, calls = Scanner(with_templates("resnet16", **RANKED)), {"own": [], "join": []}
    for name, given in calls.items():
        function = getattr(Lean, name)

        def counted(*args, given=given, function=function, **options):
            given.append(args)
            return function(*args, **options)

        monkeypatch.setattr(Lean, name, counted)
    slides = [(0, 256 * slide) for slide in range(20)]
    scans = list(scanner.scan_arranged(loud_noise(8, 2), slides))
    pieces = len(calls["join"]) // len(scans)
    assert pieces > 1
    assert {name: len(own) for name, own in calls.items()} == {"own": 2 * pieces, "join": 20 * pieces}


@pytest.mark.slow
def test_background_of_slides_made_at_once(short_rows):
    network = Detector.load("resnet18-w16")
    stretch = WhitenedStretch(1000.0, 2048, ("H1", "L1"), loud_noise(20, 2), ())
    shifts = slide_shifts(network, stretch, 6)
    assert len(shifts) == 6
    scans = network.scanner.scan_arranged(stretch.strain, shifts)
    at_once = slid_background(network, stretch, 6, -20.0, alone=network.alone(stretch.strain), scans=scans)
    direct = slid_background(network, stretch, 6, -20.0, alone=network.alone(stretch.strain))
    assert len(direct.stat) > 20
    np.testing.assert_allclose(at_once.stat, direct.stat, atol=1e-3)
    np.testing.assert_allclose(at_once.time, direct.time, atol=0.02)
    np.testing.assert_allclose(at_once.alone, direct.alone, atol=1e-3)
    assert at_once.seconds == direct.seconds
