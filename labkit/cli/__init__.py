"""The command line. Thin: it parses, calls the library and prints; a module an area.

Imports stand inside the commands, so that `labkit --help` does not wait for torch.
"""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Sequence

import typer

from labkit import __version__
from labkit.cli import bench, course, photos, study, train  # noqa: F401 (each adds its commands, in this order)
from labkit.cli.shared import app
from labkit.errors import SomeFailed, in_words
from labkit.printing import show_any_character

PAIR_OPTIONS = ("-p", "--parameter", "--sweep")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line.

    A mistake of the user's is one line on stderr and exit status 2; where some of many items failed, the status is 1.

    Args:
        arguments: without the program's name; None: those of this process.
    """
    show_any_character()
    # What Pillow finds odd in a picture is no news; that a picture cannot be read is said in labkit's words.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    logging.getLogger("PIL").setLevel(logging.CRITICAL)
    try:
        app(args=_join_pairs(sys.argv[1:] if arguments is None else arguments))
    except SomeFailed as error:
        for line in error.done:
            print(line)
        _tell_failures(error)
        sys.exit(1)
    except Exception as error:
        reason = in_words(error)
        if reason is None:
            raise
        print(f"labkit: {reason}", file=sys.stderr)
        sys.exit(2)


def _tell_failures(error: SomeFailed) -> None:
    """Print what failed on stderr: one item in one line, several as a list."""
    if error.total == 1:
        print(f"labkit: {error.lines[0]}", file=sys.stderr)
        return
    print(f"labkit: {len(error.failures)} of {error.total} failed:", file=sys.stderr)
    for line in error.lines:
        print(f"  {line}", file=sys.stderr)


def _join_pairs(arguments: Sequence[str]) -> list[str]:
    """Return `-p NAME VALUE` as `-p NAME=VALUE`, for typer has no repeatable option of two values."""
    joined: list[str] = []
    rest = list(arguments)
    while rest:
        joined.append(rest.pop(0))
        takes_two = joined[0] == "run" and joined[-1] in PAIR_OPTIONS and len(rest) > 1
        if takes_two and rest[0].isidentifier() and not rest[1].startswith("--"):  # the next option is no value
            joined.append(f"{rest.pop(0)}={rest.pop(0)}")
    return joined


@app.command()
def doctor() -> None:
    """Say what machine, versions, devices and data sets there are, and what to do about what is missing."""
    from rich.console import Console

    from labkit.doctor import examine, show

    findings = examine()
    show(findings, Console())
    if any(finding.state in ("old", "missing") for finding in findings):
        raise typer.Exit(1)


@app.command()
def version() -> None:
    """Print the version."""
    print(f"labkit {__version__}")
