"""A contact sheet: photographs in columns, gray, colorized and original below one another."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from labkit.artifacts import replacing
from labkit.color import luma, to_float
from labkit.errors import LabkitError, check_integer
from labkit.plots.images import image_grid

DPI = 200
JPEG_QUALITY = 88
SIDE = 320  # pixels of a photograph on the sheet


def contact_sheet(photos: Sequence[Tensor], colorized: Sequence[Tensor], path: str | Path, side: int = SIDE) -> None:
    """Write a picture of photographs in columns: gray, colorized, original. Each is cut to the square in its middle.

    Args:
        photos: the originals, each (3, H, W), uint8 or float in [0, 1].
        colorized: what became of each, of the same sizes.
        path: ends in .png or .jpg.
        side: pixels of a photograph on the sheet.

    Raises:
        LabkitError: if the numbers of photographs differ, there are none or too many, or the file cannot be written.
    """
    side = check_integer("side", side, low=16)
    if not photos or len(photos) != len(colorized):
        raise LabkitError(f"got {len(photos)} photographs and {len(colorized)} results, expected one for each")
    path = Path(path)
    if path.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise LabkitError(f"unknown image format: got {str(path)!r}, expected a name in .png, .jpg, .jpeg")
    originals = [_square(photo, side) for photo in photos]
    rows = {
        "gray": [luma(photo).expand(3, -1, -1) for photo in originals],
        "colorized": [_square(result, side) for result in colorized],
        "original": originals,
    }
    figure = image_grid(rows, scale=2.0)
    quality = {} if path.suffix.lower() == ".png" else {"quality": JPEG_QUALITY}
    try:
        with replacing(path) as temporary:
            figure.savefig(temporary, dpi=DPI, pil_kwargs=quality)
    except OSError as error:
        raise LabkitError(f"{path} cannot be written ({error.strerror or error}). Choose another place.") from None


def _square(image: Tensor, side: int) -> Tensor:
    """Return the middle of an image, (3, side, side), float."""
    image = to_float(image.detach().cpu()).clamp(0, 1)
    from torchvision.transforms.v2 import functional as transforms  # slow, and every lab imports this module

    smaller = transforms.resize(image, [side], antialias=True)  # the shorter side
    return transforms.center_crop(smaller, [side, side])
