"""The arguments of the command 'search'."""

from keras_gw_resnet.commands.arguments import (
    Parser,
    add_consistency,
    add_gate,
    add_overwrite,
    add_quality,
    add_scan,
    add_strict,
    events_file,
    finite,
    html,
    path_of,
    picture,
    positive,
)
from keras_gw_resnet.commands.follow import add_follow


def add_search_arguments(parser: Parser) -> None:
    """Add what a search takes to a parser."""
    parser.intermixed = True
    add = parser.add_argument
    add("model", metavar="MODEL", help="name of a saved network, its folder, or its model.keras")
    add("strain", nargs="*", metavar="FILE", help="strain files, folders or patterns with all detectors of the network")
    add(
        "--output",
        required=True,
        type=events_file,
        metavar="FILE",
        help="events as HDF5, with .csv and .json beside it; with --follow as .jsonl",
    )
    add("--plot", type=picture, metavar="FILE", help="picture of the loudest event of MODEL")
    add(
        "--report",
        type=html,
        metavar="FILE",
        help="page with the events of MODEL, their strain and time-frequency maps",
    )
    add(
        "--threshold",
        type=finite,
        default=-4.0,
        metavar="X",
        help="lowest statistic (logit) of an event (default: -4)",
    )
    add("--top", type=positive, default=10, metavar="N", help="events to print (default: 10)")
    add(
        "--also",
        nargs="+",
        default=[],
        metavar="MODEL",
        help="further networks in the same pass; their events go to OUTPUT with their name added",
    )
    add(
        "--or",
        dest="fewer",
        metavar="MODEL",
        help="network of fewer detectors for strain that lacks one of those of the first; its events go to OUTPUT with its name added",
    )
    add_overwrite(parser)
    group = parser.add_argument_group("significance")
    group.add_argument(
        "--slides",
        type=positive,
        metavar="N",
        help="search N times more with the detectors slid in time against each other, for false-alarm rates; "
        "the background goes to OUTPUT with -background added (default with --follow: 10)",
    )
    group.add_argument(
        "--background", type=path_of, metavar="FILE", help="a background made before, by the same network"
    )
    group.add_argument(
        "--extrapolate",
        action="store_true",
        help="give events louder than the whole background a false-alarm rate by an exponential tail fitted to it",
    )
    group.add_argument(
        "--veto",
        nargs="+",
        default=[],
        type=path_of,
        metavar="FILE",
        help="text with times to leave out, a GPS start and stop a line",
    )
    add_follow(parser)
    add_scan(parser)
    add_gate(parser)
    add_consistency(parser)
    add_quality(parser)
    add_strict(parser)
