"""The exercises of lab 06, GANs: two losses, the alternating step, the loop around it, and a generator with noise."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from labkit.checks.framework import Exercise, Verdict, Wrong, close, describe, uniform, whole
from labkit.training.simple_gan import (
    BETAS,
    NoisyGenerator,
    gan_step,
    loss_of_discriminator,
    loss_of_generator,
    train_gan,
)

PREDICTIONS: dict[str, str | tuple[float, float]] = {
    "06-cheapest": "b",
    "06-losses": "c",
    "06-no-noise": "a",
    "06-frequencies": "a",
    "06-mse": "b",
    "06-lambda": "c",
    "06-patch": "c",
    "06-adversary": "b",
}

_OFF = tuple(
    f"labkit.training.simple_gan.{name}"
    for name in ("loss_of_discriminator", "loss_of_generator", "gan_step", "train_gan", "NoisyGenerator.forward")
)
_BCE = F.binary_cross_entropy_with_logits
Discriminator = Callable[[Tensor, Tensor], Tensor]


# The losses: discriminator(gray, color) -> logits; gray (N, 1, H, W), real and generated (N, 2, H, W) -> a scalar


def loss_and_gradients(answer: Callable[..., Any], inputs: Any) -> Any:
    """Return the loss and its gradients on the discriminator's weights and on the generated colors."""
    generated = inputs["generated"].requires_grad_()
    weight = inputs["weight"].requires_grad_()

    def discriminator(gray, color):  # type: ignore[no-untyped-def]
        return torch.nn.functional.conv2d(torch.cat([gray, color], dim=1), weight, stride=2)

    more = (inputs["lambda_l1"],) if "lambda_l1" in inputs else ()
    loss = answer(discriminator, inputs["gray"], inputs["real"], generated, *more)
    if not torch.is_tensor(loss) or loss.numel() != 1:
        return loss

    def gradient(of):  # type: ignore[no-untyped-def]
        if not loss.requires_grad:
            return torch.zeros_like(of)
        (found,) = torch.autograd.grad(loss.sum(), of, retain_graph=True, allow_unused=True)
        return torch.zeros_like(of) if found is None else found

    return {
        "loss": loss,
        "gradient on the discriminator's weights": gradient(weight),
        "gradient on the generated colors": gradient(generated),
    }


def _loss_judge(reference: Callable[..., Tensor], hint: str) -> Callable[[Any, Any], Verdict]:
    def judge(inputs: Any, output: Any) -> Verdict:
        if type(output) is not dict:
            missing = "the function returned None: is its `return` missing?" if output is None else ""
            numbers = "return the tensor: a number (float, .item()) has no gradient, and nothing could learn from it"
            return Verdict(False, missing or numbers, describe(output), "one scalar tensor", form=True)
        for name, expected in loss_and_gradients(reference, inputs).items():
            verdict = close(output.get(name), expected, hint=hint)
            if not verdict.ok:
                given, wanted = f"{name}: {verdict.given}", f"{name}: {verdict.expected}"
                return Verdict(False, verdict.hint, given, wanted)
        return Verdict(True)

    return judge


def _batch(rng: torch.Generator) -> dict[str, Any]:
    count = whole(rng, 2, 3)
    return {
        "gray": uniform(rng, 0, 1, (count, 1, 8, 8)),
        "real": uniform(rng, -0.5, 0.5, (count, 2, 8, 8)),
        "generated": uniform(rng, -0.3, 0.6, (count, 2, 8, 8)),
        "weight": uniform(rng, -0.4, 0.6, (1, 3, 4, 4)),
    }


def _bce(scores: Tensor, label: float) -> Tensor:
    return _BCE(scores, torch.full_like(scores, label))


_DISCRIMINATOR_WRONG = (
    Wrong(
        "swapped labels",
        lambda d, gray, real, fake: (_bce(d(gray, real), 0.0) + _bce(d(gray, fake.detach()), 1.0)) / 2,
        "the labels are swapped: the discriminator should say 1 of real and 0 of generated colors",
    ),
    Wrong(
        "missing detach",
        lambda d, gray, real, fake: (_bce(d(gray, real), 1.0) + _bce(d(gray, fake), 0.0)) / 2,
        "detach is missing: a gradient of the discriminator's loss reaches the generated colors, and so the generator "
        "would be taught to give itself away",
    ),
    Wrong(
        "scores detached",
        lambda d, gray, real, fake: (_bce(d(gray, real), 1.0) + _bce(d(gray, fake).detach(), 0.0)) / 2,
        "detach the generated *colors*, not their scores: the discriminator must still learn from them",
    ),
    Wrong(
        "not halved",
        lambda d, gray, real, fake: _bce(d(gray, real), 1.0) + _bce(d(gray, fake.detach()), 0.0),
        "half of the sum of the two parts: pix2pix slows the discriminator down in this way",
    ),
    Wrong(
        "sigmoid twice",
        lambda d, gray, real, fake: loss_of_discriminator(lambda *pair: d(*pair).sigmoid(), gray, real, fake),  # type: ignore[arg-type]
        "the discriminator gives scores, not probabilities, and `..._with_logits` takes scores: no sigmoid before it",
    ),
    Wrong(
        "least squares",
        lambda d, gray, real, fake: ((d(gray, real) - 1).square().mean() + d(gray, fake.detach()).square().mean()) / 2,
        "this is the loss of LSGAN: here binary cross-entropy is asked for",
    ),
    Wrong(
        "summed",
        lambda d, gray, real, fake: loss_of_discriminator(d, gray, real, fake) * d(gray, real).numel(),
        "average over all scores: a sum grows with the batch and the image",
    ),
    Wrong(
        "scores as labels",
        lambda d, gray, real, fake: sum(
            _BCE(torch.full_like(scores, label), scores) / 2
            for label, scores in ((1.0, d(gray, real)), (0.0, d(gray, fake.detach())))
        ),
        "scores and labels are exchanged: binary_cross_entropy_with_logits(scores, labels)",
    ),
    Wrong(
        "real alone",
        lambda d, gray, real, fake: _bce(d(gray, real), 1.0) / 2,
        "the generated colors are missing: their label is 0",
    ),
)
_LOSS_HINTS = (
    "Each loss is a cross-entropy between the discriminator's scores and the label that the network it trains would "
    "like to see there. Which label is that, for real and for generated colors, in each of the two losses?",
    "`scores = discriminator(gray, generated.detach())` gives scores through which nothing flows back to the "
    "generator, and `torch.zeros_like(scores)` labels of their shape.",
    "loss_of_discriminator: two calls of the discriminator, two cross-entropies (labels 1 and 0), half of their sum. "
    "loss_of_generator: one call (label 1, nothing detached), plus lambda_l1 times the mean of |generated - real|.",
)

DISCRIMINATOR_LOSS = Exercise(
    id="06-gan-losses",
    title="The discriminator's loss",
    points=1,
    minutes=8,
    level=2,
    hints=_LOSS_HINTS,
    asks_for=(
        *_OFF,
        "labkit.training.gan.discriminator_loss",
        "labkit.training.gan.generator_loss",
        "labkit.training.gan.adversarial_loss",
    ),
    inputs=_batch,
    call=loss_and_gradients,
    judge=_loss_judge(
        loss_of_discriminator,
        "half of: cross-entropy of the real scores with 1, plus that of the generated ones (colors detached) with 0",
    ),
    reference=loss_of_discriminator,
    wrong=_DISCRIMINATOR_WRONG,
)


_GENERATOR_WRONG = (
    Wrong(
        "the label 0",
        lambda d, gray, real, fake, weight: _bce(d(gray, fake), 0.0) + weight * F.l1_loss(fake, real),
        "the generator wants its colors to be taken for real: in *its* loss their label is 1",
    ),
    Wrong(
        "the generator's loss as a minus",
        lambda d, gray, real, fake, weight: -_bce(d(gray, fake), 0.0) + weight * F.l1_loss(fake, real),
        "this is the loss as first proposed: its gradient fades once the discriminator is sure. Ask for the label 1",
    ),
    Wrong(
        "colors detached",
        lambda d, gray, real, fake, weight: loss_of_generator(d, gray, real, fake.detach(), weight),
        "no gradient reaches the generated colors, so the generator could not learn: detach them in the "
        "discriminator's loss only",
    ),
    Wrong(
        "scored without gradient",
        lambda d, gray, real, fake, weight: _bce(d(gray, fake.detach()), 1.0) + weight * F.l1_loss(fake, real),
        "no gradient of the discriminator's score reaches the colors: detach them in the discriminator's loss only",
    ),
    Wrong(
        "halved",
        lambda d, gray, real, fake, weight: _bce(d(gray, fake), 1.0) / 2 + weight * F.l1_loss(fake, real),
        "the half belongs to the discriminator's loss: here the cross-entropy counts once",
    ),
    Wrong(
        "squared distance",
        lambda d, gray, real, fake, weight: _bce(d(gray, fake), 1.0) + weight * F.mse_loss(fake, real),
        "the distance is L1, the mean of |generated - real|, not its square",
    ),
    Wrong(
        "summed distance",
        lambda d, gray, real, fake, weight: _bce(d(gray, fake), 1.0) + weight * (fake - real).abs().sum(),
        "the *mean* of |generated - real|: a sum grows with the batch and the image, and lambda_l1 with it",
    ),
    Wrong(
        "no distance",
        lambda d, gray, real, fake, weight: _bce(d(gray, fake), 1.0),
        "the second term is missing: lambda_l1 times the mean of |generated - real|",
    ),
    Wrong(
        "lambda forgotten",
        lambda d, gray, real, fake, weight: _bce(d(gray, fake), 1.0) + F.l1_loss(fake, real),
        "lambda_l1 is the weight of the L1 distance: multiply by it",
    ),
    Wrong(
        "sigmoid twice",
        lambda d, gray, real, fake, weight: _bce(d(gray, fake).sigmoid(), 1.0) + weight * F.l1_loss(fake, real),
        "the discriminator gives scores, not probabilities, and `..._with_logits` takes scores: no sigmoid before it",
    ),
)

GENERATOR_LOSS = Exercise(
    id="06-generator-loss",
    title="The generator's loss",
    points=1,
    minutes=4,
    level=2,
    asks_for=DISCRIMINATOR_LOSS.asks_for,
    inputs=lambda rng: _batch(rng) | {"lambda_l1": uniform(rng, 2, 9)},
    call=loss_and_gradients,
    judge=_loss_judge(
        loss_of_generator,
        "cross-entropy of the generated scores with 1, plus lambda_l1 times the mean of |generated - real|",
    ),
    reference=loss_of_generator,
    wrong=_GENERATOR_WRONG,
)


# One step of each network


def two_steps(answer: Callable[..., Any], inputs: Any) -> Any:
    """Take two steps on small networks whose weights are given; return the weights and the losses."""

    class Discriminator(torch.nn.Module):
        def __init__(self):  # type: ignore[no-untyped-def]
            super().__init__()
            self.first = torch.nn.Conv2d(3, 4, 4, stride=2)
            self.last = torch.nn.Conv2d(4, 1, 2)

        def forward(self, gray, color):  # type: ignore[no-untyped-def]
            return self.last(torch.tanh(self.first(torch.cat([gray, color], dim=1))))

    networks = {"generator": torch.nn.Conv2d(1, 2, 3, padding=1), "discriminator": Discriminator()}
    for name, network in networks.items():
        torch.nn.utils.vector_to_parameters(inputs[name], network.parameters())
    optimizers = [torch.optim.SGD(network.parameters(), lr=0.2) for network in networks.values()]
    losses, plain = [], True
    for gray, real in zip(inputs["gray"], inputs["real"], strict=True):
        returned = answer(*networks.values(), *optimizers, gray, real, inputs["lambda_l1"])
        if type(returned) not in (tuple, list) or len(returned) != 2:
            return returned
        plain = plain and not any(torch.is_tensor(loss) and loss.requires_grad for loss in returned)
        losses += [float(loss) for loss in returned]
    after = {
        f"the {name}'s weights": torch.nn.utils.parameters_to_vector(network.parameters())
        for name, network in networks.items()
    }
    return {**after, "the losses of two steps": losses, "plain numbers": plain}


def _networks(rng: torch.Generator) -> dict[str, Any]:
    return {
        "generator": uniform(rng, -0.6, 0.6, (20,)),
        "discriminator": uniform(rng, -0.5, 0.5, (213,)),
        "gray": uniform(rng, 0, 1, (2, 3, 1, 10, 10)),
        "real": uniform(rng, -0.5, 0.5, (2, 3, 2, 10, 10)),
        "lambda_l1": uniform(rng, 2, 5),
    }


_GRAPH = "return numbers, loss.item(): a loss that can be differentiated keeps its whole step in memory"


def _judge_step(inputs: Any, output: Any) -> Verdict:
    if type(output) is not dict:
        return Verdict(False, "return both losses", describe(output), "(loss_d, loss_g), two numbers", form=True)
    for name, expected in two_steps(gan_step, inputs).items():
        verdict = close(output.get(name), expected, atol=1e-5, rtol=2e-3)
        if not verdict.ok and name == "plain numbers":
            return Verdict(False, _GRAPH)
        if not verdict.ok:
            hint = "first the discriminator's step, then the generator's against the discriminator as it is now"
            return Verdict(False, hint, f"{name}: {verdict.given}", f"{name}: {verdict.expected}")
    return Verdict(True)


Networks = tuple[nn.Module, nn.Module, torch.optim.Optimizer, torch.optim.Optimizer]


def _step_with(
    *,
    zero_d: bool = True,
    zero_g: bool = True,
    move_d: bool = True,
    move_g: bool = True,
    again_d: bool = False,
    weight: float | None = None,
    exchanged: bool = False,
) -> Callable[..., tuple[float, float]]:
    """Return `gan_step` with a mistake: a zero_grad or a step left out, a second step of the discriminator, ..."""

    def step(g, d, optimizer_g, optimizer_d, gray, real, lambda_l1):  # type: ignore[no-untyped-def]
        fake = g(gray)
        pair = (fake.detach(), real) if exchanged else (real, fake)
        loss_d = loss_of_discriminator(d, gray, *pair)
        if zero_d:
            optimizer_d.zero_grad()
        loss_d.backward()
        if move_d:
            optimizer_d.step()
        loss_g = loss_of_generator(d, gray, real, fake, lambda_l1 if weight is None else weight)
        if zero_g:
            optimizer_g.zero_grad()
        loss_g.backward()
        if move_g:
            optimizer_g.step()
        if again_d:
            optimizer_d.step()
        return loss_d.item(), loss_g.item()

    return step


def _generator_first(g, d, optimizer_g, optimizer_d, gray, real, lambda_l1):  # type: ignore[no-untyped-def]
    fake = g(gray)
    loss_g = loss_of_generator(d, gray, real, fake, lambda_l1)
    optimizer_g.zero_grad()
    loss_g.backward()
    optimizer_g.step()
    loss_d = loss_of_discriminator(d, gray, real, fake)
    optimizer_d.zero_grad()
    loss_d.backward()
    optimizer_d.step()
    return loss_d.item(), loss_g.item()


def _both_losses_first(g, d, optimizer_g, optimizer_d, gray, real, lambda_l1):  # type: ignore[no-untyped-def]
    fake = g(gray)
    loss_d = loss_of_discriminator(d, gray, real, fake)
    loss_g = loss_of_generator(d, gray, real, fake, lambda_l1)
    optimizer_d.zero_grad()
    loss_d.backward()
    optimizer_d.step()
    optimizer_g.zero_grad()
    loss_g.backward()
    optimizer_g.step()
    return loss_d.item(), loss_g.item()


def _one_graph(g, d, optimizer_g, optimizer_d, gray, real, lambda_l1):  # type: ignore[no-untyped-def]
    fake = g(gray)
    loss_d = (_bce(d(gray, real), 1.0) + _bce(d(gray, fake), 0.0)) / 2
    optimizer_d.zero_grad()
    loss_d.backward()
    optimizer_d.step()
    loss_g = loss_of_generator(d, gray, real, fake, lambda_l1)
    optimizer_g.zero_grad()
    loss_g.backward()
    optimizer_g.step()
    return loss_d.item(), loss_g.item()


def _zero_after(g, d, optimizer_g, optimizer_d, gray, real, lambda_l1):  # type: ignore[no-untyped-def]
    fake = g(gray)
    loss_d = loss_of_discriminator(d, gray, real, fake)
    loss_d.backward()
    optimizer_d.step()
    optimizer_d.zero_grad()
    loss_g = loss_of_generator(d, gray, real, fake, lambda_l1)
    loss_g.backward()
    optimizer_g.step()
    optimizer_g.zero_grad()
    return loss_d.item(), loss_g.item()


def _optimizers_exchanged(g, d, optimizer_g, optimizer_d, gray, real, lambda_l1):  # type: ignore[no-untyped-def]
    return gan_step(g, d, optimizer_d, optimizer_g, gray, real, lambda_l1)


def _losses_exchanged(*arguments):  # type: ignore[no-untyped-def]
    return gan_step(*arguments)[::-1]


def _with_graph(g, d, optimizer_g, optimizer_d, gray, real, lambda_l1):  # type: ignore[no-untyped-def]
    loss_d, loss_g = gan_step(g, d, optimizer_g, optimizer_d, gray, real, lambda_l1)
    return torch.tensor(loss_d, requires_grad=True), torch.tensor(loss_g, requires_grad=True)


def _no_gradient(g, d, optimizer_g, optimizer_d, gray, real, lambda_l1):  # type: ignore[no-untyped-def]
    with torch.no_grad():
        fake = g(gray)
    loss_d = loss_of_discriminator(d, gray, real, fake)
    optimizer_d.zero_grad()
    loss_d.backward()
    optimizer_d.step()
    loss_g = loss_of_generator(d, gray, real, fake, lambda_l1)
    optimizer_g.zero_grad()
    loss_g.backward()
    optimizer_g.step()
    return loss_d.item(), loss_g.item()


_UNMOVED = (
    "the generator has not moved: is optimizer_g.step() missing, or were its colors made without gradient (no_grad)?"
)
_STEP_WRONG = (
    Wrong(
        "no zero_grad",
        _step_with(zero_d=False, zero_g=False),
        "zero_grad is missing: gradients of earlier steps are added to the new ones",
    ),
    Wrong(
        "no zero_grad of the discriminator",
        _step_with(zero_d=False),
        "optimizer_d.zero_grad() is missing: what the *generator's* loss left in the discriminator is added to its own",
    ),
    Wrong(
        "no zero_grad of the generator",
        _step_with(zero_g=False),
        "optimizer_g.zero_grad() is missing: the generator's gradients of earlier steps are added to the new ones",
    ),
    Wrong(
        "zero_grad too early",
        _zero_after,
        "zero_grad stands after the step: the generator's loss then leaves gradients in the discriminator, whose next "
        "step follows them as well. Call it right before backward",
    ),
    Wrong(
        "discriminator moved by the generator's loss",
        _step_with(again_d=True),
        "the generator's step changes the discriminator, too: after its loss only optimizer_g takes a step",
    ),
    Wrong(
        "generator first",
        _generator_first,
        "the discriminator's step comes first; the generator's loss is computed with the discriminator after its step",
    ),
    Wrong(
        "both losses first",
        _both_losses_first,
        "the discriminator's step changed weights that the generator's loss still needs: compute that loss after it",
    ),
    Wrong(
        "missing detach",
        _one_graph,
        "the discriminator's loss went back through the generator, which needs that graph again: detach is missing, or "
        "real and generated colors are exchanged",
    ),
    Wrong(
        "generated without gradient",
        _no_gradient,
        _UNMOVED,
    ),
    Wrong(
        "optimizers exchanged",
        _optimizers_exchanged,
        "the optimizers are exchanged: optimizer_d holds the discriminator's weights, optimizer_g the generator's",
    ),
    Wrong("discriminator stands", _step_with(move_d=False), "the discriminator has not moved: optimizer_d.step()"),
    Wrong("generator stands", _step_with(move_g=False), _UNMOVED),
    Wrong("no distance", _step_with(weight=0.0), "lambda_l1 does not reach the generator's loss"),
    Wrong("losses exchanged", _losses_exchanged, "the discriminator's loss comes first: return (loss_d, loss_g)"),
    Wrong("losses with their graph", _with_graph, _GRAPH),
)

GAN_STEP = Exercise(
    id="06-gan",
    title="One step of each network",
    points=2,
    minutes=10,
    level=4,
    hints=(
        "A step of a network is loss, zero_grad, backward, step, as in lab 01. Here two of them follow each other, and "
        "share one batch of generated colors.",
        "`generated = generator(gray)` once, at the top. The generator's loss is computed after optimizer_d.step().",
        "gan_step: generate; four lines for the discriminator; four lines for the generator; return two .item(). "
        "train_gan: two Adam, two LinearLR(optimizer, 1.0, 0.0, total_iters=steps), train(); for each epoch, for each "
        "batch of a new torch.randperm: encode, gan_step, both schedules one step; then eval().",
    ),
    asks_for=DISCRIMINATOR_LOSS.asks_for,
    inputs=_networks,
    call=two_steps,
    judge=_judge_step,
    reference=gan_step,
    wrong=_STEP_WRONG,
)


# The loop: what it does with its images, networks and rates

LEARNING_RATE = 0.01  # as `watched_loop` hands it over


def watched_loop(answer: Callable[..., Any], inputs: Any) -> Any:
    """Run the loop on networks and a representation that write down what happens to them."""
    from torch.optim.optimizer import register_optimizer_step_pre_hook

    log = {"batches": [], "training": [], "moved": []}  # type: ignore[var-annotated]

    class Generator(torch.nn.Module):
        def __init__(self):  # type: ignore[no-untyped-def]
            super().__init__()
            self.color = torch.nn.Parameter(torch.zeros(1, 2, 1, 1))

        def forward(self, gray):  # type: ignore[no-untyped-def]
            log["training"].append(self.training)
            return self.color.expand(len(gray), 2, *gray.shape[-2:]) + 0 * gray

    class Discriminator(torch.nn.Module):
        def __init__(self):  # type: ignore[no-untyped-def]
            super().__init__()
            self.weight = torch.nn.Parameter(torch.tensor([0.1, 0.2, -0.1]))

        def forward(self, gray, color):  # type: ignore[no-untyped-def]
            log["training"].append(self.training)
            return (torch.cat([gray, color], dim=1) * self.weight[:, None, None]).sum(dim=1, keepdim=True)

    networks = [Generator().eval(), Discriminator().eval()]
    rates: list[dict[int, float]] = [{}, {}]  # of the generator and of the discriminator: batch -> learning rate
    betas = set[tuple[float, ...]]()

    def note(optimizer, arguments, named):  # type: ignore[no-untyped-def]
        for group in optimizer.param_groups:
            betas.add(tuple(group.get("betas", ())))
            owner = int(any(p is networks[1].weight for p in group["params"]))
            rates[owner][len(log["batches"])] = float(group["lr"])

    class Representation:
        def encode(self, images, stride=1):  # type: ignore[no-untyped-def]
            log["batches"].append([int(image[0, 0, 0]) for image in images])
            flat = [torch.nn.utils.parameters_to_vector(n.parameters()).detach().clone() for n in networks]
            log["moved"].append(flat)
            return images[:, :1] / 255, images[:, 1:] / 255

    def run(seed, weight=1.0):  # type: ignore[no-untyped-def]
        log["batches"].clear()
        sizes = inputs["epochs"], inputs["batch_size"]
        return answer(*networks, Representation(), inputs["images"], *sizes, 0.01, weight, seed=seed)

    with register_optimizer_step_pre_hook(note):
        losses = run(inputs["seed"])
    first, moved = list(log["batches"]), [torch.stack(list(flat)) for flat in zip(*log["moved"], strict=True)]
    modes = list(log["training"])
    heavier = run(inputs["seed"], weight=1000.0)
    again = list(log["batches"])
    run(inputs["seed"] + 1)
    pairs = isinstance(heavier, (list, tuple)) and heavier and isinstance(heavier[0], (list, tuple))
    return {
        "lambda arrives": not pairs or max(map(float, heavier[0])) > 10,  # 1000 times a distance of .15 and more
        "images": [image for batch in first for image in batch],
        "sizes": [len(batch) for batch in first],
        "same seed": first == again,
        "other seed": first == log["batches"],
        "in training mode": all(modes),
        "in training mode afterwards": any(network.training for network in networks),
        "losses": [len(one) if isinstance(one, (list, tuple)) else 1 for one in losses]
        if isinstance(losses, (list, tuple))
        else [],
        "betas": [list(pair) for pair in betas],
        "rates of the generator": list(rates[0].values()),
        "rates of the discriminator": list(rates[1].values()),
        "steps of the generator": (moved[0][1:] - moved[0][:-1]).abs().amax(dim=1),
        "steps of the discriminator": (moved[1][1:] - moved[1][:-1]).abs().amax(dim=1),
    }


def _album(rng: torch.Generator) -> dict[str, Any]:
    count, size = whole(rng, 11, 14), whole(rng, 3, 5)
    images = (uniform(rng, 0.2, 1, (count, 3, 4, 4)) * 200).to(torch.uint8)
    images[:, 0] = torch.arange(count, dtype=torch.uint8)[:, None, None]
    return {"images": images, "epochs": 4, "batch_size": size, "seed": whole(rng, 0, 99)}


_REPLACED = "an image comes twice in an epoch and another one not at all: draw without replacement, torch.randperm"
_DROPPED = "images are left out: the last batch of an epoch may be smaller, but it counts"
_SAME_ORDER = "every epoch has the same order: draw a new torch.randperm in each"
_UNSEEDED = "the same seed gives another order: torch.manual_seed(seed) at the top"
_SEED_IGNORED = "two seeds give the same order: use `seed`"
_NOT_TRAINING = "the networks came in evaluation mode and were trained in it: call .train() of both before the loop"
_NOT_EVAL = "the networks are left in training mode: call .eval() of both at the end, or batch norm keeps changing"
_LAMBDA = "lambda_l1 does not reach the loss of the generator: hand it on to gan_step"
_STANDS = "does not move: does its optimizer hold its own parameters?"
_RATE = (
    "the learning rate should fall to 0 over all *steps*: LinearLR with total_iters=steps, one step after each batch"
)
_FIRST_RATE = "the first step is taken with `learning_rate`: hand it to both optimizers"
_BETAS = "both optimizers are Adam with betas=(0.5, 0.999): the default .9 remembers gradients of an earlier opponent"
_LOSSES = "return a list with the two losses of every step"


def _judge_loop(inputs: Any, output: Any) -> Verdict:
    count, epochs, size = len(inputs["images"]), inputs["epochs"], inputs["batch_size"]
    if type(output) is not dict:
        return Verdict(False, "", describe(output))
    seen, sizes = list(output["images"]), list(output["sizes"])
    orders = [seen[n : n + count] for n in range(0, len(seen), count)]
    if sum(sizes) < epochs * count:
        return Verdict(False, _DROPPED, f"{sum(sizes)} images", f"{epochs} epochs of {count} images")
    if sum(sizes) > epochs * count or max(sizes) > size:
        return Verdict(False, "", f"batches of {max(sizes)}, {sum(sizes)} images", f"of {size}, {epochs} x {count}")
    if any(sorted(order) != list(range(count)) for order in orders):
        return Verdict(False, _REPLACED, "an image twice", "each image once an epoch")
    if all(order == orders[0] for order in orders):
        return Verdict(False, _SAME_ORDER, "the same order in every epoch", "another one in each")
    for wrong, hint in (
        (not output["same seed"], _UNSEEDED),
        (output["other seed"], _SEED_IGNORED),
        (not output["in training mode"], _NOT_TRAINING),
        (output["in training mode afterwards"], _NOT_EVAL),
        (not output["lambda arrives"], _LAMBDA),
    ):
        if wrong:
            return Verdict(False, hint)
    for name in ("generator", "discriminator"):
        steps = output[f"steps of the {name}"]
        if float(steps.max()) < 1e-4:
            return Verdict(False, f"the {name} {_STANDS}", "no step", "steps of about the learning rate, .01")
    if output["betas"] != [list(BETAS)]:
        return Verdict(False, _BETAS, f"betas {output['betas']}", f"{list(BETAS)} of both")
    wanted = LEARNING_RATE * (1 - torch.arange(len(sizes)) / len(sizes))
    for name in ("generator", "discriminator"):
        rates = output[f"rates of the {name}"]
        shown = f"the {name}'s: {describe(rates[:1])} in the first step, {describe(rates[-1:])} in the last"
        if not close(rates[:1], wanted[:1], rtol=0.1).ok:
            return Verdict(False, _FIRST_RATE, shown, f"{LEARNING_RATE} in the first step")
        if not close(rates, wanted, atol=LEARNING_RATE / 10).ok:
            return Verdict(False, _RATE, shown, "near 0 in the last step")
    if output["losses"] != [2] * len(sizes):
        return Verdict(False, _LOSSES, f"{len(output['losses'])} entries", f"{len(sizes)} pairs")
    return Verdict(True)


def _loop_with(
    *,
    order: str = "shuffled",
    seeded: str = "seed",
    train: bool = True,
    leave: bool = False,
    schedule: str = "steps",
    own: bool = True,
    betas: tuple[float, float] = BETAS,
    rate: float | None = None,
    step: Callable[..., Any] = gan_step,
    every: int = 1,
) -> Callable[..., Any]:
    """Return `train_gan` with a mistake."""

    def loop(g, d, representation, images, epochs, batch_size, learning_rate, lambda_l1, seed=0):  # type: ignore[no-untyped-def]
        if seeded != "not":
            torch.manual_seed(seed if seeded == "seed" else 0)
        count, losses = len(images), []
        steps = epochs * -(-count // batch_size)
        first = learning_rate if rate is None else rate
        optimizers = [torch.optim.Adam(n.parameters(), first, betas) for n in ((g, d) if own else (d, d))]
        schedules = [torch.optim.lr_scheduler.LinearLR(o, 1.0, 0.0, total_iters=steps) for o in optimizers]
        fixed = torch.randperm(count)
        for network in (g, d):
            network.train(train)
        for _ in range(epochs):
            fresh = torch.randint(count, (count,)) if order == "replaced" else torch.randperm(count)
            indices = fixed if order == "fixed" else torch.arange(count) if order == "none" else fresh
            for batch in indices[: count - count % batch_size if order == "dropped" else count].split(batch_size):
                gray, real = representation.encode(images[batch])
                losses.append(step(g, d, *optimizers, gray, real, lambda_l1))
                for one in schedules if schedule == "steps" else ():
                    one.step()
            for one in schedules if schedule == "epochs" else ():
                one.step()
        if not leave:
            g.eval()
            d.eval()
        return losses[::every]

    return loop


def _lambda_forgotten(g, d, optimizer_g, optimizer_d, gray, real, lambda_l1):  # type: ignore[no-untyped-def]
    return gan_step(g, d, optimizer_g, optimizer_d, gray, real, 1.0)


_LOOP_WRONG = (
    Wrong("drawn with replacement", _loop_with(order="replaced"), _REPLACED),
    Wrong("last batch dropped", _loop_with(order="dropped"), _DROPPED),
    Wrong("one order for all epochs", _loop_with(order="fixed"), _SAME_ORDER),
    Wrong("no order", _loop_with(order="none"), _SAME_ORDER),
    Wrong("not seeded", _loop_with(seeded="not"), _UNSEEDED),
    Wrong("seed ignored", _loop_with(seeded="zero"), _SEED_IGNORED),
    Wrong("evaluation mode", _loop_with(train=False), _NOT_TRAINING),
    Wrong("left in training mode", _loop_with(leave=True), _NOT_EVAL),
    Wrong("lambda forgotten", _loop_with(step=_lambda_forgotten), _LAMBDA),
    Wrong("constant rate", _loop_with(schedule="none"), _RATE),
    Wrong("rate falls once an epoch", _loop_with(schedule="epochs"), _RATE),
    Wrong("both optimizers hold the discriminator", _loop_with(own=False), f"the generator {_STANDS}"),
    Wrong("Adam's own betas", _loop_with(betas=(0.9, 0.999)), _BETAS),
    Wrong("betas exchanged", _loop_with(betas=(0.999, 0.5)), _BETAS),
    Wrong("another rate", _loop_with(rate=2e-4), _FIRST_RATE),
    Wrong("too few losses", _loop_with(every=2), _LOSSES),
    Wrong("one loss a step", _loop_with(step=lambda *arguments: gan_step(*arguments)[0]), _LOSSES),
)

GAN_LOOP = Exercise(
    id="06-gan-loop",
    title="The loop around the step",
    points=2,
    minutes=12,
    level=4,
    asks_for=DISCRIMINATOR_LOSS.asks_for,
    inputs=_album,
    call=watched_loop,
    judge=_judge_loop,
    reference=train_gan,
    wrong=_LOOP_WRONG,
)


# Does it learn the colors? A world of two colors, with odds that are known


def two_colors(answer: Callable[..., Any], inputs: Any) -> Any:
    """Train a small generator with a coin on flat images of two colors, three times; return what each generates."""

    class Generator(torch.nn.Module):
        def __init__(self):  # type: ignore[no-untyped-def]
            super().__init__()
            self.layers = torch.nn.Sequential(
                torch.nn.Conv2d(2, 32, 1),
                torch.nn.ReLU(),
                torch.nn.Conv2d(32, 32, 1),
                torch.nn.ReLU(),
                torch.nn.Conv2d(32, 2, 1),
            )

        def forward(self, gray):  # type: ignore[no-untyped-def]
            z = torch.randn(len(gray), 1, 1, 1).sign().expand(-1, -1, *gray.shape[-2:])  # a coin
            return self.layers(torch.cat([gray, z], dim=1))

    class Discriminator(torch.nn.Module):
        def __init__(self):  # type: ignore[no-untyped-def]
            super().__init__()
            self.layers = torch.nn.Sequential(
                torch.nn.Conv2d(3, 32, 1),
                torch.nn.LeakyReLU(0.2),
                torch.nn.Conv2d(32, 32, 1),
                torch.nn.LeakyReLU(0.2),
                torch.nn.Conv2d(32, 1, 1),
            )

        def forward(self, gray, color):  # type: ignore[no-untyped-def]
            return self.layers(torch.cat([gray, color], dim=1))

    class Representation:
        def encode(self, images, stride=1):  # type: ignore[no-untyped-def]
            return images[:, :1] / 255, images[:, 1:] / 127.5 - 1

    generated = []
    for seed in range(inputs["seed"], inputs["seed"] + 3):
        torch.manual_seed(seed)
        generator, discriminator = Generator(), Discriminator()
        answer(generator, discriminator, Representation(), inputs["images"], 80, 16, 0.005, 0.3, seed=seed)
        with torch.no_grad():
            generated.append(generator(inputs["gray"]).mean(dim=(2, 3)))
    return torch.stack(generated)


def _two_color_world(rng: torch.Generator) -> dict[str, Any]:
    first = uniform(rng, -0.6, -0.3, (2,))
    colors = torch.stack([first, -first])
    odds = uniform(rng, 0.4, 0.6)
    which = (torch.arange(64) >= round(64 * odds)).long()
    gray = uniform(rng, 0.3, 0.7, (64, 1, 1, 1))
    images = torch.cat([gray * 255, (colors[which][:, :, None, None] + 1) * 127.5], dim=1).round().expand(-1, -1, 2, 2)
    fresh = uniform(rng, 0.3, 0.7, (256, 1, 1, 1)).expand(-1, -1, 2, 2)
    return {
        "images": images.to(torch.uint8).contiguous(),
        "gray": fresh.contiguous(),
        "seed": whole(rng, 0, 10**6),
        "colors": colors,
    }


NEAR, BOTH = 0.8, 0.25  # fractions of generated colors: near a true one at least, of each true one at least
_COMMITS = (
    "most generated colors are near none of the true ones: is the generator moved, by a loss with the right labels?"
)
_ONE = "nearly all generated colors are the same: what of the adversary reaches the generator?"


def near_and_rarer(inputs: Any, output: Any) -> tuple[float, float]:
    """Return the fraction of generated colors near a true color, and how often the rarer of the two is the nearest."""
    colors = inputs["colors"]
    away = torch.cdist(output, colors)
    near = away.min(dim=1).values < 0.3 * (colors[0] - colors[1]).norm()
    first = float((away.argmin(dim=1) == 0).float().mean())
    return float(near.float().mean()), min(first, 1 - first)


def _judge_colors(inputs: Any, output: Any) -> Verdict:
    """Judge the best of three trainings: a single one can miss a color by bad luck."""
    shape = (3, len(inputs["gray"]), 2)
    if type(output) is not Tensor or output.shape != shape:
        return Verdict(False, "", describe(output), f"shape {shape}", form=True)
    tries = [near_and_rarer(inputs, one) for one in output.float()]
    if any(near >= NEAR and rarer >= BOTH for near, rarer in tries):
        return Verdict(True)
    near, rarer = sorted(tries)[1]  # the middle one: a color can be met by chance
    if not near >= NEAR:
        return Verdict(False, _COMMITS, f"{near:.0%} near a true color", f"at least {NEAR:.0%}")
    return Verdict(False, _ONE, f"the rarer color in {rarer:.0%}", f"in at least {BOTH:.0%}")


GAN_COLORS = Exercise(
    id="06-gan-colors",
    title="The GAN learns two colors",
    points=1,
    minutes=3,
    level=4,
    draws=1,
    asks_for=DISCRIMINATOR_LOSS.asks_for,
    inputs=_two_color_world,
    call=two_colors,
    judge=_judge_colors,
    reference=train_gan,
    wrong=(
        Wrong("the generator stands", _loop_with(step=_step_with(move_g=False)), _COMMITS),
        Wrong("labels swapped", _loop_with(step=_step_with(exchanged=True)), _COMMITS),
        Wrong("no adversary", _loop_with(step=_step_with(weight=1e6)), _ONE),
    ),
)


# A generator with noise: NoisyGenerator(network, noise)(gray)


def two_calls(answer: Callable[..., Any], inputs: Any) -> Any:
    """Call the generator twice in each mode, on a network that writes down what it is given."""
    seen = []

    class Network(torch.nn.Module):
        def __init__(self):  # type: ignore[no-untyped-def]
            super().__init__()
            self.scale = torch.nn.Parameter(torch.tensor(inputs["scale"]))

        def forward(self, x):  # type: ignore[no-untyped-def]
            seen.append(x.detach().clone())
            return self.scale * x[:, :2]

    torch.manual_seed(inputs["seed"])
    network = Network()
    generator = answer(network, inputs["noise"])
    is_module = isinstance(generator, torch.nn.Module)
    generated = []
    for training in (True, True, False, False):
        if is_module:
            generator.train(training)
        generated.append(generator(inputs["gray"]))
    registered = is_module and any(p is network.scale for p in generator.parameters())
    learns = all(torch.is_tensor(colors) and colors.requires_grad for colors in generated)
    return {"given to the network": seen, "generated": generated, "registered": registered, "learns": learns}


_CHANNELS = "the network is given the gray image and `noise` planes, gray first: torch.cat([gray, planes], dim=1)"
_GRAY = "the first channel must be the gray image as it is: noise stands beside it, not in it"
_PLANE = "one random number for the whole plane of an image: draw (N, noise, 1, 1), then expand it"
_SAME_NOISE = "all images of the batch have the same noise: draw numbers for each of the N images"
_SAME_PLANES = "the planes of an image are all the same: draw `noise` numbers an image"
_BOTH_MODES = "draw fresh noise in evaluation mode, too: in every call, whatever self.training says"
_FROZEN = "two calls give the same noise: draw it in forward, not in __init__, and seed nothing there"
_NORMAL = "draw from the standard normal distribution: torch.randn"
_UNREGISTERED = "keep the network as `self.network` (after super().__init__()), so that the optimizer finds its weights"
_NO_GRADIENT = "no gradient comes back from what is returned, so the network could not learn: no torch.no_grad() here"
_OUTPUT = "return what the network predicts, unchanged"


def _judge_noise(inputs: Any, output: Any) -> Verdict:
    if type(output) is not dict:
        return Verdict(False, "", describe(output))
    gray, noise = inputs["gray"], inputs["noise"]
    shape = (len(gray), 1 + noise, *gray.shape[-2:])
    shapes = [tuple(x.shape) for x in output["given to the network"] if type(x) is Tensor]
    if shapes[:2] != [shape] * 2:
        given = f"shape {shapes[0]}" if shapes else "the network was not called"
        return Verdict(False, _CHANNELS, given, f"shape {shape}", form=True)
    if shapes != [shape] * 4:
        return Verdict(False, _BOTH_MODES, f"shapes {shapes[2:]} in evaluation mode", f"shape {shape}", form=True)
    seen = torch.stack(output["given to the network"])  # (4, N, 1 + noise, H, W): twice in each mode
    if not torch.allclose(seen[0][:, :1], gray):
        return Verdict(False, _GRAY)
    planes = seen[:, :, 1:].double()
    if float((planes - planes[..., :1, :1]).abs().max()) > 1e-6:
        return Verdict(False, _PLANE)
    z = planes[..., 0, 0]  # (4, N, noise)
    for wrong, hint in (
        (torch.allclose(z[:2, :1].expand_as(z[:2]), z[:2]), _SAME_NOISE),
        (torch.allclose(z[:2, :, :1].expand_as(z[:2]), z[:2]), _SAME_PLANES),
        (torch.allclose(z[0], z[1]), _FROZEN),
        (torch.allclose(z[2], z[3]), _BOTH_MODES),
        (any(not 0.8 < float(one.std()) < 1.2 or abs(float(one.mean())) > 0.2 for one in z.split(2)), _NORMAL),
        (output["registered"] is not True, _UNREGISTERED),
        (output["learns"] is not True, _NO_GRADIENT),
        (not close(output["generated"], inputs["scale"] * seen[:, :, :2]).ok, _OUTPUT),
    ):
        if wrong:
            return Verdict(False, hint)
    return Verdict(True)


def _noisy(planes: Callable[[Tensor, int], Tensor], *, keep: bool = True) -> type[nn.Module]:
    """Return a generator that makes its input of gray and the number of planes in another way."""

    class Generator(nn.Module):
        def __init__(self, network: nn.Module, noise: int) -> None:
            super().__init__()
            self.held: Any = network if keep else [network]
            self.noise = noise

        def forward(self, gray: Tensor) -> Tensor:
            network = self.held if keep else self.held[0]
            return network(planes(gray, self.noise))

    return Generator


class _NoNoiseInEvaluation(NoisyGenerator):
    def forward(self, gray: Tensor) -> Tensor:
        planes = torch.zeros(len(gray), self.noise, *gray.shape[-2:])
        return super().forward(gray) if self.training else self.network(torch.cat([gray, planes], dim=1))


class _FixedInEvaluation(NoisyGenerator):
    def forward(self, gray: Tensor) -> Tensor:
        if not self.training:
            torch.manual_seed(0)
        return super().forward(gray)


class _GrayAloneInEvaluation(NoisyGenerator):
    def forward(self, gray: Tensor) -> Tensor:
        return super().forward(gray) if self.training else self.network(gray)


class _DrawnOnce(NoisyGenerator):
    def forward(self, gray: Tensor) -> Tensor:
        torch.manual_seed(0)
        return super().forward(gray)


class _WithoutGradient(NoisyGenerator):
    def forward(self, gray: Tensor) -> Tensor:
        with torch.no_grad():
            return super().forward(gray)


class _NotReturned(NoisyGenerator):
    def forward(self, gray: Tensor) -> Tensor:
        return torch.tanh(super().forward(gray))


def _with(gray: Tensor, z: Tensor) -> Tensor:
    return torch.cat([gray, z.expand(len(gray), -1, *gray.shape[-2:])], dim=1)


_NOISE_WRONG = (
    Wrong(
        "not spread",
        _noisy(lambda gray, noise: torch.cat([gray, torch.randn(len(gray), noise, 1, 1)], dim=1)),
        "each number has to fill a plane of the image's size before torch.cat: .expand(-1, -1, H, W)",
    ),
    Wrong(
        "the same noise for all images",
        _noisy(lambda gray, noise: _with(gray, torch.randn(1, noise, 1, 1))),
        _SAME_NOISE,
    ),
    Wrong(
        "one number an image",
        _noisy(lambda gray, noise: _with(gray, torch.randn(len(gray), 1, 1, 1).expand(-1, noise, 1, 1))),
        _SAME_PLANES,
    ),
    Wrong(
        "noise in every pixel",
        _noisy(lambda gray, noise: _with(gray, torch.randn(len(gray), noise, *gray.shape[-2:]))),
        _PLANE,
    ),
    Wrong("uniform", _noisy(lambda gray, noise: _with(gray, torch.rand(len(gray), noise, 1, 1))), _NORMAL),
    Wrong(
        "added to gray",
        _noisy(lambda gray, noise: _with(gray + torch.randn(len(gray), 1, 1, 1), torch.randn(len(gray), noise, 1, 1))),
        _GRAY,
    ),
    Wrong("no gray", _noisy(lambda gray, noise: _with(gray, torch.randn(len(gray), noise, 1, 1))[:, 1:]), _CHANNELS),
    Wrong("drawn once", _DrawnOnce, _FROZEN),
    Wrong("no noise in evaluation mode", _NoNoiseInEvaluation, _BOTH_MODES),
    Wrong("the same noise in evaluation mode", _FixedInEvaluation, _BOTH_MODES),
    Wrong("gray alone in evaluation mode", _GrayAloneInEvaluation, _BOTH_MODES),
    Wrong(
        "network not registered",
        _noisy(lambda gray, noise: _with(gray, torch.randn(len(gray), noise, 1, 1)), keep=False),
        _UNREGISTERED,
    ),
    Wrong("without gradient", _WithoutGradient, _NO_GRADIENT),
    Wrong("prediction changed", _NotReturned, _OUTPUT),
)

NOISE = Exercise(
    id="06-noise",
    title="A generator with noise",
    points=2,
    minutes=10,
    level=2,
    hints=(
        "A network is a function. To give two answers for one image it needs a second input that differs.",
        "`torch.randn(len(gray), self.noise, 1, 1)` has `noise` numbers for each image; `.expand(-1, -1, H, W)` "
        "spreads each over a plane.",
        "__init__: super().__init__(), keep the network and the number. forward: draw, spread, join with gray along "
        "the channels, call the network.",
    ),
    asks_for=DISCRIMINATOR_LOSS.asks_for,
    inputs=lambda rng: {
        "gray": uniform(rng, 0, 1, (64, 1, 4, 5)),
        "noise": whole(rng, 3, 5),
        "scale": uniform(rng, 0.5, 2),
        "seed": whole(rng, 0, 10**6),
    },
    call=two_calls,
    judge=_judge_noise,
    reference=NoisyGenerator,
    wrong=_NOISE_WRONG,
)

EXERCISES = (DISCRIMINATOR_LOSS, GENERATOR_LOSS, GAN_STEP, GAN_LOOP, GAN_COLORS, NOISE)
