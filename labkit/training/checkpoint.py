"""The checkpoint of a training run: one file, replaced as a whole, so that a run killed at any moment can go on."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from labkit.artifacts import write_bytes
from labkit.errors import LabkitError

CHECKPOINT_FILE = "checkpoint.safetensors"
CHECKPOINT_FORMAT = "2"


class Checkpoint:
    """One safetensors file: tensors as tensors, all else as JSON in its header, so that it is replaced as a whole.

    Args:
        folder: where the file is.
        fingerprint: what must be equal for a resumed run to be the same run; JSON types only.
    """

    def __init__(self, folder: Path, fingerprint: dict[str, object]) -> None:
        """Name the file; nothing is read or written yet."""
        self.file = folder / CHECKPOINT_FILE
        self.fingerprint = json.loads(json.dumps(fingerprint))  # tuples as the lists that will be read

    def write(self, tensors: Mapping[str, Tensor], state: Mapping[str, object]) -> None:
        """Replace the file as a whole; ``state`` holds JSON types only."""
        from safetensors.torch import save

        header = {
            "format": CHECKPOINT_FORMAT,
            "state": json.dumps({"fingerprint": self.fingerprint, **state}),
        }
        contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        self.file.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(self.file, save(contiguous, metadata=header))

    def read(self, restore: Callable[[dict[str, Tensor], dict[str, Any]], None]) -> None:
        """Pass the saved tensors and state to ``restore``; do nothing when there is no checkpoint.

        Raises:
            LabkitError: the file is damaged, of another labkit, or of another run; the message names it.
        """
        from safetensors import SafetensorError, safe_open

        if not self.file.is_file():
            return
        try:
            with safe_open(self.file, framework="pt") as opened:
                header = opened.metadata() or {}
                tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 (not a dict)
        except SafetensorError as error:
            raise LabkitError(f"{self.file} is damaged ({error}): delete it and start again") from None
        if header.get("format") != CHECKPOINT_FORMAT:
            raise LabkitError(f"{self.file} was written by another labkit: delete it and start again")
        try:
            state = json.loads(header["state"])
            self._require_same_run(state["fingerprint"])
            restore(tensors, state)
        except LabkitError:
            raise
        except (AttributeError, KeyError, IndexError, TypeError, ValueError, RuntimeError) as error:
            reason = (str(error).splitlines() or [""])[0][:150]
            raise LabkitError(f"{self.file} is damaged ({reason}): delete it and start again") from None

    def _require_same_run(self, found: Mapping[str, object]) -> None:
        for key, here in self.fingerprint.items():
            if (there := found.get(key)) != here:
                raise LabkitError(
                    f"{self.file} belongs to another run: {key} was {there}, now {here}. Repeat that setting, or use "
                    "another folder"
                )


def with_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors with a prefix before each name: one network's or optimizer's part of a checkpoint."""
    return {prefix + name: tensor for name, tensor in tensors.items()}


def without_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return that part of a checkpoint, without the prefix."""
    return {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the optimizer's moments by the number of the parameter and their name, ``3.exp_avg``."""
    state = optimizer.state_dict()["state"]
    return {f"{index}.{name}": tensor for index, moments in state.items() for name, tensor in moments.items()}


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], param_groups: object) -> None:
    """Load what `optimizer_tensors` and ``state_dict()["param_groups"]`` returned."""
    optimizer.load_state_dict({"state": _moments(tensors, optimizer), "param_groups": param_groups})


def _moments(tensors: Mapping[str, Tensor], optimizer: torch.optim.Optimizer) -> dict[int, dict[str, Tensor]]:
    """Return the optimizer's state by parameter, each tensor in its parameter's memory layout.

    Fused AdamW walks through parameter and moments in memory order, so moments in another layout would be applied to
    the wrong weights.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        index, name = key.split(".", 1)
        parameter = parameters[int(index)]
        if tensor.shape == parameter.shape:
            tensor = torch.empty_like(parameter, dtype=tensor.dtype).copy_(tensor)
        state.setdefault(int(index), {})[name] = tensor
    return state
