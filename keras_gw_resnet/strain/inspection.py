"""What strain files hold: segments, flags, duty, noise level, glitches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_gw_resnet.errors import InputError
from keras_gw_resnet.strain.conditioning import NoiseSpectra, Whitening, whiten
from keras_gw_resnet.strain.files import find_overlap, find_segments, list_segments
from keras_gw_resnet.strain.quality import meaning, valid_runs
from keras_gw_resnet.strain.shipped import with_shipped
from keras_gw_resnet.strain.stretches import read_chunks, whitened_stretches

if TYPE_CHECKING:
    from keras_gw_resnet.strain.layouts import SegmentHeader

# A whitened sample beyond this many standard deviations is no Gaussian noise; glitches nearer than this are one.
GLITCH_DEVIATIONS = 7.0
GLITCH_SECONDS = 0.5
ENVELOPE_SECONDS = 0.25
# How much is kept on either side of the loudest whitened sample.
CLOSEUP_SECONDS = 1.0
# The noise level is told at these frequencies, in Hz.
TOLD_FREQUENCIES = (30, 100, 300, 1000)


@dataclass(frozen=True)
class DetectorReport:
    """What the files hold of one detector.

    Attributes:
        detector: Name.
        source: The file, or how many there are, see `name_source`.
        given: Seconds in the files.
        valid: Seconds of it that are finite, alive and fulfil the flags asked for.
        whitened: Seconds of it that could be whitened.
        frequency: Hz, float64 array (bins,).
        asd: Median amplitude spectral density, strain per square root of Hz, float64 array (bins,); NaN without a spectrum.
        deviation: Standard deviation of the whitened strain; 1 where the noise is stationary and Gaussian. NaN: none.
        glitches: Number of places beyond `GLITCH_DEVIATIONS`.
        time: GPS seconds of the envelope, float64 array (n,).
        envelope: Largest whitened sample in each `ENVELOPE_SECONDS`, float64 array (n,).
        closeup_time: GPS seconds of the close-up, float64 array (m,); empty where nothing could be whitened.
        closeup: Whitened strain up to `CLOSEUP_SECONDS` around its loudest sample, float64 array (m,).
    """

    detector: str
    source: str
    given: float
    valid: float
    whitened: float
    frequency: np.ndarray
    asd: np.ndarray
    deviation: float
    glitches: int
    time: np.ndarray
    envelope: np.ndarray
    closeup_time: np.ndarray
    closeup: np.ndarray

    @property
    def glitches_per_minute(self) -> float:
        """Return the glitch rate; NaN where nothing could be whitened."""
        return 60 * self.glitches / self.whitened if self.whitened else float("nan")


def find_groups(
    paths: Sequence[Path | str], quality: Sequence[str] = (), channels: Mapping[str, str] | Sequence[str] | None = None
) -> list[list[SegmentHeader]]:
    """List what is to be inspected together: all segments, or those of each file where files overlap in time.

    Args:
        paths, quality, channels: As for `find_segments`; a list of paths.

    Returns:
        List of SegmentHeader lists.

    Raises:
        InputError: As `find_segments`; an overlap within one file.
    """
    headers = list_segments(with_shipped(paths), quality, channels)
    if find_overlap(headers) is None:
        return [headers]
    return [find_segments(path, quality, channels) for path in sorted({h.path for h in headers})]


def name_source(headers: Sequence[SegmentHeader]) -> str:
    """Name the file that segments come from with its folder, or say how many files there are."""
    paths = sorted({h.path for h in headers})
    return str(Path(*Path(paths[0]).parts[-2:])) if len(paths) == 1 else f"{len(paths)} files"


def flag_seconds(headers: Sequence[SegmentHeader], detector: str) -> dict[str, tuple[int, int]]:
    """Add up the seconds for which each flag of one detector is set.

    Args:
        headers: SegmentHeader list, as from `find_segments`.
        detector: Name.

    Returns:
        Dictionary from short name to (seconds set, seconds in the files that have the flag).
    """
    seconds = {}
    for name, count, given in (flag for h in headers if h.detector == detector for flag in h.flags):
        before = seconds.get(name, (0, 0))
        seconds[name] = (before[0] + count, before[1] + given)
    return seconds


def _closeup(whitened, start, rate):
    """Cut whitened strain around its loudest sample: (its absolute value, GPS times, strain)."""
    peak, reach = np.argmax(np.abs(whitened)), round(CLOSEUP_SECONDS * rate)
    first, last = max(0, peak - reach), min(len(whitened), peak + reach + 1)
    return abs(whitened[peak]), start + np.arange(first, last) / rate, whitened[first:last].copy()


def inspect_detector(
    headers: Sequence[SegmentHeader], detector: str, settings: Whitening | None = None
) -> DetectorReport:
    """Read and whiten all strain of one detector.

    Args:
        headers: SegmentHeader list, as from `find_segments`.
        detector: Name.
        settings: Whitening; None: the defaults.

    Returns:
        DetectorReport.

    Raises:
        InputError: A file cannot be read, or is sampled too slowly.
    """
    settings = settings or Whitening()
    rate, own = settings.sample_rate, [h for h in headers if h.detector == detector]
    valid = squares = whitened_samples = glitches = 0
    spectra, times, envelope, closeups = [], [], [], [(0.0, np.empty(0), np.empty(0))]
    for begin, strain, good in read_chunks(own, detector, settings):
        runs = valid_runs(good)
        valid += np.count_nonzero(good)
        noise = NoiseSpectra(strain, settings, runs)
        if not noise.enough:
            continue
        spectra.append((np.count_nonzero(good), noise.near(len(strain) / 2)))
        for first, last in runs:
            if last - first <= settings.filter_samples:
                continue
            whitened, _ = whiten(strain[first:last], settings, noise, first)
            start = begin + (first + settings.edge_samples) / rate
            closeups.append(_closeup(whitened, start, rate))
            white = np.abs(whitened)
            squares, whitened_samples = squares + np.sum(white**2), whitened_samples + len(white)
            loud = np.flatnonzero(white > GLITCH_DEVIATIONS)
            glitches += int(len(loud) > 0) + np.count_nonzero(np.diff(loud) > GLITCH_SECONDS * rate)
            block = round(ENVELOPE_SECONDS * rate)
            peaks = white[: len(white) // block * block].reshape(-1, block).max(axis=1)
            times.append(start + (np.arange(len(peaks)) + 0.5) * ENVELOPE_SECONDS)
            envelope.append(peaks)
    frequency = np.arange(settings.filter_samples // 2 + 1) / settings.filter_seconds
    psd = (
        np.average([p for _, p in spectra], axis=0, weights=[w for w, _ in spectra]) if spectra else np.nan * frequency
    )
    _, closeup_time, closeup = max(closeups, key=itemgetter(0))
    return DetectorReport(
        detector=detector,
        source=name_source(own),
        given=sum(h.samples / h.sample_rate for h in own),
        valid=valid / rate,
        whitened=whitened_samples / rate,
        frequency=frequency,
        asd=np.sqrt(psd),
        deviation=float(np.sqrt(squares / whitened_samples)) if whitened_samples else float("nan"),
        glitches=glitches,  # ty: ignore[invalid-argument-type]
        time=np.concatenate([np.empty(0), *times]),
        envelope=np.concatenate([np.empty(0), *envelope]),
        closeup_time=closeup_time,
        closeup=closeup,
    )


def segment_table(headers: Sequence[SegmentHeader]) -> tuple[list, list[str]]:
    """Return (rows, header) of strain segments, as text."""
    rows = [
        [
            h.detector,
            f"{h.gps_start:.3f}".rstrip("0").rstrip("."),
            f"{h.samples / h.sample_rate:g}",
            f"{h.sample_rate:g}",
            "-" if h.present is None else f"{sum(h.present)}/{len(h.present)}",
            h.origin,
            name_source([h]),
        ]
        for h in headers
    ]
    return rows, ["detector", "GPS start", "seconds", "rate (Hz)", "seconds with flags", "origin", "file"]


def flag_table(headers: Sequence[SegmentHeader]) -> tuple[list, list[str]]:
    """Return (rows, header) of the seconds for which each flag is set, as text; no rows where there are no flags."""
    seconds = {detector: flag_seconds(headers, detector) for detector in sorted({h.detector for h in headers})}
    names = list(dict.fromkeys(name for own in seconds.values() for name in own))
    rows = [
        [name, meaning(name), *("{} of {}".format(*own[name]) if name in own else "-" for own in seconds.values())]
        for name in names
    ]
    return rows, ["flag", "a set second", *seconds]


def noise_table(reports: Sequence[DetectorReport]) -> tuple[list, list[str]]:
    """Return (rows, header) of noise level and glitches from DetectorReports, as text."""
    rows = []
    for r in reports:
        asd = [f"{r.asd[np.argmin(np.abs(r.frequency - mark))]:.2e}" for mark in TOLD_FREQUENCIES]
        valid = f"{r.valid:.1f} ({100 * r.valid / max(r.given, 1e-9):.0f} %)"
        whitened = [f"{r.deviation:.3f}", f"{r.glitches_per_minute:.2f}"]
        rows.append([r.detector, f"{r.given:.1f}", valid, *asd, *whitened, r.source])
    header = ["detector", "given (s)", "valid (s)", *(f"ASD {mark} Hz" for mark in TOLD_FREQUENCIES)]
    return rows, [*header, "whitened deviation", "glitches a minute", "file"]


def measure_statistics(
    headers: Sequence[SegmentHeader], detectors: Sequence[str], settings: Whitening | None = None
) -> dict:
    """Measure mean and variance of whitened strain, for networks that normalise their input.

    Args:
        headers: SegmentHeader list, as from `find_segments`.
        detectors: Names.
        settings: Whitening; None: the defaults.

    Returns:
        Dictionary: detectors, seconds of whitened strain, mean and variance of each detector.

    Raises:
        InputError: No strain that can be whitened.
    """
    settings = settings or Whitening()
    count, total, squares = 0, np.zeros(len(detectors)), np.zeros(len(detectors))
    for stretch in whitened_stretches(headers, tuple(detectors), settings):
        strain = stretch.strain.astype(np.float64)
        count, total, squares = count + len(strain), total + strain.sum(axis=0), squares + (strain**2).sum(axis=0)
    if not count:
        files = ", ".join(sorted({str(h.path) for h in headers}))
        raise InputError(f"{files}: no valid strain long enough to whiten")
    mean = total / count
    return {
        "detectors": list(detectors),
        "seconds": count / settings.sample_rate,
        "mean": mean.tolist(),
        "variance": (squares / count - mean**2).tolist(),
    }
