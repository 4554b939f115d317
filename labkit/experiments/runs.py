"""Name one training of a recipe, and hold what came of all of them."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import Any, cast

from labkit import __version__
from labkit.experiments import per_image
from labkit.experiments.claims import ClaimResult, test_claim
from labkit.experiments.measured import Measured, Row, summarize
from labkit.experiments.schema import Decoding, Recipe, System

FLAGS = ("kid", "by_class", "leakage", "floors", "psnr_caps")  # of a recipe, that add metrics


@dataclass(frozen=True)
class Run:
    """Name one training: a system of a recipe with one seed."""

    recipe: Recipe
    system: System
    profile: str
    seed: int
    command: str
    photographs: str = ""  # which, where they are of a folder; see `labkit.data.folder.listing`

    @property
    def key(self) -> str:
        """Return the name of the run in the ledger and of its files."""
        return f"{self.recipe.name}/{self.profile}/{_slug(self.system.name)}-seed{self.seed}"

    @property
    def title(self) -> str:
        """Return the name of the run in messages."""
        return f"{self.recipe.name}: {self.system.name}, seed {self.seed}"

    def identity(self) -> dict[str, Any]:
        """Return what decides the trained model, in JSON types."""
        training = self.recipe.training(self.system, self.profile, self.seed)
        if self.photographs:
            training["photographs"] = self.photographs
        return cast(dict[str, Any], json.loads(json.dumps(training)))

    @property
    def folder(self) -> str:
        """Return the folder of the training, named by what decides it: recipes with the same training share one."""
        identity = self.identity()
        digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:10]
        return f"models/{self.system.representation}-{self.system.network}-seed{self.seed}-{digest}"

    def input_hash(self) -> str:
        """Return the SHA-256 of what decides the scores.

        The version stands for the code: hours of training outlive an edit.
        """
        decodings = [
            (one.name, dict(one.options), one.flip_average, *([one.size] if one.size else []), *_coarse(one))
            for one in self.system.decodings
        ]
        parts = [self.identity(), decodings, self.recipe.thresholds, __version__]
        parts += [name for name in FLAGS if getattr(self.recipe, name)]  # False: as before they existed
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


@dataclass
class Outcome:
    """Hold what came of one recipe."""

    recipe: Recipe
    profile: str
    rows: list[Row] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)  # title of a run -> why

    scores: per_image.Scores = field(default_factory=dict)

    @property
    def measured(self) -> list[Measured]:
        """Return the rows put together over seeds."""
        return summarize(self.rows)

    @property
    def claims(self) -> list[ClaimResult]:
        """Return the recipe's claims, tested on these rows."""
        found = (test_claim(self.recipe, claim, self.measured, self.scores) for claim in self.recipe.claims)
        return [result for result in found if result]


def _coarse(decoding: Decoding) -> list[str]:
    return [f"coarse {decoding.coarse}"] if decoding.coarse else []


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
