"""How far a search sees: sensitive distance at a false-alarm rate, as MLGWSC-1 defines it (arXiv 2209.11146, section III E)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from keras_gw_resnet.search.candidates import Candidates

MONTH_SECONDS = 30 * 24 * 3600.0
FALSE_ALARMS_A_MONTH = (1000.0, 100.0, 10.0, 1.0)
# What a row of `sensitivity` holds.
ROW = (
    "rate",
    "threshold",
    "threshold_error",
    "distance",
    "distance_error",
    "volume",
    "volume_error",
    "found_fraction",
    "found_error",
)


@dataclass(frozen=True)
class Matched:
    """The injections of a set with the loudest event that belongs to each.

    Attributes:
        stat: Statistic of that event, float64 array (n,); minus infinity where there is none.
        lag: Its time less that of the injection in seconds, float64 array (n,); NaN where there is none.
        injections: Dictionary of what is known about the injections, float64 arrays (n,) in the same order.
    """

    stat: np.ndarray
    lag: np.ndarray
    injections: dict

    @property
    def mchirp(self) -> np.ndarray:
        """Chirp masses in the detector frame, solar masses."""
        return self.injections["mchirp"]

    @property
    def distance(self) -> np.ndarray:
        """Luminosity distances in Mpc."""
        return self.injections["distance"]


def match(events: Candidates, injections: dict) -> Matched:
    """Give every injection the loudest event that lies within its own timing tolerance of it.

    Every event belongs to the injection nearest in time, if to any.

    Args:
        events: `candidates.Candidates` of the foreground.
        injections: Dictionary of float64 arrays (n,), `tc`, `mchirp` and `distance` among them.

    Returns:
        Matched, injections in order of time.
    """
    order = np.argsort(injections["tc"], kind="stable")
    tc = injections["tc"][order]
    stat, lag = np.full(len(tc), -np.inf), np.full(len(tc), np.nan)
    right = np.clip(np.searchsorted(tc, events.time), 1, len(tc) - 1) if len(tc) > 1 else np.zeros(len(events), int)
    left = np.maximum(right - 1, 0)
    nearest = np.where(np.abs(events.time - tc[left]) <= np.abs(events.time - tc[right]), left, right)
    for event, injection in enumerate(nearest):
        away = events.time[event] - tc[injection]
        if abs(away) <= events.var[event] and events.stat[event] > stat[injection]:
            stat[injection], lag[injection] = events.stat[event], away
    return Matched(stat, lag, {name: values[order] for name, values in injections.items()})


def threshold_at_rate(background_stat: np.ndarray, seconds: float, rate: float) -> float | None:
    """Return the statistic of the background event at which the false-alarm rate is the highest that `rate` allows.

    The false-alarm rate at the i-th of N events in rising order of loudness, from 0, is (N - i - 1) / T.

    Args:
        background_stat: Statistics of the events in strain without signals, array (N,).
        seconds: T, how much strain that was.
        rate: Events a second.

    Returns:
        Threshold; None where the background is too short to show such a rate; minus infinity where there are fewer
        events than the rate allows.
    """
    allowed = int(np.floor(rate * seconds * (1 + 1e-12)))
    if allowed < 1:
        return None
    rising = np.sort(background_stat)
    return float(rising[len(rising) - 1 - allowed]) if allowed < len(rising) else -np.inf


def sensitive_volume(found: Matched, threshold: float) -> tuple[float, float]:
    """Return sensitive volume and its standard error in Mpc^3 at a threshold that events have to exceed.

    Every found injection counts with its chirp mass to the power 5/2, since the set is uniform in chirp distance's volume.
    """
    weight = np.where(found.stat > threshold, found.mchirp**2.5, 0.0)
    number = len(weight)
    unit = 4 / 3 * np.pi * found.distance.max() ** 3 / found.mchirp.max() ** 2.5
    return unit * weight.mean(), unit * weight.std() / np.sqrt(number)


def sensitivity(
    found: Matched, background_stat: np.ndarray, seconds: float, rates: Sequence[float] = FALSE_ALARMS_A_MONTH
) -> list[dict]:
    """Work out the sensitive distance at false-alarm rates.

    Args:
        found: Matched.
        background_stat: Statistics of the background's events.
        seconds: How much background was searched.
        rates: Events a month of 30 days.

    Returns:
        List of dictionaries: rate (a month), threshold, threshold_error (None: see `noise_pieces.bootstrapped`), distance and
        distance_error (Mpc), volume and volume_error (Gpc^3), found_fraction and found_error; all but the rate None where the
        background is too short.
    """
    rows = []
    for rate in rates:
        threshold = threshold_at_rate(background_stat, seconds, rate / MONTH_SECONDS)
        row = {**dict.fromkeys(ROW), "rate": rate}
        if threshold is not None:
            volume, error = sensitive_volume(found, threshold)
            distance = (3 * volume / (4 * np.pi)) ** (1 / 3)
            fraction = float(np.mean(found.stat > threshold))
            row.update(
                threshold=threshold if np.isfinite(threshold) else None,
                distance=float(distance),
                distance_error=float(distance * error / (3 * volume)) if volume else 0.0,
                volume=float(volume) / 1e9,
                volume_error=float(error) / 1e9,
                found_fraction=fraction,
                found_error=float(np.sqrt(fraction * (1 - fraction) / len(found.stat))),
            )
        rows.append(row)
    return rows


def found_by(found: Matched, values: np.ndarray, edges: Sequence[float] | np.ndarray, threshold: float) -> dict:
    """Return the found fraction of injections in bins of some property.

    Args:
        found: Matched.
        values: The property of each injection, in the order of `found`, array (n,).
        edges: Rising edges of the bins; the last bin holds its upper edge too.
        threshold: Statistic to exceed.

    Returns:
        Dictionary: edges, fraction (None in empty bins) and number, lists.
    """
    number = np.histogram(values, edges)[0]
    hits = np.histogram(values[found.stat > threshold], edges)[0]
    fraction = [h / n if n else None for h, n in zip(hits.tolist(), number.tolist(), strict=True)]
    return {"edges": [float(e) for e in edges], "fraction": fraction, "number": number.tolist()}


# Into how many ranges of equal width the injections are sorted by each of them.
BINS = 8
PROPERTIES = {
    "mchirp": "chirp mass (solar masses)",
    "chirp_distance": "chirp distance (Mpc)",
    "snr": "network optimal SNR",
}


def what_is_found(found: Matched, threshold: float) -> dict[str, dict]:
    """Return what the sensitive distance hides: the found fraction by chirp mass, chirp distance and SNR.

    Args:
        found: Matched; properties that its injections lack are left out.
        threshold: Statistic to exceed.

    Returns:
        Dictionary property -> dictionary of `found_by`, with a label for people.
    """
    result = {}
    for name, label in PROPERTIES.items():
        values = found.injections.get(name)
        if values is None or not np.any(np.isfinite(values)):
            continue
        low, high = np.nanmin(values), np.nanmax(values)
        edges = np.linspace(low, max(high, low + 1e-6), BINS + 1)
        result[name] = {**found_by(found, values, edges, threshold), "label": label}
    return result


def loudest_missed(found: Matched, threshold: float, number: int = 10) -> list[dict]:
    """List the loudest injections that were not found: by SNR, or where it is not known those of least chirp distance.

    Returns:
        List of dictionaries: tc, mchirp, distance, chirp_distance and, where known, snr.
    """
    missed = np.flatnonzero(~(found.stat > threshold))
    snr = found.injections.get("snr")
    loudness = -found.injections["chirp_distance"] if snr is None else np.nan_to_num(snr, nan=-1.0)
    order = missed[np.argsort(-loudness[missed], kind="stable")][:number]
    names = [n for n in ("tc", "mchirp", "distance", "chirp_distance", "snr") if n in found.injections]
    return [{name: float(found.injections[name][i]) for name in names} for i in order]
