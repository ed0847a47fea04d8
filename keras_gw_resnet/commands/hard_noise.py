"""The command 'hard-noise': noise that a network takes for signals, to train others with."""

from dataclasses import replace

from keras_gw_resnet.commands.arguments import add_command, hdf5, positive, seed
from keras_gw_resnet.commands.printing import shown
from keras_gw_resnet.errors import InputError
from keras_gw_resnet.files import check_output

# Noise is drawn with seeds of its own.
AHEAD_SEED = 1_000_133


def add_hard_noise(subparsers):
    """Add the command 'hard-noise'."""
    parser = add_command(
        subparsers,
        "hard-noise",
        run_hard_noise,
        "search the noise of a training with a finished network for windows that it takes for signals (train --hard-noise)",
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
    add("--output", required=True, type=hdf5, metavar="FILE", help="HDF5 file to write")
    add("--overwrite", action="store_true", help="replace an existing file")


def run_hard_noise(args):
    """Search the noise of a training with a finished network and keep its hardest windows."""
    from keras_gw_resnet.backend import load_keras

    check_output(args.output, args.overwrite)
    load_keras()
    import numpy as np

    from keras_gw_resnet.datasets.hard import HARDEST, PIECE, find_hardest
    from keras_gw_resnet.datasets.windows import write_windows
    from keras_gw_resnet.progress import Bar
    from keras_gw_resnet.training.data import split_noise
    from keras_gw_resnet.training.validation import scorer
    from keras_gw_resnet.zoo import load_model

    model, card = load_model(args.network)
    keep = args.keep or max(1, round(HARDEST * args.windows))
    if keep > args.windows:
        raise InputError(f"--keep {keep}: more than the {args.windows} windows that are searched")
    config = _training_of(card)
    given = {"data": args.data, "noise": args.noise, "psd": tuple(args.psd) if args.psd else None}
    config = replace(config, **{name: value for name, value in given.items() if value})
    noise, _, _ = split_noise(config)

    def pieces():
        for number, first in enumerate(range(0, args.windows, PIECE)):
            rng = np.random.default_rng((AHEAD_SEED, args.seed, number))
            yield noise.draw(rng, min(PIECE, args.windows - first))[0]

    options = {"desc": "hard noise", "unit": "window"}
    with Bar(total=args.windows, **options) as bar:
        _, strain, stat = find_hardest(pieces(), scorer(model), keep, bar.update)
    source = (
        f"the {keep} of {args.windows} windows of noise ({config.noise}, seed {args.seed}) that "
        f"{card['name']} (sha256 {card['sha256'][:12]}) ranks highest"
    )
    about = {"detectors": config.detectors, "sample_rate": config.whitening.sample_rate, "source": source}
    write_windows(args.output, strain, np.zeros(keep), **about)
    print(f"{shown(args.output)}: {source}, from {stat.min():.2f} on")


def _training_of(card):
    """Return the TrainingConfig of a saved network.

    Raises:
        InputError: Its card does not say how it was trained.
    """
    from keras_gw_resnet.strain.conditioning import Whitening
    from keras_gw_resnet.training.config import TrainingConfig

    try:
        recorded = card["training"]["config"]
        pairs = {name: tuple(value) for name, value in recorded.items() if isinstance(value, list)}
        return TrainingConfig(**{**recorded, **pairs, "whitening": Whitening(**recorded["whitening"])})
    except (KeyError, TypeError) as error:
        raise InputError(
            f"{card['name']}: its card does not say how it was trained ({error}); train it again"
        ) from error
