"""Draw the figures of docs/results.md from data/measured: five, each for one main finding, readable in gray print."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labkit import artifacts, plots
from labkit.experiments.findings import FINDINGS, NotMeasured, Numbers, costs
from labkit.experiments.measured import Measured
from labkit.experiments.recipes.bins import bins_name
from labkit.metrics import KID_NAME, skill
from labkit.plots.theme import HATCHES, INK, MARKERS, PALETTE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_BYTES = 60_000  # of one file
FORMS = {"printed": "as printed", "direction corrected": "gray direction", "basis corrected": "orthonormal basis"}
FORMS |= {"corrected": "both corrected"}
KERNELS = {"baseline": "bias alone", "hybrid": "identity and derivatives", "identity only": "identity"}
KERNELS |= {"identity + bias": "identity + bias", "zero-mean only": "derivatives"}
KERNELS |= {"zero-mean + bias": "derivatives + bias"}


@dataclass(frozen=True)
class Drawn:
    """Hold a figure, and what it shows in words."""

    figure: Figure
    alt: str


def draw_skips(n: Numbers) -> Drawn:
    """Draw the MSE with and without skips, of networks that predict RGB or chroma."""
    values = {
        words: {label: n(f"{space}, {label}") for label in ("no skips", "skips")}
        for space, words in (("rgb", "predicts RGB"), ("luma-chroma", "is given luma"))
    }
    gray = n.gray("rgb, skips")
    parts = [f"{group}: {', '.join(f'{k} {v:.4f}' for k, v in pair.items())}" for group, pair in values.items()]
    figure = plots.bars(values, xlabel="MSE on test horses", better="lower", reference=("gray", gray), number="{:.5f}")
    return Drawn(figure, f"Bars of the MSE of an encoder-decoder. {'; '.join(parts)}; gray {gray:.4f}.")


def draw_bins(n: Numbers) -> Drawn:
    """Draw what lies between a regression and the mode of bins, by kind of price and number of bins."""
    spaces = {"rgb": "regression to RGB", "chroma": "regression to chroma", "ab": "regression to ab"}
    counts = {"rgb": (12, 24, 64, 150), "chroma": (12, 24, 64, 150), "ab": (313, 676)}
    figure, axes = plots.subplots(height=3.4)
    parts: list[str] = []
    names: list[str] = []
    with plots.style():
        for space, regression in spaces.items():
            for count in counts[space]:
                name = bins_name(f"{space}{count}")
                price = costs(n, name, regression)
                prices = {"quantization": price.quantization, "commitment": price.commitment}
                _stack(axes, len(names), {"mean of the bins": n(f"{name}, mean")} | prices, with_labels=not names)
                label = None if names else "regression"
                axes.plot(n(regression), len(names), linestyle="", marker="D", markersize=6, color=INK, label=label)
                label = None if names else "mode"  # marked, since a negative step lies over the one before
                style = {"linestyle": "", "marker": "|", "markersize": 17, "markeredgewidth": 2.5}
                axes.plot(n(f"{name}, mode"), len(names), color=INK, label=label, **style)
                names.append(name.removesuffix(" bins"))
                parts.append(f"{name} {price.quantization:.5f} and {price.commitment:.5f}")
        axes.set_yticks(range(len(names)), names)
        axes.invert_yaxis()
        axes.set_xlim(0, 1.05 * axes.get_xlim()[1])
        axes.set_xlabel("MSE of the mode on test horses  (lower is better)")
        figure.legend(loc="outside lower center", ncols=5, handlelength=2.2)
    alt = f"Stacked bars of the mode's MSE. Quantization and commitment: {'; '.join(parts)}."
    return Drawn(figure, alt)


def _stack(axes: Any, y: int, steps: Mapping[str, float], with_labels: bool) -> None:
    """Draw one bar of several steps; one that is negative lies over the one before."""
    left = 0.0
    for i, (label, value) in enumerate(steps.items()):
        axes.barh(
            y,
            value,
            left=left,
            height=0.7,
            color="#DDDDDD" if i == 0 else PALETTE[i],
            edgecolor=INK,
            linewidth=0.5,
            hatch=HATCHES[i],
            label=label if with_labels else None,
        )
        left += value


def draw_slr(n: Numbers) -> Drawn:
    """Draw the MSE by direction and basis, a row of marks for each set of kernels."""
    values = {
        words: {text: n(f"{form}, {network}") for form, text in FORMS.items()} for network, words in KERNELS.items()
    }
    gray = n.gray("printed, baseline")
    figure, axes = plots.subplots(height=3.2)
    with plots.style():
        for i, text in enumerate(FORMS.values()):
            axes.plot(
                [row[text] for row in values.values()],
                range(len(values)),
                linestyle="",
                marker=MARKERS[i],
                markersize=7,
                markerfacecolor=PALETTE[i] if i % 2 else "white",
                markeredgecolor=PALETTE[i],
                label=text,
            )
        axes.axvline(gray, color=INK, linestyle="--", linewidth=1.2, label="gray")
        axes.set_yticks(range(len(values)), list(values))
        axes.invert_yaxis()
        axes.set_xscale("log")
        axes.grid(axis="y")
        axes.set_xlabel("MSE on test horses, logarithmic  (lower is better)")
        figure.legend(loc="outside lower center", ncols=5, handlelength=2.2)
    parts = [f"{name}: {', '.join(f'{k} {v:.4f}' for k, v in row.items())}" for name, row in values.items()]
    return Drawn(figure, f"Marks of the MSE by kernels and decomposition. {'; '.join(parts)}; gray {gray:.4f}.")


def draw_l1(n: Numbers) -> Drawn:
    """Draw the colorfulness of networks trained with MSE and with L1, in four spaces."""
    values = {
        space: {loss: n(f"{space}, {loss}", "colorfulness") for loss in ("MSE", "L1")}
        for space in ("RGB", "YUV", "LAB", "luma-chroma")
    }
    parts = [f"{space}: {', '.join(f'{k} {v:.1f}' for k, v in pair.items())}" for space, pair in values.items()]
    figure = plots.bars(values, xlabel="colorfulness of test horses", number="{:.1f}")
    return Drawn(figure, f"Bars of colorfulness by color space and loss. {'; '.join(parts)}.")


def draw_gan(n: Numbers) -> Drawn:
    """Draw squared error against colorfulness, with gray, the best regressor and a perfect sampler's price."""
    names = ["classification, by mean", "classification", "classification, by mode"]
    names += ["classification, rebalanced", "C-DCGAN", "generator alone, L1"]
    points = {name: (n(name), n(name, "colorfulness"), n(name, KID_NAME)) for name in names}
    best, gray = min(points[name][0] for name in (names[0], names[-1])), n.gray("C-DCGAN")  # of those that average
    figure, axes = plots.subplots(height=3.2)
    with plots.style():
        for i, (name, (mse, colors, _)) in enumerate(points.items()):
            color = PALETTE[i % len(PALETTE)]
            axes.plot(mse, colors, linestyle="", marker=MARKERS[i], markersize=7, color=color, label=name)
        for style, (label, value) in zip(
            ("-", "--", ":"), {"best mean": best, "gray": gray, "perfect sampler": 2 * best}.items(), strict=True
        ):
            axes.axvline(value, color=INK, linewidth=1.1, linestyle=style, label=label)
        axes.set_xlabel("MSE on test horses  (lower is better)")
        axes.set_ylabel("colorfulness")
        axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), handlelength=2.4)
    parts = [f"{k}: MSE {m:.4f} (skill {skill(m, gray):.2f}), colorfulness {c:.1f}" for k, (m, c, _) in points.items()]
    marks = f"gray {gray:.4f}, a perfect sampler {2 * best:.4f}"
    return Drawn(figure, f"Squared error against colorfulness. {'; '.join(parts)}. Lines: {marks}.")


DRAW: dict[str, Callable[[Numbers], Drawn]] = {
    "skips": draw_skips,
    "bins": draw_bins,
    "slr": draw_slr,
    "l1": draw_l1,
    "gan": draw_gan,
}


def draw_all(rows: Mapping[str, Sequence[Measured]]) -> dict[str, Drawn]:
    """Return the figures whose numbers are all measured, by file name.

    Args:
        rows: what was measured, by recipe.
    """
    found = {}
    for finding in FINDINGS:
        if finding.figure:
            try:
                drawn = DRAW[finding.figure](Numbers(rows.get(finding.recipe, ())))
            except NotMeasured:
                continue
            found[f"results-{finding.figure}.png"] = drawn
    return found


def write_figures(folder: Path, rows: Mapping[str, Sequence[Measured]]) -> list[Path]:
    """Write the figures into a folder, and return their paths.

    Args:
        folder: docs/images, for the page of results.
        rows: what was measured, by recipe.
    """
    written = []
    for name, drawn in draw_all(rows).items():
        _, content, _ = plots.to_image(drawn.figure, max_bytes=MAX_BYTES)
        plots.close(drawn.figure)
        artifacts.write_bytes(folder / name, content)
        written.append(folder / name)
    return written
