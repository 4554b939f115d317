"""Hold experiments as data, and the numbers they gave: recipes, published and measured rows, claims, tables.

`reproduce` trains and scores a recipe. What a lab teaches belongs to its notebook; what one training needs belongs to
`labkit.training`.
"""

from labkit.experiments.claims import claims_of
from labkit.experiments.recipes import find_recipes

__all__ = ["claims_of", "find_recipes"]
