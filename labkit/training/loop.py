"""The training loop of a colorizer's network.

What is not learning (clock, seeds, checkpoint, progress bar, log) is done by `labkit.training.session`. Under torchrun
several processes run this same loop, each with its part of every batch; see `labkit.training.distributed`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from labkit.color import HasImages
from labkit.errors import LabkitError
from labkit.hints import simulated_hints
from labkit.models import Network
from labkit.options import FitSettings, make_options, takes
from labkit.representation import Representation
from labkit.training.batches import dataset_loss, digest, training_images
from labkit.training.distributed import share_buffers, wrapped
from labkit.training.muon import Muon
from labkit.training.session import History, Session


@takes(FitSettings)
def fit(
    network: Network,
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
    """Train a network in place, with AdamW (or Muon), a one-cycle learning rate and gradient clipping.

    Args:
        network: what to train; afterwards it is in evaluation mode.
        representation: encodes the images, and defines the loss. What it needs to know of them it learns here.
        images: a `Dataset`, or a tensor ``(N, 3, H, W)`` uint8.
        validation: images whose loss is recorded each epoch. With ``patience`` training stops when it no longer
            falls, and the weights of the best epoch are kept.
        watch: is called after each epoch for more numbers, which join the epoch's row.
        out: folder for ``checkpoint.safetensors``: weights, optimizer, schedule and history in one file, replaced
            as a whole, so that a run killed at any moment can go on.
        resume: continue from the checkpoint in ``out``, if there is one. On a CPU the result is then bit-identical to
            that of an uninterrupted run.
        progress: show a progress bar on standard error.
        tensorboard: folder for TensorBoard logs (curves and sample images).
        **options: see `labkit.options.FitSettings`.

    Returns: the history, one row per epoch.

    Raises:
        LabkitError: the loss is not finite, the images have another shape or type, an option is outside its limits,
            or the checkpoint belongs to another run.
        TypeError: unknown option.
    """
    settings = make_options(FitSettings, options)
    images = training_images(images)
    held_out = None if validation is None else training_images(validation, "validation")
    if settings.patience is not None and held_out is None:
        raise LabkitError("patience needs validation images. Pass validation=, or patience=None")
    if settings.hints and not network.hint_planes:
        raise LabkitError(f"hints need a network that takes them. Got {network.name!r}; take unet-guided, or hints=0")
    session = Session(
        settings,
        images,
        representation,
        {"network": network},
        out=out,
        resume=resume,
        progress=progress,
        tensorboard=tensorboard,
        fingerprint={"validation images": None if held_out is None else digest(held_out)},
        patience=settings.patience,
    )
    representation.fit(session.images, network.output_stride, settings.seed)
    share_buffers(representation)
    _learn(session, settings, network, representation, held_out, watch)
    return session.history


def _learn(
    session: Session,
    settings: FitSettings,
    network: Network,
    representation: Representation,
    validation: Tensor | None,
    watch: Callable[[], Mapping[str, float]] | None,
) -> None:
    forward = wrapped(torch.compile(network) if settings.compile else network)  # type: ignore[arg-type]
    rate, decay, fused = settings.learning_rate, settings.weight_decay, session.device.type != "mps"
    if settings.optimizer == "muon":
        optimizer: torch.optim.AdamW = Muon(network, rate, decay)
    else:
        optimizer = torch.optim.AdamW(network.parameters(), rate, weight_decay=decay, fused=fused)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=max(2, session.steps))
    scaler = session.scaler

    with session.keep(optimizer=optimizer, schedule=schedule):
        for rgb in session.batches():  # (B, 3, H, W) uint8
            gray, target = representation.encode(rgb, network.output_stride)
            if settings.hints:
                gray = torch.cat([gray, simulated_hints(rgb, settings.hints)], dim=1)
            with session.autocast():
                prediction = forward(gray.contiguous(memory_format=torch.channels_last))
            loss = representation.loss(prediction, target)

            optimizer.zero_grad(set_to_none=True)
            scaler.scale(session.weight * loss).backward()
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(network.parameters(), settings.grad_clip)
            scaler.step(optimizer)
            scaler.update()
            schedule.step()

            session.record(train_loss=loss)
            if session.epoch_ended:
                row = session.means() | {"learning_rate": float(schedule.get_last_lr()[0])}
                if validation is not None:
                    row["validation_loss"] = dataset_loss(network, representation, validation)
                if watch is not None:
                    row |= watch()
                session.end_epoch(row, logged=validation)
