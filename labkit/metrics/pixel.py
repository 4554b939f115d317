"""Scores that compare images pixel by pixel: errors, PSNR, SSIM, accuracies, colorfulness, color bias and hue.

Images are (N, 3, H, W), float in [0, 1] or uint8. A score of each image is a float tensor (N,). Values outside
[0, 1] are scored as they are, not clipped.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from labkit.color import rgb_to_lab
from labkit.errors import LabkitError, check_number
from labkit.metrics.inputs import chunks, float_images, float_pair

PSNR_CAP = 50.0  # dB; about 1 % of the CIFAR-10 test images are exactly gray and would otherwise score infinity
SSIM_WINDOW = 11  # pixels; Wang's 11-tap Gaussian window
SSIM_SIGMA = 1.5
ROUNDING = 1e-6  # added to a threshold, so that uint8 images and their floats agree at the threshold itself

HUE_SECTORS = 6  # of 60 degrees each, from 0 (CIELAB's +a axis, a purplish red) counterclockwise
HUE_TOLERANCE = 30.0  # degrees to either side: a hue drawn at random is right with probability 1/6
COLORED = 15.0  # CIELAB chroma above which a true pixel counts: near gray, hue is noise
HUELESS = 1.0  # CIELAB chroma below which a predicted pixel is gray: its hue is a rounding error


def mse(pred: Tensor, true: Tensor) -> Tensor:
    """Return the mean squared error of each image, over its pixels and channels.

    Args:
        pred: (N, 3, H, W).
        true: (N, 3, H, W).

    Returns:
        (N,), in squared units of [0, 1].
    """
    pred, true = float_pair(pred, true)
    return (pred - true).square().mean(dim=(1, 2, 3))


def mae(pred: Tensor, true: Tensor) -> Tensor:
    """Return the mean absolute error of each image, over its pixels and channels.

    Args:
        pred: (N, 3, H, W).
        true: (N, 3, H, W).

    Returns:
        (N,), in units of [0, 1].
    """
    pred, true = float_pair(pred, true)
    return (pred - true).abs().mean(dim=(1, 2, 3))


def psnr(pred: Tensor, true: Tensor) -> Tensor:
    """Return the peak signal-to-noise ratio of each image, 10 log10(1 / MSE), at most 50 dB (`PSNR_CAP`).

    Args:
        pred: (N, 3, H, W).
        true: (N, 3, H, W).

    Returns:
        (N,), in dB.
    """
    return decibel(mse(pred, true))


def decibel(mse: Tensor) -> Tensor:
    """Return the PSNR that belongs to a mean squared error, in dB, at most `PSNR_CAP`; of any shape."""
    return (-10 * mse.log10()).clamp(max=PSNR_CAP)


def ssim(pred: Tensor, true: Tensor) -> Tensor:
    """Return the structural similarity of each image, with the settings of its authors; 1 is perfect.

    Gaussian window of 11 taps with sigma 1.5, K1 = .01, K2 = .03, data range 1, averaged over the pixels
    whose window lies inside the image and over the channels. scikit-image gives the same numbers with
    gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1; at 32 x 32 other settings
    differ by up to .035.

    Args:
        pred: (N, 3, H, W).
        true: (N, 3, H, W).

    Returns:
        (N,).

    Raises:
        LabkitError: if a side is shorter than 11 pixels, because no window fits.

    Source: Wang, Bovik, Sheikh and Simoncelli, Image quality assessment, IEEE TIP 13(4), 2004.
    """
    pred, true = float_pair(pred, true)
    if min(true.shape[-2:]) < SSIM_WINDOW:
        raise LabkitError(
            f"images too small for SSIM: got {tuple(true.shape)}, expected at least {SSIM_WINDOW} pixels a side"
        )
    return torch.cat([_ssim(a, b) for a, b in zip(chunks(pred), chunks(true), strict=True)])


def pixel_accuracy(pred: Tensor, true: Tensor, threshold: float = 0.05) -> dict[str, Tensor]:
    """Return the fraction of correct pixels of each image, and of correct values of each channel.

    A value is correct where ``|pred - true| <= threshold``, a pixel where all three of its values are. All images of a
    batch have one size, so the mean over images is also the fraction of all their pixels. Nazeri, Ng and
    Ebrahimi (Image colorization using generative adversarial networks, 2018) call the thresholds .02 and .05 2 and
    5 percent. A paper that prints one accuracy without threshold and color space cannot be compared with. Gray is
    correct wherever colors are faint: print its accuracy too.

    Args:
        pred: (N, 3, H, W).
        true: (N, 3, H, W).
        threshold: largest difference of a correct value, as a fraction of the range of a channel (0 to 1).

    Returns:
        A dict of four tensors (N,): "all", "red", "green" and "blue".

    Raises:
        LabkitError: if the threshold is not in [0, 1].
    """
    threshold = check_number("threshold (a fraction: 0.05 is 5 percent)", threshold, low=0, high=1)
    pred, true = float_pair(pred, true)
    correct = (pred - true).abs() <= threshold + ROUNDING  # (N, 3, H, W)
    red, green, blue = correct.to(pred.dtype).mean(dim=(2, 3)).unbind(dim=1)
    return {"all": correct.all(dim=1).to(pred.dtype).mean(dim=(1, 2)), "red": red, "green": green, "blue": blue}


def colorfulness(rgb: Tensor) -> Tensor:
    """Return the colorfulness of each image: 0 is gray, 15 "slightly", 33 "moderately", 59 "quite" colorful.

    With R, G, B in 0..255, rg = R - G and yb = (R + G) / 2 - B (both signed: taking absolute values first is
    a known mistake): sqrt(var rg + var yb) + .3 sqrt(mean(rg)^2 + mean(yb)^2).

    Args:
        rgb: (N, 3, H, W).

    Returns:
        (N,).

    Source: Hasler and Suesstrunk, Measuring colourfulness in natural images, SPIE 5007, 2003.
    """
    red, green, blue = (255 * float_images(rgb, "rgb")).flatten(2).unbind(dim=1)  # each (N, H * W)
    rg = red - green
    yb = (red + green) / 2 - blue
    spread = (rg.var(dim=1, correction=0) + yb.var(dim=1, correction=0)).sqrt()
    return spread + 0.3 * (rg.mean(dim=1).square() + yb.mean(dim=1).square()).sqrt()


def color_bias(pred: Tensor, true: Tensor) -> Tensor:
    """Return the mean of pred - true in a and b of CIELAB: how much too red and too yellow each image is.

    Above zero: too red, too yellow; below: too green, too blue. 2 is just noticeable on a plain surface. Means over
    many images say whether a colorizer drifts in one direction; its errors from image to image cancel there.

    Args:
        pred: (N, 3, H, W).
        true: (N, 3, H, W).

    Returns:
        (N, 2), in CIELAB units.
    """
    pred, true = float_pair(pred, true)
    parts = zip(chunks(pred), chunks(true), strict=True)
    return torch.cat([(rgb_to_lab(a) - rgb_to_lab(b))[:, 1:].mean(dim=(2, 3)) for a, b in parts])


def hue_counts(pred: Tensor, true: Tensor) -> Tensor:
    """Count, in each sector of true hue, the colored pixels and those whose hue is predicted correctly.

    Counts of batches add up: ``balanced_accuracy(sum(hue_counts(p, t) for p, t in batches))`` is
    `balanced_hue_accuracy` of all the images, whatever the batches.

    Args:
        pred: (N, 3, H, W).
        true: (N, 3, H, W).

    Returns:
        (2, 6), int64: correct pixels and all pixels, in the sectors [0, 60), [60, 120), ... [300, 360) degrees.
    """
    pred, true = float_pair(pred, true)
    counts = torch.zeros(2, HUE_SECTORS, dtype=torch.int64, device=pred.device)
    sectors = torch.arange(HUE_SECTORS, device=pred.device).view(-1, 1, 1, 1)
    for a, b in zip(chunks(pred), chunks(true), strict=True):
        (pred_hue, pred_chroma), (hue, chroma) = _hue_and_chroma(a), _hue_and_chroma(b)  # (n, H, W) each
        apart = ((pred_hue - hue + 180) % 360 - 180).abs()  # the shorter way around the circle
        correct = (apart <= HUE_TOLERANCE) & (pred_chroma >= HUELESS)
        sector = (hue * HUE_SECTORS / 360).long() % HUE_SECTORS  # % because a hue just below 0 may round up to 360
        inside = (sector == sectors) & (chroma > COLORED)  # (6, n, H, W)
        counts += torch.stack([(inside & correct).sum(dim=(1, 2, 3)), inside.sum(dim=(1, 2, 3))])
    return counts


def balanced_accuracy(counts: Tensor) -> float:
    """Return the mean over classes of the fraction of each class that is correct.

    A class of which there is nothing is left out of the mean, as scikit-learn's balanced_accuracy_score does: 0 would
    blame the prediction for what the true images lack, and any other value would be invented.

    Args:
        counts: (2, K): correct ones and all of them, in each of K classes.

    Returns:
        A number from 0 to 1; NaN where every class is empty.
    """
    correct, total = counts.cpu().double()
    present = total > 0
    return (correct[present] / total[present]).mean().item() if present.any() else math.nan


def balanced_hue_accuracy(pred: Tensor, true: Tensor) -> float:
    """Return the fraction of colored pixels whose hue is predicted to within 30 degrees, every hue weighing the same.

    Pooled over the images: of the pixels whose true CIELAB chroma is above 15, in each of the six sectors [0, 60),
    [60, 120), ... [300, 360) of true hue the fraction whose predicted hue lies within 30 degrees on the circle; the
    mean of the six fractions. A pixel predicted with a chroma below 1 is wrong: it is gray. Hues at random give 1/6,
    gray 0. Most photographs are mostly orange; a colorizer that makes everything orange is correct in one sector
    only and has 1/6 as well.

    A sector without true pixels is left out of the mean (see `balanced_accuracy`), so compare only scores on the same
    images.

    Args:
        pred: (N, 3, H, W).
        true: (N, 3, H, W).

    Returns:
        A number from 0 to 1; NaN if no true pixel is colored.
    """
    return balanced_accuracy(hue_counts(pred, true))


def _hue_and_chroma(rgb: Tensor) -> tuple[Tensor, Tensor]:
    """CIELAB hue in degrees, 0 to 360, and chroma, both (N, H, W)."""
    a, b = rgb_to_lab(rgb)[:, 1:].unbind(dim=1)
    return torch.atan2(b, a).rad2deg() % 360, torch.hypot(a, b)


def _ssim(pred: Tensor, true: Tensor) -> Tensor:
    from torchmetrics.functional.image import structural_similarity_index_measure  # here: it costs seconds

    # torchmetrics' own average takes in a border of reflected pixels (+-.01 at 32 x 32), Wang's and scikit-image's does
    # not: ask for the map and cut the border off.
    _, similarity = structural_similarity_index_measure(
        pred, true, gaussian_kernel=True, sigma=SSIM_SIGMA, data_range=1.0, reduction="none", return_full_image=True
    )
    edge = SSIM_WINDOW // 2
    return similarity[..., edge:-edge, edge:-edge].mean(dim=(1, 2, 3))
