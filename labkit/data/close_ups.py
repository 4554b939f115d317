"""Close-ups of toyworld: one thing a picture, whose possible colors and their odds are known.

They are small, so that a GAN trains on them in seconds, and they ask one question: which of its possible colors does a
network give to the thing, how often, and how near does it come to one of them?
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from labkit.color import to_float
from labkit.data.toyworld import MATERIALS, ToyWorld, generate, material
from labkit.errors import LabkitError, check_integer, check_seed

_SMALLEST = 6  # pixels: below, a thing is mostly outline
_SCENES = 1.6  # to paint for a thing that fits; more where that is not enough
_NUMBER = {entry.name: index for index, entry in enumerate(MATERIALS)}


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

    def realism(self, rgb: Tensor) -> dict[str, float]:
        """Return two numbers that are 0 for a perfect sampler, but for the luck of the draw.

        The median distance of the things to the nearest possible color, of 255; and the total variation between the
        frequencies of colors and their odds.

        Args:
            rgb: ``(N, 3, H, W)`` in [0, 1].
        """
        chosen, distance = self.choices(rgb)
        often = torch.bincount(chosen, minlength=len(self.palette)) / len(self)
        return {"distance, of 255": float(distance.median()), "total variation": total_variation(often, self.odds)}

    def most_likely(self) -> Tensor:
        """Return the pictures with the likeliest of its possible colors in each pixel: rgb in [0, 1]."""
        colors, probability = self.posterior()  # (N, K, 3, H, W), (N, K, H, W)
        best = probability.argmax(dim=1)[:, None, None].expand(-1, 1, 3, -1, -1)
        return to_float(colors.gather(1, best)[:, 0])

    def draw(self, seed: int = 0) -> Tensor:
        """Return the pictures with colors drawn anew, see `draw_colors`."""
        return draw_colors(self, seed)


def draw_colors(world: ToyWorld, seed: int = 0) -> Tensor:
    """Return scenes in which each thing's color is drawn anew from its possible ones: rgb ``(N, 3, H, W)`` in [0, 1].

    Args:
        world: the scenes; what has one color keeps it.
        seed: of the draw.
    """
    from scipy import ndimage

    rng = torch.Generator().manual_seed(check_seed(seed))
    colors, _ = world.posterior()  # (N, K, 3, H, W)
    drawn = colors[:, 0].clone()
    hidden = world.ambiguous()
    whole = hidden.clone()
    for name in ("stripe", "glint"):  # they lie inside of a thing
        whole |= world.material == _NUMBER[name]
    for scene in range(len(world)):
        parts, count = ndimage.label(whole[scene].numpy())
        for part in range(1, count + 1):
            pixels = torch.from_numpy(parts == part) & hidden[scene]
            if pixels.any():
                entry = MATERIALS[int(world.material[scene][pixels][0])]
                choice = int(torch.multinomial(torch.tensor(entry.probabilities), 1, generator=rng))
                drawn[scene][:, pixels] = colors[scene, choice][:, pixels]
    return to_float(drawn)


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
    scenes = math.ceil(_SCENES * count)
    while True:  # scenes of a larger count begin with those of a smaller one
        world = generate(scenes, seed, split=split)
        places = _places(world, kind, size)
        if len(places) >= count:
            return _cut(world, places[:count], kind, size)
        scenes *= 2


def _places(world: ToyWorld, kind: str, size: int) -> list[tuple[int, int, int, np.ndarray]]:
    """Return (scene, top, left, pixels of the thing) of each thing that fits."""
    from scipy import ndimage

    wanted = world.material == _NUMBER[kind]
    whole = wanted | (world.material == _NUMBER["stripe"]) | (world.material == _NUMBER["glint"])
    places = []
    for scene in torch.where(wanted.flatten(1).any(dim=1))[0].tolist():
        parts, _ = ndimage.label(whole[scene].numpy())
        for part, (rows, columns) in enumerate(ndimage.find_objects(parts), 1):
            height, width = rows.stop - rows.start, columns.stop - columns.start
            pixels = (parts == part) & wanted[scene].numpy()
            if min(height, width) >= _SMALLEST and max(height, width) <= size - 2 and pixels.any():
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
