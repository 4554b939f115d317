"""Training, in one visible loop.

The whole data set is one uint8 tensor on the training device; color conversion and flips happen there, per batch.
For images of this size that is faster than a DataLoader with workers, and it is less code.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from labkit.colorizer import Colorizer
from labkit.device import autocast, pick_device, pick_precision
from labkit.errors import LabkitError
from labkit.training.checkpoint import Checkpoint, optimizer_tensors, restore_optimizer, with_prefix, without_prefix
from labkit.training.settings import (
    History,
    LoopSettings,
    Plan,
    check_images,
    dataset_loss,
    digest,
    epoch_plan,
    fingerprint,
    logger,
    progress_bar,
    require_finite,
    take_batch,
)


@dataclass(frozen=True)
class FitSettings(LoopSettings):
    """How to train; ``learning_rate`` is the peak of the one-cycle schedule. The defaults suit 32x32 on a laptop."""

    weight_decay: float = 0.01
    grad_clip: float = 1.0  # largest norm of all gradients together
    patience: int | None = None  # stop after this many epochs without a better validation loss
    compile: bool = False  # torch.compile: 10 to 50 s of warm-up, which only long runs earn back

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.grad_clip < math.inf:
            raise LabkitError(f"grad_clip must be above zero and finite. Got {self.grad_clip}")
        if self.patience is not None and self.patience < 1:
            raise LabkitError(f"patience must be at least 1 epoch, or None. Got {self.patience}")


def fit(
    colorizer: Colorizer,
    train: Tensor,
    *,
    validation: Tensor | None = None,
    settings: FitSettings | None = None,
    watch: Callable[[Colorizer], Mapping[str, float]] | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    progress: bool = True,
    tensorboard: str | Path | None = None,
) -> History:
    """Trains the colorizer's network in place: AdamW, one-cycle learning rate, flips (and turns), gradient clipping.

    Args:
        colorizer: what to train; afterwards its network is in evaluation mode.
        train: ``(N, 3, H, W)`` uint8.
        validation: ``(M, 3, H, W)`` uint8; its loss is recorded each epoch. With ``settings.patience`` training
            stops when it no longer falls, and the weights of the best epoch are kept.
        settings: see `FitSettings`.
        watch: is asked after each epoch for more numbers, which join the epoch's row.
        out: folder for ``checkpoint.safetensors``: weights, optimizer, schedule and history in one file, replaced
            as a whole, so that a run killed at any moment can go on.
        resume: go on from the checkpoint in ``out`` if there is one. On a CPU the result is then bit-identical to
            that of an uninterrupted run.
        progress: show a progress bar on standard error.
        tensorboard: folder for TensorBoard logs (curves and sample images).

    Raises ``LabkitError`` when the loss is no longer finite, the images have another shape or type, or the
    checkpoint belongs to another run.
    """
    settings = settings or FitSettings()
    check_images(train, "train")
    if validation is not None:
        check_images(validation, "validation")
    if settings.patience is not None and validation is None:
        raise LabkitError("patience needs validation images: pass validation=, or patience=None")

    device = pick_device(settings.device)
    precision = pick_precision(settings.precision, device)
    space, stride = colorizer.representation, colorizer.network.output_stride
    images = train.to(device)
    space.fit(images, stride, settings.seed)
    batches = math.ceil(len(images) / settings.batch_size)  # per epoch
    steps = settings.epochs * batches

    network = colorizer.network.to(device).train()
    forward = torch.compile(network) if settings.compile else network
    optimizer = torch.optim.AdamW(
        network.parameters(),
        lr=settings.learning_rate,
        weight_decay=settings.weight_decay,
        fused=device.type != "mps",
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.learning_rate, total_steps=max(2, steps))
    scaler = torch.amp.GradScaler(device.type, enabled=precision == "fp16")

    run = _Run(network, optimizer, schedule, scaler, History(precision=precision, device=str(device)))
    checkpoint = None
    if out is not None:
        same = {"validation images": None if validation is None else digest(validation)}
        checkpoint = Checkpoint(Path(out), fingerprint(colorizer, train, settings, precision) | same)
        if resume:
            checkpoint.read(run.restore)
    history = run.history
    loss_sum = torch.tensor(run.loss_sum, device=device)
    plan: Plan | None = None
    clock = time.perf_counter() - history.seconds
    saved = time.perf_counter()

    with logger(tensorboard) as log, progress_bar(progress, steps, run.step) as bar, torch.random.fork_rng():
        while run.step < steps and not history.stopped_early:
            epoch, batch = divmod(run.step, batches)
            if batch == 0 or plan is None:
                plan = epoch_plan(epoch, len(images), settings, device)
            torch.manual_seed(settings.seed * 1_000_003 + run.step)  # dropout: the same after a resume

            rgb = take_batch(images, plan, batch, settings)  # (B, 3, H, W) uint8
            gray, target = space.encode(rgb, stride)
            with autocast(precision, device):
                prediction = forward(gray.contiguous(memory_format=torch.channels_last))
            loss = space.loss(prediction.float(), target)

            optimizer.zero_grad(set_to_none=True)
            scaler.scale(loss).backward()
            scaler.unscale_(optimizer)
            torch.nn.utils.clip_grad_norm_(network.parameters(), settings.grad_clip)
            scaler.step(optimizer)
            scaler.update()
            schedule.step()

            loss_sum += loss.detach() * len(rgb)
            run.step += 1
            bar.update()
            epoch_done = batch == batches - 1
            if epoch_done or batch % 50 == 0:
                require_finite(float(loss_sum), epoch, batch, settings)
            if epoch_done:
                row = {
                    "epoch": epoch + 1.0,
                    "train_loss": float(loss_sum) / len(images),
                    "learning_rate": float(schedule.get_last_lr()[0]),
                    "seconds": time.perf_counter() - clock,
                }
                loss_sum.zero_()
                if validation is not None:
                    row["validation_loss"] = dataset_loss(colorizer, validation)
                if watch is not None:
                    row |= watch(colorizer)
                network.train()
                history.rows.append(row)
                bar.set_postfix_str(", ".join(f"{k} {v:.5f}" for k, v in row.items() if k.endswith("loss")))
                if settings.patience is not None:
                    history.stopped_early = run.remember_best(row["validation_loss"], epoch) >= settings.patience
                log(row, colorizer, train if validation is None else validation)
            history.seconds = time.perf_counter() - clock
            if checkpoint and (epoch_done or time.perf_counter() - saved >= settings.checkpoint_seconds):
                run.loss_sum = float(loss_sum)
                checkpoint.write(run.tensors(), run.state())
                saved = time.perf_counter()

    if run.best is not None:
        network.load_state_dict(run.best)
    network.eval()
    # No batch has looked at what the last step made of the weights.
    last_loss = dataset_loss(colorizer, images[: settings.batch_size])
    require_finite(last_loss, len(history.rows) - 1, batches - 1, settings)
    return history


@dataclass
class _Run:
    """Everything that a checkpoint holds."""

    network: torch.nn.Module
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.OneCycleLR
    scaler: torch.amp.GradScaler
    history: History
    step: int = 0
    loss_sum: float = 0.0  # of the epoch under way
    best: dict[str, Tensor] | None = None  # weights of the best epoch, kept with early stopping only
    best_loss: float = math.inf
    best_epoch: int = 0

    def remember_best(self, loss: float, epoch: int) -> int:
        """Keeps the weights if this epoch is the best so far; returns how many epochs ago the best one was."""
        if loss < self.best_loss:
            self.best_loss, self.best_epoch = loss, epoch
            self.best = {name: tensor.detach().clone() for name, tensor in self.network.state_dict().items()}
        return epoch - self.best_epoch

    def tensors(self) -> dict[str, Tensor]:
        return (
            with_prefix("network.", self.network.state_dict())
            | with_prefix("best.", self.best or {})
            | with_prefix("optimizer.", optimizer_tensors(self.optimizer))
        )

    def state(self) -> dict[str, object]:
        return {
            "param_groups": self.optimizer.state_dict()["param_groups"],
            "schedule": self.schedule.state_dict(),
            "scaler": self.scaler.state_dict(),
            "history": asdict(self.history),
            "step": self.step,
            "loss_sum": self.loss_sum,
            "best_loss": self.best_loss,
            "best_epoch": self.best_epoch,
        }

    def restore(self, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
        self.network.load_state_dict(without_prefix("network.", tensors))
        self.best = without_prefix("best.", tensors) or None
        restore_optimizer(self.optimizer, without_prefix("optimizer.", tensors), state["param_groups"])
        self.schedule.load_state_dict(state["schedule"])
        self.scaler.load_state_dict(state["scaler"])
        self.history = History(**state["history"])
        self.step, self.loss_sum = int(state["step"]), float(state["loss_sum"])
        self.best_loss, self.best_epoch = state["best_loss"], state["best_epoch"]
