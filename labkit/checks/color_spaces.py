"""Exercises of lab 02: RGB, LAB, YUV, the luma-chroma plane, and the way back into the gamut."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from labkit import color
from labkit.checks.framework import Exercise, Verdict, Wrong, as_tensor, close, describe, uniform


def by_place(answer: Callable[..., Any], inputs: Mapping[str, Any]) -> Any:
    """Hand the inputs over in order: a student may rename the arguments."""
    return answer(*inputs.values())


def mix(matrix: Any, image: Tensor) -> Tensor:
    """Multiply every pixel of an image (3, H, W) by a 3 x 3 matrix."""
    return torch.einsum("ij,jhw->ihw", torch.as_tensor(matrix, dtype=image.dtype), image)


# ----------------------------------------------------------------------------------------------- srgb_to_linear


def codes(rng: torch.Generator) -> dict[str, Tensor]:
    """Draw sRGB values (3, 4, 5), the first channel around the end of the straight piece of the curve."""
    rgb = torch.rand((3, 4, 5), generator=rng)
    rgb[0] *= 0.08
    rgb[1, 0, 0], rgb[2, 0, 0] = 0.0, 1.0
    return {"rgb": rgb}


def power_everywhere(rgb: Tensor) -> Tensor:
    """Apply the power piece of the sRGB curve to all values, dark ones included."""
    return ((rgb + 0.055) / 1.055) ** 2.4


def wrong_threshold(rgb: Tensor) -> Tensor:
    """Decode sRGB values with .0031308, the threshold for light, in place of .04045."""
    return torch.where(rgb > 0.0031308, power_everywhere(rgb), rgb / 12.92)


SRGB_TO_LINEAR = Exercise(
    id="02-srgb-to-linear",
    title="From code values to light",
    points=1,
    minutes=4,
    asks_for=("labkit.color.srgb_to_linear", "labkit.color.linear_to_srgb"),
    inputs=codes,
    call=by_place,
    reference=lambda rgb: torch.where(rgb > 0.04045, power_everywhere(rgb), rgb / 12.92),
    atol=2e-6,
    hint="two pieces: c / 12.92 up to .04045, ((c + .055) / 1.055) ** 2.4 above; torch.where picks one per value",
    wrong=(
        Wrong(
            "gamma 2.2", lambda rgb: rgb**2.2, "2.2 is only the rule of thumb: the exponent here is 2.4, with an offset"
        ),
        Wrong(
            "one piece", power_everywhere, "below .04045 the curve is a straight line, c / 12.92: dark values differ"
        ),
        Wrong(
            "the other threshold", wrong_threshold, ".0031308 is the threshold for light; for code values it is .04045"
        ),
        Wrong(
            "the other way",
            lambda rgb: color.linear_to_srgb(rgb),
            "that is the way back, from light to code values: here mid gray gets darker",
        ),
        Wrong(
            "bytes",
            lambda rgb: torch.where(rgb / 255 > 0.04045, power_everywhere(rgb / 255), rgb / 255 / 12.92),
            "the values are in 0..1 already: do not divide by 255",
        ),
    ),
)


# ------------------------------------------------------------------------------------------------ linear_to_lab


def light(rng: torch.Generator) -> dict[str, Tensor]:
    """Linear RGB (3, 4, 5) with black, white, and a row so dark that CIE's curve is straight there."""
    linear = torch.rand((3, 4, 5), generator=rng)
    linear[:, 0] *= 0.008
    linear[:, 1, 0], linear[:, 1, 1] = 0.0, 1.0
    return {"linear": linear}


def cie_lab(
    linear: Tensor,
    matrix: Any = color.RGB_TO_XYZ,
    white: tuple[float, float, float] = color.WHITE,
    offset: float = 16 / 116,
    straight: bool = True,
) -> Tensor:
    """Lab of linear RGB (3, H, W), in float64, with the parts that can go wrong as arguments."""
    t = mix(matrix, linear.double()) / torch.tensor(white, dtype=torch.float64).view(3, 1, 1)
    f = t.clamp(min=0) ** (1 / 3)
    f = torch.where(t > 0.008856, f, 7.787 * t + offset) if straight else f
    return torch.stack([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def swapped_ab(linear: Tensor) -> Tensor:
    """Return Lab with a and b exchanged, (3, H, W)."""
    return cie_lab(linear)[[0, 2, 1]]


def no_root(linear: Tensor) -> Tensor:
    """Lab's formulas with f(t) = t."""
    x, y, z = mix(color.RGB_TO_XYZ, linear.double()) / torch.tensor(color.WHITE, dtype=torch.float64).view(3, 1, 1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)])


LINEAR_TO_LAB = Exercise(
    id="02-linear-to-lab",
    title="From light to LAB",
    points=3,
    minutes=8,
    asks_for=(
        "labkit.color.rgb_to_lab",
        "labkit.color.xyz_to_lab",
        "labkit.color.linear_to_xyz",
        "labkit.color.lightness",
    ),
    inputs=light,
    call=by_place,
    reference=cie_lab,
    atol=0.02,  # other printings of the white point and of the straight piece agree to this
    hint="XYZ = M rgb; divide by the white point; f of each; then 116 fy - 16, 500 (fx - fy), 200 (fy - fz)",
    wrong=(
        Wrong(
            "linearized again",
            lambda linear: cie_lab(color.srgb_to_linear(linear)),
            "the values are linear light already: do not undo the gamma a second time",
        ),
        Wrong(
            "gamma put on",
            lambda linear: cie_lab(color.linear_to_srgb(linear)),
            "XYZ is a mix of light: do not put the gamma back on before mixing",
        ),
        Wrong("no curve", no_root, "f is missing: without the cube root the numbers are light, not lightness"),
        Wrong(
            "no white point",
            lambda linear: cie_lab(linear, white=(1.0, 1.0, 1.0)),
            "divide X, Y and Z by the white point first: white must come out with a and b near 0",
        ),
        Wrong(
            "white point D50",
            lambda linear: cie_lab(linear, white=(0.96422, 1.0, 0.82521)),
            "that is the white point D50: sRGB's white is D65, (.95047, 1, 1.08883)",
        ),
        Wrong(
            "16/166",
            lambda linear: cie_lab(linear, offset=16 / 166),
            "the constant of the straight piece is 16/116: with it the two pieces meet, and black has L = 0",
        ),
        Wrong(
            "cube root everywhere",
            lambda linear: cie_lab(linear, straight=False),
            "very dark values (t up to .008856) take the straight piece, 7.787 t + 16/116",
        ),
        Wrong(
            "transposed",
            lambda linear: cie_lab(linear, matrix=torch.tensor(color.RGB_TO_XYZ).T),
            "the matrix is transposed: its first ROW makes X; check that white gives Y = 1",
        ),
        Wrong("a and b swapped", swapped_ab, "a and b are swapped: a comes from X and Y, b from Y and Z"),
        Wrong(
            "L in 0..1",
            lambda linear: cie_lab(linear) / 100,
            "L is in 0..100 and a, b are in the same units: no division",
        ),
    ),
)


# --------------------------------------------------------------------------------------------------- rgb_to_yuv

YUV_MATRIX = (
    (0.299, 0.587, 0.114),
    (-0.14714119, -0.28886916, 0.43601035),
    (0.61497538, -0.51496512, -0.10001026),
)


def differences(
    rgb: Tensor, w: tuple[float, float, float], u_scale: float, v_scale: float, shift: float = 0.0
) -> Tensor:
    """(Y, scaled B - Y, scaled R - Y) for the luma weights w."""
    r, g, b = rgb
    y = w[0] * r + w[1] * g + w[2] * b
    return torch.stack([y, u_scale * (b - y) + shift, v_scale * (r - y) + shift])


BT709 = (0.2126, 0.7152, 0.0722)

RGB_TO_YUV = Exercise(
    id="02-rgb-to-yuv",
    title="RGB to YUV",
    points=2,
    minutes=5,
    asks_for=("labkit.color.rgb_to_yuv", "labkit.color.yuv_to_rgb"),
    inputs=lambda rng: {"rgb": uniform(rng, 0, 1, (3, 4, 5))},
    call=by_place,
    reference=lambda rgb: mix(YUV_MATRIX, rgb),
    atol=2e-4,
    hint="Y = .299 R + .587 G + .114 B first; then U = .492111 (B - Y) and V = .877283 (R - Y), in the order Y, U, V",
    wrong=(
        Wrong(
            "transposed",
            lambda rgb: mix(torch.tensor(YUV_MATRIX).T, rgb),
            "the matrix is transposed: Y must be the luma, and a gray pixel must have U = V = 0",
        ),
        Wrong(
            "Rec.709 weights",
            lambda rgb: differences(rgb, BT709, 0.492111, 0.877283),
            "those are the weights of Rec.709 (HD video): this course's luma is Rec.601, .299 .587 .114",
        ),
        Wrong(
            "all of Rec.709",
            lambda rgb: differences(rgb, BT709, 0.436 / 0.9278, 0.615 / 0.7874),
            "that is the YUV of Rec.709 (HD video): here it is Rec.601, .299 .587 .114, with .492111 and .877283",
        ),
        Wrong(
            "U and V swapped", lambda rgb: mix(YUV_MATRIX, rgb)[[0, 2, 1]], "U and V are swapped: U is made of B - Y"
        ),
        Wrong(
            "sign",
            lambda rgb: mix(YUV_MATRIX, rgb) * torch.tensor([1.0, -1.0, -1.0]).view(3, 1, 1),
            "the signs of U and V are turned round: a blue pixel has a positive U, a red one a positive V",
        ),
        Wrong(
            "no scale",
            lambda rgb: differences(rgb, color.LUMA_WEIGHTS, 1.0, 1.0),
            "B - Y and R - Y still need their factors .492111 and .877283",
        ),
        Wrong(
            "JPEG's YCbCr",
            lambda rgb: differences(rgb, color.LUMA_WEIGHTS, 0.5 / 0.886, 0.5 / 0.701, 0.5),
            "that is JPEG's YCbCr: YUV has other factors, and no 0.5 is added",
        ),
    ),
)


# ------------------------------------------------------------------------------------------------- Gram-Schmidt


def plane(rng: torch.Generator) -> dict[str, Tensor]:
    """u1, u2 of the ECS171 paper, for luma weights near Rec.601's."""
    w = torch.tensor(color.LUMA_WEIGHTS) + uniform(rng, -0.05, 0.05, (3,))
    return {"u1": torch.stack([torch.tensor(1.0), torch.tensor(0.0), -w[0] / w[2]]),
            "u2": torch.stack([torch.tensor(0.0), torch.tensor(1.0), -w[1] / w[2]])}  # fmt: skip


def unit(vector: Tensor) -> Tensor:
    """Divide a vector by its norm."""
    return vector / vector.norm()


def gram_schmidt(u1: Tensor, u2: Tensor) -> Tensor:
    """Return an orthonormal basis of the plane of u1 and u2, one vector per row, (2, 3)."""
    e1 = unit(u1)
    return torch.stack([e1, unit(u2 - (u2 @ e1) * e1)])


def judge_basis(inputs: Mapping[str, Tensor], output: Any) -> Verdict:
    """Any orthonormal basis of the plane of u1, u2 is right."""
    basis = as_tensor(output)
    if basis is None or basis.squeeze().shape != (2, 3):
        shown = describe(output) if basis is None else f"shape {tuple(basis.shape)}"
        return Verdict(False, "return two vectors of three numbers, e1 and e2: one per row", shown, "shape (2, 3)")
    rows = basis.reshape(2, 3)
    if not (verdict := close(rows.norm(dim=1), torch.ones(2), atol=1e-4)).ok:
        hint = "e1 and e2 must have length 1: divide each by its norm at the end"
        return Verdict(False, hint, f"lengths {verdict.given}", "lengths [1, 1]")
    product = float(rows[0] @ rows[1])
    if not abs(product) < 1e-4:
        hint = "e1 and e2 are not orthogonal: take from u2 its part along the UNIT vector e1, (u2 . e1) e1"
        return Verdict(False, hint, f"e1 . e2 = {product:.4g}", "0")
    given = torch.stack([inputs["u1"], inputs["u2"]]).double()
    outside = float((given - given @ rows.T @ rows).norm(dim=1).max())
    if not outside < 1e-3:
        hint = "e1 and e2 must span the same plane as u1 and u2 (the plane without luma): use nothing but u1 and u2"
        return Verdict(False, hint, f"u1 or u2 sticks out of the plane of e1, e2 by {outside:.4g}", "0")
    return Verdict(True)


GRAM_SCHMIDT = Exercise(
    id="02-gram-schmidt",
    title="An orthonormal basis of the chroma plane",
    points=2,
    minutes=6,
    asks_for=("labkit.color.chroma_basis", "labkit.color.rgb_to_luma_chroma", "labkit.color.luma_chroma_to_rgb"),
    inputs=plane,
    call=by_place,
    reference=gram_schmidt,
    judge=judge_basis,
    wrong=(
        Wrong(
            "unchanged",
            lambda u1, u2: torch.stack([u1, u2]),
            "these are u1 and u2 themselves: neither orthogonal nor of length 1",
        ),
        Wrong(
            "only normalized",
            lambda u1, u2: torch.stack([unit(u1), unit(u2)]),
            "length 1 is not enough: u2 still has a part along e1, take it away before you normalize",
        ),
        Wrong(
            "not normalized",
            lambda u1, u2: torch.stack([u1, u2 - (u2 @ u1) / (u1 @ u1) * u1]),
            "orthogonal, yes, but each must be divided by its norm as well",
        ),
        Wrong(
            "projected on u1",
            lambda u1, u2: torch.stack([unit(u1), unit(u2 - (u2 @ u1) * u1)]),
            "the part along u1 is (u2 . e1) e1 with the unit vector e1; (u2 . u1) u1 is too long",
        ),
        Wrong(
            "left the plane",
            lambda u1, u2: torch.stack([unit(u1), unit(torch.linalg.cross(u1, u2))]),
            "u1 x u2 is orthogonal to the whole plane: it points along the luma weights w",
        ),
    ),
)


# ----------------------------------------------------------------------------------------------- scale_to_gamut


def overshot(rng: torch.Generator) -> dict[str, Tensor]:
    """Colors (3, 4, 5) whose luma is in .1 to .9 and whose chroma is often too strong; one row inside the gamut."""
    inside = uniform(rng, 0.1, 0.9, (3, 4, 5))
    gray = color.luma(inside)
    stretch = torch.tensor([1.0, 2.0, 4.0, 6.0]).view(1, 4, 1)
    return {"rgb": gray + stretch * (inside - gray)}


def mean_gray(rgb: Tensor) -> Tensor:
    """Scale each pixel around the mean of its channels in place of its luma, (3, H, W)."""
    return scaled_around(rgb, rgb.mean(dim=0, keepdim=True))


def largest_scale(rgb: Tensor, gray: Tensor) -> Tensor:
    """For each channel, the largest scale in [0, 1] at which gray + scale (rgb - gray) stays in [0, 1]."""
    chroma = rgb - gray
    room = torch.where(chroma > 0, 1 - gray, gray)
    return (room / chroma.abs().clamp(min=1e-9)).clamp(max=1)


def scaled_around(rgb: Tensor, gray: Tensor) -> Tensor:
    """Scale each pixel around ``gray`` (1, H, W) by the largest scale up to 1 that fits all channels, (3, H, W)."""
    return gray + largest_scale(rgb, gray).amin(dim=0, keepdim=True) * (rgb - gray)


def one_scale(rgb: Tensor) -> Tensor:
    """Scale all pixels around their luma by the same number, the smallest scale of any pixel, (3, H, W)."""
    gray = color.luma(rgb)
    return gray + largest_scale(rgb, gray).min() * (rgb - gray)


def only_above(rgb: Tensor) -> Tensor:
    """Scale each pixel around its luma until no channel exceeds 1, without regard to values below 0."""
    gray = color.luma(rgb)
    highest = (rgb - gray).amax(dim=0, keepdim=True).clamp(min=1e-9)
    return gray + ((1 - gray) / highest).clamp(max=1) * (rgb - gray)


def no_limit(rgb: Tensor) -> Tensor:
    """Scale each pixel around its luma to the border of the gamut, even if that takes a scale above 1."""
    gray = color.luma(rgb)
    chroma = rgb - gray
    room = torch.where(chroma > 0, 1 - gray, gray)
    return gray + (room / chroma.abs().clamp(min=1e-9)).amin(dim=0, keepdim=True) * chroma


def judge_gamut(inputs: Mapping[str, Tensor], output: Any) -> Verdict:
    """Inside the gamut; luma as it was; chroma scaled by one number a pixel, as large as possible."""
    rgb = inputs["rgb"]
    wanted = scaled_around(rgb, color.luma(rgb))
    verdict = close(output, wanted, atol=1e-4)
    given = as_tensor(output)
    if verdict.ok or given is None or given.squeeze().shape != rgb.shape:
        return verdict
    given = given.reshape(rgb.shape)
    low, high = float(given.min()), float(given.max())
    if low < -1e-4 or high > 1 + 1e-4:
        return Verdict(False, "some values are still outside the gamut", f"values {low:.4g} to {high:.4g}", "0 to 1")
    lost = float((color.luma(given) - color.luma(rgb)).abs().max())
    if lost > 1e-4:
        hint = "the luma changed: move each pixel along the line between it and the gray of its own luma"
        return Verdict(False, hint, f"luma is off by up to {lost:.4g}", "luma as it was")
    hint = "luma survives, well; now take for each pixel the LARGEST scale (at most 1) that keeps R, G and B in [0, 1]"
    return Verdict(False, hint, verdict.given, verdict.expected)


SCALE_TO_GAMUT = Exercise(
    id="02-scale-to-gamut",
    title="Back into the gamut without losing luma",
    points=3,
    minutes=9,
    asks_for=("labkit.color.scale_to_gamut",),
    may_use=("labkit.color.luma",),
    inputs=overshot,
    call=by_place,
    reference=lambda rgb: scaled_around(rgb, color.luma(rgb)),
    judge=judge_gamut,
    wrong=(
        Wrong(
            "clip",
            lambda rgb: rgb.clamp(0, 1),
            "that is clipping: each channel moves on its own, and the luma with it; let all three share one scale",
        ),
        Wrong(
            "around the mean",
            mean_gray,
            "the center is the gray of the same LUMA, .299 R + .587 G + .114 B, not the mean of the channels",
        ),
        Wrong(
            "one scale for all", one_scale, "one scale for the whole image pales every pixel: each pixel has its own"
        ),
        Wrong("only above 1", only_above, "values below 0 are outside as well: there the room is the gray itself"),
        Wrong(
            "no limit", no_limit, "never scale up: a color inside the gamut stays as it is, so the scale is at most 1"
        ),
        Wrong(
            "divided by the maximum",
            lambda rgb: rgb.clamp(min=0) / rgb.amax(dim=0, keepdim=True).clamp(min=1),
            "dividing a pixel by its maximum pulls it toward black: pull it toward its own gray",
        ),
    ),
)


# ----------------------------------------------------------------------------------- what a UV error does to RGB

R_V, G_U, G_V, B_U = 1.13988, -0.39464, -0.58062, 2.03206  # R = Y + R_V V, G = Y + G_U U + G_V V, B = Y + B_U U
PER_U, PER_V = G_U**2 + B_U**2, R_V**2 + G_V**2


def rgb_mse(u_error: float, v_error: float) -> float:
    """Return the MSE in RGB for independent errors in U and V of mean 0 and these RMS sizes."""
    return (PER_U * u_error**2 + PER_V * v_error**2) / 3


def added_first(u_error: float, v_error: float) -> float:
    """Return the MSE in RGB with the two errors of G added before squaring."""
    return ((R_V * v_error) ** 2 + (G_U * u_error + G_V * v_error) ** 2 + (B_U * u_error) ** 2) / 3


def forward_matrix(u_error: float, v_error: float) -> float:
    """Return the MSE computed with the coefficients of RGB to YUV in place of the inverse's."""
    _, u, v = YUV_MATRIX
    return sum((u[i] * u_error) ** 2 + (v[i] * v_error) ** 2 for i in range(3)) / 3


UV_ERROR = Exercise(
    id="02-uv-error",
    title="What an error in U and V costs in RGB",
    points=2,
    minutes=6,
    inputs=lambda rng: {"u_error": uniform(rng, 0.02, 0.06), "v_error": uniform(rng, 0.08, 0.15)},
    call=by_place,
    reference=rgb_mse,
    atol=1e-7,
    hint="R, G and B one by one: which multiples of the two errors does each receive? Square, add, divide by 3",
    wrong=(
        Wrong(
            "squares forgotten",
            lambda u_error, v_error: (PER_U * u_error + PER_V * v_error) / 3,
            "a SQUARED error is asked: the errors enter squared",
        ),
        Wrong(
            "sum of the channels",
            lambda u_error, v_error: 3 * rgb_mse(u_error, v_error),
            "the MSE is the mean over the three channels: divide by 3",
        ),
        Wrong(
            "two channels",
            lambda u_error, v_error: 1.5 * rgb_mse(u_error, v_error),
            "two numbers are predicted, but R, G and B are scored: divide by 3",
        ),
        Wrong(
            "added before squaring",
            added_first,
            "G receives both errors; independent with mean 0 means that their product is 0 on average: the squares add",
        ),
        Wrong(
            "cross term subtracted",
            lambda u_error, v_error: 2 * rgb_mse(u_error, v_error) - added_first(u_error, v_error),
            "G receives both errors; independent with mean 0 means that on average there is no cross term",
        ),
        Wrong(
            "the matrix of the way there",
            forward_matrix,
            "those are the numbers of RGB to YUV: the error travels from YUV to RGB, by the inverse",
        ),
        Wrong(
            "the same in every space",
            lambda u_error, v_error: (u_error**2 + v_error**2) / 2,
            "that is the MSE in U and V: R, G and B receive these errors enlarged",
        ),
        Wrong(
            "1.974 for both",
            lambda u_error, v_error: (PER_U + PER_V) / 3 * (u_error**2 + v_error**2) / 2,
            "1.974 e^2 holds when both errors are e: else each has a factor of its own, and U's is the larger",
        ),
        Wrong(
            "G forgotten",
            lambda u_error, v_error: (B_U**2 * u_error**2 + R_V**2 * v_error**2) / 3,
            "G is made of U and V as well",
        ),
        Wrong(
            "the root",
            lambda u_error, v_error: rgb_mse(u_error, v_error) ** 0.5,
            "that is the RMS error: the MSE is its square",
        ),
    ),
)


EXERCISES = (SRGB_TO_LINEAR, LINEAR_TO_LAB, RGB_TO_YUV, GRAM_SCHMIDT, SCALE_TO_GAMUT, UV_ERROR)
