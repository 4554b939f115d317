"""`labkit reproduce`: what it leaves behind, that nothing is trained twice, and that a killed training goes on."""

import csv
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from PIL import Image

from labkit import LabkitError
from labkit.cli import main
from labkit.color import luma, to_float
from labkit.colorizer import WEIGHTS_FILE, Colorizer
from labkit.data import load, toyworld
from labkit.data.dataset import resize
from labkit.data.folder import listing
from labkit.experiments import images as images_module
from labkit.experiments import measured as measured_package
from labkit.experiments import page as page_module
from labkit.experiments import per_image, recipes, results
from labkit.experiments.images import load_images
from labkit.experiments.measured import measured, read
from labkit.experiments.recipes.shared import TOY
from labkit.experiments.reproduce import reproduce
from labkit.experiments.results import results_page
from labkit.experiments.runs import Run
from labkit.experiments.schema import Claim, Decoding, Printed, Recipe, Setup, System
from labkit.experiments.tables import means_table, printed_table
from labkit.ledger import Ledger
from labkit.metrics import color_bias, evaluate, gray_prediction, kid, mse, score
from labkit.options import FitSettings
from labkit.representation import Classification, make_representation
from labkit.training.checkpoint import Checkpoint

QUICKLY = replace(TOY, limit=16, test_limit=8, fit=FitSettings(epochs=2, batch_size=8, device="cpu"))
TINY = Recipe(
    name="tiny",
    paper="qureshi",
    line="a regression and a classification",
    systems=(
        System("regression", "rgb", "unet", printed=Printed("3", "regression U-Net")),
        System("bins", "rgb24", "cnn", more=(Decoding("bins, by mean", {"decode": "mean"}),)),
        System("half", "luma-chroma", "unet-half", more=(Decoding("half, flipped", flip_average=True),)),
    ),
    profiles={"test": QUICKLY, "quick": QUICKLY},
    thresholds=(0.05,),
    claims=(Claim("regression beats bins", "regression", "bins"),),
    differs="Everything.",
)
COUSIN = replace(TINY, name="cousin", systems=TINY.systems[:1], claims=())  # shares a training with tiny
FAILING = replace(
    TINY,
    name="failing",
    systems=(replace(TINY.systems[0], name="wild", changes={"test": {"learning_rate": 1e30}}), TINY.systems[0]),
    claims=(),
)


def colorful(side: int, strength: int) -> Image.Image:
    """A square of noise in three channels."""
    noise = Image.effect_noise((side, side), 10 * strength)
    return Image.merge("RGB", [noise, noise.rotate(90), noise.rotate(180)])


def plain(line: str) -> str:
    """The line on images without the digits that tell folders apart."""
    return re.sub(r" \([0-9a-f]{10}\)", "", line)


@pytest.fixture(autouse=True)
def few_recipes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipes, "RECIPES", {r.name: r for r in (TINY, COUSIN, FAILING)})
    monkeypatch.setattr(results, "RECIPES", recipes.RECIPES)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with tiny, two seeds."""
    out = tmp_path_factory.mktemp("done")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recipes, "RECIPES", {"tiny": TINY})
        reproduce(["tiny"], profile="test", seeds=2, out=out)
    return out


def test_what_it_leaves_behind(done: Path) -> None:
    rows = read(done / "measured" / "tiny.test.csv")
    names = ["regression", "bins", "bins, by mean", "half", "half, flipped"]
    assert list(dict.fromkeys(row.system for row in rows)) == names
    assert {row.seed for row in rows} == {0, 1}
    metrics = {"mse", "mae", "psnr_mean", "psnr_pooled", "ssim", "colorfulness", "skill"}
    accuracies = {f"accuracy 0.05{channel}" for channel in ("", " red", " green", " blue")}
    assert {row.metric for row in rows} == metrics | accuracies
    assert {row.command for row in rows} == {"labkit reproduce tiny --profile test --seeds 2"}
    assert {row.data for row in rows} == {"toyworld, 32 px: 16 train, 8 test"}
    assert all((row.oracle is not None) == row.system.startswith("bins") for row in rows)
    assert all(row.threads == torch.get_num_threads() and row.device == "cpu" and row.parameters > 0 for row in rows)

    with open(done / "reproduce.csv", newline="") as file:
        table = list(csv.DictReader(file))
    mse = next(row for row in table if row["system"] == "regression" and row["metric"] == "mse")
    assert (mse["published"], mse["verdict"], mse["seeds"]) == ("0.0038", "not comparable", "2")
    values = [row.value for row in rows if row.system == "regression" and row.metric == "mse"]
    assert float(mse["ours"]) == pytest.approx(sum(values) / 2)
    (data,) = json.loads((done / "reproduce.json").read_text())["recipes"]
    assert data["claims"][0]["claim"] == "regression beats bins" and data["differs"] == "Everything."
    page = (done / "reproduce.html").read_text()
    assert "Results of labkit reproduce" in page and "All 1 ended well." in page and "executed copy" not in page
    assert page.count("<img ") == 2 and 'alt="The first 8 test images in rows' in page and "Everything." in page


def test_the_numbers_are_those_of_the_kept_models(done: Path) -> None:
    rows = {(r.system, r.metric): r for r in read(done / "measured" / "tiny.test.csv") if r.seed == 1}
    images = load("toyworld", "test", limit=8).images
    (folder,) = (done / "models").glob("rgb-unet-seed1-*")
    scores = evaluate(Colorizer.load(folder), images)
    assert rows["regression", "ssim"].value == pytest.approx(scores["ssim"], rel=1e-5)
    assert rows["regression", "ssim"].gray == pytest.approx(scores["gray"]["ssim"], rel=1e-5)

    (folder,) = (done / "models").glob("rgb24-cnn-seed1-*")
    bins = Colorizer.load(folder)
    assert isinstance(bins.representation, Classification)
    oracle = score(bins.representation.oracle(images), images)
    assert rows["bins", "mse"].oracle == pytest.approx(oracle["mse"], rel=1e-5)
    assert rows["bins", "mse"].oracle < rows["bins", "mse"].value
    bins.representation.method = "mean"
    by_mean = evaluate(bins, images)
    assert rows["bins, by mean", "mse"].value == pytest.approx(by_mean["mse"], rel=1e-5)
    assert rows["bins, by mean", "mse"].value < rows["bins", "mse"].value  # the mean minimizes squared error

    (folder,) = (done / "models").glob("luma-chroma-unet-half-seed1-*")
    half = Colorizer.load(folder)
    flipped = score(half(images, flip_average=True), images)
    assert rows["half, flipped", "mse"].value == pytest.approx(flipped["mse"], rel=1e-5)
    right = ((half(images) - images / 255).abs() <= 0.05).all(dim=1).float().mean()
    assert rows["half", "accuracy 0.05"].value == pytest.approx(float(right), rel=1e-4)


def test_nothing_is_done_twice(done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("trained again")

    before = (done / "measured" / "tiny.test.csv").read_bytes()
    with pytest.raises(LabkitError, match="already holds metrics.json: add --resume"):
        reproduce(["tiny"], profile="test", seeds=2, out=done)
    monkeypatch.setattr(Colorizer, "fit", never)
    monkeypatch.setattr(page_module, "_figures", lambda *args: [])
    reproduce(["tiny"], profile="test", seeds=2, out=done, resume=True)
    assert (done / "measured" / "tiny.test.csv").read_bytes() == before
    (done / "measured" / "tiny.test.csv").unlink()  # killed between the ledger and the table
    reproduce(["tiny"], profile="test", seeds=2, out=done, resume=True)
    assert (done / "measured" / "tiny.test.csv").read_bytes() == before

    # another recipe with the same training takes it over, and scores for itself
    reproduce(["cousin"], profile="test", seeds=1, out=done, resume=True)
    mine, cousins = (read(done / "measured" / f"{name}.test.csv") for name in ("tiny", "cousin"))
    assert [row.value for row in cousins] == [r.value for r in mine if r.system == "regression" and r.seed == 0]
    with pytest.raises(AssertionError, match="trained again"):
        reproduce(["tiny"], profile="test", seeds=3, out=done, resume=True)


def test_other_decodings_are_scored_without_training(done: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    more = replace(TINY.systems[1], more=(Decoding("bins, sampled", {"decode": "sample"}),))
    monkeypatch.setitem(recipes.RECIPES, "tiny", replace(TINY, systems=(more,), claims=()))
    monkeypatch.setattr(Colorizer, "fit", None)
    monkeypatch.setattr(page_module, "_figures", lambda *args: [])
    (outcome,) = reproduce(["tiny"], profile="test", seeds=2, out=done, resume=True)
    assert "bins, sampled" in {row.system for row in outcome.measured}


def test_a_decoding_at_a_larger_size(done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    larger = replace(TINY.systems[1], more=(Decoding("bins, at 64 pixels", size=64),))
    monkeypatch.setitem(recipes.RECIPES, "tiny", replace(TINY, systems=(larger,), claims=()))
    monkeypatch.setattr(Colorizer, "fit", None)
    (outcome,) = reproduce(["tiny"], profile="test", seeds=1, out=done, resume=True)
    rows = {(row.system, row.metric): row for row in outcome.rows}
    (folder,) = (done / "models").glob("rgb24-cnn-seed0-*")
    large = resize(load("toyworld", "test", limit=8).images, 64)
    scores = evaluate(Colorizer.load(folder), large)
    assert rows["bins, at 64 pixels", "mse"].value == pytest.approx(scores["mse"], rel=1e-5)
    assert rows["bins, at 64 pixels", "mse"].gray == pytest.approx(scores["gray"]["mse"], rel=1e-5)
    assert rows["bins, at 64 pixels", "mse"].oracle is None and rows["bins", "mse"].oracle is not None
    assert rows["bins, at 64 pixels", "mse"].data.endswith("8 test, enlarged to 64 px")
    grays = [row for row in means_table(outcome.recipe, outcome.measured) if row["system"].startswith("gray")]
    assert [row["system"] for row in grays] == ["gray", "gray, as for bins, at 64 pixels"]
    assert grays[1]["mse"] == rows["bins, at 64 pixels", "mse"].gray != grays[0]["mse"]


def test_other_photographs_are_another_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, count in (("mine", 12), ("yours", 14)):
        (tmp_path / name).mkdir()
        for number in range(count):
            colorful(16, number).save(tmp_path / name / f"{number}.png")
    folder = Setup("folder", size=16, network={"width": 4}, fit=replace(QUICKLY.fit, epochs=1))
    one = replace(TINY, systems=TINY.systems[:1], profiles={"test": folder}, claims=())
    monkeypatch.setitem(recipes.RECIPES, "tiny", one)
    monkeypatch.setattr(page_module, "_figures", lambda *args: [])
    for name in ("mine", "yours", "mine"):
        reproduce(["tiny"], profile="test", seeds=1, data_root=tmp_path / name, out=tmp_path / "out", resume=True)
    entries = Ledger(tmp_path / "out" / "ledger.jsonl").entries("reproduce")
    assert len({entry.input_hash for entry in entries}) == 2
    assert len(list((tmp_path / "out" / "models").iterdir())) == 2


def test_missing_images_and_memory_stop_no_other_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    away = replace(TINY, name="away", profiles={"test": Setup("folder", "nowhere")})
    monkeypatch.setattr(recipes, "RECIPES", {"away": away, "cousin": COUSIN})
    first, second = reproduce(["all"], profile="test", seeds=1, data_root=tmp_path / "none", out=tmp_path / "out")
    assert len(first.failures) == len(away.systems) and not second.failures and second.rows
    assert all("none" in why for why in first.failures.values())

    monkeypatch.setattr(Colorizer, "fit", lambda *args, **kwargs: torch.empty(10**15))
    (outcome,) = reproduce(["cousin"], profile="test", seeds=1, out=tmp_path / "full")
    (why,) = outcome.failures.values()
    assert why.startswith("out of memory (") and why.endswith("take smaller images, batches or networks")


def test_what_was_done_is_tabled_without_its_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(12):
        colorful(16, number).save(tmp_path / f"{number}.png")
    folder = Setup("folder", size=16, network={"width": 4}, fit=replace(QUICKLY.fit, epochs=1))
    one = replace(TINY, systems=TINY.systems[:1], profiles={"test": folder}, claims=())
    monkeypatch.setitem(recipes.RECIPES, "tiny", one)
    out = tmp_path / "out"
    reproduce(["tiny"], profile="test", seeds=1, data_root=tmp_path, out=out)
    monkeypatch.setattr(images_module, "load_images", lambda *args: (_ for _ in ()).throw(LabkitError("gone")))
    (outcome,) = reproduce(["tiny"], profile="test", seeds=1, data_root=tmp_path, out=out, resume=True)
    assert outcome.rows and not outcome.failures and "All 1 ended well." in (out / "reproduce.html").read_text()


def test_a_damaged_training_stops_no_other(done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(done, tmp_path / "out")
    (tmp_path / "out" / "ledger.jsonl").unlink()
    (first,) = (tmp_path / "out" / "models").glob("rgb-unet-seed0-*")
    (first / "metrics.json").write_text("{")
    monkeypatch.setattr(page_module, "_figures", lambda *args: [])
    (outcome,) = reproduce(["tiny"], profile="test", seeds=1, out=tmp_path / "out", resume=True)
    assert (
        list(outcome.failures) == ["tiny: regression, seed 0"]
        and "is damaged" in outcome.failures["tiny: regression, seed 0"]
    )
    assert {row.system for row in outcome.rows} >= {"bins", "half"}


def test_a_training_that_was_cut_off_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = replace(TINY, systems=TINY.systems[:1], claims=())
    monkeypatch.setitem(recipes.RECIPES, "tiny", one)
    monkeypatch.setattr(page_module, "_figures", lambda *args: [])
    write, fitted = Checkpoint.write, []

    def killed(*args: Any, **kwargs: Any) -> None:
        write(*args, **kwargs)
        raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoint, "write", killed)
    with pytest.raises(KeyboardInterrupt):
        reproduce(["tiny"], profile="test", seeds=1, out=tmp_path / "cut")
    assert not (tmp_path / "cut" / "measured").exists() and not (tmp_path / "cut" / "ledger.jsonl").exists()
    monkeypatch.setattr(Checkpoint, "write", lambda *args, **kwargs: fitted.append(write(*args, **kwargs)))
    reproduce(["tiny"], profile="test", seeds=1, out=tmp_path / "cut", resume=True)
    assert len(fitted) == 1  # the second of two epochs
    reproduce(["tiny"], profile="test", seeds=1, out=tmp_path / "whole")
    weights = [next((tmp_path / name / "models").glob("*")) / WEIGHTS_FILE for name in ("cut", "whole")]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def test_two_trainings_in_a_row_survive_a_kill_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    twice = replace(TINY.systems[0], before={"test": {"limit": 8, "epochs": 1}})
    recipe = replace(TINY, systems=(twice,), claims=())
    monkeypatch.setitem(recipes.RECIPES, "tiny", recipe)
    monkeypatch.setattr(page_module, "_figures", lambda *args: [])
    assert recipe.training(twice, "test", 0)["before"]["fit"]["epochs"] == 1
    write, written = Checkpoint.write, []

    def killed(self: Checkpoint, *args: Any) -> None:
        write(self, *args)
        written.append(self.file.parent.name)
        if len(written) == 2:  # after the first epoch of the second training
            raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoint, "write", killed)
    with pytest.raises(KeyboardInterrupt):
        reproduce(["tiny"], profile="test", seeds=1, out=tmp_path / "cut")
    reproduce(["tiny"], profile="test", seeds=1, out=tmp_path / "cut", resume=True)
    assert written.count("first") == 1 and len(written) == 3
    reproduce(["tiny"], profile="test", seeds=1, out=tmp_path / "whole")
    folders = [next((tmp_path / name / "models").glob("*")) for name in ("cut", "whole")]
    assert (folders[0] / WEIGHTS_FILE).read_bytes() == (folders[1] / WEIGHTS_FILE).read_bytes()
    assert not (folders[0] / "first").exists()


def test_a_training_that_fails_keeps_its_row(tmp_path: Path) -> None:
    (outcome,) = reproduce(["failing"], profile="test", seeds=1, out=tmp_path)
    table = {row["system"]: row for row in printed_table(outcome.recipe, outcome.measured, outcome.failures)}
    assert table["wild"]["verdict"].startswith("failed: the loss is") and "ours" not in table["wild"]
    assert table["regression"]["ours"] > 0
    assert [entry.status for entry in Ledger(tmp_path / "ledger.jsonl").entries("reproduce")] == ["failed", "ok"]
    assert "1 of 1 failed" in (tmp_path / "reproduce.html").read_text()
    assert [row["system"] for row in means_table(outcome.recipe, outcome.measured)] == ["gray", "regression"]


def test_a_shared_training_that_fails_stops_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    often = {"test": {"learning_rate": 1e30, "checkpoint_seconds": 0.0}}  # leaves a checkpoint
    failing = replace(FAILING, systems=(replace(FAILING.systems[0], changes=often),))
    both = {name: replace(failing, name=name) for name in ("failing", "twin")}
    monkeypatch.setattr(recipes, "RECIPES", both)
    outcomes = reproduce(["all"], profile="test", seeds=1, out=tmp_path)
    assert [len(outcome.failures) for outcome in outcomes] == [1, 1]
    assert list((tmp_path / "models").glob("*/checkpoint.safetensors"))


def test_what_is_measured_is_part_of_what_decides_a_result() -> None:
    hashes = {
        Run(recipe, TINY.systems[0], "test", 0, "").input_hash()
        for recipe in (TINY, replace(TINY, kid=True), replace(TINY, by_class=True), replace(TINY, thresholds=()))
    }
    assert len(hashes) == 4


def test_before_anything_is_measured() -> None:
    table = printed_table(TINY, [])
    assert {row["verdict"] for row in table} == {"not measured yet"}
    assert table[0]["published"] == 0.0038 and means_table(TINY, []) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"names": ["tinny"]}, "unknown recipe 'tinny'"),
        ({"seeds": 0}, "seeds must be a whole number of 1 or more"),
        ({"profile": "fast"}, "profile must be one of"),
    ],
)
def test_mistakes_cost_no_training(tmp_path: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(LabkitError, match=message):
        reproduce(**({"names": ["tiny"], "profile": "test", "out": tmp_path / "out"} | arguments))
    assert not (tmp_path / "out").exists()


def test_the_page_of_results(done: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measured_package, "folder", lambda: None)
    assert results_page().startswith("Nothing measured yet")
    text = (
        (done / "measured" / "tiny.test.csv")
        .read_text()
        .replace(",test,", ",quick,")
        .replace("profile test", "profile quick")
    )
    (done / "copied" / "per_image").mkdir(parents=True)
    (done / "copied" / "tiny.quick.csv").write_text(text)
    monkeypatch.setattr(measured_package, "folder", lambda: done / "copied")
    page = results_page()
    (line,) = [line for line in page.splitlines() if line.startswith("| regression beats bins")]
    a, b = (measured("tiny", name, "mse")[0].mean for name in ("regression", "bins"))
    cells = [cell.strip() for cell in line.split("|")]
    assert f"regression: {a:.4g}" in cells and f"bins: {b:.4g}" in cells and cells[-3:-1] == ["2", "8"]
    assert "seeds only" in cells and "also differs: representation.name, network.name" in line
    assert "`labkit reproduce tiny --profile quick --seeds 2`" in page and "8 test; cpu" in page
    assert "| regression | MSE | 0.0038 |" in page and "## `qureshi`: A. Qureshi" in page
    shutil.copy(done / "measured" / "per_image" / "tiny.test.npz", done / "copied" / "per_image" / "tiny.quick.npz")
    (line,) = [line for line in results_page().splitlines() if line.startswith("| regression beats bins")]
    assert "seeds and images" in line


def test_scores_by_image_are_kept(done: Path) -> None:
    """Their means are the rows, for what the claims compare; a second run takes them over."""
    rows = {(r.system, r.metric, r.seed): r for r in read(done / "measured" / "tiny.test.csv")}
    kept = per_image.read_file(done / "measured" / "per_image" / "tiny.test.npz")
    assert {key[:2] for key in kept} == {(name, "mse") for name in {row.system for row in rows.values()}}
    for key, values in kept.items():
        assert values.shape == (8,) and values.mean() == pytest.approx(rows[key].value, rel=1e-3)


def test_images_of_a_setup(tmp_path: Path) -> None:
    for name in ("photos", "flowers17"):
        (tmp_path / name).mkdir()
        lines = ["file,label,split"]
        for number in range(20):
            colorful(16, number).save(tmp_path / name / f"{number}.png")
            split = "test" if number > 17 else "validation" if number > 15 else "train"
            lines.append(f"{number}.png,{'day' if number % 2 else 'night'},{split}")
        (tmp_path / name / "labels.csv").write_text("\n".join(lines))
    setup = Setup("folder", "flowers17", size=12)
    whole = load_images(setup, tmp_path)
    assert plain(whole.line) == "flowers17, 12 px: 18 train, 2 test"
    anybodys = load_images(setup, tmp_path / "photos")
    assert plain(anybodys.line).startswith("photos, 12 px: 18 train")
    assert anybodys.line.startswith(f"photos ({listing(tmp_path / 'photos')}), ")
    cut = load_images(replace(setup, crop=8, test_limit=1), tmp_path)
    assert torch.equal(cut.train, whole.train[..., 2:10, 2:10]) and len(cut.test) == 1
    early = load_images(replace(setup, fit=FitSettings(patience=2)), tmp_path)
    assert plain(early.line) == "flowers17, 12 px: 16 train, 2 validation, 2 test"
    by_class = {name: load_images(replace(setup, classes=name), tmp_path) for name in ("day", "night")}
    other = load_images(replace(setup, classes="day", test_classes="night"), tmp_path)
    assert torch.equal(other.test.images, by_class["night"].test.images)
    assert torch.equal(other.train, by_class["day"].train)
    assert plain(other.line).startswith("flowers17 day, 12 px: ") and other.line.endswith(" test (night)")
    watched = load_images(replace(setup, hold_out=True, limit=3), tmp_path)
    assert plain(watched.line) == "flowers17, 12 px: 3 train, 2 validation, 2 test"


def test_gray_test_images_are_refused(tmp_path: Path) -> None:
    for number in range(12):
        Image.effect_noise((16, 16), 10 * number).convert("RGB").save(tmp_path / f"{number}.png")
    with pytest.raises(LabkitError, match=r"the images to score on \(1\) are all gray: give some with color"):
        load_images(Setup("folder", size=16), tmp_path)


def test_images_of_several_data_sets(tmp_path: Path) -> None:
    (tmp_path / "flowers17").mkdir()
    for number in range(20):
        colorful(32, number).save(tmp_path / "flowers17" / f"{number}.png")
    setup = Setup("toyworld+folder", "flowers17", size=32, limit=6, test_limit=1)
    both = load_images(setup, tmp_path)
    assert plain(both.line) == "toyworld+flowers17, 32 px: 12 train, 2 test"
    alone = [load_images(replace(setup, dataset=name), tmp_path).train for name in setup.datasets]
    assert torch.equal(both.train, torch.cat(alone))
    there = load_images(replace(setup, dataset="toyworld", test_dataset="folder"), tmp_path)
    assert plain(there.line) == "toyworld, 32 px: 6 train, 1 test (flowers17)"
    assert torch.equal(there.train, alone[0]) and torch.equal(there.test.images, both.test.images[1:])
    small = load_images(replace(setup, dataset="folder", shrink=4), tmp_path)
    assert plain(small.line) == "flowers17, 32 px enlarged from 4: 6 train, 1 test"
    assert torch.equal(small.test.images, there.test.images)  # what is scored keeps its detail
    assert small.train.float().std() < 0.5 * alone[1].float().std()  # noise, averaged over 4 x 4


def test_more_that_a_recipe_can_ask_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = replace(TOY, limit=16, test_limit=12, hold_out=True, fit=FitSettings(epochs=2, batch_size=8, device="cpu"))
    asking = replace(
        TINY,
        name="asking",
        systems=TINY.systems[1:2],
        profiles={"test": held, "quick": held},
        kid=True,
        by_class=True,
        claims=(Claim("the second epoch helps", "bins", "bins", "validation mse, epoch 2", "validation mse, epoch 1"),),
    )
    monkeypatch.setattr(recipes, "RECIPES", {"asking": asking})
    monkeypatch.setitem(toyworld.SPLIT_SIZES, "validation", 40)
    (outcome,) = reproduce(["asking"], profile="test", seeds=2, out=tmp_path)
    rows = {(row.system, row.metric): row for row in outcome.rows if row.seed == 0}
    trained = Colorizer.load(tmp_path / Run(asking, asking.systems[0], "test", 0, "").folder)
    test = load("toyworld", "test", limit=12)
    predicted, gray = trained(test.images), gray_prediction(test.images)

    assert rows["bins", "KID (labkit features)"].value == pytest.approx(kid(predicted, test.images).mean, abs=1e-5)
    assert rows["bins", "a bias"].value == pytest.approx(
        float(color_bias(predicted, test.images)[:, 0].mean()), abs=1e-4
    )
    assert rows["bins", "b bias"].gray == pytest.approx(float(color_bias(gray, test.images)[:, 1].mean()), abs=1e-4)
    label = int(test.labels[0])
    of_class, name = test.labels == label, test.class_names[label]
    ours, floor = (float(mse(p, test.images)[of_class].mean()) for p in (predicted, gray))
    assert rows["bins", f"skill {name}"].value == pytest.approx(1 - ours / floor, abs=1e-4)

    # the last epoch's row is what the finished network scores on the images that were held out
    held_out = load("toyworld", "validation").images
    last = {name: rows["bins", f"validation {name}, epoch 2"] for name in ("mse", "mae", "right bins")}
    assert last["mse"].value == pytest.approx(evaluate(trained, held_out)["mse"], rel=1e-3)
    assert last["mae"].gray == pytest.approx(evaluate(trained, held_out)["gray"]["mae"], rel=1e-5)
    bins = cast(Classification, trained.representation).quantizer
    nearest = bins.encode(to_float(held_out))
    likeliest = trained.predict(luma(held_out)).argmax(dim=1)
    assert last["right bins"].value == pytest.approx(float((likeliest == nearest).double().mean()), abs=1e-3)
    assert last["right bins"].gray == pytest.approx(
        float((bins.encode(gray_prediction(held_out)) == nearest).double().mean()), abs=1e-4
    )
    (result,) = outcome.claims  # an MSE is better when it is lower, whatever stands around its name
    gains = [
        next(r.value for r in outcome.rows if r.seed == seed and r.metric.endswith("mse, epoch 1"))
        - next(r.value for r in outcome.rows if r.seed == seed and r.metric.endswith("mse, epoch 2"))
        for seed in (0, 1)
    ]
    assert result.gain == pytest.approx(sum(gains) / 2)
    page = (tmp_path / "reproduce.html").read_text()
    assert "Measured after each epoch on held-out images" in page and "right bins" in page


def test_what_a_recipe_can_ask_of_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = replace(TOY, limit=16, test_limit=40, fit=FitSettings(epochs=1, batch_size=8, device="cpu"))
    asking = replace(
        TINY,
        name="asking",
        systems=(
            System("full", "luma-chroma", "unet", more=(Decoding("full, averaged", coarse=2),)),
            System("half", "luma-chroma", "unet", network_options={"output_stride": 2}),
        ),
        profiles={"test": held, "quick": held},
        floors=True,
        psnr_caps=True,
        thresholds=(),
        claims=(Claim("averaging costs", "full", "full, averaged"),),
    )
    leaking = replace(asking, name="leaking", systems=asking.systems[:1], floors=False, leakage=True)
    monkeypatch.setattr(recipes, "RECIPES", {"asking": asking, "leaking": leaking})
    outcome, leaks = reproduce(["asking", "leaking"], profile="test", seeds=1, out=tmp_path)
    rows = {(row.system, row.metric): row for row in outcome.rows}

    # the floors of half resolution: what no network can do better, and what it is taught
    best, averages = (rows["half", f"floor of {what}"].value for what in ("best colors", "averages"))
    assert 0 < best < 0.8 * averages < rows["half", "mse"].gray and rows["half", "floor of averages"].gray > averages
    assert ("full", "floor of averages") not in rows
    test = load("toyworld", "test", limit=40)
    space = make_representation("luma-chroma")
    gray, coarse = space.encode(test.images, 2)
    assert averages == pytest.approx(float(mse(space.decode(gray, coarse), test.images).mean()), rel=1e-4)
    nudged = coarse.clone().requires_grad_()
    optimizer = torch.optim.Adam([nudged], lr=0.02)
    for _ in range(150):
        optimizer.zero_grad()
        loss = mse(space.decode(gray, nudged), test.images).mean()
        loss.backward()
        optimizer.step()
    assert best == pytest.approx(float(loss.detach()), rel=0.1)  # nearly as low as a longer search finds it

    # colors averaged over 2x2 and upsampled again
    trained = Colorizer.load(tmp_path / Run(asking, asking.systems[0], "test", 0, "").folder)
    with torch.no_grad():
        chroma = torch.nn.functional.avg_pool2d(trained.predict(gray), 2)
    expected = float(mse(space.to_rgb(gray, chroma), test.images).mean())
    assert rows["full, averaged", "mse"].value == pytest.approx(expected, rel=1e-4)

    # PSNR with other caps
    ours = {cap: rows["half", name].value for cap, name in ((30, "psnr capped at 30"), (100, "psnr capped at 100"))}
    assert ours[30] - 1e-5 <= rows["half", "psnr_mean"].value <= ours[100] + 1e-5  # single precision

    found = {row.metric: row for row in leaks.rows if row.system == "full"}
    kept = [leaks.scores["full", name, 0] for name in ("leak of values", "leak of gradient")]
    assert [len(values) for values in kept] == [32, 32]
    assert [found[name].value for name in ("leak of values", "leak of gradient")] == [float(v.mean()) for v in kept]
    assert all(0 < float(v.mean()) < 1 for v in kept) and found["leak of values"].gray == 0
    assert all(metric not in found for metric in ("floor of averages",))
    assert all((one.metric, one.images) != ("leak of values", 40) for one in leaks.measured)


def test_a_profile_that_few_recipes_have(tmp_path: Path) -> None:
    with pytest.raises(LabkitError, match="no profile full-cpu in tiny, cousin: expected one of"):
        reproduce(["tiny", "cousin"], profile="full-cpu", out=tmp_path)


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")

    def status(*arguments: str) -> Any:
        with pytest.raises(SystemExit) as stopped:
            main(arguments)
        return stopped.value.code

    assert status("recipes") == 0 and "a regression and a classification" in capsys.readouterr().out
    assert status("reproduce", "cousin", "--profile", "test", "--seeds", "1", "--out", str(tmp_path)) == 0
    out = capsys.readouterr().out
    assert "cousin: regression, seed 0  mse 0." in out and "Beside the paper" in out and "not comparable" in out
    failing = ("reproduce", "failing", "--profile", "test", "--seeds", "1", "--out", str(tmp_path / "failing"))
    assert status(*failing) == 1 and "\n  failing: wild, seed 0: the loss is" in capsys.readouterr().err
    assert status("reproduce", "nothing") == 2 and "unknown recipe 'nothing'" in capsys.readouterr().err


def test_the_page_of_results_is_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # the real recipes
    page = (Path(__file__).parents[2] / "docs" / "results.md").read_text(encoding="utf-8")
    assert page == results_page(), "run `labkit recipes --measured > docs/results.md`"
