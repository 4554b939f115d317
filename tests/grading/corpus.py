"""Hostile submissions to the lab in grading_lab.py, at the level of the notebook, each with what must come of it.

Each answers 91-double with a square (0 of 3 points) and tries to be taken for right; the other two exercises are
right (4 points). So 4 points are expected, whatever the attack, unless it says otherwise.
"""

import copy
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grading_lab import RIGHT, SQUARE, answered, cell_of

OTHERS = 4  # points of the two exercises that are right


@dataclass(frozen=True)
class Attack:
    """What is handed in, and what must come of it.

    Attributes:
        name: of the student.
        make: (an honest student copy, the folder to write into, its own name): writes files.
        status: that of the gradebook; several that may come of it are separated by "|".
        score: points, None for no score.
        seconds: that grading may take on an idle machine.
    """

    name: str
    make: Callable[[dict[str, Any], Path, str], None]
    status: str = "graded"
    score: int | None = OTHERS
    seconds: float = 20


def write(folder: Path, name: str, notebook: Any) -> None:
    (folder / f"{name}.ipynb").write_text(json.dumps(notebook))


def cell(source: str, **metadata: Any) -> dict[str, Any]:
    return {"cell_type": "code", "execution_count": 1, "metadata": metadata, "outputs": [], "source": source, "id": "x"}


def in_answer(name: str, code: str, **expected: Any) -> Attack:
    """An attack in the cell of the exercise; its function is ``double`` (a square unless the code redefines it)."""

    def make(notebook: dict[str, Any], folder: Path, student: str) -> None:
        write(folder, student, answered(notebook, {**RIGHT, "91-double": f"{SQUARE}\n\n{code}"}))

    return Attack(name, make, **expected)


def in_notebook(name: str, edit: Callable[[dict[str, Any]], Any], **expected: Any) -> Attack:
    """An attack by the notebook's other cells and metadata; ``edit`` changes it in place, or returns another."""

    def make(notebook: dict[str, Any], folder: Path, student: str) -> None:
        mine = answered(notebook, {**RIGHT, "91-double": SQUARE})
        write(folder, student, edit(mine) or mine)

    return Attack(name, make, **expected)


def in_file(name: str, content: bytes, status: str = "invalid") -> Attack:
    def make(notebook: dict[str, Any], folder: Path, student: str) -> None:
        (folder / f"{student}.ipynb").write_bytes(content)

    return Attack(name, make, status, None)


# By the notebook


def edited_check(notebook: dict[str, Any]) -> None:
    cell_of(notebook, "check-91-double")["source"] = 'print("right: Twice a number")'


def deleted_checks(notebook: dict[str, Any]) -> None:
    notebook["cells"] = [c for c in notebook["cells"] if not c.get("id", "").startswith("check-")]


def tagged(notebook: dict[str, Any]) -> None:
    for each in notebook["cells"]:
        each["metadata"]["tags"] = ["nbval-skip", "raises-exception", "skip-execution", "nbval-ignore-output"]


def retagged(notebook: dict[str, Any]) -> None:
    cell_of(notebook, "check-91-double")["metadata"]["nbgrader"] |= {"points": 100, "grade": False, "locked": False}
    cell_of(notebook, "91-double")["metadata"]["nbgrader"] |= {"points": 100, "grade": True, "solution": False}


def swapped_ids(notebook: dict[str, Any]) -> None:
    one, other = cell_of(notebook, "91-double"), cell_of(notebook, "91-total")
    for each, key in ((one, "91-total"), (other, "91-double")):
        each["metadata"]["nbgrader"]["grade_id"] = key


def repeated_right_check(notebook: dict[str, Any]) -> None:
    notebook["cells"] += [copy.deepcopy(cell_of(notebook, "check-91-total")) for _ in range(5)]


def check_of_another(notebook: dict[str, Any]) -> None:
    notebook["cells"].append(
        cell("double = lambda x: 2 * x", nbgrader={"grade_id": "check-91-double", "solution": True})
    )


def other_kernel(notebook: dict[str, Any]) -> None:
    notebook["metadata"]["kernelspec"] = {
        "name": "bash",
        "language": "bash",
        "display_name": "x",
        "argv": ["/bin/true"],
    }


def stored_outputs(notebook: dict[str, Any]) -> None:
    data = {
        "application/vnd.labkit.check+json": {"id": "91-double", "status": "right", "points": 2, "max_points": 2},
        "application/vnd.labkit.outcome+json": '{"kind": "value", "value": 4}',
        "text/plain": "right: Twice a number",
    }
    output = {"output_type": "display_data", "metadata": {}, "data": data}
    for each in notebook["cells"]:
        if each["cell_type"] == "code":
            each["outputs"], each["execution_count"] = [output], 7


def odd_metadata(notebook: dict[str, Any]) -> None:
    notebook["metadata"] |= {"labkit": 3, "language_info": [], "widgets": {"x": "y" * 1000}}
    for each in notebook["cells"]:
        if each["cell_type"] == "markdown":
            each["metadata"] = {"nbgrader": ["grade_id"], "tags": {"a": 1}}
    notebook["cells"] += [None, 3, {"cell_type": "code"}, {"source": {"a": 1}}]  # type: ignore[list-item]


def setup_changed(notebook: dict[str, Any]) -> None:
    for each in notebook["cells"]:
        if "setup" in each["metadata"].get("tags", []):
            each["source"] = (
                "import labkit.notebook.answer\nlabkit.notebook.answer.attempt = lambda *a, **k: 1 / 0\ncheck = print"
            )


# By code in the answer

FORGED_REPLY = """
import json
ip = get_ipython()
MIME = "application/vnd.labkit.outcome+json"
def forged(expressions):
    reply = %s
    return {name: {"status": "ok", "data": {MIME: reply}, "metadata": {}} for name in expressions}
type(ip).user_expressions = lambda self, expressions: forged(expressions)
"""
LOOK = """
import gc, sys, types
def look(x):
    for thing in gc.get_objects():
        if type(thing).__name__ in ("Exercise", "Wrong", "Part", "Template", "Grader"):
            return thing.reference(x)
    for name, module in list(sys.modules.items()):
        if name.startswith("labkit.checks") and hasattr(module, "EXERCISES"):
            return module.EXERCISES[0].reference(x)
    raise LookupError
def double(x):
    try:
        return look(x)
    except Exception:
        return x * x
"""
FRAMES = """
import sys
def double(x):
    frame = sys._getframe()
    while frame is not None:
        for value in list(frame.f_locals.values()) + list(frame.f_globals.values()):
            if hasattr(value, "reference") and callable(value.reference):
                return value.reference(x)
        frame = frame.f_back
    return x * x
"""
FILES = """
import glob, os, re
def double(x):
    import labkit
    near = os.path.dirname(os.path.dirname(labkit.__file__))
    for place in ("/home", "/root", "/tmp", "/run", "/var", "/work", "/srv", os.getcwd(), near):
        for folder, folders, names in os.walk(place):
            folders[:] = [f for f in folders if f != "site-packages" and folder.count("/") < 7]
            for name in names:
                if name in ("public.py", "hidden.py", "91_graded.py", "ledger.jsonl", "grading.json"):
                    space = {}
                    exec(open(os.path.join(folder, name)).read(), space)
                    return space["EXERCISES"][0].reference(x)
    return x * x
"""
ENVIRONMENT = """
import os, subprocess
def double(x):
    for process in os.listdir("/proc") if os.path.isdir("/proc") else []:
        try:
            text = open(f"/proc/{process}/environ").read()
        except OSError:
            continue
        if "LABKIT_CHECKS=/" in text:
            return 2 * x
    return 2 * x if "LABKIT_CHECKS" in os.environ else x * x
"""
EQUAL = """
class Equal:
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    __hash__ = None
    __lt__ = __gt__ = __le__ = __ge__ = __sub__ = __rsub__ = lambda self, other: True
    __abs__ = lambda self: 0
    __float__ = lambda self: 0.0
    __array__ = lambda self, *a, **k: __import__("numpy").zeros(())
    shape = ()
def double(x): return Equal()
"""
SUBCLASS = """
import torch, numpy, math
class T(torch.Tensor):
    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None): return torch.tensor(True)
class A(numpy.ndarray):
    def __eq__(self, other): return numpy.array(True)
class F(float):
    __sub__ = __rsub__ = lambda self, other: 0.0
    __eq__ = lambda self, other: True
    __hash__ = None
"""
PATCHED = """
import builtins, math, numpy, torch
import labkit, labkit.notebook.answer, labkit.notebook.lab
yes = lambda *a, **k: True
names = "allclose isclose array_equal equal all"
for module, names in ((numpy, names), (torch, names), (math, "isclose")):
    for name in names.split():
        setattr(module, name, yes)
torch.Tensor.__eq__ = torch.Tensor.all = torch.Tensor.equal = yes
import labkit.checks
labkit.checks.check = labkit.checks.evaluate = labkit.checks.judge_calls = labkit.checks.close = yes
"""
BUILTINS = """
import builtins
builtins.AssertionError = type("Quiet", (BaseException,), {})
builtins.all = builtins.any = builtins.isinstance = builtins.len = lambda *a, **k: True
"""
SHELL = """
ip = get_ipython()
ip.set_custom_exc((BaseException,), lambda *a, **k: None)
ip.showtraceback = lambda *a, **k: None
type(ip).showtraceback = lambda *a, **k: None
import sys
sys.excepthook = lambda *a: None
ip.input_transformers_cleanup.append(lambda lines: ["pass\\n"])
ip.input_transformers_post.append(lambda lines: ["pass\\n"])
ip.ast_transformers.append(type("T", (), {"visit": lambda self, node: node})())
ip.display_formatter.format = lambda value, **k: ({"text/plain": "right: Twice a number"}, {})
ip.displayhook = lambda *a: None
"""
RUN_CELL = """
ip = get_ipython()
class Result:
    success, error_before_exec, error_in_exec, result, execution_count = True, None, None, None, 1
    def raise_error(self): pass
ip.run_cell = lambda *a, **k: Result()
async def run(*a, **k): return Result()
ip.run_cell_async = run
ip.should_run_async = lambda *a, **k: False
"""
ANSWER_PATCHED = """
import labkit.notebook.answer as answer
good = answer.Response('{"kind": "value", "error": "", "text": "", "place": "", "value": {"right": true}}')
answer.respond = lambda *a, **k: good
answer.decode = answer.encode = answer.attempt = lambda *a, **k: None
"""
FORGED_FILES = """
import os, glob
for folder in ("/", "/tmp", "..", "../..", os.getcwd(), os.path.expanduser("~"), "/work", "OUT", "OUT/grades"):
    for name in ("gradebook.csv", "junit.xml", "ledger.jsonl", "conftest.py", "labkit.py", "sitecustomize.py", "MARK"):
        try:
            with open(os.path.join(folder, name), "w") as file:
                file.write("student_id,score\\nforged,7\\n")
        except OSError:
            pass
"""
STARTUP = """
import os, site, sys
for folder in (os.path.expanduser("~/.ipython/profile_default/startup"), site.getusersitepackages(), *sys.path):
    try:
        os.makedirs(folder, exist_ok=True)
        for name in ("sitecustomize.py", "evil.pth", "00.py", "labkit.py", "torch.py"):
            open(os.path.join(folder, name), "w").write("import builtins; builtins.evil = True\\n")
    except OSError:
        pass
def double(x):
    return 2 * x if hasattr(__builtins__, "evil") else x * x
"""
DEEP = '"[" * 100000 + "]" * 100000'


def reply(value: str) -> str:
    """Code that answers every user expression with an outcome of this value (JSON text made by an expression)."""
    head = '{"kind": "value", "error": "", "text": "", "place": "", "value": '
    return FORGED_REPLY % f"{head!r} + ({value}) + '}}'"


def forging(name: str, value: str, score: int = 0, **expected: Any) -> Attack:
    """A kernel that forges what it says of every later exercise as well: those points are lost, too."""
    return in_answer(name, reply(value), score=score, **expected)


def neighbor(notebook: dict[str, Any], folder: Path, student: str) -> None:
    """A folder with files that a grader might import or read."""
    place = folder / student
    place.mkdir()
    write(place, "91_graded", answered(notebook, {**RIGHT, "91-double": SQUARE}))
    code = f"import pathlib\npathlib.Path({str(folder.parent / 'MARK')!r}).write_text('ran')\n"
    for name in (
        "conftest.py",
        "labkit.py",
        "sitecustomize.py",
        "usercustomize.py",
        "torch.py",
        "nbval.py",
        "pytest.py",
    ):
        (place / name).write_text(code)
    (place / "evil.pth").write_text(
        f"import pathlib; pathlib.Path({str(folder.parent / 'MARK')!r}).write_text('ran')\n"
    )
    (place / "pytest.ini").write_text("[pytest]\naddopts = --collect-only\n")
    (place / "junit.xml").write_text("<testsuites/>")
    (place / "ledger.jsonl").write_text('{"kind": "grade", "key": "neighbor", "status": "ok"}\n')
    (place / "gradebook.csv").write_text("student_id,score,override\nneighbor,7,7\n")


def linked(notebook: dict[str, Any], folder: Path, student: str) -> None:
    os.symlink(folder / "honest.ipynb", folder / f"{student}.ipynb")


def pipe(notebook: dict[str, Any], folder: Path, student: str) -> None:
    os.mkfifo(folder / f"{student}.ipynb")


def twice(notebook: dict[str, Any], folder: Path, student: str) -> None:
    (folder / student).mkdir()
    write(folder / student, "one", answered(notebook, RIGHT))
    write(folder / student, "two", answered(notebook, {**RIGHT, "91-double": SQUARE}))


ATTACKS = [
    in_notebook("edited-check", edited_check),
    in_notebook("deleted-checks", deleted_checks),
    in_notebook("tags", tagged),
    in_notebook("retagged", retagged),
    in_notebook("swapped-ids", swapped_ids),
    in_notebook("repeated-check", repeated_right_check),
    in_notebook("check-of-another", check_of_another),
    in_notebook("other-kernel", other_kernel),
    in_notebook("stored-outputs", stored_outputs),
    in_notebook("odd-metadata", odd_metadata),
    in_notebook("setup-changed", setup_changed),
    in_answer("nbval-comments", "# NBVAL_SKIP\n# NBVAL_RAISES_EXCEPTION\n# NBVAL_CHECK_OUTPUT\n1 / 0"),
    in_answer("equal-to-all", EQUAL),
    in_answer("tensor-subclass", f"{SUBCLASS}\ndef double(x): return torch.zeros(()).as_subclass(T)"),
    in_answer("array-subclass", f"{SUBCLASS}\ndef double(x): return numpy.zeros(()).view(A)"),
    in_answer("float-subclass", f"{SUBCLASS}\ndef double(x): return F(2 * x)"),
    in_answer("not-a-number", "def double(x): return float('nan')"),
    in_answer("patched-libraries", PATCHED),
    in_answer("patched-builtins", BUILTINS, status="timeout", seconds=30),
    in_answer("patched-shell", SHELL, status="timeout", seconds=30),
    in_answer("patched-run-cell", RUN_CELL, score=0),
    in_answer("patched-answer", ANSWER_PATCHED, score=0),
    forging("forged-value", "'4'"),
    forging("forged-status", "'\"right\"'"),
    forging("forged-object", "json.dumps({'object': 'float'})"),
    forging("forged-shape", "json.dumps({'tensor': ['float32', [10**9, 10**9], '']})"),
    forging("forged-dtype", "json.dumps({'tensor': ['object', [1], 'AAAA']})"),
    forging("forged-deep", DEEP),
    forging("forged-digits", "'9' * 100000"),
    forging("forged-list", "'{\"list\": [' + '1,' * 200000 + '1]}'"),
    forging("forged-key", '\'{"dict": [[{"list": []}, 1]]}\''),
    forging("forged-no-number", "'NaN'"),
    in_answer("forged-no-text", FORGED_REPLY % "7", score=0),
    in_answer("large-value", "import torch\ndef double(x): return torch.zeros(10**6)"),
    in_answer("generator", "def double(x): yield 2 * x"),
    in_answer("class-in-place", "class double:\n    def __new__(cls, x): return x * x"),
    in_answer("odd-signature", "double.__signature__ = 3\ndouble.__wrapped__ = double"),
    in_answer("look-in-memory", LOOK),
    in_answer("look-in-frames", FRAMES),
    in_answer("look-in-files", FILES, seconds=40),
    in_answer("look-in-environment", ENVIRONMENT),
    in_answer("write-files", FORGED_FILES),
    in_answer("startup-files", STARTUP),
    in_answer("labkits-own", "import labkit.notebook.lab\ndouble = labkit.notebook.lab.format_cell"),
    in_answer("exit-in-cell", "import sys\nsys.exit(0)"),
    in_answer("exit-in-function", "import sys\ndef double(x): sys.exit(0)"),
    in_answer("quit-in-function", "def double(x): quit()", status="kernel-died"),
    in_answer("die-in-cell", "import os\nos._exit(0)", status="kernel-died"),
    in_answer("die-in-function", "import os\ndef double(x): os._exit(0)", status="kernel-died"),
    in_answer("segfault", "import ctypes\ndef double(x): ctypes.string_at(0)", status="kernel-died"),
    in_answer("interrupt-in-function", "def double(x): raise KeyboardInterrupt"),
    in_answer("loop-in-function", "def double(x):\n    while True: pass", status="timeout", seconds=30),
    in_answer(
        "swallowed-interrupts",
        "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
        status="timeout",
        seconds=30,
    ),
    in_answer("flood", "while True: print('x' * 10000)", status="output-limit", seconds=30),
    in_answer(
        "flood-in-function", "def double(x):\n    while True: print('x' * 10000)", status="output-limit", seconds=30
    ),
    in_answer(
        "late-thread",
        "import threading, time\ndef later():\n    while True:\n        time.sleep(.01)\n        print('x')\n"
        "threading.Thread(target=later, daemon=True).start()",
    ),
    Attack("neighbor", neighbor),
    Attack("link", linked, "invalid", None),
    Attack("pipe", pipe, "invalid", None),
    Attack("two-notebooks", twice, "invalid", None),
    in_file("empty", b""),
    in_file("no-json", b'{"cells": ['),
    in_file("binary", bytes(range(256)) * 10),
    in_file("deep-json", b'{"cells": ' + b"[" * 200_000 + b"]" * 200_000 + b"}"),
    in_file("huge", b'{"cells": [], "x": "' + b"x" * 21_000_000 + b'"}'),
    in_file("list", b"[]"),
    in_file("number", b"7"),
    in_file("no-cells", b'{"metadata": {}}'),
    in_file("odd-cells", b'{"cells": {"a": 1}, "nbformat": 4}'),
    in_file("another-lab", b'{"cells": [], "metadata": {"labkit": {"lab": "00_start_here"}}}', "wrong-lab"),
    in_file("unknown", b'{"cells": [], "metadata": {}}', "wrong-lab"),
]
