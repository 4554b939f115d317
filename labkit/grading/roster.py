"""Who is in the class: read from a plain CSV, or from what Canvas, Moodle and GitHub Classroom export.

A submission finds its person by an id first (the number that Canvas and Moodle put into names of files, a login, a
GitHub name, an address), and by the full name only where one person has it: namesakes are told apart, never guessed.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from labkit.errors import LabkitError
from labkit.grading.tables import read_table, same_id

ID_COLUMNS = ("student_id", "id", "identifier", "sis user id", "sid", "student number", "username", "login",
              "sis login id", "github_username", "roster_identifier", "email", "email address")  # fmt: skip
LOGIN_COLUMNS = ("username", "login", "sis login id", "github_username", "roster_identifier", "email",
                 "email address", "sis user id", "sid", "student_id", "id number")  # fmt: skip
FIRST_COLUMNS, LAST_COLUMNS = (
    ("first name", "firstname", "given name"),
    ("last name", "lastname", "surname", "family name"),
)
STAFF = ("instructor", "ta", "reader", "teacher", "teaching assistant")  # in Gradescope's column "Role"
NAME_COLUMNS = ("name", "full name", "student", "student name")


@dataclass(frozen=True)
class Person:
    """One row of a roster.

    Attributes:
        id: by which the LMS knows the person.
        name: in full.
        keys: other texts that stand for the person alone, such as a login or an address.
        row: the row as it was, for the way back.
    """

    id: str
    name: str
    keys: tuple[str, ...] = ()
    row: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Roster:
    """A class.

    Attributes:
        kind: whose export it is: canvas, moodle, gradescope, classroom or csv.
        people: the students.
        points: of Canvas's assignments, by the name of their column, as Canvas writes them.
    """

    kind: str
    people: tuple[Person, ...]
    points: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Students:
    """Who handed in what: person by submission, those of the roster without one, and lines on what did not fit."""

    people: Mapping[str, Person]
    absent: tuple[Person, ...] = ()
    notes: tuple[str, ...] = ()


def read_roster(path: Path) -> Roster:
    """Read a roster.

    Raises:
        LabkitError: if it has no column with ids or names, or an id twice.
    """
    table = read_table(path)
    kind = _kind({column.strip().casefold() for column in table.columns})
    id_column = table.column(*(("id",) if kind == "canvas" else ()), *ID_COLUMNS)
    first, last = table.column(*FIRST_COLUMNS), table.column(*LAST_COLUMNS)
    role = table.column("role")
    name_column = table.column(*NAME_COLUMNS)
    if not id_column and not name_column and not (first and last):
        raise LabkitError(f"{path}: expected a column with ids (student_id, ID, Identifier, Email address) or names")
    people = []
    points: Mapping[str, str] = {}
    for line, row in table.rows:
        if role and row[role].strip().casefold() in STAFF:
            continue
        name = row[name_column].strip() if name_column else f"{row.get(first, '')} {row.get(last, '')}".strip()
        own = row[id_column].strip() if id_column else name
        if kind == "moodle":
            own = re.sub(r"\D", "", own) or own  # "Participant 1234"
        if kind == "canvas" and "Points Possible" in "".join(row.values()):
            points = row
        if kind == "canvas" and (name in ("Points Possible", "Student, Test") or not own):
            continue
        own = own or name
        if not own:
            raise LabkitError(f"{path}:{line}: a row without an id and a name")
        logins = [row[column].strip() for column in map(table.column, LOGIN_COLUMNS) if column]
        addresses = [login.partition("@")[0] for login in logins if "@" in login]
        keys = tuple(dict.fromkeys(key for key in (own, *logins, *addresses) if key))
        people.append(Person(own, name or own, keys, row))
    twice = [one for one, count in Counter(person.id for person in people).items() if count > 1]
    if twice:
        raise LabkitError(f"{path}: {twice[0]} is there twice: each person needs an id of her own")
    if not people:
        raise LabkitError(f"{path}: nobody is in it")
    return Roster(kind, tuple(people), points)


def _kind(columns: set[str]) -> str:
    if "id" in columns and columns & {"student", "lastname"} and ("section" in columns or "sis login id" in columns):
        return "canvas"
    if "identifier" in columns and ("full name" in columns or "email address" in columns):
        return "moodle"
    if {"first name", "last name", "sid", "email"} <= columns:
        return "gradescope"
    return "classroom" if "github_username" in columns else "csv"


def join_roster(students: Sequence[str], roster: Roster | None) -> Students:
    """Return who of a roster is who among the submissions.

    Args:
        students: the names of the submissions.
        roster: the class; without one nobody is absent.
    """
    if roster is None:
        return Students({})
    by_key = _unique((key.casefold(), person) for person in roster.people for key in person.keys)
    by_name = _unique((_letters(person.name), person) for person in roster.people)
    namesakes = {name for name, count in Counter(_letters(p.name) for p in roster.people).items() if count > 1}
    people: dict[str, Person] = {}
    notes = []
    for student in students:
        person = _person(student, by_key, by_name)
        if person is None and _letters(_name_of(student)) in namesakes:
            notes.append(
                f"{student}: more than one person on the roster has this name: name the submission by the person's id"
            )
        elif person is None:
            notes.append(f"{student}: not on the roster")
        elif other := next((one for one, theirs in people.items() if theirs == person), ""):
            notes.append(f"{student}: {other} is {person.name} ({person.id}) on the roster already")
        else:
            people[student] = person
    present = set(people.values())
    return Students(people, tuple(person for person in roster.people if person not in present), tuple(notes))


def _unique(pairs: object) -> dict[str, Person]:
    """Return what each key stands for; one that stands for two people stands for none."""
    found: dict[str, Person | None] = {}
    for key, person in pairs:  # type: ignore[attr-defined]
        found[key] = person if found.get(key, person) == person else None
    return {key: person for key, person in found.items() if person is not None and key}


def _person(student: str, by_key: Mapping[str, Person], by_name: Mapping[str, Person]) -> Person | None:
    number = re.fullmatch(r".+_(\d+)", student)
    for key in (student, *([number[1]] if number else [])):
        if found := same_id(key.casefold(), by_key):
            return by_key[found]
    return by_name.get(_letters(_name_of(student)))


def _name_of(student: str) -> str:
    """Return a submission's name without the number that an LMS put behind it."""
    return re.sub(r"_\d+$", "", student)


def _letters(name: str) -> str:
    """Return the letters of a name in the order of its words, so that "Lee, Bob" is "Bob Lee"; Canvas has leebob."""
    plain = unicodedata.normalize("NFKD", name).casefold()
    words = re.findall(r"[^\W_]+", "".join(c for c in plain if not unicodedata.combining(c)))
    return " ".join(sorted(words))
