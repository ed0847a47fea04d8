"""Cluster the scores of a scan into events, and write them."""

import csv
from dataclasses import dataclass

import h5py
import numpy as np
import scipy.signal

from keras_gw_resnet.files import written_aside

CLUSTER_SECONDS = 1.0
PLATEAU_SECONDS = 0.5


@dataclass(frozen=True)
class Events:
    """Candidate events in order of time.

    Attributes:
        time: GPS seconds of the coalescence at the Earth's centre, float64 (n,).
        stat: Ranking statistic, larger is more signal-like, float64 (n,).
        var: Timing tolerance of each event in seconds, float64 (n,).
    """

    time: np.ndarray
    stat: np.ndarray
    var: np.ndarray

    def __len__(self):
        return len(self.time)

    def loudest(self, number):
        """Return the loudest events, loudest first."""
        order = np.argsort(self.stat)[::-1][:number]
        return Events(self.time[order], self.stat[order], self.var[order])


def join(events):
    """Join Events into one, in order of time."""
    every = [np.concatenate([getattr(e, name) for e in events] or [np.empty(0)]) for name in ("time", "stat", "var")]
    order = np.argsort(every[0], kind="stable")
    return Events(*(values[order] for values in every))


def plateau_centre(scores, peak, stride_seconds):
    """Return the centre, in fractional score indices, of the plateau of high scores around a peak.

    A window classifier answers to a signal in every window that holds the coalescence where it was trained to
    expect it: a plateau, whose highest point says little about the time. Its weighted centre says more.
    """
    reach = round(PLATEAU_SECONDS / stride_seconds)
    first, last = max(0, peak - reach), min(len(scores), peak + reach + 1)
    around = np.asarray(scores[first:last], np.float64)
    level = (around.max() + np.median(scores)) / 2
    above = around >= level
    # Only what hangs together with the peak.
    at = peak - first
    left = at - np.argmin(above[at::-1]) + 1 if not above[: at + 1].all() else 0
    right = at + np.argmin(above[at:]) if not above[at:].all() else len(above)
    weight = around[left:right] - level
    index = np.arange(left, right, dtype=np.float64)
    return first + (np.average(index, weights=weight) if weight.sum() > 0 else float(at))


def find_events(scores, gps_start, stride_seconds, *, merger_seconds, tolerance_seconds, threshold):
    """Cluster the scores of one stretch: the highest score within `CLUSTER_SECONDS` either side is an event.

    Args:
        scores: float32 array (windows,).
        gps_start: GPS time at which the first window starts.
        stride_seconds: From one window to the next.
        merger_seconds: Coalescence time after the start of the window in the plateau's centre.
        tolerance_seconds: Timing tolerance to give the events.
        threshold: Lowest score of an event.

    Returns:
        Events.
    """
    padded = np.concatenate([[-np.inf], scores, [-np.inf]])
    distance = max(1, round(CLUSTER_SECONDS / stride_seconds))
    peaks = scipy.signal.find_peaks(padded, height=threshold, distance=distance)[0] - 1
    centres = np.array([plateau_centre(scores, peak, stride_seconds) for peak in peaks])
    return Events(
        time=gps_start + centres * stride_seconds + merger_seconds,
        stat=scores[peaks].astype(np.float64),
        var=np.full(len(peaks), float(tolerance_seconds)),
    )


def write_events(events, path, attributes):
    """Write events to HDF5 (1-D `time`, `stat`, `var`, as in MLGWSC-1) and to CSV beside it.

    Args:
        events: Events.
        path: HDF5 file; the CSV takes its name with the suffix .csv.
        attributes: Dictionary of root attributes: which network, which files, how much strain.

    Returns:
        Path of the CSV file.
    """
    with written_aside(path) as aside, h5py.File(aside, "w") as file:
        file.attrs.update(attributes)
        for name in ("time", "stat", "var"):
            file[name] = getattr(events, name)
    with written_aside(path.with_suffix(".csv")) as aside, aside.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["time", "stat", "var"])
        writer.writerows(zip(*(getattr(events, n).tolist() for n in ("time", "stat", "var")), strict=True))
    return path.with_suffix(".csv")
