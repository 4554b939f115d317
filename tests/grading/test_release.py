"""Student copies: complete, without solutions and hidden tests, and refused when they would leak."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from grading_lab import SOURCE

from labkit import LabkitError
from labkit.checks import all_exercises
from labkit.course.build import make_notebook, read_source
from labkit.course.release import release

ADDRESS = "https://git.example.org/a/b"


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Write the lab (with an edit) and its notebooks as `labkit build` would, without executing them."""

    def write(edit: Callable[[Any], None] | None = None, source: str = SOURCE) -> Path:
        from grading_lab import grading_course

        root = tmp_path / "course"
        if not root.exists():
            monkeypatch.setenv("LABKIT_CHECKS", grading_course(root))
        path = root / "notebooks" / "src" / "91_graded.py"
        path.write_text(source)
        read = read_source(path, {exercise.id: exercise for exercise in all_exercises()})
        (root / "notebooks" / "solutions").mkdir(exist_ok=True)
        for solution in (False, True):
            notebook = make_notebook(read, ADDRESS, solution)
            if solution:
                for number, cell in enumerate(c for c in notebook.cells if c.cell_type == "code"):
                    cell.execution_count = number + 1
                cells = {cell.id: cell for cell in notebook.cells}
                said = nbformat.v4.new_output("stream", text="the answer is forty-two\n")
                cells["exercise-91-double"].outputs = [said]
            elif edit:
                edit(notebook)
            folder = root / "notebooks" / "solutions" if solution else root / "notebooks"
            nbformat.write(notebook, folder / "91_graded.ipynb")
        return root

    return write


def test_the_zip_holds_the_student_copy_and_public_checks(built: Callable[..., Path], tmp_path: Path) -> None:
    root = built()
    [path] = release(["91"], tmp_path / "out", root)
    first = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == ["91_graded/91_graded.ipynb", "91_graded/public.py"]
        text = archive.read("91_graded/91_graded.ipynb").decode()
    assert (
        text
        == (root / "notebooks" / "91_graded.ipynb").read_text()
        == (tmp_path / "out" / "91_graded.ipynb").read_text()
    )
    assert "twice_of_it" not in text and "double-hidden" not in text and "SOLUTION" not in text
    assert json.loads(text)["metadata"]["labkit"]["copy"] == "student"
    release(["91"], tmp_path / "out", root)
    assert path.read_bytes() == first


def shows(text: str, cell_id: str = "check-91-total") -> Callable[[Any], None]:
    def edit(notebook: Any) -> None:
        [cell] = [cell for cell in notebook.cells if cell.id == cell_id]
        cell.outputs = [nbformat.v4.new_output("stream", text=text)]

    return edit


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (shows("### BEGIN HIDDEN TESTS\n"), "marker 'BEGIN HIDDEN TESTS'"),
        (shows("    twice_of_it = 2 * x  # why not\n"), "the solution of 91-double"),
        (shows('check("91-double-hidden", double)'), "the hidden tests of 91-double"),
        (shows("the answer is forty-two"), "an output of the solution"),
        (shows("nothing secret", "check-91-both"), "holds outputs, which only the opening figure may have"),
        (lambda notebook: notebook.cells.pop(), "cell .* is missing"),
        (lambda notebook: notebook.cells[-1].update(source="1 / 0"), "its source differs"),
    ],
)
def test_leaks_are_refused_and_nothing_is_written(
    edit: Callable[[Any], None], message: str, built: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(LabkitError, match=message):
        release(["91"], tmp_path / "out", built(edit))
    assert not (tmp_path / "out").exists()


def test_a_solution_pasted_into_prose_is_refused(built: Callable[..., Path], tmp_path: Path) -> None:
    source = SOURCE + "\n# %% [markdown]\n# One can write\n#\n#     return values.sum(dim=0)\n"
    with pytest.raises(LabkitError, match="the solution of 91-total"):
        release(["91"], tmp_path / "out", built(source=source))


def test_a_skeleton_that_does_not_run_is_refused(built: Callable[..., Path], tmp_path: Path) -> None:
    source = SOURCE.replace("values: torch.Tensor) -> dict", "values: torch.Tenzor) -> dict")
    with pytest.raises(LabkitError, match="exercise-91-both.*AttributeError"):
        release(["91"], tmp_path / "out", built(source=source))


def test_public_and_hidden_exercises_in_one_file_are_refused(
    built: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = built()
    both = root / "both.py"
    hidden = (root / "hidden.py").read_text().replace("EXERCISES =", "MORE =")
    both.write_text((root / "public.py").read_text() + hidden + "\nEXERCISES += MORE\n")
    monkeypatch.setenv("LABKIT_CHECKS", str(both))
    with pytest.raises(LabkitError, match="public and hidden exercises"):
        release(["91"], tmp_path / "out", root)
