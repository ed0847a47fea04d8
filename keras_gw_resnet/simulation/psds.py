"""Noise spectra by name or from a file."""

import io
import warnings
from pathlib import Path

import numpy as np

from keras_gw_resnet.errors import InputError
from keras_gw_resnet.files import HDF5_SUFFIXES
from keras_gw_resnet.hdf5 import attribute, find, open_hdf5, read
from keras_gw_resnet.inputs import read_text


def load_psd(source: Path | str, delta_f: float, maximum_frequency: float, low_frequency: float = 15.0) -> np.ndarray:
    """Return a one-sided noise PSD on a regular grid.

    Args:
        source: Name of an analytic PSD known to PyCBC (for example "aLIGOZeroDetHighPower"), or a file: HDF5 with
            a dataset `data` and its attribute `delta_f` (MLGWSC-1), or text with columns frequency and PSD.
        delta_f: Wanted resolution in Hz.
        maximum_frequency: Last frequency in Hz.
        low_frequency: Below it (Hz) the PSD is zero.

    Returns:
        float64 array (maximum_frequency / delta_f + 1,), strain^2 per Hz.

    Raises:
        InputError: Unknown name, unreadable file, or a PSD that does not cover the band.
    """
    frequency = np.arange(round(maximum_frequency / delta_f) + 1) * delta_f
    if Path(source).suffix or Path(source).exists():
        known, values = _read_psd(Path(source))
    else:
        known, values = _analytic_psd(source, delta_f, len(frequency), low_frequency)
    band = frequency >= low_frequency
    # Data end one bin early in many files: the last value is held for that bin.
    if known[0] > low_frequency or known[-1] < maximum_frequency - 2 * max(delta_f, known[1] - known[0]):
        raise InputError(
            f"{source}: the PSD covers {known[0]:g}-{known[-1]:g} Hz; expected {low_frequency:g}-{maximum_frequency:g} Hz"
        )
    positive = values > 0
    psd = np.zeros(len(frequency))
    psd[band] = np.exp(np.interp(frequency[band], known[positive], np.log(values[positive])))
    return psd


def _analytic_psd(name, delta_f, length, low_frequency):
    import pycbc.psd

    if name not in pycbc.psd.get_lalsim_psd_list():
        raise InputError(f"unknown PSD {name!r}: neither a file nor a name such as aLIGOZeroDetHighPower")
    values = pycbc.psd.from_string(name, length, delta_f, low_frequency).numpy().copy()
    values[-1] = values[-2]  # PyCBC leaves the Nyquist bin empty
    return np.arange(length) * delta_f, values


def _read_psd(path):
    if not path.exists():
        raise InputError(f"{path}: no such file; give a PSD file or a name such as aLIGOZeroDetHighPower")
    what = "HDF5 with dataset 'data' and attribute 'delta_f', or two text columns"
    damaged = f"is no PSD; expected {what}"
    if path.suffix in HDF5_SUFFIXES:
        with open_hdf5(path, "a PSD", damaged) as file:
            values = read(file, "data", dimensions=1).astype(np.float64)
            known = np.arange(len(values)) * float(attribute(find(file, "data"), "delta_f"))
    else:
        text = read_text(path, what, packed=True)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # of a file without lines
                known, values = np.loadtxt(io.StringIO(text), unpack=True, usecols=(0, 1), ndmin=2)
        except (ValueError, OverflowError) as error:
            raise InputError(f"{path}: {damaged}") from error
    if (
        np.ndim(values) != 1
        or len(values) < 2
        or not np.all(np.isfinite(values))
        or np.any(values < 0)
        or not np.any(values)
    ):
        raise InputError(f"{path}: the PSD is empty, or has negative or non-finite values")
    if not np.all(np.isfinite(known)) or not np.all(np.diff(known) > 0):
        raise InputError(f"{path}: the frequencies of the PSD do not rise")
    return known, values
