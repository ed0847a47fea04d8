"""What a training is judged by: the detected fraction at a low false-alarm probability, on fixed windows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from keras_gw_resnet.datasets.batches import InjectionBatches
from keras_gw_resnet.datasets.negatives import Negatives
from keras_gw_resnet.evaluation.windows import detected_fraction
from keras_gw_resnet.training.rooms import LEAST_FALSE_ALARMS

if TYPE_CHECKING:
    from keras_gw_resnet.datasets.noise import Noise
    from keras_gw_resnet.datasets.windows import LabelledWindows
    from keras_gw_resnet.simulation.bank import WaveformBank
    from keras_gw_resnet.training.config import TrainingConfig

CHUNK = 500
# Signals and noise of the metric are drawn with seeds of their own.
METRIC_SEED = 1_000_081
# Beyond this false-alarm probability an efficiency says less than the AUC.
LARGEST_PROBABILITY = 0.2


@dataclass(frozen=True)
class Metric:
    """Windows on which the detected fraction is measured.

    Attributes:
        strain: float32 array (n, samples, detectors).
        label: Boolean array (n,), true with a signal.
        false_alarm_probability: A window.
        signals_are: What is detected, for people.
    """

    strain: np.ndarray
    label: np.ndarray
    false_alarm_probability: float
    signals_are: str

    def efficiency(self, score: np.ndarray) -> tuple[float, float]:
        """Return (detected fraction, threshold) for scores (n,)."""
        return detected_fraction(score[~self.label], score[self.label], self.false_alarm_probability)

    def told(self, efficiency: float) -> str:
        """Say a detected fraction in words."""
        return (
            f"{100 * efficiency:.1f} % of the {self.signals_are} detected at a false-alarm "
            f"probability of {self.false_alarm_probability:g} a window"
        )


def simulated_metric(bank: WaveformBank, noise: Noise, config: TrainingConfig) -> Metric:
    """Draw the windows of a metric: pure noise, and signals of one SNR.

    Args:
        bank, noise: What was held out, as for `InjectionBatches`.
        config: TrainingConfig.

    Returns:
        Metric.
    """
    asked = config.metric
    one_snr = replace(config.signals.settled(), snr_range=(asked.snr,) * 2)
    parts = []
    for number, signals in ((asked.noise_windows, False), (asked.signal_windows, True)):
        given: dict = {"signals": one_snr, "alone": signals, "negatives": Negatives(lone_signal_share=0.0)}
        source = InjectionBatches(bank, noise, batch_size=CHUNK, seed=METRIC_SEED + signals, **given)
        parts.append(np.concatenate([source[i][0] for i in range(-(-number // CHUNK))])[:number])
    label = np.repeat([False, True], [len(p) for p in parts])
    return Metric(np.concatenate(parts), label, asked.false_alarm_probability, f"signals of SNR {asked.snr:g}")


def labelled_metric(batches: LabelledWindows, config: TrainingConfig) -> Metric | None:
    """Return the Metric of labelled windows: as low a false-alarm probability as their number can show.

    None where they are too few; there are windows of both kinds, see `check_windows`.
    """
    rows = batches.every
    noise = np.count_nonzero(batches.header.label[rows] == 0)
    probability = max(config.metric.false_alarm_probability, LEAST_FALSE_ALARMS / noise)
    if probability > LARGEST_PROBABILITY:
        return None
    whole = type(batches)(batches.header, rows, batch_size=len(rows), seed=None)
    strain, label = whole[0]
    return Metric(strain, label[:, 0] == 1, probability, "signals")
