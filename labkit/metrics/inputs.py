"""Check the images that the metrics take, and bring them to a floating-point type that is exact enough."""

from __future__ import annotations

import torch
from torch import Tensor

from labkit.color import at_least_float32, to_float
from labkit.errors import LabkitError

CHUNK_PIXELS = 2**20  # at most this many pixels are scored at a time, so that memory stays bounded


def check_images(images: Tensor, name: str) -> Tensor:
    """Return the images as they are, after checking them.

    Args:
        images: (N, 3, H, W), float in [0, 1] or uint8.
        name: what an error calls them.

    Returns:
        The same tensor.

    Raises:
        TypeError: if they are no tensor, or a tensor of other integers than uint8.
        LabkitError: if they have another shape.
    """
    if not isinstance(images, Tensor):
        raise TypeError(f"wrong type of {name}: got {type(images).__name__}, expected a torch tensor (N, 3, H, W)")
    if images.ndim != 4 or images.shape[1] != 3 or 0 in images.shape:
        raise LabkitError(
            f"wrong shape of {name}: got {tuple(images.shape)}, expected (N, 3, H, W), none of them 0. "
            "Of one image (3, H, W) make a batch with image[None]."
        )
    if not (images.is_floating_point() or images.dtype == torch.uint8):
        raise TypeError(f"wrong type of {name}: got {images.dtype}, expected float in [0, 1] or uint8")
    return images


def check_pair(pred: Tensor, true: Tensor) -> None:
    """Check two batches of images that are to be compared pixel by pixel.

    Args:
        pred: (N, 3, H, W).
        true: (N, 3, H, W).

    Raises:
        TypeError: as `check_images`.
        LabkitError: as `check_images`; and if the shapes differ.
    """
    check_images(pred, "pred")
    check_images(true, "true")
    if pred.shape != true.shape:
        raise LabkitError(
            f"pred and true differ in shape: got {tuple(pred.shape)} and {tuple(true.shape)}, expected one (N, 3, H, W)"
        )


def float_images(images: Tensor, name: str) -> Tensor:
    """Return the images as floats in [0, 1], at least float32: half precision has too few digits to score with.

    Args:
        images: (N, 3, H, W), float in [0, 1] or uint8.
        name: what an error calls them.

    Returns:
        Float images (N, 3, H, W).
    """
    return at_least_float32(to_float(check_images(images, name)))


def float_pair(pred: Tensor, true: Tensor) -> tuple[Tensor, Tensor]:
    """Return both batches as floats of one type on the device of `pred`, after `check_pair`."""
    check_pair(pred, true)
    pred, true = float_images(pred, "pred"), float_images(true, "true")
    dtype = torch.promote_types(pred.dtype, true.dtype)
    return pred.to(dtype), true.to(pred.device, dtype)


def chunk_length(images: Tensor) -> int:
    """Return how many of the images (N, 3, H, W) to score at a time: `CHUNK_PIXELS`, but at least one image."""
    return max(1, CHUNK_PIXELS // (images.shape[-1] * images.shape[-2]))


def chunks(images: Tensor) -> tuple[Tensor, ...]:
    """Split images (N, 3, H, W) into batches of `chunk_length`."""
    return images.split(chunk_length(images))
