"""Tables of `labkit reproduce`: ours beside what the papers print, every number with gray; and the README's summary."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from labkit.experiments.claims import Gain, claims, findings, gains, largest, printed_value, verdict
from labkit.experiments.measured import Measured
from labkit.experiments.recipes import RECIPES
from labkit.experiments.schema import Recipe, System
from labkit.metrics import skill


def comparison(
    recipe: Recipe, rows: Sequence[Measured], failures: Mapping[str, str] | None = None
) -> list[dict[str, Any]]:
    """The table of a recipe: a row a reading and metric, with what the paper prints, then a row for each gain of one
    system over another that the paper prints. Not measured: the row stays."""
    found = {(row.system, row.metric): row for row in rows}
    table: list[dict[str, Any]] = []
    for system in recipe.systems:
        for reading in system.decodings:
            mse = found.get((reading.name, "mse"))
            for metric in recipe.metrics:
                printed = printed_value(recipe, reading.printed, metric)
                ours = found.get((reading.name, metric))
                row: dict[str, Any] = {"system": reading.name, "metric": metric, "published": printed}
                if ours is None:
                    row |= {"verdict": _why_missing(system, failures or {})}
                else:
                    why_not = reading.printed.not_comparable.get(ours.profile, "") if reading.printed else ""
                    row |= {
                        "ours": ours.mean,
                        "sd": None if math.isnan(ours.sd) else ours.sd,
                        "verdict": None if printed is None else verdict(ours, printed, why_not),
                        "gray": ours.gray,
                        "oracle": ours.oracle,
                        "skill": skill(mse.mean, mse.gray) if mse else None,
                        "seeds": len(ours.seeds),
                        "parameters": ours.parameters,
                        "seconds": round(ours.seconds, 1),
                        "device": ours.device,
                    }
                table.append(row)
    return table + [_of_gain(gain) for gain in gains(recipe, rows)]


def _of_gain(gain: Gain) -> dict[str, Any]:
    """A printed gain of one system over another, in the columns of the other rows."""
    row: dict[str, Any] = {"system": gain.name, "metric": gain.metric, "published": gain.printed}
    if gain.values:
        row |= {"ours": gain.mean, "sd": gain.sd, "seeds": len(gain.values), "gray": gain.gray, "oracle": None}
    return row | {"verdict": gain.verdict}


def overview(recipe: Recipe, rows: Sequence[Measured]) -> list[dict[str, Any]]:
    """The same for a narrow screen: a row a reading, a column a metric (means over seeds); gray stands first,
    and again where the images are others (enlarged, for example)."""
    found = {(row.system, row.metric): row for row in rows}
    names = [
        reading.name for system in recipe.systems for reading in system.decodings if (reading.name, "mse") in found
    ]
    if not names:
        return []
    table: list[dict[str, Any]] = []
    gray = math.nan
    for name in names:
        mse = found[name, "mse"]
        if not math.isclose(mse.gray, gray, rel_tol=1e-4):  # once, and again where other images are scored
            gray = mse.gray
            floor = {metric: found[name, metric].gray for metric in recipe.metrics if (name, metric) in found}
            table.append({"system": f"gray, as for {name}" if table else "gray", "skill": 0.0} | floor)
        row: dict[str, Any] = {"system": name, "skill": round(skill(mse.mean, mse.gray), 3)}
        row |= {metric: found[name, metric].mean for metric in recipe.metrics if (name, metric) in found}
        table.append(row | {"oracle mse": mse.oracle, "parameters": mse.parameters, "seconds": round(mse.seconds)})
    return table


def _why_missing(system: System, failures: Mapping[str, str]) -> str:
    for title, why in failures.items():
        if f": {system.name}, seed " in title:
            return f"failed: {why}"
    return "not measured yet"


def summary() -> str:
    """All that data/measured says of the papers, in Markdown, as the README shows it: every claim that was tested, and
    every printed number with ours beside it. Of a recipe, the largest profile that was measured."""
    tested = [row for recipe in RECIPES.values() for row in claims(findings(recipe))]
    printed = [row for recipe in RECIPES.values() for row in _printed(recipe)]
    if not tested and not printed:
        return "Nothing measured yet: labkit reproduce RECIPE --out DIR, then copy DIR/measured/*.csv to data/measured."
    parts = [
        "Claims, tested over seeds (gain: how much better, with its 95 % margin):",
        _markdown(
            ("claim", "recipe", "said by", "metric", "should be better", "than", "gain", "verdict"),
            (row | {"gain": _gain(row)} for row in tested),
        ),
        "Printed numbers and ours (mean, standard deviation over seeds):",
        _markdown(("paper", "recipe", "system", "metric", "published", "ours", "gray", "oracle", "verdict"), printed),
        "Measured by:",
        "\n".join(_commands()),
    ]
    return "\n\n".join(parts)


def _gain(row: Mapping[str, Any]) -> str:
    margin = "one seed" if row["95 % margin"] is None else f"± {row['95 % margin']:.2g}"
    return f"{row['gain']:.3g} ({margin})"


def _printed(recipe: Recipe) -> list[dict[str, Any]]:
    """Rows of `comparison` that have a printed number and were measured, in words."""
    return [
        {
            "paper": recipe.paper,
            "recipe": recipe.name,
            "system": row["system"],
            "metric": row["metric"],
            "published": f"{row['published']:.4g}",
            "ours": f"{row['ours']:.4g}" + (f" ({row['sd']:.1g})" if row["sd"] is not None else ""),
            "gray": f"{row['gray']:.4g}",
            "oracle": "" if row["oracle"] is None else f"{row['oracle']:.4g}",
            "verdict": row["verdict"],
        }
        for row in comparison(recipe, largest(recipe))
        if row["published"] is not None and "ours" in row
    ]


def _commands() -> list[str]:
    firsts = [rows[0] for recipe in RECIPES.values() if (rows := largest(recipe))]
    return [f"- `{one.command}` ({one.data}; {one.device}, {one.date[:10]})" for one in firsts]


def _markdown(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    return "\n".join([*lines, *(f"| {' | '.join(str(row[name]) for name in columns)} |" for row in rows)])
