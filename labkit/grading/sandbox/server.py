"""The warm parent of kernels: a process that has imported what labs need, and forks a kernel whenever it is asked to.

Three kinds of processes, each a fork of the one before (importing torch is what takes long, and forks share it)::

    server   one; has one thread, no secrets, and never learns what a request says
    keeper   one a kernel, outside the box: reads the request, relays the kernel's channels, watches time, memory,
             processes and output, and ends it all when its client or the server goes
    first    one a kernel, in the box: furnishes it, gives up all rights, forks the kernel, and dies with it

The kernel talks through sockets in a folder that only its box has; the keeper holds a descriptor of that folder and
carries bytes between them and sockets that the client sees. So it can count them, and nothing the kernel does to its
own folder leads anywhere else. `labkit.grading.sandbox.kernels` is the client's side.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import random
import selectors
import shutil
import signal
import socket
import stat
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from labkit.grading.sandbox import namespaces
from labkit.grading.sandbox.namespaces import LIMITS, Limits

CHANNELS = ("shell", "iopub", "stdin", "hb", "control")  # their "ports" are 1 to 5
TICK = 0.05  # seconds between two looks at a kernel's memory and clock
CHECKS_STUB = '''\
"""What stands for labkit.checks while a submission is graded: its checks run outside."""


class CheckFailed(AssertionError):
    """A wrong answer."""


def check(exercise_id, answer=None, *, seed=None):
    """Do nothing: the answer is checked outside this kernel."""


def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)

    def unavailable(*arguments, **named):
        raise RuntimeError(f"labkit.checks.{name} is not available while a submission is graded")

    return unavailable
'''


@dataclass(frozen=True)
class Settings:
    """What a server is started with (as JSON): where it listens, and how its kernels live."""

    socket: str
    tier: str
    limits: Limits
    preload: Sequence[str]
    show: Sequence[str] = ()  # more folders that kernels may read

    @classmethod
    def read(cls, text: str) -> Settings:
        values = json.loads(text)
        return cls(**{**values, "limits": Limits(**values["limits"])})


# The server


def serve(settings: Settings) -> None:
    """Import what labs need, then fork a keeper for each connection, until standard input ends."""
    _stand_in_for_checks()
    for name in settings.preload:
        importlib.import_module(name)
    threads = len(os.listdir("/proc/self/task"))
    if threads != 1:
        raise RuntimeError(f"{', '.join(settings.preload)}: importing them started {threads - 1} threads; none may run")
    gc.collect()
    gc.freeze()  # the collector leaves alone what all kernels share
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # keepers leave no zombies
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(settings.socket)
    listener.listen(128)
    print(json.dumps({"ready": os.getpid()}), flush=True)
    parent = os.getppid()
    with selectors.DefaultSelector() as waiting:
        waiting.register(listener, selectors.EVENT_READ)
        waiting.register(sys.stdin, selectors.EVENT_READ)
        while os.getppid() == parent:
            asking = [key.fileobj for key, _ in waiting.select(1)]
            if sys.stdin in asking:  # its other end is closed: our parent is done
                break
            if not asking:
                continue
            control, _ = listener.accept()
            try:
                child = os.fork()
            except OSError as error:  # no more processes: this kernel does not start, the others go on
                child = -1
                with suppress(OSError):
                    _say(control, error=str(error))
            if child == 0:
                waiting.close()
                listener.close()
                _run(partial(_keep, control, settings), control)
            control.close()
    _dismiss()
    shutil.rmtree(Path(settings.socket).parent, ignore_errors=True)  # the parent may have been killed


def _dismiss() -> None:
    """End all keepers, and with them their kernels."""
    for keeper in children(os.getpid()):
        with suppress(ProcessLookupError):
            os.kill(keeper, signal.SIGTERM)
    with suppress(ChildProcessError):
        while True:
            os.wait()


def _stand_in_for_checks() -> None:
    """Load the stub as labkit.checks, before anything could load the real one."""
    import labkit

    module = ModuleType("labkit.checks")
    module.__path__ = []  # a package without modules
    exec(CHECKS_STUB, module.__dict__)
    sys.modules[module.__name__] = module
    labkit.checks = module  # type: ignore[attr-defined]


def _run(body: Callable[[], None], report: socket.socket) -> NoReturn:
    """The whole life of a forked process; an error is sent to ``report``."""
    try:
        body()
    except BaseException as error:
        traceback.print_exc()
        with suppress(OSError):
            _say(report, error=str(error) or type(error).__name__)
    os._exit(0)


def _say(to: socket.socket, **words: object) -> None:
    to.sendall(json.dumps(words).encode() + b"\n")


# The keeper


def _keep(control: socket.socket, settings: Settings) -> None:
    """Read a request, start its kernel, and stay until that has ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("the server has ended"))
    namespaces.die_with_parent(signal.SIGTERM)
    namespaces.adopt_orphans()
    os.setsid()
    request = json.loads(control.makefile().readline() or "null")
    if request is None:
        return
    place = Path(request["place"])
    (place / "root").mkdir(exist_ok=True)  # it is there when a kernel is restarted
    uid = namespaces.uid_for(settings.tier)
    listeners = [_listen(place / f"channel-{port + 1}") for port in range(len(CHANNELS))]
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    namespaces.separate(settings.tier)
    first = os.fork()
    if first == 0:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        for other in (control, ours, *listeners):
            other.close()
        _run(partial(_first, theirs, settings, uid, request), theirs)
    theirs.close()
    keeper = Keeper(control, ours, listeners, first, settings.limits)
    try:
        reason = keeper.watch()
    finally:
        _end(first)
    _say(control, ended=reason)


def _listen(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)  # of this kernel before it was restarted
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(16)
    return listener


def _end(first: int) -> None:
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
        """Whether a limit is passed."""
        if late:
            return "timeout"
        processes = list(descendants(self.first))
        if len(processes) > self.limits.processes:
            return "processes"
        if sum(map(resident, processes)) > self.limits.memory < sum(map(own_memory, processes)):
            return "memory"
        return ""

    def _hear_client(self, control: socket.socket, _: int) -> None:
        """The client asks for one thing only, the end; if it is gone, that is the same."""
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
            _say(self.control, ready=True, process=self.first)
        if "error" in words:
            _say(self.control, error=words["error"])
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


def children(process: int) -> Iterator[int]:
    """The processes that ``process`` started, those that have ended excepted."""
    for path in Path(f"/proc/{process}/task").glob("*/children"):
        with suppress(OSError):
            yield from map(int, path.read_text().split())


def descendants(process: int) -> Iterator[int]:
    """The processes that ``process`` started, directly or not."""
    for child in children(process):
        yield child
        yield from descendants(child)


def resident(process: int) -> int:
    """Bytes of memory that a process uses, those that it shares included."""
    with suppress(OSError, ValueError, IndexError):
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


def own_memory(process: int) -> int:
    """Bytes of memory that a process uses, where what n processes share counts 1/n (slower to find out)."""
    with suppress(OSError, ValueError, StopIteration):
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("Pss:")).split()[1]) << 10
    return resident(process)


def processor_time(process: int) -> float:
    """Seconds that a process and its descendants have computed."""
    ticks = 0
    for each in (process, *descendants(process)):
        with suppress(OSError, ValueError):
            fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:15]))  # its own and its ended children's, as user and in the system
    return ticks / os.sysconf("SC_CLK_TCK")


# In the box


def _first(keeper: socket.socket, settings: Settings, uid: int, request: Mapping[str, str]) -> None:
    """Furnish the box, give up all rights, fork the kernel, and tell the keeper how it ended."""
    signal.signal(
        signal.SIGINT, signal.SIG_DFL
    )  # the first of a namespace is safe from signals that it has no handler for
    Path("/proc/self/oom_score_adj").write_text("1000")  # when the machine runs out of memory, kernels go first
    place, workdir = Path(request["place"]), Path(request["workdir"])
    if settings.tier == LIMITS:
        home, work, sockets = place / "home", workdir, place / "inside"
        for folder in (home, home / "tmp", sockets):
            folder.mkdir(exist_ok=True)
        descriptor = os.open(sockets, os.O_RDONLY | os.O_DIRECTORY)
    else:
        show = [Path(folder) for folder in settings.show]
        descriptor = namespaces.build_rootfs(uid, settings.limits, place / "root", workdir, CHECKS_STUB, show)
        home, work, sockets = Path(namespaces.HOME), Path(namespaces.WORK), Path(namespaces.SOCKETS)
    namespaces.drop_privileges(settings.tier, uid)
    namespaces.die_with_parent()
    namespaces.hide_memory(True)
    socket.send_fds(keeper, [b"{}"], [descriptor])
    os.close(descriptor)
    kernel = os.fork()
    if kernel == 0:
        _run(partial(_kernel, keeper, settings, request["key"], home, work, sockets), keeper)
    while True:
        process, status = os.wait()  # of the others, those without a parent of their own
        if process == kernel:
            _say(keeper, ended=_fate(status))
            return


def _fate(status: int) -> str:
    if os.WIFSIGNALED(status):
        return f"exited on signal {os.WTERMSIG(status)}"
    return f"exited with status {os.WEXITSTATUS(status)}"


def _kernel(keeper: socket.socket, settings: Settings, key: str, home: Path, work: Path, sockets: Path) -> None:
    """Become a Jupyter kernel."""
    os.setsid()
    namespaces.die_with_parent()
    namespaces.hide_memory(False)
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3):
        os.dup2(null, descriptor)
    os.closerange(3, keeper.fileno())
    os.closerange(keeper.fileno() + 1, 1 << 16)
    os.chdir(work)
    os.environ.clear()
    os.environ.update(environment(home))
    tempfile.tempdir = None  # the server's is not to be seen from here
    namespaces.restrict(settings.tier, settings.limits)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    _seed()
    app = _application(key, sockets)
    _say(keeper, ready=True)
    keeper.close()
    app.start()


def environment(home: Path) -> dict[str, str]:
    """All the environment that a kernel has."""
    from labkit.notebook.execute import SETTINGS

    path = [str(Path(sys.executable).parent), "/usr/local/bin", "/usr/bin", "/bin"]
    own = {"PATH": os.pathsep.join(path), "HOME": str(home), "USER": "student", "LOGNAME": "student"}
    folders = {"TMPDIR": "tmp", "IPYTHONDIR": ".ipython", "MPLCONFIGDIR": ".matplotlib", "XDG_CACHE_HOME": ".cache"}
    folders |= {"JUPYTER_CONFIG_DIR": ".jupyter", "JUPYTER_DATA_DIR": ".data", "JUPYTER_RUNTIME_DIR": ".runtime"}
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    places = {name: str(home / folder) for name, folder in folders.items()}
    return {**own, **places, **threads, **SETTINGS, "LANG": "C.UTF-8", "OMP_WAIT_POLICY": "PASSIVE"}


def _seed() -> None:
    """Start every kernel from the same random numbers: the same submission then gets the same grade."""
    random.seed(0)
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed(0)
    if torch := sys.modules.get("torch"):
        torch.manual_seed(0)


def _application(key: str, sockets: Path) -> Any:
    """IPython's kernel, ready to be started: no configuration files, no history, no module from the work folder."""
    from ipykernel.kernelapp import IPKernelApp
    from traitlets.config import Config

    class Application(IPKernelApp):
        def load_config_file(self, *arguments: Any, **named: Any) -> None:
            pass

    connection: dict[str, object] = {f"{channel}_port": port + 1 for port, channel in enumerate(CHANNELS)}
    connection |= {"transport": "ipc", "ip": str(sockets / "channel"), "key": key, "signature_scheme": "hmac-sha256"}
    file = sockets / "connection.json"
    file.write_text(json.dumps(connection))
    config = Config()
    config.HistoryManager.enabled = False
    config.IPKernelApp.ignore_cwd = True
    config.IPKernelApp.exec_PYTHONSTARTUP = False
    app = Application.instance(config=config, connection_file=str(file))
    app.initialize([])
    return app


def ordinary() -> None:
    """An ordinary kernel, but for labkit.checks: a new process that shares nothing and is kept from nothing."""
    from ipykernel.kernelapp import IPKernelApp

    _stand_in_for_checks()
    IPKernelApp.launch_instance()


def main(text: str) -> None:
    """Serve; say why not in a line of JSON."""
    try:
        serve(Settings.read(text))
    except Exception as error:
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}), flush=True)
