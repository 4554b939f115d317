"""The warm parent of kernels: a process that has imported what labs need, and forks a kernel whenever it is asked to.

Three kinds of processes, each a fork of the one before (importing torch is what takes long, and forks share it)::

    server   one; has one thread, no secrets, and never learns what a request says
    keeper   one a kernel, outside the sandbox: reads the request, relays the kernel's channels, watches time, memory,
             processes and output, and ends it all when its client or the server goes (`labkit.grading.sandbox.keeper`)
    first    one a kernel, in the sandbox: builds it, gives up all rights, forks the kernel, and dies with it

`labkit.grading.sandbox.kernels` is the client's side.
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
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from labkit.grading.sandbox import linux, namespaces, visible
from labkit.grading.sandbox.keeper import CHANNELS, Keeper, children, end_kernel, say
from labkit.grading.sandbox.namespaces import LIMITS, Limits
from labkit.grading.sandbox.visible import View, Watch
from labkit.notebook.execute import SETTINGS

CHECKS_STUB = '''\
"""What stands for labkit.checks while a submission is graded: its checks run outside."""


class CheckFailed(AssertionError):
    """A wrong answer."""


def check(exercise_id, answer=None, *, seed=None):
    """Do nothing: the answer is checked outside this kernel."""


def hint(exercise_id):
    """Do nothing: a call left in an answer's cell must not keep the rest of the cell from running."""


def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)

    def unavailable(*arguments, **named):
        raise RuntimeError(f"labkit.checks.{name} is not available while a submission is graded")

    return unavailable
'''


@dataclass(frozen=True)
class Settings:
    """What a server is started with (as JSON): where it listens, and how its kernels live.

    Attributes:
        socket: path of the socket it listens at.
        tier: name of the tier.
        limits: of each kernel.
        preload: modules to import before the first kernel.
        show: more files and folders that kernels see.
        private: files and folders that no kernel may be able to read; a kernel that could is not started.
    """

    socket: str
    tier: str
    limits: Limits
    preload: Sequence[str]
    show: Sequence[str] = ()
    private: Sequence[str] = ()

    @classmethod
    def read(cls, text: str) -> Settings:
        """Return the settings from JSON."""
        values = json.loads(text)
        return cls(**{**values, "limits": Limits(**values["limits"])})


# The server


def serve(settings: Settings) -> None:
    """Import what labs need, then fork a keeper for each connection, until standard input ends."""
    _stand_in_for_checks()
    for name in settings.preload:
        importlib.import_module(name)
    packages = {name.split(".")[0] for name in settings.preload} - {"labkit"}
    view = View.of(map(Path, settings.show), packages)
    watch = Watch.over(visible.private_places(map(Path, settings.private)), view, by_name=False)
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
                    say(control, error=str(error))
            if child == 0:
                waiting.close()
                listener.close()
                _run(partial(_keep, control, settings, view, watch), control)
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
    """Load the stub as labkit.checks; refuse if the real one was loaded, since a fork would keep it in memory."""
    import labkit

    if loaded := [name for name in sys.modules if name.split(".")[:2] == ["labkit", "checks"]]:
        raise RuntimeError(f"{loaded[0]} is loaded in the server of kernels: nothing that it imports may import checks")

    module = ModuleType("labkit.checks")
    module.__path__ = []  # a package without modules
    exec(CHECKS_STUB, module.__dict__)
    sys.modules[module.__name__] = module
    labkit.checks = module


def _run(body: Callable[[], None], report: socket.socket) -> NoReturn:
    """Live the whole life of a forked process; an error is sent to ``report``."""
    try:
        body()
    except BaseException as error:
        traceback.print_exc()
        with suppress(OSError):
            say(report, error=str(error) or type(error).__name__)
    os._exit(0)


# The keeper


def _keep(control: socket.socket, settings: Settings, view: View, watch: Watch) -> None:
    """Read a request, start its kernel, and stay until that has ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("killed"))
    linux.die_with_parent(signal.SIGTERM)
    linux.become_subreaper()
    os.setsid()
    request = json.loads(control.makefile().readline() or "null")
    if request is None:
        return
    place = Path(request["place"])
    (place / "root").mkdir(exist_ok=True)  # it is there when a kernel is restarted
    uid = namespaces.uid_for(settings.tier)
    listeners = [_listen(place / f"channel-{port + 1}") for port in range(len(CHANNELS))]
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    namespaces.unshare_processes(settings.tier)
    first = os.fork()
    if first == 0:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        for other in (control, ours, *listeners):
            other.close()
        _run(partial(_first, theirs, settings, view, watch, uid, request), theirs)
    theirs.close()
    keeper = Keeper(control, ours, listeners, first, settings.limits)
    try:
        reason = keeper.watch()
    finally:
        end_kernel(first)
    say(control, ended=reason)


def _listen(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)  # of this kernel before it was restarted
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(16)
    return listener


# In the sandbox


def _first(
    keeper: socket.socket, settings: Settings, view: View, watch: Watch, uid: int, request: Mapping[str, str]
) -> None:
    """Build the sandbox, give up all rights, fork the kernel, and tell the keeper how it ended."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # the first of a namespace is safe from signals without a handler
    Path("/proc/self/oom_score_adj").write_text("1000")  # when the machine runs out of memory, kernels go first
    place, workdir = Path(request["place"]), Path(request["workdir"])
    if settings.tier == LIMITS:
        home, work, sockets = place / "home", workdir, place / "inside"
        for folder in (home, home / "tmp", sockets):
            folder.mkdir(exist_ok=True)
        descriptor = os.open(sockets, os.O_RDONLY | os.O_DIRECTORY)
    else:
        descriptor = namespaces.build_rootfs(uid, settings.limits, place / "root", workdir, CHECKS_STUB, view)
        home, work, sockets = (Path(name) for name in (visible.HOME, visible.WORK, visible.SOCKETS))
    namespaces.drop_privileges(settings.tier, uid)
    if settings.tier != LIMITS:  # the probe has looked once; a folder may have been moved or mounted since
        watch.check()
    linux.die_with_parent()
    linux.set_dumpable(False)
    socket.send_fds(keeper, [b"{}"], [descriptor])
    os.close(descriptor)
    kernel = os.fork()
    if kernel == 0:
        _run(partial(_kernel, keeper, settings, request["key"], home, work, sockets), keeper)
    while True:
        process, status = os.wait()  # of the others, those without a parent of their own
        if process == kernel:
            say(keeper, ended=_fate(status))
            return


def _fate(status: int) -> str:
    """Put a process's exit status in words."""
    if os.WIFSIGNALED(status):
        return f"exited on signal {os.WTERMSIG(status)}"
    return f"exited with status {os.WEXITSTATUS(status)}"


def _kernel(keeper: socket.socket, settings: Settings, key: str, home: Path, work: Path, sockets: Path) -> None:
    """Become a Jupyter kernel."""
    os.setsid()
    linux.die_with_parent()
    linux.set_dumpable(True)
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3):
        os.dup2(null, descriptor)
    os.closerange(3, keeper.fileno())
    os.closerange(keeper.fileno() + 1, 1 << 16)
    os.chdir(work)
    os.environ.clear()
    os.environ.update(environment(home))
    tempfile.tempdir = None  # the server's is not to be seen from here
    namespaces.set_limits(settings.tier, settings.limits)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    app = _application(key, sockets)
    _seed_before_the_first_cell(app.shell)
    say(keeper, ready=True)
    keeper.close()
    app.start()


def environment(home: Path) -> dict[str, str]:
    """Return all the environment that a kernel has."""
    path = [str(Path(sys.executable).parent), "/usr/local/bin", "/usr/bin", "/bin"]
    own = {"PATH": os.pathsep.join(path), "HOME": str(home), "USER": "student", "LOGNAME": "student"}
    folders = {"TMPDIR": "tmp", "IPYTHONDIR": ".ipython", "MPLCONFIGDIR": ".matplotlib", "XDG_CACHE_HOME": ".cache"}
    folders |= {"JUPYTER_CONFIG_DIR": ".jupyter", "JUPYTER_DATA_DIR": ".data", "JUPYTER_RUNTIME_DIR": ".runtime"}
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    places = {name: str(home / folder) for name, folder in folders.items()}
    return {**own, **places, **threads, **SETTINGS, "LANG": "C.UTF-8", "OMP_WAIT_POLICY": "PASSIVE"}


def _seed_before_the_first_cell(shell: Any) -> None:
    """Start the first cell of every kernel from the same random numbers: the same submission gets the same grade.

    Not earlier: IPython draws from `random` whenever a client asks for the kernel's banner (a tip of the day is in it),
    and a client asks again when the machine is slow.
    """

    def seed(*_: object) -> None:
        shell.events.unregister("pre_run_cell", seed)
        random.seed(0)
        if numpy := sys.modules.get("numpy"):
            numpy.random.seed(0)
        if torch := sys.modules.get("torch"):
            torch.manual_seed(0)

    shell.events.register("pre_run_cell", seed)


def _application(key: str, sockets: Path) -> Any:
    """Return IPython's kernel, ready to start: no configuration files, no history, no module from the work folder."""
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
    """Be an ordinary kernel, but for labkit.checks: a new process that shares nothing and is kept from nothing."""
    from ipykernel.kernelapp import IPKernelApp

    _stand_in_for_checks()
    for name in ("numpy", "torch"):  # so that they are there to be seeded
        importlib.import_module(name)
    app = IPKernelApp.instance()
    app.initialize()
    _seed_before_the_first_cell(app.shell)
    app.start()


def main() -> None:
    """Serve with the settings in the first line of standard input; say why not in a line of JSON."""
    try:
        serve(Settings.read(input()))
    except Exception as error:
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}), flush=True)
