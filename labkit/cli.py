"""The command line. Thin: it parses, calls the library and prints.

Imports stand inside the commands, so that `labkit --help` does not wait for torch.
"""

from __future__ import annotations

import inspect
import logging
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import typer

from labkit import LabkitError, __version__
from labkit.errors import SomeFailed, in_words, noting
from labkit.options import TrainOptions, keywords
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


def with_options(command: Callable[..., None], kind: type) -> Callable[..., None]:
    """Give a command that takes ``**options`` those of an options class, which typer reads from its signature."""
    own = [p for p in inspect.signature(command).parameters.values() if p.kind is not p.VAR_KEYWORD]
    first = list(kind.__annotations__)  # the class's own options before those it inherits
    made = [_typer_option(parameter, kind) for parameter in keywords(kind)]
    made.sort(key=lambda p: first.index(p.name) if p.name in first else len(first))

    def wrapper(**arguments: Any) -> None:
        command(**arguments)

    wrapper.__doc__ = command.__doc__
    wrapper.__signature__ = inspect.Signature([*own, *made])  # type: ignore[attr-defined]
    wrapper.__annotations__ = {p.name: p.annotation for p in (*own, *made)} | {"return": None}
    return wrapper


def _typer_option(parameter: inspect.Parameter, kind: type) -> inspect.Parameter:
    """Make a field of an options class an option of the command line: its type, its limits, its help."""
    [declared] = [item for item in fields(kind) if item.name == parameter.name]
    told, hint = dict(declared.metadata), parameter.annotation
    if get_origin(hint) is Literal:  # typer below 0.19 does not know it; the class checks the value
        told, hint = {**told, "help": f"{told['help']} One of {', '.join(get_args(hint))}."}, str
    limits = {key: told[key] for key in ("min", "max") if told.get(key) is not None}
    flag = [f"--{parameter.name.replace('_', '-')}"] if declared.default is False else []  # no --no-resume
    panel = None if parameter.name in kind.__annotations__ else "Training"
    option = typer.Option(*flag, help=told["help"], rich_help_panel=panel, **limits)
    return parameter.replace(annotation=Annotated[hint, option])


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
    jobs: Annotated[
        int | None,
        typer.Option("-j", "--jobs", min=1, help="Labs at a time; by default as many as cores and memory allow."),
    ] = None,
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
            jobs=jobs,
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


def _train(context: typer.Context, **options: Any) -> None:
    """Train one colorizer and score it on the test images."""
    from labkit.training.run import train as train_colorizer

    sources = {name: context.get_parameter_source(name) for name in options}
    metrics = train_colorizer(**{k: options[k] for k, source in sources.items() if source and source.name != "DEFAULT"})
    gray: dict[str, float] = metrics["gray"]
    rows = [(name, f"{metrics[name]:.5g}", f"{value:.5g}") for name, value in gray.items() if name != "skill"]
    _print_table("Scores on the test images", ["metric", "model", "gray baseline"], rows, numbers=(1, 2))
    print(f"skill over gray: {metrics['skill']:.3f}   training: {metrics['seconds']:.1f} s")


app.command(name="train")(with_options(_train, TrainOptions))


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
    from labkit.experiments.claims import claims_table
    from labkit.experiments.reproduce import reproduce as reproduce_recipes
    from labkit.experiments.tables import means_table, printed_table

    with _resumable():
        outcomes = reproduce_recipes(names, profile=profile, seeds=seeds, data_root=data_root, out=out, resume=resume)
    failures: dict[str, str] = {}
    for outcome in outcomes:
        recipe, rows = outcome.recipe, outcome.measured
        title = f"{recipe.name}, {outcome.profile}: {recipe.line}"
        columns = ["system", "skill", *recipe.metrics, "oracle mse", "perfect mse", "seeds", "images", "seconds"]
        _print_data(title, means_table(recipe, rows), columns)
        table = printed_table(recipe, rows, outcome.failures)
        if printed := [row for row in table if row["published"] is not None]:
            _print_data(
                "Beside the paper", printed, ["system", "metric", "published", "ours", "verdict", "seeds", "images"]
            )
        if tested := claims_table(outcome.claims):
            _print_data("Claims tested", tested, ["claim", "gain", "95 % margin", "verdict", "seeds", "images"])
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
) -> None:
    """List the recipes of `labkit reproduce`, or what was measured with them."""
    from labkit.experiments.recipes import RECIPES

    if measured:
        from labkit.experiments.results import results_page

        print(results_page(), end="")
        return
    rows = [(recipe.name, recipe.paper, str(len(recipe.systems)), recipe.line) for recipe in RECIPES.values()]
    _print_table("Recipes", ["recipe", "paper", "systems", "what it does"], rows, numbers=(2,))


@app.command()
def colorize(
    photos: Annotated[list[Path] | None, typer.Argument(metavar="PHOTO...")] = None,
    model: Annotated[
        Path | None, typer.Option(help="A folder that labkit train wrote; else the starter model.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the results; else beside each photo.")] = None,
    working_size: Annotated[
        int, typer.Option(min=0, help="Shorter side of what the network sees, in pixels; 0: the photo's own size.")
    ] = 96,
    contact_sheet: Annotated[
        Path | None,
        typer.Option(
            help="Also write one picture (.png, .jpg) of all: gray, colorized, original. "
            "Without photographs it shows the five that come with scikit-image."
        ),
    ] = None,
) -> None:
    """Colorize photographs at their own size, each as NAME.colorized.png. Exit status 1 if one of them failed.

    Networks know things at the scale they were trained on, so they look at a small copy; luma stays full size.
    """
    if not photos and not contact_sheet:
        raise LabkitError("no photographs given: name one or more, or --contact-sheet FILE for the packaged ones")
    from labkit.artifacts import make_folder
    from labkit.colorizer import Colorizer
    from labkit.images import read_image, save_image

    colorizer = Colorizer.load(model) if model else Colorizer.starter()
    if out:
        make_folder(out)
    targets = _targets(photos or [], out)
    failures: dict[str, str] = {}
    sheet = []
    for target, photo in targets.items():
        with noting(failures, str(photo)):
            original = read_image(photo)
            colorized = colorizer.colorize(original, working_size=working_size)
            save_image(colorized, target)
            print(target)
            if contact_sheet:
                sheet.append((original, colorized))
    if contact_sheet:
        _write_sheet(contact_sheet, sheet, photos, lambda photo: colorizer.colorize(photo, working_size=working_size))
    if failures:
        raise SomeFailed(failures, len(targets))


def _write_sheet(path: Path, sheet: list[tuple[Any, Any]], photos: list[Path] | None, colorize: Any) -> None:
    """Write the contact sheet of what was colorized; where no photographs were given, of the packaged ones."""
    from labkit.data import load
    from labkit.plots import contact_sheet as write_sheet

    if not photos:
        sheet = [(photo, colorize(photo)) for photo in load("photos", "test").images]
    if sheet:
        originals, results = zip(*sheet, strict=True)
        write_sheet(originals, results, path)
        print(path)


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
def check(
    notebooks: Annotated[list[Path], typer.Argument(metavar="NOTEBOOK...", help="Your working copies.")],
    inputs: Annotated[str | None, typer.Option(help="The code on your feedback: the same inputs again.")] = None,
) -> None:
    """Say which exercises of a notebook are right, wrong or to be done. Exit status 1 if one is wrong."""
    from labkit.grading.check import WRONG, check_notebook

    failures: dict[str, str] = {}
    wrong = False
    for notebook in notebooks:
        with noting(failures, str(notebook)):
            results = check_notebook(notebook, inputs=inputs)
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
    deadline: Annotated[
        str | None, typer.Option(help="Submissions after it are late: 2026-03-01T23:59, or a day.")
    ] = None,
    late: Annotated[str, typer.Option(help="What late submissions lose: 10%/day, or none.")] = "none",
    attempts: Annotated[str, typer.Option(help="Of several notebooks of one student: one, last or best.")] = "one",
    roster: Annotated[Path | None, typer.Option(help="Who is in the class: CSV, or your LMS's export.")] = None,
    compare: Annotated[list[Path] | None, typer.Option(help="Folder of earlier grades to compare with.")] = None,
    unsafe: Annotated[
        bool, typer.Option("--unsafe", help="Grade without a safe sandbox: you trust the class.")
    ] = False,
    seed: Annotated[int | None, typer.Option(min=0, help="Makes all inputs follow from a number, to try.")] = None,
    timeout: Annotated[int, typer.Option(min=1, help="Seconds that one cell or call may take.")] = 30,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Seconds that one submission may take in all; else 20 times --timeout.")
    ] = None,
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
            limit=limit,
        )
    failures = {graded.student: graded.reason for graded in results if graded.status == "grader-error"}
    if failures:
        raise SomeFailed(failures, len(results))


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
    if any(finding.state in ("old", "missing") for finding in findings):
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
