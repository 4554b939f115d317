"""Measured rows: written once for each key, read strictly, put together over seeds."""

import dataclasses
import math
from pathlib import Path

import pytest
from measured_rows import ROW, ours, rows
from scipy import stats

from labkit import LabkitError
from labkit.experiments import measured as package
from labkit.experiments.comparability import settings_digits
from labkit.experiments.measured import COLUMNS, measured, merge, read, summarize
from labkit.experiments.recipes import RECIPES


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
    assert (
        one.images == 1000
        and ours([1.0], metric="validation mse, epoch 2", data="9 train, 483 validation, 7 test").images == 483
    )
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
        ("skips,x", "line 2: 18 fields expected, got 2"),
        ("a,b,mse,quick,0,high,1,,1,1,cpu,1,t,l,d,x,c,s", "line 2: could not convert string to float: 'high'"),
        ("a,b,mse,quick,zero,1,1,,1,1,cpu,1,t,l,d,x,c,s", "line 2: invalid literal"),
        ("a,b,mse,quick,0,nan,1,,1,1,cpu,1,t,l,d,x,c,s", "line 2: value must be finite"),
        ("a,b,mse,quick,0,1,1,,1,1,cpu,1,t,l,d,x,c,s\na,b,mse,quick,0,2,1,,1,1,cpu,1,t,l,d,x,c,s", "stand there twice"),
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
        names = [decoding.name for decoding in recipe.decodings]
        assert row.system in names and row.profile in recipe.profiles and row.profile != "test"
        assert row.command.startswith(f"labkit reproduce {row.recipe} --profile {row.profile}")
        assert row.metric != "mse" or 0 < row.mean < 1


def test_a_committed_file_is_named_after_its_rows() -> None:
    place = package.folder()
    assert place is not None
    for path in place.glob("*.csv"):
        assert {f"{row.recipe}.{row.profile}.csv" for row in read(path)} == {path.name}


def test_every_row_says_how_it_was_made() -> None:
    """Its command measures it again: with the settings that the recipe has now, and not those of an older one."""
    place = package.folder()
    assert place is not None
    stale, digits = set(), {}
    for file in sorted(place.glob("*.csv")):
        for row in read(file):
            assert file.name == f"{row.recipe}.{row.profile}.csv"
            assert row.command.startswith(f"labkit reproduce {row.recipe} --profile {row.profile} --seeds ")
            assert row.seed < int(row.command.split()[-1])
            assert row.device and row.torch and row.labkit and row.data and row.date[:2] == "20" and row.threads > 0
            key = (row.recipe, row.system, row.profile)
            if key not in digits:
                digits[key] = settings_digits(RECIPES[row.recipe], row.system, row.profile)
            if row.settings != digits[key]:
                stale.add(key)
    assert not stale, "measure them again, or remove their rows"
