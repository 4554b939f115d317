"""The instructor's year: rosters, late work, overrides, pages, exports and their way back."""

import csv
import json
import zipfile
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from grading_lab import HIGHEST, SQUARE

from labkit import LabkitError
from labkit.grading import gradebook, pages
from labkit.grading.exports import export
from labkit.grading.grade import keep_roster
from labkit.grading.gradebook import Facts, Override
from labkit.grading.handed_in import Submission, parse_time
from labkit.grading.late import Penalty, parse_penalty
from labkit.grading.results import ExerciseGrade, Graded
from labkit.grading.roster import join_roster, read_roster
from labkit.grading.similarity import fingerprint, known_answers, near_copies
from labkit.grading.tables import original_text, plain_text, read_table
from labkit.grading.template import Template, read_template
from labkit.grading.usage import beyond, uses

DUE = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
CANVAS = """\
Student,ID,SIS User ID,SIS Login ID,Section,Lab 91 (4711)
,,,,,Manual Posting
    Points Possible,,,,,7
"Smith, Ann",123,0001,asmith,Lab A,
"Lee, Bob",124,0002,blee,Lab A,
"Lee, Bob",125,0003,blee2,Lab B,
"Student, Test",999,,,,
"""
MOODLE = """\
Identifier,Full name,Email address,Status,Grade,Maximum Grade,Grade can be changed,Last modified (submission),\
Last modified (grade),Feedback comments
Participant 1234,Ann Smith,ann@x.edu,Submitted,,7.00,Yes,"Sunday, 1 March 2026, 11:00 AM",-,
Participant 1235,Bob_Lee,bob@x.edu,No submission,,7.00,Yes,-,-,
Participant 1236,Cat O'Neil,cat@x.edu,Submitted,,7.00,Yes,"Sunday, 1 March 2026, 11:00 AM",-,
"""


@pytest.fixture
def template(course: Path, own_checks: str) -> Template:
    return read_template("91", course)


def graded(student: str, points: int, file: str = "x.ipynb", source: str = SQUARE, **more: object) -> Graded:
    each = [
        ExerciseGrade(
            id="91-double", title="Twice", status="wrong", points=0, max_points=3, message="<b>no", source=source
        ),
        ExerciseGrade(id="91-both", title="Both", status="right", points=points, max_points=4, source="x = 1"),
    ]
    return Graded(student=student, status="graded", file=file, exercises=each, code="c" * 20, **more)  # type: ignore[arg-type]


def written(out: Path, template: Template, results: list[Graded], roster: Path | None = None, **more: object) -> Path:
    """The files of a grading with these results."""
    facts = Facts(template.lab, template.title, None, "none", more.pop("due", None), more.pop("penalty", None))  # type: ignore[arg-type]
    found = more.pop("found", None) or [Submission(one.student, ()) for one in results]
    people = read_roster(roster) if roster else None
    students = join_roster([one.student for one in results], people)
    book = gradebook.make(found, results, template, facts, more.pop("overrides", {}), students)  # type: ignore[arg-type]
    pages.write(out, book, results, template, facts, [], {one.student: 1.5 for one in results})
    keep_roster(out, people)
    return out


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


# Rosters


def test_a_canvas_roster_tells_namesakes_apart(tmp_path: Path, template: Template) -> None:
    roster = tmp_path / "canvas.csv"
    roster.write_text(CANVAS)
    people = read_roster(roster)
    assert people.kind == "canvas" and [person.id for person in people.people] == ["123", "124", "125"]
    students = join_roster(["smithann_123", "leebob_125", "Bob Lee", "zoe"], people)
    assert {who: person.id for who, person in students.people.items()} == {"smithann_123": "123", "leebob_125": "125"}
    assert [person.id for person in students.absent] == ["124"]
    assert students.notes == (
        "Bob Lee: more than one person on the roster has this name: name the submission by the person's id",
        "zoe: not on the roster",
    )
    out = written(tmp_path / "out", template, [graded("smithann_123", 4), graded("leebob_125", 2)], roster)
    book = {row["student_id"]: row for row in rows(out / "gradebook.csv")}
    assert (book["smithann_123"]["name"], book["smithann_123"]["roster_id"]) == ("Smith, Ann", "123")
    assert (book["124"]["status"], book["124"]["score"], book["124"]["name"]) == ("missing", "", "Lee, Bob")


def test_moodle_classroom_and_plain_rosters(tmp_path: Path) -> None:
    path = tmp_path / "roster.csv"
    path.write_text(MOODLE)
    students = join_roster(["Ann Smith_1234", "Cat O'Neil_1236"], read_roster(path))
    assert [person.id for person in students.people.values()] == ["1234", "1236"]
    assert [person.name for person in students.absent] == ["Bob_Lee"]
    path.write_text("identifier,github_username,github_id,name\n007,annsmith,5,Ann Smith\n")
    assert read_roster(path).kind == "classroom"
    assert join_roster(["annsmith"], read_roster(path)).people["annsmith"].id == "007"
    assert join_roster(["7"], read_roster(path)).people["7"].id == "007"  # lost its leading zeros
    path.write_text("student_id;name\n1;Ann Smith\n2;José Núñez\n")
    people = join_roster(["Smith Ann", "Jose Nunez"], read_roster(path)).people
    assert [person.id for person in people.values()] == ["1", "2"]
    for text, message in (
        ("a,b\n1,2\n", "expected a column with ids"),
        ("id,name\n1,a\n1,b\n", "1 is there twice"),
        ("id\n", "nobody is in it"),
    ):
        path.write_text(text)
        with pytest.raises(LabkitError, match=message):
            read_roster(path)


# Late work, overrides


def test_late_work_loses_what_was_said(tmp_path: Path, template: Template) -> None:
    assert parse_penalty("none") is None
    penalty = parse_penalty("10%/day")
    assert penalty == Penalty(0.1, 86400)
    assert [penalty.lost(timedelta(hours=h)) for h in (0, 1, 24, 25, 240, 500)] == [0, 0.1, 0.1, 0.2, 1, 1]
    for text in ("10", "10%", "0%/day", "200%/day", "10%/year"):
        with pytest.raises(LabkitError, match="--late: expected none, or a penalty such as 10%/day"):
            parse_penalty(text)
    times = {"ann": DUE, "bob": DUE + timedelta(hours=30), "cat": None}
    found = [Submission(who, (), time=when) for who, when in times.items()] + [Submission("dan", (), late=True)]
    results = [graded(one.student, 4) for one in found]
    out = written(tmp_path, template, results, found=found, due=DUE, penalty=penalty)
    book = {row["student_id"]: (row["score"], row["points"], row["late"]) for row in rows(out / "gradebook.csv")}
    assert book == {
        "ann": ("4", "4", "no"),
        "bob": ("3.2", "4", "yes"),
        "cat": ("4", "4", ""),
        "dan": ("3.6", "4", "yes"),
    }
    assert "of 4 earned" in (out / "feedback" / "bob.html").read_text()


def test_a_day_means_its_end() -> None:
    assert parse_time("2026-03-01", "x", end_of_day=True).strftime("%d %H:%M:%S") == "01 23:59:59"
    assert parse_time("2026-03-01", "x").hour == 0 and parse_time("2026-03-01T08:00", "x", end_of_day=True).hour == 8


def test_overrides_are_kept_checked_and_flagged(tmp_path: Path, template: Template) -> None:
    overrides = {"ann": Override("5", "2"), "007": Override("3", ""), "ghost": Override("1")}
    out = written(tmp_path, template, [graded("ann", 4), graded("7", 4)], overrides=overrides)
    book = {row["student_id"]: row for row in rows(out / "gradebook.csv")}
    assert (book["ann"]["score"], book["7"]["score"], book["ghost"]["status"]) == ("5", "3", "missing")
    assert "made when the points were 2, they are 4 now" in book["ann"]["flags"]
    summary = (out / "summary.html").read_text()
    assert "ghost is not among the submissions" in summary and "007 is taken for 7" in summary
    again = gradebook.read_overrides(out / "gradebook.csv", HIGHEST)
    assert again == {"ann": Override("5", "4"), "7": Override("3", "4"), "ghost": Override("1", "")}


# Pages


def test_the_summary_has_numbers_and_old_pages_go_away(tmp_path: Path, template: Template) -> None:
    results = [graded("ann", 4), graded("bob", 1), graded("cat", 1)]
    out = written(tmp_path, template, results)
    text = (out / "summary.html").read_text()
    assert "mean <strong>2.00</strong>" in text and "median <strong>1.0</strong>" in text and "Histogram" in text
    assert "aria-sort" in text and json.loads((out / "times.js").read_text()[14:-2]) == dict.fromkeys(
        ("ann", "bob", "cat"), 1.5
    )
    page = (out / "feedback" / "ann.html").read_text()
    assert "return x * x" in page and "&lt;b&gt;no" in page and "--inputs cccccccccccccccccccc" in page
    written(out, template, results[:1])
    assert [path.name for path in (out / "feedback").iterdir()] == ["ann.html"]


@pytest.mark.parametrize(
    "name", ["=a", "x;=cmd|y", "x,+1", "a\tb", "-5", "x", "'x", "o'neil;'=1", 'x;"=1+1"', "@a;b", "a|=b"]
)
def test_no_name_is_a_formula_whatever_separates(name: str) -> None:
    text = plain_text(name)
    assert original_text(text) == name
    for mark in ",;\t|":
        for cell in text.split(mark):
            assert not cell.lstrip(' "').startswith(("=", "+", "@")) and (cell == "-5" or not cell.startswith("-"))


# Exports


def test_canvas_takes_back_its_own_form(tmp_path: Path, template: Template) -> None:
    roster = tmp_path / "canvas.csv"
    roster.write_text(CANVAS)
    results = [graded("smithann_123", 4), graded("leebob_125", 2)]
    found = [Submission("smithann_123", (), upload="smithann_LATE_123_456_91_graded"), Submission("leebob_125", ())]
    out = written(tmp_path / "out", template, results, roster, found=found)
    told: list[str] = []
    table, archive = export(out, "canvas", assignment="Lab 91 (4711)", tell=told.append)
    assert len(told) == 1 and told[0].startswith("the zip has no page for leebob_125: Canvas takes pages back only")
    rows_of = list(csv.reader(table.open(newline="")))
    assert rows_of[0] == ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", "Lab 91 (4711)"]
    assert rows_of[1] == ["    Points Possible", "", "", "", "", str(HIGHEST)]
    by_id = {row[1]: row for row in rows_of[2:]}
    assert by_id["123"] == ["Smith, Ann", "123", "0001", "asmith", "Lab A", "4"]
    assert by_id["124"][-1] == "" and by_id["125"][-1] == "2"
    assert [person.id for person in read_roster(table).people] == ["123", "125", "124"]  # it reads what it writes
    with zipfile.ZipFile(archive) as inside:
        [name] = inside.namelist()
    # As Canvas's importer finds student and upload: the first two parts that are numbers, LATE left out.
    assert [part for part in name.split("_") if part.isdigit()][:2] == ["123", "456"]
    with pytest.raises(LabkitError, match="Canvas does not know zoe"):
        export(written(tmp_path / "other", template, [graded("zoe", 1)]), "canvas")


def test_canvas_points_and_names_of_assignments(tmp_path: Path, template: Template) -> None:
    """The form with names in two columns, points of its own, and totals that cannot be written."""
    roster = tmp_path / "canvas.csv"
    roster.write_text(
        "LastName,FirstName,ID,SIS User ID,SIS Login ID,Integration ID,Section,A lab to grade (5),Quiz (6),Final Score"
        "\n"
        "    Points Possible,,,,,,,10,20,(read only)\nSmith,Ann,123,0001,asmith,,Lab A,,,N/A\n"
    )
    out = written(tmp_path / "out", template, [graded("smithann_123", 4)], roster)
    (out / "grading.json").write_text(json.dumps({"lab": template.lab, "title": template.title}))
    told: list[str] = []
    table, _ = export(out, "canvas", tell=told.append)
    found = list(csv.reader(table.open(newline="")))
    assert found[0][-1] == "A lab to grade (5)" and found[1][-1] == "10" and found[2][1] == "123"
    assert found[2][-1] == "5.71" and any("worth 10 points there and 7 here" in line for line in told)
    told.clear()
    export(out, "canvas", assignment="Lab 1", tell=told.append)
    assert "no assignment 'Lab 1' and will offer to make one" in told[0] and "Quiz (6)" in told[0]


def test_moodle_takes_back_its_own_form(tmp_path: Path, template: Template) -> None:
    roster = tmp_path / "worksheet.csv"
    roster.write_text(MOODLE, encoding="utf-8-sig")  # as Moodle writes it
    out = written(tmp_path / "out", template, [graded("Ann Smith_1234", 4), graded("Cat O'Neil_1236", 1)], roster)
    table, archive = export(out, "moodle")
    before, after = read_table(roster), read_table(table)
    assert after.columns == before.columns
    graded_rows = {row["Identifier"]: row for _, row in after.rows}
    assert {key: row["Grade"] for key, row in graded_rows.items()} == {
        "Participant 1234": "4",
        "Participant 1235": "",
        "Participant 1236": "1",
    }
    for _, row in before.rows:  # Moodle compares the times, and refuses a row whose grade has changed since
        own = graded_rows[row["Identifier"]]
        assert {k: v for k, v in own.items() if k not in ("Grade", "Feedback comments")} == {
            k: v for k, v in row.items() if k not in ("Grade", "Feedback comments")
        }
    with zipfile.ZipFile(archive) as inside:
        for name in inside.namelist():
            full_name, number, plugin, kind, rest = name.split("_", 4)  # as Moodle's importer does
            assert (
                number.isdigit() and (plugin, kind, rest) == ("assignsubmission", "file", "feedback.html") and full_name
            )
    with pytest.raises(LabkitError, match="Moodle does not know zoe"):
        export(written(tmp_path / "other", template, [graded("zoe", 1)]), "moodle")


def test_moodle_scales_keeps_comments_and_takes_no_number_for_a_participant(tmp_path: Path, template: Template) -> None:
    """Moodle 4's columns, 100 points (its default), a comment that is there, a reason with HTML, a locked row."""
    roster = tmp_path / "worksheet.csv"
    roster.write_text(
        "Identifier,Full name,ID number,Email address,Status,Group,Grade,Maximum grade,Grade can be changed,"
        "Last modified (submission),Last modified (grade),Feedback comments\n"
        'Participant 12,Ann Smith,2021001,ann@x.edu,Submitted,A,,"100,00",Yes,"Sunday, 1 March",-,<p>Nice</p>\n'
        'Participant 13,Bob Lee,2021002,bob@x.edu,Submitted,A,,"100,00",Yes,"Sunday, 1 March",-,\n'
    )
    results = [graded("Ann Smith_12", 4), graded("Bob Lee_13", 3, reason="<script>alert(1)</script>")]
    told: list[str] = []
    table, _ = export(written(tmp_path / "out", template, results, roster), "moodle", tell=told.append)
    ann, bob = (row for _, row in read_table(table).rows)
    assert (ann["Grade"], ann["Feedback comments"]) == ("57.14", "<p>Nice</p>")
    assert (bob["Grade"], bob["Feedback comments"]) == ("42.86", "&lt;script&gt;alert(1)&lt;/script&gt;")
    assert told == ["the assignment is worth 100 points there and 7 here: the grades are scaled"]
    plain = tmp_path / "plain.csv"  # a class's own numbers are not Moodle's
    plain.write_text("student_id,name\n2021001,Ann Smith\n2021003,Cat Fox\n")
    out = written(tmp_path / "plain", template, [graded("Ann Smith_12", 4)], plain)
    table, _ = export(out, "moodle", tell=told.append)
    assert [row["Identifier"] for _, row in read_table(table).rows] == ["Participant 12"]
    assert told[-1] == "left out, since Moodle does not know them and they have no grade: 2021003"
    roster.write_text(roster.read_text().replace("Last modified (grade)", "Zuletzt geändert"))
    with pytest.raises(LabkitError, match=r"no column Last modified \(grade\).*in English"):
        export(written(tmp_path / "german", template, results, roster), "moodle")


def test_the_staff_on_a_gradescope_roster_is_not_absent(tmp_path: Path, template: Template) -> None:
    roster = tmp_path / "roster.csv"
    roster.write_text(
        "First Name,Last Name,SID,Email,Role,Submission Count\nAnn,Smith,007,ann@x.edu,Student,1\n"
        "Bob,Lee,008,bob@x.edu,Student,0\nDan,Fox,,dan@x.edu,Instructor,0\nEve,Roe,,eve@x.edu,TA,0\n"
    )
    people = read_roster(roster)
    assert people.kind == "gradescope" and [person.id for person in people.people] == ["007", "008"]
    table, _ = export(written(tmp_path / "out", template, [graded("ann", 4)], roster), "gradescope")
    [ann, bob] = rows(table)
    assert (ann["First Name"], ann["Last Name"], ann["SID"], ann["Email"]) == ("Ann", "Smith", "007", "ann@x.edu")
    assert (bob["SID"], bob["Status"]) == ("008", "Missing")


def test_gradescope_and_csv(tmp_path: Path, template: Template) -> None:
    missing = Graded(student="bob", status="missing", reason="nothing was handed in")
    out = written(tmp_path, template, [graded("ann", 4), missing])
    table, archive = export(out, "gradescope")
    [ann, bob] = rows(table)
    assert (ann["SID"], ann["Total Score"], ann["Max Points"], ann["Status"]) == ("ann", "4", "7", "Graded")
    assert (bob["Total Score"], bob["Status"]) == ("", "Missing")
    with zipfile.ZipFile(archive) as inside:
        result = json.loads(inside.read("ann/results.json"))
        assert "score" not in json.loads(inside.read("bob/results.json"))
    assert result["score"] == 4 and result["tests"] == []  # grades/ann.json was not written here
    table, archive = export(out, "csv", tmp_path / "elsewhere")
    assert [row["score"] for row in rows(table)] == ["4", ""]
    again = archive.read_bytes()
    assert export(out, "csv", tmp_path / "elsewhere")[1].read_bytes() == again
    for platform, folder, message in (
        ("ilias", out, "expected canvas"),
        ("csv", tmp_path / "no", "run `labkit grade`"),
    ):
        with pytest.raises(LabkitError, match=message):
            export(folder, platform)


# Answers that are not the student's


def test_references_and_earlier_years_are_seen(tmp_path: Path, template: Template, course: Path) -> None:
    task = template.tasks[0]
    renamed = (
        task.solution.replace("twice_of_it", "y")
        .replace("(x: float) -> float", "(number)")
        .replace("2 * x", "2 * number")
    )
    results = [
        Graded(
            student="ann",
            status="graded",
            exercises=[ExerciseGrade(id=task.key, title="", status="right", points=3, max_points=3, source=renamed)],
        )
    ]
    assert ("ann", "the lab's solution") in {
        (p.one, p.other) for p in near_copies(results, template, known_answers(template))
    }
    (tmp_path / "2025" / "grades").mkdir(parents=True)
    old = {"student": "old", "exercises": [{"id": task.key, "source": "def double(q):\n    z = 2 * q\n    return z"}]}
    (tmp_path / "2025" / "grades" / "old.json").write_text(json.dumps(old))
    (tmp_path / "2025" / "damaged.ipynb").write_text("{")
    known = known_answers(template, [tmp_path / "2025"])
    assert "2025: old" in {one.origin for one in known}
    assert ("ann", "2025: old") in {(pair.one, pair.other) for pair in near_copies(results, template, known)}
    with pytest.raises(LabkitError, match="no such folder of earlier grades"):
        known_answers(template, [tmp_path / "nowhere"])


def test_layout_names_and_comments_do_not_matter() -> None:
    one = "def f(a: int) -> int:\n    '''Text.'''\n    # a comment\n    total = a + 1\n    return total\n"
    other = "import numpy as np\n\n\ndef f(value):\n\n    result = (value + 1)   # another\n    return result"
    assert fingerprint(one) == fingerprint(other) != fingerprint("def f(a):\n    return a + 1")
    assert fingerprint("f = lambda a: a + 1") == fingerprint("def f(b):\n    return b + 1")


@pytest.mark.parametrize(
    ("source", "before", "found"),
    [
        ("def f(x):\n    return color.luma(x)", "from labkit import color", ["labkit.color.luma"]),
        ("from labkit.color import luma as l\ndef f(x):\n    return l(x)", "", ["labkit.color.luma"]),
        (
            "import skimage.color\ndef f(x):\n    return skimage.color.rgb2lab(x)",
            "",
            ["skimage.color", "skimage.color.rgb2lab"],
        ),
        ("def f(color):\n    r, g, b = color\n    return r", "from labkit import color", []),
        ("import subprocess\ndef f(x):\n    return subprocess.run(['python'])", "", ["via subprocess"]),
        ("def f(x):\n    return __import__('labkit').color.luma(x)", "", ["via __import__", "via the text labkit"]),
        ("def f(x):\n    '''Like labkit.color.luma.'''\n    return x", "", []),
        ("import kornia.color as kc\nf = kc.rgb_to_lab", "", ["kornia.color", "kornia.color.rgb_to_lab"]),
        ("def f(x) return labkit.color.luma(x)", "", ["labkit.color.luma"]),
    ],
)
def test_what_an_answer_uses_is_found_in_its_source(source: str, before: str, found: list[str]) -> None:
    assert uses(source, before) == found


def test_what_is_allowed_is_no_flag() -> None:
    assert beyond(["labkit.color.luma", "labkit.color.rgb_to_lab"], ["labkit.color.luma"]) == [
        "labkit.color.rgb_to_lab"
    ]
    assert beyond(["labkit.metrics.pixel.psnr"], ["labkit.metrics"]) == []
    assert beyond(["labkit.colorizer.x"], ["labkit.color"]) == ["labkit.colorizer.x"]


def test_use_is_recorded_while_it_runs() -> None:
    import torch

    from labkit.notebook.answer import read_response, request, respond

    def answer(rgb: torch.Tensor) -> torch.Tensor:
        module = __import__("importlib").import_module("labkit.color")
        return getattr(module, "lu" + "ma")(rgb)

    text = request({"rgb": torch.rand(1, 3, 2, 2)}, None, (), record=True)
    assert read_response(respond(answer, text).text).uses == ("labkit.color.luma",)
    assert read_response(respond(answer, request({"rgb": torch.rand(1, 3, 2, 2)}, None, ())).text).uses == ()
