"""More hostile submissions: against the grader's own reading, judging and talking, and for what its feedback tells.

As in corpus.py: 91-double is a square and worth nothing, the other two exercises are right, so 4 points are expected.
"""

from typing import Any

from corpus import OTHERS, Attack, cell, in_answer, in_file, in_notebook
from grading_lab import RIGHT, SQUARE, cell_of

# Values that are hard to send, to read or to judge

VALUES = {
    "nested-350": "v = x\nfor _ in range(350): v = [v]\nreturn v",
    "nested-3000": "v = x\nfor _ in range(3000): v = [v]\nreturn v",
    "nested-tuple": "v = x\nfor _ in range(400): v = (v,)\nreturn v",
    "nested-dict": "v = x\nfor _ in range(400): v = {'a': v}\nreturn v",
    "text-in-list-of-900": "return ['y' * 1100] * 900",
    "megabyte-of-text": "return 'y' * 1_000_000",
    "million-numbers": "return list(range(300_000))",
    "giant-int": "return 10**6000",
    "giant-ints": "return [10**400] * 300",
    "infinite": "return float('inf')",
    "nan": "return float('nan')",
    "list-in-itself": "v = []\nv.append(v)\nreturn v",
    "dict-in-itself": "v = {}\nv['v'] = v\nreturn v",
    "odd-keys": "return {None: x, (1, 2): x, 1.5: x}",
    "tensor-keys": "return {torch.tensor(1.0): x}",
    "many-keys": "return {str(n): n for n in range(40_000)}",
    "bytes": "return b'\\0' * 100",
    "set": "return {2 * x}",
    "generator": "return (2 * x for _ in [1])",
    "complex": "return complex(2 * x, 0)",
    "complex-tensor": "return torch.tensor(2 * x + 0j)",
    "sparse-tensor": "return torch.ones(3, 3).to_sparse()",
    "meta-tensor": "return torch.empty(10**6, device='meta')",
    "quantized-tensor": "return torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.quint8)",
    "expanded-tensor": "return torch.ones(()).expand(10**9)",
    "empty-giant": "return torch.empty(10**12, 0)",
    "thirty-axes": "return torch.ones((1,) * 60)",
    "object-array": "import numpy as np\nreturn np.array([2 * x, None], dtype=object)",
    "record-array": "import numpy as np\nreturn np.zeros(3, dtype=[('a', 'f4'), ('b', 'i8')])",
    "text-array": "import numpy as np\nreturn np.array(['a' * 10000] * 100)",
    "date-array": "import numpy as np\nreturn np.array(['2020-01-01'], dtype='datetime64[D]')",
    "masked-array": "import numpy as np\nreturn np.ma.masked_array([2 * x], mask=[True])",
    "ragged": "return [[1], [1, 2], 3]",
    "ragged-tensors": "return [torch.ones(2), torch.ones(3)]",
    "class-with-fields": "class T(tuple):\n    _fields = ('a',)\n    def __iter__(self): return iter([2 * x])\n"
    "return T([x * x])",
    "spoofed-class": "class F:\n    __class__ = float\n    def __float__(self): return 2.0 * x\nreturn F()",
    "float-with-everything": "class F(float):\n    __eq__ = lambda *a: True\n    __hash__ = None\nreturn F(0)",
    "half-characters": "return '\\ud800' * 10",
    "nulls": "return '\\0' * 1000",
    "decimal-nan": "from decimal import Decimal\nreturn Decimal('nan')",
    "huge-fraction": "from fractions import Fraction\nreturn Fraction(10**5000, 1)",
    "range-without-end": "return range(10**9)",
    "deque-without-end": "from collections import deque\nreturn deque(range(10**6))",
    "raises-odd": "class E(Exception):\n    def __str__(self): raise ValueError\nraise E",
    "raises-giant": "raise ValueError('z' * 5_000_000)",
    "raises-deep": "def f(n): return f(n + 1)\nreturn f(0)",
    "raises-memory": "raise MemoryError",
    "raises-group": "raise BaseException('x')",
    "stops-iteration": "raise StopIteration(2 * x)",
    "exits-generator": "raise GeneratorExit",
    "not-implemented-odd": "raise NotImplementedError('\\ud800')",
}


def returns(name: str, body: str) -> Attack:
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    code = f"import torch\ndef double(x):\n{lines}"
    statuses = "graded|timeout|memory|kernel-died|output-limit"
    return in_answer(f"returns-{name}", code, status=statuses, seconds=60)


# What the kernel says to the grader

KERNEL = "k = get_ipython().kernel\ns = k.session\nimport zmq\n"
SEND = {
    "raw-iopub": "k.iopub_socket.send_multipart([b'', b'garbage'])",
    "raw-iopub-parts": "k.iopub_socket.send_multipart([b'<IDS|MSG>', b'x', b'{', b'}', b'[', b'1'])",
    "list-content": "s.send(k.iopub_socket, 'stream', content=[1, 2])",
    "no-name": "s.send(k.iopub_socket, 'stream', content={}, parent=k.get_parent())",
    "odd-status": "s.send(k.iopub_socket, 'status', content={'x': 1}, parent=k.get_parent())",
    "error-without-traceback": "s.send(k.iopub_socket, 'error', content={'ename': 1}, parent=k.get_parent())",
    "traceback-of-numbers": "s.send(k.iopub_socket, 'error', content={'ename': 1, 'evalue': 2, 'traceback': [3]}, "
    "parent=k.get_parent())",
    "display-without-data": "s.send(k.iopub_socket, 'display_data', content={'data': 3}, parent=k.get_parent())",
    "unknown-type": "s.send(k.iopub_socket, 'no_such_type', content={}, parent=k.get_parent())",
    "idle-too-early": "s.send(k.iopub_socket, 'status', content={'execution_state': 'idle'}, parent=k.get_parent())",
    "deep-content": "v = {}\nfor _ in range(500): v = {'a': v}\n"
    "s.send(k.iopub_socket, 'stream', content=v, parent=k.get_parent())",
    "unsigned": "s.key = b'another'",
    "no-key": "s.key = b''",
    "packer": "s.pack = lambda value: b'{'",
    "packer-of-text": "s.pack = lambda value: b'\"x\"'",
    "closed-shell": "k.shell_stream.close()",
    "closed-iopub": "k.iopub_socket.close() if hasattr(k.iopub_socket, 'close') else None",
    "no-reply": "k.do_execute = None",
    "second-idle-thread": "import threading, time\ndef later():\n    for _ in range(200):\n        time.sleep(.01)\n"
    "        s.send(k.iopub_socket, 'status', content={'execution_state': 'idle'})\n"
    "threading.Thread(target=later, daemon=True).start()",
}
REPLIES = {
    "none": "None",
    "text": "'{}'",
    "empty": "{'it': {}}",
    "list": "{'it': [1]}",
    "dict-as-text": "{'it': {'status': 'ok', 'data': {MIME: {'kind': 'value', 'value': 14}}}}",
    "number": "{'it': {'status': 'ok', 'data': {MIME: 3}}}",
    "kind": "{'it': {'status': 'ok', 'data': {MIME: '{\"kind\": \"right\"}'}}}",
    "deep": "{'it': {'status': 'ok', 'data': {MIME: '[' * 100000}}}",
    "long": "{'it': {'status': 'ok', 'data': {MIME: 'x' * 3_000_000}}}",
    "error-odd": "{'it': {'status': 'error', 'ename': [1], 'evalue': {'a': 'b'}}}",
}


def says(name: str, code: str, where: str) -> Attack:
    statuses = "graded|kernel-died|timeout|output-limit"
    if where == "cell":
        return in_answer(f"says-{name}", KERNEL + code, status=statuses, seconds=60)
    body = "\n".join(f"    {line}" for line in (KERNEL + code).splitlines())
    return in_answer(f"says-{name}-later", f"def double(x):\n{body}\n    return x * x", status=statuses, seconds=60)


def replies(name: str, reply: str) -> Attack:
    """A kernel that forges what it says of every later exercise as well: those points are lost, too.

    One that says too much is ended: the later exercises get a fresh kernel, and their points.
    """
    code = "MIME = 'application/vnd.labkit.outcome+json'\nip = get_ipython()\n"
    code += f"type(ip).user_expressions = lambda self, expressions: {reply}"
    score = OTHERS if name == "long" else 0
    return in_answer(f"replies-{name}", code, status="graded|kernel-died|timeout|output-limit", score=score)


# Cells that keep a parser busy, or bring it down

SOURCES = {
    "brackets": "x = " + "(" * 2000 + ")" * 2000,
    "open-brackets": "x = " + "[" * 3000,
    "open-calls": "x = " + "f(" * 60,
    "dicts": "x = " + "{1: " * 150 + "1" + "}" * 150,
    "lambdas": "x = " + "lambda: " * 2000 + "1",
    "minus": "x = " + "-" * 50_000 + "1",
    "sums": "x = " + "+".join(["1"] * 20_000),
    "attributes": "x = a" + ".b" * 20_000,
    "subscripts": "x = a" + "[0]" * 10_000,
    "elifs": "if 0: pass\n" + "elif 0: pass\n" * 3000,
    "ifs": "\n".join(" " * depth + "if 1:" for depth in range(95)) + "\n" + " " * 95 + "pass",
    "fstrings": "x = f'{1!r:{2}}' " * 2000,
    "decorators": "@f\n" * 5000 + "def g(): pass",
    "long-line": "x = '" + "y" * 1_500_000 + "'",
    "many-lines": "x = 1\n" * 60_000,
    "nulls": "x = 1\0\n",
    "half-characters": "x = '\ud800'",
    "form-feeds": "\f" * 5000 + "x = 1",
    "exponent": "x = 9 ** 9 ** 9 ** 9",
    "shifts": "x = 1 << 10 ** 10",
    "repeats": "x = 'a' * 10 ** 11",
    "comparisons": "x = " + " < ".join(["1"] * 5000),
    "tries": "try:\n pass\nexcept:\n pass\n" * 3000,
    "walrus": "(" * 90 + "x := 1" + ")" * 90,
    "star": "x = " + "*" * 2000,
}


def own_cell(name: str, source: str) -> Attack:
    """A cell of no exercise, which is looked at for whether it may be carried along."""

    def edit(notebook: dict[str, Any]) -> None:
        notebook["cells"].insert(3, cell(source))

    return in_notebook(f"own-cell-{name}", edit, status="graded", seconds=60)


def exercise_cell(name: str, source: str) -> Attack:
    statuses = "graded|timeout|memory|kernel-died|output-limit"
    return in_answer(f"cell-{name}", source, status=statuses, seconds=90)


# By the notebook


def thousand_cells(notebook: dict[str, Any]) -> None:
    one = cell_of(notebook, "91-double")
    notebook["cells"] += [dict(one, source=f"{SQUARE}\n# {number}") for number in range(1000)]


def thousand_own_cells(notebook: dict[str, Any]) -> None:
    notebook["cells"][3:3] = [cell(f"x{number} = {number}") for number in range(1000)]


def odd_sources(notebook: dict[str, Any]) -> None:
    notebook["cells"] += [dict(cell("x"), source=value) for value in (3, None, {"a": 1}, [1, 2], [["x"]], True)]


def odd_ids(notebook: dict[str, Any]) -> None:
    for number, each in enumerate(notebook["cells"]):
        if each["metadata"].get("nbgrader"):
            continue
        each["id"] = [{"a": 1}, 3, None, "x" * 10_000, "../../x"][number % 5]


def redefined_later(notebook: dict[str, Any]) -> None:
    """A right answer after the check, and outside: the check stands before it, as in Jupyter."""
    notebook["cells"].append(cell(RIGHT["91-double"]))


def own_setup(notebook: dict[str, Any]) -> None:
    notebook["cells"].insert(0, cell("import os\nos._exit(1)", tags=["setup"]))


def own_cell_ends_python(notebook: dict[str, Any]) -> None:
    notebook["cells"].insert(3, cell("def f(x=__import__('os')._exit(0)):\n    return x"))


def own_cell_never_ends(notebook: dict[str, Any]) -> None:
    notebook["cells"].insert(3, cell("class A:\n    x = sum(range(10 ** 12))"))


MORE = [
    *(returns(name, body) for name, body in VALUES.items()),
    *(says(name, code, "cell") for name, code in SEND.items()),
    *(says(name, code, "function") for name, code in list(SEND.items())[:8]),
    *(replies(name, reply) for name, reply in REPLIES.items()),
    *(own_cell(name, source) for name, source in SOURCES.items()),
    *(exercise_cell(name, source) for name, source in SOURCES.items()),
    in_notebook("thousand-cells", thousand_cells, seconds=90),
    in_notebook("thousand-own-cells", thousand_own_cells, seconds=90),
    in_notebook("odd-sources", odd_sources),
    in_notebook("odd-ids", odd_ids),
    in_notebook("redefined-later", redefined_later),
    in_notebook("own-setup", own_setup),
    in_notebook("own-cell-ends-python", own_cell_ends_python, seconds=60),
    in_notebook("own-cell-never-ends", own_cell_never_ends, seconds=90),
    in_file("merge-conflict", b'{"cells": [\n<<<<<<< HEAD\n1\n=======\n2\n>>>>>>> theirs\n]}'),
    in_file("a-pdf", b"%PDF-1.7 ..."),
    in_file("a-page", b"<!DOCTYPE html><p>sign in"),
    in_file("numbers-without-end", b'{"cells": [], "x": ' + b"9" * 5000 + b"}"),
    in_file("deep-dicts", b'{"cells": ' + b'{"a": ' * 100_000),
]
