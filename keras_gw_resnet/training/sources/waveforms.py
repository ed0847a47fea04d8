"""The signals of a training: the one waveform bank of its folder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from keras_gw_resnet.errors import InputError
from keras_gw_resnet.simulation.bank import WaveformBank, find_bank

if TYPE_CHECKING:
    from keras_gw_resnet.training.config import TrainingConfig


@dataclass(frozen=True)
class Waveforms:
    """A waveform bank.

    Attributes:
        bank: WaveformBank.
    """

    bank: WaveformBank

    @classmethod
    def open(cls, config: TrainingConfig) -> Waveforms:
        """Load the bank.

        Raises:
            InputError: None or several, of another sample rate, or of a single waveform.
        """
        data = config.data
        bank, rate = find_bank(data.path), data.whitening.sample_rate
        if bank.sample_rate != rate:
            raise InputError(f"{data.path}: the waveform bank is sampled at {bank.sample_rate} Hz; expected {rate} Hz")
        if len(bank) < 2:
            raise InputError(f"{data.path}: the waveform bank holds {len(bank)} waveform; expected at least 2")
        return cls(bank)

    def split(self, share: float) -> tuple[WaveformBank, WaveformBank]:
        """Return (WaveformBank, WaveformBank held out), the latter from the end."""
        kept = max(1, min(len(self.bank) - 1, round(len(self.bank) * (1 - share))))
        return self.bank.subset(0, kept), self.bank.subset(kept, len(self.bank))

    def fingerprint(self, bank: WaveformBank, held_out: WaveformBank) -> dict:
        """Return which bank it is, and how many waveforms are trained on."""
        whole = self.bank
        about = {"population": whole.population, "seed": whole.seed, "fingerprint": whole.fingerprint()}
        return {"bank": {**about, "waveforms": len(bank)}}
