"""`labkit doctor`: what machine, versions, devices and data sets there are, and what to do about what is missing."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from labkit import LabkitError, __version__
from labkit.machine import cores
from labkit.printing import say

FREE_GB = 2.0  # enough for a data set with its archive
PLACEHOLDER = "example.org"


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        topic: what was looked at.
        what: what was found.
        state: "ok", "note" (works, but look), "old" (a needed package, too old) or "missing" (needed).
        advice: what to do.
    """

    topic: str
    what: str
    state: Literal["ok", "note", "old", "missing"] = "ok"
    advice: str = ""


def examine() -> list[Finding]:
    """Look at everything. Nothing is downloaded or changed; a look that fails is itself a finding."""
    looks: list[Callable[[], list[Finding]]] = [
        machine,
        python,
        packages,
        devices,
        data,
        kernel,
        sandbox,
        labs,
        repository,
    ]
    findings: list[Finding] = []
    for look in looks:
        try:
            findings.extend(look())
        except Exception as error:  # the doctor must not fall ill: a broken installation is what it is for
            reason = (str(error).splitlines() or [""])[0]
            findings.append(Finding(look.__name__, f"{type(error).__name__}: {reason}", "missing", "reinstall labkit"))
    return findings


def show(findings: list[Finding], console: Any) -> None:
    """Print the findings as a table on a rich console, and what to do as a list under it."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for column in ("what", "state", "found"):
        table.add_column(column, overflow="fold")
    colors = {"ok": "green", "note": "yellow", "old": "bold red", "missing": "bold red"}
    for finding in findings:
        table.add_row(Text(finding.topic), Text(finding.state, colors[finding.state]), Text(finding.what))
    console.print(table)
    for finding in findings:
        if finding.advice:
            say(console, f"- {finding.topic}: {finding.advice}")


def machine() -> list[Finding]:
    """Report cores, memory and disk, as far as this process may use them."""
    found = [Finding("machine", f"{platform.system()} {platform.machine()}, {cores()} cores")]
    memory = _memory_gb()
    if memory is not None:
        short = memory < 3.5
        found.append(
            Finding(
                "memory",
                f"{memory:.1f} GB",
                "note" if short else "ok",
                "run one lab at a time: each needs up to 2 GB" if short else "",
            )
        )
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    short = free < FREE_GB
    found.append(
        Finding(
            "disk",
            f"{free:.1f} GB free here",
            "note" if short else "ok",
            f"a downloaded data set needs up to {FREE_GB:.0f} GB; LABKIT_DATA can name another disk" if short else "",
        )
    )
    return found


def _memory_gb() -> float | None:
    """Return the physical memory; psutil comes with Jupyter's kernel."""
    try:
        import psutil
    except ImportError:
        return None
    return float(psutil.virtual_memory().total) / 1e9


def python() -> list[Finding]:
    """Report labkit and the interpreter."""
    virtual = sys.prefix != sys.base_prefix or "CONDA_PREFIX" in os.environ
    where = f"{platform.python_version()} at {sys.executable}"
    return [
        Finding("labkit", f"{__version__} at {Path(__file__).parent}"),
        Finding("python", where + ("" if virtual else " (no virtual environment)")),
    ]


def packages() -> list[Finding]:
    """Compare installed versions with the lower bounds in labkit's own metadata; one finding for each package."""
    from packaging.requirements import Requirement

    found = []
    for line in metadata.requires("labkit") or []:
        requirement = Requirement(line)
        name, marker = requirement.name, requirement.marker
        always = marker is None or marker.evaluate({"extra": ""})
        if marker and not always and not marker.evaluate({"extra": "course"}):
            continue  # for another system, or for those who change labkit
        remedy = f"{sys.executable} -m pip install -U {name}"
        try:
            have = metadata.version(name)
        except metadata.PackageNotFoundError:
            why = "" if always else " (for notebooks and labkit run)"
            found.append(Finding(name, "not installed", "missing" if always else "note", remedy + why))
            continue
        if requirement.specifier.contains(have, prereleases=True):
            found.append(Finding(name, have))
        else:
            bound = str(requirement.specifier).removeprefix(">=")
            what = f"{have} is older than {bound}, the lowest version that is known to work"
            found.append(Finding(name, what, "old", remedy))
    return found


def devices() -> list[Finding]:
    """Report what torch can compute on, and whether half precision pays there."""
    import torch

    from labkit.device import pick_precision

    found = []
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            about = torch.cuda.get_device_properties(index)
            half = pick_precision("auto", torch.device("cuda", index))
            text = f"{about.name}, {about.total_memory / 1e9:.0f} GB, {half} autocast"
            found.append(Finding(f"cuda:{index}", text))
    elif torch.version.cuda and shutil.which("nvidia-smi"):
        advice = "the driver is older than this torch: update it, or install a torch for its CUDA version"
        found.append(Finding("cuda", "a GPU, but torch cannot use it", "note", advice))
    if torch.backends.mps.is_available():
        found.append(Finding("mps", "Apple GPU"))
    capability = torch.backends.cpu.get_cpu_capability()
    pays = pick_precision("auto", torch.device("cpu")) == "bf16"
    bf16 = "bf16 is worth it" if pays else "bf16 would only slow it down"
    found.append(Finding("cpu", f"{capability}, {torch.get_num_threads()} threads, {bf16}"))
    if len(found) == 1:
        found.append(Finding("gpu", "none", "ok", "the labs run on the CPU with the quick profile; Colab has a GPU"))
    return found


def data() -> list[Finding]:
    """Report the data root, and which of the downloadable data sets are there."""
    from labkit.data import DATASETS, data_root, find

    root = data_root()
    found = [Finding("data root", str(root)), Finding("toyworld", "part of labkit")]
    photos = find("photos")
    advice = f"reinstall scikit-image: {sys.executable} -m pip install --force-reinstall scikit-image"
    found.append(Finding("photos", photos) if photos else Finding("photos", "not found", "missing", advice))
    downloads = {name: info.size for name, info in DATASETS.items() if info.size[0].isdigit()}  # "170 MB", not "yours"
    for name, size in downloads.items():
        place = find(name)
        advice = f"{size} are downloaded at first use; or set LABKIT_DATA to a folder that has it (now {root})"
        found.append(Finding(name, place) if place else Finding(name, "not there yet", "ok", advice))
    return found


def kernel() -> list[Finding]:
    """Report whether JupyterLab's kernel "python3" is this Python. labkit itself always uses this one."""
    try:
        from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
    except ImportError:
        advice = "install the course's tools: pip install -r requirements.txt"
        return [Finding("kernel", "Jupyter is not installed", "note", advice)]
    advice = f"make it this Python: {sys.executable} -m ipykernel install --sys-prefix"
    try:
        spec = KernelSpecManager().get_kernel_spec("python3")
    except NoSuchKernel:
        return [Finding("kernel", "no kernel named python3", "note", advice)]
    program = spec.argv[0]
    path = shutil.which(program)
    # jupyter_client starts a bare "python" as the Python it runs in
    same = program in ("python", "python3") or (path is not None and os.path.abspath(path) in _names_of(sys.executable))
    if same:
        return [Finding("kernel", "python3 is this Python")]
    return [Finding("kernel", f"python3 is {program}, another Python", "note", advice)]


def _names_of(executable: str) -> set[str]:
    """Return python, python3 and python3.N of one environment, links not followed: all environments share their end."""
    folder, name = os.path.split(os.path.abspath(executable))
    short = f"python{sys.version_info.major}"
    return {os.path.join(folder, other) for other in (name, "python", short, f"{short}.{sys.version_info.minor}")}


def sandbox() -> list[Finding]:
    """Report how far a submission can be kept from everything else when a class is graded."""
    from labkit.grading.sandbox import best_tier

    tier = best_tier()
    if tier.safe:
        return [Finding("sandbox", f"{tier.name}: safe to grade a class")]
    advice = f"to grade a class, use Linux with user namespaces, or --unsafe; missing: {'; '.join(tier.missing)}"
    return [Finding("sandbox", f"{tier.name}: not safe to grade a class", "note", advice)]


def labs() -> list[Finding]:
    """Report the notebooks."""
    from labkit.course.labs import list_labs

    try:
        found = list_labs()
    except LabkitError as error:
        return [Finding("labs", str(error), "missing", "run in the course's folder, or `labkit build` there")]
    return [Finding("labs", f"{', '.join(info.number for info in found)} in {found[0].path.parent}")]


def repository() -> list[Finding]:
    """Report whether the repository's address was filled in: Colab links and set-up cells are made from it."""
    from labkit.course import labs as course

    address = course.repository()
    if PLACEHOLDER in address:
        advice = "instructors: put your address under [project.urls] in pyproject.toml, then `labkit build`"
        return [Finding("repository", f"{address} is a placeholder", "note", advice)]
    return [Finding("repository", address)]
