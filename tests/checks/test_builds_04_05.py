"""The builds of labs 04 and 05: floors that right solutions reach, other ways to write them, calls that travel."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from labkit.checks import RIGHT, WRONG, evaluate, slr_gradient_leakage, unet_skips
from labkit.checks.framework import draw
from labkit.checks.modules import run_modules
from labkit.checks.scenes import train_on_scenes
from labkit.notebook.answer import call_source

LABS = (unet_skips, slr_gradient_leakage)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_a_right_unet_stays_below_the_floors_and_others_do_not(seed: int) -> None:
    [inputs] = draw(unet_skips.UNET_TRAINS, seed, 1)
    luma, chroma = unet_skips.left_over(inputs, train_on_scenes(unet_skips.UNet, inputs))
    assert luma < 0.7 * unet_skips.LUMA_FLOOR and chroma < 0.9 * unet_skips.CHROMA_FLOOR
    assert unet_skips.left_over(inputs, train_on_scenes(unet_skips._Zeros, inputs))[0] > 1.3 * unet_skips.LUMA_FLOOR
    assert unet_skips.left_over(inputs, train_on_scenes(unet_skips._LastReLU, inputs))[1] > unet_skips.CHROMA_FLOOR


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_a_right_hybrid_stays_below_the_floor(seed: int) -> None:
    [inputs] = draw(slr_gradient_leakage.HYBRID_TRAINS, seed, 1)
    trained = train_on_scenes(slr_gradient_leakage.Hybrid, inputs)
    assert slr_gradient_leakage.left_over(inputs, trained) < 0.9 * slr_gradient_leakage.CHROMA_FLOOR


@pytest.mark.parametrize("exercise", [one for lab in LABS for one in lab.EXERCISES if one.call], ids=lambda one: one.id)
def test_calls_stand_alone(exercise: Any) -> None:
    assert call_source(exercise.call).startswith("def ")


class OtherUNet(nn.Module):
    """A right U-Net in another hand: functional ReLUs, other names, and the border repeated by index."""

    output_stride = 1

    def __init__(self, out_channels: int, width: int = 16, depth: int = 3, skips: bool = True) -> None:
        super().__init__()
        self.last = nn.Conv2d(width, out_channels, 1)  # registered first, runs last
        self.use = skips
        sizes = [width << level for level in range(depth)]
        self.up = nn.ModuleList(self.pair(2 * c + c * skips, c) for c in sizes[:-1])  # from the top
        self.down = nn.ModuleList(self.pair(a, b) for a, b in zip([1, *sizes], sizes, strict=False))

    @staticmethod
    def pair(inputs: int, outputs: int) -> nn.ModuleList:
        sides = ((inputs, outputs), (outputs, outputs))
        layers = [[nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b)] for a, b in sides]
        return nn.ModuleList(layer for pair in layers for layer in pair)

    @staticmethod
    def through(layers: Any, x: Tensor) -> Tensor:
        convolution, norm, second, norm_of_second = layers
        return F.relu(norm_of_second(second(F.relu(norm(convolution(x))))), inplace=True)

    def forward(self, gray: Tensor) -> Tensor:
        multiple = 2 ** len(self.up)
        rows, columns = (torch.arange(side + -side % multiple).clamp(max=side - 1) for side in gray.shape[-2:])
        kept, x = [], gray[..., rows[:, None], columns]
        for level, layers in enumerate(self.down):
            x = self.through(layers, F.max_pool2d(x, 2) if level else x)
            kept.append(x)
        for level in reversed(range(len(self.up))):
            x = F.interpolate(x, scale_factor=2)
            x = self.through(self.up[level], torch.cat([x, kept[level]], dim=1) if self.use else x)
        return self.last(x)[..., : gray.shape[-2], : gray.shape[-1]]


@pytest.mark.parametrize("exercise", [unet_skips.UNET, unet_skips.UNET_GRADIENTS], ids=lambda one: one.id)
@pytest.mark.parametrize("seed", range(3))
def test_another_way_to_write_it_is_right(exercise: Any, seed: int) -> None:
    result = evaluate(exercise, OtherUNet, seed=seed)
    assert result.status == RIGHT, result.message


def test_the_librarys_network_is_the_one_that_is_asked_for_and_no_answer() -> None:
    from labkit.models.unet import UNet

    assert evaluate(unet_skips.UNET, UNet, seed=0, switch_off=False).status == RIGHT
    result = evaluate(unet_skips.UNET, UNet, seed=0)
    assert result.status == WRONG and "labkit.models.unet.UNet.predict" in result.message


def test_layers_are_filled_in_the_order_in_which_they_run() -> None:
    class Swapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.second, self.first = nn.Conv2d(2, 1, 1), nn.Conv2d(1, 2, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.second(self.first(x))

    case = {"one": {"arguments": [], "images": [torch.rand(1, 1, 4, 4)], "seed": 3}}
    in_order = run_modules(lambda: nn.Sequential(nn.Conv2d(1, 2, 1), nn.Conv2d(2, 1, 1)), case)
    swapped = run_modules(Swapped, case)
    assert torch.equal(in_order["one"]["training"], swapped["one"]["training"])


def test_the_librarys_hybrid_is_the_one_that_is_asked_for() -> None:
    from labkit.models.slr import SLRHybrid

    assert evaluate(slr_gradient_leakage.HYBRID, SLRHybrid, seed=0, switch_off=False).status == RIGHT
    assert evaluate(slr_gradient_leakage.HYBRID_FLAT, SLRHybrid, seed=0, switch_off=False).status == RIGHT


def test_the_jacobian_agrees_with_finite_differences() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Tanh(), nn.Conv2d(4, 2, 3, padding=1)).double().eval()
    gray, (row, column) = torch.rand(5, 6, dtype=torch.float64), (2, 3)
    for change in (False, True):
        found = slr_gradient_leakage.chroma_jacobian(network, gray, (row, column), change)
        for k, m in ((2, 3), (1, 4), (4, 0)):
            nudge = torch.zeros_like(gray)
            nudge[k, m] = 1e-5
            up, down = (network((gray + sign * nudge)[None, None])[0].detach() for sign in (1, -1))
            moved = (up - down)[:, row] / 2e-5
            wanted = moved[:, column + 1] - moved[:, column] if change else moved[:, column]
            assert torch.allclose(found[:, k, m], wanted, atol=1e-6)


def test_what_is_no_module_or_gives_no_tensor_is_told_in_plain_words() -> None:
    class Forgetful(nn.Module):
        def forward(self, x: Tensor) -> None:
            return None

    class WithAGain(slr_gradient_leakage.Hybrid):  # one parameter among thousands
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            self.gain = nn.Parameter(torch.ones(1))

    class Functional(nn.Module):
        def __init__(self, inputs: int, outputs: int) -> None:
            super().__init__()
            self.inner = unet_skips.block(inputs, outputs)

        def forward(self, x: Tensor) -> Tensor:
            for layer in self.inner:  # type: ignore[union-attr]
                x = layer.forward(x)
            return x

    for answer, said in (
        (lambda inputs, outputs: None, "return a module, got NoneType: is a `return` missing?"),
        (lambda inputs, outputs: unet_skips.UpBlock, "return a module, got type"),
        (lambda inputs, outputs: Forgetful(), "forward must return a tensor, got NoneType: is a `return` missing?"),
        (Functional, "Call each as a module, self.conv(x)"),
    ):
        message = evaluate(unet_skips.BLOCK, answer, seed=0).message
        assert said in message and "attribute" not in message, message
    assert "parameters" in evaluate(slr_gradient_leakage.HYBRID, WithAGain, seed=0, switch_off=False).message
