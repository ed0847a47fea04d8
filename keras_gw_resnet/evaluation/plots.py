"""Pictures of events and of efficiency; NumPy in, figures out."""

import itertools

import numpy as np

from keras_gw_resnet.files import written_aside
from keras_gw_resnet.strain.inspection import CLOSEUP_SECONDS, GLITCH_DEVIATIONS

SECONDS_SHOWN = 0.6


def new_figure(rows, height):
    """Return an empty figure with rows of axes, and the axes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, np.atleast_1d(figure.subplots(rows, 1, sharex=True))


def save(figure, path):
    """Write a figure whole or not at all."""
    with written_aside(path) as aside:
        figure.savefig(aside, dpi=120)


def plot_event(snapshot, event_time, path, title):
    """Draw the whitened strain of every detector over the network's statistic.

    Args:
        snapshot: `search.Snapshot`.
        event_time: GPS seconds of the event.
        path: Picture to write (.png, .pdf or .svg).
        title: Line above the picture; says where the strain comes from.
    """
    stretch = snapshot.stretch
    time = stretch.gps_start + np.arange(len(stretch.strain)) / stretch.sample_rate - event_time
    figure, axes = new_figure(len(stretch.detectors) + 1, 2.2 * (len(stretch.detectors) + 1))
    colours = itertools.cycle(("C3", "C0", "C4", "C2"))
    for axis, name, strain in zip(axes[:-1], stretch.detectors, stretch.strain.T, strict=True):
        axis.plot(time, strain, color=next(colours), linewidth=0.6)
        axis.set_ylabel(f"{name} whitened\nstrain (noise sigma)")
        axis.axvline(0, color="0.6", linewidth=0.8, zorder=0)
    axes[-1].plot(snapshot.score_time - event_time, snapshot.scores, color="k", linewidth=1)
    axes[-1].axvline(0, color="0.6", linewidth=0.8, zorder=0)
    axes[-1].set_ylabel("ranking statistic of\nthe window around")
    axes[-1].set_xlabel(f"time in seconds from GPS {event_time:.3f}")
    axes[-1].set_xlim(max(time[0], -SECONDS_SHOWN), min(time[-1], SECONDS_SHOWN))
    axes[0].set_title(title, fontsize=10)
    save(figure, path)


def plot_strain(reports, path):
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
    for row, (report, colour) in enumerate(zip(reports, itertools.cycle(("C3", "C0", "C4", "C2"))), 1):
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


def plot_sensitivity(rows, path, title):
    """Draw the sensitive distance against the false-alarm rate.

    Args:
        rows: Dictionaries from `sensitivity.sensitivity`, of rising or falling rate.
        path: Picture to write.
        title: Line above the picture.
    """
    shown = [row for row in rows if row["distance"] is not None]
    rate, distance, error = (np.array([row[name] for row in shown]) for name in ("rate", "distance", "distance_error"))
    figure, (axis,) = new_figure(1, 4.5)
    axis.plot(rate, distance, color="C0")
    axis.fill_between(rate, distance - error, distance + error, color="C0", alpha=0.2, linewidth=0)
    axis.set(xscale="log", xlabel="false alarms a month", ylabel="sensitive distance (Mpc)")
    axis.invert_xaxis()
    axis.grid(alpha=0.3)
    axis.set_title(title, fontsize=10)
    save(figure, path)


def plot_efficiency(result, path, title):
    """Draw the detected fraction against network SNR, one curve for each false-alarm probability.

    Args:
        result: Dictionary from `evaluate_scores`.
        path: Picture to write.
        title: Line above the picture.
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
    save(figure, path)
