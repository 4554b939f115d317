"""How an exercise is checked: fresh inputs, the student's answer on them, a verdict with a hint.

An exercise is data: the functions `inputs`, `call` and `judge`, a reference answer, and known-wrong answers, each with
the hint that helps. Most exercises need neither `call` nor `judge`: inputs are handed over by name, and the output is
compared with the reference's. When it differs, it is compared with what each known-wrong answer makes of the same
inputs, and the hint of the one that matches is shown. That is how a check recognizes a mistake::

    Exercise(
        id="00-skill", title="Skill over gray", points=1, minutes=3, asks_for=("labkit.metrics.skill",),
        inputs=lambda rng: {"mse": uniform(rng, 0.001, 0.01), "mse_gray": uniform(rng, 0.004, 0.02)},
        reference=lambda mse, mse_gray: 1 - mse / mse_gray,
        wrong=(Wrong("ratio", lambda mse, mse_gray: mse / mse_gray, "a perfect model has skill 1"),),
    )

`inputs` and `judge` run in any process; only `call` needs the student's function, see `labkit.notebook.answer`. The
modules of `labkit.checks` (one a lab) hold the exercises in a tuple EXERCISES; files named in the environment
variable LABKIT_CHECKS hold more.
"""

import hashlib
import importlib
import importlib.util
import os
import pkgutil
import secrets
import textwrap
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from labkit.checks.values import Verdict, close, describe
from labkit.checks.values import as_tensor as as_tensor
from labkit.checks.values import uniform as uniform
from labkit.checks.values import whole as whole
from labkit.errors import LabkitError
from labkit.notebook.answer import (
    NO_FUNCTION,
    OFF,
    RAISED,
    UNATTEMPTED,
    Outcome,
    attempt,
    copy_values,
    hand_over,
    shown,
)
from labkit.notebook.answer import STUB as STUB
from labkit.notebook.answer import SwitchedOff as SwitchedOff
from labkit.notebook.answer import switched_off as switched_off
from labkit.notebook.built import remember
from labkit.notebook.lab import publish

CHECK_MIME = "application/vnd.labkit.check+json"
MISTAKE_SECONDS = 5.0  # of computing, after which no further known-wrong answer is run to find a hint
RIGHT, WRONG, NOT_ATTEMPTED = "right", "wrong", "not attempted"


class CheckFailed(AssertionError):
    """A wrong answer: what was given, what was expected, and a hint. A notebook shows it without traceback."""

    def _render_traceback_(self) -> list[str]:  # IPython's hook for an exception that draws itself
        return [f"CheckFailed: {self}"]


@dataclass(frozen=True)
class Wrong:
    """A known mistake: its name, an answer that makes it, and the hint that the message must then contain."""

    name: str
    answer: Callable[..., Any]
    hint: str


@dataclass(frozen=True)
class Part:
    """A part of an exercise that earns points of its own: its title, points and judge."""

    title: str
    points: int
    judge: Callable[[Any, Any], Verdict]


@dataclass(frozen=True, kw_only=True)
class Exercise:
    """One exercise.

    Attributes:
        id: the key of its cells: lab number and words, "01-mean-color".
        inputs: makes fresh inputs from a seeded generator: a dict (arguments by name), a tuple (by place) or
            one value. The judge alone gets what stands in a dict under `labkit.notebook.answer.HELD_BACK`.
        reference: a right answer, called as the student's is.
        call: (answer, inputs) -> output; hands the inputs over unless given. A def that uses nothing but its
            arguments, math, np and torch: grading sends it to the student's kernel as source.
        judge: (inputs, output) -> Verdict, pure; compares with the reference by `close` unless given.
        parts: pieces that earn their points one by one; their judges then stand in for `judge`.
        asks_for: dotted names of the labkit functions that the exercise has written again; they are switched off
            while an answer to any exercise of the same lab runs.
        may_use: dotted names in labkit, scikit-image or kornia (or of their modules) that an answer may call; a graded
            answer that uses more of them is flagged, and loses no points by it.
        wrong: known-wrong answers. Where running all of them takes more than five seconds, `judge` should give their
            hints itself, from what it sees in the output.
        atol, rtol: tolerances of the default judge.
        hint: what the default judge says when no known mistake matches.
        level: difficulty, from 1 to 5.
        core: whether the lab's minutes count it; the others are extra.
        hints: three steps for `hint`: an idea, a line, the shape of the solution. A later step of a build has none of
            its own and shares those of the exercise before it.
        draws: number of inputs that an answer is checked on; fewer where each of them trains a network.
    """

    id: str
    title: str
    points: int
    minutes: int
    inputs: Callable[[torch.Generator], Any]
    reference: Callable[..., Any]
    asks_for: tuple[str, ...] = ()
    may_use: tuple[str, ...] = ()
    call: Callable[[Callable[..., Any], Any], Any] | None = None
    judge: Callable[[Any, Any], Verdict] | None = None
    parts: tuple[Part, ...] = ()
    wrong: tuple[Wrong, ...] = ()
    atol: float = 1e-5
    rtol: float = 1e-3
    hint: str = ""
    level: int = 2
    core: bool = True
    hints: tuple[str, ...] = ()
    draws: int = 3

    def __post_init__(self) -> None:
        """Refuse parts that do not make up the points, and a level, hints or draws that cannot be.

        Raises:
            LabkitError: for parts that do not, or with a judge besides; a level outside 1 to 5, another number of hints
                than three or none, or no draws.
        """
        if self.level not in range(1, 6) or len(self.hints) not in (0, 3) or self.draws < 1:
            raise LabkitError(
                f"exercise {self.id}: got level {self.level}, {len(self.hints)} hints and {self.draws} draws, expected "
                "a level from 1 to 5, three hints (or none, in a later step of a build) and at least one draw"
            )
        if self.parts and (self.judge or sum(part.points for part in self.parts) != self.points):
            raise LabkitError(
                f"exercise {self.id}: the parts must make up its {self.points} points, with no judge besides"
            )

    def label(self, minutes: int | None = None) -> str:
        """Return how the exercise's heading ends: "(difficulty 3 of 5, core, 20 minutes)".

        Args:
            minutes: of all steps of a build together; None: of this exercise alone.
        """
        minutes = self.minutes if minutes is None else minutes
        kind = "core" if self.core else "extra"
        return f"(difficulty {self.level} of 5, {kind}, {minutes} minute{'' if minutes == 1 else 's'})"

    def verdicts(self, inputs: Any, output: Any) -> list[Verdict]:
        """Judge an output: a verdict for each part (one for an exercise without parts).

        A wrong one that equals a known-wrong answer's gets that answer's hint, unless the judge's says that and more.
        """
        judges = [part.judge for part in self.parts] or ([self.judge] if self.judge else [])
        found = [_judged(judge, inputs, output) for judge in judges] or [self._compare(inputs, output)]
        hints = [wrong.hint for wrong in self.wrong]
        if all(verdict.ok or any(hint and hint in verdict.hint for hint in hints) for verdict in found):
            return found  # the judge itself knew the mistake: the known-wrong answers need not run
        mistake = self._mistake(inputs, output)
        return [
            verdict if verdict.ok or mistake in verdict.hint else replace(verdict, hint=mistake) for verdict in found
        ]

    def _compare(self, inputs: Any, output: Any) -> Verdict:
        expected = hand_over(self.reference, inputs, self.call)
        return close(output, expected, atol=self.atol, rtol=self.rtol, hint=self.hint)

    def _mistake(self, inputs: Any, output: Any) -> str:
        """Return the hint of the first known-wrong answer that gives the same output on these inputs, or nothing."""
        for wrong in self._in_time():
            try:
                theirs = hand_over(wrong.answer, inputs, self.call)
            except Exception:
                continue
            if close(output, theirs, atol=1e-5, rtol=1e-3).ok:
                return wrong.hint
        return ""

    def _in_time(self) -> Iterator[Wrong]:
        """Yield the known-wrong answers, until running them has taken too long: each of them may train a network."""
        end = time.process_time() + MISTAKE_SECONDS
        for wrong in self.wrong:
            if time.process_time() > end:
                return
            yield wrong

    def _raised(self, inputs: Any, outcome: Outcome) -> Verdict:
        """Return the verdict on an answer that raised, with the hint of a known mistake that raises the same."""
        hint = ""
        for wrong in self._in_time():
            try:
                hand_over(wrong.answer, inputs, self.call)
            except Exception as theirs:
                if type(theirs).__name__ == outcome.error and str(theirs) == outcome.text:
                    hint = wrong.hint
                    break
        text = outcome.text.strip().splitlines()
        name = outcome.error + (f": {text[0][:200]}" if text else "")
        return Verdict(False, hint, given=f"{name}{outcome.place}", expected="no error")


def _judged(judge: Callable[[Any, Any], Verdict], inputs: Any, output: Any) -> Verdict:
    """Return what a judge says; an output that it cannot even look at is wrong."""
    try:
        return judge(copy_values(inputs), output)
    except Exception as error:
        return Verdict(False, f"a value of this form cannot be judged ({type(error).__name__})", describe(output))


@dataclass(frozen=True)
class Result:
    """The outcome of a check.

    ``status`` is "right", "wrong" or "not attempted"; ``message`` is to be read; ``points`` are those earned, which a
    wrong answer can have in an exercise with parts; ``parts`` says of each part's title whether it is right.
    """

    status: str
    message: str
    points: int = 0
    parts: dict[str, bool] = field(default_factory=dict)


def check(exercise_id: str, answer: Any, *, seed: int | None = None) -> None:
    """Check ``answer`` (the student's function) and say so: one line if right or not attempted yet.

    Args:
        exercise_id: which exercise.
        answer: the student's function.
        seed: makes the random inputs repeatable; fresh ones otherwise.

    Raises:
        CheckFailed: if the answer is wrong.
    """
    exercise = find_exercise(exercise_id)
    result = evaluate(exercise, answer, seed=seed)
    remember(answer, exercise.id, result.status == RIGHT)
    record = {"id": exercise.id, "status": result.status, "points": result.points, "max_points": exercise.points}
    line = f"wrong: {exercise.title}" if result.status == WRONG else result.message
    publish({CHECK_MIME: record, "text/plain": line})
    # nbgrader gives all points to a check that raises nothing; it says so when it is the one who runs the notebook.
    if result.status == WRONG or (result.status == NOT_ATTEMPTED and "NBGRADER_EXECUTION" in os.environ):
        offer = f'\n  (for a hint: hint("{exercise.id}"))' if result.status == WRONG and hints_for(exercise) else ""
        raise CheckFailed(result.message + offer)


_HINTS_SHOWN: dict[str, int] = {}  # exercise -> how many of its hints were shown in this session


def hint(exercise_id: str) -> None:
    """Print the next of an exercise's three hints: an idea, then a line, then the shape of a solution.

    Args:
        exercise_id: which exercise.

    Raises:
        LabkitError: if there is no such exercise.
    """
    exercise = find_exercise(exercise_id)
    hints = hints_for(exercise)
    number = min(_HINTS_SHOWN.get(exercise.id, 0) + 1, len(hints))
    _HINTS_SHOWN[exercise.id] = number
    print(f"hint {number} of {len(hints)}: {hints[number - 1]}" if hints else f"{exercise.title} has no hints")


def hints_for(exercise: Exercise) -> tuple[str, ...]:
    """Return an exercise's hints; a later step of a build shares those of the nearest exercise before it."""
    found: tuple[str, ...] = ()
    for one in all_exercises():
        if one.id.partition("-")[0] == exercise.id.partition("-")[0]:
            found = one.hints or found
        if one.id == exercise.id:
            return found
    return exercise.hints


def evaluate(
    exercise: Exercise, answer: Any, *, seed: int | None = None, draws: int | None = None, switch_off: bool = True
) -> Result:
    """Check ``answer`` on ``draws`` fresh inputs.

    Args:
        exercise: what is asked.
        answer: the student's function.
        seed: of the inputs; a fresh one if None.
        draws: number of inputs; None: as many as the exercise says.
        switch_off: False lets the answer call the functions that the exercise asks for (to try a reference).
    """
    seed = secrets.randbelow(10**6) if seed is None else seed
    again = f'to see the same inputs again: check("{exercise.id}", ..., seed={seed})'
    asks_for = functions_off(exercise) if switch_off else ()
    drawn = draw(exercise, seed, exercise.draws if draws is None else draws)
    return judge_calls(exercise, lambda inputs: attempt(answer, inputs, exercise.call, asks_for), drawn, again)


def draw(exercise: Exercise, seed: int, draws: int) -> Iterator[Any]:
    """Draw inputs of an exercise: the same for the same seed."""
    rng = torch.Generator().manual_seed(seed)
    for _ in range(draws):
        yield exercise.inputs(rng)


@dataclass(frozen=True)
class Judged:
    """What came of one draw of inputs.

    Attributes:
        verdicts: one for each part (one for an exercise without parts).
        final: NOT_ATTEMPTED or WRONG where no other inputs could change anything, else "".
    """

    verdicts: tuple[Verdict, ...] = ()
    final: str = ""


def judge_calls(exercise: Exercise, run: Callable[[Any], Outcome], drawn: Iterable[Any], again: str = "") -> Result:
    """Judge what ``run`` says that an answer does with the inputs ``drawn``.

    Args:
        exercise: what is asked.
        run: calls the answer on inputs and says what came of it (`labkit.notebook.answer.attempt`).
        drawn: inputs, one after the other.
        again: how to see the same inputs again, for the message on a wrong answer.
    """
    found = ((judge_outcome(exercise, inputs, run(inputs)), f"inputs:   {_in_short(inputs)}") for inputs in drawn)
    return conclude(exercise, found, again)


def _in_short(inputs: Any) -> str:
    """Describe inputs on a line or three: a build's cases would fill a screen, and `example` gives them all."""
    return textwrap.shorten(describe(shown(inputs)), 300, placeholder=" ...")


def judge_outcome(exercise: Exercise, inputs: Any, outcome: Outcome) -> Judged:
    """Judge what an answer did with ``inputs``."""
    if outcome.kind == UNATTEMPTED:
        return Judged(final=NOT_ATTEMPTED)
    if outcome.kind == NO_FUNCTION:
        return Judged((Verdict(False, "pass the function itself", describe(outcome.value), "a function", True),), WRONG)
    if outcome.kind == OFF:
        return Judged((Verdict(False, hint=outcome.text),), WRONG)
    if outcome.kind == RAISED:
        return Judged((exercise._raised(inputs, outcome),) * max(1, len(exercise.parts)))
    return Judged(tuple(exercise.verdicts(inputs, outcome.value)))


def conclude(
    exercise: Exercise, found: Iterable[tuple[Judged, str]], again: str = "", show_expected: bool = True
) -> Result:
    """Return the result that follows from one draw after the other; stops when nothing is left to earn.

    Args:
        exercise: what is asked.
        found: what came of each draw, and a line that tells its inputs.
        again: how to see the same inputs again, for the message on a wrong answer.
        show_expected: False leaves out what was expected, its form excepted.
    """
    right = [True] * max(1, len(exercise.parts))
    message = ""
    for judged, inputs in found:
        if judged.final == NOT_ATTEMPTED:
            return _not_attempted(exercise)
        if judged.final:
            return Result(WRONG, _message(exercise, judged.verdicts[0], show_expected=show_expected))
        wrong = [verdict for verdict in judged.verdicts if not verdict.ok]
        if wrong and not message:
            message = _message(exercise, wrong[0], inputs, again, show_expected)
        right = [before and verdict.ok for before, verdict in zip(right, judged.verdicts, strict=True)]
        if not any(right):
            break
    parts = {part.title: ok for part, ok in zip(exercise.parts, right, strict=False)}
    if not message:
        return Result(RIGHT, f"right: {exercise.title}", exercise.points, parts)
    points = sum(part.points for part, ok in zip(exercise.parts, right, strict=False) if ok)
    if points:
        done = ", ".join(title for title, ok in parts.items() if ok)
        message += f"\n  earned:   {points} of {exercise.points} points, for: {done}"
    return Result(WRONG, message, points, parts)


def _not_attempted(exercise: Exercise) -> Result:
    return Result(NOT_ATTEMPTED, f"not attempted yet: {exercise.title} (the lab goes on without it)")


def _message(
    exercise: Exercise, verdict: Verdict, inputs: str = "", again: str = "", show_expected: bool = True
) -> str:
    """Return the few lines a student reads; those that say nothing are left out."""
    expected = verdict.expected if show_expected or verdict.form else ""
    parts = {"given": verdict.given, "expected": expected, "hint": verdict.hint}
    lines = [f"  {name + ':':<10}{text}" for name, text in parts.items() if text]
    lines += [f"  {inputs}"] if inputs else []
    return "\n".join([f"{exercise.title} is not right yet", *lines, *([f"  ({again})"] if again else [])])


# Inputs that can be had again


def exercise_seed(code: str, exercise_id: str) -> int:
    """Return the seed of an exercise's inputs that belongs to a code, as a graded student's feedback names it."""
    return int.from_bytes(hashlib.sha256(f"{code} {exercise_id}".encode()).digest()[:6], "big")


def example(exercise_id: str, seed: int, number: int = 1) -> Any:
    """Return the inputs that ``check(exercise_id, ..., seed=seed)`` hands over as its ``number``-th, from 1.

    Raises:
        LabkitError: if there is no such exercise.
    """
    drawn = draw(find_exercise(exercise_id), seed, number)
    return shown(list(drawn)[-1])


def telling(
    make: Callable[[], dict[str, Any]], reference: Callable[..., Any], wrong: Sequence[Wrong]
) -> dict[str, Any]:
    """Draw inputs on which each mistake shows, and shows which it is: no two hints belong to one output."""
    answers = [("", reference), *((mistake.hint, mistake.answer) for mistake in wrong)]
    hints = [hint for hint, _ in answers]
    while True:
        inputs = make()
        outputs = [answer(**inputs) for _, answer in answers]
        if not any(hints[i] != hints[j] for i, j in _alike(outputs, atol=1e-4, rtol=0.005)):
            return inputs


def _alike(outputs: Sequence[Any], atol: float, rtol: float) -> Iterable[tuple[int, int]]:
    """Return the pairs of outputs that `close` cannot tell apart; in one operation where all are tensors of a shape."""
    tensors = [tensor for output in outputs if (tensor := as_tensor(output)) is not None]
    if len(tensors) < len(outputs) or len({tensor.shape for tensor in tensors}) > 1:
        return [
            (i, j)
            for i, one in enumerate(outputs)
            for j, other in enumerate(outputs[:i])
            if close(one, other, atol=atol, rtol=rtol).ok
        ]
    flat = torch.stack([tensor.flatten() for tensor in tensors])
    one, other = torch.broadcast_tensors(flat[:, None], flat[None])  # in torch 2.11 equal_nan cannot broadcast
    same = torch.isclose(one, other, atol=atol, rtol=rtol, equal_nan=True).all(2).tril(-1)
    return [(i, j) for i, j in same.nonzero().tolist()]


# The registry


def functions_off(exercise: Exercise) -> tuple[str, ...]:
    """Return the functions that are switched off while an answer runs: all that its lab has written again.

    An exercise's lab is known by what stands before the dash of its id. What the exercise may use stays on.
    """
    lab = exercise.id.partition("-")[0]
    others = [one for one in all_exercises() if one.id.partition("-")[0] == lab and one.id != exercise.id]
    asked = [name for one in (exercise, *others) for name in one.asks_for]
    return tuple(dict.fromkeys(name for name in asked if name in exercise.asks_for or name not in exercise.may_use))


def find_exercise(exercise_id: str) -> Exercise:
    """Return the exercise of that id.

    Raises:
        LabkitError: if there is none.
    """
    known = []
    for exercise in all_exercises():
        if exercise.id == exercise_id:
            return exercise
        known.append(exercise.id)
    raise LabkitError(f"there is no exercise {exercise_id!r}; there are {', '.join(known) or 'none'}")


def all_exercises() -> Iterator[Exercise]:
    """Yield every exercise: first of the files in LABKIT_CHECKS (separated like PATH), then of this package."""
    for module in _modules():
        yield from module.EXERCISES


def packaged_exercises() -> Iterator[Exercise]:
    """Yield the exercises of this package."""
    for module in _packaged_modules():
        yield from module.EXERCISES


def right_predictions() -> dict[str, str | tuple[float, float]]:
    """Return prediction -> right letter, or (low, high) of a number: PREDICTIONS of the modules with the exercises."""
    found: dict[str, str | tuple[float, float]] = {}
    for module in _modules():
        found |= getattr(module, "PREDICTIONS", {})
    return found


def _modules() -> Iterator[ModuleType]:
    for path in filter(None, os.environ.get("LABKIT_CHECKS", "").split(os.pathsep)):
        yield load_file(path)
    yield from _packaged_modules()


def _packaged_modules() -> Iterator[ModuleType]:
    names = sorted(module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)]))
    for name in names:
        module = importlib.import_module(f"labkit.checks.{name}")
        if hasattr(module, "EXERCISES"):  # the others are what several of them share
            yield module


@lru_cache
def load_file(path: str) -> ModuleType:
    """Return the module in an instructor's own file of exercises."""
    name = "labkit_checks_" + "".join(c if c.isalnum() else "_" for c in os.path.basename(path))
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not os.path.isfile(path):
        raise LabkitError(f"LABKIT_CHECKS names {path}, which is no Python file with exercises")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever an instructor's file may raise
        text = " ".join(str(error).split())[:200]
        raise LabkitError(
            f"LABKIT_CHECKS names {path}, which cannot be loaded: {type(error).__name__}: {text}"
        ) from error
    if not isinstance(getattr(module, "EXERCISES", None), (tuple, list)):
        raise LabkitError(f"LABKIT_CHECKS names {path}, which has no tuple EXERCISES")
    return module
