"""Every lab of the course as it is graded: the solution has all points, the release none."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from labkit.course.labs import LabInfo, list_labs
from labkit.errors import LabkitError
from labkit.grading.results import Graded


def built() -> list[LabInfo]:
    try:
        return [lab for lab in list_labs() if lab.solution.exists()]
    except LabkitError:
        return []


@pytest.mark.parametrize("lab", built(), ids=lambda lab: lab.name)
def test_the_solution_has_all_points_and_the_release_none(
    lab: LabInfo, grade: Callable[..., list[Graded]], tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    shutil.copy2(lab.path, tmp_path / "in" / "release.ipynb")
    shutil.copy2(lab.solution, tmp_path / "in" / "solution.ipynb")
    release, solution = grade(tmp_path / "in", tmp_path / "out", lab=lab.name, root=None, timeout=30)
    assert (release.status, release.score) == ("graded", 0)
    assert {exercise.status for exercise in release.exercises} == {"not attempted"}
    assert solution.status == "graded" and {exercise.status for exercise in solution.exercises} == {"right"}, solution
    assert solution.score == sum(exercise.max_points for exercise in solution.exercises)
