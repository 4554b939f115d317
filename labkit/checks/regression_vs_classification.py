"""The exercises of lab 03: nearest bin, oracle floor, soft encoding, rebalancing weights, annealed mean."""

from typing import Any

import torch
from torch import Tensor

from labkit.checks.framework import Exercise, Verdict, Wrong, as_tensor, close, telling, uniform, whole

# Nearest bin: colors (P, D), centers (Q, D) -> int64 (P,)


def squared_distance(colors: Tensor, centers: Tensor) -> Tensor:
    """(P, D), (Q, D) -> (P, Q)."""
    return (colors[:, None] - centers).square().sum(dim=-1)


def nearest_bin(colors: Tensor, centers: Tensor) -> Tensor:
    """Return the number of the nearest center for each color, int64 (P,)."""
    return squared_distance(colors, centers).argmin(dim=1)


_NEAREST_WRONG = (
    Wrong(
        "absolute differences",
        lambda colors, centers: (colors[:, None] - centers).abs().sum(dim=-1).argmin(dim=1),
        "distance is Euclidean: add up the squares of the differences, not their absolute values",
    ),
    Wrong(
        "farthest",
        lambda colors, centers: squared_distance(colors, centers).argmax(dim=1),
        "this is the farthest bin: take the smallest distance",
    ),
    Wrong(
        "largest product",
        lambda colors, centers: (colors @ centers.T).argmax(dim=1),
        "a large product means long, not near: take the smallest distance",
    ),
    Wrong(
        "differences not squared",
        lambda colors, centers: (colors[:, None] - centers).sum(dim=-1).argmin(dim=1),
        "differences of opposite sign cancel: square each before you add them up",
    ),
    Wrong(
        "first coordinate only",
        lambda colors, centers: squared_distance(colors[:, :1], centers[:, :1]).argmin(dim=1),
        "all coordinates count: this looks at the first one alone",
    ),
    Wrong(
        "channel by channel",
        lambda colors, centers: (colors[:, None] - centers).abs().argmin(dim=1),
        "one number for each color: add up over the coordinates (last axis) before you take the smallest",
    ),
    Wrong(
        "the color, not its number",
        lambda colors, centers: centers[nearest_bin(colors, centers)],
        "return the number of the bin (its row in `centers`), not its color",
    ),
    Wrong(
        "the other way round",
        lambda colors, centers: squared_distance(colors, centers).argmin(dim=0),
        "this is the nearest color of each bin: for each color take the smallest over the bins",
    ),
)


def _colors_and_bins(rng: torch.Generator) -> dict[str, Tensor]:
    channels = whole(rng, 2, 3)
    return {
        "colors": uniform(rng, -60, 60, (whole(rng, 20, 24), channels)),
        "centers": uniform(rng, -60, 60, (whole(rng, 8, 12), channels)),
    }


NEAREST_BIN = Exercise(
    id="03-nearest-bin",
    title="The nearest bin",
    points=1,
    minutes=4,
    asks_for=(
        "labkit.quantize.Quantizer.nearest",
        "labkit.quantize.Quantizer.encode",
    ),
    inputs=lambda rng: telling(lambda: _colors_and_bins(rng), nearest_bin, _NEAREST_WRONG),
    reference=nearest_bin,
    hint="colors[:, None] - centers has shape (P, Q, D): sum its squares over D, then argmin over Q",
    wrong=_NEAREST_WRONG,
)


# Soft encoding: colors (P, 2), centers (Q, 2), neighbors, sigma -> (P, Q)


def soft_encode(colors: Tensor, centers: Tensor, neighbors: int, sigma: float) -> Tensor:
    """Return Gaussian weights of the nearest few bins for each color, each row with sum 1, (P, Q)."""
    return _shared_out(_gaussian(squared_distance(colors, centers), sigma), neighbors)


def _gaussian(squared: Tensor, sigma: float) -> Tensor:
    return (-squared / (2 * sigma**2)).exp()


def _kept(weight: Tensor, neighbors: int) -> Tensor:
    """All but the largest few of each row set to 0."""
    largest = weight.topk(neighbors, dim=1)
    return torch.zeros_like(weight).scatter(1, largest.indices, largest.values)


def _shared_out(weight: Tensor, neighbors: int) -> Tensor:
    kept = _kept(weight, neighbors)
    return kept / kept.sum(dim=1, keepdim=True)


def _all_bins(colors: Tensor, centers: Tensor, neighbors: int, sigma: float) -> Tensor:
    return _shared_out(_gaussian(squared_distance(colors, centers), sigma), len(centers))


def _cut_after(colors: Tensor, centers: Tensor, neighbors: int, sigma: float) -> Tensor:
    return _kept(_all_bins(colors, centers, neighbors, sigma), neighbors)


def _nearest_first(colors: Tensor, centers: Tensor, neighbors: int, sigma: float) -> Tensor:
    largest = soft_encode(colors, centers, neighbors, sigma).topk(neighbors, dim=1)
    return largest.values


_SOFT_WRONG = (
    Wrong(
        "hard",
        lambda colors, centers, neighbors, sigma: _kept(
            _shared_out(_gaussian(squared_distance(colors, centers), sigma), 1), 1
        ),
        "this is hard encoding, one bin a color: share the probability among the nearest `neighbors` bins",
    ),
    Wrong("all bins", _all_bins, "only the nearest `neighbors` bins may have a share: set the others to 0 first"),
    Wrong("cut after normalizing", _cut_after, "each row must sum to 1: normalize after the other bins are set to 0"),
    Wrong(
        "not normalized",
        lambda colors, centers, neighbors, sigma: _kept(_gaussian(squared_distance(colors, centers), sigma), neighbors),
        "each row must sum to 1: divide by its sum",
    ),
    Wrong(
        "equal shares",
        lambda colors, centers, neighbors, sigma: (
            (soft_encode(colors, centers, neighbors, sigma) > 0).float() / neighbors
        ),
        "near bins get more than far ones: weigh them with the Gaussian of their distance",
    ),
    Wrong(
        "distance not squared",
        lambda colors, centers, neighbors, sigma: _shared_out(
            _gaussian(squared_distance(colors, centers).sqrt(), sigma), neighbors
        ),
        "the Gaussian has the squared distance in its exponent",
    ),
    Wrong(
        "without the 2",
        lambda colors, centers, neighbors, sigma: _shared_out(
            _gaussian(2 * squared_distance(colors, centers), sigma), neighbors
        ),
        "the exponent is -d^2 / (2 sigma^2): the 2 is missing",
    ),
    Wrong(
        "sigma not squared",
        lambda colors, centers, neighbors, sigma: _shared_out(
            _gaussian(squared_distance(colors, centers), sigma**0.5), neighbors
        ),
        "the exponent is -d^2 / (2 sigma^2): sigma is squared, too",
    ),
    Wrong(
        "farthest",
        lambda colors, centers, neighbors, sigma: _shared_out(
            1 / _gaussian(squared_distance(colors, centers), sigma), neighbors
        ),
        "these are the farthest bins: topk takes the largest, so ask it for the smallest distances (largest=False)",
    ),
    Wrong(
        "normalized over the colors",
        lambda colors, centers, neighbors, sigma: (
            lambda weight: weight / weight.sum(dim=0, keepdim=True).clamp(min=1e-30)
        )(_kept(_gaussian(squared_distance(colors, centers), sigma), neighbors)),
        "for each color (row) the shares of the bins must sum to 1: divide by the sum over axis 1",
    ),
    Wrong(
        "nearest first",
        _nearest_first,
        "each share must stand at its bin's own place: start from zeros (P, Q) and scatter the shares into them",
    ),
)


def _colors_among_bins(rng: torch.Generator) -> dict[str, Any]:
    return {
        "colors": uniform(rng, -12, 12, (whole(rng, 4, 6), 2)),
        "centers": uniform(rng, -15, 15, (whole(rng, 8, 10), 2)),
        "neighbors": whole(rng, 3, 5),
        "sigma": uniform(rng, 4.0, 8.0),
    }


SOFT_ENCODE = Exercise(
    id="03-soft-encode",
    title="Soft encoding",
    points=2,
    minutes=7,
    asks_for=("labkit.quantize.Quantizer.soft_encode",),
    inputs=lambda rng: telling(lambda: _colors_among_bins(rng), soft_encode, _SOFT_WRONG),
    reference=soft_encode,
    hint="squared distances (P, Q); keep the nearest few of each row, exp(-d^2 / (2 sigma^2)), divide by the row's sum",
    wrong=_SOFT_WRONG,
)


# Rebalancing: frequencies (Q,), mix -> weights (Q,)


def balanced_weights(frequencies: Tensor, mix: float) -> Tensor:
    """Return weights (Q,) inverse to the mixed frequencies, with mean 1 under ``frequencies``."""
    return _weighted_to_one(1 / _mixed(frequencies, mix), frequencies)


def _mixed(frequencies: Tensor, mix: float) -> Tensor:
    return (1 - mix) * frequencies.double() + mix / len(frequencies)


def _weighted_to_one(weights: Tensor, frequencies: Tensor) -> Tensor:
    return weights / (frequencies * weights).sum()


_EMPTY = "some bins are empty, and one over nothing is infinite: mix in the uniform distribution before you invert"
_FLOOR = "a tiny floor still leaves an enormous weight on empty bins: mix in the uniform distribution instead"
_AVERAGE = "the average over *pixels* must be 1, and a bin has p of them: divide by sum(p * weight)"

_BALANCED_WRONG = (
    Wrong("one over p", lambda frequencies, mix: 1 / frequencies, _EMPTY),
    Wrong("one over p, normalized", lambda frequencies, mix: _weighted_to_one(1 / frequencies, frequencies), _EMPTY),
    Wrong(
        "empty bins left out",
        lambda frequencies, mix: torch.where(frequencies > 0, balanced_weights(frequencies, mix), 0.0),
        "an empty bin gets the largest weight, not 0: mixing has already made it finite",
    ),
    Wrong(
        "a floor in place of the mix",
        lambda frequencies, mix: _weighted_to_one(1 / frequencies.clamp(min=1e-6), frequencies),
        _FLOOR,
    ),
    Wrong("not normalized", lambda frequencies, mix: 1 / _mixed(frequencies, mix), _AVERAGE),
    Wrong(
        "sum to 1",
        lambda frequencies, mix: (1 / _mixed(frequencies, mix)) / (1 / _mixed(frequencies, mix)).sum(),
        _AVERAGE,
    ),
    Wrong(
        "average over bins",
        lambda frequencies, mix: (1 / _mixed(frequencies, mix)) / (1 / _mixed(frequencies, mix)).mean(),
        _AVERAGE,
    ),
    Wrong(
        "normalized by the mixture",
        lambda frequencies, mix: 1 / _mixed(frequencies, mix) / len(frequencies),
        "pixels come as the frequencies say, not as the mixture does: divide by sum(p * weight), p the frequencies",
    ),
    Wrong(
        "the shares swapped",
        lambda frequencies, mix: balanced_weights(frequencies, 1 - mix),
        "mix is the share of the uniform distribution, 1 - mix that of the frequencies",
    ),
    Wrong(
        "not inverted",
        lambda frequencies, mix: _weighted_to_one(_mixed(frequencies, mix), frequencies),
        "rare bins must weigh more: one over the mixture",
    ),
    Wrong(
        "uniform is 1 over Q",
        lambda frequencies, mix: _weighted_to_one(1 / ((1 - mix) * frequencies + mix), frequencies),
        "the uniform distribution over Q bins gives each 1 / Q, not 1",
    ),
)


def _judge_weights(inputs: dict[str, Any], output: Any) -> Verdict:
    given, expected = as_tensor(output), balanced_weights(**inputs)
    hint = "1 / ((1 - mix) p + mix / Q), then divided by the sum of p times that"
    if given is not None and not bool(given.isfinite().all()):
        hint = _EMPTY
    elif given is not None and float(given.max()) > 1000 * float(expected.max()):
        hint = _FLOOR
    return close(output, expected, hint=hint)


def _frequencies(rng: torch.Generator) -> dict[str, Any]:
    """Draw a lopsided distribution with empty bins, and a mix away from one half."""
    count = whole(rng, 6, 8)
    share = torch.rand(count, generator=rng) ** 4 + 0.01
    share[torch.randperm(count, generator=rng)[:2]] = 0
    mix = uniform(rng, 0.2, 0.4)
    return {
        "frequencies": share / share.sum(),
        "mix": mix if float(torch.rand((), generator=rng)) < 0.5 else 1 - mix,
    }


REBALANCING = Exercise(
    id="03-rebalancing",
    title="Weights for rare colors",
    points=2,
    minutes=6,
    asks_for=("labkit.quantize.rebalancing_weights",),
    inputs=lambda rng: telling(lambda: _frequencies(rng), balanced_weights, _BALANCED_WRONG),
    reference=balanced_weights,
    judge=_judge_weights,
    wrong=_BALANCED_WRONG,
)


# Annealed mean: logits (P, Q), centers (Q, D), temperature -> (P, D)


def annealed_mean(logits: Tensor, centers: Tensor, temperature: float) -> Tensor:
    """Return the mean of the centers under the softmax of logits / temperature, (P, D)."""
    return (logits / temperature).softmax(dim=1) @ centers


def _averaged_numbers(logits: Tensor, centers: Tensor, temperature: float) -> Tensor:
    numbers = torch.arange(len(centers), dtype=logits.dtype)
    return centers[((logits / temperature).softmax(dim=1) @ numbers).round().long()]


_ANNEALED_WRONG = (
    Wrong(
        "temperature without effect",
        lambda logits, centers, temperature: logits.softmax(dim=1) @ centers,
        "this is the plain mean. Dividing all *probabilities* by T and normalizing again changes nothing: divide the "
        "logits, before the softmax",
    ),
    Wrong(
        "temperature on the probabilities",
        lambda logits, centers, temperature: (logits.softmax(dim=1) / temperature) @ centers,
        "the temperature divides the logits, before the softmax: divided by T, probabilities no longer sum to 1",
    ),
    Wrong(
        "softmax of probabilities",
        lambda logits, centers, temperature: (logits.softmax(dim=1) / temperature).softmax(dim=1) @ centers,
        "two softmaxes: it is the logits that are divided by T, not the probabilities",
    ),
    Wrong(
        "times the temperature",
        lambda logits, centers, temperature: annealed_mean(logits, centers, 1 / temperature),
        "this flattens the distribution: divide by the temperature, so that T below 1 sharpens it",
    ),
    Wrong(
        "no renormalization",
        lambda logits, centers, temperature: logits.softmax(dim=1) ** (1 / temperature) @ centers,
        "raised to a power, probabilities no longer sum to 1: normalize them again",
    ),
    Wrong(
        "no normalization at all",
        lambda logits, centers, temperature: (logits / temperature).exp() @ centers,
        "exp(logits / T) does not sum to 1: divide by its sum over the bins",
    ),
    Wrong(
        "averaged numbers of bins",
        _averaged_numbers,
        "the number of a bin is only a name: average the *colors* of the bins, not their numbers",
    ),
    Wrong(
        "mode",
        lambda logits, centers, temperature: centers[logits.argmax(dim=1)],
        "this is the likeliest bin, the limit T to 0: average over all bins",
    ),
    Wrong(
        "normalized over the pixels",
        lambda logits, centers, temperature: (logits / temperature).softmax(dim=0) @ centers,
        "each pixel (row) has a distribution over the bins: softmax over axis 1",
    ),
)


def _logits_and_bins(rng: torch.Generator) -> dict[str, Any]:
    bins = whole(rng, 6, 8)
    return {
        "logits": 1.5 * torch.randn((whole(rng, 3, 5), bins), generator=rng),
        "centers": uniform(rng, -80, 80, (bins, 2)),
        "temperature": uniform(rng, 0.3, 0.7),
    }


ANNEALED_MEAN = Exercise(
    id="03-annealed-mean",
    title="The annealed mean",
    points=2,
    minutes=5,
    asks_for=("labkit.quantize.Quantizer.decode",),
    inputs=lambda rng: telling(lambda: _logits_and_bins(rng), annealed_mean, _ANNEALED_WRONG),
    reference=annealed_mean,
    hint="softmax of logits / T over the bins gives (P, Q); times centers (Q, D) gives (P, D)",
    wrong=_ANNEALED_WRONG,
)


# Oracle floor: pixels (P, 3), centers (Q, 3) -> MSE


def oracle_floor(pixels: Tensor, centers: Tensor) -> float:
    """Return the MSE of pixels (P, 3) that are each replaced by the nearest center."""
    return float(squared_distance(pixels, centers).amin(dim=1).mean() / 3)


_FLOOR_WRONG = (
    Wrong(
        "summed over channels",
        lambda pixels, centers: 3 * oracle_floor(pixels, centers),
        "the mean runs over R, G and B, too: this is three times the MSE",
    ),
    Wrong(
        "one bin for all",
        lambda pixels, centers: squared_distance(pixels, centers).mean(dim=0).amin() / 3,
        "this paints all pixels with one bin: take the smallest error of each pixel first, then the mean",
    ),
    Wrong(
        "channel by channel",
        lambda pixels, centers: (pixels[:, None] - centers).square().amin(dim=1).mean(),
        "red, green and blue must come from the same bin: add up the channels before you take the smallest",
    ),
    Wrong(
        "all bins",
        lambda pixels, centers: squared_distance(pixels, centers).mean() / 3,
        "this is the error of a bin drawn at random: the oracle picks the nearest one for each pixel",
    ),
    Wrong(
        "the average bin",
        lambda pixels, centers: squared_distance(pixels, centers.mean(dim=0, keepdim=True)).mean() / 3,
        "this paints the average of all bins: the oracle picks the nearest one for each pixel",
    ),
    Wrong(
        "distance, not its square",
        lambda pixels, centers: squared_distance(pixels, centers).amin(dim=1).sqrt().mean(),
        "MSE is the mean of squares: do not take the root",
    ),
    Wrong(
        "root of the mean",
        lambda pixels, centers: oracle_floor(pixels, centers) ** 0.5,
        "MSE is the mean of squares: do not take the root",
    ),
    Wrong(
        "absolute error",
        lambda pixels, centers: (pixels - centers[nearest_bin(pixels, centers)]).abs().mean(),
        "this is the mean absolute error: square the differences",
    ),
    Wrong(
        "0 to 255",
        lambda pixels, centers: 255**2 * oracle_floor(pixels, centers),
        "the pixels are in 0..1 and so is the score: do not scale by 255",
    ),
)


def _pixels_and_bins(rng: torch.Generator) -> dict[str, Tensor]:
    return {"pixels": uniform(rng, 0, 1, (whole(rng, 40, 60), 3)), "centers": uniform(rng, 0, 1, (8, 3))}


ORACLE_FLOOR = Exercise(
    id="03-oracle-floor",
    title="The oracle floor",
    points=2,
    minutes=5,
    asks_for=("labkit.representation.Classification.oracle",),
    inputs=lambda rng: telling(lambda: _pixels_and_bins(rng), oracle_floor, _FLOOR_WRONG),
    reference=oracle_floor,
    hint="squared distances (P, Q), the smallest of each row, their mean, divided by the 3 channels",
    wrong=_FLOOR_WRONG,
)


EXERCISES = (NEAREST_BIN, ORACLE_FLOOR, SOFT_ENCODE, REBALANCING, ANNEALED_MEAN)
