"""`labkit reproduce`: recipes trained, scored on their test images, and set beside what the papers print.

In the folder of results:

- models/*/: one training each, with model, metrics.json and, until it is done, a checkpoint; recipes that ask for the
  same training share it;
- results/RECIPE/PROFILE/SYSTEM-seedN.json: the scores of one run;
- measured/RECIPE.PROFILE.csv: a row a number and seed; copy it to data/measured to make it part of the course;
- reproduce.csv, reproduce.json and reproduce.html: the tables; ledger.jsonl: what `--resume` goes by.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, cast

import torch
from rich.console import Console
from torch import Tensor

from labkit import __version__, artifacts
from labkit.colorizer import Colorizer
from labkit.course import report
from labkit.data import Dataset, load
from labkit.data import data_root as find_root
from labkit.data import merge as merge_datasets
from labkit.data.dataset import check_colored, resize
from labkit.data.folder import listing
from labkit.errors import LabkitError, out_of_memory
from labkit.experiments import scores
from labkit.experiments.claims import Finding, claims, examine
from labkit.experiments.measured import Measured, Row, merge, summarize
from labkit.experiments.recipes import Decoding, Recipe, Setup, System, find_recipes
from labkit.experiments.tables import comparison, overview
from labkit.ledger import Entry, Ledger, environment, now
from labkit.metrics import gray_prediction, skill
from labkit.notebook.lab import resolve_profile
from labkit.representation import make_representation
from labkit.training import gan as adversarial
from labkit.training.loop import FitSettings, History, LoopSettings, fit
from labkit.training.run import METRICS_FILE, finished, score_and_save

FIRST = "first"  # folder of the checkpoint of a first training, while there is one
EXAMPLES = 8  # pictures in a row of the page


@dataclass(frozen=True)
class Images:
    """The images of one setup. `train` and `validation` are empty of what `test` holds; uint8 (N, 3, H, W)."""

    train: Tensor
    validation: Tensor | None
    test: Dataset
    line: str  # which, and how many


@dataclass(frozen=True)
class Run:
    """One training: a system of a recipe with one seed."""

    recipe: Recipe
    system: System
    profile: str
    seed: int
    command: str
    photographs: str = ""  # which, where they are of a folder; see `labkit.data.folder.listing`

    @property
    def key(self) -> str:
        return f"{self.recipe.name}/{self.profile}/{_slug(self.system.name)}-seed{self.seed}"

    @property
    def title(self) -> str:
        return f"{self.recipe.name}: {self.system.name}, seed {self.seed}"

    def identity(self) -> dict[str, Any]:
        """What decides the trained model, in JSON types."""
        training = self.recipe.training(self.system, self.profile, self.seed)
        if self.photographs:
            training["photographs"] = self.photographs
        return cast(dict[str, Any], json.loads(json.dumps(training)))

    @property
    def folder(self) -> str:
        """Of the training: named by what decides it, so that two recipes with the same training share one."""
        identity = self.identity()
        digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:10]
        return f"models/{self.system.representation}-{self.system.network}-seed{self.seed}-{digest}"

    def input_hash(self) -> str:
        """SHA-256 over what decides the scores. The version stands for the code: hours of training outlive an edit."""
        decodings = [
            (reading.name, dict(reading.options), reading.flip_average, *([reading.size] if reading.size else []))
            for reading in self.system.decodings
        ]
        parts = [self.identity(), decodings, self.recipe.thresholds, __version__]
        parts += [name for name in ("kid", "by_class") if getattr(self.recipe, name)]  # False: as before they existed
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


@dataclass
class Outcome:
    """What came of one recipe."""

    recipe: Recipe
    profile: str
    rows: list[Row] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)  # title of a run -> why

    @property
    def measured(self) -> list[Measured]:
        return summarize(self.rows)

    @property
    def findings(self) -> list[Finding]:
        found = (examine(relation, self.measured) for relation in self.recipe.claims)
        return [finding for finding in found if finding]


def reproduce(
    names: Sequence[str],
    *,
    profile: str = "auto",
    seeds: int = 3,
    data_root: Path | None = None,
    out: str | Path = "runs/reproduce",
    resume: bool = False,
    console: Console | None = None,
) -> list[Outcome]:
    """Trains what is missing, scores it on the test images, and writes tables and a page into `out`.

    `names`: recipes, papers or "all". Seeds are 0 to `seeds` - 1; every system is trained with one seed before the next
    seed begins. With `resume`, what the ledger of `out` knows is taken over and a training that was cut off goes on
    from its checkpoint. A training that fails, or whose images are missing, does not stop the others.

    Raises LabkitError for unknown names and for an `out` that holds runs when `resume` is false, or that another
    process is writing into.
    """
    console = console or Console()
    recipes, profile, out = find_recipes(names), resolve_profile(profile), Path(out)
    if seeds < 1:
        raise LabkitError(f"--seeds must be at least 1. Got {seeds}")
    outcomes = [Outcome(recipe, profile) for recipe in recipes]
    shelf = _Shelf(data_root)
    runs = [
        (
            outcome,
            Run(
                outcome.recipe,
                system,
                profile,
                seed,
                _command(outcome.recipe, profile, seeds),
                shelf.photographs(outcome.recipe.setup(system, profile)),
            ),
        )
        for outcome in outcomes
        for seed in range(seeds)
        for system in outcome.recipe.systems
    ]
    with artifacts.claim_folder(out):
        for number, (outcome, run) in enumerate(runs, 1):
            title = f"[{number}/{len(runs)}] {run.title}"
            try:
                rows, note = _run(run, out, shelf, resume)
            except _Failed as failure:
                outcome.failures[run.title] = str(failure)
                _say(console, f"{title}  FAILED: {failure}")
                continue
            merge(out / "measured" / f"{run.recipe.name}.{profile}.csv", rows)
            outcome.rows += rows
            _say(console, f"{title}  {note}")
        _write(outcomes, out, shelf, [run for _, run in runs])
    return outcomes


class _Failed(Exception):
    """A training that ended badly; its one line is what the tables say."""


class _Shelf:
    """The images of every setup that was asked for, each loaded once; and which trainings were begun meanwhile."""

    def __init__(self, root: Path | None) -> None:
        self.root = root
        self.loaded: dict[str, Images | LabkitError] = {}  # or why they could not be
        self.begun: set[str] = set()
        self.listed: dict[Path, str] = {}

    def photographs(self, setup: Setup) -> str:
        """Which photographs a folder holds; empty for other data sets."""
        if "folder" not in setup.datasets + setup.of_test().datasets:
            return ""
        place = _place(setup, "folder", self.root) or find_root(self.root)
        if place not in self.listed:
            self.listed[place] = listing(place)
        return self.listed[place]

    def images(self, setup: Setup) -> Images:
        key = repr(replace(setup, network={}, fit=FitSettings(patience=setup.fit.patience)))
        if key not in self.loaded:
            try:
                self.loaded[key] = load_images(setup, self.root)
            except LabkitError as error:
                self.loaded[key] = error
        found = self.loaded[key]
        if isinstance(found, LabkitError):
            raise found
        return found


def load_images(setup: Setup, root: Path | None = None) -> Images:
    """The images that a setup names, from `root` (else LABKIT_DATA, else ./data). The same for every seed.

    Raises LabkitError where they are missing, or where no test image has any color to be scored on.
    """
    validation = None
    if setup.holds_out:
        train = _load(setup, "train", root).images
        validation = _load(replace(setup, limit=None), "validation", root).images
    else:
        train = _load(setup, "train+validation", root).images
    if setup.shrink:
        train = resize(resize(train, setup.shrink), int(train.shape[-1]))
    test = _load(setup.of_test(), "test", root)
    check_colored(test)
    counts = [f"{len(train)} train"] + ([f"{len(validation)} validation"] if validation is not None else [])
    which = f"{_names(setup, root)}, {train.shape[-1]} px"
    if setup.shrink:
        which += f" enlarged from {setup.shrink}"
    scored = [_names(setup, root, test=True)] if setup.test_dataset else []
    scored += [setup.test_classes] if setup.test_classes else []
    line = f"{which}: {', '.join(counts)}, {len(test)} test" + (f" ({' '.join(scored)})" if scored else "")
    return Images(train, validation, test, line)


def _load(setup: Setup, split: str, root: Path | None) -> Dataset:
    """One split of the data sets of a setup, put together."""
    parts = [
        load(
            name,
            split,
            size=setup.size,
            classes=setup.classes,
            limit=setup.limit,
            root=_place(setup, name, root),
            min_saturation=setup.min_saturation if name == "folder" else None,
        )
        for name in setup.datasets
    ]
    whole = parts[0] if len(parts) == 1 else merge_datasets(*parts)
    if setup.crop is None:
        return whole
    edge = (whole.images.shape[-1] - setup.crop) // 2
    inside = slice(edge, edge + setup.crop)
    return whole.map_tensors(lambda part: part[..., inside, inside].contiguous() if part.ndim == 4 else part)


def _place(setup: Setup, name: str, root: Path | None) -> Path | None:
    if name != "folder" or not setup.folder:
        return root
    base = find_root(root)
    return base / setup.folder if (base / setup.folder).is_dir() else base


def _names(setup: Setup, root: Path | None, test: bool = False) -> str:
    """The data sets in words; a folder by its own name and `listing`."""
    names = []
    for name in setup.of_test().datasets if test else setup.datasets:
        place = _place(setup, name, root)
        names.append(f"{place.name} ({listing(place)})" if name == "folder" and place else name)
    return "+".join(names) + (f" {setup.classes}" if setup.classes and not test else "")


# ---------------------------------------------------------------------------------------------------------------------
# One training


def _run(run: Run, out: Path, shelf: _Shelf, resume: bool) -> tuple[list[Row], str]:
    """The rows of a run and a few words on it; trained and scored here unless the ledger has it."""
    ledger, folder = Ledger(out / "ledger.jsonl"), out / run.folder
    if resume and (entry := ledger.done("reproduce", run.key, run.input_hash())) and entry.output:
        rows = _rows_of(out / entry.output)
        return rows, f"done before, {_in_words(rows)}"
    resume = resume or run.folder in shelf.begun  # by another recipe, which may have failed
    if not resume:
        finished(folder, False, run.identity())  # what is there is not to be written over: that ends everything
    shelf.begun.add(run.folder)
    try:
        metrics = finished(folder, resume, run.identity())
        images = shelf.images(run.recipe.setup(run.system, run.profile))
        if metrics is None:
            metrics = _train(run, images, folder, shelf, resume)
        rows = list(_score(run, images, folder, metrics))
    except (LabkitError, MemoryError, RuntimeError) as error:
        note = str(error) if isinstance(error, LabkitError) else out_of_memory(error)
        if not note:
            raise
        ledger.append(Entry(kind="reproduce", key=run.key, input_hash=run.input_hash(), status="failed", note=note))
        raise _Failed(note) from None
    output = out / "results" / f"{run.key}.json"
    artifacts.write_text(output, json.dumps({"rows": [asdict(row) for row in rows]}, indent=2) + "\n")
    ledger.append(
        Entry(
            kind="reproduce",
            key=run.key,
            input_hash=run.input_hash(),
            status="ok",
            output=output.relative_to(out).as_posix(),
            output_sha256=artifacts.sha256(output),
            seconds=metrics["seconds"],
        )
    )
    return rows, _in_words(rows)


def _train(run: Run, images: Images, folder: Path, shelf: _Shelf, resume: bool) -> dict[str, Any]:
    identity, setup = run.identity(), run.recipe.setup(run.system, run.profile)
    colorizer, progress = make_colorizer(identity, run.seed), sys.stderr.isatty()
    settings = replace(setup.fit, seed=run.seed)
    history: History
    held_out = images.validation
    if run.system.gan is None:
        first = run.recipe.before(run.system, run.profile)
        spent = 0.0
        if first:
            # When it is done its checkpoint stays until the end, so that a resumed run finds its weights there.
            earlier = shelf.images(first).train
            before = replace(first.fit, seed=run.seed)
            spent = fit(
                colorizer, earlier, settings=before, out=folder / FIRST, resume=resume, progress=progress
            ).seconds
        history = fit(
            colorizer,
            images.train,
            validation=held_out,
            settings=settings,
            watch=None if held_out is None else lambda so_far: scores.watched(so_far, held_out).ours,
            out=folder,
            resume=resume,
            progress=progress,
        )
        history.seconds += spent
    else:
        options = dict(run.system.gan)
        critic = {name: options.pop(name) for name in ("layers", "width") if name in options}
        loop = {item.name: getattr(settings, item.name) for item in fields(LoopSettings)}
        history = adversarial.fit(
            colorizer,
            adversarial.discriminator_for(colorizer, seed=run.seed, **critic),
            images.train,
            settings=adversarial.GanSettings(**(loop | options)),
            out=folder,
            resume=resume,
            progress=progress,
        )
    metrics = score_and_save(
        colorizer, history, images.train, images.test.images, validation=held_out, identity=identity, out=folder
    )
    shutil.rmtree(folder / FIRST, ignore_errors=True)
    return metrics


def make_colorizer(training: Mapping[str, Any], seed: int) -> Colorizer:
    """A fresh colorizer as `Recipe.training` describes it."""
    space = dict(training["representation"])
    network = dict(training["network"])
    return Colorizer.create(make_representation(space.pop("name"), **space), network.pop("name"), seed=seed, **network)


def _score(run: Run, images: Images, folder: Path, metrics: Mapping[str, Any]) -> Iterable[Row]:
    """Every reading in every metric.

    The model is read from its files, so that what is scored is what is kept; where the recipe asks no more, the
    system's own reading has the scores that `score_and_save` wrote beside it.
    """
    trained = Colorizer.load(folder)
    trained.network.to(metrics["device"])
    best = scores.oracle_view(trained)
    oracle = scores.scores(best, images.test, run.recipe).ours if best else {}
    found = {
        reading.name: scores.scores_kept(metrics)
        if reading.name == run.system.name and not scores.asks_more(run.recipe)
        else scores.scores(scores.view(trained, reading), _enlarged(images.test, reading), run.recipe)
        for reading in run.system.decodings
    }
    if images.validation is not None:
        epochs = scores.of_epochs(metrics["history"], scores.watched(trained, images.validation).gray)
        found[run.system.name] = scores.Scores(*(a | b for a, b in zip(found[run.system.name], epochs, strict=True)))
    date, enlarged = now(), {reading.name: reading.size for reading in run.system.decodings if reading.size}
    for name, (ours, gray) in found.items():
        for metric, value in ours.items():
            yield Row(
                recipe=run.recipe.name,
                system=name,
                metric=metric,
                profile=run.profile,
                seed=run.seed,
                value=value,
                gray=gray[metric],
                oracle=None if name in enlarged else oracle.get(metric),
                parameters=metrics["parameters"],
                seconds=metrics["seconds"],
                device=_device(metrics["device"]),
                threads=torch.get_num_threads(),
                torch=metrics["versions"]["torch"],
                labkit=metrics["versions"]["labkit"],
                date=date,
                data=images.line + (f", enlarged to {enlarged[name]} px" if name in enlarged else ""),
                command=run.command,
            )


def _enlarged(test: Dataset, reading: Decoding) -> Dataset:
    """The test images in the size that the reading asks for."""
    size = reading.size
    if size is None:
        return test
    return test.map_tensors(lambda part: resize(part, size) if part.ndim == 4 else part)


def _rows_of(result: Path) -> list[Row]:
    return [Row(**row) for row in json.loads(result.read_text(encoding="utf-8"))["rows"]]


def _in_words(rows: Sequence[Row]) -> str:
    first = {row.metric: row for row in rows if row.system == rows[0].system}
    mse = first["mse"]
    return f"mse {mse.value:.5f}, skill {skill(mse.value, mse.gray):.3f}, {mse.seconds:.0f} s"


def _device(name: str) -> str:
    return torch.cuda.get_device_name(name) if name.startswith("cuda") else name


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _command(recipe: Recipe, profile: str, seeds: int) -> str:
    return f"labkit reproduce {recipe.name} --profile {profile} --seeds {seeds}"


def _say(console: Console, line: str) -> None:
    console.print(line, markup=False, highlight=False, soft_wrap=True)


# ---------------------------------------------------------------------------------------------------------------------
# What is left behind


def _write(outcomes: Sequence[Outcome], out: Path, shelf: _Shelf, runs: Sequence[Run]) -> None:
    """reproduce.csv, reproduce.json and reproduce.html."""
    tables = {o.recipe.name: comparison(o.recipe, o.measured, o.failures) for o in outcomes}
    every = [{"recipe": name, **row} for name, table in tables.items() for row in table]
    artifacts.write_text(out / "reproduce.csv", report.csv_text(report.Table("reproduce", "", every)))
    data = {
        "made": now(),
        "environment": environment(),
        "recipes": [
            {
                "recipe": o.recipe.name,
                "paper": o.recipe.paper,
                "profile": o.profile,
                "differs": o.recipe.differs,
                "table": tables[o.recipe.name],
                "relations": claims(o.findings),
                "failures": o.failures,
            }
            for o in outcomes
        ],
    }
    artifacts.write_text(out / "reproduce.json", json.dumps(data, indent=2, ensure_ascii=False) + "\n")
    pages = [
        _page(o, tables[o.recipe.name], out, shelf, [run for run in runs if run.recipe is o.recipe]) for o in outcomes
    ]
    facts = {"made": data["made"], "asked": len(pages), "environment": data["environment"], "what": "labkit reproduce"}
    artifacts.write_text(out / "reproduce.html", report.render(pages, [], facts))


def _page(
    outcome: Outcome, table: list[dict[str, Any]], out: Path, shelf: _Shelf, runs: Sequence[Run]
) -> dict[str, Any]:
    """A recipe in the form that the page of `labkit run` shows."""
    recipe = outcome.recipe
    tables = [
        report.Table("overview", "Means over seeds", overview(recipe, outcome.measured)),
        report.Table("relations", "Claims tested", claims(outcome.findings)),
        report.Table("comparison", "Every number beside the paper's", table),
    ]
    first = [run for run in runs if run.seed == 0 and (out / run.folder / METRICS_FILE).is_file()]
    try:
        figures = _figures(first, out, shelf) if first else []
    except LabkitError:  # all was done before, and the images are gone since
        figures = []
    failure = {"cell": None, "reason": "; ".join(outcome.failures.values())} if outcome.failures else None
    return {
        "job": {"key": recipe.name, "lab": recipe.name, "profile": outcome.profile, "swept": {}, "parameters": {}},
        "status": "failed" if failure else "ok",
        "seconds": sum(row.seconds for row in outcome.rows if row.metric == "mse"),
        "failure": failure,
        "contents": report.Contents(f"{recipe.name}: {recipe.line}", [t for t in tables if t.rows], {}, figures),
        "note": recipe.differs,
    }


def _figures(runs: Sequence[Run], out: Path, shelf: _Shelf) -> list[report.Figure]:
    """Example images of every reading, and the loss of every system by epoch; first seed."""
    from labkit import plots

    pictures: dict[str, Tensor] = {}
    losses: list[tuple[str, list[dict[str, float]]]] = []
    for run in runs:
        folder = out / run.folder
        test = shelf.images(run.recipe.setup(run.system, run.profile)).test.images[:EXAMPLES]
        if not pictures:
            pictures = {"true": test, "gray": gray_prediction(test)}
        trained = Colorizer.load(folder)
        if test.shape == pictures["true"].shape:
            for reading in (one for one in run.system.decodings if one.size is None):
                pictures[reading.name] = scores.view(trained, reading).reconstruct(test)
        losses.append((run.system.name, json.loads((folder / METRICS_FILE).read_text(encoding="utf-8"))["history"]))
    names = ", ".join(list(pictures)[2:])
    grid = _figure(
        plots.image_grid(pictures),
        f"The first {len(test)} test images in rows: the true ones, gray, and as painted by {names}.",
        "First seed. Chosen by nothing but their place in the data set.",
    )
    by_system = {name: {n: _column(history, n) for n in _loss_names(history)} for name, history in losses}
    ends = [
        f"{name} {history[0][key]:.3g} to {history[-1][key]:.3g}"
        for name, history in losses
        for key in _loss_names(history)[:1]
    ]
    figures = [
        grid,
        _figure(
            _lines(by_system),
            f"Loss by epoch, a panel for each system. Training loss, first epoch to last: {'; '.join(ends)}.",
            "Loss by epoch, first seed. Each system has its own loss; only panels of the same color space compare.",
        ),
    ]
    if watched := list(dict.fromkeys(n for _, history in losses for n in history[0] if n.startswith(scores.WATCHED))):
        panels = {n: {name: _column(history, n) for name, history in losses if n in history[0]} for n in watched}
        last = [f"{n} of {name} {line[-1]:.3g}" for n, lines in panels.items() for name, line in lines.items()]
        figures.append(
            _figure(
                _lines(panels),
                f"Curves by epoch, a panel for each metric, a line for each system. Last epoch: {'; '.join(last)}.",
                "Measured after each epoch on held-out images, first seed. Nothing was chosen by them.",
            )
        )
    return figures


def _column(history: Sequence[Mapping[str, float]], name: str) -> list[float]:
    return [row[name] for row in history]


def _lines(panels: Mapping[str, Mapping[str, list[float]]]) -> Any:
    """A figure of panels, each with one line or several over the epochs."""
    from labkit import plots

    columns = min(3, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure, axes = plots.subplots(rows, columns, height=1.6 * rows + 0.4, squeeze=False)
    with plots.style():
        for panel, (title, lines) in zip(axes.flat, panels.items(), strict=False):
            for name, line in lines.items():
                label = name.removesuffix("_loss").replace("_", " ")
                panel.plot(range(1, len(line) + 1), line, label=label, marker="o")
            if len(lines) > 1:
                panel.legend()
            panel.set_title(title, size=8)
            panel.set_xlabel("epoch")
        for panel in axes.flat[len(panels) :]:
            panel.set_axis_off()
    return figure


def _loss_names(history: Sequence[Mapping[str, float]]) -> list[str]:
    return [name for name in history[0] if name.endswith("loss")]


def _figure(figure: Any, alt: str, caption: str) -> report.Figure:
    import base64

    from labkit import plots

    mime, content, width = plots.to_image(figure, max_bytes=400_000)
    plots.close(figure)
    return report.Figure(f"data:{mime};base64,{base64.b64encode(content).decode()}", alt, caption, width)
