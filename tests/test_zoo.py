import json
import shutil

import numpy as np
import pytest

from keras_gw_resnet import InputError, build_model, load_model
from keras_gw_resnet.cli import main
from keras_gw_resnet.models.weights import ALIASES, list_saved, saved_models_folder
from keras_gw_resnet.zoo import find_model, load_card, save_model
from tests.conftest import assert_refused, is_deep, run_command

CARD = {
    "name": "small",
    "model": "resnet16",
    "options": {"width": 4},
    "sample_rate": 2048,
    "detectors": ["H1", "L1"],
    "window_samples": 2048,
    "whitening": {},
    "timing": {"merger_seconds": 0.0, "tolerance_seconds": 0.3},
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "small"
    model = build_model("resnet16", width=4)
    model.compile("adam", "mse")
    save_model(model, CARD, folder)
    return folder, model


def test_saved_and_loaded_give_the_same_scores(saved):
    folder, model = saved
    strain = np.random.default_rng(0).normal(size=(2, 2048, 2)).astype("float32")
    for name in (folder, folder / "model.keras", str(folder)):
        loaded, card = load_model(name)
        np.testing.assert_array_equal(loaded.predict(strain, verbose=0), model.predict(strain, verbose=0))
        assert card["name"] == "small"
        assert card["parameters"] == model.count_params()
        assert card["packages"]["keras"]


def test_found_by_name(saved, monkeypatch):
    folder, _ = saved
    monkeypatch.setenv("KERAS_GW_RESNET_SAVED_MODELS", str(folder.parent))
    assert list_saved() == ["small"]
    assert find_model("small") == folder


def changed(saved, tmp_path, **card):
    folder = tmp_path / "copy"
    shutil.copytree(saved[0], folder)
    old = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps({k: v for k, v in {**old, **card}.items() if v is not None}))
    return folder


@pytest.mark.parametrize(
    ("card", "message"),
    [
        ({"sha256": "0" * 64}, "changed or damaged"),
        ({"window_samples": 4096}, r"takes input of shape \(None, 2048, 2\)"),
        ({"detectors": ["H1", "L1", "V1"]}, "its card says"),
        ({"whitening": None}, "lacks whitening"),
        ({"whitening": "x"}, "whitening is 'x'"),
        ({"whitening": {"taste": 1}}, "whitening has taste"),
        ({"whitening": {"filter_seconds": 0}}, "filter_seconds = 0"),
        ({"sample_rate": 4096}, "sample_rate is 4096"),
        ({"window_samples": 0}, "window_samples is 0"),
        ({"detectors": 5}, "detectors is 5"),
        ({"detectors": [1, 2]}, "detectors is"),
        ({"timing": {}}, "timing lacks merger_seconds, tolerance_seconds"),
        ({"sha256": 5}, "sha256 is 5"),
    ],
)
def test_a_card_that_does_not_fit_is_refused(saved, tmp_path, card, message):
    with pytest.raises(InputError, match=message):
        load_model(changed(saved, tmp_path, **card))


def test_the_file_that_is_named_is_the_one_that_is_loaded(saved, tmp_path):
    folder = changed(saved, tmp_path)
    build_model("resnet16", width=6).save(folder / "other.keras")
    with pytest.raises(InputError, match=r"other\.keras: sha256"):
        load_model(folder / "other.keras")
    with pytest.raises(InputError, match="no saved network there"):
        load_model(folder / "card.json")


def test_damaged_files_are_refused(saved, tmp_path):
    folder = changed(saved, tmp_path)
    (folder / "card.json").write_text("{")
    with pytest.raises(InputError, match="is no JSON"):
        load_model(folder)
    (folder / "card.json").write_text("null")
    with pytest.raises(InputError, match="is no card"):
        load_model(folder)
    (folder / "card.json").unlink()
    with pytest.raises(InputError, match="no such file"):
        load_model(folder)
    with pytest.raises(InputError, match="no saved network there"):
        load_model(tmp_path / "nothing")


@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_shipped_networks_load_in_bare_keras(every, tmp_path):
    """All are loaded; one of each family and number of detectors is run, in `make test-slow` every one."""
    code = (
        "import sys, numpy, keras; sys.modules['keras_gw_resnet'] = None\n"
        "for number, path in enumerate(sys.argv[1:]):\n"
        "    model = keras.saving.load_model(path, safe_mode=True)\n"
        "    if number < NUMBER:\n"
        "        strain = numpy.random.default_rng(0).normal(size=(2, *model.input_shape[1:])).astype('float32')\n"
        "        numpy.save(f'score{number}.npy', model(strain, training=False))\n"
    )
    cards = {name: load_card(name) for name in list_saved() if every or not is_deep(name)}
    kinds = {(card["model"].strip("0123456789"), *card["detectors"]): name for name, card in cards.items()}
    run = list(cards if every else kinds.values())
    paths = [saved_models_folder() / name / "model.keras" for name in [*run, *set(list_saved()).difference(run)]]
    result = run_command("-I", "-c", code.replace("NUMBER", str(len(run))), *paths, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    for number, name in enumerate(run):
        own, _ = load_model(name)
        strain = np.random.default_rng(0).normal(size=(2, *own.input_shape[1:])).astype("float32")
        np.testing.assert_array_equal(np.load(tmp_path / f"score{number}.npy"), own(strain, training=False))


def test_the_flagship_finds_gw150914_above_all_else(gw150914_files, tmp_path):
    import h5py

    output = tmp_path / "events.hdf"
    result = run_command("-m", "keras_gw_resnet", "search", "flagship", *gw150914_files, "--output", output)
    assert result.returncode == 0, result.stderr
    with h5py.File(output) as file:
        time, stat = file["time"][()], file["stat"][()]
    loudest = np.argmax(stat)
    assert abs(time[loudest] - 1126259462.42) < 0.1
    assert np.all(np.delete(stat, loudest) < stat[loudest])


def test_changed_model_is_refused_on_the_command_line(saved, tmp_path, small_data):
    folder = changed(saved, tmp_path)
    with (folder / "model.keras").open("ab") as file:
        file.write(b"x")
    output = tmp_path / "e.hdf"
    result = run_command("-m", "keras_gw_resnet", "search", folder, small_data / "noise.hdf", "--output", output)
    assert_refused(result, "sha256", "model.keras")
    assert not output.exists()


def test_there_is_a_shipped_network():
    assert list_saved()


@pytest.mark.parametrize(("name", "model"), [("flagship", "resnet18"), ("ensemble-w16", "ensemble")])
def test_the_list_of_models_takes_the_name_of_a_saved_network(name, model, capsys):
    assert main(["models", name, "--width", "4"]) == 0
    said = capsys.readouterr().out
    assert ALIASES.get(name, name) in said and ("resnet18" in said) == (model == "resnet18")
