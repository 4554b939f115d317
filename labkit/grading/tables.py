"""CSV files as spreadsheets write them: any separator, a byte-order mark, ids that lost their leading zeros."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from labkit.errors import LabkitError

SEPARATORS = ",;\t|"
FORMULA = "=+-@\t\r\uff1d\uff0b\uff0d\uff20"  # a cell that begins so is run by spreadsheets
LARGEST = 50_000_000  # bytes


@dataclass(frozen=True)
class Table:
    """A CSV file as read: its columns, and its rows with their line numbers; a cell that is not there is ""."""

    path: Path
    columns: tuple[str, ...]
    rows: tuple[tuple[int, dict[str, str]], ...]
    separator: str = ","

    def column(self, *names: str) -> str:
        """Return the first of ``names`` that is a column, whatever its case; "" if none is."""
        known = {column.strip().casefold(): column for column in self.columns}
        return next((known[name.casefold()] for name in names if name.casefold() in known), "")


def read_table(path: Path) -> Table:
    """Read a CSV file, separated by commas, semicolons, tabs or bars.

    Raises:
        LabkitError: if it is none, or not in UTF-8 (UTF-16 with its mark is taken too).
    """
    try:
        data = path.read_bytes()[: LARGEST + 1]
        text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
        if len(data) > LARGEST or "\0" in text:
            raise csv.Error("too large, or no text")
        lines = text.splitlines()
        separator = ","
        if lines and lines[0].lower().startswith("sep=") and len(lines[0]) == 5:  # a hint that Excel writes and reads
            separator, text = lines[0][4], "\n".join(lines[1:])
        elif lines:
            separator = max(SEPARATORS, key=lambda mark: (lines[0].count(mark), -SEPARATORS.index(mark)))
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
        found = [(reader.line_num, row) for row in reader]
    except OSError as error:
        raise LabkitError(f"{path} cannot be read ({error.strerror})") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise LabkitError(f"{path} cannot be read as CSV ({error}): save it as CSV UTF-8") from None
    columns = tuple(found[0][1]) if found else ()
    rows = [(line, {**dict.fromkeys(columns, ""), **dict(zip(columns, row, strict=False))}) for line, row in found[1:]]
    return Table(path, columns, tuple(each for each in rows if any(each[1].values())), separator)


def plain_text(text: str) -> str:
    """Return text that a spreadsheet takes for text; what begins with a quote gets another, so that it can be undone.

    A separator in the text starts a new cell where another separator is expected: what follows it is guarded too.
    """
    if len(text) > 1 and not is_number(text) and text.startswith(("'", *FORMULA)):
        text = f"'{text}"
    for mark in SEPARATORS:
        if mark in text:
            parts = text.split(mark)
            text = mark.join([parts[0], *(f"'{part}" if _acts(part) else part for part in parts[1:])])
    return text


def _acts(part: str) -> bool:
    """Return whether a cell that begins so would be run, its quotation marks and spaces left out."""
    return part.lstrip(' "').startswith(tuple(FORMULA)) or (part.startswith("'") and _acts(part[1:]))


def original_text(text: str) -> str:
    """Return what `plain_text` was given."""
    for mark in reversed(SEPARATORS):
        if mark in text:
            parts = text.split(mark)
            text = mark.join(
                [parts[0], *(part[1:] if part[:1] == "'" and _acts(part[1:]) else part for part in parts[1:])]
            )
    return text[1:] if text[:1] == "'" and text[1:2] and text[1:2] in f"'{FORMULA}" else text


def is_number(text: str) -> bool:
    """Return whether a text is a finite number."""
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def same_id(wanted: str, known: Iterable[str]) -> str:
    """Return which of the ``known`` ids is meant: itself, else the only one that differs in leading zeros, else ""."""
    names = list(known)
    if wanted in names:
        return wanted
    if not wanted.isdigit():
        return ""
    found = [name for name in names if name.isdigit() and name.lstrip("0") == wanted.lstrip("0")]
    return found[0] if len(found) == 1 else ""
