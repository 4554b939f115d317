"""Train one network in several processes: what `torchrun -m labkit train` starts, each on its own part of every batch.

torch does the work: its launcher starts the processes (ranks 0, 1, ...), and `DistributedDataParallel` averages their
gradients. In a process of its own all functions here do nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor, distributed, nn

from labkit.errors import LabkitError, one_line

Anything = TypeVar("Anything")


def rank() -> int:
    """Return the number of this process, from 0. Number 0 writes files and shows progress."""
    return distributed.get_rank() if _several() else 0


def processes() -> int:
    """Return how many processes train together."""
    return distributed.get_world_size() if _several() else 1


def _several() -> bool:
    return distributed.is_available() and distributed.is_initialized()


@contextmanager
def process_group(device: str) -> Iterator[None]:
    """Join the processes that torchrun has started, until the block ends; without torchrun do nothing.

    Args:
        device: option of the training. On GPUs each process takes its own, and NCCL connects them; else gloo does.

    Raises:
        LabkitError: another process ended before its time.
    """
    if not distributed.is_available() or not distributed.is_torchelastic_launched() or _several():
        yield
        return
    cuda = device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())
    if cuda:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("nccl" if cuda else "gloo")
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, distributed.DistError) and "gloo" not in str(error):
            raise
        reason = one_line(error)[:150]
        raise LabkitError(f"another process of this training ended ({reason}): --resume goes on from here") from None
    finally:
        distributed.destroy_process_group()


def launched_rank() -> int:
    """Return the number of this process, which is known before and after `process_group` too."""
    return int(os.environ["RANK"]) if distributed.is_available() and distributed.is_torchelastic_launched() else 0


@contextmanager
def first_alone() -> Iterator[None]:
    """Let the others wait until process 0 has done the block: it downloads what they then find."""
    if rank() > 0:
        distributed.barrier()
    yield
    if rank() == 0 and _several():
        distributed.barrier()


def wrapped(network: nn.Module) -> nn.Module:
    """Return a module that computes the same and, in the backward pass, averages gradients over all processes."""
    return nn.parallel.DistributedDataParallel(network) if _several() else network


def sum_over_processes(numbers: Tensor) -> Tensor:
    """Return the sum of each number over all processes, in place."""
    if _several():
        distributed.all_reduce(numbers)
    return numbers


def from_first(value: Anything) -> Anything:
    """Return the value of process 0, so that all decide the same."""
    values = [value]
    if _several():
        distributed.broadcast_object_list(values)
    return values[0]


def share_buffers(module: nn.Module) -> None:
    """Give all processes the buffers of process 0."""
    if _several():
        for buffer in module.buffers():
            distributed.broadcast(buffer, 0)
