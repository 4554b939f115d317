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

`inputs` and `judge` run in any process; only `call` needs the student's kernel. The modules of this package
(one a lab) hold the exercises in a tuple EXERCISES; files named in the environment variable LABKIT_CHECKS
hold more.
"""

import importlib
import importlib.util
import inspect
import linecache
import os
import pkgutil
import secrets
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np
import torch

from labkit.errors import LabkitError
from labkit.lab import publish

CHECK_MIME = "application/vnd.labkit.check+json"
STUB = "your answer here"  # the message of the NotImplementedError that stands in for a solution
RIGHT, WRONG, NOT_ATTEMPTED = "right", "wrong", "not attempted"


class CheckFailed(AssertionError):
    """A wrong answer: what was given, what was expected, and a hint. A notebook shows it without traceback."""

    def _render_traceback_(self) -> list[str]:  # IPython's hook for an exception that draws itself
        return [f"CheckFailed: {self}"]


class SwitchedOff(RuntimeError):
    """The answer called the labkit function that the exercise asks for."""


@dataclass(frozen=True)
class Verdict:
    """What a judge says: right or not, and if not, a hint and the values given and expected, as text."""

    ok: bool
    hint: str = ""
    given: str = ""
    expected: str = ""


@dataclass(frozen=True)
class Wrong:
    """A known mistake: its name, an answer that makes it, and the hint that the message must then contain."""

    name: str
    answer: Callable[..., Any]
    hint: str


@dataclass(frozen=True, kw_only=True)
class Exercise:
    """One exercise.

    Attributes:
        id: the key of its cells: lab number and words, "01-mean-color".
        inputs: makes fresh inputs from a seeded generator: a dict (arguments by name), a tuple (by place) or
            one value.
        reference: a right answer, called as the student's is.
        call: (answer, inputs) -> output; hands the inputs over unless given.
        judge: (inputs, output) -> Verdict, pure; compares with the reference by `close` unless given.
        asks_for: dotted names of the labkit functions that are switched off while the answer runs.
        wrong: known-wrong answers.
        atol, rtol: tolerances of the default judge.
        hint: what the default judge says when no known mistake matches.
    """

    id: str
    title: str
    points: int
    minutes: int
    inputs: Callable[[torch.Generator], Any]
    reference: Callable[..., Any]
    asks_for: tuple[str, ...] = ()
    call: Callable[[Callable[..., Any], Any], Any] | None = None
    judge: Callable[[Any, Any], Verdict] | None = None
    wrong: tuple[Wrong, ...] = ()
    atol: float = 1e-5
    rtol: float = 1e-3
    hint: str = ""

    def run(self, answer: Callable[..., Any], inputs: Any) -> Any:
        """Return what ``answer`` gives on a copy of ``inputs`` (an answer may overwrite what it is given)."""
        inputs = copy_values(inputs)
        if self.call is not None:
            return self.call(answer, inputs)
        if isinstance(inputs, Mapping):
            return answer(**inputs) if _takes(answer, inputs) else answer(*inputs.values())  # renamed arguments
        return answer(*inputs) if isinstance(inputs, tuple) else answer(inputs)

    def verdict(self, inputs: Any, output: Any) -> Verdict:
        """Judge an output; a wrong one that equals a known-wrong answer's gets that answer's hint."""
        if self.judge is not None:
            verdict = self.judge(copy_values(inputs), output)
        else:
            verdict = close(output, self.run(self.reference, inputs), atol=self.atol, rtol=self.rtol, hint=self.hint)
        return verdict if verdict.ok else replace(verdict, hint=self._mistake(inputs, output) or verdict.hint)

    def _mistake(self, inputs: Any, output: Any) -> str:
        """The hint of the first known-wrong answer that gives the same output on these inputs, or nothing."""
        for wrong in self.wrong:
            try:
                theirs = self.run(wrong.answer, inputs)
            except Exception:
                continue
            if close(output, theirs, atol=1e-5, rtol=1e-3).ok:
                return wrong.hint
        return ""

    def _mistake_raising(self, inputs: Any, error: Exception | SystemExit) -> str:
        """The hint of the first known-wrong answer that raises the same error on these inputs, or nothing."""
        for wrong in self.wrong:
            try:
                self.run(wrong.answer, inputs)
            except Exception as theirs:
                if type(theirs) is type(error) and str(theirs) == str(error):
                    return wrong.hint
        return ""


@dataclass(frozen=True)
class Result:
    """The outcome of a check: ``status`` is "right", "wrong" or "not attempted"; ``message`` is to be read."""

    status: str
    message: str


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
    points = exercise.points if result.status == RIGHT else 0
    record = {"id": exercise.id, "status": result.status, "points": points, "max_points": exercise.points}
    line = f"wrong: {exercise.title}" if result.status == WRONG else result.message
    publish({CHECK_MIME: record, "text/plain": line})
    if result.status == WRONG:
        raise CheckFailed(result.message)


def evaluate(
    exercise: Exercise, answer: Any, *, seed: int | None = None, draws: int = 3, switch_off: bool = True
) -> Result:
    """Check ``answer`` on ``draws`` fresh inputs.

    Args:
        exercise: what is asked.
        answer: the student's function.
        seed: of the inputs; a fresh one if None.
        draws: number of inputs.
        switch_off: False lets the answer call the functions that the exercise asks for (to try a reference).
    """
    seed = secrets.randbelow(10**6) if seed is None else seed
    again = f'to see the same inputs again: check("{exercise.id}", ..., seed={seed})'
    if answer is Ellipsis or answer is NotImplemented:
        return _not_attempted(exercise)
    if not callable(answer):
        return Result(
            WRONG,
            _message(exercise, Verdict(False, "pass the function itself", describe(answer), "a function")),
        )
    rng = torch.Generator().manual_seed(seed)
    for _ in range(draws):
        inputs = exercise.inputs(rng)
        try:
            # The answer may draw random numbers; the lab's own must not depend on whether an exercise is done.
            with torch.random.fork_rng(devices=[]), switched_off(exercise.asks_for if switch_off else ()):
                output = exercise.run(answer, inputs)
        except SwitchedOff as error:
            return Result(WRONG, _message(exercise, Verdict(False, hint=str(error))))
        except NotImplementedError as error:
            if str(error) in ("", STUB):
                return _not_attempted(exercise)
            verdict = _raised(exercise, answer, inputs, error)
        except (Exception, SystemExit) as error:
            verdict = _raised(exercise, answer, inputs, error)
        else:
            verdict = exercise.verdict(inputs, output)
        if not verdict.ok:
            return Result(WRONG, _message(exercise, verdict, describe(inputs), again))
    return Result(RIGHT, f"right: {exercise.title}")


def _not_attempted(exercise: Exercise) -> Result:
    return Result(NOT_ATTEMPTED, f"not attempted yet: {exercise.title} (the lab goes on without it)")


def _message(exercise: Exercise, verdict: Verdict, inputs: str = "", again: str = "") -> str:
    """The few lines a student reads; those that say nothing are left out."""
    parts = {"given": verdict.given, "expected": verdict.expected, "hint": verdict.hint, "inputs": inputs}
    lines = [f"  {name + ':':<10}{text}" for name, text in parts.items() if text]
    return "\n".join([f"{exercise.title} is not right yet", *lines, *([f"  ({again})"] if again else [])])


def _takes(answer: Callable[..., Any], inputs: Mapping[str, Any]) -> bool:
    """Whether an answer's arguments have the names of the inputs (or its arguments cannot be known)."""
    try:
        inspect.signature(answer).bind(**inputs)
    except TypeError:
        return False
    except ValueError:  # of some functions written in C
        return True
    return True


def _raised(exercise: Exercise, answer: Callable[..., Any], inputs: Any, error: Exception | SystemExit) -> Verdict:
    """The verdict on an answer that raised: the error and the student's own line."""
    code = getattr(inspect.unwrap(answer), "__code__", None)
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if code is not None and frame.filename == code.co_filename]
    place = ""
    if own:
        source = linecache.getline(own[-1].filename, own[-1].lineno or 0).strip()
        place = f" in line {own[-1].lineno}: {source}"
    text = str(error).strip().splitlines()
    name = type(error).__name__ + (f": {text[0][:200]}" if text else "")
    return Verdict(False, exercise._mistake_raising(inputs, error), given=f"{name}{place}", expected="no error")


# Judging by value


def close(output: Any, expected: Any, *, atol: float = 1e-5, rtol: float = 1e-3, hint: str = "") -> Verdict:
    """Compare by value: right if |output - expected| <= atol + rtol |expected| everywhere.

    Tensors, arrays, numbers and lists of numbers count alike, whatever their dtype; axes of length one may be there or
    not. ``expected`` may be a dict or a tuple of such values (all are compared), text, or None. Only exact plain types
    are read: an object that claims to equal everything equals nothing here.
    """
    if isinstance(expected, dict):
        if type(output) is not dict or set(output) != set(expected):
            return Verdict(False, hint, describe(output), f"a dict with the keys {', '.join(map(str, expected))}")
        return _first_wrong(close(output[k], expected[k], atol=atol, rtol=rtol, hint=hint) for k in expected)
    if isinstance(expected, tuple):
        if type(output) not in (tuple, list) or len(output) != len(expected):
            return Verdict(False, hint, describe(output), f"{len(expected)} values: {describe(expected)}")
        pairs = zip(output, expected, strict=True)
        return _first_wrong(close(one, other, atol=atol, rtol=rtol, hint=hint) for one, other in pairs)
    if expected is None or isinstance(expected, str):
        same = type(output) is type(expected) and output == expected
        return Verdict(True) if same else Verdict(False, hint, describe(output), describe(expected))

    given, wanted = as_tensor(output), as_tensor(expected)
    if wanted is None:
        raise TypeError(f"a check expects tensors, numbers, text, dicts or tuples, got {type(expected).__name__}")
    if given is None:
        missing = "the function returned None: is its `return` missing?" if output is None else hint
        return Verdict(False, missing, describe(output), describe(expected))
    if given.squeeze().shape != wanted.squeeze().shape:
        return Verdict(False, hint, f"shape {tuple(given.shape)}", f"shape {tuple(wanted.shape)}")
    given = given.reshape(wanted.shape)
    wrong = ~torch.isclose(given, wanted, rtol=rtol, atol=atol, equal_nan=True)
    if not bool(wrong.any()):
        return Verdict(True)
    if wanted.numel() <= 8:
        return Verdict(False, hint, describe(given), describe(wanted))
    worst = int(torch.where(wrong, (given - wanted).abs().nan_to_num(nan=torch.inf), -1).argmax())
    place = [int(index) for index in np.unravel_index(worst, wanted.shape)]
    return Verdict(
        False,
        hint,
        f"{_number(given.flatten()[worst])} at {place} ({int(wrong.sum())} of {wrong.numel()} values differ)",
        f"{_number(wanted.flatten()[worst])} at {place}",
    )


def _first_wrong(verdicts: Iterator[Verdict]) -> Verdict:
    return next((verdict for verdict in verdicts if not verdict.ok), Verdict(True))


def as_tensor(value: Any) -> torch.Tensor | None:
    """Return a plain value as a float64 tensor on the CPU, or None if it is not made of real numbers."""
    if type(value) in (list, tuple) and any(type(item) in (torch.Tensor, torch.nn.Parameter) for item in value):
        parts = [as_tensor(item) for item in value]
        shapes = {None if part is None else part.shape for part in parts}
        return (
            torch.stack([part for part in parts if part is not None])
            if len(shapes) == 1 and None not in shapes
            else None
        )
    if type(value) in (torch.Tensor, torch.nn.Parameter):
        plain = value.layout == torch.strided and not (value.is_complex() or value.is_meta or value.is_quantized)
        return value.detach().to("cpu", torch.float64) if plain else None
    if type(value) in (bool, int, float, list, tuple, np.ndarray) or isinstance(value, np.generic):
        try:
            array = np.asarray(value)
        except (ValueError, RuntimeError):  # a ragged list
            return None
        return torch.from_numpy(array.astype(np.float64)) if array.dtype.kind in "biuf" else None
    return None


def describe(value: Any) -> str:
    """A short text for a value: numbers rounded to four digits, large tensors by dtype, shape and range."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} = {describe(item)}" for name, item in value.items())
    if isinstance(value, str) or value is None:
        return repr(value)[:80]
    if type(value) in (list, tuple) and any(not isinstance(item, (bool, int, float)) for item in value):
        return "(" + ", ".join(describe(item) for item in value[:6]) + (", ...)" if len(value) > 6 else ")")
    tensor = as_tensor(value)
    if tensor is None:
        return f"an object of type {type(value).__name__}"
    if tensor.ndim == 0:
        return _number(tensor)
    if tensor.numel() <= 8:
        return _nested(tensor)
    dtype = str(value.dtype).removeprefix("torch.") if hasattr(value, "dtype") else type(value).__name__
    return f"{dtype} of shape {tuple(tensor.shape)}, values {_number(tensor.min())} to {_number(tensor.max())}"


def _number(value: Any) -> str:
    return f"{float(value):.4g}"


def _nested(tensor: torch.Tensor) -> str:
    if tensor.ndim == 0:
        return _number(tensor)
    return "[" + ", ".join(_nested(part) for part in tensor) + "]"


def uniform(rng: torch.Generator, low: float, high: float, shape: Sequence[int] = ()) -> Any:
    """Return uniform random numbers in low..high: a float if no shape is given, else a float32 tensor."""
    values = low + (high - low) * torch.rand(tuple(shape), generator=rng)
    return values if shape else float(values)


def copy_values(value: Any) -> Any:
    """Return a deep copy of the tensors, arrays and containers in ``value``."""
    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, dict):
        return {name: copy_values(item) for name, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(copy_values(item) for item in value)
    return value


# Switching off what is asked for


@contextmanager
def switched_off(names: Sequence[str]) -> Iterator[None]:
    """While this runs, calling one of the named labkit functions raises `SwitchedOff`, however it was imported.

    The function objects stay what they are and only their code is swapped, so ``from labkit.color import
    luma`` is caught as well as ``labkit.color.luma``, and so is every labkit function that calls them. This
    guides honest students; it is no defence (nothing inside the student's own process can be).

    Raises:
        LabkitError: if a name is no plain Python function.
    """
    functions = [(name, _function(name)) for name in names]
    saved = [(function, function.__code__) for _, function in functions]
    try:
        for name, function in functions:
            function.__code__ = _raising_code(name)
        yield
    finally:
        for function, code in reversed(saved):
            function.__code__ = code


def _function(name: str) -> FunctionType:
    """The plain function behind a dotted name, without its decorators."""
    module_name, _, attribute = name.rpartition(".")
    try:
        found = inspect.unwrap(getattr(importlib.import_module(module_name), attribute))
    except (ImportError, AttributeError):
        raise LabkitError(f"asks_for names {name!r}, which does not exist") from None
    if not isinstance(found, FunctionType) or found.__code__.co_freevars:
        raise LabkitError(f"asks_for names {name!r}, which is no plain function and cannot be switched off")
    return found


def _raising_code(name: str) -> CodeType:
    """Code that raises, without free variables and globals (it runs with those of another function)."""

    def raising(*arguments: Any, **named: Any) -> None:
        from labkit.checks import SwitchedOff

        raise SwitchedOff("write it yourself: NAME is switched off while the check runs")

    code = raising.__code__
    constants = tuple(c.replace("NAME", name) if isinstance(c, str) else c for c in code.co_consts)
    return code.replace(co_consts=constants, co_name=name.rpartition(".")[2])


# The registry


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
    for path in filter(None, os.environ.get("LABKIT_CHECKS", "").split(os.pathsep)):
        yield from _load_file(path).EXERCISES
    for module in sorted(pkgutil.iter_modules(__path__), key=lambda module: module.name):
        yield from importlib.import_module(f"{__name__}.{module.name}").EXERCISES


@lru_cache
def _load_file(path: str) -> ModuleType:
    """The module in an instructor's own file of exercises."""
    name = "labkit_checks_" + "".join(c if c.isalnum() else "_" for c in os.path.basename(path))
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not os.path.isfile(path):
        raise LabkitError(f"LABKIT_CHECKS names {path}, which is no Python file with exercises")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
