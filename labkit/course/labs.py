"""Where the labs are: in ./notebooks, else in the checkout that labkit is imported from, else packaged with it."""

import difflib
import json
import re
from dataclasses import dataclass
from pathlib import Path

import labkit
from labkit.errors import LabkitError

NAME = re.compile(r"(?P<number>\d\d)_\w+")  # of a lab: 01_averaging_problem
_PACKAGE = Path(labkit.__file__).parent


@dataclass(frozen=True)
class LabInfo:
    """One lab: ``name`` (01_averaging_problem), ``number`` (01), ``title``, ``path`` of the built notebook."""

    name: str
    number: str
    title: str
    path: Path

    @property
    def solution(self) -> Path:
        """Where the built notebook with solutions is."""
        return self.path.parent / "solutions" / self.path.name


def course_root(root: Path | None = None) -> Path:
    """Return the folder whose ``notebooks/src`` holds the labs' sources: ``root``, else ., else the checkout.

    Raises:
        LabkitError: if there are no sources.
    """
    candidates = [Path(root)] if root is not None else [Path.cwd(), _PACKAGE.parent]
    for candidate in candidates:
        if (candidate / "notebooks" / "src").is_dir():
            return candidate
    places = " or ".join(map(str, candidates))
    raise LabkitError(f"no folder notebooks/src in {places}: run this in a checkout of the course")


def notebooks_folder(root: Path | None = None) -> Path:
    """Return the folder with the built notebooks: of ``root``, else ./notebooks, checkout, package.

    Raises:
        LabkitError: if none of them holds a lab.
    """
    if root is not None:
        candidates = [Path(root) / "notebooks"]
    else:
        candidates = [Path.cwd() / "notebooks", _PACKAGE.parent / "notebooks", _PACKAGE / "_notebooks"]
    for candidate in candidates:
        if any(NAME.fullmatch(path.stem) for path in candidate.glob("*.ipynb")):
            return candidate
    raise LabkitError(f"no labs in {', '.join(map(str, candidates))}: run `labkit build` in a checkout")


def list_labs(root: Path | None = None) -> list[LabInfo]:
    """Return the built labs in order.

    Raises:
        LabkitError: if there are none, or one cannot be read.
    """
    paths = sorted(path for path in notebooks_folder(root).glob("*.ipynb") if NAME.fullmatch(path.stem))
    return [LabInfo(path.stem, path.stem[:2], _title(path), path) for path in paths]


def find_lab(lab: str, root: Path | None = None) -> LabInfo:
    """Return the lab called ``01``, ``1``, ``01_averaging_problem`` or by the path of its notebook.

    Raises:
        LabkitError: if there is no such lab; it says which there are.
    """
    labs = list_labs(root)
    name = find_name(lab, [info.name for info in labs])
    return next(info for info in labs if info.name == name)


def find_name(lab: str, names: list[str]) -> str:
    """Return the one of ``names`` that ``lab`` (a number, a name or a path) means.

    Raises:
        LabkitError: if there is none.
    """
    wanted = Path(lab).stem
    for name in names:
        if wanted == name or (wanted.isdigit() and len(wanted) <= 2 and name.startswith(f"{int(wanted):02d}_")):
            return name
    close = difflib.get_close_matches(wanted, names, n=1, cutoff=0.5)
    meant = f"; did you mean {close[0]}?" if close else ""
    raise LabkitError(f"there is no lab {lab!r}{meant} (there are {', '.join(names) or 'none'})")


def _title(path: Path) -> str:
    try:
        notebook = json.loads(path.read_text(encoding="utf-8"))
        return str(notebook["metadata"].get("labkit", {}).get("title") or path.stem[3:].replace("_", " "))
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        remedy = f"run `labkit build {path.stem[:2]}` again"
        raise LabkitError(f"{path} is not a readable notebook: {remedy}") from None
