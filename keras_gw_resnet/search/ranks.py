"""What events are ranked by, how often noise makes an event of such a rank, and which of them noise does not make."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from keras_gw_resnet.search.background import REMOVED_SECONDS
from keras_gw_resnet.search.candidates import speaks_alone

if TYPE_CHECKING:
    from keras_gw_resnet.search.background import Background
    from keras_gw_resnet.search.candidates import Candidates

YEAR_SECONDS = 365.25 * 24 * 3600.0
# An event that noise makes in fewer than one of ten such searches counts as a signal, and is no background.
SIGNAL_FALSE_ALARMS = 0.1
# Among events that one detector makes alone the loudest ranks first, all of them so little below their ceiling.
BETWEEN = 1e-6
# What its own strain makes again in more than this share of the slides is no coincidence: one detector makes it. Chance, which
# counts more the more background there is, is exceeded by so many standard deviations.
AGAIN, CHANCE = 0.1, 4.0
# Background events that a class of templates needs for a rate of its own.
ENOUGH = 10
# Events of which the surroundings are looked through at once.
AT_ONCE = 10_000


def false_alarm_rate(stat: np.ndarray, background: Background) -> tuple[np.ndarray, np.ndarray]:
    """Work out how often noise alone makes an event as loud or louder.

    The rate is (1 + n) / T for n of them in T of background, so that it is never put at zero.

    Args:
        stat: Ranking statistics, array (n,).
        background: `background.Background`.

    Returns:
        Tuple (rate, error): float64 arrays (n,), a year; the error is the Poisson standard error of the counted events.
    """
    rising = np.sort(background.stat)
    louder = 1 + len(rising) - np.searchsorted(rising, stat, side="left")
    years = background.seconds / YEAR_SECONDS
    return louder / years, np.sqrt(louder) / years


def rate_of_class(ranks: np.ndarray, light: np.ndarray, background: Background) -> tuple[np.ndarray, np.ndarray]:
    """Work out how often noise alone makes an event as loud or louder of the same class of templates.

    There are two classes, of light and of heavy binaries, so that noise has two chances: each rate counts twice (as in arXiv 1508.02357).

    Args:
        ranks: Of events, array (n,).
        light: Their class, see `candidates.Candidates`.
        background: Background with ranks in place of its statistics.

    Returns:
        Tuple (rate, limit): float64 array (n,), a year, NaN where the class is not known, or has fewer than `ENOUGH` background events;
        and whether it is an upper limit since no background event of the class ranks as high.
    """
    found, limit = np.full(len(ranks), np.nan), np.zeros(len(ranks), bool)
    for number in (0, 1):
        own, same = light == number, background.light == number
        if np.count_nonzero(same) >= ENOUGH:
            one = replace(background, stat=background.stat[same])
            found[own] = 2 * false_alarm_rate(ranks[own], one)[0]
            limit[own] = ranks[own] > one.stat.max()
    return found, limit


def ceiling(background: Background, searched_seconds: float) -> float:
    """Return the rank that one detector alone reaches at most, however loud.

    What one detector makes alone is as loud in every slide, so no slide can show it rarer than once in the strain that
    was searched: it ranks where the background of several detectors has as many events as that, or as there are of one alone.

    Args:
        background: Background.
        searched_seconds: How much strain was searched without slides, more than none.
    """
    alone = of_one(background)
    several, once = np.sort(background.stat[~alone])[::-1], math.ceil(background.seconds / searched_seconds)
    if once > len(several):
        return -np.inf
    number = max(once, np.count_nonzero(background.stat[alone] >= several[once - 1]))
    return several[min(number, len(several)) - 1]


def rank(stat: np.ndarray, lone: np.ndarray, highest: float) -> np.ndarray:
    """Return what events are ranked by: their statistic, or just below `highest` where one detector speaks alone and louder.

    Args:
        stat: Statistics, array (n,).
        lone: Which events one detector makes alone, boolean array (n,).
        highest: See `ceiling`.
    """
    above = np.where(lone, stat - highest, -1.0)
    return np.where(above >= 0, highest - BETWEEN / (1 + np.maximum(above, 0)), stat)


def of_one(found: Background | Candidates) -> np.ndarray:
    """Say which events of a background or of a search one detector makes alone, boolean array (n,)."""
    return speaks_alone(found.stat, found.alone) >= 0


def take_out_signals(
    events: Candidates, background: Background, searched_seconds: float, lone: np.ndarray
) -> tuple[Background, np.ndarray, np.ndarray]:
    """Take the strain of signals out of a background, the loudest event first, each judged by the background with it.

    Hierarchical removal against the inclusive background (arXiv 1508.02357): the strain of an event stays in the
    background by which that event is judged, and leaves it only for the events below.

    Args:
        events: Candidates of the search without slides.
        background: Background of the same strain.
        searched_seconds: How much strain the events are of.
        lone: Which of the events one detector makes alone, boolean array (n,).

    Returns:
        Tuple (Background, indices, rates): without the events at these indices, and the rate, a second, at which the
        background that held each of them makes an event of its rank.
    """
    left, taken, rates = background, [], []
    while len(taken) < len(events) and left.seconds:
        highest = ceiling(left, searched_seconds)
        ranks = rank(events.stat, lone, highest)
        ranks[taken] = -np.inf
        loudest = int(np.argmax(ranks))
        louder = np.count_nonzero(rank(left.stat, of_one(left), highest) >= ranks[loudest])
        rate = (1 + louder) / left.seconds
        without = background.without(events.time[[*taken, loudest]], searched_seconds)
        if rate * searched_seconds > SIGNAL_FALSE_ALARMS or not without.seconds:
            break
        left, taken, rates = without, [*taken, loudest], [*rates, rate]
    return left, np.array(taken, int), np.array(rates)


def made_again(events: Candidates, background: Background, searched_seconds: float) -> np.ndarray:
    """Say which events their own strain makes again in the slides, as loud or louder and more often than by chance.

    Args:
        events: Candidates of the search without slides.
        background: Background of the same strain.
        searched_seconds: How much strain the events are of, more than none.

    Returns:
        Boolean array (n,).
    """
    rising, slides = np.sort(background.stat), background.seconds / searched_seconds
    louder = len(rising) - np.searchsorted(rising, events.stat, side="left")
    chance = louder * 2 * REMOVED_SECONDS * background.time.shape[1] / searched_seconds
    own = own_number(events.time, events.stat, background)
    return own > AGAIN * slides + chance + CHANCE * np.sqrt(chance)


def own_number(time: np.ndarray, stat: np.ndarray, background: Background) -> np.ndarray:
    """Count the background events as loud as each event that hold strain around it.

    Args:
        time, stat: Of events, arrays (n,).
        background: Background.

    Returns:
        Integer array (n,).
    """
    number = np.zeros(len(time), int)
    orders = [np.argsort(column) for column in background.time.T]
    for some in np.array_split(np.arange(len(time)), len(time) // AT_ONCE + 1):
        for detector, order in enumerate(orders):
            edges = time[some] + np.array([[-REMOVED_SECONDS], [REMOVED_SECONDS]])
            first, last = np.searchsorted(background.time[order, detector], edges)
            event = np.repeat(some, last - first)
            at = order[np.arange(len(event)) + np.repeat(last - np.cumsum(last - first), last - first)]
            counted = background.stat[at] >= stat[event]
            # What holds it in an earlier detector too is counted there.
            counted &= ~np.any(np.abs(background.time[at, :detector] - time[event, None]) <= REMOVED_SECONDS, axis=1)
            number += np.bincount(event[counted], minlength=len(time))
    return number
