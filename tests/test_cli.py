import json
import os
import re
import shutil

import h5py
import numpy as np
import pytest

from tests.conftest import ROOT, assert_refused, run_command, run_commands, tiny_training, write_mlgwsc

PACKAGE = ("-m", "keras_gw_resnet")


def search(model, *files, output):
    return run_command(*PACKAGE, "search", model, *files, "--output", output)


def test_help_teaches_with_an_example():
    for command in ([*PACKAGE, "search"], ["train.py"], ["evaluate.py"], [*PACKAGE, "simulate", "bank"]):
        result = run_command(*command, "--help")
        assert result.returncode == 0
        assert re.search("examples?:", result.stdout)
    assert "COMMAND" in run_command(*PACKAGE, "--help").stdout
    assert run_command(*PACKAGE, "--version").stdout.startswith("keras-gw-resnet 0.")


def test_models_lists_the_zoo_with_size_and_reach():
    result = run_command(*PACKAGE, "models", "resnet1*", "--width", 16)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    saved, built = (text.splitlines() for text in result.stdout.split("\n\n"))
    assert saved[0].startswith("saved network")
    assert any("flagship" in line for line in saved) and (ROOT / saved[-1].split()[1].rstrip(",")).is_dir()
    lines = [line.split() for line in built]
    assert lines[0][:3] == ["network", "depth", "parameters"]
    assert [line[0] for line in lines[1:5]] == ["resnet16", "resnet18", "resnet101", "resnet152"]
    assert lines[2] == ["resnet18", "18", "245025", "443", "216", "32", "22", *list_of_saved("resnet18")]
    assert_refused(run_command(*PACKAGE, "models", "resnet19"), "resnet18")


def list_of_saved(model):
    from keras_gw_resnet.models.weights import list_saved
    from keras_gw_resnet.zoo import load_card

    names = [name for name in list_saved() if load_card(name)["model"] == model]
    return ", ".join(names).split() or ["-"]


def test_models_draws_a_network(tmp_path):
    picture = tmp_path / "net.png"
    result = run_command(*PACKAGE, "models", "highway20", "--width", 8, "--plot", picture)
    assert result.returncode == 0, result.stderr
    assert picture.stat().st_size > 20_000
    assert_refused(run_command(*PACKAGE, "models", "highway20", "--plot", picture), "exists already")


def test_export_is_read_back_and_compared(small_run, tmp_path):
    out = tmp_path / "exported"
    result = run_command(*PACKAGE, "export", small_run, "--format", "savedmodel", "--output", out)
    assert result.returncode == 0, result.stderr
    assert "largest difference" in result.stdout
    assert {p.name for p in out.iterdir()} == {"saved_model", "card.json"}
    again = run_command(*PACKAGE, "export", small_run, "--format", "savedmodel", "--output", out)
    assert_refused(again, "exists already")


@pytest.mark.slow
def test_statistics_reach_the_network(small_data, tmp_path):
    statistics = tmp_path / "statistics.json"
    command = (*PACKAGE, "statistics", small_data / "noise.hdf", "--output", statistics)
    result = run_command(*command)
    assert result.returncode == 0, result.stderr
    measured = json.loads(statistics.read_text())
    assert measured["variance"] == pytest.approx([1, 1], abs=0.03)
    assert measured["mean"] == pytest.approx([0, 0], abs=0.01)
    assert_refused(run_command(*command), "exists already")
    out = tmp_path / "cnn"
    changes = {"--model": "residual-cnn", "--input-statistics": statistics, "--options.block_dropout": 0.2}
    trained = run_command("train.py", *tiny_training(small_data, out, **changes))
    assert trained.returncode == 0, trained.stderr
    options = json.loads((out / "card.json").read_text())["options"]
    assert options["variance"] == measured["variance"]
    assert options["block_dropout"] == 0.2
    (tmp_path / "bad.json").write_text("[]")
    changes["--input-statistics"] = tmp_path / "bad.json"
    assert_refused(run_command("train.py", *tiny_training(small_data, tmp_path / "b", **changes)), "bad.json")


def test_train_evaluate_search_as_a_user_does(small_run, small_data, tmp_path):
    """The whole way with a network too small to be any good; that the figures are good is the demo's test."""
    out = tmp_path / "evaluation"
    result = run_command("evaluate.py", small_run, "--data", small_data, "--output", out, "--windows", 4000)
    assert result.returncode == 0, result.stderr
    first = result.stdout.splitlines()[0]
    assert first.startswith("NOTE: tiny knows these data: its waveform bank is this one")
    assert "it was trained on 1" in first
    assert json.loads((out / "evaluation.json").read_text())["data"]["seen_in_training"]
    strict = ("--data", small_data, "--output", tmp_path / "strict", "--strict")
    assert_refused(run_command("evaluate.py", small_run, *strict), "tiny", "its waveform bank is this one", "--strict")
    assert "detected at FAP 0.01" in result.stdout
    pages = {"evaluation.json", "roc.csv", "efficiency.png", "scores.png", "report.html", "tensorboard"}
    assert {p.name for p in out.iterdir()} == pages
    assert "+-" in result.stdout.splitlines()[1]
    events, picture = tmp_path / "events.hdf", tmp_path / "loudest.png"
    command = (*PACKAGE, "search", small_run, small_data / "noise.hdf", "--output", events, "--plot", picture)
    result = run_command(*command, "--threshold", -100)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    assert "NOTE: tiny knows these data" in result.stdout.splitlines()[0]
    with h5py.File(events) as file:
        assert len(file["time"]) == len(file["stat"]) == len(file["var"]) > 20
        assert np.all(np.diff(file["time"]) > 0)
        assert file.attrs["exact_scan"]
        assert file.attrs["searched_seconds"] == pytest.approx(2 * (64 - 4 - 1), abs=0.1)
    assert picture.stat().st_size > 10_000
    assert "rank" in result.stdout
    before = events.read_bytes()
    assert_refused(run_command(*command), "events.hdf", "exists already", "--overwrite")
    assert events.read_bytes() == before
    quiet = run_command(*command, "--threshold", 1e6, "--overwrite")
    assert quiet.returncode == 0
    assert "no event with a statistic above" in quiet.stdout


def test_strain_that_cannot_be_searched(small_run, small_data, tmp_path):
    good = small_data / "noise.hdf"
    (tmp_path / "text.hdf5").write_text("strain? no")
    (tmp_path / "cut.hdf5").write_bytes(good.read_bytes()[: good.stat().st_size // 2])
    with h5py.File(tmp_path / "layout.hdf5", "w") as file:
        file["data/strain"] = np.ones(4)
    with h5py.File(tmp_path / "rate.hdf5", "w") as file:
        file["H1/0"], file["L1/0"] = np.ones(4), np.ones(4)
    write_mlgwsc(tmp_path / "h1.hdf5", ["H1"])
    write_mlgwsc(tmp_path / "slow.hdf5", ["H1", "L1"], rate=512)
    write_mlgwsc(tmp_path / "short.hdf5", ["H1", "L1"], seconds=4)
    write_mlgwsc(tmp_path / "nan.hdf5", ["H1", "L1"], nan=[(0, 20)])
    for name, strain in {
        "constant.hdf5": np.ones(20 * 2048),
        "huge.hdf5": 1e200 * np.random.default_rng(0).normal(size=20 * 2048),
        "tiny.hdf5": 1e-200 * np.random.default_rng(0).normal(size=20 * 2048),
    }.items():
        with h5py.File(write_mlgwsc(tmp_path / name, ["H1", "L1"]), "r+") as file:
            file["L1/100"][:] = strain
    output = tmp_path / "events.hdf"
    cases = {
        "missing.hdf5": ["no such file"],
        "text.hdf5": ["no HDF5"],
        "cut.hdf5": ["truncated"],
        "layout.hdf5": ["no strain in a known layout", "GWOSC"],
        "rate.hdf5": ["unknown sample rate"],
        "h1.hdf5": ["no strain of L1", "found H1"],
        "slow.hdf5": ["sampled at 512 Hz", "at least 2048 Hz"],
        "short.hdf5": ["a window 5 s in one piece"],
        "nan.hdf5": ["20 s of it invalid"],
        "constant.hdf5": ["20 s of it invalid"],
        "huge.hdf5": ["20 s of it invalid"],
        "tiny.hdf5": ["L1 from GPS 100 to 120", "noise spectrum is zero"],
    }
    commands = [("search", small_run, tmp_path / name, "--output", output) for name in cases]
    for result, (name, mentioned) in zip(run_commands(commands), cases.items(), strict=True):
        assert_refused(result, name, *mentioned)
    assert not output.exists()
    assert not output.with_suffix(".csv").exists()
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_nan_stretches_are_skipped_and_said(small_run, tmp_path):
    path = write_mlgwsc(tmp_path / "gap.hdf5", ["H1", "L1"], seconds=40, nan=[(20, 22)])
    result = search(small_run, path, output=tmp_path / "events.hdf")
    assert result.returncode == 0, result.stderr
    assert "invalid and skipped 2.0 s" in result.stdout


def test_models_that_do_not_fit(small_run, small_data, tmp_path):
    good, output = small_data / "noise.hdf", tmp_path / "events.hdf"
    assert_refused(search(tmp_path / "nothing", good, output=output), "no saved network there")
    three = tmp_path / "three"
    shutil.copytree(small_run, three)
    card = (three / "card.json").read_text()
    (three / "card.json").write_text(json.dumps({**json.loads(card), "detectors": ["H1", "L1", "V1"]}))
    assert_refused(search(three, good, output=output), "noise.hdf", "no strain of V1")
    (three / "card.json").write_text(card.replace('"window_samples": 2048', '"window_samples": 4096'))
    assert_refused(search(three, good, output=output), "model.keras", "(None, 2048, 2)", "(None, 4096, 2)")
    (three / "card.json").write_text("{}")
    assert_refused(search(three, good, output=output), "card.json", "lacks name")
    assert not output.exists()


def test_outputs_that_cannot_be_written(small_run, small_data, tmp_path):
    good = small_data / "noise.hdf"
    assert_refused(search(small_run, good, output=tmp_path / "events.txt"), "events.txt", ".hdf")
    picture = run_command(*PACKAGE, "search", small_run, good, "--output", tmp_path / "e.hdf", "--plot", "loudest.xyz")
    assert_refused(picture, "loudest.xyz", ".png")
    again = ("--output", good, "--overwrite")
    before = good.read_bytes()
    assert_refused(run_command(*PACKAGE, "search", small_run, good, *again), "noise.hdf", "one of the input files")
    assert good.read_bytes() == before
    export = ("export", small_run, "--format", "savedmodel", "--output", small_run, "--overwrite")
    assert_refused(run_command(*PACKAGE, *export), "not of an earlier output")
    (tmp_path / "file").touch()
    assert_refused(search(small_run, good, output=tmp_path / "file" / "events.hdf"), "cannot write there")
    assert_refused(run_command("train.py", *tiny_training(small_data, tmp_path / "file")), "is a file")
    assert_refused(run_command("train.py", *tiny_training(small_data, small_run)), "finished run", "--overwrite")
    out = tmp_path / "evaluation"
    out.mkdir()
    assert_refused(run_command("evaluate.py", small_run, "--data", small_data, "--output", out), "exists already")
    if os.geteuid() != 0:
        (tmp_path / "locked").mkdir(mode=0o500)
        assert_refused(search(small_run, good, output=tmp_path / "locked" / "e.hdf"), "cannot write there")


def test_training_that_cannot_start_leaves_nothing(small_data, tmp_path):
    out = tmp_path / "run"
    strain_only = tmp_path / "strain"
    strain_only.mkdir()
    shutil.copy(small_data / "noise.hdf", strain_only)
    short = tmp_path / "short"
    short.mkdir()
    shutil.copy(small_data / "bank.hdf", short)
    write_mlgwsc(short / "noise.hdf", ["H1", "L1"], seconds=26, nan=[(8, 8.1), (17, 17.1)])
    commands, every = [], []
    for changes, mentioned in (
        ({"--model": "resnet19"}, ["resnet19", "resnet18"]),
        ({"--model": "aresgw54", "--window-samples": 1024}, ["too short", "2017"]),
        ({"--options.depth": 3}, ["no option depth", "kernel_size"]),
        ({"--recipe": "none"}, ["no such recipe", "resnet"]),
        ({"--optimizer": "lion"}, ["--optimizer: Expected", "adamw"]),
        ({"--growth": "blockwise"}, ["too few for the 7 blocks"]),
        (
            {"--network.growth": "blockwise", "--epochs": 14, "--optimisation.warmup_epochs": 2},
            ["leaves nothing of the 2 epochs"],
        ),
        ({"--config": tmp_path / "none.yaml"}, ["none.yaml"]),
        ({"--data": tmp_path / "none"}, ["none", "no such folder"]),
        ({"--data": strain_only}, ["no waveform bank", "simulate bank"]),
        ({"--data": short}, ["too few", "--data.noise gaussian"]),
        ({"--epochs": 0}, ["--epochs is 0"]),
        ({"--epochs": "many"}, ["epochs", "many"]),
        ({"--batch-size": 1}, ["no signal or nothing else"]),
        ({"--noise": "gaussian"}, ["--psd"]),
        ({"--merger-range": ["0.9", "0.2"]}, ["merger range"]),
        ({"--options.kernel_initializer": "foo"}, ["kernel_initializer='foo'"]),
        ({"--options.width": 1.5}, ["width=1.5"]),
        ({"--seed": 10**20}, ["--seed", "whole number"]),
        ({"--detectors": ["H1", "H1"]}, ["H1 H1", "expected each once"]),
        ({"--name": "a/b"}, ["--name", "without a slash"]),
        ({"--devices": 0}, ["--devices is 0"]),
        ({"--kernel-size": ["3", "5"]}, ["expected one number or 4"]),
    ):
        arguments = ["train"]
        for part in tiny_training(small_data, out, **changes):
            arguments.extend(part if isinstance(part, list) else [part])
        commands.append(arguments)
        every.append(mentioned)
    for result, mentioned in zip(run_commands(commands), every, strict=True):
        assert_refused(result, *mentioned)
    assert not out.exists()
    assert_refused(run_command("train.py", "--model", "resnet18"), "data", "required")


def test_evaluation_that_cannot_be(small_run, small_data, tmp_path):
    out = tmp_path / "evaluation"
    cases = (
        (("--data", tmp_path / "none"), "no such folder"),
        (("--data", small_data, "--windows", 100), "at least 2000"),
        (("--data", small_data, "--snr-range", 20, 8), "--snr-range is 20 8"),
        (("--data", small_data, "--snr-range", 8, "1e300"), "up to 1000"),
    )
    commands = [("evaluate", small_run, *options, "--output", out) for options, _ in cases]
    for result, (_, mentioned) in zip(run_commands(commands), cases, strict=True):
        assert_refused(result, mentioned)
    assert not out.exists()


def test_simulations_that_cannot_be(small_data, tmp_path):
    out = tmp_path / "x.hdf"
    cases = (
        (("bank", "--population", "set9", "--output", out), "set9"),
        (("noise", "--psd", "aLIGONothing", "--output", out), "aLIGONothing"),
        (("noise", "--psd", tmp_path / "none.txt", "--output", out), "none.txt"),
        (("bank", "--output", small_data / "bank.hdf"), "exists already"),
        (("bank", "--number", 0, "--output", out), "at least 1"),
        (("bank", "--output", tmp_path / "bank.txt"), "ends in .hdf"),
        (("noise", "--detectors", "Q9", "--output", out), "Q9"),
        (("noise", "--detectors", "H1", "H1", "--output", out), "each detector once"),
        (("bank", "--seed", -1, "--output", out), "--seed"),
        (("bank", "--duration", "nan", "--output", out), "finite"),
        (("bank", "--number", 2, "--detectors", "H1", "X9", "--output", out), "X9"),
        (("bank", "--number", 2, "--duration", "0.1", "--output", out), "--duration"),
    )
    results = run_commands([("simulate", *command) for command, _ in cases])
    for result, (_, mentioned) in zip(results, cases, strict=True):
        assert_refused(result, mentioned)
    assert not out.exists()
