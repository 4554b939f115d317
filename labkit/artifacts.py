"""Files that are either wholly there or not there at all, whatever kills the process.

Every result is written under a temporary name in the same folder, flushed to disk, and renamed. The standard library
has no such helper, and the packages that offered one are no longer kept up, so it is written out here.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from labkit.errors import LabkitError

LOCK_FILE = ".labkit-lock"  # that it is there says nothing: only who holds its lock counts


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; when the block ends without an exception, it becomes `path`.

    For libraries that write files themselves::

        with replacing("model.safetensors") as temporary:
            save_file(tensors, temporary)

    The folder is made when missing. The temporary name keeps the suffix of `path`. On an exception (Ctrl-C too) the
    temporary file is removed and an existing `path` stays as it was.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The start of the name is enough to recognize it: a name may be as long as the file system allows.
    temporary = path.with_name(f".{path.stem[:20]}.{secrets.token_hex(4)}.tmp{path.suffix}")
    try:
        yield temporary
        sync(temporary)
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    with suppress(OSError):  # the rename itself; Windows cannot open a folder
        sync(path.parent)


def make_folder(path: str | Path, option: str = "--out") -> Path:
    """Make a folder for results, before hours are spent on them.

    Args:
        path: the folder.
        option: how the user gave it, for the message.

    Returns:
        The folder.

    Raises:
        LabkitError: `path` (given as `option`) is a file, or cannot be made or written into.
    """
    path = Path(path)
    if path.exists() and not path.is_dir():
        raise LabkitError(f"{path} is a file; {option} must name a folder")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LabkitError(f"{path} cannot be made a folder ({error.strerror}): choose another {option}") from None
    if not os.access(path, os.W_OK):
        raise LabkitError(f"{path} cannot be written into: choose another {option}")
    return path


@contextmanager
def claim_folder(path: str | Path, option: str = "--out") -> Iterator[Path]:
    """Make a folder for results that no other process may claim until the block ends.

    A killed process gives it back.

    Args:
        path: the folder.
        option: how the user gave it, for the message.

    Raises:
        LabkitError: as `make_folder`; and when another process is at work there.
    """
    from filelock import FileLock, Timeout

    folder = make_folder(path, option)
    lock = FileLock(folder / LOCK_FILE)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise LabkitError(f"another labkit is writing into {folder}: wait for it, or choose another {option}") from None
    except (OSError, NotImplementedError):  # a file system without locks: nobody can be kept out
        pass
    try:
        yield folder
    finally:
        lock.release()


def sync(path: Path) -> None:
    """Wait until a file (or, on Unix, a folder's entries) is on disk."""
    # Windows can flush only what is open for writing; Unix can open a folder only for reading.
    descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write `data` as the whole of `path`, atomically."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: str | Path, text: str) -> None:
    r"""Write `text` (UTF-8, line ends as they are) as the whole of `path`, atomically.

    A byte of a file name that is no text is written as an escape (\udce9), which JSON reads as the same name again.
    """
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


def write_json(path: str | Path, value: object) -> None:
    """Write `value` as the whole of a JSON file, atomically; see `json_text`."""
    write_text(path, json_text(value, indent=2) + "\n")


def json_text(value: object, indent: int | None = None) -> str:
    """Return `value` as JSON that every reader takes: a number that is not finite (NaN, infinity) becomes null."""
    return json.dumps(_finite(value), indent=indent, ensure_ascii=False, allow_nan=False)


def _finite(value: Any) -> Any:
    """Replace the numbers in dicts, lists and tuples that JSON cannot hold by None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, (list, tuple)) else value


def course_data(name: str) -> Path | None:
    """Return the folder data/NAME of the checkout labkit is imported from, else the packaged copy, else None."""
    package = Path(__file__).resolve().parent
    places = (package.parent / "data" / name, package / f"_{name}")
    return next((place for place in places if any(place.glob("*.csv"))), None)


def sha256(path: str | Path) -> str:
    """Return the SHA-256 of a file's bytes, in hex."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
