"""How sure an event is: false-alarm rate, and the probability that it is astrophysical."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import scipy.special
import scipy.stats

from keras_gw_resnet.search.background import REMOVED_SECONDS, ceiling, of_one, rank, take_out_signals

if TYPE_CHECKING:
    from keras_gw_resnet.search.background import Background
    from keras_gw_resnet.search.candidates import Candidates

YEAR_SECONDS = 365.25 * 24 * 3600.0
# So many of the loudest statistics are taken to fall off exponentially; of noise the slowest of several fits counts.
TAILS = (50, 25, 12, 6)
LEAST = 100
KERNELS = 2000
# Rates of signals, a second, thought of before a search: from about one a day, as detectors find them, to one a second, more than any
# simulated set has. Ten times the rate is a third as likely (per logarithm, rate^-0.5), so that it takes several signals to raise it.
RATES, RATE_POWER, STEPS = (1e-5, 1.0), 0.5, 400
# Beyond its loudest event the noise of a background is taken to fall off as the square of the statistic above the median, as the
# number of glitches does with their SNR. In 20 slides of half an hour of O1 to O3 the loudest 30 events fall off faster.
FALL = 2
# Share of signals louder than noise of which one detector alone seems to speak: assumed for H1 and L1, not measured.
LONE_SIGNALS = 0.05
# What its own strain makes again in more than this share of the slides is no coincidence: one detector makes it. Chance, which
# counts more the more background there is, is exceeded by so many standard deviations.
AGAIN, CHANCE = 0.1, 4.0
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
    (`noise_as_loud`): a short background cannot show more, and one loud event, however loud, tells nothing of its faint
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
    counted = noise_as_loud(ranks, replace(background, stat=ranked), searched_seconds)
    probability = _mean_probability(odds, -np.log(counted), searched_seconds)
    return np.where(lone, np.minimum(probability, LONE_SIGNALS), probability)


def noise_as_loud(ranks, ranked, searched_seconds):
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
        weight[step] = np.sum(np.logaddexp(0, logit(number))) - number - RATE_POWER * np.log(number)
    weight = np.exp(weight - weight.max())
    return sum(w * scipy.special.expit(logit(n)) for w, n in zip(weight / weight.sum(), expected, strict=True))


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
        lone: Which events one detector makes alone, boolean array (n,); None: those of `background.of_one`.

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
        far_exclusive (without the strain around the event, a year), far_is_limit (no background event ranks as high:
        an upper limit), far_extrapolated and ranked_down (one detector alone speaks, or its strain makes the event again in
        the slides, see `background.ceiling`); and the indices of the events that were taken out.
    """
    lone, left, taken, rates = of_one(events), background, np.empty(0, int), np.empty(0)
    given = (card, searched_seconds, threshold)
    if slid and len(events):
        lone |= _made_again(events, background, searched_seconds)
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
    what = {"far_is_limit": limit & ~beyond, "far_extrapolated": beyond, "ranked_down": ranks < events.stat}
    return left, {**columns, **what}, taken


def _made_again(events, background, searched_seconds):
    """Say which events their own strain makes again in the slides, as loud or louder and more often than by chance."""
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
