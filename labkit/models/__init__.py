"""Networks by name: `make_network`. A network maps a gray image to numbers for each pixel.

They know images, not color: what the numbers mean belongs to `labkit.representation`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from labkit.errors import LabkitError
from labkit.models.cnn import EncoderDecoder, PlainCNN
from labkit.models.network import Network, count_parameters, evaluation_mode
from labkit.models.patchgan import NoisyUNet, PatchGAN
from labkit.models.slr import SLRBaseline, SLRHybrid
from labkit.models.unet import UNet

NETWORKS: dict[str, tuple[Callable[..., Network], dict[str, Any]]] = {
    "cnn": (EncoderDecoder, {}),
    "cnn-plain": (PlainCNN, {}),
    "unet": (UNet, {}),
    "unet-half": (UNet, {"output_stride": 2}),
    "unet-noise": (NoisyUNet, {}),
    "slr-baseline": (SLRBaseline, {}),
    "slr-hybrid": (SLRHybrid, {}),
}


def make_network(name: str, out_channels: int, **options: Any) -> Network:
    """A network by name.

    ``cnn`` (encoder-decoder), ``unet`` and ``unet-half`` (half-resolution output) take the options of `UNet`: width,
    depth, normalization, dropout, down, up, ... ``cnn-plain``, Dalban's baseline, takes width and depth.
    ``unet-noise`` takes random numbers as well, for GANs.
    ``slr-baseline`` and ``slr-hybrid``, the networks of the ECS171 paper, take width, and the hybrid also kernels.
    Raises ``LabkitError`` for an unknown name or option.
    """
    if name not in NETWORKS:
        raise LabkitError(f"unknown network {name!r}: expected one of {', '.join(NETWORKS)}")
    make, preset = NETWORKS[name]
    try:
        return make(out_channels, **(preset | options))
    except TypeError as error:
        raise LabkitError(f"network {name!r} does not take these options: {options} ({error})") from None


__all__ = [
    "NETWORKS",
    "EncoderDecoder",
    "Network",
    "NoisyUNet",
    "PatchGAN",
    "PlainCNN",
    "SLRBaseline",
    "SLRHybrid",
    "UNet",
    "count_parameters",
    "evaluation_mode",
    "make_network",
]
