"""Keep the score of each test image, compressed: without them, an interval cannot account for the choice of images.

One file RECIPE.PROFILE.npz in data/measured/per_image, one array of (N,) float16 for each decoding, metric and seed.
Half precision is plenty for a variance, and halves what a checkout weighs.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from labkit.artifacts import replacing
from labkit.errors import LabkitError
from labkit.experiments import measured

GRAY_MSE = "gray mse"  # the metric under which the gray baseline's MSE is kept, for skill
MEANS = (
    "mse",
    "mae",
    "psnr_mean",
    "ssim",
    "colorfulness",
    "accuracy",
    "leak",
)  # metrics that are means over the images
Key = tuple[str, str, int]  # decoding, metric, seed
Scores = dict[Key, NDArray[np.float64]]


def read(recipe: str, profile: str) -> Scores:
    """Return what was kept of a recipe and profile; empty where nothing was.

    Raises:
        LabkitError: for a damaged file.
    """
    folder = measured.folder()
    path = folder / "per_image" / f"{recipe}.{profile}.npz" if folder else None
    return read_file(path) if path and path.is_file() else {}


def read_file(path: Path) -> Scores:
    """Return the arrays of one file, as float64.

    Raises:
        LabkitError: for a damaged file.
    """
    try:
        with np.load(path) as arrays:
            return {_key(name): arrays[name].astype(np.float64) for name in arrays.files}
    except (OSError, ValueError, BadZipFile) as error:
        raise LabkitError(f"{path}: not a file of scores by image ({error}). Measure the recipe again") from None


def merge(path: Path, scores: Mapping[Key, NDArray[np.float64]]) -> None:
    """Put arrays into a file, each in the place of an older one with the same key; atomically."""
    kept = (read_file(path) if path.is_file() else {}) | dict(scores)
    arrays: dict[str, Any] = {"|".join(map(str, key)): kept[key].astype(np.float16) for key in kept}
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)


def _key(name: str) -> Key:
    decoding, metric, seed = name.split("|")
    return decoding, metric, int(seed)
