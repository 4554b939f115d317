"""Load the images that a setup names, each set once."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from torch import Tensor

from labkit.data import Dataset, load
from labkit.data import data_root as find_root
from labkit.data import merge as merge_datasets
from labkit.data.dataset import check_colored, resize
from labkit.data.folder import listing
from labkit.errors import LabkitError
from labkit.experiments.schema import Setup
from labkit.options import FitSettings


@dataclass(frozen=True)
class Images:
    """Hold the images of one setup, uint8 (N, 3, H, W); none of `test` is in `train` or `validation`."""

    train: Tensor
    validation: Tensor | None
    test: Dataset
    line: str  # which, and how many


class ImageCache:
    """Hold the images of every setup that was asked for, each loaded once."""

    def __init__(self, root: Path | None) -> None:
        """Make an empty cache.

        Args:
            root: where data sets are; else LABKIT_DATA, else ./data.
        """
        self.root = root
        self.command = secrets.token_hex(8)  # files may have changed before the next command
        self.loaded: dict[str, Images | LabkitError] = {}  # or why they could not be
        self.listed: dict[Path, str] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel to another process without the images: the jobs of one command share a cache in each process."""
        return _cache_of_process, (self.root, self.command)

    def photographs(self, setup: Setup) -> str:
        """Return digits that tell the photographs of a folder from others; empty for other data sets."""
        if "folder" not in setup.datasets + setup.of_test().datasets:
            return ""
        place = _place(setup, "folder", self.root) or find_root(self.root)
        if place not in self.listed:
            self.listed[place] = listing(place)
        return self.listed[place]

    def images(self, setup: Setup) -> Images:
        """Return the images of a setup.

        Raises:
            LabkitError: as `load_images` does.
        """
        key = repr(replace(setup, network={}, fit=FitSettings(patience=setup.fit.patience)))
        if key not in self.loaded:
            try:
                self.loaded[key] = load_images(setup, self.root)
            except LabkitError as error:
                self.loaded[key] = error
        found = self.loaded[key]
        if isinstance(found, LabkitError):
            raise found
        return found


@lru_cache(maxsize=1)
def _cache_of_process(root: Path | None, command: str) -> ImageCache:
    return ImageCache(root)


def load_images(setup: Setup, root: Path | None = None) -> Images:
    """Load the images that a setup names, the same for every seed.

    Args:
        setup: which images.
        root: where data sets are; else LABKIT_DATA, else ./data.

    Raises:
        LabkitError: where they are missing, or where no test image has any color to be scored on.
    """
    validation = None
    if setup.holds_out:
        train = _load(setup, "train", root).images
        validation = _load(replace(setup, limit=None), "validation", root).images
    else:
        train = _load(setup, "train+validation", root).images
    if setup.shrink:
        train = resize(resize(train, setup.shrink), int(train.shape[-1]))
    test = _load(setup.of_test(), "test", root)
    check_colored(test)
    counts = [f"{len(train)} train"] + ([f"{len(validation)} validation"] if validation is not None else [])
    which = f"{_names(setup, root)}, {train.shape[-1]} px"
    if setup.shrink:
        which += f" enlarged from {setup.shrink}"
    scored = [_names(setup, root, test=True)] if setup.test_dataset else []
    scored += [setup.test_classes] if setup.test_classes else []
    line = f"{which}: {', '.join(counts)}, {len(test)} test" + (f" ({' '.join(scored)})" if scored else "")
    return Images(train, validation, test, line)


def _load(setup: Setup, split: str, root: Path | None) -> Dataset:
    """Load one split of the data sets of a setup, put together."""
    parts = [
        load(
            name,
            split,
            size=setup.size,
            classes=setup.classes,
            limit=setup.limit,
            root=_place(setup, name, root),
            min_saturation=setup.min_saturation if name == "folder" else None,
        )
        for name in setup.datasets
    ]
    whole = parts[0] if len(parts) == 1 else merge_datasets(*parts)
    if setup.crop is None:
        return whole
    edge = (whole.images.shape[-1] - setup.crop) // 2
    inside = slice(edge, edge + setup.crop)
    return whole.map_tensors(lambda part: part[..., inside, inside].contiguous() if part.ndim == 4 else part)


def _place(setup: Setup, name: str, root: Path | None) -> Path | None:
    if name != "folder" or not setup.folder:
        return root
    base = find_root(root)
    return base / setup.folder if (base / setup.folder).is_dir() else base


def _names(setup: Setup, root: Path | None, test: bool = False) -> str:
    """Return the data sets in words; a folder by its own name and `listing`."""
    names = []
    for name in setup.of_test().datasets if test else setup.datasets:
        place = _place(setup, name, root)
        names.append(f"{place.name} ({listing(place)})" if name == "folder" and place else name)
    return "+".join(names) + (f" {setup.classes}" if setup.classes and not test else "")
