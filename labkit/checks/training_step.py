"""The loss and the training step that are built in lab 01.

A step is judged by what it does to the weights of a small network, twice: a gradient that was not cleared shows in the
second step.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from labkit.checks.framework import Exercise, Wrong, telling, uniform, whole
from labkit.training import simple

Answer = Callable[..., Any]

# The mix: prediction, target (N, C, H, W), alpha -> alpha MSE + (1 - alpha) L1


def loss_mix(prediction: Tensor, target: Tensor, alpha: float) -> Tensor:
    """Return alpha times the mean squared error plus 1 - alpha times the mean absolute error."""
    error = prediction - target
    return alpha * error.square().mean() + (1 - alpha) * error.abs().mean()


def _mixed(square: Answer, absolute: Answer, last: Answer = lambda loss, target, alpha: loss) -> Answer:
    """Return a mix of other means: each mistake changes one of the three."""

    def mixed(prediction: Tensor, target: Tensor, alpha: float) -> Tensor:
        error = prediction - target
        return last(alpha * square(error) + (1 - alpha) * absolute(error), target, alpha)

    return mixed


def _square(error: Tensor) -> Tensor:
    return error.square().mean()


def _absolute(error: Tensor) -> Tensor:
    return error.abs().mean()


_MIX_WRONG = (
    Wrong(
        "swapped",
        lambda prediction, target, alpha: loss_mix(prediction, target, 1 - alpha),
        "alpha is the fraction of MSE, 1 - alpha that of L1",
    ),
    Wrong(
        "sums",
        _mixed(_square, _absolute, lambda loss, target, alpha: loss * target.numel()),
        "the mean over all numbers, not the sum: the size of a batch must not change the loss",
    ),
    Wrong(
        "sum over channels",
        _mixed(_square, _absolute, lambda loss, target, alpha: loss * target.shape[1]),
        "the mean over the channels, too, not only over images and pixels",
    ),
    Wrong("root", _mixed(lambda e: _square(e).sqrt(), _absolute), "the mean squared error has no root"),
    Wrong("signed", _mixed(_square, lambda e: e.mean()), "L1 needs the absolute value"),
    Wrong(
        "no weights",
        lambda prediction, target, alpha: _square(prediction - target) + _absolute(prediction - target),
        "weigh the two with alpha",
    ),
    Wrong(
        "a number",
        lambda prediction, target, alpha: loss_mix(prediction, target, alpha).item(),
        "return the tensor itself, not a plain number: loss.backward() needs to know how it was computed",
    ),
    Wrong(
        "not averaged",
        _mixed(lambda e: e.square(), lambda e: e.abs()),
        "this is the loss of each number: return one, their mean",
    ),
)


def _call_mix(answer: Answer, inputs: dict[str, Any]) -> dict[str, Any]:
    """Return the loss and its gradient, which a plain number does not have."""
    prediction = inputs["prediction"].requires_grad_()
    loss = answer(prediction, inputs["target"], inputs["alpha"])
    flows = isinstance(loss, torch.Tensor) and loss.requires_grad
    gradient = torch.autograd.grad(loss.sum(), prediction)[0] if flows else "no gradient"
    return {"loss": loss, "gradient": gradient}


def _pair(rng: torch.Generator) -> dict[str, Any]:
    shape = (2, whole(rng, 2, 3), 3, 4)
    return {
        "prediction": torch.randn(shape, generator=rng),
        "target": torch.randn(shape, generator=rng),
        "alpha": uniform(rng, 0.1, 0.35) if whole(rng, 0, 1) else uniform(rng, 0.65, 0.9),
    }


LOSS_MIX = Exercise(
    id="01-loss-mix",
    title="A mix of MSE and L1",
    points=1,
    minutes=3,
    level=1,
    asks_for=("labkit.representation.Regression.loss",),
    inputs=lambda rng: telling(lambda: _pair(rng), loss_mix, _MIX_WRONG[:-2] + _MIX_WRONG[-1:]),  # not the plain number
    call=_call_mix,
    reference=loss_mix,
    hint="alpha * (mean of squares) + (1 - alpha) * (mean of absolute values)",
    hints=(
        "two means of the same difference, weighted with alpha and 1 - alpha",
        "of a tensor d, d.square().mean() is the mean square and d.abs().mean() the mean absolute value",
        "return alpha * (the mean square) + (1 - alpha) * (the mean absolute value)",
    ),
    wrong=_MIX_WRONG,
)


# One step: network, representation, images, optimizer -> the loss before the step


def _call_step(answer: Answer, inputs: dict[str, Any]) -> dict[str, Any]:
    """Make two steps on two batches with plain gradient descent; return the losses and the weights after each."""

    class Doubling:
        """Gray is the mean of the channels, the target the rest; the loss is no mean squared error."""

        channels = 3

        def encode(self, images: torch.Tensor, stride: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
            rgb = images if images.is_floating_point() else images.float() / 255
            gray = rgb.mean(dim=1, keepdim=True)
            return gray, rgb - gray

        def loss(self, prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
            error = prediction - target  # too high counts more than too low: the order of the two matters
            return (error**4).mean() + error.abs().mean() + 2 * error.clamp(min=0).mean()

    torch.manual_seed(inputs["seed"])
    network = torch.nn.Conv2d(1, 3, 1)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.2)
    found = {}
    for number in (1, 2):
        loss = answer(network, Doubling(), inputs[f"batch {number}"], optimizer)
        found[f"loss {number}"] = loss
        found[f"returned {number}"] = "a plain number" if isinstance(loss, float) else type(loss).__name__
        found[f"weights {number}"] = torch.cat([p.detach().flatten() for p in network.parameters()])
    return found


def no_zero_grad(network: nn.Module, representation: Any, images: Tensor, optimizer: Any) -> float:
    """Make a step without clearing the gradients of the one before."""
    gray, target = representation.encode(images)
    loss = representation.loss(network(gray), target)
    loss.backward()
    optimizer.step()
    return loss.item()


def _no_step(network: nn.Module, representation: Any, images: Tensor, optimizer: Any) -> float:
    gray, target = representation.encode(images)
    return representation.loss(network(gray), target).item()


def _loss_after(network: nn.Module, representation: Any, images: Tensor, optimizer: Any) -> float:
    simple.training_step(network, representation, images, optimizer)
    gray, target = representation.encode(images)
    return representation.loss(network(gray), target).item()


def _on_gray(network: nn.Module, representation: Any, images: Tensor, optimizer: Any) -> float:
    gray, _ = representation.encode(images)
    loss = representation.loss(network(gray), gray)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


def _own_mse(network: nn.Module, representation: Any, images: Tensor, optimizer: Any) -> float:
    gray, target = representation.encode(images)
    loss = (network(gray) - target).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


def _on_color(network: nn.Module, representation: Any, images: Tensor, optimizer: Any) -> float:
    gray, _ = representation.encode(images)
    loss = representation.loss(network(gray), images / 255)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


def _exchanged(network: nn.Module, representation: Any, images: Tensor, optimizer: Any) -> float:
    gray, target = representation.encode(images)
    loss = representation.loss(target, network(gray))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


def _tensor(network: nn.Module, representation: Any, images: Tensor, optimizer: Any) -> Tensor:
    return torch.tensor(simple.training_step(network, representation, images, optimizer))


def _nothing(network: nn.Module, representation: Any, images: Tensor, optimizer: Any) -> None:
    simple.training_step(network, representation, images, optimizer)


_STEP = "encode, predict, loss, optimizer.zero_grad(), loss.backward(), optimizer.step(), return loss.item()"
_ACCUMULATED = (
    "the second step is wrong: gradients add up over steps until they are cleared. Call optimizer.zero_grad() before "
    "loss.backward()"
)
_UNCHANGED = (
    "the weights do not change: is optimizer.step() missing, or does zero_grad() stand between backward() and step()?"
)
_STEP_WRONG = (
    Wrong("no zero_grad", no_zero_grad, _ACCUMULATED),
    Wrong("no step", _no_step, _UNCHANGED),
    Wrong(
        "loss after the step",
        _loss_after,
        "return the loss that was computed before the step: a second prediction costs time and says little more",
    ),
    Wrong(
        "gray as target",
        _on_gray,
        "the target is the second thing that representation.encode returns, not the gray image",
    ),
    Wrong(
        "color as target",
        _on_color,
        "the target is what representation.encode returns, not the image: a network may predict other coordinates",
    ),
    Wrong("exchanged", _exchanged, "the prediction comes first: representation.loss(prediction, target)"),
    Wrong("own MSE", _own_mse, "use representation.loss: it is not always the mean squared error"),
    Wrong(
        "a tensor",
        _tensor,
        "return a plain number, loss.item(): a list of loss tensors would keep every step's computation in memory",
    ),
    Wrong("nothing returned", _nothing, "return the loss, as a plain number: loss.item()"),
)


def _batches(rng: torch.Generator) -> dict[str, Any]:
    def batch() -> Tensor:
        return torch.randint(0, 256, (3, 3, 4, 5), generator=rng, dtype=torch.uint8)

    return {"batch 1": batch(), "batch 2": batch(), "seed": whole(rng, 0, 10**6)}


TRAINING_STEP = Exercise(
    id="01-training-step",
    title="One training step",
    points=2,
    minutes=8,
    level=2,
    asks_for=("labkit.training.simple.training_step", "labkit.training.simple.train", "labkit.training.loop.fit"),
    inputs=_batches,
    call=_call_step,
    reference=simple.training_step,
    hint=_STEP,
    hints=(
        "lab 00's loop has the same five lines inside; here the representation says what gray, target and loss are",
        "gray, target = representation.encode(images), then loss = representation.loss(network(gray), target)",
        "encode; loss; optimizer.zero_grad(); loss....; optimizer....; return loss.item()",
    ),
    wrong=_STEP_WRONG,
)

EXERCISES = (LOSS_MIX, TRAINING_STEP)
