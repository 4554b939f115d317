"""How well this machine can keep a kernel apart, found out by trying it.

A process of its own enters the sandbox and looks around: what must not be readable, it tries to read. Only then is a
tier called safe. Nothing but the standard library is imported here.
"""

from __future__ import annotations

import json
import os
import platform
import site
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path

from . import linux, visible
from .namespaces import (
    FULL,
    LIMITS,
    NONE,
    USER,
    Limits,
    build_rootfs,
    drop_privileges,
    set_limits,
    uid_for,
    unshare_processes,
)

NEEDED = ("numpy", "torch", "torchvision", "matplotlib", "skimage", "PIL", "IPython", "ipykernel", "zmq")


@dataclass(frozen=True)
class Tier:
    """How kernels are kept apart.

    Attributes:
        name: "namespaces+uid", "namespaces", "limits" or "none".
        rank: 3 to 0; higher is better.
        missing: what a better tier would give, a line each.
        safe: whether it may run hostile code; if not, callers ask for an explicit --unsafe.
    """

    name: str
    rank: int
    missing: tuple[str, ...]
    safe: bool


def best_tier(private: Iterable[Path] = ()) -> Tier:
    """Return the best tier that this machine allows.

    Args:
        private: files and folders that a kernel must not be able to read (submissions, results, a course), besides
            those that `visible.private_places` knows. A tier in which one can be read is not safe, and is not returned.
    """
    return tiers(private)[0]


def tiers(private: Iterable[Path] = ()) -> tuple[Tier, ...]:
    """Return the tiers that this machine allows, best first, each tried once in a process of its own."""
    return _tiers(tuple(os.path.abspath(path) for path in private))


@cache
def _tiers(private: tuple[str, ...]) -> tuple[Tier, ...]:
    if sys.platform != "linux":
        return (_none(f"{platform.system()} has no namespaces: network, files and other processes are in reach"),)
    # A fork of this process would be unsafe (it may have threads); a fresh one can try things and vanish.
    command = [sys.executable, *start_code("probe"), json.dumps(private)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd="/", env=bare_environment())
    if done.returncode:
        return (_none(f"the sandbox could not be tried: {(done.stderr.strip().splitlines() or ['killed'])[-1]}"),)
    return tuple(Tier(**{**tier, "missing": tuple(tier["missing"])}) for tier in json.loads(done.stdout))


def start_code(module: str) -> list[str]:
    """Return Python's arguments that run the ``main`` of a module of this folder, in the probe and in the server.

    Nothing of the caller's counts: no variable (`bare_environment`), no module of the current folder. The option -I
    would do the same, but it ignores PYTHONHASHSEED, too, and then the order of a set differs from run to run. What
    ``pip install --user`` has installed does count. The probe must not import torch and the like, as labkit's own
    packages may: it gets this folder as a package without its ``__init__``.
    """
    folders = [site.getusersitepackages()] if site.ENABLE_USER_SITE else []
    code = f"import sys; sys.path[:] = filter(None, sys.path); import site; [site.addsitedir(f) for f in {folders!r}]; "
    if module == "probe":
        package = "labkit_sandbox"
        code += f"import types; p = types.ModuleType({package!r}); p.__path__ = [{str(Path(__file__).parent)!r}]; "
        code += f"sys.modules[{package!r}] = p; "
    else:
        package = str(__package__)
    return ["-s", "-c", code + f"from {package}.{module} import main; main()"]


def bare_environment() -> dict[str, str]:
    """Return the variables with which the probe runs: none of Python's."""
    kept = ("PATH", "HOME", "LD_LIBRARY_PATH", "TMPDIR", "LANG")
    return {name: os.environ[name] for name in kept if name in os.environ}


def _none(*missing: str) -> Tier:
    lacks = (*missing, "no limits on memory, processes and disk", "a kernel's children may outlive it")
    return Tier(NONE, 0, lacks, False)


# In the process that tries it


def main() -> None:
    """Print the tiers that work here as JSON; the places that must not be readable are the last argument, as JSON."""
    places = [Path(path) for path in json.loads(sys.argv[-1])]
    print(json.dumps([asdict(tier) for tier in probe(places)]))


def probe(private: Sequence[Path] = ()) -> list[Tier]:
    """Return the tiers that work here, best first: a child enters each, and looks around. Forks."""
    found: list[Tier] = []
    missing: list[str] = []
    for name, rank, without in ((FULL, 3, "another uid for each kernel"), (USER, 2, "namespaces")):
        failure = _in_child(partial(_try, name, private))
        if not failure:
            found.append(Tier(name, rank, tuple(missing), True))
        missing.append(f"{without} ({failure or 'possible here'})")
    missing.append("network, files and other programs of this user are in reach")
    found.append(Tier(LIMITS, 1, tuple(missing), False))
    return [*found, _none(*missing)]


def _try(tier: str, private: Sequence[Path]) -> None:
    """Enter the sandbox, and raise if something is not as it should be."""
    if tier == FULL and os.getuid() != 0:
        raise PermissionError("only root can run kernels as another user")
    whole = ["0", "0", str(2**32 - 1)]
    if tier == USER and os.getuid() == 0 and Path("/proc/self/uid_map").read_text().split() == whole:
        raise PermissionError("the machine's own root stays the owner of its files, even without rights")
    if platform.machine() not in linux.AUDIT_ARCH:
        raise OSError(f"no system call filter for {platform.machine()}")
    uid = uid_for(tier)
    with tempfile.TemporaryDirectory(prefix="labkit-probe-") as folder:
        place, workdir = Path(folder, "root"), Path(folder, "work")
        place.mkdir()
        workdir.mkdir()
        unshare_processes(tier)
        failure = _in_child(lambda: _enter_and_look(tier, uid, place, workdir, private))
    if failure:
        raise OSError(failure)


def _enter_and_look(tier: str, uid: int, place: Path, workdir: Path, private: Sequence[Path]) -> None:
    view = visible.View.of(packages=NEEDED)
    watch = visible.Watch.over(visible.private_places(private), view)
    needed = [folder for name in NEEDED for folder in visible.folders_of(name)]
    build_rootfs(uid, Limits(), place, workdir, "", view)
    drop_privileges(tier, uid)
    set_limits(tier, Limits())
    Path(visible.WORK, "file").write_text("written")
    package = Path(__file__).parents[2]
    if not (package / "checks").is_dir():
        raise OSError(f"{package} is out of sight from inside, which has a /tmp of its own: move it elsewhere")
    if place.exists() or os.listdir(package / "checks") != ["__init__.py"]:
        raise OSError("what should be hidden is still in sight")
    for path in (Path(sys.executable), *needed):
        if not os.access(path, os.R_OK):
            raise OSError(f"{path} cannot be read from inside, and labs need it")
    watch.check()


def _in_child(function: Callable[[], None]) -> str:
    """Run a function in a fork; return its error in one line, nothing if all went well."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            function()
        except Exception as error:
            os.write(write, (str(error) or type(error).__name__).encode())
            os._exit(1)
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as stream:
        text = stream.read()
    status = os.waitpid(child, 0)[1]
    return text or ("" if status == 0 else f"ended with status {status}")
