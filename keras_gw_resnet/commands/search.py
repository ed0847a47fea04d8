"""The commands 'search' and 'mlgwsc'."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_gw_resnet.backend import load_keras
from keras_gw_resnet.commands.arguments import (
    add_command,
    add_overwrite,
    add_precision,
    add_quality,
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
from keras_gw_resnet.files import check_output, refuse_input

# Events with a page of their own in the report.
REPORTED = 5
# Lowest statistic that the challenge's program keeps: odds of noise to signal of 20,000.
CHALLENGE_THRESHOLD = -10.0


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
    add("--plot", type=picture, metavar="FILE", help="picture of the loudest event")
    add("--report", type=html, metavar="FILE", help="page with the events, their strain and time-frequency maps")
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
    add_precision(parser)
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
        from keras_gw_resnet.search.events import event_files

        return [*event_files(self.events), *([self.background] if slides else [])]


def run_search(args):
    """Search strain for events with saved networks."""
    from keras_gw_resnet.evaluation.leakage import report_leakage, seen_in_training
    from keras_gw_resnet.strain.files import find_segments
    from keras_gw_resnet.strain.quality import read_vetoes
    from keras_gw_resnet.strain.stretches import intervals_of
    from keras_gw_resnet.zoo import load_card

    if args.slides and args.background:
        raise InputError("--slides makes a background and --background reads one; give one of them")
    if args.also and args.background:
        raise InputError("--background is that of one network; leave out --also")
    cards = [load_card(name) for name in (args.model, *args.also)]
    names = [card["name"] for card in cards]
    suffixes = ["", *(f"-{name}" for name in names[1:])]
    if len(set(names)) < len(names):
        raise InputError(f"--also {' '.join(args.also)}: two networks of one name; give each once")
    outputs = [_Output(args.output.with_name(f"{args.output.stem}{s}{args.output.suffix}")) for s in suffixes]
    pictures = [path for path in (args.plot, args.report) if path]
    written = [path for output in outputs for path in output.files(args.slides)] + pictures
    for path in written:
        check_output(path, args.overwrite)
    headers = find_segments(args.strain, args.quality)
    refuse_input(written, {*(h.path for h in headers), *args.veto, *([args.background] if args.background else [])})
    vetoes = read_vetoes(args.veto)
    intervals = intervals_of(headers, cards[0]["detectors"])
    seen = [seen_in_training(card, intervals) for card in cards]
    for card, own in zip(cards, seen, strict=True):
        report_leakage(card, own, args.strict)
    background = _given_background(args, cards[0])
    results, networks = _search(args, journal=args.output.with_name(f".{args.output.name}.unfinished"))
    spans = np.array([interval[:2] for interval in intervals], np.float64)
    for network, found, output, own in zip(networks, results, outputs, seen, strict=True):
        _report_network(args, network, found, output, own, vetoes, spans, background)


def _given_background(args, card):
    from keras_gw_resnet.search.background import read_background

    return read_background(args.background, card) if args.background else None


def _search(args, journal):
    """Load the networks and search; returns (list of Found, list of Detector)."""
    load_keras()
    from keras_gw_resnet.search.detector import Detector
    from keras_gw_resnet.search.journal import forget
    from keras_gw_resnet.search.search import search

    networks = [Detector.load(name, args.precision) for name in (args.model, *args.also)]
    results = search(
        networks,
        args.strain,
        threshold=args.threshold,
        quality=args.quality,
        slides=args.slides or 0,
        snapshots=REPORTED,
        journal=journal,
    )
    forget(journal)
    return results, networks


def _report_network(args, network, found, output, seen, vetoes, spans, background):
    from keras_gw_resnet.search.background import exclude_signals, write_background
    from keras_gw_resnet.search.events import write_events
    from keras_gw_resnet.search.significance import significance
    from keras_gw_resnet.strain.quality import inside, overlap_seconds

    card, events, coverage = network.card, found.events, found.coverage
    vetoed = overlap_seconds(vetoes, spans)
    events = events.select(~inside(events.time, vetoes))
    searched = max(0.0, found.searched_seconds - vetoed)
    attributes = {
        "model": card["name"],
        "model_sha256": card["sha256"],
        "detectors": list(card["detectors"]),
        "files": [Path(p).name for p in args.strain],
        "threshold": args.threshold,
        "searched_seconds": searched,
        "invalid_seconds": coverage.invalid,
        "vetoed_seconds": vetoed,
        "stride_seconds": network.stride_seconds,
        "exact_scan": network.exact,
        "scan_difference": found.difference,
        "precision": args.precision,
        "quality": list(args.quality),
        "seen_in_training": seen,
    }
    print(
        f"searched {searched:.1f} s of {'+'.join(card['detectors'])} strain with {card['name']} "
        f"(given {coverage.given:.1f} s; invalid and skipped {coverage.invalid:.1f} s; "
        f"too short and skipped {coverage.short:.1f} s; "
        f"{f'vetoed {vetoed:.1f} s; ' if len(vetoes) else ''}the rest are edges of the whitening filter)"
    )
    if not network.exact:
        print(
            f"NOTE: the scan of {card['name']} is approximate; it differs from window by window by up to {found.difference:.2g}"
        )
    if args.slides:
        slid = found.background
        slid = slid.outside(np.any(inside(slid.time, vetoes), axis=1), slid.seconds)
        background, taken = exclude_signals(events, slid, searched) if slid.seconds else (slid, 0)
        attributes["signals_taken_out_of_background"] = taken
        write_background(background, output.background, card["detectors"], {**attributes, "slides": args.slides})
        _print_background(background, args.slides, taken, output)
    more = {}
    if background is not None and background.seconds:
        attributes["background_seconds"] = background.seconds
        more = significance(events, background, card, searched, args.threshold)
    paths = write_events(events, output.events, attributes, more)
    if not len(events):
        drawn = [str(path) for path in (args.plot, args.report) if path]
        print(
            f"no event with a statistic above {args.threshold:g}; {output.events} is written without events"
            f"{f', {drawn[0]} is not drawn' if drawn else ''}"
        )
        return
    _print_events(events, more, args)
    snapshots = [one for one in found.snapshots if not inside(one.time, vetoes)]
    if output.events == args.output:
        paths += _draw(args, network, events, more, snapshots, attributes)
    print(f"saved: {', '.join(str(shown(path)) for path in paths)}")


def _print_background(background, slides, taken, output):
    if not background.seconds:
        print(f"NOTE: the strain is too short to slide; no false-alarm rates, {shown(output.background)} is empty")
        return
    print(
        f"background: {background.seconds / 3600:.2f} h from {slides} slides"
        f"{f', the strain of {taken} that stand out left out of it' if taken else ''}; "
        f"it shows false-alarm rates down to {3600 / background.seconds:.3g} an hour"
    )


def _columns(events, more):
    """Return (header, rows) of events as text, loudest first."""
    header = ["rank", "GPS time (s)", "statistic", "timing +- (s)"]
    names = {"far": "false alarms a year", "ifar": "one in (years)", "p_astro": "p astro"}
    header += [title for name, title in names.items() if name in more]
    rows = []
    for rank, i in enumerate(np.argsort(events.stat)[::-1], 1):
        row = [str(rank), f"{events.time[i]:.3f}", f"{events.stat[i]:.2f}", f"{events.var[i]:.3f}"]
        if "far" in more:
            row += [f"{more['far'][i]:.3g} +- {more['far_error'][i]:.2g}", f"{more['ifar'][i]:.3g}"]
        if "p_astro" in more:
            row.append(f"{more['p_astro'][i]:.4f}")
        rows.append(row)
    return header, rows


def _print_events(events, more, args):
    header, rows = _columns(events, more)
    print(f"{len(events)} events with a statistic above {args.threshold:g}; the loudest:")
    print(table(rows[: args.top], header))
    if "far" in more and "p_astro" not in more:
        print("(p astro takes 100 background events and a card that knows its network's simulated signals)")


def _draw(args, network, events, more, snapshots, attributes):
    from keras_gw_resnet.evaluation.event_plots import draw_event
    from keras_gw_resnet.evaluation.plots import save
    from keras_gw_resnet.evaluation.report import write_search_report

    made, where = [], ", ".join(attributes["files"])
    if args.plot and snapshots:
        title = f"{where}\nloudest event, statistic {snapshots[0].stat:.1f} ({network.name})"
        save(draw_event(snapshots[0], network.detectors, title), args.plot)
        made.append(args.plot)
    if args.report:
        header, rows = _columns(events, more)
        write_search_report(args.report, network, (header, rows[: 10 * args.top]), snapshots, attributes)
        made.append(args.report)
    return made


def add_mlgwsc(subparsers):
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
    parser.add_argument("--force", action="store_true", help="replace OUTPUT")


def run_mlgwsc(args):
    """Search one file of the challenge and write what its scoring program reads, and nothing else."""
    from keras_gw_resnet.files import new_hdf5, written_aside
    from keras_gw_resnet.strain.files import find_segments
    from keras_gw_resnet.zoo import load_card

    check_output(args.output, args.force)
    card = load_card(args.model)
    refuse_input([args.output], {h.path for h in find_segments([args.input])})
    args.also, args.strain, args.quality, args.slides = [], [args.input], (), None
    args.threshold, args.precision = CHALLENGE_THRESHOLD, "float32"
    (found,), _ = _search(args, journal=args.output.with_name(f".{args.output.name}.unfinished"))
    with written_aside(args.output) as aside, new_hdf5(aside) as file:
        file.attrs["model"] = card["name"]
        for name in ("time", "stat", "var"):
            file[name] = getattr(found.events, name)
    print(f"{len(found.events)} events in {found.searched_seconds:.0f} s: {shown(args.output)}")
