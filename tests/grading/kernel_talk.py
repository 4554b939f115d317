"""Talking to a kernel in tests of grading: run a cell, take what it prints."""

import time
from queue import Empty

from labkit.grading.sandbox.kernels import Kernel

LIGHT = ("numpy", "ipykernel.kernelapp", "ipykernel.ipkernel", "ipykernel.zmqshell")  # no torch: a server in 0.5 s


def say(kernel: Kernel, code: str, seconds: float = 30) -> tuple[str, str]:
    """Run a cell; returns what it prints (or its error) and why the kernel ended, if it did."""
    asked = kernel.client.execute(code, store_history=False)
    deadline = time.monotonic() + seconds
    text = ""
    while time.monotonic() < deadline:
        try:
            message = kernel.client.get_iopub_msg(timeout=0.1)
        except Empty:
            if not kernel.alive():
                return text, kernel.reason()
            continue
        except ValueError:  # no Jupyter message
            continue
        if message["parent_header"].get("msg_id") != asked:
            continue
        content = message["content"]
        if message["msg_type"] == "stream":
            text += content["text"]
        if message["msg_type"] == "error":
            text += f"{content['ename']}: {content['evalue']}"
        if content.get("execution_state") == "idle":
            return text, kernel.reason()
    raise TimeoutError(f"no end of {code!r} after {seconds} s")


def answer(kernel: Kernel, code: str, seconds: float = 30) -> str:
    """What a cell prints; the kernel must survive it."""
    text, reason = say(kernel, code, seconds)
    assert not reason, f"the kernel ended ({reason}): {text}"
    return text
