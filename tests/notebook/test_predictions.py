"""A guess is recorded, by buttons, a field or an argument, and in batch nothing waits for one."""

import json
from pathlib import Path
from typing import Any

import IPython.display
import pytest

from labkit import LabkitError
from labkit.notebook.predictions import FILE, guesses, predict

OPTIONS = ["as much in both", "much for RGB", "little for RGB"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def forms(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What a live notebook is shown: (widget, text)."""
    ipywidgets = pytest.importorskip("ipywidgets")
    monkeypatch.setenv("LABKIT_STATIC", "0")
    shown: list[Any] = []

    def record(bundle: dict[str, Any], raw: bool) -> None:
        view = bundle["application/vnd.jupyter.widget-view+json"]
        widgets = ipywidgets.widgets.widget._instances if hasattr(ipywidgets.widgets.widget, "_instances") else None
        widget = (widgets or ipywidgets.Widget.widgets)[view["model_id"]]
        shown.append((widget, bundle["text/plain"]))

    monkeypatch.setattr(IPython.display, "display", record)
    return shown


def stored(folder: Path) -> Any:
    return json.loads((folder / FILE).read_text())


def test_in_batch_the_question_is_printed_and_nothing_written(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    predict("04-skips", "How much?", OPTIONS)
    assert capsys.readouterr().out == "How much?\n(a) as much in both\n(b) much for RGB\n(c) little for RGB\n"
    predict("04-skips", "How much?", OPTIONS, guess="B")
    assert capsys.readouterr().out.endswith("your guess: (b)\n")
    predict("04-db", "How many?", unit="dB", guess=24)
    assert capsys.readouterr().out == "How many?\nyour guess: 24 dB\n"
    assert not (folder / FILE).exists()


def test_buttons_record_and_remember(forms: list[Any], folder: Path) -> None:
    predict("04-skips", "Is a < b?", OPTIONS)
    form, text = forms[0]
    question, buttons, said = form.children
    assert question.value == "Is a &lt; b?" and "(c) little for RGB" in text
    assert [label for label, _ in buttons.options] == [f"({x}) {o}" for x, o in zip("abc", OPTIONS, strict=True)]
    assert buttons.value is None and not (folder / FILE).exists()
    buttons.value = "c"
    assert stored(folder) == {"04-skips": "c"} and said.value.startswith("your guess: (c)")
    predict("04-skips", "Is a < b?", OPTIONS)
    assert forms[1][0].children[1].value == "c"  # when the cell is run again


def test_a_field_takes_a_number(forms: list[Any], folder: Path) -> None:
    (folder / FILE).write_text('{"04-skips": "a"}')
    predict("04-db", "How many?", unit="dB")
    _, row, said = forms[0][0].children
    field = row.children[0]
    field.value = "many"
    assert "expected a number" in said.value and "04-db" not in stored(folder)
    field.value = "24,5"
    assert stored(folder) == {"04-skips": "a", "04-db": 24.5} and "24.5 dB" in said.value


def test_a_guess_in_the_cell_is_recorded_in_a_live_notebook(forms: list[Any], folder: Path) -> None:
    predict("04-skips", "How much?", OPTIONS, guess="(a)")
    assert stored(folder) == {"04-skips": "a"} and not forms


def test_a_folder_that_cannot_be_written_into_stops_nothing(
    forms: list[Any], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path, value: Any) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("labkit.notebook.predictions.write_json", fail)
    predict("04-skips", "How much?", OPTIONS)
    _, buttons, said = forms[0][0].children
    buttons.value = "a"
    assert "not recorded: predictions.json cannot be written (Read-only file system)" in said.value


@pytest.mark.parametrize(
    ("options", "guess", "message"),
    [
        (OPTIONS, "d", "got 'd', expected one of the letters a, b, c"),
        (OPTIONS, 2, "expected one of the letters"),
        (None, "b", "expected a number"),
        (None, "nan", "expected a number"),
        (["one"], None, "got 1 options, expected two or more"),
    ],
)
def test_impossible_guesses_are_refused(options: Any, guess: Any, message: str, folder: Path) -> None:
    with pytest.raises(LabkitError, match=message):
        predict("04-skips", "How much?", options, guess=guess)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"a": {}}', "3"])
def test_a_damaged_file_holds_no_guess(text: str, folder: Path) -> None:
    (folder / FILE).write_text(text)
    assert guesses(folder) == {}
