"""Lay out how networks tell windows apart: tables, pictures, files, a page."""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from keras_gw_resnet.evaluation.plots import save
from keras_gw_resnet.evaluation.report import facts_html, figure_html, table_html, write_page
from keras_gw_resnet.evaluation.tensorboard_file import write_pictures
from keras_gw_resnet.evaluation.window_plots import draw_efficiency, draw_rocs, draw_scores

if TYPE_CHECKING:
    from keras_gw_resnet.evaluation.windows import WindowMeasurement

WRITTEN = ("evaluation.json", "roc.csv", "efficiency.png", "scores.png", "report.html", "tensorboard")
COMPARED = ("comparison.csv", "comparison.png")


def window_files(names: Sequence[str]) -> tuple[str, ...]:
    """List the names of what is written for networks of these names: one network's files, or a folder a network."""
    return WRITTEN if len(names) == 1 else (*names, *COMPARED)


def efficiency_table(measurement: WindowMeasurement) -> tuple:
    """Return (rows, header) of the detected fraction by SNR at false-alarm probabilities, as text."""
    figures, rows = measurement.figures, []
    curves = figures["efficiency"]
    if not curves:
        return [], []
    for i, (low, high) in enumerate(itertools.pairwise(figures.get("snr_edges", []))):
        cells = [f"{low:.1f}-{high:.1f}"]
        for curve in curves.values():
            fraction, error = curve["fraction"][i], curve["error"][i]
            cells.append("-" if fraction is None else f"{fraction:.3f} +- {error:.3f}")
        rows.append(cells)
    rows.append(["all", *(f"{curve['detected']:.3f} +- {curve['detected_error']:.3f}" for curve in curves.values())])
    return rows, ["SNR", *(f"detected at FAP {p}" for p in curves)]


def joint_table(measurements: Sequence[WindowMeasurement]) -> tuple:
    """Return (rows, header) of AUC and detected fractions of all networks, as text."""
    rows = []
    for one in measurements:
        curves = one.figures["efficiency"].values()
        auc = f"{one.figures['auc']:.4f} +- {one.figures['auc_error']:.4f}"
        rows.append([one.model, auc, *(f"{c['detected']:.3f} +- {c['detected_error']:.3f}" for c in curves)])
    return rows, ["network", "AUC", *(f"detected at FAP {p}" for p in measurements[0].figures["efficiency"])]


def write_window_measurement(measurement: WindowMeasurement, folder: Path) -> None:
    """Write figures, ROC, pictures, a page and TensorBoard of one network into a folder, made where it is absent.

    Args:
        measurement: WindowMeasurement.
        folder: pathlib.Path.
    """
    result, data = measurement.to_dict(), measurement.data
    what = "labelled windows" if "file" in data else "simulated signals in held-out noise"
    title = f"{measurement.model}: {what}, AUC {result['auc']:.4f}"
    figures = {"scores": draw_scores(result, title)}
    if "snr_edges" in result:
        figures["efficiency"] = draw_efficiency(result, title)
    folder.mkdir(exist_ok=True)
    (folder / "evaluation.json").write_text(json.dumps(result, indent=2) + "\n")
    with (folder / "roc.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(result["roc"])
        writer.writerows(zip(*result["roc"].values(), strict=True))
    for name, figure in figures.items():
        save(figure, folder / f"{name}.png")
    rows, header = efficiency_table(measurement)
    sections = [("Detected fraction", table_html(header, rows))] if rows else []
    sections += [(name.capitalize(), figure_html(figure, f"{name}: {title}")) for name, figure in figures.items()]
    write_page(folder / "report.html", title, [*sections, ("Data", facts_html(data))])
    write_pictures(folder / "tensorboard", figures)


def write_window_measurements(measurements: Sequence[WindowMeasurement], folder: Path) -> None:
    """Write one network's files into a folder, or of several a folder each, with a joint table and all ROC curves."""
    if len(measurements) == 1:
        write_window_measurement(measurements[0], folder)
        return
    for one in measurements:
        write_window_measurement(one, folder / one.model)
    rows, header = joint_table(measurements)
    with (folder / "comparison.csv").open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    save(draw_rocs({one.model: one.figures["roc"] for one in measurements}), folder / "comparison.png")
