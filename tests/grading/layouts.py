"""Places where a course, its environment and labkit may lie, each made for a test, and a thief who looks around.

Run as a script it is the thief's stage: ``python layouts.py JSON`` mounts, becomes another user, and starts the
layout's own Python on `THIEF`, which prints what the sandbox says of itself and what a kernel could read.
"""

import json
import os
import secrets
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import labkit

SECRET = f"hidden-{secrets.token_hex(8)}"
PACKAGE = Path(labkit.__file__).resolve().parent
VERSION = f"python{sys.version_info.major}.{sys.version_info.minor}"
PLANTED = (
    "notebooks/solutions/01_first.ipynb",
    "notebooks/src/01_first.py",
    "notebooks/01_first.ipynb",
    "tests/test_first.py",
    ".git/config",
    "submissions/other.ipynb",
    "grades/gradebook.csv",
    "grades/grading.json",
)
IN_LABKIT = ("checks/first.py", "checks/__pycache__/first.pyc", "_notebooks/01_first.ipynb", "course/first.py")


@dataclass
class Layout:
    """A machine: where things are, and whether a sandbox can be safe there."""

    python: Path  # that grades
    course: Path
    base: Path
    labkit: Path  # that it imports
    safe: bool = True
    mounts: dict[str, str] = field(default_factory=dict)  # place -> folder that is seen there
    planted: list[Path] = field(default_factory=list)
    home: Path = Path("/nonexistent")
    fresh: bool = True  # whether a Python that a kernel starts finds labkit, too


def plant(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(SECRET)
    return path


def copy_labkit(target: Path) -> list[Path]:
    """Copy the package, and plant what only graders may read; returns where."""
    ignored = shutil.ignore_patterns("__pycache__", "weights", "_notebooks", "notebooks")
    shutil.copytree(PACKAGE, target, ignore=ignored)
    return [plant(target / name) for name in IN_LABKIT]


def make_course(course: Path) -> list[Path]:
    """Make a checkout; returns what it hides."""
    course.mkdir(parents=True)
    (course / "pyproject.toml").write_text("[project]\n")
    return [*(plant(course / name) for name in PLANTED), *copy_labkit(course / "labkit")]


def make_venv(folder: Path, *links: Path) -> Path:
    """Make an environment that imports from ``links``, and what else it needs from that of these tests; its Python."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    link(folder / "lib" / VERSION / "site-packages", *links)
    return folder / "bin" / "python"


def link(site_packages: Path, *links: Path) -> None:
    site_packages.mkdir(parents=True, exist_ok=True)
    lines = [*map(str, links), sysconfig.get_path("purelib")]
    (site_packages / "easy-install.pth").write_text("\n".join(lines) + "\n")


def beside(base: Path) -> Layout:
    """An environment beside the checkout, with a link to it (pip install -e)."""
    planted = make_course(base / "course")
    return Layout(
        make_venv(base / "venv", base / "course"), base / "course", base, base / "course/labkit", planted=planted
    )


def container(base: Path) -> Layout:
    """Everything in /usr/src, as containers have it."""
    planted = [Path("/usr/src") / path.relative_to(base) for path in make_course(base / "app")]
    python = make_venv(base.with_name(base.name + "-venv"), Path("/usr/src/app"))
    app = Path("/usr/src/app")
    return Layout(python, app, base, app / "labkit", mounts={"/usr/src": str(base)}, planted=planted)


def in_environment(base: Path) -> Layout:
    """The checkout inside the environment's folder."""
    python = make_venv(base / "venv", base / "venv" / "src" / "course")
    planted = make_course(base / "venv" / "src" / "course")
    return Layout(python, base / "venv/src/course", base, base / "venv/src/course/labkit", planted=planted)


def in_checkout(base: Path) -> Layout:
    """The environment inside the checkout."""
    planted = make_course(base / "course")
    python = make_venv(base / "course" / ".venv", base / "course")
    return Layout(python, base / "course", base, base / "course/labkit", planted=planted)


def same_folder(base: Path) -> Layout:
    """The checkout is the environment's folder (python -m venv . in a checkout)."""
    planted = make_course(base / "course")
    python = make_venv(base / "course", base / "course")
    return Layout(python, base / "course", base, base / "course/labkit", planted=planted)


def wheel(base: Path) -> Layout:
    """labkit installed from a wheel, the course elsewhere; a list of files (RECORD) tells the names of the checks."""
    planted = make_course(base / "course")
    python = make_venv(base / "venv")
    site_packages = base / "venv" / "lib" / VERSION / "site-packages"
    planted += copy_labkit(site_packages / "labkit")
    record = site_packages / "labkit-0.2.0.dist-info" / "RECORD"
    record.parent.mkdir()
    record.write_text("".join(f"labkit/{name},,\n" for name in IN_LABKIT))
    return Layout(python, base / "course", base, site_packages / "labkit", planted=planted)


def two_copies(base: Path) -> Layout:
    """A checkout that is imported, an older wheel under it, and a third copy in another environment's folder."""
    layout = in_checkout(base)
    site_packages = base / "course" / ".venv" / "lib" / VERSION / "site-packages"
    layout.planted += copy_labkit(base / "old" / "labkit")
    shutil.copytree(base / "old" / "labkit", site_packages / "labkit")
    layout.planted += [site_packages / "labkit" / name for name in IN_LABKIT]
    first = f"import sys; sys.path.insert(0, {str(base / 'course')!r})\n"
    (site_packages / "a-first.pth").write_text(first)
    return layout


def strict_editable(base: Path) -> Layout:
    """labkit imported from a folder of links to the checkout's files, as pip's strict editable mode makes it."""
    planted = make_course(base / "course")
    links = base / "course" / "build" / "__editable__.labkit"
    for path in sorted((base / "course" / "labkit").rglob("*")):
        target = links / path.relative_to(base / "course")
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.is_file():
            target.symlink_to(path)
    planted += [links / "labkit" / name for name in IN_LABKIT]
    return Layout(make_venv(base / "venv", links), base / "course", base, links / "labkit", planted=planted)


def behind_link(base: Path) -> Layout:
    """The checkout and the environment reached through links."""
    real = in_checkout(base / "disk")
    (base / "course").symlink_to(base / "disk" / "course")
    planted = [*real.planted, *(base / path.relative_to(base / "disk") for path in real.planted)]
    python = base / "course" / ".venv" / "bin" / "python"
    return Layout(python, base / "course", base, real.labkit, planted=planted)


def user_site(base: Path) -> Layout:
    """labkit in the folder of pip install --user, with pip's cache beside it."""
    planted = make_course(base / "course")
    site_packages = base / "home" / ".local" / "lib" / VERSION / "site-packages"
    link(site_packages)
    planted += copy_labkit(site_packages / "labkit")
    planted += [plant(base / "home" / ".cache" / "pip" / "wheels" / "labkit.whl"), plant(base / "home/.ssh/id")]
    python = Path(sys.base_prefix, "bin", VERSION)
    return Layout(
        python, base / "course", base, site_packages / "labkit", planted=planted, home=base / "home", fresh=False
    )


def conda(base: Path) -> Layout:
    """A prefix with its own standard library; the checkout inside the prefix."""
    prefix = base / "conda"
    ignored = shutil.ignore_patterns("site-packages", "test", "__pycache__", "config-*", "idlelib", "lib2to3")
    shutil.copytree(Path(sysconfig.get_path("stdlib")), prefix / "lib" / VERSION, ignore=ignored)
    for library in Path(sys.base_prefix, "lib").glob("libpython*"):
        shutil.copy(library, prefix / "lib")
    (prefix / "bin").mkdir()
    shutil.copy(Path(sys.executable).resolve(), prefix / "bin" / "python")
    plant(prefix / "conda-meta" / "history")
    planted = make_course(prefix / "course")
    link(prefix / "lib" / VERSION / "site-packages", prefix / "course")
    python = prefix / "bin" / "python"  # a copy that looks for its library where the original lies
    return Layout(python, prefix / "course", base, prefix / "course/labkit", planted=planted, fresh=False)


def debian(base: Path) -> Layout:
    """The system's own Python with dist-packages; the course in /usr/local/src."""
    planted = make_course(base / "src" / "course")
    site_packages = base / "dist-packages"
    link(site_packages, Path("/usr/local/src/course"))
    course = Path("/usr/local/src/course")
    mounts = {"/usr/local/src": str(base / "src"), f"/usr/local/lib/{VERSION}/dist-packages": str(site_packages)}
    planted = [course / path.relative_to(base / "src" / "course") for path in planted]
    return Layout(Path("/usr/bin", VERSION), course, base, course / "labkit", mounts=mounts, planted=planted)


def in_site_packages(base: Path) -> Layout:
    """The checkout inside site-packages, which every kernel sees: this cannot be safe."""
    site_packages = base / "venv" / "lib" / VERSION / "site-packages"
    python = make_venv(base / "venv", site_packages / "course")
    planted = make_course(site_packages / "course")
    return Layout(python, site_packages / "course", base, site_packages / "course/labkit", safe=False, planted=planted)


def class_in_programs(base: Path) -> Layout:
    """Submissions and results in the environment's folder of programs: this cannot be safe."""
    layout = beside(base)
    for name in ("submissions", "grades"):
        shutil.move(base / "course" / name, base / "venv" / "bin" / name)
        (base / "course" / name).symlink_to(base / "venv" / "bin" / name)
    layout.safe = False
    return layout


LAYOUTS: dict[str, Callable[[Path], Layout]] = {
    make.__name__: make
    for make in (
        beside, container, in_environment, in_checkout, same_folder, wheel, two_copies, strict_editable, behind_link,
        user_site, conda, debian, in_site_packages, class_in_programs,
    )
}  # fmt: skip
THIEF = """
import json, os, sys, tempfile
from pathlib import Path
import labkit
from labkit.grading.sandbox import Sandbox, best_tier, course_places
told = json.loads(sys.argv[1])
private = [*course_places(Path(told["course"]))]
tier = best_tier(private)
said = {"labkit": os.path.dirname(labkit.__file__), "tier": tier.name, "safe": tier.safe, "missing": tier.missing}
LOOK = '''
import os
found, seen = [], 0
def look(path):
    global seen
    seen += 1
    try:
        if SECRET in open(path, errors="ignore").read():
            found.append(path)
    except OSError:
        pass
for path in PLANTED:
    look(path)
for place in PLACES:
    for folder, _, files in os.walk(place):
        if not folder.startswith(tuple(REAL)):
            [look(os.path.join(folder, file)) for file in files]
import labkit, labkit.errors, labkit.color, labkit.checks, numpy, subprocess, sys
checks = os.listdir(os.path.join(os.path.dirname(labkit.__file__), "checks"))
fresh = subprocess.run([sys.executable, "-c", "import labkit.errors"], capture_output=True, text=True)
print([found, seen, checks, fresh.stderr[-300:]])
'''
if tier.safe:
    light = ("numpy", "ipykernel.kernelapp", "ipykernel.ipkernel", "ipykernel.zmqshell")
    with Sandbox(tier, private=private, preload=light) as sandbox:
        kernel = sandbox.start(Path(tempfile.mkdtemp()))
        names = {"SECRET": told["secret"], "PLANTED": told["planted"], "PLACES": told["places"], "REAL": told["real"]}
        result = kernel.execute(f"globals().update({names!r})\\n" + LOOK, 100)
        said |= {"text": result.text, "error": result.error + result.ended}
        kernel.stop()
print(json.dumps(said))
"""


def visit(layout: Layout, user: str) -> dict[str, object]:
    """Let a thief look around in a layout, as root or as nobody; returns what came of it."""
    base_prefix = Path(sys.base_prefix).resolve()
    told = {
        "course": str(layout.course),
        "secret": SECRET,
        "planted": [str(path) for path in layout.planted],
        "places": [str(layout.base), str(layout.course), "/usr/src", "/usr/local", "/home", "/root", "/opt", "/srv"],
        "real": [sysconfig.get_path("purelib"), sysconfig.get_path("stdlib"), str(base_prefix / "lib")],
    }
    stage = {
        "mounts": layout.mounts,
        "user": user,
        "home": str(layout.home),
        "python": str(layout.python),
        "told": told,
    }
    command = [sys.executable, __file__, json.dumps(stage)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=150, cwd="/")
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(json.loads(done.stdout.splitlines()[-1]))


def stage(settings: dict[str, object]) -> None:
    from as_nobody import become_nobody, own_mounts

    from labkit.grading.sandbox.linux import MS_BIND, MS_REC, mount

    if os.getuid() == 0:
        own_mounts()
        for place, folder in dict(settings["mounts"]).items():  # type: ignore[call-overload]
            mount(folder, place, None, MS_BIND | MS_REC)
        if settings["user"] == "nobody":
            become_nobody()
    os.environ["HOME"] = str(settings["home"])
    os.chdir("/")
    python = str(settings["python"])
    os.execv(python, [python, "-c", THIEF, json.dumps(settings["told"])])


if __name__ == "__main__":
    stage(json.loads(sys.argv[1]))
