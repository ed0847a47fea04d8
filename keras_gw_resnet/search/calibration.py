"""Measure on simulated signals how far from the coalescence a network sees its evidence, and how sharply."""

import numpy as np
from tqdm import tqdm

from keras_gw_resnet.datasets.batches import InjectionSettings, SignalSource
from keras_gw_resnet.datasets.noise import GaussianNoise
from keras_gw_resnet.search.events import find_events
from keras_gw_resnet.search.scan import Scanner

# The challenge counts an event as found within 0.3 s (arXiv 2209.11146).
LONGEST_TOLERANCE = 0.3
# Of a network that was trained on labelled windows, which do not say where their signals are.
UNKNOWN_TIMING = {
    "merger_seconds": 0.0,
    "spread_seconds": None,
    "tolerance_seconds": LONGEST_TOLERANCE,
    "signals": 0,
    "snr_range": None,
}
SIGNAL_SEED = 1_000_033


def calibrate_timing(model, bank, taps, detectors, whitening, *, signals=256, snr_range=(8.0, 20.0), seconds=4):
    """Scan simulated signals in Gaussian noise and compare the times of the events with those of the coalescences.

    Args:
        model: `keras.Model`, a window classifier.
        bank: WaveformBank that it was not trained on.
        taps: For each detector the list of whitening filters of the noise that the network is for.
        detectors: Names, in column order.
        whitening: Whitening.
        signals: How many.
        snr_range: Network SNR, uniform.
        seconds: Length of the strain around each signal.

    Returns:
        Dictionary for the card: merger_seconds (after the sample to which the evidence is counted), spread_seconds (half the width of the central 68 %), tolerance_seconds (holds 95 % of the signals, at most
        0.3 s), signals, snr_range.
    """
    sample_rate = whitening.sample_rate
    scanner, window = Scanner(model), seconds * sample_rate
    noise = GaussianNoise(taps, detectors, window, whitening)
    settings = InjectionSettings(snr_range=snr_range, merger_range=(0.55, 0.65))
    source = SignalSource(bank, noise.taps, noise.detectors, window, settings)
    rng = np.random.default_rng(SIGNAL_SEED)
    lag = []
    for _ in tqdm(range(-(-signals // 32)), desc="event times", unit="batch", disable=None, dynamic_ncols=True):
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
            lag.append(at - events.loudest(1).time[0])
    lag = np.array(lag[:signals])
    centre = float(np.median(lag))
    low, high = np.quantile(lag, [0.16, 0.84])
    tolerance = float(min(np.quantile(np.abs(lag - centre), 0.95), LONGEST_TOLERANCE))
    return {
        "merger_seconds": centre,
        "spread_seconds": float(high - low) / 2,
        "tolerance_seconds": tolerance,
        "signals": signals,
        "snr_range": list(snr_range),
    }
