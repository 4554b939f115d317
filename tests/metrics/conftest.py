"""Two batches of images that differ by known amounts of noise."""

import pytest
import torch


@pytest.fixture
def pair() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    true = torch.rand(5, 3, 24, 37, generator=generator)
    noise = torch.rand(5, 3, 24, 37, generator=generator)
    amount = torch.tensor([0.02, 0.1, 0.3, 0.6, 1.0]).view(-1, 1, 1, 1)
    return (true + amount * (noise - true)).clamp(0, 1), true
