"""Every number that a public function takes is checked where it enters: nothing out of range gives a silent result."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

from labkit import Colorizer, LabkitError
from labkit.analysis import leakage
from labkit.data import load, toyworld
from labkit.data.dataset import resize
from labkit.grading.grade import grade
from labkit.metrics import pixel, scores, sets
from labkit.models import NETWORKS, PatchGAN, make_network
from labkit.options import FitSettings, GanSettings, TrainOptions
from labkit.plots import bars, compare, curves, image_grid, subplots, swatches
from labkit.plots.display import to_image
from labkit.quantize import ab313, check_decoding, fit_rgb, rebalancing_weights
from labkit.representation import make_representation
from labkit.training.batches import dataset_loss

GRAY = torch.rand(2, 1, 8, 8)
RGB = torch.rand(4, 3, 16, 16)
AB = torch.zeros(1, 2, 2, 2)
UINT8 = torch.zeros(4, 3, 16, 16, dtype=torch.uint8)
PIXELS = [(1, 1)]
MODEL = Colorizer("luma-chroma", "unet-half", width=4)

# what takes it, the argument's name, whether it is a whole number, the values just outside of its range
Case = tuple[Callable[..., Any], str, bool, tuple[float, ...]]


def of(call: Callable[..., Any], whole: bool, *outside: float, **arguments: Any) -> Iterator[Case]:
    """One case for each of the arguments named by ``arguments`` with a value that is right."""
    for name in arguments:
        yield call, name, whole, outside


CASES: list[Case] = [
    *of(lambda **k: load("toyworld", "test", **{"limit": 2, **k}), True, -1, size=32, seed=0),
    *of(lambda **k: load("toyworld", "test", **k), True, 0, -1, limit=2),
    *of(lambda **k: load("folder", "test", root=".", **k), False, -0.1, 1.1, min_saturation=0.5),
    *of(lambda **k: toyworld.generate(**{"count": 1, **k}), True, -1, count=1, seed=0),
    *of(lambda **k: toyworld.generate(1, **k), True, 31, 257, size=32),
    *of(
        lambda **k: toyworld.bin_posterior(toyworld.generate(1), make_representation("ab313"), **k),
        True,
        0,
        3,
        stride=1,
    ),
    *of(lambda **k: resize(UINT8, **k), True, 0, 4097, size=8),
    *of(lambda **k: MODEL.colorize(RGB[0], **k), True, -1, working_size=8),
    *of(lambda **k: Colorizer("lab", "cnn", **{"width": 4, **k}), True, -1, 2**32, seed=0),
    *of(lambda **k: Colorizer("lab", "cnn", width=4, **k), False, -0.1, 1.1, alpha=0.5),
    *of(lambda **k: FitSettings(**k), True, 0, epochs=1, batch_size=1, patience=1),
    *of(lambda **k: FitSettings(**k), False, 0, learning_rate=1, grad_clip=1),
    *of(lambda **k: FitSettings(**k), False, -1, weight_decay=0, checkpoint_seconds=0),
    *of(lambda **k: FitSettings(**k), False, -1, 181, rotation=1),
    *of(lambda **k: FitSettings(**k), True, -1, 2**32, seed=1),
    *of(lambda **k: GanSettings(**k), False, -1, lambda_l1=0),
    *of(lambda **k: GanSettings(**k), False, 0.4, 1.1, skip_discriminator_above=0.5),
    *of(lambda **k: TrainOptions(**k), True, 0, limit=1, size=1, width=1, epochs=1),
    *of(lambda **k: TrainOptions(**k), False, -0.1, 1.1, alpha=0.5),
    *of(
        lambda **k: make_network("unet", 2, **k),
        True,
        0,
        width=4,
        depth=2,
        max_width=4,
        convolutions=1,
        up_convolutions=1,
    ),
    *of(lambda **k: make_network("unet", 2, width=4, **k), False, -0.1, 1, dropout=0.5),
    *of(lambda **k: make_network("unet", 2, width=4, **k), True, 0, 3, output_stride=1),
    *of(lambda **k: make_network("unet-noise", 2, width=4, **k), True, 0, noise=1),
    *of(lambda **k: PatchGAN(**{"color_channels": 2, "width": 4, **k}), True, 0, color_channels=2, layers=1, width=4),
    *of(lambda **k: pixel.pixel_accuracy(RGB, RGB, **k), False, -0.1, 1.1, threshold=0.1),
    *of(lambda **k: scores.evaluate(MODEL, UINT8, **k), True, 0, -1, batch_size=2),
    *of(lambda **k: sets.kid(RGB, RGB, lambda x: x.flatten(1), **k), True, 1, -1, subsets=2),
    *of(lambda **k: sets.kid(RGB, RGB, lambda x: x.flatten(1), **k), True, -1, 2**32, seed=2),
    *of(lambda **k: ab313().soft_encode(AB, **k), True, 0, 314, neighbors=1),
    *of(lambda **k: ab313().soft_encode(AB, **k), False, 0, -1, sigma=1),
    *of(lambda **k: ab313().smooth(torch.full((313,), 1 / 313), **k), False, 0, -1, sigma=1),
    *of(lambda **k: check_decoding("annealed", **k), False, 0, -1, temperature=1),
    *of(lambda **k: fit_rgb(RGB, **{"bins": 2, **k}), True, 1, -1, bins=2),
    *of(lambda **k: fit_rgb(RGB, bins=2, **k), True, -1, 2**32, seed=0),
    *of(lambda **k: rebalancing_weights(torch.ones(4) / 4, **k), False, -0.1, 1.1, mix=0.5),
    *of(lambda **k: make_representation("ab313", **k), True, 0, 314, neighbors=1),
    *of(lambda **k: make_representation("ab313", **k), False, 0, temperature=1, sigma=1),
    *of(lambda **k: make_representation("ab313", **k), False, -0.1, 1.1, rebalance=0.5),
    *of(lambda **k: make_representation("ab313", **k), True, -1, 2**32, seed=0),
    *of(lambda **k: make_representation("rgb").encode(RGB, **k), True, 0, -1, stride=1),
    *of(lambda **k: dataset_loss(MODEL.network, MODEL.representation, UINT8, **k), True, 0, -1, batch_size=2),
    *of(lambda **k: leakage.jacobian(MODEL.network, GRAY, PIXELS, **k), True, 0, -1, chunk_size=1),
    *of(lambda **k: leakage.rings(PIXELS, (8, 8), **k), True, 0, -1, stride=1),
    *of(lambda **k: leakage.flat_beside_texture(**{"count": 1, **k}), True, 0, -1, count=1),
    *of(lambda **k: leakage.flat_beside_texture(1, **k), True, 7, size=8),
    *of(lambda **k: leakage.flat_beside_texture(1, **k), True, -1, 2**32, seed=0),
    *of(lambda **k: leakage.flat_mask(GRAY, **k), False, -1, tolerance=0),
    *of(lambda **k: subplots(**k), True, 0, -1, rows=1, columns=1),
    *of(lambda **k: subplots(**k), False, 0, -1, width=1, height=1),
    *of(lambda **k: curves({"a": [1, 2]}, **k), False, 0, -1, width=1, height=1),
    *of(lambda **k: image_grid({"a": RGB}, **k), False, 0, -1, scale=1),
    *of(lambda **k: compare(RGB[:1], RGB[:1], **k), False, 0, -1, scale=1),
    *of(lambda **k: swatches(torch.rand(3, 3), **k), False, 0, -1, scale=1),
    *of(lambda **k: to_image(bars({"a": 1.0}), **k), True, 0, -1, max_bytes=10**6),
    *of(lambda **k: grade("00", ".", out="grades", **k), True, 0, -1, jobs=1),
    *of(lambda **k: grade("00", ".", out="grades", **k), True, -1, seed=1),
    *of(lambda **k: grade("00", ".", out="grades", **k), False, 0, -1, timeout=1),
]


@pytest.mark.parametrize(
    ("call", "name", "whole", "outside"), CASES, ids=[f"{i}-{case[1]}" for i, case in enumerate(CASES)]
)
def test_what_is_out_of_range_or_no_number_is_refused(
    call: Callable[..., Any], name: str, whole: bool, outside: tuple[float, ...]
) -> None:
    wrong: list[Any] = [*outside, math.nan, math.inf, -math.inf, "1", True, [1], np.float32(math.nan)]
    wrong += [1.5, 2.0] if whole else []
    for value in wrong:
        with pytest.raises((LabkitError, TypeError)) as caught:
            call(**{name: value})
        said = str(caught.value)
        assert name.replace("layers", "layer").split("_")[0] in said and "\n" not in said, f"{value!r}: {said}"


@pytest.mark.parametrize("working_size", [8, np.int64(8), torch.tensor(8)])
def test_numbers_of_other_libraries_are_numbers(working_size: Any) -> None:
    assert torch.equal(MODEL.colorize(RGB[0], working_size=working_size), MODEL.colorize(RGB[0], working_size=8))
    assert FitSettings(epochs=np.int32(3), learning_rate=np.float32(0.5)) == FitSettings(epochs=3, learning_rate=0.5)


def test_working_size_0_means_the_full_size_in_the_library_and_in_the_command() -> None:
    assert torch.equal(MODEL.colorize(RGB[0], working_size=0), MODEL.colorize(RGB[0], working_size=None))


def test_every_network_refuses_a_width_of_nothing() -> None:
    for name in NETWORKS:
        for arguments in ({"out_channels": 0}, {"out_channels": 2, "width": 0}, {"out_channels": 2, "width": 1.5}):
            with pytest.raises((LabkitError, TypeError), match="width|out_channels"):
                make_network(name, **arguments)
