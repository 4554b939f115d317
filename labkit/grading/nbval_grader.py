"""One submission graded: a skeleton notebook, run through nbval, judged outside its kernel.

The skeleton is made from the instructor's template; of the submission it has only the cells that
`labkit.grading.plan` names. pytest and nbval run it as they would run any notebook, with this file's `Grader` as a
plugin. Where an exercise is to be judged, the plugin has the kernel call the student's function on inputs drawn here,
reads the output by value, and judges it in a process with limits of its own (`labkit.grading.bounded`). The kernel
never holds a check, a reference or an expected value.

Hidden checks run in a second kernel, of which nothing but right or not is told: what an answer does with their inputs
can reach no message.

`grade_one` runs in a process of its own, forked from one that has imported all this (see `labkit.grading.grade`).
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import nbformat.validator
import nbval.kernel
import nbval.plugin
import pytest
import torch

from labkit.checks import (
    NOT_ATTEMPTED,
    RIGHT,
    WRONG,
    Exercise,
    Judged,
    Result,
    Verdict,
    conclude,
    exercise_seed,
    find_exercise,
    functions_off,
    packaged_exercises,
)
from labkit.course.source import CheckCall
from labkit.grading.bounded import Bounded, Exceeded, Failed
from labkit.grading.handed_in import Submission
from labkit.grading.inputs import decode_inputs, draw_inputs, tell_inputs
from labkit.grading.plan import CARRIED, CHECK, EXERCISE, SETUP, Plan, Step, make_plan, why_undefined
from labkit.grading.reader import handlers, judged, read_notebook
from labkit.grading.results import GRADER_ERROR, MISSING, OVERALL, PARTLY, ExerciseGrade, Graded, Status
from labkit.grading.sandbox.kernels import register_provisioner
from labkit.grading.template import Task, Template
from labkit.grading.usage import beyond
from labkit.grading.watch import BROKEN, STARVED, Ended, Watched
from labkit.notebook.answer import RAISED, VALUE_MIME, Outcome, call_source, clean_text, request

LONGEST_MESSAGE = 4000  # characters
LONGEST_SOURCE = 20_000
FOREIGN = re.compile(r"\s*%%(?!time|capture|timeit|prun)")  # a cell that is no Python, by its magic
MOST_LINES = 40  # cells that a page tells about
# pytest's plugins that grading does not use; without them (one collects garbage, many times) it takes half the time.
UNUSED = ["cacheprovider", "unraisableexception", "threadexception", "faulthandler", "doctest", "pastebin", "junitxml"]
UNUSED += ["logging", "stepwise", "setuponly", "setupplan", "unittest", "recwarn"]

# Once, before any fork; the last two were a quarter of the processor time of a grading process, its kernel apart.
register_provisioner()
for found in packaged_exercises():  # an instructor's own may change before the next class
    if found.call is not None:
        call_source(found.call)
nbformat.validator.get_validator(4, 5)  # compiled from its schema, which each process would do again
nbval.kernel.pformat = lambda message: ""  # nbval formats each message for a debug log, whether there is one or not


@dataclass(frozen=True)
class Job:
    """A submission to grade, with all that it takes.

    Attributes:
        submission: what was handed in.
        template: the lab.
        code: of which the inputs of public checks follow; the student gets to know it.
        hidden_code: the same for hidden checks; nobody gets to know it.
        timeout: seconds that one cell, or one call of an answer, may take.
        limit: seconds that all of it may take.
        kernel: name of the kernelspec.
        environment: in which that name is known.
        checks: files of more exercises (LABKIT_CHECKS).
        attempts: which of several notebooks counts: "one" (there must be one), "last" of the files, or "best".
    """

    submission: Submission
    template: Template
    code: str
    hidden_code: str
    timeout: float
    limit: float
    kernel: str
    environment: Mapping[str, str]
    checks: str = ""
    attempts: str = "one"


def grade_one(job: Job) -> Graded:
    """Grade one submission. Whatever it holds, this returns (or its process is ended from outside)."""
    os.environ.update(job.environment, LABKIT_CHECKS=job.checks, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")
    for variable in ("PYTEST_ADDOPTS", "PYTEST_PLUGINS"):
        os.environ.pop(variable, None)
    torch.set_num_threads(1)
    inputs = draw_inputs(job.template, job.code, job.hidden_code)
    files = job.submission.files
    until = time.monotonic() + job.limit
    with Bounded(handlers(job.template, inputs)) as reader:
        if job.attempts != "best" or len(files) < 2:
            return _grade(job, inputs, reader, until)
        alone = (replace(job, submission=replace(job.submission, files=(file,))) for file in files)
        each = [_grade(one, inputs, reader, until) for one in alone]
    best = max(each, key=lambda graded: -1 if graded.score is None else graded.score)
    tried = "; ".join(f"{one.file or file.name}: {one.score} points" for one, file in zip(each, files, strict=True))
    return best.model_copy(update={"reason": "; ".join(filter(None, [best.reason, f"the best of {tried}"]))})


def _grade(job: Job, inputs: Mapping[str, Sequence[str]], reader: Bounded, until: float) -> Graded:
    student = job.submission.student
    try:
        said = reader.ask(
            "read", [str(file) for file in job.submission.files], job.submission.other, job.attempts == "last"
        )
    except Exceeded as problem:
        return Graded(student=student, status="invalid", reason=f"reading what was handed in {problem}")
    except Failed as problem:
        return Graded(student=student, status="invalid", reason=f"what was handed in cannot be read ({problem})")
    if "status" in said:
        return Graded(student=student, status=said["status"], reason=said["reason"])
    plan = make_plan(read_notebook(said), job.template, lambda source: _plain(reader, source))
    runs = Runs(job, plan, inputs, reader, until)
    exercises = runs.exercises()
    status, reasons = _overall(exercises)
    reasons += [f"{e.id}: {e.note}" for e in exercises if e.note] + ([said["note"]] if said["note"] else [])
    return Graded(
        student=student,
        status=status,
        reason="; ".join(reasons),
        sha256=said["sha256"],
        file=said["name"],
        code=job.code,
        carried=runs.carried()[:MOST_LINES],
        exercises=exercises,
        starved=any(ended.starved for ended in runs.blanked.values()),
    )


def _plain(reader: Bounded, source: str) -> bool:
    """Return whether a cell may be carried along; one that the parser cannot take may not."""
    try:
        return bool(reader.ask("plain", source))
    except (Exceeded, Failed):
        return False


def _overall(exercises: list[ExerciseGrade]) -> tuple[Status, list[str]]:
    """Return the status of the first exercise that could not be graded, with reasons; the others count."""
    known = ("timeout", OVERALL, "kernel-died", "memory", "output-limit", GRADER_ERROR)
    bad = [exercise for exercise in exercises if exercise.status in known]
    status: Any = bad[0].status if bad else "graded"
    return status, [f"{exercise.id}: {exercise.message}" for exercise in bad]


# ---------------------------------------------------------------------------------------------------------------------
# All kernels of one submission


@dataclass
class Runs:
    """The runs that one submission takes: one for the public checks, one for the hidden ones, more when a kernel ends.

    A cell that ends a kernel is left out (``blanked``) and the rest runs again, so that it costs no other exercise.
    When the time for the whole submission is over (``until``, as `time.monotonic` counts), what was judged stays.
    """

    job: Job
    plan: Plan
    inputs: Mapping[str, Sequence[str]]
    reader: Bounded
    until: float
    blanked: dict[str, Ended] = field(default_factory=dict)  # by exercise, or by the name of a carried cell
    results: dict[str, dict[str, Result]] = field(default_factory=dict)  # by exercise, then by check
    errors: dict[int, str] = field(default_factory=dict)  # by the cell's number
    uses: dict[str, set[str]] = field(default_factory=dict)
    hidden_ends: dict[str, Ended] = field(default_factory=dict)
    computed: float = 0.0  # seconds, of the kernels that had to be ended

    def exercises(self) -> list[ExerciseGrade]:
        """Run everything; return each exercise's grade."""
        tasks = self.job.template.tasks
        fault = self._run(hidden=False, blanked=self.blanked)
        if not fault and any(call.hidden for task in tasks for call in task.checks):
            self.hidden_ends = dict(self.blanked)
            fault = self._run(hidden=True, blanked=self.hidden_ends)
        return [self._not_gradable(task, fault) if fault else self._grade(task) for task in tasks]

    def carried(self) -> list[str]:
        """Return a line for each of the student's own cells that was carried along."""
        own = {" ".join(text.split()) for text in self.job.template.own}
        lines = []
        for step in self.plan.carried:
            if " ".join(step.source.split()) in own:
                continue
            ended = self.blanked.get(step.name)
            error = f"left out, for {ended.reason}" if ended else self.errors.get(step.number, "")
            lines.append(clean_text(f"{step.name}{': ' if error else ''}{error}")[:200])
        return lines

    def _run(self, hidden: bool, blanked: dict[str, Ended]) -> str:
        """Run until every check has its results; return the grader's own fault, if there is one."""
        while True:
            grader = Grader(self, hidden, blanked)
            before = sum(map(len, self.results.values()))
            with tempfile.TemporaryDirectory(prefix="labkit-grade-") as folder:
                _pytest(grader, Path(folder), self.job)
            if grader.fault or grader.ended is None:
                return grader.fault
            if grader.ended.overall:
                self._leave_the_rest(hidden, blanked)
                return ""
            if not grader.at:
                return f"the lab's own set-up cell ended: {grader.ended.reason}"
            if grader.ended.life and sum(map(len, self.results.values())) > before:
                continue  # it was the kernel's own limit: what was found stays, and the rest gets a fresh one
            blanked[grader.at] = grader.ended

    def _leave_the_rest(self, hidden: bool, blanked: dict[str, Ended]) -> None:
        """Let every exercise without its results share the fate of the whole."""
        reason = f"all exercises together took more than {self.job.limit:g} s; this one was not judged by then"
        rest = Ended(OVERALL, reason, starved=self.computed < STARVED * self.job.limit)
        for task in self.job.template.tasks:
            wanted = {call.id for call in task.checks if call.hidden == hidden}
            if wanted - set(self.results.get(task.key, {})):
                blanked.setdefault(task.key, rest)

    def _not_gradable(self, task: Task, fault: str) -> ExerciseGrade:
        message = clean_text(f"the grader failed, which is not the student's fault: {fault}"[:LONGEST_MESSAGE])
        return ExerciseGrade(
            id=task.key, title=task.title, status=GRADER_ERROR, points=0, max_points=task.points, message=message,
            source=(self.plan.answers[task.key].source or "")[:LONGEST_SOURCE],
        )  # fmt: skip

    def _grade(self, task: Task) -> ExerciseGrade:
        answer = self.plan.answers[task.key]
        source = answer.source
        grade: dict[str, Any] = {"id": task.key, "title": task.title, "max_points": task.points, "points": 0}
        if source is None:
            return ExerciseGrade(**grade, status=MISSING, message=answer.note)
        grade |= {"note": answer.note, "source": source[:LONGEST_SOURCE], "ran": self._ran(task.key)}
        if ended := self.blanked.get(task.key):
            return ExerciseGrade(**grade, **self._compared(task), status=ended.status, message=ended.reason)
        results = self.results.get(task.key, {})
        status, message, parts, hidden = RIGHT, "", {}, {}
        for call in task.checks:
            result = results.get(call.id) or Result(WRONG, "")
            grade["points"] += result.points
            if call.hidden:
                hidden[find_exercise(call.id).title] = result.status == RIGHT
            else:
                parts.update(result.parts)
            if result.status != RIGHT and status in (RIGHT, WRONG, NOT_ATTEMPTED):
                status = result.status if status == RIGHT else status
                message = message or ("" if call.hidden else result.message)
        if status == WRONG and grade["points"]:
            status = PARTLY
        if faults := [r.message for r in results.values() if r.status == GRADER_ERROR]:
            return self._not_gradable(task, faults[0])
        if task.key in self.hidden_ends and hidden:  # not how: an exit status can be chosen, and tell the input
            message += "\nA further check, which is not shown, could not be run to its end"
        if hint := why_undefined(message, self.plan, self.job.template.setup):
            message += f"\n  where:    {hint}"
        compared = self._compared(task) if status != NOT_ATTEMPTED else {}
        message = clean_text(message.strip()[:LONGEST_MESSAGE])
        return ExerciseGrade(**grade, **compared, status=status, message=message, parts=parts, hidden=hidden)

    def _ran(self, key: str) -> list[str]:
        """Return what became of an exercise's cells, if there are several or one raised."""
        steps = [step for step in self.plan.steps if step.kind == EXERCISE and step.key == key]
        if key in self.blanked or (len(steps) < 2 and not any(step.number in self.errors for step in steps)):
            return []
        lines = (f"{step.name}: {self.errors.get(step.number, 'ran to its end')}" for step in steps)
        return [clean_text(line)[:300] for line in lines][:MOST_LINES]

    def _compared(self, task: Task) -> dict[str, Any]:
        """Return an answer's fingerprint, and what it uses beyond what the exercise allows."""
        cells = self.plan.answers[task.key].cells
        source = "\n\n".join(cell.source for cell in cells if not FOREIGN.match(cell.source))
        first = min(cell.number for cell in cells)
        before = "\n".join(s.source for s in self.plan.steps if s.kind == CARRIED and s.number < first)
        try:
            found = self.reader.ask("compare", source[:LONGEST_SOURCE], before[:LONGEST_SOURCE])
        except (Exceeded, Failed):
            found = {"uses": ["(its source could not be looked into)"], "fingerprint": {}}
        allowed = [name for call in task.checks for name in find_exercise(call.id).may_use]
        used = beyond([*found["uses"], *sorted(self.uses.get(task.key, ()))], allowed)
        return {"uses": list(dict.fromkeys(used)), "fingerprint": found["fingerprint"]}


def _pytest(grader: Grader, folder: Path, job: Job) -> None:
    """Run nbval on the skeleton, in a folder that holds nothing else, with no configuration but this."""
    (folder / "skeleton.ipynb").write_text(json.dumps(grader.skeleton()), encoding="utf-8")
    before = Path.cwd()
    arguments = ["skeleton.ipynb", "--nbval-lax", f"--nbval-kernel-name={job.kernel}", "--noconftest", "-c", os.devnull]
    # Without confcutdir pytest looks into every folder above, and at all that lies in the machine's /tmp.
    arguments += ["--rootdir=.", "--confcutdir=.", "-q", "--color=no", "--tb=no", "--capture=no"]
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
    if grader.ended is None and not grader.fault and grader.seen != len(grader.steps):
        grader.fault = f"only {grader.seen} of {len(grader.steps)} cells were run"


# ---------------------------------------------------------------------------------------------------------------------
# One kernel


@dataclass(eq=False)  # hashable, as pytest 8 wants its plugins
class Grader:
    """The plugin: lets nbval run the skeleton's cells, ends what does not end, and judges where a check stands.

    The cells of the exercises in ``blanked`` are left out, since they ended an earlier kernel.
    """

    runs: Runs
    hidden: bool  # whether this run is for the hidden checks
    blanked: Mapping[str, Ended]
    ended: Ended | None = None  # why the kernel ended, and
    at: str = ""  # at which exercise or carried cell
    fault: str = ""  # of the grader's own
    seen: int = 0
    steps: list[Step] = field(default_factory=list)

    def __post_init__(self) -> None:
        """List the cells to run."""
        self.job = self.runs.job
        self.tasks = {task.key: task for task in self.job.template.tasks}
        self.errors: dict[int, str] = {}
        kept = [step for step in self.runs.plan.steps if _id(step) not in self.blanked]
        self.steps = [Step(SETUP, "", self.job.template.setup), *kept]

    def skeleton(self) -> dict[str, Any]:
        """Return the notebook that is run. pytest numbers its cells as ``steps`` does."""
        code: dict[str, Any] = {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": []}
        sources = ("pass" if step.kind == CHECK or not step.source.strip() else step.source for step in self.steps)
        cells = [{**code, "id": f"cell-{number}", "source": source} for number, source in enumerate(sources)]
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
        step = self.steps[item.cell_num]
        self.seen += 1
        item.options.update(skip=False, check=False, check_exception=False)  # comments in an answer change nothing
        item.output_timeout = self.job.timeout  # on a busy machine the last message may come late
        kernel = Watched(item.parent.kernel, self.job.timeout, self.runs.until)
        result = None
        try:
            with contextlib.suppress(nbval.plugin.NbCellError):
                result = yield
            kernel.check()
            if step.kind == CHECK:
                self._judge(kernel, step.key)
            elif kernel.error:
                self._note(step, kernel.error)
        except Ended as ended:
            self._end(kernel, step, ended)
        except Exception as error:  # most often of nbval, at a message that it does not understand
            if step.kind == SETUP:
                self.fault = f"{type(error).__name__}: {error}"
            self._end(kernel, step, Ended("kernel-died", BROKEN) if kernel.alive() else kernel.fate())
        finally:
            kernel.release()
        return result

    def _end(self, kernel: Watched, step: Step, ended: Ended) -> None:
        self.ended, self.at = ended, _id(step)
        self.runs.computed += kernel.processor_time()
        kernel.end()

    def _note(self, step: Step, error: str) -> None:
        """Keep what a cell raised; of a run for hidden checks nothing leaves this object."""
        if step.kind == SETUP:
            self.fault = f"the lab's set-up cell raised {error}"
        self.errors[step.number] = error
        if not self.hidden:
            self.runs.errors[step.number] = error

    def _judge(self, kernel: Watched, key: str) -> None:
        """Add the results of a task's checks, those that are there excepted."""
        results = self.runs.results.setdefault(key, {})
        for call in self.tasks[key].checks:
            if call.hidden == self.hidden and call.id not in results:
                results[call.id] = self._result(kernel, self.tasks[key], call)

    def _result(self, kernel: Watched, task: Task, call: CheckCall) -> Result:
        exercise = find_exercise(call.id)
        seed = exercise_seed(self.job.code, call.id)
        again = f'the same inputs in your notebook: check("{call.id}", {call.answer}, seed={seed})'
        try:
            found = self._draws(kernel, task, call, exercise)
            return conclude(exercise, found, "" if call.hidden else again, show_expected=False)
        except Failed as problem:
            return Result(GRADER_ERROR, f"the exercise's own check raised {problem}")

    def _draws(self, kernel: Watched, task: Task, call: CheckCall, exercise: Exercise) -> Iterator[tuple[Judged, str]]:
        """Yield what came of each draw of inputs, and a line that tells them."""
        for number, text in enumerate(self.runs.inputs[call.id]):
            inputs = decode_inputs(text)
            response = self._ask(kernel, task, call, exercise, inputs, number)
            try:
                said = self.runs.reader.ask("judge", call.id, number, response)
                found = judged(said)
                if not self.hidden:
                    self.runs.uses.setdefault(task.key, set()).update(said[2])
            except Exceeded as problem:
                found = _unjudged(exercise, f"what it returned cannot be judged: that {problem}")
            except Failed as problem:
                if not str(problem).startswith("NotRead"):
                    raise
                found = _unjudged(exercise, "what it returned cannot be read: return numbers, tensors, text or lists")
            yield found, tell_inputs(exercise, call.answer, inputs, exercise_seed(self.job.code, call.id), number + 1)

    def _ask(self, kernel: Watched, task: Task, call: CheckCall, exercise: Exercise, inputs: Any, number: int) -> Any:
        """Have the kernel call the answer on ``inputs``; return its response, or an outcome where there is none."""
        text = request(inputs, exercise.call, functions_off(exercise), record=number == 0 and not self.hidden)
        said = kernel.evaluate(
            f"__import__('labkit.notebook.answer', fromlist=['respond']).respond({call.answer}, {text!r})"
        )
        if said.get("status") == "error":  # most often the function is not there, since its cell failed
            error = self._last_error(task.key) or f"{said.get('ename')}: {said.get('evalue')}"
            name, _, words = str(error).partition(": ")
            return asdict(Outcome(RAISED, error=name[:100], text=words[:2000]))
        data = said.get("data")
        response = data.get(VALUE_MIME) if isinstance(data, dict) else None
        return response if isinstance(response, str) else None

    def _last_error(self, key: str) -> str:
        """Return what the last cell of an exercise that raised did raise."""
        numbers = [step.number for step in self.steps if step.kind == EXERCISE and step.key == key]
        return next((self.errors[number] for number in reversed(numbers) if number in self.errors), "")


def _id(step: Step) -> str:
    """Return under which name a step is blanked: its exercise, or its own."""
    return "" if step.kind == SETUP else step.key or step.name


def _unjudged(exercise: Exercise, hint: str) -> Judged:
    return Judged((Verdict(False, hint),) * max(1, len(exercise.parts)))
