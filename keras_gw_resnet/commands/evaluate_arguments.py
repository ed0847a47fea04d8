"""The arguments of the command 'evaluate'."""

import argparse

from keras_gw_resnet.commands.arguments import (
    add_consistency,
    add_overwrite,
    add_quality,
    add_scan,
    add_strict,
    duration,
    finite,
    path_of,
    positive,
    seed,
)
from keras_gw_resnet.commands.set_noise import add_set_noise


def add_evaluate_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what an evaluation takes to a parser."""
    add = parser.add_argument
    add("model", metavar="MODEL", help="name of a saved network, its folder, or its model.keras")
    add("--compare", nargs="+", default=[], metavar="MODEL", help="measure these networks too, on the same data")
    add(
        "--output",
        type=path_of,
        metavar="DIR",
        help="default: runs/evaluation-NAME, runs/sensitivity-NAME, runs/glitches-NAME, or runs/masses-NAME",
    )
    add("--seed", type=seed, default=1, metavar="N", help="of the examples, or of the set (default: 1)")
    add("--card", action="store_true", help="write the figures into the card of each network, too")
    add_overwrite(parser, "an existing output folder")
    _add_windows(parser.add_argument_group("windows"))
    _add_set(parser.add_argument_group("or a set with injections, for the sensitive distance at a false-alarm rate"))
    group = parser.add_argument_group("or glitches one by one, for the share that a network takes for signals")
    group.add_argument(
        "--glitches",
        type=path_of,
        metavar="BANK",
        help="glitch bank, each glitch of which is scanned alone in Gaussian noise; with --set it is no test of its own: its "
        "glitches go into the noise of the set",
    )
    group.add_argument(
        "--thresholds",
        type=path_of,
        metavar="FILE",
        help="background of MODEL from 'search --slides', by which the thresholds are set (default: those of the card)",
    )
    group = parser.add_argument_group("or signals of equal SNR, for the share that is found by chirp mass")
    group.add_argument(
        "--by-mass",
        type=finite,
        nargs=2,
        metavar=("LOW", "HIGH"),
        help="network SNR of simulated signals, for example 8 10, of chirp masses from 5 to 43 in four ranges; in Gaussian noise of "
        "set 3's spectrum, or of --psd; thresholds as for --glitches",
    )
    group = parser.add_argument_group("search")
    add_scan(group)
    add_consistency(group)
    add_quality(parser)
    add_strict(parser)


def _add_windows(group):
    add = group.add_argument
    add("--data", type=path_of, metavar="DIR", help="folder with strain files and a waveform bank, or labelled windows")
    add(
        "--snr-range",
        type=finite,
        nargs=2,
        default=(8.0, 20.0),
        metavar=("LOW", "HIGH"),
        help="network SNR (default: 8 20)",
    )
    add("--windows", type=positive, default=30000, metavar="N", help="half of them with a signal (default: 30000)")
    add("--lesion", action="store_true", help="leave out one block after the other, and swap neighbours")


def _add_set(group):
    add = group.add_argument
    add("--foreground", type=path_of, metavar="FILE", help="strain with injections")
    add("--background", type=path_of, metavar="FILE", help="strain without")
    add("--injections", type=path_of, metavar="FILE", help="their parameters")
    add(
        "--set", metavar="NAME", help="simulate them: set1, set2 or set3 of MLGWSC-1, or a YAML file; kept in runs/sets"
    )
    add(
        "--duration",
        type=duration,
        default=7200,
        metavar="TIME",
        help="of the set, as 7200, 90m, 6h or 3d (default: 2h)",
    )
    add("--psd", nargs="+", default=[], metavar="NAME|FILE|DIR", help="noise spectra of the set; see simulate set")
    add_set_noise(group)
    add(
        "--published",
        choices=["set1", "set2", "set3", "set4"],
        help="draw the published figures of this set beside ours (default: where the injections say which they are)",
    )
    add(
        "--slides",
        type=positive,
        metavar="N",
        help="search the background N times more with the detectors slid in time against each other: more of it, for "
        "lower rates",
    )
