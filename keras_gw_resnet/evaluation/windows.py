"""How well a network tells windows with a signal from windows without: AUC and efficiency, from scores alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.special
import scipy.stats

from keras_gw_resnet.progress import Bar

if TYPE_CHECKING:
    import keras

    from keras_gw_resnet.evaluation.window_data import WindowData

FALSE_ALARM_PROBABILITIES = (1e-2, 1e-3, 1e-4, 1e-5)
# Noise windows above a threshold that it takes to speak of a false-alarm probability.
LEAST_ABOVE = 10
CALIBRATION_BINS, ROC_POINTS = 10, 80
RESAMPLES = 200
# What a card keeps of a measurement.
OF_CARD = ("signal_windows", "noise_windows", "auc", "auc_error", "snr_range", "efficiency", "snr_edges", "data")


def auc(noise: np.ndarray, signal: np.ndarray) -> float:
    """Return the area under the ROC curve: the chance that a signal scores above noise.

    Args:
        noise, signal: Scores, arrays (n,) and (m,).
    """
    ranks = scipy.stats.rankdata(np.concatenate([signal, noise]))
    n, m = len(noise), len(signal)
    return float((ranks[:m].sum() - m * (m + 1) / 2) / (n * m))


def threshold_at(noise: np.ndarray, false_alarm_probability: float) -> float:
    """Return the score above which this share of the noise scores lies.

    Raises:
        ValueError: There are too few noise scores to say: at least 10 have to lie above.
    """
    above = len(noise) * false_alarm_probability
    if above < LEAST_ABOVE:
        raise ValueError(
            f"{len(noise)} noise windows cannot show a false-alarm probability of {false_alarm_probability:g}"
        )
    return float(np.sort(noise)[len(noise) - round(above)])


def detected_fraction(noise: np.ndarray, signal: np.ndarray, false_alarm_probability: float) -> tuple[float, float]:
    """Return (share of the signal scores at or above the threshold, threshold); see `threshold_at`."""
    threshold = threshold_at(noise, false_alarm_probability)
    return float(np.mean(signal >= threshold)), threshold


def efficiency(
    noise: np.ndarray,
    signal: np.ndarray,
    snr: np.ndarray,
    false_alarm_probability: float,
    edges: Sequence[float] | np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the detected fraction of signals by SNR at a fixed false-alarm probability a window.

    Args:
        noise: Scores of windows without a signal, array (n,).
        signal: Scores of windows with one, array (m,).
        snr: Their network SNR, array (m,).
        false_alarm_probability: Share of noise windows above the threshold.
        edges: Edges of the SNR bins, rising.

    Returns:
        Tuple (fraction, error): arrays (bins,), NaN in empty bins; error is the binomial standard error.
    """
    detected = signal >= threshold_at(noise, false_alarm_probability)
    bins = np.digitize(snr, edges) - 1
    counts = np.array([np.count_nonzero(bins == i) for i in range(len(edges) - 1)])
    found = np.array([np.count_nonzero(detected & (bins == i)) for i in range(len(edges) - 1)])
    with np.errstate(invalid="ignore"):
        fraction = np.where(counts, found / np.maximum(counts, 1), np.nan)
        error = np.sqrt(fraction * (1 - fraction) / np.maximum(counts, 1))
    return fraction, error


def roc(noise: np.ndarray, signal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the ROC curve at false-alarm probabilities evenly spaced in logarithm, as far as the noise shows them.

    Args:
        noise, signal: Scores, arrays (n,) and (m,).

    Returns:
        Tuple (false-alarm probability, detected fraction): rising float64 arrays.
    """
    rising = np.sort(noise)
    above = np.unique(np.geomspace(min(LEAST_ABOVE, len(noise)), len(noise), ROC_POINTS).astype(int))
    threshold = rising[len(noise) - above]
    detected = 1 - np.searchsorted(np.sort(signal), threshold, side="left") / len(signal)
    return above / len(noise), detected


def calibration(score: np.ndarray, label: np.ndarray) -> dict:
    """Compare the probability of a signal that the score states with the share of windows that hold one.

    Args:
        score: Logits, array (n,).
        label: Array (n,), 1 with a signal.

    Returns:
        Dictionary: predicted, signal_share, error, windows of each bin of the probability that is not empty, and
        expected_error, the mean difference over all windows.
    """
    probability = scipy.special.expit(np.asarray(score, np.float64))
    bins = np.minimum((probability * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    number = np.bincount(bins, minlength=CALIBRATION_BINS)
    used = number > 0
    predicted = np.bincount(bins, probability, CALIBRATION_BINS)[used] / number[used]
    share = np.bincount(bins, label, CALIBRATION_BINS)[used] / number[used]
    return {
        "predicted": predicted.tolist(),
        "signal_share": share.tolist(),
        "error": np.sqrt(share * (1 - share) / number[used]).tolist(),
        "windows": number[used].tolist(),
        "expected_error": float(np.sum(np.abs(predicted - share) * number[used]) / len(score)),
    }


def bootstrap(
    noise: np.ndarray,
    signal: np.ndarray,
    bins: np.ndarray | None,
    probabilities: Sequence[float],
) -> tuple[float, dict]:
    """Work out the scatter of AUC and detected fractions when other windows of the same kind had been drawn.

    Every window is counted a Poisson number of times, noise and signals alike, thresholds anew each time.

    Args:
        noise, signal: Scores, arrays (n,) and (m,).
        bins: Integer array (m,): the SNR bin of each signal, from 0; all 0: one bin.
        probabilities: False-alarm probabilities.

    Returns:
        Tuple (AUC error, dictionary probability -> (error of all, errors by bin)).
    """
    rng, count = np.random.default_rng(0), int(bins.max(initial=0)) + 1
    place = np.unique(np.concatenate([noise, signal]), return_inverse=True)[1].ravel()
    of_noise, of_signal, places = place[: len(noise)], place[len(noise) :], place.max() + 1
    areas, detected = [], {p: [] for p in probabilities}
    for _ in range(RESAMPLES):
        weight = rng.poisson(1.0, len(signal))
        n = np.bincount(of_noise, rng.poisson(1.0, len(noise)), places)
        s = np.bincount(of_signal, weight, places)
        areas.append(np.sum(s * (np.cumsum(n) - n / 2)) / (n.sum() * s.sum()))
        above = np.cumsum(n[::-1])[::-1]
        for p, found in detected.items():
            edge = np.searchsorted(-above, -p * n.sum(), side="left")
            hits = np.bincount(bins, weight * (of_signal >= edge), count)  # ty: ignore[invalid-argument-type]
            given = np.bincount(bins, weight, count)  # ty: ignore[invalid-argument-type]
            found.append(np.append(hits / np.maximum(given, 1), hits.sum() / given.sum()))
    spread = {p: np.std(found, axis=0) for p, found in detected.items()}
    return float(np.std(areas)), {p: (float(s[-1]), s[:-1]) for p, s in spread.items()}


def evaluate_scores(
    score: np.ndarray, label: np.ndarray, snr: np.ndarray | None = None, edges: np.ndarray | None = None
) -> dict:
    """Work out the figures of merit of a set of scored windows.

    Args:
        score, label: Arrays (n,); label 1 with a signal, 0 without.
        snr: Array (n,), network SNR; None where it is not known.
        edges: Edges of the SNR bins.

    Returns:
        Dictionary: noise_windows, signal_windows, auc and auc_error, roc, calibration, efficiency (by false-alarm
        probability as text: threshold, detected fraction of all signals and its error); with SNR also snr_range,
        snr_edges, and in efficiency fraction and error by bin. Errors are those of `bootstrap`.
    """
    signal, noise = score[label == 1], score[label == 0]
    result = {"noise_windows": len(noise), "signal_windows": len(signal), "auc": auc(noise, signal)}
    bins = np.zeros(len(signal), int)
    if snr is not None:
        result |= {"snr_range": [float(edges[0]), float(edges[-1])], "snr_edges": [float(e) for e in edges]}
        bins = np.clip(np.digitize(snr[label == 1], edges) - 1, 0, len(edges) - 2)  # ty: ignore[invalid-argument-type, no-matching-overload]
    shown = [p for p in FALSE_ALARM_PROBABILITIES if len(noise) * p >= LEAST_ABOVE]
    result["auc_error"], errors = bootstrap(noise, signal, bins, shown)
    result["roc"] = dict(
        zip(("false_alarm_probability", "detected"), (v.tolist() for v in roc(noise, signal)), strict=True)
    )
    result["calibration"] = calibration(score, label)
    result["efficiency"] = {}
    for probability in shown:
        detected, threshold = detected_fraction(noise, signal, probability)
        of_all, by_bin = errors[probability]
        own = {"threshold": threshold, "detected": detected, "detected_error": of_all}
        if snr is not None:
            fraction, _ = efficiency(noise, signal, snr[label == 1], probability, edges)  # ty: ignore[invalid-argument-type]
            own["fraction"] = [None if np.isnan(f) else float(f) for f in fraction]
            own["error"] = [None if np.isnan(f) else float(e) for f, e in zip(fraction, by_bin, strict=True)]
        result["efficiency"][f"{probability:g}"] = own
    return result


@dataclass(frozen=True)
class WindowMeasurement:
    """How well one network tells windows with a signal from windows without.

    Attributes:
        model, sha256: Name and model file's hash of the network.
        data: What the windows are, see `window_data.WindowData`.
        figures: See `evaluate_scores`.
    """

    model: str
    sha256: str
    data: dict
    figures: dict

    def to_dict(self) -> dict:
        """Return the figures of evaluation.json."""
        return {"model": self.model, "sha256": self.sha256, "data": self.data, **self.figures}

    def for_card(self) -> dict:
        """Return the figures that the network's card keeps."""
        every = self.to_dict()
        return {name: every[name] for name in OF_CARD if name in every}


def measure_windows(model: keras.Model, card: dict, given: WindowData) -> WindowMeasurement:
    """Score windows with a network and work out how well it tells them apart.

    Args:
        model: `keras.Model`.
        card: Its card.
        given: `window_data.WindowData`.

    Returns:
        WindowMeasurement.
    """
    from keras_gw_resnet.backend import jit_compile

    model.compile(jit_compile=jit_compile())
    scores, labels, snrs = [], [], []
    with Bar(total=given.number, desc="evaluate", unit="window") as bar:
        for index in range(-(-given.number // given.batches.batch_size)):
            examples = given.batches.examples(index)
            scores.append(model.predict_on_batch(examples.strain)[:, 0])
            labels.append(examples.label[:, 0])
            snrs.append(examples.snr)
            bar.update(min(len(examples.label), given.number - bar.n))
    score, label, snr = (np.concatenate(parts)[: given.number] for parts in (scores, labels, snrs))
    known = given.snr_edges is not None
    figures = evaluate_scores(score, label, snr if known else None, given.snr_edges)
    return WindowMeasurement(card["name"], card["sha256"], given.record, figures)
