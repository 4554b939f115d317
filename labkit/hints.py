"""Color hints: "here it is red". From a user's clicks, or simulated in training, to planes beside the gray image.

Three planes: 1 where a hint is, else 0; and there a and b of CIELAB divided by 110. They are the same for every
representation. Simulation follows Zhang et al., Real-Time User-Guided Image Colorization with Learned Deep Priors,
2017, arXiv:1705.02999, section 3.1: a geometric number of small squares, each with the mean color of what it covers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from labkit.color import rgb_to_lab
from labkit.errors import LabkitError, check_number

PLANES = 3
AB_RANGE = 110.0  # |a| and |b| of sRGB colors stay below 108
MEAN_COUNT = 8  # of the geometric distribution of simulated hints
MOST = 64  # simulated hints an image
LARGEST = 5  # side of a simulated hint, in pixels of the training image
HINTS_AT_MOST = 1000  # that a user may give


@dataclass(frozen=True)
class Hint:
    """One color at one place.

    Attributes:
        x: column, in pixels of the image, from 0 at its left edge.
        y: row, in pixels of the image, from 0 at its top edge.
        color: (R, G, B), 0 to 255. Its hue and colorfulness count; how light the place is, the image says.
    """

    x: float
    y: float
    color: tuple[int, int, int]


def parse_hint(text: str) -> Hint:
    """Return the hint that ``x,y,#rrggbb`` describes.

    Raises:
        LabkitError: another form.
    """
    parts = [part.strip() for part in text.split(",")]
    if len(parts) == 3 and (color := re.fullmatch(r"#?([0-9a-fA-F]{6})", parts[2])):
        red, green, blue = bytes.fromhex(color[1])
        try:
            return Hint(check_number("x", float(parts[0])), check_number("y", float(parts[1])), (red, green, blue))
        except ValueError:
            pass
    raise LabkitError(f"a hint is x,y,#rrggbb with x and y in pixels, for example 120,80,#cc3311. Got {text!r}")


def read_hints(given: Iterable[str]) -> list[Hint]:
    """Return the hints of texts ``x,y,#rrggbb`` and of JSON files.

    A JSON file holds a list of such texts, or of objects ``{"x": 120, "y": 80, "color": "#cc3311"}``.

    Raises:
        LabkitError: a text of another form, a file that cannot be read, or more than 1,000 hints.
    """
    hints: list[Hint] = []
    for text in given:
        hints += _from_file(Path(text)) if text.lower().endswith(".json") else [parse_hint(text)]
    return check_number_of_hints(hints)


def check_number_of_hints(hints: list[Hint]) -> list[Hint]:
    """Return the hints, if they are not too many.

    Raises:
        LabkitError: more than 1,000.
    """
    if len(hints) > HINTS_AT_MOST:
        raise LabkitError(f"too many hints: got {len(hints)}, expected at most {HINTS_AT_MOST}")
    return hints


def _from_file(path: Path) -> list[Hint]:
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise LabkitError(f"{path} cannot be read as JSON hints ({error}): write a list of hints") from None
    if not isinstance(entries, list):
        raise LabkitError(f"{path} holds no list of hints: got {type(entries).__name__}")
    return [hint_from(entry) for entry in entries]


def hint_from(entry: Any) -> Hint:
    """Return the hint that an entry of JSON describes: a text, or an object with x, y and color.

    Raises:
        LabkitError: anything else.
    """
    if isinstance(entry, dict) and {"x", "y", "color"} <= set(entry):
        entry = f"{entry['x']},{entry['y']},{entry['color']}"
    if not isinstance(entry, str):
        raise LabkitError(f'a hint is "x,y,#rrggbb" or an object with x, y and color. Got {str(entry)[:80]}')
    return parse_hint(entry)


def hint_planes(hints: Sequence[Hint], image_size: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """Return a user's hints as planes for a copy of the image.

    Args:
        hints: their places are in pixels of the image.
        image_size: (height, width) of the image.
        size: (height, width) of the copy that a network sees.

    Returns: ``(3, height, width)`` of the copy.

    Raises:
        LabkitError: a hint lies outside of the image.
    """
    planes = torch.zeros(PLANES, *size)
    reach = max(1, round(min(size) / LARGEST / 13))  # squares of side 3 on a copy of 64 pixels, 9 on one of 256
    for hint in hints:
        if not (0 <= hint.x < image_size[1] and 0 <= hint.y < image_size[0]):
            width, height = image_size[1], image_size[0]
            raise LabkitError(f"a hint at {hint.x:g},{hint.y:g} lies outside of the image of {width}x{height} pixels")
        column, row = int(hint.x * size[1] / image_size[1]), int(hint.y * size[0] / image_size[0])
        rgb = torch.tensor(hint.color, dtype=torch.uint8)[:, None, None]
        rows = slice(max(0, row - reach), row + reach + 1)
        columns = slice(max(0, column - reach), column + reach + 1)
        planes[0, rows, columns] = 1
        planes[1:, rows, columns] = rgb_to_lab(rgb)[1:] / AB_RANGE
    return planes


def simulated_hints(rgb: Tensor, fraction: float) -> Tensor:
    """Draw hints from true images, with torch's generator on the CPU.

    Args:
        rgb: ``(N, 3, H, W)``.
        fraction: of the images that get hints: at least one, 8 in the mean, at most 64.

    Returns: planes ``(N, 3, H, W)``, on the images' device.
    """
    count = torch.empty(len(rgb)).geometric_(1 / MEAN_COUNT).clamp(max=MOST)
    count *= torch.rand(len(rgb)) < fraction
    return random_hints(rgb, count)


def random_hints(rgb: Tensor, count: Tensor) -> Tensor:
    """Draw so many hints for each image: squares of side 1 to 5 anywhere, each with the mean color of what it covers.

    Args:
        rgb: ``(N, 3, H, W)``.
        count: ``(N,)``.

    Returns: planes ``(N, 3, H, W)``, on the images' device. Where squares overlap, their colors are averaged.
    """
    n, _, height, width = rgb.shape
    most = max(1, int(count.max()))
    middle, side = torch.rand(2, n, most), torch.randint(1, LARGEST + 1, (n, most))
    given = torch.arange(most) < count[:, None]
    rows = _covered(middle[0], side, height).to(rgb.device) * given[..., None].to(rgb.device)  # (N, K, H)
    columns = _covered(middle[1], side, width).to(rgb.device)  # (N, K, W)

    ab = rgb_to_lab(rgb)[:, 1:].float() / AB_RANGE
    strips = torch.einsum("nkh,nchw->nkcw", rows, ab)
    area = rows.sum(dim=2) * columns.sum(dim=2)
    colors = torch.einsum("nkcw,nkw->nkc", strips, columns) / area.clamp(min=1)[..., None]  # (N, K, 2)
    painted = torch.einsum("nkh,nkc,nkw->nchw", rows, torch.cat([torch.ones_like(colors[..., :1]), colors], 2), columns)
    covers = painted[:, :1]
    return torch.cat([(covers > 0).float(), painted[:, 1:] / covers.clamp(min=1)], dim=1)


def _covered(middle: Tensor, side: Tensor, length: int) -> Tensor:
    """Return 1 where a stretch of pixels covers a line: middle (0 to 1) and side (N, K) -> (N, K, length)."""
    first = (middle * length).long() - side // 2
    pixel = torch.arange(length)
    return ((pixel >= first[..., None]) & (pixel < (first + side)[..., None])).float()
