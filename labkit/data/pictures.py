"""Image files of any kind to uint8 RGB squares."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from labkit.artifacts import replacing
from labkit.data.dataset import check_size
from labkit.errors import LabkitError, one_line
from labkit.machine import cores

EXTENSIONS = frozenset(
    [".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".avif"]
)
SENT = ("JPEG", "PNG", "WEBP", "GIF", "BMP")  # formats that are decoded when a stranger sends them
_ORIENTATION = 0x0112  # the EXIF tag
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_rgb(path: Path, size: int | None = None) -> np.ndarray:
    """Read one image file as 8-bit RGB, as a picture viewer shows it.

    EXIF rotation is applied; alpha is laid on white; palette, gray, 16-bit and CMYK become 8-bit RGB; of an animation
    or a multi-page file the first frame counts. Integers of 32 bits and floats are scaled as `to_rgb` says.

    Args:
        path: the file.
        size: side in pixels of the centered square to return; None: the whole image.

    Returns:
        uint8 ``(H, W, 3)``, or ``(size, size, 3)``.

    Raises:
        LabkitError: the file is absent, damaged, truncated, too large or of no kind that Pillow reads; it is named.
    """
    if size is not None:
        size = check_size(size)
    with _guard(path), Image.open(path, formats=_formats()) as image:
        if size is not None and image.format == "JPEG" and image.mode == "RGB":
            image.draft("RGB", (2 * size, 2 * size))  # decode large photographs at a fraction of their size
        rgb = to_rgb(_turned(image))
        if size is not None:
            side = min(rgb.size)
            left, top = (rgb.width - side) // 2, (rgb.height - side) // 2
            square = rgb.crop((left, top, left + side, top + side))  # before resizing: nothing outside blends in
            rgb = square.resize((size, size), Image.Resampling.BICUBIC)
        return np.asarray(rgb)


def rgb_from_bytes(data: bytes, most_pixels: int) -> np.ndarray:
    """Decode a picture that somebody has sent, as `read_rgb` does; of the usual formats only.

    Args:
        data: the file's bytes.
        most_pixels: larger pictures are refused, before they are decoded.

    Returns:
        uint8 ``(H, W, 3)``.

    Raises:
        LabkitError: they are no picture, a damaged one, of another format, or too large; one sentence.
    """
    try:
        with Image.open(io.BytesIO(data), formats=SENT) as image:
            if image.width * image.height > most_pixels:
                megapixels = image.width * image.height / 1e6
                raise LabkitError(
                    f"The picture has {megapixels:.1f} megapixels; at most {most_pixels / 1e6:g} can be colorized."
                )
            return np.asarray(to_rgb(_turned(image)))
    except LabkitError:
        raise
    except Image.DecompressionBombError:
        limit = most_pixels / 1e6
        raise LabkitError(f"The picture is far too large; at most {limit:g} megapixels can be colorized.") from None
    except Exception:  # as in `_guard`
        raise LabkitError("The file cannot be read as a picture: send JPEG, PNG, WebP, GIF or BMP.") from None


def read_size(path: Path) -> tuple[int, int]:
    """Read (width, height) from the header only, as stored: before EXIF rotation, which may swap them.

    Raises:
        LabkitError: the header is no image's; the file is named.
    """
    with _guard(path), Image.open(path, formats=_formats()) as image:
        return image.size


@contextmanager
def _guard(path: Path) -> Iterator[None]:
    """Turn whatever Pillow raises for one damaged file or another into one line that names the file.

    Its decoders raise nearly every exception there is (KeyError, struct.error, ZeroDivisionError, ...), and more with
    each version, so this catches them all.

    Raises:
        LabkitError: the block failed, or the path is no regular file: to open a pipe would wait for ever.
    """
    try:
        if not path.is_file():
            if path.exists():
                raise LabkitError(f"{path} is no file: give an image file")
            raise LabkitError(f"{path}: no such image file" + (" (a broken link)" if path.is_symlink() else ""))
        yield
    except LabkitError:
        raise
    except MemoryError:
        raise LabkitError(f"{path} needs more memory than there is: make the picture smaller") from None
    except Exception as error:
        reason = one_line(error).replace(f" {str(path)!r}", "").replace(f": {str(path)!r}", "")
        raise LabkitError(f"{path} cannot be read as an image ({reason}): replace or remove the file") from None


@cache
def _formats() -> list[str]:
    """Return every format that Pillow reads but two.

    EPS is a program that Ghostscript would be started to run; DDS, a format of games, keeps older versions of Pillow
    busy for minutes when a file ends too early.
    """
    Image.init()
    return [name for name in Image.ID if name not in ("EPS", "DDS")]


def _turned(image: Image.Image) -> Image.Image:
    """Return the picture upright, as its EXIF orientation says.

    ImageOps.exif_transpose also writes all of the other EXIF tags anew, and fails when one of them is odd.
    """
    image.load()  # Pillow turns a TIFF here, and then takes the tag out
    try:
        turn = _TURNS.get(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # damaged EXIF is no reason not to show the picture
        turn = None
    return image if turn is None else image.transpose(turn)


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert any Pillow image to 8-bit RGB: alpha laid on white, more than 8 bits scaled.

    Integers of 16 bits are scaled from 0..65535. Files of 32-bit integers and of floats do not say what white is, so
    it is the first of 1 (floats only), 255 and 65535 that no pixel exceeds. A brightest pixel just above 1 or 255 may
    mean either scale, and the wrong one would show black: it is refused.

    Raises:
        ValueError: NaN or infinity, numbers outside 0 to 65535, or a scale that cannot be told.
    """
    if image.mode.startswith("I") or image.mode == "F":
        sixteen_bits = image.mode.startswith("I;16") or image.format in ("PNG", "PPM")  # "I" in older Pillows
        return _from_deep(np.asarray(image), 65535 if sixteen_bits else None)
    if image.mode in ("La", "RGBa"):  # premultiplied by alpha
        image = image.convert({"La": "LA", "RGBa": "RGBA"}[image.mode])
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, rgba).convert("RGB")
    if image.mode == "LAB":
        return _from_lab(image)
    return image.convert("RGB")


def _from_deep(values: np.ndarray, white: float | None) -> Image.Image:
    """Convert gray of more than 8 bits to 8-bit RGB; Pillow's own conversion would clip it to white.

    Args:
        values: integers or floats ``(H, W)``.
        white: what becomes 255; None: to be told from the values, see `to_rgb`.
    """
    low, high = float(values.min()), float(values.max())  # NaN if any value is
    floats = values.dtype.kind == "f"
    slack = 1.01 if floats else 1  # a hair outside is rounding
    if white is None:
        whites = (1.0, 255.0, 65535.0) if floats else (255.0, 65535.0)
        white = next((white for white in whites if high <= slack * white), None)
        below = [other for other in whites if white and other < white]
        if low < min(0, 1 - slack) * (white or 0) or (below and high < 4 * below[-1]):
            white = None
    if white is None or not low <= high:
        raise ValueError(f"values from {low:g} to {high:g}, expected 0 to {'1, ' if floats else ''}255 or 65535")
    gray = (values.astype(np.float32) * np.float32(255 / white)).clip(0, 255)
    return Image.fromarray(np.rint(gray, out=gray).astype(np.uint8)).convert("RGB")


def _from_lab(image: Image.Image) -> Image.Image:
    """Convert CIE LAB, which some scanners write; Pillow itself converts it only with color profiles."""
    from PIL import ImageCms

    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    converted = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")
    assert converted is not None  # None only where it converts in place
    return converted


def read_all(paths: Sequence[Path], names: Sequence[str], size: int, cache: Path, what: str) -> Tensor:
    """Read many images as one tensor that is mapped from a file in ``cache``.

    Decoding happens once: the cache file's name is a hash of each image's name, size and time of change, and it gets
    that name only when complete. Where the cache cannot be written, the tensor is made in memory.

    Args:
        paths: the files.
        names: their names, which do not change when the folder is moved.
        size: side in pixels of the squares that they become.
        cache: folder of cache files.
        what: the data set's name, for the progress bar.

    Returns:
        uint8 ``(N, 3, size, size)``.

    Raises:
        LabkitError: naming the first file that cannot be read.
    """
    key = []
    for name, path in zip(names, paths, strict=True):
        with _guard(path):
            about = path.stat()
        key.append([name, about.st_size, about.st_mtime_ns])
    digest = hashlib.sha256(json.dumps(["v2", size, key]).encode()).hexdigest()[:24]
    target = cache / f"{digest}-{size}.npy"
    shape = (len(paths), 3, size, size)
    if target.is_file():
        try:
            # Mode "c" (copy on write) gives a writable array, as torch wants, and never changes the file.
            mapped = np.load(target, mmap_mode="c")
            if mapped.shape == shape and mapped.dtype == np.uint8:
                return torch.from_numpy(mapped)
        except Exception:  # numpy's reader of headers has many ways to fail
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
    """Decode every file into its place in ``images`` ``(N, 3, size, size)``."""
    from tqdm.auto import tqdm

    with ThreadPoolExecutor(cores()) as pool:  # Pillow decodes outside Python's lock
        decoded = pool.map(lambda path: read_rgb(path, size), paths)
        progress = tqdm(decoded, total=len(paths), desc=f"decoding {what}", unit="image", disable=len(paths) < 200)
        for index, rgb in enumerate(progress):
            images[index] = rgb.transpose(2, 0, 1)
