"""The labs in nbgrader itself: it makes its release of the solution notebook, and grades submissions.

nbgrader is no dependency: name a Python that has it (and labkit) in LABKIT_NBGRADER, else it is looked for beside us.
"""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from grading_lab import HIGHEST, RIGHT, SQUARE, answered, hand_in, student_copy

PYTHON = os.environ.get("LABKIT_NBGRADER", sys.executable)


def has_nbgrader() -> bool:
    return subprocess.run([PYTHON, "-c", "import nbgrader, labkit"], capture_output=True, check=False).returncode == 0


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not has_nbgrader(), reason="no nbgrader (LABKIT_NBGRADER can name a Python that has it)"),
]


def nbgrader(folder: Path, *arguments: str) -> str:
    command = [PYTHON, "-c", "from nbgrader.apps import NbGraderApp; NbGraderApp.launch_instance()", *arguments]
    home = {"HOME": str(folder), "IPYTHONDIR": str(folder / ".ipython"), "OMP_NUM_THREADS": "1"}
    home["PATH"] = os.pathsep.join([str(Path(PYTHON).parent), os.environ["PATH"]])  # nbgrader calls alembic by name
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env={**os.environ, **home}, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stderr


def scores(folder: Path) -> dict[str, tuple[float, float]]:
    nbgrader(folder, "export", "--to", "grades.csv")
    with (folder / "grades.csv").open(newline="") as file:
        return {row["student_id"]: (float(row["score"]), float(row["max_score"])) for row in csv.DictReader(file)}


def test_generate_assignment_and_autograde(tmp_path: Path, course: Path, own_checks: str) -> None:
    source = tmp_path / "source" / "lab"
    hand_in(source, "91_graded", student_copy(course, solution=True))
    (tmp_path / "nbgrader_config.py").write_text(
        "c = get_config()\nc.CourseDirectory.course_id = 'colors'\nc.ExecutePreprocessor.timeout = 120\n"
        "c.Execute.timeout = 120\nc.ClearSolutions.code_stub = {'python': 'raise NotImplementedError()'}\n"
    )
    nbgrader(tmp_path, "generate_assignment", "lab", "--create")
    released = nbformat.read(tmp_path / "release" / "lab" / "91_graded.ipynb", as_version=4)
    text = "\n".join(cell.source for cell in released.cells)
    assert "twice_of_it" not in text and "91-double-hidden" not in text and "NotImplementedError" in text

    notebook: dict[str, Any] = json.loads(nbformat.writes(released))
    for student, answers in {"ann": RIGHT, "bob": {**RIGHT, "91-double": SQUARE}, "cat": {}}.items():
        hand_in(tmp_path / "submitted" / student / "lab", "91_graded", answered(notebook, answers))
    nbgrader(tmp_path, "autograde", "lab", "--create")
    assert scores(tmp_path) == {"ann": (HIGHEST, HIGHEST), "bob": (HIGHEST - 3, HIGHEST), "cat": (0, HIGHEST)}
