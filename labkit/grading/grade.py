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
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from rich.console import Console

import labkit.checks
from labkit import artifacts
from labkit.checks import all_exercises
from labkit.course.labs import course_root, notebooks_folder
from labkit.errors import LabkitError, check_integer, check_number
from labkit.grading import gradebook, pages
from labkit.grading.handed_in import Submission, find_submissions, parse_time
from labkit.grading.inputs import draw_inputs
from labkit.grading.late import parse_penalty
from labkit.grading.nbval_grader import Job, grade_one
from labkit.grading.progress import display
from labkit.grading.results import Graded
from labkit.grading.roster import Roster, join_roster, read_roster
from labkit.grading.sandbox import Limits, Sandbox, Tier, best_tier, course_places
from labkit.grading.secret import inputs_code, settle_secret
from labkit.grading.similarity import known_answers
from labkit.grading.submission import Unreadable, read_bytes
from labkit.grading.template import Template, read_template
from labkit.ledger import Entry, Ledger, package_hash
from labkit.machine import cores
from labkit.printing import say, show_any_character

if TYPE_CHECKING:  # Windows does not have it
    from multiprocessing.context import ForkServerContext

TIMEOUT = 30.0  # seconds that one cell, or one call of an answer, may take
OVERALL = 20  # times that: a whole submission, if nothing else is said
SPARE = 240  # seconds more, until a worker that says nothing is given up: for its judge, which has limits of its own
MEMORY = 4 << 30  # bytes that a process which reads and judges a submission may use
SETTINGS = "grading.json"
UNPACKED = "unpacked"  # folder in ``out``
ATTEMPTS = ("one", "last", "best")
# What every worker would import for itself, when it asks what a kernel has said and when pytest begins.
IMPORTED_LATE = ("IPython.display", "pdb", "_pytest.helpconfig", "_pytest.skipping", "_pytest.warnings")


@dataclass(frozen=True)
class Options:
    """How a class is graded.

    Attributes:
        jobs: submissions graded at once; two for each core if None.
        resume: take over earlier grades whose submission, lab, checks and settings are unchanged.
        deadline: a time (ISO 8601; a day means its end); later submissions are marked so.
        late: what a late submission loses: "10%/day", or "none".
        attempts: which of a student's notebooks counts: "last" (by its time), "best", or "one" (there must be one).
        roster: a file that says who is in the class.
        compare: folders of earlier years, to compare answers with.
        unsafe: grade even where this machine cannot keep hostile code apart.
        seed: makes the inputs follow from a number; else they follow from a secret that is kept in the results.
        timeout: seconds that one cell, or one call of an answer, may take.
        limit: seconds that all cells and calls of a submission may take together; `OVERALL` times ``timeout`` if None.
    """

    jobs: int | None = None
    resume: bool = False
    deadline: str | None = None
    late: str = "none"
    attempts: str = "one"
    roster: Path | None = None
    compare: Sequence[Path] = ()
    unsafe: bool = False
    seed: int | None = None
    timeout: float = TIMEOUT
    limit: float | None = None

    @property
    def overall(self) -> float:
        """The seconds that a submission may take."""
        return self.limit if self.limit is not None else OVERALL * self.timeout


def grade(
    lab: str,
    submissions: str | Path,
    *,
    out: str | Path,
    root: Path | None = None,
    console: Console | None = None,
    tier: Tier | None = None,
    **options: Any,
) -> list[Graded]:
    """Grade every submission; write gradebook.csv, feedback/, summary.html, junit.xml and ledger.jsonl to ``out``.

    Args:
        lab: number or name.
        submissions: see `labkit.grading.handed_in.find_submissions`.
        out: the folder of results; what instructors write into the column "override" of its gradebook is kept.
        root: the course's folder.
        console: where progress is shown.
        tier: of the sandbox; the best that the machine has if None.
        options: see `Options`.

    Returns:
        A grade for each submission; students of the roster who handed in nothing are in the gradebook only.

    Raises:
        LabkitError: for a wrong argument, a sandbox that is not safe without ``unsafe``, or an ``out`` that another
            process is writing into.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        raise LabkitError("labkit grade needs Linux or macOS (on Windows: the Windows Subsystem for Linux)")
    show_any_character()
    chosen = _checked(Options(**options))
    console = console or Console()
    template = read_template(lab, root)
    due = parse_time(chosen.deadline, "--deadline", end_of_day=True) if chosen.deadline else None
    penalty = parse_penalty(chosen.late)
    if penalty and due is None:
        raise LabkitError(f"--late {chosen.late} needs a --deadline")
    if chosen.attempts not in ATTEMPTS:
        raise LabkitError(f"--attempts: expected {', '.join(ATTEMPTS)}, got {chosen.attempts!r}")
    roster = read_roster(Path(chosen.roster)) if chosen.roster else None
    private = _private_places(Path(submissions), Path(out), root)
    tier = tier or best_tier(private)
    say(console, f"sandbox: {_in_words(tier)}")
    if not tier.safe and not chosen.unsafe:
        raise LabkitError(
            f"this machine cannot keep hostile submissions apart ({'; '.join(tier.missing)}): "
            "grade on Linux, in a container or as root, or say --unsafe if you trust the whole class"
        )
    _check_places(Path(submissions), Path(out))
    with artifacts.claim_folder(out) as out:
        highest = sum(task.points for task in template.tasks)
        overrides = gradebook.read_overrides(out / gradebook.NAME, highest)  # before hours are spent on it
        seed = _settle(out, template, chosen.seed)
        run = Run(template, settle_secret(out, chosen.seed), tier, private, out, console, chosen)
        known = known_answers(template, [Path(folder) for folder in chosen.compare])
        with _scratch(out) as scratch:
            handed_in = find_submissions(Path(submissions), scratch)
            students = join_roster([one.student for one in handed_in.submissions], roster)
            left = [*handed_in.left, *students.notes]
            for line in left:
                say(console, f"left aside: {line}" if line in handed_in.left else f"roster: {line}")
            results = run.grade_all(handed_in.submissions)
        facts = gradebook.Facts(template.lab, template.title, seed, tier.name, due, penalty, chosen.late)
        overrides |= gradebook.read_overrides(out / gradebook.NAME, highest)  # what was written meanwhile counts
        book = gradebook.make(handed_in.submissions, results, template, facts, overrides, students, known)
        for line in book.notes:
            say(console, line)
        pages.write(out, book, results, template, facts, left, run.seconds)
        keep_roster(out, roster)
    say(console, f"gradebook: {out / gradebook.NAME}")
    return results


def keep_roster(out: Path, roster: Roster | None) -> None:
    """Keep the roster beside the grades, for `labkit export`."""
    if roster is not None:
        artifacts.write_json(out / "roster.json", asdict(roster))


def _check_places(submissions: Path, out: Path) -> None:
    here, there = submissions.resolve(), out.resolve()
    if (there / UNPACKED) in (here, *here.parents):
        raise LabkitError(f"{out / UNPACKED} is emptied at each grading: move the submissions elsewhere")
    if here in (there, *there.parents):
        raise LabkitError(f"{out} lies in the folder of submissions, as if it were a student's: choose another --out")


@contextmanager
def _scratch(out: Path) -> Iterator[Path]:
    """Make a folder for what is unpacked; what a killed run left there is removed."""
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


def _settle(out: Path, template: Template, seed: int | None) -> int | None:
    """Refuse a folder that holds the grades of another lab; return the seed, that of the earlier grading if None."""
    path = out / SETTINGS
    if path.exists():
        try:
            before = json.loads(path.read_text(encoding="utf-8"))
            lab, known = str(before["lab"]), before.get("seed")
            seed = int(known) if seed is None and known is not None else seed
        except (ValueError, KeyError, TypeError):
            raise LabkitError(f"{path} is damaged: remove it, or choose another --out") from None
        if lab != template.lab:
            raise LabkitError(f"{out} holds the grades of {lab}: choose another --out for {template.lab}")
    artifacts.write_json(path, {"lab": template.lab, "title": template.title, "seed": seed})
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
        """Return what it has found, None if it ended without a word."""
        with suppress(EOFError, OSError, ValidationError):
            return Graded.model_validate_json(self.receiver.recv_bytes())
        return None


@dataclass
class Run:
    """The grading of a class: what holds for every submission."""

    template: Template
    secret: str
    tier: Tier
    private: Sequence[Path]  # what no submission may read
    out: Path
    console: Console
    options: Options
    seconds: dict[str, float] = field(default_factory=dict)  # that each submission took, if it is known

    def grade_all(self, found: Sequence[Submission]) -> list[Graded]:
        """Return the grade of each submission, in their order; each is in the ledger as soon as it is known."""
        ledger = Ledger(self.out / "ledger.jsonl")
        checks = os.environ.get("LABKIT_CHECKS", "")
        options = self.options
        settings = (self.secret, options.timeout, options.overall, self.tier.name, options.attempts)
        common = _hash(asdict(self.template), package_hash(), _checks_hash(checks), *settings)
        contents = {one.student: _hash(_content(one)) for one in found}
        hashes = {one.student: _hash(common, contents[one.student]) for one in found}
        done: dict[str, Graded] = {}
        if self.options.resume:
            for one in found:
                if earlier := self._earlier(one, hashes[one.student], ledger):
                    done[one.student] = earlier
        waiting = [one for one in found if one.student not in done]
        with display(self.console, len(found), done) as show:
            if waiting:
                draw_inputs(self.template, "")  # an exercise that cannot be sent is the instructor's to mend
                jobs = [self._job(one, contents[one.student], checks) for one in waiting]
                for worker, graded in self._results(jobs, hashes, show):
                    self._record(graded, worker, ledger)
                    done[graded.student] = graded
                    show.done(graded)
        return [done[one.student] for one in found]

    def _job(self, one: Submission, content: str, checks: str) -> Job:
        code, hidden_code = (
            inputs_code(self.secret, self.template.lab, one.student, content, hidden) for hidden in (False, True)
        )
        if len(one.files) > 1:
            one = replace(one, files=tuple(sorted(one.files, key=_time)))  # the last one last
        options = self.options
        times = (options.timeout, options.overall)
        return Job(one, self.template, code, hidden_code, *times, "", {}, checks, options.attempts)

    def _results(self, jobs: list[Job], hashes: dict[str, str], show: Any) -> Iterator[tuple[Worker, Graded]]:
        """Yield each result as it comes; one whose time others had taken is graded once more, alone."""
        timeout, overall = self.options.timeout, self.options.overall
        # A kernel's own limit comes after that of the submission, so that no exercise is lost for it.
        limits = Limits(seconds=overall + 60, output=(8 << 20) * (len(self.template.tasks) + 2))
        patience = overall + SPARE
        show.say(f"time: {timeout:g} s for a cell or a call, {overall:g} s for a submission")
        private = [*self.private, *_folder_of_all([job.submission for job in jobs])]
        context = _context()  # whose first process imports while the kernels' server does
        running: list[Worker] = []
        with Sandbox(self.tier, limits, private=private) as kernels, _none_left(running):
            queue = [replace(job, kernel=kernels.kernel_name, environment=kernels.environment) for job in jobs]
            most = min(self.options.jobs or 2 * cores(), len(queue))
            slow: list[Job] = []
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
                    else:
                        yield worker, graded

    def _record(self, graded: Graded, worker: Worker, ledger: Ledger) -> None:
        """Put a grade in its place, then into the ledger."""
        output = f"grades/{gradebook.file_name(graded.student)}.json"
        artifacts.write_text(self.out / output, graded.model_dump_json(indent=1, exclude={"starved"}) + "\n")
        seconds = round(time.monotonic() - worker.started, 2)
        self.seconds[graded.student] = seconds
        ledger.append(
            Entry(
                kind="grade",
                key=graded.student,
                input_hash=worker.input_hash,
                status="failed" if graded.status == "grader-error" else "ok",
                output=output,
                output_sha256=artifacts.sha256(self.out / output),
                seconds=seconds,
                note="" if graded.status == "graded" else f"{graded.status}: {graded.reason}"[:500],
            )
        )

    def _earlier(self, one: Submission, input_hash: str, ledger: Ledger) -> Graded | None:
        entry = ledger.done("grade", one.student, input_hash)
        if entry is None or entry.output is None:
            return None
        with suppress(ValidationError, OSError):
            graded = Graded.model_validate_json((self.out / entry.output).read_bytes())
            self.seconds[one.student] = entry.seconds
            return graded
        return None


def _checked(options: Options) -> Options:
    """Refuse numbers that are none, or too small."""
    jobs = None if options.jobs is None else check_integer("jobs", options.jobs, low=1)
    seed = None if options.seed is None else check_integer("seed", options.seed, low=0)
    timeout = check_number("timeout", options.timeout, above=0)
    limit = None if options.limit is None else check_number("limit", options.limit, above=0)
    return replace(options, jobs=jobs, seed=seed, timeout=timeout, limit=limit)


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


def _time(path: Path) -> float:
    with suppress(OSError):
        return path.lstat().st_mtime
    return 0.0


def _context() -> ForkServerContext:
    """Return what forks processes from one that has imported what grading takes: importing is what is slow."""
    context = multiprocessing.get_context("forkserver")
    modules = [f"labkit.checks.{module.name}" for module in pkgutil.iter_modules(labkit.checks.__path__)]
    context.set_forkserver_preload(["labkit.grading.nbval_grader", *IMPORTED_LATE, *modules])
    forkserver.ensure_running()
    return context


def _start(context: ForkServerContext, job: Job, input_hash: str) -> Worker:
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(job, sender), daemon=True)
    process.start()
    sender.close()
    return Worker(job, input_hash, process, receiver, time.monotonic())


def _work(job: Job, sender: Connection) -> None:
    """Live as a worker."""
    import resource

    os.setsid()
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))  # a notebook can be made to need a lot
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    try:
        graded = grade_one(job)
    except Exception as error:
        reason = f"{type(error).__name__}: {str(error)[:300]}: look at it by hand"
        graded = Graded(student=job.submission.student, status="grader-error", reason=reason)
    sender.send_bytes(graded.model_dump_json().encode())


def _ended(running: Sequence[Worker], patience: float) -> list[Worker]:
    """Return the workers that have something to say, are gone, or have taken too long; wait a moment for one."""
    handles: list[Any] = [worker.receiver for worker in running]
    ready = wait(handles, timeout=0.5)
    late = time.monotonic() - patience
    return [worker for worker in running if worker.receiver in ready or worker.started < late]


def _finish(worker: Worker, patience: float) -> Graded:
    """Return a worker's result; one that has taken too long is killed with everything it started."""
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


# ---------------------------------------------------------------------------------------------------------------------
# What a grade follows from


def _content(submission: Submission) -> list[str]:
    """Return what was handed in, as names and hashes."""
    found = [*submission.other]
    for path in submission.files:
        try:
            found.append(f"{path.name} {hashlib.sha256(read_bytes(path)).hexdigest()}")
        except Unreadable as problem:
            found.append(f"{path.name} {problem.reason}")
    return found


def _checks_hash(checks: str) -> list[str]:
    """Return hashes of the instructor's files of exercises, and of the modules that these import from their folders."""
    folders = {os.path.dirname(os.path.abspath(path)) for path in filter(None, checks.split(os.pathsep))}
    list(all_exercises())  # so that they are loaded, with what they import
    files = {path for path in filter(None, checks.split(os.pathsep)) if os.path.isfile(path)}
    for module in list(sys.modules.values()):
        path = str(getattr(module, "__file__", None) or "")
        inside = any(os.path.abspath(path).startswith(f"{folder}{os.sep}") for folder in folders)
        if inside and path.endswith(".py") and "site-packages" not in path:
            files.add(path)
    beside = {str(path) for folder in folders for path in Path(folder).glob("*.py")}
    return [f"{os.path.basename(path)} {artifacts.sha256(Path(path))}" for path in sorted(files | beside)]


def _hash(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
