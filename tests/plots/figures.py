"""What the tests of figures share: test images, and what is written and drawn in a figure."""

import io

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image

from labkit import plots


def decode(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def photographs(count: int = 5) -> torch.Tensor:
    """Rough pictures that compress badly: smooth color with fine noise, as photographs have."""
    generator = torch.Generator().manual_seed(0)
    smooth = torch.nn.functional.interpolate(
        torch.rand(count, 3, 6, 6, generator=generator), size=(256, 256), mode="bicubic"
    )
    return (smooth + 0.06 * torch.randn(smooth.shape, generator=generator)).clamp(0, 1)


def grays(images: torch.Tensor) -> torch.Tensor:
    return images.mean(1, keepdim=True)


def small_grid():
    return plots.image_grid({"true": torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))})


def labels(figure: Figure) -> set[str]:
    """Every text in a figure, those of its axes too."""
    return {text.get_text() for axes in figure.axes for text in axes.texts} | {text.get_text() for text in figure.texts}
