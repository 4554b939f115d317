"""The grade is what Jupyter gives: cells one by one from top to bottom, an error ends nothing, the last one counts."""

import copy
import json
import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import nbformat
import pytest
from grading_lab import HIGHEST, KEYS, RIGHT, SQUARE, answered, cell_of, hand_in, student_copy

from labkit.checks import CHECK_MIME
from labkit.course.labs import find_lab
from labkit.errors import LabkitError
from labkit.grading.plan import CARRIED, CHECK, make_plan, only_definitions
from labkit.grading.results import Graded
from labkit.grading.submission import parse
from labkit.grading.template import read_template
from labkit.notebook.execute import execute

DOUBLE = RIGHT["91-double"]
BROKEN = "def double(x)\n    return 2 * x"
# The cells that carry the id of 91-double, in order: what students do.
WAYS = [
    [DOUBLE],
    [f"%%time\n{DOUBLE}"],
    [f"%%capture\n{DOUBLE}"],
    [SQUARE, f"%%time\n{DOUBLE}"],
    [DOUBLE, "%%capture out\nprint(double(3))"],
    ["%%bash\necho looking around", DOUBLE],
    ["%%html\n<b>notes</b>", DOUBLE],
    ["%%writefile notes.txt\nhello", f"notes = open('notes.txt').read()\n{DOUBLE}"],
    ["1 / 0", DOUBLE],
    [f"{DOUBLE}\nraise ValueError('later')"],
    [BROKEN, DOUBLE],
    [DOUBLE, BROKEN],
    [DOUBLE, SQUARE],
    ["def double(x):\n    y = 1", "    return 2 * x"],
    ["factor = 2", "def double(x):\n    return factor * x"],
    ["import asyncio\nawait asyncio.sleep(0)", DOUBLE],
    ["double?", DOUBLE],
    ["!ls", DOUBLE],
    ["%%timeit -n1 -r1\npass", DOUBLE],
    ["%no_such_magic", DOUBLE],
    ["%%no_such_magic", DOUBLE],
    [f"%matplotlib inline\n!echo hi\n{DOUBLE}"],
    ["def double(x):\n    return np.multiply(2, x)"],
    ["def double(x):\n    return twice(x)"],
    ["def double(x):\n    return FACTOR * x"],
    ["double = lambda x: 2 * x"],
    ["class Doubler:\n    def __call__(self, x):\n        return 2 * x\ndouble = Doubler()"],
    ["<<<<<<< HEAD", DOUBLE],
    ["", DOUBLE],
    ["# nothing yet", DOUBLE],
    ["input()", DOUBLE],
    ["get_ipython().run_cell('double = lambda x: 2 * x')"],
]
OWN = [  # cells of the student's own that may stand anywhere
    "import numpy as np",
    "FACTOR = 2",
    "def twice(v):\n    return FACTOR * v",
    "%matplotlib inline\nimport math as m",
    "%%capture\nK = 3",
    "try:\n    import no_such_package\nexcept ImportError:\n    no_such_package = None",
    "TABLE = no_such_name",
    "def double(x):\n    return 0",
    "WEIGHTS = torch.tensor([0.299, 0.587, 0.114])",
]


def code_cell(source: str, key: str = "") -> dict[str, Any]:
    own = {"nbgrader": {"grade_id": key, "solution": True, "grade": False}} if key else {}
    return {"cell_type": "code", "execution_count": None, "metadata": own, "outputs": [], "source": source, "id": "x"}


def generated(notebook: dict[str, Any], rng: random.Random, way: list[str]) -> dict[str, Any]:
    """A notebook whose 91-double is answered in this way, with own cells here and there."""
    made = answered(notebook, {key: RIGHT[key] for key in KEYS[1:] if rng.random() < 0.8})
    cells = made["cells"]
    at = cells.index(cell_of(made, "91-double"))
    cells[at : at + 1] = [code_cell(source, "91-double") for source in way]
    for source in rng.sample(OWN, rng.randint(0, 5)):
        cells.insert(rng.randint(3, len(cells)), code_cell(source))
    return made


def in_jupyter(notebook: dict[str, Any], folder: Path) -> dict[str, int]:
    """The points of each exercise when all cells run one by one, with the hidden check beside the public one."""
    made = copy.deepcopy(notebook)
    for number, cell in enumerate(made["cells"]):
        cell["id"] = f"c{number}"
    cell_of(made, "check-91-double")["source"] = (
        'check("91-double", double) if "double" in dir() else None\n'
        'try:\n    check("91-double", double)\nfinally:\n    check("91-double-hidden", double)'
    )
    executed = nbformat.from_dict(made)
    folder.mkdir()
    assert execute(executed, folder, timeout=60, go_on=True) is None
    points = {}
    for key in KEYS:
        [check] = [c for c in executed.cells if c.metadata.get("nbgrader", {}).get("grade_id") == f"check-{key}"]
        said = [output.data[CHECK_MIME] for output in check.outputs if CHECK_MIME in output.get("data", {})]
        points[key] = sum({one["id"]: one["points"] for one in said}.values())
    return points


def compare(course: Path, grade: Callable[..., list[Graded]], tmp_path: Path, ways: list[list[str]], seed: int) -> None:
    rng = random.Random(seed)
    notebook = student_copy(course)
    notebook["cells"] = [cell for cell in notebook["cells"] if "begin(" not in "".join(cell["source"])]
    made = {f"s{number:03d}": generated(notebook, rng, way) for number, way in enumerate(ways)}
    for student, each in made.items():
        hand_in(tmp_path / "in", student, each)
    graded = {one.student: one for one in grade(tmp_path / "in", tmp_path / "out", timeout=60)}
    for student, each in made.items():
        ours = {exercise.id: exercise.points for exercise in graded[student].exercises}
        theirs = in_jupyter(each, tmp_path / student)
        sources = [cell["source"] for cell in each["cells"] if cell["cell_type"] == "code"]
        assert ours == theirs, json.dumps([student, sources, graded[student].model_dump()], indent=1)


def test_a_few_generated_notebooks_get_what_jupyter_gives(
    course: Path, own_checks: str, grade: Callable[..., list[Graded]], tmp_path: Path
) -> None:
    ways = [WAYS[number] for number in (3, 5, 7, 8, 22, 23)]
    compare(course, grade, tmp_path, ways, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_generated_notebooks_get_what_jupyter_gives(
    course: Path, own_checks: str, grade: Callable[..., list[Graded]], tmp_path: Path, seed: int
) -> None:
    compare(course, grade, tmp_path, WAYS, seed)


def test_every_way_gets_what_it_deserves(
    course: Path, own_checks: str, grade: Callable[..., list[Graded]], tmp_path: Path
) -> None:
    notebook = student_copy(course)
    zero = {json.dumps(way) for way in WAYS if way[-1] in (SQUARE, "    return 2 * x")}
    for number, way in enumerate(WAYS):
        made = answered(notebook, RIGHT)
        cells = made["cells"]
        at = cells.index(cell_of(made, "91-double"))
        helpers = [code_cell(source) for source in ("import numpy as np", "FACTOR = 2", OWN[2])]
        cells[at : at + 1] = [*helpers, *(code_cell(source, "91-double") for source in way)]
        hand_in(tmp_path / "in", f"w{number:02d}", made)
    results = grade(tmp_path / "in", tmp_path / "out")
    lost = {json.dumps(way) for way, one in zip(WAYS, results, strict=True) if one.score != HIGHEST}
    assert lost == zero
    first = results[3].exercises[0]
    assert first.ran[0].endswith("ran to its end") and "cell" in first.ran[1]
    assert "ZeroDivisionError" in results[8].exercises[0].ran[0]
    page = (tmp_path / "out" / "feedback" / "w03.html").read_text()
    assert "Your own cells that were taken along" in page and "FACTOR = 2" in page


# The exercise's cell, and a cell of the student's own that defines double before or behind the check.
DEFINED_TWICE = [
    ("get_ipython().run_cell('double = lambda x: 2 * x')", "def double(x):\n    return 0", "behind"),
    ("if True:\n    def double(x):\n        return 2 * x", "def double(x):\n    return 0\nprint(1)", "behind"),
    ("a, double = 1, lambda x: 2 * x", "double = abs", "behind"),
    ("print(double(1))", f"{DOUBLE}\nprint(1)", "before"),
    ("factor = 2", "def double(x):\n    return factor * x", "behind"),
    ("", f"{DOUBLE}\nprint(1)", "before"),
    ("", f"{DOUBLE}\nprint(1)", "behind"),
]


@pytest.mark.parametrize("number", range(len(DEFINED_TWICE)))
def test_a_definition_behind_the_check_takes_nothing_away(number: int, course: Path, own_checks: str) -> None:
    source, own, where = DEFINED_TWICE[number]
    notebook = answered(student_copy(course), {**RIGHT, "91-double": source})
    at = notebook["cells"].index(cell_of(notebook, "check-91-double"))
    notebook["cells"].insert(at - 1 if where == "before" else at + 1, code_cell(own))
    plan = make_plan(parse("x", json.dumps(notebook).encode()), read_template("91", course))
    names: dict[str, Any] = {
        "get_ipython": lambda: type("IP", (), {"run_cell": lambda self, code: exec(code, names)})()
    }
    for step in plan.steps:
        if (step.kind, step.key) == (CHECK, "91-double"):
            break
        with suppress(NameError):
            exec(step.source, names)
    assert names["double"](3) == 6


TO_GRAY = """def to_gray(rgb):
    red, green, blue = (rgb.float() / 255).unbind(dim=1)
    return (0.299 * red + 0.587 * green + 0.114 * blue).unsqueeze(1)"""


def test_two_copies_of_a_cell_in_lab_00(grade: Callable[..., list[Graded]], tmp_path: Path) -> None:
    try:
        notebook = json.loads(find_lab("00").path.read_text(encoding="utf-8"))
    except LabkitError:
        pytest.skip("lab 00 is not built")
    at = notebook["cells"].index(cell_of(notebook, "00-to-gray"))
    ways = {"copy-time": [TO_GRAY.replace("0.299", "0.3"), f"%%time\n{TO_GRAY}"], "bash": ["%%bash\nls", TO_GRAY]}
    for name, way in ways.items():
        made = copy.deepcopy(notebook)
        made["cells"][at : at + 1] = [code_cell(source, "00-to-gray") for source in way]
        hand_in(tmp_path / "in", name, made)
    results = grade(tmp_path / "in", tmp_path / "out", lab="00", root=None, timeout=30)
    assert [one.exercises[0].points for one in results] == [2, 2], results


# Which cells are carried along


@pytest.mark.parametrize(
    "source",
    [
        *OWN,
        "from numpy import *",
        "x: int = 3\ny = z = x + 1",
        "a, (b, *c) = 1, (2, 3)",
        '"""A text."""\nimport os',
        "class A:\n    b = 1\n    def c(self):\n        print(self)",
        "@torch.no_grad()\ndef f(x):\n    return x",
        "f = lambda x: print(x)",
        "n = len([1, 2]) + int('3')",
        "t = torch.tensor([1, 2]).float()",
        "async def f():\n    pass",
    ],
)
def test_definitions_are_carried(source: str) -> None:
    assert only_definitions(source)


@pytest.mark.parametrize(
    "source",
    [
        "print(1)",
        "x = open('a').read()",
        "x = model(y)",
        "torch.manual_seed(0)",
        "w = torch.load('a.pt')",
        "x += 1",
        "d['a'] = 1",
        "a.b = 1",
        "for i in range(3):\n    pass",
        "import os\nos.remove('a')",
        "!ls",
        "%run a.py\nimport os",
        "%%bash\nx=1",
        "x = (y := 3)",
        "def f(x) return",
        "# nothing",
        "",
        '"""a text"""',
        "x = await y",
        "[x for x in y]",
        "(" * 5000 + ")" * 5000,
        "x = 1\n" * 100_000,
        "class A:\n    print(1)",
    ],
)
def test_nothing_else_is_carried(source: str) -> None:
    assert not only_definitions(source)


def test_the_plan_of_a_notebook(course: Path, own_checks: str) -> None:
    notebook = answered(student_copy(course), RIGHT)
    cells = notebook["cells"]
    at = cells.index(cell_of(notebook, "91-total"))
    cells.insert(at, code_cell("import numpy as np"))
    cells.insert(at, code_cell("model = train()\nprint(model)"))
    plan = make_plan(parse("x", json.dumps(notebook).encode()), read_template("91", course))
    kinds = [(step.kind, step.key or step.source) for step in plan.steps]
    assert (
        kinds.index((CHECK, "91-double"))
        < kinds.index((CARRIED, "import numpy as np"))
        < kinds.index((CHECK, "91-total"))
    )
    assert not any("train" in source for _, source in kinds)
    assert any(names == ("model",) for _, names in plan.left)


def test_what_was_left_out_is_said_where_it_is_missed(
    course: Path, own_checks: str, grade: Callable[..., list[Graded]], tmp_path: Path
) -> None:
    notebook = answered(student_copy(course), {**RIGHT, "91-double": "def double(x):\n    return np.multiply(2, x)"})
    notebook["cells"].insert(3, code_cell("import numpy as np\nprint(np.pi)"))
    hand_in(tmp_path / "in", "ann", notebook)
    [ann] = grade(tmp_path / "in", tmp_path / "out")
    message = ann.exercises[0].message
    assert "NameError: name 'np' is not defined" in message and "np is set in cell 4 (import numpy as np)" in message
    assert ann.carried == []
