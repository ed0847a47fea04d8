"""The command 'train-zoo': every saved network again, from its recipe and seeds."""

import argparse
from pathlib import Path

from keras_gw_resnet.commands.arguments import add_command, path_of, seed
from keras_gw_resnet.commands.printing import shown
from keras_gw_resnet.errors import InputError


def add_train_zoo(subparsers: argparse._SubParsersAction) -> None:
    """Add the command 'train-zoo'."""
    parser = add_command(
        subparsers,
        "train-zoo",
        run_train_zoo,
        "train and measure the networks of saved_models again, from their recipes",
        "keras-gw-resnet train-zoo resnet18-w16 --psd o3a-spectra --folder runs/zoo",
    )
    add = parser.add_argument
    add("names", nargs="*", metavar="NAME", help="saved networks (default: all)")
    add("--folder", type=path_of, default=Path("runs/zoo"), metavar="DIR", help="default: runs/zoo")
    add(
        "--psd",
        nargs="+",
        default=[],
        metavar="NAME|FILE|DIR",
        help="noise spectra of the training and of set3, as the challenge's; default: two analytic ones",
    )
    add("--test-duration", default="8h", metavar="TIME", help="of each test set (default: 8h)")
    add(
        "--seed",
        type=seed,
        metavar="N",
        help="in place of that of the recipe, to see the spread: into NAME-seedN in --folder",
    )
    add("--install", action="store_true", help="replace the networks in saved_models by the new ones")
    add("--dry-run", action="store_true", help="say what would be trained, and stop")


def run_train_zoo(args: argparse.Namespace) -> None:
    """Train and measure networks of saved_models again, one after the other; what is done already is kept."""
    from keras_gw_resnet.models.weights import list_saved
    from keras_gw_resnet.zoo_training import Zoo

    if args.install and args.seed is not None:
        raise InputError("--seed is for a second training beside that of the recipe; it is not for --install")
    zoo = Zoo(args.folder, psds=args.psd, test_duration=args.test_duration)
    plan = zoo.plan(args.names, args.seed)
    print(f"{len(plan)} network{'s' * (len(plan) != 1)} to train, in this order, into {shown(zoo.folder)}:")
    for training in plan:
        print(f"  {training.title}: {training.reason}{', trained already' if zoo.is_trained(training) else ''}")
    if args.dry_run:
        return
    for training in plan:
        zoo.train(training)
        zoo.measure(training)
        if args.install and training.asked:
            print(f"installed: {shown(zoo.install(training))}", flush=True)
    if args.install and list_saved():
        print("next: keras-gw-resnet models --report docs/zoo.md README.md")
