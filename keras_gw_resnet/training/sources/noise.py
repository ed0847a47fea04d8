"""The noise of a training: from strain files, simulated, or both. A new one is a class and a line in `NOISES`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from keras_gw_resnet.datasets.gaussian_noise import GaussianNoise, gaussian_noise
from keras_gw_resnet.datasets.noise import FileNoise, MixedNoise, Noise
from keras_gw_resnet.datasets.noise_stretches import (
    cut_events_out,
    events_in,
    read_noise,
    split_stretches,
    without_known_events,
)
from keras_gw_resnet.errors import InputError
from keras_gw_resnet.simulation.psds import load_psd
from keras_gw_resnet.simulation.sets import psds_of
from keras_gw_resnet.strain.catalogue import read_times
from keras_gw_resnet.strain.conditioning import whitening_filter
from keras_gw_resnet.strain.files import find_segments

if TYPE_CHECKING:
    from keras_gw_resnet.training.config import TrainingConfig
    from keras_gw_resnet.training.rooms import Data


@dataclass(frozen=True)
class StrainFiles:
    """Noise of strain files, whitened.

    Attributes:
        data: Data, the room of the configuration.
        headers: SegmentHeader list of what was found.
        stretches: WhitenedStretch list.
        times: GPS times of signals beside the catalogue's.
        spectra: For each detector the whitening filters of spectra to recolour to; None: those of the stretches.
    """

    data: Data
    headers: list
    stretches: list
    times: list
    spectra: list | None

    @classmethod
    def open(cls, config: TrainingConfig) -> StrainFiles:
        """Whiten what the detectors have in common.

        Raises:
            InputError: No strain, a detector absent, no stretch as long as a window, or a spectrum or times that cannot be read.
        """
        data = config.data
        headers, times = find_segments(data.path, data.quality, data.channel), read_times(map(str, data.leave_out))
        given = data.detectors, data.whitening, data.window_samples
        stretches, _ = read_noise(data.path, headers, *given)  # ty: ignore[invalid-argument-type]
        return cls(data, headers, stretches, times, _filters_of(data) if data.recolour_share and data.psd else None)

    def split(self, share: float) -> tuple:
        """Return (FileNoise, FileNoise held out), the latter from the end of each stretch, both without the time around events.

        Raises:
            InputError: The strain is too short for both.
        """
        window, path = self.data.window_samples, self.data.path
        without_known_events(self.stretches, window, path, self.times)  # ty: ignore[invalid-argument-type]
        try:
            kept, held_out = (cut_events_out(part, self.times) for part in split_stretches(self.stretches, share))
            recolour = self.data.recolour_share
            noise = FileNoise(kept, window, recolour, self.spectra)  # ty: ignore[invalid-argument-type]
            # What is held out is short and may have one spectrum alone: it gets those of what is trained on.
            spectra = noise.taps if recolour and self.spectra is None else self.spectra
            return noise, FileNoise(held_out, window, recolour, spectra)  # ty: ignore[invalid-argument-type]
        except InputError as error:
            seconds = sum(stretch.seconds for stretch in self.stretches)
            raise InputError(
                f"{path}: {seconds:g} s of usable strain are too few to train and to hold out "
                f"{share:g} of it ({error}); give more, or train with --data.noise gaussian"
            ) from error

    def fingerprint(self, noise: Noise, held_out: Noise) -> dict:
        """Return files and intervals, and the catalogue events that were left out."""
        events = events_in(self.stretches)
        return {
            "files": sorted({Path(h.path).name for h in self.headers}),
            **({"left_out": events} if events else {}),
            "gps_intervals": noise.intervals,
            "held_out_gps_intervals": held_out.intervals,
        }


def _filters_of(data):
    """Return for each detector the whitening filters of the spectra that a configuration names."""
    settings = data.whitening
    resolution, highest = 1 / settings.filter_seconds, settings.sample_rate / 2
    return [
        [whitening_filter(load_psd(source, resolution, highest), settings) for source in own]
        for own in psds_of(data.psd, data.detectors).values()
    ]


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
    def open(cls, config: TrainingConfig) -> SimulatedNoise:
        """Read the spectra, and make filters from estimates of them.

        Raises:
            InputError: A spectrum that cannot be read, or none for a detector.
        """
        data = config.data
        found = psds_of(data.psd, data.detectors)  # ty: ignore[invalid-argument-type]
        return cls(gaussian_noise(found, data.window_samples, data.whitening), found)  # ty: ignore[invalid-argument-type]

    def split(self, share: float) -> tuple:
        """Return the noise twice: none of it is ever seen again."""
        return self.noise, self.noise

    def fingerprint(self, noise: Noise, held_out: Noise) -> dict:
        """Return the names of the spectra."""
        return {"psds": {d: [Path(source).name for source in own] for d, own in self.psds.items()}}


@dataclass(frozen=True)
class FilesAndSimulated:
    """Noise of strain files and simulated noise, alike often."""

    files: StrainFiles
    simulated: SimulatedNoise

    @classmethod
    def open(cls, config: TrainingConfig) -> FilesAndSimulated:
        """Open both."""
        simulated = SimulatedNoise.open(config)
        return cls(StrainFiles.open(config), simulated)

    def split(self, share: float) -> tuple:
        """Return (MixedNoise, MixedNoise held out)."""
        both = zip(self.files.split(share), self.simulated.split(share), strict=True)
        return tuple(MixedNoise(real, simulated) for real, simulated in both)

    def fingerprint(self, noise: Noise, held_out: Noise) -> dict:
        """Return what both say."""
        return {**self.simulated.fingerprint(noise, held_out), **self.files.fingerprint(noise, held_out)}


# What --data.noise may be; `Data.noise` lists the names.
NOISES = {"files": StrainFiles, "gaussian": SimulatedNoise, "both": FilesAndSimulated}


def open_noise(config: TrainingConfig) -> StrainFiles | SimulatedNoise | FilesAndSimulated:
    """Open the noise that a configuration names."""
    return NOISES[config.data.noise].open(config)
