"""The exercises of lab 00, start here: a gray image, a score in decibels, and the skill over doing nothing."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from labkit.checks.framework import Exercise, Verdict, Wrong, as_tensor, close, uniform

CAP = 50.0  # dB


def _rgb(rng: torch.Generator, count: int, height: int, width: int) -> Tensor:
    return torch.randint(0, 256, (count, 3, height, width), generator=rng, dtype=torch.uint8)


# to_gray: rgb uint8 (N, 3, H, W) -> float (N, 1, H, W)


def _weighted(rgb: Tensor, red: float, green: float, blue: float) -> Tensor:
    r, g, b = rgb.double().div(255).unbind(dim=1)
    return (red * r + green * g + blue * b)[:, None]


def _to_gray(rgb: Tensor) -> Tensor:
    return _weighted(rgb, 0.299, 0.587, 0.114)


WEIGHTS = torch.tensor([0.299, 0.587, 0.114])

_MEAN = "this is the plain mean of R, G and B, but the eye finds green far brighter than blue: use .299, .587, .114"
_709 = "these are the weights of Rec.709 (.2126, .7152, .0722), another standard's gray: use .299, .587, .114"
_AXIS = "the channels are axis 1: red is rgb[:, 0] (rgb[0] is the first image, rgb[..., 0] the left column of pixels)"
_ORDER = "the channels come in the order red, green, blue: .299 belongs to red"
_BYTES = "torch takes no mean of bytes: turn them into float first"
_OVERFLOW = "uint8 holds 0 to 255 and wraps around without a word (200 + 100 is 44): turn rgb into float first"
_RANGE = "the result should lie in 0 to 1, not in 0 to 255: divide by 255"
_ROUNDED = "the values are right to one part in 255: do not go back to uint8 (or round) on the way"
_COPIES = "one gray channel is enough: (N, 1, H, W), not three copies of it"
_NO_AXIS = "the values are right, the axis of channels is missing: keep it, for example with .unsqueeze(1)"


def _left_column(rgb: Tensor) -> Tensor:
    x = rgb / 255
    return 0.299 * x[..., 0] + 0.587 * x[..., 1] + 0.114 * x[..., 2]


def _judge_gray(inputs: dict[str, Tensor], output: Any) -> Verdict:
    """Compare by value, and ask for the axis of channels too, which `close` would not miss."""
    expected = _to_gray(inputs["rgb"])
    verdict = close(output, expected, hint=_GRAY)
    given = as_tensor(output)
    if verdict.ok and given is not None and given.shape != expected.shape:
        return Verdict(False, _NO_AXIS, f"shape {tuple(given.shape)}", f"shape {tuple(expected.shape)}", form=True)
    return verdict


_GRAY = "gray = .299 R + .587 G + .114 B, divided by 255; the shape goes from (N, 3, H, W) to (N, 1, H, W)"

TO_GRAY = Exercise(
    id="00-to-gray",
    title="A color image in gray",
    points=2,
    minutes=3,
    level=1,
    hints=(
        "a weighted sum over the axis of channels, axis 1, of numbers between 0 and 1",
        "rgb.float() / 255 first; then .unbind(dim=1) gives red, green and blue, each (N, H, W)",
        "red, green, blue = (...).unbind(dim=1), then return (a * red + b * green + c * blue).unsqueeze(1)",
    ),
    asks_for=(
        "labkit.color.luma",
        "labkit.metrics.gray_prediction",
    ),
    inputs=lambda rng: {"rgb": _rgb(rng, 2, 4, 5)},
    reference=_to_gray,
    judge=_judge_gray,
    wrong=(
        Wrong("channel mean", lambda rgb: rgb.double().mean(dim=1, keepdim=True) / 255, _MEAN),
        Wrong("Rec.709 weights", lambda rgb: _weighted(rgb, 0.2126, 0.7152, 0.0722), _709),
        Wrong("Rec.709 as scikit-image", lambda rgb: _weighted(rgb, 0.2125, 0.7154, 0.0721), _709),
        Wrong("last axis", _left_column, _AXIS),
        Wrong("first axis", lambda rgb: 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2], _AXIS),
        Wrong("weights on the last axis", lambda rgb: (rgb / 255 * WEIGHTS).sum(-1), _AXIS),
        Wrong("matmul on the last axis", lambda rgb: rgb.float() @ WEIGHTS, _AXIS),
        Wrong("mean of the last axis", lambda rgb: (rgb / 255).mean(-1), _AXIS),
        Wrong(
            "overflow of integer weights",
            lambda rgb: (299 * rgb[:, 0] + 587 * rgb[:, 1] + 114 * rgb[:, 2])[:, None] / 255_000,
            _OVERFLOW,
        ),
        Wrong(
            "overflow, then divided by 1000 and 255",
            lambda rgb: (299 * rgb[:, 0] + 587 * rgb[:, 1] + 114 * rgb[:, 2])[:, None] / 1000 / 255,
            _OVERFLOW,
        ),
        Wrong(
            "overflow of the sum",
            lambda rgb: (rgb[:, 0] + rgb[:, 1] + rgb[:, 2])[:, None] / 3 / 255,
            _OVERFLOW,
        ),
        Wrong("mean of bytes", lambda rgb: rgb.mean(dim=1), _BYTES),
        Wrong("blue first", lambda rgb: _weighted(rgb, 0.114, 0.587, 0.299), _ORDER),
        Wrong("0 to 255", lambda rgb: 255 * _to_gray(rgb), _RANGE),
        Wrong("rounded", lambda rgb: (255 * _to_gray(rgb)).round() / 255, _ROUNDED),
        Wrong("cut off", lambda rgb: (255 * _to_gray(rgb)).floor() / 255, _ROUNDED),
        Wrong("no axis of channels", lambda rgb: _to_gray(rgb)[:, 0], _NO_AXIS),
        Wrong("three copies", lambda rgb: _to_gray(rgb).expand(-1, 3, -1, -1), _COPIES),
    ),
)


# psnr: two uint8 (N, 3, H, W) -> the mean over the images of min(50, PSNR of the image)


def _pair(rng: torch.Generator) -> dict[str, Tensor]:
    """Five images with errors from small to large; of one pair both are the same, so that the cap is needed."""
    a = _rgb(rng, 5, 6, 4)
    noise = torch.randn(a.shape, generator=rng) * torch.tensor([0.0, 3, 10, 30, 90]).view(5, 1, 1, 1)
    b = (a + noise).round().clamp(0, 255).to(torch.uint8)
    order = torch.randperm(5, generator=rng)
    return {"a": a[order], "b": b[order]}


def _mse(a: Tensor, b: Tensor) -> Tensor:
    return (a.double() - b.double()).square().mean(dim=(1, 2, 3)) / 255**2


def _decibel(mse: Tensor) -> Tensor:
    return -10 * mse.log10()


def _psnr(a: Tensor, b: Tensor) -> Tensor:
    return _decibel(_mse(a, b)).clamp(max=CAP).mean()


def _wrapped(a: Tensor, b: Tensor) -> Tensor:
    return ((a - b) ** 2).double().mean(dim=(1, 2, 3)) / 255**2


_LOG = "a decibel is ten times the logarithm to base 10: log10, not the natural logarithm"
_PEAK = "the largest possible value counts: 10 log10(255^2 / MSE), or divide both images by 255 first"
_POOLED = "this is the PSNR of the error pooled over all images: score each image by itself, then take the mean"
_CAP_LATE = "cap each image at 50 dB before the mean: one perfect image must not outweigh all others"
_NO_CAP = "an image with no error has infinite PSNR, and so has the mean: cap each image at 50 dB first"
_DROPPED = "a perfect image counts, too: with 50 dB, instead of being left out"
_WRAP = "uint8 wraps around (3 - 5 is 254): turn both into float before you subtract"
_TWENTY = "20 log10 goes with the root of the MSE; with the MSE itself it is 10 log10"
_SQUARED = "the peak is squared as the error is: 10 log10(255^2 / MSE)"
_SIGN = "the sign: a smaller error must give a larger PSNR, 10 log10(1 / MSE) = -10 log10(MSE)"
_CHANNELS = "one number an image: the MSE is taken over its pixels and its three channels together"
_EACH = "these are the values of the single images: return their mean"
_ABSOLUTE = "this is the mean absolute error: square the differences"


def _dropped(a: Tensor, b: Tensor) -> Tensor:
    decibels = _decibel(_mse(a, b))
    return decibels[decibels.isfinite()].mean()


PSNR = Exercise(
    id="00-psnr",
    title="PSNR, the mean over the images",
    points=3,
    minutes=4,
    level=2,
    hints=(
        "first one error for each image, then one PSNR for each image, then the cap, and the mean last",
        "(a.float() / 255 - b.float() / 255).square().mean(dim=(1, 2, 3)) is the MSE of each image, shape (N,)",
        "mse = ..., shape (N,); then (10 * torch.log10(1 / mse)), .clamp(max=...), .mean()",
    ),
    asks_for=(
        "labkit.metrics.psnr",
        "labkit.metrics.score",
        "labkit.metrics.mse",
        "labkit.metrics.score_with_gray",
    ),
    inputs=_pair,
    reference=_psnr,
    atol=1e-3,
    hint="for each image: MSE over its values / 255, then 10 log10(1 / MSE), at most 50; then the mean over the images",
    wrong=(
        Wrong("natural log", lambda a, b: (-10 * _mse(a, b).log()).clamp(max=CAP).mean(), _LOG),
        Wrong("missing range", lambda a, b: _decibel(255**2 * _mse(a, b)).clamp(max=CAP).mean(), _PEAK),
        Wrong("pooled", lambda a, b: _decibel(_mse(a, b).mean()), _POOLED),
        Wrong("pooled, capped", lambda a, b: _decibel(_mse(a, b).mean()).clamp(max=CAP), _POOLED),
        Wrong("no cap", lambda a, b: _decibel(_mse(a, b)).mean(), _NO_CAP),
        Wrong("cap after the mean", lambda a, b: _decibel(_mse(a, b)).mean().clamp(max=CAP), _CAP_LATE),
        Wrong("perfect ones left out", _dropped, _DROPPED),
        Wrong("uint8 difference", lambda a, b: _decibel(_wrapped(a, b)).clamp(max=CAP).mean(), _WRAP),
        Wrong(
            "uint8 difference, then float",
            lambda a, b: _decibel(((a - b) / 255).double().square().mean((1, 2, 3))).clamp(max=CAP).mean(),
            _WRAP,
        ),
        Wrong("mean of bytes", lambda a, b: _decibel(((a - b) ** 2).mean(dim=(1, 2, 3))), _BYTES),
        Wrong("20 log10", lambda a, b: (2 * _decibel(_mse(a, b))).clamp(max=CAP).mean(), _TWENTY),
        Wrong("peak not squared", lambda a, b: _decibel(255 * _mse(a, b)).clamp(max=CAP).mean(), _SQUARED),
        Wrong("sign", lambda a, b: (10 * _mse(a, b).log10()).clamp(max=CAP).mean(), _SIGN),
        Wrong(
            "each channel by itself",
            lambda a, b: _decibel(((a.double() - b.double()) / 255).square().mean(dim=(2, 3))).clamp(max=CAP).mean(),
            _CHANNELS,
        ),
        Wrong("not averaged", lambda a, b: _decibel(_mse(a, b)).clamp(max=CAP), _EACH),
        Wrong(
            "absolute error",
            lambda a, b: _decibel((a.double() - b.double()).abs().mean((1, 2, 3)) / 255).clamp(max=CAP).mean(),
            _ABSOLUTE,
        ),
    ),
)


# skill: two mean squared errors -> 1 - mse / mse_gray


def _errors(rng: torch.Generator) -> dict[str, Any]:
    """Two models on the same images, one better than gray and one worse (a skill below 0 must be right, too)."""
    mse_gray = math.exp(uniform(rng, math.log(0.002), math.log(0.05)))
    better, worse = uniform(rng, 0.2, 0.8), uniform(rng, 1.2, 2.5)
    return {"mse": [better * mse_gray, worse * mse_gray], "mse_gray": mse_gray}


def _skills(answer: Callable[[float, float], Any], inputs: dict[str, Any]) -> list[Any]:
    return [answer(mse, inputs["mse_gray"]) for mse in inputs["mse"]]


def _skill(mse: float, mse_gray: float) -> float:
    return 1 - mse / mse_gray


_RATIO = "this is the fraction of gray's error that is left: a perfect model must have skill 1 and the gray image 0"
_UPSIDE = "gray's error belongs under the line: 1 - mse / mse_gray"
_UNSCALED = "divide by gray's error: otherwise hard images look like great skill"
_PERCENT = "a fraction, not percent: a perfect model has skill 1, not 100"
_CLIPPED = "a model that is worse than gray has a negative skill, and it must show: do not cut it off at 0"
_BACKWARD = "the sign: an error smaller than gray's must give a positive skill"

SKILL = Exercise(
    id="00-skill",
    title="Skill over doing nothing",
    points=1,
    minutes=1,
    level=1,
    hints=(
        "what fraction of the gray image's error is still there? The skill is the rest",
        "the fraction that is left is mse / mse_gray",
        "return 1 - (the fraction that is left)",
    ),
    asks_for=("labkit.metrics.skill",),
    inputs=_errors,
    call=_skills,
    reference=_skill,
    hint="the fraction of gray's error that the model has removed, 1 - mse / mse_gray",
    wrong=(
        Wrong("ratio", lambda mse, mse_gray: mse / mse_gray, _RATIO),
        Wrong("upside down", lambda mse, mse_gray: 1 - mse_gray / mse, _UPSIDE),
        Wrong("over the model's error", lambda mse, mse_gray: (mse_gray - mse) / mse, _UPSIDE),
        Wrong("difference", lambda mse, mse_gray: mse_gray - mse, _UNSCALED),
        Wrong("1 - mse", lambda mse, mse_gray: 1 - mse, _UNSCALED),
        Wrong("percent", lambda mse, mse_gray: 100 * (1 - mse / mse_gray), _PERCENT),
        Wrong("cut off at 0", lambda mse, mse_gray: max(0.0, 1 - mse / mse_gray), _CLIPPED),
        Wrong("absolute value", lambda mse, mse_gray: abs(1 - mse / mse_gray), _CLIPPED),
        Wrong("sign", lambda mse, mse_gray: mse / mse_gray - 1, _BACKWARD),
    ),
)

EXERCISES = (TO_GRAY, PSNR, SKILL)

PREDICTIONS: dict[str, str | tuple[float, float]] = {
    "00-gray": "b",
    "00-halved": "b",
    "00-floor": "c",
    "00-tiny": "c",
    "00-strength": "b",
}
