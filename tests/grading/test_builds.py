"""Builds are graded by what they do: classes and training loops, judged outside their kernel; and attacks on that."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from build_attacks import ATTACKS as ALL
from build_attacks import Attack
from build_lab import FLOOR, NET, POINTS, TRAIN, copy_of, write_build_course
from grading_lab import answered, hand_in

from labkit.checks import NOT_ATTEMPTED, RIGHT, WRONG, all_exercises, draw, evaluate, find_exercise
from labkit.grading.results import Graded
from labkit.notebook.answer import hand_over

# All of them with LABKIT_ALL_ATTACKS=1, every sixth otherwise.
ATTACKS = ALL if os.environ.get("LABKIT_ALL_ATTACKS") else ALL[::6]


@pytest.fixture(scope="module")
def builds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("builds")
    write_build_course(root)
    return root


@pytest.fixture(autouse=True)
def checks(builds: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABKIT_CHECKS", str(builds / "builds.py"))


# The exercises themselves, in this process


def test_the_reference_is_right_and_every_wrong_one_gets_its_hint() -> None:
    for exercise in (one for one in all_exercises() if one.id.startswith("92-")):
        for seed in range(3):
            assert evaluate(exercise, exercise.reference, seed=seed).status == RIGHT
            for wrong in exercise.wrong:
                result = evaluate(exercise, wrong.answer, seed=seed)
                assert result.status == WRONG and wrong.hint in result.message, (wrong.name, result.message)


@pytest.mark.parametrize("seeds", [range(8), pytest.param(range(8, 40), marks=pytest.mark.slow)], ids=["few", "many"])
def test_the_reference_stays_well_under_the_floor(seeds: range) -> None:
    exercise = find_exercise("92-train")
    for seed in seeds:
        [inputs] = draw(exercise, seed, 1)
        predicted = hand_over(exercise.reference, inputs, exercise.call)["predicted"]
        test = inputs["test"]
        error = (predicted - torch.cat([4 * test * (1 - test), test.square()], 1)).square().mean()
        assert float(error) < FLOOR / 2, seed


def test_an_error_in_a_class_names_the_students_own_line() -> None:
    space: dict[str, Any] = {}
    source = NET.replace("self.down(gray)", "self.down(grey)")
    exec(compile("import torch\nfrom torch import nn\n" + source, "<cell 7>", "exec"), space)
    message = evaluate(find_exercise("92-net"), space["Net"], seed=0).message
    assert "NameError: name 'grey' is not defined in line" in message


# A class graded in the sandbox


def variant(key: str, old: str, new: str) -> dict[str, str]:
    source = {"92-net": NET, "92-train": TRAIN}[key]
    assert old in source
    return {"92-net": NET, "92-train": TRAIN, key: source.replace(old, new)}


def net(source: str) -> dict[str, str]:
    return {"92-net": source, "92-train": TRAIN}


HELPER = "class Base(nn.Module):\n    def both(self, a, b):\n        return torch.cat([a, b], 1)"
STUB = "        raise NotImplementedError('your answer here')\n"
HERS = NET.replace("nn.Module", "Base").replace("torch.cat([below, gray], 1)", "self.both(below, gray)")
LIBRARYS = "import labkit.models as m\n\ndef Net(width):\n    return m.UNet(2)"
CLASS = {  # student -> (answers, cells of her own, points of each build, text of the first message)
    "added": (
        net(NET.replace("torch.cat([below, gray], 1)", "below + gray").replace("width + 1, 2", "width, 2")),
        [], (1, 3), "takes width + 1 channels: concatenate",
    ),
    "swapped": (variant("92-net", "[below, gray]", "[gray, below]"), [], (1, 3), "what came from below first"),
    "detached": (variant("92-net", "gray], 1))", "gray], 1).detach())"), [], (3, 3), "must receive a gradient"),
    "no-zero-grad": (variant("92-train", "optimizer.zero_grad()", "pass"), [], (4, 0), "gradients add up"),
    "no-step": (variant("92-train", "optimizer.step()", "pass"), [], (4, 0), "optimizer.step()"),
    "half-done": (net(NET.replace("        below", f"{STUB}        below")), [], (0, 3), ""),
    "carried-class": (net(HERS), [HELPER], (4, 3), ""),
    "hint-in-the-cell": (net('hint("92-net")\n' + NET), [], (4, 3), ""),
    "subclass": (net("from labkit.models import UNet\n\nclass Net(UNet):\n    pass"), [], (0, 3), ""),
    "returns-the-librarys": (net(LIBRARYS), [], (0, 3), ""),
}  # fmt: skip


@pytest.fixture(scope="module")
def graded(
    builds: Path, grade: Callable[..., list[Graded]], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Graded]:
    folder = tmp_path_factory.mktemp("class") / "in"
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LABKIT_CHECKS", str(builds / "builds.py"))
        stub, solution = copy_of(builds), copy_of(builds, solution=True)
    for student, (answers, own, _, _) in CLASS.items():
        made = answered(stub, answers)
        empty = {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": [], "id": "own"}
        made["cells"][3:3] = [{**empty, "source": source} for source in own]
        hand_in(folder, student, made)
    for attack in ATTACKS:
        hand_in(folder, attack.name, answered(stub, {"92-net": NET, "92-train": TRAIN, **attack.answers}))
    hand_in(folder, "release", stub)
    hand_in(folder, "solution", solution)
    options = {"lab": "92", "root": builds, "checks": str(builds / "builds.py")}
    results = grade(folder, folder.parent / "out", jobs=2, timeout=20, **options)
    return {result.student: result for result in results}


def points(result: Graded) -> tuple[int, ...]:
    return tuple(exercise.points for exercise in result.exercises)


def test_the_reference_has_all_points_and_the_release_none(graded: dict[str, Graded]) -> None:
    assert points(graded["solution"]) == tuple(POINTS.values()), graded["solution"]
    assert points(graded["release"]) == (0, 0)
    assert {exercise.status for exercise in graded["release"].exercises} == {NOT_ATTEMPTED}
    assert not any(exercise.uses for exercise in graded["solution"].exercises)


@pytest.mark.parametrize("student", CLASS)
def test_each_gets_what_it_deserves_and_its_hint(student: str, graded: dict[str, Graded]) -> None:
    _, _, expected, text = CLASS[student]
    result = graded[student]
    assert result.status == "graded" and points(result) == expected, result
    assert text in "\n".join(exercise.message for exercise in result.exercises)


@pytest.mark.parametrize("student", ["subclass", "returns-the-librarys"])
def test_the_librarys_class_is_flagged(student: str, graded: dict[str, Graded]) -> None:
    uses = graded[student].exercises[0].uses
    assert any(name.endswith("UNet") or ".UNet." in name for name in uses), uses


@pytest.mark.parametrize("attack", ATTACKS, ids=[attack.name for attack in ATTACKS])
def test_an_attack_on_a_build_gets_no_points(attack: Attack, graded: dict[str, Graded]) -> None:
    result = graded[attack.name]
    at = list(POINTS).index(attack.at)
    assert result.exercises[at].points <= attack.earns, result.exercises[at]
    other = result.exercises[1 - at]
    assert other.points == POINTS[other.id] or attack.harms, result
    assert result.status in attack.status.split("|"), result
