"""The command line: what it accepts, what it says, how it exits."""

import re
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from labkit import LabkitError, __version__, cli
from labkit.options import TrainOptions


def call(*arguments: str) -> int:
    """Run the command line here; its exit status."""
    with pytest.raises(SystemExit) as caught:
        cli.main(list(arguments))
    return int(caught.value.code or 0)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What `labkit run` asks of the library."""
    calls: list[dict[str, Any]] = []

    def run(labs: list[str], **options: Any) -> list[Any]:
        calls.append({"labs": list(labs), **options})
        return [
            SimpleNamespace(
                status="failed" if lab == "bad" else "ok", job=SimpleNamespace(key=lab), failure="it burned"
            )
            for lab in labs
        ]

    monkeypatch.setattr("labkit.course.run.run", run)
    return calls


def test_run_passes_everything_on(asked: list[dict[str, Any]]) -> None:
    options = "--profile test -p alpha -0.5 -p word a=b --parameter n=3 --sweep seed 1,2"
    options += " --resume --out o --timeout 9 --jobs 3"
    assert call("run", "01", "02", *options.split()) == 0
    assert asked == [
        {
            "labs": ["01", "02"],
            "profile": "test",
            "parameters": [("alpha", "-0.5"), ("word", "a=b"), ("n", "3")],
            "sweeps": [("seed", "1,2")],
            "out": Path("o"),
            "resume": True,
            "timeout": 9,
            "jobs": 3,
            "cluster": None,
        }
    ]


def test_run_of_nothing_runs_all(asked: list[dict[str, Any]]) -> None:
    assert call("run") == 0
    assert asked[0]["labs"] == [] and asked[0]["profile"] == "auto" and asked[0]["out"] == Path("runs")


def test_a_failed_lab_gives_status_1(asked: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    assert call("run", "bad") == 1
    assert capsys.readouterr().err == "labkit: bad: it burned\n"
    assert call("run", "good", "bad", "fine", "bad2") == 1
    assert capsys.readouterr().err == "labkit: 1 of 4 failed:\n  bad: it burned\n"


def test_a_parameter_without_value_is_refused(asked: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    assert call("run", "-p", "alpha") == 2
    assert capsys.readouterr().err == "labkit: -p needs a name and a value, got only 'alpha'\n"
    assert asked == []


@pytest.mark.parametrize("error", [LabkitError("no\nsuch thing"), OSError(28, "No space left on device", "x")])
def test_a_mistake_is_one_line(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*arguments: Any, **options: Any) -> None:
        raise error

    monkeypatch.setattr("labkit.course.run.run", run)
    assert call("run") == 2
    said = capsys.readouterr().err
    assert said.startswith("labkit: ") and said.count("\n") == 1


def test_ctrl_c_gives_status_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def run(*arguments: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("labkit.course.run.run", run)
    assert call("run") == 130
    assert "--resume" in capsys.readouterr().err


def test_params_lists_name_type_default_and_help(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import nbformat

    monkeypatch.chdir(tmp_path)
    (tmp_path / "notebooks").mkdir()
    cell = nbformat.v4.new_code_cell("alpha: float = 0.5  # share [0, 1]", metadata={"tags": ["parameters"]})
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / "notebooks" / "01_x.ipynb")
    assert call("params", "01") == 0
    said = capsys.readouterr().out
    assert all(text in said for text in ("01_x", "alpha", "float", "0.5", "share [0, 1]"))
    assert call("labs") == 0
    assert "01_x" in capsys.readouterr().out
    assert call("params", "09") == 2
    assert "09" in capsys.readouterr().err


def test_train_has_the_options_of_the_library(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from labkit.training import run as training_run

    seen: list[dict[str, Any]] = []
    keys = ("mse", "mae", "psnr_mean", "psnr_pooled", "ssim", "colorfulness", "skill")

    def train(**options: Any) -> dict[str, Any]:
        seen.append(options)
        scores: dict[str, Any] = dict.fromkeys(keys, 0.123456789)
        return {**scores, "gray": dict.fromkeys(keys, 0.5), "seconds": 1.5}

    monkeypatch.setattr(training_run, "train", train)
    assert call("train") == 0
    assert seen[0] == {}  # the defaults are the library's
    said = capsys.readouterr().out
    assert all(text in said for text in ("psnr_pooled", "gray baseline", "0.12346", "skill over gray: 0.123"))

    given = "--dataset cifar10 --classes horse,cat --width 8 --epochs 2 --batch-size 5 --learning-rate 1e-3 --alpha 0.5"
    more = "--dtype float16 --out m --resume --data-root d --no-flips --no-progress --compile"
    assert call("train", *given.split(), *more.split()) == 0
    assert seen[1] == {
        "dataset": "cifar10",
        "classes": "horse,cat",
        "width": 8,
        "epochs": 2,
        "batch_size": 5,
        "learning_rate": 1e-3,
        "alpha": 0.5,
        "dtype": "float16",
        "out": Path("m"),
        "resume": True,
        "data_root": Path("d"),
        "flips": False,
        "progress": False,
        "compile": True,
    }  # and no seed: it may come from the run that is resumed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--precision double", "labkit: precision must be one of auto, float32, bf16, fp16. Got 'double'"),
        ("--learning-rate 0", "labkit: learning_rate must be a number above 0. Got 0"),
        ("--width 0", "Invalid value for"),
    ],
)
def test_train_refuses_what_is_outside_the_limits(
    arguments: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("train", *arguments.split()) == 2
    assert message in capsys.readouterr().err


def test_every_train_option_is_on_the_command_line_with_its_default_and_help() -> None:
    import typer.main

    command = typer.main.get_command(cli.app).commands["train"]  # type: ignore[attr-defined]
    offered = {parameter.name: parameter for parameter in command.params}
    for item in fields(TrainOptions):
        assert offered[item.name].default == item.default
        assert str(offered[item.name].help).startswith(item.metadata["help"])
    assert set(offered) == {item.name for item in fields(TrainOptions)}


def test_the_help_of_train_names_all_there_is_to_choose(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The registries are read for this help alone: `labkit --help` does not wait for torch."""
    from labkit.data import DATASETS
    from labkit.models import NETWORKS
    from labkit.representation import REPRESENTATIONS

    monkeypatch.setitem(NETWORKS, "net-of-today", NETWORKS["unet"])
    assert call("train", "--help") == 0
    said = set(re.findall(r"[a-z][a-z0-9-]*", capsys.readouterr().out))
    assert said >= {*NETWORKS, *REPRESENTATIONS, *DATASETS} - {"photos", "classification"}
    assert "net-of-today" in said and not said & {"photos", "classification"}


def test_colorize_keeps_size_and_luma(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import numpy as np
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    gray = np.linspace(60, 200, 90 * 75).reshape(75, 90).astype(np.uint8)
    Image.fromarray(gray).save("a.png")
    assert call("colorize", "a.png", "--out", "here") == 0
    with Image.open(tmp_path / "here" / "a.colorized.png") as result:
        pixels = np.asarray(result.convert("RGB")).astype(float)
    assert pixels.shape == (75, 90, 3) and np.ptp(pixels, axis=2).max() > 3
    assert np.abs(pixels @ [0.299, 0.587, 0.114] - gray).max() < 1
    assert "a.colorized.png" in capsys.readouterr().out
    (tmp_path / "b.png").write_bytes(b"no picture")
    Image.fromarray(gray).save("c.png")
    assert call("colorize", "b.png", "a.png", "nowhere.png", "c.png") == 1
    said = capsys.readouterr()
    assert said.out.splitlines() == ["a.colorized.png", "c.colorized.png"]
    first, *failed = said.err.splitlines()
    assert first == "labkit: 2 of 4 failed:" and failed[0].startswith("  b.png cannot be read as an image")
    assert failed[1:] == ["  nowhere.png: no such image file"]
    assert call("colorize", "b.png") == 1
    assert capsys.readouterr().err.startswith("labkit: b.png cannot be read as an image")


def test_a_result_of_colorize_never_overwrites_a_photo_that_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    for name in ("a.png", "a.colorized.png"):
        Image.new("RGB", (4, 4)).save(name)
    before = (tmp_path / "a.colorized.png").read_bytes()
    assert call("colorize", "a.png", "a.colorized.png") == 2
    assert "would overwrite a.colorized.png, a photo to be colorized" in capsys.readouterr().err
    assert (tmp_path / "a.colorized.png").read_bytes() == before
    assert call("colorize", "a.png", "a.colorized.png", "--out", "o") == 0


@pytest.mark.parametrize("differences", [[], ["notebooks/01_x.ipynb: cell 3 differs"]])
def test_build_check_exits_1_on_a_difference(
    differences: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("labkit.course.build.build", lambda labs, check, progress, jobs: differences)
    assert call("build", "--check") == (1 if differences else 0)
    assert capsys.readouterr().out.splitlines() == differences


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("version") == 0
    assert capsys.readouterr().out == f"labkit {__version__}\n"


def test_help_does_not_wait_for_torch() -> None:
    code = (
        "import sys, labkit.cli as c\n"
        "try: c.main(['--help'])\n"
        "except SystemExit: pass\n"
        "print('heavy:', [m for m in ('torch', 'papermill', 'pydantic', 'numpy') if m in sys.modules])"
    )
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "heavy: []" in done.stdout
    assert all(command in done.stdout for command in ("run", "params", "train", "colorize", "doctor"))
    assert time.perf_counter() - start < 10  # generous: a busy machine; usually a third of a second


def test_an_option_is_not_taken_for_the_value_that_is_missing(
    asked: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("run", "01", "-p", "alpha", "--out", "o") == 2
    assert "-p needs a name and a value, got only 'alpha'" in capsys.readouterr().err
    assert asked == []


def test_two_photos_never_become_one_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from PIL import Image

    photos = [tmp_path / name for name in ("cat.png", "cat.jpg")]
    for photo in photos:
        Image.new("RGB", (4, 4)).save(photo)
    assert call("colorize", *map(str, photos)) == 2
    assert "cat.png and" in (said := capsys.readouterr().err) and "both become" in said
    assert sorted(tmp_path.iterdir()) == sorted(photos)
    assert call("colorize", str(photos[0]), "--out", str(photos[1])) == 2
    assert "cat.jpg is a file; --out must name a folder" in capsys.readouterr().err


def test_out_of_memory_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def full(**options: Any) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 36000000000000 bytes.")

    monkeypatch.setattr("labkit.training.run.train", full)
    assert call("train") == 2
    assert capsys.readouterr().err.startswith("labkit: out of memory (DefaultCPUAllocator")
