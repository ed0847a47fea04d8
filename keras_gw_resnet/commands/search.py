"""The command 'search'."""

from pathlib import Path

from keras_gw_resnet.backend import load_keras
from keras_gw_resnet.commands.arguments import add_command, add_quality, add_strict, finite, hdf5, picture, positive
from keras_gw_resnet.commands.printing import shown, table
from keras_gw_resnet.files import check_output, refuse_input


def add_search(subparsers):
    """Add the command 'search'."""
    parser = add_command(
        subparsers,
        "search",
        run_search,
        "search strain files for events with a saved network",
        "keras-gw-resnet search resnet18-w16 H-H1.hdf5 L-L1.hdf5 --output events.hdf --plot loudest.png",
    )
    add = parser.add_argument
    add("model", metavar="MODEL", help="name of a saved network, its folder, or its model.keras")
    add("strain", nargs="+", metavar="FILE", help="strain files, folders or patterns with all detectors of the network")
    add("--output", required=True, type=hdf5, metavar="FILE", help="events as HDF5; a .csv is written beside it")
    add("--plot", type=picture, metavar="FILE", help="picture of the loudest event")
    add(
        "--threshold",
        type=finite,
        default=-4.0,
        metavar="X",
        help="lowest statistic (logit) of an event (default: -4)",
    )
    add("--top", type=positive, default=10, metavar="N", help="events to print (default: 10)")
    add("--overwrite", action="store_true", help="replace existing output files")
    add_quality(parser)
    add_strict(parser)


def run_search(args):
    """Search strain for events with a saved network."""
    from keras_gw_resnet.evaluation.leakage import report_leakage, seen_in_training
    from keras_gw_resnet.strain.files import find_segments
    from keras_gw_resnet.strain.stretches import intervals_of
    from keras_gw_resnet.zoo import load_card

    outputs = [args.output, args.output.with_suffix(".csv"), *([args.plot] if args.plot else [])]
    for path in outputs:
        check_output(path, args.overwrite)
    card = load_card(args.model)
    headers = find_segments(args.strain, args.quality)
    refuse_input(outputs, {h.path for h in headers})
    seen = seen_in_training(card, intervals_of(headers, card["detectors"]))
    report_leakage(card, seen, args.strict)
    load_keras()
    from keras_gw_resnet.evaluation.plots import plot_event
    from keras_gw_resnet.search.events import write_events
    from keras_gw_resnet.search.search import search
    from keras_gw_resnet.zoo import load_model

    model, card = load_model(args.model)
    result = search(model, card, args.strain, threshold=args.threshold, quality=args.quality)
    events, coverage = result.events, result.coverage
    attributes = {
        "model": card["name"],
        "model_sha256": card["sha256"],
        "detectors": list(card["detectors"]),
        "files": [Path(p).name for p in args.strain],
        "threshold": args.threshold,
        "searched_seconds": result.searched_seconds,
        "invalid_seconds": coverage.invalid,
        "stride_seconds": result.stride_seconds,
        "exact_scan": result.exact,
        "quality": list(args.quality),
        "seen_in_training": seen,
    }
    beside = write_events(events, args.output, attributes)
    print(
        f"searched {result.searched_seconds:.1f} s of {'+'.join(card['detectors'])} strain with {card['name']} "
        f"(given {coverage.given:.1f} s; invalid and skipped {coverage.invalid:.1f} s; "
        f"too short and skipped {coverage.short:.1f} s; the rest are edges of the whitening filter)"
    )
    if not len(events):
        print(
            f"no event with a statistic above {args.threshold:g}; {args.output} and {beside} are written without events"
            f"{f', {args.plot} is not drawn' if args.plot else ''}"
        )
        return
    loudest = events.loudest(args.top)
    rows = [
        [rank + 1, f"{loudest.time[rank]:.3f}", f"{loudest.stat[rank]:.2f}", f"{loudest.var[rank]:.3f}"]
        for rank in range(len(loudest))
    ]
    print(f"{len(events)} events with a statistic above {args.threshold:g}; the loudest:")
    print(table(rows, ["rank", "GPS time (s)", "statistic", "timing +- (s)"]))
    if args.plot:
        title = f"{', '.join(attributes['files'])}\nloudest event, statistic {loudest.stat[0]:.1f} ({card['name']})"
        plot_event(result.snapshot, loudest.time[0], args.plot, title)
    print(f"saved: {', '.join(str(shown(path)) for path in outputs)}")
