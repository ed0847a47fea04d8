"""The command 'export'."""

import argparse

from keras_gw_resnet.backend import load_keras
from keras_gw_resnet.commands.arguments import add_command, path_of
from keras_gw_resnet.commands.printing import shown
from keras_gw_resnet.files import check_output


def add_export(subparsers: argparse._SubParsersAction) -> None:
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


def run_export(args: argparse.Namespace) -> None:
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
