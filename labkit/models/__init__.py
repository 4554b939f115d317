"""Networks by name. They know images, not color."""

from __future__ import annotations

from typing import Any

from labkit.errors import LabkitError
from labkit.models.cnn import EncoderDecoder
from labkit.models.network import Network, count_parameters
from labkit.models.unet import UNet

NETWORKS: dict[str, tuple[type[UNet], dict[str, Any]]] = {
    "cnn": (EncoderDecoder, {}),
    "unet": (UNet, {}),
    "unet-half": (UNet, {"output_stride": 2}),
}


def make_network(name: str, out_channels: int, **options: Any) -> Network:
    """A network by name: ``cnn`` (encoder-decoder), ``unet``, or ``unet-half`` (half-resolution output).

    Options are those of `UNet`: width, depth, normalization, dropout, down, up, ...
    Raises ``LabkitError`` for an unknown name or option.
    """
    if name not in NETWORKS:
        raise LabkitError(f"unknown network {name!r}: expected one of {', '.join(NETWORKS)}")
    make, preset = NETWORKS[name]
    try:
        return make(out_channels, **(preset | options))
    except TypeError as error:
        raise LabkitError(f"network {name!r} does not take these options: {options} ({error})") from None


__all__ = ["NETWORKS", "EncoderDecoder", "Network", "UNet", "count_parameters", "make_network"]
