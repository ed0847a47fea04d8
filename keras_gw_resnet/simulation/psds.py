"""Noise spectra by name or from a file."""

from pathlib import Path

import h5py
import numpy as np

from keras_gw_resnet.errors import InputError
from keras_gw_resnet.files import HDF5_SUFFIXES


def load_psd(source, delta_f, maximum_frequency, low_frequency=15.0):
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
    try:
        if path.suffix in HDF5_SUFFIXES:
            with h5py.File(path, "r") as file:
                values = file["data"][()].astype(np.float64)
                known = np.arange(len(values)) * float(file["data"].attrs["delta_f"])
        else:
            known, values = np.loadtxt(path, unpack=True, usecols=(0, 1))
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise InputError(
            f"{path}: is no PSD; expected HDF5 with dataset 'data' and attribute 'delta_f', or two text columns"
        ) from error
    if (
        np.ndim(values) != 1
        or len(values) < 2
        or not np.all(np.isfinite(values))
        or np.any(values < 0)
        or not np.any(values)
    ):
        raise InputError(f"{path}: the PSD is empty, or has negative or non-finite values")
    if not np.all(np.diff(known) > 0):
        raise InputError(f"{path}: the frequencies of the PSD do not rise")
    return known, values
