"""The exercises of lab 05: the chroma plane, fixed kernels, the hybrid, the Jacobian, and a leakage index."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from labkit import color
from labkit.checks.framework import Exercise, Verdict, Wrong, as_tensor, close, describe, hand_over, uniform, whole
from labkit.checks.modules import CUT, NOT_KEPT, judge_modules, run_modules
from labkit.checks.scenes import halved, held_back_scenes, held_back_seed, train_on_scenes, training_scenes
from labkit.checks.values import same_axes
from labkit.models.slr import KERNELS, SLRBaseline

PREDICTIONS: dict[str, str | tuple[float, float]] = {
    "05-values": (50, 85),
    "05-change": "b",
    "05-theorem": "a",
    "05-printed": "a",
    "05-control": "b",
}


def luma_weights(rng: torch.Generator) -> Tensor:
    """Weights like Rec.601's: three positive numbers that add up to 1, float (3,)."""
    weights = torch.tensor(color.LUMA_WEIGHTS) + uniform(rng, -0.08, 0.08, (3,))
    return weights / weights.sum()


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
        hint = "a vector that stands in the plane has no luma, w . e = 0, and at least one of these has"
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
    level=2,
    hints=(
        "Any vector at right angles to the weights has no luma. Find one; the second must be at right angles to both.",
        "(w_B, 0, -w_R) has no luma. torch.linalg.cross gives a vector at right angles to two others.",
        "Three lines: the first vector; the cross product of the weights and the first; each divided by its norm.",
    ),
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


def too_early(jacobian: Tensor, pixel: Pixel) -> Tensor:
    """Return the leakage index with a window that lacks its last row and column."""
    size, (i, j) = _magnitude(jacobian), pixel
    return 1 - size[max(i - 1, 0) : i + 1, max(j - 1, 0) : j + 1].sum() / size.sum()


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
    level=2,
    hints=(
        "First one number for each pixel, never negative: the length of the two derivatives. Then two sums.",
        "The neighborhood is a slice of rows i - 1 to i + 1 and columns j - 1 to j + 1, cut off at the border.",
        "length (H, W); the sum over the slice, whose starts are at least 0; 1 - that sum / the sum of all.",
    ),
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
            "that is the fraction INSIDE the 3x3 neighborhood: leakage is what comes from outside",
        ),
        Wrong(
            "percent",
            lambda jacobian, pixel: 100 * leakage_index(jacobian, pixel),
            "a fraction from 0 to 1, not percent",
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
            "slice ends too early",
            too_early,
            "a Python slice leaves its end out: rows i - 1 to i + 1 are [i - 1 : i + 2], from max(i - 1, 0)",
        ),
        Wrong(
            "not a fraction",
            lambda jacobian, pixel: leakage_index(jacobian, pixel) * _magnitude(jacobian).sum(),
            "that is the amount outside: divide it by the sum over the whole picture",
        ),
    ),
)


# --------------------------------------------------------------------------------------------- the fixed kernels


class FixedKernels(nn.Module):
    """The responses of fixed 3x3 kernels to a gray image; known mistakes change its methods."""

    mode = "replicate"

    def __init__(self, kernels: Tensor) -> None:
        """Keep the kernels (m, 3, 3) as a buffer."""
        super().__init__()
        self.weight: Tensor
        self.register_buffer("weight", self.prepared(kernels)[:, None])

    def prepared(self, kernels: Tensor) -> Tensor:
        """Return the kernels as they are laid over a patch."""
        return kernels

    def forward(self, gray: Tensor) -> Tensor:
        """Return the responses (N, m, H, W) to gray (N, 1, H, W)."""
        return F.conv2d(F.pad(gray, (1, 1, 1, 1), mode=self.mode), self.weight)


class _ZeroBorder(FixedKernels):
    mode = "constant"


class _ReflectedBorder(FixedKernels):
    mode = "reflect"


class _Flipped(FixedKernels):
    def prepared(self, kernels: Tensor) -> Tensor:
        return kernels.flip(1, 2)


class _Transposed(FixedKernels):
    def prepared(self, kernels: Tensor) -> Tensor:
        return kernels.transpose(1, 2)


class _Learned(FixedKernels):
    def __init__(self, kernels: Tensor) -> None:
        super().__init__(kernels)
        weight = nn.Parameter(self.weight)
        del self.weight
        self.weight = weight


class _NoAxis(FixedKernels):
    def __init__(self, kernels: Tensor) -> None:
        super().__init__(kernels)
        self.weight = kernels


class _AxisInFront(FixedKernels):
    def __init__(self, kernels: Tensor) -> None:
        super().__init__(kernels)
        self.weight = kernels[None]


class _Whole(FixedKernels):
    """Kernels of whole numbers."""

    def prepared(self, kernels: Tensor) -> Tensor:
        return kernels.long()


class _PlainAttribute(FixedKernels):
    """The kernels as an attribute of which the module does not know."""

    def __init__(self, kernels: Tensor) -> None:
        super().__init__(kernels)
        del self.weight
        self.weight = kernels[:, None]


class _Cut(FixedKernels):
    def forward(self, gray: Tensor) -> Tensor:
        with torch.no_grad():
            return super().forward(gray)


class _NoBorder(FixedKernels):
    def forward(self, gray: Tensor) -> Tensor:
        return F.conv2d(gray, self.weight)


class _Summed(FixedKernels):
    def forward(self, gray: Tensor) -> Tensor:
        return super().forward(gray).sum(dim=1, keepdim=True)


class _Left(FixedKernels):
    """Kernels made zero-mean, whatever they were."""

    def prepared(self, kernels: Tensor) -> Tensor:
        return kernels - kernels.mean(dim=(1, 2), keepdim=True)


def _draw_kernels(rng: torch.Generator) -> dict[str, Any]:
    return {
        "kernels": torch.randn(whole(rng, 2, 4), 3, 3, generator=rng),
        "gray": uniform(rng, 0, 1, (2, 1, 6, 7)),
    }


def _respond(answer: Any, inputs: Any) -> Any:
    """Make the module; return its responses, their gradient, and how many of its numbers learn and how many are kept.

    What is kept moves with the module and does not learn: buffers, and parameters that need no gradient.
    """
    module = answer(inputs["kernels"])
    gray = inputs["gray"].requires_grad_()
    responses = module(gray)
    learned = [p.numel() for p in module.parameters() if p.requires_grad]
    kept = [*module.buffers(), *(p for p in module.parameters() if not p.requires_grad)]
    flows = torch.is_tensor(responses) and responses.requires_grad
    return {
        "responses": responses,
        "learned": sum(learned),
        "kept": sum(tensor.numel() for tensor in kept),
        "gradient": torch.autograd.grad(responses.square().sum(), gray)[0] if flows else None,
    }


def _judge_kernels(inputs: Any, output: Any) -> Verdict:
    expected = hand_over(FixedKernels, inputs, _respond)
    if type(output) is not dict:
        return Verdict(False, "return a module: a class (or function) that makes one", describe(output))
    verdict = close(output["responses"], expected["responses"], atol=1e-4, hint=_RESPONSES)
    if not verdict.ok:
        return verdict
    if output["learned"]:
        return Verdict(False, _LEARNED, f"{output['learned']} numbers that learn", "none")
    if not output["kept"] >= expected["kept"]:
        return Verdict(False, _NOT_KEPT, f"{output['kept']} numbers in buffers", f"{expected['kept']}")
    return close(output["gradient"], expected["gradient"], atol=1e-4, hint=_NO_GRADIENT)


_WEIGHTS = "F.conv2d wants weights of shape (m, 1, 3, 3), one input channel for each kernel: kernels[:, None]"
_RESPONSES = "pad by repeating the border, then F.conv2d with the kernels as weights"
_LEARNED = "these kernels are parameters, and training would change them: use register_buffer"
_NOT_KEPT = (
    "the module does not know of its kernels: a plain attribute stays behind when the module moves to a GPU. Keep them "
    "in a buffer: self.register_buffer(name, tensor)"
)
_NO_GRADIENT = (
    "no gradient comes back from the responses to the gray image: the kernels do not learn, but what they are laid "
    "over may matter (no torch.no_grad, no detach)"
)
_KERNELS_WRONG = (
    Wrong(
        "zeros at the border",
        _ZeroBorder,
        "zeros around the image make an edge all along its border: repeat the outermost pixels (mode replicate)",
    ),
    Wrong(
        "reflected border", _ReflectedBorder, "beyond the border the outermost pixel itself repeats (mode replicate)"
    ),
    Wrong("flipped kernels", _Flipped, "the kernels are flipped: F.conv2d lays them over the patch as they are"),
    Wrong("transposed kernels", _Transposed, "rows and columns of the kernels are swapped"),
    Wrong("learned kernels", _Learned, _LEARNED),
    Wrong("kernels in a plain attribute", _PlainAttribute, _NOT_KEPT),
    Wrong("responses without gradient", _Cut, _NO_GRADIENT),
    Wrong("no axis for the channel", _NoAxis, _WEIGHTS),
    Wrong("axis in front", _AxisInFront, _WEIGHTS),
    Wrong("no border", _NoBorder, "the image lost its border: continue it by one pixel on each side first"),
    Wrong("summed over kernels", _Summed, "keep the kernels apart: one map for each, (N, m, H, W)"),
    Wrong("means taken away", _Left, "use the kernels as they are given: some have a sum that is not zero"),
)

FIXED_KERNELS = Exercise(
    id="05-fixed-kernels",
    title="A module of fixed kernels",
    points=2,
    minutes=8,
    level=2,
    asks_for=("labkit.models.slr.SLRHybrid.features",),
    inputs=_draw_kernels,
    call=_respond,
    reference=FixedKernels,
    judge=_judge_kernels,
    wrong=_KERNELS_WRONG,
    hints=(
        "A convolution whose weights do not learn. F.conv2d takes weights (m, 1, 3, 3) as an argument.",
        "A buffer moves with the module to a GPU and is no parameter: self.register_buffer(name, tensor).",
        "__init__: a buffer of the kernels with one more axis. forward: F.pad by 1 on each side (replicate); F.conv2d.",
    ),
)


# ------------------------------------------------------------------------------------------------------ the hybrid


class Hybrid(nn.Module):
    """The reference; known mistakes change its methods."""

    output_stride = 1
    features_of: type[FixedKernels] = FixedKernels

    def __init__(
        self, out_channels: int, kernels: Sequence[str] = tuple(KERNELS), bias: bool = False, width: int = 16
    ) -> None:
        """Build the CNN and the fixed kernels."""
        super().__init__()
        self.out_channels, self.bias = out_channels, bias
        self.features = self.features_of(torch.tensor([KERNELS[name] for name in kernels]).float())
        self.cnn = SLRBaseline(out_channels * (len(kernels) + bias), width=width)

    def coefficients(self, gray: Tensor) -> Tensor:
        """Return (N, out_channels, m, H, W): first all of alpha's, then all of beta's."""
        return self.cnn(gray).unflatten(1, (self.out_channels, -1))

    def forward(self, gray: Tensor) -> Tensor:
        """Return (N, out_channels, H, W)."""
        z = self.features(gray)
        if self.bias:
            z = torch.cat([z, torch.ones_like(gray)], dim=1)
        return (self.coefficients(gray) * z[:, None]).sum(dim=2)


class _LearnedKernels(Hybrid):
    features_of = _Learned


class _WholeKernels(Hybrid):
    features_of = _Whole


class _EdgeAtBorder(Hybrid):
    features_of = _ZeroBorder


class _Interleaved(Hybrid):
    def coefficients(self, gray: Tensor) -> Tensor:
        return self.cnn(gray).unflatten(1, (-1, self.out_channels)).transpose(1, 2)


class _Mean(Hybrid):
    def forward(self, gray: Tensor) -> Tensor:
        z = self.features(gray)
        if self.bias:
            z = torch.cat([z, torch.ones_like(gray)], dim=1)
        return (self.coefficients(gray) * z[:, None]).mean(dim=2)


class _BiasFirst(Hybrid):
    def forward(self, gray: Tensor) -> Tensor:
        z = self.features(gray)
        if self.bias:
            z = torch.cat([torch.ones_like(gray), z], dim=1)
        return (self.coefficients(gray) * z[:, None]).sum(dim=2)


class _BiasIgnored(Hybrid):
    def __init__(
        self, out_channels: int, kernels: Sequence[str] = tuple(KERNELS), bias: bool = False, width: int = 16
    ) -> None:
        super().__init__(out_channels, kernels, False, width)


class _BiasAlways(Hybrid):
    def __init__(
        self, out_channels: int, kernels: Sequence[str] = tuple(KERNELS), bias: bool = False, width: int = 16
    ) -> None:
        super().__init__(out_channels, kernels, True, width)


class _AllKernels(Hybrid):
    def __init__(
        self, out_channels: int, kernels: Sequence[str] = tuple(KERNELS), bias: bool = False, width: int = 16
    ) -> None:
        super().__init__(out_channels, tuple(KERNELS), bias, width)


class _Detached(Hybrid):
    def coefficients(self, gray: Tensor) -> Tensor:
        return super().coefficients(gray).detach() + 0 * sum(p.sum() for p in self.cnn.parameters())


class _ResponsesCut(Hybrid):
    features_of = _Cut


class _CnnCut(Hybrid):
    def coefficients(self, gray: Tensor) -> Tensor:
        return super().coefficients(gray.detach())


class _PlainList(Hybrid):
    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.hidden = [self.features]
        del self.features

    def forward(self, gray: Tensor) -> Tensor:
        self.__dict__["features"] = self.hidden[0]
        return super().forward(gray)


_NO_CUT = "the coefficients are cut from training: nothing between the CNN and the output may detach"
_BIAS = "with bias=False there is no color where the kernels respond with 0, so nothing may be added to the sum"

_HYBRID_WRONG = (
    Wrong(
        "learned kernels",
        _LearnedKernels,
        "too many parameters: the kernels learn. They belong into a buffer",
    ),
    Wrong(
        "coefficients interleaved",
        _Interleaved,
        "the CNN's channels come as all of alpha's coefficients, then all of beta's: unflatten(1, (out_channels, -1))",
    ),
    Wrong(
        "whole numbers", _WholeKernels, "KERNELS holds whole numbers: torch.tensor(...).float() makes a float tensor"
    ),
    Wrong("mean", _Mean, "alpha is the sum of a_m z_m, not their mean"),
    Wrong("bias first", _BiasFirst, "the feature that is 1 everywhere comes last, after the kernels' responses"),
    Wrong(
        "no bias",
        _BiasIgnored,
        "bias=True adds one feature, 1 everywhere, and one coefficient for each output",
    ),
    Wrong("a bias always", _BiasAlways, _BIAS),
    Wrong(
        "all kernels",
        _AllKernels,
        "use the kernels that are named in `kernels`, and as many coefficients",
    ),
    Wrong("edge at the border", _EdgeAtBorder, "the responses at the border are wrong: repeat the outermost pixels"),
    Wrong("responses detached", _ResponsesCut, CUT),
    Wrong("CNN cut from the image", _CnnCut, CUT),
    Wrong("kernels in a plain list", _PlainList, NOT_KEPT),
)


def _draw_hybrid(rng: torch.Generator) -> dict[str, Any]:
    seed = whole(rng, 0, 10**6)
    small, odd = uniform(rng, 0, 1, (2, 1, 8, 16)), uniform(rng, 0, 1, (3, 1, 9, 13))
    zero_mean = {"kernels": ["sobel-x", "laplacian"], "width": 3}
    every = {"kernels": ["laplacian", "identity", "sobel-y"], "bias": True, "width": 2}
    return {
        "two kernels": {"arguments": [2], "options": zero_mean, "images": [small], "seed": seed},
        "with a bias": {"arguments": [3], "options": every, "images": [odd], "seed": seed},
    }


HYBRID = Exercise(
    id="05-slr",
    title="The hybrid: values",
    points=3,
    minutes=15,
    level=3,
    asks_for=("labkit.models.slr.SLRHybrid.terms", "labkit.models.slr.SLRHybrid.predict"),
    inputs=_draw_hybrid,
    call=run_modules,
    reference=Hybrid,
    judge=judge_modules(
        Hybrid, "alpha is the sum over m of coefficient a_m times response z_m, beta the same with b_m"
    ),
    draws=2,
    wrong=_HYBRID_WRONG,
    hints=(
        "The CNN does not predict color. It predicts how much of each response goes into alpha and into beta.",
        "A learned bias is one more feature that is 1 everywhere: torch.cat with torch.ones_like(gray).",
        "__init__: your FixedKernels, and SLRBaseline(out_channels * number of features, width=width). forward: "
        "responses (N, m, H, W), coefficients (N, out_channels, m, H, W), their product summed over m.",
    ),
)


def _flat(answer: Any, inputs: Any) -> Any:
    """Build hybrids with random weights and return their output for flat images, one for each set of kernels."""
    found = {}
    for case, options in inputs["cases"].items():
        torch.manual_seed(inputs["seed"])
        network = answer(2, **options).eval()
        with torch.no_grad():
            for parameter in network.parameters():
                if parameter.requires_grad:  # fixed kernels may be a frozen parameter
                    parameter.copy_(torch.randn(parameter.shape) / 3)
            found[case] = network(inputs["gray"])
    return found


_NOT_ZERO = "the image is flat and every kernel sums to 0, so alpha and beta must be 0"


def _judge_flat(inputs: Any, output: Any) -> Verdict:
    if type(output) is not dict or set(output) != set(inputs["cases"]):
        return Verdict(False, "return a module: a class (or function) that makes one", describe(output))
    values = {case: as_tensor(value) for case, value in output.items()}
    zero_mean, identity = values["zero-mean kernels"], values["identity"]
    shape = (len(inputs["gray"]), 2, *inputs["gray"].shape[2:])
    if zero_mean is None or identity is None or zero_mean.shape != shape or identity.shape != shape:
        return Verdict(False, "the output is (N, 2, H, W)", describe(output))
    largest = float(zero_mean.abs().max())
    if not largest < 1e-4:
        at_border = float(zero_mean[..., 1:-1, 1:-1].abs().max()) < 1e-4
        hint = (
            f"{_NOT_ZERO}; it is not, at the border: repeat the outermost pixels"
            if at_border
            else f"{_NOT_ZERO}. {_BIAS}"
        )
        return Verdict(False, hint, f"up to {largest:.3g}", "0")
    if float(identity.abs().max()) < 1e-3:
        return Verdict(False, "the identity kernel responds with the gray value itself", "0 everywhere", "not 0")
    return Verdict(True)


def _draw_flat(rng: torch.Generator) -> dict[str, Any]:
    zero_mean = ["sobel-x", "sobel-y", "laplacian"]
    cases = {"zero-mean kernels": {"kernels": zero_mean, "width": 4}, "identity": {"kernels": ["identity"], "width": 4}}
    gray = torch.full((2, 1, 16, 16), uniform(rng, 0.2, 0.8))
    return {"seed": whole(rng, 0, 10**6), "cases": cases, "gray": gray}


HYBRID_FLAT = Exercise(
    id="05-slr-flat",
    title="The hybrid: no color on a flat image",
    points=2,
    minutes=2,
    level=3,
    inputs=_draw_flat,
    call=_flat,
    reference=Hybrid,
    judge=_judge_flat,
    wrong=(
        Wrong("a bias always", _BiasAlways, _BIAS),
        Wrong("edge at the border", _EdgeAtBorder, "at the border: repeat the outermost pixels"),
    ),
)

# A right network leaves less than this fraction of the chroma's mean square: over 10 seeds .57 to .65. Where nothing of
# the CNN learns, 1.3 and more are left.
CHROMA_FLOOR = 0.8


def _draw_training(rng: torch.Generator) -> dict[str, Any]:
    gray, target = color.rgb_to_luma_chroma(halved(training_scenes(rng, 64)))
    how = {"seed": whole(rng, 0, 10**6), "arguments": (2,), "options": {"width": 8}}
    made = {**how, "steps": 120, "rate": 1e-2, "gray": gray, "target": target, **held_back_seed(rng)}
    return made | {"new gray": color.rgb_to_luma_chroma(halved(held_back_scenes(made, 64)))[0]}


def left_over(inputs: Any, output: Tensor) -> float:
    """Return the fraction of the chroma's mean square that a prediction leaves."""
    _, truth = color.rgb_to_luma_chroma(halved(held_back_scenes(inputs, len(inputs["new gray"]))))
    return float((output - truth).square().mean() / truth.square().mean())


def _judge_training(inputs: Any, output: Any) -> Verdict:
    given = as_tensor(output)
    if given is None or given.shape != (len(inputs["new gray"]), 2, 16, 16):
        return Verdict(False, "the network must predict 2 numbers for each pixel", describe(output))
    left = left_over(inputs, given.float())
    if left < CHROMA_FLOOR:
        return Verdict(True)
    return Verdict(False, "the colors are not learned", f"{left:.2f} of the chroma is left", f"below {CHROMA_FLOOR}")


HYBRID_TRAINS = Exercise(
    id="05-slr-trains",
    title="The hybrid: trained for a few seconds",
    points=2,
    minutes=3,
    level=3,
    inputs=_draw_training,
    call=train_on_scenes,
    reference=Hybrid,
    judge=_judge_training,
    draws=1,
    wrong=(Wrong("coefficients detached", _Detached, _NO_CUT),),
)


# ---------------------------------------------------------------------------------------------------- the Jacobian


def chroma_jacobian(network: Any, gray: Tensor, pixel: Pixel, change: bool = False) -> Tensor:
    """Return the derivatives of the chroma at a pixel, or of its change to the right neighbor, (2, H, W)."""

    def chosen(image: Tensor) -> Tensor:
        return _chosen(network(image[None, None])[0], pixel, change)

    return torch.func.jacrev(chosen)(gray)


def _chosen(chroma: Tensor, pixel: Pixel, change: bool) -> Tensor:
    row, column = pixel
    return chroma[:, row, column + 1] - chroma[:, row, column] if change else chroma[:, row, column]


def _differentiate(answer: Any, inputs: Any) -> Any:
    """Hand the student's function a small network with the given weights."""
    first = torch.nn.Conv2d(1, 4, 3, padding=1, bias=False)
    second = torch.nn.Conv2d(4, 2, 3, padding=1, bias=False)
    with torch.no_grad():
        first.weight.copy_(inputs["first"])
        second.weight.copy_(inputs["second"])
    network = torch.nn.Sequential(first, torch.nn.Tanh(), second).eval()
    pixel = tuple(inputs["pixel"])
    return {
        "the chroma": answer(network, inputs["gray"].clone(), pixel),
        "its change": answer(network, inputs["gray"].clone(), pixel, change=True),
    }


def _jacobian_of(pick: Any, after: Any = lambda jacobian: jacobian) -> Any:
    """Return an answer that differentiates what ``pick`` takes of the chroma (2, H, W)."""

    def answer(network: Any, gray: Tensor, pixel: Pixel, change: bool = False) -> Tensor:
        return after(torch.func.jacrev(lambda image: pick(network(image[None, None])[0], pixel, change))(gray))

    return answer


def _detached_jacobian(network: Any, gray: Tensor, pixel: Pixel, change: bool = False) -> Tensor:
    return torch.func.jacrev(lambda image: _chosen(network(image[None, None])[0].detach(), pixel, change))(gray)


def _graph_gone(network: Any, gray: Tensor, pixel: Pixel, change: bool = False) -> Tensor:
    gray = gray.clone().requires_grad_()
    numbers = _chosen(network(gray[None, None])[0], pixel, change)
    return torch.stack([torch.autograd.grad(number, gray)[0] for number in numbers])


def _bare_gray(network: Any, gray: Tensor, pixel: Pixel, change: bool = False) -> Tensor:
    return torch.func.jacrev(network)(gray)


def _added(network: Any, gray: Tensor, pixel: Pixel, change: bool = False) -> Tensor:
    gray = gray.clone().requires_grad_()
    (found,) = torch.autograd.grad(_chosen(network(gray[None, None])[0], pixel, change).sum(), gray)
    return found.expand(2, -1, -1)


def _judge_jacobian(inputs: Any, output: Any) -> Verdict:
    expected = hand_over(chroma_jacobian, inputs, _differentiate)
    nudge = "nudge one gray value by .001 and watch the chroma: the derivative is its change divided by .001"
    verdict = close(output, expected, atol=1e-5, hint=nudge)
    axes = (same_axes(output[name], value, hint=_BATCH_KEPT) for name, value in expected.items())
    return next((one for one in axes if not one.ok), verdict) if verdict.ok else verdict


_BATCH_KEPT = "the network's output has an axis for the batch, of length 1: take [0] before you pick the pixel"


def _draw_jacobian(rng: torch.Generator) -> dict[str, Any]:
    return {
        "first": torch.randn(4, 1, 3, 3, generator=rng),
        "second": torch.randn(2, 4, 3, 3, generator=rng),
        "gray": uniform(rng, 0, 1, (6, 8)),
        "pixel": [whole(rng, 1, 2), whole(rng, 4, 5)],
    }


JACOBIAN = Exercise(
    id="05-jacobian",
    title="The Jacobian of a color",
    points=3,
    minutes=12,
    level=3,
    asks_for=("labkit.analysis.leakage.jacobian", "labkit.analysis.leakage.chroma_jacobian"),
    inputs=_draw_jacobian,
    call=_differentiate,
    reference=chroma_jacobian,
    judge=_judge_jacobian,
    wrong=(
        Wrong(
            "alpha and beta summed",
            _jacobian_of(lambda chroma, pixel, change: _chosen(chroma, pixel, change).sum()[None]),
            "that is the derivative of alpha + beta: keep the two apart, (2, H, W)",
        ),
        Wrong(
            "their sum twice",
            _added,
            "both rows are the derivative of alpha + beta: differentiate each of the two alone",
        ),
        Wrong(
            "graph gone",
            _graph_gone,
            "the first of two backward passes frees the graph: grad(..., retain_graph=True), or torch.func.jacrev",
        ),
        Wrong(
            "bare gray",
            _bare_gray,
            "the network wants (1, 1, H, W): differentiate a function of gray (H, W) that calls it on gray[None, None]",
        ),
        Wrong(
            "axis of the batch kept",
            _jacobian_of(_chosen, lambda jacobian: jacobian[None]),
            _BATCH_KEPT,
        ),
        Wrong(
            "transposed",
            _jacobian_of(_chosen, lambda jacobian: jacobian.transpose(1, 2)),
            "rows and columns of the gray image are swapped: the result is (2, H, W)",
        ),
        Wrong(
            "row and column swapped",
            _jacobian_of(lambda chroma, pixel, change: _chosen(chroma, pixel[::-1], change)),
            "the pixel is (row, column): chroma[:, row, column]",
        ),
        Wrong(
            "gradients added up",
            _jacobian_of(_chosen, lambda jacobian: jacobian.cumsum(dim=0)),
            "the second backward() adds to the first one's gradient: clear gray.grad in between, or torch.func.jacrev",
        ),
        Wrong(
            "absolute values",
            _jacobian_of(_chosen, torch.abs),
            "derivatives have signs: no absolute values here",
        ),
        Wrong(
            "change ignored",
            _jacobian_of(lambda chroma, pixel, change: _chosen(chroma, pixel, False)),
            "with change=True differentiate the chroma of the right neighbor minus the chroma at the pixel",
        ),
        Wrong(
            "change downward",
            _jacobian_of(
                lambda chroma, pixel, change: (
                    chroma[:, pixel[0] + 1, pixel[1]] - chroma[:, pixel[0], pixel[1]]
                    if change
                    else chroma[:, pixel[0], pixel[1]]
                )
            ),
            "the neighbor is the one to the right: the same row, column + 1",
        ),
        Wrong(
            "change to the left",
            _jacobian_of(lambda chroma, pixel, change: (1 - 2 * change) * _chosen(chroma, pixel, change)),
            "the change is the right neighbor minus the pixel, not the other way round",
        ),
        Wrong(
            "detached", _detached_jacobian, "all derivatives are 0: something cut the graph (detach, no_grad, .data)"
        ),
    ),
    hints=(
        "torch.func.jacrev(f) is a function: it takes what f takes and returns all derivatives of what f returns.",
        "Write an inner function of the gray image (H, W) that returns the two numbers you want derivatives of.",
        "inner function: run the network on image[None, None], take [0], pick the pixel (or the difference of two). "
        "Then torch.func.jacrev of it, at gray.",
    ),
)


EXERCISES = (
    CHROMA_BASIS,
    FIXED_KERNELS,
    HYBRID,
    HYBRID_FLAT,
    HYBRID_TRAINS,
    JACOBIAN,
    LEAKAGE_INDEX,
)
