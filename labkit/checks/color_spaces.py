"""Exercises of lab 02: RGB to LAB and back, YUV, the way back into the gamut, and a color space to train in."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from labkit import color
from labkit.checks.framework import Exercise, Verdict, Wrong, as_tensor, close, uniform, whole
from labkit.checks.scenes import held_back_scenes, held_back_seed, training_scenes
from labkit.checks.values import close_by_part, same_axes
from labkit.data import toyworld
from labkit.representation import Representation

PREDICTIONS: dict[str, str | tuple[float, float]] = {
    "02-coarse": "a",
    "02-code-128": "b",
    "02-strongest": "a",
    "02-clipping": "c",
    "02-lightness": "c",
    "02-zero-chroma": "b",
    "02-one-picture": "b",
    "02-five-networks": "c",
}


def batch_and_image(answer: Callable[..., Any], inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Hand over a batch, then its first image alone: the contract is (..., 3, H, W)."""
    (images,) = inputs.values()
    return {"a batch": answer(images.clone()), "one image": answer(images[0])}


def batches_only(answer: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Return an answer that takes its channels from axis 1, which is the height of a single image."""

    def counted_from_the_front(images: Tensor) -> Tensor:
        first, second, third = images.unbind(dim=1)
        return answer(torch.stack([first, second, third], dim=1))

    return counted_from_the_front


FROM_THE_FRONT = (
    "(..., 3, H, W) may be a single image: count the axes from the end, dim=-3 is the channels with or without a batch"
)


def mix(matrix: Any, image: Tensor) -> Tensor:
    """Multiply every pixel of images (..., 3, H, W) by a 3 x 3 matrix."""
    return torch.einsum("ij,...jhw->...ihw", torch.as_tensor(matrix, dtype=image.dtype), image)


# ----------------------------------------------------------------------------------------------- srgb_to_linear


def codes(rng: torch.Generator) -> dict[str, Tensor]:
    """Draw sRGB values (2, 3, 4, 5), the first channel around the end of the straight piece of the curve."""
    rgb = torch.rand((2, 3, 4, 5), generator=rng)
    rgb[:, 0] *= 0.08
    rgb[:, 1, 0, 0], rgb[:, 2, 0, 0] = 0.0, 1.0
    return {"rgb": rgb}


def power_everywhere(rgb: Tensor) -> Tensor:
    """Apply the power piece of the sRGB curve to all values, dark ones included."""
    return ((rgb + 0.055) / 1.055) ** 2.4


def wrong_threshold(rgb: Tensor) -> Tensor:
    """Decode sRGB values with .0031308, the threshold for light, in place of .04045."""
    return torch.where(rgb > 0.0031308, power_everywhere(rgb), rgb / 12.92)


LAB_HINTS = (
    "Go one step at a time: undo the gamma curve, mix light into XYZ, divide by white, take the curve f, then three "
    "differences. The way back is the same steps in reverse order.",
    "The matrix: torch.einsum('ij,...jhw->...ihw', M, linear). Both curves: torch.where(condition, one, other). Three "
    "channels of a batch: x.unbind(dim=-3), torch.stack([...], dim=-3).",
    "Back: fy = (L + 16) / 116, fx = fy + a / 500, fz = fy - b / 200; undo f (f ** 3 above .2068966, else the straight "
    "piece solved for t); times WHITE; the matrix M.inverse(); the gamma curve of linear.clamp(min=.0031308), and "
    "12.92 linear below that.",
)

SRGB_TO_LINEAR = Exercise(
    id="02-srgb-to-linear",
    title="From code values to light",
    points=1,
    minutes=4,
    level=3,
    hints=LAB_HINTS,
    asks_for=("labkit.color.srgb_to_linear", "labkit.color.linear_to_srgb"),
    inputs=codes,
    call=batch_and_image,
    reference=lambda rgb: torch.where(rgb > 0.04045, power_everywhere(rgb), rgb / 12.92),
    atol=2e-6,
    hint="two pieces: c / 12.92 up to .04045, ((c + .055) / 1.055) ** 2.4 above; torch.where picks one per value",
    wrong=(
        Wrong(
            "gamma 2.2", lambda rgb: rgb**2.2, "2.2 is only the rule of thumb: the exponent here is 2.4, with an offset"
        ),
        Wrong("gamma forgotten", lambda rgb: rgb, "these are the code values as they were: the curve is missing"),
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
    """Linear RGB (2, 3, 4, 5) with black, white, and a row so dark that CIE's curve is straight there."""
    linear = torch.rand((2, 3, 4, 5), generator=rng)
    linear[..., 0, :] *= 0.008
    linear[..., 1, 0], linear[..., 1, 1] = 0.0, 1.0
    return {"linear": linear}


def _white(white: tuple[float, float, float]) -> Tensor:
    return torch.tensor(white, dtype=torch.float64).view(3, 1, 1)


def cie_lab(
    linear: Tensor,
    matrix: Any = color.RGB_TO_XYZ,
    white: tuple[float, float, float] = color.WHITE,
    offset: float = 16 / 116,
    straight: bool = True,
) -> Tensor:
    """Lab of linear RGB (..., 3, H, W), in float64, with the parts that can go wrong as arguments."""
    t = mix(matrix, linear.double()) / _white(white)
    f = t.clamp(min=0) ** (1 / 3)
    f = torch.where(t > 0.008856, f, 7.787 * t + offset) if straight else f
    return _differences(*f.unbind(-3))


def _differences(fx: Tensor, fy: Tensor, fz: Tensor) -> Tensor:
    return torch.stack([116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)], dim=-3)


def swapped_ab(linear: Tensor) -> Tensor:
    """Return Lab with a and b exchanged, (..., 3, H, W)."""
    return cie_lab(linear)[..., [0, 2, 1], :, :]


def no_root(linear: Tensor) -> Tensor:
    """Lab's formulas with f(t) = t."""
    return _differences(*(mix(color.RGB_TO_XYZ, linear.double()) / _white(color.WHITE)).unbind(-3))


LINEAR_TO_LAB = Exercise(
    id="02-linear-to-lab",
    title="From light to LAB",
    points=3,
    minutes=9,
    level=3,
    asks_for=(
        "labkit.color.rgb_to_lab",
        "labkit.color.xyz_to_lab",
        "labkit.color.linear_to_xyz",
        "labkit.color.lightness",
    ),
    inputs=light,
    call=batch_and_image,
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
            "sign of a",
            lambda linear: cie_lab(linear) * torch.tensor([1.0, -1.0, 1.0]).view(3, 1, 1),
            "the sign of a: it is 500 (fx - fy)",
        ),
        Wrong(
            "sign of b",
            lambda linear: cie_lab(linear) * torch.tensor([1.0, 1.0, -1.0]).view(3, 1, 1),
            "the sign of b: it is 200 (fy - fz)",
        ),
        Wrong(
            "stacked in front",
            lambda linear: cie_lab(linear).movedim(-3, 0),
            "the three channels are stacked in front: torch.stack([...], dim=-3) puts them in their place",
        ),
        Wrong(
            "L in 0..1",
            lambda linear: cie_lab(linear) / 100,
            "L is in 0..100 and a, b are in the same units: no division",
        ),
        Wrong("batches only", batches_only(cie_lab), FROM_THE_FRONT),
    ),
)


# --------------------------------------------------------------------------------------------------- lab_to_rgb


def some_lab(rng: torch.Generator) -> dict[str, Tensor]:
    """Lab (2, 3, 4, 5) of colors, a row of them very dark, and a row that no screen can show."""
    rgb = torch.rand((2, 3, 4, 5), generator=rng)
    rgb[..., 0, :] *= 0.05
    lab = cie_lab(color.srgb_to_linear(rgb)).float()
    lab[..., 1:, 1, :] *= 3
    return {"lab": lab}


def from_lab(
    lab: Tensor,
    white: tuple[float, float, float] = color.WHITE,
    matrix: Any = color.XYZ_TO_RGB,
    signs: tuple[int, int] = (1, -1),
    threshold: float = 0.2068966,
    gamma: Callable[[Tensor], Tensor] = color.linear_to_srgb,
) -> Tensor:
    """Return sRGB of Lab (..., 3, H, W), in float64, with the parts that can go wrong as arguments."""
    lightness, a, b = lab.double().unbind(-3)
    fy = (lightness + 16) / 116
    f = torch.stack([fy + signs[0] * a / 500, fy, fy + signs[1] * b / 200], dim=-3)
    xyz = torch.where(f > threshold, f**3, (f - 16 / 116) / 7.787) * _white(white)
    return gamma(mix(matrix, xyz))


def power_below(linear: Tensor) -> Tensor:
    """Apply the power piece of the curve to all light, negative and dark values included."""
    return 1.055 * linear ** (1 / 2.4) - 0.055


LAB_TO_RGB = Exercise(
    id="02-lab-to-rgb",
    title="LAB back to RGB",
    points=3,
    minutes=9,
    level=3,
    asks_for=("labkit.color.lab_to_rgb", "labkit.color.lab_to_xyz", "labkit.color.xyz_to_linear"),
    inputs=some_lab,
    call=batch_and_image,
    reference=from_lab,
    atol=3e-4,
    hint="undo each step in reverse order: f, then the white point, then the matrix, then the gamma curve",
    wrong=(
        Wrong(
            "gamma forgotten",
            lambda lab: from_lab(lab, gamma=lambda linear: linear),
            "this is still light: the last step puts the gamma curve on",
        ),
        Wrong(
            "gamma undone again",
            lambda lab: from_lab(lab, gamma=color.srgb_to_linear),
            "the gamma curve is put ON here, from light to code values: its exponent is 1 / 2.4",
        ),
        Wrong(
            "white forgotten",
            lambda lab: from_lab(lab, white=(1.0, 1.0, 1.0)),
            "multiply X, Y and Z by the white point: without it gray has a tint",
        ),
        Wrong(
            "the forward matrix",
            lambda lab: from_lab(lab, matrix=color.RGB_TO_XYZ),
            "this is the matrix from RGB to XYZ: the way back needs its inverse",
        ),
        Wrong(
            "the transpose",
            lambda lab: from_lab(lab, matrix=torch.tensor(color.RGB_TO_XYZ).T),
            "M is not orthogonal: its inverse is not its transpose",
        ),
        Wrong(
            "sign of b",
            lambda lab: from_lab(lab, signs=(1, 1)),
            "b = 200 (fy - fz), so fz = fy - b / 200: mind the sign",
        ),
        Wrong(
            "cubes only",
            lambda lab: from_lab(lab, threshold=-math.inf),
            "dark values took the straight piece of f: below .2068966 undo that one, t = (f - 16/116) / 7.787",
        ),
        Wrong(
            "threshold of t",
            lambda lab: from_lab(lab, threshold=0.008856),
            ".008856 is the threshold for t; for f it is .2068966 (its cube root)",
        ),
        Wrong(
            "power below",
            lambda lab: from_lab(lab, gamma=power_below),
            "a power of a negative number is NaN: below .0031308 the curve is 12.92 times the light",
        ),
        Wrong(
            "clipped",
            lambda lab: from_lab(lab, gamma=lambda linear: color.linear_to_srgb(linear.clamp(0, 1))),
            "do not clip: colors outside the gamut are to come out outside 0..1, scale_to_gamut will need that",
        ),
        Wrong(
            "no light below 0",
            lambda lab: from_lab(lab, gamma=lambda linear: color.linear_to_srgb(linear.clamp(min=0))),
            "negative light is not cut off: all light below .0031308 takes the straight piece, 12.92 times the light",
        ),
        Wrong("batches only", batches_only(from_lab), FROM_THE_FRONT),
    ),
)


# ---------------------------------------------------------------------------------------- rgb_to_yuv, yuv_to_rgb

YUV_MATRIX = (
    (0.299, 0.587, 0.114),
    (-0.14714119, -0.28886916, 0.43601035),
    (0.61497538, -0.51496512, -0.10001026),
)
BT709 = (0.2126, 0.7152, 0.0722)


def differences(
    rgb: Tensor, w: tuple[float, float, float], u_scale: float, v_scale: float, shift: float = 0.0
) -> Tensor:
    """(Y, scaled B - Y, scaled R - Y) for the luma weights w."""
    r, g, b = rgb.unbind(-3)
    y = w[0] * r + w[1] * g + w[2] * b
    return torch.stack([y, u_scale * (b - y) + shift, v_scale * (r - y) + shift], dim=-3)


YUV_HINTS = (
    "YUV: Y first, the other two are differences from it, so the way back starts from R - Y and B - Y. Gamut: gray is "
    "inside and has the right luma; how far can you walk from it toward the color?",
    "G follows from Y: .299 (R - Y) + .587 (G - Y) + .114 (B - Y) = 0. Gamut: room = torch.where(chroma > 0, 1 - gray, "
    "gray), one number for each channel.",
    "B = Y + U / .492111, R = Y + V / .877283, G = (Y - .299 R - .114 B) / .587. Gamut: s = room / |chroma|, the "
    "smallest over the channels (amin(dim=-3, keepdim=True)), at most 1; the result is gray + s chroma.",
)

RGB_TO_YUV = Exercise(
    id="02-rgb-to-yuv",
    title="RGB to YUV",
    points=2,
    minutes=4,
    level=3,
    hints=YUV_HINTS,
    asks_for=("labkit.color.rgb_to_yuv", "labkit.color.yuv_to_rgb"),
    inputs=lambda rng: {"rgb": uniform(rng, 0, 1, (2, 3, 4, 5))},
    call=batch_and_image,
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
            "U and V swapped",
            lambda rgb: mix(YUV_MATRIX, rgb)[..., [0, 2, 1], :, :],
            "U and V are swapped: U is made of B - Y",
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
        Wrong("batches only", batches_only(lambda rgb: mix(YUV_MATRIX, rgb)), FROM_THE_FRONT),
    ),
)


def some_yuv(rng: torch.Generator) -> dict[str, Tensor]:
    """YUV (2, 3, 4, 5), a row of which no screen can show."""
    yuv = mix(YUV_MATRIX, torch.rand((2, 3, 4, 5), generator=rng))
    yuv[..., 1:, 0, :] *= 3
    return {"yuv": yuv}


def from_yuv(yuv: Tensor) -> Tensor:
    """Return sRGB of YUV, (..., 3, H, W)."""
    return mix(torch.tensor(YUV_MATRIX, dtype=torch.float64).inverse(), yuv)


def same_green(yuv: Tensor) -> Tensor:
    """Return R and B as they are, and G = Y - U - V, (..., 3, H, W)."""
    y, u, v = yuv.unbind(-3)
    return torch.stack([y + v / 0.877283, y - u - v, y + u / 0.492111], dim=-3)


def multiplied(yuv: Tensor) -> Tensor:
    """Return the channels made with the factors in place of their inverses, (..., 3, H, W)."""
    y, u, v = yuv.unbind(-3)
    r, b = y + 0.877283 * v, y + 0.492111 * u
    return torch.stack([r, (y - 0.299 * r - 0.114 * b) / 0.587, b], dim=-3)


YUV_TO_RGB = Exercise(
    id="02-yuv-to-rgb",
    title="YUV back to RGB",
    points=1,
    minutes=4,
    level=3,
    inputs=some_yuv,
    call=batch_and_image,
    reference=from_yuv,
    atol=2e-4,
    hint="B = Y + U / .492111, R = Y + V / .877283, and G is what is left of Y: (Y - .299 R - .114 B) / .587",
    wrong=(
        Wrong("multiplied", multiplied, "U is .492111 (B - Y): on the way back DIVIDE by the factor"),
        Wrong("green", same_green, "G is not Y - U - V: solve Y = .299 R + .587 G + .114 B for G"),
        Wrong(
            "order",
            lambda yuv: from_yuv(yuv)[..., [2, 1, 0], :, :],
            "red and blue are swapped: V makes R, U makes B, and the order is R, G, B",
        ),
        Wrong(
            "clipped",
            lambda yuv: from_yuv(yuv).clamp(0, 1),
            "do not clip: colors outside the gamut are to come out outside 0..1, scale_to_gamut will need that",
        ),
        Wrong(
            "the forward matrix",
            lambda yuv: mix(YUV_MATRIX, yuv),
            "this is the way from RGB to YUV once more: the way back needs its inverse",
        ),
        Wrong("batches only", batches_only(from_yuv), FROM_THE_FRONT),
    ),
)


# ----------------------------------------------------------------------------------------------- scale_to_gamut


def overshot(rng: torch.Generator) -> dict[str, Tensor]:
    """Colors (2, 3, 4, 5) whose chroma is often too strong, black, white, and a luma outside 0..1 among them."""
    inside = uniform(rng, 0.1, 0.9, (2, 3, 4, 5))
    gray = color.luma(inside)
    stretch = torch.tensor([1.0, 2.0, 4.0, 6.0]).view(4, 1)
    rgb = gray + stretch * (inside - gray)
    rgb[..., 0, 0], rgb[..., 0, 1] = 0.0, 1.0
    rgb[..., 1, 0] -= 1
    rgb[..., 1, 1] += 1
    return {"rgb": rgb}


def mean_gray(rgb: Tensor) -> Tensor:
    """Scale each pixel around the mean of its channels in place of its luma, (..., 3, H, W)."""
    return scaled_around(rgb, rgb.mean(dim=-3, keepdim=True).clamp(0, 1))


def largest_scale(rgb: Tensor, gray: Tensor) -> Tensor:
    """For each channel, the largest scale in [0, 1] at which gray + scale (rgb - gray) stays in [0, 1]."""
    chroma = rgb - gray
    room = torch.where(chroma > 0, 1 - gray, gray)
    return (room / chroma.abs().clamp(min=1e-9)).clamp(max=1)


def scaled_around(rgb: Tensor, gray: Tensor) -> Tensor:
    """Scale each pixel around ``gray`` (..., 1, H, W) by the largest scale up to 1 that fits all its channels."""
    return gray + largest_scale(rgb, gray).amin(dim=-3, keepdim=True) * (rgb - gray)


def in_gamut(rgb: Tensor) -> Tensor:
    """Scale each pixel around the gray of its luma, (..., 3, H, W)."""
    return scaled_around(rgb, color.luma(rgb).clamp(0, 1))


def divided_by_zero(rgb: Tensor) -> Tensor:
    """Divide the room by the chroma, which is 0 / 0 for a black pixel."""
    gray = color.luma(rgb).clamp(0, 1)
    chroma = rgb - gray
    room = torch.where(chroma > 0, 1 - gray, gray)
    return gray + (room / chroma.abs()).amin(dim=-3, keepdim=True).clamp(max=1) * chroma


def one_scale(rgb: Tensor) -> Tensor:
    """Scale all pixels around their luma by the same number, the smallest scale of any pixel."""
    gray = color.luma(rgb).clamp(0, 1)
    return gray + largest_scale(rgb, gray).min() * (rgb - gray)


def only_above(rgb: Tensor) -> Tensor:
    """Scale each pixel around its luma until no channel exceeds 1, without regard to values below 0."""
    gray = color.luma(rgb).clamp(0, 1)
    highest = (rgb - gray).amax(dim=-3, keepdim=True).clamp(min=1e-9)
    return gray + ((1 - gray) / highest).clamp(max=1) * (rgb - gray)


def no_limit(rgb: Tensor) -> Tensor:
    """Scale each pixel around its luma to the border of the gamut, even if that takes a scale above 1."""
    gray = color.luma(rgb).clamp(0, 1)
    chroma = rgb - gray
    room = torch.where(chroma > 0, 1 - gray, gray)
    return gray + (room / chroma.abs().clamp(min=1e-9)).amin(dim=-3, keepdim=True) * chroma


NOT_A_NUMBER = (
    "the result holds NaN: a black pixel has no chroma and no room, and 0 / 0 is not a number. Keep the divisor above "
    "0: chroma.abs().clamp(min=1e-9)"
)


def judge_gamut(inputs: Mapping[str, Tensor], output: Any) -> Verdict:
    """Judge the batch, then the image alone."""
    batch = _judge_in_gamut(inputs["rgb"], output["a batch"])
    alone = _judge_in_gamut(inputs["rgb"][0], output["one image"])
    return batch if not batch.ok or alone.ok else replace(alone, hint=FROM_THE_FRONT)


def _judge_in_gamut(rgb: Tensor, output: Any) -> Verdict:
    """Inside the gamut; luma as it was; chroma scaled by one number a pixel, as large as possible."""
    right = in_gamut(rgb)
    verdict = close(output, right, atol=1e-4)
    given = as_tensor(output)
    if verdict.ok or given is None or given.squeeze().shape != rgb.shape:
        return verdict
    given = given.reshape(rgb.shape)
    if bool(given.isnan().any()):
        return Verdict(False, NOT_A_NUMBER, verdict.given, verdict.expected)
    low, high = float(given.min()), float(given.max())
    if low < -1e-4 or high > 1 + 1e-4:
        return Verdict(False, "some values are still outside the gamut", f"values {low:.4g} to {high:.4g}", "0 to 1")
    lost = float((color.luma(given) - color.luma(right)).abs().max())
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
    level=3,
    asks_for=("labkit.color.scale_to_gamut",),
    may_use=("labkit.color.luma",),
    inputs=overshot,
    call=batch_and_image,
    reference=in_gamut,
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
            lambda rgb: rgb.clamp(min=0) / rgb.amax(dim=-3, keepdim=True).clamp(min=1),
            "dividing a pixel by its maximum pulls it toward black: pull it toward its own gray",
        ),
        Wrong("0 / 0 at black", divided_by_zero, NOT_A_NUMBER),
        Wrong(
            "luma outside 0..1",
            lambda rgb: scaled_around(rgb, color.luma(rgb)),
            "a luma outside 0..1 counts as 0 or 1: color.luma(rgb).clamp(0, 1)",
        ),
        Wrong("batches only", batches_only(in_gamut), FROM_THE_FRONT),
    ),
)


# -------------------------------------------------------------------------------------------------- ColorSpace


def linear_space(rng: torch.Generator) -> dict[str, Any]:
    """Draw a color space that no library has: luma times a factor, and two random mixtures of U and V."""
    turn, factor = uniform(rng, 0.2, 1.3), uniform(rng, 20, 80)
    cos, sin = math.cos(turn), math.sin(turn)
    y, u, v = torch.tensor(YUV_MATRIX)
    matrix = torch.stack([factor * y, 3 * (cos * u + sin * v), 2 * (cos * v - sin * u)])
    return {"matrix": matrix, "ranges": (factor, uniform(rng, 1.5, 2.0), uniform(rng, 1.0, 1.4))}


def use_space(answer: Any, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Make the color space, split images, and decode predictions: none, and some that leave the gamut."""
    matrix, inverse = inputs["matrix"], torch.linalg.inv(inputs["matrix"])

    def to_space(rgb: Any) -> Any:
        return torch.einsum("ij,...jhw->...ihw", matrix, rgb)

    def from_space(channels: Any) -> Any:
        return torch.einsum("ij,...jhw->...ihw", inverse, channels)

    space = answer(to_space, from_space, inputs["ranges"])
    gray, target = space.split(inputs["images"])
    prediction = inputs["prediction"]
    return {
        "gray": gray,
        "target": target,
        "gray of floats": space.split(inputs["images"] / 255)[0],
        "loss": space.loss(prediction, inputs["target"]),
        "nothing": space.to_rgb(inputs["gray"], 0 * prediction),
        "rgb": space.to_rgb(inputs["gray"], prediction),
    }


class _Space(Representation):
    """The reference: what a right answer does, with the parts that can go wrong as methods of their own."""

    name = "yours"

    def __init__(
        self, to_space: Callable[[Tensor], Tensor], from_space: Callable[[Tensor], Tensor], ranges: tuple[float, ...]
    ) -> None:
        super().__init__()
        self.to_space, self.from_space = to_space, from_space
        self.ranges = torch.tensor(ranges).view(3, 1, 1)

    def split(self, rgb: Tensor) -> tuple[Tensor, Tensor]:
        scaled = self.to_space(color.to_float(rgb)) / self.ranges
        return scaled[:, :1], scaled[:, 1:]

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        return (prediction - target).square().mean()

    def to_rgb(self, gray: Tensor, colors: Tensor) -> Tensor:
        return in_gamut(self.from_space(torch.cat([gray, colors], dim=1) * self.ranges))


class _Bytes(_Space):
    def split(self, rgb: Tensor) -> tuple[Tensor, Tensor]:
        return super().split(255 * color.to_float(rgb))


class _NotFloat(_Space):
    def split(self, rgb: Tensor) -> tuple[Tensor, Tensor]:
        scaled = self.to_space(rgb) / self.ranges
        return scaled[:, :1], scaled[:, 1:]


class _BytesOnly(_Space):
    def split(self, rgb: Tensor) -> tuple[Tensor, Tensor]:
        return super().split(rgb / 255)


class _NotDivided(_Space):
    def split(self, rgb: Tensor) -> tuple[Tensor, Tensor]:
        channels = self.to_space(color.to_float(rgb))
        return channels[:, :1], channels[:, 1:]


class _GrayNotDivided(_Space):
    def split(self, rgb: Tensor) -> tuple[Tensor, Tensor]:
        gray, target = super().split(rgb)
        return gray * self.ranges[0], target


class _GrayPredicted(_Space):
    def split(self, rgb: Tensor) -> tuple[Tensor, Tensor]:
        gray, target = super().split(rgb)
        return gray, torch.cat([gray, target], dim=1)


class _Swapped(_Space):
    def split(self, rgb: Tensor) -> tuple[Tensor, Tensor]:
        gray, target = super().split(rgb)
        return gray, target.flip(1)


class _Summed(_Space):
    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        return (prediction - target).square().sum()


class _Absolute(_Space):
    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        return (prediction - target).abs().mean()


class _Signed(_Space):
    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        return (prediction - target).mean()


class _NotMultiplied(_Space):
    def to_rgb(self, gray: Tensor, colors: Tensor) -> Tensor:
        return in_gamut(self.from_space(torch.cat([gray, colors], dim=1)))


class _JoinedBatch(_Space):
    def to_rgb(self, gray: Tensor, colors: Tensor) -> Tensor:
        return in_gamut(self.from_space(torch.cat([gray, colors]) * self.ranges))


class _Clipped(_Space):
    def to_rgb(self, gray: Tensor, colors: Tensor) -> Tensor:
        return self.from_space(torch.cat([gray, colors], dim=1) * self.ranges).clamp(0, 1)


class _Unlimited(_Space):
    def to_rgb(self, gray: Tensor, colors: Tensor) -> Tensor:
        return self.from_space(torch.cat([gray, colors], dim=1) * self.ranges)


class _NoChannel(_Space):
    def split(self, rgb: Tensor) -> tuple[Tensor, Tensor]:
        gray, target = super().split(rgb)
        return gray[:, 0], target


class _Uphill(_Space):
    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        return -super().loss(prediction, target)


class _Nothing(_Space):
    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        return (prediction - prediction.detach()).square().mean()


class _GrayForgotten(_Space):
    def to_rgb(self, gray: Tensor, colors: Tensor) -> Tensor:
        return super().to_rgb(0 * gray + 0.5, colors)


def images_of_a_space(rng: torch.Generator) -> dict[str, Any]:
    """Draw a space, images, and predictions of which about half leave the gamut."""
    shape = (2, 2, 4, 5)
    return linear_space(rng) | {
        "images": torch.randint(0, 256, (2, 3, 4, 5), dtype=torch.uint8, generator=rng),
        "gray": uniform(rng, 0.1, 0.9, (2, 1, 4, 5)),
        "prediction": uniform(rng, -0.7, 0.7, shape),
        "target": uniform(rng, -0.7, 0.7, shape),
    }


NO_CHANNEL = "split: gray is (N, 1, H, W): the slice [:, :1] keeps the channel, [:, 0] drops it"
FLOATS_TOO = "images may be floats in 0..1 already, and are then not divided by 255: color.to_float takes both"

SPACE_PARTS = {
    "gray": "split: gray is the first channel divided by its range, (N, 1, H, W)",
    "target": "split: the target holds the other two channels, each divided by its range, (N, 2, H, W)",
    "gray of floats": f"split: {FLOATS_TOO}",
    "loss": "loss: the mean of the squared differences over all numbers",
    "nothing": "to_rgb: a prediction of zeros must give gray: times the ranges, from_space, scale_to_gamut",
    "rgb": "to_rgb: gray and colors joined (torch.cat, dim=1), times the ranges, from_space, scale_to_gamut",
}


def judge_space(inputs: Mapping[str, Any], output: Any) -> Verdict:
    """Compare each part with the reference's, in the order in which they are written."""
    expected = use_space(_Space, inputs)
    verdict = close_by_part(output, expected, SPACE_PARTS, atol=2e-4)
    return same_axes(output["gray"], expected["gray"], hint=NO_CHANNEL) if verdict.ok else verdict


REPRESENTATION = Exercise(
    id="02-representation",
    title="A color space as a representation",
    points=3,
    minutes=12,
    level=3,
    hints=(
        "A representation translates twice: images into what the network is given and what it should predict, and a "
        "prediction back into an image. Everything else you have already written.",
        "split: channels = self.to_space(color.to_float(rgb)) / self.ranges has shape (N, 3, H, W). A slice keeps the "
        "dimension: channels[:, :1].",
        "to_rgb is split read backwards: join gray and colors to three channels, times the ranges, from_space; and "
        "since the result may have left the gamut, your scale_to_gamut comes last.",
    ),
    asks_for=("labkit.representation.YUV.split", "labkit.representation.YUV.to_rgb"),
    may_use=("labkit.color.luma", "labkit.color.to_float"),
    inputs=images_of_a_space,
    call=use_space,
    reference=_Space,
    judge=judge_space,
    wrong=(
        Wrong("bytes", _Bytes, "the images are bytes, 0 to 255: make them floats first, color.to_float(rgb)"),
        Wrong("not floats", _NotFloat, "the images are bytes, 0 to 255: make them floats first, color.to_float(rgb)"),
        Wrong("bytes only", _BytesOnly, FLOATS_TOO),
        Wrong(
            "not divided", _NotDivided, "divide the channels by their ranges: a network trains best on numbers near 1"
        ),
        Wrong("gray not divided", _GrayNotDivided, "gray is divided by its range, too: the network is given 0 to 1"),
        Wrong(
            "gray is predicted",
            _GrayPredicted,
            "gray is given: the target holds only the other two channels, (N, 2, H, W)",
        ),
        Wrong("channels swapped", _Swapped, "the two channels are swapped: keep the space's order"),
        Wrong("summed", _Summed, "this is the sum of the squares: take their mean, or the batch size decides the step"),
        Wrong("absolute", _Absolute, "this is the mean absolute error: square the differences"),
        Wrong("signed", _Signed, "signed errors cancel: square each difference before you average"),
        Wrong(
            "not multiplied", _NotMultiplied, "to_rgb: multiply by the ranges before from_space: split divided by them"
        ),
        Wrong("joined along the batch", _JoinedBatch, "to_rgb: torch.cat joins along the batch unless told: dim=1"),
        Wrong("clipped", _Clipped, "clipping changes the luma that was given: scale_to_gamut keeps it"),
        Wrong("left outside", _Unlimited, "a prediction may leave the gamut: scale_to_gamut comes last"),
        Wrong("no channel", _NoChannel, NO_CHANNEL),
        Wrong("uphill", _Uphill, "the sign of the loss: it falls as the prediction comes nearer to the target"),
        Wrong("no target", _Nothing, "the loss is 0 whatever the target: compare the prediction with the target"),
        Wrong("gray forgotten", _GrayForgotten, "to_rgb does not use gray: it is the first of the three channels"),
    ),
)


# ---------------------------------------------------------------------------------------------- it trains

SCENES, HELD_OUT = 48, 24
LEAST_SKILL = 0.3  # ten seeds of the reference: .39 to .51; predicting nothing: 0


def scenes_to_train_on(rng: torch.Generator) -> dict[str, Any]:
    """Draw a space, training scenes in color, and held-out scenes in gray."""
    made = linear_space(rng) | {"seed": whole(rng, 0, 10**5), "images": training_scenes(rng, SCENES).images}
    made |= held_back_seed(rng)
    return made | {"gray": color.luma(held_back_scenes(made, HELD_OUT).images)}


def train_in_space(answer: Any, inputs: Mapping[str, Any]) -> Any:
    """Train a small network for a second in the space that ``answer`` makes; return its pictures of the held-out."""
    from labkit.models import make_network
    from labkit.training import fit

    matrix, inverse = inputs["matrix"], torch.linalg.inv(inputs["matrix"])

    def to_space(rgb: Any) -> Any:
        return torch.einsum("ij,...jhw->...ihw", matrix, rgb)

    def from_space(channels: Any) -> Any:
        return torch.einsum("ij,...jhw->...ihw", inverse, channels)

    torch.manual_seed(inputs["seed"])
    space = answer(to_space, from_space, inputs["ranges"])
    network = make_network("unet", 2, width=8, max_width=16, convolutions=1)
    fit(network, space, inputs["images"], epochs=6, batch_size=4, learning_rate=0.02, progress=False, seed=0)
    with torch.no_grad():
        return space.decode(inputs["gray"], network(inputs["gray"]))


def judge_training(inputs: Mapping[str, Any], output: Any) -> Verdict:
    """Judge luma, which must be the given one, and skill, which must reach a floor and not pass what is possible."""
    test = held_back_scenes(inputs, HELD_OUT)
    rgb = as_tensor(output)
    if rgb is None or rgb.shape != test.images.shape:
        return close(output, color.to_float(test.images))
    lost = float((color.luma(rgb) - inputs["gray"]).abs().max())
    if not lost < 1e-3:
        hint = "the pictures have another luma than the one that was given: to_rgb must use gray, and scale_to_gamut"
        return Verdict(False, hint, f"luma is off by up to {lost:.4g}", "luma as given")
    best = toyworld.best_scores(test)
    skill = 1 - float((rgb - color.to_float(test.images)).square().mean()) / best["mse_gray"]
    if not skill >= LEAST_SKILL:
        hint = "it did not learn: the loss must fall when the prediction comes nearer to the target"
        return Verdict(False, hint, f"skill {skill:.2f} on scenes held out", f"at least {LEAST_SKILL}")
    if skill > 1 - 0.8 * best["mse_realized"] / best["mse_gray"]:
        hint = "better than any network that sees luma can be: the true colors were read somewhere"
        return Verdict(False, hint, f"skill {skill:.2f}", f"at most {best['skill']:.2f}")
    return Verdict(True)


class _Number(_Space):
    def loss(self, prediction: Tensor, target: Tensor) -> Any:
        return super().loss(prediction, target).item()


REPRESENTATION_TRAINS = Exercise(
    id="02-representation-trains",
    title="The representation trains",
    points=2,
    minutes=3,
    level=3,
    draws=1,
    inputs=scenes_to_train_on,
    call=train_in_space,
    reference=_Space,
    judge=judge_training,
    wrong=(
        Wrong("a number", _Number, "loss: return the tensor, not a plain number (.item()), which has no backward()"),
        Wrong("no channel", _NoChannel, NO_CHANNEL),
        Wrong("uphill", _Uphill, "it did not learn: the loss must fall when the prediction comes nearer to the target"),
        Wrong("no target", _Nothing, "it did not learn: the loss must fall when the prediction comes nearer"),
        Wrong("gray forgotten", _GrayForgotten, "the pictures have another luma than the one that was given"),
        Wrong("clipped", _Clipped, "the pictures have another luma than the one that was given"),
    ),
)

EXERCISES = (
    SRGB_TO_LINEAR,
    LINEAR_TO_LAB,
    LAB_TO_RGB,
    RGB_TO_YUV,
    YUV_TO_RGB,
    SCALE_TO_GAMUT,
    REPRESENTATION,
    REPRESENTATION_TRAINS,
)
