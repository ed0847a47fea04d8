"""Find short transients in whitened strain of one detector, and tell them from the noise around them.

Excess power in the short-time Fourier transform, at three resolutions (as in arXiv gr-qc/0008066 and the Omega pipelines):
what is loud in neighbouring pixels is the transient, the rest is noise and is subtracted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.ndimage
import scipy.signal

# Lengths of the transform's windows: short ones suit blips, long ones scattered light.
RESOLUTIONS_SECONDS = (1 / 32, 1 / 8, 1 / 2)
# A pixel of noise has the power 1 on average and is exponentially distributed. A transient holds a pixel beyond the first
# (noise shows one in a few million), and what is connected to it beyond the second.
SEED_POWER, GROW_POWER = 15.0, 6.0
# A transient with short and long parts is taken out in several.
LOOKS = 3
# How far from the middle the loudest pixel of what belongs to a transient may be.
REACH_SECONDS = 1.0
# Pixels nearer than this to a louder one belong to it.
SEPARATION_SECONDS = 0.5


@dataclass(frozen=True)
class Transient:
    """A transient without the noise around it.

    Attributes:
        strain: Whitened float64 array (samples,), zero where nothing stands out.
        snr: Its SNR, the noise in the same pixels subtracted.
        sample: Index of its middle, weighted by power.
        frequency: Mean frequency in Hz, weighted by power.
        duration: Seconds that hold the middle 90 % of its power.
    """

    strain: np.ndarray
    snr: float
    sample: int
    frequency: float
    duration: float


def _transform(strain, sample_rate, seconds):
    """Return (times, transform, power): power is 1 on average in noise, lines that whitening left over included."""
    length = round(seconds * sample_rate)
    window = scipy.signal.get_window("hann", length)
    _, times, transform = scipy.signal.stft(strain, sample_rate, window=window, nperseg=length)
    power = np.abs(transform) ** 2 * np.sum(window) ** 2 / np.sum(window**2)
    power /= np.maximum(1, np.median(power, axis=1, keepdims=True) / np.log(2))
    power[[0, -1]] = 0  # real numbers, whose power is spread more widely
    return times, transform, power


def extract(strain: np.ndarray, sample_rate: int, middle: float | None = None) -> Transient | None:
    """Take the transient in the middle of whitened strain out of its noise.

    Args:
        strain: Whitened array (samples,), unit variance in noise; seconds longer than the transient, so that lines show.
        sample_rate: Samples per second.
        middle: Index at which the transient is, to `REACH_SECONDS`; None: of the strain's own middle.

    Returns:
        Transient, part by part at the resolution that tells most from the noise; None where nothing stands out.
    """
    rest = np.asarray(strain, np.float64)
    middle, total, energy = len(rest) / 2 if middle is None else middle, np.zeros(len(rest)), 0.0
    for _ in range(LOOKS):
        part, more = _loudest_part(rest, sample_rate, middle)
        if part is None:
            break
        rest, total, energy = rest - part, total + part, energy + more
    return measured(total, sample_rate, np.sqrt(energy)) if energy else None


def _loudest_part(strain, sample_rate, middle):
    """Return what stands out at the resolution that tells most from the noise, and its energy; (None, 0): nothing."""
    best, most = None, 0.0
    for seconds in RESOLUTIONS_SECONDS:
        times, transform, power = _transform(strain, sample_rate, seconds)
        regions, number = scipy.ndimage.label(power > GROW_POWER, np.ones((3, 3)))
        if not number:
            continue
        peaks = np.array(scipy.ndimage.maximum_position(power, regions, np.arange(1, number + 1)))
        loud = power[peaks[:, 0], peaks[:, 1]] > SEED_POWER
        near = np.abs(times[peaks[:, 1]] - middle / sample_rate) <= REACH_SECONDS
        mask = np.isin(regions, 1 + np.flatnonzero(loud & near))
        if not np.any(mask):
            continue
        _, kept = scipy.signal.istft(transform * mask, sample_rate, window="hann", nperseg=round(seconds * sample_rate))
        kept = np.pad(kept, (0, max(0, len(strain) - len(kept))))[: len(strain)]
        energy = np.sum(kept**2) - np.mean(mask) * len(strain)
        if energy > most:
            best, most = kept, energy
    return best, most


def measured(strain: np.ndarray, sample_rate: int, snr: float | None = None) -> Transient:
    """Return the Transient that strain without noise is."""
    power = np.asarray(strain, np.float64) ** 2
    total = np.cumsum(power) / np.sum(power)
    spectrum = np.abs(np.fft.rfft(strain)) ** 2
    frequency = np.fft.rfftfreq(len(strain), 1 / sample_rate)
    first, last = np.searchsorted(total, (0.05, 0.95))
    return Transient(
        strain=np.asarray(strain, np.float64),
        snr=float(np.sqrt(np.sum(power)) if snr is None else snr),
        sample=int(np.searchsorted(total, 0.5)),
        frequency=float(spectrum @ frequency / np.sum(spectrum)),
        duration=float((last - first + 1) / sample_rate),
    )


def find_transients(strain: np.ndarray, sample_rate: int) -> np.ndarray:
    """Find where whitened strain has a pixel of excess power.

    Args:
        strain: Whitened array (samples,).
        sample_rate: Samples per second.

    Returns:
        Integer array, the samples of the loudest pixels in order of time.
    """
    found, powers = [], []
    for seconds in RESOLUTIONS_SECONDS:
        times, _, power = _transform(strain, sample_rate, seconds)
        loudest = power.max(axis=0)
        loud = loudest > SEED_POWER
        found.append(times[loud])
        powers.append(loudest[loud])
    times, power = np.concatenate(found), np.concatenate(powers)
    kept = []
    for index in np.argsort(-power, kind="stable"):
        if all(abs(times[index] - time) >= SEPARATION_SECONDS for time in kept):
            kept.append(times[index])
    samples = np.round(np.sort(kept) * sample_rate).astype(int)
    return samples[samples < len(strain)]
