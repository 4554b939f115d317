"""A whole class: everyone gets what they deserve, twice the same, after a kill -9 as well; and how fast it is."""

import csv
import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from class_of import LAB, Deserved, class_of

from labkit.course.labs import list_labs
from labkit.errors import LabkitError
from labkit.grading.bounded import Bounded
from labkit.grading.handed_in import Submission
from labkit.grading.nbval_grader import Grader, Job, Runs
from labkit.grading.plan import CHECK, make_plan
from labkit.grading.sandbox import best_tier
from labkit.grading.submission import parse
from labkit.grading.template import read_template
from labkit.ledger import Ledger


def built() -> bool:
    try:
        return any(lab.number == LAB for lab in list_labs())
    except LabkitError:
        return False


pytestmark = [
    pytest.mark.skipif(not built(), reason="lab 01 is not built"),
    pytest.mark.skipif(not best_tier().safe, reason="this machine has no safe sandbox"),
]


def command(folder: Path, out: Path, *options: str) -> list[str]:
    code = "import sys; from labkit.cli import main; main(sys.argv[1:])"
    return [sys.executable, "-c", code, "grade", LAB, str(folder), "--out", str(out), "--seed", "5", *options]


def grades(out: Path) -> dict[str, Deserved]:
    with (out / "gradebook.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {row["student_id"]: Deserved(row["status"], int(row["score"]) if row["score"] else None) for row in rows}


def grade_killed_and_resumed(folder: Path, out: Path, after: int) -> None:
    """Start grading, kill it with -9 once ``after`` are done, and let another go on."""
    process = subprocess.Popen(command(folder, out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    ledger = Ledger(out / "ledger.jsonl")
    until = time.monotonic() + 300
    while len(ledger.entries()) < after and process.poll() is None and time.monotonic() < until:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = len(ledger.entries())
    assert after <= done and not (out / "gradebook.csv").exists()
    subprocess.run(command(folder, out, "--resume"), check=True, capture_output=True)
    assert len({entry.key for entry in ledger.entries()}) == len(list(folder.glob("*.ipynb")))
    assert len(ledger.entries()) == len(list(folder.glob("*.ipynb")))  # none was graded twice


@pytest.mark.slow
def test_a_small_class_killed_and_resumed(tmp_path: Path) -> None:
    deserved = class_of(8, tmp_path / "in", seed=3)
    grade_killed_and_resumed(tmp_path / "in", tmp_path / "out", after=2)
    assert grades(tmp_path / "out") == deserved


@pytest.mark.slow
def test_a_hundred_twice_with_equal_gradebooks_once_killed_half_way(tmp_path: Path) -> None:
    deserved = class_of(100, tmp_path / "in")
    start = time.monotonic()
    subprocess.run(command(tmp_path / "in", tmp_path / "one"), check=True, capture_output=True)
    seconds = time.monotonic() - start
    grade_killed_and_resumed(tmp_path / "in", tmp_path / "two", after=50)
    assert grades(tmp_path / "one") == deserved
    for name in ("gradebook.csv", "junit.xml", "summary.html"):  # the same seed, so the same inputs
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    print(f"100 submissions in {seconds:.0f} s")


@pytest.mark.slow
def test_at_least_three_times_as_fast_as_plain_nbval(tmp_path: Path) -> None:
    """A submission's share of grading 40, beside that of plain serial `pytest --nbval-lax` on 10 skeletons."""
    deserved = class_of(40, tmp_path / "in", seed=1)
    template = read_template(LAB)
    plain = tmp_path / "plain"
    plain.mkdir()
    for student in [name for name, what in deserved.items() if what.status == "graded"][:10]:
        path = tmp_path / "in" / f"{student}.ipynb"
        plan = make_plan(parse(path.name, path.read_bytes()), template)
        job = Job(Submission(student, (path,)), template, "", "", 30, 600, "", {})
        grader = Grader(Runs(job, plan, {}, Bounded({}), math.inf), False, {})
        skeleton = grader.skeleton()
        names = {task.key: task.name for task in template.tasks}
        for step, cell in zip(grader.steps, skeleton["cells"], strict=True):  # the labs' own checks, as students run
            if step.kind == CHECK:
                cell["source"] = f'check("{step.key}", {names[step.key]})'
        (plain / path.name).write_text(json.dumps({**skeleton, "metadata": {"kernelspec": {"name": "python3"}}}))
    began = time.monotonic()
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "--nbval-lax",
            "-q",
            "-p",
            "no:cacheprovider",
            "-c",
            os.devnull,
            "--rootdir=.",
            ".",
        ],
        cwd=plain,
        capture_output=True,
        check=False,
    )
    theirs = (time.monotonic() - began) / 10
    began = time.monotonic()
    subprocess.run(command(tmp_path / "in", tmp_path / "out"), check=True, capture_output=True)
    ours = (time.monotonic() - began) / 40
    print(f"a submission: plain nbval {theirs:.2f} s, labkit grade {ours:.2f} s, {theirs / ours:.1f} times as fast")
    assert grades(tmp_path / "out") == deserved
    assert ours < theirs / 3
