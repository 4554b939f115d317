"""Scores of a colorization: MSE, MAE, PSNR (both means), SSIM, pixel accuracy, colorfulness, color bias, and skill
over gray; and of many together: KID and FID.

Images are (N, 3, H, W), float in [0, 1] or uint8. Every per-image function returns float tensors (N,);
`score` and `evaluate` average over the images. Values outside [0, 1] are scored as they are, not clipped.
Never read a score without its baseline: `gray_prediction` is what "not colorizing at all" would answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from labkit.color import HasImages, at_least_float32, image_tensor, luma, rgb_to_lab, to_float
from labkit.errors import LabkitError
from labkit.metrics import features as labkit_features
from labkit.models import evaluation_mode

PSNR_CAP = 50.0  # dB; about 1 % of the CIFAR-10 test images are exactly gray and would otherwise score infinity
SSIM_WINDOW = 11  # pixels; Wang's 11-tap Gaussian window
SSIM_SIGMA = 1.5
CHUNK_PIXELS = 2**20  # at most this many pixels are scored at a time, so that memory stays bounded
KERNEL_ROWS = 1000  # of the kernel matrix of KID at a time: 40 MB each for 10,000 images
ROUNDING = 1e-6  # added to a threshold, so that uint8 images and their floats agree at the threshold itself
KID_NAME, FID_NAME = "KID (labkit features)", "FID (labkit features)"  # what tables must call them
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


def pixel_accuracy(pred: Tensor, true: Tensor, threshold: float = 0.05) -> dict[str, Tensor]:
    """Share of right pixels of each image, a dict of four (N,): "all", "red", "green" and "blue".

    A channel is right where |pred - true| <= threshold (of a range of 1), a pixel where all three are. All images
    of a batch being of one size, the mean over images is also the share among all their pixels. Nazeri, Ng and
    Ebrahimi (Image colorization using generative adversarial networks, 2018) give the thresholds .02 and .05 as
    "percent"; a paper that prints one accuracy without threshold and color space (`lab_pixel_accuracy` is their
    program's) cannot be compared with. Gray is right wherever colors are faint: always print its accuracy beside.

    Raises LabkitError when the threshold is not in [0, 1].
    """
    if not 0 <= threshold <= 1:
        raise LabkitError(f"threshold is a share of the range of a channel: expected 0 to 1. Got {threshold}")
    pred, true = _pair(pred, true)
    right = (pred - true).abs() <= threshold + ROUNDING  # (N, 3, H, W)
    red, green, blue = right.to(pred.dtype).mean(dim=(2, 3)).unbind(dim=1)
    return {"all": right.all(dim=1).to(pred.dtype).mean(dim=(1, 2)), "red": red, "green": green, "blue": blue}


def lab_pixel_accuracy(pred: Tensor, true: Tensor, threshold: float = 2.0) -> Tensor:
    """Share of right pixels of each image by Nazeri's rule in CIE Lab: (N,).

    Right is |dL| <= t and |da|, |db| <= 2.2 t: t percent of the ranges 100 and 220 that Nazeri's program assumes. (It
    also rounds L, a and b to whole numbers before, which lets pass differences of up to one more; here they are not
    rounded.) The mean over images is the share among all their pixels. A colorizer that keeps L* is right in L at once.

    Raises LabkitError when the threshold is below 0.
    Source: pixelwise_accuracy in the program of Nazeri, Ng and Ebrahimi, 2018 (thresholds 2 and 5).
    """
    if not threshold >= 0:
        raise LabkitError(f"threshold is in units of L* (0 to 100): expected 0 or more. Got {threshold}")
    pred, true = _pair(pred, true)
    shares = []
    for a, b in zip(_chunks(pred), _chunks(true), strict=True):
        difference = (rgb_to_lab(a) - rgb_to_lab(b)).abs()
        limits = difference.new_tensor([1.0, 2.2, 2.2]).mul(threshold).view(3, 1, 1)
        shares.append((difference <= limits).all(dim=1).to(pred.dtype).mean(dim=(1, 2)))
    return torch.cat(shares)


class Kid(NamedTuple):
    """Kernel distance of two sets of images (a mean over pairs of images), and the standard error of that mean."""

    mean: float
    sd: float


def kid(
    pred: Tensor,
    true: Tensor,
    features: Callable[[Tensor], Tensor] | None = None,
    *,
    subsets: int = 100,
    seed: int = 0,
) -> Kid:
    """Kernel distance: do two sets of images look alike as sets? 0 is best; an estimate may be a little below.

    The `mmd` of the features of all images. An image and its own colorization are never compared (`paired`): they are
    no independent samples, and with them, as libraries compute it, good colorizations come out below zero. `fid` is
    biased by the number of images; this is not. Two sets of other images, not pairs, may be given as well.
    The standard error is the standard deviation over random halves of the images (the delete-half jackknife).

    With the default features its name is `KID_NAME`; never compare it with published numbers, whose features come from
    an Inception network for images of 299 x 299 pixels.

    Args:
        pred, true: (N, 3, H, W), the same N; sizes may differ.
        features: images -> (N, d); None: `labkit.metrics.features.features`.
        subsets: how many random halves.
        seed: of the halves.

    Raises LabkitError for unequal or too few images, or fewer than 2 subsets.
    Source: Binkowski, Sutherland, Arbel and Gretton, Demystifying MMD GANs, ICLR 2018 (who average over subsets only).
    """
    x, y = _features(pred, "pred", features), _features(true, "true", features)
    count = len(x)
    if count != len(y) or count < 4:
        raise LabkitError(f"KID needs as many pred as true images, at least 4 of each. Got {count} and {len(y)}")
    if subsets < 2:
        raise LabkitError(f"subsets must be at least 2, to see how they differ. Got {subsets}")
    generator = torch.Generator().manual_seed(seed)
    members = torch.zeros(1 + subsets, count)  # 1 where an image belongs to a set; first the set of all
    members[0] = 1
    for half in members[1:]:
        half[torch.randperm(count, generator=generator)[: count // 2]] = 1
    sums = torch.zeros(1 + subsets)
    for rows in torch.arange(count).split(KERNEL_ROWS):
        kernels = _kernel(x[rows], x) + _kernel(y[rows], y) - 2 * _kernel(x[rows], y)  # (rows, N)
        kernels[torch.arange(len(rows)), rows] = 0
        sums += (members[:, rows] @ kernels * members).sum(dim=1)
    sizes = members.sum(dim=1)
    values = sums / (sizes * (sizes - 1))
    return Kid(values[0].item(), values[1:].std(correction=0).item())


def mmd(x: Tensor, y: Tensor, paired: bool = False) -> Tensor:
    """Squared maximum mean discrepancy of two sets of features, unbiased: (m, d) and (n, d) -> scalar.

    With the kernel k(a, b) = (a . b / d + 1)^3: the mean of k within x plus that within y (each without the
    diagonal, where a vector meets itself) minus twice the mean of k between x and y. The two sets must be independent
    samples; or, if `paired` (m = n, row i of y belonging to row i of x), only their pairs: then the diagonal between x
    and y is left out too.

    Raises ValueError when `paired` and m differs from n.
    Source: Gretton et al., A kernel two-sample test, JMLR 13, 2012, equation 3 (paired: 4); the kernel is Binkowski's.
    """
    if paired and x.shape != y.shape:
        raise ValueError(f"paired features must have the same shape. Got {tuple(x.shape)} and {tuple(y.shape)}")
    within_x, within_y, between = _kernel(x, x), _kernel(y, y), _kernel(x, y)
    mean_between = _mean_off_diagonal(between) if paired else between.mean()
    return _mean_off_diagonal(within_x) + _mean_off_diagonal(within_y) - 2 * mean_between


def fid(pred: Tensor, true: Tensor, features: Callable[[Tensor], Tensor] | None = None) -> float:
    """Frechet distance of two Gaussians fitted to the features of two sets of images: 0 is best.

    |mean difference|^2 + tr(A + B - 2 (A B)^(1/2)) with the covariances A and B. It is biased: fewer images give
    larger values, even between two samples of one distribution. Compare only values of equal N; `kid` has no bias.

    With the default features its name is `FID_NAME`; never compare it with published numbers.

    Args:
        pred, true: (N, 3, H, W) and (M, 3, H, W); sizes may differ.
        features: images -> (N, d); None: `labkit.metrics.features.features` (d = 128).

    Raises LabkitError when N or M is not above d: the covariances would be singular.
    Source: Heusel et al., GANs trained by a two time-scale update rule, NeurIPS 2017, equation 6.
    """
    x, y = _features(pred, "pred", features).double(), _features(true, "true", features).double()
    if min(len(x), len(y)) <= x.shape[1]:
        raise LabkitError(
            f"FID over {x.shape[1]} features needs more than {x.shape[1]} images in each set, or the covariance is "
            f"singular. Got {len(x)} and {len(y)}: take more images, or kid"
        )
    a, b = x.T.cov(), y.T.cov()  # (d, d)
    values, vectors = torch.linalg.eigh(a)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    cross = torch.linalg.eigvalsh(root @ b @ root).clamp(min=0).sqrt().sum()  # trace of (A B)^(1/2)
    return ((x.mean(0) - y.mean(0)).square().sum() + a.trace() + b.trace() - 2 * cross).item()


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


def color_bias(pred: Tensor, true: Tensor) -> Tensor:
    """How much too red and too yellow each image is on average: mean of pred - true in a and b of CIE Lab, (N, 2).

    Above zero: too red, too yellow; below: too green, too blue. 2 is just noticeable on a plain surface. Means over
    many images say whether a colorizer drifts in one direction; its errors from image to image cancel there.
    """
    pred, true = _pair(pred, true)
    parts = zip(_chunks(pred), _chunks(true), strict=True)
    return torch.cat([(rgb_to_lab(a) - rgb_to_lab(b))[:, 1:].mean(dim=(2, 3)) for a, b in parts])


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


def evaluate(model: Callable[[Tensor], Tensor], images: Tensor | HasImages, batch_size: int = 64) -> dict[str, Any]:
    """Score what a model predicts for true color images, beside the gray baseline; in batches, without gradients.

    Args:
        model: ``images (N, 3, H, W) uint8 -> rgb (N, 3, H, W) in [0, 1]``: a `Colorizer` or any function. A module is
            in evaluation mode meanwhile, and is put back afterwards.
        images: a `Dataset`, or a tensor ``(N, 3, H, W)`` uint8.
        batch_size: images at a time; fewer when the images are large. A few stay in a processor's cache.
            (Colors that are sampled are drawn anew in each batch: their scores depend on it a little.)

    Returns: the six keys of `score`, "skill", and "gray": the same seven numbers for the gray baseline (its skill
        is 0).
    """
    images = _checked(image_tensor(images), "images")
    pixels = images.shape[-1] * images.shape[-2]
    batch_size = max(1, min(batch_size, CHUNK_PIXELS // pixels))
    ours, gray = [], []
    with torch.no_grad(), evaluation_mode(model) if isinstance(model, nn.Module) else nullcontext():
        for batch in images.split(batch_size):
            predicted = model(batch)
            batch = batch.to(predicted.device)
            ours.append(_per_image(predicted, batch))
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


def _features(images: Tensor, name: str, features: Callable[[Tensor], Tensor] | None) -> Tensor:
    """(N, d) on the CPU (KID and FID are sums of many terms, and some devices have no float64)."""
    found = (features or labkit_features.features)(_checked(images, name)).detach().cpu()
    if found.ndim != 2 or len(found) != len(images) or not bool(found.isfinite().all()):
        raise LabkitError(f"features must be finite, (N, d) for {len(images)} images. Got {tuple(found.shape)}")
    return found.float()


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    return (x @ y.T / x.shape[1] + 1) ** 3


def _mean_off_diagonal(square: Tensor) -> Tensor:
    return (square.sum() - square.trace()) / (len(square) * (len(square) - 1))


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
