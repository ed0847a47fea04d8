"""The command 'evaluate': what is measured, and on what."""

import argparse

from keras_gw_resnet.commands.arguments import add_command
from keras_gw_resnet.commands.evaluate_arguments import add_evaluate_arguments
from keras_gw_resnet.commands.evaluate_glitches import evaluate_glitches
from keras_gw_resnet.commands.evaluate_lesions import evaluate_lesions
from keras_gw_resnet.commands.evaluate_masses import evaluate_masses
from keras_gw_resnet.commands.evaluate_set import evaluate_set
from keras_gw_resnet.commands.evaluate_windows import evaluate_windows
from keras_gw_resnet.errors import InputError


def add_evaluate(subparsers: argparse._SubParsersAction) -> None:
    """Add the command 'evaluate'."""
    parser = add_command(
        subparsers,
        "evaluate",
        run_evaluate,
        "measure AUC and detected fraction on windows, the sensitive distance on a test set, what is made of glitches, or what is found by chirp mass",
        "keras-gw-resnet evaluate runs/first --data data/test --output runs/first-evaluation\n"
        "  keras-gw-resnet evaluate resnet18-w16 --set set1 --duration 2h --seed 11\n"
        "  keras-gw-resnet evaluate resnet18-w16 --foreground data/set3/foreground.hdf --background data/set3/background.hdf "
        "--injections data/set3/injections.hdf\n"
        "  keras-gw-resnet evaluate flagship --set set3 --noise data/O3a --duration 6h\n"
        "  keras-gw-resnet evaluate flagship --glitches glitches.hdf\n"
        "  keras-gw-resnet evaluate flagship --by-mass 8 10",
    )
    add_evaluate_arguments(parser)


def run_evaluate(args: argparse.Namespace) -> None:
    """Measure a saved network on windows, on a set with injections, on glitches one by one, or on signals of equal SNR."""
    given = [args.foreground, args.background, args.injections]
    a_set = all(given) or bool(args.set)
    test, masses = bool(args.glitches) and not (a_set or args.data), args.by_mass is not None
    asked = (args.data, args.set, any(given), test, masses)
    if sum(map(bool, asked)) != 1 or not (args.data or a_set or test or masses):
        raise InputError(
            "give --data, or --set, or --foreground, --background and --injections together, or --glitches, or --by-mass"
        )
    if args.slides and not a_set:
        raise InputError("--slides goes with a set with injections: its background is slid")
    if args.lesion and not args.data:
        raise InputError("--lesion goes with --data")
    if args.data and args.consistency:
        raise InputError("--consistency is of a search; it goes with a set, --glitches or --by-mass, not with --data")
    if args.card and args.consistency:
        raise InputError("--card keeps the figures of the network as it is; leave out --consistency")
    if args.thresholds and (not (test or masses) or args.compare):
        raise InputError("--thresholds is of one network; give --glitches or --by-mass, without --compare")
    if masses:
        from keras_gw_resnet.datasets.signals import check_snr_range

        check_snr_range("--by-mass", *args.by_mass)
    if not args.set:
        _refuse_options_of_a_set(args, test, masses)
    one_by_one = evaluate_glitches if test else evaluate_masses if masses else evaluate_windows
    (evaluate_set if a_set else evaluate_lesions if args.lesion else one_by_one)(args)


def _refuse_options_of_a_set(args, test, masses):
    """Raise InputError where what makes a set is given and nothing is to be made."""
    made = {"--noise": args.noise, "--leave-out": args.leave_out, "--glitch-rate": args.glitch_rate}
    made["--psd"] = args.psd and not masses
    made["--glitches"] = args.glitches and not test
    if odd := [name for name, value in made.items() if value]:
        raise InputError(f"{odd[0]} is of a set that is to be simulated; give --set too")
