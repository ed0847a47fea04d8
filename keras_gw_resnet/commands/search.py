"""The command 'search'."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from keras_gw_resnet.commands.arguments import add_command
from keras_gw_resnet.commands.printing import shown, table
from keras_gw_resnet.commands.search_arguments import add_search_arguments
from keras_gw_resnet.errors import InputError
from keras_gw_resnet.files import check_output, refuse_input, written_aside

if TYPE_CHECKING:
    from keras_gw_resnet.search.detector import Detector

# Events with a page of their own in the report.
REPORTED = 5


def add_search(subparsers: argparse._SubParsersAction) -> None:
    """Add the command 'search'."""
    parser = add_command(
        subparsers,
        "search",
        run_search,
        "search strain files for events with a saved network",
        "keras-gw-resnet search resnet18-w16 H-H1.hdf5 L-L1.hdf5 --output events.hdf --slides 10 --report report.html",
    )
    add_search_arguments(parser)


def run_search(args: argparse.Namespace) -> None:
    """Search strain for events with saved networks."""
    from keras_gw_resnet.evaluation.leakage import report_leakage, seen_in_training
    from keras_gw_resnet.search.journal import forget, journal_of
    from keras_gw_resnet.search.results import Output
    from keras_gw_resnet.strain.files import find_segments
    from keras_gw_resnet.strain.intervals import intervals_of
    from keras_gw_resnet.strain.quality import read_vetoes
    from keras_gw_resnet.zoo import load_cards

    if args.slides and args.background:
        raise InputError("--slides makes a background and --background reads one; give one of them")
    if args.also and args.background:
        raise InputError("--background is that of one network; leave out --also")
    if args.extrapolate and not (args.slides or args.background):
        raise InputError("--extrapolate goes beyond a background; give --slides or --background too")
    names = (args.model, *args.also)
    cards = load_cards(names, "--also")
    suffixes = ["", *(f"-{card['name']}" for card in cards[1:])]
    outputs = [Output(args.output.with_name(f"{args.output.stem}{s}{args.output.suffix}")) for s in suffixes]
    pictures = [path for path in (args.plot, args.report) if path]
    written = [path for output in outputs for path in output.files(args.slides)] + pictures
    for path in written:
        check_output(path, args.overwrite)
    headers = find_segments(args.strain, args.quality, args.channel)
    refuse_input(written, {*(h.path for h in headers), *args.veto, *([args.background] if args.background else [])})
    vetoes = read_vetoes(args.veto)
    seen = [seen_in_training(card, intervals_of(headers, cards[0]["detectors"])) for card in cards]
    for card, own in zip(cards, seen, strict=True):
        report_leakage(card, own, args.strict)
    background = None
    if args.background:
        from keras_gw_resnet.search.background import CONSISTENCY, read_background

        sha256 = cards[0]["sha256"] + (CONSISTENCY if args.consistency else "")
        background = read_background(args.background, {**cards[0], "sha256": sha256}, args.threshold, args.precision)
    options = {"exact": args.exact, "gate": args.gate, "consistency": args.consistency}
    networks, journal = load_networks(names, args.precision, **options), journal_of(args.output)
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
        alone=True,
        journal=journal,
    )
    for network, found, output, own in zip(networks, results, outputs, seen, strict=True):
        _finish(args, network, found, output, own, background, headers)
    forget(journal)


def load_networks(names: Sequence[str], precision: str = "float32", **options) -> list[Detector]:
    """Load networks for a search, as Detectors; options as of `Detector.load`."""
    from keras_gw_resnet.search.detector import Detector

    return [Detector.load(name, precision, **options) for name in names]


def _finish(args, network, found, output, seen, background, headers):
    """Judge what one network found, write it and print it."""
    from keras_gw_resnet.evaluation import event_table as texts
    from keras_gw_resnet.search.results import written
    from keras_gw_resnet.search.significance import judged
    from keras_gw_resnet.strain.intervals import intervals_of

    more = {"threshold": args.threshold, "quality": list(args.quality), "seen_in_training": seen}
    options = {"slid": bool(args.slides), "extrapolate": args.extrapolate}
    events, own = found.events, judged(network, found, args.strain, headers, background, **options, **more)
    tables, numbers = texts.further_tables(found, own.columns, own.taken, intervals_of(headers, network.detectors))
    attributes = own.attributes | (numbers if args.slides else {})
    lines = texts.lines_before(network, found, own, shown(output.background) if args.slides else None)
    print("\n".join(lines))
    header, rows = texts.event_table(events, own.columns, network.detectors)
    drawn, paths = len(events) and output.events == args.output, output.files(args.slides)
    slid = own.background if args.slides else None
    with written(output, events, own.columns, slid, network.detectors, attributes) as stack:
        if drawn:
            paths += _draw(args, network, (header, rows), (lines, tables, headers), found.snapshots, attributes, stack)
    undrawn = [path for path in (args.plot, args.report) if path]
    print(texts.count_line(events, args.threshold, output.events, undrawn))
    if len(events):
        print(table(rows[: args.top], header))
        for heading, titles, further in tables:
            print(f"{heading}:\n{table(further, titles)}")
        print(f"saved: {', '.join(str(shown(path)) for path in paths)}")


def _draw(args, network, events, said, snapshots, attributes, stack):
    """Draw into files that stand at their places when `stack` ends; return their paths."""
    from keras_gw_resnet.evaluation.candidate_plots import draw_event
    from keras_gw_resnet.evaluation.plots import save
    from keras_gw_resnet.evaluation.report import write_search_report

    if args.plot:
        where = ", ".join(attributes["files"][:4])
        title = f"{where}\nloudest event, statistic {snapshots[0].stat:.1f} ({network.name})"
        marks = snapshots[0].marks(network.detectors, said[-1])
        save(draw_event(snapshots[0], network.detectors, title, marks), stack.enter_context(written_aside(args.plot)))
    if args.report:
        aside = stack.enter_context(written_aside(args.report))
        write_search_report(aside, network, (events[0], events[1][: 10 * args.top]), snapshots, attributes, *said)
    return [path for path in (args.plot, args.report) if path]
