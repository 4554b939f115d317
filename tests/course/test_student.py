"""start and check: a working copy that survives, and what is done, right and wrong in it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from tiny_lab import tiny_course

from labkit import LabkitError
from labkit.course.build import make_notebook, read_source
from labkit.course.labs import find_lab, list_labs
from labkit.course.student import start
from labkit.grading.check import check_notebook

ADDRESS = "https://git.example.org/a/b"


@pytest.fixture
def course(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tiny course with a notebook that was made and not executed (which none of this needs)."""
    checks = tiny_course(tmp_path)
    monkeypatch.setenv("LABKIT_CHECKS", str(checks))
    from labkit.checks import all_exercises

    exercises = {exercise.id: exercise for exercise in all_exercises()}
    source = read_source(tmp_path / "notebooks" / "src" / "90_tiny.py", exercises)
    nbformat.write(make_notebook(source, ADDRESS, solution=False), tmp_path / "notebooks" / "90_tiny.ipynb")
    return tmp_path


def edited(course: Path, edit: Callable[[Any], None], name: str = "mine.ipynb") -> Path:
    notebook = nbformat.read(course / "notebooks" / "90_tiny.ipynb", as_version=4)
    edit(notebook)
    path = course / name
    path.write_text(nbformat.writes(notebook))
    return path


def answer(key: str, text: str) -> Callable[[Any], None]:
    def edit(notebook: Any) -> None:
        [cell] = [cell for cell in notebook.cells if cell.id == f"exercise-{key}"]
        cell.source = text

    return edit


RIGHT = "def double(x):\n    return 2 * x"
TOTAL = "def total(values):\n    return values.sum()"


# start


def test_start_copies_and_never_overwrites(course: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(course)
    path = start("90")
    assert path == Path("work/90_tiny.ipynb")
    path.write_text("mine")
    with pytest.raises(LabkitError, match=r"work/90_tiny\.ipynb is there already.*--fresh"):
        start("90_tiny")
    assert path.read_text() == "mine"
    for number in (1, 2):
        assert start("90", fresh=True) == path
        assert len(path.read_text()) > 100
        assert Path(f"work/90_tiny.{number}.ipynb").exists()
    assert Path("work/90_tiny.1.ipynb").read_text() == "mine"
    with pytest.raises(LabkitError, match="there is no lab '91'"):
        start("91")
    with pytest.raises(LabkitError, match=r"90_tiny\.ipynb is a file; --out must name a folder"):
        start("90", path)


def test_labs_are_found_by_number_name_and_path(course: Path) -> None:
    [lab] = list_labs(course)
    assert (lab.name, lab.number, lab.title) == ("90_tiny", "90", "A tiny lab")
    assert lab.solution == course / "notebooks" / "solutions" / "90_tiny.ipynb"
    for name in ("90", "90_tiny", "work/90_tiny.ipynb"):
        assert find_lab(name, course) == lab
    with pytest.raises(LabkitError, match=r"no lab '90_tinny'; did you mean 90_tiny\?"):
        find_lab("90_tinny", course)
    with pytest.raises(LabkitError, match="no labs in"):
        list_labs(course / "nowhere")
    (course / "notebooks" / "91_bad.ipynb").write_text("{")
    assert [lab.title for lab in list_labs(course)] == ["A tiny lab", "bad"]  # a damaged lab hides no other one


# check


def statuses(path: Path, course: Path) -> dict[str, str]:
    return {result.id: result.status for result in check_notebook(path, course)}


def test_right_wrong_and_not_attempted(course: Path) -> None:
    path = edited(course, answer("90-double", "def double(x):\n    return x * x"))
    first, second = check_notebook(path, course)
    assert (first.status, first.points, first.max_points) == ("wrong", 0, 2)
    assert "twice, not squared" in first.message
    assert (second.status, second.points, second.message) == ("not attempted", 0, "")


def test_the_kernel_is_this_python_whatever_the_kernelspec_says(course: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = course / "kernels" / "python3" / "kernel.json"
    spec.parent.mkdir(parents=True)
    spec.write_text('{"argv": ["/bin/false"], "display_name": "x", "language": "python"}')
    monkeypatch.setenv("JUPYTER_PATH", str(course))
    assert statuses(edited(course, answer("90-double", RIGHT)), course)["90-double"] == "right"


def test_edited_checks_and_experiments_do_not_count(course: Path) -> None:
    def edit(notebook: Any) -> None:
        for cell in notebook.cells:
            if cell.id.startswith("check-") or (cell.cell_type == "code" and "begin(" in cell.source):
                cell.source = "raise SystemExit"

    assert statuses(edited(course, edit), course) == {"90-double": "not attempted", "90-total": "not attempted"}


def test_cells_are_found_without_metadata_and_ids(course: Path) -> None:
    def edit(notebook: Any) -> None:
        answer("90-double", RIGHT)(notebook)
        for number, cell in enumerate(notebook.cells):
            cell.metadata, cell.id = {}, f"c{number}"
        notebook.metadata.pop("labkit")

    first, second = check_notebook(edited(course, edit), course)
    assert (first.status, first.points, first.title) == ("right", 2, "Twice a number")
    assert second.status == "not attempted"


def test_a_missing_exercise_is_missing_and_costs_no_other(course: Path) -> None:
    def edit(notebook: Any) -> None:
        answer("90-total", TOTAL)(notebook)
        notebook.cells = [cell for cell in notebook.cells if cell.id != "exercise-90-double"]

    first, second = check_notebook(edited(course, edit), course)
    assert first.status == "missing" and "fresh copy" in first.message
    assert second.status == "right"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def double(x) return x", "SyntaxError"),
        ("import os\nos._exit(3)", "the kernel died"),
        ("%nothing", "UsageError|did not run|NameError"),
        ("def double(x):\n    return np.double(x)", "NameError"),
    ],
)
def test_a_cell_that_fails_costs_no_other(course: Path, text: str, message: str) -> None:
    import re

    def edit(notebook: Any) -> None:
        answer("90-double", text)(notebook)
        answer("90-total", TOTAL)(notebook)

    first, second = check_notebook(edited(course, edit), course)
    assert first.status == "wrong" and re.search(message, first.message)
    assert second.status == "right"


@pytest.mark.slow
def test_an_endless_answer_is_stopped(course: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from labkit.grading import check

    monkeypatch.setattr(check, "TIMEOUT", 15)  # the set-up cell must have its time on a busy machine

    def edit(notebook: Any) -> None:
        answer("90-double", "def double(x):\n    while True:\n        pass")(notebook)
        answer("90-total", TOTAL)(notebook)

    first, second = check_notebook(edited(course, edit), course)
    assert first.status == "wrong" and "took more than 15 s" in first.message
    assert second.status == "right"


def test_a_broken_setup_of_the_students_costs_nothing(course: Path) -> None:
    def edit(notebook: Any) -> None:
        [cell] = [cell for cell in notebook.cells if cell.id == "setup"]
        cell.source = "import os\nos._exit(1)"
        answer("90-double", RIGHT)(notebook)

    assert statuses(edited(course, edit), course)["90-double"] == "right"


def test_what_is_no_notebook_or_no_lab(course: Path) -> None:
    bad = course / "bad.ipynb"
    for content, message in (
        ("{", "not a readable notebook"),
        ("[]", "it has no cells"),
        ("{}", "it has no cells"),
        ('{"cells": 3}', "it has no cells"),
        (json.dumps(nbformat.v4.new_notebook()), "not a lab of this course"),
        (json.dumps(nbformat.v4.new_notebook(metadata={"labkit": {"lab": "77_x"}})), "there is no lab '77_x'"),
    ):
        bad.write_text(content)
        with pytest.raises(LabkitError, match=message):
            check_notebook(bad, course)
    bad.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(LabkitError, match="not a readable notebook"):
        check_notebook(bad, course)
    with pytest.raises(LabkitError, match="no such file"):
        check_notebook(course / "nothing.ipynb", course)


def test_of_a_copied_cell_the_last_counts(course: Path) -> None:
    def copy(notebook: Any) -> None:
        [cell] = [cell for cell in notebook.cells if cell.id == "exercise-90-double"]
        again = nbformat.from_dict({**cell, "id": "copied", "source": RIGHT})
        notebook.cells.insert(notebook.cells.index(cell) + 1, again)

    assert statuses(edited(course, copy), course)["90-double"] == "right"


def test_the_set_up_is_the_labs_own_as_in_grading(course: Path) -> None:
    def spoil(notebook: Any) -> None:
        [cell] = [cell for cell in notebook.cells if cell.id == "setup"]
        cell.source += "\nimport numpy as np\nimport no_such_package"
        answer("90-double", "def double(x):\n    return np.double(x)")(notebook)

    first, second = check_notebook(edited(course, spoil), course)
    assert first.status == "wrong" and "NameError: name 'np'" in first.message
    assert second.status == "not attempted"


def test_a_set_up_that_fails_is_said_once_and_not_as_wrong_answers(course: Path) -> None:
    path = edited(course, lambda notebook: None)
    lab = course / "notebooks" / "90_tiny.ipynb"
    lab.write_text(lab.read_text().replace("import torch", "import no_such_package", 1))
    with pytest.raises(LabkitError, match="set-up cell of 90_tiny fails: ModuleNotFoundError: No module named"):
        check_notebook(path, course)


def test_every_step_is_judged_and_points_are_added(course: Path) -> None:
    lab = course / "notebooks" / "90_tiny.ipynb"
    notebook = nbformat.read(lab, as_version=4)
    [check] = [cell for cell in notebook.cells if cell.id == "check-90-double"]
    check.source += '\ncheck("90-total", lambda values: double(values.sum()))\ncheck("90-double", double)'
    nbformat.write(notebook, lab)
    first, _ = check_notebook(edited(course, answer("90-double", RIGHT)), course)
    assert (first.status, first.points, first.max_points) == ("wrong", 4, 5) and "The sum is not right" in first.message


def test_guesses_are_counted(course: Path) -> None:
    from labkit.grading.check import Guesses, check_guesses

    with open(course / "checks.py", "a") as file:
        file.write('\nPREDICTIONS = {"90-letter": "b", "90-number": (24.0, 25.0), "90-none": "a", "91-other": "a"}\n')
    from labkit.checks import load_file

    load_file.cache_clear()

    def guess(notebook: Any) -> None:
        cell = nbformat.v4.new_code_cell('predict("90-letter", "?", ["x", "y"], guess="b")')
        notebook.cells.append(cell)

    path = edited(course, guess)
    assert check_guesses(path, course) == Guesses(asked=3, made=1, right=1)
    (course / "predictions.json").write_text('{"90-number": 24.5, "90-letter": "a", "91-other": "a"}')
    assert check_guesses(path, course) == Guesses(asked=3, made=2, right=2)  # what stands in the cell counts
    (course / "predictions.json").write_text('{"90-number": "many"}')
    assert check_guesses(path, course) == Guesses(asked=3, made=2, right=1)


def test_metadata_of_another_kind_do_no_harm(course: Path) -> None:
    def spoil(notebook: Any) -> None:
        notebook.metadata.labkit = 3
        for cell in notebook.cells:
            if "nbgrader" in cell.metadata:
                cell.metadata.nbgrader = 3

    assert set(statuses(edited(course, spoil), course).values()) == {"not attempted"}


def test_what_never_ends_is_not_read(course: Path) -> None:
    for path in (Path("/dev/zero"), course):
        if path.exists():
            with pytest.raises(LabkitError, match="is no file: give the notebook itself"):
                check_notebook(path, course)


@pytest.mark.parametrize("name", ["\u0661", "\u00b2", "\u096f0"])  # isdigit() is true of all of these
def test_only_plain_digits_number_a_lab(course: Path, name: str) -> None:
    with pytest.raises(LabkitError, match="there is no lab"):
        find_lab(name, course)
