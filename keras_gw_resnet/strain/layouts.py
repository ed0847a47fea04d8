"""Layouts of strain files: what each says of its segments, without reading the strain.

A new layout is one function and one line in `LAYOUTS`.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from keras_gw_resnet.errors import InputError
from keras_gw_resnet.hdf5 import attribute, datasets, find, require_held, shown, text
from keras_gw_resnet.strain.quality import count_flags, present_seconds, read_bit_masks, remarkable

DETECTORS = ("H1", "L1", "V1", "K1", "G1", "I1")
HIGHEST_RATE = 1 << 17
# Beyond this GPS second (about 2286) float64 tells the samples of strain apart no more.
LATEST = 1e10
# Of files with flags, which are kept second by second.
LONGEST_SECONDS = 1 << 22

# Origin of strain that no simulation made.
MEASURED = "measured"


@dataclass(frozen=True)
class SegmentHeader:
    """Where a segment lies: uniformly sampled strain of one detector.

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
        remarks: Tuple of (GPS start, GPS stop, what) of hardware injections and flagged times, see `quality.remarkable`.
        held: The strain itself, array (samples,), where it is in memory; None: it is read from the file.
    """

    path: str
    dataset: str
    detector: str
    gps_start: float
    sample_rate: float
    samples: int
    present: tuple | None = None
    origin: str = MEASURED
    flags: tuple = ()
    remarks: tuple = ()
    held: np.ndarray | None = field(default=None, compare=False, repr=False)

    @property
    def gps_stop(self) -> float:
        """GPS time just after the last sample, in seconds."""
        return self.gps_start + self.samples / self.sample_rate


def _number(path, dataset, what, value):
    """Return a start or a spacing, an attribute or a name, as a number."""
    value = np.ravel(value)
    try:
        if value.size == 1 and value.dtype.kind != "c":
            return float(value[0])
    except (TypeError, ValueError):
        pass
    shown_value = np.array2string(value, threshold=6, precision=8)[:60]
    raise InputError(f"{path}: {what} of {shown(dataset)} is {shown_value}; expected one number, in seconds")


def sample_rate_of(path: Path | str, dataset: str, spacing: Any) -> float:
    """Return the sample rate, a whole number of Hz, of a spacing in seconds.

    Raises:
        InputError: It is none.
    """
    spacing = 0.0 if spacing is None else _number(path, dataset, "the sample spacing", spacing)
    rate = 1 / spacing if spacing > 0 else float("nan")
    if not np.isfinite(rate) or abs(rate - round(rate)) > 1e-6 * rate or not 1 <= round(rate) <= HIGHEST_RATE:
        raise InputError(
            f"{path}: unknown sample rate (sample spacing {spacing} s); expected 1/rate with a whole rate in Hz"
        )
    return float(round(rate))


def start_of(path: Path | str, dataset: str, value: Any) -> float:
    """Return a GPS start in seconds.

    Raises:
        InputError: It is no finite time that float64 can tell samples apart at.
    """
    start = _number(path, dataset, "the start", value)
    if not abs(start) < LATEST:
        raise InputError(f"{path}: {shown(dataset)} starts at GPS {start:g}; expected a finite time in seconds")
    return start


def _unfit(dataset, kinds):
    """Say why a dataset is no series of strain, None where it may be one."""
    if not isinstance(dataset, h5py.Dataset):
        return "a group"
    if dataset.ndim != 1 or dataset.dtype.kind not in kinds:
        return f"shape {dataset.shape}, type {dataset.dtype}"
    unit = text(attribute(dataset, "xunit", "s"))
    return None if unit in ("s", "second", "seconds") else f"a series in {unit}"


def _gwosc(path, file, quality, _):
    """GWOSC: strain/Strain with Xstart and Xspacing, meta/Detector, quality/simple (gwosc.org)."""
    strain = find(file, "strain/Strain")
    if strain is None:
        return None
    if unfit := _unfit(strain, "fiu"):
        raise InputError(
            f"{path}: strain/Strain is no strain ({unfit}); expected a one-dimensional series of real numbers"
        )
    start, spacing, detector = attribute(strain, "Xstart"), attribute(strain, "Xspacing"), find(file, "meta/Detector")
    known = {"Xstart": start, "Xspacing": spacing, "meta/Detector": detector}
    if missing := [name for name, value in known.items() if value is None]:
        what = ", ".join(missing)
        raise InputError(f"{path}: looks like a GWOSC file but lacks {what}; unknown sample rate, time or detector")
    rate, samples = sample_rate_of(path, "strain/Strain", spacing), require_held(strain).shape[0]
    if samples > LONGEST_SECONDS * rate:
        raise InputError(
            f"{path}: declares {samples / rate:.3g} s of strain; expected {LONGEST_SECONDS} at most in a GWOSC file"
        )
    bit_masks = read_bit_masks(path, file, -(-samples // round(rate)))
    return [
        SegmentHeader(
            path=str(path),
            dataset="strain/Strain",
            detector=text(detector, 16),
            gps_start=start_of(path, "strain/Strain", start),
            sample_rate=rate,
            samples=samples,
            present=present_seconds(path, bit_masks, quality),
            flags=count_flags(bit_masks),
            remarks=remarkable(bit_masks, start_of(path, "strain/Strain", start)),
        )
    ]


@dataclass(frozen=True)
class _Series:
    """A dataset that may hold strain: where it is, of which detector and channel, and how much speaks for it."""

    place: str
    dataset: h5py.Dataset
    start: object
    spacing: object
    detector: str | None
    unfit: str | None

    @property
    def names(self):
        given = [text(attribute(self.dataset, name, "")) for name in ("channel", "name")]
        return [*filter(None, given), self.place]

    @property
    def channel(self):
        """Its name; unnamed segments that are numbered, as those of MLGWSC-1, are of one channel."""
        return self.names[0] if len(self.names) > 1 else re.sub(r"[\d.]+$", "", self.place)

    @property
    def unit(self):
        return text(attribute(self.dataset, "unit", ""))

    @property
    def rank(self):
        """2: strain by its unit or name. 1: nothing speaks against it. 0: has another unit."""
        if self.unit.lower() == "strain" or any("strain" in name.lower() for name in self.names):
            return 2
        return int(self.unit in ("", "dimensionless"))

    def is_called(self, name):
        return name in self.names or self.place.endswith(f"/{name}")


# Attributes with the GPS start and the sample spacing, by who writes them.
ATTRIBUTES = {"PyCBC": ("start_time", "delta_t"), "gwpy": ("x0", "dx")}


def detector_in(*texts: str) -> str | None:
    """Return the detector that the first of some texts which has one names, as a part between other characters; None: none does."""
    parts = (part for own in texts for part in re.split(r"[^A-Za-z0-9]+", own))
    return next((part for part in parts if part in DETECTORS), None)


def _detector_of(path, place, dataset):
    """Find the detector in the channel or name of a series ("H1:GDS-CALIB_STRAIN"), its place, or the file's name."""
    own = [text(attribute(dataset, name, "")) for name in ("channel", "name")]
    return detector_in(*own, place, path.name)


def _find_series(path, file):
    """Yield the _Series of a file: those with the attributes of PyCBC or gwpy, and MLGWSC-1's, named by GPS time."""
    for place, dataset in datasets(file):
        start = spacing = None
        for start_name, spacing_name in ATTRIBUTES.values():
            if spacing_name in dataset.attrs and spacing is None:
                start, spacing = attribute(dataset, start_name), attribute(dataset, spacing_name)
        *groups, key = place.split("/")
        segment = spacing is not None or re.fullmatch(r"\d+(\.\d+)?", key)
        if start is None and segment and len(groups) == 1 and groups[0] in DETECTORS:
            start = key
        if start is not None:
            yield _Series(place, dataset, start, spacing, _detector_of(path, place, dataset), _unfit(dataset, "f"))


def _series(path, file, quality, channels):
    """MLGWSC-1 (arXiv 2209.11146), PyCBC and gwpy: datasets with their start and spacing, in groups or not."""
    found = list(_find_series(path, file))
    if not found:
        return None
    if quality:
        raise InputError(f"{path}: has no data-quality flags; {' '.join(quality)} can be asked of GWOSC files alone")
    chosen = [
        one for detector in dict.fromkeys(s.detector for s in found) for one in _choose(path, found, detector, channels)
    ]
    if not chosen:
        listed = ", ".join(f"{shown(one.place)} ({one.unfit})" for one in found[:5])
        raise InputError(
            f"{path}: holds no strain: {listed}; expected a one-dimensional series of real numbers in time"
        )
    return [_header(path, one, detector) for one, detector in chosen]


def _choose(path, found, detector, channels):
    """Choose the series of a detector's strain and return [(series, detector)]."""
    own = [one for one in found if one.detector == detector]
    for name, channel in channels.items():
        if detector in (name, None):
            called = [one for one in own if one.is_called(channel)]
            if not called and detector is not None:
                raise InputError(f"{path}: has no channel {channel} of {name}; it has {_listed(own)}")
            if called:
                if unfit := [one.unfit for one in called if one.unfit]:
                    raise InputError(f"{path}: {channel} is no strain ({unfit[0]}); expected a series of real numbers")
                return [(one, name) for one in called]
    fit = [one for one in own if one.unfit is None]
    best = [one for one in fit if one.rank == max(other.rank for other in fit)]
    which = detector or "H1"
    if best and best[0].rank == 0:
        raise InputError(
            f"{path}: has no series in units of strain; it has {_listed(best)}; choose with --channel {which}=NAME"
        )
    if len({one.channel for one in best}) > 1:
        raise InputError(
            f"{path}: holds several channels of {which}: {_listed(best)}; choose with --channel {which}=NAME"
        )
    return [(one, detector) for one in best]


def _listed(series):
    names = dict.fromkeys(f"{shown(one.names[0])}{f' in {one.unit}' if one.unit else ''}" for one in series)
    return ", ".join([*list(names)[:4], *([f"and {len(names) - 4} more"] if len(names) > 4 else [])])


def _header(path, series, detector):
    place = series.place
    if detector is None:
        raise InputError(
            f"{path}: {shown(place)} does not say its detector; name the file after it, for example H1-{path.name}, or "
            f"say it with --channel H1={shown(place)}"
        )
    return SegmentHeader(
        path=str(path),
        dataset=place,
        detector=detector,
        gps_start=start_of(path, place, series.start),
        sample_rate=sample_rate_of(path, place, series.spacing),
        samples=require_held(series.dataset).shape[0],
    )


LAYOUTS = {"GWOSC": _gwosc, "MLGWSC-1, PyCBC, gwpy": _series}
