"""The server of the page: what it sends, what it refuses, and many users at once."""

import io
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from serving import ask, colorize_path, guided_model, jpeg, served

from labkit.app.server import COOKIE, Limits, Site, make_site
from labkit.colorizer import Colorizer


@pytest.fixture(scope="module")
def site() -> Site:
    plain = Colorizer("luma-chroma", "unet-half", width=8)
    return Site({"guided": guided_model(), "plain": plain}, Limits(burst=100_000))


@pytest.fixture(scope="module")
def port(site: Site) -> Iterator[int]:
    with served(site) as port:
        yield port


def sentence(body: bytes) -> str:
    said = json.loads(body)["error"]
    assert isinstance(said, str) and said.endswith(".") and said[0].isupper() and "Traceback" not in said
    return said


def test_the_page_and_its_policy(port: int) -> None:
    for path, kind in (("/", "text/html"), ("/page.js", "text/javascript"), ("/page.css", "text/css")):
        status, headers, body = ask(port, path)
        assert status == 200 and headers["content-type"].startswith(kind) and body
        assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'")
        assert headers["x-content-type-options"] == "nosniff" and "server" not in headers
        text = body.decode()
        assert "http://" not in text.replace("http://www.w3.org/2000/svg", "") and "https://" not in text
        assert "style=" not in text and "onclick=" not in text and "<script>" not in text  # the policy forbids them
    for path in ("/../server.py", "/server.py", "/%2e%2e/server.py", "/api/nothing"):
        assert ask(port, path)[0] == 404


def test_models_say_what_they_can_do(port: int) -> None:
    told = json.loads(ask(port, "/api/models")[2])
    assert told["models"] == [
        {"name": "guided", "styles": ["faithful", "vivid"], "hints": True},
        {"name": "plain", "styles": ["faithful"], "hints": False},
    ]


def test_a_picture_comes_back_colored_at_its_size(port: int) -> None:
    status, headers, body = ask(port, colorize_path(format="png"), jpeg(90, 70))
    assert (status, headers["content-type"]) == (200, "image/png")
    plain = np.asarray(Image.open(io.BytesIO(body)))
    assert plain.shape == (70, 90, 3)
    hints = [{"x": 45, "y": 35, "color": "#ff0000"}]
    for options in ({"hints": hints}, {"style": "vivid"}, {"sample": 1}, {"strength": 0}, {"model": "plain"}):
        status, _, other = ask(port, colorize_path(format="png", **options), jpeg(90, 70))
        assert status == 200 and not np.array_equal(np.asarray(Image.open(io.BytesIO(other))), plain), options


def test_the_date_is_kept_and_the_place_is_not(port: int) -> None:
    exif = Image.Exif()
    exif[0x0132] = "2001:02:03 04:05:06"
    exif[0x8825] = {1: "N", 2: (48.0, 51.0, 30.0)}
    _, _, body = ask(port, colorize_path(metadata=True), jpeg(exif=exif))
    found = Image.open(io.BytesIO(body)).getexif()
    assert found[0x0132] == "2001:02:03 04:05:06" and not found.get_ifd(0x8825)
    _, _, body = ask(port, colorize_path(), jpeg(exif=exif))
    assert len(Image.open(io.BytesIO(body)).getexif()) == 0


@pytest.mark.parametrize(
    ("options", "body", "said"),
    [
        ({}, b"", "cannot be read as a picture"),
        ({}, b"%PDF-1.4 not a picture", "cannot be read as a picture"),
        ({}, jpeg()[:300], "cannot be read as a picture"),
        ({"model": "none"}, jpeg(), "no such model"),
        ({"model": "plain", "style": "vivid"}, jpeg(), "predicts one color"),
        ({"model": "plain", "hints": [{"x": 1, "y": 1, "color": "#ffffff"}]}, jpeg(), "takes no color hints"),
        ({"hints": [{"x": 999, "y": 1, "color": "#ffffff"}]}, jpeg(), "lies outside of the image"),
        ({"hints": [{"x": "a", "y": 1, "color": "red"}]}, jpeg(), "A hint is x,y,#rrggbb"),
        ({"hints": "all"}, jpeg(), "Hints must be a list"),
        ({"hints": ["1,1,#ffffff"] * 1001}, jpeg(), "Too many hints"),
        ({"strength": "strong"}, jpeg(), "Strength must be a number"),
        ({"strength": 99}, jpeg(), "Strength must be a number from 0 to 4"),
        ({"sample": "x"}, jpeg(), "Sample must be a whole number"),
        ({"format": "gif"}, jpeg(), "The format must be one of"),
        ({"style": 7}, jpeg(), "Unknown style"),
    ],
)
def test_what_is_refused_is_told_in_a_sentence(port: int, options: dict, body: bytes, said: str) -> None:
    status, _, answer = ask(port, colorize_path(**options), body)
    assert status == 400 and said in sentence(answer)


def test_options_that_are_no_object_are_refused(port: int) -> None:
    for text in ("[1]", "{", "7"):
        status, _, answer = ask(port, f"/api/colorize?options={text}", jpeg())
        assert status == 400 and "not JSON" in sentence(answer)


def test_other_hosts_and_pages_are_refused(port: int) -> None:
    assert ask(port, "/", headers={"Host": "evil.example"})[0] == 403
    status, _, answer = ask(port, colorize_path(), jpeg(), {"Origin": "http://evil.example"})
    assert status == 403 and "Another page" in sentence(answer)
    assert ask(port, colorize_path(), jpeg(), {"Origin": f"http://127.0.0.1:{port}"})[0] == 200


def test_elsewhere_a_token_is_needed(site: Site) -> None:
    import torch

    threads = torch.get_num_threads()
    made = make_site(site.models, "0.0.0.0")
    torch.set_num_threads(threads)
    assert made.token and len(made.token) > 20 and make_site(site.models, "127.0.0.1").token is None
    with served(made) as port:
        for path in ("/", "/api/models", "/?token=wrong"):
            status, _, answer = ask(port, path)
            assert status == 401 and "token" in sentence(answer)
        status, headers, _ = ask(port, f"/?token={made.token}")
        assert status == 200 and "HttpOnly" in headers["set-cookie"] and "SameSite=Strict" in headers["set-cookie"]
        assert ask(port, "/api/models", headers={"Cookie": f"{COOKIE}={made.token}"})[0] == 200


def test_limits_of_size_pixels_and_rate(site: Site) -> None:
    limits = Limits(megabytes=1, pixels=10_000, burst=8, per_second=0.001)
    with served(Site(site.models, limits)) as port:
        status, _, answer = ask(port, colorize_path(), jpeg(200, 100))
        assert status == 400 and "0.0 megapixels" in sentence(answer)
        assert ask(port, colorize_path(), jpeg(100, 100))[0] == 200
        status, _, answer = ask(port, colorize_path(), b"", {"Content-Length": "2000000"})
        assert status == 413 and "at most 1 MB" in sentence(answer)
        answers = [ask(port, "/api/models")[0] for _ in range(8)]
        assert answers[0] == 200 and answers[-1] == 429


def test_too_many_waiting_are_refused_and_nobody_else(site: Site) -> None:
    held = Site(site.models, Limits(waiting=2, workers=1, burst=100_000))
    go = threading.Event()
    held.pool.submit(go.wait, 60)  # the only worker is busy
    with served(held) as port, ThreadPoolExecutor(6) as users:
        asked = [users.submit(ask, port, colorize_path(), jpeg()) for _ in range(6)]
        while sum(each.done() for each in asked) < 4:
            pass
        go.set()
        statuses = sorted(each.result()[0] for each in asked)
    assert statuses == [200, 200, 503, 503, 503, 503]


def test_twenty_users_at_once_each_get_their_own(site: Site) -> None:
    def use(user: int, port: int) -> list[int]:
        """A picture of its own size, three times, with other hints each time."""
        statuses = []
        for number in range(3):
            hints = [{"x": user, "y": number, "color": "#20a040"}]
            status, _, body = ask(port, colorize_path(hints=hints), jpeg(200 + user, 150, seed=user))
            statuses.append(status)
            assert Image.open(io.BytesIO(body)).size == (200 + user, 150)
        return statuses

    with served(Site(site.models, replace(Limits(), burst=200))) as port, ThreadPoolExecutor(20) as users:
        done = list(users.map(use, range(20), [port] * 20))
    assert done == [[200, 200, 200]] * 20
