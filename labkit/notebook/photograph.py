"""The student's own photograph: uploaded, or named by a parameter; and any colorizer tried on it in one line."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from labkit import plots
from labkit.color import luma, to_float, to_uint8
from labkit.colorizer import Colorizer
from labkit.data import load
from labkit.errors import LabkitError
from labkit.images import read_image
from labkit.widgets import is_live

LONGEST = 512  # pixels of the longer side: what a student builds has to run on it in seconds
PACKAGED = "chelsea"  # of the photographs that come with scikit-image

Colorize = Colorizer | Callable[[Tensor], Tensor]


@dataclass
class OwnPhotograph:
    """A photograph that can change: ``image`` is the latest upload, uint8 ``(3, H, W)``."""

    image: Tensor
    name: str


def own_photograph(photo: str = "") -> OwnPhotograph:
    """Return the student's photograph; in a live notebook a button uploads another one.

    Any file that `labkit.images.read_image` takes, turned and laid on white as it does; the longer side is reduced to
    512 pixels. After an upload, run the cells that use it again.

    Args:
        photo: path of an image file; "" takes a packaged photograph.

    Raises:
        LabkitError: if the file cannot be read. (An upload that cannot be read is a line under the button.)
    """
    if photo:
        own = OwnPhotograph(_reduced(read_image(photo)), PurePath(photo).name)
    else:
        photos = load("photos", "test")
        own = OwnPhotograph(photos.images[list(photos.class_names).index(PACKAGED)], PACKAGED)
    if is_live():
        from IPython.display import display

        display(upload_panel(own))
    return own


def upload_panel(own: OwnPhotograph) -> Any:
    """Make the upload button, with a line that says which photograph is used; an upload changes ``own``."""
    import ipywidgets

    wide = ipywidgets.Layout(width="auto", max_width="16em")
    button = ipywidgets.FileUpload(accept="image/*", multiple=False, description="Your photograph", layout=wide)
    said = ipywidgets.Label(_used(own))

    def take(change: Mapping[str, Any]) -> None:
        for name, content in _uploaded(change["new"]):
            try:
                own.image, own.name = _reduced(_read(name, content)), name
                said.value = f"{_used(own)} Run the cells below again."
            except LabkitError as error:
                said.value = f"{error}. {_used(own)}"

    button.observe(take, names="value")
    return ipywidgets.VBox([button, said])


def show_on(image: Tensor, models: Mapping[str, Colorize]) -> None:
    """Show a photograph in gray, as each model colors it, and, if it has color, the original.

    Args:
        image: uint8 or float in [0, 1], ``(3, H, W)``.
        models: label -> a `Colorizer`, or a function gray ``(1, 1, H, W)`` in [0, 1] -> rgb ``(1, 3, H, W)``.

    Raises:
        LabkitError: if the image has another shape, or a function returns another one.
    """
    if image.dim() != 3 or image.shape[0] != 3:
        raise LabkitError(f"wrong shape of image: got {tuple(image.shape)}, expected (3, H, W)")
    gray = luma(image[None])
    pictures = {"gray": gray[0].cpu()}
    pictures |= {label: _colorized(model, gray, label) for label, model in models.items()}
    in_color = bool((image != image[:1]).any())
    if in_color:
        pictures["original"] = image
    count, (height, width) = len(models), image.shape[-2:]
    what = (
        f"as {count} models color it: {', '.join(models)}"
        if count > 1
        else f"as {next(iter(models), 'no model')} colors it"
    )
    original = ", and the original" if in_color else "; the original has no color"
    alt = f"A photograph of {width} x {height} pixels: in gray, {what}{original}."
    plots.show(plots.image_grid({"": list(pictures.values())}, columns=list(pictures), scale=2.4), alt)


def _colorized(model: Colorize, gray: Tensor, label: str) -> Tensor:
    with torch.no_grad():
        rgb = model.colorize(gray) if isinstance(model, Colorizer) else model(gray)
    if rgb.shape != (1, 3, *gray.shape[-2:]):
        raise LabkitError(
            f"wrong shape from {label}: got {tuple(rgb.shape)}, expected {(1, 3, *gray.shape[-2:])} for gray "
            f"{tuple(gray.shape)}"
        )
    return to_float(rgb[0].detach().cpu()).clamp(0, 1)


def _used(own: OwnPhotograph) -> str:
    height, width = own.image.shape[-2:]
    return f"Used now: {own.name}, {width} x {height} pixels."


def _reduced(image: Tensor) -> Tensor:
    """Return a photograph as uint8 with a longer side of at most LONGEST pixels."""
    scale = LONGEST / max(image.shape[-2:])
    if scale >= 1:
        return to_uint8(image).contiguous()
    size = [max(1, round(side * scale)) for side in image.shape[-2:]]
    return to_uint8(F.interpolate(to_float(image)[None], size=size, mode="bilinear", antialias=True)[0])


def _uploaded(value: Any) -> list[tuple[str, bytes]]:
    """Return (name, content) of what an upload button holds, in ipywidgets 7 (a dict) and 8 (a tuple)."""
    if isinstance(value, Mapping):
        return [(str(name), bytes(file["content"])) for name, file in value.items()][-1:]
    return [(str(file["name"]), bytes(file["content"])) for file in value]


def _read(name: str, content: bytes) -> Tensor:
    """Read an uploaded file as one on the disk, with the same messages; only its own name is shown.

    Raises:
        LabkitError: if it cannot be read.
    """
    with tempfile.TemporaryDirectory(prefix="labkit-upload-") as folder:
        path = Path(folder) / ("photograph" + PurePath(name).suffix[:10])
        path.write_bytes(content)
        try:
            return read_image(path)
        except LabkitError as error:
            raise LabkitError(str(error).replace(str(path), name)) from None
