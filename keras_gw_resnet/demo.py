"""The demo: find GW150914 with what ships, then simulate, train, evaluate and search, within minutes on any machine."""

import json
import os
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_gw_resnet.errors import InputError
from keras_gw_resnet.strain.shipped import GW150914
from keras_gw_resnet.training.rooms import LEAST_FALSE_ALARMS, Metric

ROOT = Path(__file__).parents[1]
# What the demo plans to take after the first search, how much more the least training may take, and after which no evaluation
# begins; all of it is to end within 8 minutes.
PLANNED_SECONDS, MORE_SECONDS, LATEST_SECONDS = 330, 70, 400
# What starting Keras, choosing templates and calibrating take, as so many examples in training.
FIXED_EXAMPLES = 10000
TEST_WAVEFORMS = 120
# Fewest windows that still show something.
LEAST = {"noise": 2000, "signals": 200, "windows": 4000}
NETWORK = {"width": 16, "templates": 128, "coincidence": True, "template_stride": 4, "pooling": "logsumexp"}
ALWAYS_LEFT_OUT = (
    "hard negatives (--negatives.hard_share 0.5)",
    "templates of the statistic's own (--ranking.templates 40)",
)
WHOLE = "python train.py --recipe templates --data runs/demo/train --out runs/whole"
PSDS = (
    "aLIGOMidHighSensitivityP1200087",
    "aLIGOLateHighSensitivityP1200087",
    "aLIGOaLIGODesignSensitivityT1800044",
    "aLIGOZeroDetHighPower",
)


def _short(path):
    path = Path(path).resolve()
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else os.path.relpath(path, ROOT)


def run_step(step: str, made: Path | None, *command: object, env: dict | None = None) -> None:
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


@dataclass(frozen=True)
class Plan:
    """How much of the whole demo this machine does in the time.

    Attributes:
        waveforms, epochs, steps, noise, signals, windows: Of the bank; of the training; held-out windows of noise and with a
            signal that every epoch is judged by; windows that the evaluation scores.
    """

    waveforms: int = 800
    epochs: int = 5
    steps: int = 100
    noise: int = 10000
    signals: int = 1000
    windows: int = 30000

    def false_alarm_probability(self) -> float:
        """Return the lowest, a window, that the held-out windows of noise can show, not below the usual one."""
        return max(Metric.false_alarm_probability, LEAST_FALSE_ALARMS / self.noise)

    def left_out(self) -> list[str]:
        """Say what the whole demo would do more, line by line."""
        whole, words = (
            Plan(),
            {
                "waveforms": "simulated waveforms to train with",
                "epochs": "epochs",
                "steps": "batches of 128 examples an epoch",
                "noise": "held-out windows of noise to judge an epoch by",
                "signals": "held-out windows with a signal to judge an epoch by",
                "windows": "windows to evaluate on",
            },
        )
        pairs = {name: (getattr(self, name), getattr(whole, name)) for name in words}
        return [f"{own} of {full} {words[name]}" for name, (own, full) in pairs.items() if own < full]


def plan(rate: float, waveform_rate: float, seconds: float) -> Plan | None:
    """Choose how much to do.

    Args:
        rate: Examples a second in training. Scoring takes about a third of the time.
        waveform_rate: Simulated waveforms a second.
        seconds: What all of it may take; a fifth is for the waveforms.

    Returns:
        Plan; None where even the least takes `MORE_SECONDS` longer.
    """
    whole = Plan()
    waveforms = int(np.clip(seconds / 5 * waveform_rate, 100, whole.waveforms))
    examples = max(0.0, seconds - waveforms / waveform_rate) * rate - FIXED_EXAMPLES
    # Held-out windows of 16 batches, and the strain that calibrates, are scored in any case.
    scored = 2048 / 3
    cost = whole.epochs * (whole.steps * 128 + (whole.noise + whole.signals) / 3 + scored) + whole.windows / 3 + scored
    share = min(1.0, max(0.0, examples / cost))
    if share == 1.0:
        return Plan(waveforms)
    epochs = 5 if share > 0.3 else 3
    steps = int(share * whole.steps * whole.epochs / epochs)
    fewer = {name: max(least, int(share * getattr(whole, name))) for name, least in LEAST.items()}
    chosen = Plan(waveforms, epochs, max(10, steps), **fewer)
    scored = epochs * (chosen.noise + chosen.signals + 2048) / 3
    takes = waveforms / waveform_rate + (FIXED_EXAMPLES + epochs * chosen.steps * 128 + scored) / rate
    return chosen if takes < seconds + MORE_SECONDS else None


def measure_rate() -> None:
    """Print how many examples a second this machine trains the network of the demo with."""
    from keras_gw_resnet.backend import load_keras

    load_keras()
    import keras

    from keras_gw_resnet import build_model
    from keras_gw_resnet.backend import jit_compile

    model = build_model("resnet18", **NETWORK)
    model.compile("adam", keras.losses.BinaryCrossentropy(from_logits=True), jit_compile=jit_compile())
    strain, label = np.zeros((128, 2048, 2), np.float32), np.zeros((128, 1), np.float32)
    model.train_on_batch(strain, label)
    begun = time.perf_counter()
    for _ in range(3):
        model.train_on_batch(strain, label)
    print(3 * 128 / (time.perf_counter() - begun))


def _measured_rate():
    code = "from keras_gw_resnet.demo import measure_rate; measure_rate()"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise InputError(f"stopped at step 'measure': {done.stderr.strip().splitlines()[-1:]}")
    # The other cores make the examples meanwhile, which takes some of the time.
    return 0.7 * float(done.stdout.split()[-1])


def _simulate(folder, part, segments, waveforms, seed):
    simulate = ("-m", "keras_gw_resnet", "simulate")
    noise, bank = folder / part / "noise.hdf", folder / part / "bank.hdf"
    options = ("--segments", segments, "--segment-seconds", 300, "--seed", seed, "--psd", *PSDS, "--output", noise)
    run_step("simulate", noise, *simulate, "noise", *options)
    options = ("--population", "set3", "--number", waveforms, "--seed", seed, "--output", bank)
    begun = time.monotonic()
    run_step("simulate", bank, *simulate, "bank", *options)
    return time.monotonic() - begun


def _planned(folder):
    """Measure this machine, or read what was measured before, so that a demo that was interrupted goes on; None: it is too slow."""
    record = folder / "plan.json"
    if record.exists():
        return Plan(**json.loads(record.read_text()))
    begun = time.monotonic()
    print("\n[measure] how fast this machine trains and simulates", flush=True)
    seconds = _simulate(folder, "test", 3, TEST_WAVEFORMS, 2)
    rate, waveform_rate = _measured_rate(), TEST_WAVEFORMS / max(seconds, 1.0)
    chosen = plan(rate, waveform_rate, PLANNED_SECONDS - (time.monotonic() - begun))
    print(f"{rate:.0f} examples/s in training, {waveform_rate:.1f} waveforms/s", flush=True)
    if chosen is not None:
        record.write_text(json.dumps(vars(chosen)))
    return chosen


def demo(folder: Path | str, *, seed: int = 0) -> None:
    """Search GW150914 with the flagship; then simulate, train, evaluate and search within minutes, and say what lies where.

    Args:
        folder: Where everything goes; what is there already is reused.
        seed: Seed of the training.

    Raises:
        InputError: A step failed.
    """
    started, folder = time.monotonic(), Path(folder).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    search = ("-m", "keras_gw_resnet", "search")
    print(
        f"REAL strain: GW150914, H1 and L1 (gwosc.org), which ships. Its coalescence is at GPS {GW150914:.2f}.",
        flush=True,
    )
    first = folder / "gw150914.hdf"
    options = ("GW150914", "--output", first, "--plot", first.with_suffix(".png"), "--overwrite")
    run_step("search", None, *search, "flagship", *options)
    print(f"after {time.monotonic() - started:.0f} s. The picture: {_short(first.with_suffix('.png'))}", flush=True)

    begun, model = time.monotonic(), folder / f"resnet18-w16-templates-seed{seed}"
    chosen = _planned(folder)
    if chosen is None:
        print(f"Left out: the training, which would take more than 8 minutes here. All of it: {WHOLE}", flush=True)
        return
    _simulate(folder, "train", 6, chosen.waveforms, 1)
    run_step("train", model / "card.json", *_train_command(), *training_options(chosen, folder, model, seed))
    evaluation = model / "evaluation"
    left_out = [*chosen.left_out(), *ALWAYS_LEFT_OUT]
    if time.monotonic() - begun < LATEST_SECONDS:
        options = ("--data", folder / "test", "--windows", chosen.windows, "--output", evaluation)
        run_step("evaluate", evaluation, *_evaluate_command(), model, *options)
    else:
        left_out.append("the evaluation: the time was over")
    events = model / "events.hdf"
    run_step("search", None, *search, model, "GW150914", "--output", events, "--overwrite")
    _closing(model, evaluation, events, first.with_suffix(".png"), time.monotonic() - started)
    print("Left out, for want of time: " + "; ".join(left_out) + ".\nAll of it: " + WHOLE, flush=True)


def training_options(chosen: Plan, folder: Path, model: Path, seed: int) -> list:
    """Return the options of the training."""
    options = {
        "--recipe": "templates",
        "--epochs": chosen.epochs,
        "--steps-per-epoch": chosen.steps,
        "--metric.noise_windows": chosen.noise,
        "--metric.signal_windows": chosen.signals,
        "--metric.false_alarm_probability": chosen.false_alarm_probability(),
        "--ranking.statistic": 0,
        "--ranking.templates": 0,
        "--ranking.coherent": "false",
        "--negatives.hard_share": 0,
        "--data": folder / "train",
        "--out": model,
        "--seed": seed,
    }
    return [part for pair in options.items() for part in pair]


def _closing(model, evaluation, events, picture, seconds):
    shown = {name: _short(path) for name, path in (("model", model), ("evaluation", evaluation))}
    efficiency = f"{shown['evaluation']}/efficiency.png, evaluation.json" if evaluation.exists() else "not measured"
    print(
        f"""
Done in {seconds / 60:.1f} minutes.
  network      {shown["model"]}/model.keras, card.json
  efficiency   {efficiency}
  events       {_short(events)}, {_short(events.with_suffix(".csv"))}
  picture      {_short(picture)}
Watch the training:
  .venv/bin/keras-gw-resnet tensorboard {shown["model"]}
Load the network in Keras (whitened strain in, ranking statistic out):
  import keras
  network = keras.saving.load_model("{shown["model"]}/model.keras")"""
    )
