"""start on a newer release keeps answers and own cells; mine.py carries what was built from lab to lab."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from tiny_lab import SOURCE, tiny_course

from labkit.checks import CHECK_MIME
from labkit.course.build import make_notebook, read_source
from labkit.course.labs import list_labs, read_notebook
from labkit.course.mine import YOURS, write_mine
from labkit.course.source import exercises_by_id
from labkit.course.student import start
from labkit.course.update import RECORD, record_of, recorded, updated

ADDRESS = "https://github.com/some/labs"
DOUBLE = "def double(x):\n    return 2 * x"
LINES: list[str] = []


@pytest.fixture
def course(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LABKIT_CHECKS", str(tiny_course(tmp_path)))
    monkeypatch.chdir(tmp_path)
    release(tmp_path)
    LINES.clear()
    return tmp_path


def release(course: Path, *pairs: tuple[str, str]) -> Any:
    """Write the student notebook, after some text of the source is replaced."""
    text = SOURCE
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    path = course / "notebooks" / "src" / "90_tiny.py"
    path.write_text(text)
    notebook = make_notebook(read_source(path, exercises_by_id()), ADDRESS, solution=False)
    nbformat.write(notebook, course / "notebooks" / "90_tiny.ipynb")
    return notebook


def begin(course: Path) -> Path:
    return start("90", root=course, say=LINES.append)


def edit(path: Path, change: Callable[[Any], None]) -> Any:
    notebook = read_notebook(path)
    change(notebook)
    nbformat.write(notebook, path)
    return notebook


def cell_of(notebook: Any, id: str) -> Any:
    return next(cell for cell in notebook.cells if cell.id == id)


def work(notebook: Any) -> None:
    """A student's work: an answer, cells of her own (one of them where an exercise is split), an edited experiment."""
    cell_of(notebook, "exercise-90-double").source = DOUBLE
    cell_of(notebook, "exercise-90-double").outputs = [nbformat.v4.new_output("stream", text="tried\n")]
    at = notebook.cells.index(cell_of(notebook, "check-90-double"))
    notebook.cells.insert(at + 1, nbformat.v4.new_code_cell("print(double(21))", id="mine1"))
    notebook.cells.insert(at + 2, nbformat.v4.new_markdown_cell("A note.", id="mine2"))
    [experiment] = [cell for cell in notebook.cells if cell.source.startswith('print("six"')]
    experiment.source = 'print("seven", 7)'


def sources(notebook: Any) -> list[str]:
    return [cell.source for cell in notebook.cells]


def test_a_copy_says_which_cells_it_was_made_from(course: Path) -> None:
    notebook = read_notebook(begin(course))
    assert set(record_of(notebook)) == {cell.id for cell in notebook.cells}
    assert LINES == []
    before = (course / "work" / "90_tiny.ipynb").read_bytes()
    assert begin(course) == Path("work/90_tiny.ipynb")
    assert len(LINES) == 1 and "made from this release" in LINES[0]
    assert (course / "work" / "90_tiny.ipynb").read_bytes() == before


@pytest.mark.parametrize("with_record", [True, False], ids=["second edition", "first edition"])
def test_answers_and_own_cells_survive_a_release_that_changes_all_else(course: Path, with_record: bool) -> None:
    path = begin(course)

    def older(notebook: Any) -> None:
        work(notebook)
        if not with_record:
            notebook.metadata.labkit.pop(RECORD)

    old = edit(path, older)
    bytes_before = path.read_bytes()
    new = release(
        course,
        ("It has two exercises.", "It has two exercises, as before."),
        ("# It is six.", "# It is six, of course."),
        ("alpha: float = 0.5", "alpha: float = 0.25"),
        ('print("a warning"', 'print("another warning"'),
    )
    begin(course)
    made = read_notebook(path)
    nbformat.validate(made)
    [line] = [line for line in LINES if "brought up to this release" in line]
    assert str(Path("work/90_tiny.1.ipynb")) in line
    assert Path("work/90_tiny.1.ipynb").read_bytes() == bytes_before
    double = cell_of(made, "exercise-90-double")
    assert double.source == DOUBLE and double.outputs[0].text == "tried\n"
    assert double.metadata == cell_of(new, "exercise-90-double").metadata
    expected = [DOUBLE if cell.id == "exercise-90-double" else cell.source for cell in new.cells]
    kept = sources(made)
    # What is hers stands where it stood; the edited experiment was not changed by the release, and stays hers.
    at = kept.index('check("90-double", double)')
    assert kept[at + 1 : at + 3] == ["print(double(21))", "A note."]
    own = ["print(double(21))", "A note.", 'print("seven", 7)']
    rest = [text for text in kept if text not in own]
    assert [text for text in expected if text != 'print("six", 2 * 3)'] == [
        text for text in rest if text != 'print("six", 2 * 3)'
    ]
    assert kept.count('print("seven", 7)') == 1 and (not with_record or 'print("six", 2 * 3)' not in kept)
    assert record_of(made) == record_of(recorded(new))
    assert old.cells[-1].source not in kept  # an untouched cell of the old release
    begin(course)
    assert any("made from this release" in line for line in LINES)


def test_an_edited_cell_that_the_release_changed_too_stands_beside_the_new_one(course: Path) -> None:
    path = begin(course)
    edit(path, work)
    release(course, ('print("six", 2 * 3)', 'print("six", 3 * 2)'))
    begin(course)
    kept = sources(read_notebook(path))
    assert 'print("seven", 7)' in kept and 'print("six", 3 * 2)' in kept


def test_stubs_are_renewed_and_answers_of_removed_exercises_stay_as_cells(course: Path) -> None:
    path = begin(course)
    edit(path, work)
    start_of, end_of = SOURCE.index('# %% exercise="90-double"'), SOURCE.index("# %%\n# NBVAL")
    release(course, (SOURCE[start_of:end_of], ""), ("Return the sum of all values.", "Return the sum of everything."))
    begin(course)
    made = read_notebook(path)
    assert "sum of everything" in cell_of(made, "exercise-90-total").source
    [answer] = [cell for cell in made.cells if cell.source == DOUBLE]
    assert "nbgrader" not in answer.metadata and answer.id.startswith("own-")
    assert not any(cell.id == "check-90-double" for cell in made.cells)


def test_a_split_answer_stays_split(course: Path) -> None:
    path = begin(course)

    def split(notebook: Any) -> None:
        cell = cell_of(notebook, "exercise-90-double")
        cell.source = "factor = 2"
        again = nbformat.from_dict({**cell, "id": "copied", "source": "def double(x):\n    return factor * x"})
        notebook.cells.insert(notebook.cells.index(cell) + 1, again)

    edit(path, split)
    release(course, ("It has two", "It has only two"))
    begin(course)
    made = read_notebook(path)
    at = made.cells.index(cell_of(made, "exercise-90-double"))
    assert [cell.source for cell in made.cells[at : at + 2]] == ["factor = 2", "def double(x):\n    return factor * x"]
    assert len({cell.id for cell in made.cells}) == len(made.cells)


def test_new_ids_of_an_editor_make_no_cell_the_students(course: Path) -> None:
    new = release(course, ("It has two", "It has only two"))
    old = recorded(release(course))
    for number, cell in enumerate(old.cells):
        if "nbgrader" not in cell.metadata and cell.id not in ("setup", "parameters"):
            cell.id = f"c{number}"
    assert sources(updated(old, new)) == sources(new)


def test_a_first_edition_copy_of_a_real_lab_is_all_the_courses(monkeypatch: pytest.MonkeyPatch) -> None:
    for lab in list_labs(Path(__file__).resolve().parents[2]):
        copy = read_notebook(lab.path)
        made = updated(copy, copy)
        assert sources(made) == sources(copy), lab.name


# mine.py


def load(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location("mine_of_a_test", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_mine_holds_what_was_attempted_and_the_imports_it_needs(course: Path) -> None:
    path = begin(course)
    assert not (course / "work" / "mine.py").exists()
    answer = f"%matplotlib inline\nimport math\n\n@torch.no_grad()\n{DOUBLE}\n\nprint(double(3))\n!ls"
    edit(path, lambda notebook: cell_of(notebook, "exercise-90-double").update(source=answer))
    begin(course)
    assert LINES[-1] == f"{Path('work/mine.py')} holds what you built: 90-double"
    text = (course / "work" / "mine.py").read_text()
    assert "import torch" in text and "labkit.checks" not in text and "print(" not in text and "total" not in text
    module = load(course / "work" / "mine.py")
    assert module.EXERCISES == ("90-double",) and module.double(4) == 8


def test_additions_of_the_students_own_stay(course: Path) -> None:
    path = begin(course)
    mine = course / "work" / "mine.py"
    mine.write_text("helper = 1\n")  # hers before anything was written
    edit(path, work)
    for _ in range(2):
        begin(course)
        assert mine.read_text().endswith(f"{YOURS}\nhelper = 1\n")
    mine.write_text(mine.read_text() + "more = 2\n")
    begin(course)
    module = load(mine)
    assert (module.helper, module.more, module.double(1)) == (1, 2, 2)


def test_a_wrong_answer_and_a_damaged_notebook_are_left_out(course: Path) -> None:
    path = begin(course)

    def wrong(notebook: Any) -> None:
        work(notebook)
        said = nbformat.v4.new_output("display_data", {CHECK_MIME: {"id": "90-double", "status": "wrong"}})
        cell_of(notebook, "check-90-double").outputs = [said]
        cell_of(notebook, "exercise-90-total").source = "def total(values):\n    return values.sum()"

    edit(path, wrong)
    labs = list_labs(course)
    assert write_mine(path.parent, labs) == ["90-total"]
    edit(path, lambda notebook: cell_of(notebook, "exercise-90-total").update(source="def total(values) return"))
    assert write_mine(path.parent, labs) == []
    path.write_text("{")
    assert write_mine(path.parent, labs) == []
