"""Recipes of Qureshi et al.: what skips carry, Tables 3 and 6, and the learning curves."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from labkit.experiments.recipes.shared import HORSES, HORSES_FULL, ONE_CYCLE, TOY
from labkit.experiments.schema import FULL_CPU, Claim, Decoding, Printed, PrintedGain, Recipe, System

SKIPS = Recipe(
    name="skips",
    paper="qureshi",
    line="the same encoder-decoder with and without skips, predicting RGB or only the chroma: what do skips carry?",
    systems=(
        System("rgb, no skips", "rgb", "cnn", printed=Printed("3", "regression CNN")),
        System("rgb, skips", "rgb", "unet", printed=Printed("3", "regression U-Net")),
        System("luma-chroma, no skips", "luma-chroma", "cnn"),
        System("luma-chroma, skips", "luma-chroma", "unet"),
    ),
    profiles={"test": TOY, "quick": HORSES, "course": HORSES_FULL, "gpu": HORSES_FULL},
    metrics=("mse", "mae", "psnr_mean", "ssim"),
    claims=(
        Claim(
            "skips help when the network predicts RGB",
            "rgb, skips",
            "rgb, no skips",
            paper="qureshi",
            printed=PrintedGain("regression U-Net against CNN"),
            varies="network.name",
        ),
        Claim(
            "skips help when luma is given",
            "luma-chroma, skips",
            "luma-chroma, no skips",
            varies="network.name",
        ),
        Claim(
            "chroma over the exact luma beats RGB, with skips",
            "luma-chroma, skips",
            "rgb, skips",
            varies="representation.name",
        ),
        Claim(
            "giving luma without skips beats RGB with skips",
            "luma-chroma, no skips",
            "rgb, skips",
            varies="representation.name",
            also=("network.name",),
        ),
    ),
    paper_profiles=("course", "gpu"),
    differs="Both networks have equal depth; in the paper's classification pair the U-Net is deeper as well.",
)


def _epochs(count: int) -> dict[str, dict[str, Any]]:
    """Return as many epochs as the paper trained, for the profiles that follow it."""
    return {"course": {"epochs": count}, "gpu": {"epochs": count}}


_SMALL_BATCHES = replace(HORSES, fit=replace(ONE_CYCLE, batch_size=16))  # in so few epochs more steps are worth more
QURESHI = Recipe(
    name="qureshi",
    paper="qureshi",
    line="regression and 24-color classification, encoder-decoder and U-Net, on the horses of CIFAR-10",
    systems=(
        System(
            "regression CNN",
            "rgb",
            "cnn",
            changes=_epochs(21),
            printed=Printed("3", "regression CNN"),
            more=(Decoding("regression CNN, at 64 pixels", size=64),),
        ),
        System(
            "regression U-Net",
            "rgb",
            "unet",
            changes=_epochs(40),
            printed=Printed("3", "regression U-Net"),
            more=(Decoding("regression U-Net, at 64 pixels", size=64),),
        ),
        System(
            "classification CNN",
            "rgb24",
            "cnn",
            network_options={"up_convolutions": 1},
            changes=_epochs(25),
            printed=Printed("6", "classification CNN"),
            more=(Decoding("classification CNN, by mean", {"decode": "mean"}),),
        ),
        System(
            "classification U-Net",
            "rgb24",
            "unet",
            changes=_epochs(22),
            printed=Printed("6", "classification U-Net"),
            more=(Decoding("classification U-Net, by mean", {"decode": "mean"}),),
        ),
        System("ours: luma-chroma U-Net", "luma-chroma", "unet", changes=_epochs(40)),
    ),
    profiles={"test": TOY, "quick": _SMALL_BATCHES, "course": HORSES_FULL, "gpu": HORSES_FULL},
    metrics=("mse", "mae", "psnr_mean", "psnr_pooled", "ssim"),
    claims=(
        *(
            Claim(
                f"U-Net beats CNN, {kind}",
                f"{kind} U-Net",
                f"{kind} CNN",
                paper="qureshi",
                printed=PrintedGain(f"{kind} U-Net against CNN"),
                varies="network.name",
                also=("fit.epochs",) if kind == "regression" else ("network.up_convolutions", "fit.epochs"),
            )
            for kind in ("regression", "classification")
        ),
        Claim(
            "regression beats classification by its mode",
            "regression U-Net",
            "classification U-Net",
            paper="qureshi",
            varies="representation.name",
            also=("fit.epochs",),
        ),
        Claim(
            "regression beats classification by its mean",
            "regression U-Net",
            "classification U-Net, by mean",
            varies="representation.name",
            also=("representation.decode", "fit.epochs"),
        ),
        Claim(
            "classification is more colorful than regression",
            "classification U-Net",
            "regression U-Net",
            "colorfulness",
            paper="qureshi",
            varies="representation.name",
            also=("fit.epochs",),
        ),
        Claim(
            "color learned at 32 pixels fits the same horses less well at 64",
            "regression U-Net",
            "regression U-Net, at 64 pixels",
            "skill",
            varies="decoding.size",
        ),
        Claim(
            "without skips it fits them better at 64",
            "regression CNN, at 64 pixels",
            "regression CNN",
            "skill",
            varies="decoding.size",
        ),
    ),
    paper_profiles=("course", "gpu"),
    differs="The paper stops early on a validation split and names no optimizer; here AdamW runs a one-cycle schedule "
    "over all 5,000 training horses, for the paper's epochs (quick: half its width, 8 epochs, and batches of 16, which "
    "score better on validation horses than 64 after so few epochs). Its PSNR is the mean over images. Its SSIM is not "
    "defined; at 32 x 32 pixels variants differ by up to .035.",
)

_EARLY = replace(HORSES_FULL, fit=replace(HORSES_FULL.fit, patience=6))
QURESHI_FULL = replace(
    QURESHI,
    name="qureshi-full",
    line="the same four systems at the paper's width and epochs, with early stopping, for over an hour of one core",
    systems=tuple(
        replace(system, changes={**system.changes, FULL_CPU: system.changes["gpu"]}) for system in QURESHI.systems[:4]
    ),
    profiles={**QURESHI.profiles, FULL_CPU: _EARLY},
    paper_profiles=("course", FULL_CPU, "gpu"),
    claims=QURESHI.claims,
    differs="full-cpu: the paper's width and at most its epochs; training stops when the loss on 483 held-out horses "
    "has not fallen for 6 epochs. The paper names no optimizer; here AdamW and one cycle.",
)

_WATCHED = replace(HORSES, hold_out=True, network={"width": 16}, fit=replace(ONE_CYCLE, epochs=8))
_WATCHED_FULL = replace(HORSES_FULL, hold_out=True)


QURESHI_CURVES = Recipe(
    name="qureshi-curves",
    paper="qureshi",
    line="MSE, MAE and right bins on held-out horses after every epoch: which network learns faster?",
    systems=tuple(
        System(name, representation, network)
        for name, representation, network in (
            ("regression CNN", "rgb", "cnn"),
            ("regression U-Net", "rgb", "unet"),
            ("classification CNN", "rgb24", "cnn"),
            ("classification U-Net", "rgb24", "unet"),
        )
    ),
    profiles={
        "test": replace(TOY, hold_out=True, fit=replace(TOY.fit, epochs=2)),
        "quick": _WATCHED,
        "course": _WATCHED_FULL,
        "gpu": _WATCHED_FULL,
    },
    claims=(
        *(
            Claim(
                f"lower validation error after {count} epochs, U-Net against CNN",
                "regression U-Net",
                "regression CNN",
                f"validation mse, epoch {number}",
                paper="qureshi",
                varies="network.name",
            )
            for count, number in (("two", 2), ("eight", 8))
        ),
        Claim(
            "more right bins after eight epochs, U-Net against CNN",
            "classification U-Net",
            "classification CNN",
            "validation right bins, epoch 8",
            varies="network.name",
        ),
    ),
    paper_profiles=("course", "gpu"),
    differs="483 of the 5,000 training horses are held out and scored after each epoch; nothing is chosen by them. "
    "quick: a quarter of the paper's width, 8 epochs.",
)
