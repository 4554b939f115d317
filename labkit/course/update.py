"""Bring a student's copy of a lab up to a newer release: her answers and her own cells stay.

A copy that `labkit start` made says in its metadata which cells the release had, as id -> digest of the text. Older
copies do not; there a cell whose id is the digest of its own text is an untouched cell of the course.
"""

from __future__ import annotations

import copy
import hashlib
import re
from collections.abc import Mapping
from typing import Any

from labkit.checks import STUB
from labkit.course.mine import key_of
from labkit.course.source import MARK

RECORD = "cells"  # in the notebook's metadata, under "labkit"
_FOLDED = re.compile(r"<details><summary>[^\n]*</summary>\n\n(.*)\n\n</details>", re.DOTALL)
_BADGE = re.compile(r"(# [^\n]*)\n\n\[!\[Open in Colab\][^\n]*")
_FIXED = ("setup", "parameters")  # ids that are names, as exercises and checks have


def recorded(release: Any) -> Any:
    """Return a copy of a release that says which cells it has."""
    made = copy.deepcopy(release)
    made.metadata.setdefault("labkit", {})[RECORD] = {cell.id: digest(cell.source) for cell in release.cells}
    return made


def digest(text: str) -> str:
    """Return twelve hexadecimal digits that tell one text from another."""
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:12]


def record_of(notebook: Any) -> dict[str, str]:
    """Return the cells that the release of a copy had; {} if it does not say."""
    own = notebook.metadata.get("labkit")
    found = own.get(RECORD) if isinstance(own, Mapping) else None
    return {str(id): str(text) for id, text in found.items()} if isinstance(found, Mapping) else {}


def is_up_to_date(notebook: Any, release: Any) -> bool:
    """Return whether a copy was made from exactly this release."""
    return record_of(notebook) == record_of(recorded(release))


def updated(notebook: Any, release: Any) -> Any:
    """Return the release with a student's answers and own cells in it.

    - An exercise that she has begun keeps her cells; one that is no longer in the lab keeps them as cells of her own.
    - A cell of the course that she has edited stays hers where the release has not changed it; else it stands as a cell
      of her own beside the new one.
    - Set-up, parameters and checks are the release's.
    """
    result = recorded(release)
    base = record_of(notebook)
    cells = list(result.cells)
    place = {cell.id: number for number, cell in enumerate(cells)}  # in the release
    answers: dict[str, list[Any]] = {}
    own: dict[int, list[Any]] = {}  # after which cell of the release
    anchor = 0
    for cell in notebook.cells:
        key, id = key_of(cell), str(cell.get("id", ""))
        at = place.get(f"exercise-{key}" if key and not key.startswith("check-") else id)
        anchor = anchor if at is None else at
        if id in _FIXED or key.startswith("check-"):
            continue
        if key and at is not None:
            if _begun(cell, base, cells[at]):
                answers.setdefault(key, []).append(cell)
        elif key:
            if _begun(cell, base, None):
                own.setdefault(anchor, []).append(_as_own(cell))
        elif not _untouched(cell, base):
            if at is not None and base.get(id) == digest(cells[at].source):
                cells[at] = _kept(cells[at], cell)
            else:
                own.setdefault(anchor, []).append(_as_own(cell))
    made: list[Any] = []
    for number, cell in enumerate(cells):
        made += _answered(cell, answers.get(key_of(cell), []))
        made += own.get(number, [])
    result.cells = made
    result.metadata = {**notebook.metadata, **result.metadata}
    return result


def _begun(cell: Any, base: Mapping[str, str], new: Any) -> bool:
    """Return whether an exercise's cell is more than the stub that the student got."""
    if not cell.source.strip() or (new is not None and cell.source.split() == new.source.split()):
        return False
    before = base.get(str(cell.get("id", "")))
    return digest(cell.source) != before if before else STUB not in cell.source


def _untouched(cell: Any, base: Mapping[str, str]) -> bool:
    """Return whether a cell of no exercise is the course's, as it was."""
    id = str(cell.get("id", ""))
    if base:
        return digest(cell.source) in base.values()  # not by id: some editors write new ones
    text = cell.source
    if folded := _FOLDED.fullmatch(text):
        text = folded[1]
    texts = (text, f"{MARK}\n{text}", _BADGE.sub(r"\1", text, count=1))
    return id.partition("-")[0] in map(digest, texts)


def _answered(cell: Any, answers: list[Any]) -> list[Any]:
    """Return an exercise's cell with the student's text in it, and further cells of hers after it."""
    if not answers:
        return [cell]
    first, *rest = (_kept(cell, answer) for answer in answers)
    for number, more in enumerate(rest, 2):
        more.id = f"{cell.id}-{number}"[:64]
    return [first, *rest]


def _kept(cell: Any, hers: Any) -> Any:
    """Return the release's cell with a student's text and what it had put out."""
    made = copy.deepcopy(cell)
    made.source = hers.source
    if made.cell_type == "code" and hers.cell_type == "code":
        made.outputs, made.execution_count = hers.outputs, hers.execution_count
    return made


def _as_own(cell: Any) -> Any:
    """Return a copy of a cell that belongs to no exercise and to no release."""
    made = copy.deepcopy(cell)
    made.metadata.pop("nbgrader", None)
    made.id = f"own-{digest(cell.source + str(cell.get('id', '')))}"
    return made
