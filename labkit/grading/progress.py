"""How far the grading of a class is, on a terminal or in a log."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console

from labkit.grading.results import Graded
from labkit.printing import say


class Lines:
    """Progress in plain lines, for a file or a log."""

    def __init__(self, console: Console, total: int, before: dict[str, Graded]):
        """Say how many of the ``total`` were graded before."""
        self.console, self.total = console, total
        self.count = len(before)
        self.statuses = Counter(graded.status for graded in before.values())
        if before:
            self.say(f"{len(before)} of {total} were graded before")

    def say(self, text: str) -> None:
        """Print a line as it is."""
        say(self.console, text)

    def now(self, students: Sequence[str]) -> None:
        """Say who is being graded."""

    def done(self, graded: Graded) -> None:
        """Count one more."""
        self.count += 1
        self.statuses[graded.status] += 1
        self.say(f"[{self.count}/{self.total}] {_line(graded)}")


class LiveTable(Lines):
    """A table that moves: how many have which status, who is being graded, who was graded last."""

    def __init__(self, console: Console, total: int, before: dict[str, Graded], live: Any):
        """Draw the table on ``live``."""
        self.live, self.last, self.running = live, "", ""
        self.began = time.monotonic()
        self.fresh = 0
        super().__init__(console, total, before)
        self._draw()

    def now(self, students: Sequence[str]) -> None:
        """Show who is being graded."""
        self.running = ", ".join(students)
        self._draw()

    def done(self, graded: Graded) -> None:
        """Count one more, and show it."""
        self.count += 1
        self.fresh += 1
        self.statuses[graded.status] += 1
        self.last = _line(graded)
        self._draw()

    def _draw(self) -> None:
        from rich.table import Table
        from rich.text import Text

        table = Table(show_header=False, box=None)
        left = (time.monotonic() - self.began) / self.fresh * (self.total - self.count) if self.fresh else 0
        counted = ", ".join(f"{status} {count}" for status, count in self.statuses.most_common())
        rows = {"done": f"{self.count} of {self.total}" + (f", about {left:.0f} s left" if left else "")}
        rows |= {"statuses": counted, "last": self.last, "running": self.running}
        for name, text in rows.items():
            table.add_row(Text(name, style="bold"), Text(text, overflow="ellipsis", no_wrap=True))
        self.live.update(table)


def _line(graded: Graded) -> str:
    highest = sum(exercise.max_points for exercise in graded.exercises)
    score = f"{graded.score} of {highest}" if graded.score is not None else "no score"
    reason = f": {graded.reason}" if graded.status != "graded" else ""
    return f"{graded.student}  {graded.status}  {score}{reason}".splitlines()[0][:300]


@contextmanager
def display(console: Console, total: int, before: dict[str, Graded]) -> Iterator[Lines]:
    """Show progress on a console while a block runs: a table that moves, or lines where it is no terminal."""
    if not console.is_terminal:
        yield Lines(console, total, before)
        return
    from rich.live import Live

    with Live(console=console, refresh_per_second=4) as live:
        yield LiveTable(console, total, before, live)
