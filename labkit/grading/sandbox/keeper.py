"""Watch one kernel from outside its sandbox: relay its channels, count its output, end it when a limit is passed.

The kernel's sockets are in a folder that only its sandbox has. The keeper holds a descriptor of that folder and carries
bytes between them and sockets that the client sees. So it can count them, and nothing that the kernel does to its own
folder leads anywhere else.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import socket
import stat
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from labkit.grading.sandbox.namespaces import Limits

CHANNELS = ("shell", "iopub", "stdin", "hb", "control")  # their "ports" are 1 to 5
TICK = 0.05  # seconds between two looks at a kernel's memory and clock


def say(to: socket.socket, **words: object) -> None:
    """Send a message: a line of JSON."""
    to.sendall(json.dumps(words).encode() + b"\n")


def end_kernel(first: int) -> None:
    """Kill a kernel with everything it started: the first process of a namespace takes all others along."""
    for _ in range(1000):  # without namespaces, what it started is hunted down one by one
        for process in [first, *descendants(os.getpid())]:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(process, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.002)


@dataclass
class Flow:
    """Bytes on their way from one socket to another."""

    source: socket.socket
    target: socket.socket
    counted: bool
    waiting: bytes = b""


@dataclass
class Keeper:
    """Relays a kernel's channels, and watches it until there is a reason to end it.

    ``first`` is the process in whose descendants the kernel is; ``inside`` is the socket to it.
    """

    control: socket.socket
    inside: socket.socket
    listeners: Sequence[socket.socket]
    first: int
    limits: Limits
    sent: int = 0  # bytes from the kernel
    reason: str = ""
    folder: int = -1  # descriptor of the folder with the kernel's sockets
    flows: dict[socket.socket, Flow] = field(default_factory=dict)  # by source; a connection has two
    selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)

    def watch(self) -> str:
        """Return why the kernel has ended, or must."""
        deadline = time.monotonic() + self.limits.seconds
        look = 0.0
        self.selector.register(self.control, selectors.EVENT_READ, self._hear_client)
        self.selector.register(self.inside, selectors.EVENT_READ, self._hear_inside)
        while not self.reason:
            self._relay(TICK)
            if (now := time.monotonic()) >= look:
                look = now + TICK
                self.reason = self.reason or self._look(now > deadline)
        for _ in range(20):  # what was said before the end
            self._relay(0)
        return self.reason

    def _relay(self, timeout: float) -> None:
        for key, events in self.selector.select(timeout):
            key.data(key.fileobj, events)

    def _look(self, late: bool) -> str:
        """Return which limit is passed, if one is."""
        if late:
            return "timeout"
        processes = descendants(self.first)
        if len(processes) > self.limits.processes:
            return "processes"
        if sum(map(resident, processes)) > self.limits.memory < sum(map(own_memory, processes)):
            return "memory"
        return ""

    def _hear_client(self, control: socket.socket, _: int) -> None:
        """End: the client asks for nothing else, and if it is gone, that is the same."""
        control.recv(1000)
        self.reason = self.reason or "killed"

    def _hear_inside(self, inside: socket.socket, _: int) -> None:
        said, descriptors, _flags, _address = socket.recv_fds(inside, 10_000, 1)
        words = json.loads(said) if said else {"ended": "killed"}  # the first process ended without a word
        if descriptors:
            self.folder = descriptors[0]
        if "ready" in words:
            for port, listener in enumerate(self.listeners):
                self.selector.register(listener, selectors.EVENT_READ, partial(self._connect, port + 1))
            say(self.control, ready=True, process=self.first)
        if "error" in words:
            say(self.control, error=words["error"])
        if "ended" in words or "error" in words:
            self.selector.unregister(inside)
            self.reason = self.reason or words.get("ended", "killed")

    def _connect(self, port: int, listener: socket.socket, _: int) -> None:
        """Join a client's new connection to one of the kernel's sockets."""
        client, _ = listener.accept()
        kernel = socket.socket(socket.AF_UNIX)
        kernel.setblocking(False)
        client.setblocking(False)
        try:
            # The kernel may have put anything in place of its socket: hold what is there, follow no link.
            held = os.open(f"channel-{port}", os.O_PATH | os.O_NOFOLLOW, dir_fd=self.folder)
            try:
                if not stat.S_ISSOCK(os.fstat(held).st_mode):
                    raise OSError("no socket")
                kernel.connect(f"/proc/self/fd/{held}")
            finally:
                os.close(held)
        except OSError:
            client.close()
            kernel.close()
            return
        self.flows[client] = Flow(client, kernel, False)
        self.flows[kernel] = Flow(kernel, client, True)
        for side in (client, kernel):
            self.selector.register(side, selectors.EVENT_READ, self._carry)

    def _carry(self, side: socket.socket, events: int) -> None:
        """Take bytes from one side of a connection, or bring it those that wait; read on only when none do."""
        flow = self.flows.get(side)
        if flow is None:  # closed a moment ago
            return
        back = self.flows[flow.target]
        try:
            if events & selectors.EVENT_READ and not flow.waiting:
                flow.waiting = side.recv(1 << 16)
                if not flow.waiting:
                    raise ConnectionError
                self.sent += len(flow.waiting) if flow.counted else 0
                if self.sent > self.limits.output:
                    self.reason = self.reason or "output-limit"
                    return
            for moving in (flow, back):
                if moving.waiting:
                    with suppress(BlockingIOError):
                        moving.waiting = moving.waiting[moving.target.send(moving.waiting) :]
        except OSError:
            self._disconnect(flow)
            return
        for one, other in ((flow, back), (back, flow)):
            read = 0 if one.waiting else selectors.EVENT_READ
            self._interest(one.source, read | (selectors.EVENT_WRITE if other.waiting else 0))

    def _interest(self, side: socket.socket, events: int) -> None:
        registered = side in self.selector.get_map()
        if events and registered:
            self.selector.modify(side, events, self._carry)
        elif events:
            self.selector.register(side, events, self._carry)
        elif registered:
            self.selector.unregister(side)

    def _disconnect(self, flow: Flow) -> None:
        for side in (flow.source, flow.target):
            self._interest(side, 0)
            del self.flows[side]
            side.close()


def children(process: int) -> list[int]:
    """Return the processes that ``process`` started, those that have ended excepted."""
    found: list[int] = []
    with suppress(OSError):  # it may end while it is looked at
        for thread in os.listdir(f"/proc/{process}/task"):
            with suppress(OSError):
                found += map(int, Path(f"/proc/{process}/task/{thread}/children").read_text().split())
    return found


def descendants(process: int) -> list[int]:
    """Return the processes that ``process`` started, directly or not."""
    found = children(process)
    for child in found:  # grows meanwhile; a chain of forks may be longer than Python's stack
        found += children(child)
    return found


def resident(process: int) -> int:
    """Return the bytes of memory that a process uses, those that it shares included."""
    with suppress(OSError, ValueError, IndexError):
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


def own_memory(process: int) -> int:
    """Return the bytes of memory that a process uses, where what n processes share counts 1/n (slower to find out)."""
    with suppress(OSError, ValueError, StopIteration):
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("Pss:")).split()[1]) << 10
    return resident(process)


def processor_time(process: int) -> float:
    """Return the seconds that a process and its descendants have computed."""
    ticks = 0
    for each in (process, *descendants(process)):
        with suppress(OSError, ValueError):
            fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:15]))  # its own and its ended children's, as user and in the system
    return ticks / os.sysconf("SC_CLK_TCK")
