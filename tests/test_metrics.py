"""Metrics against scikit-image, closed forms and the figures measured on real images."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from labkit import metrics


@pytest.fixture
def pair() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    true = torch.rand(5, 3, 24, 37, generator=generator)
    noise = torch.rand(5, 3, 24, 37, generator=generator)
    amount = torch.tensor([0.02, 0.1, 0.3, 0.6, 1.0]).view(-1, 1, 1, 1)
    return (true + amount * (noise - true)).clamp(0, 1), true


def hwc(image: torch.Tensor) -> np.ndarray:
    return image.permute(1, 2, 0).double().numpy()


def test_errors_against_numpy(pair):
    pred, true = pair
    difference = (pred - true).double().numpy()
    assert metrics.mse(pred, true).numpy() == pytest.approx((difference**2).mean((1, 2, 3)), rel=1e-5)
    assert metrics.mae(pred, true).numpy() == pytest.approx(np.abs(difference).mean((1, 2, 3)), rel=1e-5)


def test_psnr_against_scikit_image(pair):
    from skimage.metrics import peak_signal_noise_ratio

    expected = [peak_signal_noise_ratio(hwc(t), hwc(p), data_range=1) for p, t in zip(*pair, strict=True)]
    assert metrics.psnr(*pair).numpy() == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("size", [(11, 11), (24, 37), (32, 32)])
def test_ssim_against_scikit_image(size):
    from skimage.metrics import structural_similarity

    generator = torch.Generator().manual_seed(1)
    true = torch.rand(4, 3, *size, generator=generator)
    pred = (true + 0.2 * torch.randn(true.shape, generator=generator)).clamp(0, 1)
    expected = [
        structural_similarity(
            hwc(t), hwc(p), gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1, channel_axis=2
        )
        for p, t in zip(pred, true, strict=True)
    ]
    assert metrics.ssim(pred, true).numpy() == pytest.approx(expected, abs=1e-4)


def test_ssim_of_flat_and_equal_images():
    flat = torch.full((2, 3, 16, 16), 0.5)
    assert metrics.ssim(flat, flat).tolist() == pytest.approx([1, 1], abs=1e-5)
    assert metrics.ssim(flat[:1], flat[:1]).shape == (1,)
    assert metrics.ssim(torch.zeros_like(flat), flat).isfinite().all()


def test_ssim_in_chunks_is_the_same(pair, monkeypatch):
    whole = metrics.ssim(*pair)
    monkeypatch.setattr(metrics, "CHUNK_PIXELS", 2 * 24 * 37)
    assert torch.allclose(metrics.ssim(*pair), whole, atol=1e-6)
    assert metrics.score(*pair)["ssim"] == pytest.approx(whole.mean().item(), abs=1e-6)


def test_ssim_refuses_small_images():
    small = torch.zeros(2, 3, 10, 40)
    with pytest.raises(ValueError, match=r"at least 11 x 11.*Got \(2, 3, 10, 40\)"):
        metrics.ssim(small, small)


def test_psnr_is_capped_at_50():
    true = torch.rand(3, 3, 12, 12)
    pred = true.clone()
    pred[1] += 1e-3  # 60 dB
    pred[2] += 0.1  # 20 dB
    assert metrics.psnr(pred, true).tolist() == pytest.approx([50, 50, 20], abs=1e-3)
    perfect = metrics.score(true, true)
    assert (perfect["psnr_mean"], perfect["psnr_pooled"]) == (50, 50)


def test_the_two_psnr_means(pair):
    result = metrics.score(*pair)
    assert list(result) == list(metrics.KEYS)
    assert result["psnr_pooled"] == pytest.approx(-10 * math.log10(result["mse"]), abs=1e-6)
    assert result["psnr_mean"] > result["psnr_pooled"] + 1  # Jensen: never smaller; here the images differ a lot
    same = metrics.score(pair[0][:1], pair[1][:1])
    assert same["psnr_mean"] == pytest.approx(same["psnr_pooled"], abs=1e-4)


def test_colorfulness_is_the_signed_formula():
    rgb = torch.rand(4, 3, 20, 20, generator=torch.Generator().manual_seed(3))
    red, green, blue = (255 * rgb.double().numpy()).transpose(1, 0, 2, 3)
    rg, yb = red - green, (red + green) / 2 - blue

    def direct(rg: np.ndarray, yb: np.ndarray) -> np.ndarray:
        spread = np.sqrt(rg.var(axis=(1, 2)) + yb.var(axis=(1, 2)))
        return spread + 0.3 * np.sqrt(rg.mean(axis=(1, 2)) ** 2 + yb.mean(axis=(1, 2)) ** 2)

    ours = metrics.colorfulness(rgb).numpy()
    assert ours == pytest.approx(direct(rg, yb), rel=1e-4)
    assert np.abs(ours - direct(np.abs(rg), np.abs(yb))).min() > 5  # the known mistake is far off


def test_colorfulness_of_gray_and_of_one_color():
    assert metrics.colorfulness(torch.rand(2, 1, 8, 8).expand(-1, 3, -1, -1)).tolist() == pytest.approx(
        [0, 0], abs=1e-3
    )
    red = torch.tensor([255, 0, 0], dtype=torch.uint8).view(1, 3, 1, 1).expand(1, 3, 8, 8)
    assert metrics.colorfulness(red).item() == pytest.approx(0.3 * math.hypot(255, 127.5), rel=1e-5)


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


def test_uint8_half_and_mixed_dtypes_agree():
    true = torch.randint(0, 256, (2, 3, 12, 12), dtype=torch.uint8)
    pred = torch.rand(2, 3, 12, 12)
    expected = metrics.score(pred, true / 255.0)
    assert metrics.score(pred, true) == pytest.approx(expected, rel=1e-5)
    assert metrics.score(pred.double(), true) == pytest.approx(expected, rel=1e-4)
    half = metrics.mse(pred.half(), true)
    assert half.dtype == torch.float32
    assert half.numpy() == pytest.approx(metrics.mse(pred, true).numpy(), rel=1e-2)


@pytest.mark.parametrize("function", [metrics.mse, metrics.mae, metrics.psnr, metrics.ssim, metrics.score])
@pytest.mark.parametrize(
    ("pred", "true"),
    [
        (torch.zeros(2, 3, 16, 16), torch.zeros(2, 3, 16, 15)),
        (torch.zeros(1, 3, 16, 16), torch.zeros(2, 3, 16, 16)),
        (torch.zeros(3, 16, 16), torch.zeros(3, 16, 16)),
        (torch.zeros(2, 1, 16, 16), torch.zeros(2, 1, 16, 16)),
        (torch.zeros(0, 3, 16, 16), torch.zeros(0, 3, 16, 16)),
    ],
)
def test_wrong_shapes_are_refused(function, pred, true):
    with pytest.raises(ValueError, match="Got"):
        function(pred, true)


def test_wrong_types_are_refused():
    image = torch.zeros(1, 3, 16, 16)
    with pytest.raises(TypeError, match="Got ndarray"):
        metrics.mse(image.numpy(), image)
    with pytest.raises(TypeError, match=r"Got torch\.int64"):
        metrics.colorfulness(image.long())


class Fake:
    """A colorizer whose answer is the true image, dimmed by its network."""

    def __init__(self) -> None:
        self.network = nn.Sequential(nn.Conv2d(1, 1, 1), nn.Dropout())
        self.network[1].eval()  # frozen on purpose
        self.sizes: list[int] = []

    def reconstruct(self, images: torch.Tensor) -> torch.Tensor:
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
    monkeypatch.setattr(metrics, "CHUNK_PIXELS", 600)
    fake = Fake()
    metrics.evaluate(fake, torch.zeros(4, 3, 16, 16, dtype=torch.uint8))
    assert fake.sizes == [2, 2]


def test_evaluate_restores_the_mode_after_an_error():
    fake = Fake()
    fake.reconstruct = lambda images: 1 / 0
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
