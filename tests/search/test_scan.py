import keras
import numpy as np
import pytest
from scipy.special import expit, logsumexp

from keras_gw_resnet import Ensemble, InputError, build_model
from keras_gw_resnet.search import keras_scan
from keras_gw_resnet.search.scan import ROW_SAMPLES, ROWS, Scanner
from tests.conftest import settle_batch_norm


def model_of(name, **options):
    model = build_model(name, **{"width": 4, "dropout": 0.1, **options})
    settle_batch_norm(model)
    return model


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("resnet16", {}),
        ("resnet18", {"kernel_size": (7, 3, 3, 3)}),
        ("resnet50", {}),
        pytest.param("resnet152", {"input_shape": (4096, 3)}, marks=pytest.mark.slow),
    ],
)
def test_scan_equals_prediction_of_every_window(name, options):
    model = model_of(name, **options)
    _, window, detectors = model.input_shape
    scanner = Scanner(model)
    assert scanner.exact
    assert scanner.stride == 32
    # Not a whole number of strides or chunks.
    strain = np.random.default_rng(0).normal(size=(ROWS * ROW_SAMPLES + 3 * window + 77, detectors)).astype("float32")
    scan = scanner.scan(strain)
    assert len(scan.scores) == (len(strain) - window) // scanner.stride + 1
    assert len(scan.evidence) == len(scan.scores) + scan.reach - 1
    row = ROW_SAMPLES // scanner.stride
    edges = [row, ROWS * row]
    chosen = sorted({0, 1, 17, *(e - back for e in edges for back in (scan.reach, 1, 0)), len(scan.scores) - 1})
    windows = np.stack([strain[i * scanner.stride : i * scanner.stride + window] for i in chosen])
    predicted = model.predict(windows, verbose=0)[:, 0]
    assert predicted.std() > 1e-2
    np.testing.assert_allclose(scan.scores[chosen], predicted, atol=1e-3)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("resnet18", {}),
        ("resnet34", {"head_kernel_size": 5, "classifier_activation": "sigmoid"}),
        pytest.param("densenet121", {"input_shape": (4096, 3)}, marks=pytest.mark.slow),
    ],
)
def test_scores_of_places_make_up_those_of_windows(name, options):
    """A network that ends in a log-sum-exp over positions gives each of them a score; of a window's it is the logit."""
    model = model_of(name, pooling="logsumexp", **options)
    _, window, detectors = model.input_shape
    scanner = Scanner(model)
    assert scanner.exact
    assert scanner.slides
    strain = np.random.default_rng(0).normal(size=(ROWS * ROW_SAMPLES + 3 * window + 77, detectors)).astype("float32")
    scan = scanner.scan(strain)
    assert len(scan.scores) == (len(strain) - window) // 32 + scanner.positions
    assert scanner.window_samples == window - 32 * (scanner.positions - 1) < window
    chosen = [0, 1, 17, *range(1000, 4000, 500), len(scan.scores) - scanner.positions]
    windows = np.stack([strain[i * 32 : i * 32 + window] for i in chosen])
    predicted = model.predict(windows, verbose=0)[:, 0]
    pooled = np.array([logsumexp(scan.scores[i : i + scanner.positions]) for i in chosen])
    assert pooled.std() > 1e-2
    probability = "classifier_activation" in options
    np.testing.assert_allclose(expit(pooled) if probability else pooled, predicted, atol=1e-5 if probability else 1e-3)
    np.testing.assert_allclose(scanner.score(windows), pooled, atol=1e-3)
    assert scanner.difference(strain, scan.scores) < 1e-3
    # Each is the score of the shorter window that holds this position alone.
    alone = build_model(
        name, **{"width": 4, "pooling": "logsumexp", **options, "input_shape": (scanner.window_samples, detectors)}
    )
    alone.set_weights(model.get_weights())
    cut = np.stack([strain[i * 32 : i * 32 + scanner.window_samples] for i in chosen])
    np.testing.assert_allclose(Scanner(alone).score(cut), scan.scores[chosen], atol=1e-3)


@pytest.mark.parametrize("combine", ["mean", "head"])
def test_an_ensemble_joins_places(combine):
    """Members whose edges are cropped by different numbers are aligned: their logits of one position are joined."""
    given = ({}, {"head_kernel_size": 7}, {})
    names = ("resnet16", "resnet34", "highway20")
    members = [model_of(name, pooling="logsumexp", **options) for name, options in zip(names, given, strict=True)]
    model = Ensemble(members, combine)
    weights, bias = np.full(3, 1 / 3), 0.0
    if combine == "head":
        weights, bias = np.array([0.5, 0.3, -0.2]), 0.7
        model.get_layer("score").set_weights([weights.reshape(1, 3, 1), np.array([bias])])
    scanner = Scanner(model)
    assert scanner.slides
    assert scanner.exact
    strain = np.random.default_rng(0).normal(size=(9000, 2)).astype("float32")
    scan = scanner.scan(strain)
    assert len(scan.scores) == (9000 - 2048) // 32 + scanner.positions
    assert scanner.difference(strain, scan.scores) < 1e-3
    # Joined in any other way, members that pool positions are scored window by window.
    strain_in = keras.Input((2048, 2), name="strain")
    late = keras.Model(strain_in, keras.layers.Average()([member(strain_in) for member in members]))
    assert not Scanner(late).slides
    # Where a member says that a signal is, the ensemble says so too.
    lone = Ensemble([members[1], members[1]], "mean")
    np.testing.assert_allclose(Scanner(lone).scan(strain).scores, Scanner(members[1]).scan(strain).scores, atol=1e-4)


def test_one_window_gives_one_score():
    model = model_of("resnet18")
    strain = np.random.default_rng(0).normal(size=(2048, 2)).astype("float32")
    scan = Scanner(model).scan(strain)
    np.testing.assert_allclose(scan.scores, model.predict(strain[None], verbose=0)[:, 0], atol=1e-3)
    with pytest.raises(ValueError, match="shorter than the window"):
        Scanner(model).scan(strain[:-1])


def test_a_sigmoid_is_ranked_by_what_goes_into_it():
    model = model_of("resnet18", classifier_activation="sigmoid")
    strain = np.random.default_rng(0).normal(size=(2048, 2)).astype("float32")
    score = Scanner(model).scan(strain).scores[0]
    assert 1 / (1 + np.exp(-score)) == pytest.approx(model.predict(strain[None], verbose=0)[0, 0], abs=1e-4)


def test_a_network_without_cropping_is_said_to_be_approximate():
    scanner = Scanner(model_of("resnet18", crop_edges=False))
    assert not scanner.exact
    strain = np.random.default_rng(0).normal(size=(4096, 2)).astype("float32")
    assert len(scanner.scan(strain).scores) == 65


@pytest.mark.parametrize("name", ["gabbard2018", "george-huerta2018", "resnet18"])
def test_networks_that_cannot_slide_score_window_by_window(name):
    options = {"input_shape": (2040, 2)} if name == "resnet18" else {"classifier_activation": "sigmoid"}
    model = build_model(name, width=4, **options)
    scanner, window = Scanner(model), model.input_shape[1]
    assert scanner.exact
    strain = np.random.default_rng(0).normal(size=(ROWS * ROW_SAMPLES + 3 * window + 77, 2)).astype("float32")
    scan = scanner.scan(strain)
    assert len(scan.scores) == (len(strain) - window) // 128 + 1
    windows = np.stack([strain[i * 128 : i * 128 + window] for i in range(len(scan.scores))])
    predicted = model.predict(windows, verbose=0)[:, 0]
    if name != "resnet18":
        predicted = np.log(predicted / (1 - predicted))
    np.testing.assert_allclose(scan.scores, predicted, atol=1e-3)


@pytest.mark.parametrize("combine", ["mean", "head"])
def test_an_ensemble_slides_with_its_members(combine):
    members = [model_of("resnet16"), model_of("highway20"), model_of("resnet18", kernel_size=(7, 3, 3, 3))]
    model = Ensemble(members, combine)
    if combine == "head":
        model.layers[-1].set_weights([np.array([[0.5], [0.3], [-0.2]]), np.array([0.7])])
    scanner = Scanner(model)
    assert scanner.slides
    assert scanner.exact
    strain = np.random.default_rng(0).normal(size=(9000, 2)).astype("float32")
    scan = scanner.scan(strain)
    windows = np.stack([strain[i * 32 : i * 32 + 2048] for i in range(0, len(scan.scores), 50)])
    np.testing.assert_allclose(scan.scores[::50], model.predict(windows, verbose=0)[:, 0], atol=1e-3)


def test_exact_on_demand():
    model = model_of("resnet18", crop_edges=False)
    strain = np.random.default_rng(0).normal(size=(9000, 2)).astype("float32")
    slid, exact = Scanner(model), Scanner(model, exact=True)
    assert slid.slides
    assert not slid.exact
    assert exact.exact
    assert not exact.slides
    assert (
        exact.difference(strain, exact.scan(strain).scores) < 1e-3 < slid.difference(strain, slid.scan(strain).scores)
    )
    assert Scanner(model_of("resnet18"), exact=True).slides


def test_two_outputs_are_ranked_by_the_difference_of_logits():
    model = model_of("resnet18", classes=2, classifier_activation="softmax")
    strain = np.random.default_rng(0).normal(size=(2048, 2)).astype("float32")
    noise, signal = model.predict(strain[None], verbose=0)[0]
    scan = Scanner(model).scan(strain)
    np.testing.assert_allclose(scan.scores, np.log(signal / noise), atol=1e-3)
    assert Scanner(model).score(strain[None])[0] == pytest.approx(scan.scores[0], abs=1e-3)


def test_several_outputs_are_refused():
    with pytest.raises(InputError, match="3 outputs; a search needs one, or two"):
        Scanner(build_model("resnet18", width=4, classes=3))


def test_windows_are_scored_few_at_once():
    """A network keeps all that it works out of them until it is done."""
    counts = []

    def logits(windows, training):
        counts.append(len(windows))
        return windows[:, 0]

    windows = np.arange(20, dtype=np.float32)[:, None, None]
    np.testing.assert_array_equal(keras_scan.score(logits, windows), windows[:, 0, 0])
    assert max(counts) <= 8 and sum(counts) == 20
