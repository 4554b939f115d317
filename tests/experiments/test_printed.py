"""Our numbers beside printed ones: scores and gains."""

import dataclasses
import math

import pytest
from measured_rows import ours, rows
from scipy import stats

from labkit.experiments.claims import NOT_COMPARABLE, ONE_SEED
from labkit.experiments.measured import Measured, summarize
from labkit.experiments.printed import (
    BETTER,
    LARGER,
    MATCHES,
    NOT_MEASURED,
    SMALLER,
    WORSE,
    compare_gains,
    compare_score,
)
from labkit.experiments.recipes import RECIPES
from labkit.experiments.schema import PrintedGain


@pytest.mark.parametrize(
    ("values", "printed", "said"),
    [
        ([0.0030, 0.0031, 0.0029], 0.0038, BETTER),
        ([0.0050, 0.0051, 0.0049], 0.0038, WORSE),
        ([0.00375], 0.0038, MATCHES),  # 2 % is rounding
        ([0.0036], 0.0038, ONE_SEED),  # nothing but rounding is known
        ([0.0033, 0.0036, 0.0039], 0.0038, MATCHES),  # its own scatter is larger than the difference
    ],
)
def test_against_a_printed_error(values: list[float], printed: float, said: str) -> None:
    assert compare_score(ours(values), printed) == said
    assert compare_score(ours(values), printed, "other photographs") == NOT_COMPARABLE
    assert compare_score(ours(values, profile="test"), printed) == NOT_COMPARABLE


def test_against_printed_decibels_and_ssim() -> None:
    assert compare_score(ours([27.0] * 3, metric="psnr_mean"), 26.04) == BETTER
    assert compare_score(ours([25.0] * 3, metric="psnr_mean"), 26.04) == WORSE
    assert compare_score(ours([26.1] * 3, metric="psnr_mean"), 26.04) == MATCHES
    assert compare_score(ours([0.92], metric="ssim"), 0.9441) == MATCHES  # variants of SSIM differ by more


def test_a_score_matches_within_the_prediction_interval() -> None:
    """For three seeds of sd s the half-width is t(.975, 2) s sqrt(4/3)."""
    one = ours([0.009, 0.010, 0.011])
    half = stats.t.ppf(0.975, 2) * 0.001 * math.sqrt(4 / 3)
    assert compare_score(one, 0.010 + 0.99 * half) == MATCHES
    assert compare_score(one, 0.010 + 1.01 * half) == BETTER


def test_printed_gains_of_one_system_over_another() -> None:
    """Qureshi's Table 3 prints by how many percent the U-Net improves each score; ECS171 prints a ratio."""

    def both(
        better: float, worse: float, metric: str = "mse", recipe: str = "qureshi", seeds: int = 3, **names: str
    ) -> list[Measured]:
        a = rows([better] * seeds, recipe=recipe, system=names.get("a", "regression U-Net"), metric=metric)
        b = rows([worse] * seeds, recipe=recipe, system=names.get("b", "regression CNN"), metric=metric)
        return summarize(a + b)

    qureshi = RECIPES["qureshi"]
    assert {gain.verdict for gain in compare_gains(qureshi, [])} == {NOT_MEASURED}
    mse = compare_gains(qureshi, both(0.0038, 0.0067))[0]
    assert mse.metric == "mse improvement percent" and mse.printed == 43.75
    assert mse.mean == pytest.approx(43.28, abs=0.01) and mse.sd == 0 and mse.verdict == MATCHES
    assert mse.gray == pytest.approx(100 * (1 - 0.006 / 0.0067)) and mse.images == 1000
    assert compare_gains(qureshi, both(0.0060, 0.0067))[0].verdict == SMALLER
    assert compare_gains(qureshi, both(0.0010, 0.0067))[0].verdict == LARGER
    for better, said in ((0.0060, ONE_SEED), (0.0038, MATCHES)):  # rounding alone explains the second
        (single, *_) = compare_gains(qureshi, both(better, 0.0067, seeds=1))
        assert single.verdict == said and single.sd is None
    found = compare_gains(qureshi, both(26.04, 22.56, "psnr_mean"))
    psnr = next(gain for gain in found if gain.metric == "psnr improvement percent")
    assert psnr.mean == pytest.approx(15.43, abs=0.01) and psnr.verdict == MATCHES
    for better, said in ((24.0, SMALLER), (25.95, MATCHES), (28.8, LARGER)):  # .09 dB, not a fraction of the decibels
        found = compare_gains(qureshi, both(better, 22.56, "psnr_mean"))
        assert next(gain.verdict for gain in found if gain.metric == "psnr improvement percent") == said

    slr = dataclasses.replace(RECIPES["slr"], claims=RECIPES["slr"].claims[:1])
    names = {"a": "printed, hybrid", "b": "printed, baseline"}
    ratio = compare_gains(slr, both(0.005827, 0.007763, recipe="slr", **names))[0]
    assert ratio.metric == "mse ratio" and ratio.mean == pytest.approx(0.7506, abs=1e-4)
    assert ratio.verdict == NOT_COMPARABLE, "quick looks at other images"
    (claim,) = slr.claims
    assert claim.printed is not None
    plain = dataclasses.replace(slr, claims=(dataclasses.replace(claim, printed=PrintedGain(claim.printed.system)),))
    assert compare_gains(plain, both(0.005827, 0.007763, recipe="slr", **names))[0].verdict == MATCHES
    assert compare_gains(plain, both(0.004, 0.008, recipe="slr", **names))[0].verdict == LARGER  # a smaller ratio
    for better in (0.0056, 0.0058, 0.0062):  # a ratio and a percent of one result say the same
        assert len({gain.verdict for gain in compare_gains(plain, both(better, 0.007763, recipe="slr", **names))}) == 1


def test_a_gain_with_more_scatter_matches_more() -> None:
    better, worse = [0.0040, 0.0036, 0.0044], [0.0067, 0.0067, 0.0067]
    both = rows(better, recipe="qureshi", system="regression U-Net")
    both += rows(worse, recipe="qureshi", system="regression CNN")
    found = compare_gains(RECIPES["qureshi"], summarize(both))[0]
    assert found.values == pytest.approx([100 * (1 - value / 0.0067) for value in better])
    half = stats.t.ppf(0.975, 2) * stats.tstd(found.values) * math.sqrt(4 / 3)
    assert half > 100 * 0.02 * math.sqrt(2) and abs(found.mean - 43.75) < half and found.verdict == MATCHES
