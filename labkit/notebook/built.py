"""What the student has built, and the library's piece in its place where there is none.

`labkit.checks.check` remembers here what it said of each function or class, and `labkit start` writes mine.py with the
pieces of earlier labs. A lab asks through `Lab.built` and `Lab.mine`, and so runs from top to bottom either way.
"""

from __future__ import annotations

import importlib.util
import sys
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any
from weakref import WeakKeyDictionary

from labkit.errors import one_line

MINE = "mine.py"  # beside the notebook
YOURS, NOT_BUILT = "yours", "library (yours is not built yet)"


@dataclass(frozen=True)
class Built:
    """A piece that a lab works with.

    Attributes:
        piece: the function or class: the student's, else the library's.
        yours: whether it is the student's.
    """

    piece: Any
    yours: bool

    @property
    def label(self) -> str:
        """Return the same in words, for a table's row: "yours" or "library (yours is not built yet)"."""
        return YOURS if self.yours else NOT_BUILT


# answer -> exercise -> whether the latest check of it said right. A cell that is run again defines a new object, which
# no check has seen.
_checked: WeakKeyDictionary[Any, dict[str, bool]] = WeakKeyDictionary()


def remember(answer: Any, exercise_id: str, right: bool) -> None:
    """Keep what a check said of an answer, for as long as the answer exists."""
    with suppress(TypeError):  # what cannot be referred to weakly, such as Ellipsis, is no piece to build with
        _checked.setdefault(answer, {})[exercise_id] = right


def built(piece: Any, otherwise: Any) -> Built:
    """Return ``piece`` if it was checked and every check said right, else ``otherwise``."""
    try:
        said = _checked.get(piece, {})
    except TypeError:
        said = {}
    yours = bool(said) and all(said.values())
    return Built(piece if yours else otherwise, yours)


def mine(exercise_id: str, name: str, otherwise: Any, folder: Path | None = None) -> Built:
    """Return the piece ``name`` of an earlier lab out of mine.py in ``folder`` (the notebook's), else ``otherwise``.

    Args:
        exercise_id: which exercise made it.
        name: what it is called there.
        otherwise: the library's piece.
        folder: where mine.py is; None: the working directory, where Jupyter runs a notebook.
    """
    path = (folder or Path.cwd()) / MINE
    if not path.is_file():
        return Built(otherwise, False)
    module = _load(path, path.stat().st_mtime_ns)
    held = getattr(module, "EXERCISES", None)
    known = module is not None and hasattr(module, name)
    yours = known and (not isinstance(held, (tuple, list)) or exercise_id in held)
    return Built(getattr(module, name) if yours else otherwise, yours)


@lru_cache(maxsize=1)
def _load(path: Path, changed: int) -> ModuleType | None:
    """Return mine.py as a module; None, and one printed line, if it cannot be imported.

    Args:
        path: the file.
        changed: when; a file that was changed is imported again.
    """
    spec = importlib.util.spec_from_file_location("mine", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["mine"] = module  # where pickle and dataclasses look for the classes in it
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # whatever a student's file may raise
        sys.modules.pop("mine", None)
        print(
            f"{path.name} cannot be imported ({type(error).__name__}: {one_line(error)}): the library's pieces are used"
        )
        return None
    return module
