"""The command 'evaluate': what is measured, and on what."""

from keras_gw_resnet.commands.arguments import (
    add_command,
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
from keras_gw_resnet.commands.evaluate_lesions import evaluate_lesions
from keras_gw_resnet.commands.evaluate_set import evaluate_set
from keras_gw_resnet.commands.evaluate_windows import evaluate_windows
from keras_gw_resnet.errors import InputError


def add_evaluate(subparsers):
    """Add the command 'evaluate'."""
    parser = add_command(
        subparsers,
        "evaluate",
        run_evaluate,
        "measure AUC and detected fraction on windows, or the sensitive distance on a test set",
        "python evaluate.py runs/first --data data/test --output runs/first-evaluation\n"
        "  python evaluate.py resnet18-w16 --set set1 --duration 2h --seed 11\n"
        "  python evaluate.py resnet18-w16 --foreground data/set3/foreground.hdf --background data/set3/background.hdf "
        "--injections data/set3/injections.hdf",
    )
    add = parser.add_argument
    add("model", metavar="MODEL", help="name of a saved network, its folder, or its model.keras")
    add("--compare", nargs="+", default=[], metavar="MODEL", help="measure these networks too, on the same data")
    add("--output", type=path_of, metavar="DIR", help="default: runs/evaluation-NAME, or runs/sensitivity-NAME")
    add("--seed", type=seed, default=1, metavar="N", help="of the examples, or of the set (default: 1)")
    add("--card", action="store_true", help="write the figures into the card of each network, too")
    add_overwrite(parser, "an existing output folder")
    group = parser.add_argument_group("windows")
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
    group = parser.add_argument_group("or a set with injections, for the sensitive distance at a false-alarm rate")
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
    add_scan(group)
    add_quality(parser)
    add_strict(parser)


def run_evaluate(args):
    """Measure a saved network on windows, or on a set with injections."""
    given = [args.foreground, args.background, args.injections]
    a_set = all(given) or bool(args.set)
    if bool(args.data) + bool(args.set) + any(given) != 1 or not (args.data or a_set):
        raise InputError("give --data, or --set, or --foreground, --background and --injections together")
    if args.slides and not a_set:
        raise InputError("--slides goes with a set with injections: its background is slid")
    if args.lesion and a_set:
        raise InputError("--lesion goes with --data")
    measure = evaluate_set if a_set else evaluate_lesions if args.lesion else evaluate_windows
    measure(args)
