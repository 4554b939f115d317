"""Claims: what may be compared, what the interval decides, and in which setting."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from measured_rows import ROW, rows

from labkit import LabkitError
from labkit.experiments import claims as module  # its test_claim would be collected as a test
from labkit.experiments import measured as measured_package
from labkit.experiments import per_image
from labkit.experiments.claims import (
    CONTRADICTED,
    NOT_COMPARABLE,
    SUPPORTED,
    UNDECIDED,
    ClaimResult,
    claims_of,
    claims_table,
    measured_claims,
)
from labkit.experiments.comparability import differences, kind, perfect_score
from labkit.experiments.intervals import confidence_margin
from labkit.experiments.measured import Measured, merge, summarize
from labkit.experiments.recipes import RECIPES
from labkit.experiments.schema import PROFILES, Claim, Decoding, Recipe, Setup, System
from labkit.metrics import KID_NAME

A, B = "skips", "no skips"
CLAIM = Claim("skips help", A, B, varies="network.name")
GAN_OPTIONS = {"layers": 1, "width": 16, "lambda_l1": 100.0, "learning_rate": 2e-4}
RECIPE = Recipe(
    name="tiny",
    paper="qureshi",
    line="networks, bins and a GAN",
    systems=(
        System(A, "rgb", "unet"),
        System(B, "rgb", "cnn"),
        System("wider", "rgb", "unet", network_options={"width": 64}),
        System("bins", "rgb24", "unet", more=(Decoding("bins, mean", {"decode": "mean"}),)),
        System("draws", "rgb24", "unet", {"decode": "sample", "neighbors": 2}),
        System("GAN", "rgb", "unet", gan=GAN_OPTIONS),
    ),
    profiles={"quick": Setup(network={"width": 8}), "gpu": Setup(network={"width": 64})},
    claims=(CLAIM,),
    kid=True,
    paper_profiles=("gpu",),
)
GOOD, BAD = [0.0030, 0.0032, 0.0031], [0.0040, 0.0043, 0.0041]  # of gray's .006


def measured_as(values: dict[str, list[float]], metric: str = "mse", **changes: Any) -> list[Measured]:
    return summarize(
        row
        for name, found in values.items()
        for row in rows(found, recipe="tiny", system=name, metric=metric, **changes)
    )


def result_of(better: list[float], worse: list[float], claim: Claim = CLAIM, **changes: Any) -> ClaimResult:
    found = module.test_claim(RECIPE, claim, measured_as({claim.better: better, claim.worse: worse}, **changes))
    assert found is not None
    return found


def test_the_interval_decides() -> None:
    result = result_of(GOOD, BAD)
    assert result.verdict == result.explained == SUPPORTED
    assert result.gain == pytest.approx(0.0031 / 3) and result.margin == pytest.approx(
        confidence_margin([0.0010, 0.0011, 0.0010])
    )
    assert result_of(BAD, GOOD).verdict == CONTRADICTED
    assert result_of(GOOD, [0.0033, 0.0030, 0.0032]).explained == UNDECIDED
    far = [dataclasses.replace(ROW, recipe="tiny", system=B, seed=7)]
    alone = rows(GOOD, recipe="tiny", system=A)
    assert module.test_claim(RECIPE, CLAIM, summarize(alone)) is None
    assert module.test_claim(RECIPE, CLAIM, summarize(alone + far)) is None, "no seed in common"


def test_one_seed_is_undecided() -> None:
    result = result_of(GOOD[:1], BAD[:1])
    assert result.verdict == UNDECIDED and result.explained == "undecided: one seed"


def test_the_test_profile_compares_nothing() -> None:
    recipe = dataclasses.replace(RECIPE, profiles={**RECIPE.profiles, "test": Setup("toyworld")})
    result = module.test_claim(recipe, CLAIM, measured_as({A: GOOD, B: BAD}, profile="test"))
    assert result is not None and result.explained == "not comparable: the test profile"


def test_a_confounded_pair_is_refused() -> None:
    confounded = Claim("skips help", "wider", B, varies="network.name")
    result = result_of(GOOD, BAD, confounded)
    assert result.verdict == NOT_COMPARABLE and result.explained == "not comparable: also differs: network.width"
    listed = dataclasses.replace(confounded, also=("network.width", "the weather"))
    assert result_of(GOOD, BAD, listed).verdict == SUPPORTED
    (row,) = claims_table([result_of(GOOD, BAD, listed)])
    assert row["also differs"] == "network.width, the weather"
    (row,) = claims_table([result_of(GOOD, BAD, dataclasses.replace(CLAIM, also=("network.width",)))])
    assert row["also differs"] == "", "what is listed but equal here is not said"
    unnamed = dataclasses.replace(CLAIM, varies="")
    assert result_of(GOOD, BAD, unnamed).explained == "not comparable: also differs: network.name"


@pytest.mark.parametrize(("better", "worse"), [(GOOD, [0.0061, 0.0060, 0.0062]), ([0.0061, 0.0060, 0.0062], GOOD)])
def test_a_regressor_below_gray_is_refused(better: list[float], worse: list[float]) -> None:
    result = result_of(better, worse)
    assert result.verdict == NOT_COMPARABLE
    assert result.explained == f"not comparable: below gray: {B if better is GOOD else A}"


def test_what_kind_of_decoding_has_to_beat_gray() -> None:
    """A mode and a draw may lose to gray, a mean may not."""
    names = (A, "bins", "bins, mean", "draws", "GAN")
    assert [kind(RECIPE, name) for name in names] == ["regression", "mode", "mean", "sample", "GAN"]
    worse = [0.0070, 0.0071, 0.0072]
    mode = Claim("regression beats the mode", A, "bins", varies="representation.name")
    mean = Claim(
        "regression beats the mean", A, "bins, mean", varies="representation.name", also=("representation.decode",)
    )
    assert result_of(GOOD, worse, mode).verdict == SUPPORTED
    assert result_of(GOOD, worse, mean).explained == "not comparable: below gray: bins, mean"


def test_an_epoch_is_compared_with_gray_by_its_own_error() -> None:
    watched = {name: dataclasses.replace(setup, hold_out=True) for name, setup in RECIPE.profiles.items()}
    epoch = dataclasses.replace(CLAIM, metric="validation mse, epoch 2")
    recipe = dataclasses.replace(RECIPE, profiles=watched, claims=(epoch,))
    found = measured_as({A: [0.005, 0.0051], B: [0.0062, 0.0063]}, metric=epoch.metric) + measured_as({A: GOOD, B: BAD})
    result = module.test_claim(recipe, epoch, found)
    assert result is not None and result.explained == f"not comparable: below gray: {B}"
    assert result.gain == pytest.approx(0.0012)


ADVERSARY = Claim(
    "the adversary adds color",
    "GAN",
    A,
    "colorfulness",
    varies="gan",
    also=("optimizer", "schedule", "fit.learning_rate"),
)


@pytest.mark.parametrize(
    ("errors", "colors", "distances", "said"),
    [
        ([0.0058, 0.0059, 0.0060], [30.0, 31.0, 32.0], [0.004] * 3, SUPPORTED),  # worse than gray's .006, nearly 2 Var
        ([0.0090, 0.0091, 0.0092], [30.0, 31.0, 32.0], [0.001] * 3, "costs more than a perfect sampler (0.0062)"),
        ([0.0058, 0.0059, 0.0060], [10.0, 11.0, 12.0], [0.009] * 3, "neither in colorfulness nor in KID"),
        ([0.0058, 0.0059, 0.0060], [10.0, 11.0, 12.0], [0.001] * 3, CONTRADICTED),  # KID alone says that it is trained
    ],
)
def test_when_a_gan_counts_as_trained(
    errors: list[float], colors: list[float], distances: list[float], said: str
) -> None:
    found = measured_as({"GAN": errors, A: GOOD, B: BAD})
    found += measured_as({"GAN": colors, A: [20.0, 21.0, 22.0]}, metric="colorfulness")
    found += measured_as({"GAN": distances, A: [0.005] * 3}, metric=KID_NAME)
    result = module.test_claim(RECIPE, ADVERSARY, found)
    assert result is not None and said in result.explained
    gan, best = found[0], found[1]
    assert perfect_score(RECIPE, gan, found) == pytest.approx(2 * best.mean)
    assert perfect_score(RECIPE, best, found) is None
    without = [row for row in found if row.system == "GAN"]
    assert perfect_score(RECIPE, gan, without) is None


def test_a_mode_is_marked_by_its_nearest_bins() -> None:
    (mode,) = measured_as({"bins": GOOD}, oracle=0.002)
    assert perfect_score(RECIPE, mode, [mode]) == pytest.approx(0.002)


def test_a_papers_claim_is_contradicted_only_in_its_own_setting() -> None:
    claim = dataclasses.replace(CLAIM, paper="qureshi")
    assert result_of(BAD, GOOD, claim).explained == "contradicted in our setting"
    assert result_of(BAD, GOOD, claim, profile="gpu").explained == CONTRADICTED
    anothers = dataclasses.replace(CLAIM, paper="dalban")  # the recipe follows Qureshi's setting, not Dalban's
    assert result_of(BAD, GOOD, anothers, profile="gpu").explained == "contradicted in our setting"
    assert result_of(BAD, GOOD).explained == CONTRADICTED, "a claim of our own is about our setting"
    assert result_of(GOOD, BAD, claim).explained == SUPPORTED


@pytest.mark.parametrize("metric", ["mae", "validation mse, epoch 2", KID_NAME])
def test_errors_are_better_when_lower(metric: str) -> None:
    result = result_of([0.1, 0.11], [0.2, 0.21], dataclasses.replace(CLAIM, metric=metric), metric=metric)
    assert result.gain == pytest.approx(0.1)
    higher = result_of([26.0, 26.1], [24.0, 24.1], dataclasses.replace(CLAIM, metric="psnr_mean"), metric="psnr_mean")
    assert higher.gain == pytest.approx(2)


def test_two_metrics_of_one_decoding() -> None:
    claim = Claim("green is right more often than red", A, A, "accuracy green", "accuracy red")
    both = measured_as({A: [0.5, 0.52]}, "accuracy green") + measured_as({A: [0.4, 0.41]}, "accuracy red")
    result = module.test_claim(RECIPE, claim, both)
    assert result is not None and result.gain == pytest.approx(0.105) and not result.refused
    assert claims_table([result])[0]["metric"] == "accuracy green against accuracy red"


# Scores by image


def by_image(names: tuple[str, ...], metric: str, noise: float, count: int = 400) -> per_image.Scores:
    generator = np.random.default_rng(0)
    return {(name, metric, seed): generator.normal(scale=noise, size=count) for name in names for seed in range(3)}


def test_the_choice_of_images_widens_the_interval() -> None:
    found = measured_as({A: GOOD, B: BAD})
    alone = module.test_claim(RECIPE, CLAIM, found)
    narrow, wide = (module.test_claim(RECIPE, CLAIM, found, by_image((A, B), "mse", noise)) for noise in (1e-6, 0.02))
    assert alone and narrow and wide
    assert not alone.with_images and narrow.with_images
    assert narrow.margin == pytest.approx(alone.margin, rel=1e-3) and narrow.verdict == SUPPORTED
    expected = np.hypot(alone.margin, 1.96 * 0.02 * np.sqrt(2 / 3 / 400))  # two sides, three seeds, 400 images
    assert wide.margin == pytest.approx(expected, rel=0.1) and wide.verdict == UNDECIDED
    assert [row["margin over"] for row in claims_table([alone, wide])] == ["seeds only", "seeds and images"]


def test_scores_by_image_that_do_not_fit_are_not_used() -> None:
    found = measured_as({A: GOOD, B: BAD})
    kept = by_image((A, B), "mse", 0.02)
    one_missing = {key: kept[key] for key in kept if key != (B, "mse", 2)}
    other_images = kept | {(B, "mse", seed): np.zeros(300) for seed in range(3)}
    for scores in ({}, one_missing, other_images):
        result = module.test_claim(RECIPE, CLAIM, found, scores)
        assert result is not None and not result.with_images


def test_skill_is_bootstrapped_as_a_ratio() -> None:
    claim = dataclasses.replace(CLAIM, metric="skill")
    found = measured_as({A: [0.5, 0.51, 0.49], B: [0.3, 0.31, 0.29]}, metric="skill")
    gray = np.linspace(0.004, 0.008, 400)
    scores: per_image.Scores = {}
    for seed in range(3):
        for name, part in ((A, 0.5), (B, 0.7)):
            scores[name, "mse", seed], scores[name, per_image.GRAY_MSE, seed] = part * gray, gray
    result = module.test_claim(RECIPE, claim, found, scores)
    alone = module.test_claim(RECIPE, claim, found)
    assert result and alone and result.with_images
    assert result.margin == pytest.approx(alone.margin, abs=1e-9), "skill is the same on every set of these images"


def test_scores_by_image_survive_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measured_package, "folder", lambda: tmp_path)
    assert per_image.read("tiny", "quick") == {}
    path = tmp_path / "per_image" / "tiny.quick.npz"
    per_image.merge(path, {("skips, at 64", "mse", 0): np.array([0.004, 0.25]), (B, "mse", 1): np.array([1.0])})
    per_image.merge(path, {(B, "mse", 1): np.array([2.0, 3.0])})
    kept = per_image.read("tiny", "quick")
    assert list(kept) == [("skips, at 64", "mse", 0), (B, "mse", 1)]
    assert kept["skips, at 64", "mse", 0] == pytest.approx([0.004, 0.25], rel=1e-3)
    assert kept[B, "mse", 1].tolist() == [2.0, 3.0]
    assert path.stat().st_size < 1000
    path.write_bytes(b"PK, but no more")
    with pytest.raises(LabkitError, match=r"tiny\.quick\.npz: not a file of scores by image"):
        per_image.read("tiny", "quick")


# Tables


def test_many_claims_are_held_to_a_false_discovery_rate() -> None:
    weak = ([0.0030, 0.0036, 0.0033], [0.0035, 0.0043, 0.0037])
    alone = result_of(*weak)
    assert alone.verdict == SUPPORTED and claims_table([alone])[0]["holds among all"] == "yes"
    crowd = [alone] + [result_of(GOOD, [0.0033, 0.0030, 0.0032]) for _ in range(9)]
    table = claims_table(crowd)
    assert table[0]["holds among all"] == "no" and table[0]["adjusted p"] == pytest.approx(10 * alone.p_value, rel=0.01)
    assert table[1]["holds among all"] == "", "undecided anyway"
    refused = claims_table([alone] + [result_of(GOOD, BAD, dataclasses.replace(CLAIM, varies="")) for _ in range(9)])
    assert refused[0]["holds among all"] == "yes" and refused[1]["adjusted p"] is None


def test_claims_of_the_largest_profile_are_tabled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = dataclasses.replace(RECIPES["skips"], claims=RECIPES["skips"].claims[:1])
    monkeypatch.setattr(measured_package, "folder", lambda: tmp_path)
    assert measured_claims(recipe) == []
    better, worse = recipe.claims[0].better, recipe.claims[0].worse
    for profile, values in (("quick", [0.5, 0.6]), ("course", [0.1, 0.2])):
        both = rows(values, system=better, recipe="skips", profile=profile, gray=0.9)
        both += rows([value + 0.3 for value in values], system=worse, recipe="skips", profile=profile, gray=0.9)
        merge(tmp_path / f"skips.{profile}.csv", both)
    (claim,) = claims_table(measured_claims(recipe))
    assert claim["should be better"] == "rgb, skips: 0.15" and claim["than"] == "rgb, no skips: 0.45"
    assert claim["gain"] == pytest.approx(0.3) and claim["verdict"] == SUPPORTED
    assert (claim["seeds"], claim["images"]) == (2, 1000)
    assert {k: claim[k] for k in ("claim", "said by", "gain", "verdict")}.items() <= claims_of("skips")[0].items()
    assert claims_of("skips", about=("predicts", "never")) == claims_of("skips")
    assert claims_of("skips", about=("UV",)) == [] and claims_of("slr") == []


# What the recipes claim

EVERY = [
    pytest.param(recipe, claim, id=f"{recipe.name}: {claim.claim}")
    for recipe in RECIPES.values()
    for claim in recipe.claims
]


@pytest.mark.parametrize(("recipe", "claim"), EVERY)
def test_a_claim_says_what_differs(recipe: Recipe, claim: Claim) -> None:
    found = {profile: differences(recipe, claim, profile) for profile in PROFILES[1:]}
    named = (claim.varies, *claim.also)
    if claim.better == claim.worse:
        assert not claim.varies and set(found.values()) == {()}
        return
    unnamed = {name for names in found.values() for name in names} - set(named)
    assert not unnamed
    for name in named:  # nothing is listed that never differs; sentences are for what no setting shows
        assert " " in name or any(name in names for names in found.values())
    assert " " not in claim.varies and all(claim.varies in names for names in found.values())


def test_a_generator_alone_is_a_regression_and_bins_are_decoded_as_they_say() -> None:
    gan, bins = RECIPES["cnn-vs-gan"], RECIPES["bins"]
    assert kind(gan, "C-DCGAN") == "GAN" and kind(gan, "generator alone, L1") == "regression"
    assert differences(gan, Claim("", "C-DCGAN", "generator alone, L1"), "quick") == ("gan.lambda_gan",)
    assert [kind(bins, f"12 RGB bins, {way}") for way in ("mean", "mode", "rounded")] == ["mean", "mode", "rounded"]
    assert kind(bins, "regression to ab") == "regression"


def test_equal_trainings_do_not_differ() -> None:
    for recipe in RECIPES.values():
        for system in recipe.systems:
            claim = Claim("same", system.name, system.name, "mse", "mae")
            assert differences(recipe, claim, "quick") == ()
