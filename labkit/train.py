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
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import torch
from torch import Tensor

from labkit.artifacts import write_bytes
from labkit.colorizer import Colorizer
from labkit.errors import LabkitError

Precision = Literal["auto", "float32", "bf16", "fp16"]
Plan: TypeAlias = tuple[Tensor, Tensor]  # an epoch's order of the images, and which of them are mirrored; each (N,)
CHECKPOINT_FILE = "checkpoint.safetensors"
CHECKPOINT_FORMAT = "1"


@dataclass(frozen=True)
class LoopSettings:
    """What every training loop is told; the GAN's in `labkit.adversarial` has these in common with `fit`."""

    epochs: int = 8
    batch_size: int = 64
    learning_rate: float = 4e-3
    flips: bool = True  # mirror half of the images
    precision: Precision = "auto"  # auto: bf16 or fp16 where the hardware gains from it
    device: str = "auto"
    seed: int = 0
    checkpoint_seconds: float = 30.0  # between checkpoints inside an epoch; each epoch ends with one

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "learning_rate"):
            if not 0 < getattr(self, name) < math.inf:
                raise LabkitError(f"{name} must be above zero and finite. Got {getattr(self, name)}")
        if not 0 <= self.seed < 2**32:
            raise LabkitError(f"seed must be from 0 to 2**32 - 1. Got {self.seed}")
        if self.precision not in get_args(Precision):
            raise LabkitError(f"precision must be one of {', '.join(get_args(Precision))}. Got {self.precision!r}")


@dataclass(frozen=True)
class FitSettings(LoopSettings):
    """How to train; ``learning_rate`` is the peak of the one-cycle schedule. The defaults suit 32x32 on a laptop."""

    weight_decay: float = 0.01
    clip: float = 1.0  # largest norm of all gradients together
    patience: int | None = None  # stop after this many epochs without a better validation loss
    compile: bool = False  # torch.compile: 10 to 50 s of warm-up, which only long runs earn back

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.clip < math.inf:
            raise LabkitError(f"clip must be above zero and finite. Got {self.clip}")
        if self.patience is not None and self.patience < 1:
            raise LabkitError(f"patience must be at least 1 epoch, or None. Got {self.patience}")


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
    check_images(train, "train")
    if validation is not None:
        check_images(validation, "validation")
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
            torch.nn.utils.clip_grad_norm_(network.parameters(), settings.clip)
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


class Checkpoint:
    """One safetensors file: tensors as tensors, all else as JSON in its header, so that it is replaced as a whole.

    ``fingerprint`` is what must be the same for a resumed run to be the same run; JSON types only.
    """

    def __init__(self, folder: Path, fingerprint: dict[str, object]) -> None:
        self.file = folder / CHECKPOINT_FILE
        self.fingerprint = json.loads(json.dumps(fingerprint))  # tuples as the lists that will be read

    def write(self, tensors: Mapping[str, Tensor], state: Mapping[str, object]) -> None:
        from safetensors.torch import save

        header = {
            "format": CHECKPOINT_FORMAT,
            "state": json.dumps({"fingerprint": self.fingerprint, **state}),
        }
        contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        self.file.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(self.file, save(contiguous, metadata=header))

    def read(self, restore: Callable[[dict[str, Tensor], dict[str, Any]], None]) -> None:
        """Hands the saved tensors and state to ``restore``; does nothing when there is no checkpoint.

        Raises ``LabkitError`` naming the file when it is damaged, of another labkit, or of another run.
        """
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
            state = json.loads(header["state"])
            self._require_same_run(state["fingerprint"])
            restore(tensors, state)
        except LabkitError:
            raise
        except (AttributeError, KeyError, IndexError, TypeError, ValueError, RuntimeError) as error:
            reason = (str(error).splitlines() or [""])[0][:150]
            raise LabkitError(f"{self.file} is damaged ({reason}): delete it and start again") from None

    def _require_same_run(self, found: Mapping[str, object]) -> None:
        for key, here in self.fingerprint.items():
            if (there := found.get(key)) != here:
                raise LabkitError(
                    f"{self.file} belongs to another run: {key} was {there}, now {here}. Repeat that setting, or use "
                    "another folder"
                )


def with_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors, each name with the prefix before it: one network's or optimizer's part of a checkpoint."""
    return {prefix + name: tensor for name, tensor in tensors.items()}


def without_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """That part back out of a checkpoint."""
    return {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's moments by the number of the parameter and their name, ``3.exp_avg``."""
    state = optimizer.state_dict()["state"]
    return {f"{index}.{name}": tensor for index, moments in state.items() for name, tensor in moments.items()}


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], param_groups: object) -> None:
    """Gives back what `optimizer_tensors` and ``state_dict()["param_groups"]`` were."""
    optimizer.load_state_dict({"state": _moments(tensors, optimizer), "param_groups": param_groups})


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


def fingerprint(colorizer: Colorizer, train: Tensor, settings: LoopSettings, precision: str) -> dict[str, object]:
    """What must be the same for a resumed run to be the same run; JSON types only."""
    own = {k: v for k, v in asdict(settings).items() if k not in ("checkpoint_seconds", "compile", "device")}
    return own | {
        "precision": precision,
        "representation": colorizer.representation.config(),
        "network": colorizer.network.config(),
        "training images": digest(train),
    }


def digest(images: Tensor) -> str:
    """The images' SHA-256, cut to 16 digits."""
    return hashlib.sha256(images.cpu().contiguous().numpy().tobytes()).hexdigest()[:16]


def epoch_plan(epoch: int, count: int, settings: LoopSettings, device: torch.device) -> Plan:
    """The epoch's order and which images are mirrored, each ``(count,)``; drawn on the CPU, the same everywhere."""
    generator = torch.Generator().manual_seed(settings.seed * 1_000_003 + epoch)
    order = torch.randperm(count, generator=generator)
    mirrored = torch.rand(count, generator=generator) < 0.5
    return order.to(device), mirrored.to(device)


def take_batch(images: Tensor, plan: Plan, batch: int, settings: LoopSettings) -> Tensor:
    """The images of a batch in the epoch's order, with its mirrored ones mirrored, ``(B, 3, H, W)``."""
    chosen = slice(batch * settings.batch_size, (batch + 1) * settings.batch_size)
    order, mirrored = plan[0][chosen], plan[1][chosen]
    rgb = images[order]
    return torch.where(mirrored[:, None, None, None], rgb.flip(-1), rgb) if settings.flips else rgb


def autocast(precision: str, device: torch.device) -> AbstractContextManager[Any]:
    """Where networks compute in half precision, if that was chosen."""
    if precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16 if precision == "bf16" else torch.float16)


def check_images(images: Tensor, name: str) -> None:
    """Raises ``LabkitError`` unless images are uint8 ``(N, 3, H, W)``."""
    if images.dim() != 4 or images.shape[1] != 3 or images.dtype != torch.uint8 or len(images) == 0:
        raise LabkitError(
            f"{name} images must be a uint8 tensor (N, 3, H, W) with N > 0. Got {images.dtype} {tuple(images.shape)}"
        )


def require_finite(loss: float, epoch: int, batch: int, settings: LoopSettings) -> None:
    """Raises ``LabkitError`` saying what to try when a loss is NaN or infinite."""
    if not math.isfinite(loss):
        raise LabkitError(
            f"the loss is {loss} in epoch {epoch + 1}, batch {batch + 1}: training stopped. Try a learning rate below "
            f"{settings.learning_rate:g}, or precision float32 (now {settings.precision})"
        )


def progress_bar(progress: bool, steps: int, done: int) -> Any:
    """A bar on standard error, ``done`` of ``steps`` batches full; an invisible one without ``progress``."""
    from tqdm import tqdm

    # in stored notebooks (LABKIT_STATIC) a bar would only be clutter
    hidden = not progress or os.environ.get("LABKIT_STATIC") == "1"
    return tqdm(total=steps, initial=done, desc="training", unit="batch", leave=False, disable=hidden)


@contextmanager
def logger(folder: str | Path | None) -> Iterator[Any]:
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
