"""Every known-wrong answer of every lab, handed in and graded: it earns nothing, and its hint stands in the feedback.

One submission holds one wrong answer of each exercise cell, so a lab needs as many as its longest list of mistakes. The
answers stand in labkit.checks, which no kernel that grades can import, and some call functions that are switched off
there: so they travel by value, as pickles.
"""

import base64
import html
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest
from class_of import with_answers

from labkit import checks, color
from labkit.checks import Exercise, Wrong, find_exercise
from labkit.course.labs import LabInfo, list_labs
from labkit.errors import LabkitError
from labkit.grading.gradebook import file_name
from labkit.grading.results import ExerciseGrade, Graded
from labkit.grading.template import Task, read_template
from labkit.training import simple, simple_gan

cloudpickle = pytest.importorskip("cloudpickle")
SEED = 7  # of the inputs


@dataclass(frozen=True)
class Mistake:
    """A known-wrong answer of an exercise, under the name that the check cell checks."""

    name: str
    exercise: Exercise
    wrong: Wrong


def mistakes_of(task: Task) -> list[Mistake]:
    """Return the known-wrong answers of all exercises that are checked in one cell."""
    checked = [(call.answer, find_exercise(call.id)) for call in task.checks]
    return [Mistake(name, exercise, wrong) for name, exercise in checked for wrong in exercise.wrong]


def references_of(task: Task) -> dict[str, Any]:
    """Return name -> reference of all that is checked in one cell."""
    return {call.answer: find_exercise(call.id).reference for call in task.checks}


def trains(task: Task) -> bool:
    """Return whether checking the cell takes seconds."""
    return any(find_exercise(call.id).draws == 1 for call in task.checks)


def as_cell(answers: dict[str, Any]) -> str:
    """Return the source of a cell that defines these functions and classes."""
    data = base64.b64encode(cloudpickle.dumps(answers)).decode()
    return f"import base64, cloudpickle\nglobals().update(cloudpickle.loads(base64.b64decode('{data}')))"


def submissions_of(tasks: tuple[Task, ...]) -> Iterator[dict[str, Mistake | None]]:
    """Yield exercise cell -> the mistake in it, None where it is right; a cell without more mistakes is right.

    A cell whose check trains a network is left out, not attempted, once its mistakes are used up.
    """
    for row in zip_longest(*map(mistakes_of, tasks)):
        yield {
            task.key: mistake
            for task, mistake in zip(tasks, row, strict=True)
            if mistake is not None or not trains(task)
        }


def deviation(task: Task, mistake: Mistake | None, grade: ExerciseGrade) -> str:
    """Return what is wrong with the grade of a cell, "" if it is as it should be."""
    if mistake is None:
        return "" if grade.points == task.points else f"{grade.points} of {task.points} points for a right answer"
    same = [find_exercise(call.id) for call in task.checks if call.answer == mistake.name]
    rest = task.points - mistake.exercise.points
    alone = len(same) == 1  # else the other steps of the same build may fail as well
    if grade.points > rest or (alone and grade.points < rest):
        return f"{grade.points} points, not {rest}"
    before = same[: same.index(mistake.exercise)]  # an earlier step that fails is the one that speaks
    hints = [mistake.wrong.hint, *(wrong.hint for exercise in before for wrong in exercise.wrong)]
    return "" if any(hint in grade.message for hint in hints) else f"another message: {grade.message}"


def labs() -> list[LabInfo]:
    try:
        return list_labs()
    except LabkitError:
        return []


@pytest.fixture
def by_value() -> Iterator[None]:
    """Let functions of these modules travel as they are, not as names."""
    modules = (checks, color, simple, simple_gan)
    for module in modules:
        cloudpickle.register_pickle_by_value(module)
    yield
    for module in modules:
        cloudpickle.unregister_pickle_by_value(module)


@pytest.mark.slow
@pytest.mark.timeout(7200)  # lab 06 trains three GANs for each submission
@pytest.mark.parametrize("lab", labs(), ids=lambda lab: lab.name)
def test_a_known_wrong_answer_earns_nothing_and_its_hint_is_fed_back(
    lab: LabInfo, by_value: None, tmp_path: Path, record_property: Any
) -> None:
    tasks = read_template(lab.name).tasks
    release = json.loads(lab.path.read_text(encoding="utf-8"))
    solution = {task.key: task.solution for task in tasks}
    wrong = {f"wrong-{number:02d}": row for number, row in enumerate(submissions_of(tasks))}
    cells = {"release": {}, "solution": solution}
    for student, row in wrong.items():
        cells[student] = {
            task.key: as_cell(references_of(task) | ({m.name: m.wrong.answer} if (m := row[task.key]) else {}))
            for task in tasks
            if task.key in row
        }
    (tmp_path / "in").mkdir()
    for student, answers in cells.items():
        text = json.dumps(with_answers(release, answers))
        (tmp_path / "in" / f"{student}.ipynb").write_text(text, encoding="utf-8")
    options = ["--out", str(tmp_path / "out"), "--seed", str(SEED), "--jobs", "1", "--timeout", "120"]
    subprocess.run(
        [sys.executable, "-m", "labkit", "grade", lab.number, str(tmp_path / "in"), *options], check=True, timeout=3600
    )

    def graded(student: str) -> Graded:
        path = tmp_path / "out" / "grades" / f"{file_name(student)}.json"
        return Graded.model_validate_json(path.read_text(encoding="utf-8"))

    highest = sum(task.points for task in tasks)
    assert (graded("release").score, graded("solution").score) == (0, highest), graded("solution")
    found, tried = [], 0
    for student, row in wrong.items():
        result = graded(student)
        page = html.unescape((tmp_path / "out" / "feedback" / f"{file_name(student)}.html").read_text(encoding="utf-8"))
        for task, grade in zip(tasks, result.exercises, strict=True):
            mistake = row.get(task.key)
            tried += mistake is not None
            said = deviation(task, mistake, grade) if task.key in row else ""
            said = said or ("" if grade.message in page else "the message is not on the page")
            if said:
                found.append(f"{student} {task.key}, {mistake and (mistake.exercise.id, mistake.wrong.name)}: {said}")
    count = sum(len(find_exercise(call.id).wrong) for task in tasks for call in task.checks)
    print(
        f"{lab.name}: {sum(len(task.checks) for task in tasks)} exercises, {tried} known-wrong answers, {len(cells)} "
        f"submissions, {len(found)} deviations"
    )
    assert tried == count and not found, "\n".join(found)
