"""Measured noise for test sets: pieces of the strain of each detector, slid against each other, without known events."""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_gw_resnet.errors import InputError
from keras_gw_resnet.progress import Bar
from keras_gw_resnet.strain.catalogue import known_events, without_events
from keras_gw_resnet.strain.intervals import Interval, coincident_intervals, read_interval, require_detectors
from keras_gw_resnet.strain.quality import valid_runs

if TYPE_CHECKING:
    from keras_gw_resnet.strain.layouts import SegmentHeader

# A piece shorter than this has no room for a noise spectrum, the edges of whitening and an injection.
SHORTEST_PIECE_SECONDS = 32
LONGEST_PIECE_SECONDS = 7200
# So many pieces there are at least, where they do not get shorter than this by it, so that there are many slides.
PIECES, SHORT_PIECE_SECONDS = 16, 64
# Detectors are slid by more than light, a signal or a glitch of both takes.
LEAST_SLIDE_SECONDS = 8.0
# Between two segments: noise spectra are not shared over it, since the noise is of another time.
GAP_SECONDS = 512
# Where injections lie in a segment; those of real noise are often shorter than the challenge's.
EDGE_SECONDS = 10


@dataclass(frozen=True)
class SlidSegment:
    """A segment of a set in real noise.

    Attributes:
        gps_start: Whole GPS second at which the set has it.
        seconds: Whole seconds.
        sources: Dictionary detector -> GPS time at which its strain was recorded.
        slide: Number of the slide, from 1.
    """

    gps_start: int
    seconds: int
    sources: dict
    slide: int


class RealNoise:
    """Strain of files as noise of a set.

    Args:
        headers: SegmentHeader list, as from `find_segments`.
        detectors: Names.
        sample_rate: Samples per second.
        leave_out: GPS times of signals beside the catalogue's.
    """

    def __init__(
        self,
        headers: Sequence[SegmentHeader],
        detectors: Sequence[str],
        sample_rate: int,
        leave_out: Iterable[float] = (),
    ) -> None:
        require_detectors(headers, detectors)
        self.headers, self.detectors, self.sample_rate = headers, tuple(detectors), sample_rate
        self.paths = sorted({h.path for h in headers if h.detector in detectors})
        own = {d: [h for h in headers if h.detector == d] for d in detectors}
        intervals = {d: coincident_intervals(own[d], (d,)) for d in detectors}
        self.events = sorted({n for d in detectors for i in intervals[d] for n in known_events(i.start, i.stop)})
        left = {
            d: [_whole(part, i) for i in intervals[d] for part in without_events([i], leave_out)] for d in detectors
        }
        total = min(sum(i.stop - i.start for i in left[d]) for d in detectors)
        longest = min(LONGEST_PIECE_SECONDS, max(SHORT_PIECE_SECONDS, total / PIECES))
        self.pieces = {d: [piece for i in left[d] for piece in _pieces(i, longest)] for d in detectors}
        self._runs = {}

    def identity(self) -> list:
        """Return what a set in this noise follows from, as JSON holds it: files with size and time of change, flags, pieces."""
        found = {path: Path(path).stat() for path in self.paths}
        files = [[Path(path).name, own.st_size, own.st_mtime_ns] for path, own in found.items()]
        present = [[h.dataset, hashlib.sha256(bytes(h.present)).hexdigest()] for h in self.headers if h.present]
        return [files, present, {d: [[p.start, p.stop] for p in own] for d, own in self.pieces.items()}]

    def plan(self, duration: float, rng: np.random.Generator, gps_start: float) -> list[SlidSegment]:
        """Choose segments, slide by slide, until they are as long as asked.

        Args:
            duration: Seconds.
            rng: numpy Generator.
            gps_start: Whole GPS second of the first.

        Returns:
            List of SlidSegment, together as long as asked.

        Raises:
            InputError: All slides together are too short.
        """
        order = {d: [self.pieces[d][i] for i in rng.permutation(len(self.pieces[d]))] for d in self.detectors}
        first, slides, segments, at = self.detectors[0], 0, [], gps_start
        rest = duration
        with Bar(total=duration, desc="noise", unit="s") as bar:
            for slide in range(max(len(own) for own in order.values()) - 1):
                slides = slide + 1
                for index in range(len(order[first])):
                    chosen = {d: order[d][(index + slides * c) % len(order[d])] for c, d in enumerate(order)}
                    segment = self._segment(chosen, at, rest, slides)
                    if segment is not None:
                        segments.append(segment)
                        rest, at = rest - segment.seconds, at + segment.seconds + GAP_SECONDS
                        bar.update(segment.seconds)
                    if not rest:
                        return segments
        raise InputError(self._too_short(duration, duration - rest, slides))

    def _segment(self, chosen, at, rest, slide):
        """Return the SlidSegment of one piece a detector, None where they are too near in time or too short."""
        starts, longest = {}, rest
        for detector, piece in chosen.items():
            starts[detector], own = self._valid(detector, piece)
            longest = min(longest, own)
        seconds, times = _share(rest, longest), sorted(starts.values())
        if seconds < SHORTEST_PIECE_SECONDS or np.any(np.diff(times) < LEAST_SLIDE_SECONDS):
            return None
        return SlidSegment(at, seconds, starts, slide)

    def _valid(self, detector, piece):
        """Return the GPS start and the whole seconds of the longest valid run of a piece."""
        key = detector, piece.start
        if key not in self._runs:
            _, valid = read_interval(self.headers, detector, piece.start, piece.stop, self.sample_rate)
            runs = valid_runs(valid) or [(0, 0)]
            first, last = max(runs, key=lambda run: run[1] - run[0])
            self._runs[key] = piece.start + first / self.sample_rate, (last - first) // self.sample_rate
        return self._runs[key]

    def _too_short(self, duration, given, slides):
        seconds = ", ".join(f"{sum(p.stop - p.start for p in self.pieces[d]):.0f} s of {d}" for d in self.detectors)
        files = self.paths[0] + (f" and {len(self.paths) - 1} more" if len(self.paths) > 1 else "")
        more = f" and {len(self.events) - 3} more" if len(self.events) > 3 else ""
        around = f" (left out: the time around {', '.join(self.events[:3])}{more})" if self.events else ""
        return (
            f"{files}: too short for a set of {duration} s: {seconds} in pieces of {SHORTEST_PIECE_SECONDS} s and more give {given} s "
            f"in {slides} slide{'s' * (slides != 1)}, all that there are; give more strain, or a shorter --duration{around}"
        )

    def read(self, segment: SlidSegment) -> dict:
        """Read the noise of a SlidSegment: dictionary detector -> float64 array."""
        return {
            d: read_interval(self.headers, d, start, start + segment.seconds, self.sample_rate)[0]
            for d, start in segment.sources.items()
        }

    def usage(self, segments: Sequence[SlidSegment]) -> dict:
        """Count how often the strain is used.

        Returns:
            Dictionary detector -> (distinct seconds of strain, most often that one is used).
        """
        used = {}
        for detector in self.detectors:
            longest = defaultdict(list)
            for segment in segments:
                longest[segment.sources[detector]].append(segment.seconds)
            # Segments of one piece begin at one time.
            used[detector] = sum(map(max, longest.values())), max(map(len, longest.values()))
        return used


def _share(rest, longest):
    """Return how many of the seconds that are wanted a segment is to have, so that the others fit into segments; 0: none."""
    least = SHORTEST_PIECE_SECONDS
    if rest - longest >= 2 * least or longest == rest:
        return longest
    wanted = rest - 2 * least if rest >= 3 * least else rest // 2
    return wanted if wanted <= longest else 0


def _whole(part, interval):
    """Shorten a part of an interval to whole seconds from the interval's start, on whose samples it then begins."""
    first, last = math.ceil(part.start - interval.start), math.floor(part.stop - interval.start)
    return Interval(interval.start + first, interval.start + max(first, last))


def _pieces(interval, longest):
    """Cut an interval into equal pieces of at most so many seconds; none where it is too short."""
    seconds = math.floor(interval.stop - interval.start)
    if seconds < SHORTEST_PIECE_SECONDS:
        return []
    count = math.ceil(seconds / longest)
    if seconds / count < SHORTEST_PIECE_SECONDS:
        count -= 1
    length = seconds // count
    return [Interval(interval.start + i * length, interval.start + (i + 1) * length) for i in range(count)]
