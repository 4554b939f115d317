"""Make the two notebooks of a lab, student's and solution, from its one source, notebooks/src/NN_title.py.

`labkit.course.source` reads the source. The solution notebook is executed from top to bottom. The student notebook has
no outputs, which would answer its predictions, but the opening figure's, taken from that run. Of both the skeleton
(setup, exercises, checks) is run by itself, which proves that it needs nothing else.
"""

import base64
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from labkit import __version__, artifacts
from labkit.checks import CHECK_MIME, NOT_ATTEMPTED, RIGHT
from labkit.course.labs import NAME, course_root, find_name, read_notebook, repository
from labkit.course.source import LabSource, SourceCell, exercises_by_id, read_source, short_path, student_text
from labkit.errors import LabkitError, SomeFailed, check_integer, noting
from labkit.machine import jobs_held, thread_share
from labkit.notebook.execute import Kernels, execute

FIGURE_BYTES = 150_000
NOTEBOOK_BYTES = 2_000_000
TIMEOUT = 900  # seconds a cell may take
Run = Callable[[Any, Path], tuple[str, str] | None]
ALONE: Run = partial(execute, timeout=TIMEOUT)
_SKELETON = ("setup", "exercise", "check")
_WIDGET_MIME = "application/vnd.jupyter.widget-view+json"
_LANGUAGE = {"file_extension": ".py", "mimetype": "text/x-python", "name": "python"}
_BOOTSTRAP = """\
# In Colab this installs labkit, once, and leaves torch as it is; anywhere else it does nothing.
import importlib.util, os, subprocess, sys
if importlib.util.find_spec("google") and importlib.util.find_spec("google.colab"):
    if not importlib.util.find_spec("labkit"):
        source = os.environ.get("LABKIT_SOURCE", "{source}")
        subprocess.run([sys.executable, "-m", "pip", "install", "-q", source], check=True)
        importlib.invalidate_caches()

"""


def build(
    labs: Sequence[str] | None = None,
    check: bool = False,
    root: Path | None = None,
    progress: Callable[[str], None] | None = None,
    jobs: int | None = None,
) -> list[str]:
    """Make the notebooks of ``labs`` (numbers or names; all if None or empty) from their sources.

    Args:
        labs: which labs.
        check: execute and write nothing, but compare the built notebooks with what the sources would give.
        root: the folder that holds notebooks/src.
        progress: called with a line before each slow step.
        jobs: labs that are executed at a time, each with its fraction of the cores; as many as the machine holds if
            None.

    Returns:
        With ``check`` the differences, a line each; else a line for each notebook written.

    Raises:
        LabkitError: for an unknown lab, or a source that is named wrongly.
        SomeFailed: after the other labs are done, for a fault in a source (quoting file, line and cell), or a cell that
            fails to run.
    """
    root = course_root(root)
    paths = sorted((root / "notebooks" / "src").glob("*.py"))
    names = [path.stem for path in paths]
    if bad := [name for name in names if not NAME.fullmatch(name)]:
        raise LabkitError(f"notebooks/src/{bad[0]}.py: a lab's source is called NN_title.py")
    wanted = [find_name(lab, names) for lab in labs] if labs else names
    address = repository(root)
    exercises = exercises_by_id()
    say = progress or (lambda line: None)
    failures: dict[str, str] = {}
    chosen = [path for path in paths if path.stem in wanted]
    count = (
        1 if check else max(1, min(len(chosen), jobs_held() if jobs is None else check_integer("jobs", jobs, low=1)))
    )
    kernels = Kernels()
    run = partial(execute, timeout=TIMEOUT, variables=thread_share(count), kernels=kernels)

    def build_or_compare(path: Path) -> list[str]:
        with noting(failures, path.stem):
            source = read_source(path, exercises)
            if check:
                return differences(source, address)
            return _build_one(source, address, say, run)
        return []

    pool = ThreadPoolExecutor(count)  # threads: each only waits for its kernel, which is a process of its own
    try:
        lines = [line for found in pool.map(build_or_compare, chosen) for line in found]
    finally:  # after Ctrl-C nothing goes on
        pool.shutdown(wait=False, cancel_futures=True)
        kernels.end()
    if check and not labs:
        lines += _orphans(root, names)
    if failures:
        raise SomeFailed(failures, len(wanted), lines)
    return lines


# Making a notebook


def make_notebook(source: LabSource, address: str, solution: bool) -> Any:
    """Return the notebook without outputs, as students get it or with solutions."""
    import nbformat

    folder = "notebooks/solutions" if solution else "notebooks"
    cells = []
    for position, cell in enumerate(source.cells):
        text = cell.text if solution else student_text(cell.text)
        if position == 0:
            text = _with_badge(text, address, f"{folder}/{source.name}.ipynb")
        elif cell.kind == "setup":
            text = _BOOTSTRAP.format(source=f"labkit @ git+{address}") + text
        elif cell.kind == "answer":
            text = f"<details><summary>Compare with your guess</summary>\n\n{text}\n\n</details>"
        prose = cell.kind in ("markdown", "answer")
        make = nbformat.v4.new_markdown_cell if prose else nbformat.v4.new_code_cell
        cells.append(make(text, id=cell.id, metadata=_metadata(cell)))
    return nbformat.v4.new_notebook(
        cells=cells,
        metadata={
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": dict(_LANGUAGE),
            "labkit": {
                "lab": source.name,
                "title": source.title,
                "version": __version__,
                "copy": "solution" if solution else "student",
            },
        },
    )


def _metadata(cell: SourceCell) -> dict[str, Any]:
    """Return tags, and what nbgrader needs: exercises are solution cells, checks are locked and graded."""
    metadata: dict[str, Any] = {"tags": list(cell.tags)} if cell.tags else {}
    if cell.kind in ("exercise", "check"):
        graded = cell.kind == "check"
        metadata["nbgrader"] = {
            "schema_version": 3,
            "grade_id": f"check-{cell.key}" if graded else cell.key,
            "grade": graded,
            "locked": graded,
            "solution": not graded,
            "task": False,
            **({"points": cell.points} if graded else {}),
        }
    return metadata


def _with_badge(text: str, address: str, path: str) -> str:
    github = re.fullmatch(r"https://github\.com/([^/]+/[^/]+?)(\.git)?/?", address)
    if not github:
        return text
    link = f"https://colab.research.google.com/github/{github[1]}/blob/main/{path}"
    badge = f"[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]({link})"
    title, *rest = text.splitlines()
    return "\n".join([title, "", badge, *rest])


# Executing and writing


def _build_one(source: LabSource, address: str, say: Callable[[str], None], run: Run) -> list[str]:
    solution = make_notebook(source, address, solution=True)
    student = make_notebook(source, address, solution=False)
    with tempfile.TemporaryDirectory(prefix="labkit-build-") as folder:
        scratch = Path(folder)
        say(f"{source.name}: the skeleton alone, solved and unsolved")
        for notebook, wanted in ((solution, RIGHT), (student, NOT_ATTEMPTED)):
            run_skeleton(notebook, source, scratch, wanted, run)
        say(f"{source.name}: the whole lab")
        _execute(solution, source, scratch, run)
        _expect(solution, source, RIGHT)
        hide = {str(scratch.resolve()): ".", str(scratch): ".", str(Path.home()): "~"}
        files = {}
        _scrub(solution, hide)
        _check_sizes(solution, source)
        for cell, done in zip(student.cells, solution.cells, strict=True):
            if "opening" in cell.metadata.get("tags", ()):
                cell.outputs = [_without_count(output) for output in done.outputs]
                cell.execution_count = 1  # nbval refuses the outputs of a cell that has no number
        for notebook in (student, solution):
            files[built_path(source, notebook.metadata.labkit["copy"])] = _text(notebook, source)
    for path, text in files.items():
        artifacts.write_text(path, text)
    return [f"{short_path(path)}: written" for path in files]


def built_path(source: LabSource, copy: str) -> Path:
    """Return where a built notebook is; ``copy`` is "student" or "solution"."""
    folder = source.path.parent.parent
    return (folder / "solutions" if copy == "solution" else folder) / f"{source.name}.ipynb"


def _without_count(output: Any) -> Any:
    """Return a copy of an output that does not say as which one its cell ran."""
    import nbformat

    changed = {"execution_count": None} if output.output_type == "execute_result" else {}
    return nbformat.from_dict({**output, **changed})


def run_skeleton(notebook: Any, source: LabSource, folder: Path, wanted: str, run: Run = ALONE) -> None:
    """Run a copy of the skeleton's cells alone.

    Args:
        notebook: student's or solution.
        source: its source.
        folder: where it runs.
        wanted: the status that each check must report.
        run: executes a notebook in a folder, and says which cell failed.

    Raises:
        LabkitError: if a cell fails, or a check says anything but ``wanted``.
    """
    import copy

    part = copy.deepcopy(notebook)
    pairs = zip(part.cells, source.cells, strict=True)
    part.cells = [cell for cell, origin in pairs if origin.kind in _SKELETON]
    _execute(part, source, folder, run)
    _expect(part, source, wanted)


def _execute(notebook: Any, source: LabSource, folder: Path, run: Run) -> None:
    """Run every code cell.

    Raises:
        LabkitError: naming the cell that failed, or did not run at all.
    """
    if failed := run(notebook, folder):
        origin = next(cell for cell in source.cells if cell.id == failed[0])
        raise LabkitError(f"{origin.where} ({origin.id}): {failed[1]}")


def _expect(notebook: Any, source: LabSource, wanted: str) -> None:
    """Refuse an executed notebook in which a check said anything but ``wanted``."""
    origins = {cell.id: cell for cell in source.cells}
    for cell in notebook.cells:
        if origins[cell.id].kind == "check":
            said = [o.data[CHECK_MIME]["status"] for o in cell.outputs if CHECK_MIME in o.get("data", {})]
            if set(said) != {wanted}:
                which = "the solution" if wanted == RIGHT else "the stub"
                where = origins[cell.id].where
                raise LabkitError(f"{where} ({cell.id}): {which} must be {wanted!r}, the check said {said}")


def _scrub(notebook: Any, hide: Mapping[str, str]) -> None:
    """Take out what differs between two runs of one source: times, paths, addresses, stderr."""
    import nbformat

    notebook.metadata.pop("widgets", None)
    notebook.metadata.language_info = nbformat.from_dict(_LANGUAGE)  # without the version of Python
    count = 0
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        count += 1
        cell.execution_count = count
        cell.metadata.pop("execution", None)
        kept: list[Any] = []
        for output in cell.outputs:
            if output.get("name") == "stderr" or _WIDGET_MIME in output.get("data", {}):
                continue
            output = _replaced(output, hide)
            if output.output_type == "execute_result":
                output.execution_count = count
            output.pop("transient", None)
            if kept and output.output_type == kept[-1].output_type == "stream":
                kept[-1].text += output.text
            else:
                kept.append(output)
        cell.outputs = kept


def _replaced(value: Any, hide: Mapping[str, str]) -> Any:
    """Return ``value`` with paths and memory addresses replaced in its text; pictures, which are base64, stay."""
    import nbformat

    if isinstance(value, str):
        for path, short in hide.items():
            value = re.sub(rf"{re.escape(path)}(?![\w.-])", short, value)
        return re.sub(r"\bat 0x[0-9a-fA-F]{6,}", "at 0x0", value)
    if isinstance(value, dict):
        replaced = {k: v if str(k).startswith("image/p") else _replaced(v, hide) for k, v in value.items()}
        return nbformat.from_dict(replaced)
    return [_replaced(item, hide) for item in value] if isinstance(value, list) else value


def _check_sizes(notebook: Any, source: LabSource) -> None:
    """Refuse a picture that is too large or has no alt text."""
    for cell, origin in zip(notebook.cells, source.cells, strict=True):
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            for mime in [mime for mime in data if mime.startswith("image/")]:
                content = data[mime] if isinstance(data[mime], str) else "".join(data[mime])
                size = len(content.encode()) if mime == "image/svg+xml" else len(base64.b64decode(content))
                if size > FIGURE_BYTES:
                    limit = f"the limit is {FIGURE_BYTES // 1000} kB"
                    raise LabkitError(f"{origin.where}: a figure of {size / 1000:.0f} kB; {limit}")
                if not output.metadata.get(mime, {}).get("alt"):
                    raise LabkitError(f"{origin.where}: a figure without alt text (see labkit.plots.show)")
            for image in re.findall(r"<img\b[^>]*>", str(data.get("text/html", ""))):
                if not re.search(r"""\balt=["'][^"']""", image):
                    raise LabkitError(f"{origin.where}: an <img> without alt text")


def _text(notebook: Any, source: LabSource) -> str:
    import nbformat

    nbformat.validate(notebook)
    text = nbformat.writes(notebook) + "\n"
    if len(text.encode()) > NOTEBOOK_BYTES:
        sizes = {cell.id: len(str(cell.get("outputs", ""))) for cell in notebook.cells}
        largest = max(source.cells, key=lambda cell: sizes[cell.id])
        raise LabkitError(
            f"{short_path(source.path)}: the notebook takes {len(text.encode()) / 1e6:.1f} MB, "
            f"{NOTEBOOK_BYTES // 10**6} MB is the limit; most is in {largest.where}"
        )
    return text


# Comparing without executing


def differences(source: LabSource, address: str) -> list[str]:
    """Return what differs between the two built notebooks and what the source would give, a line each.

    Nothing is executed.

    Args:
        source: the lab.
        address: of the repository, for links.
    """
    lines: list[str] = []
    for solution in (False, True):
        wanted = make_notebook(source, address, solution)
        path = built_path(source, wanted.metadata.labkit["copy"])
        place, remedy = short_path(path), f"run `labkit build {source.name[:2]}`"
        if not path.exists():
            lines.append(f"{place}: not built; {remedy}")
            continue
        try:
            built = read_notebook(path)
        except LabkitError:
            lines.append(f"{place}: not a notebook; {remedy}")
            continue
        if built.metadata != wanted.metadata:
            lines.append(f"{place}: the notebook's metadata differ; {remedy}")
        there = {cell.get("id"): cell for cell in built.cells}
        before = len(lines)
        for cell, origin in zip(wanted.cells, source.cells, strict=True):
            have = there.pop(cell.id, None)
            name = f"{place}: cell {cell.id} ({origin.where})"
            if have is None:
                lines.append(f"{name} is missing; {remedy}")
                continue
            for part in ("cell_type", "source", "metadata"):
                if have.get(part) != cell.get(part):
                    lines.append(f"{name}: its {part} differs; {remedy}")
            if solution and cell.cell_type == "code" and not have.get("execution_count"):
                lines.append(f"{name} was not executed; {remedy}")
            if not solution and "opening" not in origin.tags and (have.get("execution_count") or have.get("outputs")):
                lines.append(f"{name} holds outputs, which only the opening figure may have; {remedy}")
        lines.extend(f"{place}: cell {id} is not in the source; {remedy}" for id in there)
        if len(lines) == before and [cell.id for cell in built.cells] != [cell.id for cell in wanted.cells]:
            lines.append(f"{place}: the cells are in another order; {remedy}")
    return lines


def _orphans(root: Path, names: Sequence[str]) -> list[str]:
    """Return a line for each built notebook that has no source."""
    folder = root / "notebooks"
    built = sorted([*folder.glob("*.ipynb"), *(folder / "solutions").glob("*.ipynb")])
    return [f"{short_path(path)}: no source notebooks/src/{path.stem}.py" for path in built if path.stem not in names]
