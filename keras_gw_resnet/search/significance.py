"""How sure an event is: false-alarm rate, and the probability that it is astrophysical."""

import numpy as np
import scipy.stats

YEAR_SECONDS = 365.25 * 24 * 3600.0
# Statistics above so many of the loudest are taken to fall off exponentially.
TAIL = 50
ITERATIONS = 200
KERNELS = 2000


def false_alarm_rate(stat, background):
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


class Density:
    """Density of a ranking statistic above a threshold: a kernel estimate, and beyond the `TAIL`-th loudest an exponential.

    Args:
        stat: Sample of statistics.
        threshold: Where it begins.
    """

    def __init__(self, stat, threshold):
        above = np.sort(stat[stat >= threshold])
        self._edge = above[-min(TAIL, len(above) // 2) - 1]
        tail = above[above > self._edge]
        self._share, self._scale = len(tail) / len(above), max(np.mean(tail - self._edge), 1e-6)
        # Every so many of the sorted statistics say as much as all; mirrored, so that none leaks below the threshold.
        some = above[:: -(-len(above) // KERNELS)]
        self._core = scipy.stats.gaussian_kde(np.concatenate([some, 2 * threshold - some]))
        self._norm = self._core.integrate_box_1d(threshold, self._edge) / (1 - self._share)

    def log(self, stat):
        """Return the logarithm of the density at statistics, array (n,)."""
        stat = np.asarray(stat, np.float64)
        beyond = np.log(self._share / self._scale) - (stat - self._edge) / self._scale
        with np.errstate(divide="ignore"):
            within = self._core.logpdf(np.minimum(stat, self._edge)) - np.log(self._norm)
        return np.where(stat > self._edge, beyond, within)


def astrophysical_probability(stat, background, signal_stat, searched_seconds, threshold):
    """Work out for each event the probability that it is a signal, from the rates of signals and noise (arXiv 1302.5341).

    The rate of noise above the threshold is that of the background, the rate of signals the one that makes the events
    of this search most likely.

    Args:
        stat: Ranking statistics of all events of a search above the threshold, array (n,).
        background: `background.Background`.
        signal_stat: Statistics of simulated signals, uniform in volume.
        searched_seconds: How much strain the events are of.
        threshold: Lowest statistic of an event.

    Returns:
        float64 array (n,) from 0 to 1; None where background or signals have too few events above the threshold.
    """
    samples = [np.asarray(s, np.float64) for s in (background.stat, signal_stat)]
    if min(np.count_nonzero(s >= threshold) for s in samples) < 2 * TAIL or not len(stat):
        return None
    noise, signal = (Density(s, threshold) for s in samples)
    noise_events = np.count_nonzero(background.stat >= threshold) / background.seconds * searched_seconds
    odds = signal.log(stat) - noise.log(stat) - np.log(noise_events)
    # A louder event is no less likely a signal, whatever the scatter of the densities.
    rising = np.argsort(stat)
    odds[rising] = np.minimum.accumulate(odds[rising][::-1])[::-1]
    expected = 1.0
    for _ in range(ITERATIONS):
        probability = 1 / (1 + np.exp(-np.clip(odds + np.log(expected), -700, 700)))
        expected = max(probability.sum(), 1e-12)
    return probability


def significance(events, background, card, searched_seconds, threshold):
    """Work out what a background says about the events of a search.

    Args:
        events: Candidates.
        background: `background.Background`, of a second and more.
        card: Card of the network; with simulated signals in `signals` there is an astrophysical probability.
        searched_seconds: How much strain the events are of.
        threshold: Lowest statistic of an event.

    Returns:
        Dictionary of float64 arrays (n,): far and far_error (a year), ifar (years), and p_astro where it can be had.
    """
    rate, error = false_alarm_rate(events.stat, background)
    columns = {"far": rate, "far_error": error, "ifar": 1 / rate}
    signals = card.get("signals", {}).get("stat", [])
    probability = astrophysical_probability(events.stat, background, signals, searched_seconds, threshold)
    return columns if probability is None else {**columns, "p_astro": probability}
