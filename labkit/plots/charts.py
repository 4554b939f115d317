"""Charts of numbers: horizontal bars, and curves."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from labkit.errors import LabkitError
from labkit.plots.theme import FAINT, HATCHES, INK, LINE_STYLES, MARKERS, MAX_WIDTH, PALETTE, style, subplots

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


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
    """Draw horizontal bars with their numbers beside them.

    Args:
        values: label -> number, or group -> {series -> number}; None is drawn as "not given".
        xlabel: what is measured, with its unit.
        better: "lower" or "higher", said along the axis.
        reference: (label, value) of a dashed line, the gray baseline say.
        highlight: labels of bars to draw gray and hatched.
        number: format of the numbers.
        log: logarithmic axis.
        title: one line over it all.

    Returns:
        The figure.

    Raises:
        LabkitError: without values, or for another word in `better`.
    """
    if not values:
        raise LabkitError("no values to draw: got none, expected at least one")
    if better not in (None, "lower", "higher"):
        raise LabkitError(f"unknown value of better: got {better!r}, expected 'lower', 'higher' or None")
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
                marked = label in highlight or (name != "" and name in highlight)
                in_legend = name if label == next(iter(groups)) else None
                _bar(axes, y, bar * 0.88, group.get(name), i, marked, in_legend)
                _write_number(axes, y, group.get(name), number, log)
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
            _reference_line(axes, *reference, number)
        if title:
            figure.suptitle(title, x=0.01, ha="left", size=9.5, weight="bold")
        if len(series) > 1:
            figure.legend(loc="outside lower center", ncols=len(series), handlelength=2.2)
    return figure


def _bar(axes: Axes, y: float, height: float, value: float | None, i: int, marked: bool, label: str | None) -> None:
    """Draw one bar in the color and hatch of series i, or gray and hatched."""
    axes.barh(
        y,
        0 if value is None else value,
        height=height,
        color="#BBBBBB" if marked else PALETTE[i % len(PALETTE)],
        edgecolor=INK if marked else "white",
        hatch="////" if marked else HATCHES[i % len(HATCHES)],
        linewidth=0.6,
        label=label,
    )


def _write_number(axes: Axes, y: float, value: float | None, number: str, log: bool) -> None:
    """Write the number at the end of its bar."""
    axes.annotate(
        "not given" if value is None else number.format(value),
        (0 if value is None or (log and value <= 0) else value, y),
        xytext=(4 if value is None or value >= 0 else -4, 0),
        textcoords="offset points",
        ha="left" if value is None or value >= 0 else "right",
        va="center",
        size=8.5,
        color=FAINT if value is None else INK,
        clip_on=False,
    )


def _reference_line(axes: Axes, label: str, value: float, number: str) -> None:
    """Draw a dashed line across all bars, with its label and number above."""
    axes.axvline(value, color=INK, linewidth=1.2, linestyle="--")
    axes.annotate(
        f"{label}: {number.format(value)}",
        (value, 1),
        xycoords=("data", "axes fraction"),
        xytext=(0, 3),
        textcoords="offset points",
        ha="center",
        size=8.5,
    )


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
    """Draw lines that differ in color, line style and marker.

    Args:
        series: a training history (or its rows: dicts with epoch, train_loss, validation_loss), or a mapping
            name -> values (drawn over 1, 2, 3, ...) or name -> (xs, ys).
        xlabel: of the x axis.
        ylabel: of the y axis.
        log: logarithmic y axis.
        optimum: value, or label -> value, of horizontal lines: a loss that no network can go below, say.
        title: one line over it all.
        width: in inches.
        height: in inches.

    Returns:
        The figure.

    Raises:
        LabkitError: without any line, or where xs and ys differ in length.
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
        levels = optimum if isinstance(optimum, Mapping) else {"optimum": optimum}
        for i, (name, value) in enumerate(levels.items()):
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
        raise LabkitError("no curves to draw: got none, expected a history with an epoch, or a mapping name -> values")
    return found


def _points(values: Any) -> tuple[list[float], list[float]]:
    if isinstance(values, tuple) and len(values) == 2 and not np.isscalar(values[0]):
        xs, ys = ([float(v) for v in part] for part in values)
    else:
        ys = [float(v) for v in values]
        xs = [float(i + 1) for i in range(len(ys))]
    if len(xs) != len(ys):
        raise LabkitError(f"xs and ys differ in length: got {len(xs)} and {len(ys)}, expected as many of each")
    return xs, ys
