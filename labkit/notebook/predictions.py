"""Record a guess before the result is shown: `predict`.

The guesses are in predictions.json beside the notebook. Nothing here knows the right answers: ``labkit check``
compares.
"""

from __future__ import annotations

import ast
import html
import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from string import ascii_lowercase
from typing import Any

from labkit.artifacts import write_json
from labkit.errors import LabkitError

FILE = "predictions.json"  # beside the notebook
Guess = str | float


def predict(
    id: str,
    question: str,
    options: Sequence[str] | None = None,
    *,
    unit: str = "",
    guess: Guess | None = None,
) -> None:
    """Ask for a guess and record it; the right answer is not shown.

    In a live notebook there are buttons to choose from, or a field for a number. ``guess="b"`` is the way without
    widgets. In batch the question is printed and the notebook goes on.

    Args:
        id: of the prediction, "04-skips".
        question: one or two sentences.
        options: what to choose from, named (a), (b), (c), ...; None asks for a number.
        unit: of the number.
        guess: the letter of an option, or a number.

    Raises:
        LabkitError: for fewer than two options, or a guess that is none of the letters or no number.
    """
    from labkit.widgets import is_live  # here, for it imports torch, and `labkit labs` need not wait for that

    if options is not None and not 2 <= len(options) <= len(ascii_lowercase):
        raise LabkitError(f"prediction {id}: got {len(options)} options, expected two or more")
    letters = ascii_lowercase[: len(options)] if options is not None else ""
    if guess is not None:
        guess = _checked(guess, letters)
    lines = [question, *(f"({letter}) {option}" for letter, option in zip(letters, options or (), strict=True))]
    text = "\n".join(lines)
    if not is_live():
        print(text if guess is None else f"{text}\nyour guess: {_in_words(guess, unit)}")
        return
    if guess is not None:
        _record(id, guess)
        print(f"{text}\nyour guess: {_in_words(guess, unit)}")
        return
    _show(_form(id, lines, letters, unit), text)


def guesses(folder: Path) -> dict[str, Guess]:
    """Return id -> guess from predictions.json in ``folder``; nothing where there is none, or a damaged one."""
    try:
        found = json.loads((folder / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {str(id): guess for id, guess in found.items() if type(guess) in (str, int, float)}


def calls_in(source: str) -> dict[str, Guess | None]:
    """Return id -> the guess that stands in the call, or None, of each ``predict(...)`` in a cell of Python."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {}
    found: dict[str, Guess | None] = {}
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name("predict"), args=[ast.Constant(str(id)), *_], keywords=named):
                given = next((word.value for word in named if word.arg == "guess"), None)
                value = given.value if isinstance(given, ast.Constant) else None
                found[id] = value if isinstance(value, (str, int, float)) else None
    return found


def matches(guess: Guess, right: str | tuple[float, float]) -> bool:
    """Return whether a guess is the right letter, or a number within (low, high)."""
    if isinstance(right, str):
        return isinstance(guess, str) and guess.strip().strip("()").lower() == right
    try:
        return right[0] <= float(str(guess).replace(",", ".")) <= right[1]
    except ValueError:
        return False


def _record(id: str, guess: Guess) -> str:
    """Write a guess beside the notebook; return what to tell about it."""
    try:
        write_json(Path.cwd() / FILE, {**guesses(Path.cwd()), id: guess})
    except OSError as error:  # a folder that cannot be written into is no reason to stop
        return f"not recorded: {FILE} cannot be written ({error.strerror or error})"
    return "recorded; you can change it until you have seen the result"


def _checked(guess: Guess, letters: str) -> Guess:
    """Return a guess as it is recorded.

    Raises:
        LabkitError: if it is none of the letters, or no number where a number is asked for.
    """
    if letters:
        if isinstance(guess, str) and len(letter := guess.strip().strip("()").lower()) == 1 and letter in letters:
            return letter
        raise LabkitError(f"guess: got {guess!r}, expected one of the letters {', '.join(letters)}")
    with suppress(TypeError, ValueError):
        number = float(str(guess).strip().replace(",", "."))
        if abs(number) < float("inf"):
            return number
    raise LabkitError(f"guess: got {guess!r}, expected a number")


def _in_words(guess: Guess, unit: str) -> str:
    return f"({guess})" if isinstance(guess, str) else f"{guess:g} {unit}".strip()


def _form(id: str, lines: Sequence[str], letters: str, unit: str) -> Any:
    """Return the question with its buttons or field, and a line that says what was recorded."""
    import ipywidgets

    before = guesses(Path.cwd()).get(id)
    said = ipywidgets.Label(f"your guess so far: {_in_words(before, unit)}" if before is not None else "")
    wide = ipywidgets.Layout(width="auto")
    field: Any
    if letters:
        choices = [(line, letter) for line, letter in zip(lines[1:], letters, strict=True)]
        field = ipywidgets.RadioButtons(options=choices, value=before if before in list(letters) else None, layout=wide)
    else:
        shown = f"{before:g}" if isinstance(before, (int, float)) else ""
        field = ipywidgets.Text(value=shown, placeholder="a number, then Enter", continuous_update=False)

    def note(change: Any) -> None:
        try:
            guess = _checked(change["new"], letters)
        except LabkitError as error:
            said.value = str(error)
            return
        said.value = f"your guess: {_in_words(guess, unit)} ({_record(id, guess)})"

    field.observe(note, names="value")
    row = [field] if letters or not unit else [ipywidgets.HBox([field, ipywidgets.Label(unit)])]
    return ipywidgets.VBox([ipywidgets.HTMLMath(html.escape(lines[0], quote=False)), *row, said])


def _show(widget: Any, text: str) -> None:
    """Display a widget; where it cannot run, the text stands in for it."""
    from IPython.display import display

    view = {"version_major": 2, "version_minor": 0, "model_id": widget.model_id}
    display({"application/vnd.jupyter.widget-view+json": view, "text/plain": text}, raw=True)
