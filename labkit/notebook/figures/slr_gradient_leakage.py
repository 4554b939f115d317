"""The figures of lab 05, SLR and gradient leakage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from labkit import color, plots
from labkit.analysis.leakage import flat_mask
from labkit.color import luma
from labkit.notebook.figures.unet_skips import scenes as scenes
from labkit.plots.theme import style
from labkit.widgets import drag

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HUES = ((1.6, 0.55, 0.9), (0.55, 1.3, 0.5), (0.35, 1.0, 2.1), (1.5, 0.95, 0.1), (1.0, 0.75, 2.0))
SMALLEST = 1e-4  # of a derivative that is drawn, relative to the largest of the figure


def directions(image: Tensor) -> None:
    """Show one photograph without chroma, along six directions of the same luma.

    Args:
        image: (3, H, W).
    """
    gray = 0.03 + 0.62 * luma(image)  # darker, so that no direction leaves the gamut
    weights = torch.tensor(color.LUMA_WEIGHTS)
    each = [torch.ones(3), *[torch.tensor(hue) / weights.dot(torch.tensor(hue)) for hue in HUES]]
    pictures = [(direction.view(3, 1, 1) * gray).clamp(0, 1) for direction in each]
    off = max(float((luma(picture) - gray).abs().mean()) for picture in pictures)
    rows = {"": pictures[:3], " ": pictures[3:]}
    plots.show(
        plots.image_grid(rows, scale=1.9),
        alt="One photograph six times: in gray, pink, green, blue, yellow and violet. The lumas of the six differ by "
        f"{255 * off:.2f} of 255 in the mean.",
        caption="Six pictures, one gray image: whoever is given the gray image cannot tell them apart.",
    )


def jacobians(gray: Tensor, pixel: tuple[int, int], maps: Mapping[str, tuple[Tensor, Tensor]]) -> None:
    """Draw how strongly a color, and its change to the right, depend on each gray value; one scale for all.

    Args:
        gray: (H, W).
        pixel: (row, column).
        maps: network -> lengths of the derivatives of the color, and of its change, (H, W) each.
    """
    from matplotlib.colors import LogNorm

    largest = max(float(one.max()) for pair in maps.values() for one in pair)
    figure, panels = plots.subplots(2, 1 + len(maps), height=2.9)
    with style():
        for row, what in enumerate(("the color", "its change")):
            panels[row, 0].imshow(gray, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            panels[row, 0].plot(pixel[1], pixel[0], "+", color=plots.PALETTE[1], markersize=11, markeredgewidth=2)
            panels[row, 0].set_ylabel(what)
            for axes, (name, pair) in zip(panels[row, 1:], maps.items(), strict=True):
                shown = pair[row].clamp(min=SMALLEST * largest)
                heat = axes.imshow(
                    shown, norm=LogNorm(SMALLEST * largest, largest), cmap="magma", interpolation="nearest"
                )
                if row == 0:
                    axes.set_title(name, size=8.5)
        panels[0, 0].set_title("gray image", size=8.5)
        for axes in panels.flat:
            axes.set(xticks=[], yticks=[])
        figure.colorbar(heat, ax=panels, shrink=0.8, label="length of the derivative")

    def far(found: Tensor) -> float:
        rows, columns = (torch.arange(side) for side in found.shape)
        away = torch.maximum((rows - pixel[0]).abs()[:, None], (columns - pixel[1]).abs()[None])
        return float(found[away > 1].sum() / found.sum().clamp(min=1e-30))

    said = "; ".join(f"{name} {far(a):.0%} and {far(b):.0%}" for name, (a, b) in maps.items())
    plots.show(
        figure,
        alt=f"A gray scene with a cross at row {pixel[0]}, column {pixel[1]}, and maps of what the color there depends "
        f"on (above) and its change to the right (below). Fraction outside the 3x3 neighborhood, of the color and of "
        f"its change: {said}.",
        caption="What the color at the cross depends on, and what its change depends on. One scale for all maps.",
    )


def ablation(mse: Mapping[str, Mapping[str, float]], gray: float) -> None:
    """Draw bars of MSE, in groups.

    Args:
        mse: group -> network -> MSE.
        gray: MSE of the gray image.
    """
    said = "; ".join(
        f"{group}: " + ", ".join(f"{name} {value:.4f}" for name, value in values.items())
        for group, values in mse.items()
    )
    plots.show(
        plots.bars(mse, xlabel="MSE of unseen scenes", better="lower", reference=("gray", gray)),
        alt=f"Bars of MSE. {said}. The gray image: {gray:.4f}.",
        caption="The mean over seeds. The dashed line is the gray image.",
    )


def kernel_sum(scene: Tensor, beside: Tensor, coefficients: Tensor, coefficients_beside: Tensor) -> None:
    """Show what a network of one kernel predicts as the sum of that kernel's numbers goes from 0 to 1.

    The kernel is the identity minus (1 - sum) times the mean of the 3x3 neighborhood; the coefficients stay.

    Args:
        scene: gray (1, 1, H, W) of a scene of flat areas.
        beside: gray (1, 1, H, W), flat beside texture.
        coefficients: (1, 2, H, W), what the kernel's response is multiplied with in the scene.
        coefficients_beside: the same for the other image.
    """

    def response(gray: Tensor, total: float) -> Tensor:
        around = F.avg_pool2d(F.pad(gray, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
        return (gray - around) + total * around

    def in_flat(gray: Tensor, chroma: Tensor) -> float:
        return float(chroma.norm(dim=1, keepdim=True)[flat_mask(gray)].mean())

    def draw(total: float) -> Figure:
        figure, panels = plots.subplots(1, 3, height=2.7)
        with style():
            kernel = torch.full((3, 3), (total - 1) / 9)
            kernel[1, 1] += 1
            panels[0].imshow(kernel, cmap="PuOr_r", vmin=-1, vmax=1)
            for row in range(3):
                for column in range(3):
                    value = float(kernel[row, column])
                    ink = "white" if abs(value) > 0.5 else plots.INK
                    panels[0].text(column, row, f"{value:+.2f}", ha="center", va="center", color=ink)
            panels[0].set_title(f"kernel, sum {total:.2f}")
            for axes, gray, mix, title in (
                (panels[1], scene, coefficients, "a scene of flat areas"),
                (panels[2], beside, coefficients_beside, "flat beside texture"),
            ):
                rgb = color.scale_to_gamut(color.luma_chroma_to_rgb(gray, mix * response(gray, total)))
                axes.imshow(rgb[0].permute(1, 2, 0).numpy(), interpolation="nearest")
                axes.set_title(title)
            for axes in panels:
                axes.set(xticks=[], yticks=[])
        return figure

    def alt(total: float) -> str:
        sky, leak = (
            in_flat(gray, mix * response(gray, total))
            for gray, mix in ((scene, coefficients), (beside, coefficients_beside))
        )
        return (
            f"A 3x3 kernel whose numbers sum to {total:.2f}, and two images colored with it. Mean length of the chroma "
            f"where 3x3 neighborhoods are flat: {sky:.3f} in the scene, {leak:.3f} beside texture."
        )

    drag(
        draw,
        name="sum_of_the_kernel",
        values=[round(step / 20, 2) for step in range(21)],
        start=0.5,
        alt=alt,
        caption="One kernel, the coefficients of a trained network. Drag the sum of the kernel's numbers from 0 to 1.",
    )
