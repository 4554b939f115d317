"""Intervals cover what they promise; adjusted p-values are those of Benjamini and Hochberg."""

import math

import numpy as np
import pytest
from scipy import stats

from labkit import LabkitError
from labkit.experiments.intervals import (
    benjamini_hochberg,
    bootstrap_variance,
    confidence_margin,
    p_value,
    prediction_margin,
    variance_of_mean,
)


def test_without_images_it_is_students_t() -> None:
    gains = [0.0010, 0.0011, 0.0014]
    low, high = stats.t.interval(0.95, 2, loc=np.mean(gains), scale=stats.sem(gains))
    assert confidence_margin(gains) == pytest.approx((high - low) / 2)
    assert p_value(gains) == pytest.approx(stats.ttest_1samp(gains, 0).pvalue, abs=1e-9)
    assert p_value([-gain for gain in gains]) == pytest.approx(p_value(gains))
    assert math.isnan(confidence_margin([0.1])) and math.isnan(p_value([0.1]))


def test_with_images_alone_it_is_normal() -> None:
    assert confidence_margin([0.3, 0.3, 0.3], 0.01) == pytest.approx(1.959964 * 0.1)
    assert p_value([0.3, 0.3, 0.3], 0.01) == pytest.approx(2 * stats.norm.sf(3), rel=1e-6)


def test_the_p_value_agrees_with_the_margin() -> None:
    gains, variance = [0.9, 1.0, 1.4], 0.01
    level = 1 - p_value(gains, variance)
    assert confidence_margin(gains, variance, level) == pytest.approx(np.mean(gains))


@pytest.mark.parametrize("gains", [[0.0, 0.0, 0.0], [0.1, -0.1]])
def test_no_gain_has_a_p_value_of_one(gains: list[float]) -> None:
    assert p_value(gains) == pytest.approx(1)


def test_the_prediction_margin_is_that_of_one_more_seed() -> None:
    values = [0.009, 0.010, 0.011]
    assert prediction_margin(values) == pytest.approx(stats.t.ppf(0.975, 2) * 0.001 * math.sqrt(4 / 3))
    assert prediction_margin([0.01]) == 0


@pytest.mark.parametrize("count", [2, 3, 5])
@pytest.mark.parametrize("image_sd", [0.0, 0.1, 0.5, 1.0, 3.0])
def test_it_covers_the_true_gain(count: int, image_sd: float) -> None:
    """The mean of `count` seeds has sd 1, the choice of images adds `image_sd`; the true gain is 0."""
    generator = np.random.default_rng(0)
    seeds = math.sqrt(count) * generator.normal(size=(4000, count)) + image_sd * generator.normal(size=(4000, 1))
    covered = [abs(np.mean(gains)) <= confidence_margin(gains.tolist(), image_sd**2) for gains in seeds]
    assert np.mean(covered) >= 0.94  # 95 % and more, less three standard errors of 4,000 repetitions


def test_it_covers_with_the_images_bootstrapped() -> None:
    """Three seeds on 60 images of their own difficulty, as `labkit reproduce` would score them, 600 times."""
    generator = np.random.default_rng(1)
    covered = percentile = 0
    for _ in range(600):
        images, seeds = generator.normal(size=60), generator.normal(scale=0.1, size=(3, 1))
        scores = 0.5 + seeds + images + 0.3 * generator.normal(size=(3, 60))  # gains by seed and image
        variance = variance_of_mean(scores.mean(axis=0))
        gains = scores.mean(axis=1)
        covered += abs(gains.mean() - 0.5) <= confidence_margin(gains.tolist(), variance)
        percentile += min(gains) <= 0.5 <= max(gains)
    assert covered / 600 >= 0.93
    assert percentile / 600 < 0.6, "what the scatter of seeds alone would cover"


def test_the_bootstrap_is_paired() -> None:
    generator = np.random.default_rng(2)
    hard = generator.normal(size=500)
    a, b = hard + 0.01 * generator.normal(size=500), hard + 0.01 * generator.normal(size=500)
    paired = bootstrap_variance([a, b], lambda means: means[:, 0] - means[:, 1])
    assert paired == pytest.approx(variance_of_mean(a - b), rel=0.1)  # what 2,000 draws know to 3 %
    assert paired < 0.01 * np.var(a) / 500
    assert bootstrap_variance([a, b], lambda means: means[:, 0] / means[:, 1], draws=300) > 0
    assert bootstrap_variance([a], lambda means: means[:, 0], draws=7) >= 0  # fewer than a chunk


def test_benjamini_hochberg() -> None:
    values = [0.01, 0.04, 0.03, 0.20, 0.005]
    adjusted = benjamini_hochberg(values)
    assert adjusted == pytest.approx([0.025, 0.05, 0.05, 0.2, 0.025])
    if hasattr(stats, "false_discovery_control"):
        assert adjusted == pytest.approx(stats.false_discovery_control(values))
    assert benjamini_hochberg([]) == [] and benjamini_hochberg([0.3]) == [0.3]


def test_numbers_out_of_range_are_refused() -> None:
    for level in (0, 1, 1.5, -0.1, math.nan):
        with pytest.raises(LabkitError, match="level must be a"):
            confidence_margin([0.1, 0.2], level=level)
    with pytest.raises(LabkitError, match="image_variance must be a number of 0 or more. Got -1"):
        confidence_margin([0.1, 0.2], -1.0)
    with pytest.raises(LabkitError, match="draws must be a whole number of 2 or more. Got 1"):
        bootstrap_variance([[0.1, 0.2]], lambda means: means[:, 0], draws=1)
