"""The training loop that is built in lab 01, with its one-cycle learning rate.

A loop is judged by what it does to a network of one weight, whose every change tells which learning rate it came from,
and by how well a small network that it has trained colors unseen images.
"""

import copy
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from labkit.checks.framework import Exercise, Verdict, Wrong, as_tensor, describe, uniform, whole
from labkit.checks.training_step import no_zero_grad
from labkit.training import simple

Answer = Callable[..., Any]

# The loop: network, representation, images, epochs, batch_size, learning_rate, seed -> the loss of each step


def _call_loop(answer: Answer, inputs: dict[str, Any]) -> dict[str, Any]:
    """Train one weight whose gradient is always 1: each of its changes is then the learning rate of that step."""
    from torch.optim.optimizer import register_optimizer_step_pre_hook

    class Recorder(torch.nn.Module):
        """A network of one weight that notes its weight and mode whenever it is called."""

        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(()))
            self.weights: list[float] = []
            self.modes: list[bool] = []

        def forward(self, gray: torch.Tensor) -> torch.Tensor:
            self.weights.append(self.weight.item())
            self.modes.append(self.training)
            return self.weight.expand_as(gray)

    class Numbered:
        """Takes images whose first value is their number; the loss is the prediction itself, so its gradient is 1."""

        channels = 1

        def __init__(self) -> None:
            self.seen: list[list[int]] = []

        def encode(self, images: torch.Tensor, stride: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
            value = images[:, :1].float() * (255 if images.is_floating_point() and images.max() <= 1 else 1)
            self.seen.append([round(number) for number in value[:, 0, 0, 0].tolist()])
            return value, value

        def loss(self, prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
            return prediction.mean()

    def run(seed: int) -> tuple[Recorder, Numbered, list[float]]:
        network, representation = Recorder(), Numbered()
        network.eval()  # the loop has to say that it trains
        losses = answer(
            network, representation, images, inputs["epochs"], inputs["batch_size"], inputs["learning_rate"], seed=seed
        )
        return network, representation, losses

    optimizers = set[str]()

    def note(optimizer: Any, *arguments: Any) -> None:
        optimizers.add(type(optimizer).__name__)

    count, epochs, size = inputs["count"], inputs["epochs"], inputs["batch_size"]
    images = torch.arange(1, count + 1, dtype=torch.uint8)[:, None, None, None].expand(count, 3, 2, 2).contiguous()
    torch.manual_seed(inputs["seed"])
    with register_optimizer_step_pre_hook(note):
        network, representation, losses = run(inputs["seed"])
    order = [number for batch in representation.seen for number in batch]
    passes = [order[at : at + count] for at in range(0, len(order), count)]
    torch.manual_seed(inputs["seed"] + 1)  # what the seed is for: not even torch's own generator matters
    again, other = run(inputs["seed"])[1].seen, run(inputs["seed"] + 1)[1].seen
    weights = [*network.weights, network.weight.item()]
    is_list = type(losses) is list
    return {
        "losses": len(losses) if is_list else str(type(losses).__name__),
        "plain": is_list and all(type(loss) is float for loss in losses),
        "batches": [len(batch) for batch in representation.seen][: 2 * epochs * -(-count // size)],
        "each image once an epoch": len(passes) == epochs and all(len(set(one)) == count for one in passes),
        "shuffled": passes[0] != sorted(passes[0]) if passes else False,
        "another order each epoch": len(passes) < 2 or passes[0] != passes[1],
        "same seed, same order": again == representation.seen,
        "another seed, another order": other != representation.seen,
        "an optimizer of Adam's kind": all("Adam" in name for name in optimizers),
        "training mode": all(network.modes),
        "evaluation mode at the end": not network.training,
        "rates": [round(before - after, 7) for before, after in zip(weights, weights[1:], strict=False)],  # noqa: RUF007
    }


def _loop_inputs(rng: torch.Generator) -> dict[str, Any]:
    size = 4 + 2 * whole(rng, 0, 1)
    return {
        "count": size * whole(rng, 4, 6) + whole(rng, 1, size - 1),  # the last batch is smaller
        "epochs": whole(rng, 4, 6),
        "batch_size": size,
        "learning_rate": uniform(rng, 0.002, 0.02),
        "seed": whole(rng, 0, 10**6),
    }


_LOSSES = "return a list with one loss a step, as plain numbers (what training_step returns)"
_EPOCHS = "each epoch goes through all images once, in batches of batch_size; the last batch may be smaller"
_SHUFFLED = "shuffle: torch.randperm gives a new order, and a generator with manual_seed(seed) makes it repeatable"
_NEW_ORDER = (
    "draw a new order in each epoch: torch.randperm stands inside the loop over epochs, and its generator is made "
    "once, before that loop"
)
_SEED = (
    "the order must depend on `seed` and on nothing else: give torch.randperm a generator, "
    "torch.Generator().manual_seed(seed), made before the loop"
)
_ADAM = "the optimizer is torch.optim.AdamW: plain gradient descent with these rates learns far too little"
_MODES = "network.train() before the first step and network.eval() after the last: batch norm and dropout need to know"
_CONSTANT = (
    "the learning rate never changes: make one optimizer and its OneCycleLR before the loop, and call the schedule's "
    "step() after each training step"
)
_EARLY = "each learning rate comes one step too early: call schedule.step() after the training step, not before it"
_PER_EPOCH = "the learning rate changes only once an epoch: call schedule.step() after every training step"
_SHORT_CYCLE = (
    "the cycle does not end with the training: total_steps is the number of all steps, epochs times batches an epoch, "
    "where the last, smaller batch counts too"
)
_PEAK = "the largest learning rate of the cycle should be `learning_rate`: max_lr=learning_rate"
_GRADIENTS = (
    "the changes of the weights are not those of a one-cycle rate: AdamW, one optimizer and one schedule for the whole "
    "training, made before the loop, and cleared gradients in each step"
)


def _judge_loop(inputs: dict[str, Any], output: Any) -> Verdict:
    """Say the first thing that is wrong with a loop, in the order in which one would mend it."""
    if type(output) is not dict:
        return Verdict(False, _LOSSES, describe(output))
    count, epochs, size = inputs["count"], inputs["epochs"], inputs["batch_size"]
    batches = ([size] * (count // size) + ([count % size] if count % size else [])) * epochs
    if output["batches"] != batches or output["each image once an epoch"] is not True:
        given = f"{len(output['batches'])} batches, of sizes {output['batches'][:12]} ..."
        return Verdict(False, _EPOCHS, given, f"{len(batches)} batches, of sizes {batches[:12]} ...")
    for key, hint in (
        ("shuffled", _SHUFFLED),
        ("another order each epoch", _NEW_ORDER),
        ("same seed, same order", _SEED),
        ("another seed, another order", _SEED),
        ("an optimizer of Adam's kind", _ADAM),
        ("training mode", _MODES),
        ("evaluation mode at the end", _MODES),
    ):
        if output[key] is not True:
            return Verdict(False, hint, f"{key}: no", f"{key}: yes")
    if output["losses"] != len(batches) or output["plain"] is not True:
        kind = "" if output["plain"] is True else ", not all of them plain numbers"
        return Verdict(False, _LOSSES, f"{output['losses']} losses{kind}", f"{len(batches)} losses, plain numbers")
    wanted = torch.tensor(_call_loop(simple.train, inputs)["rates"], dtype=torch.float64)
    return _judge_rates(output["rates"], wanted, inputs["learning_rate"], len(batches) // epochs)


def _judge_rates(given: Any, wanted: Tensor, highest: float, per_epoch: int) -> Verdict:
    """Compare the change of the weight in each step with the reference's, or with the one-cycle rate itself.

    The two differ by up to a fifth: OneCycleLR also changes Adam's first momentum, which Adam's correction ignores.
    """
    rates = as_tensor(given)
    if rates is None or rates.shape != wanted.shape:
        return Verdict(False, _GRADIENTS, describe(given))
    expected = f"first {wanted[0]:.3g}, largest {wanted.max():.3g}, last {wanted[-1]:.3g}"
    shown = f"first {rates[0]:.3g}, largest {rates.max():.3g}, last {rates[-1]:.3g}"
    exact = one_cycle(highest, len(rates))  # of plain gradient descent, or with cycle_momentum=False
    if any(bool(((rates - right).abs() < 0.03 * highest).all()) for right in (wanted, exact)):
        return Verdict(True)
    hint = _GRADIENTS
    if float(rates.max() - rates.min()) < 0.02 * float(rates.abs().max()):
        hint = _CONSTANT
    elif float((rates[:per_epoch] - rates[0]).abs().max()) < 0.02 * highest:
        hint = _PER_EPOCH
    elif float(rates[-1]) > 0.02 * highest or _steps_at_zero(rates) > _steps_at_zero(wanted) + 1:
        hint = _SHORT_CYCLE
    elif any(bool(((rates[:-1] - right[1:]).abs() < 0.05 * highest).all()) for right in (wanted, exact)):
        hint = _EARLY
    elif abs(float(rates[0] / wanted[0]) - 1) > 0.1:  # already the first step is of another size
        hint = _PEAK
    return Verdict(False, hint, f"changes of the weight: {shown}", f"changes of the weight: {expected}")


def _steps_at_zero(rates: Tensor) -> int:
    """Return how many steps at the end change almost nothing."""
    moved = (rates.abs() > 0.02 * rates.abs().max()).nonzero()
    return len(rates) - 1 - int(moved[-1])


def one_cycle(highest: float, steps: int) -> Tensor:
    """Return the learning rate of each step of torch's OneCycleLR with its default settings, (steps,)."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(()))], lr=highest)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=highest, total_steps=steps)
    rates = []
    for _ in range(steps):
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    return torch.tensor(rates, dtype=torch.float64)


def loop(
    network: nn.Module,
    representation: Any,
    images: Tensor,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    seed: int = 0,
    *,
    step: Answer = simple.training_step,
    schedule_per: str = "step",
    drop_last: bool = False,
    shuffle: bool = True,
    one_order: bool = False,
    use_seed: bool = True,
    modes: bool = True,
    end_mode: bool = True,
    optimizer_of: Answer = torch.optim.AdamW,
    steps: str = "all",
    stop_in_time: bool = False,
    first_batch_only: bool = False,
    keep: str = "steps",
) -> Any:
    """Run `labkit.training.simple.train` with one thing changed: each known mistake is one keyword."""
    order = torch.Generator().manual_seed(seed) if use_seed else torch.default_generator
    each = len(images) // batch_size if drop_last else math.ceil(len(images) / batch_size)
    total = {"all": epochs * each, "epoch": each, "floor": epochs * (len(images) // batch_size), "epochs": epochs}[
        steps
    ]
    optimizer = optimizer_of(network.parameters(), lr=learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=learning_rate, total_steps=epochs + 1 if schedule_per == "epoch" else total
    )
    losses: list[Any] = []
    if modes:
        network.train()
    fixed = torch.randperm(len(images), generator=order)
    for _ in range(epochs):
        now = fixed if one_order else torch.randperm(len(images), generator=order)
        now = now if shuffle else torch.arange(len(images))
        for batch in now.split(batch_size)[:each]:
            if schedule_per == "step, before":
                schedule.step()
            seen = images[:batch_size] if first_batch_only else images[batch]
            losses.append(step(network, representation, seen, optimizer))
            if schedule_per == "step" and not (stop_in_time and len(losses) >= total):
                schedule.step()
        if schedule_per == "epoch":
            schedule.step()
    if modes and end_mode:
        network.eval()
    if keep == "epochs":
        return losses[each - 1 :: each]
    return torch.tensor(losses) if keep == "tensor" else losses


def _mistake(**changed: Any) -> Answer:
    """Return `loop` with one thing changed."""
    return partial(loop, **changed)


def _other_arguments(change: Callable[[list[Any]], None]) -> Answer:
    """Return the right loop for other arguments than those it was given."""

    def train(*arguments: Any, seed: int = 0) -> Any:
        taken = [*arguments, seed]
        change(taken)
        return loop(*taken)

    return train


_TRAIN_WRONG = (
    Wrong("no schedule", _mistake(schedule_per="never"), _CONSTANT),
    Wrong("schedule stepped once an epoch", _mistake(schedule_per="epoch"), _PER_EPOCH),
    Wrong("schedule stepped before the step", _mistake(schedule_per="step, before"), _EARLY),
    Wrong("cycle of one epoch", _mistake(steps="epoch"), _SHORT_CYCLE),
    Wrong("last batch not counted", _mistake(steps="floor"), _SHORT_CYCLE),
    Wrong("cycle of one epoch, then constant", _mistake(steps="epoch", stop_in_time=True), _SHORT_CYCLE),
    Wrong("last batch not counted, then constant", _mistake(steps="floor", stop_in_time=True), _SHORT_CYCLE),
    Wrong("cycle of as many steps as epochs", _mistake(steps="epochs"), _SHORT_CYCLE),
    Wrong("plain gradient descent", _mistake(optimizer_of=torch.optim.SGD), _ADAM),
    Wrong("a tenth of the rate", _other_arguments(lambda given: given.__setitem__(5, given[5] / 10)), _PEAK),
    Wrong("no zero_grad", _mistake(step=no_zero_grad), _GRADIENTS),
    Wrong("last batch dropped", _mistake(drop_last=True), _EPOCHS),
    Wrong("first batch only", _mistake(first_batch_only=True), _EPOCHS),
    Wrong("one epoch", _other_arguments(lambda given: given.__setitem__(3, 1)), _EPOCHS),
    Wrong("not shuffled", _mistake(shuffle=False), _SHUFFLED),
    Wrong("one order for all epochs", _mistake(one_order=True), _NEW_ORDER),
    Wrong("seed ignored", _mistake(use_seed=False), _SEED),
    Wrong("trained in evaluation mode", _mistake(modes=False), _MODES),
    Wrong("left in training mode", _mistake(end_mode=False), _MODES),
    Wrong("one loss an epoch", _mistake(keep="epochs"), _LOSSES),
    Wrong("a tensor of losses", _mistake(keep="tensor"), _LOSSES),
)

TRAIN = Exercise(
    id="01-train",
    title="The training loop",
    points=3,
    minutes=14,
    level=3,
    asks_for=("labkit.training.simple.train", "labkit.training.loop.fit"),
    inputs=_loop_inputs,
    call=_call_loop,
    judge=_judge_loop,
    reference=simple.train,
    hints=(
        "four parts: count the steps; make optimizer and schedule; two nested loops; switch the mode before and after",
        "OneCycleLR(optimizer, max_lr=learning_rate, total_steps=epochs * math.ceil(len(images) / batch_size))",
        "for each epoch, for each batch of torch.randperm(len(images), generator=...).split(batch_size): append what "
        "training_step returns, then schedule.step()",
    ),
    wrong=_TRAIN_WRONG,
)


# The loop at work: a small network with batch norm, trained on 48 images, predicts 32 unseen ones


def _call_reaches(answer: Answer, inputs: dict[str, Any]) -> dict[str, Any]:
    """Train on the images that were sent and predict for the gray images that were sent; the truth stays outside."""

    class Color:
        """Predicts R, G and B by squared error."""

        channels = 3

        def encode(self, images: torch.Tensor, stride: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
            rgb = images if images.is_floating_point() else images.float() / 255
            return (rgb * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(dim=1, keepdim=True), rgb

        def loss(self, prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
            return ((prediction - target) ** 2).mean()

    torch.manual_seed(inputs["seed"])
    network = torch.nn.Sequential(
        torch.nn.Conv2d(1, 16, 3, padding=1),
        torch.nn.BatchNorm2d(16),
        torch.nn.ReLU(),
        torch.nn.Conv2d(16, 16, 1),
        torch.nn.ReLU(),
        torch.nn.Conv2d(16, 3, 1),
    )
    losses = answer(network, Color(), inputs["images"], 40, 8, 0.02, seed=inputs["seed"])
    with torch.no_grad():
        return {"prediction": network(inputs["gray"]), "losses": losses}


WEIGHTS = torch.tensor([0.299, 0.587, 0.114])[:, None, None]  # Rec.601


def _to_gray(rgb: Tensor) -> Tensor:
    return (rgb.float() / 255 * WEIGHTS).sum(dim=1, keepdim=True)


def _blocks(rng: torch.Generator, count: int, palette: Tensor) -> Tensor:
    """Paint blocks of the palette's colors (K, 3), each pixel lit a little: uint8 (N, 3, 16, 16)."""
    which = torch.randint(0, len(palette), (count, 4, 4), generator=rng).repeat_interleave(4, 1).repeat_interleave(4, 2)
    shade = torch.randint(-9, 10, (count, 1, 16, 16), generator=rng)
    return (palette[which].permute(0, 3, 1, 2) + shade).to(torch.uint8)


def _reach_inputs(rng: torch.Generator) -> dict[str, Any]:
    """Draw images of three colors whose gray values are apart, and the gray of unseen ones: gray tells the color."""
    palette = torch.tensor([[170, 30, 20], [60, 150, 220], [220, 230, 110]])[:, torch.randperm(3, generator=rng)]
    palette = palette[(palette * WEIGHTS[:, 0, 0]).sum(dim=1).argsort()]
    if float((palette * WEIGHTS[:, 0, 0]).sum(dim=1).diff().min()) < 30:
        return _reach_inputs(rng)
    images, unseen = _blocks(rng, 48, palette), _blocks(rng, 16, palette)
    return {"images": images, "gray": _to_gray(unseen), "seed": whole(rng, 0, 10**6)}


def _truth(inputs: dict[str, Any]) -> Tensor:
    """Return the colors of the unseen images, which are not sent: those of the training pixels of the same gray."""
    gray, order = _to_gray(inputs["images"]).flatten().sort()
    colors = inputs["images"].permute(0, 2, 3, 1).reshape(-1, 3)[order].float() / 255
    at = torch.searchsorted(gray, inputs["gray"].flatten() - 1e-5).clamp(max=len(gray) - 1)
    count, _, height, width = inputs["gray"].shape
    return colors[at].reshape(count, height, width, 3).permute(0, 3, 1, 2)


REACHED = 0.85  # skill; see the tests for what the reference reaches with ten seeds
_TOO_FAR = (
    "the network that your loop has trained predicts little better than gray: does each step change the weights of the "
    "network that was handed in, and lower its loss? Look at the list of losses"
)


def _judge_reaches(inputs: dict[str, Any], output: Any) -> Verdict:
    prediction = as_tensor(output["prediction"]) if type(output) is dict else None
    truth = _truth(inputs)
    if prediction is None or prediction.shape != truth.shape or not bool(prediction.isfinite().all()):
        return Verdict(False, _TOO_FAR, describe(output))
    error, floor = ((image - truth).square().mean() for image in (prediction, inputs["gray"]))
    skill = float(1 - error / floor)
    return Verdict(skill > REACHED, _TOO_FAR, f"skill {skill:.2f} on unseen images", f"more than {REACHED}")


def _idle(network: nn.Module, *others: Any, **named: Any) -> list[float]:
    network.eval()
    return [0.0]


def _on_a_copy(network: nn.Module, *others: Any, **named: Any) -> Any:
    losses = simple.train(copy.deepcopy(network), *others, **named)
    network.eval()
    return losses


def _uphill(network: nn.Module, representation: Any, images: Tensor, optimizer: Any) -> float:
    gray, target = representation.encode(images)
    loss = representation.loss(network(gray), target)
    optimizer.zero_grad()
    (-loss).backward()
    optimizer.step()
    return loss.item()


def _one_step(given: list[Any]) -> None:
    given[2], given[3] = given[2][: given[4]], 1


_REACH_WRONG = (
    Wrong("trains nothing", _idle, _TOO_FAR),
    Wrong("trains a copy", _on_a_copy, _TOO_FAR),
    Wrong("uphill", _mistake(step=_uphill), _TOO_FAR),
    Wrong("stops after one step", _other_arguments(_one_step), _TOO_FAR),
)

TRAIN_REACHES = Exercise(
    id="01-train-reaches",
    title="The loop trains a network",
    points=2,
    minutes=1,
    level=3,
    draws=1,
    asks_for=("labkit.training.simple.train", "labkit.training.loop.fit"),
    inputs=_reach_inputs,
    call=_call_reaches,
    judge=_judge_reaches,
    reference=simple.train,
    wrong=_REACH_WRONG,
)

EXERCISES = (TRAIN, TRAIN_REACHES)
