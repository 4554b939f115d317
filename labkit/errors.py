"""Errors that a user can mend, told in one line, and the checks that raise them where a value enters."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager


class LabkitError(ValueError):
    """A mistake the user can mend: one line that names the value or file, what was expected and what to do.

    The command line prints the message alone and exits with status 2; in a notebook it reads as a plain error. Control
    characters, which a file or a name may bring along, are shown as "?".
    """

    def __str__(self) -> str:
        """Return the message in characters that every terminal can show."""
        return "".join(c if c.isprintable() or c == "\n" else "?" for c in super().__str__())


class LabkitTypeError(LabkitError, TypeError):
    """The same for a value of the wrong type; it is a TypeError too, as Python programmers expect."""


class SomeFailed(LabkitError):
    """Some of many items failed; everything that could be done was done.

    The command line lists them and exits with status 1.
    """

    def __init__(self, failures: Mapping[str, str], total: int, done: Sequence[str] = ()) -> None:
        """Collect what failed.

        Args:
            failures: name of each item that failed -> why, in one line.
            total: number of items.
            done: what was made of the others, a line each.
        """
        self.done = list(done)
        self.failures = dict(failures)
        self.total = total
        several = f"{len(self.failures)} of {total} failed: " if total > 1 else ""
        super().__init__(several + "; ".join(self.lines))

    @property
    def lines(self) -> list[str]:
        """Each failure as one line that names the item."""
        return [reason if name in reason else f"{name}: {reason}" for name, reason in self.failures.items()]


@contextmanager
def noting(failures: dict[str, str], name: str) -> Iterator[None]:
    """Run the block; if it fails for a reason that `in_words` knows, note this in ``failures[name]`` and go on."""
    try:
        yield
    except Exception as error:
        reason = in_words(error)
        if reason is None:
            raise
        failures[name] = reason


def in_words(error: BaseException) -> str | None:
    """Return one line on an error that is the user's or the machine's; None for one that is a fault of the program."""
    if isinstance(error, (LabkitError, OSError)):  # OSError: a full disk, a folder without permission, a lost network
        return one_line(error)
    if isinstance(error, (MemoryError, RuntimeError)):  # torch says that memory ran out with a RuntimeError
        return out_of_memory(error)
    return None


def one_line(error: object) -> str:
    """Return the text of an error as one line, the name of its class if it has none."""
    return " ".join(str(error).split()) or type(error).__name__


def out_of_memory(error: BaseException) -> str | None:
    """Return one line on an error that says that memory ran out (torch raises a RuntimeError); None for another one."""
    if not isinstance(error, MemoryError) and "memory" not in str(error):
        return None
    reason = (str(error).splitlines() or ["nothing more is known"])[0]
    return f"out of memory ({reason}): take smaller images, batches or networks"


def check_integer(name: str, value: object, low: int | None = None, high: int | None = None) -> int:
    """Return ``value`` as an int if it is a whole number from ``low`` to ``high``.

    Args:
        name: of the argument, for the message.
        value: an int or an integer scalar of numpy or torch.
        low: the smallest number allowed; None: no limit.
        high: the largest number allowed; None: no limit.

    Raises:
        LabkitTypeError: a bool, a float, a text or anything else that is no integer.
        LabkitError: a number out of range.
    """
    expected = f"a whole number{_range(low, high)}"
    if _is_bool(value):
        raise LabkitTypeError(f"{name} must be {expected}. Got {value!r}")
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise LabkitTypeError(f"{name} must be {expected}. Got {value!r} ({type(value).__name__})") from None
    if (low is not None and number < low) or (high is not None and number > high):
        raise LabkitError(f"{name} must be {expected}. Got {number}")
    return number


def check_number(
    name: str, value: object, low: float | None = None, high: float | None = None, above: float | None = None
) -> float:
    """Return ``value`` as a float if it is a finite number in the range.

    Args:
        name: of the argument, for the message.
        value: an int, a float or a scalar of numpy or torch.
        low: the smallest number allowed; None: no limit.
        high: the largest number allowed; None: no limit.
        above: the number must be greater than this; None: no limit.

    Raises:
        LabkitTypeError: a bool, a text or anything else that is no number.
        LabkitError: NaN, infinity or a number out of range.
    """
    expected = f"a number{_range(low, high, above)}"
    if _is_bool(value) or isinstance(value, (str, bytes)):
        raise LabkitTypeError(f"{name} must be {expected}. Got {value!r}")
    try:
        number = float(value)  # type: ignore[arg-type]
    except OverflowError:  # an int that no float can hold
        number = math.inf
    except (TypeError, ValueError, RuntimeError):  # torch raises RuntimeError for a tensor of several numbers
        raise LabkitTypeError(f"{name} must be {expected}. Got {value!r} ({type(value).__name__})") from None
    outside = (low is not None and number < low) or (high is not None and number > high)
    if not math.isfinite(number) or outside or (above is not None and number <= above):
        raise LabkitError(f"{name} must be {expected}. Got {number:g}")
    return number


def check_seed(seed: object) -> int:
    """Return a seed of random numbers as an int: every generator takes 0 to 2**32 - 1.

    Raises:
        LabkitTypeError: no whole number.
        LabkitError: out of range.
    """
    return check_integer("seed", seed, low=0, high=2**32 - 1)


def _is_bool(value: object) -> bool:
    """Whether a value is True or False, of Python, numpy or torch; Python would take it for 1 or 0."""
    return isinstance(value, bool) or str(getattr(value, "dtype", "")) in ("bool", "torch.bool")


def _range(low: float | None, high: float | None, above: float | None = None) -> str:
    """Return the words for a range: " from 1 to 9", " of 1 or more", " above 0"."""
    if above is not None:
        return f" above {above:g}" + (f", up to {high:.10g}" if high is not None else "")
    if low is not None and high is not None:
        return f" from {low:.10g} to {high:.10g}"
    if low is not None:
        return f" of {low:.10g} or more"
    return f" of at most {high:.10g}" if high is not None else ""
