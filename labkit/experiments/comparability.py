"""Decide whether two systems may be compared: they differ in one thing, and each is trained well enough to count.

A regression, and a classification decoded by its mean, minimizes squared error: it counts where it beats the gray image
in MSE. A sampler (a GAN, a drawn color, a mode) may lose to gray and still be perfect: a draw from the posterior,
independent of the truth, costs twice the posterior's variance, where the mean of the posterior costs it once. So a GAN
counts where its MSE is at most twice the best regressor's, within its interval, and it beats that regressor in
colorfulness or KID. The annealed mean lies between mean and mode, and need not beat gray either.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from labkit.experiments.intervals import confidence_margin
from labkit.experiments.measured import Measured
from labkit.experiments.schema import VALIDATION, Claim, Decoding, Recipe, System
from labkit.metrics import KID_NAME
from labkit.representation import Classification, make_representation

REGRESSION, GAN = "regression", "GAN"  # kinds; of a classification the kind is its decoding: mode, mean, ...
AVERAGING = (REGRESSION, "mean")  # the kinds that minimize squared error
SAMPLING = (GAN, "sample")  # the kinds that draw from a distribution
OPTIMIZERS = {"adamw": "AdamW", "muon": "Muon"}
PERFECT_SAMPLER = 2.0  # times the squared error of the mean
BEATS = {"colorfulness": 1.0, KID_NAME: -1.0}  # what a sampler is for, and whether more of it is better


def find_decoding(recipe: Recipe, name: str) -> tuple[System, Decoding]:
    """Return the decoding of that name, which the recipe has, and its system."""
    return next((system, one) for system in recipe.systems for one in system.decodings if one.name == name)


def kind(recipe: Recipe, name: str) -> str:
    """Return how a decoding makes colors: "regression", "GAN", or a method of `Quantizer.decode`."""
    system, decoding = find_decoding(recipe, name)
    if system.gan is not None and system.gan.get("lambda_gan", 1.0) > 0:
        return GAN
    options = {**system.representation_options, **decoding.options}
    return _decode(system.representation, options.get("quantizer"), options.get("decode"))


@cache
def _decode(representation: str, quantizer: str | None, decode: str | None) -> str:
    options = {"quantizer": quantizer, "decode": decode}
    space = make_representation(representation, **{name: value for name, value in options.items() if value})
    return space.method if isinstance(space, Classification) else REGRESSION


def configuration(recipe: Recipe, name: str, profile: str) -> dict[str, Any]:
    """Return all that decides the scores of a decoding but the seed, as nested mappings.

    `Recipe.training`, with the options of the decoding, and with what the two training loops do not have in common.
    """
    system, decoding = find_decoding(recipe, name)
    found = recipe.training(system, profile, 0)
    found["representation"] = found["representation"] | dict(decoding.options)
    test = recipe.setup(system, profile).of_test()
    found["data"] = found["data"] | {
        "test_dataset": test.dataset,
        "test_classes": test.classes,
        "test_limit": test.limit,
    }
    found["decoding"] = {name: getattr(decoding, name) for name in ("size", "flip_average", "coarse")}
    optimizer = found["fit"].pop("optimizer", "adamw")
    found["optimizer"] = OPTIMIZERS[optimizer] if system.gan is None else "Adam"
    found["schedule"] = "one cycle" if system.gan is None else "constant, then linear to zero"
    if system.gan is not None:  # its settings replace those of the setup
        found["fit"] = {name: system.gan.get(name, value) for name, value in found["fit"].items()}
        found["gan"] = {name: value for name, value in system.gan.items() if name not in found["fit"]}
    return found


def settings_digits(recipe: Recipe, name: str, profile: str) -> str:
    """Return ten digits that tell the configuration of a decoding from others: those of a measured row say its own.

    Rows whose recipe has changed since they were measured are found by them: they must not be read as its results.
    """
    text = json.dumps(configuration(recipe, name, profile), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def differences(recipe: Recipe, claim: Claim, profile: str) -> tuple[str, ...]:
    """Return what differs between the two sides of a claim, as dotted names: "network.name", "fit.epochs", ..."""
    better, worse = (configuration(recipe, name, profile) for name in (claim.better, claim.worse))
    return tuple(_differences(better, worse))


def _differences(a: Mapping[str, Any], b: Mapping[str, Any], before: str = "") -> Iterator[str]:
    for name in dict.fromkeys([*a, *b]):
        one, other = a.get(name), b.get(name)
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            yield from _differences(one, other, f"{before}{name}.")
        elif one != other:
            yield before + name


def why_not_comparable(recipe: Recipe, claim: Claim, rows: Sequence[Measured]) -> str:
    """Return why a claim cannot be tested on these rows, in a few words; empty if it can.

    Args:
        recipe: the claim's.
        claim: what is to be tested.
        rows: what was measured of the recipe, in one profile.
    """
    unnamed = [name for name in differences(recipe, claim, rows[0].profile) if name not in (claim.varies, *claim.also)]
    if unnamed:
        more = f" and {len(unnamed) - 3} more" if len(unnamed) > 4 else ""
        return f"also differs: {', '.join(unnamed[:3] if more else unnamed)}{more}"
    found = {(row.system, row.metric): row for row in rows}
    for name, metric in ((claim.better, claim.metric), (claim.worse, claim.worse_metric or claim.metric)):
        # Each epoch's network has to count itself: its own validation error is compared, not that of the last.
        error = found.get((name, metric if metric.startswith(f"{VALIDATION}mse") else "mse"))
        how = kind(recipe, name)
        if error is None:
            continue
        if how in AVERAGING and error.mean >= error.gray:
            return f"below gray: {name}"
        if how == GAN and (why := _why_untrained(recipe, error, found)):
            return f"{name} {why}"
    return ""


def _why_untrained(recipe: Recipe, error: Measured, found: Mapping[tuple[str, str], Measured]) -> str:
    best = best_regressor(recipe, list(found.values()))
    if best is None:
        return "has no regressor beside it"
    mark = PERFECT_SAMPLER * best.mean
    margin = confidence_margin(error.values)
    if error.mean > mark + (margin if margin > 0 else 0.0):  # NaN: one seed
        return f"costs more than a perfect sampler ({mark:.4g})"
    pairs = [(sign, found.get((error.system, m)), found.get((best.system, m))) for m, sign in BEATS.items()]
    if not any(ours and theirs and sign * (ours.mean - theirs.mean) > 0 for sign, ours, theirs in pairs):
        return f"beats {best.system} neither in colorfulness nor in KID"
    return ""


def best_regressor(recipe: Recipe, rows: Sequence[Measured]) -> Measured | None:
    """Return the MSE of the best decoding that averages; None where none was measured."""
    names = [one.name for one in recipe.decodings if kind(recipe, one.name) in AVERAGING and one.size is None]
    return min((row for row in rows if row.metric == "mse" and row.system in names), key=lambda r: r.mean, default=None)


def perfect_score(recipe: Recipe, error: Measured, rows: Sequence[Measured]) -> float | None:
    """Return the MSE that a perfect system of this kind would have.

    Args:
        recipe: of the rows.
        error: the MSE of one decoding.
        rows: what was measured of the recipe, in one profile.

    Returns:
        Of a sampler, twice the best regressor's MSE; of a mode, that of its nearest bins; None for the others.
    """
    how = kind(recipe, error.system)
    if how in SAMPLING:
        best = best_regressor(recipe, rows)
        return PERFECT_SAMPLER * best.mean if best else None
    return error.oracle if how == "mode" else None
