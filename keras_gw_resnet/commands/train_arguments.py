"""The arguments of 'train' as they are typed: in rooms or as before, in YAML files, and as recipes."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from keras_gw_resnet.commands.train_parser import Run, training_parser
from keras_gw_resnet.errors import InputError, flag
from keras_gw_resnet.inputs import read_json, read_yaml

if TYPE_CHECKING:
    from keras_gw_resnet.training.config import TrainingConfig

RECIPES = Path(__file__).parents[1] / "training" / "recipes"


def list_recipes() -> list[str]:
    """List the names of the configurations that ship with the package."""
    return sorted(path.stem for path in RECIPES.glob("*.yaml"))


def _recipe(name):
    if name not in list_recipes():
        raise InputError(f"--recipe {name}: no such recipe; there are {', '.join(list_recipes())}")
    return ["--config", _configuration(RECIPES / f"{name}.yaml")]


def read_configuration(path: Path | str) -> dict:
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
    """Yield (field as "room.field", whether its values are numbers) of the fields of a dataclass that take several values."""
    for f in fields(kind):
        if hasattr(f.type, "__dataclass_fields__"):
            yield from ((f"{f.name}.{inner}", numbers) for inner, numbers in _several(f.type))
        elif "tuple" in str(f.type):
            yield f.name, "float" in str(f.type)


def _rewritten(argv):
    """Return arguments as the parser takes them: in rooms, recipes as configurations, several values as one list.

    Args:
        argv: As typed.

    Returns:
        List of arguments.
    """
    from keras_gw_resnet.training.config import TrainingConfig
    from keras_gw_resnet.training.names import place_of

    sequences = dict(_several(TrainingConfig))
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
            values = [json.dumps([_number(v) for v in values] if sequences[name] else values)]
        after += [f"--{name}" if "." in name or name == "print_config" else flag(name), *values]
    return before + after


def _number(text):
    try:
        return float(text)
    except ValueError:
        return text


def parse_training(argv: Sequence[str]) -> tuple[TrainingConfig, Run]:
    """Parse the command line of a training.

    Args:
        argv: Arguments without the program's name.

    Returns:
        Tuple (TrainingConfig, Run); detectors, window and sample rate are filled in from the data.

    Raises:
        InputError: Values out of range, contradictions, no such recipe, data that cannot be read.
    """
    from keras_gw_resnet.training.config import TrainingConfig
    from keras_gw_resnet.training.data import fitted_to_data

    values = training_parser(list_recipes(), old_names(argv)).parse_args(_rewritten(argv)).as_dict()
    config = TrainingConfig.of(**{f.name: values[f.name] for f in fields(TrainingConfig)})
    run = Run(**{f.name: values[f.name] for f in fields(Run)})
    if not run.out.strip() or (run.name is not None and ("/" in run.name or not run.name.strip())):
        raise InputError("--out takes a folder, --name a name without a slash")
    return fitted_to_data(_with_statistics(config, run)), run


def old_names(argv: Sequence[str]) -> dict[str, str]:
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
