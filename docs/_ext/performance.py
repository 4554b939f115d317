"""Put what docs/performance.json holds into the page on performance, where the page has a comment for it."""

from pathlib import Path

from sphinx.application import Sphinx

from labkit.bench import cost
from labkit.bench.report import COLUMNS, markdown, read_report

FILE, FIGURE = "performance.json", "images/cost.png"
RATIOS, COST = f"<!-- labkit bench --show docs/{FILE} -->", "<!-- the part cost of the same file -->"


def insert_tables(app: Sphinx, page: str, source: list[str]) -> None:
    """Replace the comments by tables, and draw the figure."""
    if page != "performance":
        return
    file = Path(app.srcdir) / FILE
    report = read_report(file)
    notes = "".join(f"\n- not measured: {line}" for line in report.notes())
    ratios = markdown(COLUMNS, [row.cells() for row in report.rows])
    costs = "Not measured yet."
    if report.points:
        cost.draw(report, Path(app.srcdir) / FIGURE)
        figure = f"![Seconds and memory of an epoch against images, pixels, width and classes.]({FIGURE})"
        costs = f"{markdown(cost.COLUMNS, cost.laws(report))}\n\n{figure}\n\n{cost.prediction(report)}"
    for comment, text in ((RATIOS, f"{ratios}\n\n{report.heading()}.\n{notes}"), (COST, costs)):
        assert comment in source[0], f"docs/performance.md has no line {comment}"
        source[0] = source[0].replace(comment, text)


def setup(app: Sphinx) -> dict[str, bool]:
    """Look at each page as it is read."""
    app.connect("source-read", insert_tables)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
