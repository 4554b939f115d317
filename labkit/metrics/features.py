"""What a small classifier sees in images: features for KID and FID (`labkit.metrics`), and a perceptual loss.

The usual KID and FID ask an Inception network of 24 million parameters, made for 299 x 299 pixels and fetched from the
internet. Ours ships with labkit (``weights/features/CARD.md``) and learned from CIFAR-10 in a quarter of an hour; its
distances are called "labkit features" and compare with no published number. Train it again with
``python -m labkit.metrics.features --out FOLDER``.
"""

from __future__ import annotations

import hashlib
import json
import time
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from labkit import __version__
from labkit.artifacts import make_folder, write_bytes, write_text
from labkit.color import to_float
from labkit.data import load
from labkit.device import pick_device, pick_precision
from labkit.errors import LabkitError
from labkit.models import count_parameters

FOLDER = Path(__file__).parents[1] / "weights" / "features"
WEIGHTS_FILE, CARD_FILE = "model.safetensors", "model.json"
SIZE = 32  # pixels: the images it learned from
WIDTHS = (32, 64, 128)  # channels of its three feature maps; the last is the number of features
CHUNK_PIXELS = 2**16  # pixels that go through the network at a time: what a CPU's cache holds, half as fast again


class Classifier(nn.Module):
    """rgb (N, 3, H, W) in [0, 1] -> logits (N, 10) of the CIFAR-10 classes: a small residual network."""

    def __init__(self) -> None:
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
        """(N, 3, H, W) -> (N, 32, H, W), (N, 64, H/2, W/2), (N, 128, H/4, W/4), sides rounded up."""
        x = (rgb - 0.5) / 0.25
        found = []
        for stage in self.stages:
            x = stage(x)
            found.append(x)
        return found

    def features(self, rgb: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, 128): the last map, averaged over the image."""
        return self.maps(rgb)[-1].mean(dim=(2, 3))

    def forward(self, rgb: Tensor) -> Tensor:
        return self.head(self.features(rgb))


def features(rgb: Tensor) -> Tensor:
    """What the shipped classifier sees in images: (N, 3, H, W), float in [0, 1] or uint8 -> float32 (N, 128).

    The activations before its last layer, averaged over the image, on the device of `rgb`, without gradients. Images
    of another size are first brought to 32 x 32 pixels (bilinear, antialiased): of a large photograph it sees no
    detail. On one device the same images give the same numbers.

    Raises ValueError for images of another shape, LabkitError when the weights that ship with labkit are damaged.
    """
    if rgb.ndim != 4 or rgb.shape[1] != 3 or 0 in rgb.shape:
        raise ValueError(f"expected images (N, 3, H, W), none of them 0. Got {tuple(rgb.shape)}")
    network = shipped(rgb.device)
    chunk = max(1, CHUNK_PIXELS // (rgb.shape[-1] * rgb.shape[-2]))
    with torch.no_grad(), torch.autocast(rgb.device.type, enabled=False):
        return torch.cat([network.features(_thumbnail(part)) for part in rgb.split(chunk)])


def perceptual_loss(pred: Tensor, true: Tensor) -> Tensor:
    """How different images look to the shipped classifier; a scalar, 0 for equal images, differentiable in `pred`.

    At each place of each of the three feature maps the vector over channels is scaled to length 1; the squared
    distances of these are averaged over places, images and maps. Images (N, 3, H, W) in [0, 1], of any size (seen as
    they are, not as thumbnails). As a loss it belongs beside a pixel loss: it alone leaves colors free that the
    classifier does not care about.

    Raises ValueError for images of unequal or another shape.
    Source: Zhang et al., The unreasonable effectiveness of deep features, CVPR 2018, equation 1 with all weights 1.
    """
    if pred.shape != true.shape or pred.ndim != 4 or pred.shape[1] != 3:
        raise ValueError(
            f"pred and true must both be (N, 3, H, W), of one shape. Got {tuple(pred.shape)} and {tuple(true.shape)}"
        )
    network = shipped(pred.device)
    with torch.autocast(pred.device.type, enabled=False):
        ours = network.maps(to_float(pred).float())
        with torch.no_grad():
            theirs = network.maps(to_float(true.to(pred.device)).float())
    distances = [
        (F.normalize(a, dim=1) - F.normalize(b, dim=1)).square().sum(dim=1).mean()
        for a, b in zip(ours, theirs, strict=True)
    ]
    return torch.stack(distances).mean()


@cache
def shipped(device: torch.device) -> Classifier:
    """The classifier that ships with labkit, frozen, in evaluation mode; read once for each device."""
    return load_classifier(FOLDER).to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]


def load_classifier(folder: str | Path) -> Classifier:
    """Reads what `train` wrote. Raises LabkitError naming the file when one is absent or damaged."""
    from safetensors.torch import load as load_tensors

    folder = Path(folder)
    for file in (folder / CARD_FILE, folder / WEIGHTS_FILE):
        if not file.is_file():
            raise LabkitError(
                f"{file} is missing: install labkit again, or `python -m labkit.metrics.features --out {folder}`"
            )
    card = json.loads((folder / CARD_FILE).read_text(encoding="utf-8"))
    weights = (folder / WEIGHTS_FILE).read_bytes()
    if hashlib.sha256(weights).hexdigest() != card["sha256"]:
        raise LabkitError(f"{folder / WEIGHTS_FILE} is damaged or belongs to another {CARD_FILE}: its SHA-256 differs")
    classifier = Classifier()
    classifier.load_state_dict(load_tensors(weights))  # float16 widens to the network's float32
    return classifier.eval().requires_grad_(False)


@torch.no_grad()
def accuracy(classifier: Classifier, images: Tensor, labels: Tensor) -> float:
    """Share of images (N, 3, 32, 32) uint8 whose class, labels (N,), the classifier names."""
    device = next(classifier.parameters()).device
    right = [
        (classifier(to_float(part.to(device))).argmax(dim=1).cpu() == truth).float()
        for part, truth in zip(images.split(100), labels.split(100), strict=True)
    ]
    return torch.cat(right).mean().item()


def train(out: Path = Path("features"), epochs: int = 10, seed: int = 0, device: str = "auto") -> None:
    """Trains the classifier on CIFAR-10 (45,000 images) and writes model.safetensors (float16) and model.json to `out`.

    The validation images only watch; the test images are looked at once, when the weights are written.
    """
    from safetensors.torch import save
    from tqdm.auto import tqdm

    make_folder(out)
    data, validation, test = (load("cifar10", split) for split in ("train", "validation", "test"))
    place = pick_device(device)
    precision = pick_precision("auto", place)
    images, labels = data.images.to(place), data.labels.to(place)
    torch.manual_seed(seed)
    network = Classifier().to(device=place, memory_format=torch.channels_last)  # type: ignore[call-overload]
    batch_size = 128
    steps = epochs * (len(images) // batch_size)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.2, total_steps=steps, pct_start=0.25)

    started = time.perf_counter()
    for epoch in range(epochs):
        order = torch.randperm(len(images)).to(place)
        batches = order.split(batch_size)[: len(images) // batch_size]
        for batch in tqdm(batches, desc=f"epoch {epoch + 1} of {epochs}", leave=False):
            rgb = _shifted_and_mirrored(images[batch]).contiguous(memory_format=torch.channels_last)
            with torch.autocast(place.type, torch.bfloat16, enabled=precision == "bf16"):
                logits = network(rgb)
            loss = F.cross_entropy(logits.float(), labels[batch])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
        network.eval()
        watched = accuracy(network, validation.images, validation.labels)
        network.train()
        print(f"epoch {epoch + 1}: loss {loss.item():.3f}, validation accuracy {watched:.4f}", flush=True)
    seconds = time.perf_counter() - started

    state = {
        name: (tensor.half() if tensor.is_floating_point() else tensor).cpu().contiguous()
        for name, tensor in network.state_dict().items()
    }
    weights = save(state)
    shipped_network = Classifier().eval()
    shipped_network.load_state_dict(state)
    card = {
        "labkit": __version__,
        "parameters": count_parameters(network),
        "sha256": hashlib.sha256(weights).hexdigest(),
        "about": {
            "dataset": "cifar10, 45,000 training images",
            "epochs": epochs,
            "seed": seed,
            "precision": precision,
            "device": place.type,
            "torch": torch.__version__,
            "seconds": round(seconds),
            "validation_accuracy": round(accuracy(shipped_network, validation.images, validation.labels), 4),
            "test_accuracy": round(accuracy(shipped_network, test.images, test.labels), 4),
        },
    }
    write_bytes(out / WEIGHTS_FILE, weights)
    write_text(out / CARD_FILE, json.dumps(card, indent=2) + "\n")
    print(json.dumps(card["about"], indent=2))


def _shifted_and_mirrored(images: Tensor, most: int = 4) -> Tensor:
    """uint8 (B, 3, H, W) -> float, each moved by up to `most` pixels, half of them mirrored.

    Colors are left alone (as many recipes do not): the features shall notice them.
    """
    count, _, height, width = images.shape
    padded = F.pad(to_float(images), (most,) * 4, mode="reflect")
    down, right = torch.randint(0, 2 * most + 1, (2, count), device=images.device)
    rows = down[:, None, None] + torch.arange(height, device=images.device)[:, None]  # (B, H, 1)
    columns = right[:, None, None] + torch.arange(width, device=images.device)  # (B, 1, W)
    moved = padded[torch.arange(count, device=images.device)[:, None, None], :, rows, columns].permute(0, 3, 1, 2)
    mirrored = torch.rand(count, device=images.device) < 0.5
    return torch.where(mirrored[:, None, None, None], moved.flip(-1), moved)


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


if __name__ == "__main__":
    import typer

    typer.run(train)
