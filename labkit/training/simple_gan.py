"""The smallest conditional GAN that trains well, to be read in one go: the one that students write in lab 06.

`labkit.training.fit_gan` learns in the same way and does all that surrounds it: checkpoints, progress, devices,
warnings of collapse.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from labkit.representation import Representation

BETAS = (0.5, 0.999)  # of Adam, as in DCGAN and pix2pix: a short memory, for the opponent changes all the time


def loss_of_discriminator(discriminator: nn.Module, gray: Tensor, real: Tensor, generated: Tensor) -> Tensor:
    """Return half of: the cross-entropy of real colors with the label 1, plus that of generated ones with 0.

    Args:
        discriminator: called with gray and color, returns logits.
        gray: ``(N, 1, H, W)``.
        real: color ``(N, C, H, W)``.
        generated: color of the same shape; no gradient reaches it.
    """
    on_real = discriminator(gray, real)
    on_generated = discriminator(gray, generated.detach())
    right = F.binary_cross_entropy_with_logits(on_real, torch.ones_like(on_real))
    right = right + F.binary_cross_entropy_with_logits(on_generated, torch.zeros_like(on_generated))
    return right / 2


def loss_of_generator(
    discriminator: nn.Module, gray: Tensor, real: Tensor, generated: Tensor, lambda_l1: float
) -> Tensor:
    """Return the cross-entropy of generated colors with the label 1, plus lambda_l1 times their L1 distance from real.

    Args:
        discriminator: called with gray and color, returns logits.
        gray: ``(N, 1, H, W)``.
        real: color ``(N, C, H, W)``.
        generated: color of the same shape.
        lambda_l1: weight of L1.
    """
    scores = discriminator(gray, generated)
    adversarial = F.binary_cross_entropy_with_logits(scores, torch.ones_like(scores))
    return adversarial + lambda_l1 * F.l1_loss(generated, real)


def gan_step(
    generator: nn.Module,
    discriminator: nn.Module,
    optimizer_g: torch.optim.Optimizer,
    optimizer_d: torch.optim.Optimizer,
    gray: Tensor,
    real: Tensor,
    lambda_l1: float,
) -> tuple[float, float]:
    """Change the discriminator once, then the generator once, on one batch.

    Args:
        generator: called with gray, returns color.
        discriminator: called with gray and color, returns logits.
        optimizer_g: of the generator's parameters.
        optimizer_d: of the discriminator's.
        gray: ``(N, 1, H, W)``.
        real: color ``(N, C, H, W)``.
        lambda_l1: weight of L1 in the generator's loss.

    Returns: the discriminator's loss and the generator's, each before its step.
    """
    generated = generator(gray)
    loss_d = loss_of_discriminator(discriminator, gray, real, generated)
    optimizer_d.zero_grad()
    loss_d.backward()
    optimizer_d.step()
    loss_g = loss_of_generator(discriminator, gray, real, generated, lambda_l1)
    optimizer_g.zero_grad()
    loss_g.backward()
    optimizer_g.step()
    return loss_d.item(), loss_g.item()


def train_gan(
    generator: nn.Module,
    discriminator: nn.Module,
    representation: Representation,
    images: Tensor,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    lambda_l1: float,
    seed: int = 0,
) -> list[tuple[float, float]]:
    """Train both networks in place with Adam; the learning rate falls linearly to 0.

    Args:
        generator: called with gray, returns color; afterwards in evaluation mode.
        discriminator: called with gray and color, returns logits; afterwards in evaluation mode.
        representation: encodes the images as gray and color.
        images: uint8 ``(N, 3, H, W)``, on the networks' device.
        epochs: how many times each image is seen.
        batch_size: images in a step; the last batch of an epoch may be smaller.
        learning_rate: of both networks in the first step.
        lambda_l1: weight of L1 in the generator's loss.
        seed: of the order of the images and of the generator's noise.

    Returns: the discriminator's loss and the generator's of each step.
    """
    torch.manual_seed(seed)
    steps = epochs * -(-len(images) // batch_size)
    optimizer_g = torch.optim.Adam(generator.parameters(), learning_rate, BETAS)
    optimizer_d = torch.optim.Adam(discriminator.parameters(), learning_rate, BETAS)
    schedules = [
        torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=steps)
        for optimizer in (optimizer_g, optimizer_d)
    ]
    losses = []
    generator.train()
    discriminator.train()
    for _ in range(epochs):
        for batch in torch.randperm(len(images)).split(batch_size):
            gray, real = representation.encode(images[batch])
            losses.append(gan_step(generator, discriminator, optimizer_g, optimizer_d, gray, real, lambda_l1))
            for schedule in schedules:
                schedule.step()
    generator.eval()
    discriminator.eval()
    return losses


class NoisyGenerator(nn.Module):
    """A network that is given random numbers beside the gray image, so that it can color one image in several ways.

    Args:
        network: takes ``1 + noise`` channels.
        noise: random numbers an image, each spread over a plane; drawn afresh in every call.
    """

    def __init__(self, network: nn.Module, noise: int) -> None:
        """Keep both."""
        super().__init__()
        self.network = network
        self.noise = noise

    def forward(self, gray: Tensor) -> Tensor:
        """Predict for images (N, 1, H, W)."""
        z = torch.randn(len(gray), self.noise, 1, 1, device=gray.device)
        planes = z.expand(-1, -1, *gray.shape[-2:])
        return self.network(torch.cat([gray, planes], dim=1))
