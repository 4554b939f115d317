"""Data sets as uint8 tensors: ``load("toyworld")``, ``load("cifar10", "test", classes="horse")``, ...

``toyworld`` (painted by labkit) and ``photos`` (five photographs of the scikit-image package) need no download;
``cifar10``, ``stl10`` and ``flowers102`` come through torchvision; ``folder`` is anybody's own images.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, overload

from labkit.data.dataset import SPLITS, Dataset, check_size, merge
from labkit.errors import LabkitError, check_integer, check_number

__all__ = ["DATASETS", "SPLITS", "Dataset", "DatasetInfo", "Splits", "data_root", "find", "load", "merge"]


@dataclass(frozen=True)
class DatasetInfo:
    """One row of DATASETS: what it is, its download size and its license."""

    line: str
    size: str
    license: str


DATASETS = {
    "toyworld": DatasetInfo(
        "painted 32x32 scenes whose color given gray has a known distribution; 8,000 / 1,000 / 1,000",
        "made in seconds",
        "MIT, as labkit",
    ),
    "photos": DatasetInfo(
        "five photographs of the scikit-image package, to look at and to score; test only",
        "installed",
        "public domain, CC0; motorcycle: Middlebury 2014 stereo benchmark",
    ),
    "cifar10": DatasetInfo(
        "60,000 photographs of 32x32, 10 classes; 45,000 / 5,000 / 10,000",
        "170 MB",
        "none stated; cite Krizhevsky 2009",
    ),
    "stl10": DatasetInfo(
        "13,000 labeled photographs of 96x96, 10 classes; 4,500 / 500 / 8,000",
        "2.6 GB",
        "none stated (from ImageNet); cite Coates, Lee, Ng 2011",
    ),
    "flowers102": DatasetInfo(
        "8,189 flower photographs, 102 classes; 1,020 / 1,020 / 6,149; decoded to 128x128",
        "345 MB",
        "none stated; cite Nilsback, Zisserman 2008",
    ),
    "folder": DatasetInfo("your own images: root is the folder; subfolders are classes", "yours", "yours"),
}


class Splits:
    """The splits of a data set, each loaded when it is first asked for.

    Attributes:
        name: the data set's name.
    """

    def __init__(self, name: str, **choices: Any) -> None:
        """Keep the name and the choices of `load`; nothing is loaded yet."""
        self.name = name
        self._choices = choices

    @cached_property
    def train(self) -> Dataset:
        """Images to train on."""
        return load(self.name, "train", **self._choices)

    @cached_property
    def validation(self) -> Dataset:
        """Images to make choices by."""
        return load(self.name, "validation", **self._choices)

    @cached_property
    def test(self) -> Dataset:
        """Images for the final score."""
        return load(self.name, "test", **self._choices)

    def __repr__(self) -> str:
        """Return the name, what was chosen, and what there is."""
        choices = "".join(f", {key}={value!r}" for key, value in self._choices.items() if value not in (None, 0))
        return f"<data set {self.name}{choices}: .train, .validation, .test>"


@overload
def load(name: str, split: None = None, **choices: Any) -> Splits: ...
@overload
def load(name: str, split: str, **choices: Any) -> Dataset: ...
def load(  # type: ignore[misc]  # the overloads say only what the split decides, not the choices once more
    name: str,
    split: str | None = None,
    *,
    size: int | None = None,
    classes: str | Sequence[str] | None = None,
    limit: int | None = None,
    seed: int = 0,
    root: str | os.PathLike[str] | None = None,
    min_saturation: float | None = None,
) -> Dataset | Splits:
    """Load a data set as uint8 ``(N, 3, H, W)``, with labels and provenance.

    Args:
        name: a key of DATASETS.
        split: "train", "validation", "test" or "train+validation"; None for an object with the first three as
            attributes, each loaded when it is first asked for. The three never share an image, and do not
            depend on ``seed`` (except toyworld, which paints other scenes for another seed, and shares none).
        size: side in pixels of the square images; None keeps the data set's own (photos 256, flowers102 128, folder:
            its images' own if they are all the same square, else 128).
        classes: keep these classes only: names, or one string with commas. Labels keep their numbers.
        limit: keep the first so many, 1 or more, of a shuffle by ``seed`` that does not look at labels. It only cuts: a
            limit above the number of images changes nothing (for more scenes: ``toyworld.generate``).
        seed: of the shuffle that ``limit`` cuts, and of toyworld's scenes.
        root: where data sets are kept (see :func:`data_root`); for "folder", the folder of images itself.
        min_saturation: for "folder" only: leave out images whose mean HSV saturation (0..1) is lower, for example
            20 / 255, to train without gray and washed-out photographs.

    Returns: a `Dataset`, or without ``split`` a `Splits`.

    Raises:
        LabkitError: unknown name, split or class; data absent, damaged or not to be downloaded; bad size or limit.
    """
    if name not in DATASETS:
        raise LabkitError(f"unknown data set {name!r}: choose among {', '.join(DATASETS)}")
    if split is not None and split not in SPLITS:
        raise LabkitError(f"unknown split {split!r}: choose among {', '.join(SPLITS)}")
    if min_saturation is not None:
        check_number("min_saturation", min_saturation, low=0, high=1)
        if name != "folder":
            raise LabkitError(f"min_saturation is for the data set 'folder', not for {name!r}: leave it out")
    size = None if size is None else check_size(size)
    limit = None if limit is None else check_integer("limit", limit, low=1)
    seed = check_integer("seed", seed, low=0)
    if split is None:
        return Splits(
            name, size=size, classes=classes, limit=limit, seed=seed, root=root, min_saturation=min_saturation
        )
    if name == "toyworld":
        from labkit.data.toyworld import load_toyworld

        return load_toyworld(split, size, classes, limit, seed)

    from labkit.data.dataset import cut, resize

    if name == "photos":
        from labkit.data.photos import load_photos

        return cut(load_photos(split, size), classes, limit, seed)
    if name == "folder":
        from labkit.data.folder import load_folder

        return cut(load_folder(_folder_root(root), split, size, min_saturation), classes, limit, seed)

    from labkit.data import torchvision_sets

    if name == "flowers102":
        return cut(torchvision_sets.load_flowers102(data_root(root), split, size), classes, limit, seed)
    loader = {"cifar10": torchvision_sets.load_cifar10, "stl10": torchvision_sets.load_stl10}[name]
    data = cut(loader(data_root(root), split), classes, limit, seed)  # cut first: resizing is the slow part
    return data.map_tensors(lambda tensor: resize(tensor, size) if tensor.ndim == 4 else tensor)


def find(name: str, root: str | os.PathLike[str] | None = None) -> str | None:
    """Return where a data set is on this machine, None if it is not there.

    Nothing is downloaded or checked.

    Raises:
        LabkitError: unknown name.
    """
    if name not in DATASETS:
        raise LabkitError(f"unknown data set {name!r}: choose among {', '.join(DATASETS)}")
    if name == "toyworld":
        return "made by labkit when asked for"
    if name == "photos":
        from labkit.data.photos import find_photos

        return find_photos()
    if name == "folder":
        from labkit.data.folder import holds_images

        given = root if root is not None else os.environ.get("LABKIT_DATA")
        return str(given) if given and holds_images(_folder_root(given)) else None
    from labkit.data.torchvision_sets import present

    return present(name, data_root(root))


def data_root(root: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder under which data sets are kept; it need not exist yet, for downloads make it.

    It is ``root``, else LABKIT_DATA, else ./data of a checkout, else in the user's cache.
    """
    chosen = root if root is not None else os.environ.get("LABKIT_DATA")
    if chosen:
        return Path(os.path.expanduser(chosen))
    checkout = Path(__file__).resolve().parents[2]
    if (checkout / "pyproject.toml").is_file() and (checkout / "notebooks").is_dir():
        return checkout / "data"
    return cache_folder() / "data"


def cache_folder() -> Path:
    """Return labkit's folder in the user's cache (platformdirs would do the same, as one more dependency)."""
    if os.environ.get("XDG_CACHE_HOME"):
        return Path(os.environ["XDG_CACHE_HOME"]) / "labkit"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "labkit" / "Cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "labkit"
    return Path.home() / ".cache" / "labkit"


def _folder_root(root: str | os.PathLike[str] | None) -> Path:
    """Return the folder of the user's own images.

    Raises:
        LabkitError: nobody says which it is.
    """
    given = root if root is not None else os.environ.get("LABKIT_DATA")
    if not given:
        raise LabkitError(
            "the data set 'folder' needs to know which folder: give root= (--data-root DIR) or set LABKIT_DATA"
        )
    return Path(os.path.expanduser(given))  # unlike Path.expanduser, leaves the ~ of an unknown user as it is
