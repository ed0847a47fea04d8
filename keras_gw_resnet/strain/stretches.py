"""Stretches of strain in which every wanted detector has valid data, whitened."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from keras_gw_resnet.errors import InputError
from keras_gw_resnet.strain.conditioning import Whitening, resample, whiten
from keras_gw_resnet.strain.files import SegmentHeader, read_segment
from keras_gw_resnet.strain.quality import valid_runs

SLAB_SECONDS = 4096
# Whitened samples beyond this, of the most violent glitches, would leave the range of the networks' arithmetic.
LARGEST = 1e6


@dataclass(frozen=True)
class Span:
    """GPS interval [start, stop) in seconds that the segments of every detector cover without a gap."""

    start: float
    stop: float


@dataclass(frozen=True)
class WhitenedStretch:
    """Simultaneous whitened strain of several detectors.

    Attributes:
        gps_start: GPS time of the first sample in seconds.
        sample_rate: Samples per second.
        detectors: Their names, in the order of the columns.
        strain: float32 array (samples, detectors), unit variance in noise.
        filters: For each detector the list of (first sample, taps) of the whitening filters used.
    """

    gps_start: float
    sample_rate: int
    detectors: tuple
    strain: np.ndarray
    filters: tuple

    @property
    def seconds(self):
        """Length of the stretch in seconds."""
        return len(self.strain) / self.sample_rate


def require_detectors(headers, detectors):
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


def coincident_spans(headers, detectors):
    """List the spans in which all detectors have data by their headers.

    Args:
        headers: SegmentHeader list, as from `find_segments`.
        detectors: Names of the detectors that have to be present.

    Returns:
        List of Span in order of time, possibly empty.

    Raises:
        InputError: A detector is absent.
    """
    require_detectors(headers, detectors)
    spans = None
    for detector in detectors:
        own = _join([h for h in headers if h.detector == detector])
        if spans is None:
            spans = own
        else:
            spans = [[max(a, c), min(b, d)] for a, b in spans for c, d in own if max(a, c) < min(b, d)]
    return [Span(start, stop) for start, stop in sorted(spans)]


def _read(headers, detector, start, stop, sample_rate):
    """Strain (float64, resampled) and validity of one detector over the GPS interval [start, stop)."""
    samples = round((stop - start) * sample_rate)
    strain, valid = np.zeros(samples), np.zeros(samples, bool)
    for header in headers:
        if header.detector != detector or header.gps_stop <= start or header.gps_start >= stop:
            continue
        if header.sample_rate < sample_rate:
            raise InputError(
                f"{header.path}: {detector} is sampled at {header.sample_rate:g} Hz; at least {sample_rate} Hz are needed"
            )
        first = (max(start, header.gps_start) - header.gps_start) * header.sample_rate
        if abs(first - round(first)) > 1e-2:
            raise InputError(
                f"{header.path}: {detector} is sampled off the grid of whole samples of the other detectors"
            )
        last = round((min(stop, header.gps_stop) - header.gps_start) * header.sample_rate)
        segment = read_segment(header, round(first), last)
        # Resampling smears invalid samples over its filter; they are marked, with a margin, at the wanted rate.
        piece = resample(np.where(segment.valid, segment.strain, 0.0), header.sample_rate, sample_rate)
        good = np.ones(len(piece), bool)
        step = header.sample_rate / sample_rate
        margin = 0 if step == 1 else 32
        for a, b in valid_runs(~segment.valid):
            good[max(0, int(a / step) - margin) : int(np.ceil(b / step)) + margin] = False
        at = round((segment.gps_start - start) * sample_rate)
        count = min(len(piece), samples - at)
        strain[at : at + count], valid[at : at + count] = piece[:count], good[:count]
    return strain, valid


@dataclass
class Coverage:
    """What became of the strain that was read, in seconds of coincident time.

    Attributes:
        given: All time for which every detector has samples.
        invalid: NaN, or marked by the file as not present, in at least one detector.
        short: Valid, but in stretches too short to whiten and hold one window.
        whitened: Whitened.
    """

    given: float = 0.0
    invalid: float = 0.0
    short: float = 0.0
    whitened: float = 0.0


def whitened_stretches(
    headers: list[SegmentHeader],
    detectors: tuple[str, ...],
    settings: Whitening,
    *,
    window_samples: int = 1,
    coverage: Coverage | None = None,
) -> Iterator[WhitenedStretch]:
    """Read, resample and whiten all strain that the detectors have in common.

    Invalid samples are cut out, and half the whitening filter at either side of every cut. Long spans are
    read in slabs of `SLAB_SECONDS` that overlap so that every window of `window_samples` lies in one of them.

    Args:
        headers: SegmentHeader list, as from `find_segments`.
        detectors: Names in the wanted column order.
        settings: Whitening.
        window_samples: Shortest stretch of use, in samples at `settings.sample_rate`.
        coverage: Filled in as the stretches are read.

    Yields:
        WhitenedStretch in order of time.

    Raises:
        InputError: A detector is absent, a file cannot be read, a sample rate is too low.
    """
    coverage = Coverage() if coverage is None else coverage
    rate, edge = settings.sample_rate, settings.edge_samples
    overlap = (2 * edge + window_samples - 1) / rate
    for span in coincident_spans(headers, detectors):
        coverage.given += span.stop - span.start
        begin = span.start
        while begin < span.stop:
            end = min(span.stop, begin + max(SLAB_SECONDS, 4 * overlap))
            columns = [_read(headers, d, begin, end, rate) for d in detectors]
            valid = np.all([v for _, v in columns], axis=0)
            # What the slabs share is counted once, with the slab that reads it first.
            fresh = 0 if begin == span.start else round(overlap * rate)
            coverage.invalid += np.count_nonzero(~valid[fresh:]) / rate
            for first, last in valid_runs(valid):
                if last - first < settings.filter_samples + max(window_samples, 1):
                    coverage.short += max(0, last - max(first, fresh)) / rate
                    continue
                yield _whiten(headers, begin, first, last, columns, detectors, settings)
                coverage.whitened += (last - max(first, fresh)) / rate
            if end >= span.stop:
                break
            begin = end - overlap


def _whiten(headers, begin, first, last, columns, detectors, settings):
    whitened = []
    for detector, (strain, _) in zip(detectors, columns, strict=True):
        try:
            whitened.append(whiten(strain[first:last], settings))
        except InputError as error:
            start, stop = begin + first / settings.sample_rate, begin + last / settings.sample_rate
            own = [h for h in headers if h.detector == detector and h.gps_start < stop and h.gps_stop > start]
            where = ", ".join(sorted({h.path for h in own}))
            raise InputError(f"{where}: {detector} from GPS {start:.0f} to {stop:.0f}: {error}") from error
    return WhitenedStretch(
        gps_start=begin + (first + settings.edge_samples) / settings.sample_rate,
        sample_rate=settings.sample_rate,
        detectors=tuple(detectors),
        strain=np.clip(np.stack([w for w, _ in whitened], axis=-1), -LARGEST, LARGEST).astype(np.float32),
        filters=tuple(f for _, f in whitened),
    )
