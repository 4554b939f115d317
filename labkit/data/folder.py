"""Anybody's own images: a folder, with subfolders as classes or a labels.csv."""

from __future__ import annotations

import csv
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from labkit.data.dataset import Dataset, check_size
from labkit.data.pictures import EXTENSIONS, read_all, read_size
from labkit.errors import LabkitError

_SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}
_FEW = 100  # below this many images, splits are cut by rank so that none is empty


@dataclass(frozen=True)
class _Entry:
    name: str  # path relative to the root, with forward slashes
    label: str
    split: str  # "" until decided


def load_folder(
    root: Path, split: str = "train", size: int | None = None, min_saturation: float | None = None
) -> Dataset:
    """All images under ``root`` as one data set.

    Classes: column ``label`` of ``root/labels.csv`` if there is one (``file,label,split``; then only the files that it
    lists count), else the first subfolder. Splits: the ``split`` column, or top folders named train / val / test when
    every image lies in one of these. If these name no validation images, a tenth of the training images is taken by
    the hash of their names. Without any: 80 / 10 / 10 by the hash of each image's name, which never moves an image
    when others are added; of under 100 images by the rank of that hash, so that three images fill three splits.

    Args:
        root: the folder; hidden files and files that are no images are skipped.
        split: "train", "validation", "test" or "train+validation".
        size: side in pixels (shorter side resized, center crop); None: the images' own size if all are the same
            square, else 128.
        min_saturation: leave out images whose mean HSV saturation (0..1, after resizing) is lower.

    Raises:
        LabkitError: no such folder, no image in it or in the split, an image that cannot be read, a bad labels.csv.
    """
    from labkit.data import cache_folder

    if not root.is_dir():
        raise LabkitError(f"{root} is no folder: give root= (--data-root) the folder that holds the images")
    entries = _read_labels(root) if (root / "labels.csv").is_file() else _scan(root)
    entries = _decide_splits(entries)
    class_names = tuple(sorted({entry.label for entry in entries}))
    if size is None:
        size = _common_size([root / entry.name for entry in entries])
    check_size(size)
    chosen = [entry for entry in entries if entry.split in split.split("+")]
    if not chosen:
        raise LabkitError(
            f"{root} has {len(entries)} images but none in split {split!r}: add images, or sort them into the "
            "subfolders train, val and test"
        )
    paths = [root / entry.name for entry in chosen]
    images = read_all(paths, [entry.name for entry in chosen], size, cache_folder() / "images", root.name)
    data = Dataset(
        images=images,
        labels=torch.tensor([class_names.index(entry.label) for entry in chosen]),
        class_names=class_names,
        name="folder",
        split=split,
        provenance={
            "source": f"folder {root.resolve().name}",  # the name only: a full path would tell who and where
            "license": "the owner's",
            "size": size,
            "min_saturation": min_saturation,
        },
    )
    return data if min_saturation is None else _saturated(data, min_saturation, root)


def holds_images(root: Path) -> bool:
    """Whether the folder exists and holds at least one image, at any depth."""
    return root.is_dir() and any(True for _ in _walk(root))


def listing(root: Path) -> str:
    """Ten hexadecimal digits that tell two folders of images apart without opening an image: SHA-256 over the names and
    sizes of the images and over labels.csv. No such folder: as an empty one."""
    lines = [f"{name} {(root / name).stat().st_size}" for name in _walk(root) if (root / name).is_file()]
    labels = root / "labels.csv"
    content = "\n".join(lines).encode() + (labels.read_bytes() if labels.is_file() else b"")
    return hashlib.sha256(content).hexdigest()[:10]


def _walk(root: Path) -> Iterator[str]:
    """The images' names relative to root, with forward slashes, in a fixed order."""
    for folder, subfolders, files in os.walk(root):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith((".", "__MACOSX")))
        for file in sorted(files):
            if not file.startswith(".") and Path(file).suffix.lower() in EXTENSIONS:
                yield (Path(folder) / file).relative_to(root).as_posix()


def _scan(root: Path) -> list[_Entry]:
    names = list(_walk(root))
    if not names:
        raise LabkitError(f"{root} holds no images (png, jpg, webp, bmp, tiff, ...): give a folder that does")
    by_folder = all("/" in name and name.split("/")[0].lower() in _SPLIT_NAMES for name in names)
    entries = []
    for name in names:
        folders = name.split("/")[:-1]
        split = _SPLIT_NAMES[folders.pop(0).lower()] if by_folder else ""
        entries.append(_Entry(name, folders[0] if folders else "images", split))
    return entries


def _read_labels(root: Path) -> list[_Entry]:
    table = root / "labels.csv"
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise LabkitError(f"{table} cannot be read as CSV ({error}): save it as UTF-8 text") from None
    if not rows or "file" not in rows[0]:
        raise LabkitError(f"{table} needs a header line file,label,split and one line per image")
    entries = []
    for number, row in enumerate(rows, start=2):
        name, label, split = ((row.get(column) or "").strip() for column in ("file", "label", "split"))
        name = Path(name).as_posix() if name else ""  # ./a.png is a.png, and must not count twice
        if not (root / name).is_file():
            raise LabkitError(f"{table} line {number} names {name!r}, which is not in {root}: mend or remove the line")
        if split and split.lower() not in _SPLIT_NAMES:
            raise LabkitError(f"{table} line {number}: split {split!r} is none of train, validation, test")
        entries.append(_Entry(name, label or "images", _SPLIT_NAMES.get(split.lower(), "")))
    if len({entry.name for entry in entries}) < len(entries):
        raise LabkitError(f"{table} lists a file twice: keep one line per image")
    return entries


def _decide_splits(entries: list[_Entry]) -> list[_Entry]:
    """Fill in the splits that the folder does not name."""
    undecided = [entry for entry in entries if not entry.split]
    decided = [entry for entry in entries if entry.split]
    if undecided:
        decided += _cut(undecided, ("test", 0.1), ("validation", 0.1))
    elif not any(entry.split == "validation" for entry in entries):
        training = [entry for entry in decided if entry.split == "train"]
        decided = [entry for entry in decided if entry.split != "train"] + _cut(training, ("validation", 0.1))
    return sorted(decided, key=lambda entry: entry.name)


def _cut(entries: list[_Entry], *parts: tuple[str, float]) -> list[_Entry]:
    """Give each part its share by the hash of the name; the rest is "train"."""
    ordered = sorted(entries, key=lambda entry: _hash(entry.name))
    result = []
    for rank, entry in enumerate(ordered):
        position = _hash(entry.name)
        if len(ordered) < _FEW:  # at least one image for each part, as long as one is left to train on
            count = max(1, round(len(ordered) * parts[0][1])) if len(ordered) > len(parts) else 0
            position = (rank // count) * parts[0][1] if count else 1.0
        split, edge = "train", 0.0
        for name, share in parts:
            edge += share
            if position < edge - 1e-9:
                split = name
                break
        result.append(replace(entry, split=split))
    return result


def _hash(name: str) -> float:
    """A number in 0..1 that depends on the name alone, on every machine."""
    return int.from_bytes(hashlib.sha256(os.fsencode(name)).digest()[:7], "big") / 2**56


def _common_size(paths: list[Path]) -> int:
    sizes = {read_size(path) for path in paths}
    width, height = next(iter(sizes))
    return width if len(sizes) == 1 and width == height else 128


def _saturated(data: Dataset, minimum: float, root: Path) -> Dataset:
    if not 0 <= minimum <= 1:
        raise LabkitError(f"min_saturation={minimum} is out of range: give 0 to 1, for example 0.08")
    kept = []
    for start in range(0, len(data), 256):
        rgb = data.images[start : start + 256].float()
        high, low = rgb.amax(dim=1), rgb.amin(dim=1)
        kept.append(((high - low) / high.clamp_min(1)).mean(dim=(1, 2)) >= minimum)
    keep = torch.cat(kept)
    if not keep.any():
        raise LabkitError(f"{root} has no image of mean saturation {minimum} or more: lower min_saturation")
    return data.select(keep)
