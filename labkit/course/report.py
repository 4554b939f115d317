"""Collect tables, numbers and figures of executed notebooks, as one HTML page and as plain data."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

from labkit.notebook.lab import RESULTS_MIME, format_cell

IMAGE_TYPES = ("image/png", "image/jpeg", "image/svg+xml")


@dataclass(frozen=True)
class Table:
    """Hold the rows of one table of a lab; `key` is its name in metrics.json."""

    key: str
    caption: str
    rows: list[dict[str, Any]]

    @property
    def columns(self) -> list[str]:
        """Return every column that some row has, in the order of first appearance."""
        return list(dict.fromkeys(name for row in self.rows for name in row))


@dataclass(frozen=True)
class Figure:
    """Hold one picture, ready for an <img>."""

    source: str  # a data: address
    alt: str
    caption: str  # plain text, may be empty
    width: int | None = None  # pixels of the page, where the notebook says so


@dataclass(frozen=True)
class Contents:
    """Hold all that a report takes from one executed notebook."""

    title: str = ""
    tables: list[Table] = field(default_factory=list)
    numbers: dict[str, Any] = field(default_factory=dict)
    figures: list[Figure] = field(default_factory=list)
    traceback: str = ""


def collect(notebook: Any) -> Contents:
    """Read an executed notebook (an nbformat node).

    Tables and numbers come from the outputs that `Lab.table` and `Lab.record` publish; with the same key twice,
    the later one counts. A Markdown output right after a picture is its caption.
    """
    tables: dict[str, Table] = {}
    numbers: dict[str, Any] = {}
    figures: list[Figure] = []
    errors: list[str] = []
    for cell in notebook["cells"]:
        outputs: list[Any] = cell.get("outputs", [])
        for output, following in zip(outputs, [*outputs[1:], {}], strict=False):
            if output["output_type"] == "error":
                errors.extend(map(str, output.get("traceback", [])))
            data = output.get("data", {})
            payload = data.get(RESULTS_MIME)
            with suppress(AttributeError, KeyError, TypeError, ValueError):  # not published by labkit: no result
                table, more = _published(payload)
                numbers.update(more)
                if table:
                    tables[table.key] = table
            if mime := next((mime for mime in IMAGE_TYPES if isinstance(data.get(mime), str)), None):
                about = output.get("metadata", {}).get(mime, {})
                alt, width = (about.get(name) if isinstance(about, dict) else None for name in ("alt", "width"))
                source = _data_address(mime, data[mime])
                width = width if isinstance(width, int) else None
                figures.append(Figure(source, str(alt or ""), _caption(following), width))
    return Contents(_title(notebook), list(tables.values()), numbers, figures, _plain("\n".join(errors)))


def _published(payload: Any) -> tuple[Table | None, dict[str, Any]]:
    """Return the table and the numbers that a cell has published; raise any error for another payload."""
    table = None
    if told := payload.get("table"):
        # a notebook file sorts the keys of a row, hence "columns"
        rows = [{str(column): row.get(column) for column in told["columns"]} for row in told["rows"]]
        table = Table(str(told["key"]), str(told["caption"]), [row for row in rows if row])
    return table, dict(payload.get("numbers", {}))


def _title(notebook: Any) -> str:
    """Return the first heading of the notebook."""
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            for line in cell["source"].splitlines():
                if (heading := re.match(r"#{1,6}\s+(.*)", line)) and not _of_papermill(cell):
                    return str(heading[1].strip())
    return ""


def _of_papermill(cell: Any) -> bool:
    """Return whether papermill has put a cell in, to say at the top which cell failed."""
    tags = cell["metadata"].get("tags")
    return isinstance(tags, list) and "papermill-error-cell-tag" in tags


def _data_address(mime: str, content: str) -> str:
    if mime == "image/svg+xml":  # the only one that a notebook stores as text
        content = base64.b64encode(content.encode()).decode()
    return f"data:{mime};base64,{''.join(content.split())}"


def _caption(output: Mapping[str, Any]) -> str:
    """Return the Markdown output that follows a picture, as plain text."""
    text = str(output.get("data", {}).get("text/markdown", ""))
    text = re.sub(r"<details>.*?</details>", "", text, flags=re.DOTALL)  # the alt text once more
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)  # links keep their words
    for marks in (r"\*\*", r"__", r"\*", "`"):
        text = re.sub(rf"{marks}(?=\S)(.+?)(?<=\S){marks}", r"\1", text)
    return " ".join(text.split())


def _plain(traceback: str) -> str:
    """Return a traceback without terminal colors."""
    return re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", traceback).strip()


def numeric(table: Table, column: str) -> bool:
    """Return whether a column holds numbers only, and is set flush right."""
    values = [row[column] for row in table.rows if row.get(column) is not None]
    return bool(values) and all(_is_number(value) for value in values)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def sweep_table(lab: str, runs: Sequence[tuple[Mapping[str, Any], str, float, Contents]]) -> Table:
    """Return one table for a sweep: a row for each combination, with its parameters, status, seconds and every number.

    The numbers of a lab's own tables become columns named `table: row, column`.

    Args:
        lab: its name.
        runs: (swept parameters, status, seconds, contents) of each combination.
    """
    rows = []
    for swept, status, seconds, contents in runs:
        row: dict[str, Any] = {**swept, "status": status, "seconds": round(seconds, 1), **contents.numbers}
        for table in contents.tables:
            row.update(_flat(table))
        rows.append(row)
    return Table(lab, f"Sweep of {lab}", rows)


def _flat(table: Table) -> dict[str, Any]:
    """Return the numbers of a table, each named by the table, its row (which the first column names) and its column."""
    found: dict[str, Any] = {}
    for row in table.rows:
        first, *others = row.items()
        found.update({f"{table.key}: {first[1]}, {name}": value for name, value in others if _is_number(value)})
    return found


def readable(sweep: Table, swept: Sequence[str], max_columns: int = 8) -> Table:
    """Return a sweep, transposed if it has more columns than fit a page: a row a result, a column a combination.

    Args:
        sweep: as `sweep_table` makes it.
        swept: names of the swept parameters.
        max_columns: columns that fit a page.
    """
    if len(sweep.columns) - len(swept) <= max_columns:
        return sweep
    names = [", ".join(f"{name} = {row.get(name)}" for name in swept) for row in sweep.rows]
    results = [column for column in sweep.columns if column not in swept]
    rows: list[dict[str, Any]] = [
        {"result": result, **{name: row.get(result) for name, row in zip(names, sweep.rows, strict=True)}}
        for result in results
    ]
    return Table(sweep.key, sweep.caption, rows)


def render(runs: Sequence[Any], sweeps: Sequence[Table], facts: Mapping[str, Any]) -> str:
    """Return the report as one HTML page that needs nothing else: pictures are inside, there are no scripts.

    Args:
        runs: `labkit.course.run.Result`s, or mappings with the same names.
        sweeps: tables of sweeps.
        facts: when it was `made`, how many runs were `asked` for, `environment`.
    """
    import jinja2

    template = resources.files("labkit.course").joinpath("report.html").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["cell"] = format_cell
    environment.tests["numeric"] = numeric
    return environment.from_string(template).render(runs=runs, sweeps=sweeps, facts=facts)


def csv_text(table: Table) -> str:
    """Return a table as CSV, with all digits."""
    import csv
    import io

    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, table.columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(table.rows)
    return buffer.getvalue()
