"""Find the labs, and read what one declares.

They are looked for in ./notebooks, else in the checkout that labkit is imported from, else in the package.
"""

import difflib
import importlib.metadata
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import labkit
from labkit.errors import LabkitError
from labkit.notebook.files import notebook_json
from labkit.notebook.parameters import Parameter, parse_parameters

NAME = re.compile(r"(?P<number>\d\d)_\w+")  # of a lab: 01_averaging_problem
_PACKAGE = Path(labkit.__file__).parent


@dataclass(frozen=True)
class LabInfo:
    """Describe one lab: ``name`` (01_averaging_problem), ``number`` (01), ``title``, ``path`` of the built notebook."""

    name: str
    number: str
    title: str
    path: Path

    @property
    def solution(self) -> Path:
        """Return where the built notebook with solutions is."""
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
    """Return the lab called ``01``, ``1``, ``01_averaging_problem`` or by the path of a copy of it.

    Raises:
        LabkitError: if there is no such lab; it says which there are.
    """
    labs = list_labs(root)
    name = find_name(lab, [info.name for info in labs])
    return next(info for info in labs if info.name == name)


def find_labs(labs: Sequence[str] = ()) -> dict[str, Path]:
    """Return lab name -> notebook for ``labs`` (numbers, names or notebook files, which may be anywhere); none: all.

    Raises:
        LabkitError: if there is no such lab or file, or two notebooks have one name.
    """
    if not labs:
        return {info.name: info.path for info in list_labs()}
    found: dict[str, Path] = {}
    for lab in labs:
        path = Path(lab) if lab.endswith(".ipynb") else find_lab(lab).path
        if not path.is_file():
            raise LabkitError(f"there is no notebook {path}")
        if found.setdefault(path.stem, path) != path:
            raise LabkitError(f"two notebooks are named {path.stem}: {found[path.stem]} and {path}")
    return found


def find_name(lab: str, names: list[str]) -> str:
    """Return the one of ``names`` that ``lab`` (a number, a name or a path) means.

    Raises:
        LabkitError: if there is none.
    """
    wanted = Path(lab).stem
    number = f"{int(wanted):02d}_" if re.fullmatch("[0-9]{1,2}", wanted) else None  # isdigit would take other digits
    for name in names:
        if wanted == name or (number and name.startswith(number)):
            return name
    close = difflib.get_close_matches(wanted, names, n=1, cutoff=0.5)
    meant = f"; did you mean {close[0]}?" if close else ""
    raise LabkitError(f"there is no lab {lab!r}{meant} (there are {', '.join(names) or 'none'})")


def _title(path: Path) -> str:
    """Return the title in a notebook's metadata, else the one in its name: one damaged notebook hides no other lab."""
    try:
        notebook = json.loads(path.read_text(encoding="utf-8"))
        title = notebook["metadata"]["labkit"]["title"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        title = None
    return str(title or path.stem[3:].replace("_", " "))


def read_notebook(path: Path, largest: int | None = None) -> Any:
    """Return the notebook in a file, brought to the present format; ``largest`` limits its bytes.

    Raises:
        LabkitError: naming a file that is absent, too large, damaged or no notebook.
    """
    import nbformat

    try:
        size = path.stat().st_size
        if not path.is_file():  # a folder, or a device that never ends
            raise LabkitError(f"{path} is no file: give the notebook itself")
        if largest is not None and size > largest:
            raise LabkitError(f"{path} is larger than {largest // 10**6} MB: clear its outputs and save it")
        data = path.read_bytes()
    except FileNotFoundError:
        raise LabkitError(f"{path}: there is no such file") from None
    except OSError as error:
        raise LabkitError(f"{path} is not a readable notebook ({type(error).__name__})") from None
    raw = notebook_json(data, str(path))
    try:
        notebook = nbformat.reads(json.dumps(raw), as_version=4)
        for cell in notebook.cells:
            _complete(cell)
    except Exception as error:  # nbformat has a class of its own for each kind of damage
        raise LabkitError(f"{path} is a damaged notebook ({type(error).__name__})") from None
    return notebook


def _complete(cell: Any) -> None:
    """Add what a cell may lack; nbformat only logs what is wrong with a notebook.

    Raises:
        ValueError: for a cell that is none.
    """
    outputs = cell.setdefault("outputs", []) if cell.cell_type == "code" else []
    if cell.cell_type == "code":
        cell.setdefault("execution_count", None)
    texts = [cell.cell_type, cell.source, *(output.output_type for output in outputs)]
    parts = [cell.setdefault("metadata", {}), *(output.get("data", {}) for output in outputs)]
    if not all(isinstance(text, str) for text in texts) or not all(isinstance(part, dict) for part in parts):
        raise ValueError("no cell")


def lab_parameters(path: Path) -> list[Parameter]:
    """Return the parameters that a notebook declares; none if it has no cell tagged "parameters".

    Raises:
        LabkitError: if the notebook or that cell cannot be read.
    """
    for cell in read_notebook(path).cells:
        if cell.cell_type == "code" and "parameters" in cell.metadata.get("tags", []):
            try:
                return parse_parameters(cell.source)
            except LabkitError as error:
                raise LabkitError(f"{path}: {error}") from None
    return []


def repository(root: Path | None = None) -> str:
    """Return the repository's address: from the pyproject.toml of ``root`` (the checkout), else as installed.

    Raises:
        LabkitError: if [project.urls] has no Repository.
    """
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    path = (root or _PACKAGE.parent) / "pyproject.toml"
    if path.is_file():
        project = tomllib.loads(path.read_text(encoding="utf-8")).get("project", {})
        if address := project.get("urls", {}).get("Repository"):
            return str(address)
    for line in importlib.metadata.metadata("labkit").get_all("Project-URL") or []:
        label, _, address = line.partition(", ")
        if label == "Repository":
            return str(address)
    raise LabkitError(f"{path}: no Repository in [project.urls]")
