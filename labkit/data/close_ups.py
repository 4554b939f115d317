"""Close-ups of toyworld: one thing a picture, whose possible colors and their odds are known.

They are small, so that a GAN trains on them in seconds, and they ask one question: which of its possible colors does a
network give to the thing, how often, and how near does it come to one of them?
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from labkit.color import to_float
from labkit.data.toyworld import MATERIALS, ToyWorld, generate, material
from labkit.errors import LabkitError, check_integer, check_seed

_SMALLEST = 6  # pixels: below, a thing is mostly outline
_SCENES = 500  # painted at a time


@dataclass(frozen=True)
class CloseUps(ToyWorld):
    """Close-ups of things of one kind.

    Attributes:
        thing: bool ``(N, H, W)``, the pixels of the thing in the middle whose color is hidden.
        kind: what it is, a name in `labkit.data.toyworld.MATERIALS`.
    """

    thing: Tensor
    kind: str

    @property
    def palette(self) -> Tensor:
        """Return the possible colors of the thing before light and shade: float ``(K, 3)`` in [0, 1]."""
        return torch.tensor(material(self.kind).colors) / 255

    @property
    def odds(self) -> Tensor:
        """Return the probability of each of them: ``(K,)``."""
        return torch.tensor(material(self.kind).probabilities)

    def choices(self, rgb: Tensor) -> tuple[Tensor, Tensor]:
        """Return which possible color each thing was given, and how far from it.

        Light and shade are taken out; each pixel of the thing chooses the possible color that is nearest to it, and
        the thing the one that most of its pixels choose.

        Args:
            rgb: ``(N, 3, H, W)`` in [0, 1].

        Returns: indices of colors ``(N,)``, and the median over the thing's pixels of the root mean square distance
            over R, G and B to the nearest possible color, of 255 ``(N,)``.
        """
        flat = (255 * rgb.cpu() - self.shade[:, None]).permute(0, 2, 3, 1)  # (N, H, W, 3)
        chosen, distance = [], []
        for picture, where in zip(flat, self.thing, strict=True):
            away = torch.cdist(picture[where], 255 * self.palette) / 3**0.5  # (pixels, K)
            nearest = away.min(dim=1)
            chosen.append(torch.bincount(nearest.indices, minlength=len(self.palette)).argmax())
            distance.append(nearest.values.median())
        return torch.stack(chosen), torch.stack(distance)

    def frequencies(self, rgb: Tensor) -> Tensor:
        """Return how often each possible color was given, ``(K,)`` with sum 1; see `choices`."""
        return torch.bincount(self.choices(rgb)[0], minlength=len(self.palette)) / len(self)

    def draw(self, seed: int = 0) -> Tensor:
        """Return the pictures with each pixel's color drawn anew from the posterior: rgb ``(N, 3, H, W)`` in [0, 1].

        All pixels of one kind in a picture get the same draw, so that a thing has one color.

        Args:
            seed: of the draw.
        """
        rng = torch.Generator().manual_seed(check_seed(seed))
        colors, _ = self.posterior()  # (N, K, 3, H, W)
        drawn = to_float(colors[:, 0])
        for index, entry in enumerate(MATERIALS):
            if len(entry.colors) > 1:
                choice = torch.multinomial(torch.tensor(entry.probabilities), len(self), True, generator=rng)
                new = to_float(colors[torch.arange(len(self)), choice])
                drawn = torch.where((self.material == index)[:, None], new, drawn)
        return drawn


def total_variation(one: Tensor, other: Tensor) -> float:
    """Return half of the sum of absolute differences of two distributions: 0 where they are equal, 1 at most."""
    return float((one - other).abs().sum()) / 2


def close_ups(count: int, seed: int = 0, split: str = "train", kind: str = "ball", size: int = 16) -> CloseUps:
    """Cut the things of one kind that fit into a window out of toyworld scenes.

    Args:
        count: of pictures.
        seed: of the scenes.
        split: "train", "validation" or "test".
        kind: "ball", "striped ball", "balloon" or "kite".
        size: side of the window in pixels.

    Raises:
        LabkitError: for another kind, or an argument out of range.
    """
    count, size = check_integer("count", count, low=1), check_integer("size", size, low=12, high=32)
    if len(material(kind).colors) < 2:
        raise LabkitError(f"a {kind} has one color: choose a ball, striped ball, balloon or kite")
    scenes = _SCENES
    while True:  # a thing in every second scene or so: scenes of a larger count begin with those of a smaller one
        world = generate(scenes, seed, split=split)
        places = _places(world, kind, size)
        if len(places) >= count:
            return _cut(world, places[:count], kind, size)
        scenes = int(1.1 * scenes * count / max(len(places), 1)) + _SCENES


def _places(world: ToyWorld, kind: str, size: int) -> list[tuple[int, int, int, np.ndarray]]:
    """Return (scene, top, left, pixels of the thing) of each thing that fits."""
    from scipy import ndimage

    number = {entry.name: index for index, entry in enumerate(MATERIALS)}
    wanted = world.material == number[kind]
    whole = wanted | (world.material == number["stripe"]) | (world.material == number["glint"])
    places = []
    for scene in torch.where(wanted.flatten(1).any(dim=1))[0].tolist():
        parts, _ = ndimage.label(whole[scene].numpy())
        for part, (rows, columns) in enumerate(ndimage.find_objects(parts), 1):
            height, width = rows.stop - rows.start, columns.stop - columns.start
            pixels = (parts == part) & wanted[scene].numpy()
            if _SMALLEST <= min(height, width) and max(height, width) <= size - 2 and pixels.any():
                top, left = (rows.start + rows.stop - size) // 2, (columns.start + columns.stop - size) // 2
                places.append((scene, min(max(top, 0), 32 - size), min(max(left, 0), 32 - size), pixels))
    return places


def _cut(world: ToyWorld, places: list[tuple[int, int, int, np.ndarray]], kind: str, size: int) -> CloseUps:
    def windows(tensor: Tensor) -> Tensor:
        return torch.stack([tensor[n][..., y : y + size, x : x + size] for n, y, x, _ in places])

    values = {field.name: getattr(world, field.name) for field in fields(world)}
    values |= {name: windows(values[name]) for name in ("images", "material", "shade")}
    values["labels"] = world.labels[[place[0] for place in places]]
    thing = torch.stack([torch.from_numpy(pixels[y : y + size, x : x + size]) for _, y, x, pixels in places])
    values["provenance"] = dict(world.provenance) | {"count": len(places), "size": size, "close-ups of": kind}
    return CloseUps(**values, thing=thing, kind=kind)
