"""Strain files of every layout, and strain in memory, behind one interface.

`find_segments` lists what files hold without reading the strain, `read_segment` reads (part of) one.
"""

from __future__ import annotations

import glob
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from keras_gw_resnet.errors import InputError
from keras_gw_resnet.files import HDF5_SUFFIXES
from keras_gw_resnet.hdf5 import attribute, find, open_hdf5, require_held
from keras_gw_resnet.strain.frames import frame_headers, read_frame
from keras_gw_resnet.strain.layouts import DETECTORS, LAYOUTS, MEASURED, SegmentHeader
from keras_gw_resnet.strain.objects import TAKEN, filled, headers_in_memory, is_in_memory
from keras_gw_resnet.strain.quality import valid_samples
from keras_gw_resnet.strain.shipped import with_shipped

__all__ = [
    "DETECTORS",
    "SegmentHeader",
    "StrainSegment",
    "find_overlap",
    "find_segments",
    "list_segments",
    "read_segment",
]

# Containers other than HDF5, by suffix: (what lists the segments of a file: path, quality, channels; what reads the strain of one: header).
READERS = {".gwf": (frame_headers, read_frame)}
STRAIN_SUFFIXES = (*HDF5_SUFFIXES, *READERS)


@dataclass(frozen=True)
class StrainSegment:
    """Strain of one detector with its validity.

    Attributes:
        detector: "H1", "L1", "V1", ...
        gps_start: GPS time of the first sample in seconds.
        sample_rate: Samples per second.
        strain: float64 array (samples,), dimensionless.
        valid: Boolean array (samples,): finite, no stuck value, and marked as present by the file.
    """

    detector: str
    gps_start: float
    sample_rate: float
    strain: np.ndarray
    valid: np.ndarray


def _origin(file):
    """Say which simulation wrote a file: those of this package and of MLGWSC-1 name their seed at its root."""
    seed = attribute(file, "seed")
    return MEASURED if seed is None else f"simulated with seed {int(seed)}"


def _headers_of(path, quality, channels):
    path = Path(path)
    if path.suffix in READERS:
        list_headers, _ = READERS[path.suffix]
        return list_headers(path, quality, channels)
    with open_hdf5(path, "strain in HDF5") as file:
        for read in LAYOUTS.values():
            headers = read(path, file, quality, channels)
            if headers is not None:
                return [replace(header, origin=_origin(file)) for header in headers]
    return None


def _expand(paths):
    """Resolve files, folders and glob patterns into (path, was it named itself)."""
    for path in [paths] if isinstance(paths, str | Path) else paths:
        if Path(path).is_dir():
            for entry in sorted(Path(path).iterdir()):
                if entry.suffix in STRAIN_SUFFIXES:
                    yield entry, False
        elif glob.has_magic(str(path)) and not Path(path).exists():
            matches = sorted(glob.glob(str(path)))
            if not matches:
                raise InputError(f"{path}: matches no file; check the pattern")
            yield from ((Path(match), True) for match in matches)
        else:
            yield Path(path), True


def _by_detector(channels):
    """Return the channels asked for as a dictionary from detector to name."""
    if not channels or isinstance(channels, dict):
        return channels or {}
    pairs = [word.partition("=") for word in ([channels] if isinstance(channels, str) else channels)]
    for detector, sign, name in pairs:
        if detector not in DETECTORS or not name:
            raise InputError(
                f"--channel {detector}{sign}{name}: expected a detector and the name of its channel, as H1=NAME"
            )
    return {detector: name for detector, _, name in pairs}


def list_segments(
    strain: Any,
    quality: Sequence[str] = (),
    channels: Mapping[str, str] | Sequence[str] | None = None,
    *,
    sample_rate: Any = None,
    gps_start: Any = None,
) -> list[SegmentHeader]:
    """List the segments of strain in files, folders or glob patterns, or in memory, whether or not they overlap.

    The same as `find_segments` but for the overlaps.
    """
    headers, chosen, given = [], _by_detector(channels), _listed(strain)
    for one in given:
        if isinstance(one, str | Path):
            for path, named in _expand([one]):
                found = _headers_of(path, quality, chosen)
                if found is None and named:
                    raise InputError(f"{path}: holds no strain in a known layout ({', '.join(LAYOUTS)})")
                headers.extend(found or [])
        elif is_in_memory(one):
            if quality:
                raise InputError(f"strain in memory has no data-quality flags; leave out {' '.join(quality)}")
            headers.extend(headers_in_memory(one, sample_rate, gps_start))
        else:
            raise InputError(f"{one!r:.60}: is no strain; expected {TAKEN}")
    if not headers:
        raise InputError(f"{', '.join(map(str, given))}: no strain file ({', '.join(LAYOUTS)}) found there")
    return sorted(headers, key=lambda h: (h.detector, h.gps_start))


def _listed(strain):
    if isinstance(strain, str | Path) or is_in_memory(strain):
        return [strain]
    try:
        return list(strain)
    except TypeError:
        raise InputError(f"{strain!r:.60}: is no strain; expected {TAKEN}") from None


def find_overlap(headers: Sequence[SegmentHeader]) -> tuple[SegmentHeader, SegmentHeader] | None:
    """Return the first two segments of one detector that overlap, or None.

    Args:
        headers: SegmentHeader list, as from `list_segments`.
    """
    for before, after in itertools.pairwise(headers):
        if before.detector == after.detector and after.gps_start < before.gps_stop - 0.5 / before.sample_rate:
            return before, after
    return None


def find_segments(
    strain: Any,
    quality: Sequence[str] = (),
    channels: Mapping[str, str] | Sequence[str] | None = None,
    *,
    sample_rate: Any = None,
    gps_start: Any = None,
) -> list[SegmentHeader]:
    """List the segments of strain in files, folders or glob patterns, or in memory, in order of detector and time.

    In a folder, files that hold no strain are passed over; a file named itself has to hold some.

    Args:
        strain: One path or several, HDF5 or frames (.gwf); GW150914 stands for the files that ship with the project. Or strain in
            memory, see `objects.headers_in_memory`: a dictionary from detector to gwpy or PyCBC TimeSeries or to arrays.
        quality: Short names of data-quality and injection flags that the strain has to fulfil, for example "CBC_CAT1"
            or "NO_CBC_HW_INJ"; seconds that do not are invalid. Only GWOSC files have flags.
        channels: Dictionary detector -> name of its channel, or of its dataset, where files hold several series of it; or
            the same as "H1=NAME" texts.
        sample_rate, gps_start: Of arrays, samples per second and GPS seconds of the first sample.

    Returns:
        List of SegmentHeader.

    Raises:
        InputError: A file is missing, truncated, no HDF5 or of unknown layout; no strain at all; several channels that
            may be strain; segments of one detector that overlap; a flag that a file does not have; an object that is no
            strain, or in another unit.
        UnreadableError: A file is locked, or compressed with a filter that is not installed.
    """
    headers = list_segments(
        with_shipped(_listed(strain)), quality, channels, sample_rate=sample_rate, gps_start=gps_start
    )
    if overlap := find_overlap(headers):
        before, after = overlap
        raise InputError(
            f"{after.path}: {after.detector} from GPS {after.gps_start:.0f} overlaps {before.path}; "
            "give each segment once"
        )
    return headers


def read_segment(header: SegmentHeader, start: int = 0, stop: int | None = None) -> StrainSegment:
    """Read samples [start, stop) of a segment.

    Returns:
        StrainSegment with float64 strain; `valid` is false where the strain is not finite, where it repeats one value
        for longer than `quality.DEAD_SECONDS` (gaps that were filled), and where the file's own data-quality mask says
        that there is none.

    Raises:
        InputError: The data cannot be read (truncated or damaged file).
    """
    stop = header.samples if stop is None else stop
    strain = _read(header, start, stop)
    valid = valid_samples(strain, header.sample_rate)
    if header.present is not None:
        second = ((np.arange(start, start + len(strain))) / header.sample_rate).astype(int)
        valid &= np.asarray(header.present)[np.minimum(second, len(header.present) - 1)]
    return StrainSegment(
        header.detector, header.gps_start + start / header.sample_rate, header.sample_rate, strain, valid
    )


def _read(header, start, stop):
    """Return samples [start, stop) of a segment as float64 of this machine's byte order."""
    if header.held is not None:
        return filled(header.held[start:stop])
    if (suffix := Path(header.path).suffix) in READERS:
        _, read = READERS[suffix]
        return read(header)[start:stop]
    with open_hdf5(header.path) as file:
        dataset = find(file, header.dataset)
        if dataset is None or len(dataset) != header.samples:
            raise InputError(f"{header.path}: {header.dataset} has changed since it was looked at; start again")
        return require_held(dataset)[start:stop].astype(np.float64)
