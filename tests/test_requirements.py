"""The lower bounds in requirements.txt are those of pyproject.toml, and nothing is pinned."""

import re
from importlib.metadata import requires
from pathlib import Path

LINES = (Path(__file__).parents[1] / "requirements.txt").read_text().splitlines()


def test_the_same_lower_bounds() -> None:
    packaged = {re.split(r"[\s;]", text)[0] for text in requires("labkit") or []}
    bounds = [line for line in LINES if line and not line.startswith(("#", "-e"))]
    assert len(bounds) > 5 and set(bounds) <= packaged
    assert not any("==" in line for line in LINES) and LINES[-1].startswith("-e .[")
