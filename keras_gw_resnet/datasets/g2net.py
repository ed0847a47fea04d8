"""Labelled windows of G2Net (Kaggle, 2021), whitened."""

from __future__ import annotations

import collections
import csv
import io
import math
import re
from pathlib import Path

import numpy as np
import scipy.signal

from keras_gw_resnet.datasets.windows import WINDOWS_FORMAT
from keras_gw_resnet.errors import MALFORMED, InputError
from keras_gw_resnet.files import new_hdf5, require_space, written_aside
from keras_gw_resnet.inputs import read_text, require_file
from keras_gw_resnet.progress import Bar
from keras_gw_resnet.strain.quality import LARGEST_STRAIN

# G2Net (Kaggle, 2021): three detectors, two seconds at 2048 Hz, simulated.
G2NET_DETECTORS, G2NET_SAMPLES, G2NET_RATE = ("H1", "L1", "V1"), 4096, 2048
G2NET_LOW_FREQUENCY = 20.0
PSD_WINDOWS = 2000
# A whitened sample beyond this is damage: the loudest glitches reach a thousand.
LARGEST_WHITENED = 1e6
TAPER = 0.2


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
