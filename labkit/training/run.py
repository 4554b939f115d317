"""`labkit train`: one colorizer from a data set to a scored model in a folder."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from labkit import __version__
from labkit.artifacts import claim_folder, write_text
from labkit.colorizer import CARD_FILE, Colorizer
from labkit.data import load
from labkit.data.dataset import check_colored
from labkit.device import Precision
from labkit.errors import LabkitError
from labkit.metrics import KEYS, SSIM_WINDOW, evaluate
from labkit.models import count_parameters
from labkit.training.checkpoint import CHECKPOINT_FILE
from labkit.training.loop import FitSettings, fit
from labkit.training.settings import History

METRICS_FILE, OPTIONS_FILE = "metrics.json", "options.json"
EPOCHS_AT_MOST, PATIENCE = 30, 5  # without --epochs: early stopping on a validation split
WHERE_AND_HOW = {"data_root", "out", "resume", "tensorboard", "progress"}  # options that leave the result alone


class TrainOptions(BaseModel):
    """The options of `labkit train`; the same names, the same defaults."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dataset: str = "toyworld"
    classes: str | None = None
    limit: int | None = None
    size: int | None = None
    representation: str = "luma-chroma"
    network: str = "unet-half"
    width: int = 32
    epochs: int | None = None
    batch_size: int = 64
    learning_rate: float = 4e-3
    alpha: float = 1.0
    seed: int = 0
    data_root: Path | None = None
    out: Path | None = None
    resume: bool = False
    precision: Precision = "auto"
    device: str = "auto"
    tensorboard: Path | None = None
    dtype: Literal["float32", "float16"] = "float32"
    progress: bool = True


def train(options: TrainOptions) -> dict[str, Any]:
    """Trains, scores on the test split and, with ``options.out``, saves model and metrics there.

    With ``epochs`` given, all training images are used and no validation split is taken; without, training stops
    early on a validation split. Test images are used for the final score only. With ``resume``, options that are not
    given are those that the run in ``out`` was begun with.

    Returns the metrics: mse, mae, psnr_mean, psnr_pooled, ssim, colorfulness, skill, ``gray`` (the same keys for
    the gray baseline), ``seconds`` (training alone), and the options and versions that made them.
    Raises ``LabkitError`` when ``out`` already holds another run, or nothing to go on with and no option is given, or
    while another process trains there.
    """
    options = _with_those_before(options)
    options = TrainOptions.model_validate(options.model_dump() | {"data_root": _absolute(options.data_root)})
    identity = options.model_dump(mode="json", exclude=WHERE_AND_HOW)
    if options.out and (done := finished(options.out, options.resume, identity)):
        return done

    colorizer = Colorizer.create(
        options.representation, options.network, seed=options.seed, alpha=options.alpha, width=options.width
    )
    arguments: dict[str, Any] = {
        "size": options.size,
        "classes": options.classes,
        "seed": options.seed,
        "root": options.data_root,
    }
    if options.epochs is None:
        images = load(options.dataset, "train", limit=options.limit, **arguments).images
        validation = load(options.dataset, "validation", **arguments).images
        epochs, patience = EPOCHS_AT_MOST, PATIENCE
    else:
        images = load(options.dataset, "train+validation", limit=options.limit, **arguments).images
        validation, epochs, patience = None, options.epochs, None
    settings = FitSettings(
        epochs=epochs,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        patience=patience,
        precision=options.precision,
        device=options.device,
        seed=options.seed,
    )
    tested = load(options.dataset, "test", **arguments)
    test = tested.images
    if (side := min(*images.shape[-2:], *test.shape[-2:])) < SSIM_WINDOW:  # now, not when the training is done
        raise LabkitError(f"images of {side} pixels are too small to score: give --size {SSIM_WINDOW} or more")
    check_colored(tested)
    with claim_folder(options.out) if options.out else nullcontext():
        if options.out and (done := finished(options.out, options.resume, identity)):  # by another, while images loaded
            return done
        # While a checkpoint is there, the options are those that it was begun with: `fit` refuses others.
        if options.out and not ((options.out / OPTIONS_FILE).is_file() and (options.out / CHECKPOINT_FILE).is_file()):
            told = options.model_dump_json(indent=2, exclude={"out", "resume", "progress"})
            write_text(options.out / OPTIONS_FILE, told + "\n")
        history = fit(
            colorizer,
            images,
            validation=validation,
            settings=settings,
            out=options.out,
            resume=options.resume,
            progress=options.progress,
            tensorboard=options.tensorboard,
        )
        return score_and_save(
            colorizer,
            history,
            images,
            test,
            validation=validation,
            identity=identity,
            out=options.out,
            dtype=options.dtype,
        )


def score_and_save(
    colorizer: Colorizer,
    history: History,
    images: Tensor,
    test: Tensor,
    *,
    validation: Tensor | None = None,
    identity: Mapping[str, Any],
    out: Path | None = None,
    dtype: Literal["float32", "float16"] = "float32",
) -> dict[str, Any]:
    """What follows a training: one look at the test images; with ``out``, model and metrics are saved there.

    ``images``, ``test`` and ``validation`` are ``(N, 3, H, W)`` uint8, the first and last only to be counted.
    ``identity`` says which run this is, in JSON types: it is stored with the results, and `finished` compares it.
    Returns what `train` does.
    """
    scores = evaluate(colorizer, test)
    metrics = scores | {
        "seconds": round(history.seconds, 3),
        "epochs": len(history.rows),
        "images": {"train": len(images), "validation": 0 if validation is None else len(validation), "test": len(test)},
        "parameters": count_parameters(colorizer.network),
        "options": dict(identity),
        "precision": history.precision,
        "device": history.device,
        "versions": {"labkit": __version__, "torch": torch.__version__, "python": platform.python_version()},
        "history": history.rows,
    }
    if out:
        own = {name: value for name, value in scores.items() if name != "gray"}
        colorizer.about = {"options": dict(identity), "test": own}  # no times: the same training gives the same file
        colorizer.save(out, getattr(torch, dtype))
        write_text(out / METRICS_FILE, json.dumps(metrics, indent=2) + "\n")
        (out / CHECKPOINT_FILE).unlink(missing_ok=True)
    return metrics


def _with_those_before(options: TrainOptions) -> TrainOptions:
    """With ``resume``, the options of the run in ``out`` stand in for those that are not given."""
    if not (options.resume and options.out):
        return options
    if not (options.out / OPTIONS_FILE).is_file():
        known = any((options.out / name).exists() for name in (METRICS_FILE, CHECKPOINT_FILE))
        if not known and options.model_fields_set <= WHERE_AND_HOW:
            raise LabkitError(f"{options.out} holds no training to go on with: give the options to begin one")
        return options
    try:
        before = json.loads((options.out / OPTIONS_FILE).read_text(encoding="utf-8"))
        return TrainOptions(**(before | options.model_dump(exclude_unset=True)))
    except (ValueError, TypeError):
        raise LabkitError(f"{options.out / OPTIONS_FILE} is damaged: delete it and give all options again") from None


def _absolute(path: Path | None) -> Path | None:
    return Path(os.path.expanduser(path)).resolve() if path else None


def finished(out: Path, resume: bool, identity: Mapping[str, Any]) -> dict[str, Any] | None:
    """The metrics of a finished run in ``out``; None when there is nothing, or something to resume.

    Raises ``LabkitError`` when ``out`` holds another run, or any run and ``resume`` is false.
    """
    metrics_file = out / METRICS_FILE
    if not resume:
        for name in (METRICS_FILE, CARD_FILE, CHECKPOINT_FILE):
            if (out / name).exists():
                raise LabkitError(f"{out} already holds {name}: add --resume to go on, or choose another --out")
        return None
    if not metrics_file.is_file():
        if (out / CARD_FILE).exists() and not (out / CHECKPOINT_FILE).exists():  # a killed run leaves its checkpoint
            raise LabkitError(f"{out} holds a model but no {METRICS_FILE} of its training: choose another --out")
        return None
    try:
        metrics: dict[str, Any] = json.loads(metrics_file.read_text(encoding="utf-8"))
        past = dict(metrics["options"])
        scores = [metrics[name] - metrics["gray"][name] for name in KEYS] + [metrics["skill"], metrics["seconds"]]
    except (ValueError, TypeError, KeyError):
        scores = []
    if not scores:
        raise LabkitError(f"{metrics_file} is damaged: delete {out} and train again, or choose another --out")
    for key, value in identity.items():
        if (there := past.get(key)) != value:
            raise LabkitError(f"{out} holds another run: {key} was {there}, now {value}. Choose another --out")
    Colorizer.load(out)  # raises when the model that these scores belong to is gone or damaged
    return metrics
