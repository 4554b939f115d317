"""Looking into a network: what its layers answer, what can be read out of an answer, and how large gradients are.

A layer is named as in ``network.named_modules()``. Of a `labkit.models.UNet`, ``encoder.0`` is the first level,
``encoder.2`` the bottleneck (at depth 3), ``decoder.0`` and ``decoder.1`` the way back up, ``output`` the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from labkit import plots
from labkit.errors import LabkitError
from labkit.models import evaluation_mode

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@torch.no_grad()
def activations(network: nn.Module, gray: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
    """What the named layers put out while the network sees ``gray (N, 1, H, W)``, in evaluation mode.

    Returns layer name -> a copy of its output, ``(N, C, h, w)`` in a network of this project, on its device.
    Raises ``LabkitError`` for a name that the network does not have.
    """
    modules = dict(network.named_modules())
    if unknown := [name for name in layers if not name or name not in modules]:
        known = ", ".join(name for name in modules if name)
        raise LabkitError(f"the network has no layer {unknown[0]!r}: choose among {known}")
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


def as_pictures(activation: Tensor, count: int = 8) -> Tensor:
    """The ``count`` channels of ``(C, h, w)`` that vary most, each stretched to 0..1: ``(count, 1, h, w)``, on the CPU.

    They come in the order of the channels. One that is constant is black; where there are fewer channels than asked
    for, black pictures fill up.
    """
    flat = activation.detach().float().cpu().flatten(1)  # (C, h * w)
    chosen = flat.std(dim=1, correction=0).topk(min(count, len(flat))).indices.sort().values
    low, high = flat[chosen].amin(dim=1, keepdim=True), flat[chosen].amax(dim=1, keepdim=True)
    stretched = (flat[chosen] - low) / torch.where(high > low, high - low, 1.0)
    filled = torch.cat([stretched, stretched.new_zeros(count - len(chosen), flat.shape[1])])
    return filled.view(count, 1, *activation.shape[-2:])


def activation_grid(network: nn.Module, gray: Tensor, layers: Sequence[str], count: int = 8) -> Figure:
    """One row of pictures per layer for one image ``gray (1, H, W)``: `as_pictures` of its activations."""
    found = activations(network, gray[None], layers)
    sizes = {name: f"{name} ({len(a[0])} x {a.shape[-2]} x {a.shape[-1]})" for name, a in found.items()}
    return plots.image_grid({sizes[name]: as_pictures(found[name][0], count) for name in layers})


def linear_readout(features: Tensor, target: Tensor, ridge: float = 1e-3) -> Tensor:
    """Predict ``target (N, K)`` from ``features (N, ...)`` by a linear function: ``(N - N // 2, K)``.

    Ridge regression, fitted on the first half of the examples; the second half, which it has not seen, is predicted.
    What a linear function can read is there in a form that the next layer can use; what it cannot may still be there.
    ``ridge`` is the penalty, relative to the mean square of the features. Compare the result with
    ``target[len(target) // 2 :]``.
    """
    features, target = features.detach().flatten(1).double().cpu(), target.detach().double().cpu()
    half = len(features) // 2
    if half < 2 or len(target) != len(features) or target.dim() != 2:
        shapes = f"{tuple(features.shape)} and {tuple(target.shape)}"
        raise ValueError(f"features (N, ...) and target (N, K) must hold the same N >= 4 examples. Got {shapes}")
    center, mean = features[:half].mean(dim=0), target[:half].mean(dim=0)
    u, s, v = torch.linalg.svd(features[:half] - center, full_matrices=False)
    penalty = ridge * s.square().sum() / features.shape[1]
    weights = v.T @ ((s / (s.square() + penalty).clamp(min=1e-30))[:, None] * (u.T @ (target[:half] - mean)))
    return ((features[half:] - center) @ weights + mean).float()


def explained(prediction: Tensor, target: Tensor) -> float:
    """R squared: the share of the variance of ``target (N, K)``, all columns together, that a prediction explains."""
    residual = (target - prediction).square().sum()
    return float(1 - residual / (target - target.mean(dim=0)).square().sum())


class GradientNorms:
    """Records how large the gradient of each layer's weights is, at every backward pass inside a ``with`` block::

        with GradientNorms(colorizer.network) as norms:
            colorizer.fit(images)
        norms.layers  # names, from input to output
        norms.values()  # (steps, layers)

    Works with any training loop. Bring the network to its device before. The norms are those of the whole gradient
    tensor (L2), before clipping. In fp16 training they carry the factor of the loss scaler: compare layers, not runs.

    Args:
        network: whose gradients; convolutions and linear layers count, normalizations and biases do not.
    """

    def __init__(self, network: nn.Module) -> None:
        self._weights = {
            name.removesuffix(".weight"): weight
            for name, weight in network.named_parameters()
            if name.endswith("weight") and weight.dim() >= 2
        }
        self._norms: dict[str, list[Tensor]] = {name: [] for name in self._weights}
        self._hooks: list[torch.utils.hooks.RemovableHandle] = []

    @property
    def layers(self) -> list[str]:
        return list(self._weights)

    def values(self) -> Tensor:
        """``(steps, layers)``, float32 on the CPU."""
        return torch.stack([torch.stack(norms).float().cpu() for norms in self._norms.values()], dim=1)

    def __enter__(self) -> GradientNorms:
        def record(name: str, weight: Tensor) -> None:
            if weight.grad is not None:
                self._norms[name].append(weight.grad.detach().norm())

        self._hooks = [
            weight.register_post_accumulate_grad_hook(partial(record, name)) for name, weight in self._weights.items()
        ]
        return self

    def __exit__(self, *error: object) -> None:
        for hook in self._hooks:
            hook.remove()
