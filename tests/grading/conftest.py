"""What the tests of grading share: a course, warm kernels for all of them, a class graded once."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("nbval")
sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def course(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The course with the lab of grading_lab.py."""
    from grading_lab import grading_course

    root = tmp_path_factory.mktemp("course")
    grading_course(root)
    return root


@pytest.fixture
def own_checks(course: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """LABKIT_CHECKS points to that course's exercises."""
    value = os.pathsep.join([str(course / "public.py"), str(course / "hidden.py")])
    monkeypatch.setenv("LABKIT_CHECKS", value)
    return value


@pytest.fixture(scope="session")
def kernels() -> Iterator[Any]:
    """One server of warm kernels: it takes seconds to start."""
    from labkit.grading.sandbox import Limits, Sandbox, best_tier

    if not best_tier().safe:
        pytest.skip("this machine has no safe sandbox")
    with Sandbox(best_tier(), Limits(seconds=400, output=8 << 20)) as warm:
        yield warm


@pytest.fixture(scope="session")
def grade(kernels: Any, course: Path) -> Callable[..., Any]:
    """`labkit.grading.grade.grade` of the lab 91 with kernels that are warm already and a fixed seed."""
    from labkit.grading import grade as module

    def graded(submissions: Path, out: Path, **options: Any) -> Any:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "Sandbox", lambda *arguments, **named: nullcontext(kernels))
            patch.setattr(module, "package_hash", lambda: "")  # the package may be edited while its tests run
            settings = {"seed": 7, "timeout": 6, "limit": 300, "root": course, **options}
            own = os.pathsep.join([str(course / "public.py"), str(course / "hidden.py")])
            patch.setenv("LABKIT_CHECKS", settings.pop("checks", own))
            return module.grade(settings.pop("lab", "91"), submissions, out=out, **settings)

    return graded
