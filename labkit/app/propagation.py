"""Spread color hints over a gray image without a network: the baseline of colorizers that take hints.

Levin, Lischinski and Weiss, Colorization using Optimization, 2004: neighbors of similar gray get similar colors. By
hand, because scikit-image has no colorization; the linear system is scipy's to solve.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from labkit.color import luma
from labkit.representation import LAB

NEIGHBORS = tuple((down, right) for down in (-1, 0, 1) for right in (-1, 0, 1) if (down, right) != (0, 0))
LEAST_VARIANCE = 1e-5  # of gray in [0, 1], so that flat areas are as one
LEAST_WEIGHT = 1e-6  # so that every pixel is reached by a hint


def spread_hints(rgb: Tensor, planes: Tensor) -> Tensor:
    """Return images in the colors of their hints alone.

    Args:
        rgb: ``(N, 3, H, W)``; only its luma is used.
        planes: ``(N, 3, H, W)``, see `labkit.hints`; each image has a hint.

    Returns: rgb ``(N, 3, H, W)`` in [0, 1], on the CPU.
    """
    gray = luma(rgb).cpu()
    ab = [
        _spread(one[0].double().numpy(), plane.double().numpy()) for one, plane in zip(gray, planes.cpu(), strict=True)
    ]
    return LAB(input_gray="luma").to_rgb(gray, torch.from_numpy(np.stack(ab)).float())


def _spread(gray: np.ndarray, planes: np.ndarray) -> np.ndarray:
    """Return a and b, divided by 110, such that each pixel without a hint has the weighted mean of its neighbors."""
    from scipy.sparse import coo_array, eye_array  # here: importing it costs a second
    from scipy.sparse.linalg import spsolve

    height, width = gray.shape
    number = np.arange(gray.size).reshape(height, width)
    free = planes[0] == 0
    pixels, others, differences = [], [], []
    for down, right in NEIGHBORS:
        here = (slice(max(0, -down), height - max(0, down)), slice(max(0, -right), width - max(0, right)))
        there = (slice(max(0, down), height - max(0, -down)), slice(max(0, right), width - max(0, -right)))
        pixels.append(number[here].ravel())
        others.append(number[there].ravel())
        differences.append((gray[there] - gray[here]).ravel())
    pixel, other, difference = np.concatenate(pixels), np.concatenate(others), np.concatenate(differences)
    window = np.bincount(pixel) + 1  # pixels of it, with the middle
    variance = np.bincount(pixel, difference**2) / window - (np.bincount(pixel, difference) / window) ** 2
    similar = np.exp(-(difference**2) / np.maximum(0.6 * variance, LEAST_VARIANCE)[pixel])
    weight = (similar + LEAST_WEIGHT) * free.ravel()[pixel]
    total = np.bincount(pixel, weight) + ~free.ravel()  # 1 for a hint, whose neighbors weigh nothing
    mean = coo_array((weight / total[pixel], (pixel, other)), shape=(gray.size, gray.size))
    given = np.where(free, 0, planes[1:]).reshape(2, -1).T  # (pixels, 2)
    return np.asarray(spsolve((eye_array(gray.size) - mean).tocsc(), given)).T.reshape(2, height, width)
