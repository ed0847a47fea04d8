import keras
import numpy as np
import pytest

from keras_gw_resnet import InputError, build_model
from keras_gw_resnet.models.front import front_layers, front_of, set_phases, set_templates
from keras_gw_resnet.models.graph import positions_of
from keras_gw_resnet.models.graph_blocks import blocks_of
from keras_gw_resnet.models.heads import shift_logits
from keras_gw_resnet.models.matched_filter import FURTHER_LIMIT, FURTHER_VARIANCE, STRIDE
from keras_gw_resnet.models.ranking import (
    CONCENTRATION,
    EARLY_BASIS_LAYER,
    EARLY_SAMPLES,
    LIGHT,
    LIMIT,
    LOW_PASS_LAYER,
    LOW_PASS_TAPS,
    OWN_LAYERS,
    STATISTIC,
)
from keras_gw_resnet.models.transfer import copy_trained
from keras_gw_resnet.search.folding import for_inference
from keras_gw_resnet.search.scan import Scanner
from keras_gw_resnet.zoo import load_model
from tests.conftest import settle_batch_norm

SMALL = {"width": 4, "templates": 3, "template_samples": 256, "coincidence": True}
POSITIONS = {"pooling": "logsumexp", "head_kernel_size": 4}
WEIGHT = 0.5


@pytest.fixture(autouse=True, scope="module")
def seeded():
    keras.utils.set_random_seed(5)


def with_statistic(model, **options):
    """The network with what is ranked, and the weights of one without."""
    more = build_model("resnet16", **SMALL, **POSITIONS, statistic_shortcut=WEIGHT, **options)
    copy_trained(more, model)
    return more


@pytest.fixture(scope="module")
def both(seeded):
    """A network without the ranking statistic, and the same with it."""
    model = build_model("resnet16", **SMALL, **POSITIONS)
    rng = np.random.default_rng(3)
    basis = np.linalg.qr(rng.normal(size=(256, 64)))[0].T.astype("float32")
    set_templates(model, basis, *rng.normal(size=(2, 3, 64)).astype("float32") / 8)
    settle_batch_norm(model)
    return model, with_statistic(model)


def noise(samples, examples=2):
    return np.random.default_rng(4).normal(size=(examples, samples, 2)).astype("float32")


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


def with_statistic_alone(model):
    """The network with all weights of its last convolution zero but those of the statistic."""
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    kernel, bias = positions_of(copy).get_weights()
    kernel[:, :-1] = 0
    positions_of(copy).set_weights([kernel, bias])
    return copy


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
        ({"width": 4, **POSITIONS}, "no stem that joins"),
        ({**SMALL, **POSITIONS, "coincidence": False}, "no stem that joins"),
    ],
)
def test_networks_without_stem_or_places_are_refused(options, lacking):
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


@pytest.fixture(scope="module")
def own(both):
    """The network with a ranking statistic that has two templates of its own."""
    more = with_statistic(both[0], statistic_templates=2)
    rng = np.random.default_rng(6)
    for name in OWN_LAYERS:
        more.get_layer(name).set_weights([rng.normal(size=(1, 64, 4)).astype("float32") / 8])
    return more


def own_phases(model, own, strain):
    """What two templates of the ranking statistic's own give, each 4 samples apart: arrays (phase, detector, batch, times, templates)."""
    basis = np.asarray(model.get_layer("template_basis").kernel)[:, 0]
    padded = np.pad(strain, ((0, 0), (124, 124), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, 256, axis=1)[:, ::8]
    phases = [own.get_layer(name).get_weights()[0][0] for name in OWN_LAYERS]
    filtered = [windows[:, :, detector] @ basis for detector in range(2)]
    return [[(kernels @ phase).reshape(len(strain), -1, 2) for kernels in filtered] for phase in phases]


def added(model, more, strain):
    """What the ranking statistic adds to the logit of every position, and what it should be of a statistic of each step of the stem."""
    before, after = (np.asarray(keras.Model(m.input, positions_of(m).output)(strain))[:, :, 0] for m in (model, more))
    (first, _), count = model.get_layer("crop_edges").cropping, before.shape[1]

    def of(joined):
        largest = np.log(np.exp(joined).sum(axis=-1)).reshape(len(strain), 64, 4).max(axis=-1)
        return WEIGHT * largest[:, first + 2 : first + 2 + count]

    return after - before, of


def test_templates_of_its_own_are_ranked(both, own):
    model, strain = both[0], noise(2048)
    half = 0
    for powers in np.square(own_phases(model, own, strain)).sum(axis=0) / 2:
        power = np.pad(powers.reshape(2, 256, 2, 2).max(axis=2), ((0, 0), (1, 1), (0, 0)))
        half += np.minimum(np.max([power[:, :-2], power[:, 1:-1], power[:, 2:]], axis=0), LIMIT)
    given, of = added(model, own, strain)
    np.testing.assert_allclose(given, of(half), rtol=1e-3, atol=1e-3)
    assert [front_of(m).statistic_templates for m in (own, both[1], model)] == [2, 0, 0]


@pytest.fixture(scope="module")
def coherent(both, own):
    """The same with templates that join the detectors by their phases."""
    more = with_statistic(both[0], statistic_templates=2, statistic_coherent=True)
    for name in OWN_LAYERS:
        more.get_layer(name).set_weights(own.get_layer(name).get_weights())
    return more


@pytest.mark.parametrize("loud", [1, 12])
def test_phases_are_joined(both, coherent, loud):
    """By the definition, as complex numbers and delay by delay."""
    model, strain = both[0], noise(2048)
    strain[0, 900:1100, 0] *= loud
    snr = np.array([1, 1j]) @ np.moveaxis(own_phases(model, coherent, strain), 0, -2)
    snr = snr * np.minimum(1, np.sqrt(2 * LIMIT) / np.abs(snr))
    assert loud == 1 or np.abs(snr).max() == pytest.approx(np.sqrt(2 * LIMIT))
    # The times are those of the last detector, the delays those of the first.
    padded = np.pad(snr[0], ((0, 0), (5, 5), (0, 0)))
    found = []
    for delay in range(11):
        a, b = snr[1], padded[:, delay : delay + 512]
        towards = np.abs(a * np.conj(b) / 2 - CONCENTRATION)
        found.append((np.abs(a) ** 2 + np.abs(b) ** 2) / 4 + towards - CONCENTRATION)
    given, of = added(model, coherent, strain)
    np.testing.assert_allclose(given, of(np.max(found, axis=0).reshape(2, 256, 2, 2).max(axis=2)), rtol=1e-3, atol=2e-3)


def test_a_copied_network_keeps_its_detectors_apart(both, coherent):
    """As a training does; a copy may hold the calls of the stem in another order."""
    copy = keras.models.clone_model(both[0])
    copy.set_weights(both[0].get_weights())
    more = with_statistic(copy, statistic_templates=2, statistic_coherent=True)
    for name in OWN_LAYERS:
        more.get_layer(name).set_weights(coherent.get_layer(name).get_weights())
    np.testing.assert_allclose(more(noise(2048)), coherent(noise(2048)), rtol=1e-5)


@pytest.mark.parametrize(("sign", "delay"), [(-1, 0), (-1, 16), (1, 0), (-1, 64)])
def test_a_signal_of_opposite_phases_within_ten_milliseconds_counts_for_more(both, coherent, sign, delay):
    basis = np.asarray(coherent.get_layer("template_basis").kernel)[:, 0, :]
    template = basis @ np.asarray(coherent.get_layer(OWN_LAYERS[0]).kernel)[0, :, 0]
    strain = np.zeros((1, 2048, 2), "float32")
    strain[0, 900:1156, 0] = 5 * template / np.linalg.norm(template)
    strain[0, 900 + delay : 1156 + delay, 1] = sign * strain[0, 900:1156, 0]
    once = strain.copy()
    once[..., 1] = 0
    gained = with_statistic_alone(coherent)(strain) - with_statistic_alone(coherent)(once)
    assert (float(gained[0, 0]) > WEIGHT * 8) == (sign == -1 and delay <= 20)


def test_a_network_that_joins_phases_is_like_any_other(both, own, coherent, tmp_path):
    coherent.save(tmp_path / "coherent.keras")
    keras.backend.clear_session()
    again = keras.saving.load_model(tmp_path / "coherent.keras", safe_mode=True)
    np.testing.assert_allclose(again(noise(2048)), coherent(noise(2048)), rtol=1e-5)
    scanner, strain = Scanner(again), noise(4096, 1)[0]
    assert scanner.exact and scanner.slides and scanner.difference(strain, scanner.scan(strain).scores) < 1e-3
    half = for_inference(again, precision="bfloat16")
    assert {layer.compute_dtype for layer in half.layers if layer.name.startswith("statistic_")} == {"float32"}
    options = {**SMALL, **POSITIONS, "statistic_shortcut": 0.1, "statistic_templates": 2, "statistic_coherent": True}
    built = build_model("resnet16", **options, weights=str(tmp_path / "coherent.keras"))
    np.testing.assert_allclose(built(noise(2048)), coherent(noise(2048)), rtol=1e-4)
    assert front_of(again).statistic_templates == 2
    own.save(tmp_path / "own.keras")
    for file, joined in (("coherent", False), ("own", True)):
        other = {**options, "statistic_coherent": joined}
        with pytest.raises(InputError, match=rf"{file}.keras: .*statistic_coherent={not joined}"):
            build_model("resnet16", **other, weights=str(tmp_path / f"{file}.keras"))
    deeper = build_model("resnet18", **options, weights=str(tmp_path / "coherent.keras"))
    assert np.isfinite(float(deeper(noise(2048, 1))[0, 0]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"statistic_templates": 2, "statistic_coherent": 1}, "expected True or False"),
        ({"statistic_coherent": True}, "give statistic_templates too"),
        (
            {"statistic_templates": 2, "statistic_coherent": True, "input_shape": (2048, 1)},
            "takes one detector; expected two",
        ),
        ({"statistic_coherent": True, "statistic_shortcut": 0}, "statistic_coherent=True: is of a ranking statistic"),
    ],
)
def test_phases_of_other_networks_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        build_model("resnet16", **{**SMALL, **POSITIONS, "statistic_shortcut": WEIGHT, **options})


def test_the_detectors_keep_their_order(own, tmp_path):
    own.save(tmp_path / "own.keras")
    for model in (own, keras.saving.load_model(tmp_path / "own.keras")):
        first, second = (keras.Model(model.input, model.get_layer(f"statistic_snr_near_{d}").output) for d in range(2))
        strain = noise(2048, 1)
        other = strain.copy()
        other[..., 1] += 1
        np.testing.assert_array_equal(first(other), first(strain))
        assert np.max(np.abs(np.asarray(second(other)) - np.asarray(second(strain)))) > 0.1


def test_the_builder_takes_templates_of_its_own_with_the_weights(both, own, tmp_path):
    own.save(tmp_path / "own.keras")
    both[1].save(tmp_path / "stem.keras")
    both[0].save(tmp_path / "none.keras")
    options = {**SMALL, **POSITIONS, "statistic_shortcut": 0.1}
    built = build_model("resnet16", **options, statistic_templates=2, weights=str(tmp_path / "own.keras"))
    np.testing.assert_allclose(built(noise(2048)), own(noise(2048)), rtol=1e-4)
    plain = build_model("resnet16", **SMALL, **POSITIONS, weights=str(tmp_path / "own.keras"))
    np.testing.assert_allclose(plain(noise(2048)), both[0](noise(2048)), rtol=1e-4)
    for file, number, known in (("own", 0, 2), ("own", 3, 2), ("stem", 2, 0), ("none", 2, 0)):
        with pytest.raises(InputError, match=rf"{file}.keras: .*statistic_templates={known}"):
            build_model("resnet16", **options, statistic_templates=number, weights=str(tmp_path / f"{file}.keras"))


def test_a_loaded_network_may_get_templates_of_its_own(both, own, tmp_path):
    both[0].save(tmp_path / "model.keras")
    keras.backend.clear_session()
    more = with_statistic(keras.saving.load_model(tmp_path / "model.keras"), statistic_templates=2)
    for name in OWN_LAYERS:
        more.get_layer(name).set_weights(own.get_layer(name).get_weights())
    more.save(tmp_path / "more.keras")
    again = keras.saving.load_model(tmp_path / "more.keras", safe_mode=True)
    np.testing.assert_allclose(again(noise(2048)), own(noise(2048)), rtol=1e-5)
    scanner, strain = Scanner(again), noise(4096, 1)[0]
    assert scanner.exact and scanner.difference(strain, scanner.scan(strain).scores) < 1e-3
    assert front_layers(again) >= {*OWN_LAYERS, "statistic_snr_near_0", "statistic_snr_largest_1"}
    half = for_inference(again, precision="bfloat16")
    assert {half.get_layer(name).compute_dtype for name in (*OWN_LAYERS, "statistic_snr_near_0")} == {"float32"}


@pytest.mark.parametrize("templates", [True, -1, 1.5, "a"])
def test_other_numbers_of_templates_are_refused(templates):
    with pytest.raises(InputError, match="expected a whole number from 0"):
        build_model("resnet16", **SMALL, **POSITIONS, statistic_shortcut=WEIGHT, statistic_templates=templates)


def test_templates_of_no_shortcut_are_refused():
    with pytest.raises(InputError, match="statistic_templates=3: is of a ranking statistic"):
        build_model("resnet16", **SMALL, **POSITIONS, statistic_templates=3)


@pytest.fixture(scope="module")
def light():
    """A network whose statistic has templates of light binaries, all weights random."""
    options = {"statistic_shortcut": WEIGHT, "statistic_templates": 2, "statistic_coherent": True, "statistic_light": 3}
    return build_model("resnet16", **SMALL, **POSITIONS, **options, input_shape=(4096, 2))


def test_early_kernels_end_where_the_others_begin(light):
    strain = np.random.default_rng(4).normal(size=(1, 4096, 2)).astype("float32")
    given = keras.Model(light.input, light.get_layer(f"{LIGHT}early_1").output)(strain)
    taps = np.asarray(light.get_layer(LOW_PASS_LAYER).kernel)[:, 0, 0]
    kernels = np.asarray(light.get_layer(EARLY_BASIS_LAYER).kernel)[:, 0]
    for step in (250, 400):
        begins = step * STRIDE - (256 - STRIDE) // 2
        # The low pass takes as many samples on both sides of the middle between two.
        middles = begins - EARLY_SAMPLES + STRIDE * np.arange(EARLY_SAMPLES // STRIDE)
        passed = [strain[0, m - LOW_PASS_TAPS // 2 : m + LOW_PASS_TAPS // 2 + 1, 1] @ taps for m in middles]
        np.testing.assert_allclose(given[0, step], passed @ kernels, rtol=1e-3, atol=1e-4)


def test_light_binaries_are_a_quarter_as_likely_as_the_others(light):
    strain = np.random.default_rng(4).normal(size=(1, 4096, 2)).astype("float32")
    names = [f"{STATISTIC}joined", f"{LIGHT}joined", f"{STATISTIC}classes"]
    heavy, own, both = (
        np.asarray(t) for t in keras.Model(light.input, [light.get_layer(n).output for n in names])(strain)
    )
    assert (heavy.shape[-1], own.shape[-1]) == (2, 3)
    np.testing.assert_allclose(both, np.concatenate([heavy, own - np.log(1.5 * 4)], axis=-1), rtol=1e-5, atol=1e-6)


def test_a_network_that_ranks_light_binaries_is_like_any_other(light, both, tmp_path):
    light.save(tmp_path / "light.keras")
    front = front_of(keras.saving.load_model(tmp_path / "light.keras", safe_mode=True))
    assert front == light.parts.front and front.statistic_light == 3
    options = {"statistic_shortcut": WEIGHT, "statistic_templates": 2, "statistic_coherent": True, "statistic_light": 3}
    again = build_model(
        "resnet16", **SMALL, **POSITIONS, **options, input_shape=(4096, 2), weights=str(tmp_path / "light.keras")
    )
    strain = np.random.default_rng(4).normal(size=(2, 4096, 2)).astype("float32")
    np.testing.assert_allclose(again(strain), light(strain), rtol=1e-4)
    scanner = Scanner(light)
    longer = np.random.default_rng(6).normal(size=(8192, 2)).astype("float32")
    assert scanner.exact and scanner.difference(longer, scanner.scan(longer).scores) < 1e-3
    with pytest.raises(InputError, match=r"light.keras: .*statistic_light=3"):
        build_model(
            "resnet16", **SMALL, **POSITIONS, **{**options, "statistic_light": 0}, weights=str(tmp_path / "light.keras")
        )
    with pytest.raises(InputError, match="statistic_light=3: is of templates of its own"):
        build_model("resnet16", **SMALL, **POSITIONS, statistic_shortcut=WEIGHT, statistic_light=3)


def test_options_that_leave_out_what_is_ranked_leave_out_all_of_it():
    for options in ({"include_top": False}, {"statistic_shortcut": 0.0}):
        model = build_model("resnet18", weights="flagship", **options)
        assert model.parts.front == load_model("flagship")[0].parts.front.unranked()


def test_a_third_detector_adds_what_it_says_by_itself(tmp_path):
    """Silent it takes the same from every score; what is there within the time of light adds, up to a limit, whatever its phase."""
    ranked = {"template_stride": 4, "statistic_shortcut": 1.0, "statistic_templates": 2, "statistic_coherent": True}
    two = build_model("resnet16", **SMALL, **POSITIONS, **ranked)
    rng = np.random.default_rng(3)
    basis = np.linalg.qr(rng.normal(size=(256, 64)))[0].T.astype("float32")
    set_templates(two, basis, *rng.normal(size=(2, 6, 64)).astype("float32") / 8)
    template = np.concatenate([np.eye(64, dtype="float32")[:2]] * 2)
    set_phases(two, OWN_LAYERS, template[[0, 0, 0, 0]], template[[1, 1, 1, 1]])
    settle_batch_norm(two)
    two.save(tmp_path / "model.keras")
    options = {**SMALL, **POSITIONS, **ranked, "stack_detectors": 2}
    three = build_model("resnet16", **options, input_shape=(2048, 3), weights=str(tmp_path / "model.keras"))
    assert front_of(three).stack_detectors == 2 and front_of(two).stack_detectors == 0
    places = [keras.Model(m.input, positions_of(m).output) for m in (two, three)]
    strain = np.concatenate([noise(2048, 1), np.zeros((1, 2048, 1), "float32")], axis=-1)
    strain[0, 900:1156, :2] += 5 * basis[0][:, None]

    def added(loudness=0.0, kernel=0, later=0):
        own = strain.copy()
        own[0, 900 + later : 1156 + later, 2] += loudness * basis[kernel]
        before, after = (
            np.asarray(each(given))[0, :, 0] for each, given in zip(places, (own[..., :2], own), strict=True)
        )
        dropped = (len(before) - len(after)) // 2
        return (after - before[dropped : len(before) - dropped])[np.argmax(after)], after - before[
            dropped : -dropped or None
        ]

    silent, everywhere = added()
    np.testing.assert_allclose(everywhere, -np.log(1 + FURTHER_VARIANCE), atol=1e-4)
    gain = FURTHER_VARIANCE / (1 + FURTHER_VARIANCE)
    expected = silent + np.log1p((np.exp(gain * 4.0**2 / 2) - 1) / 17)
    for kernel, later in ((0, 0), (1, 0), (0, 48), (0, -48)):
        assert added(4.0, kernel, later)[0] == pytest.approx(expected, abs=1.0), (kernel, later)
    assert added(4.0, 5)[0] == pytest.approx(silent, abs=0.2)
    assert added(4.0, 0, 200)[0] < silent + 0.5
    assert added(4.0)[0] < added(5.0)[0] < added(40.0)[0] < silent + gain * FURTHER_LIMIT


def test_options_for_several_detectors():
    for options, detectors, message in (
        ({"stack_detectors": 3}, 2, "takes 2; expected as many at most"),
        ({"stack_detectors": 1, **POSITIONS, "statistic_shortcut": 1.0}, 2, "give statistic_templates too"),
        (
            {**POSITIONS, "statistic_shortcut": 1.0, "statistic_templates": 2, "statistic_coherent": True},
            1,
            "one detector",
        ),
    ):
        with pytest.raises(InputError, match=message):
            build_model("resnet16", **SMALL, **options, input_shape=(2048, detectors))
    with pytest.raises(InputError, match="stack_detectors=1: is of templates"):
        build_model("resnet16", stack_detectors=1)
