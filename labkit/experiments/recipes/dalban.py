"""Recipes of Dalban: RGB, LAB and 676 bins on photographs, and scores by class of object."""

from __future__ import annotations

from dataclasses import replace

from labkit.experiments.recipes.shared import MEAN, ONE_CYCLE, TOY
from labkit.experiments.recipes.zhuang import FORTY_THOUSAND, FORTY_THOUSAND_FULL, SIMPLE
from labkit.experiments.schema import PROFILES, Claim, Decoding, Printed, PrintedGain, Recipe, Setup, System
from labkit.options import FitSettings

_PEXELS = dict.fromkeys(PROFILES, "the paper's photographs (Pexels) are not public; another folder stands in")
_CNN_4M = {"network": {"width": 64}}  # 4.31M parameters, the paper says 4.3M
_UNET_4M = {"depth": 4}  # at width 48: 4.38M parameters, the paper says 4.5M
_UNET_20M = {"depth": 5}  # at width 52: 20.7M, the paper says 20.5M
_PHOTOS = Setup("folder", "flowers17", size=64, min_saturation=20 / 255)
_LARGE = {"size": 512, "batch_size": 16, "network": {"width": 52}}


def _dalban(name: str) -> Printed:
    return Printed("results", name, _PEXELS)


DALBAN = Recipe(
    name="dalban",
    paper="dalban",
    line="CNN, U-Net RGB, U-Net LAB and 676 ab bins, MSE and L1 mixed, on a folder of photographs",
    systems=(
        System(
            "CNN baseline",
            "rgb",
            "cnn-plain",
            {"alpha": 0.7},
            changes={"course": _CNN_4M, "gpu": _CNN_4M},
            printed=_dalban("CNN baseline"),
        ),
        System("U-Net RGB", "rgb", "unet", {"alpha": 0.7}, _UNET_4M, printed=_dalban("U-Net RGB")),
        System("U-Net RGB, alpha .5", "rgb", "unet", {"alpha": 0.5}, _UNET_4M),
        System("U-Net RGB, alpha .3", "rgb", "unet", {"alpha": 0.3}, _UNET_4M),
        System("U-Net LAB, as small", "lab", "unet", {"alpha": 0.7}, _UNET_4M),
        System(
            "U-Net LAB",
            "lab",
            "unet",
            {"alpha": 0.5},
            _UNET_20M,
            changes={"gpu": _LARGE | {"epochs": 15}},
            printed=_dalban("U-Net LAB"),
        ),
        System(
            "U-Net classification",
            "ab676",
            "unet",
            {"decode": "mode", "rebalance": 0.5},
            _UNET_20M,
            changes={"quick": {"epochs": 4}, "gpu": _LARGE},
            printed=_dalban("U-Net classification"),
            more=(Decoding("U-Net classification, by mean", MEAN),),
        ),
    ),
    profiles={
        "test": TOY,
        "quick": replace(_PHOTOS, network={"width": 16}, fit=replace(ONE_CYCLE, batch_size=16)),
        "course": replace(
            _PHOTOS, size=96, network={"width": 48}, fit=FitSettings(epochs=20, batch_size=32, learning_rate=1e-3)
        ),
        "gpu": replace(
            _PHOTOS, size=96, network={"width": 48}, fit=FitSettings(epochs=20, batch_size=64, learning_rate=1e-3)
        ),
    },
    metrics=("mse", "psnr_mean", "ssim", "colorfulness"),
    claims=(
        Claim(
            "skips raise PSNR",
            "U-Net RGB",
            "CNN baseline",
            "psnr_mean",
            paper="dalban",
            printed=PrintedGain("U-Net RGB", _PEXELS),
            varies="network.name",
            also=("network.depth", "network.width", "the rest of the architecture"),
        ),
        Claim(
            "LAB output is more colorful, size and network equal",
            "U-Net LAB, as small",
            "U-Net RGB",
            "colorfulness",
            paper="dalban",
            varies="representation.name",
            also=("the color space of the loss",),
        ),
        Claim(
            "LAB raises PSNR, size and network equal",
            "U-Net LAB, as small",
            "U-Net RGB",
            "psnr_mean",
            varies="representation.name",
            also=("the color space of the loss",),
        ),
        Claim(
            "more L1 makes more colorful pictures",
            "U-Net RGB, alpha .3",
            "U-Net RGB",
            "colorfulness",
            paper="dalban",
            varies="representation.alpha",
        ),
        Claim(
            "classification is more colorful than regression",
            "U-Net classification",
            "U-Net LAB",
            "colorfulness",
            paper="dalban",
            varies="representation.name",
            also=("representation.decode", "representation.rebalance", "representation.alpha", "fit.epochs"),
        ),
        Claim(
            "regression has the better PSNR",
            "U-Net LAB",
            "U-Net classification",
            "psnr_mean",
            paper="dalban",
            varies="representation.name",
            also=("representation.decode", "representation.rebalance", "representation.alpha", "fit.epochs"),
        ),
    ),
    differs="The paper's photographs are not public: a folder flowers17 under the data root stands in, else the "
    "photographs that lie there. gpu follows its sizes (96 and 512 pixels) and nearly its parameters: 4.31M, 4.38M, "
    "20.7M. Its PSNR formula is not said to be a mean over images; ours is.",
)

BY_CLASS = Recipe(
    name="by-class",
    paper="dalban",
    line="skill and color bias by class of object: which things have a color that gray tells?",
    systems=(
        System("simple, UV", "yuv", "unet", {}, SIMPLE),
        System("simple, RGB", "rgb", "unet", {}, SIMPLE),
    ),
    profiles={"test": TOY, "quick": FORTY_THOUSAND, "course": FORTY_THOUSAND_FULL, "gpu": FORTY_THOUSAND_FULL},
    metrics=(
        "mse",
        "a bias",
        "b bias",
        *(f"skill {name}" for name in ("deer", "frog", "horse", "automobile", "truck")),
    ),
    by_class=True,
    claims=(
        Claim(
            "animals of few colors (deer) are predicted better than cars",
            "simple, UV",
            "simple, UV",
            "skill deer",
            "skill automobile",
        ),
        Claim(
            "ships, on blue water, better than trucks",
            "simple, UV",
            "simple, UV",
            "skill ship",
            "skill truck",
        ),
    ),
    differs="The paper names grass, sky and skin as easy, walls and clothing as hard, by eye; here CIFAR-10's "
    "classes, by our numbers, with Zhuang's simple U-Net, 40,000 training and 10,000 test images.",
)
