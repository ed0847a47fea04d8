import keras
import numpy as np
import pytest

from keras_gw_resnet import InputError, build_model
from keras_gw_resnet.models.front import front_layers, front_of
from keras_gw_resnet.models.graph import positions_of
from keras_gw_resnet.models.graph_blocks import blocks_of
from keras_gw_resnet.models.heads import shift_logits
from keras_gw_resnet.models.ranking import LIMIT
from keras_gw_resnet.search.folding import for_inference
from keras_gw_resnet.search.scan import Scanner
from keras_gw_resnet.zoo import load_model
from tests.models.ranked import (
    POSITIONS,
    SMALL,
    WEIGHT,
    noise,
    with_statistic,
    with_statistic_alone,
)

pytestmark = pytest.mark.usefixtures("seeded")


def test_each_place_has_its_statistic_added(both):
    model, more = both
    strain = noise(2048)
    before, after = (np.asarray(keras.Model(m.input, positions_of(m).output)(strain))[:, :, 0] for m in both)
    near = [np.asarray(keras.Model(model.input, model.get_layer(f"snr_near_{d}").output)(strain)) for d in range(2)]
    joined = np.minimum(near[0], LIMIT) + np.minimum(near[1], LIMIT)
    largest = np.log(np.exp(joined).sum(axis=-1)).reshape(2, 64, 4).max(axis=-1)
    (first, _), count = model.get_layer("crop_edges").cropping, before.shape[1]
    # A position takes four features, whose middle lies in the third: strides of 'same' padding see more on the right.
    np.testing.assert_allclose(after - before, WEIGHT * largest[:, first + 2 : first + 2 + count], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(more(strain)[:, 0], np.log(np.exp(after).sum(axis=1)), rtol=1e-4)


def test_the_place_of_a_signal_takes_the_statistic_of_that_signal(both):
    _, more = both
    strain = noise(2048, 1) * 0.01
    basis = np.asarray(more.get_layer("template_basis").kernel)[:, 0, :]
    template = basis @ np.asarray(more.get_layer("templates_in_phase").kernel)[0, :, 0]
    middles = []
    for start in (836, 868, 900):
        loud = strain.copy()
        loud[0, start : start + 256] += 8 * template[:, None]
        only = with_statistic_alone(more)
        middles.append(np.argmax(np.asarray(keras.Model(only.input, positions_of(only).output)(loud))[0, :, 0]))
    cropped = more.get_layer("crop_edges").cropping[0]
    assert np.diff(middles).tolist() == [1, 1]
    # What the loudest position takes has its middle within a feature of the template's.
    assert abs((cropped + middles[0]) * 32 + 75.5 - (836 + 128)) < 32


def test_the_builder_makes_the_same_network(both, tmp_path):
    _, more = both
    more.save(tmp_path / "model.keras")
    options = {**SMALL, **POSITIONS, "statistic_shortcut": WEIGHT}
    built = build_model("resnet16", **options, weights=str(tmp_path / "model.keras"))
    np.testing.assert_allclose(built(noise(2048)), more(noise(2048)), rtol=1e-5)
    fresh = positions_of(build_model("resnet16", **options)).get_weights()[0]
    assert fresh[:, -1, 0].tolist() == [0, 0, WEIGHT, 0]


@pytest.mark.parametrize("other", [{"crop_edges": False}, {"normalization": "group"}])
def test_features_that_are_not_cropped_have_it_too(other):
    model = build_model("resnet16", **SMALL, **POSITIONS, **other, statistic_shortcut=WEIGHT)
    assert front_of(model).statistic_shortcut and np.isfinite(float(model(noise(2048, 1))[0, 0]))


@pytest.mark.parametrize(
    ("own", "other"),
    [
        ({"statistic_shortcut": WEIGHT}, {}),
        ({}, {"statistic_shortcut": WEIGHT}),
        ({"statistic_shortcut": WEIGHT}, {"statistic_shortcut": 0.1}),
        ({"include_top": False, "pooling": None}, {"statistic_shortcut": 0.1}),
    ],
)
def test_weights_of_networks_with_and_without_it(own, other, tmp_path):
    saved = build_model("resnet16", **SMALL, **POSITIONS, **other)
    saved.save(tmp_path / "model.keras")
    model = build_model("resnet16", **{**SMALL, **POSITIONS, **own}, weights=str(tmp_path / "model.keras"))
    block = "stage4_block0_conv2"
    np.testing.assert_array_equal(model.get_layer(block).kernel, saved.get_layer(block).kernel)
    if "include_top" in own:
        return
    kernel, known = positions_of(model).get_weights()[0], positions_of(saved).get_weights()[0]
    np.testing.assert_array_equal(kernel[:, :32], known[:, :32])
    if own:
        assert kernel[2, -1, 0] == pytest.approx(other.get("statistic_shortcut", WEIGHT))
    assert kernel.shape[1] == 32 + bool(own)


def test_a_deeper_network_begins_where_the_shallower_ended(both, tmp_path):
    both[1].save(tmp_path / "model.keras")
    deeper = build_model(
        "resnet18", **SMALL, **POSITIONS, statistic_shortcut=WEIGHT, weights=str(tmp_path / "model.keras")
    )
    kernel, known = positions_of(deeper).get_weights()[0], positions_of(both[1]).get_weights()[0]
    np.testing.assert_array_equal(kernel, known)
    assert [block.name for block in blocks_of(deeper)][:1] == ["stage1_block0"] and len(blocks_of(deeper)) == 8


def test_dropout_and_activation_stay():
    options = {**SMALL, **POSITIONS, "dropout": 0.2, "classifier_activation": "sigmoid"}
    model = build_model("resnet16", **options, statistic_shortcut=WEIGHT)
    assert front_of(model).statistic_shortcut and model.get_layer("dropout").rate == 0.2
    last = model.layers[-1]
    assert isinstance(last, keras.layers.Activation) and last.activation is keras.activations.sigmoid
    strain = noise(2048, 1)
    logit = np.asarray(keras.Model(model.input, last.input)(strain))
    np.testing.assert_allclose(model(strain), 1 / (1 + np.exp(-logit)), rtol=1e-5)


def test_a_scan_equals_the_windows(both):
    _, more = both
    strain = noise(4096, 1)[0]
    scanner = Scanner(more)
    scores = scanner.scan(strain).scores
    assert scanner.exact and scanner.slides and np.std(scores) > 1e-2
    assert scanner.difference(strain, scores) < 1e-3


def test_the_shortcut_keeps_its_digits_in_half_precision(both):
    model, more = both
    half = for_inference(more, precision="bfloat16")
    assert {"statistic_pool", "statistic_and_features", "crop_edges", "score"} <= front_layers(more) - front_layers(
        model
    )
    assert {half.get_layer(name).compute_dtype for name in ("statistic_and_features", "crop_edges", "score")} == {
        "float32"
    }
    np.testing.assert_allclose(half(noise(2048)), more(noise(2048)), atol=0.1)


@pytest.mark.parametrize("weight", [True, -1.0, float("nan"), [1], "a"])
def test_other_weights_are_refused(weight):
    with pytest.raises(InputError, match="expected a finite number"):
        build_model("resnet16", **SMALL, **POSITIONS, statistic_shortcut=weight)


@pytest.mark.parametrize(
    ("options", "lacking"),
    [
        (SMALL, "no positions"),
        ({"width": 4, **POSITIONS}, "no matched filter that joins"),
        ({**SMALL, **POSITIONS, "coincidence": False}, "no matched filter that joins"),
    ],
)
def test_networks_without_matched_filter_or_places_are_refused(options, lacking):
    with pytest.raises(InputError, match=lacking):
        build_model("resnet16", **options, statistic_shortcut=WEIGHT)


def test_a_glitch_in_one_detector_counts_as_snr_8_at_most(both):
    alone = with_statistic_alone(both[1])
    quiet = noise(2048, 1)
    loud = quiet.copy()
    loud[0, 900:1000, 0] *= 1000
    assert np.max(np.abs(alone(loud) - alone(quiet))) < WEIGHT * LIMIT


def test_a_loaded_network_may_get_one(both, tmp_path):
    both[0].save(tmp_path / "model.keras")
    keras.backend.clear_session()
    model = keras.saving.load_model(tmp_path / "model.keras")
    with_statistic(model).save(tmp_path / "more.keras")
    again = keras.saving.load_model(tmp_path / "more.keras", safe_mode=True)
    np.testing.assert_allclose(again(noise(2048)), both[1](noise(2048)), rtol=1e-5)


def test_shifted_logits_shift_the_score(both):
    more = keras.models.clone_model(both[1])
    more.set_weights(both[1].get_weights())
    shift_logits(more, -3.0)
    np.testing.assert_allclose(more(noise(2048)), both[1](noise(2048)) - 3, rtol=1e-4)


def test_options_that_leave_out_what_is_ranked_leave_out_all_of_it():
    for options in ({"include_top": False}, {"statistic_shortcut": 0.0}):
        model = build_model("resnet18", weights="flagship", **options)
        assert model.parts.front == load_model("flagship")[0].parts.front.unranked()
