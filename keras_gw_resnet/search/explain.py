"""What a network looks at: which detector, which part of the network and which strain makes the statistic of an event.

Integrated gradients (arXiv 1703.01365) share the statistic out among the samples: each sample is multiplied by the mean gradient on the way from
silence to the strain, and all of them add up to the statistic less that of silence. In a tight frame of short Fourier transforms they do so
among times and frequencies.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.signal

from keras_gw_resnet.errors import InputError
from keras_gw_resnet.search.gradients import gradient
from keras_gw_resnet.search.masses import Template, best_template
from keras_gw_resnet.search.statistic import Statistic
from keras_gw_resnet.strain.objects import seconds
from keras_gw_resnet.strain.stretches import WhitenedStretch

if TYPE_CHECKING:
    from keras_gw_resnet.search.detector import Detector

# The loudest score within so many seconds of the time asked for is explained.
NEAR_SECONDS = 0.5
STEPS, STEPS_AT_ONCE = 64, 16
# Length of a short Fourier transform, and from one to the next, in seconds: bins of 16 Hz.
MAP_SECONDS, MAP_STEP = 1 / 16, 1 / 64


@dataclass(frozen=True)
class Explanation:
    """What makes the statistic of an event.

    Attributes:
        network, detectors: Names.
        time: GPS second that the loudest score near the time asked for tells of.
        stat: That score.
        alone: Statistic of each detector alone, the others silent, by name.
        without: Statistic of the others where this detector is silent, by name.
        parts: How the statistic adds up: "matched filter" (what it ranks, where that is added around the stack), "stack" and "bias"; empty
            where the last layer is no sum of both.
        silence: Statistic of no strain at all.
        template: Template that fits best; None where there is no matched filter.
        gps_start, sample_rate: Of the strain that the score is of.
        strain, attribution: float32 arrays (samples, detectors): whitened strain, and what each sample adds to the statistic.
        frequency, map_time: Hz, and seconds after the first sample, of the map.
        map: float64 array (detectors, frequencies, times): what each adds to the statistic.
    """

    network: str
    detectors: tuple[str, ...]
    time: float
    stat: float
    alone: dict[str, float]
    without: dict[str, float]
    parts: dict[str, float]
    silence: float
    template: Template | None
    gps_start: float
    sample_rate: int
    strain: np.ndarray
    attribution: np.ndarray
    frequency: np.ndarray
    map_time: np.ndarray
    map: np.ndarray

    @property
    def unexplained(self) -> float:
        """What the attribution of all samples lacks of the statistic less that of silence, from the steps of the integral."""
        return self.stat - self.silence - float(self.attribution.sum())

    def to_dict(self) -> dict:
        """Return all but the arrays as plain values."""
        plain = ("network", "detectors", "time", "stat", "alone", "without", "parts", "silence", "unexplained")
        shares = dict(zip(self.detectors, self.attribution.sum(axis=0).tolist(), strict=True))
        known = {name: getattr(self, name) for name in plain}
        return {**known, "attribution": shares, "template": self.template and vars(self.template)}


def explain_at(network: Detector, given: Sequence, time: float) -> Explanation:
    """Explain the loudest score near a time in strain of which only what is near is read.

    Args:
        network: Detector.
        given: List of SegmentHeader or of WhitenedStretch.
        time: GPS seconds, a number, or a time or quantity that says them.

    Raises:
        InputError: No time, or the strain, as far as it could be whitened, does not hold that time.
    """
    time, around = seconds(time, "explain", "time"), network.whitening.psd_seconds
    near = [one for one in given if one.gps_start < time + around and one.gps_stop > time - around]
    found = list(network.stretches(near)) if near else []
    for stretch in found:
        if stretch.gps_start <= time < stretch.gps_stop:
            return explain(network, stretch, time)
    held = "; ".join(f"GPS {stretch.gps_start:.3f} to {stretch.gps_stop:.3f}" for stretch in found[:3])
    raise InputError(f"GPS {time:.16g} is not in the strain that could be whitened ({held or 'none is near'})")


def explain(network: Detector, stretch: WhitenedStretch, time: float, steps: int = STEPS) -> Explanation:
    """Explain the loudest score near a time.

    Args:
        network: Detector.
        stretch: WhitenedStretch that holds the time, and a window around it.
        time: GPS seconds.
        steps: Of the integral from silence to the strain.

    Returns:
        Explanation.

    Raises:
        InputError: No score of the stretch tells of a time so near.
    """
    scanner, rate = network.scanner, stretch.sample_rate
    statistic = Statistic(network)
    samples, scan = statistic.samples, scanner.scan(stretch.strain)
    times = stretch.gps_start + network.times_of(scan)
    first = (np.arange(len(times)) - statistic.skipped) * scanner.stride
    held = (first >= 0) & (first + samples <= len(stretch.strain))
    near = np.flatnonzero((np.abs(times - time) <= NEAR_SECONDS) & held)
    if not len(near):
        raise InputError(
            f"GPS {time:.16g}: no window of the strain tells of it; those there are tell of GPS {times[0]:.3f} to {times[-1]:.3f}"
        )
    at = near[np.argmax(scan.scores[near])]
    strain = stretch.strain[first[at] :][:samples]
    numbers = range(len(network.detectors))
    kept = [{*numbers}, set(), *({own} for own in numbers), *({*numbers} - {own} for own in numbers)]
    muted = np.stack([strain * np.isin(numbers, list(own)) for own in kept]).astype(np.float32)
    stat, silence, *others = np.asarray(statistic(muted), np.float64).tolist()
    mean = mean_gradient(statistic, strain, steps)
    frequency, map_time, energy = time_frequency(strain, mean, rate)
    start = stretch.gps_start + first[at] / rate
    filters = [_filter_at(own, (start - stretch.gps_start) * rate) for own in stretch.filters]
    return Explanation(
        network=network.name,
        detectors=network.detectors,
        time=float(times[at]),
        stat=stat,
        alone=dict(zip(network.detectors, others, strict=False)),
        without=dict(zip(network.detectors, others[len(network.detectors) :], strict=True)) if len(numbers) > 1 else {},
        parts=statistic.parts(strain),
        silence=silence,
        template=best_template(network.model, strain, times[at] - start, filters, network.whitening),
        gps_start=start,
        sample_rate=rate,
        strain=strain,
        attribution=strain * mean,
        frequency=frequency,
        map_time=map_time,
        map=energy,
    )


def _filter_at(filters, sample):
    """Return the taps of the whitening filter that a sample of a stretch was whitened with; None: not known."""
    return next((taps for first, taps in reversed(filters) if first <= sample), None)


def mean_gradient(statistic: Callable, strain: np.ndarray, steps: int) -> np.ndarray:
    """Return the mean gradient of a statistic on the way from silence to some strain (samples, detectors)."""
    shares = (np.arange(steps, dtype=np.float32) + 0.5) / steps
    total = np.zeros_like(strain)
    for some in np.array_split(shares, -(-steps // STEPS_AT_ONCE)):
        total += gradient(statistic, some[:, None, None] * strain).sum(axis=0)
    return total / steps


def time_frequency(strain: np.ndarray, mean: np.ndarray, sample_rate: int) -> tuple:
    """Share the attribution out among times and frequencies.

    In a tight frame of short Fourier transforms the sum over samples of strain times gradient is the sum over times and frequencies of the real
    part of one's transform times the complex conjugate of the other's.

    Args:
        strain: Whitened, (samples, detectors).
        mean: Mean gradient, (samples, detectors).
        sample_rate: Samples per second.

    Returns:
        Tuple (frequency (f,) in Hz, time (t,) in seconds, map (detectors, f, t)); the map adds up to the sum of strain times gradient.
    """
    length, step = round(MAP_SECONDS * sample_rate), round(MAP_STEP * sample_rate)
    window = scipy.signal.windows.hann(length, sym=False)
    window /= np.sqrt(np.sum(window[::step] ** 2))
    transform = scipy.signal.ShortTimeFFT(window, step, sample_rate, fft_mode="onesided", scale_to=None)
    one, other = (transform.stft(np.asarray(series.T, np.float64)) for series in (strain, mean))
    energy = np.real(one * np.conj(other)) / length
    energy[:, 1:-1] *= 2  # negative frequencies add as much
    return transform.f, transform.t(len(strain)), energy
