"""Adversarial training, in one visible loop: a generator paints, a discriminator judges, each learns from the other.

The generator is a `Colorizer` with a regression representation, the discriminator a `PatchGAN` that sees the gray image
and a color for it. Settings, batches, half precision and the log are those of `labkit.training.settings`.

Defaults are pix2pix's: Isola, Zhu, Zhou and Efros, Image-to-image translation with conditional adversarial networks,
CVPR 2017. LSGAN is Mao et al., Least squares generative adversarial networks, ICCV 2017.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from labkit.colorizer import Colorizer
from labkit.device import autocast, pick_device, pick_precision
from labkit.errors import LabkitError
from labkit.models import NoisyUNet, PatchGAN, evaluation_mode
from labkit.representation import Regression, upsample
from labkit.training.checkpoint import Checkpoint, optimizer_tensors, restore_optimizer, with_prefix, without_prefix
from labkit.training.settings import (
    History,
    LoopSettings,
    Plan,
    check_images,
    dataset_loss,
    epoch_plan,
    fingerprint,
    logger,
    progress_bar,
    require_finite,
    take_batch,
)

GanLoss = Literal["bce", "lsgan"]
WON = 0.1  # of the loss of a discriminator that knows nothing: below, it has won
CERTAIN = 0.95  # share of the patches that it then judges rightly
SAME = 0.05  # of the spread of the true colors: below, all pictures are painted alike


@dataclass(frozen=True)
class GanSettings(LoopSettings):
    """How to play: pix2pix's settings, but for its batches of one image.

    ``learning_rate`` is both players'; it stays for half of the training and then falls to zero on a straight line.
    """

    epochs: int = 20
    batch_size: int = 16
    learning_rate: float = 2e-4
    gan_loss: GanLoss = "bce"  # the usual loss, or lsgan: squared distances from 1 (real) and 0 (painted)
    lambda_l1: float = 100.0  # weight of the L1 distance from the true color, in the representation's coordinates
    betas: tuple[float, float] = (0.5, 0.999)  # Adam's
    skip_discriminator_above: float | None = (
        None  # the discriminator skips its step while it judges more than this share rightly
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.gan_loss not in get_args(GanLoss):
            raise LabkitError(f"gan_loss must be one of {', '.join(get_args(GanLoss))}. Got {self.gan_loss!r}")
        if not 0 <= self.lambda_l1 < math.inf:
            raise LabkitError(f"lambda_l1 must be zero or more, and finite. Got {self.lambda_l1}")
        if self.skip_discriminator_above is not None and not 0.5 <= self.skip_discriminator_above <= 1:
            got = self.skip_discriminator_above
            raise LabkitError(f"skip_discriminator_above must be an accuracy from 0.5 to 1, or None. Got {got}")


@dataclass
class GanHistory(History):
    """One row an epoch: generator_loss (without L1), l1, discriminator_loss, discriminator_accuracy, variation.

    ``discriminator_accuracy`` is the share of patches, half of them real, that it judged rightly: 0.5 is guessing.
    ``variation`` is how much the painted colors differ from image to image, relative to the true ones.
    ``signs`` of collapse are sentences, each kind the first time it is seen.
    """

    signs: list[str] = field(default_factory=list)


def adversarial_loss(scores: Tensor, real: bool, gan_loss: GanLoss = "bce") -> Tensor:
    """The loss of calling these scores real (or painted), the mean over all patches.

    ``bce``: binary cross-entropy of sigmoid(score), in nats. ``lsgan``: squared distance of the score from 1 (or 0).
    """
    wanted = torch.full_like(scores, float(real))
    return F.binary_cross_entropy_with_logits(scores, wanted) if gan_loss == "bce" else F.mse_loss(scores, wanted)


def discriminator_loss(real_scores: Tensor, fake_scores: Tensor, gan_loss: GanLoss = "bce") -> Tensor:
    """Half of: real judged real, plus painted judged painted. The half is pix2pix's; it slows this player down."""
    return 0.5 * (adversarial_loss(real_scores, True, gan_loss) + adversarial_loss(fake_scores, False, gan_loss))


def generator_loss(fake_scores: Tensor, gan_loss: GanLoss = "bce") -> Tensor:
    """Painted judged *real*: this form still has a slope when the discriminator is sure (Goodfellow et al. 2014)."""
    return adversarial_loss(fake_scores, True, gan_loss)


def uninformed_loss(gan_loss: GanLoss) -> float:
    """`discriminator_loss` of one that knows nothing: ln 2 (it says one half), or .25."""
    return math.log(2) if gan_loss == "bce" else 0.25


def discriminator_for(colorizer: Colorizer, *, layers: int = 2, width: int = 64, seed: int = 0) -> PatchGAN:
    """A fresh discriminator for the colorizer's representation; ``seed`` fixes its first weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return PatchGAN(colorizer.representation.channels, layers=layers, width=width)


def c_dcgan(*, width: int = 64, seed: int = 0) -> tuple[Colorizer, PatchGAN, GanSettings]:
    """The conditional DCGAN of the CIFAR-10 paper ("gan" in the published tables), as far as our source tells.

    Told: a U-Net generator that sees L* and predicts a and b of LAB, a discriminator that is shown the gray image too,
    Adam. Not told, and filled in here from what the name stands for (Radford et al. 2016: strided 4x4 convolutions,
    batch norm, tanh, Adam with 2e-4 and .5) and from pix2pix (lambda 100): the layers, the loss, the weight of L1. No
    source of randomness is told, and none is put in.
    """
    generator = Colorizer.create(
        "lab", "unet", seed=seed, width=width, depth=4, down="strided", up="transposed", output_activation="tanh"
    )
    return generator, discriminator_for(generator, layers=3, width=width, seed=seed), GanSettings(batch_size=64)


def fit(
    colorizer: Colorizer,
    discriminator: PatchGAN,
    train: Tensor,
    *,
    settings: GanSettings | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    progress: bool = True,
    tensorboard: str | Path | None = None,
) -> GanHistory:
    """Trains both networks in place, one step each per batch: first the discriminator, then the generator.

    Args:
        colorizer: the generator; its representation must be a regression. Its network ends in evaluation mode.
        discriminator: for as many color channels as the representation has. A generator at half resolution is judged
            on its enlarged colors.
        train: ``(N, 3, H, W)`` uint8.
        settings: see `GanSettings`.
        out, resume, progress, tensorboard: as in `labkit.training.fit`. Resumed on a CPU, the result is bit-identical
            to that of an uninterrupted run. Signs of collapse are written to standard error, with ``progress``.

    Raises ``LabkitError`` when a loss is no longer finite, the images have another shape or type, the networks do not
    fit each other, or the checkpoint belongs to another run.
    """
    settings = settings or GanSettings()
    check_images(train, "train")
    space, stride = colorizer.representation, colorizer.network.output_stride
    if not isinstance(space, Regression):
        raise LabkitError(f"a GAN's generator paints colors: choose rgb, lab, yuv or luma-chroma. Got {space.name!r}")
    if discriminator.options["color_channels"] != space.channels:
        judges = discriminator.options["color_channels"]
        raise LabkitError(f"the discriminator judges {judges} color channels, {space.name} has {space.channels}")

    device = pick_device(settings.device)
    precision = pick_precision(settings.precision, device)
    images = train.to(device)
    batches = math.ceil(len(images) / settings.batch_size)  # per epoch
    steps = settings.epochs * batches
    painter, critic = _Player.of(colorizer.network, settings, device), _Player.of(discriminator, settings, device)
    scaler = torch.amp.GradScaler(device.type, enabled=precision == "fp16")

    run = _Run(painter, critic, scaler, GanHistory(precision=precision, device=str(device)), torch.zeros(len(SUMS)))
    checkpoint = None
    if out is not None:
        same = {"loop": "adversarial", "discriminator": discriminator.config()}
        checkpoint = Checkpoint(Path(out), fingerprint(colorizer, train, settings, precision) | same)
        if resume:
            checkpoint.read(run.restore)
    history = run.history
    run.sums = run.sums.to(device)
    plan: Plan | None = None
    clock = time.perf_counter() - history.seconds
    saved = time.perf_counter()

    with logger(tensorboard) as log, progress_bar(progress, steps, run.step) as bar, torch.random.fork_rng():
        while run.step < steps:
            epoch, batch = divmod(run.step, batches)
            if batch == 0 or plan is None:
                plan = epoch_plan(epoch, len(images), settings, device)
            torch.manual_seed(settings.seed * 1_000_003 + run.step)  # noise and dropout: the same after a resume
            rate = settings.learning_rate * min(1.0, 2 - 2 * run.step / steps)
            painter.set_rate(rate)
            critic.set_rate(rate)

            rgb = take_batch(images, plan, batch, settings)  # (B, 3, H, W) uint8
            gray, target = space.encode(rgb, stride)
            gray = gray.contiguous(memory_format=torch.channels_last)
            true = upsample(target, gray)
            with autocast(precision, device):
                prediction = painter.network(gray)  # (B, C, h, w)
            prediction = prediction.float()
            painted = upsample(prediction, gray)

            # The discriminator's move. It must not move the generator: hence detach.
            with autocast(precision, device):
                real_scores, fake_scores = critic.network(gray, true), critic.network(gray, painted.detach())
            real_scores, fake_scores = real_scores.float(), fake_scores.float()
            critics_loss = discriminator_loss(real_scores, fake_scores, settings.gan_loss)
            right = _share_right(real_scores, fake_scores, settings.gan_loss)
            if settings.skip_discriminator_above is None or float(right) <= settings.skip_discriminator_above:
                critic.step(critics_loss, scaler)

            # The generator's move, against the discriminator as it is now.
            critic.network.requires_grad_(False)  # its gradients are not needed
            with autocast(precision, device):
                fake_scores = critic.network(gray, painted)
            painters_loss = generator_loss(fake_scores.float(), settings.gan_loss)
            l1 = F.l1_loss(prediction, target)
            painter.step(painters_loss + settings.lambda_l1 * l1, scaler)
            critic.network.requires_grad_(True)
            scaler.update()

            spread = [color.detach().var(dim=0, correction=0).mean() for color in (prediction, target)]
            run.sums += len(rgb) * torch.stack([painters_loss, l1, critics_loss, right, *spread]).detach()
            run.step += 1
            bar.update()
            epoch_done = batch == batches - 1
            if epoch_done or batch % 50 == 0:
                require_finite(float(run.sums.sum()), epoch, batch, settings)
            if epoch_done:
                row = _row(run.sums / len(images), epoch, rate, time.perf_counter() - clock)
                run.sums.zero_()
                history.rows.append(row)
                bar.set_postfix_str(", ".join(f"{k} {v:.4f}" for k, v in row.items() if k.endswith("loss")))
                for sign in run.new_warnings(row, settings.gan_loss):
                    if progress:
                        bar.write(sign, file=sys.stderr)
                log(row, colorizer, train)
            history.seconds = time.perf_counter() - clock
            if checkpoint and (epoch_done or time.perf_counter() - saved >= settings.checkpoint_seconds):
                checkpoint.write(run.tensors(), run.state())
                saved = time.perf_counter()

    colorizer.network.eval()
    discriminator.eval()
    # No batch has looked at what the last step made of the weights.
    last_loss = dataset_loss(colorizer, images[: settings.batch_size])
    require_finite(last_loss, len(history.rows) - 1, batches - 1, settings)
    return history


def collapse_warnings(row: Mapping[str, float], gan_loss: GanLoss = "bce") -> dict[str, str]:
    """What is wrong in an epoch, by kind, in words: one of the players has won, or the generator paints by rote.

    ``row`` is a row of `GanHistory`. Empty for a healthy epoch.
    """
    signs = {}
    if row["discriminator_loss"] < WON * uninformed_loss(gan_loss) and row["discriminator_accuracy"] > CERTAIN:
        signs["discriminator wins"] = (
            "the discriminator separates real from generated almost perfectly: "
            f"accuracy {row['discriminator_accuracy']:.0%}, loss {row['discriminator_loss']:.3g} "
            f"(guessing: {uninformed_loss(gan_loss):.3g}). The generator learns little from it. Try a discriminator of fewer layers or less width, skip_discriminator_above, or a larger "
            "lambda_l1"
        )
    if row["variation"] < SAME:
        signs["no variation"] = (
            f"the generator paints nearly the same color whatever it is shown: from image to image its colors vary by "
            f"{row['variation']:.1%} of what the true ones do. Try a lower learning rate, or a larger lambda_l1"
        )
    return signs


@torch.no_grad()
def sample(colorizer: Colorizer, images: Tensor, seed: int = 0) -> Tensor:
    """Paints pictures with the generator's randomness switched on: other noise (`NoisyUNet`), dropout as in training.

    A network with neither paints the same for every seed. ``images (N, 3, H, W)`` uint8 or float, of which only the
    gray is used; returns rgb ``(N, 3, H, W)`` in [0, 1].
    """
    space, network = colorizer.representation, colorizer.network
    gray = space.gray(images.to(colorizer.device))
    with evaluation_mode(network), _noise(network, seed), torch.random.fork_rng():
        torch.manual_seed(seed)
        for module in network.modules():
            if isinstance(module, nn.Dropout | nn.Dropout2d):
                module.train()
        return space.decode(gray, network(gray).float())


@contextmanager
def _noise(network: nn.Module, seed: int) -> Iterator[None]:
    before = getattr(network, "noise_seed", 0)
    if isinstance(network, NoisyUNet):
        network.noise_seed = seed
    try:
        yield
    finally:
        if isinstance(network, NoisyUNet):
            network.noise_seed = before


def _share_right(real_scores: Tensor, fake_scores: Tensor, gan_loss: GanLoss) -> Tensor:
    """How many patches are on their side of the line between real and painted, of all."""
    line = 0.0 if gan_loss == "bce" else 0.5
    return 0.5 * ((real_scores > line).float().mean() + (fake_scores <= line).float().mean())


SUMS = ("generator_loss", "l1", "discriminator_loss", "discriminator_accuracy", "painted spread", "true spread")


def _row(means: Tensor, epoch: int, rate: float, seconds: float) -> dict[str, float]:
    row = {"epoch": epoch + 1.0} | dict(zip(SUMS, means.tolist(), strict=True))
    painted, true = row.pop("painted spread"), row.pop("true spread")
    return row | {
        "variation": math.sqrt(painted / true) if true > 0 else math.inf,
        "learning_rate": rate,
        "seconds": seconds,
    }


@dataclass
class _Player:
    """A network and its optimizer."""

    network: nn.Module
    optimizer: torch.optim.Optimizer

    @classmethod
    def of(cls, network: nn.Module, settings: GanSettings, device: torch.device) -> _Player:
        network = network.to(device=device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        parameters = network.parameters()
        fused = device.type != "mps"
        return cls(network, torch.optim.Adam(parameters, settings.learning_rate, settings.betas, fused=fused))

    def set_rate(self, rate: float) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    def step(self, loss: Tensor, scaler: torch.amp.GradScaler) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        scaler.scale(loss).backward()
        scaler.step(self.optimizer)

    def tensors(self) -> dict[str, Tensor]:
        return with_prefix("network.", self.network.state_dict()) | with_prefix(
            "optimizer.", optimizer_tensors(self.optimizer)
        )

    def restore(self, tensors: Mapping[str, Tensor], param_groups: object) -> None:
        self.network.load_state_dict(without_prefix("network.", tensors))
        restore_optimizer(self.optimizer, without_prefix("optimizer.", tensors), param_groups)


@dataclass
class _Run:
    """Everything that a checkpoint holds."""

    painter: _Player
    critic: _Player
    scaler: torch.amp.GradScaler
    history: GanHistory
    sums: Tensor  # of the epoch under way, by SUMS
    step: int = 0
    seen: list[str] = field(default_factory=list)  # kinds of signs of collapse

    def new_warnings(self, row: Mapping[str, float], gan_loss: GanLoss) -> list[str]:
        """Notes the signs of kinds not seen before, and returns them."""
        new = {kind: text for kind, text in collapse_warnings(row, gan_loss).items() if kind not in self.seen}
        self.seen += new
        signs = [f"epoch {row['epoch']:.0f}: {text}" for text in new.values()]
        self.history.signs += signs
        return signs

    def tensors(self) -> dict[str, Tensor]:
        both = with_prefix("painter.", self.painter.tensors()) | with_prefix("critic.", self.critic.tensors())
        return both | {"sums": self.sums}

    def state(self) -> dict[str, object]:
        return {
            "painter": self.painter.optimizer.state_dict()["param_groups"],
            "critic": self.critic.optimizer.state_dict()["param_groups"],
            "scaler": self.scaler.state_dict(),
            "history": asdict(self.history),
            "step": self.step,
            "seen": self.seen,
        }

    def restore(self, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
        self.painter.restore(without_prefix("painter.", tensors), state["painter"])
        self.critic.restore(without_prefix("critic.", tensors), state["critic"])
        self.scaler.load_state_dict(state["scaler"])
        self.history = GanHistory(**state["history"])
        self.sums, self.step, self.seen = tensors["sums"], int(state["step"]), list(state["seen"])
