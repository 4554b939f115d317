"""Tables of scores: averages over many images, each beside the gray baseline.

A score means little without its baseline: `gray_prediction` is what not colorizing at all would give.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from labkit.color import luma
from labkit.metrics.inputs import check_images, check_pair, chunk_length, chunks
from labkit.metrics.pixel import colorfulness, decibel, mae, mse, ssim
from labkit.models import evaluation_mode

if TYPE_CHECKING:
    from labkit.colorizer import Colorizer

KEYS = ("mse", "mae", "psnr_mean", "psnr_pooled", "ssim", "colorfulness")


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


def score(pred: Tensor, true: Tensor) -> dict[str, float]:
    """Return the averages over the images of the six scores in `KEYS`.

    psnr_mean is the mean of the images' PSNR, each capped at 50 dB; psnr_pooled is the PSNR of the mean MSE
    (capped as a whole). By Jensen's inequality the first is never the smaller (up to the cap), here by about
    2 dB: a paper should say which it prints. colorfulness is that of `pred`.

    Args:
        pred: (N, 3, H, W).
        true: (N, 3, H, W).

    Returns:
        A dict with the keys mse, mae, psnr_mean, psnr_pooled, ssim, colorfulness.
    """
    check_pair(pred, true)
    parts = [_per_image(a, b) for a, b in zip(chunks(pred), chunks(true), strict=True)]
    return _average(parts)


def score_with_gray(pred: Tensor, true: Tensor) -> dict[str, Any]:
    """Return `score` beside its baseline.

    Args:
        pred: (N, 3, H, W).
        true: (N, 3, H, W).

    Returns:
        The six keys of `score`, "skill", and "gray": the same seven numbers of `gray_prediction`.
    """
    return _with_gray(score(pred, true), score(gray_prediction(true), true))


def evaluate(colorizer: Colorizer, images: Tensor, batch_size: int = 64) -> dict[str, Any]:
    """Score a colorizer on true color images, beside the gray baseline.

    Each image is made gray, colorized and compared with itself, in batches and without gradients; the network
    is in evaluation mode meanwhile and is put back afterwards.

    Args:
        colorizer: anything with `.network` and `.reconstruct(images) -> rgb (N, 3, H, W) in [0, 1]`.
        images: uint8 (N, 3, H, W).
        batch_size: images at a time; fewer when the images are large. A few stay in a processor's cache.
            (Colors that are sampled are drawn anew in each batch: their scores depend on it a little.)

    Returns:
        The six keys of `score`, "skill", and "gray": the same seven numbers for the gray baseline (its skill is 0).
    """
    check_images(images, "images")
    device = next((p.device for p in colorizer.network.parameters()), images.device)
    batch_size = max(1, min(batch_size, chunk_length(images)))
    ours, gray = [], []
    with torch.no_grad(), evaluation_mode(colorizer.network):
        for batch in images.split(batch_size):
            batch = batch.to(device)
            ours.append(_per_image(colorizer.reconstruct(batch), batch))
            gray.append(_per_image(gray_prediction(batch), batch))
    return _with_gray(_average(ours), _average(gray))


def _per_image(pred: Tensor, true: Tensor) -> dict[str, Tensor]:
    errors = mse(pred, true)
    return {
        "mse": errors,
        "mae": mae(pred, true),
        "psnr_mean": decibel(errors),
        "ssim": ssim(pred, true),
        "colorfulness": colorfulness(pred),
    }


def _average(parts: list[dict[str, Tensor]]) -> dict[str, float]:
    # In double precision on the CPU: the mean of ten thousand float32 values loses digits, and some devices have no
    # float64.
    columns = {key: torch.cat([part[key].detach().cpu().double() for part in parts]) for key in parts[0]}
    means = {key: column.mean().item() for key, column in columns.items()}
    means["psnr_pooled"] = decibel(torch.tensor(means["mse"], dtype=torch.float64)).item()
    return {key: means[key] for key in KEYS}


def _with_gray(ours: dict[str, float], gray: dict[str, float]) -> dict[str, Any]:
    return {**ours, "skill": skill(ours["mse"], gray["mse"]), "gray": {**gray, "skill": 0.0}}
