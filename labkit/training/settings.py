"""What every training loop needs: settings, device, half precision, batches, the log.

The loops themselves are `labkit.training.loop.fit` and `labkit.training.gan.fit`.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeAlias, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from labkit.colorizer import Colorizer
from labkit.device import Precision
from labkit.errors import LabkitError

Plan: TypeAlias = tuple[Tensor, Tensor, Tensor]  # order of an epoch's images, which are mirrored, their turns; (N,)


@dataclass(frozen=True)
class LoopSettings:
    """What every training loop is told; the GAN's in `labkit.training.gan` has these in common with `fit`."""

    epochs: int = 8
    batch_size: int = 64
    learning_rate: float = 4e-3
    flips: bool = True  # mirror half of the images
    rotation: float = 0.0  # turn each image by an angle of up to so many degrees, either way
    precision: Precision = "auto"  # auto: bf16 or fp16 where the hardware gains from it
    device: str = "auto"
    seed: int = 0
    checkpoint_seconds: float = 30.0  # between checkpoints inside an epoch; each epoch ends with one

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "learning_rate"):
            if not 0 < getattr(self, name) < math.inf:
                raise LabkitError(f"{name} must be above zero and finite. Got {getattr(self, name)}")
        if not 0 <= self.rotation <= 180:
            raise LabkitError(f"rotation must be from 0 to 180 degrees. Got {self.rotation}")
        if not 0 <= self.seed < 2**32:
            raise LabkitError(f"seed must be from 0 to 2**32 - 1. Got {self.seed}")
        if self.precision not in get_args(Precision):
            raise LabkitError(f"precision must be one of {', '.join(get_args(Precision))}. Got {self.precision!r}")


@dataclass
class History:
    """What happened: one row an epoch, and the seconds spent in the loop.

    Looking at validation images after each epoch counts as well; import and final scoring do not.
    """

    rows: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0
    precision: str = "float32"
    device: str = "cpu"
    stopped_early: bool = False


@torch.no_grad()
def dataset_loss(colorizer: Colorizer, images: Tensor, batch_size: int = 256) -> float:
    """The representation's loss over ``(N, 3, H, W)`` uint8 images, in evaluation mode: the mean over images."""
    total = 0.0
    pixels = images.shape[-2] * images.shape[-1]
    batch_size = max(1, min(batch_size, 2**20 // pixels))  # a classifier predicts hundreds of numbers for each
    for part in images.split(batch_size):
        gray, target = colorizer.representation.encode(part.to(colorizer.device), colorizer.network.output_stride)
        total += float(colorizer.representation.loss(colorizer.predict(gray), target)) * len(part)
    return total / len(images)


def fingerprint(colorizer: Colorizer, train: Tensor, settings: LoopSettings, precision: str) -> dict[str, object]:
    """What must be the same for a resumed run to be the same run; JSON types only."""
    own = {k: v for k, v in asdict(settings).items() if k not in ("checkpoint_seconds", "compile", "device")}
    return own | {
        "precision": precision,
        "representation": colorizer.representation.config(),
        "network": colorizer.network.config(),
        "training images": digest(train),
    }


def digest(images: Tensor) -> str:
    """The images' SHA-256, cut to 16 digits."""
    return hashlib.sha256(images.cpu().contiguous().numpy().tobytes()).hexdigest()[:16]


def epoch_plan(epoch: int, count: int, settings: LoopSettings, device: torch.device) -> Plan:
    """The epoch's order, which images are mirrored, and by how many degrees each is turned; each ``(count,)``.

    Drawn on the CPU, the same everywhere.
    """
    generator = torch.Generator().manual_seed(settings.seed * 1_000_003 + epoch)
    order = torch.randperm(count, generator=generator)
    mirrored = torch.rand(count, generator=generator) < 0.5
    degrees = settings.rotation * (2 * torch.rand(count, generator=generator) - 1)
    return order.to(device), mirrored.to(device), degrees.to(device)


def take_batch(images: Tensor, plan: Plan, batch: int, settings: LoopSettings) -> Tensor:
    """The images of a batch in the epoch's order, mirrored and turned as planned, ``(B, 3, H, W)``."""
    chosen = slice(batch * settings.batch_size, (batch + 1) * settings.batch_size)
    order, mirrored, degrees = (part[chosen] for part in plan)
    rgb = images[order]
    if settings.flips:
        rgb = torch.where(mirrored[:, None, None, None], rgb.flip(-1), rgb)
    return rotated(rgb, degrees) if settings.rotation else rgb


def rotated(rgb: Tensor, degrees: Tensor) -> Tensor:
    """Each image turned counterclockwise about its center by its own angle: uint8 ``(B, 3, H, W)``, ``(B,)``.

    Bilinear; the image is mirrored at its border to fill the corners. By hand, because torchvision turns a whole batch
    by one angle and fills with one color, which a colorizer would learn to paint.
    """
    height, width = rgb.shape[-2:]
    cos, sin = torch.deg2rad(degrees).cos(), torch.deg2rad(degrees).sin()
    zero = torch.zeros_like(cos)
    # grid_sample measures each side from -1 to 1: the ratio of the sides keeps the turn rigid
    rows = (cos, -sin * height / width, zero), (sin * width / height, cos, zero)
    turn = torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)  # (B, 2, 3)
    grid = F.affine_grid(turn, list(rgb.shape), align_corners=False)
    turned = F.grid_sample(rgb.float(), grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    return turned.round().clamp(0, 255).to(torch.uint8)


def check_images(images: Tensor, name: str) -> None:
    """Raises ``LabkitError`` unless images are uint8 ``(N, 3, H, W)``."""
    if images.dim() != 4 or images.shape[1] != 3 or images.dtype != torch.uint8 or len(images) == 0:
        raise LabkitError(
            f"{name} images must be a uint8 tensor (N, 3, H, W) with N > 0. Got {images.dtype} {tuple(images.shape)}"
        )


def require_finite(loss: float, epoch: int, batch: int, settings: LoopSettings) -> None:
    """Raises ``LabkitError`` saying what to try when a loss is NaN or infinite."""
    if not math.isfinite(loss):
        raise LabkitError(
            f"the loss is {loss} in epoch {epoch + 1}, batch {batch + 1}: training stopped. Try a learning rate below "
            f"{settings.learning_rate:g}, or precision float32 (now {settings.precision})"
        )


def progress_bar(progress: bool, steps: int, done: int) -> Any:
    """A bar on standard error, ``done`` of ``steps`` batches full; an invisible one without ``progress``."""
    from tqdm.auto import tqdm  # a bar of the notebook in notebooks, where standard error is pink

    # in stored notebooks (LABKIT_STATIC) a bar would only be clutter
    hidden = not progress or os.environ.get("LABKIT_STATIC") == "1"
    return tqdm(total=steps, initial=done, desc="training", unit="batch", leave=False, disable=hidden)


@contextmanager
def logger(folder: str | Path | None) -> Iterator[Any]:
    """A function that writes an epoch's numbers and eight sample images to TensorBoard; without a folder, nothing."""
    if folder is None:
        yield lambda row, colorizer, images: None
        return
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise LabkitError("TensorBoard is not installed: pip install tensorboard, or leave out --tensorboard") from None
    writer = SummaryWriter(str(folder))

    def log(row: Mapping[str, float], colorizer: Colorizer, images: Tensor) -> None:
        epoch = int(row["epoch"])
        for name, value in row.items():
            if name != "epoch":
                writer.add_scalar(name, value, epoch)
        writer.add_images("colorized", colorizer.reconstruct(images[:8]).clamp(0, 1), epoch)
        if epoch == 1:
            writer.add_images("true", images[:8], epoch)
        writer.flush()

    try:
        yield log
    finally:
        writer.close()
