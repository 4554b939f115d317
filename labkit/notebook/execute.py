"""Run a notebook's code cells in a fresh kernel, and say which one failed (to build and to check labs)."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SETTINGS = {"LABKIT_STATIC": "1", "LABKIT_PROFILE": "quick", "PYTHONHASHSEED": "0"}  # environment of a kernel


def execute(
    notebook: Any,
    folder: Path,
    *,
    timeout: float,
    go_on: bool = False,
    variables: Mapping[str, str] | None = None,
    kernels: "Kernels | None" = None,
) -> tuple[str, str] | None:
    """Run every code cell in place: in ``folder``, with static figures, without the user's IPython settings.

    Args:
        notebook: an nbformat notebook.
        folder: the working directory.
        timeout: seconds a cell may take.
        go_on: whether an error in a cell lets the next ones run; the kernel's death or a time-out ends it all.
        variables: further environment variables of the kernel.
        kernels: takes in the kernel's process.

    Returns:
        (id of the cell, reason) of what ended the run before its end, else None.
    """
    from nbclient import NotebookClient
    from nbclient.exceptions import CellControlSignal, CellExecutionError, DeadKernelError

    started: list[str] = []
    variables = {**SETTINGS, "IPYTHONDIR": str(folder / ".ipython"), **(variables or {})}
    client = NotebookClient(
        notebook,
        timeout=timeout,
        allow_errors=go_on,
        kernel_name="python3",
        kernel_manager_class=kernel_manager(variables, subprocess.DEVNULL, kernels=kernels),
        record_timing=False,
        store_widget_state=False,
        resources={"metadata": {"path": str(folder)}},
        on_cell_start=lambda cell, cell_index: started.append(cell.id),
    )
    try:
        client.execute()
    except (DeadKernelError, AssertionError):  # nbclient asserts that it has a client, which a killed kernel ends
        return (started or [notebook.cells[0].id])[-1], "the kernel died"
    except CellExecutionError as error:
        return started[-1], f"{error.ename}: {error.evalue}"
    except CellControlSignal:
        return started[-1], f"it took more than {timeout:g} s"
    # sys.exit ends a kernel without an error: only a count in every cell proves that all of them ran.
    left = (cell for cell in notebook.cells if is_run(cell) and not cell.execution_count)
    return next(((cell.id, "it did not run") for cell in left), None)


def is_run(cell: Any) -> bool:
    """Return whether a cell is code that a kernel executes."""
    return bool(cell["cell_type"] == "code" and cell["source"].strip())


class Kernels:
    """Keep the kernels of one command, so that all of them can be ended at once."""

    def __init__(self) -> None:
        """Start without any."""
        self.processes: list[Any] = []
        self.ended = False

    def add(self, process: Any) -> None:
        """Take in a kernel's process; one that comes after the end is ended, too."""
        self.processes.append(process)
        if self.ended:
            process.kill()

    def end(self) -> None:
        """End every kernel."""
        self.ended = True
        for process in list(self.processes):
            process.kill()


def kernel_manager(
    variables: Mapping[str, str], stderr: Any, fate: dict[str, int] | None = None, kernels: Kernels | None = None
) -> type:
    """Return a kernel manager for this very Python, whatever the user's kernelspec "python3" points to.

    If this process is killed, ipykernel notices that its parent is gone and ends by itself.

    Args:
        variables: environment variables that the kernel gets besides its parent's.
        stderr: a file or DEVNULL, so that what the kernel writes there does not tear a progress display.
        fate: receives the kernel's exit code.
        kernels: takes in the kernel's process.
    """
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import AsyncKernelManager

    manager: Any = AsyncKernelManager  # its annotations do not say that it is asynchronous

    class ThisPython(manager):
        @property
        def kernel_spec(self) -> KernelSpec:
            argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
            return KernelSpec(argv=argv, display_name="Python 3", language="python")

        async def start_kernel(self, **options: Any) -> None:
            await super().start_kernel(**{**options, "env": {**os.environ, **variables}, "stderr": stderr})
            process = getattr(self.provisioner, "process", None)
            if kernels is not None and process is not None:
                kernels.add(process)

        async def is_alive(self) -> bool:
            alive: bool = await super().is_alive()
            process = getattr(self.provisioner, "process", None)
            if fate is not None and not alive and process is not None:
                fate["exit code"] = process.returncode
            return alive

    return ThisPython
