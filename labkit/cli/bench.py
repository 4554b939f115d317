"""The command that measures speed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from labkit.cli.shared import app, print_table


@app.command()
def bench(
    parts: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[PART]...",
            help="training, quality, memory, color, quantizer, ssim, start-up, grading, course, cost; all if none.",
        ),
    ] = None,
    json: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write all numbers as JSON; - is standard output.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer and smaller images, 3 rounds.")] = False,
    repeats: Annotated[int | None, typer.Option(min=1, help="Rounds of each comparison; 5 if not given.")] = None,
    data_root: Annotated[Path | None, typer.Option(help="Where data sets are; else LABKIT_DATA or ./data.")] = None,
    show: Annotated[Path | None, typer.Option(metavar="FILE", help="Show such a JSON file; measure nothing.")] = None,
) -> None:
    """Compare labkit's speed with that of others, side by side: ratios, and what limits them."""
    from labkit.artifacts import write_json
    from labkit.bench.cost import COLUMNS as LAWS
    from labkit.bench.cost import laws, prediction
    from labkit.bench.report import COLUMNS, Report, read_report
    from labkit.bench.run import bench as measure

    def save(report: Report) -> None:
        if json and str(json) != "-":
            write_json(json, report.model_dump(mode="json"))

    if show:
        report = read_report(show)
    else:
        report = measure(parts or (), quick=quick, repeats=repeats, data_root=data_root, save=save)
    if str(json) == "-":
        print(report.model_dump_json(indent=2))
        return
    print_table(report.heading(), COLUMNS, [row.cells() for row in report.rows])
    print("ratio: what the other takes, divided by what labkit takes; median, lowest and highest of the rounds")
    for line in report.notes():
        print(f"not measured: {line}")
    if report.points:
        print_table("Cost of an epoch", LAWS, laws(report), numbers=(2, 3))
        print(prediction(report))
