"""The one exception for bad input."""


class InputError(ValueError):
    """Input that cannot be used: names the file or argument, what it held and what is expected.

    The command line prints it as one line and exits with status 2.
    """


class ServerFault(InputError):
    """A server whose log-probabilities cannot be used, or that does not answer. The line says what to change on the server.

    The command line exits with status 1.
    """
