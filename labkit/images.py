"""Images from files and into files."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

import numpy as np
import PIL.Image
import torch
from torch import Tensor

from labkit.artifacts import replacing
from labkit.color import to_uint8
from labkit.data.pictures import read_rgb, to_rgb
from labkit.errors import LabkitError

JPEG = {"format": "JPEG", "quality": 95, "subsampling": 0}  # color at full resolution
FILE_FORMATS: dict[str, dict[str, object]] = {
    ".png": {"format": "PNG"},
    ".jpg": JPEG,
    ".jpeg": JPEG,
    ".webp": {"format": "WEBP", "quality": 95},
}

AnyImage: TypeAlias = Tensor | np.ndarray | PIL.Image.Image | str | Path


def read_image(image: AnyImage) -> Tensor:
    """Read an image as a tensor; a gray one gets three equal channels.

    Args:
        image: a file, a PIL image, an array ``(H, W)`` or ``(H, W, 3)``, or a tensor ``(3 | 1, H, W)`` or
            ``(N, 3 | 1, H, W)``; uint8 or float in [0, 1].

    Returns: ``(3, H, W)`` or ``(N, 3, H, W)``, uint8 or float32 in [0, 1].

    Raises:
        LabkitError: the file cannot be read (the message names it); an array or tensor has another shape or type, is
            empty, or holds floats outside [0, 1].
        TypeError: it is no image.
    """
    if isinstance(image, (str, Path)):
        image = read_rgb(Path(image))
    if isinstance(image, PIL.Image.Image):
        image = np.asarray(to_rgb(image))
    if isinstance(image, np.ndarray):
        if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (1, 3)):
            raise LabkitError(f"expected an array (H, W) or (H, W, 3). Got {image.shape}")
        if image.dtype.kind not in "uif":
            raise LabkitError(f"expected uint8 or float values in [0, 1]. Got {image.dtype}")
        image = torch.from_numpy(np.array(image))  # a copy: arrays from files may be read-only
        image = image[None] if image.dim() == 2 else image.permute(2, 0, 1)
    if not isinstance(image, Tensor):
        raise TypeError(f"expected a file, a PIL image, an array or a tensor. Got {type(image).__name__}")
    if image.dim() not in (3, 4) or image.shape[-3] not in (1, 3) or image.numel() == 0:
        raise LabkitError(f"expected an image (3 or 1, H, W) or a batch of them, not empty. Got {tuple(image.shape)}")
    if image.dtype != torch.uint8 and not image.is_floating_point():
        raise LabkitError(f"expected uint8 or float values in [0, 1]. Got {image.dtype}")
    if image.is_floating_point():
        image = image.float()
        low, high = float(image.min()), float(image.max())
        if not -0.01 <= low <= high <= 1.01:  # a hair outside is rounding; 0..255 would come back white; NaN fails too
            raise LabkitError(f"expected float values in [0, 1] (divide by 255?). Got {low:g} to {high:g}")
    return image.expand(*image.shape[:-3], 3, *image.shape[-2:])


def save_image(image: Tensor, path: str | Path) -> None:
    """Write an image into a file, in the format that its name ends in.

    The file is there as a whole or not at all. JPEG has quality 95 and keeps color at full resolution.

    Args:
        image: (3, H, W), or (1, H, W) for gray; uint8, or float in [0, 1] (values outside are clipped).
        path: ends in .png, .jpg, .jpeg or .webp; its folder is made if it is missing.

    Raises:
        TypeError: the image is no tensor.
        LabkitError: another shape or type, NaN, another file name, or a file that cannot be written.
    """
    path = Path(path)
    options = FILE_FORMATS.get(path.suffix.lower())
    if options is None:
        raise LabkitError(f"unknown image format: got {str(path)!r}, expected a name in {', '.join(FILE_FORMATS)}")
    if not isinstance(image, Tensor):
        raise TypeError(f"expected an image as a tensor, got {type(image).__name__}")
    if image.dim() != 3 or image.shape[0] not in (1, 3) or image.numel() == 0:
        shape = tuple(image.shape)
        raise LabkitError(f"wrong shape of image: got {shape}, expected (3, H, W) or (1, H, W). Take one: images[0].")
    if image.is_floating_point():
        if not bool(torch.isfinite(image).all()):
            raise LabkitError("the image holds NaN or infinity, expected values in [0, 1]")
    elif image.dtype != torch.uint8:
        raise TypeError(f"expected an image of uint8 or float in [0, 1], got {image.dtype}")
    pixels = to_uint8(image.detach()).permute(1, 2, 0).cpu().numpy()
    picture = PIL.Image.fromarray(pixels[..., 0] if image.shape[0] == 1 else pixels)
    try:
        with replacing(path) as temporary:
            picture.save(temporary, **options)  # type: ignore[arg-type]
    except OSError as error:
        raise LabkitError(f"{path} cannot be written ({error.strerror or error}). Choose another place.") from None
