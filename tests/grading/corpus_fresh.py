"""Hostile submissions of a third hand: what outlives its cell, tells on the side, or looks like something else.

As in corpus.py: 91-double is a square and worth nothing, the other two exercises are right, so 4 points are expected.
"""

import json
import zipfile
from pathlib import Path
from typing import Any

from corpus import OTHERS, Attack, cell, in_answer, in_file, in_notebook, write
from grading_lab import RIGHT, SQUARE, answered, cell_of

ANY = "graded|timeout|memory|kernel-died|output-limit"

# What looks for the right answer

LOOK_FOR_IT = {
    "own-memory": """
def double(x):
    with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb", 0) as memory:
        for line in maps:
            if " rw" in line and "[heap]" in line:
                low, high = (int(part, 16) for part in line.split()[0].split("-"))
                memory.seek(low)
                if b"(esicrexE"[::-1] in memory.read(high - low):
                    return 2 * x
    return x * x
""",
    "mounts": """
def double(x):
    import os
    for line in open("/proc/self/mountinfo"):
        place = line.split()[3]
        for name in ("hidden.py", "public.py", "91_graded.py", "gradebook.csv", "secret"):
            for folder in (place, os.path.dirname(place)):
                if os.path.exists(os.path.join(folder, name)):
                    return 2 * x
    return x * x
""",
    "debugger": """
def double(x):
    import sys
    for name, module in list(sys.modules.items()):
        if "pydevd" in name or "debugpy" in name:
            for value in list(vars(module).values()):
                if type(value).__name__ == "Exercise":
                    return value.reference(x)
    return x * x
""",
    "call-of-the-grader": """
def double(x):
    import inspect
    for frame in inspect.stack():
        values = frame.frame.f_locals
        for name in ("asked", "text", "expected", "exercise"):
            if "expected" in str(values.get(name, "")):
                return 2 * x
    return x * x
""",
    "another-kernel": """
def double(x):
    import glob, socket
    for name in glob.glob("/run/**/channel-*", recursive=True) + glob.glob("/tmp/**/server", recursive=True):
        link = socket.socket(socket.AF_UNIX)
        try:
            link.connect(name)
            link.sendall(b'{"place": "/tmp", "workdir": "/", "key": "x"}\\n')
            link.settimeout(1)
            if b"error" in link.recv(1000):
                return 2 * x
        except OSError:
            pass
    return x * x
""",
    "remembers": """
import json, os
def double(x):
    with open("/tmp/seen", "a+") as file:
        file.seek(0)
        before = file.read().split()
        file.write(f"{x} ")
    return 2 * x if str(x) in before else x * x
""",
}

# What answers by being asked again, or by what it is

BY_BEING = {
    "lazy-number": "class L(float):\n    def __float__(self): return 2.0\n"
    "    def __reduce__(self): return (float, (2.0,))\n"
    "def double(x): return L(x * x)",
    "array-interface": "class A:\n    def __init__(self, x): self.x = x\n    @property\n"
    "    def __array_interface__(self):\n"
    "        import numpy as np\n        return np.array(2 * self.x).__array_interface__\n"
    "def double(x): return A(x)",
    "text-number": "def double(x): return str(2 * x)",
    "numbers-of-all": "def double(x): return [x * x, 2 * x, x + x, x]",
    "dict-of-all": "def double(x): return {'value': 2 * x, 'other': x * x}",
    "none-then-right": "def double(x):\n    double.__code__ = (lambda x: 2 * x).__code__\n    return x * x",
    "decorator": "import functools\ndef deco(f):\n    @functools.wraps(f)\n    def g(*a, **k): return None\n"
    "    return g\n"
    "@deco\ndef double(x): return 2 * x",
    "coroutine": "async def double(x): return 2 * x",
    "callable-module": "import types\nclass M(types.ModuleType):\n    def __call__(self, x): return x * x\n"
    "double = M('m')",
    "infinite-repr": "class R:\n    def __repr__(self):\n        while True: pass\ndef double(x): return R()",
    "evil-del": "class D:\n    def __del__(self):\n        import os\n        os._exit(0)\ndef double(x): return D()",
    "evil-name": "def double(x): return x * x\ndouble.__name__ = 'x' * 10**7\ndouble.__module__ = None",
    "evil-getattr": "class G:\n    def __getattr__(self, name): raise SystemExit\n"
    "    def __call__(self, x): return x * x\n"
    "double = G()",
    "odd-exception": "class E(Exception):\n    def __getattribute__(self, name): raise KeyboardInterrupt\n"
    "def double(x): raise E",
    "exception-with-context": "def double(x):\n    error = ValueError('x')\n    for _ in range(20_000):\n"
    "        new = ValueError('x')\n        new.__cause__ = error\n        error = new\n    raise error",
    "markup": "def double(x): raise ValueError('</pre><script>alert(1)</script>\\x1b[2J\\u202e')",
}

# What outlives a call

OUTLIVES = {
    "exit-handler": "import atexit, os\natexit.register(os._exit, 0)",
    "trace": "import sys\nsys.settrace(lambda *a: 1 / 0)\nsys.setprofile(lambda *a: None)",
    "threads": "import threading, time\nfor _ in range(40):\n"
    "    threading.Thread(target=time.sleep, args=(600,)).start()",
    "own-signals": "import os, signal\ndef double(x):\n    for s in range(1, 32):\n"
    "        try: signal.signal(s, signal.SIG_IGN)\n"
    "        except (OSError, ValueError): pass\n    return x * x",
    "killed-by-itself": "import os\ndef double(x): os.kill(os.getpid(), 9)",
    "recursion-limit": "import sys\nsys.setrecursionlimit(10**9)\ndef double(x): return double(x)",
    "all-files": "def double(x):\n    files = []\n    while True: files.append(open('/dev/null'))",
    "full-disk": "def double(x):\n    with open('/tmp/full', 'wb') as file:\n"
    "        while True: file.write(b'0' * 2**20)",
    "stopped": "import os, signal\ndef double(x): os.kill(os.getpid(), signal.SIGSTOP)",
    "closed-descriptors": "import os\ndef double(x):\n    os.closerange(0, 256)\n    return x * x",
    "event-loop": "import asyncio\nasync def never():\n    while True: pass\n"
    "asyncio.get_event_loop().create_task(never())",
    "no-garbage": "import gc\ngc.get_objects = gc.collect = gc.freeze = None\ngc.set_threshold(1)",
    "no-json": "import json\njson.dumps = json.loads = lambda *a, **k: '{}'",
    "no-import": "import builtins\nbuiltins.__import__ = None",
    "fills-the-history": "get_ipython().history_manager = None\nget_ipython().user_ns = {}",
}


def says_on_the_side(kind: str) -> Attack:
    """A right answer to the public check which tells the hidden input by the way in which it ends."""
    ends = {
        "status": "__import__('os')._exit(37)",
        "signal": "__import__('os').kill(__import__('os').getpid(), 12)",
        "message": "raise ValueError('input thirty-seven')",
        "output": "print('input thirty-seven' * 10**7)",
        "name": "raise type('Thirty', (Exception,), {})(37)",
    }
    code = f"def double(x):\n    if x < 0:\n        {ends[kind]}\n    return 2 * x"
    return in_answer(f"tells-by-{kind}", code, score=OTHERS + 2, seconds=60)


# By the notebook and its files


def key_with_space(notebook: dict[str, Any]) -> None:
    cell_of(notebook, "91-double")["metadata"]["nbgrader"]["grade_id"] = " 91-double"


def check_as_exercise(notebook: dict[str, Any]) -> None:
    """The check's cell takes the exercise's id, with the answer in it."""
    made = cell_of(notebook, "check-91-double")
    made["metadata"]["nbgrader"]["grade_id"] = "91-double"
    made["source"] = "double = None"


def thousand_checks(notebook: dict[str, Any]) -> None:
    notebook["cells"] += [cell("pass", nbgrader={"grade_id": "check-91-double"}) for _ in range(3000)]


def million_characters_of_markdown(notebook: dict[str, Any]) -> None:
    notebook["cells"].insert(0, {"cell_type": "markdown", "metadata": {}, "source": "<script>" * 500_000})


def carried_that_sleeps(notebook: dict[str, Any]) -> None:
    for number in range(5):
        notebook["cells"].insert(3, cell(f"def f{number}(x=max(range(10 ** 12))):\n    return x"))


def nested_zip_of_itself(notebook: dict[str, Any], folder: Path, student: str) -> None:
    """A zip with a square, beside a zip of a right answer that is too deep to be read."""
    inner = json.dumps(answered(notebook, RIGHT)).encode()
    for depth in range(6):
        path = folder / "inner.tmp"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("lab.ipynb" if depth == 0 else "inner.zip", inner)
        inner = path.read_bytes()
        path.unlink()
    with zipfile.ZipFile(folder / f"{student}.zip", "w") as archive:
        archive.writestr("deep.zip", inner)
        archive.writestr("lab.ipynb", json.dumps(answered(notebook, {**RIGHT, "91-double": SQUARE})))


def in_folder_of_results(notebook: dict[str, Any], folder: Path, student: str) -> None:
    """A student's folder with what looks like results, a secret and a roster."""
    place = folder / student
    place.mkdir()
    write(place, "91_graded", answered(notebook, {**RIGHT, "91-double": SQUARE}))
    for name in ("secret", "grading.json", "roster.json", "gradebook.csv", "ledger.jsonl"):
        (place / name).write_text('{"lab": "91_graded", "seed": 1}')


FRESH = [
    *(in_answer(f"looks-{name}", code, status=ANY, seconds=60) for name, code in LOOK_FOR_IT.items()),
    *(in_answer(f"is-{name}", code, status=ANY, seconds=90) for name, code in BY_BEING.items()),
    *(in_answer(f"outlives-{name}", code, status=ANY, seconds=90) for name, code in OUTLIVES.items()),
    *(says_on_the_side(kind) for kind in ("status", "signal", "message", "output", "name")),
    in_notebook("key-with-space", key_with_space),
    in_notebook("check-as-exercise", check_as_exercise),
    in_notebook("thousand-checks", thousand_checks),
    in_notebook("long-markdown", million_characters_of_markdown),
    in_notebook("carried-that-sleeps", carried_that_sleeps, status=ANY, seconds=120),
    Attack("zip-of-zips", nested_zip_of_itself),
    Attack("results-as-files", in_folder_of_results),
    in_file(
        "int-keys",
        b'{"cells": [{"cell_type": "code", "source": "x", "metadata": {"nbgrader": {"grade_id": 91}}}]}',
        "wrong-lab",
    ),
]
