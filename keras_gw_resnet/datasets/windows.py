"""Fixed windows with labels in one HDF5 file: whitened strain `x` (n, samples, detectors), labels `y` (n,)."""

from __future__ import annotations

import collections
import csv
import functools
import hashlib
import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.signal

from keras_gw_resnet.datasets.batches import Examples
from keras_gw_resnet.errors import MALFORMED, InputError
from keras_gw_resnet.files import new_hdf5, require_space, written_aside
from keras_gw_resnet.hdf5 import attribute, find, open_hdf5, require_held, text
from keras_gw_resnet.inputs import read_text, require_file
from keras_gw_resnet.progress import Bar
from keras_gw_resnet.strain.quality import LARGEST_STRAIN

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
# G2Net (Kaggle, 2021): three detectors, two seconds at 2048 Hz, simulated.
G2NET_DETECTORS, G2NET_SAMPLES, G2NET_RATE = ("H1", "L1", "V1"), 4096, 2048
G2NET_LOW_FREQUENCY = 20.0
PSD_WINDOWS = 2000
# A whitened sample beyond this is damage: the loudest glitches reach a thousand.
LARGEST_WHITENED = 1e6
TAPER = 0.2


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


def _read_labels(folder):
    path = Path(folder) / "training_labels.csv"
    expected = "the G2Net folder with training_labels.csv and train/"
    table = csv.reader(io.StringIO(read_text(path, expected, largest=1 << 28)), skipinitialspace=True)
    try:
        names, *lines = [[cell.strip() for cell in line] for line in table if any(map(str.strip, line))]
        columns = [names.index(name) for name in ("id", "target")]
        rows = [(line[columns[0]], float(line[columns[1]])) for line in lines]
    except (ValueError, IndexError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read; expected the columns id and target") from error
    odd = next((name for name, _ in rows if not re.fullmatch(r"\w[\w-]{0,99}", name)), None)
    if odd is not None:
        raise InputError(f"{path}: has the id {odd[:60]!r}; expected letters and digits")
    if not rows or any(label not in (0, 1) for _, label in rows):
        raise InputError(f"{path}: holds no labels, or others than 0 and 1")
    twice = [name for name, count in collections.Counter(name for name, _ in rows).items() if count > 1]
    if twice:
        raise InputError(f"{path}: names {twice[0]} more than once; each window may be there once")
    return [(name, int(label)) for name, label in rows]


def _read_sample(folder, name):
    path = Path(folder).joinpath("train", *name[:3], f"{name}.npy")
    if not path.exists():
        raise InputError(f"{path}: no such file; training_labels.csv names it")
    require_file(path, "an array of strain")
    expected = (len(G2NET_DETECTORS), G2NET_SAMPLES)
    try:
        strain = np.load(path, mmap_mode="r", allow_pickle=False)
        if strain.nbytes <= 16 * math.prod(expected):  # of another shape it is not read
            strain = np.array(strain)
    except MALFORMED as error:
        raise InputError(f"{path}: is no array of strain; unpack the data again") from error
    if strain.shape != expected or strain.dtype.kind != "f" or not np.all(np.abs(strain) < LARGEST_STRAIN):
        raise InputError(
            f"{path}: array of shape {strain.shape}, type {strain.dtype}; expected finite floats {expected}"
        )
    if not np.all(np.ptp(strain, axis=1) > 0):
        raise InputError(f"{path}: a detector shows one value throughout; take the window out of the labels")
    return strain.astype(np.float64)


def _whitener(folder, rows):
    """Return a function that whitens samples by the median spectrum of the windows without a signal."""
    quiet = [name for name, label in rows if label == 0][:PSD_WINDOWS] or [name for name, _ in rows[:PSD_WINDOWS]]
    window = scipy.signal.get_window("hann", G2NET_SAMPLES)
    spectra = [
        np.abs(np.fft.rfft(_read_sample(folder, name) * window)) ** 2
        for name in Bar(quiet, desc="noise spectrum", unit="window")
    ]
    # The median of a squared amplitude lies at ln 2 of its mean.
    psd = np.median(spectra, axis=0) / np.log(2) * 2 / (G2NET_RATE * np.sum(window**2))
    frequency = np.fft.rfftfreq(G2NET_SAMPLES, 1 / G2NET_RATE)
    band = (frequency >= G2NET_LOW_FREQUENCY) & (frequency < G2NET_RATE / 2)
    if not np.all(psd[:, band] > 0):
        raise InputError(
            f"{folder}: the noise spectrum is zero between {G2NET_LOW_FREQUENCY:g} and {G2NET_RATE / 2:g} Hz"
        )
    inverse = np.zeros_like(psd)
    inverse[:, band] = 1 / np.sqrt(psd[:, band] * G2NET_RATE / 2)
    taper = scipy.signal.get_window(("tukey", TAPER), G2NET_SAMPLES)
    return lambda strain: np.fft.irfft(np.fft.rfft(strain * taper) * inverse, G2NET_SAMPLES)


def import_g2net(folder: Path | str, output: Path) -> tuple[int, int]:
    """Convert the G2Net layout (Kaggle, 2021) into one file of whitened labelled windows.

    Every window is tapered (Tukey, a fifth) and whitened by the median spectrum of the windows without a signal.

    Args:
        folder: With training_labels.csv and train/a/b/c/<id>.npy.
        output: HDF5 file to write.

    Returns:
        Tuple (windows, windows with a signal).

    Raises:
        InputError: A file is missing, damaged or of another shape.
    """
    rows = _read_labels(folder)
    require_space(output, 4 * len(rows) * G2NET_SAMPLES * len(G2NET_DETECTORS))
    whiten = _whitener(folder, rows)
    shape = (G2NET_SAMPLES, len(G2NET_DETECTORS))
    with written_aside(output) as aside, new_hdf5(aside) as file:
        file.attrs.update(
            format=WINDOWS_FORMAT,
            detectors=list(G2NET_DETECTORS),
            sample_rate=G2NET_RATE,
            source="G2Net (Kaggle 2021), simulated strain; whitened by the median spectrum of its noise windows",
        )
        x = file.create_dataset("x", (len(rows), *shape), np.float32, chunks=(1, *shape))
        for row, (name, _) in enumerate(Bar(rows, desc="windows", unit="window")):
            whitened = whiten(_read_sample(folder, name)).T
            if not np.all(np.abs(whitened) < LARGEST_WHITENED):
                raise InputError(
                    f"{folder}: {name} is beyond all other windows once whitened; take it out of the labels"
                )
            x[row] = whitened
        file["y"] = np.array([label for _, label in rows], np.uint8)
        file["id"] = np.array([name.encode() for name, _ in rows])
    return len(rows), sum(label for _, label in rows)
