"""Commands of the study "Which one is real?": make the pictures, analyze the answers, plan how many are needed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from labkit import LabkitError
from labkit.cli.shared import app, pairs, print_data, print_table

study_app = typer.Typer(help='The study "Which one is real?": make it, analyze the answers.', no_args_is_help=True)
app.add_typer(study_app, name="study")


@study_app.command()
def make(
    out: Annotated[Path, typer.Argument(help="Folder of the study.")],
    model: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=FOLDER", help="A method and its model; can be repeated. Default: the starter."),
    ] = None,
    dataset: Annotated[str, typer.Option(help="Whose test images are shown.")] = "cifar10",
    classes: Annotated[str | None, typer.Option(help="Only these classes, separated by commas.")] = None,
    count: Annotated[int, typer.Option(min=1, max=2000, help="How many pictures.")] = 40,
    size: Annotated[int | None, typer.Option(min=8, help="Resize them to this many pixels.")] = None,
    trials: Annotated[int | None, typer.Option(min=1, help="How many one rater sees; all if not given.")] = None,
    kind: Annotated[str, typer.Option(help="pairs (which one is real?) or single (real or colored?).")] = "pairs",
    seed: Annotated[int, typer.Option(min=0, help="Of the choice of pictures.")] = 0,
    data_root: Annotated[Path | None, typer.Option(help="Where data sets are; else LABKIT_DATA or ./data.")] = None,
) -> None:
    """Color test images by models and write them, with the true and the gray ones, as a study.

    Show it with `labkit serve --study FOLDER`; the raters' answers gather in FOLDER/answers.
    """
    import torch

    from labkit.app.files import Look
    from labkit.app.study import make_study
    from labkit.colorizer import Colorizer
    from labkit.data import load

    if dataset == "toyworld":
        raise LabkitError("toyworld is no photographs: nobody knows what is real there. Take cifar10 or photos")
    true = load(dataset, "test", classes=classes, limit=count, size=size, seed=seed, root=data_root).images
    models = {name: Colorizer.load(folder) for name, folder in pairs(model, "--model")}
    models = models or {"starter": Colorizer.starter()}
    methods = {}
    for name, colorizer in models.items():
        methods[name] = torch.stack([Look().apply(colorizer, image)[0].cpu() for image in true])
    made = make_study(out, true, methods, name=out.resolve().name, kind=kind, trials=trials)
    print(f"{made.pictures} pictures, methods {', '.join(made.methods)}. Show them: labkit serve --study {out}")


@study_app.command()
def analyze(
    answers: Annotated[list[Path], typer.Argument(metavar="CSV|FOLDER...", help="The raters' answers.")],
    level: Annotated[float, typer.Option(min=0.5, max=0.999, help="Of the intervals.")] = 0.95,
    difference: Annotated[
        float, typer.Option(min=0.001, max=1, help="Of two fooling rates, for the number of raters needed.")
    ] = 0.1,
) -> None:
    """Say how often each method was taken for real, and d', with intervals over raters and pictures.

    And how many raters and trials would show a difference between two methods.
    """
    from labkit.app.study import read_answers
    from labkit.app.study_analysis import analyze as analyze_answers
    from labkit.app.study_analysis import needed, spread_between_raters, table

    found = read_answers(answers)
    results = analyze_answers(found, level)
    columns = ["method", "fooling rate", "d'", "trials", "raters", "pictures", "seconds"]
    print_data(f"Taken for real, with {level:.0%} intervals over raters and pictures", table(results), columns)
    middle = min(max(sum(r.fooling.value for r in results) / len(results), 0.05), 0.95)
    between = spread_between_raters(found)
    rows = []
    for trials in (10, 20, 50, 100):
        plan = needed(difference, middle, between, trials)
        rows.append([str(trials), str(plan["raters"]), str(plan["answers"])])
    title = (
        f"To show a difference of {difference:g} (power 80 %; rates near {middle:.2f}, spread of raters {between:.2f})"
    )
    print_table(title, ["trials of each method", "raters", "answers in all"], rows, numbers=(0, 1, 2))
