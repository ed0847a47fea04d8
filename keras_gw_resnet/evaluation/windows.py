"""How well a network tells windows with a signal from windows without: AUC and efficiency, from scores alone."""

import numpy as np
import scipy.stats

FALSE_ALARM_PROBABILITIES = (1e-2, 1e-3)


def auc(noise, signal):
    """Return the area under the ROC curve: the chance that a signal scores above noise.

    Args:
        noise, signal: Scores, arrays (n,) and (m,).
    """
    ranks = scipy.stats.rankdata(np.concatenate([signal, noise]))
    n, m = len(noise), len(signal)
    return float((ranks[:m].sum() - m * (m + 1) / 2) / (n * m))


def threshold_at(noise, false_alarm_probability):
    """Return the score above which this share of the noise scores lies.

    Raises:
        ValueError: There are too few noise scores to say: at least 10 have to lie above.
    """
    above = len(noise) * false_alarm_probability
    if above < 10:
        raise ValueError(
            f"{len(noise)} noise windows cannot show a false-alarm probability of {false_alarm_probability:g}"
        )
    return float(np.sort(noise)[len(noise) - round(above)])


def detected_fraction(noise, signal, false_alarm_probability):
    """Return (share of the signal scores at or above the threshold, threshold); see `threshold_at`."""
    threshold = threshold_at(noise, false_alarm_probability)
    return float(np.mean(signal >= threshold)), threshold


def efficiency(noise, signal, snr, false_alarm_probability, edges):
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


def evaluate_scores(score, label, snr=None, edges=None):
    """Work out the figures of merit of a set of scored windows.

    Args:
        score, label: Arrays (n,); label 1 with a signal, 0 without.
        snr: Array (n,), network SNR; None where it is not known.
        edges: Edges of the SNR bins.

    Returns:
        Dictionary: noise_windows, signal_windows, auc, efficiency (by false-alarm probability as text: threshold,
        detected fraction of all signals and its error); with SNR also snr_range, snr_edges, and in efficiency fraction
        and error by bin.
    """
    signal, noise = score[label == 1], score[label == 0]
    result = {
        "noise_windows": len(noise),
        "signal_windows": len(signal),
        "auc": auc(noise, signal),
        "efficiency": {},
    }
    if snr is not None:
        result |= {"snr_range": [float(edges[0]), float(edges[-1])], "snr_edges": [float(e) for e in edges]}
    for probability in FALSE_ALARM_PROBABILITIES:
        if len(noise) * probability < 10:
            continue
        detected, threshold = detected_fraction(noise, signal, probability)
        own = {
            "threshold": threshold,
            "detected": detected,
            "detected_error": float(np.sqrt(detected * (1 - detected) / len(signal))),
        }
        if snr is not None:
            fraction, error = efficiency(noise, signal, snr[label == 1], probability, edges)
            own["fraction"] = [None if np.isnan(f) else float(f) for f in fraction]
            own["error"] = [None if np.isnan(e) else float(e) for e in error]
        result["efficiency"][f"{probability:g}"] = own
    return result
