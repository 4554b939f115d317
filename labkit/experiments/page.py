"""Write what a reader of `labkit reproduce` looks at: its tables as CSV, JSON and one HTML page with figures."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from labkit import artifacts
from labkit.colorizer import Colorizer
from labkit.course import report
from labkit.errors import LabkitError
from labkit.experiments import scores
from labkit.experiments.claims import claims_table
from labkit.experiments.images import ImageCache
from labkit.experiments.runs import Outcome, Run
from labkit.experiments.schema import VALIDATION
from labkit.experiments.tables import means_table, printed_table
from labkit.ledger import environment, now
from labkit.metrics import gray_prediction
from labkit.training.run import METRICS_FILE

EXAMPLES = 8  # pictures in a row of the page


def write_page(outcomes: Sequence[Outcome], out: Path, cache: ImageCache, runs: Sequence[Run]) -> None:
    """Write reproduce.csv, reproduce.json and reproduce.html.

    Args:
        outcomes: one for each recipe.
        out: the folder of results.
        cache: the images that were trained and scored on.
        runs: of all recipes.
    """
    tables = {o.recipe.name: printed_table(o.recipe, o.measured, o.failures) for o in outcomes}
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
                "claims": claims_table(o.claims),
                "failures": o.failures,
            }
            for o in outcomes
        ],
    }
    artifacts.write_json(out / "reproduce.json", data)
    pages = [
        _page(o, tables[o.recipe.name], out, cache, [run for run in runs if run.recipe is o.recipe]) for o in outcomes
    ]
    facts = {"made": data["made"], "asked": len(pages), "environment": data["environment"], "what": "labkit reproduce"}
    artifacts.write_text(out / "reproduce.html", report.render(pages, [], facts))


def _page(
    outcome: Outcome, table: list[dict[str, Any]], out: Path, cache: ImageCache, runs: Sequence[Run]
) -> dict[str, Any]:
    """Return a recipe in the form that the page of `labkit run` shows."""
    recipe = outcome.recipe
    tables = [
        report.Table("means", "Means over seeds", means_table(recipe, outcome.measured)),
        report.Table("claims", "Claims tested", claims_table(outcome.claims)),
        report.Table("printed", "Every number beside the paper's", table),
    ]
    first = [run for run in runs if run.seed == 0 and (out / run.folder / METRICS_FILE).is_file()]
    try:
        figures = _figures(first, out, cache) if first else []
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


def _figures(runs: Sequence[Run], out: Path, cache: ImageCache) -> list[report.Figure]:
    """Draw example images of every decoding, and the loss of every system by epoch; first seed."""
    from labkit import plots

    pictures: dict[str, Tensor] = {}
    losses: list[tuple[str, list[dict[str, float]]]] = []
    for run in runs:
        folder = out / run.folder
        test = cache.images(run.recipe.setup(run.system, run.profile)).test.images[:EXAMPLES]
        if not pictures:
            pictures = {"true": test, "gray": gray_prediction(test)}
        trained = Colorizer.load(folder)
        if test.shape == pictures["true"].shape:
            for decoding in (one for one in run.system.decodings if one.size is None):
                pictures[decoding.name] = scores.decoded(trained, decoding)(test)
        losses.append((run.system.name, json.loads((folder / METRICS_FILE).read_text(encoding="utf-8"))["history"]))
    names = ", ".join(list(pictures)[2:])
    grid = _figure(
        plots.image_grid(pictures),
        f"The first {len(test)} test images in rows: the true ones, gray, and as predicted by {names}.",
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
    if watched := list(dict.fromkeys(n for _, history in losses for n in history[0] if n.startswith(VALIDATION))):
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
    """Draw a figure of panels, each with one line or several over the epochs."""
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
