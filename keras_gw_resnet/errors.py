"""The one exception that a user's input can cause."""


class InputError(ValueError):
    """Input that the program cannot use.

    The message is one line that names the file or the option, says what was expected and what came,
    and how to put it right. The command line prints it on stderr and exits with code 2.
    """
