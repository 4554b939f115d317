"""Talking to a kernel in tests of grading: run a cell, take what it prints."""

from labkit.grading.sandbox.kernels import Kernel

LIGHT = ("numpy", "ipykernel.kernelapp", "ipykernel.ipkernel", "ipykernel.zmqshell")  # no torch: a server in 0.5 s


def say(kernel: Kernel, code: str, seconds: float = 30) -> tuple[str, str]:
    """Run a cell; return what it prints with its error, and why the kernel ended, if it did."""
    said = kernel.execute(code, seconds)
    return said.text + said.error, said.ended


def answer(kernel: Kernel, code: str, seconds: float = 30) -> str:
    """Return what a cell prints; the kernel must survive it."""
    text, reason = say(kernel, code, seconds)
    assert not reason, f"the kernel ended ({reason}): {text}"
    return text
