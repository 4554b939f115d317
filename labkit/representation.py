"""What a network sees and predicts: every color space as one small class.

A representation answers four questions, and a colorizer needs no more:

- ``encode(rgb, stride)``: which gray image does the network see, and which numbers should it predict?
- ``loss(prediction, target)``: how wrong is a prediction?
- ``decode(gray, prediction)``: which picture is that?
- ``config()``: how is it made again from a file?

A new idea is one new class here (and one line in ``REPRESENTATIONS``); every lab, metric and command can use it.
Classification over color bins will stand beside the four regressions below: its ``target`` is a distribution,
its ``loss`` a cross-entropy, its ``decode`` picks or averages bin centers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from labkit import color
from labkit.errors import LabkitError

AB_RANGE = 110.0  # |a| and |b| of sRGB colors stay below 108 (color.py); dividing by 128 would waste range
U_RANGE, V_RANGE = 0.436, 0.615  # the largest |U| and |V| of sRGB colors


class Representation(ABC):
    """Between pictures and the numbers a network predicts.

    Images are ``(N, 3, H, W)``, uint8 or float in [0, 1]. Gray is ``(N, 1, H, W)`` in [0, 1].
    Predictions and targets are ``(N, channels, ceil(H / stride), ceil(W / stride))``.
    """

    name: ClassVar[str]
    channels: int = 2
    predicts_luma: bool = False

    @abstractmethod
    def split(self, rgb: Tensor) -> tuple[Tensor, Tensor]:
        """``rgb -> (gray, target)`` at full resolution."""

    @abstractmethod
    def decode(self, gray: Tensor, prediction: Tensor) -> Tensor:
        """``(N, 1, H, W), (N, C, h, w) -> rgb (N, 3, H, W)`` inside [0, 1]. A smaller prediction is enlarged."""

    @abstractmethod
    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """A scalar to minimize."""

    def encode(self, rgb: Tensor, stride: int = 1) -> tuple[Tensor, Tensor]:
        """``rgb -> (gray, target)``; with a stride the target is averaged over stride x stride pixels.

        Raises ``ValueError`` when the target holds luma and a stride is asked: luma must not lose resolution.
        """
        gray, target = self.split(rgb)
        if stride > 1:
            if self.predicts_luma:
                raise ValueError(
                    f"{self.name} predicts luma, which no stride may blur: expected stride 1. Got {stride}"
                )
            target = F.avg_pool2d(target, stride, ceil_mode=True)
        return gray, target

    def gray(self, rgb: Tensor) -> Tensor:
        """What the network sees of a color picture: ``(N, 1, H, W)`` in [0, 1]."""
        return self.split(rgb)[0]

    def target(self, rgb: Tensor, stride: int = 1) -> Tensor:
        """What the network should predict for a color picture: ``(N, C, H/stride, W/stride)``."""
        return self.encode(rgb, stride)[1]

    def config(self) -> dict[str, object]:
        """Everything `make_representation` needs to make this one again; JSON types only."""
        return {"name": self.name}


class Regression(Representation):
    """Predicts numbers directly, with the loss mix of Dalban and Lakbir: ``alpha * MSE + (1 - alpha) * L1``.

    ``alpha=1`` is MSE (its optimum is the mean of the possible colors), ``alpha=0`` is L1 (the median).
    """

    def __init__(self, alpha: float = 1.0) -> None:
        if not 0.0 <= alpha <= 1.0:
            raise LabkitError(f"alpha is the share of MSE in the loss: expected a number from 0 to 1. Got {alpha}")
        self.alpha = alpha

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """``alpha * MSE + (1 - alpha) * L1``, each the mean over all numbers, in this representation's units."""
        prediction = prediction.to(target.dtype)
        if self.alpha == 1.0:
            return F.mse_loss(prediction, target)
        if self.alpha == 0.0:
            return F.l1_loss(prediction, target)
        return self.alpha * F.mse_loss(prediction, target) + (1 - self.alpha) * F.l1_loss(prediction, target)

    def config(self) -> dict[str, object]:
        return super().config() | {"alpha": self.alpha}


class RGB(Regression):
    """All three channels in [0, 1]: the network has to repaint the luma that it was given."""

    name = "rgb"
    channels = 3
    predicts_luma = True

    def split(self, rgb: Tensor) -> tuple[Tensor, Tensor]:
        return color.luma(rgb), color.to_float(rgb)

    def decode(self, gray: Tensor, prediction: Tensor) -> Tensor:
        return prediction.to(gray.dtype).clamp(0, 1)


class LumaChroma(Regression):
    """The chroma plane of the ECS171 paper: two coefficients on a basis of the plane of zero luma.

    ``form="corrected"``: gray axis plus an orthonormal basis, so chroma error is RGB error.
    ``form="printed"``: as the paper prints it, where zero chroma is green (see ``color.luma_chroma_to_rgb``).
    Luma is exact by construction.
    """

    name = "luma-chroma"

    def __init__(self, alpha: float = 1.0, form: str = "corrected") -> None:
        super().__init__(alpha)
        color.chroma_basis(form)  # refuses an unknown form here, not in the middle of training
        self.form = form

    def split(self, rgb: Tensor) -> tuple[Tensor, Tensor]:
        return color.rgb_to_luma_chroma(rgb, self.form)

    def decode(self, gray: Tensor, prediction: Tensor) -> Tensor:
        chroma = enlarge(prediction, gray)
        return color.scale_to_gamut(color.luma_chroma_to_rgb(gray, chroma, self.form))

    def config(self) -> dict[str, object]:
        return super().config() | {"form": self.form}


class YUV(Regression):
    """U and V, each divided by its largest value; the network sees Y, which is Rec.601 luma."""

    name = "yuv"

    def split(self, rgb: Tensor) -> tuple[Tensor, Tensor]:
        gray, u, v = color.rgb_to_yuv(rgb).split(1, dim=-3)
        return gray, torch.cat([u / U_RANGE, v / V_RANGE], dim=-3)

    def decode(self, gray: Tensor, prediction: Tensor) -> Tensor:
        u, v = enlarge(prediction, gray).split(1, dim=-3)
        return color.scale_to_gamut(color.yuv_to_rgb(torch.cat([gray, u * U_RANGE, v * V_RANGE], dim=-3)))


class LAB(Regression):
    """a and b of CIE LAB, divided by 110.

    ``sees="lightness"``: the network sees L*, as in the papers. L* is another gray than luma: two colors of the
    same luma differ in L*, so on toyworld such a network is told what it should have to guess.
    ``sees="luma"``: the network sees Rec.601 luma like all the others, and decode finds the L* that keeps it.
    """

    name = "lab"

    def __init__(self, alpha: float = 1.0, sees: str = "lightness") -> None:
        super().__init__(alpha)
        if sees not in ("lightness", "luma"):
            raise LabkitError(f"LAB's network sees 'lightness' or 'luma'. Got {sees!r}")
        self.sees = sees

    def split(self, rgb: Tensor) -> tuple[Tensor, Tensor]:
        lab = color.rgb_to_lab(rgb)
        gray = lab[..., :1, :, :] / 100 if self.sees == "lightness" else color.luma(rgb)
        return gray, lab[..., 1:, :, :] / AB_RANGE

    def decode(self, gray: Tensor, prediction: Tensor) -> Tensor:
        ab = enlarge(prediction, gray) * AB_RANGE
        if self.sees == "luma":
            return color.luma_ab_to_rgb(gray, ab)
        return color.scale_lab_to_gamut(torch.cat([gray * 100, ab], dim=-3))

    def config(self) -> dict[str, object]:
        return super().config() | {"sees": self.sees}


REPRESENTATIONS: dict[str, type[Regression]] = {cls.name: cls for cls in (RGB, LAB, YUV, LumaChroma)}


def make_representation(name: str, **options: object) -> Representation:
    """A representation by name: ``rgb``, ``lab``, ``yuv`` or ``luma-chroma``, with its constructor's options.

    Raises ``LabkitError`` for an unknown name or option.
    """
    if name not in REPRESENTATIONS:
        raise LabkitError(f"unknown representation {name!r}: expected one of {', '.join(REPRESENTATIONS)}")
    try:
        return REPRESENTATIONS[name](**options)  # type: ignore[arg-type]
    except TypeError as error:
        raise LabkitError(f"representation {name!r} does not take these options: {options} ({error})") from None


def enlarge(prediction: Tensor, gray: Tensor) -> Tensor:
    """Prediction at gray's resolution and dtype: bilinear, as JPEG decoders enlarge half-resolution chroma."""
    prediction = prediction.to(gray.dtype)
    height, width = gray.shape[-2:]
    stride = -(-height // prediction.shape[-2])
    if stride == 1:
        return prediction
    large = F.interpolate(prediction, scale_factor=stride, mode="bilinear", align_corners=False)
    return large[..., :height, :width]
