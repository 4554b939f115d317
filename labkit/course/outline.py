"""What a lab asks of a student: its exercises with difficulty and minutes, and its predictions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from labkit.checks import Exercise, find_exercise
from labkit.course.labs import read_notebook
from labkit.course.source import check_calls
from labkit.notebook.predictions import calls_in


@dataclass(frozen=True)
class Asked:
    """Describe an exercise cell: its id, and the exercises that its check cell judges, one a step."""

    key: str
    steps: tuple[Exercise, ...]

    @property
    def first(self) -> Exercise:
        """Return the first step, whose title, level and kind are the cell's."""
        return self.steps[0]

    @property
    def minutes(self) -> int:
        """Return the minutes of all steps."""
        return sum(step.minutes for step in self.steps)


@dataclass(frozen=True)
class Outline:
    """Hold the exercises and the ids of the predictions of a lab, in order."""

    exercises: tuple[Asked, ...]
    predictions: tuple[str, ...]

    def minutes(self, core: bool) -> int:
        """Return the minutes of the core exercises, or of the extra ones."""
        return sum(asked.minutes for asked in self.exercises if asked.first.core == core)


def outline(path: Path) -> Outline:
    """Return what a built notebook asks.

    Raises:
        LabkitError: if it cannot be read, or an exercise is unknown.
    """
    exercises: list[Asked] = []
    predictions: list[str] = []
    for cell in read_notebook(path).cells:
        if cell.cell_type != "code":
            continue
        if cell.id.startswith("check-"):
            ids = [call.id for call in check_calls(cell.source)[0] if not call.hidden]
            exercises.append(Asked(cell.id.removeprefix("check-"), tuple(map(find_exercise, ids))))
        predictions += calls_in(cell.source)
    return Outline(tuple(exercises), tuple(predictions))
