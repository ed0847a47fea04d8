"""Training examples: a batch is a pure function of (seed, index), so it can be resumed, shared out and tested."""

from dataclasses import dataclass, replace

import numpy as np
import scipy.fft

from keras_gw_resnet.errors import InputError
from keras_gw_resnet.simulation.detectors import antenna_pattern, arrival_delay

# Arrival times are rounded to this fraction of a sample; the phase error at 500 Hz stays below 0.02 rad.
DELAY_STEPS = 64


@dataclass(frozen=True)
class InjectionSettings:
    """How signals are put into noise.

    Attributes:
        snr_range: Network optimal SNR, uniform.
        merger_range: Coalescence time at the Earth's centre as a share of the window, uniform.
        lone_signal_share: Share of the negatives that hold a signal in one detector alone, where there are several.
    """

    snr_range: tuple[float, float] = (5.0, 20.0)
    merger_range: tuple[float, float] = (0.65, 0.85)
    lone_signal_share: float = 0.2


@dataclass(frozen=True)
class Examples:
    """A batch with what is known about it.

    Attributes:
        strain: float32 array (n, samples, detectors).
        label: float32 array (n, 1), 1 where there is a signal.
        snr: float64 array (n,), network optimal SNR; 0 without a signal.
        merger: float64 array (n,), coalescence time as a share of the window; NaN without a signal.
        waveform: Integer array (n,), index into the bank; -1 without a signal.
    """

    strain: np.ndarray
    label: np.ndarray
    snr: np.ndarray
    merger: np.ndarray
    waveform: np.ndarray


class SignalSource:
    """Whitened signals of random binaries, sky positions and SNR.

    Args:
        bank: WaveformBank.
        taps: For each detector the list of whitening filters, all of one length.
        detectors: Names, in column order; the bank has to carry their geometry.
        window_samples: Length of a window.
        settings: InjectionSettings.

    Raises:
        InputError: The bank does not carry a detector, is empty, or the merger range does not fit.
    """

    def __init__(self, bank, taps, detectors, window_samples, settings):
        missing = [d for d in detectors if d not in bank.detectors]
        if missing:
            raise InputError(
                f"the waveform bank has no geometry of {', '.join(missing)}; it has {', '.join(bank.detectors)}"
            )
        if not len(bank):
            raise InputError("the waveform bank is empty")
        low, high = settings.merger_range
        if not 0 <= low <= high <= 1:
            raise InputError(f"merger range {low:g}-{high:g}; expected two rising shares of the window from 0 to 1")
        self.bank, self.detectors, self.settings = bank, detectors, settings
        self.window_samples = window_samples
        samples, self._reach = bank.hplus.shape[1], len(taps[0][0]) // 2
        # Room for the waveform, the window around it and the filter's reach, without wrapping into one another.
        self._size = scipy.fft.next_fast_len(max(samples, 2 * window_samples) + self._reach, real=True)
        self._responses = [np.stack([self._response(t) for t in own]) for own in taps]
        bins, steps = np.arange(self._size // 2 + 1), np.arange(DELAY_STEPS) / DELAY_STEPS
        self._phases = np.exp(-2j * np.pi * np.outer(steps, bins) / self._size).astype(np.complex64)

    def _response(self, taps):
        padded = np.zeros(self._size)
        padded[: self._reach], padded[-self._reach :] = taps[self._reach :], taps[: self._reach]
        return np.fft.rfft(padded).real.astype(np.float32) * 1e-21

    def draw(self, rng, filters):
        """Draw one signal for each row of filter indices.

        Args:
            rng: numpy Generator.
            filters: Integer array (n, detectors).

        Returns:
            Tuple (signal, snr, merger, waveform): whitened float32 array (n, window_samples, detectors) at the drawn
            SNR, float64 (n,), float64 (n,) share of the window, integer (n,).
        """
        n, bank, rate = len(filters), self.bank, self.bank.sample_rate
        waveform = rng.integers(len(bank), size=n)
        longitude, polarization = rng.uniform(0, 2 * np.pi, (2, n))
        declination = np.arcsin(rng.uniform(-1, 1, n))
        snr = rng.uniform(*self.settings.snr_range, n)
        merger = rng.uniform(*self.settings.merger_range, n)
        signal = np.empty((n, self.window_samples, len(self.detectors)), np.float32)
        power = np.zeros(n)
        plus, cross = bank.hplus[waveform] * np.float32(1e21), bank.hcross[waveform] * np.float32(1e21)
        for column, name in enumerate(self.detectors):
            geometry = bank.detectors[name]
            response = [
                f.astype(np.float32)[:, None] for f in antenna_pattern(geometry, longitude, declination, polarization)
            ]
            arrival = merger * self.window_samples + arrival_delay(geometry, longitude, declination) * rate
            whole, step = np.divmod(np.round(arrival * DELAY_STEPS).astype(int), DELAY_STEPS)
            spectrum = scipy.fft.rfft(response[0] * plus + response[1] * cross, self._size, axis=-1)
            spectrum *= self._responses[column][filters[:, column]]
            spectrum *= self._phases[step]
            whitened = scipy.fft.irfft(spectrum, self._size, axis=-1, overwrite_x=True)
            power += np.einsum("ij,ij->i", whitened, whitened, dtype=np.float64)
            take = (bank.merger_sample - whole[:, None] + np.arange(self.window_samples)) % self._size
            signal[:, :, column] = np.take_along_axis(whitened, take, axis=-1)
        signal *= (snr / np.sqrt(power)).astype(np.float32)[:, None, None]
        return signal, snr, merger, waveform


class InjectionBatches:
    """Endless batches of noise windows, every second one with a signal.

    Args:
        bank: WaveformBank.
        noise: FileNoise or GaussianNoise.
        batch_size: Examples a batch.
        seed: Seed; together with the index it determines a batch.
        settings: InjectionSettings.
    """

    def __init__(self, bank, noise, *, batch_size, seed, settings=None):
        settings = settings or InjectionSettings()
        if len(noise.detectors) == 1:  # a signal in the only detector is a signal
            settings = replace(settings, lone_signal_share=0.0)
        self.noise, self.batch_size, self.seed, self.settings = noise, batch_size, seed, settings
        self.signals = SignalSource(bank, noise.taps, noise.detectors, noise.window_samples, settings)

    def examples(self, index):
        """Return batch `index` with all that is known about it, an Examples."""
        rng = np.random.default_rng((self.seed, index))
        strain, filters = self.noise.draw(rng, self.batch_size)
        label = (np.arange(self.batch_size) % 2 == 0).astype(np.float32)
        with_signal = np.flatnonzero(label)
        signal, snr, merger, waveform = self.signals.draw(rng, filters[with_signal])
        strain[with_signal] += signal
        lone = np.flatnonzero((label == 0) & (rng.random(self.batch_size) < self.settings.lone_signal_share))
        if len(lone):
            column = rng.integers(len(self.noise.detectors), size=len(lone))
            false_signal = self.signals.draw(rng, filters[lone])[0]
            strain[lone, :, column] += false_signal[np.arange(len(lone)), :, column]
        every = {"snr": np.zeros(self.batch_size), "merger": np.full(self.batch_size, np.nan)}
        every["waveform"] = np.full(self.batch_size, -1)
        for name, values in (("snr", snr), ("merger", merger), ("waveform", waveform)):
            every[name][with_signal] = values
        return Examples(strain, label[:, None], **every)

    def __getitem__(self, index):
        """Return batch `index` as (strain, label)."""
        examples = self.examples(index)
        return examples.strain, examples.label
