"""The figures of lab 01, the averaging problem."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from labkit import color, plots, widgets
from labkit.data import toyworld
from labkit.data.toyworld import MATERIALS, ToyWorld
from labkit.plots.theme import blank, panel

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KIND = {material.name: index for index, material in enumerate(MATERIALS)}
UNCERTAIN = tuple(material.name for material in MATERIALS if len(material.colors) > 1)
ODDS = [round(0.06 * step, 2) for step in range(17)] + [1.0]  # where the slider can stand
FINE = [round(0.02 * step, 2) for step in range(51)]  # of the strips of color
CHANNELS = {"red": "#C03020", "green": "#208030", "blue": "#2050C0"}
DPI = 140  # at which `plots.show` stores a figure; a figure of whole pixels is then stored pixel by pixel


def opening(world: ToyWorld) -> None:
    """Show one gray image and all colored scenes that it can come from, among those where things of a kind match.

    Args:
        world: scenes to choose one from.
    """
    index = _richest(world)
    kinds = [name for name in UNCERTAIN if bool((world.material[index] == KIND[name]).any())]
    palettes = [range(len(MATERIALS[KIND[name]].colors)) for name in kinds]
    scenes = [recolored(world, index, dict(zip(kinds, drawn, strict=True))) for drawn in itertools.product(*palettes)]
    columns = math.ceil(math.sqrt(len(scenes)))
    rows = math.ceil(len(scenes) / columns)
    tile, gap = 96, 6  # pixels: three for each pixel of a scene
    sheet = np.full((rows * (tile + gap) - gap, columns * (tile + gap) - gap, 3), 255, np.uint8)
    for number, scene in enumerate(scenes):
        y, x = (place * (tile + gap) for place in divmod(number, columns))
        sheet[y : y + tile, x : x + tile] = _enlarged(scene, 3)
    gray = (255 * color.luma(world.images[[index]])[0]).round().to(torch.uint8).expand(3, -1, -1)
    large = _enlarged(gray, 12)
    height, width = max(len(sheet), len(large)), large.shape[1] + 40 + sheet.shape[1]
    page = np.full((height, width, 3), 255, np.uint8)
    top = (height - len(large)) // 2
    page[top : top + len(large), : large.shape[1]] = large
    page[: len(sheet), -sheet.shape[1] :] = sheet
    figure = blank(width / DPI, height / DPI)
    panel(figure, 0, 0, width / DPI, height / DPI).imshow(page, interpolation="nearest")
    plots.show(
        figure,
        alt=f"Left, large: a gray image of a painted scene with {', '.join(kinds)}. Right: {len(scenes)} colored "
        "scenes with this gray image; they differ in the colors of these things, and agree in sky and grass.",
        caption=f"One gray image, {len(scenes)} scenes that it can come from. All of them have exactly this gray.",
    )


def recolored(world: ToyWorld, index: int, drawn: Mapping[str, int]) -> Tensor:
    """Return a scene in which every thing of a kind has the color of that number: uint8 (3, H, W)."""
    image = world.images[index].clone()
    for name, number in drawn.items():
        here = world.material[index] == KIND[name]
        paint = torch.tensor(MATERIALS[KIND[name]].colors[number])[:, None] + world.shade[index][here]
        image[:, here] = paint.to(torch.uint8)
    return image


def _richest(world: ToyWorld) -> int:
    """Return the scene with the most possible colorings; of several, the one whose smallest kind is largest."""
    areas = torch.stack([(world.material == KIND[name]).sum(dim=(1, 2)) for name in UNCERTAIN], dim=1).float()
    counts = torch.tensor([len(MATERIALS[KIND[name]].colors) for name in UNCERTAIN]).float()
    colorings = torch.where(areas > 0, counts, 1).prod(dim=1)
    colorings = torch.where(colorings > 36, 0, colorings)  # more would be too small to see
    smallest = torch.where(areas > 0, areas, math.inf).amin(dim=1)
    return int((colorings + 0.5 * smallest / 1024).nan_to_num(posinf=0).argmax())


def _enlarged(image: Tensor, times: int) -> np.ndarray:
    pixels = image.permute(1, 2, 0).numpy()
    return pixels.repeat(times, axis=0).repeat(times, axis=1)


def posterior(palette: Tensor, chance: Tensor) -> None:
    """Show the possible colors of a ball with their probabilities.

    Args:
        palette: (3, 3), red, green and blue ball, 0..255.
        chance: (3,).
    """
    plots.show(
        plots.posterior_bars(palette / 255, chance, title="P(color | gray image) of a ball"),
        alt="Bars of three possible colors of a ball: "
        + ", ".join(f"{name} {p:.2f}" for name, p in zip(("red", "green", "blue"), chance.tolist(), strict=True))
        + ".",
        caption="The posterior: what the gray image leaves open.",
    )


def costs(squared: Tensor, absolute: Tensor, palette: Tensor) -> None:
    """Draw the expected error of each value that a channel can be given.

    Args:
        squared: expected squared error of the values 0..255, (256, 3 channels).
        absolute: expected absolute error, the same.
        palette: the candidates (K, 3).
    """
    figure, panels = plots.subplots(2, 3, height=3.8, sharex=True)
    lowest = {}
    for row, (loss, cost) in zip(panels, {"squared": squared, "absolute": absolute}.items(), strict=True):
        lowest[loss] = cost.argmin(dim=0).tolist()
        for channel, (axes, (name, ink)) in enumerate(zip(row, CHANNELS.items(), strict=True)):
            values, best = cost[:, channel], lowest[loss][channel]
            axes.plot(values, color=ink)
            candidates = palette[:, channel].long()
            axes.plot(candidates, values[candidates], "|", color=plots.INK, markersize=13, markeredgewidth=1.5)
            axes.plot(best, values[best], "o", color=plots.INK, markersize=6)
            axes.annotate(str(best), (best, values[best]), (0, 12), textcoords="offset points", ha="center", size=8.5)
            axes.set_ylim(0)
            if loss == "absolute":
                axes.set_xlabel(f"value predicted in {name}")
        row[0].set_ylabel(f"expected\n{loss} error")
    plots.show(
        figure,
        alt="Six curves: red, green and blue under two losses. Squared error: smooth bowls, lowest at "
        f"{lowest['squared']}. Absolute error: straight pieces that meet at the candidates' values, lowest at "
        f"{lowest['absolute']}.",
        caption="Expected error of every value. Bars mark the three candidates, a dot and its number the lowest point.",
    )


def odds(world: ToyWorld, start: float) -> None:
    """Let the reader drag the probability of red; mean, median and mode of a ball follow.

    Args:
        world: scenes to choose one with a large ball from.
        start: the probability of red at first, one of ODDS.
    """
    ball = toyworld.material("ball")
    palette = torch.tensor(ball.colors).float()
    others = torch.tensor(ball.probabilities[1:]) / sum(ball.probabilities[1:])
    strips = {
        name: torch.stack([summary(palette, _odds(p, others)) for p in FINE]) for name, summary in SUMMARIES.items()
    }
    balls = {name: {p: summary(palette, _odds(p, others)) for p in ODDS} for name, summary in SUMMARIES.items()}
    index = largest_ball(world)
    scene, here, shade = world.images[index], world.material[index] == KIND["ball"], world.shade[index]

    def draw(p: float) -> Figure:
        figure, panels = plots.subplots(2, 3, height=3.9, height_ratios=(2.2, 1))
        for axes, strip, (name, colors) in zip(panels[0], panels[1], balls.items(), strict=True):
            image = scene.float().clone()
            image[:, here] = colors[p][:, None] + shade[here]
            axes.imshow(image.clamp(0, 255).to(torch.uint8).permute(1, 2, 0).numpy(), interpolation="nearest")
            axes.set_axis_off()
            axes.set_title(f"{name}: {_rgb(colors[p])}", loc="center")
            strip.imshow(
                strips[name].div(255)[None].numpy(), aspect="auto", extent=(-0.01, 1.01, 0, 1), interpolation="nearest"
            )
            strip.axvline(p, color="white", linewidth=4)
            strip.axvline(p, color="black", linewidth=1.5)
            strip.set_yticks([])
            strip.set_xlabel("probability of red")
        return figure

    widgets.drag(
        draw,
        name="probability of red",
        values=ODDS,
        start=start,
        alt=lambda p: (
            f"A ball that is red with probability {p:.2f}, else green or blue, in its "
            + ", ".join(f"{name} color ({_rgb(colors[p])})" for name, colors in balls.items())
            + ". Under each a strip of that color for every probability of red from 0 to 1; different colors in it: "
            + ", ".join(f"{name} {_different(colors)}" for name, colors in strips.items())
            + "."
        ),
        caption="Drag the probability of red. Top: the ball in the color of each summary. Bottom: that color for every "
        "probability of red.",
    )


def largest_ball(world: ToyWorld) -> int:
    """Return the index of the scene with the largest area of balls, among those without another thing in doubt."""
    ball = world.material == KIND["ball"]
    others = (world.ambiguous() & ~ball).flatten(1).any(dim=1)
    return int((ball.sum(dim=(1, 2)) * ~others).argmax())


def _odds(red: float, others: Tensor) -> Tensor:
    return torch.cat([torch.tensor([red]), (1 - red) * others])


def _mean(palette: Tensor, chance: Tensor) -> Tensor:
    return chance @ palette


def _median(palette: Tensor, chance: Tensor) -> Tensor:
    values, order = palette.sort(dim=0)
    passed = chance[order].cumsum(dim=0) > 0.5
    return values.gather(0, passed.int().argmax(dim=0, keepdim=True))[0]


def _mode(palette: Tensor, chance: Tensor) -> Tensor:
    return palette[chance.argmax()]


SUMMARIES = {"mean": _mean, "median": _median, "mode": _mode}


def _rgb(values: Tensor) -> str:
    return ", ".join(f"{value:.0f}" for value in values.tolist())


def _different(colors: Tensor) -> int:
    return len(colors.round().unique(dim=0))


def uncertain_scenes(world: ToyWorld, count: int) -> Tensor:
    """Return the indices of scenes with much in doubt and many kinds of things, (count,)."""
    kinds = sum((world.material == KIND[name]).flatten(1).any(dim=1).float() for name in UNCERTAIN)
    fraction = world.ambiguous().float().mean(dim=(1, 2))
    return (0.1 * kinds + fraction).argsort(descending=True)[:count]


def scenes(rows: Mapping[str, Tensor], caption: str) -> None:
    """Show rows of images, one above the other.

    Args:
        rows: label -> (N, 1 or 3, H, W), as many in each row.
        caption: one sentence.
    """
    count = len(next(iter(rows.values())))
    saturation = {
        name: float((image - color.luma(image) if image.shape[1] == 3 else image * 0).square().mean().sqrt())
        for name, image in ((name, color.to_float(image)) for name, image in rows.items())
    }
    plots.show(
        plots.image_grid(rows, scale=1.05),
        alt=f"{count} scenes in {len(rows)} rows; the root mean square of their chroma: "
        + ", ".join(f"{name} {value:.2f}" for name, value in saturation.items())
        + ".",
        caption=caption,
    )


def learning(losses: Mapping[str, Sequence[float]], lowest: Mapping[str, float]) -> None:
    """Draw the smoothed loss of each step of several networks, divided by the lowest possible one.

    Args:
        losses: name -> one number a step.
        lowest: name -> the lowest possible loss of that network.
    """
    smooth = {}
    for name, values in losses.items():
        width = max(1, len(values) // 40)
        means = [sum(values[at : at + width]) / len(values[at : at + width]) for at in range(0, len(values), width)]
        ratios = [value / lowest[name] for value in means]
        smooth[name] = ([(at + 0.5) / len(ratios) for at in range(len(ratios))], ratios)
    plots.show(
        plots.curves(
            smooth,
            xlabel="fraction of the training",
            ylabel="loss / lowest possible",
            log=True,
            optimum={"lowest possible": 1.0},
        ),
        alt="Training loss divided by the lowest possible one: "
        + "; ".join(f"{name} from {ys[0]:.2f} to {ys[-1]:.2f}" for name, (_, ys) in smooth.items())
        + ".",
        caption="Each network's own loss while it trains.",
    )


def colors(world: ToyWorld, images: Mapping[str, Tensor], things: Sequence[str]) -> None:
    """Show the mean color of each thing in several colorings of a world, without light and shade.

    Args:
        world: the scenes.
        images: label -> (N, 3, H, W) in [0, 1].
        things: names of materials.
    """
    chips = {}
    for name, image in images.items():
        unshaded = (image - world.shade[:, None] / 255).permute(0, 2, 3, 1)
        chips[name] = torch.stack([unshaded[world.material == KIND[thing]].mean(dim=0) for thing in things]).clamp(0, 1)
    plots.show(
        plots.swatches(chips, labels=list(things)),
        alt=f"Chips of mean colors of {', '.join(things)}. "
        + "; ".join(f"{name}: " + ", ".join(f"({_rgb(255 * chip)})" for chip in row) for name, row in chips.items())
        + ".",
        caption="Mean color of each thing, without light and shade.",
    )


def axes_matter(balls: Mapping[str, Tensor], names: Sequence[str]) -> None:
    """Show the best ball under several losses (rows), each in several coordinate systems (columns).

    Args:
        balls: label -> (K, 3, H, W) in [0, 1].
        names: of the K coordinate systems.
    """
    pixel = {name: [image.flatten(1).mean(dim=1) for image in row] for name, row in balls.items()}
    plots.show(
        plots.image_grid(balls, columns=names, scale=1.3),
        alt=f"Rows of {len(names)} images of the ball, for {', '.join(names)}. Mean color of the whole image: "
        + "; ".join(f"{name}: " + ", ".join(f"({_rgb(255 * value)})" for value in row) for name, row in pixel.items())
        + ".",
        caption="The best ball under each loss, in four coordinate systems.",
    )


def example_colors(chips: Tensor, labels: Sequence[str]) -> None:
    """Show color chips with their gray.

    Args:
        chips: uint8 (K, 3).
        labels: K texts.
    """
    gray = [f"{name} {_rgb(chip)}" for name, chip in zip(labels, chips, strict=True)]
    plots.show(
        plots.swatches(chips, labels=list(labels), show_gray=True),
        alt="Color chips, each with its gray below: " + "; ".join(gray) + ".",
        caption="The report's three colors, their mean, and their median in each channel. The strip below is the gray.",
    )
