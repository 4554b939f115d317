"""Text for a terminal, whatever its encoding: no write may fail for its characters, and no text is taken for markup."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console


def show_any_character() -> None:
    r"""Let stdout and stderr write what their encoding does not have as an escape (\u4e2d) instead of failing.

    File names may hold any character (under cp1252, Chinese ones cannot be shown) and even bytes that are no text.
    Every entry that prints calls this; a second call changes nothing. A notebook's streams take all text as they are.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors != "backslashreplace":
            stream.reconfigure(errors="backslashreplace")


def say(console: Console, text: str) -> None:
    """Print one line to a rich console as it is: neither [brackets] nor :names: in it mean anything."""
    from rich.text import Text

    console.print(Text(text), soft_wrap=True)


class Lines:
    """Report the progress of several jobs in plain lines, for a file or a log."""

    def __init__(self, console: Console) -> None:
        """Print on a rich console."""
        self.console = console

    def say(self, text: str) -> None:
        """Print one line."""
        say(self.console, text)

    def start(self, key: str, title: str) -> None:
        """Note that a job began."""
        self.say(f"{title} ...")

    def step(self, key: str, number: int, total: int | None) -> None:
        """Note that a job is at a step (of so many, if that is known)."""

    def end(self, key: str, line: str) -> None:
        """Note that a job ended."""
        self.say(line)


class Live(Lines):
    """Report progress with a line for each job that ended, and a moving one for each job at hand."""

    def __init__(self, console: Console, progress: Any) -> None:
        """Print on a rich console that shows a rich progress display."""
        super().__init__(console)
        self.progress = progress
        self.tasks: dict[str, Any] = {}

    def start(self, key: str, title: str) -> None:
        """Show a moving line; that of an earlier try goes."""
        if key in self.tasks:
            self.progress.remove_task(self.tasks[key])
        self.tasks[key] = self.progress.add_task(title, total=None)

    def step(self, key: str, number: int, total: int | None) -> None:
        """Move the line."""
        if key in self.tasks:
            self.progress.update(self.tasks[key], completed=number, total=total)

    def end(self, key: str, line: str) -> None:
        """Replace the moving line by one that stays."""
        if key in self.tasks:
            self.progress.remove_task(self.tasks.pop(key))
        self.say(line)


@contextmanager
def progress(console: Console, unit: str) -> Iterator[Lines]:
    """Yield what shows the progress of several jobs: live in a terminal, else in plain lines.

    Args:
        console: where to print.
        unit: what a job's steps are, in one word.
    """
    if not console.is_terminal:
        yield Lines(console)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn(unit),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as shown:
        yield Live(console, shown)
