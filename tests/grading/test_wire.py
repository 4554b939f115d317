"""Values on their way to and from a kernel; and every exercise judged as in grading, by value and from outside."""

import json
import math
from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np
import pytest
import torch

from labkit import LabkitError
from labkit.checks import RIGHT, STUB, WRONG, Exercise, all_exercises, draw, framework, judge_calls
from labkit.notebook.answer import Foreign, Outcome, call_source, decode, encode, read_response, request, respond

EXERCISES = list(all_exercises())
every_exercise = pytest.mark.parametrize("exercise", EXERCISES, ids=[exercise.id for exercise in EXERCISES])


def there_and_back(value: Any) -> Any:
    return decode(json.loads(json.dumps(encode(value))))


@pytest.mark.parametrize(
    "value",
    [None, True, 3, -2.5, "text \ud800 é", [1, [2.0, "x"]], (1, (2,)), {"a": 1, 3: [None]}, 10**400, "", [], ()],
    ids=repr,
)
def test_plain_values_travel(value: Any) -> None:
    back = there_and_back(value)
    assert back == value and type(back) is type(value)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int64", "float16", "float32", "float64"])
def test_tensors_and_arrays_travel(dtype: str) -> None:
    tensor = torch.tensor([[0, 1, 2], [3, 4, 5]]).to(getattr(torch, dtype))
    for value in (tensor, tensor.T, tensor[:, :0], tensor[0, 0]):
        back = there_and_back(value)
        assert type(back) is torch.Tensor and back.dtype == value.dtype and torch.equal(back, value)
        array = there_and_back(value.numpy())
        assert type(array) is np.ndarray and array.dtype == value.numpy().dtype and np.array_equal(array, value.numpy())


def test_other_tensors_travel_where_they_can() -> None:
    assert torch.equal(there_and_back(torch.nn.Parameter(torch.ones(2))), torch.ones(2))
    assert torch.equal(there_and_back(torch.ones(2, dtype=torch.bfloat16)), torch.ones(2))
    assert math.isnan(there_and_back(float("nan"))) and there_and_back(float("-inf")) == -math.inf
    assert there_and_back(np.float32(0.5)) == 0.5 and there_and_back(np.array([1, 2], dtype=">i4")).tolist() == [1, 2]


class Sub(float):
    pass


@pytest.mark.parametrize(
    "value",
    [Sub(1), object(), 1j, {1}, torch.eye(2).to_sparse(), torch.zeros(1, dtype=torch.complex64), np.array(["a"])],
)
def test_whatever_else_is_only_named(value: Any) -> None:
    assert type(there_and_back(value)) is Foreign
    with pytest.raises(LabkitError, match="must be plain values"):
        encode([value], strict=True)


@pytest.mark.parametrize(
    "text",
    [
        "", "7", "null", "{}", "[" * 100_000, '{"kind": "value"}', None, 3, "x" * 3_000_000,
        '{"kind": "right", "error": "", "text": "", "place": "", "value": 1}',
        '{"kind": "value", "error": 1, "text": "", "place": "", "value": 1}',
        *(
            '{"kind": "value", "error": "", "text": "", "place": "", "value": ' + value + "}"
            for value in (
                '{"tensor": ["float32", [2], "AAAA"]}', '{"tensor": ["float32", [-1], ""]}', '{"list": 3}',
                '{"tensor": ["float32", [1e9, 1e9], ""]}', '{"array": ["object", [], ""]}', '{"tensor": 3}',
                '{"tensor": ["bool", [1], "Bw=="]}', '{"dict": [[{"list": []}, 1]]}', '{"a": 1, "b": 2}', "[1]",
                '{"tensor": ["float32", [true], "AAAA"]}', '{"tensor": ["float32", [1], "!!"]}',
            )
        ),
    ],
)  # fmt: skip
def test_what_a_hostile_kernel_may_say_is_refused(text: Any) -> None:
    with pytest.raises(ValueError):
        read_response(text)


def across(exercise: Exercise, answer: Callable[..., Any]) -> Callable[[Any], Outcome]:
    """What grading does with an answer, but for the kernel."""
    return lambda inputs: read_response(respond(answer, request(inputs, exercise.call, ())).text)


@every_exercise
def test_the_reference_gets_all_points_and_a_few_mistakes_are_refused(exercise: Exercise) -> None:
    right = judge_calls(exercise, across(exercise, exercise.reference), draw(exercise, 5, exercise.draws))
    assert (right.status, right.points) == (RIGHT, exercise.points), right.message
    few = exercise.wrong[:3] if exercise.draws > 1 else ()  # else each trains a network; tests/checks has them all
    for wrong in few:
        result = judge_calls(exercise, across(exercise, wrong.answer), draw(exercise, 5, exercise.draws))
        assert result.status == WRONG and result.points < exercise.points and wrong.hint in result.message


def single(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.float() if value.is_floating_point() else value
    return type(value)(single(item) for item in value) if isinstance(value, (list, tuple)) else value


def as_numpy(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.detach().numpy()
    return type(value)(as_numpy(item) for item in value) if isinstance(value, (list, tuple)) else value


def as_list(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.tolist()
    return [as_list(item) for item in value] if isinstance(value, (list, tuple)) else value


def with_axis(value: Any) -> Any:
    return value[None] if isinstance(value, torch.Tensor) else value


@every_exercise
@pytest.mark.parametrize("form", [single, as_numpy, as_list, with_axis])
def test_right_answers_in_other_forms_are_right(exercise: Exercise, form: Callable[[Any], Any]) -> None:
    if form in (as_numpy, as_list) and exercise.call and "grad" in call_source(exercise.call):
        pytest.skip("its gradients are judged: only tensors have them")
    if form is with_axis and exercise.id in ("00-to-gray", "05-jacobian"):
        pytest.skip("it asks for exactly its axes")
    if exercise.draws == 1:
        pytest.skip("it trains a network, and what it returns has no other form")

    @wraps(exercise.reference)
    def answer(*arguments: Any, **named: Any) -> Any:
        return form(exercise.reference(*arguments, **named))

    result = judge_calls(exercise, across(exercise, answer), draw(exercise, 6, 1))
    assert result.status == RIGHT, result.message


@every_exercise
def test_the_stub_and_nothing(exercise: Exercise, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(framework, "MISTAKE_SECONDS", 0.0)  # no known mistake gives these: do not look for its hint

    def stub(*arguments: Any, **named: Any) -> Any:
        raise NotImplementedError(STUB)

    assert judge_calls(exercise, across(exercise, stub), draw(exercise, 7, exercise.draws)).status == "not attempted"
    for nonsense in (None, "text", object(), float("nan"), [], {}):
        result = judge_calls(
            exercise, across(exercise, lambda *a, value=nonsense, **k: value), draw(exercise, 7, exercise.draws)
        )
        assert (result.status, result.points) == (WRONG, 0)


def outside_name(answer: Any, inputs: Any) -> Any:
    return [EXERCISES for _ in range(2)]


def test_a_call_that_cannot_travel_is_refused() -> None:
    for call, message in ((lambda answer, inputs: answer(inputs), "not as a lambda"), (outside_name, "not EXERCISES")):
        with pytest.raises(LabkitError, match=message):
            call_source(call)
