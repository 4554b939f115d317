"""Tiny ImageNet: 200 kinds of things in photographs of 64x64; the whole set, or a part of it in the same layout.

torchvision does not know it, so its archive and layout are told to torchvision's own tools here::

    tiny-imagenet/tiny-imagenet-200/
      wnids.txt  words.txt                             the kinds by their WordNet number, and in words
      train/WNID/images/WNID_N.JPEG                    500 of each kind
      val/images/val_N.JPEG  val/val_annotations.txt   50 of each kind
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch

from labkit.data.dataset import Dataset, check_size
from labkit.data.pictures import read_all
from labkit.data.torchvision_sets import open_files, remedy
from labkit.errors import LabkitError

URL = "http://cs231n.stanford.edu/tiny-imagenet-200.zip"
ARCHIVE_MD5 = "90528d7ca1a48142e341f4ef8d21d0de"
BASE = "tiny-imagenet-200"
FILES: tuple[tuple[str, str | None], ...] = (
    (f"{BASE}/wnids.txt", "6c81990e2d7ae3bd3c88dceb97b46342"),
    (f"{BASE}/words.txt", "56b81e64546942b54a5946f584dba635"),
    (f"{BASE}/val/val_annotations.txt", None),  # another one where only a part of the set is there
    (f"{BASE}/train", None),
)
SIZE = 64
VALIDATION = 0.1  # fraction of the official training images
LICENSE = "ImageNet's terms: research and education; cite Deng et al. 2009, and Le and Yang 2015"


def load_tiny_imagenet(root: Path, split: str, size: int | None) -> Dataset:
    """Load Tiny ImageNet from ``root/tiny-imagenet/tiny-imagenet-200``, decoded once.

    The official validation images are the test split, for those called test come without labels. Each official training
    image belongs to train or validation by a hash of its own name, so it is on the same side in any part of the set.

    Args:
        root: the folder under which data sets are kept.
        split: "train", "validation", "test" or "train+validation".
        size: side in pixels; None: 64.

    Raises:
        LabkitError: the files are absent and cannot be downloaded, or damaged, or images are missing.
    """
    from labkit.data import cache_folder

    size = check_size(SIZE if size is None else size)
    folder = root / "tiny-imagenet"
    open_files("tiny-imagenet", folder, list(FILES), URL, _open)
    wnids, names = _kinds(folder)
    listed = _test_images(folder) if split == "test" else _training_images(folder, wnids)
    missing = [name for name, _ in listed if not (folder / BASE / name).is_file()]
    if missing or not listed:
        what = f"{missing[0]} is missing ({len(missing)} images are)" if missing else f"no images for split {split!r}"
        raise LabkitError(f"tiny-imagenet: {folder / BASE}: {what}: {remedy(folder)}")
    images = read_all(
        [folder / BASE / name for name, _ in listed],
        [name for name, _ in listed],
        size,
        cache_folder() / "images",
        "tiny-imagenet",
    )
    index = {wnid: number for number, wnid in enumerate(wnids)}
    labels = torch.tensor([index[wnid] for _, wnid in listed])
    held_out = sum(_is_validation(name) for name, _ in listed)
    # The validation images stand first in one decoded file, so that every split is a slice of it and none is a copy.
    kept = {"train": slice(held_out, None), "validation": slice(held_out)}.get(split, slice(None))
    return Dataset(
        images[kept],
        labels[kept],
        names,
        "tiny-imagenet",
        split,
        {"source": URL, "license": LICENSE, "folder": f"tiny-imagenet/{BASE}", "size": size},
    )


def _open(place: str, download: bool) -> None:
    """Download and unpack the archive with torchvision's tools, or check that the lists are whole.

    Raises:
        RuntimeError: a list differs from the official one.
    """
    from torchvision.datasets.utils import check_integrity, download_and_extract_archive

    if download:
        download_and_extract_archive(URL, place, md5=ARCHIVE_MD5, remove_finished=True)
    for name, md5 in FILES:
        if md5 is not None and not check_integrity(str(Path(place) / name), md5):
            raise RuntimeError(f"{name} is corrupted")


def _kinds(folder: Path) -> tuple[list[str], tuple[str, ...]]:
    """Return the WordNet numbers and the first word for each, which has no comma: a list of classes has."""
    wnids = (folder / BASE / "wnids.txt").read_text(encoding="utf-8").split()
    lines = (folder / BASE / "words.txt").read_text(encoding="utf-8").splitlines()
    words = dict(line.split("\t", 1) for line in lines if "\t" in line)
    return wnids, tuple(words.get(wnid, wnid).split(",")[0].strip() for wnid in wnids)


def _training_images(folder: Path, wnids: Sequence[str]) -> list[tuple[str, str]]:
    """Return (name, WNID) of each official training image: those for validation first."""
    train = folder / BASE / "train"
    listed = [
        (f"train/{wnid}/images/{path.name}", wnid)
        for wnid in wnids
        for path in sorted((train / wnid / "images").glob("*.JPEG"))
    ]
    return sorted(listed, key=lambda entry: not _is_validation(entry[0]))  # a stable sort


def _test_images(folder: Path) -> list[tuple[str, str]]:
    """Return (name, WNID) of each official validation image, in the order of the annotations."""
    file = folder / BASE / "val" / "val_annotations.txt"
    rows = [line.split("\t") for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    known = set((folder / BASE / "wnids.txt").read_text(encoding="utf-8").split())
    if bad := next((number for number, row in enumerate(rows, 1) if len(row) < 2 or row[1] not in known), None):
        raise LabkitError(f"tiny-imagenet: {file} line {bad} names no image and kind: {remedy(folder)}")
    return [(f"val/images/{row[0]}", row[1]) for row in rows]


def _is_validation(name: str) -> bool:
    """Whether an official training image is one of the tenth held out, by a hash of its name."""
    if not name.startswith("train/"):
        return False
    return int(hashlib.sha256(name.rsplit("/", 1)[-1].encode()).hexdigest()[:8], 16) < VALIDATION * 2**32


def find_tiny_imagenet(root: Path) -> str | None:
    """Return the folder that holds the files (by name only), or None."""
    place = root / "tiny-imagenet"
    return str(place / BASE) if all((place / name).exists() for name, _ in FILES) else None
