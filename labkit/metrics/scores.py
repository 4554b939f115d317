"""Tables of scores: averages over many images, each beside the gray baseline.

A score means little without its baseline: `gray_prediction` is what not colorizing at all would give.
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from labkit.color import HasImages, image_tensor, luma
from labkit.errors import LabkitError, check_integer
from labkit.metrics.inputs import check_images, check_pair, chunk_length, chunks
from labkit.metrics.pixel import colorfulness, decibel, mae, mse, ssim
from labkit.models import evaluation_mode

KEYS = ("mse", "mae", "psnr_mean", "psnr_pooled", "ssim", "colorfulness")
LABELS = {
    "mse": "MSE",
    "mae": "MAE",
    "psnr_mean": "PSNR, mean over images (dB)",
    "psnr_pooled": "PSNR of the mean MSE (dB)",
    "ssim": "SSIM",
    "colorfulness": "colorfulness",
    "skill": "skill (fraction of gray's MSE removed)",
}


@dataclass(frozen=True)
class Scores:
    """Means over images, by name, of a model and of the gray baseline.

    Attributes:
        ours: of the model: mse, mae, psnr_mean, psnr_pooled, ssim, colorfulness, skill.
        gray: the same of images without color.

    ``scores["mse"]`` is ``scores.ours["mse"]``. Printed, and shown by a notebook, it is a table.
    """

    ours: dict[str, float]
    gray: dict[str, float]

    @classmethod
    def of(cls, evaluated: Mapping[str, Any]) -> Scores:
        """Make scores of what `labkit.metrics.evaluate` returned."""
        own = {name: value for name, value in evaluated.items() if name != "gray"}
        return cls(own, dict(evaluated["gray"]))

    def __getitem__(self, name: str) -> float:
        """Return one of the model's own scores."""
        return self.ours[name]

    def rows(self) -> list[tuple[str, str, str]]:
        """Return the rows of the table as text: metric, ours, gray."""
        return [(LABELS.get(name, name), f"{value:.4g}", f"{self.gray[name]:.4g}") for name, value in self.ours.items()]

    def __str__(self) -> str:
        """Return the table as text."""
        rows = [("", "ours", "gray"), *self.rows()]
        width = max(len(label) for label, _, _ in rows)
        return "\n".join(f"{label:<{width}}  {ours:>8}  {gray:>8}" for label, ours, gray in rows)

    def _repr_html_(self) -> str:
        head = "<tr><th></th><th>ours</th><th>gray</th></tr>"
        rows = "".join(
            f"<tr><td>{html.escape(label)}</td><td>{ours}</td><td>{gray}</td></tr>" for label, ours, gray in self.rows()
        )
        return f"<table>{head}{rows}</table>"


def gray_prediction(true: Tensor) -> Tensor:
    """Return what not colorizing would predict: Rec.601 luma copied to R, G and B.

    Args:
        true: (N, 3, H, W), float in [0, 1] or uint8.

    Returns:
        Float (N, 3, H, W) in [0, 1].
    """
    return luma(check_images(true, "true")).repeat_interleave(3, dim=-3)


def skill(mse: float, mse_gray: float) -> float:
    """Return the fraction of the gray baseline's error that is gone, 1 - mse / mse_gray: 1 is perfect, 0 is gray.

    Args:
        mse: mean squared error of the predictions.
        mse_gray: mean squared error of the gray images.

    Returns:
        At most 1; below 0 where gray is better. Where gray is already perfect (mse_gray = 0), 0 for a perfect
        prediction and -inf for any other.
    """
    if mse_gray == 0:
        return 0.0 if mse == 0 else -math.inf
    return 1 - mse / mse_gray


def score(pred: Tensor, true: Tensor, keys: Sequence[str] = KEYS) -> dict[str, float]:
    """Return the averages over the images of the six scores in `KEYS`, or of some of them.

    psnr_mean is the mean of the images' PSNR, each capped at 50 dB; psnr_pooled is the PSNR of the mean MSE
    (capped as a whole). By Jensen's inequality the first is never the smaller (up to the cap), here by about
    2 dB: a paper should say which it prints. colorfulness is that of `pred`.

    Args:
        pred: (N, 3, H, W).
        true: (N, 3, H, W).
        keys: those wanted, of `KEYS`. Without "ssim" nothing waits for torchmetrics, which takes seconds to import.

    Returns:
        A dict with these keys: mse, mae, psnr_mean, psnr_pooled, ssim, colorfulness.

    Raises:
        LabkitError: for a key that is not in `KEYS`, and for images that do not fit each other.
    """
    means = _means_of(pred, true, _check_keys(keys))
    return {key: means[key] for key in keys}


def score_with_gray(pred: Tensor, true: Tensor, keys: Sequence[str] = KEYS) -> dict[str, Any]:
    """Return `score` beside its baseline.

    Args:
        pred: (N, 3, H, W).
        true: (N, 3, H, W).
        keys: those wanted, of `KEYS`.

    Returns:
        The keys of `score`, "skill", and "gray": the same numbers of `gray_prediction`.
    """
    keys = _check_keys(keys)
    return _with_gray(_means_of(pred, true, keys), _means_of(gray_prediction(true), true, keys), keys)


def evaluate(
    model: Callable[[Tensor], Tensor],
    images: Tensor | HasImages,
    batch_size: int = 64,
    keys: Sequence[str] = KEYS,
) -> dict[str, Any]:
    """Score what a model predicts for true color images, beside the gray baseline; in batches, without gradients.

    Args:
        model: ``images (N, 3, H, W) uint8 -> rgb (N, 3, H, W) in [0, 1]``: a `Colorizer` or any function. A module is
            in evaluation mode meanwhile, and is put back afterwards.
        images: a `Dataset`, or a tensor (N, 3, H, W), uint8.
        batch_size: images at a time; fewer when the images are large. A few stay in a processor's cache.
            (Colors that are sampled are drawn anew in each batch: their scores depend on it a little.)
        keys: the scores wanted, of `KEYS`.

    Returns:
        The keys of `score`, "skill", and "gray": the same numbers for the gray baseline (its skill is 0).
    """
    keys = _check_keys(keys)
    batch_size = check_integer("batch_size", batch_size, low=1)
    images = check_images(image_tensor(images), "images")
    batch_size = max(1, min(batch_size, chunk_length(images)))
    ours, gray = [], []
    with torch.no_grad(), evaluation_mode(model) if isinstance(model, nn.Module) else nullcontext():
        for batch in images.split(batch_size):
            predicted = model(batch)
            batch = batch.to(predicted.device)
            ours.append(_per_image(predicted, batch, keys))
            gray.append(_per_image(gray_prediction(batch), batch, keys))
    return _with_gray(_average(ours), _average(gray), keys)


def _check_keys(keys: Sequence[str]) -> tuple[str, ...]:
    unknown = [key for key in keys if key not in KEYS]
    if isinstance(keys, str) or unknown:
        raise LabkitError(f"keys must be a list of {', '.join(KEYS)}. Got {keys!r}")
    return tuple(keys)


def _means_of(pred: Tensor, true: Tensor, keys: Sequence[str]) -> dict[str, float]:
    check_pair(pred, true)
    return _average([_per_image(a, b, keys) for a, b in zip(chunks(pred), chunks(true), strict=True)])


def _per_image(pred: Tensor, true: Tensor, keys: Sequence[str]) -> dict[str, Tensor]:
    found = {"mse": mse(pred, true)}  # always: skill is made of it
    found["psnr_mean"] = decibel(found["mse"])
    if "mae" in keys:
        found["mae"] = mae(pred, true)
    if "ssim" in keys:
        found["ssim"] = ssim(pred, true)
    if "colorfulness" in keys:
        found["colorfulness"] = colorfulness(pred)
    return found


def _average(parts: list[dict[str, Tensor]]) -> dict[str, float]:
    # In double precision on the CPU: the mean of ten thousand float32 values loses digits, and some devices have no
    # float64.
    columns = {key: torch.cat([part[key].detach().cpu().double() for part in parts]) for key in parts[0]}
    means = {key: column.mean().item() for key, column in columns.items()}
    means["psnr_pooled"] = decibel(torch.tensor(means["mse"], dtype=torch.float64)).item()
    return means


def _with_gray(ours: dict[str, float], gray: dict[str, float], keys: Sequence[str]) -> dict[str, Any]:
    found, baseline = ({key: scores[key] for key in keys} for scores in (ours, gray))
    return {**found, "skill": skill(ours["mse"], gray["mse"]), "gray": {**baseline, "skill": 0.0}}
