"""What was handed in: names of downloads, damaged notebooks, cells that moved, split, were copied or lost their ids."""

import csv
import json
import os
import zipfile
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from grading_lab import RIGHT, answered, cell_of, student_copy

from labkit import LabkitError
from labkit.grading import submission as module
from labkit.grading.handed_in import HandedIn, find_submissions, parse_time
from labkit.grading.plan import make_plan
from labkit.grading.submission import Unreadable, choose, parse
from labkit.grading.template import Template, read_template


@pytest.fixture
def template(course: Path, own_checks: str) -> Template:
    return read_template("91", course)


@pytest.fixture
def notebook(course: Path, own_checks: str) -> dict[str, Any]:
    return answered(student_copy(course), RIGHT)


def found(place: Path, tmp_path: Path) -> dict[str, list[str]]:
    scratch = tmp_path / "scratch"
    scratch.mkdir(exist_ok=True)
    return {one.student: [path.name for path in one.files] for one in find_submissions(place, scratch)}


def make(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("{}")
    return folder


# Names


def test_plain_files_and_folders(tmp_path: Path) -> None:
    place = make(tmp_path / "in", "ann.ipynb", "bob/lab.ipynb", "bob/deep/x.ipynb", "bob/.ipynb_checkpoints/y.ipynb")
    make(place, "README.md", ".hidden.ipynb", "cat/report.pdf", "__MACOSX/z.ipynb")
    assert found(place, tmp_path) == {"ann": ["ann.ipynb"], "bob": ["lab.ipynb", "x.ipynb"], "cat": []}


def test_canvas(tmp_path: Path) -> None:
    place = make(tmp_path / "in", "smithann_123_456_91_graded.ipynb", "leebob_LATE_124_457_91_graded-1.ipynb")
    make(place, "doecat_125_458_notes.pdf")
    assert found(place, tmp_path) == {
        "smithann_123": ["smithann_123_456_91_graded.ipynb"],
        "leebob_124": ["leebob_LATE_124_457_91_graded-1.ipynb"],
        "doecat_125": [],
    }
    late = {one.student: one.late for one in find_submissions(place, tmp_path)}
    assert late == {"smithann_123": False, "leebob_124": True, "doecat_125": False}


def test_moodle(tmp_path: Path) -> None:
    place = make(
        tmp_path / "in",
        "Ann Smith_1234_assignsubmission_file_/91_graded.ipynb",
        "Bob Lee_1235_assignsubmission_file_91_graded.ipynb",
        "Cat O'Neil_1236_assignsubmission_file/x.ipynb",
    )
    assert list(found(place, tmp_path)) == ["Ann Smith_1234", "Bob Lee_1235", "Cat O'Neil_1236"]


def test_github_classroom(tmp_path: Path) -> None:
    place = make(tmp_path / "in", "lab-91-ann/91_graded.ipynb", "lab-91-ann/.git/config", "lab-91-al-b/x/91.ipynb")
    make(place, "lab-91-al-b/.git/config", "lab-91-al-b/.git/z.ipynb")
    assert found(place, tmp_path) == {"ann": ["91_graded.ipynb"], "al-b": ["91.ipynb"]}


def test_folders_that_are_no_clones_keep_their_names(tmp_path: Path) -> None:
    assert list(found(make(tmp_path / "in", "group-1/a.ipynb", "group-2/a.ipynb"), tmp_path)) == ["group-1", "group-2"]


def test_csv(tmp_path: Path) -> None:
    make(tmp_path, "files/a.ipynb")
    table = tmp_path / "map.csv"
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        rows = [["student_id", "file", "submitted"], ["ann", "files/a.ipynb", "2026-03-01T10:00Z"]]
        writer.writerows([*rows, ["bob", "", ""], ["cat", "files/c.ipynb", ""]])
    ann, bob, cat = find_submissions(table, tmp_path)
    assert ann.time == datetime.fromisoformat("2026-03-01T10:00+00:00") and ann.files
    assert (bob.files, bob.other) == ((), ()) and cat.other == ("files/c.ipynb (not found)",)
    for text, message in (
        ("student_id,file\nann,a\nann,b\n", "map.csv:3: ann is there twice"),
        ("name,file\nann,a\n", "map.csv:2: expected the columns"),
        ("student_id,file,submitted\nann,a,yesterday\n", "map.csv:2: expected a time"),
    ):
        table.write_text(text)
        with pytest.raises(LabkitError, match=message):
            find_submissions(table, tmp_path)


def test_zip_of_a_folder(tmp_path: Path) -> None:
    path = tmp_path / "all.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in (
            "class/ann/a.ipynb",
            "class/bob.ipynb",
            "class/../../../evil.ipynb",
            "__MACOSX/x.ipynb",
            "class/cat/x.pdf",
        ):
            archive.writestr(name, "{}")
        archive.writestr("class/dan.ipynb", b"x" * (module.LARGEST + 1), zipfile.ZIP_DEFLATED)
    students = found(path, tmp_path)
    assert students["ann"] == ["a.ipynb"] and students["bob"] == ["bob.ipynb"] and students["cat"] == []
    assert not (tmp_path / "evil.ipynb").exists() and not (tmp_path.parent / "evil.ipynb").exists()
    path.write_bytes(b"PK no")
    with pytest.raises(LabkitError, match="cannot be unpacked"):
        found(path, tmp_path)


def test_names_that_are_no_text(tmp_path: Path) -> None:
    place = tmp_path / "in"
    place.mkdir()
    (place / os.fsdecode(b"a\xff\n.ipynb")).write_text("{}")
    (place / os.fsdecode(b"a\xfe\n.ipynb")).write_text("{}")
    (place / f"{'é' * 100}.ipynb").write_text("{}")
    students = list(found(place, tmp_path))
    assert len(students) == 3 and all(student.isprintable() and student.encode() for student in students)
    assert [student[:4] for student in students] == ["a??-", "a??-", "éééé"]


def test_times_of_a_zip_are_kept_and_those_of_clones_are_unknown(tmp_path: Path) -> None:
    path = tmp_path / "all.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(zipfile.ZipInfo("class/ann.ipynb", (2024, 5, 6, 7, 8, 10)), "{}")
    [ann] = find_submissions(path, make(tmp_path / "scratch", "__MACOSX/x"))
    assert ann.time is not None and ann.time.astimezone().replace(tzinfo=None) == datetime(2024, 5, 6, 7, 8, 10)
    clones = make(tmp_path / "in", "bob/91.ipynb", "bob/.git/config", "cat/91.ipynb")
    bob, cat = find_submissions(clones, tmp_path)
    assert (bob.student, bob.time) == ("bob", None) and cat.time


def test_times_that_no_clock_shows() -> None:
    for text in ("9999-12-31T23:59:59-12:00", "soon"):
        with pytest.raises(LabkitError, match="here: expected a time"):
            module.parse_time(text, "here")


# Reading


def chosen(files: dict[str, bytes | dict[str, Any]], folder: Path, template: Template) -> Any:
    for name, content in files.items():
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        (folder / name).write_bytes(data)
    paths = tuple(folder / name for name in files)
    return choose(module.Submission("ann", paths), template)


def test_the_notebook_of_this_lab_is_chosen(notebook: dict[str, Any], template: Template, tmp_path: Path) -> None:
    other = {"cells": [], "metadata": {"labkit": {"lab": "00_start_here"}}}
    book, _, note = chosen({"a.ipynb": other, "b.ipynb": notebook, "c.ipynb": b"{"}, tmp_path, template)
    assert book.name == "b.ipynb" and note == ""
    book, _, note = chosen(
        {"91_graded.ipynb": notebook, "x.ipynb": {**notebook, "nbformat_minor": 4}}, tmp_path, template
    )
    assert book.name == "91_graded.ipynb" and "x.ipynb was not" in note
    book, _, note = chosen({"y.ipynb": notebook, "x.ipynb": notebook}, tmp_path, template)  # the same twice
    assert note == ""


@pytest.mark.parametrize(
    ("content", "status", "reason"),
    [
        (b"{", "invalid", "open it in Jupyter and save it again"),
        (b"\xff\xfe", "invalid", "damaged"),
        (b"[1]", "invalid", "not a notebook"),
        (b'{"cells": [], "metadata": {"labkit": {"lab": "02_x"}}}', "wrong-lab", "lab 02_x; 91_graded was asked for"),
        (b'{"cells": []}', "wrong-lab", "no lab of this course"),
    ],
)
def test_what_cannot_be_graded_says_why(
    content: bytes, status: str, reason: str, template: Template, tmp_path: Path
) -> None:
    with pytest.raises(Unreadable, match=reason) as caught:
        chosen({"x.ipynb": content}, tmp_path, template)
    assert caught.value.status == status


def test_nothing_of_a_file_breaks_what_is_written(notebook: dict[str, Any], template: Template, tmp_path: Path) -> None:
    odd = os.fsdecode(b"x\xff\x1b[2J.ipynb")
    for content in (
        b"{",
        b'{"cells": []}',
        json.dumps({"cells": [], "metadata": {"labkit": {"lab": "\ud800"}}}).encode(),
    ):
        with pytest.raises(Unreadable) as caught:
            chosen({odd: content}, tmp_path, template)
        assert "x??[2J.ipynb" in caught.value.reason and caught.value.reason.isprintable()
    cell_of(notebook, "91-double")["source"] = "def double(x):\n    return '\ud800'"
    book, _, _ = chosen({odd: notebook}, tmp_path, template)
    assert book.name == "x??[2J.ipynb"
    source = match(book, template)["91-double"].source
    assert source is not None and source.encode().endswith(b"return '?'")


def test_nothing_handed_in_and_links(template: Template, tmp_path: Path) -> None:
    for files, other, status, reason in (
        ((), (), "missing", "nothing was handed in"),
        ((), ("x.pdf",), "missing", r"no notebook was handed in \(x.pdf\)"),
        ((tmp_path / "link",), (), "invalid", "is a link"),
        ((tmp_path,), (), "invalid", "no plain file|cannot be read"),
    ):
        if files == (tmp_path / "link",):
            os.symlink("/etc/passwd", tmp_path / "link")
        with pytest.raises(Unreadable, match=reason) as caught:
            choose(module.Submission("ann", files, other), template)
        assert caught.value.status == status


# Which cell answers what


def answers(notebook: dict[str, Any], template: Template) -> dict[str, tuple[str | None, str]]:
    book = parse("x.ipynb", json.dumps(notebook).encode())
    return {key: (answer.source, answer.note) for key, answer in match(book, template).items()}


def test_by_grade_id_wherever_the_cell_is(notebook: dict[str, Any], template: Template) -> None:
    notebook["cells"].reverse()
    for number, each in enumerate(notebook["cells"]):
        each["id"] = f"renumbered-{number}"
    assert answers(notebook, template) == {key: (source, "") for key, source in RIGHT.items()}


def test_nbformat_3(notebook: dict[str, Any], template: Template) -> None:
    cells = []
    for each in notebook["cells"]:
        old = {key: value for key, value in each.items() if key != "source"}
        cells.append({**old, "input": each["source"].splitlines(keepends=True)} if each["cell_type"] == "code" else old)
    old_format = {"nbformat": 3, "nbformat_minor": 0, "metadata": {}, "worksheets": [{"cells": cells}]}
    assert answers(old_format, template) == {key: (source, "") for key, source in RIGHT.items()}


def test_without_metadata_by_cell_id_then_by_name(notebook: dict[str, Any], template: Template) -> None:
    for each in notebook["cells"]:
        each["metadata"] = {}
    assert answers(notebook, template) == {key: (source, "") for key, source in RIGHT.items()}
    for number, each in enumerate(notebook["cells"]):
        each["id"] = f"c{number}"
    notebook["metadata"] = {}
    by_name = answers(notebook, template)
    assert {key: source for key, (source, _) in by_name.items()} == RIGHT
    assert all("no cell carries this exercise's id" in note for _, note in by_name.values())
    book = parse("x.ipynb", json.dumps(notebook).encode())
    assert module.belongs(book, template)


def test_split_and_copied_cells_count_together(notebook: dict[str, Any], template: Template) -> None:
    one = cell_of(notebook, "91-double")
    half = {**one, "id": "half", "source": "    return 2 * x"}
    one["source"] = "def double(x):\n    y = 1"
    notebook["cells"].append(half)
    source, note = answers(notebook, template)["91-double"]
    assert source == "def double(x):\n    y = 1\n    return 2 * x" and "count together" in note
    half["source"] = "def double(x):\n    return 2 * x"
    one["source"] = "def double(x)\n    return"  # no Python: it does not run in the notebook either
    assert answers(notebook, template)["91-double"][0] == half["source"]


def test_magics_are_python_and_the_stub_is_no_copy(notebook: dict[str, Any], template: Template, course: Path) -> None:
    one = cell_of(notebook, "91-double")
    magic = {**one, "id": "magic", "source": "%matplotlib inline\n!echo hi\ndef double(x):\n    return 2 * x"}
    stub = {**one, "id": "stub", "source": cell_of(student_copy(course), "91-double")["source"]}
    one["source"] = "def double(x)\n    return"
    notebook["cells"] += [magic, stub]
    source, note = answers(notebook, template)["91-double"]
    assert source == magic["source"] and note.startswith("2 cells")
    notebook["cells"].remove(one)
    assert answers(notebook, template)["91-double"] == (magic["source"], "")  # the stub would have undone it


def test_a_function_defined_outside_of_its_changed_cell_counts_too(
    notebook: dict[str, Any], template: Template
) -> None:
    cell_of(notebook, "91-double")["source"] = "factor = 2"
    source = "def double(x):\n    return factor * x"
    notebook["cells"].append({"cell_type": "code", "metadata": {}, "outputs": [], "source": source, "id": "new"})
    joined, note = answers(notebook, template)["91-double"]
    assert joined == f"factor = 2\n{source}" and "does not define double" in note


def test_an_answer_in_another_cell_is_found_and_said(
    notebook: dict[str, Any], template: Template, course: Path
) -> None:
    stub = cell_of(student_copy(course), "91-double")["source"]
    cell_of(notebook, "91-double")["source"] = stub
    elsewhere = {"cell_type": "code", "metadata": {}, "outputs": [], "source": RIGHT["91-double"], "id": "new"}
    notebook["cells"].append(elsewhere)
    source, note = answers(notebook, template)["91-double"]
    assert source == RIGHT["91-double"] and "left as it was" in note
    cell_of(notebook, "91-double")["source"] = "def double(x):\n    return x"
    source, note = answers(notebook, template)["91-double"]
    assert source == "def double(x):\n    return x" and "another cell defines double" in note


def test_deleted_and_changed_cells_are_missing(notebook: dict[str, Any], template: Template) -> None:
    cell_of(notebook, "91-total")["cell_type"] = "markdown"
    notebook["cells"].remove(cell_of(notebook, "91-double"))
    found_answers = answers(notebook, template)
    assert found_answers["91-double"][0] is None and "fresh copy" in found_answers["91-double"][1]
    assert found_answers["91-total"][0] is None and "no code cell" in found_answers["91-total"][1]


def test_the_template_has_hidden_checks_and_refuses_what_cannot_be_graded(template: Template, course: Path) -> None:
    double = template.tasks[0]
    assert [(call.id, call.answer, call.hidden) for call in double.checks] == [
        ("91-double", "double", False),
        ("91-double-hidden", "double", True),
    ]
    assert (double.name, double.points, template.lab) == ("double", 3, "91_graded")
    path = course / "notebooks" / "src" / "91_graded.py"
    kept = path.read_text()
    try:
        path.write_text(kept.replace('check("91-total", total)', 'check("91-total", total)\nassert total'))
        with pytest.raises(LabkitError, match=r"91_graded.py:.*line 2: only check\(...\) can be graded"):
            read_template("91", course)
    finally:
        path.write_text(kept)
