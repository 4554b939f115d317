"""Warm kernels: quick to start, and no way of ending badly reaches beyond the kernel itself."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Empty

import nbformat
import psutil
import pytest
from kernel_talk import LIGHT, answer, say
from nbformat.v4 import new_code_cell, new_notebook

from labkit import LabkitError
from labkit.course.labs import list_labs
from labkit.grading.sandbox import Limits, Sandbox, Tier, best_tier, probe, server, tiers
from labkit.grading.sandbox.box import PRELOAD
from labkit.grading.sandbox.keeper import descendants, processor_time
from labkit.grading.sandbox.kernels import Kernel, Link
from labkit.grading.sandbox.namespaces import LIMITS, NONE
from labkit.grading.sandbox.server import CHECKS_STUB
from labkit.grading.template import read_template

pytestmark = [
    pytest.mark.timeout(400),  # the machine may be busy
    pytest.mark.skipif(not best_tier().safe, reason=f"no safe tier here: {'; '.join(best_tier().missing)}"),
]
LIMIT = Limits(seconds=60, memory=1 << 30, processes=40, disk=32 << 20, output=1 << 20)


def tier(name: str) -> Tier:
    return next(tier for tier in tiers() if tier.name == name)


@pytest.fixture(scope="module")
def kernels() -> Iterator[Sandbox]:
    with Sandbox(best_tier(), LIMIT, preload=LIGHT) as kernels:
        yield kernels


@pytest.fixture
def kernel(kernels: Sandbox, tmp_path: Path) -> Iterator[Kernel]:
    kernel = kernels.start(tmp_path)
    yield kernel
    kernel.stop()


def wait_for(condition: Callable[[], bool], seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def running(word: str) -> list[int]:
    """The processes whose command line has ``word`` as an argument, seen from outside."""
    found = []
    for process in psutil.process_iter():
        try:
            if word in process.cmdline():
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


FORK = """
while True:
    try:
        os.fork()
    except OSError:
"""
ENDINGS = {
    "os._exit": ("os._exit(3)", "exited with status 3"),
    "exit without error": ("os._exit(0)", "exited with status 0"),
    "abort": ("os.abort()", "exited on signal 6"),
    "segfault": ("ctypes.string_at(0)", "exited on signal 11"),
    "kill": ("os.kill(os.getpid(), 9)", "exited on signal 9"),
    "kill of the group": ("os.killpg(0, 9)", "exited on signal 9"),
    "stack overflow": (
        "sys.setrecursionlimit(10**9)\ndef f(x): return [f(x), f(x)]\nf(1)",
        "memory|exited on signal 11",
    ),
    "memory": ("hoard = []\nwhile True: hoard.append(b'x' * (8 << 20))", "memory"),
    "memory in children": (
        """
for _ in range(8):
    if os.fork() == 0:
        hoard = b'x' * (190 << 20)
        time.sleep(60)
time.sleep(60)""",
        "memory",
    ),
    "many processes": (FORK + "        os._exit(1)", "exited with status 1|processes"),
    "print flood": ("while True: print('x' * 1000)", "output-limit"),
    "200 MB": ("print('x' * 200_000_000)", "output-limit"),
    "200 MB displayed": (
        "from IPython.display import display\ndisplay({'text/plain': 'x' * 200_000_000}, raw=True)",
        "output-limit",
    ),
    "200 MB as a value": ("'x' * 200_000_000", "output-limit"),
    "200 MB on stderr": ("os.system('head -c 200000000 /dev/zero >&2')", "output-limit"),
    "100 MB in an error": ("raise ValueError('x' * 100_000_000)", "output-limit"),
    "past the shell": (
        "kernel = get_ipython().kernel\nwhile True: kernel.iopub_socket.send(b'x' * 100_000)",
        "output-limit",
    ),
}
IMPORTS = "import ctypes, os, signal, sys, time\n"


SLOW = ("200 MB displayed", "200 MB as a value", "100 MB in an error", "stack overflow")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in ENDINGS]
)
def test_a_bad_end_is_named_and_the_grader_lives(kernel: Kernel, name: str) -> None:
    code, reason = ENDINGS[name]
    before = psutil.Process().memory_info().rss
    start = time.monotonic()
    said, ended = say(kernel, IMPORTS + code, 45)
    print(f"{name}: {ended} after {time.monotonic() - start:.1f} s")
    assert ended in reason.split("|"), said[:500]
    assert kernel.reason() == ended and not kernel.alive()
    assert len(said) <= LIMIT.output
    assert psutil.Process().memory_info().rss - before < 60 << 20
    kernel.stop()
    assert kernel.reason() == ended


DEAF = "for s in set(signal.valid_signals()) - {9, 19}: signal.signal(s, signal.SIG_IGN)\n"


def test_a_request_for_too_much_memory_raises(kernel: Kernel) -> None:
    assert answer(kernel, "bytearray(4 << 30)").startswith("MemoryError")
    assert answer(kernel, "print(len(bytearray(100 << 20)))") == f"{100 << 20}\n"


ENDLESS = {
    "loop": "while True: pass",
    "loop that swallows interrupts": "while True:\n    try: time.sleep(9)\n    except BaseException: pass",
    "loop that does not give way": "import itertools\nsum(itertools.repeat(1))",
    "stopped": "os.kill(os.getpid(), signal.SIGSTOP)",
    "stopped group": "os.killpg(0, signal.SIGSTOP)",
    "deaf": DEAF + "time.sleep(99)",
    "fork bomb": FORK + "        time.sleep(0.1)",
    "thread bomb": """
import threading
while True:
    try:
        threading.Thread(target=time.sleep, args=(99,)).start()
    except RuntimeError:
        time.sleep(0.1)""",
    "parent killed": "while True: os.kill(os.getppid(), 9)",
    "noise on the wire": """
for descriptor in range(3, 100):
    try:
        os.set_blocking(descriptor, False)
        os.write(descriptor, b'x' * 100_000)
    except OSError:
        pass
time.sleep(99)""",
    "sockets replaced": """
for n in range(1, 6):
    os.remove(f'/run/kernel/channel-{n}')
    os.symlink('/dev/zero', f'/run/kernel/channel-{n}')
time.sleep(99)""",
}


@pytest.fixture(scope="module")
def endless(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[str, float]]]:
    """Why each endless submission ended and how many seconds after the last began; they run at the same time."""
    with Sandbox(best_tier(), Limits(seconds=6, memory=1 << 30, processes=40), preload=LIGHT) as kernels:
        work = tmp_path_factory.mktemp("work")
        begun = {}
        for name, code in ENDLESS.items():
            begun[name] = kernels.start(work)
            begun[name].client.execute(IMPORTS + code)
        since = time.monotonic()  # on a busy machine the first may have ended when the last begins
        ended: dict[str, tuple[str, float]] = {}
        while len(ended) < len(begun) and time.monotonic() - since < 40:
            for name, kernel in begun.items():
                if name not in ended and not kernel.alive():
                    ended[name] = kernel.reason(), time.monotonic() - since
            time.sleep(0.02)
        for kernel in begun.values():
            kernel.stop()
        yield ended


@pytest.mark.parametrize("name", ENDLESS)
def test_the_clock_ends_what_does_not_end(endless: dict[str, tuple[str, float]], name: str) -> None:
    reason, seconds = endless[name]
    print(name, reason, round(seconds, 1))
    allowed = (
        {"timeout", "processes"} if "bomb" in name else {"timeout", "output-limit"} if "noise" in name else {"timeout"}
    )
    assert reason in allowed  # noise is output, too, if it is read before the clock has run out
    assert seconds < 6 + 4


DETACHED = {
    "child": "subprocess.Popen(['sleep', WORD])",
    "own session": "subprocess.Popen(['sleep', WORD], start_new_session=True)",
    "double fork": """
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execvp('sleep', ['sleep', WORD])
    os._exit(0)""",
    "nohup": "os.system(f'nohup setsid sleep {WORD} > /dev/null 2>&1 &')",
    "deaf": f"{DEAF}subprocess.Popen(['sleep', WORD], restore_signals=False)",
}


@pytest.mark.parametrize("end", ["killed", "exit"])
def test_detached_children_die_with_their_kernel(kernel: Kernel, end: str) -> None:
    word = f"8{os.getpid()}.{time.monotonic_ns()}"
    for code in DETACHED.values():
        answer(kernel, f"{IMPORTS}import subprocess\nWORD = {word!r}\n{code}")
    assert wait_for(lambda: len(running(word)) == len(DETACHED))
    if end == "killed":
        kernel.stop()
    else:
        say(kernel, "import os; os._exit(0)")
    assert running(word) == []


def test_killing_the_grader_ends_its_kernels(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    word = f"9{os.getpid()}.{time.monotonic_ns()}"
    script = f"""
        import sys, time
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from pathlib import Path
        from kernel_talk import LIGHT, answer
        from labkit.grading.sandbox import Sandbox
        kernels = Sandbox(preload=LIGHT).__enter__()
        kernel = kernels.start(Path({str(tmp_path)!r}))
        answer(kernel, "import subprocess; subprocess.Popen(['setsid', 'sleep', {word!r}])")
        print(kernels._server.pid, flush=True)
        time.sleep(60)
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    temporary = tmp_path_factory.mktemp("t")
    environment = {**os.environ, "TMPDIR": str(temporary)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as grader:
        assert grader.stdout is not None
        server = int(grader.stdout.readline())
        assert wait_for(lambda: bool(running(word)))
        grader.send_signal(signal.SIGKILL)
    assert wait_for(lambda: not running(word) and not psutil.pid_exists(server) and not list(temporary.iterdir()))


def test_the_end_of_the_block_ends_kernels_and_leaves_nothing(tmp_path: Path) -> None:
    before = set(descendants(os.getpid()))
    with Sandbox(best_tier(), LIMIT, preload=LIGHT) as kernels:
        kernel = kernels.start(tmp_path)
        inside = set(descendants(os.getpid())) - before
    assert kernel.reason() == "killed" and not kernels._folder.exists()
    assert wait_for(lambda: not any(psutil.pid_exists(process) for process in inside), 2)


def test_one_kernel_knows_nothing_of_another(kernels: Sandbox, tmp_path: Path) -> None:
    first, second = kernels.start(tmp_path), kernels.start(tmp_path)
    draw = "import random, numpy; print(random.random(), numpy.random.rand())"
    mess = "import builtins, os; builtins.abs = None; open('/tmp/file', 'w'); open(os.environ['HOME'] + '/x', 'w')"
    said = answer(first, draw)
    answer(first, mess)
    assert answer(second, draw) == said  # the same submission gets the same grade
    assert answer(
        second, "import os; print(abs(-1), os.listdir('/tmp'), os.path.exists(os.environ['HOME'] + '/x'))"
    ) == ("1 [] False\n")
    first.stop()
    assert second.alive() and not first.alive() and first.reason() == "killed"
    second.stop()


def test_random_numbers_and_the_order_of_sets_are_the_same_in_every_kernel(
    kernels: Sandbox, kernel: Kernel, tmp_path: Path
) -> None:
    """However often a client asked for the kernel's banner before (slow machines ask again), and in every server."""
    code = "import random, numpy; print(random.random(), numpy.random.rand(), set('abcdefgh'), hash('a'))"
    said = answer(kernel, code)
    asked = kernels.start(tmp_path)
    for _ in range(5):
        asked.client.kernel_info(reply=True, timeout=20)
    assert answer(asked, code) == said
    asked.stop()
    with Sandbox(best_tier(), LIMIT, preload=LIGHT) as others:
        other = others.start(tmp_path)
        assert answer(other, code) == said
        other.stop()


def test_files_in_the_work_folder_are_not_run_and_shadow_nothing(kernels: Sandbox, tmp_path: Path) -> None:
    names = ["labkit.py", "numpy.py", "random.py", "zmq.py", "ipykernel.py", "sitecustomize.py", "usercustomize.py"]
    names += ["conftest.py", "ipython_config.py", "ipython_kernel_config.py", "json.py", "colorsys.py", "x.pth"]
    names += [".ipython/profile_default/startup/00.py", ".ipython/profile_default/ipython_config.py", ".pythonrc.py"]
    for name in names:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"import builtins; builtins.shadowed = {name!r}\n")
    kernel = kernels.start(tmp_path)
    code = """
        import builtins, json, os, random, sys, colorsys, labkit, numpy, zmq
        print(sorted(os.listdir(".")) == EXPECTED, getattr(builtins, "shadowed", None), "" in sys.path)
        print(any(getattr(m, "__file__", None) and m.__file__.startswith(os.getcwd()) for m in sys.modules.values()))
    """
    expected = sorted({name.split("/")[0] for name in names})
    assert answer(kernel, f"EXPECTED = {expected!r}\n" + textwrap.dedent(code)) == "True None False\nFalse\n"
    kernel.stop()


def test_checks_are_graded_outside(kernel: Kernel) -> None:
    code = "from labkit.checks import check, evaluate, find_exercise, CheckFailed\nprint(check('00-skill', len))"
    assert answer(kernel, code) == "None\n"
    assert "not available while a submission is graded" in answer(kernel, "find_exercise('00-skill')")
    assert "exercises" not in CHECKS_STUB.lower()
    code = "import sys; del sys.modules['labkit.checks']; import labkit.checks; print(labkit.checks.__doc__)"
    assert "graded" in answer(kernel, code)


def test_an_interrupt_a_restart_and_a_shutdown_through_a_kernel_manager(
    kernels: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from jupyter_client.manager import KernelManager

    for name, value in kernels.environment.items():
        monkeypatch.setenv(name, value)
    manager = KernelManager(kernel_name=kernels.kernel_name)
    manager.start_kernel(cwd=str(tmp_path))
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=30)
    asked = client.execute("import time\nx = 1\nwhile True: time.sleep(0.01)")
    time.sleep(0.3)
    manager.interrupt_kernel()
    assert client._recv_reply(asked, timeout=20)["content"]["ename"] == "KeyboardInterrupt"
    manager.restart_kernel(now=True)
    client.wait_for_ready(timeout=30)
    reply = client.execute("y = 1", reply=True, timeout=20, user_expressions={"x": "'x' in globals()"})
    assert reply["content"]["user_expressions"]["x"]["data"]["text/plain"] == "False" and manager.is_alive()
    client.execute("import os; os._exit(7)")
    assert wait_for(lambda: not manager.is_alive())
    assert manager.provisioner.reason() == "exited with status 7"
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def test_a_kernels_processor_time_is_what_it_and_its_children_computed(kernel: Kernel) -> None:
    assert isinstance(kernel._link, Link) and kernel._link.process is not None
    before = processor_time(kernel._link.process)
    answer(kernel, "import time\ntime.sleep(0.5)")
    slept = processor_time(kernel._link.process)
    assert slept - before < 0.4
    answer(
        kernel,
        "import os\nif (child := os.fork()) == 0:\n    while time.process_time() < 0.8: pass\n    os._exit(0)\n"
        "os.waitpid(child, 0)",
    )
    assert processor_time(kernel._link.process) - slept > 0.7


HOSTILE_CHANNEL = r"""
import socket, struct, threading
SIZE = 2**62
path = "/run/kernel/channel-2"
os.remove(path)
listener = socket.socket(socket.AF_UNIX)
listener.bind(path)
listener.listen()
def publish():
    while True:
        client, _ = listener.accept()
        client.sendall(b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(48))
        client.recv(64)
        ready = b"\x05READY\x0bSocket-Type" + struct.pack(">I", 4) + b"XPUB"
        client.sendall(b"\x04" + bytes([len(ready)]) + ready)
        time.sleep(0.2)
        client.sendall(b"\x02" + struct.pack(">Q", SIZE) + b"x" * 100_000)
        open("sent", "w").close()
threading.Thread(target=publish, daemon=True).start()
for descriptor in range(3, 200):  # what the client is connected to, so that it comes again
    try:
        found = socket.socket(fileno=os.dup(descriptor))
        if "channel-2" in str(found.getsockname()) and not found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            found.shutdown(2)
    except OSError:
        pass
while not os.path.exists("sent"): time.sleep(0.1)
"""


@pytest.mark.parametrize("size", ["2**62", "2**64 - 1", "5 * 10**10"])
def test_a_channel_that_promises_endless_messages_does_not_hurt_the_client(kernel: Kernel, size: str) -> None:
    before = psutil.Process().memory_info().rss
    asked = kernel.client.execute(IMPORTS + HOSTILE_CHANNEL.replace("2**62", size))
    assert kernel.client._recv_reply(asked, timeout=20)["content"]["status"] == "ok"
    with pytest.raises(Empty):
        while True:
            kernel.client.get_iopub_msg(timeout=0.5)
    assert psutil.Process().memory_info().rss - before < 20 << 20


def notebook(folder: Path) -> Path:
    cells = [new_code_cell(source) for source in ("import os\nassert os.getpid() == 2", "print(1 + 1)", "1 / 0")]
    path = folder / "lab.ipynb"
    nbformat.write(new_notebook(cells=cells), path)
    return path


def test_nbval_uses_them_by_name(kernels: Sandbox, tmp_path: Path) -> None:
    notebook(tmp_path)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-c",
        os.devnull,
        "--rootdir=.",
        "--nbval-lax",
    ]
    command += ["--nbval-kernel-name", kernels.kernel_name, "lab.ipynb"]
    environment = {**os.environ, **kernels.environment}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert "1 failed, 2 passed" in done.stdout, done.stdout + done.stderr


@pytest.mark.slow
def test_papermill_uses_them_by_name(kernels: Sandbox, tmp_path: Path) -> None:
    out = tmp_path / "out.ipynb"
    command = [sys.executable, "-m", "papermill", "-k", kernels.kernel_name, str(notebook(tmp_path)), str(out)]
    environment = {**os.environ, **kernels.environment}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=100)
    assert "ZeroDivisionError" in done.stderr
    assert json.loads(out.read_text())["cells"][2]["outputs"][0]["text"] == ["2\n"]


@pytest.mark.parametrize(
    ("preload", "message"),
    [(("no_such_module",), "no_such_module"), (("threaded",), "started 1 threads")],
)
def test_a_server_that_cannot_start_says_why(
    preload: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threaded = "import threading, time; threading.Thread(target=time.sleep, args=(9,), daemon=True).start()"
    (tmp_path / "threaded.py").write_text(threaded)
    monkeypatch.setattr(probe.site, "ENABLE_USER_SITE", True)
    monkeypatch.setattr(probe.site, "getusersitepackages", lambda: str(tmp_path))
    with pytest.raises(LabkitError, match=message), Sandbox(best_tier(), LIMIT, preload=preload):
        pass


def test_a_server_that_has_loaded_the_checks_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "labkit.checks.framework", sys)
    with pytest.raises(RuntimeError, match=r"labkit\.checks.* is loaded in the server of kernels"):
        server._stand_in_for_checks()


def test_a_kernel_that_could_read_something_private_does_not_start(tmp_path: Path) -> None:
    private = Path(os.__file__)
    refused = pytest.raises(LabkitError, match=f"{private} can be read from inside: move {private} out of")
    with Sandbox(best_tier(), LIMIT, private=[private], preload=LIGHT) as kernels, refused:
        kernels.start(tmp_path)


def test_a_work_folder_that_is_too_large_is_refused(kernels: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "large.bin").write_bytes(bytes(20 << 20))
    with pytest.raises(LabkitError, match="must stay under"):
        kernels.start(tmp_path)


def test_without_namespaces_there_are_still_limits(tmp_path: Path) -> None:
    word = f"7{os.getpid()}.{time.monotonic_ns()}"
    with Sandbox(tier(LIMITS), Limits(memory=300 << 20, output=1 << 20, processes=40), preload=LIGHT) as kernels:
        kernel = kernels.start(tmp_path)
        answer(kernel, f"{IMPORTS}import subprocess; WORD = {word!r}\n{DETACHED['double fork']}")
        assert wait_for(lambda: bool(running(word)))
        assert answer(kernel, "print(os.getcwd())") == f"{tmp_path}\n"
        assert say(kernel, ENDINGS["memory"][0])[1] == "memory"
        assert running(word) == []
        assert say(kernels.start(tmp_path), ENDINGS["print flood"][0])[1] == "output-limit"


def test_an_ordinary_kernel_behaves_the_same(tmp_path: Path) -> None:
    with Sandbox(tier(NONE), LIMIT) as kernels:
        kernel = kernels.start(tmp_path)
        assert answer(kernel, "from labkit.checks import check; print(check('00-skill', len))") == "None\n"
        assert say(kernel, "import os; os._exit(3)")[1] == "exited with status 3"
        kernel = kernels.start(tmp_path)
        kernel.stop()
        assert kernel.reason() == "killed"


def test_torch_works_after_the_fork(tmp_path: Path) -> None:
    """With threads, gradients, worker processes and figures, from the modules that labs use."""
    code = """
        import torch, numpy as np, matplotlib.pyplot as plt
        from labkit import color, metrics, plots, training
        torch.set_num_threads(2)
        x = torch.rand(64, 64, requires_grad=True)
        torch.nn.functional.conv2d((x @ x)[None, None], torch.ones(1, 1, 3, 3)).sum().backward()
        data = torch.utils.data.DataLoader(torch.arange(8), batch_size=2, num_workers=2)
        print(x.grad.isfinite().all().item(), sum(batch.sum().item() for batch in data), torch.get_num_threads())
        print(np.linalg.norm(np.ones((300, 300)) @ np.ones((300, 300))) > 0, color.luma(torch.ones(1, 3, 2, 2)).shape)
        plt.plot([1, 2]); plt.show()
    """
    with Sandbox(best_tier(), Limits(memory=2 << 30)) as kernels:
        kernel = kernels.start(tmp_path)
        said = answer(kernel, textwrap.dedent(code), 60)
        assert said.startswith("True 28 2\nTrue torch.Size"), said
        kernel.stop()


def test_what_the_labs_import_of_others_is_there_before_a_kernel_starts(tmp_path: Path) -> None:
    """Else each submission of a class would import it again: scikit-image and SciPy take half a second."""
    code = """
    import sys
    before = set(sys.modules)
    exec({setup!r})
    later = {{name.partition(".")[0] for name in set(sys.modules) - before}}
    print(sorted(later & {{"torch", "torchvision", "scipy", "matplotlib", "PIL", "ipywidgets", "numpy"}}))
    """
    with Sandbox(best_tier()) as kernels:
        for lab in list_labs():
            setup = read_template(lab.name).setup.partition("lab = begin(")[0]
            kernel = kernels.start(tmp_path)
            assert answer(kernel, textwrap.dedent(code).format(setup=setup), 60).strip() == "[]", lab.name
            kernel.stop()


def cpu_seconds(processes: set[int]) -> float:
    return sum(sum(psutil.Process(process).cpu_times()[:2]) for process in processes)


@pytest.mark.slow
def test_a_warm_start_is_many_times_faster_than_a_cold_one(tmp_path: Path) -> None:
    setup = "import torch, torchvision\nfrom labkit import color, metrics, plots, training, colorizer"
    seconds: dict[str, list[float]] = {}
    for name in (best_tier().name, NONE):
        with Sandbox(tier(name), preload=PRELOAD) as kernels:
            for _ in range(4):
                before = set(descendants(os.getpid()))
                kernel = kernels.start(tmp_path)
                answer(kernel, setup, 60)
                seconds.setdefault(name, []).append(cpu_seconds(set(descendants(os.getpid())) - before))
                kernel.stop()
    warm, cold = (min(values) for values in seconds.values())
    print(f"CPU seconds to the end of the set-up cell: {warm:.2f} warm, {cold:.2f} cold, ratio {cold / warm:.1f}")
    assert warm < 0.5 and cold > 3 * warm


@pytest.mark.slow
@pytest.mark.timeout(500)
@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root can become another user")
def test_all_of_this_holds_for_an_ordinary_user(tmp_path: Path) -> None:
    """These tests again, by a user without rights: the tier is then "namespaces"."""
    folder = Path(__file__).parent
    command = [sys.executable, str(folder / "as_nobody.py"), sys.executable, "-m", "pytest", "-q"]
    command += ["-p", "no:cacheprovider"]
    command += [str(folder / name) for name in ("test_sandbox.py", "test_warm_kernel.py")]
    done = subprocess.run(command, cwd=folder.parents[1], capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout[-5000:]
    assert "passed" in done.stdout and "skipped" not in done.stdout


def test_commands_of_the_shell_run_in_the_box(kernel: Kernel) -> None:
    assert answer(kernel, "!echo hi").split() == ["hi"]
    assert answer(kernel, "import pty\nprint(len([pty.openpty() for _ in range(9)]))") == "9\n"
    assert "OSError" in say(kernel, "held = [pty.openpty() for _ in range(30)]")[0]  # a few, not all that there are
