"""The smallest training loop: the one that lab 01 builds."""

import torch

from labkit.data import toyworld
from labkit.models import make_network
from labkit.representation import make_representation
from labkit.training import train, training_step


def small(seed: int = 0) -> torch.nn.Module:
    torch.manual_seed(seed)
    return make_network("unet", 2, width=4, depth=2, convolutions=1)


def test_it_learns_and_leaves_evaluation_mode() -> None:
    images, network = toyworld.generate(40, seed=0).images, small()
    losses = train(network, make_representation("luma-chroma"), images, 4, 16, 0.02)
    assert len(losses) == 4 * 3 and all(type(loss) is float for loss in losses)
    assert sum(losses[-3:]) < 0.8 * sum(losses[:3])
    assert not any(module.training for module in network.modules())


def test_the_same_seed_gives_the_same_losses() -> None:
    images = toyworld.generate(20, seed=0).images
    runs = [train(small(), make_representation("luma-chroma"), images, 2, 8, 0.01, seed) for seed in (0, 0, 1)]
    assert runs[0] == runs[1] != runs[2]


def test_a_step_returns_the_loss_before_it() -> None:
    images, network, space = toyworld.generate(8, seed=0).images, small(), make_representation("luma-chroma")
    gray, target = space.encode(images)
    before = space.loss(network(gray), target).item()
    assert training_step(network, space, images, torch.optim.SGD(network.parameters(), lr=0.1)) == before
