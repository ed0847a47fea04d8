"""What a search says of glitches of one detector: loud ones one at a time, and the false alarms of strain that has them as often as O3.

    keras-gw-resnet glitches import gravityspy-o3a.hdf --output glitches.hdf
    python -m benchmarks.search.lone_glitches resnet18-w16 --bank glitches.hdf
    python -m benchmarks.search.lone_glitches resnet18-w16 --bank glitches.hdf --searches 100

Whitened Gaussian noise, searched and slid by the network as a search does it, without gates. By default every label of the bank and every simulated
family at SNRs from 10 to 1000, each in one search: how many events have a p astro of 0.1 or more, the highest, and the false alarms as
loud that such a search expects. With --searches, glitches of the bank as loud as they were measured: how many events lie at or below stated rates.
"""

import argparse
from pathlib import Path

import numpy as np

from benchmarks.search.significance import GLITCH_RATES, RATES, dispersion
from keras_gw_resnet.backend import load_keras
from keras_gw_resnet.commands.printing import table

SNRS = (10, 30, 100, 300, 1000)
THRESHOLD = -4.0


def searched(network, strain, slides):
    """Search whitened strain (samples, detectors) from GPS 0; return (events, columns, expected false alarms as loud in such a search)."""
    from keras_gw_resnet.search.background import slid_background, slide_shifts
    from keras_gw_resnet.search.ranks import YEAR_SECONDS
    from keras_gw_resnet.search.significance import judge
    from keras_gw_resnet.strain.stretches import WhitenedStretch

    stretch = WhitenedStretch(0.0, network.sample_rate, network.detectors, strain, ())
    alone, scan = network.alone(strain), network.scanner.scan(strain)
    scans = network.scanner.scan_arranged(strain, slide_shifts(network, stretch, slides))
    background = slid_background(network, stretch, slides, THRESHOLD, alone=alone, scans=scans)
    events, seconds = network.cluster(scan, 0.0, THRESHOLD, alone), len(scan.scores) * network.stride_seconds
    _, columns, _ = judge(events, background, network.card, seconds, THRESHOLD)
    return events, columns, columns["far"] / YEAR_SECONDS * seconds


def transients(bank, rng, rate):
    """Yield (family, detector, transient of unit SNR): one of each label of the bank, and one of each simulated family."""
    from keras_gw_resnet.simulation.glitches import FAMILIES

    for label in np.unique(bank.label):
        one = rng.choice(np.flatnonzero(bank.label == label))
        yield str(label), str(bank.detector[one]), bank.strain[one]
    for family, make in FAMILIES.items():
        yield f"simulated {family}", rng.choice(["H1", "L1"]), make(rng, np.arange(-rate, rate)[None] / rate, 1.0)[0]


def loud_ones(network, bank, seconds, slides, repeats, rng):
    """Print what becomes of single transients of SNR 10 to 1000."""
    rate, rows = network.sample_rate, {}
    for _ in range(repeats):
        for snr in SNRS:
            for family, detector, cut in transients(bank, rng, rate):
                strain = rng.normal(size=(round(seconds * rate), len(network.detectors))).astype(np.float32)
                first = round(rng.uniform(0.2, 0.8) * len(strain))
                strain[first : first + len(cut), network.detectors.index(detector)] += cut * (snr / np.linalg.norm(cut))
                events, columns, expected = searched(network, strain, slides)
                near = np.flatnonzero(np.abs(events.time - (first + len(cut) / 2) / rate) < 1.5)
                if len(near):
                    loudest = near[np.argmax(events.stat[near])]
                    rows.setdefault(family, []).append((columns["p_astro"][loudest], expected[loudest]))
    told = []
    for family, own in rows.items():
        probability, expected = np.array(own).T
        loud = np.count_nonzero(probability >= 0.1)
        told.append(
            [
                family,
                len(own),
                loud,
                f"{probability.max():.3f}",
                f"{np.min(expected):.2f}",
                f"{np.median(expected):.2f}",
            ]
        )
    print(table(told, ("family", "events", "p astro >= 0.1", "highest", "false alarms, least", "median")))


def searches(network, bank, seconds, slides, number, rng):
    """Print how many events of strain with glitches lie at or below stated false-alarm rates."""
    rate, counts = network.sample_rate, []
    for _ in range(number):
        strain = rng.normal(size=(round(seconds * rate), len(network.detectors))).astype(np.float32)
        for column, (detector, often) in enumerate(zip(network.detectors, GLITCH_RATES, strict=True)):
            many = rng.poisson(often * seconds)
            for cut in bank.strain[rng.choice(np.flatnonzero(bank.detector == detector), many)]:
                first = rng.integers(0, len(strain) - len(cut))
                strain[first : first + len(cut), column] += cut
        expected = searched(network, strain, slides)[2]
        counts.append([np.count_nonzero(expected <= least) for least in RATES])
    rows = [
        (f"{rate:g}", *(f"{x:.2f}" for x in dispersion(own)))
        for rate, own in zip(RATES, np.transpose(counts), strict=True)
    ]
    print(table(rows, ("false alarms expected", "counted, mean", "variance / mean", "P(more)", "P(less)")))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="+", help="saved networks")
    parser.add_argument("--bank", type=Path, required=True, help="glitch bank, whitened, reconstructed without noise")
    parser.add_argument("--searches", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=128.0)
    parser.add_argument("--slides", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    load_keras()

    from keras_gw_resnet.search.detector import Detector
    from keras_gw_resnet.simulation.glitch_bank import load_glitches

    bank = load_glitches(args.bank)
    for name in args.networks:
        network, rng = Detector.load(name), np.random.default_rng(args.seed)
        print(f"{name}: searches of {args.seconds:g} s with {args.slides} slides")
        if args.searches:
            searches(network, bank, args.seconds, args.slides, args.searches, rng)
        else:
            loud_ones(network, bank, args.seconds, args.slides, args.repeats, rng)


if __name__ == "__main__":
    main()
