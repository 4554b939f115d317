"""Features of images, from a small classifier that ships with labkit: for KID and FID.

The usual KID and FID take their features from an Inception network of 24 million parameters, made for 299 x 299 pixels
and downloaded. Ours ships with labkit (``weights/features/CARD.md``) and was trained on CIFAR-10 in a quarter of an
hour; distances in its features are called "labkit features" and cannot be compared with published numbers.
`labkit.training.features` trains it.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from labkit.color import to_float
from labkit.errors import LabkitError
from labkit.metrics.inputs import check_images

FOLDER = Path(__file__).parents[1] / "weights" / "features"
WEIGHTS_FILE, CARD_FILE = "model.safetensors", "model.json"
SIZE = 32  # pixels: the images it was trained on
WIDTHS = (32, 64, 128)  # channels of its three feature maps; the last is the number of features
CHUNK_PIXELS = 2**16  # pixels in one pass of the network: what a CPU's cache holds, half as fast again


class Classifier(nn.Module):
    """A small residual network: rgb (N, 3, H, W) in [0, 1] -> logits (N, 10) of the CIFAR-10 classes."""

    def __init__(self) -> None:
        """Build the layers, with random weights."""
        super().__init__()
        first, second, third = WIDTHS
        self.stages = nn.ModuleList(
            [
                _convolution(3, first),
                nn.Sequential(_convolution(first, second, stride=2), _Residual(second)),
                nn.Sequential(_convolution(second, third, stride=2), _Residual(third)),
            ]
        )
        self.head = nn.Linear(third, 10)

    def maps(self, rgb: Tensor) -> list[Tensor]:
        """Return the feature maps of the three stages.

        Args:
            rgb: (N, 3, H, W) in [0, 1].

        Returns:
            (N, 32, H, W), (N, 64, H/2, W/2), (N, 128, H/4, W/4), sides rounded up.
        """
        x = (rgb - 0.5) / 0.25
        found = []
        for stage in self.stages:
            x = stage(x)
            found.append(x)
        return found

    def features(self, rgb: Tensor) -> Tensor:
        """Return the last feature map averaged over the image: (N, 3, H, W) -> (N, 128)."""
        return self.maps(rgb)[-1].mean(dim=(2, 3))

    def forward(self, rgb: Tensor) -> Tensor:
        """Return the logits of the ten classes: (N, 3, H, W) -> (N, 10)."""
        return self.head(self.features(rgb))


def extract_features(rgb: Tensor) -> Tensor:
    """Return the features of images: the activations of the packaged classifier before its last layer.

    Averaged over the image, without gradients. Images of another size are first resized to 32 x 32 pixels (bilinear,
    antialiased), so the detail of a large photograph is lost. On one device the same images give the same numbers.

    Args:
        rgb: (N, 3, H, W), float in [0, 1] or uint8.

    Returns:
        float32 (N, 128), on the device of `rgb`.

    Raises:
        LabkitError: for images of another shape, or if the weights that ship with labkit are damaged.
    """
    check_images(rgb, "images")
    network = pretrained_classifier(rgb.device)
    chunk = max(1, CHUNK_PIXELS // (rgb.shape[-1] * rgb.shape[-2]))
    with torch.no_grad(), torch.autocast(rgb.device.type, enabled=False):
        return torch.cat([network.features(_thumbnail(part)) for part in rgb.split(chunk)])


@cache
def pretrained_classifier(device: torch.device) -> Classifier:
    """Return the classifier that ships with labkit, frozen, in evaluation mode; it is read once for each device."""
    return load_classifier(FOLDER).to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]


def load_classifier(folder: str | Path) -> Classifier:
    """Load a classifier that `labkit.training.features` wrote.

    Args:
        folder: holds model.safetensors and model.json.

    Returns:
        The classifier on the CPU, frozen, in evaluation mode.

    Raises:
        LabkitError: naming the file that is absent or damaged.
    """
    from safetensors.torch import load as load_tensors

    folder = Path(folder)
    for file in (folder / CARD_FILE, folder / WEIGHTS_FILE):
        if not file.is_file():
            raise LabkitError(
                f"{file} is missing. Install labkit again, or run `python -m labkit.training.features --out {folder}`."
            )
    card = json.loads((folder / CARD_FILE).read_text(encoding="utf-8"))
    weights = (folder / WEIGHTS_FILE).read_bytes()
    if hashlib.sha256(weights).hexdigest() != card["sha256"]:
        raise LabkitError(
            f"{folder / WEIGHTS_FILE} is damaged or belongs to another {CARD_FILE}: its SHA-256 differs. "
            "Install labkit again."
        )
    classifier = Classifier()
    classifier.load_state_dict(load_tensors(weights))  # float16 widens to the network's float32
    return classifier.eval().requires_grad_(False)


def _thumbnail(rgb: Tensor) -> Tensor:
    rgb = to_float(rgb).float()
    if rgb.shape[-2:] == (SIZE, SIZE):
        return rgb
    return F.interpolate(rgb, size=(SIZE, SIZE), mode="bilinear", antialias=True)


class _Residual(nn.Module):
    """x plus two convolutions of x, in the same shape."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.change = nn.Sequential(_convolution(channels, channels), _convolution(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.change(x)


def _convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
    )
