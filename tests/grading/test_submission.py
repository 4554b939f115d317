"""What was handed in: names of downloads, damaged notebooks, cells that moved, split, were copied or lost their ids."""

import csv
import hashlib
import json
import os
import shutil
import zipfile
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from grading_lab import RIGHT, answered, cell_of, student_copy

from labkit import LabkitError
from labkit.grading import submission as module
from labkit.grading.handed_in import find_submissions, parse_time
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
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    return {one.student: [path.name for path in one.files] for one in find_submissions(place, scratch).submissions}


def make(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("{}")
    return folder


# Names


def test_plain_files_and_folders(tmp_path: Path) -> None:
    place = make(tmp_path / "in", "ann.ipynb", "bob/lab.ipynb", "bob/deep/x.ipynb", "bob/.ipynb_checkpoints/y.ipynb")
    make(place, "README.md", ".hidden.ipynb", "cat/report.pdf", "__MACOSX/z.ipynb", "dan.pdf", "eve.ipynb.txt")
    assert found(place, tmp_path) == {
        "ann": ["ann.ipynb"],
        "bob": ["lab.ipynb", "x.ipynb"],
        "cat": [],
        "dan": [],
        "eve": ["eve.ipynb.txt"],
    }
    left = find_submissions(place, tmp_path).left
    assert any(line.startswith("README.md:") for line in left)
    assert "__MACOSX (1)" in left[0] and "hidden files (1)" in left[0] and ".ipynb_checkpoints (1)" in left[0]


def test_canvas(tmp_path: Path) -> None:
    place = make(tmp_path / "in", "smithann_123_456_91_graded.ipynb", "leebob_LATE_124_457_91_graded-1.ipynb")
    make(place, "doecat_125_458_notes.pdf")
    assert found(place, tmp_path) == {
        "smithann_123": ["smithann_123_456_91_graded.ipynb"],
        "leebob_124": ["leebob_LATE_124_457_91_graded-1.ipynb"],
        "doecat_125": [],
    }
    late = {one.student: one.late for one in find_submissions(place, tmp_path).submissions}
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
    ann, bob, cat = find_submissions(table, tmp_path).submissions
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
    [ann] = find_submissions(path, make(tmp_path / "scratch", "__MACOSX/x")).submissions
    assert ann.time is not None and ann.time.astimezone().replace(tzinfo=None) == datetime(2024, 5, 6, 7, 8, 10)
    clones = make(tmp_path / "in", "bob/91.ipynb", "bob/.git/config", "cat/91.ipynb")
    bob, cat = find_submissions(clones, tmp_path).submissions
    assert (bob.student, bob.time) == ("bob", None) and cat.time


def test_times_that_no_clock_shows() -> None:
    for text in ("9999-12-31T23:59:59-12:00", "soon"):
        with pytest.raises(LabkitError, match="here: expected a time"):
            parse_time(text, "here")


# Reading


def chosen(files: dict[str, bytes | dict[str, Any]], folder: Path, template: Template) -> Any:
    for name, content in files.items():
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        (folder / name).write_bytes(data)
    return choose([folder / name for name in files], (), template)


def test_the_notebook_of_this_lab_is_chosen(notebook: dict[str, Any], template: Template, tmp_path: Path) -> None:
    other = {"cells": [], "metadata": {"labkit": {"lab": "00_start_here"}}}
    book, _, note = chosen({"a.ipynb": other, "b.ipynb": notebook, "c.ipynb": b"{"}, tmp_path, template)
    assert book.name == "b.ipynb" and "a.ipynb is lab 00_start_here" in note and "c.ipynb is not a readable" in note
    book, _, note = chosen(
        {"91_graded.ipynb": notebook, "x.ipynb": {**notebook, "nbformat_minor": 4}}, tmp_path, template
    )
    assert book.name == "91_graded.ipynb" and "x.ipynb was not" in note
    book, _, note = chosen({"y.ipynb": notebook, "x.ipynb": notebook}, tmp_path, template)  # the same twice
    assert note == ""


@pytest.mark.parametrize(
    ("content", "status", "reason"),
    [
        (b"{", "invalid", "Open it in Jupyter and save it again"),
        (b'{"a": 1,\n<<<<<<< HEAD\n1\n=======\n2\n>>>>>>> x\n}', "invalid", "merge-conflict markers"),
        (b"%PDF-1.4", "invalid", "it is a PDF"),
        (b"PK\3\4", "invalid", "a zip or an Office file"),
        (b"<!DOCTYPE html>", "invalid", "it is a web page"),
        (b" ", "invalid", "the file is empty"),
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
    source = make_plan(book, template).answers["91-double"].source
    assert source is not None and source.encode().endswith(b"return '?'")


def test_nothing_handed_in_and_links(template: Template, tmp_path: Path) -> None:
    for files, other, status, reason in (
        ((), (), "missing", "nothing was handed in"),
        ((), ("x.pdf",), "invalid", r"no notebook was handed in \(x.pdf\)"),
        ((tmp_path / "link",), (), "invalid", "is a link"),
        ((tmp_path,), (), "invalid", "no plain file|cannot be read"),
    ):
        if files == (tmp_path / "link",):
            os.symlink("/etc/passwd", tmp_path / "link")
        with pytest.raises(Unreadable, match=reason) as caught:
            choose(files, other, template)
        assert caught.value.status == status


# Which cell answers what


def answers(notebook: dict[str, Any], template: Template) -> dict[str, tuple[str | None, str]]:
    book = parse("x.ipynb", json.dumps(notebook).encode())
    return {key: (answer.source, answer.note) for key, answer in make_plan(book, template).answers.items()}


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


def test_split_and_copied_cells_are_run_in_their_order(notebook: dict[str, Any], template: Template) -> None:
    one = cell_of(notebook, "91-double")
    half = {**one, "id": "half", "source": "    return 2 * x"}
    one["source"] = "def double(x):\n    y = 1"
    notebook["cells"].append(half)
    source, note = answers(notebook, template)["91-double"]
    assert source == "def double(x):\n    y = 1\n\n    return 2 * x" and "2 cells" in note and "in their order" in note


def test_the_stub_is_no_answer(notebook: dict[str, Any], template: Template, course: Path) -> None:
    one = cell_of(notebook, "91-double")
    magic = {**one, "id": "magic", "source": "%matplotlib inline\n!echo hi\ndef double(x):\n    return 2 * x"}
    stub = {**one, "id": "stub", "source": cell_of(student_copy(course), "91-double")["source"]}
    one["source"] = "def double(x)\n    return"
    notebook["cells"] += [magic, stub]
    source, note = answers(notebook, template)["91-double"]
    assert source == f"{one['source']}\n\n{magic['source']}" and note.startswith("2 cells")
    notebook["cells"].remove(one)
    assert answers(notebook, template)["91-double"] == (magic["source"], "")  # the stub would have undone it


def test_a_function_defined_outside_of_its_changed_cell_counts_too(
    notebook: dict[str, Any], template: Template
) -> None:
    cell_of(notebook, "91-double")["source"] = "factor = 2"
    source = "def double(x):\n    return factor * x"
    notebook["cells"].append({"cell_type": "code", "metadata": {}, "outputs": [], "source": source, "id": "new"})
    joined, note = answers(notebook, template)["91-double"]
    assert joined == f"factor = 2\n\n{source}" and "does not define double" in note


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


# What vanished


def zipped(path: Path, *names: str, **contents: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, "{}")
        for name, data in contents.items():
            archive.writestr(name, data)
    return path


def test_a_download_of_one_student_is_called_by_the_student(tmp_path: Path) -> None:
    lab = "00_start_here.ipynb"
    assert found(zipped(tmp_path / "a.zip", f"ann/{lab}"), tmp_path / "1") == {"ann": [lab]}
    assert found(zipped(tmp_path / "bob.zip", lab), tmp_path / "2") == {"bob": [lab]}
    assert found(make(tmp_path / "cat", lab), tmp_path / "3") == {"cat": [lab]}
    clone = zipped(tmp_path / "c.zip", f"start-here-dan/{lab}", "start-here-dan/.git/config")
    assert found(clone, tmp_path / "4") == {"start-here-dan": [lab]}
    assert found(make(tmp_path / "x", "eve.ipynb") / "eve.ipynb", tmp_path / "5") == {"eve": ["eve.ipynb"]}
    empty = tmp_path / "d.zip"
    with zipfile.ZipFile(empty, "w") as archive:
        archive.writestr("class/fay/", "")
    assert found(empty, tmp_path / "6") == {"fay": []}


def test_zips_in_folders_and_in_zips_are_unpacked(tmp_path: Path) -> None:
    place = make(tmp_path / "in", "ann.ipynb")
    zipped(place / "bob.zip", "deep/00_start_here.ipynb", "notes.txt")
    zipped(place / "leecat_124_457_lab.zip", "lab.ipynb")
    (place / "dan").mkdir()
    zipped(place / "dan" / "work.zip", "lab.ipynb")
    (place / "eve.zip").write_bytes(b"PK no zip")
    zipped(place / "fay.zip")
    assert found(place, tmp_path) == {
        "ann": ["ann.ipynb"],
        "bob": ["00_start_here.ipynb"],
        "dan": ["lab.ipynb"],
        "eve": [],
        "fay": [],
        "leecat_124": ["lab.ipynb"],
    }
    others = {one.student: one.other for one in find_submissions(place, tmp_path / "again").submissions}
    assert "cannot be unpacked" in others["eve"][0] and others["fay"] == ("fay.zip (an empty zip)",)
    assert others["bob"] == ("notes.txt",)
    whole = tmp_path / "all.zip"
    with zipfile.ZipFile(whole, "w") as archive:
        for path in sorted(place.rglob("*.*")):
            archive.write(path, f"class/{path.relative_to(place)}")
    assert found(whole, tmp_path / "whole") == found(place, tmp_path / "once-more")


def test_three_hundred_clones_in_a_zip_lose_nobody(tmp_path: Path) -> None:
    path = tmp_path / "clones.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(300):
            for entry in range(75):
                archive.writestr(f"class/lab-00-s{number:03d}/.git/objects/{entry:02x}/x", "")
            archive.writestr(f"class/lab-00-s{number:03d}/00_start_here.ipynb", "{}")
    students = found(path, tmp_path)
    assert list(students) == [f"s{number:03d}" for number in range(300)] and all(students.values())


def test_a_bad_entry_of_a_zip_costs_only_itself(tmp_path: Path) -> None:
    path = zipped(tmp_path / "all.zip", "ann.ipynb", "bob.ipynb", "cat.ipynb", f"{'x' * 300}.ipynb", "C:\\dan.ipynb")
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        infos = {info.filename: info for info in archive.infolist()}
    start = infos["bob.ipynb"].header_offset
    data[start + 30 + len("bob.ipynb")] ^= 1  # its content, so that its checksum is wrong
    central = data.rindex(b"cat.ipynb") - 46
    data[central + 8] |= 1  # encrypted, says the directory
    data[infos["cat.ipynb"].header_offset + 6] |= 1
    path.write_bytes(data)
    submissions = {one.student: one for one in find_submissions(path, tmp_path / "scratch").submissions}
    assert len(submissions) == 5 and submissions["ann"].files and submissions["dan"].files
    assert "checksum" in submissions["bob"].other[0] and "encrypted" in submissions["cat"].other[0]
    assert submissions["x" * 200 + "-" + next(s for s in submissions if s.startswith("xxx"))[-8:]].files


def test_an_entry_without_a_name_costs_only_itself(tmp_path: Path) -> None:
    path = zipped(tmp_path / "all.zip", "ann.ipynb")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(zipfile.ZipInfo(""), "{}")
    together = find_submissions(path, tmp_path / "scratch")
    assert [one.student for one in together.submissions] == ["ann"]
    assert any("without a name" in note for note in together.left)


def test_names_that_collide_are_kept_apart(tmp_path: Path) -> None:
    path = tmp_path / "all.zip"
    clean = "a?-" + hashlib.sha256(b"a\x01").hexdigest()[:8]
    zipped(path, "a\x01.ipynb", f"{clean}.ipynb", "b.ipynb", "b.ipynb")
    students = found(path, tmp_path)
    assert len(students) == 3 and sum(map(len, students.values())) == 4


def test_the_answered_copy_counts_and_not_the_untouched_original(
    notebook: dict[str, Any], template: Template, course: Path, tmp_path: Path
) -> None:
    files = {"91_graded.ipynb": student_copy(course), "91_graded-Copy1.ipynb": notebook}
    book, _, note = chosen(files, tmp_path, template)
    assert book.name == "91_graded-Copy1.ipynb" and "91_graded.ipynb was not" in note


def test_marks_of_editors_and_other_alphabets(notebook: dict[str, Any], template: Template, tmp_path: Path) -> None:
    text = json.dumps(notebook)
    for encoding in ("utf-8-sig", "utf-16"):
        book, _, _ = chosen({"x.ipynb": text.encode(encoding)}, tmp_path, template)
        assert len(book.cells) == len(notebook["cells"])


def test_lists_of_any_separator_and_ids_that_lost_their_zeros(tmp_path: Path) -> None:
    from labkit.grading.gradebook import Override, _settled, read_overrides
    from labkit.grading.tables import read_table

    table = tmp_path / "x.csv"
    for text in (
        "student_id;override\n0012;6,5\n",
        "\ufeffstudent_id\toverride\n0012\t6.5\n",
        "sep=;\nstudent_id;override\n0012;6,5\n",
    ):
        table.write_text(text)
        assert read_overrides(table) == {"0012": Override("6.5")}
    assert read_table(table).separator == ";"
    settled, notes = _settled({"12": Override("3"), "zz": Override("1")}, ["0012", "13"])
    assert settled == {"0012": Override("3"), "zz": Override("1")} and "12 is taken for 0012" in notes[0]
    table.write_text("student_id,override\na,8\n")
    with pytest.raises(LabkitError, match=r"x.csv:2: the override of a must be 0 to 7, got 8"):
        read_overrides(table, 7)


@pytest.mark.parametrize(
    ("kind", "source", "lab"),
    [
        ("code", 'lab = begin(\n    "01_averaging_problem", profile=profile)', "01_averaging_problem"),
        ("code", "%%time\nbegin('01_averaging_problem')", "01_averaging_problem"),
        ("code", '# begin("03_gans") comes later', ""),
        ("code", 'text = """\n  begin("03_gans")\n"""', ""),
        ("markdown", 'begin("03_gans")', ""),
    ],
)
def test_only_code_begins_a_lab(kind: str, source: str, lab: str) -> None:
    cell = {"cell_type": kind, "metadata": {}, "source": source}
    data = json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [cell]}).encode()
    assert module.parse("a.ipynb", data).lab == lab
