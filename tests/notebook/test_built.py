"""What the student built is used where every check said right, and her piece of an earlier lab out of mine.py."""

import os
from pathlib import Path

import pytest
from tiny_lab import CHECKS

from labkit.checks import CheckFailed, check
from labkit.notebook.built import YOURS, mine, remember
from labkit.notebook.lab import Lab

LAB = Lab("90_tiny", "test", "toyworld", 0, None)  # type: ignore[arg-type]


def library() -> str:
    return "the library's"


def piece() -> str:
    return "hers"


def test_a_piece_that_no_check_has_seen_is_the_librarys() -> None:
    built = LAB.built(lambda: 0, otherwise=library)
    assert (built.piece, built.yours, built.label) == (library, False, "library (yours is not built yet)")


def test_every_check_of_a_piece_must_have_said_right() -> None:
    class Hers:
        pass

    remember(Hers, "90-first", True)
    built = LAB.built(Hers, otherwise=library)
    assert (built.piece, built.yours, built.label) == (Hers, True, YOURS)
    remember(Hers, "90-second", False)
    assert LAB.built(Hers, otherwise=library).piece is library
    remember(Hers, "90-second", True)  # mended without defining it anew
    assert LAB.built(Hers, otherwise=library).yours


@pytest.mark.parametrize("answer", [..., None, 3, [], "text"])
def test_what_is_no_function_or_class_is_not_built(answer: object) -> None:
    remember(answer, "90-first", True)
    assert not LAB.built(answer, otherwise=library).yours


def test_check_remembers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "checks.py").write_text(CHECKS)
    monkeypatch.setenv("LABKIT_CHECKS", str(tmp_path / "checks.py"))

    def right(x: float) -> float:
        return 2 * x

    def wrong(x: float) -> float:
        return x * x

    def stub(x: float) -> float:
        raise NotImplementedError("your answer here")

    check("90-double", right)
    check("90-double", stub)
    with pytest.raises(CheckFailed):
        check("90-double", wrong)
    assert [LAB.built(answer, otherwise=library).yours for answer in (right, stub, wrong)] == [True, False, False]


# mine.py


def test_her_piece_of_an_earlier_lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert LAB.mine("01-train", "train", otherwise=library).piece is library  # no mine.py
    (tmp_path / "mine.py").write_text('EXERCISES = ("01-train",)\ndef train():\n    return "hers"\nother = 1\n')
    built = LAB.mine("01-train", "train", otherwise=library)
    assert built.yours and built.piece() == "hers"
    assert not LAB.mine("01-train", "nothing", otherwise=library).yours
    assert not LAB.mine("01-other", "other", otherwise=library).yours  # of no exercise that she has done


def test_a_changed_file_counts_at_once(tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / "mine.py").write_text(f"value = {number}")
        os.utime(tmp_path / "mine.py", (number, number))
        assert mine("01-value", "value", None, tmp_path).piece == number


@pytest.mark.parametrize("text", ["def train(:", "import no_such_package", "raise SystemExit", "1 / 0"])
def test_a_file_that_cannot_be_imported_is_one_line(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.py").write_text(text)
    for _ in range(2):
        assert mine("01-train", "train", library, tmp_path).piece is library
    [line] = capsys.readouterr().out.splitlines()
    assert line.startswith("mine.py cannot be imported (") and line.endswith("the library's pieces are used")
