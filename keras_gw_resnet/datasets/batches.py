"""Training examples: a batch is a pure function of (seed, index), so it can be resumed, shared out and tested."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from keras_gw_resnet.datasets.negatives import KINDS, TABLE, BankGlitch, HardNegative, Negatives
from keras_gw_resnet.datasets.signals import Signals, SignalSource

if TYPE_CHECKING:
    from keras_gw_resnet.datasets.hard import HardNoise
    from keras_gw_resnet.datasets.noise import Noise
    from keras_gw_resnet.simulation.bank import WaveformBank

# Examples that are made at once where a batch is a whole number of such blocks.
BLOCK = 32


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


class InjectionBatches:
    """Endless batches of noise windows, some of them with a signal.

    Args:
        bank: WaveformBank.
        noise: FileNoise, GaussianNoise or MixedNoise.
        batch_size: Examples a batch.
        seed: Seed; together with the index it determines a batch.
        signals: Signals.
        alone: True: every example holds a signal, False: none does, None: as many as the share of `signals` says.
        negatives: Negatives.
        opened: {kind: Negative}, see `open_negatives`; None: those that need nothing to be opened.
        steps_per_epoch: Batches an epoch, for the SNR curriculum.

    Attributes:
        shares: {kind: share of the negatives}, 0 where this noise cannot give it.
    """

    def __init__(
        self,
        bank: WaveformBank,
        noise: Noise,
        *,
        batch_size: int,
        seed: int,
        signals: Signals | None = None,
        alone: bool | None = None,
        negatives: Negatives | None = None,
        opened: dict | None = None,
        steps_per_epoch: int = 1,
    ) -> None:
        signals = signals or Signals()
        self.noise, self.batch_size, self.seed, self._alone = noise, batch_size, seed, alone
        kinds = opened or {name: kind() for name, kind in TABLE.items()}
        self.opened = {name: kind.within(noise) for name, kind in kinds.items()}
        negatives = negatives or Negatives()
        self.shares = {name: share if self.opened[name] else 0.0 for name, share in negatives.shares().items()}
        self.signals = SignalSource(bank, noise.taps, noise.detectors, noise.window_samples, signals, steps_per_epoch)
        self._recorded = self.opened[BankGlitch.name]
        self._beside = negatives.beside_signals if self._recorded else 0.0
        # A batch is made in blocks, so that each of several processes makes those alone that it feeds.
        self._block = BLOCK if batch_size % BLOCK == 0 else batch_size

    @property
    def hard(self) -> HardNoise | None:
        """The HardNoise that is shown; None: there is none."""
        return self.opened[HardNegative.name].found

    def examples(self, index: int, first: int = 0, last: int | None = None) -> Examples:
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
        label = self._labels()[block * number : (block + 1) * number]
        with_signal = np.flatnonzero(label)
        every = {"snr": np.zeros(number), "merger": np.full(number, np.nan)}
        every["waveform"] = np.full(number, -1)
        if len(with_signal):
            signal, *known = self.signals.draw(rng, filters[with_signal], index)
            strain[with_signal] += signal
            for name, values in zip(every, known, strict=True):
                every[name][with_signal] = values
        # Each share is an interval of [0, 1); what lies beyond all of them stays pure noise.
        noise, first = KINDS.index("noise"), KINDS.index(next(iter(TABLE)))
        kind = first + np.searchsorted(np.cumsum(list(self.shares.values())), rng.random(number), side="right")
        kind[kind == len(KINDS)] = noise
        kind[with_signal] = KINDS.index("signal")
        for name, negative in self.opened.items():
            rows = np.flatnonzero(kind == KINDS.index(name))
            if not len(rows):
                continue
            if negative.ready(index):
                every["snr"][rows], every["waveform"][rows] = negative.add(self, rng, strain, filters, rows, index)
            else:
                kind[rows] = noise
        if self._beside:
            rows = with_signal[rng.random(len(with_signal)) < self._beside]
            self._recorded.add(self, rng, strain, filters, rows, index)
        if self._recorded:
            self._recorded.occur(rng, strain)
        return Examples(strain, label[:, None], kind=kind, **every)

    def _labels(self):
        if self._alone is None:
            return self.signals.settings.labels(self.batch_size)
        return np.full(self.batch_size, self._alone, np.float32)

    def rows(self, index: int, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
        """Return examples [first, last) of batch `index` as (strain, label)."""
        examples = self.examples(index, first, last)
        return examples.strain, examples.label

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return batch `index` as (strain, label)."""
        return self.rows(index, 0, self.batch_size)
