"""The command line. Thin: it parses, calls the library and prints.

Imports stand inside the commands, so that `labkit --help` does not wait for torch.
"""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from labkit import LabkitError, __version__
from labkit.errors import SomeFailed, in_words, noting
from labkit.printing import show_any_character

app = typer.Typer(
    help="Labs on automatic image colorization, and the library under them.",
    epilog="Exit status: 0 all is well; 1 something failed, or is wrong, and all the rest was done; 2 the request was "
    "refused; 130 interrupted.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
PAIR_OPTIONS = ("-p", "--parameter", "--sweep")
Labs = Annotated[list[str] | None, typer.Argument(metavar="[LAB]...", help="01 or 01_averaging_problem; all if none.")]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line.

    A mistake of the user's is one line on stderr and exit status 2; where some of many items failed, the status is 1.

    Args:
        arguments: without the program's name; None: those of this process.
    """
    show_any_character()
    # What Pillow finds odd in a picture is no news; that a picture cannot be read is said in labkit's words.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    logging.getLogger("PIL").setLevel(logging.CRITICAL)
    try:
        app(args=_join_pairs(sys.argv[1:] if arguments is None else arguments))
    except SomeFailed as error:
        for line in error.done:
            print(line)
        _tell_failures(error)
        sys.exit(1)
    except Exception as error:
        reason = in_words(error)
        if reason is None:
            raise
        print(f"labkit: {reason}", file=sys.stderr)
        sys.exit(2)


def _tell_failures(error: SomeFailed) -> None:
    """Print what failed on stderr: one item in one line, several as a list."""
    if error.total == 1:
        print(f"labkit: {error.lines[0]}", file=sys.stderr)
        return
    print(f"labkit: {len(error.failures)} of {error.total} failed:", file=sys.stderr)
    for line in error.lines:
        print(f"  {line}", file=sys.stderr)


def _join_pairs(arguments: Sequence[str]) -> list[str]:
    """Return `-p NAME VALUE` as `-p NAME=VALUE`, for typer has no repeatable option of two values."""
    joined: list[str] = []
    rest = list(arguments)
    while rest:
        joined.append(rest.pop(0))
        takes_two = joined[0] == "run" and joined[-1] in PAIR_OPTIONS and len(rest) > 1
        if takes_two and rest[0].isidentifier() and not rest[1].startswith("--"):  # the next option is no value
            joined.append(f"{rest.pop(0)}={rest.pop(0)}")
    return joined


def _pairs(texts: Sequence[str] | None, option: str) -> list[tuple[str, str]]:
    """Return (name, value) of each NAME=VALUE.

    Raises:
        LabkitError: a text without a value.
    """
    pairs = []
    for text in texts or []:
        name, equals, value = text.partition("=")
        if not equals:
            raise LabkitError(f"{option} needs a name and a value, got only {text!r}")
        pairs.append((name, value))
    return pairs


@contextmanager
def _resumable() -> Iterator[None]:
    """Let Ctrl-C end a command that has --resume without a traceback."""
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
    """Execute labs and write a report. Exit status 1 if a lab failed; the others are run all the same."""
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
    failures = {result.job.key: str(result.failure) for result in results if result.status == "failed"}
    if failures:
        raise SomeFailed(failures, len(results))


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
    failures: dict[str, str] = {}
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
            failures[title] = why
    print(f"page: {out / 'reproduce.html'}   rows: {out / 'measured'}")
    if failures:
        raise SomeFailed(failures, sum(len(outcome.recipe.systems) * seeds for outcome in outcomes))


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
    """Colorize photographs at their own size, each as NAME.colorized.png. Exit status 1 if one of them failed.

    Networks know things at the scale they were trained on, so they look at a small copy; luma stays full size.
    """
    from PIL import Image

    from labkit.artifacts import make_folder, replacing
    from labkit.color import to_uint8
    from labkit.colorizer import Colorizer

    colorizer = Colorizer.load(model) if model else Colorizer.starter()
    if out:
        make_folder(out)
    targets = _targets(photos, out)
    failures: dict[str, str] = {}
    for target, photo in targets.items():
        with noting(failures, str(photo)):
            rgb = to_uint8(colorizer.colorize(photo, working_size=working_size))
            with replacing(target) as temporary:
                Image.fromarray(rgb.permute(1, 2, 0).cpu().numpy()).save(temporary)
            print(target)
    if failures:
        raise SomeFailed(failures, len(targets))


def _targets(photos: Sequence[Path], out: Path | None) -> dict[Path, Path]:
    """Return result -> photo.

    Raises:
        LabkitError: two photos have one result, or a result is a photo that is to be colorized itself.
    """
    targets: dict[Path, Path] = {}
    for photo in photos:
        target = (out or photo.parent) / f"{photo.stem}.colorized.png"
        if (other := targets.setdefault(target, photo)) != photo:
            raise LabkitError(f"{other} and {photo} would both become {target}: colorize them into two folders")
    given = {photo.resolve() for photo in photos}
    for target, photo in targets.items():
        if target.resolve() in given:
            raise LabkitError(f"the result of {photo} would overwrite {target}, a photo to be colorized: choose --out")
    return targets


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
def check(notebooks: Annotated[list[Path], typer.Argument(metavar="NOTEBOOK...", help="Your working copies.")]) -> None:
    """Say which exercises of a notebook are right, wrong or to be done. Exit status 1 if one is wrong."""
    from labkit.course.student import WRONG, check_notebook

    failures: dict[str, str] = {}
    wrong = False
    for notebook in notebooks:
        with noting(failures, str(notebook)):
            results = check_notebook(notebook)
            rows = [(r.id, r.title, r.status, f"{r.points} of {r.max_points}") for r in results]
            _print_table(str(notebook), ["exercise", "title", "status", "points"], rows)
            for result in results:
                if result.message:
                    print(f"\n{result.id}: {result.message}")
            earned, highest = sum(r.points for r in results), sum(r.max_points for r in results)
            print(f"\nscore by the public checks: {earned} of {highest} points")
            wrong = wrong or any(result.status == WRONG for result in results)
    if failures:
        raise SomeFailed(failures, len(notebooks))
    if wrong:
        raise typer.Exit(1)


@app.command()
def build(
    labs: Labs = None,
    check: Annotated[bool, typer.Option("--check", help="Only compare with the sources; execute nothing.")] = False,
) -> None:
    """Make the student and solution notebooks from notebooks/src. Exit status 1 if one cannot be made, or differs."""
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
    """Write student copies for handing out, without solutions and hidden tests. Exit status 1 if one would leak."""
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
    deadline: Annotated[str | None, typer.Option(help="Later ones are marked late: 2026-03-01T23:59.")] = None,
    unsafe: Annotated[
        bool, typer.Option("--unsafe", help="Grade without a safe sandbox: you trust the class.")
    ] = False,
    seed: Annotated[int | None, typer.Option(min=0, help="Of the inputs; else drawn once and kept in --out.")] = None,
    timeout: Annotated[int, typer.Option(min=1, help="Seconds that one cell or check may take.")] = 30,
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
            unsafe=unsafe,
            seed=seed,
            timeout=timeout,
        )
    failures = {graded.student: graded.reason for graded in results if graded.status == "grader-error"}
    if failures:
        raise SomeFailed(failures, len(results))


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
    """Print some columns of rows of data; a column that no row has is left out."""
    from labkit.notebook.lab import format_cell

    shown = [name for name in columns if any(row.get(name) is not None for row in rows)]
    numbers = [i for i, name in enumerate(shown) if any(isinstance(row.get(name), (int, float)) for row in rows)]
    _print_table(title, shown, [[format_cell(row.get(name)) for name in shown] for row in rows], numbers)


def _print_table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[int] = ()
) -> None:
    """Print a table; ``numbers`` are the columns set flush right. Text is shown as it is: no markup, no emoji."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title), title_justify="left")
    for index, column in enumerate(columns):
        options: dict[str, Any] = {"justify": "right"} if index in numbers else {"overflow": "fold"}
        table.add_column(Text(column), **options)
    for row in rows:
        table.add_row(*(Text(entry) for entry in row))
    Console().print(table)
