"""The command 'search'."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from keras_gw_resnet.commands.arguments import add_command
from keras_gw_resnet.commands.follow import following
from keras_gw_resnet.commands.printing import shown, table
from keras_gw_resnet.commands.search_arguments import add_search_arguments
from keras_gw_resnet.commands.search_fewer import (
    check_fewer,
    common_of,
    names_of,
    note_detectors,
    searched_of,
    together,
)
from keras_gw_resnet.commands.search_pictures import draw_search
from keras_gw_resnet.errors import InputError
from keras_gw_resnet.files import check_output, refuse_input

if TYPE_CHECKING:
    from keras_gw_resnet.search.detector import Detector

# Events with a page of their own in the report.
REPORTED = 5


def add_search(subparsers: argparse._SubParsersAction) -> None:
    """Add the command 'search'."""
    parser = add_command(
        subparsers,
        "search",
        following(run_search),
        "search strain files for events with a saved network",
        "keras-gw-resnet search resnet18-w16 H-H1.hdf5 L-L1.hdf5 --output events.hdf --slides 10 --report report.html\n"
        "  keras-gw-resnet search flagship --follow /data/arriving --output events.jsonl --threshold 5",
    )
    add_search_arguments(parser)


def run_search(args: argparse.Namespace) -> None:
    """Search strain for events with saved networks."""
    from keras_gw_resnet.evaluation.leakage import report_leakage, seen_in_training
    from keras_gw_resnet.search.journal import forget, journal_of
    from keras_gw_resnet.search.results import Output
    from keras_gw_resnet.strain.files import find_segments
    from keras_gw_resnet.strain.quality import read_vetoes
    from keras_gw_resnet.zoo import load_cards

    if args.slides and args.background:
        raise InputError("--slides makes a background and --background reads one; give one of them")
    if args.also and args.background:
        raise InputError("--background is that of one network; leave out --also")
    if args.extrapolate and not (args.slides or args.background):
        raise InputError("--extrapolate goes beyond a background; give --slides or --background too")
    names = (args.model, *args.also, *([args.fewer] if args.fewer else []))
    cards = load_cards(names, "--or" if args.fewer else "--also")
    check_fewer(args, cards)
    suffixes = ["", *(f"-{card['name']}" for card in cards[1:])]
    outputs = [Output(args.output.with_name(f"{args.output.stem}{s}{args.output.suffix}")) for s in suffixes]
    pictures = [path for path in (args.plot, args.report) if path]
    written = [path for output in outputs for path in output.files(args.slides)] + pictures
    for path in written:
        check_output(path, args.overwrite)
    headers = find_segments(args.strain, args.quality, args.channel)
    refuse_input(written, {*(h.path for h in headers), *args.veto, *([args.background] if args.background else [])})
    vetoes = read_vetoes(args.veto)
    note_detectors(args, headers, cards)
    seen = [seen_in_training(card, common_of(args, headers, card)) for card in cards]
    for card, own in zip(cards, seen, strict=True):
        report_leakage(card, own, args.strict)
    background = None
    if args.background:
        from keras_gw_resnet.search.background import CONSISTENCY, read_background

        sha256 = cards[0]["sha256"] + (CONSISTENCY if args.consistency else "")
        background = read_background(args.background, {**cards[0], "sha256": sha256}, args.threshold, args.precision)
    given = {"exact": args.exact, "gate": args.gate, "consistency": args.consistency}
    networks = load_networks(names, args.precision, **given)
    journals = [journal_of(output.events) for output in outputs]
    from keras_gw_resnet.search.search import search, search_with_fewer

    options: dict = {"threshold": args.threshold, "quality": args.quality, "channels": args.channel, "vetoes": vetoes}
    options |= {"slides": args.slides or 0, "snapshots": REPORTED, "alone": True}
    if args.fewer:
        results = search_with_fewer(*networks, args.strain, journals=journals, **options)
    else:
        results = search(networks, args.strain, journal=journals[0], **options)
    judged, undrawn = [], True
    for network, found, output, own in zip(networks, results, outputs, seen, strict=True):
        # Pictures are of MODEL, or of the network of --or where MODEL finds nothing.
        drawn = undrawn and bool(len(found.events)) and (network is networks[0] or bool(args.fewer))
        undrawn = undrawn and not drawn
        judged.append((network, found.events, _finish(args, network, found, output, own, background, headers, drawn)))
    for line in together(judged, args.top) if args.fewer else ():
        print(line)
    for journal in journals:
        forget(journal)


def load_networks(names: Sequence[str], precision: str = "float32", **options) -> list[Detector]:
    """Load networks for a search, as Detectors; options as of `Detector.load`."""
    from keras_gw_resnet.search.detector import Detector

    return [Detector.load(name, precision, **options) for name in names]


def _finish(args, network, found, output, seen, background, headers, drawn):
    """Judge what one network found, write it and print it; return the columns of its events."""
    from keras_gw_resnet.evaluation import event_table as texts
    from keras_gw_resnet.evaluation.distrusted import distrusted_tables
    from keras_gw_resnet.search.results import Output, written
    from keras_gw_resnet.search.significance import judged

    more = {"threshold": args.threshold, "quality": list(args.quality), "seen_in_training": seen}
    options = {"slid": bool(args.slides), "extrapolate": args.extrapolate}
    events, own = found.events, judged(network, found, args.strain, headers, background, **options, **more)
    columns = own.columns | (names_of(network, events) if args.fewer else {})
    intervals = searched_of(headers, found) if args.fewer else common_of(args, headers, network.card)
    tables, numbers = texts.further_tables(found, columns, own.taken, intervals, args.threshold)
    attributes = own.attributes | (numbers if args.slides else {})
    lines = texts.lines_before(network, found, own, Output(shown(output.events)), args.slides)
    print("\n".join(lines))
    header, rows = texts.event_table(events, columns, network.detectors)
    paths, slid = output.files(args.slides), own.background if args.slides else None
    with written(output, events, columns, slid, network.detectors, attributes, found.gates) as stack:
        if drawn:
            doubtful = distrusted_tables(found, columns, network.detectors, headers, output.events.name)
            given = (header, rows), (lines, tables, doubtful, headers), found.snapshots, attributes, stack
            paths += draw_search(args, network, *given)
    undrawn = [path for path in (args.plot, args.report) if path and not args.fewer]
    print(texts.count_line(events, args.threshold, output.events, undrawn))
    if len(events):
        print(table(rows[: args.top], header))
        for heading, titles, further in tables:
            print(f"{heading}:\n{table(further, titles)}")
        print(f"saved: {', '.join(str(shown(path)) for path in paths)}")
    return columns
