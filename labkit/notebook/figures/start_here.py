"""The figures of lab 00, start here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from labkit import color, metrics, plots, widgets

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STRENGTHS = [round(0.1 * step, 1) for step in range(21)]  # 0 is gray, 1 what the network predicts, 2 twice its color


def opening(images: Tensor, names: Sequence[str]) -> None:
    """Show photographs that turn from gray into their true colors, from left to right.

    Args:
        images: (N, 3, H, W) in [0, 1].
        names: of the N photographs.
    """
    gray = color.luma(images)
    across = torch.linspace(-1.2, 2.2, images.shape[-1]).clamp(0, 1)  # gray in the left third, color in the right third
    plots.show(
        plots.image_grid({"": list(gray + across * (images - gray))}, scale=2.0),
        alt=f"{len(names)} photographs side by side: {', '.join(names)}. Each is gray at its left side and turns into "
        "its true colors toward its right side.",
        caption="The gray side is all that a colorizer is given. The color is what it has to find.",
    )


def luma_and_chroma(images: Tensor, names: Sequence[str]) -> None:
    """Show images as the sum of luma and chroma.

    Args:
        images: (N, 3, H, W) in [0, 1].
        names: of the N images.
    """
    luma = metrics.gray_prediction(images)
    chroma = images - luma
    part = float(chroma.square().mean() / (images - 0.5).square().mean())
    plots.show(
        plots.image_grid({"true": images, "luma": luma, "chroma (on mid-gray)": 0.5 + chroma}, columns=names),
        alt=f"Three rows of {len(names)} images: {', '.join(names)}. The true ones; their luma, with all edges and "
        f"textures; their chroma on mid-gray, with few edges. Squared chroma is {part:.0%} of the squared "
        "difference of the true images from mid-gray.",
        caption="True = luma + chroma. A colorizer is given the luma and has to find the chroma.",
    )


def learning(losses: Sequence[float], gray: float, best: float | None = None) -> None:
    """Draw the loss of each step of training, with the gray floor and, where it is known, the lowest possible MSE.

    Args:
        losses: one number a step.
        gray: MSE of the gray image.
        best: the MSE that no network can beat.
    """
    lines = {"gray image": gray} | ({} if best is None else {"best possible": best})
    tail = losses[-max(1, len(losses) // 10) :]
    plots.show(
        plots.curves({"one batch": list(losses)}, xlabel="step", ylabel="MSE", optimum=lines, height=2.6),
        alt=f"The MSE of each batch over {len(losses)} steps of training: {losses[0]:.4f} at first, "
        f"{sum(tail) / len(tail):.4f} on average in the last tenth. Horizontal lines: "
        + ", ".join(f"{name} {value:.4f}" for name, value in lines.items())
        + ".",
        caption="Training. Each point is the error on one batch of images.",
    )


def predictions(rows: Mapping[str, Tensor]) -> None:
    """Show rows of images, one above the other.

    Args:
        rows: label -> (N, 1 or 3, H, W), as many in each row.
    """
    first = next(iter(rows.values()))
    colorful = {name: float(metrics.colorfulness(image.expand(-1, 3, -1, -1)).mean()) for name, image in rows.items()}
    plots.show(
        plots.image_grid(rows, scale=1.1),
        alt=f"{len(first)} images in {len(rows)} rows, with their mean colorfulness (gray has 0): "
        + ", ".join(f"{name} {value:.0f}" for name, value in colorful.items())
        + ".",
        caption="The same images in each row: " + ", ".join(rows) + ".",
    )


def strength(true: Tensor, colorized: Tensor, show: int = 0) -> None:
    """Let the reader drag the strength of predicted color from 0 (gray) over 1 to 2, with the MSE of all images.

    Args:
        true: (N, 3, H, W) in [0, 1].
        colorized: (N, 3, H, W) in [0, 1]: what a network predicts.
        show: which of the N images is drawn.
    """
    gray = color.luma(true)
    chroma = colorized.cpu() - gray
    errors = [float(metrics.mse(scaled(gray, chroma, s), true).mean()) for s in STRENGTHS]

    def draw(value: float) -> Figure:
        figure, (picture, axes) = plots.subplots(1, 2, height=2.9, width_ratios=(1, 1.5))
        now = scaled(gray[show], chroma[show], value)
        picture.imshow(now.permute(1, 2, 0).numpy(), interpolation="nearest" if now.shape[-1] <= 64 else None)
        picture.set_axis_off()
        picture.set_title(f"color x {value:.2f}", loc="center")
        axes.plot(STRENGTHS, errors, color=plots.PALETTE[0])
        axes.plot(value, errors[STRENGTHS.index(value)], "o", color=plots.PALETTE[1], markersize=8)
        axes.axhline(errors[0], color=plots.FAINT, linewidth=1, linestyle="--")
        axes.annotate("gray image", (2, errors[0]), (0, 3), textcoords="offset points", ha="right", size=8.5)
        axes.set_xlabel("strength of the predicted color")
        axes.set_ylabel(f"MSE of {len(true)} images")
        return figure

    lowest = STRENGTHS[min(range(len(errors)), key=errors.__getitem__)]
    widgets.drag(
        draw,
        name="strength",
        values=STRENGTHS,
        start=1.0,
        alt=lambda value: (
            f"Left: an image with its predicted color times {value:.2f}. Right: the MSE of {len(true)} images "
            f"against that factor: {errors[0]:.4f} at 0 (gray), {errors[STRENGTHS.index(1.0)]:.4f} at 1, "
            f"{errors[-1]:.4f} at 2, lowest at {lowest:.2f}. The dot is at {value:.2f}: "
            f"{errors[STRENGTHS.index(value)]:.4f}."
        ),
        caption="Drag the strength of the color: 0 is the gray image, 1 is what the network predicts.",
    )


def scaled(gray: Tensor, chroma: Tensor, strength: float) -> Tensor:
    """Return gray plus chroma times a factor, clipped to [0, 1]."""
    return (gray + strength * chroma).clamp(0, 1)


def published(psnr: Mapping[str, float], gray: float) -> None:
    """Draw published PSNR as distances from that of the gray image.

    Args:
        psnr: model -> dB.
        gray: of the gray image, in dB.
    """
    above = {f"{model}, {value:.2f} dB": value - gray for model, value in psnr.items()}
    plots.show(
        plots.bars(
            above, xlabel=f"dB above the gray image, which has {gray:.2f} dB", better="higher", number="{:+.2f}"
        ),
        alt=f"Bars of published PSNR, counted from {gray:.2f} dB: "
        + "; ".join(f"{name}: {value:+.2f}" for name, value in above.items())
        + ".",
        caption="PSNR as printed (Qureshi, Tables 3 and 6), counted from the gray image's.",
    )
