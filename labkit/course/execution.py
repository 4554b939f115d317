"""Execute one lab with papermill, and say what went wrong.

papermill calls a notebook "completed" when its kernel died, a cell timed out, or a cell said `sys.exit(0)`: here such a
lab has failed, at a cell, for a reason.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labkit import artifacts
from labkit.course.jobs import Job
from labkit.course.labs import read_notebook
from labkit.notebook.execute import SETTINGS, Kernels, is_run, kernel_manager

KERNEL_START_TIMEOUT = 120  # seconds


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


def execute(
    job: Job,
    timeout: int,
    on_cell: Callable[[int, int], None],
    variables: Mapping[str, str] | None = None,
    kernels: Kernels | None = None,
) -> tuple[Any | None, Failure | None]:
    """Run a job's notebook in a kernel of this Python.

    Args:
        job: what to run.
        timeout: seconds a cell may take.
        on_cell: called with (done, total) at the start of every code cell.
        variables: environment variables for the kernel.
        kernels: takes in the kernel; when they are ended, so is this.

    Returns:
        The executed notebook (None if it never began) and its failure.
    """
    for attempt in (1, 2):
        notebook, failure = _execute_once(job, timeout, on_cell, variables or {}, kernels)
        # A kernel that did not come up has executed nothing: most often a port was taken between its choice and its
        # use ("Address already in use"), so try once more.
        if failure is None or failure.cell is not None or attempt == 2 or (kernels and kernels.ended):
            break
    return notebook, failure


def _execute_once(
    job: Job,
    timeout: int,
    on_cell: Callable[[int, int], None],
    more_variables: Mapping[str, str],
    kernels: Kernels | None,
) -> tuple[Any | None, Failure | None]:
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
            **more_variables,
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
                kernel_manager_class=kernel_manager(variables, stderr, fate, kernels),
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
