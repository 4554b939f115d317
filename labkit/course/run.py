"""Execute labs with papermill (`labkit run`), check parameters before and results after.

papermill executes a notebook; it does not refuse unknown parameters, cannot resume, and calls a notebook "completed"
when its kernel died, a cell timed out, or a cell said `sys.exit(0)`. Those three things are what this file adds.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from rich.console import Console

from labkit import __version__, artifacts
from labkit.course import report
from labkit.course.labs import find_labs, lab_parameters, read_notebook
from labkit.errors import LabkitError, check_integer, noting
from labkit.ledger import Entry, Ledger, environment, now, package_hash
from labkit.notebook.execute import SETTINGS, is_run, kernel_manager
from labkit.notebook.lab import resolve_profile
from labkit.notebook.parameters import Parameter, coerce_values, find_parameter, split_items
from labkit.printing import say, show_any_character

# Seconds that one cell may take. A lab is much shorter; this is for a cell that would never end.
CELL_TIMEOUT = {"test": 120, "quick": 600, "course": 3 * 3600, "gpu": 24 * 3600}
KERNEL_START_TIMEOUT = 120
_LANGUAGES = {"ir": "R", "bash": "bash", "javascript": "JavaScript", "octave": "Octave"}  # of kernels that may not say


@dataclass(frozen=True)
class Job:
    """Describe one execution: a lab with its parameters."""

    lab: str
    notebook: Path
    profile: str
    parameters: dict[str, object]  # what is passed to the notebook
    swept: dict[str, object]  # those of them that a sweep varies
    key: str  # file name without suffix, unique in a run
    problem: str = ""  # why it cannot even be tried

    def input_hash(self) -> str:
        """Return the SHA-256 of all that can change the result: cells, parameters, the package."""
        cells = [
            (cell["cell_type"], cell["metadata"].get("tags", []), cell["source"])
            for cell in read_notebook(self.notebook)["cells"]
        ]
        parts = [cells, self.parameters, self.profile, __version__, package_hash()]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Failure:
    """Say why a lab failed.

    `cell` is the number that Jupyter shows beside the code cell; None if no cell had started.
    """

    cell: int | None
    line: str
    reason: str

    def __str__(self) -> str:
        """Return the failure in one line."""
        where = f"cell [{self.cell}] `{self.line}`: " if self.cell is not None else ""
        return where + self.reason


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
    console: Console | None = None,
) -> list[Result]:
    """Execute labs and leave executed copies, metrics.json and report.html in `out`.

    A lab that fails, or whose notebook cannot be read, does not stop the others; look at each `Result.status`. Ctrl-C
    ends the lab at hand, writes the report of what is done, and is raised again. In metrics.json, null stands for a
    number that is not finite (NaN, infinity): JSON has no word for it.

    Args:
        labs: names ("01", "01_averaging_problem") or notebook files; none means all.
        profile: test, quick, course, gpu or auto.
        parameters: (name, value as text).
        sweeps: (name, "value,value,..."); several sweeps run every combination.
        out: the folder for results.
        resume: a job whose earlier result is good and has the same input is not run again.
        timeout: seconds a cell may take, in place of the profile's.
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
    console = console or Console()
    jobs = plan(labs, profile, parameters, sweeps)
    out = Path(out)
    for job in jobs:
        if (out / f"{job.key}.ipynb").resolve() == job.notebook.resolve():
            raise LabkitError(f"the executed copy would overwrite {job.notebook} itself: choose another --out")
    with artifacts.claim_folder(out):
        ledger = Ledger(out / "ledger.jsonl")

        results: list[Result] = []
        interrupted = False
        with _progress(console) as show:
            try:
                for index, job in enumerate(jobs, 1):
                    title = f"[{index}/{len(jobs)}] {job.key}"
                    result = _resumed(job, out, ledger) if resume else None
                    if result is None:
                        show.start(f"{title} ({job.profile})")
                        result = _execute_and_record(job, out, ledger, timeout, show.cell)
                    show.end(f"{title}  {_in_words(result)}")
                    results.append(result)
            except KeyboardInterrupt:
                interrupted = True
                show.end(f"{title}  interrupted")

        _write_summary(results, out, len(jobs))
    say(console, f"report: {out / 'report.html'}")
    if interrupted:
        raise KeyboardInterrupt
    return results


# ---------------------------------------------------------------------------------------------------------------------
# What to run


def plan(
    labs: Sequence[str],
    profile: str,
    parameters: Sequence[tuple[str, str]],
    sweeps: Sequence[tuple[str, str]],
) -> list[Job]:
    """Return every execution asked for, with checked parameters.

    Raises:
        LabkitError: for an unknown lab, an unknown or ill-typed parameter, or one that is given twice.
    """
    notebooks = find_labs(labs)
    declared: dict[str, list[Parameter]] = {}
    problems: dict[str, str] = {}
    for lab, notebook in notebooks.items():
        with noting(problems, lab):
            _require_python(notebook)
            declared[lab] = lab_parameters(notebook)
    fixed = _by_name(parameters, "-p")
    swept = {name: _values(name, text) for name, text in _by_name(sweeps, "--sweep").items()}
    for name in {**fixed, **swept}:
        if name in fixed and name in swept:
            raise LabkitError(f"parameter {name} is given both by -p and by --sweep; use one of them")
        known = {parameter.name: parameter for lab in declared.values() for parameter in lab}
        if declared and name not in known:
            find_parameter(list(known.values()), name, where=" ".join(declared))
    if "profile" in fixed and profile not in ("auto", fixed["profile"]):
        raise LabkitError(f"two profiles: --profile {profile} and -p profile {fixed['profile']}")

    jobs: list[Job] = []
    for lab, notebook in notebooks.items():
        if lab in problems:
            jobs.append(Job(lab, notebook, resolve_profile(profile), {}, {}, _key(lab, {}), problems[lab]))
            continue
        names = [parameter.name for parameter in declared[lab]]
        mine = {name: values for name, values in swept.items() if name in names}
        for values in itertools.product(*mine.values()):
            point = dict(zip(mine, values, strict=True))
            texts = {"profile": profile, **fixed, **point}
            texts["profile"] = chosen = resolve_profile(texts["profile"])
            given = coerce_values(declared[lab], {n: text for n, text in texts.items() if n in names}, where=lab)
            varied = {name: given[name] for name in point}
            jobs.append(Job(lab, notebook, chosen, given, varied, _key(lab, varied)))
    return list({job.key: job for job in jobs}.values())  # a sweep over 1,1.0 names one value twice


def _require_python(path: Path) -> None:
    """Raise LabkitError where a notebook says that it is in another language."""
    metadata = read_notebook(path).metadata
    kernel, info = (
        part if isinstance(part := metadata.get(name), dict) else {} for name in ("kernelspec", "language_info")
    )
    about = [info.get("name"), kernel.get("language"), _LANGUAGES.get(str(kernel.get("name")))]
    language = next((str(name) for name in about if name), "python")
    if not language.lower().startswith(("python", "ipython")):
        name = kernel.get("display_name") or kernel.get("name") or language
        raise LabkitError(
            f"{path} is written in {language} (its kernel is {name!r}): labkit runs Python notebooks only"
        )


def _by_name(pairs: Sequence[tuple[str, str]], option: str) -> dict[str, str]:
    """Return name -> text.

    Raises:
        LabkitError: a name is given twice.
    """
    found: dict[str, str] = {}
    for name, text in pairs:
        if name in found:
            raise LabkitError(f"{option} {name} is given twice")
        found[name] = text
    return found


def _values(name: str, text: str) -> list[str]:
    """Return the values of a sweep, each once, as text.

    Raises:
        LabkitError: an empty one.
    """
    values = list(dict.fromkeys(split_items(text)))
    if "" in values:
        raise LabkitError(f"--sweep {name} needs values separated by commas, got {text!r}")
    return values


def _key(lab: str, swept: Mapping[str, object]) -> str:
    """Return a file name without suffix; a hash keeps it unique where a value had to be changed or is long."""
    name = lab.encode("utf-8", "replace").decode()  # bytes that are no text cannot stand in the ledger
    if name != lab:
        lab = f"{name}.{hashlib.sha256(os.fsencode(lab)).hexdigest()[:6]}"
    text = "".join(f".{name}={value}" for name, value in swept.items())
    safe = re.sub(r"[^A-Za-z0-9._=+-]", "_", text)[:100]
    return lab + (safe if safe == text else f"{safe}.{hashlib.sha256(text.encode()).hexdigest()[:6]}")


# ---------------------------------------------------------------------------------------------------------------------
# Running one


def _resumed(job: Job, out: Path, ledger: Ledger) -> Result | None:
    """Return the earlier result of a job, if it is good and still valid."""
    if job.problem:
        return None
    entry = ledger.done("run", job.key, job.input_hash())
    if entry is None or entry.output is None:
        return None
    contents = report.collect(read_notebook(out / entry.output))
    return Result(job, "ok", entry.seconds, output=entry.output, resumed=True, contents=contents)


def _execute_and_record(
    job: Job, out: Path, ledger: Ledger, timeout: int | None, on_cell: Callable[[int, int], None]
) -> Result:
    """Execute a job; the executed copy is in place before the ledger knows of it."""
    if job.problem:
        return Result(job, "failed", 0.0, Failure(None, "", job.problem))
    start = time.monotonic()
    input_hash = job.input_hash()  # before: what is executed is what was read here
    notebook, failure = execute(job, timeout or CELL_TIMEOUT[job.profile], on_cell)
    seconds = round(time.monotonic() - start, 2)
    status: Literal["ok", "failed"] = "failed" if failure else "ok"
    output = digest = None
    contents = report.Contents()
    if notebook is not None:
        import nbformat

        output = f"{job.key}.ipynb"
        notebook.metadata.papermill.update(input_path=str(job.notebook), output_path=output)
        artifacts.write_text(out / output, nbformat.writes(notebook) + "\n")
        digest = artifacts.sha256(out / output)
        contents = report.collect(notebook)
    ledger.append(
        Entry(
            kind="run",
            key=job.key,
            input_hash=input_hash,
            status=status,
            output=output,
            output_sha256=digest,
            seconds=seconds,
            note=str(failure or "").encode("utf-8", "backslashreplace").decode(),
        )
    )
    return Result(job, status, seconds, failure, output, contents=contents)


def execute(job: Job, timeout: int, on_cell: Callable[[int, int], None]) -> tuple[Any | None, Failure | None]:
    """Run a job's notebook in a kernel of this Python.

    Args:
        job: what to run.
        timeout: seconds a cell may take.
        on_cell: called with (done, total) at the start of every code cell.

    Returns:
        The executed notebook (None if it never began) and its failure.
    """
    for attempt in (1, 2):
        notebook, failure = _execute_once(job, timeout, on_cell)
        # A kernel that did not come up has executed nothing: most often a port was taken between its choice and its
        # use ("Address already in use"), so try once more.
        if failure is None or failure.cell is not None or attempt == 2:
            break
    return notebook, failure


def _execute_once(job: Job, timeout: int, on_cell: Callable[[int, int], None]) -> tuple[Any | None, Failure | None]:
    """Run a job's notebook once; papermill reads it from a temporary folder and saves it there after every cell.

    So its names are none of the user's: papermill fills in {braces}, and cannot save bytes that are no text.
    """
    import logging

    import nbformat
    import papermill

    logging.getLogger("papermill").setLevel(logging.CRITICAL)  # every failure is told in our own words
    source = read_notebook(job.notebook)
    total = sum(is_run(cell) for cell in source["cells"])
    total += bool(job.parameters)  # papermill adds a cell with them
    started: list[int] = []  # positions of the code cells that began

    def cell_begins(cell: Any, cell_index: int) -> None:
        if is_run(cell):
            started.append(cell_index)
            on_cell(len(started), total)

    fate: dict[str, int] = {}
    error: Exception | None = None
    with tempfile.TemporaryDirectory(prefix="labkit-run-") as folder_name, tempfile.TemporaryFile() as stderr:
        variables = {
            **SETTINGS,
            "LABKIT_PROFILE": job.profile,
            "IPYTHONDIR": folder_name,  # not the user's start-up files
        }
        before, after = Path(folder_name) / "before.ipynb", Path(folder_name) / "after.ipynb"
        try:
            artifacts.write_text(before, nbformat.writes(source))
            papermill.execute_notebook(
                _literal(before),
                _literal(after),
                parameters=job.parameters,
                kernel_name="python3",
                language="python",
                progress_bar=False,
                start_timeout=KERNEL_START_TIMEOUT,
                execution_timeout=timeout,
                kernel_manager_class=kernel_manager(variables, stderr, fate),
                on_cell_start=cell_begins,
                shutdown_kernel="immediate",
            )
        except Exception as caught:  # whatever it is, it is this lab's failure and not the run's
            error = caught
        finally:
            notebook = read_notebook(after) if after.exists() else None
        if error is None and notebook is not None:
            return notebook, find_failure(notebook)
        stderr.seek(0)
        last_words = stderr.read().decode(errors="replace").strip().splitlines()[-1:]
    return notebook, _explain(error, notebook, started, timeout, fate, last_words)


def _literal(path: Path) -> str:
    """Return a path for papermill, which fills in {braces}."""
    return str(path).replace("{", "{{").replace("}", "}}")


def find_failure(notebook: Any) -> Failure | None:
    """Return what went wrong in an executed notebook. Nothing did if every code cell ran and none shows an error.

    This is the only sign trusted: papermill's "completed" also stands in notebooks whose kernel died.
    """
    number = 0
    for cell in notebook["cells"]:
        if not is_run(cell):
            continue
        number += 1
        for output in cell["outputs"]:
            if output["output_type"] == "error":
                return Failure(number, _first_line(cell), _error_in_words(output["ename"], output["evalue"]))
        if cell["metadata"].get("papermill", {}).get("exception"):  # such as an unknown magic: no error output
            said = "".join(o.get("text", "") for o in cell["outputs"] if o["output_type"] == "stream")
            return Failure(number, _first_line(cell), said.strip().partition("\n")[0] or "the cell failed")
        if cell["execution_count"] is None:
            return Failure(number, _first_line(cell), "the cell did not run")
    return None


def _error_in_words(name: str, value: str) -> str:
    if name == "SystemExit":
        return f"SystemExit: the cell ended the lab with sys.exit({value})"
    return f"{name}: {value}".strip().splitlines()[0].rstrip(": ")


def _explain(
    error: Exception | None,
    notebook: Any | None,
    started: list[int],
    timeout: int,
    fate: Mapping[str, int],
    last_words: list[str],
) -> Failure:
    """Return the failure behind an exception of papermill's."""
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    if isinstance(error, PapermillExecutionError) and notebook is not None:
        found = find_failure(notebook)
        if found:
            return found
    if isinstance(error, CellTimeoutError):
        reason = f"the cell took longer than {timeout} s (--timeout SECONDS allows more)"
    elif isinstance(error, DeadKernelError):
        reason = _death(fate.get("exit code"))
    else:
        text = str(error).strip().splitlines() or [""]
        reason = f"{type(error).__name__}: {text[0]}"
        if not started and last_words:
            reason += f" ({last_words[0][:200]})"
    if not started or notebook is None:
        return Failure(None, "", reason)
    cell = notebook["cells"][started[-1]]
    return Failure(len(started), _first_line(cell), reason)


def _death(code: int | None) -> str:
    """Say how a kernel died, from its exit code."""
    if code is None:
        return "the kernel died"
    if code >= 0:
        return f"the kernel died with exit code {code}"
    import signal

    with suppress(ValueError):
        name = signal.Signals(-code).name
        hint = "; the machine may have run out of memory" if name == "SIGKILL" else ""
        return f"the kernel was killed by {name}{hint}"
    return f"the kernel was killed by signal {-code}"


def _first_line(cell: Any) -> str:
    return str(cell["source"]).strip().splitlines()[0][:100]


# ---------------------------------------------------------------------------------------------------------------------
# Telling


class _Lines:
    """Report progress in plain lines, for a file or a log."""

    def __init__(self, console: Console):
        self.console = console

    def say(self, text: str) -> None:
        say(self.console, text)

    def start(self, title: str) -> None:
        self.say(f"{title} ...")

    def cell(self, number: int, total: int) -> None:
        pass

    def end(self, line: str) -> None:
        self.say(line)


class _Live(_Lines):
    """Report progress with a line for each finished lab, and a moving one for the lab at hand."""

    def __init__(self, console: Console, progress: Any):
        super().__init__(console)
        self.progress = progress
        self.task: Any = None

    def start(self, title: str) -> None:
        self.task = self.progress.add_task(title, total=None)

    def cell(self, number: int, total: int) -> None:
        self.progress.update(self.task, completed=number, total=total)

    def end(self, line: str) -> None:
        if self.task is not None:
            self.progress.remove_task(self.task)
        self.task = None
        self.say(line)


@contextmanager
def _progress(console: Console) -> Iterator[_Lines]:
    if not console.is_terminal:
        yield _Lines(console)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("cell"),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        yield _Live(console, progress)


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
