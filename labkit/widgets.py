"""Interactive figures: a panel of controls in a live notebook, and always a static figure that says the same.

The static figure is what a saved notebook, a report, an HTML export or a screen without widgets shows. The live
panel comes on top of it, unless LABKIT_STATIC=1 (which `labkit build`, `labkit run` and the tests set) or
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

HINT = "Live: change a control and the figure is drawn again below. Tab moves between controls, arrow keys move them."
DRAG_HINT = (
    "Live: drag the slider, or move it with the arrow keys. A second figure follows; the first one stays, to compare."
)


def explore(
    draw: Callable[..., Figure],
    *,
    alt: str,
    static: Mapping[str, Any],
    caption: str | None = None,
    **controls: tuple[float, float, float] | Sequence[Any] | bool,
) -> None:
    """Show ``draw(**static)`` as a figure and, in a live notebook, a panel of controls that draws it anew.

    Args:
        draw: makes the figure from one keyword argument per control.
        alt: what the static figure shows. The live figure is described by this and the controls' values.
        static: the value of each control in the static figure; the panel starts there.
        caption: Markdown, one paragraph.
        controls: name=(low, high, step) is a slider, of integers if all three are; name=[...] a menu;
            name=True or False a check box. Underscores in a name show as spaces.

    Raises:
        LabkitError: if a control is none of these, or `static` does not hold a possible value for each.
    """
    _check(controls, static)
    _explore(lambda: draw(**static), draw, alt=alt, static=static, caption=caption, controls=controls)


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


def panel(draw: Callable[..., Figure], *, alt: str, static: Mapping[str, Any], controls: Mapping[str, Any]) -> Any:
    """Make the live part alone.

    Args:
        draw: as in `explore`.
        alt: what the static figure shows.
        static: the values that the controls start with.
        controls: as in `explore`.

    Returns:
        An ipywidgets box of the controls over an Output that holds the latest figure.
    """
    import ipywidgets

    widgets = {name: _widget(name, control, static[name]) for name, control in controls.items()}
    output = ipywidgets.Output()

    def redraw(_: object = None) -> None:
        values = {name: widget.value for name, widget in widgets.items()}
        with output:  # an exception in draw is shown here, too
            output.clear_output(wait=True)
            listed = ", ".join(f"{_label(name)} {_in_words(value)}" for name, value in values.items())
            plots.show(draw(**values), alt=f"At first: {alt} Now drawn with {listed}.")

    for widget in widgets.values():
        widget.observe(redraw, names="value")
    return ipywidgets.VBox([ipywidgets.HTML(HINT), *widgets.values(), output])


def _explore(
    draw_static: Callable[[], Figure],
    draw: Callable[..., Figure],
    *,
    alt: str,
    static: Mapping[str, Any],
    caption: str | None,
    controls: Mapping[str, Any],
) -> None:
    plots.show(draw_static(), alt, caption)
    if is_live():
        from IPython.display import display

        display(panel(draw, alt=alt, static=static, controls=controls))


def _widget(name: str, control: Any, value: Any) -> Any:
    import ipywidgets

    # continuous_update off: one drawing when the slider is let go, not one per pixel it moves.
    common = {"value": value, "description": _label(name), "style": {"description_width": "initial"}}
    if isinstance(control, bool):
        return ipywidgets.Checkbox(indent=False, **common)
    if isinstance(control, tuple):
        low, high, step = control
        kind = ipywidgets.IntSlider if _whole(control) else ipywidgets.FloatSlider
        wide = ipywidgets.Layout(width="26em")
        return kind(min=low, max=high, step=step, continuous_update=False, layout=wide, **common)
    return ipywidgets.Dropdown(options=list(control), **common)


def _check(controls: Mapping[str, Any], static: Mapping[str, Any]) -> None:
    if not controls or set(controls) != set(static):
        raise LabkitError(
            f"static and controls differ: got {sorted(static)} and {sorted(controls)}, expected the same names"
        )
    for name, control in controls.items():
        value = static[name]
        if isinstance(control, bool):
            possible = isinstance(value, bool)
        elif isinstance(control, tuple):
            if len(control) != 3 or not all(_number(v) for v in control):
                raise LabkitError(f"wrong slider {name}: got {control!r}, expected three numbers (low, high, step)")
            low, high, step = control
            if not (low < high and step > 0):
                raise LabkitError(f"wrong slider {name}: got {control!r}, expected low < high and step > 0")
            fits = isinstance(value, int) if _whole(control) else True
            possible = _number(value) and low <= value <= high and fits
        elif isinstance(control, list):
            possible = value in control
        else:
            raise LabkitError(f"wrong control {name}: got {control!r}, expected (low, high, step), a list or a bool")
        if not possible:
            raise LabkitError(f"wrong static value of {name}: got {value!r}, expected one that the control can take")


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _whole(values: Sequence[Any]) -> bool:
    return all(isinstance(value, int) for value in values)


def _in_words(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _label(name: str) -> str:
    return name.replace("_", " ")
