"""Figures whose subject is color itself: chips with their values, and a distribution over colors."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from labkit.errors import LabkitError, check_number
from labkit.plots.images import eight_bits
from labkit.plots.theme import FAINT, INK, MAX_WIDTH, blank, panel, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GAP = 0.12  # inches between chips
WIDE_CHIP = 0.9  # inches: what "255, 255, 255" needs on one line


def swatches(
    colors: Tensor | Mapping[str, Tensor],
    labels: Sequence[str] | None = None,
    probabilities: Sequence[float] | Tensor | None = None,
    show_gray: bool = False,
    scale: float = 1.0,
) -> Figure:
    """Draw color chips with their RGB values under them.

    Args:
        colors: (K, 3); or row label -> (K, 3), to hold rows of chips against each other (predicted over
            measured).
        labels: K texts over the chips.
        probabilities: K numbers, written over the chips in percent.
        show_gray: the lower part of each chip shows its Rec.601 gray, with the value under it.
        scale: size of a chip relative to the usual one.

    Returns:
        The figure.

    Raises:
        TypeError: for colors that are no tensor.
        LabkitError: for other shapes, rows of unequal length, or a wrong number of labels or probabilities.
    """
    scale = check_number("scale", scale, above=0)
    rows = dict(colors) if isinstance(colors, Mapping) else {"": colors}
    chips = {label: _colors(values, label or "colors") for label, values in rows.items()}
    count = _row_length(chips, labels, probabilities)

    label_width = 0.1 + 0.075 * max(len(line) for label in chips for line in textwrap.wrap(label, 18) or [""])
    label_width = label_width if any(chips) else 0.0
    cell = min(1.0 * scale, (MAX_WIDTH - label_width) / count - GAP)
    chip = min(cell, 0.7)
    heads = [textwrap.wrap(text, max(3, int(cell / 0.07))) for text in labels or [""] * count]
    if probabilities is not None:
        for head, p in zip(heads, probabilities, strict=True):
            head.append(f"{100 * float(p):.3g} %")
    top = 0.16 * max(len(head) for head in heads) + 0.05
    foot = 0.42 if show_gray else 0.28
    foot += 0 if cell >= WIDE_CHIP else 0.28

    with style():
        figure = blank(label_width + count * (cell + GAP), top + len(chips) * (chip + foot))
        width, height = figure.get_size_inches()
        for i, head in enumerate(heads):
            x = (label_width + i * (cell + GAP) + cell / 2) / width
            figure.text(x, 1 - (top - 0.05) / height, "\n".join(head), ha="center", va="bottom", size=8.5)
        for label, row in chips.items():
            if label:
                lines = "\n".join(textwrap.wrap(label, 18))
                y = 1 - (top + chip / 2) / height
                figure.text((label_width - 0.1) / width, y, lines, ha="right", va="center")
            for i, color in enumerate(row):
                left = label_width + i * (cell + GAP)
                _chip(panel(figure, left, top, cell, chip), color, show_gray)
                text = _values(color, one_line=cell >= WIDE_CHIP)
                text += f"\ngray {_gray(color):.1f}" if show_gray else ""
                x, y = (left + cell / 2) / width, 1 - (top + chip + 0.05) / height
                figure.text(x, y, text, ha="center", va="top", size=8)
            top += chip + foot
    return figure


def _row_length(
    chips: Mapping[str, np.ndarray], labels: Sequence[str] | None, probabilities: Sequence[float] | Tensor | None
) -> int:
    """Return the number of colors in each row, after checking that everything else has it too."""
    counts = {label: len(row) for label, row in chips.items()}
    if len(set(counts.values())) != 1:
        raise LabkitError(f"rows differ in length: got {counts}, expected the same number of colors")
    count = next(iter(counts.values()))
    for name, given in (("labels", labels), ("probabilities", probabilities)):
        if given is not None and len(given) != count:
            raise LabkitError(f"wrong number of {name}: got {len(given)}, expected one for each of {count} colors")
    return count


def posterior_bars(
    colors: Tensor,
    probabilities: Tensor | Sequence[float],
    marks: Mapping[str, Tensor] | None = None,
    labels: Sequence[str] | None = None,
    title: str | None = None,
) -> Figure:
    """Draw a distribution over colors as a bar chart whose bars have those colors.

    Args:
        colors: (K, 3).
        probabilities: K numbers; colors with probability 0 (padding) are left out.
        marks: label -> color (3,), drawn as chips at the right: the mean, the mode or a prediction, say.
        labels: K texts under the bars; without them the RGB values.
        title: one line over it all.

    Returns:
        The figure.

    Raises:
        TypeError: for colors that are no tensor.
        LabkitError: for other shapes, unequal lengths, or if no probability is above 0.
    """
    table = _colors(colors, "colors")
    p = np.asarray([float(v) for v in probabilities])
    if len(p) != len(table) or (labels is not None and len(labels) != len(table)):
        lengths = f"{len(table)}, {len(p)} and {None if labels is None else len(labels)}"
        raise LabkitError(f"colors, probabilities and labels differ in length: got {lengths}, expected one length")
    keep = [k for k in range(len(p)) if p[k] > 0]
    if not keep:
        raise LabkitError(f"wrong probabilities: got {p.tolist()}, expected at least one above 0")
    marks = marks or {}
    # Bars, then chips to the right, placed in inches: each keeps its size whatever the other holds.
    bar_width = min(0.95 * len(keep) + 0.3, MAX_WIDTH - 0.65 - 1.15 * len(marks))
    top = 0.3 if title else 0.12
    with style():
        figure = blank(0.65 + bar_width + 1.15 * len(marks) + (0.1 if marks else 0), top + 2.25)
        width, height = figure.get_size_inches()
        axes = panel(figure, 0.55, top, bar_width, 1.65)
        room = max(4, int(bar_width / len(keep) / 0.075))
        names = ["\n".join(textwrap.wrap(labels[k], room)) if labels else _values(table[k], room >= 13) for k in keep]
        _color_bars(axes, table[keep], p[keep], names)
        if title:
            figure.text(0, 1 - 0.02 / height, title, va="top", weight="bold")
        for i, (name, color) in enumerate(marks.items()):
            value = _colors(color.reshape(1, 3), name)[0]
            left = 0.7 + bar_width + 1.15 * i
            _chip(panel(figure, left, top + 0.45, 1.0, 0.75), value, show_gray=False)
            x = (left + 0.5) / width
            head = "\n".join(textwrap.wrap(name, 13))
            figure.text(x, 1 - (top + 0.41) / height, head, ha="center", va="bottom", size=8.5)
            figure.text(x, 1 - (top + 1.25) / height, _values(value, one_line=True), ha="center", va="top", size=8)
    return figure


def _color_bars(axes: Axes, colors: np.ndarray, p: np.ndarray, names: Sequence[str]) -> None:
    """Draw bars of heights p, filled with their colors, with the heights over them and names under them."""
    axes.set_axis_on()
    for x, (color, height) in enumerate(zip(colors, p, strict=True)):
        axes.bar(x, height, width=0.78, color=tuple(color / 255), edgecolor=INK, linewidth=0.8)
        text = f"{height:.2f}"
        axes.annotate(text, (x, height), xytext=(0, 2), textcoords="offset points", ha="center", size=8.5)
    axes.set_ylim(0, min(1.12, 1.18 * p.max()))
    axes.set_xlim(-0.6, len(p) - 0.4)
    axes.set_xticks(range(len(p)), names)
    axes.tick_params(axis="x", length=0, labelsize=8)
    axes.set_ylabel("probability")


def _chip(axes: Axes, color: np.ndarray, show_gray: bool) -> None:
    from matplotlib.patches import Rectangle

    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.add_patch(Rectangle((0, 0), 1, 1, facecolor=tuple(color / 255), edgecolor="none"))
    if show_gray:
        gray = _gray(color) / 255
        axes.add_patch(Rectangle((0, 0), 1, 0.35, facecolor=(gray, gray, gray), edgecolor="none"))
    axes.add_patch(Rectangle((0, 0), 1, 1, fill=False, edgecolor=FAINT, linewidth=0.8))


def _values(color: np.ndarray, one_line: bool) -> str:
    """Return the RGB values in 0..255 as text, on one line or on three."""
    return (", " if one_line else "\n").join(str(int(v)) for v in color)


def _gray(color: np.ndarray) -> float:
    red, green, blue = (int(v) for v in color)
    return (299 * red + 587 * green + 114 * blue) / 1000  # Rec.601, exact for 8-bit colors


def _colors(colors: Tensor, name: str) -> np.ndarray:
    if not isinstance(colors, Tensor):
        raise TypeError(f"wrong type of {name}: got {type(colors).__name__}, expected a tensor (K, 3)")
    if colors.ndim != 2 or colors.shape[1] != 3 or len(colors) == 0:
        raise LabkitError(f"wrong shape of {name}: got {tuple(colors.shape)}, expected (K, 3) with K >= 1")
    return eight_bits(colors, name).numpy()
