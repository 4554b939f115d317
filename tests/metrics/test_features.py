"""The features of KID, FID and the perceptual loss: the file that ships, its recipe, and what it notices."""

import json
import re

import pytest
import torch

from labkit import metrics
from labkit.artifacts import sha256
from labkit.errors import LabkitError
from labkit.metrics import features

CARD = json.loads((features.FOLDER / features.CARD_FILE).read_text(encoding="utf-8"))


def pictures(count: int = 4, height: int = 32, width: int = 32) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 3, height, width), dtype=torch.uint8, generator=generator)


def desaturated(rgb: torch.Tensor, saturation: float) -> torch.Tensor:
    """On the straight path from gray (0) to the true colors (1), at equal luma."""
    gray = metrics.gray_prediction(rgb)
    return gray + saturation * (rgb / 255 - gray)


# ------------------------------------------------------------------------------------------------------ what ships


def test_the_shipped_file_is_the_one_of_its_cards():
    weights = features.FOLDER / features.WEIGHTS_FILE
    assert weights.stat().st_size <= 1_000_000
    assert sha256(weights) == CARD["sha256"]
    assert (
        sum(p.numel() for p in features.pretrained_classifier(torch.device("cpu")).parameters()) == CARD["parameters"]
    )
    text = (features.FOLDER / "CARD.md").read_text(encoding="utf-8")
    assert f"{CARD['parameters']:,} parameters" in text
    assert CARD["sha256"] in text
    assert f"{weights.stat().st_size:,} bytes" in text
    assert f"{CARD['about']['test_accuracy']:.4f}"[1:] in text
    assert f"{CARD['about']['validation_accuracy']:.4f}"[1:] in text
    assert "python -m labkit.training.features --out" in text


def test_what_does_not_fit_together_is_refused(tmp_path):
    with pytest.raises(LabkitError, match="model.json is missing"):
        features.load_classifier(tmp_path)
    for name in (features.CARD_FILE, features.WEIGHTS_FILE):
        (tmp_path / name).write_bytes((features.FOLDER / name).read_bytes())
    features.load_classifier(tmp_path)
    with open(tmp_path / features.WEIGHTS_FILE, "r+b") as file:
        file.seek(5000)
        file.write(b"\xff\xff")
    with pytest.raises(LabkitError, match="model.safetensors is damaged"):
        features.load_classifier(tmp_path)


# -------------------------------------------------------------------------------------------------------- features


def test_features_are_the_same_however_they_are_asked_for(monkeypatch):
    images = pictures(6)
    found = features.extract_features(images)
    assert found.shape == (6, features.WIDTHS[-1])
    assert found.dtype == torch.float32
    assert not found.requires_grad
    assert found.isfinite().all() and found.std(dim=0).max() > 0
    assert torch.equal(features.extract_features(images), found)
    for same in (images / 255, (images / 255).double(), images.contiguous(memory_format=torch.channels_last)):
        assert torch.allclose(features.extract_features(same), found, atol=1e-5)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.allclose(features.extract_features(images), found, atol=1e-5)
    monkeypatch.setattr(features, "CHUNK_PIXELS", 2 * 32 * 32)
    assert torch.allclose(features.extract_features(images), found, atol=1e-5)


@pytest.mark.parametrize("size", [(32, 32), (7, 5), (33, 48), (96, 96)])
def test_features_take_any_size(size):
    assert features.extract_features(pictures(2, *size)).shape == (2, 128)
    assert features.pretrained_classifier(torch.device("cpu")).maps(pictures(2, *size) / 255)[-1].shape[-2:] == tuple(
        -(-side // 4) for side in size
    )


def test_features_of_an_enlarged_image_are_nearly_its_own():
    small = torch.nn.functional.avg_pool2d(pictures(8, 128, 128) / 255, 16)  # smooth
    small = torch.nn.functional.interpolate(small, size=(32, 32), mode="bilinear")
    large = torch.nn.functional.interpolate(small, size=(96, 96), mode="bilinear")
    own, others = features.extract_features(small), features.extract_features(small.flip(0))
    assert (features.extract_features(large) - own).norm() < 0.2 * (others - own).norm()


def test_wrong_shapes_are_refused():
    for images in (pictures(1)[0], pictures(1)[:, :1], pictures(1)[:0]):
        with pytest.raises(ValueError, match=re.escape(f"got {tuple(images.shape)}")):
            features.extract_features(images)


# --------------------------------------------------------------------------------------- what the features notice


@pytest.mark.slow
@pytest.mark.realdata
def test_the_cards_code_prints_what_the_card_says(real_data, monkeypatch, capsys):
    text = (features.FOLDER / "CARD.md").read_text(encoding="utf-8")
    [(code, said)] = re.findall(r"```python\n(.*?)```\n\nprints\n\n```\n(.*?)```", text, re.DOTALL)
    monkeypatch.setenv("LABKIT_DATA", str(real_data))
    exec(code, {})
    printed = capsys.readouterr().out
    number = r"\d+\.\d{3,}"
    assert re.sub(number, "#", printed) == re.sub(number, "#", said)
    found, expected = ([float(n) for n in re.findall(number, lines)] for lines in (printed, said))
    assert found == pytest.approx(expected, rel=0.02, abs=2e-5)  # another machine rounds otherwise


@pytest.mark.realdata
def test_kid_and_fid_order_real_images_by_saturation(real_data):
    from labkit.data import load

    images = load("cifar10", "test", limit=600, root=real_data).images
    own = features.extract_features(images)

    def seen(rgb: torch.Tensor) -> torch.Tensor:
        return own if rgb is images else features.extract_features(rgb)

    halves = metrics.kid(images[:300], images[300:])
    assert abs(halves.mean) < 2 * halves.sd
    path = [desaturated(images, saturation) for saturation in (0.0, 0.4, 0.8)]
    kids = [metrics.kid(rgb, images, seen) for rgb in path]
    assert [found.mean for found in kids] == sorted((found.mean for found in kids), reverse=True)
    assert all(found.mean > 3 * found.sd for found in kids)  # gray is seen at once, a fifth less color too
    distances = [metrics.fid(rgb, images, seen) for rgb in path]
    assert distances == sorted(distances, reverse=True)
    wrong_colors = metrics.kid(images.roll(1, dims=1), images, seen)  # red as green, green as blue, blue as red
    assert wrong_colors.mean > 5 * wrong_colors.sd
