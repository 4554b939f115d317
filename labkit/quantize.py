"""Color bins: colors as classes, so that a network can predict a distribution of colors instead of one color.

A `Quantizer` is a list of colors. It finds the one nearest to a color (hard encoding) or the few that are near, with
probabilities (soft encoding), and turns a network's logits back into colors. Four are made here:

- ``ab676()``: the cells of side 10 of the square [-128, 132)^2 of Lab's a and b. Only 262 of the 676 hold an sRGB
  color, and none is neutral: gray decodes to (-3, -3).
- ``ab313()``: the list of Zhang, Isola and Efros. 261 of the 313 are nearest to some sRGB color.
- ``fit_rgb(images)``: k-means in RGB, 24 bins for Qureshi's classifiers.
- ``fit_chroma(images)``: k-means in the plane of zero luma, whose bins keep the gray exactly, as those in ab do.

Colors are float ``(N, D, H, W)``: a and b themselves (D = 2, not divided by anything), R, G and B in [0, 1] (D = 3), or
the chroma coordinates of `labkit.color.rgb_to_luma_chroma` (D = 2), in which distances are RGB distances.
Logits are ``(N, Q, H, W)``, and 676 of them per pixel are large: everything here walks through them in pieces.

Source of soft encoding, rebalancing and annealed mean: Zhang, Isola and Efros, Colorful Image Colorization, 2016,
arXiv:1603.08511, sections 2.1 to 2.3.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from labkit.color import LUMA_WEIGHTS, at_least_float32, rgb_to_luma_chroma, to_float
from labkit.errors import LabkitError, check_integer, check_number, check_seed

DIMENSIONS = {"ab": 2, "rgb": 3, "chroma": 2}
SIGMA = {"ab": 5.0, "rgb": 5 / 255, "chroma": 5 / 255}  # of soft encoding and smoothing, in the units of the space
NEIGHBORS = 5  # bins that share a color in soft encoding
TEMPERATURE = 0.38  # of the annealed mean
METHODS = ("annealed", "mean", "mode", "sample", "rounded")

AB_LOW, AB_HIGH = -128.0, 132.0  # the square of the 676 cells; sRGB needs [-107.9, 98.3] of it
AB_STEP = 10.0

# Zhang's bins: for each a, the smallest and the largest b, all in steps of 10. No formula gives this list.
ZHANG_ROWS = (
    *((-90, 50, 90), (-80, 20, 90), (-70, 0, 90), (-60, -20, 90), (-50, -30, 100), (-40, -40, 100), (-30, -50, 100)),
    *((-20, -50, 100), (-10, -60, 100), (0, -70, 100), (10, -80, 90), (20, -80, 90), (30, -90, 90), (40, -100, 90)),
    *((50, -100, 80), (60, -110, 80), (70, -110, 80), (80, -110, 70), (90, -110, 70), (100, -90, 0)),
)

PIECE = 2**20  # numbers worked on at once: 4 MB, which a processor's cache can hold
FIT_PIXELS = 50_000  # k-means sees at most so many pixels, drawn by seed
CELL = 5.0  # side of the cells of the look-up table


class Quantizer(nn.Module):
    """A list of colors, the bins: a module, so that `.to(device)` moves the colors and their look-up tables.

    Args:
        centers: float ``(Q, D)``, Q at least 2.
        space: what the numbers are: "ab" (D = 2, Lab units), "rgb" (D = 3, in [0, 1]) or "chroma" (D = 2).
        name: for messages and files.

    Raises:
        LabkitError: the centers have another shape, or are not finite numbers.
    """

    def __init__(self, centers: Tensor, space: str, name: str = "custom") -> None:
        """Check and keep the centers, in float32 and on the device they are on."""
        if space not in DIMENSIONS:
            raise LabkitError(f"bins lie in the space 'ab', 'rgb' or 'chroma'. Got {space!r}")
        super().__init__()
        centers = torch.as_tensor(centers).detach().to(torch.float32)
        if centers.ndim != 2 or len(centers) < 2 or centers.shape[1] != DIMENSIONS[space]:
            raise LabkitError(f"{space} bins need centers (Q, {DIMENSIONS[space]}), Q >= 2. Got {tuple(centers.shape)}")
        if not centers.isfinite().all():
            raise LabkitError("the centers of bins must be finite numbers. Got nan or infinity")
        self.centers: Tensor
        self.register_buffer("centers", centers, persistent=False)  # a model's card holds them, see `config`
        self.space = space
        self.name = name

    def __len__(self) -> int:
        """Return the number of bins."""
        return len(self.centers)

    def config(self) -> str | dict[str, object]:
        """Return what `make_quantizer` needs to make this one again; JSON types only."""
        if self.name in FIXED:
            return self.name
        return {"name": self.name, "space": self.space, "centers": self.centers.tolist()}

    # -------------------------------------------------------------------------------------------- color -> bins

    def encode(self, colors: Tensor) -> Tensor:
        """Return the nearest bin of each color (hard encoding): ``(N, D, H, W) -> int64 (N, H, W)``.

        Raises:
            LabkitError: a color is NaN. (`soft_encode`, which a training step calls, does not look for it.)
        """
        if colors.isnan().any():
            raise LabkitError(f"a color is NaN, and no bin of {self.name} is nearest to that: look at what computed it")
        return self._nearest(colors, 1)[0].squeeze(1)

    def nearest(self, colors: Tensor) -> Tensor:
        """Replace each color by its nearest bin's: ``(N, D, H, W) -> (N, D, H, W)``. No classifier can do better."""
        return self._look_up(self.encode(colors)).to(colors.dtype)

    def soft_encode(
        self, colors: Tensor, neighbors: int = NEIGHBORS, sigma: float | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the nearest few bins, weighted by a Gaussian of their distance and normalized to sum 1.

        Args:
            colors: ``(N, D, H, W)``.
            neighbors: how many bins, K. One is hard encoding.
            sigma: of the Gaussian, in the units of the space; 5 in ab (else 5 / 255).

        Returns: bins int64 ``(N, K, H, W)``, nearest first, and probability float32 ``(N, K, H, W)``. `spread` makes a
        full distribution of them, which is Q / K times larger.
        """
        sigma = check_number("sigma", SIGMA[self.space] if sigma is None else sigma, above=0)
        neighbors = check_integer("neighbors", neighbors, low=1, high=len(self))
        bins, squared = self._nearest(colors, neighbors)
        # softmax is the normalized Gaussian, and cannot divide 0 by 0 far away from all bins
        return bins, (-squared / (2 * sigma**2)).softmax(dim=1)

    def frequencies(self, colors: Tensor) -> Tensor:
        """Return the fraction of the colors that fall into each bin: ``(N, D, H, W) -> float64 (Q,)``, sum 1.

        On the CPU, because some devices have no float64.
        """
        counts = torch.bincount(self.encode(colors).flatten().cpu(), minlength=len(self))
        return counts.double() / counts.sum()

    def smooth(self, frequencies: Tensor, sigma: float | None = None) -> Tensor:
        """Spread each bin's frequency over its neighbors by a Gaussian of their distance: ``(Q,) -> (Q,)``.

        The total stays the same.

        Args:
            frequencies: ``(Q,)``.
            sigma: of the Gaussian, in the units of the space; 5 in ab (else 5 / 255).
        """
        sigma = check_number("sigma", SIGMA[self.space] if sigma is None else sigma, above=0)
        centers = self.centers.cpu().double()
        distance = torch.cdist(centers, centers)
        spread = (-distance.square() / (2 * sigma**2)).softmax(dim=1)  # row q: where the mass of bin q goes
        return (frequencies.to("cpu", torch.float64) @ spread).to(frequencies)

    # -------------------------------------------------------------------------------------------- bins -> color

    def decode(
        self,
        logits: Tensor,
        method: str = "annealed",
        temperature: float = TEMPERATURE,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Return the colors that a network's logits stand for: ``(N, Q, H, W) -> float32 (N, D, H, W)``.

        Args:
            logits: the distribution is their softmax over Q.
            method: "mode": the most probable bin. "mean": the expected color. "annealed": the expected color after each
                probability is raised to the power 1 / temperature and all are normalized again, which is
                ``softmax(logits / temperature)``. "sample": a bin drawn from the distribution, pixel by pixel.
                "rounded": the bin nearest to the expected color, which tells the price of bins from that of committing.
            temperature: of "annealed", above 0. 1 gives the mean; towards 0 it becomes the mode.
            generator: for "sample", on the CPU: the same draws on every device.

        Raises:
            LabkitError: another method, temperature or shape.
        """
        check_decoding(method, temperature)
        if logits.ndim != 4 or logits.shape[1] != len(self) or not logits.is_floating_point():
            raise LabkitError(f"expected float logits (N, {len(self)}, H, W). Got {logits.dtype} {tuple(logits.shape)}")
        n, _, height, width = logits.shape
        chance = torch.rand((n, height, width), generator=generator).to(logits.device) if method == "sample" else None
        colors = torch.empty((n, self.centers.shape[1], height, width), device=logits.device)
        for images, rows in _pieces(logits):
            part = _part(logits, images, rows).float()  # (n, h, W, Q)
            if method == "mode":
                out = self.centers[part.argmax(dim=-1)]
            elif chance is not None:
                out = self.centers[_draw(part.softmax(dim=-1), chance[images, rows])]
            else:
                out = (part / (temperature if method == "annealed" else 1)).softmax(dim=-1) @ self.centers
            colors[images, :, rows] = out.movedim(-1, 1)
        return self.nearest(colors) if method == "rounded" else colors

    # ------------------------------------------------------------------------------------------------- internals

    def prepare(self, count: int) -> Tensor:
        """Return the look-up table for the ``count`` nearest bins in ab; the first time it is computed, on the CPU.

        `Classification` calls it when it is made: a training step must not wait for the device.
        """
        name = f"candidates_{count}"
        if not hasattr(self, name):
            table = candidate_table(self.centers.cpu(), count).to(self.centers.device)
            self.register_buffer(name, table, persistent=False)
        return getattr(self, name)

    def _look_up(self, bins: Tensor) -> Tensor:
        """``int64 (N, H, W) -> (N, D, H, W)``."""
        return self.centers[bins].movedim(-1, 1)

    def _nearest(self, colors: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Return the ``count`` nearest bins of each color and the squared distances: each (N, count, H, W)."""
        if colors.ndim != 4 or colors.shape[1] != self.centers.shape[1] or not colors.is_floating_point():
            wanted = f"float colors (N, {self.centers.shape[1]}, H, W)"
            raise LabkitError(f"expected {wanted} in {self.space}. Got {colors.dtype} {tuple(colors.shape)}")
        if not 1 <= count <= len(self):
            raise LabkitError(f"{self.name} has {len(self)} bins: expected 1 to {len(self)} neighbors. Got {count}")
        n, _, height, width = colors.shape
        flat = colors.detach().movedim(1, -1).reshape(-1, colors.shape[1]).float()  # (P, D)
        search = self._search_table if self.space == "ab" else self._search_all
        parts = [search(part, count) for part in flat.split(PIECE // 64)]
        bins, squared = (torch.cat(tensors).view(n, height, width, count) for tensors in zip(*parts, strict=True))
        return bins.movedim(-1, 1), squared.movedim(-1, 1)

    def _search_all(self, flat: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Compare with every bin: (P, D) -> bins and squared distances, each (P, count)."""
        squared = (flat[:, None] - self.centers).square().sum(dim=-1)  # (P, Q)
        distance, bins = squared.topk(count, dim=1, largest=False)
        return bins, distance

    def _search_table(self, flat: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Do the same for ab, but compare only with the bins that can be the nearest somewhere in the color's cell.

        Four times faster than comparing with all 676, and exact. Colors outside the square, where no sRGB color is,
        are first moved to its border.
        """
        table = self.prepare(count)
        flat = flat.clamp(AB_LOW, AB_HIGH)
        across = round((AB_HIGH - AB_LOW) / CELL)
        cell = ((flat - AB_LOW) / CELL).long().clamp(max=across - 1)
        candidates = table[cell[:, 0] * across + cell[:, 1]]  # (P, K)
        squared = (self.centers[candidates] - flat[:, None]).square().sum(dim=-1)
        if count == 1:  # of equal distances the first is taken
            best = squared.argmin(dim=1, keepdim=True)
            return candidates.gather(1, best), squared.gather(1, best)
        distance, best = squared.topk(count, dim=1, largest=False)
        return candidates.gather(1, best), distance


def candidate_table(centers: Tensor, count: int) -> Tensor:
    """Find, for each cell of side 5, the bins that can be among the ``count`` nearest of a color in it.

    Seen from the middle of a cell with half diagonal r, a color's distances are off by r at most. So a bin that is
    farther than the count-th nearest by more than 2 r is not among them anywhere in the cell.

    Args:
        centers: of the bins, ``(Q, 2)`` in ab, on the CPU.
        count: how many nearest bins are searched for.

    Returns: int64 ``(cells, K)``.
    """
    middles = torch.arange(AB_LOW + CELL / 2, AB_HIGH, CELL)
    distance = torch.cdist(torch.cartesian_prod(middles, middles).double(), centers.double())
    limit = distance.kthvalue(count, dim=1, keepdim=True).values + CELL * 2**0.5 + 1e-3
    most = int((distance <= limit).sum(dim=1).max())
    candidates = distance.topk(most, dim=1, largest=False).indices
    # Later bins first: a color exactly between two goes to the later one, as half-open cells have it.
    return candidates.sort(dim=1, descending=True).values


# ------------------------------------------------------------------------------------------------- the quantizers


def ab676() -> Quantizer:
    """Make the 26 x 26 cells of side 10 of [-128, 132) in a and b, a-major; their centers are -123, -113, ..., 127."""
    line = torch.arange(AB_LOW + AB_STEP / 2, AB_HIGH, AB_STEP)
    return Quantizer(torch.cartesian_prod(line, line), "ab", "ab676")


def ab313() -> Quantizer:
    """Make Zhang's 313 bins, a-major: points of the lattice of step 10."""
    points = [(a, b) for a, low, high in ZHANG_ROWS for b in range(low, high + 1, 10)]
    return Quantizer(torch.tensor(points), "ab", "ab313")


def fit_rgb(images: Tensor, bins: int = 24, seed: int = 0) -> Quantizer:
    """Fit bins to the colors of images by k-means in RGB, sorted by luma.

    The same images, seed and number of bins give the same centers. At most 50,000 pixels are used, drawn by seed.

    Args:
        images: ``(N, 3, H, W)``, uint8 or float.
        bins: how many.
        seed: of the pixels and of k-means.

    Returns: the quantizer, on the device of the images.

    Raises:
        LabkitError: the images have fewer colors than bins.
    """
    return _fit(_some_pixels(images, seed), bins, seed, "rgb", torch.tensor(LUMA_WEIGHTS)).to(images.device)


def fit_chroma(images: Tensor, bins: int = 24, seed: int = 0) -> Quantizer:
    """Fit bins by k-means in the plane of zero luma (orthonormal basis), sorted by their first coordinate.

    Args:
        images: ``(N, 3, H, W)``, uint8 or float.
        bins: how many.
        seed: of the pixels and of k-means.

    Returns: the quantizer, on the device of the images.

    Raises:
        LabkitError: the images have fewer chromas than bins.
    """
    chroma = rgb_to_luma_chroma(_some_pixels(images, seed))[1]
    return _fit(chroma, bins, seed, "chroma", torch.tensor([1.0, 0.0])).to(images.device)


def _some_pixels(images: Tensor, seed: int) -> Tensor:
    """Return at most `FIT_PIXELS` pixels, drawn by seed, as an image of one column: float64 (3, P, 1) on the CPU."""
    generator = torch.Generator().manual_seed(check_seed(seed))
    count = images.shape[0] * images.shape[2] * images.shape[3]
    chosen = torch.randperm(count, generator=generator)[:FIT_PIXELS].to(images.device)
    pixels = images.movedim(1, -1).reshape(-1, 3)[chosen]
    return to_float(pixels).to("cpu", torch.float64).T[..., None]


def _fit(colors: Tensor, bins: int, seed: int, space: str, order: Tensor) -> Quantizer:
    """Fit bins to colors (D, P, 1) by k-means, sorted by their product with ``order`` (D,)."""
    bins, seed = check_integer("bins", bins, low=2), check_seed(seed)
    from scipy.cluster.vq import kmeans2  # scipy comes with scikit-image

    flat = colors[..., 0].T  # (P, D)
    if (found := len(flat.unique(dim=0))) < bins:
        raise LabkitError(f"{bins} bins need at least {bins} different colors. Got {found} in {len(flat)} pixels")
    centers = torch.from_numpy(kmeans2(flat.numpy(), bins, iter=30, minit="++", seed=seed)[0])
    return Quantizer(centers[(centers @ order.double()).argsort()].float(), space, f"{space}{bins}")


def check_decoding(method: str, temperature: float) -> None:
    """Raise ``LabkitError`` unless ``Quantizer.decode`` knows the method and the temperature is above 0."""
    if method not in METHODS:
        raise LabkitError(f"bins are decoded by one of {', '.join(METHODS)}. Got {method!r}")
    check_number("temperature (for its limit 0 use decode='mode')", temperature, above=0)


FIXED = {"ab676": ab676, "ab313": ab313}


def make_quantizer(config: str | dict[str, Any]) -> Quantizer:
    """Make a quantizer from what ``Quantizer.config`` returned: a name, or an object with name, space and centers.

    Raises:
        LabkitError: anything else.
    """
    if isinstance(config, str) and config in FIXED:
        return FIXED[config]()
    if isinstance(config, dict) and {"name", "space", "centers"} == set(config):
        try:
            return Quantizer(torch.tensor(config["centers"]), config["space"], config["name"])
        except (TypeError, ValueError) as error:
            raise LabkitError(f"the bins {config['name']!r} cannot be read: {error}") from None
    raise LabkitError(f"color bins are {', '.join(FIXED)} or an object with name, space and centers. Got {config!r}")


FITTED = {"rgb": fit_rgb, "chroma": fit_chroma}  # to training images, any number of bins


def fitted_bins(name: str) -> tuple[str, int] | None:
    """Return space and number of bins of a name such as "rgb24" or "chroma150"; None where it is no such name."""
    found = re.fullmatch(rf"({'|'.join(FITTED)})([1-9]\d*)", name)
    return (found[1], int(found[2])) if found else None


# ---------------------------------------------------------------------------------------------- training with bins


def rebalancing_weights(frequencies: Tensor, mix: float = 0.5) -> Tensor:
    """Return weights that make rare colors count more.

    They are proportional to ``1 / ((1 - mix) p + mix / Q)``, with ``sum(p w) = 1``.

    Args:
        frequencies: p ``(Q,)``, not negative, sum 1 (Zhang smooths it first: `Quantizer.smooth`).
        mix: fraction of the uniform distribution. 1 gives equal weights; 0 makes every bin contribute the same.

    Returns: ``(Q,)``. Empty bins have a large finite weight; with ``mix=0`` they have weight 0.
    """
    mix = check_number("mix", mix, low=0, high=1)
    if (
        frequencies.ndim != 1
        or (frequencies < 0).any()
        or not torch.isclose(frequencies.sum(), frequencies.new_ones(()))
    ):
        raise LabkitError("frequencies must be a distribution (Q,): not negative, sum 1")
    mixed = (1 - mix) * frequencies + mix / len(frequencies)
    weights = torch.where(mixed > 0, 1 / mixed, torch.zeros_like(mixed))
    return weights / (frequencies * weights).sum()


def spread(bins: Tensor, probability: Tensor, count: int) -> Tensor:
    """Return a soft encoding as full distributions: bins and probability ``(N, K, H, W) -> (N, count, H, W)``."""
    n, _, height, width = bins.shape
    return probability.new_zeros((n, count, height, width)).scatter_add_(1, bins, probability)


def cross_entropy(logits: Tensor, bins: Tensor, probability: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return the weighted cross-entropy with soft targets: ``-w sum_k p_k log softmax(logits)[bin_k]``, a mean.

    It is divided by the number of pixels, not by the sum of the weights: their mean is 1 over the training colors.
    torch's ``cross_entropy`` would need the full target distributions and several copies of the logits; this one keeps
    only the logits and, in the backward pass, their gradient.

    Args:
        logits: ``(N, Q, H, W)``.
        bins: int64 ``(N, K, H, W)``.
        probability: ``(N, K, H, W)``, sum 1 over K.
        weight: ``(N, H, W)``; None is 1 everywhere.
    """
    if weight is None:
        weight = probability.new_ones(()).expand(bins[:, 0].shape)
    loss: Tensor = _CrossEntropy.apply(logits, bins, probability, weight)
    return loss


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, bins: Tensor, probability: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(logits, bins, probability, weight)
        total = torch.zeros((), device=logits.device, dtype=probability.dtype)
        for images, rows in _pieces(logits):
            log_softmax = _part(logits, images, rows).log_softmax(dim=-1)  # (n, h, W, Q)
            chosen = log_softmax.gather(-1, bins[images, :, rows].movedim(1, -1))  # (n, h, W, K)
            entropy = -(probability[images, :, rows].movedim(1, -1) * chosen).sum(dim=-1)
            total += (weight[images, rows] * entropy).sum()
        return total / weight.numel()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        logits, bins, probability, weight = ctx.saved_tensors
        gradient = torch.empty_like(logits)
        for images, rows in _pieces(logits):
            part = _part(logits, images, rows).softmax(dim=-1)  # d loss / d logits = softmax - target, weighted
            part.scatter_add_(-1, bins[images, :, rows].movedim(1, -1), -probability[images, :, rows].movedim(1, -1))
            part *= (weight[images, rows] * (upstream / weight.numel()))[..., None]
            gradient[images, :, rows] = part.movedim(-1, 1)
        return gradient, None, None, None


def _part(logits: Tensor, images: slice, rows: slice) -> Tensor:
    """Return a piece of the logits with the bins last, at least float32: (n, h, W, Q)."""
    part = logits[images, :, rows].movedim(1, -1)
    return at_least_float32(part)


def _pieces(logits: Tensor) -> Iterator[tuple[slice, slice]]:
    """Cut (N, Q, H, W) into pieces of about PIECE numbers: slices of whole images, or of one image's rows."""
    n, bins, height, width = logits.shape
    images = max(1, PIECE // (bins * height * width))
    rows = min(height, max(1, PIECE // (bins * width)))
    for first in range(0, n, images):
        for top in range(0, height, rows):
            yield slice(first, first + images), slice(top, top + rows)


def _draw(probability: Tensor, chance: Tensor) -> Tensor:
    """Draw one bin from each distribution: where the cumulative sum passes the chance. (..., Q), (...) -> (...)."""
    cumulative = probability.cumsum(dim=-1)
    passed = cumulative <= chance[..., None] * cumulative[..., -1:]
    return passed.sum(dim=-1).clamp(max=probability.shape[-1] - 1)
