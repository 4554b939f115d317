"""The command `labkit train`: from a data set to a scored model in a folder."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from labkit import __version__
from labkit.artifacts import claim_folder, write_json
from labkit.colorizer import CARD_FILE, SIZES, STARTER, Colorizer
from labkit.data import Dataset, load
from labkit.data.dataset import check_colored
from labkit.errors import LabkitError
from labkit.metrics import KEYS, SSIM_WINDOW, evaluate
from labkit.models import count_parameters
from labkit.options import FitSettings, TrainOptions, make_options, takes
from labkit.training.checkpoint import CHECKPOINT_FILE
from labkit.training.distributed import first_alone, from_first, process_group, processes, rank
from labkit.training.session import History

METRICS_FILE, OPTIONS_FILE = "metrics.json", "options.json"
EPOCHS_AT_MOST, PATIENCE = 30, 5  # without --epochs: early stopping on a validation split
STARTER_NAME, START_WEIGHTS = "starter", "weights of start"  # the latter: a digest, in options.json
BROUGHT = ("representation", "network", "width", "alpha")  # by the model that --start names
# Options that leave the result as it is:
WHERE_AND_HOW = {"data_root", "out", "resume", "tensorboard", "progress", "checkpoint_seconds"}


@takes(TrainOptions)
def train(**given: Any) -> dict[str, Any]:
    """Train a colorizer, score it on the test images and, with ``out``, save model and metrics there.

    With ``epochs`` and without ``patience`` all training images are used and no validation split is taken. Else
    training stops early on a validation split. Test images are used for the final score only. With ``resume``, options
    that are not given are those that the run in ``out`` was begun with. Under torchrun several processes train one
    network together; all return the metrics.

    Args:
        **given: see `labkit.options.TrainOptions`.

    Returns: mse, mae, psnr_mean, psnr_pooled, ssim, colorfulness, skill; ``gray`` (the same keys for the gray
        baseline), ``seconds`` (training alone), and the options and versions that made them.

    Raises:
        LabkitError: an option is outside its limits; ``out`` already holds another run, or nothing to resume while no
            option is given; another process trains there; or ``start`` is no model, or is given beside what it brings.
        TypeError: unknown option.
    """
    options = _options(given)
    if options.start is not None and (both := [name for name in BROUGHT if name in given]):
        raise LabkitError(f"--start brings its own {both[0]}: leave out --{both[0]}, or --start")
    with process_group(options.device):
        return from_first(_train(options))


def _train(options: TrainOptions) -> dict[str, Any]:
    """Train as `train` does. Under torchrun all processes are here; number 0 alone writes and scores."""
    identity = {name: value for name, value in asdict(options).items() if name not in WHERE_AND_HOW}
    if options.start is None:
        colorizer = Colorizer(
            options.representation, options.network, seed=options.seed, alpha=options.alpha, width=options.width
        )
    else:
        folder = STARTER if options.start == STARTER_NAME else Path(options.start)
        colorizer = Colorizer.load(folder)
        identity |= _brought(colorizer, folder)
    if options.out and (done := finished(options.out, options.resume, identity)):
        return done
    with first_alone():
        images = _load_images(options)
    with claim_folder(options.out) if options.out and rank() == 0 else nullcontext():
        if options.out and (done := finished(options.out, options.resume, identity)):  # by another, while images loaded
            return done
        # While a checkpoint is there, the options are those that it was begun with: `fit` refuses others.
        going_on = options.out and (options.out / OPTIONS_FILE).is_file() and (options.out / CHECKPOINT_FILE).is_file()
        weights = None if options.start is None else identity["start"]
        if options.out and going_on:
            begun = json.loads((options.out / OPTIONS_FILE).read_text(encoding="utf-8")).get(START_WEIGHTS)
            if begun != weights:
                raise LabkitError(
                    f"{options.out} was begun with other weights of --start: {begun}, now {weights}. "
                    "Choose another --out"
                )
        if options.out and rank() == 0 and not going_on:
            told = {k: v for k, v in asdict(options).items() if k not in ("out", "resume", "progress")}
            told |= {START_WEIGHTS: weights} if weights else {}
            write_json(options.out / OPTIONS_FILE, json.loads(json.dumps(told, default=str)))
        early = {"epochs": EPOCHS_AT_MOST, "patience": PATIENCE} if options.epochs is None else {}
        settings = {item.name: getattr(options, item.name) for item in fields(FitSettings)}
        settings |= {name: value for name, value in early.items() if settings[name] is None}
        history = colorizer.fit(
            images.train,
            validation=images.validation,
            out=options.out,
            resume=options.resume,
            progress=options.progress,
            tensorboard=options.tensorboard,
            **settings,
        )
        if rank() > 0:
            return {}
        return score_and_save(
            colorizer,
            history,
            images.train,
            images.test,
            validation=images.validation,
            identity=identity,
            out=options.out,
            dtype=options.dtype,
        )


def _brought(colorizer: Colorizer, folder: Path) -> dict[str, Any]:
    """Return what tells a run that goes on with a trained model from others: its weights, and what it brings."""
    network, told = colorizer.network.config(), colorizer.about.get("options")
    card = json.loads((folder / CARD_FILE).read_text(encoding="utf-8"))  # `load` has checked it
    named = told["representation"] if isinstance(told, dict) and "representation" in told else None
    return {
        "start": card["sha256"][:16],
        "representation": named or colorizer.representation.name,  # by the name that --representation takes
        "network": network["name"],
        "width": network["width"],
        "alpha": getattr(colorizer.representation, "alpha", 1.0),
    }


class _Images(NamedTuple):
    train: Tensor
    validation: Tensor | None
    test: Tensor


def _load_images(options: TrainOptions) -> _Images:
    def load_split(split: str, limit: int | None = None) -> Dataset:
        how = {"size": options.size, "classes": options.classes, "seed": options.seed, "root": options.data_root}
        return load(options.dataset, split, limit=limit, **how)

    if options.epochs is None or options.patience is not None:
        train, validation = load_split("train", options.limit).images, load_split("validation").images
    else:
        train, validation = load_split("train+validation", options.limit).images, None
    test = load_split("test")
    if (side := min(*train.shape[-2:], *test.images.shape[-2:])) < SSIM_WINDOW:  # now, not when the training is done
        raise LabkitError(f"images of {side} pixels are too small to score: give --size {SSIM_WINDOW} or more")
    check_colored(test)
    return _Images(train, validation, test.images)


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
    """Score a trained colorizer on the test images; with ``out``, save model and metrics there.

    Args:
        colorizer: trained.
        history: of its training.
        images: training images ``(N, 3, H, W)`` uint8, which are only counted.
        test: test images ``(N, 3, H, W)`` uint8.
        validation: as ``images``.
        identity: says which run this is, in JSON types: it is stored with the results, and `finished` compares it.
        out: folder for the results.
        dtype: of the saved weights.

    Returns: the metrics, as `train`.
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
        **({"processes": processes()} if processes() > 1 else {}),
        "versions": {"labkit": __version__, "torch": torch.__version__, "python": platform.python_version()},
        "history": history.rows,
    }
    if out:
        own = {name: value for name, value in scores.items() if name != "gray"}
        kept = {key: value for key, value in colorizer.about.items() if key in SIZES}  # of --start's model
        colorizer.about = kept | {"options": dict(identity), "test": own}  # no times: the same training, the same file
        colorizer.save(out, getattr(torch, dtype))
        write_json(out / METRICS_FILE, metrics)
        (out / CHECKPOINT_FILE).unlink(missing_ok=True)
    return metrics


def _options(given: dict[str, Any]) -> TrainOptions:
    """Make the options; with ``resume``, those of the run in ``out`` stand in for what is not given."""
    options = make_options(TrainOptions, given)
    if options.resume and (out := options.out):
        file = out / OPTIONS_FILE
        if file.is_file():
            try:
                before = json.loads(file.read_text(encoding="utf-8"))
                before.pop(START_WEIGHTS, None)
                options = TrainOptions(**(before | given))
            except (ValueError, TypeError):
                raise LabkitError(f"{file} is damaged: delete it and give all options again") from None
        else:
            known = any((out / name).exists() for name in (METRICS_FILE, CHECKPOINT_FILE))
            if not known and given.keys() <= WHERE_AND_HOW:
                raise LabkitError(f"{out} holds no training to go on with: give the options to begin one")
    if options.data_root is not None:
        options = replace(options, data_root=Path(os.path.expanduser(options.data_root)).resolve())
    if options.start not in (None, STARTER_NAME):
        options = replace(options, start=str(Path(os.path.expanduser(options.start)).resolve()))
    return options


def finished(out: Path, resume: bool, identity: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the metrics of a finished run in ``out``; None when there is nothing, or something to resume.

    Raises:
        LabkitError: ``out`` holds another run, or any run and ``resume`` is false.
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
    defaults = {item.name: item.default for item in fields(TrainOptions)}
    for key, value in identity.items():
        if (there := past.get(key, defaults.get(key))) != value:  # a run of before an option existed had its default
            raise LabkitError(f"{out} holds another run: {key} was {there}, now {value}. Choose another --out")
    Colorizer.load(out)  # raises when the model that these scores belong to is gone or damaged
    return metrics
