"""What resolution costs: chroma at half the resolution, and the checkerboards of transposed convolutions."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from labkit.color import to_float
from labkit.errors import check_integer
from labkit.representation import Representation


class Colorizes(Protocol):
    """What `checkerboard` needs of a colorizer."""

    def colorize(self, image: Tensor) -> Tensor:
        """Return rgb (N, 3, H, W) for gray (N, 1, H, W)."""


def coarse_chroma(images: Tensor, representation: Representation, stride: int = 2, steps: int = 100) -> Tensor:
    """Return the images with the coarse chroma that is closest to the truth once it is enlarged.

    The average over stride x stride pixels is a good start, and not the best: after enlarging, neighbors mix. Adam goes
    on from there, through the representation's own decoder.

    Args:
        images: (N, 3, H, W), uint8 or float in [0, 1].
        representation: one that does not predict luma.
        stride: pixels a side that share one chroma.
        steps: of Adam; 0 leaves the average.

    Returns:
        rgb (N, 3, H, W) in [0, 1].
    """
    steps = check_integer("steps", steps, low=0)
    true, (gray, coarse) = to_float(images), representation.encode(images, stride)
    coarse = coarse.clone().requires_grad_()
    optimizer = torch.optim.Adam([coarse], lr=0.02)
    for _ in range(steps):
        optimizer.zero_grad()
        (representation.decode(gray, coarse) - true).square().mean().backward()
        optimizer.step()
    return representation.decode(gray, coarse.detach())


def checkerboard(model: Colorizes, size: int = 64) -> float:
    """Return how much a colorizer's output for a flat gray image differs between even and odd pixels.

    Args:
        model: a colorizer.
        size: of the image, in pixels a side; 8 at each border are left out.

    Returns:
        The standard deviation of the means of four classes of pixels (even or odd row, even or odd column), averaged
        over R, G and B, in steps of 1/255.
    """
    inner = model.colorize(torch.full((1, 1, size, size), 0.5))[..., 8:-8, 8:-8].cpu()
    means = [inner[..., i::2, j::2].mean(dim=(-2, -1)) for i in (0, 1) for j in (0, 1)]
    return 255 * float(torch.stack(means).std(dim=0, correction=0).mean())
