"""The commands on networks: 'models', 'export'."""

from keras_gw_resnet.backend import load_keras
from keras_gw_resnet.commands.arguments import add_command, path_of, picture, positive
from keras_gw_resnet.commands.printing import shown, table
from keras_gw_resnet.files import check_output


def add_models(subparsers):
    """Add the command 'models'."""
    parser = add_command(
        subparsers,
        "models",
        run_models,
        "list the networks of the zoo, draw one, or compare the saved ones",
        "keras-gw-resnet models 'resnet1*'\n  keras-gw-resnet models highway20 --plot highway20.png\n"
        "  keras-gw-resnet models --report README.md --plot docs/comparison.png",
    )
    parser.add_argument(
        "pattern", nargs="?", default="*", metavar="PATTERN", help="name or shell pattern (default: all)"
    )
    parser.add_argument(
        "--width", type=positive, metavar="N", help="channels of the first stage (default: the network's)"
    )
    parser.add_argument("--plot", type=picture, metavar="FILE", help="draw the network of this name instead")
    parser.add_argument(
        "--report",
        type=path_of,
        metavar="PAGE",
        help="write the table of the saved networks into a Markdown page, and their picture to --plot",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an existing picture")


def run_models(args):
    """List the networks of the zoo with their size and reach and the saved ones, or draw one."""
    import fnmatch

    if args.report:
        _compare(args.report, args.plot or args.report.parent / "docs" / "comparison.png")
        return
    load_keras()
    from keras_gw_resnet.models.registry import build_model, list_models, model_info
    from keras_gw_resnet.models.weights import ALIASES, list_saved
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
    names = list_models(args.pattern)
    if not names:
        build_model(args.pattern)
    saved = [load_card(name) for name in list_saved()]
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
        if fnmatch.fnmatch(c["model"], args.pattern)
    ]
    if rows:
        print()
        print(table(rows, ["saved network", "also", "parameters", "window (s)", "detectors"]))


def _compare(page, plot):
    from keras_gw_resnet.models.weights import list_saved
    from keras_gw_resnet.zoo import load_card
    from keras_gw_resnet.zoo_comparison import write_comparison

    cards = [load_card(name) for name in list_saved()]
    write_comparison(cards, page, plot)
    print(f"{len(cards)} networks: {shown(page)}, {shown(plot)}")


def add_adopt(subparsers):
    """Add the command 'adopt'."""
    parser = add_command(
        subparsers,
        "adopt",
        run_adopt,
        "give a network that was trained on elsewhere a card, so that it can be searched with",
        "keras-gw-resnet adopt finetuned.keras --like flagship --output runs/finetuned",
    )
    parser.add_argument("model", type=path_of, metavar="MODEL.keras", help="file that model.save wrote")
    parser.add_argument("--like", required=True, metavar="NAME", help="saved network whose whitened strain it takes")
    parser.add_argument("--output", required=True, type=path_of, metavar="DIR", help="folder to write")
    parser.add_argument("--name", help="of the network (default: that of the folder)")
    parser.add_argument(
        "--bank", type=path_of, metavar="FILE", help="waveforms to calibrate with (default: 400 are simulated)"
    )
    parser.add_argument(
        "--psd", nargs="+", metavar="NAME|FILE", help="noise spectra (default: those of the saved network)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an existing folder")


def run_adopt(args):
    """Write a network with a card: timing and statistic calibrated anew, the rest as of a saved network."""
    from keras_gw_resnet.zoo import load_card

    check_output(args.output, args.overwrite, folder_of=("model.keras", "card.json"))
    load_card(args.like)
    load_keras()
    from keras_gw_resnet.search.adoption import load_trained, save_model

    options = {"like": args.like, "name": args.name, "bank": args.bank, "psd": args.psd}
    card = save_model(load_trained(args.model), args.output, **options)
    print(f"event times good to {card['timing']['spread_seconds']:.3f} s (68 %)")
    print(f"saved: {shown(args.output)}/model.keras, card.json")
    print(f"next:  keras-gw-resnet search {shown(args.output)} FILE... --output events.hdf")


def add_export(subparsers):
    """Add the command 'export'."""
    parser = add_command(
        subparsers,
        "export",
        run_export,
        "export a saved network to another format, read it back and compare",
        "keras-gw-resnet export resnet18-w16 --format savedmodel --output exported",
    )
    parser.add_argument("model", metavar="MODEL", help="name of a saved network, its folder, or its model.keras")
    parser.add_argument("--format", required=True, choices=("savedmodel", "onnx"), help="TensorFlow SavedModel or ONNX")
    parser.add_argument("--output", required=True, type=path_of, metavar="DIR", help="folder to write")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing folder")


def run_export(args):
    """Export a saved network to another format, read it back and compare."""
    from keras_gw_resnet.zoo import load_card, load_model

    check_output(args.output, args.overwrite, folder_of=("saved_model", "model.onnx", "card.json"))
    load_card(args.model)
    load_keras()
    from keras_gw_resnet.export import export_model

    model, card = load_model(args.model)
    path, difference = export_model(model, card, args.format, args.output)
    print(f"largest difference of scores on random strain between network and export: {difference:.1e}")
    print(f"saved: {shown(path)}, card.json")
