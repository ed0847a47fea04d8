"""Measure on simulated signals where a network sees its evidence, how sharply, and which statistics it gives them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from keras_gw_resnet.datasets.gaussian_noise import GaussianNoise
from keras_gw_resnet.datasets.signals import Signals, SignalSource
from keras_gw_resnet.errors import InputError
from keras_gw_resnet.progress import Bar
from keras_gw_resnet.search.candidates import find_events

if TYPE_CHECKING:
    from keras_gw_resnet.search.scan import Scanner
    from keras_gw_resnet.simulation.bank import WaveformBank
    from keras_gw_resnet.strain.conditioning import Whitening

# What an event is said to tolerate: of a few hundred signals in simulated noise the calibration does not see the worst, and
# an injection just outside counts as missed however loud its event is; the challenge's own searches give 0.2 to 0.3 s
# (arXiv 2209.11146).
LEAST_TOLERANCE, LONGEST_TOLERANCE = 0.2, 0.3
# Of a network that was trained on labelled windows, which do not say where their signals are.
UNKNOWN_TIMING = {
    "merger_seconds": 0.0,
    "spread_seconds": None,
    "tolerance_seconds": LONGEST_TOLERANCE,
    "signals": 0,
    "snr_range": None,
}
SIGNAL_SEED = 1_000_033
# Where in the scanned strain a signal merges.
MIDDLE = (0.55, 0.65)


def scan_signals(
    scanner: Scanner,
    bank: WaveformBank,
    taps: Sequence,
    detectors: Sequence[str],
    whitening: Whitening,
    settings: Signals,
    signals: int,
    seconds: int,
    description: str,
    *,
    seed: int = SIGNAL_SEED,
) -> np.ndarray:
    """Scan simulated signals in Gaussian noise.

    Args:
        scanner, bank, taps, detectors, whitening: See `calibrate_timing`.
        settings: `datasets.signals.Signals`.
        signals: How many.
        seconds: Length of the strain around each.
        description: For the progress bar.
        seed: Of signals and noise.

    Returns:
        float64 array (2, signals): the statistic of the loudest event of each, and the coalescence time less that of its evidence, in
        seconds.

    Raises:
        InputError: A score is not finite.
    """
    sample_rate = whitening.sample_rate
    window = seconds * sample_rate
    noise = GaussianNoise(taps, detectors, window, whitening)
    source = SignalSource(bank, noise.taps, noise.detectors, window, settings)
    rng = np.random.default_rng(seed)
    found = []
    for _ in Bar(range(-(-signals // 32)), desc=description, unit="batch"):
        strain, filters = noise.draw(rng, 32)
        signal, _, merger, _ = source.draw(rng, filters)
        for one, at in zip(strain + signal, merger * seconds, strict=True):
            events = find_events(
                scanner.scan(one),
                0.0,
                scanner.stride / sample_rate,
                merger_seconds=0.0,
                tolerance_seconds=0.0,
                threshold=-np.inf,
            )
            loudest = events.loudest(1)
            if not len(loudest):
                raise InputError(
                    f"the network's scores of simulated signals are not finite ({description}); it cannot be searched with"
                )
            found.append((loudest.stat[0], at - loudest.time[0]))
    return np.array(found[:signals]).T


def calibrate_timing(
    scanner: Scanner,
    bank: WaveformBank,
    taps: Sequence,
    detectors: Sequence[str],
    whitening: Whitening,
    *,
    signals: int = 256,
    snr_range: tuple[float, float] = (8.0, 20.0),
    seconds: int = 4,
) -> dict:
    """Scan simulated signals in Gaussian noise and compare the times of the events with those of the coalescences.

    Args:
        scanner: `scan.Scanner` of the network.
        bank: WaveformBank that it was not trained on.
        taps: For each detector the list of whitening filters of the noise that the network is for.
        detectors: Names, in column order.
        whitening: Whitening.
        signals: How many.
        snr_range: Network SNR, uniform.
        seconds: Length of the strain around each signal.

    Returns:
        Dictionary for the card: merger_seconds (after the sample to which the evidence is counted), spread_seconds
        (half the width of the central 68 %), tolerance_seconds (holds 99 % of the signals; from 0.2 to 0.3 s),
        signals, snr_range.
    """
    settings = Signals(snr_range=snr_range, merger_range=MIDDLE)
    given = (scanner, bank, taps, detectors, whitening, settings, signals, seconds)
    _, lag = scan_signals(*given, "event times")
    centre = float(np.median(lag))
    low, high = np.quantile(lag, [0.16, 0.84])
    tolerance = float(np.clip(np.quantile(np.abs(lag - centre), 0.99), LEAST_TOLERANCE, LONGEST_TOLERANCE))
    return {
        "merger_seconds": centre,
        "spread_seconds": float(high - low) / 2,
        "tolerance_seconds": tolerance,
        "signals": signals,
        "snr_range": list(snr_range),
    }


def calibrate_statistic(
    scanner: Scanner,
    bank: WaveformBank,
    taps: Sequence,
    detectors: Sequence[str],
    whitening: Whitening,
    *,
    signals: int = 512,
    lowest_snr: float = 5.0,
    seconds: int = 4,
) -> dict:
    """Measure the statistics of simulated signals of sources uniform in volume, of which loud ones are rare.

    Args:
        scanner, bank, taps, detectors, whitening, seconds: See `calibrate_timing`.
        signals: How many.
        lowest_snr: Network SNR of the faintest.

    Returns:
        Dictionary for the card: stat (in rising order), lowest_snr and snr_power, the fall of the SNR's density.
    """
    settings = Signals(snr_range=(lowest_snr, 100.0), snr_power=4.0, merger_range=MIDDLE)
    given = (scanner, bank, taps, detectors, whitening, settings, signals, seconds)
    stat, _ = scan_signals(*given, "statistics of signals")
    return {"stat": np.round(np.sort(stat), 3).tolist(), "lowest_snr": lowest_snr, "snr_power": 4.0}
