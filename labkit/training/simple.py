"""The smallest training loop that trains well, to be read in one go: the one that students write in lab 01.

`labkit.training.fit` learns in the same way and does all that surrounds it: checkpoints, progress, devices, validation.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from labkit.representation import Representation


def training_step(
    network: nn.Module, representation: Representation, images: Tensor, optimizer: torch.optim.Optimizer
) -> float:
    """Change a network's weights once, so that it predicts one batch better.

    Args:
        network: what to train; it predicts at the resolution of the images.
        representation: encodes the images, and defines the loss.
        images: uint8 ``(B, 3, H, W)``.
        optimizer: of the network's parameters.

    Returns: the loss before the step.
    """
    gray, target = representation.encode(images)
    loss = representation.loss(network(gray), target)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


def train(
    network: nn.Module,
    representation: Representation,
    images: Tensor,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    seed: int = 0,
) -> list[float]:
    """Train a network in place with AdamW and a one-cycle learning rate.

    Args:
        network: what to train; afterwards it is in evaluation mode.
        representation: encodes the images, and defines the loss.
        images: uint8 ``(N, 3, H, W)``, on the network's device.
        epochs: how many times each image is seen.
        batch_size: images in a step; the last batch of an epoch may be smaller.
        learning_rate: the highest of the cycle.
        seed: of the order of the images.

    Returns: the loss of each step.
    """
    order = torch.Generator().manual_seed(seed)
    steps = epochs * -(-len(images) // batch_size)
    optimizer = torch.optim.AdamW(network.parameters(), lr=learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=learning_rate, total_steps=steps)
    losses = []
    network.train()
    for _ in range(epochs):
        for batch in torch.randperm(len(images), generator=order).split(batch_size):
            losses.append(training_step(network, representation, images[batch], optimizer))
            schedule.step()
    network.eval()
    return losses
