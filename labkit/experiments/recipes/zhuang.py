"""Recipes of Zhuang: simple and complex U-Nets, RGB and UV output, one class against ten, and a sweep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from labkit.experiments.recipes.shared import HORSES, L1, ONE_CYCLE, TOY
from labkit.experiments.schema import FULL_CPU, Claim, Recipe, Setup, System

SIMPLE = {"depth": 4, "convolutions": 1, "output_activation": "tanh"}
_COMPLEX = SIMPLE | {"down": "strided", "up": "transposed"}
_DEEPER = {"depth": 5}  # at 256 pixels the paper adds a level
_ZHUANG_TOY = replace(TOY, network={"width": 4, "max_width": 16})
FORTY_THOUSAND = Setup(limit=40_000, network={"width": 32, "max_width": 128}, fit=replace(ONE_CYCLE, epochs=1))
FORTY_THOUSAND_FULL = replace(
    FORTY_THOUSAND, network={"width": 64, "max_width": 256}, fit=replace(ONE_CYCLE, epochs=20)
)


def _zhuang_systems(more: Mapping[str, Any]) -> tuple[System, ...]:
    return (
        System("simple, RGB", "rgb", "unet", {}, {**SIMPLE, **more}),
        System("simple, UV", "yuv", "unet", {}, {**SIMPLE, **more}),
        System("complex, RGB", "rgb", "unet", {}, {**_COMPLEX, **more}),
        System("complex, UV", "yuv", "unet", {}, {**_COMPLEX, **more}),
        System("simple, RGB, L1", "rgb", "unet", L1, {**SIMPLE, **more}),
        System("simple, UV, L1", "yuv", "unet", L1, {**SIMPLE, **more}),
    )


_ZHUANG_CLAIMS = (
    Claim(
        "UV output beats RGB output, simple U-Net",
        "simple, UV",
        "simple, RGB",
        paper="zhuang",
        varies="representation.name",
        also=("the color space of the loss",),
    ),
    Claim(
        "UV output beats RGB output, complex U-Net",
        "complex, UV",
        "complex, RGB",
        paper="zhuang",
        varies="representation.name",
        also=("the color space of the loss",),
    ),
    Claim(
        "the complex U-Net beats the simple one, RGB",
        "complex, RGB",
        "simple, RGB",
        varies="network.down",
        also=("network.up",),
    ),
    Claim(
        "L1 is more colorful than MSE, UV",
        "simple, UV, L1",
        "simple, UV",
        "colorfulness",
        paper="dalban",
        varies="representation.alpha",
    ),
)

ZHUANG = Recipe(
    name="zhuang",
    paper="zhuang",
    line="simple and complex U-Nets with tanh, RGB and UV output, MSE and L1, all scored as RGB on CIFAR-10",
    systems=_zhuang_systems({}),
    profiles={"test": _ZHUANG_TOY, "quick": FORTY_THOUSAND, "course": FORTY_THOUSAND_FULL, "gpu": FORTY_THOUSAND_FULL},
    metrics=("mse", "psnr_mean", "ssim", "colorfulness"),
    claims=_ZHUANG_CLAIMS,
    differs="40,000 training and 10,000 test images as in the paper. It prints no number, channels or epochs: 64 "
    "channels are our reading (quick: 32, 1 epoch). Its losses live in two color spaces; here all is scored as RGB.",
)

ZHUANG_FLOWERS = Recipe(
    name="zhuang-flowers",
    paper="zhuang",
    line="the same U-Nets, one level deeper, on photographs of flowers",
    systems=_zhuang_systems(_DEEPER),
    profiles={
        "test": _ZHUANG_TOY,
        "quick": Setup(
            "folder",
            "flowers17",
            size=64,
            network={"width": 32, "max_width": 256},
            fit=replace(ONE_CYCLE, epochs=5, batch_size=16),
        ),
        "course": Setup(
            "flowers102",
            size=128,
            network={"width": 64, "max_width": 512},
            fit=replace(ONE_CYCLE, epochs=20, batch_size=16),
        ),
        "gpu": Setup(
            "flowers102",
            size=256,
            network={"width": 64, "max_width": 512},
            fit=replace(ONE_CYCLE, epochs=50, batch_size=16),
        ),
    },
    metrics=ZHUANG.metrics,
    claims=_ZHUANG_CLAIMS,
    differs="quick: a folder flowers17 under the data root (else the photographs that lie there) at 64 pixels; gpu: "
    "Flowers102 at 256 pixels, as in the paper.",
)

_SIMPLE_PAIR = [system for system in ZHUANG.systems if system.name in ("simple, RGB", "simple, UV")]
ZHUANG_FULL = replace(
    ZHUANG,
    name="zhuang-full",
    line="the simple U-Net at 64 channels, RGB and UV output, for half an hour of one core",
    systems=tuple(_SIMPLE_PAIR),
    profiles={
        **ZHUANG.profiles,
        FULL_CPU: replace(FORTY_THOUSAND_FULL, limit=20_000, fit=replace(ONE_CYCLE, epochs=5)),
    },
    claims=_ZHUANG_CLAIMS[:1],
    differs="full-cpu: 20,000 of the 50,000 training images of CIFAR-10 and its 10,000 test images, 64 channels, "
    "5 epochs. The paper prints no number, channels or epochs.",
)

_TEN = {"classes": None, "limit": 40_000, "test_classes": "horse"}
ZHUANG_CLASSES = Recipe(
    name="zhuang-classes",
    paper="zhuang",
    line="one class against ten: a network trained on horses and one trained on everything, both scored on horses",
    systems=(
        System("trained on horses", "yuv", "unet", {}, SIMPLE),
        System(
            "trained on ten classes",
            "yuv",
            "unet",
            {},
            SIMPLE,
            changes={name: _TEN | {"epochs": count} for name, count in (("quick", 1), ("course", 10), ("gpu", 10))},
        ),
    ),
    profiles={
        "test": _ZHUANG_TOY,
        "quick": replace(HORSES, network=FORTY_THOUSAND.network),
        "course": replace(HORSES, network=FORTY_THOUSAND_FULL.network, fit=replace(ONE_CYCLE, epochs=80)),
        "gpu": replace(HORSES, network=FORTY_THOUSAND_FULL.network, fit=replace(ONE_CYCLE, epochs=80)),
    },
    metrics=ZHUANG.metrics,
    claims=(
        Claim(
            "training on one kind of object helps for that kind",
            "trained on horses",
            "trained on ten classes",
            paper="zhuang",
            varies="data.classes",
            also=("data.limit", "fit.epochs"),
        ),
    ),
    differs="Both networks take equally many steps. The paper compares flowers with CIFAR-10, by eye, at two sizes.",
)

_SWEEP = Setup(classes="horse", network={"width": 16}, fit=replace(ONE_CYCLE, epochs=4))
_SWEEP_FULL = replace(_SWEEP, network={"width": 64}, fit=replace(ONE_CYCLE, epochs=20))


def _swept(name: str, network: Mapping[str, Any] | None = None, **fit: Any) -> System:
    changes = {profile: fit for profile in ("quick", "course", "gpu")}
    return System(name, "yuv", "unet", {}, {**SIMPLE, **(network or {})}, changes)


ZHUANG_SWEEP = Recipe(
    name="zhuang-sweep",
    paper="zhuang",
    line="dropout, batch size, learning rate and depth, one changed at a time, on the horses",
    systems=(
        _swept("base: no dropout, batch 64, rate .002, depth 4"),
        _swept("dropout .25", {"dropout": 0.25}),
        _swept("dropout .5", {"dropout": 0.5}),
        _swept("batch 16", batch_size=16),
        _swept("batch 256", batch_size=256),
        _swept("rate .0005", learning_rate=5e-4),
        _swept("rate .008", learning_rate=8e-3),
        _swept("depth 3", {"depth": 3}),
        _swept("depth 5", {"depth": 5}),
    ),
    profiles={"test": _ZHUANG_TOY, "quick": _SWEEP, "course": _SWEEP_FULL, "gpu": _SWEEP_FULL},
    metrics=("mse",),
    claims=(
        Claim(
            "a bottleneck of 8x8 beats 4x4 at 32 pixels",
            "depth 3",
            "base: no dropout, batch 64, rate .002, depth 4",
            paper="zhuang",
            varies="network.depth",
        ),
    ),
    differs="The paper names what it swept and prints no number. Nothing is chosen here: every value is scored.",
)
