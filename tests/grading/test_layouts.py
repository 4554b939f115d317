"""Wherever course, class, environment and labkit lie: a kernel reads nothing private, or is not called safe."""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from layouts import LAYOUTS, VERSION, visit

from labkit.grading.sandbox import best_tier, visible

pytestmark = [
    pytest.mark.timeout(200),
    pytest.mark.skipif(not best_tier().safe, reason=f"no safe tier here: {'; '.join(best_tier().missing)}"),
]
ROOT = os.name == "posix" and os.getuid() == 0
USERS = ("root", "nobody") if ROOT else ("self",)


@pytest.fixture
def base() -> Iterator[Path]:
    """A folder outside of /tmp, which a sandbox has its own of, that every user may enter."""
    folder = Path(tempfile.mkdtemp(dir="/var/tmp", prefix="labkit-layout-"))
    folder.chmod(0o755)
    yield folder / "base"
    shutil.rmtree(folder)


QUICK = ("container", "in_environment", "wheel", "in_site_packages", "class_in_programs")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in LAYOUTS]
)
def test_nothing_private_can_be_read(name: str, base: Path) -> None:
    base.mkdir()
    if name in ("container", "debian") and not ROOT:
        pytest.skip("only root can put a course there")
    if name == "debian" and not (Path("/usr/bin", VERSION).exists() and Path("/usr/local/lib", VERSION).exists()):
        pytest.skip("this machine has no such Python of its own")
    if name == "user_site" and not Path(sys.base_prefix, "bin", VERSION).exists():
        pytest.skip("the Python under this environment lies elsewhere")
    layout = LAYOUTS[name](base)
    for user in USERS:
        said = visit(layout, user)
        print(user, said)
        assert said["labkit"] == str(layout.labkit), "the layout is not what it is meant to be"
        assert said["safe"] == layout.safe, said["missing"]
        if not layout.safe:
            assert any("can be read from inside: move " in str(line) for line in said["missing"])  # type: ignore[attr-defined]
            continue
        assert said["error"] == ""
        found, seen, checks, fresh = eval(str(said["text"]))
        assert (found, checks) == ([], ["__init__.py"]) and seen >= len(layout.planted)
        assert fresh == "" or not layout.fresh


def test_every_part_of_labkit_is_shown_or_hidden_on_purpose() -> None:
    (package, *_) = visible.package_folders()
    parts = {path.name for path in package.iterdir()}
    assert parts - set(visible.LABKIT_SHOWN) - set(visible.LABKIT_HIDDEN) == set()
    assert not set(visible.LABKIT_SHOWN) & set(visible.LABKIT_HIDDEN)
