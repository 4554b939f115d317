"""The two networks that only a GAN needs: a discriminator of patches, and a generator with a noise input.

Source: Isola, Zhu, Zhou and Efros, Image-to-image translation with conditional adversarial networks, CVPR 2017
(pix2pix).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from labkit.errors import LabkitError, check_integer
from labkit.models.network import check_choice, check_counts
from labkit.models.unet import UNet

Normalization = Literal["batch", "none"]
KERNEL = 4  # pixels a side, in every layer of pix2pix's discriminator
SLOPE = 0.2  # of the leaky ReLU below zero


def receptive_field(layers: Iterable[tuple[int, int]]) -> int:
    """Return the side, in input pixels, of what one output of a stack of convolutions depends on.

    Going backward, k neighboring outputs of a layer need ``(k - 1) * stride + kernel`` of its inputs.

    Args:
        layers: (kernel, stride) of each layer, from the input to the output.

    Returns:
        Pixels a side.
    """
    size = 1
    for kernel, stride in reversed(list(layers)):
        size = (size - 1) * stride + kernel
    return size


class PatchGAN(nn.Module):
    """A conditional discriminator: one score for each patch of a pair (gray image, color), high for "real".

    Gray and color are stacked, so that it tells whether *this* color belongs to *this* gray. ``layers`` convolutions of
    stride 2 are followed by two of stride 1, all 4x4. One, two or three layers make a receptive field of 16, 34 or 70
    pixels and, of a 32x32 image, 14x14, 6x6 or 2x2 scores: "70x70", pix2pix's usual one, sees the whole of such an
    image.

    Args:
        color_channels: C, the numbers per pixel that the representation calls a color.
        layers: 1 to 3.
        width: channels of the first layer; they double from layer to layer.
        normalization: ``batch`` after all layers but the first and the last, or ``none``.

    Raises:
        LabkitError: for other options.
    """

    name = "patchgan"

    def __init__(
        self, color_channels: int, *, layers: int = 2, width: int = 64, normalization: Normalization = "batch"
    ) -> None:
        """Build the layers; the class lists the arguments."""
        super().__init__()
        check_integer("layers", layers, low=1, high=3)
        check_choice("normalization", normalization, get_args(Normalization))
        check_counts(color_channels=color_channels, width=width)
        self.options: dict[str, object] = {
            "color_channels": color_channels,
            "layers": layers,
            "width": width,
            "normalization": normalization,
        }
        self.strides = [2] * layers + [1, 1]

        widths = [width * 2**level for level in range(layers + 1)]
        parts: list[nn.Module] = []
        channels = 1 + color_channels
        for level, (wide, stride) in enumerate(zip(widths, self.strides[:-1], strict=True)):
            parts.append(nn.Conv2d(channels, wide, KERNEL, stride=stride, padding=1))
            if normalization == "batch" and level > 0:
                parts.append(nn.BatchNorm2d(wide))
            parts.append(nn.LeakyReLU(SLOPE, inplace=True))
            channels = wide
        parts.append(nn.Conv2d(channels, 1, KERNEL, stride=self.strides[-1], padding=1))
        self.convolutions = nn.Sequential(*parts)

    @property
    def receptive_field(self) -> int:
        """The side, in pixels, of what one score depends on, where the image is that large."""
        return receptive_field((KERNEL, stride) for stride in self.strides)

    def scores_for(self, size: int) -> int:
        """Return the scores a side of an image of ``size`` pixels a side; 0 or less where it is too small."""
        for stride in self.strides:
            size = (size + 2 - KERNEL) // stride + 1
        return size

    def forward(self, gray: Tensor, color: Tensor) -> Tensor:
        """Score the patches of pairs.

        Args:
            gray: (N, 1, H, W).
            color: (N, C, H, W), in the representation's units.

        Returns:
            (N, 1, h, w), logits of "real" (no sigmoid).

        Raises:
            LabkitError: for an image too small for one score.
        """
        if self.scores_for(min(gray.shape[-2:])) < 1:
            height, width = gray.shape[-2:]
            raise LabkitError(
                f"images too small: got {height}x{width} pixels, expected more for a PatchGAN of "
                f"{self.options['layers']} layers. Use fewer layers or larger images."
            )
        return self.convolutions(torch.cat([gray, color], dim=1))

    def config(self) -> dict[str, object]:
        """Return the arguments that make this network again."""
        return {"name": self.name} | self.options


class NoisyUNet(UNet):
    """A U-Net with a second input: ``noise`` random numbers an image, each spread over a plane beside the gray image.

    A network is a function: the same input gives the same output. To color one gray image in several ways a generator
    needs another input, z. In training z is drawn afresh (from torch's generator); in evaluation mode it depends only
    on ``noise_seed`` and on the image's place in the batch, so that a picture comes out the same each time. Other
    options as in `UNet`.
    """

    name = "unet-noise"

    def __init__(self, out_channels: int, *, noise: int = 8, **options: Any) -> None:
        """Build the layers; the class lists the arguments."""
        super().__init__(out_channels, **options)
        check_counts(noise=noise)
        self.noise, self.noise_seed = noise, 0
        level: Any = self.encoder[0]
        channels, wide = level[0].in_channels, level[0].out_channels
        level[0] = nn.Conv2d(channels * (1 + noise), wide, 3, padding=1)

    def predict(self, gray: Tensor) -> Tensor:
        """Predict as `UNet.predict`, from the gray image and z."""
        generator = None if self.training else torch.Generator().manual_seed(self.noise_seed)
        z = torch.randn(len(gray), self.noise, 1, 1, generator=generator).to(gray)  # drawn on the CPU: alike everywhere
        return super().predict(torch.cat([gray, z.expand(-1, -1, *gray.shape[-2:])], dim=1))

    def config(self) -> dict[str, object]:
        """Return the arguments that make this network again."""
        return super().config() | {"noise": self.noise}
