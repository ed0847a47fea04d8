"""Pictures of events and of efficiency; NumPy in, figures out."""

import itertools

import numpy as np

from keras_gw_resnet.files import written_aside

SECONDS_SHOWN = 0.6


def _new_figure(rows, height):
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, np.atleast_1d(figure.subplots(rows, 1, sharex=True))


def _save(figure, path):
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
    figure, axes = _new_figure(len(stretch.detectors) + 1, 2.2 * (len(stretch.detectors) + 1))
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
    _save(figure, path)


def plot_efficiency(result, path, title):
    """Draw the detected fraction against network SNR, one curve for each false-alarm probability.

    Args:
        result: Dictionary from `evaluate_scores`.
        path: Picture to write.
        title: Line above the picture.
    """
    edges = np.array(result["snr_edges"])
    centre = (edges[:-1] + edges[1:]) / 2
    figure, (axis,) = _new_figure(1, 4.5)
    for probability, curve in result["efficiency"].items():
        values = [np.array([np.nan if v is None else v for v in curve[name]]) for name in ("fraction", "error")]
        axis.errorbar(
            centre, values[0], values[1], marker="o", capsize=2, label=f"false-alarm probability {probability} a window"
        )
    axis.set(xlabel="network SNR", ylabel="detected fraction", ylim=(-0.02, 1.02), xlim=(edges[0], edges[-1]))
    axis.grid(alpha=0.3)
    axis.legend(loc="lower right")
    axis.set_title(title, fontsize=10)
    _save(figure, path)
