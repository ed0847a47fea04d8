"""The arguments of the command 'glitches'."""

import argparse

from keras_gw_resnet.commands.arguments import (
    add_detectors,
    add_quality,
    finite,
    hdf5,
    path_of,
    picture,
    positive,
    seed,
)


def add_import_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what 'glitches import' takes."""
    add = parser.add_argument
    add(
        "files",
        nargs="+",
        type=path_of,
        metavar="FILE",
        help="whitened arrays (.hdf, .npz, .npy), glitch banks, or tables (.csv) with GPStime, ifo, label, snr, confidence",
    )
    add("--strain", nargs="+", metavar="FILE", help="strain files, folders or patterns that tables speak of")
    add(
        "--confidence", type=finite, default=0.0, metavar="P", help="lowest confidence of a table's labels (default: 0)"
    )
    add("--skip-outside", action="store_true", help="leave out a table's glitches outside the strain")
    add("--detector", metavar="NAME", help="of arrays that do not say it")
    add("--label", metavar="LABEL", help="of arrays that do not say it")
    add("--sample-rate", type=positive, metavar="HZ", help="of arrays that do not say it")
    add_quality(parser)
    _add_cut(parser)


def add_mine_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what 'glitches mine' takes."""
    add = parser.add_argument
    add("strain", nargs="+", metavar="FILE", help="strain files, folders or patterns")
    add("--snr", type=finite, default=7.5, metavar="X", help="lowest SNR of a glitch (default: 7.5)")
    add("--model", metavar="MODEL", help="a saved network: what it takes for a signal in one detector is a glitch too")
    add("--threshold", type=finite, default=10.0, metavar="X", help="its lowest statistic (default: 10)")
    add(
        "--leave-out",
        nargs="+",
        default=[],
        metavar="TIMES",
        help="GPS seconds, or files with one a line, of signals beside the catalogue's",
    )
    add_detectors(parser)
    add_quality(parser)
    _add_cut(parser)


def add_show_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what 'glitches show' takes."""
    add = parser.add_argument
    add("bank", type=path_of, metavar="BANK", help="glitch bank")
    add("--output", required=True, type=picture, metavar="FILE", help="picture to write")
    add("--number", type=positive, default=20, metavar="N", help="glitches to draw (default: 20)")
    add("--label", metavar="LABEL", help="of this kind alone")
    add("--seed", type=seed, default=0, metavar="N", help="of the choice (default: 0)")
    add("--overwrite", action="store_true", help="replace an existing file")


def _add_cut(parser):
    add = parser.add_argument
    add("--output", required=True, type=hdf5, metavar="FILE", help="glitch bank to write")
    add(
        "--reconstruct",
        choices=["denoise", "whole"],
        default="denoise",
        help="subtract what is not the transient, or keep the noise of the cut (default: denoise)",
    )
    add("--seconds", type=finite, default=4.0, metavar="S", help="length of a cut (default: 4)")
    add("--overwrite", action="store_true", help="replace an existing file")
