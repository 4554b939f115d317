"""The encoder-decoder without skips: the control that shows what a U-Net's skips alone do."""

from __future__ import annotations

from typing import Any

from labkit.models.unet import UNet


class EncoderDecoder(UNet):
    """A U-Net of the same depth and width whose skip connections are cut.

    ``width=64, depth=3`` with RGB output has the 1,700,355 parameters of Qureshi's regression CNN.
    Options as in `UNet`, except ``skips``.
    """

    name = "cnn"

    def __init__(self, out_channels: int, **options: Any) -> None:
        super().__init__(out_channels, **(options | {"skips": False}))
