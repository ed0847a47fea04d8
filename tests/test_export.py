import keras
import numpy as np
import pytest

from keras_gw_resnet import InputError, build_model, list_models
from keras_gw_resnet.export import FORMATS, export_model
from tests.conftest import settle_batch_norm

FAST = ["resnet18", "highway20", "residual-cnn", "stacked-mixed", "aresgw54", "gabbard2018", "george-huerta2018"]


CASES = [
    pytest.param(name, shape, marks=[] if name in FAST and shape == (2048, 2) else pytest.mark.slow)
    for name in list_models()
    for shape in ((2048, 2), (4096, 3))
]


def calm(name, shape):
    """Build a network; one of a hundred random layers and more would amplify rounding beyond what trained ones do."""
    keras.utils.set_random_seed(4)
    if name not in ("resnet101", "resnet152"):
        return build_model(name, width=4, input_shape=shape)
    model = build_model(name, width=4, input_shape=shape, zero_init=True)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization) and not np.any(layer.gamma):
            layer.gamma.assign(np.full(layer.gamma.shape, 0.3))
    return model


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_savedmodel_gives_the_same_scores(name, shape, tmp_path):
    model = calm(name, shape)
    settle_batch_norm(model)
    path, difference = export_model(model, {"name": name}, "savedmodel", tmp_path / "out")
    assert difference < 1e-4
    assert path.name == "saved_model"


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("resnet18", {"input_shape": (None, 2)}),
        ("residual-cnn", {"mean": [1.0, 2.0], "variance": [3.0, 4.0]}),
        ("resnet16", {"templates": 4, "template_samples": 64, "coincidence": True}),
        ("resnet16", {"templates": 4, "template_samples": 64, "template_stride": 2}),
    ],
)
def test_onnx_gives_the_same_scores(name, options, tmp_path):
    pytest.importorskip(
        "tf2onnx", reason="ONNX EXTRA ABSENT: pip install tf2onnx onnx onnxruntime; this check did not run"
    )
    pytest.importorskip("onnxruntime", reason="ONNX EXTRA ABSENT: this check did not run")
    model = build_model(name, width=4, **options)
    settle_batch_norm(model)
    path, difference = export_model(model, {}, "onnx", tmp_path / "out")
    assert difference < 1e-4
    assert path.name == "model.onnx"


def test_without_the_extra_onnx_says_what_to_install(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    with pytest.raises(InputError, match="onnx"):
        export_model(build_model("resnet16", width=4), {}, "onnx", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_an_exporter_that_fails_ends_in_one_line(tmp_path, monkeypatch):
    def failing(model, folder, strain):
        raise RuntimeError("first line\nsecond line")

    monkeypatch.setitem(FORMATS, "failing", failing)
    with pytest.raises(InputError, match=r"the failing export failed \(first line\)"):
        export_model(build_model("resnet16", width=4), {}, "failing", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_an_export_that_differs_is_refused(tmp_path, monkeypatch):
    def wrong(model, folder, strain):
        return "x", np.full((len(strain), 1), 9.0)

    monkeypatch.setitem(FORMATS, "wrong", wrong)
    with pytest.raises(InputError, match="differs from the network"):
        export_model(build_model("resnet16", width=4), {}, "wrong", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
