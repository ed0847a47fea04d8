"""Two commands that would write to one place: the second is told so at its start."""

import subprocess
import sys
import time

import pytest

from keras_gw_resnet.owners import owned
from tests.conftest import ROOT, assert_refused, run_command, run_commands, tiny_training


def test_a_second_search_is_refused(small_data, small_run, tmp_path):
    output = tmp_path / "e.hdf"
    other = ("search", small_run, small_data / "noise.hdf", "--output", tmp_path / "other.hdf", "--overwrite")
    plot, report = output.with_suffix(".png"), output.with_suffix(".html")
    commands = [
        ("search", small_run, small_data / "noise.hdf", "--output", output, "--overwrite"),
        ("mlgwsc", small_run, small_data / "noise.hdf", output, "--overwrite"),
        ("statistics", small_data / "noise.hdf", "--output", output, "--overwrite"),
        (*other, "--plot", plot),
        (*other, "--report", report),
    ]
    with owned(output), owned(plot), owned(report):
        for result, path in zip(run_commands(commands), [output] * 3 + [plot, report], strict=True):
            assert_refused(result, f"{path.name}: is being written by process", "choose another output path")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_second_training_is_refused_and_the_first_ends_as_if_alone(small_data, tmp_path):
    out = tmp_path / "run"
    arguments = tiny_training(small_data, out, **{"--epochs": 4, "--steps-per-epoch": 20})
    first = subprocess.Popen([sys.executable, "train.py", *map(str, arguments)], cwd=ROOT, stdout=subprocess.DEVNULL)
    while not list(out.glob("checkpoints/epoch-*.keras")):
        assert first.poll() is None
        time.sleep(0.05)
    for more in ((), ("--overwrite",)):
        refused = run_command("train.py", *arguments, *more)
        assert_refused(refused, "run: is being written by process", "choose another --out")
    assert first.wait(timeout=300) == 0
    assert {p.name for p in out.iterdir()} == {"model.keras", "card.json", "history.csv", "config.json", "logs"}
    assert [p.name for p in tmp_path.iterdir()] == ["run"]
