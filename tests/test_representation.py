"""Every representation behind the same small ritual, then what is particular to each."""

import pytest
import torch

from labkit import LabkitError, color
from labkit.representation import REPRESENTATIONS, Classification, Representation, make_representation, upsample

# Every representation but those of bins, which are tested in test_classification.py, and their options.
ALL = [(name, {}) for name in REPRESENTATIONS if not isinstance(make_representation(name), Classification)] + [
    ("luma-chroma", {"form": "printed"}),
    ("luma-chroma", {"direction": "printed"}),
    ("luma-chroma", {"basis": "printed"}),
    ("lab", {"input_gray": "luma"}),
]


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randint(0, 256, (4, 3, 8, 10), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.fixture(params=ALL, ids=str)
def space(request: pytest.FixtureRequest) -> Representation:
    name, options = request.param
    return make_representation(name, **options)


def test_shapes(space: Representation, images: torch.Tensor) -> None:
    gray, target = space.encode(images)
    assert gray.shape == (4, 1, 8, 10) and target.shape == (4, space.channels, 8, 10)
    assert gray.min() >= 0 and gray.max() <= 1


def test_decoding_the_target_gives_the_picture_back(space: Representation, images: torch.Tensor) -> None:
    gray, target = space.encode(images)
    tolerance = 5e-3 if space.config().get("input_gray") == "luma" else 2e-4  # that L* is found by bisection
    torch.testing.assert_close(space.decode(gray, target), color.to_float(images), atol=tolerance, rtol=0)


def test_any_prediction_decodes_inside_the_gamut(space: Representation, images: torch.Tensor) -> None:
    gray, target = space.encode(images)
    rgb = space.decode(gray, 3 * torch.randn(target.shape, generator=torch.Generator().manual_seed(1)))
    assert rgb.min() >= 0 and rgb.max() <= 1 and torch.isfinite(rgb).all()


def test_chroma_predictions_keep_the_luma_they_were_given(space: Representation, images: torch.Tensor) -> None:
    if space.predicts_luma:
        pytest.skip("rgb predicts luma itself")
    gray, target = space.encode(images)
    rgb = space.decode(gray, torch.randn(target.shape, generator=torch.Generator().manual_seed(2)))
    kept = color.lightness(rgb) / 100 if space.config().get("input_gray") == "lightness" else color.luma(rgb)
    assert (kept - gray).abs().max() < 2e-3


def test_zero_chroma_is_gray_except_in_the_printed_formula(space: Representation, images: torch.Tensor) -> None:
    if space.predicts_luma:
        pytest.skip("rgb has no chroma")
    gray, target = space.encode(images)
    rgb = space.decode(gray, torch.zeros_like(target))
    spread = (rgb.amax(1) - rgb.amin(1)).max()
    if getattr(space, "direction", "") == "printed":
        assert spread > 0.2
        assert (rgb[:, 1] >= rgb[:, 0] - 1e-6).all() and (rgb[:, 0] >= rgb[:, 2] - 1e-6).all()  # green, least blue
    else:
        assert spread < 5e-3


def test_stride_averages_chroma_and_keeps_gray(space: Representation, images: torch.Tensor) -> None:
    if space.predicts_luma:
        with pytest.raises(ValueError, match=r"expected stride 1. Got 2"):
            space.encode(images, stride=2)
        return
    gray, target = space.encode(images, stride=2)
    full = space.target(images)
    assert gray.shape == (4, 1, 8, 10) and target.shape == (4, 2, 4, 5)
    torch.testing.assert_close(target[0, :, 0, 0], full[0, :, :2, :2].mean((1, 2)))
    assert space.decode(gray, target).shape == (4, 3, 8, 10)


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (9, 10)])
def test_odd_sizes_survive_a_stride(size: tuple[int, int]) -> None:
    rgb = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(3))
    space = make_representation("luma-chroma")
    gray, target = space.encode(rgb, stride=2)
    assert target.shape[-2:] == (-(-size[0] // 2), -(-size[1] // 2))
    assert space.decode(gray, target).shape == rgb.shape


def test_enlarging_constant_chroma_changes_nothing() -> None:
    gray, constant = torch.rand(1, 1, 7, 6), torch.full((1, 2, 4, 3), 0.25)
    assert torch.equal(upsample(constant, gray), torch.full((1, 2, 7, 6), 0.25))


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_loss_is_the_stated_mix(alpha: float) -> None:
    space = make_representation("yuv", alpha=alpha)
    prediction, target = torch.randn(2, 2, 4, 4), torch.randn(2, 2, 4, 4)
    difference = prediction - target
    expected = alpha * difference.square().mean() + (1 - alpha) * difference.abs().mean()
    torch.testing.assert_close(space.loss(prediction, target), expected)


def test_corrected_chroma_error_is_rgb_error() -> None:
    """The basis is orthonormal, so squared chroma error summed equals squared RGB error summed."""
    rgb = torch.rand(1, 3, 8, 8) * 0.2 + 0.4
    space = make_representation("luma-chroma")
    gray, target = space.encode(rgb)
    wrong = target + 0.01 * torch.randn_like(target)
    rgb_error = (space.decode(gray, wrong) - rgb).square().sum()
    torch.testing.assert_close(rgb_error, (wrong - target).square().sum(), rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("direction", ["printed", "corrected"])
@pytest.mark.parametrize(
    ("alpha", "basis", "factor"), [(1.0, "printed", 1), (0.4, "printed", 1), (1.0, "corrected", 1.5)]
)
def test_luma_chroma_loss_is_of_the_rgb_error(alpha: float, basis: str, direction: str, factor: float) -> None:
    """The ECS171 paper's loss is the RGB error of its colors, and u1, u2 are not orthonormal."""
    space = make_representation("luma-chroma", alpha=alpha, direction=direction, basis=basis)
    gray, one, other = torch.rand(2, 1, 4, 4), torch.randn(2, 2, 4, 4), torch.randn(2, 2, 4, 4)
    error, less = (color.luma_chroma_to_rgb(gray, chroma, direction, basis) for chroma in (one, other))
    error = error - less
    expected = alpha * error.square().mean() + (1 - alpha) * error.abs().mean()
    torch.testing.assert_close(space.loss(one, other), factor * expected, rtol=1e-4, atol=1e-6)


def test_direction_and_basis_are_two_settings() -> None:
    """The direction decides what is left of a color without its luma; the basis, by which numbers that is written."""
    rgb = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(4))
    made = {
        (direction, basis): make_representation("luma-chroma", direction=direction, basis=basis)
        for direction in ("printed", "corrected")
        for basis in ("printed", "corrected")
    }
    nothing = torch.zeros(2, 1, 4, 4)
    for direction in ("printed", "corrected"):
        rest = [
            color.luma_chroma_to_rgb(nothing, made[direction, basis].target(rgb), direction, basis)
            for basis in ("printed", "corrected")
        ]
        torch.testing.assert_close(*rest, atol=1e-5, rtol=0)  # the same colors on another basis
    assert (made["printed", "corrected"].target(rgb) - made["corrected", "corrected"].target(rgb)).abs().max() > 0.05
    short = make_representation("luma-chroma", form="printed")
    assert torch.equal(short.target(rgb), made["printed", "printed"].target(rgb))
    assert made["corrected", "printed"].config() == {
        "name": "luma-chroma",
        "alpha": 1.0,
        "form": "corrected",
        "basis": "printed",
    }
    for part in ("direction", "basis"):
        with pytest.raises(LabkitError, match="form must be 'corrected' or 'printed'. Got 'crooked'"):
            make_representation("luma-chroma", **{part: "crooked"})


def test_loss_is_differentiable_through_decode(space: Representation, images: torch.Tensor) -> None:
    gray, target = space.encode(images)
    prediction = torch.zeros_like(target, requires_grad=True)
    space.decode(gray, prediction).square().mean().backward()
    assert prediction.grad is not None and torch.isfinite(prediction.grad).all()


def test_config_makes_the_same_again(space: Representation) -> None:
    config = dict(space.config())
    again = make_representation(str(config.pop("name")), **config)
    assert again.config() == space.config()


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("no-such", {}, "unknown representation 'no-such'"),
        ("yuv", {"alpha": 2.0}, "from 0 to 1. Got 2"),
        ("lab", {"input_gray": "blue"}, "'lightness' or 'luma'. Got 'blue'"),
        ("rgb", {"form": "printed"}, "does not take these options"),
    ],
)
def test_refusals_are_one_line(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(LabkitError, match=message) as caught:
        make_representation(name, **options)
    assert "\n" not in str(caught.value)
