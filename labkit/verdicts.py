"""What measured numbers say of printed ones and of claims: the two judgments of every results table.

Against a printed number: "better", "within the band" or "missed"; "not comparable" where the recipe says why. The
band is where one more run of ours could lie by chance: Student's 95 % prediction interval, t s sqrt(1 + 1/n) for n
seeds of standard deviation s; never less than `TOLERANCE`, which covers rounding in print and, for SSIM, its variants.

Of a claim that A beats B: "confirmed" or "refuted" when the 95 % interval of the gain (paired by seed, Student's t)
leaves out zero, else "undecided".
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from labkit.measured import Measured, measured
from labkit.metrics import FID_NAME, KID_NAME
from labkit.published import published
from labkit.recipes import PROFILES, Printed, Recipe, Relation, find_recipes

LOWER_IS_BETTER = ("mse", "mae", KID_NAME, FID_NAME)
PRINTED_AS = {"mse": "mse", "mae": "mae", "psnr_mean": "psnr", "ssim": "ssim"}  # our metric -> the papers' word
# The least half-width of the band: a share of MSE and MAE, and what 2 % of MSE is in dB. At 32 x 32 pixels the SSIM
# variants in use differ by up to .035, and no paper says which it took.
TOLERANCE = {"mse": 0.02, "mae": 0.02, "psnr": 0.09, "ssim": 0.035}
BETTER, WITHIN, MISSED, NOT_COMPARABLE = "better", "within the band", "missed", "not comparable"
CONFIRMED, REFUTED, UNDECIDED = "confirmed", "refuted", "undecided"


def printed_value(recipe: Recipe, printed: Printed | None, metric: str) -> float | None:
    """What the paper prints for one of our metrics; None where it prints nothing."""
    if printed is None or metric not in PRINTED_AS:
        return None
    rows = [
        row
        for row in published(recipe.paper, table=printed.table, system=printed.system)
        if row.metric == PRINTED_AS[metric]
    ]
    return rows[0].value if rows else None


def verdict(ours: Measured, printed: float, why_not: str = "") -> str:
    """Our mean over seeds against one printed number; see the top of this file."""
    if why_not or ours.profile == "test":
        return NOT_COMPARABLE
    word = PRINTED_AS[ours.metric]
    band = TOLERANCE[word] * (printed if word in LOWER_IS_BETTER else 1.0)
    count = len(ours.values)
    if count > 1:
        band = max(band, _student(count - 1) * ours.sd * math.sqrt(1 + 1 / count))
    gain = printed - ours.mean if word in LOWER_IS_BETTER else ours.mean - printed
    if abs(gain) <= band:
        return WITHIN
    return BETTER if gain > 0 else MISSED


@dataclass(frozen=True)
class Finding:
    """A claim and what became of it. `gain` is positive where the claim is right; `margin` is NaN for one seed."""

    relation: Relation
    better: Measured
    worse: Measured
    gain: float
    margin: float

    @property
    def verdict(self) -> str:
        if not abs(self.gain) > self.margin:  # a NaN margin decides nothing
            return UNDECIDED
        return CONFIRMED if self.gain > 0 else REFUTED


def examine(relation: Relation, rows: Iterable[Measured]) -> Finding | None:
    """Tests a claim on measured rows of one recipe and profile; None where a side of it is not measured."""
    by_name = {(row.system, row.metric): row for row in rows}
    better = by_name.get((relation.better, relation.metric))
    worse = by_name.get((relation.worse, relation.worse_metric or relation.metric))
    if better is None or worse is None:
        return None
    a, b = (dict(zip(row.seeds, row.values, strict=True)) for row in (better, worse))
    kind = relation.metric.removeprefix("validation ").split(",")[0]  # "validation mse, epoch 2" is an MSE as well
    sign = -1.0 if kind in LOWER_IS_BETTER else 1.0
    gains = [sign * (a[seed] - b[seed]) for seed in a if seed in b]
    if not gains:
        return None
    count = len(gains)
    margin = _student(count - 1) * statistics.stdev(gains) / math.sqrt(count) if count > 1 else math.nan
    return Finding(relation, better, worse, statistics.fmean(gains), margin)


def findings(recipe: Recipe) -> list[Finding]:
    """The claims of a recipe tested on the rows of data/measured, in the largest profile that was measured."""
    rows = largest(recipe)
    return [finding for relation in recipe.relations if (finding := examine(relation, rows))]


def largest(recipe: Recipe) -> list[Measured]:
    """What was measured of a recipe in its largest profile; empty: nothing yet."""
    return next((rows for p in reversed(PROFILES[1:]) if (rows := measured(recipe.name, profile=p))), [])


def claims(found: Iterable[Finding]) -> list[dict[str, Any]]:
    """A table of findings, a row a claim: both sides, the gain with its 95 % margin, the verdict."""
    return [
        {
            "claim": finding.relation.claim,
            "said by": finding.relation.paper,
            "metric": finding.relation.metric,
            "should be better": f"{finding.relation.better}: {finding.better.mean:.4g}",
            "than": f"{finding.relation.worse}: {finding.worse.mean:.4g}",
            "gain": finding.gain,
            "95 % margin": None if math.isnan(finding.margin) else finding.margin,
            "seeds": len(set(finding.better.seeds) & set(finding.worse.seeds)),
            "verdict": finding.verdict,
        }
        for finding in found
    ]


def claims_of(*names: str) -> list[dict[str, Any]]:
    """The claims of recipes (by name) tested on data/measured, in the columns that a lab has room for.

    Empty where nothing is measured yet. Raises LabkitError for an unknown recipe.
    """
    columns = ("claim", "said by", "metric", "gain", "95 % margin", "verdict")
    recipes = [recipe for recipe in find_recipes(names) if recipe.name in names]  # not all of a paper of that name
    rows = claims(finding for recipe in recipes for finding in findings(recipe))
    return [{name: row[name] for name in columns} for row in rows]


def _student(freedom: int) -> float:
    """The 97.5 % quantile of Student's t."""
    from scipy.stats import t

    return float(t.ppf(0.975, freedom))
