"""Searches and trainings that are killed again and again end as if they never had been."""

import contextlib
import json
import random
import subprocess
import sys
import time

import h5py
import keras
import numpy as np
import pytest

from keras_gw_resnet import Detector
from keras_gw_resnet.strain.files import find_segments, read_segment
from keras_gw_resnet.strain.writers import mlgwsc1_file, write_gwosc
from tests.conftest import ROOT, run_command, tiny_training

KILLS = 20


def kill_in(command, milestones, seconds):
    """Start a command and kill it up to so many seconds after it has reached one more milestone.

    Args:
        command: Command line.
        milestones: Function that counts what the command has done.
        seconds: At most.

    Returns:
        Whether it was killed; else it has ended well.
    """
    before = milestones()
    process = subprocess.Popen(
        [sys.executable, *map(str, command)], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    while process.poll() is None and milestones() <= before:
        time.sleep(0.01)
    stop = time.monotonic() + random.uniform(0, seconds)
    while process.poll() is None and time.monotonic() < stop:
        time.sleep(0.01)
    process.kill()
    _, error = process.communicate(timeout=60)
    assert process.returncode in (0, -9), error[-3000:]
    return process.returncode != 0


def contents(path):
    found = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, entry: found.update({name: entry[()]}) if hasattr(entry, "dtype") else None)
        attributes = {name: np.asarray(value).tolist() for name, value in file.attrs.items()}
    return found, attributes


@pytest.mark.slow
def test_a_search_killed_in_mid_scan_ends_with_the_same_events(small_run, tmp_path):
    strain, rng = tmp_path / "strain.hdf", np.random.default_rng(0)
    with mlgwsc1_file(strain, ["H1", "L1"], 2048, compress=False) as add:
        for detector in ("H1", "L1"):
            add(detector, 10_000, rng.normal(size=8 * 1024 * 2048) * 1e-21)
    whole, out = tmp_path / "whole" / "e.hdf", tmp_path / "out" / "e.hdf"
    _, scan = next(Detector.load(small_run).scan(strain))
    options = ("--slides", 3, "--threshold", np.quantile(scan.scores, 0.999), "--plot", out.with_suffix(".png"))
    command = ("-m", "keras_gw_resnet", "search", small_run, strain, *options)
    assert run_command(*command, "--output", whole, timeout=600).returncode == 0
    assert len(contents(whole)[0]["time"]) > 50
    command = (*command, "--output", out, "--overwrite")
    killed = 0
    while True:
        if killed < KILLS:
            again = kill_in(command, lambda: len(list(out.parent.glob(".e.hdf.unfinished/chunk-*"))), 8.0)
            killed += again
        else:
            again = run_command(*command, timeout=600).returncode != 0
        if again:
            continue
        assert {p.name for p in out.parent.iterdir()} == {p.name for p in whole.parent.iterdir()} | {"e.png"}
        for name in ("e.hdf", "e-background.hdf"):
            (one, own), (two, other) = contents(whole.with_name(name)), contents(out.with_name(name))
            assert own == other
            assert sorted(one) == sorted(two)
            for key, values in one.items():
                np.testing.assert_array_equal(values, two[key])
        if killed == KILLS:
            return


@pytest.mark.slow
def test_a_training_killed_after_checkpoints_ends_with_the_same_weights(small_data, tmp_path):
    whole, out = tmp_path / "whole" / "run", tmp_path / "out" / "run"
    longer = {"--epochs": 8, "--steps-per-epoch": 8, "--negatives.hard_share": 0.5, "--negatives.hard_windows": 500}
    assert run_command("train.py", *tiny_training(small_data, whole, **longer)).returncode == 0
    killed = 0
    while killed < KILLS:
        command = ("train.py", *tiny_training(small_data, out, **longer))
        if kill_in(command, lambda: max([0, *(int(p.stem[6:]) for p in out.glob("checkpoints/epoch-*.keras"))]), 2.0):
            killed += 1
            if killed < KILLS:
                continue
            done = run_command(*command)
            assert done.returncode == 0 or "holds a finished run" in done.stderr, done.stderr
        assert {p.name for p in out.iterdir()} == {p.name for p in whole.iterdir()}
        assert [p.name for p in out.parent.iterdir()] == ["run"]
        one, two = (keras.saving.load_model(run / "model.keras").get_weights() for run in (whole, out))
        for first, second in zip(one, two, strict=True):
            np.testing.assert_array_equal(first, second)
        if killed < KILLS:
            run_command("-c", f"import shutil; shutil.rmtree({str(out)!r})")


@pytest.mark.slow
def test_a_followed_folder_killed_again_and_again_tells_each_event_once(gw150914_files, tmp_path):
    """The strain of GW150914 in files of a second; what stdout and file say of it, after as many kills as there is time for."""
    strain = [read_segment(header) for header in find_segments(list(gw150914_files))]
    folder, output = tmp_path / "in", tmp_path / "events.jsonl"
    folder.mkdir()
    command = ["-m", "keras_gw_resnet", "search", "resnet18-w16", "--follow", folder, "--output", output]
    command = [sys.executable, *map(str, [*command, "--threshold", 20, "--slides", 1])]
    said, kills = [], 0
    for second in range(32):
        for one in strain:
            start, rate = int(one.gps_start) + second, int(one.sample_rate)
            path = folder / f"{one.detector[0]}-{one.detector}_X-{start}-1.hdf5"
            write_gwosc(path, one.detector, start, rate, one.strain[second * rate :][:rate], "GWOSC")
        if second % 4 == 3:
            process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(random.uniform(2, 12))
            process.kill()
            said += process.communicate(timeout=60)[0].splitlines()
            kills += 1
    done = subprocess.run([*command, "--idle", "2"], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    (event,) = map(json.loads, output.read_text().splitlines())
    assert abs(event["time"] - 1126259462.42) < 0.05 and kills == 8
    # A kill between the file and stdout leaves it to the file.
    assert [json.loads(line) for line in [*said, *done.stdout.splitlines()]] in ([event], [])
