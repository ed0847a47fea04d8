"""Glitch banks: short disturbances of single detectors, real and drawn by generators, in one HDF5 file."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from keras_gw_resnet.errors import InputError
from keras_gw_resnet.files import new_hdf5, require_space, written_aside
from keras_gw_resnet.hdf5 import attribute, open_hdf5, read, text
from keras_gw_resnet.simulation.glitches import FAMILIES, draw_glitches
from keras_gw_resnet.simulation.snr import LARGEST_SNR, STEEPEST, power_law

GLITCH_BANK_FORMAT = "keras_gw_resnet glitch bank 1"
MAKE = "make one with 'keras-gw-resnet glitches import' or 'mine'"
# How the noise around a glitch was dealt with: there was none, it was subtracted, or it is still in the cut.
RECONSTRUCTIONS = ("clean", "denoised", "whole")
MOST_A_MINUTE = 60
COLUMNS = {"detector": str, "label": str, "snr": float, "gps": float, "reconstruction": str, "source": str}


@dataclass(frozen=True)
class SnrLaw:
    """Power law of the SNR of glitches: the number of glitches per SNR falls as SNR**-exponent.

    The default is a plain choice and no measurement: give what your detector shows.

    Attributes:
        low, high: Range of SNR.
        exponent: From 0, all SNRs alike; 1 is uniform in the logarithm.
    """

    low: float = 7.5
    exponent: float = 3.0
    high: float = 250.0

    def __post_init__(self):
        if not (0 < self.low < self.high <= LARGEST_SNR and 0 <= self.exponent <= STEEPEST):
            raise InputError(
                f"glitch SNR from {self.low:g} to {self.high:g} with exponent {self.exponent:g}; expected two rising "
                f"numbers above 0 and up to {LARGEST_SNR:g}, and an exponent from 0 to {STEEPEST}"
            )

    def draw(self, rng: np.random.Generator, number: int) -> np.ndarray:
        """Draw so many SNRs, float64 array (number,)."""
        return power_law(self.low, self.high, self.exponent, rng.random(number))


def read_rates(text: str) -> dict[str, float]:
    """Return the glitches a minute of each detector, by name, that a text such as "H1=0.3,L1=1" gives.

    Raises:
        InputError: Anything else.
    """
    found = {}
    for part in text.split(","):
        name, _, number = part.partition("=")
        try:
            found[name.strip()] = float(number)
        except ValueError:
            raise InputError(f"{text}; expected rates a minute such as H1=0.3,L1=1") from None
        if not (0 <= found[name.strip()] <= MOST_A_MINUTE and name.strip()):
            raise InputError(f"{text}; expected rates from 0 to {MOST_A_MINUTE} a minute")
    return found


def require_detectors(rates: Mapping[str, float], detectors: Sequence[str], option: str, what: str) -> None:
    """Raise InputError where rates name a detector that is not there.

    `rates` are as from `read_rates`, `option` is what gives them, `what` has the `detectors`; both are for the message.
    """
    if unknown := [name for name in rates if name not in detectors]:
        raise InputError(f"{option} names {unknown[0]}; {what} has {', '.join(detectors)}")


@dataclass(frozen=True)
class GlitchBank:
    """Glitches, each in the middle of a cut of one length.

    Attributes:
        strain: float32 array (n, samples).
        detector: Text array (n,), "H1", "L1", ...: where each was seen.
        label: Text array (n,): the class of each, as Gravity Spy or the maker says.
        snr: float64 array (n,); NaN where the shape alone is known: it has unit norm if whitened.
        gps: GPS time of each, float64 array (n,); NaN where unknown.
        reconstruction: Text array (n,), of `RECONSTRUCTIONS`.
        source: Text array (n,): the file or program that each is from.
        sample_rate: Samples per second.
        whitened: Whether `strain` is whitened, as `strain.conditioning` does; otherwise it is strain.
    """

    strain: np.ndarray
    detector: np.ndarray
    label: np.ndarray
    snr: np.ndarray
    gps: np.ndarray
    reconstruction: np.ndarray
    source: np.ndarray
    sample_rate: int
    whitened: bool = True

    def __len__(self) -> int:
        return len(self.strain)

    def select(self, chosen: np.ndarray | Sequence[int]) -> GlitchBank:
        """Return the bank of the chosen glitches, a boolean or integer array."""
        return replace(self, strain=self.strain[chosen], **{name: getattr(self, name)[chosen] for name in COLUMNS})

    def of_detectors(self, detectors: Sequence[str], path: Path | str) -> GlitchBank:
        """Return the bank of the glitches of these detectors.

        Raises:
            InputError: There are none; the message names `path`.
        """
        own = np.isin(self.detector, detectors)
        if not own.any():
            raise InputError(
                f"{path}: holds glitches of {', '.join(np.unique(self.detector))} and none of {', '.join(detectors)}; "
                f"give a bank with some"
            )
        return self.select(own)

    def fingerprint(self) -> str:
        """Return a short sha256 of the glitches, to tell with which bank a network was trained."""
        digest = hashlib.sha256(f"{self.sample_rate} {self.whitened}".encode())
        digest.update(np.ascontiguousarray(self.strain, "<f4").tobytes())
        for name in ("detector", "label"):
            digest.update("\n".join(getattr(self, name)).encode())
        return digest.hexdigest()[:16]

    def require(
        self,
        sample_rate: int,
        detectors: Sequence[str],
        path: Path | str,
        *,
        whitened: bool | None = None,
        without_noise: bool = False,
    ) -> None:
        """Raise InputError where the glitches do not fit what they are wanted for.

        Args:
            sample_rate: Wanted samples per second.
            detectors: Names, each of which needs glitches of its own.
            path: File of the bank, for the message.
            whitened: Whether they have to be whitened; None: either.
            without_noise: Whether glitches that are whole cuts, with their noise, cannot be used.
        """
        if self.sample_rate != sample_rate:
            raise InputError(f"{path}: the glitches are sampled at {self.sample_rate} Hz; expected {sample_rate} Hz")
        missing = [name for name in detectors if name not in self.detector]
        if missing:
            raise InputError(
                f"{path}: has no glitches of {' and '.join(missing)} (it has those of {', '.join(np.unique(self.detector))})"
            )
        if whitened is not None and self.whitened != whitened:
            raise InputError(f"{path}: the glitches are {'not ' * whitened}whitened; import them again")
        if without_noise and np.any(self.reconstruction == "whole"):
            raise InputError(f"{path}: has cuts with their noise in them; import it again with --reconstruct denoise")

    def draw(
        self,
        rng: np.random.Generator,
        number: int,
        samples: int,
        detector: str,
        *,
        middle: np.ndarray | Sequence[float] | None = None,
        snr: SnrLaw | None = None,
        simulated_share: float = 0.0,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Draw glitches of one detector into windows.

        Args:
            rng: numpy Generator.
            number: How many.
            samples: Length of a window.
            detector: Name; glitches of others are not drawn.
            middle: Where in the windows the middle of each lies, array (number,) in samples; None: anywhere in it.
            snr: SnrLaw that rescales every glitch; None: as each was measured, and the default SnrLaw for those of which
                the shape alone is known. Whole cuts are never rescaled: the noise in them has its size.
            simulated_share: Share of simulated ones, see `simulation.glitches`; whitened banks alone have them.

        Returns:
            Tuple (glitches, snr, index): float32 array (number, samples), float64 array (number,), and which glitch of the bank
            each is, -1 - family for simulated ones. "whole" ones replace the strain where they are not zero, others are added.
        """
        own = np.flatnonzero(self.detector == detector)
        index = rng.choice(own, number)
        middle = rng.uniform(0, samples, number) if middle is None else np.asarray(middle, float)
        law = (snr or SnrLaw()).draw(rng, number)
        simulated = rng.random(number) < simulated_share
        windows, loudness = np.zeros((number, samples), np.float32), np.empty(number)
        if simulated.any():
            made, family = draw_glitches(rng, number, 2 * samples, self.sample_rate, middle=samples)
        for row, (one, at) in enumerate(zip(index, middle, strict=True)):
            known = np.isfinite(self.snr[one]) and snr is None
            if simulated[row]:
                cut, loudness[row] = made[row], law[row]
                cut = cut * (law[row] / np.linalg.norm(cut))
                index[row] = -1 - family[row]
            elif self.reconstruction[one] == "whole" or known:
                cut, loudness[row] = self.strain[one], self.snr[one]
            else:
                size = 1.0 if np.isnan(self.snr[one]) else self.snr[one]
                cut, loudness[row] = self.strain[one] * (law[row] / size), law[row]
            place(windows[row], cut, round(at) - len(cut) // 2)
        return windows, loudness, index

    def names(self, index: np.ndarray) -> np.ndarray:
        """Return the labels of what `draw` drew, simulated ones by their family."""
        families = list(FAMILIES)
        return np.array([self.label[i] if i >= 0 else f"simulated {families[-1 - i]}" for i in index])


def place(window: np.ndarray, cut: np.ndarray, start: int) -> None:
    """Add a cut to a window in place from the sample `start` on, what lies outside left away."""
    begin, end = max(0, start), min(len(window), start + len(cut))
    if begin < end:
        window[begin:end] += cut[begin - start : end - start]


def join_banks(banks: Sequence[GlitchBank]) -> GlitchBank:
    """Join banks of one sample rate and kind; shorter cuts are filled up with zeros on both sides.

    Raises:
        InputError: Banks that differ.
    """
    first = banks[0]
    if any((bank.sample_rate, bank.whitened) != (first.sample_rate, first.whitened) for bank in banks):
        raise InputError("glitches of different sample rates, or whitened and not; import them one by one")
    samples = max(bank.strain.shape[1] for bank in banks)
    strain = np.zeros((sum(map(len, banks)), samples), np.float32)
    row = 0
    for bank in banks:
        start = samples // 2 - bank.strain.shape[1] // 2
        strain[row : row + len(bank), start : start + bank.strain.shape[1]] = bank.strain
        row += len(bank)
    columns = {name: np.concatenate([getattr(bank, name) for bank in banks]) for name in COLUMNS}
    return replace(first, strain=strain, **columns)


def save_glitches(bank: GlitchBank, path: Path | str) -> None:
    """Write a glitch bank to HDF5, whole or not at all."""
    require_space(path, bank.strain.nbytes)
    with written_aside(path) as aside, new_hdf5(aside) as file:
        file.attrs.update(
            format=GLITCH_BANK_FORMAT,
            sample_rate=bank.sample_rate,
            whitened=bank.whitened,
            fingerprint=bank.fingerprint(),
            reconstruction=", ".join(np.unique(bank.reconstruction)),
        )
        samples = bank.strain.shape[1]
        file.create_dataset("strain", data=bank.strain, chunks=(1, samples), compression="gzip", shuffle=True)
        for name, kind in COLUMNS.items():
            values = getattr(bank, name)
            file[name] = values.astype(float) if kind is float else [str(value) for value in values]


def load_glitches(path: Path | str) -> GlitchBank:
    """Read a glitch bank.

    Raises:
        InputError: The file is missing, damaged, or no glitch bank.
    """
    with open_hdf5(path, "a glitch bank", f"is no glitch bank, or a damaged one; {MAKE}") as file:
        if attribute(file, "format") != GLITCH_BANK_FORMAT:
            raise InputError(f"{path}: is no glitch bank; {MAKE}")
        strain = read(file, "strain", dimensions=2).astype(np.float32)
        columns = {
            name: read(file, name, shape=(len(strain),)).astype(float)
            if kind is float
            else np.array([text(value) for value in read(file, name, shape=(len(strain),), kinds="OS")])
            for name, kind in COLUMNS.items()
        }
        sample_rate, whitened = int(attribute(file, "sample_rate")), bool(attribute(file, "whitened"))
    bank = GlitchBank(strain, **columns, sample_rate=sample_rate, whitened=whitened)
    check_glitches(bank, path)
    return bank


def check_glitches(bank: GlitchBank, path: Path | str) -> None:
    """Raise InputError where the parts of a bank do not fit together."""
    sound = (
        bank.strain.ndim == 2
        and len(bank)
        and bank.sample_rate > 0
        and all(getattr(bank, name).shape == (len(bank),) for name in COLUMNS)
        and np.all(np.isin(bank.reconstruction, RECONSTRUCTIONS))
    )
    if not sound:
        raise InputError(f"{path}: is empty, or the parts of the glitch bank do not fit together; {MAKE}")
    bad = np.flatnonzero(~np.all(np.isfinite(bank.strain), axis=1) | ~np.any(bank.strain, axis=1))
    if len(bad):
        raise InputError(f"{path}: glitch {bad[0]} is empty or not finite; {MAKE}")
