import json
import os
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest

from keras_gw_resnet import InputError
from keras_gw_resnet.training.rendezvous import meet
from tests.conftest import ROOT, assert_refused, run_command, run_commands, tiny_training

# In double precision, so that what differs is not the rounding, which such networks amplify from step to step.
EXACT = {
    "JAX_ENABLE_X64": "1",
    "XLA_FLAGS": "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true",
}


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def start(arguments, env):
    return subprocess.Popen(
        [sys.executable, "train.py", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def weights(folder):
    return keras.saving.load_model(folder / "model.keras").get_weights()


@pytest.mark.jax
def test_two_processes_equal_one(small_data, tmp_path):
    """Two processes on JAX, started as Slurm starts them, each feeding its half of every batch, train what one trains."""
    (tmp_path / "keras.json").write_text(json.dumps({"floatx": "float64"}))
    env = {**EXACT, "KERAS_HOME": str(tmp_path)}
    changes = {
        "--backend": "jax",
        "--window-samples": 1024,
        "--epochs": 1,
        "--steps-per-epoch": 4,
        "--optimizer": "sgd",
    }
    slurm = {"SLURM_JOB_ID": str(os.getpid()), "SLURM_STEP_NODELIST": "localhost", "SLURM_NTASKS": "2"}
    arguments = tiny_training(small_data, tmp_path / "two", **changes)
    both = [start(arguments, {**env, **slurm, "SLURM_PROCID": i, "SLURM_LOCALID": i}) for i in ("0", "1")]
    said = [process.communicate(timeout=240) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert "in each of 2 processes" in said[0][0]
    assert "model.keras" not in said[1][0]
    one = start(tiny_training(small_data, tmp_path / "one", **changes), env)
    assert one.wait(timeout=240) == 0, one.communicate()
    for a, b in zip(weights(tmp_path / "one"), weights(tmp_path / "two"), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-6)


@pytest.mark.jax
@pytest.mark.parametrize("by", ["SIGTERM to both", "SIGKILL to one"])
def test_processes_that_are_stopped(small_data, tmp_path, by):
    """A queue system's SIGTERM ends all of them, and it is said; where one dies, the other says so in one line."""
    changes = {"--backend": "jax", "--window-samples": 1024, "--epochs": 500, "--steps-per-epoch": 2}
    changes |= {"--coordinator": f"127.0.0.1:{free_port()}", "--processes": 2, "--early-stopping": 0}
    out = tmp_path / "run"
    both = [start((*tiny_training(small_data, out, **changes), "--process-id", i), EXACT) for i in (0, 1)]
    deadline = time.monotonic() + 200
    while not list(out.glob("checkpoints/epoch-*.keras")):
        assert [process.poll() for process in both] == [None, None], [process.communicate() for process in both]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    if by == "SIGTERM to both":
        for process in both:
            process.terminate()
        said = [process.communicate(timeout=100) for process in both]
        assert [process.returncode for process in both] == [0, 0], said
        assert all("stopped by SIGTERM" in out for out, _ in said), said
    else:
        both[1].kill()
        _, error = both[0].communicate(timeout=100)
        assert both[0].returncode == 2, error
        lines = [line for line in error.splitlines() if line.strip()]
        assert "another process is gone" in lines[-1], error
        assert "Traceback" not in error
        both[1].communicate()
    assert len(list(out.glob("checkpoints/epoch-*.keras"))) >= 1


@pytest.mark.jax
def test_a_coordinator_that_does_not_answer(small_data, tmp_path):
    nobody = {"--backend": "jax", "--coordinator": f"127.0.0.1:{free_port()}", "--processes": 2, "--process-id": 1}
    arguments = tiny_training(small_data, tmp_path / "run", **nobody)
    result = run_command("train.py", *arguments, env={"KERAS_GW_RESNET_PATIENCE_SECONDS": "1"})
    assert_refused(result, "does not answer within 1 s", "start process 0")
    assert not (tmp_path / "run").exists()


def test_all_processes_meet_or_say_who_is_missing():
    address = f"127.0.0.1:{free_port()}"
    with ThreadPoolExecutor(3) as pool:
        for done in [pool.submit(meet, address, 3, i, 20) for i in (1, 2)] + [pool.submit(_serve, address)]:
            done.result(timeout=30)
    with pytest.raises(InputError, match="0 of the 2 other processes came within 1 s"):
        meet(f"127.0.0.1:{free_port()}", 3, 0, 1)
    for wrong in ("nowhere", "127.0.0.1:port", "127.0.0.1:0"):
        with pytest.raises(InputError, match="expected HOST:PORT"):
            meet(wrong, 2, 0, 1)
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(InputError, match="choose another port"):
        meet(f"127.0.0.1:{taken.getsockname()[1]}", 2, 0, 1)


def _serve(address):
    """Meet as process 0, then listen where JAX would."""
    meet(address, 3, 0, 20)
    host, _, port = address.rpartition(":")
    with socket.create_server((host, int(port))) as server:
        server.settimeout(20)
        for _ in range(2):
            server.accept()[0].close()


def test_what_cannot_be_distributed_is_refused(small_data, tmp_path):
    two = tiny_training(small_data, tmp_path / "run", **{"--coordinator": "127.0.0.1:1", "--processes": 2})
    alone, whole = run_commands([("train", *two), ("train", *two, "--process-id", 0)])
    assert_refused(alone, "belong together")
    assert_refused(whole, "--backend jax")
    mirrored = tiny_training(small_data, tmp_path / "run")
    refused = run_command("train.py", *mirrored, env={"TF_CONFIG": "{}"})
    assert_refused(refused, "MultiWorkerMirroredStrategy", "20585", "--backend jax")
