"""toyworld: small painted scenes whose color, given the gray image, has a distribution known in closed form.

A scene has sky above a hedge and grass below it. Balls lie on the grass, balloons and kites fly in the sky. Sky and
grass have one color each. A ball, balloon or kite has one of two to four colors, drawn with known probabilities
that depend on what it is and so on where it is. **All of these colors have the same Rec.601 luma** (299 R + 587 G +
114 B = 118,000), and light and shade add one integer to R, G and B alike, so the gray image shows what a thing is,
where it is and how it is lit, and nothing about its hidden color. What is dark or bright (hedge, outline, stripe, sun,
cloud, glint) has one color and a range of luma of its own.

Therefore, for each pixel, P(color | gray image) is the palette of the thing it shows, moved by its shade:
:meth:`ToyWorld.posterior`. The optimum of a loss, and the best score that any network can reach, follow:
:func:`optimum`, :func:`best_scores`.

**A trap.** Colors of equal luma differ in CIE L* (the red and the green ball by 11). A network that is given L* as its
gray (``LAB(input_gray="lightness")``) can therefore read the hidden color and beat these optima. The fair LAB network
here is ``LAB(input_gray="luma")``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from labkit.color import luma, to_float
from labkit.data.dataset import Dataset, check_size, cut, parse_classes
from labkit.errors import LabkitError, check_integer

LUMA_SUM = 118_000  # 299 R + 587 G + 114 B of every color that sky, grass and things can have
SHADES = (-24, 28)  # what light and shade may add to R, G and B; no color below clips
SPLIT_SIZES = {"train": 8000, "validation": 1000, "test": 1000}
CLASS_NAMES = ("meadow", "fair", "sky")  # where the horizon is: high, in the middle, low

_RED, _GREEN, _BLUE, _MAGENTA = (226, 76, 51), (24, 182, 35), (85, 115, 220), (227, 45, 208)
_ORANGE, _TEAL, _VIOLET, _AMBER = (211, 85, 44), (36, 152, 158), (156, 80, 214), (181, 103, 30)


@dataclass(frozen=True)
class Material:
    """What a pixel can show: ``colors`` (K entries of (R, G, B), 0..255, before shading) and their ``probabilities``.

    ``shades`` is the range of the integer that light and shade add to all three channels.
    """

    name: str
    colors: tuple[tuple[int, int, int], ...]
    probabilities: tuple[float, ...] = (1.0,)
    shades: tuple[int, int] = SHADES


# ToyWorld.material holds indices into this table. No subset of a palette's probabilities sums to anything near 1/2: the
# median is then unique in every coordinate system, whatever order it puts the colors in, and the slope of an L1 loss
# beside it is steep enough for a network to find it.
MATERIALS = (
    Material("sky", ((40, 142, 199),)),
    Material("grass", ((84, 146, 63),)),
    Material("hedge", ((34, 84, 38),), shades=(-7, 7)),  # luma 57 to 71
    Material("outline", ((30, 30, 30),), shades=(0, 0)),
    Material("string", ((46, 46, 46),), shades=(0, 0)),
    Material("stripe", ((188, 188, 188),), shades=(-10, 10)),
    Material("sun", ((250, 214, 64),), shades=(0, 0)),  # luma 208
    Material("cloud", ((228, 236, 244),), shades=(-11, 11)),  # luma 224 to 246
    Material("glint", ((255, 255, 255),), shades=(0, 0)),
    Material("ball", (_RED, _GREEN, _BLUE), (0.42, 0.28, 0.30)),
    Material("striped ball", (_ORANGE, _TEAL), (0.66, 0.34)),
    Material("balloon", (_RED, _GREEN, _BLUE, _MAGENTA), (0.28, 0.36, 0.03, 0.33)),
    Material("kite", (_VIOLET, _AMBER, _TEAL), (0.28, 0.40, 0.32)),
)
_SKY, _GRASS, _HEDGE, _OUTLINE, _STRING, _STRIPE, _SUN, _CLOUD, _GLINT, _BALL, _STRIPED, _BALLOON, _KITE = range(13)
_MOST_COLORS = max(len(material.colors) for material in MATERIALS)


def material(name: str) -> Material:
    """Return the entry of MATERIALS of that name, for example ``material("balloon").probabilities``."""
    for entry in MATERIALS:
        if entry.name == name:
            return entry
    raise LabkitError(f"toyworld has no material {name!r}: choose among {', '.join(m.name for m in MATERIALS)}")


@dataclass(frozen=True)
class ToyWorld(Dataset):
    """Scenes with their exact color statistics. ``labels`` tell where the horizon is, which the gray image shows.

    Attributes:
        material: uint8 ``(N, H, W)``, what each pixel shows: an index into MATERIALS.
        shade: int8 ``(N, H, W)``, what light and shade added to the color's R, G and B.
    """

    material: Tensor
    shade: Tensor

    def posterior(self) -> tuple[Tensor, Tensor]:
        """Return the exact P(color | gray image) of each pixel.

        Returns:
            colors uint8 ``(N, K, 3, H, W)`` and probability float32 ``(N, K, H, W)`` with sum 1 over K = 4. Pixels
            with fewer candidates repeat their first one with probability 0.
        """
        colors, probability = _tables(self.material.device)
        index = self.material.long()
        candidates = colors[index] + self.shade[..., None, None]  # (N, H, W, K, 3)
        return candidates.to(torch.uint8).permute(0, 3, 4, 1, 2), probability[index].permute(0, 3, 1, 2)

    def hidden(self) -> Tensor:
        """Return which of its candidates each pixel drew: int64 ``(N, H, W)``, 0 where there is only one."""
        colors, probability = _tables(self.material.device)
        index = self.material.long()
        base = self.images.permute(0, 2, 3, 1) - self.shade[..., None].to(torch.int16)  # (N, H, W, 3)
        match = (colors[index] == base[..., None, :]).all(dim=-1) & (probability[index] > 0)
        return match.int().argmax(dim=-1)

    def ambiguous(self) -> Tensor:
        """Return a mask of the pixels with more than one possible color: bool ``(N, H, W)``."""
        counts = torch.tensor([len(m.colors) for m in MATERIALS], device=self.material.device)
        return counts[self.material.long()] > 1


def _tables(device: torch.device | str) -> tuple[Tensor, Tensor]:
    """Return MATERIALS as tensors: colors int16 (M, K, 3) and probability float32 (M, K)."""
    colors = [m.colors + m.colors[:1] * (_MOST_COLORS - len(m.colors)) for m in MATERIALS]
    chances = [m.probabilities + (0.0,) * (_MOST_COLORS - len(m.colors)) for m in MATERIALS]
    return (
        torch.tensor(colors, dtype=torch.int16, device=device),
        torch.tensor(chances, dtype=torch.float32, device=device),
    )


# --- painting ---------------------------------------------------------------------------------------------------------
# Lengths are in canvas units: the picture is 32 units wide and high, whatever its size in pixels.

# Scenes that share a random stream, so that a smaller count is a prefix. What is drawn for one scene depends on the
# others of its chunk: all draws are made for the whole chunk, and only the scenes that were asked for are painted.
_CHUNK = 250
_HORIZON = np.array([[4.5, 8.5], [14.5, 17.5], [24.5, 28.5]])  # rows, per class
_ON_GRASS = np.array([[1, 1, 1, 1, 1], [1, 0, 1, 0, 1], [0, 0, 0, 0, 0]], dtype=bool)  # class x slot; else in the sky
_RADII = np.array([[8.0, 11.5], [6.5, 9.5], [5.0, 8.0], [4.4, 7.0], [4.2, 6.0]])  # per slot
_PRESENT = np.array([1.0, 1.0, 0.95, 0.9, 0.9])  # chance that a slot is used (if there is room)
_SECOND_KIND = 0.3  # chance that a thing on grass is a striped ball, or a thing in the sky a kite
_SMALLEST = 4.0  # radius
_GAP = 1.6  # between things; over sqrt(2) pixels, so that outlines never touch, not even at corners


def generate(count: int, seed: int = 0, size: int = 32, split: str = "train") -> ToyWorld:
    """Paint ``count`` scenes. The same seed, size and split give the same scenes; fewer scenes are a prefix of more.

    Args:
        count: number of scenes, 1 or more.
        seed: any non-negative integer; seeds and splits have independent random streams.
        size: side in pixels, 32 to 256; scenes are designed for 32.
        split: "train", "validation" or "test".

    Returns:
        A ToyWorld; images are uint8 ``(count, 3, size, size)``. 10,000 scenes of 32x32 take a few seconds.

    Raises:
        LabkitError: count, seed, size or split out of range.
    """
    size = check_size(size, smallest=32, largest=256)
    count, seed = check_integer("count", count, low=1), check_integer("seed", seed, low=0)
    if split not in SPLIT_SIZES:
        raise LabkitError(f"toyworld has no split {split!r}: choose among {', '.join(SPLIT_SIZES)}")
    stream = list(SPLIT_SIZES).index(split)
    parts = [
        _paint(seed, stream, first // _CHUNK, min(_CHUNK, count - first), size) for first in range(0, count, _CHUNK)
    ]
    images, labels, materials, shade = (torch.from_numpy(np.concatenate(arrays)) for arrays in zip(*parts, strict=True))
    provenance: dict[str, object] = {
        "source": "made by labkit",
        "license": "MIT, as labkit",
        "split": split,
        "seed": seed,
        "size": size,
        "count": count,
    }
    return ToyWorld(images, labels, CLASS_NAMES, "toyworld", split, provenance, materials, shade)


def load_toyworld(
    split: str, size: int | None, classes: str | Sequence[str] | None, limit: int | None, seed: int
) -> ToyWorld:
    """Paint the SPLIT_SIZES scenes of a split for ``labkit.data.load``. ``limit`` only cuts; call generate for more."""
    parse_classes(classes, CLASS_NAMES, "toyworld")  # refuse a wrong name before painting
    parts = []
    wanted = sum(SPLIT_SIZES.values()) if limit is None or classes is not None else limit
    for name in split.split("+"):  # scenes are drawn independently: the first ones are as good as any
        count = min(SPLIT_SIZES[name], wanted)
        if count:
            parts.append(generate(count, seed, 32 if size is None else size, name))
        wanted -= count
    return cut(_join(parts, split), classes, limit, seed)


def _join(worlds: list[ToyWorld], split: str) -> ToyWorld:
    """Join the scenes of several splits."""
    return replace(
        worlds[0],
        split=split,
        images=torch.cat([world.images for world in worlds]),
        labels=torch.cat([world.labels for world in worlds]),
        material=torch.cat([world.material for world in worlds]),
        shade=torch.cat([world.shade for world in worlds]),
    )


@dataclass
class _Canvas:
    """The first n scenes of a chunk, being painted; arrays (n, H, W) except the pixel centers x, y (H, W)."""

    x: np.ndarray
    y: np.ndarray
    pixel: float  # side of a pixel in canvas units, which is also the width of a drawn line
    horizon: np.ndarray  # (n, 1, 1): top of the hedge, on a pixel border
    material: np.ndarray
    shade: np.ndarray
    choice: np.ndarray  # index of the drawn color among the material's candidates

    def put(self, where: np.ndarray | tuple[np.ndarray, ...], material: int | np.ndarray, shade: object = 0) -> None:
        """Paint a material there. Shades are rounded and limited before any color is known: nothing can clip."""
        limits = _SHADE_LIMITS[material]
        self.material[where] = material
        self.shade[where] = np.clip(np.rint(shade), limits[..., 0], limits[..., 1])  # type: ignore[call-overload]


_SHADE_LIMITS = np.array([m.shades for m in MATERIALS])


def _paint(seed: int, stream: int, chunk: int, n: int, size: int) -> tuple[np.ndarray, ...]:
    """Paint the first n scenes of a chunk: images (n, 3, H, W), labels (n,), material and shade (n, H, W)."""
    # The legacy generator: numpy promises that its streams never change, so printed lab results stay true.
    rng = np.random.RandomState(np.random.MT19937(np.random.SeedSequence([seed, stream, chunk])))
    label = rng.randint(0, len(CLASS_NAMES), _CHUNK)
    pixel = 32 / size
    y, x = (np.mgrid[0:size, 0:size].astype(np.float32) + 0.5) * pixel
    horizon = np.round(rng.uniform(*_HORIZON[label].T) / pixel) * pixel
    shape = (n, size, size)
    canvas = _Canvas(
        x,
        y.astype(np.float32),
        pixel,
        horizon[:n, None, None].astype(np.float32),
        material=np.empty(shape, np.uint8),
        shade=np.empty(shape, np.int16),
        choice=np.zeros(shape, np.uint8),
    )
    _paint_ground(rng, canvas, horizon[:, None, None].astype(np.float32))
    things = list(_place_things(rng, label, horizon, pixel))
    for thing in things:
        _paint_shadow_and_string(canvas, thing.select(thing.scene < n))
    for thing in things:
        _paint_thing(rng, canvas, thing)

    colors = _tables("cpu")[0].numpy()
    images = np.empty((n, 3, size, size), np.uint8)
    for channel in range(3):
        images[:, channel] = colors[..., channel][canvas.material, canvas.choice] + canvas.shade
    return images, label[:n].astype(np.int64), canvas.material, canvas.shade.astype(np.int8)


def _paint_ground(rng: np.random.RandomState, canvas: _Canvas, every_horizon: np.ndarray) -> None:
    """Paint sky with sun and cloud, grass, and the hedge. ``every_horizon`` (_CHUNK, 1, 1) is of all scenes."""
    x, y, horizon, pixel = canvas.x, canvas.y, canvas.horizon, canvas.pixel
    n, height, width = canvas.material.shape

    def uniform(low: float, high: float | np.ndarray, scenes: int = n) -> np.ndarray:  # one number each, (n, 1, 1)
        return (low + (high - low) * rng.rand(_CHUNK, 1, 1)[:scenes]).astype(np.float32)

    def chance(probability: float) -> np.ndarray:  # True or False for each scene, (n, 1, 1)
        return rng.rand(_CHUNK, 1, 1)[:n] < probability

    above = y < horizon
    ripples = 3 * np.sin(x[0] / uniform(4, 9) + uniform(0, 7))  # (n, 1, W)
    sky = -20 + 36 * (y / 32) ** 0.8 + ripples + rng.randint(-64, 65, (_CHUNK, height, width))[:n] / np.float32(64)
    blades = rng.randint(-12, 13, (_CHUNK, height + 1, width))[:n]
    grass = 12 - 20 * np.clip((y - horizon) / 26, 0, 1) + (blades[:, 1:] + blades[:, :-1]) * np.float32(0.5)
    canvas.put(..., np.where(above, _SKY, _GRASS), np.where(above, sky, grass))  # type: ignore[arg-type]

    left = chance(0.5)  # the sun is in one corner, the cloud toward the other
    sun_x, sun_y = np.where(left, 4.0, 28.0), uniform(2.5, 4)
    canvas.put((np.hypot(x - sun_x, y - sun_y) < 2.8) & chance(0.5) & above, _SUN)
    cloud_x = np.where(left, uniform(14, 27), uniform(5, 18))
    cloud_y = uniform(2.5, np.maximum(3.0, horizon - 4))
    cloud = np.zeros_like(above)
    for dx, dy, radius in ((-2.6, 0.6, 1.9), (0.2, -0.2, 2.6), (3.0, 0.7, 1.7)):
        cloud |= np.hypot((x - cloud_x - dx) / 1.15, y - cloud_y - dy) < radius
    cloud &= (y < cloud_y + 1.6) & above & chance(0.75)
    canvas.put(cloud, _CLOUD, (6 - 6 * (y - cloud_y))[cloud])

    bushes = np.sin(x[0] * uniform(0.7, 1.3, _CHUNK) + uniform(0, 7, _CHUNK)) > 0.1  # (_CHUNK, 1, W)
    hedge = (y[:, :1] >= every_horizon) & (y[:, :1] < every_horizon + pixel)  # a line between sky and grass ...
    hedge = hedge | ((y[:, :1] < every_horizon) & (y[:, :1] > every_horizon - 1) & bushes)  # ... with bushes on it
    shade = rng.uniform(-7, 7, hedge.sum())
    canvas.put(hedge[:n], _HEDGE, shade[: hedge[:n].sum()])


@dataclass(frozen=True)
class _Things:
    """At most one thing per scene: indices of the scenes (m,), and material, center and radius, each (m, 1, 1)."""

    scene: np.ndarray
    material: np.ndarray
    x: np.ndarray
    y: np.ndarray
    radius: np.ndarray

    @property
    def width(self) -> np.ndarray:
        """Return the width beside a height of 1: of a circle, an upright ellipse (balloon) or a diamond (kite)."""
        balloon = np.where(self.material == _BALLOON, np.float32(0.9), np.float32(1))
        return np.where(self.material == _KITE, np.float32(0.85), balloon)

    def out(self, dx: np.ndarray, dy: np.ndarray) -> np.ndarray:
        """Return how far out a pixel is that lies ``dx``, ``dy`` from the center, in the unit of the radius."""
        u = dx / self.width
        return np.where(self.material == _KITE, np.abs(u) + np.abs(dy), np.hypot(u, dy))

    def inner_radius(self, pixel: float) -> np.ndarray:
        """Return the radius at which the outline ends.

        A step to one of the four neighboring pixels changes :meth:`out` by at most the width of the outline, so it has
        no hole.
        """
        return self.radius - (pixel / self.width + 1e-3)

    def select(self, which: np.ndarray | slice) -> _Things:
        """Return some of them."""
        return _Things(self.scene[which], self.material[which], self.x[which], self.y[which], self.radius[which])


def _place_things(
    rng: np.random.RandomState, label: np.ndarray, horizon: np.ndarray, pixel: float
) -> Iterator[_Things]:
    """Place up to five things, apart from one another and from the hedge; where there is no room they are left out."""
    n = len(label)
    placed: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for slot in range(len(_RADII)):
        on_grass = _ON_GRASS[label, slot]
        top = np.where(on_grass, horizon + 1 + pixel, 0.0)
        bottom = np.where(on_grass, 32.0, horizon - 1 - pixel)
        smallest, largest = _RADII[slot]
        radius = np.minimum(rng.uniform(smallest, largest, n), (bottom - top) / 2 - 1)
        wanted = rng.rand(n) < _PRESENT[slot]
        done = np.zeros(n, dtype=bool)
        best = np.zeros((3, n))
        for _ in range(40):
            # Centers in the middle of a pixel and radii a third over a whole number of pixels: round outlines.
            r = (np.floor(radius / pixel) + 0.35) * pixel
            cx = (np.floor(rng.uniform(r, 32 - r) / pixel) + 0.5) * pixel
            cy = (np.floor(rng.uniform(top + r, np.maximum(bottom - r, top + r + 1e-6)) / pixel) + 0.5) * pixel
            fits = (cy - r >= top) & (cy + r <= bottom) & (cx - r >= 0) & (cx + r <= 32) & (r >= _SMALLEST)
            for other_x, other_y, other_radius in placed:
                fits &= np.hypot(cx - other_x, cy - other_y) > r + other_radius + _GAP
            new = fits & ~done
            best[:, new] = cx[new], cy[new], r[new]
            done |= fits
            radius = np.where(done, radius, np.maximum(radius * 0.985, _SMALLEST))  # no room: try a little smaller
        there = done & wanted
        placed.append((best[0], best[1], np.where(there, best[2], -99.0)))
        second = rng.rand(n) < _SECOND_KIND
        kind = np.where(on_grass, np.where(second, _STRIPED, _BALL), np.where(second, _KITE, _BALLOON))
        x, y, r = best.astype(np.float32)[:, there, None, None]
        yield _Things(np.flatnonzero(there), kind[there, None, None], x, y, r)


def _paint_shadow_and_string(canvas: _Canvas, thing: _Things) -> None:
    """Paint what a thing does around itself, before any thing: a shadow on the grass, a string in the sky."""
    dx, dy = canvas.x - thing.x, canvas.y - thing.y
    under = canvas.material[thing.scene]
    shadow = (np.hypot(dx / 1.05, (dy - 0.85 * thing.radius) / 0.4) < thing.radius) & (under == _GRASS)
    scene, row, column = np.nonzero(shadow)
    where = (thing.scene[scene], row, column)
    canvas.put(where, _GRASS, canvas.shade[where] - 14)

    knot = (thing.material == _BALLOON) & (np.abs(dx) < 1.3) & (np.abs(dy - thing.radius) < 1.2)
    string = (np.abs(dx - 0.8 * np.sin(dy * 1.1)) < canvas.pixel / 2) & (dy > 0) & (dy < thing.radius + 5)
    string &= canvas.y < canvas.horizon[thing.scene] - 1
    scene, row, column = np.nonzero((knot | string) & ((under == _SKY) | (under == _CLOUD)))
    canvas.put((thing.scene[scene], row, column), _STRING)


def _paint_thing(rng: np.random.RandomState, canvas: _Canvas, thing: _Things) -> None:
    """Paint outline, inside and decoration of one thing per scene. Only the last lines know the hidden color."""
    every, n = thing, int((thing.scene < len(canvas.material)).sum())
    thing = every.select(slice(n))
    dx, dy = canvas.x - thing.x, canvas.y - thing.y
    out = thing.out(dx, dy)
    scene, row, column = np.nonzero(out <= thing.radius)
    canvas.put((thing.scene[scene], row, column), _OUTLINE)

    scene, row, column = np.nonzero(out <= thing.inner_radius(canvas.pixel))  # the inside, as a list of pixels
    where = (thing.scene[scene], row, column)
    kind, radius = thing.material[scene, 0, 0], thing.radius[scene, 0, 0]
    dx, dy, kite = dx[scene, row, column], dy[scene, row, column], kind == _KITE
    # Light from the upper left on a sphere; the kite is four flat panels.
    u, v = dx / (thing.width[scene, 0, 0] * radius), dy / radius
    light = -0.48 * u - 0.58 * v + 0.66 * np.sqrt(np.clip(1 - u**2 - v**2, 0, None))
    light = np.where(kite, np.where((dx < 0) == (dy < 0), 0.8, 0.3), np.clip(light, 0, 1))
    draws = len(light) + _count_inside(canvas, every.select(slice(n, None)))
    tone = -24 + 52 * light + rng.uniform(-2, 2, draws)[: len(light)]

    tilt = rng.uniform(0, np.pi, len(every.scene))[scene]
    across = np.abs(dx * np.cos(tilt) + dy * np.sin(tilt))
    painted = kind.copy()
    painted[(kind == _STRIPED) & (across < np.maximum(0.17 * radius, 0.8 * canvas.pixel))] = _STRIPE
    painted[~kite & (np.hypot(u + 0.36, v + 0.42) < 0.15)] = _GLINT
    painted[kite & (np.abs(dx) < canvas.pixel / 2)] = _STRING
    canvas.put(where, painted, tone)

    cumulative = np.cumsum(_tables("cpu")[1].numpy().astype(np.float64), axis=1)  # (M, K)
    drawn = (rng.rand(len(every.scene), 1)[:n] > cumulative[thing.material[:, 0, 0], :-1]).sum(axis=1)
    canvas.choice[where] = np.where(painted == kind, drawn[scene], 0)


def _count_inside(canvas: _Canvas, thing: _Things) -> int:
    """Return the number of pixels inside of these things. It looks only around each one: faster than painting."""
    total = 0
    for i in range(len(thing.scene)):
        one = thing.select(slice(i, i + 1))
        dx, dy = canvas.x[:1] - one.x, canvas.y[:, :1] - one.y  # (1, 1, W), (1, H, 1)
        dx, dy = dx[..., np.abs(dx[0, 0]) < one.radius[0, 0]], dy[:, np.abs(dy[0, :, 0]) < one.radius[0, 0]]
        total += np.count_nonzero(one.out(dx, dy) <= one.inner_radius(canvas.pixel))
    return total


# --- the best that any network can do ---------------------------------------------------------------------------------


class HasTarget(Protocol):
    """The part of a representation that :func:`optimum` needs."""

    def target(self, rgb: Tensor) -> Tensor:
        """Return the coordinates of ``rgb`` uint8 ``(N, 3, H, W)``, pixel by pixel: ``(N, C, H, W)``."""


@dataclass(frozen=True)
class Optimum:
    """The best prediction for a world, and its loss.

    Attributes:
        prediction: float32 ``(N, C, H, W)``, in the representation's coordinates.
        expected: its loss averaged over the posterior: no predictor of the gray image has a lower expected loss.
        realized: its loss on the colors that were drawn: what ``mse_loss`` or ``l1_loss`` gives on this sample.
    """

    prediction: Tensor
    expected: float
    realized: float


def optimum(world: ToyWorld, representation: HasTarget, loss: str = "mse") -> Optimum:
    """Return the exact optimum of a loss in a representation's coordinates.

    MSE: the mean of each coordinate under the posterior. L1: the median of each coordinate. Both are averaged over
    pixels and channels, as torch's ``mse_loss`` and ``l1_loss`` do.

    Args:
        world: scenes from :func:`generate` or ``load("toyworld")``.
        representation: anything with ``target(rgb uint8 (N, 3, H, W)) -> (N, C, H, W)`` that works pixel by pixel.
        loss: "mse" or "l1".

    Raises:
        LabkitError: another loss.
    """
    if loss not in ("mse", "l1"):
        raise LabkitError(f"loss={loss!r} has no closed-form optimum here: give 'mse' or 'l1'")
    # A pixel's candidates depend only on what it shows and its shade: solve each such case once, then look it up.
    values, probability = _target_table(representation)  # (M, S, K, C), (M, 1, K, 1)
    if loss == "mse":
        best = (values * probability).sum(dim=2)
        cost = ((values - best[:, :, None]) ** 2 * probability).sum(dim=2).mean(dim=-1)  # (M, S)
    else:
        best = _weighted_median(values, probability.expand_as(values))
        cost = ((values - best[:, :, None]).abs() * probability).sum(dim=2).mean(dim=-1)

    device = world.images.device
    best, cost = best.float().to(device), cost.to(device)
    case = (world.material.long(), world.shade.long() - SHADES[0])
    prediction = best[case].permute(0, 3, 1, 2).contiguous()
    total = 0.0
    for start in range(0, len(world), 512):
        error = prediction[start : start + 512] - representation.target(world.images[start : start + 512])
        total += float((error.square() if loss == "mse" else error.abs()).double().sum())
    return Optimum(prediction, float(cost[case].mean()), total / prediction.numel())


def _target_table(representation: HasTarget) -> tuple[Tensor, Tensor]:
    """Return each candidate's coordinates for each material and shade, float64 (M, S, K, C), and (M, 1, K, 1)."""
    colors, probability = _tables("cpu")
    shades = torch.arange(SHADES[0], SHADES[1] + 1, dtype=torch.int16)
    table = (colors[:, None] + shades[:, None, None]).clamp(0, 255).to(torch.uint8)  # (M, S, K, 3); no used entry clips
    pixels = table.reshape(-1, 3).T.reshape(1, 3, 1, -1)
    coordinates = representation.target(pixels)[0, :, 0].T  # (M S K, C)
    return coordinates.reshape(*table.shape[:3], -1).double(), probability.double()[:, None, :, None]


def _weighted_median(values: Tensor, weights: Tensor) -> Tensor:
    """Return, over dim 2, the smallest value at which the cumulative weight passes one half."""
    ordered, order = values.sort(dim=2)
    passed = weights.gather(2, order).cumsum(dim=2) > 0.5
    return ordered.gather(2, passed.int().argmax(dim=2, keepdim=True)).squeeze(2)


class HasBins(Protocol):
    """The part of a classification that :func:`bin_posterior` and :func:`best_cross_entropy` need."""

    channels: int

    def target(self, rgb: Tensor, stride: int = 1) -> Tensor:
        """Return the colors of ``rgb`` uint8 ``(N, 3, H, W)``, averaged over the stride."""

    def encode_bins(self, target: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return the bins of colors, their probability, and each pixel's weight (None: all 1)."""


def bin_posterior(world: ToyWorld, representation: HasBins, stride: int = 1) -> Tensor:
    """Return the exact P(bin | gray image) of each pixel: the prediction of a perfect classifier.

    With soft encoding it is the mean of the soft encodings. At stride 2 the colors of 2x2 pixels are averaged before
    they are binned; all hidden colors among them belong to one thing, so they are drawn together. A classifier with
    weighted bins predicts ``posterior * weights``, normalized again. Many bins make it large: pass a few scenes.

    Args:
        world: scenes of H x W pixels.
        representation: a classification of Q bins whose network sees luma.
        stride: 1, or 2 for a network with half-resolution output.

    Returns:
        float32 ``(N, Q, H / stride, W / stride)``, sum 1 over Q.
    """
    posterior = _mixture(world, representation, stride)
    return posterior / posterior.sum(dim=1, keepdim=True)


def best_cross_entropy(world: ToyWorld, representation: HasBins, stride: int = 1) -> dict[str, float]:
    """Return the lowest cross-entropy that any network seeing the gray image can reach, in nats per output pixel.

    Args:
        world: scenes.
        representation: a classification whose network sees luma (one that sees lightness can do better, see above).
        stride: 1, or 2 for a network with half-resolution output.

    Returns:
        ``expected`` under the posterior, and ``realized``: the loss of the best prediction on the colors that were
        drawn, which is what ``labkit.training.loop.dataset_loss`` would give.
    """
    expected = realized = 0.0
    for start in range(0, len(world), 16):
        part = world.select(slice(start, start + 16))
        mixture = _mixture(part, representation, stride)  # (n, Q, h, w)
        surprise = -(mixture / mixture.sum(dim=1, keepdim=True)).clamp(min=1e-30).log()
        expected += float((mixture * surprise).double().sum())
        bins, probability, weight = representation.encode_bins(representation.target(part.images, stride))
        loss = (probability * surprise.gather(1, bins)).sum(dim=1)
        realized += float((loss if weight is None else weight * loss).double().sum())
    pixels = len(world) * -(-world.images.shape[-2] // stride) * -(-world.images.shape[-1] // stride)
    return {"expected": expected / pixels, "realized": realized / pixels}


def _mixture(world: ToyWorld, representation: HasBins, stride: int) -> Tensor:
    """Average soft encodings over the posterior, each times its weight: (N, Q, H/s, W/s)."""
    stride = check_integer("stride", stride, low=1, high=2)
    colors, probability = world.posterior()  # (N, K, 3, H, W), (N, K, H, W)
    # Things do not touch, so the pixels of a 2x2 block with a hidden color belong to one thing. The others have the
    # probabilities (1, 0, 0, 0) and the same color whatever k is.
    first = -F.max_pool2d(-probability[:, :1], stride, ceil_mode=True)
    others = F.max_pool2d(probability[:, 1:], stride, ceil_mode=True)
    total: Tensor | None = None
    for k, chance in enumerate(torch.cat([first, others], dim=1).unbind(dim=1)):
        bins, fractions, weight = representation.encode_bins(representation.target(colors[:, k], stride))
        if total is None:
            total = fractions.new_zeros((len(bins), representation.channels, *bins.shape[-2:]))
        total.scatter_add_(1, bins, fractions * (chance if weight is None else chance * weight)[:, None])
    assert total is not None
    return total


class _UnitRGB:
    """RGB in 0..1, the coordinates of every score."""

    def target(self, rgb: Tensor) -> Tensor:
        """Return RGB in 0..1."""
        return to_float(rgb)


def best_scores(world: ToyWorld) -> dict[str, float]:
    """Return the scores that no network which sees the gray image can beat, in RGB in 0..1.

    Returns:
        ``mse`` and ``mae`` (expected under the posterior, each of its own optimum), ``mse_realized`` and
        ``mae_realized`` (on the colors that were drawn), ``entropy`` (nats per pixel: the best cross-entropy of a
        classifier with one bin per candidate), ``mse_gray`` (returning the gray image), ``skill``
        (1 - mse_realized / mse_gray) and ``ambiguous`` (fraction of pixels with more than one candidate).
    """
    mean, median = optimum(world, _UnitRGB(), "mse"), optimum(world, _UnitRGB(), "l1")
    _, probability = _tables(world.images.device)
    entropy = torch.special.entr(probability.double()).sum(dim=1)
    mse_gray = _gray_mse(world.images)
    return {
        "mse": mean.expected,
        "mae": median.expected,
        "mse_realized": mean.realized,
        "mae_realized": median.realized,
        "entropy": float(entropy[world.material.long()].mean()),
        "mse_gray": mse_gray,
        "skill": 1 - mean.realized / mse_gray,
        "ambiguous": float(world.ambiguous().float().mean()),
    }


def _gray_mse(images: Tensor) -> float:
    """Return the MSE of Rec.601 luma copied to R, G and B, over all images."""
    total = 0.0
    for start in range(0, len(images), 512):
        part = images[start : start + 512]
        total += float((to_float(part) - luma(part)).square().double().sum())
    return total / images.numel()
