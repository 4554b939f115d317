"""Train the systems of recipes, score them on test images, and set the scores beside what the papers print.

In the folder of results:

- ``models/*/``: one training each, with model, metrics.json and, until it is done, a checkpoint; recipes that ask for
  the same training share it;
- results/RECIPE/PROFILE/SYSTEM-seedN.json and .npz: the scores of one run, and those of each test image;
- measured/RECIPE.PROFILE.csv and measured/per_image/RECIPE.PROFILE.npz: the same of all runs, a row a number and seed;
  copy measured/ to data/measured to make them part of the course;
- reproduce.csv, reproduce.json and reproduce.html: the tables; ledger.jsonl: what `--resume` goes by.
"""

from __future__ import annotations

import itertools
import json
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from labkit import artifacts
from labkit.cluster import connect
from labkit.colorizer import Colorizer
from labkit.data import Dataset
from labkit.data import data_root as find_root
from labkit.data.dataset import resize
from labkit.errors import LabkitError, check_integer, in_words
from labkit.experiments import per_image, scores
from labkit.experiments.comparability import settings_digits
from labkit.experiments.images import ImageCache, Images
from labkit.experiments.measured import Row, merge
from labkit.experiments.page import write_page
from labkit.experiments.recipes import find_recipes
from labkit.experiments.runs import Outcome, Run
from labkit.experiments.schema import FLOORS, FULL_CPU, Decoding, Recipe
from labkit.ledger import Entry, Ledger, now
from labkit.machine import jobs_held
from labkit.metrics import skill
from labkit.notebook.lab import resolve_profile
from labkit.options import LoopSettings
from labkit.printing import Lines, progress, show_any_character
from labkit.representation import make_representation
from labkit.training import History, fit_gan
from labkit.training.gan import discriminator_for
from labkit.training.run import finished, score_and_save

FIRST = "first"  # folder of the checkpoint of a first training, while there is one


def reproduce(
    names: Sequence[str],
    *,
    profile: str = "auto",
    seeds: int = 3,
    data_root: Path | None = None,
    out: str | Path = "runs/reproduce",
    resume: bool = False,
    jobs: int | None = None,
    cluster: str | None = None,
    console: Console | None = None,
) -> list[Outcome]:
    """Train what is missing, score it on the test images, and write tables and a page into `out`.

    A training that fails, or whose images are missing, does not stop the others.

    Args:
        names: recipes, papers or "all".
        profile: test, quick, course, gpu or auto; full-cpu of the recipes that have it.
        seeds: how many; every system is trained with seed 0 before seed 1 begins.
        data_root: where data sets are; else LABKIT_DATA, else ./data.
        out: the folder of results.
        resume: take over what the ledger of `out` knows, and go on from the checkpoint of a training that was cut off.
        jobs: trainings at a time on this machine, by a local cluster. If None: one; with ``cluster="local"`` as many as
            cores and memory allow.
        cluster: address of a dask scheduler whose workers train, or "local"; None: this process trains.
        console: where progress is printed.

    Returns:
        What came of each recipe.

    Raises:
        LabkitError: for unknown names, and for an `out` that holds runs when `resume` is false, or that another process
            is writing into; for a cluster that cannot be used.
    """
    show_any_character()
    console = console or Console()
    recipes, out = find_recipes(names), Path(out)
    profile = profile if profile == FULL_CPU else resolve_profile(profile)
    if without := [recipe.name for recipe in recipes if profile not in recipe.profiles]:
        having = [recipe.name for recipe in find_recipes("all") if profile in recipe.profiles]
        raise LabkitError(f"no profile {profile} in {', '.join(without)}: expected one of {', '.join(having)}")
    seeds = check_integer("seeds", seeds, low=1)
    if jobs is not None:
        jobs = check_integer("jobs", jobs, low=1)
        if cluster not in (None, "local"):
            raise LabkitError(
                f"--jobs counts trainings on this machine, and {cluster} has its own workers: leave out --jobs"
            )
        cluster = "local" if jobs > 1 else cluster
    outcomes = [Outcome(recipe, profile) for recipe in recipes]
    cache = ImageCache(data_root)
    runs = [
        (
            outcome,
            Run(
                outcome.recipe,
                system,
                profile,
                seed,
                _command(outcome.recipe, profile, seeds),
                cache.photographs(outcome.recipe.setup(system, profile)),
            ),
        )
        for outcome in outcomes
        for seed in range(seeds)
        for system in outcome.recipe.systems
    ]
    titles = {run.key: f"[{number}/{len(runs)}] {run.title}" for number, (_, run) in enumerate(runs, 1)}
    found: dict[str, _Done | str] = {}
    # Without a cluster each training shows a bar of its own.
    display = progress(console, "epoch") if cluster else nullcontext(Lines(console))
    with artifacts.claim_folder(out), display as show:
        for run, done in _results([run for _, run in runs], out, cache, resume, jobs, cluster, show, titles):
            found[run.key] = done
            if isinstance(done, str):
                show.end(run.folder, f"{titles[run.key]}  FAILED: {done}")
                continue
            merge(out / "measured" / f"{run.recipe.name}.{profile}.csv", done.rows)
            per_image.merge(out / "measured" / "per_image" / f"{run.recipe.name}.{profile}.npz", done.scores)
            show.end(run.folder, f"{titles[run.key]}  {'done before, ' * done.before}{_in_words(done.rows)}")
        for outcome, run in runs:
            if isinstance(done := found[run.key], str):
                outcome.failures[run.title] = done
            else:
                outcome.rows += done.rows
                outcome.scores |= done.scores
        write_page(outcomes, out, cache, [run for _, run in runs])
    return outcomes


@dataclass(frozen=True)
class _Done:
    """Hold the rows of a run, the scores of each image, the seconds of its training, and whether all was there."""

    rows: list[Row]
    scores: per_image.Scores
    seconds: float = 0.0
    before: bool = False


def _results(
    runs: Sequence[Run],
    out: Path,
    cache: ImageCache,
    resume: bool,
    jobs: int | None,
    cluster: str | None,
    show: Lines,
    titles: Mapping[str, str],
) -> Iterator[tuple[Run, _Done | str]]:
    """Yield what came of each run, or why it failed: first what the ledger knows."""
    ledger = Ledger(out / "ledger.jsonl")
    left: dict[str, list[Run]] = {}  # by training: recipes may share one
    for run in runs:
        if resume and (done := _known(run, out, ledger)):
            yield run, done
        else:
            left.setdefault(run.folder, []).append(run)
    if not resume:
        for folder, [run, *_] in left.items():
            finished(out / folder, False, run.identity())  # what is there is not written over: that ends everything
    if cluster is None:
        bar = sys.stderr.isatty()
        ends: Iterator[tuple[str, Any]] = (
            (folder, _train_and_score(mine, out, cache, bar)) for folder, mine in left.items()
        )
    else:

        def told(folder: str, *step: Any) -> None:
            if step:
                show.step(folder, *step)
            else:
                show.start(folder, titles[left[folder][0].key])

        ends = _on_cluster(left, out, cache, jobs or jobs_held(), cluster, told, show.say)
    for folder, results in ends if left else ():
        if isinstance(results, LabkitError):
            results = [str(results)] * len(left[folder])
        for run, done in zip(left[folder], results, strict=True):
            _record(run, done, out, ledger)
            yield run, done


def _on_cluster(
    trainings: Mapping[str, list[Run]],
    out: Path,
    cache: ImageCache,
    workers: int,
    address: str,
    told: Callable[..., None],
    say: Callable[[str], None],
) -> Iterator[tuple[str, Any]]:
    """Let workers train and score; yield the folder of each training with its results, or why there are none."""
    root = find_root(cache.root)
    places = {"LABKIT_DATA": str(root)}
    workers = min(workers, max(1, len(trainings)))
    with connect(address, out, workers=workers, shared=[root], variables=places, on_event=told, say=say) as cluster:
        yield from cluster.results(
            _train_and_score, {folder: (runs, out, cache, False) for folder, runs in trainings.items()}
        )


def _known(run: Run, out: Path, ledger: Ledger) -> _Done | None:
    """Return the result that the ledger knows of a run, if it is still valid."""
    entry = ledger.done("reproduce", run.key, run.input_hash())
    if entry is None or entry.output is None:
        return None
    by_image = (out / entry.output).with_suffix(".npz")
    kept = per_image.read_file(by_image) if by_image.is_file() else {}  # labkit 0.1 kept none
    return _Done(_rows_of(out / entry.output, run), kept, before=True)


def _record(run: Run, done: _Done | str, out: Path, ledger: Ledger) -> None:
    """Save what came of a run; the files are in place before the ledger knows of them."""
    entry = Entry(kind="reproduce", key=run.key, input_hash=run.input_hash(), status="ok")
    if isinstance(done, str):
        ledger.append(entry.model_copy(update={"status": "failed", "note": done}))
        return
    output = out / "results" / f"{run.key}.json"
    per_image.merge(output.with_suffix(".npz"), done.scores)
    artifacts.write_json(output, {"rows": [asdict(row) for row in done.rows]})
    told = {
        "output": output.relative_to(out).as_posix(),
        "output_sha256": artifacts.sha256(output),
        "seconds": done.seconds,
    }
    ledger.append(entry.model_copy(update=told))


# ---------------------------------------------------------------------------------------------------------------------
# One training


def _train_and_score(
    runs: Sequence[Run], out: Path, cache: ImageCache, bar: bool, tell: Callable[..., None] = lambda *step: None
) -> list[_Done | str]:
    """Train what runs share unless its folder has it, and score it for each; return the results, or why they failed.

    Always goes on from a checkpoint that is there: of an earlier try, on a worker that died, or of a run that failed.
    """
    results: list[_Done | str] = []
    for run in runs:
        folder = out / run.folder
        try:
            metrics = finished(folder, True, run.identity())
            images = cache.images(run.recipe.setup(run.system, run.profile))
            if metrics is None:
                metrics = _train(run, images, folder, cache, bar, tell)
            rows, kept = _score(run, images, folder, metrics)
            results.append(_Done(rows, kept, metrics["seconds"]))
        except Exception as error:
            note = in_words(error)
            if note is None:
                raise
            results.append(note)
    return results


def _train(
    run: Run, images: Images, folder: Path, cache: ImageCache, progress: bool, tell: Callable[..., None]
) -> dict[str, Any]:
    identity, setup = run.identity(), run.recipe.setup(run.system, run.profile)
    colorizer, epochs = make_colorizer(identity, run.seed), itertools.count(1)
    settings = replace(setup.fit, seed=run.seed)
    history: History
    held_out = images.validation

    def watch() -> dict[str, float]:
        tell(next(epochs), None)  # of this try: a training that goes on has had more
        return {} if held_out is None else scores.validation_scores(colorizer, held_out, run.recipe.kid).ours

    if run.system.gan is None:
        first = run.recipe.before(run.system, run.profile)
        spent = 0.0
        if first:
            # When it is done its checkpoint stays until the end, so that a resumed run finds its weights there.
            earlier = cache.images(first).train
            before = vars(replace(first.fit, seed=run.seed))
            spent = colorizer.fit(earlier, out=folder / FIRST, resume=True, progress=progress, **before).seconds
        history = colorizer.fit(
            images.train,
            validation=held_out,
            watch=watch,
            out=folder,
            resume=True,
            progress=progress,
            **vars(settings),
        )
        history.seconds += spent
    else:
        options = dict(run.system.gan)
        of_discriminator = {name: options.pop(name) for name in ("layers", "width") if name in options}
        loop = {item.name: getattr(settings, item.name) for item in fields(LoopSettings)}
        history = fit_gan(
            colorizer.network,
            discriminator_for(colorizer.representation, seed=run.seed, **of_discriminator),
            colorizer.representation,
            images.train,
            validation=held_out,
            watch=watch,
            out=folder,
            resume=True,
            progress=progress,
            patience=settings.patience,
            **(loop | options),
        )
    metrics = score_and_save(
        colorizer, history, images.train, images.test.images, validation=held_out, identity=identity, out=folder
    )
    shutil.rmtree(folder / FIRST, ignore_errors=True)
    return metrics


def make_colorizer(training: Mapping[str, Any], seed: int) -> Colorizer:
    """Return a fresh colorizer as `Recipe.training` describes it."""
    space = dict(training["representation"])
    network = dict(training["network"])
    return Colorizer(make_representation(space.pop("name"), **space), network.pop("name"), seed=seed, **network)


def _score(run: Run, images: Images, folder: Path, metrics: Mapping[str, Any]) -> tuple[list[Row], per_image.Scores]:
    """Score every decoding in every metric; return the rows, and the scores of each image that claims rest on.

    The model is read from its files, so that what is scored is what is kept; where the recipe asks no more, the
    system's own decoding has the scores that `score_and_save` wrote beside it.
    """
    trained = Colorizer.load(folder)
    trained.to(metrics["device"])
    best = scores.oracle(trained)
    oracle = scores.score_decoding(best, images.test, run.recipe).ours if best else {}
    rows: list[Row] = []
    kept: per_image.Scores = {}
    for decoding in run.system.decodings:
        how, test = scores.decoded(trained, decoding), _enlarged(images.test, decoding)
        own = decoding.name == run.system.name
        if own and not scores.asks_more(run.recipe):
            found = scores.scores_kept(metrics)
        else:
            found = scores.score_decoding(how, test, run.recipe)
        if own and images.validation is not None:
            gray = scores.validation_scores(trained, images.validation, run.recipe.kid).gray
            epochs = scores.of_epochs(metrics["history"], gray)
            found = scores.Scores(found.ours | epochs.ours, found.gray | epochs.gray)
        by_image = scores.image_scores(how, test, run.recipe)
        if own:
            more = scores.network_scores(trained, test, run.recipe)
            by_image |= more
            found.ours.update({name: float(values.mean()) for name, values in more.items()})
            found.gray.update({name: found.gray["mse"] if name in FLOORS else 0.0 for name in more})
        bins = {} if decoding.size else oracle
        rows += _rows(run, decoding, found, bins, images.line, metrics)
        kept |= {(decoding.name, metric, run.seed): values for metric, values in by_image.items()}
    return rows, kept


def _rows(
    run: Run,
    decoding: Decoding,
    found: scores.Scores,
    oracle: Mapping[str, float],
    data: str,
    metrics: Mapping[str, Any],
) -> Iterable[Row]:
    for metric, value in found.ours.items():
        yield Row(
            recipe=run.recipe.name,
            system=decoding.name,
            metric=metric,
            profile=run.profile,
            seed=run.seed,
            value=value,
            gray=found.gray[metric],
            oracle=oracle.get(metric),
            parameters=metrics["parameters"],
            seconds=metrics["seconds"],
            device=_device(metrics["device"]),
            threads=torch.get_num_threads(),
            torch=metrics["versions"]["torch"],
            labkit=metrics["versions"]["labkit"],
            date=now(),
            data=data + (f", enlarged to {decoding.size} px" if decoding.size else ""),
            command=run.command,
            settings=settings_digits(run.recipe, decoding.name, run.profile),
        )


def _enlarged(test: Dataset, decoding: Decoding) -> Dataset:
    """Return the test images in the size that the decoding asks for."""
    size = decoding.size
    if size is None:
        return test
    return test.map_tensors(lambda part: resize(part, size) if part.ndim == 4 else part)


def _rows_of(result: Path, run: Run) -> list[Row]:
    """Return the rows of a run that the ledger knows with the very settings of today."""
    rows = [Row(**row) for row in json.loads(result.read_text(encoding="utf-8"))["rows"]]
    return [replace(row, settings=settings_digits(run.recipe, row.system, run.profile)) for row in rows]


def _in_words(rows: Sequence[Row]) -> str:
    first = {row.metric: row for row in rows if row.system == rows[0].system}
    mse = first["mse"]
    return f"mse {mse.value:.5f}, skill {skill(mse.value, mse.gray):.3f}, {mse.seconds:.0f} s"


def _device(name: str) -> str:
    return torch.cuda.get_device_name(name) if name.startswith("cuda") else name


def _command(recipe: Recipe, profile: str, seeds: int) -> str:
    return f"labkit reproduce {recipe.name} --profile {profile} --seeds {seeds}"
