"""Compute intervals for results that vary with the seed and with the test images.

Two sources of chance: another seed trains another network, and other test images score it differently. Few seeds are
affordable, so their part takes Student's t (a percentile bootstrap of three seeds covers 74 % instead of 95 %). Test
images are many: their part is the variance of a paired bootstrap, which for a difference of means has a formula, and
takes the normal quantile. The two half-widths are independent and add in squares;
`tests/experiments/test_intervals.py` simulates that the sum covers the true value.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labkit.errors import LabkitError, check_integer, check_number, check_seed

Array = NDArray[np.float64]
LEVEL = 0.95
DRAWS = 2000  # of the bootstrap: a variance is then known to 3 %
SMALLEST_P = 1e-12  # below, quantiles are lost in rounding
CHUNK = 200  # draws at a time, so that memory stays bounded for 10,000 images


def confidence_margin(values: Sequence[float], image_variance: float = 0.0, level: float = LEVEL) -> float:
    """Return the half-width of the confidence interval of a mean over seeds.

    Args:
        values: one for each seed.
        image_variance: the variance of that mean over sets of test images, see `variance_of_mean`.
        level: the probability that the interval covers the true value.

    Returns:
        The half-width; NaN for a single seed, whose scatter is unknown.

    Raises:
        LabkitError: if `level` is not between 0 and 1, or `image_variance` is below 0.
    """
    if not 0 < check_number("level", level) < 1:
        raise LabkitError(f"level must be a number between 0 and 1. Got {level}")
    image_variance = check_number("image_variance", image_variance, low=0)
    if len(values) < 2:
        return math.nan
    tail = (1 + level) / 2
    of_seeds = student_quantile(len(values) - 1, tail) * statistics.stdev(values) / math.sqrt(len(values))
    return math.hypot(of_seeds, statistics.NormalDist().inv_cdf(tail) * math.sqrt(image_variance))


def p_value(values: Sequence[float], image_variance: float = 0.0) -> float:
    """Return 1 minus the highest level at which the interval of `confidence_margin` does not contain zero.

    Args:
        values: one for each seed.
        image_variance: as in `confidence_margin`.

    Returns:
        From `SMALLEST_P` to 1; NaN for a single seed.
    """
    if len(values) < 2:
        return math.nan
    gain, low, high = abs(statistics.fmean(values)), SMALLEST_P, 1.0
    for _ in range(50):  # the margin grows with the level: halve the bracket; after 60, 1 - middle would round to 0
        middle = (low + high) / 2
        if confidence_margin(values, image_variance, 1 - middle) < gain:
            high = middle
        else:
            low = middle
    return high


def prediction_margin(values: Sequence[float]) -> float:
    """Return the half-width of the 95 % interval in which one more seed would lie (Student's t).

    Args:
        values: one for each seed.

    Returns:
        The half-width; 0 for a single seed, of whose scatter nothing is known.
    """
    count = len(values)
    if count < 2:
        return 0.0
    return student_quantile(count - 1, (1 + LEVEL) / 2) * statistics.stdev(values) * math.sqrt(1 + 1 / count)


def student_quantile(freedom: int, probability: float) -> float:
    """Return a quantile of Student's t.

    Args:
        freedom: degrees of freedom.
        probability: from 0 to 1.
    """
    from scipy.special import stdtrit  # here: a lab that shows no interval need not wait for it

    return float(stdtrit(freedom, probability))  # what scipy.stats.t.ppf calls; scipy.stats takes seconds to import


def variance_of_mean(values: Any) -> float:
    """Return the variance of a mean over images, which the bootstrap of that mean tends to with ever more draws.

    Args:
        values: one for each image; of a gain, the difference of its two sides, so that the bootstrap is paired.
    """
    return float(np.var(np.asarray(values, dtype=np.float64)) / len(values))


def bootstrap_variance(columns: Any, statistic: Callable[[Array], Array], draws: int = DRAWS, seed: int = 0) -> float:
    """Return the variance of a statistic of means over images, by drawing the images anew with replacement.

    For a mean, or a difference of two, `variance_of_mean` says the same without drawing.

    The bootstrap is paired: a drawn image counts in every column.

    Args:
        columns: (K, N), one value for each of N images in each of K columns.
        statistic: takes the means, (draws, K), and returns (draws,).
        draws: how many sets of N images are drawn.
        seed: of the draws.

    Raises:
        LabkitError: if `draws` is below 2, or `seed` is no seed.
    """
    draws, seed = check_integer("draws", draws, low=2), check_seed(seed)
    values = np.asarray(columns, dtype=np.float64)
    count = values.shape[1]
    generator = np.random.default_rng(seed)
    drawn = []
    for start in range(0, draws, CHUNK):
        times = generator.multinomial(count, np.full(count, 1 / count), size=min(CHUNK, draws - start))
        drawn.append(statistic(times @ values.T / count))
    return float(np.concatenate(drawn).var(ddof=1))


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Return adjusted p-values: among claims whose adjusted value is at most q, a fraction q is expected to be false.

    Source: Benjamini and Hochberg, Controlling the false discovery rate, J. R. Stat. Soc. B 57 (1995). Written by hand
    because scipy has it (`false_discovery_control`) only from version 1.11.

    Args:
        p_values: one for each claim.
    """
    count = len(p_values)
    adjusted = [1.0] * count
    smallest = 1.0
    for rank, index in sorted(enumerate(sorted(range(count), key=lambda i: p_values[i]), 1), reverse=True):
        smallest = min(smallest, p_values[index] * count / rank)
        adjusted[index] = smallest
    return adjusted
