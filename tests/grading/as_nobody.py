"""Run a command as an ordinary user, from root: ``python as_nobody.py COMMAND...``.

Python may lie in root's own home, which others cannot enter: in a mount namespace of its own, that home is replaced by
an open one with nothing but Python in it.
"""

import os
import sys
from pathlib import Path

from labkit.grading.sandbox.linux import CLONE_NEWNS, MS_BIND, MS_PRIVATE, MS_REC, mount, unshare


def own_mounts() -> None:
    """Let what this process mounts be seen by it and its children only."""
    unshare(CLONE_NEWNS)
    mount(None, "/", None, MS_REC | MS_PRIVATE)


def become_nobody() -> None:
    """Give up root, with a Python that can still be read."""
    for prefix in {Path(sys.base_prefix).resolve(), Path(sys.prefix).resolve()}:
        closed = [folder for folder in reversed(prefix.parents) if not folder.stat().st_mode & 0o001]
        if closed:
            held = os.open(prefix, os.O_PATH)
            mount("tmpfs", closed[0], "tmpfs", 0, "mode=755")
            prefix.mkdir(parents=True)
            mount(f"/proc/self/fd/{held}", prefix, None, MS_BIND | MS_REC)
    os.setgroups([])
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)


if __name__ == "__main__":
    own_mounts()
    become_nobody()
    os.environ["HOME"] = "/nonexistent"
    os.execv(sys.argv[1], sys.argv[1:])
