"""Networks by name: `make_network`. A network maps a gray image to numbers for each pixel.

They know images, not color: what the numbers mean belongs to `labkit.representation`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from labkit.errors import LabkitError
from labkit.models.cnn import EncoderDecoder, PlainCNN
from labkit.models.guided import GuidedUNet
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
    "unet-guided": (GuidedUNet, {"output_stride": 2, "depth": 4, "attention": 5}),
    "slr-baseline": (SLRBaseline, {}),
    "slr-hybrid": (SLRHybrid, {}),
}


def make_network(name: str, out_channels: int, **options: Any) -> Network:
    """Make a network by name, with random weights.

    Args:
        name: ``cnn`` (encoder-decoder), ``cnn-plain`` (Dalban's baseline), ``unet``, ``unet-half`` (output at half
            resolution), ``unet-noise`` (takes random numbers as well, for GANs), ``unet-guided`` (takes color hints as
            well, for photographs), ``slr-baseline`` or ``slr-hybrid`` (both of the ECS171 paper).
        out_channels: numbers to predict at each output pixel.
        options: of the network's class: width, depth, normalization, dropout, ... for those named ``unet`` and
            ``cnn`` (see `UNet`); width and depth for ``cnn-plain``; width for the last two, and kernels for the hybrid.

    Returns:
        The network on the CPU, in training mode.

    Raises:
        LabkitError: for an unknown name, or an unknown or impossible option.
    """
    _, preset = _known(name)
    return make_saved_network(name, out_channels, **(preset | options))


def make_saved_network(name: str, out_channels: int, **options: Any) -> Network:
    """Make the network that a saved `Network.config` describes, as `make_network` does.

    Options that the config lacks are younger than it: they are the class's defaults, not what the name stands for now.
    """
    make, _ = _known(name)
    try:
        return make(out_channels, **options)
    except TypeError as error:
        raise LabkitError(f"wrong options of network {name!r}: {error}") from None


def _known(name: str) -> tuple[Callable[..., Network], dict[str, Any]]:
    if name not in NETWORKS:
        raise LabkitError(f"unknown network: got {name!r}, expected one of {', '.join(NETWORKS)}")
    return NETWORKS[name]


__all__ = [
    "NETWORKS",
    "EncoderDecoder",
    "GuidedUNet",
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
    "make_saved_network",
]
