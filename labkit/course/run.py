"""Execute labs side by side, and leave copies, metrics and a report (`labkit run`).

`labkit.course.jobs` plans what to run, and `labkit.course.execution` runs one lab with papermill. papermill does not
refuse unknown parameters, cannot resume and runs one notebook: these things are added here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from rich.console import Console

from labkit import artifacts
from labkit.cluster import connect
from labkit.course import report
from labkit.course.execution import Failure, execute
from labkit.course.jobs import Job, plan
from labkit.course.labs import read_notebook
from labkit.errors import LabkitError, check_integer
from labkit.ledger import Entry, Ledger, environment, now
from labkit.machine import jobs_held, thread_share
from labkit.notebook.execute import Kernels
from labkit.printing import Lines, progress, say, show_any_character

# Seconds that one cell may take. A lab is much shorter; this is for a cell that would never end.
CELL_TIMEOUT = {"test": 120, "quick": 600, "course": 3 * 3600, "gpu": 24 * 3600}


@dataclass(frozen=True)
class Result:
    """Hold what came of a job."""

    job: Job
    status: Literal["ok", "failed"]
    seconds: float
    failure: Failure | None = None
    output: str | None = None  # file name of the executed copy
    resumed: bool = False  # taken over from an earlier run
    contents: report.Contents = field(default_factory=report.Contents)


def run(
    labs: Sequence[str] = (),
    *,
    profile: str = "auto",
    parameters: Sequence[tuple[str, str]] = (),
    sweeps: Sequence[tuple[str, str]] = (),
    out: str | Path = "runs",
    resume: bool = False,
    timeout: int | None = None,
    jobs: int | None = None,
    cluster: str | None = None,
    console: Console | None = None,
) -> list[Result]:
    """Execute labs and leave executed copies, metrics.json and report.html in `out`.

    A lab that fails, or whose notebook cannot be read, does not stop the others; look at each `Result.status`. Ctrl-C
    ends the labs at hand, writes the report of what is done, and is raised again. In metrics.json, null stands for a
    number that is not finite (NaN, infinity): JSON has no word for it.

    Args:
        labs: names ("01", "01_averaging_problem") or notebook files; none means all.
        profile: test, quick, course, gpu or auto.
        parameters: (name, value as text).
        sweeps: (name, "value,value,..."); several sweeps run every combination.
        out: the folder for results.
        resume: a job whose earlier result is good and has the same input is not run again.
        timeout: seconds a cell may take, in place of the profile's.
        jobs: labs that run at a time, each with its fraction of the cores; as many as the machine holds if None.
        cluster: address of a dask scheduler whose workers run the labs, or "local"; None: no cluster.
        console: where progress is shown; None: stdout.

    Returns:
        A result for each lab and combination of swept values.

    Raises:
        LabkitError: before anything runs, for an unknown lab or parameter, a value of the wrong type, or an `out` that
            another process is writing into.
    """
    show_any_character()
    if timeout is not None:
        timeout = check_integer("timeout", timeout, low=1)
    if jobs is not None:
        jobs = check_integer("jobs", jobs, low=1)
        if cluster not in (None, "local"):
            raise LabkitError(
                f"--jobs counts labs on this machine, and {cluster} has its own workers: leave out --jobs"
            )
    console = console or Console()
    planned = plan(labs, profile, parameters, sweeps)
    out = Path(out)
    for job in planned:
        if (out / f"{job.key}.ipynb").resolve() == job.notebook.resolve():
            raise LabkitError(f"the executed copy would overwrite {job.notebook} itself: choose another --out")
    with artifacts.claim_folder(out):
        ledger = Ledger(out / "ledger.jsonl")
        found: dict[str, Result] = {}
        interrupted = False
        with progress(console, "cell") as show:
            titles = {job.key: f"[{number}/{len(planned)}] {job.key}" for number, job in enumerate(planned, 1)}
            try:
                for result in _results(planned, jobs, cluster, out, ledger, resume, timeout, show, titles):
                    key = result.job.key
                    found[key] = result
                    show.end(key, f"{titles[key]}  {_in_words(result)}")
            except KeyboardInterrupt:
                interrupted = True
                show.say("interrupted")
        results = [found[job.key] for job in planned if job.key in found]
        _write_summary(results, out, len(planned))
    say(console, f"report: {out / 'report.html'}")
    if interrupted:
        raise KeyboardInterrupt
    return results


def _results(
    planned: Sequence[Job],
    jobs: int | None,
    cluster: str | None,
    out: Path,
    ledger: Ledger,
    resume: bool,
    timeout: int | None,
    show: Lines,
    titles: Mapping[str, str],
) -> Iterator[Result]:
    """Yield what came of each job, as it ends: first what is known without running anything."""
    left: dict[str, Job] = {}
    for job in planned:
        if job.problem:
            yield Result(job, "failed", 0.0, Failure(None, "", job.problem))
        elif resume and (result := _resumed(job, out, ledger)):
            yield result
        else:
            left[job.key] = job
    count = max(1, min(len(left), jobs or _held_by_machine(list(left.values()))))

    def told(key: str, *step: int) -> None:
        if step:
            show.step(key, *step)
        else:
            show.start(key, f"{titles[key]} ({left[key].profile})")

    if cluster is None:
        ends = _side_by_side(left, count, timeout, told)
    else:
        ends = _on_cluster(left, count, timeout, told, cluster, out, show.say)
    for key, done in ends if left else ():
        if isinstance(done, LabkitError):
            done = Execution(None, Failure(None, "", str(done)), 0.0, left[key].input_hash())
        yield _record(left[key], done, out, ledger)


def _side_by_side(
    jobs: Mapping[str, Job], count: int, timeout: int | None, told: Callable[..., None]
) -> Iterator[tuple[str, Any]]:
    """Run so many jobs at a time in this process; yield the key and the execution of each, as it ends."""
    kernels = Kernels()

    def work(key: str) -> Execution:
        told(key)
        return _execute(jobs[key], timeout, thread_share(count), kernels, tell=lambda *step: told(key, *step))

    _forget_folder()
    # Threads, not processes: each only waits for its kernel, which is a process of its own.
    with ThreadPoolExecutor(count) as pool:
        futures = {pool.submit(work, key): key for key in jobs}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        finally:  # after Ctrl-C nothing goes on
            pool.shutdown(wait=False, cancel_futures=True)
            kernels.end()


def _on_cluster(
    jobs: Mapping[str, Job],
    count: int,
    timeout: int | None,
    told: Callable[..., None],
    address: str,
    out: Path,
    say: Callable[[str], None],
) -> Iterator[tuple[str, Any]]:
    """Let workers run jobs; yield the key of each with its execution, or why there is none, as it ends."""
    from labkit.data import data_root

    shared = [data_root(), *(job.notebook for job in jobs.values())]
    places = {"LABKIT_DATA": str(data_root())}
    with connect(address, out, workers=count, shared=shared, variables=places, on_event=told, say=say) as cluster:
        yield from cluster.results(_execute, {key: (job, timeout, {}, None) for key, job in jobs.items()})


def _forget_folder() -> None:
    """Let papermill forget the folder of an earlier run in this process.

    It keeps the working folder in one place for all threads, puts it back in the order in which they end, and changes
    to it for a moment whenever it saves.
    """
    from papermill.iorw import papermill_io

    papermill_io.get_handler("local").cwd(None)


def _held_by_machine(jobs: Sequence[Job]) -> int:
    """Return how many jobs run at a time; one that needs a GPU or hours has the machine for itself."""
    return 1 if any(job.profile in ("course", "gpu") for job in jobs) else jobs_held()


def _resumed(job: Job, out: Path, ledger: Ledger) -> Result | None:
    """Return the earlier result of a job, if it is good and still valid."""
    entry = ledger.done("run", job.key, job.input_hash())
    if entry is None or entry.output is None:
        return None
    contents = report.collect(read_notebook(out / entry.output))
    return Result(job, "ok", entry.seconds, output=entry.output, resumed=True, contents=contents)


@dataclass(frozen=True)
class Execution:
    """Hold an executed notebook (None if it never began), its failure, and the hash of what was executed."""

    notebook: Any | None
    failure: Failure | None
    seconds: float
    input_hash: str


def _execute(
    job: Job,
    timeout: int | None,
    variables: Mapping[str, str],
    kernels: Kernels | None,
    tell: Callable[[int, int], None],
) -> Execution:
    start = time.monotonic()
    input_hash = job.input_hash()  # before: what is executed is what was read here
    notebook, failure = execute(job, timeout or CELL_TIMEOUT[job.profile], tell, variables, kernels)
    return Execution(notebook, failure, round(time.monotonic() - start, 2), input_hash)


def _record(job: Job, done: Execution, out: Path, ledger: Ledger) -> Result:
    """Save what came of a job; the executed copy is in place before the ledger knows of it."""
    status: Literal["ok", "failed"] = "failed" if done.failure else "ok"
    output = digest = None
    contents = report.Contents()
    if done.notebook is not None:
        import nbformat

        output = f"{job.key}.ipynb"
        done.notebook.metadata.papermill.update(input_path=str(job.notebook), output_path=output)
        artifacts.write_text(out / output, nbformat.writes(done.notebook) + "\n")
        digest = artifacts.sha256(out / output)
        contents = report.collect(done.notebook)
    ledger.append(
        Entry(
            kind="run",
            key=job.key,
            input_hash=done.input_hash,
            status=status,
            output=output,
            output_sha256=digest,
            seconds=done.seconds,
            note=str(done.failure or "").encode("utf-8", "backslashreplace").decode(),
        )
    )
    return Result(job, status, done.seconds, done.failure, output, contents=contents)


# ---------------------------------------------------------------------------------------------------------------------
# Telling


def _in_words(result: Result) -> str:
    if result.resumed:
        return f"ok, done before ({result.seconds:.1f} s)"
    if result.failure:
        return f"FAILED after {result.seconds:.1f} s at {result.failure}"
    return f"ok  {result.seconds:.1f} s"


def _write_summary(results: Sequence[Result], out: Path, asked: int) -> None:
    """Write metrics.json, report.html and, for a sweep, sweep.csv, from what is done."""
    facts = environment()
    made = now()
    sweeps = [_sweep_of(lab, results) for lab in dict.fromkeys(r.job.lab for r in results if r.job.swept)]
    metrics = {
        "made": made,
        "environment": facts,
        "complete": len(results) == asked,
        "labs": [_as_data(result) for result in results],
        "sweeps": {table.key: table.rows for table, _ in sweeps},
    }
    artifacts.write_json(out / "metrics.json", metrics)
    for table, _ in sweeps:
        artifacts.write_text(out / f"{table.key}.sweep.csv", report.csv_text(table))
    page = report.render(
        results,
        [report.readable(table, names) for table, names in sweeps],
        {"made": made, "asked": asked, "environment": facts},
    )
    artifacts.write_text(out / "report.html", page)


def _sweep_of(lab: str, results: Sequence[Result]) -> tuple[report.Table, list[str]]:
    mine = [result for result in results if result.job.lab == lab]
    rows = [(result.job.swept, result.status, result.seconds, result.contents) for result in mine]
    return report.sweep_table(lab, rows), list(mine[0].job.swept)


def _as_data(result: Result) -> dict[str, Any]:
    failure = result.failure
    return {
        "lab": result.job.lab,
        "profile": result.job.profile,
        "parameters": result.job.parameters,
        "swept": result.job.swept,
        "status": result.status,
        "seconds": result.seconds,
        "notebook": result.output,
        "failure": vars(failure) if failure else None,
        "tables": {table.key: {"caption": table.caption, "rows": table.rows} for table in result.contents.tables},
        "numbers": result.contents.numbers,
    }
