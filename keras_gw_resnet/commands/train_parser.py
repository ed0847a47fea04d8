"""The parser of 'train': the options of `TrainingConfig` and `Run` as flags, their help, and errors in one line."""

from __future__ import annotations

import argparse
import json
import re
import shutil
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from keras_gw_resnet.errors import shortened

if TYPE_CHECKING:
    import jsonargparse

TEXT = "train a network on strain files and a waveform bank, or on labelled windows"
USAGE = "keras-gw-resnet train --model MODEL --data DATA --out OUT [--ROOM.OPTION VALUE ...]"
EXAMPLE = """short forms, which need no room:
  --model, --data, --steps-per-epoch, --batch-size, --learning-rate, --leave-out, --recolour-share
  --options.NAME for --network.options.NAME; --width, --kernel-size, --stem-kernel-size and --dropout for --options.width ...
Hyphens and underscores are the same. Names without a room as they were before (--snr-range) work for one release more.
The same command goes on with a run that was interrupted.

example:
  keras-gw-resnet train --recipe resnet --width 16 --data data/train --out runs/first --epochs 10 --signals.snr_range 5 12"""


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


def training_parser(recipes: Sequence[str], typed: Sequence[str] | Mapping = ()) -> jsonargparse.ArgumentParser:
    """Return the parser; `recipes` are the names that ship, `typed` the old names that its messages speak in."""
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
            if action.help is None or action.default in (None, argparse.SUPPRESS) or action.required:
                return action.help or ""
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
    parser.add_argument("--recipe", help=f"a configuration that ships with the package: {', '.join(recipes)}")
    parser.add_class_arguments(Run)
    parser.add_class_arguments(TrainingConfig)
    for room in (*ROOMS, "data.whitening"):  # which may be read from a file of its own
        parser._option_string_actions[f"--{room}"].help = argparse.SUPPRESS
    return parser
