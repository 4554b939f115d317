"""Which answers are near copies: of each other, of the lab's solution, of the library, of earlier years.

As in Schleimer, Wilkerson, Aiken, "Winnowing" (SIGMOD 2003): an answer is the set of its runs of k tokens, what many
students share is dropped (the exercise itself, and the answer that everybody finds), and two answers are compared by
the fraction of runs that they have in common. Names, comments, docstrings, annotations and layout are normalized away
first. It is a hint to look, never a proof, and costs no points.
"""

from __future__ import annotations

import ast
import inspect
import json
import keyword
import math
import re
import textwrap
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FunctionType
from typing import Any

from labkit.checks import find_exercise
from labkit.grading.bounded import Bounded, Exceeded, Failed
from labkit.grading.submission import Unreadable, parse, read_bytes
from labkit.grading.template import Task, Template
from labkit.notebook.answer import library_function

RUN = 6  # tokens
FEWEST = 25  # runs of its own that an answer must have: shorter ones are alike by nature
ALIKE = 0.8
COMMON = 0.2  # fraction of the class; a run that more have says nothing
MOST_RUNS = 4000  # of one answer
TOKEN = re.compile(r"\w+|[^\w\s]")

Fingerprint = dict[str, Any]  # {"text": hash of all tokens, "tokens": their number, "runs": hashes of runs, in hex}


@dataclass(frozen=True)
class Pair:
    """Two answers to one exercise that have this fraction of their runs in common, 0 to 1.

    ``tokens`` is the length of the first: short answers are alike by nature.
    """

    exercise: str
    one: str
    other: str
    fraction: float
    tokens: int = 0


@dataclass(frozen=True)
class Known:
    """An answer that is no student's of this class: ``origin`` says whose it is."""

    exercise: str
    origin: str
    fingerprint: Fingerprint = field(hash=False)


# One answer


def fingerprint(source: str) -> Fingerprint:
    """Return what a cell is compared by."""
    words = tokens(source)
    runs = {zlib.crc32(" ".join(words[at : at + RUN]).encode()) for at in range(len(words) - RUN + 1)}
    packed = " ".join(f"{run:x}" for run in sorted(runs)[:MOST_RUNS])
    return {"text": zlib.crc32(" ".join(words).encode()), "tokens": len(words), "runs": packed}


def _runs(print_: Fingerprint) -> set[str]:
    return set(print_["runs"].split())


def tokens(source: str) -> list[str]:
    """Return the tokens of an answer without its magics; names of its own are numbered in order of appearance."""
    source = re.sub(r"(?m)^\s*[%!].*$", "", source)
    try:
        tree = ast.parse(textwrap.dedent(source))
        own = _own_names(tree)
        text = "\n".join(_normalized(tree))
    except (SyntaxError, ValueError, RecursionError, MemoryError, AttributeError):
        own, text = set(), re.sub(r"#.*", "", source)
    numbers: dict[str, str] = {}
    found = []
    for word in TOKEN.findall(text):
        if word in own and not keyword.iskeyword(word):
            word = numbers.setdefault(word, f"name{len(numbers)}")
        found.append(word)
    return found


def _own_names(tree: ast.Module) -> set[str]:
    made = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    defined = {node.name for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    return made | defined | {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}


def _normalized(tree: ast.Module) -> Iterator[str]:
    """Yield the statements of a cell without imports, docstrings, annotations and decorators; a lambda as a def."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            node.returns, node.decorator_list = None, []
            body = [each for each in node.body if not _is_text(each)]
            node.body = body or [ast.Pass()]
        elif isinstance(node, ast.arg):
            node.annotation = None
    last = {each.name: each for each in tree.body if isinstance(each, (ast.FunctionDef, ast.ClassDef))}
    for statement in tree.body:
        match statement:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) if last[name] is not statement:
                continue  # an earlier try
            case ast.Import() | ast.ImportFrom():
                continue
            case ast.Assign(value=ast.Lambda(args=arguments, body=result), targets=[ast.Name(name)]):
                yield f"def {name}({ast.unparse(arguments)}):\n return {ast.unparse(result)}"
            case _ if not _is_text(statement):
                yield ast.unparse(statement)


def _is_text(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


# A class


def near_copies(results: Sequence[Any], template: Template, known: Iterable[Known] = ()) -> list[Pair]:
    """Return the pairs to look at, most alike first.

    Args:
        results: the class, as `labkit.grading.nbval_grader.Graded`.
        template: the lab.
        known: answers to compare with, from outside the class.
    """
    found: list[Pair] = []
    outside = list(known)
    with Bounded({"fingerprint": fingerprint}) as reader:
        for task in template.tasks:
            stub = _runs(fingerprint(task.stub))
            prints = {}
            for graded in results:
                for exercise in graded.exercises:
                    if exercise.id == task.key and exercise.source and exercise.status != "not attempted":
                        prints[graded.student] = exercise.fingerprint or _asked(reader, exercise.source)
            theirs = [one for one in outside if one.exercise == task.key]
            found += _copies_of_known(task, prints, theirs, stub)
            found += _copies_in_class(task, prints, stub)
    return sorted(found, key=lambda pair: (-pair.fraction, pair.exercise, pair.one, pair.other))


def _asked(reader: Bounded, source: str) -> Fingerprint:
    try:
        return dict(reader.ask("fingerprint", source))
    except (Exceeded, Failed):
        return {"text": 0, "tokens": 0, "runs": ""}


def _copies_in_class(task: Task, prints: dict[str, Fingerprint], stub: set[str]) -> Iterator[Pair]:
    every = {who: _runs(each) for who, each in prints.items()}
    count = Counter(run for runs in every.values() for run in runs)
    most = max(3, COMMON * len(prints))
    own = {who: {run for run in runs if count[run] <= most} - stub for who, runs in every.items()}
    own = {who: runs for who, runs in own.items() if len(runs) >= FEWEST}
    for one, other in _candidates(own, count):
        if (alike := _alike(own[one], own[other])) >= ALIKE:
            yield Pair(task.key, one, other, alike, prints[one]["tokens"])


def _candidates(own: dict[str, set[str]], count: Counter[str]) -> Iterator[tuple[str, str]]:
    """Yield the pairs that can be alike enough: those that share one of their rarest runs.

    Two sets with at least the fraction ALIKE in common share one of their first n - ALIKE n + 1 elements, in any order
    of all elements (Bayardo et al., "Scaling up all pairs similarity search", 2007). By rarity, few share one.
    """
    holders: dict[str, list[str]] = {}
    for who in sorted(own):
        rarest = sorted(own[who], key=lambda run: (count[run], run))
        first = rarest[: len(rarest) - math.ceil(ALIKE * len(rarest)) + 1]
        yield from ((other, who) for other in sorted({other for run in first for other in holders.get(run, ())}))
        for run in first:
            holders.setdefault(run, []).append(who)


def _copies_of_known(
    task: Task, prints: dict[str, Fingerprint], known: Sequence[Known], stub: set[str]
) -> Iterator[Pair]:
    """Yield the answers that equal a known one after normalizing, or share most of its runs."""
    theirs = [(other, _runs(other.fingerprint) - stub) for other in known]
    for who, mine in prints.items():
        runs = _runs(mine) - stub
        for other, others in theirs:
            same = mine["text"] == other.fingerprint["text"] and mine["tokens"] == other.fingerprint["tokens"] > 0
            alike = 1.0 if same else _alike(runs, others) if len(others) >= FEWEST else 0.0
            if alike >= ALIKE:
                yield Pair(task.key, who, other.origin, alike, mine["tokens"])


def _alike(one: set[str], other: set[str]) -> float:
    return len(one & other) / max(1, len(one | other))


# What is known besides


def known_answers(template: Template, compare: Sequence[Path] = ()) -> list[Known]:
    """Return the lab's solution, the checks' references, the library's functions, and the answers in ``compare``.

    Args:
        template: the lab.
        compare: folders of earlier years: results of `labkit grade`, or notebooks.
    """
    found = []
    for task in template.tasks:
        if task.solution:
            found.append(Known(task.key, "the lab's solution", fingerprint(task.solution)))
        for call in task.checks:
            exercise = find_exercise(call.id)
            for source in dict.fromkeys(filter(None, [_source(exercise.reference), _with_helpers(exercise.reference)])):
                found.append(Known(task.key, "the check's reference", fingerprint(source)))
            for name in exercise.asks_for:
                if source := _source(library_function(name)):
                    found.append(Known(task.key, name, fingerprint(source)))
    for folder in compare:
        found += _earlier(folder, template)
    return found


def _source(function: Any) -> str:
    """Return the source of a function, of a lambda as an assignment; "" if it has none."""
    try:
        source = textwrap.dedent(inspect.getsource(function))
    except (OSError, TypeError):
        return ""
    if getattr(function, "__name__", "") != "<lambda>":
        return source
    text = source.strip().rstrip(",")
    for whole in (text, f"dict({text})", f"({text})"):
        try:
            lambdas = [node for node in ast.walk(ast.parse(whole)) if isinstance(node, ast.Lambda)]
        except SyntaxError:
            continue
        if lambdas:
            return f"answer = {ast.unparse(lambdas[0])}"
    return ""


def _with_helpers(function: Any) -> str:
    """Return the source of a function after that of the functions of its module that it calls."""
    found: dict[Any, str] = {}

    def add(each: Any) -> None:
        if each not in found:
            found[each] = ""  # so that two that call each other end
            for name in each.__code__.co_names:
                helper = each.__globals__.get(name)
                if isinstance(helper, FunctionType) and helper.__module__ == function.__module__:
                    add(helper)
            found[each] = found.pop(each) or _source(each)

    if not isinstance(function, FunctionType):
        return ""
    add(function)
    return "\n\n".join(filter(None, found.values()))


def _earlier(folder: Path, template: Template) -> Iterator[Known]:
    """Yield the answers in a folder of earlier results (grades/*.json) or of notebooks."""
    from labkit.errors import LabkitError

    if not folder.is_dir():
        raise LabkitError(f"--compare {folder}: no such folder of earlier grades or notebooks")
    keys = {task.key: task.stub.split() for task in template.tasks}
    with Bounded({"answers": _answers_of}) as reader:
        for path in sorted(folder.rglob("*")):
            if path.suffix not in (".ipynb", ".json") or not path.is_file():
                continue
            try:
                answers = reader.ask("answers", str(path), list(keys))
            except (Exceeded, Failed):
                continue
            for key, who, source, print_ in answers:
                if source.split() != keys[key]:
                    yield Known(key, f"{folder.name}: {who}", print_)


def _answers_of(path: str, keys: list[str]) -> list[tuple[str, str, str, Fingerprint]]:
    """Return (exercise, student, source, fingerprint) of each answer in a file."""
    file = Path(path)
    if file.suffix == ".json":
        raw = json.loads(read_bytes(file))
        if not isinstance(raw, dict) or "student" not in raw:
            return []
        each = [(e["id"], str(raw["student"]), e.get("source", "")) for e in raw.get("exercises", [])]
    else:
        try:
            notebook = parse(file.name, read_bytes(file))
        except Unreadable:
            return []
        each = [(key, file.stem, "\n\n".join(c.source for c in notebook.cells if c.key == key)) for key in keys]
    return [(key, who, source, fingerprint(source)) for key, who, source in each if key in keys and source.strip()]
