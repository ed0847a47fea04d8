"""The arguments of 'train': those of `TrainingConfig` and `Run`, as flags, in YAML files, and as recipes."""

import argparse
import json
import re
import shutil
import typing
from dataclasses import dataclass, fields, replace
from pathlib import Path

from keras_gw_resnet.errors import InputError, flag, shortened
from keras_gw_resnet.inputs import read_json, read_yaml

TEXT = "train a network on strain files and a waveform bank, or on labelled windows"
USAGE = "keras-gw-resnet train --model MODEL --data DATA --out OUT [--ROOM.OPTION VALUE ...]"
EXAMPLE = """short forms, which need no room:
  --model, --data, --steps-per-epoch, --batch-size, --learning-rate
  --options.NAME for --network.options.NAME; --width, --kernel-size, --stem-kernel-size and --dropout for --options.width ...
Hyphens and underscores are the same. Names without a room as they were before (--snr-range) work for one release more.
The same command goes on with a run that was interrupted.

example:
  python train.py --recipe resnet --width 16 --data data/train --out runs/first --epochs 10 --signals.snr_range 5 12"""
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


def _parser(typed=()):
    """Return the parser; `typed` are the old names that its messages speak in."""
    import jsonargparse

    from keras_gw_resnet.training.config import TrainingConfig
    from keras_gw_resnet.training.names import ROOMS, in_words_of

    class Formatter(jsonargparse.DefaultHelpFormatter, argparse.RawDescriptionHelpFormatter):
        """One column of options and one of what they say; the lines of the examples are kept."""

        def __init__(self, prog, **options):
            width = min(max(shutil.get_terminal_size().columns, 100), 132) - 2
            super().__init__(prog, **{**options, "max_help_position": 38, "width": width})

        def _get_default_metavar_for_optional(self, action):
            kind = str(getattr(action, "_typehint", action.type))
            names = {"tuple[float": "LOW HIGH", "tuple[str": "NAME ...", "dict": "{}", "int": "N", "float": "X"}
            return next((name for part, name in names.items() if part in kind), "TEXT")

        def _get_help_string(self, action):
            if action.default is None or action.default is argparse.SUPPRESS or action.required:
                return action.help
            shown = action.default if isinstance(action.default, str) else json.dumps(action.default)
            return action.help if shown in ("[]", "{}") else f"{action.help.rstrip('.')} (default: {shown})"

    class Parser(jsonargparse.ArgumentParser):
        """Flags of a run with hyphens, options of a room as YAML has them; errors in one line."""

        def add_argument(self, *names, **options):
            dashed = [n if "." in n or n == "--print_config" else n.replace("_", "-") for n in names]
            return super().add_argument(*dashed, **options)

        def error(self, message, ex=None):
            plain = " ".join(str(message).split()).replace("typing.", "")
            plain = re.sub(r"(?<=are required: ).*", lambda m: ", ".join(f"--{n}" for n in m[0].split(", ")), plain)
            named = re.sub(r'(?:Parser key|Option|Key) "([\w.]+)"', lambda m: f"--{m[1]}", plain)
            self.exit(2, f"{self.prog}: error: {shortened(in_words_of(named, typed))} (see '{self.prog} --help')\n")

    parser = Parser(
        prog="keras-gw-resnet train", usage=USAGE, description=TEXT, epilog=EXAMPLE, formatter_class=Formatter
    )
    parser.add_argument("--config", action="config", help="YAML file with any of these options; later ones prevail")
    parser.add_argument("--recipe", help=f"a configuration that ships with the package: {', '.join(list_recipes())}")
    parser.add_class_arguments(Run)
    parser.add_class_arguments(TrainingConfig)
    for room in (*ROOMS, "data.whitening"):  # which may be read from a file of its own
        parser._option_string_actions[f"--{room}"].help = argparse.SUPPRESS
    return parser


def list_recipes():
    """List the names of the configurations that ship with the package."""
    return sorted(path.stem for path in RECIPES.glob("*.yaml"))


def _recipe(name):
    if name not in list_recipes():
        raise InputError(f"--recipe {name}: no such recipe; there are {', '.join(list_recipes())}")
    return ["--config", _configuration(RECIPES / f"{name}.yaml")]


def read_configuration(path):
    """Read a YAML or JSON file of a training, in rooms or as it was written before, as a dictionary in rooms.

    Raises:
        InputError: There is no such file, or it holds no names and values.
    """
    from keras_gw_resnet.training.names import in_rooms

    read = read_yaml(path, "a YAML file of options")
    if not isinstance(read, dict):
        raise InputError(f"{path}: holds no options; expected lines such as 'epochs: 10'")
    return in_rooms({str(name): value for name, value in read.items()})


def _configuration(path):
    """Return a file of options as the parser takes it, on one line."""
    return json.dumps(read_configuration(path))


def _several(kind):
    """List the fields of a dataclass that take several values, as "room.field"."""
    for f in fields(kind):
        if hasattr(f.type, "__dataclass_fields__"):
            yield from (f"{f.name}.{inner}" for inner in _several(f.type))
        elif "tuple" in str(f.type):
            yield f.name


def _rewritten(argv):
    """Return arguments as the parser takes them: in rooms, recipes as configurations, several values as one list.

    Args:
        argv: As typed.

    Returns:
        List of arguments.
    """
    from keras_gw_resnet.training.config import TrainingConfig
    from keras_gw_resnet.training.names import place_of

    sequences = set(_several(TrainingConfig))
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
        name, _ = place_of(word[2:].replace("-", "_"))
        if name == "recipe" and values:
            before += _recipe(values[0])
            continue
        if name == "config" and values:
            values = [_configuration(values[0])]
        elif name.startswith("network.options."):
            values = [f"[{', '.join(values)}]"] if len(values) > 1 else values
        elif name == "overwrite" and not values:
            values = ["true"]
        elif name in sequences and values and not values[0].startswith("["):
            values = [json.dumps([_number(v) for v in values])]
        after += [f"--{name}" if "." in name or name == "print_config" else flag(name), *values]
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
    from keras_gw_resnet.training.config import TrainingConfig

    values = _parser(old_names(argv)).parse_args(_rewritten(argv)).as_dict()
    config = TrainingConfig.of(**{f.name: values[f.name] for f in fields(TrainingConfig)})
    run = Run(**{f.name: values[f.name] for f in fields(Run)})
    if not run.out.strip() or (run.name is not None and ("/" in run.name or not run.name.strip())):
        raise InputError("--out takes a folder, --name a name without a slash")
    return _fitted_to_data(_with_statistics(config, run)), run


def old_names(argv):
    """Return {old name: where its option is now} of the options that are typed as they were called before."""
    from keras_gw_resnet.training.names import OLD_NAMES, place_of

    names = [re.split(r"[=.]", word[2:])[0].replace("-", "_") for word in argv if word.startswith("--")]
    wholes = [word[2:].split("=", 1)[0].replace("-", "_") for word in argv if word.startswith("--")]
    return {name: OLD_NAMES[name] for name, whole in zip(names, wholes, strict=True) if place_of(whole)[1]}


def _with_statistics(config, run):
    if run.input_statistics is None:
        return config
    try:
        measured = read_json(run.input_statistics, "statistics of the input")
        options = {**config.network.options, "mean": measured["mean"], "variance": measured["variance"]}
    except (KeyError, TypeError, IndexError) as error:
        raise InputError(
            f"{run.input_statistics}: cannot be read as statistics; make it with 'keras-gw-resnet statistics'"
        ) from error
    return config.changed(options=options)


def _fitted_to_data(config):
    """Fill in detectors, window and sample rate where they are left open: those of labelled windows, or the usual."""
    from keras_gw_resnet.datasets.windows import open_windows

    own = config.data
    if not Path(own.path).is_file():
        return config.changed(detectors=own.detectors or ("H1", "L1"), window_samples=own.window_samples or 2048)
    header = open_windows(own.path)
    return config.changed(
        detectors=own.detectors or header.detectors,
        window_samples=own.window_samples or header.samples,
        whitening=replace(own.whitening, sample_rate=header.sample_rate),
    )
