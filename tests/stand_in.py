"""A stand-in accelerator: computes on the CPU, but refuses to mix devices and counts the waits, as a GPU would.

Its tensors say that they are on the device ``meta``, the only one beside the CPU on which autograd works in every build
of torch, and carry their numbers with them. torch's FakeTensorMode also refuses mixed devices, but knows no backward
pass without CUDA; its Python backend for PrivateUse1 changes the process for good, and is newer than our lower bound.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

DEVICE = torch.device("meta")
MOVES = {"_to_copy", "copy_"}  # may see two devices
# Operations that make the program wait until the device has computed a number or a shape.
WAITS = {"_local_scalar_dense", "nonzero", "masked_select", "equal", "_unique2", "bincount", "is_nonzero"}


class DeviceTensor(Tensor):
    """A tensor of the stand-in device; ``raw`` holds its numbers on the CPU."""

    raw: Tensor

    @staticmethod
    def __new__(cls, raw: Tensor) -> DeviceTensor:
        made = torch.Tensor._make_wrapper_subclass(
            cls, raw.shape, strides=raw.stride(), dtype=raw.dtype, device=DEVICE, storage_offset=raw.storage_offset()
        )
        made.raw = raw
        return made

    # Two methods that torch does not send through the dispatcher for subclasses:

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def new_tensor(self, data: Any, **options: Any) -> Tensor:
        return torch.tensor(data, dtype=options.get("dtype", self.dtype)).to(DEVICE)

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return compute(func, args, kwargs or {}, None)


class StandIn(TorchDispatchMode):
    """While it is on, ``meta`` is the stand-in device; ``waits`` counts where the program waited for it."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return compute(func, args, kwargs or {}, self.waits)


def compute(func: Any, args: Any, kwargs: dict[str, Any], waits: list[str] | None) -> Any:
    """Run an operation on the numbers, after looking at the devices."""
    name = func.overloadpacket.__name__
    tensors = [part for part in tree_flatten((args, kwargs))[0] if isinstance(part, Tensor)]
    here = [part for part in tensors if isinstance(part, DeviceTensor)]
    # A CPU tensor without dimensions is a number: every device takes it. (As an index it is copied to the device.)
    elsewhere = [part for part in tensors if not isinstance(part, DeviceTensor) and part.dim() > 0]
    if here and elsewhere and name not in MOVES:
        shapes = [tuple(part.shape) for part in elsewhere]
        raise RuntimeError(f"{func}: expected all tensors on one device. Got the stand-in and the CPU {shapes}")

    asked = kwargs.get("device")
    to_device = bool(here) if asked is None else torch.device(asked).type == DEVICE.type
    if name == "copy_":
        to_device = isinstance(args[0], DeviceTensor)
    if asked is not None:
        kwargs = kwargs | {"device": torch.device("cpu")}
    by_mask = name in ("index", "index_put_", "index_put") and any(
        index is not None and index.dtype == torch.bool for index in args[1]
    )
    leaves = bool(here) and not to_device  # a copy from the device to the CPU
    if waits is not None and here and (name in WAITS or by_mask or leaves):
        waits.append(name)
    out = func(*tree_map(_raw, args), **tree_map(_raw, kwargs))
    changed = {id(_raw(part)): part for part in here}  # in-place operations return what they changed
    return tree_map(lambda part: _wrapped(part, changed, to_device), out)


def _raw(part: Any) -> Any:
    return part.raw if isinstance(part, DeviceTensor) else part


def _wrapped(part: Any, changed: dict[int, DeviceTensor], to_device: bool) -> Any:
    if not isinstance(part, Tensor):
        return part
    if id(part) in changed:
        return changed[id(part)]
    return DeviceTensor(part) if to_device else part


@contextmanager
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """Yield the stand-in device, which `labkit.device.pick_device` chooses under the name ``meta``."""
    from labkit.training import session

    monkeypatch.setattr(session, "pick_device", lambda name: DEVICE)
    supported = ["cpu", DEVICE.type]
    for name in ("torch.optim.adam", "torch.optim.adamw", "torch.optim.optimizer"):
        module = importlib.import_module(name)
        if hasattr(module, "_get_fused_kernels_supported_devices"):
            monkeypatch.setattr(module, "_get_fused_kernels_supported_devices", lambda: supported)
    autocast = torch.autocast
    monkeypatch.setattr(
        torch, "autocast", lambda kind, *a, **k: nullcontext() if kind == "meta" else autocast(kind, *a, **k)
    )
    with StandIn() as device:
        yield device
