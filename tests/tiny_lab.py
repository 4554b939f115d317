"""A lab of a few lines in a course of its own, for tests of what builds, runs and checks labs."""

from pathlib import Path

FIRST_CHECK = """
import torch
from labkit.checks import Exercise, Part, Wrong, close, uniform

EXERCISES = (
    Exercise(
        id="90-double", title="Twice a number", points=2, minutes=1, asks_for=("labkit.notebook.lab.format_cell",),
        inputs=lambda rng: {"x": uniform(rng, 1, 2)},
        reference=lambda x: 2 * x,
        wrong=(Wrong("square", lambda x: x * x, "twice, not squared"),),
    ),
"""
CHECKS = (
    FIRST_CHECK
    + """\
    Exercise(
        id="90-total", title="The sum", points=1, minutes=1,
        inputs=lambda rng: {"values": uniform(rng, 0, 1, (3, 4))},
        reference=lambda values: values.sum(),
        wrong=(Wrong("mean", lambda values: values.mean(), "the sum, not the mean"),),
    ),
)
"""
)

SETUP = """\
# %% tags=["setup"]
import torch
from labkit.checks import check
from labkit.notebook.lab import begin

"""
SOURCE = (
    f"""\
# %% [markdown]
# # A tiny lab
#
# It has two exercises.

{SETUP}"""
    + '''\
# %% tags=["parameters"]
profile: str = "auto"  # test, quick, course, gpu or auto
seed: int = 0  # of everything random
alpha: float = 0.5  # share of MSE

# %%
lab = begin("90_tiny", profile=profile, seed=seed, alpha=alpha)

# %% exercise="90-double"
def double(x: float) -> float:
    """Return twice x."""
    ### BEGIN SOLUTION
    return 2 * x
    ### END SOLUTION

# %% check="90-double"
check("90-double", double)

# %%
# NBVAL_CHECK_OUTPUT
print("six", 2 * 3)

# %% [markdown] answer=true
# It is six.

# %% exercise="90-total"
def total(values: torch.Tensor) -> float:
    """Return the sum of all values."""
    ### BEGIN SOLUTION
    return values.sum()
    ### END SOLUTION

# %% check="90-total"
check("90-total", total)

# %%
import sys
print("a warning", file=sys.stderr)
lab.table([{"model": "gray", "mse": 0.5}], "Scores", key="scores")
object()
'''
)


def tiny_course(root: Path, source: str = SOURCE) -> Path:
    """Write the tiny lab's source and checks under ``root``; return the path of the checks (for LABKIT_CHECKS)."""
    write_course(root, "90_tiny", source, checks=CHECKS)
    return root / "checks.py"


def write_course(root: Path, lab: str, source: str, **modules: str) -> None:
    """Write a course of one lab, and modules of exercises (name -> source), under ``root``."""
    (root / "notebooks" / "src").mkdir(parents=True)
    (root / "notebooks" / "src" / f"{lab}.py").write_text(source)
    (root / "pyproject.toml").write_text('[project.urls]\nRepository = "https://git.example.org/a/b"\n')
    for name, text in modules.items():
        (root / f"{name}.py").write_text(text)
