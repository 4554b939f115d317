"""Work on what students sent, in a child process with limits of its own.

A notebook can be made so that Python's parser is busy for minutes, and a value so that looking at it takes all memory.
`Bounded` does such work in a fork of this process. When a limit is passed the child is ended, the caller learns why,
and the next request gets a fresh child. Requests and replies are JSON; nothing is pickled.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

SECONDS = 15.0  # of computing that one request may take
MEMORY = 3 << 30  # bytes that the child may use
PATIENCE = 10  # times SECONDS: on the clock, for a machine that is busy with others
LARGEST = 64 << 20  # bytes of a request or a reply


class Exceeded(Exception):
    """A request passed a limit, or brought the child down; the message says which, and fits after "it"."""


class Failed(Exception):
    """A handler raised: the class and the message of its exception."""


class Bounded:
    """A child process that answers requests one after the other; use it in a ``with`` block."""

    def __init__(self, handlers: Mapping[str, Callable[..., Any]], seconds: float = SECONDS, memory: int = MEMORY):
        """Prepare; the child is forked at the first request.

        Args:
            handlers: by name; arguments and results must be JSON.
            seconds: of computing that one request may take.
            memory: bytes that the child may use.
        """
        self.handlers, self.seconds, self.memory = dict(handlers), seconds, memory
        self._process = 0
        self._socket: socket.socket | None = None

    def __enter__(self) -> Bounded:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the child."""
        self.close()

    def ask(self, name: str, *arguments: Any) -> Any:
        """Return what the handler of that name returns.

        Raises:
            Exceeded: if a limit was passed, or the child died.
            Failed: if the handler raised.
        """
        if self._socket is None:
            self._fork()
        assert self._socket is not None
        try:
            _send(self._socket, [name, *arguments])
            reply = _receive(self._socket, time.monotonic() + PATIENCE * self.seconds)
        except (OSError, ValueError, EOFError, TimeoutError):
            raise Exceeded(self._why()) from None
        if "failed" in reply:
            raise Failed(reply["failed"])
        if "exceeded" in reply:
            self.close()
            raise Exceeded(reply["exceeded"])
        return reply["value"]

    def close(self) -> None:
        """End the child, if there is one."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
            with suppress(ProcessLookupError):
                os.kill(self._process, signal.SIGKILL)
            with suppress(ChildProcessError):
                os.waitpid(self._process, 0)

    def _why(self) -> str:
        """End a child that does not answer; return why it does not."""
        assert self._socket is not None
        self._socket.close()
        self._socket = None
        for _ in range(100):  # its end may be a moment away
            done, status = os.waitpid(self._process, os.WNOHANG)
            if done:
                ended = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
                if ended in (signal.SIGPROF, signal.SIGXCPU):
                    return f"took more than {self.seconds:g} s"
                return "took more memory than is allowed" if ended == signal.SIGKILL else "brought its reader down"
            time.sleep(0.01)
        os.kill(self._process, signal.SIGKILL)
        os.waitpid(self._process, 0)
        return f"took more than {PATIENCE * self.seconds:g} s"

    def _fork(self) -> None:
        ours, theirs = socket.socketpair()
        sys.stdout.flush()
        sys.stderr.flush()
        self._process = os.fork()
        if self._process == 0:
            ours.close()
            with suppress(BaseException):
                self._serve(theirs)
            os._exit(0)
        theirs.close()
        self._socket = ours

    def _serve(self, asked: socket.socket) -> None:
        """Live as the child."""
        import resource

        for signum in (signal.SIGPROF, signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, signal.SIG_DFL)
        with suppress(ValueError, OSError):  # a lower limit may hold already
            resource.setrlimit(resource.RLIMIT_DATA, (self.memory, self.memory))
        while True:
            name, *arguments = _receive(asked, None)
            signal.setitimer(signal.ITIMER_PROF, self.seconds)  # the default action of SIGPROF ends even a busy parser
            reply: dict[str, Any]
            try:
                reply = {"value": self.handlers[name](*arguments)}
                text = json.dumps(reply)
            except MemoryError:
                text = json.dumps({"exceeded": "took more memory than is allowed"})
            except BaseException as error:
                text = json.dumps({"failed": f"{type(error).__name__}: {str(error)[:500]}"})
            signal.setitimer(signal.ITIMER_PROF, 0)
            _send_text(asked, text)


def _send(to: socket.socket, value: Any) -> None:
    _send_text(to, json.dumps(value))


def _send_text(to: socket.socket, text: str) -> None:
    data = text.encode("utf-8", "surrogatepass")
    to.sendall(len(data).to_bytes(8, "big") + data)


def _receive(source: socket.socket, until: float | None) -> Any:
    """Return the next value; EOFError when the other side is gone, TimeoutError when it is late."""
    size = int.from_bytes(_read(source, 8, until), "big")
    if size > LARGEST:
        raise ValueError("too long")
    return json.loads(_read(source, size, until).decode("utf-8", "surrogatepass"))


def _read(source: socket.socket, size: int, until: float | None) -> bytes:
    data = bytearray()
    while len(data) < size:
        if until is not None and not select.select([source], [], [], max(0.0, until - time.monotonic()))[0]:
            raise TimeoutError
        part = source.recv(min(size - len(data), 1 << 20))
        if not part:
            raise EOFError
        data += part
    return bytes(data)
