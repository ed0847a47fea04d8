"""Lay out what networks take for signals of a glitch bank: tables, pictures, files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_gw_resnet.evaluation.glitch_test import RATES
from keras_gw_resnet.evaluation.plots import new_figure, save
from keras_gw_resnet.files import written_aside

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from keras_gw_resnet.evaluation.glitch_test import GlitchTest
    from keras_gw_resnet.simulation.glitch_bank import GlitchBank

WRITTEN = ("glitches.json", "glitches.png")


def bank_table(bank: GlitchBank) -> tuple[list, list]:
    """Return (rows, header) of what a glitch bank holds, detector by detector and label by label, as text."""
    rows = []
    for detector, label in sorted({*zip(bank.detector.tolist(), bank.label.tolist(), strict=True)}):
        own = bank.select((bank.detector == detector) & (bank.label == label))
        known = own.snr[np.isfinite(own.snr)]
        snr = f"{known.min():.1f} to {known.max():.1f}" if len(known) else "shape alone"
        rows.append([detector, label, len(own), snr, ", ".join(np.unique(own.reconstruction))])
    return rows, ["detector", "label", "glitches", "SNR", "noise"]


def glitch_table(test: GlitchTest) -> tuple[list, list]:
    """Return (rows, header) of the share of glitches above each threshold, as text."""
    names = [f"{rate:g}" for rate in RATES]
    rows = [
        [row["group"], row["glitches"], *(f"{row[name]:.2f}" if name in row else "-" for name in names)]
        for row in test.shares
    ]
    header = ["", "glitches", *(f"at {name} a month" for name in names)]
    if test.thresholds:
        rows.append(["statistic", "-", *(f"{test.thresholds[n]:.2f}" if n in test.thresholds else "-" for n in names)])
    return rows, header


def draw_glitch_test(tests: Sequence[GlitchTest], title: str) -> Figure:
    """Draw for every network the statistic of glitches against their SNR with its thresholds, and the shares above them.

    Args:
        tests: GlitchTest of each network, of one bank.
        title: Line above the picture.

    Returns:
        matplotlib Figure.
    """
    figure, _ = new_figure(1, 3.6 * len(tests) + 0.4)
    figure.clear()
    figure.suptitle(title, fontsize=10)
    axes = figure.subplots(len(tests), 2, squeeze=False, width_ratios=[3, 2])
    for test, (plane, bars) in zip(tests, axes, strict=True):
        _draw_statistic(plane, test)
        _draw_shares(bars, test)
    axes[-1, 0].set_xlabel("SNR of the glitch in its detector")
    axes[-1, 1].set_xlabel("share above the threshold")
    return figure


def _draw_statistic(axis, test):
    scores = test.scores
    for number, label in enumerate(np.unique(scores.label)):
        own = scores.label == label
        name = label.replace("_", " ")
        axis.plot(scores.snr[own], scores.stat[own], "o", markersize=3, color=f"C{number % 10}", label=name)
    for rate, threshold in test.thresholds.items():
        axis.axhline(threshold, color="0.5", linewidth=0.8)
        axis.annotate(rate, (1.0, threshold), xycoords=("axes fraction", "data"), fontsize=7, va="bottom", ha="right")
    axis.set(xscale="log", ylabel="statistic")
    # Loud glitches score thousands, the thresholds lie near ten.
    axis.set_yscale("symlog", linthresh=30)
    axis.set_title(f"{test.model}; lines: false alarms a month", fontsize=8, loc="left")
    axis.grid(alpha=0.3)
    axis.legend(fontsize=7)


def _draw_shares(axis, test):
    shares = test.shares
    place = np.arange(len(shares))
    for number, rate in enumerate(test.thresholds):
        height = 0.8 / len(test.thresholds)
        at = place + (number - (len(test.thresholds) - 1) / 2) * height
        axis.barh(at, [row[rate] for row in shares], height, color=f"C{number}", label=f"at {rate} a month")
    axis.set_yticks(place, [f"{row['group'].replace('_', ' ')} ({row['glitches']})" for row in shares], fontsize=7)
    axis.set_xlim(0, 1)
    axis.invert_yaxis()
    axis.grid(alpha=0.3, axis="x")
    axis.legend(fontsize=7, ncols=len(RATES), loc="lower left", bbox_to_anchor=(0, 1), frameon=False)


def write_glitch_tests(tests: Sequence[GlitchTest], data: dict, output: Path) -> None:
    """Write figures and picture into a folder.

    Args:
        tests: GlitchTest of each network, of one bank.
        data: What the bank is, for the record.
        output: Folder to write; replaced where it is there.
    """
    with written_aside(output) as aside:
        aside.mkdir()
        result = {"data": data, "networks": [test.to_dict() for test in tests]}
        (aside / "glitches.json").write_text(json.dumps(result, indent=2) + "\n")
        title = f"{data['glitches']} glitches of {Path(data['file']).name}, one at a time in Gaussian noise"
        save(draw_glitch_test(tests, title), aside / "glitches.png")
