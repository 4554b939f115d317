"""What is read out of an executed notebook, and the page that is made of it."""

import base64
import csv
import io
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from labkit.course.execution import Failure
from labkit.course.jobs import Job
from labkit.course.report import Contents, Figure, Table, collect, csv_text, readable, render, sweep_table
from labkit.course.run import Result
from labkit.notebook.lab import RESULTS_MIME

PNG = base64.b64encode(b"\x89PNG not really").decode()
SCORES = Table("scores", "Scores <in> dB", [{"system": "ours", "psnr": 24.123456}, {"system": "gray", "psnr": None}])


def display(data: dict[str, Any], metadata: dict[str, Any] | None = None) -> Any:
    return new_output("display_data", data=data, metadata=metadata or {})


def notebook(*outputs: Any) -> Any:
    return new_notebook(cells=[new_markdown_cell("# The title\ntext"), new_code_cell("1", outputs=list(outputs))])


def test_collect_reads_tables_numbers_and_captioned_figures() -> None:
    table = {"key": "scores", "caption": "C", "columns": ["system", "mse"], "rows": [{"mse": 1.0, "system": "ours"}]}
    found = collect(
        notebook(
            display({RESULTS_MIME: {"table": table}}),
            display({RESULTS_MIME: {"numbers": {"skill": 0.25}}}),
            display({"image/png": PNG}, {"image/png": {"alt": "Two chips", "width": 300}}),
            display(
                {"text/markdown": "*The **two** [colors](x) `a`*\n\n<details><summary>w</summary>Two chips</details>"}
            ),
            display({"image/svg+xml": "<svg/>"}),
        )
    )
    assert found.title == "The title"
    assert found.tables == [Table("scores", "C", [{"system": "ours", "mse": 1.0}])]
    assert found.tables[0].columns == ["system", "mse"]
    assert found.numbers == {"skill": 0.25}
    first, second = found.figures
    assert first == Figure(f"data:image/png;base64,{PNG}", "Two chips", "The two colors a", 300)
    assert base64.b64decode(second.source.partition(",")[2]) == b"<svg/>"


def test_what_a_lab_publishes_is_collected(monkeypatch: pytest.MonkeyPatch) -> None:
    from labkit.notebook import lab

    bundles: list[dict[str, Any]] = []
    monkeypatch.setattr(lab, "publish", lambda bundle: bundles.append(dict(bundle)))
    settled = lab.Lab("01", "test", "toyworld", 0, "cpu")
    settled.table([{"system": "ours", "psnr": 24.0}], "Scores", "scores")
    settled.record(skill=0.5)
    found = collect(notebook(*[display(bundle) for bundle in bundles]))
    assert found.tables == [Table("scores", "Scores", [{"system": "ours", "psnr": 24.0}])]
    assert found.numbers == {"skill": 0.5}


def test_a_traceback_loses_its_terminal_colors() -> None:
    error = new_output("error", ename="KeyError", evalue="k", traceback=["\x1b[31mKeyError\x1b[0m", "at <x>"])
    assert collect(notebook(error)).traceback == "KeyError\nat <x>"


def test_a_sweep_is_one_table_and_turns_when_it_is_wide() -> None:
    contents = Contents(tables=[SCORES], numbers={"skill": 0.5})
    table = sweep_table("01", [({"alpha": 0.0}, "ok", 1.23, contents), ({"alpha": 1.0}, "failed", 2.0, Contents())])
    assert table.columns == ["alpha", "status", "seconds", "skill", "scores: ours, psnr"]
    assert table.rows[1] == {"alpha": 1.0, "status": "failed", "seconds": 2.0}
    assert readable(table, ["alpha"]) is table
    turned = readable(table, ["alpha"], max_columns=2)
    assert turned.columns == ["result", "alpha = 0.0", "alpha = 1.0"]
    assert turned.rows[2] == {"result": "skill", "alpha = 0.0": 0.5, "alpha = 1.0": None}
    back = list(csv.DictReader(io.StringIO(csv_text(table))))
    assert back[0]["scores: ours, psnr"] == "24.123456" and back[1]["skill"] == ""


class Strict(HTMLParser):
    """Notes tags left open or closed wrongly, ids given twice, pictures without alt text and outside addresses."""

    EMPTY = ("meta", "img", "br", "link")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.faults: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag not in self.EMPTY:
            self.open.append(tag)
        if "id" in values:
            self.ids.append(str(values["id"]))
        if tag == "img" and not values.get("alt"):
            self.faults.append("img without alt")
        if tag in ("script", "link"):
            self.faults.append(tag)
        for address in (values.get("src"), values.get("href")):
            if address and ":" in address and not address.startswith("data:"):
                self.faults.append(address)
            if address and address.startswith("#"):
                self.links.append(address[1:])

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}>")


def test_the_page_is_whole_valid_and_needs_nothing_else() -> None:
    figure = Figure(f"data:image/png;base64,{PNG}", 'Two "chips" & more', "A <caption>", 300)
    job = Job("01_x", Path("01_x.ipynb"), "test", {"alpha": 0.5, "word": "<b>"}, {"alpha": 0.5}, "01_x.alpha=0.5")
    good = Result(job, "ok", 3.21, output="a b%.ipynb", contents=Contents("Title <&>", [SCORES], {"n": 3}, [figure]))
    bad = Result(job, "failed", 1.0, Failure(3, "a < b", "ValueError: <x>"), contents=Contents(traceback="<frame>"))
    page = render(
        [good, bad], [SCORES], {"made": "2026-01-02T03:04:05+00:00", "asked": 3, "environment": {"labkit": "1"}}
    )
    parser = Strict()
    parser.feed(page)
    assert parser.faults == [] and parser.open == []
    assert len(set(parser.ids)) == len(parser.ids) and set(parser.links) <= set(parser.ids)
    assert page.startswith("<!DOCTYPE html>") and '<html lang="en">' in page
    for text in (
        "Title &lt;&amp;&gt;: alpha = 0.5",
        "Scores &lt;in&gt; dB",
        "24.12<",
        "A &lt;caption&gt;",
        "Two &#34;chips&#34; &amp; more",
        'width="300"',
        "1 of 3 failed",
        "Interrupted: 2 of 3 done",
        "<code>a &lt; b</code>",
        "ValueError: &lt;x&gt;",
        "&lt;frame&gt;",
        'href="a%20b%25.ipynb"',
    ):
        assert text in page, text
