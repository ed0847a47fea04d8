"""The demo: every room of the house once, through the real commands, on data small enough for a laptop."""

import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

from keras_gw_resnet.errors import InputError
from keras_gw_resnet.strain.fetch import cache_folder

ROOT = Path(__file__).parents[1]
GW150914 = 1126259462.42
GW150914_FILES = "?-?1_*-112625944[67]-32.hdf5"
PSDS = (
    "aLIGOMidHighSensitivityP1200087",
    "aLIGOLateHighSensitivityP1200087",
    "aLIGOaLIGODesignSensitivityT1800044",
    "aLIGOZeroDetHighPower",
)


def event_folders():
    """Return the folders in which the demo looks for GW150914: beside the checkout, and in the user's cache."""
    return [ROOT.parent / "shared" / "data" / "gwosc", cache_folder()]


def find_gw150914():
    """Return the files of H1 and L1 around GW150914, or an empty list."""
    for folder in event_folders():
        files = sorted(folder.glob(GW150914_FILES))
        if {"H-H1", "L-L1"} <= {path.name[:4] for path in files}:
            return [path for path in files if path.name[:4] in ("H-H1", "L-L1")]
    return []


def _short(path):
    path = Path(path).resolve()
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else os.path.relpath(path, ROOT)


def run_step(step, made, *command, env=None):
    """Run one command in the project's folder, unless what it makes (None: run always) is there already.

    `env` holds more environment variables for it.
    """
    if made is not None and made.exists():
        print(f"\n[{step}] {_short(made)} is there already: reused", flush=True)
        return
    shown = ["python", *(_short(a) if isinstance(a, Path) else str(a) for a in command)]
    print(f"\n[{step}] {shlex.join(shown)}", flush=True)
    result = subprocess.run(
        [sys.executable, *map(str, command)], cwd=ROOT, env={**os.environ, **(env or {})}, check=False
    )
    if result.returncode or not (made is None or made.exists()):
        how = f"exit code {result.returncode}" if result.returncode else "ended from outside"
        raise InputError(f"stopped at step '{step}' ({how}); what it made so far is reused next time")


def _train_command():
    return [ROOT / "train.py"] if (ROOT / "train.py").exists() else ["-m", "keras_gw_resnet", "train"]


def _evaluate_command():
    return [ROOT / "evaluate.py"] if (ROOT / "evaluate.py").exists() else ["-m", "keras_gw_resnet", "evaluate"]


def _simulate(folder):
    for part, segments, waveforms, seed in (("train", 6, 800, 1), ("test", 3, 200, 2)):
        simulate = ("-m", "keras_gw_resnet", "simulate")
        noise, bank = folder / part / "noise.hdf", folder / part / "bank.hdf"
        options = ("--segments", segments, "--segment-seconds", 300, "--seed", seed, "--psd", *PSDS, "--output", noise)
        run_step("simulate", noise, *simulate, "noise", *options)
        run_step(
            "simulate",
            bank,
            *simulate,
            "bank",
            "--population",
            "set3",
            "--number",
            waveforms,
            "--seed",
            seed,
            "--output",
            bank,
        )


def _event_files(folder):
    files = find_gw150914()
    if files:
        return files, "REAL strain: GW150914, H1 and L1 (gwosc.org)", GW150914
    from keras_gw_resnet.simulation.example_event import SIMULATED_COALESCENCE, write_simulated_event

    simulated = folder / "simulated-event"
    files = sorted(simulated.glob("*.hdf5"))
    if len(files) != 2:
        print(f"\n[simulate] a binary black hole in noise, in GWOSC layout, into {_short(simulated)}", flush=True)
        files = write_simulated_event(simulated)
    return files, "SIMULATED strain: no GW150914 files found beside the checkout or in the cache", SIMULATED_COALESCENCE


def demo(folder, *, seed=0):
    """Simulate data, train, evaluate, search, and say where everything lies.

    Args:
        folder: Where everything goes; what is there already is reused.
        seed: Seed of the training.

    Raises:
        InputError: A step failed.
    """
    started, folder = time.monotonic(), Path(folder).resolve()
    model = folder / f"resnet18-w16-templates-seed{seed}"
    _simulate(folder)
    options = ("--recipe", "templates", "--epochs", 5, "--data", folder / "train", "--out", model, "--seed", seed)
    run_step("train", model / "card.json", *_train_command(), *options)
    evaluation = model / "evaluation"
    run_step("evaluate", evaluation, *_evaluate_command(), model, "--data", folder / "test", "--output", evaluation)
    files, what, truth = _event_files(folder)
    print(f"\nThe search runs on {what}. Its coalescence is at GPS {truth:.2f}.", flush=True)
    events, picture = model / "events.hdf", model / "loudest-event.png"
    search = ("-m", "keras_gw_resnet", "search", model, *files, "--output", events, "--plot", picture, "--overwrite")
    run_step("search", None, *search)
    _closing(model, evaluation, events, picture, time.monotonic() - started)


def _closing(model, evaluation, events, picture, seconds):
    shown = {name: _short(path) for name, path in (("model", model), ("evaluation", evaluation))}
    print(
        f"""
Done in {seconds / 60:.1f} minutes.
  network      {shown["model"]}/model.keras, card.json
  efficiency   {shown["evaluation"]}/efficiency.png, evaluation.json
  events       {_short(events)}, {_short(events.with_suffix(".csv"))}
  picture      {_short(picture)}
Watch the training:
  .venv/bin/keras-gw-resnet tensorboard {shown["model"]}
Load the network in Keras (whitened strain in, ranking statistic out):
  import keras
  network = keras.saving.load_model("{shown["model"]}/model.keras")"""
    )
