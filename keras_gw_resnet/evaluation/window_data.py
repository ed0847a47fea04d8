"""Windows to score: simulated signals in noise from files, or windows that came with labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_gw_resnet.datasets.batches import InjectionBatches
from keras_gw_resnet.datasets.negatives import Negatives
from keras_gw_resnet.datasets.noise import FileNoise
from keras_gw_resnet.datasets.noise_stretches import read_noise, without_known_events
from keras_gw_resnet.datasets.signals import Signals, check_snr_range
from keras_gw_resnet.datasets.windows import (
    SPLIT_SEED,
    LabelledWindows,
    check_windows,
    open_windows,
    split_windows,
)
from keras_gw_resnet.errors import InputError
from keras_gw_resnet.evaluation.leakage import seen_in_training, seen_windows
from keras_gw_resnet.simulation.bank import find_bank
from keras_gw_resnet.strain.conditioning import Whitening
from keras_gw_resnet.strain.files import find_segments

LEAST_WINDOWS = 2000
BATCH_SIZE = 500
SNR_BINS = 12
MERGER_RANGE = (0.65, 0.85)


@dataclass(frozen=True)
class WindowData:
    """Windows to measure one network on.

    Attributes:
        batches: InjectionBatches or LabelledWindows.
        number: How many of their windows count.
        record: What they are, for the record: `seen_in_training` lists what the network knows of them.
        snr_edges: Rising edges of the bins of network SNR; None where it is not known.
    """

    batches: InjectionBatches | LabelledWindows
    number: int
    record: dict
    snr_edges: np.ndarray | None


def windows_for(card: dict, path: Path | str, *, validation_share: float | None = None, **simulated) -> WindowData:
    """Open the windows at a path for one network: a folder's with signals simulated into it, or labelled ones of a file.

    Args:
        card: Card of the network.
        path: Folder with strain files and a waveform bank, or file of labelled windows.
        validation_share: As for `labelled_windows`.
        simulated: As for `simulated_windows`.

    Returns:
        WindowData.

    Raises:
        InputError: As of these two.
    """
    if Path(path).is_file():
        return labelled_windows(card, path, validation_share=validation_share)
    return simulated_windows(card, path, **simulated)


def simulated_windows(
    card: dict,
    folder: Path | str,
    *,
    snr_range: tuple[float, float],
    number: int,
    seed: int,
    merger_range: tuple[float, float] = MERGER_RANGE,
    quality: Sequence[str] = (),
    channels: Mapping[str, str] | Sequence[str] = (),
) -> WindowData:
    """Open a folder of noise and waveforms, to simulate signals in the half of its windows.

    Args:
        card: Card of the network.
        folder: With strain files and one waveform bank.
        snr_range: Lowest and highest network SNR.
        number: How many windows.
        seed: Of the examples.
        merger_range: Where in the window coalescences are, shares of it: that of the network's training.
        quality: Data-quality flags that the strain has to fulfil.
        channels: Which channels are the detectors' strain, see `find_segments`.

    Returns:
        WindowData.

    Raises:
        InputError: Too few windows, or a folder that cannot be used.
    """
    check_snr_range("--snr-range", *snr_range)
    if snr_range[0] == snr_range[1]:
        raise InputError(f"--snr-range is {snr_range[0]:g} {snr_range[1]:g}; expected two rising numbers")
    made: dict = {"signals": Signals(snr_range=tuple(snr_range), merger_range=tuple(merger_range))}
    made["negatives"] = Negatives(lone_signal_share=0.0)
    if number < LEAST_WINDOWS:
        raise InputError(
            f"--windows is {number}; expected at least {LEAST_WINDOWS}, fewer cannot show a false-alarm probability"
        )
    bank, window = find_bank(folder), card["window_samples"]
    given = find_segments(folder, quality, channels), tuple(card["detectors"]), Whitening(**card["whitening"])
    stretches = without_known_events(read_noise(folder, *given, window)[0], window, folder)
    noise = FileNoise(stretches, window)
    record = {
        "folder": str(folder),
        "bank": bank.fingerprint(),
        "noise_seconds": sum(stretch.seconds for stretch in stretches),
        "seed": seed,
        "seen_in_training": seen_in_training(card, noise.intervals, bank.fingerprint()),
    }
    batches = InjectionBatches(bank, noise, batch_size=BATCH_SIZE, seed=seed, **made)
    return WindowData(batches, number, record, np.linspace(*snr_range, SNR_BINS + 1))


def labelled_windows(card: dict, path: Path | str, *, validation_share: float | None = None) -> WindowData:
    """Open a file of labelled windows.

    Args:
        card: Card of the network.
        path: File.
        validation_share: What of its windows the network's training held out: of the very file of the training these alone
            are taken. None: all windows of any file are.

    Returns:
        WindowData.

    Raises:
        InputError: Windows that cannot be read or do not fit the network.
    """
    header = open_windows(path)
    header.require(card["window_samples"], card["detectors"], card["sample_rate"], f"{card['name']} takes")
    rows = np.arange(header.number)
    hashes = np.array(header.hashes(rows))
    seen, training = seen_windows(card, hashes), card.get("training", {})
    if (
        seen
        and validation_share is not None
        and header.number == training["data"]["number"] + training["data"]["held_out"]
    ):
        # The very file of the training: what was held out of it was not trained on.
        held_out = split_windows(header, validation_share, SPLIT_SEED)[1]
        if len(seen_windows(card, hashes[held_out])) == 1:
            rows = held_out
            seen = [f"it was trained on the others of this file, the {len(rows)} that were held out are scored"]
    check_windows(header, rows)
    record = {"file": str(path), "windows": len(rows), "seen_in_training": seen}
    return WindowData(LabelledWindows(header, rows, batch_size=BATCH_SIZE, seed=None), len(rows), record, None)
