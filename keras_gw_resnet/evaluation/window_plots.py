"""Pictures of windows and of how a network scores them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_gw_resnet.evaluation.plots import COLOURS, new_figure, save

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from keras_gw_resnet.datasets.batches import InjectionBatches
    from keras_gw_resnet.datasets.windows import LabelledWindows


def draw_examples(
    strain: np.ndarray, titles: Sequence[str], detectors: Sequence[str], sample_rate: int, title: str
) -> Figure:
    """Draw a grid of training examples and return the figure.

    Args:
        strain: float32 array (n, samples, detectors).
        titles: Text above each.
        detectors: Names.
        sample_rate: Samples per second.
        title: Line above the picture.
    """
    columns = min(4, len(strain))
    rows = -(-len(strain) // columns)
    figure, _ = new_figure(1, 0.4 + 2.0 * rows)
    figure.clear()
    axes = figure.subplots(rows, columns, sharex=True, squeeze=False).ravel()
    time = np.arange(strain.shape[1]) / sample_rate
    for axis, window, text in zip(axes, strain, titles, strict=False):
        for name, column, colour in zip(detectors, window.T, itertools.cycle(COLOURS)):
            axis.plot(time, column, color=colour, linewidth=0.4, alpha=0.8, label=name)
        axis.set_title(text, fontsize=7)
        axis.tick_params(labelsize=6)
    for axis in axes[len(strain) :]:
        axis.set_axis_off()
    axes[0].legend(fontsize=6, loc="lower left")
    figure.suptitle(title, fontsize=10)
    figure.supxlabel("seconds", fontsize=8)
    figure.supylabel("whitened strain (noise sigma)", fontsize=8)
    return figure


def plot_examples(
    strain: np.ndarray, titles: Sequence[str], detectors: Sequence[str], sample_rate: int, path: Path | str, title: str
) -> None:
    """Draw a grid of training examples into the picture `path`; see `draw_examples`."""
    save(draw_examples(strain, titles, detectors, sample_rate, title), path)


def example_titles(batches: InjectionBatches | LabelledWindows, index: int = 0) -> tuple:
    """Return (Examples, titles) of a batch: for each of its examples a text that says what it is."""
    from keras_gw_resnet.datasets.negatives import KINDS

    found, titles = batches.examples(index), []
    for label, kind, snr, waveform in zip(found.label[:, 0], found.kind, found.snr, found.waveform, strict=True):
        named = f": {KINDS[kind]}" if kind >= 0 else ""
        text = f"label {label:.0f}{named}{f' of SNR {snr:.1f}' if snr > 0 else ''}"
        if waveform >= 0:
            masses = (batches.signals.bank.parameters[name][waveform] for name in ("mass1", "mass2"))
            text += "\n{:.0f} + {:.0f} solar masses".format(*masses)
        titles.append(text)
    return found, titles


def draw_training(score: np.ndarray, signal: np.ndarray, snr: np.ndarray, threshold: float) -> Figure:
    """Draw how a network tells windows apart: ROC, scores, detected fraction against SNR; return the figure.

    Args:
        score: float32 array (n,).
        signal: Boolean array (n,).
        snr: Network SNR of the signals, float64 array (n,), NaN where it is not known.
        threshold: Score that counts as detected; NaN: none.
    """
    figure, _ = new_figure(1, 3.2)
    figure.clear()
    known = np.isfinite(threshold) and np.any(np.isfinite(snr[signal]))
    roc, histogram, *rest = figure.subplots(1, 3 if known else 2)
    order = np.argsort(-score)
    axes_of_roc = [np.concatenate([[0], np.cumsum(kind[order]) / kind.sum()]) for kind in (~signal, signal)]
    roc.plot(*axes_of_roc, color="C0")
    roc.set(xscale="symlog", xlim=(0, 1), ylim=(0, 1), xlabel="false-alarm probability", ylabel="detected fraction")
    roc.set_xscale("symlog", linthresh=max(1 / np.count_nonzero(~signal), 1e-4))
    edges = np.linspace(score.min(), score.max(), 40)
    for kind, name, colour in ((~signal, "noise", "0.5"), (signal, "signals", "C3")):
        histogram.hist(score[kind], edges, histtype="step", color=colour, label=name, density=True)
    histogram.set(xlabel="score (logit)", ylabel="density", yscale="log")
    histogram.legend(fontsize=7)
    if known:
        edges = np.linspace(snr[signal].min(), snr[signal].max() + 1e-9, 9)
        bins = np.digitize(snr[signal], edges) - 1
        found = [np.mean(score[signal][bins == i] >= threshold) if np.any(bins == i) else np.nan for i in range(8)]
        rest[0].plot((edges[:-1] + edges[1:]) / 2, found, "o-", color="C0")
        rest[0].set(xlabel="network SNR", ylabel="detected fraction", ylim=(-0.02, 1.02))
    return figure


def draw_efficiency(result: dict, title: str) -> Figure:
    """Draw the detected fraction against network SNR, one curve for each false-alarm probability.

    Args:
        result: Dictionary from `windows.evaluate_scores`, with SNR.
        title: Line above the picture.

    Returns:
        matplotlib Figure.
    """
    edges = np.array(result["snr_edges"])
    centre = (edges[:-1] + edges[1:]) / 2
    figure, (axis,) = new_figure(1, 4.5)
    for probability, curve in result["efficiency"].items():
        values = [np.array([np.nan if v is None else v for v in curve[name]]) for name in ("fraction", "error")]
        axis.errorbar(
            centre, values[0], values[1], marker="o", capsize=2, label=f"false-alarm probability {probability} a window"
        )
    axis.set(xlabel="network SNR", ylabel="detected fraction", ylim=(-0.02, 1.02), xlim=(edges[0], edges[-1]))
    axis.grid(alpha=0.3)
    axis.legend(loc="lower right")
    axis.set_title(title, fontsize=10)
    return figure


def draw_scores(result: dict, title: str) -> Figure:
    """Draw the ROC and how far the score can be read as a probability.

    Args:
        result: Dictionary from `windows.evaluate_scores`.
        title: Line above the picture.

    Returns:
        matplotlib Figure.
    """
    figure, _ = new_figure(1, 4.2)
    figure.clear()
    roc, calibration = figure.subplots(1, 2)
    curve, bins = result["roc"], result["calibration"]
    roc.plot(curve["false_alarm_probability"], curve["detected"], color="C0")
    roc.set(xscale="log", xlabel="false-alarm probability a window", ylabel="detected fraction", ylim=(0, 1.02))
    roc.grid(alpha=0.3)
    calibration.plot([0, 1], [0, 1], color="0.6", linewidth=0.8)
    calibration.errorbar(
        bins["predicted"], bins["signal_share"], bins["error"], marker="o", markersize=3, capsize=2, color="C0"
    )
    calibration.set(xlabel="probability of a signal by the score", ylabel="share of windows with a signal")
    calibration.grid(alpha=0.3)
    figure.suptitle(title, fontsize=10)
    return figure


def draw_rocs(curves: dict) -> Figure:
    """Draw the ROC curves of several networks.

    Args:
        curves: Dictionary network -> dictionary of lists false_alarm_probability and detected.

    Returns:
        matplotlib Figure.
    """
    figure, (axis,) = new_figure(1, 4.5)
    for name, curve in curves.items():
        axis.plot(curve["false_alarm_probability"], curve["detected"], label=name)
    axis.set(xscale="log", xlabel="false-alarm probability a window", ylabel="detected fraction", ylim=(0, 1.02))
    axis.grid(alpha=0.3)
    axis.legend(loc="lower right")
    return figure
