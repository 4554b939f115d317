"""What a grading leaves for people: the gradebook, a page for each student, a page on the class, JUnit's XML.

All of it is made from the grades and holds no time, so that grading the same submissions again gives the same files.
"""

from __future__ import annotations

import csv
import hashlib
import io
import math
import re
import unicodedata
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib import resources
from pathlib import Path
from typing import Any

from labkit import artifacts
from labkit.checks import NOT_ATTEMPTED, RIGHT, WRONG
from labkit.errors import LabkitError
from labkit.grading.nbval_grader import MISSING, PARTLY, ExerciseGrade, Graded
from labkit.grading.similarity import Pair, near_copies
from labkit.grading.submission import Submission, Template
from labkit.ledger import environment

NAME = "gradebook.csv"
FORMULA = "=+-@\t\r\uff1d\uff0b\uff0d\uff20"  # a cell that begins so is run by spreadsheets
NOT_RUN = "could not be graded"
GROUPS = (RIGHT, PARTLY, WRONG, NOT_ATTEMPTED, NOT_RUN)  # of the class's picture
IN_WORDS = {
    "graded": "graded",
    "missing": "nothing was handed in",
    "invalid": "what was handed in could not be read",
    "wrong-lab": "what was handed in is another lab",
    "timeout": "an exercise took too long and was ended; the others were graded",
    "kernel-died": "an exercise ended Python; the others were graded",
    "memory": "an exercise used too much memory and was ended; the others were graded",
    "output-limit": "an exercise printed or displayed too much and was ended; the others were graded",
    "grader-error": "the grader failed; this is not your fault, and a person will look at it",
}


@dataclass(frozen=True)
class Facts:
    """What is true of a whole grading; ``tier`` is the sandbox's, ``due`` the deadline."""

    lab: str
    title: str
    seed: int
    tier: str
    due: datetime | None


def write(
    out: Path,
    found: Sequence[Submission],
    results: Sequence[Graded],
    template: Template,
    facts: Facts,
    overrides: Mapping[str, str],
) -> None:
    """Write gradebook.csv, feedback/*.html, summary.html and junit.xml into ``out``."""
    highest = sum(task.points for task in template.tasks)
    late = {submission.student: _late(submission, facts.due) for submission in found}
    rows = [_row(graded, template, facts, highest, late[graded.student], overrides) for graded in results]
    known = {graded.student for graded in results}
    for student in sorted(set(overrides) - known):
        gone = Graded(student=student, status="missing", reason="not among the submissions of the last grading")
        rows.append(_row(gone, template, facts, highest, "", overrides))
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    scores = {graded.student: row["score"] for graded, row in zip(results, rows, strict=False)}
    for graded in results:
        page = _page(
            "feedback.html",
            graded=graded,
            facts=facts,
            highest=highest,
            score=scores[graded.student],
            overridden=graded.student in overrides,
            late=late[graded.student],
            words=IN_WORDS[graded.status],
        )
        artifacts.write_text(out / "feedback" / f"{file_name(graded.student)}.html", page)
    summary = _page(
        "summary.html",
        facts=facts,
        statuses=Counter(graded.status for graded in results),
        results=results,
        rows=rows,
        bars=bars(results, template),
        groups=GROUPS,
        pairs=near_copies(results, template),
        same=_same_files(results),
        highest=highest,
        words=IN_WORDS,
        names={graded.student: file_name(graded.student) for graded in results},
    )
    artifacts.write_text(out / "summary.html", summary)
    artifacts.write_bytes(out / "junit.xml", junit(results, facts.lab))
    artifacts.write_text(out / NAME, buffer.getvalue())  # last: where it is, all is


def _row(
    graded: Graded, template: Template, facts: Facts, highest: int, late: str, overrides: Mapping[str, str]
) -> dict[str, Any]:
    """A line of the gradebook; a score that is not known is empty, not 0."""
    override = overrides.get(graded.student, "")
    earned = {} if graded.score is None else {exercise.id: exercise.points for exercise in graded.exercises}
    versions = environment()
    row = {
        "student_id": graded.student,
        "score": override or ("" if graded.score is None else graded.score),
        "max_score": highest,
        **{task.key: earned.get(task.key, "") for task in template.tasks},
        "status": graded.status,
        "reason": " ".join(graded.reason.split())[:500],
        "late": late,
        "override": override,
        "sha256": graded.sha256,
        "seed": facts.seed,
        "tier": facts.tier,
        "versions": " ".join(f"{name} {versions[name]}" for name in ("labkit", "python", "torch") if name in versions),
    }
    return {name: _plain(value) if isinstance(value, str) else value for name, value in row.items()}


def _plain(text: str) -> str:
    """Text that a spreadsheet takes for text; what begins with a quote gets another, so that it can be read back."""
    return f"'{text}" if text.startswith(("'", *FORMULA)) and not _is_number(text) else text


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def read_overrides(path: Path) -> dict[str, str]:
    """Student -> the score that an instructor has put into the column "override" of an earlier gradebook.

    Raises:
        LabkitError: naming the line that holds no number, or if it cannot be read.
    """
    if not path.exists():
        return {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns, rows = reader.fieldnames, list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise LabkitError(f"{path} cannot be read ({error}): save it as CSV UTF-8") from None
    if not {"student_id", "override"} <= set(columns or ()):
        raise LabkitError(f"{path}: expected the columns student_id and override; move it away to start afresh")
    found = {}
    for line, row in enumerate(rows, 2):
        student, override = row["student_id"] or "", (row["override"] or "").strip()
        if student[:1] == "'" and student[1:2] in f"'{FORMULA}":
            student = student[1:]
        if override and not _is_number(override):
            raise LabkitError(f"{path}:{line}: the override of {student} must be a number, got {override!r}")
        if override:
            found[student] = override
    return found


def _late(submission: Submission, due: datetime | None) -> str:
    """Yes, no, or nothing where it is not known."""
    if submission.late:
        return "yes"
    if due is None or submission.time is None:
        return ""
    return "yes" if submission.time > due else "no"


def file_name(student: str) -> str:
    """A file's name for a student, no two alike: a hash is in all names but plain ones in lower case.

    Some file systems take upper and lower case, or two ways to write an accent, for the same.
    """
    safe = re.sub(r"[^\w.@+-]", "_", student).strip(".").encode()[:80].decode("utf-8", "ignore")
    if safe == student == unicodedata.normalize("NFC", student.casefold()) and not re.search("-[0-9a-f]{8}$", safe):
        return safe
    return f"{safe}-{hashlib.sha256(student.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"


def _page(template: str, **values: Any) -> str:
    """A page from one of the templates beside this file; whatever students wrote is escaped."""
    import jinja2

    loader = jinja2.FunctionLoader(lambda name: resources.files("labkit.grading").joinpath(name).read_text("utf-8"))
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, loader=loader)
    return environment.get_template(template).render(**values)


# The class


@dataclass(frozen=True)
class Bar:
    """One exercise of the class's picture: how many students are in each of GROUPS, and the mean share of points."""

    id: str
    title: str
    counts: tuple[int, ...]
    share: float


def bars(results: Sequence[Graded], template: Template) -> list[Bar]:
    """A bar for each exercise, of those whose submission could be read."""
    found = []
    for task in template.tasks:
        mine = [exercise for graded in results for exercise in graded.exercises if exercise.id == task.key]
        counted = Counter(_group(exercise) for exercise in mine)
        share = sum(exercise.points for exercise in mine) / max(1, task.points * len(mine))
        found.append(Bar(task.key, task.title, tuple(counted[group] for group in GROUPS), share))
    return found


def _group(exercise: ExerciseGrade) -> str:
    if exercise.status == MISSING:
        return NOT_ATTEMPTED
    return exercise.status if exercise.status in GROUPS else NOT_RUN


def _same_files(results: Sequence[Graded]) -> list[list[str]]:
    """Students whose files are the same to the byte."""
    by_hash: dict[str, list[str]] = {}
    for graded in results:
        if graded.sha256:
            by_hash.setdefault(graded.sha256, []).append(graded.student)
    return [students for students in by_hash.values() if len(students) > 1]


def junit(results: Sequence[Graded], lab: str) -> bytes:
    """JUnit's XML: a suite for each student, a case for each exercise."""
    root = ElementTree.Element("testsuites", name=lab)
    for graded in results:
        suite = ElementTree.SubElement(root, "testsuite", name=_xml(graded.student))
        counts: Counter[str] = Counter()
        for exercise in graded.exercises:
            case = ElementTree.SubElement(suite, "testcase", classname=_xml(graded.student), name=exercise.id)
            kind = {RIGHT: "", WRONG: "failure", PARTLY: "failure", NOT_ATTEMPTED: "skipped", MISSING: "skipped"}.get(
                exercise.status, "error"
            )
            if kind:
                counts[kind] += 1
                message = ElementTree.SubElement(case, kind, message=exercise.status)
                message.text = _xml(exercise.message)
        if not graded.exercises:
            case = ElementTree.SubElement(suite, "testcase", classname=_xml(graded.student), name="submission")
            ElementTree.SubElement(case, "error", message=_xml(f"{graded.status}: {graded.reason}"))
            counts["error"] += 1
        suite.set("tests", str(max(1, len(graded.exercises))))
        for kind, name in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
            suite.set(name, str(counts[kind]))
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n"


def _xml(text: str) -> str:
    """Without the characters that XML cannot hold."""
    return re.sub("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", text)


__all__ = ["NAME", "Bar", "Facts", "Pair", "bars", "file_name", "junit", "read_overrides", "write"]
