"""Figures of images in rows or side by side."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from labkit.color import to_uint8
from labkit.errors import LabkitError, check_number
from labkit.plots.display import STORED_DPI, in_notebook, show
from labkit.plots.theme import MAX_WIDTH, blank, panel, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from labkit.data import Dataset

PIXEL_ART = 64  # images up to this many pixels a side are drawn with hard pixel edges
MIN_CELL = 0.1  # inches: an image drawn smaller than this cannot be seen
GAP = 0.06  # inches between images

Images = Tensor | Sequence[Tensor]


def show_rows(**rows: Images | Dataset) -> Figure | None:
    """Show rows of images one above the other, each named by its keyword; single images stand side by side.

    For example::

        show_rows(gray=luma(test[:8]), ours=model(test[:8]), true=test[:8])

    In a notebook the figure is displayed, with alt text that says how many images of which size each row holds. In a
    script it is returned. Nothing is saved; a returned figure can be, by ``figure.savefig("figure.png")``.

    Args:
        rows: name -> (N, C, H, W), (C, H, W) or a list of these, C = 3 or 1, uint8 or float in [0, 1]; or a data set.
            The same number of images in each. An underscore in a name is shown as a space.

    Returns:
        The figure; None in a notebook, where it has been displayed.

    Raises:
        TypeError: if a row holds anything but tensors.
        LabkitError: without any row, for rows of unequal length, other shapes, or too many images to draw.
    """
    if not rows:
        raise LabkitError("no images to show: got no rows, expected name=images, for example true=test[:8]")
    pictures = {name.replace("_", " "): _pictures(images, name) for name, images in rows.items()}
    if all(len(row) == 1 for row in pictures.values()):
        figure = _grid({"": [row[0] for row in pictures.values()]}, columns=list(pictures), scale=2.0)
    else:
        figure = _grid(pictures)
    if not in_notebook():
        return figure
    show(figure, _in_words(pictures))
    return None


def image_grid(
    rows: Mapping[str, Images],
    columns: Sequence[str] | None = None,
    scale: float = 1.0,
    title: str | None = None,
) -> Figure:
    """Draw rows of images with a label before each row and, if wanted, a title over each column.

    Args:
        rows: label -> (N, C, H, W), or a list of (C, H, W); C is 3 or 1. All rows hold the same number of
            images.
        columns: N titles, wrapped to the width of a cell.
        scale: size of a cell relative to the usual one; the figure never grows wider than a notebook's
            column.
        title: one line over it all.

    Returns:
        The figure.

    Raises:
        TypeError: if a row holds anything but tensors.
        LabkitError: for other shapes, rows of unequal length, a wrong number of titles, or too many images to draw.
    """
    scale = check_number("scale", scale, above=0)
    return _grid({label: _pictures(images, label) for label, images in rows.items()}, columns, scale, title)


def _grid(
    pictures: Mapping[str, list[np.ndarray]],
    columns: Sequence[str] | None = None,
    scale: float = 1.0,
    title: str | None = None,
) -> Figure:
    count = _row_length(pictures, columns)
    label_lines = {label: textwrap.wrap(label, 16) or [""] for label in pictures}
    label_width = 0.1 + 0.075 * max((len(line) for lines in label_lines.values() for line in lines), default=0)
    aspect = max(p.shape[0] / p.shape[1] for row in pictures.values() for p in row)
    cell = min(1.25 * scale, (MAX_WIDTH - label_width) / count - GAP, 5.5 / aspect)
    if cell < MIN_CELL:
        most = int((MAX_WIDTH - label_width) / (MIN_CELL + GAP))
        raise LabkitError(f"too many images in a row: got {count}, expected at most {most}. Show fewer: images[:8].")
    sides = {side for row in pictures.values() for picture in row for side in picture.shape[:2]}
    if len(sides) == 1 and (pixels := sides.pop()) <= min(PIXEL_ART, cell * STORED_DPI):
        cell = int(cell * STORED_DPI / pixels) * pixels / STORED_DPI  # every pixel the same whole number of pixels wide
    row_height = aspect * cell
    heads = [textwrap.wrap(text, max(3, int(cell / 0.072))) or [""] for text in columns or []]
    top = (0.16 * max(len(lines) for lines in heads) + 0.06 if heads else 0.0) + (0.26 if title else 0.0)

    with style():
        figure = blank(label_width + count * (cell + GAP), top + len(pictures) * (row_height + GAP))
        width, height = figure.get_size_inches()
        if title:
            figure.text(0, 1 - 0.02 / height, title, va="top", weight="bold")
        for column, lines in enumerate(heads):
            x = label_width + column * (cell + GAP) + cell / 2
            y = 1 - (top - 0.05) / height
            figure.text(x / width, y, "\n".join(lines), ha="center", va="bottom", size=8.5)
        for label, row in pictures.items():
            middle = 1 - (top + row_height / 2) / height
            figure.text((label_width - 0.1) / width, middle, "\n".join(label_lines[label]), ha="right", va="center")
            for column, picture in enumerate(row):
                left = label_width + column * (cell + GAP)
                _draw(panel(figure, left, top, cell, row_height), picture)
            top += row_height + GAP
    return figure


def _row_length(pictures: Mapping[str, list[np.ndarray]], columns: Sequence[str] | None) -> int:
    """Return the number of images in each row, after checking that it is one number, and that of the titles."""
    counts = {label: len(row) for label, row in pictures.items()}
    if not counts or len(set(counts.values())) != 1 or 0 in counts.values():
        raise LabkitError(f"rows differ in length: got {counts}, expected the same number of images, at least one")
    count = next(iter(counts.values()))
    if columns is not None and len(columns) != count:
        raise LabkitError(f"wrong number of column titles: got {len(columns)}, expected one for each of {count} images")
    return count


def compare(before: Tensor, after: Tensor, titles: tuple[str, str] = ("before", "after"), scale: float = 1.0) -> Figure:
    """Draw two images side by side, large.

    Args:
        before: (C, H, W) or (1, C, H, W).
        after: the same.
        titles: one over each image.
        scale: size of an image relative to the usual one.

    Returns:
        The figure.

    Raises:
        LabkitError: for more than one image on a side, or other shapes.
    """
    scale = check_number("scale", scale, above=0)
    pair = [_pictures(image, name) for image, name in zip((before, after), titles, strict=True)]
    if any(len(pictures) != 1 for pictures in pair):
        raise LabkitError(f"wrong number of images: got {[len(p) for p in pair]}, expected one on each side")
    aspect = max(p[0].shape[0] / p[0].shape[1] for p in pair)
    side = min(3.0 * scale, (MAX_WIDTH - 0.15) / 2, 5.5 / aspect)
    lines = [textwrap.wrap(title, max(8, int(side / 0.08))) or [""] for title in titles]
    top = 0.17 * max(len(wrapped) for wrapped in lines) + 0.06
    with style():
        figure = blank(2 * side + 0.15, top + side * aspect)
        for i, (pictures, wrapped) in enumerate(zip(pair, lines, strict=True)):
            axes = panel(figure, i * (side + 0.15), top, side, side * aspect)
            _draw(axes, pictures[0])
            axes.set_title("\n".join(wrapped), loc="center", pad=4)
    return figure


def _draw(axes: Axes, picture: np.ndarray) -> None:
    hard = max(picture.shape[:2]) <= PIXEL_ART
    axes.imshow(picture, interpolation="nearest" if hard else None)  # None: antialiased


def _in_words(pictures: Mapping[str, list[np.ndarray]]) -> str:
    """Say what a figure of `show_rows` shows: names of rows, numbers and sizes of images, rows without color."""
    count = len(next(iter(pictures.values())))
    sizes = {name: {f"{p.shape[1]} x {p.shape[0]} pixels" for p in row} for name, row in pictures.items()}
    every = sorted(set().union(*sizes.values()))
    size = f", {every[0]}" if len(every) == 1 else ""
    names = []
    for name, row in pictures.items():
        notes = [] if size else [" and ".join(sorted(sizes[name]))]
        if all((p == p[..., :1]).all() for p in row):
            notes.append("without color")
        names.append(f"{name} ({', '.join(notes)})" if notes else name)
    listed = " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
    if count == 1:
        what = "One image" if len(names) == 1 else f"{len(names)} images side by side"
    else:
        what = f"One row of {count} images" if len(names) == 1 else f"{len(names)} rows of {count} images each"
    return f"{what}{size}: {listed}."


def _pictures(images: Images | Dataset, name: str) -> list[np.ndarray]:
    """Return any accepted form as a list of uint8 arrays (H, W, 3)."""
    images = getattr(images, "images", images)  # of a data set
    if isinstance(images, (list, tuple)):
        return [picture for image in images for picture in _pictures(image, name)]
    if not isinstance(images, Tensor):
        raise TypeError(f"wrong type of {name}: got {type(images).__name__}, expected a tensor of images or a list")
    if images.ndim == 3:
        images = images[None]
    if images.ndim != 4 or images.shape[1] not in (1, 3) or 0 in images.shape:
        raise LabkitError(
            f"wrong shape of {name}: got {tuple(images.shape)}, expected images (N, C, H, W) or (C, H, W), C = 3 or 1"
        )
    return list(eight_bits(images, name).permute(0, 2, 3, 1).expand(-1, -1, -1, 3).numpy())


def eight_bits(values: Tensor, name: str) -> Tensor:
    """Return values as uint8 on the CPU: floats are clipped to [0, 1] and rounded.

    Args:
        values: uint8, or float in [0, 1]; of any shape.
        name: what an error calls them.

    Raises:
        TypeError: for other integers.
        LabkitError: for NaN or infinity.
    """
    values = values.detach().cpu()
    if values.dtype == torch.uint8:
        return values
    if not values.is_floating_point():
        raise TypeError(f"wrong type of {name}: got {values.dtype}, expected uint8 or float in [0, 1]")
    if not values.isfinite().all():
        raise LabkitError(f"wrong values in {name}: got NaN or infinity, expected finite numbers")
    return to_uint8(values)
