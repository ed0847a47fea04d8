"""Gating: strain of violent glitches is tapered out, before noise spectra are estimated and before a search.

The strain around whitened samples beyond a limit goes smoothly to zero (arXiv 1508.02357). What decides it is the strain
nearby alone, on a grid of blocks of GPS time, so that the same samples are gated however the strain is divided for reading.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import scipy.signal

from keras_gw_resnet.errors import InputError
from keras_gw_resnet.strain.conditioning import NoiseSpectra, whitening_filter
from keras_gw_resnet.strain.quality import inside, valid_runs

if TYPE_CHECKING:
    from keras_gw_resnet.strain.conditioning import Whitening

# A gate nearer to noise would take out what signals are.
LEAST_GATE = 10.0
BLOCK_SECONDS = 64
# What is looked at on either side of a block: enough for a noise spectrum, and for half a whitening filter.
AROUND_SECONDS = 32
# What is tapered out beyond the outermost loud sample, all of it and then fading.
ZERO_SECONDS, TAPER_SECONDS = 0.25, 0.25
# A gate shows what a louder glitch had hidden from the noise spectrum; two looks find all but the oddest.
LOOKS = 3
# Content below this frequency stays: it is no part of what is searched, and so large that any edge of it would be heard.
HIGHEST_KEPT_HZ = 12.0
HIGH_PASS_SECONDS = 1.0
# Gates of one detector so near in time meet: less than a sample.
MEET_SECONDS = 1e-5
# Where more than this share of the strain would go, the limit is at fault, or the strain.
LARGEST_SHARE = 0.5


def context_seconds() -> float:
    """Return how much strain beyond both ends of an interval decides about the gates in it."""
    return BLOCK_SECONDS + AROUND_SECONDS


def find_gates(
    strain: np.ndarray, valid: np.ndarray, gps_start: float, settings: Whitening
) -> list[tuple[int, int, float]]:
    """Find the strain of one detector that is to be gated.

    Args:
        strain: float64 array (samples,) at `settings.sample_rate`.
        valid: Boolean array (samples,).
        gps_start: GPS time of the first sample.
        settings: Whitening; `gate` is the limit in standard deviations of the noise, 0 for none.

    Returns:
        List of (first, last, peak): half-open index ranges of loud samples widened by `ZERO_SECONDS`, and the largest
        whitened sample in standard deviations; those within `context_seconds` of an end that is none of the strain's own
        are not reliable.
    """
    if not settings.gate:
        return []
    rate, around = settings.sample_rate, AROUND_SECONDS * settings.sample_rate
    # Blocks begin at multiples of their length in GPS time, at the first sample that is not before.
    first = -round((gps_start % BLOCK_SECONDS) * rate)
    loud = np.zeros(len(strain))
    for begin in range(first, len(strain), BLOCK_SECONDS * rate):
        end = min(len(strain), begin + BLOCK_SECONDS * rate)
        low, high = max(0, begin - around), min(len(strain), begin + BLOCK_SECONDS * rate + around)
        block = slice(max(0, begin), end)
        if np.any(valid[block]):
            loud[block] = _loud_samples(
                strain[low:high], valid[low:high], slice(block.start - low, end - low), settings
            )
    return _widen(loud, round(ZERO_SECONDS * rate))


def near_gates(times: Sequence[float] | np.ndarray, gates: Sequence, seconds: float) -> np.ndarray:
    """Say which GPS times lie in a gate of a detector or within so many seconds of one.

    Args:
        times: Array of GPS seconds, of any shape.
        gates: List of GPS (start, stop); [] or (): there are none.
        seconds: How near.

    Returns:
        Boolean array of the shape of `times`.
    """
    return inside(times, np.reshape(gates, (-1, 2)) + np.array([-seconds, seconds]))


def _widen(loud, samples):
    """Return the runs of loud samples with so many more on either side, joined where they meet, as `find_gates` does."""
    gates = []
    for begin, end in valid_runs(loud > 0):
        first, last, peak = max(0, begin - samples), min(len(loud), end + samples), loud[begin:end].max()
        if gates and first <= gates[-1][1]:
            first, _, highest = gates.pop()
            peak = max(peak, highest)
        gates.append((first, last, peak))
    return gates


def _loud_samples(strain, valid, block, settings):
    """Return how large the samples of a block are once whitened where they are beyond the limit, those included that louder ones hid; else 0."""
    runs, loud = valid_runs(valid), np.zeros(len(strain))
    if not np.any(_beyond(strain, runs, block, settings)):
        return loud[block]
    for _ in range(LOOKS):
        gated, *_ = gate(strain, _widen(loud, round(ZERO_SECONDS * settings.sample_rate)), settings)
        found = _beyond(gated, runs, slice(0, len(strain)), settings)
        if not np.any(found[loud == 0]):
            break
        loud = np.where(loud, loud, found)
    return loud[block]


def _beyond(strain, runs, part, settings):
    """Whiten what can be whitened of a part of strain and return how large its samples are where they are beyond the limit, else 0."""
    spectra, found, edge = NoiseSpectra(strain, settings, runs), np.zeros(len(strain)), settings.edge_samples
    if not spectra.enough:
        return found
    try:
        taps = whitening_filter(spectra.near(len(strain) / 2), settings)
    except InputError:  # constant strain, which whitening itself will report
        return found
    for begin, end in runs:
        first, last = max(begin, part.start - edge), min(end, part.stop + edge)
        if last - first > 2 * edge:
            whitened = np.abs(scipy.signal.oaconvolve(strain[first + 1 : last], taps, mode="valid"))
            found[first + edge : last - edge] = np.where(whitened > settings.gate, whitened, 0)
    return found


def gate(
    strain: np.ndarray, gates: Sequence[tuple[int, int, float]], settings: Whitening
) -> tuple[np.ndarray, np.ndarray, list[tuple[int, int, float]]]:
    """Taper strain out.

    Args:
        strain: float64 array (samples,) at `settings.sample_rate`.
        gates: From `find_gates`; outside of each the strain fades for `TAPER_SECONDS`.
        settings: Whitening, for its sample rate.

    Returns:
        Tuple (strain, gated, places): float64 array (samples,), in the gates what lies below `HIGHEST_KEPT_HZ` is left, outside
        everything; a boolean array, where something was taken; and the list of (first, last, peak) of these places.
    """
    if not gates:
        return strain, np.zeros(len(strain), bool), []
    rate = settings.sample_rate
    taper = round(TAPER_SECONDS * rate)
    rise = np.sin(np.pi / 2 * (np.arange(taper) + 0.5) / taper) ** 2
    taken = np.zeros(len(strain))
    for first, last, _ in gates:
        shape = np.concatenate([rise, np.ones(last - first), rise[::-1]])
        begin, end = max(0, first - taper), min(len(strain), last + taper)
        part = shape[begin - first + taper : end - first + taper]
        taken[begin:end] = np.maximum(taken[begin:end], part)
    result, places = strain.copy(), []
    half = round(HIGH_PASS_SECONDS * rate)
    kernel = scipy.signal.firwin(2 * half + 1, HIGHEST_KEPT_HZ, fs=rate, pass_zero="highpass")
    for first, last in valid_runs(taken > 0):
        low, high = max(0, first - half), min(len(strain), last + half)
        # Beyond the ends of the strain its mirror image, so that an end is no step.
        near = np.pad(strain[low:high], (half - (first - low), half - (high - last)), mode="reflect")
        result[first:last] -= taken[first:last] * scipy.signal.oaconvolve(near, kernel, mode="valid")
        places.append((first, last, max(peak for begin, end, peak in gates if begin < last and end > first)))
    return result, taken > 0, places


def places_within(
    places: Sequence[tuple[int, int, float]], first: int, last: int, gps_start: float, sample_rate: int
) -> list[tuple[float, float, float]]:
    """Return (GPS start, GPS stop, peak) of what lies of gated places, from `gate`, in the samples [first, last).

    Args:
        places: List of (first, last, peak).
        first, last: Samples.
        gps_start: GPS time of sample 0.
        sample_rate: Samples per second.
    """
    inner = [(max(begin, first), min(end, last), peak) for begin, end, peak in places if begin < last and end > first]
    return [(gps_start + begin / sample_rate, gps_start + end / sample_rate, peak) for begin, end, peak in inner]


def join_gates(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Join lists of gates into one: what parts of the strain that overlap or meet show of one gate is listed once.

    Args:
        parts: List of arrays (n, 4), rows of detector column, GPS start, GPS stop, peak in standard deviations.

    Returns:
        Array (n, 4) in order of time; it does not depend on how the strain was divided, nor on the order of its parts.
    """
    every, joined = np.concatenate([np.empty((0, 4)), *parts]), []
    for column, start, stop, peak in every[np.lexsort((every[:, 1], every[:, 0]))]:
        if joined and joined[-1][0] == column and start <= joined[-1][2] + MEET_SECONDS:
            joined[-1][2:] = max(stop, joined[-1][2]), max(peak, joined[-1][3])
        else:
            joined.append([column, start, stop, peak])
    rows = np.reshape(joined, (-1, 4))
    return rows[np.lexsort((rows[:, 0], rows[:, 1]))]


def gate_columns(gates: np.ndarray, detectors: Sequence[str]) -> dict[str, np.ndarray]:
    """Return gates, as from `join_gates`, by name, arrays (n,): detector, gps_start, gps_stop and seconds, peak (in standard deviations)."""
    column, start, stop, peak = gates.T
    names = np.array(detectors, str)[column.astype(int)]
    return {"detector": names, "gps_start": start, "gps_stop": stop, "seconds": stop - start, "peak": peak}


def require_gate(limit: float) -> float:
    """Return the limit of a gate in standard deviations.

    Raises:
        InputError: It is neither 0 for no gate, nor far enough from noise.
    """
    if limit and not LEAST_GATE <= limit < np.inf:
        raise InputError(f"{limit:g}; expected 0 for no gate, or at least {LEAST_GATE:g} standard deviations")
    return limit


def refuse_large_share(gated: float, whitened: float, settings: Whitening, paths: Sequence[str]) -> None:
    """Raise InputError where gates remove more than half of the strain.

    Args:
        gated, whitened: Seconds.
        settings: Whitening.
        paths: Files that the strain is from, for the message.
    """
    if gated > LARGEST_SHARE * whitened:
        files = ", ".join(paths[:3]) + (f" and {len(paths) - 3} more" if len(paths) > 3 else "")
        raise InputError(
            f"{files}: the gate at {settings.gate:g} standard deviations would remove {gated:.0f} of {whitened:.0f} s, "
            "more than half of the strain; give a higher one, 0 for none (--gate of a search, --data.whitening.gate of a training)"
        )
