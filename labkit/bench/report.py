"""The rows of a bench: stored as JSON, shown as a table."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError, computed_field

from labkit.errors import LabkitError

SCHEMA: Final = 1  # raised when an older labkit could no longer read what a newer one writes
COLUMNS = ("part", "task", "against", "ratio", "limited by")


class Limits(BaseModel):
    """Hold where the time of labkit's contestant goes: fractions, and what it reaches of the machine's peak.

    `peak` counts convolutions and matrix products only; None where there are none.
    """

    arithmetic: float
    memory: float
    Python: float
    peak: float | None = None

    def __str__(self) -> str:
        """Return the largest fraction in words; where that is arithmetic, what is reached of the peak, too."""
        name, most = max((item for item in self if item[0] != "peak"), key=lambda item: item[1])
        peak = f", {self.peak:.0%} of peak" if name == "arithmetic" and self.peak is not None else ""
        return f"{name} {most:.0%}{peak}"


class Row(BaseModel):
    """Hold one comparison: the first contestant, which is labkit's, with another one, round by round.

    `missing` says why a comparison was not made, and what to do about it.
    """

    model_config = ConfigDict(extra="ignore")

    part: str
    task: str
    names: tuple[str, str] = ("labkit", "")
    unit: str = "s"
    amounts: tuple[list[float], list[float]] = ([], [])
    limits: Limits | None = None
    missing: str = ""

    @property
    def ratios(self) -> list[float]:
        """Return what the other took, divided by what labkit took, for each pair of rounds."""
        return [other / ours for ours, other in zip(*self.amounts, strict=True)]

    @computed_field  # type: ignore[prop-decorator]
    @property
    def ratio(self) -> float | None:
        """Return the median of the ratios; above 1, labkit is the better one."""
        return statistics.median(self.ratios) if self.ratios else None

    @computed_field  # type: ignore[prop-decorator]
    @property
    def spread(self) -> tuple[float, float] | None:
        """Return the lowest and the highest ratio."""
        return (min(self.ratios), max(self.ratios)) if self.ratios else None

    def cells(self) -> list[str]:
        """Return the row of a table, see `COLUMNS`."""
        spread = " ({:.2f} to {:.2f})".format(*self.spread) if self.spread else ""
        ratio = "not measured" if self.ratio is None else f"{self.ratio:.2f}{spread}"
        return [self.part, self.task, self.names[1], ratio, str(self.limits or "")]


class Point(BaseModel):
    """Hold what a training costs where one factor (images, pixels, width, classes) has this value."""

    factor: str
    value: int
    seconds: float
    bytes: float


class Machine(BaseModel):
    """Say where and under what load a bench was run. `peak` is in floating-point operations a second."""

    processor: str
    cores: int
    threads: int
    precision: str
    peak: float
    versions: dict[str, str]
    load: list[float]  # average over the last minute, when the bench began and when it ended


class Report(BaseModel):
    """Hold the rows of a bench with what is needed to judge them."""

    schema_version: Literal[1] = SCHEMA
    date: str
    quick: bool
    repeats: int
    machine: Machine
    rows: list[Row] = []
    points: list[Point] = []

    def heading(self) -> str:
        """Return one line on where and how it was measured."""
        m = self.machine
        load = " to ".join(f"{value:.1f}" for value in m.load)
        busy = f"load average {load}" if m.load else "load average unknown"
        quick = ", quick" if self.quick else ""
        return (
            f"{m.processor}, {m.cores} cores, {m.threads} threads, torch {m.versions['torch']}, {m.precision} peak "
            f"{m.peak / 1e9:.0f} GFLOPS, {busy}, {self.date[:10]}, median of {self.repeats}{quick}"
        )

    def notes(self) -> list[str]:
        """Return a line for each comparison that was not made."""
        return [f"{row.part}, {row.task}: {row.missing}" for row in self.rows if row.missing]


def read_report(path: str | Path) -> Report:
    """Read a bench's JSON file.

    Raises:
        LabkitError: it holds no bench that this labkit can read.
    """
    try:
        return Report.model_validate_json(Path(path).read_bytes())
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"])) or "the file"
        raise LabkitError(
            f"{path} is no bench of schema {SCHEMA} ({where}): make one with labkit bench --json"
        ) from None


def markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table as Markdown."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (columns, ["---"] * len(columns), *rows))


def processor() -> str:
    """Return the processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):  # not Linux, or not x86
        return platform.processor() or platform.machine()


def load_average() -> list[float]:
    """Return the load average of the last minute; nothing on Windows."""
    return [round(os.getloadavg()[0], 2)] if hasattr(os, "getloadavg") else []
