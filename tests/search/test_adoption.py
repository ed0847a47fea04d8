"""A saved network that a user trained further becomes searchable."""

import json
import shutil

import keras
import numpy as np
import pytest

from keras_gw_resnet import Detector, InputError, build_model, datasets_from_folder, load_model, save_model
from keras_gw_resnet.zoo import save_model as write_model
from tests.conftest import assert_refused, run_command, settle_batch_norm
from tests.test_zoo import CARD

DATA = {"bank": {"population": "set3"}, "psds": {"H1": ["aLIGOZeroDetHighPower"], "L1": ["aLIGOZeroDetHighPower"]}}


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    folder = tmp_path_factory.mktemp("known") / "small"
    model = build_model("resnet16", width=4)
    settle_batch_norm(model)
    write_model(model, {**CARD, "training": {"data": DATA, "examples": 5}, "metrics": {"windows": {}}}, folder)
    return folder


@pytest.fixture
def few(monkeypatch):
    """Fewer signals than a calibration takes."""
    from keras_gw_resnet.search import adoption

    for name, signals in (("calibrate_timing", 32), ("calibrate_statistic", 64)):
        whole = getattr(adoption, name)
        monkeypatch.setattr(adoption, name, lambda *given, whole=whole, signals=signals: whole(*given, signals=signals))


@pytest.fixture
def trained(known, tmp_path):
    """What a user does: load in bare Keras, fit, save over a copy."""
    model = keras.saving.load_model(known / "model.keras")
    model.compile("adam", keras.losses.BinaryCrossentropy(from_logits=True))
    rng = np.random.default_rng(0)
    model.fit(rng.normal(size=(8, 2048, 2)), rng.integers(0, 2, (8, 1)), epochs=1, verbose=0)
    folder = tmp_path / "trained"
    shutil.copytree(known, folder)
    model.save(folder / "model.keras")
    return model, folder / "model.keras"


def test_saved_like_another_it_can_be_searched(trained, known, small_data, tmp_path, few, gw150914_files):
    model, path = trained
    with pytest.raises(InputError, match="keras-gw-resnet adopt"):
        load_model(path)
    card = save_model(model, tmp_path / "mine", like=known, bank=small_data / "bank.hdf")
    loaded, found = load_model(tmp_path / "mine")
    assert found == json.loads((tmp_path / "mine" / "card.json").read_text()) == card
    assert found["name"] == "mine"
    assert (found["model"], found["options"]) == ("resnet16", {"width": 4})
    assert found["adopted"]["like"] == "small"
    assert found["timing"]["signals"] == 32
    assert len(found["signals"]["stat"]) == 64
    assert "metrics" not in found
    strain = np.random.default_rng(0).normal(size=(2, 2048, 2)).astype("float32")
    np.testing.assert_array_equal(loaded(strain), model(strain))
    (_, scan), *_ = Detector.load(tmp_path / "mine").scan(gw150914_files)
    assert np.all(np.isfinite(scan.scores))


def test_fine_tuning_in_three_lines(known, few, small_data, tmp_path):
    network, _ = load_model(known)
    network.compile("adam", keras.losses.BinaryCrossentropy(from_logits=True))
    given = {"like": known, "batch_size": 8, "steps_per_epoch": 2, "validation_steps": 1}
    training, validation = datasets_from_folder(small_data, **given)
    history = network.fit(training, validation_data=validation, epochs=2, verbose=0).history
    assert np.all(np.isfinite(history["loss"] + history["val_loss"]))
    (strain, label), _ = training
    assert strain.shape == (8, 2048, 2) and np.sum(label) == 4
    again, same = ([np.asarray(x) for x, _ in datasets_from_folder(small_data, **given)[which]] for which in (0, 1))
    assert not np.array_equal(strain, again[0])  # the third epoch
    np.testing.assert_array_equal([np.asarray(x) for x, _ in validation], same)
    options = {"like": known, "bank": small_data / "bank.hdf"}
    save_model(network, tmp_path / "mine", **options)
    before = (tmp_path / "mine" / "card.json").read_text()
    with pytest.raises(
        InputError, match=r"mine: holds model\.keras already; choose another folder, or give overwrite=True"
    ):
        save_model(network, tmp_path / "mine", **options)
    assert (tmp_path / "mine" / "card.json").read_text() == before
    save_model(network, tmp_path / "mine", **options, overwrite=True)
    assert Detector.load(tmp_path / "mine").name == "mine"


def test_datasets_are_refused_where_data_or_options_do_not_fit(known, small_data, tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        datasets_from_folder(tmp_path / "none", like=known)
    with pytest.raises(InputError, match="batch_size=0; expected a whole number from 1"):
        datasets_from_folder(small_data, like=known, batch_size=0)
    with pytest.raises(InputError, match="no such option"):
        datasets_from_folder(small_data, like=known, **{"negatives.nothing": 1})


def test_a_detector_like_another(trained, known, monkeypatch, few, small_bank):
    from keras_gw_resnet.search import adoption

    monkeypatch.setattr(adoption, "make_bank", lambda *args, **options: small_bank)
    detector = Detector(trained[0], like=known)
    assert detector.name == "small-adopted"
    assert detector.card["timing"]["signals"] == 32
    with pytest.raises(InputError, match="like="):
        Detector(trained[0])


def test_a_network_that_takes_other_strain_is_refused(known, tmp_path):
    with pytest.raises(InputError, match="expected a network like it"):
        save_model(build_model("resnet16", width=4, input_shape=(2048, 3)), tmp_path / "mine", like=known)
    assert not (tmp_path / "mine").exists()


class Doubled(keras.layers.Layer):
    def call(self, strain):
        return 2 * strain


class Subclassed(keras.Model):
    def call(self, strain):
        return strain[:, 0, :1]


def behind(layer):
    strain = keras.Input((2048, 2))
    return keras.Model(strain, build_model("resnet16", width=4)(layer(strain)))


@pytest.mark.parametrize(
    ("made", "mentioned"),
    [
        (lambda: behind(Doubled()), r"doubled.*\(Doubled\) with safe_mode on"),
        (lambda: keras.Sequential([keras.Input((2048, 2)), behind(Doubled())]), r"\(Doubled\) with safe_mode on"),
        (lambda: behind(keras.layers.Lambda(lambda strain: 2 * strain)), r"\(Lambda\) with safe_mode on"),
        (Subclassed, "expected a functional Keras model"),
        (lambda: keras.Sequential([keras.layers.Dense(1)]), "expected a functional Keras model"),
        (lambda: "model.keras", "'model.keras': expected a functional Keras model"),
    ],
)
def test_what_bare_keras_would_not_load_is_refused(made, mentioned, known, tmp_path):
    model = made()
    with pytest.raises(InputError, match=mentioned):
        save_model(model, tmp_path / "mine", like=known)
    with pytest.raises(InputError, match=mentioned):
        Detector(model, like=known)
    assert not (tmp_path / "mine").exists()


def test_a_sequential_network_is_searched(trained, known, few, small_data, tmp_path):
    wrapped = keras.Sequential([keras.Input((2048, 2)), trained[0]])
    save_model(wrapped, tmp_path / "mine", like=known, bank=small_data / "bank.hdf")
    strain = np.random.default_rng(0).normal(size=(2, 2048, 2)).astype("float32")
    np.testing.assert_allclose(Detector.load(tmp_path / "mine").score(strain), wrapped(strain)[:, 0], rtol=1e-5)


def test_a_network_that_diverged_is_refused(known, few, small_data, tmp_path):
    model = build_model("resnet16", width=4)
    model.set_weights([np.full_like(weight, np.nan) for weight in model.get_weights()])
    with pytest.raises(InputError, match="not finite"):
        save_model(model, tmp_path / "mine", like=known, bank=small_data / "bank.hdf")
    assert not (tmp_path / "mine").exists()


def test_spectra_are_looked_at_before_waveforms_are_made(known, tmp_path, monkeypatch):
    from keras_gw_resnet.search import adoption

    monkeypatch.setattr(adoption, "make_bank", lambda *given, **options: pytest.fail("waveforms were made"))
    with pytest.raises(InputError, match="unknown PSD 'nosuch'"):
        save_model(load_model(known)[0], tmp_path / "mine", like=known, psd=["nosuch"])


def test_the_command_refuses_what_it_cannot_use(known, tmp_path):
    command = ("-m", "keras_gw_resnet", "adopt", tmp_path / "none.keras", "--like", known, "--output", tmp_path / "out")
    assert_refused(run_command(*command), "none.keras", "expected a .keras file")
    assert not (tmp_path / "out").exists()
