"""No write to stdout or stderr fails for its characters: each command in a real process, under several encodings."""

import io
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from PIL import Image
from rich.console import Console

from labkit.cli.shared import print_table
from labkit.printing import say, show_any_character

ENCODINGS = ["ascii", "cp1252"]
NAMES = [b"caf\xe9", "写真 😀".encode(), b"[bold]x[nope] :cat: \x1b[31m"]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")


def labkit(folder: Path, encoding: str, *arguments: str | bytes) -> tuple[int, str]:
    """Run the command as a process of this encoding; its status, and all that it wrote."""
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "labkit", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False)
    text = (done.stdout + done.stderr).decode(encoding.partition(":")[0])
    assert "Traceback" not in text and "codec" not in text, text
    return done.returncode, text


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder with a photograph, a damaged one and a lab of each name."""
    (tmp_path / "notebooks").mkdir()
    cells = [
        new_code_cell('profile: str = "auto"  # 写真', metadata={"tags": ["parameters"]}),
        new_code_cell("print('é😀')"),
    ]
    about = {"labkit": {"title": "[bold] 写真"}}
    nbformat.write(new_notebook(cells=cells, metadata=about), tmp_path / "notebooks" / "01_写.ipynb")
    for name in map(os.fsdecode, NAMES):
        Image.new("L", (8, 8), 99).save(tmp_path / f"{name}.png")
        (tmp_path / f"bad {name}.png").write_bytes(b"no picture")
        (tmp_path / f"bad {name}.ipynb").write_bytes(b"{")
    return tmp_path


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_colorize(here: Path, encoding: str) -> None:
    photos = [name + b".png" for name in NAMES]
    status, text = labkit(here, encoding, "colorize", *photos, *(b"bad " + photo for photo in photos))
    assert status == 1 and text.count("colorized.png") == 3
    assert "3 of 6 failed" in text and text.count("cannot be read as an image") == 3
    assert "[bold]x[nope] :cat:" in text


def test_commands_that_print_names(here: Path) -> None:
    encoding = "ascii:strict"
    status, text = labkit(here, encoding, "check", *(b"bad " + name + b".ipynb" for name in NAMES))
    assert status == 1 and "3 of 3 failed" in text
    for command in (["build", NAMES[1]], [b"x" + NAMES[2]]):  # click takes a name that starts with a sign for an option
        assert labkit(here, encoding, *command)[0] == 2
    for command in (["labs"], ["params", "01"], ["start", "01", "--out", NAMES[0]]):
        assert labkit(here, encoding, *command)[0] == 0


def test_run_and_train(here: Path) -> None:
    bad = [b"bad " + name + b".ipynb" for name in NAMES]
    status, text = labkit(here, "ascii:strict", "run", "01", *bad, "--profile", "test", "--out", NAMES[0])
    assert status == 1 and "3 of 4 failed" in text and "01_\\u5199  ok" in text
    (here / "folder").mkdir()
    Image.new("L", (8, 8)).save(here / "folder" / os.fsdecode(NAMES[0] + b".png"))
    status, text = labkit(
        here, "ascii:strict", "train", "--dataset", "folder", "--data-root", "folder", "--epochs", "1"
    )
    assert status == 2 and text.strip().splitlines()[-1].startswith("labkit: ")


def test_the_module_is_the_command(here: Path) -> None:
    assert labkit(here, "utf-8", "version")[1].startswith("labkit ")


def test_streams_that_are_no_text_files_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    show_any_character()


def test_text_is_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    stream = io.StringIO()
    say(Console(file=stream, width=20), "[bold]a[/b] :cat: " + "x" * 50)
    assert stream.getvalue() == "[bold]a[/b] :cat: " + "x" * 50 + "\n"
    print_table("[/x] :cat:", ["[/y]"], [["[/z] and much more text"]])
    said = capsys.readouterr().out
    assert all(text in said for text in ("[/x] :cat:", "[/y]", "[/z]"))
