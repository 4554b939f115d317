"""Recipes of L1 against MSE: in each color space on horses, and in Dalban's network on photographs."""

from __future__ import annotations

from dataclasses import replace

from labkit.experiments.recipes.shared import HORSES, ONE_CYCLE, TOY
from labkit.experiments.schema import Claim, Recipe, Setup, System

_SPACES = {"rgb": "RGB", "yuv": "YUV", "lab": "LAB", "luma-chroma": "luma-chroma"}
_DEPTH = {"depth": 4}  # Dalban's U-Net of 4.5M parameters


def _name(space: str, alpha: float) -> str:
    return f"{_SPACES[space]}, {'MSE' if alpha == 1 else 'L1' if alpha == 0 else f'{alpha:g} MSE + {1 - alpha:g} L1'}"


def _system(space: str, alpha: float, network: dict[str, int] | None = None) -> System:
    return System(_name(space, alpha), space, "unet", {"alpha": alpha}, network or {})


def _claims(spaces: tuple[str, ...]) -> tuple[Claim, ...]:
    """Return, for each space, what Dalban says of saturation, and what the two losses do to the squared error."""
    return tuple(
        claim
        for space in spaces
        for claim in (
            Claim(
                f"L1 makes more colorful pictures than MSE, {_SPACES[space]}",
                _name(space, 0.0),
                _name(space, 1.0),
                "colorfulness",
                paper="dalban",
                varies="representation.alpha",
            ),
            Claim(
                f"MSE has the lower squared error, {_SPACES[space]}",
                _name(space, 1.0),
                _name(space, 0.0),
                varies="representation.alpha",
            ),
        )
    )


_SMALL = replace(HORSES, network={"width": 16}, fit=replace(ONE_CYCLE, epochs=4, learning_rate=4e-3))
_FULL = replace(HORSES, network={"width": 64}, fit=replace(ONE_CYCLE, epochs=20))
L1_COLOR = Recipe(
    name="l1-color",
    paper="dalban",
    line="L1 against MSE in four color spaces, the rest being equal: which is more colorful, which is nearer?",
    systems=tuple(_system(space, alpha) for space in _SPACES for alpha in (1.0, 0.0)),
    profiles={"test": TOY, "quick": _SMALL, "course": _FULL, "gpu": _FULL},
    metrics=("mse", "mae", "psnr_mean", "colorfulness"),
    claims=_claims(tuple(_SPACES)),
    differs="The paper names what L1 does to colors without a number. Here the horses of CIFAR-10 and a small U-Net "
    "(quick: 16 channels, 4 epochs).",
)

_ALPHAS = (1.0, 0.7, 0.5, 0.3, 0.0)
_PHOTOS = Setup("folder", "flowers17", size=32, min_saturation=20 / 255, network={"width": 16})
L1_FLOWERS = Recipe(
    name="l1-flowers",
    paper="dalban",
    line="Dalban's mixtures of MSE and L1, and both alone, in its U-Net on photographs of flowers",
    systems=(*(_system("rgb", alpha, _DEPTH) for alpha in _ALPHAS), *(_system("lab", a, _DEPTH) for a in (1.0, 0.0))),
    profiles={
        "test": TOY,
        "quick": replace(_PHOTOS, fit=replace(ONE_CYCLE, epochs=12, batch_size=32)),
        "course": replace(_PHOTOS, size=96, network={"width": 48}, fit=replace(ONE_CYCLE, epochs=20, batch_size=32)),
        "gpu": replace(_PHOTOS, size=96, network={"width": 48}, fit=replace(ONE_CYCLE, epochs=20, batch_size=64)),
    },
    metrics=L1_COLOR.metrics,
    claims=(
        *_claims(("rgb", "lab")),
        Claim(
            "more L1 makes more colorful pictures, RGB",
            _name("rgb", 0.3),
            _name("rgb", 0.7),
            "colorfulness",
            paper="dalban",
            varies="representation.alpha",
        ),
    ),
    differs="The paper's photographs are not public: a folder flowers17 under the data root stands in. quick: 32 "
    "pixels and 16 channels, 12 epochs, where the paper has 96 pixels and 4.5M parameters.",
)
