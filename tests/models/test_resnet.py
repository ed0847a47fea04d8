import keras
import numpy as np
import pytest
from keras import layers

from keras_gw_resnet import InputError, ResNet, build_model, list_models
from keras_gw_resnet.models.info import info_of
from keras_gw_resnet.models.nodes import layer_giving
from keras_gw_resnet.models.resnet import BLOCK_COUNTS
from tests.conftest import scores_of

STRAIN = np.random.default_rng(0).normal(size=(4, 2048, 2)).astype("float32")


@pytest.mark.parametrize("depth", BLOCK_COUNTS)
def test_number_in_the_name_is_true(depth):
    model = build_model(f"resnet{depth}", width=4)
    weighted = [
        layer
        for layer in model.layers
        if isinstance(layer, layers.Conv1D | layers.Dense) and "shortcut" not in layer.name
    ]
    assert len(weighted) == depth == info_of(model).depth
    block, counts = BLOCK_COUNTS[depth]
    assert depth == 2 + {"basic": 2, "bottleneck": 3}[block] * sum(counts)


def test_family_is_registered():
    assert list_models("resnet*") == [f"resnet{depth}" for depth in BLOCK_COUNTS]


def test_every_convolution_has_its_norm_and_activation():
    for options in ({}, {"preactivation": True}, {"normalization": "group"}):
        model = build_model("resnet18", width=4, **options)
        names = [layer.name for layer in model.layers]
        for layer in model.layers:
            if isinstance(layer, layers.Conv1D):
                assert f"{layer.name}_norm" in names
                assert not layer.use_bias


def test_options_reach_the_layers():
    model = build_model(
        "resnet18", width=4, kernel_size=(7, 5, 3, 3), stem_kernel_size=31, dropout=0.3, crop_edges=False
    )
    assert [model.get_layer(f"stage{s}_block0_conv2").kernel_size for s in (1, 2, 3, 4)] == [(7,), (5,), (3,), (3,)]
    assert model.get_layer("stem_conv").kernel_size == (31,)
    assert model.get_layer("dropout").rate == 0.3
    assert "crop_edges" not in [layer.name for layer in model.layers]


@pytest.mark.parametrize("convs_per_block", [2, 3])
@pytest.mark.parametrize("preactivation", [False, True])
def test_convolutions_in_a_skip(convs_per_block, preactivation):
    model = ResNet((1, 2), width=4, convs_per_block=convs_per_block, preactivation=preactivation)
    assert info_of(model).depth == 2 + 3 * convs_per_block
    assert np.all(np.isfinite(scores_of(model, STRAIN)))


@pytest.mark.parametrize("block", ["basic", "bottleneck"])
@pytest.mark.parametrize("preactivation", [False, True])
def test_with_zero_init_blocks_start_as_the_identity(block, preactivation):
    model = ResNet((3,), block, width=4, zero_init=True, preactivation=preactivation)
    into, out = model.get_layer("stage1_block0_add").output, model.get_layer("stage1_block2_add").output
    inner = keras.Model(model.input, [into, out])
    first, last = (keras.ops.convert_to_numpy(x) for x in inner(STRAIN, training=False))
    # Behind a ReLU where the original order puts one at the end of each block.
    np.testing.assert_array_equal(last, first if preactivation else np.maximum(first, 0))
    assert np.abs(first).max() > 0


@pytest.mark.parametrize("preactivation", [False, True])
def test_blocks_of_zero_fill_as_training_goes_on(preactivation):
    model = ResNet((1, 1), width=4, zero_init=True, preactivation=preactivation)
    model.compile(keras.optimizers.SGD(0.5), "mse", run_eagerly=True)
    before = [w.numpy() for w in model.trainable_weights]
    for _ in range(3):
        model.train_on_batch(STRAIN, np.arange(4.0)[:, None])
    still = [w.path for w, b in zip(model.trainable_weights, before, strict=True) if np.array_equal(w.numpy(), b)]
    assert not still


def test_preactivation_shortcut_is_bare():
    model = build_model("resnet18", width=4, preactivation=True)
    add = model.get_layer("stage1_block1_add")
    assert {layer_giving(t).name for t in add.input} == {"stage1_block0_add", "stage1_block1_conv2"}


def test_stochastic_depth_rises_linearly_and_acts_in_training_alone():
    model = build_model("resnet18", width=4, stochastic_depth=0.8)
    drops = [layer for layer in model.layers if layer.name.endswith("_drop")]
    np.testing.assert_allclose([layer.rate for layer in drops], np.arange(1, 9) / 10)
    one, two = (scores_of(model, STRAIN) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    assert not np.allclose(model(STRAIN, training=True), model(STRAIN, training=True))


@pytest.mark.parametrize(
    ("options", "mentioned"),
    [
        ({"block": "inverted"}, "expected one of 'basic', 'bottleneck'"),
        ({"block_counts": ()}, "block_counts="),
        ({"block_counts": (1, 0)}, "block_counts="),
        ({"convs_per_block": 4}, "expected 2 or 3"),
        ({"kernel_size": (3, 3, 3)}, "expected one number or 2"),
        ({"dilation_rate": (1, 0)}, "dilation_rate"),
        ({"normalization": "layer"}, "expected one of batch, group"),
        ({"stochastic_depth": 1.0}, "stochastic_depth=1.0"),
        ({"crop_edges": True, "input_shape": (16, 2)}, "or crop_edges=False"),
    ],
)
def test_bad_options(options, mentioned):
    with pytest.raises(InputError, match=mentioned):
        ResNet(**{"block_counts": (1, 1), **options})


def test_shortest_input_for_cropped_edges():
    with pytest.raises(InputError, match="at least 1472 samples"):
        build_model("resnet152", width=4, input_shape=(1024, 2), crop_edges=True)
    build_model("resnet152", width=4, input_shape=(1472, 2), crop_edges=True)
