"""Figures of the labs: functions that return a matplotlib Figure, and `show`, which displays one accessibly.

Figures stay readable in grayscale print and by the color-blind where color is not the subject (line styles,
markers, hatches, the Okabe-Ito palette). Nothing here changes matplotlib's global settings or calls plt.show.

Images are (C, H, W) or (N, C, H, W) with C = 3 or 1, uint8 or float in [0, 1]; floats outside are drawn
clipped. Colors are (K, 3), uint8 or float in [0, 1].
"""

from __future__ import annotations

import html
import io
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from labkit.color import HasImages, image_tensor, to_uint8

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito, Color Universal Design, 2008: told apart with every common color vision. Yellow is too pale
# for lines.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINE_STYLES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (7, 2)), (0, (1, 1)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
HATCHES = ("", "///", "...", "\\\\\\", "xxx", "---", "+++")
INK = "#222222"
FAINT = "#888888"

MAX_WIDTH = 7.6  # inches: what a notebook's column shows without shrinking
DISPLAY_DPI = 100  # how large an inch appears on screen, whatever resolution the picture is stored at
MAX_BYTES = 110_000  # of a picture; a notebook stores it in base64, a third larger, and that must stay under 150 kB
PIXEL_ART = 64  # images up to this many pixels a side are drawn with hard pixel edges

Images = Tensor | Sequence[Tensor]


# Displaying ---------------------------------------------------------------------------------------


def show(figure: Figure, alt: str, caption: str | None = None) -> None:
    """Displays the figure as one image output with alt text, then the caption in italics, and closes it.

    The alt text says what is to be seen to somebody who cannot see it. It goes into the output's metadata
    (nbconvert, Colab) and is the output's text/plain form. JupyterLab ignores that metadata, so the text can
    also be unfolded under the figure.

    Args:
        figure: any matplotlib figure, from this module or not.
        alt: one or more sentences; must not be empty.
        caption: Markdown, one paragraph.

    Raises:
        ValueError: if `alt` is empty.
    """
    from IPython.display import Markdown, display

    alt = _one_line(alt)
    if not alt:
        raise ValueError("show needs alt: a sentence saying what the figure shows. Got an empty text")
    mime, content, width = to_image(figure)
    close(figure)
    display({mime: content, "text/plain": alt}, metadata={mime: {"alt": alt, "width": width}}, raw=True)
    lines = [f"*{_one_line(caption)}*"] if caption else []
    lines.append(f"<details><summary>Figure in words</summary>{html.escape(alt, quote=False)}</details>")
    display(Markdown("\n\n".join(lines)))


def to_image(figure: Figure, max_bytes: int = MAX_BYTES) -> tuple[str, bytes, int]:
    """The figure as a file of at most `max_bytes`: its MIME type, the bytes, the width in pixels to display it at.

    The same figure gives the same bytes: no date, no software name. Line drawings, color chips and small images are
    PNG with their exact colors. Photographs that are too large for that are JPEG with full-resolution chroma
    (this is a course on color), at the best of a few resolutions and qualities that fits.

    Raises:
        ValueError: if even the smallest form is larger than `max_bytes`.
    """
    pixels = _render(figure, 140)
    content = _encoded(pixels, "PNG", optimize=True)
    if len(content) <= max_bytes:
        return "image/png", content, round(pixels.shape[1] * DISPLAY_DPI / 140)
    for dpi in (140, 110, 90, 70, 50):
        pixels = _render(figure, dpi)
        for quality in (93, 88, 83):
            # not optimize=True: Pillow's buffer for it is too small for noisy pictures with full chroma, and it raises
            content = _encoded(pixels, "JPEG", quality=quality, subsampling=0)
            if len(content) <= max_bytes:
                return "image/jpeg", content, round(pixels.shape[1] * DISPLAY_DPI / dpi)
    raise ValueError(
        f"the figure needs more than {max_bytes} bytes: show fewer or smaller pictures. Got {len(content)}"
    )


def close(figure: Figure) -> None:
    """Lets go of the figure: pyplot, where it made it, must not display it a second time."""
    from matplotlib._pylab_helpers import Gcf

    Gcf.destroy_fig(figure)
    figure.clear()


def _render(figure: Figure, dpi: float) -> np.ndarray:
    from PIL import Image

    buffer = io.BytesIO()
    with style():
        figure.savefig(buffer, format="png", dpi=dpi, facecolor="white", bbox_inches="tight", pad_inches=0.04)
    return np.asarray(Image.open(buffer).convert("RGB"))


def _encoded(pixels: np.ndarray, kind: str, **options: Any) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format=kind, **options)
    return buffer.getvalue()


# Style --------------------------------------------------------------------------------------------


@contextmanager
def style() -> Iterator[None]:
    """The labs' matplotlib settings, for the length of a `with` block; the global ones stay as they are."""
    import matplotlib as mpl
    from cycler import cycler

    settings: dict[Any, Any] = {
        "font.size": 9,
        "font.family": ["DejaVu Sans"],  # comes with matplotlib: the same picture on every machine
        "axes.titlesize": 9.5,
        "axes.titlelocation": "left",
        "axes.labelsize": 9,
        "axes.edgecolor": FAINT,
        "axes.labelcolor": INK,
        "text.color": INK,
        "xtick.color": FAINT,
        "ytick.color": FAINT,
        "xtick.labelcolor": INK,
        "ytick.labelcolor": INK,
        "xtick.labelsize": 8.5,
        "ytick.labelsize": 8.5,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "axes.prop_cycle": cycler(color=PALETTE, linestyle=LINE_STYLES),
        "grid.color": "#DDDDDD",
        "grid.linewidth": 0.6,
        "lines.linewidth": 1.7,
        "lines.markersize": 4,
        "legend.frameon": False,
        "legend.fontsize": 8.5,
        "hatch.linewidth": 0.6,
        "figure.dpi": DISPLAY_DPI,
        "figure.facecolor": "white",
        "savefig.facecolor": "white",
    }
    with mpl.rc_context(settings):
        yield


def subplots(
    rows: int = 1, columns: int = 1, width: float = MAX_WIDTH, height: float = 2.8, **options: Any
) -> tuple[Figure, Any]:
    """A figure in the labs' style for a drawing of your own: (figure, axes), sizes in inches."""
    from matplotlib.figure import Figure

    with style():
        figure = Figure(figsize=(width, height), layout="constrained")
        return figure, figure.subplots(rows, columns, **options)


def _blank(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height))


def _panel(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """An empty axes at a place given in inches from the figure's top left corner."""
    w, h = figure.get_size_inches()
    axes = figure.add_axes((left / w, 1 - (top + height) / h, width / w, height / h))
    axes.set_axis_off()
    return axes


# Images -------------------------------------------------------------------------------------------


def image_grid(
    rows: Mapping[str, Images],
    columns: Sequence[str] | None = None,
    scale: float = 1.0,
    title: str | None = None,
) -> Figure:
    """Rows of images with a label before each row and, if wanted, a title over each column.

    Args:
        rows: label -> (N, C, H, W), or a list of (C, H, W); C is 3 or 1. All rows hold the same number of
            images.
        columns: N titles, wrapped to the width of a cell.
        scale: size of a cell relative to the usual one; the figure never grows wider than a notebook's
            column.
        title: one line over it all.

    Raises:
        ValueError: for other shapes, rows of unequal length, or a wrong number of titles.
    """
    pictures = {label: _pictures(images, label) for label, images in rows.items()}
    counts = {label: len(row) for label, row in pictures.items()}
    if not counts or len(set(counts.values())) != 1 or 0 in counts.values():
        raise ValueError(f"every row must hold the same number of images, at least one. Got {counts}")
    count = next(iter(counts.values()))
    if columns is not None and len(columns) != count:
        raise ValueError(f"columns must hold one title for each of {count} images. Got {len(columns)}")

    label_lines = {label: textwrap.wrap(label, 16) or [""] for label in pictures}
    label_width = 0.1 + 0.075 * max((len(line) for lines in label_lines.values() for line in lines), default=0)
    aspect = max(p.shape[0] / p.shape[1] for row in pictures.values() for p in row)
    gap = 0.06
    cell = min(1.25 * scale, (MAX_WIDTH - label_width) / count - gap, 5.5 / aspect)
    heights = [aspect * cell] * len(pictures)
    if columns is not None:
        titles = [textwrap.wrap(text, max(3, int(cell / 0.072))) or [""] for text in columns]
    title_height = 0.16 * max(len(lines) for lines in titles) + 0.06 if columns is not None else 0.0
    top = title_height + (0.26 if title else 0.0)

    with style():
        figure = _blank(label_width + count * (cell + gap), top + sum(heights) + gap * len(heights))
        width, height = figure.get_size_inches()
        if title:
            figure.text(0, 1 - 0.02 / height, title, va="top", weight="bold")
        for column in range(count if columns is not None else 0):
            x = label_width + column * (cell + gap) + cell / 2
            y = 1 - (top - 0.05) / height
            figure.text(x / width, y, "\n".join(titles[column]), ha="center", va="bottom", size=8.5)
        for label, row, row_height in zip(pictures, pictures.values(), heights, strict=True):
            middle = 1 - (top + row_height / 2) / height
            figure.text((label_width - 0.1) / width, middle, "\n".join(label_lines[label]), ha="right", va="center")
            for column, picture in enumerate(row):
                left = label_width + column * (cell + gap)
                _draw(_panel(figure, left, top, cell, row_height), picture)
            top += row_height + gap
    return figure


def show_images(**rows: Images | HasImages) -> None:
    """Show rows of images, each with its name before it: in a notebook, or in matplotlib's window.

    Args:
        **rows: name -> images ``(N, 3 | 1, H, W)``, or a `Dataset`; all of the same number.

    Raises:
        ValueError: other shapes, or rows of unequal length.
    """
    from IPython.core.getipython import get_ipython

    pictures = {name: row if isinstance(row, Sequence) else image_tensor(row) for name, row in rows.items()}
    figure = image_grid(pictures)
    if get_ipython() is not None:
        show(figure, f"Rows of images: {', '.join(rows)}.")
        return
    import matplotlib.pyplot as plt

    pixels = _render(figure, DISPLAY_DPI)
    window = plt.figure(figsize=(pixels.shape[1] / DISPLAY_DPI, pixels.shape[0] / DISPLAY_DPI))
    window.figimage(pixels)
    plt.show()


def compare(before: Tensor, after: Tensor, titles: tuple[str, str] = ("before", "after"), scale: float = 1.0) -> Figure:
    """Two images side by side, large. Each is (C, H, W) or (1, C, H, W)."""
    pair = [_pictures(image, name) for image, name in zip((before, after), titles, strict=True)]
    if any(len(pictures) != 1 for pictures in pair):
        raise ValueError(f"compare shows one image on each side. Got {[len(p) for p in pair]}")
    aspect = max(p[0].shape[0] / p[0].shape[1] for p in pair)
    side = min(3.0 * scale, (MAX_WIDTH - 0.15) / 2, 5.5 / aspect)
    lines = [textwrap.wrap(title, max(8, int(side / 0.08))) or [""] for title in titles]
    top = 0.17 * max(len(wrapped) for wrapped in lines) + 0.06
    with style():
        figure = _blank(2 * side + 0.15, top + side * aspect)
        for i, (pictures, wrapped) in enumerate(zip(pair, lines, strict=True)):
            axes = _panel(figure, i * (side + 0.15), top, side, side * aspect)
            _draw(axes, pictures[0])
            axes.set_title("\n".join(wrapped), loc="center", pad=4)
    return figure


def _draw(axes: Axes, picture: np.ndarray) -> None:
    hard = max(picture.shape[:2]) <= PIXEL_ART
    axes.imshow(picture, interpolation="nearest" if hard else None)


def _pictures(images: Images, name: str) -> list[np.ndarray]:
    """Any accepted form -> list of uint8 (H, W, 3)."""
    if not isinstance(images, Tensor):
        return [picture for image in images for picture in _pictures(image, name)]
    if images.ndim == 3:
        images = images[None]
    if images.ndim != 4 or images.shape[1] not in (1, 3) or 0 in images.shape:
        raise ValueError(f"{name}: images must be (N, C, H, W) or (C, H, W) with C = 3 or 1. Got {tuple(images.shape)}")
    return list(_eight_bits(images, name).permute(0, 2, 3, 1).expand(-1, -1, -1, 3).numpy())


def _eight_bits(values: Tensor, name: str) -> Tensor:
    """uint8 on the CPU: floats are clipped to [0, 1] and rounded."""
    values = values.detach().cpu()
    if values.dtype == torch.uint8:
        return values
    if not values.is_floating_point():
        raise TypeError(f"{name} must be uint8 or float in [0, 1]. Got {values.dtype}")
    if not values.isfinite().all():
        raise ValueError(f"{name} must be finite. Got NaN or infinity")
    return to_uint8(values)


# Numbers ------------------------------------------------------------------------------------------


def bars(
    values: Mapping[str, float | None] | Mapping[str, Mapping[str, float | None]],
    xlabel: str = "",
    better: str | None = None,
    reference: tuple[str, float] | None = None,
    highlight: Sequence[str] = (),
    number: str = "{:.4g}",
    log: bool = False,
    title: str | None = None,
) -> Figure:
    """Horizontal bars with their numbers beside them.

    Args:
        values: label -> number, or group -> {series -> number}; None is drawn as "not given".
        xlabel: what is measured, with its unit.
        better: "lower" or "higher", said along the axis.
        reference: (label, value) of a dashed line, the gray baseline say.
        highlight: labels of bars to fill dark and hatched.
        number: format of the numbers.
        log: logarithmic axis.
        title: one line over it all.
    """
    if not values:
        raise ValueError("bars needs at least one value. Got none")
    if better not in (None, "lower", "higher"):
        raise ValueError(f"better must be 'lower', 'higher' or None. Got {better!r}")
    groups: dict[str, dict[str, float | None]] = {}
    for label, entry in values.items():
        groups[label] = dict(entry) if isinstance(entry, Mapping) else {"": entry}
    series = list(dict.fromkeys(name for group in groups.values() for name in group))
    bar = 0.26 if len(series) == 1 else 0.21
    height = 0.75 + sum(bar * len(series) + 0.12 for _ in groups) + (0.25 if len(series) > 1 else 0)
    figure, axes = subplots(height=height + (0.25 if reference else 0))
    with style():
        y, middles = 0.0, []
        for label, group in groups.items():
            middles.append(y + bar * (len(series) - 1) / 2)
            for i, name in enumerate(series):
                value = group.get(name)
                dark = label in highlight or (name != "" and name in highlight)
                axes.barh(
                    y,
                    0 if value is None else value,
                    height=bar * 0.88,
                    color="#BBBBBB" if dark else PALETTE[i % len(PALETTE)],
                    edgecolor=INK if dark else "white",
                    hatch="////" if dark else HATCHES[i % len(HATCHES)],
                    linewidth=0.6,
                    label=name if label == next(iter(groups)) else None,
                )
                text = "not given" if value is None else number.format(value)
                axes.annotate(
                    text,
                    (0 if value is None or (log and value <= 0) else value, y),
                    xytext=(4 if value is None or value >= 0 else -4, 0),
                    textcoords="offset points",
                    ha="left" if value is None or value >= 0 else "right",
                    va="center",
                    size=8.5,
                    color=FAINT if value is None else INK,
                    clip_on=False,
                )
                y += bar
            y += 0.12
        axes.set_yticks(middles, ["\n".join(textwrap.wrap(label, 30)) for label in groups])
        axes.tick_params(axis="y", length=0)
        axes.invert_yaxis()
        axes.set_xscale("log" if log else "linear")
        axes.margins(x=0.12)
        axes.grid(axis="x")
        axes.set_xlabel(xlabel + (f"  ({better} is better)" if better else ""))
        if any(v is not None and v < 0 for group in groups.values() for v in group.values()):
            axes.axvline(0, color=INK, linewidth=0.8, linestyle="-")
        if reference:
            axes.axvline(reference[1], color=INK, linewidth=1.2, linestyle="--")
            axes.annotate(
                f"{reference[0]}: {number.format(reference[1])}",
                (reference[1], 1),
                xycoords=("data", "axes fraction"),
                xytext=(0, 3),
                textcoords="offset points",
                ha="center",
                size=8.5,
            )
        if title:
            figure.suptitle(title, x=0.01, ha="left", size=9.5, weight="bold")
        if len(series) > 1:
            figure.legend(loc="outside lower center", ncols=len(series), handlelength=2.2)
    return figure


def curves(
    series: Any,
    xlabel: str = "epoch",
    ylabel: str = "loss",
    log: bool = False,
    optimum: float | Mapping[str, float] | None = None,
    title: str | None = None,
    width: float = MAX_WIDTH,
    height: float = 2.8,
) -> Figure:
    """Lines told apart by color, line style and marker.

    Args:
        series: a training history (or its rows: dicts with epoch, train_loss, validation_loss), or a mapping
            name -> values (drawn over 1, 2, 3, ...) or name -> (xs, ys).
        xlabel, ylabel: of the axes.
        log: logarithmic y axis.
        optimum: value, or label -> value, of horizontal lines: what no network can beat.
        title: one line over it all.
        width, height: in inches.
    """
    lines = _lines(series)
    figure, axes = subplots(width=width, height=height)
    with style():
        for i, (name, (xs, ys)) in enumerate(lines.items()):
            axes.plot(
                xs,
                ys,
                label=name,
                color=PALETTE[i % len(PALETTE)],
                linestyle=LINE_STYLES[i % len(LINE_STYLES)],
                marker=MARKERS[i % len(MARKERS)],
                markevery=max(1, len(xs) // 12),
            )
        if log:
            _log_axis(axes)
        floors = optimum if isinstance(optimum, Mapping) else {"optimum": optimum}
        for i, (name, value) in enumerate(floors.items()):
            if value is not None:
                dashes = LINE_STYLES[(i + 3) % len(LINE_STYLES)]
                label = f"{name}: {value:.4g}"
                axes.axhline(value, color=INK, linestyle=dashes, linewidth=1.2, label=label)
        if xlabel == "epoch":
            axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set_xlabel(xlabel)
        axes.set_ylabel(ylabel)
        axes.grid(axis="y")
        if title:
            axes.set_title(title, weight="bold")
        if len(axes.get_legend_handles_labels()[0]) > 1:
            axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), handlelength=3.2)
    return figure


def _log_axis(axes: Axes) -> None:
    """Logarithmic, with plain numbers at 1, 2 and 5: over less than a decade the usual labels fail."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _lines(series: Any) -> dict[str, tuple[list[float], list[float]]]:
    if isinstance(series, Mapping):
        found = {str(name): _points(values) for name, values in series.items()}
    else:
        rows = list(getattr(series, "rows", series))
        found = {}
        for key, name in (("train_loss", "training"), ("validation_loss", "validation")):
            kept = [row for row in rows if row.get(key) is not None]
            if kept:
                found[name] = ([float(row["epoch"]) for row in kept], [float(row[key]) for row in kept])
    if not found:
        raise ValueError("curves needs a history with at least one epoch, or a mapping name -> values. Got none")
    return found


def _points(values: Any) -> tuple[list[float], list[float]]:
    if isinstance(values, tuple) and len(values) == 2 and not np.isscalar(values[0]):
        xs, ys = ([float(v) for v in part] for part in values)
    else:
        ys = [float(v) for v in values]
        xs = [float(i + 1) for i in range(len(ys))]
    if len(xs) != len(ys):
        raise ValueError(f"a line needs as many xs as ys. Got {len(xs)} and {len(ys)}")
    return xs, ys


# Colors -------------------------------------------------------------------------------------------


def swatches(
    colors: Tensor | Mapping[str, Tensor],
    labels: Sequence[str] | None = None,
    probabilities: Sequence[float] | Tensor | None = None,
    show_gray: bool = False,
    scale: float = 1.0,
) -> Figure:
    """Color chips with their RGB values under them.

    Args:
        colors: (K, 3); or row label -> (K, 3), to hold rows of chips against each other (predicted over
            measured).
        labels: K texts over the chips.
        probabilities: K numbers, written over the chips in percent.
        show_gray: the lower part of each chip shows its Rec.601 gray, with the value under it.
        scale: size of a chip relative to the usual one.
    """
    rows = dict(colors) if isinstance(colors, Mapping) else {"": colors}
    chips = {label: _colors(values, label or "colors") for label, values in rows.items()}
    counts = {label: len(row) for label, row in chips.items()}
    if len(set(counts.values())) != 1:
        raise ValueError(f"every row must hold the same number of colors. Got {counts}")
    count = next(iter(counts.values()))
    for name, given in (("labels", labels), ("probabilities", probabilities)):
        if given is not None and len(given) != count:
            raise ValueError(f"{name} must hold one entry for each of {count} colors. Got {len(given)}")

    label_width = 0.1 + 0.075 * max(len(line) for label in chips for line in textwrap.wrap(label, 18) or [""])
    label_width = label_width if any(chips) else 0.0
    gap = 0.12
    cell = min(1.0 * scale, (MAX_WIDTH - label_width) / count - gap)
    chip = min(cell, 0.7)
    heads = [textwrap.wrap(text, max(3, int(cell / 0.07))) for text in labels or [""] * count]
    if probabilities is not None:
        for head, p in zip(heads, probabilities, strict=True):
            head.append(f"{100 * float(p):.3g} %")
    top = 0.16 * max(len(head) for head in heads) + 0.05
    foot = 0.42 if show_gray else 0.28
    wide = cell >= 0.9
    foot += 0 if wide else 0.28

    with style():
        figure = _blank(label_width + count * (cell + gap), top + len(chips) * (chip + foot))
        width, height = figure.get_size_inches()
        for i, head in enumerate(heads):
            x = (label_width + i * (cell + gap) + cell / 2) / width
            figure.text(x, 1 - (top - 0.05) / height, "\n".join(head), ha="center", va="bottom", size=8.5)
        for label, row in chips.items():
            if label:
                lines = "\n".join(textwrap.wrap(label, 18))
                y = 1 - (top + chip / 2) / height
                figure.text((label_width - 0.1) / width, y, lines, ha="right", va="center")
            for i, color in enumerate(row):
                left = label_width + i * (cell + gap)
                axes = _panel(figure, left, top, cell, chip)
                _chip(axes, color, show_gray)
                red, green, blue = (int(v) for v in color)
                text = f"{red}, {green}, {blue}" if wide else f"{red}\n{green}\n{blue}"
                text += f"\ngray {_gray(color):.1f}" if show_gray else ""
                x, y = (left + cell / 2) / width, 1 - (top + chip + 0.05) / height
                figure.text(x, y, text, ha="center", va="top", size=8)
            top += chip + foot
    return figure


def posterior_bars(
    colors: Tensor,
    probabilities: Tensor | Sequence[float],
    marks: Mapping[str, Tensor] | None = None,
    labels: Sequence[str] | None = None,
    title: str | None = None,
) -> Figure:
    """A distribution over colors as a bar chart whose bars are those colors.

    Args:
        colors: (K, 3).
        probabilities: K numbers; colors with probability 0 (padding) are left out.
        marks: label -> color (3,), shown as chips at the right: what the mean, the mode or a network paints.
        labels: K texts under the bars; without them the RGB values.
        title: one line over it all.
    """
    table = _colors(colors, "colors")
    p = np.asarray([float(v) for v in probabilities])
    if len(p) != len(table) or (labels is not None and len(labels) != len(table)):
        raise ValueError(
            f"colors, probabilities and labels must agree in length. Got {len(table)}, {len(p)}, "
            f"{None if labels is None else len(labels)}"
        )
    keep = [k for k in range(len(p)) if p[k] > 0]
    if not keep:
        raise ValueError(f"at least one probability must be above 0. Got {p.tolist()}")
    marks = marks or {}
    # Bars, then chips to the right, placed in inches: each keeps its size whatever the other holds.
    bar_width = min(0.95 * len(keep) + 0.3, MAX_WIDTH - 0.65 - 1.15 * len(marks))
    top = 0.3 if title else 0.12
    with style():
        figure = _blank(0.65 + bar_width + 1.15 * len(marks) + (0.1 if marks else 0), top + 2.25)
        width, height = figure.get_size_inches()
        axes = _panel(figure, 0.55, top, bar_width, 1.65)
        axes.set_axis_on()
        for x, k in enumerate(keep):
            face = tuple(table[k] / 255)
            axes.bar(x, p[k], width=0.78, color=face, edgecolor=INK, linewidth=0.8)
            axes.annotate(f"{p[k]:.2f}", (x, p[k]), xytext=(0, 2), textcoords="offset points", ha="center", size=8.5)
        axes.set_ylim(0, min(1.12, 1.18 * p.max()))
        axes.set_xlim(-0.6, len(keep) - 0.4)
        room = max(4, int(bar_width / len(keep) / 0.075))
        rgb = "{}, {}, {}" if room >= 13 else "{}\n{}\n{}"
        names = ["\n".join(textwrap.wrap(labels[k], room)) if labels else rgb.format(*table[k]) for k in keep]
        axes.set_xticks(range(len(keep)), names)
        axes.tick_params(axis="x", length=0, labelsize=8)
        axes.set_ylabel("probability")
        if title:
            figure.text(0, 1 - 0.02 / height, title, va="top", weight="bold")
        for i, (name, color) in enumerate(marks.items()):
            value = _colors(color.reshape(1, 3), name)[0]
            left = 0.7 + bar_width + 1.15 * i
            chip = _panel(figure, left, top + 0.45, 1.0, 0.75)
            _chip(chip, value, show_gray=False)
            x = (left + 0.5) / width
            head = "\n".join(textwrap.wrap(name, 13))
            figure.text(x, 1 - (top + 0.41) / height, head, ha="center", va="bottom", size=8.5)
            figure.text(x, 1 - (top + 1.25) / height, "{}, {}, {}".format(*value), ha="center", va="top", size=8)
    return figure


def _chip(axes: Axes, color: np.ndarray, show_gray: bool) -> None:
    from matplotlib.patches import Rectangle

    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.add_patch(Rectangle((0, 0), 1, 1, facecolor=tuple(color / 255), edgecolor="none"))
    if show_gray:
        gray = _gray(color) / 255
        axes.add_patch(Rectangle((0, 0), 1, 0.35, facecolor=(gray, gray, gray), edgecolor="none"))
    axes.add_patch(Rectangle((0, 0), 1, 1, fill=False, edgecolor=FAINT, linewidth=0.8))


def _gray(color: np.ndarray) -> float:
    red, green, blue = (int(v) for v in color)
    return (299 * red + 587 * green + 114 * blue) / 1000  # Rec.601, exact for 8-bit colors


def _colors(colors: Tensor, name: str) -> np.ndarray:
    if not isinstance(colors, Tensor):
        raise TypeError(f"{name} must be a tensor (K, 3). Got {type(colors).__name__}")
    if colors.ndim != 2 or colors.shape[1] != 3 or len(colors) == 0:
        raise ValueError(f"{name} must be (K, 3) with K >= 1. Got {tuple(colors.shape)}")
    return _eight_bits(colors, name).numpy()


def _one_line(text: str | None) -> str:
    return " ".join((text or "").split())
