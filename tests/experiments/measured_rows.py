"""Rows as `labkit reproduce` writes them, for tests."""

import dataclasses
from typing import Any

from labkit.experiments.measured import Measured, Row, summarize

ROW = Row(
    recipe="skips",
    system="rgb, skips",
    metric="mse",
    profile="quick",
    seed=0,
    value=0.004,
    gray=0.006,
    oracle=None,
    parameters=1000,
    seconds=12.5,
    device="cpu",
    threads=1,
    torch="2.9",
    labkit="0.1",
    date="2026-01-01T00:00:00+00:00",
    data="cifar10 horse, 32 px: 5000 train, 1000 test",
    command="labkit reproduce skips --profile quick --seeds 3",
)


def rows(values: list[float], **changes: Any) -> list[Row]:
    """Return a row for each value, with seeds 0, 1, ..."""
    return [dataclasses.replace(ROW, seed=seed, value=value, **changes) for seed, value in enumerate(values)]


def ours(values: list[float], **changes: Any) -> Measured:
    """Return the same put together over seeds."""
    (one,) = summarize(rows(values, **changes))
    return one
