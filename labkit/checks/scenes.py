"""Scenes for checks that train: those that a student's network learns from, and those that it is scored on.

The true colors of the second must not be found by what is trained. So their seed is `held back`: the judge draws them
again, and the kernel that runs the answer gets their gray images alone.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from labkit.checks.framework import whole
from labkit.data import toyworld
from labkit.notebook.answer import HELD_BACK

SEEDS = 2**31 - 1  # too many to be tried one by one


def training_scenes(rng: torch.Generator, count: int) -> toyworld.ToyWorld:
    """Draw scenes to learn from."""
    return toyworld.generate(count, seed=whole(rng, 0, SEEDS))


def held_back_seed(rng: torch.Generator) -> dict[str, int]:
    """Draw the seed of the scenes to be scored on, as an input that no answer gets."""
    return {HELD_BACK: whole(rng, 0, SEEDS)}


def held_back_scenes(inputs: Mapping[str, Any], count: int) -> toyworld.ToyWorld:
    """Return the scenes to be scored on; the same inputs give the same scenes."""
    return toyworld.generate(count, seed=inputs[HELD_BACK], split="validation")


def halved(world: toyworld.ToyWorld) -> Tensor:
    """Return scenes at half size, float in [0, 1], ``(N, 3, 16, 16)``: a network learns them in seconds."""
    return F.avg_pool2d(world.images / 255, 2)


def train_on_scenes(answer: Any, inputs: Any) -> Any:
    """Train the module that ``answer`` makes on the gray images and targets sent; predict for the new gray images."""
    torch.manual_seed(inputs["seed"])
    network = answer(*inputs["arguments"], **inputs["options"]).train()
    steps, gray, target = inputs["steps"], inputs["gray"], inputs["target"]
    optimizer = torch.optim.AdamW(network.parameters(), lr=inputs["rate"])
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, inputs["rate"], total_steps=steps)
    for _ in range(steps):
        rows = torch.randperm(len(gray))[:8]
        loss = (network(gray[rows]) - target[rows]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        return network.eval()(inputs["new gray"])
