import json

import keras
import numpy as np
import pytest

from keras_gw_resnet import InputError, ResNet, build_model, list_models
from keras_gw_resnet.models.resnet import BLOCK_COUNTS
from tests.conftest import run_command, settle_batch_norm

# Parameters with width 8 and two detectors; a change of architecture shows here.
PARAMETERS = {
    "resnet16": 37521,
    "resnet18": 62609,
    "resnet34": 117073,
    "resnet50": 262225,
    "resnet101": 466769,
    "resnet152": 635985,
}
NAMES = list(PARAMETERS)


def small(model, /, **options):
    return build_model(model, **{"width": 8, **options})


def test_every_model_is_in_the_golden_table():
    assert list_models("resnet*") == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_parameter_count(name):
    assert small(name).count_params() == PARAMETERS[name]


@pytest.mark.parametrize("depth", BLOCK_COUNTS)
def test_number_in_the_name_is_true(depth):
    model = small(f"resnet{depth}")
    weighted = [
        layer
        for layer in model.layers
        if isinstance(layer, keras.layers.Conv1D | keras.layers.Dense) and "shortcut" not in layer.name
    ]
    assert len(weighted) == depth
    block, counts = BLOCK_COUNTS[depth]
    assert depth == 2 + {"basic": 2, "bottleneck": 3}[block] * sum(counts)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(2048, 2), (4096, 3)])
def test_output_is_finite_and_weights_move(name, shape):
    import tensorflow as tf

    model = small(name, input_shape=shape, width=4)
    assert model.input_shape == (None, *shape)
    assert model.name == name
    strain = np.random.default_rng(0).normal(size=(4, *shape)).astype("float32")
    with tf.GradientTape() as tape:
        score = model(strain, training=True)
        loss = tf.reduce_mean(tf.square(score - 1.0))
    assert score.shape == (4, 1)
    assert np.all(np.isfinite(score))
    gradients = tape.gradient(loss, [w.value for w in model.trainable_variables])
    dead = [
        w.path
        for w, g in zip(model.trainable_variables, gradients, strict=True)
        if g is None or not np.any(np.abs(g.numpy()) > 0)
    ]
    assert not dead


def test_options_reach_the_layers():
    model = small(
        "resnet18",
        kernel_size=(7, 5, 3, 3),
        stem_kernel_size=31,
        dropout=0.3,
        kernel_initializer="glorot_uniform",
        classes=3,
        classifier_activation="softmax",
        name="mine",
        crop_edges=False,
    )
    assert model.name == "mine"
    assert [model.get_layer(f"stage{s}_block0_conv2").kernel_size for s in (1, 2, 3, 4)] == [(7,), (5,), (3,), (3,)]
    assert model.get_layer("stem_conv").kernel_size == (31,)
    assert model.get_layer("dropout").rate == 0.3
    assert type(model.get_layer("stem_conv").kernel_initializer).__name__ == "GlorotUniform"
    assert "crop_edges" not in [layer.name for layer in model.layers]
    scores = model.predict(np.zeros((2, 2048, 2), "float32"), verbose=0)
    np.testing.assert_allclose(scores.sum(axis=-1), 1, rtol=1e-6)


def test_any_length_is_allowed():
    model = small("resnet18", input_shape=(None, 2))
    for samples in (2048, 3200):
        assert model.predict(np.zeros((1, samples, 2), "float32"), verbose=0).shape == (1, 1)


@pytest.mark.parametrize(
    ("name", "options", "mentioned"),
    [
        ("resnet152", {"input_shape": (1024, 2)}, "at least 1472 samples"),
        ("resnet18", {"classes": 0}, "classes=0"),
        ("resnet18", {"width": 0}, "width=0"),
        ("resnet18", {"kernel_size": (3, 3)}, "expected one number or 4"),
        ("resnet18", {"dropout": 1.0}, "dropout=1.0"),
    ],
)
def test_bad_options_are_refused(name, options, mentioned):
    with pytest.raises(InputError, match=mentioned):
        small(name, **options)


def test_unknown_block_is_refused():
    with pytest.raises(ValueError, match="expected one of 'basic', 'bottleneck'"):
        ResNet((1, 1), "inverted")


def test_shortest_input_named_in_the_error_works():
    assert small("resnet152", input_shape=(1472, 2)).output_shape == (None, 1)


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_loads_in_bare_keras_to_the_same_outputs(name, tmp_path):
    model = small(name, dropout=0.2)
    settle_batch_norm(model)
    strain = np.random.default_rng(1).normal(size=(3, 2048, 2)).astype("float32")
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "strain.npy", strain)
    # In a folder of its own and in isolated mode; an editable install is hidden too.
    code = (
        "import sys, json; sys.meta_path.insert(0, type('Hide', (), {'find_spec': staticmethod(lambda name, *a: "
        "(_ for _ in ()).throw(ImportError(name)) if name.startswith('keras_gw') else None)}));"
        "import numpy, keras; model = keras.saving.load_model('model.keras', safe_mode=True);"
        "numpy.save('score.npy', model.predict(numpy.load('strain.npy'), verbose=0));"
        "print(json.dumps([m for m in sys.modules if m.split('.')[0] == 'keras_gw_resnet']))"
    )
    result = run_command("-I", "-c", code, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout.splitlines()[-1]) == []
    np.testing.assert_array_equal(np.load(tmp_path / "score.npy"), model.predict(strain, verbose=0))
