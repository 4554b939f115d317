"""The housekeeping of a training run, which both loops use: device, clock, seeds, checkpoint, bar, log, early stopping.

A loop asks a `Session` for batches and tells it the losses::

    with session.keep(optimizer=optimizer):
        for rgb in session.batches():
            ...  # the learning
            session.record(train_loss=loss)
            if session.epoch_ended:
                session.end_epoch(session.means())
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from labkit.device import autocast, pick_device, pick_precision
from labkit.errors import LabkitError
from labkit.models import evaluation_mode
from labkit.options import LoopSettings
from labkit.representation import Representation
from labkit.training import distributed
from labkit.training.batches import Plan, batches_ahead, dataset_loss, digest, epoch_plan, part_of_batch, take_batch
from labkit.training.checkpoint import Checkpoint, optimizer_tensors, restore_optimizer, with_prefix, without_prefix

READ_AHEAD_FROM = 1 << 30  # bytes of training images: more may not stay in memory, and are read from a mapped file
BATCHES_BETWEEN_CHECKS = 50  # whether losses are finite: reading a number makes the device finish all its work first


@dataclass
class History:
    """The history of a training run: one row per epoch, and the seconds spent in the loop.

    Attributes:
        rows: numbers by name; always ``epoch`` and ``seconds``.
        seconds: of the loop, validation included; loading and final scoring are not.
        precision: number format that the network computed in.
        device: where it was trained.
        stopped_early: whether `patience` ended the training.
        warnings: of a GAN's collapse, one sentence for each kind.
    """

    rows: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0
    precision: str = "float32"
    device: str = "cpu"
    stopped_early: bool = False
    warnings: dict[str, str] = field(default_factory=dict)


class Session:
    """Everything of a training run that is not learning.

    Args:
        settings: see `LoopSettings`.
        images: training images ``(N, 3, H, W)`` uint8; copied to the device.
        representation: moved to the device.
        networks: by name; moved to the device. The first one predicts for the representation.
        out: folder of the checkpoint; None for no checkpoint.
        resume: continue from the checkpoint in ``out``, if there is one.
        progress: show a progress bar on standard error.
        tensorboard: folder for TensorBoard logs.
        fingerprint: what else must be equal for a resumed run to be the same run; JSON types.
        patience: stop after so many epochs without a better ``validation_loss``.

    Attributes:
        device: where to train.
        images: the training images there.
        scaler: scales losses, for float16 only.
        history: see `History`.
        step: number of the training step, from 0.
        steps: how many there are at most.
        rank: number of this process; of several (torchrun) number 0 alone writes files and shows progress.
        weight: of the loss of the batch at hand; 1 unless several processes have unequal parts of it.
    """

    def __init__(
        self,
        settings: LoopSettings,
        images: Tensor,
        representation: Representation,
        networks: Mapping[str, nn.Module],
        *,
        out: str | Path | None = None,
        resume: bool = False,
        progress: bool = True,
        tensorboard: str | Path | None = None,
        fingerprint: Mapping[str, object] | None = None,
        patience: int | None = None,
    ) -> None:
        """Choose device and precision and move everything there."""
        self.settings, self.representation, self.networks = settings, representation, dict(networks)
        self.resume, self.progress, self.tensorboard, self.patience = resume, progress, tensorboard, patience
        self.rank, self.processes, self.weight = distributed.rank(), distributed.processes(), 1.0
        self.device = pick_device(settings.device)
        self.precision = pick_precision(settings.precision, self.device)
        self.network: Any = next(iter(self.networks.values()))
        self.images = images.to(self.device)
        representation.to(self.device)
        for network in self.networks.values():
            # channels-last is the layout in which convolutions are fastest, on CPUs as on tensor cores
            network.to(device=self.device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.precision == "fp16")
        self.history = History(precision=self.precision, device=str(self.device))
        self.batches_per_epoch = math.ceil(len(images) / settings.batch_size)
        self.steps = settings.epochs * self.batches_per_epoch
        self.step = 0
        self._out, self._fingerprint = out, dict(fingerprint or {})
        self._sums: Tensor | None = None  # of the recorded numbers, over the images of the epoch under way
        self._names: tuple[str, ...] = ()
        self._kept: dict[str, Any] = {}
        self._best = _Best()
        self._clock = 0.0

    # ----------------------------------------------------------------------------------------- what a loop asks for

    @contextmanager
    def keep(self, **more: Any) -> Iterator[None]:
        """Run a training: read the checkpoint before, leave the networks in evaluation mode afterwards.

        Args:
            **more: what else the checkpoint holds, beside the networks: optimizers and schedules.

        Raises:
            LabkitError: the checkpoint is damaged or of another run, or the final weights are not finite.
        """
        self._kept = {**self.networks, **more, "scaler": self.scaler}
        self._checkpoint = None
        if self._out is not None:
            self._checkpoint = Checkpoint(Path(self._out), self.fingerprint())
            if self.resume:
                self._checkpoint.read(self._restore)
        with ExitStack() as stack:
            first = self.rank == 0
            self._log = stack.enter_context(_logger(self.tensorboard if first else None))
            self._bar = stack.enter_context(_progress_bar(self.progress and first, self.steps, self.step))
            stack.enter_context(torch.random.fork_rng())
            yield
        if self._best.weights is not None:
            self.network.load_state_dict(self._best.weights)
        for network in self.networks.values():
            distributed.share_buffers(network)
            network.eval()
        # No batch has looked at what the last step made of the weights; a few images show whether they are finite.
        few = self.images[: min(8, self.settings.batch_size)]
        self._require_finite(dataset_loss(self.network, self.representation, few), self.steps - 1)

    def batches(self) -> Iterator[Tensor]:
        """Yield the training images batch by batch, ``(B, 3, H, W)`` uint8 on the device, epoch after epoch."""
        self._clock = time.perf_counter() - self.history.seconds
        saved = time.perf_counter()
        count, part = len(self.images), (self.rank, self.processes)
        large = self.device.type == "cpu" and self.images.nbytes > READ_AHEAD_FROM
        while self.step < self.steps and not self.history.stopped_early:
            epoch, first = divmod(self.step, self.batches_per_epoch)
            take = partial(self._take, epoch_plan(epoch, count, self.settings, self.device))
            for batch, rgb in enumerate(batches_ahead(take, range(first, self.batches_per_epoch), large), first):
                # dropout, noise: the same after a resume, and others in other processes
                torch.manual_seed(self.settings.seed * 1_000_003 + self.step + self.rank * 15_485_863)
                self._count, self.weight = part_of_batch(batch, count, self.settings.batch_size, *part)
                ended = self.epoch_ended
                yield rgb
                self.step += 1
                self.history.seconds = time.perf_counter() - self._clock
                late = time.perf_counter() - saved >= self.settings.checkpoint_seconds
                if self._checkpoint and self.rank == 0 and (ended or late):
                    self._checkpoint.write(self._tensors(), self._state())
                    saved = time.perf_counter()

    def _take(self, plan: Plan, batch: int) -> Tensor:
        return take_batch(self.images, plan, batch, self.settings, self.rank, self.processes)

    def autocast(self) -> AbstractContextManager[Any]:
        """Return the context in which networks compute in half precision, if that was chosen."""
        return autocast(self.precision, self.device)

    def record(self, **numbers: Tensor) -> None:
        """Add the step's losses, and other means over the batch, to those of the epoch; they stay on the device.

        Raises:
            LabkitError: one is not finite; looked at every 50 batches and at the end of an epoch.
        """
        self._names = tuple(numbers)
        weighted = self._count * torch.stack([number.detach() for number in numbers.values()])
        weighted = distributed.sum_over_processes(weighted)
        self._sums = weighted if self._sums is None else self._sums + weighted
        self._bar.update()
        if self.epoch_ended or self.step % self.batches_per_epoch % BATCHES_BETWEEN_CHECKS == 0:
            self._require_finite(float(self._sums.sum()), self.step)

    @property
    def epoch_ended(self) -> bool:
        """Whether the batch at hand is the last one of its epoch."""
        return self.step % self.batches_per_epoch == self.batches_per_epoch - 1

    def means(self) -> dict[str, float]:
        """Return the means over the epoch's images of what was recorded."""
        assert self._sums is not None, "record first"
        return {name: total / len(self.images) for name, total in zip(self._names, self._sums.tolist(), strict=True)}

    def end_epoch(self, row: Mapping[str, float], logged: Tensor | None = None) -> None:
        """Put an epoch's row into the history, the bar and the log; stop early where ``patience`` says so.

        Args:
            row: numbers by name; with ``patience`` among them ``validation_loss``.
            logged: images ``(N, 3, H, W)``, of which TensorBoard shows the first eight; default: training images.
        """
        epoch = self.step // self.batches_per_epoch
        row = {"epoch": epoch + 1.0} | dict(row) | {"seconds": time.perf_counter() - self._clock}
        row = distributed.from_first(row)  # or one could stop early and the others wait for it
        self._sums = None
        for network in self.networks.values():
            network.train()  # whatever looked at the epoch
        self.history.rows.append(dict(row))
        self._bar.set_postfix_str(", ".join(f"{k} {v:.5f}" for k, v in row.items() if k.endswith("loss")))
        if self.patience is not None:
            since = self._best.epochs_since(row["validation_loss"], epoch, self.network)
            self.history.stopped_early = since >= self.patience
        self._log(row, self.network, self.representation, self.images if logged is None else logged)

    def warn(self, warnings: Mapping[str, str]) -> None:
        """Note warnings, by kind, in the history and, with ``progress``, on standard error; each kind only once."""
        for kind, text in warnings.items():
            if kind not in self.history.warnings:
                text = f"epoch {self.step // self.batches_per_epoch + 1}: {text}"
                self.history.warnings[kind] = text
                if self.progress:
                    self._bar.write(text, file=sys.stderr)

    # ------------------------------------------------------------------------------------------------ the checkpoint

    def fingerprint(self) -> dict[str, object]:
        """Return what must be equal for a resumed run to be the same run; JSON types only."""
        own = {k: v for k, v in asdict(self.settings).items() if k not in ("checkpoint_seconds", "compile", "device")}
        networks: Any = self.networks
        return {
            **own,
            "precision": self.precision,
            "representation": self.representation.config(),
            **{name: network.config() for name, network in networks.items()},
            "training images": digest(self.images),
            **self._fingerprint,
        }

    def _tensors(self) -> dict[str, Tensor]:
        tensors = with_prefix("best.", self._best.weights or {})
        if self._sums is not None:
            tensors["sums"] = self._sums
        for name, part in self._kept.items():
            if isinstance(part, nn.Module):
                tensors |= with_prefix(f"{name}.", part.state_dict())
            elif isinstance(part, torch.optim.Optimizer):
                tensors |= with_prefix(f"{name}.", optimizer_tensors(part))
        return tensors

    def _state(self) -> dict[str, object]:
        states: dict[str, object] = {}
        for name, part in self._kept.items():
            if isinstance(part, torch.optim.Optimizer):
                states[name] = part.state_dict()["param_groups"]
            elif not isinstance(part, nn.Module):
                states[name] = part.state_dict()
        best = {"loss": self._best.loss, "epoch": self._best.epoch}
        return {"step": self.step, "history": asdict(self.history), "best": best, "states": states}

    def _restore(self, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
        for name, part in self._kept.items():
            own = without_prefix(f"{name}.", tensors)
            if isinstance(part, nn.Module):
                part.load_state_dict(own)
            elif isinstance(part, torch.optim.Optimizer):
                restore_optimizer(part, own, state["states"][name])
            else:
                part.load_state_dict(state["states"][name])
        self.step, self.history = int(state["step"]), History(**state["history"])
        self._best = _Best(state["best"]["loss"], state["best"]["epoch"], without_prefix("best.", tensors) or None)
        self._sums = tensors["sums"].to(self.device) if "sums" in tensors else None

    def _require_finite(self, loss: float, step: int) -> None:
        if not math.isfinite(loss):
            epoch, batch = divmod(step, self.batches_per_epoch)
            raise LabkitError(
                f"the loss is {loss} in epoch {epoch + 1}, batch {batch + 1}: training stopped. Try a learning rate "
                f"below {self.settings.learning_rate:g}, or precision float32 (now {self.settings.precision})"
            )


@dataclass
class _Best:
    """The best epoch so far and its weights, for early stopping."""

    loss: float = math.inf
    epoch: int = 0
    weights: dict[str, Tensor] | None = None

    def epochs_since(self, loss: float, epoch: int, network: nn.Module) -> int:
        """Keep the weights if this epoch is the best so far; return how many epochs ago the best one was."""
        if loss < self.loss:
            self.loss, self.epoch = loss, epoch
            self.weights = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
        return epoch - self.epoch


def _progress_bar(progress: bool, steps: int, done: int) -> Any:
    from tqdm.auto import tqdm  # a bar of the notebook in notebooks, where standard error is pink

    # in stored notebooks (LABKIT_STATIC) a bar would only be clutter
    hidden = not progress or os.environ.get("LABKIT_STATIC") == "1"
    return tqdm(total=steps, initial=done, desc="training", unit="batch", leave=False, disable=hidden)


@contextmanager
def _logger(folder: str | Path | None) -> Iterator[Any]:
    """Yield a function that writes an epoch's numbers and eight images to TensorBoard; without a folder, nothing."""
    if folder is None:
        yield lambda row, network, representation, images: None
        return
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise LabkitError("TensorBoard is not installed: pip install tensorboard, or leave out --tensorboard") from None
    writer = SummaryWriter(str(folder))

    @torch.no_grad()
    def log(row: Mapping[str, float], network: nn.Module, representation: Representation, images: Tensor) -> None:
        epoch = int(row["epoch"])
        for name, value in row.items():
            if name != "epoch":
                writer.add_scalar(name, value, epoch)
        few = images[:8].to(next(network.parameters()).device)
        gray = representation.gray(few)
        with evaluation_mode(network):
            writer.add_images("colorized", representation.decode(gray, network(gray)).clamp(0, 1), epoch)
        if epoch == 1:
            writer.add_images("true", few, epoch)
        writer.flush()

    try:
        yield log
    finally:
        writer.close()
