"""Inputs of one's own, nothing to copy back from feedback, nothing of hidden checks; and right answers in any type."""

import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import nbformat
import pytest
from grading_lab import HIGHEST, RIGHT, SQUARE, answered, hand_in, student_copy

from labkit import LabkitError
from labkit.checks import as_code, example, exercise_seed
from labkit.grading.check import check_notebook
from labkit.grading.results import Graded
from labkit.grading.sandbox import Limits, Sandbox, best_tier

Grade = Callable[..., list[Graded]]
SPY = "import builtins\nbuiltins.seen = []\ndef double(x):\n    builtins.seen.append(x)\n    return abs(2 * x)"
TELL = "def total(values):\n    import builtins\n    raise ValueError(f'seen {builtins.seen} in {values}')"
TYPES = {
    "fraction": {
        "91-double": "from fractions import Fraction\ndef double(x):\n    return 2 * Fraction(x)",
        "91-total": "from collections import deque\ndef total(values):\n    return deque(values.sum(0).tolist())",
        "91-both": "from collections import OrderedDict\ndef both(v):\n"
        "    return OrderedDict(least=v.min(), most=v.max())",
    },
    "longdouble": {
        "91-double": "import numpy as np\ndef double(x):\n    return np.longdouble(2 * x)",
        "91-total": "import numpy as np\ndef total(values):\n    return np.matrix(values.sum(0).numpy())",
        "91-both": "from collections import defaultdict\ndef both(v):\n    d = defaultdict(int)\n"
        "    d['least'], d['most'] = v.min(), v.max()\n    return d",
    },
    "namedtuple": {
        "91-double": "from decimal import Decimal\ndef double(x):\n    return Decimal(2 * x)",
        "91-total": "from collections import namedtuple\nT = namedtuple('T', 'a b c d')\n"
        "def total(values):\n    return T(*values.sum(0).tolist())",
        "91-both": RIGHT["91-both"],
    },
}


@pytest.fixture(scope="module")
def graded(grade: Grade, course: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Graded], Path]:
    folder = tmp_path_factory.mktemp("inputs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LABKIT_CHECKS", os.pathsep.join([str(course / "public.py"), str(course / "hidden.py")]))
        notebook = student_copy(course)
    for student, answers in TYPES.items():
        hand_in(folder / "in", student, answered(notebook, answers))
    for student in ("ann", "bob"):
        hand_in(folder / "in", student, answered(notebook, {**RIGHT, "91-double": SQUARE}))
    hand_in(folder / "in", "spy", answered(notebook, {"91-double": SPY, "91-total": TELL}))
    results = grade(folder / "in", folder / "out", seed=None)
    return {result.student: result for result in results}, folder


@pytest.mark.parametrize("student", TYPES)
def test_a_right_value_is_right_in_any_plain_type(student: str, graded: tuple[dict[str, Graded], Path]) -> None:
    assert graded[0][student].score == HIGHEST, graded[0][student]


def test_inputs_differ_by_student_and_can_be_had_again(
    graded: tuple[dict[str, Graded], Path], course: Path, own_checks: str
) -> None:
    ann, bob = graded[0]["ann"], graded[0]["bob"]
    assert ann.code != bob.code
    message = ann.exercises[0].message
    shown = re.search(r"try: +double\(x=(.+)\)", message)
    assert shown and message != bob.exercises[0].message
    seed = exercise_seed(ann.code, "91-double")
    assert f"seed={seed}" in message
    assert shown[1] == as_code(example("91-double", seed)["x"])


def test_no_expected_value_and_no_hidden_input_reaches_a_page(graded: tuple[dict[str, Graded], Path]) -> None:
    results, folder = graded
    message = results["ann"].exercises[0].message
    value = float(re.search(r"double\(x=(.+)\)", message)[1])  # type: ignore[index]
    assert "expected" not in message and f"{2 * value:.4g}" not in message
    for path in (folder / "out").rglob("*"):
        if path.is_file() and "ledger" not in path.name:
            text = path.read_text(errors="replace")
            assert "-3.5" not in text and "[-" not in text, path
    spy = results["spy"].exercises
    assert "seen [" in spy[1].message and spy[0].hidden == {"Negative numbers too": False} and spy[0].points == 2


def test_another_attempt_gets_other_inputs_and_the_same_one_the_same(
    graded: tuple[dict[str, Graded], Path], grade: Grade, course: Path, own_checks: str
) -> None:
    results, folder = graded
    hand_in(folder / "again", "ann", answered(student_copy(course), {**RIGHT, "91-double": SQUARE}))
    hand_in(folder / "again", "bob", answered(student_copy(course), {**RIGHT, "91-double": f"{SQUARE} + 0"}))
    again = {one.student: one for one in grade(folder / "again", folder / "out", seed=None)}
    assert again["ann"] == results["ann"] and again["bob"].code != results["bob"].code


def test_check_takes_the_code_of_the_feedback(
    graded: tuple[dict[str, Graded], Path], course: Path, own_checks: str, tmp_path: Path
) -> None:
    notebook = student_copy(course)
    target = course / "notebooks" / "91_graded.ipynb"
    nbformat.write(nbformat.from_dict(notebook), target)
    try:
        code = "def double(x):\n    raise ValueError(f'got {x!r}')"
        path = hand_in(tmp_path, "91_graded", answered(notebook, {"91-double": code}))
        seed = exercise_seed("0" * 20, "91-double")
        [double, *_] = check_notebook(path, course, inputs="0" * 20)
        assert f"got {example('91-double', seed)['x']!r}" in double.message
        with pytest.raises(LabkitError, match="--inputs: expected the code on your feedback"):
            check_notebook(path, course, inputs="x")
    finally:
        target.unlink()


# Attempts, one notebook, what many calls take together


def test_last_best_and_one_notebook(grade: Grade, course: Path, own_checks: str, tmp_path: Path) -> None:
    notebook = student_copy(course)
    first = hand_in(tmp_path / "in" / "ann", "first", answered(notebook, RIGHT))
    hand_in(tmp_path / "in" / "ann", "second", answered(notebook, {**RIGHT, "91-double": SQUARE}))
    os.utime(first, (1, 1))
    for attempts, score in (("last", 4), ("best", HIGHEST), ("one", None)):
        [ann] = grade(tmp_path / "in", tmp_path / attempts, attempts=attempts)
        assert ann.score == score, ann
    assert "which one counts" in ann.reason
    [alone] = grade(first, tmp_path / "alone")
    assert (alone.student, alone.score) == ("first", HIGHEST)
    with pytest.raises(LabkitError, match="--attempts: expected one, last, best"):
        grade(first, tmp_path / "x", attempts="all")


@pytest.fixture
def short_lived() -> Iterator[Any]:
    """Kernels whose life is shorter than all calls of a submission together."""
    if not best_tier().safe:
        pytest.skip("this machine has no safe sandbox")
    with Sandbox(best_tier(), Limits(seconds=10, output=8 << 20)) as warm:
        yield warm


def test_many_calls_that_take_long_together_lose_no_exercise(
    short_lived: Any, course: Path, own_checks: str, tmp_path: Path
) -> None:
    from labkit.grading import grade as module

    slow = {
        key: f"import time\n{source.replace('    return', '    time.sleep(1.5); return')}"
        for key, source in RIGHT.items()
    }
    hand_in(tmp_path / "in", "ann", answered(student_copy(course), slow))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "Sandbox", lambda *arguments, **named: nullcontext(short_lived))
        [ann] = module.grade("91", tmp_path / "in", out=tmp_path / "out", root=course, timeout=8, jobs=1)
    assert ann.score == HIGHEST, json.dumps(ann.model_dump(), indent=1)
