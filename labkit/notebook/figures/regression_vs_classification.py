"""The figures of lab 03: possible worlds, bins, posteriors, decodings by temperature, the cost of bins."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from labkit import color, plots
from labkit.analysis.bin_costs import BinCosts
from labkit.data import toyworld
from labkit.notebook.figures.color_spaces import PIXEL_ART
from labkit.quantize import Quantizer
from labkit.representation import LAB, Classification
from labkit.widgets import drag

if TYPE_CHECKING:
    from matplotlib.figure import Figure

THINGS = ("ball", "striped ball", "balloon", "kite")
PARTS_OF_THINGS = ("outline", "stripe", "glint", *THINGS)
KIND = {material.name: index for index, material in enumerate(toyworld.MATERIALS)}
TEMPERATURES = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.38, 0.45, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


def possible_worlds(world: toyworld.ToyWorld, scene: int, count: int = 24) -> None:
    """Show one gray scene and ``count`` of its colorings, each thing drawn from its true probabilities."""
    one = world.select(slice(scene, scene + 1))
    colors, probability = one.posterior()  # (1, K, 3, H, W), (1, K, H, W)
    things = _things(one)  # masks (H, W)
    chances = [probability[0][:, thing][:, 0].double() for thing in things]  # (K,) of each
    draws = np.random.RandomState(0)
    pictures = []
    for _ in range(count):
        index = torch.zeros(one.material.shape[1:], dtype=torch.long)
        for thing, p in zip(things, chances, strict=True):
            index[thing] = int(draws.choice(len(p), p=(p / p.sum()).numpy()))
        pictures.append(colors[0].gather(0, index[None, None].expand(1, 3, -1, -1))[0])
    ways = int(np.prod([int((p > 0).sum()) for p in chances]))
    gray = color.luma(one.images)[0].expand(3, -1, -1)
    columns = 5
    tiles = [gray, *pictures]
    rows = {" " * row: tiles[columns * row : columns * (row + 1)] for row in range(len(tiles) // columns)}
    plots.show(
        plots.image_grid(rows, scale=5 * PIXEL_ART),
        alt=f"A toyworld scene in gray, then {count} colorings of it with the same luma in every pixel. Its things "
        f"can be colored in {ways} ways.",
        caption=f"One gray image, and {count} draws of the {ways} pictures that it may come from.",
    )


def _things(one: toyworld.ToyWorld) -> list[Tensor]:
    """Return a mask (H, W) for each thing of a scene: the pixels whose color is in doubt. Things do not touch."""
    from scipy.ndimage import label  # scipy comes with scikit-image

    part = torch.stack([one.material[0] == KIND[name] for name in PARTS_OF_THINGS]).any(dim=0)
    numbers, found = label(part.numpy())
    masks = [torch.from_numpy(numbers == number) & one.ambiguous()[0] for number in range(1, found + 1)]
    return [mask for mask in masks if mask.any()]


# ---------------------------------------------------------------------------------------------------------- bins


def bin_maps(lists: Mapping[str, Tensor | Quantizer]) -> None:
    """Show lists of bins in the plane of a and b, and which of them are nearest to some sRGB color.

    Args:
        lists: title -> centers ``(Q, 2)``, or a quantizer.
    """
    every = _surface()
    counts = []
    with plots.style():
        figure, panels = plots.subplots(1, len(lists), height=3.0, sharex=True, sharey=True)
        for panel, (name, bins) in zip(panels, lists.items(), strict=True):
            bins = bins if isinstance(bins, Quantizer) else Quantizer(bins, "ab", name)
            centers, reached = bins.centers, bins.frequencies(every) > 0
            counts.append(f"{name}: {int(reached.sum())} of {len(bins)}")
            lab = torch.cat([torch.full((len(centers), 1), 65.0), centers], dim=1)
            shown = color.scale_lab_to_gamut(lab.T[:, :, None])[..., 0].T.clamp(0, 1)
            panel.scatter(*centers[~reached].T, s=7, marker="x", color=plots.FAINT, linewidths=0.6)
            size = 16 if len(centers) > 100 else 22
            panel.scatter(*centers[reached].T, c=shown[reached].tolist(), s=size, marker="s", edgecolors="none")
            panel.plot(0, 0, "+", color=plots.INK, markersize=9)
            panel.set(title=counts[-1], aspect="equal", xlabel="a (green to red)", xlim=(-130, 130), ylim=(-130, 130))
        panels[0].set_ylabel("b (blue to yellow)")
    plots.show(
        figure,
        alt="Maps of bins in the plane of a and b, each bin in its color at L = 65. Nearest to some sRGB color: "
        + "; ".join(counts)
        + ".",
        caption="Squares: bins that are nearest to some sRGB color. Crosses: to none. The plus is gray.",
    )


def _surface() -> Tensor:
    """Return a and b (1, 2, 1, P) of the faces of the RGB cube: seen along L, their outline is that of all colors."""
    side = torch.arange(256, dtype=torch.uint8)
    a, b = torch.cartesian_prod(side, side).unbind(dim=1)
    ends = [torch.full_like(a, end) for end in (0, 255)]
    faces = [torch.stack(face) for c in ends for face in ((c, a, b), (a, c, b), (a, b, c))]
    return color.rgb_to_lab(torch.cat(faces, dim=1)[None, :, None])[:, 1:]


def oracles(rgb: Tensor, lists: Mapping[str, Tensor]) -> None:
    """Show a photograph (3, H, W) with each color replaced by its nearest bin's and the luma kept, and the original.

    Args:
        rgb: in [0, 1].
        lists: title -> centers ``(Q, 2)``.
    """
    tiles, space = {}, LAB(input_gray="luma")
    for name, centers in lists.items():
        nearest = Quantizer(centers, "ab", name).nearest(color.rgb_to_lab(rgb)[None, 1:])
        tiles[name] = space.to_rgb(color.luma(rgb)[None], nearest / 110)[0]
    errors = {name: float((picture - rgb).square().mean()) for name, picture in tiles.items()}
    tiles["original"] = rgb
    plots.show(
        plots.image_grid({"": list(tiles.values())}, columns=list(tiles), scale=2),
        alt="A photograph whose colors are replaced by the nearest bin, with the luma kept; MSE "
        + ", ".join(f"{name} {value:.2g}" for name, value in errors.items())
        + "; and the original.",
        caption="What a classifier that is never wrong would predict.",
    )


# ----------------------------------------------------------------------------------------------- the posterior


def things(world: toyworld.ToyWorld, space: Classification, predicted: Tensor) -> None:
    """Show the probabilities of the colors of each thing: true (plain bars) beside predicted (hatched).

    Args:
        world: scenes.
        space: whose bins are predicted.
        predicted: distributions ``(N, Q, H, W)``, averaged over the pixels of such things.
    """
    candidates = world.posterior()[0].unbind(dim=1)
    bins = torch.stack([space.quantizer.encode(space.target(colors)) for colors in candidates], dim=1)
    of_colors = predicted.gather(1, bins).movedim(1, -1)  # (N, H, W, K)
    pairs = []
    with plots.style():
        figure, panels = plots.subplots(1, len(THINGS), height=2.6, sharey=True)
        for panel, name in zip(panels, THINGS, strict=True):
            material = toyworld.material(name)
            here = of_colors[world.material == KIND[name]]
            heights = here.mean(dim=0)[: len(material.colors)].tolist() if len(here) else [0.0] * len(material.colors)
            paints = [[channel / 255 for channel in rgb] for rgb in material.colors]
            at = np.arange(len(paints))
            panel.bar(at - 0.2, material.probabilities, 0.38, color=paints, edgecolor=plots.INK)
            panel.bar(at + 0.2, heights, 0.38, color=paints, edgecolor="white", hatch="////")
            panel.set(title=name, xticks=[], xlim=(-0.6, 3.6))
            both = zip(material.probabilities, heights, strict=True)
            pairs.append(f"{name} " + ", ".join(f"{true:.2f} and {ours:.2f}" for true, ours in both))
        panels[0].set_ylabel("probability")
    plots.show(
        figure,
        alt=f"Pairs of bars, true probability and predicted one, each in the color it stands for: {'; '.join(pairs)}.",
        caption="Plain: true. Hatched: predicted, averaged over all pixels of such things in new scenes.",
    )


def decodings(predicted: Mapping[str, Tensor], gray: Tensor, true: Tensor) -> None:
    """Show scenes (N, 3, H, W), one a row: gray, as each rule decodes one prediction, and as they are."""
    errors = {name: float((rgb - true).square().mean()) for name, rgb in predicted.items()}
    columns = {"gray": gray.expand(-1, 3, -1, -1), **predicted, "true": true}
    plots.show(
        plots.image_grid(
            {" " * n: [images[n] for images in columns.values()] for n in range(len(true))},
            columns=list(columns),
            scale=4 * PIXEL_ART,
        ),
        alt=f"{len(true)} scenes, one a row, in gray, decoded from one prediction, and true. MSE on these: "
        + ", ".join(f"{name} {value:.4f}" for name, value in errors.items())
        + ".",
        caption="One network, one prediction, several rules.",
    )


def drag_temperature(decode: Callable[[float], Tensor], true: Tensor, start: float) -> None:
    """Show scenes decoded at one temperature beside MSE and colorfulness over temperature, with a slider for it.

    Args:
        decode: temperature -> rgb ``(N, 3, H, W)``; the first four are shown.
        true: the same scenes.
        start: where the slider starts.
    """
    from labkit import metrics

    pictures = {t: decode(t) for t in TEMPERATURES}
    scored = {t: metrics.score(rgb, true, keys=("mse", "colorfulness")) for t, rgb in pictures.items()}

    def draw(temperature: float) -> Figure:
        with plots.style():
            figure, (left, *panels) = plots.subplots(1, 3, height=3.1, gridspec_kw={"width_ratios": [1.5, 1, 1]})
            four = pictures[temperature][:4].repeat_interleave(4, -1).repeat_interleave(4, -2)
            left.imshow(torch.cat([torch.cat([*four[:2]], -1), torch.cat([*four[2:]], -1)], -2).permute(1, 2, 0))
            left.set_axis_off()
            left.set_title(f"T = {temperature:.2f}")
            for panel, key in zip(panels, ("mse", "colorfulness"), strict=True):
                panel.plot(TEMPERATURES, [scored[t][key] for t in TEMPERATURES], marker=".")
                panel.plot(temperature, scored[temperature][key], "o", color=plots.PALETTE[1], markersize=9)
                panel.set(xlabel="T  (0: mode, 1: mean)", title="MSE" if key == "mse" else key)
        return figure

    def alt(temperature: float) -> str:
        now, cold, hot = (scored[t] for t in (temperature, TEMPERATURES[0], TEMPERATURES[-1]))
        return (
            f"Four scenes decoded at temperature {temperature:.2f}: MSE {now['mse']:.4f}, colorfulness "
            f"{now['colorfulness']:.0f}. From T = {TEMPERATURES[0]} to {TEMPERATURES[-1]:.0f} the MSE goes from "
            f"{cold['mse']:.4f} to {hot['mse']:.4f}, colorfulness from {cold['colorfulness']:.0f} to "
            f"{hot['colorfulness']:.0f}."
        )

    nearest = min(TEMPERATURES, key=lambda t: abs(t - start))
    caption = "The annealed mean, and what each temperature scores on the scenes with most in doubt."
    drag(draw, name="temperature", values=TEMPERATURES, start=nearest, alt=alt, caption=caption)


# ------------------------------------------------------------------------------------ quantization and commitment


def one_peak(sigma: float = 0.5, position: float = 0.2) -> None:
    """Show a posterior with one peak, cut into bins of width 1."""
    x = np.linspace(-2.5, 2.5, 401)
    density = np.exp(-((x - position) ** 2) / (2 * sigma**2)) / (sigma * np.sqrt(2 * np.pi))
    centers = np.arange(-2, 3)
    edges = np.arange(-2.5, 3)
    cumulative = np.array([float(torch.special.ndtr(torch.tensor((edge - position) / sigma))) for edge in edges])
    mass = np.diff(cumulative)
    with plots.style():
        figure, panel = plots.subplots(height=2.5, width=5.6)
        panel.bar(centers, mass, width=0.96, color=plots.PALETTE[5], label="probability of each bin")
        panel.plot(x, density, color=plots.INK, linestyle="-", label="density")
        panel.axvline(position, color=plots.PALETTE[1], linestyle="--", label="its peak")
        panel.set(xlabel="color (in bins)", xticks=centers, ylabel="probability")
        panel.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    plots.show(
        figure,
        alt=f"A bell curve of width {sigma} around {position}, over bins of width 1 whose probabilities are "
        + ", ".join(f"{m:.2f}" for m in mass)
        + ".",
        caption="A posterior with one peak, and the probabilities of the bins.",
    )


def cost_of_bins(by_count: Mapping[int, BinCosts]) -> None:
    """Show the expected MSE of perfect classifiers over their number of bins, and of exact colors as lines."""
    counts, found = list(by_count), list(by_count.values())
    costs = {
        "mode of the bins": [cost.mode for cost in found],
        "mean of the bins": [cost.mean for cost in found],
        "oracle: the nearest bin": [cost.oracle for cost in found],
    }
    exact = {"exact mode": found[0].exact_mode, "exact mean": found[0].exact_mean}
    with plots.style():
        figure, panel = plots.subplots(height=3.2)
        for i, (name, values) in enumerate(costs.items()):
            style = {"color": plots.PALETTE[i], "linestyle": plots.LINE_STYLES[i], "marker": plots.MARKERS[i]}
            panel.plot(counts, values, label=name, **style)
        for i, (name, value) in enumerate(exact.items()):
            panel.axhline(value, color=plots.INK, linewidth=1, linestyle=plots.LINE_STYLES[i + 1], label=name)
        panel.set(xscale="log", xlabel="number of bins (logarithmic)", ylabel="expected MSE in RGB", ylim=(0, None))
        panel.set_xticks(counts, [str(count) for count in counts])
        panel.minorticks_off()
        panel.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    lines = "; ".join(f"{name}: " + ", ".join(f"{v:.4f}" for v in values) for name, values in costs.items())
    levels = "; ".join(f"{name} {value:.4f}" for name, value in exact.items())
    plots.show(
        figure,
        alt=f"Expected MSE over {', '.join(map(str, counts))} bins. {lines}. Horizontal lines: {levels}.",
        caption="Perfect classifiers, one space, more and more bins.",
    )
