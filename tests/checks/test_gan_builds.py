"""The builds of lab 06 beyond what every exercise is tested for: floors over seeds, other right solutions."""

import math
from typing import Any

import pytest
import torch

from labkit.checks import RIGHT, WRONG, evaluate, find_exercise
from labkit.checks import gans as checks
from labkit.training.simple_gan import loss_of_discriminator, loss_of_generator


@pytest.mark.slow
def test_a_right_gan_passes_for_every_seed() -> None:
    exercise = find_exercise("06-gan-colors")
    for seed in (202767, *range(40)):  # the first failed when one training decided
        assert evaluate(exercise, exercise.reference, seed=seed, switch_off=False).status == RIGHT, seed


def other_step(g: Any, d: Any, optimizer_g: Any, optimizer_d: Any, gray: Any, real: Any, weight: float) -> Any:
    """Generates twice, freezes the discriminator, clears gradients at the top: as right as ours."""
    optimizer_d.zero_grad()
    with torch.no_grad():
        first = g(gray)
    loss_d = loss_of_discriminator(d, gray, real, first)
    loss_d.backward()
    optimizer_d.step()
    d.requires_grad_(False)
    loss_g = loss_of_generator(d, gray, real, g(gray), weight)
    g.zero_grad()
    loss_g.backward()
    optimizer_g.step()
    d.requires_grad_(True)
    return [loss_d.detach(), loss_g.detach()]


def other_loop(
    g: Any, d: Any, space: Any, images: Any, epochs: int, batch_size: int, rate: float, weight: float, seed: int = 0
) -> Any:
    """Shuffles with a generator of its own and sets the rate by hand."""
    order = torch.Generator().manual_seed(seed)
    g.train(), d.train()
    optimizers = [torch.optim.Adam(n.parameters(), rate, betas=(0.5, 0.999)) for n in (g, d)]
    steps, losses = epochs * math.ceil(len(images) / batch_size), []
    for _ in range(epochs):
        indices = torch.randperm(len(images), generator=order)
        for start in range(0, len(indices), batch_size):
            for optimizer in optimizers:
                optimizer.param_groups[0]["lr"] = rate * (1 - len(losses) / steps)
            losses.append(
                other_step(g, d, *optimizers, *space.encode(images[indices[start : start + batch_size]]), weight)
            )
    g.eval(), d.eval()
    return losses


@pytest.mark.parametrize(
    ("exercise", "answer"),
    [
        ("06-gan", other_step),
        ("06-gan-loop", other_loop),
        pytest.param("06-gan-colors", other_loop, marks=pytest.mark.slow),
    ],
)
def test_another_right_solution_passes(exercise: str, answer: Any) -> None:
    result = evaluate(find_exercise(exercise), answer, seed=1, switch_off=False)
    assert result.status == RIGHT, result.message


def test_a_loop_that_returns_nothing_or_has_no_images_is_told_so() -> None:
    result = evaluate(checks.GAN_LOOP, lambda *a, **k: None, seed=1)
    assert result.status == WRONG and "images" in result.message
