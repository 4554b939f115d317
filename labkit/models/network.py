"""What every network of the project is: images in, numbers out, no color knowledge."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional as F


class Network(nn.Module, ABC):
    """``gray (N, 1, H, W) in [0, 1] -> prediction (N, out_channels, ceil(H / s), ceil(W / s))``, s = output_stride.

    Any size works: an image that is not a multiple of ``size_multiple`` is padded by repeating its border,
    and the prediction is cropped back.
    """

    name: ClassVar[str]
    output_stride: int = 1
    size_multiple: int = 1

    @abstractmethod
    def predict(self, gray: Tensor) -> Tensor:
        """The network itself, for sizes that are multiples of ``size_multiple``."""

    @abstractmethod
    def config(self) -> dict[str, object]:
        """Everything `make_network` needs to make this network again; JSON types only."""

    def forward(self, gray: Tensor) -> Tensor:
        height, width = gray.shape[-2:]
        bottom, right = -height % self.size_multiple, -width % self.size_multiple
        if not (bottom or right):
            return self.predict(gray)
        prediction = self.predict(F.pad(gray, (0, right, 0, bottom), mode="replicate"))
        return prediction[..., : -(-height // self.output_stride), : -(-width // self.output_stride)]


@contextmanager
def evaluation_mode(network: nn.Module) -> Iterator[None]:
    """``network.eval()``, and afterwards each module back in the mode it had (some may be frozen on purpose)."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def count_parameters(network: nn.Module) -> int:
    """How many numbers training can change."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)
