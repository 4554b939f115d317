"""Write images into files and show them."""

from pathlib import Path
from typing import Any

import pytest
import torch

import labkit as lk
from labkit import LabkitError, color, plots


@pytest.mark.parametrize("channels", [1, 3])
def test_a_saved_image_is_read_again(channels: int, tmp_path: Path) -> None:
    image = torch.rand(channels, 5, 7, generator=torch.Generator().manual_seed(0))
    lk.save_image(image, tmp_path / "new folder" / "image.png")
    again = lk.read_image(tmp_path / "new folder" / "image.png")
    assert torch.equal(again, color.to_uint8(image).expand(3, -1, -1))


@pytest.mark.parametrize(
    ("image", "name", "message"),
    [
        (torch.rand(2, 3, 4, 4), "a.png", r"expected an image \(3 or 1, H, W\). Got \(2, 3, 4, 4\)"),
        (torch.rand(3, 0, 4), "a.png", "Got"),
        (torch.rand(3, 4, 4), "a.horse", "ends in .png, .jpg"),
        (torch.rand(3, 4, 4), "a", "ends in .png, .jpg"),
    ],
)
def test_what_cannot_be_saved_is_refused(image: torch.Tensor, name: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(LabkitError, match=message):
        lk.save_image(image, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_show_takes_data_sets_and_tensors_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    import IPython.core.getipython

    shown: list[Any] = []
    monkeypatch.setattr(IPython.core.getipython, "get_ipython", object)
    monkeypatch.setattr(plots, "show", lambda figure, alt: shown.append((figure, alt)))
    data = lk.load("toyworld", "test", limit=2)
    assert lk.show(gray=lk.luma(data), true=data) is None
    [(figure, alt)] = shown
    assert alt == "Rows of images: gray, true."
    assert [text.get_text() for text in figure.texts] == ["gray", "true"] and len(figure.axes) == 4
