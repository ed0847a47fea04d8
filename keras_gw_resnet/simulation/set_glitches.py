"""Glitches of a bank in the Gaussian noise of a test set."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_gw_resnet.files import new_hdf5, written_aside
from keras_gw_resnet.simulation.glitch_bank import place
from keras_gw_resnet.simulation.noise import NOISE_LOW_FREQUENCY
from keras_gw_resnet.simulation.psds import load_psd

if TYPE_CHECKING:
    from keras_gw_resnet.simulation.glitch_bank import GlitchBank, SnrLaw

# Whitened glitches have nothing below this frequency, and colouring would blow up the rest of it.
LOWEST_HZ = 20.0


class SetGlitches:
    """Glitches at a rate for each detector, as they are put into the noise of a set.

    Args:
        bank: `glitch_bank.GlitchBank` without cuts that are whole.
        rates: Dictionary detector -> glitches a minute.
        sample_rate: Samples per second.
        snr: `glitch_bank.SnrLaw`, or None, see `GlitchBank.draw`.

    Attributes:
        rates: As given.
        fingerprint: Of the bank.
        made: List of (detector, GPS time, SNR, label) of the glitches added.
    """

    def __init__(
        self, bank: GlitchBank, rates: Mapping[str, float], sample_rate: int, snr: SnrLaw | None = None
    ) -> None:
        self._bank, self.rates, self._rate, self._snr = bank, dict(rates), sample_rate, snr
        self.fingerprint, self.made = bank.fingerprint(), []

    def __len__(self) -> int:
        return len(self.made)

    def add(self, noise: np.ndarray, gps_start: float, detector: str, psd: Path | str, seed: int) -> None:
        """Add glitches to noise in place, at random times.

        Args:
            noise: float64 array (samples,).
            gps_start: GPS time of its first sample.
            detector: Name.
            psd: Name or file of its spectrum, with which whitened glitches are coloured.
            seed: Everything depends on it.
        """
        rng, seconds = np.random.default_rng((seed, 1)), len(noise) / self._rate
        number = rng.poisson(self.rates.get(detector, 0) * seconds / 60)
        if not number:
            return
        samples = 2 * self._bank.strain.shape[1]
        times = np.sort(rng.uniform(0, len(noise), number))
        middle = np.full(number, samples // 2)
        glitches, snr, index = self._bank.draw(rng, number, samples, detector, middle=middle, snr=self._snr)
        spectrum = np.fft.rfft(glitches.astype(np.float64), axis=-1)
        if self._bank.whitened:
            spectrum *= self._amplitude(psd, samples)
        for time, strain in zip(times, np.fft.irfft(spectrum, samples, axis=-1), strict=True):
            place(noise, strain, round(time) - samples // 2)
        for row in zip(times / self._rate + gps_start, snr, self._bank.names(index), strict=True):
            self.made.append((detector, *row))

    def _amplitude(self, psd, samples):
        """Return what undoes whitening: the amplitude of noise of this spectrum against that of whitened noise."""
        frequency = np.fft.rfftfreq(samples, 1 / self._rate)
        density = load_psd(psd, self._rate / samples, self._rate / 2, NOISE_LOW_FREQUENCY)
        return np.where(frequency >= LOWEST_HZ, np.sqrt(density * self._rate / 2), 0)

    def write(self, path: Path | str) -> None:
        """Write time, snr, label and detector of every glitch as 1-D datasets."""
        made = sorted(self.made, key=lambda row: row[1])
        with written_aside(path) as aside, new_hdf5(aside) as file:
            file.attrs["glitch_bank"] = self.fingerprint
            file["detector"], file["label"] = [row[0] for row in made], [str(row[3]) for row in made]
            file["time"], file["snr"] = np.array([row[1] for row in made]), np.array([row[2] for row in made])
