"""Times of known gravitational-wave events, which are no noise."""

import functools
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from keras_gw_resnet.errors import InputError

TABLE = Path(__file__).with_name("catalogue.txt")
# Strain around an event that is left out with it, either side: a binary black hole above 20 Hz, its ringing in the
# whitening filter, and the time of flight between detectors.
LEFT_OUT_SECONDS = 4.0
# An event so near to one of the catalogue, whose times are good to half a second, is the same.
SAME_SECONDS = 1.0


@functools.cache
def catalogue_events() -> tuple[tuple[float, str], ...]:
    """Return the events of O1 to O4 that the program knows; the head of catalogue.txt says which.

    Returns:
        Tuple of (GPS seconds, name) in order of time.
    """
    lines = [line.split() for line in TABLE.read_text().splitlines() if not line.startswith("#")]
    return tuple(sorted((float(time), name) for time, name in lines))


def read_times(given: Iterable[str]) -> list[float]:
    """Read what `--leave-out` was given: GPS seconds, or text files with one a line.

    Args:
        given: List of text; what is a number is a time. In a file, lines that begin with # are comments and what
            follows the time in its line is not read.

    Returns:
        List of GPS seconds.

    Raises:
        InputError: A file is missing or holds something else.
    """
    times = []
    for text in map(str, given):
        try:
            rows = [text] if _is_number(text) else Path(text).read_text().splitlines()
            words = [row.replace(",", " ").split() for row in rows if not row.lstrip().startswith("#")]
            found = np.array([float(each[0]) for each in words if each])
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{text}: cannot be read; expected GPS seconds, or a file with one a line") from error
        except ValueError as error:
            raise InputError(f"{text}: {error}; expected GPS seconds, one a line") from error
        if not np.all(np.isfinite(found)):
            raise InputError(f"{text}: has a time that is not finite; expected GPS seconds, one a line")
        times += found.tolist()
    return times


def _is_number(text):
    try:
        float(text)
    except ValueError:
        return False
    return True


def known_events(start: float, stop: float, margin: float = LEFT_OUT_SECONDS) -> list[str]:
    """List the names of catalogue events in a GPS interval or within so many seconds of it."""
    return [name for time, name in catalogue_events() if start - margin < time < stop + margin]


def names_at(times: np.ndarray) -> np.ndarray:
    """Name the catalogue event within `SAME_SECONDS` of each time.

    Args:
        times: GPS seconds, array (n,).

    Returns:
        Text array (n,), empty where there is none.
    """
    known, names = zip(*catalogue_events(), strict=True)
    after = np.clip(np.searchsorted(known, times), 1, len(known) - 1)
    nearest = np.where(times - np.take(known, after - 1) < np.take(known, after) - times, after - 1, after)
    return np.where(np.abs(np.take(known, nearest) - times) <= SAME_SECONDS, np.take(names, nearest), "")


def left_out_intervals(times: Iterable[float] = ()) -> np.ndarray:
    """Return the GPS intervals that are no noise: around catalogue events and other times.

    Args:
        times: GPS seconds beside the catalogue's.

    Returns:
        float64 array (n, 2) of starts and stops in order of time.
    """
    every = np.sort(np.array([time for time, _ in catalogue_events()] + list(times)))
    return np.stack([every - LEFT_OUT_SECONDS, every + LEFT_OUT_SECONDS], axis=-1)


def without_events(intervals: Iterable, times: Iterable[float] = ()) -> list:
    """Take the time around events out of GPS intervals.

    Args:
        intervals: List of frozen dataclasses with `start` and `stop`, GPS seconds.
        times: GPS seconds beside the catalogue's.

    Returns:
        List of what is left of them, in the same order.
    """
    left_out, kept = left_out_intervals(times), []
    for interval in intervals:
        start = interval.start
        near = left_out[(left_out[:, 1] > interval.start) & (left_out[:, 0] < interval.stop)]
        for begin, end in near:
            if begin > start:
                kept.append(replace(interval, start=start, stop=float(begin)))
            start = max(start, float(end))
        if start < interval.stop:
            kept.append(replace(interval, start=start))
    return kept
