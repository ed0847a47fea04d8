"""The arguments of the command 'simulate'."""

import argparse

from keras_gw_resnet.commands.arguments import (
    add_detectors,
    add_quality,
    duration,
    finite,
    hdf5,
    path_of,
    positive,
    seed,
)
from keras_gw_resnet.commands.set_noise import add_set_noise


def add_simulate_arguments(
    bank: argparse.ArgumentParser, noise: argparse.ArgumentParser, mock: argparse.ArgumentParser
) -> None:
    """Add what each kind of simulation takes to its parser."""
    bank.add_argument("--number", type=positive, default=2000, metavar="N", help="waveforms (default: 2000)")
    bank.add_argument(
        "--duration", type=finite, default=2.0, metavar="S", help="seconds kept of each, up to 16 (default: 2)"
    )
    noise.add_argument("--segments", type=positive, default=6, metavar="N", help="default: 6")
    noise.add_argument("--segment-seconds", type=positive, default=300, metavar="S", help="default: 300")
    noise.add_argument(
        "--psd",
        nargs="+",
        default=["aLIGOZeroDetHighPower"],
        metavar="PSD",
        help="names, files, or folders with a folder of files a detector, as V1=NAME of one detector; one is drawn for each segment and detector "
        "(default: aLIGOZeroDetHighPower)",
    )
    mock.add_argument(
        "--duration", type=duration, default=21600, metavar="TIME", help="as 7200, 90m or 6h (default: 6h)"
    )
    mock.add_argument(
        "--psd",
        nargs="+",
        default=[],
        metavar="PSD",
        help="names, files, or folders with a folder of files a detector, as V1=NAME of one detector (default: the population's)",
    )
    mock.add_argument("--glitches", type=path_of, metavar="BANK", help="glitch bank for Gaussian noise")
    add_set_noise(mock)
    add_quality(mock)
    mock.add_argument("--output", required=True, type=path_of, metavar="DIR", help="folder to write")
    for each in (bank, mock):
        each.add_argument(
            "--population",
            default="set3",
            help="set1, set2 or set3 of MLGWSC-1, or a YAML file (default: set3)",
        )
        each.add_argument("--processes", type=positive, metavar="N", help="default: one a core")
    for each in (bank, noise):
        each.add_argument("--output", required=True, type=hdf5, metavar="FILE", help="HDF5 file to write")
    for each in (bank, noise, mock):
        each.add_argument("--seed", type=seed, default=0, metavar="N", help="default: 0")
        each.add_argument("--overwrite", action="store_true", help="replace an existing file")
    # The geometry of a detector takes no room, and a training may want any of them.
    add_detectors(bank, ("H1", "L1", "V1", "K1"))
    for each in (noise, mock):
        add_detectors(each)
