"""Figures and how they are saved; pictures of strain."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_gw_resnet.files import written_aside
from keras_gw_resnet.strain.inspection import CLOSEUP_SECONDS, GLITCH_DEVIATIONS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from keras_gw_resnet.strain.inspection import DetectorReport

COLOURS = ("C3", "C0", "C4", "C2")


def new_figure(rows: int, height: float) -> tuple:
    """Return an empty figure with rows of axes, and the axes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, np.atleast_1d(figure.subplots(rows, 1, sharex=True))


def save(figure: Figure, path: Path | str) -> None:
    """Write a figure whole or not at all."""
    with written_aside(path) as aside:
        figure.savefig(aside, dpi=120)


def plot_strain(reports: Sequence[DetectorReport], path: Path | str) -> None:
    """Draw the noise spectrum of every detector, how loud its whitened strain is over time, and its loudest moment.

    Args:
        reports: List of `strain.inspection.DetectorReport`.
        path: Picture to write (.png, .pdf or .svg).
    """
    figure, _ = new_figure(1, 2.4 * (len(reports) + 1.6))
    figure.clear()
    figure.set_figwidth(11)
    grid = figure.add_gridspec(len(reports) + 1, 2, height_ratios=[1.6, *[1] * len(reports)], width_ratios=[3, 2])
    spectrum = figure.add_subplot(grid[0, :])
    start = np.floor(min([report.time[0] for report in reports if len(report.time)], default=0.0))
    first = None
    for row, (report, colour) in enumerate(zip(reports, itertools.cycle(COLOURS)), 1):
        name, shown = f"{report.detector}, {report.source}", report.frequency >= 15
        spectrum.loglog(report.frequency[shown], report.asd[shown], color=colour, linewidth=0.8, label=name)
        first = axis = figure.add_subplot(grid[row, 0], sharex=first)
        axis.plot(report.time - start, report.envelope, ".", color=colour, markersize=2)
        axis.axhline(GLITCH_DEVIATIONS, color="0.6", linewidth=0.8)
        axis.set_ylabel(f"{report.detector} loudest\nwhitened sample")
        axis.set_title(name, fontsize=8, loc="left")
        _plot_closeup(figure.add_subplot(grid[row, 1]), report, colour)
    first.set_xlabel(f"time in seconds from GPS {start:.0f}; the line is where a glitch begins")
    spectrum.set(xlabel="frequency (Hz)", ylabel="ASD (strain per root Hz)", xlim=(15, reports[0].frequency[-1]))
    spectrum.grid(alpha=0.3, which="both")
    spectrum.legend(fontsize=8)
    save(figure, path)


def _plot_closeup(axis, report, colour):
    axis.set(ylabel="whitened strain\n(noise sigma)", xlim=(-CLOSEUP_SECONDS, CLOSEUP_SECONDS))
    axis.locator_params(axis="x", nbins=4)
    if not len(report.closeup):
        axis.set_title("nothing could be whitened", fontsize=8, loc="left")
        return
    loudest = report.closeup_time[np.argmax(np.abs(report.closeup))]
    axis.plot(report.closeup_time - loudest, report.closeup, color=colour, linewidth=0.5)
    axis.set_xlabel(f"time in seconds from GPS {loudest:.3f}")
    axis.set_title(f"{report.detector}, around its loudest sample", fontsize=8, loc="left")
