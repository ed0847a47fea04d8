"""Pictures of glitches: whitened strain over its time-frequency map, in a grid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from keras_gw_resnet.evaluation.candidate_plots import HIGHEST_ENERGY, TICKS
from keras_gw_resnet.evaluation.qtransform import constant_q

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from keras_gw_resnet.simulation.glitch_bank import GlitchBank

COLUMNS = 5
SECONDS_SHOWN = 1.0


def draw_glitches_grid(bank: GlitchBank, chosen: Sequence[int] | np.ndarray, title: str) -> Figure:
    """Draw glitches of a bank.

    Args:
        bank: `simulation.glitch_bank.GlitchBank`.
        chosen: Indices of the glitches.
        title: Line above the picture.

    Returns:
        matplotlib Figure.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(COLUMNS, len(chosen))
    rows = -(-len(chosen) // columns)
    figure = Figure(figsize=(2.6 * columns + 0.8, 3.1 * rows + 0.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2 * rows, columns, squeeze=False, height_ratios=[1, 1.6] * rows, sharex=True)
    figure.suptitle(title, fontsize=10)
    for axis in axes.flat:
        axis.set_visible(False)
    for number, index in enumerate(chosen):
        row, column = divmod(number, columns)
        series, plane = axes[2 * row, column], axes[2 * row + 1, column]
        series.set_visible(True)
        plane.set_visible(True)
        _draw_one(series, plane, bank, index)
        if column == 0:
            series.set_ylabel("sigma" if bank.whitened else "strain", fontsize=8)
            plane.set_ylabel("frequency (Hz)", fontsize=8)
    for axis in axes[-1]:
        axis.set_xlabel("time (s)", fontsize=8)
    return figure


def _draw_one(series, plane, bank, index):
    rate, strain = bank.sample_rate, bank.strain[index].astype(np.float64)
    if np.isnan(bank.snr[index]):
        strain = strain * 20  # the shape alone is known; drawn as loud as a common glitch
    time = (np.arange(len(strain)) - len(strain) // 2) / rate
    shown = np.abs(time) <= SECONDS_SHOWN
    series.plot(time[shown], strain[shown], color="k", linewidth=0.5)
    snr = f"SNR {bank.snr[index]:.0f}" if np.isfinite(bank.snr[index]) else "shape alone"
    series.set_title(f"{index}: {bank.detector[index]} {bank.label[index]}, {snr}", fontsize=7.5)
    # Without the noise of its window the map of a glitch has no level of its own: that of unit noise is taken.
    noise = np.random.default_rng(0).normal(size=len(strain)) * (bank.reconstruction[index] != "whole")
    frequency, energy = constant_q(strain + noise * bank.whitened, rate)
    plane.pcolormesh(
        time[shown][::8],
        frequency,
        energy[:, shown][:, ::8],
        vmin=0,
        vmax=HIGHEST_ENERGY,
        shading="nearest",
        rasterized=True,
    )
    plane.set_yscale("log")
    plane.set_yticks(TICKS, [str(tick) for tick in TICKS])
    plane.minorticks_off()
    for axis in (series, plane):
        axis.tick_params(labelsize=7)
