"""How the program ends when its input is at fault, and what its messages share."""

import signal

# Exit code of a process that SIGTERM ended.
TERMINATED = 128 + signal.SIGTERM


class InputError(ValueError):
    """Input that the program cannot use.

    The message is one line that names the file or the option, says what was expected and what came,
    and how to put it right. The command line prints it on stderr and exits with code 2.
    """


class LostProcessError(InputError):
    """Another process of the same training is gone; this one cannot go on without it."""


def flag(name):
    """Return the command-line flag of an option."""
    return f"--{name.replace('_', '-')}"


def room_flag(room):
    """Return a function from a field of a room of the training's configuration to its command-line flag."""
    return lambda name: f"--{room}.{name}"


def first_line(error):
    """Return the first line of what another library says went wrong, or the kind of error where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
