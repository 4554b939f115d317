"""The page and the study in a real browser: Debian's chromium, driven by Playwright; skipped where one is missing."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from serving import guided_model, jpeg, served

from labkit.app.server import Limits, Site
from labkit.app.study import Study, make_study, read_answers
from labkit.app.study_server import study_rules
from labkit.colorizer import Colorizer

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SHOTS = os.environ.get("LABKIT_SCREENSHOTS")  # a folder: pictures of the page are written there, to be looked at
playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is missing: pip install playwright")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is missing: apt-get install chromium")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    true = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return make_study(tmp_path_factory.mktemp("study"), true, {"ours": true.flip(1)})


@pytest.fixture(scope="module")
def port(study: Study) -> Iterator[int]:
    plain = Colorizer("luma-chroma", "unet-half", width=8)
    site = Site({"guided": guided_model(), "plain": plain}, Limits(burst=100_000, megabytes=2))
    with served(site, *study_rules(site, study)) as port:
        yield port


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Any, port: int) -> Iterator[Any]:
    yield from new_page(browser, port)


def new_page(browser: Any, port: int, **options: Any) -> Iterator[Any]:
    """A page whose every error in the console, and every request elsewhere, fails the test."""
    context = browser.new_context(accept_downloads=True, base_url=f"http://127.0.0.1:{port}", **options)
    opened = context.new_page()
    opened.set_default_timeout(60_000)
    wrong: list[str] = []
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    opened.on(
        "request",
        lambda r: wrong.append(r.url) if not r.url.startswith((f"http://127.0.0.1:{port}/", "blob:")) else None,
    )
    yield opened
    context.close()
    assert [each for each in wrong if "status of 4" not in each] == []  # a refused picture is told in the console, too


def give(page: Any, name: str = "photo.jpg", data: bytes | None = None) -> None:
    data = jpeg(400, 300) if data is None else data
    page.set_input_files("#file", {"name": name, "mimeType": "image/jpeg", "buffer": data})


def wait_for_status(page: Any, text: str) -> None:
    from playwright.sync_api import expect

    expect(page.locator("#status")).to_contain_text(text, timeout=30_000)


def wait_for_another_picture(page: Any, shown: str) -> None:
    from playwright.sync_api import expect

    expect(page.locator("#after")).not_to_have_attribute("src", shown, timeout=30_000)


def shoot(page: Any, name: str) -> None:
    if SHOTS:
        page.screenshot(path=str(Path(SHOTS) / f"{name}.png"), full_page=True)


def colors_at(page: Any, x: float, y: float) -> list[int]:
    """The pixel of the colored picture at a place, each from 0 to 1."""
    return page.evaluate(
        """([x, y]) => {
            const image = document.getElementById('after'), canvas = document.createElement('canvas');
            canvas.width = image.naturalWidth; canvas.height = image.naturalHeight;
            const context = canvas.getContext('2d');
            context.drawImage(image, 0, 0);
            return [...context.getImageData(x * canvas.width, y * canvas.height, 1, 1).data.slice(0, 3)];
        }""",
        [x, y],
    )


def test_upload_hint_compare_and_download(page: Any, tmp_path: Path) -> None:
    page.goto("/")
    shoot(page, "empty")
    give(page)
    wait_for_status(page, "Colored in")
    before, shown = colors_at(page, 0.5, 0.5), page.get_attribute("#after", "src")
    page.fill("#color", "#00aa33")
    box = page.locator("#stage").bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_selector("#hints li")
    wait_for_another_picture(page, shown)
    page.evaluate("document.getElementById('after').decode()")
    assert colors_at(page, 0.5, 0.5) != before
    shoot(page, "hint")
    page.locator("#divider").focus()
    for _ in range(10):
        page.keyboard.press("ArrowRight")
    assert (
        page.evaluate("getComputedStyle(document.getElementById('stage')).getPropertyValue('--cut')").strip() == "60%"
    )
    shown = page.get_attribute("#after", "src")
    page.select_option("#style", "vivid")
    wait_for_another_picture(page, shown)
    with page.expect_download() as waiting:
        page.click("#download")
    file = tmp_path / "result.jpg"
    waiting.value.save_as(file)
    from PIL import Image

    assert waiting.value.suggested_filename == "photo.colorized.jpg" and Image.open(file).size == (400, 300)
    page.get_by_role("button", name="Remove hint 1").click()
    page.wait_for_selector("#nohints", state="visible")


def test_hints_by_keyboard_alone(page: Any) -> None:
    page.goto("/")
    give(page)
    wait_for_status(page, "Colored in")
    page.locator("#stage").focus()
    for key in ("ArrowRight", "ArrowDown", "Shift+ArrowDown"):
        page.keyboard.press(key)
    wait_for_status(page, "Cross at")
    assert page.locator("#cross").is_visible()
    page.keyboard.press("Enter")
    page.wait_for_selector("#hints li")
    assert page.locator("#marks span").count() == 1
    shoot(page, "keyboard")


def test_a_model_without_hints_says_so(page: Any) -> None:
    page.goto("/")
    give(page)
    wait_for_status(page, "Colored in")
    page.select_option("#model", "plain")
    assert not page.locator("#pick").is_visible() and page.locator("#style option").count() == 1
    page.locator("#stage").click()
    wait_for_status(page, "This model takes no color hints.")


def test_refused_files_are_told_in_a_sentence(page: Any) -> None:
    page.goto("/")
    page.wait_for_selector("#model option", state="attached")
    give(page, "notes.jpg", b"no picture")
    wait_for_status(page, "notes.jpg: The browser cannot show this file as a picture")
    assert not page.locator("#work").is_visible()
    give(page, "huge.jpg", b"\xff" * 2_100_000)
    wait_for_status(page, "huge.jpg: The file is too large: at most 2 MB")
    shoot(page, "refused")
    assert page.locator("#status.error").is_visible()


def test_two_users_see_only_their_own(browser: Any, port: int) -> None:
    pages = [new_page(browser, port) for _ in range(2)]
    first, second = (next(opened) for opened in pages)
    for user, (page, size) in enumerate(((first, (300, 200)), (second, (200, 300)))):
        page.goto("/")
        give(page, f"{user}.jpg", jpeg(*size, seed=user))
    for user, (page, size) in enumerate(((first, (300, 200)), (second, (200, 300)))):
        wait_for_status(page, "Colored in")
        assert page.locator("#list button").all_text_contents() == [f"{user}.jpg"]
        shown = page.evaluate(
            "[document.getElementById('after').naturalWidth, document.getElementById('after').naturalHeight]"
        )
        assert shown == list(size)
    for opened in pages:
        next(opened, None)


def test_it_fits_a_phone(browser: Any, port: int) -> None:
    for page in new_page(browser, port, viewport={"width": 360, "height": 740}, is_mobile=True, has_touch=True):
        page.goto("/")
        give(page, data=jpeg(1200, 800))
        wait_for_status(page, "Colored in")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        page.locator("#stage").tap()
        page.wait_for_selector("#hints li")
        shoot(page, "phone")


def test_everything_has_a_name_for_screen_readers(page: Any) -> None:
    page.goto("/")
    give(page)
    wait_for_status(page, "Colored in")
    nameless = page.evaluate(
        """() => [...document.querySelectorAll('button, input, select, img, [role]')].filter((each) =>
            !(each.labels && each.labels.length) && !each.getAttribute('aria-label') && !each.alt
            && !each.textContent.trim() && each.id !== 'status').map((each) => each.outerHTML)"""
    )
    assert nameless == []
    assert page.locator("#status").get_attribute("aria-live") == "polite"


def test_the_study_from_first_to_last_trial(page: Any, study: Study, tmp_path: Path) -> None:
    page.goto("/study.html")
    shoot(page, "study-begin")
    page.fill("#rater", "Ada")
    page.keyboard.press("Enter")
    for number in range(4):
        wait_for_status(page, f"Trial {number + 1} of 4.")
        assert page.locator(".choice img").count() == 2
        if number == 0:
            shoot(page, "study-trial")
        if number % 2:
            page.locator(".choice").first.click()
        else:
            page.keyboard.press("ArrowRight")
    wait_for_status(page, "All trials are done.")
    with page.expect_download() as waiting:
        page.click("#answers")
    waiting.value.save_as(tmp_path / "ada.csv")
    answers = read_answers([tmp_path / "ada.csv"])
    assert [each.answer for each in answers] == ["right", "left", "right", "left"]
    assert {each.rater for each in answers} == {"Ada"} and all(0 < each.seconds < 60 for each in answers)
    shoot(page, "study-end")
