"""Gaussian noise for training examples, drawn afresh and whitened with estimated spectra as real noise is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import scipy.fft

from keras_gw_resnet.simulation.psds import load_psd
from keras_gw_resnet.strain.conditioning import NoiseSpectra, response, whitening_filter

if TYPE_CHECKING:
    from keras_gw_resnet.strain.conditioning import Whitening

# Gaussian noise is whitened as real noise is, with estimated spectra: so many estimates of each.
SCATTER_SEED, ESTIMATES = 1_000_037, 4


class GaussianNoise:
    """Endless simulated noise: whitened, with no content below the whitening's low frequency.

    Args:
        taps: For each detector the list of whitening filters with which signals are whitened.
        detectors: Names.
        window_samples: Length of a window.
        settings: Whitening.
        psds: For each detector the true noise spectra that belong to `taps`, which may come from an estimate with its
            scatter: the noise has the spectrum that whitening with these taps leaves. None: the taps are taken as true.

    Attributes:
        intervals: Empty; this noise has no place in time.
    """

    has_loud_places = False

    def __init__(
        self,
        taps: Sequence,
        detectors: Sequence[str],
        window_samples: int,
        settings: Whitening,
        psds: Sequence | None = None,
    ) -> None:
        self.detectors = tuple(detectors)
        self.window_samples = window_samples
        self.intervals = []
        self.taps = taps
        # Drawn twice as long as needed and cut: the inverse transform makes the noise periodic.
        frequency = np.fft.rfftfreq(2 * window_samples, 1 / settings.sample_rate)
        band = np.where(frequency >= settings.low_frequency, np.sqrt(window_samples), 0).astype(np.float32)
        if psds is None:
            self._shapes = [np.tile(band, (len(own), 1)) for own in taps]
        else:
            fine = np.arange(settings.filter_samples // 2 + 1) / settings.filter_seconds
            self._shapes = [
                np.stack(
                    [
                        np.sqrt(window_samples)
                        * np.interp(frequency, fine, response(t) * np.sqrt(psd * settings.sample_rate / 2))
                        for t, psd in zip(own, own_psds, strict=True)
                    ]
                ).astype(np.float32)
                for own, own_psds in zip(taps, psds, strict=True)
            ]

    def draw(self, rng: np.random.Generator, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Draw windows, each for a random PSD; see `FileNoise.draw`."""
        filters = np.stack([rng.integers(len(own), size=number) for own in self.taps], axis=-1)
        shape = (number, len(self.detectors), self._shapes[0].shape[1], 2)
        spectrum = rng.standard_normal(shape, np.float32).view(np.complex64)[..., 0]
        for column, own in enumerate(self._shapes):
            spectrum[:, column] *= own[filters[:, column]]
        noise = scipy.fft.irfft(spectrum, axis=-1)[..., : self.window_samples]
        return np.ascontiguousarray(noise.transpose(0, 2, 1), np.float32), filters

    def draw_loud(self, rng: np.random.Generator, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Draw windows; Gaussian noise has no loud places."""
        return self.draw(rng, number)


def gaussian_noise(
    psds_by_detector: Mapping[str, Sequence[str]], window_samples: int, whitening: Whitening
) -> GaussianNoise:
    """Return GaussianNoise of these spectra, whitened as real noise is, with estimates of them.

    Args:
        psds_by_detector: Dictionary detector -> list of names or files, as from `simulation.sets.psds_of`.
        window_samples: Length of a window.
        whitening: Whitening.

    Raises:
        InputError: A spectrum that cannot be used.
    """
    rng, psds, taps = np.random.default_rng(SCATTER_SEED), [], []
    for sources in psds_by_detector.values():
        loaded = [load_psd(source, 1 / whitening.filter_seconds, whitening.sample_rate / 2) for source in sources]
        psds.append([psd for psd in loaded for _ in range(ESTIMATES)])
        taps.append([whitening_filter(psd * estimation_scatter(rng, whitening), whitening) for psd in psds[-1]])
    return GaussianNoise(taps, tuple(psds_by_detector), window_samples, whitening, psds)


def estimation_scatter(rng: np.random.Generator, whitening: Whitening) -> np.ndarray:
    """Draw the ratio of an estimated to the true noise spectrum, array (filter_samples / 2 + 1,)."""
    white = rng.standard_normal(round(whitening.psd_seconds * whitening.sample_rate))
    return NoiseSpectra(white, whitening).near(len(white) / 2) * whitening.sample_rate / 2
