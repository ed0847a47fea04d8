"""How sure an event is: false-alarm rate, and the probability that it is astrophysical."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_gw_resnet.search.probability import LEAST, astrophysical_probability, tails_of
from keras_gw_resnet.search.ranks import (
    YEAR_SECONDS,
    ceiling,
    false_alarm_rate,
    made_again,
    of_one,
    own_number,
    rank,
    rate_of_class,
    take_out_signals,
)
from keras_gw_resnet.search.results import attributes_of, describing_columns

if TYPE_CHECKING:
    from keras_gw_resnet.search.background import Background
    from keras_gw_resnet.search.candidates import Candidates
    from keras_gw_resnet.search.detector import Detector
    from keras_gw_resnet.search.results import Found
    from keras_gw_resnet.strain.layouts import SegmentHeader


def significance(
    events: Candidates,
    background: Background,
    card: dict,
    searched_seconds: float,
    threshold: float,
    lone: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Work out what a background says about the events of a search.

    Args:
        events: Candidates.
        background: `background.Background`, of a second and more.
        card: Card of the network; with simulated signals in `signals` there is an astrophysical probability.
        searched_seconds: How much strain the events are of.
        threshold: Lowest statistic of an event.
        lone: Which events one detector makes alone, boolean array (n,); None: those of `ranks.of_one`.

    Returns:
        Dictionary of float64 arrays (n,): far and far_error (a year), ifar (years), and p_astro where it can be had.
    """
    lone = of_one(events) if lone is None else lone
    rate, error = false_alarm_rate(*_ranked(events, background, searched_seconds, lone))
    columns = {"far": rate, "far_error": error, "ifar": 1 / rate}
    signals = card.get("signals", {}).get("stat", [])
    probability = astrophysical_probability(events.stat, background, signals, searched_seconds, threshold, lone)
    return columns if probability is None else {**columns, "p_astro": probability}


def _ranked(events, background, searched_seconds, lone):
    """Return the ranks of events, and their background with ranks in place of its statistics."""
    highest = ceiling(background, searched_seconds) if searched_seconds else -np.inf
    ranked = rank(background.stat, of_one(background), highest)
    return rank(events.stat, lone, highest), replace(background, stat=ranked)


def judge(
    events: Candidates,
    background: Background,
    card: dict,
    searched_seconds: float,
    threshold: float,
    *,
    slid: bool = True,
    extrapolate: bool = False,
) -> tuple:
    """Judge every event of a search by the background that includes it.

    Args:
        events, card, searched_seconds, threshold: See `significance`.
        background: `background.Background` of the same strain, or of other strain.
        slid: Whether it is of the same strain, so that signals are in it and are taken out, the loudest first.
        extrapolate: Whether to give events beyond the end of the background the rate of a tail fitted to it.

    Returns:
        Tuple (Background, dictionary, taken): the background without signals; the columns of `significance` and
        far_exclusive (without the strain around the event, a year), far_class (by background of the same class of templates alone, see
        `ranks.rate_of_class`, a year; where the network has classes) and far_class_is_limit, far_is_limit (no background event ranks as high:
        an upper limit), far_extrapolated and ranked_down (one detector alone speaks, or its strain makes the event again in
        the slides, see `ranks.ceiling`); and the indices of the events that were taken out.
    """
    lone, left, taken, rates = of_one(events), background, np.empty(0, int), np.empty(0)
    given = (card, searched_seconds, threshold)
    if slid and len(events):
        lone |= made_again(events, background, searched_seconds)
        left, taken, rates = take_out_signals(events, background, searched_seconds, lone)
    columns = significance(events, left, *given, lone)
    if len(taken) and "p_astro" in columns and not np.all(signals := columns["p_astro"][taken] > 0.5):
        # Louder than a short background is not yet a signal: the strain of what is none goes back.
        taken, rates = taken[signals], rates[signals]
        left = background.without(events.time[taken], searched_seconds)
        columns = significance(events, left, *given, lone)
    ranks, ranked = _ranked(events, left, searched_seconds, lone)
    columns["far"][taken] = rates * YEAR_SECONDS
    columns["far_error"][taken] = np.sqrt(rates / left.seconds) * YEAR_SECONDS
    columns["far_exclusive"] = columns["far"].copy()
    if slid and len(events):
        every = false_alarm_rate(ranks, ranked)[0] * left.seconds / YEAR_SECONDS
        rest = max(left.without([0.0], searched_seconds).seconds, 1e-9)
        columns["far_exclusive"] = (every - own_number(events.time, ranks, ranked)) * YEAR_SECONDS / rest
    limit = (ranks > ranked.stat.max(initial=-np.inf)) & (ranks == events.stat)
    limit[taken] = rates * left.seconds < 1.5
    fitted = _fitted_rate(ranks, ranked, threshold) if extrapolate else None
    beyond = limit if fitted is not None else np.zeros(len(events), bool)
    if fitted is not None:
        for name, rate in zip(("far", "far_error"), fitted, strict=True):
            columns[name][beyond] = rate[beyond]
    # What ranks higher is no more often a false alarm, whatever left the background in between.
    falling = np.argsort(-ranks, kind="stable")
    columns["far"][falling] = np.maximum.accumulate(columns["far"][falling])
    columns["ifar"] = 1 / columns["far"]
    if "p_astro" in columns:
        order = np.lexsort((-columns["p_astro"], columns["far"]))
        columns["p_astro"][order] = np.minimum.accumulate(columns["p_astro"][order])
    if np.any(background.light >= 0):
        columns["far_class"], columns["far_class_is_limit"] = rate_of_class(ranks, events.light, ranked)
    what = {"far_is_limit": limit & ~beyond, "far_extrapolated": beyond, "ranked_down": ranks < events.stat}
    return left, {**columns, **what}, taken


def _fitted_rate(stat, background, threshold):
    """Return (rate, error), a year, of the exponential tails of a background, the slowest of them; None where it has too few events."""
    if np.count_nonzero(background.stat >= threshold) < LEAST:
        return None
    tails = tails_of(np.sort(background.stat[background.stat >= threshold]))
    beyond = np.array([(stat - edge) / scale for edge, scale, _ in tails])
    number = np.array([[number] for _, _, number in tails])
    rates = number / background.seconds * YEAR_SECONDS * np.exp(-beyond)
    slowest = np.argmax(rates, axis=0), np.arange(len(stat))
    return rates[slowest], (rates * np.sqrt((1 + beyond**2) / number))[slowest]


@dataclass(frozen=True)
class Judged:
    """What is known about what a search found.

    Attributes:
        columns: Of its events, by name, arrays (n,): see `results.describing_columns`, and `judge` where there is a background.
        attributes: Of the search, by name: see `results.attributes_of`, and of its background.
        background: Background, signals taken out where it is of slides; None: there is none.
        taken: Indices of the events that were taken out.
        unfitted: Whether rates were to be extrapolated, and the background has too few events to fit a tail to.
    """

    columns: dict
    attributes: dict
    background: Background | None
    taken: Sequence[int]
    unfitted: bool = False


def judged(
    network: Detector,
    found: Found,
    strain: Sequence[Path | str],
    headers: Sequence[SegmentHeader],
    background: Background | None,
    *,
    slid: bool,
    extrapolate: bool,
    threshold: float,
    **more,
) -> Judged:
    """Judge what a search found by a background.

    Args:
        network, found, strain: See `results.attributes_of`.
        headers: SegmentHeader list of the strain.
        background: Of other strain; None: none.
        slid: Whether it is that of the search's own slides.
        extrapolate: See `judge`.
        threshold: Of the scores.
        **more: Further attributes.
    """
    columns = describing_columns(found.events, network.detectors, headers)
    attributes = attributes_of(network, found, strain, threshold=threshold, **more)
    background, taken, unfitted = found.background if slid else background, (), False
    if background is not None and background.seconds:
        given = (found.events, background, network.card, found.searched_seconds, threshold)
        background, rates, taken = judge(*given, slid=slid, extrapolate=extrapolate)
        columns |= rates
        attributes |= {
            "background_seconds": background.seconds,
            "extrapolated": bool(np.any(rates["far_extrapolated"])),
        }
        unfitted = extrapolate and bool(np.any(rates["far_is_limit"]))
    if slid:
        attributes |= {"signals_taken_out_of_background": len(taken), "slides": found.background.slides}
    return Judged(columns, attributes, background, taken, unfitted)
