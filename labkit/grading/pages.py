"""What a grading leaves for people beside the gradebook: a page for each student, a page on the class, JUnit's XML.

Like the gradebook they hold no time of grading; how long each submission took stands in times.js, beside summary.html.
"""

from __future__ import annotations

import json
import re
import statistics
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from labkit import artifacts
from labkit.checks import NOT_ATTEMPTED, RIGHT, WRONG
from labkit.grading.gradebook import NAME, Book, Facts, file_name
from labkit.grading.results import MISSING, PARTLY, ExerciseGrade, Graded
from labkit.grading.template import Template

NOT_RUN = "could not be graded"
GROUPS = (RIGHT, PARTLY, WRONG, NOT_ATTEMPTED, NOT_RUN)  # of the class's picture
MOST_PAIRS = 300
BINS = 10  # of the histogram
IN_WORDS = {
    "graded": "graded",
    "missing": "nothing was handed in",
    "invalid": "what was handed in could not be read",
    "wrong-lab": "what was handed in is another lab",
    "timeout": "an exercise took too long and was ended; the others were graded",
    "overall-timeout": "all exercises together took too long; those that were judged by then count",
    "kernel-died": "an exercise ended Python; the others were graded",
    "memory": "an exercise used too much memory and was ended; the others were graded",
    "output-limit": "an exercise printed or displayed too much and was ended; the others were graded",
    "grader-error": "the grader failed; this is not your fault, and a person will look at it",
}


def write(
    out: Path,
    book: Book,
    results: Sequence[Graded],
    template: Template,
    facts: Facts,
    left: Sequence[str],
    seconds: Mapping[str, float],
) -> None:
    """Write feedback/*.html, summary.html, times.js, junit.xml and last gradebook.csv.

    Args:
        out: the folder of results.
        book: the gradebook.
        results: the grades.
        template: the lab.
        facts: about the grading.
        left: lines on what was in no submission.
        seconds: that each submission took.
    """
    highest = sum(task.points for task in template.tasks)
    names = {graded.student: file_name(graded.student) for graded in results}
    for graded in results:
        page = _page(
            "feedback.html",
            graded=graded,
            facts=facts,
            highest=highest,
            row=book.rows[graded.student],
            overridden=graded.student in book.overridden,
            words=IN_WORDS[graded.status],
        )
        artifacts.write_text(out / "feedback" / f"{names[graded.student]}.html", page)
    for page_path in (out / "feedback").glob("*.html"):  # of students who are no longer in the class
        if page_path.stem not in names.values():
            page_path.unlink()
    summary = _page(
        "summary.html",
        facts=facts,
        statuses=Counter(row["status"] for row in book.rows.values()),
        rows=list(book.rows.values()),
        scores=scores(book, highest),
        bars=bars(results, template),
        groups=GROUPS,
        pairs=book.pairs[:MOST_PAIRS],
        more=len(book.pairs) - MOST_PAIRS,
        uses=[(graded.student, exercise) for graded in results for exercise in graded.exercises if exercise.uses],
        same=_same_files(results),
        highest=highest,
        words=IN_WORDS,
        names=names,
        left=left,
        notes=book.notes,
    )
    artifacts.write_text(out / "summary.html", summary)
    artifacts.write_text(out / "times.js", times(names, seconds))
    artifacts.write_bytes(out / "junit.xml", junit(results, facts.lab))
    artifacts.write_text(out / NAME, book.text())  # last: where it is, all is


def times(names: Mapping[str, str], seconds: Mapping[str, float]) -> str:
    """Return a script that tells summary.html how long each submission took, by the name of its page."""
    known = {names[student]: value for student, value in seconds.items() if student in names}
    return f"var seconds = {json.dumps(known, sort_keys=True)};\n".replace("<", "\\u003c")


def _page(template: str, **values: Any) -> str:
    """Return a page from one of the templates beside this file; whatever students wrote is escaped."""
    import jinja2

    loader = jinja2.FunctionLoader(lambda name: resources.files("labkit.grading").joinpath(name).read_text("utf-8"))
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, loader=loader)
    return environment.get_template(template).render(**values)


# The class


@dataclass(frozen=True)
class Scores:
    """The scores of a class: their number, mean, median, standard deviation, and a histogram of equal bins."""

    count: int
    mean: float
    median: float
    deviation: float
    bins: tuple[tuple[str, int], ...]


def scores(book: Book, highest: int) -> Scores:
    """Return what the summary says about the scores; students without one are left out."""
    found = [float(row["score"]) for row in book.rows.values() if row["score"] != ""]
    count = min(BINS, max(1, highest))
    width = max(1, highest) / count
    inside = Counter(min(count - 1, max(0, int(score / width))) for score in found)
    labels = [f"{width * at:g} to {'' if at == count - 1 else 'below '}{width * (at + 1):g}" for at in range(count)]
    mean, median = (statistics.fmean(found), statistics.median(found)) if found else (0.0, 0.0)
    deviation = statistics.stdev(found) if len(found) > 1 else 0.0
    return Scores(len(found), mean, median, deviation, tuple((labels[at], inside[at]) for at in range(count)))


@dataclass(frozen=True)
class Bar:
    """One exercise of the class's picture: how many students are in each of GROUPS, and the mean fraction of points."""

    id: str
    title: str
    counts: tuple[int, ...]
    fraction: float


def bars(results: Sequence[Graded], template: Template) -> list[Bar]:
    """Return a bar for each exercise, of those whose submission could be read."""
    found = []
    for task in template.tasks:
        mine = [exercise for graded in results for exercise in graded.exercises if exercise.id == task.key]
        counted = Counter(_group(exercise) for exercise in mine)
        fraction = sum(exercise.points for exercise in mine) / max(1, task.points * len(mine))
        found.append(Bar(task.key, task.title, tuple(counted[group] for group in GROUPS), fraction))
    return found


def _group(exercise: ExerciseGrade) -> str:
    if exercise.status == MISSING:
        return NOT_ATTEMPTED
    return exercise.status if exercise.status in GROUPS else NOT_RUN


def _same_files(results: Sequence[Graded]) -> list[list[str]]:
    """Return students whose files are the same to the byte."""
    by_hash: dict[str, list[str]] = {}
    for graded in results:
        if graded.sha256:
            by_hash.setdefault(graded.sha256, []).append(graded.student)
    return [students for students in by_hash.values() if len(students) > 1]


def junit(results: Sequence[Graded], lab: str) -> bytes:
    """Return JUnit's XML: a suite for each student, a case for each exercise."""
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
