"""Run the code cells of a notebook in a fresh kernel, and say which one failed: for building and for checking labs."""

import os
import subprocess
from pathlib import Path
from typing import Any

SETTINGS = {"LABKIT_STATIC": "1", "LABKIT_PROFILE": "quick", "PYTHONHASHSEED": "0"}


def execute(notebook: Any, folder: Path, *, timeout: float, go_on: bool = False) -> tuple[str, str] | None:
    """Run every code cell in place: in ``folder``, with static figures, without the user's IPython settings.

    Args:
        notebook: an nbformat notebook.
        folder: the working directory.
        timeout: seconds a cell may take.
        go_on: whether an error in a cell lets the next ones run; the kernel's death or a time-out ends it
            all.

    Returns:
        (id of the cell, reason) of what ended the run before its end, else None.
    """
    from nbclient import NotebookClient
    from nbclient.exceptions import CellControlSignal, CellExecutionError, DeadKernelError

    started: list[str] = []
    client = NotebookClient(
        notebook,
        timeout=timeout,
        allow_errors=go_on,
        kernel_name="python3",
        record_timing=False,
        store_widget_state=False,
        resources={"metadata": {"path": str(folder)}},
        on_cell_start=lambda cell, cell_index: started.append(cell.id),
    )
    environment = {**os.environ, **SETTINGS, "IPYTHONDIR": str(folder / ".ipython")}
    try:
        client.execute(env=environment, stderr=subprocess.DEVNULL)
    except DeadKernelError:
        return started[-1], "the kernel died"
    except CellExecutionError as error:
        return started[-1], f"{error.ename}: {error.evalue}"
    except CellControlSignal:
        return started[-1], f"it took more than {timeout:g} s"
    # sys.exit ends a kernel without an error: only a count in every cell proves that all of them ran.
    code = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    return next(((cell.id, "it did not run") for cell in code if not cell.execution_count), None)
