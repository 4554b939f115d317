"""The GAN: each step lowers its loss, runs repeat to the bit and go on after a kill, collapse is warned of."""

import copy
import dataclasses
import itertools
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from labkit import LabkitError, artifacts
from labkit.colorizer import Colorizer
from labkit.models import PatchGAN
from labkit.options import GanSettings
from labkit.training import checkpoint as checkpoint_module
from labkit.training import gan as adversarial
from labkit.training.gan import (
    collapse_warnings,
    discriminator_for,
    discriminator_loss,
    fit_gan,
    generator_loss,
    sample,
    uninformed_loss,
)
from labkit.training.session import History

SETTINGS = GanSettings(
    epochs=3, batch_size=8, learning_rate=1e-3, lambda_l1=1.0, seed=5, precision="float32", device="cpu"
)


def train(
    colorizer: Colorizer,
    discriminator: PatchGAN,
    images: Tensor,
    *,
    settings: GanSettings = SETTINGS,
    progress: bool = False,
    **how: Any,
) -> History:
    options = vars(settings) | how
    return fit_gan(colorizer.network, discriminator, colorizer.representation, images, progress=progress, **options)


LOSSES = ("bce", "lsgan")


def pictures(count: int, seed: int = 0) -> Tensor:
    """Left red and right blue, or the other way round, which the gray shows; brightness random."""
    generator = torch.Generator().manual_seed(seed)
    light = torch.randint(60, 180, (count, 1, 1, 1), generator=generator)
    side = (torch.arange(16) >= 8).expand(count, 1, 16, 16) ^ (torch.rand(count, 1, 1, 1, generator=generator) < 0.5)
    red, blue = torch.tensor([60, 0, -40]).view(3, 1, 1), torch.tensor([-40, 0, 60]).view(3, 1, 1)
    return (light + torch.where(side, blue, red) + torch.where(side, 20, -20)).clamp(0, 255).to(torch.uint8)


def networks(network: str = "unet", **options: Any) -> tuple[Colorizer, PatchGAN]:
    colorizer = Colorizer("luma-chroma", network, width=4, depth=2, **options)
    return colorizer, discriminator_for(colorizer.representation, layers=1, width=4)


def weights(*networks: torch.nn.Module) -> Tensor:
    return torch.cat([t.flatten().double() for network in networks for t in network.state_dict().values()])


# ------------------------------------------------------------------------------------------------ the losses


@pytest.mark.parametrize("gan_loss", LOSSES)
def test_losses_in_closed_form(gan_loss: Any) -> None:
    real, fake = torch.randn(2, 4, 1, 6, 6).double()
    if gan_loss == "bce":
        p, q = real.sigmoid(), fake.sigmoid()
        expected = -(p.log().mean() + (1 - q).log().mean()) / 2, -q.log().mean()
    else:
        expected = ((real - 1).square().mean() + fake.square().mean()) / 2, (fake - 1).square().mean()
    assert discriminator_loss(real, fake, gan_loss) == pytest.approx(float(expected[0]))
    assert generator_loss(fake, gan_loss) == pytest.approx(float(expected[1]))
    nothing_known = torch.full((3, 1), 0.0 if gan_loss == "bce" else 0.5)
    assert float(discriminator_loss(nothing_known, nothing_known, gan_loss)) == pytest.approx(uninformed_loss(gan_loss))


@pytest.mark.parametrize("gan_loss", LOSSES)
@pytest.mark.parametrize("network", ["unet", "unet-half"])
def test_each_networks_step_lowers_its_own_loss_on_the_same_batch(gan_loss: Any, network: str) -> None:
    images = pictures(12)
    settings = dataclasses.replace(
        SETTINGS, epochs=1, batch_size=12, gan_loss=gan_loss, flips=False, learning_rate=2e-4
    )
    colorizer, discriminator = networks(network)
    old_generator, old_discriminator = copy.deepcopy(colorizer.network).train(), copy.deepcopy(discriminator).train()
    train(colorizer, discriminator, images, settings=settings)  # one step each
    new_generator, new_discriminator = colorizer.network.train(), discriminator.train()

    gray, target = colorizer.representation.encode(images, colorizer.network.output_stride)

    def large(color: Tensor) -> Tensor:
        return adversarial.upsample(color, gray)

    @torch.no_grad()
    def discriminators_loss(discriminator: torch.nn.Module) -> float:
        painted = large(old_generator(gray))
        return float(discriminator_loss(discriminator(gray, large(target)), discriminator(gray, painted), gan_loss))

    @torch.no_grad()
    def generators_loss(generator: torch.nn.Module) -> float:
        prediction = generator(gray)
        return float(
            generator_loss(new_discriminator(gray, large(prediction)), gan_loss)
            + settings.lambda_l1 * F.l1_loss(prediction, target)
        )

    assert discriminators_loss(new_discriminator) < discriminators_loss(old_discriminator)
    assert generators_loss(new_generator) < generators_loss(old_generator)


def test_it_learns_and_says_nothing_of_collapse() -> None:
    colorizer, discriminator = networks()
    images = pictures(64)
    before = F.l1_loss(colorizer(images), images / 255)
    history = train(colorizer, discriminator, images, settings=dataclasses.replace(SETTINGS, epochs=30, lambda_l1=10.0))
    assert F.l1_loss(colorizer(images), images / 255) < 0.5 * before
    assert history.warnings == {}
    assert [row["epoch"] for row in history.rows] == list(range(1, 31))
    assert {"generator_loss", "l1", "discriminator_loss", "discriminator_accuracy", "variation"} <= set(history.rows[0])
    rates = [row["learning_rate"] for row in history.rows]
    assert rates[0] == rates[14] == SETTINGS.learning_rate and rates[-1] == pytest.approx(rates[0] / 120)  # 8 batches
    assert not colorizer.network.training and not discriminator.training


def test_lambda_zero_trains_without_the_true_color() -> None:
    """Of two generators in one GAN, the one with L1 ends nearer to the true colors."""
    ends = []
    for weight in (0.0, 100.0):
        colorizer, discriminator = networks()
        settings = dataclasses.replace(SETTINGS, epochs=10, lambda_l1=weight)
        ends.append(train(colorizer, discriminator, pictures(32), settings=settings).rows[-1]["l1"])
    assert ends[1] < ends[0]


# ------------------------------------------------------------------------------------------------ resume


class Killed(BaseException):
    """Stands for kill -9 right after a checkpoint."""


@pytest.mark.parametrize("kill_at", [1, 4, 8])
@pytest.mark.parametrize("network", ["unet-noise", "unet-half"])
def test_resumed_anywhere_it_ends_with_the_same_bits(tmp_path: Path, monkeypatch, kill_at: int, network: str) -> None:
    settings = dataclasses.replace(
        SETTINGS, checkpoint_seconds=0.0, skip_discriminator_above=0.6
    )  # a checkpoint after every step
    data = pictures(20)

    def play(seed: int, **how: Any) -> tuple[Tensor, Any]:
        colorizer, discriminator = networks(network, seed=seed, dropout=0.2)
        history = train(colorizer, discriminator, data, settings=settings, **how)
        return weights(colorizer.network, discriminator), history

    expected, whole = play(0)
    writes = itertools.count(1)

    def dying_write(path: Path, content: bytes) -> None:
        artifacts.write_bytes(path, content)
        if next(writes) == kill_at:
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(checkpoint_module, "write_bytes", dying_write)
        with pytest.raises(Killed):
            play(0, out=tmp_path)

    resumed, history = play(77, out=tmp_path, resume=True)  # other first weights: all must come from the checkpoint
    assert torch.equal(resumed, expected)
    for ours, theirs in zip(history.rows, whole.rows, strict=True):
        assert {k: v for k, v in ours.items() if k != "seconds"} == {k: v for k, v in theirs.items() if k != "seconds"}


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    data, settings = pictures(8), dataclasses.replace(SETTINGS, epochs=1)
    train(*networks(), data, settings=settings, out=tmp_path)
    other = dataclasses.replace(settings, lambda_l1=2.0)
    with pytest.raises(LabkitError, match="lambda_l1 was 1.0, now 2.0"):
        train(*networks(), data, settings=other, out=tmp_path, resume=True)
    with pytest.raises(LabkitError, match="belongs to another run"):
        networks()[0].fit(data, out=tmp_path, resume=True, progress=False)


# ------------------------------------------------------------------------------------------------ collapse

HEALTHY = {"epoch": 3.0, "discriminator_loss": 0.6, "discriminator_accuracy": 0.7, "variation": 0.8}


@pytest.mark.parametrize(
    ("gan_loss", "change", "kinds"),
    [
        ("bce", {}, set()),
        ("bce", {"discriminator_loss": 0.01, "discriminator_accuracy": 0.999}, {"discriminator too good"}),
        ("lsgan", {"discriminator_loss": 0.2}, set()),
        ("lsgan", {"discriminator_loss": 0.005, "discriminator_accuracy": 0.99}, {"discriminator too good"}),
        ("bce", {"variation": 0.01}, {"no variation"}),
        ("bce", {"variation": math.nan}, set()),  # one image a batch: not known
    ],
)
def test_collapse_is_warned_of(gan_loss: Any, change: dict[str, float], kinds: set[str]) -> None:
    found = collapse_warnings(HEALTHY | change, gan_loss)
    assert set(found) == kinds
    assert all("Try" in text for text in found.values())


def test_a_generator_without_variation_is_noticed(capsys: pytest.CaptureFixture[str]) -> None:
    colorizer, discriminator = networks()
    colorizer.network.output[0].weight.data.zero_()  # type: ignore[union-attr, index, operator]
    settings = dataclasses.replace(SETTINGS, epochs=2, learning_rate=1e-9)
    history = train(colorizer, discriminator, pictures(16), settings=settings, progress=True)
    [warning] = history.warnings.values()
    assert warning.startswith("epoch 1: the generator predicts nearly the same color")
    assert warning in capsys.readouterr().err


def test_a_discriminator_that_is_too_good_is_noticed() -> None:
    colorizer, discriminator = networks()
    colorizer.network.requires_grad_(False)  # it paints noise and cannot learn: easily told from true colors
    colorizer.network.output[0].weight.data.mul_(30)  # type: ignore[union-attr, index, operator]
    colorizer.network.output[0].bias.requires_grad_(True)  # type: ignore[union-attr, index]
    settings = dataclasses.replace(SETTINGS, epochs=12, learning_rate=5e-3)
    history = train(colorizer, discriminator, pictures(32), settings=settings)
    assert "discriminator too good" in history.warnings


def test_a_loss_that_is_not_finite_stops_training() -> None:
    colorizer, discriminator = networks()
    next(discriminator.parameters()).data.fill_(float("nan"))
    with pytest.raises(LabkitError, match=r"the loss is nan in epoch 1, batch 1: training stopped.*learning rate"):
        train(colorizer, discriminator, pictures(8), settings=SETTINGS)


def test_a_skipped_discriminator_does_not_change() -> None:
    colorizer, discriminator = networks()
    discriminator.convolutions[-1].bias.data.fill_(5.0)  # type: ignore[operator, union-attr]  # calls all real: right half of the time
    before = [p.clone() for p in discriminator.parameters()]
    settings = dataclasses.replace(SETTINGS, epochs=1, batch_size=8, learning_rate=1e-4)
    train(
        colorizer,
        discriminator,
        pictures(8),
        settings=dataclasses.replace(settings, skip_discriminator_above=0.5),
    )
    moved = [not torch.equal(a, b) for a, b in zip(before, discriminator.parameters(), strict=True)]
    assert all(moved)  # half is not above one half

    discriminator.convolutions[-1].weight.data.mul_(0)  # type: ignore[operator, union-attr]
    discriminator.convolutions[-1].bias.data.fill_(-5.0)  # type: ignore[operator, union-attr]
    before = [p.clone() for p in discriminator.parameters()]
    monkey = pytest.MonkeyPatch()
    with monkey.context() as patched:
        patched.setattr(adversarial, "_accuracy", lambda *scores: torch.tensor(0.9))
        train(
            colorizer,
            discriminator,
            pictures(8),
            settings=dataclasses.replace(settings, skip_discriminator_above=0.8),
        )
    assert all(torch.equal(a, b) for a, b in zip(before, discriminator.parameters(), strict=True))


# ------------------------------------------------------------------------------------------------ the rest


def test_sampling_varies_noise_and_dropout_only() -> None:
    images = pictures(4)
    for network, options, varies in [("unet-noise", {}, True), ("unet", {"dropout": 0.5}, True), ("unet", {}, False)]:
        colorizer, _ = networks(network, **options)
        state = torch.get_rng_state()
        one, again, other = (sample(colorizer.network, colorizer.representation, images, seed) for seed in (1, 1, 2))
        assert torch.equal(state, torch.get_rng_state())
        assert torch.equal(one, again) and one.shape == (4, 3, 16, 16)
        assert torch.equal(one, other) is not varies
        assert torch.equal(colorizer(images), colorizer(images))


def test_the_papers_settings() -> None:
    assert (GanSettings().learning_rate, GanSettings().betas, GanSettings().lambda_l1) == (2e-4, (0.5, 0.999), 100)


def test_networks_that_do_not_fit_are_refused() -> None:
    colorizer, discriminator = networks()
    with pytest.raises(LabkitError, match="a GAN needs a regression"):
        train(Colorizer("ab313", "unet", width=2), discriminator, pictures(4))
    with pytest.raises(LabkitError, match="takes 3 color channels, luma-chroma has 2"):
        train(colorizer, PatchGAN(3, layers=1, width=4), pictures(4))
    for wrong in ({"gan_loss": "chess"}, {"lambda_l1": -1.0}, {"skip_discriminator_above": 0.3}, {"epochs": 0}):
        with pytest.raises(LabkitError, match="Got"):
            GanSettings(**wrong)  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------ without adversary


def test_a_weight_of_zero_trains_the_generator_alone() -> None:
    """Then the discriminator cannot matter: another one leaves the same generator behind."""
    images = pictures(24)
    found = []
    for lambda_gan, width in ((0.0, 4), (0.0, 8), (1.0, 4), (1.0, 8)):
        colorizer, _ = networks()
        other = discriminator_for(colorizer.representation, layers=1, width=width)
        train(colorizer, other, images, settings=dataclasses.replace(SETTINGS, lambda_gan=lambda_gan))
        found.append(weights(colorizer.network))
    assert torch.equal(found[0], found[1]) and not torch.equal(found[2], found[3])


def test_patience_keeps_the_best_generator() -> None:
    images, held_out = pictures(24), pictures(16, seed=1)
    colorizer, discriminator = networks()
    watched = iter(range(100))
    history = train(
        colorizer,
        discriminator,
        images,
        settings=dataclasses.replace(SETTINGS, epochs=40, learning_rate=0.02, patience=2, lambda_l1=100.0),
        validation=held_out,
        watch=lambda: {"watched": float(next(watched))},
    )
    losses = [row["validation_loss"] for row in history.rows]
    best = losses.index(min(losses))
    assert history.stopped_early and len(losses) == best + 3
    assert [row["watched"] for row in history.rows] == list(range(len(losses)))
    space = colorizer.representation
    gray, target = space.encode(held_out)
    with torch.no_grad():
        assert float(space.loss(colorizer.network(gray), target)) == pytest.approx(losses[best], rel=1e-4)


def test_patience_needs_validation_images() -> None:
    colorizer, discriminator = networks()
    with pytest.raises(LabkitError, match="patience needs validation images"):
        train(colorizer, discriminator, pictures(8), patience=2)
