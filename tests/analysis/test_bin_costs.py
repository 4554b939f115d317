import pytest
import torch

from labkit import color
from labkit.analysis.bin_costs import bin_costs
from labkit.data import toyworld
from labkit.quantize import Quantizer


@pytest.fixture(scope="module")
def world() -> toyworld.ToyWorld:
    return toyworld.generate(4, seed=3)


def every_color(world: toyworld.ToyWorld) -> Quantizer:
    """One bin for each color that is possible in these scenes."""
    colors = world.posterior()[0].movedim(2, -1).reshape(-1, 3).unique(dim=0)
    return Quantizer(color.rgb_to_lab(colors.T[:, :, None])[1:, :, 0].T, "ab", "every color")


def test_with_a_bin_for_every_color_nothing_is_left_of_quantization(world: toyworld.ToyWorld) -> None:
    costs = bin_costs(world, every_color(world))
    assert costs.oracle == pytest.approx(0, abs=2e-5)
    assert costs.quantization == pytest.approx(0, abs=5e-5)
    assert costs.commitment > 0.2 * costs.exact_mean  # which is there without any bins
    assert costs.mode == pytest.approx(costs.exact_mean + costs.commitment + costs.quantization)


def test_few_bins_cost_more_and_nothing_is_below_the_exact_mean(world: toyworld.ToyWorld) -> None:
    few = bin_costs(world, Quantizer(torch.tensor([[0.0, 0.0], [40.0, 30.0]]), "ab", "two"))
    many = bin_costs(world, every_color(world))
    assert few.oracle > 10 * many.oracle and few.mean > many.mean
    for costs in (few, many):
        assert costs.exact_mean <= min(costs.exact_mode, costs.mode, costs.mean, costs.gray) + 1e-6
        assert costs.exact_mean == pytest.approx(toyworld.best_scores(world)["mse"], rel=1e-4)
    assert few.commitment == many.commitment
