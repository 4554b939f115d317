"""License, citation, workflows and CONTRIBUTING.md: what they name exists, and what they show runs."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from labkit import __version__
from labkit.cli import app
from labkit.experiments.published import PAPERS, read

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def fenced(info: str, text: str = CONTRIBUTING) -> list[str]:
    """Return the code blocks of a page that open with this info string."""
    return re.findall(rf"^```{info}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


# ------------------------------------------------------------------------------------------ license and citation


def test_the_license_is_mit_and_is_the_one_declared() -> None:
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert text.startswith("MIT License\n") and "Permission is hereby granted, free of charge" in text
    assert PYPROJECT["project"]["license"] == "MIT"


def test_the_citation_names_this_version_and_the_five_papers() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["cff-version"] == "1.2.0" and citation["message"] and citation["authors"]
    assert citation["version"] == __version__ and citation["license"] == "MIT"
    assert tuple(reference["abbreviation"] for reference in citation["references"]) == tuple(PAPERS)
    assert all(
        reference["title"] and reference["authors"] and reference["type"] for reference in citation["references"]
    )


def test_the_changelog_has_this_version_or_what_is_unreleased() -> None:
    headings = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert headings[0] in ("Unreleased", __version__)


# ----------------------------------------------------------------------------------- commands in workflows and pages


def steps(workflow: Path) -> list[dict[str, Any]]:
    """Return all steps of a workflow's jobs."""
    jobs = yaml.safe_load(workflow.read_text(encoding="utf-8"))["jobs"]
    assert all(job["timeout-minutes"] for job in jobs.values())
    return [step for job in jobs.values() for step in job["steps"]]


def commands(text: str) -> Iterator[list[str]]:
    """Yield the commands of a shell script as words: lines, and the parts of a line that && joins."""
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        while "&&" in words:
            yield words[: words.index("&&")]
            words = words[words.index("&&") + 1 :]
        if words:
            yield words


def check_command(words: list[str]) -> None:
    """Assert that a command exists, and the files, options and extras that it names."""
    words = words[: words.index(">")] if ">" in words else words  # where its output goes
    program, arguments = words[0].removeprefix(".venv/bin/"), words[1:]
    if program in ("python", "python3") and arguments[0] == "-m":
        program, arguments = arguments[1], arguments[2:]
    if program == "labkit":
        check_labkit(arguments)
    elif program in ("bash", "pytest", "ruff", "sphinx-build", "mypy"):
        for name in (word for word in arguments if "/" in word and word != "docs/_build/html"):
            assert (ROOT / name.partition("::")[0]).exists(), f"{' '.join(words)}: there is no {name}"
        assert program != "sphinx-build" or (ROOT / "docs" / "conf.py").exists()
    elif program == "pip":
        check_install(arguments)
    elif program == "pre-commit":
        assert any(line.startswith("pre-commit") for line in PYPROJECT["project"]["optional-dependencies"]["dev"])
    else:
        assert program in ("cp", "sudo", "source", "venv"), f"unknown command {' '.join(words)}"


def check_labkit(arguments: list[str]) -> None:
    """Assert that the command line would accept these arguments; nothing is run."""
    if arguments == ["--help"]:
        return
    known: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    assert arguments[0] in known, f"labkit has no command {arguments[0]}"
    try:
        known[arguments[0]].make_context(arguments[0], list(arguments[1:]))
    except Exception as error:  # its class is click's or typer's own, as typer's version has it
        raise AssertionError(f"labkit {' '.join(arguments)}: {error}") from error


def check_install(arguments: list[str]) -> None:
    """Assert that the requirements file or the extras of a `pip install` exist."""
    assert arguments[0] == "install"
    if "-r" in arguments:
        assert (ROOT / arguments[arguments.index("-r") + 1]).is_file()
    if "-e" in arguments:
        extras = re.fullmatch(r"\.\[(.+)\]", arguments[arguments.index("-e") + 1])
        assert extras, "give the extras"
        assert set(extras[1].split(",")) <= set(PYPROJECT["project"]["optional-dependencies"])


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=[path.stem for path in WORKFLOWS])
def test_a_workflow_calls_what_exists(workflow: Path) -> None:
    scripts = [step["run"] for step in steps(workflow) if "run" in step]
    assert scripts
    for script in scripts:
        for words in commands(script):
            check_command(words)


def test_the_workflows_are_those_announced() -> None:
    assert [path.stem for path in WORKFLOWS] == ["ci", "pages", "smoke", "versions"]
    assert ["bash", ".ci/run"] in [words for step in steps(WORKFLOWS[0]) for words in commands(step.get("run", ""))]


def test_a_workflow_that_calls_something_else_would_be_found() -> None:
    for line in ("bash .ci/walk", "labkit runn 00", "labkit run --profil test", "pip install -e .[nothing]", "make"):
        with pytest.raises(AssertionError):
            check_command(shlex.split(line))


@pytest.mark.parametrize("path", sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("[!c]*.yml")), ids=lambda p: p.stem)
def test_an_issue_form_is_complete(path: Path) -> None:
    form = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert form["name"] and form["description"]
    fields = [part for part in form["body"] if part["type"] != "markdown"]
    assert all(part["attributes"]["label"] for part in fields)
    assert len({part["id"] for part in fields}) == len(fields)


def test_hooks_call_what_exists() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    hooks = [hook for repository in config["repos"] for hook in repository["hooks"]]
    assert [hook["id"] for hook in hooks] == ["ruff-check", "ruff-format", "labkit-build-check"]
    for hook in hooks:
        check_command(shlex.split(hook["entry"]))


# -------------------------------------------------------------------------------------------------- CONTRIBUTING.md


TRIED = "# To try it; not in the file:"  # begins what stands below a whole file


def named_paths() -> list[str]:
    """Return the paths in backticks that start with a folder of the project; NN, NAME and KEY stand for any text."""
    folders = "labkit|tests|notebooks|docs|data|[.]ci|[.]github|[.]devcontainer"
    return sorted(set(re.findall(rf"`((?:{folders})/[^`\s]*)`", CONTRIBUTING)))


@pytest.mark.parametrize("path", named_paths())
def test_a_path_that_the_page_names_exists(path: str) -> None:
    assert list(ROOT.glob(re.sub("NN|NAME|KEY", "*", path.rstrip("/")))), f"CONTRIBUTING.md: there is no {path}"


def test_the_commands_of_the_page_exist() -> None:
    scripts = fenced("bash")
    assert scripts
    for script in scripts:
        for words in commands(script):
            check_command(words)


def examples() -> list[Any]:
    """Return the blocks that open with "python run", each under the heading of its section."""
    sections = re.split(r"^## (.+)\n", CONTRIBUTING, flags=re.MULTILINE)
    pairs = zip(sections[1::2], sections[2::2], strict=True)
    return [pytest.param(code, id=title) for title, text in pairs for code in fenced("python run", text)]


@pytest.mark.parametrize("code", examples())
def test_an_example_of_the_page_runs(code: str) -> None:
    exec(compile(code, "CONTRIBUTING.md", "exec"), {"__name__": "example"})


@pytest.mark.parametrize("code", [example for example in examples() if TRIED in example.values[0]])
def test_a_whole_file_that_the_page_shows_passes_the_linter(code: str) -> None:
    pytest.importorskip("ruff", reason="ruff is missing: pip install -e .[dev]")
    command = [sys.executable, "-m", "ruff", "check", "--stdin-filename", "labkit/models/new.py", "-"]
    shown = code.split(TRIED)[0].rstrip() + "\n"
    done = subprocess.run(command, input=shown, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_each_addition_in_code_has_an_example() -> None:
    added = ["representation", "network", "exercise", "data set", "recipe"]
    assert [example.id for example in examples()] == [f"Add a{'n' * (what[0] in 'aeiou')} {what}" for what in added]


def test_the_example_of_a_papers_numbers_can_be_read(tmp_path: Path) -> None:
    [text] = fenced("text csv")
    (tmp_path / "smith.csv").write_text(text, encoding="utf-8")
    assert [row.value for row in read(tmp_path / "smith.csv")] == [0.0051, None]


def test_no_two_test_files_have_one_name() -> None:
    """Pytest imports them by their bare names: two of one name meet in one process, by chance of the order."""
    names = [path.name for path in (ROOT / "tests").rglob("*.py") if path.name != "conftest.py"]
    assert sorted(names) == sorted(set(names))
