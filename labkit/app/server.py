"""`labkit serve`: a page in the browser that colorizes photographs, with hints.

Tornado serves it: Jupyter brings it anyway, one process of it holds thousands of slow connections, and it refuses a
body by its length. Starlette would need a second package as its server.

Nothing is kept: a photograph is in memory while it is colorized, and no longer. Whoever sends too much, too large or
too often gets a sentence, and the others their pictures.
"""

from __future__ import annotations

import asyncio
import hmac
import io
import json
import secrets
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, HTTPError, RequestHandler, stream_request_body

from labkit.app.files import Look
from labkit.colorizer import Colorizer
from labkit.data.pictures import rgb_from_bytes
from labkit.errors import LabkitError, check_integer, in_words
from labkit.hints import check_number_of_hints, hint_from
from labkit.images import FILE_FORMATS, Metadata, read_image, read_metadata, to_pil

PAGE = Path(__file__).parent / "page"
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
COOKIE = "labkit-token"
LOCAL = ("127.0.0.1", "localhost", "::1")
ANSWERS = {"jpeg": (".jpg", "image/jpeg"), "png": (".png", "image/png"), "webp": (".webp", "image/webp")}


@dataclass(frozen=True)
class Limits:
    """What one visitor, and all together, may ask for.

    Attributes:
        megabytes: of one picture.
        pixels: of one picture.
        waiting: pictures that wait for their turn; more are refused.
        burst: requests that one address may make at once.
        per_second: requests a second that one address may make in the long run.
        workers: pictures that are colorized at once.
    """

    megabytes: int = 40
    pixels: int = 40_000_000
    waiting: int = 64
    burst: int = 120
    per_second: float = 20.0
    workers: int = 2


@dataclass
class Site:
    """What all requests share.

    Attributes:
        models: by the name that the page shows; the first is the default.
        limits: see `Limits`.
        token: what a visitor must show; None: nobody but this computer can reach the page.
        hosts: names by which the page may be called; None: any. A page elsewhere could otherwise call this computer by
            a name of its own (DNS rebinding).
    """

    models: Mapping[str, Colorizer]
    limits: Limits = field(default_factory=Limits)
    token: str | None = None
    hosts: tuple[str, ...] | None = LOCAL

    def __post_init__(self) -> None:
        """Make the workers and the counters."""
        self.pool = ThreadPoolExecutor(self.limits.workers, thread_name_prefix="colorize")
        self.waiting = 0
        self._allowance: dict[str, tuple[float, float]] = {}  # address -> requests left, when they were counted

    def allows(self, address: str) -> bool:
        """Count a request of an address; return whether it is within the rate: a bucket that fills by the second."""
        now = time.monotonic()
        left, counted = self._allowance.get(address, (float(self.limits.burst), now))
        left = min(self.limits.burst, left + (now - counted) * self.limits.per_second)
        if len(self._allowance) > 10_000:  # addresses that have been quiet are full again and need no memory
            self._allowance.clear()
        self._allowance[address] = (max(0.0, left - 1), now)
        return left >= 1

    async def run(self, work: Any, *arguments: Any) -> Any:
        """Run work in a worker's thread, when its turn comes.

        Raises:
            HTTPError: too many are waiting.
        """
        if self.waiting >= self.limits.waiting:
            raise HTTPError(503, "Too many pictures are waiting. Try again in a minute.")
        self.waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self.pool, work, *arguments)
        finally:
            self.waiting -= 1


class Handler(RequestHandler):
    """What every request has: headers, the checks of host, token and rate, and errors as sentences."""

    site: Site

    def initialize(self, site: Site) -> None:
        """Keep what all requests share."""
        self.site = site

    def set_default_headers(self) -> None:
        """Forbid the page everything that it does not need."""
        for name, value in HEADERS.items():
            self.set_header(name, value)
        self.clear_header("Server")

    def prepare(self) -> None:
        """Refuse strangers and whoever asks too often."""
        host = self.request.host_name
        if self.site.hosts is not None and host not in self.site.hosts:
            raise HTTPError(403, "This page answers only to the address that labkit serve printed.")
        if self.site.token is not None:
            given = self.get_query_argument("token", "") or self.get_cookie(COOKIE, "") or ""
            if not hmac.compare_digest(given.encode(), self.site.token.encode()):
                raise HTTPError(401, "This page needs the token that labkit serve printed: open the address with it.")
            self.set_cookie(COOKIE, self.site.token, httponly=True, samesite="Strict", path="/")
        origin = self.request.headers.get("Origin")
        if self.request.method == "POST" and origin and origin.split("://")[-1] != self.request.host:
            raise HTTPError(403, "Another page may not send pictures here.")
        if not self.site.allows(self.request.remote_ip or ""):
            raise HTTPError(429, "Too many requests in a short time. Wait some seconds.")

    def write_error(self, status_code: int, **details: Any) -> None:
        """Answer with one sentence; what went wrong inside stays in the log."""
        error = details.get("exc_info", (None, None, None))[1]
        said = error.log_message.replace("%%", "%") if isinstance(error, HTTPError) and error.log_message else None
        usual = {404: "There is no such page.", 405: "This is not possible here."}
        sentence = said or usual.get(status_code, "Something went wrong here. Try again, or another picture.")
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps({"error": sentence}))

    def log_exception(self, kind: Any, value: Any, trace: Any) -> None:
        """Log only what is a fault of the program."""
        if not isinstance(value, HTTPError):
            super().log_exception(kind, value, trace)


class Page(Handler):
    """The files of the page, from a fixed list: no path is ever made of what somebody sent."""

    def get(self, name: str) -> None:
        """Send one."""
        files = {path.name: path for path in PAGE.iterdir() if path.suffix in TYPES}
        file = files.get(name or "index.html")
        if file is None:
            raise HTTPError(404)
        self.set_header("Content-Type", f"{TYPES[file.suffix]}; charset=utf-8")
        self.finish(file.read_bytes())


class Models(Handler):
    """Which models there are, what each can do, and what may be sent."""

    def get(self) -> None:
        """Send the list."""
        models = [
            {"name": name, "styles": list(model.styles), "hints": model.takes_hints}
            for name, model in self.site.models.items()
        ]
        limits = self.site.limits
        self.finish({"models": models, "megabytes": limits.megabytes, "megapixels": limits.pixels / 1e6})


@stream_request_body
class Colorize(Handler):
    """A picture in the body, what is wanted as JSON in the query; the colored picture comes back."""

    def prepare(self) -> None:
        """Refuse by the length alone what is too large, before it is sent."""
        super().prepare()
        self.received = bytearray()
        self._check_length(int(self.request.headers.get("Content-Length") or 0))

    def data_received(self, chunk: bytes) -> None:
        """Collect the body."""
        self._check_length(len(self.received) + len(chunk))
        self.received += chunk

    def _check_length(self, length: int) -> None:
        if length > self.site.limits.megabytes * 1_000_000:
            raise HTTPError(413, f"The file is too large: at most {self.site.limits.megabytes} MB can be sent.")

    async def post(self) -> None:
        """Colorize the picture that was sent."""
        try:
            wanted = json.loads(self.get_query_argument("options", "{}"))
            if not isinstance(wanted, dict):
                raise ValueError
        except ValueError:
            raise HTTPError(400, "The options are not JSON.") from None
        model = self.site.models.get(wanted.get("model") or next(iter(self.site.models)))
        if model is None:
            raise HTTPError(400, "There is no such model.")
        data, kind = bytes(self.received), str(wanted.get("format", "jpeg"))
        self.received = bytearray()
        if kind not in ANSWERS:
            raise HTTPError(400, f"The format must be one of {', '.join(ANSWERS)}.")
        try:
            result = await self.site.run(colorize_bytes, model, data, wanted, self.site.limits.pixels)
        except (LabkitError, MemoryError, RuntimeError, TypeError) as error:
            if (reason := in_words(error)) is None and not isinstance(error, TypeError):
                raise
            raise HTTPError(400, _sentence(reason or "The options have a wrong type.")) from None
        self.set_header("Content-Type", ANSWERS[kind][1])
        self.finish(result)


def _sentence(text: str) -> str:
    """Return a message as a sentence."""
    text = text[:1].upper() + text[1:]
    return text if text.endswith(".") else f"{text}."


def colorize_bytes(model: Colorizer, data: bytes, wanted: Mapping[str, Any], most_pixels: int) -> bytes:
    """Colorize a picture file in memory.

    Args:
        model: what colorizes.
        data: the file's bytes.
        wanted: style, strength, hints (a list), sample (a number), format; each may be left out.
        most_pixels: larger pictures are refused.

    Returns: the bytes of the result, with date and color profile, without the place.

    Raises:
        LabkitError: the picture or what is wanted is refused.
    """
    image = read_image(rgb_from_bytes(data, most_pixels))
    hints = wanted.get("hints") or []
    if not isinstance(hints, list):
        raise LabkitError("hints must be a list")
    sample = wanted.get("sample")
    look = Look(
        style=str(wanted.get("style") or "faithful"),
        strength=wanted.get("strength", 1.0),
        hints=check_number_of_hints([hint_from(entry) for entry in hints]),
    )
    if sample is not None:
        sample = check_integer("sample", sample, low=0, high=10_000)
    result = look.apply(model, image, sample)[0]
    metadata = read_metadata(io.BytesIO(data)) if wanted.get("metadata") else Metadata()
    options: dict[str, Any] = dict(FILE_FORMATS[ANSWERS[str(wanted.get("format", "jpeg"))][0]])
    if metadata.exif:
        options["exif"] = metadata.exif
    out = io.BytesIO()
    to_pil(result).save(out, icc_profile=metadata.icc_profile, **options)
    return out.getvalue()


def make_application(site: Site, *more: tuple[str, Any, Any]) -> Application:
    """Return the application: the page, what it asks for, and what a study adds.

    Args:
        site: what all requests share.
        more: tornado's rules: path, handler, what it is made with.
    """
    own = [(r"/api/models", Models, {"site": site}), (r"/api/colorize", Colorize, {"site": site})]
    return Application([*own, *more, (r"/([\w.-]*)", Page, {"site": site})], log_function=lambda handler: None)


async def serve(site: Site, port: int, host: str = "127.0.0.1", *more: tuple[str, Any, Any]) -> tuple[HTTPServer, int]:
    """Begin to serve; the event loop of the caller goes on with it.

    Args:
        site: what all requests share.
        port: 0 for any that is free.
        host: the address to listen at.
        more: see `make_application`.

    Returns: the server, and its port.

    Raises:
        LabkitError: the port is taken, or the address is not this computer's.
    """
    size = (site.limits.megabytes + 1) * 1_000_000
    # The body is collected by Colorize itself, which refuses with a sentence where tornado would only hang up.
    server = HTTPServer(
        make_application(site, *more), max_body_size=100 * size, body_timeout=60, idle_connection_timeout=75
    )
    try:
        sockets = bind_sockets(port, host)
    except OSError as error:
        raise LabkitError(
            f"{host}:{port} cannot be served ({error.strerror}): choose another --port or --host"
        ) from None
    server.add_sockets(sockets)
    return server, sockets[0].getsockname()[1]


def make_site(models: Mapping[str, Colorizer], host: str, limits: Limits | None = None) -> Site:
    """Return a site for an address: on this computer without a token, elsewhere with one.

    Each worker computes with its part of the cores: together they would wait for one another.
    """
    limits = limits or Limits()
    torch.set_num_threads(max(1, torch.get_num_threads() // limits.workers))
    if host in LOCAL:
        return Site(models, limits)
    return Site(models, limits, token=secrets.token_urlsafe(16), hosts=None)


def address(host: str, port: int, token: str | None, page: str = "") -> str:
    """Return what to open in the browser."""
    return f"http://{host}:{port}/{page}" + (f"?token={token}" if token else "")
