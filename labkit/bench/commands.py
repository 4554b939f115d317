"""Whole commands, each in a process of its own: start-up, grading, and the course."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from labkit.bench.measure import Contestant, Settings, compare
from labkit.bench.report import Row
from labkit.course.labs import find_lab
from labkit.errors import LabkitError
from labkit.grading.sandbox import best_tier
from labkit.machine import cores

LAB = "01"
LABKIT = (sys.executable, "-m", "labkit")
NBVAL = (sys.executable, "-m", "pytest", "--nbval-lax", "-q", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir=.")


def command(*words: str, cwd: Path | None = None, may_fail: bool = False) -> float:
    """Run a command and wait for it, with the test profile for what does not name another.

    Args:
        words: the command.
        cwd: folder to run it in.
        may_fail: an exit status above 0 is no error.

    Returns: the seconds it took.

    Raises:
        LabkitError: it failed; with the last line that it wrote.
    """
    began = time.perf_counter()
    environment = os.environ | {"LABKIT_PROFILE": "test"}
    done = subprocess.run(words, cwd=cwd, capture_output=True, text=True, env=environment, check=False)
    if done.returncode and not may_fail:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise LabkitError(f"{' '.join(words[1:])} failed: {' '.join(last)}")
    return time.perf_counter() - began


def start_up(settings: Settings) -> Iterator[Row]:
    """Compare what a user waits for before anything happens with the import of torch."""
    tasks = {
        "labkit --help": (*LABKIT, "--help"),
        "import labkit": (sys.executable, "-c", "import labkit"),  # which imports torch only when it is needed
        "make a colorizer": (sys.executable, "-c", "import labkit; labkit.Colorizer()"),
    }
    for task, words in tasks.items():
        contestants = {
            "labkit": partial(command, *words),
            "import torch": partial(command, sys.executable, "-c", "import torch"),
        }
        yield from compare("start-up", task, contestants, settings.repeats, operators=False)


def grading(settings: Settings) -> Iterator[Row]:
    """Compare grading student notebooks of a lab, unanswered, with running them in nbval; time for each of them."""
    count, few = (4, 1) if settings.quick else (20, 2)  # nbval's time for one does not depend on their number
    unsafe = [] if best_tier().safe else ["--unsafe"]  # nothing here is hostile

    with tempfile.TemporaryDirectory() as temporary:
        handed_in, plain = Path(temporary) / "handed in", Path(temporary) / "plain"
        for folder, number in ((handed_in, count), (plain, few)):
            folder.mkdir()
            for index in range(number):
                shutil.copy(find_lab(LAB).path, folder / f"s{index:03d}.ipynb")

        def grade() -> float:
            with tempfile.TemporaryDirectory() as out:
                return command(*LABKIT, "grade", LAB, str(handed_in), "--out", f"{out}/grades", *unsafe) / count

        contestants: dict[str, Contestant] = {
            "labkit": grade,
            "nbval": lambda: command(*NBVAL, cwd=plain, may_fail=True) / few,
        }
        task = f"a submission of lab {LAB}, of {count} with labkit, of {few} with nbval"
        yield from compare("grading", task, contestants, settings.repeats, operators=False)


def course(settings: Settings) -> Iterator[Row]:
    """Compare all labs with the test profile side by side, as many as the machine holds, with one after the other."""

    def labs(*options: str) -> float:
        with tempfile.TemporaryDirectory() as out:
            return command(*LABKIT, "run", "--profile", "test", "--out", f"{out}/runs", *options)

    contestants: dict[str, Contestant] = {"labkit": labs, "one after the other": partial(labs, "--jobs", "1")}
    task = f"all labs with the test profile, side by side on {cores()} cores"
    repeats = 1 if settings.quick else min(settings.repeats, 3)  # each takes minutes
    yield from compare("course", task, contestants, repeats, warm_up=False, operators=False)
