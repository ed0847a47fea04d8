"""Strain files that arrive in a folder while it is watched: each is read once, when it is whole."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from keras_gw_resnet.errors import InputError
from keras_gw_resnet.strain.files import STRAIN_SUFFIXES, list_segments, read_segment
from keras_gw_resnet.strain.layouts import SegmentHeader

# A file that cannot be read and does not change for so long is left out; before, it may be half written.
UNREADABLE_SECONDS = 30.0
# One look takes about so many seconds of strain, of all detectors.
LOOKED_SECONDS = 1200.0
# Names of files as observatories write them end in GPS start and seconds: they are read in order of time.
GPS = re.compile(r"-(\d{9,10})(?:\.\d+)?-\d+\.\w+$")


class Arrivals:
    """The strain in the files of a folder, those that come later included, held in memory.

    Args:
        folder: Folder; files whose names begin with a dot or do not end as strain files do are passed over.
        detectors: Whose strain is wanted.
        quality, channels: See `find_segments`.
        say: Called with one line about each file that is not taken as it is.
        clock: Seconds that have gone by.

    Attributes:
        headers: SegmentHeader list of what is held, none of one detector overlapping; invalid samples are NaN.
        since: Earliest GPS second of interest; None: all. What comes before it is passed over.
        searched: GPS second up to which nothing is taken any more; None: all is.

    Raises:
        InputError: There is no such folder.
    """

    def __init__(
        self,
        folder: Path | str,
        detectors: Sequence[str],
        quality: Sequence[str] = (),
        channels: Mapping[str, str] | Sequence[str] | None = None,
        *,
        say: Callable[[str], object] = print,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder, self.headers = Path(folder), []
        self.since: float | None = None
        self.searched: float | None = None
        self._detectors, self._options = tuple(detectors), (quality, channels)
        self._say, self._clock = say, clock
        self._read, self._waiting, self._gone = {}, {}, False
        if not self.folder.is_dir():
            raise InputError(f"{folder}: is no folder; expected one in which strain files arrive")

    def look(self) -> int:
        """Read the files that have come since; return how many gave strain."""
        stamps = self._stamps()
        if stamps is None:
            return 0
        self._read = {name: stamp for name, stamp in self._read.items() if name in stamps}
        self._waiting = {name: since for name, since in self._waiting.items() if name in stamps}
        begun, taken = sum(header.samples / header.sample_rate for header in self.headers), 0
        for name, stamp in stamps.items():
            if self._read.get(name) != stamp:
                taken += self._take(name, stamp)
            if sum(header.samples / header.sample_rate for header in self.headers) > begun + LOOKED_SECONDS:
                break  # what was there before is taken bit by bit
        return taken

    def last(self, detector: str, seconds: float) -> float:
        """Return the GPS second from which on so many seconds of a detector's strain are held; minus infinity: there are fewer."""
        for header in reversed(self.headers):
            if header.detector == detector:
                held = header.samples / header.sample_rate
                if held >= seconds:
                    return header.gps_stop - seconds
                seconds -= held
        return -np.inf

    def give_up(self) -> None:
        """Say which files could not be read and were still waited for."""
        for name, (stamp, _, error) in self._waiting.items():
            self._read[name] = stamp
            self._say(f"{error}; left out")
        self._waiting = {}

    def forget(self, before: float) -> None:
        """Let go of the strain before a GPS second."""
        self.since = before
        self.headers = [header for header in self.headers if header.gps_stop > before]

    def leave_out(self, start: float, stop: float) -> None:
        """Let go of the strain between two GPS seconds."""
        self.headers = [rest for header in self.headers for rest in _without(header, start, stop)]

    def _stamps(self):
        """Return {name: (bytes, time of writing)} of the strain files, in order of time by their names; None: the folder is gone."""
        try:
            found = {}
            for path in sorted(self.folder.iterdir(), key=_in_time):
                if path.suffix in STRAIN_SUFFIXES and not path.name.startswith("."):
                    stamp = _stamp(path)
                    found |= {path.name: stamp} if stamp else {}
        except OSError as error:
            if not self._gone:
                self._say(f"{self.folder}: is gone ({error.strerror}); waiting for it")
            self._gone = True
            return None
        if self._gone:
            self._say(f"{self.folder}: is there again")
        self._gone = False
        return found

    def _take(self, name, stamp):
        path, before = self.folder / name, self._read.get(name)
        if before and stamp[0] < before[0]:
            self._read[name] = stamp
            self._say(f"{path}: has shrunk since it was read; what was read stays")
            return False
        try:
            headers = [self._held(header) for header in self._wanted(path, before is not None)]
            if _stamp(path) != stamp:
                return False  # it is being written: the next look reads it
        except InputError as error:
            seen, since, _ = self._waiting.get(name, (None, 0.0, ""))
            if seen != stamp:
                self._waiting[name] = stamp, self._clock(), str(error)
            elif self._clock() - since > UNREADABLE_SECONDS:
                self._read[name] = stamp
                self._say(f"{self._waiting.pop(name)[2]}; left out")
            return False
        self._read[name] = stamp
        self._waiting.pop(name, None)
        # A file that grew holds what was read of it once more.
        added = [self._add(header, grown=before is not None) for header in headers]
        return any(added)

    def _wanted(self, path, known):
        every = [header for header in list_segments(path, *self._options) if header.detector in self._detectors]
        if self.since is None:
            return every
        for header in every:
            if header.gps_stop <= self.since and self.searched is not None and not known:
                far = (
                    f"{self.searched:.16g} is searched"
                    if self.since < self.searched
                    else f"{self.since:.16g} is let go"
                )
                self._say(f"{_where(header)} came late: all up to GPS {far}; it is left out")
        return [header for header in every if header.gps_stop > self.since]

    def _held(self, header):
        segment = read_segment(header)
        return replace(header, held=np.where(segment.valid, segment.strain, np.nan), present=None)

    def _add(self, header, grown):
        """Take the part of a segment that is new; return whether there is any."""
        where = _where(header)
        own = [h for h in self.headers if h.detector == header.detector]
        parts = [header]
        for other in own:
            parts = [rest for part in parts for rest in _without(part, other.gps_start, other.gps_stop)]
        new = sum(part.samples for part in parts)
        if new < header.samples and not (grown and new):
            self._say(f"{where} came before; {'the rest is taken' if new else 'what was read first stays'}")
        if self.searched is not None and new:
            parts = [rest for part in parts for rest in _without(part, -np.inf, self.searched)]
            if sum(part.samples for part in parts) < new:
                self._say(
                    f"{where} came late: all up to GPS {self.searched:.16g} is searched; what is before is left out"
                )
        self.headers = sorted([*self.headers, *parts], key=lambda h: (h.detector, h.gps_start))
        return bool(parts)


def _in_time(path):
    named = GPS.search(path.name)
    return int(named[1]) if named else 0, path.name


def _where(header):
    return f"{header.path}: {header.detector} from GPS {header.gps_start:.16g} to {header.gps_stop:.16g}"


def _stamp(path):
    try:
        found = path.stat()
    except OSError:  # it is gone
        return None
    return found.st_size, found.st_mtime_ns


def _without(header, start, stop):
    """Return what of a segment lies outside of a GPS interval, whole samples."""
    first, last = samples_in(header, start, stop)
    if first >= last:
        return [header]
    return [cut(header, a, b) for a, b in ((0, first), (last, header.samples)) if a < b]


def samples_in(header: SegmentHeader, start: float, stop: float) -> np.ndarray:
    """Return (first, last), the samples [first, last) of a segment in a GPS interval."""
    edges = (np.array([start, stop]) - header.gps_start) * header.sample_rate
    return np.clip(edges, 0, header.samples).round().astype(int)


def cut(header: SegmentHeader, first: int, last: int) -> SegmentHeader:
    """Return samples [first, last) of a segment that is held in memory."""
    start = header.gps_start + first / header.sample_rate
    return replace(header, gps_start=start, samples=last - first, held=header.held[first:last])
