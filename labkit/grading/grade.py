"""`labkit grade`: a class graded, each submission by a process of its own, with a ledger to go on from after a stop.

This process reads names and bytes only. What a submission holds is parsed in the process that grades it
(`labkit.grading.nbval_grader`), and run in a kernel in a sandbox (`labkit.grading.sandbox`).
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import multiprocessing.forkserver as forkserver
import os
import pkgutil
import secrets
import shutil
import signal
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from rich.console import Console

import labkit.checks
from labkit import artifacts
from labkit.course.labs import course_root, notebooks_folder
from labkit.errors import LabkitError, check_integer, check_number
from labkit.grading import gradebook
from labkit.grading.nbval_grader import Graded, Job, draw_inputs, grade_one
from labkit.grading.sandbox import Limits, Sandbox, Tier, best_tier, course_places
from labkit.grading.submission import (
    Submission,
    Template,
    Unreadable,
    find_submissions,
    parse_time,
    read_bytes,
    read_template,
)
from labkit.ledger import Entry, Ledger, package_hash
from labkit.printing import say, show_any_character

if TYPE_CHECKING:  # Windows does not have it
    from multiprocessing.context import ForkServerContext

TIMEOUT = 30.0  # seconds that one cell, or one check, of a submission may take
MEMORY = 4 << 30  # bytes that a process which reads and judges a submission may use
SETTINGS = "grading.json"
UNPACKED = "unpacked"  # folder in ``out``


def grade(
    lab: str,
    submissions: str | Path,
    *,
    out: str | Path,
    jobs: int | None = None,
    resume: bool = False,
    deadline: str | None = None,
    unsafe: bool = False,
    seed: int | None = None,
    timeout: float = TIMEOUT,
    root: Path | None = None,
    console: Console | None = None,
    tier: Tier | None = None,
) -> list[Graded]:
    """Grade every submission; write gradebook.csv, feedback/, summary.html, junit.xml and ledger.jsonl to ``out``.

    Args:
        lab: number or name.
        submissions: see `labkit.grading.submission.find_submissions`.
        out: the folder of results; what instructors write into the column "override" of its gradebook is kept.
        jobs: submissions graded at once; two for each core if None.
        resume: take over earlier grades whose submission, lab, checks and settings are unchanged.
        deadline: a time (ISO 8601); later submissions are marked so. It takes no points.
        unsafe: grade even where this machine cannot keep hostile code apart.
        seed: of the inputs; drawn once and kept in ``out`` if None (nobody can know the inputs beforehand).
        timeout: seconds that one cell or check may take.
        root: the course's folder.
        console: where progress is shown.
        tier: of the sandbox; the best that the machine has if None.

    Raises:
        LabkitError: for a wrong argument, a sandbox that is not safe without ``unsafe``, or an ``out`` that another
            process is writing into.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        raise LabkitError("labkit grade needs Linux or macOS (on Windows: the Windows Subsystem for Linux)")
    show_any_character()
    jobs = None if jobs is None else check_integer("jobs", jobs, low=1)
    seed = None if seed is None else check_integer("seed", seed, low=0)
    timeout = check_number("timeout", timeout, above=0)
    console = console or Console()
    template = read_template(lab, root)
    due = parse_time(deadline, "--deadline") if deadline else None
    private = _private_places(Path(submissions), Path(out), root)
    tier = tier or best_tier(private)
    say(console, f"sandbox: {_in_words(tier)}")
    if not tier.safe and not unsafe:
        raise LabkitError(
            f"this machine cannot keep hostile submissions apart ({'; '.join(tier.missing)}): "
            "grade on Linux, in a container or as root, or say --unsafe if you trust the whole class"
        )
    if (Path(out) / UNPACKED).resolve() in (Path(submissions).resolve(), *Path(submissions).resolve().parents):
        raise LabkitError(f"{Path(out) / UNPACKED} is emptied at each grading: move the submissions elsewhere")
    if Path(submissions).resolve() in (Path(out).resolve(), *Path(out).resolve().parents):
        raise LabkitError(f"{out} lies in the folder of submissions, as if it were a student's: choose another --out")
    with artifacts.claim_folder(out) as out:
        overrides = gradebook.read_overrides(out / gradebook.NAME)  # before hours are spent on it
        seed = _settle_seed(out, template, seed)
        with _scratch(out) as scratch:
            found = find_submissions(Path(submissions), scratch)
            results = _grade_all(found, template, seed, timeout, tier, private, jobs, out, resume, console)
        facts = gradebook.Facts(template.lab, template.title, seed, tier.name, due)
        overrides |= gradebook.read_overrides(out / gradebook.NAME)  # what was written meanwhile counts
        gradebook.write(out, found, results, template, facts, overrides)
    say(console, f"gradebook: {out / gradebook.NAME}")
    return results


@contextmanager
def _scratch(out: Path) -> Iterator[Path]:
    """A folder for what is unpacked; what a killed run left there is removed."""
    place = out / UNPACKED
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _in_words(tier: Tier) -> str:
    lacks = f" (missing: {'; '.join(tier.missing)})" if tier.missing else ""
    return f"{tier.name}, {'safe' if tier.safe else 'NOT safe'} for hostile submissions{lacks}"


def _settle_seed(out: Path, template: Template, seed: int | None) -> int:
    """The seed that is given, else that of the earlier grading in the same folder, else a new one; it is kept there."""
    path = out / SETTINGS
    before: dict[str, Any] = {}
    if path.exists():
        try:
            before = json.loads(path.read_text(encoding="utf-8"))
            known, lab = int(before["seed"]), str(before["lab"])
        except (ValueError, KeyError, TypeError):
            raise LabkitError(f"{path} is damaged: remove it, or choose another --out") from None
        if lab != template.lab:
            raise LabkitError(f"{out} holds the grades of {lab}: choose another --out for {template.lab}")
        seed = known if seed is None else seed
    if seed is None:
        seed = secrets.randbelow(2**31)
    artifacts.write_json(path, {"lab": template.lab, "seed": seed})
    return seed


# ---------------------------------------------------------------------------------------------------------------------
# All submissions, some at a time


@dataclass
class Worker:
    """A process that grades one submission."""

    job: Job
    input_hash: str
    process: Any
    receiver: Connection
    started: float

    def said(self) -> Graded | None:
        """What it has found, None if it ended without a word."""
        with suppress(EOFError, OSError, ValidationError):
            return Graded.model_validate_json(self.receiver.recv_bytes())
        return None


def _grade_all(
    found: Sequence[Submission],
    template: Template,
    seed: int,
    timeout: float,
    tier: Tier,
    private: Sequence[Path],
    jobs: int | None,
    out: Path,
    resume: bool,
    console: Console,
) -> list[Graded]:
    """The grade of each submission, in their order; each is in its file and in the ledger as soon as it is known."""
    ledger = Ledger(out / "ledger.jsonl")
    checks = os.environ.get("LABKIT_CHECKS", "")
    common = _hash(asdict(template), package_hash(), _checks_hash(checks), seed, timeout, tier.name)
    hashes = {submission.student: _hash(common, _content(submission)) for submission in found}
    if len(hashes) < len(found):
        raise LabkitError("two submissions have the same student: list the files that count in a CSV")
    done: dict[str, Graded] = {}
    if resume:
        for submission in found:
            if earlier := _earlier(submission, hashes[submission.student], ledger, out):
                done[submission.student] = earlier
    waiting = [submission for submission in found if submission.student not in done]
    with _display(console, len(found), done) as show:
        if waiting:
            inputs = draw_inputs(template, seed)
            limits = Limits(seconds=kernel_life(template, inputs, timeout), output=8 << 20)
            # When an answer ends its kernel, the others run again without it: at most once for each exercise.
            patience = (limits.seconds + 20) * (len(template.tasks) + 1)
            show.say(f"time: {timeout:g} s for a cell or a call, so at most {patience / 60:.0f} min for a submission")
            private = [*private, *_folder_of_all(waiting)]
            context = _context()  # whose first process imports while the kernels' server does
            running: list[Worker] = []
            with Sandbox(tier, limits, private=private) as kernels, _none_left(running):
                queue = [
                    Job(one, template, inputs, timeout, kernels.kernel_name, kernels.environment, checks)
                    for one in waiting
                ]
                most = min(jobs or 2 * _cores(), len(queue))
                slow: list[Job] = []  # whose time was over, but others had taken it: once more, alone
                while queue or running or slow:
                    if not queue and not running:
                        queue, slow, most = slow, [], 1
                    while queue and len(running) < most:
                        job = queue.pop(0)
                        running.append(_start(context, job, hashes[job.submission.student]))
                    show.now([worker.job.submission.student for worker in running])
                    for worker in _ended(running, patience):
                        running.remove(worker)
                        graded = _finish(worker, patience)
                        if most > 1 and graded.starved:
                            slow.append(worker.job)
                            continue
                        _record(graded, worker, ledger, out)
                        done[graded.student] = graded
                        show.done(graded)
    return [done[submission.student] for submission in found]


def kernel_life(template: Template, inputs: Mapping[str, Sequence[str]], timeout: float) -> float:
    """Return the seconds that a kernel may live: as long as every cell and every call takes all of its own time.

    So no exercise is lost since others were slow, each within its limit.
    """
    calls = sum(len(inputs[call.id]) for task in template.tasks for call in task.checks)
    return timeout * (1 + len(template.tasks) + calls) + 30


def _private_places(submissions: Path, out: Path, root: Path | None) -> list[Path]:
    """Return what no submission may read: the course, the class, the results, files with more exercises."""
    courses = {Path(root) if root is not None else Path.cwd()}
    for find in (course_root, lambda root: notebooks_folder(root).parent):
        with suppress(LabkitError):
            courses.add(find(root))
    checks = [Path(path) for path in os.environ.get("LABKIT_CHECKS", "").split(os.pathsep) if path]
    return [*(place for course in sorted(courses) for place in course_places(course)), submissions, out, *checks]


def _folder_of_all(found: Sequence[Submission]) -> list[Path]:
    """Return the folder that holds all files, which a CSV may list from anywhere; not each: names would be told."""
    folders = {str(path.resolve().parent) for submission in found for path in submission.files}
    return [Path(os.path.commonpath(folders))] if folders else []


def _context() -> ForkServerContext:
    """Processes forked from one that has imported what grading takes, and nothing else: importing is what is slow."""
    context = multiprocessing.get_context("forkserver")
    modules = [f"labkit.checks.{module.name}" for module in pkgutil.iter_modules(labkit.checks.__path__)]
    context.set_forkserver_preload(["labkit.grading.nbval_grader", *modules])
    forkserver.ensure_running()
    return context


def _start(context: ForkServerContext, job: Job, input_hash: str) -> Worker:
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(job, sender), daemon=True)
    process.start()
    sender.close()
    return Worker(job, input_hash, process, receiver, time.monotonic())


def _work(job: Job, sender: Connection) -> None:
    """The whole life of a worker."""
    import resource  # which Windows does not have

    os.setsid()
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))  # a notebook can be made to need a lot
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    sender.send_bytes(grade_one(job).model_dump_json().encode())


def _ended(running: Sequence[Worker], patience: float) -> list[Worker]:
    """The workers that have something to say, are gone, or have taken too long; waits a moment for one."""
    handles: list[Any] = [worker.receiver for worker in running]
    ready = wait(handles, timeout=0.5)
    late = time.monotonic() - patience
    return [worker for worker in running if worker.receiver in ready or worker.started < late]


def _finish(worker: Worker, patience: float) -> Graded:
    """A worker's result; one that has taken too long is killed with everything it started."""
    student = worker.job.submission.student
    if worker.receiver.poll(0):
        graded = worker.said()
        reason = "the process that graded it ended without a result"
    else:
        graded, reason = None, f"grading took more than {patience:g} s"
    if graded is None:
        _kill(worker)
        graded = Graded(student=student, status="grader-error", reason=f"{reason}: look at it by hand")
    worker.process.join(5)
    if worker.process.is_alive():
        _kill(worker)
    worker.receiver.close()
    return graded


def _kill(worker: Worker) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(worker.process.pid, signal.SIGKILL)
    worker.process.kill()
    worker.process.join(5)


@contextmanager
def _none_left(running: list[Worker]) -> Iterator[None]:
    """However the block ends, no worker outlives it."""
    try:
        yield
    finally:
        for worker in running:
            _kill(worker)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# ---------------------------------------------------------------------------------------------------------------------
# The ledger


def _record(graded: Graded, worker: Worker, ledger: Ledger, out: Path) -> None:
    """Put a grade in its place, then into the ledger."""
    output = f"grades/{gradebook.file_name(graded.student)}.json"
    artifacts.write_text(out / output, graded.model_dump_json(indent=1, exclude={"starved"}) + "\n")
    ledger.append(
        Entry(
            kind="grade",
            key=graded.student,
            input_hash=worker.input_hash,
            status="failed" if graded.status == "grader-error" else "ok",
            output=output,
            output_sha256=artifacts.sha256(out / output),
            seconds=round(time.monotonic() - worker.started, 2),
            note="" if graded.status == "graded" else f"{graded.status}: {graded.reason}"[:500],
        )
    )


def _earlier(submission: Submission, input_hash: str, ledger: Ledger, out: Path) -> Graded | None:
    entry = ledger.done("grade", submission.student, input_hash)
    if entry is None or entry.output is None:
        return None
    return Graded.model_validate_json((out / entry.output).read_bytes())


def _content(submission: Submission) -> list[str]:
    """What was handed in, as names and hashes."""
    found = [*submission.other]
    for path in submission.files:
        try:
            found.append(f"{path.name} {hashlib.sha256(read_bytes(path)).hexdigest()}")
        except Unreadable as problem:
            found.append(f"{path.name} {problem.reason}")
    return found


def _checks_hash(checks: str) -> list[str]:
    return [artifacts.sha256(path) for path in filter(None, checks.split(os.pathsep)) if os.path.isfile(path)]


def _hash(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


# ---------------------------------------------------------------------------------------------------------------------
# Telling


class _Lines:
    """Progress in plain lines, for a file or a log."""

    def __init__(self, console: Console, total: int, before: dict[str, Graded]):
        self.console, self.total = console, total
        self.count = len(before)
        self.statuses = Counter(graded.status for graded in before.values())
        if before:
            self.say(f"{len(before)} of {total} were graded before")

    def say(self, text: str) -> None:
        say(self.console, text)

    def now(self, students: Sequence[str]) -> None:
        """Say who is being graded."""

    def done(self, graded: Graded) -> None:
        """Count one more."""
        self.count += 1
        self.statuses[graded.status] += 1
        self.say(f"[{self.count}/{self.total}] {_line(graded)}")


class _Live(_Lines):
    """A table that moves: how many have which status, who is being graded, who was graded last."""

    def __init__(self, console: Console, total: int, before: dict[str, Graded], live: Any):
        self.live, self.last, self.running = live, "", ""
        self.began = time.monotonic()
        self.fresh = 0
        super().__init__(console, total, before)
        self._draw()

    def now(self, students: Sequence[str]) -> None:
        self.running = ", ".join(students)
        self._draw()

    def done(self, graded: Graded) -> None:
        self.count += 1
        self.fresh += 1
        self.statuses[graded.status] += 1
        self.last = _line(graded)
        self._draw()

    def _draw(self) -> None:
        from rich.table import Table
        from rich.text import Text

        table = Table(show_header=False, box=None)
        left = (time.monotonic() - self.began) / self.fresh * (self.total - self.count) if self.fresh else 0
        counted = ", ".join(f"{status} {count}" for status, count in self.statuses.most_common())
        rows = {"done": f"{self.count} of {self.total}" + (f", about {left:.0f} s left" if left else "")}
        rows |= {"statuses": counted, "last": self.last, "running": self.running}
        for name, text in rows.items():
            table.add_row(Text(name, style="bold"), Text(text, overflow="ellipsis", no_wrap=True))
        self.live.update(table)


def _line(graded: Graded) -> str:
    highest = sum(exercise.max_points for exercise in graded.exercises)
    score = f"{graded.score} of {highest}" if graded.score is not None else "no score"
    reason = f": {graded.reason}" if graded.status != "graded" else ""
    return f"{graded.student}  {graded.status}  {score}{reason}".splitlines()[0][:300]


@contextmanager
def _display(console: Console, total: int, before: dict[str, Graded]) -> Iterator[_Lines]:
    if not console.is_terminal:
        yield _Lines(console, total, before)
        return
    from rich.live import Live

    with Live(console=console, refresh_per_second=4) as live:
        yield _Live(console, total, before, live)
