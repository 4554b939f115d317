"""One submission graded: a skeleton notebook, run through nbval, judged outside its kernel.

The skeleton is made from the instructor's template; of the submission it has only the sources of the solution cells.
pytest and nbval run it as they would run any notebook, with this file's `Grader` as a plugin. Where a check cell
stands, the plugin draws fresh inputs here, has the kernel call the student's function on them, reads the output by
value, and judges it here. The kernel never holds a check, a reference or an expected value.

`grade_one` runs in a process of its own, forked from one that has imported all this (see `labkit.grading.grade`).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import tempfile
import time
from collections import deque
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty
from typing import Any, Literal

import nbval.plugin
import pytest
import torch
from pydantic import BaseModel, ConfigDict

from labkit.checks import NOT_ATTEMPTED, RIGHT, WRONG, Exercise, Result, draw, find_exercise, judge_calls
from labkit.grading.sandbox.kernels import register_provisioner
from labkit.grading.submission import Answer, Submission, Task, Template, Unreadable, choose, match
from labkit.notebook.answer import RAISED, VALUE_MIME, Outcome, clean_text, decode, encode, read_response, request

PARTLY, MISSING, GRADER_ERROR = "partly right", "missing", "grader-error"
POLL = 0.2  # seconds between two looks at whether the kernel lives
STARVED = 0.5  # share of its time: a cell that computed for less of it may have waited for others to
LARGEST_OUTPUT = 8 << 20  # characters of output that are read
LONGEST_MESSAGE = 4000  # characters
# pytest's plugins that grading does not use; without them (one collects garbage, many times) it takes half the time.
UNUSED = ["cacheprovider", "unraisableexception", "threadexception", "faulthandler", "doctest", "pastebin", "junitxml"]
UNUSED += ["logging", "stepwise", "setuponly", "setupplan", "unittest", "recwarn"]
Status = Literal[
    "graded", "missing", "invalid", "wrong-lab", "timeout", "kernel-died", "memory", "output-limit", "grader-error"
]

register_provisioner()  # once, before any fork


class ExerciseGrade(BaseModel):
    """One exercise of one student.

    ``status`` is right, partly right, wrong, not attempted, missing, or why it could not be graded (timeout,
    kernel-died, memory, output-limit, grader-error). ``hidden``: titles of hidden checks, and whether they passed.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    title: str
    status: str
    points: int
    max_points: int
    message: str = ""
    note: str = ""
    parts: dict[str, bool] = {}
    hidden: dict[str, bool] = {}
    source: str = ""


class Graded(BaseModel):
    """One student's submission, graded or not; no time and no order is in it, so the same submission gives the same."""

    model_config = ConfigDict(frozen=True)

    student: str
    status: Status
    reason: str = ""
    sha256: str = ""
    file: str = ""
    exercises: list[ExerciseGrade] = []
    starved: bool = False  # out of time, which others may have taken; in no file

    @property
    def score(self) -> int | None:
        """Points earned; None where nothing could be graded, which is not zero."""
        if all(exercise.status == GRADER_ERROR for exercise in self.exercises):
            return None
        return sum(exercise.points for exercise in self.exercises)


@dataclass(frozen=True)
class Job:
    """A submission to grade, with all that it takes."""

    submission: Submission
    template: Template
    inputs: Mapping[str, Sequence[str]]  # of each check, as JSON: the same for every student
    timeout: float  # seconds that one cell, or one check, may take
    kernel: str  # name of the kernelspec
    environment: Mapping[str, str]  # in which that name is known
    checks: str = ""  # files of more exercises (LABKIT_CHECKS)


class Ended(Exception):
    """The kernel ended, or had to be ended."""

    def __init__(self, status: str, reason: str, starved: bool = False):
        super().__init__(reason)
        self.status, self.reason, self.starved = status, reason, starved


def grade_one(job: Job) -> Graded:
    """Grade one submission. Whatever it holds, this returns (or its process is ended from outside)."""
    student = job.submission.student
    os.environ.update(job.environment, LABKIT_CHECKS=job.checks, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")
    for variable in ("PYTEST_ADDOPTS", "PYTEST_PLUGINS"):
        os.environ.pop(variable, None)
    torch.set_num_threads(1)
    try:
        notebook, data, note = choose(job.submission, job.template)
    except Unreadable as problem:
        return Graded(student=student, status=problem.status, reason=problem.reason)  # type: ignore[arg-type]
    answers = match(notebook, job.template)
    exercises, starved = _run(job, answers)
    status, reasons = _overall(exercises)
    reasons += [f"{e.id}: {e.note}" for e in exercises if e.note] + ([note] if note else [])
    return Graded(
        student=student,
        status=status,
        reason="; ".join(reasons),
        sha256=hashlib.sha256(data).hexdigest(),
        file=notebook.name,
        exercises=exercises,
        starved=starved,
    )


def _overall(exercises: list[ExerciseGrade]) -> tuple[Status, list[str]]:
    """The status of a submission is that of the first exercise that could not be graded; the others count."""
    known = ("timeout", "kernel-died", "memory", "output-limit", GRADER_ERROR)
    bad = [exercise for exercise in exercises if exercise.status in known]
    status: Any = bad[0].status if bad else "graded"
    return status, [f"{exercise.id}: {exercise.message}" for exercise in bad]


def _run(job: Job, answers: Mapping[str, Answer]) -> tuple[list[ExerciseGrade], bool]:
    """Run the skeleton; when an answer ends the kernel, again without it, so that it costs no other.

    Returns each exercise's grade, and whether one of them was starved.
    """
    blanked: dict[str, Ended] = {}
    while True:
        grader = Grader(job, answers, blanked)
        with tempfile.TemporaryDirectory(prefix="labkit-grade-") as folder:
            _pytest(grader, Path(folder), job)
        fault = grader.fault
        if grader.ended is not None and (grader.at in blanked or not grader.at):
            fault = fault or f"the lab's own set-up cell ended: {grader.ended.reason}"
        if fault:
            return [_not_gradable(task, answers, fault) for task in job.template.tasks], False
        if grader.ended is None:
            exercises = [
                _not_gradable(task, answers, grader.faults[task.key])
                if task.key in grader.faults
                else _grade(task, answers[task.key], grader, blanked.get(task.key))
                for task in job.template.tasks
            ]
            return exercises, any(ended.starved for ended in blanked.values())
        blanked[grader.at] = grader.ended


def _pytest(grader: Grader, folder: Path, job: Job) -> None:
    """Run nbval on the skeleton, in a folder that holds nothing else, with no configuration but this."""
    (folder / "skeleton.ipynb").write_text(json.dumps(grader.skeleton()), encoding="utf-8")
    before = Path.cwd()
    arguments = ["skeleton.ipynb", "--nbval-lax", f"--nbval-kernel-name={job.kernel}", "--noconftest", "-c", os.devnull]
    arguments += ["--rootdir=.", "-q", "--color=no", "--tb=no", "--capture=no"]
    arguments += [f"-pno:{plugin}" for plugin in UNUSED]
    arguments += [f"--nbval-cell-timeout={job.timeout}"]
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        os.chdir(folder)
        try:
            status = pytest.main(arguments, plugins=[nbval.plugin, grader])
        except Exception as error:
            grader.fault = grader.fault or f"{type(error).__name__}: {error}"
        else:
            if status not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
                grader.fault = grader.fault or f"pytest ended with {status!r}"
        finally:
            os.chdir(before)
    if grader.ended is None and not grader.fault and grader.seen != len(grader.cells):
        grader.fault = f"only {grader.seen} of {len(grader.cells)} cells were run"


def _not_gradable(task: Task, answers: Mapping[str, Answer], fault: str) -> ExerciseGrade:
    message = clean_text(f"the grader failed, which is not the student's fault: {fault}"[:LONGEST_MESSAGE])
    return ExerciseGrade(
        id=task.key, title=task.title, status=GRADER_ERROR, points=0, max_points=task.points, message=message,
        source=(answers[task.key].source or "")[:20_000],
    )  # fmt: skip


def _grade(task: Task, answer: Answer, grader: Grader, ended: Ended | None) -> ExerciseGrade:
    points, parts, hidden = 0, {}, {}
    if answer.source is None:
        status, message, note = MISSING, answer.note, ""
    elif ended is not None:
        status, message, note = ended.status, ended.reason, answer.note
    else:
        status, message, note = RIGHT, "", answer.note
        results = grader.results[task.key]
        for call, result in zip(task.checks, results, strict=True):
            points += result.points
            if call.hidden:
                hidden[find_exercise(call.id).title] = result.status == RIGHT
            else:
                parts.update(result.parts)
            if result.status != RIGHT and status in (RIGHT, WRONG, NOT_ATTEMPTED):
                status = result.status if status == RIGHT else status
                message = message or ("" if call.hidden else result.message)
        if status == WRONG and points:
            status = PARTLY
    return ExerciseGrade(
        id=task.key, title=task.title, status=status, points=points, max_points=task.points, note=note,
        message=clean_text(message[:LONGEST_MESSAGE]), parts=parts, hidden=hidden,
        source=(answer.source or "")[:20_000],
    )  # fmt: skip


@dataclass(eq=False)  # hashable, as pytest 8 wants its plugins
class Grader:
    """The plugin: lets nbval run the skeleton's cells, ends what does not end, and judges where a check stands.

    ``blanked`` are the exercises whose cells are left out, since they ended an earlier kernel.
    """

    job: Job
    answers: Mapping[str, Answer]
    blanked: Mapping[str, Ended]
    results: dict[str, list[Result]] = field(default_factory=dict)  # of each task's checks
    errors: dict[str, str] = field(default_factory=dict)  # what an exercise's cell raised
    ended: Ended | None = None  # why the kernel ended, and
    at: str = ""  # at which exercise
    fault: str = ""  # of the grader's own; those in faults cost only their task
    faults: dict[str, str] = field(default_factory=dict)
    seen: int = 0
    cells: list[tuple[str, str, str]] = field(default_factory=list)  # kind, key, source

    def __post_init__(self) -> None:
        self.tasks = {task.key: task for task in self.job.template.tasks}
        self.cells = [("setup", "", self.job.template.setup)]
        for task in self.job.template.tasks:
            source = self.answers[task.key].source or ""
            self.cells.append(("exercise", task.key, "" if task.key in self.blanked else source))
            self.cells.append(("check", task.key, f"# {task.key} is checked outside of this kernel"))

    def skeleton(self) -> dict[str, Any]:
        """The notebook that is run. pytest numbers its cells as `cells` does."""
        code: dict[str, Any] = {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": []}
        cells = [{**code, "id": f"cell-{n}", "source": source or "pass"} for n, (_, _, source) in enumerate(self.cells)]
        return {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_setup(self, item: Any) -> Generator[None, Any, Any]:
        """Where a kernel does not start, nothing was wrong with the submission."""
        if self.ended is not None or self.fault:
            pytest.skip("the kernel has ended")
        try:
            return (yield)
        except Exception as error:
            self.fault = f"no kernel could be started ({type(error).__name__}: {error})"
            raise

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: Any) -> Generator[None, Any, Any]:
        """Run a cell as nbval does, but within limits; then, if it is a check's, judge the answer."""
        kind, key, _ = self.cells[item.cell_num]
        self.seen += 1
        item.options.update(skip=False, check=False, check_exception=False)  # comments in an answer change nothing
        kernel = Watched(item.parent.kernel, self.job.timeout)
        result = None
        try:
            with contextlib.suppress(nbval.plugin.NbCellError):
                result = yield
            kernel.check()
            if kind == "check":
                self.results[key] = self._judge(kernel, key)
            elif kernel.error:
                self.errors[key] = kernel.error
                if kind == "setup":
                    self.fault = f"the lab's set-up cell raised {kernel.error}"
        except Ended as ended:
            self.ended, self.at = ended, key
            kernel.end()
        except Exception as error:  # of the grader's own, or of a kernel that speaks no Jupyter
            if kernel.alive() and kind == "check":
                self.faults[key] = f"{type(error).__name__}: {error}"
            elif kernel.alive():
                self.fault = f"{type(error).__name__}: {error}"
            else:
                self.ended, self.at = kernel.fate(), key
                kernel.end()
        finally:
            kernel.release()
        return result

    def _judge(self, kernel: Watched, key: str) -> list[Result]:
        """The results of a task's checks; an answer that is not there fails them all."""
        results = []
        for call in self.tasks[key].checks:
            exercise = find_exercise(call.id)
            drawn = (decode(json.loads(text)) for text in self.job.inputs[call.id])
            if key in self.blanked or self.answers[key].source is None:
                results.append(Result(WRONG, ""))
                continue

            def run(inputs: Any, exercise: Exercise = exercise, expression: str = call.answer) -> Outcome:
                return self._ask(kernel, key, exercise, expression, inputs)

            results.append(judge_calls(exercise, run, drawn))
        return results

    def _ask(self, kernel: Watched, key: str, exercise: Exercise, expression: str, inputs: Any) -> Outcome:
        """Have the kernel call the answer on ``inputs``."""
        text = request(inputs, exercise.call, exercise.asks_for)
        said = kernel.evaluate(
            f"__import__('labkit.notebook.answer', fromlist=['respond']).respond({expression}, {text!r})"
        )
        if said.get("status") == "error":  # most often the function is not there, since its cell failed
            error = self.errors.get(key) or f"{said.get('ename')}: {said.get('evalue')}"
            name, _, words = str(error).partition(": ")
            return Outcome(RAISED, error=name[:100], text=words[:2000])
        data = said.get("data")
        try:
            return read_response(data.get(VALUE_MIME) if isinstance(data, dict) else None)
        except ValueError as error:
            return Outcome(RAISED, error="the answer could not be read", text=str(error))


def draw_inputs(template: Template, seed: int) -> dict[str, list[str]]:
    """Inputs for every check of a lab as JSON, by the exercise's id.

    Each exercise has a seed of its own: the same for every student, and not to be guessed from another's.

    Raises:
        LabkitError: if an exercise has inputs that cannot be sent to a kernel, or a ``call`` that cannot.
    """
    found = {}
    for call in (call for task in template.tasks for call in task.checks):
        exercise = find_exercise(call.id)
        own = int.from_bytes(hashlib.sha256(f"{seed} {template.lab} {call.id}".encode()).digest()[:7], "big")
        drawn = list(draw(exercise, own))
        request(drawn[0], exercise.call, exercise.asks_for)
        found[call.id] = [json.dumps(encode(inputs, strict=True)) for inputs in drawn]
    return found


class Watched:
    """nbval's kernel for the time of one cell: looks whether it lives, counts what it says, and keeps time.

    nbval itself waits for a dead kernel until the time is over, and for a cell that cannot be interrupted for ever.
    """

    def __init__(self, kernel: Any, timeout: float):
        self.kernel, self.timeout = kernel, timeout
        self.provisioner: Any = getattr(getattr(kernel, "km", None), "provisioner", None)
        self.begin()
        self.said = 0
        self.published: deque[Any] = deque()
        self.error = ""
        self._get = type(kernel).get_message.__get__(kernel)
        kernel.get_message = self.get_message

    def begin(self) -> None:
        """Let the time run from now."""
        self.deadline = time.monotonic() + self.timeout
        self.computed = self._processor_time()

    def _processor_time(self) -> float:
        """Seconds that the kernel has computed; of an ordinary one that is not known, and it seems to have waited."""
        return float(self.provisioner.processor_time()) if hasattr(self.provisioner, "processor_time") else 0.0

    def release(self) -> None:
        """Give nbval its own method back."""
        del self.kernel.get_message

    def get_message(self, stream: str, timeout: float | None = None) -> Any:
        """The next message, as nbval's own method; but raises `Ended` when there will be none."""
        wait_until = min(self.deadline, time.monotonic() + (timeout if timeout is not None else self.timeout))
        while True:
            if time.monotonic() > self.deadline:  # first: a flood must not put it off
                starved = self._processor_time() - self.computed < STARVED * self.timeout
                raise Ended("timeout", f"it took more than {self.timeout:g} s, and was ended", starved)
            if stream == "iopub" and self.published:
                return self.published.popleft()
            message = self._receive(stream, POLL if stream == "iopub" else POLL / 10)
            if message is not None:
                if message["msg_type"] == "execute_reply":
                    self._note(message["content"])
                return message
            self._drain()  # a flood on one channel must not hide an end on the other
            if not self.alive():
                while (message := self._receive(stream, 0.05)) is not None:
                    if message["msg_type"] == "execute_reply":
                        return message
                raise self.fate()
            if self.deadline > time.monotonic() > wait_until:
                raise Empty

    def _receive(self, stream: str, timeout: float) -> Any:
        try:
            message = self._get(stream, timeout=timeout)
        except Empty:
            return None
        self._count(message)
        return message

    def _drain(self) -> None:
        while len(self.published) < 10_000 and (message := self._receive("iopub", 0)) is not None:
            self.published.append(message)

    def _count(self, message: Any) -> None:
        self.said += len(str(message["content"]))
        if self.said > LARGEST_OUTPUT:
            raise Ended("output-limit", "it printed or displayed too much, and was ended")

    def _note(self, content: Any) -> None:
        """Keep what a cell raised, in one line."""
        if any(isinstance(load, dict) and load.get("source") == "ask_exit" for load in content.get("payload") or []):
            raise Ended("kernel-died", "it asked Python to end, as exit() and quit() do")  # which it will in a moment
        if content.get("status") == "error":
            text = re.sub(r"\x1b\[[0-9;]*m", "", f"{content.get('ename')}: {content.get('evalue')}").strip()
            self.error = (text.splitlines() or [""])[0][:300]

    def evaluate(self, expression: str) -> dict[str, Any]:
        """What the kernel answers to one user expression, within the time of a cell."""
        self.begin()
        sent = self.kernel.kc.execute(
            "",
            silent=True,
            store_history=False,
            user_expressions={"it": expression},
            allow_stdin=False,
            stop_on_error=False,
        )
        while True:
            message = self.get_message("shell")
            if message["parent_header"].get("msg_id") == sent and message["msg_type"] == "execute_reply":
                said = (message["content"].get("user_expressions") or {}).get("it")
                return said if isinstance(said, dict) else {}

    def check(self) -> None:
        """Raise `Ended` if the kernel is gone although its cell seemed to end."""
        if not self.alive():
            raise self.fate()

    def alive(self) -> bool:
        return bool(self.kernel.is_alive())

    def fate(self) -> Ended:
        """Why a kernel has ended, in words."""
        reason = str(self.provisioner.reason()) if hasattr(self.provisioner, "reason") else "it exited"
        if reason == "memory":
            return Ended("memory", "it used more memory than is allowed, and was ended")
        if reason == "timeout":
            return Ended("timeout", "it took too long, and was ended", starved=True)
        if reason == "output-limit":
            return Ended("output-limit", "it printed or displayed too much, and was ended")
        if reason == "processes":
            return Ended("kernel-died", "it started more processes or threads than are allowed, and was ended")
        return Ended("kernel-died", f"it ended Python itself ({reason or 'it exited'}), as sys.exit or a crash does")

    def end(self) -> None:
        """End the kernel."""
        with contextlib.suppress(Exception):
            self.kernel.stop()
