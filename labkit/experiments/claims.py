"""Test claims on measured rows: does one system score better than another, and may the two be compared at all?

A verdict is one of four:

- not comparable: the two sides differ in more than the claim names, or a side is not trained well enough to count (see
  `labkit.experiments.comparability`);
- undecided: a single seed, or the 95 % interval of the gain contains zero (see `labkit.experiments.intervals`);
- supported or contradicted: the interval does not contain zero. A paper's claim is contradicted only in the paper's own
  setting; with other images, widths or epochs it is contradicted in our setting.

With many claims some are decided by chance: tables set beside the verdict whether it holds at a false discovery rate
of 5 % (Benjamini and Hochberg).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from labkit.experiments import per_image
from labkit.experiments.comparability import differences, why_not_comparable
from labkit.experiments.intervals import (
    benjamini_hochberg,
    bootstrap_variance,
    confidence_margin,
    p_value,
    variance_of_mean,
)
from labkit.experiments.measured import Measured, measured
from labkit.experiments.recipes import find_recipes
from labkit.experiments.schema import EVERY_PROFILE, FLOORS, LEAKS, OWN, VALIDATION, Claim, Recipe
from labkit.metrics import FID_NAME, KID_NAME

LOWER_IS_BETTER = ("mse", "mae", KID_NAME, FID_NAME, *LEAKS, *FLOORS)
SUPPORTED, CONTRADICTED, UNDECIDED, NOT_COMPARABLE = "supported", "contradicted", "undecided", "not comparable"
ONE_SEED = f"{UNDECIDED}: one seed"
FALSE_DISCOVERY_RATE = 0.05


@dataclass(frozen=True)
class ClaimResult:
    """Hold what became of a claim: how much better its better side is, and how certain that is."""

    claim: Claim
    better: Measured
    worse: Measured
    seeds: int  # that both sides have
    gain: float  # mean over seeds; positive where the claim is right
    margin: float  # half-width of the 95 % interval; NaN for one seed
    p_value: float  # NaN for one seed
    with_images: bool  # the interval accounts for the choice of test images, not of seeds only
    papers_setting: bool  # whether the claim is of a paper and was tested in that paper's setting
    also: tuple[str, ...] = ()  # what else differs here, of what the claim lists
    refused: str = ""  # why the two sides cannot be compared; empty: they can

    @property
    def verdict(self) -> str:
        """Return one of "supported", "contradicted", "undecided" and "not comparable"."""
        if self.refused:
            return NOT_COMPARABLE
        if not abs(self.gain) > self.margin:  # also where the margin is NaN
            return UNDECIDED
        return SUPPORTED if self.gain > 0 else CONTRADICTED

    @property
    def explained(self) -> str:
        """Return the verdict with its reason or its scope: "undecided: one seed", "contradicted in our setting"."""
        if self.refused:
            return f"{NOT_COMPARABLE}: {self.refused}"
        if self.seeds == 1:
            return ONE_SEED
        if self.verdict == CONTRADICTED and self.claim.paper != OWN and not self.papers_setting:
            return f"{CONTRADICTED} in our setting"
        return self.verdict


def test_claim(
    recipe: Recipe,
    claim: Claim,
    rows: Iterable[Measured],
    scores: Mapping[per_image.Key, Any] | None = None,
) -> ClaimResult | None:
    """Test a claim on measured rows.

    Args:
        recipe: the claim's; it says what the two sides differ in.
        claim: one side scores better than the other.
        rows: what was measured of the recipe, in one profile.
        scores: by test image, as `labkit.experiments.per_image` keeps them.

    Returns:
        The result; None where a side is not measured, or where they have no seed in common.
    """
    rows = list(rows)
    by_name = {(row.system, row.metric): row for row in rows}
    better = by_name.get((claim.better, claim.metric))
    worse = by_name.get((claim.worse, claim.worse_metric or claim.metric))
    pairs = pair_by_seed(better, worse)
    if better is None or worse is None or not pairs:
        return None
    differing = differences(recipe, claim, better.profile)
    sign = -1.0 if lower_is_better(claim.metric) else 1.0
    gains = [sign * (a - b) for a, b in pairs.values()]
    variance = _image_variance(claim, list(pairs), scores or {})
    return ClaimResult(
        claim,
        better,
        worse,
        seeds=len(pairs),
        gain=statistics.fmean(gains),
        margin=confidence_margin(gains, variance or 0.0),
        p_value=p_value(gains, variance or 0.0),
        with_images=variance is not None,
        papers_setting=claim.paper == recipe.paper and better.profile in recipe.paper_profiles,
        also=tuple(what for what in claim.also if what in differing or " " in what),  # those in words differ always
        refused="the test profile" if better.profile == "test" else why_not_comparable(recipe, claim, rows),
    )


def pair_by_seed(better: Measured | None, worse: Measured | None) -> dict[int, tuple[float, float]]:
    """Return seed -> the two values, for the seeds that both have."""
    if better is None or worse is None:
        return {}
    a, b = (dict(zip(row.seeds, row.values, strict=True)) for row in (better, worse))
    return {seed: (a[seed], b[seed]) for seed in a if seed in b}


def lower_is_better(metric: str) -> bool:
    """Return whether a metric is an error: "validation mse, epoch 2" is an MSE as well."""
    return metric.removeprefix(VALIDATION).split(",")[0] in LOWER_IS_BETTER


def _image_variance(claim: Claim, seeds: Sequence[int], scores: Mapping[per_image.Key, Any]) -> float | None:
    """Return the variance of the gain over sets of test images; None where scores by image were not kept."""
    sides = ((claim.better, claim.metric), (claim.worse, claim.worse_metric or claim.metric))
    columns = []
    for name, metric in sides:
        parts = ("mse", per_image.GRAY_MSE) if metric == "skill" else (metric,)
        for part in parts:
            kept = [scores[name, part, seed] for seed in seeds if (name, part, seed) in scores]
            if len(kept) < len(seeds):
                return None
            columns.append(np.mean(kept, axis=0))
    if len({len(column) for column in columns}) > 1:  # other images on the other side
        return None
    if claim.metric == "skill":
        return bootstrap_variance(columns, lambda means: means[:, 0] / means[:, 1] - means[:, 2] / means[:, 3])
    return variance_of_mean(columns[0] - columns[1])


def measured_claims(recipe: Recipe, about: Sequence[str] = ("",)) -> list[ClaimResult]:
    """Test the claims of a recipe on data/measured, in the largest profile that was measured.

    Args:
        recipe: whose claims.
        about: only claims that contain one of these words.
    """
    rows = largest_profile(recipe)
    scores = per_image.read(recipe.name, rows[0].profile) if rows else {}
    claims = [claim for claim in recipe.claims if any(word in claim.claim for word in about)]
    return [result for claim in claims if (result := test_claim(recipe, claim, rows, scores))]


def largest_profile(recipe: Recipe) -> list[Measured]:
    """Return what was measured of a recipe in its largest profile; empty: nothing yet."""
    return next((rows for p in reversed(EVERY_PROFILE[1:]) if (rows := measured(recipe.name, profile=p))), [])


def claims_table(results: Iterable[ClaimResult]) -> list[dict[str, Any]]:
    """Return a table, one row a claim: both sides, the gain with its 95 % margin, the verdict, and what it rests on.

    "holds among all" says whether the verdict holds at a false discovery rate of 5 % among the comparable claims of
    this table.
    """
    results = list(results)
    tested = [result for result in results if not result.refused and not math.isnan(result.p_value)]
    adjusted = dict(zip(map(id, tested), benjamini_hochberg([result.p_value for result in tested]), strict=True))
    return [
        {
            "claim": result.claim.claim,
            "recipe": result.better.recipe,
            "said by": result.claim.paper,
            "metric": result.claim.metrics,
            "should be better": f"{result.claim.better}: {result.better.mean:.4g}",
            "than": f"{result.claim.worse}: {result.worse.mean:.4g}",
            "gain": result.gain,
            "95 % margin": None if math.isnan(result.margin) else result.margin,
            "margin over": _margin_over(result),
            "verdict": result.explained,
            "adjusted p": adjusted.get(id(result)),
            "holds among all": _holds(result, adjusted.get(id(result))),
            "also differs": ", ".join(result.also),
            "seeds": result.seeds,
            "images": result.better.images,
        }
        for result in results
    ]


def _margin_over(result: ClaimResult) -> str:
    if math.isnan(result.margin):
        return ""
    return "seeds and images" if result.with_images else "seeds only"


def _holds(result: ClaimResult, adjusted: float | None) -> str:
    if adjusted is None or result.verdict not in (SUPPORTED, CONTRADICTED):
        return ""
    return "yes" if adjusted <= FALSE_DISCOVERY_RATE else "no"


def claims_of(*names: str, about: Sequence[str] = ("",)) -> list[dict[str, Any]]:
    """Test the claims of recipes on data/measured, and return the columns that a lab has room for.

    Args:
        names: of recipes.
        about: only claims that contain one of these words.

    Returns:
        A row a claim; empty where nothing is measured yet.

    Raises:
        LabkitError: for an unknown recipe.
    """
    columns = ("claim", "recipe", "said by", "metric", "gain", "95 % margin", "verdict", "seeds", "images")
    recipes = [recipe for recipe in find_recipes(names) if recipe.name in names]  # not all of a paper of that name
    rows = claims_table(result for recipe in recipes for result in measured_claims(recipe, about))
    return [{name: row[name] for name in columns} for row in rows]
