"""Training examples: a batch is a pure function of (seed, index), so it can be resumed, shared out and tested."""

from dataclasses import dataclass, fields, replace

import numpy as np
import scipy.fft

from keras_gw_resnet.errors import InputError, flag
from keras_gw_resnet.simulation.detectors import SPEED_OF_LIGHT, antenna_pattern, arrival_delay
from keras_gw_resnet.simulation.glitches import draw_glitches

# Arrival times are rounded to this fraction of a sample; the phase error at 500 Hz stays below 0.02 rad.
DELAY_STEPS = 64
# Examples that are made at once where a batch is a whole number of such blocks.
BLOCK = 32


# What an example may be; the first is the only one labelled 1.
KINDS = ("signal", "noise", "lone signal", "glitch", "inconsistent signal", "loud noise", "hard noise")
SHARES = ("lone_signal_share", "glitch_share", "inconsistent_share", "loud_share", "hard_share")
GLITCH_SNR = (5.0, 60.0)
LARGEST_SNR = 1000.0
# An inconsistent signal arrives later or earlier in one detector than its distance from the others can explain.
LONGEST_MISMATCH_SECONDS = 0.1


@dataclass(frozen=True, kw_only=True)
class InjectionSettings:
    """How signals are put into noise, and what the negatives hold.

    Attributes:
        signal_share: Share of the examples that hold a signal, spread evenly over a batch.
        snr_range: Network optimal SNR.
        snr_power: Its density falls with this power: 0 is uniform, 4 that of sources uniform in volume.
        mass_power: Waveforms are drawn with a chance that grows with this power of their chirp mass: 0, all alike; 2.5 as a
            sensitive volume counts them.
        snr_start: Range at the first batch; from there it moves linearly to `snr_range`. None: no curriculum.
        snr_start_batches: Over how many batches it moves.
        merger_range: Coalescence time at the Earth's centre as a share of the window, uniform.
        lone_signal_share: Share of the negatives that hold a signal in one detector alone, where there are several.
        glitch_share: Share of the negatives that hold a simulated glitch in one detector.
        inconsistent_share: Share of the negatives that hold a signal whose arrival times differ by more than the
            light travel time, where there are several detectors.
        loud_share: Share of the negatives that show the loudest places of the noise files.
        hard_share: Share of the negatives that show noise which the network in training takes for signals the most, as
            soon as there is some.
    """

    signal_share: float = 0.5
    snr_range: tuple[float, float] = (5.0, 20.0)
    snr_power: float = 0.0
    mass_power: float = 0.0
    snr_start: tuple[float, float] | None = None
    snr_start_batches: int = 0
    merger_range: tuple[float, float] = (0.65, 0.85)
    lone_signal_share: float = 0.2
    glitch_share: float = 0.0
    inconsistent_share: float = 0.0
    loud_share: float = 0.0
    hard_share: float = 0.0

    def __post_init__(self):
        shares = dict(zip(SHARES, self.shares(), strict=True))
        for name, share in shares.items():
            if not 0 <= share <= 1:
                raise InputError(f"{flag(name)} is {share:g}; expected a share from 0 to 1")
        if sum(shares.values()) > 1:
            given = ", ".join(f"{flag(name)} {share:g}" for name, share in shares.items())
            raise InputError(f"{given}; expected shares that sum to 1 at most")
        for name in ("snr_range", "snr_start"):
            low, high = getattr(self, name) or self.snr_range
            if not 0 < low <= high <= LARGEST_SNR:
                raise InputError(
                    f"{flag(name)} is {low:g} {high:g}; expected two rising numbers above 0 and up to {LARGEST_SNR:g}"
                )

    def shares(self):
        """Return the shares of the negatives in the order of `KINDS`, pure noise left out."""
        return tuple(getattr(self, name) for name in SHARES)

    def for_one_detector(self):
        """Return the settings without what needs several detectors: a signal in the only one is a signal."""
        return replace(self, lone_signal_share=0.0, inconsistent_share=0.0)

    def labels(self, number):
        """Return the labels of a batch of so many examples, float32 array (number,)."""
        return np.diff(np.ceil(np.arange(number + 1) * self.signal_share)).astype(np.float32)

    def snr_range_at(self, index):
        """Return the SNR range of batch `index`: it moves while a curriculum lasts."""
        if self.snr_start is None or index >= self.snr_start_batches:
            return self.snr_range
        done = index / self.snr_start_batches
        return tuple(start + done * (end - start) for start, end in zip(self.snr_start, self.snr_range, strict=True))

    def draw_snr(self, rng, number, index):
        """Draw the SNR of the signals of batch `index`, float64 array (number,)."""
        low, high = self.snr_range_at(index)
        share = rng.random(number)
        if self.snr_power == 1:
            return low * (high / low) ** share
        power = 1 - self.snr_power
        return (low**power + share * (high**power - low**power)) ** (1 / power)


@dataclass(frozen=True)
class Examples:
    """A batch with what is known about it.

    Attributes:
        strain: float32 array (n, samples, detectors).
        label: float32 array (n, 1), 1 where there is a signal.
        snr: float64 array (n,), optimal SNR of what was added, negatives included; 0 for nothing, NaN: not known.
        merger: float64 array (n,), coalescence time as a share of the window; NaN for negatives.
        waveform: Integer array (n,), index into the bank, negatives included; -1 for none.
        kind: Integer array (n,), index into `KINDS`; -1: not known.
    """

    strain: np.ndarray
    label: np.ndarray
    snr: np.ndarray
    merger: np.ndarray
    waveform: np.ndarray
    kind: np.ndarray


class SignalSource:
    """Whitened signals of random binaries, sky positions and SNR.

    Args:
        bank: WaveformBank.
        taps: For each detector the list of whitening filters, all of one length.
        detectors: Names, in column order; the bank has to carry their geometry.
        window_samples: Length of a window.
        settings: InjectionSettings.

    Raises:
        InputError: The bank does not carry a detector or the chirp masses that are asked for, is empty, or the merger
            range does not fit.
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
        self._chances = None  # all alike
        if settings.mass_power:
            if "mchirp" not in bank.parameters:
                raise InputError("the waveform bank has no chirp masses (mchirp); make it again, or use --mass-power 0")
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

    def draw(self, rng, filters, index=0, offsets=None):
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
        snr = self.settings.draw_snr(rng, n, index)
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

    def whiten(self, strain, filters, column):
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

    def light_travel_seconds(self):
        """Return the longest time light takes between two of the detectors."""
        places = [self.bank.detectors[name].location for name in self.detectors]
        return max(float(np.linalg.norm(a - b)) for a in places for b in places) / SPEED_OF_LIGHT


class InjectionBatches:
    """Endless batches of noise windows, some of them with a signal.

    Args:
        bank: WaveformBank.
        noise: FileNoise, GaussianNoise or MixedNoise.
        batch_size: Examples a batch.
        seed: Seed; together with the index it determines a batch.
        settings: InjectionSettings.
        hard: HardNoise; None: there is none, and pure noise in its place.

    Attributes:
        settings: InjectionSettings without the shares that this noise cannot give.
    """

    def __init__(self, bank, noise, *, batch_size, seed, settings=None, hard=None):
        settings = settings or InjectionSettings()
        if settings.loud_share and not noise.has_loud_places:
            settings = replace(settings, loud_share=0.0)
        self.settings = settings if len(noise.detectors) > 1 else settings.for_one_detector()
        self.noise, self.batch_size, self.seed, self.hard = noise, batch_size, seed, hard
        self.signals = SignalSource(bank, noise.taps, noise.detectors, noise.window_samples, settings)
        self._travel = self.signals.light_travel_seconds()

        # A batch is made in blocks, so that each of several processes makes those alone that it feeds.
        self._block = BLOCK if batch_size % BLOCK == 0 else batch_size

    def examples(self, index, first=0, last=None):
        """Return examples [first, last) of batch `index`, None: all, with all that is known about them, an Examples."""
        last = self.batch_size if last is None else last
        begin = first // self._block
        blocks = [self._examples(index, number) for number in range(begin, -(-last // self._block))]
        rows = slice(first - begin * self._block, last - begin * self._block)
        every = [np.concatenate([getattr(b, field.name) for b in blocks])[rows] for field in fields(Examples)]
        return Examples(*every)

    def _examples(self, index, block):
        """Make one block of a batch."""
        number = self._block
        rng = np.random.default_rng((self.seed, index, block))
        strain, filters = self.noise.draw(rng, number)
        label = self.settings.labels(self.batch_size)[block * number : (block + 1) * number]
        with_signal = np.flatnonzero(label)
        every = {"snr": np.zeros(number), "merger": np.full(number, np.nan)}
        every["waveform"] = np.full(number, -1)
        if len(with_signal):
            signal, *known = self.signals.draw(rng, filters[with_signal], index)
            strain[with_signal] += signal
            for name, values in zip(every, known, strict=True):
                every[name][with_signal] = values
        # Each share is an interval of [0, 1); what lies beyond all of them stays pure noise.
        kind = 2 + np.searchsorted(np.cumsum(self.settings.shares()), rng.random(number), side="right")
        kind[kind == len(KINDS)] = KINDS.index("noise")
        if self.hard is None or not self.hard.ready(index):
            kind[kind == KINDS.index("hard noise")] = KINDS.index("noise")
        kind[with_signal] = KINDS.index("signal")
        for name, add in self._negatives().items():
            rows = np.flatnonzero(kind == KINDS.index(name))
            if len(rows):
                every["snr"][rows], every["waveform"][rows] = add(rng, strain, filters, rows, index)
        return Examples(strain, label[:, None], kind=kind, **every)

    def _negatives(self):
        return {
            "lone signal": self._add_lone_signal,
            "glitch": self._add_glitch,
            "inconsistent signal": self._add_inconsistent,
            "loud noise": self._show_loud,
            "hard noise": self._show_hard,
        }

    def _add_lone_signal(self, rng, strain, filters, rows, index):
        column = rng.integers(len(self.noise.detectors), size=len(rows))
        signal, _, _, waveform = self.signals.draw(rng, filters[rows], index)
        alone = signal[np.arange(len(rows)), :, column]
        strain[rows, :, column] += alone
        return np.linalg.norm(alone, axis=1), waveform

    def _add_glitch(self, rng, strain, filters, rows, index):
        glitches, _ = draw_glitches(rng, len(rows), self.noise.window_samples, self.signals.bank.sample_rate)
        snr = np.exp(rng.uniform(*np.log(GLITCH_SNR), len(rows)))
        column = rng.integers(len(self.noise.detectors), size=len(rows))
        for detector in range(len(self.noise.detectors)):
            own = np.flatnonzero(column == detector)
            if len(own):
                whitened = self.signals.whiten(glitches[own], filters[rows[own], detector], detector)
                power = np.einsum("ij,ij->i", whitened, whitened, dtype=np.float64)
                strain[rows[own], :, detector] += whitened * (snr[own] / np.sqrt(power)).astype(np.float32)[:, None]
        return snr, -1

    def _add_inconsistent(self, rng, strain, filters, rows, index):
        offsets = np.zeros((len(rows), len(self.noise.detectors)))
        # The true delay may point the other way: twice the travel time is beyond any.
        mismatch = rng.uniform(2 * self._travel, 2 * self._travel + LONGEST_MISMATCH_SECONDS, len(rows))
        column = rng.integers(len(self.noise.detectors), size=len(rows))
        offsets[np.arange(len(rows)), column] = mismatch * rng.choice([-1, 1], len(rows))
        signal, snr, _, waveform = self.signals.draw(rng, filters[rows], index, offsets)
        strain[rows] += signal
        return snr, waveform

    def _show_loud(self, rng, strain, filters, rows, index):
        strain[rows] = self.noise.draw_loud(rng, len(rows))[0]
        return 0.0, -1

    def _show_hard(self, rng, strain, filters, rows, index):
        strain[rows] = self.hard.draw(rng, len(rows), index)
        return 0.0, -1

    def rows(self, index, first, last):
        """Return examples [first, last) of batch `index` as (strain, label)."""
        examples = self.examples(index, first, last)
        return examples.strain, examples.label

    def __getitem__(self, index):
        """Return batch `index` as (strain, label)."""
        return self.rows(index, 0, self.batch_size)
