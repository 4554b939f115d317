"""Training, in one visible loop.

The whole data set is one uint8 tensor on the training device; color conversion and flips happen there, per batch.
For images of this size that is faster than a DataLoader with workers, and it is less code.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from labkit.artifacts import write_bytes
from labkit.colorizer import Colorizer
from labkit.errors import LabkitError

Precision = Literal["auto", "float32", "bf16", "fp16"]
CHECKPOINT_FILE = "checkpoint.safetensors"
CHECKPOINT_FORMAT = "1"


@dataclass(frozen=True)
class FitSettings:
    """How to train. The defaults suit 32x32 images on a laptop."""

    epochs: int = 8
    batch_size: int = 64
    learning_rate: float = 4e-3  # the peak of the one-cycle schedule
    weight_decay: float = 0.01
    flips: bool = True  # mirror half of the images
    clip: float = 1.0  # largest norm of all gradients together
    patience: int | None = None  # stop after this many epochs without a better validation loss
    precision: Precision = "auto"  # auto: bf16 or fp16 where the hardware gains from it
    compile: bool = False  # torch.compile: 10 to 50 s of warm-up, which only long runs earn back
    device: str = "auto"
    seed: int = 0
    checkpoint_seconds: float = 30.0  # between checkpoints inside an epoch; each epoch ends with one

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "learning_rate", "clip"):
            if not 0 < getattr(self, name) < math.inf:
                raise LabkitError(f"{name} must be above zero and finite. Got {getattr(self, name)}")
        if not 0 <= self.seed < 2**32:
            raise LabkitError(f"seed must be from 0 to 2**32 - 1. Got {self.seed}")
        if self.patience is not None and self.patience < 1:
            raise LabkitError(f"patience must be at least 1 epoch, or None. Got {self.patience}")
        if self.precision not in get_args(Precision):
            raise LabkitError(f"precision must be one of {', '.join(get_args(Precision))}. Got {self.precision!r}")


@dataclass
class History:
    """What happened: one row an epoch, and the seconds spent in the loop (import and scoring excluded)."""

    rows: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0
    precision: str = "float32"
    device: str = "cpu"
    stopped_early: bool = False


def fit(
    colorizer: Colorizer,
    train: Tensor,
    *,
    validation: Tensor | None = None,
    settings: FitSettings | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    progress: bool = True,
    tensorboard: str | Path | None = None,
) -> History:
    """Trains the colorizer's network in place: AdamW, one-cycle learning rate, flips, gradient clipping.

    Args:
        colorizer: what to train; afterwards its network is in evaluation mode.
        train: ``(N, 3, H, W)`` uint8.
        validation: ``(M, 3, H, W)`` uint8; its loss is recorded each epoch. With ``settings.patience`` training
            stops when it no longer falls, and the weights of the best epoch are kept.
        settings: see `FitSettings`.
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
    _check_images(train, "train")
    if validation is not None:
        _check_images(validation, "validation")
    if settings.patience is not None and validation is None:
        raise LabkitError("patience needs validation images: pass validation=, or patience=None")

    device = pick_device(settings.device)
    precision = pick_precision(settings.precision, device)
    space, stride = colorizer.representation, colorizer.network.output_stride
    images = train.to(device)
    space.learn_colors(images, stride, settings.seed)
    batches = math.ceil(len(images) / settings.batch_size)  # per epoch
    steps = settings.epochs * batches

    # channels-last is the layout in which convolutions are fastest, on CPUs as on tensor cores
    network = colorizer.network.to(device=device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
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
        checkpoint = _Checkpoint(Path(out), _fingerprint(colorizer, train, validation, settings, precision))
        if resume:
            checkpoint.read(run)
    history = run.history
    loss_sum = torch.tensor(run.loss_sum, device=device)
    plan: tuple[Tensor, Tensor] | None = None
    clock = time.perf_counter() - history.seconds
    saved = time.perf_counter()

    with _logger(tensorboard) as log, _bar(progress, steps, run.step) as bar, torch.random.fork_rng():
        while run.step < steps and not history.stopped_early:
            epoch, batch = divmod(run.step, batches)
            if batch == 0 or plan is None:
                plan = _plan(epoch, len(images), settings, device)
            torch.manual_seed(settings.seed * 1_000_003 + run.step)  # dropout: the same after a resume

            chosen = slice(batch * settings.batch_size, (batch + 1) * settings.batch_size)
            order, mirrored = plan[0][chosen], plan[1][chosen]
            rgb = images[order]  # (B, 3, H, W) uint8
            if settings.flips:
                rgb = torch.where(mirrored[:, None, None, None], rgb.flip(-1), rgb)
            gray, target = space.encode(rgb, stride)
            with _autocast(precision, device):
                prediction = forward(gray.contiguous(memory_format=torch.channels_last))
            loss = space.loss(prediction.float(), target)

            optimizer.zero_grad(set_to_none=True)
            scaler.scale(loss).backward()
            scaler.unscale_(optimizer)
            torch.nn.utils.clip_grad_norm_(network.parameters(), settings.clip)
            scaler.step(optimizer)
            scaler.update()
            schedule.step()

            loss_sum += loss.detach() * len(rgb)
            run.step += 1
            bar.update()
            epoch_done = batch == batches - 1
            if epoch_done or batch % 50 == 0:
                _require_finite(float(loss_sum), epoch, batch, settings)
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
                    network.train()
                history.rows.append(row)
                bar.set_postfix_str(", ".join(f"{k} {v:.5f}" for k, v in row.items() if k.endswith("loss")))
                if settings.patience is not None:
                    history.stopped_early = run.remember_best(row["validation_loss"], epoch) >= settings.patience
                log(row, colorizer, train if validation is None else validation)
            history.seconds = time.perf_counter() - clock
            if checkpoint and (epoch_done or time.perf_counter() - saved >= settings.checkpoint_seconds):
                run.loss_sum = float(loss_sum)
                checkpoint.write(run)
                saved = time.perf_counter()

    if run.best is not None:
        network.load_state_dict(run.best)
    network.eval()
    # No batch has looked at what the last step made of the weights.
    last_loss = dataset_loss(colorizer, images[: settings.batch_size])
    _require_finite(last_loss, len(history.rows) - 1, batches - 1, settings)
    return history


@torch.no_grad()
def dataset_loss(colorizer: Colorizer, images: Tensor, batch_size: int = 256) -> float:
    """The representation's loss over ``(N, 3, H, W)`` uint8 images, in evaluation mode: the mean over images."""
    total = 0.0
    pixels = images.shape[-2] * images.shape[-1]
    batch_size = max(1, min(batch_size, 2**20 // pixels))  # a classifier predicts hundreds of numbers for each
    for part in images.split(batch_size):
        gray, target = colorizer.representation.encode(part.to(colorizer.device), colorizer.network.output_stride)
        total += float(colorizer.representation.loss(colorizer.predict(gray), target)) * len(part)
    return total / len(images)


def pick_device(name: str = "auto") -> torch.device:
    """``auto``: CUDA if there is one, else the CPU; Apple's ``mps`` only when named, for want of a machine to test on.

    Raises ``LabkitError`` for a device that is not there.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
        if device.type == "meta":
            raise RuntimeError("it holds no numbers")
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0].split(". ")[0][:150]
        raise LabkitError(f"device {name!r} is not available here ({reason}): use auto or cpu") from None
    return device


def pick_precision(name: str, device: torch.device) -> str:
    """``auto``: bf16 where the hardware computes in it (AVX512-BF16 or AMX, recent GPUs), fp16 on older GPUs."""
    if name != "auto":
        return name
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    return "bf16" if device.type == "cpu" and cpu_gains_from_bf16() else "float32"


def cpu_gains_from_bf16() -> bool:
    """Whether this CPU multiplies bf16 in hardware; elsewhere bf16 autocast is slower than float32."""
    asks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # private in torch, so they may be gone
    return any(getattr(torch.cpu, ask)() for ask in asks if hasattr(torch.cpu, ask))


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


class _Checkpoint:
    """One safetensors file: tensors as tensors, all else as JSON in its header, so that it is replaced as a whole."""

    def __init__(self, folder: Path, fingerprint: dict[str, object]) -> None:
        self.file = folder / CHECKPOINT_FILE
        self.fingerprint = fingerprint

    def write(self, run: _Run) -> None:
        from safetensors.torch import save

        optimizer = run.optimizer.state_dict()
        tensors = {f"network.{name}": tensor for name, tensor in run.network.state_dict().items()}
        tensors |= {f"best.{name}": tensor for name, tensor in (run.best or {}).items()}
        tensors |= {
            f"optimizer.{index}.{name}": tensor
            for index, moments in optimizer["state"].items()
            for name, tensor in moments.items()
        }
        state = {
            "fingerprint": self.fingerprint,
            "param_groups": optimizer["param_groups"],
            "schedule": run.schedule.state_dict(),
            "scaler": run.scaler.state_dict(),
            "history": asdict(run.history),
            "step": run.step,
            "loss_sum": run.loss_sum,
            "best_loss": run.best_loss,
            "best_epoch": run.best_epoch,
        }
        header = {"format": CHECKPOINT_FORMAT, "state": json.dumps(state)}
        contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        self.file.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(self.file, save(contiguous, metadata=header))

    def read(self, run: _Run) -> None:
        """Puts the saved state into ``run``; does nothing when there is no checkpoint."""
        from safetensors import SafetensorError, safe_open

        if not self.file.is_file():
            return
        try:
            with safe_open(self.file, framework="pt") as opened:
                header = opened.metadata() or {}
                tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 (not a dict)
        except SafetensorError as error:
            raise LabkitError(f"{self.file} is damaged ({error}): delete it and start again") from None
        if header.get("format") != CHECKPOINT_FORMAT:
            raise LabkitError(f"{self.file} was written by another labkit: delete it and start again")
        try:
            self._restore(run, json.loads(header["state"]), tensors)
        except LabkitError:
            raise
        except (AttributeError, KeyError, IndexError, TypeError, ValueError, RuntimeError) as error:
            reason = (str(error).splitlines() or [""])[0][:150]
            raise LabkitError(f"{self.file} is damaged ({reason}): delete it and start again") from None

    def _restore(self, run: _Run, state: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        for key, here in self.fingerprint.items():
            if (there := state["fingerprint"].get(key)) != here:
                raise LabkitError(
                    f"{self.file} belongs to another run: {key} was {there}, now {here}. Repeat that setting, or use "
                    "another folder"
                )
        run.network.load_state_dict(_part(tensors, "network."))
        run.best = _part(tensors, "best.") or None
        run.optimizer.load_state_dict(
            {
                "state": _moments(_part(tensors, "optimizer."), run.optimizer),
                "param_groups": state["param_groups"],
            }
        )
        run.schedule.load_state_dict(state["schedule"])
        run.scaler.load_state_dict(state["scaler"])
        run.history = History(**state["history"])
        run.step, run.loss_sum = int(state["step"]), float(state["loss_sum"])
        run.best_loss, run.best_epoch = state["best_loss"], state["best_epoch"]


def _moments(tensors: Mapping[str, Tensor], optimizer: torch.optim.Optimizer) -> dict[int, dict[str, Tensor]]:
    """The optimizer's state by parameter, each tensor in its parameter's memory layout: fused AdamW walks through
    parameter and moments in memory order, so moments in another layout would be applied to the wrong weights."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        index, name = key.split(".", 1)
        parameter = parameters[int(index)]
        if tensor.shape == parameter.shape:
            tensor = torch.empty_like(parameter, dtype=tensor.dtype).copy_(tensor)
        state.setdefault(int(index), {})[name] = tensor
    return state


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _fingerprint(
    colorizer: Colorizer, train: Tensor, validation: Tensor | None, settings: FitSettings, precision: str
) -> dict[str, object]:
    """What must be the same for a resumed run to be the same run; JSON types only."""
    own = {k: v for k, v in asdict(settings).items() if k not in ("checkpoint_seconds", "compile", "device")}
    return own | {
        "precision": precision,
        "representation": colorizer.representation.config(),
        "network": colorizer.network.config(),
        "training images": _digest(train),
        "validation images": None if validation is None else _digest(validation),
    }


def _digest(images: Tensor) -> str:
    return hashlib.sha256(images.cpu().contiguous().numpy().tobytes()).hexdigest()[:16]


def _plan(epoch: int, count: int, settings: FitSettings, device: torch.device) -> tuple[Tensor, Tensor]:
    """The epoch's order and which images are mirrored, each ``(count,)``; drawn on the CPU, the same everywhere."""
    generator = torch.Generator().manual_seed(settings.seed * 1_000_003 + epoch)
    order = torch.randperm(count, generator=generator)
    mirrored = torch.rand(count, generator=generator) < 0.5
    return order.to(device), mirrored.to(device)


def _autocast(precision: str, device: torch.device) -> AbstractContextManager[Any]:
    if precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16 if precision == "bf16" else torch.float16)


def _check_images(images: Tensor, name: str) -> None:
    if images.dim() != 4 or images.shape[1] != 3 or images.dtype != torch.uint8 or len(images) == 0:
        raise LabkitError(
            f"{name} images must be a uint8 tensor (N, 3, H, W) with N > 0. Got {images.dtype} {tuple(images.shape)}"
        )


def _require_finite(loss: float, epoch: int, batch: int, settings: FitSettings) -> None:
    if not math.isfinite(loss):
        raise LabkitError(
            f"the loss is {loss} in epoch {epoch + 1}, batch {batch + 1}: training stopped. Try a learning rate below "
            f"{settings.learning_rate:g}, or precision float32 (now {settings.precision})"
        )


def _bar(progress: bool, steps: int, done: int) -> Any:
    from tqdm import tqdm

    # in stored notebooks (LABKIT_STATIC) a bar would only be clutter
    hidden = not progress or os.environ.get("LABKIT_STATIC") == "1"
    return tqdm(total=steps, initial=done, desc="training", unit="batch", leave=False, disable=hidden)


@contextmanager
def _logger(folder: str | Path | None) -> Iterator[Any]:
    """A function that writes an epoch's numbers and eight sample images to TensorBoard; without a folder, nothing."""
    if folder is None:
        yield lambda row, colorizer, images: None
        return
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise LabkitError("TensorBoard is not installed: pip install tensorboard, or leave out --tensorboard") from None
    writer = SummaryWriter(str(folder))

    def log(row: Mapping[str, float], colorizer: Colorizer, images: Tensor) -> None:
        epoch = int(row["epoch"])
        for name, value in row.items():
            if name != "epoch":
                writer.add_scalar(name, value, epoch)
        writer.add_images("colorized", colorizer.reconstruct(images[:8]).clamp(0, 1), epoch)
        if epoch == 1:
            writer.add_images("true", images[:8], epoch)
        writer.flush()

    try:
        yield log
    finally:
        writer.close()
