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
