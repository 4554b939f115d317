"""Distances between two sets of images: KID and FID over the features of `labkit.metrics.features`.

These say whether predictions look like true images as a set, not whether each pixel has its true color.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from labkit.errors import LabkitError, check_integer, check_seed
from labkit.metrics.features import extract_features
from labkit.metrics.inputs import check_images

KERNEL_ROWS = 1000  # of the kernel matrix of KID at a time: 40 MB each for 10,000 images
KID_NAME, FID_NAME = "KID (labkit features)", "FID (labkit features)"  # what tables must call them


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
    """Return the kernel distance of two sets of images: 0 is best; an estimate may be a little below.

    The squared maximum mean discrepancy of the features of all images, unbiased: with the kernel k(a, b) = (a . b / d +
    1)^3, the mean of k within one set plus that within the other minus twice that between them. An image is compared
    neither with itself nor with its own colorization: they are no independent samples, and with them, as libraries
    compute it, good colorizations come out below zero. `fid` is biased by the number of images; this is not. Two sets
    of other images, not pairs, may be given as well. The standard error is the standard deviation over random halves of
    the images (the delete-half jackknife).

    With the default features its name is `KID_NAME`; never compare it with published numbers, whose features come from
    an Inception network for images of 299 x 299 pixels.

    Args:
        pred: (N, 3, H, W), float in [0, 1] or uint8.
        true: (N, 3, h, w), as many images; their size may differ.
        features: images -> (N, d); None for `labkit.metrics.features.extract_features`.
        subsets: number of random halves.
        seed: of the halves.

    Returns:
        The distance and its standard error.

    Raises:
        LabkitError: for unequal numbers of images, fewer than 4 of them, or fewer than 2 subsets.

    Source: Binkowski, Sutherland, Arbel and Gretton, Demystifying MMD GANs, ICLR 2018 (who average over subsets
    only); pairs left out as in equation 4 of Gretton et al., A kernel two-sample test, JMLR 13, 2012.
    """
    subsets, seed = check_integer("subsets", subsets, low=2), check_seed(seed)
    x, y = _features(pred, "pred", features), _features(true, "true", features)
    count = len(x)
    if count != len(y) or count < 4:
        raise LabkitError(
            f"wrong number of images for KID: got {count} and {len(y)}, expected as many in pred as in true, at least 4"
        )
    members = _random_halves(count, subsets, seed)
    sums = torch.zeros(1 + subsets)
    for rows in torch.arange(count).split(KERNEL_ROWS):
        kernels = _kernel(x[rows], x) + _kernel(y[rows], y) - 2 * _kernel(x[rows], y)  # (rows, N)
        kernels[torch.arange(len(rows)), rows] = 0
        sums += (members[:, rows] @ kernels * members).sum(dim=1)
    sizes = members.sum(dim=1)
    values = sums / (sizes * (sizes - 1))
    return Kid(values[0].item(), values[1:].std(correction=0).item())


def _random_halves(count: int, subsets: int, seed: int) -> Tensor:
    """(1 + subsets, count): 1 where an image belongs to a subset, else 0. The first subset is the whole set."""
    generator = torch.Generator().manual_seed(seed)
    members = torch.zeros(1 + subsets, count)
    members[0] = 1
    for half in members[1:]:
        half[torch.randperm(count, generator=generator)[: count // 2]] = 1
    return members


def fid(pred: Tensor, true: Tensor, features: Callable[[Tensor], Tensor] | None = None) -> float:
    """Return the Frechet distance of two Gaussians fitted to the features of two sets of images: 0 is best.

    ``|mean difference|^2 + tr(A + B - 2 (A B)^(1/2))`` with the covariances A and B. It is biased: fewer images give
    larger values, even between two samples of one distribution. Compare only values of equal N; `kid` has no bias.

    With the default features its name is `FID_NAME`; never compare it with published numbers.

    Args:
        pred: (N, 3, H, W), float in [0, 1] or uint8.
        true: (M, 3, h, w); number and size may differ.
        features: images -> (N, d); None for `labkit.metrics.features.extract_features` (d = 128).

    Returns:
        The distance, in squared units of the features.

    Raises:
        LabkitError: if N or M is not above d, because the covariances would be singular.

    Source: Heusel et al., GANs trained by a two time-scale update rule, NeurIPS 2017, equation 6.
    """
    x, y = _features(pred, "pred", features).double(), _features(true, "true", features).double()
    if min(len(x), len(y)) <= x.shape[1]:
        raise LabkitError(
            f"too few images for FID: got {len(x)} and {len(y)}, expected more than {x.shape[1]} of each (there are so "
            "many features, and with fewer images a covariance is singular). Take more images, or kid."
        )
    a, b = x.T.cov(), y.T.cov()  # (d, d)
    values, vectors = torch.linalg.eigh(a)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    cross = torch.linalg.eigvalsh(root @ b @ root).clamp(min=0).sqrt().sum()  # trace of (A B)^(1/2)
    return ((x.mean(0) - y.mean(0)).square().sum() + a.trace() + b.trace() - 2 * cross).item()


def _features(images: Tensor, name: str, features: Callable[[Tensor], Tensor] | None) -> Tensor:
    """(N, d) on the CPU (KID and FID are sums of many terms, and some devices have no float64)."""
    found = (features or extract_features)(check_images(images, name)).detach().cpu()
    if found.ndim != 2 or len(found) != len(images) or not bool(found.isfinite().all()):
        raise LabkitError(
            f"wrong features of {name}: got {tuple(found.shape)}, expected finite (N, d) with N = {len(images)}"
        )
    return found.float()


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    return (x @ y.T / x.shape[1] + 1) ** 3
