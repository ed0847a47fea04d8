import json
import os
import random
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest

from keras_gw_resnet import build_model
from keras_gw_resnet.training.checkpoint import last_checkpoint
from keras_gw_resnet.zoo import save_model
from tests.conftest import ROOT, assert_refused, run_command, run_commands, tiny_training


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


LONGER = {
    "--epochs": 4,
    "--steps-per-epoch": 8,
    "--early-stopping": 3,
    "--weight-averaging": 0.9,
    "--options.pooling": "logsumexp",
    "--options.head-kernel-size": 8,
    "--merger-tolerance": 0.02,
    "--hard-share": 0.5,
    "--hard-windows": 500,
}


@pytest.fixture(scope="module")
def longer_run(small_data, tmp_path_factory):
    out = tmp_path_factory.mktemp("longer") / "run"
    result = run_command("train.py", *tiny_training(small_data, out, **LONGER))
    assert result.returncode == 0, result.stderr
    return out


def test_a_killed_run_goes_on_to_the_same_weights(small_data, longer_run, tmp_path):
    """Kill the process at a random moment; the same command ends with the weights of the run never killed."""
    out = tmp_path / longer_run.name
    arguments = [sys.executable, "train.py", *map(str, tiny_training(small_data, out, **LONGER))]
    process = subprocess.Popen(
        arguments, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ}
    )
    deadline = time.monotonic() + 120
    while not list(out.glob("checkpoints/epoch-0001.keras")):
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(random.uniform(0, 2.0))
    process.send_signal(signal.SIGKILL)
    process.wait()
    if (out / "model.keras").exists():
        pytest.skip("THE RUN WAS FASTER THAN THE KILL; this check did not run")
    result = run_command("train.py", *tiny_training(small_data, out, **LONGER))
    assert result.returncode == 0, result.stderr
    assert "going on after epoch" in result.stdout
    for one, two in zip(weights(longer_run / "model.keras"), weights(out / "model.keras"), strict=True):
        np.testing.assert_array_equal(one, two)
    cards = [json.loads((run / "card.json").read_text()) for run in (longer_run, out)]
    assert cards[0]["training"]["epoch_kept"] == cards[1]["training"]["epoch_kept"]
    assert cards[0]["metrics"] == cards[1]["metrics"]


@pytest.mark.slow
def test_a_run_killed_while_it_saves_is_completed(small_data, tmp_path):
    """The network stands already, its card perhaps not: the same command ends with all of it."""
    out = tmp_path / "run"
    arguments = tiny_training(small_data, out)
    process = subprocess.Popen(
        [sys.executable, "train.py", *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while process.poll() is None and not (out / "model.keras").exists():
        time.sleep(0.001)
    process.kill()
    process.wait()
    network = weights(out / "model.keras")
    again = run_command("train.py", *arguments)
    if again.returncode:  # it had been quick enough to finish
        assert_refused(again, "holds a finished run")
    assert {p.name for p in out.iterdir()} == {"model.keras", "card.json", "history.csv", "config.json", "logs"}
    for one, two in zip(network, weights(out / "model.keras"), strict=True):
        np.testing.assert_array_equal(one, two)


def test_float16_scales_its_loss():
    from keras_gw_resnet.training.config import TrainingConfig
    from keras_gw_resnet.training.optimization import optimizer

    config = TrainingConfig.of(model="resnet16", data="nowhere", precision="float16")
    assert isinstance(optimizer(config, 10), keras.optimizers.LossScaleOptimizer)


@pytest.mark.slow
def test_a_diverging_run_stops_and_saves_no_network(small_data, tmp_path):
    out = tmp_path / "diverging"
    out.mkdir()
    result = run_command("train.py", *tiny_training(small_data, out, **{"--learning-rate": "1e30"}))
    assert_refused(result, "no longer finite", "--learning-rate")
    assert not (out / "model.keras").exists()
    assert not list(out.glob("checkpoints/*"))


# Two networks of one seed, trained for 8 steps with batch norm over both devices, in one process with two devices.
TWO_DEVICES = """
import sys
from dataclasses import replace
import numpy as np
from keras_gw_resnet.backend import load_keras
from keras_gw_resnet.training.config import TrainingConfig
from keras_gw_resnet.training.distribution import Place, prepare
import keras
config = TrainingConfig.of(model="resnet16", data=sys.argv[1], options={"width": 4}, batch_size=16, steps_per_epoch=8, epochs=1,
    detectors=("H1", "L1"), window_samples=2048, optimizer=sys.argv[2], learning_rate=0.01, schedule="constant",
    validation_noise=20, validation_signals=10, false_alarm_probability=0.9, devices=2)
two = load_keras(lambda: prepare(config))
keras.config.set_floatx("float64")
from keras_gw_resnet.training.data import load_batches
from keras_gw_resnet.training.fit import feed_of
from keras_gw_resnet.training.optimization import compile_for_training, for_training, new_network
batches, trained = load_batches(config).training, []
for place in (two, Place(("CPU:0",))):
    with place.scope():
        model = for_training(new_network(config), config, len(place.devices))
        compile_for_training(model, config, 8)
    model.fit(feed_of(batches, 0, 8), steps_per_epoch=8, shuffle=False, verbose=0)
    trained.append(model.get_weights())
print(len(two.devices), max(np.abs(a - b).max() for a, b in zip(*trained)))
"""


def test_two_devices_equal_one(small_data):
    """With batch norm over both replicas, 8 steps on two devices end with the weights of one device.

    In double precision: from step to step such a network amplifies what rounding leaves in single precision.
    """
    result = run_command("-c", TWO_DEVICES, small_data, "adam")
    assert result.returncode == 0, result.stderr
    devices, difference = result.stdout.split()
    assert devices == "2"
    assert float(difference) < 1e-10


@pytest.mark.slow
def test_two_devices_through_the_command_line(small_data, tmp_path):
    """What two devices trained and saved, a killed run included, is for one device."""
    out = tmp_path / "two"
    changes = {"--devices": 2, "--precision": "bfloat16", "--optimizer": "adamw", "--weight-decay": 0.01}
    changes |= {"--warmup-epochs": 1, "--gradient-clip": 1.0, "--weight-averaging": 0.5, "--label-smoothing": 0.1}
    result = run_command("train.py", *tiny_training(small_data, out, **changes))
    assert result.returncode == 0, result.stderr
    assert "on 2 CPU devices" in result.stdout
    model = keras.saving.load_model(out / "model.keras")
    assert {layer.dtype_policy.name for layer in model.layers} == {"float32"}
    assert not any(getattr(layer, "synchronized", False) for layer in model.layers)


def test_a_stopped_run_is_saved_and_goes_on(small_data, tmp_path):
    """SIGTERM, as queue systems send it, ends a run with exit code 0 and a line that says how to go on."""
    out = tmp_path / "stopped"
    arguments = tiny_training(small_data, out, **{"--epochs": 500, "--early-stopping": 0})
    process = subprocess.Popen(
        [sys.executable, "train.py", *map(str, arguments)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 120
    while not list(out.glob("checkpoints/epoch-*.keras")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "stopped by SIGTERM" in said.splitlines()[-1]
    assert "the same command goes on" in said.splitlines()[-1]
    done, _ = last_checkpoint(out / "checkpoints")
    assert done >= 1
    refused = run_command("train.py", *tiny_training(small_data, out))
    assert_refused(refused, "another configuration", "epochs: 500 -> 2")


def test_last_whole_checkpoint_counts(tmp_path):
    assert last_checkpoint(tmp_path) == (0, None)
    for epoch in (1, 2):
        (tmp_path / f"epoch-{epoch:04d}.json").write_text("{}")
    (tmp_path / "epoch-0001.keras").touch()
    assert last_checkpoint(tmp_path) == (1, tmp_path / "epoch-0001.keras")


@pytest.mark.slow
def test_an_ensemble_of_saved_networks_trains_its_head_alone(small_data, small_run, tmp_path):
    card = json.loads((small_run / "card.json").read_text())
    save_model(build_model("resnet18", width=4), {**card, "name": "other", "model": "resnet18"}, tmp_path / "other")
    arguments = tiny_training(small_data, tmp_path / "joined", **{"--model": "ensemble", "--epochs": 1})
    del arguments[2:6]  # width and dropout, which are the members'
    members = ("--options.members", f"[{small_run},{tmp_path / 'other'}]")
    result = run_command("train.py", *arguments, *members)
    assert result.returncode == 0, result.stderr
    joined = keras.saving.load_model(tmp_path / "joined" / "model.keras", safe_mode=True)
    for member, layer in zip((small_run, tmp_path / "other"), joined.layers[1:3], strict=True):
        for a, b in zip(keras.saving.load_model(member / "model.keras").weights, layer.weights, strict=True):
            np.testing.assert_array_equal(a, b)
    assert not np.array_equal(joined.get_layer("score").get_weights()[0], np.full((2, 1), 0.5))
    begun_with = json.loads((tmp_path / "joined" / "card.json").read_text())["training"]["begun_with"]
    assert {name: known["data"] for name, known in begun_with.items()} == dict.fromkeys(
        (card["name"], "other"), card["training"]["data"]
    )
    whitened = {**card, "whitening": {**card["whitening"], "low_frequency": 30.0}}
    save_model(build_model("resnet18", width=4), {**whitened, "name": "strange"}, tmp_path / "strange")
    strange = ("--options.members", f"[{small_run},{tmp_path / 'strange'}]")
    alone = ("--options.members", f"[{small_run},{tmp_path / 'other'}]", "--options.combine", "mean")
    unlike, nothing = run_commands([("train", *arguments, "--overwrite", *more) for more in (strange, alone)])
    assert_refused(unlike, "strange", "whitening", "leave it out")
    assert_refused(nothing, "no weights to train", "--options.combine head")
