"""Color: shapes, exceptions, values against scikit-image and kornia, round trips, gradients, and the facts we teach."""

import doctest
import math
from collections.abc import Callable

import kornia.color
import numpy as np
import pytest
import skimage.color
import torch
from torch import Tensor

from labkit import LabkitError, color

# How far a round trip through a color space may be off, in units of rgb in [0, 1].
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5, torch.float16: 5e-3, torch.bfloat16: 5e-2}
FORMS = ("corrected", "printed")

# rgb -> something (..., C, H, W), with the channels that come out. All of these take uint8 too.
FROM_RGB: dict[str, tuple[Callable[[Tensor], Tensor], int]] = {
    "luma": (color.luma, 1),
    "lightness": (color.lightness, 1),
    "srgb_to_linear": (color.srgb_to_linear, 3),
    "rgb_to_lab": (color.rgb_to_lab, 3),
    "rgb_to_yuv": (color.rgb_to_yuv, 3),
    "chroma corrected": (lambda rgb: color.rgb_to_luma_chroma(rgb)[1], 2),
    "chroma printed": (lambda rgb: color.rgb_to_luma_chroma(rgb, "printed")[1], 2),
}
# three float channels -> three float channels
FLOAT_TO_RGB: dict[str, Callable[[Tensor], Tensor]] = {
    "linear_to_srgb": color.linear_to_srgb,
    "linear_to_xyz": color.linear_to_xyz,
    "xyz_to_linear": color.xyz_to_linear,
    "xyz_to_lab": color.xyz_to_lab,
    "lab_to_xyz": color.lab_to_xyz,
    "lab_to_rgb": color.lab_to_rgb,
    "yuv_to_rgb": color.yuv_to_rgb,
    "scale_to_gamut": color.scale_to_gamut,
    "scale_lab_to_gamut": color.scale_lab_to_gamut,
}
EVERY = {name: function for name, (function, _) in FROM_RGB.items()} | FLOAT_TO_RGB

ROUND_TRIPS: dict[str, Callable[[Tensor], Tensor]] = {
    "linear": lambda rgb: color.linear_to_srgb(color.srgb_to_linear(rgb)),
    "xyz": lambda rgb: color.xyz_to_linear(color.linear_to_xyz(rgb)),
    "lab": lambda rgb: color.lab_to_rgb(color.rgb_to_lab(rgb)),
    "yuv": lambda rgb: color.yuv_to_rgb(color.rgb_to_yuv(rgb)),
    "luma-chroma": lambda rgb: color.luma_chroma_to_rgb(*color.rgb_to_luma_chroma(rgb)),
    "luma-chroma printed": lambda rgb: color.luma_chroma_to_rgb(*color.rgb_to_luma_chroma(rgb, "printed"), "printed"),
}

# Colors of exactly equal 299 R + 587 G + 114 B = 118,000: red, green, blue, magenta, brown.
EQUAL_LUMA = [(226, 76, 51), (24, 182, 35), (40, 142, 199), (227, 45, 208), (196, 94, 37)]


def random_rgb(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> Tensor:
    return torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).to(dtype)


def random_uint8(*shape: int, seed: int = 0) -> Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def pixels(*colors: tuple[float, float, float], dtype: torch.dtype = torch.float32) -> Tensor:
    """Colors as an image one pixel high: (3, 1, number of colors)."""
    return torch.tensor(colors, dtype=dtype).T.unsqueeze(1)


def corners(dtype: torch.dtype = torch.float32) -> Tensor:
    """The corners of the RGB cube (black and white among them) and three grays."""
    cube = [(r, g, b) for r in (0.0, 1.0) for g in (0.0, 1.0) for b in (0.0, 1.0)]
    return pixels(*cube, (1 / 255, 1 / 255, 1 / 255), (0.5, 0.5, 0.5), (254 / 255,) * 3, dtype=dtype)


def color_grid(step: int) -> Tensor:
    """Every ``step``-th level of each channel, 0 and 255 included: uint8 (3, 1, N)."""
    levels = torch.arange(0, 256, step, dtype=torch.uint8)
    return torch.cartesian_prod(levels, levels, levels).T.unsqueeze(1)


# ------------------------------------------------------------------------------------ smoke, shape, exceptions


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("batch", [(), (1,), (2,), (2, 3), (0,)])
def test_shape(name: str, batch: tuple[int, ...]) -> None:
    channels = FROM_RGB[name][1] if name in FROM_RGB else 3
    assert EVERY[name](random_rgb(*batch, 3, 4, 5)).shape == (*batch, channels, 4, 5)


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_dtype_in_is_dtype_out_and_close_to_float64(name: str, dtype: torch.dtype) -> None:
    rgb = random_rgb(2, 3, 4, 5, dtype=dtype)
    result = EVERY[name](rgb)
    exact = EVERY[name](rgb.double())
    assert result.dtype == dtype
    # one rounding at the end: half precision is computed in float32
    torch.testing.assert_close(result.double(), exact, rtol=2 * torch.finfo(dtype).eps, atol=1e-4)


@pytest.mark.parametrize("batch", [(), (2,), (2, 3), (0,)])
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_functions_of_gray_and_two_channels(batch: tuple[int, ...], dtype: torch.dtype) -> None:
    gray, two = random_rgb(*batch, 1, 4, 5, dtype=dtype), random_rgb(*batch, 2, 4, 5, dtype=dtype)
    for result in (
        color.luma_chroma_to_rgb(gray, two),
        color.luma_chroma_to_rgb(gray, two, "printed"),
        color.luma_ab_to_rgb(gray, two),
    ):
        assert result.shape == (*batch, 3, 4, 5)
        assert result.dtype == dtype
    # a half-precision prediction beside an exact gray, as under autocast
    assert color.luma_ab_to_rgb(gray.float(), two.bfloat16()).dtype == torch.float32


@pytest.mark.parametrize("name", [name for name in FROM_RGB if name != "srgb_to_linear"])
def test_exceptions(name: str) -> None:
    function = EVERY[name]
    with pytest.raises(TypeError, match=r"expected a torch.Tensor( or a data set)?. Got ndarray"):
        function(np.zeros((3, 4, 4)))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"float in \[0, 1\] or uint8. Got torch.int64"):
        function(torch.zeros(3, 4, 4, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"expected shape \(..., 3, H, W\). Got \(1, 4, 4\)$"):
        function(torch.zeros(1, 4, 4))
    with pytest.raises(ValueError, match=r"Got \(3,\)$"):
        function(torch.zeros(3))
    with pytest.raises(ValueError, match=r"Got \(4, 5, 3\): channels come last here, use image.movedim"):
        function(torch.zeros(4, 5, 3))


@pytest.mark.parametrize("name", FLOAT_TO_RGB)
def test_float_only_functions_refuse_uint8(name: str) -> None:
    with pytest.raises(TypeError, match=r"expected a tensor of dtype float .* Got torch.uint8"):
        FLOAT_TO_RGB[name](random_uint8(3, 4, 4))


def test_exceptions_of_two_tensors_and_of_the_form() -> None:
    gray, two = torch.zeros(2, 1, 4, 4), torch.zeros(2, 2, 4, 4)
    for function in (color.luma_chroma_to_rgb, color.luma_ab_to_rgb):
        with pytest.raises(ValueError, match=r"expected shape \(..., 1, H, W\). Got \(2, 2, 4, 4\)"):
            function(two, two)
        with pytest.raises(ValueError, match=r"expected shape \(..., 2, H, W\). Got \(2, 1, 4, 4\)"):
            function(gray, gray)
        with pytest.raises(ValueError, match=r"same batch.*Got \(2, 1, 4, 4\) and \(2, 2, 2, 2\)"):
            function(gray, two[..., :2, :2])
    message = "form must be 'corrected' or 'printed'. Got 'paper'"
    with pytest.raises(LabkitError, match=message):
        color.chroma_basis("paper")
    with pytest.raises(LabkitError, match=message):
        color.rgb_to_luma_chroma(torch.zeros(3, 1, 1), "paper")
    with pytest.raises(LabkitError, match=message):
        color.luma_chroma_to_rgb(gray, two, form="paper")


def test_docstring_examples() -> None:
    assert doctest.testmod(color).failed == 0


# ------------------------------------------------------------------------------------------- uint8 and floats


def test_to_uint8_and_to_float_are_inverse() -> None:
    levels = torch.arange(256, dtype=torch.uint8)
    assert color.to_float(levels).dtype == torch.float32
    assert torch.equal(color.to_uint8(color.to_float(levels)), levels)
    assert torch.equal(color.to_uint8(levels), levels)
    assert color.to_uint8(torch.tensor([-0.5, 0.4999 / 255, 0.5001 / 255, 2.0])).tolist() == [0, 0, 1, 255]
    half = random_rgb(5, dtype=torch.bfloat16)
    assert color.to_float(half) is half
    with pytest.raises(TypeError, match=r"Got torch.bool"):
        color.to_uint8(torch.zeros(3, dtype=torch.bool))


@pytest.mark.parametrize("name", FROM_RGB)
def test_uint8_path_equals_float_path(name: str) -> None:
    image = color_grid(15)
    from_uint8 = EVERY[name](image)
    assert from_uint8.dtype == torch.float32
    torch.testing.assert_close(
        from_uint8, EVERY[name](image.float() / 255), rtol=1e-6, atol=1e-4 if "lab" in name else 1e-6
    )


def test_uint8_path_takes_views_and_channels_last() -> None:
    image = random_uint8(2, 3, 8, 6)
    expected = color.rgb_to_lab(image)
    torch.testing.assert_close(color.rgb_to_lab(image.to(memory_format=torch.channels_last)), expected)
    torch.testing.assert_close(color.rgb_to_lab(image.flip(-1)), expected.flip(-1))
    torch.testing.assert_close(color.rgb_to_lab(image[:, :, ::2, 1:]), expected[:, :, ::2, 1:])


def test_equal_luma_colors_give_the_same_gray_bit_for_bit() -> None:
    colors = torch.tensor(EQUAL_LUMA)  # (5, 3)
    shifts = torch.arange(-24, 29).view(-1, 1, 1)
    shaded = colors + shifts  # adding k to R, G and B adds 1000 k to every sum
    assert shaded.min() == 0 and shaded.max() == 255
    image = shaded.to(torch.uint8).permute(2, 0, 1)  # (3, shifts, colors)
    gray = color.luma(image)
    assert torch.equal(gray, gray[..., :1].expand_as(gray))
    assert gray[0, 24, 0].item() == pytest.approx(118_000 / 255_000)
    mean = colors.double().mean(0)  # the brown that averaging makes of them: nearly the same luma, no chroma
    assert mean.round().tolist() == [143, 108, 106]
    assert (mean @ torch.tensor([299, 587, 114], dtype=torch.float64)).item() == pytest.approx(118_000)


def test_gray_pixels_keep_their_level_exactly() -> None:
    levels = torch.arange(256, dtype=torch.uint8).view(1, 1, 256)
    assert torch.equal(color.luma(levels.expand(3, 1, 256)), levels.float() / 255)


# -------------------------------------------------------------------- reference values: scikit-image and kornia


def to_hwc(image: Tensor) -> np.ndarray:
    return image.movedim(-3, -1).numpy()


def from_hwc(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)).movedim(-1, -3)


def test_against_scikit_image() -> None:
    rgb = torch.cat((random_rgb(3, 1, 2000, dtype=torch.float64), corners(torch.float64)), dim=-1)

    def same(ours: Tensor, theirs: np.ndarray, atol: float = 1e-9) -> None:
        torch.testing.assert_close(ours, from_hwc(theirs), rtol=0, atol=atol)

    same(color.rgb_to_lab(rgb), skimage.color.rgb2lab(to_hwc(rgb)))
    same(color.linear_to_xyz(color.srgb_to_linear(rgb)), skimage.color.rgb2xyz(to_hwc(rgb)))
    same(color.rgb_to_yuv(rgb), skimage.color.rgb2yuv(to_hwc(rgb)), atol=1e-7)
    lab = color.rgb_to_lab(rgb)
    same(color.lab_to_rgb(lab).clamp(0, 1), skimage.color.lab2rgb(to_hwc(lab)))
    same(color.lab_to_xyz(lab), skimage.color.lab2xyz(to_hwc(lab)))
    yuv = color.rgb_to_yuv(rgb)
    same(color.yuv_to_rgb(yuv), skimage.color.yuv2rgb(to_hwc(yuv)), atol=1e-6)


def test_against_scikit_image_from_uint8() -> None:
    image = random_uint8(4, 3, 16, 16)
    expected = from_hwc(skimage.color.rgb2lab(to_hwc(image))).float()
    torch.testing.assert_close(color.rgb_to_lab(image), expected, rtol=0, atol=1e-3)
    torch.testing.assert_close(color.lightness(image), expected[:, :1], rtol=0, atol=1e-4)


def test_against_kornia() -> None:
    rgb = torch.cat((random_rgb(1, 3, 1, 2000), corners().unsqueeze(0)), dim=-1)
    torch.testing.assert_close(color.rgb_to_lab(rgb), kornia.color.rgb_to_lab(rgb), rtol=0, atol=1e-3)
    torch.testing.assert_close(color.srgb_to_linear(rgb), kornia.color.rgb_to_linear_rgb(rgb), rtol=0, atol=1e-6)
    torch.testing.assert_close(color.linear_to_srgb(rgb), kornia.color.linear_rgb_to_rgb(rgb), rtol=0, atol=1e-6)
    torch.testing.assert_close(color.luma(rgb), kornia.color.rgb_to_grayscale(rgb), rtol=0, atol=1e-6)
    lab = color.rgb_to_lab(rgb)
    torch.testing.assert_close(color.lab_to_rgb(lab).clamp(0, 1), kornia.color.lab_to_rgb(lab), rtol=0, atol=1e-4)
    # kornia rounds its YUV matrix to three digits
    torch.testing.assert_close(color.rgb_to_yuv(rgb), kornia.color.rgb_to_yuv(rgb), rtol=0, atol=2e-3)


def test_known_colors() -> None:
    white = color.rgb_to_lab(pixels((1.0, 1.0, 1.0), dtype=torch.float64)).flatten().tolist()
    assert white == pytest.approx([100, -0.0025, 0.0047], abs=1e-4)
    assert color.rgb_to_lab(pixels((0.0, 0.0, 0.0))).flatten().tolist() == pytest.approx([0, 0, 0], abs=1e-5)
    primaries = pixels((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    assert (255 * color.luma(primaries)).round().flatten().tolist() == [76, 150, 29]
    assert color.lightness(primaries).flatten().tolist() == pytest.approx([53.24, 87.74, 32.30], abs=0.01)


def test_luma_is_not_the_gray_of_scikit_image() -> None:
    rgb = random_rgb(3, 8, 8, dtype=torch.float64)
    other = torch.from_numpy(skimage.color.rgb2gray(to_hwc(rgb)))
    assert (color.luma(rgb)[0] - other).abs().max() > 0.05


def test_yuv_numbers() -> None:
    cube = color.rgb_to_yuv(corners(torch.float64))
    assert cube[1].abs().max().item() == pytest.approx(0.436, abs=1e-4)
    assert cube[2].abs().max().item() == pytest.approx(0.615, abs=1e-4)
    r, g, b = color.yuv_to_rgb(pixels((0.0, 1.0, 0.0), (0.0, 0.0, 1.0), dtype=torch.float64))[:, 0].tolist()
    assert r == pytest.approx([0, 1.13988], abs=1e-5)
    assert g == pytest.approx([-0.39464, -0.58062], abs=1e-5)
    assert b == pytest.approx([2.03206, 0], abs=1e-5)


def test_an_error_in_u_and_v_is_1_974_times_as_large_in_rgb_mse() -> None:
    """So a loss on UV and a loss on RGB are not comparable."""
    yuv = color.rgb_to_yuv(random_rgb(3, 200, 200, dtype=torch.float64))
    error = 0.01 * torch.randn(3, 200, 200, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    error[0] = 0  # luma is given
    change = color.yuv_to_rgb(yuv + error) - color.yuv_to_rgb(yuv)
    assert (change.square().mean() / 0.01**2).item() == pytest.approx(1.974, rel=0.02)
    unit = color.yuv_to_rgb(torch.eye(3, dtype=torch.float64)[:, 1:].unsqueeze(1))  # columns of U and V
    assert (unit.square().sum() / 3).item() == pytest.approx(1.974, abs=5e-4)


# ------------------------------------------------------------------------------------------------ round trips


@pytest.mark.parametrize("name", ROUND_TRIPS)
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_round_trip(name: str, dtype: torch.dtype) -> None:
    rgb = torch.cat((random_rgb(3, 1, 500, dtype=dtype), corners(dtype)), dim=-1)
    torch.testing.assert_close(ROUND_TRIPS[name](rgb), rgb, rtol=0, atol=TOLERANCE[dtype])


def test_a_grid_of_all_colors() -> None:
    check_all_colors(color_grid(5))


@pytest.mark.slow
def test_all_sixteen_million_colors() -> None:
    extremes = []
    levels = torch.arange(256, dtype=torch.uint8)
    for red in range(256):
        plane = torch.cartesian_prod(levels[red : red + 1], levels, levels).T.unsqueeze(1)  # (3, 1, 65536)
        extremes.append(check_all_colors(plane))
    low, high = torch.stack([e[0] for e in extremes]).amin(0), torch.stack([e[1] for e in extremes]).amax(0)
    assert low.tolist() == pytest.approx([0, -86.183, -107.857], abs=2e-3)
    assert high.tolist() == pytest.approx([100, 98.233, 94.478], abs=2e-3)


def check_all_colors(image: Tensor) -> tuple[Tensor, Tensor]:
    """Every round trip gives the 8-bit color back, all of Lab in its range; returns Lab's extremes (3,), (3,)."""
    rgb = color.to_float(image)
    lab = color.rgb_to_lab(image)
    back = color.lab_to_rgb(lab)
    assert (back - rgb).abs().max() < 1e-5
    assert torch.equal(color.to_uint8(back), image)
    assert (color.scale_lab_to_gamut(lab) - rgb).abs().max() < 1e-5
    assert torch.equal(color.scale_to_gamut(rgb), rgb)
    gray = color.luma(image)
    assert (color.luma_ab_to_rgb(gray, lab[1:]) - rgb).abs().max() < 1e-4
    assert (color.yuv_to_rgb(color.rgb_to_yuv(image)) - rgb).abs().max() < 1e-6
    for form in FORMS:
        assert (color.luma_chroma_to_rgb(*color.rgb_to_luma_chroma(image, form), form) - rgb).abs().max() < 3e-6
    low, high = lab.amin((1, 2)), lab.amax((1, 2))
    assert (low > torch.tensor([-1e-3, -86.184, -107.858])).all()
    assert (high < torch.tensor([100.001, 98.234, 94.479])).all()
    return low, high


# -------------------------------------------------------------------------------------------------- gradients


@pytest.mark.parametrize("name", [name for name in EVERY if name != "scale_lab_to_gamut"])
def test_gradcheck(name: str) -> None:
    rgb = random_rgb(2, 3, 2, 2, dtype=torch.float64, seed=3)
    if name == "scale_to_gamut":
        rgb = 2 * rgb - 0.5  # most of it outside, away from the kinks
    if name == "lab_to_rgb" or name == "lab_to_xyz":
        rgb = color.rgb_to_lab(rgb)
    assert torch.autograd.gradcheck(EVERY[name], rgb.requires_grad_())


@pytest.mark.parametrize("form", FORMS)
def test_gradcheck_of_gray_and_chroma(form: str) -> None:
    gray, chroma = color.rgb_to_luma_chroma(random_rgb(2, 3, 2, 2, dtype=torch.float64), form)
    inputs = (gray.requires_grad_(), chroma.requires_grad_())
    assert torch.autograd.gradcheck(lambda gray, chroma: color.luma_chroma_to_rgb(gray, chroma, form), inputs)


def test_gradcheck_of_lab_inside_the_gamut() -> None:
    lab = color.rgb_to_lab(0.2 + 0.6 * random_rgb(2, 3, 2, 2, dtype=torch.float64))
    assert torch.autograd.gradcheck(color.scale_lab_to_gamut, lab.requires_grad_())


def assert_finite_gradient(function: Callable[..., Tensor], *inputs: Tensor) -> None:
    leaves = [image.detach().clone().requires_grad_() for image in inputs]
    result = function(*leaves)
    assert result.isfinite().all()
    weights = torch.linspace(-1, 1, result.numel(), dtype=result.dtype).view_as(result)
    for gradient in torch.autograd.grad((result * weights).sum(), leaves):
        assert gradient.isfinite().all()
        assert gradient.abs().max() < 1e5


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", EVERY)
def test_gradients_are_finite_at_black_white_and_zero_chroma(name: str, dtype: torch.dtype) -> None:
    rgb = corners(dtype)
    assert_finite_gradient(EVERY[name], rgb)
    assert_finite_gradient(EVERY[name], 3 * rgb - 1)  # far outside the gamut
    assert_finite_gradient(EVERY[name], rgb * 1e-30)
    if name in ("lab_to_xyz", "lab_to_rgb", "scale_lab_to_gamut"):
        assert_finite_gradient(EVERY[name], color.rgb_to_lab(rgb))
        assert_finite_gradient(EVERY[name], 3 * color.rgb_to_lab(rgb))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [0.0, 1.0, 3.0])
def test_gradients_of_luma_ab_are_finite(dtype: torch.dtype, scale: float) -> None:
    rgb = corners(dtype)
    assert_finite_gradient(color.luma_ab_to_rgb, color.luma(rgb), scale * color.rgb_to_lab(rgb)[1:])


def test_autocast_does_not_lower_the_precision() -> None:
    rgb = random_rgb(2, 3, 8, 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = [function(rgb) for function in EVERY.values()]
    for under_autocast, function in zip(inside, EVERY.values(), strict=True):
        torch.testing.assert_close(under_autocast, function(rgb), rtol=0, atol=0)


# ------------------------------------------------------------------------------------- luma + chroma: the facts


def test_printed_basis_is_not_orthonormal_and_the_corrected_is() -> None:
    w = torch.tensor(color.LUMA_WEIGHTS)
    u1, u2 = color.chroma_basis("printed")
    assert u1.tolist() == pytest.approx([1, 0, -0.299 / 0.114]) and u2.tolist() == pytest.approx([0, 1, -0.587 / 0.114])
    assert (u1 @ u2).item() == pytest.approx(13.5, abs=0.05)
    assert [u1.norm().item(), u2.norm().item()] == pytest.approx([2.81, 5.25], abs=0.01)
    corrected = color.chroma_basis()
    torch.testing.assert_close(corrected @ corrected.T, torch.eye(2))
    for basis in (color.chroma_basis("printed"), corrected):
        torch.testing.assert_close(basis @ w, torch.zeros(2), rtol=0, atol=1e-6)  # no luma in either
    torch.testing.assert_close(corrected[0], u1 / u1.norm())  # Gram-Schmidt keeps the first direction
    assert corrected.dtype == torch.float32 and corrected.shape == (2, 3)


def test_zero_chroma_is_gray_in_the_corrected_form_and_green_in_the_printed() -> None:
    gray = torch.linspace(0, 1, 11).view(1, 1, 11)
    zero = torch.zeros(2, 1, 11)
    torch.testing.assert_close(color.luma_chroma_to_rgb(gray, zero), gray.expand(3, 1, 11))
    printed = color.luma_chroma_to_rgb(gray, zero, "printed")
    torch.testing.assert_close(color.luma(printed), gray)  # the right luma all the same
    direction = printed[:, 0, -1]
    assert direction.tolist() == pytest.approx([0.669, 1.313, 0.255], abs=1e-3)
    cosine = direction.sum() / (direction.norm() * math.sqrt(3))
    assert math.degrees(math.acos(cosine)) == pytest.approx(30, abs=0.5)
    assert 1 / direction[1].item() == pytest.approx(0.761, abs=1e-3)  # green passes 1 above this luma


def test_corrected_chroma_measures_distance_in_rgb() -> None:
    """Two colors of the same luma are as far apart in chroma as in RGB; the printed coordinates distort it."""
    one, other = torch.tensor(EQUAL_LUMA[0]), torch.tensor(EQUAL_LUMA[1])
    image = torch.stack((one, other), dim=1).unsqueeze(1).to(torch.uint8)
    _, chroma = color.rgb_to_luma_chroma(image)
    distance = (chroma[..., 0] - chroma[..., 1]).norm().item()
    assert distance == pytest.approx((one - other).float().norm().item() / 255, rel=1e-5)
    _, printed = color.rgb_to_luma_chroma(image, "printed")
    assert (printed[..., 0] - printed[..., 1]).norm().item() != pytest.approx(distance, rel=1e-3)


@pytest.mark.parametrize("form", FORMS)
def test_luma_survives_any_chroma(form: str) -> None:
    gray, chroma = random_rgb(1, 20, 20), 4 * random_rgb(2, 20, 20, seed=1) - 2
    result = color.luma_chroma_to_rgb(gray, chroma, form)
    torch.testing.assert_close(color.luma(result), gray, rtol=0, atol=3e-6)


# --------------------------------------------------------------------------------------- back into the gamut


def wild_rgb(scale: float = 3.0) -> Tensor:
    """Colors far outside the gamut whose luma lies in [0, 1]; black and white luma among them."""
    gray = torch.cat((random_rgb(1, 1, 5000), torch.tensor([0.0, 1.0]).view(1, 1, 2)), dim=-1)
    chroma = scale * (2 * random_rgb(2, 1, 5002, seed=1) - 1)
    return color.luma_chroma_to_rgb(gray, chroma)


def test_scale_to_gamut_keeps_luma_and_the_direction_of_chroma() -> None:
    rgb = wild_rgb()
    inside = color.scale_to_gamut(rgb)
    assert inside.min() >= 0 and inside.max() <= 1
    gray = color.luma(rgb)
    torch.testing.assert_close(color.luma(inside), gray.clamp(0, 1), rtol=0, atol=1e-6)
    before, after = rgb - gray, inside - color.luma(inside)
    cross = torch.linalg.cross(before, after, dim=0).norm(dim=0) / before.norm(dim=0)
    assert cross.max() < 3e-6
    assert ((before * after).sum(0) >= -1e-6).all()  # never the complementary color
    # no farther in than needed: what was outside now touches a face of the cube
    outside = ((rgb < 0) | (rgb > 1)).any(dim=0)
    assert torch.minimum(inside, 1 - inside).amin(0)[outside].max() < 1e-6
    # clipping does not keep luma
    assert (color.luma(rgb.clamp(0, 1)) - gray).abs().max() > 0.1


def test_scale_to_gamut_outside_luma_and_identity_inside() -> None:
    too_bright = color.scale_to_gamut(pixels((1.5, 1.2, 1.1), (-0.5, -0.1, 0.1)))
    assert too_bright.flatten().tolist() == [1, 0, 1, 0, 1, 0]  # white, black
    rgb = torch.cat((random_rgb(3, 1, 1000), corners()), dim=-1)
    assert torch.equal(color.scale_to_gamut(rgb), rgb)


def test_scale_lab_to_gamut_keeps_lightness_and_hue() -> None:
    lab = color.rgb_to_lab(torch.cat((random_rgb(3, 1, 3000), corners()), dim=-1))
    wild = lab * torch.tensor([1.0, 3.0, 3.0]).view(3, 1, 1)
    inside = color.scale_lab_to_gamut(wild)
    assert inside.min() >= 0 and inside.max() <= 1
    back = color.rgb_to_lab(inside)
    assert (back[0] - lab[0].clamp(0, 100)).abs().max() < 0.01
    scale = (back[1:] * wild[1:]).sum(0) / wild[1:].square().sum(0).clamp(min=1e-6)
    assert (back[1:] - scale * wild[1:]).norm(dim=0).max() < 0.03  # on the ray from gray to the wished color
    assert (scale > -1e-3).all() and (scale < 1 + 1e-3).all()
    torch.testing.assert_close(color.scale_lab_to_gamut(lab), color.lab_to_rgb(lab).clamp(0, 1))


def test_scale_lab_to_gamut_with_lightness_outside() -> None:
    result = color.scale_lab_to_gamut(pixels((120.0, 30.0, 0.0), (-20.0, 30.0, 0.0), (100.0, 0.0, 0.0)))
    torch.testing.assert_close(result, pixels((1.0,) * 3, (0.0,) * 3, (1.0,) * 3), rtol=0, atol=1e-4)


def test_luma_ab_finds_the_color_again() -> None:
    """The case of a network that sees luma and predicts a, b exactly."""
    image = random_uint8(2, 3, 16, 16)
    result = color.luma_ab_to_rgb(color.luma(image), color.rgb_to_lab(image)[:, 1:])
    torch.testing.assert_close(result, color.to_float(image), rtol=0, atol=1e-4)
    assert torch.equal(color.to_uint8(result), image)


@pytest.mark.parametrize("reach", [0.0, 40.0, 110.0, 1000.0])
def test_luma_ab_has_the_luma_for_any_ab(reach: float) -> None:
    gray = torch.cat((random_rgb(1, 1, 3000), torch.tensor([0.0, 1.0]).view(1, 1, 2)), dim=-1)
    ab = reach * (2 * random_rgb(2, 1, 3002, seed=1) - 1)
    result = color.luma_ab_to_rgb(gray, ab)
    assert result.min() >= 0 and result.max() <= 1
    torch.testing.assert_close(color.luma(result), gray, rtol=0, atol=1e-3 if reach > 200 else 1e-6)
    if reach == 0:
        torch.testing.assert_close(result, gray.expand_as(result), rtol=0, atol=1e-4)


def test_luma_ab_keeps_hue_nearly() -> None:
    """Where a and b do not fit into the gamut, the color stays of the same family."""
    image = random_rgb(3, 1, 5000)
    ab = 1.2 * color.rgb_to_lab(image)[1:]
    result = color.rgb_to_lab(color.luma_ab_to_rgb(color.luma(image), ab))[1:]
    colorful = result.norm(dim=0) > 5
    cosine = torch.nn.functional.cosine_similarity(ab, result, dim=0)[colorful]
    turned = torch.rad2deg(torch.acos(cosine.clamp(-1, 1)))
    assert turned.mean() < 2 and turned.max() < 20


# ------------------------------------------------------------------------------------------------------ device


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("name", EVERY)
def test_cuda_gives_the_same(name: str) -> None:
    rgb = random_rgb(2, 3, 8, 8)
    result = EVERY[name](rgb.cuda())
    assert result.is_cuda
    torch.testing.assert_close(result.cpu(), EVERY[name](rgb), rtol=1e-5, atol=1e-4)
    if name in FROM_RGB:
        image = random_uint8(2, 3, 8, 8)
        torch.testing.assert_close(EVERY[name](image.cuda()).cpu(), EVERY[name](image), rtol=1e-5, atol=1e-4)
