"""The parameters of a lab: read from its ``parameters`` cell, checked by name and by type.

A parameters cell holds nothing but annotated assignments, each with a comment that is its help::

    profile: str = "auto"  # test, quick, course, gpu or auto
    alpha: float = 0.5     # fraction of MSE in the loss

papermill reads the same cell with regular expressions (``papermill --help-notebook``) and only warns about a
name it does not know. This parser reads it with `ast`, so that a default is a value and not text; the command
line and `labkit.notebook.lab.begin` both use it, so that all of them refuse the same things.
"""

import ast
import difflib
import io
import itertools
import tokenize
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from labkit.errors import LabkitError, one_line

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
    statements = parse_code(source, "parameters cell")
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
        except (ValueError, TypeError, MemoryError, RecursionError):  # TypeError: a dict or set of lists
            raise ParameterError(f"{where}: the default of {name} must be a plain value") from None
        help_text = comments.get(statement.end_lineno or statement.lineno, "")
        found.append(Parameter(name, kind, convert(default, kind, name), help_text))
    return found


def parse_code(source: str, where: str) -> list[ast.stmt]:
    """Return the statements of a cell.

    Raises:
        ParameterError: if it does not parse, as ast says it in one way or another: a null byte is a ValueError, deep
            nesting a MemoryError or a RecursionError.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of somebody else's "\\d"
            return ast.parse(source).body
    except SyntaxError as error:
        raise ParameterError(f"{where}, line {error.lineno}: {error.msg}") from None
    except (ValueError, MemoryError, RecursionError) as error:
        raise ParameterError(f"{where} cannot be read: {one_line(error)}") from None


def _comments(source: str) -> dict[int, str]:
    """Return line number -> text of the comment on it; only help is read from it, so what tokenize refuses is left."""
    found = {}
    with suppress(tokenize.TokenError, SyntaxError):
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type == tokenize.COMMENT:
                found[token.start[0]] = token.string.lstrip("# ").rstrip()
    return found


def _type_name(kind: type | str) -> str:
    """Return the name of a type, as it stands in a parameters cell."""
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

    A list may be given as ``0,0.5,1`` or as ``[0, 0.5, 1]``; a text in it that holds a comma, in quotes. A bool is true
    or false, yes or no, in any case.

    Raises:
        ParameterError: naming the parameter, its type and what was given.
    """
    kind = _type_name(kind)
    text = text.strip() if kind != "str" else text
    if kind == "str":
        return text
    if kind.startswith("list["):
        inner = kind[len("list[") : -1]
        items = split_items(text[1:-1] if _is_enclosed(text) else text)
        if items and not items[-1]:
            items.pop()  # "1,2," is two numbers, as in Python, and "" none
        return [coerce(_unquoted(item), inner, name) for item in items]
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


def split_items(text: str) -> list[str]:
    """Split a text at its commas, but not at those inside [brackets] or 'quotes'; each item without spaces around it.

    Brackets count if they are balanced, and a quote if an item begins with it (the one in "it's" is a letter).
    """
    depths = _depths(text)
    brackets = min(depths, default=0) == 0 and depths[-1:] in ([], [0])
    items, item, quote = [], "", ""
    for index, char in enumerate(text):
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"" and not item.strip(" [") and char in text[index + 1 :]:
            quote = char
        if char == "," and not quote and not (brackets and depths[index]):
            items.append(item.strip())
            item = ""
        else:
            item += char
    return [*items, item.strip()]


def _depths(text: str) -> list[int]:
    """Return after each character how many brackets are open."""
    return list(itertools.accumulate((char == "[") - (char == "]") for char in text))


def _is_enclosed(text: str) -> bool:
    """Return whether the first character is a bracket that the last one closes: not so in ``[a],[b]``."""
    return text.startswith("[") and text.endswith("]") and 0 not in _depths(text)[:-1]


def _unquoted(item: str) -> str:
    """Return an item without the pair of quotes around it; a single quote is part of the text."""
    return item[1:-1] if len(item) > 1 and item[0] == item[-1] and item[0] in "'\"" else item


def _spoken(kind: str) -> str:
    """Return the words for a type."""
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
