"""The two networks of the ECS171 paper (its sections 2.3 and 2.4): a plain CNN, and one that mixes fixed kernels.

Both predict ``out_channels`` numbers per pixel, in the paper alpha and beta on its two chroma vectors. Which colors
these numbers mean, in the formula that the paper prints or in the corrected one, is for the representation to know.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from labkit.errors import LabkitError
from labkit.models.network import Network, check_counts

KERNELS: dict[str, list[list[float]]] = {
    "sobel-x": [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]],
    "sobel-y": [[-1, -2, -1], [0, 0, 0], [1, 2, 1]],
    "laplacian": [[0, 1, 0], [1, -4, 1], [0, 1, 0]],
    "identity": [[0, 0, 0], [0, 1, 0], [0, 0, 0]],  # the only one that is not zero-mean
}


class SLRBaseline(Network):
    """The baseline CNN: three halvings, two 3x3 convolutions at an eighth of the resolution, three doublings.

    ``width=32`` with two output channels is the paper's layout and has 625,858 parameters. Batch norm and ReLU follow
    every layer but the last. An output pixel depends on up to 68x68 input pixels.
    """

    name = "slr-baseline"
    size_multiple = 8

    def __init__(self, out_channels: int, *, width: int = 32) -> None:
        """Build the layers, of ``width`` channels at first."""
        super().__init__()
        check_counts(out_channels=out_channels, width=width)
        self.out_channels, self.width = out_channels, width
        self.encoder = nn.Sequential(
            *_layer(nn.Conv2d(1, width, 4, stride=2, padding=1)),
            *_layer(nn.Conv2d(width, 2 * width, 4, stride=2, padding=1)),
            *_layer(nn.Conv2d(2 * width, 4 * width, 4, stride=2, padding=1)),
        )
        self.bottleneck = nn.Sequential(
            *_layer(nn.Conv2d(4 * width, 4 * width, 3, padding=1)),
            *_layer(nn.Conv2d(4 * width, 4 * width, 3, padding=1)),
        )
        self.decoder = nn.Sequential(
            *_layer(nn.ConvTranspose2d(4 * width, 2 * width, 4, stride=2, padding=1)),
            *_layer(nn.ConvTranspose2d(2 * width, width, 4, stride=2, padding=1)),
            nn.ConvTranspose2d(width, out_channels, 4, stride=2, padding=1),
        )

    def predict(self, gray: Tensor) -> Tensor:
        """Predict: (N, 1, H, W) -> (N, out_channels, H, W), H and W multiples of 8."""
        return self.decoder(self.bottleneck(self.encoder(gray)))

    def config(self) -> dict[str, object]:
        """Return the arguments of `make_network` that make this network again."""
        return {"name": self.name, "out_channels": self.out_channels, "width": self.width}


class SLRHybrid(Network):
    """The hybrid: the CNN chooses how to mix m fixed features of the gray image, pixel by pixel.

    ``alpha = a . z`` and ``beta = b . z``, where the features ``z`` are the responses of fixed 3x3 kernels to the gray
    image, and ``a`` and ``b`` (m numbers each, per pixel) come from the baseline CNN. With two outputs and all four
    kernels it has 628,936 parameters that learn and 4 x 3 x 3 = 36 numbers that do not.

    Args:
        out_channels: numbers to predict at each pixel.
        kernels: which of ``KERNELS`` to use. One that is left out takes its coefficients with it. Without
            ``identity`` all kernels are zero-mean, and the output is exactly 0 wherever a 3x3 neighborhood is flat.
        bias: add one more feature, which is 1 everywhere: the learned bias that the paper proposes in section 4.5,
            because mixing fixed features alone is "restricted and flawed" (section 4.4). The baseline is a bias alone.
        width: as in `SLRBaseline`.
    """

    name = "slr-hybrid"
    size_multiple = 8

    kernels: Tensor

    def __init__(
        self, out_channels: int, *, kernels: Sequence[str] = tuple(KERNELS), bias: bool = False, width: int = 32
    ) -> None:
        """Build the layers; the class lists the arguments."""
        super().__init__()
        names = [kernels] if isinstance(kernels, str) else list(kernels)
        if not names or len(set(names)) < len(names) or not set(names) <= set(KERNELS):
            raise LabkitError(f"wrong kernels: got {names}, expected one or more of {', '.join(KERNELS)}, each once")
        self.out_channels, self.width, self.kernel_names, self.bias = out_channels, width, names, bias
        self.cnn = SLRBaseline(out_channels * (len(names) + bias), width=width)
        self.register_buffer("kernels", torch.tensor([KERNELS[name] for name in names], dtype=torch.float32))

    def features(self, gray: Tensor) -> Tensor:
        """Return z, the cross-correlation of each kernel with the gray image: ``(N, 1, H, W) -> (N, m, H, W)``.

        With a bias, 1 everywhere comes as the last of the m.

        The border is repeated outward, so that a flat image is flat at its border too. With zeros around it, every
        picture would have a frame of edges.
        """
        height, width = gray.shape[-2:]
        padded = F.pad(gray, (1, 1, 1, 1), mode="replicate")
        window = torch.cat([padded[..., y : y + height, x : x + width] for y in range(3) for x in range(3)], dim=1)
        # <K, window> = <K, window - center> + sum(K) * center. The left side is shorter, but it rounds: where the
        # window is flat, a zero-mean kernel would give 1e-7 instead of 0.
        edges = torch.einsum("nshw,ks->nkhw", window - gray, self.kernels.flatten(1))
        found = edges + self.kernels.sum(dim=(1, 2)).view(-1, 1, 1) * gray
        return torch.cat([found, torch.ones_like(gray)], dim=1) if self.bias else found

    def terms(self, gray: Tensor) -> Tensor:
        """Return what each kernel contributes to each output: ``(N, 1, H, W) -> (N, out_channels, m, H, W)``.

        H and W are multiples of 8.

        The sum over m is the prediction: ``alpha = a_1 z_1 + ... + a_m z_m`` is output 0, beta output 1.
        """
        coefficients = self.cnn.predict(gray).unflatten(1, (self.out_channels, -1))  # a, then b
        return coefficients * self.features(gray).unsqueeze(1)

    def predict(self, gray: Tensor) -> Tensor:
        """Predict: (N, 1, H, W) -> (N, out_channels, H, W), H and W multiples of 8."""
        return self.terms(gray).sum(dim=2)

    def config(self) -> dict[str, object]:
        """Return the arguments of `make_network` that make this network again."""
        return {
            "name": self.name,
            "out_channels": self.out_channels,
            "kernels": self.kernel_names,
            "bias": self.bias,
            "width": self.width,
        }


def _layer(convolution: nn.Conv2d | nn.ConvTranspose2d) -> list[nn.Module]:
    return [convolution, nn.BatchNorm2d(convolution.out_channels), nn.ReLU(inplace=True)]
