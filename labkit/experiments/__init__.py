"""Experiments as data, and the numbers they gave: recipes, published and measured rows, claims, tables.

`reproduce` trains and scores a recipe. What a lab teaches belongs to its notebook; what one training needs belongs to
`labkit.training`.
"""

from labkit.experiments.claims import (
    claims_of,
)
from labkit.experiments.measured import (
    measured,
)
from labkit.experiments.published import (
    published,
)

__all__ = [
    "claims_of",
    "measured",
    "published",
]
