"""Negatives that teach: what the examples without a signal hold beside noise alone.

A new kind is a class here, a line in `TABLE`, and a field of `Negatives` for its share; the command line, the batches and the
card follow from these. What it shows from files (glitches of a glitch bank, noise found hard) it opens and splits itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_gw_resnet.datasets.hard import HardNoise
from keras_gw_resnet.errors import InputError, room_flag
from keras_gw_resnet.simulation.glitch_bank import GlitchBank, load_glitches
from keras_gw_resnet.simulation.glitches import draw_glitches

GLITCH_SNR = (5.0, 60.0)
# An inconsistent signal arrives later or earlier in one detector than its distance from the others can explain.
LONGEST_MISMATCH_SECONDS = 0.1
# Recorded glitches that have one in another detector beside them.
BY_ACCIDENT = 0.1


@dataclass(frozen=True, kw_only=True)
class Negatives:
    """What the examples without a signal hold; what the shares leave is noise alone.

    Attributes:
        lone_signal_share: A signal in one detector alone, where there are several.
        glitch_share: A simulated glitch in one detector.
        inconsistent_share: A signal whose arrival times differ by more than the light travel time, where there are several
            detectors.
        loud_share: The loudest places of the noise files.
        hard_share: Noise that networks take for signals the most: the hardest 1 % of the noise that the network in
            training searches before each epoch, from the third epoch on, or that of `hard_noise`, or both alike often.
        hard_windows: Windows of noise searched for it before an epoch; 0: none.
        hard_noise: File of such windows, from 'keras-gw-resnet hard-noise'; shown from the first epoch on to a network that
            begins with trained weights.
        glitch_bank: File of recorded glitches, from 'keras-gw-resnet glitches'; needs `bank_glitch_share` or `beside_signals`.
        bank_glitch_share: A glitch of that bank in one detector, and by accident one in ten times in another one, too.
        beside_signals: Share of the signals, not of the negatives, that have a glitch of that bank anywhere in their window: they stay
            signals.
    """

    lone_signal_share: float = 0.2
    glitch_share: float = 0.0
    inconsistent_share: float = 0.0
    loud_share: float = 0.0
    hard_share: float = 0.0
    hard_windows: int = 20000
    hard_noise: str | None = None
    glitch_bank: str | None = None
    bank_glitch_share: float = 0.0
    beside_signals: float = 0.0

    def __post_init__(self):
        flag, shares = room_flag("negatives"), {kind.share: getattr(self, kind.share) for kind in TABLE.values()}
        for name, share in {**shares, "beside_signals": self.beside_signals}.items():
            if not 0 <= share <= 1:
                raise InputError(f"{flag(name)} is {share:g}; expected a share from 0 to 1")
        if sum(shares.values()) > 1:
            given = ", ".join(f"{flag(name)} {share:g}" for name, share in shares.items())
            raise InputError(f"{given}; expected shares that sum to 1 at most")
        if self.hard_windows < 0:
            raise InputError(f"{flag('hard_windows')} is {self.hard_windows}; expected a number from 0")
        if self.hard_share and not (self.hard_windows or self.hard_noise):
            raise InputError(f"{flag('hard_share')} needs {flag('hard_windows')} to search, or {flag('hard_noise')}")
        if bool(self.glitch_bank) != bool(self.bank_glitch_share or self.beside_signals):
            raise InputError(
                f"{flag('glitch_bank')} belongs together with {flag('bank_glitch_share')} or {flag('beside_signals')}: a file of glitches, "
                "and how many examples show them"
            )
        if self.hard_noise and not self.hard_share:
            raise InputError(
                f"{flag('hard_noise')} needs {flag('hard_share')}: the share of the negatives that are drawn from it"
            )

    def shares(self) -> dict[str, float]:
        """Return {kind: share of the negatives}, in the order of `TABLE`."""
        return {name: getattr(self, kind.share) for name, kind in TABLE.items()}


class Negative:
    """A kind of negatives, opened for the noise that it is added to.

    `add` asks for rows, not for labels: called for rows that hold a signal, it would put the same beside it.

    Attributes:
        name: What examples of it are called.
        share: Field of `Negatives` that says how many there are.
    """

    name = share = ""

    @classmethod
    def open(cls, config: Any, noise: Any) -> "Negative":
        """Read what this kind shows.

        Args:
            config: TrainingConfig.
            noise: Noise of the training, without what is held out.
        """
        return cls()

    def split(self, share: float) -> tuple["Negative", "Negative"]:
        """Return this kind for training and, of what it shows that share held out, for validation."""
        return self, self

    def fingerprint(self) -> dict:
        """Return what the card of a network says about what was shown, a dictionary."""
        return {}

    def fits(self, noise: Any) -> bool:
        """Say whether it can be shown in such noise."""
        return True

    def ready(self, index: int) -> bool:
        """Say whether it can be shown in batch `index` already; noise is shown in its place until then."""
        return True

    def add(
        self,
        batches: Any,
        rng: np.random.Generator,
        strain: np.ndarray,
        filters: np.ndarray,
        rows: np.ndarray,
        index: int,
    ) -> tuple:
        """Make rows of a block into examples of this kind.

        Args:
            batches: InjectionBatches.
            rng: numpy Generator.
            strain: Whitened noise, float32 array (n, samples, detectors), changed in place.
            filters: Whitening filters of the noise, integer array (n, detectors).
            rows: Integer array, which examples.
            index: Index of the batch.

        Returns:
            Tuple (snr, waveform) of what was added, of each or of all rows; -1: no waveform of the bank.
        """
        raise NotImplementedError


class _OfSeveralDetectors(Negative):
    """What the only detector there is would show as a signal."""

    def fits(self, noise):
        """Say whether there are several detectors."""
        return len(noise.detectors) > 1


class LoneSignal(_OfSeveralDetectors):
    """A signal in one detector alone."""

    name, share = "lone signal", "lone_signal_share"

    def add(self, batches, rng, strain, filters, rows, index):
        """Add what one detector sees of a signal."""
        column = rng.integers(len(batches.noise.detectors), size=len(rows))
        signal, _, _, waveform = batches.signals.draw(rng, filters[rows], index)
        alone = signal[np.arange(len(rows)), :, column]
        strain[rows, :, column] += alone
        return np.linalg.norm(alone, axis=1), waveform


class SimulatedGlitch(Negative):
    """A simulated glitch in one detector."""

    name, share = "glitch", "glitch_share"

    def add(self, batches, rng, strain, filters, rows, index):
        """Add a glitch, its SNR log-uniform."""
        glitches, _ = draw_glitches(rng, len(rows), batches.noise.window_samples, batches.signals.bank.sample_rate)
        snr = np.exp(rng.uniform(*np.log(GLITCH_SNR), len(rows)))
        column = rng.integers(len(batches.noise.detectors), size=len(rows))
        for detector in range(len(batches.noise.detectors)):
            own = np.flatnonzero(column == detector)
            if len(own):
                whitened = batches.signals.whiten(glitches[own], filters[rows[own], detector], detector)
                power = np.einsum("ij,ij->i", whitened, whitened, dtype=np.float64)
                strain[rows[own], :, detector] += whitened * (snr[own] / np.sqrt(power)).astype(np.float32)[:, None]
        return snr, -1


class InconsistentSignal(_OfSeveralDetectors):
    """A signal that one detector sees earlier or later than light travels."""

    name, share = "inconsistent signal", "inconsistent_share"

    def add(self, batches, rng, strain, filters, rows, index):
        """Add a signal, in one detector at another time."""
        detectors, travel = len(batches.noise.detectors), batches.signals.light_travel_seconds()
        offsets = np.zeros((len(rows), detectors))
        # The true delay may point the other way: twice the travel time is beyond any.
        mismatch = rng.uniform(2 * travel, 2 * travel + LONGEST_MISMATCH_SECONDS, len(rows))
        column = rng.integers(detectors, size=len(rows))
        offsets[np.arange(len(rows)), column] = mismatch * rng.choice([-1, 1], len(rows))
        signal, snr, _, waveform = batches.signals.draw(rng, filters[rows], index, offsets)
        strain[rows] += signal
        return snr, waveform


class LoudNoise(Negative):
    """The loudest places of the noise files."""

    name, share = "loud noise", "loud_share"

    def fits(self, noise):
        """Say whether the noise has such places."""
        return noise.has_loud_places

    def add(self, batches, rng, strain, filters, rows, index):
        """Show loud noise in place of any."""
        strain[rows] = batches.noise.draw_loud(rng, len(rows))[0]
        return 0.0, -1


class HardNegative(Negative):
    """Noise that networks take for signals the most.

    Args:
        found: HardNoise; None: there is none.
        about: For the card.
    """

    name, share = "hard noise", "hard_share"

    def __init__(self, found: HardNoise | None = None, about: dict | None = None) -> None:
        self.found, self._about = found, about or {}

    @classmethod
    def open(cls, config, noise):
        """Read the windows that were found ahead; see `Negative.open`.

        Raises:
            InputError: They cannot be read, hold signals, or do not fit the run.
        """
        own, ahead, about = config.negatives, None, {}
        if not own.hard_share:
            return cls()
        if own.hard_noise:
            ahead, source, number = _windows_found(config)
            about = {"hard_noise": {"file": Path(own.hard_noise).name, "windows": number, "source": source}}
        begun = bool(config.network.options.get("weights"))
        counts = {"windows": own.hard_windows, "steps_per_epoch": config.optimisation.steps_per_epoch}
        return cls(HardNoise(noise, seed=config.seed, ahead=ahead, begun=begun, **counts), about)

    def split(self, share):
        """Return this and nothing: the noise of a validation is ordinary."""
        return self, HardNegative()

    def fingerprint(self):
        """Return where windows found ahead are from."""
        return self._about

    def ready(self, index):
        """Say whether hard noise has been found for batch `index`."""
        return self.found is not None and self.found.ready(index)

    def add(self, batches, rng, strain, filters, rows, index):
        """Show hard noise in place of any."""
        strain[rows] = self.found.draw(rng, len(rows), index)
        return 0.0, -1


def _windows_found(config):
    """Read the hard windows of a run: (strain, where they are from, their number)."""
    from keras_gw_resnet.datasets.windows import LabelledWindows, open_windows

    path, data = config.negatives.hard_noise, config.data
    header = open_windows(path)
    header.require(data.window_samples, data.detectors, data.whitening.sample_rate, "the run asks for")
    if np.any(header.label):
        raise InputError(f"{path}: holds signals; --negatives.hard_noise takes windows of noise")
    if not header.number:
        raise InputError(f"{path}: holds no window")
    strain = LabelledWindows(header, np.arange(header.number), batch_size=header.number, seed=None)[0][0]
    return strain, header.source, header.number


class BankGlitch(Negative):
    """A recorded glitch in one detector.

    Args:
        bank: GlitchBank; None: there is none.
        detectors: Names, in column order.
        file: Fingerprint of the bank that it is of.
    """

    name, share = "recorded glitch", "bank_glitch_share"

    def __init__(self, bank: GlitchBank | None = None, detectors: Sequence[str] = (), file: str = "") -> None:
        self.bank, self._detectors, self._file = bank, tuple(detectors), file
        self._known = [] if bank is None else [d for d, own in enumerate(detectors) if own in bank.detector]

    @classmethod
    def open(cls, config, noise):
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

    def fingerprint(self):
        """Return how many glitches there are, and of which bank."""
        return {} if self.bank is None else {"glitches": {"number": len(self.bank), "fingerprint": self._file}}

    def fits(self, noise):
        """Say whether there is a bank."""
        return self.bank is not None

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


# The kinds in the order in which their shares divide the negatives.
TABLE = {
    kind.name: kind for kind in (LoneSignal, SimulatedGlitch, InconsistentSignal, LoudNoise, HardNegative, BankGlitch)
}
# What an example may be; the first is the only one labelled 1.
KINDS = ("signal", "noise", *TABLE)


def open_negatives(config: Any, noise: Any) -> dict[str, Negative]:
    """Return {kind: Negative} of a training, what they show read from where the configuration says.

    Args:
        config: TrainingConfig.
        noise: Noise of the training, without what is held out.
    """
    return {name: kind.open(config, noise) for name, kind in TABLE.items()}
