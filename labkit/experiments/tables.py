"""Make the tables of `labkit reproduce`: means over seeds, and every number beside what the paper prints."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from labkit.experiments.comparability import perfect_score
from labkit.experiments.measured import Measured
from labkit.experiments.printed import NOT_MEASURED, GainComparison, compare_gains, compare_score, printed_value
from labkit.experiments.schema import Recipe, System
from labkit.metrics import skill


def printed_table(
    recipe: Recipe, rows: Sequence[Measured], failures: Mapping[str, str] | None = None
) -> list[dict[str, Any]]:
    """Return every number of a recipe beside what the paper prints.

    Args:
        recipe: whose decodings and metrics are listed; one that was not measured keeps its row.
        rows: what was measured of it, in one profile.
        failures: title of a run -> why it failed.

    Returns:
        A row a decoding and metric, then a row for each gain of one system over another that the paper prints.
    """
    found = {(row.system, row.metric): row for row in rows}
    table: list[dict[str, Any]] = []
    for system in recipe.systems:
        for decoding in system.decodings:
            mse = found.get((decoding.name, "mse"))
            for metric in recipe.metrics:
                printed = printed_value(recipe, decoding.printed, metric)
                ours = found.get((decoding.name, metric))
                row: dict[str, Any] = {"system": decoding.name, "metric": metric, "published": printed}
                if ours is None:
                    row |= {"verdict": _why_missing(system, failures or {})}
                else:
                    why_not = decoding.printed.not_comparable.get(ours.profile, "") if decoding.printed else ""
                    row |= {
                        "ours": ours.mean,
                        "sd": None if math.isnan(ours.sd) else ours.sd,
                        "verdict": None if printed is None else compare_score(ours, printed, why_not),
                        "gray": ours.gray,
                        "oracle": ours.oracle,
                        "skill": skill(mse.mean, mse.gray) if mse else None,
                        "seeds": len(ours.seeds),
                        "images": ours.images,
                        "parameters": ours.parameters,
                        "seconds": round(ours.seconds, 1),
                        "device": ours.device,
                    }
                table.append(row)
    return table + [_gain_row(gain) for gain in compare_gains(recipe, rows)]


def _gain_row(gain: GainComparison) -> dict[str, Any]:
    """Return a printed gain of one system over another, in the columns of the other rows."""
    row: dict[str, Any] = {"system": gain.name, "metric": gain.metric, "published": gain.printed}
    if gain.values:
        row |= {"ours": gain.mean, "sd": gain.sd, "seeds": len(gain.values), "images": gain.images}
        row |= {"gray": gain.gray, "oracle": None}
    return row | {"verdict": gain.verdict}


def _why_missing(system: System, failures: Mapping[str, str]) -> str:
    for title, why in failures.items():
        if f": {system.name}, seed " in title:
            return f"failed: {why}"
    return NOT_MEASURED


def scored_systems(recipe: Recipe, rows: Sequence[Measured]) -> Iterator[tuple[str, dict[str, Measured], bool]]:
    """Yield each measured decoding's name, its rows by metric, and whether a gray row belongs before it.

    Gray comes first, and once more for each set of other images (enlarged, for example).
    """
    found = {(row.system, row.metric): row for row in rows}
    grays: list[float] = []
    for name in (decoding.name for decoding in recipe.decodings if (decoding.name, "mse") in found):
        by_metric = {metric: row for (system, metric), row in found.items() if system == name}
        gray = by_metric["mse"].gray
        other_images = not any(math.isclose(gray, seen, rel_tol=1e-4) for seen in grays)
        grays.append(gray)
        yield name, by_metric, other_images


def means_table(recipe: Recipe, rows: Sequence[Measured]) -> list[dict[str, Any]]:
    """Return the means over seeds for a narrow screen: a row a decoding, a column a metric, gray first.

    "perfect mse" is what a perfect sampler, or a mode that always takes the nearest bin, would score. "relative time"
    is that of training, as a multiple of the first system's.
    """
    table: list[dict[str, Any]] = []
    first: float | None = None
    for name, found, other_images in scored_systems(recipe, rows):
        mse = found["mse"]
        first = first or mse.seconds
        shown = [metric for metric in recipe.metrics if metric in found]
        if other_images:
            floor = {metric: found[metric].gray for metric in shown}
            table.append({"system": f"gray, as for {name}" if table else "gray", "skill": 0.0} | floor)
        row: dict[str, Any] = {"system": name, "skill": round(skill(mse.mean, mse.gray), 3)}
        row |= {metric: found[metric].mean for metric in shown}
        row |= {"oracle mse": mse.oracle, "perfect mse": perfect_score(recipe, mse, rows)}
        row |= {"seeds": len(mse.seeds), "images": mse.images}
        relative = round(mse.seconds / first, 2) if first else None  # other work on the machine falsifies seconds
        table.append(row | {"parameters": mse.parameters, "relative time": relative})
    return table
