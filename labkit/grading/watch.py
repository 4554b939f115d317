"""A kernel watched while it runs one cell: whether it lives, how long it takes, how much it says, and why it ended."""

from __future__ import annotations

import contextlib
import math
import re
import time
from collections import deque
from queue import Empty
from typing import Any

from labkit.grading.results import OVERALL

POLL = 0.2  # seconds between two looks at whether the kernel lives
STARVED = 0.5  # fraction of its time: a cell that computed for less of it may have waited for others to
LARGEST_OUTPUT = 8 << 20  # characters of output that are read


class Ended(Exception):
    """The kernel ended, or had to be ended: the status, a reason that follows "cell: ", and whether it was starved.

    ``life`` says that it was the kernel's own limit, which many cells may have used up together; ``overall`` that the
    time for the whole submission is over.
    """

    def __init__(self, status: str, reason: str, starved: bool = False, *, life: bool = False, overall: bool = False):
        """Keep the status of the exercise and a reason for people."""
        super().__init__(reason)
        self.status, self.reason, self.starved, self.life, self.overall = status, reason, starved, life, overall


BROKEN = "what it sent to the grader is no Jupyter message: it writes into the kernel's own channels, and was ended"


class Watched:
    """nbval's kernel for the time of one cell: looks whether it lives, counts what it says, and keeps time.

    nbval itself waits for a dead kernel until the time is over, and for a cell that cannot be interrupted for ever.
    """

    def __init__(self, kernel: Any, timeout: float, until: float = math.inf):
        """Take over a kernel's messages.

        Args:
            kernel: of nbval.
            timeout: seconds that a cell, or a call, may take.
            until: when (as `time.monotonic` counts) the time for the whole submission is over.
        """
        self.kernel, self.timeout, self.until = kernel, timeout, until
        self.provisioner: Any = getattr(getattr(kernel, "km", None), "provisioner", None)
        self.begin()
        self.said = 0
        self.published: deque[Any] = deque()
        self.error = ""
        self._get = type(kernel).get_message.__get__(kernel)
        kernel.get_message = self.get_message

    def begin(self) -> None:
        """Let the time run from now."""
        self.deadline = min(time.monotonic() + self.timeout, self.until)
        self.computed = self.processor_time()

    def processor_time(self) -> float:
        """Return the seconds that the kernel has computed; 0 for an ordinary one, which is not known."""
        return float(self.provisioner.processor_time()) if hasattr(self.provisioner, "processor_time") else 0.0

    def release(self) -> None:
        """Give nbval its own method back."""
        del self.kernel.get_message

    def get_message(self, stream: str, timeout: float | None = None) -> Any:
        """Return the next message, as nbval's own method; but raise `Ended` when there will be none."""
        wait_until = min(self.deadline, time.monotonic() + (timeout if timeout is not None else self.timeout))
        while True:
            if time.monotonic() > self.deadline:  # first: a flood must not put it off
                if self.deadline == self.until:
                    raise Ended(OVERALL, "the time for the whole submission was over", overall=True)
                starved = self.processor_time() - self.computed < STARVED * self.timeout
                raise Ended("timeout", f"it took more than {self.timeout:g} s, and was ended", starved)
            if stream == "iopub" and self.published:
                return self.published.popleft()
            message = self._receive(stream, POLL if stream == "iopub" else POLL / 10)
            if message is not None:
                if message["msg_type"] == "execute_reply":
                    self._note(message["content"])
                return message
            self._drain()  # a flood on one channel must not hide an end on the other
            if not self.alive():
                while (message := self._receive(stream, 0.05)) is not None:
                    if message["msg_type"] == "execute_reply":
                        return message
                raise self.fate()
            if self.deadline > time.monotonic() > wait_until:
                raise Empty

    def _receive(self, stream: str, timeout: float) -> Any:
        """Return the next message, None if there is none; what a kernel sends may be anything."""
        try:
            message = self._get(stream, timeout=timeout)
            self._count(message)
            content, parent = message["content"], message["parent_header"]
            if not (isinstance(content, dict) and isinstance(parent, dict) and isinstance(message["msg_type"], str)):
                raise TypeError("a message without content")
        except Empty:
            return None
        except Ended:
            raise
        except Exception:  # of zmq, of json, of jupyter_client's own checks
            raise Ended("kernel-died", BROKEN) from None
        return message

    def _drain(self) -> None:
        while len(self.published) < 10_000 and (message := self._receive("iopub", 0)) is not None:
            self.published.append(message)

    def _count(self, message: Any) -> None:
        self.said += len(str(message["content"]))  # nested deeper than str can follow: not to be read either
        if self.said > LARGEST_OUTPUT:
            raise Ended("output-limit", "it printed or displayed too much, and was ended")

    def _note(self, content: Any) -> None:
        """Keep what a cell raised, in one line."""
        payload = content.get("payload")
        payload = payload if isinstance(payload, list) else []
        if any(isinstance(load, dict) and load.get("source") == "ask_exit" for load in payload):
            raise Ended("kernel-died", "it asked Python to end, as exit() and quit() do")  # which it will in a moment
        if content.get("status") == "error":
            text = re.sub(r"\x1b\[[0-9;]*m", "", f"{content.get('ename')}: {content.get('evalue')}").strip()
            self.error = (text.splitlines() or [""])[0][:300]

    def evaluate(self, expression: str) -> dict[str, Any]:
        """Return what the kernel answers to one user expression, within the time of a cell."""
        self.begin()
        sent = self.kernel.kc.execute(
            "",
            silent=True,
            store_history=False,
            user_expressions={"it": expression},
            allow_stdin=False,
            stop_on_error=False,
        )
        while True:
            message = self.get_message("shell")
            if message["parent_header"].get("msg_id") == sent and message["msg_type"] == "execute_reply":
                self._read_to_idle(sent)
                said = message["content"].get("user_expressions")
                said = said.get("it") if isinstance(said, dict) else None
                return said if isinstance(said, dict) else {}

    def _read_to_idle(self, sent: str) -> None:
        """Read what a request published, so that what is wrong with it is not taken for the next exercise's."""
        while True:
            message = self.get_message("iopub")
            idle = message["content"].get("execution_state") == "idle"
            if idle and message["parent_header"].get("msg_id") == sent:
                return

    def check(self) -> None:
        """Raise `Ended` if the kernel is gone although its cell seemed to end."""
        if not self.alive():
            raise self.fate()

    def alive(self) -> bool:
        """Return whether the kernel runs."""
        return bool(self.kernel.is_alive())

    def fate(self) -> Ended:
        """Return why a kernel has ended, in words."""
        reason = str(self.provisioner.reason()) if hasattr(self.provisioner, "reason") else "it exited"
        if reason == "memory":
            return Ended("memory", "it used more memory than is allowed, and was ended")
        if reason == "timeout":
            return Ended("timeout", "it took too long, and was ended", starved=True, life=True)
        if reason == "output-limit":
            return Ended("output-limit", "it printed or displayed too much, and was ended", life=True)
        if reason == "processes":
            return Ended("kernel-died", "it started more processes or threads than are allowed, and was ended")
        # A SIGKILL that is none of ours comes from Linux when the machine is out of memory, perhaps for others' sake.
        return Ended(
            "kernel-died",
            f"it ended Python itself ({reason or 'it exited'}), as sys.exit or a crash does",
            starved=reason.endswith("signal 9"),
        )

    def end(self) -> None:
        """End the kernel."""
        with contextlib.suppress(Exception):
            self.kernel.stop()
