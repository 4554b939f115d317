"""Image files of any kind to uint8 RGB squares."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from labkit.artifacts import replacing
from labkit.errors import LabkitError

EXTENSIONS = frozenset(
    [".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".avif"]
)
# What Pillow raises for one damaged file or another.
_UNREADABLE = (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError)


def read_rgb(path: Path, size: int | None = None) -> np.ndarray:
    """One image file as uint8 ``(H, W, 3)``; with ``size``, the centered square resized to that many pixels.

    EXIF rotation is applied; alpha is laid on white; palette, gray, 16-bit and CMYK become 8-bit RGB; of an animation
    or a multi-page file the first frame counts.

    Raises:
        LabkitError: the file is damaged, truncated, too large or of no kind that Pillow reads; it is named.
    """
    try:
        with Image.open(path) as image:
            if size is not None and image.format == "JPEG" and image.mode == "RGB":
                image.draft("RGB", (2 * size, 2 * size))  # decode large photographs at a fraction of their size
            rgb = to_rgb(ImageOps.exif_transpose(image))
            if size is not None:
                side = min(rgb.size)
                left, top = (rgb.width - side) // 2, (rgb.height - side) // 2
                square = rgb.crop((left, top, left + side, top + side))  # before resizing: nothing outside blends in
                rgb = square.resize((size, size), Image.Resampling.BICUBIC)
            return np.asarray(rgb)
    except FileNotFoundError:
        raise LabkitError(f"{path}: no such image file") from None
    except _UNREADABLE as error:
        raise _unreadable(path, error) from None


def to_rgb(image: Image.Image) -> Image.Image:
    """Any Pillow image as 8-bit RGB: alpha laid on white, 16 bits and floats scaled.

    Raises:
        ValueError: numbers outside 0 to 65535 (of floats: outside 0 to 1).
    """
    if image.mode.startswith("I") or image.mode == "F":
        return _from_deep(np.asarray(image))
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")


def _from_deep(values: np.ndarray) -> Image.Image:
    """Gray of 16 bits (0..65535) or of floats (0..1) to 8-bit RGB; Pillow's own conversion would clip it to white."""
    top = 1.0 if values.dtype.kind == "f" else 65535.0
    if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= top):
        raise ValueError(f"values from {values.min()} to {values.max()}, expected 0 to {top:g}")
    return Image.fromarray(np.rint(values / top * 255).astype(np.uint8)).convert("RGB")


def read_size(path: Path) -> tuple[int, int]:
    """(width, height) as shown, from the header only.

    Raises:
        LabkitError: the header is no image's; the file is named.
    """
    try:
        with Image.open(path) as image:
            turned = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)  # EXIF orientation: lies on its side
            return (image.height, image.width) if turned else image.size
    except _UNREADABLE as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> LabkitError:
    reason = " ".join(str(error).split()).replace(f" {str(path)!r}", "")
    return LabkitError(f"{path} cannot be read as an image ({reason}): replace or remove the file")


def read_all(paths: Sequence[Path], names: Sequence[str], size: int, cache: Path, what: str) -> Tensor:
    """All images as one uint8 ``(N, 3, size, size)`` tensor that is mapped from a file in ``cache``.

    Decoding happens once: the cache file's name is a hash of each image's name, size and time of change, and it gets
    that name only when complete. Where the cache cannot be written, the tensor is made in memory.
    """
    key = [[name, path.stat().st_size, path.stat().st_mtime_ns] for name, path in zip(names, paths, strict=True)]
    digest = hashlib.sha256(json.dumps(["v1", size, key]).encode()).hexdigest()[:24]
    target = cache / f"{digest}-{size}.npy"
    shape = (len(paths), 3, size, size)
    if target.is_file():
        try:
            # Mode "c" (copy on write) gives a writable array, as torch wants, and never changes the file.
            mapped = np.load(target, mmap_mode="c")
            if mapped.shape == shape and mapped.dtype == np.uint8:
                return torch.from_numpy(mapped)
        except (OSError, ValueError):
            pass  # not ours or damaged: made anew below
    try:
        with replacing(target) as temporary:
            pages = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=shape)
            _decode_into(pages, paths, size, what)
            pages.flush()
            del pages
        return torch.from_numpy(np.load(target, mmap_mode="c"))
    except OSError:
        images = np.empty(shape, np.uint8)
        _decode_into(images, paths, size, what)
        return torch.from_numpy(images)


def _decode_into(images: np.ndarray, paths: Sequence[Path], size: int, what: str) -> None:
    from tqdm.auto import tqdm

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # Pillow decodes outside Python's lock
        decoded = pool.map(lambda path: read_rgb(path, size), paths)
        progress = tqdm(decoded, total=len(paths), desc=f"decoding {what}", unit="image", disable=len(paths) < 200)
        for index, rgb in enumerate(progress):
            images[index] = rgb.transpose(2, 0, 1)
