"""Types and groups of arguments that several commands share."""

import argparse
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from keras_gw_resnet.errors import InputError, shortened
from keras_gw_resnet.files import HDF5_SUFFIXES


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line.

    Attributes:
        intermixed: Whether options may stand between positional arguments, the last of which may be left out.
    """

    intermixed = False

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple:
        """Parse what is known; see argparse."""
        if not self.intermixed:
            return super().parse_known_args(args, namespace)
        self.intermixed = False  # what follows calls this again
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self.intermixed = True

    def error(self, message: str) -> NoReturn:
        """Say what is wrong in one line and exit with 2."""
        self.exit(2, f"{self.prog}: error: {shortened(message)} (see '{self.prog} --help')\n")


def positive(text: str) -> int:
    """Parse a whole number from 1."""
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{text}; expected at least 1")
    return number


def seed(text: str) -> int:
    """Parse a seed, a whole number that fits 32 bits."""
    if not 0 <= (number := int(text)) < 2**32:
        raise argparse.ArgumentTypeError(f"{text}; expected a whole number from 0 to {2**32 - 1}")
    return number


def duration(text: str) -> int:
    """Parse a duration, as 7200, 90m, 6h or 3d, into whole seconds."""
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    number, unit = (text[:-1], units[text[-1]]) if text[-1:] in units else (text, 1)
    if not (math.isfinite(seconds := float(number) * unit) and seconds >= 1):
        raise argparse.ArgumentTypeError(f"{text}; expected a time such as 7200, 90m, 6h or 3d")
    return round(seconds)


def finite(text: str) -> float:
    """Parse a finite number."""
    if not math.isfinite(number := float(text)):
        raise argparse.ArgumentTypeError(f"{text}; expected a finite number")
    return number


def path_of(text: str) -> Path:
    """Parse a path that is not empty."""
    if not text.strip():
        raise argparse.ArgumentTypeError("is empty; expected a path")
    return Path(text)


def hdf5(text: str) -> Path:
    """Parse the name of an HDF5 file."""
    if (path := path_of(text)).suffix not in HDF5_SUFFIXES:
        raise argparse.ArgumentTypeError(f"{text}; expected a name that ends in .hdf, .hdf5 or .h5")
    return path


def events_file(text: str) -> Path:
    """Parse the name of a file of events: HDF5, or a JSON object a line."""
    if (path := path_of(text)).suffix not in (*HDF5_SUFFIXES, ".jsonl"):
        raise argparse.ArgumentTypeError(
            f"{text}; expected a name that ends in .hdf, .hdf5 or .h5, with --follow in .jsonl"
        )
    return path


def rates(text: str) -> dict[str, float]:
    """Parse rates such as H1=0.3,L1=1 into a dictionary."""
    from keras_gw_resnet.simulation.glitch_bank import read_rates

    try:
        return read_rates(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


class _Detectors(argparse.Action):
    def __call__(self, parser, namespace, values, option_string=None):
        if len(set(values)) < len(values):
            raise argparse.ArgumentError(self, f"{' '.join(values)}; expected each detector once")
        setattr(namespace, self.dest, values)


def picture(text: str) -> Path:
    """Parse the name of a picture."""
    if (path := path_of(text)).suffix not in (".png", ".pdf", ".svg"):
        raise argparse.ArgumentTypeError(f"{text}; expected a name that ends in .png, .pdf or .svg")
    return path


def html(text: str) -> Path:
    """Parse the name of a page."""
    if (path := path_of(text)).suffix not in (".html", ".htm"):
        raise argparse.ArgumentTypeError(f"{text}; expected a name that ends in .html")
    return path


def add_command(
    subparsers: "argparse._SubParsersAction[Parser]", name: str, run: Callable, text: str, example: str
) -> Parser:
    """Add the parser of one command and return it."""
    parser = subparsers.add_parser(
        name,
        help=text,
        description=text,
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    return parser


def add_detectors(parser: argparse.ArgumentParser, default: Sequence[str] = ("H1", "L1")) -> None:
    """Add --detectors."""
    parser.add_argument(
        "--detectors",
        nargs="+",
        action=_Detectors,
        default=list(default),
        metavar="NAME",
        help=f"default: {' '.join(default)}",
    )


def add_overwrite(parser: argparse.ArgumentParser, what: str = "existing output files") -> None:
    """Add --overwrite, also known as --force."""
    parser.add_argument("--overwrite", "--force", action="store_true", help=f"replace {what}")


def add_scan(parser: argparse._ActionsContainer) -> None:
    """Add --precision and --exact."""
    parser.add_argument(
        "--precision",
        choices=["float32", "bfloat16"],
        default="float32",
        help="of the scan's arithmetic; bfloat16 pays where the processor has it (default: float32)",
    )
    parser.add_argument(
        "--exact",
        action="store_true",
        help="score networks window by window whose scan would be approximate: slow",
    )


def gate(text: str) -> float:
    """Parse the limit of a gate: 0 for none, or at least 10 standard deviations."""
    from keras_gw_resnet.strain.gating import require_gate

    try:
        return require_gate(finite(text))
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def add_gate(parser: argparse.ArgumentParser) -> None:
    """Add --gate."""
    parser.add_argument(
        "--gate",
        type=gate,
        metavar="SIGMA",
        help="taper out strain around whitened samples beyond so many standard deviations, 0: none "
        "(default: what the network's card says, 50 where it says nothing)",
    )


def add_consistency(parser: argparse._ActionsContainer) -> None:
    """Add --consistency."""
    parser.add_argument(
        "--consistency",
        action="store_true",
        help="test how well the strain fits each template of the matched filter, so that most glitches count for little; the "
        "thresholds in the card, and the signals behind p astro, are those without. A network that was saved with it, as those that "
        "ship, is searched so anyway",
    )


def add_quality(parser: argparse.ArgumentParser) -> None:
    """Add --quality."""
    parser.add_argument(
        "--quality",
        nargs="+",
        default=[],
        metavar="FLAG",
        help="use strain with these GWOSC flags only, for example CBC_CAT1 NO_CBC_HW_INJ",
    )
    add_channel(parser)


def add_channel(parser: argparse.ArgumentParser) -> None:
    """Add --channel."""
    parser.add_argument(
        "--channel",
        nargs="+",
        default=[],
        metavar="H1=NAME",
        help="which channel or dataset is a detector's strain, where files hold several",
    )


def add_strict(parser: argparse.ArgumentParser) -> None:
    """Add --strict."""
    parser.add_argument("--strict", action="store_true", help="refuse data that the network has seen in training")
