"""Negatives with a recorded glitch, of a glitch bank."""

from collections.abc import Mapping, Sequence

import numpy as np

from keras_gw_resnet.datasets.negative import Negative
from keras_gw_resnet.errors import InputError
from keras_gw_resnet.simulation.glitch_bank import GlitchBank, SnrLaw, load_glitches, require_detectors

# Recorded glitches that have one in another detector beside them.
BY_ACCIDENT = 0.1


class BankGlitch(Negative):
    """A recorded glitch in one detector.

    Args:
        bank: GlitchBank; None: there is none.
        detectors: Names, in column order.
        file: Fingerprint of the bank that it is of.
        rates: Dictionary detector -> glitches a minute, for `occur`.
        snr, simulated_share: How they are drawn, see `GlitchBank.draw`.
    """

    name, share, from_files = "recorded glitch", "bank_glitch_share", True

    def __init__(
        self,
        bank: GlitchBank | None = None,
        detectors: Sequence[str] = (),
        file: str = "",
        rates: Mapping[str, float] | None = None,
        snr: SnrLaw | None = None,
        simulated_share: float = 0.0,
    ) -> None:
        self.bank, self._detectors, self._file = bank, tuple(detectors), file
        self.rates, self._snr, self._simulated_share = dict(rates or {}), snr, simulated_share
        self._known = [] if bank is None else [d for d, own in enumerate(detectors) if own in bank.detector]

    @classmethod
    def open(cls, config):
        """Read the glitch bank; see `Negative.open`.

        Raises:
            InputError: It cannot be read, has another sample rate, or no glitch of these detectors.
        """
        negatives, data = config.negatives, config.data
        path = negatives.glitch_bank
        if not path:
            return cls()
        bank, rates = load_glitches(path), negatives.glitch_rates()
        require_detectors(rates, data.detectors, "--negatives.glitch_rate", "the training")
        own, occurring = bank.of_detectors(data.detectors, path), [name for name, rate in rates.items() if rate]
        # A cut with its noise in it takes the place of the strain, and of a signal there.
        beside = bool(occurring or negatives.beside_signals)
        own.require(data.whitening.sample_rate, occurring, path, whitened=True)
        if beside and np.any(own.reconstruction == "whole"):
            raise InputError(
                f"{path}: has cuts with their noise in them, which cannot lie beside signals; import it again with --reconstruct "
                "denoise, or give --negatives.bank_glitch_share, and neither --negatives.beside_signals nor --negatives.glitch_rate"
            )
        law, part = negatives.glitch_snr(), negatives.simulated_part
        return cls(own, data.detectors, bank.fingerprint(), rates, law, part)

    def split(self, share):
        """Return two of these; of each detector the last glitches are held out, one at least, and its only one is in both."""
        if self.bank is None:
            return self, self
        kept, held_out = np.zeros((2, len(self.bank)), bool)
        for detector in set(self.bank.detector):
            own = np.flatnonzero(self.bank.detector == detector)
            last = (np.arange(len(own)) / len(own) >= 1 - share) | (own == own[-1])
            kept[own], held_out[own] = ~last | (own == own[0]), last
        given = self._detectors, self._file, self.rates, self._snr, self._simulated_share
        return tuple(BankGlitch(self.bank.select(own), *given) for own in (kept, held_out))

    def fingerprint(self, kept, held_out):
        """Return how many glitches there are, of which detectors, and of which bank."""
        if self.bank is None:
            return {}
        own = {name: int(np.sum(kept.bank.detector == name)) for name in self._detectors}
        return {"glitches": {"number": len(kept.bank), "detectors": own, "fingerprint": self._file}}

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
                    power[own] += self._put(rng, strain, rows[own], detector) ** 2
        return np.sqrt(power), -1

    def occur(self, rng: np.random.Generator, strain: np.ndarray) -> None:
        """Put as many glitches into the windows as their detectors have by chance at `rates`; they may reach in from outside.

        Args:
            rng: numpy Generator.
            strain: Whitened, float32 array (n, samples, detectors), changed in place.
        """
        minutes = strain.shape[1] / self.bank.sample_rate / 60
        for detector, rate in self.rates.items():
            number = rng.poisson(rate * minutes, len(strain))
            while (rows := np.flatnonzero(number)).size:
                self._put(rng, strain, rows, self._detectors.index(detector))
                number[rows] -= 1

    def _put(self, rng, strain, rows, column):
        """Put a glitch of a detector anywhere into each of some rows; return their SNRs."""
        drawn = rng, len(rows), strain.shape[1], self._detectors[column]
        glitches, snr, which = self.bank.draw(*drawn, snr=self._snr, simulated_share=self._simulated_share)
        # Simulated ones have no number in the bank.
        whole = (which >= 0) & (self.bank.reconstruction[np.maximum(which, 0)] == "whole")
        whole = whole[:, None] & (glitches != 0)
        strain[rows, :, column] = np.where(whole, 0, strain[rows, :, column]) + glitches
        return np.nan_to_num(snr)
