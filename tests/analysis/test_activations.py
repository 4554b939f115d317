import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from labkit import LabkitError
from labkit.analysis.activations import (
    GradientNorms,
    activations,
    channel_images,
    linear_probe,
    r_squared,
)
from labkit.colorizer import Colorizer
from labkit.data import toyworld
from labkit.models import make_network


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return make_network("unet", 2, width=4)


def test_activations_are_what_the_layers_put_out(network: nn.Module) -> None:
    gray = torch.rand(2, 1, 16, 16)
    names = ["output", "encoder.0", "encoder.2", "encoder.0.0"]
    found = activations(network, gray, names)
    assert [tuple(a.shape) for a in found.values()] == [(2, 2, 16, 16), (2, 4, 16, 16), (2, 16, 4, 4), (2, 4, 16, 16)]
    network.eval()
    torch.testing.assert_close(found["output"], network(gray))
    torch.testing.assert_close(found["encoder.0"], network.encoder[0](gray))  # type: ignore[index]
    # the convolution itself, before the batch norm and the ReLU that may work in place
    torch.testing.assert_close(found["encoder.0.0"], network.encoder[0][0](gray))  # type: ignore[index]


def test_activations_leave_the_network_as_it_was(network: nn.Module) -> None:
    network.train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    found = activations(network, torch.rand(1, 1, 8, 8), ["decoder.1"])
    assert network.training and not found["decoder.1"].requires_grad
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert not any(module._forward_hooks for module in network.modules())


@pytest.mark.parametrize("name", ["bottleneck", ""])
def test_unknown_layers_are_refused_and_no_hook_stays(network: nn.Module, name: str) -> None:
    with pytest.raises(LabkitError, match=f"unknown layer: got .{name}., expected one of encoder, encoder.0"):
        activations(network, torch.rand(1, 1, 8, 8), ["encoder.0", name])
    assert not any(module._forward_hooks for module in network.modules())


def test_hooks_go_even_when_the_network_raises(network: nn.Module) -> None:
    with pytest.raises(RuntimeError):
        activations(network, torch.rand(1, 5, 8, 8), ["encoder.0"])
    assert not any(module._forward_hooks for module in network.modules())


def test_pictures_are_the_channels_that_vary_most_stretched_to_the_full_range() -> None:
    pattern = torch.tensor([[0.0, 1.0], [2.0, 4.0]])
    activation = torch.stack([pattern, torch.full((2, 2), 7.0), -3 * pattern, 0.1 * pattern])
    pictures = channel_images(activation, 2)
    torch.testing.assert_close(pictures, torch.stack([pattern / 4, 1 - pattern / 4])[:, None])
    pictures = channel_images(activation, 6)  # two more than there are, and one of those is constant
    assert pictures.shape == (6, 1, 2, 2) and float(pictures.amax()) == 1
    assert [float(p.amax()) for p in pictures] == [1, 0, 1, 1, 0, 0]


def test_readout_finds_what_is_linear_and_only_that() -> None:
    rng = torch.Generator().manual_seed(0)
    features = torch.randn(400, 5, 2, 2, generator=rng)
    weights = torch.randn(20, 2, generator=rng)
    linear = features.flatten(1) @ weights + 3
    unrelated = torch.randn(400, 2, generator=rng)
    assert r_squared(linear_probe(features, linear), linear[200:]) > 0.999
    assert r_squared(linear_probe(features, unrelated), unrelated[200:]) < 0.1
    squared = features.flatten(1)[:, :1] ** 2  # it is there, but not linearly
    assert r_squared(linear_probe(features, squared), squared[200:]) < 0.1


def test_readout_is_ridge_regression() -> None:
    """Against the normal equations, once with fewer and once with more features than examples."""
    rng = torch.Generator().manual_seed(1)
    for count in (6, 60):
        features, target = torch.randn(80, count, generator=rng), torch.randn(80, 3, generator=rng)
        x, y = features[:40].double(), target[:40].double()
        x, y = x - x.mean(0), y - y.mean(0)
        penalty = 0.1 * x.square().sum() / count
        weights = torch.linalg.solve(x.T @ x + penalty * torch.eye(count).double(), x.T @ y)
        expected = (features[40:] - features[:40].mean(0)).double() @ weights + target[:40].double().mean(0)
        torch.testing.assert_close(linear_probe(features, target, ridge=0.1), expected.float())


def test_readout_of_constant_features_is_the_mean() -> None:
    target = torch.arange(10.0)[:, None]
    torch.testing.assert_close(linear_probe(torch.ones(10, 4), target), torch.full((5, 1), 2.0))


@pytest.mark.parametrize("target", [torch.rand(8), torch.rand(9, 1), torch.rand(8, 1, 1)])
def test_readout_refuses_other_shapes(target: Tensor) -> None:
    with pytest.raises(ValueError, match="with the same N"):
        linear_probe(torch.rand(8, 3), target)


def test_gradient_norms_are_those_of_each_backward_pass() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 1))
    x, expected = torch.rand(2, 1, 4, 4), []
    with GradientNorms(network) as norms:
        for factor in (1.0, 5.0):
            network.zero_grad()
            (factor * network(x)).square().sum().backward()
            expected.append([network[0].weight.grad.norm(), network[4].weight.grad.norm()])  # type: ignore
    network(x).sum().backward()  # outside: not recorded
    assert norms.layers == ["0", "4"]
    torch.testing.assert_close(norms.values(), torch.tensor(expected))
    torch.testing.assert_close(norms.values()[1], 25 * norms.values()[0])


def test_gradient_norms_go_with_fit() -> None:
    """One row per step; the run itself is the same as without."""
    images = toyworld.generate(40).images
    settings = {"epochs": 2, "batch_size": 16, "precision": "float32", "device": "cpu", "progress": False}
    plain, watched = (Colorizer("luma-chroma", "unet-half", width=4) for _ in range(2))
    plain.fit(images, **settings)
    with GradientNorms(watched.network) as norms:
        watched.fit(images, **settings)
    assert norms.values().shape == (2 * 3, len(norms.layers)) and norms.layers[0] == "encoder.0.0"
    assert norms.layers[-1] == "output.0" and (norms.values() > 0).all()
    for one, other in zip(plain.network.parameters(), watched.network.parameters(), strict=True):
        assert torch.equal(one, other)


def test_gradient_norms_show_a_gradient_that_vanishes() -> None:
    """Sigmoids in a row, the textbook case: each shrinks the gradient by 4 or more."""
    torch.manual_seed(0)
    layers = [nn.Sequential(nn.Linear(8, 8), nn.Sigmoid()) for _ in range(6)]
    network = nn.Sequential(*layers)
    with GradientNorms(network) as norms:
        F.mse_loss(network(torch.rand(64, 8)), torch.zeros(64, 8)).backward()
    first, *_, last = norms.values()[0].tolist()
    assert first < last / 100
