"""The ledger keeps what it was told, whatever happened to its last line."""

import threading
from pathlib import Path

import pytest
from pydantic import ValidationError

from labkit import artifacts
from labkit.ledger import Entry, Ledger


def entry(key: str = "01", **changes: object) -> Entry:
    return Entry.model_validate({"kind": "run", "key": key, "input_hash": "h", "status": "ok", **changes})


def test_entries_come_back_in_order(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "deep" / "ledger.jsonl")
    assert ledger.entries() == []
    written = [entry("01"), entry("02", status="failed", note="line\nbreak", kind="grade")]
    for one in written:
        ledger.append(one)
    assert ledger.entries() == written
    assert ledger.entries("grade") == written[1:]
    assert {"labkit", "python", "torch"} <= set(written[0].environment)


@pytest.mark.parametrize("keep", [1, 20, -1])
def test_a_torn_last_line_costs_only_itself(tmp_path: Path, keep: int) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.append(entry("01"))
    whole = ledger.path.read_bytes()
    ledger.path.write_bytes(whole + whole[:keep])
    torn = 1 if keep == -1 else 0  # all there but the line's end: still readable
    assert [e.key for e in ledger.entries()] == ["01"] * (1 + torn)
    ledger.append(entry("03"))
    assert [e.key for e in ledger.entries()] == ["01"] * (1 + torn) + ["03"]


def test_done_wants_same_input_good_status_and_the_output(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    artifacts.write_text(tmp_path / "out.txt", "result")
    good = entry("01", output="out.txt", output_sha256=artifacts.sha256(tmp_path / "out.txt"))
    ledger.append(good)
    assert ledger.done("run", "01", "h") == good
    assert ledger.done("run", "01", "other input") is None
    assert ledger.done("run", "02", "h") is None
    assert ledger.done("grade", "01", "h") is None

    (tmp_path / "out.txt").write_text("changed")
    assert ledger.done("run", "01", "h") is None
    (tmp_path / "out.txt").unlink()
    assert ledger.done("run", "01", "h") is None

    artifacts.write_text(tmp_path / "out.txt", "result")
    ledger.append(entry("01", status="failed"))
    assert ledger.done("run", "01", "h") is None


def test_several_writers_do_not_mix_lines(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    note = "x" * 5000

    def write(key: str) -> None:
        for _ in range(10):
            ledger.append(entry(key, note=note))

    threads = [threading.Thread(target=write, args=(str(number),)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ledger.entries()) == 40


def test_wrong_records_are_refused() -> None:
    with pytest.raises(ValidationError):
        entry(status="perhaps")
    with pytest.raises(ValidationError):
        entry(seconds=-1)
