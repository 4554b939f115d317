"""Colorize pictures of every kind; save, load, and refuse what does not fit."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch

from labkit import LabkitError, color
from labkit.colorizer import CARD_FILE, STARTER, WEIGHTS_FILE, Colorizer, read_image


@pytest.fixture
def colorizer() -> Colorizer:
    made = Colorizer("luma-chroma", "unet-half", width=4, seed=1)
    made.network.eval()
    return made


def test_same_seed_same_weights_and_the_global_generator_is_left_alone() -> None:
    before = torch.get_rng_state()
    first, again, other = (Colorizer(width=4, seed=seed) for seed in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), before)
    weights = [torch.cat([p.flatten() for p in c.network.parameters()]) for c in (first, again, other)]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


@pytest.mark.parametrize("size", [(1, 1), (31, 33), (64, 20)])
@pytest.mark.parametrize("working_size", [None, 8])
def test_any_size_and_luma_is_kept(colorizer: Colorizer, size: tuple[int, int], working_size: int | None) -> None:
    rgb = torch.rand(3, *size, generator=torch.Generator().manual_seed(0))
    out = colorizer.colorize(rgb, working_size=working_size)
    assert out.shape == rgb.shape and out.min() >= 0 and out.max() <= 1
    torch.testing.assert_close(color.luma(out), color.luma(rgb), atol=1e-5, rtol=0)


def test_every_kind_of_input_is_the_same_picture(colorizer: Colorizer, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    file = tmp_path / "photo.png"
    PIL.Image.fromarray(pixels).save(file)
    tensor = torch.from_numpy(pixels).permute(2, 0, 1)
    expected = colorizer.colorize(tensor)
    for same in (pixels, file, str(file), PIL.Image.open(file), tensor[None], tensor.float() / 255):
        out = colorizer.colorize(same)
        torch.testing.assert_close(out[0] if out.dim() == 4 else out, expected, atol=1e-5, rtol=0)


def test_gray_inputs(colorizer: Colorizer) -> None:
    gray = np.random.default_rng(0).integers(0, 256, (12, 12), dtype=np.uint8)
    out = colorizer.colorize(gray)
    torch.testing.assert_close(color.luma(out)[0], torch.from_numpy(gray).float() / 255, atol=1e-5, rtol=0)


@pytest.mark.parametrize("bad", [np.zeros((4, 4, 2), np.uint8), torch.zeros(2, 4, 4), torch.zeros(4, 4)])
def test_other_shapes_are_refused(colorizer: Colorizer, bad: np.ndarray | torch.Tensor) -> None:
    with pytest.raises(ValueError, match="Got"):
        colorizer.colorize(bad)


def test_flip_average_is_mirror_symmetric(colorizer: Colorizer) -> None:
    rgb = torch.rand(3, 16, 16)
    left = colorizer.colorize(rgb, flip_average=True)
    right = colorizer.colorize(rgb.flip(-1), flip_average=True).flip(-1)
    torch.testing.assert_close(left, right, atol=1e-6, rtol=0)


def test_predicting_leaves_training_mode_as_it_was(colorizer: Colorizer) -> None:
    colorizer.network.train()
    before = {name: tensor.clone() for name, tensor in colorizer.network.state_dict().items()}
    colorizer.colorize(torch.rand(3, 16, 16))
    assert colorizer.network.training
    assert all(torch.equal(before[name], tensor) for name, tensor in colorizer.network.state_dict().items())


def test_save_and_load(colorizer: Colorizer, tmp_path: Path) -> None:
    colorizer.save(tmp_path)
    again = Colorizer.load(tmp_path)
    rgb = torch.rand(2, 3, 16, 16)
    assert torch.equal(again(rgb), colorizer(rgb))
    first = (tmp_path / WEIGHTS_FILE).read_bytes()
    again.save(tmp_path / "again")
    assert (tmp_path / "again" / WEIGHTS_FILE).read_bytes() == first  # no times, no paths


def test_half_precision_files_are_half_as_large(colorizer: Colorizer, tmp_path: Path) -> None:
    colorizer.save(tmp_path / "full")
    colorizer.save(tmp_path / "half", torch.float16)
    sizes = [(tmp_path / kind / WEIGHTS_FILE).stat().st_size for kind in ("full", "half")]
    assert sizes[1] < 0.7 * sizes[0]
    rgb = torch.rand(1, 3, 16, 16)
    again = Colorizer.load(tmp_path / "half")
    assert next(again.network.parameters()).dtype == torch.float32
    torch.testing.assert_close(again(rgb), colorizer(rgb), atol=5e-3, rtol=0)


def _edit(folder: Path, **changes: object) -> None:
    card = json.loads((folder / CARD_FILE).read_text())
    for key, value in changes.items():
        if value is None:
            del card[key]
        else:
            card[key] = value
    (folder / CARD_FILE).write_text(json.dumps(card))


def test_a_model_older_than_an_option_is_as_it_was(tmp_path: Path) -> None:
    """Networks for photographs have attention by default now; one saved before there was any has none."""
    old = Colorizer("luma-chroma", "unet-guided", width=4, depth=2, attention=0)
    old.save(tmp_path)
    config = old.network.config()
    del config["attention"]
    _edit(tmp_path, network=config)
    again = Colorizer.load(tmp_path)
    rgb = torch.rand(1, 3, 16, 16)
    assert torch.equal(again(rgb), old(rgb)) and again.network.config() == old.network.config()


def test_what_does_not_fit_is_refused_in_one_line(colorizer: Colorizer, tmp_path: Path) -> None:
    def refused(match: str) -> None:
        with pytest.raises(LabkitError, match=match) as caught:
            Colorizer.load(tmp_path)
        assert "\n" not in str(caught.value)

    refused("model.json is missing")
    colorizer.save(tmp_path)
    _edit(tmp_path, format=99)
    refused("has format 99")
    colorizer.save(tmp_path)
    _edit(tmp_path, network=None)
    refused("lacks network")
    colorizer.save(tmp_path)
    _edit(tmp_path, network={"width": 4})
    refused("network must be an object with a name")
    colorizer.save(tmp_path)
    _edit(tmp_path, network=colorizer.network.config() | {"width": 8})
    refused("does not fit the network")
    colorizer.save(tmp_path)
    _edit(tmp_path, network=colorizer.network.config() | {"depth": 4})
    refused("does not fit the network")
    colorizer.save(tmp_path)
    (tmp_path / CARD_FILE).write_text("{")
    refused("is not JSON")
    colorizer.save(tmp_path)
    weights = (tmp_path / WEIGHTS_FILE).read_bytes()
    (tmp_path / WEIGHTS_FILE).write_bytes(weights[: len(weights) // 2])
    refused("is damaged")


def test_luma_needs_full_resolution() -> None:
    with pytest.raises(LabkitError, match="'rgb' predicts luma, which needs full resolution"):
        Colorizer("rgb", "unet-half")


def test_the_starter_model_ships_and_beats_gray_on_real_photographs() -> None:
    from labkit.data import load
    from labkit.metrics import evaluate

    starter = Colorizer.starter()
    assert (STARTER / WEIGHTS_FILE).stat().st_size <= 10_000_000
    assert starter.network.output_stride == 2
    photos = load("photos", "test", size=64).images
    assert evaluate(starter, photos)["colorfulness"] > 5  # it does paint


@pytest.mark.parametrize("network", ["unet-half", "cnn"])
@pytest.mark.parametrize("size", [(1, 30), (30, 1), (1, 1)])
def test_a_picture_may_be_one_pixel_high(network: str, size: tuple[int, int]) -> None:
    gray = torch.rand(1, *size)
    for working_size in (None, 8):
        rgb = Colorizer("luma-chroma", network, width=4).colorize(gray, working_size=working_size)
        assert rgb.shape == (3, *size)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (255 * torch.rand(3, 8, 8), r"float values in \[0, 1\] \(divide by 255\?\)"),
        (torch.full((3, 8, 8), float("nan")), "Got nan to nan"),
        (torch.rand(3, 8, 8) - 5, "Got -"),
        (torch.rand(0, 3, 8, 8), "not empty"),
        (np.array([[None]]), "Got object"),
        (None, "Got NoneType"),
    ],
)
def test_what_is_no_image_is_refused(image: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        Colorizer("luma-chroma", "cnn", width=4).colorize(image)


def test_a_pillow_image_is_read_as_its_file_is() -> None:
    deep = PIL.Image.fromarray(np.full((4, 4), 0x8000, np.uint16))
    assert int(read_image(deep).float().mean()) == 128  # Pillow's own conversion makes it white
    clear = PIL.Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    assert int(read_image(clear).min()) == 255


@pytest.mark.parametrize(
    ("part", "changes", "message"),
    [
        ("network", {"out_channels": 7}, "predicts 7 channels, luma-chroma has 2"),
        ("network", {"width": 2.5}, "describes a network that cannot be made"),
        ("network", {"width": 10**7}, "does not fit the network"),  # 3 million GB, if it were made to be compared
        ("network", {"normalization": "none"}, "does not fit the network"),
    ],
)
def test_a_card_that_does_not_fit_is_refused(tmp_path: Path, part: str, changes: dict[str, Any], message: str) -> None:
    Colorizer("luma-chroma", "cnn", width=2).save(tmp_path)
    card = json.loads((tmp_path / CARD_FILE).read_text())
    card[part] |= changes
    (tmp_path / CARD_FILE).write_text(json.dumps(card))
    with pytest.raises(LabkitError, match=message):
        Colorizer.load(tmp_path)


def test_weights_that_are_not_numbers_are_refused(tmp_path: Path) -> None:
    colorizer = Colorizer("luma-chroma", "cnn", width=2)
    with torch.no_grad():
        next(colorizer.network.parameters()).fill_(float("nan"))
    colorizer.save(tmp_path)
    with pytest.raises(LabkitError, match="holds NaN or infinity"):
        Colorizer.load(tmp_path)
