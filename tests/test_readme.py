"""The ten lines of README.md run as they are written."""

import re
from pathlib import Path

import pytest
import torch

import labkit as lk

README = Path(__file__).parents[1] / "README.md"


@pytest.fixture
def ten_lines() -> str:
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)
    found = [block for block in blocks if block.startswith("import labkit as lk")]
    if not found:
        pytest.skip("README.md has no Python block that begins with `import labkit as lk`")
    return found[0]


def run(text: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> float:
    """Run the lines in a folder that holds photo.jpg; the skill that they print."""
    monkeypatch.chdir(folder)
    photo = torch.rand(3, 60, 80, generator=torch.Generator().manual_seed(0))
    lk.save_image(photo, "photo.jpg")
    exec(compile(text, str(README), "exec"), {})
    with torch.no_grad():
        colored = lk.read_image("photo.png")
    assert colored.shape == photo.shape
    torch.testing.assert_close(lk.luma(colored), lk.luma(lk.read_image("photo.jpg")), atol=0.01, rtol=0)
    said = capsys.readouterr().out
    assert all(word in said for word in ("MSE", "SSIM", "ours", "gray"))
    return float(re.search(r"skill.*?(-?[\d.]+) +0$", said, flags=re.MULTILINE).group(1))  # type: ignore[union-attr]


@pytest.mark.slow
def test_with_another_data_set(
    ten_lines: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only the name of the data set is replaced, and its classes, which are others."""
    text, count = re.subn(r"""lk\.load\("cifar10"[^)]*\)""", 'lk.load("toyworld", classes="sky")', ten_lines)
    assert count == 1
    assert run(text, tmp_path, monkeypatch, capsys) > 0.5


@pytest.mark.slow
@pytest.mark.realdata
def test_as_written(
    ten_lines: str,
    real_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("LABKIT_DATA", str(real_data))
    assert run(ten_lines, tmp_path, monkeypatch, capsys) > 0.2


# Each number of "Five results", with where it comes from: recipe, system, metric, and how it is printed.
RESULTS = [
    ("labkit-best", "full resolution, 3 epochs, Muon", "mse", ".00347"),
    ("qureshi", "regression U-Net", "mse", ".00376"),
    ("qureshi", "regression CNN", "mse", ".00574"),
    ("bins", "24 RGB bins, mode", "mse", ".00544"),
    ("bins", "24 RGB bins, mean", "mse", ".00440"),
    ("bins", "150 chroma bins, mode", "mse", ".00440"),
    ("bins", "150 chroma bins, mean", "mse", ".00377"),
    ("zhuang", "simple, RGB", "mse", ".00552"),
    ("zhuang", "simple, UV", "mse", ".00508"),
    ("slr-transfer", "from the same, shrunk to 32 and enlarged", "mse", ".0148"),
    ("slr-transfer", "from CIFAR-10, enlarged", "mse", ".0228"),
]


@pytest.mark.parametrize(("recipe", "system", "metric", "printed"), RESULTS)
def test_the_five_results_are_those_measured(recipe: str, system: str, metric: str, printed: str) -> None:
    from labkit.experiments.measured import measured

    [row] = measured(recipe, system, metric, "quick")
    digits = len(printed) - 1
    assert f"{row.mean:.{digits}f}".lstrip("0") == printed
    results = README.read_text(encoding="utf-8").split("## Five results")[1].split("\n## ")[0]
    assert printed in results and f"labkit reproduce {recipe}" in results.replace(
        "reproduce qureshi skips", "reproduce qureshi"
    )
    assert len(row.seeds) == 3


def test_readme_is_short() -> None:
    lines = README.read_text(encoding="utf-8").splitlines()
    rows_of_labs = [line for line in lines if line.startswith("| [")]
    assert rows_of_labs and sum(len(line.split()) for line in lines if line not in rows_of_labs) <= 760
