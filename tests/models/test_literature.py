import keras
import pytest
from keras import layers

from keras_gw_resnet import build_model
from keras_gw_resnet.models.info import info_of


def convolutions(model, *, shortcuts=False):
    return [
        layer for layer in model.layers if isinstance(layer, layers.Conv1D) and ("shortcut" in layer.name) == shortcuts
    ]


def test_aresgw_is_what_the_article_describes():
    model = build_model("aresgw54")
    blocks = [layer for layer in convolutions(model) if layer.name.startswith("group")]
    assert len(blocks) == 54
    assert {layer.kernel_size for layer in blocks} == {(3,)}
    channels = [layer.filters for layer in blocks[::2]]
    assert channels == [8] * 4 + [16] * 3 + [32] * 3 + [64] * 9 + [32] * 5 + [16] * 3
    strided = [layer.name for layer in blocks if layer.strides == (2,)]
    assert strided == [f"group{g}_block0_conv2" for g in (2, 3, 4, 5, 6)]
    assert {layer.kernel_size for layer in convolutions(model, shortcuts=True)} == {(1,)}
    head = model.get_layer("head_conv")
    assert (head.filters, head.kernel_size, head.output.shape) == (32, (64,), (None, 1, 32))
    wide = build_model("aresgw54-wide")
    assert [layer.filters for layer in convolutions(wide)] == [2 * layer.filters for layer in convolutions(model)]


def test_gabbard_and_george_huerta():
    model = build_model("gabbard2018")
    assert [(c.filters, c.kernel_size[0]) for c in convolutions(model)] == [
        (8, 64), (8, 32), (16, 32), (16, 16), (32, 16), (32, 16)
    ]  # fmt: skip
    assert [p.pool_size[0] for p in model.layers if isinstance(p, layers.MaxPooling1D)] == [8, 6, 4]
    assert [d.units for d in model.layers if isinstance(d, layers.Dense)] == [64, 64, 1]
    model = build_model("george-huerta2018", input_shape=(8192, 1))
    assert [(c.filters, c.kernel_size[0], c.dilation_rate[0]) for c in convolutions(model)] == [
        (16, 16, 1), (32, 8, 4), (64, 8, 4)
    ]  # fmt: skip
    assert info_of(model).depth == 5


def test_aframe_has_group_norm_alone():
    model = build_model("aframe", input_shape=(3072, 2), width=16)
    norms = [type(layer) for layer in model.layers if "norm" in layer.name]
    assert set(norms) == {keras.layers.GroupNormalization}
    assert info_of(model).depth == 34


@pytest.mark.parametrize("name", ["aresgw54", "gabbard2018", "george-huerta2018", "aframe"])
def test_docstrings_name_the_source_and_what_it_leaves_open(name):
    from keras_gw_resnet.models.registry import MODELS

    text = " ".join(MODELS[name][0].__doc__.split())
    assert "arXiv" in text
    assert "From the source" in text
    assert "ot stated" in text
