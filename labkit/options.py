"""The options of training, each declared once: its default, its limits and one line of help.

From these classes come the keywords of `labkit.training.fit` and `Colorizer.fit`, what they refuse, the options of
`labkit train` and their help, and what is stored beside a trained model. They are plain dataclasses rather than
pydantic models, and import nothing heavy, because the command line reads them before it parses: `labkit --help` would
wait for pydantic and torch otherwise.
"""

# ruff: noqa: RUF009 (`option` is `dataclasses.field`, which ruff does not see)

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from labkit.errors import LabkitError, check_integer, check_number

Precision = Literal["auto", "float32", "bf16", "fp16"]
GanLoss = Literal["bce", "lsgan"]
OptimizerName = Literal["adamw", "muon"]

Options = TypeVar("Options")
Function = TypeVar("Function", bound=Callable[..., Any])


def option(
    default: Any, help: str, *, min: float | None = None, max: float | None = None, above: float | None = None
) -> Any:
    """Declare a field of an options class.

    Args:
        default: the default value.
        help: one line for the command line and the documentation.
        min: smallest value allowed.
        max: largest value allowed.
        above: a limit that must be exceeded.

    Returns: a dataclass field.
    """
    return field(default=default, metadata={"help": help, "min": min, "max": max, "above": above})


class Checked:
    """A base of options classes: values are checked when an object is made."""

    def __post_init__(self) -> None:
        """Refuse values of another type or outside their limits."""
        kind: Any = type(self)
        hints = _hints(kind)
        for item in fields(self):  # type: ignore[arg-type]  # subclasses are dataclasses
            value = _check(item.name, getattr(self, item.name), hints[item.name], item.metadata)
            object.__setattr__(self, item.name, value)  # the class is frozen


@cache
def _hints(kind: Any) -> dict[str, Any]:
    """Return the types of a class's fields, kept: finding them is slow, and the recipes make thousands of options."""
    return get_type_hints(kind)


def _check(name: str, value: Any, hint: Any, limits: Mapping[str, Any]) -> Any:
    """Return the value of an option, a number of any library as Python's.

    Raises:
        LabkitError: it is outside of its limits, or of another type.
    """
    kinds = get_args(hint) if type(None) in get_args(hint) else (hint,)  # X | None -> X, None
    if value is None and type(None) in kinds:
        return value
    if get_origin(hint) is Literal and value not in get_args(hint):
        raise LabkitError(f"{name} must be one of {', '.join(get_args(hint))}. Got {value!r}")
    number = next((kind for kind in kinds if kind in (int, float)), None)
    if number is None:
        return value
    low, high, above = (limits.get(key) for key in ("min", "max", "above"))
    if number is int:
        return check_integer(name, value, low, high)
    return check_number(name, value, low, high, above)


@dataclass(frozen=True, kw_only=True)
class LoopSettings(Checked):
    """What every training loop is told."""

    epochs: int = option(8, "How often each training image is seen.", min=1)
    batch_size: int = option(64, "Images per training step.", min=1)
    learning_rate: float = option(4e-3, "Step size of the optimizer.", above=0)
    flips: bool = option(True, "Mirror half of the training images, drawn anew in each epoch.")
    rotation: float = option(0.0, "Rotate each training image by up to this many degrees, either way.", min=0, max=180)
    zoom: float = option(1.0, "Enlarge a random part of each training image, by up to this factor.", min=1, max=8)
    enlarge: float = option(
        1.0,
        "Show batches at 1, 1.5, 2, ... times their size, up to this factor; each size gets the same time.",
        min=1,
        max=8,
    )
    precision: Precision = option("auto", "Number format of the network; auto: half precision where it is faster.")
    device: str = option("auto", "Where to train: auto, cpu, cuda or mps.")
    seed: int = option(0, "Seed of the first weights, the batches and dropout.", min=0, max=2**32 - 1)
    checkpoint_seconds: float = option(30.0, "Seconds between checkpoints inside an epoch.", min=0)


@dataclass(frozen=True, kw_only=True)
class FitSettings(LoopSettings):
    """Options of `labkit.training.fit`; the defaults suit images of 32x32 pixels on a laptop."""

    learning_rate: float = option(4e-3, "Peak of the one-cycle schedule.", above=0)
    optimizer: OptimizerName = option("adamw", "adamw; or muon, which learns more in a step and takes longer for it.")
    weight_decay: float = option(0.01, "Weight decay of the optimizer.", min=0)
    grad_clip: float = option(1.0, "Largest norm of all gradients together.", above=0)
    hints: float = option(
        0.0, "Fraction of the training images shown with simulated color hints; network unet-guided.", min=0, max=1
    )
    patience: int | None = option(None, "Stop after this many epochs without a better validation loss.", min=1)
    compile: bool = option(False, "Use torch.compile: takes 10 to 50 s at the start, which long trainings gain back.")


@dataclass(frozen=True, kw_only=True)
class GanSettings(LoopSettings):
    """Options of `labkit.training.fit_gan`; the defaults are pix2pix's, but for its batches of one image.

    The learning rate, of both networks, is constant for half of the training and then falls linearly to zero.
    """

    epochs: int = option(20, "How often each training image is seen.", min=1)
    batch_size: int = option(16, "Images per training step.", min=1)
    learning_rate: float = option(2e-4, "Step size of both optimizers.", above=0)
    gan_loss: GanLoss = option("bce", "Binary cross-entropy, or lsgan: squared distances from 1 (real) and 0.")
    lambda_l1: float = option(100.0, "Weight of the L1 distance from the true color.", min=0)
    lambda_gan: float = option(
        1.0, "Weight of the adversarial loss; 0 trains the generator alone, all else equal.", min=0
    )
    patience: int | None = option(None, "Stop after this many epochs without a better validation loss.", min=1)
    betas: tuple[float, float] = option((0.5, 0.999), "Betas of Adam.")
    skip_discriminator_above: float | None = option(
        None, "Skip the discriminator's step while its accuracy is above this.", min=0.5, max=1
    )


@dataclass(frozen=True, kw_only=True)
class TrainOptions(FitSettings):
    """Options of `labkit train`: those of `fit`, and which data, representation and network."""

    dataset: str = option("toyworld", "Data set.")
    classes: str | None = option(None, "Only these classes, separated by commas.")
    limit: int | None = option(None, "At most this many training images.", min=1)
    size: int | None = option(None, "Resize images to this many pixels.", min=1)
    representation: str = option("luma-chroma", "What is predicted: a color space, or color bins (with a number).")
    network: str = option("unet-half", "Network.")
    width: int = option(32, "Channels of the first layer.", min=1)
    start: str | None = option(
        None, "Go on with a trained model: starter, or a folder that labkit train wrote. It brings its own network."
    )
    epochs: int | None = option(  # type: ignore[assignment]  # None: as many as `patience` allows, 30 at most
        None, "If given without --patience, no validation split is taken; else it stops by itself.", min=1
    )
    alpha: float = option(1.0, "Loss: alpha * MSE + (1 - alpha) * L1.", min=0, max=1)
    data_root: Path | None = option(None, "Where data sets are; else LABKIT_DATA or ./data.")
    out: Path | None = option(None, "Folder for the model and metrics.json.")
    resume: bool = option(False, "Go on in --out, with the options given before.")
    tensorboard: Path | None = option(None, "Folder for TensorBoard logs.")
    dtype: Literal["float32", "float16"] = option("float32", "Number format of the saved weights.")
    progress: bool = option(True, "Show a progress bar.")

    def __post_init__(self) -> None:
        """Accept text as paths, then check."""
        for name in ("data_root", "out", "tensorboard"):
            if (path := getattr(self, name)) is not None:
                object.__setattr__(self, name, Path(path))
        super().__post_init__()


def make_options(kind: Callable[..., Options], given: dict[str, Any]) -> Options:
    """Make an options object of keywords.

    Raises:
        TypeError: a keyword is unknown; the message names the nearest one. Or a value has another type.
        LabkitError: a value is outside its limits.
    """
    known = [item.name for item in fields(kind)]  # type: ignore[arg-type]
    for name in given:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f": did you mean {near[0]!r}?" if near else f". Choose among {', '.join(known)}"
            raise TypeError(f"unknown option {name!r}{hint}")
    return kind(**given)


def takes(source: type | Callable[..., Any]) -> Callable[[Function], Function]:
    """Show the fields of an options class, or the keywords of another function, in place of ``**options``.

    Only what `help`, the API pages and tab completion read is changed: `inspect.signature`.
    """

    def decorate(function: Function) -> Function:
        signature = inspect.signature(function)
        own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        names = {p.name for p in own}
        more = [p for p in keywords(source) if p.name not in names]
        function.__signature__ = signature.replace(parameters=[*own, *more])  # type: ignore[attr-defined]
        return function

    return decorate


def keywords(source: type | Callable[..., Any]) -> list[inspect.Parameter]:
    """Return the fields of an options class, or the keyword-only parameters of a function."""
    if not isinstance(source, type):
        return [p for p in inspect.signature(source).parameters.values() if p.kind is p.KEYWORD_ONLY]
    hints, kind = get_type_hints(source), inspect.Parameter.KEYWORD_ONLY
    return [inspect.Parameter(f.name, kind, default=f.default, annotation=hints[f.name]) for f in fields(source)]
