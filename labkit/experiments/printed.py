"""Set our numbers beside those that the papers print.

Against a printed score ours is "better", "worse", or it "matches": it differs by no more than one more run of ours
could by chance (Student's 95 % prediction interval, t s sqrt(1 + 1/n) for n seeds of standard deviation s), never less
than `TOLERANCE`, which covers rounding in print and, for SSIM, its variants. A printed gain of one system over another
("mse ratio", "psnr improvement percent", "psnr gain") is "larger" or "smaller" here, or it "matches": a large gain over
a bad baseline is not better. With one seed, of whose scatter nothing is known, a larger difference than `TOLERANCE` is
"undecided: one seed". Both are "not comparable" where the recipe says why.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from labkit.experiments.claims import LOWER_IS_BETTER, NOT_COMPARABLE, ONE_SEED, pair_by_seed
from labkit.experiments.intervals import prediction_margin
from labkit.experiments.measured import Measured
from labkit.experiments.published import published
from labkit.experiments.schema import Printed, Recipe

PRINTED_AS = {"mse": "mse", "mae": "mae", "psnr_mean": "psnr", "ssim": "ssim"}  # our metric -> the papers' word
# The least half-width: a fraction of MSE and MAE, and what 2 % of MSE is in dB. At 32 x 32 pixels the SSIM variants in
# use differ by up to .035, and no paper says which it took.
TOLERANCE = {"mse": 0.02, "mae": 0.02, "psnr": 0.09, "ssim": 0.035}
BETTER, MATCHES, WORSE = "better", "matches", "worse"  # of scores
LARGER, SMALLER = "larger", "smaller"  # of gains
RATIO, PERCENT, DIFFERENCE = " ratio", " improvement percent", " gain"  # of a metric, as the papers print gains
NOT_MEASURED = "not measured yet"


def printed_value(recipe: Recipe, printed: Printed | None, metric: str) -> float | None:
    """Return what the paper prints for one of our metrics; None where it prints nothing."""
    if printed is None or metric not in PRINTED_AS:
        return None
    rows = published(recipe.paper, table=printed.table, system=printed.system)
    return next((row.value for row in rows if row.metric == PRINTED_AS[metric]), None)


def compare_score(ours: Measured, printed: float, why_not: str = "") -> str:
    """Compare our mean over seeds with one printed score.

    Args:
        ours: one metric of one system.
        printed: as `printed_value` gives it.
        why_not: why the two cannot be compared; empty: they can.

    Returns:
        "better", "matches", "worse", "undecided: one seed" or "not comparable".
    """
    if why_not or ours.profile == "test":
        return NOT_COMPARABLE
    word = PRINTED_AS[ours.metric]
    tolerance = TOLERANCE[word] * (printed if word in LOWER_IS_BETTER else 1.0)
    gain = printed - ours.mean if word in LOWER_IS_BETTER else ours.mean - printed
    return _judge(gain, ours.values, tolerance, BETTER, WORSE)


@dataclass(frozen=True)
class GainComparison:
    """Hold a printed gain of one system over another, beside ours, seed by seed; no values: not measured."""

    name: str
    metric: str
    printed: float
    values: tuple[float, ...]
    gray: float  # what returning the gray image gains over the worse system
    images: int
    verdict: str

    @property
    def mean(self) -> float:
        """Return the mean over seeds."""
        return statistics.fmean(self.values)

    @property
    def sd(self) -> float | None:
        """Return the standard deviation over seeds (n - 1 in the denominator); None for a single seed."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None


def compare_gains(recipe: Recipe, rows: Iterable[Measured]) -> list[GainComparison]:
    """Compare every gain that the paper prints for a claim of the recipe, in the order of the claims.

    Args:
        recipe: whose claims name what is printed.
        rows: what was measured of it, in one profile.
    """
    by_name = {(row.system, row.metric): row for row in rows}
    found = []
    for claim in recipe.claims:
        for row in published(recipe.paper, system=claim.printed.system) if claim.printed else ():
            how = next((how for how in (RATIO, PERCENT, DIFFERENCE) if row.metric.endswith(how)), None)
            if how is None or row.value is None:
                continue
            word = row.metric.removesuffix(how)
            metric = next(ours for ours, theirs in PRINTED_AS.items() if theirs == word)
            better, worse = by_name.get((claim.better, metric)), by_name.get((claim.worse, metric))
            pairs = list(pair_by_seed(better, worse).values())
            values = tuple(_gain(how, word, a, b) for a, b in pairs)
            not_comparable = {"test", *(claim.printed.not_comparable if claim.printed else ())}
            if not values:
                verdict = NOT_MEASURED
            elif better is not None and better.profile in not_comparable:
                verdict = NOT_COMPARABLE
            else:
                verdict = _compare_gain(how, values, row.value, _tolerance(how, word, pairs))
            found.append(
                GainComparison(
                    f"{claim.better} against {claim.worse}",
                    row.metric,
                    row.value,
                    values,
                    _gain(how, word, worse.gray, worse.mean) if worse else math.nan,
                    worse.images if worse else 0,
                    verdict,
                )
            )
    return found


def _gain(how: str, word: str, better: float, worse: float) -> float:
    if how == DIFFERENCE:
        return better - worse
    if how == RATIO:
        return better / worse
    return 100 * (1 - better / worse if word in LOWER_IS_BETTER else better / worse - 1)


def _tolerance(how: str, word: str, pairs: Sequence[tuple[float, float]]) -> float:
    """Return what `TOLERANCE` of each of two numbers is of their ratio, percent or difference."""
    better, worse = (statistics.fmean(values) for values in zip(*pairs, strict=True))
    of_better, of_worse = (TOLERANCE[word] * (v if word in LOWER_IS_BETTER else 1.0) for v in (better, worse))
    if how == DIFFERENCE:
        return math.hypot(of_better, of_worse)
    return better / worse * math.hypot(of_better / better, of_worse / worse) * (100 if how == PERCENT else 1)


def _compare_gain(how: str, values: Sequence[float], printed: float, tolerance: float) -> str:
    excess = statistics.fmean(values) - printed
    return _judge(-excess if how == RATIO else excess, values, tolerance, LARGER, SMALLER)


def _judge(excess: float, values: Sequence[float], tolerance: float, above: str, below: str) -> str:
    """Return whether ours matches what is printed or is above or below it; one seed decides nothing beyond rounding."""
    if abs(excess) <= max(tolerance, prediction_margin(values)):
        return MATCHES
    if len(values) == 1:
        return ONE_SEED
    return above if excess > 0 else below
