"""The one exception for bad user input."""


class LabkitError(ValueError):
    """A mistake the user can mend: one line that names the value or file, what was expected and what to do.

    The command line prints the message alone and exits with status 2; in a notebook it reads as a plain error.
    """


def out_of_memory(error: Exception) -> str | None:
    """One line on an error that says that memory ran out (torch says it with a RuntimeError); None for another one."""
    if not isinstance(error, MemoryError) and "memory" not in str(error):
        return None
    reason = (str(error).splitlines() or ["nothing more is known"])[0]
    return f"out of memory ({reason}): take smaller images, batches or networks"
