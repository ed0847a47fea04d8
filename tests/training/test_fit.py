import json
import os
import shutil
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest

from keras_gw_resnet.training.checkpoint import last_checkpoint
from tests.conftest import ROOT, assert_refused, run_command, tiny_training


def weights(path):
    return keras.saving.load_model(path).get_weights()


def test_run_leaves_what_it_says(small_run):
    assert {p.name for p in small_run.iterdir()} == {"model.keras", "card.json", "history.csv", "config.json", "logs"}
    card = json.loads((small_run / "card.json").read_text())
    assert card["model"] == "resnet16"
    assert card["options"] == {"width": 4, "dropout": 0.1}
    assert card["training"]["config"]["seed"] == 3
    assert card["whitening"]["filter_seconds"] == 4.0
    assert 0 <= card["metrics"]["validation"]["auc"] <= 1
    assert len((small_run / "history.csv").read_text().splitlines()) == 3


def test_tensorboard_shows_the_run(small_run):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (folder,) = (small_run / "logs").glob("validation")
    events = EventAccumulator(str(folder)).Reload()
    assert "epoch_loss" in events.Tags()["tensors"]
    assert [e.step for e in events.Tensors("epoch_auc")] == [0, 1]


def test_a_killed_run_goes_on_to_the_same_weights(small_data, small_run, tmp_path):
    """Kill the process after its first epoch; the same command ends with the weights of the run never killed."""
    out = tmp_path / small_run.name
    arguments = [sys.executable, "train.py", *map(str, tiny_training(small_data, out))]
    process = subprocess.Popen(
        arguments, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ}
    )
    deadline = time.monotonic() + 120
    while not list(out.glob("checkpoints/epoch-0001.keras")):
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (out / "model.keras").exists()
    shutil.rmtree(out / "logs")
    result = run_command("train.py", *tiny_training(small_data, out))
    assert result.returncode == 0, result.stderr
    assert "going on after epoch" in result.stdout
    for one, two in zip(weights(small_run / "model.keras"), weights(out / "model.keras"), strict=True):
        np.testing.assert_array_equal(one, two)


def test_a_diverging_run_stops_and_saves_no_network(small_data, tmp_path):
    out = tmp_path / "diverging"
    out.mkdir()
    result = run_command("train.py", *tiny_training(small_data, out, **{"--learning-rate": "1e30"}))
    assert_refused(result, "no longer finite", "--learning-rate")
    assert not (out / "model.keras").exists()
    assert not list(out.glob("checkpoints/*"))


def test_two_devices_train_like_one(small_data, small_run, tmp_path):
    """Mirrored on two logical CPU devices the run is the same but for batch norm's smaller share of the batch."""
    result = run_command("train.py", *tiny_training(small_data, tmp_path / "two", **{"--devices": 2}))
    assert result.returncode == 0, result.stderr
    one, two = (json.loads((p / "card.json").read_text()) for p in (small_run, tmp_path / "two"))
    assert two["training"]["config"]["devices"] == 2
    assert two["metrics"]["validation"]["loss"] == pytest.approx(one["metrics"]["validation"]["loss"], rel=0.5)
    differences = [
        np.abs(a - b).max()
        for a, b in zip(weights(small_run / "model.keras"), weights(tmp_path / "two/model.keras"), strict=True)
    ]
    assert max(differences) < 0.2


def test_last_whole_checkpoint_counts(tmp_path):
    assert last_checkpoint(tmp_path) == (0, None)
    for epoch in (1, 2):
        (tmp_path / f"epoch-{epoch:04d}.json").write_text("{}")
    (tmp_path / "epoch-0001.keras").touch()
    assert last_checkpoint(tmp_path) == (1, tmp_path / "epoch-0001.keras")
