"""Injections of a simulated set: when they are, what a detector sees of them, and the file that lists them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np
import scipy.fft

from keras_gw_resnet.errors import InputError
from keras_gw_resnet.files import new_hdf5, written_aside
from keras_gw_resnet.hdf5 import find, open_hdf5, read
from keras_gw_resnet.simulation.detectors import antenna_pattern, arrival_delay, lal_geometry
from keras_gw_resnet.simulation.waveforms import polarizations

if TYPE_CHECKING:
    from keras_gw_resnet.simulation.populations import Population

# Rules of the challenge: where injections lie in a segment.
EDGE_SECONDS = 30
SPACING_SECONDS = (24.0, 30.0)


def coalescence_times(
    rng: np.random.Generator, segments: Sequence[tuple[int, int]], edge: float = EDGE_SECONDS
) -> np.ndarray:
    """Draw the times of injections: every 24 to 30 s, none near an edge of a segment.

    Args:
        rng: numpy Generator.
        segments: List of (GPS start, seconds).
        edge: Seconds at either end of a segment without injections.

    Returns:
        float64 array of GPS seconds.
    """
    times = []
    for start, seconds in segments:
        at = start + edge + rng.uniform(0, SPACING_SECONDS[1] - SPACING_SECONDS[0])
        while at <= start + seconds - edge:
            times.append(at)
            at += rng.uniform(*SPACING_SECONDS)
    return np.array(times)


def detector_strain(
    parameters: dict, population: Population, detector: str, sample_rate: int = 2048
) -> tuple[float, np.ndarray]:
    """Generate the strain of one binary in one detector.

    Args:
        parameters: Dictionary of floats, as drawn by `populations.draw`, with `tc`.
        population: Population.
        detector: "H1", "L1", ...
        sample_rate: Samples per second.

    Returns:
        Tuple (gps_start, strain): time of the first sample, a whole number of samples after a GPS second, and a
        float64 array.
    """
    import lal

    hplus, hcross = polarizations(parameters, population, sample_rate)
    geometry, tc = lal_geometry(detector), float(parameters["tc"])
    longitude = np.array([parameters["ra"] - lal.GreenwichMeanSiderealTime(tc)])  # ty: ignore[missing-attribute]
    declination, polarization = np.array([parameters["dec"]]), np.array([parameters["polarization"]])
    plus, cross = antenna_pattern(geometry, longitude, declination, polarization)
    strain = plus[0] * hplus.numpy() + cross[0] * hcross.numpy()
    # Seconds within the second of coalescence, so that no precision is lost to the size of GPS times.
    begin = tc % 1 + arrival_delay(geometry, longitude, declination)[0] + float(hplus.start_time)
    first = int(np.floor(begin * sample_rate))
    size = scipy.fft.next_fast_len(len(strain) + 64, real=True)
    phase = np.exp(-2j * np.pi * np.fft.rfftfreq(size) * (begin * sample_rate - first))
    return np.floor(tc) + first / sample_rate, scipy.fft.irfft(scipy.fft.rfft(strain, size) * phase, size)[:-32]


def inject(strain: np.ndarray, gps_start: float, signals: Iterable, sample_rate: int = 2048) -> None:
    """Add signals to strain in place, cut at its ends.

    Args:
        strain: float64 array (samples,).
        gps_start: GPS time of its first sample.
        signals: Iterable of (gps_start, strain), on the grid of its samples.
        sample_rate: Samples per second.
    """
    for start, signal in signals:
        first = round((start - gps_start) * sample_rate)
        begin, end = max(0, first), min(len(strain), first + len(signal))
        if begin < end:
            strain[begin:end] += signal[begin - first : end - first]


def write_injections(path: Path | str, parameters: dict, population: Population) -> None:
    """Write the parameters of injections as 1-D datasets, with the spins in spherical coordinates too."""
    parameters = dict(parameters)
    for body in ("spin1", "spin2"):
        x, y, z = (parameters[f"{body}{axis}"] for axis in "xyz")
        magnitude = np.sqrt(x**2 + y**2 + z**2)
        parameters[f"{body}_a"] = magnitude
        parameters[f"{body}_azimuthal"] = np.arctan2(y, x) % (2 * np.pi)
        parameters[f"{body}_polar"] = np.arccos(np.divide(z, magnitude, out=np.ones_like(z), where=magnitude > 0))
    with written_aside(path) as aside, new_hdf5(aside) as file:
        file.attrs.update(
            approximant=population.approximant,
            f_lower=population.f_lower,
            f_ref=population.f_ref,
            injtype="cbc",
            taper="start",
            mode_array=" ".join(f"{degree}{order}" for degree, order in population.modes),
            population=json.dumps(population.to_dict()),
        )
        for name, values in parameters.items():
            file[name] = values


def _is_column(entry):
    """Say whether a member of a file is a dataset of several values."""
    if not isinstance(entry, h5py.Dataset):
        raise TypeError("a group among the parameters")
    return bool(entry.shape)


def read_injections(path: Path | str) -> dict[str, np.ndarray]:
    """Read the parameters of injections, written by `write_set` or by the MLGWSC-1 challenge's program.

    Returns:
        Dictionary of float64 arrays (n,) with at least tc, mchirp, distance and chirp_distance.

    Raises:
        InputError: The file is missing, damaged, empty, or lacks one of these.
    """
    expected = "the parameters of injections in HDF5"
    with open_hdf5(path, expected, "cannot be read as parameters of injections") as file:
        found = {name: read(file, name).astype(np.float64) for name in file if _is_column(find(file, name))}
    missing = [name for name in ("tc", "mchirp", "distance", "chirp_distance") if name not in found]
    if missing:
        raise InputError(f"{path}: lacks {', '.join(missing)}; expected the parameters of injections")
    lengths = {len(values) for values in found.values()}
    if len(lengths) != 1 or lengths == {0} or not all(np.all(np.isfinite(values)) for values in found.values()):
        raise InputError(f"{path}: the parameters are empty, of different length or not finite")
    return found
