"""The optimizer Muon: for filters and matrices momentum made orthogonal, for all other weights AdamW.

By hand, because `torch.optim.Muon` came with torch 2.9, newer than the torch that labkit asks for, and takes matrices
only: no filters, and no second rule for the other weights.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

ITERATIONS = 5
COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # chosen by Jordan for a steep slope at zero; singular values end near 1


def orthogonal(matrix: Tensor) -> Tensor:
    """Return a matrix with the same singular vectors whose singular values are close to 1.

    A matrix USV^T becomes approximately UV^T, so that a step moves equally far in each direction. Five Newton-Schulz
    iterations leave singular values between .6 and 1.3, which is exact enough for an optimizer, and take matrix
    products alone. They are computed in float32 on the CPU and in bfloat16 on a GPU.

    Args:
        matrix: (M, N).

    Returns:
        The same shape and dtype.

    Source: Jordan and others, Muon: An optimizer for hidden layers in neural networks, 2024,
    https://kellerjordan.github.io/posts/muon.
    """
    a, b, c = COEFFICIENTS
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T  # its product with itself is the smaller one
    x = (wide / (wide.norm() + 1e-7)).to(torch.bfloat16 if wide.is_cuda else torch.float32)
    for _ in range(ITERATIONS):
        product = x @ x.T
        x = a * x + (b * product + c * product @ product) @ x
    return (x if wide is matrix else x.T).to(matrix.dtype)


class Muon(torch.optim.AdamW):
    """Muon for filters of convolutions and matrices of linear layers, AdamW for the rest; one learning rate."""

    def __init__(self, network: nn.Module, lr: float, weight_decay: float):
        """Sort the weights of ``network`` into filters or matrices, and others.

        Args:
            network: what is trained.
            lr: step size of both rules.
            weight_decay: of both rules.
        """
        filters = [weight for weight in network.parameters() if weight.ndim in (2, 4)]
        others = [weight for weight in network.parameters() if weight.ndim not in (2, 4)]
        groups = [{"params": filters, "orthogonal": True}, {"params": others, "orthogonal": False}]
        super().__init__(groups, lr, weight_decay=weight_decay)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step; the gradients of the filters are set to None.

        Args:
            closure: computes the loss again, as for every optimizer of PyTorch.

        Returns:
            What the closure returns, None without one.
        """
        with torch.enable_grad():
            loss = None if closure is None else closure()
        for group in self.param_groups:
            if group["orthogonal"]:
                for weight in group["params"]:
                    if weight.grad is not None:
                        self._orthogonal_step(weight, weight.grad, group)
                        weight.grad = None  # AdamW leaves out what has none
        super().step()
        return loss

    def _orthogonal_step(self, weight: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        """Move a filter by Nesterov's momentum, made orthogonal as a matrix: its first dimension by all others."""
        beta = group["betas"][0]
        state = self.state[weight]
        if not state:
            state.update(step=torch.zeros(()), momentum=torch.zeros_like(weight))  # AdamW reads step of all it restores
        state["step"] += 1
        momentum = state["momentum"].lerp_(gradient, 1 - beta)
        update = orthogonal(gradient.lerp(momentum, beta).flatten(1))
        rows, columns = update.shape
        weight.mul_(1 - group["lr"] * group["weight_decay"])
        weight.add_(update.view_as(weight), alpha=-group["lr"] * max(1, rows / columns) ** 0.5)
