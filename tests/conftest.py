import fcntl
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# As `load_keras` has it, so that this process and those it starts compute alike.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import h5py
import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared" / "data"


# Networks that take long to compile.
DEEP = ("resnet101", "resnet152", "densenet121", "aresgw54")


def saved_names(names=None):
    """The saved networks, or these of them, as parameters of a test; the deep ones are slow."""
    from keras_gw_resnet.models.weights import list_saved

    return [pytest.param(name, marks=pytest.mark.slow if is_deep(name) else ()) for name in names or list_saved()]


def is_deep(name):
    """Say whether this saved network takes long to compile."""
    from keras_gw_resnet.zoo import load_card

    return load_card(name)["model"] in DEEP


def run_command(*command, cwd=ROOT, env=None, timeout=300):
    """Run a command line with this Python, as a user would."""
    return subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


ONE_AFTER_THE_OTHER = """
import contextlib, io, json, sys
from keras_gw_resnet.cli import main
for argv in json.load(sys.stdin):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(argv)
        except SystemExit as stop:
            code = stop.code
    print("RESULT " + json.dumps([code, out.getvalue(), err.getvalue()]), flush=True)
"""


def run_commands(commands, timeout=300):
    """Run many command lines of the package in one fresh process: what stops early need not load Keras each time."""
    plain = [[str(part) for part in command] for command in commands]
    done = subprocess.run(
        [sys.executable, "-c", ONE_AFTER_THE_OTHER],
        input=json.dumps(plain),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    results = [json.loads(line[7:]) for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    assert len(results) == len(commands), done.stderr
    return [
        subprocess.CompletedProcess(command, code, out, err)
        for command, (code, out, err) in zip(plain, results, strict=True)
    ]


def assert_refused(result, *mentioned):
    """One line on stderr that mentions these, exit code 2, no traceback."""
    assert result.returncode == 2, (result.returncode, result.stdout, result.stderr)
    lines = [line for line in result.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, result.stderr
    for text in mentioned:
        assert str(text) in lines[0], (text, lines[0])


def shared(*parts):
    """Return a path in the shared data, or skip loudly."""
    path = SHARED.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"SHARED DATA ABSENT: {'/'.join(parts)} is not beside this checkout; this check did not run")
    return path


@pytest.fixture(scope="session")
def gw150914_files():
    from keras_gw_resnet.strain.shipped import shipped_files

    return shipped_files("GW150914")


@pytest.fixture(scope="session")
def mlgwsc1_folder():
    return shared("mlgwsc1")


@pytest.fixture(scope="session")
def psds_folder():
    return shared("psds")


def made_once(tmp_path_factory, name, commands_for):
    """A folder that the first process of a parallel run that asks for it makes, and that all read."""
    root = tmp_path_factory.getbasetemp()
    root = root.parent if os.environ.get("PYTEST_XDIST_WORKER") else root
    folder, done = root / name, root / f"{name}.done"
    with (root / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            for command in commands_for(folder):
                result = run_command(*command)
                assert result.returncode == 0, result.stderr
            done.touch()
    return folder


@pytest.fixture(scope="session")
def small_data(tmp_path_factory):
    """A folder with simulated noise and a waveform bank, made through the command line."""
    simulate = ("-m", "keras_gw_resnet", "simulate")
    noise = (*simulate, "noise", "--segments", 2, "--segment-seconds", 64)
    bank = (*simulate, "bank", "--number", 24, "--seed", 5)
    return made_once(
        tmp_path_factory,
        "small-data",
        lambda folder: [(*noise, "--output", folder / "noise.hdf"), (*bank, "--output", folder / "bank.hdf")],
    )


@pytest.fixture(scope="session")
def small_bank(small_data):
    from keras_gw_resnet.simulation.bank import load_bank

    return load_bank(small_data / "bank.hdf")


@pytest.fixture(scope="session")
def small_run(small_data, tmp_path_factory):
    """A tiny network trained for a moment through train.py."""
    return made_once(tmp_path_factory, "tiny", lambda folder: [("train.py", *tiny_training(small_data, folder))])


def tiny_training(data, out, **changes):
    """Arguments of a training that takes seconds."""
    options = {
        "--model": "resnet16",
        "--width": 4,
        "--dropout": 0.1,
        "--data": data,
        "--out": out,
        "--epochs": 2,
        "--steps-per-epoch": 3,
        "--batch-size": 16,
        "--seed": 3,
        "--metric.noise_windows": 200,
        "--metric.signal_windows": 50,
        "--metric.batches": 4,
        "--metric.false_alarm_probability": 0.05,
        **changes,
    }
    return [part for pair in options.items() for part in pair]


def on_jax():
    """Say whether Keras runs on JAX, where single operations are slow and whole networks are compiled."""
    import keras

    return keras.backend.backend() == "jax"


def settle_batch_norm(model, seed=0):
    """Give an untrained network the statistics of batch norm that it would have after training on noise."""
    import keras

    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    momenta = [layer.momentum for layer in norms]
    for layer in norms:
        layer.momentum = 0.0
    shape = tuple(size or 2048 for size in model.input_shape[1:])
    strain = np.random.default_rng(seed).normal(size=(8, *shape)).astype("float32")
    if on_jax():
        import jax

        call = jax.jit(lambda *state: model.stateless_call(*state, strain, training=True)[1])
        state = call([v.value for v in model.trainable_variables], [v.value for v in model.non_trainable_variables])
        for variable, value in zip(model.non_trainable_variables, state, strict=True):
            variable.assign(value)
    else:
        model(strain, training=True)
    for layer, momentum in zip(norms, momenta, strict=True):
        layer.momentum = momentum


def scores_of(model, strain):
    """Score windows: operation by operation, or compiled where Keras runs on JAX."""
    import keras

    return model.predict_on_batch(strain) if on_jax() else keras.ops.convert_to_numpy(model(strain, training=False))


CHROMIUM = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--disable-quic", "--window-size=1400,1200"),
)


@pytest.fixture
def browser(tmp_path):
    """A real Chromium, headless, driven by Selenium; skipped loudly where there is none."""
    program, driver_path = shutil.which("chromium"), shutil.which("chromedriver")
    if not program or not driver_path:
        pytest.skip("CHROMIUM ABSENT: Debian's packages chromium and chromium-driver; this check did not run")
    webdriver = pytest.importorskip("selenium.webdriver", reason="SELENIUM ABSENT: make extras; this check did not run")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for argument in (*CHROMIUM, f"--user-data-dir={tmp_path / 'profile'}"):
        options.add_argument(argument)
    driver = webdriver.Chrome(options, webdriver.ChromeService(driver_path))
    yield driver
    driver.quit()


def write_mlgwsc(path, detectors, rate=2048, seconds=20, nan=()):
    with h5py.File(path, "w") as file:
        for detector in detectors:
            strain = np.random.default_rng(0).normal(size=rate * seconds) * 1e-21
            for start, stop in nan:
                strain[round(start * rate) : round(stop * rate)] = np.nan
            file[f"{detector}/100"] = strain
            file[f"{detector}/100"].attrs.update(start_time=100.0, delta_t=1 / rate)
    return path
