"""Adversarial training: a generator predicts color, a discriminator separates it from true color.

The generator is a network with a regression representation, the discriminator a `PatchGAN` that is given the gray image
and a color for it. What is not learning (clock, seeds, checkpoint, progress bar, log) is done by
`labkit.training.session`.

Defaults are pix2pix's: Isola, Zhu, Zhou and Efros, Image-to-image translation with conditional adversarial networks,
CVPR 2017. LSGAN is Mao et al., Least squares generative adversarial networks, ICCV 2017.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from labkit.color import HasImages, image_tensor
from labkit.errors import LabkitError, check_seed
from labkit.models import Network, NoisyUNet, PatchGAN, evaluation_mode
from labkit.options import GanLoss, GanSettings, make_options, takes
from labkit.representation import Regression, Representation, upsample
from labkit.training.batches import dataset_loss, digest, training_images
from labkit.training.distributed import processes
from labkit.training.session import History, Session

LOW_LOSS = 0.1  # times `uninformed_loss`: a discriminator below separates real from generated
HIGH_ACCURACY = 0.95  # of the discriminator, beside such a loss
LOW_VARIATION = 0.05  # of the spread of the true colors: below, all images get the same color


def adversarial_loss(scores: Tensor, real: bool, gan_loss: GanLoss = "bce") -> Tensor:
    """Return the loss of scores that should say real (or generated): the mean over all patches.

    Args:
        scores: of the discriminator, any shape.
        real: what they should say.
        gan_loss: ``bce``: binary cross-entropy of sigmoid(score), in nats. ``lsgan``: squared distance of the score
            from 1 (or 0).
    """
    wanted = torch.full_like(scores, float(real))
    return F.binary_cross_entropy_with_logits(scores, wanted) if gan_loss == "bce" else F.mse_loss(scores, wanted)


def discriminator_loss(real_scores: Tensor, fake_scores: Tensor, gan_loss: GanLoss = "bce") -> Tensor:
    """Return half of: the loss of calling real colors real, plus that of calling generated ones generated.

    The half is pix2pix's; it slows the discriminator down.
    """
    return 0.5 * (adversarial_loss(real_scores, True, gan_loss) + adversarial_loss(fake_scores, False, gan_loss))


def generator_loss(fake_scores: Tensor, gan_loss: GanLoss = "bce") -> Tensor:
    """Return the loss of generated colors that are not called real.

    This form still has a gradient when the discriminator is sure (Goodfellow et al. 2014).
    """
    return adversarial_loss(fake_scores, True, gan_loss)


def uninformed_loss(gan_loss: GanLoss) -> float:
    """Return the `discriminator_loss` of a discriminator that guesses: ln 2 (it says one half), or .25."""
    return math.log(2) if gan_loss == "bce" else 0.25


def discriminator_for(representation: Representation, *, layers: int = 2, width: int = 64, seed: int = 0) -> PatchGAN:
    """Make a discriminator for a representation's colors; ``seed`` fixes its first weights."""
    seed = check_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return PatchGAN(representation.channels, layers=layers, width=width)


@takes(GanSettings)
def fit_gan(
    generator: Network,
    discriminator: PatchGAN,
    representation: Representation,
    images: Tensor | HasImages,
    *,
    validation: Tensor | HasImages | None = None,
    watch: Callable[[], Mapping[str, float]] | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    progress: bool = True,
    tensorboard: str | Path | None = None,
    **options: Any,
) -> History:
    """Train both networks in place, one step each per batch: first the discriminator, then the generator.

    A row of the history has generator_loss (without L1), l1, discriminator_loss; discriminator_accuracy, the fraction
    of patches, half of them real, that it classifies correctly (0.5 is guessing); and variation: how much the generated
    colors differ from image to image, relative to the true ones. Warnings of collapse are in ``history.warnings``.

    Args:
        generator: afterwards in evaluation mode, as the discriminator.
        discriminator: for as many color channels as the representation has. For a generator at half resolution it is
            shown the enlarged colors.
        representation: a regression.
        images: a `Dataset`, or a tensor ``(N, 3, H, W)`` uint8.
        validation: images on which the representation's own loss, without an adversary, is recorded each epoch. With
            ``patience`` training stops when it no longer falls, and the generator of the best epoch is kept.
        watch: is called after each epoch for more numbers, which join the epoch's row.
        out: folder of the checkpoint, as in `labkit.training.fit`.
        resume: continue from it. On a CPU the result is bit-identical to that of an uninterrupted run.
        progress: show a progress bar on standard error, and warnings of collapse.
        tensorboard: folder for TensorBoard logs.
        **options: see `labkit.options.GanSettings`.

    Returns: the history, one row per epoch.

    Raises:
        LabkitError: a loss is not finite, the images have another shape or type, the networks do not fit each other,
            or the checkpoint belongs to another run.
        TypeError: unknown option.
    """
    settings = make_options(GanSettings, options)
    if (count := processes()) > 1:
        raise LabkitError(f"a GAN is trained by one process. Got {count}: start it without torchrun")
    images = training_images(images)
    held_out = None if validation is None else training_images(validation, "validation")
    if settings.patience is not None and held_out is None:
        raise LabkitError("patience needs validation images. Pass validation=, or patience=None")
    _check_pair(discriminator, representation)
    session = Session(
        settings,
        images,
        representation,
        {"generator": generator, "discriminator": discriminator},
        out=out,
        resume=resume,
        progress=progress,
        tensorboard=tensorboard,
        fingerprint={} if held_out is None else {"validation images": digest(held_out)},
        patience=settings.patience,
    )

    def after_epoch() -> dict[str, float]:
        lost = {} if held_out is None else {"validation_loss": dataset_loss(generator, representation, held_out)}
        return lost | dict(watch() if watch else {})

    _learn(session, settings, generator, discriminator, representation, after_epoch)
    return session.history


def _learn(
    session: Session,
    settings: GanSettings,
    generator: Network,
    discriminator: PatchGAN,
    representation: Representation,
    after_epoch: Callable[[], dict[str, float]],
) -> None:
    rate, betas, fused = settings.learning_rate, settings.betas, session.device.type != "mps"
    optimizer_g = torch.optim.Adam(generator.parameters(), rate, betas, fused=fused)
    optimizer_d = torch.optim.Adam(discriminator.parameters(), rate, betas, fused=fused)
    scaler, gan_loss, threshold = session.scaler, settings.gan_loss, settings.skip_discriminator_above

    with session.keep(optimizer_g=optimizer_g, optimizer_d=optimizer_d):
        for rgb in session.batches():  # (B, 3, H, W) uint8
            rate = settings.learning_rate * min(1.0, 2 - 2 * session.step / session.steps)
            for group in (*optimizer_g.param_groups, *optimizer_d.param_groups):
                group["lr"] = rate
            gray, target = representation.encode(rgb, generator.output_stride)
            gray = gray.contiguous(memory_format=torch.channels_last)
            true = upsample(target, gray)
            with session.autocast():
                prediction = generator(gray)  # (B, C, h, w)
            prediction = prediction.float()
            generated = upsample(prediction, gray)

            # The discriminator's step. It must not change the generator: hence detach.
            with session.autocast():
                real_scores, fake_scores = discriminator(gray, true), discriminator(gray, generated.detach())
            loss_d = discriminator_loss(real_scores.float(), fake_scores.float(), gan_loss)
            accuracy = _accuracy(real_scores.float(), fake_scores.float(), gan_loss)
            if threshold is None or float(accuracy) <= threshold:  # with this option every step waits for the device
                optimizer_d.zero_grad(set_to_none=True)
                scaler.scale(loss_d).backward()
                scaler.step(optimizer_d)

            # The generator's step, against the discriminator as it is now.
            discriminator.requires_grad_(False)  # its gradients are not needed
            with session.autocast():
                fake_scores = discriminator(gray, generated)
            loss_g, l1 = generator_loss(fake_scores.float(), gan_loss), F.l1_loss(prediction, target)
            optimizer_g.zero_grad(set_to_none=True)
            scaler.scale(settings.lambda_gan * loss_g + settings.lambda_l1 * l1).backward()
            scaler.step(optimizer_g)
            discriminator.requires_grad_(True)
            scaler.update()

            losses = {"generator_loss": loss_g, "l1": l1, "discriminator_loss": loss_d}
            spreads = {"generated_spread": _spread(prediction), "true_spread": _spread(target)}
            session.record(**losses, discriminator_accuracy=accuracy, **spreads)
            if session.epoch_ended:
                row = _epoch_row(session.means())
                session.warn(collapse_warnings(row, gan_loss))
                session.end_epoch(row | {"learning_rate": rate} | after_epoch())


def _epoch_row(means: dict[str, float]) -> dict[str, float]:
    generated, true = means.pop("generated_spread"), means.pop("true_spread")
    return means | {"variation": math.sqrt(generated / true) if true > 0 else math.inf}


def collapse_warnings(row: Mapping[str, float], gan_loss: GanLoss = "bce") -> dict[str, str]:
    """Say what is wrong in an epoch, by kind: the discriminator is too good, or the generator's colors do not vary.

    Args:
        row: of the history of `fit_gan`.
        gan_loss: that it was trained with.

    Returns: sentences by kind; empty for a healthy epoch.
    """
    found = {}
    loss, accuracy = row["discriminator_loss"], row["discriminator_accuracy"]
    if loss < LOW_LOSS * uninformed_loss(gan_loss) and accuracy > HIGH_ACCURACY:
        found["discriminator too good"] = (
            f"the discriminator separates real from generated almost perfectly: accuracy {accuracy:.0%}, loss "
            f"{loss:.3g} (guessing: {uninformed_loss(gan_loss):.3g}). The generator learns little from it. Try a "
            "discriminator of fewer layers or less width, skip_discriminator_above, or a larger lambda_l1"
        )
    if row["variation"] < LOW_VARIATION:
        found["no variation"] = (
            "the generator predicts nearly the same color for every image: from image to image its colors vary by "
            f"{row['variation']:.1%} of what the true ones do. Try a lower learning rate, or a larger lambda_l1"
        )
    return found


@torch.no_grad()
def sample(generator: Network, representation: Representation, images: Tensor | HasImages, seed: int = 0) -> Tensor:
    """Colorize images with the generator's randomness switched on: other noise (`NoisyUNet`), dropout as in training.

    A network with neither predicts the same for every seed.

    Args:
        generator: a trained network.
        representation: that it predicts for.
        images: a `Dataset`, or a tensor ``(N, 3, H, W)`` uint8 or float, of which only the gray is used.
        seed: of the noise and of dropout.

    Returns: rgb ``(N, 3, H, W)`` in [0, 1].
    """
    seed = check_seed(seed)
    gray = representation.gray(image_tensor(images).to(next(generator.parameters()).device))
    with evaluation_mode(generator), _noise(generator, seed), torch.random.fork_rng():
        torch.manual_seed(seed)
        for module in generator.modules():
            if isinstance(module, nn.Dropout | nn.Dropout2d):
                module.train()
        return representation.decode(gray, generator(gray).float())


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


def _check_pair(discriminator: PatchGAN, representation: Representation) -> None:
    if not isinstance(representation, Regression):
        raise LabkitError(f"a GAN needs a regression: rgb, lab, yuv or luma-chroma. Got {representation.name!r}")
    if (channels := discriminator.options["color_channels"]) != representation.channels:
        wanted = f"{representation.name} has {representation.channels}"
        raise LabkitError(f"the discriminator takes {channels} color channels, {wanted}. Use discriminator_for")


def _accuracy(real_scores: Tensor, fake_scores: Tensor, gan_loss: GanLoss) -> Tensor:
    """Return the fraction of patches on their side of the threshold between real and generated."""
    threshold = 0.0 if gan_loss == "bce" else 0.5
    return 0.5 * ((real_scores > threshold).float().mean() + (fake_scores <= threshold).float().mean())


def _spread(color: Tensor) -> Tensor:
    """Return the variance from image to image, averaged over channels and pixels."""
    return color.detach().var(dim=0, correction=0).mean()
