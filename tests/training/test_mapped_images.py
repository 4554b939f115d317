"""Training images that are mapped from a file: read ahead, never copied as a whole, and the same weights."""

import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from labkit.colorizer import Colorizer
from labkit.training import session
from labkit.training.batches import batches_ahead
from labkit.training.loop import fit


def test_batches_come_in_order_each_while_the_one_before_is_used() -> None:
    threads, second = set(), threading.Event()

    def take(batch: int) -> torch.Tensor:
        threads.add(threading.get_ident())
        if batch == 3:
            second.set()
        return torch.tensor(batch)

    ahead = batches_ahead(take, range(2, 6), True)
    assert int(next(ahead)) == 2 and second.wait(10)  # the next one is taken although nobody has asked for it
    assert [int(batch) for batch in ahead] == [3, 4, 5] and threads != {threading.get_ident()}
    assert [int(batch) for batch in batches_ahead(take, range(2, 6), False)] == [2, 3, 4, 5]


def test_what_reading_ahead_raises_reaches_the_loop() -> None:
    with pytest.raises(OSError, match="disk"):
        list(batches_ahead(lambda batch: (_ for _ in ()).throw(OSError("disk")), range(3), True))


def test_reading_ahead_changes_no_weight(monkeypatch: pytest.MonkeyPatch) -> None:
    images = torch.randint(0, 256, (20, 3, 16, 16), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    trained = []
    for least in (session.READ_AHEAD_FROM, 0):
        monkeypatch.setattr(session, "READ_AHEAD_FROM", least)
        model = Colorizer("luma-chroma", "unet-half", width=4, seed=0)
        fit(model.network, model.representation, images, epochs=2, batch_size=8, zoom=2.0, device="cpu", progress=False)
        trained.append(torch.cat([tensor.flatten() for tensor in model.network.state_dict().values()]))
    assert torch.equal(*trained)


TRAIN = """
import json, sys, threading, time
import numpy as np, torch
from labkit.colorizer import Colorizer
from labkit.training import session
from labkit.training.loop import fit

path, seconds, session.READ_AHEAD_FROM = sys.argv[1], float(sys.argv[2]), 1 << 20
images = torch.from_numpy(np.load(path, mmap_mode="c"))
model = Colorizer("luma-chroma", "unet-half", width=4, seed=0)
def fit_to(images, **more):
    fit(model.network, model.representation, images, batch_size=16, device="cpu", progress=False, **more)
def anonymous():
    return int(next(line for line in open("/proc/self/status") if line.startswith("RssAnon")).split()[1]) << 10
fit_to(images[:32], epochs=1)
before, peak, began = anonymous(), 0, time.monotonic()
class Enough(Exception): pass
def watch():
    global peak
    while True:
        peak = max(peak, anonymous())
        time.sleep(0.01)
threading.Thread(target=watch, daemon=True).start()
def encode(rgb, stride, old=model.representation.encode):
    if time.monotonic() - began > seconds: raise Enough
    return old(rgb, stride)
model.representation.encode = encode
try: fit_to(images, epochs=1)
except Enough: pass
print(json.dumps({"before": before, "peak": peak}))
"""


def trained_on(path: Path, count: int, size: int, seconds: float) -> dict[str, int]:
    """Train on a file of so many images, for so long; return the anonymous memory before and at its peak, in bytes."""
    images = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(count, 3, size, size))
    images[:: max(1, count // 50), :, : size // 2] = 200  # the rest of the file is a hole, which reads as zeros
    images.flush()
    del images
    command = [sys.executable, "-c", TRAIN, str(path), str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=500)
    return dict(json.loads(done.stdout))


linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/status")


@linux
def test_memory_does_not_grow_with_the_images(tmp_path: Path) -> None:
    used = trained_on(tmp_path / "images.npy", 4000, 128, seconds=5)  # 197 MB
    assert used["peak"] - used["before"] < 90e6


@linux
@pytest.mark.slow
@pytest.mark.parametrize(("count", "size"), [(100_000, 64), (5_800, 512)])
def test_four_gigabytes_are_enough_for_a_large_set(count: int, size: int, tmp_path: Path) -> None:
    start = time.monotonic()
    used = trained_on(tmp_path / "images.npy", count, size, seconds=200)
    print(f"{count} images of {size} px: peak {used['peak'] / 1e9:.2f} GB, {time.monotonic() - start:.0f} s")
    assert used["peak"] < 4e9
