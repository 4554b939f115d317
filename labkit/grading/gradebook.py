"""The gradebook: a line for each student, with overrides, penalties and flags.

It is made from the grades and holds no time of grading, so that grading the same submissions again gives the same.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from labkit.errors import LabkitError
from labkit.grading.handed_in import Submission
from labkit.grading.late import Penalty
from labkit.grading.results import Graded
from labkit.grading.roster import Person, Students
from labkit.grading.similarity import Known, Pair, near_copies
from labkit.grading.tables import is_number, original_text, plain_text, read_table, same_id
from labkit.grading.template import Template
from labkit.ledger import environment

NAME = "gradebook.csv"
LONGEST_REASON = 500
MOST_FLAGS = 8
SHORT = 40  # tokens: answers that are shorter are alike by nature, and stand in the summary only


@dataclass(frozen=True)
class Facts:
    """What is true of a whole grading.

    Attributes:
        lab: its name.
        title: for people.
        seed: the inputs follow from it; None if they follow from the secret.
        tier: of the sandbox.
        due: the deadline.
        penalty: of late submissions.
        late: that penalty as it was given.
    """

    lab: str
    title: str
    seed: int | None
    tier: str
    due: datetime | None
    penalty: Penalty | None = None
    late: str = "none"


@dataclass(frozen=True)
class Override:
    """A score that an instructor has set, and the points that the student had then ("" if not known)."""

    score: str
    points: str = ""


@dataclass(frozen=True)
class Book:
    """The gradebook before it is written.

    Attributes:
        rows: by student; graded ones first, then absent ones, then those with nothing but an override.
        pairs: near copies.
        overridden: the students whose score was set by the instructor.
        notes: lines for the terminal.
    """

    rows: Mapping[str, Mapping[str, Any]]
    pairs: Sequence[Pair]
    overridden: frozenset[str]
    notes: tuple[str, ...] = ()

    def text(self) -> str:
        """Return it as CSV, safe to be opened in a spreadsheet."""
        rows = [{k: plain_text(v) if isinstance(v, str) else v for k, v in row.items()} for row in self.rows.values()]
        buffer = io.StringIO()
        writer = csv.DictWriter(buffer, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return buffer.getvalue()


def make(
    found: Sequence[Submission],
    results: Sequence[Graded],
    template: Template,
    facts: Facts,
    overrides: Mapping[str, Override],
    students: Students,
    known: Iterable[Known] = (),
) -> Book:
    """Return the gradebook.

    Args:
        found: the submissions.
        results: their grades, in the same order.
        template: the lab.
        facts: about the grading.
        overrides: as `read_overrides` returns them.
        students: who of the roster is who.
        known: answers to compare with, from outside the class.
    """
    pairs = near_copies(results, template, known)
    flags = _flags(results, pairs)
    absent = {_absent_name(person, {one.student for one in found}): person for person in students.absent}
    everybody = [*(graded.student for graded in results), *absent]
    settled, notes = _settled(overrides, everybody)
    rows: dict[str, dict[str, Any]] = {}
    for submission, graded in zip(found, results, strict=True):
        row = _row(graded, template, facts, submission, settled.get(graded.student))
        row["flags"] = "; ".join([*flags.get(graded.student, ()), *_changed(row, settled.get(graded.student), notes)])
        rows[graded.student] = {**row, **_person(students.people.get(graded.student))}
    for name, person in absent.items():
        gone = Graded(student=name, status="missing", reason="on the roster; nothing was handed in")
        rows[name] = {**_row(gone, template, facts, None, settled.get(name)), **_person(person)}
    for name in sorted(set(settled) - set(rows)):
        gone = Graded(student=name, status="missing", reason="not among the submissions of the last grading")
        rows[name] = {**_row(gone, template, facts, None, settled[name]), **_person(None)}
        notes.append(f"override: {name} is not among the submissions; the line is kept")
    return Book(rows, pairs, frozenset(settled), tuple(notes))


def _row(
    graded: Graded, template: Template, facts: Facts, submission: Submission | None, override: Override | None
) -> dict[str, Any]:
    """Return a line of the gradebook; a score that is not known is empty, not 0."""
    earned = {} if graded.score is None else {exercise.id: exercise.points for exercise in graded.exercises}
    points: Any = "" if graded.score is None else graded.score
    late, late_by = _late(submission, facts.due)
    score = points
    if facts.penalty and late_by and points != "":
        left = round(points * (1 - facts.penalty.lost(late_by)), 2)
        score = int(left) if left == int(left) else left
    versions = environment()
    return {
        "student_id": graded.student,
        "score": override.score if override else score,
        "max_score": sum(task.points for task in template.tasks),
        **{task.key: earned.get(task.key, "") for task in template.tasks},
        "status": graded.status,
        "reason": " ".join(graded.reason.split())[:LONGEST_REASON],
        "late": late,
        "override": override.score if override else "",
        "sha256": graded.sha256,
        "seed": "" if facts.seed is None else facts.seed,
        "tier": facts.tier,
        "versions": " ".join(f"{name} {versions[name]}" for name in ("labkit", "python", "torch") if name in versions),
        "points": points,
        "inputs": graded.code,
        "flags": "",
        "file": graded.file,
        "upload": submission.upload if submission else "",
    }


def _person(person: Person | None) -> dict[str, str]:
    return {"name": person.name if person else "", "roster_id": person.id if person else ""}


def _absent_name(person: Person, taken: set[str]) -> str:
    return person.id if person.id not in taken else f"{person.name}_{person.id}"


def _late(submission: Submission | None, due: datetime | None) -> tuple[str, timedelta | None]:
    """Return yes, no, or nothing where it is not known; and by how much, as far as that is known."""
    if submission is None:
        return "", None
    over = submission.time - due if due is not None and submission.time is not None else None
    if submission.late:
        return "yes", over if over and over > timedelta(0) else timedelta(seconds=1)
    if over is None:
        return "", None
    return ("yes", over) if over > timedelta(0) else ("no", None)


# Overrides


def read_overrides(path: Path, highest: float | None = None) -> dict[str, Override]:
    """Return student -> what an instructor has put into the column "override" of an earlier gradebook.

    Args:
        path: the gradebook.
        highest: the points of the lab, which no override may pass.

    Raises:
        LabkitError: naming the line that holds no number or too much, or if it cannot be read.
    """
    if not path.exists():
        return {}
    table = read_table(path)
    student_column, override_column = table.column("student_id"), table.column("override")
    if not student_column or not override_column:
        raise LabkitError(f"{path}: expected the columns student_id and override; move it away to start afresh")
    points_column = table.column("points", "score")
    found = {}
    for line, row in table.rows:
        student, override = original_text(row[student_column]), row[override_column].strip()
        if re.fullmatch(r"-?\d+,\d+", override):  # a decimal comma, as spreadsheets in many languages write it
            override = override.replace(",", ".")
        if override and not is_number(override):
            raise LabkitError(f"{path}:{line}: the override of {student} must be a number, got {override!r}")
        if override and highest is not None and not 0 <= float(override) <= highest:
            raise LabkitError(f"{path}:{line}: the override of {student} must be 0 to {highest:g}, got {override}")
        if override:
            found[student] = Override(override, row.get(points_column, ""))
    return found


def _settled(overrides: Mapping[str, Override], known: Sequence[str]) -> tuple[dict[str, Override], list[str]]:
    """Return overrides by the students' own ids, and a line for each id that had lost its leading zeros."""
    settled, notes = {}, []
    for student, override in overrides.items():
        meant = same_id(student, known) or student
        if meant != student:
            notes.append(f"override: {student} is taken for {meant} (a spreadsheet drops leading zeros)")
        settled[meant] = override
    return settled, notes


def _changed(row: Mapping[str, Any], override: Override | None, notes: list[str]) -> list[str]:
    """Return a flag if the points are not those that an override was made for."""
    if override is None or not is_number(override.points) or row["points"] == "":
        return []
    if float(override.points) == float(row["points"]) or float(override.points) == float(override.score):
        return []
    flag = f"override {override.score} was made when the points were {override.points}, they are {row['points']} now"
    notes.append(f"override: {row['student_id']}: {flag}")
    return [flag]


# Flags


def _flags(results: Sequence[Graded], pairs: Sequence[Pair]) -> dict[str, list[str]]:
    """Return what an instructor should look at, by student; it costs no points."""
    flags: dict[str, list[str]] = {}
    for graded in results:
        for exercise in graded.exercises:
            if exercise.uses:
                flags.setdefault(graded.student, []).append(f"{exercise.id} uses {', '.join(exercise.uses[:5])}")
    for pair in (pair for pair in pairs if pair.tokens >= SHORT):
        percent = f"{100 * pair.fraction:.0f} %"
        flags.setdefault(pair.one, []).append(f"{pair.exercise} is like {pair.other} ({percent})")
        if any(graded.student == pair.other for graded in results):
            flags.setdefault(pair.other, []).append(f"{pair.exercise} is like {pair.one} ({percent})")
    return {who: own[:MOST_FLAGS] + (["and more"] if len(own) > MOST_FLAGS else []) for who, own in flags.items()}


def file_name(student: str) -> str:
    """Return a file's name for a student, no two alike: a hash is in all names but plain ones in lower case.

    Some file systems take upper and lower case, or two ways to write an accent, for the same.
    """
    safe = re.sub(r"[^\w.@+-]", "_", student).strip(".").encode()[:80].decode("utf-8", "ignore")
    if safe == student == unicodedata.normalize("NFC", student.casefold()) and not re.search("-[0-9a-f]{8}$", safe):
        return safe
    return f"{safe}-{hashlib.sha256(student.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"
