"""`--cluster`: workers do the jobs and this process writes; results are the serial ones, also when workers die."""

import io
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import nbformat
import psutil
import pytest
from dying_job import work
from nbformat.v4 import new_code_cell, new_notebook
from rich.console import Console

from labkit import LabkitError, cluster
from labkit.cluster import Home, connect
from labkit.course.run import run
from labkit.experiments import page, recipes
from labkit.experiments.measured import read
from labkit.experiments.recipes.shared import TOY
from labkit.experiments.reproduce import reproduce
from labkit.experiments.schema import Recipe, System
from labkit.ledger import Ledger
from labkit.options import FitSettings

SETUP = replace(
    TOY, limit=16, test_limit=8, network={"width": 8}, fit=FitSettings(epochs=2, batch_size=8, device="cpu")
)
TINY = Recipe(
    name="tiny",
    paper="qureshi",
    line="two small networks",
    systems=(
        System("one", "rgb", "cnn", changes={"test": {"learning_rate": 1e-3}}),
        System("half", "luma-chroma", "unet-half"),
        System("wild", "rgb", "cnn", changes={"test": {"learning_rate": 1e30}}),
    ),
    profiles={"test": SETUP},
    differs="Everything.",
)
COUSIN = replace(TINY, name="cousin", systems=TINY.systems[:1])  # shares a training with tiny


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(recipes, "RECIPES", {"tiny": TINY, "cousin": COUSIN})
    monkeypatch.setattr(page, "_figures", lambda *args: [])
    return tmp_path


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A cluster of one worker in this very process."""
    distributed = pytest.importorskip("distributed", reason="needs dask: pip install -e .[cluster]")
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None, host="127.0.0.1", protocol="tcp"
    ) as made:
        yield made.scheduler_address


def quiet(function: Callable[..., Any], *arguments: Any, **options: Any) -> tuple[Any, str]:
    """What a command returns, and what it printed."""
    stream = io.StringIO()
    return function(*arguments, profile="test", console=Console(file=stream, width=200), **options), stream.getvalue()


# --- before anything runs


def test_without_dask_one_line_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with (
        pytest.raises(LabkitError, match=r"--cluster and several --jobs need dask: pip install 'dask\[distributed\]'"),
        connect("local", tmp_path, workers=1, on_event=print, say=print),
    ):
        pass
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(LabkitError, match="several --jobs need dask"):
        reproduce(["skips"], profile="test", jobs=2, out=tmp_path / "out")


def test_a_worker_must_see_the_same_files_and_have_the_same_code(here: Path) -> None:
    home = Home.here([here], {})
    assert home.problem(1) == ""
    assert home.problem(4) == "does 4 jobs at a time, expected 1. Start it with --nthreads 1"
    assert "does not see /nowhere. Put the folder" in replace(home, shared=("/nowhere",)).problem(1)
    assert "does not see /nowhere" in replace(home, folder="/nowhere").problem(1)
    for name in ("labkit", "torch", "labkit's files"):
        other = replace(home, versions=home.versions | {name: "0"})
        assert f"has {name} {home.versions[name][:12]}, expected 0" in other.problem(1)


def test_a_job_stands_where_the_command_stands(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABKIT_DATA", "before")
    home = Home(str(here / "there"), (), {"LABKIT_DATA": "mine", "LABKIT_MORE": "more"}, {})
    (here / "there").mkdir()
    with home.entered():
        assert (Path.cwd().name, os.environ["LABKIT_DATA"], os.environ["LABKIT_MORE"]) == ("there", "mine", "more")
    assert (Path.cwd(), os.environ["LABKIT_DATA"], "LABKIT_MORE" in os.environ) == (here, "before", False)


def test_jobs_are_counted_on_this_machine_only(here: Path) -> None:
    (here / "notebooks").mkdir()
    with pytest.raises(LabkitError, match="has its own workers: leave out --jobs"):
        run(profile="test", jobs=2, cluster="tcp://127.0.0.1:1")
    with pytest.raises(LabkitError, match="has its own workers: leave out --jobs"):
        reproduce(["tiny"], profile="test", jobs=2, cluster="tcp://127.0.0.1:1")


def test_nobody_at_the_address(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed", reason="needs dask: pip install -e .[cluster]")
    monkeypatch.setattr(cluster, "WAIT", 1)
    for wrong in ("tcp://127.0.0.1:1", "nonsense"):
        with pytest.raises(LabkitError, match=f"no dask scheduler answers at {wrong} .*: check --cluster"):
            reproduce(["tiny"], profile="test", cluster=wrong)


def test_a_worker_that_differs_is_refused(here: Path, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    right = Home.here
    monkeypatch.setattr(Home, "here", lambda *given: replace(right(*given), shared=("/nowhere",)))
    with pytest.raises(LabkitError, match="worker .* does not see /nowhere"):
        reproduce(["tiny"], profile="test", cluster=address, out="refused")
    assert not list((here / "refused").glob(".labkit-shared*"))


# --- results


def test_labs_on_a_cluster(here: Path, address: str) -> None:
    (here / "notebooks").mkdir()
    for name, cell in {"00_one": "import os; print(os.getcwd(), alpha)", "01_two": "1/0"}.items():
        first = new_code_cell("alpha: float = 0.5  # share", metadata={"tags": ["parameters"]})
        nbformat.write(new_notebook(cells=[first, new_code_cell(cell)]), here / "notebooks" / f"{name}.ipynb")
    results, said = quiet(run, parameters=[("alpha", "2")], cluster=address)
    assert [(result.job.lab, result.status) for result in results] == [("00_one", "ok"), ("01_two", "failed")]
    assert "[1/2] 00_one (test) ..." in said and "01_two  FAILED" in said and "ZeroDivisionError" in said
    executed = nbformat.read(here / "runs" / "00_one.ipynb", as_version=4)
    assert executed.cells[-1].outputs[0].text == f"{here} 2.0\n"
    again, said = quiet(run, parameters=[("alpha", "2")], cluster=address, resume=True)
    assert again[0].resumed and "00_one (test) ..." not in said
    entries = Ledger(here / "runs" / "ledger.jsonl").entries("run")
    assert [entry.status for entry in entries] == ["ok", "failed", "failed"]


def values(out: Path) -> dict[tuple[Any, ...], float]:
    """What was measured, by name; times and dates are not compared."""
    return {row.key: row.value for name in ("tiny", "cousin") for row in read(out / "measured" / f"{name}.test.csv")}


def test_trainings_on_a_cluster_give_what_serial_ones_give(here: Path, address: str) -> None:
    alone, _ = quiet(reproduce, ["all"], seeds=1, out="alone")
    outcomes, said = quiet(reproduce, ["all"], seeds=1, out="out", cluster=address)
    assert values(here / "out") == values(here / "alone")
    assert [list(outcome.failures) for outcome in outcomes] == [["tiny: wild, seed 0"], []]
    assert [outcome.failures for outcome in outcomes] == [outcome.failures for outcome in alone]
    assert "[1/4] tiny: one, seed 0 ..." in said and "[1/4] tiny: one, seed 0  mse" in said
    for name in ("alone", "out"):
        assert len(list((here / name / "models").iterdir())) == 2  # the wild one has left nothing
        entries = Ledger(here / name / "ledger.jsonl").entries("reproduce")
        assert sorted(entry.status for entry in entries) == ["failed", "ok", "ok", "ok"]
    _, said = quiet(reproduce, ["all"], seeds=1, out="out", cluster=address, resume=True)
    assert said.count("done before") == 3
    with pytest.raises(LabkitError, match="already holds metrics.json: add --resume"):
        quiet(reproduce, ["all"], seeds=1, out="out", cluster=address)


# --- workers that die


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_a_job_that_kills_its_workers_fails_alone(here: Path) -> None:
    pytest.importorskip("distributed", reason="needs dask: pip install -e .[cluster]")
    told: list[Any] = []
    jobs = {str(number): (str(here), "well") for number in range(4)}
    jobs |= {"killer": (str(here), "always"), "unlucky": (str(here), "once")}
    with connect("local", here, workers=2, on_event=lambda *event: told.append(event), say=print) as connected:
        results = dict(connected.results(work, jobs))
    killer = results.pop("killer")
    assert isinstance(killer, LabkitError) and "each worker that tried it died" in str(killer)
    assert results == {str(number): "well" for number in range(4)} | {"unlucky": "once"}
    assert {("unlucky",), ("unlucky", 1, 2)} <= set(told)
    assert not list(here.glob(".labkit-shared*"))


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_killed_workers_lose_nothing(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed", reason="needs dask: pip install -e .[cluster]")
    long = replace(SETUP, fit=replace(SETUP.fit, epochs=30, checkpoint_seconds=0.0))
    monkeypatch.setitem(recipes.RECIPES, "tiny", replace(TINY, systems=TINY.systems[:2], profiles={"test": long}))
    killed: list[int] = []

    def kill_the_workers() -> None:
        while not list((here / "out" / "models").glob("*/checkpoint.safetensors")):
            time.sleep(0.05)
        for process in psutil.Process().children(recursive=True):
            if "spawn_main" in " ".join(process.cmdline()):
                killed.append(process.pid)
                process.kill()

    killer = threading.Thread(target=kill_the_workers, daemon=True)
    killer.start()
    quiet(reproduce, ["all"], seeds=1, out="out", cluster="local", jobs=2)
    killer.join(1)
    assert len(killed) == 2
    entries = Ledger(here / "out" / "ledger.jsonl").entries("reproduce")
    assert [entry.status for entry in entries] == ["ok"] * 3
    quiet(reproduce, ["all"], seeds=1, out="alone")
    assert values(here / "out") == values(here / "alone")
    assert json.loads((here / "out" / "reproduce.json").read_text())["recipes"][0]["failures"] == {}


# --- several machines


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@pytest.fixture
def hosts() -> Iterator[dict[str, str]]:
    """Three network namespaces, name -> address, that reach each other and this process over a bridge only."""
    mark = f"lk{os.getpid() % 10**6}"
    try:
        ip("link", "add", mark, "type", "bridge")
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"needs the right to make network namespaces (root on Linux, with iproute2): {error}")
    found = {f"{mark}-{number}": f"10.77.49.{number}" for number in (1, 2, 3)}
    try:
        ip("address", "add", "10.77.49.254/24", "dev", mark)
        ip("link", "set", mark, "up")
        for number, (name, address) in enumerate(found.items()):
            ip("netns", "add", name)
            ip("link", "add", f"{mark}e{number}", "type", "veth", "peer", "name", "eth0", "netns", name)
            ip("link", "set", f"{mark}e{number}", "master", mark, "up")
            ip("-n", name, "address", "add", f"{address}/24", "dev", "eth0")
            ip("-n", name, "link", "set", "eth0", "up")
            ip("-n", name, "link", "set", "lo", "up")
        yield found
    finally:
        for name in found:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
        subprocess.run(["ip", "link", "del", mark], capture_output=True, check=False)


@pytest.mark.slow
def test_three_machines_one_of_which_fails(here: Path, hosts: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A scheduler and two workers, each with a network of its own; a worker and its machine's link die on the way."""
    pytest.importorskip("distributed", reason="needs dask: pip install -e .[cluster]")
    long = replace(SETUP, fit=replace(SETUP.fit, epochs=30, checkpoint_seconds=0.0))
    monkeypatch.setitem(recipes.RECIPES, "tiny", replace(TINY, systems=TINY.systems[:2], profiles={"test": long}))
    (first, at), *workers = hosts.items()
    dask = [sys.executable, "-m", "dask"]
    commands = {first: [*dask, "scheduler", "--host", at, "--port", "8786", "--no-dashboard"]}
    for name, address in workers:
        commands[name] = [*dask, "worker", f"tcp://{at}:8786", "--host", address, "--nthreads", "1", "--no-dashboard"]
    running = {
        name: subprocess.Popen(["ip", "netns", "exec", name, *command], stderr=subprocess.DEVNULL)
        for name, command in commands.items()
    }
    failing = workers[0][0]

    def fail() -> None:
        while not list((here / "out" / "models").glob("*/checkpoint.safetensors")):
            time.sleep(0.05)
        ip("-n", failing, "link", "set", "eth0", "down")
        for process in [psutil.Process(running[failing].pid), *psutil.Process(running[failing].pid).children(True)]:
            process.kill()

    failure = threading.Thread(target=fail, daemon=True)
    failure.start()
    try:
        quiet(reproduce, ["all"], seeds=1, out="out", cluster=f"tcp://{at}:8786")
    finally:
        for process in running.values():
            process.terminate()
    failure.join(1)
    assert not failure.is_alive() and running[failing].wait(10) != 0
    entries = Ledger(here / "out" / "ledger.jsonl").entries("reproduce")
    assert [entry.status for entry in entries] == ["ok"] * 3
    quiet(reproduce, ["all"], seeds=1, out="alone")
    assert values(here / "out") == values(here / "alone")
