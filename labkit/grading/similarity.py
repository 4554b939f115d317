"""Which answers are near copies of each other: by tokens, whatever their names, comments and layout.

As in Schleimer, Wilkerson, Aiken, "Winnowing" (SIGMOD 2003): a cell is the set of its runs of k tokens, what many
students share is dropped (the exercise itself, and the answer that everybody finds), and two cells are compared by the
share of runs that they have in common. It is a hint to look, never a proof.
"""

from __future__ import annotations

import ast
import io
import keyword
import tokenize
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from labkit.grading.nbval_grader import Graded
from labkit.grading.submission import Template

RUN = 6  # tokens
FEWEST = 25  # runs of its own that a cell must have: shorter ones are alike by nature
ALIKE = 0.8
COMMON = 0.2  # share of the class; a run that more have says nothing


@dataclass(frozen=True)
class Pair:
    """Two students whose answers to one exercise share this much, 0 to 1."""

    exercise: str
    one: str
    other: str
    share: float


def near_copies(results: Sequence[Graded], template: Template) -> list[Pair]:
    """The pairs to look at, most alike first."""
    found = []
    for task in template.tasks:
        stub = runs(task.stub)
        cells = {
            g.student: runs(e.source) - stub for g in results for e in g.exercises if e.id == task.key and e.source
        }
        count = Counter(run for cell in cells.values() for run in cell)
        most = max(3, COMMON * len(cells))
        own = {student: {run for run in cell if count[run] <= most} for student, cell in cells.items()}
        own = {student: cell for student, cell in own.items() if len(cell) >= FEWEST}
        for one, other in combinations(sorted(own), 2):
            share = len(own[one] & own[other]) / len(own[one] | own[other])
            if share >= ALIKE:
                found.append(Pair(task.key, one, other, share))
    return sorted(found, key=lambda pair: (-pair.share, pair.exercise, pair.one))


def runs(source: str) -> set[tuple[str, ...]]:
    """The runs of tokens in a cell; names that it makes itself are numbered in order of appearance."""
    own = _own_names(source)
    numbers: dict[str, str] = {}
    words = []
    try:
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type in (tokenize.NAME, tokenize.OP, tokenize.NUMBER):
                word = token.string
                if token.type == tokenize.NAME and word in own and not keyword.iskeyword(word):
                    word = numbers.setdefault(word, f"name {len(numbers)}")
                words.append(word)
    except (tokenize.TokenError, SyntaxError):
        pass  # what stands before the error counts
    return {tuple(words[start : start + RUN]) for start in range(len(words) - RUN + 1)}


def _own_names(source: str) -> set[str]:
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set()
    made = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    return made | {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
