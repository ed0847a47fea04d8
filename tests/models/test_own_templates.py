import keras
import numpy as np
import pytest

from keras_gw_resnet import InputError, build_model
from keras_gw_resnet.models.front import front_layers, front_of
from keras_gw_resnet.models.graph import positions_of
from keras_gw_resnet.models.ranking import (
    CONCENTRATION,
    LIMIT,
    OWN_LAYERS,
)
from keras_gw_resnet.search.folding import for_inference
from keras_gw_resnet.search.scan import Scanner
from tests.models.ranked import (
    POSITIONS,
    SMALL,
    WEIGHT,
    noise,
    with_statistic,
    with_statistic_alone,
)

pytestmark = pytest.mark.usefixtures("seeded")


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
    """What the ranking statistic adds to the logit of every position, and what it should be of a statistic of each step of the filter."""
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
    """As a training does; a copy may hold the calls of the filter in another order."""
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
