"""The optimizer Muon: what it does to filters, and that all other weights move as AdamW moves them."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from labkit.data import toyworld
from labkit.models import make_network
from labkit.representation import LumaChroma
from labkit.training import fit
from labkit.training.muon import Muon, orthogonal


def polar(matrix: torch.Tensor) -> torch.Tensor:
    """Return UV^T of a matrix USV^T."""
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    return u @ v


@pytest.mark.parametrize("shape", [(8, 8), (24, 216), (216, 24), (2, 24), (1, 9)])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_each_direction_of_an_orthogonal_step_has_about_the_same_length(shape: tuple[int, int], scale: float) -> None:
    for seed in range(5):
        matrix = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
        found = orthogonal(scale * matrix)
        lengths = torch.linalg.svdvals(found)
        well = torch.linalg.svdvals(matrix / matrix.norm()) > 0.02  # the iterations reach these
        assert found.dtype == matrix.dtype and found.shape == matrix.shape
        assert ((lengths > 0.6) & (lengths < 1.3) | ~well).all(), lengths
        assert (found * polar(matrix)).sum() > 0.8 * min(shape) - 1  # the same directions


def test_no_gradient_makes_no_step() -> None:
    assert orthogonal(torch.zeros(3, 5)).equal(torch.zeros(3, 5))
    layer = nn.Conv2d(2, 3, 3)
    before = {name: weight.clone() for name, weight in layer.state_dict().items()}
    Muon(layer, lr=0.1, weight_decay=0.0).step()
    assert all(layer.state_dict()[name].equal(weight) for name, weight in before.items())


def two(seed: int = 0) -> tuple[nn.Module, nn.Module]:
    made = []
    for _ in range(2):
        torch.manual_seed(seed)
        made.append(nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1), nn.Linear(6, 3)))
    return made[0], made[1]


def test_biases_and_norms_move_as_adamw_moves_them() -> None:
    ours, theirs = two()
    muon = Muon(ours, lr=0.01, weight_decay=0.1)
    adamw = torch.optim.AdamW(theirs.parameters(), 0.01, weight_decay=0.1)
    images = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    for network, optimizer in ((ours, muon), (theirs, adamw)):
        optimizer.zero_grad()
        network(images).square().mean().backward()
        optimizer.step()
    for (name, one), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert one.equal(other) == (one.ndim not in (2, 4)), name


def test_a_filter_moves_by_the_learning_rate_in_each_direction_and_decays() -> None:
    layer = nn.Conv2d(4, 8, 3, bias=False)
    before = layer.weight.detach().clone()
    layer.weight.grad = torch.randn(layer.weight.shape, generator=torch.Generator().manual_seed(0))
    step = polar(layer.weight.grad.flatten(1))
    Muon(layer, lr=0.1, weight_decay=0.5).step()
    moved = (before * (1 - 0.1 * 0.5) - layer.weight.detach()).flatten(1)  # the first step: momentum is the gradient
    assert torch.allclose(torch.linalg.svdvals(moved), torch.full((8,), 0.1), rtol=0.35)
    assert torch.nn.functional.cosine_similarity(moved.flatten(), step.flatten(), dim=0) > 0.95


def test_momentum_remembers_and_looks_ahead() -> None:
    layer = nn.Conv2d(1, 1, 2, bias=False)
    optimizer = Muon(layer, lr=1.0, weight_decay=0.0)
    first, second = torch.tensor([1.0, 0, 0, 0]).view(1, 1, 2, 2), torch.tensor([0, 1.0, 0, 0]).view(1, 1, 2, 2)
    layer.weight.grad = first.clone()
    optimizer.step()
    before = layer.weight.detach().clone()
    layer.weight.grad = second.clone()
    optimizer.step()
    beta = 0.9
    momentum = beta * (1 - beta) * first + (1 - beta) * second
    expected = nn.functional.normalize((beta * momentum + (1 - beta) * second).flatten(), dim=0)
    moved = nn.functional.normalize((before - layer.weight.detach()).flatten(), dim=0)
    assert torch.allclose(moved, expected, atol=1e-5)


def trained(out: Path | None = None, **options: object) -> tuple[nn.Module, list[dict[str, float]]]:
    torch.manual_seed(0)
    network = make_network("unet-half", LumaChroma.channels, width=8)
    images = toyworld.generate(96, seed=0).images
    settings = {"epochs": 4, "batch_size": 16, "device": "cpu", "progress": False, "precision": "float32"} | options
    history = fit(network, LumaChroma(), images, out=out, **settings)  # type: ignore[arg-type]
    return network, history.rows


def test_it_learns_and_is_deterministic() -> None:
    (one, rows), (other, _) = trained(optimizer="muon"), trained(optimizer="muon")
    assert all(a.equal(b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))
    assert rows[-1]["train_loss"] < 0.7 * rows[0]["train_loss"]
    assert rows != trained()[1]


def test_a_run_goes_on_from_its_checkpoint_as_if_never_stopped(tmp_path: Path) -> None:
    whole, _ = trained(optimizer="muon", checkpoint_seconds=0.0)

    def stop() -> dict[str, float]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path, optimizer="muon", checkpoint_seconds=0.0, watch=stop)
    assert any("momentum" in name for name in load_file(tmp_path / "checkpoint.safetensors"))
    resumed, _ = trained(tmp_path, optimizer="muon", checkpoint_seconds=0.0, resume=True)
    assert all(a.equal(b) for a, b in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True))
