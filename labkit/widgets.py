"""Interactive figures: a slider in a live notebook, and always a static figure that says the same.

The static figure is what a saved notebook, a report, an HTML export or a screen without widgets shows. The slider
comes on top of it, unless LABKIT_STATIC=1 (which `labkit build`, `labkit run` and the tests set) or
ipywidgets is missing.
"""

from __future__ import annotations

import base64
import html
import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from labkit import plots
from labkit.errors import LabkitError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DRAG_HINT = (
    "Live: drag the slider, or move it with the arrow keys. A second figure follows; the first one stays, to compare."
)


def drag(
    draw: Callable[[Any], Figure],
    *,
    name: str,
    values: Sequence[Any],
    start: Any,
    alt: Callable[[Any], str],
    caption: str | None = None,
) -> None:
    """Show ``draw(start)`` and, in a live notebook, a slider over ``values`` that changes the figure while it is moved.

    All frames are drawn before the slider appears, so that moving it costs nothing.

    Args:
        draw: makes the figure from one value.
        name: of what the slider sets.
        values: numbers or texts, in order; at least two.
        start: the one of them that the static figure shows.
        alt: what the figure of a value shows.
        caption: Markdown, one paragraph.

    Raises:
        LabkitError: for fewer than two values, or a start that is none of them.
    """
    values = list(values)
    if len(values) < 2 or start not in values:
        raise LabkitError(f"wrong slider {name}: got values {values} and start {start!r}, expected two or more with it")
    plots.show(draw(start), alt(start), caption)
    if is_live():
        from IPython.display import display

        display(drag_panel(draw, name=name, values=values, start=start, alt=alt))


def drag_panel(
    draw: Callable[[Any], Figure], *, name: str, values: Sequence[Any], start: Any, alt: Callable[[Any], str]
) -> Any:
    """Make the live part of `drag` alone: an ipywidgets box of a slider over a picture, which is empty until it moves.

    The picture is an HTML widget, for the Image widget of ipywidgets has no alt text.

    Args:
        draw: as in `drag`.
        name: as in `drag`.
        values: as in `drag`.
        start: the value at first.
        alt: as in `drag`.
    """
    import ipywidgets

    frames = [_frame(draw(value), alt(value)) for value in values]
    options = [(_in_words(value), index) for index, value in enumerate(values)]
    slider = ipywidgets.SelectionSlider(
        options=options,
        value=list(values).index(start),
        continuous_update=True,
        description=_label(name),
        style={"description_width": "initial"},
        layout=ipywidgets.Layout(width="32em"),
    )
    picture = ipywidgets.HTML()

    def turn(change: Mapping[str, Any]) -> None:
        picture.value = frames[change["new"]]

    slider.observe(turn, names="value")
    return ipywidgets.VBox([ipywidgets.HTML(DRAG_HINT), slider, picture])


def _frame(figure: Figure, alt: str) -> str:
    mime, content, width = plots.to_image(figure)
    plots.close(figure)
    source = f"data:{mime};base64,{base64.b64encode(content).decode()}"
    return f'<img src="{source}" width="{width}" alt="{html.escape(" ".join(alt.split()))}">'


def is_live() -> bool:
    """Return whether widgets are shown: LABKIT_STATIC is unset, empty or 0, and ipywidgets is installed."""
    if os.environ.get("LABKIT_STATIC", "") not in ("", "0"):
        return False
    try:
        import ipywidgets  # noqa: F401
    except ImportError:
        return False
    return True


def _in_words(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _label(name: str) -> str:
    return name.replace("_", " ")
