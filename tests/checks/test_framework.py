"""The framework of the checks: fresh inputs, hints of known mistakes, what is switched off, what is shown."""

import importlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from labkit import LabkitError
from labkit.checks import (
    CHECK_MIME,
    NOT_ATTEMPTED,
    RIGHT,
    STUB,
    WRONG,
    CheckFailed,
    Exercise,
    SwitchedOff,
    Verdict,
    Wrong,
    check,
    close,
    describe,
    evaluate,
    switched_off,
    uniform,
    whole,
)
from labkit.checks import framework as checks
from labkit.notebook import lab
from labkit.notebook.lab import format_cell


def channel_mean(rgb: torch.Tensor) -> torch.Tensor:
    return rgb.mean(0)


GRAY = Exercise(
    id="99-gray",
    title="Gray from RGB",
    points=2,
    minutes=3,
    asks_for=("labkit.notebook.lab.format_cell",),
    inputs=lambda rng: {"rgb": uniform(rng, 0, 1, (3, 4, 5))},
    reference=lambda rgb: torch.einsum("c,chw->hw", torch.tensor([0.299, 0.587, 0.114]), rgb),
    wrong=(
        Wrong("channel mean", channel_mean, "green counts most"),
        Wrong("wrong axis", lambda rgb: rgb.mean(-1), "the channels are the first axis"),
        Wrong("no such axis", lambda rgb: rgb.mean(7), "there are three axes"),
    ),
    hint="look at the weights",
)


@pytest.fixture(autouse=True)
def registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "all_exercises", lambda: iter([GRAY]))


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[dict]:
    bundles: list[dict] = []
    monkeypatch.setattr(checks, "publish", bundles.append)
    return bundles


def right(rgb: torch.Tensor) -> Any:
    return 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2]


@pytest.mark.parametrize(
    "answer",
    [
        right,
        lambda rgb: right(rgb.double()),
        lambda rgb: right(rgb).numpy(),
        lambda rgb: right(rgb).tolist(),
        lambda rgb: right(rgb)[None],
        lambda rgb: list(right(rgb)),
        lambda rgb: right(rgb.requires_grad_()),
    ],
    ids=["float32", "float64", "numpy", "list", "extra axis", "list of tensors", "with gradient"],
)
def test_right_answers_pass_in_every_form(answer: Any) -> None:
    assert evaluate(GRAY, answer).status == RIGHT


def test_an_answer_computes_with_one_thread_and_the_notebook_keeps_its_own() -> None:
    threads: list[int] = []

    def counting(rgb: torch.Tensor) -> Any:
        threads.append(torch.get_num_threads())
        return right(rgb)

    def failing(rgb: torch.Tensor) -> Any:
        raise ZeroDivisionError

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert evaluate(GRAY, counting).status == RIGHT and evaluate(GRAY, failing).status == WRONG
        assert set(threads) == {1} and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_right_prints_one_fixed_line_and_publishes_the_points(shown: list[dict]) -> None:
    check("99-gray", right)
    record = {"id": "99-gray", "status": "right", "points": 2, "max_points": 2}
    assert shown == [{CHECK_MIME: record, "text/plain": "right: Gray from RGB"}]


def test_not_attempted(shown: list[dict]) -> None:
    def stub(rgb: Any) -> Any:
        raise NotImplementedError(STUB)

    for answer in (stub, ..., NotImplemented):
        assert evaluate(GRAY, answer).status == NOT_ATTEMPTED
    check("99-gray", stub)
    assert shown[0][CHECK_MIME]["status"] == "not attempted" and shown[0][CHECK_MIME]["points"] == 0
    assert "\n" not in shown[0]["text/plain"]


def test_not_attempted_fails_where_nbgrader_runs_it(shown: list[dict], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")  # which would give all points to what raises nothing
    with pytest.raises(CheckFailed, match="not attempted yet"):
        check("99-gray", ...)


def test_wrong_shows_given_expected_hint_and_how_to_repeat(shown: list[dict]) -> None:
    with pytest.raises(CheckFailed) as caught:
        check("99-gray", channel_mean, seed=7)
    message = str(caught.value)
    for part in ("given:", "expected:", "hint:     green counts most", "float32 of shape (3, 4, 5)", "seed=7"):
        assert part in message
    assert len(message.splitlines()) <= 7
    assert shown[0][CHECK_MIME]["status"] == "wrong"
    assert caught.value._render_traceback_() == [f"CheckFailed: {message}"]
    with pytest.raises(CheckFailed) as again:
        check("99-gray", channel_mean, seed=7)
    assert str(again.value) == message


def test_every_known_mistake_gets_its_hint_and_others_the_general_one() -> None:
    for wrong in GRAY.wrong:
        assert wrong.hint in evaluate(GRAY, wrong.answer).message
    assert "look at the weights" in evaluate(GRAY, lambda rgb: right(rgb) + 1).message


def test_inputs_are_fresh_so_a_remembered_answer_fails() -> None:
    seen = GRAY.inputs(torch.Generator().manual_seed(0))
    assert evaluate(GRAY, lambda rgb: right(seen["rgb"])).status == WRONG


@pytest.mark.parametrize(
    ("answer", "parts"),
    [
        (lambda rgb: None, ["given:    None", "is its `return` missing"]),
        (lambda rgb: "gray", ["'gray'"]),
        (lambda rgb: object(), ["an object of type object"]),
        (lambda rgb: rgb, ["shape (3, 4, 5)", "shape (4, 5)"]),
        (lambda rgb: right(rgb) * float("nan"), ["nan"]),
        (lambda rgb: rgb @ rgb, ["RuntimeError", "lambda rgb: rgb @ rgb"]),
        (lambda: 0, ["TypeError"]),
        (3, ["pass the function itself"]),
        (lambda rgb: right(rgb).to(torch.complex64), ["an object of type Tensor"]),
    ],
)
def test_wrong_types_shapes_and_errors_are_explained(answer: Any, parts: list[str]) -> None:
    result = evaluate(GRAY, answer)
    assert result.status == WRONG
    for part in parts:
        assert part in result.message
    assert "Traceback" not in result.message


def test_other_not_implemented_errors_are_wrong() -> None:
    def answer(rgb: Any) -> Any:
        raise NotImplementedError("aten::nothing")

    assert evaluate(GRAY, answer).status == WRONG


def test_objects_equal_to_everything_are_wrong() -> None:
    class Equal(torch.Tensor):
        def __eq__(self, other: object) -> bool:  # type: ignore[override]
            return True

    assert evaluate(GRAY, lambda rgb: Equal()).status == WRONG


def test_an_answer_may_overwrite_its_inputs() -> None:
    def answer(rgb: torch.Tensor) -> torch.Tensor:
        out = right(rgb)
        rgb.zero_()
        return out

    assert evaluate(GRAY, answer).status == RIGHT


def test_a_check_leaves_the_random_numbers_of_the_lab_alone() -> None:
    torch.manual_seed(0)
    expected = torch.rand(2)
    torch.manual_seed(0)
    evaluate(GRAY, lambda rgb: torch.rand(4, 5))
    assert torch.equal(torch.rand(2), expected)


# Level and hints


def build(**changed: Any) -> Exercise:
    given = {"id": "99-net", "title": "A net", "points": 1, "minutes": 20, "inputs": lambda rng: 1, "reference": abs}
    return Exercise(**{**given, **changed})


def test_the_label_ends_a_heading() -> None:
    assert build(level=3).label() == "(difficulty 3 of 5, core, 20 minutes)"
    assert build(level=1, core=False).label(minutes=1) == "(difficulty 1 of 5, extra, 1 minute)"


@pytest.mark.parametrize("changed", [{"level": 0}, {"level": 6}, {"hints": ("one",)}, {"draws": 0}])
def test_impossible_levels_hints_and_draws_are_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(LabkitError, match="99-net: got level .* expected a level from 1 to 5, three hints"):
        build(**changed)


def test_hints_come_one_by_one_and_later_steps_share_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], shown: list[dict]
) -> None:
    first = build(hints=("an idea", "a line", "a shape"))
    step, other = build(id="99-net-trains", reference=abs), build(id="98-other")
    monkeypatch.setattr(checks, "all_exercises", lambda: iter([other, first, step]))
    monkeypatch.setattr(checks, "_HINTS_SHOWN", {})
    for _ in range(4):
        checks.hint("99-net")
    lines = [f"hint {n} of 3: {text}" for n, text in ((1, "an idea"), (2, "a line"), (3, "a shape"), (3, "a shape"))]
    assert capsys.readouterr().out.splitlines() == lines
    checks.hint("99-net-trains")
    checks.hint("98-other")
    assert capsys.readouterr().out.splitlines() == ["hint 1 of 3: an idea", "A net has no hints"]
    with pytest.raises(CheckFailed, match=r'\(for a hint: hint\("99-net-trains"\)\)$'):
        check("99-net-trains", lambda n: n + 1)
    with pytest.raises(CheckFailed) as caught:
        check("98-other", lambda n: n + 1)
    assert "for a hint" not in str(caught.value)


def test_an_exercise_says_on_how_many_inputs_an_answer_is_tried() -> None:
    seen: list[int] = []
    evaluate(build(draws=1), lambda n: seen.append(n) or n)
    assert seen == [1]


# Switching off


@pytest.mark.parametrize("answer", [lab.format_cell, format_cell, lambda rgb: lab.format_cell(rgb[0, 0, 0])])
def test_the_asked_function_is_no_answer(answer: Any) -> None:
    result = evaluate(GRAY, answer)
    assert result.status == WRONG
    assert "write it yourself: labkit.notebook.lab.format_cell is switched off" in result.message
    assert format_cell(0.5) == "0.5"


def test_calling_it_through_another_labkit_function_is_no_answer_either() -> None:
    table = partial(lab.Lab("x", "quick", "toyworld", 0, None).table, caption="c", key="k")
    result = evaluate(GRAY, lambda rgb: table([{"a": 1.0}]))
    assert "write it yourself" in result.message


def test_restored_after_errors_and_when_nested() -> None:
    for _ in range(2):
        with pytest.raises(SwitchedOff), switched_off(["labkit.notebook.lab.format_cell"]):
            with switched_off(["labkit.notebook.lab.format_cell", "labkit.notebook.lab.resolve_profile"]):
                pass
            format_cell(1.0)
    assert format_cell(1.0) == "1"


def test_a_method_with_decorator_and_a_wrong_name() -> None:
    for name in ("labkit.notebook.lab.nothing", "labkit.nothing.luma", "math.sqrt", "labkit.notebook.lab.Lab"):
        with pytest.raises(LabkitError, match="asks_for names"), switched_off([name]):
            pass


def test_reference_judge_and_inputs_may_use_it() -> None:
    exercise = Exercise(
        id="99-text",
        title="As text",
        points=1,
        minutes=1,
        asks_for=("labkit.notebook.lab.format_cell",),
        inputs=lambda rng: float(format_cell(uniform(rng, 1, 2))),
        reference=format_cell,
    )
    assert evaluate(exercise, lambda x: f"{x:.4g}").status == RIGHT
    assert evaluate(exercise, format_cell).status == WRONG
    assert evaluate(exercise, format_cell, switch_off=False).status == RIGHT


# Own call and judge


def test_own_call_and_judge_and_the_hint_of_a_known_mistake_on_top() -> None:
    def judge(inputs: int, output: Any) -> Verdict:
        return Verdict(output == inputs + 1, "my hint", str(output), str(inputs + 1))

    exercise = Exercise(
        id="99-next",
        title="The next",
        points=1,
        minutes=1,
        inputs=lambda rng: int(torch.randint(2, 9, (), generator=rng)),
        call=lambda answer, n: answer(n) + 0,
        judge=judge,
        reference=lambda n: n + 1,
        wrong=(Wrong("double", lambda n: 2 * n, "one more, not twice"),),
    )
    assert evaluate(exercise, lambda n: n + 1).status == RIGHT
    assert "my hint" in evaluate(exercise, lambda n: n - 100).message
    assert "one more, not twice" in evaluate(exercise, lambda n: 2 * n).message


# close, describe


def test_close_compares_tuples_dicts_text_and_numbers() -> None:
    assert close((1.0, [2.0, 3.0]), (1, torch.tensor([2, 3]))).ok
    assert close({"a": 1}, {"a": np.float32(1)}).ok
    assert close("mean", "mean").ok
    assert close(np.float64(0.5), 0.5).ok
    assert close(1.0001, 1, rtol=1e-3).ok
    for output, expected in [
        ((1.0,), (1, 2)),
        ({"b": 1}, {"a": 1}),
        ("median", "mean"),
        (3, "mean"),
        (1.01, 1),
        ([[1, 2], [3]], torch.ones(2, 2)),
        ([1.0, 2.0], 1.0),
        (True, "yes"),
    ]:
        verdict = close(output, expected, hint="h")
        assert not verdict.ok and verdict.given and verdict.expected


def test_close_names_the_worst_place_of_a_large_tensor() -> None:
    expected = torch.zeros(3, 4)
    output = expected.clone()
    output[1, 2], output[2, 3] = 0.5, -0.75
    verdict = close(output, expected)
    assert verdict.given == "-0.75 at [2, 3] (2 of 12 values differ)" and verdict.expected == "0 at [2, 3]"
    with pytest.raises(TypeError):
        close(1, object())


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.123456, "0.1235"),
        ([1, 2.5], "[1, 2.5]"),
        (torch.ones(2, 2), "[[1, 1], [1, 1]]"),
        (torch.zeros(3, 3, dtype=torch.uint8), "uint8 of shape (3, 3), values 0 to 0"),
        ((torch.ones(2), 3), "([1, 1], 3)"),
        ({"a": 1, "b": None}, "a = 1, b = None"),
        (torch.zeros(0), "[]"),
    ],
)
def test_describe(value: Any, text: str) -> None:
    assert describe(value) == text


def test_uniform() -> None:
    rng = torch.Generator().manual_seed(0)
    assert 2 <= uniform(rng, 2, 3) <= 3
    assert uniform(rng, 0, 1, (2, 3)).shape == (2, 3)
    assert {whole(rng, 2, 4) for _ in range(50)} == {2, 3, 4}


# Registry


def test_files_of_exercises_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tiny_lab import CHECKS

    monkeypatch.undo()
    (tmp_path / "mine.py").write_text(CHECKS)
    monkeypatch.setenv("LABKIT_CHECKS", str(tmp_path / "mine.py"))
    assert checks.find_exercise("90-total").points == 1
    with pytest.raises(LabkitError, match="no exercise '90-nothing'; there are 90-double, 90-total"):
        checks.find_exercise("90-nothing")
    monkeypatch.setenv("LABKIT_CHECKS", str(tmp_path / "nothing.py"))
    with pytest.raises(LabkitError, match="LABKIT_CHECKS"):
        checks.find_exercise("90-total")


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("import nothing_of_that_name", "cannot be loaded: ModuleNotFoundError: No module"),
        ("EXERCISES = (", "cannot be loaded: SyntaxError"),
        ("", "has no tuple EXERCISES"),
    ],
)
def test_a_broken_file_of_exercises_is_one_line(
    source: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    (tmp_path / "broken.py").write_text(source)
    monkeypatch.setenv("LABKIT_CHECKS", str(tmp_path / "broken.py"))
    with pytest.raises(LabkitError, match=f"LABKIT_CHECKS names .*broken.py, which {why}") as caught:
        checks.find_exercise("90-total")
    assert "\n" not in str(caught.value)


@pytest.fixture(autouse=True, scope="module")
def reload_nothing() -> Iterator[None]:
    yield
    assert importlib.import_module("labkit.notebook.lab").format_cell(0.5) == "0.5"


@pytest.mark.parametrize(
    "output",
    [
        torch.eye(3).to_sparse(),
        torch.zeros(3, device="meta"),
    ],
)
def test_tensors_without_plain_numbers_are_wrong_answers(output: torch.Tensor) -> None:
    result = evaluate(GRAY, lambda rgb: output, seed=0)
    assert result.status == WRONG and "an object of type Tensor" in result.message


def test_an_answer_that_exits_is_wrong_and_ends_nothing() -> None:
    def answer(rgb: torch.Tensor) -> None:
        raise SystemExit(0)

    result = evaluate(GRAY, answer, seed=0)
    assert result.status == WRONG and "SystemExit: 0" in result.message


def test_arguments_may_be_renamed() -> None:
    assert evaluate(GRAY, lambda picture: GRAY.reference(picture), seed=0).status == RIGHT
    assert "TypeError" in evaluate(GRAY, lambda: None, seed=0).message


def test_a_long_error_is_cut() -> None:
    def answer(rgb: torch.Tensor) -> None:
        raise ValueError("x" * 10**5)

    assert len(evaluate(GRAY, answer, seed=0).message) < 1000
