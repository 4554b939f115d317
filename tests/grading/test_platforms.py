"""Windows lacks modules that Linux has: what needs them says so in one line, and the rest works."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

LACKING = {
    "win32": ["resource", "fcntl", "pwd", "grp", "termios", "tty", "pty", "syslog", "posix", "_posixsubprocess"],
    "darwin": ["spwd", "_crypt"],
}
# Other packages are loaded first: on their own platform they do without. Then everything of labkit is loaded anew.
ELSEWHERE = """
import jupytext, multiprocessing.context, multiprocessing.popen_forkserver, subprocess, sys
import labkit.cli, labkit.doctor, labkit.grading.grade, labkit.grading.sandbox.server
for name in [name for name in sys.modules if name.partition(".")[0] == "labkit"]:
    del sys.modules[name]
for name in {lacking!r}:
    sys.modules[name] = None
sys.platform = {platform!r}
if {platform!r} == "win32":
    del multiprocessing.context.ForkServerContext
    multiprocessing.get_all_start_methods = lambda: ["spawn"]
import platform
platform.system = lambda: {{"win32": "Windows", "darwin": "Darwin"}}[sys.platform]
from labkit.cli import main
sys.argv = ["labkit", *{arguments!r}]
main()
"""


def labkit_on(platform: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line as if on another system."""
    code = ELSEWHERE.format(platform=platform, lacking=LACKING[platform], arguments=arguments)
    environment = {**os.environ, "PYDEVD_DISABLE_FILE_VALIDATION": "1"}  # else older debuggers warn on standard error
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, timeout=120
    )


@pytest.mark.parametrize(
    ("platform", "options", "message"),
    [
        ("win32", [], "labkit grade needs Linux or macOS (on Windows: the Windows Subsystem for Linux)"),
        ("win32", ["--unsafe"], "labkit grade needs Linux or macOS (on Windows: the Windows Subsystem for Linux)"),
        ("darwin", [], "this machine cannot keep hostile submissions apart (Darwin has no namespaces"),
    ],
)
def test_grading_is_refused_in_one_line(
    platform: str, options: list[str], message: str, course: Path, own_checks: str
) -> None:
    (course / "handed-in").mkdir(exist_ok=True)
    done = labkit_on(platform, course, "grade", "91", "handed-in", *options)
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1 and message in done.stderr, done.stderr


@pytest.mark.parametrize("platform", LACKING)
def test_help_and_doctor_work(platform: str, tmp_path: Path) -> None:
    assert "Usage" in labkit_on(platform, tmp_path, "grade", "--help").stdout
    done = labkit_on(platform, tmp_path, "doctor")
    assert "Traceback" not in done.stderr, done.stderr
    assert "none: not safe to grade a class" in done.stdout
