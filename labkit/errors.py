"""The one exception for bad user input."""


class LabkitError(ValueError):
    """A mistake the user can mend: one line that names the value or file, what was expected and what to do.

    The command line prints the message alone and exits with status 2; in a notebook it reads as a plain error.
    """
