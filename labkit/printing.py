"""Text for a terminal, whatever its encoding: no write may fail for its characters, and no text is taken for markup."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def show_any_character() -> None:
    r"""Let stdout and stderr write what their encoding does not have as an escape (\u4e2d) instead of failing.

    File names may hold any character (under cp1252, Chinese ones cannot be shown) and even bytes that are no text.
    Every entry that prints calls this; a second call changes nothing. A notebook's streams take all text as they are.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors != "backslashreplace":
            stream.reconfigure(errors="backslashreplace")


def say(console: Console, text: str) -> None:
    """Print one line to a rich console as it is: neither [brackets] nor :names: in it mean anything."""
    from rich.text import Text

    console.print(Text(text), soft_wrap=True)
