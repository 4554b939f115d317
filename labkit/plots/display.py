"""Display a figure with alt text, and encode it as a small file."""

from __future__ import annotations

import html
import io
import os
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from labkit.errors import LabkitError, check_integer
from labkit.plots.theme import DISPLAY_DPI, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Of a PNG. The test profile proves that a lab runs: its figures are small, to be made sooner.
STORED_DPI = 50 if os.environ.get("LABKIT_PROFILE") == "test" else 140
HOPELESS = 5  # a PNG that fast compression leaves at more than this many times the limit is not compressed further
MAX_BYTES = 110_000  # of a picture; a notebook stores it in base64, a third larger, and that must stay under 150 kB


def show(figure: Figure, alt: str, caption: str | None = None) -> None:
    """Display a figure as one image output with alt text, then the caption in italics, and close the figure.

    The alt text says what is to be seen to somebody who cannot see it. It goes into the output's metadata
    (nbconvert, Colab) and is the output's text/plain form. JupyterLab ignores that metadata, so the text can
    also be unfolded under the figure.

    Args:
        figure: any matplotlib figure, from this module or not.
        alt: one or more sentences; must not be empty.
        caption: Markdown, one paragraph.

    Raises:
        LabkitError: if `alt` is empty.
    """
    from IPython.display import Markdown, display

    alt = _one_line(alt)
    if not alt:
        raise LabkitError("alt is missing: got an empty text, expected a sentence that says what the figure shows")
    mime, content, width = to_image(figure)
    close(figure)
    display({mime: content, "text/plain": alt}, metadata={mime: {"alt": alt, "width": width}}, raw=True)
    lines = [f"*{_one_line(caption)}*"] if caption else []
    lines.append(f"<details><summary>Figure in words</summary>{html.escape(alt, quote=False)}</details>")
    display(Markdown("\n\n".join(lines)))


def in_notebook() -> bool:
    """Return whether this process is a Jupyter kernel, whose outputs can be pictures."""
    if "IPython" not in sys.modules:
        return False
    from IPython.core.getipython import get_ipython

    return hasattr(get_ipython(), "kernel")


def to_image(figure: Figure, max_bytes: int = MAX_BYTES) -> tuple[str, bytes, int]:
    """Encode a figure as an image file of limited size.

    The same figure gives the same bytes: no date, no software name. Line drawings, color chips and small images are
    PNG with their exact colors. Photographs that are too large for that are JPEG with full-resolution chroma
    (this is a course on color), at the best of a few resolutions and qualities that fits.

    Args:
        figure: any matplotlib figure.
        max_bytes: largest size of the file.

    Returns:
        Its MIME type, its bytes, and the width in pixels to display it at.

    Raises:
        LabkitError: if even the smallest form is larger than `max_bytes`.
    """
    max_bytes = check_integer("max_bytes", max_bytes, low=1)
    pixels = _render(figure, STORED_DPI)
    content = _encoded(pixels, "PNG", compress_level=1)
    if len(content) <= HOPELESS * max_bytes:
        content = _encoded(pixels, "PNG", optimize=True)
    if len(content) <= max_bytes:
        return "image/png", content, round(pixels.shape[1] * DISPLAY_DPI / STORED_DPI)
    for dpi in (STORED_DPI, 110, 90, 70, 50):
        pixels = pixels if dpi == STORED_DPI else _render(figure, dpi)
        for quality in (93, 88, 83):
            # not optimize=True: Pillow's buffer for it is too small for noisy pictures with full chroma, and it raises
            content = _encoded(pixels, "JPEG", quality=quality, subsampling=0)
            if len(content) <= max_bytes:
                return "image/jpeg", content, round(pixels.shape[1] * DISPLAY_DPI / dpi)
    raise LabkitError(
        f"figure too large: got {len(content)} bytes, expected at most {max_bytes}. Show fewer or smaller pictures."
    )


def close(figure: Figure) -> None:
    """Close a figure: if pyplot made it, it would be displayed a second time."""
    from matplotlib._pylab_helpers import Gcf

    Gcf.destroy_fig(figure)
    figure.clear()


def _render(figure: Figure, dpi: float) -> np.ndarray:
    from PIL import Image

    buffer = io.BytesIO()
    with style():
        figure.savefig(
            buffer,
            format="png",
            dpi=dpi,
            facecolor="white",
            bbox_inches="tight",
            pad_inches=0.04,
            pil_kwargs={"compress_level": 0},  # decoded in the next line
        )
    return np.asarray(Image.open(buffer).convert("RGB"))


def _encoded(pixels: np.ndarray, kind: str, **options: Any) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format=kind, **options)
    return buffer.getvalue()


def _one_line(text: str | None) -> str:
    return " ".join((text or "").split())
