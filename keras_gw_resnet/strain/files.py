"""Strain files of every format behind one interface.

`find_segments` lists what files hold without reading the strain, `read_segment` reads (part of) one.
A new format is one function and one line in `FORMATS`.
"""

import glob
import itertools
import re
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np

from keras_gw_resnet.errors import InputError
from keras_gw_resnet.files import HDF5_SUFFIXES
from keras_gw_resnet.strain.quality import count_flags, fulfilled, valid_runs
from keras_gw_resnet.strain.shipped import with_shipped

DETECTORS = ("H1", "L1", "V1", "K1", "G1", "I1")

# Beyond this no unit of strain makes sense.
LARGEST_STRAIN = 1e10
# A detector that repeats one value for longer than this was not running, whatever its flags say.
DEAD_SECONDS = 0.125


@dataclass(frozen=True)
class SegmentHeader:
    """Where a stretch of uniformly sampled strain of one detector lies.

    Attributes:
        path: File that holds it.
        dataset: Path of the strain dataset inside the file.
        detector: "H1", "L1", "V1", ...
        gps_start: GPS time of the first sample in seconds.
        sample_rate: Samples per second.
        samples: Number of samples.
        present: Tuple of booleans, one a second: strain is present and fulfils the flags asked for. None: all of it.
        origin: "measured", or which simulation wrote the file.
        flags: Tuple of (short name, seconds set, seconds in all) of the file's data-quality and injection flags.
    """

    path: str
    dataset: str
    detector: str
    gps_start: float
    sample_rate: float
    samples: int
    present: tuple | None = None
    origin: str = "measured"
    flags: tuple = ()

    @property
    def gps_stop(self):
        """GPS time just after the last sample, in seconds."""
        return self.gps_start + self.samples / self.sample_rate


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


def _sample_rate(path, spacing):
    rate = 1 / float(spacing) if spacing and float(spacing) > 0 else float("nan")
    if not np.isfinite(rate) or abs(rate - round(rate)) > 1e-6 * rate or not 1 <= round(rate) <= 1 << 20:
        raise InputError(
            f"{path}: unknown sample rate (sample spacing {spacing} s); expected 1/rate with a whole rate in Hz"
        )
    return float(round(rate))


def _start(path, dataset, value):
    start = float(value)
    if not np.isfinite(start):
        raise InputError(f"{path}: {dataset} starts at GPS {start}; expected a finite time")
    return start


def _strain_dataset(path, dataset):
    """Check that this is a series of real numbers and return it."""
    name = dataset.name.lstrip("/") if isinstance(dataset, h5py.Dataset | h5py.Group) else "strain"
    if not isinstance(dataset, h5py.Dataset) or dataset.ndim != 1 or dataset.dtype.kind not in "fiu":
        what = f"shape {dataset.shape}, type {dataset.dtype}" if isinstance(dataset, h5py.Dataset) else "a group"
        raise InputError(f"{path}: {name} is no strain ({what}); expected a one-dimensional series of real numbers")
    return dataset


# Where GWOSC files keep their flags: the bit mask, one entry a second, and the short names of its bits.
QUALITY_DATASETS = (
    ("quality/simple/DQmask", "quality/simple/DQShortnames"),
    ("quality/injections/Injmask", "quality/injections/InjShortnames"),
)


def _bit_masks(path, file, seconds):
    """Read the bit masks of a GWOSC file with the short names of their bits, as text."""
    bit_masks = []
    for mask_name, names_name in QUALITY_DATASETS:
        if mask_name not in file or names_name not in file:
            continue
        mask, short_names = file[mask_name][()], file[names_name][()]
        if np.asarray(mask).dtype.kind not in "iu" or np.shape(mask) != (seconds,):
            raise InputError(
                f"{path}: {mask_name} has shape {np.shape(mask)}, type {np.asarray(mask).dtype}; "
                f"expected {seconds} integers, one a second of strain"
            )
        if np.ndim(short_names) != 1:
            raise InputError(f"{path}: {names_name} is no list of names, one a bit")
        bit_masks.append((mask, [_text(name) for name in short_names]))
    return bit_masks


def _present(path, bit_masks, quality):
    """Say for each second whether strain is there and fulfils all the wanted flags; None where all seconds do."""
    conditions = [fulfilled(bit_masks, "DATA"), *(_required(path, bit_masks, name) for name in quality)]
    present = np.all([c for c in conditions if c is not None], axis=0)
    return None if present.all() else tuple(present.tolist())


def _required(path, bit_masks, name):
    condition = fulfilled(bit_masks, name)
    if condition is None:
        known = ", ".join(name for _, names in bit_masks for name in names) or "no flags"
        raise InputError(f"{path}: has no data-quality flag {name}; it has {known}")
    return condition


def _text(value):
    value = np.ravel(value[()] if isinstance(value, h5py.Dataset) else value)[0]
    return value.decode() if isinstance(value, bytes) else str(value)


def _gwosc(path, file, quality):
    """GWOSC: strain/Strain with Xstart and Xspacing, meta/Detector, quality/simple (gwosc.org)."""
    strain = file.get("strain/Strain")
    if strain is None:
        return None
    strain = _strain_dataset(path, strain)
    missing = [name for name in ("Xstart", "Xspacing") if name not in strain.attrs]
    if missing or "meta/Detector" not in file:
        what = ", ".join([*missing, *(["meta/Detector"] if "meta/Detector" not in file else [])])
        raise InputError(f"{path}: looks like a GWOSC file but lacks {what}; unknown sample rate, time or detector")
    rate = _sample_rate(path, strain.attrs["Xspacing"])
    bit_masks = _bit_masks(path, file, -(-strain.shape[0] // round(rate)))
    return [
        SegmentHeader(
            path=str(path),
            dataset="strain/Strain",
            detector=_text(file["meta/Detector"]),
            gps_start=_start(path, "strain/Strain", strain.attrs["Xstart"]),
            sample_rate=rate,
            samples=strain.shape[0],
            present=_present(path, bit_masks, quality),
            flags=count_flags(bit_masks),
        )
    ]


def _mlgwsc1(path, file, quality):
    """MLGWSC-1: one group a detector, one dataset a segment with start_time and delta_t (arXiv 2209.11146)."""
    detectors = [name for name in DETECTORS if isinstance(file.get(name), h5py.Group)]
    if not detectors:
        return None
    _refuse_quality(path, quality)
    headers = []
    for detector in detectors:
        for key, entry in file[detector].items():
            dataset = _strain_dataset(path, entry)
            start = dataset.attrs.get("start_time", key)
            try:
                start = _start(path, f"{detector}/{key}", start)
            except InputError:
                raise
            except ValueError:
                raise InputError(f"{path}: {detector}/{key} has no start_time and its name is no GPS time") from None
            headers.append(
                SegmentHeader(
                    path=str(path),
                    dataset=f"{detector}/{key}",
                    detector=detector,
                    gps_start=start,
                    sample_rate=_sample_rate(path, dataset.attrs.get("delta_t")),
                    samples=dataset.shape[0],
                )
            )
    return headers


def _detector_of(path, dataset):
    """Find the detector in the channel or name of a series ("H1:GDS-CALIB_STRAIN"), its place, or the file's name."""
    sources = [dataset.attrs.get("channel", ""), dataset.attrs.get("name", ""), dataset.name, path.name]
    for source in sources:
        found = [part for part in re.split(r"[^A-Za-z0-9]+", _text(source)) if part in DETECTORS]
        if found:
            return found[0]
    raise InputError(
        f"{path}: {dataset.name.lstrip('/')} does not say its detector; name the file after it, for example H1-{path.name}"
    )


def _refuse_quality(path, quality):
    if quality:
        raise InputError(f"{path}: has no data-quality flags; {' '.join(quality)} can be asked of GWOSC files alone")


def _series(path, file, quality, attributes):
    """Take every dataset that has the two attributes, start and spacing, as a segment."""
    found = []
    file.visititems(lambda _, entry: found.append(entry) if set(attributes) <= set(entry.attrs) else None)
    if found:
        _refuse_quality(path, quality)
    start, spacing = attributes
    return [
        SegmentHeader(
            path=str(path),
            dataset=dataset.name.lstrip("/"),
            detector=_detector_of(path, dataset),
            gps_start=_start(path, dataset.name, dataset.attrs[start]),
            sample_rate=_sample_rate(path, dataset.attrs[spacing]),
            samples=_strain_dataset(path, dataset).shape[0],
        )
        for dataset in found
    ] or None


def _pycbc(path, file, quality):
    """PyCBC, TimeSeries.save: a dataset with start_time and delta_t, "data" unless the writer said otherwise."""
    return _series(path, file, quality, ("start_time", "delta_t"))


def _gwpy(path, file, quality):
    """gwpy, TimeSeries.write: a dataset with x0 and dx, with the channel where the writer knew it."""
    return _series(path, file, quality, ("x0", "dx"))


FORMATS = {"GWOSC": _gwosc, "MLGWSC-1": _mlgwsc1, "PyCBC": _pycbc, "gwpy": _gwpy}


def open_hdf5(path):
    """Open an HDF5 file for reading.

    Raises:
        InputError: The file is missing, truncated, unreadable, or no HDF5.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path}: is a folder; expected an HDF5 file")
    if not path.exists():
        raise InputError(f"{path}: no such file; check the path")
    try:
        with path.open("rb") as raw:
            is_hdf5 = raw.read(8) == b"\x89HDF\r\n\x1a\n"
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    try:
        return h5py.File(path, "r")
    except OSError as error:
        what = (
            "is a truncated or damaged HDF5 file; fetch or write it again"
            if is_hdf5
            else "is no HDF5 file; expected strain in HDF5"
        )
        raise InputError(f"{path}: {what}") from error


def _origin(file):
    """Say which simulation wrote a file: those of this package and of MLGWSC-1 name their seed at its root."""
    if "seed" not in file.attrs:
        return "measured"
    return f"simulated with seed {int(file.attrs['seed'])}"


def _headers_of(path, quality):
    path = Path(path)
    with open_hdf5(path) as file:
        for read in FORMATS.values():
            try:
                headers = read(path, file, quality)
                if headers is not None:
                    return [replace(header, origin=_origin(file)) for header in headers]
            except InputError:
                raise
            except (OSError, KeyError, RuntimeError, ValueError, TypeError, IndexError) as error:
                raise InputError(
                    f"{path}: is a damaged or malformed HDF5 file ({error}); fetch or write it again"
                ) from error
        return None


def _expand(paths):
    """Resolve files, folders and glob patterns into (path, was it named itself)."""
    for path in [paths] if isinstance(paths, str | Path) else paths:
        if Path(path).is_dir():
            for entry in sorted(Path(path).iterdir()):
                if entry.suffix in HDF5_SUFFIXES:
                    yield entry, False
        elif glob.has_magic(str(path)) and not Path(path).exists():
            matches = sorted(glob.glob(str(path)))
            if not matches:
                raise InputError(f"{path}: matches no file; check the pattern")
            yield from ((Path(match), True) for match in matches)
        else:
            yield Path(path), True


def list_segments(paths, quality=()):
    """List the strain segments in files, folders or glob patterns, whether or not they overlap.

    The same as `find_segments` but for the overlaps.
    """
    paths = [paths] if isinstance(paths, str | Path) else list(paths)
    headers = []
    for path, named in _expand(paths):
        found = _headers_of(path, quality)
        if found is None and named:
            raise InputError(f"{path}: holds no strain in a known layout ({', '.join(FORMATS)})")
        headers.extend(found or [])
    if not headers:
        raise InputError(f"{', '.join(map(str, paths))}: no strain file ({', '.join(FORMATS)}) found there")
    return sorted(headers, key=lambda h: (h.detector, h.gps_start))


def find_overlap(headers):
    """Return the first two segments of one detector that overlap, or None.

    Args:
        headers: SegmentHeader list, as from `list_segments`.
    """
    for before, after in itertools.pairwise(headers):
        if before.detector == after.detector and after.gps_start < before.gps_stop - 0.5 / before.sample_rate:
            return before, after
    return None


def find_segments(paths, quality=()):
    """List the strain segments in files, folders or glob patterns, in order of detector and time.

    In a folder, HDF5 files that hold no strain are passed over; a file named itself has to hold some.

    Args:
        paths: One path or several; GW150914 stands for the files that ship with the project.
        quality: Short names of data-quality and injection flags that the strain has to fulfil, for example "CBC_CAT1"
            or "NO_CBC_HW_INJ"; seconds that do not are invalid. Only GWOSC files have flags.

    Returns:
        List of SegmentHeader.

    Raises:
        InputError: A file is missing, truncated, no HDF5 or of unknown layout; no strain at all; segments of
            one detector that overlap; a flag that a file does not have.
    """
    headers = list_segments(with_shipped(paths), quality)
    if overlap := find_overlap(headers):
        before, after = overlap
        raise InputError(
            f"{after.path}: {after.detector} from GPS {after.gps_start:.0f} overlaps {before.path}; "
            "give each stretch of strain once"
        )
    return headers


def read_segment(header, start=0, stop=None):
    """Read samples [start, stop) of a segment.

    Returns:
        StrainSegment with float64 strain; `valid` is false where the strain is not finite, where it repeats one value
        for longer than `DEAD_SECONDS` (gaps that were filled), and where the file's own data-quality mask says
        that there is none.

    Raises:
        InputError: The data cannot be read (truncated or damaged file).
    """
    stop = header.samples if stop is None else stop
    with open_hdf5(header.path) as file:
        try:
            strain = file[header.dataset][start:stop].astype(np.float64)
        except (OSError, KeyError, RuntimeError, ValueError, TypeError) as error:
            raise InputError(
                f"{header.path}: {header.dataset} cannot be read; the file is truncated or damaged"
            ) from error
    valid = np.abs(strain) < LARGEST_STRAIN
    with np.errstate(invalid="ignore"):
        repeated = np.diff(strain) == 0
    for first, last in valid_runs(repeated):
        if last - first >= DEAD_SECONDS * header.sample_rate:
            valid[first : last + 1] = False
    if header.present is not None:
        second = ((np.arange(start, start + len(strain))) / header.sample_rate).astype(int)
        valid &= np.asarray(header.present)[np.minimum(second, len(header.present) - 1)]
    return StrainSegment(
        header.detector, header.gps_start + start / header.sample_rate, header.sample_rate, strain, valid
    )
