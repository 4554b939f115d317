"""Training steps, colorizing and every metric on a stand-in accelerator: no device is forgotten, no step waits."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from stand_in import DEVICE, StandIn, stand_in
from torch import Tensor

import labkit as lk
from labkit import metrics
from labkit.experiments.scores import oracle as nearest_bins
from labkit.experiments.scores import validation_scores
from labkit.models import PatchGAN
from labkit.representation import LumaChroma, Representation, make_representation
from labkit.training.gan import discriminator_for, fit_gan, sample

SMALL = {"batch_size": 4, "epochs": 1, "progress": False, "precision": "float32"}
REPRESENTATIONS: list[tuple[str, dict[str, Any]]] = [
    ("rgb", {}),
    ("yuv", {}),
    ("lab", {"alpha": 0.5}),
    ("lab", {"input_gray": "luma"}),
    ("luma-chroma", {}),
    ("luma-chroma", {"form": "printed"}),
    ("ab313", {"rebalance": 0.5, "divide_out": True}),
    ("ab676", {"decode": "sample"}),
    ("ab313", {"decode": "mode", "neighbors": 1}),
    ("rgb24", {"rebalance": 0.5, "decode": "mean"}),
]
IDS = [" ".join([name, *map(str, options.values())]) for name, options in REPRESENTATIONS]


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    with stand_in(monkeypatch) as made:
        yield made


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.randint(0, 256, (16, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def colorizer(representation: Representation, **options: Any) -> lk.Colorizer:
    network = "unet" if representation.predicts_luma else "unet-half"
    return lk.Colorizer(representation, network, width=4, **options)


@pytest.mark.parametrize(("name", "options"), REPRESENTATIONS, ids=IDS)
def test_training_scoring_and_colorizing(
    name: str, options: dict[str, Any], images: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The numbers are those of the CPU, where each tensor was on the device that it had to be on."""
    here, there = (colorizer(make_representation(name, **options)) for _ in range(2))
    expected = here.fit(images, validation=images[:8], device="cpu", **SMALL).rows[-1]["validation_loss"]
    with stand_in(monkeypatch):
        history = there.fit(
            images, validation=images[:8], watch=lambda: validation_scores(there, images[:8]).ours, **SMALL
        )
        assert there.device == DEVICE
        assert history.rows[-1]["validation_loss"] == expected
        assert torch.equal(there(images).cpu(), here(images))
        there.colorize(images[0], working_size=8, flip_average=True)
        assert there.score(images[:4]).ours == here.score(images[:4]).ours
        if oracle := nearest_bins(there):
            metrics.evaluate(oracle, images[:4])


def waits(train: Callable[[Tensor], Any], images: Tensor, device: StandIn) -> int:
    before = len(device.waits)
    train(images)
    return len(device.waits) - before


@pytest.mark.parametrize(("name", "options"), REPRESENTATIONS, ids=IDS)
def test_a_training_step_never_waits_for_the_device(
    name: str, options: dict[str, Any], images: Tensor, device: StandIn
) -> None:
    """Losses are read at the start and the end of an epoch: twice the batches, no more waits."""
    space = make_representation(name, **options)
    space.fit(images)
    model = colorizer(space)
    model.fit(images[:4], **SMALL)  # what is computed once
    counts = [waits(lambda part: model.fit(part, **SMALL), images[:count], device) for count in (8, 16)]
    assert counts[0] == counts[1] > 0


def gan() -> tuple[lk.Colorizer, PatchGAN]:
    model = lk.Colorizer("luma-chroma", "unet-noise", width=4, depth=2, dropout=0.1)
    return model, discriminator_for(model.representation, layers=1, width=4)


def test_a_gan_trains_samples_and_never_waits(images: Tensor, device: StandIn) -> None:
    model, discriminator = gan()

    def train(part: Tensor) -> None:
        fit_gan(model.network, discriminator, model.representation, part, **SMALL)

    assert waits(train, images[:8], device) == waits(train, images, device) > 0
    assert sample(model.network, model.representation, images[:2]).device == DEVICE


# Each metric by name: called with two batches of images on the device.
CALLS: dict[str, Callable[[Tensor, Tensor], Any]] = {
    **{
        name: getattr(metrics, name)
        for name in ("mse", "mae", "psnr", "ssim", "pixel_accuracy", "color_bias", "hue_counts")
    },
    **{name: getattr(metrics, name) for name in ("score", "score_with_gray", "kid", "fid")},
    "balanced_hue_accuracy": metrics.balanced_hue_accuracy,
    "balanced_accuracy": lambda a, b: metrics.balanced_accuracy(metrics.hue_counts(a, b)),
    "colorfulness": lambda a, b: metrics.colorfulness(a),
    "gray_prediction": lambda a, b: metrics.gray_prediction(a),
    "evaluate": lambda a, b: metrics.evaluate(lambda images: images.flip(-1).float() / 255, a.mul(255).byte()),
    "skill": lambda a, b: metrics.skill(0.5, 1.0),
}


def test_every_metric_is_called() -> None:
    functions = {name for name in metrics.__all__ if inspect.isfunction(getattr(metrics, name))}
    assert functions == set(CALLS)


@pytest.mark.parametrize("name", CALLS)
def test_metrics(name: str, device: StandIn) -> None:
    generator = torch.Generator().manual_seed(0)
    one, other = torch.rand(2, 140, 3, 16, 16, generator=generator).to(DEVICE)
    CALLS[name](one, other)


# ------------------------------------------------------------------------------------- the stand-in notices mistakes


def test_a_forgotten_move_is_an_error(images: Tensor, device: StandIn) -> None:
    class Forgetful(LumaChroma):
        """Divides by a tensor that no buffer holds, so that `.to(device)` does not move it."""

        def __init__(self) -> None:
            super().__init__()
            self.scale = torch.full((1, 2, 1, 1), 0.5)

        def encode(self, rgb: Tensor, stride: int = 1) -> tuple[Tensor, Tensor]:
            gray, target = super().encode(rgb, stride)
            return gray, target / self.scale

    with pytest.raises(RuntimeError, match="expected all tensors on one device"):
        colorizer(Forgetful()).fit(images, **SMALL)


@pytest.mark.parametrize(
    "wait",
    [
        lambda loss, target: loss.item(),
        lambda loss, target: bool(loss > 0),
        lambda loss, target: target[target > 0],
        lambda loss, target: target.nonzero(),
        lambda loss, target: int(target.max()),
        lambda loss, target: target.cpu(),
    ],
    ids=["item", "bool", "mask", "nonzero", "int", "cpu"],
)
def test_a_wait_in_a_step_is_counted(wait: Callable[..., Any], images: Tensor, device: StandIn) -> None:
    class Waiting(LumaChroma):
        def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
            loss = super().loss(prediction, target)
            wait(loss.detach(), target)
            return loss

    model = colorizer(Waiting())
    counts = [waits(lambda part: model.fit(part, **SMALL), images[:count], device) for count in (8, 16)]
    assert counts[1] - counts[0] == 2  # one for each of two more batches
