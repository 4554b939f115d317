"""Every experiment of the five papers, and our own, by name: one file a paper.

`labkit.experiments.schema` says what a recipe is made of; `labkit.experiments.reproduce` trains and scores it.
"""

from __future__ import annotations

from collections.abc import Sequence

from labkit.errors import LabkitError
from labkit.experiments.published import PAPERS
from labkit.experiments.recipes import bins, dalban, ecs171, gan, half, l1, labkit, qureshi, zhuang
from labkit.experiments.schema import OWN, Recipe

__all__ = ["RECIPES", "find_recipes"]

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        qureshi.SKIPS,
        qureshi.QURESHI,
        qureshi.QURESHI_FULL,
        qureshi.QURESHI_CURVES,
        labkit.DECODINGS,
        bins.BINS,
        half.HALF,
        ecs171.SLR,
        ecs171.SLR_PAIR,
        ecs171.SLR_FLOWERS,
        ecs171.SLR_STL10,
        ecs171.SLR_MERGED,
        ecs171.SLR_TRANSFER,
        ecs171.SCENE_BIAS,
        zhuang.ZHUANG,
        zhuang.ZHUANG_FULL,
        zhuang.ZHUANG_FLOWERS,
        zhuang.ZHUANG_CLASSES,
        zhuang.ZHUANG_SWEEP,
        gan.GAN_LAMBDA,
        gan.CNN_VS_GAN,
        dalban.DALBAN,
        dalban.BY_CLASS,
        l1.L1_COLOR,
        l1.L1_FLOWERS,
        labkit.LABKIT_BEST,
    )
}


def find_recipes(names: str | Sequence[str]) -> list[Recipe]:
    """Return recipes by their names, by their paper's key, or "all", each once.

    Args:
        names: one or several of them.

    Raises:
        LabkitError: for an unknown name, listing those there are.
    """
    found: list[Recipe] = []
    for name in [names] if isinstance(names, str) else names:
        chosen = [recipe for recipe in RECIPES.values() if name in ("all", recipe.name, recipe.paper)]
        if not chosen:
            papers = [paper for paper in (*PAPERS, OWN) if any(r.paper == paper for r in RECIPES.values())]
            known = f"recipes {', '.join(RECIPES)}; papers {', '.join(papers)}; all"
            raise LabkitError(f"unknown recipe {name!r}: choose from {known}")
        found += [recipe for recipe in chosen if recipe not in found]
    return found
