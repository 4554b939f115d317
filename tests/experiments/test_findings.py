"""What opens docs/results.md: ten sentences, five figures, and nothing in them that is not measured."""

import dataclasses
import io
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from measured_rows import ROW
from PIL import Image

from labkit.experiments import claims as module  # its test_claim would be collected as a test
from labkit.experiments import figures, findings, results
from labkit.experiments.findings import (
    FINDINGS,
    NOT_YET,
    Costs,
    Numbers,
    adversary_on_photographs,
    costs,
    costs_on_photographs,
    findings_text,
)
from labkit.experiments.measured import Measured, Row, number_of_seeds, summarize
from labkit.experiments.recipes import RECIPES
from labkit.experiments.results import results_page
from labkit.plots import close, to_image

PAGE = Path(__file__).parents[2] / "docs" / "results.md"


def made_up(recipe: str) -> list[Measured]:
    """Return rows of every decoding and metric of a recipe: other numbers for each, three seeds."""

    def rows() -> Iterator[Row]:
        for i, decoding in enumerate(RECIPES[recipe].decodings):
            for j, metric in enumerate(dict.fromkeys(("mse", *RECIPES[recipe].metrics, "colorfulness"))):
                for seed in range(3):
                    value = 0.003 + 0.0001 * i + 0.001 * j + 0.00001 * seed
                    yield dataclasses.replace(
                        ROW, recipe=recipe, system=decoding.name, metric=metric, seed=seed, value=value, gray=0.02
                    )

    return summarize(rows())


def test_the_tables_of_labs_03_and_06_start_with_gray_or_say_that_nothing_is_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for table, recipe in ((costs_on_photographs, "bins"), (adversary_on_photographs, "cnn-vs-gan")):
        monkeypatch.setattr(findings, "measured", lambda name, **_: made_up(name))
        rows = table()
        assert "gray" in str(rows[0]) and len(rows) > 5
        monkeypatch.setattr(findings, "measured", lambda name, **_: [])
        assert [list(row.values()) for row in table()] == [[f"not measured yet: labkit reproduce {recipe}"]]


def test_a_perfect_sampler_costs_twice_the_best_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = made_up("cnn-vs-gan")
    best = next(row for row in rows if (row.system, row.metric) == ("classification, by mean", "mse"))
    monkeypatch.setattr(findings, "measured", lambda name, **_: rows)
    *_, sampler = adversary_on_photographs()
    assert sampler["skill"] == round(1 - 2 * best.mean / 0.02, 3)


def test_the_page_names_every_version_and_the_days_between(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = made_up("bins")
    later = dataclasses.replace(rows[-1], versions="torch 9, labkit 9", date="2031-02-03T00:00:00+00:00")
    one, two = (results._ran(RECIPES["bins"], found) for found in (rows, [*rows[:-1], later]))
    assert f", {rows[0].versions}, {rows[0].date[:10]}: `" in one
    assert f", {rows[0].versions} and torch 9, labkit 9, {rows[0].date[:10]} to 2031-02-03: `" in two


def test_epochs_that_only_some_seeds_reach_do_not_count_as_seeds() -> None:
    rows = made_up("bins")
    short = dataclasses.replace(rows[0], metric="validation mse, epoch 9", seeds=(1,), values=(0.1,))
    assert number_of_seeds([*rows, short]) == "3 seeds"
    assert number_of_seeds([*rows, dataclasses.replace(short, metric="mae")]) == "1 to 3 seeds"
    assert number_of_seeds([dataclasses.replace(short, metric="mae")]) == "1 seed"


EVERY = {finding.recipe: made_up(finding.recipe) for finding in FINDINGS}


def test_there_are_ten_findings_and_five_figures() -> None:
    assert len(FINDINGS) == 10
    assert sorted(finding.figure for finding in FINDINGS if finding.figure) == sorted(figures.DRAW)
    for finding in FINDINGS:
        assert set(finding.claims) <= {claim.claim for claim in RECIPES[finding.recipe].claims}, finding.title


def test_each_sentence_has_numbers_verdicts_and_a_command() -> None:
    results = {
        name: [found for claim in RECIPES[name].claims if (found := module.test_claim(RECIPES[name], claim, rows))]
        for name, rows in EVERY.items()
    }
    texts = findings_text(EVERY, results)
    for finding, text in zip(FINDINGS, texts, strict=True):
        assert text.startswith(f"**{finding.title}**: ") and NOT_YET not in text
        assert "3 seeds" in text and "`labkit reproduce" in text
        assert all(claim in text for claim in finding.claims)
        assert len(re.findall(r"\d\.\d+", text)) >= 3


def test_what_is_not_measured_is_not_said() -> None:
    assert all(f": {NOT_YET}. `labkit reproduce " in text for text in findings_text({}, {}))
    without = {"bins": [row for row in EVERY["bins"] if row.system != "24 RGB bins, rounded"]}
    texts = dict(zip((finding.title for finding in FINDINGS), findings_text(without, {}), strict=True))
    assert NOT_YET in texts["Quantization and commitment"] and NOT_YET not in texts["Repainting luma"]


def test_three_prices_add_up_to_the_distance_of_mode_and_regression() -> None:
    values = {"regression": 0.25, "bins, mean": 0.25, "bins, rounded": 1 / 3, "bins, mode": 1 / 3}
    numbers = Numbers(summarize(dataclasses.replace(ROW, system=name, value=value) for name, value in values.items()))
    found = costs(numbers, "bins", "regression")
    assert found == Costs(0.0, pytest.approx(1 / 12), 0.0), "one peak between two bins: all of it is quantization"


@pytest.mark.parametrize("name", figures.DRAW)
def test_each_figure_is_small_and_readable_in_gray(name: str) -> None:
    finding = next(finding for finding in FINDINGS if finding.figure == name)
    drawn = figures.DRAW[name](Numbers(EVERY[finding.recipe]))
    assert len(drawn.alt) > 40 and len(re.findall(r"\d\.\d", drawn.alt)) >= 4
    _, content, _ = to_image(drawn.figure, max_bytes=figures.MAX_BYTES)
    marks = {(line.get_marker(), str(line.get_linestyle())) for axes in drawn.figure.axes for line in axes.get_lines()}
    hatches = {patch.get_hatch() for axes in drawn.figure.axes for patch in axes.patches}
    assert len(marks) >= 4 or len(hatches) >= 2, "series that differ in color only are alike in gray print"
    assert Image.open(io.BytesIO(content)).width > 300
    close(drawn.figure)


def test_the_page_shows_the_figures_that_are_there() -> None:
    named = re.findall(r"!\[([^\]]+)\]\(images/(results-\w+\.png)\)", PAGE.read_text(encoding="utf-8"))
    assert all((PAGE.parent / "images" / file).is_file() for _, file in named)
    drawn = figures.draw_all({name: rows for name, rows in EVERY.items() if name != "bins"})
    assert set(drawn) == {f"results-{name}.png" for name in figures.DRAW if name != "bins"}
    for one in drawn.values():
        close(one.figure)


def test_the_page_opens_with_the_findings() -> None:
    page = results_page()
    learned = page.split("## What was learned")[1].split("\n## ")[0]
    assert [int(number) for number in re.findall(r"^(\d+)\. \*\*", learned, flags=re.MULTILINE)] == list(range(1, 11))
