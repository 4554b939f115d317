"""Training speed as ratios, measured side by side in one run: `pytest -m slow tests/test_throughput.py -s`.

Three loops train the same U-Net (width 16, batches of 64) on the same 5,000 images of 32x32:

- tutorial: scikit-image's ``rgb2lab`` per item in a DataLoader with 2 persistent workers, float32;
- ready: `fit`'s settings with gray and target computed beforehand, so nothing but the network is timed;
- labkit: `fit` from uint8 images.
"""

import statistics
import time
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from labkit.colorizer import Colorizer
from labkit.device import pick_precision

COUNT, BATCH, ROUNDS = 5000, 64, 3


def images() -> torch.Tensor:
    return torch.randint(0, 256, (COUNT, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


class RgbToLabPerItem(torch.utils.data.Dataset):
    def __init__(self, arrays: np.ndarray) -> None:
        self.arrays = arrays

    def __len__(self) -> int:
        return len(self.arrays)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        from skimage.color import rgb2lab

        lab = torch.from_numpy(rgb2lab(self.arrays[index]).astype(np.float32)).permute(2, 0, 1)
        return lab[:1] / 100, lab[1:] / 110


def tutorial_epoch() -> Callable[[], float]:
    network = Colorizer("lab", "unet", width=16).network
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    loader = torch.utils.data.DataLoader(
        RgbToLabPerItem(images().permute(0, 2, 3, 1).numpy()),
        BATCH,
        shuffle=True,
        num_workers=2,
        persistent_workers=True,
    )

    def epoch() -> float:
        network.train()
        started = time.perf_counter()
        for gray, target in loader:
            optimizer.zero_grad()
            F.mse_loss(network(gray), target).backward()
            optimizer.step()
        return time.perf_counter() - started

    return epoch


def ready_epoch() -> Callable[[], float]:
    colorizer = Colorizer("lab", "unet", width=16)
    network = colorizer.network.to(memory_format=torch.channels_last).train()
    gray, target = colorizer.representation.encode(images())
    gray = gray.contiguous(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3, fused=True)
    bf16 = pick_precision("auto", torch.device("cpu")) == "bf16"

    def epoch() -> float:
        started = time.perf_counter()
        for batch in torch.randperm(COUNT).split(BATCH):
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                prediction = network(gray[batch])
            loss = F.mse_loss(prediction.float(), target[batch])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
        return time.perf_counter() - started

    return epoch


def labkit_epoch() -> Callable[[], float]:
    colorizer, data = Colorizer("lab", "unet", width=16), images()
    return lambda: colorizer.fit(data, epochs=1, batch_size=BATCH, device="cpu", progress=False).seconds


@pytest.mark.slow
def test_throughput() -> None:
    loops = {"tutorial": tutorial_epoch(), "ready": ready_epoch(), "labkit": labkit_epoch()}
    for epoch in loops.values():
        epoch()  # workers start, memory is taken, kernels are chosen
    seconds: dict[str, list[float]] = {name: [] for name in loops}
    for _ in range(ROUNDS):  # in turn, so that a machine that slows down slows all three
        for name, epoch in loops.items():
            seconds[name].append(epoch())
    speed = {name: COUNT / statistics.median(times) for name, times in seconds.items()}
    against_tutorial, against_ready = speed["labkit"] / speed["tutorial"], speed["labkit"] / speed["ready"]
    print({name: f"{value:.0f} images/s" for name, value in speed.items()})
    print(f"labkit / tutorial {against_tutorial:.2f}, labkit / ready {against_ready:.3f}")
    if pick_precision("auto", torch.device("cpu")) != "bf16":
        pytest.skip("this CPU does not compute in bf16: the ratios below are for those that do")
    assert against_tutorial >= 2.2
    assert against_ready >= 0.92
