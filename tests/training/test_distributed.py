"""Training in several processes: the batches together are those of one process, and so is what comes of them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import two_processes

from labkit import Colorizer, LabkitError
from labkit.options import LoopSettings
from labkit.training import distributed, fit_gan
from labkit.training.batches import epoch_plan, part_of_batch, take_batch
from labkit.training.gan import discriminator_for
from labkit.training.run import train

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_parts_of_batches_are_the_batches(processes: int) -> None:
    images = torch.arange(11, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 2, 2)
    settings = LoopSettings(batch_size=5, seed=3)
    plan = epoch_plan(0, 11, settings, torch.device("cpu"))
    for batch, size in enumerate([5, 5, 1]):
        whole = take_batch(images, plan, batch, settings)[:, 0, 0, 0].tolist()
        found, weights = [], []
        for rank in range(processes):
            part = take_batch(images, plan, batch, settings, rank, processes)[:, 0, 0, 0].tolist()
            mine, weight = part_of_batch(batch, 11, 5, rank, processes)
            assert len(part) == max(mine, 1)  # a network cannot be given an empty batch
            found += part[:mine]
            weights.append(weight)
            assert weight == pytest.approx(mine * processes / size)
        assert sorted(found) == sorted(whole) and len(whole) == size
        assert sum(weights) / processes == pytest.approx(1)
    assert part_of_batch(0, 11, 5, 0, 1) == (5, 1.0)


def test_alone_nothing_is_shared() -> None:
    network = torch.nn.Linear(2, 2)
    with distributed.process_group("auto"):
        assert distributed.wrapped(network) is network
        assert (distributed.rank(), distributed.processes(), distributed.launched_rank()) == (0, 1, 0)
        assert distributed.from_first("mine") == "mine"


def test_a_gan_is_trained_by_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labkit.training.gan.processes", lambda: 2)
    model = Colorizer("lab", "unet", width=4)
    images = torch.zeros(2, 3, 16, 16, dtype=torch.uint8)
    with pytest.raises(LabkitError, match="a GAN is trained by one process. Got 2"):
        fit_gan(model.network, discriminator_for(model.representation), model.representation, images)


def test_another_processs_end_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(distributed.distributed, "is_torchelastic_launched", lambda: True)
    monkeypatch.setattr(distributed.distributed, "init_process_group", calls.append)
    monkeypatch.setattr(distributed.distributed, "destroy_process_group", lambda: calls.append("end"))
    expected = r"another process .* ended .*Connection closed by peer.*--resume"
    with pytest.raises(LabkitError, match=expected), distributed.process_group("cpu"):
        raise RuntimeError("[../gloo/transport/tcp/pair.cc:534] Connection closed by peer [127.0.0.1]:1")
    with pytest.raises(RuntimeError, match="a fault"), distributed.process_group("cpu"):
        raise RuntimeError("a fault of the program")
    assert calls == ["gloo", "end"] * 2


@pytest.mark.slow
def test_two_processes_train_as_one_and_go_on_after_one_was_killed(tmp_path: Path) -> None:
    one = two_processes.train(tmp_path / "one")
    script, out = str(two_processes.__file__), tmp_path / "two"
    out.mkdir()
    command = [*TORCHRUN, "--max-restarts", "1", script, str(out), "--dies"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stderr[-3000:]
    assert (out / "died").exists()
    two = [json.loads((out / f"{rank}.json").read_text()) for rank in range(2)]
    assert two[0] == two[1]
    assert two[0]["losses"] == pytest.approx(one["losses"], rel=1e-5)
    assert two[0]["weights"] == pytest.approx(one["weights"], abs=1e-5)  # after steps of 1e-3


@pytest.mark.slow
def test_the_command_in_two_processes(tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = ["--dataset", "toyworld", "--limit", "48", "--epochs", "1", "--width", "8", "--device", "cpu"]
    command = [*TORCHRUN, "-m", "labkit", "train", *options, "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("skill over gray") == 1
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["processes"] == 2 and metrics["images"]["train"] == 48
    assert {path.name for path in out.iterdir()} >= {"model.safetensors", "model.json", "metrics.json"}
    assert not (out / "checkpoint.safetensors").exists()
    again = train(dataset="toyworld", limit=48, epochs=1, width=8, device="cpu", out=out, resume=True)
    assert again == metrics  # what two processes trained is a finished training for one
