"""Colorize files and folders of photographs; a bad one does not stop the others."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from labkit.artifacts import make_folder
from labkit.data.folder import UNREADABLE
from labkit.data.pictures import EXTENSIONS
from labkit.errors import LabkitError, check_integer, noting
from labkit.hints import Hint
from labkit.images import read_image, read_metadata, save_image

if TYPE_CHECKING:
    from labkit.colorizer import Colorizer

SUFFIXES = {"png": ".png", "jpeg": ".jpg", "webp": ".webp"}
MARK = ".colorized"  # stands in the name of every result
HEIC = frozenset([".heic", ".heif"])
SAMPLES_AT_MOST = 16


@dataclass(frozen=True, kw_only=True)
class Look:
    """How photographs are colorized: the options of `labkit.colorizer.Colorizer.colorize`.

    The predictions for a photograph and for its mirror image are always averaged, and so are those for copies of
    several sizes: both lower the error.

    Attributes:
        working_size: shorter side of a copy that the network sees beside those of the model's own sizes,
            `Colorizer.working_size` and `fine_size`; None: only the latter; 0: full resolution.
        style: "faithful" or "vivid".
        strength: of the chroma; 1 as predicted.
        hints: colors at places.
        samples: how many different colorings; 0: the one that the style gives.
    """

    working_size: int | None = None
    style: str = "faithful"
    strength: float = 1.0
    hints: Sequence[Hint] = ()
    samples: int = 0

    def apply(self, colorizer: Colorizer, image: Tensor, sample: int | None = None) -> list[Tensor]:
        """Return the coloring (or sample number ``sample``), or all samples, of an image ``(3, H, W)``.

        Each is rgb ``(3, H, W)`` in [0, 1].
        """
        numbers: list[int | None] = [sample]
        if self.samples:
            numbers = list(range(check_integer("samples", self.samples, low=1, high=SAMPLES_AT_MOST)))
        return [
            colorizer.colorize(
                image,
                working_size=self.working_size,
                flip_average=True,
                size_average=True,
                hints=self.hints,
                style=self.style,
                strength=self.strength,
                sample=number,
            )
            for number in numbers
        ]


@dataclass(frozen=True)
class Photo:
    """One photograph to colorize.

    Attributes:
        path: of the file.
        target: of the result, without the number of a sample.
    """

    path: Path
    target: Path

    def results(self, samples: int) -> list[Path]:
        """Return the files that are written: one, or one a sample."""
        if not samples:
            return [self.target]
        stem, suffix = self.target.stem, self.target.suffix
        return [self.target.with_name(f"{stem}.{number}{suffix}") for number in range(1, samples + 1)]


def find_photos(paths: Sequence[Path], out: Path | None, kind: str = "png") -> list[Photo]:
    """Return the photographs among files and folders, in a fixed order, with where their results belong.

    A folder is searched at every depth, and what is in it keeps its place: ``album/sea/a.jpg`` of the folder ``album``
    becomes ``out/sea/a.colorized.png``. Results of an earlier run, hidden files and files that are no photographs are
    left out; a file that is named itself is not.

    Args:
        paths: files and folders.
        out: folder for the results; None: each beside its photograph.
        kind: "png", "jpeg" or "webp".

    Raises:
        LabkitError: an unknown kind, a folder without photographs, two photographs with one result, or a result that is
            a photograph to be colorized itself.
    """
    if kind not in SUFFIXES:
        raise LabkitError(f"unknown format: got {kind!r}, expected one of {', '.join(SUFFIXES)}")
    suffix = SUFFIXES[kind]
    photos: dict[Path, Photo] = {}
    for given in paths:
        for path in _inside(given) if given.is_dir() else [given]:
            place = path.parent
            if out:
                place = out / path.parent.relative_to(given) if given.is_dir() else out
            photo = Photo(path, place / f"{path.stem}{MARK}{suffix}")
            if (other := photos.setdefault(photo.target, photo)).path != path:
                raise LabkitError(
                    f"{other.path} and {path} would both become {photo.target}: colorize them into two folders"
                )
    sources = {photo.path.resolve() for photo in photos.values()}
    for photo in photos.values():
        if photo.target.resolve() in sources:
            raise LabkitError(
                f"the result of {photo.path} would overwrite {photo.target}, a photo to be colorized: choose --out"
            )
    return list(photos.values())


def _inside(folder: Path) -> list[Path]:
    """Return the photographs in a folder, at every depth; links to folders are not followed.

    Raises:
        LabkitError: there is none.
    """
    wanted = EXTENSIONS | UNREADABLE  # one that cannot be read is to be told, not left out in silence
    found = []
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(place, name)
            if path.suffix.lower() in wanted and not name.startswith(".") and not path.stem.endswith(MARK):
                found.append(path)
    if not found:
        raise LabkitError(f"{folder} holds no photographs (png, jpg, webp, tiff, ...): give a folder that does")
    return found


def colorize_files(
    colorizer: Colorizer,
    photos: Sequence[Photo],
    look: Look,
    *,
    quality: int | None = None,
    gps: bool = False,
    keep: Callable[[Tensor, Tensor], None] | None = None,
) -> Iterator[tuple[Photo, list[Path], str | None]]:
    """Colorize photographs one after the other, and write the results.

    Args:
        colorizer: what colorizes.
        photos: see `find_photos`.
        look: how.
        quality: of JPEG and WebP.
        gps: whether results say where the photograph was taken, as it does. When it was taken they always say.
        keep: is given each original and its (first) result, as for a contact sheet.

    Yields: each photograph, the files written, and, where it failed, why in one line.

    Raises:
        LabkitError: the model cannot do what is asked, whatever the photograph.
    """
    colorizer.styled(look.style, 0 if look.samples else None)
    if look.hints and not colorizer.takes_hints:
        look.apply(colorizer, read_image(Tensor([[[0.0]]])))  # refuses, in the colorizer's words
    _register_heic()
    for photo in photos:
        failures: dict[str, str] = {}
        written: list[Path] = []
        with noting(failures, str(photo.path)):
            original = _read(photo.path)
            results = look.apply(colorizer, original)
            metadata = read_metadata(photo.path, gps)
            for path, result in zip(photo.results(look.samples), results, strict=True):
                make_folder(path.parent)
                save_image(result, path, quality=quality, metadata=metadata)
                written.append(path)
            if keep is not None:
                keep(original, results[0])
        yield photo, written, failures.get(str(photo.path))


def _read(path: Path) -> Tensor:
    """Return a photograph, (3, H, W) uint8.

    Raises:
        LabkitError: it cannot be read; of a format that Pillow does not read by itself, with what to do.
    """
    if path.suffix.lower() in HEIC and not _register_heic():
        raise LabkitError(f"{path}: HEIC needs the package pillow-heif: pip install pillow-heif, or save it as JPEG")
    if path.suffix.lower() in UNREADABLE - HEIC:
        raise LabkitError(f"{path} is a photograph in a format that cannot be read: save it as JPEG or PNG")
    return read_image(path)


def _register_heic() -> bool:
    """Let Pillow read HEIC, if the package pillow-heif is there; return whether it is."""
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener()
    return True
