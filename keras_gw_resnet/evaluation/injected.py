"""How loud the injections of a set are, from the strain with them and the strain without."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from keras_gw_resnet.strain.stretches import whitened_stretches

if TYPE_CHECKING:
    from keras_gw_resnet.strain.conditioning import Whitening
    from keras_gw_resnet.strain.layouts import SegmentHeader

# Whitened strain that is added up around a coalescence.
BEFORE_SECONDS, AFTER_SECONDS = 6.0, 0.5
# Of the same noise the sets differ by the injections alone; of two noises by 160 in one detector, more in several.
LOUDEST_MEDIAN = 150.0


def injected_snr(
    foreground: Sequence[SegmentHeader],
    background: Sequence[SegmentHeader],
    detectors: Sequence[str],
    whitening: Whitening,
    tc: np.ndarray,
) -> np.ndarray | None:
    """Compute the network optimal SNR of injections: the sum of squares of the whitened difference of two sets.

    Args:
        foreground, background: SegmentHeader lists of the same noise with and without injections.
        detectors: Names.
        whitening: Whitening.
        tc: Coalescence times, GPS seconds, array (n,).

    Returns:
        float64 array (n,), NaN where an injection is not in the whitened strain; None where the two sets are not of
        the same noise.
    """
    snr = np.full(len(tc), np.nan)
    pairs = [whitened_stretches(headers, detectors, whitening) for headers in (foreground, background)]
    for one, other in itertools.zip_longest(*pairs):
        if one is None or other is None or (one.gps_start, len(one.strain)) != (other.gps_start, len(other.strain)):
            return None
        inside = (tc >= one.gps_start) & (tc < one.gps_start + one.seconds)
        for index in np.flatnonzero(inside):
            at = tc[index] - one.gps_start
            first, last = (round((at + s) * one.sample_rate) for s in (-BEFORE_SECONDS, AFTER_SECONDS))
            part = slice(max(0, first), max(0, last))
            difference = one.strain[part].astype(np.float64) - other.strain[part]
            snr[index] = np.sqrt(np.sum(difference**2))
    return snr if np.nanmedian(snr) < LOUDEST_MEDIAN else None
