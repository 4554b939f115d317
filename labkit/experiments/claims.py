"""What measured numbers say of printed ones and of claims: the two judgments of every results table.

Against a printed number: "better", "within the band" or "missed"; "not comparable" where the recipe says why. The
band is where one more run of ours could lie by chance: Student's 95 % prediction interval, t s sqrt(1 + 1/n) for n
seeds of standard deviation s; never less than `TOLERANCE`, which covers rounding in print and, for SSIM, its variants.
A printed gain of one system over another ("mse ratio", "psnr improvement percent", "psnr gain") is met with "within the
band", "larger" or "smaller": a large gain over a bad baseline is not better.

Of a claim that A beats B: "confirmed" or "refuted" when the 95 % interval of the gain (paired by seed, Student's t)
leaves out zero, else "undecided".
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from labkit.experiments.measured import Measured, measured
from labkit.experiments.published import published
from labkit.experiments.recipes import find_recipes
from labkit.experiments.schema import PROFILES, Claim, Printed, Recipe
from labkit.metrics import FID_NAME, KID_NAME

LOWER_IS_BETTER = ("mse", "mae", KID_NAME, FID_NAME)
PRINTED_AS = {"mse": "mse", "mae": "mae", "psnr_mean": "psnr", "ssim": "ssim"}  # our metric -> the papers' word
# The least half-width of the band: a share of MSE and MAE, and what 2 % of MSE is in dB. At 32 x 32 pixels the SSIM
# variants in use differ by up to .035, and no paper says which it took.
TOLERANCE = {"mse": 0.02, "mae": 0.02, "psnr": 0.09, "ssim": 0.035}
BETTER, WITHIN, MISSED, NOT_COMPARABLE = "better", "within the band", "missed", "not comparable"
LARGER, SMALLER = "larger", "smaller"  # of gains
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
    band = max(TOLERANCE[word] * (printed if word in LOWER_IS_BETTER else 1.0), _one_more_run(ours.values))
    gain = printed - ours.mean if word in LOWER_IS_BETTER else ours.mean - printed
    if abs(gain) <= band:
        return WITHIN
    return BETTER if gain > 0 else MISSED


@dataclass(frozen=True)
class Gain:
    """What the paper prints of one system against another, and ours, seed by seed. `gray` takes the place of the better
    system: what returning the gray image gains over the worse one. No seeds: not measured."""

    name: str
    metric: str
    printed: float
    values: tuple[float, ...]
    gray: float
    verdict: str

    @property
    def mean(self) -> float:
        return statistics.fmean(self.values)

    @property
    def sd(self) -> float | None:
        return statistics.stdev(self.values) if len(self.values) > 1 else None


RATIO, PERCENT, DIFFERENCE = " ratio", " improvement percent", " gain"  # of a metric, as the papers print gains


def gains(recipe: Recipe, rows: Iterable[Measured]) -> list[Gain]:
    """Every gain that the paper prints for a relation of the recipe, in the order of its relations."""
    by_name = {(row.system, row.metric): row for row in rows}
    found = []
    for relation in recipe.claims:
        if relation.printed is None:
            continue
        for row in published(recipe.paper, system=relation.printed.system):
            kind = next((kind for kind in (RATIO, PERCENT, DIFFERENCE) if row.metric.endswith(kind)), None)
            if kind is None or row.value is None:
                continue
            word = row.metric.removesuffix(kind)
            metric = next(ours for ours, theirs in PRINTED_AS.items() if theirs == word)
            better, worse = by_name.get((relation.better, metric)), by_name.get((relation.worse, metric))
            pairs = _pairs(better, worse)
            why_not = better is not None and (
                better.profile == "test" or better.profile in relation.printed.not_comparable
            )
            values = tuple(_gain(kind, word, a, b) for a, b in pairs)
            band = max(_tolerance(kind, word, pairs), _one_more_run(values)) if pairs else 0.0
            found.append(
                Gain(
                    f"{relation.better} against {relation.worse}",
                    row.metric,
                    row.value,
                    values,
                    _gain(kind, word, worse.gray, worse.mean) if worse else math.nan,
                    _verdict_of_gain(kind, values, row.value, band, why_not) if values else "not measured yet",
                )
            )
    return found


def _gain(kind: str, word: str, better: float, worse: float) -> float:
    if kind == DIFFERENCE:
        return better - worse
    if kind == RATIO:
        return better / worse
    return 100 * (1 - better / worse if word in LOWER_IS_BETTER else better / worse - 1)


def _tolerance(kind: str, word: str, pairs: Sequence[tuple[float, float]]) -> float:
    """What `TOLERANCE` of each of two numbers is of their ratio, percent or difference, by propagation of errors."""
    better, worse = (statistics.fmean(values) for values in zip(*pairs, strict=True))
    of_better, of_worse = (TOLERANCE[word] * (v if word in LOWER_IS_BETTER else 1.0) for v in (better, worse))
    if kind == DIFFERENCE:
        return math.hypot(of_better, of_worse)
    return better / worse * math.hypot(of_better / better, of_worse / worse) * (100 if kind == PERCENT else 1)


def _verdict_of_gain(kind: str, values: Sequence[float], printed: float, band: float, why_not: bool) -> str:
    if why_not:
        return NOT_COMPARABLE
    excess = statistics.fmean(values) - printed
    if abs(excess) <= band:
        return WITHIN
    return LARGER if (excess > 0) == (kind != RATIO) else SMALLER


def _pairs(better: Measured | None, worse: Measured | None) -> list[tuple[float, float]]:
    """Values of the seeds that both have."""
    if better is None or worse is None:
        return []
    a, b = (dict(zip(row.seeds, row.values, strict=True)) for row in (better, worse))
    return [(a[seed], b[seed]) for seed in a if seed in b]


def _one_more_run(values: Sequence[float]) -> float:
    """Half the width of Student's 95 % prediction interval; 0 where one value says nothing of scatter."""
    count = len(values)
    return _student(count - 1) * statistics.stdev(values) * math.sqrt(1 + 1 / count) if count > 1 else 0.0


@dataclass(frozen=True)
class Finding:
    """A claim and what became of it. `gain` is positive where the claim is right; `margin` is NaN for one seed."""

    relation: Claim
    better: Measured
    worse: Measured
    gain: float
    margin: float

    @property
    def verdict(self) -> str:
        if self.better.profile == "test" or not abs(self.gain) > self.margin:  # NaN: one seed; neither decides anything
            return UNDECIDED
        return CONFIRMED if self.gain > 0 else REFUTED


def examine(relation: Claim, rows: Iterable[Measured]) -> Finding | None:
    """Tests a claim on measured rows of one recipe and profile; None where a side of it is not measured."""
    by_name = {(row.system, row.metric): row for row in rows}
    better = by_name.get((relation.better, relation.metric))
    worse = by_name.get((relation.worse, relation.worse_metric or relation.metric))
    if better is None or worse is None:
        return None
    kind = relation.metric.removeprefix("validation ").split(",")[0]  # "validation mse, epoch 2" is an MSE as well
    sign = -1.0 if kind in LOWER_IS_BETTER else 1.0
    differences = [sign * (a - b) for a, b in _pairs(better, worse)]
    if not differences:
        return None
    count = len(differences)
    margin = _student(count - 1) * statistics.stdev(differences) / math.sqrt(count) if count > 1 else math.nan
    return Finding(relation, better, worse, statistics.fmean(differences), margin)


def findings(recipe: Recipe) -> list[Finding]:
    """The claims of a recipe tested on the rows of data/measured, in the largest profile that was measured."""
    rows = largest(recipe)
    return [finding for relation in recipe.claims if (finding := examine(relation, rows))]


def largest(recipe: Recipe) -> list[Measured]:
    """What was measured of a recipe in its largest profile; empty: nothing yet."""
    return next((rows for p in reversed(PROFILES[1:]) if (rows := measured(recipe.name, profile=p))), [])


def claims(found: Iterable[Finding]) -> list[dict[str, Any]]:
    """A table of findings, a row a claim: its recipe, both sides, the gain with its 95 % margin, the verdict."""
    return [
        {
            "claim": finding.relation.claim,
            "recipe": finding.better.recipe,
            "said by": finding.relation.paper,
            "metric": finding.relation.metrics,
            "should be better": f"{finding.relation.better}: {finding.better.mean:.4g}",
            "than": f"{finding.relation.worse}: {finding.worse.mean:.4g}",
            "gain": finding.gain,
            "95 % margin": None if math.isnan(finding.margin) else finding.margin,
            "verdict": finding.verdict,
            "seeds": len(set(finding.better.seeds) & set(finding.worse.seeds)),
        }
        for finding in found
    ]


def claims_of(*names: str, about: Sequence[str] = ("",)) -> list[dict[str, Any]]:
    """The claims of recipes (by name) tested on data/measured, in the columns that a lab has room for.

    With `about`, only claims that contain one of these words. Empty where nothing is measured yet.

    Raises LabkitError for an unknown recipe.
    """
    columns = ("claim", "recipe", "said by", "metric", "gain", "95 % margin", "verdict")
    recipes = [recipe for recipe in find_recipes(names) if recipe.name in names]  # not all of a paper of that name
    rows = claims(finding for recipe in recipes for finding in findings(recipe))
    return [{name: row[name] for name in columns} for row in rows if any(word in row["claim"] for word in about)]


def _student(freedom: int) -> float:
    """The 97.5 % quantile of Student's t."""
    from scipy.stats import t

    return float(t.ppf(0.975, freedom))
