"""Commands of the course: run, make, hand out, check and grade labs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from labkit.cli.shared import Cluster, app, pairs, print_table, resumable
from labkit.errors import SomeFailed, noting

Labs = Annotated[list[str] | None, typer.Argument(metavar="[LAB]...", help="01 or 01_averaging_problem; all if none.")]
LabsAtATime = Annotated[
    int | None,
    typer.Option("-j", "--jobs", min=1, help="Labs at a time; by default as many as cores and memory allow."),
]


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
    jobs: LabsAtATime = None,
    cluster: Cluster = None,
) -> None:
    """Execute labs and write a report. Exit status 1 if a lab failed; the others are run all the same."""
    from labkit.course.run import run as run_labs

    with resumable():
        results = run_labs(
            labs or (),
            profile=profile,
            parameters=pairs(parameter, "-p"),
            sweeps=pairs(sweep, "--sweep"),
            out=out,
            resume=resume,
            timeout=timeout,
            jobs=jobs,
            cluster=cluster,
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
        print_table(f"Parameters of {name}", ["name", "type", "default", "what it is"], rows)


@app.command()
def labs(
    lab: Annotated[str | None, typer.Argument(help="01 or 01_averaging_problem: lists its exercises.")] = None,
) -> None:
    """List the labs: minutes of the core and the extra exercises, predictions; or the exercises of one lab."""
    from labkit.course.labs import find_lab, list_labs
    from labkit.course.outline import outline

    if lab is not None:
        info = find_lab(lab)
        asked = outline(info.path).exercises
        rows = [
            (
                one.key,
                one.first.title,
                f"{one.first.level} of 5",
                "core" if one.first.core else "extra",
                str(one.minutes),
            )
            for one in asked
        ]
        print_table(info.name, ["exercise", "title", "difficulty", "kind", "minutes"], rows, numbers=(4,))
        return
    table: list[Sequence[str]] = []
    infos = list_labs()
    for info in infos:
        found = outline(info.path)
        levels = sorted({one.first.level for one in found.exercises})
        hardest = f"{levels[0]} to {levels[-1]}" if len(levels) > 1 else "".join(map(str, levels))
        minutes = [str(found.minutes(core)) for core in (True, False)]
        table.append((info.name, hardest, *minutes, str(len(found.predictions))))
    columns = ["lab", "difficulty", "core", "extra", "predictions"]
    print_table("Labs (minutes of core and extra exercises)", columns, table, numbers=(2, 3, 4))
    print(f"in {infos[0].path.parent}")


@app.command()
def start(
    lab: Annotated[str, typer.Argument(help="01 or 01_averaging_problem.")],
    out: Annotated[Path, typer.Option(help="Folder for your copies.")] = Path("work"),
    fresh: Annotated[bool, typer.Option("--fresh", help="Start again; the old copy is kept beside it.")] = False,
) -> None:
    """Make your own working copy of a lab, which a git pull leaves alone; or bring it up to a newer release.

    Your answers and your own cells stay, and the copy as it was is kept. What you built is written to mine.py beside
    it, for the labs that use it.
    """
    from labkit.course.student import start as start_lab

    lines: list[str] = []
    print(start_lab(lab, out, fresh, say=lines.append))
    for line in lines:
        print(line)


@app.command()
def check(
    notebooks: Annotated[list[Path], typer.Argument(metavar="NOTEBOOK...", help="Your working copies.")],
    inputs: Annotated[str | None, typer.Option(help="The code on your feedback: the same inputs again.")] = None,
) -> None:
    """Say which exercises of a notebook are right, wrong or to be done. Exit status 1 if one is wrong."""
    from labkit.grading.check import WRONG, check_guesses, check_notebook

    failures: dict[str, str] = {}
    wrong = False
    for notebook in notebooks:
        with noting(failures, str(notebook)):
            results = check_notebook(notebook, inputs=inputs)
            rows = [(r.id, r.title, r.status, f"{r.points} of {r.max_points}") for r in results]
            print_table(str(notebook), ["exercise", "title", "status", "points"], rows)
            for result in results:
                if result.message:
                    print(f"\n{result.id}: {result.message}")
            earned, highest = sum(r.points for r in results), sum(r.max_points for r in results)
            print(f"\nscore by the public checks: {earned} of {highest} points")
            guesses = check_guesses(notebook)
            if guesses.asked:
                print(
                    f"predictions, for no points: {guesses.right} right of {guesses.made} made ({guesses.asked} asked)"
                )
            wrong = wrong or any(result.status == WRONG for result in results)
    if failures:
        raise SomeFailed(failures, len(notebooks))
    if wrong:
        raise typer.Exit(1)


@app.command()
def build(
    labs: Labs = None,
    check: Annotated[bool, typer.Option("--check", help="Only compare with the sources; execute nothing.")] = False,
    jobs: LabsAtATime = None,
) -> None:
    """Make the student and solution notebooks from notebooks/src. Exit status 1 if one cannot be made, or differs."""
    from labkit.course.build import build as build_labs

    lines = build_labs(labs, check=check, progress=lambda line: print(line, flush=True), jobs=jobs)
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

    with resumable():
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
