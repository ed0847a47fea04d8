"""Lay out what networks find of a set with injections: tables, pictures, files, a page."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from keras_gw_resnet.evaluation.plots import save
from keras_gw_resnet.evaluation.report import write_set_report
from keras_gw_resnet.evaluation.sensitivity import ROW
from keras_gw_resnet.evaluation.set_plots import draw_found_fraction, draw_injections, draw_sensitivity
from keras_gw_resnet.evaluation.sets import LOWEST_STATISTIC
from keras_gw_resnet.evaluation.tensorboard_file import write_pictures
from keras_gw_resnet.files import written_aside

if TYPE_CHECKING:
    from keras_gw_resnet.evaluation.sets import SetMeasurement

PAIRS = (
    ("distance", "distance_error", ".0f"),
    ("volume", "volume_error", ".2f"),
    ("found_fraction", "found_error", ".3f"),
)
MISSED = {
    "tc": "GPS time (s)",
    "mchirp": "chirp mass",
    "distance": "distance (Mpc)",
    "chirp_distance": "chirp distance (Mpc)",
    "snr": "SNR",
}


def set_files(names: Sequence[str]) -> tuple[str, ...]:
    """List the names of what `write_set_measurements` writes for networks of these names."""
    own = ("injections.png", "foreground.hdf", "background.hdf", "slides.hdf")
    figures = ("sensitivity.png", "found-fraction.png")
    fixed = ("sensitivity.json", "sensitivity.csv", *figures, "report.html", "tensorboard")
    return (*fixed, *(f"{name}-{what}" for name in names for what in own))


def searched_hours(measurement: SetMeasurement) -> str:
    """Say how much foreground and background one network searched."""
    hours = {name: seconds / 3600 for name, seconds in measurement.searched_seconds.items()}
    slides = f" (it, and {measurement.slides} time slides of it)" if measurement.slides else ""
    return f"{hours['foreground']:.2f} h of foreground, {hours['background']:.2f} h of background{slides}"


def set_tables(measurement: SetMeasurement) -> list:
    """Return [(heading, header, rows)] of text about one network: sensitive distance, and what it missed."""
    cells = []
    for row in measurement.sensitivity:
        if row["distance"] is None:
            cells.append([f"{row['rate']:.4g}", "background too short", "-", "-", "-"])
            continue
        values = [f"{row[value]:{form}} +- {row[error]:{form}}" for value, error, form in PAIRS]
        threshold = "-" if row["threshold"] is None else f"{row['threshold']:.2f}"
        if row["threshold_error"] is not None:
            threshold += f" +- {row['threshold_error']:.2f}"
        cells.append([f"{row['rate']:.4g}", *values, threshold])
    header = ["false alarms a month", "sensitive distance (Mpc)", "volume (Gpc^3)", "found", "threshold"]
    tables = [("Sensitive distance", header, cells)]
    if missed := measurement.loudest_missed:
        digits = {name: 2 if name in ("tc", "mchirp", "snr") else 0 for name in missed[0]}
        rows = [[f"{row[name]:.{digits[name]}f}" for name in digits] for row in missed]
        heading = f"The loudest missed, at {measurement.told_at['rate']:.4g} false alarms a month"
        tables.append((heading, [MISSED[name] for name in digits], rows))
    return tables


def _figures(measurements, title, published):
    told = measurements[0].told_at["rate"]
    found = {one.model: one.found_by for one in measurements}
    figures = {
        "sensitivity": draw_sensitivity({one.model: one.curve for one in measurements}, title, published),
        "found-fraction": draw_found_fraction(found, f"{title}, at {told:.4g} false alarms a month"),
    }
    for one in measurements:
        about = f"{one.model} at {told:.4g} false alarms a month"
        figures[f"{one.model}-injections"] = draw_injections(one.matched, one.told_at["threshold"], about)
    return figures


def _write_events(measurement, folder):
    from keras_gw_resnet.search.background import write_background
    from keras_gw_resnet.search.candidates import write_events_hdf5

    network, slid = measurement.network, measurement.background.background
    about = {"model": network.name, "model_sha256": network.card["sha256"]}
    settings = {"threshold": LOWEST_STATISTIC, "precision": network.precision}
    for part in ("foreground", "background"):
        found = getattr(measurement, part)
        attributes = {**about, "searched_seconds": found.searched_seconds, **settings}
        write_events_hdf5(found.events, folder / f"{network.name}-{part}.hdf", attributes)
    if slid.slides:
        attributes["slides"] = slid.slides
        write_background(slid, folder / f"{network.name}-slides.hdf", network.detectors, attributes)


def write_set_measurements(measurements: Sequence[SetMeasurement], data: dict, output: Path) -> None:
    """Write all of it into a folder: figures, table, pictures, events, a page, TensorBoard.

    Args:
        measurements: List of SetMeasurement of one set.
        data: What the set is, see `InjectionSet.describe`.
        output: Folder to write; replaced where it is there.
    """
    title = f"{data['injections']} injections, {searched_hours(measurements[0])}"
    figures = _figures(measurements, title, data["published"])
    with written_aside(output) as aside:
        aside.mkdir()
        result = {"data": data, "networks": [one.to_dict() for one in measurements]}
        (aside / "sensitivity.json").write_text(json.dumps(result, indent=2) + "\n")
        with (aside / "sensitivity.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, ["model", *ROW])
            writer.writeheader()
            writer.writerows({"model": one.model, **row} for one in measurements for row in one.sensitivity)
        for name, figure in figures.items():
            save(figure, aside / f"{name}.png")
        for one in measurements:
            _write_events(one, aside)
        tables = {one.model: set_tables(one) for one in measurements}
        write_set_report(aside / "report.html", title, tables, figures, data)
        write_pictures(aside / "tensorboard", figures)
