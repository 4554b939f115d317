"""A lab for the tests of grading: three exercises, one with parts, one with a hidden check; and edited copies of it."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tiny_lab import FIRST_CHECK, SETUP, write_course

from labkit.checks import all_exercises
from labkit.course.build import make_notebook, read_source

PUBLIC = (
    FIRST_CHECK.replace("90-double", "91-double")
    + """\
    Exercise(
        id="91-total", title="The sum", points=1, minutes=1,
        inputs=lambda rng: {"values": uniform(rng, 0, 1, (3, 4))},
        reference=lambda values: values.sum(dim=0),
        wrong=(Wrong("mean", lambda values: values.mean(dim=0), "the sum, not the mean"),),
    ),
    Exercise(
        id="91-both", title="Smallest and largest", points=3, minutes=1,
        inputs=lambda rng: {"values": uniform(rng, 0, 1, (7,))},
        reference=lambda values: {"least": values.min(), "most": values.max()},
        parts=(
            Part("the smallest", 1, lambda inputs, output: close(find(output, "least"), inputs["values"].min())),
            Part("the largest", 2, lambda inputs, output: close(find(output, "most"), inputs["values"].max())),
        ),
        wrong=(Wrong("none", lambda values: {}, ""),),
    ),
)


def find(output, name):
    return output.get(name) if type(output) is dict else None
"""
)
HIDDEN = """
from labkit.checks import Exercise

EXERCISES = (
    Exercise(
        id="91-double-hidden", title="Negative numbers too", points=1, minutes=1,
        inputs=lambda rng: -3.5,
        reference=lambda x: 2 * x,
    ),
)
"""
SOURCE = (
    f"""\
# %% [markdown]
# # A lab to grade

{SETUP}"""
    + '''\
# %%
lab = begin("91_graded")

# %% exercise="91-double"
def double(x: float) -> float:
    """Return twice x."""
    ### BEGIN SOLUTION
    twice_of_it = 2 * x
    return twice_of_it
    ### END SOLUTION

# %% check="91-double"
check("91-double", double)
### BEGIN HIDDEN TESTS
check("91-double-hidden", double)
### END HIDDEN TESTS

# %% exercise="91-total"
def total(values: torch.Tensor) -> torch.Tensor:
    """Return the sum of each column."""
    ### BEGIN SOLUTION
    return values.sum(dim=0)
    ### END SOLUTION

# %% check="91-total"
check("91-total", total)

# %% exercise="91-both"
def both(values: torch.Tensor) -> dict:
    """Return the smallest as "least" and the largest as "most"."""
    ### BEGIN SOLUTION
    return {"least": values.min(), "most": values.max()}
    ### END SOLUTION

# %% check="91-both"
check("91-both", both)
'''
)
KEYS = ("91-double", "91-total", "91-both")
HIGHEST = 7
RIGHT = {
    "91-double": "def double(x):\n    return 2 * x",
    "91-total": "def total(values):\n    return values.sum(dim=0)",
    "91-both": "def both(values):\n    return {'least': values.min(), 'most': values.max()}",
}
SQUARE = "def double(x):\n    return x * x"


def grading_course(root: Path) -> str:
    """Write the lab and its checks under ``root``; return LABKIT_CHECKS."""
    write_course(root, "91_graded", SOURCE, public=PUBLIC, hidden=HIDDEN)
    return f"{root / 'public.py'}:{root / 'hidden.py'}"


def student_copy(root: Path, solution: bool = False) -> dict[str, Any]:
    """The built notebook as JSON, not executed (LABKIT_CHECKS must be set)."""
    exercises = {exercise.id: exercise for exercise in all_exercises()}
    source = read_source(root / "notebooks" / "src" / "91_graded.py", exercises)
    return dict(json.loads(json.dumps(make_notebook(source, "https://git.example.org/a/b", solution))))


def answered(notebook: dict[str, Any], answers: dict[str, str]) -> dict[str, Any]:
    """A copy with these sources in the exercises' cells."""
    notebook = copy.deepcopy(notebook)
    for key, source in answers.items():
        cell_of(notebook, key)["source"] = source
    return notebook


def cell_of(notebook: dict[str, Any], key: str) -> dict[str, Any]:
    """The cell with this grade_id."""
    cells = [cell for cell in notebook["cells"] if cell["metadata"].get("nbgrader", {}).get("grade_id") == key]
    return dict_of(cells[0])


def dict_of(cell: Any) -> dict[str, Any]:
    assert isinstance(cell, dict)
    return cell


Edit = Callable[[dict[str, Any]], None]


def hand_in(folder: Path, student: str, notebook: dict[str, Any]) -> Path:
    """Write what a student hands in."""
    path = folder / f"{student}.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(notebook))
    return path
