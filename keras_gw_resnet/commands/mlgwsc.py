"""The command 'mlgwsc'."""

import argparse

from keras_gw_resnet.commands.arguments import add_channel, add_command, add_overwrite, path_of
from keras_gw_resnet.commands.printing import shown
from keras_gw_resnet.commands.search import load_networks
from keras_gw_resnet.files import check_output, refuse_input

# Lowest statistic that is kept: odds of noise to signal of 20,000.
CHALLENGE_THRESHOLD = -10.0


def add_mlgwsc(subparsers: argparse._SubParsersAction) -> None:
    """Add the command 'mlgwsc'."""
    parser = add_command(
        subparsers,
        "mlgwsc",
        run_mlgwsc,
        "search as the MLGWSC-1 challenge calls a program: strain in, events out",
        "keras-gw-resnet mlgwsc resnet18-w16 foreground.hdf events.hdf",
    )
    parser.add_argument("model", metavar="MODEL", help="name of a saved network, its folder, or its model.keras")
    parser.add_argument("input", type=path_of, metavar="INPUT", help="strain in the challenge's format")
    parser.add_argument("output", type=path_of, metavar="OUTPUT", help="events: 1-D time, stat and var in HDF5")
    add_overwrite(parser, "OUTPUT")
    add_channel(parser)


def run_mlgwsc(args: argparse.Namespace) -> None:
    """Search one file of the challenge and write what its scoring program reads, and nothing else."""
    from keras_gw_resnet.search.journal import forget, journal_of
    from keras_gw_resnet.strain.files import find_segments
    from keras_gw_resnet.zoo import load_card

    check_output(args.output, args.overwrite)
    card = load_card(args.model)
    refuse_input([args.output], {h.path for h in find_segments([args.input], channels=args.channel)})
    networks, journal = load_networks([args.model]), journal_of(args.output)
    from keras_gw_resnet.search.candidates import write_events_hdf5
    from keras_gw_resnet.search.search import search

    (found,) = search(
        networks, [args.input], threshold=CHALLENGE_THRESHOLD, snapshots=0, journal=journal, channels=args.channel
    )
    write_events_hdf5(found.events, args.output, {"model": card["name"]})
    forget(journal)
    print(f"{len(found.events)} events in {found.searched_seconds:.0f} s: {shown(args.output)}")
