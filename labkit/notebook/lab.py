"""What a lab's notebook talks to: ``lab = begin("01_averaging_problem", profile=profile, seed=seed, ...)``.

`begin` refuses wrong parameters before anything runs, settles the profile and the device, and seeds
everything. `Lab.table` and `Lab.record` show results and at the same time publish them in a form that
``labkit run`` collects. In a plain script, without IPython, they print.
"""

import ast
import html
import math
import os
import random
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from labkit.errors import LabkitError
from labkit.notebook.built import Built, built, mine
from labkit.notebook.parameters import Parameter, ParameterError, check_values, parse_code, parse_parameters
from labkit.printing import show_any_character

if TYPE_CHECKING:
    import torch

PROFILES: tuple[str, ...] = ("test", "quick", "course", "gpu", "auto")
RESULTS_MIME = "application/vnd.labkit.results+json"
_MISSING: Any = object()


def resolve_profile(name: str = "auto") -> str:
    """Return the profile that ``name`` stands for: one of test, quick, course, gpu.

    "auto" is the environment variable LABKIT_PROFILE if set, else course where CUDA is found, else quick.

    Raises:
        ParameterError: if the name (or LABKIT_PROFILE) is no profile.
    """
    if name not in PROFILES:
        raise ParameterError(f"profile must be one of {', '.join(PROFILES)}, got {name!r}")
    if name != "auto":
        return name
    wanted = os.environ.get("LABKIT_PROFILE") or "auto"
    if wanted not in PROFILES:
        raise ParameterError(f"LABKIT_PROFILE must be one of {', '.join(PROFILES)}, got {wanted!r}")
    if wanted != "auto":
        return wanted
    import torch

    return "course" if torch.cuda.is_available() else "quick"


def begin(name: str, **parameters: object) -> "Lab":
    """Check the parameters of the lab ``name``, seed torch, numpy and random, and return what the lab works with.

    ``parameters`` are the notebook's own, by name: ``profile``, ``dataset``, ``seed`` and whatever else it
    declares. ``dataset="auto"`` means toyworld in the profiles test and quick, cifar10 in course and gpu. The
    notebook's history is read too, so that a parameter which papermill injected under an unknown name is
    refused as well.

    Raises:
        ParameterError: for an unknown name, a value of another type, an unknown profile or dataset.
    """
    import numpy as np
    import torch

    from labkit.data import DATASETS

    declared, injected = _parameter_cells(_history(), parameters)
    if declared:
        check_values(declared, injected, where=name)
        parameters = check_values(declared, parameters, where=name)

    profile = resolve_profile(str(parameters.get("profile", "auto")))
    dataset = str(parameters.get("dataset", "auto"))
    if dataset == "auto":
        dataset = "cifar10" if profile in ("course", "gpu") else "toyworld"
    if dataset not in DATASETS:
        raise ParameterError(f"dataset must be one of {', '.join(DATASETS)}, got {dataset!r}")
    seed = parameters.get("seed", 0)
    if type(seed) is not int or not 0 <= seed < 2**32:
        raise ParameterError(f"seed must be a whole number from 0 to 2**32 - 1, got {seed!r}")

    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    show_any_character()
    print(f"{name}: profile {profile}, data {dataset}, seed {seed}, on {device}")
    return Lab(name, profile, dataset, seed, torch.device(device), dict(parameters))


def _parameter_cells(history: Sequence[str], names: Iterable[str] = ()) -> tuple[list[Parameter], dict[str, object]]:
    """Of the cells that ran: what the parameters cell declares, what papermill injected right after it.

    The parameters cell is the last one that declares a profile and all of ``names``: a student's own cell may look like
    one.
    """
    found: list[tuple[list[Parameter], dict[str, object]]] = []
    just_declared = False
    for source in history:
        if just_declared:  # papermill puts its cell there, and nowhere else
            found[-1][1].update(_injected(source))
        try:
            declared = parse_parameters(source)
        except ParameterError:  # another cell, which need not even be Python
            declared = []
        just_declared = any(parameter.name == "profile" for parameter in declared)
        if just_declared:
            found.append((declared, {}))
    whole = [one for one in found if set(names) <= {parameter.name for parameter in one[0]}]
    return (whole or found or [([], {})])[-1]


def _injected(source: str) -> dict[str, object]:
    """Return name -> value of the assignments in a cell that papermill wrote; of any other cell nothing.

    Tags do not reach a kernel. What papermill writes is the exact first line, then plain assignments of literals: a
    student's own cell "# Parameters of my experiment" is none, and one that does not parse neither.
    """
    if source.partition("\n")[0].rstrip() != "# Parameters":
        return {}
    found: dict[str, object] = {}
    try:
        for statement in parse_code(source, "the injected cell"):
            match statement:
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    found[name] = _literal(value)
                case _:
                    return {}
    except ValueError:  # which a ParameterError is, too
        return {}
    return found


def _literal(value: ast.expr) -> object:
    """Return the value of a literal as papermill writes it: NaN and infinity are calls, ``float('nan')``.

    Raises:
        ValueError: another expression.
    """
    match value:
        case ast.Call(func=ast.Name(id="float"), args=[ast.Constant(value=str(text))], keywords=[]):
            return float(text)
    try:
        return ast.literal_eval(value)
    except (TypeError, MemoryError, RecursionError):
        raise ValueError("no literal") from None


@dataclass(frozen=True)
class Lab:
    """The settled settings of a lab: ``profile`` is never "auto", ``device`` is a torch.device."""

    name: str
    profile: str
    dataset: str
    seed: int
    device: "torch.device"
    parameters: dict[str, object] = field(default_factory=dict)

    def choose(self, *, quick: Any, test: Any = _MISSING, course: Any = _MISSING, gpu: Any = _MISSING) -> Any:
        """Return the entry of this lab's profile; gpu defaults to course, course to quick, test to quick."""
        course = quick if course is _MISSING else course
        entries = {
            "test": quick if test is _MISSING else test,
            "quick": quick,
            "course": course,
            "gpu": course if gpu is _MISSING else gpu,
        }
        return entries[self.profile]

    def built(self, piece: Any, otherwise: Any) -> Built:
        """Return the student's ``piece`` if every check of it so far said right, else the library's ``otherwise``."""
        return built(piece, otherwise)

    def mine(self, exercise_id: str, name: str, otherwise: Any) -> Built:
        """Return the student's piece of an earlier lab, out of mine.py beside the notebook, else ``otherwise``.

        ``labkit start`` writes mine.py from the earlier labs in the same folder. A file that cannot be imported is one
        printed line.

        Args:
            exercise_id: which exercise made the piece, "01-train".
            name: what it is called there.
            otherwise: the library's piece.
        """
        return mine(exercise_id, name, otherwise)

    def table(self, rows: Sequence[Mapping[str, object]], caption: str, key: str) -> None:
        """Show ``rows`` (column name -> value; the first column names the row) as a table with a caption.

        Numbers are shown to four significant digits, text as given, None and NaN as a dash. ``key`` is the
        table's name in the metrics.json that ``labkit run`` writes.

        Raises:
            LabkitError: if there are no rows.
        """
        if not rows:
            raise LabkitError(f"table {key!r} has no rows: got an empty list, expected one row or more")
        columns = list(dict.fromkeys(column for row in rows for column in row))
        cells = [[format_cell(row.get(column)) for column in columns] for row in rows]
        plain_rows = [{column: _plain(row.get(column)) for column in columns} for row in rows]
        table = {"key": key, "caption": caption, "columns": columns, "rows": plain_rows}
        publish(
            {
                RESULTS_MIME: {"lab": self.name, "profile": self.profile, "table": table},
                "text/html": _html_table(columns, cells, caption),
                "text/plain": _text_table(columns, cells, caption),
            }
        )

    def record(self, **numbers: object) -> None:
        """Print single results by name and publish them for the metrics.json that ``labkit run`` writes."""
        values = {name: _plain(value) for name, value in numbers.items()}
        result = {"lab": self.name, "profile": self.profile, "numbers": values}
        text = "\n".join(f"{name} = {format_cell(value)}" for name, value in values.items())
        publish({RESULTS_MIME: result, "text/plain": text})


def publish(bundle: Mapping[str, Any]) -> None:
    """Display one MIME bundle in a notebook; print its text/plain elsewhere."""
    shell = _shell()
    if shell is None:
        show_any_character()
        print(bundle["text/plain"])
    else:
        shell.display_pub.publish(data=dict(bundle))


def _shell() -> Any:
    """Return the running IPython shell, or None in a plain script."""
    if "IPython" not in sys.modules:
        return None
    from IPython.core.getipython import get_ipython

    return get_ipython()


def _history() -> list[str]:
    shell = _shell()
    return [str(source) for source in shell.user_ns.get("In", [])] if shell is not None else []


def _plain(value: object) -> object:
    """Return ``value`` as JSON knows it: a tensor or array of one number becomes it, NaN and infinity None."""
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, (bool, int, float)) else str(value)


def format_cell(value: object) -> str:
    """Return a value as a table shows it: numbers to four significant digits; None, NaN and infinity as a dash."""
    value = _plain(value)
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        if value == 0 or not 1e-6 <= abs(value) < 1e9:
            return f"{value:.4g}"
        digits = max(0, 3 - math.floor(math.log10(abs(value))))
        text = f"{value:.{digits}f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    return str(value)


def _html_table(columns: Sequence[str], cells: Sequence[Sequence[str]], caption: str) -> str:
    sides = ["left"] + ["right"] * (len(columns) - 1)
    head = "".join(
        f'<th scope="col" style="text-align:{side}">{html.escape(column)}</th>'
        for side, column in zip(sides, columns, strict=True)
    )
    body = ""
    for first, *rest in cells:
        others = "".join(f'<td style="text-align:right">{html.escape(cell)}</td>' for cell in rest)
        body += f'<tr><th scope="row" style="text-align:left">{html.escape(first)}</th>{others}</tr>\n'
    return (
        f'<table>\n<caption style="text-align:left">{html.escape(caption)}</caption>\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>\n</table>"
    )


def _text_table(columns: Sequence[str], cells: Sequence[Sequence[str]], caption: str) -> str:
    widths = [max(len(line[index]) for line in [columns, *cells]) for index in range(len(columns))]
    lines = []
    for line in [columns, *cells]:
        first, *rest = [
            cell.ljust(width) if index == 0 else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        lines.append("  ".join([first, *rest]).rstrip())
    return "\n".join([caption, *lines])
