"""What the commands share: the application, options made from a class, pairs, and tables."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from typing import Annotated, Any, Literal, get_args, get_origin

import typer

from labkit import LabkitError
from labkit.options import keywords

app = typer.Typer(
    help="Labs on automatic image colorization, and the library under them.",
    epilog="Exit status: 0 all is well; 1 something failed, or is wrong, and all the rest was done; 2 the request was "
    "refused; 130 interrupted.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Cluster = Annotated[
    str | None,
    typer.Option(metavar="local|ADDRESS", help="Let the workers of a dask cluster do the work; see docs/clusters.md."),
]


def with_options(command: Callable[..., None], kind: type) -> Callable[..., None]:
    """Give a command that takes ``**options`` those of an options class, which typer reads from its signature."""
    own = [p for p in inspect.signature(command).parameters.values() if p.kind is not p.VAR_KEYWORD]
    first = list(kind.__annotations__)  # the class's own options before those it inherits
    made = [_typer_option(parameter, kind) for parameter in keywords(kind)]
    made.sort(key=lambda p: first.index(p.name) if p.name in first else len(first))

    def wrapper(**arguments: Any) -> None:
        command(**arguments)

    wrapper.__doc__ = command.__doc__
    wrapper.__signature__ = inspect.Signature([*own, *made])  # type: ignore[attr-defined]
    wrapper.__annotations__ = {p.name: p.annotation for p in (*own, *made)} | {"return": None}
    return wrapper


def _typer_option(parameter: inspect.Parameter, kind: type) -> inspect.Parameter:
    """Make a field of an options class an option of the command line: its type, its limits, its help."""
    [declared] = [item for item in fields(kind) if item.name == parameter.name]
    told, hint = dict(declared.metadata), parameter.annotation
    if get_origin(hint) is Literal:  # typer below 0.19 does not know it; the class checks the value
        told, hint = {**told, "help": f"{told['help']} One of {', '.join(get_args(hint))}."}, str
    limits = {key: told[key] for key in ("min", "max") if told.get(key) is not None}
    flag = [f"--{parameter.name.replace('_', '-')}"] if declared.default is False else []  # no --no-resume
    panel = None if parameter.name in kind.__annotations__ else "Training"
    option = typer.Option(*flag, help=told["help"], rich_help_panel=panel, **limits)
    return parameter.replace(annotation=Annotated[hint, option])


def pairs(texts: Sequence[str] | None, option: str) -> list[tuple[str, str]]:
    """Return (name, value) of each NAME=VALUE.

    Raises:
        LabkitError: a text without a value.
    """
    pairs = []
    for text in texts or []:
        name, equals, value = text.partition("=")
        if not equals:
            raise LabkitError(f"{option} needs a name and a value, got only {text!r}")
        pairs.append((name, value))
    return pairs


@contextmanager
def resumable() -> Iterator[None]:
    """Let Ctrl-C end a command that has --resume without a traceback."""
    try:
        yield
    except KeyboardInterrupt:
        print("labkit: interrupted; --resume goes on from here", file=sys.stderr)
        raise typer.Exit(130) from None


def print_data(title: str, rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> None:
    """Print some columns of rows of data; a column that no row has is left out."""
    from labkit.notebook.lab import format_cell

    shown = [name for name in columns if any(row.get(name) is not None for row in rows)]
    numbers = [i for i, name in enumerate(shown) if any(isinstance(row.get(name), (int, float)) for row in rows)]
    print_table(title, shown, [[format_cell(row.get(name)) for name in shown] for row in rows], numbers)


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[int] = ()) -> None:
    """Print a table; ``numbers`` are the columns set flush right. Text is shown as it is: no markup, no emoji."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title), title_justify="left")
    for index, column in enumerate(columns):
        options: dict[str, Any] = {"justify": "right"} if index in numbers else {"overflow": "fold"}
        table.add_column(Text(column), **options)
    for row in rows:
        table.add_row(*(Text(entry) for entry in row))
    Console().print(table)
