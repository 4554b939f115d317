"""Every exercise of every lab: its reference passes, its known mistakes are caught, labkit is no answer."""

from typing import Any

import pytest

from labkit.checks import (
    NOT_ATTEMPTED,
    RIGHT,
    STUB,
    WRONG,
    Exercise,
    Wrong,
    all_exercises,
    evaluate,
    framework,
    switched_off,
)

EXERCISES = list(all_exercises())
SEEDS = range(7)


def with_seeds(cases: list[tuple[Any, ...]]) -> list[Any]:
    """Return each case (its exercise comes first) with each seed; most of them are slow."""
    return [
        pytest.param(*case, seed, marks=[pytest.mark.slow] if is_slow(case, seed) else [], id=name(case, seed))
        for seed in SEEDS
        for case in cases
    ]


def is_slow(case: tuple[Any, ...], seed: int) -> bool:
    """Whether a case waits for ``-m slow``: all seeds but two; of a training all but one, and most mistakes."""
    exercise, *wrong = case
    if exercise.draws > 1:
        return seed >= 2
    return seed >= 1 or any(one not in exercise.wrong[:2] for one in wrong)


def name(case: tuple[Any, ...], seed: int) -> str:
    return ": ".join([case[0].id, *(wrong.name for wrong in case[1:]), f"seed {seed}"])


every_exercise = pytest.mark.parametrize("exercise", EXERCISES, ids=[exercise.id for exercise in EXERCISES])


def test_ids_are_unique() -> None:
    ids = [exercise.id for exercise in EXERCISES]
    assert len(set(ids)) == len(ids)


@every_exercise
def test_is_complete(exercise: Exercise) -> None:
    assert exercise.title and exercise.points > 0 and exercise.minutes > 0
    assert exercise.id[:2].isdigit() and exercise.id[2] == "-"
    assert exercise.wrong, "an exercise needs a known mistake that its check catches"


@pytest.mark.parametrize(("exercise", "seed"), with_seeds([(exercise,) for exercise in EXERCISES]))
def test_the_reference_passes(exercise: Exercise, seed: int) -> None:
    result = evaluate(exercise, exercise.reference, seed=seed, switch_off=False)
    assert result.status == RIGHT, result.message


@pytest.mark.parametrize(
    ("exercise", "wrong", "seed"), with_seeds([(one, wrong) for one in EXERCISES for wrong in one.wrong])
)
def test_a_known_mistake_is_caught_with_its_hint(exercise: Exercise, wrong: Wrong, seed: int) -> None:
    result = evaluate(exercise, wrong.answer, seed=seed, switch_off=False)
    assert result.status == WRONG
    assert wrong.hint and wrong.hint in result.message


@every_exercise
def test_the_labkit_function_is_no_answer(exercise: Exercise) -> None:
    import importlib

    for name in exercise.asks_for:
        module, _, attribute = name.rpartition(".")
        if module.rpartition(".")[2][0].isupper():  # a method, which is no answer by itself
            continue
        answer = getattr(importlib.import_module(module), attribute)
        result = evaluate(exercise, answer)
        assert result.status == WRONG and f"write it yourself: {name}" in result.message
    with switched_off(exercise.asks_for):
        pass


@every_exercise
def test_the_stub_is_not_attempted(exercise: Exercise) -> None:
    def stub(*arguments: Any, **named: Any) -> Any:
        raise NotImplementedError(STUB)

    assert evaluate(exercise, stub).status == NOT_ATTEMPTED


@every_exercise
def test_nothing_and_nonsense_are_wrong(exercise: Exercise, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(framework, "MISTAKE_SECONDS", 0.0)  # no known mistake gives these: do not look for its hint
    for nonsense in (None, "text", object(), float("nan")):
        result = evaluate(exercise, lambda *a, value=nonsense, **k: value)
        assert result.status == WRONG and "Traceback" not in result.message
