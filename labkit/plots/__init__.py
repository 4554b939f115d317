"""Draw the figures of the labs: functions that return a matplotlib Figure, and `show`, which displays one accessibly.

Figures stay readable in grayscale print and by the color-blind where color is not the subject. Nothing here changes
matplotlib's global settings or calls plt.show. Images are (C, H, W) or (N, C, H, W) with C = 3 or 1, uint8 or float
in [0, 1] (floats outside are clipped); colors are (K, 3), uint8 or float in [0, 1].
"""

from labkit.plots.charts import bars, curves
from labkit.plots.colors import posterior_bars, swatches
from labkit.plots.display import MAX_BYTES, close, show, to_image
from labkit.plots.images import Images, compare, image_grid, show_rows
from labkit.plots.sheet import contact_sheet
from labkit.plots.theme import FAINT, HATCHES, INK, LINE_STYLES, MARKERS, MAX_WIDTH, PALETTE, style, subplots

__all__ = [
    "FAINT",
    "HATCHES",
    "INK",
    "LINE_STYLES",
    "MARKERS",
    "MAX_BYTES",
    "MAX_WIDTH",
    "PALETTE",
    "Images",
    "bars",
    "close",
    "compare",
    "contact_sheet",
    "curves",
    "image_grid",
    "posterior_bars",
    "show",
    "show_rows",
    "style",
    "subplots",
    "swatches",
    "to_image",
]
