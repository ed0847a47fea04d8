"""The command 'models'."""

import argparse

from keras_gw_resnet.backend import load_keras
from keras_gw_resnet.commands.arguments import add_command, path_of, picture, positive
from keras_gw_resnet.commands.printing import shown, table
from keras_gw_resnet.files import check_output


def add_models(subparsers: argparse._SubParsersAction) -> None:
    """Add the command 'models'."""
    parser = add_command(
        subparsers,
        "models",
        run_models,
        "list the networks of the zoo, draw one, or compare the saved ones",
        "keras-gw-resnet models 'resnet1*'\n  keras-gw-resnet models highway20 --plot highway20.png\n"
        "  keras-gw-resnet models --report docs/zoo.md README.md\n  keras-gw-resnet models flagship --publish hub/flagship",
    )
    parser.add_argument(
        "pattern",
        nargs="?",
        default="*",
        metavar="PATTERN",
        help="name or shell pattern, or a saved network, for those like it (default: all)",
    )
    parser.add_argument(
        "--width", type=positive, metavar="N", help="channels of the first stage (default: the network's)"
    )
    parser.add_argument("--plot", type=picture, metavar="FILE", help="draw the network of this name instead")
    parser.add_argument(
        "--report",
        type=path_of,
        nargs="+",
        metavar="PAGE",
        help="write the tables of the saved networks into Markdown pages, and their picture to --plot (default: "
        "comparison.png beside the first page)",
    )
    parser.add_argument(
        "--publish",
        type=path_of,
        metavar="DIR",
        help="write the saved network of this name or folder into DIR as Hugging Face's hub and Zenodo take it: weights, card, a "
        "README with metadata, sha256; without a name all saved ones, a folder each",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an existing picture or published folder")


def run_models(args: argparse.Namespace) -> None:
    """List the networks of the zoo with their size and reach and the saved ones, or draw one."""
    import fnmatch

    if args.report:
        _compare(args.report, args.plot or args.report[0].parent / "comparison.png")
        return
    if args.publish:
        _publish(args.pattern, args.publish, args.overwrite)
        return
    load_keras()
    from keras_gw_resnet.models.registry import build_model, list_models, model_info
    from keras_gw_resnet.models.weights import ALIASES, list_saved, saved_models_folder
    from keras_gw_resnet.progress import Bar
    from keras_gw_resnet.zoo import load_card

    options = {} if args.width is None else {"width": args.width}
    if args.plot:
        from keras_gw_resnet.evaluation.drawing import draw_network

        check_output(args.plot, args.overwrite)
        model = build_model(args.pattern, **options)
        draw_network(model, args.plot)
        print(f"saved: {shown(args.plot)}")
        return
    saved = [load_card(name) for name in list_saved()]
    models = {c["name"]: c["model"] for c in saved}
    pattern = models.get(ALIASES.get(args.pattern, args.pattern), args.pattern)
    other = {name: alias for alias, name in ALIASES.items()}
    rows = [
        [
            c["name"],
            other.get(c["name"], ""),
            c["parameters"],
            f"{c['window_samples'] / c['sample_rate']:g}",
            "+".join(c["detectors"]),
        ]
        for c in saved
        if fnmatch.fnmatch(c["model"], pattern)
    ]
    names = list_models(pattern)
    if not names and not rows:
        build_model(pattern)  # which says what there is
    if rows:  # first, as the networks below are built one by one
        print(table(rows, ["saved network", "also", "parameters", "window (s)", "detectors"]))
        print(f"in {shown(saved_models_folder())}, one folder each\n", flush=True)
    if not names:  # an ensemble, which no name builds
        return
    rows = []
    for name in Bar(names, desc="networks", unit="network", leave=False):
        info = model_info(name, **options)
        reach = "-" if info.receptive_samples is None else f"{info.receptive_samples}"
        milliseconds = "-" if info.receptive_milliseconds is None else f"{info.receptive_milliseconds:.0f}"
        weights = ", ".join(card["name"] for card in saved if card["model"] == name) or "-"
        row = [name, info.depth, info.parameters, reach, milliseconds, info.stride or "-"]
        rows.append([*row, f"{info.multiply_adds / 1e6:.0f}", weights])
    header = ["network", "depth", "parameters", "reach (samples)", "reach (ms)", "stride", "Mmul-add/s", "saved"]
    print(table(rows, header))


def _compare(pages, plot):
    from keras_gw_resnet.models.weights import ALIASES, list_saved
    from keras_gw_resnet.zoo import load_card
    from keras_gw_resnet.zoo_comparison import write_comparison

    cards = [load_card(name) for name in list_saved()]
    write_comparison(cards, pages, plot, always=ALIASES.values())
    print(f"{len(cards)} networks: {', '.join(str(shown(path)) for path in [*pages, plot])}")


def _publish(name, folder, overwrite):
    from keras_gw_resnet.models.weights import list_saved
    from keras_gw_resnet.publishing import publish

    folders = {own: folder / own for own in list_saved()} if name == "*" else {name: folder}
    for place in () if overwrite else folders.values():
        check_output(place)
    for own, place in folders.items():
        written = publish(own, place, overwrite)
        print(f"{shown(place)}: {', '.join(path.name for path in written)}")
    print("next: hf upload OWNER/NAME DIR, or drop the files of DIR into a new upload of zenodo.org")
