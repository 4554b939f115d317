"""What `labkit reproduce` measures of a trained colorizer: names and values of metrics, of ours and of gray.

Always: the six of `labkit.metrics.evaluate`. Where a recipe asks: pixel accuracy ("accuracy 0.05", "accuracy 0.05
red"), "KID (labkit features)", and by kind of object "skill CLASS", with "a bias" and "b bias" of all images and of
each class. After each epoch, where images are held out: "validation mse", "validation mae" and, of a classifier,
"validation right bins", the share of pixels whose likeliest bin is the nearest one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from labkit.colorizer import Colorizer
from labkit.data import Dataset
from labkit.experiments.recipes import Decoding, Recipe
from labkit.metrics import (
    KEYS,
    KID_NAME,
    color_bias,
    evaluate,
    gray_prediction,
    kid,
    mse,
    pixel_accuracy,
    score_with_gray,
    skill,
)
from labkit.metrics.inputs import chunk_length
from labkit.models import Network, evaluation_mode
from labkit.representation import Classification, make_representation

BATCH = 64  # images painted at a time, fewer when they are large
WATCHED = "validation "  # begins the name of what is measured after each epoch


class Scores(NamedTuple):
    """Metrics by name, and the same of the gray baseline."""

    ours: dict[str, float]
    gray: dict[str, float]


@dataclass(frozen=True)
class View:
    """What `labkit.metrics.evaluate` needs of a colorizer."""

    network: Network
    reconstruct: Callable[[Tensor], Tensor]


def view(trained: Colorizer, reading: Decoding) -> View:
    """A trained colorizer, read in one way."""
    config = trained.representation.config() | dict(reading.options)
    space = make_representation(str(config.pop("name")), **config)
    colorizer = Colorizer(trained.network, space)
    return View(trained.network, lambda rgb: colorizer.reconstruct(rgb, reading.flip_average))


def oracle_view(trained: Colorizer) -> View | None:
    """What its bins can paint at best: the nearest bin of each true color. None where there are no bins."""
    space, stride = trained.representation, trained.network.output_stride
    return View(trained.network, lambda rgb: space.oracle(rgb, stride)) if isinstance(space, Classification) else None


def scores(seen: View, test: Dataset, recipe: Recipe) -> Scores:
    """Every metric that the recipe asks for, of a view and of gray."""
    if not asks_more(recipe):
        ours = evaluate(cast(Colorizer, seen), test.images)  # in batches: no picture is kept
        return Scores(ours, ours.pop("gray"))
    pictures = _painted(seen, test.images)
    ours = score_with_gray(pictures, test.images)
    gray = ours.pop("gray") | _of_pictures(gray_prediction(test.images), test, recipe)
    return Scores(ours | _of_pictures(pictures, test, recipe), gray)


def asks_more(recipe: Recipe) -> bool:
    """Whether a recipe asks for more than `labkit.metrics.evaluate` gives."""
    return bool(recipe.thresholds or recipe.kid or recipe.by_class)


def scores_kept(metrics: Mapping[str, Any]) -> Scores:
    """The scores in a metrics.json, which `labkit.training.run.score_and_save` wrote."""
    return Scores({name: metrics[name] for name in (*KEYS, "skill")}, dict(metrics["gray"]))


@torch.no_grad()
def _painted(seen: View, images: Tensor) -> Tensor:
    """(N, 3, H, W) on the CPU."""
    batch = min(BATCH, chunk_length(images))
    with evaluation_mode(seen.network):
        return torch.cat([seen.reconstruct(part).cpu() for part in images.split(batch)])


def _of_pictures(pictures: Tensor, test: Dataset, recipe: Recipe) -> dict[str, float]:
    found: dict[str, float] = {}
    for threshold in recipe.thresholds:
        for which, shares in pixel_accuracy(pictures, test.images, threshold).items():
            found[f"accuracy {threshold:g}" + ("" if which == "all" else f" {which}")] = float(shares.double().mean())
    if recipe.kid:
        found[KID_NAME] = kid(pictures, test.images).mean
    if recipe.by_class:
        bias = color_bias(pictures, test.images)  # (N, 2)
        found |= _named(bias.mean(dim=0), "")
        errors, floors = mse(pictures, test.images), mse(gray_prediction(test.images), test.images)
        for label in test.labels.unique().tolist():
            of_class, name = test.labels == label, test.class_names[label]
            if (floor := float(floors[of_class].mean())) > 0:  # else all of that class are gray
                found[f"skill {name}"] = skill(float(errors[of_class].mean()), floor)
            found |= _named(bias[of_class].mean(dim=0), f" {name}")
    return found


def _named(bias: Tensor, what: str) -> dict[str, float]:
    a, b = bias.tolist()
    return {f"a bias{what}": a, f"b bias{what}": b}


def watched(colorizer: Colorizer, images: Tensor) -> Scores:
    """What is looked at after an epoch, on images that are not trained on: (N, 3, H, W) uint8."""
    found = evaluate(colorizer, images)
    gray = found.pop("gray")
    ours, floor = ({WATCHED + name: row[name] for name in ("mse", "mae")} for row in (found, gray))
    if isinstance(space := colorizer.representation, Classification):
        stride, bins = colorizer.network.output_stride, space.quantizer
        nearest = bins.encode(space.target(images, stride))  # (N, H / stride, W / stride)
        ours[WATCHED + "right bins"] = _share(_likeliest(colorizer, images) == nearest)
        floor[WATCHED + "right bins"] = _share(bins.encode(space.target(gray_prediction(images), stride)) == nearest)
    return Scores(ours, floor)


@torch.no_grad()
def _likeliest(colorizer: Colorizer, images: Tensor) -> Tensor:
    grays = (colorizer.representation.gray(part.to(colorizer.device)) for part in images.split(BATCH))
    return torch.cat([colorizer.predict(gray).argmax(dim=1).cpu() for gray in grays])


def _share(right: Tensor) -> float:
    return float(right.double().mean())


def of_epochs(history: Sequence[dict[str, float]], gray: dict[str, float]) -> Scores:
    """What was watched, epoch by epoch: "validation mse, epoch 3"."""
    ours = {
        f"{name}, epoch {row['epoch']:.0f}": value
        for row in history
        for name, value in row.items()
        if name.startswith(WATCHED)
    }
    return Scores(ours, {name: gray[name.rsplit(",", 1)[0]] for name in ours})
