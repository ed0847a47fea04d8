"""The command 'adopt'."""

import argparse

from keras_gw_resnet.backend import load_keras
from keras_gw_resnet.commands.arguments import add_command, path_of
from keras_gw_resnet.commands.printing import shown
from keras_gw_resnet.files import check_output


def add_adopt(subparsers: argparse._SubParsersAction) -> None:
    """Add the command 'adopt'."""
    parser = add_command(
        subparsers,
        "adopt",
        run_adopt,
        "give a network that was trained further elsewhere a card, so that it can be searched with",
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


def run_adopt(args: argparse.Namespace) -> None:
    """Write a network with a card: timing and statistic calibrated anew, the rest as of a saved network."""
    from keras_gw_resnet.archives import NETWORK_FILES
    from keras_gw_resnet.zoo import load_card

    check_output(args.output, args.overwrite, folder_of=NETWORK_FILES)
    load_card(args.like)
    load_keras()
    from keras_gw_resnet.search.adoption import load_trained, save_model

    options = {"like": args.like, "name": args.name, "bank": args.bank, "psd": args.psd, "overwrite": args.overwrite}
    card = save_model(load_trained(args.model), args.output, **options)
    print(f"event times good to {card['timing']['spread_seconds']:.3f} s (68 %)")
    print(f"saved: {shown(args.output)}/model.keras, card.json")
    print(f"next:  keras-gw-resnet search {shown(args.output)} FILE... --output events.hdf")
