"""The bench itself: turns, ratios, limits, the report and its file, the command."""

import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch

from labkit import LabkitError, cli
from labkit.bench import cost
from labkit.bench import run as bench_run
from labkit.bench.measure import Settings, compare, find_limits, peak_memory, take_turns
from labkit.bench.report import Point, Report, Row, read_report
from labkit.bench.training import (
    Items,
    Tutorial,
    arrays,
    jpeg_files,
    labkit_to_skill,
    memory_of,
    pictures,
    tutorial_to_skill,
)


@pytest.fixture(autouse=True)
def no_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    """A large matrix product takes seconds on a busy machine."""
    monkeypatch.setattr("labkit.bench.measure.matmul_peak", lambda: 1e12)
    monkeypatch.setattr(bench_run, "matmul_peak", lambda: 1e12)


def command(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        cli.main(list(arguments))
    return int(caught.value.code or 0)


def sleeper(seconds: float) -> Callable[[], None]:
    return lambda: time.sleep(seconds)


def test_contestants_take_turns() -> None:
    order: list[str] = []
    amounts = take_turns({name: lambda name=name: order.append(name) for name in "ABC"}, 3)
    assert "".join(order) == "ABC" * 4  # the first round warms up
    assert [len(amounts[name]) for name in "ABC"] == [3, 3, 3]
    order.clear()
    take_turns({name: lambda name=name: order.append(name) for name in "AB"}, 2, warm_up=False)
    assert "".join(order) == "ABAB"


def test_what_a_contestant_returns_is_compared_in_place_of_its_time() -> None:
    [row] = compare("p", "t", {"ours": lambda: 2.0, "theirs": lambda: 3.0}, 2, unit="bytes", operators=False)
    assert (row.ratio, row.spread, row.unit) == (1.5, (1.5, 1.5), "bytes")


def test_a_slowed_contestant_is_seen() -> None:
    fast, slow = sleeper(0.02), sleeper(0.1)
    [row] = compare("p", "t", {"labkit": fast, "other": slow}, 3, operators=False)
    assert row.ratio and row.spread and row.ratio > 2 and row.spread[0] <= row.ratio <= row.spread[1]
    [row] = compare("p", "t", {"labkit": slow, "other": fast}, 3, operators=False)
    assert row.ratio and row.ratio < 0.5


def test_the_ratio_is_of_pairs() -> None:
    """A machine that becomes ten times slower changes no ratio, and the spread is that of the ratios."""
    row = Row(part="p", task="t", names=("a", "b"), amounts=([1, 10, 100], [2, 20, 300]))
    assert row.ratio == 2 and row.spread == (2, 3)


@pytest.mark.parametrize("kind", ["arithmetic", "memory", "Python"])
def test_what_limits_a_contestant_is_found(kind: str) -> None:
    a, long = torch.ones(700, 700), torch.ones(2_000_000)

    def multiply() -> None:
        for _ in range(10):
            a @ a

    def copy() -> None:
        for _ in range(10):
            long.clone()

    run = {"arithmetic": multiply, "memory": copy, "Python": sleeper(0.05)}[kind]
    [seconds] = take_turns({"": run}, 1)[""]
    limits = find_limits(run, seconds)
    assert str(limits).startswith(kind) and getattr(limits, kind) > 0.5
    assert limits.peak == (pytest.approx(10 * 2 * 700**3 / seconds / 1e12) if kind == "arithmetic" else None)


def test_the_peak_of_memory_is_seen() -> None:
    before, _ = peak_memory()
    torch.ones(100_000_000, dtype=torch.uint8)
    now, most = peak_memory()
    assert most - before >= 90_000_000 or most > now  # an earlier test may have held more


def test_every_part_is_named_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert command("bench", "--help") == 0
    said = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert f"{', '.join(bench_run.PARTS)}; all if none" in said


def test_an_unknown_part_is_one_line_with_the_parts(capsys: pytest.CaptureFixture[str]) -> None:
    assert command("bench", "colour") == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "'colour'" in said and all(part in said for part in bench_run.PARTS)


def test_the_report_survives_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def color(settings: Settings):
        yield Row(part="color", task="t", names=("labkit", "kornia"), amounts=([1.0] * settings.repeats, [1.5] * 2))
        raise LabkitError("there is no kornia: pip install kornia")

    monkeypatch.setitem(bench_run.PARTS, "color", color)
    file = tmp_path / "bench.json"
    assert command("bench", "color", "--repeats", "2", "--json", str(file)) == 0
    said = capsys.readouterr().out
    assert "1.50 (1.50 to" in said and "there is no kornia: pip install kornia" in said
    report = read_report(file)
    assert Report.model_validate_json(report.model_dump_json()) == report
    assert len(report.machine.load) == 2 and report.machine.threads == torch.get_num_threads()
    assert [(row.ratio, bool(row.missing)) for row in report.rows] == [(1.5, False), (None, True)]
    assert json.loads(file.read_text())["rows"][0]["ratio"] == 1.5  # for those who read it without labkit

    monkeypatch.setattr(bench_run, "bench", lambda *arguments, **options: pytest.fail("measured again"))
    assert command("bench", "--show", str(file)) == 0
    assert capsys.readouterr().out == said
    assert command("bench", "--show", str(file), "--json", "-") == 0
    assert Report.model_validate_json(capsys.readouterr().out) == report


@pytest.mark.parametrize("text", ["", "{}", '{"schema_version": 2}'])
def test_another_file_is_refused(tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "bench.json"
    file.write_text(text)
    assert command("bench", "--show", str(file)) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "no bench of schema 1" in said


def test_the_cheapest_part_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert command("bench", "quantizer", "--quick", "--repeats", "1") == 0
    said = capsys.readouterr().out
    assert all(word in said for word in ("ab313", "ab676", "brute force", "memory", "load average"))


def test_training_needs_no_data_that_is_not_there(tmp_path: Path) -> None:
    [row] = bench_run.bench(["quality"], data_root=tmp_path).rows
    assert row.ratio is None and "cifar10" in row.missing.lower()


def test_the_tutorial_learns_from_arrays_and_files() -> None:
    images = pictures(4, 32)
    with jpeg_files(images) as files:
        for source in (arrays(images), files):
            tutorial = Tutorial(Items(source), 2, width=4)
            before = [parameter.clone() for parameter in tutorial.network.parameters()]
            tutorial.epoch()
            after = list(tutorial.network.parameters())
            assert any(not torch.equal(old, new) for old, new in zip(before, after, strict=True))
            assert tutorial.loader.dataset[0][0].shape == (1, 32, 32)


def test_time_to_a_skill() -> None:
    images = pictures(64, 32)
    for to_skill in (partial(labkit_to_skill, epochs=1), partial(tutorial_to_skill, width=4)):
        began = time.perf_counter()
        assert 0 < to_skill(images, images[:16], wanted=-100) < time.perf_counter() - began
    with pytest.raises(LabkitError, match="a skill of .* in 1 epochs"):
        labkit_to_skill(images, images[:16], wanted=0.99, epochs=1)


def test_memory_of_a_training() -> None:
    assert memory_of("ready tensors", 4, 32, 2, torch.get_num_threads()) > -1


def test_the_power_law_is_found_and_carried_to_imagenet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Points of a machine of 1 TFLOPS that needs a microsecond for each image and pixel, and twice that at width 32."""
    points = [
        Point(factor=factor, value=value, seconds=seconds(**(cost.BASE | {factor: value})), bytes=value)
        for factor, values in cost.VARIED.items()
        for value in values
    ]
    report = Report(date="2026", quick=True, repeats=1, machine=bench_run.this_machine()).model_copy(
        update={"points": points}
    )
    assert [row[2:] for row in cost.laws(report)] == [["1.00", "1.00"]] * 3 + [["0.00", "1.00"]]
    images, pixels, width = cost.IMAGENET.values()
    minutes = images * pixels * 1e-6 * (width / 16) * 1e12 / (cost.GPUS * cost.GPU_PEAK) / 60
    assert cost.imagenet_minutes(report) == pytest.approx(minutes)
    cost.draw(report, tmp_path / "cost.png")
    assert (tmp_path / "cost.png").stat().st_size > 1000
    (tmp_path / "bench.json").write_text(report.model_dump_json())
    assert command("bench", "--show", str(tmp_path / "bench.json")) == 0
    assert "ImageNet (1,281,167 images, 224 px, width 64)" in capsys.readouterr().out.replace("\n", " ")


def seconds(images: int, pixels: int, width: int, classes: int) -> float:
    return images * pixels * width / 16 * 1e-6


@pytest.mark.parametrize("classes", [0, 40])
def test_the_cost_of_a_training_is_measured(classes: int) -> None:
    took, held = cost.cost_of(torch.get_num_threads(), images=4, pixels=32**2, width=4, classes=classes)
    assert took > 0 and held > -1
