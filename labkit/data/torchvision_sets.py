"""CIFAR-10, STL-10 and Oxford Flowers through torchvision: downloaded once, checked each time, found again offline."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from labkit.data.dataset import Dataset, check_size, permutation
from labkit.errors import LabkitError

_SPLIT_SEED = 20_10  # of the fixed cut into train and validation; has nothing to do with the user's seed


def load_cifar10(root: Path, split: str) -> Dataset:
    """CIFAR-10 from ``root/cifar10/cifar-10-batches-py``; validation is a fixed tenth of the training images."""
    from torchvision.datasets import CIFAR10

    folder = root / "cifar10"
    files = [(f"{CIFAR10.base_folder}/{name}", md5) for name, md5 in CIFAR10.train_list + CIFAR10.test_list]
    files.append((f"{CIFAR10.base_folder}/{CIFAR10.meta['filename']}", CIFAR10.meta["md5"]))
    raw = _open("cifar10", folder, files, CIFAR10.url, lambda **kw: CIFAR10(str(folder), train=split != "test", **kw))
    images = torch.from_numpy(raw.data).permute(0, 3, 1, 2)
    keep = _part(split, len(images))
    return Dataset(
        images[keep].contiguous(),
        torch.tensor(raw.targets)[keep],
        tuple(raw.classes),
        "cifar10",
        split,
        {
            "source": CIFAR10.url,
            "license": "none stated; cite Krizhevsky 2009",
            "folder": f"cifar10/{CIFAR10.base_folder}",
        },
    )


def load_stl10(root: Path, split: str) -> Dataset:
    """STL-10's labeled images (96x96) from ``root/stl10/stl10_binary``; validation is a fixed tenth of training."""
    from torchvision.datasets import STL10

    class Labeled(STL10):  # without the 2.6 GB of unlabeled images, which would be read through at every check
        train_list = STL10.train_list[:2]

    folder = root / "stl10"
    files = [(f"{STL10.base_folder}/{name}", md5) for name, md5 in Labeled.train_list + Labeled.test_list]
    source = "test" if split == "test" else "train"
    raw = _open("stl10", folder, files, STL10.url, lambda **kw: Labeled(str(folder), split=source, **kw))
    keep = _part(split, len(raw.data))
    names = getattr(raw, "classes", None) or [str(n) for n in range(1, 11)]
    return Dataset(
        torch.from_numpy(np.ascontiguousarray(raw.data))[keep],
        torch.from_numpy(raw.labels.astype(np.int64))[keep],
        tuple(names),
        "stl10",
        split,
        {
            "source": STL10.url,
            "license": "none stated (from ImageNet); cite Coates, Lee, Ng 2011",
            "folder": f"stl10/{STL10.base_folder}",
        },
    )


def load_flowers102(root: Path, split: str, size: int | None) -> Dataset:
    """Oxford Flowers from ``root/flowers102/flowers-102``, its official splits, decoded once to ``size`` (128)."""
    from torchvision.datasets import Flowers102

    from labkit.data import cache_folder
    from labkit.data.pictures import read_all

    check_size(128 if size is None else size)
    folder = root / "flowers102"
    files = [(f"flowers-102/{name}", md5) for key, (name, md5) in Flowers102._file_dict.items() if key != "image"]
    official = {"train": "train", "validation": "val", "test": "test"}
    paths: list[Path] = []
    labels: list[int] = []
    for part in split.split("+"):
        raw = _open(
            "flowers102",
            folder,
            [*files, ("flowers-102/jpg", None)],
            Flowers102._download_url_prefix,
            # A loader that hands the path through: images are decoded by read_all, once, to the size asked for.
            lambda part=part, **kw: Flowers102(str(folder), split=official[part], loader=Path, **kw),
        )
        for index in range(len(raw)):
            path, label = raw[index]
            paths.append(path)
            labels.append(label)
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise LabkitError(f"flowers102: {missing[0]} is missing ({len(missing)} images are): {_remedy(folder)}")
    images = read_all(
        paths, [p.name for p in paths], 128 if size is None else size, cache_folder() / "images", "flowers102"
    )
    return Dataset(
        images,
        torch.tensor(labels, dtype=torch.int64),
        tuple(Flowers102.classes),
        "flowers102",
        split,
        {
            "source": Flowers102._download_url_prefix,
            "license": "none stated; cite Nilsback, Zisserman 2008",
            "folder": "flowers102/flowers-102",
            "size": images.shape[-1],
        },
    )


def present(name: str, root: Path) -> str | None:
    """The folder that holds a data set's files (by name only), or None."""
    needed = {
        "cifar10": ("cifar-10-batches-py", [*(f"data_batch_{n}" for n in range(1, 6)), "test_batch", "batches.meta"]),
        "stl10": ("stl10_binary", ["train_X.bin", "train_y.bin", "test_X.bin", "test_y.bin"]),
        "flowers102": ("flowers-102", ["jpg", "imagelabels.mat", "setid.mat"]),
    }
    folder, files = needed[name]
    place = root / name / folder
    return str(place) if all((place / file).exists() for file in files) else None


def _part(split: str, count: int) -> Tensor:
    """Indices of a split of the official training images (all for "test"), in stored order."""
    order = torch.from_numpy(permutation(count, _SPLIT_SEED))
    cut = count // 10
    if split == "train":
        return order[cut:].sort().values
    if split == "validation":
        return order[:cut].sort().values
    return torch.arange(count)


def _open(name: str, folder: Path, files: list[tuple[str, str | None]], url: str, make: Any) -> Any:
    """``make()``; if files are absent download them; if one is damaged say which."""
    absent = [file for file, _ in files if not (folder / file).exists()]
    if not absent:
        try:
            return make(download=False)
        except (RuntimeError, OSError, ValueError, EOFError) as error:
            damaged = _first_damaged(folder, files)
            what = f"{folder / damaged} is damaged or half-downloaded" if damaged else f"{folder}: {error}"
            raise LabkitError(f"{name}: {what}: {_remedy(folder)}") from None
    damaged = _first_damaged(folder, [(file, md5) for file, md5 in files if file not in absent])
    if damaged:
        raise LabkitError(f"{name}: {folder / damaged} is damaged or half-downloaded: {_remedy(folder)}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _patience(30), contextlib.redirect_stdout(sys.stderr):
            return make(download=True)
    except (RuntimeError, OSError, ValueError, EOFError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise LabkitError(
            f"{name} is not in {folder} ({files[0][0]} is missing) and cannot be downloaded from {url} ({reason}): "
            f"check the network, or put the unpacked files there, or set LABKIT_DATA (--data-root) to where they are"
        ) from None


def _first_damaged(folder: Path, files: list[tuple[str, str | None]]) -> str | None:
    from torchvision.datasets.utils import check_integrity

    for file, md5 in files:
        if md5 is not None and not check_integrity(os.fspath(folder / file), md5):
            return file
    return None


def _remedy(folder: Path) -> str:
    return f"delete {folder} and load again to download it anew"


@contextlib.contextmanager
def _patience(seconds: float) -> Iterator[None]:
    """Let a silent server fail after some seconds: torchvision's download would wait for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
