"""Metrics against scikit-image, closed forms and the figures measured on real images."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from labkit import metrics
from labkit.errors import LabkitError


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


def test_color_bias_is_the_signed_difference_in_ab():
    from skimage.color import rgb2lab

    generator = torch.Generator().manual_seed(4)
    pred, true = (torch.rand(3, 3, 12, 12, generator=generator) for _ in range(2))
    reference = [
        (rgb2lab(p, channel_axis=0) - rgb2lab(t, channel_axis=0)).mean(axis=(1, 2))[1:]
        for p, t in zip(pred.numpy(), true.numpy(), strict=True)
    ]
    assert metrics.color_bias(pred, true).numpy() == pytest.approx(np.array(reference), abs=2e-3)
    assert metrics.color_bias(pred, pred).abs().max() == 0
    orange = torch.tensor([0.9, 0.6, 0.2]).view(1, 3, 1, 1).expand(1, 3, 12, 12)
    a, b = metrics.color_bias(orange, metrics.gray_prediction(orange))[0]
    assert a > 5 and b > 50  # too red, much too yellow: above zero


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


@pytest.mark.parametrize("threshold", [0.0, 0.02, 0.05, 0.3, 1.0])
def test_pixel_accuracy_against_numpy(pair, threshold):
    pred, true = pair
    right = np.abs((pred.double() - true.double()).numpy()) <= threshold + metrics.ROUNDING
    ours = metrics.pixel_accuracy(pred, true, threshold)
    assert list(ours) == ["all", "red", "green", "blue"]
    assert ours["all"].numpy() == pytest.approx(right.all(1).mean((1, 2)), abs=1e-6)
    for channel, name in enumerate(("red", "green", "blue")):
        assert ours[name].shape == (len(true),)
        assert ours[name].numpy() == pytest.approx(right[:, channel].mean((1, 2)), abs=1e-6)
        assert (ours["all"] <= ours[name]).all()
    assert ours["all"].mean().item() == pytest.approx(right.all(1).mean(), abs=1e-6)  # mean over images = pooled


def test_pixel_accuracy_knows_its_channels_and_its_edge():
    true = torch.full((1, 3, 4, 4), 100, dtype=torch.uint8)
    pred = true.clone()
    pred[:, 0, :2] += 5  # half of the red values are off by 5 / 255
    wrong = {key: value.item() for key, value in metrics.pixel_accuracy(pred, true, 4.9 / 255).items()}
    assert wrong == {"all": 0.5, "red": 0.5, "green": 1, "blue": 1}
    for images in [(pred, true), (pred / 255, true / 255), (pred, true / 255.0), (pred.double() / 255, true)]:
        assert metrics.pixel_accuracy(*images, 5 / 255)["all"].item() == 1  # at the threshold itself is right


def test_lab_pixel_accuracy_is_the_rule_of_nazeri(pair, monkeypatch):
    from skimage.color import rgb2lab

    pred, true = pair

    def direct(threshold: float, scale: float = 2.2) -> list[float]:
        shares = []
        for p, t in zip(pred, true, strict=True):
            difference = np.abs(rgb2lab(hwc(p)) - rgb2lab(hwc(t)))
            shares.append((difference <= threshold * np.array([1, scale, scale])).all(-1).mean())
        return shares

    one = 1.1 / (24 * 37)  # one pixel may fall on the other side by rounding
    for threshold in (0.0, 1.0, 2.0, 5.0, 20.0):
        ours = metrics.lab_pixel_accuracy(pred, true, threshold)
        assert ours.numpy() == pytest.approx(direct(threshold), abs=one)
    assert np.abs(ours.numpy() - direct(20.0, scale=1.0)).max() > 0.02  # a tighter a and b would be seen
    monkeypatch.setattr(metrics, "CHUNK_PIXELS", 2 * 24 * 37)
    assert torch.equal(metrics.lab_pixel_accuracy(pred, true, 20.0), ours)


def test_accuracy_grows_with_the_threshold_and_refuses_nonsense(pair):
    rgb = [metrics.pixel_accuracy(*pair, t)["all"] for t in (0.0, 0.02, 0.05, 0.1, 1.0)]
    lab = [metrics.lab_pixel_accuracy(*pair, t) for t in (0.0, 2.0, 5.0, 10.0, 300.0)]
    for shares in (rgb, lab):
        assert all((a <= b).all() for a, b in pairwise(shares))
        assert (shares[-1] == 1).all()
    for threshold in (-0.1, 5.0, math.nan):  # 5 percent is .05
        with pytest.raises(LabkitError, match="expected 0 to 1"):
            metrics.pixel_accuracy(*pair, threshold)
    with pytest.raises(LabkitError, match="Got -1"):
        metrics.lab_pixel_accuracy(*pair, -1)


def noise(count: int, dimensions: int, seed: int) -> torch.Tensor:
    return torch.randn(count, dimensions, generator=torch.Generator().manual_seed(seed))


def as_images(vectors: torch.Tensor) -> torch.Tensor:
    """Images (N, 3, 1, 1) that carry vectors of three numbers, for features=flat."""
    return vectors[:, :, None, None]


def flat(images: torch.Tensor) -> torch.Tensor:
    return images.flatten(1)


def test_mmd_against_torchmetrics_and_loops():
    from torchmetrics.image.kid import poly_mmd

    x, y = noise(20, 6, 0), 0.5 * noise(20, 6, 1) + 0.3
    assert metrics.mmd(x, y).item() == pytest.approx(poly_mmd(x, y).item(), abs=1e-5)

    def kernel(a, b):
        return (float(a @ b) / 6 + 1) ** 3

    def mean(pairs):
        return sum(kernel(a, b) for a, b in pairs) / len(pairs)

    def between(some, others, keep):
        return mean([(a, b) for i, a in enumerate(some) for j, b in enumerate(others) if keep(i, j)])

    few = y[:7]  # the sets need not be of one size

    def expected(x, y, keep):
        own = between(x, x, lambda i, j: i != j) + between(y, y, lambda i, j: i != j)
        return own - 2 * between(x, y, keep)

    assert metrics.mmd(x, few).item() == pytest.approx(expected(x, few, lambda i, j: True), abs=1e-5)
    assert metrics.mmd(x, y, paired=True).item() == pytest.approx(expected(x, y, lambda i, j: i != j), abs=1e-5)
    with pytest.raises(ValueError, match=r"Got \(20, 6\) and \(7, 6\)"):
        metrics.mmd(x, few, paired=True)


def test_mmd_is_unbiased_and_its_known_mistakes_are_not():
    def paired(x, y):
        return metrics.mmd(x, y, paired=True)

    def with_diagonals(x, y):
        return metrics._kernel(x, x).mean() + metrics._kernel(y, y).mean() - 2 * metrics._kernel(x, y).mean()

    def average(estimator, draws):
        """Its mean over the draws, in standard errors: the truth is 0."""
        values = torch.stack([estimator(x, y) for x, y in draws])
        return (values.mean() / values.std() * len(values) ** 0.5).item()

    independent = [(noise(10, 3, 2 * seed), noise(10, 3, 2 * seed + 1)) for seed in range(400)]
    assert abs(average(metrics.mmd, independent)) < 4
    assert abs(average(paired, independent)) < 4
    assert average(with_diagonals, independent) > 20
    close = [(x, (x + 0.1 * y) / 1.01**0.5) for x, y in independent]  # alike as sets, and pairs, as colorizations are
    assert abs(average(paired, close)) < 4
    assert average(metrics.mmd, close) < -20  # pairs taken for independent samples


def test_kid_is_the_mmd_of_all_pairs_and_its_spread_over_halves(monkeypatch):
    pred, true = as_images(1.5 * noise(41, 3, 0)), as_images(noise(41, 3, 1))
    result = metrics.kid(pred, true, flat, subsets=5, seed=3)
    generator = torch.Generator().manual_seed(3)
    values = []
    for _ in range(5):
        half = torch.randperm(41, generator=generator)[:20]
        values.append(metrics.mmd(flat(pred)[half], flat(true)[half], paired=True).item())
    assert result.mean == pytest.approx(metrics.mmd(flat(pred), flat(true), paired=True).item(), rel=1e-4)
    assert result.sd == pytest.approx(np.std(values), rel=1e-4)
    assert result == metrics.kid(pred, true, flat, subsets=5, seed=3)
    other = metrics.kid(pred, true, flat, subsets=5, seed=4)
    assert (other.mean, other.sd) == (pytest.approx(result.mean, rel=1e-4), pytest.approx(result.sd, rel=2))
    assert other.sd != result.sd
    monkeypatch.setattr(metrics, "KERNEL_ROWS", 7)
    assert metrics.kid(pred, true, flat, subsets=5, seed=3) == pytest.approx(result, rel=1e-4)


def test_kid_of_equal_distributions_is_zero_within_its_spread():
    true = as_images(noise(400, 3, 0))
    assert metrics.kid(true, true, flat) == pytest.approx((0, 0), abs=1e-6)
    others = metrics.kid(as_images(noise(400, 3, 1)), true, flat)  # new pictures of the same kind
    assert abs(others.mean) < 2 * others.sd
    shifted = metrics.kid(true + 0.5, true, flat)
    assert shifted.mean > 5 * shifted.sd


def test_the_sd_of_kid_is_its_standard_error():
    """As its docstring says: over new images its mean spreads by `sd`."""
    results = []
    for seed in range(60):
        x = noise(100, 3, 2 * seed)
        results.append(metrics.kid(as_images(0.7 * x + 0.2 * noise(100, 3, 2 * seed + 1)), as_images(x), flat))
    spread = np.std([result.mean for result in results])
    assert np.mean([result.sd for result in results]) == pytest.approx(spread, rel=0.3)


def test_kid_refuses_what_does_not_fit():
    images = as_images(noise(10, 3, 0))
    with pytest.raises(LabkitError, match="Got 10 and 9"):
        metrics.kid(images, images[:9], flat)
    with pytest.raises(LabkitError, match="Got 3 and 3"):
        metrics.kid(images[:3], images[:3], flat)
    with pytest.raises(LabkitError, match="subsets must be at least 2"):
        metrics.kid(images, images, flat, subsets=1)
    with pytest.raises(LabkitError, match=r"finite, \(N, d\) for 10 images"):
        metrics.kid(images, images, lambda rgb: rgb)
    with pytest.raises(LabkitError, match="finite"):
        metrics.kid(images, images, lambda rgb: flat(rgb) / 0)
    with pytest.raises(ValueError, match="N, 3, H, W"):
        metrics.kid(images[0], images, flat)


def gaussian(count: int, mean: list[float], root: list[list[float]]) -> torch.Tensor:
    """Vectors whose sample mean is exactly `mean` and whose sample covariance is exactly root @ root.T."""
    x = noise(count, len(mean), 5).double()
    x = x - x.mean(0)
    white = torch.linalg.solve_triangular(torch.linalg.cholesky(x.T.cov()), x.T, upper=False).T
    return white @ torch.tensor(root).double().T + torch.tensor(mean).double()


def test_fid_against_closed_forms():
    diagonal = [[1.0, 0, 0], [0, 2, 0], [0, 0, 3]]
    x = as_images(gaussian(50, [0.0, 0, 0], diagonal))
    assert metrics.fid(x, x, flat) == pytest.approx(0, abs=1e-5)
    assert metrics.fid(x + 2, x, flat) == pytest.approx(12, abs=1e-5)  # |mean difference|^2
    y = as_images(gaussian(70, [1.0, 0, 0], [[4.0, 0, 0], [0, 2, 0], [0, 0, 1]]))
    assert metrics.fid(x, y, flat) == pytest.approx(1 + 3**2 + 0 + 2**2, abs=1e-5)  # sum of (sd difference)^2


def test_fid_against_scipy_and_torchmetrics():
    from scipy.linalg import sqrtm
    from torchmetrics.image.fid import _compute_fid

    a = gaussian(60, [0.0, 1, 2], [[1.0, 0, 0], [0.5, 2, 0], [0.3, -1, 1]])
    b = gaussian(60, [0.5, 1, 0], [[2.0, 0, 0], [-1, 1, 0], [0.2, 0.7, 0.1]])
    covariances = a.T.cov(), b.T.cov()
    root = np.real(sqrtm((covariances[0] @ covariances[1]).numpy()))
    traces = covariances[0].trace() + covariances[1].trace()
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum().item() + traces.item() - 2 * np.trace(root)
    ours = metrics.fid(as_images(a), as_images(b), flat)
    assert ours == pytest.approx(expected, rel=1e-5)
    theirs = _compute_fid(a.mean(0), covariances[0], b.mean(0), covariances[1])
    assert ours == pytest.approx(theirs.item(), rel=1e-5)


def test_fid_is_biased_and_refuses_singular_covariances():
    """As its docstring says: two samples of one distribution are farther apart the fewer they are; KID is not."""

    def mean_fid(count: int) -> float:
        draws = [(as_images(noise(count, 3, 2 * i)), as_images(noise(count, 3, 2 * i + 1))) for i in range(30)]
        return float(np.mean([metrics.fid(x, y, flat) for x, y in draws]))

    few, many = mean_fid(10), mean_fid(100)
    assert few > 5 * many > 0
    images = as_images(noise(10, 3, 0))
    with pytest.raises(LabkitError, match=r"more than 3 images .* singular. Got 3 and 10"):
        metrics.fid(images[:3], images, flat)


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


@pytest.mark.parametrize(
    "function",
    [
        metrics.mse,
        metrics.mae,
        metrics.psnr,
        metrics.ssim,
        metrics.score,
        metrics.pixel_accuracy,
        metrics.lab_pixel_accuracy,
    ],
)
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


class Fake(nn.Module):
    """A colorizer that predicts the true image, a little darker."""

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
    monkeypatch.setattr(metrics, "CHUNK_PIXELS", 600)
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
