"""Whitened noise for training examples, and the whitening filters that belong to it."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from keras_gw_resnet.datasets.gaussian_noise import GaussianNoise
from keras_gw_resnet.errors import InputError
from keras_gw_resnet.strain.inspection import GLITCH_DEVIATIONS

if TYPE_CHECKING:
    from keras_gw_resnet.strain.stretches import WhitenedStretch


@dataclass(frozen=True)
class NoisePiece:
    """Whitened noise of one detector that one filter made: float32 array (samples,) and the index of its filter."""

    strain: np.ndarray
    filter_index: int
    gps_start: float


class FileNoise:
    """Windows of whitened strain from files, each detector's at its own time: slid against each other by any time.

    Noise that is recoloured to another spectrum and whitened with the filter of that spectrum is the whitened noise as it was. What
    changes is the filter with which a signal in it is whitened, so that is what is drawn anew.

    Args:
        stretches: List of WhitenedStretch, all of the same detectors.
        window_samples: Length of a window.
        recolour_share: Share of the windows of each detector that are recoloured.
        spectra: For each detector the list of whitening filters of the spectra that they are recoloured to; None: those of the
            stretches.

    Attributes:
        taps: For each detector the list of whitening filters.
        intervals: GPS intervals [start, stop, origin] of the strain held, in seconds.

    Raises:
        InputError: No stretch is as long as one window, or no other spectrum to recolour to.
    """

    def __init__(
        self,
        stretches: Sequence[WhitenedStretch],
        window_samples: int,
        recolour_share: float = 0.0,
        spectra: Sequence | None = None,
    ) -> None:
        self.window_samples, self._recolour_share = window_samples, recolour_share
        usable = [s for s in stretches if len(s.strain) >= window_samples]
        if not usable:
            raise InputError(f"no stretch of noise is as long as one window of {window_samples} samples")
        self.detectors = usable[0].detectors
        self.intervals = [[s.gps_start, s.gps_start + s.seconds, s.origin] for s in usable]
        self.taps = [[] for _ in self.detectors]
        self._pieces = [[] for _ in self.detectors]
        for stretch in usable:
            for column, (taps, pieces) in enumerate(zip(self.taps, self._pieces, strict=True)):
                self._cut(stretch, column, taps, pieces)
        self._chances = []
        for pieces in self._pieces:
            rooms = np.array([len(piece.strain) - window_samples + 1 for piece in pieces], float)
            self._chances.append(rooms / rooms.sum())
        if recolour_share and spectra is None and min(map(len, self.taps)) < 2:
            raise InputError(
                "--data.recolour_share: there is one noise spectrum alone; give --data.psd, or more strain"
            )
        own = [0] * len(self.detectors) if spectra is None else [len(taps) for taps in self.taps]
        self.taps = [[*a, *b] for a, b in zip(self.taps, spectra or [[]] * len(self.taps), strict=True)]
        # Of each detector the filters, from the first of these on, that noise is recoloured to.
        self._first_spectrum = own

    def _cut(self, stretch, column, taps, pieces):
        filters = stretch.filters[column]
        stops = [start for start, _ in filters[1:]] + [len(stretch.strain)]
        for (start, filter_taps), stop in zip(filters, stops, strict=True):
            if stop - start >= self.window_samples:
                strain = np.ascontiguousarray(stretch.strain[start:stop, column])
                pieces.append(NoisePiece(strain, len(taps), stretch.gps_start + start / stretch.sample_rate))
                taps.append(filter_taps)
        if not pieces:
            raise InputError(f"no stretch of noise is as long as one window of {self.window_samples} samples")

    def draw(self, rng: np.random.Generator, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Draw windows at random times, independent for each detector.

        Args:
            rng: numpy Generator.
            number: How many.

        Returns:
            Tuple (noise, filters): float32 array (number, window_samples, detectors) and the index of the
            whitening filter of each, integer array (number, detectors).
        """
        noise, filters = self._draw(rng, number)
        return noise, self._recoloured(rng, filters)

    def _recoloured(self, rng, filters):
        """Draw another filter for a share of them."""
        if self._recolour_share:
            chosen = rng.random(filters.shape) < self._recolour_share
            others = [
                rng.integers(first, len(own), len(filters))
                for first, own in zip(self._first_spectrum, self.taps, strict=True)
            ]
            filters = np.where(chosen, np.stack(others, axis=-1), filters)
        return filters

    def _draw(self, rng, number):
        noise = np.empty((number, self.window_samples, len(self.detectors)), np.float32)
        filters = np.empty((number, len(self.detectors)), int)
        for column, (pieces, chances) in enumerate(zip(self._pieces, self._chances, strict=True)):
            chosen = rng.choice(len(pieces), number, p=chances)
            for row, piece in enumerate(pieces[i] for i in chosen):
                start = rng.integers(len(piece.strain) - self.window_samples + 1)
                noise[row, :, column] = piece.strain[start : start + self.window_samples]
                filters[row, column] = piece.filter_index
        return noise, filters

    @functools.cached_property
    def _loud(self):
        return [_loud_places(pieces, self.window_samples) for pieces in self._pieces]

    @property
    def has_loud_places(self) -> bool:
        """Whether `draw_loud` has any place to show."""
        return any(self._loud)

    def draw_loud(self, rng: np.random.Generator, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Draw windows that hold one of the loudest places of one of the detectors; see `draw`."""
        noise, filters = self._draw(rng, number)
        column = rng.integers(len(self.detectors), size=number)
        for row, detector in enumerate(column):
            if self._loud[detector]:
                which, sample = self._loud[detector][rng.integers(len(self._loud[detector]))]
                piece = self._pieces[detector][which]
                earliest = max(0, sample - self.window_samples + 1)
                start = rng.integers(earliest, min(sample, len(piece.strain) - self.window_samples) + 1)
                noise[row, :, detector] = piece.strain[start : start + self.window_samples]
                filters[row, detector] = piece.filter_index
        return noise, self._recoloured(rng, filters)


def _loud_places(pieces, window_samples):
    """List (piece, sample) of every window whose loudest sample Gaussian noise would not show."""
    places = []
    for which, piece in enumerate(pieces):
        blocks = np.abs(piece.strain[: len(piece.strain) // window_samples * window_samples])
        blocks = blocks.reshape(-1, window_samples)
        for block in np.flatnonzero(blocks.max(axis=1) > GLITCH_DEVIATIONS):
            places.append((which, int(block * window_samples + np.argmax(blocks[block]))))
    return places


class MixedNoise:
    """Windows of two sources in equal shares.

    Args:
        one, other: FileNoise or GaussianNoise of the same detectors and window.
    """

    def __init__(self, one: FileNoise | GaussianNoise, other: FileNoise | GaussianNoise) -> None:
        self._sources = one, other
        self.detectors, self.window_samples, self.intervals = (
            one.detectors,
            one.window_samples,
            one.intervals + other.intervals,
        )
        self.taps = [[*a, *b] for a, b in zip(one.taps, other.taps, strict=True)]

    def draw(self, rng: np.random.Generator, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Draw windows, each from a random source; see `FileNoise.draw`."""
        return self._draw(rng, number, "draw")

    def draw_loud(self, rng: np.random.Generator, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Draw windows with loud places where a source has them; see `FileNoise.draw_loud`."""
        return self._draw(rng, number, "draw_loud")

    @property
    def has_loud_places(self) -> bool:
        """Whether `draw_loud` has any place to show."""
        return any(source.has_loud_places for source in self._sources)

    def _draw(self, rng, number, method):
        from_other = rng.random(number) < 0.5
        noise = np.empty((number, self.window_samples, len(self.detectors)), np.float32)
        filters = np.empty((number, len(self.detectors)), int)
        for source, rows in zip(self._sources, (~from_other, from_other), strict=True):
            noise[rows], filters[rows] = getattr(source, method)(rng, int(rows.sum()))
        filters[from_other] += [len(own) for own in self._sources[0].taps]
        return noise, filters


Noise = FileNoise | GaussianNoise | MixedNoise
