"""Bring the executed labs into the page: a copy of each solution notebook, and a slide deck made from it.

The copies carry each figure's alt text where MyST-NB looks for it, and no badge, whose picture lies on another server.
A deck has a slide for each section (its heading and first paragraph) and one for each figure with its caption.
nbconvert's own slides load four scripts from other servers; these use its Markdown filter and the reveal.js that comes
with sphinx-revealjs, and work without a network.
"""

import html
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import sphinx_revealjs
from jinja2 import Environment, FileSystemLoader
from latex2mathml.converter import convert
from nbconvert.filters import markdown2html
from sphinx.application import Sphinx

REVEAL = Path(sphinx_revealjs.__file__).parent / "_static" / "revealjs" / "dist"
BADGE = re.compile(r"^\[!\[[^\n]*\]\([^\n]*\)\s*\n", re.MULTILINE)
DISPLAYED = re.compile(r"\$\$(.+?)\$\$", re.DOTALL)
INLINE = re.compile(r"(?<![\\$\w])\$(?!\s)([^$\n]+?)(?<!\s)\$(?![\d$])")


def for_page(notebook: Any) -> Any:
    """Return the notebook with alt texts in the cells' metadata and without the badge."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = BADGE.sub("", cell.source)
        texts = [_alt(output) for output in cell.get("outputs", []) if _image(output)]
        if texts:
            cell.metadata["mystnb"] = {"image": {"alt": " ".join(texts)}}
        if {"setup", "parameters"} & set(cell.metadata.get("tags", [])):
            cell.metadata["tags"] = [*cell.metadata["tags"], "hide-input"]
    return notebook


def slides(notebook: Any) -> Iterator[str]:
    """Yield the HTML of each slide of a lab: sections with their first paragraph, and figures with their captions."""
    heading = ""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            found = re.match(r"(#{1,2}) ([^\n]+)", cell.source)
            if found:
                heading = found[0]
                yield _as_html(f"{heading}\n\n{_first_paragraph(cell.source[found.end() :])}")
            continue
        figure = ""
        for output in cell.outputs:
            if image := _image(output):
                figure = f'<img src="{image}" alt="{html.escape(_alt(output))}">'
            elif figure and "text/markdown" in output.get("data", {}):
                caption = str(output["data"]["text/markdown"]).split("\n\n")[0]
                yield figure + _as_html(caption)
                figure = ""


def _first_paragraph(text: str) -> str:
    paragraphs = [part for part in text.strip().split("\n\n") if part and not part.startswith(("[", "<", "|", "#"))]
    return paragraphs[0] if paragraphs else ""


def _as_html(text: str) -> str:
    """Convert Markdown with formulas."""
    text = DISPLAYED.sub(lambda found: convert(found[1], display="block"), text)
    return str(markdown2html(INLINE.sub(lambda found: convert(found[1]), text)))


def _image(output: Any) -> str:
    """Return an output's picture as a data address, empty if it is none."""
    data = output.get("data", {})
    mime = next((mime for mime in data if mime.startswith("image/")), "")
    return f"data:{mime};base64,{data[mime]}" if mime else ""


def _alt(output: Any) -> str:
    return next((about["alt"] for about in output.get("metadata", {}).values() if "alt" in about), "")


def copy_labs(app: Sphinx) -> None:
    """Write docs/labs/*.ipynb and docs/_slides/slides/*.html before Sphinx reads anything."""
    source = Path(app.srcdir)
    labs, decks = source / "labs", source / "_slides" / "slides"
    shutil.rmtree(labs, ignore_errors=True)  # docs/index.md lists all that lie there
    labs.mkdir()
    decks.mkdir(parents=True, exist_ok=True)
    for name in ("reveal.js", "reveal.css", "reset.css"):
        shutil.copy(REVEAL / name, decks / name)
    shutil.copy(REVEAL / "theme" / "white.css", decks / "white.css")
    template = Environment(loader=FileSystemLoader(Path(__file__).parent)).get_template("slides.html")
    for path in sorted((source.parent / "notebooks" / "solutions").glob("*.ipynb")):
        notebook = nbformat.read(path, 4)
        page = template.render(title=notebook.metadata.labkit.title, slides=list(slides(notebook)))
        (decks / f"{path.stem}.html").write_text(page, encoding="utf-8")
        nbformat.write(for_page(notebook), labs / path.name)


def list_decks(app: Sphinx, page: str, source: list[str]) -> None:
    """Put a link to each lab's deck into the page on slides, where the page has a comment for it."""
    if page == "slides":
        paths = sorted((Path(app.srcdir) / "labs").glob("*.ipynb"))
        titles = {path.stem: nbformat.read(path, 4).metadata.labkit.title for path in paths}
        links = [f'- <a href="slides/{name}.html">{name[:2]} {title}</a>' for name, title in titles.items()]
        source[0] = source[0].replace("<!-- a link to each deck -->", "\n".join(links))


def setup(app: Sphinx) -> dict[str, bool]:
    """Copy the labs when a build begins."""
    app.connect("config-inited", lambda app, config: copy_labs(app))
    app.connect("source-read", list_decks)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
