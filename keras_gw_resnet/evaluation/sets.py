"""How far networks see on a set with injections: search it, match events and injections, measure."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from keras_gw_resnet.errors import InputError
from keras_gw_resnet.evaluation.injected import injected_snr
from keras_gw_resnet.evaluation.leakage import seen_in_training
from keras_gw_resnet.evaluation.sensitivity import (
    FALSE_ALARMS_A_MONTH,
    MONTH_SECONDS,
    Matched,
    loudest_missed,
    match,
    sensitivity,
    threshold_at_rate,
    what_is_found,
)
from keras_gw_resnet.hdf5 import attribute, open_hdf5, text
from keras_gw_resnet.inputs import parse_json
from keras_gw_resnet.simulation.injections import read_injections
from keras_gw_resnet.strain.files import find_segments
from keras_gw_resnet.strain.intervals import intervals_of
from keras_gw_resnet.strain.quality import inside

if TYPE_CHECKING:
    from keras_gw_resnet.search.detector import Detector
    from keras_gw_resnet.search.results import Found

SEARCHED = ("foreground", "background")
PARTS = (*SEARCHED, "injections")
# Events below this logit of signal against noise are not kept for rates and distances.
LOWEST_STATISTIC = -10.0
# What is found and missed is told at this rate, or at the lowest that the background shows.
TOLD_RATE = 100.0
ROW = ("rate", "threshold", "distance", "distance_error", "volume", "volume_error", "found_fraction", "found_error")


@dataclass(frozen=True)
class InjectionSet:
    """Strain with injections, strain without, and the parameters of the injections.

    Attributes:
        paths: Dictionary of the files of `PARTS`.
        headers: Dictionary foreground, background -> SegmentHeader list.
        intervals: Dictionary foreground, background -> list of [GPS start, GPS stop, origin].
        injections: Dictionary of float64 arrays (n,), those in the foreground alone.
        outside: How many of the file's injections lie outside the foreground.
        population: The challenge's set that they follow; None where the file does not say.
        quality: Data-quality flags that the strain has to fulfil.
        channels: Which channels are the detectors' strain, see `find_segments`.
    """

    paths: dict
    headers: dict
    intervals: dict
    injections: dict
    outside: int
    population: str | None
    quality: tuple
    channels: tuple

    def seen_by(self, card: dict) -> list[str]:
        """List what of the set the network of a card was trained on, see `leakage.seen_in_training`."""
        return sorted({line for each in self.intervals.values() for line in seen_in_training(card, each)})

    def describe(self) -> dict:
        """Return what the set is, for records."""
        files = {name: str(path) for name, path in self.paths.items()}
        return {**files, "injections": len(self.injections["tc"]), "population": self.population}


def open_set(
    paths: dict,
    detectors: Sequence[str],
    *,
    quality: Sequence[str] = (),
    channels: Sequence[str] = (),
    published: str | None = None,
) -> InjectionSet:
    """Open a set with injections for `measure_set`; its strain is not read yet.

    Args:
        paths: Dictionary foreground, background, injections -> file.
        detectors: Names.
        quality: Data-quality flags that the strain has to fulfil.
        channels: Which channels are the detectors' strain, see `find_segments`.
        published: The challenge's set that it is; None: the one that the injections say.

    Returns:
        InjectionSet.

    Raises:
        InputError: A file that is missing or cannot be read, or no injection in the foreground.
    """
    headers = {name: find_segments(paths[name], quality, channels) for name in SEARCHED}
    intervals = {name: intervals_of(own, detectors) for name, own in headers.items()}
    every, within = read_injections(paths["injections"]), intervals["foreground"]
    kept = inside(every["tc"], [interval[:2] for interval in within])
    if not np.any(kept):
        raise InputError(
            f"{paths['injections']}: none of its injections, GPS {every['tc'].min():.0f} to {every['tc'].max():.0f}, lies "
            f"in {paths['foreground']}, GPS {within[0][0]:.0f} to {within[-1][1]:.0f}; give the injections of this foreground"
        )
    return InjectionSet(
        paths=paths,
        headers=headers,
        intervals=intervals,
        injections={name: values[kept] for name, values in every.items()},
        outside=np.count_nonzero(~kept),  # ty: ignore[invalid-argument-type]
        population=published or _population(paths["injections"]),
        quality=tuple(quality),
        channels=tuple(channels),
    )


def _population(path):
    """Return the name of the challenge's set that the injections follow, where the file says so."""
    with open_hdf5(path) as file:
        stated = parse_json(text(attribute(file, "population", "{}"), 1 << 16), path, "a population")
    return stated.get("name") if isinstance(stated, dict) else None


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
        one = _measure(network, foreground, background, injections, injection_set.seen_by(network.card))
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


def _measure(network, foreground, background, injections, seen):
    matched, slid = match(foreground.events, injections), background.background
    quiet = background.searched_seconds + slid.seconds
    heard = np.concatenate([background.events.stat, slid.stat]), quiet
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
        sensitivity=sensitivity(matched, *heard, sorted({*FALSE_ALARMS_A_MONTH, least}, reverse=True)),
        curve=sensitivity(matched, *heard, np.geomspace(least, max(3000.0, 10 * least), 60).tolist()),
        told_at={"rate": told, "threshold": threshold},
        timing_error_seconds=np.quantile(lag, [0.16, 0.5, 0.84]).tolist() if len(lag) else None,
        found_by=what_is_found(matched, threshold),
        loudest_missed=loudest_missed(matched, threshold),
        seen_in_training=seen,
    )
