"""The sandbox itself, from what Linux gives any program: namespaces, another uid, limits, a filter of system calls.

A process takes these steps, in this order: `unshare_processes`, then in a child `build_rootfs`, `drop_privileges` and
`set_limits`. What the code inside sees: the list of `labkit.grading.sandbox.visible`, read-only; labkit without its
checks; an empty home and a work folder in memory, of limited size; its own processes; no network but its own loopback.

Nothing but the standard library is imported here.
"""

from __future__ import annotations

import errno
import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from . import linux, visible
from .linux import MS_BIND, MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_PRIVATE, MS_REC, make_read_only, mount
from .visible import HOME, SOCKETS, View

FIRST_UID, UIDS = 61184, 4000  # systemd keeps these numbers for users that exist only while a service runs
OPEN_FILES = 256
FULL, USER, LIMITS, NONE = "namespaces+uid", "namespaces", "limits", "none"


@dataclass(frozen=True)
class Limits:
    """What one kernel may use.

    Attributes:
        seconds: wall clock of the kernel's whole life; then it is killed (reason "timeout").
        memory: bytes in all its processes together; above, it is killed (reason "memory"). A single request for more
            raises MemoryError.
        processes: processes and threads.
        disk: bytes it may write: home, work folder, /tmp and /dev/shm together.
        output: bytes it may send to its client, on all channels, protocol included (reason "output-limit").
    """

    seconds: float = 60
    memory: int = 4 << 30
    processes: int = 64
    disk: int = 256 << 20
    output: int = 2 << 20


# The steps into the sandbox. The tier without namespaces skips the first two.


def unshare_processes(tier: str) -> None:
    """Make the next child of this process the first of a new process tree (unless root, also of a user namespace)."""
    if tier == USER:
        uid, gid = os.getuid(), os.getgid()
        linux.unshare(linux.CLONE_NEWUSER | linux.CLONE_NEWPID)
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"1000 {uid} 1")
        Path("/proc/self/gid_map").write_text(f"1000 {gid} 1")
    elif tier == FULL:
        linux.unshare(linux.CLONE_NEWPID)


def build_rootfs(uid: int, limits: Limits, place: Path, workdir: Path, stub: str, view: View) -> int:
    """Leave the machine's file system, network and IPC for private ones.

    Args:
        uid: who will own the work folder (as numbered in this process's user namespace).
        limits: of these, `disk`.
        place: an empty folder to build the new root on; nothing is left in it.
        workdir: its files are copied into the work folder: no notebooks, no links.
        stub: the source of the module that stands in for labkit.checks.
        view: what is visible; labkit is shown besides.

    Returns:
        A descriptor of the folder SOCKETS.
    """
    linux.unshare(linux.CLONE_NEWNS | linux.CLONE_NEWNET | linux.CLONE_NEWIPC | linux.CLONE_NEWUTS)
    linux.start_loopback()
    mount(None, "/", None, MS_REC | MS_PRIVATE)
    mount("tmpfs", place, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=4m")
    for source in view.shown:
        _show(source, place)
    for copy in view.hidden:
        _hide(copy, place)
    for package in visible.package_folders():
        _show_labkit(package, place, stub)
    _write_etc(place / "etc", uid)
    _make_dev(place / "dev")
    opened = _make_own_folders(uid, limits, place, workdir)
    _mount_proc(place / "proc")
    make_read_only(place, recursive=False)
    linux.change_root(place)
    linux.call("sethostname", b"kernel", 6)
    return opened


def drop_privileges(tier: str, uid: int) -> None:
    """Give up root, all capabilities, the way back to them, and the system calls that no lab needs."""
    if tier == FULL:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    if tier in (FULL, USER):
        linux.drop_capabilities()
    linux.no_new_privileges()
    if tier in (FULL, USER):
        linux.filter_calls()


def set_limits(tier: str, limits: Limits) -> None:
    """Set the resource limits of this process and its children."""
    import resource

    status = Path("/proc/self/statm")
    taken = int(status.read_text().split()[0]) * resource.getpagesize() if status.exists() else 2 << 30
    addresses = taken + limits.memory + (1 << 30)  # not memory: `memory` is watched by the keeper
    wanted = {
        resource.RLIMIT_AS: addresses,
        resource.RLIMIT_FSIZE: limits.disk,
        resource.RLIMIT_NOFILE: OPEN_FILES,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_MEMLOCK: 1 << 20,
        resource.RLIMIT_MSGQUEUE: 0,
    }
    # Counted per user (and, since Linux 5.14, per user namespace): elsewhere the user's other programs would count.
    if tier == FULL or (tier == USER and linux.version() >= (5, 14)):
        wanted[resource.RLIMIT_NPROC] = limits.processes
    for what, number in wanted.items():
        hard = resource.getrlimit(what)[1]
        number = number if hard == resource.RLIM_INFINITY else min(number, hard)
        resource.setrlimit(what, (number, number))


def uid_for(tier: str) -> int:
    """Return the user that a kernel runs as, as numbered inside: one of its own for each kernel where we are root."""
    return {FULL: FIRST_UID + os.getpid() % UIDS, USER: 1000}.get(tier, os.getuid())


def copy_files(source: Path, target: Path, uid: int, largest: int) -> None:
    """Copy the plain files of a folder, up to ``largest`` bytes in all; no links, no notebooks (kernels need none)."""
    left, device = largest, source.stat().st_dev
    for folder, names, files in os.walk(source):  # does not follow links
        inside = target / Path(folder).relative_to(source)
        paths = [Path(folder) / name for name in names]
        names[:] = [path.name for path in paths if path.stat().st_dev == device and not path.is_symlink()]  # nor mounts
        for name in names:
            (inside / name).mkdir()
            os.chown(inside / name, uid, uid)
        for name in files:
            path = Path(folder) / name
            if path.is_symlink() or not path.is_file() or path.suffix == ".ipynb":
                continue
            left -= path.stat().st_size
            if left < 0:
                raise OSError(errno.EFBIG, f"the files of a work folder must stay under {largest} bytes")
            shutil.copyfile(path, inside / name)
            os.chown(inside / name, uid, uid)


# The private file system


def _show(source: Path, root: Path) -> None:
    """Show a file or folder at its own path, read-only; a link as a link."""
    target = root / str(source)[1:]
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_symlink():  # what it leads to is shown, too
        leads_to = os.path.normpath(source.parent.resolve() / os.readlink(source))
        target.symlink_to(os.path.relpath(leads_to, source.parent))  # relative, so that it never leads out of ``root``
        return
    if source.is_dir():
        target.mkdir(exist_ok=True)
    else:
        target.touch()
    mount(source, target, None, MS_BIND | MS_REC)
    make_read_only(target)


def _hide(path: Path, root: Path) -> None:
    """Put something empty over what is visible at ``path``."""
    target = root / str(path)[1:]
    if target.is_dir():
        mount("tmpfs", target, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=4k")
        make_read_only(target)
    elif target.exists():
        mount("/dev/null", target, None, MS_BIND)


def _show_labkit(package: Path, root: Path, stub: str) -> None:
    """Make labkit anew at its path: the parts that labs import, and the stub in place of its checks."""
    target = root / str(package)[1:]
    target.mkdir(parents=True, exist_ok=True)
    mount("tmpfs", target, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=1m")
    for source in visible.package_entries(package):
        inside = target / source.name
        if source.is_dir():
            inside.mkdir()
        else:
            inside.touch()
        mount(source, inside, None, MS_BIND | MS_REC)
    (target / "checks").mkdir()
    (target / "checks" / "__init__.py").write_text(stub, encoding="utf-8")
    make_read_only(target)


def _write_etc(etc: Path, uid: int) -> None:
    etc.mkdir(exist_ok=True)
    (etc / "passwd").write_text(f"student:x:{uid}:{uid}::{HOME}:/bin/sh\n")
    (etc / "hosts").write_text("127.0.0.1 localhost\n")
    (etc / "nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files\n")


def _make_dev(dev: Path) -> None:
    dev.mkdir()
    for name in ("null", "zero", "full", "random", "urandom"):
        (dev / name).touch()
        mount(f"/dev/{name}", dev / name, None, MS_BIND)
    for name, target in (("fd", "fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")):
        (dev / name).symlink_to(f"/proc/self/{target}")
    (dev / "pts").mkdir()
    with suppress(OSError):  # inside some containers; then there is no terminal, which only `!command` asks for
        mount("devpts", dev / "pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=620,max=16")
        (dev / "ptmx").symlink_to("pts/ptmx")


def _make_own_folders(uid: int, limits: Limits, root: Path, workdir: Path) -> int:
    """Make what a kernel may write to, in memory; return a descriptor of the folder of its sockets."""
    owner = f"uid={uid},gid={uid},mode=700"
    home = root / HOME[1:]
    home.mkdir(parents=True, exist_ok=True)
    mount("tmpfs", home, "tmpfs", MS_NOSUID | MS_NODEV, f"{owner},size={limits.disk},nr_inodes=20000")
    for name, target in (("work", None), ("tmp", "tmp"), ("shm", "dev/shm")):
        (home / name).mkdir()
        os.chown(home / name, uid, uid)
        if target is not None:
            (root / target).mkdir(parents=True, exist_ok=True)
            mount(home / name, root / target, None, MS_BIND)
    copy_files(workdir, home / "work", uid, limits.disk // 2)
    sockets = root / SOCKETS[1:]
    sockets.mkdir(parents=True)
    mount("tmpfs", sockets, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, f"{owner},size=64k,nr_inodes=32")
    return os.open(sockets, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def _mount_proc(proc: Path) -> None:
    proc.mkdir()
    with suppress(PermissionError):  # inside some containers; then there is no /proc, and Python does without
        mount("proc", proc, "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
        mount(proc / "sys", proc / "sys", None, MS_BIND)
        make_read_only(proc / "sys")
