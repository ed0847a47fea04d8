"""Pictures of an event: whitened strain, time-frequency map, statistic."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from keras_gw_resnet.evaluation.plots import COLOURS, new_figure
from keras_gw_resnet.evaluation.qtransform import constant_q

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from keras_gw_resnet.search.results import Snapshot

SECONDS_SHOWN = 0.6
# Of the constant-Q map: energy at which its colours end.
HIGHEST_ENERGY = 25.0
# Colours of what files flag, of glitch-like intervals and of gates.
MARKED = ("tab:orange", "tab:red", "0.5")
TICKS = (20, 50, 100, 200, 400)


def draw_event(snapshot: Snapshot, detectors: Sequence[str], title: str, marks: Sequence[tuple] = ()) -> Figure:
    """Draw the whitened strain and the constant-Q map of every detector over the network's statistic, together and alone.

    Args:
        snapshot: `search.results.Snapshot`.
        detectors: Names, in column order.
        title: Line above the picture; says where the strain comes from.
        marks: Stretches that are shaded, see `Snapshot.marks`.

    Returns:
        matplotlib Figure.
    """
    strain = snapshot.strain
    time = snapshot.gps_start + np.arange(len(strain)) / snapshot.sample_rate - snapshot.time
    shown = np.abs(time) <= SECONDS_SHOWN
    figure, axes = new_figure(2 * len(detectors) + 1, 1.7 * (2 * len(detectors) + 1) + 0.4)
    for number, (name, column, colour) in enumerate(zip(detectors, strain.T, itertools.cycle(COLOURS))):
        series, plane = axes[2 * number : 2 * number + 2]
        series.plot(time[shown], column[shown], color=colour, linewidth=0.6)
        series.set_ylabel(f"{name} whitened\nstrain (sigma)")
        frequency, energy = constant_q(column, snapshot.sample_rate)
        plane.pcolormesh(
            time[shown][::4],
            frequency,
            energy[:, shown][:, ::4],
            vmin=0,
            vmax=HIGHEST_ENERGY,
            shading="nearest",
            rasterized=True,
        )
        plane.set(yscale="log", ylabel=f"{name}\nfrequency (Hz)")
        plane.set_yticks(TICKS, [str(tick) for tick in TICKS])
        plane.minorticks_off()
        series.axvline(0, color="0.6", linewidth=0.8, zorder=0)
    axes[-1].plot(snapshot.score_time - snapshot.time, snapshot.scores, color="k", linewidth=1, label="all")
    for name, own, colour in zip(detectors, snapshot.alone.T, itertools.cycle(COLOURS)):
        axes[-1].plot(snapshot.score_time - snapshot.time, own, color=colour, linewidth=1, label=f"{name} alone")
    if snapshot.alone.size:
        axes[-1].legend(fontsize=7, loc="upper right")
    for detector, start, stop, what in marks:
        axis = axes[-1] if detector is None else axes[2 * list(detectors).index(detector)]
        first, last = np.clip([start - snapshot.time, stop - snapshot.time], time[0], time[-1])
        axis.axvspan(
            first, last, color=MARKED[what.endswith("glitch-like") + 2 * (what == "gated")], alpha=0.3, linewidth=0
        )
        if max(first, -SECONDS_SHOWN) < min(last, SECONDS_SHOWN):
            axis.text(max(first, -SECONDS_SHOWN), axis.get_ylim()[0], what, fontsize=7, verticalalignment="bottom")
    axes[-1].axvline(0, color="0.6", linewidth=0.8, zorder=0)
    axes[-1].set_ylabel("statistic")
    axes[-1].set_xlabel(f"time in seconds from GPS {snapshot.time:.3f}")
    axes[-1].set_xlim(max(time[0], -SECONDS_SHOWN), min(time[-1], SECONDS_SHOWN))
    axes[0].set_title(title, fontsize=10)
    return figure
