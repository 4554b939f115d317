"""Choose the device and the precision to compute in."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from labkit.errors import LabkitError


def pick_device(name: str = "auto") -> torch.device:
    """Return the device to compute on.

    Args:
        name: ``auto`` takes CUDA if there is one, else the CPU; any other name is one of torch's. Apple's ``mps`` is
            only used when named: there was no machine to test it on.

    Returns:
        The device, after a tensor was made on it.

    Raises:
        LabkitError: for a device that is not there.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
        if device.type == "meta":
            raise RuntimeError("it holds no numbers")
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0].split(". ")[0][:150]
        raise LabkitError(f"device not available here: got {name!r} ({reason}). Use auto or cpu.") from None
    return device


def pick_precision(name: str, device: torch.device) -> str:
    """Return the number format to train in.

    Args:
        name: ``auto`` takes bf16 where the hardware computes in it (AVX512-BF16 or AMX, recent GPUs), fp16 on older
            GPUs, float32 elsewhere; another name is returned as it is.
        device: to compute on.

    Returns:
        float32, bf16 or fp16.
    """
    if name != "auto":
        return name
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    return "bf16" if device.type == "cpu" and cpu_gains_from_bf16() else "float32"


def cpu_gains_from_bf16() -> bool:
    """Return whether this CPU multiplies bf16 in hardware; elsewhere bf16 autocast is slower than float32."""
    asks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # private in torch, so they may be gone
    return any(getattr(torch.cpu, ask)() for ask in asks if hasattr(torch.cpu, ask))


def autocast(precision: str, device: torch.device) -> AbstractContextManager[Any]:
    """Return a context in which networks compute in a precision.

    Args:
        precision: float32, bf16 or fp16.
        device: of the network.

    Returns:
        ``torch.autocast``, or a context that does nothing for float32.
    """
    if precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16 if precision == "bf16" else torch.float16)
