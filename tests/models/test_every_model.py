"""What has to hold for every network of the zoo; a new one needs its golden line here and nothing else."""

import keras
import numpy as np
import pytest

from keras_gw_resnet import InputError, build_model, list_models
from keras_gw_resnet.models.info import info_of
from keras_gw_resnet.models.registry import MODELS, model_options
from tests.conftest import on_jax, run_command, scores_of, settle_batch_norm

# Parameters with width 8 and 2048 samples of two detectors, and depth: a change of architecture shows here.
GOLDEN = {
    "aframe": (114817, 34),
    "aresgw54": (331969, 56),
    "aresgw54-wide": (331969, 56),
    "densenet121": (106209, 121),
    "densenet169": (201009, 169),
    "densenet201": (299089, 201),
    "gabbard2018": (60721, 9),
    "george-huerta2018": (29049, 5),
    "highway20": (141385, 20),
    "highway36": (274345, 36),
    "plain18": (59473, 18),
    "residual-cnn": (112081, 10),
    "resnet16": (37521, 16),
    "resnet18": (62609, 18),
    "resnet34": (117073, 34),
    "resnet50": (262225, 50),
    "resnet101": (466769, 101),
    "resnet152": (635985, 152),
    "stacked-mixed": (83537, 29),
    "stacked-residual-highway": (106033, 18),
}
SHAPES = [(2048, 2), (4096, 3)]
# The deepest of each family are built by the code of their smaller sisters, and the second shape by that of the first; the slow
# run has them all.
DEEPEST = {"densenet169", "densenet201", "resnet101", "resnet152", "highway36", "aresgw54-wide"}
LIGHTER_FIRST = [pytest.param(n, marks=pytest.mark.slow) if n in DEEPEST else n for n in list_models()]

CASES = [
    pytest.param(n, shape, marks=pytest.mark.slow if n in DEEPEST or (shape != SHAPES[0] and n != "resnet16") else ())
    for n in list_models()
    for shape in SHAPES
]


def small(model, /, **options):
    return build_model(model, **{"width": 4, **options})


def strain_for(shape, batch=4, seed=0):
    return np.random.default_rng(seed).normal(size=(batch, *shape)).astype("float32")


@pytest.mark.parametrize("name", ["resnet16", "highway20", "densenet121", "residual-cnn", "stacked-mixed"])
def test_dilation_sees_farther_at_the_same_cost(name):
    plain, dilated = (info_of(small(name, input_shape=(4096, 2), dilation_rate=rate)) for rate in (1, (1, 1, 2, 4)))
    assert dilated.receptive_samples > 1.2 * plain.receptive_samples
    same = ("parameters", "depth", "stride", "multiply_adds")
    assert [getattr(dilated, key) for key in same] == [getattr(plain, key) for key in same]


def test_golden_table_is_complete():
    assert list_models() == sorted(GOLDEN, key=list_models().index)


@pytest.mark.parametrize("name", list_models())
def test_parameters_and_depth(name):
    model = build_model(name, width=8)
    assert (model.count_params(), info_of(model).depth) == GOLDEN[name]
    assert model.name == name
    number = "".join(c for c in name if c.isdigit())
    if name.startswith(("resnet", "highway", "densenet")):
        assert int(number) == GOLDEN[name][1]


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_output_is_finite_and_every_weight_learns(name, shape):
    model = small(name, input_shape=shape)
    assert model.input_shape == (None, *shape)
    # A step of plain gradient descent moves just the weights whose gradient is not zero.
    model.compile(keras.optimizers.SGD(100.0), "mse", run_eagerly=not on_jax())
    before = [w.numpy() for w in model.trainable_weights]
    strain = strain_for(shape)
    assert np.all(np.isfinite(scores_of(model, strain)))
    assert scores_of(model, strain).shape == (4, 1)
    loss = model.train_on_batch(strain, np.arange(4.0)[:, None])
    assert np.all(np.isfinite(loss))
    still = [w.path for w, b in zip(model.trainable_weights, before, strict=True) if np.array_equal(w.numpy(), b)]
    assert not still


@pytest.fixture(scope="module")
def saved_zoo(request, tmp_path_factory):
    """Every network that is asked for, saved; and its scores in a fresh process that cannot import this package."""
    folder = tmp_path_factory.mktemp("zoo")
    wanted = [
        item.callspec.params for item in request.session.items if "saved_zoo" in getattr(item, "fixturenames", ())
    ]
    expected = {}
    for name, shape in [(params["name"], params["shape"]) for params in wanted]:
        model = small(name, input_shape=shape, **{"dropout": 0.2})
        settle_batch_norm(model)
        key = f"{name}-{shape[0]}x{shape[1]}"
        model.save(folder / f"{key}.keras")
        np.save(folder / f"{key}.npy", strain_for(shape, batch=2))
        expected[key] = scores_of(model, strain_for(shape, batch=2))
    code = (
        "import sys; sys.modules['keras_gw_resnet'] = None\n"
        "import pathlib, numpy, keras\n"
        "for path in sorted(pathlib.Path('.').glob('*.keras')):\n"
        "    model = keras.saving.load_model(path, safe_mode=True)\n"
        "    strain = numpy.load(path.with_suffix('.npy'))\n"
        "    jax = keras.backend.backend() == 'jax'\n"
        "    score = model.predict_on_batch(strain) if jax else model(strain, training=False)\n"
        "    numpy.save('score-' + path.stem, keras.ops.convert_to_numpy(score))\n"
    )
    result = run_command("-I", "-c", code, cwd=folder, timeout=600)
    assert result.returncode == 0, result.stderr
    return folder, expected


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_bare_keras_gives_the_same_scores_to_the_bit(saved_zoo, name, shape):
    folder, expected = saved_zoo
    key = f"{name}-{shape[0]}x{shape[1]}"
    np.testing.assert_array_equal(np.load(folder / f"score-{key}.npy"), expected[key])


@pytest.mark.parametrize("name", LIGHTER_FIRST)
def test_shared_options(name):
    options = {"kernel_initializer": "glorot_uniform", "classes": 3, "classifier_activation": "softmax", "name": "mine"}
    known = set(model_options(name)) - ({"stochastic_depth"} if name == "plain18" else set())
    assert {"width", "kernel_size", "dropout", *options} <= known
    # Plain stacks have no branches to drop, and two of the literature have no norm.
    assert "normalization" in known or name in ("gabbard2018", "george-huerta2018")
    optional = {"normalization": "group", "stochastic_depth": 0.5}
    options |= {option: value for option, value in optional.items() if option in known}
    model = small(name, **options)
    assert model.name == "mine"
    np.testing.assert_allclose(scores_of(model, strain_for((2048, 2))).sum(axis=-1), 1, rtol=1e-5)
    assert not [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert any(layer.name.endswith("_drop") for layer in model.layers) == ("stochastic_depth" in known)
    assert len(small(name, include_top=False, pooling="max").output_shape) == 2


@pytest.mark.parametrize("name", list_models())
@pytest.mark.parametrize(
    ("options", "mentioned"),
    [
        ({"classes": 0}, "classes=0"),
        ({"width": 0}, "width=0"),
        ({"dropout": 1.0}, "dropout=1.0"),
        ({"input_shape": (2048,)}, "expected .samples, detectors."),
        ({"pooling": "median"}, "pooling='median'"),
        ({"pooling": "logsumexp", "include_top": False}, "pools the logits of the head"),
        ({"pooling": "logsumexp", "head_kernel_size": 0}, "head_kernel_size"),
        ({"input_shape": 3}, "input_shape=3; expected"),
        ({"input_shape": None}, "input_shape=None; expected"),
        ({"input_shape": (0, 2)}, "expected .samples, detectors."),
        ({"classes": True}, "classes=True"),
        ({"weights": 5}, "5: no saved network"),
        ({"nonsense": 1}, "no option nonsense"),
        ({"kernel_size": (3,) * 9}, "kernel_size="),
        ({"weights": "no-such-network"}, "no saved network"),
    ],
    ids=lambda v: str(v) if isinstance(v, dict) else "",
)
def test_bad_options_are_refused(name, options, mentioned):
    with pytest.raises(InputError, match=mentioned):
        small(name, **options)
    with pytest.raises(InputError, match=mentioned):
        MODELS[name][0](**{"width": 4, **options})


@pytest.mark.parametrize("name", LIGHTER_FIRST)
def test_shortest_input_named_in_the_error_works(name):
    import re

    with pytest.raises(InputError) as error:
        small(name, input_shape=(1, 2))
    least = int(re.search(r"at least (\d+) samples", str(error.value)).group(1))
    small(name, input_shape=(least, 2))
    with pytest.raises(InputError, match=f"at least {least} samples"):
        small(name, input_shape=(least - 1, 2))


@pytest.mark.parametrize("name", LIGHTER_FIRST)
def test_any_length_where_the_head_allows(name):
    if name in ("gabbard2018", "george-huerta2018"):
        with pytest.raises(InputError, match="needs a fixed number of samples"):
            small(name, input_shape=(None, 2))
        return
    model = small(name, input_shape=(None, 2))
    for samples in (2048, 3200):
        assert scores_of(model, strain_for((samples, 2))).shape == (4, 1)


def test_a_head_of_places_needs_as_many_features():
    with pytest.raises(InputError, match="head_kernel_size=52: there are 51 features"):
        small("resnet18", pooling="logsumexp", head_kernel_size=52)
    assert small("resnet18", pooling="logsumexp", head_kernel_size=51).get_layer("score").output.shape[1] == 1
