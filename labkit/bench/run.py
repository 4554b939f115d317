"""The bench: goes through its parts and makes the report."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch

from labkit.bench.commands import course, grading, start_up
from labkit.bench.cost import cost
from labkit.bench.measure import Settings, matmul_peak
from labkit.bench.operations import color, quantizer, ssim
from labkit.bench.report import Machine, Point, Report, Row, load_average, processor
from labkit.bench.training import memory, quality, training
from labkit.device import pick_precision
from labkit.errors import LabkitError, check_integer, in_words
from labkit.ledger import environment, now
from labkit.machine import cores

PARTS: dict[str, Callable[[Settings], Iterator[Row | Point]]] = {
    "training": training,
    "quality": quality,
    "memory": memory,
    "color": color,
    "quantizer": quantizer,
    "ssim": ssim,
    "start-up": start_up,
    "grading": grading,
    "course": course,
    "cost": cost,
}


def bench(
    parts: Sequence[str] = (),
    *,
    repeats: int | None = None,
    quick: bool = False,
    data_root: Path | None = None,
    save: Callable[[Report], None] = lambda report: None,
) -> Report:
    """Measure parts, each row with a progress bar on standard error.

    Args:
        parts: keys of `PARTS`; none means all.
        repeats: rounds of each comparison; 5 if None, with ``quick`` 3.
        quick: take fewer and smaller images.
        data_root: where data sets are.
        save: is called with the report so far, after each row.

    Returns: the report.

    Raises:
        LabkitError: unknown part.
    """
    if unknown := [part for part in parts if part not in PARTS]:
        raise LabkitError(f"unknown part of the bench: got {unknown[0]!r}, expected {', '.join(PARTS)}")
    repeats = check_integer("repeats", repeats or (3 if quick else 5), low=1)
    report = Report(date=now(), quick=quick, repeats=repeats, machine=this_machine())
    for part in parts or PARTS:
        for row in _rows(part, Settings(repeats, quick, data_root)):
            if isinstance(row, Point):
                report.points.append(row)
            else:
                report.rows.append(row)
            report.machine.load[1:] = load_average()
            save(report)
    return report


def _rows(part: str, settings: Settings) -> Iterator[Row | Point]:
    """Yield the rows of a part; where it cannot go on, a row that says why."""
    try:
        yield from PARTS[part](settings)
    except Exception as error:
        reason = in_words(error)
        if reason is None:
            raise
        yield Row(part=part, task="all", missing=reason)


def this_machine() -> Machine:
    """Describe the machine; its peak is measured now."""
    load = load_average()
    return Machine(
        processor=processor(),
        cores=cores(),
        threads=torch.get_num_threads(),
        precision=pick_precision("auto", torch.device("cpu")),
        peak=matmul_peak(),
        versions=environment(),
        load=load,
    )
