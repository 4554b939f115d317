"""Write student copies of labs for handing out (`labkit release`); refuse one that would give an answer away.

The copy is the built notebook, byte for byte; what is looked for in it is taken from the instructor's source, which
knows the solutions and the hidden tests.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from labkit import artifacts, checks
from labkit.checks import NOT_ATTEMPTED
from labkit.course.build import built_path, differences, run_skeleton
from labkit.course.labs import course_root, find_name, read_notebook, repository
from labkit.course.source import LabSource, check_calls, read_source, regions
from labkit.errors import LabkitError, SomeFailed, noting

TELLING = 10  # letters and signs that a line must have to give something away
_TOKENS = ("BEGIN SOLUTION", "END SOLUTION", "BEGIN HIDDEN TESTS", "END HIDDEN TESTS")


def release(
    labs: Sequence[str],
    out: str | Path,
    root: Path | None = None,
    progress: Callable[[str], None] | None = None,
) -> list[Path]:
    """Write NN_title.ipynb and NN_title.zip of each lab to ``out``; return the zips.

    A file of exercises (LABKIT_CHECKS) that the lab's public checks need comes along in the zip.

    Raises:
        LabkitError: for an unknown lab.
        SomeFailed: after the other labs are released, if a notebook is not what its source gives, would show a
            solution, a hidden test or a solution's output, or does not run from top to bottom as it is; of such a lab
            nothing is written.
    """
    root = course_root(root)
    sources = sorted((root / "notebooks" / "src").glob("*.py"))
    names = list(dict.fromkeys(find_name(lab, [path.stem for path in sources]) for lab in labs))
    exercises = {exercise.id: exercise for exercise in checks.all_exercises()}
    say = progress or (lambda line: None)
    failures: dict[str, str] = {}
    zips: list[Path] = []
    for name in names:
        with noting(failures, name):
            source = read_source(next(path for path in sources if path.stem == name), exercises)
            say(f"{name}: looking for leaks, running the skeleton")
            _refuse(source, root)
            zips.append(_write(source, artifacts.make_folder(out)))
    if failures:
        raise SomeFailed(failures, len(names), [str(path) for path in zips])
    return zips


def _refuse(source: LabSource, root: Path) -> None:
    """Raise LabkitError unless a lab's built notebook may be handed out."""
    path = built_path(source, "student")
    if path.exists() and built_path(source, "solution").exists():  # what would leak is the first to be told
        refuse_leaks(source, read_notebook(path), _solved(source))
    if lines := differences(source, repository(root)):
        raise LabkitError(f"{source.name} cannot be released: {lines[0]}")
    with tempfile.TemporaryDirectory(prefix="labkit-release-") as folder:
        run_skeleton(read_notebook(path), source, Path(folder), NOT_ATTEMPTED)


def _write(source: LabSource, out: Path) -> Path:
    """Write a lab's notebook and its zip, with the files that its checks need; return the zip."""
    data, target = built_path(source, "student").read_bytes(), out / f"{source.name}.zip"
    files = {f"{source.name}.ipynb": data} | {path.name: path.read_bytes() for path in _files_of_checks(source)}
    artifacts.write_bytes(out / f"{source.name}.ipynb", data)
    with artifacts.replacing(target) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(f"{source.name}/{name}")  # of 1980, so that the same lab gives the same zip
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED)
    return target


def _solved(source: LabSource) -> Any:
    path = built_path(source, "solution")
    return read_notebook(path)


def refuse_leaks(source: LabSource, student: Any, solved: Any) -> None:
    """Look for what students must not see, in sources, outputs and metadata.

    No output and no metadata may have a line of a solution. In cells one line may recur (`gray = luma(rgb)` is no
    secret), but not half of a solution.

    Raises:
        LabkitError: naming what was found, and where.
    """
    cells = [(f"cell {cell.id}", cell.source) for cell in student.cells]
    others = [*_metadata(student), *_outputs(student, own=None)]
    for where, text in [*cells, *others]:
        for token in _TOKENS:
            if re.search(rf"#\s*{token}", text):
                raise LabkitError(f"{source.name} would leak: {where} holds the marker {token!r}")
    secret = list(_secrets(source))
    lines = {_bare(line): where for where, text in cells for line in text.splitlines()}
    for what, own in secret:
        if own and 2 * len(seen := own & set(lines)) >= len(own):
            raise LabkitError(f"{source.name} would leak {what}: {lines[min(seen)]} has {min(seen)[:80]!r}")
    forbidden = {line: what for what, own in secret for line in own} | dict(_solved_outputs(solved, student))
    for where, text in others:
        for line in text.splitlines():
            if found := forbidden.get(_bare(line)):
                raise LabkitError(f"{source.name} would leak {found}: {where} has the line {line.strip()[:80]!r}")


def _secrets(source: LabSource) -> Iterator[tuple[str, set[str]]]:
    """Yield what the solution or the hidden tests of each cell are, and their telling lines.

    The regions of a cell count together: the body of one method may be a line that stands anywhere.
    """
    for cell in source.cells:
        for word in ("SOLUTION", "HIDDEN TESTS"):
            spans = list(regions(cell.text, word)) if cell.kind in ("exercise", "check") else []
            lines = [_bare(line) for first, last in spans for line in cell.text.splitlines()[first + 1 : last]]
            if spans:
                yield f"the {word.lower()} of {cell.key}", {line for line in lines if len(line) >= TELLING}


def _solved_outputs(solved: Any, student: Any) -> Iterator[tuple[str, str]]:
    """Yield each telling line that only the solved exercises and checks print."""
    theirs = {_bare(line) for _, text in _outputs(student, own=False) for line in text.splitlines()}
    for where, text in _outputs(solved, own=True):
        for line in text.splitlines():
            if len(_bare(line)) >= TELLING and _bare(line) not in theirs:
                yield _bare(line), f"an output of the solution ({where})"


def _bare(line: str) -> str:
    """Return a line without its comment and spaces."""
    return "".join(re.sub(r"(^|\s)#.*", "", line).split())


def _metadata(notebook: Any) -> Iterator[tuple[str, str]]:
    """Yield metadata and attachments, each with its place."""
    yield "the notebook's metadata", json.dumps(notebook.metadata)
    for cell in notebook.cells:
        yield f"the metadata of cell {cell.id}", json.dumps([cell.metadata, cell.get("attachments", {})])


def _outputs(notebook: Any, own: bool | None) -> Iterator[tuple[str, str]]:
    """Yield the outputs of exercises and checks alone (own), of all other cells, or of all (None)."""
    for cell in notebook.cells:
        mine = cell.id.startswith(("exercise-", "check-"))
        for output in cell.get("outputs", []) if own is None or own == mine else []:
            data = {key: value for key, value in output.get("data", {}).items() if not key.startswith("image/")}
            texts = [output.get("text", ""), *output.get("traceback", [])]
            texts += [value if isinstance(value, str) else json.dumps(value) for value in data.values()]
            yield f"an output of cell {cell.id}", "\n".join(texts)


def _files_of_checks(source: LabSource) -> list[Path]:
    """Return the instructor's own files of exercises that students need, which must hold no hidden one."""
    calls = [call for cell in source.cells if cell.kind == "check" for call in check_calls(cell.text)[0]]
    public, hidden = ({call.id for call in calls if call.hidden == side} for side in (False, True))
    found = []
    for path in filter(None, os.environ.get("LABKIT_CHECKS", "").split(os.pathsep)):
        ids = {exercise.id for exercise in checks.load_file(path).EXERCISES}
        if ids & public and ids & hidden:
            raise LabkitError(
                f"{path} holds public and hidden exercises of {source.name}: put the hidden into another file"
            )
        if ids & public:
            found.append(Path(path))
    return found
