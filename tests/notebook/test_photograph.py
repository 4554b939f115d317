"""The student's own photograph: named, uploaded or packaged, read as every image file is; models tried on it."""

import io
from pathlib import Path
from typing import Any

import IPython.display
import numpy as np
import PIL.Image
import pytest
import torch

from labkit import LabkitError, plots
from labkit.notebook import photograph
from labkit.notebook.photograph import OwnPhotograph, own_photograph, show_on, upload_panel

RED = (200, 30, 30)


def picture(width: int, height: int, mode: str = "RGB", **options: Any) -> bytes:
    buffer = io.BytesIO()
    color = (*RED, 0) if mode == "RGBA" else RED
    PIL.Image.new(mode, (width, height), color).save(buffer, "PNG", **options)
    return buffer.getvalue()


def turned() -> bytes:
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    PIL.Image.new("RGB", (40, 20), RED).save(buffer, "JPEG", exif=exif)
    return buffer.getvalue()


def test_a_file_is_read_upright_laid_on_white_and_reduced(tmp_path: Path) -> None:
    (tmp_path / "clear.png").write_bytes(picture(8, 4, "RGBA"))
    assert own_photograph(str(tmp_path / "clear.png")).image.unique().tolist() == [255]
    (tmp_path / "turned.jpg").write_bytes(turned())
    assert own_photograph(str(tmp_path / "turned.jpg")).image.shape == (3, 40, 20)
    (tmp_path / "large.png").write_bytes(picture(2000, 1000))
    image = own_photograph(str(tmp_path / "large.png")).image
    assert image.shape == (3, 256, 512) and image.dtype == torch.uint8
    assert [int(channel.float().mean()) for channel in image] == list(RED)
    with pytest.raises(LabkitError, match="no such image file"):
        own_photograph(str(tmp_path / "nothing.png"))


def test_without_a_file_it_is_a_packaged_one() -> None:
    own = own_photograph()
    assert own.name == "chelsea" and own.image.shape == (3, 256, 256) and own.image.dtype == torch.uint8


def uploads(name: str, content: bytes) -> list[Any]:
    """What the button holds in ipywidgets 8, and in 7."""
    return [
        ({"name": name, "type": "image/png", "size": len(content), "content": memoryview(content)},),
        {name: {"metadata": {"name": name}, "content": content}},
    ]


def test_an_upload_takes_its_place_and_a_bad_one_does_not() -> None:
    pytest.importorskip("ipywidgets")
    for number in range(2):
        own = OwnPhotograph(torch.zeros(3, 4, 4, dtype=torch.uint8), "before")
        button, said = upload_panel(own).children
        [take] = button._trait_notifiers["value"]["change"][-1:]
        take({"new": uploads("my cat.png", b"no image")[number]})
        assert own.name == "before" and "my cat.png cannot be read as an image" in said.value
        assert "labkit-upload" not in said.value
        take({"new": uploads("../my cat.png", picture(8, 6))[number]})
        assert own.image.shape == (3, 6, 8) and "8 x 6 pixels" in said.value


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[tuple[dict[str, Any], str]]:
    found: list[tuple[dict[str, Any], str]] = []
    monkeypatch.setattr(plots, "image_grid", lambda rows, columns, scale: (columns, rows))
    monkeypatch.setattr(photograph.plots, "show", lambda figure, alt: found.append((figure, alt)))
    return found


def test_gray_each_model_and_the_original(shown: list[Any]) -> None:
    image = torch.tensor(RED, dtype=torch.uint8).view(3, 1, 1).expand(3, 6, 9)
    show_on(
        image, {"yours": lambda gray: gray.expand(-1, 3, -1, -1) * 9, "starter": lambda gray: torch.cat([gray] * 3, 1)}
    )
    (columns, rows), alt = shown[0]
    assert columns == ["gray", "yours", "starter", "original"]
    assert "9 x 6 pixels" in alt and "yours, starter" in alt and "and the original" in alt
    assert float(rows[""][1].max()) <= 1
    show_on(image[:1].expand(3, -1, -1), {})
    assert shown[1][0][0] == ["gray"] and "has no color" in shown[1][1]


def test_a_model_of_another_shape_and_an_image_of_another_shape(shown: list[Any]) -> None:
    image = torch.zeros(3, 6, 9, dtype=torch.uint8)
    with pytest.raises(LabkitError, match=r"from yours: got \(1, 1, 6, 9\), expected \(1, 3, 6, 9\)"):
        show_on(image, {"yours": lambda gray: gray})
    with pytest.raises(LabkitError, match=r"expected \(3, H, W\)"):
        show_on(image[None], {})


def test_a_colorizer_keeps_the_gray(monkeypatch: pytest.MonkeyPatch) -> None:
    from labkit.color import luma
    from labkit.colorizer import Colorizer

    images: list[np.ndarray] = []
    monkeypatch.setattr(IPython.display, "display", lambda *a, **k: None)
    monkeypatch.setattr(
        plots, "image_grid", lambda rows, columns, scale: images.extend(rows[""]) or plots.bars({"a": 1})
    )
    show_on(own_photograph().image, {"starter": Colorizer.starter()})
    gray, colored, original = images
    assert float((luma(colored[None])[0] - gray).abs().mean()) < 0.01
    assert original.dtype == torch.uint8
