"""What a training costs: seconds and memory against images, pixels, width and classes, four points each.

Each is fitted by a power law. An exponent of 1 says that twice as much takes twice as long.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from tqdm import tqdm

from labkit.bench.measure import Settings, in_fresh_process, peak_memory
from labkit.bench.report import Point, Report
from labkit.bench.training import pictures
from labkit.colorizer import Colorizer
from labkit.quantize import Quantizer, ab676
from labkit.representation import Classification, LumaChroma

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BASE = {"images": 128, "pixels": 32**2, "width": 16, "classes": 0}  # no classes: a regression
VARIED = {
    "images": (128, 256, 512, 1024),
    "pixels": (32**2, 48**2, 64**2, 96**2),
    "width": (8, 16, 32, 64),
    "classes": (40, 80, 160, 320),
}
BATCH = 32
COLUMNS = ("factor", "values", "exponent of time", "exponent of memory")
# What is predicted, and for what: an epoch of ImageNet's training images on eight GPUs.
IMAGENET = {"images": 1_281_167, "pixels": 224**2, "width": 64}
GPUS, GPU_PEAK = 8, 312e12  # dense bf16 operations a second of an NVIDIA A100, by its data sheet


def cost(settings: Settings) -> Iterator[Point]:
    """Train an epoch at each point, each in a fresh process."""
    points = [(factor, value) for factor, values in VARIED.items() for value in values]
    for factor, value in tqdm(points, desc="cost", unit="training", leave=False, file=sys.stderr):
        training = BASE | {factor: value}
        if settings.quick:
            training["images"] //= 4
        seconds, held = in_fresh_process(cost_of, torch.get_num_threads(), *training.values())
        yield Point(factor=factor, value=training[factor], seconds=seconds, bytes=held)


def cost_of(threads: int, images: int, pixels: int, width: int, classes: int) -> tuple[float, float]:
    """Train an epoch in this process; return the seconds, and the bytes by which memory rose at most."""
    torch.set_num_threads(threads)
    representation = Classification(Quantizer(ab676().centers[:classes], "ab")) if classes else LumaChroma()
    colorizer = Colorizer(representation, "unet", width=width)
    colorizer.fit(pictures(2, 32), epochs=1, device="cpu", progress=False)  # what is imported late
    data = pictures(images, math.isqrt(pixels))
    before, _ = peak_memory()
    began = time.perf_counter()
    colorizer.fit(data, epochs=1, batch_size=BATCH, device="cpu", progress=False)
    return time.perf_counter() - began, peak_memory()[1] - before


def power_law(x: Sequence[float], y: Sequence[float]) -> tuple[float, float]:
    """Return scale and exponent of ``y = scale * x ** exponent``, fitted by least squares of the logarithms."""
    exponent, log_scale = np.polyfit(np.log(x), np.log(np.maximum(y, 1e-9)), 1)
    return float(np.exp(log_scale)), float(exponent)


def of_factor(points: Sequence[Point], factor: str) -> tuple[list[int], list[float], list[float]]:
    """Return values, seconds and bytes of the points that vary a factor."""
    chosen = [point for point in points if point.factor == factor]
    return [p.value for p in chosen], [p.seconds for p in chosen], [p.bytes for p in chosen]


def imagenet_minutes(report: Report) -> float:
    """Return the minutes that an epoch of ImageNet would take on eight GPUs, by the fit and by arithmetic alone.

    The seconds of an image are the slope of a straight line: what a training takes to begin bends the power law.
    """
    images, seconds, _ = of_factor(report.points, "images")
    seconds_here = IMAGENET["images"] * float(np.polyfit(images, seconds, 1)[0])
    for factor in ("pixels", "width"):
        values, seconds, _ = of_factor(report.points, factor)
        seconds_here *= (IMAGENET[factor] / BASE[factor]) ** power_law(values, seconds)[1]
    return seconds_here * report.machine.peak / (GPUS * GPU_PEAK) / 60


def laws(report: Report) -> list[list[str]]:
    """Return the rows of a table of the fitted exponents, see `COLUMNS`."""
    rows = []
    for factor in VARIED:
        x, seconds, held = of_factor(report.points, factor)
        exponents = (f"{power_law(x, y)[1]:.2f}" for y in (seconds, held))
        rows.append([factor, ", ".join(f"{value:,}" for value in x), *exponents])
    return rows


def prediction(report: Report) -> str:
    """Say what the laws predict for ImageNet, and what that assumes."""
    images, pixels, width = IMAGENET.values()
    return (
        f"ImageNet ({images:,} images, {math.isqrt(pixels)} px, width {width}) on {GPUS} GPUs of {GPU_PEAK / 1e12:.0f} "
        f"TFLOPS: {imagenet_minutes(report):.2g} minutes an epoch. This is arithmetic from a CPU, not a measurement; "
        "it assumes that the laws go on as fitted, that a GPU reaches the fraction of its peak that this machine "
        f"reaches of its own, that {GPUS} are {GPUS} times as fast as one, and that none waits for images, which are "
        f"{3 * images * pixels / 1e9:.0f} GB as uint8."
    )


def draw(report: Report, path: Path) -> None:
    """Draw seconds and memory against each factor, with the fitted laws, as a picture file."""
    from matplotlib.figure import Figure

    figure: Figure = Figure(figsize=(10, 5), layout="constrained")
    axes = figure.subplots(2, len(VARIED), sharey="row")
    for column, factor in enumerate(VARIED):
        x, seconds, held = of_factor(report.points, factor)
        for row, (y, name) in enumerate(((seconds, "seconds"), ([b / 1e6 for b in held], "MB"))):
            scale, exponent = power_law(x, y)
            axes[row, column].loglog(x, y, "o")
            axes[row, column].loglog(x, [scale * value**exponent for value in x], "-", label=f"exponent {exponent:.2f}")
            axes[row, column].legend()
            axes[row, column].set_xticks(x, [f"{value:,}" for value in x])
            axes[row, column].set_xticks([], minor=True)
            axes[row, 0].set_ylabel(name)
        axes[1, column].set_xlabel(factor)
    figure.savefig(path)
