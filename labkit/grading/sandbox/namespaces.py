"""A box for hostile code, from what Linux gives any program: namespaces, another uid, limits, a system call filter.

What the code inside sees: the system's programs and Python, read-only; labkit without its checks; an empty home and a
work folder in memory, of limited size; its own processes; no network, not even loopback. Bubblewrap and containers do
the same for a program that they start; here a process that already runs (a fork of one that has imported torch) walks
into its box, so the few system calls are written out.

What a machine allows is found by trying it, in a process of its own (this file, run as a script): `best_tier`. Nothing
but the standard library is imported here.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import platform
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path

HOME = "/home/student"  # inside; the work folder, /tmp and /dev/shm are parts of it
WORK = f"{HOME}/work"
SOCKETS = "/run/kernel"  # inside: where the kernel's channels are
FIRST_UID, UIDS = 61184, 4000  # systemd keeps these numbers for users that exist only while a service runs
OPEN_FILES = 256
CHECKS = Path(__file__).parents[2] / "checks"
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


@cache
def tiers() -> tuple[Tier, ...]:
    """The tiers that this machine allows, best first, each tried once in a process of its own."""
    if sys.platform != "linux":
        return (_none(f"{platform.system()} has no namespaces: network, files and other processes are in reach"),)
    # A fork of this process would be unsafe (it may have threads); a fresh one can try things and vanish.
    done = subprocess.run([sys.executable, "-I", __file__], capture_output=True, text=True, timeout=60)
    if done.returncode:
        return (_none(f"the sandbox could not be tried: {(done.stderr.strip().splitlines() or ['killed'])[-1]}"),)
    return tuple(Tier(**{**tier, "missing": tuple(tier["missing"])}) for tier in json.loads(done.stdout))


def best_tier() -> Tier:
    """The best tier that this machine allows, probed once."""
    return tiers()[0]


def _none(*missing: str) -> Tier:
    return Tier(
        NONE, 0, (*missing, "no limits on memory, processes and disk", "a kernel's children may outlive it"), False
    )


# The steps into the box, in the order in which they are taken. A tier without namespaces skips the first two.


def separate(tier: str) -> None:
    """Let the next child of this process be the first of a new process tree (and, unless root, of a user namespace)."""
    if tier == USER:
        uid, gid = os.getuid(), os.getgid()
        _call("unshare", CLONE_NEWUSER | CLONE_NEWPID)
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"1000 {uid} 1")
        Path("/proc/self/gid_map").write_text(f"1000 {gid} 1")
    elif tier == FULL:
        _call("unshare", CLONE_NEWPID)


def build_rootfs(uid: int, limits: Limits, place: Path, workdir: Path, stub: str, extra: Sequence[Path] = ()) -> int:
    """Leave the machine's file system, network and IPC for a private one; returns a descriptor of the folder SOCKETS.

    Args:
        uid: who will own the work folder (as numbered in this process's user namespace).
        limits: of these, `disk`.
        place: an empty folder to build the new root on; nothing is left in it.
        workdir: its files are copied into the work folder: no notebooks, no links.
        stub: the source of the module that stands in for labkit.checks.
        extra: more folders to show, read-only.
    """
    _call("unshare", CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS)
    _start_loopback()
    _mount(None, "/", None, MS_REC | MS_PRIVATE)
    _mount("tmpfs", place, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=4m")
    shown = _shown(extra)
    for source in shown:
        _show(source, place)
    _hide_checks(shown, place, stub)
    _write_etc(place / "etc", uid)
    _make_dev(place / "dev")

    owner = f"uid={uid},gid={uid},mode=700"
    box = place / HOME[1:]
    box.mkdir(parents=True)
    _mount("tmpfs", box, "tmpfs", MS_NOSUID | MS_NODEV, f"{owner},size={limits.disk},nr_inodes=20000")
    for name, target in (("work", None), ("tmp", "tmp"), ("shm", "dev/shm")):
        (box / name).mkdir()
        os.chown(box / name, uid, uid)
        if target is not None:
            (place / target).mkdir(parents=True, exist_ok=True)
            _mount(box / name, place / target, None, MS_BIND)
    copy_files(workdir, box / "work", uid, limits.disk // 2)

    sockets = place / SOCKETS[1:]
    sockets.mkdir(parents=True)
    _mount("tmpfs", sockets, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, f"{owner},size=64k,nr_inodes=32")
    opened = os.open(sockets, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    (place / "proc").mkdir()
    with suppress(PermissionError):  # inside some containers; then there is no /proc, and Python does without
        _mount("proc", place / "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
        _mount(place / "proc" / "sys", place / "proc" / "sys", None, MS_BIND)
        _protect(place / "proc" / "sys")
    _protect(place, recursive=False)
    os.chdir(place)
    _system_call("pivot_root", b".", b".")
    _call("umount2", b".", MNT_DETACH)
    os.chdir("/")
    _call("sethostname", b"kernel", 6)
    return opened


def drop_privileges(tier: str, uid: int) -> None:
    """Give up root, all capabilities, the way back to them, and the system calls that no lab needs."""
    if tier == FULL:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    if tier in (FULL, USER):
        _call("capset", struct.pack("=Ii", 0x2008_0522, 0), struct.pack("=6I", *[0] * 6))
    _call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if tier in (FULL, USER):
        _filter_calls()


def restrict(tier: str, limits: Limits) -> None:
    """Set the resource limits of this process and its children."""
    import resource

    status = Path("/proc/self/statm")
    taken = int(status.read_text().split()[0]) * resource.getpagesize() if status.exists() else 2 << 30
    wanted = {
        resource.RLIMIT_AS: taken
        + limits.memory
        + (1 << 30),  # addresses, not memory: `memory` is watched by the keeper
        resource.RLIMIT_FSIZE: limits.disk,
        resource.RLIMIT_NOFILE: OPEN_FILES,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_MEMLOCK: 1 << 20,
        resource.RLIMIT_MSGQUEUE: 0,
    }
    # Counted per user (and, since Linux 5.14, per user namespace): elsewhere the user's other programs would count.
    if tier == FULL or (tier == USER and _linux() >= (5, 14)):
        wanted[resource.RLIMIT_NPROC] = limits.processes
    for what, number in wanted.items():
        hard = resource.getrlimit(what)[1]
        number = number if hard == resource.RLIM_INFINITY else min(number, hard)
        resource.setrlimit(what, (number, number))


def die_with_parent(sign: int = 9) -> None:
    """Have this process sent a signal when its parent ends. Forgotten when the user changes: call it after that."""
    _call("prctl", PR_SET_PDEATHSIG, sign, 0, 0, 0)


def hide_memory(hidden: bool) -> None:
    """Forbid (or allow again) other processes of the same user to look into this one."""
    _call("prctl", PR_SET_DUMPABLE, int(not hidden), 0, 0, 0)


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends, so that none gets away."""
    _call("prctl", PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def uid_for(tier: str) -> int:
    """The user that a kernel runs as, as numbered inside: one of its own for each kernel where we are root."""
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


def _start_loopback() -> None:
    """The box's own: what a kernel's child processes print goes through it."""
    import fcntl

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        up_and_running = struct.pack("16sh14x", b"lo", 0x41)
        fcntl.ioctl(any_socket, 0x8914, up_and_running)  # SIOCSIFFLAGS


# The private file system


def _shown(extra: Sequence[Path]) -> list[Path]:
    """What of the machine is shown inside, read-only; none of it lies in another."""
    labkit = Path(__file__).resolve().parents[2]
    system = [Path(name) for name in ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")]
    system += [Path("/etc") / name for name in ("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives", "fonts")]
    python = [Path(sys.prefix), Path(sys.exec_prefix), Path(sys.base_prefix), Path(sys.base_exec_prefix)]
    tables = [labkit.parent / "data" / name for name in ("published", "measured")]
    wanted = [*system, *python, *(path.resolve() for path in python), labkit, *tables, *extra]
    kept: list[Path] = []
    for path in sorted({path for path in wanted if path.exists()}, key=lambda path: len(path.parts)):
        if not any(path.is_relative_to(other) for other in kept):
            kept.append(path)
    return kept


def _show(source: Path, root: Path) -> None:
    target = root / str(source)[1:]
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_symlink():  # /lib -> usr/lib
        target.symlink_to(os.readlink(source))
        return
    if source.is_dir():
        target.mkdir(exist_ok=True)
    else:
        target.touch()
    _mount(source, target, None, MS_BIND | MS_REC)
    _protect(target)


def _hide_checks(shown: Sequence[Path], root: Path, stub: str) -> None:
    """Put a folder with the stub over labkit/checks, by whatever path it is shown."""
    checks = CHECKS.resolve()
    for source in shown:
        real = source.resolve()
        if not source.is_symlink() and checks.is_relative_to(real):
            hidden = root / str(source)[1:] / checks.relative_to(real)
            _mount("tmpfs", hidden, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=1m")
            (hidden / "__init__.py").write_text(stub, encoding="utf-8")
            _protect(hidden)


def _write_etc(etc: Path, uid: int) -> None:
    etc.mkdir(exist_ok=True)
    (etc / "passwd").write_text(f"student:x:{uid}:{uid}::{HOME}:/bin/sh\n")
    (etc / "hosts").write_text("127.0.0.1 localhost\n")
    (etc / "nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files\n")


def _make_dev(dev: Path) -> None:
    dev.mkdir()
    for name in ("null", "zero", "full", "random", "urandom"):
        (dev / name).touch()
        _mount(f"/dev/{name}", dev / name, None, MS_BIND)
    for name, target in (("fd", "fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")):
        (dev / name).symlink_to(f"/proc/self/{target}")
    (dev / "pts").mkdir()
    with suppress(OSError):  # inside some containers; then there is no terminal, which only `!command` asks for
        _mount("devpts", dev / "pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=620,max=16")
        (dev / "ptmx").symlink_to("pts/ptmx")


def _mount(source: str | Path | None, target: str | Path, kind: str | None, flags: int, data: str = "") -> None:
    words = [None if word is None else os.fsencode(word) for word in (source, target, kind)]
    _call("mount", *words, ctypes.c_ulong(flags), data.encode() or None)


def _protect(target: Path, recursive: bool = True) -> None:
    """Make what is mounted at ``target`` read-only, with all that is mounted inside it."""
    attributes = struct.pack("=QQQQ", ATTR_RDONLY | ATTR_NOSUID | (ATTR_NODEV if recursive else 0), 0, 0, 0)
    where = (AT_FDCWD, os.fsencode(target), AT_RECURSIVE if recursive else 0)
    _system_call("mount_setattr", *where, attributes, len(attributes))  # Linux 5.12


# The system call filter


def _filter_calls() -> None:
    """Refuse what hidden memory, new namespaces, other families of sockets and the kernel's less tried corners need.

    Memory in a memfd or in a System V segment counts for no process, so that the watch over memory would not see it;
    AF_VSOCK leads from a virtual machine to its host, past the network namespace.
    """
    machine = platform.machine()
    if machine not in AUDIT_ARCH:
        return
    refuse = _instruction(RETURN, RET_ERRNO | errno.EPERM)
    program = [_instruction(LOAD, 4), _instruction(IF_EQUAL, AUDIT_ARCH[machine], 1, 0), refuse, _instruction(LOAD, 0)]
    if machine == "x86_64":
        program += [_instruction(IF_AT_LEAST, 0x4000_0000, 0, 1), refuse]  # the same calls under other numbers (x32)
    for name in REFUSED:
        program += [_instruction(IF_EQUAL, _number(name), 0, 1), refuse]
    program += [_instruction(IF_EQUAL, _number("clone3"), 0, 1), _instruction(RETURN, RET_ERRNO | errno.ENOSYS)]
    program += [_instruction(IF_EQUAL, _number("clone"), 0, 4), _instruction(LOAD, 16)]
    program += [_instruction(IF_ANY_BIT, CLONE_NEW, 0, 1), refuse, _instruction(RETURN, RET_ALLOW)]
    program += [_instruction(IF_EQUAL, _number("socket"), 0, len(FAMILIES) + 2), _instruction(LOAD, 16)]
    for index, family in enumerate(FAMILIES):
        program += [_instruction(IF_EQUAL, family, len(FAMILIES) - index, 0)]
    program += [_instruction(RETURN, RET_ERRNO | errno.EAFNOSUPPORT), _instruction(RETURN, RET_ALLOW)]
    code = ctypes.create_string_buffer(b"".join(program))
    header = struct.pack("HxxxxxxP", len(program), ctypes.addressof(code))
    _call("prctl", PR_SET_SECCOMP, 2, header, 0, 0)


def _instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)


CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x0002_0000, 0x0400_0000, 0x0800_0000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x1000_0000, 0x2000_0000, 0x4000_0000
CLONE_NEW = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | 0x0200_0000
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 2, 4, 8, 4096, 16384, 1 << 18
MNT_DETACH, AT_FDCWD, AT_RECURSIVE = 2, -100, 0x8000
ATTR_RDONLY, ATTR_NOSUID, ATTR_NODEV = 1, 2, 4
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 4, 22, 36, 38
LOAD, IF_EQUAL, IF_AT_LEAST, IF_ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
RET_ALLOW, RET_ERRNO = 0x7FFF_0000, 0x0005_0000
FAMILIES = (1, 2, 10, 16)  # unix, inet, inet6, netlink
AUDIT_ARCH = {"x86_64": 0xC000_003E, "aarch64": 0xC000_00B7}
REFUSED = {  # numbers on x86_64 and aarch64
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51), "mount_setattr": (442, 442),
    "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430), "fsconfig": (431, 431),
    "fsmount": (432, 432), "fspick": (433, 433), "unshare": (272, 97), "setns": (308, 268), "ptrace": (101, 117),
    "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272), "pidfd_getfd": (438, 438),
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282), "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426), "io_uring_register": (427, 427), "add_key": (248, 217), "request_key": (249, 218),
    "keyctl": (250, 219), "kexec_load": (246, 104), "kexec_file_load": (320, 294), "init_module": (175, 105),
    "finit_module": (313, 273), "delete_module": (176, 106), "memfd_create": (319, 279), "memfd_secret": (447, 447),
    "shmget": (29, 194), "msgget": (68, 186), "semget": (64, 190), "mq_open": (240, 180), "swapon": (167, 224),
    "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265), "acct": (163, 89), "quotactl": (179, 60),
    "syslog": (103, 116),
}  # fmt: skip
OTHERS = {"clone": (56, 220), "clone3": (435, 435), "socket": (41, 198)}


def _number(name: str) -> int:
    """The number of a system call on this machine."""
    return {**REFUSED, **OTHERS}[name][platform.machine() == "aarch64"]


def _call(name: str, *arguments: object) -> None:
    """Call a function of the C library; raises OSError with its name when it fails."""
    if getattr(_libc(), name)(*arguments) == -1:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")


def _system_call(name: str, *arguments: object) -> None:
    """The same for one that the C library has no function for."""
    if _libc().syscall(_number(name), *arguments) == -1:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _linux() -> tuple[int, ...]:
    return tuple(int("".join(filter(str.isdigit, part)) or 0) for part in platform.release().split(".")[:2])


# Trying it


def _probe() -> list[Tier]:
    """The tiers that work here, best first: each is walked into by a child, which then looks around."""
    found: list[Tier] = []
    missing: list[str] = []
    for name, rank, without in ((FULL, 3, "another uid for each kernel"), (USER, 2, "namespaces")):
        failure = _in_child(partial(_try, name))
        if not failure:
            found.append(Tier(name, rank, tuple(missing), True))
        missing.append(f"{without} ({failure or 'possible here'})")
    missing.append("network, files and other programs of this user are in reach")
    found.append(Tier(LIMITS, 1, tuple(missing), False))
    return [*found, _none(*missing)]


def _try(tier: str) -> None:
    """Walk into the box and raise if something is not as it should be."""
    if tier == FULL and os.getuid() != 0:
        raise PermissionError("only root can run kernels as another user")
    if (
        tier == USER
        and os.getuid() == 0
        and Path("/proc/self/uid_map").read_text().split() == ["0", "0", str(2**32 - 1)]
    ):
        raise PermissionError("the machine's own root stays the owner of its files, even without rights")
    if platform.machine() not in AUDIT_ARCH:
        raise OSError(f"no system call filter for {platform.machine()}")
    uid = uid_for(tier)
    with tempfile.TemporaryDirectory(prefix="labkit-probe-") as folder:
        place, workdir = Path(folder, "root"), Path(folder, "work")
        place.mkdir()
        workdir.mkdir()
        separate(tier)
        failure = _in_child(lambda: _enter_and_look(tier, uid, place, workdir))
    if failure:
        raise OSError(failure)


def _enter_and_look(tier: str, uid: int, place: Path, workdir: Path) -> None:
    build_rootfs(uid, Limits(), place, workdir, "")
    drop_privileges(tier, uid)
    restrict(tier, Limits())
    Path(WORK, "file").write_text("written")
    if not CHECKS.is_dir():
        raise OSError(f"{CHECKS.parent} is out of sight from inside, which has a /tmp of its own: move it elsewhere")
    if place.exists() or os.listdir(CHECKS) != ["__init__.py"]:
        raise OSError("what should be hidden is still in sight")
    if not Path(sys.executable).exists():
        raise OSError(f"Python itself ({sys.executable}) cannot be read from inside")


def _in_child(function: Callable[[], None]) -> str:
    """Run a function in a fork; returns its error in one line, nothing if all went well."""
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


if __name__ == "__main__":
    print(json.dumps([asdict(tier) for tier in _probe()]))
