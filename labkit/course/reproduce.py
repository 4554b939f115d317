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
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, cast

import torch
from rich.console import Console
from torch import Tensor

from labkit import __version__, adversarial, artifacts
from labkit.colorizer import Colorizer
from labkit.course import report
from labkit.course.ledger import Entry, Ledger, environment, now
from labkit.data import data_root as find_root
from labkit.data import load
from labkit.errors import LabkitError
from labkit.lab import resolve_profile
from labkit.measured import Measured, Row, measured, merge, summarize
from labkit.metrics import evaluate, gray_prediction, pixel_accuracy, skill
from labkit.models import Network, evaluation_mode
from labkit.recipes import PROFILES, RECIPES, Reading, Recipe, Setup, System, find_recipes
from labkit.representation import Classification, make_representation
from labkit.train import FitSettings, History, LoopSettings, fit
from labkit.training_run import METRICS_FILE, finished, score_and_save
from labkit.verdicts import Finding, examine, printed_value, verdict

FIRST = "first"  # folder of the checkpoint of a first training, while there is one
EXAMPLES = 8  # pictures in a row of the page


@dataclass(frozen=True)
class Images:
    """The images of one setup. `train` and `validation` are empty of what `test` holds; uint8 (N, 3, H, W)."""

    train: Tensor
    validation: Tensor | None
    test: Tensor
    line: str  # which, and how many


@dataclass(frozen=True)
class Run:
    """One training: a system of a recipe with one seed."""

    recipe: Recipe
    system: System
    profile: str
    seed: int
    command: str

    @property
    def key(self) -> str:
        return f"{self.recipe.name}/{self.profile}/{_slug(self.system.name)}-seed{self.seed}"

    @property
    def title(self) -> str:
        return f"{self.recipe.name}: {self.system.name}, seed {self.seed}"

    def identity(self) -> dict[str, Any]:
        """What decides the trained model, in JSON types."""
        return cast(dict[str, Any], json.loads(json.dumps(self.recipe.training(self.system, self.profile, self.seed))))

    @property
    def folder(self) -> str:
        """Of the training: named by what decides it, so that two recipes with the same training share one."""
        identity = self.identity()
        digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:10]
        return f"models/{self.system.representation}-{self.system.network}-seed{self.seed}-{digest}"

    def input_hash(self) -> str:
        """SHA-256 over what decides the scores. The version stands for the code: hours of training outlive an edit."""
        readings = [(reading.name, dict(reading.options), reading.flip_average) for reading in self.system.readings]
        parts = [self.identity(), readings, self.recipe.thresholds, __version__]
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
        found = (examine(relation, self.measured) for relation in self.recipe.relations)
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
    from its checkpoint. A training that fails does not stop the others.

    Raises LabkitError for unknown names, missing data, and an `out` that holds runs when `resume` is false.
    """
    console = console or Console()
    recipes, profile, out = find_recipes(names), resolve_profile(profile), Path(out)
    if seeds < 1:
        raise LabkitError(f"--seeds must be at least 1. Got {seeds}")
    artifacts.make_folder(out)
    outcomes = [Outcome(recipe, profile) for recipe in recipes]
    runs = [
        (outcome, Run(outcome.recipe, system, profile, seed, _command(outcome.recipe, profile, seeds)))
        for outcome in outcomes
        for seed in range(seeds)
        for system in outcome.recipe.systems
    ]
    shelf = _Shelf(data_root)
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
    """The images of every setup that was asked for, each loaded once; and which trainings were done meanwhile."""

    def __init__(self, root: Path | None) -> None:
        self.root = root
        self.loaded: dict[str, Images] = {}
        self.trained: set[str] = set()

    def images(self, setup: Setup) -> Images:
        key = repr(replace(setup, network={}, fit=FitSettings(patience=setup.fit.patience)))
        if key not in self.loaded:
            self.loaded[key] = load_images(setup, self.root)
        return self.loaded[key]


def load_images(setup: Setup, root: Path | None = None) -> Images:
    """The images that a setup names, from `root` (else LABKIT_DATA, else ./data). The same for every seed."""
    place: Path | None = root
    name = setup.dataset
    if setup.folder:
        base = find_root(root)
        place = base / setup.folder if (base / setup.folder).is_dir() else base
        name = place.name

    def part(split: str, limit: int | None, classes: str | None = setup.classes) -> Tensor:
        images = load(
            setup.dataset,
            split,
            size=setup.size,
            classes=classes,
            limit=limit,
            root=place,
            min_saturation=setup.min_saturation,
        ).images
        if setup.crop is None:
            return images
        edge = (images.shape[-1] - setup.crop) // 2
        return images[..., edge : edge + setup.crop, edge : edge + setup.crop].contiguous()

    if setup.fit.patience is None:
        train, validation = part("train+validation", setup.limit), None
    else:
        train, validation = part("train", setup.limit), part("validation", None)
    test = part("test", setup.test_limit, setup.test_classes or setup.classes)
    counts = [f"{len(train)} train"] + ([f"{len(validation)} validation"] if validation is not None else [])
    which = f"{name} {setup.classes}" if setup.classes else name
    scored = f"{len(test)} test" + (f" ({setup.test_classes})" if setup.test_classes else "")
    return Images(train, validation, test, f"{which}, {test.shape[-1]} px: {', '.join(counts)}, {scored}")


# ---------------------------------------------------------------------------------------------------------------------
# One training


def _run(run: Run, out: Path, shelf: _Shelf, resume: bool) -> tuple[list[Row], str]:
    """The rows of a run and a few words on it; trained and scored here unless the ledger has it."""
    ledger, folder = Ledger(out / "ledger.jsonl"), out / run.folder
    if resume and (entry := ledger.done("reproduce", run.key, run.input_hash())) and entry.output:
        rows = _rows_of(out / entry.output)
        return rows, f"done before, {_in_words(rows)}"
    images = shelf.images(run.recipe.setup(run.system, run.profile))
    metrics = finished(folder, resume or run.folder in shelf.trained, run.identity())
    try:
        if metrics is None:
            metrics = _train(run, images, folder, shelf, resume)
        shelf.trained.add(run.folder)
        rows = list(_score(run, images, folder, metrics))
    except LabkitError as error:
        ledger.append(
            Entry(kind="reproduce", key=run.key, input_hash=run.input_hash(), status="failed", note=str(error))
        )
        raise _Failed(str(error)) from None
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
            validation=images.validation,
            settings=settings,
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
        colorizer, history, images.train, images.test, validation=images.validation, identity=identity, out=folder
    )
    shutil.rmtree(folder / FIRST, ignore_errors=True)
    return metrics


def make_colorizer(training: Mapping[str, Any], seed: int) -> Colorizer:
    """A fresh colorizer as `Recipe.training` describes it."""
    space = dict(training["representation"])
    network = dict(training["network"])
    return Colorizer.create(make_representation(space.pop("name"), **space), network.pop("name"), seed=seed, **network)


@dataclass(frozen=True)
class _View:
    """What `labkit.metrics.evaluate` needs of a colorizer."""

    network: Network
    reconstruct: Callable[[Tensor], Tensor]


def _score(run: Run, images: Images, folder: Path, metrics: Mapping[str, Any]) -> Iterable[Row]:
    """Every reading in every metric. The model is read from its files, so that what is scored is what is kept."""
    trained = Colorizer.load(folder)
    trained.network.to(metrics["device"])
    oracle: dict[str, float] = {}
    if isinstance(space := trained.representation, Classification):
        stride = trained.network.output_stride
        nearest = _View(trained.network, lambda rgb: space.oracle(rgb, stride))
        oracle = _scores(nearest, images.test, run.recipe.thresholds)[0]
    date = now()
    for reading in run.system.readings:
        values, gray = _scores(view(trained, reading), images.test, run.recipe.thresholds)
        for metric, value in values.items():
            yield Row(
                recipe=run.recipe.name,
                system=reading.name,
                metric=metric,
                profile=run.profile,
                seed=run.seed,
                value=value,
                gray=gray[metric],
                oracle=oracle.get(metric),
                parameters=metrics["parameters"],
                seconds=metrics["seconds"],
                device=_device(metrics["device"]),
                threads=torch.get_num_threads(),
                torch=metrics["versions"]["torch"],
                labkit=metrics["versions"]["labkit"],
                date=date,
                data=images.line,
                command=run.command,
            )


def view(trained: Colorizer, reading: Reading) -> _View:
    """A trained colorizer, read in one way."""
    config = trained.representation.config() | dict(reading.options)
    space = make_representation(str(config.pop("name")), **config)
    colorizer = Colorizer(trained.network, space)
    return _View(trained.network, lambda rgb: colorizer.reconstruct(rgb, reading.flip_average))


def _scores(seen: _View, images: Tensor, thresholds: Sequence[float]) -> tuple[dict[str, float], dict[str, float]]:
    """Every metric of a view, and of the gray baseline."""
    scores = evaluate(cast(Colorizer, seen), images)
    gray = dict(scores.pop("gray"))
    for threshold in thresholds:
        scores |= _accuracy(seen.reconstruct, seen.network, images, threshold)
        gray |= _accuracy(gray_prediction, seen.network, images, threshold)
    return scores, gray


@torch.no_grad()
def _accuracy(
    paint: Callable[[Tensor], Tensor], network: Network, images: Tensor, threshold: float
) -> dict[str, float]:
    """Pixel accuracy, overall and by channel: "accuracy 0.05", "accuracy 0.05 red", ..."""
    sums: dict[str, float] = {}
    with evaluation_mode(network):
        for batch in images.split(256):
            for which, shares in pixel_accuracy(paint(batch).cpu(), batch, threshold).items():
                name = f"accuracy {threshold:g}" + ("" if which == "all" else f" {which}")
                sums[name] = sums.get(name, 0.0) + float(shares.double().sum())
    return {name: total / len(images) for name, total in sums.items()}


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
# Tables


def comparison(
    recipe: Recipe, rows: Sequence[Measured], failures: Mapping[str, str] | None = None
) -> list[dict[str, Any]]:
    """The table of a recipe: a row a reading and metric, with what the paper prints. Not measured: the row stays."""
    found = {(row.system, row.metric): row for row in rows}
    table: list[dict[str, Any]] = []
    for system in recipe.systems:
        for reading in system.readings:
            mse = found.get((reading.name, "mse"))
            for metric in recipe.metrics:
                printed = printed_value(recipe, reading.printed, metric)
                ours = found.get((reading.name, metric))
                row: dict[str, Any] = {"system": reading.name, "metric": metric, "published": printed}
                if ours is None:
                    row |= {"verdict": _why_missing(system, failures or {})}
                else:
                    why_not = reading.printed.not_comparable.get(ours.profile, "") if reading.printed else ""
                    row |= {
                        "ours": ours.mean,
                        "sd": None if math.isnan(ours.sd) else ours.sd,
                        "seeds": len(ours.seeds),
                        "gray": ours.gray,
                        "oracle": ours.oracle,
                        "skill": skill(mse.mean, mse.gray) if mse else None,
                        "verdict": None if printed is None else verdict(ours, printed, why_not),
                        "parameters": ours.parameters,
                        "seconds": round(ours.seconds, 1),
                        "device": ours.device,
                    }
                table.append(row)
    return table


def overview(recipe: Recipe, rows: Sequence[Measured]) -> list[dict[str, Any]]:
    """The same for a narrow screen: a row a reading, a column a metric (means over seeds); gray stands first."""
    found = {(row.system, row.metric): row for row in rows}
    names = [reading.name for system in recipe.systems for reading in system.readings if (reading.name, "mse") in found]
    if not names:
        return []
    table: list[dict[str, Any]] = [
        {"system": "gray", "skill": 0.0, **{metric: found[names[0], metric].gray for metric in recipe.metrics}}
    ]
    for name in names:
        mse = found[name, "mse"]
        row: dict[str, Any] = {"system": name, "skill": round(skill(mse.mean, mse.gray), 3)}
        row |= {metric: found[name, metric].mean for metric in recipe.metrics}
        table.append(row | {"oracle mse": mse.oracle, "parameters": mse.parameters, "seconds": round(mse.seconds)})
    return table


def _why_missing(system: System, failures: Mapping[str, str]) -> str:
    for title, why in failures.items():
        if f": {system.name}, seed " in title:
            return f"failed: {why}"
    return "not measured yet"


def relations(findings: Iterable[Finding]) -> list[dict[str, Any]]:
    """A row a claim: both sides, the gain with its 95 % margin, the verdict."""
    return [
        {
            "claim": finding.relation.claim,
            "said by": finding.relation.paper,
            "metric": finding.relation.metric,
            "should be better": f"{finding.relation.better}: {finding.better.mean:.4g}",
            "than": f"{finding.relation.worse}: {finding.worse.mean:.4g}",
            "gain": finding.gain,
            "95 % margin": None if math.isnan(finding.margin) else finding.margin,
            "seeds": len(finding.better.seeds),
            "verdict": finding.verdict,
        }
        for finding in findings
    ]


def summary() -> str:
    """Every claim tested on the rows of data/measured, as a Markdown table: the README's. A claim appears with the
    largest profile that it was measured in."""
    lines = ["| claim | said by | metric | should be better | than | gain (95 % margin) | verdict |", "|---" * 7 + "|"]
    commands: list[str] = []
    for recipe in RECIPES.values():
        for profile in reversed(PROFILES[1:]):
            rows = measured(recipe.name, profile=profile)
            found = relations(f for relation in recipe.relations if (f := examine(relation, rows)))
            for row in found:
                margin = "one seed" if row["95 % margin"] is None else f"± {row['95 % margin']:.2g}"
                cells = [row[name] for name in ("claim", "said by", "metric", "should be better", "than")]
                cells += [f"{row['gain']:.3g} ({margin})", row["verdict"]]
                lines.append(f"| {' | '.join(cells)} |")
            if found:
                commands += [f"`{rows[0].command}` ({rows[0].data}; {rows[0].device}, {rows[0].date[:10]})"]
                break
    if not commands:
        return "Nothing measured yet: labkit reproduce RECIPE --out DIR, then copy DIR/measured/*.csv to data/measured."
    return "\n".join([*lines, "", "Measured by:", "", *(f"- {command}" for command in commands)])


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
                "relations": relations(o.findings),
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
        report.Table("relations", "Claims tested", relations(outcome.findings)),
        report.Table("comparison", "Every number beside the paper's", table),
    ]
    first = [run for run in runs if run.seed == 0 and (out / run.folder / METRICS_FILE).is_file()]
    figures = _figures(first, out, shelf) if first else []
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
        test = shelf.images(run.recipe.setup(run.system, run.profile)).test[:EXAMPLES]
        if not pictures:
            pictures = {"true": test, "gray": gray_prediction(test)}
        trained = Colorizer.load(folder)
        if test.shape == pictures["true"].shape:
            pictures |= {reading.name: view(trained, reading).reconstruct(test) for reading in run.system.readings}
        losses.append((run.system.name, json.loads((folder / METRICS_FILE).read_text(encoding="utf-8"))["history"]))
    names = ", ".join(list(pictures)[2:])
    grid = _figure(
        plots.image_grid(pictures),
        f"The first {len(test)} test images in rows: the true ones, gray, and as painted by {names}.",
        "First seed. Chosen by nothing but their place in the data set.",
    )
    columns = min(3, len(losses))
    rows = math.ceil(len(losses) / columns)
    figure, axes = plots.subplots(rows, columns, height=1.6 * rows + 0.4, squeeze=False)
    with plots.style():
        for panel, (name, history) in zip(axes.flat, losses, strict=False):
            for key in _loss_names(history):
                label = key.removesuffix("_loss").replace("_", " ")
                panel.plot([row["epoch"] for row in history], [row[key] for row in history], label=label, marker="o")
            if len(_loss_names(history)) > 1:
                panel.legend()
            panel.set_title(name, size=8)
            panel.set_xlabel("epoch")
        for panel in axes.flat[len(losses) :]:
            panel.set_axis_off()
    ends = []
    for name, history in losses:
        key = _loss_names(history)[0]
        ends.append(f"{name} {history[0][key]:.3g} to {history[-1][key]:.3g}")
    return [
        grid,
        _figure(
            figure,
            f"Loss by epoch, a panel for each system. Training loss, first epoch to last: {'; '.join(ends)}.",
            "Loss by epoch, first seed. Each system has its own loss; only panels of the same color space compare.",
        ),
    ]


def _loss_names(history: Sequence[Mapping[str, float]]) -> list[str]:
    return [name for name in history[0] if name.endswith("loss")]


def _figure(figure: Any, alt: str, caption: str) -> report.Figure:
    import base64

    from labkit import plots

    mime, content, width = plots.to_image(figure, max_bytes=400_000)
    plots.close(figure)
    return report.Figure(f"data:{mime};base64,{base64.b64encode(content).decode()}", alt, caption, width)
