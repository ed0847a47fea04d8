"""The picture of what a network looks at."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from keras_gw_resnet.evaluation.candidate_plots import TICKS
from keras_gw_resnet.evaluation.plots import COLOURS, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from keras_gw_resnet.search.explain import Explanation

# Seconds before and behind the event that are shown; of an attribution's sizes the share that is not off the scale of its colours.
BEFORE, BEHIND, SHOWN_SHARE = 1.0, 0.3, 0.999
LOWEST_HZ, HIGHEST_HZ = 16, 512


def draw_explanation(explanation: Explanation) -> Figure:
    """Draw for every detector its whitened strain, what each moment of it adds to the statistic, and that over time and frequency.

    Args:
        explanation: `search.explain.Explanation`.

    Returns:
        matplotlib Figure.
    """
    own, number = explanation, len(explanation.detectors)
    figure, axes = new_figure(2 * number, 1.9 * 2 * number + 0.8)
    time = own.gps_start + np.arange(len(own.strain)) / own.sample_rate - own.time
    largest = np.quantile(np.abs(own.map), SHOWN_SHARE) or 1.0
    width = round(own.sample_rate / 64)
    for row, (name, colour) in enumerate(zip(own.detectors, itertools.cycle(COLOURS))):
        series, plane = axes[2 * row : 2 * row + 2]
        series.plot(time, own.strain[:, row], color="0.7", linewidth=0.5)
        series.set_ylabel(f"{name} whitened\nstrain (sigma)")
        rate = np.convolve(own.attribution[:, row], np.ones(width) * own.sample_rate / width, mode="same")
        added = series.twinx()
        added.fill_between(time, rate, color=colour, alpha=0.5, linewidth=0)
        added.set_ylabel("adds to the\nstatistic per s")
        share = own.attribution[:, row].sum()
        series.set_title(f"{name} adds {share:.1f}; alone {own.alone[name]:.1f}", fontsize=8, loc="left")
        drawn = plane.pcolormesh(
            own.gps_start + own.map_time - own.time,
            own.frequency,
            own.map[row],
            cmap="RdBu_r",
            vmin=-largest,
            vmax=largest,
            shading="nearest",
            rasterized=True,
        )
        plane.set(yscale="log", ylabel=f"{name}\nfrequency (Hz)", ylim=(LOWEST_HZ, HIGHEST_HZ))
        plane.set_yticks(TICKS, [str(tick) for tick in TICKS])
        plane.minorticks_off()
    figure.colorbar(drawn, ax=list(axes[1::2]), label="adds to the statistic", shrink=0.6)
    axes[-1].set_xlabel(f"time in seconds from GPS {own.time:.3f}")
    axes[-1].set_xlim(max(time[0], -BEFORE), min(time[-1], BEHIND))
    figure.suptitle(
        f"{own.network}: statistic {own.stat:.1f}, of silence {own.silence:.1f}"
        + "".join(f"; {name} {value:.1f}" for name, value in own.parts.items()),
        fontsize=9,
    )
    return figure
