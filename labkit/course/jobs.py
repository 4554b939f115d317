"""Plan what `labkit run` executes: the labs, with checked parameters; a job for every combination of a sweep."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from labkit import __version__
from labkit.course.labs import find_labs, lab_parameters, read_notebook
from labkit.errors import LabkitError, noting
from labkit.ledger import package_hash
from labkit.notebook.lab import resolve_profile
from labkit.notebook.parameters import Parameter, coerce_values, find_parameter, split_items

_LANGUAGES = {"ir": "R", "bash": "bash", "javascript": "JavaScript", "octave": "Octave"}  # of kernels that may not say


@dataclass(frozen=True)
class Job:
    """Describe one execution: a lab with its parameters."""

    lab: str
    notebook: Path
    profile: str
    parameters: dict[str, object]  # what is passed to the notebook
    swept: dict[str, object]  # those of them that a sweep varies
    key: str  # file name without suffix, unique in a run
    problem: str = ""  # why it cannot even be tried

    def input_hash(self) -> str:
        """Return the SHA-256 of all that can change the result: cells, parameters, the package."""
        cells = [
            (cell["cell_type"], cell["metadata"].get("tags", []), cell["source"])
            for cell in read_notebook(self.notebook)["cells"]
        ]
        parts = [cells, self.parameters, self.profile, __version__, package_hash()]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def plan(
    labs: Sequence[str],
    profile: str,
    parameters: Sequence[tuple[str, str]],
    sweeps: Sequence[tuple[str, str]],
) -> list[Job]:
    """Return every execution asked for, with checked parameters.

    Raises:
        LabkitError: for an unknown lab, an unknown or ill-typed parameter, or one that is given twice.
    """
    notebooks = find_labs(labs)
    declared: dict[str, list[Parameter]] = {}
    problems: dict[str, str] = {}
    for lab, notebook in notebooks.items():
        with noting(problems, lab):
            _require_python(notebook)
            declared[lab] = lab_parameters(notebook)
    fixed = _by_name(parameters, "-p")
    swept = {name: _values(name, text) for name, text in _by_name(sweeps, "--sweep").items()}
    for name in {**fixed, **swept}:
        if name in fixed and name in swept:
            raise LabkitError(f"parameter {name} is given both by -p and by --sweep; use one of them")
        known = {parameter.name: parameter for lab in declared.values() for parameter in lab}
        if declared and name not in known:
            find_parameter(list(known.values()), name, where=" ".join(declared))
    if "profile" in fixed and profile not in ("auto", fixed["profile"]):
        raise LabkitError(f"two profiles: --profile {profile} and -p profile {fixed['profile']}")

    jobs: list[Job] = []
    for lab, notebook in notebooks.items():
        if lab in problems:
            jobs.append(Job(lab, notebook, resolve_profile(profile), {}, {}, _key(lab, {}), problems[lab]))
            continue
        names = [parameter.name for parameter in declared[lab]]
        mine = {name: values for name, values in swept.items() if name in names}
        for values in itertools.product(*mine.values()):
            point = dict(zip(mine, values, strict=True))
            texts = {"profile": profile, **fixed, **point}
            texts["profile"] = chosen = resolve_profile(texts["profile"])
            given = coerce_values(declared[lab], {n: text for n, text in texts.items() if n in names}, where=lab)
            varied = {name: given[name] for name in point}
            jobs.append(Job(lab, notebook, chosen, given, varied, _key(lab, varied)))
    return list({job.key: job for job in jobs}.values())  # a sweep over 1,1.0 names one value twice


def _require_python(path: Path) -> None:
    """Raise LabkitError where a notebook says that it is in another language."""
    metadata = read_notebook(path).metadata
    kernel, info = (
        part if isinstance(part := metadata.get(name), dict) else {} for name in ("kernelspec", "language_info")
    )
    about = [info.get("name"), kernel.get("language"), _LANGUAGES.get(str(kernel.get("name")))]
    language = next((str(name) for name in about if name), "python")
    if not language.lower().startswith(("python", "ipython")):
        name = kernel.get("display_name") or kernel.get("name") or language
        raise LabkitError(
            f"{path} is written in {language} (its kernel is {name!r}): labkit runs Python notebooks only"
        )


def _by_name(pairs: Sequence[tuple[str, str]], option: str) -> dict[str, str]:
    """Return name -> text.

    Raises:
        LabkitError: a name is given twice.
    """
    found: dict[str, str] = {}
    for name, text in pairs:
        if name in found:
            raise LabkitError(f"{option} {name} is given twice")
        found[name] = text
    return found


def _values(name: str, text: str) -> list[str]:
    """Return the values of a sweep, each once, as text.

    Raises:
        LabkitError: an empty one.
    """
    values = list(dict.fromkeys(split_items(text)))
    if "" in values:
        raise LabkitError(f"--sweep {name} needs values separated by commas, got {text!r}")
    return values


def _key(lab: str, swept: Mapping[str, object]) -> str:
    """Return a file name without suffix; a hash keeps it unique where a value had to be changed or is long."""
    name = lab.encode("utf-8", "replace").decode()  # bytes that are no text cannot stand in the ledger
    if name != lab:
        lab = f"{name}.{hashlib.sha256(os.fsencode(lab)).hexdigest()[:6]}"
    text = "".join(f".{name}={value}" for name, value in swept.items())
    safe = re.sub(r"[^A-Za-z0-9._=+-]", "_", text)[:100]
    return lab + (safe if safe == text else f"{safe}.{hashlib.sha256(text.encode()).hexdigest()[:6]}")
