"""nbval over all built notebooks, and proof that it (with labkit's guard) fails when it should."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

nbformat = pytest.importorskip("nbformat")
pytest.importorskip("nbval")

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
NOTEBOOKS = [path.relative_to(FOLDER) for path in sorted([*FOLDER.glob("*.ipynb"), *FOLDER.glob("solutions/*.ipynb")])]
STUDENTS = [name for name in NOTEBOOKS if name.parent == Path(".")]
every_notebook = pytest.mark.parametrize("name", NOTEBOOKS, ids=str)


def nbval(notebook: Path, profile: str, *options: str, guard: bool = True) -> tuple[int, str]:
    """Run nbval on one notebook in its folder, with no configuration but this; return (exit status, output)."""
    plugins = ["-p", "labkit.grading.nbval_guard"] if guard else []
    command = [sys.executable, "-m", "pytest", "--nbval-lax", "--noconftest", "-c", os.devnull, "--rootdir=.", "-q"]
    environment = {**os.environ, "LABKIT_PROFILE": profile, "LABKIT_STATIC": "1"}
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider", *plugins, "--nbval-cell-timeout=120", *options, notebook.name],
        cwd=notebook.parent,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, re.sub(r"\x1b\[[0-9;]*m", "", done.stdout + done.stderr)


def passes(name: Path, profile: str, folder: Path) -> None:
    """A copy passes, so that what a lab writes does not land in the course."""
    copy = folder / name.name
    shutil.copyfile(FOLDER / name, copy)
    status, output = nbval(copy, profile)
    assert status == 0, output


def first_lab_by_default(names: list[Path]) -> Any:
    """The first lab's notebooks; the others are slow, and .ci/run runs them."""
    marked = [pytest.param(name, marks=[] if name.name.startswith("00") else [pytest.mark.slow]) for name in names]
    return pytest.mark.parametrize("name", marked, ids=str)


@first_lab_by_default(NOTEBOOKS)
def test_passes_in_the_test_profile(name: Path, tmp_path: Path) -> None:
    passes(name, "test", tmp_path)


@pytest.mark.slow
@every_notebook
def test_passes_in_the_quick_profile(name: Path, tmp_path: Path) -> None:
    passes(name, "quick", tmp_path)


@pytest.mark.skipif(not NOTEBOOKS, reason="no notebooks are built")
def test_built_notebooks_are_what_their_sources_give() -> None:
    from labkit.course.build import build

    assert build(check=True, root=FOLDER.parent) == []


@first_lab_by_default(STUDENTS)
def test_student_notebooks_hold_no_marked_cell_and_a_wrong_answer_fails(name: Path, tmp_path: Path) -> None:
    notebook = nbformat.read(FOLDER / name, as_version=4)
    assert not any("NBVAL_CHECK_OUTPUT" in cell.source for cell in notebook.cells)
    cells = {cell.id: cell for cell in notebook.cells}
    key = next(id.removeprefix("exercise-") for id in cells if id.startswith("exercise-"))
    exercise, check = cells[f"exercise-{key}"], cells[f"check-{key}"]
    checked = re.search(r"check\(\s*\S+, ([A-Za-z_]\w*)", check.source)
    assert checked, check.source
    exercise.source = f"def {checked[1]}(*arguments, **named):\n    return 'nonsense'"
    notebook.cells = [cells["setup"], exercise, check]
    nbformat.write(notebook, tmp_path / name.name)
    status, output = nbval(tmp_path / name.name, "test")
    assert status == 1 and "is not right yet" in output and "1 failed, 2 passed" in output, output


# That nbval fails when it should


def write(path: Path, *sources: str, output: str | None = None) -> Path:
    """A notebook of executed cells; ``output`` is what the last is said to have printed."""
    cells = [nbformat.v4.new_code_cell(source, execution_count=n) for n, source in enumerate(sources, 1)]
    if output is not None:
        cells[-1].outputs = [nbformat.v4.new_output("stream", name="stdout", text=output)]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)
    return path


MARKED = "# NBVAL_CHECK_OUTPUT\nprint(2 * 3)"


def test_a_marked_output_is_compared(tmp_path: Path) -> None:
    assert nbval(write(tmp_path / "same.ipynb", MARKED, output="6\n"), "test")[0] == 0
    status, output = nbval(write(tmp_path / "changed.ipynb", MARKED, output="7\n"), "test")
    assert status == 1 and "Cell outputs differ" in output


def test_a_changed_output_of_a_real_lab_fails(tmp_path: Path) -> None:
    marked: list[tuple[Path, Any, int]] = []
    for name in set(NOTEBOOKS) - set(STUDENTS):
        notebook = nbformat.read(FOLDER / name, as_version=4)
        for index, cell in enumerate(notebook.cells):
            if "# NBVAL_CHECK_OUTPUT" in cell.source and any("text" in output for output in cell.outputs):
                marked.append((name, notebook, index))
    if not marked:
        pytest.skip("no built notebook has a marked cell with printed text")
    name, notebook, index = min(marked, key=lambda item: item[2])
    printed = next(output for output in notebook.cells[index].outputs if "text" in output)
    printed.text = "something else\n"
    notebook.cells = notebook.cells[: index + 1]
    path = tmp_path / name.name
    nbformat.write(notebook, path)
    status, output = nbval(path, "test")
    assert status == 1 and "Cell outputs differ" in output


def test_what_goes_to_stderr_is_not_compared(tmp_path: Path) -> None:
    source = f"{MARKED}\nimport sys\nprint('a warning', file=sys.stderr)"
    status, output = nbval(write(tmp_path / "warns.ipynb", source, output="6\n"), "test")
    assert status == 0, output


def test_a_cell_that_does_not_run_fails(tmp_path: Path) -> None:
    path = write(tmp_path / "magic.ipynb", "%nothing_of_this_name", "%%nothing_of_this_name\nprint(1)", "x = 1")
    assert nbval(path, "test", guard=False)[0] == 0  # the gap in nbval that the guard closes
    status, output = nbval(path, "test")
    assert status == 1 and "Cell did not run to its end: the kernel said 'error'" in output
    assert "2 failed, 1 passed" in output


def test_errors_and_dead_kernels_fail_and_a_marked_exception_passes(tmp_path: Path) -> None:
    assert nbval(write(tmp_path / "error.ipynb", "1 / 0"), "test")[0] == 1
    assert nbval(write(tmp_path / "dead.ipynb", "import os; os._exit(0)"), "test", "--nbval-cell-timeout=3")[0] == 1
    assert nbval(write(tmp_path / "marked.ipynb", "# NBVAL_RAISES_EXCEPTION\n1 / 0"), "test")[0] == 0


def test_a_wrong_answer_fails_and_a_stub_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tiny_lab import tiny_course

    monkeypatch.setenv("LABKIT_CHECKS", str(tiny_course(tmp_path)))
    start = "from labkit.checks import check"
    stub = "def double(x):\n    raise NotImplementedError('your answer here')"
    for name, answer, expected in (
        ("stub", stub, 0),
        ("right", "def double(x):\n    return 2 * x", 0),
        ("wrong", "def double(x):\n    return x * x", 1),
    ):
        path = write(tmp_path / f"{name}.ipynb", start, answer, 'check("90-double", double)')
        status, output = nbval(path, "test", guard=False)  # as a student calls it
        assert status == expected, output
    assert "twice, not squared" in output and len(output.splitlines()) < 60
