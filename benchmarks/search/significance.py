"""How far the figures of a search can be believed: false-alarm rates and p astro on searches that are drawn, not scanned.

    python -m benchmarks.search.significance resnet18-w16 flagship --sets 100

Drawn are the statistics of candidates and of their time slides: noise of several detectors with a bulk and a tail as real strain has them,
glitches that one detector makes and every slide makes again, and signals by what the card knows of simulated ones. Printed are, for searches
without signals, how many events lie below stated false-alarm rates (the mean, which should be the rate, and the dispersion: variance over mean with
its probability if they were Poisson), and for searches with signals how many events of each p astro are some.
"""

import argparse
import itertools

import numpy as np
import scipy.stats

from keras_gw_resnet.commands.printing import table
from keras_gw_resnet.search.background import Background
from keras_gw_resnet.search.candidates import Candidates
from keras_gw_resnet.search.ranks import YEAR_SECONDS
from keras_gw_resnet.search.significance import judge
from keras_gw_resnet.zoo import load_card

THRESHOLD = -4.0
# Events of noise a second, the scales of bulk and tail, and the share of the tail: resnet18-w16 on real strain of O1 to O3 slid.
NOISE_RATE, BULK, TAIL, TAIL_SHARE = 0.7, 1.1, 3.6, 0.06
# Glitches a second of each detector, as in O3a.
GLITCH_RATES = (0.3 / 60, 1 / 60)
RATES = (0.3, 1.0, 3.0, 10.0, 30.0)
EDGES = (0.1, 0.4, 0.6, 0.9, 0.99, 1.001)


def draw_noise(rng, number):
    """Draw events of noise that several detectors make: statistics, and those of each detector alone."""
    stat = THRESHOLD + rng.exponential(np.where(rng.random(number) < TAIL_SHARE, TAIL, BULK))
    return stat, np.stack([stat - 8, stat - 8], axis=1)


def draw_search(rng, signals, *, seconds, slides, signal_rate=0.0, glitch_rates=GLITCH_RATES):
    """Draw what a search of H1 and L1 finds.

    Args:
        rng: np.random.Generator.
        signals: Statistics of simulated signals, of which some are drawn.
        seconds: Searched strain.
        slides: Time slides of it.
        signal_rate: Signals a second.
        glitch_rates: Glitches a second of each detector.

    Returns:
        Tuple (Candidates, Background, truth): which of the events are signals.
    """
    (stat, alone), (back, back_alone) = (draw_noise(rng, rng.poisson(NOISE_RATE * seconds * n)) for n in (1, slides))
    time, back_time = rng.uniform(0, seconds, len(stat)), rng.uniform(0, seconds, (len(back), 2))
    parts, backs = [(time, stat, alone)], [(back_time, back, back_alone)]
    for detector, rate in enumerate(glitch_rates):
        number = rng.poisson(rate * seconds)
        loud, at = 40 * rng.power(0.5, number), rng.uniform(0, seconds, number)
        for slide in range(slides + 1):
            own = loud + rng.normal(0, 1, number)
            other = rng.uniform(-11, -5, number)
            each = np.stack([own / 2, other] if detector == 0 else [other, own / 2], axis=1)
            when = rng.uniform(0, seconds, (number, 2))
            when[:, detector] = at
            chosen = own > THRESHOLD
            (backs if slide else parts).append((when[chosen] if slide else at[chosen], own[chosen], each[chosen]))
    found = rng.choice(signals, rng.poisson(signal_rate * seconds))
    found = found[found > THRESHOLD]
    at = rng.uniform(0, seconds, len(found))
    parts.append((at, found, np.stack([found / 8 - 8, found / 8 - 8], axis=1)))
    # In a slide each detector has its part of a signal still.
    for detector in (0, 1):
        for _ in range(slides):
            own = found / 8 + rng.normal(0, 1, len(found)) - 3
            when = rng.uniform(0, seconds, (len(found), 2))
            when[:, detector] = at
            each = np.full((len(found), 2), -8.0)
            each[:, detector] = own - 2
            chosen = own > THRESHOLD
            backs.append((when[chosen], own[chosen], each[chosen]))
    time, stat, alone = (np.concatenate(own) for own in zip(*parts, strict=True))
    back_time, back, back_alone = (np.concatenate(own) for own in zip(*backs, strict=True))
    events = Candidates(time, stat, np.full(len(stat), 0.2), alone)
    truth = np.arange(len(stat)) >= len(stat) - len(found)
    return events, Background(back, back_time, slides * seconds, slides, back_alone), truth


def judged(rng, card, **options):
    """Draw and judge a search.

    Returns:
        Tuple (truth, p_astro, expected): which events are signals, and how many false alarms as loud or louder one such search has.
    """
    events, background, truth = draw_search(rng, np.array(card["signals"]["stat"]), **options)
    _, columns, _ = judge(events, background, card, options["seconds"], THRESHOLD)
    return truth, columns["p_astro"], columns["far"] / YEAR_SECONDS * options["seconds"]


def false_alarms(rng, card, sets, **options):
    """Count in searches without signals the events at or below `RATES`, as numbers expected in such a search: array (sets, rates)."""
    expected = [judged(rng, card, **options)[2] for _ in range(sets)]
    return np.array([[np.count_nonzero(own <= rate) for rate in RATES] for own in expected])


def probabilities(rng, card, sets, **options):
    """Return (truth, p_astro) of all events of searches with signals."""
    every = [judged(rng, card, **options)[:2] for _ in range(sets)]
    return tuple(np.concatenate(own) for own in zip(*every, strict=True))


def dispersion(counts):
    """Return (mean, variance over mean, probability that Poisson numbers scatter as much or more, as little or less)."""
    mean, spread = np.mean(counts), np.sum((counts - np.mean(counts)) ** 2) / np.mean(counts)
    law = scipy.stats.chi2(len(counts) - 1)
    return mean, spread / (len(counts) - 1), law.sf(spread), law.cdf(spread)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="+", help="saved networks, whose cards say what signals score")
    parser.add_argument("--sets", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=600.0, help="searched strain of a set (default: 600)")
    parser.add_argument("--slides", type=int, default=20)
    parser.add_argument("--signals", type=float, default=5.0, help="signals a set in the second table (default: 5)")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    for name in args.networks:
        given, options = (load_card(name), args.sets), {"seconds": args.seconds, "slides": args.slides}
        counts = false_alarms(np.random.default_rng([args.seed, 0]), *given, **options)
        print(f"{name}: {args.sets} searches of {args.seconds:g} s with glitches and {args.slides} slides")
        rows = [
            (f"{rate:g}", *(f"{x:.2f}" for x in dispersion(own))) for rate, own in zip(RATES, counts.T, strict=True)
        ]
        print(table(rows, ("false alarms expected", "counted, mean", "variance / mean", "P(more)", "P(less)")))
        rate = args.signals / args.seconds
        truth, probability = probabilities(np.random.default_rng([args.seed, 1]), *given, signal_rate=rate, **options)
        rows = []
        for low, high in itertools.pairwise(EDGES):
            own = (probability >= low) & (probability < high)
            share = f"{np.mean(truth[own]):.2f}" if np.any(own) else "-"
            rows.append((f"{low:g} to {min(high, 1):g}", np.count_nonzero(own), share))
        print(table(rows, ("p astro", "events", "share of signals")))


if __name__ == "__main__":
    main()
