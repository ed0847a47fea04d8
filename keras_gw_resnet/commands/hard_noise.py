"""The command 'hard-noise': noise that a network takes for signals, to train others with."""

import argparse

from keras_gw_resnet.commands.arguments import add_channel, add_command, hdf5, positive, seed
from keras_gw_resnet.commands.printing import shown
from keras_gw_resnet.errors import InputError
from keras_gw_resnet.files import check_output


def add_hard_noise(subparsers: argparse._SubParsersAction) -> None:
    """Add the command 'hard-noise'."""
    parser = add_command(
        subparsers,
        "hard-noise",
        run_hard_noise,
        "search the noise of a training with a finished network for windows that it takes for signals (train --negatives.hard_noise)",
        "keras-gw-resnet hard-noise resnet18-w16 --data data/train --windows 600000 --output data/hard.hdf",
    )
    add = parser.add_argument
    add("network", metavar="NETWORK", help="folder of a trained network, or its name in saved_models")
    add("--data", metavar="DIR", help="folder of the training's strain files (default: that of the network's own)")
    add("--noise", choices=("files", "gaussian", "both"), help="default: as in the network's own training")
    add("--psd", nargs="+", metavar="PSD", help="for simulated noise (default: as in the network's own training)")
    add("--windows", type=positive, default=600000, metavar="N", help="to search (default: 600000)")
    add("--keep", type=positive, metavar="N", help="hardest windows to keep (default: a hundredth)")
    add("--seed", type=seed, default=0, metavar="N", help="of the noise (default: 0)")
    add_channel(parser)
    add("--output", required=True, type=hdf5, metavar="FILE", help="HDF5 file to write")
    add("--overwrite", action="store_true", help="replace an existing file")


def run_hard_noise(args: argparse.Namespace) -> None:
    """Search the noise of a training with a finished network and keep its hardest windows."""
    from keras_gw_resnet.backend import load_keras

    check_output(args.output, args.overwrite)
    load_keras()
    import numpy as np

    from keras_gw_resnet.datasets.windows import write_windows
    from keras_gw_resnet.training.hard_noise import find_hard_noise, training_of
    from keras_gw_resnet.zoo import load_model

    model, card = load_model(args.network)
    try:
        config = training_of(
            card, data=args.data, noise=args.noise, psd=tuple(args.psd or ()), channel=tuple(args.channel)
        )
        strain, stat = find_hard_noise(model, config, windows=args.windows, keep=args.keep, seed=args.seed)
    except InputError as error:  # what a training's options are called here
        raise InputError(str(error).replace("--data.path", "--data").replace("--data.", "--")) from error
    source = (
        f"the {len(strain)} of {args.windows} windows of noise ({config.data.noise}, seed {args.seed}) that "
        f"{card['name']} (sha256 {card['sha256'][:12]}) ranks highest"
    )
    about = {"detectors": config.data.detectors, "sample_rate": config.data.whitening.sample_rate, "source": source}
    write_windows(args.output, strain, np.zeros(len(strain)), **about)  # ty: ignore[invalid-argument-type]
    print(f"{shown(args.output)}: {source}, from {stat.min():.2f} on")
