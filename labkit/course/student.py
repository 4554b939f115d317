"""What a student does at a terminal: get a working copy of a lab, and see what is done, right and wrong."""

import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labkit import artifacts
from labkit.checks import CHECK_MIME, NOT_ATTEMPTED, RIGHT, WRONG, find_exercise
from labkit.course.execute import execute
from labkit.course.labs import NAME, LabInfo, find_lab, read_notebook
from labkit.errors import LabkitError
from labkit.grading.submission import Answer, match, parse, template_of_notebook

TIMEOUT = 60  # seconds an exercise may take
LARGEST = 50_000_000  # bytes of a notebook that is read
MISSING = "missing"


@dataclass(frozen=True)
class ExerciseResult:
    """One exercise of a student's notebook; ``status`` is right, wrong, not attempted or missing (no such cell)."""

    id: str
    title: str
    status: str
    message: str
    points: int
    max_points: int


def start(lab: str, out: str | Path = "work", fresh: bool = False, root: Path | None = None) -> Path:
    """Copy a lab to ``out``/NN_title.ipynb, where an update of the course never touches it; return that path.

    Args:
        lab: number or name.
        out: the folder; "work" is ignored by git.
        fresh: start again: the copy that is there is kept as NN_title.1.ipynb, .2.ipynb and so on.
        root: the course's folder.

    Raises:
        LabkitError: if there is no such lab, or a copy is there and not ``fresh``.
    """
    info = find_lab(lab, root)
    target = Path(out) / info.path.name
    if target.exists():
        if not fresh:
            raise LabkitError(
                f"{target} is there already; open it, or start again with --fresh (which keeps the old one)"
            )
        numbers = (target.with_name(f"{info.name}.{number}.ipynb") for number in range(1, 10_000))
        target.rename(next(path for path in numbers if not path.exists()))
    artifacts.make_folder(target.parent)
    artifacts.write_bytes(target, info.path.read_bytes())
    return target


def check_notebook(path: str | Path, root: Path | None = None) -> list[ExerciseResult]:
    """Run the checks of a student's notebook, and nothing else of it; return a result for each exercise of the lab.

    It is what grading does, with the public checks and without a sandbox: the set-up cell and the checks are the lab's
    own, and of the notebook only the exercises' cells are run, found as `labkit.grading.submission` finds them.

    Raises:
        LabkitError: if the file is no notebook, or no lab of this course.
    """
    path = Path(path)
    student = read_notebook(path, LARGEST)
    info = _lab_of(path, student, root)
    answers = match(parse(path.name, path.read_bytes()), template_of_notebook(info.path))
    skeleton = _skeleton(read_notebook(info.path), answers)
    with tempfile.TemporaryDirectory(prefix="labkit-check-") as folder:
        ended: dict[str, str] = {}
        while failed := execute(skeleton, Path(folder), timeout=TIMEOUT, go_on=True):
            cell_id, reason = failed
            if cell_id in ended or _key(cell_id) is None:
                raise LabkitError(f"the set-up cell of {info.name} fails: {reason}")
            ended[cell_id] = reason
            for cell in skeleton.cells:  # again, without the exercise that ended it
                if _key(cell.id) == _key(cell_id):
                    cell.source = "pass"
    broken = next((o for cell in skeleton.cells if cell.id == "setup" for o in cell.outputs if "ename" in o), None)
    if broken is not None:
        raise LabkitError(f"the set-up cell of {info.name} fails: {broken.ename}: {broken.evalue}")
    reasons = {_key(cell_id): reason for cell_id, reason in ended.items()}
    results = []
    for key, answer in answers.items():
        exercise = find_exercise(key)
        status, message, points = _outcome(key, skeleton, answer, reasons)
        message = "; ".join(filter(None, [message, answer.note if answer.source is not None else ""]))
        results.append(ExerciseResult(key, exercise.title, status, message, points, exercise.points))
    return results


def _lab_of(path: Path, notebook: Any, root: Path | None) -> LabInfo:
    """The lab that a notebook is a copy of: as its metadata, its file name or its checks say."""
    own = notebook.metadata.get("labkit")
    stated = own.get("lab") if isinstance(own, dict) else None
    named = NAME.match(path.stem)
    text = "\n".join(_text(cell) for cell in notebook.cells)
    begun = re.search(r"""\bbegin\(\s*["'](\d\d_\w+)["']""", text)
    for name in (stated, begun and begun[1], named and named[0]):
        if name:
            return find_lab(str(name), root)
    raise LabkitError(f"{path} is not a lab of this course: no metadata, cell or file name says which")


def _skeleton(template: Any, answers: Mapping[str, Answer]) -> Any:
    """The lab's set-up, exercises and checks with the student's answers."""
    import nbformat

    cells = []
    for cell in template.cells:
        if cell.id == "setup" or _key(cell.id):
            source = answers[str(_key(cell.id))].source or "pass" if cell.id.startswith("exercise-") else _text(cell)
            cells.append(nbformat.v4.new_code_cell(source, id=cell.id))
    return nbformat.v4.new_notebook(cells=cells)


def _key(cell_id: str) -> str | None:
    """The exercise that a cell of a built notebook belongs to."""
    found = re.match(r"(exercise|check)-(.+)", cell_id)
    return found[2] if found else None


def _text(cell: Any) -> str:
    source = cell.get("source", "")
    return "".join(source) if isinstance(source, list) else str(source)


def _outcome(key: str, skeleton: Any, answer: Answer, reasons: Mapping[str | None, str]) -> tuple[str, str, int]:
    """Status, message and points of one exercise in an executed skeleton."""
    if answer.source is None:
        return MISSING, answer.note, 0
    if key in reasons:
        return WRONG, f"the answer could not be run: {reasons[key]}", 0
    cells = {cell.id: cell for cell in skeleton.cells}
    said = [o.data[CHECK_MIME] for o in cells[f"check-{key}"].outputs if CHECK_MIME in o.get("data", {})]
    points = int(said[-1].get("points", 0)) if said else 0
    for cell in (cells[f"exercise-{key}"], cells[f"check-{key}"]):
        for output in cell.outputs:
            if output.output_type == "error":
                name = "" if output.ename == "CheckFailed" else f"{output.ename}: "
                return WRONG, f"{name}{output.evalue}", points
    status = str(said[-1].get("status", "")) if said else ""
    if status in (RIGHT, NOT_ATTEMPTED):
        return status, "", points
    return WRONG, "the check did not say anything", 0
