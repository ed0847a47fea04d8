"""Negatives that teach: what the examples without a signal hold beside noise alone.

A new kind is a class here, a line in `TABLE`, and a field of `Negatives` for its share; the command line, the batches and the
card follow from these. What it shows from files (`recorded` glitches, noise found `hard`) it opens and splits itself.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_gw_resnet.datasets.hard import HardNegative
from keras_gw_resnet.datasets.negative import Negative
from keras_gw_resnet.datasets.recorded import BankGlitch
from keras_gw_resnet.errors import InputError, room_flag
from keras_gw_resnet.simulation.glitch_bank import SnrLaw, read_rates
from keras_gw_resnet.simulation.glitches import draw_glitches

GLITCH_SNR = SnrLaw(5.0, 1.0, 60.0)
# Of the negatives, and of the signals, where a glitch bank is given and nothing else about it.
USUAL_GLITCH_SHARE = 0.1
SHARES_OF_OTHERS = ("beside_signals", "simulated_part")
# What shows glitches of a bank, each in its own way.
SHOWING = ("bank_glitch_share", "beside_signals", "glitch_rate")
# An inconsistent signal arrives later or earlier in one detector than its distance from the others can explain.
LONGEST_MISMATCH_SECONDS = 0.1


@dataclass(frozen=True, kw_only=True)
class Negatives:
    """What the examples without a signal hold; what the shares leave is noise alone.

    Attributes:
        lone_signal_share: A signal in one detector alone, where there are several.
        glitch_share: A simulated glitch in one detector, of an SNR from 5 to 60, uniform in the logarithm, unless `glitch_snr_range`
            is given.
        inconsistent_share: A signal whose arrival times differ by more than the light travel time, where there are several
            detectors.
        loud_share: The loudest places of the noise files.
        hard_share: Noise that networks take for signals the most: the hardest 1 % of the noise that the network in
            training searches before each epoch, from the third epoch on, or that of `hard_noise`, or both alike often.
        hard_windows: Windows of noise searched for it before an epoch; 0: none.
        hard_noise: File of such windows, from 'keras-gw-resnet hard-noise'; shown from the first epoch on to a network that
            begins with trained weights.
        glitch_bank: File of recorded glitches, from 'keras-gw-resnet glitches'; --glitches for short. Where none of the next three is given, a tenth of the
            negatives shows one, and a tenth of the signals has one beside it.
        bank_glitch_share: A glitch of that bank in one detector, and by accident one in ten times in another one, too.
        beside_signals: Share of the signals, not of the negatives, that have a glitch of that bank anywhere in their window: they stay
            signals.
        glitch_rate: Glitches of that bank a minute in each detector, as H1=0.3,L1=1: every example, with or without a signal, has as
            many of them as its window meets by chance, in one detector or in several.
        simulated_part: Of the glitches of that bank that are shown, share in whose place a simulated one is.
        glitch_snr_range: SNR of all glitches; None: of recorded ones as they were measured. Cuts with their noise in them stay as they are.
        glitch_snr_power: The density in that range falls with this power: 1 is uniform in the logarithm.
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
    glitch_rate: str | None = None
    simulated_part: float = 0.0
    glitch_snr_range: tuple[float, float] | None = None
    glitch_snr_power: float = 3.0

    def __post_init__(self):
        self._check_glitches()
        flag, shares = room_flag("negatives"), {kind.share: getattr(self, kind.share) for kind in TABLE.values()}
        for name, share in {**shares, **{name: getattr(self, name) for name in SHARES_OF_OTHERS}}.items():
            if not 0 <= share <= 1:
                raise InputError(f"{flag(name)} is {share:g}; expected a share from 0 to 1")
        if sum(shares.values()) > 1:
            given = ", ".join(f"{flag(name)} {share:g}" for name, share in shares.items())
            raise InputError(f"{given}; expected shares that sum to 1 at most")
        if self.hard_windows < 0:
            raise InputError(f"{flag('hard_windows')} is {self.hard_windows}; expected a number from 0")
        if self.hard_share and not (self.hard_windows or self.hard_noise):
            raise InputError(f"{flag('hard_share')} needs {flag('hard_windows')} to search, or {flag('hard_noise')}")
        if self.hard_noise and not self.hard_share:
            raise InputError(
                f"{flag('hard_noise')} needs {flag('hard_share')}: the share of the negatives that are drawn from it"
            )

    def _check_glitches(self):
        flag = room_flag("negatives")
        try:
            self.glitch_rates()
        except InputError as error:
            raise InputError(f"{flag('glitch_rate')} is {error}") from None
        given = [name for name in (*SHOWING, "simulated_part") if getattr(self, name)]
        if given and not self.glitch_bank:
            raise InputError(f"{flag(given[0])} is of a glitch bank; give {flag('glitch_bank')}, a file, too")
        if self.glitch_bank and not set(given) & set(SHOWING):
            for name in ("bank_glitch_share", "beside_signals"):
                object.__setattr__(self, name, USUAL_GLITCH_SHARE)
        if self.glitch_snr() and not (self.glitch_bank or self.glitch_share):
            raise InputError(
                f"{flag('glitch_snr_range')}: no glitches are shown; give {flag('glitch_bank')} or {flag('glitch_share')}"
            )
        if self.glitch_snr_power != Negatives.glitch_snr_power and not self.glitch_snr_range:
            raise InputError(f"{flag('glitch_snr_power')} is of a range of SNR; give {flag('glitch_snr_range')}, too")

    def glitch_rates(self) -> dict[str, float]:
        """Return the glitches a minute of each detector, by name; {}: none are asked for by rate."""
        return read_rates(self.glitch_rate) if self.glitch_rate else {}

    def glitch_snr(self) -> SnrLaw | None:
        """Return the SnrLaw of all glitches; None: each kind has its own."""
        if self.glitch_snr_range is None:
            return None
        low, high = self.glitch_snr_range
        return SnrLaw(low, self.glitch_snr_power, high)

    def shares(self) -> dict[str, float]:
        """Return {kind: share of the negatives}, in the order of `TABLE`."""
        return {name: getattr(self, kind.share) for name, kind in TABLE.items()}

    def more_than_usual(self) -> bool:
        """Say whether anything is to be shown that is not shown unless it is asked for."""
        usual = Negatives().shares()
        return bool(self.beside_signals or self.glitch_rate) or any(
            share and not usual[name] for name, share in self.shares().items()
        )


class _OfSeveralDetectors(Negative):
    """What the only detector there is would show as a signal."""

    def within(self, noise):
        """Return this where there are several detectors."""
        return self if len(noise.detectors) > 1 else None


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

    def __init__(self, snr: SnrLaw | None = None) -> None:
        self._snr = snr or GLITCH_SNR

    @classmethod
    def open(cls, config):
        """Take the SNR from the TrainingConfig; see `Negative.open`."""
        return cls(config.negatives.glitch_snr())

    def add(self, batches, rng, strain, filters, rows, index):
        """Add a glitch."""
        glitches, _ = draw_glitches(rng, len(rows), batches.noise.window_samples, batches.signals.bank.sample_rate)
        snr = self._snr.draw(rng, len(rows))
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

    def within(self, noise):
        """Return this where the noise has such places."""
        return self if noise.has_loud_places else None

    def add(self, batches, rng, strain, filters, rows, index):
        """Show loud noise in place of any."""
        strain[rows] = batches.noise.draw_loud(rng, len(rows))[0]
        return 0.0, -1


# The kinds in the order in which their shares divide the negatives.
TABLE = {
    kind.name: kind for kind in (LoneSignal, SimulatedGlitch, InconsistentSignal, LoudNoise, HardNegative, BankGlitch)
}
# What an example may be; the first is the only one labelled 1.
KINDS = ("signal", "noise", *TABLE)


def open_negatives(config: Any) -> dict[str, Negative]:
    """Return {kind: Negative} of a training, what they show read from where its TrainingConfig says."""
    return {name: kind.open(config) for name, kind in TABLE.items()}
