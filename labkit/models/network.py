"""The base class of every network: images in, numbers out, no color knowledge."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from labkit.errors import LabkitError, check_integer


class Network(nn.Module, ABC):
    """A network that predicts ``out_channels`` numbers for each pixel of a gray image.

    Any size of image works: where a side is not a multiple of ``size_multiple``, the image is padded by repeating its
    border, and the prediction is cropped back.

    Attributes:
        name: what `make_network` knows the class by.
        output_stride: s; one output pixel stands for s x s input pixels.
        size_multiple: the sides that ``predict`` takes are multiples of this.
        hint_planes: planes of color hints that it takes beside the gray image; 0: it takes none.
    """

    name: ClassVar[str]
    output_stride: int = 1
    size_multiple: int = 1
    hint_planes: int = 0

    @abstractmethod
    def predict(self, gray: Tensor) -> Tensor:
        """Predict, for sides that are multiples of ``size_multiple``: (N, 1, H, W) -> (N, channels, H / s, W / s)."""

    @abstractmethod
    def config(self) -> dict[str, object]:
        """Return the arguments of `make_network` that make this network again; JSON types only."""

    def forward(self, gray: Tensor) -> Tensor:
        """Predict for images of any size.

        Args:
            gray: (N, 1, H, W), in [0, 1].

        Returns:
            (N, out_channels, ceil(H / s), ceil(W / s)), s = output_stride.
        """
        height, width = gray.shape[-2:]
        bottom, right = -height % self.size_multiple, -width % self.size_multiple
        if not (bottom or right):
            return self.predict(gray)
        prediction = self.predict(F.pad(gray, (0, right, 0, bottom), mode="replicate"))
        return prediction[..., : -(-height // self.output_stride), : -(-width // self.output_stride)]


@contextmanager
def evaluation_mode(network: nn.Module) -> Iterator[None]:
    """Put a network into evaluation mode, and afterwards each of its modules back into the mode it had.

    ``network.train()`` would not do: a module may be in evaluation mode on purpose (a frozen batch norm).
    """
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def count_parameters(network: nn.Module) -> int:
    """Return the number of trainable parameters."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


def check_counts(**values: int | None) -> None:
    """Check that options which count something are whole numbers of at least 1, or None.

    Raises:
        LabkitTypeError: for a value that is no whole number.
        LabkitError: for a value below 1.
    """
    for name, value in values.items():
        if value is not None:
            check_integer(name, value, low=1)


def check_choice(name: str, value: object, allowed: Sequence[object]) -> None:
    """Check that an option has one of the allowed values.

    Raises:
        LabkitError: if not.
    """
    if value not in allowed:
        raise LabkitError(f"unknown {name}: got {value!r}, expected one of {', '.join(map(str, allowed))}")
