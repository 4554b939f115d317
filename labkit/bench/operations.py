"""Single operations: color conversion, color bins and SSIM, each beside the libraries that have it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from labkit.bench.measure import Contestant, Settings, compare
from labkit.bench.report import Row
from labkit.bench.training import arrays, pictures
from labkit.color import lab_to_rgb, rgb_to_lab, to_float
from labkit.metrics import ssim as labkit_ssim
from labkit.quantize import NEIGHBORS, TEMPERATURE, Quantizer, ab313, ab676

PIECE = 1 << 14  # colors that brute force compares with all bins at a time: more would not stay in the cache


def call(function: Callable[..., Any], *arguments: Any, **options: Any) -> Contestant:
    """Return a contestant that calls a function and forgets its result."""

    def run() -> None:
        with torch.no_grad():
            function(*arguments, **options)

    return run


def color(settings: Settings) -> Iterator[Row]:
    """Compare RGB to LAB, from uint8 and from float, and LAB to RGB."""
    from skimage.color import lab2rgb, rgb2lab

    rgb = pictures(4 if settings.quick else 16, 256)  # uint8 (N, 3, H, W)
    last = np.stack(arrays(rgb))  # (N, H, W, 3)
    real = to_float(rgb)
    lab = rgb_to_lab(real)
    tasks = {
        "RGB to LAB, uint8": (call(rgb_to_lab, rgb), call(rgb2lab, last)),
        "RGB to LAB, float": (call(rgb_to_lab, real), call(rgb2lab, last / 255)),
        "LAB to RGB, float": (call(lab_to_rgb, lab), call(lab2rgb, rgb2lab(last))),
    }
    try:
        from kornia.color import lab_to_rgb as kornia_to_rgb
        from kornia.color import rgb_to_lab as kornia_to_lab

        kornias = [
            call(lambda: kornia_to_lab(rgb.float() / 255)),
            call(kornia_to_lab, real),
            call(kornia_to_rgb, lab, clip=False),
        ]
    except ImportError:
        kornias = []
    for index, (task, (ours, theirs)) in enumerate(tasks.items()):
        task = f"{task}, {len(rgb)} x 256 px"
        contestants = {"labkit": ours, "scikit-image, float64": theirs}
        contestants |= {"kornia": kornias[index]} if kornias else {}
        yield from compare("color", task, contestants, settings.repeats)
        if not kornias:
            yield Row(part="color", task=task, names=("labkit", "kornia"), missing="pip install kornia")


def quantizer(settings: Settings) -> Iterator[Row]:
    """Compare encoding and decoding of colors as bins with brute force, which looks at every bin."""
    images = pictures(4 if settings.quick else 16, 128)
    ab = rgb_to_lab(images)[:, 1:]  # (N, 2, H, W)
    for bins in (ab313(), ab676()):
        task = f"{bins.name}, {len(ab)} x 128 px"
        contestants = {"labkit": call(bins.encode, ab), "brute force": call(brute_force, bins, ab, 1)}
        yield from compare("quantizer", f"{task}, encode", contestants, settings.repeats)
        contestants = {"labkit": call(bins.soft_encode, ab), "brute force": call(brute_force, bins, ab, NEIGHBORS)}
        yield from compare("quantizer", f"{task}, soft encode", contestants, settings.repeats)
    bins = ab313()
    logits = torch.randn(2 if settings.quick else 8, len(bins), 64, 64)
    contestants = {"labkit": call(bins.decode, logits), "brute force": call(brute_decode, bins, logits)}
    yield from compare("quantizer", f"{bins.name}, {len(logits)} x 64 px, decode", contestants, settings.repeats)


def brute_force(bins: Quantizer, colors: Tensor, count: int) -> Tensor:
    """Return the ``count`` nearest bins of colors ``(N, 2, H, W)``, found by comparing each color with each bin."""
    flat = colors.movedim(1, -1).reshape(-1, colors.shape[1])
    return torch.cat([torch.cdist(part, bins.centers).topk(count, largest=False)[1] for part in flat.split(PIECE)])


def brute_decode(bins: Quantizer, logits: Tensor) -> Tensor:
    """Return the annealed mean of logits ``(N, Q, H, W)`` as it is written in a formula."""
    return torch.einsum("nqhw,qd->ndhw", (logits / TEMPERATURE).softmax(dim=1), bins.centers)


def ssim(settings: Settings) -> Iterator[Row]:
    """Compare SSIM with the authors' settings. labkit's own is torchmetrics' map without its border."""
    from skimage.metrics import structural_similarity
    from torchmetrics.functional.image import structural_similarity_index_measure

    true = to_float(pictures(4 if settings.quick else 16, 128))
    pred = (true + 0.05 * torch.randn(true.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    pairs = list(zip(pred.double().numpy(), true.double().numpy(), strict=True))
    authors: dict[str, Any] = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1}

    def scikit_image() -> None:
        for a, b in pairs:
            structural_similarity(a, b, channel_axis=0, **authors)

    contestants: dict[str, Contestant] = {
        "labkit": call(labkit_ssim, pred, true),
        "scikit-image": scikit_image,
        "torchmetrics": call(structural_similarity_index_measure, pred, true, sigma=1.5, data_range=1.0),
    }
    yield from compare("ssim", f"SSIM, {len(true)} x 128 px", contestants, settings.repeats)
