"""The exercises of lab 05: a decomposition's luma, the chroma plane, fixed kernels, leakage, and a counter-example."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from labkit import color
from labkit.checks.framework import Exercise, Verdict, Wrong, as_tensor, describe, uniform
from labkit.models.slr import KERNELS


def luma_weights(rng: torch.Generator) -> Tensor:
    """Weights like Rec.601's: three positive numbers that add up to 1, float (3,)."""
    weights = torch.tensor(color.LUMA_WEIGHTS) + uniform(rng, -0.08, 0.08, (3,))
    return weights / weights.sum()


# ------------------------------------------------------------------------- the part of a color that carries the luma


def luma_of(rgb: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted sum of the channels of an image (3, H, W), (H, W)."""
    return torch.einsum("chw,c->hw", rgb, weights)


def along(amount: Tensor, direction: Tensor) -> Tensor:
    """Return the multiples ``amount`` (H, W) of a direction (3,), (3, H, W)."""
    return direction[:, None, None] * amount


def luma_part(rgb: Tensor, weights: Tensor, direction: Tensor) -> Tensor:
    """Return for each pixel the multiple of ``direction`` that has the pixel's luma, (3, H, W)."""
    return along(luma_of(rgb, weights) / (weights @ direction), direction)


def _luma_inputs(rng: torch.Generator) -> dict[str, Tensor]:
    direction = uniform(rng, 0.3, 1.4, (3,)) * torch.tensor([1.0, 2.0, 0.5])[torch.randperm(3, generator=rng)]
    return {"rgb": uniform(rng, 0, 1, (3, 4, 5)), "weights": luma_weights(rng), "direction": direction}


_PERPENDICULAR = (
    "that is the nearest point on the direction's line, and it has another luma: not the direction, but the WEIGHTS "
    "must be orthogonal to the rest"
)
LUMA_PART = Exercise(
    id="05-luma-part",
    title="The part that carries the luma",
    points=2,
    minutes=6,
    asks_for=(
        "labkit.color.rgb_to_luma_chroma",
        "labkit.color.luma_chroma_to_rgb",
    ),
    inputs=_luma_inputs,
    reference=luma_part,
    hint="each pixel gets the multiple t of the direction for which w . (t d) is its luma Y: t = Y / (w . d)",
    wrong=(
        Wrong(
            "not divided",
            lambda rgb, weights, direction: along(luma_of(rgb, weights), direction),
            "Y d has the luma Y (w . d), not Y: divide by w . d",
        ),
        Wrong(
            "unit direction",
            lambda rgb, weights, direction: along(luma_of(rgb, weights), direction / direction.norm()),
            "length 1 is not luma 1: divide the direction by w . d, not by its norm",
        ),
        Wrong(
            "nearest point",
            lambda rgb, weights, direction: along(luma_of(rgb, direction) / direction.square().sum(), direction),
            _PERPENDICULAR,
        ),
        Wrong(
            "the paper's, for any direction",
            lambda rgb, weights, direction: luma_part(rgb, weights, weights),
            "that goes along the weights w, as the paper does: go along `direction`",
        ),
        Wrong(
            "gray, for any direction",
            lambda rgb, weights, direction: luma_part(rgb, weights, torch.ones(3)),
            "that is the gray picture: go along `direction`, which is another one",
        ),
        Wrong(
            "d / (d . d)",
            lambda rgb, weights, direction: along(luma_of(rgb, weights) / direction.square().sum(), direction),
            "w / (w . w) works because its luma is w . w / (w . w) = 1: what must d be divided by to have luma 1?",
        ),
        Wrong(
            "direction of sum 1",
            lambda rgb, weights, direction: along(luma_of(rgb, weights), direction / direction.sum()),
            "numbers that add up to 1 do not make luma 1: divide the direction by w . d, not by its sum",
        ),
        Wrong(
            "clipped",
            lambda rgb, weights, direction: luma_part(rgb, weights, direction).clamp(0, 1),
            "do not clip: a part of a color may leave 0 to 1, and clipping changes its luma",
        ),
        Wrong(
            "channel mean",
            lambda rgb, weights, direction: along(rgb.mean(dim=0) / (weights @ direction), direction),
            "the mean of the channels is not the luma: use the weights",
        ),
        Wrong(
            "the rest",
            lambda rgb, weights, direction: rgb - luma_part(rgb, weights, direction),
            "that is the rest, which has no luma: return the part along the direction",
        ),
        Wrong(
            "the luma",
            lambda rgb, weights, direction: luma_of(rgb, weights),
            "that is the luma, one number a pixel: return a color, luma / (w . d) times the direction",
        ),
    ),
)


# --------------------------------------------------------------------------------- an orthonormal basis of the plane


def printed_basis(weights: Tensor) -> Tensor:
    """u1 and u2 of the ECS171 paper, float (2, 3)."""
    red, green, blue = weights
    one, zero = torch.ones(()), torch.zeros(())
    return torch.stack([torch.stack([one, zero, -red / blue]), torch.stack([zero, one, -green / blue])])


def plane_of(normal: Tensor) -> Tensor:
    """Two orthonormal vectors (2, 3) at right angles to ``normal``."""
    return torch.linalg.svd(normal[None])[2][1:]


def with_the_normal(weights: Tensor) -> Tensor:
    """Return the unit vector along the weights and one unit vector at right angles to it, (2, 3)."""
    unit = weights / weights.norm()
    return torch.stack([unit, plane_of(weights)[0]])


_ORTHONORMAL_OF_RGB = torch.tensor([[1.0, 0, 0], [0, 1, 0]])


def _judge_basis(inputs: dict[str, Tensor], output: Any) -> Verdict:
    """Any orthonormal basis of the plane at right angles to the weights is right."""
    basis = as_tensor(output)
    if basis is None or basis.squeeze().shape != (2, 3):
        shown = describe(output) if basis is None else f"shape {tuple(basis.shape)}"
        return Verdict(False, "return two vectors of three numbers, one per row", shown, "shape (2, 3)")
    rows = basis.reshape(2, 3)
    luma = rows @ inputs["weights"].double()
    if not bool(luma.abs().max() < 1e-4):
        hint = "both vectors must have no luma, w . e = 0: else the chroma changes the luma"
        return Verdict(False, hint, f"w . e1 = {luma[0]:.4g}, w . e2 = {luma[1]:.4g}", "0 and 0")
    product = float(rows[0] @ rows[1])
    lengths = rows.norm(dim=1)
    if not bool((lengths - 1).abs().max() < 1e-4):
        hint = "both vectors must have length 1: divide each by its norm at the end"
        return Verdict(False, hint, f"lengths {lengths[0]:.4g} and {lengths[1]:.4g}", "1 and 1")
    if not abs(product) < 1e-4:
        hint = "length 1, but not at right angles: take from the second vector its part along the first"
        return Verdict(False, hint, f"e1 . e2 = {product:.4g}", "0")
    return Verdict(True)


CHROMA_BASIS = Exercise(
    id="05-chroma-basis",
    title="An orthonormal basis of the chroma plane",
    points=2,
    minutes=6,
    asks_for=("labkit.color.chroma_basis",),
    inputs=lambda rng: {"weights": luma_weights(rng)},
    reference=plane_of,
    judge=_judge_basis,
    wrong=(
        Wrong(
            "as printed",
            printed_basis,
            "these are the paper's u1 and u2: they have no luma, but neither length 1 nor right angles",
        ),
        Wrong(
            "printed, length 1",
            lambda weights: F.normalize(printed_basis(weights), dim=1),
            "length 1, but not at right angles: take from the second vector its part along the first",
        ),
        Wrong(
            "the plane of the gray axis",
            lambda weights: plane_of(torch.ones(3)),
            "that plane is at right angles to the gray axis (1, 1, 1): vectors without luma are at right angles to w",
        ),
        Wrong(
            "w itself",
            with_the_normal,
            "w is one of your vectors, and w has luma w . w: both must be at right angles to w",
        ),
        Wrong(
            "two axes of RGB",
            lambda weights: _ORTHONORMAL_OF_RGB.clone(),
            "both vectors must have no luma, w . e = 0: else the chroma changes the luma",
        ),
    ),
)


# --------------------------------------------------------------------------------------------- a leakage index

Pixel = tuple[int, int]


def _magnitude(jacobian: Tensor) -> Tensor:
    return jacobian.square().sum(dim=0).sqrt()


def share_outside(size: Tensor, pixel: Pixel, radius: int = 1) -> Tensor:
    """Share of ``size`` (H, W) farther than ``radius`` from a pixel."""
    i, j = pixel
    inside = size[max(i - radius, 0) : i + radius + 1, max(j - radius, 0) : j + radius + 1].sum()
    return 1 - inside / size.sum()


def leakage_index(jacobian: Tensor, pixel: Pixel) -> Tensor:
    """Return the share of the Jacobian's magnitude outside the 3x3 window around a pixel, a scalar."""
    return share_outside(_magnitude(jacobian), pixel)


def negative_slice(jacobian: Tensor, pixel: Pixel) -> Tensor:
    """Return the leakage index with a window whose slices may start at a negative index."""
    size, (i, j) = _magnitude(jacobian), pixel
    return 1 - size[i - 1 : i + 2, j - 1 : j + 2].sum() / size.sum()


def of_means(jacobian: Tensor, pixel: Pixel) -> Tensor:
    """Mean outside over the sum of both means."""
    size, (i, j) = _magnitude(jacobian), pixel
    inside = torch.zeros(size.shape, dtype=torch.bool)
    inside[max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2] = True
    return size[~inside].mean() / (size[~inside].mean() + size[inside].mean())


def _index_inputs(rng: torch.Generator) -> dict[str, Any]:
    """Draw a Jacobian that is strong near its pixel, which lies at the upper or left border."""
    far = int(torch.randint(4, 8, (), generator=rng))
    pixel = (0, far) if torch.rand((), generator=rng) < 0.5 else (far, 0)
    rows, columns = torch.meshgrid(torch.arange(9), torch.arange(10), indexing="ij")
    distance = torch.maximum((rows - pixel[0]).abs(), (columns - pixel[1]).abs())
    jacobian = torch.randn((2, 9, 10), generator=rng) * torch.exp(-distance / 2)
    return {"jacobian": jacobian, "pixel": pixel}


LEAKAGE_INDEX = Exercise(
    id="05-leakage-index",
    title="A leakage index from a Jacobian",
    points=3,
    minutes=8,
    asks_for=(
        "labkit.analysis.leakage.leakage_index",
        "labkit.analysis.leakage.profile",
        "labkit.analysis.leakage.rings",
    ),
    inputs=_index_inputs,
    reference=leakage_index,
    hint="M = length of the two derivatives at each pixel; then (sum of M - sum of M over the 3x3) / sum of M",
    wrong=(
        Wrong(
            "inside",
            lambda jacobian, pixel: 1 - leakage_index(jacobian, pixel),
            "that is the share INSIDE the 3x3 neighborhood: leakage is what comes from outside",
        ),
        Wrong(
            "signs kept",
            lambda jacobian, pixel: share_outside(jacobian.sum(dim=0), pixel),
            "derivatives of opposite signs cancel in that sum: first take the length of the two, never negative",
        ),
        Wrong(
            "squares",
            lambda jacobian, pixel: share_outside(jacobian.square().sum(dim=0), pixel),
            "the root is missing: M is the length, sqrt(J_alpha^2 + J_beta^2), not its square",
        ),
        Wrong(
            "absolute values",
            lambda jacobian, pixel: share_outside(jacobian.abs().sum(dim=0), pixel),
            "|J_alpha| + |J_beta| depends on how the basis is turned: take the length, sqrt(J_alpha^2 + J_beta^2)",
        ),
        Wrong(
            "alpha only",
            lambda jacobian, pixel: share_outside(jacobian[0].abs(), pixel),
            "that hears alpha only: beta, jacobian[1], counts as well",
        ),
        Wrong(
            "center only",
            lambda jacobian, pixel: share_outside(_magnitude(jacobian), pixel, radius=0),
            "the neighborhood is 3x3, not the pixel alone",
        ),
        Wrong(
            "5x5",
            lambda jacobian, pixel: share_outside(_magnitude(jacobian), pixel, radius=2),
            "the neighborhood is 3x3: one pixel in each direction",
        ),
        Wrong(
            "row and column swapped",
            lambda jacobian, pixel: leakage_index(jacobian, (pixel[1], pixel[0])),
            "the pixel is (row, column): M[row, column]",
        ),
        Wrong(
            "negative slice",
            negative_slice,
            "at the border i - 1 is -1, which Python counts from the other end: the slice is empty; use max(i - 1, 0)",
        ),
        Wrong(
            "means",
            of_means,
            "that compares means, and there are far more pixels outside than inside: divide sums",
        ),
        Wrong(
            "not a share",
            lambda jacobian, pixel: leakage_index(jacobian, pixel) * _magnitude(jacobian).sum(),
            "that is the amount outside: divide it by the sum over the whole picture",
        ),
    ),
)


# --------------------------------------------------------------------------------------------- fixed-kernel features


def correlate(gray: Tensor, kernels: Tensor, mode: str = "replicate") -> Tensor:
    """<K, patch> around every pixel: (H, W), (m, 3, 3) -> (m, H, W), the border continued by ``mode``."""
    padded = F.pad(gray[None, None], (1, 1, 1, 1), mode=mode)
    return F.conv2d(padded, kernels[:, None])[0]


FIXED_FEATURES = Exercise(
    id="05-fixed-features",
    title="The features of fixed kernels",
    points=3,
    minutes=8,
    asks_for=(
        "labkit.models.slr.SLRHybrid.features",
        "labkit.models.slr.SLRHybrid.terms",
    ),
    inputs=lambda rng: {"gray": uniform(rng, 0.1, 0.9, (6, 7)), "kernels": torch.randn((3, 3, 3), generator=rng)},
    reference=correlate,
    atol=1e-4,
    hint="continue the picture by one pixel on each side, then add up the nine shifted copies, each times its K[p, q]",
    wrong=(
        Wrong(
            "flipped kernel",
            lambda gray, kernels: correlate(gray, kernels.flip(1, 2)),
            "the kernel is flipped: K[0, 0] multiplies the pixel up and left, Y(i - 1, j - 1), without turning K round",
        ),
        Wrong(
            "transposed kernel",
            lambda gray, kernels: correlate(gray, kernels.transpose(1, 2)),
            "rows and columns of the kernel are swapped: K[p, q] belongs to row i + p - 1, column j + q - 1",
        ),
        Wrong(
            "zeros at the border",
            lambda gray, kernels: correlate(gray, kernels, "constant"),
            "zeros around the picture make an edge all along its border: repeat the outermost pixels instead",
        ),
        Wrong(
            "reflected border",
            lambda gray, kernels: correlate(gray, kernels, "reflect"),
            "beyond the border stands the outermost pixel again (replicate), not the one before it (reflect)",
        ),
        Wrong(
            "wrapped around",
            lambda gray, kernels: correlate(gray, kernels, "circular"),
            "the picture is wrapped around: beyond the left border stands the leftmost pixel again, not the rightmost",
        ),
        Wrong(
            "no border",
            lambda gray, kernels: F.conv2d(gray[None, None], kernels[:, None])[0],
            "the picture lost its border: continue it by one pixel on each side first",
        ),
        Wrong(
            "summed over kernels",
            lambda gray, kernels: correlate(gray, kernels).sum(dim=0),
            "keep the kernels apart: one map for each, shape (m, H, W)",
        ),
        Wrong(
            "mean of the patch",
            lambda gray, kernels: correlate(gray, kernels) / 9,
            "z is a sum of nine products, not their mean",
        ),
    ),
)


# ------------------------------------------------------------------------------------- a counter-example to the proof

CHANGE = 0.1  # at least so much must alpha change between two neighbors
LARGEST = 10.0  # of a coefficient


def bank(rng: torch.Generator) -> dict[str, Tensor]:
    """Kernels (m, 3, 3) in random order: three zero-mean ones, and one that is not."""
    laplacian, identity = torch.tensor(KERNELS["laplacian"]), torch.tensor(KERNELS["identity"])
    others = (identity, torch.full((3, 3), 1 / 9), identity - laplacian / 4)
    other = others[int(torch.randint(len(others), (), generator=rng))]
    kernels = [torch.tensor(KERNELS["sobel-x"]), torch.tensor(KERNELS["sobel-y"]), laplacian, other]
    order = torch.randperm(4, generator=rng).tolist()
    return {"kernels": torch.stack([kernels[index].float() for index in order])}


Answer = tuple[Tensor, Tensor]


def build(kernels: Tensor, level: float = 0.5, flat: bool = True, ramp: bool = True, zero_mean: bool = False) -> Answer:
    """Build a picture and coefficients: with the right settings a counter-example, with others a typical mistake."""
    sums = kernels.sum(dim=(1, 2)).abs()
    which = int(sums.argmin() if zero_mean else sums.argmax())
    steps = torch.arange(8.0).expand(8, 8)
    coefficients = torch.zeros(len(kernels), 8, 8)
    coefficients[which] = steps if ramp else 3.0
    return torch.full((8, 8), level) if flat else steps / 10, coefficients


def _judge_counter_example(inputs: dict[str, Tensor], output: Any) -> Verdict:
    kernels = inputs["kernels"].double()
    shapes = "gray of shape (H, W), coefficients of shape (4, H, W)"
    if type(output) not in (tuple, list) or len(output) != 2:
        return Verdict(False, "return two things: the gray picture and the coefficients", describe(output), shapes)
    gray, coefficients = as_tensor(output[0]), as_tensor(output[1])
    if gray is None or coefficients is None:
        return Verdict(False, "both must be made of numbers", describe(output), shapes)
    if gray.ndim != 2 or min(gray.shape) < 2 or coefficients.shape != (len(kernels), *gray.shape):
        given = f"shapes {tuple(gray.shape)} and {tuple(coefficients.shape)}"
        return Verdict(False, "one coefficient for each kernel and pixel, of a picture of 2 x 2 or more", given, shapes)
    low, high, largest = float(gray.min()), float(gray.max()), float(coefficients.abs().max())
    if not (low >= 0 and high <= 1):
        return Verdict(False, "gray values lie in 0 to 1", f"gray from {low:.4g} to {high:.4g}", "0 to 1")
    if high - low > 1e-6:
        hint = "the proof speaks of flat regions: give every pixel of the picture the same gray"
        return Verdict(False, hint, f"gray from {low:.4g} to {high:.4g}", "one gray value")
    if not largest <= LARGEST:
        return Verdict(False, "keep the coefficients modest", f"up to {largest:.4g}", f"-{LARGEST:g} to {LARGEST:g}")
    alpha = (coefficients * correlate(gray, kernels)).sum(dim=0)
    change = max(float(alpha.diff(dim=0).abs().max()), float(alpha.diff(dim=1).abs().max()))
    if change >= CHANGE:
        return Verdict(True)
    return Verdict(
        False, _why_flat(kernels, gray, coefficients), f"alpha changes by up to {change:.4g}", f"{CHANGE} or more"
    )


_BLACK = "in a black picture every feature is 0, the identity's as well: choose another gray"
_CONSTANT = "alpha is the same everywhere: term 1 needs coefficients that change from pixel to pixel"
_ZERO_MEAN = (
    "these coefficients belong to kernels that sum to 0, whose features are 0 where gray is flat: use the other one"
)


def _why_flat(kernels: Tensor, gray: Tensor, coefficients: Tensor) -> str:
    if float(gray.max()) < 1e-3:
        return _BLACK
    responding = kernels.sum(dim=(1, 2)).abs() > 1e-4
    if float(coefficients[responding].abs().max()) < 1e-4:
        return _ZERO_MEAN
    if float(coefficients[responding].flatten(1).std(dim=1).max()) < 1e-4:
        return _CONSTANT
    return "the right idea: let the coefficient change more, or take a lighter gray"


COUNTER_EXAMPLE = Exercise(
    id="05-counter-example",
    title="A counter-example to the proof",
    points=3,
    minutes=8,
    inputs=bank,
    reference=build,
    judge=_judge_counter_example,
    wrong=(
        Wrong("black", lambda kernels: build(kernels, level=0.0), _BLACK),
        Wrong("constant coefficients", lambda kernels: build(kernels, ramp=False), _CONSTANT),
        Wrong("a zero-mean kernel", lambda kernels: build(kernels, zero_mean=True), _ZERO_MEAN),
        Wrong(
            "gray that is not flat",
            lambda kernels: build(kernels, flat=False),
            "the proof speaks of flat regions: give every pixel of the picture the same gray",
        ),
        Wrong("0 to 255", lambda kernels: build(kernels, level=128.0), "gray values lie in 0 to 1"),
        Wrong(
            "the picture only",
            lambda kernels: build(kernels)[0],
            "return two things: the gray picture and the coefficients",
        ),
        Wrong(
            "too little change",
            lambda kernels: (build(kernels)[0], build(kernels)[1] / 100),
            "the right idea: let the coefficient change more, or take a lighter gray",
        ),
    ),
)


EXERCISES = (LUMA_PART, CHROMA_BASIS, LEAKAGE_INDEX, FIXED_FEATURES, COUNTER_EXAMPLE)
