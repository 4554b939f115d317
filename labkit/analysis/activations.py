"""Look into a network: its activations.

A layer is named as in ``network.named_modules()``. Of a `labkit.models.UNet`, ``encoder.0`` is the first level,
``encoder.2`` the bottleneck (at depth 3), ``decoder.0`` and ``decoder.1`` the way back up, ``output`` the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from labkit.errors import LabkitError
from labkit.models import evaluation_mode


@torch.no_grad()
def activations(network: nn.Module, gray: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
    """Return the outputs of the named layers for gray images, in evaluation mode.

    Args:
        network: any module; its mode is restored.
        gray: (N, 1, H, W).
        layers: names as in ``network.named_modules()``.

    Returns:
        Layer name -> a copy of its output, (N, C, h, w) in a network of this project, on the network's device.

    Raises:
        LabkitError: for a name that the network does not have.
    """
    modules = dict(network.named_modules())
    if unknown := [name for name in layers if not name or name not in modules]:
        known = ", ".join(name for name in modules if name)
        raise LabkitError(f"unknown layer: got {unknown[0]!r}, expected one of {known}")
    seen: dict[str, Tensor] = {}

    def keep(name: str, module: nn.Module, inputs: object, output: Tensor) -> None:
        seen[name] = output.detach().clone()  # a copy, because a ReLU may work in place on it

    hooks = [modules[name].register_forward_hook(partial(keep, name)) for name in layers]
    try:
        with evaluation_mode(network):
            network(gray.to(next(network.parameters()).device))
    finally:
        for hook in hooks:
            hook.remove()
    return {name: seen[name] for name in layers}
