"""Look into a network: its activations, what a linear probe can read out of them, and how large its gradients are.

A layer is named as in ``network.named_modules()``. Of a `labkit.models.UNet`, ``encoder.0`` is the first level,
``encoder.2`` the bottleneck (at depth 3), ``decoder.0`` and ``decoder.1`` the way back up, ``output`` the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from labkit.errors import LabkitError, check_integer, check_number
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


def channel_images(activation: Tensor, count: int = 8) -> Tensor:
    """Return the channels that vary most as gray images, each stretched to 0..1.

    Args:
        activation: (C, h, w).
        count: number of channels, in their order.

    Returns:
        (count, 1, h, w), on the CPU. A constant channel is black, and black images fill up where C < count.
    """
    count = check_integer("count", count, low=1)
    flat = activation.detach().float().cpu().flatten(1)  # (C, h * w)
    chosen = flat.std(dim=1, correction=0).topk(min(count, len(flat))).indices.sort().values
    low, high = flat[chosen].amin(dim=1, keepdim=True), flat[chosen].amax(dim=1, keepdim=True)
    stretched = (flat[chosen] - low) / torch.where(high > low, high - low, 1.0)
    filled = torch.cat([stretched, stretched.new_zeros(count - len(chosen), flat.shape[1])])
    return filled.view(count, 1, *activation.shape[-2:])


def linear_probe(features: Tensor, target: Tensor, ridge: float = 1e-3) -> Tensor:
    """Predict targets from features by ridge regression, fitted on the first half of the examples.

    What a linear function can read is there in a form that the next layer can use; what it cannot may still be there.
    Compare the result with ``target[len(target) // 2 :]``, for example by `r_squared`.

    Args:
        features: (N, ...), flattened to (N, D).
        target: (N, K).
        ridge: penalty, relative to the mean square of the features.

    Returns:
        float32 (N - N // 2, K) on the CPU: predictions for the second half, which the fit has not used.

    Raises:
        LabkitError: if the shapes do not fit or N < 4.
    """
    ridge = check_number("ridge", ridge, low=0)
    features, target = features.detach().flatten(1).double().cpu(), target.detach().double().cpu()
    half = len(features) // 2
    if half < 2 or len(target) != len(features) or target.dim() != 2:
        shapes = f"{tuple(features.shape)} and {tuple(target.shape)}"
        raise LabkitError(f"wrong features or target: got {shapes}, expected (N, ...) and (N, K) with the same N >= 4")
    center, mean = features[:half].mean(dim=0), target[:half].mean(dim=0)
    u, s, v = torch.linalg.svd(features[:half] - center, full_matrices=False)
    penalty = ridge * s.square().sum() / features.shape[1]
    weights = v.T @ ((s / (s.square() + penalty).clamp(min=1e-30))[:, None] * (u.T @ (target[:half] - mean)))
    return ((features[half:] - center) @ weights + mean).float()


def r_squared(prediction: Tensor, target: Tensor) -> float:
    """Return R squared: the fraction of the variance of the target that a prediction explains.

    Args:
        prediction: (N, K).
        target: (N, K); all columns are taken together.

    Returns:
        At most 1; below 0 where the mean of the target would be the better prediction.
    """
    residual = (target - prediction).square().sum()
    return float(1 - residual / (target - target.mean(dim=0)).square().sum())


class GradientNorms:
    """Record the norm of the gradient of each layer's weights, at every backward pass inside a ``with`` block.

    For example::

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
        """Find the weights of the network; recording starts with the ``with`` block."""
        self._weights = {
            name.removesuffix(".weight"): weight
            for name, weight in network.named_parameters()
            if name.endswith("weight") and weight.dim() >= 2
        }
        self._norms: dict[str, list[Tensor]] = {name: [] for name in self._weights}
        self._hooks: list[torch.utils.hooks.RemovableHandle] = []

    @property
    def layers(self) -> list[str]:
        """The names of the layers, from input to output."""
        return list(self._weights)

    def values(self) -> Tensor:
        """Return the norms: (steps, layers), float32 on the CPU."""
        return torch.stack([torch.stack(norms).float().cpu() for norms in self._norms.values()], dim=1)

    def __enter__(self) -> GradientNorms:
        """Start recording."""

        def record(name: str, weight: Tensor) -> None:
            if weight.grad is not None:
                self._norms[name].append(weight.grad.detach().norm())

        self._hooks = [
            weight.register_post_accumulate_grad_hook(partial(record, name)) for name, weight in self._weights.items()
        ]
        return self

    def __exit__(self, *error: object) -> None:
        """Stop recording."""
        for hook in self._hooks:
            hook.remove()
