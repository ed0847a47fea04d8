import keras
import numpy as np
import pytest
from keras import layers

from keras_gw_resnet import InputError
from keras_gw_resnet.models.cnn import ResidualCNN
from keras_gw_resnet.models.info import info_of
from tests.conftest import scores_of


def test_four_blocks_double_the_channels_and_halve_the_length():
    model = ResidualCNN(width=8)
    shapes = [model.get_layer(f"stage{s}_block0_out").output.shape[1:] for s in (1, 2, 3, 4)]
    assert shapes == [(512, 16), (256, 32), (128, 64), (64, 128)]
    assert sum(isinstance(layer, layers.Add) for layer in model.layers) == 4
    poolings = (layers.MaxPooling1D, layers.AveragePooling1D)
    assert sum(isinstance(layer, poolings) for layer in model.layers) == 1
    dropouts = [layer.name for layer in model.layers if isinstance(layer, layers.Dropout)]
    assert dropouts == [f"stage{s}_block0_dropout" for s in (1, 2, 3, 4)] + ["dropout"]


def test_initialisers_and_input_statistics():
    he, xavier = ResidualCNN(width=4), ResidualCNN(width=4, kernel_initializer="glorot_uniform")
    assert type(he.get_layer("stem_conv").kernel_initializer).__name__ == "HeNormal"
    assert type(xavier.get_layer("stem_conv").kernel_initializer).__name__ == "GlorotUniform"
    model = ResidualCNN(width=4, mean=[1.0, 2.0], variance=[4.0, 9.0])
    norm = keras.Model(model.input, model.get_layer("input_norm").output)
    strain = np.random.default_rng(0).normal(size=(1, 2048, 2)).astype("float32")
    np.testing.assert_allclose(scores_of(norm, strain), (strain - [1, 2]) / [2, 3], atol=1e-5)


@pytest.mark.parametrize("blocks", [4, 7, 100])
def test_depth_by_option(blocks):
    model = ResidualCNN(width=2, blocks=blocks)
    assert info_of(model).depth == 2 + 2 * blocks
    assert sum(isinstance(layer, layers.MaxPooling1D) for layer in model.layers) == 1


@pytest.mark.slow
def test_a_hundred_blocks_still_train():
    """Tell a sine in noise from noise alone; the loss has to fall well below that of guessing."""
    rng = np.random.default_rng(0)
    keras.utils.set_random_seed(0)
    model = ResidualCNN(width=4, blocks=100, block_dropout=0.0, dropout=0.0)
    model.compile(keras.optimizers.Adam(1e-3), keras.losses.BinaryCrossentropy(from_logits=True), jit_compile=False)
    losses = []
    for _ in range(80):
        label = (np.arange(32) % 2)[:, None].astype("float32")
        wave = np.sin(2 * np.pi * 60 * np.arange(2048) / 2048 + rng.uniform(0, 6, (32, 1)))
        strain = rng.normal(size=(32, 2048, 2)) + label[..., None] * wave[..., None]
        losses.append(float(model.train_on_batch(strain.astype("float32"), label)))
    assert np.mean(losses[-10:]) < 0.45


@pytest.mark.parametrize(
    ("options", "mentioned"),
    [
        ({"blocks": 3}, "expected 4 to 100"),
        ({"blocks": 101}, "expected 4 to 100"),
        ({"mean": [0.0, 0.0]}, "both or neither"),
        ({"mean": [0.0], "variance": [1.0]}, "expected 2 values each"),
        ({"mean": [0.0, 0.0], "variance": [1.0, 0.0]}, "variance > 0"),
        ({"mean": [0.0, float("nan")], "variance": [1.0, 1.0]}, "variance > 0"),
    ],
)
def test_bad_options(options, mentioned):
    with pytest.raises(InputError, match=mentioned):
        ResidualCNN(**options)
