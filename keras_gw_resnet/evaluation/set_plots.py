"""Pictures of how far searches see: sensitive distance, found fraction, found and missed, timing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from keras_gw_resnet.evaluation.field import PUBLISHED, RATES, SOURCE
from keras_gw_resnet.evaluation.plots import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from keras_gw_resnet.evaluation.sensitivity import Matched


def draw_sensitivity(curves: dict, title: str, population: str | None = None) -> Figure:
    """Draw the sensitive distance against the false-alarm rate, with published figures beside it.

    Args:
        curves: Dictionary name -> rows of `sensitivity.sensitivity`.
        title: Line above the picture.
        population: "set1" to "set4" of MLGWSC-1, whose published figures are drawn; None or any other: none.

    Returns:
        matplotlib Figure.
    """
    figure, (axis,) = new_figure(1, 5)
    for number, (name, rows) in enumerate(curves.items()):
        shown = [row for row in rows if row["distance"] is not None]
        rate, distance, error = (np.array([r[key] for r in shown]) for key in ("rate", "distance", "distance_error"))
        axis.plot(rate, distance, color=f"C{number}", label=name)
        axis.fill_between(rate, distance - error, distance + error, color=f"C{number}", alpha=0.2, linewidth=0)
    for marker, (name, values) in zip("os^", PUBLISHED.get(population, {}).items(), strict=False):
        distance = [np.nan if v is None else v for v in values]
        label = f"{name}, on the challenge's own {population} ({SOURCE})"
        axis.plot(RATES, distance, marker, color="0.45", linestyle=":", linewidth=0.8, markersize=4, label=label)
    axis.set(xscale="log", xlabel="false alarms a month", ylabel="sensitive distance (Mpc)")
    axis.invert_xaxis()
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8, loc="lower left")
    axis.set_title(title, fontsize=10)
    return figure


def draw_found_fraction(results: dict, title: str) -> Figure:
    """Draw the found fraction by chirp mass, chirp distance and SNR.

    Args:
        results: Dictionary name -> dictionary property -> {edges, fraction, number, label}.
        title: Line above the picture; says at which false-alarm rate.

    Returns:
        matplotlib Figure.
    """
    properties = list(next(iter(results.values())))
    figure, _ = new_figure(1, 3.6)
    figure.clear()
    axes = figure.subplots(1, len(properties), sharey=True, squeeze=False)[0]
    for number, (name, by) in enumerate(results.items()):
        for axis, key in zip(axes, properties, strict=True):
            edges = np.array(by[key]["edges"])
            fraction = np.array([np.nan if v is None else v for v in by[key]["fraction"]], float)
            error = np.sqrt(fraction * (1 - fraction) / np.maximum(by[key]["number"], 1))
            centre = (edges[:-1] + edges[1:]) / 2
            axis.errorbar(centre, fraction, error, marker="o", markersize=3, capsize=2, color=f"C{number}", label=name)
            axis.set_xlabel(by[key]["label"])
            axis.grid(alpha=0.3)
    axes[0].set(ylabel="found fraction", ylim=(-0.02, 1.02))
    axes[0].legend(fontsize=7)
    figure.suptitle(title, fontsize=10)
    return figure


def draw_injections(found: Matched, threshold: float, title: str) -> Figure:
    """Draw found and missed injections over chirp mass and distance, and the timing of the found.

    Args:
        found: `sensitivity.Found`.
        threshold: Statistic that counts as found.
        title: Line above the picture.

    Returns:
        matplotlib Figure.
    """
    figure, _ = new_figure(1, 4.2)
    figure.clear()
    plane, timing = figure.subplots(1, 2, width_ratios=[3, 2])
    hit = found.stat > threshold
    for which, colour, name in ((~hit, "C3", "missed"), (hit, "C0", "found")):
        plane.scatter(found.mchirp[which], found.distance[which], s=6, color=colour, label=f"{name}: {which.sum()}")
    plane.set(xlabel="chirp mass in the detector frame (solar masses)", ylabel="distance (Mpc)")
    plane.legend(fontsize=8)
    plane.grid(alpha=0.3)
    timing.hist(found.lag[hit], np.linspace(-0.3, 0.3, 41), color="C0")
    timing.set(xlabel="event time less coalescence time (s)", ylabel="found injections")
    figure.suptitle(title, fontsize=10)
    return figure


# With ten colours, so many of them tell a hundred networks apart.
MARKERS = ("o", "s", "^", "v", "D", "P", "X", "<", ">", "*")


def draw_comparison(points: Iterable, alike: Sequence | set = ()) -> Figure:
    """Draw the sensitive distance of networks against what they cost.

    Args:
        points: List of (set, network, multiply-adds per second of strain, distance and its error in Mpc).
        alike: Networks that were trained alike; where there are some, the others' marks are hollow.

    Returns:
        matplotlib Figure.
    """
    from matplotlib import ticker

    names = sorted({point[0] for point in points})
    figure, _ = new_figure(1, 4.5)
    figure.clear()
    axes = figure.subplots(1, max(1, len(names)), squeeze=False)[0]
    # By cost from left to right, so that the legend follows the picture.
    networks = list(dict.fromkeys(point[1] for point in sorted(points, key=lambda point: point[2])))
    for axis, name in zip(axes, names, strict=False):
        for _, network, cost, distance, error in (point for point in points if point[0] == name):
            which = networks.index(network)
            marker, color = MARKERS[(which + which // 10) % len(MARKERS)], f"C{which % 10}"
            fill = color if network in alike or not alike else "white"
            style = {"marker": marker, "color": color, "markerfacecolor": fill, "linestyle": "", "capsize": 2}
            axis.errorbar(cost / 1e6, distance, error, **style, label=network)
        reached = PUBLISHED.get(name, {}).get("PyCBC (matched filter)")
        if reached:
            axis.axhline(
                reached[0],
                color="0.5",
                linestyle=":",
                linewidth=0.8,
                label=f"PyCBC ({SOURCE})",
            )
        costs = [point[2] / 1e6 for point in points if point[0] == name]
        # A scale that reads well where all cost the same.
        limits = min(costs) / 1.4, 1.4 * max(costs)
        axis.set(xscale="log", xlim=limits, xlabel="million multiply-adds per second of strain", title=name)
        axis.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
        axis.xaxis.set_major_formatter("{x:g}")
        axis.xaxis.set_minor_formatter("")
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("sensitive distance at 1000 false alarms a month (Mpc)")
    known = {label: handle for axis in axes for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    order = sorted(known, key=lambda label: (*networks, label).index(label))
    axes[-1].legend(
        [known[label] for label in order],
        order,
        title="filled: trained alike" if alike else None,
        title_fontsize=7,
        fontsize=7,
        loc="upper left",
        bbox_to_anchor=(1.02, 1),
    )
    return figure
