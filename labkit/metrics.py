"""Scores of a colorization: MSE, MAE, PSNR (both means), SSIM, colorfulness, and skill over gray.

Images are (N, 3, H, W), float in [0, 1] or uint8. Every per-image function returns a float tensor (N,);
`score` and `evaluate` average over the images. Values outside [0, 1] are scored as they are, not clipped.
Never read a score without its baseline: `gray_prediction` is what "not colorizing at all" would answer.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from labkit.color import at_least_float32, luma, to_float
from labkit.models import evaluation_mode

if TYPE_CHECKING:
    from labkit.colorizer import Colorizer

PSNR_CAP = 50.0  # dB; about 1 % of the CIFAR-10 test images are exactly gray and would otherwise score infinity
SSIM_WINDOW = 11  # pixels; Wang's 11-tap Gaussian window
SSIM_SIGMA = 1.5
CHUNK_PIXELS = 2**20  # at most this many pixels are scored at a time, so that memory stays bounded
KEYS = ("mse", "mae", "psnr_mean", "psnr_pooled", "ssim", "colorfulness")


def mse(pred: Tensor, true: Tensor) -> Tensor:
    """Mean squared error of each image, over pixels and channels: (N, 3, H, W) twice -> (N,)."""
    pred, true = _pair(pred, true)
    return (pred - true).square().mean(dim=(1, 2, 3))


def mae(pred: Tensor, true: Tensor) -> Tensor:
    """Mean absolute error of each image, over pixels and channels: (N, 3, H, W) twice -> (N,)."""
    pred, true = _pair(pred, true)
    return (pred - true).abs().mean(dim=(1, 2, 3))


def psnr(pred: Tensor, true: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each image in dB, 10 log10(1 / MSE), at most 50 (`PSNR_CAP`): (N,)."""
    return _decibel(mse(pred, true))


def ssim(pred: Tensor, true: Tensor) -> Tensor:
    """Structural similarity of each image in the setting of its authors. Shape (N,), 1 is perfect.

    Gaussian window of 11 taps with sigma 1.5, K1 = .01, K2 = .03, data range 1, averaged over the pixels
    whose window lies inside the image and over the channels. scikit-image gives the same numbers with
    gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1; at 32 x 32 other settings
    differ by up to .035.

    Raises ValueError when a side is under 11 pixels: no window fits.
    Source: Wang, Bovik, Sheikh and Simoncelli, Image quality assessment, IEEE TIP 13(4), 2004.
    """
    pred, true = _pair(pred, true)
    if min(true.shape[-2:]) < SSIM_WINDOW:
        raise ValueError(f"SSIM needs images of at least {SSIM_WINDOW} x {SSIM_WINDOW} pixels. Got {tuple(true.shape)}")
    return torch.cat([_ssim(a, b) for a, b in zip(_chunks(pred), _chunks(true), strict=True)])


def colorfulness(rgb: Tensor) -> Tensor:
    """Colorfulness of each image: 0 is gray, 15 "slightly", 33 "moderately", 59 "quite" colorful.

    With R, G, B in 0..255, rg = R - G and yb = (R + G) / 2 - B (both signed: taking absolute values first is
    a known mistake): sqrt(var rg + var yb) + .3 sqrt(mean(rg)^2 + mean(yb)^2). (N, 3, H, W) -> (N,).

    Source: Hasler and Suesstrunk, Measuring colourfulness in natural images, SPIE 5007, 2003.
    """
    red, green, blue = (255 * _images(rgb, "rgb")).flatten(2).unbind(dim=1)  # each (N, H * W)
    rg = red - green
    yb = (red + green) / 2 - blue
    spread = (rg.var(dim=1, correction=0) + yb.var(dim=1, correction=0)).sqrt()
    return spread + 0.3 * (rg.mean(dim=1).square() + yb.mean(dim=1).square()).sqrt()


def gray_prediction(true: Tensor) -> Tensor:
    """The answer of not colorizing: Rec.601 luma copied to R, G and B. (N, 3, H, W) -> float (N, 3, H, W)."""
    return luma(_checked(true, "true")).repeat_interleave(3, dim=-3)


def skill(mse: float, mse_gray: float) -> float:
    """Share of the gray baseline's error that is gone, 1 - mse / mse_gray: 1 is perfect, 0 is gray.

    Where the gray image is already perfect (mse_gray = 0), 0 for a perfect prediction and -inf for any other.
    """
    if mse_gray == 0:
        return 0.0 if mse == 0 else -math.inf
    return 1 - mse / mse_gray


def score(pred: Tensor, true: Tensor) -> dict[str, float]:
    """Averages over the images: keys mse, mae, psnr_mean, psnr_pooled, ssim, colorfulness.

    psnr_mean is the mean of the images' PSNR, each capped at 50 dB; psnr_pooled is the PSNR of the mean MSE
    (capped as a whole). By Jensen's inequality the first is never the smaller (up to the cap), here by about
    2 dB: a paper should say which it prints. colorfulness is that of `pred`.
    """
    pred, true = _checked(pred, "pred"), _checked(true, "true")
    _same_shape(pred, true)
    parts = [_per_image(a, b) for a, b in zip(_chunks(pred), _chunks(true), strict=True)]
    return _average(parts)


def score_with_gray(pred: Tensor, true: Tensor) -> dict[str, Any]:
    """`score` beside its baseline: the six keys, "skill", and "gray": the same seven of `gray_prediction`."""
    return _with_gray(score(pred, true), score(gray_prediction(true), true))


def evaluate(colorizer: Colorizer, images: Tensor, batch_size: int = 256) -> dict[str, Any]:
    """Scores a colorizer on true color images, beside the gray baseline.

    Each image is made gray, colorized and compared with itself, in batches and without gradients; the network
    is in evaluation mode meanwhile and is put back afterwards. Returns the six keys of `score`, "skill", and
    "gray": the same seven numbers for the gray baseline (its skill is 0).

    Args:
        colorizer: anything with `.network` and `.reconstruct(images) -> rgb (N, 3, H, W) in [0, 1]`.
        images: uint8 (N, 3, H, W).
        batch_size: images at a time; fewer when the images are large.
    """
    _checked(images, "images")
    device = next((p.device for p in colorizer.network.parameters()), images.device)
    pixels = images.shape[-1] * images.shape[-2]
    batch_size = max(1, min(batch_size, CHUNK_PIXELS // pixels))
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
        "psnr_mean": _decibel(errors),
        "ssim": ssim(pred, true),
        "colorfulness": colorfulness(pred),
    }


def _ssim(pred: Tensor, true: Tensor) -> Tensor:
    from torchmetrics.functional.image import structural_similarity_index_measure  # here: it costs seconds

    # torchmetrics' own average takes in a border of reflected pixels (+-.01 at 32 x 32), Wang's and scikit-image's does
    # not: ask for the map and cut the border off.
    _, similarity = structural_similarity_index_measure(
        pred, true, gaussian_kernel=True, sigma=SSIM_SIGMA, data_range=1.0, reduction="none", return_full_image=True
    )
    edge = SSIM_WINDOW // 2
    return similarity[..., edge:-edge, edge:-edge].mean(dim=(1, 2, 3))


def _average(parts: list[dict[str, Tensor]]) -> dict[str, float]:
    # In double precision on the CPU: the mean of ten thousand float32 values loses digits, and some devices have no
    # float64.
    columns = {key: torch.cat([part[key].detach().cpu().double() for part in parts]) for key in parts[0]}
    means = {key: column.mean().item() for key, column in columns.items()}
    means["psnr_pooled"] = _decibel(torch.tensor(means["mse"], dtype=torch.float64)).item()
    return {key: means[key] for key in KEYS}


def _with_gray(ours: dict[str, float], gray: dict[str, float]) -> dict[str, Any]:
    return {**ours, "skill": skill(ours["mse"], gray["mse"]), "gray": {**gray, "skill": 0.0}}


def _decibel(mse: Tensor) -> Tensor:
    return (-10 * mse.log10()).clamp(max=PSNR_CAP)


def _chunks(images: Tensor) -> tuple[Tensor, ...]:
    return images.split(max(1, CHUNK_PIXELS // (images.shape[-1] * images.shape[-2])))


def _pair(pred: Tensor, true: Tensor) -> tuple[Tensor, Tensor]:
    """Both as float of one dtype on one device, after checking their shapes."""
    pred, true = _images(pred, "pred"), _images(true, "true")
    _same_shape(pred, true)
    dtype = torch.promote_types(pred.dtype, true.dtype)
    return pred.to(dtype), true.to(pred.device, dtype)


def _same_shape(pred: Tensor, true: Tensor) -> None:
    if pred.shape != true.shape:
        raise ValueError(f"pred and true must have the same shape. Got {tuple(pred.shape)} and {tuple(true.shape)}")


def _images(images: Tensor, name: str) -> Tensor:
    """Checked, and at least float32: half precision has too few digits to score with."""
    floats = to_float(_checked(images, name))
    return at_least_float32(floats)


def _checked(images: Tensor, name: str) -> Tensor:
    if not isinstance(images, Tensor):
        raise TypeError(f"{name} must be a torch tensor (N, 3, H, W). Got {type(images).__name__}")
    if images.ndim != 4 or images.shape[1] != 3 or 0 in images.shape:
        raise ValueError(
            f"{name} must be (N, 3, H, W), none of them 0 (one image: image[None]). Got {tuple(images.shape)}"
        )
    if not (images.is_floating_point() or images.dtype == torch.uint8):
        raise TypeError(f"{name} must be float in [0, 1] or uint8. Got {images.dtype}")
    return images
