"""Resampling, noise spectrum and whitening: one code path for training and search.

The whitening filter is a zero-phase FIR filter: the inverse amplitude spectrum of the median-Welch PSD, cut to `filter_seconds` by a Hann taper
(inverse spectrum truncation, arXiv gr-qc/0509116). Welch segments are as long; shorter ones would smear the spectral lines of real strain.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import scipy.signal

from keras_gw_resnet.errors import InputError
from keras_gw_resnet.strain.objects import are_series, filled, hertz, plain, simultaneous
from keras_gw_resnet.strain.quality import valid_runs, valid_samples

# Fewer periodograms scatter so much that noise whitened with their median looks like signals.
LEAST_PSD_SECONDS = 16.0
# Up to here strain beyond a gap helps more by its number than it harms by being other noise,
POOLED_PSD_SECONDS = 64.0
# unless its power is another by this factor in some octave.
ALIKE = 1.5


@dataclass(frozen=True)
class Whitening:
    """Settings of the conditioning; they travel with every trained network.

    Attributes:
        sample_rate: Samples per second of the whitened strain.
        low_frequency: Content below this frequency (Hz) is removed.
        filter_seconds: Length of the whitening filter and of the Welch segments.
        psd_seconds: Strain from which one noise spectrum is estimated, at most.
        gate: Strain around whitened samples beyond so many standard deviations is tapered out, see `strain.gating`; 0: none.
    """

    sample_rate: int = 2048
    low_frequency: float = 20.0
    filter_seconds: float = 4.0
    psd_seconds: float = 512.0
    gate: float = 50.0

    @property
    def filter_samples(self) -> int:
        """Length of the whitening filter in samples (even)."""
        return 2 * round(self.filter_seconds * self.sample_rate / 2)

    @property
    def edge_samples(self) -> int:
        """Samples lost at either end of whitened strain."""
        return self.filter_samples // 2

    def to_dict(self) -> dict:
        """Return the settings as a plain dictionary."""
        return asdict(self)


def resample(strain: np.ndarray, sample_rate: float, target_rate: float) -> np.ndarray:
    """Resample strain with a linear-phase anti-alias filter.

    Args:
        strain: float64 array (..., samples).
        sample_rate: Its sample rate in Hz, at least `target_rate`.
        target_rate: Wanted sample rate in Hz.

    Returns:
        float64 array (..., samples * target_rate / sample_rate).

    Raises:
        InputError: The strain is sampled more slowly than wanted.
    """
    up, down = round(target_rate), round(sample_rate)
    if up == down:
        return strain
    if down < up:
        raise InputError(f"strain is sampled at {down} Hz; at least {up} Hz are needed")
    common = math.gcd(up, down)
    return scipy.signal.resample_poly(strain, up // common, down // common, axis=-1)


class NoiseSpectra:
    """Periodograms of the valid strain of one detector, from which the noise PSD at any time is estimated.

    Where a piece between gaps is shorter than `POOLED_PSD_SECONDS`, the strain beyond the gaps counts too, unless the
    piece is long enough alone (`LEAST_PSD_SECONDS`) and its noise is another.

    Args:
        strain: float64 array (samples,) at `settings.sample_rate`.
        settings: Whitening; periodograms are as long as its filter, Hann-windowed, overlapping by half.
        runs: Half-open index ranges of valid strain; None: all of it.
    """

    def __init__(self, strain: np.ndarray, settings: Whitening, runs: Sequence[tuple[int, int]] | None = None) -> None:
        self.settings, segment = settings, settings.filter_samples
        spectra, centres, owners = [np.empty((0, segment // 2 + 1))], [np.empty(0)], [np.empty(0, int)]
        self._runs = [(0, len(strain))] if runs is None else runs
        for number, (first, last) in enumerate(self._runs):
            if last - first >= segment:
                piece = scipy.signal.spectrogram(
                    strain[first:last],
                    settings.sample_rate,
                    window="hann",
                    nperseg=segment,
                    noverlap=segment // 2,
                    detrend="constant",
                )[2]
                spectra.append(piece.T)
                centres.append(first + segment / 2 * np.arange(1, piece.shape[1] + 1))
                owners.append(np.full(piece.shape[1], number))
        self._spectra, self._centres, self._owners = map(np.concatenate, (spectra, centres, owners))

    @property
    def enough(self) -> bool:
        """Whether there are periodograms for `LEAST_PSD_SECONDS` of strain."""
        return len(self._centres) >= self._count(LEAST_PSD_SECONDS)

    def _count(self, seconds):
        return max(1, int(2 * seconds / self.settings.filter_seconds) - 1)

    def near(self, sample: float) -> np.ndarray:
        """Estimate the PSD from up to `settings.psd_seconds` of the strain nearest to a sample.

        The median of the periodograms, corrected for its bias as in the FINDCHIRP algorithm (arXiv gr-qc/0509116).

        Args:
            sample: Index into the strain.

        Returns:
            One-sided PSD, float64 array (filter_samples / 2 + 1,), strain^2 per Hz.

        Raises:
            InputError: There is less than `LEAST_PSD_SECONDS` of strain.
        """
        if not self.enough:
            raise InputError(
                f"too short for a noise spectrum; at least {LEAST_PSD_SECONDS:g} s of valid strain are needed"
            )
        own = [number for number, (first, last) in enumerate(self._runs) if first <= sample < last]
        beyond = ~np.isin(self._owners, own)
        count = max(len(beyond) - np.count_nonzero(beyond), self._count(POOLED_PSD_SECONDS))
        order = np.lexsort((np.abs(self._centres - sample), beyond))
        order = order[: min(count, self._count(self.settings.psd_seconds))]
        alone = order[~beyond[order]]
        psd = self._median(order)
        if self._count(LEAST_PSD_SECONDS) <= len(alone) < len(order):
            own_psd = self._median(alone)
            return psd if self._alike(psd, own_psd) else own_psd
        return psd

    def _median(self, chosen):
        terms = np.arange(1, (len(chosen) - 1) // 2 + 1)
        bias = 1 + np.sum(1 / (2 * terms + 1) - 1 / (2 * terms))
        return np.median(self._spectra[chosen], axis=0) / bias

    def _alike(self, one, other):
        """Whether two spectra have the same power, to a factor of `ALIKE`, in every octave; lines do not count."""
        edges = self.settings.low_frequency * 2.0 ** np.arange(12)
        edges = edges[edges < self.settings.sample_rate / 2] * self.settings.filter_seconds
        with np.errstate(divide="ignore", invalid="ignore"):
            octaves = np.split(one / other, edges.astype(int))[1:]
        return all(1 / ALIKE < np.median(ratio) < ALIKE for ratio in octaves)


def whitening_filter(psd: np.ndarray, settings: Whitening) -> np.ndarray:
    """Turn a noise PSD into whitening filter taps.

    Scaled so that stationary noise of this PSD comes out with unit variance per sample over the full band, and
    so that the sum of squares of a whitened signal is its optimal SNR squared.

    Args:
        psd: One-sided PSD at the resolution 1 / `settings.filter_seconds`, float64 array (filter_samples / 2 + 1,).
        settings: Whitening.

    Returns:
        float64 array (filter_samples,), symmetric about index filter_samples / 2.

    Raises:
        InputError: The PSD is zero or not finite somewhere in the band.
    """
    frequency = np.arange(len(psd)) / settings.filter_seconds
    band = (frequency >= settings.low_frequency) & (frequency < settings.sample_rate / 2)
    if len(psd) != settings.filter_samples // 2 + 1:
        raise InputError(f"PSD has {len(psd)} bins; expected {settings.filter_samples // 2 + 1}")
    if not np.all(np.isfinite(psd[band])) or np.any(psd[band] <= 0):
        raise InputError(
            f"the noise spectrum is zero or not finite between {settings.low_frequency:g} and "
            f"{settings.sample_rate / 2:g} Hz: the strain is constant or does not cover the band"
        )
    inverse = np.zeros(len(psd))
    inverse[band] = 1 / np.sqrt(psd[band] * settings.sample_rate / 2)
    return np.fft.fftshift(np.fft.irfft(inverse)) * scipy.signal.get_window("hann", settings.filter_samples)


def response(taps: np.ndarray) -> np.ndarray:
    """Return the real frequency response of symmetric whitening taps, float64 array (len(taps) / 2 + 1,)."""
    return np.fft.rfft(np.fft.ifftshift(taps)).real


def psd_blocks(samples: int, settings: Whitening) -> list[tuple[int, int]]:
    """Divide what can be whitened of a segment, [edge, samples - edge), into blocks that share one noise spectrum.

    Args:
        samples: Length of the segment in samples.
        settings: Whitening.

    Returns:
        List of half-open ranges (start, stop), of `settings.psd_seconds` at most; empty for a segment too short.
    """
    edge, longest = settings.edge_samples, round(settings.psd_seconds * settings.sample_rate)
    if samples <= 2 * edge:
        return []
    bounds = np.linspace(edge, samples - edge, -(-(samples - 2 * edge) // longest) + 1).astype(int).tolist()
    return list(itertools.pairwise(bounds))


def whiten(
    strain: np.ndarray, settings: Whitening, spectra: NoiseSpectra | None = None, offset: int = 0
) -> tuple[np.ndarray, list]:
    """Whiten one segment.

    Args:
        strain: float64 array (samples,) at `settings.sample_rate`.
        settings: Whitening.
        spectra: NoiseSpectra of the strain around; None: of the segment itself.
        offset: Index of the segment's first sample in what `spectra` was made of.

    Returns:
        Tuple (whitened, taps): float64 array (samples - 2 * edge_samples,), whose first sample belongs to
        `strain[edge_samples]`; and a list of (start, taps) for the blocks of the whitened array.

    Raises:
        InputError: The segment is too short or constant.
    """
    spectra = NoiseSpectra(strain, settings) if spectra is None else spectra
    blocks = psd_blocks(len(strain), settings)
    if not blocks:
        raise InputError(
            f"{len(strain) / settings.sample_rate:g} s of strain are too short to whiten; "
            f"more than {settings.filter_seconds:g} s are needed"
        )
    edge, whitened, filters = settings.edge_samples, [], []
    for start, stop in blocks:
        taps = whitening_filter(spectra.near(offset + (start + stop) / 2), settings)
        # The taps are centred on index edge: output i of 'valid' belongs to input i + edge - 1.
        whitened.append(scipy.signal.oaconvolve(strain[start - edge + 1 : stop + edge], taps, mode="valid"))
        filters.append((start - edge, taps))
    return np.concatenate(whitened), filters


def preprocess_input(
    strain: Any, sample_rate: Any = None, settings: Whitening | None = None, *, gps_start: Any = None
) -> np.ndarray:
    """Turn raw strain into what the networks take: resampled and whitened with its own noise spectrum.

    Args:
        strain: Array (samples, detectors) of simultaneous strain, dimensionless and finite, 16 s at least. Or a dictionary from detector to
            gwpy or PyCBC TimeSeries or arrays (samples,) that begin and end together, or a list of series whose names say their
            detectors; columns are then in the order of `layouts.DETECTORS`: H1, L1, V1, K1.
        sample_rate, gps_start: Of arrays, samples per second, and GPS seconds of the first, which what is returned does not depend on.
        settings: Whitening; None: the defaults, which the cards of saved networks state too.

    Returns:
        float32 array (samples', detectors) at `settings.sample_rate`, unit variance in noise; half a filter (2 s) is lost at either end.

    Raises:
        InputError: Strain of another shape or unit, with values that are masked or not finite, dead or stuck for `quality.DEAD_SECONDS`,
            absurd, too short or sampled too slowly, or series of other times.
    """
    settings = settings or Whitening()
    series = simultaneous(strain, sample_rate, gps_start) if are_series(strain) else _columns_of(strain, sample_rate)
    for detector, column, rate in series:
        if not np.all(np.isfinite(column)):
            raise InputError(f"strain of {detector} has values that are not finite; cut the gaps out first")
        for first, last in valid_runs(~valid_samples(column, rate)):
            raise InputError(
                f"strain of {detector} is no strain from {first / rate:g} to {last / rate:g} s (one "
                "value repeated, or values beyond all strain: constant, dead or damaged); cut that out first"
            )
    resampled = [resample(column, rate, settings.sample_rate) for _, column, rate in series]
    if len({len(column) for column in resampled}) > 1:
        raise InputError("series of other lengths; cut them to the seconds that all have")
    return np.stack([whiten(column, settings)[0] for column in resampled], axis=-1).astype(np.float32)


def _columns_of(strain, sample_rate):
    """Return (what it is called, strain, sample rate) of the columns of an array (samples, detectors)."""
    values = plain(strain)
    if values.ndim != 2 or not values.shape[1]:
        raise InputError(
            f"strain of shape {values.shape}; expected (samples, detectors), one stretch of strain at a time, such as strain[0]; "
            "or a dictionary of series, {'H1': ..., 'L1': ...}"
        )
    if values.shape[0] < values.shape[1]:
        raise InputError(
            f"strain of shape {values.shape}: the axes look exchanged; expected (samples, detectors), give strain.T"
        )
    return [(f"detector {number}", column, hertz(sample_rate)) for number, column in enumerate(filled(values).T)]
