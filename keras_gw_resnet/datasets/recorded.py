"""Negatives with a recorded glitch, of a glitch bank."""

from collections.abc import Sequence

import numpy as np

from keras_gw_resnet.datasets.negative import Negative
from keras_gw_resnet.errors import InputError
from keras_gw_resnet.simulation.glitch_bank import GlitchBank, load_glitches

# Recorded glitches that have one in another detector beside them.
BY_ACCIDENT = 0.1


class BankGlitch(Negative):
    """A recorded glitch in one detector.

    Args:
        bank: GlitchBank; None: there is none.
        detectors: Names, in column order.
        file: Fingerprint of the bank that it is of.
    """

    name, share, from_files = "recorded glitch", "bank_glitch_share", True

    def __init__(self, bank: GlitchBank | None = None, detectors: Sequence[str] = (), file: str = "") -> None:
        self.bank, self._detectors, self._file = bank, tuple(detectors), file
        self._known = [] if bank is None else [d for d, own in enumerate(detectors) if own in bank.detector]

    @classmethod
    def open(cls, config):
        """Read the glitch bank; see `Negative.open`.

        Raises:
            InputError: It cannot be read, has another sample rate, or no glitch of these detectors.
        """
        path, data = config.negatives.glitch_bank, config.data
        if not path:
            return cls()
        bank = load_glitches(path)
        if not bank.whitened or bank.sample_rate != data.whitening.sample_rate:
            what = f"sampled at {bank.sample_rate} Hz" if bank.whitened else "not whitened"
            raise InputError(
                f"{path}: its glitches are {what}; expected whitened ones at {data.whitening.sample_rate} Hz"
            )
        return cls(bank.of_detectors(data.detectors, path), data.detectors, bank.fingerprint())

    def split(self, share):
        """Return two of these without a glitch in common; the last ones of each detector are held out."""
        if self.bank is None:
            return self, self
        rank = np.empty(len(self.bank))
        for detector in set(self.bank.detector):
            own = np.flatnonzero(self.bank.detector == detector)
            rank[own] = np.arange(len(own)) / len(own)
        held_out = rank >= 1 - share
        if not held_out.any() or held_out.all():
            return self, self
        return tuple(BankGlitch(self.bank.select(own), self._detectors, self._file) for own in (~held_out, held_out))

    def fingerprint(self, kept, held_out):
        """Return how many glitches there are, and of which bank."""
        return {} if self.bank is None else {"glitches": {"number": len(kept.bank), "fingerprint": self._file}}

    def within(self, noise):
        """Return this where there is a bank."""
        return self if self.bank is not None else None

    def add(self, batches, rng, strain, filters, rows, index):
        """Add a glitch, as loud as it was measured; a cut that holds noise of its own takes the place of the strain."""
        column = rng.choice(self._known, len(rows))
        second = (column + 1) % len(self._detectors)
        second = np.where(
            (rng.random(len(rows)) < BY_ACCIDENT) & np.isin(second, self._known) & (second != column), second, -1
        )
        power = np.zeros(len(rows))
        for columns in (column, second):
            for detector in self._known:
                own = np.flatnonzero(columns == detector)
                if len(own):
                    given = rng, len(own), strain.shape[1], self._detectors[detector]
                    glitches, snr, which = self.bank.draw(*given)
                    whole = (self.bank.reconstruction[which] == "whole")[:, None] & (glitches != 0)
                    strain[rows[own], :, detector] = np.where(whole, 0, strain[rows[own], :, detector]) + glitches
                    power[own] += np.nan_to_num(snr) ** 2
        return np.sqrt(power), -1
