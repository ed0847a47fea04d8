import keras
import numpy as np
import pytest

from keras_gw_resnet import Detector, build_model
from keras_gw_resnet.search import scan as module
from keras_gw_resnet.search.fourier import Kernels
from keras_gw_resnet.search.lean import Lean
from keras_gw_resnet.search.plan import SavedNetwork, plan_of
from keras_gw_resnet.search.scan import Scanner
from tests.conftest import ROOT, run_command
from tests.search.test_slides import RANKED, SMALL, loud_noise, with_templates


@pytest.mark.parametrize("samples", [64, 7 * 8192 + 512])
def test_kernels_by_fft_equal_a_convolution(samples):
    rng = np.random.default_rng(0)
    strain, taps = rng.normal(size=samples).astype("float32"), rng.normal(size=(200, 3)).astype("float32") / 14
    kernels = Kernels(taps, 96, 8)
    # Keras pads as many samples before.
    layer = keras.layers.Conv1D(3, 200, strides=8, padding="same", use_bias=False)
    layer.build((None, samples, 1))
    layer.set_weights([taps[:, None]])
    expected = keras.ops.convert_to_numpy(layer(strain[None, :, None]))[0]
    np.testing.assert_allclose(kernels(strain), expected, atol=1e-5)
    np.testing.assert_allclose(kernels.one_by_one(strain), expected, atol=1e-5)


@pytest.mark.parametrize("name", ["flagship", "highway20-w16"])
def test_a_saved_network_scores_real_and_simulated_strain_as_in_keras(name, monkeypatch):
    network = Detector.load(name)
    assert isinstance(network._model, SavedNetwork)
    (stretch,) = network.stretches("GW150914")
    monkeypatch.setattr(module, "has_graphics_card", lambda: True)
    in_keras = Scanner(network.model)
    assert not in_keras.in_pieces
    for strain in (stretch.strain, loud_noise(20, 2)):
        scan, expected = network.scanner.scan(strain), in_keras.scan(strain)
        np.testing.assert_allclose(scan.scores, expected.scores, atol=1e-3)
        assert network.scanner.difference(strain, scan.scores) < 1e-3


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("resnet16", {"pooling": "avg"}),
        ("highway20", {"pooling": "logsumexp"}),
        pytest.param("densenet121", {"pooling": "logsumexp", "input_shape": (4096, 2)}, marks=pytest.mark.slow),
        pytest.param("stacked-mixed", {"pooling": "logsumexp"}, marks=pytest.mark.slow),
        ("resnet50", {"pooling": "logsumexp", "dropout": 0.2, "classifier_activation": "sigmoid"}),
    ],
)
def test_other_stacks_and_heads_score_as_in_keras(name, options):
    keras.utils.set_random_seed(0)
    # Without anything loud, on which networks that were not trained magnify rounding.
    strain = np.random.default_rng(0).normal(size=(5 * 2048 + 13, 2)).astype("float32")
    scanner = Scanner(with_templates(name, **{**SMALL, **options}))
    assert scanner.in_pieces
    scan = scanner.scan(strain)
    assert scan.scores.std() > 1e-3
    assert scanner.difference(strain, scan.scores) < 1e-3


THREE = {**SMALL, "input_shape": (2048, 3), "pooling": "logsumexp", "statistic_shortcut": 0.5}
COHERENT = {"statistic_templates": 2, "statistic_coherent": True, "template_stride": 4, "stack_detectors": 2}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {**COHERENT, "consistency": True},
        {**COHERENT, "consistency": True, "consistency_slope": 2.5},
        {"statistic_templates": 2},
    ],
)
def test_further_detectors_add_what_they_add_in_keras(options):
    scanner, strain = Scanner(with_templates("resnet16", **THREE, **options)), loud_noise(5, 3)
    assert scanner.in_pieces
    scan = scanner.scan(strain)
    assert scan.scores.std() > 1e-3
    assert scanner.difference(strain, scan.scores) < 1e-3
    muted, zeroed = next(scanner.scan_arranged(strain, [(0, 0, None)])), strain * np.array([1, 1, 0], np.float32)
    np.testing.assert_allclose(muted.scores, scanner.scan(zeroed).scores, atol=1e-3)


@pytest.mark.parametrize("name", ["resnet16", "flagship"])
def test_scans_are_exact_above_what_is_of_interest(name):
    built = name == "resnet16"
    model = with_templates(name, **RANKED, **COHERENT, consistency=True) if built else Detector.load(name)._model
    scanner, strain = Scanner(model), loud_noise(40, 2)
    slides = [(0, 0), (0, 4096)]
    exact = list(scanner.scan_arranged(strain, slides))
    above = float(np.quantile(exact[1].scores, 0.999))
    together, slid = scanner.scan_arranged(strain, slides, above=above)
    for found, whole in zip((together, slid), exact, strict=True):
        loud = whole.scores > above
        assert loud.sum() < 40
        np.testing.assert_allclose(found.scores[loud], whole.scores[loud], atol=1e-4)
        assert np.all(found.scores[~loud] <= above + 1e-4)
        if not built:  # how much more likely a light binary is
            np.testing.assert_allclose(found.light[loud], whole.light[loud], atol=1e-3)
        assert np.all(found.scores >= whole.scores - 1e-4)
        assert np.any(found.scores > whole.scores + 1e-2)
    assert np.any(exact[1].scores > above)
    assert scanner.difference(strain, together.scores, above=above) < 1e-3 < scanner.difference(strain, together.scores)
    # Beside the loudest, too, what is not above may be too high, and what is above may not.
    raised = np.where(together.scores > above, together.scores, above)
    assert scanner.difference(strain, raised, above=above) < 1e-3
    assert scanner.difference(strain, raised + 0.1, above=above) > 0.05
    assert scanner.difference(strain, exact[0].scores - 0.1, above=above - 0.1) > 0.05


def test_each_detector_alone_near_events_is_what_it_is_everywhere():
    network, strain = Detector.load("resnet18-w16"), loud_noise(20, 2)
    every = network.alone(strain)
    wanted = np.zeros(len(every), bool)
    wanted[[0, 1, 2, 300, 301, len(every) - 1]] = True
    some = network.alone(strain, wanted=wanted)
    np.testing.assert_allclose(some[wanted], every[wanted], atol=1e-3)
    assert np.all(np.isnan(some[~wanted]))


def test_a_network_with_what_is_not_known_here_is_for_keras():
    known = build_model("resnet16", **SMALL, pooling="logsumexp")
    plan = plan_of(known)
    assert Lean.of(plan, known.parts, 2) is not None
    next(layer for layer in plan.layers if layer["class_name"] == "Activation")["config"]["activation"] = "gelu"
    assert Lean.of(plan, known.parts, 2) is None
    assert Lean.of(plan_of(known), build_model("resnet16", width=4).parts, 2) is None


def test_a_saved_network_is_searched_with_without_starting_keras():
    """Which windows are scored with, and says nothing of the machine on stderr."""
    code = (
        "import sys; import numpy as np; from keras_gw_resnet import Detector\n"
        "detector = Detector.load('flagship'); events = detector.events('GW150914')\n"
        "print(round(events.stat.max()), 'keras' in sys.modules, 'matplotlib' in sys.modules, 'pycbc' in sys.modules)\n"
        "detector.score(np.zeros((1, 3072, 2))); print('keras' in sys.modules)"
    )
    done = run_command("-c", code, cwd=ROOT)
    assert done.stdout.split() == ["80", "False", "False", "False", "True"], done.stderr
    assert done.stderr == ""


def test_light_and_heavy_binaries_are_told_apart_as_in_keras():
    """By the evidence of each class at a position."""
    network, strain = Detector.load("flagship"), loud_noise(8, 2)
    scan, model = network.scanner.scan(strain), network.model
    both = keras.Model(model.input, model.get_layer("statistic_light_score_and_score").output)
    stride = network.scanner.stride
    for first in (0, 100, 240):
        window = strain[first * stride :][: network.scanner.window_shape[0]]
        heavy, light = both.predict(window[None], verbose=0)[0].astype(np.float64).T
        np.testing.assert_allclose(scan.light[first:][: len(light)], light - heavy, atol=1e-2)
    assert np.any(scan.light > 0) and np.any(scan.light < 0)
    assert Detector.load("residual-cnn-w16").scanner.scan(strain).light is None
