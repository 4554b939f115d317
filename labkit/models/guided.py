"""A U-Net for photographs: it sees the whole picture at once, and takes color hints beside the gray image."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from labkit.errors import LabkitError
from labkit.models.network import check_counts
from labkit.models.unet import UNet

HEADS = 8  # of self-attention


class GuidedUNet(UNet):
    """A U-Net with more sources of knowledge: color hints, attention, and a summary of the whole image.

    Hints are ``hint_planes`` planes of numbers beside the gray image (see `labkit.hints`). Where none are given they
    are zero, so that one network colorizes by itself and with a user's help. Zhang et al., Real-Time User-Guided Image
    Colorization with Learned Deep Priors, 2017, arXiv:1705.02999, train it so.

    A convolution of depth 4 or 5 sees about a hundred pixels, and a photograph is larger. So at the deepest level each
    position asks all others (self-attention; Vaswani et al., Attention Is All You Need, 2017, arXiv:1706.03762), and
    the mean over all positions, through a small network, is added back at each.

    Args:
        out_channels: numbers to predict at each output pixel.
        hint_planes: planes of hints; 0 for none.
        context: channels inside of the small network of the summary; 0 for no summary.
        attention: blocks of self-attention at the deepest level; 0 for none.
        **options: as in `UNet`.

    Raises:
        LabkitError: with attention, the channels of the deepest level are no multiple of 8.
    """

    name = "unet-guided"

    def __init__(
        self, out_channels: int, *, hint_planes: int = 3, context: int = 64, attention: int = 0, **options: Any
    ) -> None:
        """Build the layers; the class lists the arguments."""
        super().__init__(out_channels, **options)
        check_counts(hint_planes=hint_planes or None, context=context or None, attention=attention or None)
        self.hint_planes, self.context, self.attention = hint_planes, context, attention
        level: Any = self.encoder[0]
        level[0] = nn.Conv2d(level[0].in_channels * (1 + hint_planes), level[0].out_channels, 3, padding=1)
        deepest: Any = self.encoder[-1]
        channels = deepest[0].out_channels
        if attention and channels % HEADS:
            raise LabkitError(f"attention needs a deepest level of 8, 16, 24, ... channels. Got {channels}")
        blocks: list[nn.Module] = [_Attention(channels) for _ in range(attention)]
        if context:
            blocks.append(_Summary(channels, context))
        if blocks:
            self.dropout = nn.Sequential(*blocks, self.dropout)

    def predict(self, gray: Tensor) -> Tensor:
        """Predict as `UNet.predict`, from gray ``(N, 1, H, W)``, or with hints ``(N, 1 + hint_planes, H, W)``."""
        if gray.shape[1] == 1 and self.hint_planes:
            gray = F.pad(gray, (0, 0, 0, 0, 0, self.hint_planes))
        return super().predict(gray)

    def config(self) -> dict[str, object]:
        """Return the arguments that make this network again."""
        own = {"hint_planes": self.hint_planes, "context": self.context, "attention": self.attention}
        return super().config() | own


class _Summary(nn.Module):
    """Add to each position what a small network makes of the mean over all: (N, C, H, W) -> (N, C, H, W)."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(channels, width), nn.ReLU(inplace=True), nn.Linear(width, channels))

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.relu(self.layers(x.mean(dim=(2, 3))))[..., None, None]


class _Attention(nn.Module):
    """A transformer's block: each position takes from all others, then thinks for itself: (N, C, H, W) -> the same.

    Not `nn.TransformerEncoderLayer`: without gradients it keeps all H * W x H * W weights, gigabytes for a photograph.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.normalize = nn.LayerNorm(channels)
        self.query_key_value = nn.Linear(channels, 3 * channels)
        self.mix = nn.Linear(channels, channels)
        self.layers = nn.Sequential(
            nn.LayerNorm(channels), nn.Linear(channels, 2 * channels), nn.GELU(), nn.Linear(2 * channels, channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        n, channels, height, width = x.shape
        positions = x.flatten(2).transpose(1, 2)  # (N, H * W, C)
        asked = self.query_key_value(self.normalize(positions)).view(n, height * width, 3, HEADS, channels // HEADS)
        found = F.scaled_dot_product_attention(*asked.permute(2, 0, 3, 1, 4))  # (N, HEADS, H * W, C / HEADS)
        positions = positions + self.mix(found.transpose(1, 2).flatten(2))
        positions = positions + self.layers(positions)
        return positions.transpose(1, 2).reshape(x.shape)
