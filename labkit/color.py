"""Convert colors: RGB to and from CIE Lab, YUV, and luma with a chroma plane; and bring colors into the gamut.

Everything here works on batches of images, tensors of shape (..., 3, H, W), on any device:

- *rgb* is sRGB as files store it (gamma-coded), float in [0, 1]. Functions called ``rgb_to_...``, and
  ``luma``, ``lightness`` and ``srgb_to_linear``, also take uint8 in 0..255, and then return float32.
- float32 is computed in float32, float64 in float64. float16 and bfloat16 are computed in float32 (their
  two or three digits do not survive a power) and come back in the dtype they came in.
- Everything is differentiable, with finite gradients also at black, white and zero chroma.
- Wrong tensors raise TypeError (not a tensor, wrong dtype) or LabkitError (wrong shape).

Two words that are easily confused: *luma* is a weighted sum of the gamma-coded R, G, B (what the networks
see); *lightness* L* is computed from linear light (the L of Lab). They are different grays.

Sums over channels are written out instead of calling matmul or einsum, because those would silently run in
bfloat16 under autocast, and in TF32 on some GPUs.
"""

from collections.abc import Sequence
from functools import cache
from typing import Protocol

import torch
from torch import Tensor

from labkit.errors import LabkitError

# Rec.601: how bright the eye finds the primaries of old television; still the gray of JPEG and Pillow.
LUMA_WEIGHTS: tuple[float, float, float] = (0.299, 0.587, 0.114)

# Linear sRGB -> CIE XYZ (rows X, Y, Z), and the white point D65: the constants of scikit-image and OpenCV.
RGB_TO_XYZ = (
    (0.412453, 0.357580, 0.180423),
    (0.212671, 0.715160, 0.072169),
    (0.019334, 0.119193, 0.950227),
)
XYZ_TO_RGB = tuple(map(tuple, torch.tensor(RGB_TO_XYZ, dtype=torch.float64).inverse().tolist()))
WHITE = (0.95047, 1.0, 1.08883)

# YUV's color differences: U = U_SCALE (B - Y), V = V_SCALE (R - Y).
U_SCALE, V_SCALE = 0.492111, 0.877283

BISECTION_STEPS = 20  # halves the interval 20 times: a scale to 1e-6, a lightness to 1e-4


class HasImages(Protocol):
    """An object that holds images: a `labkit.data.Dataset`, of which this module knows no more."""

    @property
    def images(self) -> Tensor:
        """``(N, 3, H, W)`` uint8."""


def image_tensor(images: Tensor | HasImages) -> Tensor:
    """Return the images of a data set; a tensor is returned as it is.

    Raises:
        TypeError: neither of both.
    """
    found = images if isinstance(images, Tensor) else getattr(images, "images", None)
    if not isinstance(found, Tensor):
        raise TypeError(f"expected a torch.Tensor or a data set. Got {type(images).__name__}")
    return found


# ------------------------------------------------------------------------------------------ checks and dtypes


def _check(image: Tensor, channels: int | None = None, uint8: bool = False) -> None:
    """Raise TypeError or LabkitError unless ``image`` is a float (or uint8) tensor (..., channels, H, W)."""
    if not isinstance(image, Tensor):
        raise TypeError(f"expected a torch.Tensor. Got {type(image).__name__}")
    if not (image.is_floating_point() or (uint8 and image.dtype == torch.uint8)):
        wanted = "float in [0, 1] or uint8" if uint8 else "float (labkit.color.to_float makes it from uint8)"
        raise TypeError(f"expected a tensor of dtype {wanted}. Got {image.dtype}")
    if channels and (image.ndim < 3 or image.shape[-3] != channels):
        last = image.ndim >= 3 and image.shape[-1] == channels
        hint = ": channels come last here, use image.movedim(-1, -3)" if last else ""
        raise LabkitError(f"expected shape (..., {channels}, H, W). Got {tuple(image.shape)}{hint}")


def at_least_float32(image: Tensor) -> Tensor:
    """Convert float16 and bfloat16 to float32; return anything else unchanged."""
    return image.float() if image.dtype in (torch.float16, torch.bfloat16) else image


def _open(image: Tensor, channels: int | None = None, uint8: bool = False) -> tuple[Tensor, torch.dtype]:
    """Check an image; return it, float32 at least (uint8 stays uint8), and the dtype of the result."""
    _check(image, channels, uint8)
    return at_least_float32(image), image.dtype if image.is_floating_point() else torch.float32


def _mix(matrix: Sequence[Sequence[float]], image: Tensor) -> Tensor:
    """Multiply every pixel by a matrix (rows x channels): (..., channels, H, W) -> (..., rows, H, W)."""
    planes = image.unbind(-3)
    rows = []
    for weights in matrix:
        row = planes[0] * weights[0]
        for plane, weight in zip(planes[1:], weights[1:], strict=True):
            row = row + plane * weight
        rows.append(row)
    return torch.stack(rows, dim=-3)


def to_float(image: Tensor) -> Tensor:
    """Convert uint8 0..255 to float32 in [0, 1]; return a float tensor unchanged. Any shape."""
    _check(image, None, uint8=True)
    return image if image.is_floating_point() else image.float() / 255


def to_uint8(rgb: Tensor) -> Tensor:
    """Convert float in [0, 1] to uint8 0..255, clamped and rounded; return uint8 unchanged. Any shape."""
    _check(rgb, None, uint8=True)
    return (at_least_float32(rgb).clamp(0, 1) * 255).round().to(torch.uint8) if rgb.is_floating_point() else rgb


# ---------------------------------------------------------------------------------------------- the two grays


def luma(rgb: Tensor | HasImages) -> Tensor:
    """Return the Rec.601 luma Y = .299 R + .587 G + .114 B.

    From uint8 the sum is taken in integers, so colors of equal 299 R + 587 G + 114 B give bit-equal grays.

    Args:
        rgb: ``(..., 3, H, W)``, or a `Dataset`.

    Returns: ``(..., 1, H, W)`` in [0, 1].

    >>> red_and_green = torch.tensor([[226, 24], [76, 182], [51, 35]], dtype=torch.uint8).unsqueeze(-1)
    >>> luma(red_and_green).flatten()
    tensor([0.4627, 0.4627])
    """
    rgb, dtype = _open(image_tensor(rgb), 3, uint8=True)
    if rgb.dtype == torch.uint8:
        r, g, b = rgb.int().unbind(-3)
        return ((299 * r + 587 * g + 114 * b).to(dtype) / 255_000).unsqueeze(-3)
    return _mix((LUMA_WEIGHTS,), rgb).to(dtype)


def lightness(rgb: Tensor) -> Tensor:
    """Return the CIE lightness L* of sRGB, the first channel of `rgb_to_lab`.

    Args:
        rgb: ``(..., 3, H, W)``.

    Returns: ``(..., 1, H, W)`` in 0..100.
    """
    rgb, dtype = _open(rgb, 3, uint8=True)
    y = _mix((RGB_TO_XYZ[1],), srgb_to_linear(rgb))
    return (116 * _lab_curve(y / WHITE[1]) - 16).to(dtype)


# -------------------------------------------------------------------------------------------------------- Lab


def srgb_to_linear(rgb: Tensor) -> Tensor:
    """Undo the sRGB gamma curve (IEC 61966-2-1), element by element: [0, 1] -> [0, 1], any shape.

    uint8 is looked up in a table of 256 entries, which is several times faster than the power.
    """
    rgb, dtype = _open(rgb, uint8=True)
    if rgb.dtype == torch.uint8:
        table = srgb_to_linear(torch.arange(256, device=rgb.device, dtype=torch.float32) / 255)
        return table.index_select(0, rgb.int().flatten()).view(rgb.shape)  # much faster than table[...]
    # The clamp never changes the result (`where` takes the other branch there): it keeps the gradient finite.
    curved = ((rgb.clamp(min=0.04045) + 0.055) / 1.055) ** 2.4
    return torch.where(rgb > 0.04045, curved, rgb / 12.92).to(dtype)


def linear_to_srgb(linear: Tensor) -> Tensor:
    """Apply the sRGB gamma curve, element by element, any shape.

    Values outside [0, 1] are not clipped: the straight piece goes on below 0, the power above 1.
    """
    linear, dtype = _open(linear)
    curved = 1.055 * linear.clamp(min=0.0031308) ** (1 / 2.4) - 0.055
    return torch.where(linear > 0.0031308, curved, linear * 12.92).to(dtype)


def linear_to_xyz(linear: Tensor) -> Tensor:
    """Convert linear sRGB to CIE XYZ, both (..., 3, H, W); white (1, 1, 1) becomes (.95046, 1, 1.08875)."""
    linear, dtype = _open(linear, 3)
    return _mix(RGB_TO_XYZ, linear).to(dtype)


def xyz_to_linear(xyz: Tensor) -> Tensor:
    """Convert CIE XYZ to linear sRGB, both (..., 3, H, W)."""
    xyz, dtype = _open(xyz, 3)
    return _mix(XYZ_TO_RGB, xyz).to(dtype)


def _lab_curve(t: Tensor) -> Tensor:
    """Apply CIE's f: a cube root with a linear start, so that the slope at black is finite."""
    root = t.clamp(min=0.008856) ** (1 / 3)
    return torch.where(t > 0.008856, root, 7.787 * t + 16 / 116)


def _lab_curve_inverse(f: Tensor) -> Tensor:
    return torch.where(f > 0.2068966, f**3, (f - 16 / 116) / 7.787)


def xyz_to_lab(xyz: Tensor) -> Tensor:
    """Convert CIE XYZ to CIE L*a*b* (1976, D65), both (..., 3, H, W).

    L is 0 (black) to 100 (white), a runs from green to red, b from blue to yellow.
    """
    xyz, dtype = _open(xyz, 3)
    x, y, z = xyz.unbind(-3)
    fx, fy, fz = _lab_curve(x / WHITE[0]), _lab_curve(y / WHITE[1]), _lab_curve(z / WHITE[2])
    return torch.stack((116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)), dim=-3).to(dtype)


def lab_to_xyz(lab: Tensor) -> Tensor:
    """Convert CIE L*a*b* to CIE XYZ, both (..., 3, H, W)."""
    lab, dtype = _open(lab, 3)
    lightness, a, b = lab.unbind(-3)
    fy = (lightness + 16) / 116
    fx, fz = fy + a / 500, fy - b / 200
    x, y, z = _lab_curve_inverse(fx), _lab_curve_inverse(fy), _lab_curve_inverse(fz)
    return torch.stack((x * WHITE[0], y * WHITE[1], z * WHITE[2]), dim=-3).to(dtype)


def rgb_to_lab(rgb: Tensor) -> Tensor:
    """Convert sRGB to CIE L*a*b*, both (..., 3, H, W).

    L is in 0..100. Over all 8-bit sRGB colors a is in [-86.183, 98.233] and b in [-107.857, 94.478]. White is
    (100, -.0025, .0047): the printed matrix and white point do not agree in the last digits.

    >>> red = torch.tensor([1.0, 0.0, 0.0]).view(3, 1, 1)
    >>> rgb_to_lab(red).flatten()
    tensor([53.2406, 80.0923, 67.2027])
    """
    rgb, dtype = _open(rgb, 3, uint8=True)
    return xyz_to_lab(linear_to_xyz(srgb_to_linear(rgb))).to(dtype)


def lab_to_rgb(lab: Tensor) -> Tensor:
    """Convert CIE L*a*b* to sRGB, both (..., 3, H, W). Not clipped: most Lab colors lie outside [0, 1]^3.

    `scale_lab_to_gamut` returns a color that can be shown.
    """
    lab, dtype = _open(lab, 3)
    return linear_to_srgb(xyz_to_linear(lab_to_xyz(lab))).to(dtype)


# -------------------------------------------------------------------------------------------------------- YUV


def rgb_to_yuv(rgb: Tensor) -> Tensor:
    """Convert sRGB to YUV, both (..., 3, H, W).

    Y in [0, 1] is Rec.601 luma; U = .492 (B - Y) is in [-.436, .436] and V = .877 (R - Y) in [-.615, .615].
    """
    rgb, dtype = _open(rgb, 3, uint8=True)
    y = luma(rgb).squeeze(-3)
    r, _, b = to_float(rgb).unbind(-3)
    return torch.stack((y, U_SCALE * (b - y), V_SCALE * (r - y)), dim=-3).to(dtype)


def yuv_to_rgb(yuv: Tensor) -> Tensor:
    """Convert YUV to sRGB, both (..., 3, H, W). Not clipped; the result's luma is Y whatever U and V are."""
    yuv, dtype = _open(yuv, 3)
    y, u, v = yuv.unbind(-3)
    b_minus_y, r_minus_y = u / U_SCALE, v / V_SCALE
    # The three differences from Y have no luma: wR (R - Y) + wG (G - Y) + wB (B - Y) = 0. Solve for G.
    g_minus_y = -(LUMA_WEIGHTS[0] * r_minus_y + LUMA_WEIGHTS[2] * b_minus_y) / LUMA_WEIGHTS[1]
    return torch.stack((y + r_minus_y, y + g_minus_y, y + b_minus_y), dim=-3).to(dtype)


# ---------------------------------------------------------------------------------------- luma + chroma plane


def chroma_basis(form: str = "corrected") -> Tensor:
    """Return two vectors that span the plane of RGB directions without luma: float32 (2, 3), one per row.

    "printed": u1 = (1, 0, -wR/wB) and u2 = (0, 1, -wG/wB), the ECS171 paper's section 2.2.4, which calls them
    orthonormal; in fact u1.u2 = 13.5 and the norms are 2.81 and 5.25.
    "corrected": the orthonormal basis that Gram-Schmidt makes of u1, u2, so that distances in the plane are
    distances in RGB.
    """
    return torch.tensor(_basis(form), dtype=torch.float32)


@cache
def _basis(form: str) -> list[list[float]]:
    w_r, w_g, w_b = LUMA_WEIGHTS
    u1 = torch.tensor([1, 0, -w_r / w_b], dtype=torch.float64, device="cpu")
    u2 = torch.tensor([0, 1, -w_g / w_b], dtype=torch.float64, device="cpu")
    if form == "printed":
        return [u1.tolist(), u2.tolist()]
    if form == "corrected":
        e1 = u1 / u1.norm()
        rest = u2 - u2.dot(e1) * e1  # what is left of u2 without its part along e1
        return [e1.tolist(), (rest / rest.norm()).tolist()]
    raise LabkitError(f"form must be 'corrected' or 'printed'. Got {form!r}")


def _luma_direction(form: str) -> list[float]:
    """Return the color of luma 1 and zero chroma: white, or (as printed) a green."""
    if form == "corrected":
        return [1.0, 1.0, 1.0]
    _basis(form)  # refuses an unknown form
    return [w / sum(w * w for w in LUMA_WEIGHTS) for w in LUMA_WEIGHTS]  # (.669, 1.313, .255)


def rgb_to_luma_chroma(rgb: Tensor, form: str = "corrected", basis: str | None = None) -> tuple[Tensor, Tensor]:
    """Split sRGB (..., 3, H, W) into luma (..., 1, H, W) and chroma coordinates (..., 2, H, W).

    Every color is  v = Y d + alpha b1 + beta b2  with Y its Rec.601 luma and b1, b2 the rows of ``chroma_basis``. Two
    things of the formula can be as the paper prints it or corrected: d, the direction of luma, and the basis. ``form``
    is the form of both; ``basis``, where it is given, that of the basis alone:

    - "corrected": d = (1, 1, 1), the gray axis, and b1, b2 orthonormal. Zero chroma is gray.
    - "printed": d = w / (w.w), as in the ECS171 paper (section 2.2.4). d is 30 degrees off the gray axis:
      zero chroma is *green*, and leaves the gamut for Y > .761.

    In all of them b1 and b2 have no luma, so an error in the chroma does not change Y.

    Raises:
        LabkitError: another form.
    """
    basis = basis or form
    vectors = _basis(basis)
    rgb, dtype = _open(rgb, 3, uint8=True)
    gray = luma(rgb)
    rest = to_float(rgb) - _mix([[d] for d in _luma_direction(form)], gray)
    # u1 and u2 hold a unit matrix in R and G, so the printed coordinates are simply the rest's R and G.
    chroma = rest[..., :2, :, :] if basis == "printed" else _mix(vectors, rest)
    return gray.to(dtype), chroma.to(dtype)


def luma_chroma_to_rgb(gray: Tensor, chroma: Tensor, form: str = "corrected", basis: str | None = None) -> Tensor:
    """Convert luma (..., 1, H, W) and chroma (..., 2, H, W) to sRGB (..., 3, H, W), not clipped.

    The inverse of `rgb_to_luma_chroma` with the same form and basis.
    """
    b1, b2 = _basis(basis or form)
    columns = list(zip(_luma_direction(form), b1, b2, strict=True))
    coordinates, dtype = _join(gray, chroma)
    return _mix(columns, coordinates).to(dtype)


def _join(gray: Tensor, plane: Tensor) -> tuple[Tensor, torch.dtype]:
    """Do as ``_open`` for gray (..., 1, H, W) and two more channels (..., 2, H, W): stack them to three."""
    _check(gray, 1)
    _check(plane, 2)
    if gray.shape[:-3] != plane.shape[:-3] or gray.shape[-2:] != plane.shape[-2:]:
        shapes = f"{tuple(gray.shape)} and {tuple(plane.shape)}"
        raise LabkitError(f"expected gray and chroma of the same batch, height and width. Got {shapes}")
    return torch.cat((at_least_float32(gray), at_least_float32(plane)), dim=-3), torch.promote_types(
        gray.dtype, plane.dtype
    )


# ---------------------------------------------------------------------------------------- back into the gamut


def scale_to_gamut(rgb: Tensor) -> Tensor:
    """Bring colors into [0, 1] by scaling their chroma around the gray of the same luma; both (..., 3, H, W).

    The Rec.601 luma is kept (to 1e-6 in float32; a luma outside [0, 1] is clamped first), and so is the
    direction of the chroma. Colors already inside are returned bit for bit. Clipping instead would change the
    luma.

    >>> too_red = torch.tensor([1.5, 0.2, 0.2]).view(3, 1, 1)
    >>> scale_to_gamut(too_red).flatten()
    tensor([1.0000, 0.4133, 0.4133])
    >>> torch.cat([luma(too_red), luma(scale_to_gamut(too_red)), luma(too_red.clamp(0, 1))]).flatten()
    tensor([0.5887, 0.5887, 0.4392])
    """
    rgb, dtype = _open(rgb, 3)
    y = luma(rgb)
    gray = y.clamp(0, 1)
    chroma = rgb - y
    # A channel can go up by 1 - gray or down by gray; the pixel takes the scale of its tightest channel.
    room = torch.where(chroma > 0, 1 - gray, gray)
    needed = torch.maximum(chroma.abs(), room).clamp(min=1e-12)
    scale = (room / needed).amin(dim=-3, keepdim=True)  # min(1, room / |chroma|), without dividing by zero
    inside = (rgb.amin(dim=-3, keepdim=True) >= 0) & (rgb.amax(dim=-3, keepdim=True) <= 1)
    return torch.where(inside, rgb, (gray + scale * chroma).clamp(0, 1)).to(dtype)


def scale_lab_to_gamut(lab: Tensor) -> Tensor:
    """Convert Lab to sRGB in [0, 1], scaling a and b toward 0 at fixed L*; both (..., 3, H, W).

    L* is kept to .01 (outside 0..100 it gives black or white), and so is the hue angle. Colors inside the
    gamut are just converted. Each pixel's scale is found by bisection and is a constant to autograd.
    """
    lab, dtype = _open(lab, 3)
    lightness, ab = lab.split((1, 2), dim=-3)
    with torch.no_grad():
        scale = _largest_scale(lab)
    return lab_to_rgb(torch.cat((lightness, scale * ab), dim=-3)).clamp(0, 1).to(dtype)


def _in_gamut(lab: Tensor) -> Tensor:
    """Return a mask of the pixels of (..., 3, H, W) that can be shown: bool (..., H, W).

    In linear light the gamut is the same cube, and no power is needed. The margins are for rounding, and for
    white: (100, 0, 0) comes back with a blue of 1 + 8e-5.
    """
    linear = xyz_to_linear(lab_to_xyz(lab))
    return (linear.amin(dim=-3) > -1e-6) & (linear.amax(dim=-3) < 1 + 1e-4)


def _largest_scale(lab: Tensor) -> Tensor:
    """Return the largest scale in [0, 1] for which (L, scale a, scale b) is in the gamut: (..., 1, H, W)."""
    outside = ~_in_gamut(lab)
    pixels = lab.movedim(-3, 0)[:, outside].unsqueeze(-1)  # (3, K, 1): work only on the K pixels that need it
    low, high = torch.zeros_like(pixels[:1]), torch.ones_like(pixels[:1])
    for _ in range(BISECTION_STEPS):
        middle = (low + high) / 2
        fits = _in_gamut(torch.cat((pixels[:1], middle * pixels[1:])))
        low, high = torch.where(fits, middle, low), torch.where(fits, high, middle)
    scale = torch.ones_like(lab[..., 0, :, :])
    scale[outside] = low.flatten()
    return scale.unsqueeze(-3)


def luma_ab_to_rgb(gray: Tensor, ab: Tensor) -> Tensor:
    """Return the displayable color that has this Rec.601 luma and these a, b of Lab.

    gray (..., 1, H, W) in [0, 1] and ab (..., 2, H, W) -> sRGB (..., 3, H, W) in [0, 1]. A network that
    sees luma and predicts a, b does not know L*, but the luma fixes it: L* is found by bisection, to 1e-4.
    Where the gamut has no such color, the chroma is scaled around gray as in ``scale_to_gamut``; its Lab
    hue may turn by some degrees. The luma of the result is gray, to 1e-6 in float32. To autograd the L*
    found is a constant.
    """
    image, dtype = _join(gray, ab)
    wanted, ab = image[..., :1, :, :].clamp(0, 1), image[..., 1:, :, :]
    with torch.no_grad():
        low, high = torch.zeros_like(wanted), torch.full_like(wanted, 100)
        for _ in range(BISECTION_STEPS):
            middle = (low + high) / 2
            too_dark = luma(lab_to_rgb(torch.cat((middle, ab), dim=-3))) < wanted
            low, high = torch.where(too_dark, middle, low), torch.where(too_dark, high, middle)
    rgb = lab_to_rgb(torch.cat((low, ab), dim=-3))
    exact = rgb + (wanted - luma(rgb))  # the little that the bisection left over goes along the gray axis
    return scale_to_gamut(exact).to(dtype)
