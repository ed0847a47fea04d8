"""The command 'glitches': make and look at glitch banks."""

import argparse
from pathlib import Path

import numpy as np

from keras_gw_resnet.commands.arguments import Parser, add_command
from keras_gw_resnet.commands.glitches_arguments import add_import_arguments, add_mine_arguments, add_show_arguments
from keras_gw_resnet.commands.printing import shown, table
from keras_gw_resnet.errors import InputError
from keras_gw_resnet.files import check_output, refuse_input


def add_glitches(subparsers: argparse._SubParsersAction) -> None:
    """Add the command 'glitches'."""
    parser = subparsers.add_parser("glitches", help="make and look at banks of glitches of single detectors")
    kinds = parser.add_subparsers(required=True, metavar="ACTION", dest="action", parser_class=Parser)
    parser = add_command(
        kinds,
        "import",
        run_import,
        "make a bank from arrays, other banks, or a Gravity Spy table with strain files",
        "keras-gw-resnet glitches import gravityspy.csv --strain data/O3a --confidence 0.9 --output glitches.hdf",
    )
    add_import_arguments(parser)
    parser = add_command(
        kinds,
        "mine",
        run_mine,
        "find loud transients that one detector alone shows, and cut them",
        "keras-gw-resnet glitches mine data/O3a --model flagship --output mined.hdf",
    )
    add_mine_arguments(parser)
    parser = add_command(
        kinds,
        "show",
        run_show,
        "draw glitches of a bank with their time-frequency maps",
        "keras-gw-resnet glitches show glitches.hdf --output glitches.png",
    )
    add_show_arguments(parser)


def _options(args):
    from keras_gw_resnet.simulation.glitch_import import CutOptions

    if not 0.1 <= args.seconds <= 60:
        raise InputError(f"--seconds is {args.seconds:g}; expected 0.1 to 60")
    return CutOptions(args.seconds, args.reconstruct)


def run_import(args: argparse.Namespace) -> None:
    """Make a glitch bank of files."""
    from keras_gw_resnet.simulation.glitch_bank import join_banks
    from keras_gw_resnet.simulation.glitch_import import import_arrays
    from keras_gw_resnet.simulation.glitch_tables import import_table
    from keras_gw_resnet.strain.files import find_segments

    check_output(args.output, args.overwrite)
    options, banks, left_out = _options(args), [], 0
    tables = [path for path in args.files if path.suffix == ".csv"]
    if tables and not args.strain:
        raise InputError(f"{tables[0]}: a table takes the strain files too; give --strain")
    headers = find_segments(args.strain, args.quality, args.channel) if tables else []
    refuse_input([args.output], {*(p for p in args.files if p.exists()), *(h.path for h in headers)})
    for path in args.files:
        if path in tables:
            given = {"confidence": args.confidence, "skip_outside": args.skip_outside}
            bank, missed = import_table(path, headers, options, **given)
        else:
            given = {"detector": args.detector, "label": args.label, "sample_rate": args.sample_rate}
            bank, missed = import_arrays(path, options, **given)
        banks.append(bank)
        left_out += missed
    _save(join_banks(banks), args.output)
    if left_out:
        print(
            f"left out: {left_out} that do not stand out of their noise, are gated, or lie around catalogue events or outside the "
            "strain"
        )


def run_mine(args: argparse.Namespace) -> None:
    """Find glitches in strain."""
    from keras_gw_resnet.search.mining import mine
    from keras_gw_resnet.strain.catalogue import read_times
    from keras_gw_resnet.strain.conditioning import Whitening
    from keras_gw_resnet.strain.files import find_segments

    check_output(args.output, args.overwrite)
    options, times, network = _options(args), read_times(args.leave_out), None
    headers = find_segments(args.strain, args.quality, args.channel)
    refuse_input([args.output], {h.path for h in headers})
    detectors = tuple(args.detectors)
    if args.model:
        from keras_gw_resnet.commands.search import load_networks

        (network,) = load_networks([args.model])
        if network.detectors != detectors:
            raise InputError(f"{network.name} searches {' '.join(network.detectors)}; leave out --detectors or --model")
    bank, mined = mine(
        headers,
        detectors,
        options,
        network.whitening if network else Whitening(),
        lowest_snr=args.snr,
        left_out=times,
        network=network,
        threshold=args.threshold,
    )
    _save(bank, args.output)
    print(
        f"searched {mined.seconds:.0f} s of {', '.join(detectors)}; left out: {mined.coincident} coincident, "
        f"{mined.events} around catalogue events and --leave-out, {mined.faint} too faint, "
        f"{mined.gated} gated"
    )
    if len(detectors) == 1:
        print("NOTE: with one detector no transient can be told from a signal; check them with 'glitches show'")


def _save(bank, path):
    from keras_gw_resnet.evaluation.glitch_report import bank_table
    from keras_gw_resnet.simulation.glitch_bank import save_glitches

    save_glitches(bank, path)
    print(f"{shown(path)}: {len(bank)} glitches, fingerprint {bank.fingerprint()}")
    print(table(*bank_table(bank)))


def run_show(args: argparse.Namespace) -> None:
    """Draw glitches."""
    from keras_gw_resnet.evaluation.glitch_plots import draw_glitches_grid
    from keras_gw_resnet.evaluation.plots import save
    from keras_gw_resnet.simulation.glitch_bank import load_glitches

    check_output(args.output, args.overwrite)
    bank = load_glitches(args.bank)
    own = np.flatnonzero(bank.label == args.label) if args.label else np.arange(len(bank))
    if not len(own):
        raise InputError(f"{args.bank}: has no {args.label}; it has {', '.join(np.unique(bank.label))}")
    chosen = np.sort(np.random.default_rng(args.seed).permutation(own)[: args.number])
    title = f"{Path(args.bank).name}: {len(chosen)} of {len(own)} glitches, {', '.join(np.unique(bank.reconstruction))}"
    save(draw_glitches_grid(bank, chosen, title), args.output)
    print(f"{shown(args.output)}: {len(chosen)} of {len(own)} glitches")
