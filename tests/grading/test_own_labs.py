"""The page for instructors: its example lab works as printed."""

import re
from pathlib import Path

import pytest

from labkit.checks import RIGHT, all_exercises, evaluate, find_exercise
from labkit.course.build import read_source, student_text
from labkit.grading.inputs import draw_inputs
from labkit.grading.template import read_template

PAGE = Path(__file__).resolve().parents[2] / "notebooks" / "README.md"


def test_the_example_lab_builds_and_can_be_graded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lab, checks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "notebooks" / "src").mkdir(parents=True)
    path = tmp_path / "notebooks" / "src" / "91_mean.py"
    path.write_text(lab)
    (tmp_path / "my_checks.py").write_text(checks)
    monkeypatch.setenv("LABKIT_CHECKS", str(tmp_path / "my_checks.py"))
    source = read_source(path, {exercise.id: exercise for exercise in all_exercises()})
    [solved] = [cell for cell in source.cells if cell.kind == "exercise"]
    space: dict = {}
    exec(solved.text, space)
    assert evaluate(find_exercise("91-mean"), space["mean"]).status == RIGHT
    assert "raise NotImplementedError" in student_text(solved.text)
    template = read_template("91", tmp_path)
    assert template.tasks[0].points == 2 and len(draw_inputs(template, "")["91-mean"]) == 3
