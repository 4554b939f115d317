"""The corpus of hostile submissions, in this machine's best tier: no false pass, no hang, no harm to others."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from corpus import ATTACKS as FIRST
from corpus import OTHERS, Attack
from corpus_fresh import FRESH
from corpus_more import MORE
from grading_lab import HIGHEST, RIGHT, answered, hand_in, student_copy

from labkit.grading.results import Graded
from labkit.ledger import Ledger

# All of them with LABKIT_ALL_ATTACKS=1; otherwise every third of the first ones and every twelfth of the later ones.
LATER = [*FRESH, *MORE]
ATTACKS = [*FIRST, *LATER] if os.environ.get("LABKIT_ALL_ATTACKS") else [*FIRST[::3], *LATER[::12]]
HONEST = ("honest", "zz-honest")  # the first and the last of the class


@pytest.fixture(scope="session")
def graded(
    course: Path, grade: Callable[..., list[Graded]], tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Graded], Path, Path]:
    """Student -> grade; the folder of submissions; the folder of results."""
    folder = tmp_path_factory.mktemp("class") / "submissions"
    out = folder.parent / "out"
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LABKIT_CHECKS", os.pathsep.join([str(course / "public.py"), str(course / "hidden.py")]))
        notebook = student_copy(course)
    for attack in ATTACKS:
        attack.make(notebook, folder, attack.name)
    for student in HONEST:
        hand_in(folder, student, answered(notebook, RIGHT))
    results = grade(folder, out, jobs=4)
    return {result.student: result for result in results}, folder, out


@pytest.mark.parametrize("attack", ATTACKS, ids=[attack.name for attack in ATTACKS])
def test_an_attack_gets_no_more_than_it_deserves(attack: Attack, graded: tuple[dict[str, Graded], Path, Path]) -> None:
    results, _, out = graded
    result = results[attack.name]
    assert result.status in attack.status.split("|") and result.score == attack.score, result
    double = next((exercise for exercise in result.exercises if exercise.id == "91-double"), None)
    assert double is None or double.points == max(0, (attack.score or 0) - OTHERS)
    assert result.status == "graded" or result.reason
    seconds = next(entry.seconds for entry in Ledger(out / "ledger.jsonl").entries("grade") if entry.key == attack.name)
    assert seconds < 5 * attack.seconds  # the machine may be busy


def test_no_way_to_end_tells_a_hidden_input(graded: tuple[dict[str, Graded], Path, Path]) -> None:
    told = {one.exercises[0].message for name, one in graded[0].items() if name.startswith("tells-by-")}
    assert told <= {"", "A further check, which is not shown, could not be run to its end"}


@pytest.mark.parametrize("student", HONEST)
def test_honest_students_among_them_get_all_points(student: str, graded: tuple[dict[str, Graded], Path, Path]) -> None:
    result = graded[0][student]
    assert (result.status, result.score) == ("graded", HIGHEST), result


def test_nothing_was_run_or_written_outside(graded: tuple[dict[str, Graded], Path, Path], course: Path) -> None:
    results, folder, out = graded
    assert not list(folder.parent.rglob("MARK")) and not list(course.rglob("MARK"))
    assert sorted(path.name for path in folder.parent.iterdir()) == ["out", "submissions"]
    assert len(Ledger(out / "ledger.jsonl").entries("grade")) == len(results) == len(ATTACKS) + len(HONEST)
    assert "forged,7" not in (out / "gradebook.csv").read_text()
    for result in results.values():
        assert json.loads((out / "grades" / f"{result.student}.json").read_text())["student"] == result.student
