"""A server of the page in a thread, for tests, and what they ask of it."""

import asyncio
import http.client
import io
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import numpy as np
from PIL import Image

from labkit.app.server import Site, serve
from labkit.colorizer import Colorizer
from labkit.data.toyworld import generate


def guided_model() -> Colorizer:
    """A small model that takes hints and has styles, trained for a second: what hints change can be seen."""
    model = Colorizer("ab313-luma", "unet-guided", width=8, depth=3, about={"working_size": 48})
    model.fit(generate(96, seed=1).images, epochs=6, batch_size=16, learning_rate=0.01, hints=0.7, progress=False)
    return model


@contextmanager
def served(site: Site, *more: tuple[str, Any, Any]) -> Iterator[int]:
    """Serve a site on a free port until the block ends; yield the port."""
    ready, port, loop = threading.Event(), [0], asyncio.new_event_loop()

    async def begin() -> None:
        server, port[0] = await serve(site, 0, "127.0.0.1", *more)
        ready.set()
        while not stop.is_set():
            await asyncio.sleep(0.05)
        server.stop()

    stop = threading.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(begin()), daemon=True)
    thread.start()
    assert ready.wait(60)
    try:
        yield port[0]
    finally:
        stop.set()
        thread.join(10)


def ask(
    port: int, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> tuple[int, dict[str, str], bytes]:
    """Ask the server; return status, headers and body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    try:
        connection.request("GET" if body is None else "POST", path, body=body, headers=dict(headers or {}))
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def colorize_path(**options: Any) -> str:
    return "/api/colorize?options=" + quote(json.dumps(options))


def jpeg(width: int = 60, height: int = 40, seed: int = 0, **options: Any) -> bytes:
    small = np.random.default_rng(seed).integers(30, 230, (5, 6, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC).save(out, "JPEG", **options)
    return out.getvalue()
