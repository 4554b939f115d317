"""Requirements are lower bounds, one for each package; those in requirements.txt are pyproject.toml's."""

from importlib.metadata import requires
from pathlib import Path

from packaging.requirements import Requirement

LINES = (Path(__file__).parents[1] / "requirements.txt").read_text().splitlines()
PACKAGED = [Requirement(line) for line in requires("labkit") or []]
BOUNDS = {(requirement.name, str(requirement.specifier)) for requirement in PACKAGED}


def extras_of(requirement: Requirement) -> set[str]:
    """Return the extras that ask for a requirement."""
    extras = {"cluster", "course", "test", "dev", "docs"}
    return {extra for extra in extras if requirement.marker and f'"{extra}"' in str(requirement.marker)}


def test_each_package_has_one_lower_bound_and_no_upper_one() -> None:
    assert len(BOUNDS) == len({name for name, _ in BOUNDS}) > 30
    assert all(bound.startswith(">=") and "," not in bound for _, bound in BOUNDS)


def test_requirements_txt_repeats_them() -> None:
    lines = [Requirement(line) for line in LINES if line and not line.startswith(("#", "-e"))]
    assert len(lines) > 5 and {(line.name, str(line.specifier)) for line in lines} <= BOUNDS


def test_it_installs_what_labs_and_tests_need_and_no_linters() -> None:
    assert LINES[-1] == "-e .[course,test]"
    needed = {each.name for each in PACKAGED if not extras_of(each) or extras_of(each) & {"course", "test"}}
    assert {"torch", "papermill", "nbval", "pytest", "kornia"} <= needed
    assert not needed & {"ruff", "mypy", "pre-commit", "sphinx"}
