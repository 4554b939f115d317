"""What color bins cost a classifier: quantization and commitment, told apart on scenes whose posterior is known."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from labkit.color import luma, to_float
from labkit.data import toyworld
from labkit.quantize import Quantizer
from labkit.representation import RGB, Classification


@dataclass(frozen=True)
class BinCosts:
    """Expected MSE in RGB over the true posterior, of predictors that know it.

    Attributes:
        gray: no color.
        exact_mean: the mean of the possible colors; nothing is below it.
        exact_mode: the likeliest of the possible colors.
        mode: the likeliest bin.
        mean: the mean of the bins.
        oracle: the bin nearest to the color that was drawn.
    """

    gray: float
    exact_mean: float
    exact_mode: float
    mode: float
    mean: float
    oracle: float

    @property
    def commitment(self) -> float:
        """Return what choosing one color costs, without bins: the exact mode's MSE over the exact mean's."""
        return self.exact_mode - self.exact_mean

    @property
    def quantization(self) -> float:
        """Return what bins cost the mode: its MSE over the exact mode's. Below 0 where a bin lies between colors."""
        return self.mode - self.exact_mode


def bin_costs(world: toyworld.ToyWorld, quantizer: Quantizer) -> BinCosts:
    """Compute the expected MSE of perfect classifiers with some bins. Luma is kept by all but the exact colors.

    Args:
        world: scenes; a few dozen are enough.
        quantizer: bins in ab.
    """
    space = Classification(quantizer, neighbors=1, input_gray="luma")
    gray = luma(world.images)
    colors, chance = world.posterior()  # (N, K, 3, H, W), (N, K, H, W)
    possible = to_float(colors)

    def expected(rgb: Tensor) -> float:
        """Average the squared error over the posterior; rgb is (N, 3, H, W), or (N, K, 3, H, W) for each color."""
        rgb = rgb if rgb.dim() == 5 else rgb[:, None]
        return float((chance * (rgb - possible).square().mean(dim=2)).sum(dim=1).mean())

    log_p = toyworld.bin_posterior(world, space).clamp(min=1e-30).log()
    most = chance.argmax(dim=1)[:, None, None].expand(-1, 1, 3, -1, -1)
    return BinCosts(
        gray=expected(gray.expand(-1, 3, -1, -1)),
        exact_mean=expected(toyworld.optimum(world, RGB()).prediction),
        exact_mode=expected(possible.gather(1, most)[:, 0]),
        mode=expected(space.to_rgb(gray, quantizer.decode(log_p, "mode"))),
        mean=expected(space.to_rgb(gray, quantizer.decode(log_p, "mean"))),
        oracle=expected(torch.stack([space.oracle(color) for color in colors.unbind(dim=1)], dim=1)),
    )
