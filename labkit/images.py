"""Images from files and into files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeAlias

import numpy as np
import PIL.Image
import torch
from torch import Tensor

from labkit.artifacts import replacing
from labkit.color import to_uint8
from labkit.data.pictures import read_rgb, to_rgb
from labkit.errors import LabkitError, check_integer

JPEG = {"format": "JPEG", "quality": 95, "subsampling": 0}  # color at full resolution
FILE_FORMATS: dict[str, dict[str, object]] = {
    ".png": {"format": "PNG", "compress_level": 3},  # 6, the default, takes 2.5 to 3 times as long for 6 to 10 % less
    ".jpg": JPEG,
    ".jpeg": JPEG,
    ".webp": {"format": "WEBP", "quality": 95},
}

EXIF_DATE, EXIF_IFD, GPS_IFD = 0x0132, 0x8769, 0x8825
EXIF_DATES = (0x9003, 0x9004, 0x9010, 0x9011, 0x9012, 0x9290, 0x9291, 0x9292)  # taken, digitized, time zones, fractions

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


@dataclass(frozen=True)
class Metadata:
    """What a photograph's file says beside its pixels, as far as it is kept.

    Attributes:
        exif: when it was taken, and where if that was asked for; None: nothing.
        icc_profile: of its RGB color space; None: sRGB, or one of gray or CMYK, which no colored picture can have.
    """

    exif: PIL.Image.Exif | None = None
    icc_profile: bytes | None = None


def read_metadata(path: str | Path | BinaryIO, gps: bool = False) -> Metadata:
    """Read the date and the color profile of a photograph; a file whose metadata cannot be read has none.

    Args:
        path: an image file, or one that is open.
        gps: whether to read where it was taken, too.
    """
    kept = PIL.Image.Exif()
    try:
        with PIL.Image.open(path) as image:
            found = image.getexif()
            if date := found.get(EXIF_DATE):
                kept[EXIF_DATE] = date
            own = found.get_ifd(EXIF_IFD)
            if dates := {tag: own[tag] for tag in EXIF_DATES if tag in own}:
                kept[EXIF_IFD] = dates
            if gps and (place := found.get_ifd(GPS_IFD)):
                kept[GPS_IFD] = dict(place)
            profile = image.info.get("icc_profile")
    except Exception:  # Pillow raises nearly every exception on damaged metadata; they are no reason to fail
        return Metadata()
    return Metadata(kept if len(kept) else None, profile if profile and _is_rgb(profile) else None)


def _is_rgb(profile: bytes) -> bool:
    """Return whether an ICC profile describes RGB: bytes 16 to 19 of its header say so."""
    return isinstance(profile, bytes) and profile[16:20] == b"RGB "


def to_pil(image: Tensor) -> PIL.Image.Image:
    """Return an image ``(3 or 1, H, W)``, uint8 or float in [0, 1], as Pillow's."""
    pixels = to_uint8(image.detach()).permute(1, 2, 0).cpu().numpy()
    return PIL.Image.fromarray(pixels[..., 0] if image.shape[0] == 1 else pixels)


def save_image(
    image: Tensor, path: str | Path, *, quality: int | None = None, metadata: Metadata | None = None
) -> None:
    """Write an image into a file, in the format that its name ends in.

    The file is there as a whole or not at all. JPEG keeps color at full resolution.

    Args:
        image: (3, H, W), or (1, H, W) for gray; uint8, or float in [0, 1] (values outside are clipped).
        path: ends in .png, .jpg, .jpeg or .webp; its folder is made if it is missing.
        quality: of JPEG and WebP, 1 to 100; None: 95.
        metadata: date, place and color profile to write beside the pixels.

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
    if quality is not None and "quality" in options:
        options = {**options, "quality": check_integer("quality", quality, low=1, high=100)}
    if metadata is not None:
        options = {**options, "icc_profile": metadata.icc_profile}
        options |= {"exif": metadata.exif} if metadata.exif else {}
    picture = to_pil(image)
    try:
        with replacing(path) as temporary:
            picture.save(temporary, **options)  # type: ignore[arg-type]
    except OSError as error:
        raise LabkitError(f"{path} cannot be written ({error.strerror or error}). Choose another place.") from None
