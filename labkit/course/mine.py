"""Write mine.py: what a student built in the labs of a folder, for the labs that use it (`labkit.notebook.built`)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from labkit import artifacts
from labkit.checks import CHECK_MIME, WRONG
from labkit.course.labs import LabInfo, read_notebook
from labkit.errors import LabkitError
from labkit.notebook.built import MINE

YOURS = "# ---- yours: what stands below this line is kept when the file is written again"
_HEAD = '''\
"""What you built in the labs of this folder. A later lab takes it from here, with lab.mine(...).

`labkit start` writes this file from your notebooks whenever you start a lab; add code of your own at the end.
"""
'''
_KEPT = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign)


def write_mine(folder: Path, labs: list[LabInfo]) -> list[str]:
    """Write mine.py in ``folder`` from the copies of ``labs`` there; return the exercises in it.

    An exercise that was not attempted is left out, and so is one whose check last said wrong. Nothing is written where
    there is nothing to write.
    """
    done: list[str] = []
    parts: list[str] = []
    for lab in labs:
        found = dict(_pieces(folder / lab.path.name, lab))
        if found:
            parts.append(f"# ---- {lab.name}\n\n{_imports(lab)}")
            parts += [f"# {key}\n{text}" for key, text in found.items()]
            done += found
    path = folder / MINE
    own = _own_part(path)
    if done or path.exists():
        held = f"EXERCISES = {tuple(done)!r}"
        artifacts.write_text(path, "\n\n".join([_HEAD + held, *parts, f"{YOURS}\n{own}"]).rstrip("\n") + "\n")
    return done


def _own_part(path: Path) -> str:
    """Return what the student has added to her file: all of it, if it is not one that was written here."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
    before, found, after = text.partition(YOURS)
    return after.lstrip("\n") if found else before


def _pieces(copy: Path, lab: LabInfo) -> Iterator[tuple[str, str]]:
    """Yield each exercise of a copy that was attempted, with its definitions."""
    if not copy.is_file():
        return
    try:
        notebook = read_notebook(copy)
    except LabkitError:  # a damaged notebook is no reason not to start a lab
        return
    stubs = {cell.id: cell.source.split() for cell in read_notebook(lab.path).cells if cell.id.startswith("exercise-")}
    wrong = {key for cell in notebook.cells for key in _said_wrong(cell)}
    for id, stub in stubs.items():
        key = id.removeprefix("exercise-")
        texts = [cell.source for cell in notebook.cells if key_of(cell) == key and cell.cell_type == "code"]
        touched = [text for text in texts if text.split() != stub and text.strip()]
        kept = "\n\n".join(filter(None, map(definitions, touched)))
        if kept and key not in wrong:
            yield key, kept


def _said_wrong(cell: Any) -> Iterator[str]:
    """Yield the exercise cell whose stored check said wrong."""
    for output in cell.get("outputs", []):
        said = output.get("data", {}).get(CHECK_MIME)
        if isinstance(said, dict) and said.get("status") == WRONG:
            yield key_of(cell).removeprefix("check-")


def key_of(cell: Any) -> str:
    """Return the grade_id of a cell: the exercise's, "check-" and that, or ""."""
    own = cell.metadata.get("nbgrader")
    key = own.get("grade_id") if isinstance(own, dict) else None
    if isinstance(key, str):
        return key
    id = str(cell.get("id", ""))
    return id.removeprefix("exercise-") if id.startswith(("exercise-", "check-")) else ""


def definitions(source: str) -> str:
    """Return the imports, definitions and assignments of a cell, as they stand; "" if it is no Python."""
    lines = ["" if line.lstrip().startswith(("%", "!")) else line for line in source.splitlines()]
    try:
        body = ast.parse("\n".join(lines)).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ""
    spans = []
    for statement in body:
        if isinstance(statement, _KEPT):
            first = min([statement.lineno, *(one.lineno for one in getattr(statement, "decorator_list", []))])
            spans.append("\n".join(lines[first - 1 : statement.end_lineno]))
    return "\n\n".join(spans)


def _imports(lab: LabInfo) -> str:
    """Return the imports of a lab's set-up cell, but those of its checks."""
    [setup] = [cell.source for cell in read_notebook(lab.path).cells if cell.id == "setup"]
    kept = [node for node in ast.parse(setup).body if isinstance(node, (ast.Import, ast.ImportFrom))]
    return "\n".join(ast.unparse(node) for node in kept if getattr(node, "module", "") != "labkit.checks")
