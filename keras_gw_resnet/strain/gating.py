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
from keras_gw_resnet.strain.quality import valid_runs

if TYPE_CHECKING:
    from keras_gw_resnet.strain.conditioning import Whitening

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
# Where more than this share of the strain would go, the limit is at fault, or the strain.
LARGEST_SHARE = 0.5


def context_seconds() -> float:
    """Return how much strain beyond both ends of an interval decides about the gates in it."""
    return BLOCK_SECONDS + AROUND_SECONDS


def find_gates(strain: np.ndarray, valid: np.ndarray, gps_start: float, settings: Whitening) -> list[tuple[int, int]]:
    """Find the strain of one detector that is to be gated.

    Args:
        strain: float64 array (samples,) at `settings.sample_rate`.
        valid: Boolean array (samples,).
        gps_start: GPS time of the first sample.
        settings: Whitening; `gate` is the limit in standard deviations of the noise, 0 for none.

    Returns:
        List of half-open index ranges of loud samples widened by `ZERO_SECONDS`; those within `context_seconds` of an
        end that is none of the strain's own are not reliable.
    """
    if not settings.gate:
        return []
    rate, around = settings.sample_rate, AROUND_SECONDS * settings.sample_rate
    # Blocks begin at multiples of their length in GPS time, at the first sample that is not before.
    first = -round((gps_start % BLOCK_SECONDS) * rate)
    loud = np.zeros(len(strain), bool)
    for begin in range(first, len(strain), BLOCK_SECONDS * rate):
        end = min(len(strain), begin + BLOCK_SECONDS * rate)
        low, high = max(0, begin - around), min(len(strain), begin + BLOCK_SECONDS * rate + around)
        block = slice(max(0, begin), end)
        if np.any(valid[block]):
            own = _loud_samples(strain[low:high], valid[low:high], slice(block.start - low, end - low), settings)
            loud[block] = own
    return _widen(loud, round(ZERO_SECONDS * rate))


def _widen(loud, samples):
    """Return the runs of loud samples with so many more on either side, joined where they meet."""
    gates = []
    for begin, end in valid_runs(loud):
        first, last = max(0, begin - samples), min(len(loud), end + samples)
        if gates and first <= gates[-1][1]:
            gates[-1] = (gates[-1][0], last)
        else:
            gates.append((first, last))
    return gates


def _loud_samples(strain, valid, block, settings):
    """Say which samples of a block are beyond the limit once whitened, those included that louder ones hid."""
    runs, loud = valid_runs(valid), np.zeros(len(strain), bool)
    if not np.any(_beyond(strain, runs, block, settings)):
        return loud[block]
    for _ in range(LOOKS):
        gated, _ = gate(strain, _widen(loud, round(ZERO_SECONDS * settings.sample_rate)), settings)
        found = _beyond(gated, runs, slice(0, len(strain)), settings)
        if not np.any(found & ~loud):
            break
        loud |= found
    return loud[block]


def _beyond(strain, runs, part, settings):
    """Whiten what can be whitened of a part of strain and say which samples are beyond the limit."""
    spectra, found, edge = NoiseSpectra(strain, settings, runs), np.zeros(len(strain), bool), settings.edge_samples
    if not spectra.enough:
        return found
    try:
        taps = whitening_filter(spectra.near(len(strain) / 2), settings)
    except InputError:  # constant strain, which whitening itself will report
        return found
    for begin, end in runs:
        first, last = max(begin, part.start - edge), min(end, part.stop + edge)
        if last - first > 2 * edge:
            whitened = scipy.signal.oaconvolve(strain[first + 1 : last], taps, mode="valid")
            found[first + edge : last - edge] = np.abs(whitened) > settings.gate
    return found


def gate(strain: np.ndarray, gates: Sequence[tuple[int, int]], settings: Whitening) -> tuple[np.ndarray, np.ndarray]:
    """Taper strain out.

    Args:
        strain: float64 array (samples,) at `settings.sample_rate`.
        gates: List of half-open index ranges, from `find_gates`; outside of each the strain fades for `TAPER_SECONDS`.
        settings: Whitening, for its sample rate.

    Returns:
        Tuple (strain, gated): float64 array (samples,), in the gates what lies below `HIGHEST_KEPT_HZ` is left, outside
        everything; and a boolean array, where something was taken.
    """
    if not gates:
        return strain, np.zeros(len(strain), bool)
    rate = settings.sample_rate
    taper = round(TAPER_SECONDS * rate)
    rise = np.sin(np.pi / 2 * (np.arange(taper) + 0.5) / taper) ** 2
    taken = np.zeros(len(strain))
    for first, last in gates:
        shape = np.concatenate([rise, np.ones(last - first), rise[::-1]])
        begin, end = max(0, first - taper), min(len(strain), last + taper)
        part = shape[begin - first + taper : end - first + taper]
        taken[begin:end] = np.maximum(taken[begin:end], part)
    result = strain.copy()
    half = round(HIGH_PASS_SECONDS * rate)
    kernel = scipy.signal.firwin(2 * half + 1, HIGHEST_KEPT_HZ, fs=rate, pass_zero="highpass")
    for first, last in valid_runs(taken > 0):
        low, high = max(0, first - half), min(len(strain), last + half)
        # Beyond the ends of the strain its mirror image, so that an end is no step.
        near = np.pad(strain[low:high], (half - (first - low), half - (high - last)), mode="reflect")
        result[first:last] -= taken[first:last] * scipy.signal.oaconvolve(near, kernel, mode="valid")
    return result, taken > 0


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
            "more than half of the strain; give a higher --gate, or --gate 0 for none"
        )
