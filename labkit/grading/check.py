"""`labkit check`: what grading does with one notebook, with the public checks and without a sandbox."""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from labkit.checks import CHECK_MIME, NOT_ATTEMPTED, RIGHT, WRONG, exercise_seed, right_predictions
from labkit.course.labs import NAME, LabInfo, find_lab
from labkit.course.source import CheckCall
from labkit.errors import LabkitError
from labkit.grading.plan import CHECK, EXERCISE, SETUP, Plan, Step, make_plan, why_undefined
from labkit.grading.submission import Notebook, Unreadable, parse
from labkit.grading.template import Template, template_of_notebook
from labkit.notebook.execute import execute
from labkit.notebook.predictions import calls_in, guesses, matches

TIMEOUT = 180  # seconds a cell may take: a laptop that does something else is slow
LARGEST = 50_000_000  # bytes of a notebook that is read
MISSING = "missing"


@dataclass(frozen=True)
class ExerciseResult:
    """One exercise of a student's notebook; ``status`` is right, wrong, not attempted or missing (no such cell)."""

    id: str
    title: str
    status: str
    message: str
    points: int
    max_points: int


def check_notebook(path: str | Path, root: Path | None = None, inputs: str | None = None) -> list[ExerciseResult]:
    """Run the checks of a student's notebook as grading does; return a result for each exercise of the lab.

    The set-up cell and the checks are the lab's own; of the notebook run the exercises' cells and those that are
    carried along (`labkit.grading.plan`), and nothing else.

    Args:
        path: the notebook.
        root: the course's folder.
        inputs: the code on a page of feedback, to have the inputs of that grading again; fresh ones if None.

    Raises:
        LabkitError: if the file is no notebook, or no lab of this course.
    """
    path = Path(path)
    if inputs is not None and not re.fullmatch("[0-9a-f]{20}", inputs):
        raise LabkitError(f"--inputs: expected the code on your feedback (20 letters and digits), got {inputs!r}")
    notebook = _read(path)
    info = _lab_of(path, notebook, root)
    template = template_of_notebook(info.path)
    plan = make_plan(notebook, template)
    run = _run(info, template, plan, inputs)
    results = []
    for task in template.tasks:
        answer = plan.answers[task.key]
        status, message, points = _outcome(task.key, run, plan, template)
        notes = [answer.note] if answer.cells else []
        notes += _errors(task.key, run) if status != WRONG else []
        message = "; ".join(filter(None, [message, *notes]))
        results.append(ExerciseResult(task.key, task.title, status, message, points, task.points))
    return results


@dataclass(frozen=True)
class Guesses:
    """How many predictions a lab has, how many of them have a guess, and how many of these were right."""

    asked: int
    made: int
    right: int


def check_guesses(path: str | Path, root: Path | None = None) -> Guesses:
    """Compare a student's guesses with what came out: those in predictions.json beside the notebook, and in its cells.

    Args:
        path: the notebook.
        root: the course's folder.

    Raises:
        LabkitError: if the file is no notebook, or no lab of this course.
    """
    path = Path(path)
    notebook = _read(path)
    number = _lab_of(path, notebook, root).number
    right = {id: answer for id, answer in right_predictions().items() if id.startswith(f"{number}-")}
    made = guesses(path.parent)
    for cell in notebook.cells:
        made |= {id: guess for id, guess in calls_in(cell.source).items() if guess is not None}
    known = {id: guess for id, guess in made.items() if id in right}
    return Guesses(len(right), len(known), sum(matches(guess, right[id]) for id, guess in known.items()))


def _read(path: Path) -> Notebook:
    try:
        if not path.exists():
            raise LabkitError(f"{path}: there is no such file")
        if not path.is_file():  # a folder, or a device that never ends
            raise LabkitError(f"{path} is no file: give the notebook itself")
        if path.stat().st_size > LARGEST:
            raise LabkitError(f"{path} is larger than {LARGEST // 10**6} MB: clear its outputs and save it")
        return parse(str(path), path.read_bytes())
    except OSError as error:
        raise LabkitError(f"{path} cannot be read ({error.strerror})") from None
    except Unreadable as problem:
        raise LabkitError(problem.reason) from None


def _lab_of(path: Path, notebook: Notebook, root: Path | None) -> LabInfo:
    """Return the lab that a notebook is a copy of: as its metadata, its cells or its file name say."""
    named = NAME.match(path.stem)
    for name in (notebook.lab, named and named[0]):
        if name:
            return find_lab(str(name), root)
    raise LabkitError(f"{path} is not a lab of this course: no metadata, cell or file name says which")


@dataclass(frozen=True)
class Run:
    """An executed skeleton: a step and its cell, in order, and why each exercise or carried cell ended the kernel."""

    cells: list[tuple[Step, Any]]
    ended: dict[str, str]

    def of(self, kind: str, key: str) -> list[tuple[Step, Any]]:
        """Return the cells of one kind that belong to an exercise."""
        return [(step, cell) for step, cell in self.cells if (step.kind, step.key) == (kind, key)]


def _run(info: LabInfo, template: Template, plan: Plan, inputs: str | None) -> Run:
    """Run the lab's set-up, the plan's cells and the lab's checks; again without a cell that ended the kernel."""
    import nbformat

    checks = {task.key: [_call(call, inputs) for call in task.checks] for task in template.tasks}
    steps = [Step(SETUP, "", template.setup)]
    for step in plan.steps:  # one cell for each step of a check, so that all are judged, as in grading
        steps += [replace(step, source=call) for call in checks[step.key]] if step.kind == CHECK else [step]
    cells = [
        nbformat.v4.new_code_cell(step.source if step.source.strip() else "pass", id=f"cell-{number}")
        for number, step in enumerate(steps)
    ]
    notebook = nbformat.v4.new_notebook(cells=cells)
    ended: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="labkit-check-") as folder:
        while failed := execute(notebook, Path(folder), timeout=TIMEOUT, go_on=True):
            blame = _blame(steps[int(failed[0].removeprefix("cell-"))])
            if blame in ended or not blame:
                raise LabkitError(f"the set-up cell of {info.name} fails: {failed[1]}")
            ended[blame] = failed[1]
            for step, cell in zip(steps, cells, strict=True):
                if _blame(step) == blame:
                    cell.source = "pass"
    if broken := [output for output in cells[0].outputs if "ename" in output]:
        raise LabkitError(f"the set-up cell of {info.name} fails: {broken[0].ename}: {broken[0].evalue}")
    return Run(list(zip(steps, cells, strict=True)), ended)


def _blame(step: Step) -> str:
    """Return the exercise, or the carried cell, that a step belongs to; "" for the set-up cell."""
    return "" if step.kind == SETUP else step.key or step.name


def _call(call: CheckCall, inputs: str | None) -> str:
    seed = f", seed={exercise_seed(inputs, call.id)}" if inputs is not None else ""
    return f'check("{call.id}", {call.answer}{seed})'


def _outcome(key: str, run: Run, plan: Plan, template: Template) -> tuple[str, str, int]:
    """Return status, message and points of one exercise; status and message are of the first step that is not right."""
    answer = plan.answers[key]
    if not answer.cells:
        return MISSING, answer.note, 0
    if key in run.ended:
        return WRONG, f"the answer could not be run: {run.ended[key]}", 0
    outcomes = [_said(key, check, run, plan, template) for _, check in run.of(CHECK, key)]
    status, message, _ = next((outcome for outcome in outcomes if outcome[0] != RIGHT), outcomes[0])
    return status, message, sum(points for _, _, points in outcomes)


def _said(key: str, check: Any, run: Run, plan: Plan, template: Template) -> tuple[str, str, int]:
    """Return status, message and points that one step of a check put out."""
    said = [o.data[CHECK_MIME] for o in check.outputs if CHECK_MIME in o.get("data", {})]
    points = int(said[-1].get("points", 0)) if said else 0
    for output in check.outputs:
        if output.output_type == "error":
            name = "" if output.ename == "CheckFailed" else f"{output.ename}: "
            message = f"{name}{output.evalue}"
            hint = why_undefined(message, plan, template.setup)
            return WRONG, "; ".join([message, *_errors(key, run), *([hint] if hint else [])]), points
    status = str(said[-1].get("status", "")) if said else ""
    if status in (RIGHT, NOT_ATTEMPTED):
        return status, "", points
    return WRONG, "the check did not say anything", 0


def _errors(key: str, run: Run) -> list[str]:
    """Return what the cells of an exercise raised, each in a line."""
    found = []
    for step, cell in run.of(EXERCISE, key):
        for error in (output for output in cell.outputs if output.output_type == "error"):
            first = (str(error.evalue).splitlines() or [""])[0]
            found.append(f"{step.name} raised {error.ename}: {first}")
    return found
