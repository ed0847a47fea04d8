"""The command 'search' with --follow: strain files are searched as they arrive."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable

from keras_gw_resnet.commands.arguments import path_of, positive
from keras_gw_resnet.commands.printing import shown
from keras_gw_resnet.errors import InputError, flag

# What a search of given files has beside its events, and one that follows has not.
OF_FILES = ("plot", "report", "also", "or", "background", "extrapolate")
SUFFIX = ".jsonl"


def add_follow(parser: argparse.ArgumentParser) -> None:
    """Add what following a folder takes."""
    group = parser.add_argument_group("following a folder")
    group.add_argument(
        "--follow",
        type=path_of,
        metavar="DIR",
        help="in place of FILE: search the strain files in a folder and those that arrive in it, until stopped; each event is a JSON "
        "object on a line of stdout and of OUTPUT (.jsonl), and the same command goes on after a stop",
    )
    group.add_argument(
        "--idle", type=positive, metavar="SECONDS", help="end when no strain has come for so long (default: never)"
    )


def following(run: Callable[[argparse.Namespace], None]) -> Callable[[argparse.Namespace], None]:
    """Return a function that runs a search of the given files, or follows a folder where it is asked to."""

    def run_either(args):
        if args.follow is None and (args.idle or not args.strain):
            raise InputError(
                "--idle is of --follow DIR" if args.idle else "give strain files to search, or --follow DIR"
            )
        if args.follow is None and args.output.suffix == SUFFIX:
            raise InputError(f"{args.output}: expected a name that ends in .hdf, .hdf5 or .h5, unless with --follow")
        run_follow(args) if args.follow else run(args)

    return run_either


def run_follow(args: argparse.Namespace) -> None:
    """Search strain files as they arrive."""
    from keras_gw_resnet.commands.search import load_networks
    from keras_gw_resnet.strain.quality import read_vetoes

    if args.strain:
        raise InputError(f"{args.strain[0]}: --follow searches the files of its folder; leave out FILE")
    if args.output.suffix != SUFFIX:
        raise InputError(f"{args.output}: expected a name that ends in {SUFFIX}, a JSON object a line, with --follow")
    if given := [name for name in OF_FILES if getattr(args, {"or": "fewer"}.get(name, name))]:
        further = ", and follow the folder with the other network in a command and an OUTPUT of its own"
        more = further if given[0] in ("also", "or") else ""
        raise InputError(f"{flag(given[0])} is of a search of given files; leave it out with --follow{more}")
    if not args.follow.is_dir():
        raise InputError(f"{args.follow}: is no folder; make the one in which strain files are to arrive")
    vetoes = read_vetoes(args.veto)
    options = {"exact": args.exact, "gate": args.gate, "consistency": args.consistency}
    (network,) = load_networks([args.model], args.precision, **options)
    from keras_gw_resnet.search.follow import SLIDES, follow
    from keras_gw_resnet.search.told import Told

    if args.overwrite:
        for path in Told.files(args.output):
            path.unlink(missing_ok=True)
    _say(f"{network.name} follows {shown(args.follow)}")
    for event in follow(
        network,
        args.follow,
        args.output,
        threshold=args.threshold,
        slides=SLIDES if args.slides is None else args.slides,
        quality=args.quality,
        channels=args.channel,
        vetoes=vetoes,
        idle_seconds=args.idle or math.inf,
        say=_say,
    ):
        print(json.dumps(event), flush=True)


def _say(line):
    print(line, file=sys.stderr, flush=True)
