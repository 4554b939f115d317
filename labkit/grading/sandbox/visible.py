"""What of the machine a kernel sees: a short list, and nothing else. Everything is shown read-only.

Three answers are given here, for this machine and this Python:

- `View`: what is visible. Programs and libraries of the system, the interpreter's own files, the folders that pip
  installs into. Never a whole environment or home: a course, a class or a home may lie inside one.
- `package_entries`: of labkit, only the parts that labs import, by whatever path it is installed.
- `private_places`: what must not be readable, wherever it lies. `Watch` tries to read it, from inside the sandbox.

Nothing but the standard library is imported here.
"""

from __future__ import annotations

import importlib.util
import os
import site
import sys
import sysconfig
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

HOME = "/home/student"  # inside; the work folder, /tmp and /dev/shm are parts of it
WORK = f"{HOME}/work"
SOCKETS = "/run/kernel"  # inside: where the kernel's channels are

# Folders that a package manager fills. Not /usr itself: containers keep courses in /usr/src or /usr/local.
SYSTEM = (
    "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/usr/bin", "/usr/sbin", "/usr/lib", "/usr/lib32",
    "/usr/lib64", "/usr/libx32", "/usr/local/bin", "/nix/store", "/gnu/store",
)  # fmt: skip
SHARED_DATA = ("fontconfig", "fonts", "i18n", "locale", "matplotlib", "mime", "perl", "perl5", "terminfo", "zoneinfo")
SETTINGS = ("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives", "fonts")  # in /etc

# labkit's own parts. Every part stands in one of the two lists, and a test compares them with the package.
LABKIT_SHOWN = (
    "__init__.py", "_measured", "_published", "analysis", "artifacts.py", "cluster.py", "color.py", "colorizer.py",
    "data", "device.py", "enlarge.py", "errors.py", "experiments", "hints.py", "images.py", "ledger.py",
    "machine.py", "metrics", "models", "notebook", "options.py", "plots", "printing.py", "py.typed", "quantize.py",
    "representation.py", "training", "weights", "widgets.py",
)  # fmt: skip
LABKIT_HIDDEN = (
    "__main__.py", "__pycache__", "_notebooks", "app", "bench", "checks", "cli", "course", "doctor.py", "grading",
)  # fmt: skip
TABLES = ("published", "measured")  # of a checkout's data: labs print them

# Of a course's folder: what holds or may hold solutions, checks, submissions, results and seeds.
COURSE_PRIVATE = ("notebooks", "tests", ".git", "docs", "build", "dist", "release", "grades", "submissions")
MOST_NAMES = 1000  # files of a private place that are tried by name, besides all that a listing inside shows

_PACKAGE = Path(__file__).parents[2]


def package_folders() -> list[Path]:
    """Return labkit's folder as it is imported, and as it lies on the disk if links lead there."""
    return list(dict.fromkeys([_PACKAGE, _PACKAGE.resolve(), Path(__file__).resolve().parents[2]]))


def package_entries(package: Path) -> list[Path]:
    """Return the files and folders of a copy of labkit that labs import."""
    return [package / name for name in LABKIT_SHOWN if (package / name).exists()]


@dataclass(frozen=True)
class View:
    """What is visible inside, labkit excepted.

    Attributes:
        shown: files and folders; none lies in another.
        hidden: what is covered in them: every other copy of labkit (an older one, another Python's, an egg of it).
    """

    shown: Sequence[Path]
    hidden: Sequence[Path]

    @classmethod
    def of(cls, extra: Iterable[Path] = (), packages: Iterable[str] = ()) -> View:
        """Return what is visible on this machine to a kernel of this Python.

        Args:
            extra: more files and folders to show.
            packages: names of packages that must be readable. One that lies elsewhere, since it was installed as a
                link to its sources, is shown alone, without the folder around it.
        """
        wanted = [Path(name) for name in SYSTEM]
        wanted += [Path("/usr/share", name) for name in SHARED_DATA] + [Path("/etc", name) for name in SETTINGS]
        wanted += _interpreter()
        wanted += [package.parent / "data" / table for package in package_folders() for table in TABLES]
        wanted += extra
        kept = _outermost(wanted)
        elsewhere = [folder for name in packages for folder in folders_of(name) if not _within(folder, kept)]
        shown = _outermost([*kept, *elsewhere])
        return cls(shown, _copies_of_labkit(shown))


def _interpreter() -> list[Path]:
    """Return the files of this Python: programs, standard library, shared libraries, folders that pip installs into."""
    found = [Path(sys.executable), Path(getattr(sys, "_base_executable", sys.executable))]
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for prefix in {Path(sys.base_prefix), Path(sys.base_exec_prefix)}:
        found += [prefix / "lib" / version, prefix / "lib64" / version]
    for prefix in {Path(p) for p in (sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix)}:
        found += [prefix / "bin", prefix / "pyvenv.cfg"]
        if (prefix / "conda-meta").is_dir():
            found.append(prefix / "lib")  # a thousand shared libraries, put there by the package manager
        else:
            found += [file for folder in ("lib", "lib64") for file in (prefix / folder).glob("*.so*") if file.is_file()]
    paths = sysconfig.get_paths()
    return [*found, *(Path(paths[name]) for name in ("stdlib", "purelib", "platlib")), *site_folders()]


def site_folders() -> list[Path]:
    """Return the folders that pip installs into and that this process imports from."""
    names = ("site-packages", "dist-packages")
    return [Path(entry) for entry in sys.path if Path(entry).name in names or entry in site.getsitepackages()]


def folders_of(name: str) -> list[Path]:
    """Return where a package lies, without importing it."""
    with suppress(ImportError, ValueError, AttributeError):
        spec = importlib.util.find_spec(name)
        if spec is not None:
            return [Path(folder) for folder in spec.submodule_search_locations or filter(None, [spec.origin])]
    return []


def _outermost(paths: Iterable[Path]) -> list[Path]:
    """Return the paths that exist and lie in no other, each with all paths that its links lead to."""
    found = {step for path in paths for step in _links(path) if step != Path("/")}
    kept: list[Path] = []
    for path in sorted(found, key=lambda path: (len(path.parts), path)):
        if not _within(path, kept):
            kept.append(path)
    return kept


def _links(path: Path) -> Iterator[Path]:
    """Yield a path that exists, what it is a link to, and so on, and the real path."""
    path = Path(os.path.normpath(path))
    if not path.exists():
        return
    yield path.resolve()
    for _ in range(40):  # as many as Linux follows
        yield path
        if not path.is_symlink():
            return
        path = Path(os.path.normpath(path.parent.resolve() / os.readlink(path)))


def _within(path: Path, folders: Iterable[Path]) -> bool:
    return any(path.is_relative_to(folder) for folder in folders)


def _copies_of_labkit(shown: Sequence[Path]) -> list[Path]:
    inside = ("python*/site-packages", "python*/dist-packages", "site-packages", "dist-packages")
    folders = {folder for part in shown if part.is_dir() for place in inside for folder in part.glob(place)}
    folders |= {part for part in shown if part.name in ("site-packages", "dist-packages")}
    folders |= {folder for folder in _import_folders() if _within(folder, shown)}
    found = {match for folder in folders for name in ("labkit", "labkit-*.egg") for match in folder.glob(name)}
    return sorted(found.difference(package_folders()))


def _import_folders() -> list[Path]:
    """Return the folders that this process imports from."""
    return [folder for folder in map(Path, filter(None, sys.path)) if folder.is_dir()]


# What must not be readable


def private_places(more: Iterable[Path] = ()) -> list[Path]:
    """Return what must not be readable: labkit's hidden parts in every folder of imports, its checkout, ``more``.

    Args:
        more: the folders of submissions and of results, files with checks, and the like.
    """
    folders = [*(folder / "labkit" for folder in _import_folders()), *package_folders()]
    found = [folder / name for folder in folders for name in LABKIT_HIDDEN]
    checkouts = [package.parent for package in package_folders() if (package.parent / "pyproject.toml").exists()]
    found += [place for checkout in checkouts for place in course_places(checkout)]
    found += [Path(sys.pycache_prefix)] if sys.pycache_prefix else []
    found += [Path(os.path.abspath(path)) for path in more]
    known = dict.fromkeys(path for place in found for path in (place, place.resolve()))
    return [path for path in known if path != Path("/")]


def course_places(root: Path) -> list[Path]:
    """Return what of a course's folder must not be readable."""
    return [root / name for name in COURSE_PRIVATE]


@dataclass(frozen=True)
class Watch:
    """What must not be readable, made outside of the sandbox and asked inside.

    Attributes:
        places: files and folders that must not be readable.
        names: files in them, as seen from outside: where a folder cannot be listed, a name may do.
        visible: what is shown on purpose. A private place may hold some of it: a checkout its virtual environment.
    """

    places: Sequence[Path]
    names: Sequence[Path]
    visible: Sequence[Path]

    @classmethod
    def over(cls, places: Iterable[Path], view: View, by_name: bool = True) -> Watch:
        """Return a watch over private places, with the names of files in them if ``by_name``."""
        own = [entry for package in package_folders() for entry in package_entries(package)]
        stubs = [package / "checks" / "__init__.py" for package in package_folders()]
        writable = [Path(name) for name in (HOME, SOCKETS, "/tmp", "/dev/shm")]  # where the kernel's own files are
        watch = cls(list(places), [], [*view.shown, *own, *stubs, *writable])
        names = [path for place in watch.places for path in watch._names_in(place)] if by_name else []
        return cls(watch.places, names, watch.visible)

    def check(self) -> None:
        """Try to read everything.

        Raises:
            OSError: naming what can be read, and what to do.
        """
        for place, path in self._found():
            holder = next((folder for folder in self.visible if place.is_relative_to(folder)), place.parent)
            raise OSError(f"{path} can be read from inside: move {place} out of {holder}, which every kernel sees")

    def _found(self) -> Iterator[tuple[Path, Path]]:
        """Yield each private place that can be read, with a file that shows it."""
        for path in self.names:
            if _can_read(path):
                yield next(place for place in self.places if path.is_relative_to(place)), path
        for place in self.places:
            if _can_read(place):
                yield place, place
            for folder, inner, files in os.walk(place):
                inner[:] = [name for name in inner if not self._on_purpose(Path(folder, name), place)]
                for file in files:
                    path = Path(folder, file)
                    if not self._on_purpose(path, place) and _can_read(path):
                        yield place, path

    def _names_in(self, place: Path) -> list[Path]:
        """Return names of files in a place."""
        found: list[Path] = []
        waiting = deque([place])
        while waiting and len(found) < MOST_NAMES:
            path = waiting.popleft()
            if self._on_purpose(path, place):
                continue
            with suppress(OSError):
                if path.is_dir():
                    waiting.extend(Path(entry) for entry in sorted(os.scandir(path), key=lambda entry: entry.name))
                elif path.exists():
                    found.append(path)
        return found

    def _on_purpose(self, path: Path, place: Path) -> bool:
        """Tell whether a path in a private place belongs to what is shown on purpose and lies in that place."""
        inside = (part for part in self.visible if part != place and part.is_relative_to(place))
        return any(path.is_relative_to(part) for part in inside)


def _can_read(path: Path) -> bool:
    try:
        opened = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a pipe would wait for its other end
        try:
            os.read(opened, 1)
        finally:
            os.close(opened)
    except OSError:
        return False
    return True
