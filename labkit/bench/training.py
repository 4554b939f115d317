"""Training: labkit, the loop that most tutorials show, and the same network on tensors that are ready."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from labkit.bench.measure import Contestant, Settings, compare, in_fresh_process, peak_memory
from labkit.bench.report import Row
from labkit.colorizer import Colorizer
from labkit.data import load
from labkit.data.pictures import read_all
from labkit.device import autocast, pick_precision
from labkit.errors import LabkitError
from labkit.metrics import gray_prediction, mse, skill
from labkit.models import evaluation_mode, make_network
from labkit.representation import LAB

WIDTH, WIDE = 16, 64  # of the network; the wide one shows how near to its peak the processor comes
SIZES = {32: (2560, 64), 96: (256, 32), 256: (32, 8)}  # side in pixels: images of an epoch, and of a batch
JPEG_EPOCHS = (
    2  # labkit decodes each file once, the tutorial's loop once an epoch: the usual 8 would be kinder to labkit
)
WORKERS = 2
SKILL, EPOCHS, EPOCHS_AT_MOST = 0.36, 8, 40  # of the part quality: of labkit, and of the tutorial's loop
# The fastest way to that skill that we know, chosen on the same validation images: see docs/performance.md.
FASTEST: dict[str, Any] = {"optimizer": "muon", "learning_rate": 0.01, "batch_size": 16, "epochs": 1}
FASTEST_WIDTH = 16


class Items(Dataset[tuple[Tensor, Tensor]]):
    """The data set of the tutorials: one image a call, converted by scikit-image.

    Args:
        images: uint8 arrays ``(H, W, 3)``, or paths of pictures.
    """

    def __init__(self, images: Sequence[np.ndarray] | Sequence[Path]) -> None:
        """Keep the images."""
        self.images = images

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """Return L / 100 and a and b / 110 of an image."""
        from skimage.color import rgb2lab

        image = self.images[index]
        rgb = np.asarray(Image.open(image).convert("RGB")) if isinstance(image, Path) else image
        lab = torch.from_numpy(rgb2lab(rgb).astype(np.float32)).permute(2, 0, 1)
        return lab[:1] / 100, lab[1:] / 110


class Tutorial:
    """The loop of the tutorials: float32, a DataLoader with two workers that stay, Adam with a constant rate.

    Args:
        items: see `Items`.
        batch_size: images in a step.
        width: of the U-Net.
    """

    def __init__(self, items: Items, batch_size: int, width: int = WIDTH) -> None:
        """Make the network, the loader and the optimizer."""
        self.network = make_network("unet", LAB.channels, width=width)
        self.loader = DataLoader(items, batch_size, shuffle=True, num_workers=WORKERS, persistent_workers=True)
        self.optimizer = torch.optim.Adam(self.network.parameters(), 1e-3)

    def epoch(self) -> None:
        """Train on every image once."""
        self.network.train()
        for gray, target in self.loader:
            self.optimizer.zero_grad()
            F.mse_loss(self.network(gray), target).backward()
            self.optimizer.step()


def labkit_epochs(images: Tensor, batch_size: int, epochs: int = 1, width: int = WIDTH) -> Contestant:
    """Return labkit's contestant: `fit` from uint8 images, everything that a user waits for included."""
    colorizer = Colorizer("lab", "unet", width=width)

    def run() -> None:
        colorizer.fit(images, epochs=epochs, batch_size=batch_size, device="cpu", progress=False)

    return run


def ready_epoch(images: Tensor, batch_size: int, width: int = WIDTH) -> Contestant:
    """Return a contestant that trains as `fit` does on gray and target that were made before: the network alone."""
    colorizer = Colorizer("lab", "unet", width=width)
    network = colorizer.network.train()
    gray, target = colorizer.representation.encode(images)
    gray = gray.contiguous(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3, fused=True)
    cpu = torch.device("cpu")

    def run() -> None:
        for batch in torch.randperm(len(images)).split(batch_size):
            with autocast(pick_precision("auto", cpu), cpu):
                prediction = network(gray[batch])
            loss = F.mse_loss(prediction.float(), target[batch])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()

    return run


def tutorial_epoch(images: Tensor, batch_size: int) -> Contestant:
    """Return the contestant that trains with the loop of the tutorials."""
    return Tutorial(Items(arrays(images)), batch_size).epoch


MAKERS = {"labkit": labkit_epochs, "tutorial loop": tutorial_epoch, "ready tensors": ready_epoch}


def pictures(count: int, size: int) -> Tensor:
    """Return parts of labkit's photographs: real texture, which decides how long a JPEG file takes to decode.

    Args:
        count: how many.
        size: side in pixels, at most 256.

    Returns: uint8 ``(count, 3, size, size)``.
    """
    photographs = load("photos", "test").images
    random = torch.Generator().manual_seed(0)
    room = photographs.shape[-1] - size + 1
    corners = torch.randint(room, (count, 2), generator=random).tolist()
    return torch.stack(
        [photographs[i % len(photographs), :, y : y + size, x : x + size] for i, (y, x) in enumerate(corners)]
    )


def arrays(images: Tensor) -> list[np.ndarray]:
    """Return images as scikit-image wants them: ``(H, W, 3)`` uint8."""
    return list(images.permute(0, 2, 3, 1).contiguous().numpy())


def training(settings: Settings) -> Iterator[Row]:
    """Compare the training of a U-Net of width 16 at three sizes, from arrays and from JPEG files; and of width 64."""
    for size, (count, batch_size) in SIZES.items():
        images = pictures(max(batch_size, count // 20) if settings.quick else count, size)
        task = f"U-Net of width {WIDTH}, {len(images)} x {size} px"
        yield from compare("training", f"{task}, from arrays", from_arrays(images, batch_size), settings.repeats)
        with jpeg_files(images) as files:
            from_files = {
                "labkit": _labkit_from_files(files, size, batch_size),
                "tutorial loop": _epochs(Tutorial(Items(files), batch_size), JPEG_EPOCHS),
            }
            task = f"{task}, {JPEG_EPOCHS} epochs from JPEG files"
            yield from compare("training", task, from_files, settings.repeats)
    size, (count, batch_size) = next(iter(SIZES.items()))
    images = pictures(max(batch_size, count // 20) if settings.quick else count // 5, size)
    wide: dict[str, Contestant] = {
        "labkit": labkit_epochs(images, batch_size, width=WIDE),
        "ready tensors": ready_epoch(images, batch_size, WIDE),
    }
    task = f"U-Net of width {WIDE}, {len(images)} x {size} px, from arrays"
    yield from compare("training", task, wide, settings.repeats)


def from_arrays(images: Tensor, batch_size: int) -> dict[str, Contestant]:
    """Return the contestants that train for an epoch on images ``(N, 3, H, W)`` uint8, labkit's first."""
    return {name: make(images, batch_size) for name, make in MAKERS.items()}


@contextmanager
def jpeg_files(images: Tensor) -> Iterator[list[Path]]:
    """Write images as JPEG files; they are gone when the context ends."""
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{index}.jpg" for index in range(len(images))]
        for file, image in zip(files, arrays(images), strict=True):
            Image.fromarray(image).save(file, quality=90)
        yield files


def _labkit_from_files(files: list[Path], size: int, batch_size: int) -> Contestant:
    """Return labkit's way from files, as for ``load("folder")``: decoded once, without an earlier run's cache."""

    def run() -> None:
        with tempfile.TemporaryDirectory() as cache:
            images = read_all(files, [file.name for file in files], size, Path(cache), "bench")
            labkit_epochs(images, batch_size, JPEG_EPOCHS)()

    return run


def _epochs(tutorial: Tutorial, count: int) -> Contestant:
    def run() -> None:
        for _ in range(count):
            tutorial.epoch()

    return run


# ---------------------------------------------------------------------------------------------------- time to quality


def quality(settings: Settings) -> Iterator[Row]:
    """Compare the time to a skill on the validation horses of CIFAR-10: labkit with Muon, its defaults, tutorial."""
    train, held_out = (
        load("cifar10", split, classes="horse", root=settings.data_root) for split in ("train", "validation")
    )
    contestants = {
        "labkit, Muon": lambda: labkit_to_skill(train.images, held_out.images, SKILL, FASTEST_WIDTH, **FASTEST),
        "labkit, defaults": lambda: labkit_to_skill(train.images, held_out.images, SKILL, epochs=EPOCHS),
        "tutorial loop": lambda: tutorial_to_skill(train.images, held_out.images, SKILL),
    }
    repeats = 1 if settings.quick else min(settings.repeats, 3)  # each takes minutes
    task = f"time to a skill of {SKILL} on {len(held_out)} validation horses"
    yield from compare("quality", task, contestants, repeats, warm_up=False, operators=False)


def labkit_to_skill(train: Tensor, held_out: Tensor, wanted: float, width: int = 32, **options: Any) -> float:
    """Train a half-resolution U-Net with `Colorizer.fit`.

    Args:
        train: images ``(N, 3, H, W)`` uint8 to train on.
        held_out: images to score after each epoch.
        wanted: the skill.
        width: of the network.
        **options: of `Colorizer.fit`.

    Returns: the seconds until the first epoch that has it, scoring not counted.

    Raises:
        LabkitError: no epoch has it.
    """
    colorizer = Colorizer(width=width)
    scoring = [0.0]

    def watch() -> dict[str, float]:
        began = time.perf_counter()
        found = _skill(colorizer.representation.decode, colorizer.predict, colorizer.representation.gray, held_out)
        scoring.append(scoring[-1] + time.perf_counter() - began)
        return {"skill": found}

    history = colorizer.fit(train, device="cpu", progress=False, watch=watch, **options)
    for row, spent in zip(history.rows, scoring[1:], strict=True):
        if row["skill"] >= wanted:
            return row["seconds"] - spent
    best = max(row["skill"] for row in history.rows)
    raise LabkitError(f"labkit reaches a skill of {best:.3f} in {len(history.rows)} epochs")


def tutorial_to_skill(train: Tensor, held_out: Tensor, wanted: float, width: int = 32) -> float:
    """Train with the tutorial's loop; arguments, result and errors as of `labkit_to_skill`."""
    tutorial, lab = Tutorial(Items(arrays(train)), 64, width), LAB()
    seconds, best = 0.0, -1.0
    for _ in range(EPOCHS_AT_MOST):
        began = time.perf_counter()
        tutorial.epoch()
        seconds += time.perf_counter() - began
        with evaluation_mode(tutorial.network):
            best = max(best, _skill(lab.decode, tutorial.network, lab.gray, held_out))
        if best >= wanted:
            return seconds
    raise LabkitError(f"the tutorial's loop reaches a skill of {best:.3f} in {EPOCHS_AT_MOST} epochs")


@torch.no_grad()
def _skill(decode: Any, predict: Callable[[Tensor], Tensor], gray: Any, images: Tensor) -> float:
    predicted = torch.cat([decode(gray(part), predict(gray(part))) for part in images.split(256)])
    return skill(float(mse(predicted, images).mean()), float(mse(gray_prediction(images), images).mean()))


# ------------------------------------------------------------------------------------------------------------- memory


def memory(settings: Settings) -> Iterator[Row]:
    """Compare the memory that a training adds to its process, each in a fresh one; the workers' own is not counted."""
    sizes = {size: SIZES[size] for size in ((32,) if settings.quick else (32, 256))}
    for size, (_, batch_size) in sizes.items():
        work = (2 * batch_size, size, batch_size, torch.get_num_threads())
        contestants = {name: partial(in_fresh_process, memory_of, name, *work) for name in MAKERS}
        task = f"peak of training, batches of {batch_size} x {size} px"
        options: dict[str, Any] = {"unit": "bytes", "warm_up": False, "operators": False}
        yield from compare("memory", task, contestants, settings.repeats, **options)


def memory_of(name: str, count: int, size: int, batch_size: int, threads: int) -> float:
    """Train for an epoch in this process; return the bytes by which its peak exceeds what it held before."""
    torch.set_num_threads(threads)
    MAKERS[name](pictures(2, 32), 2)()  # what is imported late is no memory of the training
    before, _ = peak_memory()
    MAKERS[name](pictures(count, size), batch_size)()
    return peak_memory()[1] - before
