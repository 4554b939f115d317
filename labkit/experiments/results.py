"""Write docs/results.md: what was measured of the five papers, and what follows from it.

Every sentence with a number in it is made from data/measured; `labkit recipes --measured` prints the page.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from labkit import plots
from labkit.experiments.claims import (
    CONTRADICTED,
    NOT_COMPARABLE,
    SUPPORTED,
    UNDECIDED,
    ClaimResult,
    claims_table,
    largest_profile,
    measured_claims,
)
from labkit.experiments.comparability import perfect_score
from labkit.experiments.figures import draw_all
from labkit.experiments.findings import FINDINGS, findings_text
from labkit.experiments.measured import Measured, number_of_seeds
from labkit.experiments.published import PAPERS, published
from labkit.experiments.recipes import RECIPES
from labkit.experiments.schema import OWN, Recipe
from labkit.experiments.tables import printed_table, scored_systems
from labkit.metrics import skill

WORDS = {"mse": "MSE", "mae": "MAE", "psnr_mean": "PSNR", "psnr_pooled": "pooled PSNR", "ssim": "SSIM"}
NOTHING = "Nothing measured yet: labkit reproduce RECIPE --out DIR, then copy DIR/measured to data/measured.\n"
HOW_TO_READ = """\
**MSE** is the mean squared error of RGB in [0, 1]; **skill** is the fraction of the gray image's MSE that is gone, so
that gray has skill 0 and a skill below 0 is worse than not colorizing. **PSNR** is the mean over images, each capped at
50 dB. A mean over seeds is followed by its standard deviation in parentheses. The quick profile has smaller networks,
fewer epochs and often smaller images than the papers.

A claim names two systems and the one thing in which they differ. Its verdict:

- **not comparable**: more differs than the claim names, or a system that minimizes squared error does not beat gray. (A
  sampler, such as a GAN, may lose to gray and still be perfect: a perfect one costs twice the best regressor's MSE,
  which the tables show as *perfect MSE*; for a mode it is the error of the nearest bins.)
- **undecided**: one seed, or the 95 % interval of the gain contains zero.
- **supported**, **contradicted**: the interval does not contain zero. A paper's claim is *contradicted in our
  setting* unless the run follows the paper's own.

The interval is Student's t over the seeds, together with a paired bootstrap over the test images where the scores of
each image were kept; otherwise the table says *seeds only*, and the interval is too narrow. *Holds among all* says
whether a verdict survives a false discovery rate of 5 % among all comparable claims (Benjamini and Hochberg).

Against a printed number, ours is *better* or *worse*, or it *matches*: it differs by no more than one more run of ours
could by chance, and rounding. A printed gain of one system over another is *larger* or *smaller* here, or it *matches*.
With one seed a difference beyond rounding is *undecided*.
"""


def all_measured() -> dict[str, list[Measured]]:
    """Return what was measured of each recipe in its largest profile, by its name; only of those that were."""
    return {name: found for name, recipe in RECIPES.items() if (found := largest_profile(recipe))}


def results_page() -> str:
    """Return docs/results.md."""
    rows = all_measured()
    if not rows:
        return NOTHING
    results = {name: measured_claims(RECIPES[name]) for name in rows}
    every = [result for found in results.values() for result in found]
    table = {
        (row["recipe"], row["claim"]): row for row in claims_table(every)
    }  # adjusted among all claims, not within one recipe
    parts = [
        "# Results",
        "Made by `labkit recipes --measured` from data/measured and data/published; do not edit by hand.",
        "## What was learned",
        *_learned(rows, results),
        "## How the claims fared",
        _counts(every, list(table.values())),
        "## How to read the tables",
        HOW_TO_READ.strip(),
    ]
    for paper, title in (*PAPERS.items(), (OWN, "our own recipes")):
        recipes = [RECIPES[name] for name in rows if RECIPES[name].paper == paper]
        if recipes:
            parts += _paper(paper, title, recipes, rows, results, table)
    return "\n\n".join(parts) + "\n"


def _learned(rows: Mapping[str, list[Measured]], results: Mapping[str, list[ClaimResult]]) -> Iterator[str]:
    """Yield the ten findings, each followed by its figure where there is one."""
    drawn = draw_all(rows)
    for number, (finding, text) in enumerate(zip(FINDINGS, findings_text(rows, results), strict=True), 1):
        yield f"{number}. {text}"
        if found := drawn.get(f"results-{finding.figure}.png"):
            yield f"![{found.alt}](images/results-{finding.figure}.png)"
            plots.close(found.figure)


def _counts(results: Sequence[ClaimResult], table: Sequence[Mapping[str, Any]]) -> str:
    counts = Counter(result.verdict for result in results)
    parts = [f"{counts[verdict]} {verdict}" for verdict in (SUPPORTED, CONTRADICTED, UNDECIDED, NOT_COMPARABLE)]
    lost = sum(row["holds among all"] == "no" for row in table)
    seeds_only = sum(not result.with_images for result in results)
    ours = sum(result.verdict == CONTRADICTED and result.claim.paper != OWN for result in results)
    in_paper = sum(result.verdict == CONTRADICTED and result.papers_setting for result in results)
    if seeds_only == len(results):
        intervals = "All intervals account for seeds only."
    elif seeds_only == 0:
        intervals = "All intervals account for seeds and test images."
    else:
        intervals = f"{seeds_only} intervals account for seeds only, the others for seeds and test images."
    return (
        f"{len(results)} claims were tested: {', '.join(parts)}. Of those decided, {lost} would not hold at a false "
        f"discovery rate of 5 % among all. Of the papers' claims {ours} are contradicted, {in_paper} of them in the "
        f"paper's own setting. {intervals}"
    )


def _paper(
    paper: str,
    title: str,
    recipes: Sequence[Recipe],
    rows: Mapping[str, list[Measured]],
    results: Mapping[str, list[ClaimResult]],
    table: Mapping[tuple[str, str], dict[str, Any]],
) -> list[str]:
    parts = [f"## `{paper}`: {title}"]
    if said := _said(paper):
        parts += ["### What it says", said]
    parts += ["### What we ran", _bullets(_ran(recipe, rows[recipe.name]) for recipe in recipes)]
    parts += ["### What came out"]
    for recipe in recipes:
        parts += [f"**{recipe.name}**: {recipe.line}", _scores(recipe, rows[recipe.name])]
        if found := results[recipe.name]:
            parts.append(_claims([table[recipe.name, result.claim.claim] for result in found]))
        if beside := _beside(recipe, rows[recipe.name]):
            parts.append(beside)
    found = [result for recipe in recipes for result in results[recipe.name]]
    decided = [result for result in found if result.verdict in (SUPPORTED, CONTRADICTED)]
    parts += [
        "### What follows",
        _bullets(f"{result.better.recipe}: {_short(result)}" for result in decided) or "Nothing is decided.",
    ]
    parts += ["### What cannot be concluded", _bullets(_open(recipes, rows, found))]
    return parts


def _said(paper: str) -> str:
    """Return the paper's claims without a number, from data/published."""
    return _bullets(
        f"{row.system}, {row.metric}: {row.claim} ({row.place})"
        for row in (published(paper) if paper != OWN else ())
        if row.value is None
    )


def _ran(recipe: Recipe, rows: Sequence[Measured]) -> str:
    first, dates = rows[0], sorted({row.date[:10] for row in rows})
    when = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    versions = " and ".join(dict.fromkeys(row.versions for row in rows))
    return (
        f"**{recipe.name}** with the {first.profile} profile, {number_of_seeds(rows)}, on {first.data}; "
        f"{first.device}, {versions}, {when}: `{first.command}`. {recipe.differs}".rstrip()
    )


def _scores(recipe: Recipe, rows: Sequence[Measured]) -> str:
    """Return the table of means: gray first, every metric with its standard deviation, n of seeds and images."""
    lines: list[dict[str, str]] = []
    for name, found, other_images in scored_systems(recipe, rows):
        mse = found["mse"]
        shown = [metric for metric in recipe.metrics if metric in found]
        if other_images:
            floor = {WORDS.get(metric, metric): f"{found[metric].gray:.4g}" for metric in shown}
            lines.append({"system": f"gray, as for {name}" if lines else "gray", "skill": "0"} | floor)
        line = {"system": name, "skill": f"{skill(mse.mean, mse.gray):.3f}"}
        line |= {WORDS.get(metric, metric): _with_sd(found[metric].mean, found[metric].sd) for metric in shown}
        perfect = perfect_score(recipe, mse, rows)
        line |= {"perfect MSE": "" if perfect is None else f"{perfect:.4g}"}
        lines.append(line | {"seeds": str(len(mse.seeds)), "images": str(mse.images)})
    columns = list(dict.fromkeys(name for line in lines for name in line if any(one.get(name) for one in lines)))
    return _markdown(columns, lines)


def _claims(rows: Sequence[Mapping[str, Any]]) -> str:
    columns = ["claim", "metric", "should be better", "than", "gain", "margin over", "verdict", "holds among all"]
    columns += ["seeds", "images"]
    if any(row["also differs"] for row in rows):
        columns.append("also differs")
    lines = [
        {**row, "gain": _gain(row["gain"], row["95 % margin"]), "metric": WORDS.get(row["metric"], row["metric"])}
        for row in rows
    ]
    return _markdown(columns, lines)


def _beside(recipe: Recipe, rows: Sequence[Measured]) -> str:
    """Return the table of printed numbers and ours; empty where the paper prints none that was measured."""
    columns = ["system", "metric", "published", "ours", "gray", "oracle", "verdict", "seeds", "images"]
    lines = [
        row
        | {
            "metric": WORDS.get(row["metric"], row["metric"]),
            "published": f"{row['published']:.4g}",
            "ours": _with_sd(row["ours"], row["sd"]),
            "gray": f"{row['gray']:.4g}",
            "oracle": "" if row["oracle"] is None else f"{row['oracle']:.4g}",
        }
        for row in printed_table(recipe, rows)
        if row["published"] is not None and "ours" in row
    ]
    return _markdown(columns, lines) if lines else ""


def _open(
    recipes: Sequence[Recipe], rows: Mapping[str, list[Measured]], results: Sequence[ClaimResult]
) -> Iterable[str]:
    if recipes[0].paper != OWN and not any(rows[r.name][0].profile in r.paper_profiles for r in recipes):
        yield (
            "No run here follows the paper's own setting: these rows say what holds in ours, and contradict no claim "
            "of the paper in its own."
        )
    if any(not result.with_images for result in results):
        yield "Where the margin is over seeds only, another set of test images may decide otherwise."
    for result in results:
        if result.verdict in (UNDECIDED, NOT_COMPARABLE):
            yield f"{result.better.recipe}: {_short(result)}"


def _short(result: ClaimResult) -> str:
    """Return a claim, who makes it, and its verdict."""
    claim = result.claim
    who = "" if claim.paper == OWN else f" (said by `{claim.paper}`)"
    return f"{claim.claim[0].upper()}{claim.claim[1:]}{who}: **{result.explained}**."


def _gain(gain: float, margin: float | None) -> str:
    return f"{gain:.3g}" if margin is None or math.isnan(margin) else f"{gain:.3g} ± {margin:.2g}"


def _with_sd(mean: float, sd: float | None) -> str:
    return f"{mean:.4g}" if sd is None or math.isnan(sd) else f"{mean:.4g} ({sd:.1g})"


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _markdown(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    return "\n".join([*lines, *(f"| {' | '.join(str(row.get(name, '')) for name in columns)} |" for row in rows)])
