"""The one container that every data set comes in, and the few steps that all loaders share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from labkit.errors import LabkitError, check_integer

SPLITS = ("train", "validation", "test", "train+validation")

AnyDataset = TypeVar("AnyDataset", bound="Dataset")


@dataclass(frozen=True)
class Dataset:
    """Images in memory, with their labels and where they came from.

    Attributes:
        images: uint8 ``(N, 3, H, W)``, sRGB.
        labels: int64 ``(N,)``, indices into ``class_names``.
        class_names: one name per class; ``classes=`` filters never renumber them.
        name: the data set's name, as given to :func:`labkit.data.load`.
        split: "train", "validation", "test" or "train+validation".
        provenance: source, license, counts and choices (seed, classes, limit, size); no personal paths.
    """

    images: Tensor
    labels: Tensor
    class_names: tuple[str, ...]
    name: str
    split: str
    provenance: Mapping[str, object]

    def __len__(self) -> int:
        """Return the number of images."""
        return int(self.images.shape[0])

    def __getitem__(self, index: Any) -> Tensor:
        """Return images: ``data[:8]`` is ``(8, 3, H, W)`` uint8, ``data[0]`` is ``(3, H, W)``."""
        return self.images[index]

    def select(self: AnyDataset, indices: Tensor | Sequence[int] | slice) -> AnyDataset:
        """Return the images at ``indices`` (integers, a boolean mask ``(N,)`` or a slice), in that order."""
        index = indices if isinstance(indices, slice) else torch.as_tensor(indices, device=self.labels.device)
        if isinstance(index, Tensor) and index.numel() == 0:
            index = index.long()
        return self.map_tensors(lambda tensor: tensor[index])

    def to(self: AnyDataset, device: torch.device | str) -> AnyDataset:
        """Return the same data on another device."""
        return self.map_tensors(lambda tensor: tensor.to(device))

    def map_tensors(self: AnyDataset, change: Callable[[Tensor], Tensor]) -> AnyDataset:
        """Return the same data with ``change`` applied to every tensor (images, labels, what a subclass adds)."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        changed: dict[str, Any] = {name: change(v) for name, v in values.items() if isinstance(v, Tensor)}
        return replace(self, **changed)


def parse_classes(classes: str | Sequence[str] | None, known: tuple[str, ...], name: str) -> list[int] | None:
    """Return ``"horse, deer"`` or ``["horse", "deer"]`` as indices into ``known``; None means all.

    Raises:
        LabkitError: a name is not in ``known``; the message lists the names.
    """
    if classes is None:
        return None
    parts = classes.split(",") if isinstance(classes, str) else list(classes)
    wanted = [str(part).strip() for part in parts if str(part).strip()]
    if not wanted:
        raise LabkitError(f"classes={classes!r} names no class: choose among {', '.join(known)}")
    for label in wanted:
        if label not in known:
            shown = ", ".join(known[:40]) + (", ..." if len(known) > 40 else "")
            raise LabkitError(f"{name} has no class {label!r}: choose among {shown}")
    return sorted({known.index(label) for label in wanted})


def cut(data: AnyDataset, classes: str | Sequence[str] | None, limit: int | None, seed: int) -> AnyDataset:
    """Keep only ``classes``, then the first ``limit`` of a shuffle by ``seed`` that does not look at labels.

    Without a limit that cuts, the order stays as stored. A smaller limit is a prefix of a larger one.

    Raises:
        LabkitError: unknown class, or nothing left.
    """
    chosen = parse_classes(classes, data.class_names, data.name)
    if chosen is not None:
        data = data.select(torch.isin(data.labels, torch.tensor(chosen)))
        if len(data) == 0:
            raise LabkitError(f"{data.name} has no image of {classes!r} in split {data.split!r}")
    if limit is not None and limit < len(data):
        data = data.select(torch.from_numpy(permutation(len(data), seed)[:limit].copy()))
    choices = {
        "split": data.split,
        "classes": "all" if chosen is None else [data.class_names[i] for i in chosen],
        "limit": limit,
        "seed": seed,
        "count": len(data),
    }
    return replace(data, provenance={**data.provenance, **choices})


def permutation(count: int, seed: int) -> np.ndarray:
    """Return a shuffle of ``range(count)`` that numpy has promised never to change (the legacy generator)."""
    return np.random.RandomState(seed % 2**32).permutation(count)


def resize(images: Tensor, size: int | None) -> Tensor:
    """Resize uint8 ``(N, 3, H, W)`` to ``(N, 3, size, size)``: center crop to a square, then antialiased bilinear.

    Raises:
        LabkitError: ``size`` is no whole number from 1 to 4096; None returns the images as they are.
    """
    if size is None:
        return images
    size = check_size(size)
    height, width = images.shape[-2:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = images[..., top : top + side, left : left + side]
    if side == size:
        return square
    out = torch.empty((len(images), 3, size, size), dtype=torch.uint8)
    for start in range(0, len(images), 512):  # in pieces: the float copy is four times as large
        part = square[start : start + 512].float()
        part = F.interpolate(part, (size, size), mode="bilinear", antialias=True, align_corners=False)
        out[start : start + 512] = part.round().clamp(0, 255).to(torch.uint8)
    return out


def check_colored(test: Dataset) -> None:
    """Raise LabkitError where every image is gray: nothing could be scored beside the gray baseline."""
    if all(bool((part == part[:, :1]).all()) for part in test.images.split(256)):  # in parts: it may be a mapped file
        raise LabkitError(f"{test.name}: the images to score on ({len(test)}) are all gray: give some with color")


def check_size(size: int, smallest: int = 1, largest: int = 4096) -> int:
    """Return ``size``, the side of an image in pixels, if it is a whole number in the range.

    Raises:
        LabkitError: it is not.
    """
    return check_integer("size", size, low=smallest, high=largest)


def merge(*datasets: Dataset) -> Dataset:
    """Return several data sets as one; classes of the same name become one class.

    Raises:
        LabkitError: nothing given, or images of different sizes (load them with the same ``size=``).
    """
    if not datasets:
        raise LabkitError("merge() got no data set: give at least one")
    shapes = {tuple(data.images.shape[-2:]) for data in datasets}
    if len(shapes) > 1:
        sizes = ", ".join(f"{d.name} {d.images.shape[-1]}x{d.images.shape[-2]}" for d in datasets)
        raise LabkitError(f"merge() needs images of one size, got {sizes}: load them with the same size=")
    names = list(dict.fromkeys(name for data in datasets for name in data.class_names))
    relabel = [torch.tensor([names.index(name) for name in data.class_names]) for data in datasets]
    splits = list(dict.fromkeys(data.split for data in datasets))
    return Dataset(
        images=torch.cat([data.images for data in datasets]),
        labels=torch.cat(
            [table.to(data.labels.device)[data.labels] for table, data in zip(relabel, datasets, strict=True)]
        ),
        class_names=tuple(names),
        name="+".join(dict.fromkeys(data.name for data in datasets)),
        split=splits[0] if len(splits) == 1 else "+".join(splits),
        provenance={"merged": [dict(data.provenance) for data in datasets]},
    )
