"""The papers' numbers as data: complete, strict, found in a checkout and in a wheel."""

from pathlib import Path

import pytest

from labkit import LabkitError
from labkit.experiments import published as package
from labkit.experiments.published import COLUMNS, PAPERS, Row, published, read


def value(paper: str, system: str, metric: str) -> float | None:
    (row,) = [row for row in published(paper, system=system, metric=metric)]
    return row.value


def test_every_paper_is_there():
    assert [paper for paper in PAPERS if not published(paper)] == []
    assert {row.paper for row in published()} == set(PAPERS)


@pytest.mark.parametrize(
    ("paper", "system", "metric", "printed"),
    [
        ("qureshi", "regression U-Net", "mse", 0.0038),
        ("qureshi", "regression CNN", "psnr", 22.56),
        ("qureshi", "classification CNN", "mse", 0.0067),
        ("qureshi", "classification U-Net", "ssim", 0.8568),
        ("qureshi", "regression U-Net against CNN", "mae improvement percent", 31.35),
        ("qureshi", "regression U-Net", "epochs", 40),
        ("dalban", "U-Net LAB", "psnr", 19.0),
        ("dalban", "U-Net classification", "million parameters", 20.5),
        ("dalban", "CNN baseline", "alpha", 0.7),
        ("ecs171", "baseline, CIFAR-10", "mse", 0.007763),
        ("ecs171", "hybrid, STL-10", "mse", 0.005577),
        ("ecs171", "Flowers102", "mse improvement percent", 26.73),
        ("ecs171", "all data sets", "mse ratio", 0.931),
        ("gan", "GAN", "mistaken for true, percent", 40.69),
        ("gan", "classification", "training hours", 4.5),
        ("gan", "user study", "raters", 16),
        ("zhuang", "all", "training images", 40000),
    ],
)
def test_spot_values(paper, system, metric, printed):
    assert value(paper, system, metric) == printed


def test_claims_without_a_number():
    (row,) = published("zhuang", system="U-Net UV")
    assert row.value is None
    assert "lower" in row.claim


def test_whole_tables():
    assert len(published("qureshi", table="3")) == 12
    assert len(published("qureshi", table="6")) == 12
    assert len(published("ecs171", table="2")) == 9
    assert len(published("dalban", table="results", metric="psnr")) == 4


def test_filters_combine():
    assert published("qureshi", table="3", system="classification CNN") == []
    assert {row.metric for row in published(metric="mse")} == {"mse"}
    assert len(published()) == sum(len(published(paper)) for paper in PAPERS)


def test_no_two_rows_say_the_same():
    keys = [(row.paper, row.table, row.system, row.metric) for row in published()]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ({"paper": "quershi"}, "paper 'quershi': choose from qureshi, dalban"),
        ({"paper": "qureshi", "metric": "psnrr"}, "metric 'psnrr': choose from .*psnr"),
        ({"system": "GANN"}, "system 'GANN'"),
        ({"paper": "gan", "table": "7"}, "table '7': choose from text"),
    ],
)
def test_a_name_that_no_row_has(filters, message):
    with pytest.raises(LabkitError, match=message):
        published(**filters)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("qureshi,3,a,mse,0.1,,", "line 2: place is empty"),
        ("qureshi,3,a,,0.1,,Table 3", "line 2: metric is empty"),
        ("qureshi,3,a,mse,0.1,Table 3", "line 2: 7 fields expected, got 6"),
        ("dalban,3,a,mse,0.1,,Table 3", "line 2: paper must be 'qureshi'"),
        ("qureshi,3,a,mse,.0x67,,Table 3", "line 2: value must be a number or empty, got '.0x67'"),
        ("qureshi,3,a,mse,nan,,Table 3", "line 2: value must be finite"),
        ("qureshi,3,a,mse,,,Table 3", "line 2: value or claim must be given"),
    ],
)
def test_a_bad_row_is_named(tmp_path, line, message):
    path = tmp_path / "qureshi.csv"
    path.write_text(",".join(COLUMNS) + "\n" + line + "\n", encoding="utf-8")
    with pytest.raises(LabkitError, match=message) as caught:
        read(path)
    assert str(path) in str(caught.value)


def test_a_bad_file_is_named(tmp_path):
    path = tmp_path / "qureshi.csv"
    with pytest.raises(LabkitError, match=r"qureshi\.csv: cannot be read"):
        read(path)
    path.write_text("paper,value\n", encoding="utf-8")
    with pytest.raises(LabkitError, match="line 1: the header must be"):
        read(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(LabkitError, match=r"qureshi\.csv"):
        read(path)


def test_the_packaged_copy_is_found_without_a_checkout(tmp_path, monkeypatch):
    copy = tmp_path / "site" / "labkit" / "_published"
    copy.mkdir(parents=True)
    for path in package.folder().glob("*.csv"):
        (copy / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr("labkit.artifacts.__file__", str(copy.parent / "artifacts.py"))
    assert package.folder() == copy
    (copy / "qureshi.csv").unlink()
    package._all_rows.cache_clear()
    with pytest.raises(LabkitError, match=r"qureshi.csv is missing.* install labkit again"):
        published()
    monkeypatch.undo()
    package._all_rows.cache_clear()


def test_rows_are_plain_and_frozen():
    row = published("qureshi")[0]
    assert isinstance(row, Row)
    with pytest.raises(AttributeError):
        row.value = 1.0  # type: ignore[misc]
    assert Path(package.folder()).is_dir()
