"""A class graded: points, statuses, the gradebook and the pages, resume, re-grading, the same twice."""

import csv
import json
import re
import shutil
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from grading_lab import HIGHEST, RIGHT, SQUARE, answered, cell_of, hand_in, student_copy
from rich.console import Console

from labkit import LabkitError
from labkit.grading import gradebook, tables
from labkit.grading.results import Graded
from labkit.grading.sandbox import Tier
from labkit.grading.template import read_template
from labkit.ledger import Ledger

Grade = Callable[..., list[Graded]]
LEAST_ONLY = "def both(values):\n    return {'least': values.min(), 'most': 0.0}"
FORMS = {
    "91-double": "import numpy as np\ndef double(number):\n    return np.float32(2 * number)",
    "91-total": "def total(values):\n    import sys, warnings\n    warnings.warn('w'); print('x', file=sys.stderr)\n"
    "    return [values.sum(0).tolist()]",
    "91-both": "def both(values):\n    import numpy as np\n    v = values.numpy()\n"
    "    return {'most': np.array([v.max()]), 'least': float(v.min())}",
}
ONLY_POSITIVE = "def double(x):\n    return abs(2 * x)"


def handed_in(course: Path, folder: Path) -> Path:
    """The class of these tests."""
    notebook = student_copy(course)
    hand_in(folder, "release", notebook)
    hand_in(folder, "reference", student_copy(course, solution=True))
    hand_in(folder, "forms", answered(notebook, FORMS))
    hand_in(folder, "partly", answered(notebook, {**RIGHT, "91-both": LEAST_ONLY}))
    hand_in(
        folder, "wrong", answered(notebook, {**RIGHT, "91-double": SQUARE, "91-total": "def total(values) return 1"})
    )
    hand_in(folder, "positive", answered(notebook, {**RIGHT, "91-double": ONLY_POSITIVE}))
    hand_in(
        folder,
        "<b>x</b>",
        answered(notebook, {"91-double": "def double(x):\n    raise ValueError('<script>alert(1)')"}),
    )
    hand_in(folder, "=cmd|x", answered(notebook, {"91-double": "def double(x):\n    return np.double(x)"}))
    hand_in(
        folder, "labkits", answered(notebook, {"91-double": "from labkit.notebook.lab import format_cell as double"})
    )
    (folder / "nothing").mkdir()
    return folder


@pytest.fixture(scope="module")
def graded(grade: Grade, course: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Graded], Path]:
    folder = tmp_path_factory.mktemp("graded")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LABKIT_CHECKS", f"{course / 'public.py'}:{course / 'hidden.py'}")
        handed_in(course, folder / "in")
    results = grade(folder / "in", folder / "out", deadline="2020-01-01T00:00")
    return {result.student: result for result in results}, folder


def rows(out: Path) -> dict[str, dict[str, str]]:
    with (out / "gradebook.csv").open(newline="") as file:
        return {row["student_id"]: row for row in csv.DictReader(file)}


def points(result: Graded) -> list[int]:
    return [exercise.points for exercise in result.exercises]


def test_reference_release_and_what_is_between(graded: tuple[dict[str, Graded], Path]) -> None:
    results, _ = graded
    assert points(results["reference"]) == [3, 1, 3] and results["reference"].score == HIGHEST
    assert points(results["release"]) == [0, 0, 0]
    assert {exercise.status for exercise in results["release"].exercises} == {"not attempted"}
    assert points(results["wrong"]) == [0, 0, 3]
    assert [exercise.status for exercise in results["wrong"].exercises] == ["wrong", "wrong", "right"]
    assert "twice, not squared" in results["wrong"].exercises[0].message
    assert "SyntaxError" in results["wrong"].exercises[1].message


def test_right_answers_in_other_forms_warnings_and_stderr_cost_nothing(graded: tuple[dict[str, Graded], Path]) -> None:
    assert graded[0]["forms"].score == HIGHEST, graded[0]["forms"]


def test_parts_earn_their_points(graded: tuple[dict[str, Graded], Path]) -> None:
    both = graded[0]["partly"].exercises[2]
    assert (both.status, both.points) == ("partly right", 1)
    assert both.parts == {"the smallest": True, "the largest": False}


def test_a_hidden_check_is_told_by_name_only(graded: tuple[dict[str, Graded], Path]) -> None:
    results, folder = graded
    double = results["positive"].exercises[0]
    assert (double.status, double.points, double.hidden) == ("partly right", 2, {"Negative numbers too": False})
    page = (folder / "out" / "feedback" / "positive.html").read_text()
    assert "Negative numbers too" in page and "not passed" in page
    assert "-7" not in page and "-3.5" not in page  # neither expected value nor input


def test_guidance_of_honest_students_holds(graded: tuple[dict[str, Graded], Path]) -> None:
    assert "write it yourself: labkit.notebook.lab.format_cell" in graded[0]["labkits"].exercises[0].message
    assert "NameError: name 'np' is not defined" in graded[0]["=cmd|x"].exercises[0].message


def test_the_gradebook(graded: tuple[dict[str, Graded], Path]) -> None:
    _, folder = graded
    table = rows(folder / "out")
    first = table["reference"]
    assert (first["score"], first["max_score"], first["91-both"], first["status"]) == ("7", "7", "3", "graded")
    assert (first["late"], first["override"], first["seed"]) == ("yes", "", "7")
    assert re.fullmatch("[0-9a-f]{20}", first["inputs"]) and first["inputs"] != table["forms"]["inputs"]
    assert re.fullmatch("[0-9a-f]{64}", first["sha256"]) and "labkit" in first["versions"] and first["tier"]
    assert (table["nothing"]["score"], table["nothing"]["status"]) == ("", "missing")
    assert (table["release"]["score"], table["release"]["status"]) == ("0", "graded")
    assert "'=cmd|x" in table and "=cmd|x" not in table  # no formula


def test_pages_are_escaped_and_complete(graded: tuple[dict[str, Graded], Path]) -> None:
    results, folder = graded
    pages = list((folder / "out" / "feedback").glob("*.html"))
    assert len(pages) == len(results)
    for page in [*pages, folder / "out" / "summary.html"]:
        text = page.read_text()
        assert "<script>alert" not in text and "<b>x" not in text
    summary = (folder / "out" / "summary.html").read_text()
    assert "<svg role=" in summary and "&lt;b&gt;x" in summary
    assert "this is not 0 points" in (folder / "out" / "feedback" / "nothing.html").read_text()


def test_junit(graded: tuple[dict[str, Graded], Path]) -> None:
    _, folder = graded
    suites = {suite.get("name"): suite for suite in ElementTree.parse(folder / "out" / "junit.xml").getroot()}
    assert suites["reference"].attrib["failures"] == suites["reference"].attrib["errors"] == "0"
    assert suites["wrong"].attrib["failures"] == "2" and suites["nothing"].attrib["errors"] == "1"
    assert suites["release"].attrib["skipped"] == "3"


def test_the_same_again_in_another_order_or_alone(
    graded: tuple[dict[str, Graded], Path], grade: Grade, tmp_path: Path
) -> None:
    results, folder = graded
    alone = tmp_path / "in"
    alone.mkdir()
    shutil.copy2(folder / "in" / "partly.ipynb", alone / "partly.ipynb")
    shutil.copy2(folder / "in" / "wrong.ipynb", alone / "awrong.ipynb")
    screen = Console(file=StringIO(), force_terminal=True, width=100)
    again = {result.student: result for result in grade(alone, tmp_path / "out", jobs=1, console=screen)}
    assert "2 of 2" in screen.file.getvalue() and "graded 2" in screen.file.getvalue()  # type: ignore[attr-defined]
    assert again["partly"] == results["partly"]
    without_inputs = {"message", "ran"}  # inputs differ by student
    one, other = (
        [exercise.model_dump(exclude=without_inputs) for exercise in graded.exercises]
        for graded in (again["awrong"], results["wrong"])
    )
    assert one == other


def test_resume_override_and_a_changed_check(
    graded: tuple[dict[str, Graded], Path], grade: Grade, course: Path, tmp_path: Path
) -> None:
    results, folder = graded
    out = tmp_path / "out"
    shutil.copytree(folder / "out", out)
    text = (out / "gradebook.csv").read_text()
    lines = [line.replace(",yes,,", ",yes,6.5,") if line.startswith("wrong,") else line for line in text.splitlines()]
    (out / "gradebook.csv").write_text("\n".join(lines) + "\n")
    before = len(Ledger(out / "ledger.jsonl").entries())
    (out / "grades" / "partly.json").write_text('{"student": "partly", "status": "graded"}')  # tampered with
    grade(folder / "in", out, resume=True, deadline="2020-01-01T00:00", seed=None)
    assert len(Ledger(out / "ledger.jsonl").entries()) == before + 1  # only what was tampered with
    table, earlier = rows(out), rows(folder / "out")
    assert (table["wrong"]["score"], table["wrong"]["override"], table["wrong"]["91-both"]) == ("6.5", "6.5", "3")
    assert "set by the instructor" in (out / "feedback" / "wrong.html").read_text()
    del table["wrong"], earlier["wrong"]
    assert table == earlier

    checks = course / "public.py"
    kept = checks.read_text()
    try:  # a check that finds nothing wrong any more
        checks.write_text(kept.replace("reference=lambda x: 2 * x,", "reference=lambda x: x * x,"))
        again = {r.student: r for r in grade(folder / "in", out, resume=True, seed=None)}
    finally:
        checks.write_text(kept)
    assert again["wrong"].exercises[0].points == 2 and again["reference"].exercises[0].points == 1
    assert rows(out)["wrong"]["override"] == "6.5"
    assert results["wrong"].exercises[0].points == 0


def test_overrides_that_are_no_numbers_are_refused_before_anything(tmp_path: Path) -> None:
    book = tmp_path / "gradebook.csv"
    book.write_text("student_id,override\na,\nb,full\n")
    with pytest.raises(LabkitError, match=r"gradebook.csv:3: the override of b must be a number, got 'full'"):
        gradebook.read_overrides(book)
    book.write_text("name\na\n")
    with pytest.raises(LabkitError, match="expected the columns student_id and override"):
        gradebook.read_overrides(book)
    for data in (
        "student_id,override\nJosé,1\n".encode("latin-1"),
        b'student_id,override\n"' + b"a" * 200_000 + b'",1\n',
    ):
        book.write_bytes(data)
        with pytest.raises(LabkitError, match="save it as CSV UTF-8"):
            gradebook.read_overrides(book)


def test_each_student_has_a_file_of_their_own() -> None:
    names = ["anna", "Anna", "a/b", "a_b", "", "..", "é" * 90, "é" * 91, "e\u0301", "é", "\ud800"]
    names += [gradebook.file_name(name) for name in names if gradebook.file_name(name) != name]
    files = [gradebook.file_name(name) for name in names]
    assert len({name.casefold() for name in files}) == len(names) and files[0] == "anna"
    assert all(len(f"{name}.html".encode()) < 100 and "/" not in name for name in files)


def test_names_come_back_from_a_spreadsheet_as_they_were(tmp_path: Path) -> None:
    book = tmp_path / "gradebook.csv"
    names = ["=a", "'=a", "'", "''", "'x", "\uff1da", "-5", "x"]
    with book.open("w", newline="") as file:
        csv.writer(file).writerows([("student_id", "override"), *((tables.plain_text(name), "1") for name in names)])
    assert list(gradebook.read_overrides(book)) == names
    assert tables.plain_text("\uff1da") == "'\uff1da"


def test_those_whose_time_others_took_are_graded_again_alone(
    grade: Grade, course: Path, own_checks: str, tmp_path: Path
) -> None:
    from labkit.grading import grade as module

    for student in ("ann", "bob", "eve"):
        hand_in(tmp_path / "in", student, answered(student_copy(course), RIGHT))
    finish, seen = module._finish, []

    def starved_once(worker: module.Worker, patience: float) -> Graded:
        graded = finish(worker, patience)
        seen.append(graded.student)
        if graded.student == "ann" or seen.count(graded.student) > 1:
            return graded
        return graded.model_copy(update={"status": "timeout", "starved": graded.student == "bob"})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_finish", starved_once)
        results = grade(tmp_path / "in", tmp_path / "out", jobs=2)
    assert [result.status for result in results] == ["graded", "graded", "timeout"]
    assert sorted(seen[:3]) == ["ann", "bob", "eve"] and seen[3:] == ["bob"]
    assert len(Ledger(tmp_path / "out" / "ledger.jsonl").entries()) == 3
    assert "starved" not in (tmp_path / "out" / "grades" / "eve.json").read_text()


def test_a_zip_is_unpacked_in_the_folder_of_results_and_nothing_of_it_stays(
    grade: Grade, course: Path, own_checks: str, tmp_path: Path
) -> None:
    hand_in(tmp_path / "in", "ann", answered(student_copy(course), RIGHT))
    path = shutil.make_archive(str(tmp_path / "class"), "zip", tmp_path / "in")
    left = tmp_path / "out" / "unpacked" / "zoe.ipynb"  # by a run that was killed
    left.parent.mkdir(parents=True)
    left.write_text("{}")
    assert [(r.student, r.score) for r in grade(Path(path), tmp_path / "out")] == [("ann", HIGHEST)]
    assert not left.parent.exists()


def test_what_the_grader_could_not_grade_has_no_score() -> None:
    from labkit.grading.results import ExerciseGrade

    def graded(*statuses: str) -> Graded:
        each = [ExerciseGrade(id=s, title="", status=s, points=0, max_points=1) for s in statuses]
        return Graded(student="a", status="grader-error", exercises=each)

    assert graded("grader-error", "grader-error").score is None and graded().score is None
    assert graded("grader-error", "wrong").score == 0


def test_halves_of_characters_and_empty_giants_from_a_kernel() -> None:
    from labkit.checks import describe
    from labkit.notebook.answer import Foreign, decode, read_response

    reply = {"kind": "raised", "error": "\ud800", "text": "\ud800", "place": "", "value": {"object": "\ud800"}}
    outcome = read_response(json.dumps(reply))
    assert (outcome.error, outcome.text, outcome.value) == ("?", "?", Foreign("?"))
    with pytest.raises(ValueError, match="without values"):
        decode({"tensor": ["float32", [10**9, 0], ""]})
    assert describe(decode({"tensor": ["float32", [10**7, 0], ""]})) == "an empty tensor of shape (10000000, 0)"


def test_mistakes_are_told_at_once(grade: Grade, course: Path, tmp_path: Path) -> None:
    with pytest.raises(LabkitError, match="no such folder"):
        grade(tmp_path / "nowhere", tmp_path / "out")
    (tmp_path / "in").mkdir()
    for inside in ("", "grades", "a/b"):
        with pytest.raises(LabkitError, match="lies in the folder of submissions.*choose another --out"):
            grade(tmp_path / "in", tmp_path / "in" / inside)
    with pytest.raises(LabkitError, match="is emptied at each grading"):
        grade(tmp_path / "out" / "unpacked" / "class", tmp_path / "out")
    with pytest.raises(LabkitError, match="no submissions"):
        grade(tmp_path / "in", tmp_path / "out")
    with pytest.raises(LabkitError, match="there is no lab '17'"):
        grade(tmp_path / "in", tmp_path / "out", lab="17")
    with pytest.raises(LabkitError, match="--deadline: expected a time"):
        grade(tmp_path / "in", tmp_path / "out", deadline="tomorrow")
    with pytest.raises(LabkitError, match="cannot keep hostile submissions apart.*no limits.*--unsafe"):
        grade(tmp_path / "in", tmp_path / "out", tier=Tier("none", 0, ("no limits",), False))
    (tmp_path / "out" / "grading.json").write_text('{"lab": "00_other", "seed": 1}')
    with pytest.raises(LabkitError, match="holds the grades of 00_other"):
        grade(tmp_path / "in", tmp_path / "out")


def test_the_secret_is_drawn_once_and_is_nobody_elses_to_read(tmp_path: Path) -> None:
    from labkit.grading.secret import inputs_code, settle_secret

    drawn = settle_secret(tmp_path)
    assert settle_secret(tmp_path) == drawn and (tmp_path / "secret").stat().st_mode & 0o777 == 0o600
    codes = {
        inputs_code(drawn, "91", who, what, hidden) for who in ("a", "b") for what in "xy" for hidden in (True, False)
    }
    assert len(codes) == 8 and inputs_code(drawn, "91", "a", "x") == inputs_code(drawn, "91", "a", "x")
    assert settle_secret(tmp_path, seed=3) != drawn and settle_secret(tmp_path) == settle_secret(tmp_path, seed=3)
    (tmp_path / "secret").write_text("x")
    with pytest.raises(LabkitError, match="is damaged"):
        settle_secret(tmp_path)


def test_near_copies_are_seen_and_common_answers_are_not(course: Path, own_checks: str) -> None:
    from labkit.grading.results import ExerciseGrade
    from labkit.grading.similarity import near_copies

    long = "def double(x):\n    parts = [x * 0.25 for _ in range(4)]\n    whole = sum(parts)\n    if whole < 0:\n"
    long += (
        "        return -2 * abs(whole)\n    while whole > 1e9:\n        whole = whole - 1\n    return whole + whole\n"
    )
    renamed = (
        long.replace("parts", "quarters")
        .replace("whole", "w")
        .replace("    return w + w", "    # mine\n    return w + w")
    )

    def student(name: str, source: str) -> Graded:
        exercise = ExerciseGrade(id="91-double", title="", status="right", points=2, max_points=2, source=source)
        return Graded(student=name, status="graded", exercises=[exercise])

    template = read_template("91", course)
    other = [student(f"s{n}", RIGHT["91-double"]) for n in range(9)]
    [pair] = near_copies([student("a", long), student("b", renamed), *other], template)
    assert (pair.one, pair.other, pair.exercise) == ("a", "b", "91-double") and pair.fraction == 1
    assert near_copies([student(f"s{n}", long) for n in range(9)], template) == []


def test_the_check_cell_decides_what_is_asked(course: Path, own_checks: str) -> None:
    notebook = student_copy(course)
    assert cell_of(notebook, "check-91-double")["metadata"]["nbgrader"]["points"] == 3  # the hidden one's included
    assert "hidden" not in cell_of(notebook, "check-91-double")["source"].lower()


def test_each_exercise_within_its_limit_and_all_together_beyond_theirs(
    grade: Grade, course: Path, own_checks: str, tmp_path: Path
) -> None:
    """What was judged in time counts, and the rest is named so."""
    slow = "import time\ntime.sleep(4)\ndef total(values):\n    time.sleep(4)\n    return values.sum(dim=0)"
    hand_in(tmp_path / "in", "slow", answered(student_copy(course), {**RIGHT, "91-total": slow}))
    [result] = grade(tmp_path / "in", tmp_path / "out", limit=11, jobs=1)
    double, total, both = result.exercises
    assert result.status == total.status == both.status == "overall-timeout"
    assert (double.points, total.points, both.points) == (2, 0, 0)
    assert "not shown, could not be run to its end" in double.message  # nor was its hidden check run
    assert "all exercises together took more than 11 s" in result.reason and result.score == 2
    assert "all exercises together took too long" in (tmp_path / "out" / "feedback" / "slow.html").read_text()
