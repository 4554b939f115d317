import pytest
import torch
from torch import nn

from labkit import LabkitError
from labkit.analysis.activations import (
    activations,
)
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
