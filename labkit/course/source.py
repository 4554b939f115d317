"""Read a lab's source, notebooks/src/NN_title.py, and check it.

A source is jupytext's percent format; options on the ``# %%`` line say what a cell is (for Markdown they come
after ``[markdown]``)::

    # %% [markdown]                  prose; the first cell starts with "# Title"
    # %% tags=["setup"]              imports; the lines that install labkit in Colab are put before them
    # %% tags=["parameters"]         see `labkit.notebook.parameters`
    # %% tags=["opening"]            the opening figure: the only cell whose output the student notebook keeps
    # %% exercise="01-mean-color"    functions or a class, each body between ### BEGIN SOLUTION and ### END SOLUTION
    # %% check="01-mean-color"       check("01-mean-color", mean_color), and one call more for each further step
    # %% [markdown] answer=true      what to compare a guess with, folded away

A line ``# NBVAL_CHECK_OUTPUT`` marks a cell whose output is compared in the solution notebook; students do not get it.
The heading of an exercise, ### in the Markdown before it, ends with `Exercise.label`: difficulty, kind and minutes.
"""

import ast
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from labkit.checks import STUB, Exercise, all_exercises
from labkit.errors import LabkitError
from labkit.notebook.parameters import parse_parameters

MARK = "# NBVAL_CHECK_OUTPUT"
_OPTIONS = {"tags", "exercise", "check", "answer", "lines_to_next_cell"}


@dataclass(frozen=True)
class SourceCell:
    """Hold one cell of a source: ``kind`` is markdown, answer, setup, parameters, exercise, check or code."""

    kind: str
    text: str
    where: str  # file, line and cell, for messages
    id: str  # of the built cell
    key: str = ""  # id of the exercise
    points: int = 0
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class LabSource:
    """Hold a lab as written, checked."""

    path: Path
    title: str
    cells: list[SourceCell] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Return the name of the lab: 01_averaging_problem."""
        return self.path.stem


# Reading a source


def read_source(path: Path, exercises: Mapping[str, Exercise]) -> LabSource:
    """Read and check one source.

    Raises:
        LabkitError: quoting file, line and cell.
    """
    import jupytext

    text = path.read_text(encoding="utf-8")
    lines = [number for number, line in enumerate(text.splitlines(), 1) if re.match(r"# %%(\s|$)", line)]
    notebook = jupytext.reads(text, fmt="py:percent")
    if len(lines) != len(notebook.cells):
        raise LabkitError(f"{short_path(path)}: {len(notebook.cells)} cells but {len(lines)} lines '# %%'")
    cells: list[SourceCell] = []
    used: set[str] = set()
    for number, (cell, line) in enumerate(zip(notebook.cells, lines, strict=True)):
        where = f"{short_path(path)}:{line}: cell {number}"
        cells.append(_source_cell(cell, where, used, exercises))
        used.add(cells[-1].id)
    _check_order(path, cells)
    if opening := [number for number, cell in enumerate(cells) if "opening" in cell.tags]:  # a lab of this course
        _check_opening(cells, opening)
        _check_headings(cells, exercises)
    return LabSource(path, cells[0].text.splitlines()[0].removeprefix("# ").strip(), cells)


def _source_cell(cell: Any, where: str, used: set[str], exercises: Mapping[str, Exercise]) -> SourceCell:
    options = cell.metadata
    if unknown := sorted(set(options) - _OPTIONS):
        raise LabkitError(f"{where}: unknown option {unknown[0]} {options[unknown[0]]!r} on the '# %%' line")
    if not cell.source.strip():
        raise LabkitError(f"{where}: the cell is empty")
    tags = tuple(options.get("tags", ()))
    key = options.get("exercise") or options.get("check") or ""
    kind = _kind(cell.cell_type, options, tags)
    if kind == "markdown" and (key or tags):
        raise LabkitError(f"{where}: a Markdown cell can only be prose or answer=true")
    if kind in ("setup", "parameters", "exercise", "check"):
        id = f"{kind}-{key}" if key else kind
        if id in used:
            raise LabkitError(f"{where}: a second cell {id}; each of them comes once")
    else:
        id = _content_id(cell.source, used)
    try:
        points = _check_key(kind, key, cell.source, used, exercises)
        if kind == "parameters":
            parse_parameters(cell.source)
        elif kind in ("setup", "exercise", "check"):
            ast.parse(student_text(cell.source))
            ast.parse(cell.source)
    except LabkitError as error:
        raise LabkitError(f"{where} ({id}): {error}") from None
    except SyntaxError as error:
        raise LabkitError(f"{where} ({id}): line {error.lineno} of the cell: {error.msg}") from None
    return SourceCell(kind, cell.source, where, id, key, points, tags)


def _kind(cell_type: str, options: Mapping[str, Any], tags: Sequence[str]) -> str:
    if cell_type == "markdown":
        return "answer" if options.get("answer") else "markdown"
    for kind in ("exercise", "check"):
        if kind in options:
            return kind
    for kind in ("setup", "parameters"):
        if kind in tags:
            return kind
    return "code"


def _check_key(kind: str, key: str, text: str, used: set[str], exercises: Mapping[str, Exercise]) -> int:
    """Check what an exercise or check cell must hold; return its points."""
    solutions = len(list(regions(text, "SOLUTION")))
    hidden = len(list(regions(text, "HIDDEN TESTS")))
    if kind == "exercise" and not solutions:
        raise LabkitError("no ### BEGIN SOLUTION ... ### END SOLUTION in an exercise")
    if kind != "exercise" and solutions:
        raise LabkitError("a solution outside an exercise cell")
    if kind != "check" and hidden:
        raise LabkitError("hidden tests outside a check cell")
    if kind not in ("exercise", "check"):
        return 0
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,54}", key):
        raise LabkitError(f"the id {key!r} must be letters, digits, - and _, at most 54 of them")
    if key not in exercises:
        known = ", ".join(exercises) or "none"
        raise LabkitError(f"exercise {key!r} is not in labkit.checks (which has {known})")
    if kind == "exercise":
        return 0
    if f"exercise-{key}" not in used:
        raise LabkitError("a check without its exercise before it")
    calls = [call.id for call in check_calls(text)[0]]
    if key not in calls:
        raise LabkitError(f'expected check("{key}", ...) in this cell')
    if unknown := [id for id in calls if id not in exercises]:
        raise LabkitError(f"exercise {unknown[0]!r} is not in labkit.checks")
    return sum(exercises[id].points for id in calls)


@dataclass(frozen=True)
class CheckCall:
    """Hold one ``check(id, answer)`` of a check cell; ``answer`` is an expression, as text."""

    id: str
    answer: str
    hidden: bool


def check_calls(text: str) -> tuple[tuple[CheckCall, ...], tuple[int, ...]]:
    """Return the ``check(...)`` calls of a cell, and the lines at which anything else is.

    Raises:
        SyntaxError: if the cell is no Python.
    """
    hidden = list(regions(text, "HIDDEN TESTS"))
    calls, rest = [], []
    for statement in ast.parse(text).body:
        match statement:
            case ast.Expr(ast.Call(ast.Name("check"), [ast.Constant(str(id)), answer, *_])):
                inside = any(first < statement.lineno - 1 < last for first, last in hidden)
                calls.append(CheckCall(id, ast.unparse(answer), inside))
            case _:
                rest.append(statement.lineno)
    return tuple(calls), tuple(rest)


def _check_order(path: Path, cells: Sequence[SourceCell]) -> None:
    where = short_path(path)
    kinds = [cell.kind for cell in cells]
    if not cells or kinds[0] != "markdown" or not cells[0].text.startswith("# "):
        raise LabkitError(f"{where}: the first cell must be Markdown and start with '# Title'")
    code = [cell for cell in cells if cell.kind not in ("markdown", "answer")]
    if not code or code[0].kind != "setup":
        raise LabkitError(f'{where}: the first code cell must have tags=["setup"]')
    ids = {cell.id for cell in cells}
    for cell in cells:
        if cell.kind == "exercise" and f"check-{cell.key}" not in ids:
            raise LabkitError(f"{cell.where} ({cell.id}): an exercise without its check")
        begun = re.search(r"""\bbegin\(\s*["']([^"']*)["']""", cell.text) if cell.kind == "code" else None
        if begun and begun[1] != path.stem:
            raise LabkitError(f"{cell.where}: begin({begun[1]!r}) in the lab {path.stem}")


def _check_opening(cells: Sequence[SourceCell], opening: Sequence[int]) -> None:
    """Refuse a second opening figure, and one that an exercise could change, since its output is the solution's.

    Raises:
        LabkitError: naming the cell.
    """
    if len(opening) > 1:
        raise LabkitError(f"{cells[opening[1]].where}: a second cell with the tag opening; a lab has one")
    if cells[opening[0]].kind != "code" or any(cell.kind == "exercise" for cell in cells[: opening[0]]):
        raise LabkitError(
            f"{cells[opening[0]].where}: the opening figure must be a plain code cell before all exercises"
        )


def _check_headings(cells: Sequence[SourceCell], exercises: Mapping[str, Exercise]) -> None:
    """Refuse an exercise whose heading does not say its difficulty, kind and minutes as the exercise does.

    Raises:
        LabkitError: naming the cell, and the words that its heading must end with.
    """
    for number, cell in enumerate(cells):
        if cell.kind == "exercise":
            label = exercises[cell.key].label(minutes_of(cells, cell.key, exercises))
            before = next((one.text for one in reversed(cells[:number]) if one.kind == "markdown"), "")
            headings = [line.strip() for line in before.splitlines() if line.startswith("### ")]
            if not headings or not headings[-1].endswith(f" {label}"):
                found = f"got {headings[-1]!r}" if headings else "there is none"
                raise LabkitError(f"{cell.where} ({cell.id}): its heading must be '### ... {label}'; {found}")


def minutes_of(cells: Sequence[SourceCell], key: str, exercises: Mapping[str, Exercise]) -> int:
    """Return the minutes of an exercise cell: the sum over the steps in its check cell."""
    [check] = [cell for cell in cells if cell.kind == "check" and cell.key == key]
    return sum(exercises[call.id].minutes for call in check_calls(check.text)[0] if not call.hidden)


def regions(text: str, word: str) -> Iterator[tuple[int, int]]:
    """Yield (first, last) line of each ``### BEGIN word`` ... ``### END word``.

    Raises:
        LabkitError: if they are nested or unbalanced, or a marker shares its line.
    """
    begin = None
    for number, line in enumerate(text.splitlines()):
        mark = line.strip()
        if mark == f"### BEGIN {word}":
            if begin is not None:
                raise LabkitError(f"line {number + 1} of the cell: ### BEGIN {word} inside another")
            begin = number
        elif mark == f"### END {word}":
            if begin is None:
                raise LabkitError(f"line {number + 1} of the cell: ### END {word} without its BEGIN")
            yield begin, number
            begin = None
        elif re.search(rf"#\s*(BEGIN|END)\s+{word}", line, re.IGNORECASE):
            raise LabkitError(f"line {number + 1} of the cell: write '### BEGIN {word}' alone on its line")
    if begin is not None:
        raise LabkitError(f"line {begin + 1} of the cell: ### BEGIN {word} without its END")


def student_text(text: str) -> str:
    """Return a cell as students get it: each solution replaced by a stub that raises, hidden tests and marks removed.

    Raises:
        LabkitError: if the markers are unbalanced.
    """
    for word in ("SOLUTION", "HIDDEN TESTS"):
        lines = text.splitlines()
        for first, last in reversed(list(regions(text, word))):
            indent = lines[first][: len(lines[first]) - len(lines[first].lstrip())]
            stub = [f'{indent}raise NotImplementedError("{STUB}")'] if word == "SOLUTION" else []
            lines[first : last + 1] = stub
        text = "\n".join(lines)
    return re.sub(rf"^{MARK}\n", "", text, flags=re.MULTILINE)


def _content_id(text: str, used: set[str]) -> str:
    """Return an id that stays when other cells come or go; the same text a second time gets a number."""
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    return next(id for n in range(1, 1000) if (id := digest if n == 1 else f"{digest}-{n}") not in used)


def exercises_by_id() -> dict[str, Exercise]:
    """Return id -> exercise, of all exercises that there are."""
    found: dict[str, Exercise] = {}
    for exercise in all_exercises():
        if exercise.id in found:
            raise LabkitError(f"two exercises in labkit.checks are called {exercise.id!r}")
        found[exercise.id] = exercise
    return found


def short_path(path: Path) -> str:
    """Return the path from the folder ``notebooks`` on."""
    parts = path.parts
    return "/".join(parts[parts.index("notebooks") :]) if "notebooks" in parts else str(path)
