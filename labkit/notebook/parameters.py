"""The parameters of a lab: read from its ``parameters`` cell, checked by name and by type.

A parameters cell holds nothing but annotated assignments, each with a comment that is its help::

    profile: str = "auto"  # test, quick, course, gpu or auto
    alpha: float = 0.5     # share of MSE in the loss

papermill reads the same cell with regular expressions (``papermill --help-notebook``) and only warns about a
name it does not know. This parser reads it with `ast`, so that a default is a value and not text; the command
line and `labkit.notebook.lab.begin` both use it, so that all of them refuse the same things.
"""

import ast
import difflib
import io
import tokenize
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from labkit.errors import LabkitError

SCALARS: tuple[str, ...] = ("int", "float", "bool", "str")
TYPES: tuple[str, ...] = SCALARS + tuple(f"list[{scalar}]" for scalar in SCALARS)


class ParameterError(LabkitError):
    """An unknown or ill-typed parameter; a notebook shows it as one line instead of a traceback."""

    def _render_traceback_(self) -> list[str]:  # IPython's hook for an exception that draws itself
        return [f"ParameterError: {self}"]


@dataclass(frozen=True)
class Parameter:
    """One line of a parameters cell: its name, type as written (one of `TYPES`), default value and help."""

    name: str
    type: str
    default: object
    help: str = ""


def parse_parameters(source: str) -> list[Parameter]:
    """Return the parameters that the source of a parameters cell declares, in order.

    Raises:
        ParameterError: if a line is anything but ``name: type = literal  # help``, or its default has another type.
    """
    try:
        statements = ast.parse(source).body
    except SyntaxError as error:
        raise ParameterError(f"parameters cell, line {error.lineno}: {error.msg}") from None
    comments = _comments(source)
    found: list[Parameter] = []
    for statement in statements:
        where = f"parameters cell, line {statement.lineno}"
        if not (
            isinstance(statement, ast.AnnAssign)
            and isinstance(statement.target, ast.Name)
            and statement.value is not None
        ):
            line = ast.unparse(statement).splitlines()[0]
            raise ParameterError(f"{where}: expected 'name: type = value  # help', got {line!r}")
        name, kind = statement.target.id, _type_name(ast.unparse(statement.annotation))
        if kind not in TYPES:
            raise ParameterError(f"{where}: {name} has the type {kind}; use one of {', '.join(TYPES)}")
        if any(parameter.name == name for parameter in found):
            raise ParameterError(f"{where}: {name} is declared twice")
        try:
            default = ast.literal_eval(statement.value)
        except ValueError:
            raise ParameterError(f"{where}: the default of {name} must be a plain value") from None
        help_text = comments.get(statement.end_lineno or statement.lineno, "")
        found.append(Parameter(name, kind, convert(default, kind, name), help_text))
    return found


def _comments(source: str) -> dict[int, str]:
    """Line number -> text of the comment on it."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {token.start[0]: token.string.lstrip("# ").rstrip() for token in tokens if token.type == tokenize.COMMENT}


def _type_name(kind: type | str) -> str:
    return kind.strip("'\"").replace(" ", "") if isinstance(kind, str) else getattr(kind, "__name__", str(kind))


def convert(value: object, kind: type | str, name: str = "the value") -> object:
    """Return a Python ``value`` as the type ``kind``: an int becomes a float where one is asked for, nothing else.

    Raises:
        ParameterError: if the value has another type (a bool is not an int here, and text is not a number).
    """
    kind = _type_name(kind)
    if kind.startswith("list["):
        if isinstance(value, (list, tuple)):
            inner = kind[len("list[") : -1]
            return [convert(item, inner, f"{name}[{index}]") for index, item in enumerate(value)]
    elif kind == "float" and type(value) is int:
        return float(value)
    elif type(value).__name__ == kind:
        return value
    raise ParameterError(f"{name} must be {_spoken(kind)}, got {value!r} ({type(value).__name__})")


def coerce(text: str, kind: type | str, name: str = "the value") -> object:
    """Return what ``text``, as typed on a command line, means as the type ``kind`` (``float``, ``"list[float]"``...).

    A list may be given as ``0,0.5,1`` or as ``[0, 0.5, 1]``; a bool as true or false, yes or no, in any case.

    Raises:
        ParameterError: naming the parameter, its type and what was given.
    """
    kind = _type_name(kind)
    text = text.strip() if kind != "str" else text
    if kind == "str":
        return text
    if kind.startswith("list["):
        inner = kind[len("list[") : -1]
        items = text.removeprefix("[").removesuffix("]").split(",")
        return [coerce(item.strip().strip("'\""), inner, name) for item in items if item.strip()]
    if kind == "bool" and text.lower() in ("true", "yes", "false", "no"):
        return text.lower() in ("true", "yes")
    try:
        if kind == "int":
            return int(text)
        if kind == "float":
            return float(text)
    except ValueError:
        pass
    raise ParameterError(f"{name} must be {_spoken(kind)}, got {text!r}")


def _spoken(kind: str) -> str:
    words = {
        "int": "a whole number (int)",
        "float": "a number (float)",
        "bool": "true or false (bool)",
        "str": "text (str)",
    }
    return words.get(kind, f"a list ({kind})")


def find_parameter(declared: Sequence[Parameter], name: str, where: str = "this lab") -> Parameter:
    """Return the declared parameter of that name, or say which name was probably meant.

    Raises:
        ParameterError: if ``where`` has no such parameter.
    """
    names = [parameter.name for parameter in declared]
    if name in names:
        return declared[names.index(name)]
    close = difflib.get_close_matches(name, names, n=1)
    meant = f"; did you mean {close[0]}?" if close else ""
    raise ParameterError(f"{where} has no parameter {name!r}{meant} (it has: {', '.join(names) or 'none'})")


def check_values(
    declared: Sequence[Parameter], given: Mapping[str, object], where: str = "this lab"
) -> dict[str, object]:
    """Return the Python values ``given``, each as its declared type.

    Raises:
        ParameterError: for an unknown name or a value of another type.
    """
    return {name: convert(value, find_parameter(declared, name, where).type, name) for name, value in given.items()}


def coerce_values(
    declared: Sequence[Parameter], given: Mapping[str, str], where: str = "this lab"
) -> dict[str, object]:
    """Return what the texts ``given`` on a command line mean, each as its declared type.

    Raises:
        ParameterError: for an unknown name or a text that does not read as its type.
    """
    return {name: coerce(text, find_parameter(declared, name, where).type, name) for name, text in given.items()}
