"""`labkit run` on tiny labs that behave well, badly, and not at all."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nbformat
import psutil
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from rich.console import Console

from labkit import LabkitError, ledger, machine
from labkit.artifacts import LOCK_FILE
from labkit.course import jobs as planning
from labkit.course import run as runner
from labkit.course.jobs import plan
from labkit.course.labs import find_labs
from labkit.course.run import Result, run
from labkit.ledger import Ledger

PARAMETERS = """\
profile: str = "auto"  # test, quick, course, gpu or auto
alpha: float = 0.5  # share of MSE
word: str = "a=b"  # anything"""
RECORD = """\
from labkit.notebook.lab import Lab
lab = Lab("x", profile, "toyworld", 0, "cpu")
lab.record(square=alpha * alpha, letters=len(word))
lab.table([{"system": "ours", "mse": alpha}], "Scores", "scores")"""
SHOW = "import os, sys; print(sys.executable, os.environ['LABKIT_STATIC'], os.environ['LABKIT_PROFILE'], word)"
WAIT = (
    "import os, time\nif not os.path.exists('go'):\n    open('pid', 'w').write(str(os.getpid()))\n    time.sleep(600)"
)
FOREVER = "while True:\n    try:\n        while True: pass\n    except KeyboardInterrupt: pass"


def write_lab(folder: Path, name: str, *cells: str, parameters: str = PARAMETERS) -> Path:
    """A notebook: a title, the parameters cell, and these code cells."""
    first = new_code_cell(parameters, metadata={"tags": ["parameters"]})
    notebook = new_notebook(cells=[new_markdown_cell(f"# Lab {name}"), first, *map(new_code_cell, cells)])
    path = folder / "notebooks" / f"{name}.ipynb"
    path.parent.mkdir(exist_ok=True)
    nbformat.write(notebook, path)
    return path


def quiet_run(labs: Sequence[str] = (), **options: Any) -> tuple[list[Result], str]:
    """The results and what was printed, where the output is no terminal."""
    stream = io.StringIO()
    results = run(labs, profile="test", console=Console(file=stream, width=200), **options)
    return results, stream.getvalue()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


# --- before anything runs


def test_labs_are_found_by_number_name_and_file(here: Path) -> None:
    one = write_lab(here, "00_one", "1")
    write_lab(here, "01_two", "1")
    assert list(find_labs()) == ["00_one", "01_two"]
    assert list(find_labs(["01", "00_one"])) == ["01_two", "00_one"]
    other = one.rename(here / "mine.ipynb")
    assert find_labs(["mine.ipynb"]) == {"mine": Path(other.name)}
    with pytest.raises(LabkitError, match=r"07.*01_two"):
        find_labs(["07"])
    with pytest.raises(LabkitError, match=r"nowhere\.ipynb"):
        find_labs(["nowhere.ipynb"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"parameters": [("alpa", "1")]}, "'alpa'; did you mean alpha"),
        ({"parameters": [("alpha", "much")]}, "alpha must be a number .* 'much'"),
        ({"parameters": [("alpha", "1"), ("alpha", "2")]}, "alpha is given twice"),
        ({"sweeps": [("beta", "1,2")]}, "'beta'"),
        ({"sweeps": [("alpha", "1,x")]}, "alpha must be a number .* 'x'"),
        ({"sweeps": [("alpha", "1,,2")]}, "--sweep alpha needs values"),
        ({"sweeps": [("alpha", "1,2")], "parameters": [("alpha", "1")]}, "both by -p and by --sweep"),
        ({"parameters": [("profile", "quick")]}, "two profiles"),
        ({"sweeps": [("profile", "test,tset")]}, "profile must be one of .* 'tset'"),
        ({"labs": ["05"]}, "05"),
    ],
)
def test_a_mistake_stops_everything_before_it_starts(here: Path, options: dict[str, Any], message: str) -> None:
    write_lab(here, "00_one", "open('ran', 'w')")
    with pytest.raises(LabkitError, match=message) as caught:
        quiet_run(**options)
    assert "\n" not in str(caught.value)
    assert not (here / "ran").exists() and not (here / "runs").exists()


def kernel(**about: str) -> str:
    """A notebook for another kernel."""
    notebook = new_notebook(cells=[new_code_cell("x <- 1")], metadata={"kernelspec": about})
    return nbformat.writes(notebook)


R = kernel(name="ir", display_name="R", language="R")
UNREADABLE = {
    "02_r": (R, "02_r.ipynb is written in R (its kernel is 'R'): labkit runs Python notebooks only"),
    "03_r": (kernel(name="ir", display_name="My R"), "is written in R (its kernel is 'My R')"),
    "04_julia": (kernel(name="julia-1.9", display_name="Julia 1.9", language="julia"), "is written in julia"),
    "05_cut": (R[:200], "05_cut.ipynb is not a readable notebook"),
    "06_empty": ("", "06_empty.ipynb is not a readable notebook"),
    "07_list": ("[]", "is not a notebook: it has no cells"),
    "08_cells": (json.dumps({"cells": [1, None], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}), "is a damaged"),
    "09_names": (json.dumps({"cells": {}, "metadata": [], "nbformat": 4, "nbformat_minor": 5}), ""),
}


def test_what_cannot_be_read_is_named_and_the_others_run(here: Path) -> None:
    write_lab(here, "00_one", "1 + 1")
    for name, (text, _) in UNREADABLE.items():
        (here / "notebooks" / f"{name}.ipynb").write_text(text)
    write_lab(here, "10_parameters", "1", parameters="x = 1")
    write_lab(here, "11_last", "2 + 2")
    results, printed = quiet_run(parameters=[("alpha", "nan")])
    assert [result.status for result in results] == ["ok", *["failed"] * (len(UNREADABLE) + 1), "ok"]
    for result, (_, reason) in zip(results[1:], UNREADABLE.values(), strict=False):
        assert reason in str(result.failure) and result.job.key in printed
    assert "10_parameters.ipynb: parameters cell, line 1" in str(results[-2].failure)
    text = (here / "runs" / "metrics.json").read_text()
    metrics = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert metrics["labs"][0]["parameters"]["alpha"] is None
    assert "10_parameters" in (here / "runs" / "report.html").read_text()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such a name")
def test_a_name_that_is_no_text_is_a_name(here: Path) -> None:
    path = write_lab(here, "00_one", r"open('r\udce9sult', 'w'); print('\udce9')")
    path = path.rename(here / os.fsdecode(b"caf\xe9 {x}.ipynb"))
    [result], _ = quiet_run([str(path)], out=os.fsdecode(b"r\xe9sultats"))
    assert result.status == "ok", result.failure
    metrics = json.loads((here / os.fsdecode(b"r\xe9sultats") / "metrics.json").read_text())
    assert metrics["labs"][0]["lab"] == path.stem
    entry = Ledger(here / os.fsdecode(b"r\xe9sultats") / "ledger.jsonl").entries("run")[0]
    assert entry.key == result.job.key and entry.status == "ok"


@pytest.mark.parametrize("timeout", [0, -1, 1.5, True, float("nan")])
def test_a_timeout_is_a_number_of_seconds(here: Path, timeout: Any) -> None:
    write_lab(here, "00_one", "1")
    with pytest.raises(LabkitError, match="timeout must be a whole number of 1 or more"):
        quiet_run(timeout=timeout)


def test_a_sweep_over_lists_keeps_their_brackets(here: Path) -> None:
    write_lab(here, "00_one", "1", parameters=PARAMETERS + "\nwidths: list[int] = [1]  # of layers")
    jobs = plan(["00"], "test", [], [("widths", "[1,2],[3],4")])
    assert [job.parameters["widths"] for job in jobs] == [[1, 2], [3], [4]]


def test_out_must_not_be_a_file(here: Path) -> None:
    write_lab(here, "00_one", "1")
    (here / "runs").write_text("")
    with pytest.raises(LabkitError, match="runs is a file"):
        quiet_run()


def test_a_parameter_goes_to_the_labs_that_have_it(here: Path) -> None:
    write_lab(here, "00_one", "1")
    write_lab(here, "01_two", "1", parameters='size: int = 3  # pixels\nprofile: str = "auto"  # which')
    jobs = plan([], "test", [("size", "4")], [("alpha", "0,1")])
    assert [(job.key, job.parameters) for job in jobs] == [
        ("00_one.alpha=0.0", {"profile": "test", "alpha": 0.0}),
        ("00_one.alpha=1.0", {"profile": "test", "alpha": 1.0}),
        ("01_two", {"profile": "test", "size": 4}),
    ]


def test_keys_are_file_names_and_differ(here: Path) -> None:
    write_lab(here, "00_one", "1")
    keys = [job.key for job in plan([], "test", [], [("word", f"a/b,a:b,{'x' * 300}"), ("alpha", "-1,1")])]
    assert len(set(keys)) == 6
    assert all(len(key) < 150 and "/" not in key and ":" not in key for key in keys)


# --- one run of all kinds of labs

BAD = {
    "02_raises": (["x = 1", "# no\ny = {}['k']", "z = 1"], "cell [4] `# no`: KeyError: 'k'"),
    "03_exits": (["import sys", "sys.exit(0)", "z = 1"], "cell [4] `sys.exit(0)`: SystemExit"),
    "04_dies": (["import os", "os._exit(7)", "z = 1"], "cell [4] `os._exit(7)`: the kernel died with exit code 7"),
    "05_killed": (
        ["import os", "os.kill(os.getpid(), 9)"],
        "cell [4] `os.kill(os.getpid(), 9)`: the kernel was killed by",
    ),
    "06_slow": ([FOREVER, "z = 1"], "cell [3] `while True:`: the cell took longer than 2 s"),
    "07_magic": (["%nosuchmagic", "z = 1"], "cell [3] `%nosuchmagic`: UsageError"),
}


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Result], str]:
    """All bad labs between two good ones; braces in the folder's name must not matter."""
    folder = tmp_path_factory.mktemp("mixed{x}")
    write_lab(folder, "00_good", RECORD, "", SHOW)
    for name, (cells, _) in BAD.items():
        write_lab(folder, name, *cells)
    write_lab(folder, "08_good", "1 + 1")
    kernels = folder / "home" / "kernels" / "python3"  # a kernelspec of the user's that leads elsewhere
    kernels.mkdir(parents=True)
    (kernels / "kernel.json").write_text('{"argv": ["/bin/false"], "display_name": "x", "language": "python"}')
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("JUPYTER_PATH", str(folder / "home"))
        results, printed = quiet_run(timeout=2, parameters=[("word", "x=y {z}")])
    return folder, results, printed


def test_the_good_ones_go_on_and_the_bad_ones_say_why(mixed: tuple[Path, list[Result], str]) -> None:
    _, results, printed = mixed
    assert [result.status for result in results] == ["ok", *["failed"] * len(BAD), "ok"]
    for result, (_, reason) in zip(results[1:-1], BAD.values(), strict=True):
        assert str(result.failure).startswith(reason), result.failure
        assert f"{result.job.key}  FAILED" in printed and reason in printed


def test_the_kernel_is_this_python_with_static_widgets(mixed: tuple[Path, list[Result], str]) -> None:
    folder, results, _ = mixed
    executed = nbformat.read(folder / "runs" / "00_good.ipynb", as_version=4)
    assert executed.cells[-1].outputs[0].text == f"{sys.executable} 1 test x=y {{z}}\n"
    assert results[0].contents.numbers == {"square": 0.25, "letters": 7}


def test_files_of_a_run(mixed: tuple[Path, list[Result], str]) -> None:
    folder, results, _ = mixed
    out = folder / "runs"
    copies = {f"{result.job.key}.ipynb" for result in results}
    assert set(os.listdir(out)) - {LOCK_FILE} == copies | {"ledger.jsonl", "metrics.json", "report.html"}
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["complete"] and {"labkit", "python", "torch"} <= set(metrics["environment"])
    good, bad = metrics["labs"][:2]
    assert good["status"] == "ok" and good["parameters"] == {"profile": "test", "word": "x=y {z}"}
    assert good["numbers"] == {"square": 0.25, "letters": 7} and good["seconds"] > 0
    assert good["tables"]["scores"] == {"caption": "Scores", "rows": [{"system": "ours", "mse": 0.5}]}
    assert bad["failure"] == {"cell": 4, "line": "# no", "reason": "KeyError: 'k'"}
    assert len(Ledger(out / "ledger.jsonl").entries("run")) == len(results)
    page = (out / "report.html").read_text()
    assert "Lab 00_good" in page and "6 of 8 failed" in page
    about = nbformat.read(out / "00_good.ipynb", as_version=4).metadata.papermill
    assert (about.input_path, about.output_path) == (str(results[0].job.notebook), "00_good.ipynb")


def test_no_kernel_is_left(mixed: tuple[Path, list[Result], str]) -> None:
    mine = psutil.Process().children(recursive=True)
    assert not [child for child in mine if "ipykernel_launcher" in " ".join(child.cmdline())]


# --- sweeps, resuming, progress


def test_a_sweep_gives_one_table_and_resume_does_the_rest(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "package_hash", lambda: "the same package")
    write_lab(here, "00_one", RECORD)
    quiet_run(sweeps=[("alpha", "1,2")])
    metrics = json.loads((here / "runs" / "metrics.json").read_text())
    rows = metrics["sweeps"]["00_one"]
    assert [(row["alpha"], row["square"], row["scores: ours, mse"]) for row in rows] == [(1, 1, 1), (2, 4, 2)]
    assert (here / "runs" / "00_one.sweep.csv").read_text().startswith("alpha,status,seconds,")
    assert "Sweep of 00_one" in (here / "runs" / "report.html").read_text()

    (here / "runs" / "00_one.alpha=1.0.ipynb").unlink()
    results, printed = quiet_run(sweeps=[("alpha", "1,2,3")], resume=True)
    assert [(result.status, result.resumed) for result in results] == [("ok", False), ("ok", True), ("ok", False)]
    assert "alpha=2.0  ok, done before" in printed
    assert results[1].contents.numbers["square"] == 4


def test_resume_runs_what_failed_or_changed(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "package_hash", lambda: "the same package")
    path = write_lab(here, "00_one", "import os", "assert os.path.exists('go')")
    assert [result.status for result in quiet_run()[0]] == ["failed"]
    (here / "go").touch()
    assert [(result.status, result.resumed) for result in quiet_run(resume=True)[0]] == [("ok", False)]

    def again(**options: Any) -> bool:
        monkeypatch.setattr(runner, "execute", lambda *arguments: (None, None))
        return not quiet_run(resume=True, **options)[0][0].resumed

    job = plan([], "test", [], [])[0]
    before = job.input_hash()
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[-1].outputs = [nbformat.v4.new_output("stream", text="only an output")]
    nbformat.write(notebook, path)
    assert job.input_hash() == before and not again()
    assert again(parameters=[("alpha", "0.1")])
    notebook.cells[-1].source += "\nprint(1)"
    nbformat.write(notebook, path)
    changed = job.input_hash()
    assert changed != before
    monkeypatch.setattr(planning, "package_hash", lambda: "another package")
    assert job.input_hash() not in (before, changed)


def test_the_package_hash_is_that_of_what_a_lab_uses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert planning.package_hash() == planning.package_hash()
    monkeypatch.setattr("labkit.artifacts.course_data", lambda name: tmp_path)
    before = planning.package_hash()
    (tmp_path / "skips.quick.csv").write_text("other numbers")  # which a lab shows
    assert planning.package_hash() != before
    package = Path(runner.__file__).parent.parent
    assert all((package / name).is_file() for name in ledger.NOT_HASHED)


def test_a_kernel_that_does_not_start_is_tried_again_once(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import papermill

    write_lab(here, "00_one", "1")
    tries: list[int] = []

    def fail(*arguments: Any, **options: Any) -> None:
        tries.append(1)
        raise RuntimeError("Kernel died before replying to kernel_info")

    monkeypatch.setattr(papermill, "execute_notebook", fail)
    (result,) = quiet_run()[0]
    assert len(tries) == 2
    assert str(result.failure) == "RuntimeError: Kernel died before replying to kernel_info"
    assert result.output is None


def test_ctrl_c_keeps_what_is_done(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_lab(here, "00_one", "1")
    write_lab(here, "01_two", "1")
    done = runner.execute

    def execute(job: Any, *rest: Any) -> Any:
        if job.lab == "01_two":
            raise KeyboardInterrupt
        return done(job, *rest)

    monkeypatch.setattr(runner, "execute", execute)
    with pytest.raises(KeyboardInterrupt):
        quiet_run(jobs=1)
    metrics = json.loads((here / "runs" / "metrics.json").read_text())
    assert [lab["lab"] for lab in metrics["labs"]] == ["00_one"] and not metrics["complete"]
    assert "Interrupted: 1 of 2 done" in (here / "runs" / "report.html").read_text()


def test_a_terminal_gets_a_live_display(here: Path) -> None:
    write_lab(here, "00_one", "1", "import time; time.sleep(0.3)")
    stream = io.StringIO()
    run([], profile="test", console=Console(file=stream, width=120, force_terminal=True))
    assert "cell" in stream.getvalue() and "/4" in stream.getvalue()
    assert "00_one  ok" in stream.getvalue()


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_killed_and_resumed_loses_nothing_and_leaves_no_kernel(here: Path) -> None:
    write_lab(here, "00_one", "1 + 1")
    write_lab(here, "01_two", WAIT)
    command = [sys.executable, "-c", "from labkit.cli import main; main()", "run", "--profile", "test", "--jobs", "1"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    pid_file = here / "pid"
    _until(lambda: pid_file.exists() and pid_file.read_text() != "")
    kernel = int(pid_file.read_text())
    process.send_signal(signal.SIGKILL)
    process.wait()
    finished = (here / "runs" / "00_one.ipynb").read_bytes()
    assert not (here / "runs" / "01_two.ipynb").exists()
    _until(lambda: not psutil.pid_exists(kernel) or psutil.Process(kernel).status() == psutil.STATUS_ZOMBIE)

    (here / "go").touch()
    done = subprocess.run([*command, "--resume"], capture_output=True, text=True, check=True)
    assert "01_two  ok" in done.stdout
    entries = Ledger(here / "runs" / "ledger.jsonl").entries()
    assert [entry.key for entry in entries if entry.status == "ok"][-1] == "01_two"
    if "00_one  ok, done before" in done.stdout:  # unless somebody edits labkit in this very moment
        assert (here / "runs" / "00_one.ipynb").read_bytes() == finished
    assert {path.name for path in (here / "runs").glob(".*")} <= {LOCK_FILE}


def _until(condition: Any, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.1)


def test_a_lab_is_never_overwritten_by_its_executed_copy(here: Path) -> None:
    path = write_lab(here, "00_one", "1")
    before = path.read_bytes()
    for out in ("notebooks", str(path.parent)):
        with pytest.raises(LabkitError, match=r"would overwrite .*00_one\.ipynb itself: choose another --out"):
            quiet_run(["00"], out=out)
    assert path.read_bytes() == before and list(path.parent.iterdir()) == [path]


def test_one_value_written_in_two_ways_is_swept_once(here: Path) -> None:
    write_lab(here, "00_one", "1")
    assert [job.key for job in plan(["00"], "test", [], [("alpha", "1,1.0,2")])] == [
        "00_one.alpha=1.0",
        "00_one.alpha=2.0",
    ]


def test_results_that_labkit_did_not_publish_are_left_out(here: Path) -> None:
    publish = "from IPython.display import publish_display_data\npublish_display_data({"
    write_lab(here, "00_one", publish + "'application/vnd.labkit.results+json': 'mine', 'text/plain': ''})")
    [result], _ = quiet_run()
    assert result.status == "ok" and result.contents.numbers == {}


# --- several at a time

TOGETHER = "import os, time\nopen('{mine}', 'w').close()\nwhile not os.path.exists('{other}'): time.sleep(0.05)"


def test_labs_run_side_by_side_and_are_told_in_order(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(machine, "cores", lambda: 4)
    threads = "import os; print(os.environ.get('OMP_NUM_THREADS'))"
    write_lab(here, "00_one", TOGETHER.format(mine="one", other="two"), "import time; time.sleep(0.5)", threads)
    write_lab(here, "01_two", TOGETHER.format(mine="two", other="one"), threads)
    results, _ = quiet_run(jobs=2, timeout=30)
    assert [(result.job.lab, result.status) for result in results] == [("00_one", "ok"), ("01_two", "ok")]
    metrics = json.loads((here / "runs" / "metrics.json").read_text())
    assert [lab["lab"] for lab in metrics["labs"]] == ["00_one", "01_two"]
    executed = nbformat.read(here / "runs" / "01_two.ipynb", as_version=4)
    assert executed.cells[-1].outputs[0].text == "2\n"


def test_one_at_a_time_is_one_at_a_time(here: Path) -> None:
    write_lab(here, "00_one", TOGETHER.format(mine="one", other="two"))
    write_lab(here, "01_two", "import os; assert os.path.exists('one'); open('two', 'w').close()")
    results, _ = quiet_run(jobs=1, timeout=3)
    assert [result.status for result in results] == ["failed", "ok"]


@pytest.mark.parametrize("jobs", [0, -1, 1.5, True])
def test_jobs_is_a_number_of_labs(here: Path, jobs: Any) -> None:
    write_lab(here, "00_one", "1")
    with pytest.raises(LabkitError, match="jobs must be a whole number of 1 or more"):
        quiet_run(jobs=jobs)


def test_the_machine_decides_how_many(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_lab(here, "00_one", "1")
    monkeypatch.setattr(machine, "cores", lambda: 64)
    held = runner._held_by_machine(plan([], "quick", [], []))
    assert 1 <= held <= psutil.virtual_memory().total / machine.JOB_BYTES
    assert runner._held_by_machine(plan([], "gpu", [], [])) == 1


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_ctrl_c_ends_all_labs_at_hand(here: Path) -> None:
    for name in ("00_one", "01_two"):
        write_lab(here, name, f"import os, time\nopen('{name}.pid', 'w').write(str(os.getpid()))\ntime.sleep(600)")
    write_lab(here, "02_three", "1")
    # a shell's background jobs, and what they start, ignore SIGINT
    program = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from labkit import cli; cli.main()"
    )
    command = [sys.executable, "-c", program, "run", "--profile", "test", "--jobs", "2"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    files = [here / "00_one.pid", here / "01_two.pid"]
    _until(lambda: all(file.exists() and file.read_text() for file in files))
    kernels = [int(file.read_text()) for file in files]
    process.send_signal(signal.SIGINT)
    printed, _ = process.communicate(timeout=30)
    assert process.returncode == 130 and "--resume goes on from here" in printed
    _until(lambda: not any(psutil.pid_exists(kernel) for kernel in kernels))
    assert Ledger(here / "runs" / "ledger.jsonl").entries() == []
    assert json.loads((here / "runs" / "metrics.json").read_text())["complete"] is False
