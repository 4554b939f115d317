"""What a student does first: get a working copy of a lab. `labkit check` is in `labkit.grading.check`."""

from collections.abc import Callable
from pathlib import Path

from labkit import artifacts
from labkit.course.labs import LabInfo, find_lab, list_labs, read_notebook
from labkit.course.mine import write_mine
from labkit.course.update import is_up_to_date, recorded, updated
from labkit.errors import LabkitError
from labkit.notebook.built import MINE


def start(
    lab: str,
    out: str | Path = "work",
    fresh: bool = False,
    root: Path | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Path:
    """Copy a lab to ``out``/NN_title.ipynb, where an update of the course never touches it; return that path.

    A copy of an older release that is there is brought up to date: answers and own cells stay (`labkit.course.update`),
    and the copy as it was is kept as NN_title.1.ipynb. What was built in the labs of that folder is written to mine.py.

    Args:
        lab: number or name.
        out: the folder; "work" is ignored by git.
        fresh: start again: the copy that is there is kept as NN_title.1.ipynb, .2.ipynb and so on.
        root: the course's folder.
        say: called with a line about each thing that was done besides.

    Raises:
        LabkitError: if there is no such lab, or what is there is no notebook and not ``fresh``.
    """
    info = find_lab(lab, root)
    target = Path(out) / info.path.name
    if target.exists() and not fresh:
        _bring_up_to_date(target, info, say)
    else:
        if target.exists():
            target.rename(_free_name(target))
        artifacts.make_folder(target.parent)
        _write(target, recorded(read_notebook(info.path)))
    pieces = write_mine(target.parent, list_labs(root))
    if pieces:
        say(f"{target.parent / MINE} holds what you built: {', '.join(pieces)}")
    return target


def _bring_up_to_date(target: Path, info: LabInfo, say: Callable[[str], None]) -> None:
    release = read_notebook(info.path)
    try:
        notebook = read_notebook(target)
    except LabkitError:
        raise LabkitError(
            f"{target} is there already and is no notebook; start again with --fresh (which keeps the old one)"
        ) from None
    if is_up_to_date(notebook, release):
        say("it was there already, made from this release: open it, or start again with --fresh")
        return
    kept = _free_name(target)
    made = updated(notebook, release)
    artifacts.write_bytes(kept, target.read_bytes())
    _write(target, made)
    say(f"brought up to this release with your answers and your own cells; as it was: {kept}")


def _write(target: Path, notebook: object) -> None:
    import nbformat

    nbformat.validate(notebook)
    artifacts.write_text(target, nbformat.writes(notebook) + "\n")


def _free_name(target: Path) -> Path:
    numbers = (target.with_name(f"{target.stem}.{number}.ipynb") for number in range(1, 10_000))
    return next(path for path in numbers if not path.exists())
