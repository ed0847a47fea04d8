"""Noise that a finished network takes for signals, found by 'hard-noise' and shown in another training."""

import json

import h5py
import numpy as np
import pytest

from keras_gw_resnet.datasets.windows import open_windows, write_windows
from tests.conftest import assert_refused, run_command, run_commands, scores_of, tiny_training


@pytest.fixture(scope="module")
def hard_file(small_run, tmp_path_factory):
    path = tmp_path_factory.mktemp("hard") / "hard.hdf"
    result = run_command(*search(small_run, path))
    assert result.returncode == 0, result.stderr
    assert "the 6 of 600 windows of noise (files, seed 0)" in result.stdout
    return path


def search(network, path, windows=600, **more):
    options = [part for pair in more.items() for part in pair]
    return "-m", "keras_gw_resnet", "hard-noise", network, "--windows", windows, "--output", path, *options


def test_it_holds_what_the_network_ranks_highest(hard_file, small_run):
    from keras_gw_resnet.datasets.hard import PIECE
    from keras_gw_resnet.training.hard_noise import AHEAD_SEED, training_of
    from keras_gw_resnet.training.sources.noise import open_noise
    from keras_gw_resnet.zoo import load_model

    header = open_windows(hard_file)
    assert (header.number, header.samples, header.detectors, header.sample_rate) == (6, 2048, ("H1", "L1"), 2048)
    assert not header.label.any()
    model, card = load_model(small_run)
    config = training_of(card)
    noise, _ = open_noise(config).split(config.data.validation_share)
    every = [
        noise.draw(np.random.default_rng((AHEAD_SEED, 0, number)), count)[0]
        for number, count in enumerate((PIECE, 100))
    ]
    scores = scores_of(model, np.concatenate(every))[:, 0]
    with h5py.File(hard_file) as file:
        found = scores_of(model, file["x"][()])[:, 0]
    np.testing.assert_allclose(np.sort(found), np.sort(scores)[-6:], atol=1e-5)


@pytest.mark.slow
def test_a_training_shows_it(hard_file, small_data, tmp_path):
    shown = {"--hard-share": 0.5, "--hard-windows": 0, "--hard-noise": hard_file, "--epochs": 3}
    result = run_command("train.py", *tiny_training(small_data, tmp_path / "run", **shown))
    assert result.returncode == 0, result.stderr
    card = json.loads((tmp_path / "run" / "card.json").read_text())
    said = card["training"]["data"]["hard_noise"]
    assert said["windows"] == 6
    assert "ranks highest" in said["source"]


def test_unusable_ones_are_refused(hard_file, small_data, small_run, tmp_path):
    about = {"detectors": ("H1", "L1"), "sample_rate": 2048, "source": "a test"}
    strain = np.random.default_rng(0).standard_normal((4, 2048, 2))
    signals, short = tmp_path / "signals.hdf", tmp_path / "short.hdf"
    write_windows(signals, strain, [0, 1, 0, 0], **about)
    write_windows(short, strain[:, :1024], [0, 0, 0, 0], **about)
    card = json.loads((small_run / "card.json").read_text())
    (bare := tmp_path / "bare").mkdir()
    (bare / "model.keras").write_bytes((small_run / "model.keras").read_bytes())
    (bare / "card.json").write_text(json.dumps({**card, "training": {}}))

    def train(**options):
        changes = {"--hard-share": 0.5, "--hard-windows": 0, **options}
        return "train", *tiny_training(small_data, tmp_path / "run", **changes)

    out = tmp_path / "out.hdf"
    cases = [
        (train(**{"--hard-noise": signals}), "holds signals"),
        (train(**{"--hard-noise": short}), "windows of 1024 samples"),
        (train(**{"--hard-noise": small_data / "bank.hdf"}), "holds no labelled windows"),
        (train(**{"--hard-noise": tmp_path / "none.hdf"}), "no such file"),
        (train(), "--hard-share needs --hard-windows to search, or --hard-noise"),
        (train(**{"--hard-noise": hard_file, "--hard-share": 0}), "--hard-noise needs --hard-share"),
        (search(small_run, hard_file)[2:], "exists"),
        (search(small_run, out, 10, **{"--keep": 11})[2:], "more than the 10 windows"),
        (search(small_run, out, **{"--data": tmp_path / "none"})[2:], "no such file"),
        (search(bare, out)[2:], "does not say how it was trained"),
    ]
    for result, (_, mentioned) in zip(run_commands([command for command, _ in cases]), cases, strict=True):
        assert_refused(result, mentioned)
    assert not out.exists()
    assert not (tmp_path / "run").exists()
