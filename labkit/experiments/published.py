"""Read the numbers and claims that the five papers print: what "published" means in every results table.

One CSV file a paper, in data/published of a checkout or labkit/_published of an installed wheel. Columns: paper, table,
system, metric, value (empty where the paper gives no number), claim (in our words), place (where in the paper).
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from labkit.artifacts import course_data
from labkit.errors import LabkitError

PAPERS = {
    "qureshi": "A. Qureshi, regression and classification on CIFAR-10 horses (2025)",
    "dalban": "A. Dalban and W. Lakbir, RGB, LAB and 676 bins on photographs",
    "ecs171": "ECS 171 Group 3, a CNN with fixed kernels (the hybrid, structural linear regression) and one without",
    "gan": "a summary of a comparison of classification over 313 bins with a conditional DCGAN",
    "zhuang": "A. Zhuang, A. Zhou and Y. Chen, U-Nets for RGB and YUV",
}
COLUMNS = ("paper", "table", "system", "metric", "value", "claim", "place")


@dataclass(frozen=True)
class Row:
    """Hold one published number or claim; `value` is as printed (percent, dB), None where none is given."""

    paper: str
    table: str
    system: str
    metric: str
    value: float | None
    claim: str
    place: str


def published(
    paper: str | None = None,
    table: str | None = None,
    system: str | None = None,
    metric: str | None = None,
) -> list[Row]:
    """Return the rows that have the given values, in the papers' order; without arguments all of them.

    Raises:
        LabkitError: for a value that no row has (of that paper, when one is given), naming those there are; for a
            missing or faulty file, naming file and line.
    """
    rows = list(_all_rows())
    for column, wanted in (("paper", paper), ("table", table), ("system", system), ("metric", metric)):
        if wanted is None:
            continue
        known = list(dict.fromkeys(getattr(row, column) for row in rows))
        # The paper narrows what the others may be; table, system and metric are each looked up in the whole paper.
        if column == "paper" and wanted in known:
            rows = [row for row in rows if row.paper == wanted]
        elif wanted not in known:
            raise LabkitError(f"no published row has {column} {wanted!r}: choose from {', '.join(known)}")
    return [
        row
        for row in rows
        if table in (None, row.table) and system in (None, row.system) and metric in (None, row.metric)
    ]


def folder() -> Path:
    """Return the folder of the CSV files: data/published, else the packaged copy."""
    if place := course_data("published"):
        return place
    raise LabkitError("no published tables beside labkit: install labkit again, or work in a full checkout")


def read(path: Path) -> list[Row]:
    """Return the rows of one file.

    Raises:
        LabkitError: for a faulty header or field, a paper other than the file name, a row without value and claim.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            lines = csv.reader(file, strict=True)
            if tuple(next(lines, ())) != COLUMNS:
                raise LabkitError(f"{path}, line 1: the header must be {','.join(COLUMNS)}")
            return [_row(fields, path, lines.line_num) for fields in lines]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise LabkitError(f"{path}: cannot be read as a CSV file ({error})") from error


def _row(fields: list[str], path: Path, line: int) -> Row:
    def wrong(what: str) -> LabkitError:
        return LabkitError(f"{path}, line {line}: {what}")

    if len(fields) != len(COLUMNS):
        raise wrong(f"{len(COLUMNS)} fields expected, got {len(fields)} (put a text with commas in quotes)")
    paper, table, system, metric, text, claim, place = (field.strip() for field in fields)
    if paper != path.stem:
        raise wrong(f"paper must be {path.stem!r} as the file is called, got {paper!r}")
    for name, field in (("table", table), ("system", system), ("metric", metric), ("place", place)):
        if not field:
            raise wrong(f"{name} is empty")
    if not text and not claim:
        raise wrong("value or claim must be given, both are empty")
    try:
        value = float(text) if text else None
    except ValueError:
        raise wrong(f"value must be a number or empty, got {text!r}") from None
    if value is not None and not math.isfinite(value):
        raise wrong(f"value must be finite, got {text!r}")
    return Row(paper, table, system, metric, value, claim, place)


@cache
def _all_rows() -> tuple[Row, ...]:
    place = folder()
    if missing := [paper for paper in PAPERS if not (place / f"{paper}.csv").is_file()]:
        raise LabkitError(f"{place / missing[0]}.csv is missing: install labkit again, or work in a full checkout")
    return tuple(row for paper in PAPERS for row in read(place / f"{paper}.csv"))
