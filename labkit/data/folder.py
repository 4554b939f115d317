"""Anybody's own images: a folder, with subfolders as classes or a labels.csv."""

from __future__ import annotations

import csv
import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from labkit.data.dataset import Dataset, check_size
from labkit.data.pictures import EXTENSIONS, read_all, read_size
from labkit.errors import LabkitError, check_number, one_line

_SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}
_SPLIT_WORDS = re.compile(r"(?<![a-z])(" + "|".join(_SPLIT_NAMES) + r")(?![a-z])")
# Folders that programs make for themselves: an archiver, a network drive, Windows.
_NOT_THE_USERS = ("__MACOSX", "@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", "lost+found")
_FEW = 100  # below this many images, splits are cut by rank so that none is empty

# Photographs that would be left out in silence: what phones and cameras write, and Pillow does not read by itself.
UNREADABLE = frozenset([".heic", ".heif", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2"])


@dataclass(frozen=True)
class _Entry:
    """One image."""

    name: str  # path relative to the root, with forward slashes
    label: str
    split: str  # "" until decided


def load_folder(
    root: Path, split: str = "train", size: int | None = None, min_saturation: float | None = None
) -> Dataset:
    """Load all images under ``root`` as one data set.

    Classes: column ``label`` of ``root/labels.csv`` if there is one (``file,label,split``; then only the files that it
    lists count), else the first subfolder. Splits: the ``split`` column, or top folders named train / val / test when
    every image lies in one of these. If these name no validation images, a tenth of the training images is taken by
    the hash of their names. Without any: 80 / 10 / 10 by the hash of each image's name, which never moves an image
    when others are added; of under 100 images by the rank of that hash, so that three images fill three splits.

    A layout that is almost one of these is refused: read as another one, it would make training images of test images,
    or class names of splits.

    Args:
        root: the folder; links are followed, hidden files and files that are no images are skipped.
        split: "train", "validation", "test" or "train+validation".
        size: side in pixels (shorter side resized, center crop); None: the images' own size if all are the same
            square, else 128.
        min_saturation: leave out images whose mean HSV saturation (0..1, after resizing) is lower.

    Returns:
        A Dataset; images are uint8 ``(N, 3, size, size)``.

    Raises:
        LabkitError: no such folder, no image in it or in the split, an image that cannot be read, a layout that can be
            read in two ways, a bad labels.csv.
    """
    from labkit.data import cache_folder

    if min_saturation is not None:
        check_number("min_saturation", min_saturation, low=0, high=1)
    if size is not None:
        check_size(size)
    if not root.is_dir():
        raise LabkitError(f"{root} is no folder: give root= (--data-root) the folder that holds the images")
    entries = _read_labels(root) if (root / "labels.csv").is_file() else _scan(root)
    entries = _decide_splits(entries)
    class_names = tuple(sorted({entry.label for entry in entries}))
    if size is None:
        size = _common_size([root / entry.name for entry in entries])
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
    """Return whether the folder exists and holds at least one image, at any depth."""
    return root.is_dir() and any(True for _ in _walk(root))


def listing(root: Path) -> str:
    """Return ten hexadecimal digits that tell two folders of images apart without opening an image.

    They are of the SHA-256 over the names and sizes of the images and over labels.csv. No such folder: as an empty one.
    """
    lines = [f"{name} {(root / name).stat().st_size}" for name in _walk(root) if (root / name).is_file()]
    labels = root / "labels.csv"
    content = os.fsencode("\n".join(lines)) + (labels.read_bytes() if labels.is_file() else b"")
    return hashlib.sha256(content).hexdigest()[:10]


def _walk(root: Path) -> Iterator[str]:
    """Yield the images' names relative to root, with forward slashes, in a fixed order.

    Links to folders are followed, but not back into a folder that one is in (os.walk would go round for ever).

    Raises:
        LabkitError: a folder that cannot be read, whose images would be left out in silence; or one that is there
            twice, whose images could be in two splits; or a photograph in a format that cannot be read.
    """
    seen: dict[str, Path] = {}

    def walk(folder: Path, parents: tuple[str, ...]) -> Iterator[str]:
        here = os.path.realpath(folder)
        if here in parents:
            return
        if (other := seen.setdefault(here, folder)) != folder:
            raise LabkitError(f"{other} and {folder} are one folder: remove one of the links to it")
        try:
            names = sorted(os.listdir(folder))
        except OSError as error:
            raise LabkitError(f"{folder} cannot be read ({error.strerror}): allow it, or move it away") from None
        paths = [folder / name for name in names if not name.startswith(".") and name not in _NOT_THE_USERS]
        folders = [path for path in paths if os.path.isdir(path)]
        for path in paths:
            if path.suffix.lower() in UNREADABLE and path not in folders:
                raise LabkitError(f"{path} is a photograph in a format that cannot be read: save it as JPEG or PNG")
            if path.suffix.lower() in EXTENSIONS and path not in folders:
                yield path.relative_to(root).as_posix()
        for path in folders:
            yield from walk(path, (*parents, here))

    if os.path.isdir(root):
        yield from walk(root, ())


def _scan(root: Path) -> list[_Entry]:
    """Find the images, their classes and, where the folders name them, their splits."""
    names = list(_walk(root))
    if not names:
        raise LabkitError(f"{root} holds no images (png, jpg, webp, bmp, tiff, ...): give a folder that does")
    _refuse_a_likely_table(root)
    by_folder = all(_split_of(name) for name in names)
    _refuse_mixed_layouts(root, names, by_folder)
    entries = []
    for name in names:
        folders = name.split("/")[:-1]
        split = _SPLIT_NAMES[folders.pop(0).lower()] if by_folder else ""
        entries.append(_Entry(name, folders[0] if folders else "images", split))
    return entries


def _split_of(name: str, level: int = 0) -> str | None:
    """Return the split that a folder on the way to an image is named after."""
    folders = name.split("/")[:-1]
    return _SPLIT_NAMES.get(folders[level].lower()) if len(folders) > level else None


def _refuse_mixed_layouts(root: Path, names: list[str], by_folder: bool) -> None:
    """Refuse a folder that is almost one of the layouts, naming the image that does not fit.

    Raises:
        LabkitError: images beside folders of splits or of classes, folders that are only almost named after splits, or
            splits inside of classes.
    """
    stray = next((name for name in names if not _split_of(name)), None)
    splits = sorted({name.split("/")[0] for name in names if _split_of(name)})
    if splits and stray:
        raise LabkitError(
            f"{root} has the split folders {', '.join(splits)}, but {stray!r} lies outside of them: move it into one, "
            "or away; if these are classes, rename them or list all images in labels.csv"
        )
    tops = sorted({name.split("/")[0] for name in names if "/" in name})
    meant = {top: found[1] for top in tops if (found := _SPLIT_WORDS.search(top.lower()))}
    if not by_folder and len({_SPLIT_NAMES[word] for word in meant.values()}) > 1:
        renames = ", ".join(f"{top!r} to {word}" for top, word in meant.items())
        raise LabkitError(f"{root} has folders that are almost named after splits: rename {renames}")
    inner = sorted({"/".join(name.split("/")[:2]) for name in names if _split_of(name, level=1)})
    if len({_split_of(f"{folder}/x", level=1) for folder in inner}) > 1:
        remedy = f"give {root / tops[0]}" if len(tops) == 1 else "put train, val and test at the top"
        raise LabkitError(f"{root} has splits inside of other folders ({inner[0]}): {remedy}")
    for part in splits or [""]:
        inside = [name.removeprefix(f"{part}/") for name in names if name.startswith(f"{part}/" if part else "")]
        loose = [name for name in inside if "/" not in name]
        if loose and len(loose) < len(inside):
            place = root / part
            classed = next(name for name in inside if "/" in name).split("/")[0]
            raise LabkitError(
                f"{place} has class folders ({classed}, ...), but {loose[0]!r} lies beside them: move it into one of "
                "them, or away"
            )


def _refuse_a_likely_table(root: Path) -> None:
    """Refuse Labels.csv, label.csv and labels.tsv: whoever made one does not want his labels left out.

    Raises:
        LabkitError: there is one.
    """
    for path in sorted(root.iterdir()):
        if re.fullmatch(r"labels?(\.csv)?\.(csv|tsv)", path.name.lower()):
            raise LabkitError(f"{path} is not read: save it as labels.csv (commas, UTF-8), or move it away")


def _read_labels(root: Path) -> list[_Entry]:
    """Read labels.csv.

    Raises:
        LabkitError: naming the line that cannot be used.
    """
    table = root / "labels.csv"
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            reader.fieldnames = [column.strip().lower() for column in reader.fieldnames or ()]
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise LabkitError(f"{table} cannot be read as CSV ({one_line(error)}): save it as UTF-8 text") from None
    if not rows or "file" not in rows[0]:
        raise LabkitError(f"{table} needs a header line file,label,split (with commas) and one line per image")
    entries = []
    for number, row in enumerate(rows, start=2):
        name, label, split = ((row.get(column) or "").strip() for column in ("file", "label", "split"))
        name = Path(name).as_posix() if name else ""  # ./a.png is a.png, and must not count twice
        if not os.path.isfile(root / name):  # unlike Path.is_file, never raises
            raise LabkitError(f"{table} line {number} names {name!r}, which is not in {root}: mend or remove the line")
        if split and split.lower() not in _SPLIT_NAMES:
            raise LabkitError(f"{table} line {number}: split {split!r} is none of train, validation, test")
        entries.append(_Entry(name, label or "images", _SPLIT_NAMES.get(split.lower(), "")))
    if len({entry.name for entry in entries}) < len(entries):
        raise LabkitError(f"{table} lists a file twice: keep one line per image")
    blank = [entry.name for entry in entries if not entry.split]
    if blank and len(blank) < len(entries):
        raise LabkitError(f"{table} gives {blank[0]!r} no split, but others one: fill in every line, or none")
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
    """Give each part its fraction by the hash of the name; the rest is "train"."""
    ordered = sorted(entries, key=lambda entry: _hash(entry.name))
    result = []
    for rank, entry in enumerate(ordered):
        position = _hash(entry.name)
        if len(ordered) < _FEW:  # at least one image for each part, as long as one is left to train on
            count = max(1, round(len(ordered) * parts[0][1])) if len(ordered) > len(parts) else 0
            position = (rank // count) * parts[0][1] if count else 1.0
        split, edge = "train", 0.0
        for name, fraction in parts:
            edge += fraction
            if position < edge - 1e-9:
                split = name
                break
        result.append(replace(entry, split=split))
    return result


def _hash(name: str) -> float:
    """Return a number in 0..1 that depends on the name alone, on every machine."""
    return int.from_bytes(hashlib.sha256(os.fsencode(name)).digest()[:7], "big") / 2**56


def _common_size(paths: list[Path]) -> int:
    """Return the side of the images if all are squares of one size, else 128."""
    sizes = {read_size(path) for path in paths}
    width, height = next(iter(sizes))
    return width if len(sizes) == 1 and width == height else 128


def _saturated(data: Dataset, minimum: float, root: Path) -> Dataset:
    """Keep the images of at least this mean HSV saturation."""
    kept = []
    for start in range(0, len(data), 256):
        rgb = data.images[start : start + 256].float()
        high, low = rgb.amax(dim=1), rgb.amin(dim=1)
        kept.append(((high - low) / high.clamp_min(1)).mean(dim=(1, 2)) >= minimum)
    keep = torch.cat(kept)
    if not keep.any():
        raise LabkitError(f"{root} has no image of mean saturation {minimum} or more: lower min_saturation")
    return data.select(keep)
