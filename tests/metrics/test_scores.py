"""Tables of scores: averages, the gray baseline, and evaluation in batches."""

import math

import pytest
import torch
from torch import nn

from labkit import LabkitError, metrics
from labkit.metrics import inputs, pixel


def test_the_two_psnr_means(pair):
    result = metrics.score(*pair)
    assert list(result) == list(metrics.KEYS)
    assert result["psnr_pooled"] == pytest.approx(-10 * math.log10(result["mse"]), abs=1e-6)
    assert result["psnr_mean"] > result["psnr_pooled"] + 1  # Jensen: never smaller; here the images differ a lot
    same = metrics.score(pair[0][:1], pair[1][:1])
    assert same["psnr_mean"] == pytest.approx(same["psnr_pooled"], abs=1e-4)


def test_only_the_scores_that_are_wanted(pair, monkeypatch):
    expected = metrics.score_with_gray(*pair)
    monkeypatch.setattr(pixel, "_ssim", None)  # whoever calls it fails
    keys = ("psnr_pooled", "colorfulness")
    assert metrics.score(*pair, keys) == {key: expected[key] for key in keys}
    found = metrics.score_with_gray(*pair, keys=keys)
    assert list(found) == [*keys, "skill", "gray"] and found["skill"] == expected["skill"]
    assert found["gray"] == {key: expected["gray"][key] for key in (*keys, "skill")}
    assert metrics.evaluate(lambda images: pair[0], pair[1], keys=["mae"])["mae"] == pytest.approx(expected["mae"])
    for wrong in ("mse", ["mse", "speed"]):
        with pytest.raises(LabkitError, match="keys must be a list of mse, mae, .* Got .*mse"):
            metrics.score(*pair, keys=wrong)


def test_gray_prediction_and_skill():
    true = torch.randint(0, 256, (3, 3, 12, 12), dtype=torch.uint8)
    gray = metrics.gray_prediction(true)
    assert gray.shape == true.shape
    assert torch.equal(gray[:, 0], gray[:, 2])
    r, g, b = (true.double() / 255).unbind(1)
    assert torch.allclose(gray[:, 1].double(), 0.299 * r + 0.587 * g + 0.114 * b, atol=1e-6)
    result = metrics.score_with_gray(gray, true)
    assert result["skill"] == 0
    assert result["gray"] == {**metrics.score(gray, true), "skill": 0.0}
    assert metrics.score_with_gray(true / 255.0, true)["skill"] == pytest.approx(1, abs=1e-6)
    assert metrics.skill(0.0038, 0.005985) == pytest.approx(0.365, abs=1e-3)
    assert metrics.skill(0.0, 0.0) == 0
    assert metrics.skill(0.1, 0.0) == -math.inf


class Fake(nn.Module):
    """A colorizer whose answer is the true image, dimmed by its network."""

    def __init__(self) -> None:
        super().__init__()
        self.network = nn.Sequential(nn.Conv2d(1, 1, 1), nn.Dropout())
        self.network[1].eval()  # frozen on purpose
        self.sizes: list[int] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        assert not any(module.training for module in self.network.modules())
        assert not torch.is_grad_enabled()
        self.sizes.append(len(images))
        return 0.9 * images / 255.0


def test_evaluate_works_in_batches_and_restores_the_mode():
    images = torch.randint(0, 256, (7, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    fake = Fake()
    result = metrics.evaluate(fake, images, batch_size=3)
    assert fake.sizes == [3, 3, 1]
    assert [module.training for module in fake.network] == [True, False]
    assert list(result) == [*metrics.KEYS, "skill", "gray"]
    assert list(result["gray"]) == [*metrics.KEYS, "skill"]
    expected = metrics.score_with_gray(0.9 * images / 255.0, images)
    assert result["gray"] == pytest.approx(expected.pop("gray"), rel=1e-5)
    assert {key: result[key] for key in expected} == pytest.approx(expected, rel=1e-5)


def test_evaluate_takes_fewer_large_images_at_a_time(monkeypatch):
    monkeypatch.setattr(inputs, "CHUNK_PIXELS", 600)
    fake = Fake()
    metrics.evaluate(fake, torch.zeros(4, 3, 16, 16, dtype=torch.uint8))
    assert fake.sizes == [2, 2]


def test_evaluate_restores_the_mode_after_an_error():
    fake = Fake()
    fake.forward = lambda images: 1 / 0
    with pytest.raises(ZeroDivisionError):
        metrics.evaluate(fake, torch.zeros(1, 3, 16, 16, dtype=torch.uint8))
    assert fake.network.training


@pytest.mark.realdata
def test_gray_baseline_on_real_horses(real_data):
    data = pytest.importorskip("labkit.data")
    horses = data.load("cifar10", "test", classes="horse", root=real_data).images
    assert len(horses) == 1000
    result = metrics.score(metrics.gray_prediction(horses), horses)
    assert result["mse"] == pytest.approx(0.005985, abs=5e-7)
    assert result["mae"] == pytest.approx(0.0495, abs=5e-5)
    assert result["psnr_mean"] == pytest.approx(24.11, abs=5e-3)
    assert result["psnr_pooled"] == pytest.approx(22.23, abs=5e-3)
    assert result["ssim"] == pytest.approx(0.943, abs=5e-4)
