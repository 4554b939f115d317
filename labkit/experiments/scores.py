"""Score a trained colorizer in one of its decodings: names and values of metrics, of ours and of gray.

Always: the six of `labkit.metrics.evaluate`. Where a recipe asks: pixel accuracy ("accuracy 0.05", "accuracy 0.05
red"), "KID (labkit features)", and by kind of object "skill CLASS", with "a bias" and "b bias" of all images and of
each class. After each epoch, where images are held out: "validation mse", "validation mae" and, of a classifier,
"validation right bins", the fraction of pixels whose likeliest bin is the nearest one. "leak of values" and "leak of
gradient" say from how far away colors take their gray values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from labkit.analysis.leakage import gradient_leakage
from labkit.color import chroma_basis
from labkit.colorizer import Colorizer
from labkit.data import Dataset
from labkit.experiments.per_image import GRAY_MSE, MEANS
from labkit.experiments.schema import CAPPED, FLOORS, LEAK_IMAGES, LEAKS, PSNR_CAPS, VALIDATION, Decoding, Recipe
from labkit.metrics import (
    KEYS,
    KID_NAME,
    color_bias,
    colorfulness,
    evaluate,
    gray_prediction,
    kid,
    mae,
    mse,
    pixel_accuracy,
    psnr,
    score_with_gray,
    skill,
    ssim,
)
from labkit.metrics.inputs import chunk_length
from labkit.representation import Classification, LumaChroma, Representation, make_representation
from labkit.training.batches import digest

BATCH = 64  # images predicted at a time, fewer when they are large
FLOOR_STEPS = 100  # of gradient descent


class Scores(NamedTuple):
    """Hold metrics by name, and the same of the gray baseline."""

    ours: dict[str, float]
    gray: dict[str, float]


Decoded: TypeAlias = Callable[[Tensor], Tensor]  # images (N, 3, H, W) uint8 -> rgb in [0, 1]: what `evaluate` scores


def decoded(trained: Colorizer, decoding: Decoding) -> Decoded:
    """Return a trained colorizer with the options of one decoding."""
    config = trained.representation.config() | dict(decoding.options)
    space = make_representation(str(config.pop("name")), **config).to(trained.device)
    if decoding.coarse:
        return partial(_coarse, Colorizer(space, trained.network), decoding.coarse)
    return partial(Colorizer(space, trained.network), flip_average=decoding.flip_average)


@torch.no_grad()
def _coarse(trained: Colorizer, side: int, rgb: Tensor) -> Tensor:
    """Return pictures of predicted colors averaged over side x side pixels."""
    space = trained.representation
    gray = space.gray(rgb.to(trained.device))
    return space.to_rgb(gray, F.avg_pool2d(space.colors(trained.predict(gray)), side))


def oracle(trained: Colorizer) -> Decoded | None:
    """Return what its bins can predict at best, the nearest bin of each true color; None where there are no bins."""
    space, stride = trained.representation, trained.network.output_stride
    if not isinstance(space, Classification):
        return None
    return lambda rgb: space.oracle(rgb.to(trained.device), stride)


def score_decoding(how: Decoded, test: Dataset, recipe: Recipe) -> Scores:
    """Return every metric that the recipe asks for, of a decoding and of gray."""
    if not asks_more(recipe):
        ours = evaluate(how, test.images)  # in batches: no picture is kept
        return Scores(ours, ours.pop("gray"))
    pictures = torch.cat(list(_predicted(how, test.images)))
    ours = score_with_gray(pictures, test.images)
    gray = ours.pop("gray") | _more_scores(gray_prediction(test.images), test, recipe)
    return Scores(ours | _more_scores(pictures, test, recipe), gray)


def asks_more(recipe: Recipe) -> bool:
    """Return whether a recipe asks for more than `labkit.metrics.evaluate` gives."""
    return bool(recipe.thresholds or recipe.kid or recipe.by_class or recipe.psnr_caps)


def scores_kept(metrics: Mapping[str, Any]) -> Scores:
    """Return the scores in a metrics.json, which `labkit.training.run.score_and_save` wrote."""
    return Scores({name: metrics[name] for name in (*KEYS, "skill")}, dict(metrics["gray"]))


def image_scores(how: Decoded, test: Dataset, recipe: Recipe) -> dict[str, NDArray[np.float64]]:
    """Return the scores of each test image in the metrics that the recipe's claims compare, (N,) each.

    Only metrics that are means over images have them. The gray image's MSE comes along where a claim is about skill.
    """
    claimed = {metric for claim in recipe.claims for metric in (claim.metric, claim.worse_metric) if metric}
    wanted = {"mse"} | {metric for metric in claimed if metric.split(" ")[0] in MEANS}  # leaks: `leak_scores`
    parts = [
        _of_images(pictures, true, wanted, recipe.thresholds) | ({GRAY_MSE: mse(gray_prediction(true), true)})
        for pictures, true in zip(_predicted(how, test.images), test.images.split(_batch(test.images)), strict=True)
    ]
    names = [name for name in parts[0] if name != GRAY_MSE or "skill" in claimed]
    return {name: torch.cat([part[name].double() for part in parts]).numpy() for name in names}


def network_scores(trained: Colorizer, test: Dataset, recipe: Recipe) -> dict[str, NDArray[np.float64]]:
    """Return by image what a recipe asks of the network itself, however it is decoded: leaks and floors."""
    found: dict[str, NDArray[np.float64]] = {}
    if recipe.leakage:
        found |= leak_scores(trained, test)
    if recipe.floors and trained.network.output_stride > 1:
        found |= floor_scores(trained.representation.to("cpu"), trained.network.output_stride, test)
    return found


def leak_scores(trained: Colorizer, test: Dataset) -> dict[str, NDArray[np.float64]]:
    """Return both leaks of `labkit.analysis.leakage.gradient_leakage`, of the first test images, (LEAK_IMAGES,) each.

    Four pixels an image, at a quarter and three quarters of its sides. Chroma on the printed basis is measured in RGB.
    """
    few = test.images[:LEAK_IMAGES].to(trained.device)
    height, width = few.shape[-2:]
    pixels = [(i, j) for i in (height // 4, 3 * height // 4) for j in (width // 4, 3 * width // 4)]
    space = trained.representation
    to_color = chroma_basis(space.basis).T if isinstance(space, LumaChroma) else None
    found = gradient_leakage(trained.network, space.gray(few), pixels, to_color)
    return {name: leak.mean(dim=1).double().cpu().numpy() for name, leak in zip(LEAKS, found, strict=True)}


def floor_scores(space: Representation, stride: int, test: Dataset) -> dict[str, NDArray[np.float64]]:
    """Return the MSE that any network of this output stride must have, (N,) each: of averages, and of the best colors.

    The true colors averaged over stride x stride pixels are what such a network learns, but bilinear upsampling blurs
    them once more. The best colors undo that: they are found by gradient descent through the whole decoder.
    """
    key = digest(test.images), stride, repr(space.config())
    if key not in _FLOORS:
        parts = [_floors(space, stride, rgb) for rgb in test.images.split(BATCH)]
        columns = zip(*parts, strict=True)
        _FLOORS[key] = {name: torch.cat(column).double().numpy() for name, column in zip(FLOORS, columns, strict=True)}
    return dict(_FLOORS[key])


_FLOORS: dict[tuple[str, int, str], dict[str, NDArray[np.float64]]] = {}  # they take longer than a training


def _floors(space: Representation, stride: int, rgb: Tensor) -> tuple[Tensor, Tensor]:
    gray, averages = space.encode(rgb, stride)
    best = averages.clone().requires_grad_()
    optimizer = torch.optim.Adam([best], lr=0.02)  # with these steps, within 2 % of ten times as many on photographs
    for _ in range(FLOOR_STEPS):
        optimizer.zero_grad()
        mse(space.decode(gray, best), rgb).sum().backward()
        optimizer.step()
    return mse(space.decode(gray, averages), rgb), mse(space.decode(gray, best.detach()), rgb)


def _of_images(pred: Tensor, true: Tensor, wanted: set[str], thresholds: Sequence[float]) -> dict[str, Tensor]:
    measures = {"mse": mse, "mae": mae, "psnr_mean": psnr, "ssim": ssim}
    found = {name: measure(pred, true) for name, measure in measures.items() if name in wanted}
    if "colorfulness" in wanted:
        found["colorfulness"] = colorfulness(pred)
    accuracies = _accuracies(pred, true, thresholds)
    return found | {name: values for name, values in accuracies.items() if name in wanted}


def _accuracies(pred: Tensor, true: Tensor, thresholds: Sequence[float]) -> dict[str, Tensor]:
    return {
        f"accuracy {threshold:g}" + ("" if channel == "all" else f" {channel}"): fractions
        for threshold in thresholds
        for channel, fractions in pixel_accuracy(pred, true, threshold).items()
    }


def _batch(images: Tensor) -> int:
    return min(BATCH, chunk_length(images))


@torch.no_grad()
def _predicted(how: Decoded, images: Tensor) -> Iterator[Tensor]:
    """Yield predicted pictures batch by batch, on the CPU."""
    for part in images.split(_batch(images)):
        yield how(part).cpu()


def _more_scores(pictures: Tensor, test: Dataset, recipe: Recipe) -> dict[str, float]:
    accuracies = _accuracies(pictures, test.images, recipe.thresholds)
    found = {name: float(fractions.double().mean()) for name, fractions in accuracies.items()}
    if recipe.psnr_caps:
        decibels = -10 * mse(pictures, test.images).double().log10()
        found |= {name: float(decibels.clamp(max=cap).mean()) for name, cap in zip(CAPPED, PSNR_CAPS, strict=True)}
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


def validation_scores(colorizer: Colorizer, images: Tensor, with_kid: bool = False) -> Scores:
    """Return what is measured after each epoch, on images that are not trained on.

    Args:
        colorizer: as it is after the epoch.
        images: (N, 3, H, W) uint8.
        with_kid: the kernel distance, too.
    """
    found = evaluate(colorizer, images)
    gray = found.pop("gray")
    ours, floor = ({VALIDATION + name: row[name] for name in ("mse", "mae")} for row in (found, gray))
    if with_kid:
        pictures = torch.cat(list(_predicted(colorizer, images)))
        ours[VALIDATION + KID_NAME] = kid(pictures, images).mean
        floor[VALIDATION + KID_NAME] = kid(gray_prediction(images), images).mean
    if isinstance(space := colorizer.representation, Classification):
        stride, bins = colorizer.network.output_stride, space.quantizer
        images = images.to(colorizer.device)
        nearest = bins.encode(space.target(images, stride))  # (N, H / stride, W / stride)
        ours[VALIDATION + "right bins"] = _fraction(_likeliest(colorizer, images) == nearest)
        floor[VALIDATION + "right bins"] = _fraction(
            bins.encode(space.target(gray_prediction(images), stride)) == nearest
        )
    return Scores(ours, floor)


@torch.no_grad()
def _likeliest(colorizer: Colorizer, images: Tensor) -> Tensor:
    grays = (colorizer.representation.gray(part) for part in images.split(BATCH))
    return torch.cat([colorizer.predict(gray).argmax(dim=1) for gray in grays])


def _fraction(right: Tensor) -> float:
    return float(right.double().mean())


def of_epochs(history: Sequence[dict[str, float]], gray: dict[str, float]) -> Scores:
    """Return the validation scores by epoch: "validation mse, epoch 3".

    Args:
        history: a row an epoch, as training writes it.
        gray: the gray baseline's validation scores.
    """
    ours = {
        f"{name}, epoch {row['epoch']:.0f}": value
        for row in history
        for name, value in row.items()
        if name.startswith(VALIDATION)
    }
    return Scores(ours, {name: gray[name.rsplit(",", 1)[0]] for name in ours})
