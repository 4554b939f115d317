"""Score how photographs are colored: by style, at several working sizes, and with color hints."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from labkit.app.files import Look
from labkit.app.propagation import spread_hints
from labkit.color import to_float
from labkit.colorizer import Colorizer
from labkit.errors import LabkitError
from labkit.hints import random_hints
from labkit.metrics import balanced_accuracy, colorfulness, gray_prediction, hue_counts, mse, psnr, skill

BATCH_PIXELS = 2**20


def score_look(colorizer: Colorizer, images: Tensor, look: Look, hints: int = 0, seed: int = 0) -> dict[str, float]:
    """Return what the colors of photographs are worth; see `score_colors`.

    Args:
        colorizer: what is scored.
        images: true ones ``(N, 3, H, W)`` uint8.
        look: style, strength and working size.
        hints: so many simulated hints for each image, of its true colors; the network then sees it at its own size.
        seed: of the places of the hints.
    """
    if hints and not colorizer.takes_hints:
        raise LabkitError("this model takes no color hints: it was trained without them. Give --hints 0")
    return score_colors(images, lambda true: _colorize(colorizer, true, look, hints), seed)


@torch.no_grad()
def score_colors(images: Tensor, recolor: Callable[[Tensor], Tensor], seed: int = 0) -> dict[str, float]:
    """Return what the colors that a function gives to photographs are worth.

    Args:
        images: true ones ``(N, 3, H, W)`` uint8.
        recolor: takes a batch of true images; returns rgb of the same shape, in [0, 1].
        seed: of torch's generator, for the places of hints.

    Returns: skill, psnr (mean over images), hue (balanced hue accuracy), colorfulness, and that of the true images.
    """
    parts: dict[str, list[Tensor]] = {name: [] for name in ("mse", "gray", "psnr", "colorfulness", "true")}
    counts = torch.zeros(2, 6, dtype=torch.int64)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for true in images.split(max(1, BATCH_PIXELS // (images.shape[-1] * images.shape[-2]))):
            predicted = recolor(true).cpu()
            parts["mse"].append(mse(predicted, true))
            parts["gray"].append(mse(gray_prediction(true), true))
            parts["psnr"].append(psnr(predicted, true))
            parts["colorfulness"].append(colorfulness(predicted))
            parts["true"].append(colorfulness(to_float(true)))
            counts += hue_counts(predicted, true)
    means = {name: float(torch.cat(values).double().mean()) for name, values in parts.items()}
    return {
        "skill": skill(means["mse"], means["gray"]),
        "psnr": means["psnr"],
        "hue": balanced_accuracy(counts),
        "colorfulness": means["colorfulness"],
        "true colorfulness": means["true"],
    }


def _colorize(colorizer: Colorizer, true: Tensor, look: Look, hints: int) -> Tensor:
    """Return what becomes of a batch of true images, rgb (N, 3, H, W)."""
    if not hints:
        return look.apply(colorizer, true)[0]
    representation = colorizer.styled(look.style)
    gray = representation.gray(true.to(colorizer.device))
    planes = _some_hints(true, hints).to(gray)
    colors = representation.colors(colorizer.predict(torch.cat([gray, planes], dim=1), flip_average=True))
    return representation.to_rgb(gray, colors if look.strength == 1 else look.strength * colors)


def _some_hints(true: Tensor, count: int) -> Tensor:
    return random_hints(true, torch.full((len(true),), count))


def _spread(true: Tensor, count: int) -> Tensor:
    return spread_hints(true, _some_hints(true, count))


def score_table(
    colorizer: Colorizer,
    images: Tensor,
    *,
    styles: Sequence[str],
    working_sizes: Sequence[int],
    hints: Sequence[int] = (0,),
    strength: float = 1.0,
) -> list[dict[str, object]]:
    """Return a row of scores for each style, working size and number of hints; see `score_look`.

    For each number of hints there is a row of the hints alone, spread without a network (`spread_hints`).

    Args:
        colorizer: what is scored.
        images: true ones ``(N, 3, H, W)`` uint8.
        styles: "faithful", "vivid".
        working_sizes: 0 for the images' own size.
        hints: numbers of hints; with hints the working size is the images' own.
        strength: of the chroma.
    """
    rows: list[dict[str, object]] = []
    for style in styles:
        for count in hints:
            for size in working_sizes if not count else (0,):
                look = Look(style=style, working_size=size, strength=strength)
                told: dict[str, object] = {"style": style, "working size": size or "own", "hints": count}
                rows.append(told | score_look(colorizer, images, look, count))
    for count in filter(None, hints):
        alone: dict[str, object] = {"style": "hints alone", "working size": "own", "hints": count}
        rows.append(alone | score_colors(images, partial(_spread, count=count)))
    return rows
