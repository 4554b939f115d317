"""Measured rows: written once for each key, read strictly, put together over seeds; what they are said to show."""

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from labkit import LabkitError
from labkit.experiments import measured as package
from labkit.experiments.claims import (
    BETTER,
    CONFIRMED,
    LARGER,
    MISSED,
    NOT_COMPARABLE,
    REFUTED,
    SMALLER,
    UNDECIDED,
    WITHIN,
    claims,
    claims_of,
    examine,
    findings,
    gains,
    verdict,
)
from labkit.experiments.measured import COLUMNS, Measured, Row, measured, merge, read, summarize
from labkit.experiments.recipes import RECIPES
from labkit.experiments.schema import Claim, PrintedGain

ROW = Row(
    recipe="skips",
    system="rgb, skips",
    metric="mse",
    profile="quick",
    seed=0,
    value=0.004,
    gray=0.006,
    oracle=None,
    parameters=1000,
    seconds=12.5,
    device="cpu",
    threads=1,
    torch="2.9",
    labkit="0.1",
    date="2026-01-01T00:00:00+00:00",
    data="cifar10 horse, 32 px: 5000 train, 1000 test",
    command="labkit reproduce skips --profile quick --seeds 3",
)


def rows(values: list[float], **changes: Any) -> list[Row]:
    return [dataclasses.replace(ROW, seed=seed, value=value, **changes) for seed, value in enumerate(values)]


def ours(values: list[float], **changes: Any) -> Measured:
    (one,) = summarize(rows(values, **changes))
    return one


def test_rows_survive_the_file_and_replace_their_older_selves(tmp_path: Path) -> None:
    path = tmp_path / "measured" / "skips.quick.csv"
    first = rows([0.004, 0.005], oracle=0.001)
    merge(path, first)
    assert read(path) == first
    again = dataclasses.replace(ROW, value=0.003, date="2026-02-01T00:00:00+00:00")
    merge(path, [again, dataclasses.replace(ROW, seed=2)])
    assert [(row.seed, row.value, row.oracle) for row in read(path)] == [
        (0, 0.003, None),
        (1, 0.005, 0.001),
        (2, 0.004, None),
    ]
    assert path.read_text().splitlines()[0] == ",".join(COLUMNS)


def test_rows_of_other_images_are_not_mixed(tmp_path: Path) -> None:
    path = tmp_path / "skips.quick.csv"
    merge(path, rows([0.004, 0.005, 0.006]) + rows([0.007], system="another"))
    merge(path, rows([0.1], data="my photographs"))
    assert [(row.system, row.seed, row.value) for row in read(path)] == [("another", 0, 0.007), ("rgb, skips", 0, 0.1)]


def test_put_together_over_seeds() -> None:
    one = ours([0.004, 0.005, 0.009])
    assert (one.seeds, one.values, one.mean) == ((0, 1, 2), (0.004, 0.005, 0.009), pytest.approx(0.006))
    assert one.sd == pytest.approx(stats.tstd([0.004, 0.005, 0.009]))
    assert math.isnan(ours([0.004]).sd)
    late = dataclasses.replace(ROW, seed=1, date="2026-03-01T00:00:00+00:00", command="new", device="H100", seconds=2.5)
    (both,) = summarize([late, ROW])
    assert (both.seeds, both.date[:7], both.command, both.device) == ((0, 1), "2026-03", "new", "cpu, H100")
    assert both.seconds == 7.5


def test_what_was_measured_is_found_by_its_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    merge(tmp_path / "skips.quick.csv", rows([0.004, 0.005]) + rows([25.0], metric="psnr_mean"))
    merge(tmp_path / "skips.gpu.csv", rows([0.003], profile="gpu"))
    monkeypatch.setattr(package, "folder", lambda: tmp_path)
    assert [(m.profile, m.metric, m.mean) for m in measured("skips", metric="mse")] == [
        ("gpu", "mse", 0.003),
        ("quick", "mse", pytest.approx(0.0045)),
    ]
    assert len(measured(profile="quick")) == 2 and measured("unheard of") == []
    monkeypatch.setattr(package, "folder", lambda: None)
    assert measured() == []


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("skips,x", "line 2: 17 fields expected, got 2"),
        ("a,b,mse,quick,0,high,1,,1,1,cpu,1,t,l,d,x,c", "line 2: could not convert string to float: 'high'"),
        ("a,b,mse,quick,zero,1,1,,1,1,cpu,1,t,l,d,x,c", "line 2: invalid literal"),
        ("a,b,mse,quick,0,nan,1,,1,1,cpu,1,t,l,d,x,c", "line 2: value must be finite"),
        ("a,b,mse,quick,0,1,1,,1,1,cpu,1,t,l,d,x,c\na,b,mse,quick,0,2,1,,1,1,cpu,1,t,l,d,x,c", "stand there twice"),
    ],
)
def test_a_faulty_file_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(",".join(COLUMNS) + "\n" + line + "\n")
    with pytest.raises(LabkitError, match=f"a.csv.*{message}"):
        read(path)
    path.write_text("recipe,value\n")
    with pytest.raises(LabkitError, match="line 1: the header must be recipe,system"):
        read(path)


def test_committed_rows_belong_to_recipes() -> None:
    """What travels with the course can be measured again: the recipe, the system and the profile are still there."""
    for row in measured():
        recipe = RECIPES[row.recipe]
        names = [reading.name for system in recipe.systems for reading in system.decodings]
        assert row.system in names and row.profile in recipe.profiles and row.profile != "test"
        assert row.command.startswith(f"labkit reproduce {row.recipe} --profile {row.profile}")
        assert row.metric != "mse" or 0 < row.mean < 1


@pytest.mark.parametrize(
    ("values", "printed", "said"),
    [
        ([0.0030, 0.0031, 0.0029], 0.0038, BETTER),
        ([0.0050, 0.0051, 0.0049], 0.0038, MISSED),
        ([0.00375], 0.0038, WITHIN),  # 2 % is rounding
        ([0.0036], 0.0038, BETTER),  # with one seed, nothing but rounding is known
        ([0.0033, 0.0036, 0.0039], 0.0038, WITHIN),  # its own scatter is larger than the difference
    ],
)
def test_against_a_printed_error(values: list[float], printed: float, said: str) -> None:
    assert verdict(ours(values), printed) == said
    assert verdict(ours(values), printed, "other photographs") == NOT_COMPARABLE
    assert verdict(ours(values, profile="test"), printed) == NOT_COMPARABLE


def test_against_printed_decibels_and_ssim() -> None:
    assert verdict(ours([27.0], metric="psnr_mean"), 26.04) == BETTER
    assert verdict(ours([25.0], metric="psnr_mean"), 26.04) == MISSED
    assert verdict(ours([26.1], metric="psnr_mean"), 26.04) == WITHIN
    assert verdict(ours([0.92], metric="ssim"), 0.9441) == WITHIN  # variants of SSIM differ by more


def test_the_band_is_a_prediction_interval() -> None:
    """For three seeds of sd s the half-width is t(.975, 2) s sqrt(4/3)."""
    one = ours([0.009, 0.010, 0.011])
    half = stats.t.ppf(0.975, 2) * 0.001 * math.sqrt(4 / 3)
    assert verdict(one, 0.010 + 0.99 * half) == WITHIN
    assert verdict(one, 0.010 + 1.01 * half) == BETTER


def test_claims_are_confirmed_refuted_or_left_open() -> None:
    claim = Claim("A beats B", "A", "B")
    a = [0.0030, 0.0032, 0.0031]

    def found(a: list[float], b: list[float], relation: Claim = claim, metric: str = "mse") -> Any:
        return examine(relation, summarize(rows(a, system="A", metric=metric) + rows(b, system="B", metric=metric)))

    result = found(a, [0.0040, 0.0043, 0.0041])
    gains = [0.0010, 0.0011, 0.0010]
    low, high = stats.t.interval(0.95, 2, loc=sum(gains) / 3, scale=stats.sem(gains))
    assert result.verdict == CONFIRMED
    assert (result.gain - result.margin, result.gain + result.margin) == (pytest.approx(low), pytest.approx(high))
    assert found([0.0040, 0.0043, 0.0041], a).verdict == REFUTED
    assert found(a, [0.0033, 0.0030, 0.0032]).verdict == UNDECIDED
    assert found([0.003], [0.004]).verdict == UNDECIDED, "one seed decides nothing"
    higher = Claim("A beats B", "A", "B", "psnr_mean")
    assert found([26.0, 26.1], [24.0, 24.1], higher, "psnr_mean").verdict == CONFIRMED
    assert found([24.0, 24.1], [26.0, 26.1], higher, "psnr_mean").verdict == REFUTED
    assert examine(claim, summarize(rows(a, system="A"))) is None
    only_far_seeds = [dataclasses.replace(ROW, system="B", seed=7)]
    assert examine(claim, summarize(rows(a, system="A") + only_far_seeds)) is None


@pytest.mark.parametrize("metric", ["mae", "validation mse, epoch 2", "KID (labkit features)"])
def test_errors_are_better_when_lower(metric: str) -> None:
    both = rows([0.1, 0.11], system="A", metric=metric) + rows([0.2, 0.21], system="B", metric=metric)
    finding = examine(Claim("A beats B", "A", "B", metric), summarize(both))
    assert finding is not None and finding.gain == pytest.approx(0.1)


def test_claims_of_the_largest_profile_are_tabled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = dataclasses.replace(RECIPES["skips"], claims=RECIPES["skips"].claims[:1])
    monkeypatch.setattr(package, "folder", lambda: tmp_path)
    assert findings(recipe) == []
    better, worse = recipe.claims[0].better, recipe.claims[0].worse
    for profile, values in (("quick", [0.5, 0.6]), ("course", [0.1, 0.2])):
        both = rows(values, system=better, recipe="skips", profile=profile)
        both += rows([value + 0.3 for value in values], system=worse, recipe="skips", profile=profile)
        merge(tmp_path / f"skips.{profile}.csv", both)
    (claim,) = claims(findings(recipe))
    assert claim["should be better"] == "rgb, skips: 0.15" and claim["than"] == "rgb, no skips: 0.45"
    assert claim["gain"] == pytest.approx(0.3) and claim["verdict"] == CONFIRMED and claim["seeds"] == 2
    assert {k: claim[k] for k in ("claim", "said by", "gain", "verdict")}.items() <= claims_of("skips")[0].items()
    assert (
        claims_of("skips", about=("paints", "never")) == claims_of("skips") and claims_of("skips", about=("UV",)) == []
    )
    assert claims_of("slr") == []


def test_two_metrics_of_one_system() -> None:
    claim = Claim("green is right more often than red", "A", "A", "accuracy green", "accuracy red")
    both = rows([0.5, 0.52], system="A", metric="accuracy green") + rows([0.4, 0.41], system="A", metric="accuracy red")
    result = examine(claim, summarize(both))
    assert result is not None and result.gain == pytest.approx(0.105)
    assert claims([result])[0]["metric"] == "accuracy green against accuracy red"


def test_printed_gains_of_one_system_over_another() -> None:
    """Qureshi's Table 3 prints by how many percent the U-Net improves each score; ECS171 prints a ratio."""

    def both(better: float, worse: float, metric: str = "mse", recipe: str = "qureshi", **names: str) -> list[Measured]:
        a = rows([better], recipe=recipe, system=names.get("a", "regression U-Net"), metric=metric)
        b = rows([worse], recipe=recipe, system=names.get("b", "regression CNN"), metric=metric)
        return summarize(a + b)

    qureshi = RECIPES["qureshi"]
    assert {gain.verdict for gain in gains(qureshi, [])} == {"not measured yet"}
    mse = gains(qureshi, both(0.0038, 0.0067))[0]
    assert mse.metric == "mse improvement percent" and mse.printed == 43.75
    assert mse.mean == pytest.approx(43.28, abs=0.01) and mse.sd is None and mse.verdict == WITHIN
    assert mse.gray == pytest.approx(100 * (1 - 0.006 / 0.0067))
    assert gains(qureshi, both(0.0060, 0.0067))[0].verdict == SMALLER
    assert gains(qureshi, both(0.0010, 0.0067))[0].verdict == LARGER
    psnr = next(g for g in gains(qureshi, both(26.04, 22.56, "psnr_mean")) if g.metric == "psnr improvement percent")
    assert psnr.mean == pytest.approx(15.43, abs=0.01) and psnr.verdict == WITHIN
    for better, said in ((24.0, SMALLER), (25.95, WITHIN), (28.8, LARGER)):  # .09 dB, not a share of the decibels
        found = gains(qureshi, both(better, 22.56, "psnr_mean"))
        assert next(g.verdict for g in found if g.metric == "psnr improvement percent") == said

    slr = dataclasses.replace(RECIPES["slr"], claims=RECIPES["slr"].claims[:1])
    names = {"a": "printed, hybrid", "b": "printed, baseline"}
    ratio = gains(slr, both(0.005827, 0.007763, recipe="slr", **names))[0]
    assert ratio.metric == "mse ratio" and ratio.mean == pytest.approx(0.7506, abs=1e-4)
    assert ratio.verdict == NOT_COMPARABLE, "quick looks at other images"
    (relation,) = slr.claims
    comparable = dataclasses.replace(
        slr, claims=(dataclasses.replace(relation, printed=PrintedGain(relation.printed.system)),)
    )
    assert gains(comparable, both(0.005827, 0.007763, recipe="slr", **names))[0].verdict == WITHIN
    assert gains(comparable, both(0.004, 0.008, recipe="slr", **names))[0].verdict == LARGER  # a smaller ratio
    for better in (0.0056, 0.0058, 0.0062):  # a ratio and a percent of one result say the same
        assert len({gain.verdict for gain in gains(comparable, both(better, 0.007763, recipe="slr", **names))}) == 1


def test_the_band_of_a_gain_grows_with_the_scatter() -> None:
    a, b = [0.0040, 0.0036, 0.0044], [0.0067, 0.0067, 0.0067]
    found = gains(
        RECIPES["qureshi"],
        summarize(
            rows(a, recipe="qureshi", system="regression U-Net") + rows(b, recipe="qureshi", system="regression CNN")
        ),
    )[0]
    assert found.values == pytest.approx([100 * (1 - better / 0.0067) for better in a])
    half = stats.t.ppf(0.975, 2) * stats.tstd(found.values) * math.sqrt(4 / 3)
    assert half > 100 * 0.02 * math.sqrt(2) and abs(found.mean - 43.75) < half and found.verdict == WITHIN
