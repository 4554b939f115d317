"""The files below a folder or in a zip, zips inside included; what cannot be read costs only itself."""

from __future__ import annotations

import os
import re
import stat
import zipfile
import zlib
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath

from labkit.errors import LabkitError
from labkit.grading.submission import LARGEST

NOT_TURNED_IN = (".ipynb_checkpoints", "__MACOSX", "__pycache__", "node_modules")
DEEPEST = 4  # zips in zips
LARGEST_ZIP = 1 << 30  # bytes of a zip inside another
LARGEST_ALL = 8 << 30  # bytes that one download may unpack to
MOST_ENTRIES = 5_000_000
LONGEST_NAME = 120  # bytes of a file's name in the scratch folder
DAMAGED = (
    OSError,
    zipfile.BadZipFile,
    zlib.error,
    RuntimeError,
    NotImplementedError,
    EOFError,
    ValueError,
    MemoryError,
)


@dataclass(frozen=True)
class Item:
    """A file, or a folder that says something (.git): its path from the top, where it lies now, and what is wrong."""

    parts: tuple[str, ...]
    path: Path | None = None
    problem: str = ""
    is_folder: bool = False


def list_folder(folder: Path, scratch: Path) -> tuple[list[Item], list[str]]:
    """Return what lies below a folder, and lines on what was left aside; links are not followed.

    Args:
        folder: of submissions.
        scratch: an empty folder, for what is unpacked.
    """
    found = _Found(scratch)
    for place, folders, names in os.walk(folder, followlinks=False):
        parts = Path(place).relative_to(folder).parts
        if ".git" in folders:
            found.items.append(Item((*parts, ".git"), is_folder=True))
        links = [name for name in folders if os.path.islink(os.path.join(place, name))]
        for name in folders:
            if _is_hidden(name):
                found.hidden[_kind(name)] += 1
        folders[:] = sorted(name for name in folders if not _is_hidden(name))
        if parts and not folders and not names:
            found.items.append(Item((*parts, ""), is_folder=True))
        for name in sorted([*names, *links]):
            if _is_hidden(name):
                found.hidden[_kind(name)] += 1
            else:
                found.add((*parts, name), Path(place) / name)
    return found.items, found.lines()


def list_zip(path: Path, scratch: Path) -> tuple[list[Item], list[str]]:
    """Return what a zip holds, unpacked below ``scratch``, and lines on what was left aside.

    Raises:
        LabkitError: if it cannot be opened at all.
    """
    found = _Found(scratch)
    try:
        with zipfile.ZipFile(path) as archive:
            found.add_zip(archive, ())
    except DAMAGED as error:
        raise LabkitError(f"{path} cannot be unpacked ({error})") from None
    return found.items, found.lines()


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name in NOT_TURNED_IN


def _is_folder(entry: zipfile.ZipInfo) -> bool:
    return entry.filename.endswith("/")  # is_dir() of Python 3.10 and 3.11 fails for an entry without a name


def _kind(name: str) -> str:
    return name if name in (*NOT_TURNED_IN, ".git", ".DS_Store") else "hidden files"


class _Found:
    """What has been found so far."""

    def __init__(self, scratch: Path):
        self.scratch = scratch
        self.items: list[Item] = []
        self.hidden: Counter[str] = Counter()
        self.notes: list[str] = []
        self.unpacked = 0  # bytes
        self.count = 0  # files in the scratch folder

    def lines(self) -> list[str]:
        """Return lines on what was left aside."""
        hidden = ", ".join(f"{name} ({count})" for name, count in sorted(self.hidden.items()))
        return [*self.notes, *([f"ignored, as no part of a submission: {hidden}"] if hidden else [])]

    def add(self, parts: tuple[str, ...], path: Path, depth: int = 0) -> None:
        """Add a file; a zip by what it holds."""
        if path.suffix.lower() != ".zip" or not path.is_file() or path.is_symlink():
            self.items.append(Item(parts, path))
            return
        inside = (*parts[:-1], Path(parts[-1]).stem)
        try:
            if depth >= DEEPEST:
                raise ValueError("a zip in a zip in a zip, too deep")
            with zipfile.ZipFile(path) as archive:
                before = len(self.items)
                self.add_zip(archive, inside, depth + 1)
                if len(self.items) == before:
                    self.items.append(Item(parts, None, "an empty zip"))
        except DAMAGED as error:
            self.items.append(Item(parts, None, f"a zip that cannot be unpacked: {_words(error)}"))

    def add_zip(self, archive: zipfile.ZipFile, at: tuple[str, ...], depth: int = 0) -> None:
        """Add what a zip holds, below the path ``at``."""
        clones: set[tuple[str, ...]] = set()
        entries = archive.infolist()
        if len(entries) > MOST_ENTRIES:
            raise ValueError(f"{len(entries)} entries")
        names = [_parts(info.filename) for info in entries if not _is_folder(info)]
        with_files = {name[:length] for name in names for length in range(1, len(name))}
        for info in entries:
            parts = _parts(info.filename)
            if not parts:
                self.notes.append(f"{info.filename[:80]!r}: an entry of the zip without a name")
                continue
            for place, name in enumerate(parts):
                if name == ".git" and parts[:place] not in clones:
                    clones.add(parts[:place])
                    self.items.append(Item((*at, *parts[:place], ".git"), is_folder=True))
            if any(map(_is_hidden, parts)):
                self.hidden[_kind(next(filter(_is_hidden, parts)))] += 1
            elif _is_folder(info):
                if parts not in with_files:
                    self.items.append(Item((*at, *parts, ""), is_folder=True))
            else:
                self._extract(archive, info, (*at, *parts), depth)

    def _extract(self, archive: zipfile.ZipFile, info: zipfile.ZipInfo, parts: tuple[str, ...], depth: int) -> None:
        """Unpack an entry if it is a notebook or a zip; else note its name."""
        name = parts[-1]
        is_zip = name.lower().endswith(".zip")
        if not is_zip and ".ipynb" not in name.lower():
            self.items.append(Item(parts, None))
            return
        if stat.S_ISLNK(info.external_attr >> 16):
            self.items.append(Item(parts, None, "a link"))
            return
        largest = LARGEST_ZIP if is_zip else LARGEST
        self.count += 1
        target = self.scratch / f"{self.count:06d}" / short_name(name)
        try:
            target.parent.mkdir(parents=True)
            if info.file_size > largest:
                raise ValueError(f"larger than {largest // 10**6} MB")
            if self.unpacked > LARGEST_ALL:
                raise ValueError("the whole download is too large")
            with archive.open(info) as source, target.open("wb") as out:
                while part := source.read(1 << 20):
                    self.unpacked += out.write(part)
                    if out.tell() > largest or self.unpacked > LARGEST_ALL:
                        raise ValueError("it unpacks to more than it says")
            _set_time(target, info)
        except DAMAGED as error:
            target.unlink(missing_ok=True)
            self.items.append(Item(parts, None, _words(error)))
            return
        self.add(parts, target, depth)
        if is_zip:
            target.unlink(missing_ok=True)


def _parts(name: str) -> tuple[str, ...]:
    """Return the parts of an entry's name, without a drive, a root, "." and ".."."""
    path = PurePosixPath(name.replace("\\", "/"))
    return tuple(
        part for part in path.parts if part not in ("/", "//", ".", "..") and not re.fullmatch("[A-Za-z]:", part)
    )


def short_name(name: str) -> str:
    """Return a name that any file system takes, with its end kept."""
    safe = re.sub(r"[\x00-\x1f/\\:*?\"<>|]", "_", name)
    data = safe.encode("utf-8", "replace")
    return safe if len(data) <= LONGEST_NAME else data[-LONGEST_NAME:].decode("utf-8", "ignore")


def _set_time(target: Path, info: zipfile.ZipInfo) -> None:
    try:
        when = datetime(*info.date_time).timestamp()
        os.utime(target, (when, when))
    except (ValueError, OverflowError, OSError):  # a date that there is not
        pass


def _words(error: BaseException) -> str:
    """Return in short why an entry cannot be read."""
    text = " ".join(str(error).split())
    if "password" in text or "encrypted" in text:
        return "encrypted in the zip"
    if "CRC" in text:
        return "damaged in the zip: its checksum is wrong"
    return text[:120] or type(error).__name__
