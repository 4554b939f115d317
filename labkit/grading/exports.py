"""Grades and feedback in the form in which a learning platform takes them back.

The forms are those of the platforms' own documentation: Canvas "Import grades" and "Upload submissions", Moodle's
"Upload grading worksheet" and "Upload multiple feedback files in a zip", Gradescope's "Download grades" and its
autograders' results.json. A score that is not known stays empty; nothing is made 0.
"""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from labkit import artifacts
from labkit.errors import LabkitError
from labkit.grading.gradebook import NAME, file_name
from labkit.grading.results import Graded
from labkit.grading.roster import Person, Roster
from labkit.grading.tables import Table, original_text, plain_text, read_table
from labkit.grading.unpack import short_name

PLATFORMS = ("canvas", "moodle", "csv", "gradescope")
EPOCH = (1980, 1, 1, 0, 0, 0)  # in zips, so that the same grades give the same bytes


@dataclass(frozen=True)
class Row:
    """A student as the gradebook has her, with her row of the roster if there is one."""

    student: str
    name: str
    id: str
    score: str
    highest: str
    cells: Mapping[str, str]
    person: Mapping[str, str]

    @property
    def number(self) -> str:
        """The number by which Canvas or Moodle knows her, "" if no name tells it."""
        found = re.fullmatch(r".+_(\d+)", self.student)
        return self.id if self.id.isdigit() else found[1] if found else ""

    @property
    def full_name(self) -> str:
        """Her name, without the number behind it."""
        return self.name or re.sub(r"_\d+$", "", self.student)


def export(grades: str | Path, platform: str, out: str | Path | None = None, assignment: str = "") -> list[Path]:
    """Write the grades, and a zip of the feedback, in a platform's own form; return both paths.

    Args:
        grades: the folder that `labkit grade` wrote.
        platform: canvas, moodle, csv or gradescope.
        out: the folder to write into; that of the grades if None.
        assignment: the name of the platform's column; Canvas writes it with its number, "Lab 01 (1234)".

    Raises:
        LabkitError: for another platform, a folder without grades, or a student that the platform cannot know.
    """
    grades = Path(grades)
    if platform not in PLATFORMS:
        raise LabkitError(f"--to: expected {', '.join(PLATFORMS)}, got {platform!r}")
    if not (grades / NAME).exists():
        raise LabkitError(f"{grades} holds no {NAME}: run `labkit grade` first")
    rows = _rows(grades)
    title = assignment or _title(grades)
    out = artifacts.make_folder(Path(out) if out is not None else grades)
    table, pages = out / f"{platform}-grades.csv", out / f"{platform}-feedback.zip"
    artifacts.write_text(table, _csv(FORMS[platform](rows, title)))
    artifacts.write_bytes(pages, _zip(_feedback(grades, rows, platform)))
    return [table, pages]


def _rows(grades: Path) -> list[Row]:
    table: Table = read_table(grades / NAME)
    if not {"student_id", "score", "max_score"} <= set(table.columns):
        raise LabkitError(f"{grades / NAME}: expected the columns student_id, score and max_score")
    people = {person.id: person for person in _roster(grades).people}
    rows = []
    for _, cells in table.rows:
        plain = {column: original_text(value) for column, value in cells.items()}
        person = people.get(plain.get("roster_id", ""))
        rows.append(
            Row(
                plain["student_id"],
                person.name if person else plain.get("name", ""),
                plain.get("roster_id", ""),
                plain["override"] if plain.get("override") else plain["score"],
                plain["max_score"],
                plain,
                person.row if person else {},
            )
        )
    return rows


def _roster(grades: Path) -> Roster:
    path = grades / "roster.json"
    if not path.exists():
        return Roster("csv", ())
    raw = json.loads(path.read_text(encoding="utf-8"))
    people = (Person(p["id"], p["name"], tuple(p["keys"]), p["row"]) for p in raw["people"])
    return Roster(raw["kind"], tuple(people))


def _title(grades: Path) -> str:
    try:
        settings = json.loads((grades / "grading.json").read_text(encoding="utf-8"))
        return str(settings.get("title") or settings["lab"])
    except (OSError, ValueError, KeyError):
        return "labkit"


# Tables


def _canvas(rows: Sequence[Row], title: str) -> list[list[str]]:
    """Return Canvas's "Import grades": students are known by ID."""
    if unknown := [row.student for row in rows if not (row.number or row.person.get("SIS Login ID"))]:
        raise LabkitError(
            f"Canvas cannot know {unknown[0]}: no number in the name, and not on a roster. Grade with --roster and "
            "the file that Canvas exports (Grades, Export)"
        )
    head = ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", title]
    found = [head, ["    Points Possible", "", "", "", "", rows[0].highest]]
    for row in rows:
        own = row.person
        number = own.get("ID") or row.number
        logins = [own.get(column, "") for column in ("SIS User ID", "SIS Login ID", "Section")]
        found.append([own.get("Student") or row.full_name, number, *logins, row.score])
    return found


def _moodle(rows: Sequence[Row], title: str) -> list[list[str]]:
    """Return Moodle's grading worksheet, as it was downloaded if it is the roster: students are known by Identifier."""
    if unknown := [row.student for row in rows if not row.number]:
        raise LabkitError(
            f"Moodle cannot know {unknown[0]}: no number in the name, and not on a roster. Grade with --roster and the "
            "grading worksheet that Moodle gives (View all submissions, Download grading worksheet)"
        )
    own_head = next((list(row.person) for row in rows if "Identifier" in row.person), [])
    head = own_head or ["Identifier", "Full name", "Email address", "Status", "Grade", "Maximum Grade",
                        "Grade can be changed", "Last modified (submission)", "Last modified (grade)",
                        "Feedback comments"]  # fmt: skip
    found = [head]
    for row in rows:
        own = row.person
        values = {
            **own,
            "Identifier": own.get("Identifier") or f"Participant {row.number}",
            "Full name": own.get("Full name") or row.full_name,
            "Grade": row.score,
            "Maximum Grade": own.get("Maximum Grade") or row.highest,
            "Grade can be changed": own.get("Grade can be changed") or "Yes",
            "Feedback comments": row.cells.get("reason", ""),
        }
        found.append([values.get(column, "") for column in head])
    return found


def _plain_csv(rows: Sequence[Row], title: str) -> list[list[str]]:
    names = ["status", "late", "override", "reason", "flags"]
    found = [["student_id", "name", "roster_id", "score", "max_score", *names]]
    for row in rows:
        cells = [row.cells.get(name, "") for name in names]
        found.append([row.student, row.full_name, row.id, row.score, row.highest, *cells])
    return found


def _gradescope(rows: Sequence[Row], title: str) -> list[list[str]]:
    """Return what Gradescope's "Download grades" looks like."""
    found = [["First Name", "Last Name", "SID", "Email", "Total Score", "Max Points", "Status"]]
    for row in rows:
        own = {column.casefold(): value for column, value in row.person.items()}
        first, _, last = row.full_name.rpartition(" ")
        first, last = own.get("first name", first), own.get("last name", last)
        sid = own.get("sid") or row.id or row.student
        status = "Graded" if row.score else "Missing" if row.cells.get("status") == "missing" else "Ungraded"
        found.append([first, last, sid, own.get("email", ""), row.score, row.highest, status])
    return found


FORMS: dict[str, Callable[[Sequence[Row], str], list[list[str]]]] = {
    "canvas": _canvas,
    "moodle": _moodle,
    "csv": _plain_csv,
    "gradescope": _gradescope,
}


def _csv(rows: Sequence[Sequence[str]]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows([plain_text(cell) for cell in row] for row in rows)
    return buffer.getvalue()


# Feedback


def _feedback(grades: Path, rows: Sequence[Row], platform: str) -> dict[str, bytes]:
    """Return the files of the zip: a page for each student who handed in something, named as the platform wants it."""
    found = {}
    for row in rows:
        page = grades / "feedback" / f"{file_name(row.student)}.html"
        if not page.exists():
            continue
        if platform == "gradescope":
            found[f"{file_name(row.student)}/results.json"] = _results(grades, row)
            continue
        found[_page_name(row, platform)] = page.read_bytes()
    return found


def _page_name(row: Row, platform: str) -> str:
    if platform == "canvas" and re.fullmatch(r"[^_]+_(LATE_)?\d+_\d+_.+", row.cells.get("file", "")):
        return f"{Path(row.cells['file']).stem}.html"  # Canvas knows student and attachment by the numbers in it
    if platform == "canvas":
        return f"{re.sub('[^a-z]', '', row.full_name.casefold()) or 'student'}_{row.number}_feedback.html"
    if platform == "moodle":  # Moodle splits it at the underscores
        return f"{row.full_name.replace('_', ' ')}_{row.number}_assignsubmission_file_feedback.html"
    return f"{file_name(row.student)}.html"


def _results(grades: Path, row: Row) -> bytes:
    """Return results.json of a Gradescope autograder."""
    tests: list[dict[str, Any]] = []
    try:
        graded = Graded.model_validate_json((grades / "grades" / f"{file_name(row.student)}.json").read_bytes())
        for exercise in graded.exercises:
            one = {"name": exercise.title, "number": exercise.id, "score": exercise.points}
            tests.append({**one, "max_score": exercise.max_points, "output": exercise.message or exercise.status})
    except (OSError, ValidationError):
        pass
    score = {"score": float(row.score)} if row.score else {}
    found = {**score, "output": row.cells.get("reason", ""), "visibility": "after_published", "tests": tests}
    return (json.dumps(found, indent=1) + "\n").encode()


def _zip(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in sorted(files.items()):
            archive.writestr(
                zipfile.ZipInfo("/".join(map(short_name, name.split("/"))), EPOCH), data, zipfile.ZIP_DEFLATED
            )
    return buffer.getvalue()
