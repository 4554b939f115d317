"""The exercises of lab 06, GANs: receptive field, the players' losses, pixel accuracy per channel, KID."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from labkit.checks.framework import Exercise, Part, Verdict, Wrong, close, describe, telling, uniform, whole

Layers = Sequence[tuple[int, int]]


# The receptive field: layers [(kernel, stride), ...] from input to output -> pixels a side


def receptive_field(layers: Layers) -> int:
    """Return the side of the receptive field in pixels, computed from the last layer back to the first."""
    size = 1
    for kernel, stride in reversed(layers):
        size = (size - 1) * stride + kernel
    return size


def _from_the_input(layers: Layers) -> int:
    return receptive_field(list(reversed(layers)))


def _own_stride_too(layers: Layers) -> int:
    size, jump = 1, 1
    for kernel, stride in layers:
        jump *= stride
        size += (kernel - 1) * jump
    return size


def _one_too_many(layers: Layers) -> int:
    size = 1
    for kernel, stride in reversed(layers):
        size = size * stride + kernel
    return size


def _kernel_only(layers: Layers) -> int:
    size = 1
    for kernel, stride in reversed(layers):
        size = size * stride + kernel - 1
    return size


_FIELD_WRONG = (
    Wrong(
        "strides ignored",
        lambda layers: 1 + sum(kernel - 1 for kernel, _ in layers),
        "the strides are missing: neighbors after a layer of stride 2 lie two pixels apart before it",
    ),
    Wrong(
        "sum of the kernels",
        lambda layers: sum(kernel for kernel, _ in layers),
        "the kernels overlap and the strides spread them: one output of a layer needs `kernel` inputs, two neighboring "
        "ones need `stride` more",
    ),
    Wrong(
        "from the input on",
        _from_the_input,
        "start at the output: one score needs `kernel` inputs of the *last* layer, and so on backward",
    ),
    Wrong(
        "own stride counted",
        _own_stride_too,
        "a layer's own stride says how far apart its *outputs* are; its kernel steps over its inputs",
    ),
    Wrong(
        "size times stride",
        _one_too_many,
        "between k neighbors there are k - 1 steps: (k - 1) * stride, plus one kernel",
    ),
    Wrong(
        "kernel less one",
        _kernel_only,
        "k neighbors: k - 1 steps of `stride`, then one whole kernel; with one output that must give just the kernel",
    ),
    Wrong(
        "last layer only",
        lambda layers: layers[-1][0],
        "this is what the last layer sees of the layer before it: go on to the image",
    ),
)


def _stack(rng: torch.Generator) -> dict[str, Any]:
    return {"layers": [(whole(rng, 2, 5), whole(rng, 1, 3)) for _ in range(whole(rng, 3, 5))]}


RECEPTIVE_FIELD = Exercise(
    id="06-receptive-field",
    title="What one score can see",
    points=1,
    minutes=5,
    asks_for=("labkit.models.patchgan.receptive_field",),
    inputs=lambda rng: telling(lambda: _stack(rng), receptive_field, _FIELD_WRONG),
    reference=receptive_field,
    hint="go backward from one output: k neighbors after a layer need (k - 1) * stride + kernel before it",
    wrong=_FIELD_WRONG,
)


# The losses: judge(gray, color) -> scores; gray (N, 1, H, W), real and painted (N, 2, H, W) -> two scalars


def play(answer: Callable[..., Any], inputs: Any) -> Any:
    """Both losses and the slopes that matter: of each on the painted colors, of the first on the judge's weights."""
    painted = inputs["painted"].requires_grad_()
    weight = inputs["weight"].requires_grad_()

    def judge(gray, color):  # type: ignore[no-untyped-def]
        return torch.nn.functional.conv2d(torch.cat([gray, color], dim=1), weight, stride=2)

    losses = answer(judge, inputs["gray"], inputs["real"], painted)
    if type(losses) not in (tuple, list) or len(losses) != 2:
        return losses

    def slope(loss, of):  # type: ignore[no-untyped-def]
        if not (torch.is_tensor(loss) and loss.requires_grad and loss.numel() == 1):
            return torch.zeros_like(of)
        (found,) = torch.autograd.grad(loss.sum(), of, retain_graph=True, allow_unused=True)
        return torch.zeros_like(of) if found is None else found

    return {
        "discriminator's loss": losses[0],
        "its slope on the judge's weights": slope(losses[0], weight),
        "its slope on the painted colors": slope(losses[0], painted),
        "generator's loss": losses[1],
        "slope of the generator's loss on the painted colors": slope(losses[1], painted),
    }


def adversarial_loss(scores: Tensor, real: bool) -> Tensor:
    """Return the mean binary cross-entropy of scores (logits) against one label for all, a scalar."""
    return F.binary_cross_entropy_with_logits(scores, torch.full_like(scores, float(real)))


Judge = Callable[[Tensor, Tensor], Tensor]


def gan_losses(judge: Judge, gray: Tensor, real: Tensor, painted: Tensor) -> tuple[Tensor, Tensor]:
    """Return the discriminator's loss and the generator's loss, two scalars."""
    discriminators = (
        adversarial_loss(judge(gray, real), True) + adversarial_loss(judge(gray, painted.detach()), False)
    ) / 2
    return discriminators, adversarial_loss(judge(gray, painted), True)


def _swapped_labels(judge: Judge, gray: Tensor, real: Tensor, painted: Tensor) -> tuple[Tensor, Tensor]:
    discriminators = (
        adversarial_loss(judge(gray, real), False) + adversarial_loss(judge(gray, painted.detach()), True)
    ) / 2
    return discriminators, adversarial_loss(judge(gray, painted), False)


def _discriminators_labels_swapped(judge: Judge, gray: Tensor, real: Tensor, painted: Tensor) -> tuple[Tensor, Tensor]:
    return _swapped_labels(judge, gray, real, painted)[0], adversarial_loss(judge(gray, painted), True)


def _generator_confesses(judge: Judge, gray: Tensor, real: Tensor, painted: Tensor) -> tuple[Tensor, Tensor]:
    return gan_losses(judge, gray, real, painted)[0], adversarial_loss(judge(gray, painted), False)


def _generator_saturates(judge: Judge, gray: Tensor, real: Tensor, painted: Tensor) -> tuple[Tensor, Tensor]:
    return gan_losses(judge, gray, real, painted)[0], -adversarial_loss(judge(gray, painted), False)


def _missing_detach(judge: Judge, gray: Tensor, real: Tensor, painted: Tensor) -> tuple[Tensor, Tensor]:
    scores = judge(gray, painted)
    return (adversarial_loss(judge(gray, real), True) + adversarial_loss(scores, False)) / 2, adversarial_loss(
        scores, True
    )


def _everything_detached(judge: Judge, gray: Tensor, real: Tensor, painted: Tensor) -> tuple[Tensor, Tensor]:
    return gan_losses(judge, gray, real, painted.detach())


def _scores_detached(judge: Judge, gray: Tensor, real: Tensor, painted: Tensor) -> tuple[Tensor, Tensor]:
    discriminators = (
        adversarial_loss(judge(gray, real), True) + adversarial_loss(judge(gray, painted).detach(), False)
    ) / 2
    return discriminators, adversarial_loss(judge(gray, painted), True)


def _not_halved(judge: Judge, gray: Tensor, real: Tensor, painted: Tensor) -> tuple[Tensor, Tensor]:
    discriminators, generators = gan_losses(judge, gray, real, painted)
    return 2 * discriminators, generators


def _sigmoid_twice(judge: Judge, gray: Tensor, real: Tensor, painted: Tensor) -> tuple[Tensor, Tensor]:
    return gan_losses(lambda gray, color: judge(gray, color).sigmoid(), gray, real, painted)


def _least_squares(judge: Judge, gray: Tensor, real: Tensor, painted: Tensor) -> tuple[Tensor, Tensor]:
    scores = judge(gray, painted.detach())
    discriminators = ((judge(gray, real) - 1).square().mean() + scores.square().mean()) / 2
    return discriminators, (judge(gray, painted) - 1).square().mean()


def _numbers(judge: Judge, gray: Tensor, real: Tensor, painted: Tensor) -> tuple[float, float]:
    discriminators, generators = gan_losses(judge, gray, real, painted)
    return discriminators.item(), generators.item()


def _no_grad(judge: Judge, gray: Tensor, real: Tensor, painted: Tensor) -> tuple[Tensor, Tensor]:
    scores = judge(gray, painted).detach()
    return (adversarial_loss(judge(gray, real), True) + adversarial_loss(scores, False)) / 2, adversarial_loss(
        scores, True
    )


def _summed(judge: Judge, gray: Tensor, real: Tensor, painted: Tensor) -> tuple[Tensor, Tensor]:
    discriminators, generators = gan_losses(judge, gray, real, painted)
    count = judge(gray, real).numel()
    return count * discriminators, count * generators


def _other_order(judge: Judge, gray: Tensor, real: Tensor, painted: Tensor) -> tuple[Tensor, Tensor]:
    discriminators, generators = gan_losses(judge, gray, real, painted)
    return generators, discriminators


_LOSSES_WRONG = (
    Wrong(
        "swapped labels",
        _swapped_labels,
        "the labels are swapped: the discriminator should say 1 of real and 0 of painted colors",
    ),
    Wrong(
        "swapped in the discriminator's loss",
        _discriminators_labels_swapped,
        "the labels are swapped: the discriminator should say 1 of real and 0 of painted colors",
    ),
    Wrong(
        "the generator confesses",
        _generator_confesses,
        "the generator wants its colors to be taken for real: in *its* loss their label is 1",
    ),
    Wrong(
        "the generator's loss as a minus",
        _generator_saturates,
        "this is the game as first written: its slope fades once the discriminator is sure. Ask for label 1 instead",
    ),
    Wrong(
        "missing detach",
        _missing_detach,
        "detach is missing: a slope of the discriminator's loss reaches the painted colors, and so the generator would "
        "be taught to give itself away",
    ),
    Wrong(
        "everything detached",
        _everything_detached,
        "no slope of the generator's loss reaches the painted colors: it could not learn. Detach them in the "
        "discriminator's loss only",
    ),
    Wrong(
        "scores detached",
        _scores_detached,
        "detach the painted *colors*, not their scores: the discriminator must still learn from them",
    ),
    Wrong("not halved", _not_halved, "half of the sum of the two parts: pix2pix slows the discriminator down so"),
    Wrong(
        "sigmoid twice",
        _sigmoid_twice,
        "the judge gives scores, not probabilities, and `..._with_logits` takes scores: no sigmoid before it",
    ),
    Wrong("least squares", _least_squares, "this is LSGAN's loss: here binary cross-entropy is asked for"),
    Wrong(
        "numbers", _numbers, "return tensors: a number (float, .item()) has no slope, and nobody could learn from it"
    ),
    Wrong(
        "scores without slope",
        _no_grad,
        "both players learn from the painted scores: compute them twice, from colors detached and not",
    ),
    Wrong("summed", _summed, "average over all scores: summed, a loss would grow with the batch and the picture"),
    Wrong("the other order", _other_order, "return the discriminator's loss first, then the generator's"),
)


def _same(inputs: Any, output: Any, keys: Sequence[str], hint: str) -> Verdict:
    expected = play(gan_losses, inputs)
    if type(output) is not dict:
        two = "return two losses: (discriminator's, generator's)"
        return Verdict(False, two, describe(output), "two scalar tensors")
    for key in keys:
        verdict = close(output.get(key), expected[key], hint=hint)
        if not verdict.ok:
            given, wanted = f"{key}: {verdict.given}", f"{key}: {verdict.expected}"
            return Verdict(False, verdict.hint, given, wanted)
    return Verdict(True)


def _judge_discriminator(inputs: Any, output: Any) -> Verdict:
    keys = ("discriminator's loss", "its slope on the judge's weights", "its slope on the painted colors")
    hint = "half of: cross-entropy of the real scores with 1, plus that of the painted ones (colors detached) with 0"
    return _same(_fresh(inputs), output, keys, hint)


def _judge_generator(inputs: Any, output: Any) -> Verdict:
    keys = ("generator's loss", "slope of the generator's loss on the painted colors")
    return _same(_fresh(inputs), output, keys, "cross-entropy of the painted scores with 1, colors *not* detached")


def _fresh(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in inputs.items()}


def _match(rng: torch.Generator) -> dict[str, Tensor]:
    count = whole(rng, 2, 3)
    return {
        "gray": uniform(rng, 0, 1, (count, 1, 8, 8)),
        "real": uniform(rng, -0.5, 0.5, (count, 2, 8, 8)),
        "painted": uniform(rng, -0.3, 0.6, (count, 2, 8, 8)),
        "weight": uniform(rng, -0.4, 0.6, (1, 3, 4, 4)),
    }


GAN_LOSSES = Exercise(
    id="06-gan-losses",
    title="Two players, two losses",
    points=3,
    minutes=10,
    asks_for=(
        "labkit.training.gan.discriminator_loss",
        "labkit.training.gan.generator_loss",
        "labkit.training.gan.adversarial_loss",
    ),
    inputs=_match,
    call=play,
    reference=gan_losses,
    parts=(
        Part("the discriminator's loss", 2, _judge_discriminator),
        Part("the generator's loss", 1, _judge_generator),
    ),
    wrong=_LOSSES_WRONG,
)


# Pixel accuracy per channel: pred and true (N, 3, H, W), threshold -> (3,)


def channel_accuracy(pred: Tensor, true: Tensor, threshold: float) -> Tensor:
    """Return for each channel the share of values within the threshold, (3,)."""
    return ((pred - true).abs() <= threshold).double().mean(dim=(0, 2, 3))


_ACCURACY_WRONG = (
    Wrong(
        "sign kept",
        lambda pred, true, threshold: (pred - true <= threshold).double().mean(dim=(0, 2, 3)),
        "a value that is far too small is wrong, too: compare the absolute difference",
    ),
    Wrong(
        "squared",
        lambda pred, true, threshold: ((pred - true).square() <= threshold).double().mean(dim=(0, 2, 3)),
        "the threshold is for the absolute difference, not for its square",
    ),
    Wrong(
        "share of the wrong",
        lambda pred, true, threshold: 1 - channel_accuracy(pred, true, threshold),
        "this is the share of wrong values: right is where the difference is at most the threshold",
    ),
    Wrong(
        "whole pixels",
        lambda pred, true, threshold: ((pred - true).abs() <= threshold).all(dim=1).double().mean().expand(3),
        "this asks that all three channels of a pixel be right: here each channel is counted by itself",
    ),
    Wrong(
        "one number",
        lambda pred, true, threshold: ((pred - true).abs() <= threshold).double().mean(),
        "one share for each channel, shape (3,): average over images, rows and columns, not over channels",
    ),
    Wrong(
        "per image",
        lambda pred, true, threshold: ((pred - true).abs() <= threshold).double().mean(dim=(2, 3)),
        "average over the images as well: shape (3,)",
    ),
    Wrong(
        "counted, not averaged",
        lambda pred, true, threshold: ((pred - true).abs() <= threshold).double().sum(dim=(0, 2, 3)),
        "a share, not a number of pixels: divide by how many there are",
    ),
    Wrong(
        "percent",
        lambda pred, true, threshold: 100 * channel_accuracy(pred, true, threshold),
        "a share from 0 to 1, not a percentage",
    ),
    Wrong(
        "relative",
        lambda pred, true, threshold: ((pred - true).abs() <= threshold * true).double().mean(dim=(0, 2, 3)),
        "the threshold is a share of the whole range, 1, not of the true value",
    ),
    Wrong(
        "error of the mean",
        lambda pred, true, threshold: ((pred - true).mean(dim=(2, 3)).abs() <= threshold).double().mean(dim=0),
        "compare pixel by pixel first, then average: errors of opposite sign must not cancel",
    ),
)


def _two_pictures(rng: torch.Generator) -> dict[str, Any]:
    """Errors of another size in each channel, of both signs, so that all ways to count differ."""
    true = uniform(rng, 0.1, 0.9, (whole(rng, 2, 4), 3, 10, 12))
    error = torch.randn(true.shape, generator=rng) * torch.tensor([0.12, 0.05, 0.08]).view(3, 1, 1)
    return {"pred": (true + error).clamp(0, 1), "true": true, "threshold": round(uniform(rng, 0.03, 0.1), 3)}


CHANNEL_ACCURACY = Exercise(
    id="06-channel-accuracy",
    title="Pixel accuracy, channel by channel",
    points=1,
    minutes=4,
    asks_for=(
        "labkit.metrics.pixel_accuracy",
        "labkit.metrics.lab_pixel_accuracy",
    ),
    inputs=lambda rng: telling(lambda: _two_pictures(rng), channel_accuracy, _ACCURACY_WRONG),
    reference=channel_accuracy,
    hint="|pred - true| <= threshold is a tensor of booleans (N, 3, H, W): its mean over axes 0, 2 and 3",
    wrong=_ACCURACY_WRONG,
)


# KID: features x (m, d) and y (n, d) -> the unbiased squared kernel distance


def kernel(x: Tensor, y: Tensor) -> Tensor:
    """Return the cubic polynomial kernel between all rows of x (m, d) and y (n, d), (m, n)."""
    return (x.double() @ y.double().T / x.shape[1] + 1) ** 3


def kernel_distance(x: Tensor, y: Tensor) -> float:
    """Return the unbiased squared kernel distance between features x (m, d) and y (n, d)."""
    return float(_within(kernel(x, x)) + _within(kernel(y, y)) - 2 * kernel(x, y).mean())


def _within(k: Tensor) -> Tensor:
    return (k.sum() - k.trace()) / (len(k) * (len(k) - 1))


def _with_kernel(k: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], float]:
    return lambda x, y: float(_within(k(x, x)) + _within(k(y, y)) - 2 * k(x, y).mean())


def _with_diagonal(x: Tensor, y: Tensor) -> float:
    return float(kernel(x, x).mean() + kernel(y, y).mean() - 2 * kernel(x, y).mean())


def _diagonal_zeroed(x: Tensor, y: Tensor) -> float:
    inside = [(k.sum() - k.trace()) / len(k) ** 2 for k in (kernel(x, x), kernel(y, y))]
    return float(inside[0] + inside[1] - 2 * kernel(x, y).mean())


def _cross_once(x: Tensor, y: Tensor) -> float:
    return float(_within(kernel(x, x)) + _within(kernel(y, y)) - kernel(x, y).mean())


_KID_WRONG = (
    Wrong(
        "diagonal included",
        _with_diagonal,
        "the diagonal is included, where a vector meets itself and k is large: biased upward. Leave it out within "
        "each set",
    ),
    Wrong(
        "diagonal zeroed, still divided by all",
        _diagonal_zeroed,
        "without the diagonal there are m (m - 1) pairs left, not m * m: divide by those",
    ),
    Wrong(
        "missing 1/d",
        _with_kernel(lambda x, y: (x.double() @ y.double().T + 1) ** 3),
        "the product must be divided by d, the number of features: a . b / d + 1",
    ),
    Wrong(
        "missing + 1",
        _with_kernel(lambda x, y: (x.double() @ y.double().T / x.shape[1]) ** 3),
        "the + 1 inside the bracket is missing: without it, only third moments are compared",
    ),
    Wrong(
        "divided by sqrt d",
        _with_kernel(lambda x, y: (x.double() @ y.double().T / x.shape[1] ** 0.5 + 1) ** 3),
        "divide by d, not by its square root (that is attention's scale)",
    ),
    Wrong(
        "squared",
        _with_kernel(lambda x, y: (x.double() @ y.double().T / x.shape[1] + 1) ** 2),
        "the power is 3, so that the third moments count as well",
    ),
    Wrong("cross term once", _cross_once, "the term between the sets counts twice, as in (a - b)^2 = a^2 + b^2 - 2ab"),
    Wrong(
        "distance of the means",
        lambda x, y: float((x.double().mean(0) - y.double().mean(0)).square().sum()),
        "this compares the means alone: the kernel also compares how the features spread",
    ),
    Wrong(
        "square root",
        lambda x, y: abs(kernel_distance(x, y)) ** 0.5,
        "no square root: KID is the *squared* distance (and may fall a little below zero)",
    ),
)


def _features(rng: torch.Generator) -> dict[str, Tensor]:
    d = whole(rng, 5, 8)
    x = torch.randn((whole(rng, 12, 16), d), generator=rng)
    y = 1.4 * torch.randn((whole(rng, 18, 24), d), generator=rng) + 0.8
    return {"x": x, "y": y}


KID = Exercise(
    id="06-kid",
    title="KID on features",
    points=2,
    minutes=8,
    asks_for=(
        "labkit.metrics.mmd",
        "labkit.metrics.kid",
    ),
    inputs=lambda rng: telling(lambda: _features(rng), kernel_distance, _KID_WRONG),
    reference=kernel_distance,
    hint="mean of k within x plus mean of k within y, both without diagonal, minus twice the mean of k between them",
    wrong=_KID_WRONG,
)

EXERCISES = (RECEPTIVE_FIELD, GAN_LOSSES, CHANNEL_ACCURACY, KID)
