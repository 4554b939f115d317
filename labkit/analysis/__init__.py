"""Look into trained networks: activations, Jacobians, and gradient leakage.

Measures of a network's inner workings belong here; scores of its output belong to `labkit.metrics`.
"""

from labkit.analysis.leakage import (
    jacobian,
    leakage_index,
)

__all__ = [
    "jacobian",
    "leakage_index",
]
