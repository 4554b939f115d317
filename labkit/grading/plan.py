"""Which cells of a notebook are run, in which order, and where each exercise is judged.

The rule is Jupyter's: the cells run one by one from top to bottom, an error in one does not keep the next from
running, and the last definition counts. Of a student's notebook these cells run:

- the cells of the exercises (a copied or split one too: all that carry the exercise's id), and
- the cells that are carried along: those of no exercise that hold only imports, definitions and plain assignments.

Nothing else of it runs. The set-up cell and the checks are the lab's own. An exercise is judged where its check cell
stands, as Jupyter would; where that cell is gone, before the next exercise begins.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from labkit.grading.submission import Cell, Notebook, defines
from labkit.grading.template import Task, Template

SETUP, CARRIED, EXERCISE, CHECK = "setup", "carried", "exercise", "check"
MOST_CELLS = 100  # of one exercise, or carried along
LONGEST = 100_000  # characters of a cell that is looked into
HARMLESS_MAGICS = re.compile(r"%(matplotlib|config|load_ext|autoreload|precision)\b|%%(time|capture)\b")
PLAIN_MODULES = ("math", "np", "numpy", "torch")
PLAIN_CALLS = frozenset(
    (
        *(
            "abs",
            "bool",
            "complex",
            "dict",
            "divmod",
            "enumerate",
            "float",
            "frozenset",
            "int",
            "len",
            "list",
            "max",
            "min",
        ),
        *("pow", "range", "reversed", "round", "set", "slice", "sorted", "str", "sum", "tuple", "zip"),
        *("Fraction", "Decimal", "namedtuple", "partial"),
    )
)
NOT_PLAIN = frozenset(  # what reads or writes files, draws random numbers, or compiles
    (
        *("load", "save", "hub", "random", "rand", "randn", "randint", "randperm", "manual_seed", "seed", "ctypeslib"),
        *("fromfile", "memmap", "genfromtxt", "loadtxt", "savetxt", "savez", "compile", "jit", "ops", "utils"),
        *("distributed", "multiprocessing"),
    )
)


@dataclass(frozen=True)
class Step:
    """One cell that is run, or an exercise that is judged (``kind`` is CARRIED, EXERCISE or CHECK).

    ``key`` is the exercise's, "" of a carried cell; ``number`` the cell's place in the notebook, from 1.
    """

    kind: str
    key: str
    source: str = ""
    number: int = 0

    @property
    def name(self) -> str:
        """How the feedback names the cell: its place, and its first line that is no comment."""
        lines = [line for line in self.source.splitlines() if line.strip() and not line.lstrip().startswith("#")]
        return f"cell {self.number} ({lines[0].strip()[:60]})" if lines else f"cell {self.number}"


@dataclass(frozen=True)
class Answer:
    """The cells that count for one task (none: there is none), and what had to be decided to find them."""

    cells: tuple[Cell, ...]
    note: str = ""

    @property
    def source(self) -> str | None:
        """The cells' text, one after the other."""
        return "\n\n".join(cell.source for cell in self.cells) if self.cells else None


@dataclass(frozen=True)
class Plan:
    """What is run of a notebook.

    Attributes:
        steps: in order.
        answers: to each task, by its key.
        left: cells that are not run, though they set names: (cell, names).
    """

    steps: tuple[Step, ...]
    answers: dict[str, Answer]
    left: tuple[tuple[Step, tuple[str, ...]], ...] = ()

    @property
    def carried(self) -> tuple[Step, ...]:
        """The cells that are carried along."""
        return tuple(step for step in self.steps if step.kind == CARRIED)


def make_plan(
    notebook: Notebook, template: Template, holds_only_definitions: Callable[[str], bool] | None = None
) -> Plan:
    """Return what is run of a notebook.

    Args:
        notebook: as it was handed in.
        template: the lab.
        holds_only_definitions: decides which cells are carried along; another process may do it.
    """
    is_plain = holds_only_definitions or only_definitions
    tasks = {task.key: task for task in template.tasks}
    checks = {f"check-{key}" for key in tasks}
    free = [
        cell
        for cell in notebook.cells
        if cell.is_code
        and cell.key not in tasks
        and cell.key not in checks
        and not cell.is_setup
        and cell.source.strip()
    ]
    answers = {task.key: _answer(notebook, task, free) for task in template.tasks}
    taken = {cell.number for answer in answers.values() for cell in answer.cells}
    rest = [cell for cell in free if cell.number not in taken]
    carried = [cell for cell in rest if is_plain(cell.source)][:MOST_CELLS]
    steps = [Step(CARRIED, "", cell.source, cell.number) for cell in carried]
    steps += [Step(EXERCISE, key, cell.source, cell.number) for key, answer in answers.items() for cell in answer.cells]
    places = {
        key: _judged_after(notebook, tasks[key], answer, taken) for key, answer in answers.items() if answer.cells
    }
    order = {key: place for place, key in enumerate(tasks)}
    steps += [Step(CHECK, key, "", place) for key, place in places.items()]
    steps.sort(key=lambda step: (step.number, step.kind == CHECK, order.get(step.key, 0)))
    run = {step.number for step in steps if step.kind != CHECK}
    others = [cell for cell in notebook.cells if cell.is_code and cell.number not in run and cell.key not in checks]
    left = ((Step(CARRIED, "", cell.source, cell.number), tuple(_names(cell.source))) for cell in others)
    return Plan(tuple(steps), answers, tuple((step, names) for step, names in left if names))


def _answer(notebook: Notebook, task: Task, free: Sequence[Cell]) -> Answer:
    """Return the cells that count for one task."""
    own = [cell for cell in notebook.cells if cell.key == task.key]
    code = [cell for cell in own if cell.is_code]
    if own and not code:
        return Answer((), "the exercise's cell is no code cell any more: make it one, or take it from a fresh copy")
    changed = [cell for cell in code if cell.source.split() != task.stub.split() and cell.source.strip()]
    elsewhere = _elsewhere(notebook, task, free, changed or code)
    if changed:
        notes = []
        if len(changed) > 1:
            notes.append(f"{len(changed)} cells carry this exercise's id: they were run in their order")
        if any(defines(cell, task.name) for cell in changed):
            if any(defines(cell, task.name) for cell in free):
                notes.append(f"another cell defines {task.name} as well: the exercise's cell counts")
        elif elsewhere:
            notes.append(f"the exercise's cell does not define {task.name}: another cell that does counts as well")
            changed = sorted([*changed, *elsewhere], key=lambda cell: cell.number)
        return Answer(tuple(changed[-MOST_CELLS:]), "; ".join(notes))
    if elsewhere:
        why = "the exercise's cell was left as it was" if code else "no cell carries this exercise's id"
        which = "the cell that defines" if len(elsewhere) == 1 else f"the {len(elsewhere)} cells that define"
        counts = "counts" if len(elsewhere) == 1 else "were run in their order"
        return Answer(tuple(elsewhere[-MOST_CELLS:]), f"{why}: {which} {task.name} {counts}")
    if code:
        return Answer((code[-1],))
    return Answer((), "no cell for this exercise: copy it from a fresh copy of the lab")


def _elsewhere(notebook: Notebook, task: Task, free: Sequence[Cell], own: Sequence[Cell]) -> list[Cell]:
    """Return the cells of no exercise that define what is asked: those before its check, as in Jupyter.

    Those behind it count where there is nothing else: then no cell before the check even mentions the name.
    """
    found = [cell for cell in free if defines(cell, task.name)]
    check = _check_after(notebook, task, max((cell.number for cell in own), default=0))
    if check is None:
        return found
    before = [cell for cell in found if cell.number < check]
    name = re.compile(rf"\b{re.escape(task.name)}\b")
    if before or any(name.search(cell.source) for cell in own if cell.source.split() != task.stub.split()):
        return before
    return found


def _check_after(notebook: Notebook, task: Task, last: int) -> int | None:
    """Return the number of the first check of a task behind a cell, None if there is none."""
    found = [cell.number for cell in notebook.cells if cell.key == f"check-{task.key}"]
    if not found:  # without metadata and ids
        call = re.compile(rf"""^check\(\s*["']{re.escape(task.key)}["']""", re.MULTILINE)
        found = [cell.number for cell in notebook.cells if cell.is_code and call.search(cell.source)]
    return min((number for number in found if number > last), default=None)


def _judged_after(notebook: Notebook, task: Task, answer: Answer, taken: set[int]) -> int:
    """Return the number of the cell after which a task is judged."""
    last = max(cell.number for cell in answer.cells)
    if (check := _check_after(notebook, task, last)) is not None:
        return check
    after = [cell.number for cell in notebook.cells if cell.number > last]
    until = next((number for number in after if number in taken), None)
    return until - 1 if until is not None else max([last, *after])


# What may be carried along


def only_definitions(source: str) -> bool:
    """Return whether a cell holds only imports, definitions and plain assignments, and at least one of them.

    Magics that only set up drawing, and ``%%time`` or ``%%capture`` above, change nothing about that.
    """
    if len(source) > LONGEST:
        return False
    lines = ["" if HARMLESS_MAGICS.match(line) else line for line in source.splitlines()]
    try:
        body = ast.parse("\n".join(lines)).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return any(not _is_text(each) for each in body) and all(map(_is_plain, body))


def _is_text(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Pass) or (
        isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    )


def _is_plain(statement: ast.stmt) -> bool:
    """Return whether a statement is an import, a definition or a plain assignment."""
    match statement:
        case ast.Import() | ast.ImportFrom() | ast.FunctionDef() | ast.AsyncFunctionDef():
            return True
        case ast.ClassDef(body=body):
            return all(map(_is_plain, body))
        case ast.Assign(value=value, targets=targets):
            return _is_plain_value(value) and all(map(_is_name, targets))
        case ast.AnnAssign(value=value, target=target):
            return _is_name(target) and (value is None or _is_plain_value(value))
        case ast.Try(body=body, handlers=handlers, orelse=orelse, finalbody=finalbody):
            inside = [*body, *orelse, *finalbody, *(each for handler in handlers for each in handler.body)]
            return all(map(_is_plain, inside))
    return _is_text(statement)


def _is_name(target: ast.expr) -> bool:
    """Return whether a target binds names, and changes no object."""
    if isinstance(target, (ast.Tuple, ast.List)):
        return all(map(_is_name, target.elts))
    return (isinstance(target, ast.Starred) and _is_name(target.value)) or isinstance(target, ast.Name)


def _is_plain_value(value: ast.expr) -> bool:
    """Return whether an expression calls nothing but constructors and arithmetic of Python, math, numpy and torch."""
    stack: list[ast.AST] = [value]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.Lambda):  # what is in it does not run here
            continue
        if isinstance(node, (ast.Await, ast.Yield, ast.YieldFrom, ast.NamedExpr)):
            return False
        if isinstance(node, ast.Call) and not _is_plain_call(node.func):
            return False
        stack.extend(ast.iter_child_nodes(node))
    return True


def _is_plain_call(function: ast.expr) -> bool:
    if isinstance(function, ast.Name):
        return function.id in PLAIN_CALLS
    names = []
    while isinstance(function, ast.Attribute):
        names.append(function.attr)
        function = function.value
    if isinstance(function, ast.Name) and function.id in PLAIN_MODULES:
        return not any(name in NOT_PLAIN or name.startswith("_") for name in names)
    # A method of such a value: torch.tensor([1, 2]).float()
    return (
        isinstance(function, ast.Call)
        and len(names) == 1
        and names[0] not in NOT_PLAIN
        and _is_plain_call(function.func)
    )


def _names(source: str) -> Iterator[str]:
    """Yield the names that a cell sets at its top level, by the look of its lines (it may be no Python)."""
    if len(source) > LONGEST:
        return
    for line in source.splitlines():
        if found := re.match(r"(?:async\s+)?(?:def|class)\s+(\w+)|(\w+)\s*(?::[^=]+)?=(?!=)", line):
            yield found[1] or found[2]
        elif found := re.match(r"import\s+([\w.]+)(?:\s+as\s+(\w+))?|from\s+[\w.]+\s+import\s+(.+)", line):
            if found[3]:
                yield from (part.split()[-1] for part in found[3].strip("() ").split(",") if part.split())
            else:
                yield found[2] or found[1].split(".")[0]


def why_undefined(error: str, plan: Plan, setup: str) -> str:
    """Return where a name that an answer lacks is set in cells that did not run, or nothing.

    Args:
        error: the message of an exception.
        plan: what was run.
        setup: the lab's own set-up cell.
    """
    found = re.search(r"name '(\w+)' is not defined", error)
    if not found or re.search(rf"\b{found[1]}\b", setup):
        return ""
    for step, names in plan.left:
        if found[1] in names:
            return (
                f"{found[1]} is set in {step.name}, which was not run: it holds more than imports, definitions and "
                "plain assignments. Put what the answer needs into a cell of its own, or into the exercise's cell"
            )
    return ""
