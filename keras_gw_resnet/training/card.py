"""What a training leaves beside its network: its part of the card, and the history of its epochs."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras

from keras_gw_resnet.files import written_aside
from keras_gw_resnet.models.graph import parts_of
from keras_gw_resnet.search.calibration import UNKNOWN_TIMING, calibrate_statistic, calibrate_timing
from keras_gw_resnet.search.scan import Scanner
from keras_gw_resnet.training.location import MEANT, coalescence_samples

if TYPE_CHECKING:
    from keras_gw_resnet.training.config import TrainingConfig
    from keras_gw_resnet.training.data import Batches
    from keras_gw_resnet.training.distribution import Place


def card_of(
    model: keras.Model,
    config: TrainingConfig,
    batches: Batches,
    history: list[dict],
    best: dict,
    place: Place,
    **more: Any,
) -> dict:
    """Calibrate a trained network on the waveforms held out, and describe it and its training.

    Args:
        model: The network.
        config: TrainingConfig.
        batches: Batches that it was trained on.
        history: A row an epoch.
        best: The row of the epoch that is kept.
        place: Place where it was trained.
        **more: What else is to be said of the training.

    Returns:
        Card as `zoo.save_model` takes it, but for the name.
    """
    timing, signals = dict(UNKNOWN_TIMING), {}
    if batches.held_out_bank is not None:
        taps = batches.training.noise.taps
        given = Scanner(model), batches.held_out_bank, taps, config.data.detectors, config.data.whitening
        timing, signals = calibrate_timing(*given), calibrate_statistic(*given)  # ty: ignore[invalid-argument-type]
    return {
        "model": config.network.model,
        "options": {**config.network.options, **config.ranking.options()},
        "sample_rate": config.data.whitening.sample_rate,
        "detectors": list(config.data.detectors or ()),
        "window_samples": config.data.window_samples,
        "whitening": config.data.whitening.to_dict(),
        "training": {
            "config": config.to_dict(),
            "data": batches.provenance,
            "seconds": round(sum(row["seconds"] + row.get("search_seconds", 0.0) for row in history)),
            "examples": len(history) * config.optimisation.steps_per_epoch * config.optimisation.batch_size,
            "machine": place.description,
            "backend": keras.config.backend(),
            "epochs": len(history),
            "epoch_kept": best["epoch"],
            **more,
            **({MEANT: coalescence_samples(model, config)} if config.signals.merger_tolerance else {}),
        },
        "parts": parts_of(model).to_dict(),
        "metrics": {"validation": {name[4:]: value for name, value in best.items() if name.startswith("val_")}},
        "timing": timing,
        "signals": signals,
    }


def write_history(history: list[dict], path: Path) -> None:
    """Write the history of a training as CSV, a row an epoch."""
    with written_aside(path) as aside, aside.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(dict.fromkeys(name for row in history for name in row)))
        writer.writeheader()
        writer.writerows(history)
