"""Encoder-decoders: a U-Net without its skip connections, to show what they do, and the plainest one there is."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from labkit.models.network import Network, check_counts
from labkit.models.unet import UNet


class EncoderDecoder(UNet):
    """A U-Net of the same depth and width whose skip connections are cut.

    ``width=64`` with RGB output has the 1,700,355 parameters of Qureshi's regression CNN; with 24 outputs and
    ``up_convolutions=1`` the 1,516,824 of its classification CNN (Table 4). Options as in `UNet`, except ``skips``.
    """

    name = "cnn"

    def __init__(self, out_channels: int, **options: Any) -> None:
        """Build the layers; the class lists the options."""
        super().__init__(out_channels, **(options | {"skips": False}))


class PlainCNN(Network):
    """One convolution and a max-pool per level on the way down, one transposed convolution per level on the way up.

    ``width=64, depth=4`` with RGB output is the baseline of Dalban and Lakbir's report, "4.3M": 3x3 convolutions of
    1-64-128-256-512 channels, 96x96 pixels down to 6x6, and 4x4 transposed ones back: 4,308,675 parameters. Batch norm
    and ReLU follow every layer but the last.

    Args:
        out_channels: numbers to predict at each pixel.
        width: channels of the first level; they double from level to level.
        depth: number of halvings.
    """

    name = "cnn-plain"

    def __init__(self, out_channels: int, *, width: int = 64, depth: int = 4) -> None:
        """Build the layers; the class lists the arguments."""
        super().__init__()
        check_counts(out_channels=out_channels, width=width, depth=depth)
        self.out_channels, self.width, self.depth = out_channels, width, depth
        self.size_multiple = 2**depth
        widths = [width * 2**level for level in range(depth)]
        down: list[nn.Module] = []
        for channels, wide in zip([1, *widths], widths, strict=False):
            down += [nn.Conv2d(channels, wide, 3, padding=1), nn.BatchNorm2d(wide), nn.ReLU(inplace=True)]
            down += [nn.MaxPool2d(2)]
        up: list[nn.Module] = []
        for channels, wide in zip(widths[:0:-1], widths[-2::-1], strict=True):
            up += [nn.ConvTranspose2d(channels, wide, 4, stride=2, padding=1)]
            up += [nn.BatchNorm2d(wide), nn.ReLU(inplace=True)]
        up += [nn.ConvTranspose2d(width, out_channels, 4, stride=2, padding=1)]
        self.encoder, self.decoder = nn.Sequential(*down), nn.Sequential(*up)

    def predict(self, gray: Tensor) -> Tensor:
        """Predict: (N, 1, H, W) -> (N, out_channels, H, W), H and W multiples of 2 to the power of depth."""
        return self.decoder(self.encoder(gray))

    def config(self) -> dict[str, object]:
        """Return the arguments of `make_network` that make this network again."""
        return {"name": self.name, "out_channels": self.out_channels, "width": self.width, "depth": self.depth}
