"""Keep a ledger of what has been done: one JSON line each, only ever appended to.

`run`, `reproduce` and `grade` share it. A line is written only after the output that it names is safely in place, so
whatever the ledger says is there, is there; `--resume` reads nothing else.
"""

from __future__ import annotations

import hashlib
import os
import platform
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from labkit import __version__, artifacts

# Parts of the package that cannot change what a lab computes, nor how it is graded.
NOT_HASHED = (
    *(f"cli/{name}.py" for name in ("__init__", "shared", "course", "train", "photos", "study", "bench")),
    *(
        f"bench/{name}.py"
        for name in ("__init__", "measure", "report", "run", "training", "operations", "commands", "cost")
    ),
    "cluster.py",
    "doctor.py",
    "ledger.py",
    "machine.py",
    "printing.py",
    *(f"course/{name}.py" for name in ("run", "jobs", "execution", "report", "build", "source")),
    *(f"experiments/{name}.py" for name in ("images", "page", "reproduce", "results", "runs", "scores", "tables")),
)
PACKAGES = ("torch", "torchvision", "numpy", "scikit-image", "papermill", "nbclient", "ipykernel")


def environment() -> dict[str, str]:
    """Return the versions that a result depends on, from package metadata (nothing is imported)."""
    found = {"labkit": __version__, "python": platform.python_version(), "platform": platform.platform()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def now() -> str:
    """Return the time in UTC, as ISO 8601, whole seconds."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


class Entry(BaseModel):
    """Hold one piece of work that ended, well or badly."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    kind: Literal["run", "reproduce", "grade"]
    key: str  # what it was, unique within a kind: the lab and its swept parameters, a recipe, a submission
    input_hash: str  # SHA-256 over everything that can change the result
    status: Literal["ok", "failed"]
    output: str | None = None  # path relative to the ledger's folder
    output_sha256: str | None = None
    seconds: float = Field(default=0.0, ge=0)
    note: str = ""  # why it failed, in one line
    environment: dict[str, str] = Field(default_factory=environment)
    time: str = Field(default_factory=now)


class Ledger:
    """Append to and read a file of entries, `ledger.jsonl` in a folder of results."""

    def __init__(self, path: str | Path):
        """Name the file; it need not be there yet."""
        self.path = Path(path)

    def append(self, entry: Entry) -> None:
        """Add one line and wait until it is on disk. Safe with several writers: one write call in append mode."""
        line = entry.model_dump_json().encode() + b"\n"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            if self._torn(descriptor):
                line = b"\n" + line
            if os.write(descriptor, line) != len(line):
                raise OSError(f"{self.path}: the line was only partly written; is the disk full?")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    @staticmethod
    def _torn(descriptor: int) -> bool:
        """Return whether the last line has no end: its writer was killed, and the next line must begin anew."""
        size = os.lseek(descriptor, 0, os.SEEK_END)
        if size == 0:
            return False
        os.lseek(descriptor, size - 1, os.SEEK_SET)
        return os.read(descriptor, 1) != b"\n"

    def entries(self, kind: str | None = None) -> list[Entry]:
        """Return all readable entries, oldest first; an incomplete line counts as work not done, and is left out."""
        if not self.path.exists():
            return []
        found = []
        for line in self.path.read_bytes().split(b"\n"):
            try:
                entry = Entry.model_validate_json(line)
            except ValidationError:
                continue
            if kind is None or entry.kind == kind:
                found.append(entry)
        return found

    def done(self, kind: str, key: str, input_hash: str) -> Entry | None:
        """Return the last entry of `key` if it went well and had the same input, and its output is there unchanged."""
        mine = [entry for entry in self.entries(kind) if entry.key == key]
        if not mine or mine[-1].status != "ok" or mine[-1].input_hash != input_hash:
            return None
        last = mine[-1]
        if last.output is not None:
            output = self.path.parent / last.output
            if not output.is_file() or artifacts.sha256(output) != last.output_sha256:
                return None
        return last


def package_hash() -> str:
    """Return the SHA-256 of labkit's own code and weights, and of published and measured numbers."""
    digest = hashlib.sha256()
    folders = (Path(__file__).parent, artifacts.course_data("published"), artifacts.course_data("measured"))
    for folder in filter(None, folders):
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder).as_posix()
            if path.suffix in (".py", ".safetensors", ".json", ".csv", ".npz") and name not in NOT_HASHED:
                digest.update(f"{name} {artifacts.sha256(path)}\n".encode())
    return digest.hexdigest()
