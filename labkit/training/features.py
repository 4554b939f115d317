"""Train the classifier whose features KID, FID and the perceptual loss use: ``python -m labkit.training.features``.

labkit ships one that was trained by this (``weights/features/CARD.md``), so there is rarely a reason to.
"""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from labkit import __version__
from labkit.artifacts import json_text, make_folder, write_bytes, write_json
from labkit.color import to_float
from labkit.data import Dataset, load
from labkit.device import pick_device, pick_precision
from labkit.errors import check_integer, check_seed
from labkit.metrics.features import CARD_FILE, WEIGHTS_FILE, Classifier
from labkit.models import count_parameters

BATCH_SIZE = 128
MAX_SHIFT = 4  # pixels


def train_classifier(out: Path = Path("features"), epochs: int = 10, seed: int = 0, device: str = "auto") -> None:
    """Train the classifier on CIFAR-10 (45,000 images) and write model.safetensors (float16) and model.json.

    The validation images are only watched; the test images are used once, when the weights are written.

    Args:
        out: folder to write into.
        epochs: passes over the training images.
        seed: of the initial weights, the order of the images and their shifts.
        device: auto, cpu, cuda, ...

    Raises:
        LabkitError: if the folder cannot be written, the device is not there or CIFAR-10 cannot be had.
    """
    epochs, seed = check_integer("epochs", epochs, low=1), check_seed(seed)
    make_folder(out)
    data, validation, test = (load("cifar10", split) for split in ("train", "validation", "test"))
    place = pick_device(device)
    precision = pick_precision("auto", place)
    torch.manual_seed(seed)
    network = Classifier().to(device=place, memory_format=torch.channels_last)  # type: ignore[call-overload]
    started = time.perf_counter()
    _fit(network, data, validation, epochs, precision)
    about = {
        "dataset": "cifar10, 45,000 training images",
        "epochs": epochs,
        "seed": seed,
        "precision": precision,
        "device": place.type,
        "torch": torch.__version__,
        "seconds": round(time.perf_counter() - started),
    }
    _write(network, out, about, validation, test)


@torch.no_grad()
def accuracy(classifier: Classifier, images: Tensor, labels: Tensor) -> float:
    """Return the fraction of images whose class the classifier predicts.

    Args:
        classifier: in evaluation mode.
        images: (N, 3, 32, 32), uint8.
        labels: (N,), the true classes.

    Returns:
        A number from 0 to 1.
    """
    device = next(classifier.parameters()).device
    correct = [
        (classifier(to_float(part.to(device))).argmax(dim=1).cpu() == truth).float()
        for part, truth in zip(images.split(100), labels.split(100), strict=True)
    ]
    return torch.cat(correct).mean().item()


def _fit(network: Classifier, data: Dataset, validation: Dataset, epochs: int, precision: str) -> None:
    from tqdm.auto import tqdm

    place = next(network.parameters()).device
    images, labels = data.images.to(place), data.labels.to(place)
    steps = epochs * (len(images) // BATCH_SIZE)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.2, total_steps=steps, pct_start=0.25)
    for epoch in range(epochs):
        order = torch.randperm(len(images)).to(place)
        batches = order.split(BATCH_SIZE)[: len(images) // BATCH_SIZE]
        for batch in tqdm(batches, desc=f"epoch {epoch + 1} of {epochs}", leave=False):
            rgb = _shifted_and_mirrored(images[batch]).contiguous(memory_format=torch.channels_last)
            with torch.autocast(place.type, torch.bfloat16, enabled=precision == "bf16"):  # fp16 would need a scaler
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


def _write(network: Classifier, out: Path, about: dict[str, Any], validation: Dataset, test: Dataset) -> None:
    """Write weights and card. The accuracies on the card are those of the weights as they are read, in float16."""
    from safetensors.torch import save

    state = {
        name: (tensor.half() if tensor.is_floating_point() else tensor).cpu().contiguous()
        for name, tensor in network.state_dict().items()
    }
    weights = save(state)
    as_read = Classifier().eval()
    as_read.load_state_dict(state)
    about["validation_accuracy"] = round(accuracy(as_read, validation.images, validation.labels), 4)
    about["test_accuracy"] = round(accuracy(as_read, test.images, test.labels), 4)
    card = {
        "labkit": __version__,
        "parameters": count_parameters(network),
        "sha256": hashlib.sha256(weights).hexdigest(),
        "about": about,
    }
    write_bytes(out / WEIGHTS_FILE, weights)
    write_json(out / CARD_FILE, card)
    print(json_text(about, indent=2))


def _shifted_and_mirrored(images: Tensor) -> Tensor:
    """uint8 (B, 3, H, W) -> float, each moved by up to `MAX_SHIFT` pixels, half of them mirrored.

    Colors are left alone (as many recipes do not): the features are to depend on them.
    """
    count, _, height, width = images.shape
    padded = F.pad(to_float(images), (MAX_SHIFT,) * 4, mode="reflect")
    down, right = torch.randint(0, 2 * MAX_SHIFT + 1, (2, count), device=images.device)
    rows = down[:, None, None] + torch.arange(height, device=images.device)[:, None]  # (B, H, 1)
    columns = right[:, None, None] + torch.arange(width, device=images.device)  # (B, 1, W)
    moved = padded[torch.arange(count, device=images.device)[:, None, None], :, rows, columns].permute(0, 3, 1, 2)
    mirrored = torch.rand(count, device=images.device) < 0.5
    return torch.where(mirrored[:, None, None, None], moved.flip(-1), moved)


if __name__ == "__main__":
    import typer

    typer.run(train_classifier)
