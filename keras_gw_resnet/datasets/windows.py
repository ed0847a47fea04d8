"""Fixed windows with labels in one HDF5 file: whitened strain `x` (n, samples, detectors), labels `y` (n,)."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_gw_resnet.datasets.batches import Examples
from keras_gw_resnet.errors import InputError
from keras_gw_resnet.files import new_hdf5, require_space, written_aside
from keras_gw_resnet.hdf5 import attribute, find, open_hdf5, require_held, text

# Which windows are held out is drawn with a seed of its own.
SPLIT_SEED = 1_000_003
HASHED_SAMPLES = 64
# So many windows of a file are looked at before a training begins; whitened, their deviation is near 1.
LOOKED_AT = 256
LEAST_DEVIATION, LARGEST_DEVIATION = 0.1, 10.0
EXPECTED = "labelled windows in HDF5"
DAMAGED = "is no file of labelled windows, or a damaged one"
# Bytes that windows may have however small their file is.
LARGEST_WINDOWS, HIGHEST_RATE = 1 << 27, 1 << 17
WINDOWS_FORMAT = "keras_gw_resnet labelled windows 1"


@dataclass(frozen=True)
class WindowsHeader:
    """What a file of labelled windows holds.

    Attributes:
        path: File.
        number: Windows in it.
        samples: Length of a window.
        detectors: Names, in column order.
        sample_rate: Samples per second.
        label: float32 array (number,), 1 with a signal, 0 without.
        source: Where the windows are from, for people.
    """

    path: str
    number: int
    samples: int
    detectors: tuple
    sample_rate: int
    label: np.ndarray
    source: str = ""

    def require(self, samples: int | None, detectors: Sequence[str], sample_rate: int | None, wanted_by: str) -> None:
        """Raise InputError where windows are of another shape than is `wanted_by` somebody ("the run asks for")."""
        if (samples, tuple(detectors), sample_rate) != (self.samples, self.detectors, self.sample_rate):
            raise InputError(
                f"{self.path}: windows of {self.samples} samples of {' '.join(self.detectors)} at {self.sample_rate} Hz; "
                f"{wanted_by} {samples} samples of {' '.join(detectors)} at {sample_rate} Hz"
            )

    def hashes(self, rows: np.ndarray) -> list[str]:
        """Return a short text for each of these windows that tells it from others, of its first samples."""
        with open_hdf5(self.path, EXPECTED) as file:
            x = require_held(find(file, "x"), LARGEST_WINDOWS)
            starts = (np.asarray(x[row, :HASHED_SAMPLES], np.float32) for row in rows)
            return [hashlib.sha256(start.tobytes()).hexdigest()[:16] for start in starts]


def open_windows(path: Path | str) -> WindowsHeader:
    """Read what a file of labelled windows holds, not the windows.

    Returns:
        WindowsHeader.

    Raises:
        InputError: The file is missing, damaged or no file of labelled windows, or its parts do not fit together.
    """
    with open_hdf5(path, EXPECTED, DAMAGED) as file:
        x, y = find(file, "x"), find(file, "y")
        if x is None or y is None:
            raise InputError(
                f"{path}: holds no labelled windows; expected datasets x (n, samples, detectors) and y (n,)"
            )
        detectors = tuple(text(name, 16) for name in np.ravel(attribute(file, "detectors", ())))
        rate = int(attribute(file, "sample_rate", 0))
        sound = (
            x.ndim == 3
            and x.dtype.kind == "f"
            and y.dtype.kind in "biuf"
            and y.shape == x.shape[:1]
            and len(detectors) == x.shape[2]
            and 0 < rate <= HIGHEST_RATE
            and require_held(x, LARGEST_WINDOWS)
            and np.all(np.isin(label := require_held(y, LARGEST_WINDOWS)[()], (0, 1)))
        )
        if not sound:
            raise InputError(
                f"{path}: x {x.shape} of {x.dtype}, y {y.shape}, {len(detectors)} detectors at {rate} Hz do not fit; "
                "expected x (n, samples, detectors), y (n,) of 0 and 1, attributes detectors and sample_rate"
            )
        source = text(attribute(file, "source", ""))
        return WindowsHeader(str(path), len(x), x.shape[1], detectors, rate, label.astype(np.float32), source)


class LabelledWindows:
    """Batches of labelled windows: every epoch all of them once, in an order that depends on seed and epoch alone.

    Args:
        header: WindowsHeader.
        rows: Integer array, which windows to use.
        batch_size: Examples a batch; a batch may run over the end of one epoch into the next.
        seed: Seed of the order; None keeps the order of `rows`.
    """

    def __init__(self, header: WindowsHeader, rows: np.ndarray, *, batch_size: int, seed: int | None) -> None:
        self.header, self.every, self.batch_size, self.seed = header, np.asarray(rows), batch_size, seed
        # Every batch of an epoch needs the order of all its windows.
        self._order = functools.lru_cache(maxsize=2)(
            lambda epoch: np.random.default_rng((seed, epoch)).permutation(len(self.every))  # ty: ignore[invalid-argument-type]
        )

    def chosen(self, index: int) -> np.ndarray:
        """Return the rows of batch `index`, integer array (batch_size,)."""
        positions = np.arange(index * self.batch_size, (index + 1) * self.batch_size)
        epochs, places = np.divmod(positions, len(self.every))
        if self.seed is None:
            return self.every[places]
        return self.every[[self._order(e)[p] for e, p in zip(epochs.tolist(), places, strict=True)]]

    def examples(self, index: int) -> Examples:
        """Return batch `index` as Examples, of which only strain and label are known."""
        strain, label = self[index]
        unknown, none = np.full(len(strain), np.nan), np.full(len(strain), -1)
        return Examples(strain, label, snr=unknown, merger=unknown, waveform=none, kind=none)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return batch `index` as (strain, label): float32 (batch, samples, detectors) and (batch, 1)."""
        return self.rows(index, 0, self.batch_size)

    def rows(self, index: int, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
        """Return examples [first, last) of batch `index` as (strain, label)."""
        chosen = self.chosen(index)[first:last]
        rows, back = np.unique(chosen, return_inverse=True)
        strain = _read_windows(self.header, rows)[back]
        return strain, self.header.label[chosen][:, None]


def _read_windows(header, rows):
    with open_hdf5(header.path, EXPECTED) as file:
        strain = require_held(find(file, "x"), LARGEST_WINDOWS)[rows].astype(np.float32)
    bad = np.flatnonzero(~np.all(np.isfinite(strain), axis=(1, 2)))
    if len(bad):
        raise InputError(f"{header.path}: window {rows[bad[0]]} holds values that are not finite; take it out")
    return strain


def sample_of(rows: np.ndarray) -> np.ndarray:
    """Return up to `LOOKED_AT` of these rows, evenly spread."""
    return np.asarray(rows)[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), LOOKED_AT)).astype(int))]


def check_windows(header: WindowsHeader, rows: np.ndarray) -> None:
    """Raise InputError where windows are of one kind alone, not finite, or not whitened, as far as a sample shows."""
    for kind, label in (("noise", 0), ("signal", 1)):
        if not np.any(header.label[rows] == label):
            raise InputError(f"{header.path}: holds no {kind} windows to use; both kinds are needed")
    deviation = float(np.std(_read_windows(header, sample_of(rows)), dtype=np.float64))
    if not LEAST_DEVIATION < deviation < LARGEST_DEVIATION:
        raise InputError(
            f"{header.path}: the windows have a deviation of {deviation:.2g}; expected whitened strain, near 1"
        )


def split_windows(header: WindowsHeader, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Divide the windows at random into (training, validation) rows, two rising integer arrays.

    Raises:
        InputError: One of the two would be empty.
    """
    order = np.random.default_rng(seed).permutation(header.number)
    held_out = round(header.number * share)
    if not 0 < held_out < header.number:
        raise InputError(f"{header.path}: {header.number} windows are too few to hold out {share:g} of them")
    return np.sort(order[held_out:]), np.sort(order[:held_out])


def write_windows(
    path: Path | str, strain: np.ndarray, label: np.ndarray, *, detectors: Sequence[str], sample_rate: int, source: str
) -> None:
    """Write labelled windows.

    Args:
        path: HDF5 file, written aside and renamed.
        strain: Whitened, float array (n, samples, detectors).
        label: Integer array (n,), 1 with a signal, 0 without.
        detectors: Names, in column order.
        sample_rate: Samples per second.
        source: Where the windows are from, for people.
    """
    require_space(path, 4 * strain.size)
    with written_aside(path) as aside, new_hdf5(aside) as file:
        file.attrs.update(format=WINDOWS_FORMAT, detectors=list(detectors), sample_rate=sample_rate, source=source)
        file["x"], file["y"] = strain.astype(np.float32), np.asarray(label, np.uint8)
