"""The exercises of lab 01, the averaging problem: which color minimizes each loss, and what no network can beat.

What is built in the same lab is checked by `labkit.checks.training_step` and `labkit.checks.training_loop`.
"""

from functools import cache

import torch
from torch import Tensor

from labkit.checks.framework import Exercise, Wrong, telling, whole


def chances(rng: torch.Generator, count: int) -> Tensor:
    """``count`` probabilities (K,). No subset of them sums to one half, so that every median is unique."""
    while True:
        weights = 1 + torch.rand(count, generator=rng)
        probabilities = weights / weights.sum()
        if float((_subsets(count) @ probabilities - 0.5).abs().min()) > 0.004:
            return probabilities


@cache
def _subsets(count: int) -> Tensor:
    """Return every subset of ``count`` things as ones and zeros, (2^count, count)."""
    return torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * count)


def candidates(rng: torch.Generator, count: int) -> dict[str, Tensor]:
    """Colors float (K, 3), whole numbers in 0..255, and their probabilities (K,)."""
    colors = torch.randint(0, 256, (count, 3), generator=rng).float()
    return {"colors": colors, "probabilities": chances(rng, count)}


# The mean: colors (K, 3), probabilities (K,) -> color (3,)


def mean_color(colors: Tensor, probabilities: Tensor) -> Tensor:
    """Return the expected color under a distribution, (3,)."""
    return probabilities.double() @ colors.double()


def mode_color(colors: Tensor, probabilities: Tensor) -> Tensor:
    """Return the most probable color, (3,)."""
    return colors[probabilities.argmax()]


def midrange(colors: Tensor, probabilities: Tensor) -> Tensor:
    """Return the color halfway between the smallest and the largest value of each channel, (3,)."""
    return (colors.amin(0) + colors.amax(0)) / 2


_UNWEIGHTED = "all colors count alike here: weigh each with its probability"
_MEAN_WRONG = (
    Wrong("unweighted", lambda colors, probabilities: colors.mean(0), _UNWEIGHTED),
    Wrong(
        "divided by K",
        lambda colors, probabilities: (probabilities[:, None] * colors).mean(0),
        "the probabilities already sum to 1: sum the weighted colors, do not average them once more",
    ),
    Wrong("mode", mode_color, "this is the most probable color: squared error punishes how far off the others are"),
    Wrong(
        "squared weights",
        lambda colors, probabilities: probabilities**2 @ colors / (probabilities**2).sum(),
        "the error is squared, the probabilities are not: set the derivative of sum p (c - x)^2 to zero",
    ),
    Wrong("midrange", midrange, "halfway between the extremes minimizes the largest error, not the mean squared one"),
    Wrong(
        "one number",
        lambda colors, probabilities: (probabilities @ colors).mean(),
        "a color has three numbers: average over the candidates (axis 0), not over R, G and B",
    ),
)
_MEAN_ALSO_WRONG = (  # too near the right answer, or raising: not for `telling`
    Wrong(
        "rounded",
        lambda colors, probabilities: (probabilities @ colors).round(),
        "do not round: the best color need not be a whole number",
    ),
    Wrong(
        "the other axis",
        lambda colors, probabilities: (colors * probabilities).sum(dim=0),
        "there is one probability a color, a row of `colors`: probabilities[:, None] stands beside the rows",
    ),
)


MEAN_COLOR = Exercise(
    id="01-mean-color",
    title="The color of least squared error",
    points=1,
    minutes=3,
    level=1,
    hints=(
        "set the derivative of the expected squared error to zero: what is c?",
        "c is the mean of the colors, each weighted with its probability",
        "return (probabilities[:, None] * colors)...: a sum over one axis",
    ),
    asks_for=("labkit.data.toyworld.optimum",),
    inputs=lambda rng: telling(lambda: candidates(rng, whole(rng, 4, 6)), mean_color, _MEAN_WRONG),
    reference=mean_color,
    hint="the sum of the colors, each times its probability: shape (3,), in the units of the colors",
    wrong=_MEAN_WRONG + _MEAN_ALSO_WRONG,
)


# The median: colors (K, 3), probabilities (K,) -> color (3,)


def median_color(colors: Tensor, probabilities: Tensor) -> Tensor:
    """Return the weighted median of each channel, (3,)."""
    values, order = colors.sort(dim=0)
    passed = probabilities[order].cumsum(dim=0) > 0.5
    return values.gather(0, passed.int().argmax(dim=0, keepdim=True))[0]


def medoid(colors: Tensor, probabilities: Tensor) -> Tensor:
    """Of the candidates themselves the best by expected absolute error."""
    distance = (colors[:, None] - colors).abs().sum(dim=2)
    return colors[(distance @ probabilities).argmin()]


def probabilities_left_behind(colors: Tensor, probabilities: Tensor) -> Tensor:
    """Sort each channel, but add up the probabilities in their original order, (3,)."""
    passed = (probabilities.cumsum(0) > 0.5).int().argmax()
    return colors.sort(dim=0).values[passed]


def unsorted_colors(colors: Tensor, probabilities: Tensor) -> Tensor:
    """Return the first color at which the probabilities, added up without sorting, exceed one half, (3,)."""
    return colors[(probabilities.cumsum(0) > 0.5).int().argmax()]


def one_order(colors: Tensor, probabilities: Tensor) -> Tensor:
    """Sorts whole colors by their brightness and takes the one in the middle."""
    order = colors.sum(dim=1).argsort()
    return colors[order][(probabilities[order].cumsum(0) > 0.5).int().argmax()]


def one_too_low(colors: Tensor, probabilities: Tensor) -> Tensor:
    """Return for each channel the sorted value just below the weighted median, (3,)."""
    values, order = colors.sort(dim=0)
    below = (probabilities[order].cumsum(dim=0) < 0.5).sum(dim=0, keepdim=True)
    return values.gather(0, (below - 1).clamp(min=0))[0]


def interpolated(colors: Tensor, probabilities: Tensor) -> Tensor:
    """Between the values below and above one half, on a straight line (as numpy's quantiles do)."""
    values, order = colors.sort(dim=0)
    cumulative = probabilities[order].cumsum(dim=0)
    above = (cumulative > 0.5).int().argmax(dim=0, keepdim=True)
    below = (above - 1).clamp(min=0)
    c0, c1 = cumulative.gather(0, below), cumulative.gather(0, above)
    v0, v1 = values.gather(0, below), values.gather(0, above)
    fraction = torch.where(c1 > c0, (0.5 - c0) / (c1 - c0).clamp(min=1e-6), 1.0)
    return (v0 + fraction * (v1 - v0))[0]


def middle_of_two(colors: Tensor, probabilities: Tensor) -> Tensor:
    """Return the unweighted median of each channel, the mean of the middle two for an even count, (3,)."""
    ordered = colors.sort(dim=0).values
    return (ordered[(len(colors) - 1) // 2] + ordered[len(colors) // 2]) / 2


_MEDIAN_WRONG = (
    Wrong(
        "mean",
        mean_color,
        "this is the mean, which minimizes the squared error: the absolute error is minimized by the median",
    ),
    Wrong(
        "unweighted",
        lambda colors, probabilities: colors.median(dim=0).values,
        "the middle of the list ignores the probabilities: half of the *probability* must lie on either side",
    ),
    Wrong(
        "unweighted, middle of two",
        middle_of_two,
        "the middle of the list ignores the probabilities: half of the *probability* must lie on either side",
    ),
    Wrong("mode", mode_color, "this is the most probable color: each channel has a median of its own"),
    Wrong(
        "best candidate",
        medoid,
        "this is the best of the candidates, but the optimum need not be one: each channel is minimized by itself",
    ),
    Wrong(
        "probabilities left behind",
        probabilities_left_behind,
        "each value must keep its probability when you sort: let argsort reorder both, channel by channel",
    ),
    Wrong("not sorted", unsorted_colors, "sort the values of a channel before you add up their probabilities"),
    Wrong("one order for all", one_order, "each channel has an order of its own: sort red, green and blue separately"),
    Wrong("one too low", one_too_low, "one too low: take the first value at which the sum passes one half"),
    Wrong("interpolated", interpolated, "do not interpolate: expected absolute error has its kinks at the values"),
)


MEDIAN_COLOR = Exercise(
    id="01-median-color",
    title="The color of least absolute error",
    points=2,
    minutes=8,
    level=2,
    hints=(
        "treat red, green and blue separately: sort the values of a channel, and let the probabilities follow",
        "values, order = colors[:, channel].sort() and probabilities[order].cumsum(dim=0) > 0.5",
        "a loop over three channels that appends values[passed][0]; then torch.stack",
    ),
    asks_for=("labkit.data.toyworld.optimum",),
    inputs=lambda rng: telling(lambda: candidates(rng, whole(rng, 5, 6)), median_color, _MEDIAN_WRONG),
    reference=median_color,
    hint="for each channel: sort its values, add up their probabilities in that order, stop where the sum passes 1/2",
    wrong=_MEDIAN_WRONG,
)


# The table: cell (M,), colors (M, 3), fallback (S, 3) -> the mean color of each cell (S, 3)


def color_table(cell: Tensor, colors: Tensor, fallback: Tensor) -> Tensor:
    """Return the mean color of the pixels of each cell, (S, 3); the fallback's where there is none."""
    total = torch.zeros_like(fallback).index_add_(0, cell, colors)
    count = cell.bincount(minlength=len(fallback))[:, None]
    return torch.where(count > 0, total / count.clamp(min=1), fallback)


def _sums(cell: Tensor, colors: Tensor, fallback: Tensor) -> Tensor:
    return torch.zeros_like(fallback).index_add_(0, cell, colors)


def _counts(cell: Tensor, fallback: Tensor) -> Tensor:
    return cell.bincount(minlength=len(fallback))[:, None]


def _counts_to_the_largest(cell: Tensor, colors: Tensor, fallback: Tensor) -> Tensor:
    return _sums(cell, colors, fallback) / cell.bincount()[:, None]


def _last_one(cell: Tensor, colors: Tensor, fallback: Tensor) -> Tensor:
    table = fallback.clone()
    for at, color in zip(cell.tolist(), colors, strict=True):
        table[at] = color
    return table


def _only_new(cell: Tensor, colors: Tensor, fallback: Tensor) -> Tensor:
    """Make the mistake of ``table[cell] += colors``, which adds one pixel of each cell and loses the others."""
    total = torch.zeros_like(fallback)
    for at, color in zip(cell.tolist(), colors, strict=True):
        total[at] = color
    count = _counts(cell, fallback)
    return torch.where(count > 0, total / count.clamp(min=1), fallback)


_SHORT_COUNT = Wrong(
    "no minlength",
    _counts_to_the_largest,
    "bincount ends at the largest cell that occurs: cell.bincount(minlength=len(fallback)) has one for each cell",
)
_TABLE_WRONG = (
    Wrong("sums", _sums, "these are sums: divide each by the number of pixels in its cell"),
    Wrong(
        "divided by all pixels",
        lambda cell, colors, fallback: _sums(cell, colors, fallback) / len(cell),
        "divide by the number of pixels in the cell, not by the number of all pixels",
    ),
    Wrong("last pixel", _last_one, "table[cell] = colors keeps one pixel of each cell: add them all up first"),
    Wrong(
        "added once",
        _only_new,
        "table[cell] += colors adds one pixel of each cell and loses the others: index_add_ adds them all",
    ),
    Wrong(
        "no fallback",
        lambda cell, colors, fallback: _sums(cell, colors, fallback) / _counts(cell, fallback),
        "0 / 0 is not a number: a cell without any pixel gets the color of `fallback`",
    ),
    Wrong(
        "zero for the empty",
        lambda cell, colors, fallback: _sums(cell, colors, fallback) / _counts(cell, fallback).clamp(min=1),
        "a cell without any pixel gets the color of `fallback`, not black",
    ),
    Wrong(
        "one pixel is none",
        lambda cell, colors, fallback: torch.where(
            _counts(cell, fallback) > 1, color_table(cell, colors, fallback), fallback
        ),
        "a cell with a single pixel has a mean, too: the fallback is for a count of 0",
    ),
    Wrong(
        "fallback counted",
        lambda cell, colors, fallback: (fallback + _sums(cell, colors, fallback)) / (1 + _counts(cell, fallback)),
        "the fallback is no pixel: it is used only for a cell without any",
    ),
    Wrong(
        "mean of all",
        lambda cell, colors, fallback: colors.mean(dim=0).expand_as(fallback),
        "one mean for each cell: here every cell has the mean of all pixels",
    ),
)


def _pixels(rng: torch.Generator) -> dict[str, Tensor]:
    """Draw 40 pixels in 5 of 6 cells, one in the fifth and several in each of the others."""
    cell = torch.cat([torch.arange(5), torch.arange(4), torch.randint(0, 4, (31,), generator=rng)])
    names = torch.randperm(6, generator=rng)  # so that the empty cell is any of them
    return {
        "cell": names[cell][torch.randperm(40, generator=rng)],
        "colors": torch.rand((40, 3), generator=rng),
        "fallback": torch.rand((7, 3), generator=rng),  # the last cell is empty, too
    }


COLOR_TABLE = Exercise(
    id="01-color-table",
    title="A table that colorizes",
    points=2,
    minutes=8,
    level=2,
    inputs=lambda rng: telling(lambda: _pixels(rng), color_table, _TABLE_WRONG),
    reference=color_table,
    hint="for each cell: the sum of the colors of its pixels, divided by their number; else the fallback",
    hints=(
        "a mean is a sum divided by a number: make a table of sums (S, 3) and one of numbers (S,)",
        "torch.zeros_like(fallback).index_add_(0, cell, colors) has the sums, cell.bincount(minlength=...) the numbers",
        "total = ...; count = ...[:, None]; return torch.where(count > 0, total / count.clamp(min=1), fallback)",
    ),
    wrong=(*_TABLE_WRONG, _SHORT_COUNT),
)


# The floor: colors uint8 (N, K, 3, H, W), probability (N, K, H, W) -> the lowest MSE


def lowest_mse(colors: Tensor, probability: Tensor) -> float:
    """Return the mean variance of the colors under their probabilities, in units where white is 1."""
    values, p = colors.double() / 255, probability.double()[:, :, None]
    mean = (p * values).sum(dim=1, keepdim=True)
    return float((p * (values - mean) ** 2).sum(dim=1).mean())


def _wrapped(colors: Tensor, probability: Tensor) -> float:
    p = probability[:, :, None]
    mean = (p * colors).sum(dim=1)
    return float(((p * colors**2).sum(dim=1) - mean**2).mean()) / 255**2


def _only_ambiguous(colors: Tensor, probability: Tensor) -> float:
    return lowest_mse(colors, probability) / float((probability.amax(dim=1) < 1).double().mean())


def _standard_deviation(colors: Tensor, probability: Tensor) -> float:
    values, p = colors.double() / 255, probability.double()[:, :, None]
    mean = (p * values).sum(dim=1, keepdim=True)
    return float((p * (values - mean) ** 2).sum(dim=1).sqrt().mean())


def _error_of_the_mode(colors: Tensor, probability: Tensor) -> float:
    values, p = colors.double() / 255, probability.double()[:, :, None]
    best = probability.argmax(dim=1)[:, None, None].expand(-1, -1, 3, -1, -1)
    return float((p * (values - values.gather(1, best)) ** 2).sum(dim=1).mean())


def _absolute_error(colors: Tensor, probability: Tensor) -> float:
    values, p = colors.double() / 255, probability.double()[:, :, None]
    mean = (p * values).sum(dim=1, keepdim=True)
    return float((p * (values - mean).abs()).sum(dim=1).mean())


_LOWEST_WRONG = (
    Wrong(
        "probabilities ignored",
        lambda colors, probability: float((colors.double() / 255).var(dim=1, correction=0).mean()),
        "the candidates do not count alike, and some of them are padding with probability 0: weigh them",
    ),
    Wrong(
        "0 to 255",
        lambda colors, probability: 255**2 * lowest_mse(colors, probability),
        "scores are in units where white is 1: divide the colors by 255 first",
    ),
    Wrong(
        "divided by 255 once",
        lambda colors, probability: 255 * lowest_mse(colors, probability),
        "scores are in units where white is 1, and the error is squared: divide the colors by 255 before anything else",
    ),
    Wrong(
        "summed over channels",
        lambda colors, probability: 3 * lowest_mse(colors, probability),
        "the mean runs over R, G and B, too: this is three times the MSE",
    ),
    Wrong("uint8 squares", _wrapped, "squares of uint8 wrap around without a word (20 * 20 is 144): use floats"),
    Wrong("only ambiguous pixels", _only_ambiguous, "pixels with one color count, too, with no error: mean over all"),
    Wrong("standard deviation", _standard_deviation, "a squared error: do not take the root"),
    Wrong("absolute deviation", _absolute_error, "this is the mean absolute error of the mean: square the differences"),
    Wrong("error of the mode", _error_of_the_mode, "this is what the most probable color costs: the mean costs less"),
    Wrong(
        "one color for all",
        lambda colors, probability: float((colors.double() / 255).var(dim=(0, 1, 3, 4), correction=0).mean()),
        "the mean is taken pixel by pixel, over the candidates alone (axis 1), not over the picture",
    ),
)


def _small_posterior(rng: torch.Generator) -> dict[str, Tensor]:
    """As `ToyWorld.posterior` gives it: 1 to 4 candidates a pixel, the rest repeat the first with probability 0."""
    scenes, most, height, width = 2, 4, 3, 5
    colors = torch.randint(0, 256, (scenes, most, 3, height, width), generator=rng, dtype=torch.uint8)
    count = torch.randint(1, most + 1, (scenes, 1, height, width), generator=rng)
    there = torch.arange(most)[None, :, None, None] < count
    weight = (0.1 + torch.rand((scenes, most, height, width), generator=rng)) * there
    colors = torch.where(there[:, :, None], colors, colors[:, :1])
    return {"colors": colors, "probability": weight / weight.sum(dim=1, keepdim=True)}


LOWEST_MSE = Exercise(
    id="01-lowest-mse",
    title="The MSE that no network can beat",
    points=2,
    minutes=6,
    level=3,
    hints=(
        "in each pixel and channel: the variance under the probabilities. Then one mean over everything",
        "weight = probability[:, :, None], shape (N, K, 1, H, W), stands beside colors; candidates are axis 1",
        "mean = (weight * values).sum(dim=1, keepdim=True); then the weighted squared differences, summed over axis 1",
    ),
    asks_for=("labkit.data.toyworld.optimum", "labkit.data.toyworld.best_scores"),
    inputs=lambda rng: telling(lambda: _small_posterior(rng), lowest_mse, _LOWEST_WRONG),
    reference=lowest_mse,
    hint="for each pixel and channel the variance under the probabilities (axis 1); then the mean of them all",
    wrong=_LOWEST_WRONG,
)


EXERCISES = (MEAN_COLOR, MEDIAN_COLOR, COLOR_TABLE, LOWEST_MSE)

PREDICTIONS: dict[str, str | tuple[float, float]] = {
    "01-ball": "c",
    "01-context": "b",
    "01-excess": "b",
    "01-colors": "a",
    "01-axes": "c",
}
