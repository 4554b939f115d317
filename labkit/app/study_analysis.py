"""What the answers of a study say: fooling rate and d' per method, with intervals.

Answers of one rater resemble one another, and so do answers about one picture: 16 raters with 40 trials are not 640
independent answers. The variance of a rate is therefore summed over raters and over pictures, less what both count
twice (Cameron, Gelbach and Miller, Robust inference with multiway clustering, 2011), each with its correction for few
clusters, and never below that of independent answers.

The fooling rate is the fraction of a method's pictures that were taken for real: in pairs, .5 cannot be told from the
truth. d' is the sensitivity of signal detection (Macmillan and Creelman, Detection Theory, 2005): 0 for raters who see
no difference.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit, logit, ndtri
from scipy.stats import nct, norm, t

from labkit.app.study import TRUE, Answer
from labkit.errors import LabkitError, check_integer, check_number


@dataclass(frozen=True)
class Estimate:
    """A number with its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class MethodResult:
    """What the answers say of one method.

    Attributes:
        method: its name.
        trials: in which it was shown.
        raters: who saw it.
        pictures: of it that were shown.
        fooling: rate at which it was taken for real.
        d_prime: sensitivity of the raters; 0: they could not tell it from real.
        seconds: median time of an answer.
    """

    method: str
    trials: int
    raters: int
    pictures: int
    fooling: Estimate
    d_prime: Estimate
    seconds: float


def analyze(answers: Sequence[Answer], level: float = 0.95) -> list[MethodResult]:
    """Return fooling rate and d' of each method, the most convincing first.

    Args:
        answers: of one study; see `labkit.app.study.read_answers`.
        level: of the intervals.

    Raises:
        LabkitError: answers of several studies or kinds, or a single study without true pictures.
    """
    level = check_number("level", level, above=0, high=0.999)
    if len({(answer.study, answer.kind) for answer in answers}) != 1:
        names = sorted({f"{answer.study} ({answer.kind})" for answer in answers})
        raise LabkitError(f"answers of {len(names)} studies: {', '.join(names) or 'none'}. Analyze one at a time")
    single = answers[0].kind == "single"
    real = [answer for answer in answers if answer.method == TRUE]
    if single and not real:
        raise LabkitError("no true picture was shown in these answers: d' needs some")
    results = []
    for method in sorted({answer.method for answer in answers} - {TRUE}):
        own = [answer for answer in answers if answer.method == method]
        fooled = np.array([_fooled(answer) for answer in own], float)
        fooling = rate(fooled, *_clusters(own), level=level)
        if single:
            d_prime = _d_prime_single(own, real, level)
        else:  # two alternatives: d' is a falling function of the rate, and so are its limits
            ends = [_inside(p, len(own)) for p in (fooling.value, fooling.high, fooling.low)]
            d_prime = Estimate(*(-math.sqrt(2) * float(ndtri(p)) for p in ends))
        median = float(np.median([answer.seconds for answer in own]))
        raters, pictures = (len(np.unique(cluster)) for cluster in _clusters(own))
        results.append(MethodResult(method, len(own), raters, pictures, fooling, d_prime, median))
    return sorted(results, key=lambda result: -result.fooling.value)


def _fooled(answer: Answer) -> bool:
    """Whether a picture that a method colored was taken for real."""
    return answer.answer == "real" if answer.kind == "single" else answer.answer != answer.truth


def _clusters(answers: Sequence[Answer]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([a.rater for a in answers]), np.array([a.picture for a in answers])


def rate(values: np.ndarray, raters: np.ndarray, pictures: np.ndarray, level: float = 0.95) -> Estimate:
    """Return the mean of 0 and 1 with its interval, clustered by rater and by picture.

    The interval is symmetric on the logit scale, with Student's t of the smaller number of clusters. Where all answers
    are equal, one half of an answer is added to either side.

    Args:
        values: ``(N,)``, 0 or 1.
        raters: who gave each, ``(N,)``.
        pictures: of which each is, ``(N,)``.
        level: of the interval.
    """
    n = len(values)
    mean = float(np.mean(values))
    middle = _inside(mean, n)
    independent = middle * (1 - middle) / n
    variance = max(_two_way(values - mean, raters, pictures), independent)
    freedom = max(1, min(len(np.unique(raters)), len(np.unique(pictures))) - 1)
    margin = float(t.ppf((1 + level) / 2, freedom)) * math.sqrt(variance) / (middle * (1 - middle))
    return Estimate(mean, float(expit(logit(middle) - margin)), float(expit(logit(middle) + margin)))


def _inside(p: float, n: int) -> float:
    """Return a rate that is neither 0 nor 1: half an answer away from them."""
    return min(max(p, 0.5 / (n + 1)), 1 - 0.5 / (n + 1))


def _two_way(residuals: np.ndarray, raters: np.ndarray, pictures: np.ndarray) -> float:
    """Return the variance of the sum of residuals / N, clustered by rater and by picture."""
    n = len(residuals)
    both = np.unique(np.stack([_numbers(raters), _numbers(pictures)]), axis=1, return_inverse=True)[1].ravel()
    parts = [_one_way(residuals / n, _numbers(cluster)) for cluster in (raters, pictures)]
    return max(parts[0] + parts[1] - _one_way(residuals / n, both), *parts)


def _numbers(labels: np.ndarray) -> np.ndarray:
    return np.unique(labels, return_inverse=True)[1]


def _one_way(parts: np.ndarray, cluster: np.ndarray) -> float:
    """Return the sum of squared sums of each cluster, corrected for their number."""
    sums = np.bincount(cluster, weights=parts)
    return float((sums**2).sum() * len(sums) / max(1, len(sums) - 1))


def _d_prime_single(fake: Sequence[Answer], real: Sequence[Answer], level: float) -> Estimate:
    """Return z(hits) - z(false alarms) with an interval by the delta method, clustered over all of the answers."""
    said = [np.array([answer.answer == "real" for answer in part], float) for part in (real, fake)]
    rates = [_inside(float(np.mean(part)), len(part)) for part in said]
    value = float(ndtri(rates[0]) - ndtri(rates[1]))
    slopes = [sign / (len(part) * norm.pdf(ndtri(p))) for sign, part, p in zip((1, -1), said, rates, strict=True)]
    influence = np.concatenate([slope * (part - np.mean(part)) for slope, part in zip(slopes, said, strict=True)])
    raters, pictures = _clusters([*real, *fake])
    independent = sum(slope**2 * len(part) * p * (1 - p) for slope, part, p in zip(slopes, said, rates, strict=True))
    variance = max(_two_way(influence * len(influence), raters, pictures), independent)
    freedom = max(1, min(len(np.unique(raters)), len(np.unique(pictures))) - 1)
    margin = float(t.ppf((1 + level) / 2, freedom)) * math.sqrt(variance)
    return Estimate(value, value - margin, value + margin)


def needed(
    difference: float, rate: float = 0.4, between: float = 0.1, trials: int = 20, power: float = 0.8
) -> dict[str, int]:
    """Return how many raters show a difference between the fooling rates of two methods.

    Each rater sees ``trials`` pictures of both methods. The difference of one rater's two rates varies between raters
    with the standard deviation ``between``, and by chance with ``2 p (1 - p) / trials``. Many pictures are assumed:
    with few, the pictures limit what can be concluded, however many raters there are.

    Args:
        difference: of the two rates that is to be found.
        rate: in the middle of the two.
        between: standard deviation, between raters, of the difference of their true rates.
        trials: of each method, for each rater.
        power: probability of finding it, at the 5 % level, two-sided.

    Returns: raters, and answers in all.
    """
    difference = check_number("difference", difference, above=0, high=1)
    rate = check_number("rate", rate, above=0, high=0.999)
    between = check_number("between", between, low=0, high=1)
    trials = check_integer("trials", trials, low=1)
    power = check_number("power", power, above=0, high=0.999)
    one = between**2 + 2 * rate * (1 - rate) / trials
    guess = one * (norm.ppf(0.975) + norm.ppf(power)) ** 2 / difference**2  # the t test asks for a few more
    tried = np.arange(max(2, int(guess) - 2), int(guess) + 50)
    chance = nct.sf(t.ppf(0.975, tried - 1), tried - 1, difference * np.sqrt(tried / one))
    raters = int(tried[np.argmax(chance >= power)])
    return {"raters": raters, "answers": raters * 2 * trials}


def spread_between_raters(answers: Sequence[Answer]) -> float:
    """Return the standard deviation between raters of their true fooling rates, with chance taken off, 0 at least."""
    shown = [answer for answer in answers if answer.method != TRUE]
    rates, noise = [], []
    for rater in {answer.rater for answer in shown}:
        fooled = np.array([_fooled(answer) for answer in shown if answer.rater == rater], float)
        if len(fooled) > 1:
            rates.append(fooled.mean())
            noise.append(fooled.var(ddof=1) / len(fooled))
    return math.sqrt(max(0.0, float(np.var(rates, ddof=1)) - float(np.mean(noise)))) if len(rates) > 1 else 0.0


def table(results: Sequence[MethodResult]) -> list[dict[str, Any]]:
    """Return the results as rows for a table."""

    def shown(estimate: Estimate, digits: int) -> str:
        return f"{estimate.value:.{digits}f} [{estimate.low:.{digits}f}, {estimate.high:.{digits}f}]"

    return [
        {
            "method": result.method,
            "fooling rate": shown(result.fooling, 3),
            "d'": shown(result.d_prime, 2),
            "trials": result.trials,
            "raters": result.raters,
            "pictures": result.pictures,
            "seconds": round(result.seconds, 1),
        }
        for result in results
    ]
