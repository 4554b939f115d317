"""Images in batches: the plan of an epoch, its augmentations, and the loss over a whole data set.

The whole data set is one uint8 tensor on the training device; color conversion, mirroring and rotation happen there,
batch by batch. For images of this size that is faster than a DataLoader with workers, and it is less code.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F

from labkit.color import HasImages, image_tensor
from labkit.errors import LabkitError, check_integer
from labkit.models import Network, evaluation_mode
from labkit.options import LoopSettings
from labkit.representation import Representation

# Order of an epoch's images, which are mirrored, their angles, where and how far parts of them are enlarged, and the
# size of the batch that each would begin: (N,), but for the parts, (N, 3).
Plan: TypeAlias = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]

SIZE_STEP = 0.5  # between the sizes of batches


def epoch_plan(epoch: int, count: int, settings: LoopSettings, device: torch.device) -> Plan:
    """Draw the order of an epoch's images, which are mirrored, and by how many degrees each is rotated.

    Args:
        epoch: number of the epoch, from 0; with ``settings.seed`` it decides what is drawn.
        count: number of training images.
        settings: see `LoopSettings`.
        device: where the training images are. The numbers are drawn on the CPU, the same for every device.

    Returns: three tensors ``(count,)``: indices, booleans, degrees; ``(count, 3)``: the factor by which a part is
        enlarged, and where it lies, down and across, from 0 to 1; and ``(count,)``: the factor by which a whole batch
        is enlarged, that of its first image.
    """
    generator = torch.Generator().manual_seed(settings.seed * 1_000_003 + epoch)
    order = torch.randperm(count, generator=generator)
    mirrored = torch.rand(count, generator=generator) < 0.5
    degrees = settings.rotation * (2 * torch.rand(count, generator=generator) - 1)
    part = torch.rand(count, 3, generator=generator)
    part[:, 0] = settings.zoom ** part[:, 0]  # as many are enlarged by 1 to 2 as by 2 to 4
    sizes = torch.arange(1, settings.enlarge + 1e-6, SIZE_STEP)
    factor = sizes[torch.multinomial(sizes**-2, count, replacement=True, generator=generator)]  # equal time for each
    return order.to(device), mirrored.to(device), degrees.to(device), part.to(device), factor


def take_batch(
    images: Tensor, plan: Plan, batch: int, settings: LoopSettings, rank: int = 0, processes: int = 1
) -> Tensor:
    """Return a batch in the epoch's order, mirrored, rotated and enlarged as planned: ``(B, 3, fH, fW)`` uint8.

    The factor f of a batch is 1 without ``settings.enlarge``.

    Process ``rank`` takes the images rank, rank + processes, ... of the batch, so that together the processes have the
    batch that one would have. If none is left for it, it takes the last one; `part_of_batch` gives that no weight.
    """
    *for_each, factors = plan
    batch_plan = (drawn[batch * settings.batch_size : (batch + 1) * settings.batch_size] for drawn in for_each)
    order, mirrored, degrees, parts = (drawn[min(rank, len(drawn) - 1) :: processes] for drawn in batch_plan)
    rgb = images[order]
    if settings.flips:
        rgb = torch.where(mirrored[:, None, None, None], rgb.flip(-1), rgb)
    if settings.rotation:
        rgb = rotated(rgb, degrees)
    factor = float(factors[batch * settings.batch_size])
    return enlarged(rgb, parts, factor) if settings.zoom > 1 or factor > 1 else rgb


def batches_ahead(take: Callable[[int], Tensor], batches: range, ahead: bool) -> Iterator[Tensor]:
    """Yield ``take(batch)`` for each number of a batch.

    Args:
        take: returns a batch.
        batches: their numbers, one at least.
        ahead: take the next batch, in a thread, while the caller computes with this one. That pays where images are
            read from a disk; where they are in memory the thread would only compete for the cores.
    """
    if not ahead:
        yield from map(take, batches)
        return
    with ThreadPoolExecutor(1) as reader:
        following = reader.submit(take, batches[0])
        for batch in batches:
            current = following.result()
            if batch + 1 in batches:
                following = reader.submit(take, batch + 1)
            yield current


def part_of_batch(batch: int, count: int, batch_size: int, rank: int, processes: int) -> tuple[int, float]:
    """Return how many images of a batch are this process's, and the weight of their mean loss.

    The mean over processes of weighted mean losses is the mean over the batch, also where the last one of an epoch
    cannot be split evenly.

    Args:
        batch: number of the batch in its epoch.
        count: number of training images.
        batch_size: images per step, over all processes.
        rank: number of this process.
        processes: how many there are.
    """
    whole = min(batch_size, count - batch * batch_size)
    mine = len(range(rank, whole, processes))
    return mine, mine * processes / whole


def enlarged(rgb: Tensor, parts: Tensor, factor: float = 1.0) -> Tensor:
    """Cut a part out of each image and enlarge it to the size of the image, or a multiple of it, bilinearly.

    A network that has seen things at one size only fails on photographs where they are larger; and one that has seen
    images of one size only is too sure of itself on larger ones, where less of what it sees is border.

    Args:
        rgb: ``(B, 3, H, W)`` uint8.
        parts: ``(B, 3)``: factor, and where the part lies, down and across, from 0 (top, left) to 1 (bottom, right).
        factor: size of the result, as a multiple of the image's.

    Returns: ``(B, 3, fH, fW)`` uint8.
    """
    side = 1 / parts[:, 0]
    down, across = (2 * parts[:, 1:] - 1).T * (1 - side)  # of the middle, from -1 to 1
    zero = torch.zeros_like(side)
    rows = (side, zero, across), (zero, side, down)
    crop = torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)  # (B, 2, 3)
    size = [*rgb.shape[:2], *(round(factor * side) for side in rgb.shape[-2:])]
    grid = F.affine_grid(crop, size, align_corners=False)
    large = F.grid_sample(rgb.float(), grid, mode="bilinear", padding_mode="border", align_corners=False)
    return large.round().clamp(0, 255).to(torch.uint8)


def rotated(rgb: Tensor, degrees: Tensor) -> Tensor:
    """Rotate each image counterclockwise about its center by its own angle.

    Bilinear; the image is mirrored at its border to fill the corners. By hand, because torchvision rotates a whole
    batch by one angle and fills the corners with one color, which a colorizer would learn to predict.

    Args:
        rgb: ``(B, 3, H, W)`` uint8.
        degrees: ``(B,)``.

    Returns: ``(B, 3, H, W)`` uint8.
    """
    height, width = rgb.shape[-2:]
    cos, sin = torch.deg2rad(degrees).cos(), torch.deg2rad(degrees).sin()
    zero = torch.zeros_like(cos)
    # grid_sample measures each side from -1 to 1: the ratio of the sides keeps the rotation rigid
    rows = (cos, -sin * height / width, zero), (sin * width / height, cos, zero)
    turn = torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)  # (B, 2, 3)
    grid = F.affine_grid(turn, list(rgb.shape), align_corners=False)
    turned = F.grid_sample(rgb.float(), grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    return turned.round().clamp(0, 255).to(torch.uint8)


def training_images(images: Tensor | HasImages, name: str = "training") -> Tensor:
    """Return the images of a data set, or a tensor itself, after a check.

    Args:
        images: a `Dataset`, or a tensor ``(N, 3, H, W)`` uint8.
        name: what they are, for the message.

    Returns: ``(N, 3, H, W)`` uint8.

    Raises:
        LabkitError: another shape or type, or no image.
    """
    images = image_tensor(images)
    if images.dim() != 4 or images.shape[1] != 3 or images.dtype != torch.uint8 or len(images) == 0:
        raise LabkitError(
            f"{name} images must be a uint8 tensor (N, 3, H, W) with N > 0. Got {images.dtype} {tuple(images.shape)}"
        )
    return images


def digest(images: Tensor) -> str:
    """Return the SHA-256 of images, cut to 16 hexadecimal digits."""
    return hashlib.sha256(images.cpu().contiguous().numpy().data).hexdigest()[:16]


@torch.no_grad()
def dataset_loss(
    network: Network, representation: Representation, images: Tensor | HasImages, batch_size: int = 256
) -> float:
    """Return the representation's loss over images, with the network in evaluation mode: the mean over images.

    Args:
        network: predicts for the representation; on the same device.
        representation: encodes the images and defines the loss.
        images: a `Dataset`, or a tensor ``(N, 3, H, W)`` uint8 on any device.
        batch_size: images at a time, fewer if they are large.
    """
    batch_size = check_integer("batch_size", batch_size, low=1)
    images = image_tensor(images)
    device = next(network.parameters()).device
    pixels = images.shape[-2] * images.shape[-1]
    batch_size = max(1, min(batch_size, 2**20 // pixels))  # a classifier predicts hundreds of numbers for each pixel
    total = 0.0
    with evaluation_mode(network):
        for part in images.split(batch_size):
            gray, target = representation.encode(part.to(device), network.output_stride)
            total += float(representation.loss(network(gray), target)) * len(part)
    return total / len(images)
