"""Grades and feedback in the form in which a learning platform takes them back.

The forms are what the platforms' importers read: Canvas "Import grades" and "Upload submissions", Moodle's "Upload
grading worksheet" and "Upload multiple feedback files in a zip". Gradescope imports no grades: its form is that of its
own "Download grades", and of its autograders' results.json. A score that is not known stays empty; nothing is made 0.
"""

from __future__ import annotations

import csv
import html
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
from labkit.grading.handed_in import CANVAS
from labkit.grading.results import Graded
from labkit.grading.roster import Person, Roster
from labkit.grading.tables import Table, is_number, original_text, plain_text, read_table
from labkit.grading.unpack import short_name

PLATFORMS = ("canvas", "moodle", "csv", "gradescope")
EPOCH = (1980, 1, 1, 0, 0, 0)  # in zips, so that the same grades give the same bytes
NO_PAGE = {
    "canvas": "Canvas takes pages back only for files from its own Download submissions",
    "moodle": "Moodle knows students by the number in the names of its download",
}
MOODLE_COLUMNS = ["Identifier", "Full name", "Email address", "Status", "Grade", "Maximum grade",
                  "Grade can be changed", "Last modified (submission)", "Last modified (grade)",
                  "Feedback comments"]  # fmt: skip


@dataclass(frozen=True)
class Row:
    """A student as the gradebook has her.

    Attributes:
        student: her name in the gradebook.
        name: in full, as the roster says it.
        id: that of the roster.
        number: by which the platform knows her, "" if neither its own roster nor the name of her download tells it.
        score: "" if it is not known.
        highest: the points of the lab.
        cells: her row of the gradebook.
        person: her row of the roster.
    """

    student: str
    name: str
    id: str
    number: str
    score: str
    highest: str
    cells: Mapping[str, str]
    person: Mapping[str, str]

    @property
    def full_name(self) -> str:
        """Her name, without the number behind it."""
        return self.name or re.sub(r"_\d+$", "", self.student)

    def score_of(self, highest: str) -> str:
        """Return the score where the platform's assignment is worth ``highest`` points."""
        if not self.score or not highest or float(highest) == float(self.highest):
            return self.score
        return f"{round(float(self.score) * float(highest) / float(self.highest), 2):g}"


def export(
    grades: str | Path,
    platform: str,
    out: str | Path | None = None,
    assignment: str = "",
    tell: Callable[[str], object] = print,
) -> list[Path]:
    """Write the grades, and a zip of the feedback, in a platform's own form; return both paths.

    Args:
        grades: the folder that `labkit grade` wrote.
        platform: canvas, moodle, csv or gradescope.
        out: the folder to write into; that of the grades if None.
        assignment: the name of the platform's column; Canvas writes it with its number, "Lab 01 (1234)".
        tell: is called with each line on what an instructor should know.

    Raises:
        LabkitError: for another platform, a folder without grades, or a student that the platform cannot know.
    """
    grades = Path(grades)
    if platform not in PLATFORMS:
        raise LabkitError(f"--to: expected {', '.join(PLATFORMS)}, got {platform!r}")
    if not (grades / NAME).exists():
        raise LabkitError(f"{grades} holds no {NAME}: run `labkit grade` first")
    roster = _roster(grades)
    rows = _rows(grades, roster, platform)
    made = Export(grades, rows, roster, assignment or _title(grades), tell)
    text = _csv(FORMS[platform](made))
    out = artifacts.make_folder(Path(out) if out is not None else grades)
    table, pages = out / f"{platform}-grades.csv", out / f"{platform}-feedback.zip"
    artifacts.write_text(table, text)
    artifacts.write_bytes(pages, _zip(_feedback(made, platform)))
    return [table, pages]


@dataclass(frozen=True)
class Export:
    """What is exported: the folder, its rows, the class, the name of the assignment, and where lines are told."""

    grades: Path
    rows: Sequence[Row]
    roster: Roster
    title: str
    tell: Callable[[str], object]

    def tell_scaled(self, highest: str) -> None:
        """Say that the platform's assignment is worth other points than the lab, if it is."""
        if highest and float(highest) != float(self.rows[0].highest):
            points = f"{float(highest):g} points there and {self.rows[0].highest} here"
            self.tell(f"the assignment is worth {points}: the grades are scaled")


def _rows(grades: Path, roster: Roster, platform: str) -> list[Row]:
    table: Table = read_table(grades / NAME)
    if not {"student_id", "score", "max_score"} <= set(table.columns):
        raise LabkitError(f"{grades / NAME}: expected the columns student_id, score and max_score")
    people = {person.id: person for person in roster.people}
    rows = []
    for line, cells in table.rows:
        plain = {column: original_text(value) for column, value in cells.items()}
        student, person = plain["student_id"], people.get(plain.get("roster_id", ""))
        score = plain["override"] if plain.get("override") else plain["score"]
        highest = plain["max_score"]
        if (score and not is_number(score)) or not is_number(highest) or float(highest) <= 0:
            raise LabkitError(
                f"{grades / NAME}:{line}: score and max_score must be numbers, got {score!r}, {highest!r}"
            )
        own = plain.get("roster_id", "") if roster.kind == platform else ""
        found = re.fullmatch(r".+_(\d+)", student)
        number = own if own.isdigit() else found[1] if found else ""
        name = person.name if person else plain.get("name", "")
        row = person.row if person else {}
        rows.append(Row(student, name, plain.get("roster_id", ""), number, score, highest, plain, row))
    if not rows:
        raise LabkitError(f"{grades / NAME}: nobody is in it")
    return rows


def _roster(grades: Path) -> Roster:
    path = grades / "roster.json"
    if not path.exists():
        return Roster("csv", ())
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        people = (Person(p["id"], p["name"], tuple(p["keys"]), p["row"]) for p in raw["people"])
        return Roster(raw["kind"], tuple(people), raw.get("points", {}))
    except (OSError, ValueError, KeyError, TypeError):
        raise LabkitError(f"{path} is damaged: grade again with --resume and --roster") from None


def _title(grades: Path) -> str:
    try:
        settings = json.loads((grades / "grading.json").read_text(encoding="utf-8"))
        return str(settings.get("title") or settings["lab"])
    except (OSError, ValueError, KeyError):
        return "labkit"


# Tables


def _names(rows: Sequence[Row]) -> str:
    return ", ".join(row.student for row in rows)


def _known(made: Export, platform: str, where: str, login: str = "") -> list[Row]:
    """Return the rows that the platform can know; one without a grade may be missing, one with a grade may not."""
    unknown = [row for row in made.rows if not (row.number or row.person.get(login))]
    if graded := [row.student for row in unknown if row.score]:
        raise LabkitError(
            f"{platform} does not know {graded[0]}: no number in the name, and not on a roster from {platform}. Grade "
            f"with --resume and --roster, and the file that {platform} gives ({where})"
        )
    if unknown:
        made.tell(f"left out, since {platform} does not know them and they have no grade: {_names(unknown)}")
    return [row for row in made.rows if row not in unknown]


def _canvas(made: Export) -> list[list[str]]:
    """Return Canvas's "Import grades": students are known by ID, else by login; assignments by name and number."""
    rows = _known(made, "Canvas", "Grades, Export", "SIS Login ID")
    title, points = made.title, {name: value for name, value in made.roster.points.items() if is_number(value)}
    if title not in points:
        alike = [name for name in points if title.casefold() in name.casefold()]
        title = alike[0] if len(alike) == 1 else title
    if points and title not in points:
        made.tell(f"Canvas has no assignment {title!r} and will offer to make one. --assignment names one of: "
                  f"{', '.join(points)}")  # fmt: skip
    highest = points.get(title, made.rows[0].highest)
    made.tell_scaled(highest)
    head = ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", title]
    found = [head, ["    Points Possible", "", "", "", "", highest]]
    for row in rows:
        own = row.person
        logins = [own.get(column, "") for column in ("SIS User ID", "SIS Login ID", "Section")]
        found.append([own.get("Student") or row.full_name, own.get("ID") or row.number, *logins, row.score_of(highest)])
    return found


def _moodle(made: Export) -> list[list[str]]:
    """Return Moodle's grading worksheet, as it was downloaded if it is the roster: students are known by Identifier.

    Moodle skips in silence what is more than the assignment's maximum, and takes the comments for HTML.
    """
    rows = _known(made, "Moodle", "View all submissions, Download grading worksheet")
    own_head = next((list(row.person) for row in rows if "Identifier" in row.person), [])
    head = own_head or MOODLE_COLUMNS
    if missing := {"Identifier", "Grade", "Last modified (grade)"} - set(head):
        raise LabkitError(
            f"the worksheet has no column {', '.join(sorted(missing))}, without which Moodle takes nothing back: "
            "download it in English, from an assignment that is graded with points"
        )
    maximum = next((column for column in head if column.casefold() == "maximum grade"), "")
    highest = next((row.person[maximum].replace(",", ".") for row in rows if row.person.get(maximum)), "")
    highest = highest if is_number(highest) and float(highest) > 0 else ""
    made.tell_scaled(highest)
    found = [head]
    for row in rows:
        own = row.person
        reason = html.escape(row.cells.get("reason", ""), quote=False)
        values = {
            **own,
            "Identifier": own.get("Identifier") or f"Participant {row.number}",
            "Full name": own.get("Full name") or row.full_name,
            "Grade": row.score_of(highest) or own.get("Grade", ""),
            "Feedback comments": reason or own.get("Feedback comments", ""),
        }
        if not own:
            values |= {maximum: row.highest, "Grade can be changed": "Yes"}
        found.append([values.get(column, "") for column in head])
    return found


def _plain_csv(made: Export) -> list[list[str]]:
    names = ["status", "late", "override", "reason", "flags"]
    found = [["student_id", "name", "roster_id", "score", "max_score", *names]]
    for row in made.rows:
        cells = [row.cells.get(name, "") for name in names]
        found.append([row.student, row.full_name, row.id, row.score, row.highest, *cells])
    return found


def _gradescope(made: Export) -> list[list[str]]:
    """Return what Gradescope's "Download grades" begins with."""
    found = [["First Name", "Last Name", "SID", "Email", "Total Score", "Max Points", "Status"]]
    for row in made.rows:
        own = {column.casefold(): value for column, value in row.person.items()}
        first, _, last = row.full_name.rpartition(" ")
        first, last = own.get("first name", first), own.get("last name", last)
        sid = own.get("sid") or row.id or row.student
        status = "Graded" if row.score else "Missing" if row.cells.get("status") == "missing" else "Ungraded"
        found.append([first, last, sid, own.get("email", ""), row.score, row.highest, status])
    return found


FORMS: dict[str, Callable[[Export], list[list[str]]]] = {
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


def _feedback(made: Export, platform: str) -> dict[str, bytes]:
    """Return the files of the zip: a page for each student who handed in something, named as the platform wants it."""
    found, unnamed = {}, []
    for row in made.rows:
        page = made.grades / "feedback" / f"{file_name(row.student)}.html"
        if not page.exists():
            continue
        if platform == "gradescope":
            found[f"{file_name(row.student)}/results.json"] = _results(made.grades, row)
        elif name := _page_name(row, platform):
            found[name] = page.read_bytes()
        elif row.cells.get("status") != "missing":
            unnamed.append(row.student)
    if unnamed:
        made.tell(f"the zip has no page for {', '.join(unnamed)}: {NO_PAGE[platform]}")
    return found


def _page_name(row: Row, platform: str) -> str:
    """Return the name of a page in the zip, "" if the platform could not tell whose it is."""
    if platform == "canvas":  # which knows student and upload by the numbers in the name of the upload
        upload = row.cells.get("upload", "")
        return f"{upload}.html" if CANVAS.fullmatch(upload) else ""
    if platform == "moodle":  # which splits it at the underscores, and leaves hidden files aside
        name = re.sub(r"[_/\\]", " ", row.full_name).lstrip(".~ ") or "student"
        return f"{name}_{row.number}_assignsubmission_file_feedback.html" if row.number else ""
    return f"{file_name(row.student)}.html"


def _results(grades: Path, row: Row) -> bytes:
    """Return results.json of a Gradescope autograder."""
    tests: list[dict[str, Any]] = []
    try:
        graded = Graded.model_validate_json((grades / "grades" / f"{file_name(row.student)}.json").read_bytes())
        for number, exercise in enumerate(graded.exercises, 1):
            one = {"name": exercise.title, "number": str(number), "score": exercise.points}
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
