"""What a student does first: get a working copy of a lab. `labkit check` is in `labkit.grading.check`."""

from pathlib import Path

from labkit import artifacts
from labkit.course.labs import find_lab
from labkit.errors import LabkitError


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
