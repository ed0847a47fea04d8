"""The command 'search'."""

import contextlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_gw_resnet.backend import load_keras
from keras_gw_resnet.commands.arguments import (
    add_command,
    add_overwrite,
    add_quality,
    add_scan,
    add_strict,
    finite,
    hdf5,
    html,
    path_of,
    picture,
    positive,
)
from keras_gw_resnet.commands.printing import shown, table
from keras_gw_resnet.errors import InputError
from keras_gw_resnet.files import check_output, refuse_input, written_aside

# Events with a page of their own in the report.
REPORTED = 5
# Names of strain files that are written into the events.
LISTED = 100


def add_search(subparsers):
    """Add the command 'search'."""
    parser = add_command(
        subparsers,
        "search",
        run_search,
        "search strain files for events with a saved network",
        "keras-gw-resnet search resnet18-w16 H-H1.hdf5 L-L1.hdf5 --output events.hdf --slides 10 --report report.html",
    )
    add = parser.add_argument
    add("model", metavar="MODEL", help="name of a saved network, its folder, or its model.keras")
    add("strain", nargs="+", metavar="FILE", help="strain files, folders or patterns with all detectors of the network")
    add(
        "--output",
        required=True,
        type=hdf5,
        metavar="FILE",
        help="events as HDF5; .csv and .json are written beside it",
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
    add_overwrite(parser)
    group = parser.add_argument_group("significance")
    group.add_argument(
        "--slides",
        type=positive,
        metavar="N",
        help="search N times more with the detectors slid in time against each other, for false-alarm rates; "
        "the background goes to OUTPUT with -background added",
    )
    group.add_argument(
        "--background", type=path_of, metavar="FILE", help="a background made before, by the same network"
    )
    group.add_argument(
        "--veto",
        nargs="+",
        default=[],
        type=path_of,
        metavar="FILE",
        help="text with times to leave out, a GPS start and stop a line",
    )
    add_scan(parser)
    add_quality(parser)
    add_strict(parser)


@dataclass(frozen=True)
class _Output:
    """Files of one network's search."""

    events: Path

    @property
    def background(self):
        return self.events.with_name(f"{self.events.stem}-background{self.events.suffix}")

    def files(self, slides):
        from keras_gw_resnet.search.candidates import event_files

        return [*event_files(self.events), *([self.background] if slides else [])]


def run_search(args):
    """Search strain for events with saved networks."""
    from keras_gw_resnet.evaluation.leakage import report_leakage, seen_in_training
    from keras_gw_resnet.search.journal import forget
    from keras_gw_resnet.strain.files import find_segments
    from keras_gw_resnet.strain.quality import read_vetoes
    from keras_gw_resnet.strain.stretches import intervals_of
    from keras_gw_resnet.zoo import load_cards

    if args.slides and args.background:
        raise InputError("--slides makes a background and --background reads one; give one of them")
    if args.also and args.background:
        raise InputError("--background is that of one network; leave out --also")
    names = (args.model, *args.also)
    cards = load_cards(names, "--also")
    suffixes = ["", *(f"-{card['name']}" for card in cards[1:])]
    outputs = [_Output(args.output.with_name(f"{args.output.stem}{s}{args.output.suffix}")) for s in suffixes]
    pictures = [path for path in (args.plot, args.report) if path]
    written = [path for output in outputs for path in output.files(args.slides)] + pictures
    for path in written:
        check_output(path, args.overwrite)
    headers = find_segments(args.strain, args.quality, args.channel)
    refuse_input(written, {*(h.path for h in headers), *args.veto, *([args.background] if args.background else [])})
    vetoes = read_vetoes(args.veto)
    intervals = intervals_of(headers, cards[0]["detectors"])
    seen = [seen_in_training(card, intervals) for card in cards]
    for card, own in zip(cards, seen, strict=True):
        report_leakage(card, own, args.strict)
    background = None
    if args.background:
        from keras_gw_resnet.search.background import read_background

        background = read_background(args.background, cards[0], args.threshold, args.precision)
    networks, journal = load_networks(names, args.precision, args.exact), journal_of(args.output)
    from keras_gw_resnet.search.search import search

    results = search(
        networks,
        args.strain,
        threshold=args.threshold,
        quality=args.quality,
        channels=args.channel,
        vetoes=vetoes,
        slides=args.slides or 0,
        snapshots=REPORTED,
        journal=journal,
    )
    for network, found, output, own in zip(networks, results, outputs, seen, strict=True):
        _report_network(args, network, found, output, own, background)
    forget(journal)


def load_networks(names, precision="float32", exact=False):
    """Start Keras and load networks for a search, as Detectors."""
    load_keras()
    from keras_gw_resnet.search.detector import Detector

    return [Detector.load(name, precision, exact=exact) for name in names]


def journal_of(output, part=""):
    """Return the folder that remembers an unfinished search, beside its output; to be forgotten when all is written."""
    return output.with_name(f".{output.name}.{part}unfinished")


def _report_network(args, network, found, output, seen, background):
    """Work out the significance of what one network found, write everything and print it."""
    from keras_gw_resnet.search.background import exclude_signals, write_background
    from keras_gw_resnet.search.candidates import write_events
    from keras_gw_resnet.search.significance import significance

    events, searched = found.events, found.searched_seconds
    attributes = _attributes(args, network, found, seen)
    _print_searched(network, found)
    if args.slides:
        background, taken = found.background, 0
        if background.seconds and searched:
            background, taken = exclude_signals(events, background, searched)
        attributes |= {"signals_taken_out_of_background": taken, "slides": background.slides}
        _print_background(background, searched, taken, output)
    more = {}
    if background is not None and background.seconds:
        attributes["background_seconds"] = background.seconds
        more = significance(events, background, network.card, searched, args.threshold)
    paths = output.files(args.slides)
    with contextlib.ExitStack() as stack:
        # All of it stands at its place at the end, within a moment, or nothing does.
        if output.events == args.output and len(events):
            paths += _draw(args, network, events, more, found.snapshots, attributes, stack)
        if args.slides:
            aside = stack.enter_context(written_aside(output.background))
            write_background(background, aside, network.detectors, attributes)
        write_events(events, output.events, attributes, more)
    if len(events):
        _print_events(events, more, args)
        print(f"saved: {', '.join(str(shown(path)) for path in paths)}")
        return
    undrawn = [str(path) for path in (args.plot, args.report) if path]
    print(
        f"no event with a statistic above {args.threshold:g}; {output.events} is written without events"
        f"{f', {undrawn[0]} is not drawn' if undrawn else ''}"
    )


def _attributes(args, network, found, seen):
    names = [Path(path).name for path in args.strain]
    return {
        "model": network.name,
        "model_sha256": network.card["sha256"],
        "detectors": list(network.detectors),
        "files": names if len(names) <= LISTED else [*names[:LISTED], f"and {len(names) - LISTED} more"],
        "threshold": args.threshold,
        "searched_seconds": found.searched_seconds,
        "invalid_seconds": found.coverage.invalid,
        "vetoed_seconds": found.vetoed_seconds,
        "stride_seconds": network.stride_seconds,
        "exact_scan": network.exact,
        "scan_difference": found.difference,
        "precision": network.precision,
        "quality": list(args.quality),
        "seen_in_training": seen,
    }


def _print_searched(network, found):
    coverage, vetoed = found.coverage, found.vetoed_seconds
    print(
        f"searched {found.searched_seconds:.1f} s of {'+'.join(network.detectors)} strain with {network.name} "
        f"(given {coverage.given:.1f} s; invalid and skipped {coverage.invalid:.1f} s; "
        f"too short and skipped {coverage.short:.1f} s; "
        f"{f'vetoed {vetoed:.1f} s; ' if vetoed else ''}the rest are edges of the whitening filter)"
    )
    if remark := network.remark(found.difference):
        print(f"NOTE: {remark}")


def _print_background(background, searched, taken, output):
    if not background.seconds:
        print(f"NOTE: the strain is too short to slide; no false-alarm rates, {shown(output.background)} is empty")
        return
    print(
        f"background: {background.seconds / 3600:.2f} h from {background.slides} slides"
        f"{f', the strain of {taken} that stand out left out of it' if taken else ''}; "
        f"it shows false-alarm rates down to {3600 / background.seconds:.3g} an hour"
    )
    from keras_gw_resnet.search.background import SIGNAL_FALSE_ALARMS

    if background.seconds * SIGNAL_FALSE_ALARMS < searched:
        print("NOTE: with less than ten times the strain searched no signal can be told from it; any are part of it")


def _columns(events, more):
    """Return (header, rows) of events as text, loudest first."""
    header = ["rank", "GPS time (s)", "statistic"]
    names = {"far": "false alarms a year", "ifar": "one in (years)", "p_astro": "p astro"}
    header += [title for name, title in names.items() if name in more]
    rows = []
    for rank, i in enumerate(np.argsort(events.stat)[::-1], 1):
        row = [str(rank), f"{events.time[i]:.3f}", f"{events.stat[i]:.2f}"]
        if "far" in more:
            row += [f"{more['far'][i]:.3g} +- {more['far_error'][i]:.2g}", f"{more['ifar'][i]:.3g}"]
        if "p_astro" in more:
            row.append(f"{more['p_astro'][i]:.4f}")
        rows.append([*row, f"{events.var[i]:.3f}"])
    return [*header, "timing +- (s)"], rows


def _print_events(events, more, args):
    header, rows = _columns(events, more)
    print(f"{len(events)} events with a statistic above {args.threshold:g}; the loudest:")
    print(table(rows[: args.top], header))
    if "far" in more and "p_astro" not in more:
        print("(p astro takes 100 background events and a card that knows its network's simulated signals)")


def _draw(args, network, events, more, snapshots, attributes, stack):
    """Draw into files that stand at their places when `stack` ends; return their paths."""
    from keras_gw_resnet.evaluation.candidate_plots import draw_event
    from keras_gw_resnet.evaluation.plots import save
    from keras_gw_resnet.evaluation.report import write_search_report

    made, where = [], ", ".join(attributes["files"][:4])
    if args.plot:
        title = f"{where}\nloudest event, statistic {snapshots[0].stat:.1f} ({network.name})"
        save(draw_event(snapshots[0], network.detectors, title), stack.enter_context(written_aside(args.plot)))
        made.append(args.plot)
    if args.report:
        header, rows = _columns(events, more)
        aside = stack.enter_context(written_aside(args.report))
        write_search_report(aside, network, (header, rows[: 10 * args.top]), snapshots, attributes)
        made.append(args.report)
    return made
