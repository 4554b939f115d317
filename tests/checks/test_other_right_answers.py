"""Right answers that are written otherwise than the reference: a check must not mind."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from labkit import color
from labkit.checks import RIGHT, evaluate, find_exercise
from labkit.checks.slr_gradient_leakage import Hybrid
from labkit.checks.unet_skips import UNet, UpBlock, block
from labkit.training.simple_gan import loss_of_discriminator, loss_of_generator


def gamut_by_two_bounds(rgb: Tensor) -> Tensor:
    gray = color.luma(rgb).clamp(0, 1)
    chroma = rgb - gray
    up = torch.where(chroma > 0, (1 - gray) / chroma, torch.inf)
    down = torch.where(chroma < 0, gray / -chroma, torch.inf)
    return gray + torch.minimum(up, down).amin(-3, keepdim=True).clamp(max=1) * chroma


def gamut_by_a_small_number(rgb: Tensor) -> Tensor:
    gray = color.luma(rgb).clamp(0, 1)
    chroma = rgb - gray
    scale = torch.where(chroma > 0, 1 - gray, gray) / (chroma.abs() + 1e-8)
    return gray + scale.clamp(max=1).min(dim=-3, keepdim=True).values * chroma


def gamut_by_bisection(rgb: Tensor) -> Tensor:
    gray = color.luma(rgb).clamp(0, 1)

    def fits(scale: Tensor) -> Tensor:
        moved = gray + scale * (rgb - gray)
        return ((moved > -1e-6) & (moved < 1 + 1e-6)).all(dim=-3, keepdim=True)

    low, high = torch.zeros_like(gray), torch.ones_like(gray)
    inside = fits(high)
    for _ in range(40):
        middle = (low + high) / 2
        low, high = torch.where(fits(middle), middle, low), torch.where(fits(middle), high, middle)
    return gray + torch.where(inside, 1.0, low) * (rgb - gray)


def bins_one_by_one(colors: Tensor, centers: Tensor, steps: int) -> Tensor:
    centers = centers.clone()
    for _ in range(steps):
        nearest = torch.cdist(colors, centers).argmin(dim=1)
        for number in nearest.unique():
            centers[number] = colors[nearest == number].mean(dim=0)
    return centers


class NotInTheState(nn.Module):
    kernels: Tensor

    def __init__(self, kernels: Tensor) -> None:
        super().__init__()
        self.register_buffer("kernels", kernels.unsqueeze(1), persistent=False)

    def forward(self, gray: Tensor) -> Any:
        return F.conv2d(F.pad(gray, (1, 1, 1, 1), mode="replicate"), self.kernels)


class FrozenParameter(nn.Module):
    def __init__(self, kernels: Tensor) -> None:
        super().__init__()
        self.kernels = nn.Parameter(kernels[:, None], requires_grad=False)

    def forward(self, gray: Tensor) -> Tensor:
        return F.conv2d(F.pad(gray, (1, 1, 1, 1), mode="replicate"), self.kernels)


class FrozenLayer(nn.Module):
    def __init__(self, kernels: Tensor) -> None:
        super().__init__()
        self.layer = nn.Conv2d(1, len(kernels), 3, padding=1, padding_mode="replicate", bias=False)
        self.layer.weight = nn.Parameter(kernels[:, None], requires_grad=False)

    def forward(self, gray: Tensor) -> Any:
        return self.layer(gray)


class NoiseIntoEmpty(nn.Module):
    def __init__(self, network: nn.Module, noise: int) -> None:
        super().__init__()
        self.network, self.noise = network, noise

    def forward(self, gray: Tensor) -> Any:
        x = gray.new_empty(len(gray), 1 + self.noise, *gray.shape[-2:])
        x[:, :1] = gray
        x[:, 1:] = torch.empty(len(gray), self.noise).normal_()[..., None, None]
        return self.network(x)


def step_cleared_at_the_top(
    g: Any, d: Any, optimizer_g: Any, optimizer_d: Any, gray: Any, real: Any, weight: float
) -> Any:
    optimizer_d.zero_grad()
    optimizer_g.zero_grad()
    generated = g(gray)
    loss_d = loss_of_discriminator(d, gray, real, generated)
    loss_d.backward()
    optimizer_d.step()
    loss_g = loss_of_generator(d, gray, real, generated, weight)
    loss_g.backward()
    optimizer_g.step()
    return loss_d.item(), loss_g.item()


class ChangedInPlace(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mul_(2).div_(2)


def block_that_changes_its_input(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(ChangedInPlace(), block(inputs, outputs))


class JoinedInPlace(UpBlock):
    """Writes both into a tensor that was made for them."""

    def join(self, x: Tensor, skip: Tensor) -> Tensor:
        joined = x.new_empty(len(x), x.shape[1] + skip.shape[1], *skip.shape[2:])
        joined[:, : x.shape[1]], joined[:, x.shape[1] :] = x, skip
        return joined


class HybridOfFrozenLayers(Hybrid):
    features_of = FrozenLayer  # type: ignore[assignment]  # does what FixedKernels does


class HybridOfFrozenParameters(Hybrid):
    features_of = FrozenParameter  # type: ignore[assignment]


class OtherNormsAtTheStart(UNet):
    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        for layer in self.modules():
            if isinstance(layer, nn.BatchNorm2d):
                nn.init.normal_(layer.weight, 1, 0.1)
                nn.init.constant_(layer.bias, 0.1)


ANSWERS: list[tuple[str, Any]] = [
    ("02-scale-to-gamut", gamut_by_two_bounds),
    ("02-scale-to-gamut", gamut_by_a_small_number),
    ("02-scale-to-gamut", gamut_by_bisection),
    ("03-kmeans", bins_one_by_one),
    ("04-block", block_that_changes_its_input),
    ("04-up-block", JoinedInPlace),
    ("04-unet-gradients", OtherNormsAtTheStart),
    ("05-fixed-kernels", NotInTheState),
    ("05-fixed-kernels", FrozenParameter),
    ("05-fixed-kernels", FrozenLayer),
    ("05-slr", HybridOfFrozenLayers),
    ("05-slr", HybridOfFrozenParameters),
    ("05-slr-flat", HybridOfFrozenLayers),
    ("05-slr-flat", HybridOfFrozenParameters),
    ("06-gan", step_cleared_at_the_top),
    ("06-noise", NoiseIntoEmpty),
]


@pytest.mark.parametrize(("exercise", "answer"), ANSWERS, ids=[f"{id}-{answer.__name__}" for id, answer in ANSWERS])
def test_it_passes(exercise: str, answer: Any) -> None:
    for seed in range(3):
        result = evaluate(find_exercise(exercise), answer, seed=seed, switch_off=False)
        assert result.status == RIGHT, result.message
