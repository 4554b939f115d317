"""The U-Net (Ronneberger, Fischer and Brox 2015, arXiv:1505.04597), with every choice of the papers as an option.

Every network here is made of three blocks: ``_level`` (convolutions at one resolution), ``_down`` and ``_up``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from labkit.errors import LabkitError, check_integer, check_number
from labkit.models.network import Network, check_choice, check_counts

Normalization = Literal["batch", "group", "none"]
Down = Literal["max-pool", "strided"]
Up = Literal["upsample", "transposed"]
Activation = Literal["none", "sigmoid", "tanh"]

CHOICES: dict[str, tuple[object, ...]] = {
    "normalization": get_args(Normalization),
    "output_activation": get_args(Activation),
    "down": get_args(Down),
    "up": get_args(Up),
}
# 1 or more, or None
COUNTS = ("out_channels", "in_channels", "width", "depth", "max_width", "convolutions", "up_convolutions")
OUTPUT_ACTIVATIONS: dict[str, type[nn.Module]] = {"none": nn.Identity, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh}


class UNet(Network):
    """A U-Net: encoder, bottleneck, decoder, and a skip connection from each encoder level to its decoder level.

    Widths double from level to level: ``width=64, depth=3`` works at 64, 128 and 256 channels.

    The papers' networks in these options, and their parameters:

    - Qureshi, Table 1: ``cnn``, 3 outputs, width=64: 1,700,355. Table 2: ``unet``, the same: 1,884,675.
    - Qureshi, Table 4: ``cnn``, 24 outputs, width=64, up_convolutions=1: 1,516,824. Table 5: ``unet``, 24 outputs,
      width=64: 1,886,040. So this pair differs in its skips *and* in its depth.
    - Zhuang, simple, at 32 px: width=64, depth=4, max_width=256, convolutions=1, output_activation="tanh": 2,695k with
      RGB output, and with UV, but for 65 parameters. Complex: down="strided", up="transposed" as well: 6,432k.
    - Zhuang at 256 px, one level more: depth=5, max_width=512 instead: 10,957k and 26,229k.

    Zhuang prints neither channels nor parameters, so width=64 is our reading. Its bottleneck "maintains the number of
    filters" of the level above, hence ``max_width``.

    Args:
        out_channels: numbers to predict at each output pixel.
        width: channels of the first level.
        depth: number of resolutions, bottleneck included.
        max_width: no level gets more channels than this (None: no limit).
        convolutions: 3x3 convolutions per level.
        up_convolutions: the same for the levels of the decoder (None: as many as in the encoder).
        normalization: after each convolution; ``group`` uses groups of 8 channels.
        dropout: fraction of bottleneck channels dropped in training.
        output_activation: after the last layer.
        down: ``max-pool``, or ``strided`` convolution.
        up: nearest ``upsample``, or ``transposed`` convolution.
        skips: without them this is the encoder-decoder of equal depth.
        output_stride: 2 folds each 2x2 pixels of the input into 4 channels and predicts at half resolution:
            chroma needs no more (as in JPEG 4:2:0), and everything runs on a quarter of the pixels.
        in_channels: 1 is the gray image; a GAN's generator may be given planes of noise as well.
    """

    name = "unet"

    def __init__(
        self,
        out_channels: int,
        *,
        width: int = 32,
        depth: int = 3,
        max_width: int | None = None,
        convolutions: int = 2,
        up_convolutions: int | None = None,
        normalization: Normalization = "batch",
        dropout: float = 0.0,
        output_activation: Activation = "none",
        down: Down = "max-pool",
        up: Up = "upsample",
        skips: bool = True,
        output_stride: int = 1,
        in_channels: int = 1,
    ) -> None:
        """Build the layers; the class lists the arguments."""
        super().__init__()
        self.options: dict[str, Any] = {
            "out_channels": out_channels,
            "width": width,
            "depth": depth,
            "max_width": max_width,
            "convolutions": convolutions,
            "up_convolutions": up_convolutions,
            "normalization": normalization,
            "dropout": dropout,
            "output_activation": output_activation,
            "down": down,
            "up": up,
            "skips": skips,
            "output_stride": output_stride,
        }
        if in_channels != 1:  # cards of models that are given gray alone stay as they are
            self.options["in_channels"] = in_channels
        _check(self.options)
        self.skips = skips
        self.output_stride = output_stride
        self.size_multiple = output_stride * 2 ** (depth - 1)

        widths = [width * 2**level for level in range(depth)]
        if max_width is not None:
            widths = [min(wide, max_width) for wide in widths]
        channels = in_channels * output_stride**2  # of the unshuffled image
        self.encoder = nn.ModuleList()
        self.downs = nn.ModuleList()
        for level, wide in enumerate(widths):
            if level > 0:
                self.downs.append(_down(down, channels))
            self.encoder.append(_level(channels, wide, convolutions, normalization))
            channels = wide
        self.dropout: nn.Module = nn.Dropout2d(dropout)
        self.ups = nn.ModuleList()
        self.decoder = nn.ModuleList()
        for wide in reversed(widths[:-1]):
            self.ups.append(_up(up, channels))
            self.decoder.append(_level(channels + wide * skips, wide, up_convolutions or convolutions, normalization))
            channels = wide
        self.output = nn.Sequential(nn.Conv2d(channels, out_channels, 1), OUTPUT_ACTIVATIONS[output_activation]())

    def predict(self, gray: Tensor) -> Tensor:
        """Predict, for sides that are multiples of ``size_multiple``: (N, 1, H, W) -> (N, channels, H / s, W / s)."""
        x = F.pixel_unshuffle(gray, self.output_stride)  # (N, s*s, H/s, W/s)
        across: list[Tensor] = []
        for level, encode in enumerate(self.encoder):
            if level > 0:
                across.append(x)
                x = self.downs[level - 1](x)
            x = encode(x)  # (N, width * 2**level, H/s / 2**level, ...)
        x = self.dropout(x)
        for up, decode in zip(self.ups, self.decoder, strict=True):
            x, skip = up(x), across.pop()
            x = decode(torch.cat([x, skip], dim=1) if self.skips else x)
        return self.output(x)

    def config(self) -> dict[str, object]:
        """Return the arguments of `make_network` that make this network again."""
        return {"name": self.name} | self.options


def _check(options: Mapping[str, Any]) -> None:
    for name, allowed in CHOICES.items():
        check_choice(name, options[name], allowed)
    check_counts(**{name: options.get(name) for name in COUNTS})
    check_integer("output_stride", options["output_stride"], low=1, high=2)
    if check_number("dropout", options["dropout"], low=0, high=1) == 1:
        raise LabkitError("dropout must be below 1: nothing would be left to predict from. Got 1")


def _level(channels: int, width: int, convolutions: int, normalization: Normalization) -> nn.Sequential:
    """Convolutions, each with its normalization and ReLU: ``(N, channels, H, W) -> (N, width, H, W)``."""
    layers: list[nn.Module] = []
    for _ in range(convolutions):
        layers += [
            nn.Conv2d(channels, width, 3, padding=1),
            *_normalize(normalization, width),
            nn.ReLU(inplace=True),
        ]
        channels = width
    return nn.Sequential(*layers)


def _normalize(kind: Normalization, width: int) -> list[nn.Module]:
    if kind == "batch":
        return [nn.BatchNorm2d(width)]
    if kind == "group":
        return [nn.GroupNorm(max(1, width // 8), width)]
    return []


def _down(kind: Down, channels: int) -> nn.Module:
    """Half the resolution: ``(N, C, H, W) -> (N, C, H/2, W/2)``."""
    return nn.MaxPool2d(2) if kind == "max-pool" else nn.Conv2d(channels, channels, 4, stride=2, padding=1)


def _up(kind: Up, channels: int) -> nn.Module:
    """Twice the resolution: ``(N, C, H, W) -> (N, C, 2H, 2W)``."""
    if kind == "upsample":
        return nn.Upsample(scale_factor=2, mode="nearest")
    return nn.ConvTranspose2d(channels, channels, 4, stride=2, padding=1)
