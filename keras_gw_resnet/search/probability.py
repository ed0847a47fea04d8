"""The probability that an event is astrophysical."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import scipy.special
import scipy.stats

from keras_gw_resnet.search.ranks import YEAR_SECONDS, ceiling, false_alarm_rate, of_one, rank

if TYPE_CHECKING:
    from keras_gw_resnet.search.background import Background

# So many of the loudest statistics are taken to fall off exponentially; of noise the slowest of several fits counts.
TAILS = (50, 25, 12, 6)
LEAST = 100
KERNELS = 2000
# Rates of signals, a second, thought of before a search: from about one a day, as detectors find them, to one a second, more than any
# simulated set has. Ten times the rate is a tenth as likely (per logarithm), so that it takes several signals to raise it and
# one event that is louder than a short background stays doubtful.
RATES, STEPS = (1e-5, 1.0), 400
# Beyond its loudest event the noise of a background is taken to fall off as the square of the statistic above the median, as the
# number of glitches does with their SNR. In 20 slides of half an hour of O1 to O3 the loudest 30 events fall off faster.
FALL = 2
# Share of signals louder than noise of which one detector alone seems to speak: assumed for H1 and L1, not measured.
LONE_SIGNALS = 0.05


def tails_of(rising: np.ndarray, numbers: Sequence[int] = TAILS) -> list[tuple]:
    """Fit exponentials to the loudest of statistics.

    Args:
        rising: Statistics in rising order.
        numbers: How many of the loudest to fit to; half of all at most.

    Returns:
        List of (edge, scale, number): where each tail begins, how it falls off, how many it holds.
    """
    tails = []
    for number in numbers:
        edge = rising[-min(number, len(rising) // 2) - 1]
        tail = rising[rising > edge]
        tails.append((edge, max(np.mean(tail - edge), 1e-6), len(tail)))
    return tails


class Density:
    """Density of a ranking statistic above a threshold: a kernel estimate, and beyond the 50th loudest an exponential.

    Args:
        stat: Sample of statistics.
        threshold: Where it begins.
        tails: Of how many of the loudest to take exponentials; the highest of them counts. Noise with a few glitches
            does not fall off as its bulk does.
    """

    def __init__(self, stat: np.ndarray, threshold: float, tails: Sequence[int] = TAILS[:1]) -> None:
        above = np.sort(stat[stat >= threshold])
        self._tails, self._size = tails_of(above, tails), len(above)
        self._edge, _, number = self._tails[0]
        # Every so many of the sorted statistics say as much as all; mirrored, so that none leaks below the threshold.
        some = above[:: -(-len(above) // KERNELS)]
        self._core = scipy.stats.gaussian_kde(np.concatenate([some, 2 * threshold - some]))
        self._norm = self._core.integrate_box_1d(threshold, self._edge) / (1 - number / len(above))

    def log(self, stat: np.ndarray) -> np.ndarray:
        """Return the logarithm of the density at statistics, array (n,)."""
        stat = np.asarray(stat, np.float64)
        with np.errstate(divide="ignore"):
            within = self._core.logpdf(np.minimum(stat, self._edge)) - np.log(self._norm)
        beyond = [
            np.where(stat >= edge, np.log(number / self._size / scale) - (stat - edge) / scale, -np.inf)
            for edge, scale, number in self._tails
        ]
        return np.where(stat > self._edge, np.max(beyond, axis=0), within)


def astrophysical_probability(
    stat: np.ndarray,
    background: Background,
    signal_stat: Sequence[float] | np.ndarray,
    searched_seconds: float,
    threshold: float,
    lone: np.ndarray | None = None,
) -> np.ndarray | None:
    """Work out for each event the probability that it is a signal, from the rates of signals and noise (arXiv 1302.5341).

    The rate of noise above the threshold is that of the background. The rate of signals is what the events of this search say of
    it. The odds of an event are at most one signal, or as many as that rate expects, to the noise events as loud
    (`_noise_as_loud`): a short background cannot show more, and one loud event, however loud, tells nothing of its faint
    neighbours. Events that one detector makes alone are a class of their own: their noise is counted and not fitted, and few of
    the signals are such (`LONE_SIGNALS`).

    Args:
        stat: Ranking statistics of all events of a search above the threshold, array (n,).
        background: `background.Background`.
        signal_stat: Statistics of simulated signals, uniform in volume.
        searched_seconds: How much strain the events are of.
        threshold: Lowest statistic of an event.
        lone: Which events one detector makes alone, boolean array (n,); None: none.

    Returns:
        float64 array (n,) from 0 to 1; None where background or signals have too few events above the threshold.
    """
    if not len(stat):
        return None
    lone = np.zeros(len(stat), bool) if lone is None else lone
    highest, each, alone = (
        ceiling(background, searched_seconds),
        searched_seconds / background.seconds,
        of_one(background),
    )
    ranked, several = rank(background.stat, alone, highest), background.stat[~alone]
    signals, ranks = np.asarray(signal_stat, np.float64), rank(stat, lone, highest)
    if min(np.count_nonzero(s >= threshold) for s in (several, signals)) < LEAST:
        return None
    signal, odds = Density(signals, threshold).log(stat), np.empty(len(stat))
    # What several detectors make is held against the noise that several make, what one makes alone against all of it.
    for chosen, noise in ((~lone, several), (lone, ranked)):
        expected = np.count_nonzero(noise >= threshold) * each
        odds[chosen] = signal[chosen] - Density(noise, threshold, TAILS).log(stat[chosen]) - np.log(expected)
        # What is louder is no less likely a signal, whatever the scatter of the densities.
        rising = np.flatnonzero(chosen)[np.argsort(stat[chosen], kind="stable")]
        odds[rising] = np.minimum.accumulate(odds[rising][::-1])[::-1]
    share = LONE_SIGNALS * max(np.mean(signals >= highest), 1 / len(signals))
    odds[ranks < stat] = np.log(share) - np.log((1 + np.count_nonzero(ranked < background.stat)) * each)
    counted = _noise_as_loud(ranks, replace(background, stat=ranked), searched_seconds)
    probability = _mean_probability(odds, -np.log(counted), searched_seconds)
    return np.where(lone, np.minimum(probability, LONE_SIGNALS), probability)


def _noise_as_loud(ranks, ranked, searched_seconds):
    """Return how many noise events as loud or louder a search has: counted, and beyond the loudest falling off by `FALL`, array (n,)."""
    counted = false_alarm_rate(ranks, ranked)[0] * searched_seconds / YEAR_SECONDS
    middle, loudest = np.median(ranked.stat), ranked.stat.max()
    return counted * (np.maximum(loudest - middle, 1e-6) / np.maximum(ranks - middle, loudest - middle + 1e-6)) ** FALL


def _mean_probability(odds, most, searched_seconds):
    """Return the probability of each event, its mean over the number of signals expected.

    Args:
        odds: Logarithm of the odds of signal to noise at one expected signal, array (n,).
        most: Logarithm of the highest odds where one signal and fewer are expected, array (n,).
        searched_seconds: How much strain the events are of.
    """
    expected, weight = np.geomspace(*RATES, STEPS) * searched_seconds, np.empty(STEPS)

    def logit(number):
        return np.minimum(odds + np.log(number), most + np.log(max(number, 1.0)))

    # One rate at a time: a search of months has a million events.
    for step, number in enumerate(expected):
        weight[step] = np.sum(np.logaddexp(0, logit(number))) - number - np.log(number)
    weight = np.exp(weight - weight.max())
    return sum(w * scipy.special.expit(logit(n)) for w, n in zip(weight / weight.sum(), expected, strict=True))
