"""GPS intervals in which every wanted detector has strain, and the strain of one detector in them, resampled."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from keras_gw_resnet.errors import InputError
from keras_gw_resnet.strain.conditioning import resample
from keras_gw_resnet.strain.files import SegmentHeader, read_segment
from keras_gw_resnet.strain.quality import valid_runs

# Segments follow each other, and detectors share a grid, to this part of a sample.
JOIN_TOLERANCE = 1e-2
# Samples that resampling spoils on either side of an invalid one.
MARGIN = 32
# How much is read at once at the file's own sample rate.
PIECE_SECONDS = 256


@dataclass(frozen=True)
class Interval:
    """GPS interval [start, stop) in seconds that the segments of every detector cover without a gap."""

    start: float
    stop: float


def require_detectors(headers: Sequence[SegmentHeader], detectors: Sequence[str]) -> None:
    """Raise InputError when one of the detectors has no segment."""
    present = sorted({h.detector for h in headers})
    missing = [d for d in detectors if d not in present]
    if missing:
        where = ", ".join(sorted({h.path for h in headers}))
        raise InputError(
            f"{where}: no strain of {' and '.join(missing)} (found {', '.join(present)}); "
            f"give files for {', '.join(detectors)}"
        )


def _join(headers):
    """Intervals of one detector, segments that follow each other joined."""
    intervals = []
    for header in sorted(headers, key=lambda h: h.gps_start):
        tolerance = 0.5 / header.sample_rate
        if intervals and abs(header.gps_start - intervals[-1][1]) < tolerance:
            intervals[-1][1] = header.gps_stop
        else:
            intervals.append([header.gps_start, header.gps_stop])
    return intervals


def coincident_intervals(headers: Sequence[SegmentHeader], detectors: Sequence[str]) -> list[Interval]:
    """List the intervals in which all detectors have data by their headers.

    Args:
        headers: SegmentHeader list, as from `find_segments`.
        detectors: Names of the detectors that have to be present.

    Returns:
        List of Interval in order of time.

    Raises:
        InputError: A detector is absent, or the detectors have no time in common.
    """
    require_detectors(headers, detectors)
    intervals = {d: _join([h for h in headers if h.detector == d]) for d in detectors}
    common, *others = intervals.values()
    for own in others:
        common = [[max(a, c), min(b, d)] for a, b in common for c, d in own if max(a, c) < min(b, d)]
    if not common:
        where = ", ".join(sorted({h.path for h in headers if h.detector in detectors}))
        given = "; ".join(f"{detector} from GPS {_listed(own)}" for detector, own in intervals.items())
        raise InputError(f"{where}: the strain of {' and '.join(detectors)} has no time in common ({given})")
    return [Interval(start, stop) for start, stop in sorted(common)]


def have_common(headers: Sequence[SegmentHeader], detectors: Sequence[str]) -> bool:
    """Say whether all detectors are present and have time in common by their headers."""
    try:
        return bool(coincident_intervals(headers, detectors))
    except InputError:
        return False


def _listed(intervals):
    """Write intervals as text, the first and the last of many."""
    texts = [f"{start:.16g} to {stop:.16g}" for start, stop in intervals]
    return ", ".join(texts if len(texts) <= 3 else [texts[0], "...", texts[-1]])


@dataclass(frozen=True)
class _Chain:
    """Segments of one detector and sample rate that follow each other without a gap, as if they were one."""

    headers: tuple

    @property
    def gps_start(self):
        return self.headers[0].gps_start

    @property
    def gps_stop(self):
        return self.headers[-1].gps_stop

    @property
    def sample_rate(self):
        return self.headers[0].sample_rate

    @property
    def samples(self):
        return sum(h.samples for h in self.headers)

    def read(self, first, last):
        """Return (strain, valid) of samples [first, last)."""
        parts, at = [], 0
        for header in self.headers:
            begin, end = max(0, first - at), min(header.samples, last - at)
            if begin < end:
                parts.append(read_segment(header, begin, end))
            at += header.samples
        return np.concatenate([p.strain for p in parts]), np.concatenate([p.valid for p in parts])


def _chains(headers, detector):
    chains = []
    for header in sorted((h for h in headers if h.detector == detector), key=lambda h: h.gps_start):
        last = chains[-1][-1] if chains else None
        follows = last and abs(header.gps_start - last.gps_stop) < JOIN_TOLERANCE / header.sample_rate
        if follows and header.sample_rate == last.sample_rate:
            chains[-1].append(header)
        else:
            chains.append([header])
    return [_Chain(tuple(chain)) for chain in chains]


def read_interval(
    headers: Sequence[SegmentHeader], detector: str, start: float, stop: float, sample_rate: int
) -> tuple[np.ndarray, np.ndarray]:
    """Read and resample the strain of one detector over a GPS interval.

    Args:
        headers: SegmentHeader list, as from `find_segments`.
        detector: Name.
        start, stop: GPS seconds of the interval [start, stop).
        sample_rate: Wanted samples per second.

    Returns:
        Tuple (strain, valid): float64 and boolean arrays ((stop - start) * sample_rate,).

    Raises:
        InputError: A file cannot be read, a sample rate is too low, samples lie off the grid.
    """
    samples = round((stop - start) * sample_rate)
    strain, valid = np.zeros(samples), np.zeros(samples, bool)
    before = None
    for chain in _chains(headers, detector):
        if chain.gps_stop <= start or chain.gps_start >= stop:
            continue
        path = chain.headers[0].path
        if chain.sample_rate < sample_rate:
            raise InputError(
                f"{path}: {detector} is sampled at {chain.sample_rate:g} Hz; at least {sample_rate} Hz are needed"
            )
        first = (max(start, chain.gps_start) - chain.gps_start) * chain.sample_rate
        if abs(first - round(first)) > JOIN_TOLERANCE:
            raise _off_the_grid(headers, start, stop)
        last = round((min(stop, chain.gps_stop) - chain.gps_start) * chain.sample_rate)
        at = round((chain.gps_start + round(first) / chain.sample_rate - start) * sample_rate)
        begin = at
        for piece, good in _resampled(chain, round(first), last, sample_rate):
            count = max(0, min(len(piece), samples - at))
            strain[at : at + count], valid[at : at + count] = piece[:count], good[:count]
            at += count
        if before is not None and abs(chain.gps_start - before) < 1 / sample_rate:
            # Another sample rate began here: what the resampling filter makes of either end is no strain.
            valid[max(0, begin - MARGIN) : begin + MARGIN] = False
        before = chain.gps_stop
    return strain, valid


def _off_the_grid(headers, start, stop):
    """Return the InputError that names the detectors whose samples lie between those of the most others."""
    here = [h for h in headers if h.gps_start < stop and h.gps_stop > start]

    def apart(one, other):
        samples = (one.gps_start - other.gps_start) * max(one.sample_rate, other.sample_rate)
        return abs(samples - round(samples)) > JOIN_TOLERANCE

    counts = [len({other.detector for other in here if apart(one, other)}) for one in here]
    odd = [header for header, count in zip(here, counts, strict=True) if count == max(counts)]
    where, names = (sorted({getattr(h, name) for h in odd}) for name in ("path", "detector"))
    starts = {h.detector: h.gps_start for h in [*here, *odd]}
    found = ", ".join(f"{detector} at GPS {gps_start:.16g}" for detector, gps_start in starts.items())
    return InputError(
        f"{', '.join(where)}: {' and '.join(names)} sampled off the grid; expected starts a whole number of samples "
        f"apart, found {found}"
    )


def _resampled(chain, first, last, sample_rate):
    """Read samples [first, last) of a chain and yield (strain, validity) at the wanted rate, piece by piece.

    Every piece is read with what the resampling filter sees beyond its ends, so that the pieces are those of the whole.
    """
    step = chain.sample_rate / sample_rate
    whole = round(chain.sample_rate)
    beyond, margin = (0, 0) if step == 1 else (whole // 8, MARGIN)
    # Context begins a whole number of steps before, so that the same samples are kept.
    down = whole // math.gcd(whole, sample_rate)
    for begin in range(first, last, PIECE_SECONDS * whole):
        end = min(last, begin + PIECE_SECONDS * whole)
        low, high = begin - min(beyond, begin) // down * down, min(chain.samples, end + beyond)
        raw, valid = chain.read(low, high)
        piece = resample(np.where(valid, raw, 0.0), chain.sample_rate, sample_rate)
        # Resampling smears invalid samples over its filter; they are marked, with a margin, at the wanted rate.
        good = np.ones(len(piece), bool)
        for a, b in valid_runs(~valid):
            good[max(0, int(a / step) - margin) : int(np.ceil(b / step)) + margin] = False
        kept = slice(round((begin - low) / step), round((begin - low) / step) + math.ceil((end - begin) / step))
        yield piece[kept], good[kept]


def origin_of(headers: Sequence[SegmentHeader], start: float, stop: float) -> str:
    """Say where the strain in a GPS interval comes from: "measured", or which simulations."""
    return " and ".join(sorted({h.origin for h in headers if h.gps_start < stop and h.gps_stop > start}))


def intervals_of(headers: Sequence[SegmentHeader], detectors: Sequence[str]) -> list:
    """List [GPS start, GPS stop, origin] of the intervals that all detectors have in common, see `coincident_intervals`."""
    return [[s.start, s.stop, origin_of(headers, s.start, s.stop)] for s in coincident_intervals(headers, detectors)]
