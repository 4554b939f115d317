"""The JSON of a notebook file, whatever an editor, a cloud drive or a merge has done to it.

`labkit run`, `labkit check` and `labkit grade` all read notebooks through `notebook_json`, so that they accept the
same files and explain the others in the same words.
"""

import json
import re
from typing import Any

from labkit.errors import LabkitError

CONFLICT = re.compile(rb"^(<{7} |={7}\r?$|>{7} )", re.MULTILINE)  # what git leaves where two versions disagree
ENCODINGS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}


def notebook_json(data: bytes, name: str) -> dict[str, Any]:
    """Return what a notebook file holds, as raw JSON; a byte-order mark is skipped.

    Args:
        data: the bytes of the file.
        name: of the file, for messages.

    Raises:
        LabkitError: saying what is wrong with the file and what to do.
    """
    encoding = next((found for mark, found in ENCODINGS.items() if data.startswith(mark)), "utf-8")
    try:
        raw = json.loads(data.decode(encoding))
    except (ValueError, RecursionError, MemoryError):
        raise LabkitError(f"{name} is not a readable notebook: {_why(data)}") from None
    if not isinstance(raw, dict) or not ("cells" in raw or "worksheets" in raw):
        raise LabkitError(f"{name} is not a notebook: it has no cells")
    return raw


def _why(data: bytes) -> str:
    """Say what a file that is no JSON most likely is."""
    if not data.strip():
        return "the file is empty. Save the notebook again"
    if len(CONFLICT.findall(data)) >= 2:
        return "it has git's merge-conflict markers (<<<<<<<, =======, >>>>>>>). Keep one of the two versions"
    if data.startswith(b"%PDF"):
        return "it is a PDF. Hand in the notebook itself, the .ipynb file"
    if data.startswith(b"PK"):
        return "it is a zip or an Office file. Hand in the notebook itself, the .ipynb file"
    if data.lstrip()[:1] == b"<":
        return "it is a web page. Download the notebook itself, the .ipynb file"
    return "the file is damaged (no valid JSON). Open it in Jupyter and save it again"
