"""The lab, as the instructor has it: what is asked, and what a class is graded by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from labkit.checks import all_exercises
from labkit.course.labs import course_root, find_lab, find_name, read_notebook
from labkit.course.source import CheckCall, check_calls, read_source, student_text
from labkit.errors import LabkitError


@dataclass(frozen=True)
class Task:
    """One exercise cell with its check cell.

    Attributes:
        key: the grade_id of the exercise cell.
        stub: what students get.
        solution: the instructor's answer, "" where only the students' notebook is at hand.
        name: of the function or value that is checked, "" if the check cell names none.
        checks: the calls in the check cell; those that are hidden are instructors' own.
    """

    key: str
    title: str
    points: int
    stub: str
    solution: str
    name: str
    checks: tuple[CheckCall, ...]


@dataclass(frozen=True)
class Template:
    """What is graded.

    Attributes:
        lab: its name.
        title: for people.
        setup: the set-up cell.
        tasks: the exercises, in order.
        own: the lab's other code cells, as students get them.
    """

    lab: str
    title: str
    setup: str
    tasks: tuple[Task, ...]
    own: tuple[str, ...] = ()


def read_template(lab: str, root: Path | None = None) -> Template:
    """Return the tasks of a lab, from its source where there is one (hidden tests stand there), else from its notebook.

    Raises:
        LabkitError: if there is no such lab, or a check cell holds anything but ``check(...)``.
    """
    try:
        folder = course_root(root) / "notebooks" / "src"
    except LabkitError:  # an installed package has no sources
        return template_of_notebook(find_lab(lab, root).path)
    path = folder / f"{find_name(lab, sorted(path.stem for path in folder.glob('*.py')))}.py"
    source = read_source(path, {exercise.id: exercise for exercise in all_exercises()})
    cells = [(cell.kind, cell.key, cell.text, cell.where) for cell in source.cells]
    return _template(source.name, source.title, cells)


def template_of_notebook(path: Path) -> Template:
    """Return the tasks of a built notebook, with public checks only."""
    notebook = read_notebook(path)
    cells = []
    for cell in notebook.cells:
        own = cell.metadata.get("nbgrader", {})
        if "setup" in cell.metadata.get("tags", ()):
            cells.append(("setup", "", cell.source, f"{path}: the set-up cell"))
        elif own:
            kind, key = (
                ("check", own["grade_id"].removeprefix("check-")) if own["grade"] else ("exercise", own["grade_id"])
            )
            cells.append((kind, key, cell.source, f"{path}: {own['grade_id']}"))
        elif cell.cell_type == "code":
            cells.append(("code", "", cell.source, ""))
    return _template(path.stem, str(notebook.metadata.get("labkit", {}).get("title", path.stem)), cells)


def _template(name: str, title: str, cells: Sequence[tuple[str, str, str, str]]) -> Template:
    exercises = {exercise.id: exercise for exercise in all_exercises()}
    setup = next((text for kind, _, text, _ in cells if kind == "setup"), "")
    solutions = {key: text for kind, key, text, _ in cells if kind == "exercise"}
    tasks = []
    for kind, key, text, where in cells:
        if kind != "check":
            continue
        calls, rest = check_calls(text)
        if rest:
            raise LabkitError(
                f"{where}: line {rest[0]}: only check(...) can be graded, for values are judged elsewhere"
            )
        if unknown := [call.id for call in calls if call.id not in exercises]:
            raise LabkitError(f"{where}: there is no exercise {unknown[0]!r} in labkit.checks or LABKIT_CHECKS")
        if key not in solutions:
            raise LabkitError(f"{where}: a check without its exercise")
        points = sum(exercises[call.id].points for call in calls)
        expression = calls[0].answer if calls else ""
        named = expression if expression.isidentifier() else ""
        stub = student_text(solutions[key])
        solution = solutions[key] if solutions[key] != stub else ""
        tasks.append(Task(key, exercises[key].title, points, stub, solution, named, calls))
    if not tasks:
        raise LabkitError(f"{name} has no exercises: there is nothing to grade")
    own = tuple(student_text(text) for kind, _, text, _ in cells if kind in ("code", "parameters"))
    return Template(name, title, setup, tuple(tasks), own)
