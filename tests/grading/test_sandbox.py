"""The box: what hostile code in a kernel can reach. Every tier that claims to be safe is tried, not only the best."""

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from kernel_talk import LIGHT, answer

import labkit
from labkit.grading.sandbox import Limits, Sandbox, best_tier, probe, tiers, visible
from labkit.grading.sandbox.kernels import Kernel
from labkit.grading.sandbox.namespaces import FULL, LIMITS, NONE, USER

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.skipif(not best_tier().safe, reason=f"no safe tier here: {'; '.join(best_tier().missing)}"),
]
SECRET = f"hidden-{secrets.token_hex(16)}"
SAFE = [tier.name for tier in tiers() if tier.safe]
ROOT = Path(labkit.__file__).resolve().parents[1]
LIMIT = Limits(seconds=60, memory=4 << 30, processes=40, disk=32 << 20)  # CUDA libraries alone can map over 2 GiB


class Grader:
    """What a grader has around it: secrets on disk, in its environment and in memory, sockets that listen."""

    def __init__(self, folder: Path, tier: str):
        self.results = folder / "results"
        self.other = folder / "submissions" / "other"
        self.work = folder / "submissions" / "own"
        for path in (self.results, self.other, self.work):
            path.mkdir(parents=True)
            (path / "secret.txt").write_text(SECRET)
        (self.work / "secret.txt").unlink()
        (self.work / "own.ipynb").write_text(SECRET)
        (self.work / "data.csv").write_text("1,2")
        (self.work / "link").symlink_to(self.results / "secret.txt")
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.unix = socket.socket(socket.AF_UNIX)
        self.unix.bind(str(folder / "unix"))
        self.unix.listen()
        self.abstract = socket.socket(socket.AF_UNIX)
        self.abstract.bind(f"\0{SECRET}{tier}")
        self.abstract.listen()
        self.kernels = Sandbox(next(t for t in tiers() if t.name == tier), LIMIT, preload=LIGHT)

    def names(self) -> dict[str, object]:
        """What the hostile code is told, as if it had guessed it."""
        return {
            "results": str(self.results),
            "other": str(self.other),
            "own": str(self.work),
            "root": str(ROOT),
            "home": os.path.expanduser("~"),
            "grader": os.getpid(),
            "port": self.listener.getsockname()[1],
            "unix": str(self.unix.getsockname()),
            "abstract": self.abstract.getsockname()[1:].decode()[7:],
            "server": self.kernels._socket,
            "private": str(self.kernels._folder),
            "python": sys.prefix,
        }


@pytest.fixture(scope="module", params=SAFE)
def grader(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grader]:
    os.environ["LABKIT_TEST_SECRET"] = SECRET
    try:
        grader = Grader(tmp_path_factory.mktemp("class"), request.param)
        with grader.kernels, grader.listener, grader.unix, grader.abstract:
            yield grader
    finally:
        del os.environ["LABKIT_TEST_SECRET"]


@pytest.fixture(scope="module")
def kernel(grader: Grader) -> Iterator[Kernel]:
    """One kernel for the attempts that leave it alive; another student's has run before, and still runs."""
    neighbor = grader.kernels.start(grader.other)
    answer(neighbor, f"secret = {SECRET!r}")
    kernel = grader.kernels.start(grader.work)
    answer(kernel, f"globals().update({grader.names()!r})")
    yield kernel
    kernel.stop()
    neighbor.stop()


READS = {
    "results": "open(results + '/secret.txt')",
    "other submission": "open(other + '/secret.txt')",
    "own folder outside": "open(own + '/data.csv')",
    "link out of the work folder": "open('link')",
    "own link": "(os.symlink(results + '/secret.txt', 'mine'), open('mine'))",
    "hard link": "os.link(results + '/secret.txt', 'hard')",
    "notebook in the work folder": "open('own.ipynb')",
    "home": "os.listdir(home + '/.ssh') or os.listdir(home + '/.cache')",
    "shadow": "open('/etc/shadow')",
    "solutions": "os.listdir(root + '/notebooks/solutions')",
    "sources": "os.listdir(root + '/notebooks/src')",
    "git": "os.listdir(root + '/.git')",
    "tests": "os.listdir(root + '/tests')",
    "checks": "open(root + '/labkit/checks/averaging_problem.py')",
    "grader": "open(root + '/labkit/grading/grade.py')",
    "builder": "open(root + '/labkit/course/build.py')",
    "other branches": "open(root + '/.git')",
    "usual place of a course in a container": "os.listdir('/usr/src')",
    "local files of the machine": "os.listdir('/usr/local/src')",
    "optional programs": "os.listdir('/opt')",
    "environment's folder": "os.listdir(python + '/share')",
    "compiled checks": "os.listdir(root + '/labkit/checks/__pycache__')",
    "import of checks": "__import__('labkit.checks.averaging_problem')",
    "server's files": "os.listdir(private)",
    "grader's environment": "open(f'/proc/{grader}/environ')",
    "environment of the first process": "open('/proc/1/environ').read() or 1/0",
    "memory of the first process": "open('/proc/1/mem', 'rb')",
    "files of the first process": "os.listdir('/proc/1/fd')",
    "root of the first process": "os.listdir('/proc/1/root')",
    "old root": "os.listdir('/../old')",
    "disks": "os.listdir('/dev/disk')",
    "raw disk": "os.open('/dev/vda', os.O_RDONLY)",
    "made disk": "(os.mknod('disk', 0o60600, os.makedev(254, 0)), open('disk', 'rb'))",
    "kernel memory": "open('/dev/mem')",
    "system": "os.listdir('/sys')",
    "docker": "os.stat('/var/run/docker.sock')",
    "by handle": "libc('open_by_handle_at', -100, 0, 0)",
}
NETWORK = {
    "grader's port": "socket.create_connection(('127.0.0.1', port), 2)",
    "any address": "socket.create_connection(('1.1.1.1', 53), 2)",
    "datagrams": "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('1.1.1.1', 53))",
    "version 6": "socket.create_connection(('::1', port), 2)",
    "names": "socket.getaddrinfo('example.org', 80)",
    "unix socket": "socket.socket(socket.AF_UNIX).connect(unix)",
    "server's socket": "socket.socket(socket.AF_UNIX).connect(server)",
    "abstract socket": "socket.socket(socket.AF_UNIX).connect(chr(0) + 'hidden' + chr(45) + abstract)",
    "host of a virtual machine": "socket.socket(40, socket.SOCK_STREAM)",
    "raw": "socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)",
    "packets": "socket.socket(17, socket.SOCK_RAW)",
}
WRITES = {
    "root": "open('/new', 'w')",
    "labkit": "open(root + '/labkit/new.py', 'w')",
    "checks": "open(root + '/labkit/checks/__init__.py', 'a')",
    "python": "open(python + '/lib/new.pth', 'w')",
    "usr": "open('/usr/new', 'w')",
    "etc": "open('/etc/passwd', 'a')",
    "results": "open(results + '/gradebook.csv', 'w')",
    "settings of the machine": "open('/proc/sys/kernel/core_pattern', 'w')",
    "sysrq": "open('/proc/sysrq-trigger', 'w')",
    "more than the disk": "open('big', 'wb').write(bytes(40 << 20))",
    "many files": "[open(f'many{i}', 'w').close() for i in range(30_000)]",
    "shared memory": "[open(f'/dev/shm/{i}', 'wb').write(bytes(20 << 20)) for i in range(2)]",
}
RIGHTS = {
    "root": "os.setuid(0)",
    "groups": "os.setgroups([0])",
    "mount": "libc('mount', b'tmpfs', b'/tmp', b'tmpfs', 0, 0)",
    "unmount": "libc('umount2', (root + '/labkit/checks').encode(), 2)",
    "new namespaces": "libc('unshare', 0x10000000)",
    "clone": "libc('syscall', 56, 0x10000000 | 17, 0, 0, 0, 0)",
    "chroot": "os.chroot('/tmp')",
    "trace": "libc('ptrace', 16, 1, 0, 0)",
    "memory that nobody owns": "os.memfd_create('x')",
    "shared segments": "libc('shmget', 0, 1 << 20, 0o1600)",
    "bpf": "libc('syscall', 321, 0, 0, 0)",
    "priority": "os.setpriority(os.PRIO_PROCESS, 0, -5)",
    "higher limits": "resource.setrlimit(resource.RLIMIT_AS, (-1, -1))",
    "grader's life": "os.kill(grader, 9)",
    "parent's life": "(os.kill(os.getppid(), 9), time.sleep(0.2), os.kill(os.getppid(), 0), 1/0)",
    "neighbor's life": "[os.kill(p, 9) for p in range(3, 300) if p not in own_threads()] and 1/0",
    "hostname": "socket.sethostname('x')",
    "clock": "time.clock_settime(0, 0)",
    "out of memory score": "os.write(os.open('/proc/self/oom_score_adj', os.O_WRONLY), b'-1000')",
}
PREPARE = """
import ctypes, os, resource, socket, sys, time
def libc(name, *arguments):
    found = ctypes.CDLL(None, use_errno=True)
    if getattr(found, name)(*arguments) == -1:
        raise OSError(ctypes.get_errno(), name)
def own_threads():
    return {int(t) for t in os.listdir('/proc/self/task')}
"""


ATTEMPTS = {
    f"{kind}: {what}": code
    for kind, attempts in (("read", READS), ("network", NETWORK), ("write", WRITES), ("right", RIGHTS))
    for what, code in attempts.items()
}


@pytest.mark.parametrize("name", ATTEMPTS)
def test_is_out_of_reach(kernel: Kernel, name: str) -> None:
    code = f"""{PREPARE}
try:
    {ATTEMPTS[name]}
except (OSError, ImportError, ZeroDivisionError, ValueError) as error:
    print("blocked", type(error).__name__, error)
else:
    print("went through")
os.system("rm -rf big many* /dev/shm/* hard mine disk")
"""
    start = time.monotonic()
    said = answer(kernel, code)
    print(name, said)
    assert said.startswith("blocked"), said
    assert time.monotonic() - start < 10
    assert kernel.alive()


def test_no_secret_in_environment_objects_frames_or_memory(kernel: Kernel) -> None:
    """The neighbor and the grader hold the secret, in variables, paths and requests; this kernel's memory does not."""
    search = r"""
import gc, os, re, sys
wanted = re.compile(rb"hidden-[0-9a-f]{32}")
kept = [line.split() for line in open("/proc/self/maps") if " r" in line]
memory, found, seen = os.open("/proc/self/mem", os.O_RDONLY), set(), 0
for place, *_ in kept:
    low, high = (int(part, 16) for part in place.split("-"))
    for start in range(low, high, 1 << 24):
        try:
            part = os.pread(memory, min(1 << 24, high - start), start)
        except OSError:
            continue
        seen += len(part)
        found |= set(wanted.findall(part))
texts = [str(value) for value in gc.get_objects() if type(value) is dict and len(value) < 1000]
frame, local = sys._getframe(), []
while frame:
    local.append(str(frame.f_locals)[:100_000])
    frame = frame.f_back
places = [*texts, *local, str(os.environ), open("/proc/self/environ").read(), open("/proc/self/cmdline").read()]
found |= {hit for place in places for hit in wanted.findall(place.encode(errors="ignore"))}
print(len(found), seen > 50_000_000)
"""
    assert answer(kernel, search, 60).split() == ["0", "True"]


def test_sees_only_its_own_processes_files_and_variables(kernel: Kernel) -> None:
    assert answer(kernel, "print(sorted(int(p) for p in os.listdir('/proc') if p.isdigit()))") == "[1, 2]\n"
    assert answer(kernel, "print(sorted(os.listdir('.')), os.getcwd())") == f"['data.csv'] {visible.WORK}\n"
    assert answer(kernel, "print(os.listdir('/home'), os.path.expanduser('~'))") == f"['student'] {visible.HOME}\n"
    variables = answer(kernel, "print(*os.environ)").split()
    assert "LABKIT_TEST_SECRET" not in variables and not [
        name for name in variables if "PATH" in name and name != "PATH"
    ]
    status = answer(kernel, "print(open('/proc/self/status').read())")
    assert "CapEff:\t0000000000000000" in status and "NoNewPrivs:\t1" in status and "Seccomp:\t2" in status


def test_an_honest_kernel_has_what_it_needs(kernel: Kernel) -> None:
    code = """
import ctypes, labkit, multiprocessing, os, pathlib, pwd, sys, subprocess, tempfile, threading, time, warnings
warnings.simplefilter("ignore")  # from Python 3.12 on os.fork warns where other threads run
from labkit.checks import check
tables = pathlib.Path(labkit.__file__).parents[1] / "data"
print(check("00-skill", lambda: 1), len([*tables.glob("*/*.csv")]))
print(pathlib.Path("data.csv").read_text(), pathlib.Path("out.txt").write_text("x" * 1000))
print(subprocess.run(["sh", "-c", "echo from a shell"], capture_output=True, text=True).stdout.strip())
with tempfile.TemporaryFile() as file, multiprocessing.get_context("fork").Pool(2) as pool:
    print(file.write(b"123"), pool.map(abs, [-1, -2]))
if (child := os.fork()) == 0:
    print("from a child"); sys.stdout.flush(); os._exit(0)
os.waitpid(child, 0)
print(ctypes.CFUNCTYPE(ctypes.c_int)(lambda: 7)(), pwd.getpwuid(os.getuid()).pw_name)
thread = threading.Thread(target=print, args=("from a thread",))
thread.start(); thread.join()
"""
    # What the child says may come in the middle of other lines, or later; what matters is that it does not hang.
    said = answer(kernel, code).replace("from a child", "\n").splitlines()
    assert said[0] == f"None {len([*(ROOT / 'data').glob('*/*.csv')])}"
    rest = set(said[1:]) - {""}
    assert rest == {"1,2 1000", "3 [1, 2]", "7 student", "from a shell", "from a thread"}


def test_a_machine_where_something_private_can_be_read_is_not_called_safe() -> None:
    private = Path(os.__file__).parent / "json"
    tier = best_tier([private])
    assert not tier.safe
    assert any(f"__init__.py can be read from inside: move {private} out of" in line for line in tier.missing)
    assert best_tier([Path("/nonexistent"), Path(os.path.expanduser("~/.ssh"))]).safe


def test_tiers_are_ordered_and_say_what_is_missing() -> None:
    found = tiers()
    assert [tier.rank for tier in found] == sorted((tier.rank for tier in found), reverse=True)
    assert found[0] == best_tier() and found[-1].name == NONE
    assert [tier.name for tier in found if tier.safe] == [name for name in (FULL, USER) if name in SAFE]
    assert all(tier.missing for tier in found[1:])


def test_without_namespaces_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container that forbids them: the probe runs under a filter that refuses unshare."""
    refuse = "from labkit.grading.sandbox import linux, probe; linux.no_new_privileges(); linux.filter_calls(); "
    code = refuse + "print([(t.name, t.safe, t.missing) for t in probe.probe()])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    found = eval(done.stdout)
    assert [(name, safe) for name, safe, _ in found] == [(LIMITS, False), (NONE, False)]
    assert any("unshare: Operation not permitted" in line for line in found[0][2])
    assert any("network" in line for line in found[0][2])


def test_labkit_under_tmp_is_told_to_move() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        package = Path(folder, "labkit")
        shutil.copytree(ROOT / "labkit", package, ignore=shutil.ignore_patterns("weights", "__pycache__"))
        code = "from labkit.grading.sandbox import best_tier; print(best_tier().missing)"
        told = subprocess.run(
            [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True
        ).stdout
    assert f"{package} is out of sight from inside, which has a /tmp of its own: move it elsewhere" in told


def test_a_system_without_namespaces_has_one_tier(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe.sys, "platform", "darwin")
    (only,) = probe._tiers.__wrapped__(())
    assert (only.name, only.safe) == (NONE, False) and "no namespaces" in only.missing[0]
