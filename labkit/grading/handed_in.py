"""Who has handed in what: folders, zips and lists of submissions, as instructors get them.

Names and bytes only: nothing of a submission is parsed here. Every name that goes in comes out, in a submission or in
a line that says why it is in none.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path

from labkit.errors import LabkitError
from labkit.grading.submission import printable
from labkit.grading.tables import read_table
from labkit.grading.unpack import Item, list_folder, list_zip

MOST_FILES = 200  # notebooks looked at for one student
MOST_OTHER = 5  # names of other files that are told
CANVAS = re.compile(r"(?P<name>[^_]+)_(?P<late>LATE_)?(?P<user>\d+)_\d+_(?P<file>.+)")
MOODLE = re.compile(r"(?P<name>.+)_(?P<user>\d+)_assignsubmission_(file|onlinetext)_?(?P<file>.*)")
LAB = re.compile(r"\d\d_\w+?(-Copy\d*| \(\d+\)|_\d|\.\d+)?")  # a notebook's name that says the lab and no student
STRAY = {".md", ".csv", ".tsv", ".xlsx", ".xls", ".ods", ".json", ".log", ".ini", ".toml", ".yml", ".yaml", ".db"}
NOTEBOOK = re.compile(r"(?P<stem>.*?)\.ipynb(\.(txt|json|html?|download|crdownload))?", re.IGNORECASE)


@dataclass(frozen=True)
class Submission:
    """What one student has handed in.

    Attributes:
        student: the name in the gradebook.
        files: the notebooks.
        other: names of what is none, with the reason where there is one.
        time: when, as far as it is known.
        late: whether the download says so.
        upload: the name that Canvas gave the upload, with its numbers, without its ending.
    """

    student: str
    files: tuple[Path, ...]
    other: tuple[str, ...] = ()
    time: datetime | None = None
    late: bool = False
    upload: str = ""


@dataclass(frozen=True)
class HandedIn:
    """All that was handed in; ``left`` are lines on what is in no submission."""

    submissions: tuple[Submission, ...]
    left: tuple[str, ...] = ()


@dataclass
class _Group:
    """What belongs to one student, while it is being found."""

    items: list[Item] = field(default_factory=list)
    late: bool = False
    clone: bool = False  # whose files have the time of the download
    upload: str = ""  # of Canvas


def find_submissions(place: Path, scratch: Path) -> HandedIn:
    """Return who has handed in what.

    Args:
        place: a folder: of notebooks (named by student, or as Canvas and Moodle name downloads), or of a folder for
            each student (by name, as Moodle names them, or repositories of GitHub Classroom); a zip of such a folder;
            one student's notebook; or a CSV file with the columns student_id, file, and submitted if wanted.
        scratch: an empty folder, for what is unpacked. Zips in a folder or in a zip are unpacked too.

    Raises:
        LabkitError: if nothing is found, or a list or zip cannot be read.
    """
    left: list[str] = []
    suffix = place.suffix.lower()
    if suffix == ".csv":
        found = _of_list(place)
    elif suffix == ".ipynb":
        found = _of_groups({place.stem: _Group([Item((place.name,), place)])}) if os.path.lexists(place) else []
        if not found:
            raise LabkitError(f"{place}: there is no such notebook")
    else:
        if suffix == ".zip":
            items, left = list_zip(place, scratch)
            items = _without_wrapping(items)
        elif place.is_dir():
            items, left = list_folder(place, scratch)
        else:
            raise LabkitError(f"{place}: no such folder, zip or CSV file of submissions, and no notebook")
        groups, stray = _groups(items, place.stem if suffix == ".zip" else place.resolve().name)
        found = _of_groups(groups)
        left += stray
    if not found:
        raise LabkitError(f"{place}: no submissions (notebooks, or a folder for each student)")
    return HandedIn(tuple(_with_names_apart(found)), tuple(map(printable, left)))


def parse_time(text: str, where: str, end_of_day: bool = False) -> datetime:
    """Return a time given as ISO 8601; without a zone it is local.

    Args:
        text: the time, or a day.
        where: what it is, for messages.
        end_of_day: whether a day without a time means its end, not its begin.

    Raises:
        LabkitError: if it is none.
    """
    try:
        when = datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
        if end_of_day and re.fullmatch(r"\d{4}-?\d\d-?\d\d|\d{4}-?W\d\d-?\d", text.strip()):
            when = when.replace(hour=23, minute=59, second=59)
        return when.astimezone()
    except (ValueError, OverflowError, OSError):
        raise LabkitError(f"{where}: expected a time such as 2026-03-01T23:59, got {text!r}") from None


def _of_list(path: Path) -> list[Submission]:
    table = read_table(path)
    student_column, file_column, time_column = (table.column(name) for name in ("student_id", "file", "submitted"))
    seen: set[str] = set()
    found = []
    for line, row in table.rows:
        student = row.get(student_column, "").strip()
        if not student or not file_column:
            raise LabkitError(f"{path}:{line}: expected the columns student_id and file, with a student in each row")
        if student in seen:
            raise LabkitError(f"{path}:{line}: {student} is there twice; list the file that counts")
        seen.add(student)
        name, when = row[file_column].strip(), row.get(time_column, "").strip()
        file = path.parent / name
        files = (file,) if name and os.path.lexists(file) else ()
        time = parse_time(when, f"{path}:{line}") if when else _modified(Item((each.name,), each) for each in files)
        found.append(
            Submission(student, files, (f"{printable(name)} (not found)",) if name and not files else (), time)
        )
    return found


def _without_wrapping(items: Sequence[Item]) -> list[Item]:
    """Return items without the folder that holds all of them, unless that folder is a student's."""
    tops = {item.parts[0] for item in items}
    if len(tops) != 1 or any(len(item.parts) == 1 for item in items) or MOODLE.fullmatch(next(iter(tops))):
        return list(items)
    inner = [replace(item, parts=item.parts[1:]) for item in items]
    at_top = [item for item in inner if len(item.parts) == 1]
    if any(item.parts == (".git",) for item in inner) or any(_is_lab_name(item.parts[0]) for item in at_top):
        return list(items)  # one student's folder
    return _without_wrapping(inner)


def _is_lab_name(name: str) -> bool:
    found = NOTEBOOK.fullmatch(name)
    return bool(found and LAB.fullmatch(found["stem"]))


def _groups(items: Sequence[Item], place: str) -> tuple[dict[str, _Group], list[str]]:
    """Return what belongs to each student, and lines on what belongs to none."""
    groups: dict[str, _Group] = {}
    left: list[str] = []
    folders = sorted({item.parts[0] for item in items if len(item.parts) > 1})
    clones = {item.parts[0] for item in items if item.parts[1:2] == (".git",)}
    prefix = _classroom_prefix(folders) if set(folders) == clones else ""
    files = [item for item in items if len(item.parts) == 1 and not item.is_folder]
    of_one = not folders and any(_is_lab_name(i.parts[0]) for i in files)
    of_one = of_one and all(_is_lab_name(i.parts[0]) or _suffix(i) in STRAY for i in files)
    for item in (item for item in items if item.parts != (".git",)):
        name = item.parts[0]
        named = CANVAS.fullmatch(name) or MOODLE.fullmatch(name)
        if named:
            student = f"{named['name']}_{named['user']}"
        elif len(item.parts) > 1:
            student = name.removeprefix(prefix)
        elif of_one and _suffix(item) not in STRAY:
            student = place
        elif found := NOTEBOOK.fullmatch(name):
            student = found["stem"]
        elif _suffix(item) in STRAY:
            left.append(f"{name}: no notebook, and no student's by its name")
            continue
        else:
            student = Path(name).stem
        group = groups.setdefault(student, _Group())
        group.late |= bool(named and named.groupdict().get("late"))
        if CANVAS.fullmatch(name):
            group.upload = Path(name).stem
        if item.parts[1:] == (".git",):
            group.clone = True
        else:
            group.items.append(item)
    return groups, left


def _suffix(item: Item) -> str:
    return Path(item.parts[0]).suffix.lower()


def _classroom_prefix(folders: Sequence[str]) -> str:
    """Return the assignment's name before each user's, where all folders are clones of GitHub Classroom's."""
    if len(folders) < 2:
        return ""
    common = os.path.commonpath([folder.replace("-", "/") for folder in folders])
    return common.replace("/", "-") + "-" if common else ""


def _of_groups(groups: dict[str, _Group]) -> list[Submission]:
    found = []
    for student, group in groups.items():
        notebooks = [item for item in group.items if item.path and NOTEBOOK.fullmatch(item.parts[-1])]
        others = [item for item in group.items if item not in notebooks and not item.is_folder]
        names = [printable(item.parts[-1]) + (f" ({item.problem})" if item.problem else "") for item in others]
        names += [f"{printable(item.parts[-1])} (one of too many)" for item in notebooks[MOST_FILES:]]
        if len(names) > MOST_OTHER:
            names = [*names[:MOST_OTHER], f"and {len(names) - MOST_OTHER} more"]
        time = None if group.clone else _modified(notebooks)
        paths = tuple(item.path for item in notebooks[:MOST_FILES] if item.path)
        found.append(Submission(student, paths, tuple(names), time, group.late, printable(group.upload)))
    return found


def _modified(items: Iterable[Item]) -> datetime | None:
    times = []
    for item in items:
        if item.path is not None:
            times.append(item.path.lstat().st_mtime)
    try:
        return datetime.fromtimestamp(max(times), timezone.utc) if times else None
    except (ValueError, OverflowError, OSError):  # a time that no calendar has
        return None


def _with_names_apart(found: Sequence[Submission]) -> list[Submission]:
    """Return the submissions by student, each under a name that can stand in any file and is no other's."""
    cleaned = sorted(((_clean(one.student), one) for one in found), key=lambda pair: (pair[0], pair[1].student))
    count: Counter[str] = Counter()
    taken = {name for name, _ in cleaned}
    named = []
    for name, one in cleaned:
        count[name] += 1
        own = name
        while count[name] > 1 and own in taken:
            own, count[name] = f"{name}-{count[name]}", count[name] + 1
        taken.add(own)
        named.append(replace(one, student=own))
    return sorted(named, key=lambda one: one.student)


def _clean(student: str) -> str:
    """Return a name that can stand in any file; a hash keeps apart those that had to be changed."""
    text = printable(student)[:200].strip()
    if text == student and text:
        return text
    digest = hashlib.sha256(student.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{text or 'no name'}-{digest}"
