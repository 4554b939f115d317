"""How much a lab holds: words, lines of ours and of the student's, predictions, exercises. Run it to print a table."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from labkit.course.source import LabSource, exercises_by_id, minutes_of, read_source, regions
from labkit.notebook.predictions import calls_in

FOLDER = Path(__file__).resolve().parents[2] / "notebooks" / "src"
DRAWS = {"plots", "widgets", "figures", "plt"}  # what a line that draws calls something of
CODE = ("setup", "parameters", "code", "exercise", "check")
NO_CODE = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}


@dataclass
class Sizes:
    words: int = 0
    ours: int = 0
    students: dict[str, int] = field(default_factory=dict)  # by exercise
    drawing: dict[str, int] = field(default_factory=dict)  # lines that draw, by place of the cell
    predictions: list[str] = field(default_factory=list)
    minutes: int = 0


def labs() -> list[LabSource]:
    """The labs of this course."""
    exercises = exercises_by_id()
    return [read_source(path, exercises) for path in sorted(FOLDER.glob("*.py"))]


def sizes(lab: LabSource) -> Sizes:
    found = Sizes()
    exercises = exercises_by_id()
    for cell in lab.cells:
        if cell.kind not in CODE:
            found.words += sum(1 for word in cell.text.split() if re.search("[A-Za-z]", word))
            continue
        lines = code_lines(cell.text)
        if cell.kind == "exercise":
            inside = {n for first, last in regions(cell.text, "SOLUTION") for n in range(first + 2, last + 1)}
            found.students[cell.key] = len(lines & inside)
            found.minutes += minutes_of(lab.cells, cell.key, exercises) if exercises[cell.key].core else 0
            lines -= inside
        found.ours += len(lines)
        found.drawing[cell.where] = drawing_lines(cell.text)
        found.predictions += calls_in(cell.text)
    return found


def code_lines(text: str) -> set[int]:
    """The numbers (from 1) of the lines that hold code: no blanks, comments or docstrings."""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    lines = {n for token in tokens if token.type not in NO_CODE for n in range(token.start[0], token.end[0] + 1)}
    return lines - {n for node in docstrings(text) for n in range(node.lineno, (node.end_lineno or 0) + 1)}


def docstrings(text: str) -> Iterator[ast.Expr]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                yield first


def drawing_lines(text: str) -> int:
    """The number of lines of calls to something in `DRAWS`, or to what was imported from the figures of a lab."""
    lines: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and root(node.func) in DRAWS:
            lines.update(range(node.lineno, (node.end_lineno or 0) + 1))
    return len(lines)


def root(node: ast.expr) -> str:
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def main() -> None:
    print("lab, words, our lines, student's lines, most lines that draw, predictions, core minutes of exercises")
    for lab in labs():
        held = sizes(lab)
        students = sum(held.students.values())
        most = max(held.drawing.values(), default=0)
        print(
            f"{lab.name}: {held.words}, {held.ours}, {students} {held.students}, {most}, {len(held.predictions)}",
            end="",
        )
        print(f", {held.minutes}")


if __name__ == "__main__":
    main()
