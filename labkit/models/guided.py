"""A U-Net for photographs: it sees the whole picture at once, and takes color hints beside the gray image."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from labkit.models.network import check_counts
from labkit.models.unet import UNet


class GuidedUNet(UNet):
    """A U-Net with two more sources of knowledge: color hints, and a summary of the whole image.

    Hints are ``hint_planes`` planes of numbers beside the gray image (see `labkit.hints`). Where none are given they
    are zero, so that one network colorizes by itself and with a user's help. Zhang et al., Real-Time User-Guided Image
    Colorization with Learned Deep Priors, 2017, arXiv:1705.02999, train it so.

    The summary is the mean of the deepest level over all positions, through a small network, added back at each
    position: a convolution of depth 5 sees about a hundred pixels, and a photograph is larger.

    Args:
        out_channels: numbers to predict at each output pixel.
        hint_planes: planes of hints; 0 for none.
        context: channels inside of the small network of the summary; 0 for no summary.
        **options: as in `UNet`.
    """

    name = "unet-guided"

    def __init__(self, out_channels: int, *, hint_planes: int = 3, context: int = 64, **options: Any) -> None:
        """Build the layers; the class lists the arguments."""
        super().__init__(out_channels, **options)
        check_counts(hint_planes=hint_planes or None, context=context or None)
        self.hint_planes, self.context = hint_planes, context
        level: Any = self.encoder[0]
        level[0] = nn.Conv2d(level[0].in_channels * (1 + hint_planes), level[0].out_channels, 3, padding=1)
        if context:
            deepest: Any = self.encoder[-1]
            self.dropout = nn.Sequential(_Summary(deepest[0].out_channels, context), self.dropout)

    def predict(self, gray: Tensor) -> Tensor:
        """Predict as `UNet.predict`, from gray ``(N, 1, H, W)``, or with hints ``(N, 1 + hint_planes, H, W)``."""
        if gray.shape[1] == 1 and self.hint_planes:
            gray = F.pad(gray, (0, 0, 0, 0, 0, self.hint_planes))
        return super().predict(gray)

    def config(self) -> dict[str, object]:
        """Return the arguments that make this network again."""
        return super().config() | {"hint_planes": self.hint_planes, "context": self.context}


class _Summary(nn.Module):
    """Add to each position what a small network makes of the mean over all: (N, C, H, W) -> (N, C, H, W)."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(channels, width), nn.ReLU(inplace=True), nn.Linear(width, channels))

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.relu(self.layers(x.mean(dim=(2, 3))))[..., None, None]
