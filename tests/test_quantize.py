"""Color bins against brute force and hand-made numbers, and the mistakes that are easily made with them."""

import itertools

import pytest
import torch
from torch.nn import functional as F

from labkit import LabkitError, color, quantize
from labkit.quantize import (
    Quantizer,
    ab313,
    ab676,
    cross_entropy,
    fit_chroma,
    fit_rgb,
    fitted_bins,
    make_quantizer,
    rebalancing_weights,
    spread,
)


@pytest.fixture(scope="module")
def bins676() -> Quantizer:
    return ab676()


@pytest.fixture(scope="module")
def bins313() -> Quantizer:
    return ab313()


@pytest.fixture(scope="module")
def few() -> Quantizer:
    """Five bins in a row, 10 apart."""
    return Quantizer(torch.tensor([[-20.0, 0], [-10, 0], [0, 0], [10, 0], [20, 0]]), "ab", "row")


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def pixel(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32).view(1, -1, 1, 1)


def all_colors(step: int) -> torch.Tensor:
    """sRGB colors of a lattice that holds 0 and 255, as one picture (1, 3, 1, P)."""
    line = torch.tensor(sorted({*range(0, 256, step), 255}), dtype=torch.uint8)
    return torch.cartesian_prod(line, line, line).T.reshape(1, 3, 1, -1)


# ------------------------------------------------------------------------------------------------- the lists of bins


def test_676_cells(bins676: Quantizer) -> None:
    assert len(bins676) == 676
    assert bins676.centers[0].tolist() == [-123, -123] and bins676.centers[-1].tolist() == [127, 127]
    assert bins676.centers[1].tolist() == [-123, -113]  # a-major: b runs faster
    assert bins676.centers.unique(dim=0).shape == (676, 2)


def test_676_nearest_bin_is_the_cell(bins676: Quantizer) -> None:
    ab = random(2, 2, 40, 40) * 250 - 125
    cell = ((ab + 128) / 10).floor().long()
    assert torch.equal(bins676.encode(ab), cell[:, 0] * 26 + cell[:, 1])


def test_a_border_belongs_to_the_upper_cell(bins676: Quantizer) -> None:
    assert bins676.nearest(pixel(2, -8)).flatten().tolist() == [7, -3]


def test_gray_is_tinted_by_676_bins_and_stays_gray_in_313(bins676: Quantizer, bins313: Quantizer) -> None:
    gray = torch.arange(256, dtype=torch.uint8).expand(1, 3, 1, 256)
    ab = color.rgb_to_lab(gray)[:, 1:]
    assert bins676.nearest(ab).unique(dim=3).flatten().tolist() == [-3, -3]
    assert bins313.nearest(ab).unique(dim=3).flatten().tolist() == [0, 0]
    assert not (bins676.centers == 0).any()


def test_313_bins_are_zhangs(bins313: Quantizer) -> None:
    assert len(bins313) == 313 and bins313.centers.unique(dim=0).shape == (313, 2)
    per_a = [int((bins313.centers[:, 0] == a).sum()) for a in range(-90, 101, 10)]
    assert per_a == [5, 8, 10, 12, 14, 15, 16, 16, 17, 18, 18, 18, 19, 20, 19, 20, 20, 19, 19, 10]
    assert (bins313.centers % 10 == 0).all()
    assert bins313.centers[0].tolist() == [-90, 50] and bins313.centers[-1].tolist() == [100, 0]


def test_every_color_has_a_bin_within_reach(bins676: Quantizer, bins313: Quantizer) -> None:
    ab = color.rgb_to_lab(all_colors(9))[:, 1:]
    for quantizer, most in ((bins676, 262), (bins313, 261)):
        bins = quantizer.encode(ab)
        assert 0.8 * most < len(bins.unique()) <= most
    off = (bins676.nearest(ab) - ab).abs()
    assert off.max() <= 5 + 1e-4  # half a cell
    assert (bins313.nearest(ab) - ab).norm(dim=1).max() < 11  # the list does not cover sRGB evenly


@pytest.mark.slow
def test_of_all_16_million_colors_262_and_261_bins_are_reached(bins676: Quantizer, bins313: Quantizer) -> None:
    line = torch.arange(256, dtype=torch.uint8)
    green, blue = torch.meshgrid(line, line, indexing="ij")
    seen = {quantizer: torch.zeros(len(quantizer), dtype=torch.bool) for quantizer in (bins676, bins313)}
    for red in range(256):
        ab = color.rgb_to_lab(torch.stack([torch.full_like(green, red), green, blue])[None])[:, 1:]
        for quantizer, reached in seen.items():
            reached[quantizer.encode(ab).flatten()] = True
    assert int(seen[bins676].sum()) == 262
    assert int(seen[bins313].sum()) == 261


# ---------------------------------------------------------------------------------------------------------- encoding


@pytest.mark.parametrize("count", [1, 2, 5, 9])
@pytest.mark.parametrize("name", ["ab676", "ab313", "uneven", "rgb"])
def test_the_nearest_bins_are_those_of_brute_force(name: str, count: int) -> None:
    uneven = torch.randn(30, 2, generator=torch.Generator().manual_seed(3)) * 40
    made = {
        "ab676": ab676,
        "ab313": ab313,
        "uneven": lambda: Quantizer(uneven, "ab"),
        "rgb": lambda: Quantizer(random(24, 3), "rgb"),
    }
    quantizer = made[name]()
    colors = random(2, 3, 30, 30, seed=1) if name == "rgb" else random(2, 2, 30, 30, seed=1) * 256 - 128
    flat = colors.movedim(1, -1).reshape(-1, colors.shape[1])
    distance = torch.cdist(flat, quantizer.centers, compute_mode="donot_use_mm_for_euclid_dist")
    expected, bins = distance.sort(dim=1)
    found = quantizer.soft_encode(colors, neighbors=count)[0].movedim(1, -1).reshape(-1, count)
    torch.testing.assert_close(distance.gather(1, found), expected[:, :count], atol=1e-4, rtol=0)
    clear = (expected[:, :count].diff(dim=1) > 1e-3).all(dim=1) & (expected[:, count] - expected[:, count - 1] > 1e-3)
    assert clear.float().mean() > 0.7 and torch.equal(found[clear], bins[clear, :count])
    assert torch.equal(quantizer.encode(colors).flatten(), quantizer.soft_encode(colors, 1)[0].flatten())


def test_colors_outside_the_square_are_moved_to_its_border(bins676: Quantizer) -> None:
    assert bins676.nearest(pixel(500, -500)).flatten().tolist() == [127, -123]


def test_nan_has_no_nearest_bin(bins313: Quantizer, few: Quantizer) -> None:
    for bins in (bins313, few):
        colors = torch.zeros(1, bins.centers.shape[1], 2, 2)
        colors[0, 1, 0, 1] = torch.nan
        for what in (bins.encode, bins.nearest, bins.frequencies):
            with pytest.raises(LabkitError, match="a color is NaN"):
                what(colors)


def test_encoding_a_center_gives_its_bin_and_nearest_is_idempotent(bins313: Quantizer) -> None:
    centers = bins313.centers.T.reshape(1, 2, 1, -1)
    assert torch.equal(bins313.encode(centers).flatten(), torch.arange(313))
    colors = random(1, 2, 20, 20) * 180 - 90
    once = bins313.nearest(colors)
    assert torch.equal(bins313.nearest(once), once)


def test_soft_encoding_sums_to_one_and_falls_with_distance(bins313: Quantizer) -> None:
    bins, probability = bins313.soft_encode(random(2, 2, 20, 20) * 200 - 100)
    assert bins.shape == probability.shape == (2, 5, 20, 20)
    torch.testing.assert_close(probability.sum(dim=1), torch.ones(2, 20, 20))
    assert (probability.diff(dim=1) <= 0).all()
    full = spread(bins, probability, 313)
    torch.testing.assert_close(full.sum(dim=1), torch.ones(2, 20, 20))
    assert ((full > 0).sum(dim=1) <= 5).all()


def test_soft_encoding_by_hand(few: Quantizer) -> None:
    """On a bin: neighbors at 10 have exp(-100 / 50), those at 20 exp(-400 / 50). Halfway: two equal shares."""
    bins, probability = few.soft_encode(pixel(0, 0))
    gauss = {2: 1.0, 1: torch.exp(torch.tensor(-2.0)), 3: torch.exp(torch.tensor(-2.0))}
    gauss |= {0: torch.exp(torch.tensor(-8.0)), 4: torch.exp(torch.tensor(-8.0))}
    expected = torch.tensor([float(gauss[q]) for q in range(5)])
    torch.testing.assert_close(spread(bins, probability, 5).flatten(), expected / expected.sum())
    torch.testing.assert_close(few.soft_encode(pixel(5, 0), neighbors=2)[1].flatten(), torch.tensor([0.5, 0.5]))


def test_soft_encoding_far_from_all_bins_is_finite() -> None:
    quantizer = Quantizer(torch.tensor([[0.0, 0], [1, 0]]), "ab")
    probability = quantizer.soft_encode(pixel(120, 120), neighbors=2, sigma=0.5)[1]
    torch.testing.assert_close(probability.sum(), torch.tensor(1.0))


def test_known_wrong_sigma_squared_once() -> None:
    """exp(-d^2 / sigma^2), without the 2, is another encoding."""
    quantizer = Quantizer(torch.tensor([[0.0, 0], [10, 0]]), "ab")
    right = quantizer.soft_encode(pixel(2, 0), neighbors=2)[1][0, 0].item()
    assert right == pytest.approx(1 / (1 + 2.718281828 ** (-(64 - 4) / 50)), abs=1e-5)
    assert abs(right - 1 / (1 + 2.718281828 ** (-(64 - 4) / 25))) > 0.1


# ------------------------------------------------------------------------------------------------------- rebalancing


def test_frequencies_are_shares() -> None:
    quantizer = Quantizer(torch.tensor([[-50.0, 0], [0, 0], [50, 0]]), "ab")
    colors = torch.tensor([[[[-40.0, 3, 4, 60]], [[0.0, 0, 0, 0]]]])
    assert quantizer.frequencies(colors).tolist() == [0.25, 0.5, 0.25]


def test_weights_closed_form() -> None:
    p = torch.tensor([0.8, 0.2, 0.0], dtype=torch.float64)
    raw = torch.tensor([1 / (0.4 + 1 / 6), 1 / (0.1 + 1 / 6), 6.0], dtype=torch.float64)
    expected = raw / (0.8 * raw[0] + 0.2 * raw[1])
    torch.testing.assert_close(rebalancing_weights(p), expected)


@pytest.mark.parametrize("mix", [0.0, 0.2, 0.5, 1.0])
def test_weights_average_to_one_and_empty_bins_are_safe(mix: float) -> None:
    p = torch.zeros(676, dtype=torch.float64)
    p[:262] = random(262).double()
    p /= p.sum()
    weights = rebalancing_weights(p, mix)
    assert weights.isfinite().all() and (weights >= 0).all()
    assert float((p * weights).sum()) == pytest.approx(1, abs=1e-12)
    assert (weights[:262].argsort(descending=True) == p[:262].argsort()).all() or mix == 1.0
    if mix == 1.0:
        torch.testing.assert_close(weights, torch.ones_like(p))


def test_known_wrong_normalizations_do_not_average_to_one() -> None:
    p = torch.tensor([0.7, 0.2, 0.1, 0.0], dtype=torch.float64)
    weights = rebalancing_weights(p)
    over_bins = weights / weights.mean()  # averaged over bins instead of over pixels
    assert abs(float((p * over_bins).sum()) - 1) > 0.1
    unmixed = 1 / p
    assert not unmixed.isfinite().all()


def test_smoothing_keeps_the_sum_and_fills_neighbors(bins313: Quantizer, few: Quantizer) -> None:
    p = torch.zeros(313, dtype=torch.float64)
    p[150] = 1
    smooth = bins313.smooth(p)
    assert float(smooth.sum()) == pytest.approx(1, abs=1e-12) and smooth.argmax() == 150
    assert ((smooth > 0.01).sum() == 9) and smooth.dtype == torch.float64
    neighbor = few.smooth(torch.tensor([0, 0, 1.0, 0, 0]))
    assert float(neighbor[1] / neighbor[2]) == pytest.approx(2.718281828**-2, abs=1e-6)


@pytest.mark.parametrize("mix", [-0.1, 1.1])
def test_weights_refuse_a_mix_that_is_no_share(mix: float) -> None:
    with pytest.raises(LabkitError, match="from 0 to 1"):
        rebalancing_weights(torch.tensor([0.5, 0.5]), mix)


def test_weights_refuse_counts() -> None:
    with pytest.raises(ValueError, match="sum 1"):
        rebalancing_weights(torch.tensor([3.0, 5.0]))


# ---------------------------------------------------------------------------------------------------------- decoding


def test_mode_mean_and_annealed_by_hand(few: Quantizer) -> None:
    p = torch.tensor([0.1, 0.2, 0.3, 0.0, 0.4])
    logits = p.log().view(1, 5, 1, 1)
    assert few.decode(logits, "mode").flatten().tolist() == [20, 0]
    assert few.decode(logits, "mean").flatten().tolist() == pytest.approx([4, 0], abs=1e-5)
    sharp = p ** (1 / 0.38)
    expected = float((sharp / sharp.sum()) @ few.centers[:, 0])
    assert few.decode(logits)[0, 0].item() == pytest.approx(expected, abs=1e-4)
    blunt = p**0.38  # known wrong: the power upside down
    assert abs(float((blunt / blunt.sum()) @ few.centers[:, 0]) - expected) > 1
    twice = (p / 0.38).softmax(0)  # known wrong: the temperature on probabilities instead of logits
    assert abs(float(twice @ few.centers[:, 0]) - expected) > 1


def test_annealed_mean_goes_from_mean_to_mode(bins313: Quantizer) -> None:
    logits = 3 * torch.randn(2, 313, 6, 6, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(bins313.decode(logits, temperature=1.0), bins313.decode(logits, "mean"))
    torch.testing.assert_close(
        bins313.decode(logits, temperature=1e-4), bins313.decode(logits, "mode"), atol=1e-3, rtol=0
    )


def test_decoding_a_hard_encoding_gives_the_nearest_bin(bins676: Quantizer) -> None:
    colors = random(2, 2, 9, 7) * 180 - 90
    bins = bins676.encode(colors)
    logits = 100 * F.one_hot(bins, 676).movedim(-1, 1).float()
    for method in quantize.METHODS:
        torch.testing.assert_close(bins676.decode(logits, method), bins676.nearest(colors), atol=1e-4, rtol=0)


def test_the_mean_of_a_soft_encoding_is_nearer_than_the_nearest_bin(bins676: Quantizer) -> None:
    colors = random(1, 2, 40, 40) * 160 - 80
    full = spread(*bins676.soft_encode(colors), 676)
    soft = bins676.decode(full.clamp(min=1e-30).log(), "mean")
    assert (soft - colors).square().mean() < 0.2 * (bins676.nearest(colors) - colors).square().mean()


def test_pieces_do_not_show(bins313: Quantizer, monkeypatch: pytest.MonkeyPatch) -> None:
    logits = torch.randn(3, 313, 7, 5, generator=torch.Generator().manual_seed(0))
    colors = random(3, 2, 7, 5) * 160 - 80
    results = []
    for piece in (2**20, 2 * 313 * 5, 1):  # all at once, two rows, one row
        monkeypatch.setattr(quantize, "PIECE", max(piece, 64))
        draw = torch.Generator().manual_seed(1)
        decoded = [bins313.decode(logits, method, generator=draw) for method in quantize.METHODS]
        ours = logits.clone().requires_grad_()
        loss = cross_entropy(ours, *bins313.soft_encode(colors))
        loss.backward()
        assert ours.grad is not None
        results.append([*decoded, *bins313.soft_encode(colors), loss.detach(), ours.grad])
    for other in results[1:]:
        torch.testing.assert_close(other, results[0])


def test_samples_have_the_frequencies_of_the_distribution(few: Quantizer) -> None:
    p = torch.tensor([0.05, 0.25, 0.0, 0.6, 0.1])
    logits = p.log().view(1, 5, 1, 1).expand(1, 5, 200, 200)
    drawn = few.decode(logits, "sample", generator=torch.Generator().manual_seed(0))
    found = few.frequencies(drawn)
    assert found[2] == 0
    assert (found - p.double()).abs().max() < 4 * (0.25 / 40_000) ** 0.5  # four standard deviations
    again = few.decode(logits, "sample", generator=torch.Generator().manual_seed(0))
    other = few.decode(logits, "sample", generator=torch.Generator().manual_seed(1))
    assert torch.equal(again, drawn) and not torch.equal(other, drawn)


def test_decoding_is_differentiable(few: Quantizer) -> None:
    logits = torch.randn(1, 5, 3, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    few.decode(logits).square().sum().backward()
    assert logits.grad is not None and logits.grad.isfinite().all() and logits.grad.abs().max() > 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_logits_are_decoded_in_float32(few: Quantizer, dtype: torch.dtype) -> None:
    logits = torch.randn(1, 5, 3, 3, generator=torch.Generator().manual_seed(0)).to(dtype)
    out = few.decode(logits)
    assert out.dtype == torch.float32
    torch.testing.assert_close(out, few.decode(logits.float()))


# ------------------------------------------------------------------------------------------------------ cross-entropy


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("weighted", [False, True])
def test_cross_entropy_and_its_gradient_are_torchs(
    bins313: Quantizer, weighted: bool, layout: torch.memory_format
) -> None:
    logits = torch.randn(2, 313, 6, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    bins, probability = bins313.soft_encode(random(2, 2, 6, 5) * 160 - 80)
    probability = probability.double()
    weight = random(2, 6, 5, seed=5).double() if weighted else None
    ours = logits.clone(memory_format=layout).requires_grad_()
    theirs = logits.clone().requires_grad_()
    loss = cross_entropy(ours, bins, probability, weight)
    per_pixel = F.cross_entropy(theirs, spread(bins, probability, 313), reduction="none")
    expected = (per_pixel if weight is None else per_pixel * weight).mean()
    torch.testing.assert_close(loss, expected)
    (3 * loss).backward()
    (3 * expected).backward()
    torch.testing.assert_close(ours.grad, theirs.grad, check_stride=False)


def test_cross_entropy_by_finite_differences(few: Quantizer) -> None:
    logits = torch.randn(1, 5, 2, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_()
    bins, probability = few.soft_encode(random(1, 2, 2, 2) * 40 - 20, neighbors=3)
    assert torch.autograd.gradcheck(lambda x: cross_entropy(x, bins, probability.double()), (logits,))


def test_cross_entropy_of_uniform_logits_is_log_q(bins676: Quantizer) -> None:
    bins, probability = bins676.soft_encode(random(1, 2, 4, 4) * 100 - 50)
    loss = cross_entropy(torch.zeros(1, 676, 4, 4), bins, probability)
    assert float(loss) == pytest.approx(float(torch.tensor(676.0).log()), abs=1e-4)


# ---------------------------------------------------------------------------------------------------- fitted and files


def test_kmeans_is_deterministic_sorted_and_better_than_random_bins() -> None:
    images = (random(20, 3, 16, 16).square() * 255).to(torch.uint8)
    fitted, again, other = fit_rgb(images), fit_rgb(images), fit_rgb(images, seed=1)
    assert len(fitted) == 24 and fitted.space == "rgb" and fitted.name == "rgb24"
    assert torch.equal(fitted.centers, again.centers) and not torch.equal(fitted.centers, other.centers)
    assert (color.luma(fitted.centers.T.reshape(1, 3, 1, -1)).diff(dim=3) >= 0).all()
    rgb = color.to_float(images)

    def error(quantizer: Quantizer) -> float:
        return float((quantizer.nearest(rgb) - rgb).square().mean())

    assert error(fitted) < 0.7 * error(Quantizer(random(24, 3), "rgb"))
    assert error(fitted) == pytest.approx(error(other), rel=0.1)
    bins = fitted.encode(rgb)  # a fixed point of Lloyd's iteration, nearly: each center is the mean of its colors
    for q in range(24):
        mean = rgb.movedim(1, -1)[bins == q].mean(dim=0)
        assert (mean - fitted.centers[q]).abs().max() < 0.05


def test_kmeans_finds_separate_clusters() -> None:
    true = torch.tensor(list(itertools.product((0.1, 0.5, 0.9), (0.2, 0.8), (0.3, 0.7))))  # 12 colors
    images = (true.repeat(40, 1) + 0.01 * torch.randn(480, 3, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    fitted = fit_rgb(images.T.reshape(1, 3, 20, 24), bins=12, seed=3)
    near = torch.cdist(true, fitted.centers).amin(dim=1)
    assert (near < 0.02).sum() >= 10  # k-means may merge two clusters and split another


def test_kmeans_in_the_plane_of_zero_luma() -> None:
    images = (random(20, 3, 16, 16).square() * 255).to(torch.uint8)
    fitted, again = fit_chroma(images, 12, seed=2), fit_chroma(images, 12, seed=2)
    assert (len(fitted), fitted.space, fitted.name) == (12, "chroma", "chroma12")
    assert torch.equal(fitted.centers, again.centers) and (fitted.centers[:, 0].diff() >= 0).all()
    chroma = color.rgb_to_luma_chroma(images)[1]
    error = (fitted.nearest(chroma) - chroma).square().sum(dim=1).mean()
    assert error < 0.3 * chroma.square().sum(dim=1).mean()
    more = fit_chroma(images, 48)
    assert (more.nearest(chroma) - chroma).square().sum(dim=1).mean() < 0.5 * error


@pytest.mark.parametrize(
    ("name", "expected"),
    [("rgb24", ("rgb", 24)), ("chroma150", ("chroma", 150)), ("ab313", None), ("rgb", None), ("rgb024", None)],
)
def test_names_of_fitted_bins(name: str, expected: tuple[str, int] | None) -> None:
    assert fitted_bins(name) == expected


def test_rounding_the_mean_is_not_the_mode() -> None:
    """A network sure of a color between two bins pays for the bins; one that is torn between two, for committing."""
    bins = Quantizer(torch.tensor([[0.0, 0], [10, 0], [20, 0]]), "ab")
    sure = torch.tensor([0.3, 0.7, 1e-9]).log().view(1, 3, 1, 1)  # mean 7: the mode is the bin nearest to it
    torn = torch.tensor([0.51, 1e-9, 0.49]).log().view(1, 3, 1, 1)  # mean 9.8: the mode is another
    assert bins.decode(sure, "rounded").flatten().tolist() == bins.decode(sure, "mode").flatten().tolist() == [10, 0]
    assert bins.decode(torn, "rounded").flatten().tolist() == [10, 0]
    assert bins.decode(torn, "mode").flatten().tolist() == [0, 0]


def test_too_few_colors_for_kmeans() -> None:
    with pytest.raises(LabkitError, match=r"24 bins need at least 24 different colors. Got 1"):
        fit_rgb(torch.zeros(2, 3, 8, 8, dtype=torch.uint8))


@pytest.mark.parametrize("quantizer", [ab676(), ab313(), Quantizer(random(7, 3), "rgb", "mine")], ids=lambda q: q.name)
def test_config_makes_the_same_again(quantizer: Quantizer) -> None:
    again = make_quantizer(quantizer.config())
    assert torch.equal(again.centers, quantizer.centers)
    assert (again.space, again.name) == (quantizer.space, quantizer.name)


def test_refusals_are_one_line(few: Quantizer) -> None:
    colors, logits = torch.zeros(1, 2, 2, 2), torch.zeros(1, 5, 2, 2)
    refusals = [
        (LabkitError, "ab676, ab313", lambda: make_quantizer("ab100")),
        (LabkitError, "cannot be read", lambda: make_quantizer({"name": "x", "space": "ab", "centers": [[1], [2]]})),
        (LabkitError, "'ab', 'rgb' or 'chroma'. Got 'hsv'", lambda: Quantizer(torch.zeros(3, 3), "hsv")),
        (ValueError, r"centers \(Q, 2\)", lambda: Quantizer(torch.zeros(3, 3), "ab")),
        (ValueError, "finite", lambda: Quantizer(torch.full((3, 2), float("nan")), "ab")),
        (ValueError, r"float colors \(N, 2, H, W\)", lambda: few.encode(torch.zeros(1, 3, 2, 2))),
        (ValueError, r"uint8", lambda: few.encode(colors.to(torch.uint8))),
        (LabkitError, "neighbors must be a whole number from 1 to 5. Got 6", lambda: few.soft_encode(colors, 6)),
        (LabkitError, "sigma must be a number above 0", lambda: few.soft_encode(colors, sigma=0)),
        (ValueError, r"logits \(N, 5, H, W\)", lambda: few.decode(torch.zeros(1, 4, 2, 2))),
        (LabkitError, "mode, sample, rounded. Got 'median'", lambda: few.decode(logits, "median")),
        (LabkitError, "temperature .* must be a number above 0", lambda: few.decode(logits, temperature=0)),
    ]
    for kind, message, call in refusals:
        with pytest.raises(kind, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)
