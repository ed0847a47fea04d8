"""Lay out what networks lose with their blocks: table, picture, files."""

import itertools
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from keras_gw_resnet.evaluation.plots import new_figure, save
from keras_gw_resnet.files import written_aside

WRITTEN = ("lesions.json", "lesions.png")
KINDS = {"none": "whole", "dropped": "without", "swapped": "swapped"}


def lesion_table(found: Sequence[dict], false_alarm_probability: float) -> tuple:
    """Return (rows, header) of what one network loses, as text.

    Args:
        found: As from `lesion.measure_lesions`.
        false_alarm_probability: Of the detected fraction.
    """
    whole, rows = found[0], []
    for row in found:
        lost = [f"{whole[figure] - row[figure]:+.4f}" if row["units"] else "-" for figure in ("auc", "efficiency")]
        what = " and ".join(row["units"]) or "-"
        rows.append([KINDS[row["kind"]], what, f"{row['auc']:.4f}", lost[0], f"{row['efficiency']:.4f}", lost[1]])
    return rows, ["", "block", "AUC", "lost", f"detected at FAP {false_alarm_probability:g}", "lost"]


def write_lesions(results: dict, false_alarm_probability: float, output: Path) -> None:
    """Write figures and picture into a folder; see `plot_lesions`."""
    with written_aside(output) as aside:
        aside.mkdir()
        (aside / "lesions.json").write_text(json.dumps(results, indent=2) + "\n")
        plot_lesions(results, false_alarm_probability, aside / "lesions.png")


def plot_lesions(results: dict, false_alarm_probability: float, path: Path | str) -> None:
    """Draw AUC and detected fraction against the block that was taken out or swapped, network by network.

    Args:
        results: Dictionary from the networks' names to dictionaries with `lesions`, as from `lesion.lesions`.
        false_alarm_probability: Of the detected fraction.
        path: Picture to write.
    """
    figure, axes = new_figure(2, 6.5)
    for (name, result), colour in zip(results.items(), itertools.cycle(("C0", "C3", "C2", "C4", "C1"))):
        found = result["lesions"]
        dropped = [row for row in found if row["kind"] == "dropped"]
        swapped = [row for row in found if row["kind"] == "swapped"]
        order = [row["units"][0] for row in dropped]
        # Depth as a share, so that networks of different depth lie under one another.
        place = {unit: (i + 0.5) / len(order) for i, unit in enumerate(order)}
        for axis, figure_of_merit in zip(axes, ("auc", "efficiency"), strict=True):
            values = [row[figure_of_merit] for row in dropped]
            axis.plot(
                [place[u] for u in order], values, "o-", color=colour, markersize=4, label=f"{name}, one left out"
            )
            pairs = [np.mean([place[u] for u in row["units"]]) for row in swapped]
            values = [row[figure_of_merit] for row in swapped]
            axis.plot(pairs, values, "x", color=colour, markersize=6, label=f"{name}, two swapped" if pairs else None)
            axis.axhline(found[0][figure_of_merit], color=colour, linewidth=0.8, linestyle=":")
    axes[0].set_ylabel("AUC")
    axes[1].set_ylabel(f"detected fraction at a\nfalse-alarm probability of {false_alarm_probability:g}")
    axes[1].set_xlabel("place of the block in the network, from input (0) to output (1)")
    axes[0].legend(fontsize=7, loc="lower right")
    axes[0].set_title("what is left with one block less, or two swapped (dotted: whole network)", fontsize=10)
    for axis in axes:
        axis.grid(alpha=0.3)
    save(figure, path)
