"""How far networks see on a set with injections: search it, match events and injections, measure."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from keras_gw_resnet.evaluation.injected import injected_snr
from keras_gw_resnet.evaluation.injection_set import SEARCHED
from keras_gw_resnet.evaluation.noise_pieces import bootstrapped
from keras_gw_resnet.evaluation.sensitivity import (
    FALSE_ALARMS_A_MONTH,
    MONTH_SECONDS,
    ROW,
    Matched,
    loudest_missed,
    match,
    sensitivity,
    threshold_at_rate,
    what_is_found,
)

if TYPE_CHECKING:
    from keras_gw_resnet.evaluation.injection_set import InjectionSet
    from keras_gw_resnet.search.detector import Detector
    from keras_gw_resnet.search.results import Found

# Events below this logit of signal against noise are not kept for rates and distances.
LOWEST_STATISTIC = -10.0
# What is found and missed is told at this rate, or at the lowest that the background shows.
TOLD_RATE = 100.0


@dataclass(frozen=True)
class SetMeasurement:
    """How far one network sees on a set with injections.

    Attributes:
        network: `search.detector.Detector`.
        foreground, background: `search.results.Found`.
        matched: The injections with their events.
        searched_seconds: Dictionary foreground, background (time slides counted).
        sensitivity: Rows of `sensitivity.sensitivity` at `FALSE_ALARMS_A_MONTH` and the lowest rate that the background shows.
        curve: The same at many rates.
        told_at: Dictionary rate, threshold of what follows.
        timing_error_seconds: Quantiles 0.16, 0.5, 0.84 of the found events' times less the injections'; None: none found.
        found_by: See `sensitivity.what_is_found`.
        loudest_missed: See `sensitivity.loudest_missed`.
        seen_in_training: What of the set the network was trained on.
        noise: What cards and records keep of noise that is not Gaussian; {}: it is.
        times_real_time: Seconds of strain searched a second; None where others were searched with it, or not all now.
    """

    network: Detector
    foreground: Found
    background: Found
    matched: Matched
    searched_seconds: dict
    sensitivity: list
    curve: list
    told_at: dict
    timing_error_seconds: list | None
    found_by: dict
    loudest_missed: list
    seen_in_training: list
    noise: dict
    times_real_time: int | None = None

    @property
    def model(self) -> str:
        """Name of the network."""
        return self.network.name

    @property
    def slides(self) -> int:
        """Time slides of the background."""
        return self.background.background.slides

    @property
    def scan_difference(self) -> float:
        """Largest difference between the scan and prediction window by window where they were compared."""
        return max(self.foreground.difference, self.background.difference)

    def to_dict(self) -> dict:
        """Return the figures of sensitivity.json."""
        speed = {} if self.times_real_time is None else {"times_real_time": self.times_real_time}
        return {
            "model": self.model,
            "sha256": self.network.card["sha256"],
            "precision": self.network.precision,
            "exact_scan": self.network.exact,
            "scan_difference": self.scan_difference,
            "searched_seconds": self.searched_seconds,
            "slides": self.slides,
            "sensitivity": self.sensitivity,
            "curve": self.curve,
            "told_at": self.told_at,
            "timing_error_seconds": self.timing_error_seconds,
            "found_by": self.found_by,
            "loudest_missed": self.loudest_missed,
            **speed,
            "seen_in_training": self.seen_in_training,
            **({"noise": self.noise} if self.noise else {}),
        }

    def for_card(self, data: str) -> dict:
        """Return the figures that the network's card keeps.

        Args:
            data: Name of the set.
        """
        figures = {
            "data": data,
            "injections": len(self.matched.stat),
            "hours": {part: round(seconds / 3600, 3) for part, seconds in self.searched_seconds.items()},
            "slides": self.slides,
            "sensitivity": [{k: row[k] for k in ROW} for row in self.sensitivity if row["distance"] is not None],
            "timing_error_seconds": self.timing_error_seconds,
            "seen_in_training": self.seen_in_training,
        }
        if self.noise:
            figures["noise"] = self.noise
        if self.times_real_time is not None:
            figures |= {"times_real_time": self.times_real_time, "on": f"{os.cpu_count()} processor cores"}
        return figures


def measure_set(
    networks: Sequence[Detector], injection_set: InjectionSet, *, slides: int = 0, journals: Mapping | None = None
) -> list[SetMeasurement]:
    """Search a set with injections with every network, and say how far each sees at which false-alarm rate.

    The sensitive distance is that of MLGWSC-1 (arXiv 2209.11146).

    Args:
        networks: List of `search.detector.Detector`.
        injection_set: InjectionSet of their detectors.
        slides: Search the background so many times more with the detectors slid in time against each other.
        journals: Dictionary foreground, background -> folder that remembers an unfinished search; None: none.

    Returns:
        List of SetMeasurement, one a network.

    Raises:
        InputError: Strain that cannot be read or is too short, or networks that do not go together.
    """
    found, timed = _search(networks, injection_set, slides, journals or dict.fromkeys(SEARCHED))
    first, injections = networks[0], dict(injection_set.injections)
    snr = injected_snr(*injection_set.headers.values(), first.detectors, first.whitening, injections["tc"])
    if snr is not None:
        injections["snr"] = snr
    measured = []
    for network, foreground, background in zip(networks, *found.values(), strict=True):
        one = _measure(network, foreground, background, injections, injection_set)
        if timed:
            searched = sum(found[part][0].searched_seconds for part in timed)
            one = replace(one, times_real_time=round(searched / sum(timed.values())))
        measured.append(one)
    return measured


def _search(networks, injection_set, slides, journals):
    """Return (what the networks found by part, seconds that a part took where that is one network's speed)."""
    from keras_gw_resnet.search.search import search

    # What was searched before an interruption, together with others, or slid does not count as this network's speed.
    alone = len(networks) == 1 and not any(journal and journal.exists() for journal in journals.values())
    found, timed = {}, {}
    for name in SEARCHED:
        own_slides, started = slides if name == "background" else 0, time.monotonic()
        found[name] = search(
            networks,
            [injection_set.paths[name]],
            threshold=LOWEST_STATISTIC,
            quality=injection_set.quality,
            channels=injection_set.channels,
            snapshots=0,
            journal=journals[name],
            description=name,
            slides=own_slides,
        )
        if alone and not own_slides:
            timed[name] = time.monotonic() - started
    return found, timed


def _measure(network, foreground, background, injections, injection_set):
    matched, slid = match(foreground.events, injections), background.background
    quiet = background.searched_seconds + slid.seconds
    heard = np.concatenate([background.events.stat, slid.stat]), quiet

    def rows(rates):
        found = sensitivity(matched, *heard, rates)
        if injection_set.pieces is None:
            return found
        time = np.concatenate([background.events.time, slid.time[:, 0]])
        return bootstrapped(found, matched, heard[0], time, quiet, injection_set.pieces)

    # The lowest rate that this background can show has a row of its own.
    least = MONTH_SECONDS / quiet
    told = max(TOLD_RATE, least)
    threshold = max(threshold_at_rate(*heard, told / MONTH_SECONDS), LOWEST_STATISTIC)  # ty: ignore[invalid-argument-type]
    lag = matched.lag[matched.stat > threshold]
    return SetMeasurement(
        network=network,
        foreground=foreground,
        background=background,
        matched=matched,
        searched_seconds={"foreground": foreground.searched_seconds, "background": quiet},
        sensitivity=rows(sorted({*FALSE_ALARMS_A_MONTH, least}, reverse=True)),
        curve=rows(np.geomspace(least, max(3000.0, 10 * least), 60).tolist()),
        told_at={"rate": told, "threshold": threshold},
        timing_error_seconds=np.quantile(lag, [0.16, 0.5, 0.84]).tolist() if len(lag) else None,
        found_by=what_is_found(matched, threshold),
        loudest_missed=loudest_missed(matched, threshold),
        seen_in_training=injection_set.seen_by(network.card),
        noise=injection_set.noise,
    )
