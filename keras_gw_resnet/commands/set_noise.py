"""The noise of a test set as 'simulate set' and 'evaluate --set' are given it: measured strain, or glitches in Gaussian noise."""

import argparse
from collections.abc import Sequence

from keras_gw_resnet.commands.arguments import rates
from keras_gw_resnet.errors import InputError

# Glitches a minute, about those of O3.
USUAL_RATES = {"H1": 0.3, "L1": 1.0}


def add_set_noise(group: argparse._ActionsContainer) -> None:
    """Add --noise, --leave-out and --glitch-rate."""
    group.add_argument(
        "--noise",
        nargs="+",
        metavar="FILE",
        help="strain files, folders or patterns: measured noise instead of Gaussian noise, the detectors slid against each "
        "other, the times of catalogue events left out",
    )
    group.add_argument(
        "--leave-out",
        nargs="+",
        default=[],
        metavar="TIMES",
        help="GPS seconds, or files with one a line, of signals in --noise beside the catalogue's",
    )
    group.add_argument(
        "--glitch-rate",
        type=rates,
        metavar="RATES",
        help="glitches a minute in each detector (default with --glitches: H1=0.3,L1=1, about those of O3)",
    )


def noise_of(args: argparse.Namespace, detectors: Sequence[str], sample_rate: int) -> dict:
    """Return what the options ask for as arguments of `write_set`: noise (RealNoise) and glitches (SetGlitches), each or None.

    Raises:
        InputError: Options that do not go together, or files that cannot be used.
    """
    from keras_gw_resnet.simulation.real_noise import RealNoise
    from keras_gw_resnet.strain.catalogue import read_times
    from keras_gw_resnet.strain.files import find_segments

    glitches = _glitches_of(args, detectors, sample_rate)
    if not args.noise:
        if args.leave_out or args.quality:
            raise InputError("--leave-out and --quality are of measured noise; give --noise too")
        return {"noise": None, "glitches": glitches}
    if args.psd:
        raise InputError("--noise has a spectrum of its own; leave out --psd")
    headers, times = find_segments(args.noise, args.quality, args.channel), read_times(args.leave_out)
    return {"noise": RealNoise(headers, detectors, sample_rate, times), "glitches": None}


def _glitches_of(args, detectors, sample_rate):
    """Return the SetGlitches that the options ask for, None without."""
    from keras_gw_resnet.simulation.glitch_bank import load_glitches, require_detectors
    from keras_gw_resnet.simulation.set_glitches import SetGlitches

    if not args.glitches:
        if args.glitch_rate:
            raise InputError("--glitch-rate is of a glitch bank; give --glitches too")
        return None
    if args.noise:
        raise InputError("--noise has glitches of its own; --glitches goes into Gaussian noise")
    require_detectors(args.glitch_rate or {}, detectors, "--glitch-rate", "the set")
    rate = {name: value for name, value in (args.glitch_rate or USUAL_RATES).items() if name in detectors}
    bank = load_glitches(args.glitches)
    bank.require(sample_rate, [name for name, value in rate.items() if value], args.glitches, without_noise=True)
    return SetGlitches(bank, rate, sample_rate)
