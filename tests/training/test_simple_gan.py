"""The smallest GAN, as students write it."""

import pytest
import torch
from torch import nn

from labkit.data import toyworld
from labkit.errors import LabkitError
from labkit.models import PatchGAN, make_network
from labkit.representation import make_representation
from labkit.training.simple_gan import NoisyGenerator, gan_step, loss_of_generator, train_gan


def pair(noise: int = 0) -> tuple[nn.Module, PatchGAN]:
    torch.manual_seed(0)
    unet = make_network("unet", 2, in_channels=1 + noise, width=4, depth=2)
    return NoisyGenerator(unet, noise) if noise else unet, PatchGAN(2, layers=1, width=4)


def test_a_step_changes_both_networks_and_lowers_the_generators_loss() -> None:
    generator, discriminator = pair()
    gray, real = make_representation("luma-chroma").encode(toyworld.generate(8).images)
    before = [[p.clone() for p in network.parameters()] for network in (generator, discriminator)]
    optimizer_g = torch.optim.SGD(generator.parameters(), 0.05)
    optimizer_d = torch.optim.SGD(discriminator.parameters(), 0.0)
    _, loss = gan_step(generator, discriminator, optimizer_g, optimizer_d, gray, real, 1.0)
    after = loss_of_generator(discriminator, gray, real, generator(gray), 1.0).item()
    assert after < loss
    assert any(not torch.equal(a, b) for a, b in zip(before[0], generator.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b in zip(before[1], discriminator.parameters(), strict=True))


def test_training_is_repeatable_and_leaves_evaluation_mode() -> None:
    images = toyworld.generate(10).images
    space = make_representation("luma-chroma")
    ends = []
    for _ in range(2):
        generator, discriminator = pair(noise=2)
        losses = train_gan(generator, discriminator, space, images, 2, 4, 1e-3, 1.0, seed=3)
        assert len(losses) == 6 and not generator.training and not discriminator.training
        ends.append((losses, [p.clone() for p in generator.parameters()]))
    assert ends[0][0] == ends[1][0]
    assert all(torch.equal(a, b) for a, b in zip(ends[0][1], ends[1][1], strict=True))


def test_noise_colors_one_image_in_several_ways() -> None:
    generator, _ = pair(noise=3)
    gray = torch.rand(2, 1, 9, 11)
    generator.eval()
    one, other = generator(gray), generator(gray)
    assert one.shape == (2, 2, 9, 11) and not torch.allclose(one, other)
    torch.manual_seed(5)
    again = generator(gray)
    torch.manual_seed(5)
    assert torch.equal(again, generator(gray))


def test_more_input_channels_are_an_option_that_cards_keep() -> None:
    network = make_network("unet", 2, in_channels=4, width=4, depth=2)
    config = network.config()
    assert config["in_channels"] == 4
    assert network(torch.rand(1, 4, 8, 8)).shape == (1, 2, 8, 8)
    assert "in_channels" not in make_network("unet", 2, width=4).config()
    with pytest.raises(LabkitError):
        make_network("unet", 2, in_channels=0)
