"""Strain that is in memory: series of gwpy and PyCBC and plain arrays, told by what they offer; neither package is needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_gw_resnet.errors import InputError, first_line
from keras_gw_resnet.strain.layouts import DETECTORS, SegmentHeader, detector_in, sample_rate_of, start_of

TAKEN = "files, a dictionary from detector to gwpy or PyCBC TimeSeries, or to arrays with sample_rate= and gps_start= (seconds)"
# Units of strain, by name; what can be converted to no unit at all is converted.
STRAIN_UNITS = ("", "strain", "dimensionless")
# Of what a series says where it lies: start and spacing.
SAID = {"gwpy": ("t0", "dt"), "PyCBC": ("start_time", "delta_t")}


def is_in_memory(strain: Any) -> bool:
    """Say whether something is strain in memory, one series or a dictionary of them, and neither path nor list."""
    return isinstance(strain, Mapping) or hasattr(strain, "dtype")


def headers_in_memory(
    strain: Any, sample_rate: Any = None, gps_start: Any = None, detectors: Sequence[str] = ()
) -> list[SegmentHeader]:
    """Return the segments of strain in memory; nothing is copied.

    Args:
        strain: Dictionary from detector ("H1") or channel ("H1:GDS-CALIB_STRAIN") to a series or a list of them (gwpy's TimeSeriesDict,
            PyCBC's TimeSeries, arrays (samples,)), or one series whose name says its detector, or an array (samples, detectors).
        sample_rate, gps_start: Of arrays, samples per second and GPS seconds of the first sample, numbers or quantities.
        detectors: Of an array (samples, detectors), the names of its columns.

    Returns:
        List of SegmentHeader that hold the strain. Masked samples are NaN when they are read, and so no strain.

    Raises:
        InputError: No series, one of another unit, shape or type, without its time, or of no known detector.
    """
    if isinstance(strain, Mapping):
        pairs = [(str(key), one) for key, series in strain.items() for one in _each(series)]
        if not pairs:
            raise InputError(f"an empty dictionary; expected {TAKEN}")
    elif np.ndim(strain) == 2 and not _says_when(strain):
        columns = np.ma.asanyarray(strain).T if np.ma.isMaskedArray(strain) else strain.T
        if len(columns) != len(detectors):
            raise InputError(
                f"an array of shape {np.shape(strain)}; expected (samples, {len(detectors) or 'detectors'}), or {TAKEN}"
            )
        pairs = list(zip(detectors, columns, strict=True))
    else:
        pairs = [(str(getattr(strain, "name", "") or ""), strain)]
    return [_header(key, series, sample_rate, gps_start) for key, series in pairs]


def _each(series):
    """Return the series of a dictionary's value: it, or those of a list."""
    # A list of numbers is one series, also where they are NumPy's.
    several = isinstance(series, list | tuple) and any(
        hasattr(one, "dtype") and getattr(one, "shape", None) != () for one in series
    )
    return series if several else [series]


def are_series(strain: Any) -> bool:
    """Say whether strain is a dictionary of series, or one or a list of those of gwpy and PyCBC, and no array (samples, detectors)."""
    each = strain if isinstance(strain, list | tuple) else [strain]
    return isinstance(strain, Mapping) or any(_says_when(one) for one in each)


def _says_when(series):
    return any(all(hasattr(series, name) for name in names) for names in SAID.values())


def _header(key, series, sample_rate, gps_start):
    detector = _detector_of(key, series)
    label = f"{type(series).__name__} {key}".strip()
    if isinstance(series, str | Path):
        raise InputError(f"{label}: is a path; give paths as a list of their own")
    values = plain(series, label)
    if values.ndim != 1 or not len(values):
        raise InputError(f"{label}: has shape {values.shape}; expected one series of strain, (samples,)")
    if _says_when(series):
        start, spacing = _when(series, label)
    elif sample_rate is None or gps_start is None:
        units = {"sample_rate=": (sample_rate, "Hz"), "gps_start=": (gps_start, "GPS seconds")}
        missing = {name: unit for name, (given, unit) in units.items() if given is None}
        raise InputError(
            f"{label}: does not say when it was taken; give {' and '.join(missing)} too ({', '.join(missing.values())})"
        )
    else:
        start, spacing = seconds(gps_start, label, "gps_start"), 1 / hertz(sample_rate)
    return SegmentHeader(
        path=label,
        dataset=key,
        detector=detector,
        gps_start=start_of(label, key, start),
        sample_rate=sample_rate_of(label, key, spacing),
        samples=len(values),
        held=values,
    )


def _detector_of(key, series):
    """Return the detector that a key, or else the name of a series, begins with or holds."""
    if found := detector_in(key, str(getattr(series, "name", "") or "")):
        return found
    raise InputError(
        f"{type(series).__name__} {key!r:.60}: is of no known detector; expected a dictionary whose keys say it, such as "
        "{'H1': ..., 'L1': ...}"
    )


def _when(series, label):
    """Return the start and the spacing that a series says, in seconds."""
    start_name, spacing_name = next(n for n in SAID.values() if all(hasattr(series, name) for name in n))
    start, spacing = getattr(series, start_name), getattr(series, spacing_name)
    return seconds(start, label, start_name), seconds(spacing, label, spacing_name)


def seconds(value: Any, label: str, name: str) -> float:
    """Return a time as GPS seconds: a number, a GPS time of LAL, a quantity, or a time of astropy."""
    try:
        value = getattr(value, "gps", value)
        return float(value.to("s").value if hasattr(value, "to") else value)
    except (TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{label}: its {name} is {value!r:.60}; expected GPS seconds") from error


def hertz(value: Any) -> float:
    """Return a sample rate in Hz, of a number or a quantity.

    Raises:
        InputError: It is none.
    """
    try:
        rate = float(value.to("Hz").value if hasattr(value, "to") else value)
    except (TypeError, ValueError, AttributeError):
        rate = 0.0
    if not 0 < rate < np.inf or isinstance(value, str):
        raise InputError(f"a sample rate of {value!r:.60}; expected a finite number above 0, for example 4096")
    return rate


def plain(series: Any, label: str = "strain") -> np.ndarray:
    """Return the values of a series as an array of real numbers without unit, masked where it is.

    Raises:
        InputError: They are a path, of another type, or in a unit that is none of strain.
    """
    first = next(iter(series), None) if isinstance(series, list | tuple) else series
    if isinstance(first, str | Path):
        raise InputError(f"{first}: is a path; a Detector's `stretches` reads and whitens files")
    unit = getattr(series, "unit", None)
    values = series.numpy() if hasattr(series, "numpy") else getattr(series, "value", series)
    values = values if np.ma.isMaskedArray(values) else np.asarray(values)
    if values.dtype.kind not in "fiu":
        raise InputError(f"{label}: is of type {values.dtype}; expected real numbers")
    if unit is None or str(unit) in STRAIN_UNITS:
        return values
    try:
        factor = float(unit.to(""))
    except (TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{label}: is in {unit} ({first_line(error)}); expected strain, which has no unit: calibrate it first"
        ) from error
    return values * factor


def filled(values: np.ndarray) -> np.ndarray:
    """Return values as float64 of this machine's byte order, NaN where they are masked."""
    return np.ma.filled(values.astype(np.float64), np.nan)


def simultaneous(strain: Any, sample_rate: Any = None, gps_start: Any = None) -> list[tuple[str, np.ndarray, float]]:
    """Return (detector, strain float64 (samples,), sample rate) of series that begin and end together, in the order of `DETECTORS`.

    Arrays, which do not say when they begin, begin together, at `gps_start` or at no matter which second.

    Raises:
        InputError: As of `headers_in_memory`, several series of a detector, or series of other times.
    """
    each = strain if isinstance(strain, list | tuple) else [strain]
    start = 0.0 if gps_start is None else gps_start
    headers = [header for one in each for header in headers_in_memory(one, sample_rate, start)]
    headers.sort(key=lambda header: DETECTORS.index(header.detector))
    if len({header.detector for header in headers}) < len(headers):
        raise InputError(f"{headers[0].path}: several series of a detector; give one stretch of strain at a time")
    starts, stops = ([getattr(header, name) for header in headers] for name in ("gps_start", "gps_stop"))
    tolerance = 0.5 / max(header.sample_rate for header in headers)
    if max(starts) - min(starts) > tolerance or max(stops) - min(stops) > tolerance:
        listed = "; ".join(f"{h.detector} from GPS {h.gps_start:.16g} to {h.gps_stop:.16g}" for h in headers)
        raise InputError(
            f"series of other times ({listed}); cut them to GPS {max(starts):.16g} to {min(stops):.16g}, which all have"
            if max(starts) < min(stops)
            else f"series without any time in common ({listed})"
        )
    return [(header.detector, filled(np.ma.asanyarray(header.held)), header.sample_rate) for header in headers]
