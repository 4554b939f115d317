"""The exercises of lab 03: bins and soft encoding, the cross-entropy head, annealed mean, sample, the classifier."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from labkit import color
from labkit.checks.framework import Exercise, Verdict, Wrong, as_tensor, telling, uniform, whole
from labkit.checks.scenes import held_back_scenes, held_back_seed, training_scenes
from labkit.checks.values import close_by_part
from labkit.data import toyworld
from labkit.quantize import Quantizer
from labkit.representation import LAB, Classification, Representation

PREDICTIONS: dict[str, str | tuple[float, float]] = {
    "03-reached": "c",
    "03-posterior": "a",
    "03-best-mse": "a",
    "03-sample": (1.9, 2.1),
    "03-one-peak": "c",
    "03-many-bins": "b",
    "03-photographs": "a",
}

# Nearest bin: colors (P, D), centers (Q, D) -> int64 (P,)


def squared_distance(colors: Tensor, centers: Tensor) -> Tensor:
    """(P, D), (Q, D) -> (P, Q)."""
    return (colors[:, None] - centers).square().sum(dim=-1)


def nearest_bin(colors: Tensor, centers: Tensor) -> Tensor:
    """Return the number of the nearest center for each color, int64 (P,)."""
    return squared_distance(colors, centers).argmin(dim=1)


_NOT_PAIRED = Wrong(
    "not paired",
    lambda colors, centers: (colors - centers).square().sum(dim=-1).argmin(),
    "every color meets every bin: colors[:, None] - centers has shape (P, Q, D)",
)
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
    level=3,
    hints=(
        "All three compare every color with every bin. Start from a table (P, Q) of squared distances.",
        "colors[:, None] - centers has shape (P, Q, D). k-means: torch.zeros_like(centers).index_add(0, nearest, "
        "colors) adds up the colors of each bin, torch.bincount(nearest, minlength=Q) counts them.",
        "k-means repeats: the nearest bin of each color; the sum and count of each bin; new centers = sum / count "
        "where the count is above 0, else the old ones. Soft: squared.topk(neighbors, dim=1, largest=False), the "
        "softmax of -squared / (2 sigma^2) over these few, scattered into zeros (P, Q).",
    ),
    asks_for=(
        "labkit.quantize.Quantizer.nearest",
        "labkit.quantize.Quantizer.encode",
    ),
    inputs=lambda rng: telling(lambda: _colors_and_bins(rng), nearest_bin, _NEAREST_WRONG),
    reference=nearest_bin,
    hint="colors[:, None] - centers has shape (P, Q, D): sum its squares over D, then argmin over Q",
    wrong=(*_NEAREST_WRONG, _NOT_PAIRED),
)


# k-means: colors (P, D), centers (Q, D), steps -> (Q, D)


def kmeans(colors: Tensor, centers: Tensor, steps: int) -> Tensor:
    """Move each center to the mean of the colors nearest to it, ``steps`` times; an empty bin stays where it is."""
    for _ in range(steps):
        centers = _moved(colors, centers, nearest_bin(colors, centers))
    return centers


def _moved(colors: Tensor, centers: Tensor, nearest: Tensor) -> Tensor:
    count, total = _counted(colors, centers, nearest)
    return torch.where(count > 0, total / count.clamp(min=1), centers)


def _counted(colors: Tensor, centers: Tensor, nearest: Tensor) -> tuple[Tensor, Tensor]:
    count = torch.bincount(nearest, minlength=len(centers))[:, None]
    return count, torch.zeros_like(centers).index_add(0, nearest, colors)


def _empty_nan(colors: Tensor, centers: Tensor, steps: int) -> Tensor:
    for _ in range(steps):
        count, total = _counted(colors, centers, nearest_bin(colors, centers))
        centers = total / count
    return centers


def _empty_zero(colors: Tensor, centers: Tensor, steps: int) -> Tensor:
    for _ in range(steps):
        count, total = _counted(colors, centers, nearest_bin(colors, centers))
        centers = total / count.clamp(min=1)
    return centers


def _assigned_once(colors: Tensor, centers: Tensor, steps: int) -> Tensor:
    return _moved(colors, centers, nearest_bin(colors, centers))


def _summed(colors: Tensor, centers: Tensor, steps: int) -> Tensor:
    for _ in range(steps):
        count, total = _counted(colors, centers, nearest_bin(colors, centers))
        centers = torch.where(count > 0, total, centers)
    return centers


_STEPS = "the centers move exactly `steps` times: for _ in range(steps)"
_KMEANS_WRONG = (
    Wrong("nothing moved", lambda colors, centers, steps: centers, "these are the centers as they were given"),
    Wrong(
        "assigned once",
        _assigned_once,
        "after the centers have moved, other colors may be nearest to them: assign anew in each of the steps",
    ),
    Wrong("one step too few", lambda colors, centers, steps: kmeans(colors, centers, steps - 1), _STEPS),
    Wrong("one step too many", lambda colors, centers, steps: kmeans(colors, centers, steps + 1), _STEPS),
    Wrong("empty is NaN", _empty_nan, "a bin without colors has no mean (0 / 0): leave its center where it was"),
    Wrong("empty is 0", _empty_zero, "a bin without colors jumped to 0: leave its center where it was"),
    Wrong("summed", _summed, "a center is the mean of its colors: divide the sum by their number"),
)


def _clusters(rng: torch.Generator) -> dict[str, Any]:
    """Draw colors, and centers of which the last is far from all colors."""
    channels = whole(rng, 2, 3)
    centers = uniform(rng, -60, 60, (whole(rng, 4, 6), channels))
    centers[-1] = 500.0
    return {
        "colors": uniform(rng, -60, 60, (whole(rng, 40, 60), channels)),
        "centers": centers,
        "steps": whole(rng, 3, 5),
    }


KMEANS = Exercise(
    id="03-kmeans",
    title="Bins by k-means",
    points=2,
    minutes=8,
    level=3,
    inputs=lambda rng: telling(lambda: _clusters(rng), kmeans, _KMEANS_WRONG),
    reference=kmeans,
    hint="in each step: the nearest bin of each color, then each center becomes the mean of its colors",
    wrong=_KMEANS_WRONG,
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


def _farthest(colors: Tensor, centers: Tensor, neighbors: int, sigma: float) -> Tensor:
    squared = squared_distance(colors, centers)
    weight = _gaussian(squared, sigma).scatter(1, squared.topk(len(centers) - neighbors, 1, largest=False).indices, 0)
    return weight / weight.sum(dim=1, keepdim=True)


_SOFT_WRONG = (
    Wrong(
        "hard",
        lambda colors, centers, neighbors, sigma: _kept(
            _shared_out(_gaussian(squared_distance(colors, centers), sigma), 1), 1
        ),
        "this is hard encoding, one bin a color: share the probability among the nearest `neighbors` bins",
    ),
    Wrong("all bins", _all_bins, "only the nearest `neighbors` bins may have probability: set the others to 0 first"),
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
        _farthest,
        "these are the farthest bins: topk takes the largest, so ask it for the smallest distances (largest=False)",
    ),
    Wrong(
        "normalized over the colors",
        lambda colors, centers, neighbors, sigma: (
            lambda weight: weight / weight.sum(dim=0, keepdim=True).clamp(min=1e-30)
        )(_kept(_gaussian(squared_distance(colors, centers), sigma), neighbors)),
        "for each color (row) the probabilities of the bins must sum to 1: divide by the sum over axis 1",
    ),
    Wrong(
        "nearest first",
        _nearest_first,
        "each probability must stand at its bin's own place: start from zeros (P, Q) and scatter them in",
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
    level=3,
    asks_for=("labkit.quantize.Quantizer.soft_encode",),
    inputs=lambda rng: telling(lambda: _colors_among_bins(rng), soft_encode, _SOFT_WRONG),
    reference=soft_encode,
    hint="squared distances (P, Q); keep the nearest few of each row, exp(-d^2 / (2 sigma^2)), divide by the row's sum",
    wrong=_SOFT_WRONG,
)


# Cross-entropy: logits (P, Q), target (P, Q) -> scalar


def cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Return the cross-entropy with soft targets in nats, the mean over pixels."""
    return -(target * logits.log_softmax(dim=1)).sum(dim=1).mean()


def _log_of(p: Tensor, target: Tensor) -> Tensor:
    return -(target * p.log()).sum(dim=1).mean()


_UNSAFE = (
    "exp of a large logit overflows, and a small probability is rounded to 0 before its logarithm: log_softmax takes "
    "both steps at once, safely"
)
_CROSS_ENTROPY_WRONG = (
    Wrong(
        "softmax over the pixels",
        lambda logits, target: -(target * logits.log_softmax(dim=0)).sum(dim=1).mean(),
        "each pixel (row) has a distribution over the bins: log_softmax over axis 1",
    ),
    Wrong(
        "mean over the bins",
        lambda logits, target: -(target * logits.log_softmax(dim=1)).mean(),
        "add up over the bins, then average over the pixels: this divided by the number of bins, too",
    ),
    Wrong(
        "summed over the pixels",
        lambda logits, target: -(target * logits.log_softmax(dim=1)).sum(),
        "average over the pixels: a sum grows with the batch",
    ),
    Wrong(
        "no softmax",
        lambda logits, target: -(target * logits).sum(dim=1).mean(),
        "logits are no logarithms of probabilities yet: log_softmax makes them so",
    ),
    Wrong(
        "no logarithm",
        lambda logits, target: -(target * logits.softmax(dim=1)).sum(dim=1).mean(),
        "the logarithm is missing: log_softmax, not softmax",
    ),
    Wrong(
        "hard targets",
        lambda logits, target: torch.nn.functional.cross_entropy(logits, target.argmax(dim=1)),
        "this counts the largest target only: the target is a distribution, and every bin with a part of it counts",
    ),
    Wrong(
        "the logarithm of the target",
        lambda logits, target: -(logits.softmax(dim=1) * target.clamp(min=1e-9).log()).sum(dim=1).mean(),
        "the two are swapped: the logarithm is that of the prediction, weighted by the target",
    ),
    Wrong(
        "Kullback-Leibler",
        lambda logits, target: cross_entropy(logits, target) + torch.special.xlogy(target, target).sum(dim=1).mean(),
        "this is the Kullback-Leibler distance: the cross-entropy does not take off the target's own entropy",
    ),
    Wrong(
        "sign",
        lambda logits, target: -cross_entropy(logits, target),
        "the sign: a loss falls as the prediction gets better",
    ),
    Wrong(
        "overflow",
        lambda logits, target: (
            -(target * (logits.exp() / logits.exp().sum(dim=1, keepdim=True)).log()).sum(dim=1).mean()
        ),
        _UNSAFE,
    ),
    Wrong("logarithm of a softmax", lambda logits, target: _log_of(logits.softmax(dim=1), target), _UNSAFE),
    Wrong("and a little", lambda logits, target: _log_of(logits.softmax(dim=1) + 1e-8, target), _UNSAFE),
)


def _logits_and_target(rng: torch.Generator) -> dict[str, Tensor]:
    pixels, bins = whole(rng, 5, 7), whole(rng, 4, 6)
    logits = 2 * torch.randn((pixels, bins), generator=rng)
    logits[0] += 120  # the same distribution, but exp overflows
    logits[1, 0] += 150  # nearly sure: the other probabilities are 0 in float32, and their logarithm is -inf
    weight = torch.rand((pixels, bins), generator=rng) + 0.05
    weight[:, whole(rng, 0, bins - 1)] = 0
    return {"logits": logits, "target": weight / weight.sum(dim=1, keepdim=True)}


CROSS_ENTROPY = Exercise(
    id="03-cross-entropy",
    title="Cross-entropy with soft targets",
    points=2,
    minutes=5,
    level=3,
    hints=(
        "All three start from one distribution a row. The loss weighs its logarithms by the target; the annealed mean "
        "and the sample turn it into a color.",
        "logits.log_softmax(dim=1); (logits / temperature).softmax(dim=1); softmax(dim=1).cumsum(dim=1).",
        "Loss: minus the sum over bins of target times log_softmax, then the mean over pixels. Annealed: probabilities "
        "(P, Q) @ centers (Q, D). Sample: count the bins whose cumulative sum is still at most u; that count is the "
        "number of the bin.",
    ),
    asks_for=("labkit.quantize.cross_entropy",),
    inputs=lambda rng: telling(lambda: _logits_and_target(rng), cross_entropy, _CROSS_ENTROPY_WRONG),
    reference=cross_entropy,
    hint="minus the sum over bins of target times log_softmax of the logits, then the mean over pixels",
    wrong=_CROSS_ENTROPY_WRONG,
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
    level=3,
    asks_for=("labkit.quantize.Quantizer.decode",),
    inputs=lambda rng: telling(lambda: _logits_and_bins(rng), annealed_mean, _ANNEALED_WRONG),
    reference=annealed_mean,
    hint="softmax of logits / T over the bins gives (P, Q); times centers (Q, D) gives (P, D)",
    wrong=_ANNEALED_WRONG,
)


# Sample: logits (P, Q), centers (Q, D), u (P,) -> (P, D)


def sample(logits: Tensor, centers: Tensor, u: Tensor) -> Tensor:
    """Return the first bin at which the cumulative probability passes u, as a color (P, D)."""
    return centers[_passed(logits.softmax(dim=1), u)]


def _passed(probability: Tensor, u: Tensor) -> Tensor:
    passed = (probability.cumsum(dim=1) <= u[:, None]).sum(dim=1)
    return passed.clamp(max=probability.shape[1] - 1)


_SAMPLE_WRONG = (
    Wrong("mode", lambda logits, centers, u: centers[logits.argmax(dim=1)], "this is the likeliest bin, whatever u is"),
    Wrong(
        "mean",
        lambda logits, centers, u: logits.softmax(dim=1) @ centers,
        "this is the mean: a sample is the color of ONE bin",
    ),
    Wrong(
        "uniform",
        lambda logits, centers, u: centers[(u * len(centers)).long()],
        "this draws all bins alike: compare u with the cumulative probability",
    ),
    Wrong(
        "one too early",
        lambda logits, centers, u: centers[(_passed(logits.softmax(dim=1), u) - 1).clamp(min=0)],
        "one bin too early: take the first bin whose cumulative probability is ABOVE u",
    ),
    Wrong(
        "one too late",
        lambda logits, centers, u: centers[(_passed(logits.softmax(dim=1), u) + 1).clamp(max=len(centers) - 1)],
        "one bin too late: take the first bin whose cumulative probability is above u",
    ),
    Wrong(
        "no softmax",
        lambda logits, centers, u: centers[_passed(logits, u)],
        "logits are no probabilities: softmax over the bins first",
    ),
    Wrong(
        "the number, not the color",
        lambda logits, centers, u: _passed(logits.softmax(dim=1), u),
        "return the colors of the bins, not their numbers: centers[number]",
    ),
)


def _to_draw(rng: torch.Generator) -> dict[str, Any]:
    bins = whole(rng, 5, 7)
    pixels = whole(rng, 12, 16)
    return {
        "logits": torch.randn((pixels, bins), generator=rng),
        "centers": uniform(rng, -80, 80, (bins, 2)),
        "u": torch.rand(pixels, generator=rng),
    }


SAMPLE = Exercise(
    id="03-sample",
    title="A sample",
    points=2,
    minutes=6,
    level=3,
    asks_for=("labkit.quantize.Quantizer.decode",),
    inputs=lambda rng: telling(lambda: _to_draw(rng), sample, _SAMPLE_WRONG),
    reference=sample,
    hint="softmax, cumsum over the bins, count how many are still at most the given u (multinomial draws its own)",
    wrong=_SAMPLE_WRONG,
)


# The classifier: a class made of (centers, neighbors, sigma, temperature)


def use_classifier(answer: Any, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Make the classifier, split images, take its loss, and decode logits."""
    space = answer(inputs["centers"], inputs["neighbors"], inputs["sigma"], inputs["temperature"])
    gray, target = space.split(inputs["images"])
    colors = space.colors(inputs["logits"])
    return {
        "channels": space.channels,
        "gray": gray,
        "target": target,
        "loss": space.loss(inputs["logits"], inputs["colors"]),
        "colors": colors,
        "rgb": space.to_rgb(gray, inputs["colors"]),
    }


def _rows(images: Tensor) -> Tensor:
    """Return one row per pixel: (N, C, H, W) -> (N H W, C)."""
    return images.movedim(1, -1).flatten(0, -2)


class _Bins(Representation):
    """The reference: what a right answer does, with the parts that can go wrong as methods of their own."""

    name = "yours"

    def __init__(self, centers: Tensor, neighbors: int = 1, sigma: float = 5.0, temperature: float = 0.38) -> None:
        super().__init__()
        self.centers, self.neighbors, self.sigma, self.temperature = centers, neighbors, sigma, temperature
        self.channels = len(centers)
        self.space = LAB(input_gray="luma")

    def split(self, rgb: Tensor) -> tuple[Tensor, Tensor]:
        gray, ab = self.space.split(rgb)
        return gray, 110 * ab

    def encoded(self, target: Tensor) -> Tensor:
        return soft_encode(_rows(target), self.centers, self.neighbors, self.sigma)

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        return cross_entropy(_rows(prediction), self.encoded(target))

    def chosen(self, rows: Tensor) -> Tensor:
        return annealed_mean(rows, self.centers, self.temperature)

    def colors(self, prediction: Tensor) -> Tensor:
        n, _, height, width = prediction.shape
        return self.chosen(_rows(prediction)).view(n, height, width, 2).movedim(-1, 1)

    def to_rgb(self, gray: Tensor, colors: Tensor) -> Tensor:
        return self.space.to_rgb(gray, colors / 110)


class _NotMultiplied(_Bins):
    def split(self, rgb: Tensor) -> tuple[Tensor, Tensor]:
        return self.space.split(rgb)


class _NotDivided(_Bins):
    def to_rgb(self, gray: Tensor, colors: Tensor) -> Tensor:
        return self.space.to_rgb(gray, colors)


class _Viewed(_Bins):
    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        rows = prediction.reshape(-1, len(self.centers))
        encoded = soft_encode(target.reshape(-1, 2), self.centers, self.neighbors, self.sigma)
        return cross_entropy(rows, encoded)


class _OverPixels(_Bins):
    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        return -(self.encoded(target) * _rows(prediction).log_softmax(dim=0)).sum(dim=1).mean()


class _Hard(_Bins):
    def encoded(self, target: Tensor) -> Tensor:
        return soft_encode(_rows(target), self.centers, 1, self.sigma)


class _Plain(_Bins):
    def chosen(self, rows: Tensor) -> Tensor:
        return annealed_mean(rows, self.centers, 1.0)


class _Inverted(_Bins):
    def chosen(self, rows: Tensor) -> Tensor:
        return annealed_mean(rows, self.centers, 1 / self.temperature)


class _Mixed(_Bins):
    def colors(self, prediction: Tensor) -> Tensor:
        n, _, height, width = prediction.shape
        return self.chosen(_rows(prediction)).view(n, 2, height, width)


class _Uphill(_Bins):
    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        return -super().loss(prediction, target)


class _Number(_Bins):
    def loss(self, prediction: Tensor, target: Tensor) -> Any:
        return super().loss(prediction, target).item()


class _Nothing(_Bins):
    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        return (prediction - prediction.detach()).square().mean()


class _GrayForgotten(_Bins):
    def to_rgb(self, gray: Tensor, colors: Tensor) -> Tensor:
        return super().to_rgb(0 * gray + 0.5, colors)


def _images_and_logits(rng: torch.Generator) -> dict[str, Any]:
    bins = whole(rng, 6, 8)
    return {
        "images": torch.randint(0, 256, (2, 3, 3, 4), dtype=torch.uint8, generator=rng),
        "centers": uniform(rng, -40, 40, (bins, 2)),
        "neighbors": whole(rng, 2, 4),
        "sigma": uniform(rng, 15.0, 25.0),
        "temperature": uniform(rng, 0.3, 0.6),
        "logits": 2 * torch.randn((2, bins, 3, 4), generator=rng),
        "colors": uniform(rng, -40, 40, (2, 2, 3, 4)),
    }


_CLASSIFIER_PARTS = {
    "channels": "self.channels must be the number of bins",
    "gray": "split: gray as self.space.split gives it",
    "target": "split: the target is a and b themselves, (N, 2, H, W): 110 times what self.space.split gives",
    "loss": "loss: one row a pixel (movedim the channels last, then flatten), your soft_encode, your bin_loss",
    "colors": "colors: one row a pixel, your annealed_mean, then back to (N, 2, H, W)",
    "rgb": "to_rgb: self.space.to_rgb(gray, colors / 110)",
}


def _judge_classifier(inputs: Mapping[str, Any], output: Any) -> Verdict:
    return close_by_part(output, use_classifier(_Bins, inputs), _CLASSIFIER_PARTS, atol=1e-3)


CLASSIFIER = Exercise(
    id="03-classifier",
    title="A classifier as a representation",
    points=3,
    minutes=11,
    level=4,
    hints=(
        "Images have the channels in second place, your functions want one row a pixel. Write that change once, and "
        "its way back; the rest is a call of what you have.",
        "To rows: x.movedim(1, -1).flatten(0, -2), (N, C, H, W) -> (N H W, C). Back: rows.view(n, height, width, "
        "2).movedim(-1, 1).",
        "loss: bin_loss(rows of the prediction, soft_encode(rows of the target, self.centers, ...)). colors: "
        "annealed_mean(rows of the prediction, ...), back to an image. split and to_rgb: those of self.space, with a "
        "and b times 110, and divided by it.",
    ),
    inputs=_images_and_logits,
    call=use_classifier,
    reference=_Bins,
    judge=_judge_classifier,
    wrong=(
        Wrong(
            "not multiplied", _NotMultiplied, "self.space gives a and b divided by 110, and the bins are not: multiply"
        ),
        Wrong("not divided", _NotDivided, "to_rgb: self.space wants a and b divided by 110"),
        Wrong(
            "viewed",
            _Viewed,
            "reshaping (N, C, H, W) to (-1, C) mixes pixels and channels: move the channels last first",
        ),
        Wrong(
            "softmax over the pixels", _OverPixels, "the softmax runs over the bins of one pixel, not over the pixels"
        ),
        Wrong("hard", _Hard, "the target is encoded with `neighbors` bins: this took only the nearest"),
        Wrong("no temperature", _Plain, "colors: this is the mean at temperature 1: use self.temperature"),
        Wrong("temperature inverted", _Inverted, "colors: divide the logits BY the temperature: below 1 it sharpens"),
        Wrong("colors mixed", _Mixed, "colors: rows are (N H W, 2): view them as (N, H, W, 2), then move the 2"),
        Wrong("uphill", _Uphill, "the sign of the loss: it must fall as the prediction gets better"),
        Wrong("no target", _Nothing, "the loss is 0 whatever the target: compare the prediction with the target"),
        Wrong("gray forgotten", _GrayForgotten, "to_rgb does not use gray, the luma that was given"),
    ),
)


# It trains: within a second it must know far more than how frequent the bins are

SCENES, HELD_OUT, BINS = 48, 12, 10
MOST_NATS = 1.2  # ten seeds of the reference: .53 to .75; the frequencies of the bins alone: 1.6 to 2.05


def _scenes_to_train_on(rng: torch.Generator) -> dict[str, Any]:
    images = training_scenes(rng, SCENES).images
    colors = _rows(110 * LAB().target(images))
    start = colors[torch.randperm(len(colors), generator=rng)[:BINS]]
    made = {"seed": whole(rng, 0, 10**5), "images": images, "centers": kmeans(colors, start, 5), **held_back_seed(rng)}
    return made | {"gray": color.luma(held_back_scenes(made, HELD_OUT).images)}


def train_classifier(answer: Any, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Train a small network for a second; return its logits and pictures of the held-out scenes."""
    from labkit.models import make_network
    from labkit.training import fit

    torch.manual_seed(inputs["seed"])
    space = answer(inputs["centers"], 1, 20.0, 0.38)  # a wide Gaussian: far colors would underflow to 0 / 0
    network = make_network("unet", len(inputs["centers"]), width=8, max_width=16, convolutions=1)
    fit(network, space, inputs["images"], epochs=6, batch_size=4, learning_rate=0.02, progress=False, seed=0)
    with torch.no_grad():
        logits = network(inputs["gray"])
        return {"logits": logits.clamp(-1e4, 1e4).half(), "rgb": space.decode(inputs["gray"], logits)}


def _judge_training(inputs: Mapping[str, Any], output: Any) -> Verdict:
    test = held_back_scenes(inputs, HELD_OUT)
    logits, rgb = (as_tensor(output.get(part)) for part in ("logits", "rgb"))
    if logits is None or logits.shape != (HELD_OUT, BINS, 32, 32) or rgb is None or rgb.shape != test.images.shape:
        return Verdict(False, "the network predicts one logit a bin: self.channels = len(centers)")
    lost = float((color.luma(rgb) - inputs["gray"]).abs().max())
    if not lost < 1e-3:
        return Verdict(
            False, "the luma that was given is not kept", f"luma is off by up to {lost:.4g}", "luma as given"
        )
    space = Classification(Quantizer(inputs["centers"], "ab", "drawn"), neighbors=1, input_gray="luma")
    nats = float(
        cross_entropy(_rows(logits), _Bins(inputs["centers"], sigma=20.0).encoded(space.target(test.images)).double())
    )
    best = toyworld.best_cross_entropy(test, space)["realized"]
    if not nats <= MOST_NATS:
        hint = "it did not learn: the loss must fall when the target's bins become more probable"
        return Verdict(False, hint, f"cross-entropy {nats:.2f} nats on scenes held out", f"at most {MOST_NATS}")
    if nats < 0.8 * best:
        hint = "better than any network that sees luma can be: the true colors were read somewhere"
        return Verdict(False, hint, f"cross-entropy {nats:.2f} nats", f"at least {best:.2f}")
    return Verdict(True)


CLASSIFIER_TRAINS = Exercise(
    id="03-classifier-trains",
    title="The classifier trains",
    points=2,
    minutes=2,
    level=4,
    draws=1,
    inputs=_scenes_to_train_on,
    call=train_classifier,
    reference=_Bins,
    judge=_judge_training,
    wrong=(
        Wrong("a number", _Number, "loss: return the tensor, not a plain number (.item()), which has no backward()"),
        Wrong("uphill", _Uphill, "it did not learn: the loss must fall when the target's bins become more probable"),
        Wrong(
            "no target", _Nothing, "it did not learn: the loss must fall when the target's bins become more probable"
        ),
        Wrong("gray forgotten", _GrayForgotten, "the luma that was given is not kept"),
    ),
)


EXERCISES = (
    NEAREST_BIN,
    KMEANS,
    SOFT_ENCODE,
    CROSS_ENTROPY,
    ANNEALED_MEAN,
    SAMPLE,
    CLASSIFIER,
    CLASSIFIER_TRAINS,
)
