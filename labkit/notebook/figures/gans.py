"""The figures of lab 06, GANs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from labkit import color, plots, widgets
from labkit.data.close_ups import CloseUps, draw_colors
from labkit.data.toyworld import ToyWorld
from labkit.models import PatchGAN
from labkit.plots.theme import FAINT, INK, MARKERS, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WEIGHTS = (0.0, 0.3, 1.0, 3.0, 5.0, 10.0, 20.0, 30.0, 50.0, 100.0)  # of L1, in the cost map
SIDE = torch.linspace(-0.62, 0.62, 125)  # of the chroma plane, in the units of luma-chroma
BLUR = 0.1  # standard deviation: what a discriminator cannot tell apart, in the same units
FLOOR = 0.005  # a density that is never quite 0


def opening(scene: ToyWorld, count: int = 10) -> None:
    """Show one gray scene and several of its possible colors.

    Args:
        scene: one scene of toyworld.
        count: of pictures, the gray one included; half of them in a row.
    """
    pictures = [color.luma(color.to_float(scene.images))[0].expand(3, -1, -1)]
    pictures += [draw_colors(scene, seed)[0] for seed in range(1, count)]
    half = count // 2
    plots.show(
        _large({"first": pictures[:half], "second": pictures[half:]}),
        alt=f"One scene with balls, balloons and kites in {count} pictures. The first is gray; in the others "
        "sky and grass keep their colors, and the things change theirs from picture to picture.",
        caption=f"One gray picture, and {count - 1} colorings of it. Each is as right as the others.",
    )


def wall(rows: Mapping[str, Tensor], columns: Sequence[str] | None = None, caption: str | None = None) -> None:
    """Show rows of small pictures, each pixel enlarged to a square.

    Args:
        rows: label -> (N, 3, H, W) in [0, 1], as many in each row.
        columns: N titles.
        caption: one line.
    """
    count, _, height, width = next(iter(rows.values())).shape
    means = {label: 255 * images.mean(dim=(0, 2, 3)) for label, images in rows.items()}
    averages = "; ".join(f"{label}: {_rgb(mean)}" for label, mean in means.items())
    titles = f" Columns: {', '.join(columns)}." if columns else ""
    plots.show(
        plots.image_grid(dict(rows), columns=columns, scale=1.1),
        alt=f"{len(rows)} rows of {count} pictures of {width}x{height} pixels. Average color (red, green, blue) of "
        f"each row: {averages}.{titles}",
        caption=caption,
    )


def cost_map(data: CloseUps, start: float = 1.0) -> None:
    """Show what each color of one luma costs a generator that paints the mean; a slider sets the weight of L1.

    Args:
        data: close-ups of a thing whose possible colors are meant.
        start: the weight in the static figure, one of WEIGHTS.
    """
    places = _chroma(data.palette)  # (K, 2)
    answers = {"mean": data.odds @ places} | {
        f"possible color {n}": place for n, place in enumerate(places.unbind(), start=1)
    }

    def describe(weight: float) -> str:
        mean = answers["mean"]
        costs = "; ".join(f"{name} {a + b:.2f}" for name, (a, b) in _parts(data, weight, answers).items())
        lowest = cheapest(data, weight)
        distance = float((places - lowest).norm(dim=1).min())
        return (
            f"Weight of L1 {weight:g}. Left, the plane of all colors of one luma with lines of equal cost; the lowest "
            f"point is {distance:.2f} from the nearest possible color and {float((lowest - mean).norm()):.2f} "
            f"from the mean. Right, stacked bars of the cost, adversary and L1: {costs}."
        )

    widgets.drag(
        lambda weight: _cost_figure(data, weight, answers),
        name="lambda",
        values=WEIGHTS,
        start=start,
        alt=describe,
        caption="What each color would cost a generator that now predicts the mean (the cross), if the discriminator "
        f"is at its best and blurs colors by {255 * BLUR:.0f}/255. Circles: the ball's possible colors. Star: the "
        "lowest cost.",
    )


def cheapest(data: CloseUps, weight: float) -> Tensor:
    """Return the place (2,) in the chroma plane that costs least."""
    adversary, l1 = _costs(data, _plane(), weight)
    return _plane().flatten(0, 1)[(adversary + l1).flatten().argmin()]


def _plane() -> Tensor:
    return torch.stack(torch.meshgrid(SIDE, SIDE, indexing="xy"), dim=-1)  # (125, 125, 2)


def _chroma(palette: Tensor) -> Tensor:
    return color.rgb_to_luma_chroma(palette.T[None, :, None])[1][0, :, 0].T


def _costs(data: CloseUps, at: Tensor, weight: float) -> tuple[Tensor, Tensor]:
    """Return what colors at places (..., 2) cost, by the adversary and by L1, where the mean is what is predicted."""
    places = _chroma(data.palette)

    def density(centers: Tensor, weights: Tensor) -> Tensor:
        squared = (at[..., None, :] - centers).square().sum(dim=-1)
        return (weights * (-squared / (2 * BLUR**2)).exp()).sum(dim=-1) + FLOOR

    real, generated = density(places, data.odds), density((data.odds @ places)[None], torch.ones(1))
    l1 = ((at[..., None, :] - places).abs().mean(dim=-1) * data.odds).sum(dim=-1)
    return -(real / (real + generated)).log(), weight * l1


def _parts(data: CloseUps, weight: float, answers: Mapping[str, Tensor]) -> dict[str, tuple[float, float]]:
    found = {name: _costs(data, place, weight) for name, place in answers.items()}
    return {name: (float(adversary), float(l1)) for name, (adversary, l1) in found.items()}


def _cost_figure(data: CloseUps, weight: float, answers: Mapping[str, Tensor]) -> Figure:
    figure, (left, right) = plots.subplots(1, 2, height=3.5, width_ratios=(1.25, 1))
    level = color.luma(data.palette.T[None, :, None])[:, :, :, :1]
    plane = _plane()
    rgb = color.luma_chroma_to_rgb(level.expand(1, 1, len(SIDE), len(SIDE)), plane.permute(2, 0, 1)[None])
    inside = ((rgb >= 0) & (rgb <= 1)).all(dim=1, keepdim=True)
    shown = torch.where(inside, rgb, torch.ones(()))[0].permute(1, 2, 0).numpy()
    with style():
        extent = (float(SIDE[0]), float(SIDE[-1])) * 2
        left.imshow(shown, extent=extent, origin="lower", interpolation="bilinear")
        total = torch.where(inside[0, 0], sum(_costs(data, plane, weight)), torch.nan)
        lines = left.contour(SIDE, SIDE, total.numpy(), levels=9, colors=INK, linewidths=0.8, linestyles="-")
        left.clabel(lines, fontsize=7, fmt="%.3g")
        marks = {"X": answers["mean"][None], "o": torch.stack(list(answers.values())[1:])}
        marks["*"] = cheapest(data, weight)[None]
        for mark, at in marks.items():
            size = {"X": 10, "o": 8, "*": 15}[mark]
            left.plot(*at.T, mark, color="white", markeredgecolor=INK, markersize=size, zorder=3)
        left.set(xlabel="first chroma coordinate", ylabel="second chroma coordinate", title=f"lambda = {weight:g}")
        parts = _parts(data, weight, answers)
        adversary, l1 = (torch.tensor([part[n] for part in parts.values()]) for n in (0, 1))
        names = ["mean", *("red", "green", "blue", "magenta")[: len(parts) - 1]]
        right.bar(names, adversary, color="#0072B2", label="adversary: $-\\log D$", width=0.65)
        right.bar(names, l1, bottom=adversary, color="#E69F00", hatch="///", label="$\\lambda$ L1", width=0.65)
        for n, height in enumerate((adversary + l1).tolist()):
            right.annotate(f"{height:.2f}", (n, height), (0, 2), textcoords="offset points", ha="center", size=8.5)
        right.set(ylabel="cost", title="cost of four predictions")
        right.margins(y=0.12)
        right.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=2)
    return figure


def losses(history: Sequence[tuple[float, float]], epochs: int, uninformed: float) -> None:
    """Draw the two losses, a mean for each tenth of an epoch.

    Args:
        history: the discriminator's loss and the generator's of each step.
        epochs: that they belong to.
        uninformed: the discriminator's loss if it guesses.
    """
    pairs = torch.tensor(history)
    pieces = [piece.mean(dim=0) for piece in pairs.chunk(min(len(pairs), 10 * epochs))]
    at = [epochs * (n + 0.5) / len(pieces) for n in range(len(pieces))]
    rows = {name: [float(piece[n]) for piece in pieces] for n, name in enumerate(("discriminator", "generator"))}
    told = "; ".join(f"{name} from {row[0]:.2f} to {row[-1]:.2f}" for name, row in rows.items())
    figure, axes = plots.subplots(height=2.6)
    with style():
        axes.axhline(uninformed, color=FAINT, linestyle=":", label=f"a discriminator that guesses: {uninformed:.2f}")
        for name, row in rows.items():
            axes.plot(at, row, label=f"{name}'s loss")
        axes.set(xlabel="epoch", ylabel="loss", ylim=(0, None))
        axes.legend(ncols=3)
    plots.show(
        figure,
        alt=f"Two curves over {epochs} epochs: {told}. A dotted line at {uninformed:.2f}, what a discriminator that "
        "guesses has.",
        caption="The losses of both networks while the GAN is trained.",
    )


def frequencies(rows: Mapping[str, Tensor], data: CloseUps) -> None:
    """Draw how often each possible color was predicted, one stacked bar a row.

    Args:
        rows: label -> frequencies (K,) with sum 1.
        data: close-ups, whose palette gives the bars their color.
    """
    figure, axes = plots.subplots(height=0.75 + 0.34 * len(rows))
    hatches = ("", "///", "...", "xxx")
    with style():
        for y, values in enumerate(rows.values()):
            start = 0.0
            for n, (value, shade) in enumerate(zip(values.tolist(), data.palette.tolist(), strict=True)):
                axes.barh(y, value, left=start, color=shade, height=0.72, hatch=hatches[n], edgecolor="white")
                if value >= 0.06:
                    axes.text(start + value / 2, y, f"{value:.0%}", ha="center", va="center", size=8.5, **_ON_BAR)
                start += value
        for edge in data.odds.cumsum(0)[:-1].tolist():
            axes.axvline(edge, color=INK, linewidth=1.4, linestyle="--")
        axes.set_yticks(range(len(rows)), list(rows))
        axes.invert_yaxis()
        axes.set(xlabel="fraction of balls; dashed: the true odds", xlim=(0, 1))
    told = "; ".join(f"{name}: {', '.join(f'{v:.0%}' for v in row.tolist())}" for name, row in rows.items())
    plots.show(
        figure,
        alt=f"Stacked bars of how often each possible color is the nearest one. {told}. True odds: "
        f"{', '.join(f'{v:.0%}' for v in data.odds.tolist())}.",
        caption="Which possible color is nearest to the predicted one.",
    )


_ON_BAR: dict[str, Any] = {"color": INK, "bbox": {"facecolor": "white", "edgecolor": "none", "pad": 1.2, "alpha": 0.85}}


def tradeoff(points: Mapping[str, tuple[float, float]], line: Sequence[tuple[float, float]]) -> None:
    """Draw accuracy against realism.

    Args:
        points: label -> MSE relative to the lowest possible, distance to the nearest possible color.
        line: the same two numbers of mixtures, from the mean to a draw.
    """
    figure, axes = plots.subplots(height=3.6, width=6.6)
    with style():
        axes.plot(*zip(*line, strict=True), "-", color=FAINT, linewidth=3, label="from the mean to a draw", zorder=1)
        for n, (name, (x, y)) in enumerate(points.items()):
            axes.plot(x, y, MARKERS[n % len(MARKERS)], color=plots.PALETTE[n % len(plots.PALETTE)], markersize=8)
            left, up = x > 1.8, n % 2 or y < 5  # away from the frame
            place = (-8 if left else 8, 5 if up else -12)
            axes.annotate(name, (x, y), place, textcoords="offset points", size=8.5, ha="right" if left else "left")
        axes.axvline(2, color=FAINT, linestyle=":")
        axes.set(
            xlabel="MSE / lowest possible MSE (1: the mean; 2: a draw)",
            ylabel="distance to the nearest\npossible color, of 255",
        )
        axes.set_ylim(0, None)
        axes.margins(x=0.14)
        axes.legend(loc="lower left")
    told = "; ".join(f"{name}: {x:.2f} and {y:.1f}" for name, (x, y) in points.items())
    plots.show(
        figure,
        alt="Each network as a point: MSE relative to the lowest possible, and distance to the nearest possible color "
        f"of 255. {told}. A line leads from the mean to draws from the posterior.",
        caption="To the left is accurate, below is realistic.",
    )


def seen(picture: Tensor, discriminators: Mapping[int, PatchGAN], gray: Tensor, colors: Tensor) -> None:
    """Draw which pixels one score in the middle depends on, by the size of its gradient, in evaluation and in training.

    Args:
        picture: the image in color, (3, H, W) in [0, 1].
        discriminators: number of layers -> a PatchGAN.
        gray: a batch (N, 1, H, W) whose first image is ``picture``.
        colors: its colors (N, C, H, W).
    """
    figure, panels = plots.subplots(2, len(discriminators), height=4.6, width=6.4)
    told = []
    with style():
        for column, (layers, discriminator) in enumerate(discriminators.items()):
            field = discriminator.receptive_field
            label = f"{layers} layer{'s' * (layers > 1)}, {field}x{field}"
            for row, training in enumerate((False, True)):
                gradient = gradient_of_a_score(discriminator, gray, colors, training)[0]
                bright = (gradient / gradient.max()) ** 0.25  # small ones, too, can be seen
                axes = panels[row, column]
                axes.imshow((picture.mean(dim=0) * 0.7).numpy(), cmap="gray", vmin=0, vmax=1)
                axes.imshow(
                    bright.numpy(), cmap="inferno", alpha=0.25 + 0.75 * (bright > 0.02).float().numpy(), vmin=0, vmax=1
                )
                axes.set(xticks=[], yticks=[])
                axes.set_title(label if row == 0 else "")
                axes.set_ylabel("evaluation mode" if not training else "training mode") if column == 0 else None
                told.append(f"{label}, {'training' if training else 'evaluation'}: {int((bright > 0.02).sum())}")
    plots.show(
        figure,
        alt=f"The pixels of a {picture.shape[-1]}x{picture.shape[-2]} picture that one score in the middle depends on, "
        f"brighter for a larger gradient. Numbers of pixels: {'; '.join(told)}.",
        caption="The gradient of one score on the input, its fourth root (bright: large).",
    )


def gradient_of_a_score(discriminator: nn.Module, gray: Tensor, colors: Tensor, training: bool) -> Tensor:
    """Return the absolute gradient of the first image's middle score on all pixels of the batch: (N, H, W)."""
    before = discriminator.training
    inputs = torch.cat([gray, colors], dim=1).requires_grad_()
    discriminator.train(training)
    scores = discriminator(inputs[:, :1], inputs[:, 1:])
    (gradient,) = torch.autograd.grad(scores[0, 0, scores.shape[-2] // 2, scores.shape[-1] // 2], inputs)
    discriminator.train(before)
    return gradient.abs().sum(dim=1)


def _rgb(mean: Tensor) -> str:
    return ", ".join(f"{value:.0f}" for value in mean.tolist())


def _large(rows: Mapping[str, Sequence[Tensor]]) -> Figure:
    """Draw rows of pictures without labels, edge to edge, as wide as a notebook's column."""
    count = len(next(iter(rows.values())))
    sheet = torch.cat(
        [torch.cat([F.pad(p, (1, 1, 1, 1), value=1.0) for p in row], dim=-1) for row in rows.values()], dim=-2
    )
    figure, axes = plots.subplots(height=plots.MAX_WIDTH * len(rows) / count)
    axes.imshow(sheet.permute(1, 2, 0).numpy(), interpolation="nearest")
    axes.set_axis_off()
    return figure
