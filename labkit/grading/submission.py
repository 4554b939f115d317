"""One notebook that was handed in: read as raw JSON, and chosen among others.

Nothing of it is run or trusted here. nbformat is not used, for it mends what it reads (it gives new ids to cells that
share one), and a damaged notebook must not end the grading of a class.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labkit.errors import LabkitError
from labkit.grading.template import Template
from labkit.notebook.answer import clean_text
from labkit.notebook.files import notebook_json

LARGEST = 20_000_000  # bytes of a notebook that is read


class Unreadable(Exception):
    """A submission that cannot be graded: its status and a reason for the student."""

    def __init__(self, status: str, reason: str):
        """Keep the status of the gradebook and a reason for people."""
        super().__init__(reason)
        self.status, self.reason = status, reason


@dataclass(frozen=True)
class Cell:
    """A cell as handed in.

    Attributes:
        source: its text.
        key: the grade_id that its metadata or id name: of an exercise, or "check-" and that; "" if none.
        is_code: whether it is a code cell.
        number: its place in the notebook, from 1.
        is_setup: whether it is the lab's set-up cell.
    """

    source: str
    key: str = ""
    is_code: bool = True
    number: int = 0
    is_setup: bool = False


@dataclass(frozen=True)
class Notebook:
    """A notebook as handed in: its cells, and the lab that it says it is."""

    name: str
    cells: tuple[Cell, ...]
    lab: str


def printable(text: str) -> str:
    """Return ``text`` without control characters and bytes that are no text: what can be shown anywhere."""
    return "".join(c if c.isprintable() else "?" for c in clean_text(text))


def read_bytes(path: Path) -> bytes:
    """Return the bytes of a file that was handed in.

    Raises:
        Unreadable: if it is a link, no plain file, or too large.
    """
    name = printable(path.name)
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
    """Return the cells of a notebook in any of nbformat's versions since 3.

    Raises:
        Unreadable: if it is none.
    """
    try:
        raw = notebook_json(data, name)
    except LabkitError as problem:
        raise Unreadable("invalid", str(problem)) from None
    cells = raw.get("cells")
    if cells is None and isinstance(raw.get("worksheets"), list):  # nbformat 3
        sheets = [sheet.get("cells") for sheet in raw["worksheets"] if isinstance(sheet, dict)]
        cells = [cell for sheet in sheets if isinstance(sheet, list) for cell in sheet]
    if not isinstance(cells, list):
        raise Unreadable("invalid", f"{name} is not a notebook: it has no cells")
    read = tuple(_cell(cell, number) for number, cell in enumerate(cells, 1) if isinstance(cell, dict))
    own = raw.get("metadata")
    own = own.get("labkit") if isinstance(own, dict) else None
    stated = own.get("lab") if isinstance(own, dict) else None
    return Notebook(name, read, printable(stated)[:100] if isinstance(stated, str) else _begun(read))


BEGUN = re.compile(r"""^(?:\w+ *= *)?begin\(\s*["'](\d\d_\w+)["']""", re.MULTILINE)


def _begun(cells: Sequence[Cell]) -> str:
    """Return the lab that a code cell begins with ``lab = begin("01_averaging_problem", ...)`` on a line of its own.

    What Markdown, comments and indented text say begins nothing. No parser reads it: a cell may hold magics, or be made
    to keep a parser busy.
    """
    return next((found[1] for cell in cells if cell.is_code and (found := BEGUN.search(cell.source))), "")


def _cell(raw: dict[str, Any], number: int) -> Cell:
    source = raw.get("source", raw.get("input", ""))
    if isinstance(source, list):
        source = "".join(part for part in source if isinstance(part, str))
    metadata = raw.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    own = metadata.get("nbgrader")
    key = own.get("grade_id") if isinstance(own, dict) else None
    id = str(raw.get("id") or "")
    if not isinstance(key, str):
        key = id.removeprefix("exercise-") if id.startswith(("exercise-", "check-")) else ""
    tags = metadata.get("tags")
    is_setup = id == "setup" or (isinstance(tags, list) and "setup" in tags)
    text = clean_text(source) if isinstance(source, str) else ""
    return Cell(text, key, raw.get("cell_type") == "code", number, is_setup)


def choose(
    files: Sequence[Path], other: Sequence[str], template: Template, last: bool = False
) -> tuple[Notebook, bytes, str]:
    """Return the notebook of a submission that is this lab's, its bytes, and a note if others were left aside.

    Args:
        files: the notebooks of a student.
        other: names of what else was handed in.
        template: the lab.
        last: whether the last of several notebooks counts.

    Raises:
        Unreadable: if there is none, or more than one that could be it.
    """
    if not files:
        reason = f"no notebook was handed in ({', '.join(other)})" if other else "nothing was handed in"
        raise Unreadable("invalid" if other else "missing", reason)
    found: dict[bytes, Notebook] = {}
    problems: list[Unreadable] = []
    for path in files:
        try:
            data = read_bytes(path)
            notebook = parse(printable(path.name), data)
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
    data = _the_one(found, template, last)
    left = [book.name for own, book in found.items() if own != data]
    note = f"{found[data].name} was graded, {', '.join(left)} was not" if left else ""
    return found[data], data, "; ".join(filter(None, [note, *(problem.reason for problem in problems)]))


def _the_one(found: dict[bytes, Notebook], template: Template, last: bool) -> bytes:
    """Return the bytes of the notebook that counts: one with answers, then the one with the lab's own name.

    Raises:
        Unreadable: if that leaves more than one.
    """
    left = {data: book for data, book in found.items() if answered(book, template)} or found
    if last:
        return list(left)[-1]
    named = [data for data, book in left.items() if Path(book.name).stem == template.lab]
    if len(named) == 1:
        return named[0]
    if len(left) > 1:
        files = ", ".join(book.name for book in left.values())
        raise Unreadable("invalid", f"more than one notebook of this lab was handed in ({files}): which one counts?")
    return next(iter(left))


def answered(notebook: Notebook, template: Template) -> bool:
    """Return whether any exercise of a notebook was begun."""
    stubs = {task.key: task.stub.split() for task in template.tasks}
    begun = (cell for cell in notebook.cells if cell.is_code and cell.key in stubs and cell.source.strip())
    if any(cell.source.split() != stubs[cell.key] for cell in begun):
        return True
    return any(defines(cell, task.name) for task in template.tasks for cell in notebook.cells if not cell.key)


def belongs(notebook: Notebook, template: Template) -> bool:
    """Return whether a notebook is this lab: by its exercises' ids, what it says, or the functions it defines."""
    keys = {task.key for task in template.tasks}
    if any(cell.key in keys for cell in notebook.cells):
        return True
    if notebook.lab:
        return notebook.lab == template.lab
    return any(defines(cell, task.name) for task in template.tasks for cell in notebook.cells)


def defines(cell: Cell, name: str) -> bool:
    """Return whether a code cell defines a function or class, or assigns a value, of this name."""
    pattern = (
        rf"^((async\s+)?def\s+{re.escape(name)}\b|class\s+{re.escape(name)}\b|{re.escape(name)}\s*(:[^=\n]+)?=[^=])"
    )
    return bool(name and cell.is_code and re.search(pattern, cell.source, re.MULTILINE))
