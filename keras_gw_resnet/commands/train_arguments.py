"""The arguments of 'train': those of `TrainingConfig` and `Run`, as flags, in YAML files, and as recipes."""

import argparse
import itertools
import json
import re
import typing
from dataclasses import dataclass, fields, replace
from pathlib import Path

from keras_gw_resnet.errors import InputError, flag, shortened
from keras_gw_resnet.inputs import read_json, read_yaml

TEXT = "train a network on strain files and a waveform bank, or on labelled windows"
EXAMPLE = """examples:
  python train.py --model resnet18 --width 16 --data data/train --out runs/first --epochs 10
  python train.py --recipe resnet --data data/train --out runs/second --snr-range 5 15 --options.zero_init true
  python train.py --config runs/second/config.json --out runs/third --seed 1

--width, --kernel-size, --stem-kernel-size and --dropout stand for --options.width and so on. The same command goes on
with a run that was interrupted."""
# Options of networks that may be given without 'options.' before them.
SHORT_OPTIONS = ("width", "kernel_size", "stem_kernel_size", "dropout")
RECIPES = Path(__file__).parents[1] / "training" / "recipes"


@dataclass(frozen=True, kw_only=True)
class Run:
    """Where a training runs and what it leaves.

    Attributes:
        out: Folder for model.keras, card.json, history.csv and checkpoints.
        name: Name in the card; None: that of the folder.
        log_dir: Folder for TensorBoard; None: OUT/logs.
        overwrite: Start afresh in a folder that holds a run.
        input_statistics: File with mean and variance of the input, for residual-cnn; see 'keras-gw-resnet statistics'.
        backend: Backend of Keras; None: that of KERAS_BACKEND, or tensorflow.
        coordinator: HOST:PORT of the first of several processes (backend jax); None: one process, or as Slurm or
            Open MPI say.
        processes: How many processes train together.
        process_id: Which of them this is, from 0.
    """

    out: str
    name: str | None = None
    log_dir: str | None = None
    overwrite: bool = False
    input_statistics: str | None = None
    backend: typing.Literal["tensorflow", "jax"] | None = None
    coordinator: str | None = None
    processes: int | None = None
    process_id: int | None = None


def _parser():
    import jsonargparse

    class Formatter(jsonargparse.DefaultHelpFormatter, argparse.RawDescriptionHelpFormatter):
        """Keeps the lines of the examples."""

    class Parser(jsonargparse.ArgumentParser):
        """Flags with dashes, errors in one line."""

        def add_argument(self, *names, **options):
            dashed = [n.replace("_", "-") if n.startswith("--") and n != "--print_config" else n for n in names]
            return super().add_argument(*dashed, **options)

        def error(self, message, ex=None):
            plain = " ".join(str(message).split()).replace("typing.", "")
            named = re.sub(r'Parser key "([\w.]+)":', lambda m: f"{flag(m[1])}:", plain)
            self.exit(2, f"{self.prog}: error: {shortened(named)} (see '{self.prog} --help')\n")

    from keras_gw_resnet.training.config import TrainingConfig

    parser = Parser(prog="keras-gw-resnet train", description=TEXT, epilog=EXAMPLE, formatter_class=Formatter)
    parser.add_argument("--config", action="config", help="YAML file with any of these options; later ones prevail")
    parser.add_argument("--recipe", help=f"a configuration that ships with the package: {', '.join(list_recipes())}")
    parser.add_class_arguments(TrainingConfig)
    parser.add_class_arguments(Run)
    return parser


def list_recipes():
    """List the names of the configurations that ship with the package."""
    return sorted(path.stem for path in RECIPES.glob("*.yaml"))


def _recipe(name):
    if name not in list_recipes():
        raise InputError(f"--recipe {name}: no such recipe; there are {', '.join(list_recipes())}")
    return ["--config", str(RECIPES / f"{name}.yaml")]


def _rewritten(argv, sequences):
    """Return arguments as the parser takes them: recipes as configurations, several values as one list.

    Args:
        argv: As typed.
        sequences: Names of the flags that take several values.
    """
    words = [part for word in argv for part in (word.split("=", 1) if word.startswith("--") else [word])]
    before, after = [], []
    while words:
        word = words.pop(0)
        if not word.startswith("--"):
            after.append(word)
            continue
        values = []
        while words and not words[0].startswith("--"):
            values.append(words.pop(0))
        name = word[2:].replace("-", "_")
        if name == "recipe" and values:
            before += _recipe(values[0])
            continue
        if name in SHORT_OPTIONS or name.startswith("options."):
            word = f"--options.{name.removeprefix('options.')}"
            values = [f"[{', '.join(values)}]"] if len(values) > 1 else values
        elif name == "overwrite" and not values:
            values = ["true"]
        elif name in sequences and values and not values[0].startswith("["):
            values = [json.dumps([_number(v) for v in values])]
        after += [word, *values]
    return before + after


def _number(text):
    try:
        return float(text)
    except ValueError:
        return text


def parse_training(argv):
    """Parse the command line of a training.

    Args:
        argv: Arguments without the program's name.

    Returns:
        Tuple (TrainingConfig, Run); detectors, window and sample rate are filled in from the data.

    Raises:
        InputError: Values out of range, contradictions, no such recipe, data that cannot be read.
    """
    from keras_gw_resnet.strain.conditioning import Whitening
    from keras_gw_resnet.training.config import TrainingConfig

    sequences = {f.name for f in fields(TrainingConfig) if "tuple" in str(f.type)}
    parser, words = _parser(), _rewritten(argv, sequences)
    for name, path in itertools.pairwise(words):
        if name == "--config":
            read_yaml(path, "a configuration as YAML")  # the parser would follow aliases without end
    given = parser.parse_args(words)
    values = given.as_dict()
    whitening = Whitening(**values.pop("whitening"))
    config = TrainingConfig(
        whitening=whitening, **{f.name: values[f.name] for f in fields(TrainingConfig) if f.name in values}
    )
    run = Run(**{f.name: values[f.name] for f in fields(Run)})
    if not run.out.strip() or (run.name is not None and ("/" in run.name or not run.name.strip())):
        raise InputError("--out takes a folder, --name a name without a slash")
    return _fitted_to_data(_with_statistics(config, run)), run


def _with_statistics(config, run):
    if run.input_statistics is None:
        return config
    try:
        measured = read_json(run.input_statistics, "statistics of the input")
        options = {**config.options, "mean": measured["mean"], "variance": measured["variance"]}
    except (KeyError, TypeError, IndexError) as error:
        raise InputError(
            f"{run.input_statistics}: cannot be read as statistics; make it with 'keras-gw-resnet statistics'"
        ) from error
    return replace(config, options=options)


def _fitted_to_data(config):
    """Fill in detectors, window and sample rate where they are left open: those of labelled windows, or the usual."""
    from keras_gw_resnet.datasets.windows import open_windows

    if not Path(config.data).is_file():
        return replace(config, detectors=config.detectors or ("H1", "L1"), window_samples=config.window_samples or 2048)
    header = open_windows(config.data)
    return replace(
        config,
        detectors=config.detectors or header.detectors,
        window_samples=config.window_samples or header.samples,
        whitening=replace(config.whitening, sample_rate=header.sample_rate),
    )
