"""Building a tiny lab: what the two notebooks hold, what is refused, and that it is reproducible."""

import base64
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from tiny_lab import SOURCE, tiny_course

import labkit
from labkit import LabkitError
from labkit.course import build as module
from labkit.course.build import build, student_text
from labkit.machine import cores
from labkit.notebook.execute import execute

Variant = Callable[..., Path]


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny course, built."""
    root = tmp_path_factory.mktemp("course")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LABKIT_CHECKS", str(tiny_course(root)))
        assert build(root=root) == ["notebooks/90_tiny.ipynb: written", "notebooks/solutions/90_tiny.ipynb: written"]
    return root


@pytest.fixture(autouse=True)
def checks(course: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABKIT_CHECKS", str(course / "checks.py"))


@pytest.fixture
def variant(tmp_path: Path) -> Variant:
    """A course whose source has some text replaced."""

    def make(*pairs: tuple[str, str]) -> Path:
        source = SOURCE
        for old, new in pairs:
            assert old in source
            source = source.replace(old, new)
        tiny_course(tmp_path, source)
        return tmp_path

    return make


def read(course: Path, copy: str = "student") -> Any:
    folder = course / "notebooks" / ("solutions" if copy == "solution" else "")
    return nbformat.read(folder / "90_tiny.ipynb", as_version=4)


def cells(notebook: Any) -> dict[str, Any]:
    return {cell.id: cell for cell in notebook.cells}


def test_student_copy_has_stubs_and_no_solution(course: Path) -> None:
    text = (course / "notebooks" / "90_tiny.ipynb").read_text()
    assert "SOLUTION" not in text and "return 2 * x" not in text and "'right'" not in text
    exercise = cells(read(course))["exercise-90-double"]
    assert exercise.source == (
        'def double(x: float) -> float:\n    """Return twice x."""\n    raise NotImplementedError("your answer here")'
    )


def test_the_solution_is_executed_and_its_checks_say_right(course: Path) -> None:
    notebook = read(course, "solution")
    counts = [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1))
    output = cells(notebook)["check-90-double"].outputs[0]
    assert output.data["application/vnd.labkit.check+json"]["status"] == "right"
    assert "six 6\n" in [out.get("text", "") for cell in notebook.cells for out in cell.get("outputs", [])]
    assert any(cell.source.startswith("# NBVAL_CHECK_OUTPUT\n") for cell in notebook.cells)


def test_the_student_copy_holds_no_outputs_and_no_marks(course: Path) -> None:
    for cell in read(course).cells:
        assert "NBVAL" not in cell.source
        if cell.cell_type == "code":
            assert cell.outputs == [] and cell.execution_count is None


def test_nothing_that_differs_between_runs_is_stored(course: Path) -> None:
    notebook = read(course, "solution")
    text = json.dumps(notebook)
    assert "a warning" not in json.dumps([cell.get("outputs") for cell in notebook.cells])
    assert "at 0x0>" in text and 'execution": {' not in text
    assert str(course) not in text and "labkit-build-" not in text


def test_metadata(course: Path) -> None:
    notebook = read(course)
    nbformat.validate(notebook)
    assert notebook.metadata.labkit == {
        "lab": "90_tiny", "title": "A tiny lab", "version": labkit.__version__, "copy": "student"
    }  # fmt: skip
    assert notebook.metadata.kernelspec.name == "python3"
    assert "version" not in notebook.metadata.language_info
    there = cells(notebook)
    assert there["parameters"].metadata.tags == ["parameters"]
    assert there["exercise-90-double"].metadata.nbgrader == {
        "schema_version": 3, "grade_id": "90-double", "grade": False, "locked": False, "solution": True, "task": False
    }  # fmt: skip
    assert there["check-90-double"].metadata.nbgrader == {
        "schema_version": 3, "grade_id": "check-90-double", "grade": True, "locked": True, "solution": False,
        "task": False, "points": 2,
    }  # fmt: skip
    assert any("<details>" in cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def test_building_again_gives_the_same_bytes(course: Path, variant: Variant) -> None:
    other = variant()
    build(["90"], root=other)
    for name in ("90_tiny.ipynb", "solutions/90_tiny.ipynb"):
        assert (other / "notebooks" / name).read_bytes() == (course / "notebooks" / name).read_bytes()
    assert not list((other / "notebooks").rglob(".*"))


def test_an_inserted_cell_changes_no_other_id(course: Path, variant: Variant) -> None:
    root = variant(("# %%\n# NBVAL", "# %%\nprint(1)\n\n# %%\n# NBVAL"))
    source = module.read_source(root / "notebooks" / "src" / "90_tiny.py", module.exercises_by_id())
    before = [cell.id for cell in read(course).cells]
    assert [cell.id for cell in source.cells if cell.text != "print(1)"] == before


def test_the_same_text_twice_gets_two_ids(variant: Variant) -> None:
    root = variant(("# %%\n# NBVAL", "# %%\nprint(1)\n\n# %%\nprint(1)\n\n# %%\n# NBVAL"))
    source = module.read_source(root / "notebooks" / "src" / "90_tiny.py", module.exercises_by_id())
    assert len({cell.id for cell in source.cells}) == len(source.cells)


# Refusals


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("    return 2 * x\n    ### END SOLUTION", "    return 2 * x", "BEGIN SOLUTION without its END"),
        ("    ### BEGIN SOLUTION\n    return 2", "    return 2", "END SOLUTION without its BEGIN"),
        ("    return 2 * x", "    ### BEGIN SOLUTION\n    return 2 * x", "BEGIN SOLUTION inside another"),
        ("    ### BEGIN SOLUTION\n    return 2 * x\n    ### END SOLUTION", "    return 2 * x", "no ### BEGIN SOLUTION"),
        ("    return 2 * x", "    return 2 * x  ### END SOLUTION", "alone on its line"),
        ("print(\"six\", 2 * 3)", "### BEGIN SOLUTION\nx = 1\n### END SOLUTION", "a solution outside an exercise"),
        ("print(\"six\", 2 * 3)", "### BEGIN HIDDEN TESTS\nx = 1\n### END HIDDEN TESTS", "hidden tests outside"),
        ('exercise="90-total"', 'exercise="90-double"', "a second cell exercise-90-double"),
        ('# %% check="90-total"\ncheck("90-total"', '# %% check="90-double"\ncheck("90-double"', "a second cell"),
        ('exercise="90-total"', 'exercise="90-nothing"', "'90-nothing' is not in labkit.checks"),
        ('exercise="90-total"', 'exercise="90 total"', "must be letters, digits"),
        ('check("90-total", total)', 'check("90-double", total)', 'expected check\\("90-total", ...\\)'),
        ('# %% check="90-total"\ncheck("90-total", total)', "", "an exercise without its check"),
        ('exercise="90-double"', 'exercise="90-double" points=3', "unknown option points"),
        ("[markdown] answer=true", "answer=true [markdown]", "unknown option incorrectly_encoded_metadata"),
        ("[markdown] answer=true", '[markdown] check="90-double"', "Markdown cell can only be"),
        ('tags=["setup"]', "", "first code cell must have"),
        ("# # A tiny lab", "# A tiny lab", "start with '# Title'"),
        ("# # A tiny lab\n#\n# It has two exercises.", "", "the cell is empty"),
        ("alpha: float = 0.5", "alpha = 0.5", "expected 'name: type = value"),
        ('begin("90_tiny"', 'begin("91_tiny"', "begin\\('91_tiny'\\) in the lab 90_tiny"),
        ("def double(x: float) -> float:", "def double(x: float) -> float", "line 1 of the cell"),
    ],
)  # fmt: skip
def test_faults_in_a_source_are_refused(old: str, new: str, message: str, variant: Variant) -> None:
    root = variant((old, new))
    with pytest.raises(LabkitError, match=message) as caught:
        build(root=root)
    assert str(caught.value).startswith("notebooks/src/90_tiny.py")
    assert "\n" not in str(caught.value)
    assert not list((root / "notebooks").rglob("*.ipynb"))


def test_a_check_before_its_exercise_is_refused(variant: Variant) -> None:
    root = variant(
        ('# %% exercise="90-double"', '# %% check="90-double"\ncheck("90-double", double)\n\n# %% exercise="90-double"')
    )
    with pytest.raises(LabkitError, match=r"notebooks/src/90_tiny.py:19: cell 4 .*without its exercise before it"):
        build(root=root)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("    return 2 * x", "    return x", "CheckFailed"),
        ("    return 2 * x", "    return 2 * alpha * 0 + 2 * x", "CheckFailed"),  # needs more than the skeleton
    ],
)
def test_a_solution_that_fails_or_needs_an_experiment_is_refused(
    old: str, new: str, message: str, variant: Variant
) -> None:
    root = variant((old, new))
    with pytest.raises(LabkitError, match=rf"90_tiny.py:26: cell 5 \(check-90-double\): {message}"):
        build(root=root)
    assert not list((root / "notebooks").rglob("*.ipynb"))


class Executed:
    """Stands in for a kernel, so that what follows an execution is tested in no time."""

    def __init__(self, outputs: list[Any]) -> None:
        self.outputs = outputs

    def __call__(self, notebook: Any, folder: Path, **options: Any) -> None:
        stub = "NotImplementedError" in str(notebook)
        for number, cell in enumerate([cell for cell in notebook.cells if cell.cell_type == "code"], 1):
            cell.execution_count = number
            if cell.id.startswith("check-"):
                record = {"status": "not attempted" if stub else "right"}
                cell.outputs = [nbformat.v4.new_output("display_data", {module.CHECK_MIME: record})]
            elif "NBVAL" in cell.source:
                cell.outputs = self.outputs


def picture(mime: str, size: int, alt: str | None) -> Any:
    content = "x" * size if mime == "image/svg+xml" else base64.b64encode(b"x" * size).decode()
    return nbformat.v4.new_output("display_data", {mime: content}, metadata={mime: {"alt": alt}} if alt else {})


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ([picture("image/png", 151_000, "a ball")], "figure of 151 kB; the limit is 150 kB"),
        ([picture("image/svg+xml", 151_000, "a ball")], "figure of 151 kB"),
        ([picture("image/png", 10, None)], "without alt text"),
        ([picture("image/jpeg", 10, "")], "without alt text"),
        ([nbformat.v4.new_output("display_data", {"text/html": "<p><img src='x'></p>"})], "<img> without alt"),
        ([nbformat.v4.new_output("stream", text="x" * 2_100_000)], "2.1 MB, 2 MB is the limit; most is in .*:29"),
    ],
)
def test_pictures_must_be_small_and_described(
    outputs: list[Any], message: str, variant: Variant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "execute", Executed(outputs))
    root = variant()
    with pytest.raises(LabkitError, match=message):
        build(root=root)
    assert not list((root / "notebooks").rglob("*.ipynb"))


def test_what_is_scrubbed_and_merged(variant: Variant, monkeypatch: pytest.MonkeyPatch) -> None:
    new = nbformat.v4.new_output
    home = str(Path.home())
    outputs = [
        new("stream", name="stdout", text="one\n"),
        new("stream", name="stderr", text="100%"),
        new("stream", name="stdout", text=f"saved {home}/x\n"),
        new("display_data", {"application/vnd.jupyter.widget-view+json": {}, "text/plain": "a slider"}),
        picture("image/png", 10, "a ball"),
    ]
    monkeypatch.setattr(module, "execute", Executed(outputs))
    root = variant()
    build(root=root)
    [cell] = [cell for cell in read(root, "solution").cells if "NBVAL" in cell.source]
    assert [output.output_type for output in cell.outputs] == ["stream", "display_data"]
    assert cell.outputs[0].text == "one\nsaved ~/x\n"


def test_hidden_tests_are_kept_in_the_solution_only(variant: Variant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "execute", Executed([]))
    hidden = 'check("90-total", total)\n### BEGIN HIDDEN TESTS\nassert True\n### END HIDDEN TESTS'
    root = variant(('check("90-total", total)', hidden))
    build(root=root)
    assert cells(read(root))["check-90-total"].source == 'check("90-total", total)'
    assert cells(read(root, "solution"))["check-90-total"].source == hidden


def test_several_solutions_in_a_cell_keep_their_indents() -> None:
    text = "def f(x):\n    if x:\n        ### BEGIN SOLUTION\n        return 1\n        ### END SOLUTION\n    return 2"
    assert student_text(text).splitlines()[2] == '        raise NotImplementedError("your answer here")'
    assert student_text(text).splitlines()[3] == "    return 2"


# The second edition: an opening figure, builds in steps, headings

OPENING = """# %% tags=["opening"]
from labkit import plots
plots.show(plots.bars({"a": 1.0}), "One bar.")
"a result"

"""
BUILD = '''\
# %% [markdown]
# ### Build: twice, as a class (difficulty 2 of 5, core, 2 minutes)

# %% exercise="90-double"
class Doubler:
    """Doubles."""

    def __init__(self) -> None:
        """Keep the factor."""
        ### BEGIN SOLUTION
        self.factor = 2
        ### END SOLUTION

    def __call__(self, x: float) -> float:
        ### BEGIN SOLUTION
        return self.factor * x
        ### END SOLUTION

# %% check="90-double"
check("90-double", lambda x: Doubler()(x))
check("90-total", lambda values: Doubler()(values.sum()) / 2)

'''


@pytest.fixture
def second(variant: Variant) -> Variant:
    """The tiny lab as a lab of the second edition: an opening figure, and one exercise of two steps."""
    start = SOURCE.index('# %% exercise="90-double"')
    first = SOURCE[start : SOURCE.index("# %%\n# NBVAL")]
    later = SOURCE[SOURCE.index('# %% exercise="90-total"') : SOURCE.index("# %%\nimport sys")]
    return lambda *pairs: variant((first, OPENING + BUILD), (later, ""), *pairs)


def test_only_the_opening_figure_keeps_its_output(second: Variant) -> None:
    root = second()
    build(root=root)
    notebook = read(root)
    [opening] = [cell for cell in notebook.cells if "opening" in cell.metadata.get("tags", ())]
    assert [output.output_type for output in opening.outputs] == ["display_data", "display_data", "execute_result"]
    assert opening.execution_count == 1 and opening.outputs[2].execution_count is None
    assert [cell for cell in notebook.cells if cell.get("outputs")] == [opening]
    assert build(check=True, root=root) == []


def test_a_class_keeps_its_signatures_and_both_steps_are_proven(second: Variant) -> None:
    root = second()
    source = module.read_source(root / "notebooks" / "src" / "90_tiny.py", module.exercises_by_id())
    notebook = module.make_notebook(source, "https://git.example.org/a/b", solution=False)
    stub = 'raise NotImplementedError("your answer here")'
    assert cells(notebook)["exercise-90-double"].source.splitlines()[2:] == [
        "", "    def __init__(self) -> None:", '        """Keep the factor."""', f"        {stub}", "",
        "    def __call__(self, x: float) -> float:", f"        {stub}",
    ]  # fmt: skip
    assert cells(notebook)["check-90-double"].metadata.nbgrader.points == 3


def test_a_later_step_that_fails_is_refused(second: Variant) -> None:
    with pytest.raises(LabkitError, match=r"check-90-double\): CheckFailed: The sum is not right yet"):
        build(root=second(("sum()) / 2", "mean()) / 2")))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("2 of 5", "3 of 5", r"heading must be '### ... \(difficulty 2 of 5, core, 2 minutes\)'; got '### Build"),
        ("# ### Build", "# Build", "there is none"),
        ("2 minutes", "1 minute", "core, 2 minutes"),
        (
            '# %% tags=["opening"]',
            '# %% tags=["opening"]\n1\n\n# %% tags=["opening"]',
            "a second cell with the tag opening",
        ),
    ],
)
def test_headings_and_openings_that_are_wrong_are_refused(old: str, new: str, message: str, second: Variant) -> None:
    with pytest.raises(LabkitError, match=message):
        build(root=second((old, new)))


def test_labs_are_built_side_by_side_and_come_out_the_same(
    course: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_course(tmp_path)
    sources = tmp_path / "notebooks" / "src"
    other = SOURCE.replace("90_tiny", "91_tiny")
    for key in ("90-double", "90-total"):  # an exercise belongs to one lab
        other = re.sub(rf'# %% (exercise|check)="{key}"\n.*?(?=\n# %%|\Z)', "", other, flags=re.DOTALL)
    (sources / "91_tiny.py").write_text(other, encoding="utf-8")
    both, threads = threading.Barrier(2), []

    def meets(*arguments: Any, **options: Any) -> Any:
        if len(threads) < 2:
            threads.append(options["variables"])
            both.wait(30)  # breaks where the first lab ends before the second begins
        return execute(*arguments, **options)

    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(module, "execute", meets)
    lines = build(root=tmp_path, jobs=2)
    assert [line.partition(":")[0] for line in lines[::2]] == ["notebooks/90_tiny.ipynb", "notebooks/91_tiny.ipynb"]
    assert threads == [{"OMP_NUM_THREADS": str(max(1, cores() // 2))}] * 2
    for copy in ("student", "solution"):
        assert read(tmp_path, copy) == read(course, copy)


def test_an_opening_figure_after_an_exercise_is_refused(variant: Variant) -> None:
    with pytest.raises(LabkitError, match="must be a plain code cell before all exercises"):
        build(root=variant(("# %%\n# NBVAL", OPENING + "# %%\n# NBVAL")))


def test_colab_badge_only_for_github(variant: Variant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "execute", Executed([]))
    root = variant()
    build(root=root)
    assert "colab.research" not in read(root).cells[0].source
    (root / "pyproject.toml").write_text('[project.urls]\nRepository = "https://github.com/some/labs.git"\n')
    assert any("source differs" in line for line in build(check=True, root=root))
    build(root=root)
    link = "https://colab.research.google.com/github/some/labs/blob/main/notebooks/90_tiny.ipynb"
    assert link in read(root).cells[0].source
    assert "labkit @ git+https://github.com/some/labs.git" in cells(read(root))["setup"].source


# Comparing


def change(root: Path, name: str, edit: Callable[[Any], None]) -> list[str]:
    path = root / "notebooks" / name
    before = path.read_text()
    notebook = json.loads(before)
    edit(notebook)
    path.write_text(json.dumps(notebook))
    try:
        return build(check=True, root=root)
    finally:
        path.write_text(before)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda nb: nb["cells"][4].update(source="x = 1"), "cell exercise-90-double (notebooks/src/90_tiny.py:19"),
        (lambda nb: nb["cells"][4]["metadata"]["nbgrader"].update(points=9), "its metadata differs"),
        (lambda nb: nb["cells"].pop(5), "cell check-90-double (notebooks/src/90_tiny.py:26: cell 5) is missing"),
        (lambda nb: nb["cells"].append({**nb["cells"][0], "id": "new"}), "cell new is not in the source"),
        (lambda nb: nb["cells"].insert(0, nb["cells"].pop(1)), "in another order"),
        (lambda nb: nb["metadata"]["labkit"].update(version="0.0"), "the notebook's metadata differ"),
    ],
)
def test_check_names_what_differs(course: Path, edit: Callable[[Any], None], message: str) -> None:
    for name in ("90_tiny.ipynb", "solutions/90_tiny.ipynb"):
        lines = change(course, name, edit)
        assert len(lines) == 1 and lines[0].startswith(f"notebooks/{name}: ") and message in lines[0]


def test_check_wants_the_solution_executed_and_the_student_copy_empty(course: Path) -> None:
    [line] = change(course, "solutions/90_tiny.ipynb", lambda nb: nb["cells"][6].update(execution_count=None))
    assert "was not executed" in line
    shown = {"output_type": "stream", "name": "stdout", "text": ["6"]}
    for change_of in ({"execution_count": 1}, {"outputs": [shown]}):
        [line] = change(course, "90_tiny.ipynb", lambda nb, new=change_of: nb["cells"][6].update(new))
        assert "holds outputs, which only the opening figure may have" in line


def test_check_of_what_is_fine_missing_damaged_or_left_over(course: Path) -> None:
    assert build(check=True, root=course) == []
    assert build(["90_tiny"], check=True, root=course) == []
    path = course / "notebooks" / "90_tiny.ipynb"
    text = path.read_text()
    try:
        path.unlink()
        assert "not built" in build(check=True, root=course)[0]
        path.write_text(text[:500])
        assert "not a notebook" in build(check=True, root=course)[0]
        path.with_name("91_old.ipynb").write_text(text)
        assert "no source" in build(check=True, root=course)[-1]
    finally:
        path.write_text(text)
        path.with_name("91_old.ipynb").unlink(missing_ok=True)


def test_outputs_do_not_matter_to_check(course: Path) -> None:
    assert change(course, "solutions/90_tiny.ipynb", lambda nb: nb["cells"][6].update(outputs=[])) == []


def test_unknown_lab_and_no_sources(course: Path, tmp_path: Path) -> None:
    with pytest.raises(LabkitError, match="there is no lab '91'"):
        build(["91"], root=course)
    with pytest.raises(LabkitError, match="no folder notebooks/src"):
        build(root=tmp_path)


# The set-up cell in Colab


@pytest.mark.parametrize("google", [None, "google", "google/colab"])
@pytest.mark.parametrize("installed", [False, True])
def test_setup_installs_in_colab_only_and_only_once(google: str | None, installed: bool, tmp_path: Path) -> None:
    """With a stub google.colab, a stub pip and a labkit that may be there, in a Python without site-packages."""
    (tmp_path / "pip").mkdir()
    stub = ["import sys", "open('labkit.py', 'w').close()", "open('log', 'w').write(' '.join(sys.argv[1:]))"]
    (tmp_path / "pip" / "__init__.py").write_text("")
    (tmp_path / "pip" / "__main__.py").write_text("\n".join(stub))
    if google:
        (tmp_path / google).mkdir(parents=True)
    if installed:
        (tmp_path / "labkit.py").write_text("")
    code = module._BOOTSTRAP.format(source="labkit @ git+https://git.example.org/a/b")
    if google == "google/colab" or installed:
        code += "import labkit"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    environment.pop("LABKIT_SOURCE", None)
    for source, wanted in ((None, "labkit @ git+https://git.example.org/a/b"), ("/a/wheel", "/a/wheel")):
        if source:
            environment["LABKIT_SOURCE"] = source
        subprocess.run([sys.executable, "-S", "-c", code], cwd=tmp_path, env=environment, check=True)
        log = tmp_path / "log"
        if google == "google/colab" and not installed:
            assert log.read_text() == f"install -q {wanted}"
            log.unlink()
            (tmp_path / "labkit.py").unlink()
        else:
            assert not log.exists()
