"""The figures of lab 04, U-Net skips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from labkit import plots
from labkit.analysis import activations
from labkit.color import luma, to_float
from labkit.models import evaluation_mode
from labkit.plots.theme import blank, panel, style
from labkit.widgets import drag

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from labkit.colorizer import Colorizer
    from labkit.models import UNet


def false_color(features: Tensor) -> Tensor:
    """Return the three directions in which channels vary most as red, green and blue: (C, h, w) -> (3, h, w) in [0, 1].

    Each is stretched from its 2nd to its 98th percentile.
    """
    flat = features.detach().float().cpu().flatten(1)  # (C, h * w)
    flat = flat - flat.mean(dim=1, keepdim=True)
    directions = torch.linalg.eigh(flat @ flat.T).eigenvectors[:, -3:].flip(1)  # (C, 3), the largest first
    directions = directions * directions.sum(dim=0).sign()  # an eigenvector's sign is arbitrary
    planes = directions.T @ flat  # (3, h * w)
    low, high = torch.quantile(planes, 0.02, dim=1, keepdim=True), torch.quantile(planes, 0.98, dim=1, keepdim=True)
    return ((planes - low) / (high - low).clamp(min=1e-9)).clamp(0, 1).view(3, *features.shape[-2:])


def draw_u(model: Colorizer, image: Tensor) -> None:
    """Draw what each level of a U-Net puts out for a photograph, arranged as the letter U.

    Args:
        model: a colorizer with a U-Net.
        image: (3, H, W), square.
    """
    gray = luma(image[None])
    depth = len(cast("UNet", model.network).encoder)
    across = [(f"encoder.{level}", f"decoder.{depth - 2 - level}") for level in range(depth - 1)]
    lowest = f"encoder.{depth - 1}"
    levels = [left for left, _ in across] + [lowest] + [right for _, right in reversed(across)]
    inside = activations.activations(model.network, gray, levels)
    rgb = model.colorize(image).cpu()
    rows = [(gray[0], rgb), *[(false_color(inside[a][0]), false_color(inside[b][0])) for a, b in across]]
    sizes = [2.35 * 0.68**row for row in range(depth)]  # inches
    with style():
        figure = blank(plots.MAX_WIDTH, sum(sizes) + 0.17 * depth + 0.9)
        top, indent = 0.2, 0.0
        for row, ((left, right), size) in enumerate(zip(rows, sizes, strict=True)):
            _picture(figure, left, indent, top, size)
            _picture(figure, right, plots.MAX_WIDTH - indent - size, top, size)
            if row:
                side = int(left.shape[-1])
                middle = top + size / 2
                _arrow(figure, (indent + size + 0.1, middle), (plots.MAX_WIDTH - indent - size - 0.1, middle))
                _text(figure, plots.MAX_WIDTH / 2, middle - 0.1, f"skip: {inside[levels[row - 1]].shape[1]} channels")
                _text(figure, indent + size / 2, top - 0.02, f"{side} x {side}", size=7.5)
            top, indent = top + size + 0.17, indent + size * 0.45
        bottom = false_color(inside[lowest][0])
        size = 0.5 * sizes[-1]
        _picture(figure, bottom, (plots.MAX_WIDTH - size) / 2, top, size)
        side = int(bottom.shape[-1])
        _text(figure, plots.MAX_WIDTH / 2, top - 0.02, f"{side} x {side}", size=7.5)
    height, width = image.shape[-2:]
    sides = [str(inside[level].shape[-1]) for level in levels]
    plots.show(
        figure,
        alt=f"Pictures arranged as a U. Top left a gray photograph of {width} x {height} pixels, top right the same "
        f"photograph colored. Down the left side and up the right side stand the outputs of the network's levels in "
        f"bright false colors, coarser toward the bottom: {', '.join(sides)} pixels a side. Arrows "
        "lead across from left to right.",
        caption="A U-Net at work, from the gray photograph down the left side and up the right side. Colors show the "
        "three directions in which a level's channels vary most.",
    )


def _picture(figure: Figure, image: Tensor, left: float, top: float, size: float) -> None:
    axes = panel(figure, left, top, size, size)
    axes.imshow(to_float(image).expand(3, -1, -1).permute(1, 2, 0).numpy(), interpolation="nearest", vmin=0, vmax=1)


def _text(figure: Figure, x: float, y: float, text: str, size: float = 8.5) -> None:
    """Write text centered above a place given in inches from the top left corner."""
    width, height = figure.get_size_inches()
    figure.text(x / width, 1 - y / height, text, ha="center", va="bottom", size=size)


def _arrow(figure: Figure, start: tuple[float, float], end: tuple[float, float]) -> None:
    from matplotlib.patches import FancyArrowPatch

    width, height = figure.get_size_inches()
    ends = [(x / width, 1 - y / height) for x, y in (start, end)]
    figure.add_artist(
        FancyArrowPatch(*ends, transform=figure.transFigure, arrowstyle="-|>", mutation_scale=14, color=plots.INK)
    )


def scenes(rows: Mapping[str, Tensor], caption: str) -> None:
    """Show images in rows, the true ones last.

    Args:
        rows: label -> (N, 1 or 3, H, W) in [0, 1].
        caption: of the figure.
    """
    *others, true = rows
    wrong = {name: float((to_float(rows[name]) - to_float(rows[true])).square().mean()) for name in others}
    plots.show(
        plots.image_grid(rows),
        alt=f"Rows of {len(rows[true])} scenes: {', '.join(rows)}. Mean squared difference from the last row: "
        + ", ".join(f"{name} {value:.4f}" for name, value in wrong.items())
        + ".",
        caption=caption,
    )


def by_depth(mse: Mapping[str, Mapping[int, float]], levels: Mapping[str, float]) -> None:
    """Draw the MSE of networks without and with skips against their depth.

    Args:
        mse: name of the network -> depth -> MSE.
        levels: name -> MSE of horizontal lines.
    """
    depths = sorted({depth for values in mse.values() for depth in values})
    figure = plots.curves(
        {name: (list(values), list(values.values())) for name, values in mse.items()},
        xlabel="depth (pixels of the lowest level)",
        ylabel="MSE of unseen scenes",
        optimum=levels,
        height=3.4,
    )
    figure.axes[0].set_xticks(depths, [f"{depth}  ({2 ** (6 - depth)} x {2 ** (6 - depth)})" for depth in depths])
    said = "; ".join(
        f"{name} " + ", ".join(f"{value:.4f} at depth {depth}" for depth, value in values.items())
        for name, values in mse.items()
    )
    lines = ", ".join(f"{name} {value:.4f}" for name, value in levels.items())
    plots.show(
        figure,
        alt=f"{len(mse)} lines of MSE against depth. {said}. Horizontal lines: {lines}.",
        caption="Deeper networks, without and with skips.",
    )


def reach(network: nn.Module, image: Tensor) -> None:
    """Show, layer by layer, what the cell in the middle of a layer depends on; the layer is chosen with a slider.

    Args:
        network: with convolutions that run in the order of a U-Net of two a level, and a last one.
        image: (3, H, W), the background.
    """
    maps = dependence(network, image.shape[-1])
    sides = [extent(found)[1] for found in maps]
    names = _names_of_layers(len(maps))

    def draw(layer: int) -> Figure:
        return _draw_reach(image, maps[layer - 1], sides, layer, f"{layer}. {names[layer - 1]}")

    def alt(layer: int) -> str:
        return (
            f"Left a scene: the square of {sides[layer - 1]} x {sides[layer - 1]} pixels that the middle cell of layer "
            f"{layer} ({names[layer - 1]}) depends on is in color, the rest gray. Middle: how strongly it depends on "
            f"each pixel. Right: the side of the square for all {len(sides)} layers, {', '.join(map(str, sides))}."
        )

    drag(
        draw,
        name="layer",
        values=range(1, len(maps) + 1),
        start=len(maps),
        alt=alt,
        caption="What one cell sees. Drag through the layers, from the first convolution to the output.",
    )


def dependence(network: nn.Module, size: int, images: int = 12) -> list[Tensor]:
    """Return, for each convolution in the order in which they run, how its middle cell depends on the input.

    Args:
        network: maps (N, 1, H, W) to (N, C, H, W).
        size: of the input, in pixels a side.
        images: of noise, over which the absolute derivatives are averaged.

    Returns:
        (size, size) each.
    """
    outputs: list[Tensor] = []
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    hooks = [layer.register_forward_hook(lambda _, __, output: outputs.append(output)) for layer in layers]
    weight = next(network.parameters())
    noise = torch.rand(images, 1, size, size, generator=torch.Generator().manual_seed(0)).to(weight)
    noise.requires_grad_()
    try:
        with evaluation_mode(network):
            network(noise)
    finally:
        for hook in hooks:
            hook.remove()
    found = []
    for output in outputs:
        middle = output[..., output.shape[-2] // 2, output.shape[-1] // 2]
        [gradient] = torch.autograd.grad(middle.square().sum(), noise, retain_graph=True)
        found.append(gradient.abs().mean(dim=(0, 1)).cpu())
    return found


def extent(found: Tensor) -> tuple[tuple[int, int], int]:
    """Return the top left corner and the side of the square outside of which a map (H, W) is zero."""
    rows, columns = found.sum(dim=1).nonzero().flatten(), found.sum(dim=0).nonzero().flatten()
    side = max(int(rows[-1] - rows[0]), int(columns[-1] - columns[0])) + 1
    return (int(rows[0]), int(columns[0])), side


def _names_of_layers(count: int) -> list[str]:
    """Return names for the convolutions of a U-Net: two for each level down, two for each level up, one at the end."""
    depth = (count + 1) // 4
    down = [f"level {level + 1} down" for level in range(depth - 1)] + ["lowest level"]
    up = [f"level {level} up" for level in range(depth - 1, 0, -1)]
    levels = [f"{name}, convolution {which}" for name in [*down, *up] for which in (1, 2)]
    return [*levels[: count - 1], "output"]


def _draw_reach(image: Tensor, found: Tensor, sides: Sequence[int], layer: int, title: str) -> Figure:
    from matplotlib.colors import LogNorm
    from matplotlib.patches import Rectangle

    (top, left), side = extent(found)
    shown = luma(image).expand(3, -1, -1) * 0.6
    shown[:, top : top + side, left : left + side] = to_float(image)[:, top : top + side, left : left + side]
    figure, panels = plots.subplots(1, 3, height=2.75, gridspec_kw={"width_ratios": [1, 1.18, 1]})
    with style():
        panels[0].imshow(shown.permute(1, 2, 0).numpy(), interpolation="nearest")
        relative = found / found.max()
        heat = panels[1].imshow(relative, norm=LogNorm(1e-4, 1), cmap="magma", interpolation="nearest")
        figure.colorbar(heat, ax=panels[1], shrink=0.75, label="derivative / the largest")
        for axes in panels[:2]:
            box = (left - 0.5, top - 0.5), side, side
            axes.add_patch(Rectangle(*box, fill=False, edgecolor=plots.PALETTE[4], linewidth=1.6))
            axes.set(xticks=[], yticks=[])
        panels[0].set_title(f"{side} x {side} pixels")
        panels[1].set_title("how strongly")
        panels[2].plot(range(1, len(sides) + 1), sides, marker="o", color=plots.PALETTE[0])
        panels[2].plot([layer], [side], marker="s", markersize=9, color=plots.PALETTE[1])
        panels[1].set_facecolor("black")
        panels[2].xaxis.get_major_locator().set_params(integer=True)
        panels[2].set(xlabel="layer", ylabel="side of the square, pixels", ylim=(0, None))
        figure.suptitle(title, x=0.01, ha="left", size=9.5, weight="bold")
    return figure


def checkerboards(layers: Mapping[str, Tensor]) -> None:
    """Show what layers with random weights make of a constant image, and its frequencies.

    Args:
        layers: name -> (N, H, W), N draws of the weights; H and W even.
    """
    figure, panels = plots.subplots(2, len(layers), height=4.3, sharey="row", gridspec_kw={"height_ratios": [1.5, 1]})
    strength = {}
    with style():
        for column, (name, out) in enumerate(layers.items()):
            along = out - out.mean(dim=2, keepdim=True)
            spectrum = torch.fft.rfft(along).abs().mean(dim=(0, 1)) / out.shape[-1]  # 0 to 1/2 cycles a pixel
            strength[name] = float(spectrum[-1])
            around = out[0, :12, :12] - out[0].mean()
            panels[0, column].imshow(around, cmap="PuOr", vmin=-0.4, vmax=0.4, interpolation="nearest")
            panels[0, column].set_axis_off()
            panels[0, column].set_title(name)
            frequencies = torch.arange(len(spectrum)) / out.shape[-1]
            panels[1, column].bar(frequencies, spectrum, width=0.025, color=plots.PALETTE[0])
            panels[1, column].set_xlabel("cycles a pixel")
        panels[1, 0].set_ylabel("amplitude")
    said = "; ".join(f"{name} {value:.3f}" for name, value in strength.items())
    plots.show(
        figure,
        alt=f"{len(layers)} columns. Above, 12 x 12 pixels that a layer makes of a constant image; below, the "
        f"amplitude of each frequency along a row. Amplitude at half a cycle a pixel: {said}.",
        caption="Layers with random weights, constant input. Above the first draw (orange high, violet low), below the "
        f"mean spectrum of {len(next(iter(layers.values())))} draws.",
    )


def sizes(pictures: Mapping[str, Tensor]) -> None:
    """Show one scene as several colorizers see it, in two rows.

    Args:
        pictures: title -> (1 or 3, H, W); an even number of them.
    """
    titles, images = list(pictures), list(pictures.values())
    half = (len(images) + 1) // 2
    with style():
        side = (plots.MAX_WIDTH - 0.1 * (half - 1)) / half
        figure = blank(plots.MAX_WIDTH, 2 * (side + 0.28))
        for index, (title, image) in enumerate(pictures.items()):
            row, column = divmod(index, half)
            left, top = column * (side + 0.1), row * (side + 0.28) + 0.22
            _picture(figure, image, left, top, side)
            _text(figure, left + side / 2, top - 0.03, title)
    true = to_float(images[-1])
    wrong = ", ".join(
        f"{title} {float((to_float(image) - true).square().mean()):.4f}"
        for title, image in zip(titles, images, strict=True)
    )
    height, width = images[-1].shape[-2:]
    plots.show(
        figure,
        alt=f"One scene of {width} x {height} pixels, {len(images)} times: {', '.join(titles)}. Mean squared "
        f"difference from the last: {wrong}.",
        caption=f"One scene of {width} x {height} pixels, colored by networks that were trained at 32 x 32.",
    )
