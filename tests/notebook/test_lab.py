"""begin() and Lab, in a plain process and (where papermill injects) through the cells that ran."""

import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from labkit import LabkitError
from labkit.notebook import lab
from labkit.notebook.lab import RESULTS_MIME, Lab, begin, format_cell, resolve_profile

CELL = 'profile: str = "auto"  # which\nseed: int = 0\nalpha: float = 0.5\ndataset: str = "auto"\n'


@pytest.fixture(autouse=True)
def no_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LABKIT_PROFILE", raising=False)


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[dict]:
    bundles: list[dict] = []
    monkeypatch.setattr(lab, "publish", bundles.append)
    return bundles


def make(profile: str = "quick") -> Lab:
    return Lab("01_x", profile, "toyworld", 0, torch.device("cpu"))


def test_profiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_profile("auto") == "quick"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert resolve_profile("auto") == "course"
    monkeypatch.setenv("LABKIT_PROFILE", "test")
    assert resolve_profile("auto") == "test"
    assert resolve_profile("gpu") == "gpu"
    with pytest.raises(LabkitError, match="test, quick, course, gpu, auto, got 'fast'"):
        resolve_profile("fast")
    monkeypatch.setenv("LABKIT_PROFILE", "fast")
    with pytest.raises(LabkitError, match="LABKIT_PROFILE"):
        resolve_profile("auto")


def test_begin_seeds_everything_and_says_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    drawn = []
    for _ in range(2):
        started = begin("01_x", profile="quick", seed=3)
        drawn.append((random.random(), float(np.random.rand()), float(torch.rand(()))))
    assert drawn[0] == drawn[1]
    assert (started.profile, started.dataset, started.seed) == ("quick", "toyworld", 3)
    assert capsys.readouterr().out.splitlines()[0].startswith("01_x: profile quick, data toyworld, seed 3, on ")


def test_dataset_auto_follows_the_profile() -> None:
    assert begin("01_x", profile="course").dataset == "cifar10"
    assert begin("01_x", profile="test").dataset == "toyworld"
    assert begin("01_x", profile="test", dataset="photos").dataset == "photos"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"profile": "fast"}, "profile must be one of"),
        ({"dataset": "mnist"}, "dataset must be one of toyworld"),
        ({"seed": -1}, "seed must be a whole number"),
        ({"seed": True}, "seed must be a whole number"),
    ],
)
def test_begin_refuses_wrong_values(given: dict, message: str) -> None:
    with pytest.raises(LabkitError, match=message):
        begin("01_x", **given)


@pytest.mark.parametrize(
    ("injected", "message"),
    [
        ("alhpa = 0.5", "01_x has no parameter 'alhpa'; did you mean alpha"),
        ('alpha = "0.5"', "alpha must be a number"),
        ("seed = True", "seed must be a whole number"),
        ("seed = 1.5", "seed must be a whole number"),
        ('profile = "fast"', "profile must be one of"),
    ],
)
def test_injected_parameters_are_refused(injected: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = ["import torch", CELL, f"# Parameters\n{injected}\n", "lab = begin(...)"]
    monkeypatch.setattr(lab, "_history", lambda: cells)
    given = {"profile": "auto", "seed": 0, "alpha": 0.5, "dataset": "auto"}
    name, _, value = injected.partition(" = ")
    if name in given:
        given[name] = eval(value)
    with pytest.raises(LabkitError, match=message):
        begin("01_x", **given)


def test_injected_int_for_a_float_is_fine_and_old_cells_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    cells = [CELL, "# Parameters\nalhpa = 1\n", CELL, "# Parameters\nalpha = 1\n", "x: int = 3"]
    monkeypatch.setattr(lab, "_history", lambda: cells)
    started = begin("01_x", profile="quick", alpha=1)
    assert started.parameters["alpha"] == 1.0 and type(started.parameters["alpha"]) is float


def test_nan_injected_as_a_call_is_understood() -> None:
    declared, injected = lab._parameter_cells([CELL, "# Parameters\nalpha = float('nan')\n"])
    assert [p.name for p in declared] == ["profile", "seed", "alpha", "dataset"]
    assert injected["alpha"] != injected["alpha"]


@pytest.mark.parametrize(
    "cell",
    [
        "# Parameters of my experiment\nbeta = 3\nalpha = 'x'",
        "# Parameters of my experiment\nbeta = = 3",
        "# Parameters:\nbeta = 3",
        "# Parameters\nbeta = = 3",
        "# Parameters\nbeta = alpha + 1",
        "# Parameters\nimport torch\nbeta = 3",
        "# Parameters\nfor beta in range(3): pass",
        "# Parameters\nbeta = {[]: 1}",
        "# Parameters\nbeta = float(input())",
        "# Parameters\nbeta: int = 3\n",
        "%matplotlib inline\n# Parameters\nbeta = 3",
        " # Parameters\n beta = 3",
        "beta = '\\d' # Parameters",
        "beta = \0",
        "beta = " + "(" * 5000,
        "beta = " + "-" * 100_000 + "1",
        "",
    ],
)
@pytest.mark.filterwarnings("error")
def test_a_cell_of_the_students_own_is_no_injection(cell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for cells in ([CELL, cell], [cell, CELL], [CELL, "import torch", cell], [CELL, cell, CELL]):
        monkeypatch.setattr(lab, "_history", lambda cells=cells: cells)
        assert begin("01_x", profile="quick", alpha=0.25).parameters["alpha"] == 0.25


def test_only_the_cell_after_the_parameters_is_papermills(monkeypatch: pytest.MonkeyPatch) -> None:
    own = "# Parameters\nbeta = 3"
    monkeypatch.setattr(lab, "_history", lambda: ["import torch", CELL, "lab = begin(...)", own])
    assert begin("01_x", profile="quick").profile == "quick"


def test_a_students_cell_that_looks_like_parameters_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    own = 'profile: str = "mine"\nbeta: int = 3'
    for cells in ([own, CELL], [CELL, own], [CELL, "# Parameters\nalpha = 1\n", own]):
        monkeypatch.setattr(lab, "_history", lambda cells=cells: cells)
        assert begin("01_x", profile="quick", seed=1, alpha=1.0).seed == 1


def test_a_table_is_printed_under_any_encoding() -> None:
    code = (
        "from labkit.notebook.lab import Lab\n"
        "lab = Lab('x', 'quick', 'toyworld', 0, None)\n"
        "lab.table([{'a': None, 'b\\u4e2d': 'caf\\udce9'}], 'T', 'k'); lab.record(x='\\u4e2d')"
    )
    environment = {**os.environ, "PYTHONIOENCODING": "ascii:strict"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert "caf\\udce9" in done.stdout and "x = \\u4e2d" in done.stdout


def test_choose() -> None:
    everything = {"test": 1, "quick": 2, "course": 3, "gpu": 4}
    assert [make(p).choose(**everything) for p in everything] == [1, 2, 3, 4]
    assert [make(p).choose(quick=2, course=3) for p in everything] == [2, 2, 3, 3]
    assert [make(p).choose(test=1, quick=None) for p in everything] == [1, None, None, None]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0038534, "0.003853"),
        (0.0038, "0.0038"),
        (24.123456, "24.12"),
        (12345.67, "12346"),
        (0, "0"),
        (0.0, "0"),
        (-0.5, "-0.5"),
        (1.2e-9, "1.2e-09"),
        (3, "3"),
        (100000, "100000"),
        (True, "yes"),
        (None, "–"),
        (float("nan"), "–"),
        (torch.tensor(0.25), "0.25"),
        (np.float32(0.1), "0.1"),
        ("as <given>", "as <given>"),
    ],
)
def test_format_cell(value: object, text: str) -> None:
    assert format_cell(value) == text


def test_table_is_accessible_escaped_and_collected(shown: list[dict]) -> None:
    rows = [{"model": "<gray>", "mse": 0.0051, "published": None}, {"model": "ours", "mse": torch.tensor(0.5)}]
    make().table(rows, "Scores & more", key="scores")
    [bundle] = shown
    table = bundle[RESULTS_MIME]["table"]
    assert table["key"] == "scores" and table["columns"] == ["model", "mse", "published"]
    assert table["rows"][1] == {"model": "ours", "mse": 0.5, "published": None}
    html = bundle["text/html"]
    assert "<caption" in html and "Scores &amp; more" in html and "&lt;gray&gt;" in html
    assert html.count('scope="col"') == 3 and html.count('scope="row"') == 2
    assert bundle["text/plain"].splitlines()[1] == "model      mse  published"


def test_record(shown: list[dict]) -> None:
    make().record(mse=torch.tensor(0.25), seconds=3)
    assert shown[0][RESULTS_MIME]["numbers"] == {"mse": 0.25, "seconds": 3}
    assert shown[0]["text/plain"] == "mse = 0.25\nseconds = 3"


def test_plain_script_prints(capsys: pytest.CaptureFixture[str]) -> None:
    make().table([{"a": 1}], "One", key="one")
    assert capsys.readouterr().out == "One\na\n1\n"


def test_papermill_injection_is_refused_in_one_line(tmp_path: Path) -> None:
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("papermill")
    cell = nbformat.v4.new_code_cell
    notebook = nbformat.v4.new_notebook(
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
        cells=[
            cell(CELL, metadata={"tags": ["parameters"]}),
            cell("from labkit.notebook.lab import begin\nlab = begin('01_x', profile=profile, seed=seed, alpha=alpha)"),
            cell("print('ran on')"),
        ],
    )
    nbformat.write(notebook, tmp_path / "in.ipynb")
    command = [sys.executable, "-m", "papermill", "in.ipynb", "out.ipynb", "-p", "alhpa", "0.5"]
    environment = {**os.environ, "LABKIT_PROFILE": "quick"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    executed = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    outputs = [output for one in executed.cells if one.cell_type == "code" for output in one.outputs]
    errors = [output for output in outputs if output.output_type == "error"]
    assert errors[0].traceback == [
        "ParameterError: 01_x has no parameter 'alhpa'; did you mean alpha? (it has: profile, seed, alpha, dataset)"
    ]
    assert not any("ran on" in output.get("text", "") for output in outputs)
