"""The look that all figures share: palette, line styles, sizes, and matplotlib's settings while they are drawn."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from labkit.errors import check_integer, check_number

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


@contextmanager
def style() -> Iterator[None]:
    """Use the labs' matplotlib settings for the length of a `with` block; the global ones stay as they are."""
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
    """Make a figure in the labs' style for a drawing of your own.

    Args:
        rows: of axes.
        columns: of axes.
        width: of the figure, in inches.
        height: of the figure, in inches.
        options: of ``Figure.subplots``.

    Returns:
        The figure, and its axes as ``Figure.subplots`` returns them.
    """
    rows, columns = check_integer("rows", rows, low=1), check_integer("columns", columns, low=1)
    width, height = check_number("width", width, above=0), check_number("height", height, above=0)
    from matplotlib.figure import Figure

    with style():
        figure = Figure(figsize=(width, height), layout="constrained")
        return figure, figure.subplots(rows, columns, **options)


def blank(width: float, height: float) -> Figure:
    """Make an empty figure, in inches, to be filled with `panel`; its cells keep their size whatever stands beside."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height))


def panel(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Add empty axes at a place given in inches from the figure's top left corner."""
    w, h = figure.get_size_inches()
    axes = figure.add_axes((left / w, 1 - (top + height) / h, width / w, height / h))
    axes.set_axis_off()
    return axes
