"""What resolution costs: coarse chroma and checkerboards."""

import torch

from labkit import color
from labkit.analysis.resolution import checkerboard, coarse_chroma
from labkit.data import toyworld
from labkit.representation import LumaChroma


def test_the_best_coarse_chroma_beats_the_average_and_keeps_luma() -> None:
    images = toyworld.generate(4, split="test").images
    true, space = color.to_float(images), LumaChroma()
    errors = []
    for steps in (0, 40):
        out = coarse_chroma(images, space, steps=steps)
        assert torch.allclose(color.luma(out), color.luma(true), atol=1e-5)
        errors.append(float((out - true).square().mean()))
    assert 0 < errors[1] < 0.8 * errors[0]


def test_even_and_odd_pixels_are_told_apart() -> None:
    class Checkered:
        def colorize(self, image: torch.Tensor) -> torch.Tensor:
            out = image.expand(-1, 3, -1, -1).clone()
            out[..., ::2, ::2] += 4 / 255
            return out

    class Flat:
        def colorize(self, image: torch.Tensor) -> torch.Tensor:
            return image.expand(-1, 3, -1, -1)

    assert checkerboard(Flat()) < 1e-4
    assert abs(checkerboard(Checkered()) - 3**0.5) < 1e-3  # of 4, 0, 0 and 0
