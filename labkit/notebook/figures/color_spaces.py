"""The figures of lab 02: one gray image in many colors, slices of the gamut, two grays, five networks."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from labkit import color, plots
from labkit.widgets import drag

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Convert = Callable[[Tensor], Tensor]

PIXEL_ART = 32 / 140 / 1.25  # scale at which one pixel of a 32 x 32 image is one pixel of the stored figure
TILE = 200  # pixels: longer side of a photograph drawn small
REACH_AB, REACH_UV = 115.0, 0.66  # half the side of a slice through the gamut
LEVELS = tuple(range(5, 100, 5))  # lightness, and luma in percent


def reduced(image: Tensor, side: int = TILE) -> Tensor:
    """Return a photograph (3, H, W) as float with a longer side of at most ``side`` pixels."""
    rgb = color.to_float(image)
    scale = min(1.0, side / max(rgb.shape[-2:]))
    size = [max(1, round(length * scale)) for length in rgb.shape[-2:]]
    return F.interpolate(rgb[None], size=size, mode="bilinear", antialias=True)[0]


def same_gray(image: Tensor) -> None:
    """Show eight colorings of a photograph (3, H, W) around the one gray image that all of them have."""
    rgb = reduced(image)
    luma, chroma = color.rgb_to_luma_chroma(rgb)  # (1, H, W), (2, H, W)
    strong = chroma * max(1.0, 0.14 / float(chroma.norm(dim=0).mean().clamp(min=1e-3)))
    tiles = [
        color.scale_to_gamut(color.luma_chroma_to_rgb(luma, torch.einsum("ij,jhw->ihw", _turn(45 * k), strong)))
        for k in range(8)
    ]
    apart = max(float((color.luma(tile) - luma).abs().max()) for tile in tiles)
    gray = luma.expand(3, -1, -1)
    plots.show(
        plots.image_grid(
            {"": tiles[:3], " ": [tiles[7], gray, tiles[3]], "  ": [tiles[6], tiles[5], tiles[4]]}, scale=1.6
        ),
        alt="One photograph nine times, three by three. In the middle it is gray. Around it are eight copies in "
        f"other colors, each turned by 45 degrees against its neighbor. Their luma differs by at most {apart:.1g}.",
        caption="Eight photographs with one gray image, the one in the middle. Nothing in it says which is right.",
    )


def _turn(degrees: float) -> Tensor:
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return torch.tensor([[cos, -sin], [sin, cos]])


def coarse(image: Tensor, factor: int = 8) -> None:
    """Show a photograph (3, H, W), a copy with coarse luma and one with coarse chroma."""
    rgb = reduced(image, 256)
    rgb = rgb[:, : rgb.shape[1] // factor * factor, : rgb.shape[2] // factor * factor]
    luma = color.luma(rgb)
    chroma = rgb - luma
    copies = [rgb, (_blurred(luma, factor) + chroma).clamp(0, 1), (luma + _blurred(chroma, factor)).clamp(0, 1)]
    errors = [float((copy - rgb).square().mean()) for copy in copies[1:]]
    plots.show(
        plots.image_grid({"": copies}, columns=["the photograph", "coarse luma", "coarse chroma"], scale=2),
        alt=f"A photograph three times: as it is, with luma averaged over {factor} by {factor} pixels, and with chroma "
        f"averaged so. The mean squared errors of the copies are {errors[0]:.2g} and {errors[1]:.2g}.",
        caption=f"Each copy keeps one number in {factor * factor} of what was averaged: one of luma, two of chroma.",
    )


def _blurred(image: Tensor, factor: int) -> Tensor:
    small = F.avg_pool2d(image[None], factor)
    return F.interpolate(small, scale_factor=factor, mode="bilinear", align_corners=False)[0]


def ramps() -> None:
    """Show eleven equal steps of code value over eleven equal steps of light."""
    steps = torch.linspace(0, 1, 11)
    rows = {"equal steps of code value": steps, "equal steps of light": color.linear_to_srgb(steps)}
    figure, panels = plots.subplots(2, 1, height=2.0)
    for panel, (name, row) in zip(panels, rows.items(), strict=True):
        panel.imshow(row[None], cmap="gray", vmin=0, vmax=1, aspect="auto")
        panel.set(yticks=[], xticks=range(11), xticklabels=[f"{255 * float(code):.0f}" for code in row], title=name)
    figure.supxlabel("code value, 0 to 255", size=9)
    codes = [", ".join(f"{255 * float(code):.0f}" for code in row) for row in rows.values()]
    plots.show(
        figure,
        alt=f"Two ramps of eleven steps from black to white. Equal steps of code value: {codes[0]}. Equal steps of "
        f"light have the code values {codes[1]}.",
        caption="Steps that look even are not even in light.",
    )


def taken_apart(image: Tensor, to_lab: Convert, from_lab: Convert) -> None:
    """Show a photograph (3, H, W) as R, G, B and as L, a, b; a and b each alone, at L = 60."""
    rgb = reduced(image)
    lab = to_lab(rgb)
    alone = [torch.full_like(lab, 0.0) for _ in "ab"]
    for channel, picture in enumerate(alone, 1):
        picture[0], picture[channel] = 60.0, lab[channel]
    gray = (lab[:1] / 100).expand(3, -1, -1)
    rows = {
        "R, G, B": [channel.expand(3, -1, -1) for channel in rgb.split(1)],
        "L, a, b": [gray, *(from_lab(picture).clamp(0, 1) for picture in alone)],
    }
    ranges = "; ".join(
        f"{name} {float(x.min()):.0f} to {float(x.max()):.0f}" for name, x in zip("Lab", lab, strict=True)
    )
    plots.show(
        plots.image_grid(rows, scale=1.7),
        alt="A photograph taken apart in two rows: R, G and B as three gray images, and L as a gray image beside a and "
        f"b as colors of equal lightness. The channels run over: {ranges}.",
        caption="Three channels of RGB, and three of LAB. a runs from green to red, b from blue to yellow.",
    )


# --------------------------------------------------------------------------------------------- slices of the gamut


def drag_gamut(lab_to_rgb: Convert, yuv_to_rgb: Convert) -> None:
    """Show all displayable colors of one lightness over a, b and of one luma over U, V, with a slider for both."""
    slices = {
        level: (_slice(lab_to_rgb, level, REACH_AB), _slice(yuv_to_rgb, level / 100, REACH_UV)) for level in LEVELS
    }
    outlines = [
        torch.stack([_slice(to_rgb, level / unit, reach)[1] for level in range(1, 100)]).any(dim=0)
        for to_rgb, unit, reach in ((lab_to_rgb, 1, REACH_AB), (yuv_to_rgb, 100, REACH_UV))
    ]

    def draw(level: int) -> Figure:
        figure, panels = plots.subplots(1, 2, height=3.9)
        ab, uv = slices[level]
        _draw_slice(panels[0], ab[0], outlines[0], REACH_AB, ("a   (green to red)", "b   (blue to yellow)"))
        _draw_slice(panels[1], uv[0], outlines[1], REACH_UV, ("U   (yellow to blue)", "V   (green to red)"))
        panels[0].set_title(f"lightness L* = {level}")
        panels[1].set_title(f"luma Y = {level / 100:.2f}")
        return figure

    def alt(level: int) -> str:
        (_, ab), (_, uv) = slices[level]
        return (
            f"Two slices through the colors of a screen. At lightness {level} a runs {_extent(ab, REACH_AB)[0]} and b "
            f"{_extent(ab, REACH_AB)[1]}; at luma {level / 100:.2f} U runs {_extent(uv, REACH_UV)[0]} and V "
            f"{_extent(uv, REACH_UV)[1]}. A thin line is the outline of all slices together, a cross is gray."
        )

    drag(
        draw,
        name="level",
        values=LEVELS,
        start=50,
        alt=alt,
        caption="All colors of one lightness (left) and of one luma (right). Thin line: the outline of all slices.",
    )


def _slice(to_rgb: Convert, level: float, reach: float, steps: int = 151) -> tuple[Tensor, Tensor]:
    """Return a slice as an image (3, steps, steps), white outside the gamut, and a mask of the colors inside."""
    side = torch.linspace(-reach, reach, steps)
    across, up = torch.meshgrid(side, -side, indexing="xy")
    rgb = to_rgb(torch.stack([torch.full_like(across, level), across, up]))
    inside = ((rgb >= -1e-4) & (rgb <= 1 + 1e-4)).all(dim=0)
    return torch.where(inside, rgb, 1.0).clamp(0, 1), inside


def _draw_slice(panel: Axes, image: Tensor, outline: Tensor, reach: float, names: Sequence[str]) -> None:
    extent = (-reach, reach, -reach, reach)
    panel.imshow(image.permute(1, 2, 0), extent=extent)
    panel.contour(outline.float().flip(0), levels=[0.5], extent=extent, colors=[plots.FAINT], linewidths=0.8)
    panel.plot(0, 0, "+", color=plots.INK, markersize=9)
    panel.set(xlabel=names[0], ylabel=names[1])


def _extent(inside: Tensor, reach: float) -> list[str]:
    """Return from where to where a slice runs, across and up, in words."""
    side = torch.linspace(-reach, reach, len(inside))
    found = [side[inside.any(dim=0)], -side[inside.any(dim=1)]]
    return [f"from {float(x.min()):.2g} to {float(x.max()):.2g}" if len(x) else "over nothing" for x in found]


# --------------------------------------------------------------------------------------- clipping, grays, zero chroma


def clipping(given: Tensor, clipped: Tensor, scaled: Tensor, factor: float) -> None:
    """Show two ways back into the gamut, (3, H, W) each, and the errors against the luma (1, H, W) that was given."""
    ways = {"clipped": clipped, "scaled to the gamut": scaled}
    lost = [(color.luma(image) - given)[0] for image in ways.values()]
    worst = [float(error.abs().max()) for error in lost]
    with plots.style():
        figure, panels = plots.subplots(2, 2, height=min(6.0, 6.8 * given.shape[1] / given.shape[2]))
        for column, ((name, image), error) in enumerate(zip(ways.items(), lost, strict=True)):
            panels[0, column].imshow(image.permute(1, 2, 0).clamp(0, 1))
            panels[0, column].set_title(f"chroma x {factor:g}, {name}")
            drawn = panels[1, column].imshow(error, cmap="PuOr_r", vmin=-max(worst), vmax=max(worst))
            panels[1, column].set_title("luma minus the luma that was given")
        for panel in panels.flat:
            panel.set(xticks=[], yticks=[])
        figure.colorbar(drawn, ax=panels, shrink=0.45, anchor=(0, 0.03))
    plots.show(
        figure,
        alt=f"Two copies of a photograph with exaggerated color, and below each a map of its error of luma: up to "
        f"{worst[0]:.2g} where it was clipped, up to {worst[1]:.1g} where it was scaled.",
        caption="Clipping moves each channel on its own.",
    )


def two_grays(scene: Tensor) -> None:
    """Show a scene (3, H, W) in color, as luma and as L*."""
    rgb = color.to_float(scene)
    luma, lightness = color.luma(rgb), color.lightness(rgb) / 100
    plots.show(
        plots.image_grid({"": [rgb, luma, lightness]}, columns=["color", "luma", "L* / 100"], scale=10 * PIXEL_ART),
        alt="A toyworld scene in color, as luma and as L*. The two gray images differ by up to "
        f"{float((luma - lightness).abs().max()):.2f} of the range from black to white.",
        caption="Two gray images of one scene.",
    )


def zero_chroma(image: Tensor, printed: Tensor, corrected: Tensor, direction: Tensor) -> None:
    """Show where two formulas put zero chroma: planes of equal luma, and a photograph without chroma."""
    figure, (left, middle, right) = plots.subplots(1, 3, height=2.7, gridspec_kw={"width_ratios": [1.15, 1, 1]})
    _sketch_planes(left, direction.float())
    for panel, picture, title in ((middle, printed, "as printed"), (right, corrected, "starting from gray")):
        panel.imshow(picture.permute(1, 2, 0).clamp(0, 1))
        panel.set_axis_off()
        panel.set_title(f"zero chroma, {title}")
    means = [", ".join(f"{255 * float(c):.0f}" for c in x.clamp(0, 1).mean(dim=(1, 2))) for x in (printed, corrected)]
    plots.show(
        figure,
        alt="Left: a sketch with the gray axis upright; dashed lines of equal luma slope from it to a point on the "
        f"direction of w. Then a photograph of {image.shape[-1]} x {image.shape[-2]} pixels without chroma: as "
        f"printed, with the mean R, G, B {means[0]}; starting from gray, with {means[1]}.",
        caption="Both ends of a dashed line have the same luma. The paper walks along w, at right angles to them.",
    )


def _sketch_planes(panel: Axes, direction: Tensor) -> None:
    """Draw planes of equal luma edge-on, with the points on the gray axis and on w that lie in each."""
    across = float((direction - direction.sum() / 3).norm())  # how far w leads away from the gray axis
    for level in (0.15, 0.3, 0.45, 0.6, 0.75):
        points = [level * torch.ones(3), level * direction]
        xs, ys = [0, level * across], [float(point.sum()) / math.sqrt(3) for point in points]
        panel.plot(xs, ys, color=plots.FAINT, linestyle="--", linewidth=1, zorder=1)
        panel.scatter(xs, ys, c=[point.tolist() for point in points], edgecolors=plots.INK, s=60, zorder=2)
        panel.annotate(f"{level:.2f}", (0, ys[0]), (-8, 0), textcoords="offset points", ha="right", va="center", size=8)
    panel.plot([0, 0], [0, 1.45], color=plots.FAINT, linewidth=1, zorder=0)
    panel.plot([0, xs[1]], [0, ys[1]], color=plots.INK, linestyle="-", linewidth=1, zorder=0)
    panel.annotate("w", (xs[1], ys[1]), xytext=(8, 2), textcoords="offset points", size=10, style="italic")
    panel.set(xlim=(-0.32, 0.8), ylim=(0, 1.45), xticks=[], yticks=[], aspect="equal", title="planes of equal luma")
    panel.set(xlabel="away from the gray axis", ylabel="along the gray axis")


# ------------------------------------------------------------------------------------------------ losses and networks


def one_picture(losses: Mapping[str, float]) -> None:
    """Show the MSE of one picture in several systems of coordinates."""
    plots.show(
        plots.bars(
            losses, xlabel="MSE of one and the same picture (logarithmic)", log=True, highlight=[next(iter(losses))]
        ),
        alt="Bars on a logarithmic axis: " + "; ".join(f"{name}: {value:.3g}" for name, value in losses.items()) + ".",
        caption="The same prediction and the same truth in other coordinates.",
    )


def five_networks(own: Mapping[str, float], mse: Mapping[str, float], levels: Mapping[str, float]) -> None:
    """Show each network's loss in its own units beside its MSE in RGB, with ``levels`` (name -> MSE) as lines."""
    names = list(own)
    figure, (left, right) = plots.subplots(1, 2, height=0.42 * len(names) + 1.3, gridspec_kw={"width_ratios": [1, 1.5]})
    _bars(left, names, own, plots.PALETTE[4])
    left.set(xlabel="own test loss (each in units of its own)", xticks=[])
    left.set_yticks(range(len(names)), names)
    _bars(right, names, mse, plots.PALETTE[0])
    right.set(xlabel="MSE in RGB, the same units for all", yticks=[])
    right.set_xlim(0, 1.18 * max(*levels.values(), *mse.values()))
    for style, (name, value) in zip(("--", ":", "-."), levels.items(), strict=False):
        right.axvline(value, color=plots.INK, linestyle=style, linewidth=1.2, label=f"{name}: {value:.4f}")
    figure.legend(loc="outside lower right", ncols=len(levels))
    each = "; ".join(f"{name} {own[name]:.3g} and {mse[name]:.4f}" for name in names)
    lines = ", ".join(f"{name} at {value:.4f}" for name, value in levels.items())
    plots.show(
        figure,
        alt=f"Own loss and MSE in RGB of each network: {each}. Lines in the right panel: {lines}.",
        caption="Left: what each training curve shows. Right: how good the pictures are.",
    )


def _bars(panel: Axes, names: Sequence[str], values: Mapping[str, float], fill: str) -> None:
    for place, name in enumerate(names):
        panel.barh(place, values[name], height=0.66, color=fill)
        panel.annotate(f"{values[name]:.4f}", (0, place), (4, 0), textcoords="offset points", ha="left",
                       va="center", size=8.5, color="white" if fill == plots.PALETTE[0] else plots.INK)  # fmt: skip
    panel.invert_yaxis()
    panel.tick_params(axis="y", length=0)


def pictures(luma: Tensor, predicted: Mapping[str, Tensor], true: Tensor) -> None:
    """Show scenes (N, 3, H, W), one a row: gray, as each network predicts them, and as they are."""
    errors = {name: float((rgb.cpu() - true).square().mean()) for name, rgb in predicted.items()}
    columns = {"luma": luma.expand(-1, 3, -1, -1), **predicted, "true": true}
    plots.show(
        plots.image_grid(
            {" " * n: [images[n] for images in columns.values()] for n in range(len(true))},
            columns=list(columns),
            scale=4 * PIXEL_ART,
        ),
        alt=f"{len(true)} test images, one a row, in columns: luma; the predictions, with MSE "
        + ", ".join(f"{name} {value:.4f}" for name, value in errors.items())
        + "; and the true colors.",
        caption="One architecture, the same images, other coordinates.",
    )
