"""CIFAR-10, STL-10 and Oxford Flowers through torchvision: downloaded once, checked each time, found again offline."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from labkit.data.dataset import Dataset, check_size, permutation
from labkit.errors import LabkitError, one_line

PATIENCE = 30.0  # seconds that a server may be silent
_SPLIT_SEED = 20_10  # of the fixed cut into train and validation; has nothing to do with the user's seed
_DISK_FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))  # the second: a quota; not on Windows


def load_cifar10(root: Path, split: str) -> Dataset:
    """Load CIFAR-10 from ``root/cifar10/cifar-10-batches-py``; validation is a fixed tenth of the training images."""
    from torchvision.datasets import CIFAR10

    folder = root / "cifar10"
    files = [(f"{CIFAR10.base_folder}/{name}", md5) for name, md5 in CIFAR10.train_list + CIFAR10.test_list]
    files.append((f"{CIFAR10.base_folder}/{CIFAR10.meta['filename']}", CIFAR10.meta["md5"]))
    raw = open_files(
        "cifar10", folder, files, CIFAR10.url, lambda place, **kw: CIFAR10(place, train=split != "test", **kw)
    )
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
    """Load STL-10's labeled images from ``root/stl10/stl10_binary``; validation is a fixed tenth of training."""
    from torchvision.datasets import STL10

    class Labeled(STL10):  # without the 2.6 GB of unlabeled images, which would be read through at every check
        train_list = STL10.train_list[:2]

    folder = root / "stl10"
    files = [(f"{STL10.base_folder}/{name}", md5) for name, md5 in Labeled.train_list + Labeled.test_list]
    source = "test" if split == "test" else "train"
    raw = open_files("stl10", folder, files, STL10.url, lambda place, **kw: Labeled(place, split=source, **kw))
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
    """Load Oxford Flowers from ``root/flowers102/flowers-102``, its official splits, decoded once to ``size`` (128)."""
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
        raw = open_files(
            "flowers102",
            folder,
            [*files, ("flowers-102/jpg", None)],
            Flowers102._download_url_prefix,
            # A loader that hands the path through: images are decoded by read_all, once, to the size asked for.
            lambda place, part=part, **kw: Flowers102(place, split=official[part], loader=Path, **kw),
        )
        for index in range(len(raw)):
            path, label = raw[index]
            paths.append(path)
            labels.append(label)
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise LabkitError(f"flowers102: {missing[0]} is missing ({len(missing)} images are): {remedy(folder)}")
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
    """Return the folder that holds a data set's files (by name only), or None."""
    needed = {
        "cifar10": ("cifar-10-batches-py", [*(f"data_batch_{n}" for n in range(1, 6)), "test_batch", "batches.meta"]),
        "stl10": ("stl10_binary", ["train_X.bin", "train_y.bin", "test_X.bin", "test_y.bin"]),
        "flowers102": ("flowers-102", ["jpg", "imagelabels.mat", "setid.mat"]),
    }
    folder, files = needed[name]
    place = root / name / folder
    return str(place) if all((place / file).exists() for file in files) else None


def _part(split: str, count: int) -> Tensor:
    """Return the indices of a split of the official training images (all for "test"), in stored order."""
    order = torch.from_numpy(permutation(count, _SPLIT_SEED))
    cut = count // 10
    if split == "train":
        return order[cut:].sort().values
    if split == "validation":
        return order[:cut].sort().values
    return torch.arange(count)


def open_files(name: str, folder: Path, files: list[tuple[str, str | None]], url: str, make: Any) -> Any:
    """Open a data set; if files are absent download them.

    Args:
        name: the data set's name.
        folder: where its files are, or are to be.
        files: what must be there, with checksums (None: not checked).
        url: where it comes from, for the message.
        make: torchvision's class, given ``(folder, download=...)``.

    Raises:
        LabkitError: a file is damaged, or cannot be downloaded.
    """
    absent = [file for file, _ in files if not (folder / file).exists()]
    if absent:
        if damaged := _first_damaged(folder, [(file, md5) for file, md5 in files if file not in absent]):
            raise LabkitError(f"{name}: {folder / damaged} is damaged or half-downloaded: {remedy(folder)}")
        _download(name, folder, absent[0], url, make)
    try:
        return make(str(folder), download=False)
    except Exception as error:  # whatever a pickle, a .mat file or a tar archive may fail with
        damaged = _first_damaged(folder, files)
        what = f"{folder / damaged} is damaged or half-downloaded" if damaged else f"{folder}: {one_line(error)}"
        raise LabkitError(f"{name}: {what}: {remedy(folder)}") from None


def _download(name: str, folder: Path, absent: str, url: str, make: Any) -> None:
    """Download a data set into a temporary folder, and move its files into ``folder`` when all are there and whole.

    Raises:
        LabkitError: for every way in which a download can fail. Proxies that answer nonsense, archives that are none
            and checksums that differ have no exception in common: http.client alone has a dozen.
    """
    temporary = folder.with_name(f".{name}.{secrets.token_hex(4)}.tmp")
    elsewhere = f"put the unpacked files into {folder}, or set LABKIT_DATA (--data-root) to where they are"
    try:
        temporary.mkdir(parents=True)
        for path in [*folder.glob("*"), *folder.glob("*/*")]:
            if path.is_file():  # an archive that somebody has put there need not be downloaded again
                (temporary / path.relative_to(folder)).parent.mkdir(exist_ok=True)
                shutil.copyfile(path, temporary / path.relative_to(folder))
        with _patience(PATIENCE), contextlib.redirect_stdout(sys.stderr):
            make(str(temporary), download=True)
        for path in sorted(temporary.rglob("*")):
            if path.is_file():
                target = folder / path.relative_to(temporary)
                target.parent.mkdir(parents=True, exist_ok=True)
                os.replace(path, target)
    except Exception as error:
        wrong = f"{name} is not in {folder} ({absent} is missing) and cannot be downloaded from {url}"
        if isinstance(error, MemoryError) or getattr(error, "errno", None) in _DISK_FULL:
            raise LabkitError(f"{wrong} ({one_line(error)}): make room, or {elsewhere}") from None
        if isinstance(error, (PermissionError, FileExistsError, NotADirectoryError)):
            raise LabkitError(f"{wrong} ({one_line(error)}): {elsewhere}") from None
        raise LabkitError(f"{wrong} ({_reason(error)}): check the network and its proxy, or {elsewhere}") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _reason(error: Exception) -> str:
    """Return one short line on a failed download. What a server has sent may be long, and no text."""
    if isinstance(error, RuntimeError) and "corrupted" in str(error):  # torchvision's word for a wrong checksum
        return "what came is not the data set: its checksum differs"
    text = one_line(error)
    kind = type(error).__name__
    text = text if kind in text or isinstance(error, OSError) else f"{kind}: {text}"
    return "".join(c if c.isprintable() else "?" for c in text)[:200]


def _first_damaged(folder: Path, files: list[tuple[str, str | None]]) -> str | None:
    """Return the first file whose checksum differs."""
    from torchvision.datasets.utils import check_integrity

    for file, md5 in files:
        if md5 is not None and not check_integrity(os.fspath(folder / file), md5):
            return file
    return None


def remedy(folder: Path) -> str:
    """Return what to do about a damaged file."""
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
