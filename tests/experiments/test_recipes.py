"""The papers' experiments as data: complete, buildable, with the papers' parameter counts, and each one learns."""

import dataclasses
import json
import math
from typing import Any

import pytest
import torch

from labkit import LabkitError
from labkit.data import load
from labkit.experiments.printed import DIFFERENCE, PERCENT, PRINTED_AS, RATIO, compare_gains, printed_value
from labkit.experiments.published import PAPERS, published
from labkit.experiments.recipes import RECIPES, find_recipes
from labkit.experiments.reproduce import make_colorizer
from labkit.experiments.schema import (
    FULL_CPU,
    OWN,
    PROFILES,
    Claim,
    Decoding,
    Printed,
    PrintedGain,
    Recipe,
    Setup,
    System,
)
from labkit.models import count_parameters, make_network
from labkit.options import FitSettings
from labkit.representation import make_representation
from labkit.training.gan import discriminator_for, fit_gan

EACH = [pytest.param(recipe, id=recipe.name) for recipe in RECIPES.values()]
ALL = [(recipe, system) for recipe in RECIPES.values() for system in recipe.systems]


def parameters(recipe: Recipe, system: System, profile: str) -> int:
    training = recipe.training(system, profile, 0)
    space, network = dict(training["representation"]), dict(training["network"])
    channels = make_representation(space.pop("name"), **space).channels
    with torch.device("meta"):
        return count_parameters(make_network(network.pop("name"), channels, **network))


@pytest.mark.parametrize("recipe", EACH)
def test_a_recipe_is_complete(recipe: Recipe) -> None:
    assert tuple(profile for profile in recipe.profiles if profile != FULL_CPU) == PROFILES
    assert recipe.paper in (*PAPERS, OWN) and recipe.line
    for claim in recipe.claims:
        assert (claim.better, claim.metric) != (claim.worse, claim.worse_metric or claim.metric)
    assert len({claim.claim for claim in recipe.claims}) == len(recipe.claims), (
        "tables tell claims apart by their words"
    )
    for profile in PROFILES[1:]:
        trainings = [json.dumps(recipe.training(system, profile, 0), sort_keys=True) for system in recipe.systems]
        assert len(set(trainings)) == len(trainings), "two systems are the same training"
        assert [parameters(recipe, system, profile) for system in recipe.systems]  # every network can be made
    for system in recipe.systems:
        for decoding in system.decodings:
            make_representation(system.representation, **{**system.representation_options, **decoding.options})
            if decoding.printed:
                assert any(printed_value(recipe, decoding.printed, metric) is not None for metric in recipe.metrics)


def test_the_papers_numbers_are_found() -> None:
    qureshi = RECIPES["qureshi"]
    printed = {s.name: printed_value(qureshi, s.printed, "psnr_mean") for s in qureshi.systems}
    assert printed == {
        "regression CNN": 22.56,
        "regression U-Net": 26.04,
        "classification CNN": 22.07,
        "classification U-Net": 23.79,
        "ours: luma-chroma U-Net": None,
    }
    assert printed_value(qureshi, qureshi.systems[0].printed, "psnr_pooled") is None  # not what the paper prints
    assert printed_value(RECIPES["slr"], RECIPES["slr"].systems[1].printed, "mse") == 0.005827


def test_every_printed_score_is_compared() -> None:
    """Each MSE, MAE, PSNR and SSIM of the papers, and each gain in one of them, meets a number of ours."""
    met = set()
    for recipe in RECIPES.values():
        for printed in (decoding.printed for decoding in recipe.decodings):
            for metric, word in PRINTED_AS.items():
                if printed and printed_value(recipe, printed, metric) is not None:
                    met.add((recipe.paper, printed.system, word))
        for gain, claim in ((gain, c) for c in recipe.claims if c.printed for gain in compare_gains(recipe, [])):
            met.add((recipe.paper, claim.printed.system, gain.metric))
    scores = [word + kind for word in PRINTED_AS.values() for kind in ("", RATIO, PERCENT, DIFFERENCE)]
    asked = {(row.paper, row.system, row.metric) for row in published() if row.value is not None}
    assert {row for row in asked if row[2] in scores} <= met


def test_the_papers_parameter_counts() -> None:
    counts = {(r.name, s.name): parameters(r, s, "gpu") for r, s in ALL}
    assert counts["qureshi", "regression CNN"] == 1_700_355
    assert counts["qureshi", "regression U-Net"] == 1_884_675
    assert counts["qureshi", "classification CNN"] == 1_516_824
    assert counts["qureshi", "classification U-Net"] == 1_886_040
    assert counts["slr", "printed, baseline"] == counts["slr", "corrected, identity only"] == 625_858
    assert counts["slr", "corrected, hybrid"] == 628_936
    assert counts["dalban", "CNN baseline"] == pytest.approx(4.3e6, rel=0.02)
    assert counts["dalban", "U-Net RGB"] == pytest.approx(4.5e6, rel=0.03)
    assert counts["dalban", "U-Net LAB"] == pytest.approx(20.5e6, rel=0.02)
    assert counts["skips", "rgb, skips"] == 1_884_675


def test_the_settings_of_a_run() -> None:
    recipe = RECIPES["qureshi"]
    unet = recipe.systems[1]
    training = recipe.training(unet, "gpu", 3)
    assert training["fit"]["epochs"] == 40 and training["fit"]["seed"] == 3
    assert training["network"] == {"name": "unet", "width": 64}
    assert training == json.loads(json.dumps(training)), "JSON types only"
    assert "patience" not in training["fit"], "settings at their default are left out"
    assert recipe.training(unet, "quick", 0)["fit"]["epochs"] == 8
    dalban = RECIPES["dalban"]
    lab = next(system for system in dalban.systems if system.name == "U-Net LAB")
    setup = dalban.setup(lab, "gpu")
    assert (setup.size, setup.fit.epochs, setup.fit.batch_size, setup.network["width"]) == (512, 15, 16, 52)
    with pytest.raises(TypeError, match="speed"):
        setup.changed({"speed": 2})


def test_recipes_are_found_by_name_and_by_paper() -> None:
    assert [recipe.name for recipe in find_recipes("skips")] == ["skips"]
    of_paper = ["skips", "qureshi", "qureshi-full", "qureshi-curves"]
    assert [recipe.name for recipe in find_recipes("qureshi")] == of_paper  # the paper has a recipe's name, too
    assert [recipe.name for recipe in find_recipes(["skips", "qureshi", "skips"])] == of_paper
    assert find_recipes("all") == list(RECIPES.values())
    with pytest.raises(LabkitError, match="unknown recipe 'skip': choose from recipes skips, qureshi"):
        find_recipes("skip")


def _once() -> list[object]:
    """Every system that differs from the others in the test profile."""
    seen: dict[str, object] = {}
    for recipe, system in ALL:
        training = recipe.training(system, "test", 0)
        key = json.dumps([training["representation"], training["network"], training.get("gan")], sort_keys=True)
        seen.setdefault(key, pytest.param(recipe, system, id=f"{recipe.name}: {system.name}"))
    return list(seen.values())


@pytest.mark.parametrize(("recipe", "system"), _once())
def test_twenty_steps_on_a_batch(recipe: Recipe, system: System) -> None:
    images = load("toyworld", "train", limit=8).images[..., ::2, ::2].contiguous()
    training = recipe.training(system, "test", 0)
    if "150" in system.name:
        pytest.skip("eight scenes have fewer than 150 colors")
    colorizer = make_colorizer(training, 0)
    loop = {"epochs": 20, "batch_size": 8, "flips": False, "device": "cpu", "precision": "float32"}
    if system.gan is None:
        # 20 steps are few: a constant rate that any of the networks survives
        history = colorizer.fit(images, **loop, learning_rate=0.02, progress=False)
        losses = [row["train_loss"] for row in history.rows]
        assert losses[-1] < 0.9 * losses[0]
    else:
        options = {**system.gan, "width": 4}
        space = colorizer.representation
        discriminator = discriminator_for(space, layers=1, width=options.pop("width"))
        options.pop("layers")
        played = fit_gan(colorizer.network, discriminator, space, images, **(loop | options), progress=False)
        assert all(math.isfinite(value) for row in played.rows for value in row.values())
    picture = colorizer(images)
    assert picture.shape == images.shape and float(picture.min()) >= 0 and float(picture.max()) <= 1


TINY = Recipe(
    name="tiny",
    paper="qureshi",
    line="a regression and a classification",
    systems=(System("regression", "rgb", "unet"), System("bins", "rgb24", "cnn")),
    profiles={"test": Setup(dataset="toyworld", hold_out=True, fit=FitSettings(epochs=2))},
    thresholds=(0.05,),
    claims=(Claim("regression beats bins", "regression", "bins"),),
)


def _with_system(**changes: Any) -> dict[str, Any]:
    return {"systems": (dataclasses.replace(TINY.systems[0], **changes), TINY.systems[1])}


def _with_claim(**changes: Any) -> dict[str, Any]:
    return {"claims": (dataclasses.replace(TINY.claims[0], **changes),)}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"paper": "quershi"}, "unknown paper 'quershi': expected one of qureshi, dalban"),
        ({"profiles": {"quik": Setup()}}, "unknown profile 'quik'"),
        ({"profiles": {"test": Setup("cifar")}}, "unknown data set 'cifar'"),
        ({"profiles": {"test": Setup(test_dataset="flowers")}}, "unknown data set 'flowers'"),
        ({"metrics": ("msee",)}, "unknown metric 'msee': expected one of mse, mae"),
        (_with_system(network="u-net"), "unknown network 'u-net': expected one of cnn"),
        (_with_system(representation="no-such"), "unknown representation 'no-such': expected one of rgb"),
        (_with_system(changes={"quik": {}}), "unknown profile 'quik'"),
        (_with_system(before={"quik": {}}), "unknown profile 'quik'"),
        (_with_system(changes={"test": {"speed": 2}}), "speed"),
        (_with_system(more=(Decoding("bins"),)), "two decodings have the name 'bins'"),
        (_with_system(printed=Printed("3", "regression V-Net")), "system 'regression V-Net': choose from"),
        (_with_system(printed=Printed("6", "regression U-Net")), "no published row has table '6' and system"),
        (_with_system(printed=Printed("3", "regression U-Net", {"quik": "why"})), "unknown profile 'quik'"),
        (_with_claim(worse="bin"), "unknown decoding of the claim 'regression beats bins': 'bin'"),
        (_with_claim(metric="KID (labkit features)"), "unknown metric 'KID"),  # kid=False
        (_with_claim(metric="accuracy 0.1"), "unknown metric 'accuracy 0.1'"),
        (_with_claim(metric="validation mse, epoch 3"), "unknown metric 'validation mse, epoch 3'"),
        (_with_claim(worse_metric="skill deer"), "unknown metric 'skill deer'"),
        (_with_claim(paper="zhang"), "unknown paper of the claim"),
        (_with_system(more=(Decoding("a|b"),)), r"the name 'a\\|b' holds a \\|"),
        ({"paper_profiles": ("full",)}, "unknown profile 'full'"),
        (_with_claim(printed=PrintedGain("U-Net over CNN")), "system 'U-Net over CNN'"),
        (_with_claim(printed=PrintedGain("regression U-Net", {"quik": "why"})), "unknown profile 'quik'"),
    ],
)
def test_a_reference_that_leads_nowhere_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(LabkitError, match=f"recipe 'tiny': .*{message}"):
        dataclasses.replace(TINY, **changes)


@pytest.mark.parametrize(
    "metric", ["psnr_pooled", "skill", "accuracy 0.05 red", "validation mse, epoch 2", "validation right bins, epoch 1"]
)
def test_what_a_recipe_measures(metric: str) -> None:
    assert TINY.measures(metric) and dataclasses.replace(TINY, **_with_claim(metric=metric))


def test_no_recipe_can_be_changed_by_mistake() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        RECIPES["skips"].line = "another"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Setup(size=0), "size must be a whole number of 1 or more. Got 0"),
        (lambda: Setup(limit=-1), "limit must be a whole number of 1 or more. Got -1"),
        (lambda: Setup(min_saturation=2), "min_saturation must be a number from 0 to 1. Got 2"),
        (lambda: Decoding("large", size=0), "size must be a whole number of 1 or more. Got 0"),
    ],
)
def test_numbers_out_of_range_are_refused(make: Any, message: str) -> None:
    with pytest.raises(LabkitError, match=message):
        make()
