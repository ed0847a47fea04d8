import json

import keras
import numpy as np
import pytest

from keras_gw_resnet import DenseNet, HighwayNet, InputError, ResNet, ResNet16, build_model, load_model
from keras_gw_resnet.models import blocks
from tests.conftest import saved_names, scores_of, settle_batch_norm

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
        build_model("resnet18", width=4, kernel_size=5, weights=folder)
    with pytest.raises(InputError, match=r"another architecture.*differ first at"):  # of two blocks it would lose one
        build_model("resnet16", width=4, weights=build_deeper(folder))
    for width in (2, 6):
        with pytest.raises(InputError, match=r"another architecture.*stem_conv"):
            build_model("resnet16", width=width, weights=folder)


def test_the_same_shapes_in_another_architecture_are_refused(tmp_path):
    from keras_gw_resnet import StackedNetwork

    path = tmp_path / "plain.keras"
    StackedNetwork([("plain", 2)], width=4).save(path)
    with pytest.raises(InputError, match="another architecture"):
        StackedNetwork([("residual", 1)], width=4, weights=path)
    build_model("resnet16", width=4, crop_edges=False).save(path)
    with pytest.raises(InputError, match="another architecture"):
        build_model("resnet16", width=4, weights=path)
    # What goes into the activation is the same network.
    build_model("resnet16", width=4, classifier_activation="sigmoid", weights=build_saved(tmp_path))


def build_deeper(folder):
    build_model("resnet18", width=4).save(folder / "deeper.keras")
    return folder / "deeper.keras"


def build_saved(folder):
    build_model("resnet16", width=4, dropout=0.5).save(folder / "net.keras")
    return folder / "net.keras"


def test_input_statistics_come_with_the_weights(tmp_path):
    path = tmp_path / "cnn.keras"
    model = build_model("residual-cnn", width=4, mean=[5.0, 5.0], variance=[4.0, 4.0])
    model.save(path)
    again = build_model("residual-cnn", width=4, weights=path)
    np.testing.assert_array_equal(scores_of(again, STRAIN), scores_of(model, STRAIN))
    again.save(tmp_path / "again.keras")
    loaded = keras.saving.load_model(tmp_path / "again.keras")
    np.testing.assert_array_equal(scores_of(loaded, STRAIN), scores_of(model, STRAIN))


@pytest.mark.parametrize("pooling", [None, "avg"])
def test_a_trunk_takes_what_is_before_the_last_layer(tmp_path, pooling):
    model = build_model("resnet16", width=4)
    model.save(tmp_path / "net.keras")
    trunk = build_model("resnet16", width=4, include_top=False, pooling=pooling, weights=tmp_path / "net.keras")
    for own, saved in zip(trunk.weights, model.weights, strict=False):
        np.testing.assert_array_equal(own.numpy(), saved.numpy())
    if pooling:
        pooled = keras.Model(model.input, model.get_layer("pool").output)
        np.testing.assert_array_equal(scores_of(trunk, STRAIN), scores_of(pooled, STRAIN))


def test_a_changed_file_is_refused(saved):
    _, folder = saved
    (folder / "card.json").write_text(json.dumps({"sha256": "0" * 64}))
    with pytest.raises(InputError, match="changed or damaged"):
        build_model("resnet16", width=4, weights=folder)


def test_no_network(tmp_path):
    (tmp_path / "model.keras").write_text("nothing")
    with pytest.raises(InputError, match="Keras cannot load it"):
        build_model("resnet16", width=4, weights=tmp_path)


@pytest.mark.parametrize("name", saved_names())
def test_weights_by_name(name):
    from keras_gw_resnet import load_model

    model, card = load_model(name)
    if card["model"] == "ensemble":
        pytest.skip("an ensemble is not built from a name")
    shape = (card["window_samples"], len(card["detectors"]))
    built = build_model(card["model"], input_shape=shape, **{**card["options"], "weights": name})
    strain = np.random.default_rng(0).normal(size=(2, *shape)).astype("float32")
    np.testing.assert_array_equal(scores_of(built, strain), scores_of(model, strain))


def test_every_second_sample_before_a_convolution_is_its_stride(tmp_path, monkeypatch):
    """Networks of a few channels, which are built so, take weights of those that are not, and the other way round."""
    strain = np.random.default_rng(0).normal(size=(4, 2048, 2)).astype("float32")
    for at_once in (8, 1):
        monkeypatch.setattr(blocks, "AT_ONCE", at_once)
        model = build_model("resnet16", width=4)
        settle_batch_norm(model)
        model.save(tmp_path / f"{at_once}.keras")
        monkeypatch.setattr(blocks, "AT_ONCE", 9 - at_once)
        built = build_model("resnet16", width=4, weights=tmp_path / f"{at_once}.keras")
        assert len(built.layers) != len(model.layers)
        np.testing.assert_allclose(scores_of(built, strain), scores_of(model, strain), atol=1e-5)


@pytest.mark.parametrize("width", [4, 8])
def test_places_begin_as_the_average_over_them(tmp_path, width):
    """A network that pools logits of positions takes the weights of one that averages, a wider one too; its one position is the average."""
    model = build_model("resnet18", width=4)
    settle_batch_norm(model)
    model.save(tmp_path / "net.keras")
    length = model.get_layer("crop_edges").output.shape[1]
    whole = {"pooling": "logsumexp", "head_kernel_size": length, "weights": tmp_path / "net.keras"}
    strain = np.random.default_rng(0).normal(size=(4, 2048, 2)).astype("float32")
    np.testing.assert_allclose(
        scores_of(build_model("resnet18", width=width, **whole), strain), scores_of(model, strain), atol=1e-5
    )
    assert build_model("resnet18", width=4, **{**whole, "head_kernel_size": 12}).get_layer("score").output.shape[1] > 1
    with pytest.raises(InputError, match="another architecture"):
        build_model("resnet16", width=4, **whole)


@pytest.mark.parametrize(
    ("block", "options"),
    [
        ("bottleneck", {}),
        ("basic", {"preactivation": True}),
        ("basic", {"pooling": "logsumexp", "head_kernel_size": 4}),
    ],
)
def test_a_deeper_network_begins_where_the_shallower_one_ended(tmp_path, block, options):
    whole = {"width": 4, "crop_edges": False, **options}  # what is cropped grows with depth
    model = ResNet((1, 1), block, **whole)
    settle_batch_norm(model)
    model.save(tmp_path / "net.keras")
    deeper = ResNet((2, 3), block, **whole, weights=tmp_path / "net.keras")
    np.testing.assert_allclose(scores_of(deeper, STRAIN), scores_of(model, STRAIN), rtol=1e-4, atol=1e-5)
    # The new blocks learn: the score moves by what they add.
    known = {own.name for own in model.layers}
    for layer in deeper.layers:
        layer.trainable = layer.name not in known
    deeper.compile(optimizer="sgd", loss="mse")
    before = scores_of(deeper, STRAIN)
    deeper.fit(STRAIN, np.ones((len(STRAIN), 1)), epochs=2, verbose=0)
    assert not np.allclose(scores_of(deeper, STRAIN), before)


def test_a_deeper_network_crops_more(tmp_path):
    ResNet((2, 2, 2), width=4).save(tmp_path / "net.keras")
    deeper = ResNet((2, 2, 6), width=4, weights=tmp_path / "net.keras")
    assert np.all(np.isfinite(scores_of(deeper, STRAIN)))


def test_a_deeper_highway_network_is_refused(tmp_path):
    HighwayNet((1, 1), width=4).save(tmp_path / "net.keras")
    with pytest.raises(InputError, match="another architecture"):
        HighwayNet((2, 1), width=4, weights=tmp_path / "net.keras")


@pytest.mark.parametrize(
    ("build", "options"),
    [
        (ResNet, {"block_counts": (1, 1), "pooling": "logsumexp", "head_kernel_size": 4}),
        (ResNet, {"block_counts": (1, 2), "block": "bottleneck"}),
        (ResNet, {"block_counts": (1, 1), "normalization": "group"}),
        (ResNet, {"block_counts": (1, 1), "templates": 4, "template_samples": 64, "coincidence": True}),
        (HighwayNet, {"block_counts": (1, 1)}),
        (DenseNet, {"block_counts": (2, 2)}),
    ],
)
def test_a_wider_network_begins_where_the_narrower_one_ended(tmp_path, build, options):
    keras.utils.set_random_seed(1)  # with some weights a ReLU lets no gradient through
    model = build(**options, width=8)
    settle_batch_norm(model)
    model.save(tmp_path / "net.keras")
    wider = build(**options, width=24, weights=tmp_path / "net.keras")
    # The matched filter is as it was.
    more, fewer = (sum(int(np.prod(weight.shape)) for weight in net.trainable_weights) for net in (wider, model))
    assert more > 4 * fewer
    np.testing.assert_allclose(scores_of(wider, STRAIN), scores_of(model, STRAIN), rtol=1e-4, atol=1e-4)
    # The copies learn different things.
    wider.compile(optimizer="adam", loss="mse")
    wider.fit(STRAIN, np.ones((len(STRAIN), 1)), epochs=2, verbose=0)
    for layer in wider.layers:
        if type(layer).__name__ == "Conv1D" and layer.filters > 1 and layer.trainable:
            one, two = np.moveaxis(layer.get_weights()[0], -1, 0)[:2]
            assert np.max(np.abs(one - two)) > 1e-5, layer.name


def test_templates_are_not_copied(tmp_path):
    stem = {"width": 4, "template_samples": 64}
    ResNet((1, 1), **stem, templates=4).save(tmp_path / "net.keras")
    with pytest.raises(InputError, match=r"another architecture.*templates_in_phase"):
        ResNet((1, 1), **stem, templates=8, weights=tmp_path / "net.keras")


def test_templates_tried_more_often_are_not_mixed_up(tmp_path):
    """Half as many templates, each at twice as many shifts, have weights of the same shapes."""
    ResNet((1, 1), width=4, template_samples=64, templates=4, template_stride=2).save(tmp_path / "net.keras")
    with pytest.raises(InputError, match=r"every 2 samples.*template_stride=2"):
        ResNet((1, 1), width=8, template_samples=64, templates=8, template_stride=4, weights=tmp_path / "net.keras")


def test_a_wider_and_deeper_network_takes_both(tmp_path):
    whole = {"crop_edges": False, "pooling": "logsumexp", "head_kernel_size": 4}
    model = ResNet((1, 1), "bottleneck", width=4, **whole)
    settle_batch_norm(model)
    model.save(tmp_path / "net.keras")
    other = ResNet((2, 2), "bottleneck", width=8, **whole, weights=tmp_path / "net.keras")
    np.testing.assert_allclose(scores_of(other, STRAIN), scores_of(model, STRAIN), rtol=1e-4, atol=1e-4)


def test_the_window_comes_from_the_card():
    """As docs/networks.md has it; the flagship's is longer than the usual one."""
    from keras_gw_resnet import load_model

    saved, _ = load_model("flagship")
    strain = np.random.default_rng(0).normal(size=(2, *saved.input_shape[1:])).astype("float32")
    built = build_model("resnet18", weights="flagship")
    assert built.input_shape == saved.input_shape == (None, 3072, 2) and built.parts == saved.parts
    np.testing.assert_array_equal(scores_of(built, strain), scores_of(saved, strain))
    assert build_model("resnet18", weights="flagship", input_shape=(8192, 2)).input_shape == (None, 8192, 2)


def test_options_come_from_the_card():
    network = build_model("resnet16", weights="resnet16-w16")
    saved = load_model("resnet16-w16")[0]
    for own, known in zip(network.get_weights(), saved.get_weights(), strict=True):
        np.testing.assert_array_equal(own, known)
    assert build_model("resnet16", weights="resnet16-w16", include_top=False).output_shape[-1] > 1
    plain = build_model("resnet16", weights="resnet16-w16", statistic_shortcut=0)
    assert not any(layer.name.startswith("statistic") for layer in plain.layers)
    # One that differs leaves the others as they are, and a width may: a wider network begins with the weights.
    assert build_model("resnet16", weights="resnet16-w16", width=32).input_shape == saved.input_shape
    strict = build_model("resnet16", weights="resnet16-w16", consistency_tolerance=1.0)
    assert strict.count_params() == saved.count_params()
    with pytest.raises(InputError, match=r"resnet16-w16.: [^,]*, it has width=16$"):
        build_model("resnet16", width=8, weights="resnet16-w16")
    with pytest.raises(InputError, match=r"resnet16-w16.: .* it has .*templates=128"):
        build_model("resnet16", templates=64, weights="resnet16-w16")


def test_a_builder_takes_the_options_of_the_card_too():
    """As build_model does, by whatever name the network goes."""
    saved = load_model("resnet16-w16")[0]
    for network in (ResNet16(weights="resnet16-w16"), build_model("resnet16", name="mine", weights="resnet16-w16")):
        for own, known in zip(network.get_weights(), saved.get_weights(), strict=True):
            np.testing.assert_array_equal(own, known)
    with pytest.raises(InputError, match=r"^weights=.resnet16-w16.: other than in this call, it has width=16$"):
        ResNet16(width=8, weights="resnet16-w16")


def test_a_weights_file_loads_into_a_network_built_alike(tmp_path):
    path = tmp_path / "own.weights.h5"
    model = build_model("resnet16", width=4)
    model.save_weights(path)
    again = build_model("resnet16", width=4, weights=path)
    for own, known in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(own, known)
    with pytest.raises(InputError, match=r"own\.weights\.h5: its weights do not fit"):
        build_model("resnet16", width=8, weights=path)
    ResNet((1, 1), width=4).save_weights(path)
    with pytest.raises(InputError, match=r"own\.weights\.h5: its weights do not fit"):
        ResNet((1, 2), width=4, weights=path)
    path.write_bytes(b"no weights")
    with pytest.raises(InputError, match=r"own\.weights\.h5"):
        build_model("resnet16", width=4, weights=path)
    with pytest.raises(InputError, match=r"none\.weights\.h5: no such file"):
        build_model("resnet16", width=4, weights=tmp_path / "none.weights.h5")
