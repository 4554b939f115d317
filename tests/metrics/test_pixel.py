"""Scores of images, pixel by pixel: against scikit-image, numpy and closed forms."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from labkit import metrics
from labkit.color import lab_to_rgb
from labkit.errors import LabkitError
from labkit.metrics import inputs
from labkit.metrics.pixel import ROUNDING


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
    monkeypatch.setattr(inputs, "CHUNK_PIXELS", 2 * 24 * 37)
    assert torch.allclose(metrics.ssim(*pair), whole, atol=1e-6)
    assert metrics.score(*pair)["ssim"] == pytest.approx(whole.mean().item(), abs=1e-6)


def test_ssim_refuses_small_images():
    small = torch.zeros(2, 3, 10, 40)
    with pytest.raises(LabkitError, match=r"got \(2, 3, 10, 40\), expected at least 11 pixels"):
        metrics.ssim(small, small)


def test_psnr_is_capped_at_50():
    true = torch.rand(3, 3, 12, 12)
    pred = true.clone()
    pred[1] += 1e-3  # 60 dB
    pred[2] += 0.1  # 20 dB
    assert metrics.psnr(pred, true).tolist() == pytest.approx([50, 50, 20], abs=1e-3)
    perfect = metrics.score(true, true)
    assert (perfect["psnr_mean"], perfect["psnr_pooled"]) == (50, 50)


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
    right = np.abs((pred.double() - true.double()).numpy()) <= threshold + ROUNDING
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


def test_accuracy_grows_with_the_threshold_and_refuses_nonsense(pair):
    rgb = [metrics.pixel_accuracy(*pair, t)["all"] for t in (0.0, 0.02, 0.05, 0.1, 1.0)]
    assert all((a <= b).all() for a, b in pairwise(rgb))
    assert (rgb[-1] == 1).all()
    for threshold in (-0.1, 5.0, math.nan):  # 5 percent is .05
        with pytest.raises(LabkitError, match="from 0 to 1"):
            metrics.pixel_accuracy(*pair, threshold)


def test_uint8_half_and_mixed_dtypes_agree():
    generator = torch.Generator().manual_seed(0)
    true = torch.randint(0, 256, (2, 3, 12, 12), dtype=torch.uint8, generator=generator)
    pred = torch.rand(2, 3, 12, 12, generator=generator)
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
        metrics.color_bias,
        metrics.balanced_hue_accuracy,
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
    with pytest.raises(LabkitError, match="got"):
        function(pred, true)


def test_wrong_types_are_refused():
    image = torch.zeros(1, 3, 16, 16)
    with pytest.raises(TypeError, match="got ndarray"):
        metrics.mse(image.numpy(), image)
    with pytest.raises(TypeError, match=r"got torch\.int64"):
        metrics.colorfulness(image.long())


# ------------------------------------------------------------------------------------------ balanced hue accuracy


def of_hues(hues: list[float], chroma: float | list[float] = 30.0, lightness: float = 60.0) -> torch.Tensor:
    """One image (1, 3, 1, K) of pixels with these CIELAB hues in degrees, double precision, all inside sRGB."""
    angle = torch.tensor(hues, dtype=torch.float64).deg2rad()
    length = torch.as_tensor(chroma, dtype=torch.float64).expand(len(hues))
    lab = torch.stack([torch.full_like(angle, lightness), length * angle.cos(), length * angle.sin()])
    rgb = lab_to_rgb(lab[None, :, None, :])
    assert rgb.min() >= 0 and rgb.max() <= 1
    return rgb


MIDDLES = [30.0, 90.0, 150.0, 210.0, 270.0, 330.0]


def test_hues_are_correct_to_within_30_degrees_around_the_circle():
    true = of_hues(MIDDLES)
    for turn, expected in [(0, 1), (29.9, 1), (-29.9, 1), (30.1, 0), (-30.1, 0), (180, 0), (330.1, 1), (360, 1)]:
        assert metrics.balanced_hue_accuracy(of_hues([hue + turn for hue in MIDDLES]), true) == expected
    beside_zero = of_hues([359.0, 1.0])  # the shorter way leads through 0
    assert metrics.balanced_hue_accuracy(of_hues([28.0, 332.0]), beside_zero) == 1
    assert metrics.balanced_hue_accuracy(of_hues([30.0, 330.0]), beside_zero) == 0


def test_every_sector_weighs_the_same_and_begins_at_its_lower_end():
    true = of_hues([0.01, 59.9, 60.1, 119.9, 120.1, 180.1, 240.1, 300.1, 359.9, 30.0])
    counts = metrics.hue_counts(true, true)
    assert counts.tolist() == [[3, 2, 1, 1, 1, 2]] * 2
    orange = of_hues([70.0] * 100)
    many = torch.cat([orange, of_hues([250.0])], dim=-1)  # a hundred orange pixels, one blue
    assert metrics.balanced_hue_accuracy(of_hues([70.0] * 101), many) == 0.5
    six = torch.cat([orange, of_hues([0.1, 125.0, 185.0, 250.0, 310.0])], dim=-1)
    assert metrics.balanced_hue_accuracy(of_hues([70.0] * 105), six) == pytest.approx(1 / 6)  # all of one color


def test_gray_is_wrong_and_true_gray_does_not_count():
    true = of_hues(MIDDLES)
    assert metrics.balanced_hue_accuracy(metrics.gray_prediction(true), true) == 0
    assert metrics.balanced_hue_accuracy(of_hues(MIDDLES, chroma=0.9), true) == 0  # the right hue, too faint to see
    assert metrics.balanced_hue_accuracy(of_hues(MIDDLES, chroma=1.1), true) == 1
    faint = of_hues(MIDDLES, chroma=[14.9, 15.1, 15.1, 14.9, 15.1, 15.1])
    assert metrics.hue_counts(true, faint).tolist() == [[0, 1, 1, 0, 1, 1]] * 2


def test_a_sector_without_pixels_is_left_out():
    true = of_hues(MIDDLES[:2])
    assert metrics.balanced_hue_accuracy(true, true) == 1
    assert metrics.balanced_hue_accuracy(of_hues([30.0, 200.0]), true) == 0.5
    gray = metrics.gray_prediction(true)
    assert math.isnan(metrics.balanced_hue_accuracy(true, gray))
    assert metrics.hue_counts(true, gray).tolist() == [[0] * 6] * 2


def test_balanced_accuracy_against_scikit_learn():
    sklearn = pytest.importorskip("sklearn.metrics")
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 4, (500,), generator=generator)  # of six classes two are empty
    predicted = torch.where(torch.rand(500, generator=generator) < 0.6, labels, 5)
    counts = torch.stack([labels[labels == predicted].bincount(minlength=6), labels.bincount(minlength=6)])
    assert metrics.balanced_accuracy(counts) == pytest.approx(sklearn.balanced_accuracy_score(labels, predicted))


def test_hue_accuracy_against_scikit_image_and_in_batches(pair, monkeypatch):
    from skimage.color import rgb2lab

    pred, true = pair
    a, b = ((rgb2lab(images.double().numpy(), channel_axis=1)[:, 1:]) for images in pair)
    hue, true_hue = (np.degrees(np.arctan2(ab[:, 1], ab[:, 0])) % 360 for ab in (a, b))
    apart = np.minimum((hue - true_hue) % 360, (true_hue - hue) % 360)
    correct = (apart <= 30) & (np.hypot(a[:, 0], a[:, 1]) >= 1)
    inside = [(np.hypot(b[:, 0], b[:, 1]) > 15) & (true_hue // 60 == sector) for sector in range(6)]
    expected = np.mean([correct[pixels].mean() for pixels in inside])
    found = metrics.balanced_hue_accuracy(pred, true)
    assert found == pytest.approx(expected, abs=2e-3)  # a pixel at an edge may fall on the other side
    assert 0.3 < found < 0.9
    parts = [metrics.hue_counts(p, t) for p, t in zip(pred.split(2), true.split(2), strict=True)]
    assert torch.equal(sum(parts), metrics.hue_counts(pred, true))
    assert metrics.balanced_accuracy(sum(parts)) == found
    monkeypatch.setattr(inputs, "CHUNK_PIXELS", 24 * 37)
    assert metrics.balanced_hue_accuracy(pred, true) == found


def test_hue_at_random_has_a_sixth():
    generator = torch.Generator().manual_seed(0)
    true, pred = (of_hues((360 * torch.rand(60_000, generator=generator)).tolist()) for _ in range(2))
    assert metrics.balanced_hue_accuracy(pred, true) == pytest.approx(1 / 6, abs=0.006)  # four standard errors


def test_hue_accuracy_takes_uint8_and_half_and_needs_numbers():
    true = (255 * of_hues(MIDDLES)).round().to(torch.uint8)
    assert metrics.balanced_hue_accuracy(true, true / 255) == 1
    assert metrics.balanced_hue_accuracy((true / 255).half(), true) == 1
    assert metrics.balanced_hue_accuracy(torch.full(true.shape, math.nan), true) == 0
