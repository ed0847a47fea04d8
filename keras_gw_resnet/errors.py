"""How the program ends when its input is at fault, and what its messages share."""

import signal
import tokenize
import zipfile
import zlib
from collections.abc import Callable

# Exit code of a process that SIGTERM ended.
TERMINATED = 128 + signal.SIGTERM
# Longest message: names and values in damaged files may have a million characters.
LONGEST = 300
# What reading a damaged or hostile file ends in, somewhere below.
MALFORMED = (
    *(OSError, EOFError, LookupError, RuntimeError, ValueError, TypeError, AttributeError, ArithmeticError),
    *(MemoryError, zipfile.BadZipFile, zlib.error),
    *(SyntaxError, tokenize.TokenError),  # of NumPy, about the headers of arrays
)


def shortened(message: str, longest: int = LONGEST) -> str:
    """Return a message as one line, without its middle where it is longer than `longest` characters."""
    text = " ".join(message.split())
    return text if len(text) <= longest else f"{text[: longest * 2 // 5]} ... {text[longest * 2 // 5 + 5 - longest :]}"


class InputError(ValueError):
    """Input that the program cannot use.

    The message is one line of `LONGEST` characters at most that names the file or the option, says what was expected
    and what came, and how to put it right. The command line prints it on stderr and exits with code 2.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(shortened(str(message)))


class UnreadableError(InputError):
    """A file that could not be looked into, which says nothing about its content: it is locked, or a filter is missing."""


class LostProcessError(InputError):
    """Another process of the same training is gone; this one cannot go on without it."""


def flag(name: str) -> str:
    """Return the command-line flag of an option."""
    return f"--{name.replace('_', '-')}"


def room_flag(room: str) -> Callable[[str], str]:
    """Return a function from a field of a room of the training's configuration to its command-line flag."""
    return lambda name: f"--{room}.{name}"


def first_line(error: BaseException) -> str:
    """Return the first line of what another library says went wrong, or the kind of error where it says nothing."""
    return shortened((str(error).strip() or type(error).__name__).splitlines()[0], 160)
