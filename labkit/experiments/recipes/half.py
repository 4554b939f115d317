"""The recipe of half-resolution chroma: what it saves, what it costs, and what any such network must lose."""

from __future__ import annotations

from dataclasses import replace

from labkit.experiments.recipes.shared import HORSES, ONE_CYCLE, TOY
from labkit.experiments.schema import OWN, PROFILES, Claim, Decoding, Recipe, System

_HALF = {"output_stride": 2}
_QUICK = replace(HORSES, network={"width": 16}, fit=replace(ONE_CYCLE, epochs=4, learning_rate=4e-3))
_FULL = replace(HORSES, network={"width": 64}, fit=replace(ONE_CYCLE, epochs=20))
_PROFILES = {"test": TOY, "quick": _QUICK, "course": _FULL, "gpu": _FULL}
_WIDE = {name: {"network": {"width": 2 * _PROFILES[name].network["width"]}} for name in PROFILES[1:]}
HALF = Recipe(
    name="half",
    paper=OWN,
    line="chroma at full and at half resolution, everything else equal, and the floor of half resolution",
    systems=(
        System(
            "full resolution",
            "luma-chroma",
            "unet",
            more=(Decoding("full resolution, colors averaged over 2x2", coarse=2),),
        ),
        System("half resolution", "luma-chroma", "unet", network_options=_HALF),
        System(
            "half resolution, twice as wide",
            "luma-chroma",
            "unet",
            network_options=_HALF,
            changes=_WIDE,
        ),
        System(
            "half resolution, the inner levels",
            "luma-chroma",
            "unet",
            network_options=_HALF | {"depth": 2},
            changes=_WIDE,
        ),
        System(
            "half resolution, twice as wide, twice the epochs",
            "luma-chroma",
            "unet",
            network_options=_HALF,
            changes={name: more | {"epochs": 2 * _PROFILES[name].fit.epochs} for name, more in _WIDE.items()},
        ),
    ),
    profiles=_PROFILES,
    metrics=("mse", "mae", "psnr_mean", "ssim", "floor of averages", "floor of best colors"),
    floors=True,
    claims=(
        Claim(
            "full resolution beats half, everything else equal",
            "full resolution",
            "half resolution",
            varies="network.output_stride",
        ),
        Claim(
            "averaging the full network's colors over 2x2 costs",
            "full resolution",
            "full resolution, colors averaged over 2x2",
            varies="decoding.coarse",
        ),
        Claim(
            "full resolution beats its inner levels alone",
            "full resolution",
            "half resolution, the inner levels",
            varies="network.output_stride",
            also=("network.depth", "network.width"),
        ),
        Claim(
            "full resolution beats half at twice the width",
            "full resolution",
            "half resolution, twice as wide",
            varies="network.output_stride",
            also=("network.width",),
        ),
        Claim(
            "full resolution beats half at twice the width and epochs",
            "full resolution",
            "half resolution, twice as wide, twice the epochs",
            varies="network.output_stride",
            also=("network.width", "fit.epochs"),
        ),
    ),
    differs="Small U-Nets (quick: 16 channels, 4 epochs). The floors are what any network must lose that predicts "
    "chroma at half resolution and upsamples it bilinearly: with the true colors averaged over 2x2 pixels, and with "
    "the best coarse colors, found by gradient descent through the decoder.",
)
