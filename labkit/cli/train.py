"""Commands that train: one colorizer, or what the papers describe."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from labkit.cli.shared import Cluster, app, print_data, print_table, resumable, with_options
from labkit.errors import SomeFailed
from labkit.options import TrainOptions


def _train(context: typer.Context, **options: Any) -> None:
    """Train one colorizer and score it on the test images.

    In several processes: torchrun --nproc-per-node N -m labkit train ...; see docs/clusters.md.
    """
    from labkit.training.distributed import launched_rank
    from labkit.training.run import train as train_colorizer

    sources = {name: context.get_parameter_source(name) for name in options}
    metrics = train_colorizer(**{k: options[k] for k, source in sources.items() if source and source.name != "DEFAULT"})
    if launched_rank() > 0:
        return
    gray: dict[str, float] = metrics["gray"]
    rows = [(name, f"{metrics[name]:.5g}", f"{value:.5g}") for name, value in gray.items() if name != "skill"]
    print_table("Scores on the test images", ["metric", "model", "gray baseline"], rows, numbers=(1, 2))
    print(f"skill over gray: {metrics['skill']:.3f}   training: {metrics['seconds']:.1f} s")


class _Train(TyperCommand):
    """`labkit train`, whose help names all there is to choose: only this help waits for torch."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Add the names to the help of three options, then print it."""
        from labkit.data import DATASETS
        from labkit.models import NETWORKS
        from labkit.representation import REPRESENTATIONS

        names: dict[str | None, Iterable[str]] = {
            "dataset": [name for name in DATASETS if name != "photos"],  # five, to test on
            "representation": [name for name in REPRESENTATIONS if name != "classification"],  # takes bins
            "network": NETWORKS,
        }
        for parameter in self.params:
            if parameter.name in names:
                parameter.help += f" One of {', '.join(names[parameter.name])}."  # type: ignore[attr-defined]
        super().format_help(ctx, formatter)


app.command(name="train", cls=_Train)(with_options(_train, TrainOptions))


@app.command()
def reproduce(
    names: Annotated[
        list[str], typer.Argument(metavar="PAPER|RECIPE|all...", help="See `labkit recipes`; a paper: all of its.")
    ],
    profile: Annotated[
        str,
        typer.Option(
            help="test, quick, course, gpu or auto; full-cpu: the papers' sizes, up to an hour or two of a core."
        ),
    ] = "auto",
    seeds: Annotated[int, typer.Option(min=1, help="How many times each system is trained: seeds 0, 1, ...")] = 3,
    data_root: Annotated[Path | None, typer.Option(help="Where data sets are; else LABKIT_DATA or ./data.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for models, measured rows, tables and the page.")] = Path(
        "runs/reproduce"
    ),
    resume: Annotated[bool, typer.Option("--resume", help="Train and score only what is missing.")] = False,
    jobs: Annotated[
        int | None,
        typer.Option(
            "-j",
            "--jobs",
            min=1,
            help="Trainings at a time on this machine; more than 1 need dask. Default: 1; with --cluster local as many "
            "as cores and memory allow.",
        ),
    ] = None,
    cluster: Cluster = None,
) -> None:
    """Train and score what the papers describe, beside what they print. Exit status 1 if a training failed."""
    from labkit.experiments.claims import claims_table
    from labkit.experiments.reproduce import reproduce as reproduce_recipes
    from labkit.experiments.tables import means_table, printed_table

    with resumable():
        outcomes = reproduce_recipes(
            names,
            profile=profile,
            seeds=seeds,
            data_root=data_root,
            out=out,
            resume=resume,
            jobs=jobs,
            cluster=cluster,
        )
    failures: dict[str, str] = {}
    for outcome in outcomes:
        recipe, rows = outcome.recipe, outcome.measured
        title = f"{recipe.name}, {outcome.profile}: {recipe.line}"
        columns = ["system", "skill", *recipe.metrics, "oracle mse", "perfect mse", "seeds", "images", "relative time"]
        print_data(title, means_table(recipe, rows), columns)
        table = printed_table(recipe, rows, outcome.failures)
        if printed := [row for row in table if row["published"] is not None]:
            print_data(
                "Beside the paper", printed, ["system", "metric", "published", "ours", "verdict", "seeds", "images"]
            )
        if tested := claims_table(outcome.claims):
            print_data("Claims tested", tested, ["claim", "gain", "95 % margin", "verdict", "seeds", "images"])
        for title, why in outcome.failures.items():
            failures[title] = why
    print(f"page: {out / 'reproduce.html'}   rows: {out / 'measured'}")
    if failures:
        raise SomeFailed(failures, sum(len(outcome.recipe.systems) * seeds for outcome in outcomes))


@app.command()
def recipes(
    measured: Annotated[
        bool, typer.Option("--measured", help="Print docs/results.md, made from data/measured.")
    ] = False,
    figures: Annotated[Path | None, typer.Option(help="Draw the figures of docs/results.md into this folder.")] = None,
) -> None:
    """List the recipes of `labkit reproduce`, or what was measured with them."""
    from labkit.experiments.recipes import RECIPES

    if figures:
        from labkit.experiments.figures import write_figures
        from labkit.experiments.results import all_measured

        for path in write_figures(figures, all_measured()):
            print(path)
        return
    if measured:
        from labkit.experiments.results import results_page

        print(results_page(), end="")
        return
    rows = [(recipe.name, recipe.paper, str(len(recipe.systems)), recipe.line) for recipe in RECIPES.values()]
    print_table("Recipes", ["recipe", "paper", "systems", "what it does"], rows, numbers=(2,))
