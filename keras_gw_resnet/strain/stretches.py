"""Stretches of strain in which every wanted detector has valid data, whitened."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from keras_gw_resnet.errors import InputError
from keras_gw_resnet.strain.conditioning import LEAST_PSD_SECONDS, NoiseSpectra, Whitening, whiten
from keras_gw_resnet.strain.files import SegmentHeader
from keras_gw_resnet.strain.gating import context_seconds, find_gates, gate, places_within, refuse_large_share
from keras_gw_resnet.strain.intervals import JOIN_TOLERANCE, Interval, coincident_intervals, origin_of, read_interval
from keras_gw_resnet.strain.quality import valid_runs

CHUNK_SECONDS = 1024
# Strain after which a gate that takes most of it is refused, and not at the end alone.
GATED_UNCHECKED_SECONDS = 3600.0
# Whitened samples beyond this, of the most violent glitches, would leave the range of the networks' arithmetic.
LARGEST = 1e6


@dataclass(frozen=True)
class WhitenedStretch:
    """Simultaneous whitened strain of several detectors.

    Attributes:
        gps_start: GPS time of the first sample in seconds.
        sample_rate: Samples per second.
        detectors: Their names, in the order of the columns.
        strain: float32 array (samples, detectors), unit variance in noise.
        filters: For each detector the list of (first sample, taps) of the whitening filters used.
        origin: "measured", or which simulation the strain comes from.
        gates: For each detector the list of GPS (start, stop) in seconds in which its strain is tapered out.
    """

    gps_start: float
    sample_rate: int
    detectors: tuple
    strain: np.ndarray
    filters: tuple
    origin: str = "measured"
    gates: tuple = ()

    @property
    def seconds(self) -> float:
        """Length of the stretch in seconds."""
        return len(self.strain) / self.sample_rate

    @property
    def gps_stop(self) -> float:
        """GPS time just after the last sample, in seconds."""
        return self.gps_start + self.seconds


@dataclass
class Coverage:
    """What became of the strain that was read, in seconds of coincident time.

    Attributes:
        given: All time for which every detector has samples.
        invalid: NaN, or marked by the file as not present, in at least one detector.
        short: Valid, but in stretches too short to whiten and hold one window, or with less than
            `LEAST_PSD_SECONDS` of valid strain around for a noise spectrum.
        whitened: Whitened.
        gated: Of what was whitened, tapered out in at least one detector, see `strain.gating`.
    """

    given: float = 0.0
    invalid: float = 0.0
    short: float = 0.0
    whitened: float = 0.0
    gated: float = 0.0

    def add(self, other: Coverage) -> None:
        """Add the seconds of another Coverage."""
        for name, seconds in vars(other).items():
            setattr(self, name, getattr(self, name) + seconds)


@dataclass(frozen=True)
class WhitenedChunk:
    """What was made of one chunk of strain.

    Attributes:
        gps_start: GPS time at which the chunk begins, in seconds; no other chunk of the same strain has it.
        stretches: List of WhitenedStretch in order of time.
        coverage: What became of the strain of this chunk.
        gates: List of (detector column, GPS start, GPS stop, peak) of what was gated of this chunk's strain, see `gating.join_gates`.
    """

    gps_start: float
    stretches: list
    coverage: Coverage
    gates: list = field(default_factory=list)


def whitened_chunks(
    headers: Sequence[SegmentHeader],
    detectors: Sequence[str],
    settings: Whitening,
    *,
    window_samples: int = 1,
    done: frozenset[float] = frozenset(),
    without: np.ndarray | None = None,
) -> Iterator[WhitenedChunk]:
    """Read, resample and whiten all strain that the detectors have in common, chunk by chunk.

    Invalid samples are cut out, and half the whitening filter at either side of every cut. Long intervals are
    read in chunks of `CHUNK_SECONDS` at most that overlap so that every window of `window_samples` lies in one of them.

    Args:
        headers: SegmentHeader list, as from `find_segments`.
        detectors: Names in the wanted column order.
        settings: Whitening.
        window_samples: Shortest stretch of use, in samples at `settings.sample_rate`.
        done: `gps_start` of chunks that are not read.
        without: Array (n, 2) of GPS starts and stops of what is not wanted: but for what windows and filters take of it at its ends it
            is neither whitened nor counted, and noise spectra are from all; None: all is wanted.

    Yields:
        WhitenedChunk in order of time.

    Raises:
        InputError: A detector is absent, the detectors have no time or no grid of samples in common, a file cannot be
            read, a sample rate is too low.
    """
    rate = settings.sample_rate
    overlap = 2 * settings.edge_samples + window_samples - 1
    groups = _neighbours(coincident_intervals(headers, detectors), settings)
    headers, total = [h for h in headers if h.detector in detectors], Coverage()
    for common in groups:
        whole = Interval(common[0].start, common[-1].stop)
        for begin, end in _chunks(whole, overlap / rate):
            if begin in done:
                continue
            # What the chunks share is counted once, with the chunk that reads it first.
            fresh = 0 if begin == whole.start else overlap
            coverage, stretches, gates = Coverage(), [], []
            wanted = _wanted(begin, end, rate, without, overlap)
            if not wanted.any():
                yield WhitenedChunk(begin, stretches, coverage)
                continue
            coverage.given = sum(max(0.0, min(s.stop, end) - max(s.start, begin + fresh / rate)) for s in common)
            columns = [_read_gated(headers, d, begin, end, whole, settings) for d in detectors]
            spectra = [NoiseSpectra(c.strain, settings, valid_runs(c.valid)) for c in columns]
            valid = np.all([c.valid for c in columns], axis=0)
            coverage.given -= np.count_nonzero(valid[fresh:] & ~wanted[fresh:]) / rate
            for first, last in valid_runs(valid & wanted):
                seconds = max(0, last - max(first, fresh)) / rate
                if last - first <= overlap or not all(s.enough for s in spectra):
                    coverage.short += seconds
                    continue
                stretches.append(_whiten(headers, begin, first, last, columns, spectra, detectors, settings))
                coverage.whitened += seconds
                for number, column in enumerate(columns):
                    gates += [(number, *place) for place in places_within(column.places, first, last, begin, rate)]
                coverage.gated += (
                    np.count_nonzero(np.any([c.gated[max(first, fresh) : last] for c in columns], axis=0)) / rate
                )
            total.add(coverage)
            if total.given > GATED_UNCHECKED_SECONDS or end == groups[-1][-1].stop:
                refuse_large_share(total.gated, total.whitened, settings, sorted({h.path for h in headers}))
            coverage.invalid = max(0.0, coverage.given - coverage.short - coverage.whitened)
            yield WhitenedChunk(begin, stretches, coverage, gates)


def _wanted(begin, end, rate, without, margin):
    """Say which samples from GPS second `begin` to `end` are wanted, or are so few samples from one that is; see `whitened_chunks`."""
    wanted = np.ones(round((end - begin) * rate), bool)
    for start, stop in () if without is None else without:
        first, last = round((start - begin) * rate) + margin, round((stop - begin) * rate) - margin
        wanted[max(first, 0) : max(last, 0)] = False
    return wanted


@dataclass(frozen=True)
class _Column:
    """Strain of one detector in a chunk, tapered out where it is gated; which samples are valid, which are gated, and `gating.gate`'s places."""

    strain: np.ndarray
    valid: np.ndarray
    gated: np.ndarray
    places: list


def _read_gated(headers, detector, begin, end, whole, settings):
    """Read a chunk of a detector and gate it by what lies in it and around it, within the whole interval."""
    rate, around = settings.sample_rate, context_seconds() if settings.gate else 0
    # Chunks begin whole seconds after the interval, on its samples.
    start, stop = max(whole.start, begin - around), min(whole.stop, end + around)
    strain, valid = read_interval(headers, detector, start, stop, rate)
    strain, gated, places = gate(strain, find_gates(strain, valid, start, settings), settings)
    first = round((begin - start) * rate)
    kept = slice(first, first + round((end - begin) * rate))
    return _Column(strain[kept], valid[kept], gated[kept], [(a - first, b - first, peak) for a, b, peak in places])


def whitened_stretches(
    headers: Sequence[SegmentHeader],
    detectors: Sequence[str],
    settings: Whitening,
    *,
    window_samples: int = 1,
    coverage: Coverage | None = None,
) -> Iterator[WhitenedStretch]:
    """Yield the WhitenedStretch of all chunks in order of time; `coverage` is filled in. See `whitened_chunks`."""
    for chunk in whitened_chunks(headers, detectors, settings, window_samples=window_samples):
        if coverage is not None:
            coverage.add(chunk.coverage)
        yield from chunk.stretches


def read_chunks(
    headers: Sequence[SegmentHeader], detector: str, settings: Whitening
) -> Iterator[tuple[float, np.ndarray, np.ndarray]]:
    """Read and resample all strain of one detector, in chunks that do not overlap.

    Args:
        headers: SegmentHeader list, as from `find_segments`.
        detector: Name.
        settings: Whitening, for its sample rate.

    Yields:
        Tuple (gps_start, strain, valid): GPS seconds, float64 and boolean arrays (samples,).

    Raises:
        InputError: The detector is absent, a file cannot be read, a sample rate is too low.
    """
    groups = _neighbours(coincident_intervals(headers, (detector,)), settings)
    headers = [h for h in headers if h.detector == detector]
    for common in groups:
        for begin, end in _chunks(Interval(common[0].start, common[-1].stop), 0):
            yield begin, *read_interval(headers, detector, begin, end, settings.sample_rate)


def _neighbours(common, settings):
    """Group the intervals that are near enough to share a noise spectrum and lie on one grid of samples."""
    groups = []
    for interval in common:
        samples = (interval.start - groups[-1][0].start) * settings.sample_rate if groups else 0.0
        if (
            groups
            and interval.start - groups[-1][-1].stop <= settings.psd_seconds / 2
            and abs(samples - round(samples)) < JOIN_TOLERANCE
        ):
            groups[-1].append(interval)
        else:
            groups.append([interval])
    return groups


def _chunks(interval, overlap):
    """Cut a interval into chunks of equal length, to whole seconds, that overlap."""
    chunk = max(CHUNK_SECONDS, 4 * overlap)
    count = max(1, math.ceil((interval.stop - interval.start - overlap) / (chunk - overlap)))
    step = math.ceil((interval.stop - interval.start - overlap) / count)
    begins = [interval.start + step * i for i in range(count)]
    return [
        (begin, min(interval.stop, begin + step + overlap))
        for begin in begins
        if begin + overlap < interval.stop or begin == interval.start
    ]


def shortage(coverage: Coverage, settings: Whitening, window_samples: int) -> str:
    """Say of strain that left nothing to use how much there was and how much it takes."""
    return (
        f"{coverage.given:g} s of coincident strain, {coverage.invalid:g} s of it invalid, are too few: a noise spectrum "
        f"takes {LEAST_PSD_SECONDS:g} s of valid strain, a window {settings.filter_seconds + window_samples / settings.sample_rate:g} s "
        "in one piece"
    )


def _whiten(headers, begin, first, last, columns, spectra, detectors, settings):
    whitened, rate, edge = [], settings.sample_rate, settings.edge_samples
    for detector, column, own_spectra in zip(detectors, columns, spectra, strict=True):
        try:
            whitened.append(whiten(column.strain[first:last], settings, own_spectra, first))
        except InputError as error:
            start, stop = begin + first / rate, begin + last / rate
            own = [h for h in headers if h.detector == detector and h.gps_start < stop and h.gps_stop > start]
            where = ", ".join(sorted({h.path for h in own}))
            raise InputError(f"{where}: {detector} from GPS {start:.0f} to {stop:.0f}: {error}") from error
    strain = np.stack([w for w, _ in whitened], dtype=np.float32, casting="same_kind")
    np.clip(strain, -LARGEST, LARGEST, out=strain)
    return WhitenedStretch(
        gps_start=begin + (first + edge) / rate,
        sample_rate=rate,
        detectors=tuple(detectors),
        # In memory each detector's samples follow each other.
        strain=strain.T,
        filters=tuple(f for _, f in whitened),
        origin=origin_of(headers, begin, begin + last / rate),
        gates=tuple(
            [place[:2] for place in places_within(c.places, first + edge, last - edge, begin, rate)] for c in columns
        ),
    )
