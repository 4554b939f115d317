"""Read and write the numbers that `labkit reproduce` measured: what "measured" means in labs and results.

One CSV file a recipe and profile, in data/measured of a checkout or the packaged copy of an installed wheel; one row a
recipe, system, metric and seed. `labkit reproduce --out DIR` writes such files into DIR/measured; they become part of
the course by copying them to data/measured.
"""

from __future__ import annotations

import csv
import io
import math
import re
import statistics
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from labkit.artifacts import course_data, write_text
from labkit.errors import LabkitError
from labkit.experiments.schema import LEAK_IMAGES, LEAKS


@dataclass(frozen=True)
class Row:
    """Hold one measured number, with all that is needed to measure it again; fields are the columns of the files."""

    recipe: str
    system: str
    metric: str
    profile: str
    seed: int
    value: float
    gray: float  # the same metric of the gray baseline, on the same images
    oracle: float | None  # and of the quantizer's nearest bins; None where there are no bins
    parameters: int
    seconds: float  # of training
    device: str
    threads: int
    torch: str
    labkit: str
    date: str  # UTC
    data: str  # which images, and how many
    command: str
    settings: str = ""  # digits that tell the settings from others, see `comparability.settings_digits`

    @property
    def key(self) -> tuple[str, str, str, str, int]:
        """Return what a file holds only once."""
        return self.recipe, self.system, self.metric, self.profile, self.seed


COLUMNS = tuple(field.name for field in fields(Row))
_WHOLE, _REAL = ("seed", "parameters", "threads"), ("value", "gray", "seconds")


@dataclass(frozen=True)
class Measured:
    """Hold one metric of one system over seeds. `gray`, `oracle` and `seconds` are means over the seeds."""

    recipe: str
    system: str
    metric: str
    profile: str
    seeds: tuple[int, ...]
    values: tuple[float, ...]
    gray: float
    oracle: float | None
    parameters: int
    seconds: float
    device: str
    versions: str  # of torch and labkit
    date: str
    data: str
    command: str

    @property
    def images(self) -> int:
        """Return on how many images the metric was measured: the test images, or those held out of training."""
        if self.metric in LEAKS:
            return LEAK_IMAGES
        split = "validation" if self.metric.startswith("validation ") else "test"
        count = re.search(rf"(\d+) {split}", self.data)
        return int(count[1]) if count else 0

    @property
    def mean(self) -> float:
        """Return the mean over seeds."""
        return statistics.fmean(self.values)

    @property
    def sd(self) -> float:
        """Return the standard deviation over seeds (n - 1 in the denominator); NaN for a single seed."""
        return statistics.stdev(self.values) if len(self.values) > 1 else math.nan


def measured(
    recipe: str | None = None, system: str | None = None, metric: str | None = None, profile: str | None = None
) -> list[Measured]:
    """Return what was measured, in the files' order; empty where nothing fits (yet).

    A file is named after its recipe and profile, as in ``qureshi.quick.csv``: no other is read.

    Args:
        recipe: only of this one, and so on; None: all.
        system: the name of a decoding.
        metric: its name.
        profile: its name.

    Raises:
        LabkitError: for a faulty file, naming file and line.
    """
    place = folder()
    files = sorted(place.glob(f"{recipe or '*'}.{profile or '*'}.csv")) if place else []
    wanted = {"recipe": recipe, "system": system, "metric": metric, "profile": profile}
    rows = [row for file in files for row in read(file)]
    return summarize(r for r in rows if all(value in (None, getattr(r, name)) for name, value in wanted.items()))


def summarize(rows: Iterable[Row]) -> list[Measured]:
    """Put together rows that differ in their seed only."""
    groups: dict[tuple[str, str, str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault(row.key[:4], []).append(row)
    found = []
    for key, group in groups.items():
        group = sorted(group, key=lambda row: row.seed)
        oracles = [row.oracle for row in group if row.oracle is not None]
        last = max(group, key=lambda row: row.date)
        found.append(
            Measured(
                *key,
                seeds=tuple(row.seed for row in group),
                values=tuple(row.value for row in group),
                gray=statistics.fmean(row.gray for row in group),
                oracle=statistics.fmean(oracles) if oracles else None,
                parameters=last.parameters,
                seconds=statistics.fmean(row.seconds for row in group),
                device=", ".join(dict.fromkeys(row.device for row in group)),
                versions=", ".join(dict.fromkeys(f"torch {row.torch}, labkit {row.labkit}" for row in group)),
                date=last.date,
                data=last.data,
                command=last.command,
            )
        )
    return found


def number_of_seeds(rows: Iterable[Measured]) -> str:
    """Return how many seeds the systems of a recipe have, in words: "3 seeds", "1 to 3 seeds".

    Rows of single epochs do not count: of a training that stops early the last epochs have fewer.
    """
    counts = {len(row.seeds) for row in rows if not re.search(r", epoch \d+$", row.metric)}
    most = max(counts)
    return f"{most} seed{'s' * (most > 1)}" if len(counts) == 1 else f"{min(counts)} to {most} seeds"


def folder() -> Path | None:
    """Return the folder of the CSV files: data/measured, else the packaged copy; None: nothing measured yet."""
    return course_data("measured")


def read(path: Path) -> list[Row]:
    """Return the rows of one file.

    Raises:
        LabkitError: for a faulty file, naming file and line.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            lines = csv.reader(file, strict=True)
            if tuple(next(lines, ())) != COLUMNS:
                raise LabkitError(f"{path}, line 1: the header must be {','.join(COLUMNS)}")
            rows = [_row(cells, path, lines.line_num) for cells in lines]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise LabkitError(f"{path}: cannot be read as a CSV file ({error})") from error
    if len({row.key for row in rows}) < len(rows):
        raise LabkitError(f"{path}: a recipe, system, metric, profile and seed stand there twice; keep one of the rows")
    return rows


def merge(path: Path, rows: Iterable[Row]) -> None:
    """Put rows into a file, each in the place of an older one with the same key, or at the end; atomically.

    Older rows of the same system that were measured on other images are dropped: means over both would mean nothing.
    """
    rows = list(rows)
    images = {row.key[:2] + row.key[3:4]: row.data for row in rows}  # of a recipe, system and profile
    old = read(path) if path.exists() else []
    there = {row.key: row for row in old if images.get(row.key[:2] + row.key[3:4], row.data) == row.data}
    there |= {row.key: row for row in rows}
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in there.values():
        writer.writerow(f"{cell:.7g}" if isinstance(cell, float) else cell for cell in astuple(row))
    write_text(path, buffer.getvalue())


def _row(cells: list[str], path: Path, line: int) -> Row:
    if len(cells) != len(COLUMNS):
        raise LabkitError(f"{path}, line {line}: {len(COLUMNS)} fields expected, got {len(cells)}")
    values: dict[str, object] = dict(zip(COLUMNS, cells, strict=True))
    try:
        values |= {name: int(str(values[name])) for name in _WHOLE}
        values |= {name: float(str(values[name])) for name in _REAL}
        values["oracle"] = float(str(values["oracle"])) if values["oracle"] else None
    except ValueError as error:
        raise LabkitError(f"{path}, line {line}: {error}") from None
    if not math.isfinite(values["value"]):  # type: ignore[arg-type]
        raise LabkitError(f"{path}, line {line}: value must be finite. Got {values['value']}")
    return Row(**values)  # type: ignore[arg-type]
