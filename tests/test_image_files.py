"""Images written into files and read again; the contact sheet."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import labkit as lk
from labkit import LabkitError, color


def test_a_saved_image_keeps_its_pixels(tmp_path: Path) -> None:
    image = torch.randint(0, 256, (3, 9, 7), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    path = tmp_path / "new folder" / "photo.PNG"
    for given in (image, image / 255, (image / 255).double()):
        lk.save_image(given, path)
        assert torch.equal(lk.read_image(path), image)
    lk.save_image(image[:1], str(tmp_path / "gray.png"))
    assert Image.open(tmp_path / "gray.png").mode == "L"
    assert torch.equal(lk.read_image(tmp_path / "gray.png"), image[:1].expand(3, -1, -1))
    lk.save_image(torch.tensor([2.0, -1.0, 0.5]).view(3, 1, 1), tmp_path / "clipped.png")
    assert Image.open(tmp_path / "clipped.png").getpixel((0, 0)) == (255, 0, 128)


def test_jpeg_keeps_its_full_chroma(tmp_path: Path) -> None:
    image = color.to_uint8(torch.nn.functional.interpolate(torch.rand(1, 3, 4, 4), size=(64, 64), mode="bilinear"))[0]
    for name in ("photo.jpg", "photo.JPEG"):
        lk.save_image(image, tmp_path / name)
        found = Image.open(tmp_path / name)
        assert found.format == "JPEG"
        assert {layer[1:3] for layer in found.layer} == {(1, 1)}  # type: ignore[attr-defined]  # none is subsampled
        assert np.abs(np.asarray(found).astype(int) - image.permute(1, 2, 0).numpy()).mean() < 4


@pytest.mark.parametrize(
    ("image", "name", "kind", "message"),
    [
        (torch.zeros(3, 4, 4), "photo.gif", LabkitError, "unknown image format: got .*photo.gif.*png, .jpg, .jpeg"),
        (torch.zeros(3, 4, 4), "photo", LabkitError, "unknown image format"),
        (torch.zeros(1, 3, 4, 4), "a.png", LabkitError, r"got \(1, 3, 4, 4\), expected \(3, H, W\)"),
        (torch.zeros(4, 4, 3), "a.png", LabkitError, r"got \(4, 4, 3\)"),
        (torch.zeros(3, 0, 4), "a.png", LabkitError, r"got \(3, 0, 4\)"),
        (torch.full((3, 4, 4), float("nan")), "a.png", LabkitError, "NaN or infinity"),
        (np.zeros((3, 4, 4)), "a.png", TypeError, "got ndarray"),
        (torch.zeros(3, 4, 4, dtype=torch.int64), "a.png", TypeError, "got torch.int64"),
        (torch.zeros(3, 4, 4), "file/a.png", LabkitError, "cannot be written"),
        (torch.zeros(3, 4, 4), "folder.png", LabkitError, "folder.png cannot be written .* Choose another place"),
    ],
)
def test_what_cannot_be_saved_is_refused_in_one_line(
    tmp_path: Path, image: torch.Tensor, name: str, kind: type[Exception], message: str
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.png").mkdir()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(kind, match=message) as error:
        lk.save_image(image, tmp_path / name)
    assert "\n" not in str(error.value)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_contact_sheet_has_a_column_for_each_photograph(tmp_path: Path) -> None:
    from labkit.plots import contact_sheet

    photos = [torch.full((3, 40, 60), 0.5), torch.full((3, 300, 200), 0.25)]
    colorized = [torch.tensor([1.0, 0.0, 0.0]).view(3, 1, 1).expand(3, 40, 60), torch.zeros(3, 300, 200)]
    contact_sheet(photos, colorized, tmp_path / "sheet.png", side=64)
    pixels = np.asarray(Image.open(tmp_path / "sheet.png").convert("RGB"))
    assert (pixels == (255, 0, 0)).all(axis=-1).sum() > 32 * 32  # the red square, cut to the middle, unscaled colors
    with pytest.raises(LabkitError, match="got 2 photographs and 1 results"):
        contact_sheet(photos, colorized[:1], tmp_path / "sheet.png")
