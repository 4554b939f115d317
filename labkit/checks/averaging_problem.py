"""The exercises of lab 01, the averaging problem: which color each loss asks for, and what no network can beat."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from labkit.checks.framework import Exercise, Verdict, Wrong, as_tensor, describe, telling, whole

Answer = Callable[..., Any]


def chances(rng: torch.Generator, count: int) -> Tensor:
    """``count`` probabilities (K,). No subset of them sums to one half, so that every median is unique."""
    subsets = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * count)  # (2^K, K)
    while True:
        weights = 1 + torch.rand(count, generator=rng)
        probabilities = weights / weights.sum()
        if float((subsets @ probabilities - 0.5).abs().min()) > 0.004:
            return probabilities


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
    title="The color that MSE asks for",
    points=1,
    minutes=3,
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
    share = torch.where(c1 > c0, (0.5 - c0) / (c1 - c0).clamp(min=1e-6), 1.0)
    return (v0 + share * (v1 - v0))[0]


def middle_of_two(colors: Tensor, probabilities: Tensor) -> Tensor:
    """Return the unweighted median of each channel, the mean of the middle two for an even count, (3,)."""
    ordered = colors.sort(dim=0).values
    return (ordered[(len(colors) - 1) // 2] + ordered[len(colors) // 2]) / 2


_MEDIAN_WRONG = (
    Wrong("mean", mean_color, "this is the mean, which MSE asks for: absolute error asks for the median"),
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
    title="The color that L1 asks for",
    points=2,
    minutes=8,
    asks_for=("labkit.data.toyworld.optimum",),
    inputs=lambda rng: telling(lambda: candidates(rng, whole(rng, 5, 6)), median_color, _MEDIAN_WRONG),
    reference=median_color,
    hint="for each channel: sort its values, add up their probabilities in that order, stop where the sum passes 1/2",
    wrong=_MEDIAN_WRONG,
)


# Equal luma: color (three integers) -> another one with the same 299 R + 587 G + 114 B

LUMA = (299, 587, 114)  # Rec.601, in thousandths
REC709 = (2126, 7152, 722)
DIFFERENT = 60  # one channel at least must differ by that much

Color = tuple[int, int, int]


def weighted_sum(color: Sequence[int], weights: Sequence[int] = LUMA) -> int:
    """Return the sum of the channels, each times its weight."""
    return sum(weight * int(channel) for weight, channel in zip(weights, color, strict=True))


def largest_difference(one: Sequence[int], other: Sequence[int]) -> int:
    """Return the largest absolute difference between two colors in any channel."""
    return max(abs(int(a) - int(b)) for a, b in zip(one, other, strict=True))


def search(color: Color, weights: Sequence[int] = LUMA, slack: int = 0) -> list[Color]:
    """All 8-bit colors whose weighted sum equals that of ``color``, or differs by 1 to ``slack``; nearest first."""
    red, green = torch.meshgrid(torch.arange(256), torch.arange(256), indexing="ij")
    found: list[Color] = []
    for extra in [0] if slack == 0 else [*range(-slack, 0), *range(1, slack + 1)]:
        rest = weighted_sum(color, weights) + extra - weights[0] * red - weights[1] * green
        fits = (rest % weights[2] == 0) & (rest >= 0) & (rest <= 255 * weights[2])
        blue = rest[fits] // weights[2]
        found += zip(red[fits].tolist(), green[fits].tolist(), blue.tolist(), strict=True)
    return sorted((other for other in found if other != color), key=lambda other: largest_difference(color, other))


def equal_luma(color: Color) -> Color:
    """Return the color of exactly equal luma that differs most from ``color``."""
    return search(color)[-1]


def swapped(color: Color) -> Color:
    """Exchange red and blue."""
    return color[2], color[1], color[0]


def equal_when_rounded(color: Color) -> Color:
    """Return a color whose luma differs slightly and rounds to the same whole number."""
    whole = round(weighted_sum(color) / 1000)
    other = search(color, slack=200)
    return next(c for c in reversed(other) if round(weighted_sum(c) / 1000) == whole)


def not_whole(color: Color) -> tuple[int, int, float]:
    """Return a color of equal luma whose blue is not a whole number."""
    red, green, _ = equal_luma(color)
    green += 1 if green < 128 else -1
    return red, green, (weighted_sum(color) - 299 * red - 587 * green) / 114


def outside(color: Color) -> Color:
    """Return a color of equal luma that lies outside 0..255."""
    return color[0] + 114 * 3, color[1], color[2] - 299 * 3


_SAME = f"too alike to be told apart: let one channel differ by {DIFFERENT} or more"
_ROUNDED = "equal only once rounded, so the gray value still tells: 299 R + 587 G + 114 B must agree exactly"
_CHANNEL_SUM = "R + G + B agrees, but the channels do not count alike: it is 299 R + 587 G + 114 B that must agree"
_REC709 = "these weights (.2126, .7152, .0722) are Rec.709's: here gray is Rec.601 luma, 299 R + 587 G + 114 B"
_WHOLE = "8-bit colors are whole numbers: look for a green value that makes the division by 114 come out even"
_INSIDE = "an 8-bit channel lies in 0 to 255"
_LIGHTER = "the same number was added to every channel: that changes the luma by exactly that number"

_LUMA_WRONG = (
    Wrong("the color itself", lambda color: color, _SAME),
    Wrong("nearest", lambda color: search(color)[0], _SAME),
    Wrong("channels swapped", swapped, _CHANNEL_SUM),
    Wrong("rounded luma", equal_when_rounded, _ROUNDED),
    Wrong("Rec.709", lambda color: search(color, REC709)[-1], _REC709),
    Wrong("fractions", not_whole, _WHOLE),
    Wrong("out of range", outside, _INSIDE),
    Wrong("lighter", lambda color: tuple(channel + 70 for channel in color), _LIGHTER),
)


def _luma_inputs(rng: torch.Generator) -> dict[str, Color]:
    """Draw a color that is not gray, with a near, a far and a Rec.709 partner."""
    while True:
        red, green, blue = torch.randint(50, 180, (3,), generator=rng).tolist()
        color = (red, green, blue)
        if abs(red - blue) < 60 or weighted_sum(color) % 1000 == 0:
            continue
        exact, rec709 = search(color), search(color, REC709)
        if not exact or not rec709 or largest_difference(color, exact[0]) >= DIFFERENT:
            continue
        if largest_difference(color, exact[-1]) >= 100 and weighted_sum(rec709[-1]) != weighted_sum(color):
            return {"color": color}


def _judge_luma(inputs: dict[str, Color], output: Any) -> Verdict:
    color, wanted = inputs["color"], weighted_sum(inputs["color"])
    expected = f"another color with 299 R + 587 G + 114 B = {wanted}"
    values = as_tensor(output)
    if values is None or values.numel() != 3:
        return Verdict(False, "return three whole numbers: red, green, blue", describe(output), expected)
    three = values.flatten().tolist()
    if any(value != int(value) if abs(value) < 1e9 else True for value in three):  # NaN is not equal to itself
        return Verdict(False, _WHOLE, describe(output), expected)
    other = [int(value) for value in three]
    given = f"{tuple(other)} with 299 R + 587 G + 114 B = {weighted_sum(other)}"
    if min(other) < 0 or max(other) > 255:
        return Verdict(False, _INSIDE, given, expected)
    if weighted_sum(other) != wanted:
        return Verdict(False, _why_unequal(color, other), given, expected)
    if largest_difference(color, other) < DIFFERENT:
        return Verdict(False, _SAME, given, expected)
    return Verdict(True)


def _why_unequal(color: Color, other: Sequence[int]) -> str:
    if len({a - b for a, b in zip(color, other, strict=True)}) == 1:
        return _LIGHTER
    if sum(color) == sum(other):
        return _CHANNEL_SUM
    if round(weighted_sum(color) / 1000) == round(weighted_sum(other) / 1000):
        return _ROUNDED
    if weighted_sum(color, REC709) == weighted_sum(other, REC709):
        return _REC709
    return "choose R and G, then see which B is left over: B = (sum - 299 R - 587 G) / 114; try until it is whole"


EQUAL_LUMA = Exercise(
    id="01-equal-luma",
    title="Two colors, one gray",
    points=2,
    minutes=7,
    inputs=_luma_inputs,
    reference=equal_luma,
    judge=_judge_luma,
    wrong=_LUMA_WRONG,
)


# Bayes: colors (K, 3), prior (K,), likelihood (K, R) -> conditional mean (R, 3)


def conditional_mean(colors: Tensor, prior: Tensor, likelihood: Tensor) -> Tensor:
    """Return the mean color given each row, by Bayes' rule, (R, 3)."""
    joint = prior[:, None] * likelihood
    return (joint / joint.sum(dim=0)).T @ colors


def _without_prior(colors: Tensor, prior: Tensor, likelihood: Tensor) -> Tensor:
    return (likelihood / likelihood.sum(dim=0)).T @ colors


_CONDITIONAL_WRONG = (
    Wrong(
        "without the prior",
        _without_prior,
        "Bayes' rule needs the prior, too: a rare thing stays improbable, wherever it is seen",
    ),
    Wrong(
        "without the position",
        lambda colors, prior, likelihood: (prior @ colors).expand(likelihood.shape[1], 3),
        "this is the mean over the whole picture, the same in every row: weigh with how often a thing is in that row",
    ),
    Wrong(
        "not normalized",
        lambda colors, prior, likelihood: (prior[:, None] * likelihood).T @ colors,
        "prior times likelihood does not sum to 1: divide by its sum over the things, P(row)",
    ),
    Wrong(
        "normalized over the rows",  # which gives the likelihood back
        lambda colors, prior, likelihood: likelihood.T @ colors,
        "in each row it is the things' probabilities that must sum to 1: divide prior times likelihood by its sum over "
        "the things (axis 0)",
    ),
    Wrong(
        "transposed",
        lambda colors, prior, likelihood: conditional_mean(colors, prior, likelihood).T,
        "return one color per row, shape (R, 3): yours is (3, R)",
    ),
    Wrong(
        "most probable thing",
        lambda colors, prior, likelihood: colors[(prior[:, None] * likelihood).argmax(dim=0)],
        "this is the color of the most probable thing: squared error asks for the mean over all of them",
    ),
)


def _rows(rng: torch.Generator) -> dict[str, Tensor]:
    """Things with colors (K, 3); the first is never in the last row, as the sky is never at the bottom."""
    count, rows = 3, 5
    likelihood = torch.rand((count, rows), generator=rng) ** 2 + 0.02
    likelihood[0, -1] = 0
    return {
        "colors": torch.randint(0, 256, (count, 3), generator=rng).float(),
        "prior": chances(rng, count),
        "likelihood": likelihood / likelihood.sum(dim=1, keepdim=True),
    }


CONDITIONAL_MEAN = Exercise(
    id="01-conditional-mean",
    title="The mean, given the row",
    points=2,
    minutes=6,
    inputs=lambda rng: telling(lambda: _rows(rng), conditional_mean, _CONDITIONAL_WRONG),
    reference=conditional_mean,
    hint="P(thing | row) = P(thing) P(row | thing) / P(row); then the mean color under it, for each row: shape (R, 3)",
    wrong=_CONDITIONAL_WRONG,
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
    asks_for=("labkit.data.toyworld.optimum", "labkit.data.toyworld.best_scores"),
    inputs=lambda rng: telling(lambda: _small_posterior(rng), lowest_mse, _LOWEST_WRONG),
    reference=lowest_mse,
    hint="for each pixel and channel the variance under the probabilities (axis 1); then the mean of them all",
    wrong=_LOWEST_WRONG,
)


EXERCISES = (MEAN_COLOR, MEDIAN_COLOR, EQUAL_LUMA, CONDITIONAL_MEAN, LOWEST_MSE)
