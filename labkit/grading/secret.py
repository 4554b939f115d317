"""The secret of a grading, from which each student's inputs follow.

Inputs differ by student and by what is handed in, so that nothing of one attempt's feedback helps the next, and nobody
can compute another's. The secret lies beside the results, readable by its owner only; a student's own code follows
from it, is printed on her page, and gives her the same inputs with `labkit check --inputs CODE`.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from pathlib import Path

from labkit.errors import LabkitError

NAME = "secret"
FORM = re.compile("[0-9a-f]{64}")


def settle_secret(out: Path, seed: int | None = None) -> str:
    """Return the secret that is kept in ``out``; a new one is drawn and kept if there is none.

    Args:
        out: the folder of results.
        seed: makes the secret follow from a number, to get the same inputs on another machine. Whoever knows the
            number can compute everybody's inputs.

    Raises:
        LabkitError: if the file there is no secret.
    """
    path = out / NAME
    if seed is not None:
        return _keep(path, hashlib.sha256(f"labkit seed {seed}".encode()).hexdigest())
    try:
        found = path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return _keep(path, secrets.token_hex(32))
    except (OSError, UnicodeDecodeError):
        found = ""
    if not FORM.fullmatch(found):
        raise LabkitError(f"{path} is damaged: put the earlier one back, or remove it (then everybody gets new inputs)")
    path.chmod(0o600)
    return found


def _keep(path: Path, secret: str) -> str:
    beside = path.with_name(f".{path.name}.new")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secret + "\n")
    beside.replace(path)
    return secret


def inputs_code(secret: str, lab: str, student: str, content: str, hidden: bool = False) -> str:
    """Return the code from which one submission's inputs follow (`labkit.checks.exercise_seed`).

    Args:
        secret: of the grading.
        lab: its name.
        student: whose submission it is.
        content: hash of what was handed in, which differs from attempt to attempt.
        hidden: whether for the hidden checks, whose code nobody gets to see.
    """
    words = "\0".join(["hidden" if hidden else "public", lab, student, content])
    return hmac.new(bytes.fromhex(secret), words.encode("utf-8", "replace"), hashlib.sha256).hexdigest()[:20]
