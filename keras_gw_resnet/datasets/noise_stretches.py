"""Whitened stretches of noise from strain files: read, divided in time, without known events."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_gw_resnet.errors import InputError
from keras_gw_resnet.files import require_space
from keras_gw_resnet.progress import Bar
from keras_gw_resnet.strain.catalogue import known_events, without_events
from keras_gw_resnet.strain.intervals import Interval, coincident_intervals
from keras_gw_resnet.strain.layouts import MEASURED
from keras_gw_resnet.strain.stretches import Coverage, WhitenedStretch, shortage, whitened_stretches

if TYPE_CHECKING:
    from keras_gw_resnet.strain.conditioning import Whitening
    from keras_gw_resnet.strain.layouts import SegmentHeader


def read_noise(
    folder: Path | str,
    headers: Sequence[SegmentHeader],
    detectors: Sequence[str],
    whitening: Whitening,
    window_samples: int,
) -> tuple[list[WhitenedStretch], Coverage]:
    """Whiten all strain that the detectors have in common, to draw windows of noise from.

    The whitened strain goes into a nameless temporary file that is mapped into memory, so that it may be longer than
    memory holds; it is gone when the process ends.

    Args:
        folder: Where the strain comes from, for messages.
        headers: SegmentHeader list, as from `find_segments`.
        detectors: In column order.
        whitening: Whitening.
        window_samples: Shortest stretch of use.

    Returns:
        Tuple (list of WhitenedStretch, Coverage).

    Raises:
        InputError: A detector absent, no stretch as long as needed, or no room for the temporary file.
    """
    coverage, stretches = Coverage(), []
    total = round(sum(interval.stop - interval.start for interval in coincident_intervals(headers, detectors)))
    aside = Path(tempfile.gettempdir()) / "whitened strain"
    require_space(
        aside, 4 * total * whitening.sample_rate * len(detectors), "set TMPDIR to a folder on a disk with more room"
    )
    with (
        Bar(total=total, desc="whitening", unit="s") as bar,
        tempfile.TemporaryFile() as file,
    ):
        for stretch in whitened_stretches(
            headers, detectors, whitening, window_samples=window_samples, coverage=coverage
        ):
            file.write(np.ascontiguousarray(stretch.strain.T))  # ty: ignore[invalid-argument-type]
            # Of what has been written, the shape alone is kept.
            stretches.append(replace(stretch, strain=np.broadcast_to(np.float32(0), stretch.strain.shape)))
            bar.update(round(stretch.seconds))
        if not stretches:
            raise InputError(f"{folder}: {shortage(coverage, whitening, window_samples)}")
        file.flush()
        mapped, at = np.memmap(file, np.float32, "r"), 0
    for i, stretch in enumerate(stretches):
        own = mapped[at : at + stretch.strain.size].reshape(len(detectors), -1)
        stretches[i], at = replace(stretch, strain=own.T), at + own.size
    return stretches, coverage


def without_known_events(
    stretches: Sequence[WhitenedStretch], window_samples: int, folder: Path | str, times: Sequence[float] = ()
) -> list[WhitenedStretch]:
    """Leave out the time around catalogue events, which are no noise, from measured strain.

    Args:
        stretches: List of WhitenedStretch.
        window_samples: Shortest stretch of use.
        folder: Where they are from, for messages.
        times: GPS times of signals beside the catalogue's, see `strain.catalogue`.

    Raises:
        InputError: Nothing of use is left.
    """
    noise = cut_events_out(stretches, times)
    if not any(len(part.strain) >= window_samples for part in noise):
        around = events_in(stretches) or ["the times to leave out"]
        raise InputError(
            f"{folder}: has no noise as long as a window of {window_samples} samples beside 4 s around {', '.join(around[:5])}; give "
            "more strain"
        )
    return noise


def events_in(stretches: Sequence[WhitenedStretch]) -> list[str]:
    """List the catalogue events in or near measured stretches."""
    near = [known_events(s.gps_start, s.gps_stop) for s in stretches if MEASURED in s.origin]
    return sorted({name for names in near for name in names})


def cut_events_out(stretches: Sequence[WhitenedStretch], times: Sequence[float] = ()) -> list[WhitenedStretch]:
    """Return what is left of stretches, as `without_known_events` does, be it nothing."""
    return [part for stretch in stretches for part in _without_events(stretch, times)]


def _without_events(stretch, times):
    """Return the parts of a stretch beside events; all of it where it is simulated."""
    if MEASURED not in stretch.origin:
        return [stretch]
    whole = Interval(stretch.gps_start, stretch.gps_stop)
    left = without_events([whole], times)
    if left == [whole]:
        return [stretch]
    bounds = [[round((at - whole.start) * stretch.sample_rate) for at in (i.start, i.stop)] for i in left]
    return [_part(stretch, first, last) for first, last in bounds if first < last]


def split_stretches(
    stretches: Sequence[WhitenedStretch], share: float, margin_seconds: float = 4.0
) -> tuple[list[WhitenedStretch], list[WhitenedStretch]]:
    """Divide stretches in time, so that the last part can be held out.

    Args:
        stretches: List of WhitenedStretch.
        share: Part of each stretch to hold out, from its end.
        margin_seconds: Left out between the two parts, so that they share no whitening filter's reach.

    Returns:
        Tuple (kept, held_out) of lists of WhitenedStretch.
    """
    kept, held_out = [], []
    for stretch in stretches:
        at = round(len(stretch.strain) * (1 - share))
        margin = round(margin_seconds * stretch.sample_rate)
        kept.append(_part(stretch, 0, at))
        if at + margin < len(stretch.strain):
            held_out.append(_part(stretch, at + margin, len(stretch.strain)))
    return kept, held_out


def _part(stretch, start, stop):
    filters = []
    for own in stretch.filters:
        later = [(first - start, taps) for first, taps in own if start < first < stop]
        earlier = [taps for first, taps in own if first <= start]
        filters.append([(0, earlier[-1]), *later])
    return WhitenedStretch(
        stretch.gps_start + start / stretch.sample_rate,
        stretch.sample_rate,
        stretch.detectors,
        stretch.strain[start:stop],
        tuple(filters),
        stretch.origin,
    )
