"""The widgets of the labs in JupyterLab in a real browser, by keyboard: a guess, a slider that is dragged, an upload.

Needs playwright (``pip install playwright``) and a Chromium on the PATH; without them it is skipped.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
WAIT = 120_000  # milliseconds: the machine may be busy
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
CELLS = [
    'from labkit import plots, widgets\nfrom labkit.notebook import predict\n'
    "from labkit.notebook.photograph import own_photograph",
    'predict("90-skips", "How much do skips help?", ["not at all", "a little", "much"])',
    'predict("90-db", "What does gray score?", unit="dB")',
    "alt = lambda value: f'One bar of {value}.'\n"
    "widgets.drag(lambda v: plots.bars({'a': v}), name='odds', values=[1, 2, 3], start=1, alt=alt)",
    "own = own_photograph()",
    'print("the cells have run")',
]  # fmt: skip


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A JupyterLab with one notebook, its address, and its folder."""
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("jupyterlab")
    folder = tmp_path_factory.mktemp("lab")
    cells = [nbformat.v4.new_code_cell(source) for source in CELLS]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), folder / "widgets.ipynb")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = [
        "--no-browser",
        "--allow-root",
        f"--ServerApp.port={port}",
        "--IdentityProvider.token=",
        "--ip=127.0.0.1",
    ]
    environment = {**os.environ, "LABKIT_STATIC": "0", "JUPYTER_CONFIG_DIR": str(folder / ".jupyter")}
    with open(folder / "log", "w") as log:
        command = [sys.executable, "-m", "jupyterlab", *settings, f"--ServerApp.root_dir={folder}"]
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=folder)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(240):
            try:
                urllib.request.urlopen(f"{url}/api", timeout=5)
                break
            except OSError:
                assert server.poll() is None, (folder / "log").read_text()
                time.sleep(0.5)
        yield url, folder
    finally:
        server.terminate()
        server.wait(timeout=60)


@pytest.fixture(scope="module")
def page(address: tuple[str, Path]) -> Iterator[Any]:
    """The notebook in a browser, all cells run."""
    playwright = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("no Chromium on the PATH")
    with playwright.sync_playwright() as api:
        browser = api.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1200, "height": 2600})
        tab.set_default_timeout(WAIT)
        accept = tab.locator(".jp-Dialog .jp-mod-accept")  # it asks for a kernel where the start of one takes long
        tab.add_locator_handler(accept, lambda button: button.click())
        try:
            tab.goto(f"{address[0]}/lab/tree/widgets.ipynb")
            tab.locator(".jp-Notebook .jp-CodeCell").first.wait_for()
            tab.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
            tab.wait_for_timeout(3000)  # a notebook whose kernel is just there asks for one all the same
            tab.get_by_role("menuitem", name="Run", exact=True).click()
            tab.get_by_role("menuitem", name="Run All Cells", exact=True).click()
            tab.locator(".jp-OutputArea-output", has_text="the cells have run").wait_for()
            yield tab
        finally:
            if folder := os.environ.get("LABKIT_SCREENSHOTS"):
                tab.screenshot(path=str(Path(folder) / "widgets.png"))
            browser.close()


def guesses(folder: Path) -> dict[str, Any]:
    for _ in range(200):
        path = folder / "predictions.json"
        if path.exists():
            return dict(json.loads(path.read_text()))
        time.sleep(0.2)
    return {}


def test_a_guess_is_made_and_changed_with_the_keyboard(page: Any, address: tuple[str, Path]) -> None:
    buttons = page.locator("input[type=radio]")
    assert buttons.count() == 3 and not any(buttons.nth(n).is_checked() for n in range(3))
    buttons.nth(0).focus()
    page.keyboard.press("Space")
    page.get_by_text("your guess: (a)").wait_for()
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    page.get_by_text("your guess: (b)").wait_for()
    assert guesses(address[1])["90-skips"] == "b"
    assert page.get_by_text("(c) much").count() == 1  # the plain text does not stand beside the buttons


def test_a_number_is_typed(page: Any, address: tuple[str, Path]) -> None:
    field = page.locator("input[type=text][placeholder^='a number']")
    field.fill("24.1")
    page.keyboard.press("Enter")
    page.get_by_text("your guess: 24.1 dB").wait_for()
    assert guesses(address[1])["90-db"] == 24.1


def test_the_figure_follows_the_slider(page: Any) -> None:
    handle = page.locator(".noUi-handle").first
    assert page.locator(".jupyter-widgets img[alt^='One bar']").count() == 0
    handle.focus()
    page.keyboard.press("ArrowRight")
    page.locator("img[alt='One bar of 2.']").wait_for()
    page.keyboard.press("End")
    page.locator("img[alt='One bar of 3.']").wait_for()
    # While the mouse is still down, the figure has turned already.
    box = handle.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] - 1000, box["y"] + box["height"] / 2, steps=8)
    page.locator(".jupyter-widgets img[alt='One bar of 1.']").wait_for()
    page.mouse.up()


def test_a_photograph_is_uploaded(page: Any, tmp_path: Path) -> None:
    import PIL.Image

    PIL.Image.new("RGB", (40, 20), (200, 30, 30)).save(tmp_path / "mine.png")
    (tmp_path / "bad.png").write_bytes(b"nothing")
    button = page.get_by_role("button", name="Your photograph")
    for name, said in (("bad.png", "bad.png cannot be read as an image"), ("mine.png", "Used now: mine.png, 40 x 20")):
        with page.expect_file_chooser() as chooser:
            button.focus()
            page.keyboard.press("Enter")
        chooser.value.set_files(tmp_path / name)
        page.get_by_text(said).wait_for()
