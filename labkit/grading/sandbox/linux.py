"""The system calls of the sandbox: mounts, a filter of system calls, and what a process may say about itself.

Bubblewrap and containers make the same calls for a program that they start. Here a process that already runs (a fork
of one that has imported torch) enters its sandbox, and Python's library has no function for most of them. Nothing but
the standard library is imported here, and nothing that Windows or macOS lacks.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import socket
import struct
from functools import cache
from pathlib import Path


def unshare(flags: int) -> None:
    """Leave the namespaces that ``flags`` names (``CLONE_NEW...``) for new ones."""
    call("unshare", flags)


def mount(source: str | Path | None, target: str | Path, kind: str | None, flags: int, data: str = "") -> None:
    """Show ``source`` at ``target``, as the system call of this name does."""
    words = [None if word is None else os.fsencode(word) for word in (source, target, kind)]
    call("mount", *words, ctypes.c_ulong(flags), data.encode() or None)


def make_read_only(target: Path, recursive: bool = True) -> None:
    """Make what is mounted at ``target`` read-only, with all that is mounted inside it, and without device files."""
    attributes = struct.pack("=QQQQ", ATTR_RDONLY | ATTR_NOSUID | (ATTR_NODEV if recursive else 0), 0, 0, 0)
    where = (AT_FDCWD, os.fsencode(target), AT_RECURSIVE if recursive else 0)
    system_call("mount_setattr", *where, attributes, len(attributes))  # Linux 5.12


def change_root(folder: Path) -> None:
    """Make ``folder`` the root of the file system, and let go of the old root."""
    os.chdir(folder)
    system_call("pivot_root", b".", b".")
    call("umount2", b".", MNT_DETACH)
    os.chdir("/")


def start_loopback() -> None:
    """Start the sandbox's own loopback device: what a kernel's child processes print goes through it."""
    import fcntl

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        up_and_running = struct.pack("16sh14x", b"lo", 0x41)
        fcntl.ioctl(any_socket, 0x8914, up_and_running)  # SIOCSIFFLAGS


def drop_capabilities() -> None:
    """Give up all capabilities."""
    call("capset", struct.pack("=Ii", 0x2008_0522, 0), struct.pack("=6I", *[0] * 6))


def no_new_privileges() -> None:
    """Let no program that this process starts have more rights than it has (setuid programs, for one)."""
    call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def die_with_parent(sign: int = 9) -> None:
    """Have this process sent a signal when its parent ends. Forgotten when the user changes: call it after that."""
    call("prctl", PR_SET_PDEATHSIG, sign, 0, 0, 0)


def set_dumpable(allowed: bool) -> None:
    """Allow or forbid other processes of the same user to look into this one."""
    call("prctl", PR_SET_DUMPABLE, int(allowed), 0, 0, 0)


def become_subreaper() -> None:
    """Become the parent of every descendant whose own parent ends, so that none gets away."""
    call("prctl", PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def filter_calls() -> None:
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
    call("prctl", PR_SET_SECCOMP, 2, header, 0, 0)


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
    """Return the number of a system call on this machine."""
    return {**REFUSED, **OTHERS}[name][platform.machine() == "aarch64"]


def call(name: str, *arguments: object) -> None:
    """Call a function of the C library; raise OSError with its name when it fails."""
    if getattr(_libc(), name)(*arguments) == -1:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")


def system_call(name: str, *arguments: object) -> None:
    """Make a system call that the C library has no function for; raise OSError with its name when it fails."""
    if _libc().syscall(_number(name), *arguments) == -1:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def version() -> tuple[int, ...]:
    """Return the version of the running Linux, as in ``(6, 8)``."""
    return tuple(int("".join(filter(str.isdigit, part)) or 0) for part in platform.release().split(".")[:2])
