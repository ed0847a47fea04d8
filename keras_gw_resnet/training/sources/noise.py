"""The noise of a training: from strain files, simulated, or both. A new one is a class and a line in `NOISES`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_gw_resnet.datasets.gaussian_noise import GaussianNoise, gaussian_noise
from keras_gw_resnet.datasets.noise import FileNoise, MixedNoise, read_noise, split_stretches
from keras_gw_resnet.errors import InputError
from keras_gw_resnet.simulation.sets import psds_of
from keras_gw_resnet.strain.files import find_segments
from keras_gw_resnet.strain.stretches import Coverage

if TYPE_CHECKING:
    from keras_gw_resnet.training.rooms import Data


@dataclass(frozen=True)
class StrainFiles:
    """Noise of strain files, whitened.

    Attributes:
        data: Data, the room of the configuration.
        headers: SegmentHeader list of what was found.
        stretches: WhitenedStretch list.
        coverage: Coverage.
    """

    data: Data
    headers: list
    stretches: list
    coverage: Coverage

    @classmethod
    def open(cls, data: Data) -> StrainFiles:
        """Whiten what the detectors have in common.

        Raises:
            InputError: No strain, a detector absent, or no stretch as long as a window.
        """
        headers = find_segments(data.path, data.quality, data.channel)
        return cls(data, headers, *read_noise(data.path, headers, data.detectors, data.whitening, data.window_samples))  # ty: ignore[invalid-argument-type]

    def split(self, share: float) -> tuple:
        """Return (FileNoise, FileNoise held out), the latter from the end of each stretch.

        Raises:
            InputError: The strain is too short for both.
        """
        parts = split_stretches(self.stretches, share)
        try:
            return tuple(FileNoise(part, self.data.window_samples) for part in parts)  # ty: ignore[invalid-argument-type]
        except InputError as error:
            raise InputError(
                f"{self.data.path}: {self.coverage.whitened:g} s of usable strain are too few to train and to hold out "
                f"{share:g} of it ({error}); give more, or train with --data.noise gaussian"
            ) from error

    def fingerprint(self, noise: Any, held_out: Any) -> dict:
        """Return files and intervals."""
        return {
            "files": sorted({Path(h.path).name for h in self.headers}),
            "gps_intervals": noise.intervals,
            "held_out_gps_intervals": held_out.intervals,
        }


@dataclass(frozen=True)
class SimulatedNoise:
    """Gaussian noise of given spectra, endless.

    Attributes:
        noise: GaussianNoise.
        psds: {detector: list of PSD names or files}.
    """

    noise: GaussianNoise
    psds: dict

    @classmethod
    def open(cls, data: Data) -> SimulatedNoise:
        """Read the spectra, and make filters from estimates of them.

        Raises:
            InputError: A spectrum that cannot be read, or none for a detector.
        """
        found = psds_of(data.psd, data.detectors)  # ty: ignore[invalid-argument-type]
        return cls(gaussian_noise(found, data.window_samples, data.whitening), found)  # ty: ignore[invalid-argument-type]

    def split(self, share: float) -> tuple:
        """Return the noise twice: none of it is ever seen again."""
        return self.noise, self.noise

    def fingerprint(self, noise: Any, held_out: Any) -> dict:
        """Return the names of the spectra."""
        return {"psds": {d: [Path(source).name for source in own] for d, own in self.psds.items()}}


@dataclass(frozen=True)
class FilesAndSimulated:
    """Noise of strain files and simulated noise, alike often."""

    files: StrainFiles
    simulated: SimulatedNoise

    @classmethod
    def open(cls, data: Data) -> FilesAndSimulated:
        """Open both."""
        simulated = SimulatedNoise.open(data)
        return cls(StrainFiles.open(data), simulated)

    def split(self, share: float) -> tuple:
        """Return (MixedNoise, MixedNoise held out)."""
        both = zip(self.files.split(share), self.simulated.split(share), strict=True)
        return tuple(MixedNoise(real, simulated) for real, simulated in both)

    def fingerprint(self, noise: Any, held_out: Any) -> dict:
        """Return what both say."""
        return {**self.simulated.fingerprint(noise, held_out), **self.files.fingerprint(noise, held_out)}


# What --data.noise may be (`Data.noise` lists the names): real noise slid or recoloured would be a class above and a line here.
NOISES = {"files": StrainFiles, "gaussian": SimulatedNoise, "both": FilesAndSimulated}


def open_noise(data: Data) -> StrainFiles | SimulatedNoise | FilesAndSimulated:
    """Open the noise that a configuration names.

    Args:
        data: Data, the room of the configuration.
    """
    return NOISES[data.noise].open(data)
