"""The five color photographs that the scikit-image package carries: to look at, to score and to colorize."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import torch

from labkit.data.dataset import Dataset, check_size
from labkit.data.pictures import read_rgb
from labkit.errors import LabkitError

PHOTOS = {  # name: (file in skimage/data, source, license)
    "astronaut": ("astronaut.png", "NASA: Eileen Collins", "public domain"),
    "chelsea": ("chelsea.png", "Stefan van der Walt", "CC0"),
    "coffee": ("coffee.png", "Rachel Michetti, Pikolo Espresso Bar", "CC0"),
    "rocket": ("rocket.jpg", "SpaceX: launch of DSCOVR", "public domain"),
    "motorcycle": ("motorcycle_left.png", "Middlebury 2014 stereo benchmark (Scharstein et al.)", "see source"),
}


def load_photos(split: str, size: int | None) -> Dataset:
    """Load the five photographs, center-cropped to squares of ``size`` (256) pixels; split "test" only."""
    if split != "test":
        raise LabkitError(
            f"photos has no split {split!r}: five photographs are for looking at and scoring, not for training; "
            'give split="test", or train on toyworld or cifar10'
        )
    check_size(256 if size is None else size)
    folder = _package_folder()
    if folder is None:
        raise LabkitError("photos needs the scikit-image package: pip install scikit-image")
    # The files are opened directly: skimage.data's functions may go to the network for a file that is not packaged.
    images = np.stack([read_rgb(folder / file, 256 if size is None else size) for file, _, _ in PHOTOS.values()])
    return Dataset(
        images=torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(),
        labels=torch.arange(len(PHOTOS)),
        class_names=tuple(PHOTOS),
        name="photos",
        split="test",
        provenance={
            "source": "scikit-image package: " + "; ".join(f"{n}: {s[1]}" for n, s in PHOTOS.items()),
            "license": "; ".join(f"{n}: {s[2]}" for n, s in PHOTOS.items()),
            "size": images.shape[1],
        },
    )


def find_photos() -> str | None:
    """Return the folder of the installed photographs, or None if one is missing."""
    folder = _package_folder()
    if folder is None or not all((folder / file).is_file() for file, _, _ in PHOTOS.values()):
        return None
    return str(folder)


def _package_folder() -> Path | None:
    """Return scikit-image's folder of data, without importing the package."""
    found = importlib.util.find_spec("skimage")
    return None if found is None or found.origin is None else Path(found.origin).parent / "data"
