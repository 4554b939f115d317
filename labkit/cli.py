"""The command line. Thin: it parses, calls the library and prints.

Imports stand inside the commands, so that `labkit --help` does not wait for torch.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from labkit import LabkitError, __version__
from labkit.errors import out_of_memory

app = typer.Typer(
    help="Labs on automatic image colorization, and the library under them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
PAIR_OPTIONS = ("-p", "--parameter", "--sweep")
Labs = Annotated[list[str] | None, typer.Argument(metavar="[LAB]...", help="01 or 01_averaging_problem; all if none.")]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line. A mistake of the user's is one line on stderr and exit status 2."""
    try:
        app(args=_join_pairs(sys.argv[1:] if arguments is None else arguments))
    except (LabkitError, OSError) as error:  # OSError: a full disk, a folder without permission, a lost network
        print(f"labkit: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)
    except (MemoryError, RuntimeError) as error:  # torch says it with a RuntimeError
        if not (reason := out_of_memory(error)):
            raise
        print(f"labkit: {reason}", file=sys.stderr)
        sys.exit(2)


def _join_pairs(arguments: Sequence[str]) -> list[str]:
    """`-p NAME VALUE` as `-p NAME=VALUE`, which typer can read (it has no repeatable option of two values)."""
    joined: list[str] = []
    rest = list(arguments)
    while rest:
        joined.append(rest.pop(0))
        takes_two = joined[0] == "run" and joined[-1] in PAIR_OPTIONS and len(rest) > 1
        if takes_two and rest[0].isidentifier() and not rest[1].startswith("--"):  # the next option is no value
            joined.append(f"{rest.pop(0)}={rest.pop(0)}")
    return joined


def _pairs(texts: Sequence[str] | None, option: str) -> list[tuple[str, str]]:
    pairs = []
    for text in texts or []:
        name, equals, value = text.partition("=")
        if not equals:
            raise LabkitError(f"{option} needs a name and a value, got only {text!r}")
        pairs.append((name, value))
    return pairs


@contextmanager
def _resumable() -> Iterator[None]:
    """Ctrl-C is no error of a command that has --resume."""
    try:
        yield
    except KeyboardInterrupt:
        print("labkit: interrupted; --resume goes on from here", file=sys.stderr)
        raise typer.Exit(130) from None


@app.command()
def run(
    labs: Labs = None,
    profile: Annotated[str, typer.Option(help="test, quick, course, gpu or auto.")] = "auto",
    parameter: Annotated[
        list[str] | None,
        typer.Option("-p", "--parameter", metavar="NAME VALUE", help="Set a parameter; can be repeated."),
    ] = None,
    sweep: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME V1,V2,...", help="Run with each value; several sweeps make every combination."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for executed copies, metrics.json and report.html.")] = Path("runs"),
    resume: Annotated[bool, typer.Option("--resume", help="Run only what is missing, failed or changed.")] = False,
    timeout: Annotated[int | None, typer.Option(min=1, help="Seconds that one cell may take.")] = None,
) -> None:
    """Execute labs and write a report. Exit status 1 if a lab failed."""
    from labkit.course.run import run as run_labs

    with _resumable():
        results = run_labs(
            labs or (),
            profile=profile,
            parameters=_pairs(parameter, "-p"),
            sweeps=_pairs(sweep, "--sweep"),
            out=out,
            resume=resume,
            timeout=timeout,
        )
    if any(result.status == "failed" for result in results):
        raise typer.Exit(1)


@app.command()
def params(lab: Annotated[str, typer.Argument(help="01 or 01_averaging_problem.")]) -> None:
    """List the parameters of a lab."""
    from labkit.course.labs import find_labs, lab_parameters

    for name, notebook in find_labs([lab]).items():
        rows = [(p.name, p.type, repr(p.default), p.help) for p in lab_parameters(notebook)]
        _print_table(f"Parameters of {name}", ["name", "type", "default", "what it is"], rows)


@app.command()
def labs() -> None:
    """List the labs."""
    from labkit.course.labs import list_labs

    rows = [(info.name, info.title, str(info.path)) for info in list_labs()]
    _print_table("Labs", ["lab", "title", "notebook"], rows)


@app.command()
def train(
    context: typer.Context,
    dataset: Annotated[str, typer.Option(help="toyworld, cifar10, stl10, flowers102, or folder.")] = "toyworld",
    classes: Annotated[str | None, typer.Option(help="Only these classes, separated by commas.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many training images.")] = None,
    size: Annotated[int | None, typer.Option(min=1, help="Resize images to this many pixels.")] = None,
    representation: Annotated[
        str, typer.Option(help="rgb, lab, yuv, luma-chroma; color bins: ab676, ab313, rgb24.")
    ] = "luma-chroma",
    network: Annotated[
        str, typer.Option(help="cnn, cnn-plain, unet, unet-half, unet-noise, slr-baseline or slr-hybrid.")
    ] = "unet-half",
    width: Annotated[int, typer.Option(min=1, help="Channels of the first layer.")] = 32,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="If given, no validation split is taken; else it stops by itself.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1)] = 64,
    learning_rate: Annotated[float, typer.Option(help="Peak of the one-cycle schedule.")] = 4e-3,
    alpha: Annotated[float, typer.Option(min=0, max=1, help="Loss: alpha * MSE + (1 - alpha) * L1.")] = 1.0,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1)] = 0,
    data_root: Annotated[Path | None, typer.Option(help="Where data sets are; else LABKIT_DATA or ./data.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the model and metrics.json.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on in --out, with the options given before.")] = False,
    precision: Annotated[str, typer.Option(help="auto, float32, bf16 or fp16.")] = "auto",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    tensorboard: Annotated[Path | None, typer.Option(help="Folder for TensorBoard logs.")] = None,
    dtype: Annotated[str, typer.Option(help="Of the saved weights: float32 or float16.")] = "float32",
) -> None:
    """Train one colorizer and score it on the test images."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    given = {name: context.params[name] for name, source in sources.items() if source and source.name != "DEFAULT"}
    from pydantic import ValidationError

    from labkit.training.run import TrainOptions
    from labkit.training.run import train as train_colorizer

    try:
        checked = TrainOptions(**given)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]).replace("_", "-")
        raise LabkitError(f"--{name}: {first['msg']}, got {first['input']!r}") from None
    metrics = train_colorizer(checked)
    gray: dict[str, float] = metrics["gray"]
    rows = [(name, f"{metrics[name]:.5g}", f"{value:.5g}") for name, value in gray.items() if name != "skill"]
    _print_table("Scores on the test images", ["metric", "model", "gray baseline"], rows, numbers=(1, 2))
    print(f"skill over gray: {metrics['skill']:.3f}   training: {metrics['seconds']:.1f} s")


@app.command()
def reproduce(
    names: Annotated[
        list[str], typer.Argument(metavar="PAPER|RECIPE|all...", help="See `labkit recipes`; a paper: all of its.")
    ],
    profile: Annotated[str, typer.Option(help="test, quick, course, gpu or auto.")] = "auto",
    seeds: Annotated[int, typer.Option(min=1, help="How many times each system is trained: seeds 0, 1, ...")] = 3,
    data_root: Annotated[Path | None, typer.Option(help="Where data sets are; else LABKIT_DATA or ./data.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for models, measured rows, tables and the page.")] = Path(
        "runs/reproduce"
    ),
    resume: Annotated[bool, typer.Option("--resume", help="Train and score only what is missing.")] = False,
) -> None:
    """Train and score what the papers describe, beside what they print. Exit status 1 if a training failed."""
    from labkit.experiments.claims import claims
    from labkit.experiments.reproduce import reproduce as reproduce_recipes
    from labkit.experiments.tables import comparison, overview

    with _resumable():
        outcomes = reproduce_recipes(names, profile=profile, seeds=seeds, data_root=data_root, out=out, resume=resume)
    for outcome in outcomes:
        recipe, rows = outcome.recipe, outcome.measured
        title = f"{recipe.name}, {outcome.profile}: {recipe.line}"
        columns = ["system", "skill", *recipe.metrics, "oracle mse", "seconds"]
        _print_data(title, overview(recipe, rows), columns)
        table = comparison(recipe, rows, outcome.failures)
        if printed := [row for row in table if row["published"] is not None]:
            _print_data("Beside the paper", printed, ["system", "metric", "published", "ours", "verdict"])
        if tested := claims(outcome.findings):
            _print_data("Claims tested", tested, ["claim", "gain", "95 % margin", "verdict"])
        for title, why in outcome.failures.items():
            print(f"failed: {title}: {why}")
    print(f"page: {out / 'reproduce.html'}   rows: {out / 'measured'}")
    if any(outcome.failures for outcome in outcomes):
        raise typer.Exit(1)


@app.command()
def recipes(
    measured: Annotated[
        bool, typer.Option("--measured", help="The claims tested on the rows of data/measured, in Markdown.")
    ] = False,
) -> None:
    """List the recipes of `labkit reproduce`, or what was measured with them."""
    from labkit.experiments.recipes import RECIPES

    if measured:
        from labkit.experiments.tables import summary

        print(summary())
        return
    rows = [(recipe.name, recipe.paper, str(len(recipe.systems)), recipe.line) for recipe in RECIPES.values()]
    _print_table("Recipes", ["recipe", "paper", "systems", "what it does"], rows, numbers=(2,))


@app.command()
def colorize(
    photos: Annotated[list[Path], typer.Argument(metavar="PHOTO...")],
    model: Annotated[
        Path | None, typer.Option(help="A folder that labkit train wrote; else the starter model.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the results; else beside each photo.")] = None,
    working_size: Annotated[
        int, typer.Option(min=0, help="Shorter side of what the network sees, in pixels; 0: the photo's own size.")
    ] = 96,
) -> None:
    """Colorize photographs at their own size, each as NAME.colorized.png.

    Networks know things at the scale they were trained on, so they look at a small copy; luma stays full size.
    """
    from PIL import Image

    from labkit.artifacts import make_folder, replacing
    from labkit.color import to_uint8
    from labkit.colorizer import Colorizer

    colorizer = Colorizer.load(model) if model else Colorizer.starter()
    if out:
        make_folder(out)
    targets: dict[Path, Path] = {}
    for photo in photos:
        target = (out or photo.parent) / f"{photo.stem}.colorized.png"
        if (other := targets.setdefault(target, photo)) != photo:
            raise LabkitError(f"{other} and {photo} would both become {target}: colorize them into two folders")
    for target, photo in targets.items():
        rgb = to_uint8(colorizer.colorize(photo, working_size=working_size or None))
        with replacing(target) as temporary:
            Image.fromarray(rgb.permute(1, 2, 0).cpu().numpy()).save(temporary)
        print(target)


@app.command()
def start(
    lab: Annotated[str, typer.Argument(help="01 or 01_averaging_problem.")],
    out: Annotated[Path, typer.Option(help="Folder for your copies.")] = Path("work"),
    fresh: Annotated[bool, typer.Option("--fresh", help="Start again; the old copy is kept beside it.")] = False,
) -> None:
    """Make your own working copy of a lab, which a git pull leaves alone."""
    from labkit.course.student import start as start_lab

    print(start_lab(lab, out, fresh))


@app.command()
def check(
    notebook: Annotated[Path, typer.Argument(help="Your working copy.")],
    inputs: Annotated[str | None, typer.Option(help="The code on your feedback: the same inputs again.")] = None,
) -> None:
    """Say which exercises of a notebook are right, wrong or to be done. Exit status 1 if one is wrong."""
    from labkit.grading.check import WRONG, check_notebook

    results = check_notebook(notebook, inputs=inputs)
    rows = [(r.id, r.title, r.status, f"{r.points} of {r.max_points}") for r in results]
    _print_table(str(notebook), ["exercise", "title", "status", "points"], rows)
    for result in results:
        if result.message:
            print(f"\n{result.id}: {result.message}")
    earned, highest = sum(r.points for r in results), sum(r.max_points for r in results)
    print(f"\nscore by the public checks: {earned} of {highest} points")
    if any(result.status == WRONG for result in results):
        raise typer.Exit(1)


@app.command()
def build(
    labs: Labs = None,
    check: Annotated[bool, typer.Option("--check", help="Only compare with the sources; execute nothing.")] = False,
) -> None:
    """Make the student and solution notebooks from notebooks/src."""
    from labkit.course.build import build as build_labs

    lines = build_labs(labs, check=check, progress=lambda line: print(line, flush=True))
    for line in lines:
        print(line)
    if check and lines:
        raise typer.Exit(1)


@app.command()
def release(
    labs: Annotated[list[str], typer.Argument(metavar="LAB...", help="01 or 01_averaging_problem.")],
    out: Annotated[Path, typer.Option(help="Folder for the student copies and their zip files.")] = Path("release"),
) -> None:
    """Write student copies for handing out, without solutions and hidden tests; refuse if one would leak."""
    from labkit.course.release import release as release_labs

    for path in release_labs(labs, out, progress=lambda line: print(line, flush=True)):
        print(path)


@app.command()
def grade(
    lab: Annotated[str, typer.Argument(help="01 or 01_averaging_problem.")],
    submissions: Annotated[
        Path, typer.Argument(help="Folder or zip of what was handed in, or a CSV: student_id, file.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for gradebook.csv, feedback, summary.html.")] = Path("grades"),
    jobs: Annotated[int | None, typer.Option(min=1, help="Submissions graded at once.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Grade only what is missing, failed or changed.")] = False,
    deadline: Annotated[str | None, typer.Option(help="Later ones are late: 2026-03-01T23:59, or a day.")] = None,
    late: Annotated[str, typer.Option(help="What late ones lose: 10%/day, or none.")] = "none",
    attempts: Annotated[str, typer.Option(help="Of several notebooks of one student: one, last or best.")] = "one",
    roster: Annotated[Path | None, typer.Option(help="Who is in the class: CSV, or your LMS's export.")] = None,
    compare: Annotated[list[Path] | None, typer.Option(help="Folder of earlier grades to compare with.")] = None,
    unsafe: Annotated[
        bool, typer.Option("--unsafe", help="Grade without a safe sandbox: you trust the class.")
    ] = False,
    seed: Annotated[int | None, typer.Option(min=0, help="Makes all inputs follow from a number, to try.")] = None,
    timeout: Annotated[int, typer.Option(min=1, help="Seconds that one cell or call may take.")] = 30,
) -> None:
    """Grade a class: a gradebook, a page for each student, a page on the class. Overrides in the gradebook are kept."""
    from labkit.grading.grade import grade as grade_class

    with _resumable():
        results = grade_class(
            lab,
            submissions,
            out=out,
            jobs=jobs,
            resume=resume,
            deadline=deadline,
            late=late,
            attempts=attempts,
            roster=roster,
            compare=compare or (),
            unsafe=unsafe,
            seed=seed,
            timeout=timeout,
        )
    if any(graded.status == "grader-error" for graded in results):
        raise typer.Exit(1)


@app.command()
def export(
    grades: Annotated[Path, typer.Argument(help="The folder that labkit grade wrote.")],
    to: Annotated[str, typer.Option(help="canvas, moodle, csv or gradescope.")],
    out: Annotated[Path | None, typer.Option(help="Folder to write into; the same one if not given.")] = None,
    assignment: Annotated[str, typer.Option(help="Name of the platform's column, as it exports it.")] = "",
) -> None:
    """Write the grades, and a zip of the feedback, as a learning platform takes them back."""
    from labkit.grading.exports import export as export_grades

    for path in export_grades(grades, to, out, assignment):
        print(path)


@app.command()
def doctor() -> None:
    """Say what machine, versions, devices and data sets there are, and what to do about what is missing."""
    from rich.console import Console

    from labkit.doctor import examine, show

    findings = examine()
    show(findings, Console())
    if any(finding.state == "missing" for finding in findings):
        raise typer.Exit(1)


@app.command()
def version() -> None:
    """Print the version."""
    print(f"labkit {__version__}")


def _print_data(title: str, rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> None:
    """Some columns of rows of data; a column that no row has is left out."""
    from labkit.notebook.lab import format_cell

    shown = [name for name in columns if any(row.get(name) is not None for row in rows)]
    numbers = [i for i, name in enumerate(shown) if any(isinstance(row.get(name), (int, float)) for row in rows)]
    _print_table(title, shown, [[format_cell(row.get(name)) for name in shown] for row in rows], numbers)


def _print_table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[int] = ()
) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left")
    for index, column in enumerate(columns):
        options: dict[str, Any] = {"justify": "right"} if index in numbers else {"overflow": "fold"}
        table.add_column(column, **options)
    for row in rows:
        table.add_row(*(Text(entry) for entry in row))
    Console().print(table)
