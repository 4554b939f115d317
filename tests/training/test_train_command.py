"""`labkit train` as a function, and the numbers the project promises."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from labkit import LabkitError
from labkit.artifacts import LOCK_FILE, write_bytes
from labkit.colorizer import CARD_FILE, WEIGHTS_FILE, Colorizer
from labkit.data import load, toyworld
from labkit.training import checkpoint as checkpoint_module
from labkit.training.checkpoint import CHECKPOINT_FILE
from labkit.training.run import METRICS_FILE, OPTIONS_FILE, train

KEYS = {"mse", "mae", "psnr_mean", "psnr_pooled", "ssim", "colorfulness", "skill"}


def options(out: Path | None = None, **changes: Any) -> dict[str, Any]:
    small = {"limit": 64, "width": 4, "epochs": 1, "progress": False, "device": "cpu"}
    return {"out": out} | small | changes


def killed_at_its_first_checkpoint(monkeypatch: pytest.MonkeyPatch, **given: Any) -> None:
    """Train until the first checkpoint is written, and no further."""

    class Killed(BaseException):
        pass

    def dying_write(path: Path, content: bytes) -> None:
        write_bytes(path, content)
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(checkpoint_module, "write_bytes", dying_write)
        with pytest.raises(Killed):
            train(**given)


def test_what_a_run_leaves_behind(tmp_path: Path) -> None:
    metrics = train(**options(tmp_path))
    left = {path.name for path in tmp_path.iterdir()} - {LOCK_FILE}
    assert left == {METRICS_FILE, CARD_FILE, WEIGHTS_FILE, OPTIONS_FILE}
    assert json.loads((tmp_path / METRICS_FILE).read_text()) == metrics
    assert metrics.keys() >= KEYS and metrics["gray"].keys() >= KEYS and metrics["seconds"] > 0
    assert metrics["gray"]["skill"] == 0
    assert metrics["skill"] == pytest.approx(1 - metrics["mse"] / metrics["gray"]["mse"])
    model = Colorizer.load(tmp_path)
    assert model.about["options"]["width"] == 4
    again = train(**options(tmp_path / "again"))
    assert again["mse"] == metrics["mse"]
    assert (tmp_path / "again" / WEIGHTS_FILE).read_bytes() == (tmp_path / WEIGHTS_FILE).read_bytes()


def test_a_finished_run_is_not_run_again_and_never_overwritten(tmp_path: Path) -> None:
    metrics = train(**options(tmp_path))
    assert train(**options(tmp_path, resume=True)) == metrics
    with pytest.raises(LabkitError, match="already holds metrics\\.json: add --resume"):
        train(**options(tmp_path))
    with pytest.raises(LabkitError, match="holds another run: width was 4, now 8"):
        train(**options(tmp_path, resume=True, width=8))


def test_a_run_of_before_an_option_existed_had_its_default(tmp_path: Path) -> None:
    metrics = train(**options(tmp_path))
    old = json.loads((tmp_path / "metrics.json").read_text())
    del old["options"]["enlarge"]
    (tmp_path / "metrics.json").write_text(json.dumps(old))
    assert train(**options(tmp_path, resume=True)) == metrics | {"options": old["options"]}
    with pytest.raises(LabkitError, match=r"holds another run: enlarge was 1\.0, now 2\.0"):
        train(**options(tmp_path, resume=True, enlarge=2.0))


def test_resumed_without_options_it_has_those_it_was_begun_with(tmp_path: Path) -> None:
    metrics = train(**options(tmp_path))
    assert train(**dict(out=tmp_path, resume=True, progress=False)) == metrics
    for name in (METRICS_FILE, CARD_FILE, WEIGHTS_FILE):  # begun, and killed before its first checkpoint
        (tmp_path / name).unlink()
    again = train(**dict(out=tmp_path, resume=True, seed=1, progress=False))
    assert again["options"] == metrics["options"] | {"seed": 1}
    (tmp_path / OPTIONS_FILE).write_text("{")
    with pytest.raises(LabkitError, match="options.json is damaged"):
        train(**dict(out=tmp_path, resume=True))


def test_a_refused_resume_leaves_the_options_as_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    killed_at_its_first_checkpoint(monkeypatch, **options(tmp_path))
    with pytest.raises(LabkitError, match="belongs to another run"):
        train(**dict(out=tmp_path, resume=True, batch_size=8, progress=False))
    assert train(**dict(out=tmp_path, resume=True, progress=False))["options"]["batch_size"] != 8


def test_going_on_with_a_trained_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = train(**options(tmp_path / "first", representation="yuv", network="unet", width=6, epochs=2))
    more = {"limit": 64, "epochs": 1, "learning_rate": 1e-6, "progress": False, "device": "cpu"}
    monkeypatch.chdir(tmp_path)
    second = train(out=Path("second"), start="first", **more)
    assert second["mse"] == pytest.approx(first["mse"], rel=0.01)  # such small steps leave the model as it was
    assert second["mse"] < train(**options(representation="yuv", network="unet", width=6, learning_rate=1e-6))["mse"]
    brought = {"representation": "yuv", "network": "unet", "width": 6, "alpha": 1.0}
    assert second["options"].items() >= brought.items()
    monkeypatch.chdir("/")
    assert train(out=tmp_path / "second", resume=True, progress=False) == second  # from any folder
    with pytest.raises(LabkitError, match="--start brings its own width: leave out --width"):
        train(out=tmp_path / "second", resume=True, width=8, progress=False)  # start is what it was begun with
    other = train(out=tmp_path / "third", start=str(tmp_path / "second"), **more)
    assert other["options"]["start"] != second["options"]["start"] == second["options"]["start"][:16]


def test_going_on_with_the_starter_keeps_its_working_size(tmp_path: Path) -> None:
    train(start="starter", out=tmp_path, limit=8, epochs=1, learning_rate=1e-6, batch_size=8, progress=False)
    model, starter = Colorizer.load(tmp_path), Colorizer.starter()
    assert json.loads((tmp_path / OPTIONS_FILE).read_text())["start"] == "starter"  # on any machine
    assert model.about["options"]["representation"] == starter.about["options"]["representation"] == "ab313-luma"
    assert model.working_size == starter.working_size and model.takes_hints and model.styles == starter.styles


def test_what_start_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed, name in enumerate(("first", "other")):
        train(**options(tmp_path / name, seed=seed))
    with pytest.raises(LabkitError, match="--start brings its own width: leave out --width, or --start"):
        train(**options(start=str(tmp_path / "first")))
    more = {"limit": 64, "epochs": 1, "progress": False, "device": "cpu"}
    with pytest.raises(LabkitError, match="no model in .*nothing: model.safetensors|no model in .*nothing: model.json"):
        train(start=str(tmp_path / "nothing"), **more)

    killed_at_its_first_checkpoint(monkeypatch, start=str(tmp_path / "first"), out=tmp_path / "out", **more)
    with pytest.raises(LabkitError, match="out was begun with other weights of --start"):
        train(start=str(tmp_path / "other"), out=tmp_path / "out", resume=True, progress=False)
    model = Colorizer.load(tmp_path / "other")
    kept = (tmp_path / "first" / WEIGHTS_FILE).read_bytes(), (tmp_path / "first" / CARD_FILE).read_bytes()
    model.save(tmp_path / "first")  # the same folder, another model
    with pytest.raises(LabkitError, match="out was begun with other weights of --start"):
        train(out=tmp_path / "out", resume=True, progress=False)
    for name, content in zip((WEIGHTS_FILE, CARD_FILE), kept, strict=True):
        (tmp_path / "first" / name).write_bytes(content)
    assert train(out=tmp_path / "out", resume=True, progress=False)["epochs"] == 1


def test_nothing_is_begun_by_resume_alone(tmp_path: Path) -> None:
    with pytest.raises(LabkitError, match="holds no training to go on with"):
        train(**dict(out=tmp_path / "empty", resume=True, progress=False))
    assert not (tmp_path / "empty").exists()


def test_without_epochs_a_validation_split_stops_training() -> None:
    metrics = train(**options(epochs=None, limit=32, learning_rate=0.3))
    assert metrics["images"]["validation"] == 1000 and metrics["epochs"] < 30
    assert "validation_loss" in metrics["history"][0]
    assert train(**options())["images"]["validation"] == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dataset": "imagenet"}, "imagenet"),
        ({"network": "no-such"}, "unknown network: got 'no-such'"),
        ({"representation": "rgb", "network": "unet-half"}, "needs full resolution"),
        ({"dataset": "photos"}, "photos"),
        ({"classes": "unicorn"}, "unicorn"),
        ({"device": "cuda:9"}, "not available here"),
    ],
)
def test_mistakes_are_one_line(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(LabkitError, match=message) as caught:
        train(**options(**changes))
    assert "\n" not in str(caught.value)


def command(out: Path, *more: str) -> list[str]:
    arguments = ["train", "--limit", "1500", "--width", "8", "--epochs", "3", "--out", str(out), *more]
    return [sys.executable, "-c", "from labkit.cli import main; main()", *arguments]


def test_killed_and_resumed_the_weights_are_identical(tmp_path: Path) -> None:
    """A real kill -9, as soon as there is a checkpoint."""
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    subprocess.run(command(straight), check=True, capture_output=True, timeout=300)
    process = subprocess.Popen(command(killed), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (killed / CHECKPOINT_FILE).exists():
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (killed / WEIGHTS_FILE).exists() and not (killed / CARD_FILE).exists()
    resume = [*command(killed)[:3], "train", "--out", str(killed), "--resume"]  # all else is as before
    subprocess.run(resume, check=True, capture_output=True, timeout=300)
    assert (killed / WEIGHTS_FILE).read_bytes() == (straight / WEIGHTS_FILE).read_bytes()
    assert not (killed / CHECKPOINT_FILE).exists()
    ours, theirs = (json.loads((folder / METRICS_FILE).read_text()) for folder in (killed, straight))
    assert {k: ours[k] for k in KEYS} == {k: theirs[k] for k in KEYS}


@pytest.mark.parametrize(
    ("loss", "alpha", "settings"),
    [
        ("mse", 1.0, {"epochs": 2, "batch_size": 16, "learning_rate": 1e-2}),
        # beside a median the slope of the loss is gentle: it takes larger and more steps
        pytest.param(
            "l1",
            0.0,
            {"epochs": 9, "batch_size": 16, "learning_rate": 2e-2},
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_trained_network_reaches_the_known_optimum(loss: str, alpha: float, settings: dict[str, Any]) -> None:
    """On toyworld the best possible test loss is known in closed form: at most 5 % above it."""
    world = load("toyworld", "test")
    colorizer = Colorizer("luma-chroma", "unet", width=16, alpha=alpha)
    colorizer.fit(load("toyworld", "train"), **settings, device="cpu", progress=False)
    best = toyworld.optimum(world, colorizer.representation, loss)
    reached = colorizer.loss(world)
    print(f"{loss}: reached {reached:.6f}, optimum {best.realized:.6f}, ratio {reached / best.realized:.3f}")
    assert reached <= 1.05 * best.realized


@pytest.mark.slow
@pytest.mark.realdata
def test_the_best_published_number_takes_half_a_minute(real_data: Path) -> None:
    """CIFAR-10 horses: the papers' best MSE prints as .0038 after 40 epochs."""
    metrics = train(dict(dataset="cifar10", classes="horse", epochs=8, width=32, data_root=real_data, progress=False))
    print({key: round(metrics[key], 5) for key in sorted(KEYS)}, f"{metrics['seconds']:.0f} s")
    assert metrics["images"] == {"train": 5000, "validation": 0, "test": 1000}
    assert metrics["mse"] < 0.00385
    if torch.get_num_threads() >= 2 and metrics["precision"] == "bf16":
        assert metrics["seconds"] < 60


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"options": 3}', '{"options": {}, "gray": {}}', "\xff"])
def test_damaged_scores_are_named(tmp_path: Path, text: str) -> None:
    (tmp_path / METRICS_FILE).write_bytes(text.encode("latin-1"))
    with pytest.raises(LabkitError, match=r"metrics\.json is damaged: delete"):
        train(**options(tmp_path, resume=True))


def test_a_finished_run_whose_model_is_gone_is_not_called_finished(tmp_path: Path) -> None:
    train(**options(tmp_path))
    (tmp_path / WEIGHTS_FILE).unlink()
    with pytest.raises(LabkitError, match=r"model\.safetensors is missing"):
        train(**options(tmp_path, resume=True))


def test_resume_does_not_overwrite_a_model_that_it_did_not_begin(tmp_path: Path) -> None:
    Colorizer(width=4).save(tmp_path)
    before = (tmp_path / CARD_FILE).read_bytes()
    with pytest.raises(LabkitError, match=r"holds a model but no metrics\.json"):
        train(**options(tmp_path, resume=True))
    assert (tmp_path / CARD_FILE).read_bytes() == before


def test_what_would_fail_in_the_end_fails_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("trained")

    from PIL import Image

    for number in range(5):
        Image.new("RGB", (8, 8), (40 * number + 40, 0, 0)).save(tmp_path / f"{number}.png")
    monkeypatch.setattr(Colorizer, "fit", never)
    small = {"dataset": "folder", "data_root": tmp_path, "limit": None}
    with pytest.raises(LabkitError, match="images of 8 pixels are too small to score: give --size 11 or more"):
        train(**options(**small))
    with pytest.raises(LabkitError, match=r"0\.png is a file; --out must name a folder"):
        train(**options(tmp_path / "0.png", size=16, **small))
    with pytest.raises(LabkitError, match=r"~nobody-of-this-name.* is no folder"):
        train(**options(**small | {"data_root": Path("~nobody-of-this-name/x")}))
