"""The one exception that a user's input can cause."""


class InputError(ValueError):
    """Input that the program cannot use.

    The message is one line that names the file or the option, says what was expected and what came,
    and how to put it right. The command line prints it on stderr and exits with code 2.
    """


def first_line(error):
    """Return the first line of what another library says went wrong, or the kind of error where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
