"""Train a small network with group normalization; torchrun starts it in two processes, the test in one."""

import json
import os
import signal
import sys
from pathlib import Path

import torch

from labkit.models import make_network
from labkit.representation import make_representation
from labkit.training import fit
from labkit.training.distributed import launched_rank, process_group

# 11 images in batches of 5: the last batch has one, which only one of two processes can have
SETTINGS = {"epochs": 3, "batch_size": 5, "precision": "float32", "device": "cpu", "learning_rate": 1e-3}


def train(out: Path, dies: bool = False) -> dict[str, list[float]]:
    """Return the losses and the weights; a process that dies does so once, after the second epoch."""
    images = torch.randint(0, 256, (11, 3, 16, 16), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    torch.manual_seed(0)
    network = make_network("unet-half", 2, width=8, normalization="group")
    died, epochs = out / "died", []

    def watch() -> dict[str, float]:
        epochs.append(1)
        if dies and launched_rank() == 1 and len(epochs) == 2 and not died.exists():
            died.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return {}

    history = fit(
        network,
        make_representation("luma-chroma"),
        images,
        validation=images[:3],
        watch=watch,
        out=out,
        resume=True,
        progress=False,
        **SETTINGS,
    )
    losses = [row[name] for row in history.rows for name in ("train_loss", "validation_loss")]
    weights = torch.cat([tensor.flatten() for tensor in network.state_dict().values()]).tolist()
    return {"losses": losses, "weights": weights}


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    with process_group("cpu"):
        found = train(folder, dies="--dies" in sys.argv)
    (folder / f"{launched_rank()}.json").write_text(json.dumps(found))
