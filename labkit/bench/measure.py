"""Time contestants in turn, and say what limits the first of them.

A machine that is busy, hot or shared changes its speed from minute to minute. Contestants that take turns are slowed
alike, so the ratio of a pair of neighboring times says more than either time.
"""

from __future__ import annotations

import multiprocessing
import re
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

from labkit.bench.report import Limits, Row
from labkit.device import pick_precision
from labkit.errors import LabkitError

# Does its work once. It returns what is compared, if that is not the seconds that the call takes.
Contestant: TypeAlias = Callable[[], "float | None"]

# Operators whose time goes into arithmetic; all others move numbers.
ARITHMETIC = re.compile(r"conv|mm|pow|exp|softmax")
MATMUL_SIDE = 2048
PRELOADED = ["labkit.bench.training", "torch._dynamo"]  # optimizers import the latter when they are first used


@dataclass(frozen=True)
class Settings:
    """What every part of the bench is told.

    Attributes:
        repeats: rounds of each comparison.
        quick: take fewer and smaller images.
        data_root: where data sets are.
    """

    repeats: int = 5
    quick: bool = False
    data_root: Path | None = None


def take_turns(
    contestants: Mapping[str, Contestant], repeats: int, *, warm_up: bool = True, title: str = ""
) -> dict[str, list[float]]:
    """Run contestants in turn, A B C A B C ..., with a progress bar on standard error.

    Args:
        contestants: by name.
        repeats: rounds that count.
        warm_up: run a round before them: workers start, files are cached, memory is taken.
        title: of the progress bar.

    Returns: for each name what each round gave: seconds, or what the contestant returned.
    """
    amounts: dict[str, list[float]] = {name: [] for name in contestants}
    for count in tqdm(range(-1 if warm_up else 0, repeats), desc=title, unit="round", leave=False, file=sys.stderr):
        for name, run in contestants.items():
            began = time.perf_counter()
            returned = run()
            seconds = time.perf_counter() - began
            if count >= 0:
                amounts[name].append(seconds if returned is None else returned)
    return amounts


def compare(
    part: str,
    task: str,
    contestants: Mapping[str, Contestant],
    repeats: int,
    *,
    unit: str = "s",
    warm_up: bool = True,
    operators: bool = True,
) -> Iterator[Row]:
    """Compare the first contestant with each of the others.

    Args:
        part: of the bench.
        task: what all contestants do.
        contestants: by name; the first is labkit's.
        repeats: rounds.
        unit: of what is compared.
        warm_up: see `take_turns`.
        operators: whether the first contestant's time goes into operators of torch in this process, so that they say
            what limits it.

    Yields: a row for each of the others.
    """
    amounts = take_turns(contestants, repeats, warm_up=warm_up, title=f"{part}: {task}")
    (name, run), *others = contestants.items()
    limits = find_limits(run, statistics.median(amounts[name])) if operators else None
    for other, _ in others:
        pair = (name, other)
        yield Row(part=part, task=task, names=pair, unit=unit, amounts=(amounts[name], amounts[other]), limits=limits)


def find_limits(run: Contestant, seconds: float) -> Limits:
    """Find out where a contestant's time goes, by running it once more.

    Args:
        run: the contestant.
        seconds: that it takes undisturbed.

    Returns: the fractions of its time that go into arithmetic, into moving numbers, and into what is left: Python and
        the choice of each operator. And its convolutions and matrix products as a fraction of the measured peak.
    """
    with _Stopwatch(), FlopCounterMode(display=False):
        torch.ones(1).clone()  # at its first operator such a context imports modules for seconds
    with _Stopwatch() as spent, FlopCounterMode(display=False) as counter:
        run()
    operations = counter.get_total_flops()
    whole = max(seconds, spent.arithmetic + spent.memory)  # this run may have been the slower one
    arithmetic, memory = spent.arithmetic / whole, spent.memory / whole
    peak = operations / seconds / matmul_peak() if operations else None
    return Limits(arithmetic=arithmetic, memory=memory, Python=max(0.0, 1 - arithmetic - memory), peak=peak)


class _Stopwatch(TorchDispatchMode):
    """Sums the seconds that torch's operators take, by kind.

    torch's profiler knows them as well, but writes lines of its own to standard error.
    """

    arithmetic = memory = 0.0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operator, forward or backward."""
        began = time.perf_counter()
        result = func(*args, **(kwargs or {}))
        seconds = time.perf_counter() - began
        if ARITHMETIC.search(str(func)):
            self.arithmetic += seconds
        else:
            self.memory += seconds
        return result


@cache
def matmul_peak(repeats: int = 10) -> float:
    """Return the most floating-point operations a second that this machine reaches in a large matrix product.

    In the number format that labkit trains in here: bf16 where the CPU multiplies it, else float32.
    """
    dtype = torch.bfloat16 if pick_precision("auto", torch.device("cpu")) == "bf16" else torch.float32
    a = torch.ones(MATMUL_SIDE, MATMUL_SIDE, dtype=dtype)

    def multiply() -> None:
        a @ a

    return 2 * MATMUL_SIDE**3 / min(take_turns({"": multiply}, repeats, title="peak of matmul")[""])


def peak_memory() -> tuple[int, int]:
    """Return the bytes that this process holds now, and the most that it ever held.

    Read from Linux: ``resource.getrusage`` counts what the parent held when it started this process, too.

    Raises:
        LabkitError: on another system.
    """
    if not sys.platform.startswith("linux"):
        raise LabkitError(f"memory is measured on Linux only. Got {sys.platform}")
    text = Path("/proc/self/status").read_text(encoding="utf-8", errors="replace")
    now, most = (int(re.findall(rf"{name}:\s*(\d+) kB", text)[0]) * 1024 for name in ("VmRSS", "VmHWM"))
    return now, most


def in_fresh_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a process that has imported what trains, but held nothing else; for `peak_memory`.

    Raises:
        LabkitError: not on Linux.
    """
    peak_memory()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(function, *arguments).result()
