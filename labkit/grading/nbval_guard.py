"""A pytest plugin that closes a gap of nbval: ``pytest -p labkit.grading.nbval_guard --nbval-lax notebooks/*.ipynb``.

nbval reads what a cell displays and never the kernel's reply. A cell that the kernel refuses without displaying an
error (an unknown magic, say) does not run, and passes. This plugin looks at the reply: a cell passes only if the kernel
says that it ran to its end. What went to stderr (warnings, progress bars) is never compared.
"""

from collections.abc import Generator
from typing import Any

import pytest


def pytest_collectstart(collector: pytest.Collector) -> None:
    """Leave stderr out of every comparison."""
    skip = getattr(collector, "skip_compare", None)
    if skip is not None:
        collector.skip_compare = (*skip, "stderr")  # type: ignore[attr-defined]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """Fail a notebook cell that nbval lets pass although the kernel did not say "ok" to it."""
    kernel = getattr(item.parent, "kernel", None)
    if kernel is None or not hasattr(item, "raise_cell_error"):  # an ordinary test
        return (yield)
    states: list[str] = []
    receive = kernel.get_message

    def remember(stream: str, timeout: float | None = None) -> Any:
        message = receive(stream, timeout=timeout)
        if message["msg_type"] == "execute_reply":
            states.append(message["content"]["status"])
        return message

    kernel.get_message = remember
    try:
        result = yield
    finally:
        del kernel.get_message
    may_raise = getattr(item, "options", {}).get("check_exception", False)
    if states != ["ok"] and not may_raise:
        said = f"the kernel said {states[0]!r}" if states else "the kernel said nothing"
        item.raise_cell_error(f"Cell did not run to its end: {said}")
    return result
