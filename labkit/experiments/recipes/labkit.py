"""Our own recipes: decodings of one classifier, and the best colors for a few minutes of training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from labkit.experiments.recipes.shared import TOY
from labkit.experiments.schema import OWN, PROFILES, Claim, Decoding, Recipe, Setup, System
from labkit.options import FitSettings


def _decoded(system: str, *ways: str, **options: Any) -> tuple[Decoding, ...]:
    return tuple(Decoding(f"{system}, {way}", options | {"decode": way}) for way in ways)


_WIDER = {profile: {"network": {"width": 32}} for profile in PROFILES[1:]}  # at half resolution that takes no longer
_SMALL_UNETS = Setup(classes="horse", network={"width": 16}, fit=FitSettings(epochs=6, batch_size=32))
DECODINGS = Recipe(
    name="decodings",
    paper=OWN,
    line="one classifier under four decodings, and rebalancing with its weights divided out, beside regression",
    systems=(
        System("regression to RGB", "rgb", "unet"),
        System(
            "24 bins, mode",
            "rgb24",
            "unet",
            more=_decoded("24 bins", "mean", "annealed", "sample"),
        ),
        System(
            "313 bins, mean",
            "ab313",
            "unet-half",
            {"decode": "mean"},
            changes=_WIDER,
            more=_decoded("313 bins", "mode"),
        ),
        System(
            "313 bins rebalanced, mean",
            "ab313",
            "unet-half",
            {"decode": "mean", "rebalance": 0.5},
            changes=_WIDER,
            more=_decoded("313 bins rebalanced", "mode")
            + _decoded("313 bins rebalanced, divided out", "mean", "mode", divide_out=True),
        ),
    ),
    profiles={"test": TOY, **dict.fromkeys(PROFILES[1:], _SMALL_UNETS)},
    metrics=("mse", "psnr_mean", "ssim", "colorfulness"),
    claims=(
        Claim(
            "the mean beats the mode of the same classifier",
            "24 bins, mean",
            "24 bins, mode",
            varies="representation.decode",
        ),
        Claim(
            "regression beats classification by its mode",
            "regression to RGB",
            "24 bins, mode",
            paper="qureshi",
            varies="representation.name",
        ),
        Claim(
            "regression beats classification by its mean",
            "regression to RGB",
            "24 bins, mean",
            varies="representation.name",
            also=("representation.decode",),
        ),
        Claim(
            "rebalancing raises the error",
            "313 bins, mean",
            "313 bins rebalanced, mean",
            varies="representation.rebalance",
        ),
        Claim(
            "rebalancing raises it still with its weights divided out",
            "313 bins, mean",
            "313 bins rebalanced, divided out, mean",
            varies="representation.rebalance",
            also=("representation.divide_out",),
        ),
    ),
    differs="Small U-Nets, of 16 channels (313 bins: 32 at half resolution); no paper scores one classifier twice.",
)


def _quick_learner(name: str, network: str, width: int, before: int | Mapping[str, Any] = 0, **fit: Any) -> System:
    """Return a system; `before` says how it trains on all classes first: in so many epochs, or with what settings."""
    changes = {"network": {"width": width}, **fit}
    first = {"classes": None, **({"epochs": before} if isinstance(before, int) else before)}
    return System(
        name,
        "luma-chroma",
        network,
        changes={profile: changes for profile in PROFILES[1:]},
        before={profile: first for profile in PROFILES[1:]} if before else {},
        more=(Decoding(f"{name}, flip-averaged", flip_average=True),),
    )


_BEST = Setup(classes="horse", fit=FitSettings(batch_size=16))
_MUON: dict[str, Any] = {"optimizer": "muon", "learning_rate": 0.01}

LABKIT_BEST = Recipe(
    name="labkit-best",
    paper=OWN,
    line="the most color for a stated time: chroma alone over the exact luma, in small batches",
    systems=(
        _quick_learner("half resolution, 4 epochs", "unet-half", 24, epochs=4, batch_size=24, learning_rate=4e-3),
        _quick_learner("full resolution, 8 epochs", "unet", 32, epochs=8, learning_rate=2e-3),
        _quick_learner(
            "full resolution, 1 epoch of all classes, 6 of horses", "unet", 32, before=1, epochs=6, learning_rate=2e-3
        ),
        _quick_learner("full resolution, 1 epoch, Muon", "unet", 16, epochs=1, **_MUON),
        _quick_learner("full resolution, 3 epochs, Muon", "unet", 24, epochs=3, **_MUON),
        _quick_learner("full resolution, 3 epochs, AdamW", "unet", 24, epochs=3, learning_rate=0.01),
        _quick_learner("full resolution, 5 epochs, Muon", "unet", 24, epochs=5, **_MUON),
        _quick_learner(
            "full resolution, 3 epochs of all classes, 4 of horses, Muon",
            "unet",
            32,
            before=_MUON | {"epochs": 3, "batch_size": 32},
            epochs=4,
            **_MUON | {"learning_rate": 4e-3},
        ),
    ),
    profiles={"test": TOY, "quick": _BEST, "course": _BEST, "gpu": _BEST},
    metrics=("mse", "mae", "psnr_mean", "ssim"),
    claims=(
        Claim(
            "an epoch of all classes first helps on horses (and takes twice the steps)",
            "full resolution, 1 epoch of all classes, 6 of horses",
            "full resolution, 8 epochs",
            varies="before",
            also=("fit.epochs",),
        ),
        Claim(
            "Muon learns more than AdamW in three epochs, at one learning rate",
            "full resolution, 3 epochs, Muon",
            "full resolution, 3 epochs, AdamW",
            varies="optimizer",
        ),
        Claim(
            "averaging with the mirrored image's colors helps",
            "full resolution, 8 epochs, flip-averaged",
            "full resolution, 8 epochs",
            varies="decoding.flip_average",
        ),
    ),
    differs="Beside the published U-Net's MSE of .0038 after 40 epochs. Batch, rate, width and optimizer were chosen "
    "on the 483 validation horses (with Muon by one seed); the test horses decided nothing.",
)
