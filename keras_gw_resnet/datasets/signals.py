"""Signals of random binaries, as a detector's whitened strain shows them, and how they are asked for."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import scipy.fft

from keras_gw_resnet.errors import InputError, room_flag
from keras_gw_resnet.simulation.detectors import SPEED_OF_LIGHT, antenna_pattern, arrival_delay
from keras_gw_resnet.simulation.snr import LARGEST_SNR, power_law

if TYPE_CHECKING:
    from keras_gw_resnet.simulation.bank import WaveformBank

# Arrival times are rounded to this fraction of a sample; the phase error at 500 Hz stays below 0.02 rad.
DELAY_STEPS = 64


def check_snr_range(name: str, low: float, high: float) -> None:
    """Raise InputError unless an SNR range, given by the option `name`, rises from above 0 to `LARGEST_SNR` at most."""
    if not 0 < low <= high <= LARGEST_SNR:
        raise InputError(f"{name} is {low:g} {high:g}; expected two rising numbers above 0 and up to {LARGEST_SNR:g}")


@dataclass(frozen=True, kw_only=True)
class Signals:
    """Which signals are shown, and how often.

    Attributes:
        share: Share of the examples that hold a signal, spread evenly over a batch.
        snr_range: Network optimal SNR of the signals.
        snr_power: Its density falls with this power: 0 is uniform, 4 that of sources uniform in volume.
        mass_power: Waveforms are drawn with a chance that grows with this power of their chirp mass: 0, all of the bank
            alike; 2.5 as a sensitive volume counts them.
        snr_start: SNR range at the start of a curriculum; None: none.
        curriculum_epochs: Epochs over which the SNR moves from `snr_start` to `snr_range`.
        merger_range: Coalescence time at the Earth's centre as a share of the window, uniform.
        merger_tolerance: Where the head gives a logit at each position (--options.pooling logsumexp): labels say where the
            coalescence is, within this standard deviation (s); 0: they say whether there is one.
    """

    share: float = 0.5
    snr_range: tuple[float, float] = (5.0, 20.0)
    snr_power: float = 0.0
    mass_power: float = 0.0
    snr_start: tuple[float, float] | None = None
    curriculum_epochs: int = 0
    merger_range: tuple[float, float] = (0.65, 0.85)
    merger_tolerance: float = 0.0

    def __post_init__(self):
        flag = room_flag("signals")
        if not 0 < self.share < 1:
            raise InputError(f"{flag('share')} is {self.share:g}; expected a share between 0 and 1")
        for name in ("snr_range", "snr_start"):
            check_snr_range(flag(name), *(getattr(self, name) or self.snr_range))
        for name in ("mass_power", "curriculum_epochs", "merger_tolerance"):
            if not 0 <= (value := getattr(self, name)) < float("inf"):
                raise InputError(f"{flag(name)} is {value}; expected a finite number from 0")
        low, high = self.merger_range
        if not 0 <= low <= high <= 1:
            raise InputError(
                f"{flag('merger_range')} is {low:g} {high:g}; expected a merger range of two rising shares of the window from 0 to 1"
            )
        if (self.snr_start is None) != (self.curriculum_epochs == 0):
            raise InputError(
                f"{flag('snr_start')} and {flag('curriculum_epochs')} belong together: where the SNR starts, and for how long"
            )
        for ends in filter(None, (self.snr_range, self.snr_start)):
            with np.errstate(all="ignore"):
                found = power_law(*map(float, ends), self.snr_power, np.array([0.0, 1.0]))
            if not np.allclose(found, ends, rtol=1e-3):
                raise InputError(
                    f"{flag('snr_power')} is {self.snr_power:g}: no SNR can be drawn from {ends[0]:g} to {ends[1]:g}; expected 0 to 10"
                )

    def settled(self) -> "Signals":
        """Return these signals as they are once the curriculum is over."""
        return replace(self, snr_start=None, curriculum_epochs=0)

    def labels(self, number: int) -> np.ndarray:
        """Return the labels of a batch of so many examples, float32 array (number,)."""
        return np.diff(np.ceil(np.arange(number + 1) * self.share)).astype(np.float32)

    def snr_range_at(self, index: int, steps_per_epoch: int = 1) -> tuple[float, ...]:
        """Return the SNR range of batch `index`: it moves while a curriculum lasts."""
        batches = self.curriculum_epochs * steps_per_epoch
        if self.snr_start is None or index >= batches:
            return self.snr_range
        done = index / batches
        return tuple(start + done * (end - start) for start, end in zip(self.snr_start, self.snr_range, strict=True))

    def draw_snr(self, rng: np.random.Generator, number: int, index: int, steps_per_epoch: int = 1) -> np.ndarray:
        """Draw the SNR of the signals of batch `index`, float64 array (number,)."""
        low, high = self.snr_range_at(index, steps_per_epoch)
        return power_law(low, high, self.snr_power, rng.random(number))


class SignalSource:
    """Whitened signals of random binaries, sky positions and SNR.

    Args:
        bank: WaveformBank.
        taps: For each detector the list of whitening filters, all of one length.
        detectors: Names, in column order; the bank has to carry their geometry.
        window_samples: Length of a window.
        settings: Signals.
        steps_per_epoch: Batches an epoch, for the curriculum.

    Raises:
        InputError: The bank does not carry a detector or the chirp masses that are asked for, or is empty.
    """

    def __init__(
        self,
        bank: "WaveformBank",
        taps: Sequence,
        detectors: Sequence[str],
        window_samples: int,
        settings: Signals,
        steps_per_epoch: int = 1,
    ) -> None:
        missing = [d for d in detectors if d not in bank.detectors]
        if missing:
            raise InputError(
                f"the waveform bank has no geometry of {', '.join(missing)}; it has {', '.join(bank.detectors)}"
            )
        if not len(bank):
            raise InputError("the waveform bank is empty")
        self.bank, self.detectors, self.settings = bank, detectors, settings
        self.window_samples, self.steps_per_epoch = window_samples, steps_per_epoch
        samples, self._reach = bank.hplus.shape[1], len(taps[0][0]) // 2
        self._chances = None  # all alike
        if settings.mass_power:
            if "mchirp" not in bank.parameters:
                raise InputError(
                    "the waveform bank has no chirp masses (mchirp); make it again, or use --signals.mass_power 0"
                )
            weight = (bank.parameters["mchirp"] / np.max(bank.parameters["mchirp"])) ** settings.mass_power
            self._chances = weight / weight.sum()
        # Room for the waveform, the window around it and the filter's reach, without wrapping into one another.
        self._size = scipy.fft.next_fast_len(max(samples, 2 * window_samples) + self._reach, real=True)
        self._responses = [np.stack([self._response(t) for t in own]) for own in taps]
        bins, steps = np.arange(self._size // 2 + 1), np.arange(DELAY_STEPS) / DELAY_STEPS
        self._phases = np.exp(-2j * np.pi * np.outer(steps, bins) / self._size).astype(np.complex64)

    def _response(self, taps):
        padded = np.zeros(self._size)
        padded[: self._reach], padded[-self._reach :] = taps[self._reach :], taps[: self._reach]
        return np.fft.rfft(padded).real.astype(np.float32) * 1e-21

    def draw(
        self, rng: np.random.Generator, filters: np.ndarray, index: int = 0, offsets: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Draw one signal for each row of filter indices.

        Args:
            rng: numpy Generator.
            filters: Integer array (n, detectors).
            index: Index of the batch, for the SNR curriculum.
            offsets: float64 array (n, detectors), seconds by which a detector sees the signal too late; None: none.

        Returns:
            Tuple (signal, snr, merger, waveform): whitened float32 array (n, window_samples, detectors) at the drawn
            SNR, float64 (n,), float64 (n,) share of the window, integer (n,).
        """
        n, bank, rate = len(filters), self.bank, self.bank.sample_rate
        waveform = rng.choice(len(bank), n, p=self._chances)
        longitude, polarization = rng.uniform(0, 2 * np.pi, (2, n))
        declination = np.arcsin(rng.uniform(-1, 1, n))
        snr = self.settings.draw_snr(rng, n, index, self.steps_per_epoch)
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
            if offsets is not None:
                arrival = arrival + offsets[:, column] * rate
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

    def whiten(self, strain: np.ndarray, filters: np.ndarray, column: int) -> np.ndarray:
        """Whiten windows of strain of one detector, zero beyond their ends, by the filters of that column.

        Args:
            strain: float32 array (n, window_samples) in units of 1e-21.
            filters: Integer array (n,).
            column: Index of the detector.

        Returns:
            float32 array (n, window_samples).
        """
        spectrum = scipy.fft.rfft(strain, self._size, axis=-1) * self._responses[column][filters]
        return scipy.fft.irfft(spectrum, self._size, axis=-1)[:, : self.window_samples]

    def light_travel_seconds(self) -> float:
        """Return the longest time light takes between two of the detectors."""
        places = [self.bank.detectors[name].location for name in self.detectors]
        return max(float(np.linalg.norm(a - b)) for a in places for b in places) / SPEED_OF_LIGHT
