"""What was handed in: whose notebooks lie in a folder, and which of their cells are answers to which exercise.

Nothing of a submission is run or trusted here. A file is read as raw JSON, for nbformat mends what it reads (it gives
new ids to cells that share one), and a damaged notebook must not end the grading of a class.
"""

from __future__ import annotations

import ast
import csv
import hashlib
import json
import os
import re
import stat
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from labkit.checks import all_exercises
from labkit.course.labs import course_root, find_lab, find_name, read_notebook
from labkit.course.source import CheckCall, check_calls, read_source, student_text
from labkit.errors import LabkitError
from labkit.notebook.answer import clean_text

LARGEST = 20_000_000  # bytes of a notebook that is read
MOST_FILES = 200  # notebooks looked at for one student
NOT_TURNED_IN = (".ipynb_checkpoints", "__MACOSX")
CANVAS = re.compile(r"(?P<name>[^_]+)_(?P<late>LATE_)?(?P<user>\d+)_\d+_(?P<file>.+)")
MOODLE = re.compile(r"(?P<name>.+)_(?P<user>\d+)_assignsubmission_(file|onlinetext)_?(?P<file>.*)")


# The lab, as the instructor has it


@dataclass(frozen=True)
class Task:
    """One exercise cell with its check cell.

    Attributes:
        key: the grade_id of the exercise cell.
        stub: what students get.
        name: of the function or value that is checked, "" if the check cell names none.
        checks: the calls in the check cell; those that are hidden are instructors' own.
    """

    key: str
    title: str
    points: int
    stub: str
    name: str
    checks: tuple[CheckCall, ...]


@dataclass(frozen=True)
class Template:
    """What is graded: a lab's set-up cell and tasks, in order."""

    lab: str
    title: str
    setup: str
    tasks: tuple[Task, ...]


def read_template(lab: str, root: Path | None = None) -> Template:
    """The tasks of a lab, from its source where there is one (hidden tests stand there), else from its notebook.

    Raises:
        LabkitError: if there is no such lab, or a check cell holds anything but ``check(...)``.
    """
    try:
        folder = course_root(root) / "notebooks" / "src"
    except LabkitError:  # an installed package has no sources
        return template_of_notebook(find_lab(lab, root).path)
    path = folder / f"{find_name(lab, sorted(path.stem for path in folder.glob('*.py')))}.py"
    source = read_source(path, {exercise.id: exercise for exercise in all_exercises()})
    cells = [(cell.kind, cell.key, cell.text, cell.where) for cell in source.cells]
    return _template(source.name, source.title, cells)


def template_of_notebook(path: Path) -> Template:
    """The tasks of a built notebook, with public checks only."""
    notebook = read_notebook(path)
    cells = []
    for cell in notebook.cells:
        own = cell.metadata.get("nbgrader", {})
        if "setup" in cell.metadata.get("tags", ()):
            cells.append(("setup", "", cell.source, f"{path}: the set-up cell"))
        elif own:
            kind, key = (
                ("check", own["grade_id"].removeprefix("check-")) if own["grade"] else ("exercise", own["grade_id"])
            )
            cells.append((kind, key, cell.source, f"{path}: {own['grade_id']}"))
    return _template(path.stem, str(notebook.metadata.get("labkit", {}).get("title", path.stem)), cells)


def _template(name: str, title: str, cells: Sequence[tuple[str, str, str, str]]) -> Template:
    exercises = {exercise.id: exercise for exercise in all_exercises()}
    setup = next((text for kind, _, text, _ in cells if kind == "setup"), "")
    stubs = {key: student_text(text) for kind, key, text, _ in cells if kind == "exercise"}
    tasks = []
    for kind, key, text, where in cells:
        if kind != "check":
            continue
        calls, rest = check_calls(text)
        if rest:
            raise LabkitError(
                f"{where}: line {rest[0]}: only check(...) can be graded, for values are judged elsewhere"
            )
        if unknown := [call.id for call in calls if call.id not in exercises]:
            raise LabkitError(f"{where}: there is no exercise {unknown[0]!r} in labkit.checks or LABKIT_CHECKS")
        if key not in stubs:
            raise LabkitError(f"{where}: a check without its exercise")
        points = sum(exercises[call.id].points for call in calls)
        expression = calls[0].answer if calls else ""
        named = expression if expression.isidentifier() else ""
        tasks.append(Task(key, exercises[key].title, points, stubs[key], named, calls))
    if not tasks:
        raise LabkitError(f"{name} has no exercises: there is nothing to grade")
    return Template(name, title, setup, tuple(tasks))


# Who has handed in what


@dataclass(frozen=True)
class Submission:
    """What one student has handed in: ``files`` are notebooks, ``other`` names of what is none."""

    student: str
    files: tuple[Path, ...]
    other: tuple[str, ...] = ()
    time: datetime | None = None  # when, as far as it is known
    late: bool = False  # as the download says


def find_submissions(place: Path, scratch: Path) -> list[Submission]:
    """Say who has handed in what.

    ``place`` is a folder: of notebooks (named by student, or as Canvas and Moodle name downloads), or of a folder for
    each student (by name, as Moodle names them, or repositories of GitHub Classroom); a zip file of such a folder,
    which is unpacked in ``scratch``; or a CSV file with the columns student_id, file, and submitted if wanted.

    Raises:
        LabkitError: if nothing is found, or the CSV cannot be read.
    """
    if place.suffix.lower() == ".csv":
        found = list(_of_csv(place))
    else:
        if place.suffix.lower() == ".zip":
            place = _unpacked(place, scratch)
        if not place.is_dir():
            raise LabkitError(f"{place}: no such folder, zip or CSV file of submissions")
        found = list(_of_folder(place))
    if not found:
        raise LabkitError(f"{place}: no submissions (notebooks, or a folder for each student)")
    return sorted((replace(one, student=_clean(one.student)) for one in found), key=lambda one: one.student)


def _clean(student: str) -> str:
    """A name that can stand in any file; a hash keeps apart those that had to be changed."""
    text = _printable(student)[:200]
    if text == student:
        return text
    return f"{text}-{hashlib.sha256(student.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"


def _printable(text: str) -> str:
    """Without control characters and bytes that are no text: what can be shown anywhere."""
    return "".join(c if c.isprintable() else "?" for c in clean_text(text))


def _of_csv(path: Path) -> Iterator[Submission]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise LabkitError(f"{path} cannot be read as CSV ({error})") from None
    seen: set[str] = set()
    for line, row in enumerate(rows, 2):
        student, name = (row.get("student_id") or "").strip(), (row.get("file") or "").strip()
        if not student or "file" not in row:
            raise LabkitError(f"{path}:{line}: expected the columns student_id and file, with a student in each row")
        if student in seen:
            raise LabkitError(f"{path}:{line}: {student} is there twice; list the file that counts")
        seen.add(student)
        file_path = path.parent / name
        files = (file_path,) if name and os.path.lexists(file_path) else ()
        when = parse_time(row["submitted"], f"{path}:{line}") if row.get("submitted") else _modified(files)
        yield Submission(student, files, (f"{_printable(name)} (not found)",) if name and not files else (), when)


def parse_time(text: str, where: str) -> datetime:
    """A time as ISO 8601; without a zone it is local.

    Raises:
        LabkitError: if it is none.
    """
    try:
        return datetime.fromisoformat(text.strip().replace("Z", "+00:00")).astimezone()
    except (ValueError, OverflowError, OSError):
        raise LabkitError(f"{where}: expected a time such as 2026-03-01T23:59, got {text!r}") from None


def _unpacked(path: Path, scratch: Path) -> Path:
    """The notebooks of a zip file, and the names of its other files."""
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist()[:20_000]:
                if info.filename.lower().endswith(".ipynb") and info.file_size > LARGEST:
                    info.filename += ".too-large"
                if info.filename.lower().endswith(".ipynb"):
                    extracted = archive.extract(info, scratch)  # which takes ".." and leading slashes out of names
                    with suppress(ValueError, OverflowError):  # of a date that there is not
                        when = datetime(*info.date_time).timestamp()
                        os.utime(extracted, (when, when))
                elif not info.is_dir():
                    target = scratch / info.filename.replace("..", "_").lstrip("/\\")
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.touch()
    except (OSError, zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
        raise LabkitError(f"{path} cannot be unpacked ({error})") from None
    inside = [entry for entry in scratch.iterdir() if entry.name not in NOT_TURNED_IN]
    return inside[0] if len(inside) == 1 and inside[0].is_dir() and not MOODLE.fullmatch(inside[0].name) else scratch


def _of_folder(folder: Path) -> Iterator[Submission]:
    entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    entries = [entry for entry in entries if entry.name not in NOT_TURNED_IN]
    folders = [entry for entry in entries if entry.is_dir() and not entry.is_symlink()]
    grouped: dict[str, list[Path]] = {}
    late: set[str] = set()
    for entry in entries:
        if entry in folders:
            continue
        named = CANVAS.fullmatch(entry.name) or MOODLE.fullmatch(entry.name)
        if named:
            student = f"{named['name']}_{named['user']}"
            if named.groupdict().get("late"):
                late.add(student)
        elif entry.suffix.lower() == ".ipynb":
            student = entry.stem
        else:
            continue  # a stray file of the instructor's
        grouped.setdefault(student, []).append(entry)
    prefix = _classroom_prefix(folders)
    clones: set[str] = set()  # whose files have the time of the download
    for entry in folders:
        named = MOODLE.fullmatch(entry.name)
        student = f"{named['name']}_{named['user']}" if named else entry.name.removeprefix(prefix)
        grouped.setdefault(student, []).extend(_inside(entry))
        if (entry / ".git").exists():
            clones.add(student)
    for student, paths in grouped.items():
        notebooks = tuple(path for path in paths if path.suffix.lower() == ".ipynb")
        other = tuple(_printable(path.name) for path in paths if path not in notebooks)
        time = None if student in clones else _modified(notebooks)
        yield Submission(student, notebooks[:MOST_FILES], other[:5], time, student in late)


def _classroom_prefix(folders: Sequence[Path]) -> str:
    """The assignment's name before each user's, where the folders are clones of GitHub Classroom's repositories."""
    if len(folders) < 2 or not all((folder / ".git").exists() for folder in folders):
        return ""
    common = os.path.commonpath([folder.name.replace("-", "/") for folder in folders])
    return common.replace("/", "-") + "-" if common else ""


def _inside(folder: Path) -> Iterator[Path]:
    """The files below a student's folder; links are not followed, hidden folders left out."""
    for place, folders, files in os.walk(folder, followlinks=False):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in NOT_TURNED_IN)
        yield from (Path(place) / name for name in sorted(files) if not name.startswith("."))


def _modified(files: Sequence[Path]) -> datetime | None:
    times = [path.lstat().st_mtime for path in files]
    return datetime.fromtimestamp(max(times), timezone.utc) if times else None


# One notebook


class Unreadable(Exception):
    """A submission that cannot be graded: its status and a reason for the student."""

    def __init__(self, status: str, reason: str):
        super().__init__(reason)
        self.status, self.reason = status, reason


@dataclass(frozen=True)
class Cell:
    """A code cell as handed in; ``key`` is the exercise that its metadata or id name."""

    source: str
    key: str
    is_code: bool


@dataclass(frozen=True)
class Notebook:
    """A notebook as handed in: its cells, and the lab that it says it is."""

    name: str
    cells: tuple[Cell, ...]
    lab: str


def read_bytes(path: Path) -> bytes:
    """The bytes of a file that was handed in.

    Raises:
        Unreadable: if it is a link, no plain file, or too large.
    """
    name = _printable(path.name)
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except OSError:
        raise Unreadable("invalid", f"{name} is a link or cannot be read: hand in the notebook itself") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Unreadable("invalid", f"{name} is no plain file: hand in the notebook itself")
    with os.fdopen(descriptor, "rb") as file:
        data = file.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise Unreadable(
            "invalid",
            f"{name} is larger than {LARGEST // 10**6} MB: clear its outputs, save it, and hand it in again",
        )
    return data


def parse(name: str, data: bytes) -> Notebook:
    """The cells of a notebook in any of nbformat's versions since 3.

    Raises:
        Unreadable: if it is none.
    """
    try:
        raw = json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError, MemoryError):
        raise Unreadable(
            "invalid", f"{name} is damaged (no valid JSON): open it in Jupyter and save it again"
        ) from None
    cells = raw.get("cells") if isinstance(raw, dict) else None
    if cells is None and isinstance(raw, dict) and isinstance(raw.get("worksheets"), list):  # nbformat 3
        sheets = [sheet.get("cells") for sheet in raw["worksheets"] if isinstance(sheet, dict)]
        cells = [cell for sheet in sheets if isinstance(sheet, list) for cell in sheet]
    if not isinstance(cells, list):
        raise Unreadable("invalid", f"{name} is not a notebook: it has no cells")
    read = tuple(_cell(cell) for cell in cells if isinstance(cell, dict))
    own = raw.get("metadata") if isinstance(raw.get("metadata"), dict) else {}
    stated = own["labkit"].get("lab") if isinstance(own.get("labkit"), dict) else None
    begun = next((m[1] for c in read if (m := re.search(r"""\bbegin\(\s*["'](\d\d_\w+)["']""", c.source))), "")
    return Notebook(name, read, _printable(stated)[:100] if isinstance(stated, str) else begun)


def _cell(raw: dict[str, Any]) -> Cell:
    source = raw.get("source", raw.get("input", ""))
    if isinstance(source, list):
        source = "".join(part for part in source if isinstance(part, str))
    metadata = raw.get("metadata")
    own = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    key = own.get("grade_id") if isinstance(own, dict) else None
    if not isinstance(key, str):
        id = raw.get("id")
        key = id.removeprefix("exercise-") if isinstance(id, str) and id.startswith("exercise-") else ""
    return Cell(clean_text(source) if isinstance(source, str) else "", key, raw.get("cell_type") == "code")


def choose(submission: Submission, template: Template) -> tuple[Notebook, bytes, str]:
    """The notebook of a submission that is this lab's, its bytes, and a note if others were left aside.

    Raises:
        Unreadable: if there is none, or more than one that could be it.
    """
    if not submission.files:
        other = ", ".join(submission.other)
        raise Unreadable("missing", f"no notebook was handed in ({other})" if other else "nothing was handed in")
    found: dict[bytes, Notebook] = {}
    problems: list[Unreadable] = []
    for path in submission.files:
        try:
            data = read_bytes(path)
            notebook = parse(_printable(path.name), data)
        except Unreadable as problem:
            problems.append(problem)
            continue
        if belongs(notebook, template):
            found.setdefault(data, notebook)
        else:
            said = f"lab {notebook.lab}" if notebook.lab else "no lab of this course"
            problems.append(Unreadable("wrong-lab", f"{notebook.name} is {said}; {template.lab} was asked for"))
    if not found:
        raise next((problem for problem in problems if problem.status == "invalid"), problems[0])
    if len(found) > 1:
        named = {data: book for data, book in found.items() if Path(book.name).stem == template.lab}
        if len(named) != 1:
            names = ", ".join(book.name for book in found.values())
            raise Unreadable(
                "invalid", f"more than one notebook of this lab was handed in ({names}): which one counts?"
            )
        left = ", ".join(book.name for data, book in found.items() if data not in named)
        [(data, notebook)] = named.items()
        return notebook, data, f"{notebook.name} was graded, {left} was not"
    [(data, notebook)] = found.items()
    return notebook, data, ""


def belongs(notebook: Notebook, template: Template) -> bool:
    """Whether a notebook is this lab: by its exercises' ids, what it says, or the functions it defines."""
    keys = {task.key for task in template.tasks}
    if any(cell.key in keys for cell in notebook.cells):
        return True
    if notebook.lab:
        return notebook.lab == template.lab
    return any(_defines(cell, task.name) for task in template.tasks for cell in notebook.cells)


# Which cell answers which exercise


@dataclass(frozen=True)
class Answer:
    """The code that counts for one task (None: there is none), and what had to be decided to find it."""

    source: str | None
    note: str = ""


def match(notebook: Notebook, template: Template) -> dict[str, Answer]:
    """The answer to each task, by its key."""
    return {task.key: _match(notebook, task) for task in template.tasks}


def _match(notebook: Notebook, task: Task) -> Answer:
    own = [cell for cell in notebook.cells if cell.key == task.key]
    code = [cell for cell in own if cell.is_code]
    if own and not code:
        return Answer(None, "the exercise's cell is no code cell any more: make it one, or take it from a fresh copy")
    elsewhere = [cell for cell in notebook.cells if cell.key != task.key and _defines(cell, task.name)]
    elsewhere = [cell for cell in elsewhere if not cell.key]  # the cells of other exercises are those
    changed = [cell for cell in code if not _same(cell.source, task.stub)]
    if changed:
        notes = []
        if len(changed) > 1:
            notes.append(f"{len(changed)} cells carry this exercise's id: they count together, in their order")
        if elsewhere and any(_defines(cell, task.name) for cell in changed):
            notes.append(f"another cell defines {task.name} as well: the exercise's cell counts")
        elif elsewhere:
            notes.append(f"the exercise's cell does not define {task.name}: another cell that does counts as well")
            changed.append(elsewhere[-1])
        return Answer(_joined([cell.source for cell in changed]), "; ".join(notes))
    if elsewhere:
        why = "the exercise's cell was left as it was" if code else "no cell carries this exercise's id"
        which = "the cell" if len(elsewhere) == 1 else f"the last of {len(elsewhere)} cells"
        return Answer(elsewhere[-1].source, f"{why}: {which} that defines {task.name} counts")
    if code:
        return Answer(code[-1].source)
    return Answer(None, "no cell for this exercise: copy it from a fresh copy of the lab")


def _defines(cell: Cell, name: str) -> bool:
    pattern = rf"^((async\s+)?def\s+{re.escape(name)}\b|{re.escape(name)}\s*(:[^=\n]+)?=[^=])"
    return bool(name and cell.is_code and re.search(pattern, cell.source, re.MULTILINE))


def _same(one: str, other: str) -> bool:
    return one.split() == other.split()


def _joined(sources: Sequence[str]) -> str:
    """The cells of a split or copied exercise as one; a copy that is no Python is left out, for it does not run."""
    whole = "\n".join(sources)
    if len(sources) == 1 or _is_python(whole):
        return whole
    return "\n\n".join(filter(_is_python, sources)) or whole


def _is_python(source: str) -> bool:
    """Whether IPython could run it: with its magics, and ``!command``."""
    from IPython.core.inputtransformer2 import TransformerManager

    for transform in (str, TransformerManager().transform_cell):
        with suppress(Exception):  # whatever two parsers have to say of it
            ast.parse(transform(source))
            return True
    return False
