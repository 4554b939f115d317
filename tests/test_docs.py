"""The course page: it builds without a warning, and a browser without a network shows all of it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("sphinx_book_theme", reason="the course page needs the extra: pip install -e .[docs]")
ROOT = Path(__file__).resolve().parents[1]
LABS = sorted(path.stem for path in (ROOT / "notebooks" / "solutions").glob("*.ipynb"))
FETCHED = re.compile(r"""<(?:script|img|iframe|source|video)\b[^>]*\bsrc=["']https?:|<link\b[^>]*\bhref=["']https?:""")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the page in a folder of its own; warnings are errors."""
    out = tmp_path_factory.mktemp("page")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "-b", "html", str(ROOT / "docs"), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr[-3000:]
    return out


def test_every_lab_has_its_page_and_its_slides(page: Path) -> None:
    for lab in LABS:
        assert (page / "labs" / f"{lab}.html").is_file()
        slides = (page / "slides" / f"{lab}.html").read_text(encoding="utf-8")
        assert slides.count("<section>") > 10
        assert f"slides/{lab}.html" in (page / "slides.html").read_text(encoding="utf-8")
        assert f"labs/{lab}.html" in (page / "index.html").read_text(encoding="utf-8")


def test_nothing_is_fetched(page: Path) -> None:
    for file in page.rglob("*.html"):
        found = FETCHED.search(file.read_text(encoding="utf-8"))
        assert found is None, f"{file.relative_to(page)}: {found and found[0]}"


def test_every_figure_has_words(page: Path) -> None:
    for file in [*page.glob("labs/*.html"), *page.glob("slides/*.html")]:
        for image in re.findall(r"<img\b[^>]*>", file.read_text(encoding="utf-8")):
            alt = re.search(r'alt="([^"]*)"', image)
            # where a cell has no alt text, Sphinx writes the file's name
            assert alt and len(alt[1]) > 20 and "/" not in alt[1][:20], f"{file.name}: {image[:200]}"


def test_formulas_need_no_script(page: Path) -> None:
    text = (page / "labs" / "01_averaging_problem.html").read_text(encoding="utf-8")
    assert text.count("<math") > 20 and not re.search(r"<script[^>]*mathjax", text, re.IGNORECASE)
    assert not re.search(r"\$\\[a-z]+", re.sub(r"<(pre|script|code)\b.*?</\1>", "", text, flags=re.DOTALL))


def test_links_lead_somewhere(page: Path) -> None:
    for file in page.rglob("*.html"):
        if {"_modules", "_static"} & set(file.parts) or file.name in ("search.html", "genindex.html"):
            continue
        for link in re.findall(r'\bhref="([^"#:?]+)["#?]', file.read_text(encoding="utf-8")):
            assert (file.parent / link).exists(), f"{file.relative_to(page)} links to {link}"
