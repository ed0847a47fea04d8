import json

import numpy as np
import pytest

from keras_gw_resnet import InputError, build_model
from keras_gw_resnet.models.weights import list_saved
from tests.conftest import scores_of

STRAIN = np.random.default_rng(0).normal(size=(2, 2048, 2)).astype("float32")


@pytest.fixture
def saved(tmp_path):
    model = build_model("resnet16", width=4)
    model.save(tmp_path / "model.keras")
    return model, tmp_path


def test_weights_from_a_path(saved):
    model, folder = saved
    for source in (folder, folder / "model.keras", str(folder)):
        other = build_model("resnet16", width=4, weights=source)
        np.testing.assert_array_equal(scores_of(other, STRAIN), scores_of(model, STRAIN))


def test_weights_of_another_architecture(saved):
    _, folder = saved
    with pytest.raises(InputError, match=r"another architecture.*differ first at"):
        build_model("resnet18", width=4, weights=folder)
    with pytest.raises(InputError, match=r"another architecture.*stem_conv"):
        build_model("resnet16", width=8, weights=folder)


def test_a_changed_file_is_refused(saved):
    _, folder = saved
    (folder / "card.json").write_text(json.dumps({"sha256": "0" * 64}))
    with pytest.raises(InputError, match="changed or damaged"):
        build_model("resnet16", width=4, weights=folder)


def test_no_network(tmp_path):
    (tmp_path / "model.keras").write_text("nothing")
    with pytest.raises(InputError, match="Keras cannot load it"):
        build_model("resnet16", width=4, weights=tmp_path)


@pytest.mark.parametrize("name", list_saved())
def test_weights_by_name(name):
    from keras_gw_resnet import load_model

    model, card = load_model(name)
    if card["model"] == "ensemble":
        pytest.skip("an ensemble is not built from a name")
    shape = (card["window_samples"], len(card["detectors"]))
    built = build_model(card["model"], input_shape=shape, weights=name, **card["options"])
    strain = np.random.default_rng(0).normal(size=(2, *shape)).astype("float32")
    np.testing.assert_array_equal(scores_of(built, strain), scores_of(model, strain))
