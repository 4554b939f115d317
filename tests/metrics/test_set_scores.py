"""Distances of sets of images: against other libraries, closed forms and what their docstrings promise."""

import numpy as np
import pytest
import torch

from labkit import metrics
from labkit.errors import LabkitError
from labkit.metrics import sets


def noise(count: int, dimensions: int, seed: int) -> torch.Tensor:
    return torch.randn(count, dimensions, generator=torch.Generator().manual_seed(seed))


def as_images(vectors: torch.Tensor) -> torch.Tensor:
    """Images (N, 3, 1, 1) that carry vectors of three numbers, for features=flat."""
    return vectors[:, :, None, None]


def flat(images: torch.Tensor) -> torch.Tensor:
    return images.flatten(1)


def paired_mmd(x: torch.Tensor, y: torch.Tensor) -> float:
    """The squared maximum mean discrepancy, by its definition, without the diagonals."""

    def kernel(a: torch.Tensor, b: torch.Tensor) -> float:
        return (float(a @ b) / x.shape[1] + 1) ** 3

    pairs = [(i, j) for i in range(len(x)) for j in range(len(x)) if i != j]
    return sum(kernel(x[i], x[j]) + kernel(y[i], y[j]) - 2 * kernel(x[i], y[j]) for i, j in pairs) / len(pairs)


def test_kid_is_unbiased_and_its_known_mistakes_are_not():
    from torchmetrics.image.kid import poly_mmd

    def kid(x, y):
        return torch.tensor(metrics.kid(as_images(x), as_images(y), flat, subsets=2).mean)

    def with_diagonals(x, y):
        return sets._kernel(x, x).mean() + sets._kernel(y, y).mean() - 2 * sets._kernel(x, y).mean()

    def average(estimator, draws):
        """Its mean over the draws, in standard errors: the truth is 0."""
        values = torch.stack([estimator(x, y) for x, y in draws])
        return (values.mean() / values.std() * len(values) ** 0.5).item()

    independent = [(noise(10, 3, 2 * seed), noise(10, 3, 2 * seed + 1)) for seed in range(400)]
    assert abs(average(poly_mmd, independent)) < 4
    assert abs(average(kid, independent)) < 4
    assert average(with_diagonals, independent) > 20
    close = [(x, (x + 0.1 * y) / 1.01**0.5) for x, y in independent]  # alike as sets, and pairs, as colorizations are
    assert abs(average(kid, close)) < 4
    assert average(poly_mmd, close) < -20  # pairs taken for independent samples


def test_kid_is_the_mmd_of_all_pairs_and_its_spread_over_halves(monkeypatch):
    x, y = 1.5 * noise(41, 3, 0), noise(41, 3, 1)
    pred, true = as_images(x), as_images(y)
    result = metrics.kid(pred, true, flat, subsets=5, seed=3)
    generator = torch.Generator().manual_seed(3)
    halves = [torch.randperm(41, generator=generator)[:20] for _ in range(5)]
    assert result.mean == pytest.approx(paired_mmd(x, y), rel=1e-4)
    assert result.sd == pytest.approx(np.std([paired_mmd(x[half], y[half]) for half in halves]), rel=1e-4)
    assert result == metrics.kid(pred, true, flat, subsets=5, seed=3)
    other = metrics.kid(pred, true, flat, subsets=5, seed=4)
    assert (other.mean, other.sd) == (pytest.approx(result.mean, rel=1e-4), pytest.approx(result.sd, rel=2))
    assert other.sd != result.sd
    monkeypatch.setattr(sets, "KERNEL_ROWS", 7)
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
    with pytest.raises(LabkitError, match="got 10 and 9"):
        metrics.kid(images, images[:9], flat)
    with pytest.raises(LabkitError, match="got 3 and 3"):
        metrics.kid(images[:3], images[:3], flat)
    with pytest.raises(LabkitError, match="subsets must be a whole number of 2 or more. Got 1"):
        metrics.kid(images, images, flat, subsets=1)
    with pytest.raises(LabkitError, match=r"finite \(N, d\) with N = 10"):
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
    with pytest.raises(LabkitError, match=r"got 3 and 10, expected more than 3 .* singular"):
        metrics.fid(images[:3], images, flat)
