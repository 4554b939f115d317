"""The recipe of color bins: how many, where, and how decoded; what of the distance to regression each costs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from labkit.experiments.recipes.shared import HORSES, ONE_CYCLE, TOY
from labkit.experiments.schema import OWN, Claim, Decoding, Recipe, System

COUNTS = (12, 24, 64, 150)  # k-means colors
LATTICES = ("ab313", "ab676")
WAYS = ("annealed", "rounded", "mode", "sample")  # beside the mean
SPACES = {"rgb": "RGB", "chroma": "chroma"}
_REGRESSIONS = {"rgb": "regression to RGB", "chroma": "regression to chroma", "ab": "regression to ab"}
_LUMA = {"input_gray": "luma"}  # every network is given the same gray
_AT_HALF = {"output_stride": 2}  # for as many logits as the ab bins have


def bins_name(quantizer: str) -> str:
    """Return the name of the bins in tables: "24 RGB bins", "150 chroma bins", "313 ab bins"."""
    space = next(space for space in (*SPACES, "ab") if quantizer.startswith(space))
    return f"{quantizer.removeprefix(space)} {SPACES.get(space, space)} bins"


def _bins(quantizer: str, options: dict[str, Any], network: dict[str, Any]) -> System:
    name = bins_name(quantizer)
    options = {"quantizer": quantizer, "decode": "mean", "neighbors": 1} | options
    more = tuple(Decoding(f"{name}, {way}", {"decode": way}) for way in WAYS)
    return System(f"{name}, mean", "classification", "unet", options, network, more=more)


_FITTED = [f"{space}{count}" for space in SPACES for count in COUNTS]
_SYSTEMS = (
    System(_REGRESSIONS["rgb"], "rgb", "unet"),
    System(_REGRESSIONS["chroma"], "luma-chroma", "unet"),
    System(_REGRESSIONS["ab"], "lab", "unet", _LUMA, _AT_HALF),
    *(_bins(quantizer, {}, {}) for quantizer in _FITTED),
    *(_bins(quantizer, _LUMA, _AT_HALF) for quantizer in LATTICES),
)


def _decoding_claims(quantizer: str) -> tuple[Claim, ...]:
    name = bins_name(quantizer)
    space = next(space for space in _REGRESSIONS if quantizer.startswith(space))
    return (
        Claim(
            f"rounding the mean to a bin costs (quantization), {name}",
            f"{name}, mean",
            f"{name}, rounded",
            varies="representation.decode",
        ),
        Claim(
            f"committing to the likeliest bin costs more than rounding the mean to one, {name}",
            f"{name}, rounded",
            f"{name}, mode",
            varies="representation.decode",
        ),
        Claim(
            f"regression beats the mean, {name}",
            _REGRESSIONS[space],
            f"{name}, mean",
            varies="representation.name",
            also=("representation.quantizer", "representation.decode", "representation.neighbors"),
        ),
    )


_QUICK = replace(HORSES, network={"width": 16}, fit=replace(ONE_CYCLE, epochs=4, learning_rate=4e-3))
_FULL = replace(HORSES, network={"width": 32}, fit=replace(ONE_CYCLE, epochs=20))
BINS = Recipe(
    name="bins",
    paper=OWN,
    line="12 to 676 color bins in RGB, in the plane that keeps luma and in ab, under five decodings, beside regression",
    systems=_SYSTEMS,
    profiles={"test": replace(TOY, network={"width": 4}), "quick": _QUICK, "course": _FULL, "gpu": _FULL},
    metrics=("mse", "psnr_mean", "ssim", "colorfulness"),
    claims=(
        *(claim for quantizer in (*_FITTED, *LATTICES) for claim in _decoding_claims(quantizer)),
        Claim(
            "keeping luma exact beats repainting it, regression",
            _REGRESSIONS["chroma"],
            _REGRESSIONS["rgb"],
            varies="representation.name",
        ),
        *(
            Claim(
                f"keeping luma exact beats repainting it, {count} bins by {way}",
                f"{count} chroma bins, {way}",
                f"{count} RGB bins, {way}",
                varies="representation.quantizer",
            )
            for count in COUNTS
            for way in ("mean", "mode")
        ),
    ),
    differs="Nothing but the bins differs within a space: hard targets, and the same small U-Net (quick: 16 channels, "
    "4 epochs), which predicts ab at half resolution and RGB and chroma at full. *Rounded* is the bin nearest to the "
    "mean: what it costs over the mean is quantization, and what the mode costs over it is commitment.",
)
