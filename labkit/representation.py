"""Representations: what a network is given and what it predicts, each color space as one small class.

A representation answers four questions, and a colorizer needs no more:

- ``encode(rgb, stride)``: which gray image is the network given, and which numbers should it predict?
- ``loss(prediction, target)``: how wrong is a prediction?
- ``decode(gray, prediction)``: which image is that?
- ``config()``: how is it made again from a file?

A new idea is one new class here (and one line in ``REPRESENTATIONS``); every lab, metric and command can use it.
Regressions predict color itself. Classification predicts a distribution over color bins: its ``loss`` is a
cross-entropy, its ``decode`` first picks or averages bin centers (``colors``), then goes on as a regression does.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from labkit import color
from labkit.enlarge import add_enlarged
from labkit.errors import LabkitError, check_integer, check_number, check_seed
from labkit.quantize import (
    FITTED,
    NEIGHBORS,
    TEMPERATURE,
    Quantizer,
    check_decoding,
    cross_entropy,
    fitted_bins,
    make_quantizer,
    rebalancing_weights,
)

AB_RANGE = 110.0  # |a| and |b| of sRGB colors stay below 108 (color.py); dividing by 128 would waste range
STYLES = ("faithful", "vivid")
VIVID_TEMPERATURE, VIVID_BALANCE, VIVID_STRENGTH = 0.6, 0.5, 1.0  # chosen for the starter, see its card
LEAN, LEAN_SCALE = 2.0, 40.0  # of samples: the spread of log-weights, and over how much of a and b they change
U_RANGE, V_RANGE = 0.436, 0.615  # the largest |U| and |V| of sRGB colors


class Representation(nn.Module, ABC):
    """Converts between images and the numbers that a network predicts.

    Images are ``(N, 3, H, W)``, uint8 or float in [0, 1]. Gray is ``(N, 1, H, W)`` in [0, 1].
    Predictions and targets are ``(N, channels, ceil(H / stride), ceil(W / stride))``.

    It is a module so that ``.to(device)`` moves what it holds. Its tensors are buffers that are not part of the state
    dict: `config` holds them.

    Attributes:
        name: as in ``REPRESENTATIONS``.
        channels: how many numbers are predicted for each pixel.
        predicts_luma: whether luma is predicted too, rather than taken from the gray image.
    """

    name: ClassVar[str]
    channels: int = 2
    predicts_luma: bool = False

    @abstractmethod
    def split(self, rgb: Tensor) -> tuple[Tensor, Tensor]:
        """Return gray ``(N, 1, H, W)`` and target ``(N, D, H, W)`` of rgb ``(N, 3, H, W)``, at full resolution."""

    @abstractmethod
    def to_rgb(self, gray: Tensor, colors: Tensor) -> Tensor:
        """Return rgb ``(N, 3, H, W)`` in [0, 1] of gray ``(N, 1, H, W)`` and colors ``(N, D, h, w)``, upsampled."""

    @abstractmethod
    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return how wrong a prediction is: a scalar to minimize."""

    def encode(self, rgb: Tensor, stride: int = 1) -> tuple[Tensor, Tensor]:
        """Return what the network is given and what it should predict.

        Args:
            rgb: ``(N, 3, H, W)``.
            stride: the target is averaged over stride x stride pixels.

        Returns: gray ``(N, 1, H, W)`` and target ``(N, C, ceil(H / stride), ceil(W / stride))``.

        Raises:
            LabkitError: the target holds luma and the stride is not 1: luma must not lose resolution.
        """
        stride = check_integer("stride", stride, low=1)
        gray, target = self.split(rgb)
        if stride > 1:
            if self.predicts_luma:
                raise LabkitError(
                    f"{self.name} predicts luma, which must not be averaged: expected stride 1. Got {stride}"
                )
            target = F.avg_pool2d(target, stride, ceil_mode=True)
        return gray, target

    def colors(self, prediction: Tensor) -> Tensor:
        """Return the color coordinates that a prediction stands for: ``(N, C, h, w) -> (N, D, h, w)``.

        In regressions the prediction itself. Unlike distributions over bins, these may be averaged and upsampled.
        """
        return prediction

    def decode(self, gray: Tensor, prediction: Tensor) -> Tensor:
        """Return rgb ``(N, 3, H, W)`` in [0, 1] of gray ``(N, 1, H, W)`` and a prediction ``(N, C, h, w)``."""
        return self.to_rgb(gray, self.colors(prediction))

    def enlarge(self, gray: Tensor, colors: Tensor) -> Tensor:
        """Return rgb ``(N, 3, H, W)`` of gray ``(N, 1, H, W)`` and of the colors of a small copy, enlarged bicubically.

        Args:
            gray: of a photograph at its own size.
            colors: ``(N, D, h, w)``, as `colors` returned them for the copy that the network saw.
        """
        difference = self.difference(gray, colors)
        if difference is not None:
            return add_enlarged(gray, difference)
        large = F.interpolate(colors, size=gray.shape[-2:], mode="bicubic", align_corners=False)
        return self.to_rgb(gray, large)

    def difference(self, gray: Tensor, colors: Tensor) -> Tensor | None:
        """Return what colors add to luma, ``(N, D, h, w) -> (N, 3, h, w)``, which may be enlarged instead of them.

        None where it may not: the gray is L*, or luma is predicted.
        """
        return None

    def fit(self, images: Tensor, stride: int = 1, seed: int = 0) -> None:
        """Learn from training images what the representation needs to know of them; regressions need nothing.

        `labkit.training.fit` calls it before the first step.

        Args:
            images: ``(N, 3, H, W)``, on the representation's device.
            stride: of the network.
            seed: of what is drawn.
        """

    def gray(self, rgb: Tensor) -> Tensor:
        """Return what the network is given of color images: ``(N, 1, H, W)`` in [0, 1]."""
        return self.split(rgb)[0]

    def target(self, rgb: Tensor, stride: int = 1) -> Tensor:
        """Return what the network should predict for color images: ``(N, C, H/stride, W/stride)``."""
        return self.encode(rgb, stride)[1]

    def config(self) -> dict[str, object]:
        """Return everything that `make_representation` needs to make this one again; JSON types only."""
        return {"name": self.name}


class Regression(Representation):
    """Predicts color coordinates directly, with the loss of Dalban and Lakbir: ``alpha * MSE + (1 - alpha) * L1``.

    Args:
        alpha: 1 is MSE (it is minimized by the mean of the possible colors), 0 is L1 (by their median).
    """

    def __init__(self, alpha: float = 1.0) -> None:
        """Check and keep alpha."""
        super().__init__()
        self.alpha = check_number("alpha (the fraction of MSE in the loss)", alpha, low=0, high=1)

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return ``alpha * MSE + (1 - alpha) * L1``, each the mean over all numbers, in this representation's units."""
        prediction = prediction.to(target.dtype)
        if self.alpha == 1.0:
            return F.mse_loss(prediction, target)
        if self.alpha == 0.0:
            return F.l1_loss(prediction, target)
        return self.alpha * F.mse_loss(prediction, target) + (1 - self.alpha) * F.l1_loss(prediction, target)

    def config(self) -> dict[str, object]:
        """Return the name and alpha."""
        return super().config() | {"alpha": self.alpha}


class RGB(Regression):
    """Predicts all three channels in [0, 1]; so the network has to reproduce the luma that it was given."""

    name = "rgb"
    channels = 3
    predicts_luma = True

    def split(self, rgb: Tensor) -> tuple[Tensor, Tensor]:
        """Return luma, and R, G and B in [0, 1]."""
        return color.luma(rgb), color.to_float(rgb)

    def to_rgb(self, gray: Tensor, colors: Tensor) -> Tensor:
        """Return the colors, clipped to [0, 1]; gray is not used."""
        return colors.to(gray.dtype).clamp(0, 1)


class LumaChroma(Regression):
    """Predicts the chroma of the ECS171 paper: two coefficients on a basis of the plane of zero luma.

    Luma is exact by construction. Where the basis is as printed, the loss is that of the RGB error (section 2.3.1): on
    a basis that is not orthonormal, errors of coordinates are no color errors.

    Args:
        alpha: as in `Regression`.
        form: "corrected": gray axis plus an orthonormal basis, so that chroma error is RGB error. "printed": as the
            paper prints it, where zero chroma is green (see `labkit.color.rgb_to_luma_chroma`).
        direction: "corrected" or "printed": of the direction of luma alone, where it is not that of ``form``.
        basis: the same of the basis alone. An ablation changes one of the two at a time.
    """

    name = "luma-chroma"

    def __init__(
        self, alpha: float = 1.0, form: str = "corrected", direction: str | None = None, basis: str | None = None
    ) -> None:
        """Check and keep them."""
        super().__init__(alpha)
        self.form, self.direction, self.basis = form, direction or form, basis or form
        for each in (self.form, self.direction, self.basis):
            color.chroma_basis(each)  # refuses an unknown form here, not in the middle of training

    def split(self, rgb: Tensor) -> tuple[Tensor, Tensor]:
        """Return luma and the two chroma coordinates."""
        return color.rgb_to_luma_chroma(rgb, self.direction, self.basis)

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return ``alpha * MSE + (1 - alpha) * L1``: of the two coordinates; of R, G and B on the printed basis."""
        if self.basis == "printed":
            no_luma = torch.zeros_like(target[:, :1])
            rgb_error = color.luma_chroma_to_rgb(no_luma, prediction.to(target.dtype) - target, self.basis)
            return super().loss(rgb_error, torch.zeros_like(rgb_error))
        return super().loss(prediction, target)

    def to_rgb(self, gray: Tensor, colors: Tensor) -> Tensor:
        """Return luma and upsampled chroma as rgb, the chroma scaled into the gamut."""
        chroma = upsample(colors, gray)
        return color.scale_to_gamut(color.luma_chroma_to_rgb(gray, chroma, self.direction, self.basis))

    def difference(self, gray: Tensor, colors: Tensor) -> Tensor | None:
        """Return what chroma adds to luma; on the printed basis zero chroma is no gray, and nothing is added to it."""
        if self.form == "printed":
            return None
        return color.luma_chroma_to_rgb(torch.zeros_like(colors[:, :1]), colors, self.form)

    def config(self) -> dict[str, object]:
        """Return the name, alpha and form, and direction and basis where they are not those of the form."""
        own = {"direction": self.direction, "basis": self.basis}
        differing = {name: value for name, value in own.items() if value != self.form}
        return super().config() | {"form": self.form} | differing


class YUV(Regression):
    """Predicts U and V, each divided by its largest value; the network is given Y, which is Rec.601 luma."""

    name = "yuv"

    def split(self, rgb: Tensor) -> tuple[Tensor, Tensor]:
        """Return Y, and U and V scaled to [-1, 1]."""
        gray, u, v = color.rgb_to_yuv(rgb).split(1, dim=-3)
        return gray, torch.cat([u / U_RANGE, v / V_RANGE], dim=-3)

    def to_rgb(self, gray: Tensor, colors: Tensor) -> Tensor:
        """Return Y, U and V as rgb, the chroma scaled into the gamut."""
        u, v = upsample(colors, gray).split(1, dim=-3)
        return color.scale_to_gamut(color.yuv_to_rgb(torch.cat([gray, u * U_RANGE, v * V_RANGE], dim=-3)))


class LAB(Regression):
    """Predicts a and b of CIE LAB, divided by 110.

    Args:
        alpha: as in `Regression`.
        input_gray: "lightness": the network is given L*, as in the papers. L* is another gray than luma: two colors
            of the same luma differ in L*, so on toyworld such a network is told what it should have to guess. "luma":
            it is given Rec.601 luma like all the others, and `to_rgb` finds the L* that keeps it.
    """

    name = "lab"

    def __init__(self, alpha: float = 1.0, input_gray: str = "lightness") -> None:
        """Check and keep both."""
        super().__init__(alpha)
        if input_gray not in ("lightness", "luma"):
            raise LabkitError(f"input_gray must be 'lightness' or 'luma'. Got {input_gray!r}")
        self.input_gray = input_gray

    def split(self, rgb: Tensor) -> tuple[Tensor, Tensor]:
        """Return L* / 100 or luma, and a and b divided by 110."""
        lab = color.rgb_to_lab(rgb)
        gray = lab[..., :1, :, :] / 100 if self.input_gray == "lightness" else color.luma(rgb)
        return gray, lab[..., 1:, :, :] / AB_RANGE

    def gray(self, rgb: Tensor) -> Tensor:
        """Return luma, without the conversion to LAB that it does not need; or L* / 100."""
        return color.luma(rgb) if self.input_gray == "luma" else self.split(rgb)[0]

    def difference(self, gray: Tensor, colors: Tensor) -> Tensor | None:
        """Return what a and b add to luma, at the size of the copy: to search L* of every pixel is slow."""
        if self.input_gray != "luma":
            return None
        small = F.interpolate(gray, size=colors.shape[-2:], mode="bilinear", antialias=True)
        return color.luma_ab_to_rgb(small, colors * AB_RANGE) - small

    def to_rgb(self, gray: Tensor, colors: Tensor) -> Tensor:
        """Return the image of this gray, with a and b scaled into the gamut."""
        ab = upsample(colors, gray) * AB_RANGE
        if self.input_gray == "luma":
            return color.luma_ab_to_rgb(gray, ab)
        return color.scale_lab_to_gamut(torch.cat([gray * 100, ab], dim=-3))

    def config(self) -> dict[str, object]:
        """Return the name, alpha and input_gray."""
        return super().config() | {"input_gray": self.input_gray}


class Classification(Representation):
    """Predicts a distribution over color bins: one logit for each bin of a quantizer, at each pixel.

    Its target is the color itself, averaged over the stride; the loss encodes it, so that no full distribution is kept
    for each pixel. Bins in ab and in the chroma plane keep the gray exactly. Bins in RGB predict luma too, as in
    Qureshi's papers.

    Args:
        quantizer: "ab676", "ab313", or a `Quantizer` (or its config). Or "rgb24", "chroma150" and so on: so many bins,
            which `fit` fits to the training images.
        decode: how a color is made of a distribution: "mode", "mean", "annealed" or "sample"
            (see ``Quantizer.decode``). Default: "annealed" in ab, else "mode", as the papers have it.
        temperature: of "annealed".
        neighbors: bins that share a color in the target; 1 is hard encoding. Default: 5 in ab, else 1.
        sigma: of soft encoding, in Lab units (RGB and chroma: of 0 to 1). Default: 5 (5 / 255).
        rebalance: None, or the fraction of the uniform distribution in class rebalancing (Zhang: .5); `fit` then
            computes the weights of the bins from the training images.
        weights: the weights themselves, one for each bin.
        weigh_loss: whether the loss is weighted; if not, the weights are for `balance` only.
        divide_out: decode the distribution with the weights divided out again: that of the training images as they are.
        balance: decode the distribution with each probability multiplied by the bin's weight to this power, and all
            normalized again: rare colors are then chosen as if they were less rare. 0: the distribution as it is.
        strength: chroma that is decoded is multiplied by this.
        input_gray: as in `LAB`: "lightness" (default) or "luma". For bins in ab only.
        seed: of "sample"; an image is then decoded the same way each time.
    """

    name = "classification"

    def __init__(
        self,
        quantizer: str | dict[str, Any] | Quantizer = "ab313",
        *,
        decode: str | None = None,
        temperature: float = TEMPERATURE,
        neighbors: int | None = None,
        sigma: float | None = None,
        rebalance: float | None = None,
        weights: Sequence[float] | None = None,
        weigh_loss: bool = True,
        divide_out: bool = False,
        balance: float = 0.0,
        strength: float = 1.0,
        input_gray: str | None = None,
        seed: int = 0,
    ) -> None:
        """Check the options; bins such as those of "rgb24" are fitted later."""
        super().__init__()
        self._quantizer: Quantizer | None = None
        self.fitted = fitted_bins(quantizer) if isinstance(quantizer, str) else None
        if self.fitted:
            bins_space, self.channels = self.fitted
            check_integer("bins", self.channels, low=2)
        else:
            self._quantizer = quantizer if isinstance(quantizer, Quantizer) else make_quantizer(quantizer)
            self.channels, bins_space = len(self._quantizer), self._quantizer.space
        in_ab = bins_space == "ab"
        if input_gray is not None and not in_ab:
            raise LabkitError(
                f"input_gray is an option of bins in ab; with bins in {bins_space} the network is given luma. "
                f"Got {input_gray!r}"
            )
        spaces: dict[str, Callable[[], Regression]] = {
            "ab": lambda: LAB(input_gray=input_gray or "lightness"),
            "rgb": RGB,
            "chroma": LumaChroma,
        }
        self.space: Regression = spaces[bins_space]()  # splits, and makes rgb of colors
        self.unit = AB_RANGE if in_ab else 1.0  # of that space's coordinates
        self.predicts_luma = self.space.predicts_luma
        self.method = decode or ("annealed" if in_ab else "mode")
        self.temperature = temperature
        self.neighbors = (NEIGHBORS if in_ab else 1) if neighbors is None else neighbors
        self.sigma = sigma
        self.rebalance = rebalance
        self.weights: Tensor | None
        given = None if weights is None else torch.tensor(weights, dtype=torch.float32)
        self.register_buffer("weights", given, persistent=False)  # the model's card holds them
        self.weigh_loss, self.divide_out = weigh_loss, divide_out
        self.balance = check_number("balance", balance, low=0, high=2)
        self.strength = check_number("strength", strength, low=0, high=4)
        self.input_gray = input_gray
        self.seed = seed
        self.lean: Tensor | None = None  # of a sample, see `styled`
        check_decoding(self.method, temperature)
        check_seed(seed)
        self.neighbors = check_integer("neighbors", self.neighbors, low=1, high=self.channels)
        if sigma is not None:
            check_number("sigma", sigma, above=0)
        if rebalance is not None:
            check_number("rebalance", rebalance, low=0, high=1)
        if self.weights is not None and len(self.weights) != self.channels:
            raise LabkitError(f"weights must be {self.channels} numbers, one for each bin. Got {len(self.weights)}")
        if in_ab:
            self.quantizer.prepare(self.neighbors)

    @property
    def quantizer(self) -> Quantizer:
        """The bins.

        Raises:
            LabkitError: they are not fitted yet.
        """
        if self._quantizer is None:
            space, count = self.fitted or ("", self.channels)
            raise LabkitError(f"the {count} {space} bins are not fitted yet: train with fit, or call fit(images)")
        return self._quantizer

    def fit(self, images: Tensor, stride: int = 1, seed: int = 0) -> None:
        """Fit the bins and compute the rebalancing weights, where they are asked for and not given."""
        if self._quantizer is None and self.fitted:
            space, count = self.fitted
            self._quantizer = FITTED[space](images, count, seed)  # on the device of the images, as this module is
        if self.rebalance is not None and self.weights is None:
            frequencies = torch.zeros(self.channels, dtype=torch.float64)
            for part in images.split(64):
                frequencies += len(part) * self.quantizer.frequencies(self.target(part, stride))
            smooth = self.quantizer.smooth(frequencies / len(images))
            self.weights = rebalancing_weights(smooth, self.rebalance).to(self.quantizer.centers)  # float32, its device

    def split(self, rgb: Tensor) -> tuple[Tensor, Tensor]:
        """Return gray and the colors themselves: a and b in Lab units, or R, G and B in [0, 1]."""
        gray, coordinates = self.space.split(rgb)
        return gray, coordinates * self.unit

    def encode_bins(self, target: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return a target ``(N, D, h, w)`` as the loss needs it.

        Returns: bins ``(N, K, h, w)``, their probability ``(N, K, h, w)``, and each pixel's weight ``(N, h, w)``, which
            is that of its nearest bin (None: all 1).
        """
        bins, probability = self.quantizer.soft_encode(target, self.neighbors, self.sigma)
        if self.weights is None or not self.weigh_loss:
            return bins, probability, None
        return bins, probability, self.weights[bins[:, 0]]

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the weighted cross-entropy in nats per pixel; ``target`` holds colors, as `encode` gives them."""
        return cross_entropy(prediction, *self.encode_bins(target))

    def colors(self, prediction: Tensor) -> Tensor:
        """Return the colors ``(N, D, h, w)`` of logits ``(N, Q, h, w)``, by ``decode``, in the bins' units."""
        generator = torch.Generator().manual_seed(self.seed)
        if self.divide_out and self.weights is not None:
            prediction = prediction - self.weights.log()[:, None, None]
        if self.balance and self.weights is not None:
            prediction = prediction + self.balance * self.weights.log()[:, None, None]
        if self.lean is not None:
            prediction = prediction + self.lean[:, None, None]
        colors = self.quantizer.decode(prediction, self.method, self.temperature, generator)
        return colors if self.strength == 1 else self.strength * colors

    def styled(self, style: str = "faithful", sample: int | None = None) -> Classification:
        """Return the same bins and weights with the decoding of a style.

        Args:
            style: "faithful": the mean of the distribution, which has the smallest squared error. "vivid": the annealed
                mean, in which rare colors weigh more.
            sample: number of a sample: the whole image leans towards colors drawn with this seed.
        """
        changes: dict[str, Any] = {"decode": "mean", "balance": 0.0, "divide_out": self.weigh_loss}
        if style == "vivid":
            changes = {"decode": "annealed", "temperature": VIVID_TEMPERATURE, "strength": VIVID_STRENGTH}
            changes["balance"] = 0.0 if self.weigh_loss else VIVID_BALANCE
        options = {**self.config(), **changes}
        del options["name"]
        options["quantizer"] = self.quantizer  # the object, with its look-up tables
        made = Classification(**options).to(self.quantizer.centers.device)
        made.lean = None if sample is None else _lean(self.quantizer.centers, sample)
        return made

    def to_rgb(self, gray: Tensor, colors: Tensor) -> Tensor:
        """Return rgb as `LAB`, `RGB` or `LumaChroma` do, of colors in the bins' units."""
        return self.space.to_rgb(gray, colors / self.unit)

    def gray(self, rgb: Tensor) -> Tensor:
        """Return what the network is given, as `LAB` or `RGB` do."""
        return self.space.gray(rgb)

    def difference(self, gray: Tensor, colors: Tensor) -> Tensor | None:
        """Return what colors add to luma, as `LAB` does."""
        return self.space.difference(gray, colors / self.unit)

    def oracle(self, rgb: Tensor, stride: int = 1) -> Tensor:
        """Return images with each color replaced by its nearest bin's: ``(N, 3, H, W) -> rgb (N, 3, H, W)``.

        No classifier with these bins can be better: read their score beside a trained classifier's.
        """
        gray, target = self.encode(rgb, stride)
        return self.to_rgb(gray, self.quantizer.nearest(target))

    def config(self) -> dict[str, object]:
        """Return the name, the bins, the weights and all options."""
        unfitted = "".join(map(str, self.fitted or ()))  # "rgb24"
        return super().config() | {
            "quantizer": unfitted if self._quantizer is None else self._quantizer.config(),
            "decode": self.method,
            "temperature": self.temperature,
            "neighbors": self.neighbors,
            "sigma": self.sigma,
            "rebalance": self.rebalance,
            "weights": None if self.weights is None else self.weights.tolist(),
            "weigh_loss": self.weigh_loss,
            "divide_out": self.divide_out,
            "balance": self.balance,
            "strength": self.strength,
            "input_gray": self.input_gray,
            "seed": self.seed,
        }


def _lean(centers: Tensor, seed: int) -> Tensor:
    """Return log-weights of the bins, ``(Q,)``, that lean towards some colors: a smooth random function of a and b.

    Drawing each pixel by itself (decode="sample") gives noise, for it ignores that neighbors share a color. One draw
    for the whole image moves all that was undecided in the same direction.
    """
    generator = torch.Generator().manual_seed(seed)
    waves = torch.randn(6, 2, generator=generator) / LEAN_SCALE
    phases = 2 * torch.pi * torch.rand(6, generator=generator)
    return LEAN * (centers.cpu() @ waves.T + phases).cos().sum(dim=1).div(3**0.5).to(centers.device)


REPRESENTATIONS: dict[str, Callable[..., Representation]] = {
    **{cls.name: cls for cls in (RGB, LAB, YUV, LumaChroma)},
    **{name: partial(Classification, name) for name in ("ab676", "ab313", "rgb24")},
    # For photographs: luma is kept exactly, and what is decoded with `balance` is trained as it is.
    "ab313-luma": partial(Classification, "ab313", input_gray="luma", decode="mean", rebalance=0.5, weigh_loss=False),
    Classification.name: Classification,  # with quantizer=: any bins; also how all of them are written to files
}


def make_representation(name: str, **options: Any) -> Representation:
    """Make a representation by name.

    Args:
        name: a key of ``REPRESENTATIONS``: a color space, as ``luma-chroma``, or color bins, as ``ab313``;
            ``classification`` with ``quantizer=`` for other bins.
        **options: of its class.

    Raises:
        LabkitError: unknown name or option.
    """
    if name not in REPRESENTATIONS:
        raise LabkitError(f"unknown representation {name!r}: expected one of {', '.join(REPRESENTATIONS)}")
    try:
        return REPRESENTATIONS[name](**options)
    except TypeError as error:
        raise LabkitError(f"representation {name!r} does not take these options: {options} ({error})") from None


def upsample(prediction: Tensor, gray: Tensor) -> Tensor:
    """Return a prediction at gray's resolution and dtype: bilinear, as JPEG decoders upsample half-resolution chroma.

    Args:
        prediction: ``(N, C, h, w)``, of a network whose output stride is a whole number.
        gray: ``(N, 1, H, W)``.

    Returns: ``(N, C, H, W)``.
    """
    prediction = prediction.to(gray.dtype)
    height, width = gray.shape[-2:]
    stride = max(-(-height // prediction.shape[-2]), -(-width // prediction.shape[-1]))  # a side of 1 shows none
    if stride == 1:
        return prediction
    large = F.interpolate(prediction, scale_factor=stride, mode="bilinear", align_corners=False)
    return large[..., :height, :width]
